//! Functions of numbers, worked out row by row.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::Result as PlanResult;

use super::error::FunctionError;
use super::rows::{self, Kind, Outcome, Overload, RowFunction, Value, rescaled};

type Result<T> = std::result::Result<T, FunctionError>;

#[rustfmt::skip]
pub(super) const FUNCTIONS: &[RowFunction] = &[
    RowFunction { name: "div", overloads: &[
        Overload::new(&[Kind::Numeric, Kind::Numeric], whole, quotient),
    ] },
    RowFunction { name: "width_bucket", overloads: &[
        Overload::new(&[Kind::Numeric, Kind::Numeric, Kind::Numeric, Kind::Int], rows::int4, decimal_bucket),
        Overload::new(&[Kind::Float, Kind::Float, Kind::Float, Kind::Int], rows::int4, float_bucket),
        Overload::new(&[Kind::Any, Kind::List], rows::int4, bucket_of_thresholds),
    ] },
    RowFunction { name: "scale", overloads: &[
        Overload::new(&[Kind::Numeric], rows::int4, |args| Ok(Value::Int(parts(&args[0]).1.into()))),
    ] },
    RowFunction { name: "min_scale", overloads: &[
        Overload::new(&[Kind::Numeric], rows::int4, |args| Ok(Value::Int(trimmed(&args[0]).1.into()))),
    ] },
    RowFunction { name: "ln", overloads: &[
        Overload::new(&[Kind::Float], rows::float8, |args| Ok(Value::Float(positive(args[0].float())?.ln()))),
    ] },
    RowFunction { name: "log10", overloads: &[
        Overload::new(&[Kind::Float], rows::float8, |args| Ok(Value::Float(positive(args[0].float())?.log10()))),
    ] },
    RowFunction { name: "acos", overloads: &[
        Overload::new(&[Kind::Float], rows::float8, |args| in_domain(args[0].float(), f64::acos)),
    ] },
    RowFunction { name: "asin", overloads: &[
        Overload::new(&[Kind::Float], rows::float8, |args| in_domain(args[0].float(), f64::asin)),
    ] },
    RowFunction { name: "acosd", overloads: &[
        Overload::new(&[Kind::Float], rows::float8, |args| in_domain(args[0].float(), |x| exact_degrees(x.acos()))),
    ] },
    RowFunction { name: "asind", overloads: &[
        Overload::new(&[Kind::Float], rows::float8, |args| in_domain(args[0].float(), |x| exact_degrees(x.asin()))),
    ] },
    RowFunction { name: "atand", overloads: &[
        Overload::new(&[Kind::Float], rows::float8, |args| Ok(Value::Float(exact_degrees(args[0].float().atan())))),
    ] },
    RowFunction { name: "bit_not", overloads: &[
        Overload::new(&[Kind::Integer], rows::first, |args| Ok(match args[0] {
            Value::Short(value) => Value::Short(!value),
            ref value => Value::Int(!value.int()),
        })),
    ] },
];

fn exact_degrees(radians: f64) -> f64 {
    let degrees = radians.to_degrees();
    // Postgres is exact at multiples of 15 degrees.
    let near = (degrees / 15.0).round() * 15.0;
    if (degrees - near).abs() < 1e-13 { near } else { degrees }
}

fn positive(number: f64) -> Result<f64> {
    let refuse =
        |what: &str| FunctionError::new("2201E", format!("cannot take logarithm of {what}"));
    match number {
        0.0 => Err(refuse("zero")),
        ..0.0 => Err(refuse("a negative number")),
        number => Ok(number),
    }
}

fn in_domain(number: f64, function: fn(f64) -> f64) -> Outcome {
    match number.is_nan() || (-1.0..=1.0).contains(&number) {
        true => Ok(Value::Float(function(number))),
        false => Err(FunctionError::new("22003", "input is out of range")),
    }
}

fn parts(value: &Value<'_>) -> (i128, i8) {
    match value {
        Value::Decimal(value, scale) => (*value, *scale),
        Value::Int(value) => ((*value).into(), 0),
        _ => (0, 0),
    }
}

/// Without the zeros at its end.
fn trimmed(value: &Value<'_>) -> (i128, i8) {
    let (mut value, mut scale) = parts(value);
    while scale > 0 && value % 10 == 0 {
        value /= 10;
        scale -= 1;
    }
    (value, scale)
}

fn whole(_: &[DataType], _: &[Option<&ScalarValue>]) -> PlanResult<DataType> {
    Ok(DataType::Decimal128(38, 0))
}

fn out_of_range() -> FunctionError {
    FunctionError::new("22003", "numeric value out of range")
}

/// Two decimals of one scale.
fn aligned(a: &Value<'_>, b: &Value<'_>) -> Result<(i128, i128, i8)> {
    let ((a, a_scale), (b, b_scale)) = (parts(a), parts(b));
    let scale = a_scale.max(b_scale);
    let a = rescaled(a, a_scale, scale).ok_or_else(out_of_range)?;
    let b = rescaled(b, b_scale, scale).ok_or_else(out_of_range)?;
    Ok((a, b, scale))
}

fn quotient(args: &[Value<'_>]) -> Outcome {
    let (a, b, _) = aligned(&args[0], &args[1])?;
    match b {
        0 => Err(FunctionError::new("22012", "division by zero")),
        b => Ok(Value::Decimal(a / b, 0)),
    }
}

fn buckets(count: &Value<'_>) -> Result<i64> {
    match count.int() {
        ..=0 => Err(FunctionError::new("2201G", "count must be greater than zero")),
        count => Ok(count),
    }
}

fn equal_bounds() -> FunctionError {
    FunctionError::new("2201G", "lower bound cannot equal upper bound")
}

fn decimal_bucket(args: &[Value<'_>]) -> Outcome {
    let count = buckets(&args[3])?;
    let (low, high, _) = aligned(&args[1], &args[2])?;
    if low == high {
        return Err(equal_bounds());
    }
    let scale = [0, 1, 2].into_iter().map(|index| parts(&args[index]).1).max().unwrap_or(0);
    let at = |index: usize| {
        let (value, from) = parts(&args[index]);
        rescaled(value, from, scale).ok_or_else(out_of_range)
    };
    let (mut operand, mut low, mut high) = (at(0)?, at(1)?, at(2)?);
    if low > high {
        (operand, low, high) = (-operand, -low, -high);
    }
    if operand < low {
        return Ok(Value::Int(0));
    }
    if operand >= high {
        return Ok(Value::Int(count + 1));
    }
    let place = (operand - low).checked_mul(count.into()).ok_or_else(out_of_range)? / (high - low);
    Ok(Value::Int(i64::try_from(place).map_err(|_| out_of_range())? + 1))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "bounded by count"
)]
fn float_bucket(args: &[Value<'_>]) -> Outcome {
    let count = buckets(&args[3])?;
    let (operand, low, high) = (args[0].float(), args[1].float(), args[2].float());
    if operand.is_nan() || low.is_nan() || high.is_nan() {
        let message = "operand, lower bound, and upper bound cannot be NaN";
        return Err(FunctionError::new("2201G", message));
    }
    if !low.is_finite() || !high.is_finite() {
        return Err(FunctionError::new("2201G", "lower and upper bounds must be finite"));
    }
    #[expect(clippy::float_cmp, reason = "as Postgres compares them")]
    if low == high {
        return Err(equal_bounds());
    }
    let (before, beyond, share) = match low < high {
        true => (operand < low, operand >= high, (operand - low) / (high - low)),
        false => (operand > low, operand <= high, (low - operand) / (low - high)),
    };
    Ok(Value::Int(match (before, beyond) {
        (true, _) => 0,
        (_, true) => count + 1,
        _ => (share * count as f64).floor() as i64 + 1,
    }))
}

fn bucket_of_thresholds(args: &[Value<'_>]) -> Outcome {
    let mut count = 0;
    for threshold in args[1].items() {
        match super::arrays::compare(&args[0], threshold) {
            Some(std::cmp::Ordering::Less) => break,
            Some(_) => count += 1,
            None => {
                return Err(FunctionError::new("22004", "thresholds array must not contain NULLs"));
            }
        }
    }
    Ok(Value::Int(count))
}
