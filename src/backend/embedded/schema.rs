//! Which canonical type a file's column is shown under.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::model::SourceColumn;

/// How Arrow names the type of a uuid.
const UUID_NATIVE: &str = "FixedSizeBinary(16)";

/// The columns of a file's schema that canon can show; structs, maps, bytes and times of day are
/// left out.
pub(super) fn source_columns(schema: &Schema) -> Vec<SourceColumn> {
    let columns = schema.fields().iter().filter_map(|field| {
        let native = native(field.data_type());
        Some(SourceColumn {
            name: field.name().clone(),
            data_type: canonical(field.data_type())?,
            nullable: field.is_nullable(),
            native: native.to_string(),
        })
    });
    columns.collect()
}

/// The schema to read a file with: canonical types, to which the Parquet reader casts. A uuid has
/// no cast to text in Arrow, so it is read as it is.
pub(super) fn reading_schema(columns: &[SourceColumn]) -> SchemaRef {
    let fields: Vec<Field> = columns
        .iter()
        .map(|column| {
            let data_type = if is_uuid(column) {
                DataType::FixedSizeBinary(16)
            } else {
                column.data_type.clone()
            };
            Field::new(&column.name, data_type, column.nullable)
        })
        .collect();
    Arc::new(Schema::new(fields))
}

/// Whether the file has sixteen bytes where canon shows text.
pub(super) fn is_uuid(column: &SourceColumn) -> bool {
    column.native == UUID_NATIVE
}

/// The type behind a dictionary or a run-length encoding.
fn native(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => native(values),
        DataType::RunEndEncoded(_, values) => native(values.data_type()),
        other => other,
    }
}

/// None where canon has no type for it.
fn canonical(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Boolean => DataType::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => DataType::Int16,
        DataType::Int32 | DataType::UInt16 => DataType::Int32,
        DataType::Int64 | DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 | DataType::Float32 => DataType::Float32,
        DataType::Float64 => DataType::Float64,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
            if *scale >= 0 =>
        {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Decimal256(precision, scale) if *scale >= 0 => {
            DataType::Decimal256(*precision, *scale)
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::FixedSizeBinary(16) => DataType::Utf8,
        DataType::Date32 | DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(_, Some(_)) => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        DataType::Dictionary(_, values) => canonical(values)?,
        DataType::RunEndEncoded(_, values) => canonical(values.data_type())?,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => {
            let scalar = !item.data_type().is_nested()
                && !matches!(item.data_type(), DataType::FixedSizeBinary(_));
            let item = scalar.then(|| canonical(item.data_type())).flatten()?;
            DataType::List(Arc::new(Field::new_list_field(item, true)))
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_finds_a_type_that_holds_it() {
        let cases = [
            (DataType::UInt8, DataType::Int16),
            (DataType::UInt32, DataType::Int64),
            (DataType::UInt64, DataType::Decimal128(20, 0)),
            (DataType::Decimal64(12, 2), DataType::Decimal128(12, 2)),
            (DataType::Utf8View, DataType::Utf8),
            (
                DataType::Timestamp(TimeUnit::Nanosecond, Some("Europe/Berlin".into())),
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            ),
            (
                DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::LargeUtf8)),
                DataType::Utf8,
            ),
        ];
        for (file, shown) in cases {
            assert_eq!(canonical(&file), Some(shown), "{file}");
        }
    }

    #[test]
    fn what_has_no_postgres_type_is_left_out() {
        let inner = Field::new("x", DataType::Int32, true);
        let schema = Schema::new(vec![
            Field::new("s", DataType::Struct(vec![inner].into()), true),
            Field::new("b", DataType::Binary, true),
            Field::new("id", DataType::Int32, false),
        ]);
        let columns = source_columns(&schema);
        assert_eq!(columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["id"]);
    }
}
