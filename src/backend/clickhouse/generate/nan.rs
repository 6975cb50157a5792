//! NaN among floats. In Postgres it equals itself and is greater than all other numbers; in
//! ClickHouse it equals nothing, comes beside the NULLs, has no part in `max`, and groups by its bits.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;

use super::compare;
use super::functions::REPEATED_MAX;
use super::value::{Binding, Level, Value};
use super::{NotPushable, Result};

/// Whether a value may be NaN.
pub(super) fn is_possible(value: &Value) -> bool {
    if !is_float(&value.data_type) {
        return false;
    }
    match &value.literal {
        Some(literal) => is_nan(literal),
        None => !value.is_number,
    }
}

/// A value computed from others: no NaN where none of them may be one.
///
/// Sums of finite numbers end in NaN only beyond the range of floats, which is an error in Postgres.
pub(super) fn computed<'a>(value: Value, parts: impl IntoIterator<Item = &'a Value>) -> Value {
    let is_number = is_float(&value.data_type) && !parts.into_iter().any(is_possible);
    Value { is_number, ..value }
}

pub(super) fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64)
}

pub(super) fn is_nan(constant: &ScalarValue) -> bool {
    match constant {
        ScalarValue::Float64(Some(number)) => number.is_nan(),
        ScalarValue::Float32(Some(number)) => number.is_nan(),
        _ => false,
    }
}

/// NaN of a type.
pub(super) fn literal(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Float32 => "toFloat32(nan)",
        _ => "nan",
    }
}

/// `left op right`, as Postgres compares.
pub(super) fn compare(op: Operator, left: Value, right: Value) -> Result<Value> {
    if left.literal.is_some() && right.literal.is_none() {
        let op = op.swap().ok_or_else(|| NotPushable::new(format!("the operator {op}")))?;
        return compare(op, right, left);
    }
    match (is_possible(&left), is_possible(&right)) {
        (false, false) => compare::compare(op, left, right),
        (true, true) => compare_both(op, left, right),
        (true, false) => match op {
            Operator::Gt => greater(Operator::LtEq, op, left, right),
            Operator::GtEq => greater(Operator::Lt, op, left, right),
            _ => compare::compare(op, left, right),
        },
        (false, true) => match op {
            Operator::Lt => opposite(Operator::GtEq, left, right),
            Operator::LtEq => opposite(Operator::Gt, left, right),
            _ => compare::compare(op, left, right),
        },
    }
}

/// `left op right`, which is true of NaN on the left alone. ClickHouse's indexes look through NOT as if
/// NaN weren't there, so a row's own value is asked for it.
fn greater(opposite_op: Operator, op: Operator, left: Value, right: Value) -> Result<Value> {
    let is_indexed = left.level == Level::Row && right.literal.is_some();
    if !is_indexed || left.sql.len() > REPEATED_MAX {
        return opposite(opposite_op, left, right);
    }
    if right.is_null_literal() {
        return compare::compare(op, left, right);
    }
    let is_nan = format!("isNaN({})", left.sql);
    let plain = compare::compare(op, left, right)?;
    let sql = format!("{} OR {is_nan}", plain.sql);
    Ok(Value { sql, binding: Binding::Or, ..plain })
}

/// The opposite of `left op right`: true where ClickHouse's comparison with NaN is false.
fn opposite(op: Operator, left: Value, right: Value) -> Result<Value> {
    let plain = compare::compare(op, left, right)?;
    let sql = format!("NOT {}", plain.at(Binding::Comparison));
    Ok(Value { sql, binding: Binding::Not, ..plain })
}

/// Of two values that may both be NaN.
fn compare_both(op: Operator, left: Value, right: Value) -> Result<Value> {
    if left.sql.len().max(right.sql.len()) > REPEATED_MAX {
        return Err(NotPushable::new("the comparison of long expressions that may be NaN"));
    }
    let (a, b) = (left.sql.clone(), right.sql.clone());
    let both = format!("isNaN({a}) AND isNaN({b})");
    let plain = compare::compare(op, left, right)?;
    let own = &plain.sql;
    let sql = match op {
        Operator::Eq => format!("{own} OR {both}"),
        Operator::NotEq => format!("{own} AND NOT ({both})"),
        Operator::Gt => format!("{own} OR isNaN({a}) AND NOT isNaN({b})"),
        Operator::Lt => format!("{own} OR isNaN({b}) AND NOT isNaN({a})"),
        // NULL beside NaN is NULL.
        Operator::GtEq => format!("{own} OR isNaN({a}) AND {b} IS NOT NULL"),
        Operator::LtEq => format!("{own} OR isNaN({b}) AND {a} IS NOT NULL"),
        Operator::IsNotDistinctFrom => format!("{own} OR ifNull({both}, false)"),
        Operator::IsDistinctFrom => format!("{own} AND NOT ifNull({both}, false)"),
        other => return Err(NotPushable::new(format!("the operator {other}"))),
    };
    Ok(Value { sql: format!("({sql})"), binding: Binding::Atom, ..plain })
}

/// A value by which rows are grouped or told apart: every NaN the same, and both zeros.
pub(super) fn key(value: Value) -> Result<Value> {
    if !is_possible(&value) || value.literal.is_some() {
        return Ok(value);
    }
    if value.sql.len() > REPEATED_MAX {
        return Err(NotPushable::new("groups by a long expression that may be NaN"));
    }
    let mut sql = format!("if(isNaN({0}), nan, {0} + 0.)", value.at(Binding::Sum));
    if value.data_type == DataType::Float32 {
        sql = format!("CAST({sql} AS Float32)");
    }
    let key = Value { level: value.level, ..Value::new(sql, value.data_type, value.nullable) };
    Ok(key)
}

/// What stands before a key of ORDER BY for NaN to be the greatest, where it isn't already: ClickHouse
/// has it beside the NULLs.
pub(super) fn sort_key(value: &Value, sql: &str, asc: bool, nulls_first: bool) -> Option<String> {
    (is_possible(value) && asc == nulls_first).then(|| format!("isNaN({sql})"))
}
