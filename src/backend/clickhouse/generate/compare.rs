//! Comparisons, so written that ClickHouse's indexes can use them.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;

use super::literal::{self, DATE_RANGE, MICROS_PER_DAY, TIMESTAMP_RANGE};
use super::native::{Native, Stored};
use super::value::{Binding, Value};
use super::{NotPushable, Result, nan};

/// `left op right`, both of one type.
pub(crate) fn compare(op: Operator, left: Value, right: Value) -> Result<Value> {
    if left.literal.is_some() && right.literal.is_none() {
        let op = op.swap().ok_or_else(|| NotPushable::new(format!("the operator {op}")))?;
        return compare(op, right, left);
    }
    let sides = [left.clone(), right.clone()];
    let nullable = !matches!(op, Operator::IsDistinctFrom | Operator::IsNotDistinctFrom)
        && (left.nullable || right.nullable);
    let (op, left_sql, right_sql) = sides_of(op, left, right)?;
    let sql = format!("{left_sql} {} {right_sql}", symbol(op)?);
    let condition = Value::condition(sql, false, Binding::Comparison).computed_from(&sides);
    Ok(Value { nullable, ..condition })
}

fn sides_of(op: Operator, left: Value, right: Value) -> Result<(Operator, String, String)> {
    if let Some(constant) = right.literal.as_ref().filter(|constant| !constant.is_null()) {
        let (column, constant) = unwrap_casts(left, constant.clone());
        if let Some(native) = &column.native
            && let Some((op, constant)) = native_constant(native, op, &constant)
        {
            return Ok((op, native.sql.clone(), constant));
        }
        return Ok((op, column.at(Binding::Sum), literal::literal(&constant)?.sql));
    }
    if let (Some(a), Some(b)) = (&left.native, &right.native)
        && a.stored == b.stored
        && a.is_injective()
        && (is_equality(op) || a.is_ordered())
    {
        return Ok((op, a.sql.clone(), b.sql.clone()));
    }
    Ok((op, without_widening(left).at(Binding::Sum), without_widening(right).at(Binding::Sum)))
}

fn is_equality(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq | Operator::NotEq | Operator::IsDistinctFrom | Operator::IsNotDistinctFrom
    )
}

fn symbol(op: Operator) -> Result<&'static str> {
    Ok(match op {
        Operator::Eq => "=",
        Operator::NotEq => "!=",
        Operator::Lt => "<",
        Operator::LtEq => "<=",
        Operator::Gt => ">",
        Operator::GtEq => ">=",
        Operator::IsDistinctFrom => "IS DISTINCT FROM",
        Operator::IsNotDistinctFrom => "IS NOT DISTINCT FROM",
        other => return Err(NotPushable::new(format!("the operator {other}"))),
    })
}

/// ClickHouse compares integers of different widths by value, so a widening cast does nothing.
fn without_widening(value: Value) -> Value {
    match &value.origin {
        Some(origin) if value.data_type.is_integer() && origin.data_type.is_integer() => {
            without_widening(origin.as_ref().clone())
        }
        _ => value,
    }
}

/// Undoes lossless casts of a column that is compared with a constant, as far as the constant has
/// exactly the same value in the narrower type.
pub(crate) fn unwrap_casts(mut column: Value, mut constant: ScalarValue) -> (Value, ScalarValue) {
    while let Some(origin) = column.origin.as_ref().map(Arc::clone) {
        match narrowed(&constant, &origin.data_type) {
            Some(narrower) => constant = narrower,
            None => break,
        }
        column = origin.as_ref().clone();
    }
    (column, constant)
}

/// The same value as a constant of `to`.
fn narrowed(constant: &ScalarValue, to: &DataType) -> Option<ScalarValue> {
    match (constant, to) {
        (
            ScalarValue::Decimal128(Some(number), _, scale),
            DataType::Decimal128(precision, to_scale),
        ) => {
            let divisor = 10_i128.checked_pow(u32::try_from(scale - to_scale).ok()?)?;
            (number % divisor == 0)
                .then(|| ScalarValue::Decimal128(Some(number / divisor), *precision, *to_scale))
                .filter(|_| (number / divisor).unsigned_abs() < 10_u128.pow(u32::from(*precision)))
        }
        (ScalarValue::Decimal128(Some(number), _, scale), to) => {
            let divisor = 10_i128.checked_pow(u32::try_from(*scale).ok()?)?;
            (number % divisor == 0).then(|| integer_scalar(number / divisor, to)).flatten()
        }
        (ScalarValue::TimestampMicrosecond(Some(micros), _), DataType::Date32) => {
            let days = i32::try_from(micros.div_euclid(MICROS_PER_DAY)).ok()?;
            (micros.rem_euclid(MICROS_PER_DAY) == 0
                && (DATE_RANGE.0..=DATE_RANGE.1).contains(&days))
            .then_some(ScalarValue::Date32(Some(days)))
        }
        (ScalarValue::TimestampMicrosecond(Some(micros), _), DataType::Timestamp(_, zone)) => {
            Some(ScalarValue::TimestampMicrosecond(Some(*micros), zone.clone()))
        }
        (constant, to) => integer_scalar(literal::integer_of(constant)?, to),
    }
}

fn integer_scalar(number: i128, to: &DataType) -> Option<ScalarValue> {
    Some(match to {
        DataType::Int16 => ScalarValue::Int16(Some(i16::try_from(number).ok()?)),
        DataType::Int32 => ScalarValue::Int32(Some(i32::try_from(number).ok()?)),
        DataType::Int64 => ScalarValue::Int64(Some(i64::try_from(number).ok()?)),
        _ => return None,
    })
}

/// The comparison of a stored column with a constant in its stored type.
fn native_constant(
    native: &Native,
    op: Operator,
    constant: &ScalarValue,
) -> Option<(Operator, String)> {
    let exact = if is_equality(op) {
        native.is_injective()
    } else {
        // Of moments finer than microseconds, only these two don't depend on what is cut off.
        native.is_ordered()
            && (native.is_injective() || matches!(op, Operator::Lt | Operator::GtEq))
    };
    if !exact {
        return None;
    }
    if let Some(sql) = native.constant(constant) {
        return Some((op, sql));
    }
    let (op, constant) = floored(native, op, constant)?;
    Some((op, native.constant(&constant)?))
}

/// Between two moments that a column can store, every order comparison is one with the earlier.
fn floored(
    native: &Native,
    op: Operator,
    constant: &ScalarValue,
) -> Option<(Operator, ScalarValue)> {
    let unit = match native.stored {
        Stored::DateTime => 1_000_000,
        Stored::DateTime64(digits) => 10_i64.pow(6_u32.checked_sub(digits)?),
        _ => return None,
    };
    let ScalarValue::TimestampMicrosecond(Some(micros), zone) = constant else {
        return None;
    };
    let floor = micros - micros.rem_euclid(unit);
    let op = match op {
        Operator::Lt | Operator::LtEq => Operator::LtEq,
        Operator::Gt | Operator::GtEq => Operator::Gt,
        _ => return None,
    };
    Some((op, ScalarValue::TimestampMicrosecond(Some(floor), zone.clone())))
}

/// An order comparison with a day or moment that ClickHouse can't hold, as one with the last that it
/// can: everything stored is on the same side of both.
pub(crate) fn clamped(op: Operator, constant: &ScalarValue) -> Option<(Operator, ScalarValue)> {
    let (below, nearest) = match constant {
        ScalarValue::Date32(Some(days)) => {
            let nearest = (*days).clamp(DATE_RANGE.0, DATE_RANGE.1);
            (*days < nearest, (*days != nearest).then_some(ScalarValue::Date32(Some(nearest)))?)
        }
        ScalarValue::TimestampMicrosecond(Some(micros), zone) => {
            let nearest = (*micros).clamp(TIMESTAMP_RANGE.0, TIMESTAMP_RANGE.1);
            let clamped = ScalarValue::TimestampMicrosecond(Some(nearest), zone.clone());
            (*micros < nearest, (*micros != nearest).then_some(clamped)?)
        }
        _ => return None,
    };
    let op = match (op, below) {
        (Operator::Lt | Operator::LtEq, true) => Operator::Lt,
        (Operator::Gt | Operator::GtEq, true) => Operator::GtEq,
        (Operator::Lt | Operator::LtEq, false) => Operator::LtEq,
        (Operator::Gt | Operator::GtEq, false) => Operator::Gt,
        _ => return None,
    };
    Some((op, nearest))
}

/// `value IN (constants)`, of constants that aren't NULL; negated too. NULL where the value is NULL.
pub(crate) fn in_constants(
    value: Value,
    constants: &[ScalarValue],
    negated: bool,
) -> Result<Value> {
    if nan::is_possible(&value) && constants.iter().any(nan::is_nan) {
        return Err(NotPushable::new("NaN in a list"));
    }
    let (column, constants) = unwrap_all(value, constants);
    let natives =
        column.native.as_ref().filter(|native| native.is_injective()).and_then(|native| {
            let items: Option<Vec<String>> =
                constants.iter().map(|constant| native.constant(constant)).collect();
            items.map(|items| (native.sql.clone(), items))
        });
    let (sql, items) = match natives {
        Some(natives) => natives,
        None => {
            let items: Result<Vec<String>> = constants
                .iter()
                .map(|constant| literal::literal(constant).map(|value| value.sql))
                .collect();
            // The list is looked up by bits, in which the zeros differ.
            let has_zero = nan::is_float(&column.data_type)
                && constants.iter().any(|constant| constant.to_string() == "0");
            let sql = match has_zero {
                true => format!("({} + 0.)", column.at(Binding::Sum)),
                false => column.at(Binding::Sum),
            };
            (sql, items?)
        }
    };
    let keyword = if negated { "NOT IN" } else { "IN" };
    let sql = format!("{sql} {keyword} ({})", items.join(", "));
    Ok(Value::condition(sql, false, Binding::Comparison).computed_from([&column]))
}

fn unwrap_all(value: Value, constants: &[ScalarValue]) -> (Value, Vec<ScalarValue>) {
    let Some(origin) = value.origin.as_ref().map(Arc::clone) else {
        return (value, constants.to_vec());
    };
    let narrower: Option<Vec<ScalarValue>> =
        constants.iter().map(|constant| narrowed(constant, &origin.data_type)).collect();
    match narrower {
        Some(narrower) => unwrap_all(origin.as_ref().clone(), &narrower),
        None => (value, constants.to_vec()),
    }
}
