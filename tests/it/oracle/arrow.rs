//! Tables into Parquet and ClickHouse, and batches of canon's answers back into values.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, Field, Float64Type, Int64Type, Schema, TimeUnit,
    TimestampMicrosecondType,
};
use datafusion::parquet::arrow::ArrowWriter;

use super::value::{Value, decimal_text, wall_text};
use super::world::{Kind, Table};

/// The rows of a table.
pub(crate) fn batch(table: &Table) -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = table
        .columns
        .iter()
        .enumerate()
        .map(|(index, (name, kind))| {
            let values: Vec<&Value> = table.rows.iter().map(|row| &row[index]).collect();
            (*name, array(&values, *kind))
        })
        .collect();
    let fields: Vec<Field> =
        columns.iter().map(|(name, it)| Field::new(*name, it.data_type().clone(), true)).collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

pub(crate) fn write_parquet(table: &Table, folder: &Path) {
    let batch = batch(table);
    let file = File::create(folder.join(format!("{}.parquet", table.name))).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn array(values: &[&Value], kind: Kind) -> ArrayRef {
    let ints = values.iter().map(|value| match value {
        Value::Int(value) | Value::Instant(value) => Some(*value),
        _ => None,
    });
    match kind {
        Kind::Bool => Arc::new(
            values
                .iter()
                .map(|it| if let Value::Bool(it) = it { Some(*it) } else { None })
                .collect::<BooleanArray>(),
        ),
        Kind::Int32 => {
            Arc::new(ints.map(|it| it.map(|it| i32::try_from(it).unwrap())).collect::<Int32Array>())
        }
        Kind::Int64 => Arc::new(ints.collect::<Int64Array>()),
        Kind::Dec(scale) => {
            let digits = values
                .iter()
                .map(|it| if let Value::Dec { digits, .. } = it { Some(*digits) } else { None });
            let array = digits.collect::<Decimal128Array>();
            let scale = i8::try_from(scale).unwrap();
            Arc::new(array.with_precision_and_scale(18, scale).unwrap())
        }
        Kind::Text => Arc::new(
            values
                .iter()
                .map(|it| if let Value::Text(it) = it { Some(it.as_str()) } else { None })
                .collect::<StringArray>(),
        ),
        Kind::Instant => Arc::new(ints.collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
    }
}

/// The statements that make and fill a table in ClickHouse.
pub(crate) fn clickhouse_statements(table: &Table) -> Vec<String> {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|(name, kind)| {
            let native = match kind {
                Kind::Bool => "Bool".to_owned(),
                Kind::Int32 => "Int32".to_owned(),
                Kind::Int64 => "Int64".to_owned(),
                Kind::Dec(scale) => format!("Decimal(18, {scale})"),
                Kind::Text => "String".to_owned(),
                Kind::Instant => "DateTime64(6, 'UTC')".to_owned(),
            };
            match *name {
                "id" | "_version" => format!("{name} {native}"),
                name => format!("{name} Nullable({native})"),
            }
        })
        .collect();
    let create = format!(
        "CREATE TABLE {} ({}) ENGINE = MergeTree ORDER BY tuple()",
        table.name,
        columns.join(", ")
    );
    if table.rows.is_empty() {
        return vec![create];
    }
    let rows = table.rows.iter().map(|row| {
        let values: Vec<String> = row.iter().map(clickhouse_literal).collect();
        format!("({})", values.join(", "))
    });
    let rows: Vec<String> = rows.collect();
    vec![create, format!("INSERT INTO {} VALUES {}", table.name, rows.join(", "))]
}

fn clickhouse_literal(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        Value::Instant(micros) => format!("'{}'", wall_text(*micros)),
        Value::Dec { digits, scale } => format!("'{}'", decimal_text(*digits, *scale)),
        other => other.to_string(),
    }
}

/// The rows of a batch.
pub(crate) fn values(batch: &RecordBatch) -> Vec<Vec<Value>> {
    let row = |row| batch.columns().iter().map(|column| value(column, row)).collect();
    (0..batch.num_rows()).map(row).collect()
}

fn value(column: &ArrayRef, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Boolean => Value::Bool(column.as_boolean().value(row)),
        DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            let wide = cast(column, &DataType::Int64).unwrap();
            Value::Int(wide.as_primitive::<Int64Type>().value(row))
        }
        DataType::Float32 | DataType::Float64 => {
            let wide = cast(column, &DataType::Float64).unwrap();
            Value::Float(wide.as_primitive::<Float64Type>().value(row))
        }
        DataType::Decimal128(_, scale) => Value::Dec {
            digits: column.as_primitive::<Decimal128Type>().value(row),
            scale: u32::try_from(*scale).unwrap(),
        },
        DataType::Decimal256(_, scale) => Value::Dec {
            digits: column.as_primitive::<Decimal256Type>().value(row).to_i128().unwrap(),
            scale: u32::try_from(*scale).unwrap(),
        },
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let text = cast(column, &DataType::Utf8).unwrap();
            Value::Text(text.as_string::<i32>().value(row).to_owned())
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
            if zone.is_some() { Value::Instant(micros) } else { Value::Wall(micros) }
        }
        other => Value::Text(format!("a value of type {other}")),
    }
}
