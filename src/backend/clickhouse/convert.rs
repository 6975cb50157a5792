//! Batches as ClickHouse sends them, to the declared schema by position. A value that doesn't fit
//! is an error, never another value.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, GenericBinaryArray, IntervalMonthDayNanoArray,
    ListArray, OffsetSizeTrait, RecordBatch, RecordBatchOptions, StringArray, StringBuilder,
};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{
    DataType, Int64Type, IntervalMonthDayNano, IntervalUnit, SchemaRef, UInt8Type,
};
use datafusion::arrow::error::ArrowError;

use crate::backend::BackendError;
use crate::functions::{FunctionError, Interval};

/// The columns of `batch` under the names and types of `schema`.
///
/// # Errors
/// [`BackendError::OutOfRange`] for numbers and instants that the declared type can't hold,
/// [`BackendError::InvalidText`] for texts that aren't UTF-8, [`BackendError::Internal`] where the
/// statement answers with other columns than it was written for.
pub(super) fn convert(
    batch: &RecordBatch,
    schema: &SchemaRef,
) -> Result<RecordBatch, BackendError> {
    // SQL has no rows without columns: where none is declared, one is sent to be counted.
    let given = if schema.fields().is_empty() { &[] } else { batch.columns() };
    if given.len() != schema.fields().len() {
        return Err(internal(format!(
            "{} columns arrived, {} are declared",
            given.len(),
            schema.fields().len()
        )));
    }
    let columns = given
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| column_as(column, field.data_type()))
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|error| internal(error.to_string()))
}

fn column_as(column: &ArrayRef, declared: &DataType) -> Result<ArrayRef, BackendError> {
    let given = column.data_type();
    match (given, declared) {
        _ if given == declared => Ok(Arc::clone(column)),
        (DataType::Binary, DataType::Utf8) => text_of(column.as_binary::<i32>()),
        (DataType::LargeBinary, DataType::Utf8) => text_of(column.as_binary::<i64>()),
        (DataType::FixedSizeBinary(_), DataType::Utf8) => padded_text_of(column),
        (DataType::Binary | DataType::LargeBinary, DataType::Utf8View | DataType::LargeUtf8) => {
            cast(&column_as(column, &DataType::Utf8)?, declared)
        }
        (DataType::Dictionary(_, values), _) => {
            let plain = cast(column, values)?;
            column_as(&plain, declared)
        }
        (DataType::UInt8, DataType::Boolean) => boolean_of(column),
        (DataType::Int64, DataType::Interval(IntervalUnit::MonthDayNano)) => spans_of(column),
        (DataType::List(_), DataType::List(item)) => {
            let list = column.as_list::<i32>();
            let values = column_as(list.values(), item.data_type())?;
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            let list = ListArray::try_new(Arc::clone(item), offsets, values, nulls);
            Ok(Arc::new(list.map_err(|error| internal(error.to_string()))?))
        }
        _ if widens(given, declared) => cast(column, declared),
        _ => Err(internal(format!("{given} arrived where {declared} is declared"))),
    }
}

/// Whether a checked cast gives the same value or an error.
fn widens(given: &DataType, declared: &DataType) -> bool {
    let scale_of = |data_type: &DataType| match data_type {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => Some(*scale),
        integer if integer.is_integer() => Some(0),
        _ => None,
    };
    match (given, declared) {
        (DataType::Null, _) => true,
        (from, to) if from.is_integer() && to.is_integer() => true,
        (from, DataType::Float64) if from.is_integer() || from.is_decimal() => true,
        (DataType::Float32, DataType::Float64) => true,
        (from, to) if to.is_decimal() => {
            // A smaller scale would round.
            scale_of(from).zip(scale_of(to)).is_some_and(|(from, to)| from <= to)
        }
        (DataType::Decimal128(_, 0) | DataType::Decimal256(_, 0), to) if to.is_integer() => true,
        (DataType::Timestamp(_, _), DataType::Timestamp(_, _)) => true,
        (DataType::Date32, DataType::Timestamp(_, _)) => true,
        (DataType::LargeUtf8 | DataType::Utf8View, DataType::Utf8) => true,
        _ => false,
    }
}

/// Every number, instant or text that doesn't fit is an error.
fn cast(column: &ArrayRef, declared: &DataType) -> Result<ArrayRef, BackendError> {
    let checked = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, declared, &checked).map_err(|error| match error {
        ArrowError::CastError(_)
        | ArrowError::ArithmeticOverflow(_)
        | ArrowError::InvalidArgumentError(_)
        | ArrowError::ComputeError(_) => BackendError::OutOfRange,
        other => internal(other.to_string()),
    })
}

/// ClickHouse's truth values before it had booleans.
fn boolean_of(column: &ArrayRef) -> Result<ArrayRef, BackendError> {
    let numbers = column.as_primitive::<UInt8Type>();
    if numbers.iter().flatten().any(|number| number > 1) {
        return Err(BackendError::OutOfRange);
    }
    Ok(Arc::new(BooleanArray::from_unary(numbers, |number| number == 1)))
}

/// Differences of moments arrive in microseconds.
fn spans_of(column: &ArrayRef) -> Result<ArrayRef, BackendError> {
    let span = |micros: i64| -> Result<IntervalMonthDayNano, FunctionError> {
        Interval::between(0, micros)?.to_arrow()
    };
    let micros = column.as_primitive::<Int64Type>();
    let spans: Result<IntervalMonthDayNanoArray, FunctionError> =
        micros.iter().map(|micros| micros.map(span).transpose()).collect();
    Ok(Arc::new(spans.map_err(|_| BackendError::OutOfRange)?))
}

/// Strings arrive as bytes, since ClickHouse's may be any.
fn text_of<O: OffsetSizeTrait>(bytes: &GenericBinaryArray<O>) -> Result<ArrayRef, BackendError> {
    if O::IS_LARGE {
        let texts = bytes.iter().map(|value| value.map(text).transpose());
        let texts: StringArray = texts.collect::<Result<_, _>>()?;
        return Ok(Arc::new(texts));
    }
    let (offsets, values, nulls) = bytes.clone().into_parts();
    match datafusion::arrow::array::GenericStringArray::<O>::try_new(offsets, values, nulls) {
        Ok(texts) => Ok(Arc::new(texts)),
        Err(error) => match bytes.iter().flatten().find_map(|value| text(value).err()) {
            Some(invalid) => Err(invalid),
            None => Err(internal(error.to_string())),
        },
    }
}

fn text(bytes: &[u8]) -> Result<&str, BackendError> {
    std::str::from_utf8(bytes).map_err(|_| BackendError::InvalidText {
        data_type: "text".to_owned(),
        text: String::from_utf8_lossy(bytes).into_owned(),
    })
}

/// A FixedString, without the zero bytes that fill it.
fn padded_text_of(column: &ArrayRef) -> Result<ArrayRef, BackendError> {
    let bytes = column.as_fixed_size_binary();
    let mut texts = StringBuilder::with_capacity(bytes.len(), bytes.values().len());
    for value in bytes.iter() {
        match value {
            Some(value) => {
                let end = value.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
                texts.append_value(text(&value[..end])?);
            }
            None => texts.append_null(),
        }
    }
    Ok(Arc::new(texts.finish()))
}

fn internal(detail: String) -> BackendError {
    BackendError::Internal(detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{
        BinaryArray, Decimal128Array, FixedSizeBinaryArray, Int64Array, TimestampSecondArray,
        UInt8Array, UInt64Array,
    };
    use datafusion::arrow::datatypes::TimeUnit;
    use datafusion::arrow::util::display::array_value_to_string;

    fn first(column: ArrayRef, declared: &DataType) -> Result<String, BackendError> {
        let converted = column_as(&column, declared)?;
        assert_eq!(converted.data_type(), declared);
        Ok(array_value_to_string(&converted, 0).unwrap())
    }

    #[test]
    fn values_widen_and_never_wrap() {
        let count = |value: u64| Arc::new(UInt64Array::from(vec![value])) as ArrayRef;
        assert_eq!(first(count(7), &DataType::Int64).unwrap(), "7");
        let error = first(count(u64::MAX), &DataType::Int64).unwrap_err();
        assert!(matches!(error, BackendError::OutOfRange), "{error:?}");
        let wide = first(count(u64::MAX), &DataType::Decimal128(20, 0)).unwrap();
        assert_eq!(wide, "18446744073709551615");

        let truth = |value: u8| Arc::new(UInt8Array::from(vec![value])) as ArrayRef;
        assert_eq!(first(truth(1), &DataType::Boolean).unwrap(), "true");
        assert!(matches!(first(truth(2), &DataType::Boolean), Err(BackendError::OutOfRange)));

        let money = |value: i128| -> ArrayRef {
            let array = Decimal128Array::from(vec![value]).with_precision_and_scale(38, 2);
            Arc::new(array.unwrap())
        };
        assert_eq!(first(money(150), &DataType::Decimal128(38, 4)).unwrap(), "1.5000");
        let error = first(money(123_456), &DataType::Decimal128(4, 2)).unwrap_err();
        assert!(matches!(error, BackendError::OutOfRange), "{error:?}");
        let rounding = first(money(150), &DataType::Decimal128(38, 0)).unwrap_err();
        assert!(matches!(rounding, BackendError::Internal(_)), "{rounding:?}");

        let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let seconds: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX]));
        assert!(matches!(first(seconds, &micros), Err(BackendError::OutOfRange)));
        let number: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        assert!(matches!(first(number, &DataType::Utf8), Err(BackendError::Internal(_))));
    }

    #[test]
    fn bytes_are_text_only_if_they_are_utf_8() {
        let bytes = |value: &[u8]| Arc::new(BinaryArray::from(vec![value])) as ArrayRef;
        assert_eq!(first(bytes("ünï".as_bytes()), &DataType::Utf8).unwrap(), "ünï");
        let error = first(bytes(b"caf\xe9"), &DataType::Utf8).unwrap_err();
        assert!(matches!(error, BackendError::InvalidText { .. }), "{error:?}");
        let padded: ArrayRef = Arc::new(
            FixedSizeBinaryArray::try_from_iter([b"ab\0\0".as_slice()].into_iter()).unwrap(),
        );
        assert_eq!(first(padded, &DataType::Utf8).unwrap(), "ab");
    }
}
