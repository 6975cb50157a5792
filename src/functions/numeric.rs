//! Arithmetic and rounding as Postgres does them: exact decimals, and errors instead of wrapping
//! and infinity.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, Decimal128Array, Float64Array, Int64Array,
    PrimitiveArray,
};
use datafusion::arrow::compute::kernels::arity::{try_binary, try_unary, unary};
use datafusion::arrow::compute::kernels::numeric as kernels;
use datafusion::arrow::datatypes::{
    DataType, Decimal128Type, Float64Type, Int16Type, Int32Type, Int64Type, i256,
};
use datafusion::arrow::error::ArrowError;
use datafusion::common::{ScalarValue, plan_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::udf::{Function, arrays, result};

/// The scale of every quotient of decimals.
pub const QUOTIENT_SCALE: i8 = 16;

/// The type of every quotient of decimals.
pub const QUOTIENT: DataType = DataType::Decimal128(38, QUOTIENT_SCALE);

const OUT_OF_RANGE: &str = "numeric value out of range";

macro_rules! function {
    ($(#[$doc:meta])* $name:ident, $value:expr) => {
        $(#[$doc])*
        pub fn $name() -> &'static Arc<ScalarUDF> {
            static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| $value.udf());
            &FUNCTION
        }
    };
}

function!(
    /// `a / b` of decimals and integers: [`QUOTIENT`], rounded half away from zero. Division by zero
    /// and results beyond 22 digits are errors.
    numeric_div,
    Function::new("numeric_div", decimals, |_, _| Ok(QUOTIENT), |args| quotient(args, Zero::Error))
);
function!(
    /// As `numeric_div`, of a sum and the count of what was summed: NULL for none.
    numeric_mean,
    Function::new("numeric_mean", decimals, |_, _| Ok(QUOTIENT), |args| quotient(args, Zero::Null))
);
function!(
    /// `a / b` of floats: division by zero is an error.
    float_div,
    Function::new("float_div", floats, |_, _| Ok(DataType::Float64), |args| {
        float_quotient(args, Zero::Error)
    })
);
function!(
    /// As `float_div`, of a sum and the count of what was summed: NULL for none.
    float_mean,
    Function::new("float_mean", floats, |_, _| Ok(DataType::Float64), |args| {
        float_quotient(args, Zero::Null)
    })
);
function!(
    /// `a + b` of integers: overflow is an error.
    checked_add,
    Function::new("checked_add", integers, wider, |args| integer_op(args, kernels::add))
);
function!(
    /// `a - b` of integers: overflow is an error.
    checked_sub,
    Function::new("checked_sub", integers, wider, |args| integer_op(args, kernels::sub))
);
function!(
    /// `a * b` of integers: overflow is an error.
    checked_mul,
    Function::new("checked_mul", integers, wider, |args| integer_op(args, kernels::mul))
);
function!(
    /// `a % b` by its name.
    modulo,
    Function::new("mod", exact_pair, wider, |args| integer_op(args, kernels::rem))
);
function!(
    /// The nearest int8: decimals half away from zero, floats half to even. Out of range is an error.
    to_integer,
    Function::new("to_integer", one_number, |_, _| Ok(DataType::Int64), nearest_integer)
);
function!(
    /// `round(numeric [, digits])` half away from zero; `round(float8)` half to even.
    round,
    Function::new("round", rounded, digits_type, |args| decimal_digits(args, Rounding::Half))
);
function!(
    /// `trunc(numeric [, digits])`, `trunc(float8)`.
    trunc,
    Function::new("trunc", rounded, digits_type, |args| decimal_digits(args, Rounding::Cut))
);
function!(
    /// `ceil(numeric)`, `ceil(float8)`.
    ceil,
    Function::new("ceil", whole, digits_type, |args| decimal_digits(args, Rounding::Up))
        .alias("ceiling")
);
function!(
    /// `floor(numeric)`, `floor(float8)`.
    floor,
    Function::new("floor", whole, digits_type, |args| decimal_digits(args, Rounding::Down))
);
function!(
    /// `sign(numeric)`, `sign(float8)`: -1, 0 or 1.
    sign,
    Function::new("sign", whole, sign_type, sign_of)
);

/// All of them, for the registry.
pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    [
        numeric_div(),
        numeric_mean(),
        float_div(),
        float_mean(),
        checked_add(),
        checked_sub(),
        checked_mul(),
        modulo(),
        to_integer(),
        round(),
        trunc(),
        ceil(),
        floor(),
        sign(),
    ]
    .into_iter()
    .map(Arc::clone)
    .collect()
}

/// The decimal that holds every value of a type.
pub(super) fn as_decimal(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Decimal128(_, _) => data_type.clone(),
        DataType::Int8 | DataType::UInt8 => DataType::Decimal128(3, 0),
        DataType::Int16 | DataType::UInt16 => DataType::Decimal128(5, 0),
        DataType::Int32 | DataType::UInt32 => DataType::Decimal128(10, 0),
        DataType::Int64 => DataType::Decimal128(19, 0),
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Null => DataType::Decimal128(1, 0),
        _ => return None,
    })
}

fn decimals(types: &[DataType]) -> Result<Vec<DataType>> {
    types
        .iter()
        .map(|data_type| as_decimal(data_type).ok_or_else(|| no_number(data_type)))
        .collect()
}

fn floats(types: &[DataType]) -> Result<Vec<DataType>> {
    Ok(vec![DataType::Float64; types.len()])
}

fn no_number(data_type: &DataType) -> DataFusionError {
    DataFusionError::Plan(format!("{data_type} is no number that can be computed with here"))
}

/// Both to the wider of two signed types.
fn integers(types: &[DataType]) -> Result<Vec<DataType>> {
    let width = |data_type: &DataType| match data_type {
        DataType::Null | DataType::Int8 | DataType::UInt8 | DataType::Int16 => Ok(DataType::Int16),
        DataType::UInt16 | DataType::Int32 => Ok(DataType::Int32),
        DataType::UInt32 | DataType::Int64 | DataType::UInt64 => Ok(DataType::Int64),
        other => Err(no_number(other)),
    };
    let mut widest = DataType::Int16;
    for data_type in types {
        let data_type = width(data_type)?;
        if data_type.primitive_width() > widest.primitive_width() {
            widest = data_type;
        }
    }
    Ok(vec![widest; types.len()])
}

/// Two integers, or two decimals of one type.
fn exact_pair(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [a, b] if a.is_integer() && b.is_integer() => integers(types),
        [a, b] => match (as_decimal(a), as_decimal(b)) {
            (Some(DataType::Decimal128(p, s)), Some(DataType::Decimal128(q, t))) => {
                let scale = s.max(t);
                let whole = (i16::from(p) - i16::from(s)).max(i16::from(q) - i16::from(t));
                let precision = u8::try_from(whole + i16::from(scale)).unwrap_or(38).min(38);
                Ok(vec![DataType::Decimal128(precision, scale); 2])
            }
            _ => Err(no_number(a)),
        },
        _ => plan_err!("two numbers are expected"),
    }
}

fn wider(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(types.first().cloned().unwrap_or(DataType::Int64))
}

/// Integers are rounded as float8, or as numeric where digits are asked for: as in Postgres, where
/// round exists for these two only.
fn rounded(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [_] => whole(types),
        [number, _] => match as_decimal(number) {
            Some(decimal) => Ok(vec![decimal, DataType::Int64]),
            None => plan_err!("only numeric can be rounded to digits; cast it to numeric"),
        },
        _ => plan_err!("one or two arguments are expected"),
    }
}

fn whole(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [DataType::Decimal128(_, _)] => Ok(types.to_vec()),
        [number] if number.is_numeric() || *number == DataType::Null => Ok(vec![DataType::Float64]),
        _ => plan_err!("one number is expected"),
    }
}

fn one_number(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [DataType::Float16 | DataType::Float32] => Ok(vec![DataType::Float64]),
        [data_type] => Ok(vec![data_type.clone()]),
        _ => plan_err!("one number is expected"),
    }
}

fn sign_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    match types {
        [DataType::Decimal128(_, _)] => Ok(DataType::Decimal128(1, 0)),
        _ => Ok(DataType::Float64),
    }
}

/// Constant digits become the scale of the result, as far as 38 digits go; otherwise the scale stays.
fn digits_type(types: &[DataType], scalars: &[Option<&ScalarValue>]) -> Result<DataType> {
    let Some(DataType::Decimal128(precision, scale)) = types.first() else {
        return Ok(DataType::Float64);
    };
    let digits = match (types.len(), scalars.get(1)) {
        (1, _) => 0,
        (_, Some(Some(ScalarValue::Int64(Some(digits))))) => *digits,
        _ => i64::from(*scale),
    };
    // Rounding up may need one digit more in front: 9.5 becomes 10.
    let whole = i64::from(*precision) - i64::from(*scale) + 1;
    let digits = digits.clamp(0, (38 - whole).max(i64::from(*scale)));
    let precision = u8::try_from((whole + digits).clamp(1, 38)).unwrap_or(38);
    Ok(DataType::Decimal128(precision, i8::try_from(digits).unwrap_or(*scale)))
}

/// What a zero divisor means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Zero {
    Error,
    Null,
}

fn integer_op(
    args: &ScalarFunctionArgs,
    op: fn(
        &dyn datafusion::arrow::array::Datum,
        &dyn datafusion::arrow::array::Datum,
    ) -> std::result::Result<ArrayRef, ArrowError>,
) -> Result<ColumnarValue> {
    let arrays = arrays(args)?;
    let computed = op(&arrays[0], &arrays[1]).map_err(|error| match error {
        ArrowError::ArithmeticOverflow(_) => out_of_range(),
        other => DataFusionError::from(other),
    })?;
    result(args, computed)
}

fn out_of_range() -> DataFusionError {
    ArrowError::ArithmeticOverflow(OUT_OF_RANGE.to_owned()).into()
}

fn overflow() -> ArrowError {
    ArrowError::ArithmeticOverflow(OUT_OF_RANGE.to_owned())
}

fn float_quotient(args: &ScalarFunctionArgs, zero: Zero) -> Result<ColumnarValue> {
    let arrays = arrays(args)?;
    let left = arrays[0].as_primitive::<Float64Type>();
    let right = arrays[1].as_primitive::<Float64Type>();
    let quotient: Float64Array = match zero {
        Zero::Error => try_binary(left, right, |a: f64, b: f64| {
            if b == 0.0 { Err(ArrowError::DivideByZero) } else { Ok(a / b) }
        })?,
        Zero::Null => {
            let pairs = left.iter().zip(right);
            pairs.map(|(a, b)| Some(a? / b.filter(|b| *b != 0.0)?)).collect()
        }
    };
    result(args, Arc::new(quotient))
}

fn quotient(args: &ScalarFunctionArgs, zero: Zero) -> Result<ColumnarValue> {
    let arrays = arrays(args)?;
    let left = arrays[0].as_primitive::<Decimal128Type>();
    let right = arrays[1].as_primitive::<Decimal128Type>();
    let shift = i32::from(QUOTIENT_SCALE) - i32::from(left.scale()) + i32::from(right.scale());
    let mut values = Vec::with_capacity(left.len());
    for (a, b) in left.iter().zip(right) {
        values.push(match (a, b) {
            (Some(_), Some(0)) if zero == Zero::Null => None,
            (Some(a), Some(b)) => Some(divided(a, b, shift)?),
            _ => None,
        });
    }
    let quotient = Decimal128Array::from(values).with_data_type(QUOTIENT);
    result(args, Arc::new(quotient))
}

/// `a / b` times ten to the power of `shift`, rounded half away from zero.
fn divided(a: i128, b: i128, shift: i32) -> std::result::Result<i128, ArrowError> {
    if b == 0 {
        return Err(ArrowError::DivideByZero);
    }
    let power = |exponent: i32| {
        let exponent = u32::try_from(exponent).unwrap_or_default();
        10_i128.checked_pow(exponent).map(i256::from_i128)
    };
    // 128 bits suffice for most amounts.
    if shift >= 0
        && let Some(scaled) = u32::try_from(shift)
            .ok()
            .and_then(|shift| 10_i128.checked_pow(shift))
            .and_then(|power| a.checked_mul(power))
        && let Some(double) = (scaled % b).checked_mul(2)
    {
        let round = double.unsigned_abs() >= b.unsigned_abs();
        let away = if (scaled < 0) == (b < 0) { 1 } else { -1 };
        return (scaled / b + if round { away } else { 0 }).pipe_checked();
    }
    let (mut numerator, mut denominator) = (i256::from_i128(a), i256::from_i128(b));
    let mut rest = shift;
    while rest != 0 {
        let step = rest.clamp(-38, 38);
        let factor = power(step.abs()).ok_or_else(overflow)?;
        if step > 0 {
            numerator = numerator.checked_mul(factor).ok_or_else(overflow)?;
        } else {
            denominator = denominator.checked_mul(factor).ok_or_else(overflow)?;
        }
        rest -= step;
    }
    let quotient = numerator.checked_div(denominator).ok_or_else(overflow)?;
    let remainder = numerator.checked_rem(denominator).ok_or_else(overflow)?;
    let double = remainder.checked_mul(i256::from_i128(2)).ok_or_else(overflow)?;
    let round = double.wrapping_abs() >= denominator.wrapping_abs();
    let away = if (a < 0) == (b < 0) { 1 } else { -1 };
    let quotient = quotient.wrapping_add(i256::from_i128(if round { away } else { 0 }));
    quotient.to_i128().ok_or_else(overflow)?.pipe_checked()
}

/// A check that a number has at most 38 digits.
trait Digits {
    fn pipe_checked(self) -> std::result::Result<i128, ArrowError>;
}

impl Digits for i128 {
    fn pipe_checked(self) -> std::result::Result<i128, ArrowError> {
        if self.unsigned_abs() < 10_u128.pow(38) { Ok(self) } else { Err(overflow()) }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rounding {
    /// Half away from zero; floats half to even.
    Half,
    Cut,
    Up,
    Down,
}

impl Rounding {
    fn float(self, number: f64) -> f64 {
        match self {
            Self::Half => number.round_ties_even(),
            Self::Cut => number.trunc(),
            Self::Up => number.ceil(),
            Self::Down => number.floor(),
        }
    }

    /// `number` in units of `unit`, unscaled.
    fn units(self, number: i128, unit: i128) -> i128 {
        let (quotient, rest) = (number / unit, number % unit);
        let one = match self {
            Self::Half if rest.unsigned_abs() >= unit.unsigned_abs().div_ceil(2) => number.signum(),
            Self::Up if rest > 0 => 1,
            Self::Down if rest < 0 => -1,
            _ => 0,
        };
        quotient + one
    }
}

fn decimal_digits(args: &ScalarFunctionArgs, rounding: Rounding) -> Result<ColumnarValue> {
    let arrays = arrays(args)?;
    if let DataType::Float64 = arrays[0].data_type() {
        let numbers = arrays[0].as_primitive::<Float64Type>();
        let rounded: Float64Array = unary(numbers, |number| rounding.float(number));
        return result(args, Arc::new(rounded));
    }
    let numbers = arrays[0].as_primitive::<Decimal128Type>();
    let scale = i64::from(numbers.scale());
    let DataType::Decimal128(_, to_scale) = args.return_field.data_type() else {
        return plan_err!("a rounded decimal is a decimal");
    };
    let to_scale = i64::from(*to_scale);
    let round = |number: i128, digits: i64| rounded_to(number, scale, digits, to_scale, rounding);
    let rounded: Decimal128Array = match arrays.get(1) {
        None => try_unary(numbers, |number| round(number, 0))?,
        Some(digits) => try_binary(numbers, digits.as_primitive::<Int64Type>(), round)?,
    };
    result(args, Arc::new(rounded.with_data_type(args.return_field.data_type().clone())))
}

/// A decimal of `scale` rounded to `digits` behind the point, then written with `to_scale`.
fn rounded_to(
    number: i128,
    scale: i64,
    digits: i64,
    to_scale: i64,
    rounding: Rounding,
) -> std::result::Result<i128, ArrowError> {
    let power = |exponent: i64| {
        u32::try_from(exponent).ok().and_then(|exponent| 10_i128.checked_pow(exponent))
    };
    let digits = digits.min(scale);
    let Some(unit) = power(scale - digits) else {
        return Ok(0); // every number is nearer to zero than to such a unit
    };
    let units = rounding.units(number, unit);
    if to_scale >= digits {
        let factor = power(to_scale - digits).ok_or_else(overflow)?;
        units.checked_mul(factor).ok_or_else(overflow)?.pipe_checked()
    } else {
        Ok(units / power(digits - to_scale).ok_or_else(overflow)?)
    }
}

fn sign_of(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let arrays = arrays(args)?;
    let signs: ArrayRef = match arrays[0].data_type() {
        DataType::Decimal128(_, _) => {
            let numbers = arrays[0].as_primitive::<Decimal128Type>();
            let signs: Decimal128Array = unary(numbers, i128::signum);
            Arc::new(signs.with_data_type(DataType::Decimal128(1, 0)))
        }
        _ => {
            let numbers = arrays[0].as_primitive::<Float64Type>();
            let sign = |number: f64| if number == 0.0 { 0.0 } else { number.signum() };
            Arc::new(unary::<_, _, Float64Type>(numbers, sign))
        }
    };
    result(args, signs)
}

fn nearest_integer(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let arrays = arrays(args)?;
    let numbers = &arrays[0];
    let integers: Int64Array = match numbers.data_type() {
        DataType::Decimal128(_, scale) => {
            let scale = i64::from(*scale);
            try_unary(numbers.as_primitive::<Decimal128Type>(), |number| {
                let whole = rounded_to(number, scale, 0, 0, Rounding::Half)?;
                i64::try_from(whole).map_err(|_| overflow())
            })?
        }
        DataType::Float64 => try_unary(numbers.as_primitive::<Float64Type>(), float_to_integer)?,
        DataType::Int16 => widened::<Int16Type>(numbers),
        DataType::Int32 => widened::<Int32Type>(numbers),
        DataType::Int64 => numbers.as_primitive::<Int64Type>().clone(),
        other => return Err(no_number(other)),
    };
    result(args, Arc::new(integers))
}

fn widened<T: ArrowPrimitiveType>(numbers: &ArrayRef) -> Int64Array
where
    T::Native: Into<i64>,
{
    let numbers: &PrimitiveArray<T> = numbers.as_primitive();
    unary(numbers, Into::into)
}

fn float_to_integer(number: f64) -> std::result::Result<i64, ArrowError> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0; // 2^63, exact in f64
    let rounded = number.round_ties_even();
    if (-LIMIT..LIMIT).contains(&rounded) {
        // In range and whole, so the cast is exact.
        #[allow(clippy::cast_possible_truncation)]
        Ok(rounded as i64)
    } else {
        Err(overflow())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotients_are_rounded_half_away_from_zero() {
        // 20.00 / 3.0 and its negative
        assert_eq!(divided(2000, 30, 15).unwrap(), 66_666_666_666_666_667);
        assert_eq!(divided(-2000, 30, 15).unwrap(), -66_666_666_666_666_667);
        assert_eq!(divided(1, 2, 0).unwrap(), 1);
        assert_eq!(divided(-1, 2, 0).unwrap(), -1);
        assert_eq!(divided(1, -2, 0).unwrap(), -1);
        assert_eq!(divided(149, 1, -2).unwrap(), 1);
        assert_eq!(divided(150, 1, -2).unwrap(), 2);
        assert!(matches!(divided(1, 0, 0), Err(ArrowError::DivideByZero)));
        assert!(matches!(divided(i128::MAX, 1, 16), Err(ArrowError::ArithmeticOverflow(_))));
    }

    #[test]
    fn wide_operands_take_the_wide_path() {
        let wide = 12_345_678_901_234_567_890_123_456_789_012_345_i128; // scale 20: 123456789012345.…
        assert_eq!(divided(wide, 3_000, -1).unwrap(), wide / 30_000);
    }

    #[test]
    fn rounding_goes_to_units_of_any_size() {
        let half = |number, digits| rounded_to(number, 2, digits, 2, Rounding::Half).unwrap();
        assert_eq!(half(255, 1), 260);
        assert_eq!(half(-255, 1), -260);
        assert_eq!(half(15_500, -1), 16_000);
        assert_eq!(half(4_999, -2), 0);
        assert_eq!(half(4_999, -60), 0);
        assert_eq!(rounded_to(-129, 2, 1, 1, Rounding::Cut).unwrap(), -12);
        assert_eq!(rounded_to(-120, 2, 0, 0, Rounding::Down).unwrap(), -2);
        assert_eq!(rounded_to(120, 2, 0, 0, Rounding::Up).unwrap(), 2);
    }
}
