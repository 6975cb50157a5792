//! Exact parts of a whole, in the whole's own digits.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Int64Type, i256};
use datafusion::arrow::error::ArrowError;
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::numeric::as_decimal;
use super::udf::{Function, arrays, result};

/// `weighted_part(whole, weight, weights, lines)`: `whole * weight / weights`, rounded half away from
/// zero to the whole's digits; where the weights are zero, `whole / lines`; where there are no lines,
/// the whole. Of whole numbers and decimals of up to 38 digits.
pub fn weighted_part() -> &'static Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        Function::new("weighted_part", part_types, |types, _| Ok(types[0].clone()), parts).udf()
    });
    &FUNCTION
}

/// `part_with_rest(part, whole, parts, rank)`: the part, of the first rank with what the whole is more
/// than the sum of the parts. In the whole's type.
pub fn part_with_rest() -> &'static Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        Function::new("part_with_rest", rest_types, |types, _| Ok(types[1].clone()), rests).udf()
    });
    &FUNCTION
}

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    vec![Arc::clone(weighted_part()), Arc::clone(part_with_rest())]
}

/// Whether a whole of this type is divided by weights of that type exactly.
pub(crate) fn divides(whole: &DataType, weight: &DataType) -> bool {
    as_decimal(whole).is_some() && as_decimal(weight).is_some()
}

fn part_types(types: &[DataType]) -> Result<Vec<DataType>> {
    let decimals = |data_type: &DataType| as_decimal(data_type);
    match types {
        [whole, weight, weights, lines] if divides(whole, weight) && lines.is_integer() => {
            let (Some(weight), Some(weights)) = (decimals(weight), decimals(weights)) else {
                return plan_err!("weights are whole numbers or decimals");
            };
            Ok(vec![whole.clone(), weight, weights, DataType::Int64])
        }
        _ => plan_err!("weighted_part takes a whole, a weight, the weights' sum and the lines"),
    }
}

fn rest_types(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [part, whole, parts, rank] if rank.is_integer() => {
            match (as_decimal(part), as_decimal(whole), as_decimal(parts)) {
                (Some(part), Some(_), Some(parts)) => {
                    Ok(vec![part, whole.clone(), parts, DataType::Int64])
                }
                _ => plan_err!("part_with_rest takes whole numbers or decimals"),
            }
        }
        _ => plan_err!("part_with_rest takes a part, the whole, the parts' sum and a rank"),
    }
}

/// Numbers in units of their last digit.
fn units(array: &ArrayRef) -> Result<Decimal128Array> {
    let array = match as_decimal(array.data_type()) {
        Some(decimal) if decimal != *array.data_type() => cast(array, &decimal)?,
        _ => Arc::clone(array),
    };
    Ok(array.as_primitive::<Decimal128Type>().clone())
}

fn in_type(units: Decimal128Array, data_type: &DataType) -> Result<ArrayRef> {
    Ok(match data_type {
        DataType::Decimal128(precision, scale) => {
            let array = units.with_precision_and_scale(*precision, *scale)?;
            array.validate_decimal_precision(*precision)?;
            Arc::new(array)
        }
        integer => {
            let array: ArrayRef = Arc::new(units.with_precision_and_scale(38, 0)?);
            let strict =
                datafusion::arrow::compute::CastOptions { safe: false, ..Default::default() };
            datafusion::arrow::compute::cast_with_options(&array, integer, &strict)?
        }
    })
}

fn parts(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let arrays = arrays(args)?;
    let (wholes, weight, weights) = (units(&arrays[0])?, units(&arrays[1])?, units(&arrays[2])?);
    // Their sum has the digits of the weights.
    if weight.scale() != weights.scale() {
        return plan_err!(
            "weights and their sum have {} and {} digits",
            weight.scale(),
            weights.scale()
        );
    }
    let lines = arrays[3].as_primitive::<Int64Type>();
    let mut found = Vec::with_capacity(wholes.len());
    for row in 0..wholes.len() {
        let weights = if weights.is_null(row) { 0 } else { weights.value(row) };
        let lines = if lines.is_null(row) { 0 } else { lines.value(row) };
        found.push(match (weights, lines) {
            _ if wholes.is_null(row) => None,
            (0, 0) => Some(wholes.value(row)),
            (0, lines) => Some(rounded(wholes.value(row), 1, lines.into())?),
            _ if weight.is_null(row) => None,
            (weights, _) => Some(rounded(wholes.value(row), weight.value(row), weights)?),
        });
    }
    result(args, in_type(Decimal128Array::from(found), arrays[0].data_type())?)
}

/// `a * b / divisor`, half away from zero.
fn rounded(a: i128, b: i128, divisor: i128) -> Result<i128, ArrowError> {
    let overflow = || ArrowError::ArithmeticOverflow("a part is out of range".to_owned());
    if let Some(product) = a.checked_mul(b)
        && let Some(rounded) = product.checked_add(product.signum() * (divisor.abs() / 2))
    {
        return rounded.checked_div(divisor).ok_or_else(overflow);
    }
    // Two of 38 digits each have 76.
    let product = i256::from_i128(a).checked_mul(i256::from_i128(b)).ok_or_else(overflow)?;
    let half = i256::from_i128(divisor.abs() / 2);
    let half = if (a < 0) == (b < 0) { half } else { -half };
    let rounded = product.checked_add(half).ok_or_else(overflow)?;
    let part = rounded.checked_div(i256::from_i128(divisor)).ok_or_else(overflow)?;
    part.to_i128().ok_or_else(overflow)
}

fn rests(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let arrays = arrays(args)?;
    let (part, wholes, parts) = (units(&arrays[0])?, units(&arrays[1])?, units(&arrays[2])?);
    let ranks = arrays[3].as_primitive::<Int64Type>();
    let overflow = || ArrowError::ArithmeticOverflow("a part is out of range".to_owned());
    let mut found = Vec::with_capacity(part.len());
    for row in 0..part.len() {
        let is_first = ranks.is_valid(row) && ranks.value(row) == 1;
        found.push(match (part.is_null(row), is_first) {
            (true, _) => None,
            (false, false) => Some(part.value(row)),
            (false, true) if wholes.is_null(row) || parts.is_null(row) => None,
            (false, true) => {
                let rest = wholes.value(row).checked_sub(parts.value(row));
                let whole = rest.and_then(|rest| part.value(row).checked_add(rest));
                Some(whole.ok_or_else(overflow)?)
            }
        });
    }
    result(args, in_type(Decimal128Array::from(found), arrays[1].data_type())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_rounded_away_from_zero() {
        for (a, b, divisor, part) in [
            (100, 1, 3, 33),
            (100, 2, 3, 67),
            (1, 1, 2, 1),
            (-1, 1, 2, -1),
            (1, 1, -2, -1),
            (-1, 1, -2, 1),
            (5, 1, 4, 1),
            (6, 1, 4, 2),
            (-6, 1, 4, -2),
            (7, 0, 4, 0),
            (i128::MAX / 2, 10, 10, i128::MAX / 2),
            (-(i128::MAX / 2), 3, -3, i128::MAX / 2),
        ] {
            assert_eq!(rounded(a, b, divisor).unwrap(), part, "{a} * {b} / {divisor}");
        }
        assert!(rounded(i128::MAX, 3, 2).is_err());
    }
}
