//! Constants among decimals.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::type_coercion::binary::type_union_resolution;
use datafusion::logical_expr::{Case, Expr, ExprSchemable};

use super::floats;
use super::semantics::{cast_unless, literals_alike, moments_alike};

/// The values of which a call or CASE gives one, with the constants among them in the type of the
/// decimals, where they fit: `coalesce(amount, 0)` is an amount then, and not of a wider type, whose
/// sums cost twice as much.
pub(super) fn alike(mut values: Vec<Expr>, schema: &DFSchema) -> Result<Transformed<Vec<Expr>>> {
    let values_alike = floats::alike(values, schema)?;
    if values_alike.transformed {
        return Ok(values_alike);
    }
    values = values_alike.data;
    let mut common = None;
    for value in values.iter().filter(|value| !matches!(value, Expr::Literal(..))) {
        match (value.get_type(schema)?, common) {
            (DataType::Decimal128(precision, scale), None) => common = Some((precision, scale)),
            (DataType::Decimal128(precision, scale), Some(known))
                if known == (precision, scale) => {}
            _ => return Ok(Transformed::no(values)),
        }
    }
    let Some((precision, scale)) = common else { return Ok(Transformed::no(values)) };
    let mut changed = false;
    for value in &mut values {
        if let Expr::Literal(literal, _) = value
            && let Some(digits) = digits_of(literal, scale)
            && digits.unsigned_abs() < 10_u128.pow(precision.into())
        {
            let decimal = ScalarValue::Decimal128(Some(digits), precision, scale);
            changed |= *literal != decimal;
            *literal = decimal;
        }
    }
    Ok(Transformed::new_transformed(values, changed))
}

/// As [`alike`], of the results of a CASE.
pub(super) fn results_alike(case: Case, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Case { expr, when_then_expr, else_expr } = case;
    let (conditions, mut results): (Vec<_>, Vec<Expr>) =
        when_then_expr.into_iter().map(|(condition, result)| (condition, *result)).unzip();
    let has_else = else_expr.is_some();
    results.extend(else_expr.map(|otherwise| *otherwise));
    let read = literals_alike(results, schema)?;
    let moments = moments_alike(read.data, schema)?;
    let results = alike(moments.data, schema)?;
    let is_changed = read.transformed || moments.transformed || results.transformed;
    let results = numbers_alike(results.data, schema)?;
    let is_changed = is_changed || results.transformed;
    let mut values = results.data;
    let else_expr = if has_else { values.pop().map(Box::new) } else { None };
    let when_then_expr = conditions.into_iter().zip(values.into_iter().map(Box::new)).collect();
    let case = Expr::Case(Case { expr, when_then_expr, else_expr });
    Ok(Transformed::new_transformed(case, is_changed))
}

/// Numbers of several types in the one that holds them all. What is written around a CASE sees the type of
/// its first result (DataFusion 55.2), and a sum of whole numbers would round the others.
fn numbers_alike(values: Vec<Expr>, schema: &DFSchema) -> Result<Transformed<Vec<Expr>>> {
    let types = values.iter().map(|value| value.get_type(schema)).collect::<Result<Vec<_>>>()?;
    let Some(common) = common_number(&types) else { return Ok(Transformed::no(values)) };
    let values =
        values.into_iter().zip(&types).map(|(value, own)| cast_unless(value, own, &common));
    Ok(Transformed::yes(values.collect()))
}

/// The type of numbers of several types; None where they have one, or aren't all numbers.
pub(super) fn common_number(types: &[DataType]) -> Option<DataType> {
    let numbers: Vec<DataType> = types.iter().filter(|it| !it.is_null()).cloned().collect();
    let first = numbers.first()?;
    let is_mixed = numbers.iter().any(|it| it != first)
        && numbers.iter().all(DataType::is_numeric)
        && !numbers.iter().all(DataType::is_integer);
    let float = [DataType::Float64, DataType::Float32].into_iter().find(|it| numbers.contains(it));
    if is_mixed { float.or_else(|| type_union_resolution(&numbers)) } else { None }
}

/// A number in units of the last of `scale` digits; None where it has more.
fn digits_of(literal: &ScalarValue, scale: i8) -> Option<i128> {
    let (digits, own) = match literal {
        ScalarValue::Int64(Some(number)) => (i128::from(*number), 0),
        ScalarValue::Int32(Some(number)) => (i128::from(*number), 0),
        ScalarValue::Decimal128(Some(digits), _, own) => (*digits, *own),
        _ => return None,
    };
    let more = u32::try_from(scale.checked_sub(own)?).ok()?;
    digits.checked_mul(10_i128.checked_pow(more)?)
}
