//! Columns as ClickHouse stores them: how they are read, and how constants are said in their type.
//!
//! A column whose stored type isn't the canonical one is converted where it is read. A comparison
//! with a constant converts the constant instead, so that primary keys and partitions still prune.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

use super::literal::{self, date_text, timestamp_text};
use super::value::{self, Value};
use super::{NotPushable, Result};
use crate::model::SourceColumn;

/// A stored column and its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Native {
    pub(crate) sql: String,
    pub(crate) stored: Stored,
}

/// Stored types that are read through a conversion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stored {
    Date,
    /// Seconds since 1970 in 32 bits; the zone is only for display.
    DateTime,
    DateTime64(u32),
    /// Names of the elements.
    Enum(Vec<String>),
    Uuid,
    FixedString,
    /// UInt8 to UInt32.
    Unsigned,
    /// Integers of 64 bits and more without a canonical integer type.
    WideInteger,
    /// IPv4, IPv6 and whatever else is shown as text.
    AsText,
    /// UInt8 that holds a truth value.
    Truth,
}

/// A source's column read from block `block`.
pub(crate) fn read(block: &str, column: &SourceColumn) -> Result<Value> {
    let sql = format!("{block}.{}", literal::identifier(&column.name));
    let plain = Value::column(sql.clone(), column.data_type.clone(), column.nullable);
    if let DataType::List(item) = &column.data_type {
        let sql = array(&sql, &column.native, item.data_type())?;
        return Ok(Value { sql, ..plain });
    }
    match stored(&column.native, &column.data_type)? {
        None => Ok(plain),
        Some(stored) => {
            let value = with_native(Native { sql, stored }, &column.data_type, column.nullable)?;
            Ok(Value { range: stored_range(&column.native), ..value })
        }
    }
}

/// What an integer type without a canonical one can hold.
fn stored_range(native: &str) -> Option<(i128, i128)> {
    value::integer_range(&match unwrapped(native) {
        "Int8" => DataType::Int8,
        "UInt8" => DataType::UInt8,
        "UInt16" => DataType::UInt16,
        "UInt32" => DataType::UInt32,
        _ => return None,
    })
}

/// The canonical reading of an array: each item's. A lambda's parameter hides columns of its name.
fn array(column: &str, native: &str, item: &DataType) -> Result<String> {
    let stored_item = unwrapped(native).strip_prefix("Array(").and_then(|it| it.strip_suffix(')'));
    let stored_item = stored_item.ok_or_else(|| unreadable(native))?;
    match stored(stored_item, item)? {
        None => Ok(column.to_owned()),
        Some(stored) => {
            let native = Native { sql: "item".to_owned(), stored };
            let read = with_native(native, item, true)?.sql;
            Ok(format!("arrayMap(item -> {read}, {column})"))
        }
    }
}

/// The canonical reading of a stored column.
pub(crate) fn with_native(native: Native, data_type: &DataType, nullable: bool) -> Result<Value> {
    let column = &native.sql;
    let sql = match (&native.stored, data_type) {
        (Stored::Date, DataType::Date32) => format!("toDate32({column})"),
        (Stored::DateTime | Stored::DateTime64(_), DataType::Timestamp(_, _)) => {
            format!("toDateTime64({column}, 6, 'UTC')")
        }
        (Stored::FixedString | Stored::Enum(_) | Stored::Uuid | Stored::AsText, _) => {
            format!("toString({column})")
        }
        (Stored::Unsigned, DataType::Int16) => format!("toInt16({column})"),
        (Stored::Unsigned, DataType::Int32) => format!("toInt32({column})"),
        (Stored::Unsigned, DataType::Int64) => format!("toInt64({column})"),
        (Stored::WideInteger, DataType::Decimal128(_, 0)) => format!("toDecimal128({column}, 0)"),
        (Stored::WideInteger, DataType::Decimal256(_, 0)) => format!("toDecimal256({column}, 0)"),
        (Stored::Truth, DataType::Boolean) => format!("CAST({column} AS Bool)"),
        (stored, data_type) => {
            return Err(NotPushable::new(format!(
                "a column stored as {stored:?}, read as {data_type}"
            )));
        }
    };
    Ok(Value { native: Some(native), ..Value::column(sql, data_type.clone(), nullable) })
}

/// How a column is stored, where that isn't its canonical type already.
fn stored(native: &str, data_type: &DataType) -> Result<Option<Stored>> {
    let inner = unwrapped(native);
    let (name, arguments) = match inner.split_once('(') {
        Some((name, rest)) => (name, rest.strip_suffix(')').unwrap_or(rest)),
        None => (inner, ""),
    };
    let stored = match (name, data_type) {
        ("Bool", DataType::Boolean)
        | ("Int16", DataType::Int16)
        | ("Int32", DataType::Int32)
        | ("Int64", DataType::Int64)
        | ("Float32", DataType::Float32)
        | ("Float64", DataType::Float64)
        | ("String", DataType::Utf8)
        | ("Date32", DataType::Date32) => return Ok(None),
        (
            "Decimal" | "Decimal32" | "Decimal64" | "Decimal128" | "Decimal256",
            DataType::Decimal128(_, _) | DataType::Decimal256(_, _),
        ) => return Ok(None),
        ("Date", DataType::Date32) => Stored::Date,
        ("DateTime" | "DateTime32", DataType::Timestamp(_, _)) => Stored::DateTime,
        ("DateTime64", DataType::Timestamp(_, _)) => {
            let digits = arguments.split(',').next().unwrap_or_default().trim();
            let digits = digits.parse().map_err(|_| unreadable(native))?;
            // Nanoseconds don't fit: reading them cuts below the microsecond, as the decoder does.
            Stored::DateTime64(digits)
        }
        ("Enum8" | "Enum16" | "Enum", DataType::Utf8) => Stored::Enum(enum_names(arguments)),
        ("UUID", DataType::Utf8) => Stored::Uuid,
        ("FixedString", DataType::Utf8) => Stored::FixedString,
        ("IPv4" | "IPv6", DataType::Utf8) => Stored::AsText,
        ("Int8", DataType::Int16) => Stored::Unsigned,
        ("UInt8", DataType::Int16) | ("UInt16", DataType::Int32) | ("UInt32", DataType::Int64) => {
            Stored::Unsigned
        }
        ("UInt8", DataType::Boolean) => Stored::Truth,
        (
            "UInt64" | "Int128" | "UInt128" | "Int256" | "UInt256",
            DataType::Decimal128(_, 0) | DataType::Decimal256(_, 0),
        ) => Stored::WideInteger,
        _ => return Err(unreadable(native)),
    };
    Ok(Some(stored))
}

fn unreadable(native: &str) -> NotPushable {
    NotPushable::new(format!("a column of ClickHouse's type {native}"))
}

/// Without Nullable, LowCardinality and SimpleAggregateFunction around it.
fn unwrapped(native: &str) -> &str {
    let mut inner = native.trim();
    loop {
        let next = ["Nullable(", "LowCardinality("]
            .iter()
            .find_map(|wrapper| inner.strip_prefix(wrapper)?.strip_suffix(')'));
        let next = next.or_else(|| {
            let arguments = inner.strip_prefix("SimpleAggregateFunction(")?.strip_suffix(')')?;
            arguments.split_once(',').map(|(_, data_type)| data_type)
        });
        match next {
            Some(next) => inner = next.trim(),
            None => return inner,
        }
    }
}

/// The names in `'a' = 1, 'b\'c' = 2`.
fn enum_names(arguments: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut characters = arguments.chars();
    while characters.by_ref().any(|character| character == '\'') {
        let mut name = String::new();
        while let Some(character) = characters.next() {
            match character {
                '\'' => break,
                '\\' => name.extend(characters.next()),
                other => name.push(other),
            }
        }
        names.push(name);
    }
    names
}

impl Native {
    /// A constant in the stored type, with exactly the same value; None where it has none, and the
    /// converted column has to be compared instead.
    pub(crate) fn constant(&self, value: &ScalarValue) -> Option<String> {
        match &self.stored {
            Stored::Date => match value {
                // Date ends on 2149-06-06.
                ScalarValue::Date32(Some(days)) if (0..=65_535).contains(days) => {
                    Some(format!("toDate('{}')", date_text(*days).ok()?))
                }
                _ => None,
            },
            Stored::DateTime => match value {
                ScalarValue::TimestampMicrosecond(Some(micros), _)
                    if micros % 1_000_000 == 0
                        && (0..=i64::from(u32::MAX)).contains(&(micros / 1_000_000)) =>
                {
                    Some(format!("toDateTime('{}', 'UTC')", timestamp_text(*micros, 0)?))
                }
                _ => None,
            },
            Stored::DateTime64(digits) => match value {
                ScalarValue::TimestampMicrosecond(Some(micros), _) => {
                    let text = timestamp_text(*micros, *digits)?;
                    Some(format!("toDateTime64('{text}', {digits}, 'UTC')"))
                }
                _ => None,
            },
            Stored::Enum(names) => match value {
                ScalarValue::Utf8(Some(text)) if names.contains(text) => Some(literal::text(text)),
                _ => None,
            },
            Stored::Uuid => match value {
                ScalarValue::Utf8(Some(text)) if is_uuid(text) => Some(format!("toUUID('{text}')")),
                _ => None,
            },
            Stored::Unsigned => literal::integer_of(value).map(|number| number.to_string()),
            Stored::WideInteger => match value {
                ScalarValue::Decimal128(Some(number), _, 0)
                    if (0..=i128::from(u64::MAX)).contains(number) =>
                {
                    Some(number.to_string())
                }
                _ => None,
            },
            Stored::FixedString | Stored::AsText | Stored::Truth => None,
        }
    }

    /// Whether `<` on the stored values is `<` on the canonical ones.
    pub(crate) fn is_ordered(&self) -> bool {
        match self.stored {
            Stored::Date
            | Stored::DateTime
            | Stored::DateTime64(_)
            | Stored::Unsigned
            | Stored::WideInteger => true,
            Stored::Enum(_)
            | Stored::Uuid
            | Stored::FixedString
            | Stored::AsText
            | Stored::Truth => false,
        }
    }

    /// Whether two stored values are equal exactly where their canonical readings are. Finer than
    /// microseconds, several stored moments are read as one.
    pub(crate) fn is_injective(&self) -> bool {
        !matches!(self.stored, Stored::DateTime64(digits) if digits > 6)
            && !matches!(self.stored, Stored::Truth)
    }
}

/// Lower-case hexadecimal digits in groups, as ClickHouse and Postgres print a UUID.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.char_indices().all(|(index, character)| match index {
            8 | 13 | 18 | 23 => character == '-',
            _ => matches!(character, '0'..='9' | 'a'..='f'),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enum_elements_are_unescaped() {
        assert_eq!(enum_names(r"'a' = 1, 'b\'c' = 2, 'd, e' = -3"), ["a", "b'c", "d, e"]);
    }

    #[test]
    fn wrappers_are_peeled() {
        assert_eq!(unwrapped("LowCardinality(Nullable(String))"), "String");
        assert_eq!(unwrapped("SimpleAggregateFunction(max, Nullable(UInt8))"), "UInt8");
        assert_eq!(unwrapped("Nullable(DateTime64(3, 'UTC'))"), "DateTime64(3, 'UTC')");
    }
}
