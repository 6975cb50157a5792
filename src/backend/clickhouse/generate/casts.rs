//! Casts that mean the same in both engines.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::datatypes::TimeUnit::Microsecond;

use super::functions::{self, REPEATED_MAX};
use super::literal;
use super::value::{Midnight, Value};
use super::{NotPushable, Result, nan};

/// `CAST(value AS to)`.
pub(crate) fn cast(value: Value, to: &DataType) -> Result<Value> {
    use DataType::{
        Boolean, Date32, Decimal128, Decimal256, Float32, Float64, LargeUtf8, Timestamp, Utf8,
        Utf8View,
    };
    if value.data_type == *to {
        return Ok(value);
    }
    if value.is_null_literal() || value.data_type == DataType::Null {
        let null = datafusion::common::ScalarValue::try_from(to).map_err(super::expr::untyped)?;
        return literal::literal(&null);
    }
    match (&value.data_type.clone(), to) {
        (from, to) if from.is_integer() && to.is_integer() => integers(value, to),
        (from, Decimal128(precision, scale)) if from.is_integer() => {
            integer_to_decimal(value, to, *precision, *scale)
        }
        (from, Float64) if from.is_integer() || matches!(from, Float32 | Decimal128(_, _)) => {
            Ok(nan::computed(derived(&value, "toFloat64", to), [&value]))
        }
        (from, Utf8) if from.is_integer() => Ok(derived(&value, "toString", to)),
        (Date32, Utf8) => Ok(derived(&value, "toString", to)),
        (Boolean, Utf8) => {
            let sql = format!("toString({})", value.typed()?);
            Ok(Value::new(sql, Utf8, false).computed_from([&value]))
        }
        (Decimal128(_, scale), Utf8) if *scale >= 0 => {
            let sql = format!("toDecimalString({}, {scale})", value.sql);
            Ok(Value::new(sql, Utf8, false).computed_from([&value]))
        }
        (Boolean, to) if to.is_integer() => {
            let range = Some((0, 1));
            Ok(Value { range, ..derived(&value, &format!("to{to}"), to) })
        }
        (Utf8 | LargeUtf8 | Utf8View, Utf8 | LargeUtf8 | Utf8View) => {
            Ok(Value { data_type: to.clone(), ..value })
        }
        (
            Decimal128(from_precision, from_scale),
            Decimal128(precision, scale) | Decimal256(precision, scale),
        ) => decimals(&value, to, (*from_precision, *from_scale), (*precision, *scale)),
        (Date32, Timestamp(Microsecond, _)) => {
            let sql = format!("toDateTime64({}, 6, 'UTC')", value.sql);
            let (day, key) = (value.sql.clone(), value.sql.clone());
            let midnight = Some(Arc::new(Midnight { day, key, is_first: false }));
            Ok(Value { midnight, ..lossless(sql, value, to)? })
        }
        (Timestamp(Microsecond, _), Date32) => {
            let sql = functions::day_of(&value);
            Ok(Value::new(sql, Date32, false).computed_from([&value]))
        }
        // Both are counted from 1970 in UTC: the session's zone is dealt with before.
        (Timestamp(Microsecond, _), Timestamp(Microsecond, _)) => {
            Ok(Value { data_type: to.clone(), ..value })
        }
        (from, to) => Err(NotPushable::new(format!("a cast from {from} to {to}"))),
    }
}

fn derived(value: &Value, function: &str, to: &DataType) -> Value {
    Value::new(format!("{function}({})", value.sql), to.clone(), false).computed_from([value])
}

/// A cast that comparisons with constants may undo.
fn lossless(sql: String, value: Value, to: &DataType) -> Result<Value> {
    let cast = Value::new(sql, to.clone(), false).computed_from([&value]);
    Ok(Value { range: value.range, plain: value.plain, origin: Some(Arc::new(value)), ..cast })
}

fn integers(value: Value, to: &DataType) -> Result<Value> {
    let (low, high) = value.integer_range()?;
    let (least, greatest) = super::value::integer_range(to)
        .ok_or_else(|| NotPushable::new(format!("a cast to {to}")))?;
    if least <= low && high <= greatest {
        let range = Some((low, high));
        let value = Value { range, ..value };
        return lossless(format!("to{to}({})", value.sql), value, to);
    }
    let sql = format!("accurateCast({}, '{to}')", value.sql);
    Ok(Value::new(sql, to.clone(), false).computed_from([&value]))
}

fn integer_to_decimal(value: Value, to: &DataType, precision: u8, scale: i8) -> Result<Value> {
    let (low, high) = value.integer_range()?;
    let digits = i16::from(precision) - i16::from(scale);
    let limit = u32::try_from(digits).ok().and_then(|digits| 10_i128.checked_pow(digits));
    match limit {
        Some(limit) if low > -limit && high < limit => {
            let sql = value.cast_sql(to)?;
            lossless(sql, value, to)
        }
        _ => checked(&value, &value.sql, 0, digits, to),
    }
}

/// `sql`, a number of this scale, as a decimal with so many digits before the point. ClickHouse
/// itself would notice what is too large only beyond the width.
fn checked(value: &Value, sql: &str, scale: i8, digits: i16, to: &DataType) -> Result<Value> {
    if sql.len() > REPEATED_MAX {
        return Err(NotPushable::new("a long expression cast to a smaller decimal"));
    }
    let zeros = "0".repeat(usize::try_from(digits).unwrap_or_default());
    // Numbers of equal scale are compared without a conversion.
    let limit = match i16::from(scale) + digits < 38 {
        true => format!("toDecimal128('1{zeros}', {scale})"),
        false => format!("toDecimal256('1{zeros}', 0)"),
    };
    let message = literal::text("numeric field overflow: out of range");
    let sql = format!("({sql}) + throwIf(abs({sql}) >= {limit}, {message})");
    let checked = Value { sql, ..value.clone() };
    Ok(Value::new(checked.cast_sql(to)?, to.clone(), false).computed_from([value]))
}

/// A smaller scale rounds half away from zero; a number beyond the precision is an error.
fn decimals(value: &Value, to: &DataType, from: (u8, i8), into: (u8, i8)) -> Result<Value> {
    let whole = |(precision, scale): (u8, i8)| i16::from(precision) - i16::from(scale);
    if into.1 >= from.1 && whole(into) >= whole(from) {
        return lossless(value.cast_sql(to)?, value.clone(), to);
    }
    let rounded = match into.1 < from.1 {
        true => format!("round({}, {})", value.sql, into.1),
        false => value.sql.clone(),
    };
    // Rounding up may need one digit more.
    if whole(into) > whole(from) {
        let rounded = Value { sql: rounded, ..value.clone() };
        return Ok(Value::new(rounded.cast_sql(to)?, to.clone(), false).computed_from([value]));
    }
    checked(value, &rounded, into.1.min(from.1), whole(into), to)
}
