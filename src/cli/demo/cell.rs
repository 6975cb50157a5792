//! Columns: one Rust type for each, with its Arrow and its ClickHouse type.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, TimeUnit};

const DECIMAL: (u8, i8) = (18, 2);

/// A word of a small vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(pub &'static str);

/// Money, in hundredths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cents(pub i64);

/// Microseconds since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Instant(pub i64);

/// Days since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Date(pub i32);

/// A tombstone's mark: Boolean in Parquet, UInt8 in ClickHouse, whose ReplacingMergeTree takes no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deleted(pub bool);

/// A value that a column may hold.
pub(super) trait Cell: Sized {
    fn arrow() -> DataType;
    fn clickhouse() -> &'static str;
    fn clickhouse_nullable() -> String {
        format!("Nullable({})", Self::clickhouse())
    }
    fn array(values: impl Iterator<Item = Option<Self>>) -> ArrayRef;
}

/// A column of a row: a [`Cell`], or an optional one.
pub(super) trait Column: Sized {
    fn arrow() -> DataType;
    fn nullable() -> bool;
    fn clickhouse() -> String;
    fn array(values: impl Iterator<Item = Self>) -> ArrayRef;
}

impl<C: Cell> Column for C {
    fn arrow() -> DataType {
        C::arrow()
    }
    fn nullable() -> bool {
        false
    }
    fn clickhouse() -> String {
        C::clickhouse().to_owned()
    }
    fn array(values: impl Iterator<Item = Self>) -> ArrayRef {
        C::array(values.map(Some))
    }
}

impl<C: Cell> Column for Option<C> {
    fn arrow() -> DataType {
        C::arrow()
    }
    fn nullable() -> bool {
        true
    }
    fn clickhouse() -> String {
        C::clickhouse_nullable()
    }
    fn array(values: impl Iterator<Item = Self>) -> ArrayRef {
        C::array(values)
    }
}

macro_rules! plain_cell {
    ($rust:ty, $arrow:expr, $clickhouse:literal, $array:ty) => {
        impl Cell for $rust {
            fn arrow() -> DataType {
                $arrow
            }
            fn clickhouse() -> &'static str {
                $clickhouse
            }
            fn array(values: impl Iterator<Item = Option<Self>>) -> ArrayRef {
                Arc::new(values.collect::<$array>())
            }
        }
    };
}

plain_cell!(i64, DataType::Int64, "Int64", Int64Array);
plain_cell!(i32, DataType::Int32, "Int32", Int32Array);
plain_cell!(f64, DataType::Float64, "Float64", Float64Array);
plain_cell!(bool, DataType::Boolean, "Bool", BooleanArray);
plain_cell!(String, DataType::Utf8, "String", StringArray);

impl Cell for Word {
    fn arrow() -> DataType {
        DataType::Utf8
    }
    fn clickhouse() -> &'static str {
        "LowCardinality(String)"
    }
    fn clickhouse_nullable() -> String {
        "LowCardinality(Nullable(String))".to_owned()
    }
    fn array(values: impl Iterator<Item = Option<Self>>) -> ArrayRef {
        Arc::new(values.map(|word| word.map(|word| word.0)).collect::<StringArray>())
    }
}

impl Cell for Cents {
    fn arrow() -> DataType {
        DataType::Decimal128(DECIMAL.0, DECIMAL.1)
    }
    fn clickhouse() -> &'static str {
        "Decimal(18, 2)"
    }
    fn array(values: impl Iterator<Item = Option<Self>>) -> ArrayRef {
        let cents = values.map(|money| money.map(|money| i128::from(money.0)));
        Arc::new(cents.collect::<Decimal128Array>().with_data_type(<Self as Cell>::arrow()))
    }
}

impl Cell for Instant {
    fn arrow() -> DataType {
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
    }
    fn clickhouse() -> &'static str {
        "DateTime64(6, 'UTC')"
    }
    fn array(values: impl Iterator<Item = Option<Self>>) -> ArrayRef {
        let micros = values.map(|instant| instant.map(|instant| instant.0));
        Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    }
}

impl Cell for Date {
    fn arrow() -> DataType {
        DataType::Date32
    }
    fn clickhouse() -> &'static str {
        "Date32"
    }
    fn array(values: impl Iterator<Item = Option<Self>>) -> ArrayRef {
        Arc::new(values.map(|date| date.map(|date| date.0)).collect::<Date32Array>())
    }
}

impl Cell for Deleted {
    fn arrow() -> DataType {
        DataType::Boolean
    }
    fn clickhouse() -> &'static str {
        "UInt8"
    }
    fn array(values: impl Iterator<Item = Option<Self>>) -> ArrayRef {
        Arc::new(values.map(|mark| mark.map(|mark| mark.0)).collect::<BooleanArray>())
    }
}
