//! Building the rows of a catalogue relation, column by column.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::arrow::array::{
    Array, ArrayRef, BooleanArray, Float32Array, Int16Array, Int32Array, Int64Array, ListBuilder,
    StringArray, StringBuilder, TimestampMicrosecondArray, new_null_array,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};

use super::definitions::{Definition, SYSTEM_COLUMNS};
use super::typing::inner_type;

/// The rows of one relation. A column that nobody sets is NULL, or the zero of its type where it
/// can't be NULL: Postgres's own "none" for OIDs, counts and flags.
pub(super) struct Rows {
    definition: &'static Definition,
    len: usize,
    columns: HashMap<&'static str, ArrayRef>,
}

impl Rows {
    pub(super) fn new(definition: &'static Definition, len: usize) -> Self {
        Self { definition, len, columns: HashMap::new() }
    }

    /// Sets a column of integers, OIDs or `reg…` types.
    pub(super) fn ints(
        &mut self,
        column: &str,
        values: impl IntoIterator<Item = Option<i64>>,
    ) -> Result<&mut Self> {
        let values: Int64Array = values.into_iter().collect();
        self.set(column, &(Arc::new(values) as ArrayRef))
    }

    /// Sets a column of texts or names.
    pub(super) fn texts<T: AsRef<str>>(
        &mut self,
        column: &str,
        values: impl IntoIterator<Item = Option<T>>,
    ) -> Result<&mut Self> {
        let values: StringArray = values.into_iter().collect();
        self.set(column, &(Arc::new(values) as ArrayRef))
    }

    pub(super) fn bools(
        &mut self,
        column: &str,
        values: impl IntoIterator<Item = bool>,
    ) -> Result<&mut Self> {
        let values: BooleanArray = values.into_iter().map(Some).collect();
        self.set(column, &(Arc::new(values) as ArrayRef))
    }

    pub(super) fn floats(
        &mut self,
        column: &str,
        values: impl IntoIterator<Item = f32>,
    ) -> Result<&mut Self> {
        let values: Float32Array = values.into_iter().map(Some).collect();
        self.set(column, &(Arc::new(values) as ArrayRef))
    }

    /// Sets a column of instants.
    pub(super) fn times(
        &mut self,
        column: &str,
        values: impl IntoIterator<Item = Option<DateTime<Utc>>>,
    ) -> Result<&mut Self> {
        let micros = values.into_iter().map(|value| value.map(|it| it.timestamp_micros()));
        let values: TimestampMicrosecondArray = micros.collect();
        self.set(column, &(Arc::new(values.with_timezone("UTC")) as ArrayRef))
    }

    /// Sets a column of integer arrays or vectors.
    pub(super) fn int_lists(
        &mut self,
        column: &str,
        values: impl IntoIterator<Item = Option<Vec<i64>>>,
    ) -> Result<&mut Self> {
        let mut builder = ListBuilder::new(Int64Array::builder(0));
        for value in values {
            match value {
                Some(items) => builder.append_value(items.into_iter().map(Some)),
                None => builder.append_null(),
            }
        }
        self.set(column, &(Arc::new(builder.finish()) as ArrayRef))
    }

    /// Sets a column of arrays of texts.
    pub(super) fn text_lists(
        &mut self,
        column: &str,
        values: impl IntoIterator<Item = Option<Vec<String>>>,
    ) -> Result<&mut Self> {
        let mut builder = ListBuilder::new(StringBuilder::new());
        for value in values {
            match value {
                Some(items) => builder.append_value(items.into_iter().map(Some)),
                None => builder.append_null(),
            }
        }
        self.set(column, &(Arc::new(builder.finish()) as ArrayRef))
    }

    /// Sets a column to one value, the same in each row.
    pub(super) fn all(&mut self, column: &str, value: impl Into<ScalarValue>) -> Result<&mut Self> {
        let values = value.into().to_array_of_size(self.len)?;
        self.set(column, &values)
    }

    /// Sets a column, cast to its type.
    pub(super) fn set(&mut self, column: &str, values: &ArrayRef) -> Result<&mut Self> {
        let found = self.definition.columns.iter().find(|one| one.name == column);
        let one = found.ok_or_else(|| {
            DataFusionError::Internal(format!("{} has no column {column}", self.definition.name))
        })?;
        let values = cast(values, &inner_type(one.type_name))?;
        self.columns.insert(one.name, values);
        Ok(self)
    }

    /// Written by one transaction, which has also been the last.
    fn system_column(&self, name: &str, data_type: &DataType) -> Result<ArrayRef> {
        let value = match name {
            "ctid" => {
                let places = (1..=self.len).map(|number| format!("(0,{number})"));
                return Ok(Arc::new(places.map(Some).collect::<StringArray>()));
            }
            "tableoid" => self.definition.oid,
            "xmin" => 1,
            _ => 0,
        };
        ScalarValue::from(value).cast_to(data_type)?.to_array_of_size(self.len)
    }

    /// The rows, with the system columns behind the relation's own.
    pub(super) fn finish(mut self) -> Result<RecordBatch> {
        let mut arrays = Vec::with_capacity(self.definition.arrow.fields().len());
        for column in &self.definition.columns {
            arrays.push(match self.columns.remove(column.name) {
                Some(values) => values,
                None => default_of(column.type_name, column.not_null, self.len)?,
            });
        }
        if self.definition.kind == "r" {
            for (name, type_name) in SYSTEM_COLUMNS {
                arrays.push(self.system_column(name, &inner_type(type_name))?);
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.len));
        let schema = Arc::clone(&self.definition.arrow);
        Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
    }
}

/// The rows that are the same in every definition set, read from their `COPY` text.
/// `regprocs` resolves the names of functions to OIDs.
pub(super) fn from_text<T: AsRef<str>>(
    definition: &'static Definition,
    rows: &[Vec<Option<T>>],
    regprocs: impl Fn(&str) -> i64,
) -> Result<Rows> {
    let mut table = Rows::new(definition, rows.len());
    for (index, column) in definition.columns.iter().enumerate() {
        let cells = rows.iter().map(|row| row.get(index)?.as_ref().map(AsRef::as_ref));
        match inner_type(column.type_name) {
            DataType::Boolean => {
                table.bools(column.name, cells.map(|cell| cell == Some("t")))?;
            }
            DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                let parsed = cells
                    .map(|cell| cell.map(|text| text.parse().unwrap_or_else(|_| regprocs(text))));
                table.ints(column.name, parsed)?;
            }
            DataType::List(item) if !item.data_type().is_integer() => {}
            DataType::List(_) => {
                let parsed = cells.map(|cell| {
                    cell.map(|text| text.split(' ').filter_map(|item| item.parse().ok()).collect())
                });
                table.int_lists(column.name, parsed)?;
            }
            _ => {
                table.texts(column.name, cells)?;
            }
        }
    }
    Ok(table)
}

fn default_of(type_name: &str, not_null: bool, len: usize) -> Result<ArrayRef> {
    let data_type = inner_type(type_name);
    if !not_null {
        return Ok(new_null_array(&data_type, len));
    }
    let zero: ArrayRef = match data_type {
        DataType::Boolean => Arc::new(BooleanArray::from(vec![false; len])),
        DataType::Int16 => Arc::new(Int16Array::from(vec![0; len])),
        DataType::Int32 => Arc::new(Int32Array::from(vec![0; len])),
        DataType::Int64 => Arc::new(Int64Array::from(vec![0; len])),
        DataType::Utf8 => Arc::new(StringArray::from(vec![""; len])),
        DataType::List(ref item) => {
            let empty = ScalarValue::List(ScalarValue::new_list_nullable(&[], item.data_type()));
            empty.to_array_of_size(len)?
        }
        ref other => ScalarValue::new_zero(other)?.to_array_of_size(len)?,
    };
    debug_assert_eq!(zero.len(), len);
    Ok(zero)
}
