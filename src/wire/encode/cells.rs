//! An Arrow column, brought to one of the few kinds that the writers know.

use datafusion::arrow::array::BinaryArray;
use datafusion::arrow::array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, IntervalMonthDayNanoType, Time64MicrosecondType, UInt64Type,
};
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryArray, LargeBinaryArray,
    LargeStringArray, ListArray, PrimitiveArray, StringArray, StringViewArray, StructArray,
};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

use crate::error::QueryError;
use crate::functions::record_text;
use crate::session::SessionError;
use crate::sql::types::PgType;

/// A column of one kind. Arrays are shared, so making one costs nothing but, for rare Arrow
/// types, a vectorised cast to the nearest kind.
pub(super) enum Cells {
    Null,
    Bool(BooleanArray),
    I16(PrimitiveArray<Int16Type>),
    I32(PrimitiveArray<Int32Type>),
    I64(PrimitiveArray<Int64Type>),
    U64(PrimitiveArray<UInt64Type>),
    F32(PrimitiveArray<Float32Type>),
    F64(PrimitiveArray<Float64Type>),
    Decimal128(PrimitiveArray<Decimal128Type>, i8),
    Decimal256(PrimitiveArray<Decimal256Type>, i8),
    Text(StringArray),
    LargeText(LargeStringArray),
    TextView(StringViewArray),
    Bytes(BinaryArray),
    LargeBytes(LargeBinaryArray),
    /// Of 16 bytes.
    Uuid(FixedSizeBinaryArray),
    Date(PrimitiveArray<Date32Type>),
    Time(PrimitiveArray<Time64MicrosecondType>),
    /// Counts of a unit from 1970, with how many of them a second has.
    Timestamp(PrimitiveArray<Int64Type>, i64),
    Interval(PrimitiveArray<IntervalMonthDayNanoType>),
    List(ListArray, Box<Cells>),
    /// Names of the catalogue's objects, with their OIDs.
    Object(StringArray, PrimitiveArray<Int64Type>),
}

impl Cells {
    pub(super) fn new(array: &ArrayRef, pg_type: &PgType) -> Result<Self, QueryError> {
        let array = match shown_as_it_is(array.data_type(), pg_type) {
            true => array.clone(),
            false => cast(array, &pg_type.to_arrow())?,
        };
        Self::of(&array, pg_type)
    }

    fn of(array: &ArrayRef, pg_type: &PgType) -> Result<Self, QueryError> {
        use DataType as D;
        let through = |to: DataType| Self::of(&cast(array, &to)?, pg_type);
        Ok(match array.data_type() {
            D::Null => Self::Null,
            D::Boolean => Self::Bool(array.as_boolean().clone()),
            D::Int16 => Self::I16(array.as_primitive().clone()),
            D::Int32 => Self::I32(array.as_primitive().clone()),
            D::Int64 => Self::I64(array.as_primitive().clone()),
            D::UInt64 => Self::U64(array.as_primitive().clone()),
            D::Int8 | D::UInt8 => return through(D::Int16),
            D::UInt16 => return through(D::Int32),
            D::UInt32 => return through(D::Int64),
            D::Float16 => return through(D::Float32),
            D::Float32 => Self::F32(array.as_primitive().clone()),
            D::Float64 => Self::F64(array.as_primitive().clone()),
            D::Decimal32(p, s) | D::Decimal64(p, s) => return through(D::Decimal128(*p, *s)),
            D::Decimal128(_, s) => Self::Decimal128(array.as_primitive().clone(), *s),
            D::Decimal256(_, s) => Self::Decimal256(array.as_primitive().clone(), *s),
            D::Utf8 => Self::Text(array.as_string().clone()),
            D::LargeUtf8 => Self::LargeText(array.as_string().clone()),
            D::Utf8View => Self::TextView(array.as_string_view().clone()),
            D::Binary => Self::Bytes(array.as_binary().clone()),
            D::LargeBinary => Self::LargeBytes(array.as_binary().clone()),
            D::BinaryView => return through(D::LargeBinary),
            D::FixedSizeBinary(16) if *pg_type == PgType::Uuid => {
                Self::Uuid(array.as_fixed_size_binary().clone())
            }
            D::FixedSizeBinary(_) => return through(D::Binary),
            D::Date32 => Self::Date(array.as_primitive().clone()),
            D::Date64 => return through(D::Date32),
            D::Time64(TimeUnit::Microsecond) => Self::Time(array.as_primitive().clone()),
            D::Time32(_) | D::Time64(_) => return through(D::Time64(TimeUnit::Microsecond)),
            D::Timestamp(unit, _) => {
                let per_second = match unit {
                    TimeUnit::Second => 1,
                    TimeUnit::Millisecond => 1_000,
                    TimeUnit::Microsecond => 1_000_000,
                    TimeUnit::Nanosecond => 1_000_000_000,
                };
                // Reads the same numbers; nothing is converted.
                let counts = cast(array, &D::Int64)?;
                Self::Timestamp(counts.as_primitive().clone(), per_second)
            }
            D::Interval(IntervalUnit::MonthDayNano) => Self::Interval(array.as_primitive().clone()),
            D::Interval(_) | D::Duration(_) => {
                return through(D::Interval(IntervalUnit::MonthDayNano));
            }
            D::List(_) => {
                let list: &ListArray = array.as_list();
                let item = match pg_type {
                    PgType::Array(item) => item.as_ref().clone(),
                    PgType::Int2Vector => PgType::Int2,
                    PgType::OidVector => PgType::Oid,
                    _ => PgType::of_arrow(list.values().data_type()),
                };
                Self::List(list.clone(), Box::new(Self::new(list.values(), &item)?))
            }
            D::Struct(_) => {
                let record: &StructArray = array.as_struct();
                match (record.column_by_name("name"), record.column_by_name("oid")) {
                    // A name of the catalogue with what it names.
                    (Some(name), Some(oid)) if !matches!(pg_type, PgType::Text) => {
                        let (name, oid) = (cast(name, &D::Utf8)?, cast(oid, &D::Int64)?);
                        Self::Object(name.as_string().clone(), oid.as_primitive().clone())
                    }
                    _ => {
                        Self::Text((0..record.len()).map(|row| record_text(record, row)).collect())
                    }
                }
            }
            D::LargeList(field) | D::FixedSizeList(field, _) | D::ListView(field) => {
                return through(D::List(field.clone()));
            }
            D::Dictionary(_, values) => return through(values.as_ref().clone()),
            D::RunEndEncoded(_, values) => return through(values.data_type().clone()),
            _ => return through(D::Utf8),
        })
    }

    #[inline]
    pub(super) fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(array) => array.is_null(row),
            Self::I16(array) => array.is_null(row),
            Self::I32(array) => array.is_null(row),
            Self::I64(array) | Self::Timestamp(array, _) => array.is_null(row),
            Self::U64(array) => array.is_null(row),
            Self::F32(array) => array.is_null(row),
            Self::F64(array) => array.is_null(row),
            Self::Decimal128(array, _) => array.is_null(row),
            Self::Decimal256(array, _) => array.is_null(row),
            Self::Text(array) => array.is_null(row),
            Self::LargeText(array) => array.is_null(row),
            Self::TextView(array) => array.is_null(row),
            Self::Bytes(array) => array.is_null(row),
            Self::LargeBytes(array) => array.is_null(row),
            Self::Uuid(array) => array.is_null(row),
            Self::Date(array) => array.is_null(row),
            Self::Time(array) => array.is_null(row),
            Self::Interval(array) => array.is_null(row),
            Self::List(array, _) => array.is_null(row),
            Self::Object(_, oids) => oids.is_null(row),
        }
    }

    /// The text of a cell that holds text.
    #[inline]
    pub(super) fn text(&self, row: usize) -> Option<&str> {
        match self {
            Self::Text(array) => Some(array.value(row)),
            Self::LargeText(array) => Some(array.value(row)),
            Self::TextView(array) => Some(array.value(row)),
            Self::Object(names, _) => Some(names.value(row)),
            _ => None,
        }
    }

    /// The number of a cell that holds an integer.
    #[inline]
    pub(super) fn integer(&self, row: usize) -> Option<i128> {
        match self {
            Self::I16(array) => Some(array.value(row).into()),
            Self::I32(array) => Some(array.value(row).into()),
            Self::I64(array) => Some(array.value(row).into()),
            Self::U64(array) => Some(array.value(row).into()),
            Self::Object(_, oids) => Some(oids.value(row).into()),
            _ => None,
        }
    }
}

/// Whether the writers can show an Arrow type as that Postgres type without a cast first.
fn shown_as_it_is(data_type: &DataType, pg_type: &PgType) -> bool {
    use DataType as D;
    let text = matches!(data_type, D::Utf8 | D::LargeUtf8 | D::Utf8View);
    let integer = data_type.is_integer();
    match (pg_type, data_type) {
        (_, D::Null) => true,
        (_, D::Dictionary(_, values)) => shown_as_it_is(values, pg_type),
        (PgType::Bool, _) => *data_type == D::Boolean,
        // What is computed in eight bytes may be too large for four.
        (PgType::Int4, D::Int64 | D::UInt64 | D::UInt32) => false,
        (PgType::Int2 | PgType::Int4 | PgType::Int8 | PgType::Oid, _) => integer,
        (PgType::Float4, _) => matches!(data_type, D::Float16 | D::Float32),
        (PgType::Float8, _) => *data_type == D::Float64,
        (PgType::Numeric(_), _) => integer || data_type.is_decimal(),
        (PgType::Date, _) => matches!(data_type, D::Date32 | D::Date64),
        (PgType::Time, _) => matches!(data_type, D::Time32(_) | D::Time64(_)),
        (PgType::Timestamp | PgType::Timestamptz, _) => matches!(data_type, D::Timestamp(..)),
        (PgType::Interval, _) => matches!(data_type, D::Interval(_) | D::Duration(_)),
        (PgType::Uuid, _) => text || *data_type == D::FixedSizeBinary(16),
        (PgType::Bytea, _) => {
            matches!(data_type, D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_))
        }
        (PgType::Array(_), _) => {
            text || matches!(data_type, D::List(_) | D::LargeList(_) | D::FixedSizeList(..))
        }
        // Whatever can be written as text.
        _ => true,
    }
}

fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, QueryError> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, to, &options).map_err(|error| {
        tracing::error!(%error, "a column can't be shown in the type that was announced");
        let message = "a value is out of range of the result's type".to_owned();
        SessionError::BadResult { sqlstate: "22003", message }.into()
    })
}
