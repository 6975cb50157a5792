//! Values to texts and back, where Postgres writes or reads them differently from Arrow.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::{ScalarValue, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::error::FunctionError;
use super::time::{TIMESTAMP, timestamptz};
use super::udf::{Function, arrays, result};
use crate::sql::timezone::TimeZone;
use crate::sql::types::PgType;
use crate::sql::value;

macro_rules! function {
    ($(#[$doc:meta])* $name:ident, $value:expr) => {
        $(#[$doc])*
        pub(super) fn $name() -> &'static Arc<ScalarUDF> {
            static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| $value.udf());
            &FUNCTION
        }
    };
}

function!(
    /// The text of a float as Postgres prints it: the shortest that reads back as the same number.
    float_text,
    Function::new("float_text", one_float, |_, _| Ok(DataType::Utf8), float_to_text)
);
function!(
    /// A text as a date, as Postgres reads it.
    text_to_date,
    Function::new("text_to_date", one_text, |_, _| Ok(DataType::Date32), text_to_moment)
);
function!(
    /// A text as a timestamp, as Postgres reads it; a zone in it is ignored.
    text_to_timestamp,
    Function::new("text_to_timestamp", one_text, |_, _| Ok(TIMESTAMP), text_to_moment)
);
function!(
    /// A text as a timestamptz, as Postgres reads it; without a zone in it, in that of the second
    /// argument, or in UTC.
    text_to_timestamptz,
    Function::new("text_to_timestamptz", text_and_zone, |_, _| Ok(timestamptz()), text_to_moment)
);

/// All of them, for the registry.
pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    [float_text(), text_to_date(), text_to_timestamp(), text_to_timestamptz()]
        .into_iter()
        .map(Arc::clone)
        .collect()
}

fn one_float(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [DataType::Float32] => Ok(vec![DataType::Float32]),
        [data_type] if data_type.is_numeric() => Ok(vec![DataType::Float64]),
        _ => plan_err!("a float is expected"),
    }
}

fn one_text(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [_] => Ok(vec![DataType::Utf8]),
        _ => plan_err!("one text is expected"),
    }
}

fn text_and_zone(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [_, _] => Ok(vec![DataType::Utf8; 2]),
        types => one_text(types),
    }
}

fn float_to_text(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let arrays = arrays(args)?;
    let texts: StringArray = match arrays[0].data_type() {
        DataType::Float32 => {
            let numbers = arrays[0].as_primitive::<Float32Type>();
            numbers.iter().map(|number| number.map(float4)).collect()
        }
        _ => {
            let numbers = arrays[0].as_primitive::<Float64Type>();
            numbers.iter().map(|number| number.map(float8)).collect()
        }
    };
    result(args, Arc::new(texts))
}

pub(super) fn float8(number: f64) -> String {
    float(number, ryu::Buffer::new().format(number), 15)
}

fn float4(number: f32) -> String {
    float(f64::from(number), ryu::Buffer::new().format(number), 6)
}

/// `shortest` as Postgres writes it: with an exponent below 10^-4 and from 10^`digits` on.
///
/// Source: PostgreSQL `src/common/d2s.c`, `to_chars`.
fn float(number: f64, shortest: &str, digits: i32) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() };
    }
    let (sign, text) = match shortest.strip_prefix('-') {
        Some(text) => ("-", text),
        None => ("", shortest),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let leading = all.len() - all.trim_start_matches('0').len();
    let significant = all.trim_matches('0');
    if significant.is_empty() {
        return format!("{sign}0");
    }
    let length = |text: &str| i32::try_from(text.len()).unwrap_or_default();
    let skipped = i32::try_from(leading).unwrap_or_default();
    let exponent = exponent.parse().unwrap_or(0) + length(whole) - skipped - 1;
    if !(-4..digits).contains(&exponent) {
        let (first, rest) = significant.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        let direction = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{first}{point}{rest}e{direction}{:02}", exponent.abs());
    }
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or_default());
    let digits = length(significant);
    if exponent < 0 {
        format!("{sign}0.{}{significant}", zeros(-exponent - 1))
    } else if digits <= exponent + 1 {
        format!("{sign}{significant}{}", zeros(exponent + 1 - digits))
    } else {
        let place = usize::try_from(exponent + 1).unwrap_or_default();
        let (whole, fraction) = significant.split_at(place);
        format!("{sign}{whole}.{fraction}")
    }
}

fn text_to_moment(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let arrays = arrays(args)?;
    let texts = arrays[0].as_string::<i32>();
    let data_type = args.return_field.data_type();
    let pg_type = PgType::of_arrow(data_type);
    let zone = match args.args.get(1) {
        Some(ColumnarValue::Scalar(zone)) => {
            let zone = zone.try_as_str().flatten().and_then(TimeZone::of_expression);
            zone.ok_or_else(|| FunctionError::argument("time zone not recognized"))?
        }
        _ => TimeZone::UTC,
    };
    let mut days = Vec::new();
    let mut micros = Vec::new();
    for text in texts {
        match text.map(|text| read_in(&pg_type, text, &zone)).transpose()? {
            Some(ScalarValue::Date32(value)) => days.push(value),
            Some(ScalarValue::TimestampMicrosecond(value, _)) => micros.push(value),
            _ => {
                days.push(None);
                micros.push(None);
            }
        }
    }
    let array: ArrayRef = match data_type {
        DataType::Date32 => Arc::new(Date32Array::from(days)),
        other => Arc::new(TimestampMicrosecondArray::from(micros).with_data_type(other.clone())),
    };
    result(args, array)
}

/// A text as a value of a Postgres type, with the session's zone taken as UTC.
pub(crate) fn read(pg_type: &PgType, text: &str) -> Result<ScalarValue> {
    read_in(pg_type, text, &TimeZone::UTC)
}

/// A text as a value of a Postgres type, where the session has this zone.
pub(super) fn read_in(pg_type: &PgType, text: &str, zone: &TimeZone) -> Result<ScalarValue> {
    value::from_text(pg_type, Some(text), zone)
        .map_err(|fault| FunctionError::new(fault.sqlstate, fault.message).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_postgres_does() {
        let cases = [
            (1.5, "1.5"),
            (100.0, "100"),
            (-0.0, "-0"),
            (1e20, "1e+20"),
            (1e15, "1e+15"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e-7, "1e-07"),
            (0.0001, "0.0001"),
            (0.000_012_34, "1.234e-05"),
            (1234.5, "1234.5"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (number, text) in cases {
            assert_eq!(float8(number), text);
        }
        assert_eq!(float4(0.1), "0.1");
        assert_eq!(float4(1e6), "1e+06");
    }
}
