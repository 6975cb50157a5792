//! The type names of the YAML, and which types go together.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, TimeUnit};

/// Names that a `type` may have, for helps.
pub(crate) const TYPE_NAMES: [&str; 13] = [
    "text",
    "boolean",
    "smallint",
    "integer",
    "bigint",
    "real",
    "double",
    "decimal(18,2)",
    "date",
    "timestamp",
    "timestamptz",
    "uuid",
    "text[]",
];

/// The most digits of a Decimal128, and of a Decimal256.
pub(crate) const DIGITS_128: u8 = 38;
pub(crate) const DIGITS_256: u8 = 76;

/// A timestamp with time zone, as canon holds it: microseconds, UTC.
pub(crate) fn timestamptz() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// A timestamp without time zone: microseconds.
pub(crate) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

/// The type that a name of the YAML stands for; UUIDs are text inside.
pub(crate) fn parse(name: &str) -> Option<DataType> {
    let name = name.trim().to_lowercase();
    if let Some(item) = name.strip_suffix("[]") {
        let item = parse(item).filter(|item| !matches!(item, DataType::List(_)))?;
        return Some(DataType::List(Arc::new(Field::new_list_field(item, true))));
    }
    Some(match name.as_str() {
        "text" | "varchar" | "string" | "uuid" => DataType::Utf8,
        "boolean" | "bool" => DataType::Boolean,
        "smallint" | "int2" => DataType::Int16,
        "integer" | "int" | "int4" => DataType::Int32,
        "bigint" | "int8" => DataType::Int64,
        "real" | "float4" => DataType::Float32,
        "double" | "double precision" | "float8" => DataType::Float64,
        "date" => DataType::Date32,
        "timestamp" => timestamp(),
        "timestamptz" => timestamptz(),
        other => return parse_decimal(other),
    })
}

/// Whether a name of the YAML is that of uuids.
pub(crate) fn is_uuid(name: &str) -> bool {
    name.trim().eq_ignore_ascii_case("uuid")
}

fn parse_decimal(name: &str) -> Option<DataType> {
    let inside = name.strip_prefix("decimal").or_else(|| name.strip_prefix("numeric"))?;
    let inside = inside.trim().strip_prefix('(')?.strip_suffix(')')?;
    let (precision, scale) = inside.split_once(',').unwrap_or((inside, "0"));
    let precision: u8 = precision.trim().parse().ok()?;
    let scale: i8 = scale.trim().parse().ok()?;
    let fits = scale >= 0 && scale.unsigned_abs() <= precision && precision > 0;
    match (fits, precision) {
        (true, ..=DIGITS_128) => Some(DataType::Decimal128(precision, scale)),
        (true, ..=DIGITS_256) => Some(DataType::Decimal256(precision, scale)),
        _ => None,
    }
}

/// A type as Postgres names it.
pub(crate) fn shown(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => "smallint".to_owned(),
        DataType::Int32 | DataType::UInt16 => "integer".to_owned(),
        DataType::Int64 | DataType::UInt32 => "bigint".to_owned(),
        DataType::UInt64 => "decimal(20,0)".to_owned(),
        DataType::Float16 | DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "time".to_owned(),
        DataType::Timestamp(_, None) => "timestamp".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamptz".to_owned(),
        DataType::Interval(_) | DataType::Duration(_) => "interval".to_owned(),
        DataType::List(item) | DataType::LargeList(item) => {
            format!("{}[]", shown(item.data_type()))
        }
        DataType::Null => "unknown".to_owned(),
        other => other.to_string().to_lowercase(),
    }
}

/// The type among those that canon computes with which holds the same values; None where an
/// attribute can't be of this type.
pub(crate) fn canonical(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Boolean
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Decimal256(..)
        | DataType::Utf8
        | DataType::Date32 => data_type.clone(),
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, None) => timestamp(),
        DataType::Timestamp(_, Some(_)) => timestamptz(),
        DataType::List(item) | DataType::LargeList(item) => {
            let item = canonical(item.data_type())?;
            DataType::List(Arc::new(Field::new_list_field(item, true)))
        }
        DataType::Dictionary(_, values) => canonical(values)?,
        _ => return None,
    })
}

/// Whether every value of `from` is a value of `to`. A timestamp without zone counts as UTC.
pub(crate) fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType::{Date32, Decimal128, Decimal256, Float32, Float64, Int16, Int32, Int64, List};
    match (from, to) {
        (Int16, Int32 | Int64 | Float32 | Float64)
        | (Int32, Int64 | Float64)
        | (Float32, Float64) => true,
        (Date32, DataType::Timestamp(..))
        | (DataType::Timestamp(_, None), DataType::Timestamp(_, Some(_))) => true,
        (Int16 | Int32 | Int64, Decimal128(precision, scale) | Decimal256(precision, scale)) => {
            i16::from(*precision) - i16::from(*scale) >= digits(from)
        }
        (
            Decimal128(from_precision, from_scale) | Decimal256(from_precision, from_scale),
            Decimal128(precision, scale) | Decimal256(precision, scale),
        ) => {
            let whole = |precision: u8, scale: i8| i16::from(precision) - i16::from(scale);
            scale >= from_scale && whole(*precision, *scale) >= whole(*from_precision, *from_scale)
        }
        (List(from), List(to)) => {
            from.data_type() == to.data_type() || widens(from.data_type(), to.data_type())
        }
        _ => from == to,
    }
}

fn digits(integer: &DataType) -> i16 {
    match integer {
        DataType::Int16 => 5,
        DataType::Int32 => 10,
        _ => 19,
    }
}

/// What may be compared with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Boolean,
    Number,
    Text,
    Moment,
    Other,
}

pub(crate) fn family(data_type: &DataType) -> Family {
    match data_type {
        DataType::Boolean => Family::Boolean,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Family::Text,
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => Family::Moment,
        other if other.is_numeric() => Family::Number,
        _ => Family::Other,
    }
}

pub(crate) fn is_decimal(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal128(..) | DataType::Decimal256(..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for name in TYPE_NAMES.iter().filter(|name| **name != "uuid") {
            assert_eq!(shown(&parse(name).unwrap()), *name);
        }
        assert_eq!(parse("decimal(2,3)"), None);
        assert_eq!(parse("decimal(77,0)"), None);
        assert_eq!(parse("text[][]"), None);
        assert_eq!(parse("money"), None);
    }

    #[test]
    fn only_lossless_changes_widen() {
        let widens = |from: &str, to: &str| widens(&parse(from).unwrap(), &parse(to).unwrap());
        assert!(widens("integer", "bigint") && !widens("bigint", "integer"));
        assert!(widens("integer", "double") && !widens("bigint", "double"));
        assert!(widens("bigint", "decimal(21,2)") && !widens("bigint", "decimal(20,2)"));
        assert!(
            widens("decimal(10,2)", "decimal(18,4)") && !widens("decimal(18,2)", "decimal(18,4)")
        );
        assert!(widens("date", "timestamptz") && !widens("timestamptz", "timestamp"));
        assert!(!widens("text", "bigint") && !widens("double", "decimal(18,2)"));
    }
}
