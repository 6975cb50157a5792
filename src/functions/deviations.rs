//! Variances and standard deviations of integers and numerics, which are numeric in Postgres: exact
//! sums, and one quotient with as many digits as Postgres gives it, up to [`QUOTIENT_SCALE`]. Of distinct
//! numbers the sums are those of a list.
//!
//! Source: PostgreSQL 15 `src/backend/utils/adt/numeric.c`, `numeric_stddev_internal` and
//! `select_div_scale`.

use datafusion::arrow::datatypes::{DataType, i256};
use datafusion::common::ScalarValue;
use datafusion::error::Result as PlanResult;

use super::error::FunctionError;
use super::numeric::{QUOTIENT, QUOTIENT_SCALE};
use super::rows::{Kind, Outcome, Overload, RowFunction, Value};

/// Each of the sum of the squares, the sum, and the count.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[RowFunction] = &[
    RowFunction { name: "numeric_var_samp", overloads: &[
        Overload::new(SUMS, quotient, |args| deviation(args, Of::Sample, variance)),
        Overload::new(LIST, quotient, |args| of_list(args, Of::Sample, variance)),
    ] },
    RowFunction { name: "numeric_var_pop", overloads: &[
        Overload::new(SUMS, quotient, |args| deviation(args, Of::All, variance)),
        Overload::new(LIST, quotient, |args| of_list(args, Of::All, variance)),
    ] },
    RowFunction { name: "numeric_stddev_samp", overloads: &[
        Overload::new(SUMS, quotient, |args| deviation(args, Of::Sample, root_of_variance)),
        Overload::new(LIST, quotient, |args| of_list(args, Of::Sample, root_of_variance)),
    ] },
    RowFunction { name: "numeric_stddev_pop", overloads: &[
        Overload::new(SUMS, quotient, |args| deviation(args, Of::All, root_of_variance)),
        Overload::new(LIST, quotient, |args| of_list(args, Of::All, root_of_variance)),
    ] },
];

const SUMS: &[Kind] = &[Kind::Numeric, Kind::Numeric, Kind::Int];
const LIST: &[Kind] = &[Kind::List];

/// How an aggregate of such numbers is made of their sums: by which function, of which decimals.
pub(super) fn of(aggregate: &str, data_type: &DataType) -> Option<(&'static str, DataType)> {
    let function = match aggregate {
        "var" | "var_samp" => "numeric_var_samp",
        "var_pop" => "numeric_var_pop",
        "stddev" | "stddev_samp" => "numeric_stddev_samp",
        "stddev_pop" => "numeric_stddev_pop",
        _ => return None,
    };
    Some((function, summed_as(data_type)?))
}

/// The decimals that numbers of a type are, where their squares have sums in 38 digits.
fn summed_as(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Int16 => DataType::Decimal128(5, 0),
        DataType::Int32 => DataType::Decimal128(10, 0),
        DataType::Int64 => DataType::Decimal128(18, 0),
        DataType::Decimal128(precision, scale) if *precision <= 18 && *scale >= 0 => {
            data_type.clone()
        }
        _ => return None,
    })
}

fn quotient(_: &[DataType], _: &[Option<&ScalarValue>]) -> PlanResult<DataType> {
    Ok(QUOTIENT)
}

/// Whose deviation it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    All,
    Sample,
}

/// A quotient and how many digits it has behind the point, in units of the last of them.
type Finish = fn(i256, i8) -> Option<i256>;

fn deviation(args: &[Value<'_>], of: Of, finish: Finish) -> Outcome {
    let [Value::Decimal(squares, scale), Value::Decimal(sum, _), count] = args else {
        return Ok(Value::Null);
    };
    let count = count.int();
    if count < 1 || (of, count) == (Of::Sample, 1) {
        return Ok(Value::Null);
    }
    let digits = exact(*squares, *sum, *scale, count, of, finish);
    let digits = digits.ok_or_else(|| FunctionError::new("22003", "numeric value out of range"))?;
    Ok(Value::Decimal(digits, QUOTIENT_SCALE))
}

/// Of decimals of one scale; NULLs among them don't count.
fn of_list(args: &[Value<'_>], of: Of, finish: Finish) -> Outcome {
    let overflow = || FunctionError::new("22003", "numeric value out of range");
    let (mut squares, mut sum, mut scale, mut count) = (0_i128, 0_i128, 0_i8, 0_i64);
    for item in args[0].items() {
        let Value::Decimal(value, own) = item else { continue };
        let square = value.checked_mul(*value).ok_or_else(overflow)?;
        squares = squares.checked_add(square).ok_or_else(overflow)?;
        sum = sum.checked_add(*value).ok_or_else(overflow)?;
        (scale, count) = (own.saturating_mul(2), count + 1);
    }
    let sums = [Value::Decimal(squares, scale), Value::Decimal(sum, scale / 2), Value::Int(count)];
    deviation(&sums, of, finish)
}

/// In units of the last digit of [`QUOTIENT_SCALE`]; None out of range. `scale` is that of the squares.
fn exact(squares: i128, sum: i128, scale: i8, count: i64, of: Of, finish: Finish) -> Option<i128> {
    let (sum, count) = (i256::from_i128(sum), i256::from_i128(count.into()));
    let divisor = match of {
        Of::All => count.checked_mul(count)?,
        Of::Sample => count.checked_mul(count.checked_sub(i256::ONE)?)?,
    };
    let squares = i256::from_i128(squares).checked_mul(count)?;
    let dividend = squares.checked_sub(sum.checked_mul(sum)?)?;
    if dividend <= i256::ZERO {
        return Some(0);
    }
    let places = places(dividend, scale, divisor);
    let digits = finish(ratio(dividend, scale, divisor, places)?, places)?;
    digits.checked_mul(power(QUOTIENT_SCALE - places)?)?.to_i128()
}

fn variance(variance: i256, _: i8) -> Option<i256> {
    Some(variance)
}

fn root_of_variance(variance: i256, places: i8) -> Option<i256> {
    Some(root(variance.checked_mul(power(places)?)?))
}

/// How many digits behind the point Postgres gives the quotient: sixteen significant ones, in steps of
/// four, and no fewer than the dividend has.
fn places(dividend: i256, scale: i8, divisor: i256) -> i8 {
    let (weight, first) = leading(&dividend.to_string(), scale);
    let (other_weight, other_first) = leading(&divisor.to_string(), 0);
    let steps = weight - other_weight - i64::from(first <= other_first);
    let significant = i64::from(QUOTIENT_SCALE) - 4 * steps;
    let most = i64::from(QUOTIENT_SCALE);
    i8::try_from(significant.max(scale.into()).clamp(0, most)).unwrap_or(QUOTIENT_SCALE)
}

/// The power of 10,000 that a number begins with, and how often.
fn leading(digits: &str, scale: i8) -> (i64, i64) {
    let before_point = i64::try_from(digits.len()).unwrap_or_default() - i64::from(scale);
    let weight = (before_point + 3).div_euclid(4) - 1;
    let taken = usize::try_from(before_point - 4 * weight).unwrap_or(1);
    let first = format!("{digits:0<taken$}")[..taken].parse().unwrap_or(0);
    (weight, first)
}

fn power(exponent: i8) -> Option<i256> {
    i256::from_i128(10).checked_pow(u32::try_from(exponent).ok()?)
}

/// Rounded half up, with so many digits behind the point.
fn ratio(dividend: i256, scale: i8, divisor: i256, places: i8) -> Option<i256> {
    let (dividend, divisor) = match places >= scale {
        true => (dividend.checked_mul(power(places - scale)?)?, divisor),
        false => (dividend, divisor.checked_mul(power(scale - places)?)?),
    };
    let two = i256::from_i128(2);
    let doubled = dividend.checked_mul(two)?.checked_add(divisor)?;
    doubled.checked_div(divisor.checked_mul(two)?)
}

/// The nearest to the root of a number that isn't negative, by Newton's steps.
fn root(number: i256) -> i256 {
    let (one, two) = (i256::ONE, i256::from_i128(2));
    if number <= one {
        return number;
    }
    // From above the root, whose digits are half of the number's.
    let half = number.to_string().len().div_ceil(2);
    let mut guess = power(i8::try_from(half).unwrap_or(38)).unwrap_or(number);
    loop {
        let next = (guess + number / guess) / two;
        if next >= guess {
            break;
        }
        guess = next;
    }
    // (guess + 1/2)² is beyond the number, unless it is nearer to the next.
    if number - guess * guess > guess { guess + one } else { guess }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected digits are PostgreSQL 15's.
    #[test]
    fn digits_are_those_of_postgres() {
        let exactly = |numbers: &[i128], scale: i8, of: Of, finish: Finish| {
            let count = i64::try_from(numbers.len()).unwrap();
            let squares = numbers.iter().map(|number| number * number).sum();
            exact(squares, numbers.iter().sum(), scale * 2, count, of, finish).unwrap()
        };
        let root = root_of_variance as Finish;
        assert_eq!(exactly(&[1, 2, 4], 0, Of::Sample, variance), 23_333_333_333_333_333);
        assert_eq!(exactly(&[1, 2, 4], 0, Of::Sample, root), 15_275_252_316_519_467);
        assert_eq!(exactly(&[1, 2, 4], 0, Of::All, root), 12_472_191_289_246_471);
        assert_eq!(exactly(&[150, 275, -125], 2, Of::Sample, variance), 41_875_000_000_000_000);
        assert_eq!(exactly(&[5, 5], 0, Of::Sample, root), 0);
        // Of great numbers Postgres gives fewer digits.
        assert_eq!(exactly(&[0, 1_000_000], 0, Of::Sample, root), 7_071_067_811_865_500_000_000);
        assert_eq!(
            exactly(&[12_345, 99_999, 1_234_567], 2, Of::Sample, variance),
            464_792_397_937_333_333_330_000
        );
    }
}
