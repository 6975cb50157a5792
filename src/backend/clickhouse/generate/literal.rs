//! Literals and type names in ClickHouse's SQL.

use std::fmt::Write;

use chrono::{DateTime, NaiveDate};
use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNano, TimeUnit};
use datafusion::common::ScalarValue;

use super::value::{Binding, Value};
use super::{NotPushable, Result};
use crate::functions::Interval;

/// A string literal. ClickHouse takes backslashes as escapes, and control characters are escaped so
/// that the statement stays readable in logs; everything else stands for itself.
pub(crate) fn text(value: &str) -> String {
    let mut sql = String::with_capacity(value.len() + 2);
    sql.push('\'');
    for character in value.chars() {
        match character {
            '\\' => sql.push_str("\\\\"),
            '\'' => sql.push_str("\\'"),
            '\n' => sql.push_str("\\n"),
            '\r' => sql.push_str("\\r"),
            '\t' => sql.push_str("\\t"),
            '\0' => sql.push_str("\\0"),
            other => sql.push(other),
        }
    }
    sql.push('\'');
    sql
}

/// The name of a source's table or column.
pub(crate) fn identifier(name: &str) -> String {
    let mut sql = String::with_capacity(name.len() + 2);
    sql.push('`');
    for character in name.chars() {
        match character {
            '\\' => sql.push_str("\\\\"),
            '`' => sql.push_str("\\`"),
            '\n' => sql.push_str("\\n"),
            '\0' => sql.push_str("\\0"),
            other => sql.push(other),
        }
    }
    sql.push('`');
    sql
}

/// The canonical type, not nullable.
pub(crate) fn clickhouse_type(data_type: &DataType) -> Result<String> {
    Ok(match data_type {
        DataType::Boolean => "Bool".to_owned(),
        DataType::Int8 => "Int8".to_owned(),
        DataType::Int16 => "Int16".to_owned(),
        DataType::Int32 => "Int32".to_owned(),
        DataType::Int64 => "Int64".to_owned(),
        DataType::UInt8 => "UInt8".to_owned(),
        DataType::UInt16 => "UInt16".to_owned(),
        DataType::UInt32 => "UInt32".to_owned(),
        DataType::UInt64 => "UInt64".to_owned(),
        DataType::Float32 => "Float32".to_owned(),
        DataType::Float64 => "Float64".to_owned(),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale)
            if *scale >= 0 =>
        {
            format!("Decimal({precision}, {scale})")
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "String".to_owned(),
        DataType::Date32 => "Date32".to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => "DateTime64(6, 'UTC')".to_owned(),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => "DateTime64(9, 'UTC')".to_owned(),
        DataType::Timestamp(TimeUnit::Millisecond, _) => "DateTime64(3, 'UTC')".to_owned(),
        DataType::Timestamp(TimeUnit::Second, _) => "DateTime64(0, 'UTC')".to_owned(),
        other => return Err(NotPushable::new(format!("values of type {other}"))),
    })
}

/// NULL of a type.
pub(crate) fn null(data_type: &DataType) -> Result<String> {
    if *data_type == DataType::Null {
        return Ok("NULL".to_owned());
    }
    Ok(format!("CAST(NULL AS Nullable({}))", clickhouse_type(data_type)?))
}

/// A literal with its type.
pub(crate) fn literal(value: &ScalarValue) -> Result<Value> {
    let data_type = value.data_type();
    let sql = match value {
        ScalarValue::IntervalMonthDayNano(None) => null(&DataType::Int64)?,
        ScalarValue::IntervalMonthDayNano(Some(interval)) => span(*interval)?,
        value if value.is_null() => null(&data_type)?,
        value => literal_sql(value)?,
    };
    let range = integer_of(value).map(|number| (number, number));
    let binding = if sql.starts_with('-') { Binding::Sum } else { Binding::Atom };
    let sql = if binding == Binding::Sum { format!("({sql})") } else { sql };
    Ok(Value { literal: Some(value.clone()), range, ..Value::new(sql, data_type, value.is_null()) })
}

/// An interval that its user writes in a way of its own.
pub(crate) fn added(value: &ScalarValue) -> Value {
    Value { literal: Some(value.clone()), ..Value::new(String::new(), value.data_type(), false) }
}

/// An interval as differences of moments are: in microseconds. Of others they don't tell all.
fn span(interval: IntervalMonthDayNano) -> Result<String> {
    let interval = Interval::from(interval);
    let alike = Interval::of_order(interval.order()).ok().filter(|alike| *alike == interval);
    let alike =
        alike.ok_or_else(|| NotPushable::new("an interval that no two moments differ by"))?;
    // A constant alone would be of the narrowest type.
    Ok(format!("toInt64({})", integer(alike.order())))
}

fn literal_sql(value: &ScalarValue) -> Result<String> {
    if let Some(number) = integer_of(value) {
        return Ok(integer(number));
    }
    Ok(match value {
        ScalarValue::Boolean(Some(truth)) => truth.to_string(),
        ScalarValue::Float32(Some(number)) => float32(*number),
        ScalarValue::Float64(Some(number)) => float64(*number),
        ScalarValue::Decimal128(Some(number), precision, scale) if *scale >= 0 => {
            decimal(&number.to_string(), *precision, *scale)
        }
        ScalarValue::Decimal256(Some(number), precision, scale) if *scale >= 0 => {
            decimal(&number.to_string(), *precision, *scale)
        }
        ScalarValue::Utf8(Some(value))
        | ScalarValue::LargeUtf8(Some(value))
        | ScalarValue::Utf8View(Some(value)) => text(value),
        ScalarValue::Date32(Some(days)) => date(*days)?,
        ScalarValue::TimestampMicrosecond(Some(micros), _) => timestamp(*micros)?,
        ScalarValue::TimestampSecond(Some(seconds), _) => scaled_timestamp(*seconds, 1_000_000)?,
        ScalarValue::TimestampMillisecond(Some(millis), _) => scaled_timestamp(*millis, 1_000)?,
        ScalarValue::TimestampNanosecond(Some(nanos), _) if nanos % 1_000 == 0 => {
            timestamp(nanos / 1_000)?
        }
        other => {
            return Err(NotPushable::new(format!("a constant of type {}", other.data_type())));
        }
    })
}

/// The number of an integer literal of any width.
pub(crate) fn integer_of(value: &ScalarValue) -> Option<i128> {
    Some(match value {
        ScalarValue::Int8(Some(number)) => i128::from(*number),
        ScalarValue::Int16(Some(number)) => i128::from(*number),
        ScalarValue::Int32(Some(number)) => i128::from(*number),
        ScalarValue::Int64(Some(number)) => i128::from(*number),
        ScalarValue::UInt8(Some(number)) => i128::from(*number),
        ScalarValue::UInt16(Some(number)) => i128::from(*number),
        ScalarValue::UInt32(Some(number)) => i128::from(*number),
        ScalarValue::UInt64(Some(number)) => i128::from(*number),
        _ => return None,
    })
}

/// Digits stand for themselves up to 32 bits. Beyond, ClickHouse would take a positive literal for
/// UInt64, which has no common type with Int64.
fn integer(number: i128) -> String {
    if number.unsigned_abs() < 1 << 31 {
        number.to_string()
    } else if number > i128::from(i64::MAX) {
        format!("toUInt64('{number}')")
    } else {
        format!("toInt64('{number}')")
    }
}

/// The shortest digits that read back as the same float.
fn float64(number: f64) -> String {
    if number.is_nan() {
        "toFloat64(nan)".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 { "toFloat64(inf)".to_owned() } else { "toFloat64(-inf)".to_owned() }
    } else {
        format!("{number:e}")
    }
}

fn float32(number: f32) -> String {
    if number.is_nan() {
        "toFloat32(nan)".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 { "toFloat32(inf)".to_owned() } else { "toFloat32(-inf)".to_owned() }
    } else {
        format!("toFloat32({number:e})")
    }
}

/// `digits` are the unscaled number.
fn decimal(digits: &str, precision: u8, scale: i8) -> String {
    let width = match precision {
        0..=9 => 32,
        10..=18 => 64,
        19..=38 => 128,
        _ => 256,
    };
    format!("toDecimal{width}('{}', {scale})", with_point(digits, scale))
}

/// Puts the decimal point into the digits of an unscaled number.
pub(crate) fn with_point(digits: &str, scale: i8) -> String {
    let scale = usize::try_from(scale).unwrap_or_default();
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", digits),
    };
    if scale == 0 {
        return format!("{sign}{digits}");
    }
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

/// Days since 1970 that Date32 can hold: 1900-01-01 to 2299-12-31.
pub(crate) const DATE_RANGE: (i32, i32) = (-25_567, 120_529);

/// What DateTime64 can hold, in microseconds since 1970.
pub(crate) const TIMESTAMP_RANGE: (i64, i64) =
    (-25_567 * MICROS_PER_DAY, (120_529 + 1) * MICROS_PER_DAY - 1);

pub(crate) const MICROS_PER_DAY: i64 = 86_400_000_000;

/// The day as `YYYY-MM-DD`.
pub(crate) fn date_text(days: i32) -> Result<String> {
    NaiveDate::from_epoch_days(days)
        .map(|date| date.format("%Y-%m-%d").to_string())
        .ok_or_else(|| NotPushable::new("a date out of range"))
}

pub(crate) fn date(days: i32) -> Result<String> {
    if !(DATE_RANGE.0..=DATE_RANGE.1).contains(&days) {
        return Err(NotPushable::new("a date that ClickHouse can't hold"));
    }
    Ok(format!("toDate32('{}')", date_text(days)?))
}

fn scaled_timestamp(number: i64, micros: i64) -> Result<String> {
    number
        .checked_mul(micros)
        .ok_or_else(|| NotPushable::new("a timestamp out of range"))
        .and_then(timestamp)
}

/// Microseconds since 1970 as DateTime64(6), which ends at the years 1900 and 2299.
pub(crate) fn timestamp(micros: i64) -> Result<String> {
    timestamp_text(micros, 6)
        .map(|text| format!("toDateTime64('{text}', 6, 'UTC')"))
        .ok_or_else(|| NotPushable::new("a timestamp that ClickHouse can't hold"))
}

/// `YYYY-MM-DD hh:mm:ss[.fraction]`, where ClickHouse reads it back and `digits` of a second suffice.
pub(crate) fn timestamp_text(micros: i64, digits: u32) -> Option<String> {
    if !(TIMESTAMP_RANGE.0..=TIMESTAMP_RANGE.1).contains(&micros) {
        return None;
    }
    let instant = DateTime::from_timestamp_micros(micros)?;
    let mut text = instant.format("%Y-%m-%d %H:%M:%S").to_string();
    let mut fraction = instant.timestamp_subsec_micros();
    if fraction > 0 {
        let mut width = 6_usize;
        while fraction % 10 == 0 {
            fraction /= 10;
            width -= 1;
        }
        if width > usize::try_from(digits).ok()? {
            return None;
        }
        write!(text, ".{fraction:0>width$}").ok()?;
    }
    Some(text)
}
