//! Numbers.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::Operator;
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;

use super::super::literal;
use super::super::value::{Binding, Value, integer_range};
use super::super::{NotPushable, Result, nan};
use super::{Call, Entry, Form};
use crate::functions::NEGATIVE_ROOT;
use crate::functions::numeric::QUOTIENT_SCALE;

#[rustfmt::skip]
pub(super) const ENTRIES: &[Entry] = &[
    Entry { name: "+ - *", signature: "int, int -> int; overflow is an error", constants: &[], form: Form::Syntax,
        examples: &[("7 + 5", Some("12")), ("7 - 12", Some("-5")), ("-7 * 6", Some("-42")), ("- (5 + 2)", Some("-7")),
            ("9223372036854775807 - 1", Some("9223372036854775806")), ("3000000000 * 2000000000", Some("6000000000000000000"))] },
    Entry { name: "+ - *", signature: "numeric, numeric -> numeric; overflow is an error", constants: &[], form: Form::Syntax,
        examples: &[("1.50 + 2", Some("3.50")), ("1.50 - 2.125", Some("-0.625")), ("1.50 * 2.5", Some("3.750")),
            ("-1.50 * 0.1", Some("-0.150")), ("- 1.50", Some("-1.50")), ("99999999.9 + 0.00000001", Some("99999999.90000001")),
            ("9999999999999999.99 + 9999999999999999.99", Some("19999999999999999.98")),
            ("12345678901234.56 * 12345678901234.56", Some("152415787532388172687092138.3936"))] },
    Entry { name: "+ - *", signature: "float8, float8 -> float8", constants: &[], form: Form::Syntax,
        examples: &[("1.5::float8 + 2", Some("3.5")), ("0.1::float8 * 3", Some("0.30000000000000004")), ("- 1.5::float8", Some("-1.5"))] },
    Entry { name: "/ %", signature: "int, int -> int; cut towards zero", constants: &[], form: Form::Syntax,
        examples: &[("7 / 2", Some("3")), ("-7 / 2", Some("-3")), ("7 / -2", Some("-3")), ("7 % 3", Some("1")), ("-7 % 3", Some("-1")), ("7 % -3", Some("1"))] },
    Entry { name: "mod", signature: "int, int -> int; cut towards zero", constants: &[], form: Form::Scalar(|call| operator(Operator::Modulo, call.arg(0)?.clone(), call.arg(1)?.clone())),
        examples: &[("mod(-7, 3)", Some("-1")), ("mod(7, -3)", Some("1"))] },
    Entry { name: "numeric_div", signature: "numeric, numeric -> numeric(38,16)", constants: &[], form: Form::Scalar(numeric_div),
        examples: &[("7 / 2.0", Some("3.5000000000000000")), ("10.0 / 3", Some("3.3333333333333333")), ("-20.00 / 3.0", Some("-6.6666666666666667")),
            ("2 / 3.0", Some("0.6666666666666667")), ("0.00 / 3.0", Some("0.0000000000000000")), ("1.0 / nullif(0.0, 0)", None),
            ("nullif(1.0, 1) / 0.0", None)] },
    Entry { name: "numeric_mean", signature: "numeric, int8 -> numeric(38,16); how avg(int) and avg(numeric) divide", constants: &[], form: Form::Scalar(numeric_mean),
        examples: &[("numeric_mean(10.00, 3)", Some("3.3333333333333333")), ("numeric_mean(10.00, 0)", None)] },
    Entry { name: "float_div", signature: "float8, float8 -> float8; division by zero is an error", constants: &[], form: Form::Scalar(float_div),
        examples: &[("7.5::float8 / 2", Some("3.75")), ("1 / 3::float8", Some("0.3333333333333333")), ("1::float8 / nullif(0::float8, 0)", None),
            ("nullif(1::float8, 1) / 0::float8", None)] },
    Entry { name: "float_mean", signature: "float8, float8 -> float8; how a metric's average of integers divides", constants: &[], form: Form::Scalar(float_mean),
        examples: &[("float_mean(7, 2)", Some("3.5"))] },
    Entry { name: "checked_add", signature: "int, int -> int: how + is planned", constants: &[], form: Form::Scalar(|call| checked(call, Operator::Plus)), examples: &[] },
    Entry { name: "checked_sub", signature: "int, int -> int: how - is planned", constants: &[], form: Form::Scalar(|call| checked(call, Operator::Minus)), examples: &[] },
    Entry { name: "checked_mul", signature: "int, int -> int: how * is planned", constants: &[], form: Form::Scalar(|call| checked(call, Operator::Multiply)), examples: &[] },
    Entry { name: "to_integer", signature: "numeric | float8 -> int8: how casts round", constants: &[], form: Form::Scalar(to_integer),
        examples: &[("2.5::int8", Some("3")), ("-2.5::int8", Some("-3")), ("2.49::int4", Some("2")), ("2.5::float8::int8", Some("2")), ("3.5::float8::int4", Some("4"))] },
    Entry { name: "round", signature: "numeric [, int] -> numeric, half away from zero; float8 -> float8, half to even", constants: &[1], form: Form::Scalar(round),
        examples: &[("round(2.5)", Some("3")), ("round(-2.5)", Some("-3")), ("round(2.555, 2)", Some("2.56")), ("round(-2.555, 2)", Some("-2.56")),
            ("round(1.5, 3)", Some("1.500")), ("round(1250.5, -2)", Some("1300")), ("round(49.9, -2)", Some("0")), ("round(155, -1)", Some("160")),
            ("round(2.5::float8)", Some("2")), ("round(-3.5::float8)", Some("-4")), ("round(5)", Some("5"))] },
    Entry { name: "trunc", signature: "numeric [, int] -> numeric; float8 -> float8", constants: &[1], form: Form::Scalar(|call| digits(call, "trunc")),
        examples: &[("trunc(1.29)", Some("1")), ("trunc(-1.29)", Some("-1")), ("trunc(1.299, 2)", Some("1.29")), ("trunc(199.9, -2)", Some("100")),
            ("trunc(-1.9::float8)", Some("-1"))] },
    Entry { name: "ceil", signature: "numeric -> numeric; float8 -> float8", constants: &[], form: Form::Scalar(|call| digits(call, "ceil")),
        examples: &[("ceil(1.2)", Some("2")), ("ceil(-1.2)", Some("-1")), ("ceiling(1.2::float8)", Some("2")), ("ceil(5)", Some("5"))] },
    Entry { name: "floor", signature: "numeric -> numeric; float8 -> float8", constants: &[], form: Form::Scalar(|call| digits(call, "floor")),
        examples: &[("floor(1.8)", Some("1")), ("floor(-1.2)", Some("-2")), ("floor(-1.2::float8)", Some("-2"))] },
    Entry { name: "abs", signature: "number -> the same", constants: &[], form: Form::Scalar(abs),
        examples: &[("abs(-5)", Some("5")), ("abs(-5.25)", Some("5.25")), ("abs(-5.25::float8)", Some("5.25"))] },
    Entry { name: "sign", signature: "numeric | float8 -> the same", constants: &[], form: Form::Scalar(sign),
        examples: &[("sign(-5.25)", Some("-1")), ("sign(0.0)", Some("0")), ("sign(3::float8)", Some("1"))] },
    Entry { name: "width_bucket", signature: "numeric, numeric, numeric, int -> int4; ascending bounds and the count constants", constants: &[1, 2, 3], form: Form::Scalar(width_bucket),
        examples: &[("width_bucket(5.35, 0.024, 10.06, 5)", Some("3")), ("width_bucket(0.0, 0, 10, 5)", Some("1")), ("width_bucket(10.0, 0, 10, 5)", Some("6")), ("width_bucket(-0.1, 0, 10, 5)", Some("0")), ("width_bucket(9.99, 0, 10, 5)", Some("5"))] },
    Entry { name: "sqrt", signature: "float8 -> float8", constants: &[], form: Form::Scalar(sqrt),
        examples: &[("sqrt(2::float8)", Some("1.4142135623730951"))] },
];

fn sqrt(call: &Call) -> Result<Value> {
    let number = call.arg(0)?;
    if number.sql.len() > REPEATED_MAX {
        return Err(NotPushable::new("the root of a long expression"));
    }
    let root = call.of("sqrt")?;
    let sql = format!("if(throwIf({} < 0, '{NEGATIVE_ROOT}'), NULL, {})", number.sql, root.sql);
    Ok(Value::new(sql, root.data_type, true))
}

/// The widths in bits that ClickHouse keeps decimals in.
fn width(precision: u8) -> u16 {
    match precision {
        0..=9 => 32,
        10..=18 => 64,
        19..=38 => 128,
        _ => 256,
    }
}

pub(super) fn decimal_of(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale)
            if *scale >= 0 =>
        {
            Some((*precision, *scale))
        }
        _ => None,
    }
}

/// `left op right` of two values that aren't compared.
pub(crate) fn operator(op: Operator, left: Value, right: Value) -> Result<Value> {
    let (a, b) = (&left.data_type, &right.data_type);
    if left.is_null_literal() || right.is_null_literal() {
        return Err(NotPushable::new(format!("{op} of NULL")));
    }
    match op {
        Operator::Plus | Operator::Minus | Operator::Multiply => {
            if a.is_integer() && b.is_integer() {
                return integers(op, &left, &right, a.clone());
            }
            if *a == DataType::Float64 && *b == DataType::Float64 {
                return plain(op, &left, &right, DataType::Float64);
            }
            if decimal_of(a).is_some() && decimal_of(b).is_some() {
                return decimals(op, &left, &right);
            }
            super::time::operator(op, &left, &right)
        }
        Operator::Divide if a.is_integer() && b.is_integer() => {
            integer_division("intDiv", &left, &right)
        }
        Operator::Modulo if a.is_integer() && b.is_integer() => {
            integer_division("modulo", &left, &right)
        }
        Operator::BitwiseAnd if a.is_integer() => Ok(bits("bitAnd", &left, &right)),
        Operator::BitwiseOr if a.is_integer() => Ok(bits("bitOr", &left, &right)),
        Operator::BitwiseShiftLeft if a.is_integer() => Ok(bits("bitShiftLeft", &left, &right)),
        Operator::BitwiseShiftRight if a.is_integer() => Ok(bits("bitShiftRight", &left, &right)),
        op => Err(NotPushable::new(format!("{a} {op} {b}"))),
    }
}

/// Of the bits that grouping() is made of.
fn bits(function: &str, left: &Value, right: &Value) -> Value {
    let sql = format!("to{}({function}({}, {}))", left.data_type, left.sql, right.sql);
    Value::new(sql, left.data_type.clone(), false).computed_from([left, right])
}

fn symbol(op: Operator) -> (&'static str, Binding, Binding) {
    match op {
        Operator::Plus => ("+", Binding::Sum, Binding::Product),
        Operator::Minus => ("-", Binding::Sum, Binding::Product),
        _ => ("*", Binding::Product, Binding::Atom),
    }
}

fn plain(op: Operator, left: &Value, right: &Value, data_type: DataType) -> Result<Value> {
    let (symbol, binding, right_binding) = symbol(op);
    let sql = format!("{} {symbol} {}", left.at(binding), right.at(right_binding));
    Ok(Value { binding, ..Value::new(sql, data_type, false).computed_from([left, right]) })
}

fn checked(call: &Call, op: Operator) -> Result<Value> {
    integers(op, call.arg(0)?, call.arg(1)?, call.data_type.clone())
}

/// ClickHouse's integers wrap. Where the operands' ranges don't exclude it, the result is computed
/// in 128 bits and then checked.
fn integers(op: Operator, left: &Value, right: &Value, data_type: DataType) -> Result<Value> {
    let (a, b) = (left.integer_range()?, right.integer_range()?);
    let range = match op {
        Operator::Plus => (a.0 + b.0, a.1 + b.1),
        Operator::Minus => (a.0 - b.1, a.1 - b.0),
        _ => {
            let products = [a.0 * b.0, a.0 * b.1, a.1 * b.0, a.1 * b.1];
            let least = products.iter().min().copied().unwrap_or_default();
            (least, products.iter().max().copied().unwrap_or_default())
        }
    };
    let limits = integer_range(&data_type)
        .ok_or_else(|| NotPushable::new("arithmetic on something that is no integer"))?;
    if limits.0 <= range.0 && range.1 <= limits.1 {
        let value = plain(op, left, right, data_type)?;
        return Ok(Value { range: Some(range), ..value });
    }
    let (symbol, _, right_binding) = symbol(op);
    let sql = format!(
        "accurateCast(toInt128({}) {symbol} {}, '{data_type}')",
        left.sql,
        right.at(right_binding)
    );
    Ok(Value::new(sql, data_type, false).computed_from([left, right]))
}

/// The divisor, NULL in a row whose dividend is: ClickHouse would divide there too, and throw.
fn masked(dividend: &Value, divisor: &Value, divisor_sql: &str) -> Result<String> {
    let never_zero =
        divisor.literal.is_some() || divisor.range.is_some_and(|(low, high)| low > 0 || high < 0);
    if !dividend.nullable || never_zero {
        return Ok(divisor_sql.to_owned());
    }
    if dividend.sql.len() > REPEATED_MAX {
        return Err(NotPushable::new("a long dividend that may be NULL"));
    }
    Ok(format!("if({} IS NULL, NULL, {divisor_sql})", dividend.at(Binding::Sum)))
}

/// An expression longer than this isn't written twice.
pub(in super::super) const REPEATED_MAX: usize = 4_000;

fn integer_division(function: &str, left: &Value, right: &Value) -> Result<Value> {
    let sql = format!("{function}({}, {})", left.sql, masked(left, right, &right.sql)?);
    let data_type = left.data_type.clone();
    Ok(Value::new(sql, data_type, false).computed_from([left, right]))
}

/// ClickHouse computes in the wider operand's width: it is widened where the result needs more.
/// Products beyond 128 bits aren't noticed there, so they are computed in 256 and then narrowed.
fn decimals(op: Operator, left: &Value, right: &Value) -> Result<Value> {
    let data_type = BinaryTypeCoercer::new(&left.data_type, &op, &right.data_type)
        .get_result_type()
        .map_err(super::super::expr::untyped)?;
    let (Some((a, a_scale)), Some((b, _)), Some((precision, scale))) =
        (decimal_of(&left.data_type), decimal_of(&right.data_type), decimal_of(&data_type))
    else {
        return Err(NotPushable::new("arithmetic on a decimal without digits behind the point"));
    };
    let (symbol, _, right_binding) = symbol(op);
    let digits = u16::from(a) + u16::from(b);
    if op == Operator::Multiply && (digits > 38 || precision > 38) {
        if digits > 76 {
            return Err(NotPushable::new("a product of more than 76 digits"));
        }
        let wide = format!("CAST({} AS Decimal(76, {a_scale}))", left.sql);
        let product = format!("{wide} * {}", right.at(right_binding));
        let sql = format!("CAST({product} AS Decimal({precision}, {scale}))");
        return Ok(Value::new(sql, data_type, false).computed_from([left, right]));
    }
    if width(a).max(width(b)) < width(precision) {
        let wide = format!("CAST({} AS Decimal({precision}, {a_scale}))", left.sql);
        let sql = format!("{wide} {symbol} {}", right.at(right_binding));
        let binding = self::symbol(op).1;
        let wide = Value { binding, ..Value::new(sql, data_type.clone(), false) };
        // A sum of two of 18 digits still fits 64 bits; more of them wouldn't.
        let fits = op != Operator::Multiply && precision == 19;
        let narrow = if fits { Some(Arc::new(plain(op, left, right, data_type)?)) } else { None };
        return Ok(Value { origin: narrow, ..wide.computed_from([left, right]) });
    }
    plain(op, left, right, data_type)
}

pub(crate) fn negative(value: &Value) -> Result<Value> {
    let sql = format!("negate({})", value.sql);
    let fits = match &value.data_type {
        DataType::Float64 => true,
        data_type if data_type.is_integer() => {
            let (low, high) = value.integer_range()?;
            let limits = integer_range(data_type).unwrap_or_default();
            limits.0 <= -high && -low <= limits.1
        }
        data_type => decimal_of(data_type).is_some(),
    };
    if !fits {
        return Err(NotPushable::new(format!("- {}", value.data_type)));
    }
    let range = value.range.map(|(low, high)| (-high, -low));
    let negative = Value::new(sql, value.data_type.clone(), false).computed_from([value]);
    Ok(Value { range, ..negative })
}

/// The quotient is cut off one digit further than asked, then rounded: exact, since half away from
/// zero depends on that digit alone.
fn quotient(dividend: &Value, divisor: &Value, divisor_sql: &str) -> Result<String> {
    let (Some((a, a_scale)), Some((_, b_scale))) =
        (decimal_of(&dividend.data_type), decimal_of(&divisor.data_type))
    else {
        return Err(NotPushable::new("a quotient of something that is no decimal"));
    };
    let scale = a_scale.max(QUOTIENT_SCALE + 1);
    let digits = i16::from(a) - i16::from(a_scale) + i16::from(scale) + i16::from(b_scale);
    if digits > 76 {
        return Err(NotPushable::new("a quotient of more than 76 digits"));
    }
    let dividend = &without_widening(dividend).sql;
    Ok(format!(
        "CAST(round(CAST({dividend} AS Decimal(76, {scale})) / {divisor_sql}, {QUOTIENT_SCALE}) AS Decimal(38, {QUOTIENT_SCALE}))"
    ))
}

/// An integer needs no cast to a decimal of its own.
fn without_widening(value: &Value) -> &Value {
    match &value.origin {
        Some(origin) if origin.data_type.is_integer() => origin,
        _ => value,
    }
}

fn numeric_div(call: &Call) -> Result<Value> {
    let (dividend, divisor) = (call.arg(0)?, call.arg(1)?);
    let narrow = without_widening(divisor);
    let masked = masked(dividend, divisor, &narrow.at(Binding::Atom))?;
    Ok(call.result(quotient(dividend, divisor, &masked)?))
}

fn numeric_mean(call: &Call) -> Result<Value> {
    let (sum, count) = (call.arg(0)?, call.arg(1)?);
    let divisor = format!("nullIf({}, 0)", without_widening(count).sql);
    Ok(Value { nullable: true, ..call.result(quotient(sum, count, &divisor)?) })
}

fn float_div(call: &Call) -> Result<Value> {
    let (dividend, divisor) = (call.arg(0)?, call.arg(1)?);
    let zero = matches!(
        divisor.literal,
        Some(datafusion::common::ScalarValue::Float64(Some(number))) if number == 0.0
    );
    let divisor = if divisor.literal.is_some() && !zero {
        divisor.at(Binding::Atom)
    } else {
        let operand = divisor.at(Binding::Sum);
        let is_zero = match dividend.nullable {
            true => format!("{operand} = 0 AND {} IS NOT NULL", dividend.at(Binding::Sum)),
            false => format!("{operand} = 0"),
        };
        // Of a NULL condition throwIf sees the value under it, which may be true.
        let is_zero = match divisor.nullable {
            true => format!("ifNull({is_zero}, 0)"),
            false => is_zero,
        };
        format!("({operand} + throwIf({is_zero}, {}))", literal::text("division by zero"))
    };
    let sql = format!("{} / {divisor}", dividend.at(Binding::Product));
    Ok(Value { binding: Binding::Product, ..call.result(sql) })
}

/// The sum is NULL where the count is 0.
fn float_mean(call: &Call) -> Result<Value> {
    let (sum, count) = (call.arg(0)?, call.arg(1)?);
    let sql = format!("{} / nullIf({}, 0)", sum.at(Binding::Product), count.sql);
    Ok(Value { binding: Binding::Product, nullable: true, ..call.result(sql) })
}

fn to_integer(call: &Call) -> Result<Value> {
    let value = call.arg(0)?;
    let rounded = match &value.data_type {
        DataType::Float64 => format!("roundBankers({})", value.sql),
        data_type if decimal_of(data_type).is_some() => format!("round({}, 0)", value.sql),
        data_type if data_type.is_integer() => value.sql.clone(),
        other => return Err(NotPushable::new(format!("a cast from {other} to an integer"))),
    };
    Ok(call.result(format!("accurateCast({rounded}, 'Int64')")))
}

fn round(call: &Call) -> Result<Value> {
    match call.arg(0)?.data_type {
        DataType::Float64 => call.of("roundBankers"),
        _ => digits(call, "round"),
    }
}

/// Rounding of a decimal to constant digits, with the scale that the plan expects.
fn digits(call: &Call, function: &str) -> Result<Value> {
    let number = call.arg(0)?;
    let Some((_, scale)) = decimal_of(&number.data_type) else {
        return call.of(function);
    };
    let digits = match call.args.get(1) {
        None => 0,
        Some(digits) => digits.literal_integer().ok_or_else(|| {
            NotPushable::new(format!("{function} to digits that aren't a constant"))
        })?,
    };
    let digits = digits.min(i64::from(scale));
    if digits < -38 {
        return Err(NotPushable::new(format!("{function} to so few digits")));
    }
    let digits = if digits < 0 { format!("({digits})") } else { digits.to_string() };
    let rounded = Value { sql: format!("{function}({}, {digits})", number.sql), ..number.clone() };
    Ok(call.result(rounded.cast_sql(&call.data_type)?))
}

/// Of decimals: what is cut off behind the quotient's point doesn't matter.
fn width_bucket(call: &Call) -> Result<Value> {
    let value = call.arg(0)?;
    let (Some((_, scale)), Some(count)) =
        (decimal_of(&value.data_type), call.arg(3)?.literal_integer())
    else {
        return Err(NotPushable::new(
            "width_bucket of floats, or of a count that isn't a constant",
        ));
    };
    let bounds = (&call.arg(1)?.literal, &call.arg(2)?.literal);
    let (Some(low), Some(high)) = bounds else {
        return Err(NotPushable::new("width_bucket between bounds that aren't constants"));
    };
    let wide = DataType::Decimal256(76, scale.max(QUOTIENT_SCALE));
    let is_ascending = match (low.cast_to(&wide), high.cast_to(&wide)) {
        (Ok(low), Ok(high)) => low < high,
        _ => false,
    };
    if count < 1 || count >= i64::from(i32::MAX) || !is_ascending {
        return Err(NotPushable::new("width_bucket between such bounds"));
    }
    let (low, high) = (&call.arg(1)?.sql, &call.arg(2)?.sql);
    let (sql, beyond) = (&value.sql, count + 1);
    let place = format!(
        "({} - {low}) * {count} / ({high} - {low})",
        value.cast_sql(&DataType::Decimal256(50, scale))?
    );
    let sql = format!(
        "toInt32(multiIf({sql} < {low}, 0, {sql} >= {high}, {beyond}, toInt64({place}) + 1))"
    );
    Ok(call.result(sql))
}

fn abs(call: &Call) -> Result<Value> {
    let number = call.arg(0)?;
    if number.data_type.is_integer() {
        return Ok(call.result(format!("accurateCast(abs({}), '{}')", number.sql, call.data_type)));
    }
    call.of("abs")
}

fn sign(call: &Call) -> Result<Value> {
    let number = call.arg(0)?;
    if nan::is_possible(number) {
        let sql = &number.sql;
        return Ok(call.result(format!("if(isNaN({sql}), {sql}, sign({sql}))")));
    }
    let sign = Value { sql: format!("sign({})", number.sql), ..number.clone() };
    Ok(call.result(sign.cast_sql(&call.data_type)?))
}
