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
    RowFunction { name: "log", overloads: &[
        Overload::new(&[Kind::Float], rows::float8, |args| Ok(Value::Float(positive(args[0].float())?.log10()))),
        Overload::new(&[Kind::Float, Kind::Float], rows::float8, |args| {
            let (base, number) = (positive(args[0].float())?, positive(args[1].float())?);
            match base {
                1.0 => Err(FunctionError::new("22012", "division by zero")),
                base => Ok(Value::Float(number.log(base))),
            }
        }),
    ] },
    RowFunction { name: "exp", overloads: &[
        Overload::new(&[Kind::Float], rows::float8, |args| in_range(args[0].float().exp(), args)),
    ] },
    RowFunction { name: "power", overloads: &[
        Overload::new(&[Kind::Float, Kind::Float], rows::float8, power),
    ] },
    RowFunction { name: "sqrt", overloads: &[
        Overload::new(&[Kind::Float], rows::float8, |args| match args[0].float() {
            ..0.0 => Err(FunctionError::new("2201F", NEGATIVE_ROOT)),
            number => Ok(Value::Float(number.sqrt())),
        }),
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
    RowFunction { name: "gcd", overloads: &[
        Overload::new(&[Kind::Integer, Kind::Integer], wider, |args| integer(common_divisor(args[0].int(), args[1].int()))),
    ] },
    RowFunction { name: "lcm", overloads: &[
        Overload::new(&[Kind::Integer, Kind::Integer], wider, |args| {
            let (a, b) = (args[0].int().unsigned_abs(), args[1].int().unsigned_abs());
            let divisor = common_divisor(args[0].int(), args[1].int()).max(1);
            let (a, b) = (u128::from(a), u128::from(b));
            integer(u64::try_from(a / u128::from(divisor) * b).unwrap_or(u64::MAX))
        }),
    ] },
    RowFunction { name: "factorial", overloads: &[
        Overload::new(&[Kind::Int], whole, factorial),
    ] },
    RowFunction { name: "float_numeric", overloads: &[
        Overload::new(&[Kind::Float, Kind::Int], |_, _| Ok(DataType::Decimal128(38, FLOAT_SCALE)), |args| numeric_of(args[0].float(), args[1].int())),
    ] },
    RowFunction { name: "bit_not", overloads: &[
        Overload::new(&[Kind::Integer], rows::first, |args| Ok(match args[0] {
            Value::Short(value) => Value::Short(!value),
            ref value => Value::Int(!value.int()),
        })),
    ] },
];

/// The scale of a float's numeric.
const FLOAT_SCALE: i8 = 10;

/// The wider of two integers.
fn wider(types: &[DataType], _: &[Option<&ScalarValue>]) -> PlanResult<DataType> {
    let wide = types.contains(&DataType::Int64);
    Ok(if wide { DataType::Int64 } else { DataType::Int32 })
}

fn common_divisor(a: i64, b: i64) -> u64 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn integer(value: u64) -> Outcome {
    let value = i64::try_from(value);
    Ok(Value::Int(value.map_err(|_| FunctionError::new("22003", "bigint out of range"))?))
}

fn factorial(args: &[Value<'_>]) -> Outcome {
    let number = args[0].int();
    if number < 0 {
        let message = "factorial of a negative number is undefined";
        return Err(FunctionError::new("22003", message));
    }
    let product = (1..=i128::from(number)).try_fold(1_i128, |product, factor| {
        product.checked_mul(factor).filter(|it| it.unsigned_abs() < 10_u128.pow(38))
    });
    product.map(|product| Value::Decimal(product, 0)).ok_or_else(out_of_range)
}

/// The decimal of a float's first digits: those that any float of its width has.
fn numeric_of(number: f64, digits: i64) -> Outcome {
    if !number.is_finite() {
        let message = format!("numeric value \"{number}\" is not supported");
        return Err(FunctionError::new("22003", message));
    }
    let places = usize::try_from(digits - 1).unwrap_or_default();
    let written = format!("{number:.places$e}");
    let (mantissa, exponent) = written.split_once('e').unwrap_or((&written, "0"));
    let unscaled: i128 = mantissa.replace('.', "").parse().map_err(|_| out_of_range())?;
    let exponent: i64 = exponent.parse().map_err(|_| out_of_range())?;
    // The digits count units of 10^-scale.
    let scale = digits - 1 - exponent;
    let lost = scale - i64::from(FLOAT_SCALE);
    if lost > digits {
        return Ok(Value::Decimal(0, FLOAT_SCALE));
    }
    let (value, scale) = match i8::try_from(scale) {
        Ok(scale) if scale >= 0 => (Some(unscaled), scale),
        _ => {
            let power = u32::try_from(-scale).ok().and_then(|zeros| 10_i128.checked_pow(zeros));
            (power.and_then(|power| unscaled.checked_mul(power)), 0)
        }
    };
    let decimal = value.and_then(|value| rescaled(value, scale, FLOAT_SCALE));
    decimal.map(|value| Value::Decimal(value, FLOAT_SCALE)).ok_or_else(out_of_range)
}

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

/// As Postgres words it.
pub(crate) const NEGATIVE_ROOT: &str = "cannot take square root of a negative number";

fn power(args: &[Value<'_>]) -> Outcome {
    let (base, exponent) = (args[0].float(), args[1].float());
    if base == 0.0 && exponent < 0.0 {
        return Err(FunctionError::new("2201F", "zero raised to a negative power is undefined"));
    }
    if base < 0.0 && base.is_finite() && exponent.is_finite() && exponent.fract() != 0.0 {
        let message = "a negative number raised to a non-integer power yields a complex result";
        return Err(FunctionError::new("2201F", message));
    }
    let is_zero = base == 0.0;
    in_range(base.powf(exponent), if is_zero { &[] } else { args })
}

/// What a function makes of finite numbers is finite, and not zero.
fn in_range(result: f64, args: &[Value<'_>]) -> Outcome {
    let is_of_finite = !args.is_empty() && args.iter().all(|arg| arg.float().is_finite());
    let refuse = |what| Err(FunctionError::new("22003", format!("value out of range: {what}")));
    match result {
        f64::INFINITY | f64::NEG_INFINITY if is_of_finite => refuse("overflow"),
        0.0 if is_of_finite => refuse("underflow"),
        result => Ok(Value::Float(result)),
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
