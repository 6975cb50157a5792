//! Values in Postgres's binary format, shown as PostgreSQL shows them in its text format.
//!
//! tokio-postgres always asks for binary results in the extended protocol. Written out here, by
//! nobody's code but the test's, they must equal the text that the simple protocol gave.

use std::error::Error;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, TimeDelta};
use chrono_tz::Tz;
use tokio_postgres::types::{FromSql, Kind, Type};

/// A value as it came: its type and bytes, None for NULL.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) data_type: Type,
    pub(crate) bytes: Option<Vec<u8>>,
}

impl<'a> FromSql<'a> for Raw {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self { data_type: ty.clone(), bytes: Some(raw.to_vec()) })
    }

    fn from_sql_null(ty: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self { data_type: ty.clone(), bytes: None })
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl Raw {
    /// Its text, None for NULL; `zone` is the session's TimeZone.
    pub(crate) fn text(&self, zone: Tz) -> Option<String> {
        self.bytes.as_ref().map(|bytes| text_of(&self.data_type, bytes, zone))
    }
}

fn text_of(data_type: &Type, bytes: &[u8], zone: Tz) -> String {
    if let Kind::Array(item) = data_type.kind() {
        return array_text(item, bytes, zone);
    }
    match *data_type {
        Type::BOOL => if bytes[0] == 1 { "t" } else { "f" }.to_owned(),
        Type::INT2 => i16::from_be_bytes(bytes.try_into().unwrap()).to_string(),
        Type::INT4 => i32::from_be_bytes(bytes.try_into().unwrap()).to_string(),
        Type::INT8 => i64_of(bytes).to_string(),
        Type::OID => u32::from_be_bytes(bytes.try_into().unwrap()).to_string(),
        Type::FLOAT4 => f32::from_be_bytes(bytes.try_into().unwrap()).to_string(),
        Type::FLOAT8 => float_text(f64::from_be_bytes(bytes.try_into().unwrap())),
        Type::NUMERIC => numeric_text(bytes),
        Type::INTERVAL => interval_text(bytes),
        Type::TIME => time_text(i64_of(bytes)),
        Type::UUID => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let part = |from: usize, to: usize| digits[from..to].to_owned();
            [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
        }
        Type::BYTEA => {
            let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
            format!("\\x{}", digits.collect::<String>())
        }
        Type::JSONB => {
            assert_eq!(bytes[0], 1, "version of a jsonb");
            String::from_utf8(bytes[1..].to_vec()).unwrap()
        }
        Type::DATE => {
            let days = i32::from_be_bytes(bytes.try_into().unwrap());
            if let Some(infinite) = infinity(i64::from(days), i64::from(i32::MAX)) {
                return infinite;
            }
            let day = if days < 0 {
                epoch().checked_sub_days(Days::new(u64::from(days.unsigned_abs())))
            } else {
                epoch().checked_add_days(Days::new(u64::from(days.unsigned_abs())))
            };
            date_text(day.unwrap())
        }
        Type::TIMESTAMP | Type::TIMESTAMPTZ if infinity(i64_of(bytes), i64::MAX).is_some() => {
            infinity(i64_of(bytes), i64::MAX).unwrap()
        }
        Type::TIMESTAMP => wall_clock_text(timestamp_of(bytes)),
        Type::TIMESTAMPTZ => {
            let instant: DateTime<Tz> = timestamp_of(bytes).and_utc().with_timezone(&zone);
            let offset = instant.format("%:z").to_string();
            let offset = offset.strip_suffix(":00").unwrap_or(&offset);
            let local = wall_clock_text(instant.naive_local());
            match local.strip_suffix(" BC") {
                Some(local) => format!("{local}{offset} BC"),
                None => format!("{local}{offset}"),
            }
        }
        // The zero byte is the empty one.
        Type::CHAR if bytes == [0] => String::new(),
        Type::CHAR
        | Type::TEXT
        | Type::VARCHAR
        | Type::NAME
        | Type::BPCHAR
        | Type::UNKNOWN
        | Type::VOID
        | Type::JSON => String::from_utf8(bytes.to_vec()).unwrap(),
        _ => panic!("no rendering of {data_type}"),
    }
}

fn i64_of(bytes: &[u8]) -> i64 {
    i64::from_be_bytes(bytes.try_into().unwrap())
}

fn epoch() -> NaiveDate {
    NaiveDate::from_ymd_opt(2000, 1, 1).unwrap()
}

fn timestamp_of(bytes: &[u8]) -> NaiveDateTime {
    epoch().and_hms_opt(0, 0, 0).unwrap() + TimeDelta::microseconds(i64_of(bytes))
}

/// The infinities are the ends of a type.
fn infinity(value: i64, greatest: i64) -> Option<String> {
    match value {
        value if value == greatest => Some("infinity".to_owned()),
        value if value == -greatest - 1 => Some("-infinity".to_owned()),
        _ => None,
    }
}

/// There is no year 0.
fn date_text(date: NaiveDate) -> String {
    match date.year() {
        1.. => date.to_string(),
        year => format!("{:04}-{:02}-{:02} BC", 1 - year, date.month(), date.day()),
    }
}

/// The fraction without the zeros at its end.
fn wall_clock_text(time: NaiveDateTime) -> String {
    let clock = time.format("%T%.6f").to_string();
    let clock = clock.trim_end_matches('0').trim_end_matches('.');
    let date = date_text(time.date());
    match date.strip_suffix(" BC") {
        Some(date) => format!("{date} {clock} BC"),
        None => format!("{date} {clock}"),
    }
}

/// Microseconds of a day, or of hours beyond one.
fn time_text(micros: i64) -> String {
    let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
    let text =
        format!("{:02}:{:02}:{:02}.{rest:06}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Microseconds, days and months.
fn interval_text(bytes: &[u8]) -> String {
    let micros = i64_of(&bytes[..8]);
    let days = i32::from_be_bytes(bytes[8..12].try_into().unwrap());
    let months = i32::from_be_bytes(bytes[12..].try_into().unwrap());
    let mut parts: Vec<String> = Vec::new();
    let mut after_negative = false;
    for (value, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if value != 0 {
            let plus = if after_negative && value > 0 { "+" } else { "" };
            let plural = if value == 1 { "" } else { "s" };
            parts.push(format!("{plus}{value} {unit}{plural}"));
            after_negative = value < 0;
        }
    }
    if micros != 0 || parts.is_empty() {
        let sign = match (micros < 0, after_negative) {
            (true, _) => "-",
            (false, true) => "+",
            (false, false) => "",
        };
        parts.push(format!("{sign}{}", time_text(micros.abs())));
    }
    parts.join(" ")
}

/// PostgreSQL's shortest exact form: exponents from 1e15 up and below 1e-4.
fn float_text(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let size = value.abs();
    if value == 0.0 || value.is_nan() || (1e-4..1e15).contains(&size) {
        return value.to_string();
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap();
    let exponent: i32 = exponent.parse().unwrap();
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// Base-10000 digits with a weight and a display scale.
///
/// Source: PostgreSQL's `numeric_send`.
fn numeric_text(bytes: &[u8]) -> String {
    let word = |index: usize| i16::from_be_bytes([bytes[2 * index], bytes[2 * index + 1]]);
    let (count, weight, sign, scale) = (word(0), word(1), word(2), word(3));
    assert_eq!(bytes.len(), 8 + 2 * usize::try_from(count).unwrap(), "length of a numeric");
    if sign.cast_unsigned() == 0xC000 {
        return "NaN".to_owned();
    }
    let digit = |position: i16| -> i16 {
        // `position` counts groups of four digits to the left of the point: 0 is the last of them.
        let index = weight - position;
        if (0..count).contains(&index) { word(4 + usize::try_from(index).unwrap()) } else { 0 }
    };
    let whole: String = (0..=weight.max(0)).rev().map(|p| format!("{:04}", digit(p))).collect();
    let whole = whole.trim_start_matches('0');
    let mut text = String::new();
    if sign.cast_unsigned() == 0x4000 {
        text.push('-');
    }
    text.push_str(if whole.is_empty() { "0" } else { whole });
    if scale > 0 {
        let groups = (scale + 3) / 4;
        let part: String = (1..=groups).map(|p| format!("{:04}", digit(-p))).collect();
        text.push('.');
        text.push_str(&part[..usize::try_from(scale).unwrap()]);
    }
    text
}

fn quoted_item(text: String) -> String {
    let special = |c: char| c.is_ascii_whitespace() || matches!(c, '"' | '\\' | '{' | '}' | ',');
    if !text.is_empty() && !text.contains(special) && !text.eq_ignore_ascii_case("null") {
        return text;
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// One-dimensional arrays.
fn array_text(item: &Type, bytes: &[u8], zone: Tz) -> String {
    let int = |at: usize| i32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    // Of each dimension its length and its first index.
    let dimensions = usize::try_from(int(0)).unwrap();
    let lengths: Vec<usize> =
        (0..dimensions).map(|each| usize::try_from(int(12 + 8 * each)).unwrap()).collect();
    if lengths.is_empty() {
        return "{}".to_owned();
    }
    let mut at = 12 + 8 * dimensions;
    let mut items = Vec::new();
    for _ in 0..lengths.iter().product() {
        let length = int(at);
        at += 4;
        if length < 0 {
            items.push("NULL".to_owned());
            continue;
        }
        let end = at + usize::try_from(length).unwrap();
        items.push(quoted_item(text_of(item, &bytes[at..end], zone)));
        at = end;
    }
    for length in lengths.iter().rev() {
        items = items.chunks(*length).map(|part| format!("{{{}}}", part.join(","))).collect();
    }
    items.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_as_postgres_shows_them() {
        let shown = [0.2, 0.125, 1e15, 1.5e-5, -0.0, 3.0, 1e-4].map(float_text);
        assert_eq!(shown, ["0.2", "0.125", "1e+15", "1.5e-05", "-0", "3", "0.0001"]);
    }

    #[test]
    fn fractions_of_seconds_end_without_zeros() {
        let time = |us: i64| wall_clock_text(timestamp_of(&us.to_be_bytes()));
        assert_eq!(time(0), "2000-01-01 00:00:00");
        assert_eq!(time(10_500_000), "2000-01-01 00:00:10.5");
    }

    #[test]
    fn numerics_keep_their_scale() {
        // 12345.60, as PostgreSQL sends it: groups 1, 2345, 6000.
        let bytes = [0, 3, 0, 1, 0, 0, 0, 2, 0, 1, 9, 41, 23, 112];
        assert_eq!(numeric_text(&bytes), "12345.60");
        // 0.00 has no groups at all.
        assert_eq!(numeric_text(&[0, 0, 0, 0, 0, 0, 0, 2]), "0.00");
        // -0.0005: one group, weight -1.
        assert_eq!(numeric_text(&[0, 1, 255, 255, 64, 0, 0, 4, 0, 5]), "-0.0005");
    }
}
