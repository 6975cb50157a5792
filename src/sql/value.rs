//! Texts to values, as Postgres's input functions read them: parameters and literals.

mod intervals;

use std::net::IpAddr;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

use intervals::interval;
pub(crate) use intervals::qualified_interval;

use super::dates;
use super::jsonb::Jsonb;
use super::timezone::TimeZone;
use super::types::{PgType, SystemForm, SystemType};

/// Digits that a Decimal128 holds.
const DECIMAL_DIGITS_MAX: u32 = 38;

/// Why a text or bytes are no value of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub sqlstate: &'static str,
    pub message: String,
}

pub type Read<T> = Result<T, Fault>;

/// The words of Postgres for a text that a type can't read.
pub fn invalid(pg_type: &str, text: &str) -> Fault {
    let sqlstate = match pg_type {
        "date" | "time" | "timestamp" | "timestamp with time zone" | "interval" => "22007",
        _ => "22P02",
    };
    Fault { sqlstate, message: format!("invalid input syntax for type {pg_type}: \"{text}\"") }
}

pub fn out_of_range(pg_type: &str, text: &str) -> Fault {
    let sqlstate = match pg_type {
        "date" | "time" | "timestamp" | "timestamp with time zone" | "interval" => "22008",
        _ => "22003",
    };
    Fault { sqlstate, message: format!("value \"{text}\" is out of range for type {pg_type}") }
}

/// Why Arrow could not read a value as another type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadCast {
    OutOfRange,
    Invalid { data_type: &'static str, text: String },
}

impl BadCast {
    /// Arrow has one error for texts that aren't numbers and for numbers that don't fit, told apart
    /// by its words (arrow-cast 59: "Can't cast value 300 to type Int8", "Cannot cast to
    /// Decimal128(3, 0). Overflowing on 12345", "Cannot cast string 'x' to value of Int32 type",
    /// "Error parsing timestamp from 'x': …").
    pub fn of_arrow(text: &str) -> Self {
        let lower = text.to_lowercase();
        if lower.contains("can't cast value")
            || lower.contains("overflow")
            || lower.contains("too large to store")
        {
            return Self::OutOfRange;
        }
        let quoted = text.split_once('\'').and_then(|(_, rest)| rest.rsplit_once('\''));
        let data_type = [
            ("Timestamp", "timestamp"),
            ("timestamp", "timestamp"),
            ("Date", "date"),
            ("Time", "time"),
            ("Int16", "smallint"),
            ("Int32", "integer"),
            ("Int64", "bigint"),
            ("Float", "double precision"),
            ("ecimal", "numeric"),
            ("oolean", "boolean"),
            ("nterval", "interval"),
        ]
        .iter()
        .find(|(arrow, _)| text.contains(arrow))
        .map_or("value", |(_, postgres)| postgres);
        let text = quoted.map_or("", |(text, _)| text).to_owned();
        Self::Invalid { data_type, text }
    }

    /// In the words of Postgres.
    pub fn fault(&self) -> Fault {
        match self {
            Self::OutOfRange => {
                Fault { sqlstate: "22003", message: "numeric value out of range".to_owned() }
            }
            Self::Invalid { data_type, text } => invalid(data_type, text),
        }
    }
}

/// A value of the Arrow type `pg_type.to_arrow()`; None gives its NULL.
///
/// # Errors
/// 22P02 and 22007 for text that isn't of the type, 22003 and 22008 for what it can't hold.
pub fn from_text(pg_type: &PgType, text: Option<&str>, zone: &TimeZone) -> Read<ScalarValue> {
    let Some(text) = text else { return null(pg_type) };
    Ok(match pg_type {
        PgType::Bool => {
            let value = super::settings::parse_bool(text);
            ScalarValue::Boolean(Some(value.ok_or_else(|| invalid("boolean", text))?))
        }
        PgType::Int2 => ScalarValue::Int16(Some(integer("smallint", text)?)),
        PgType::Int4 => ScalarValue::Int32(Some(integer("integer", text)?)),
        PgType::Int8 => ScalarValue::Int64(Some(integer("bigint", text)?)),
        PgType::Oid => ScalarValue::Int64(Some(i64::from(integer::<u32>("oid", text)?))),
        PgType::Float4 => {
            let value = float("real", text)?;
            #[expect(clippy::cast_possible_truncation, reason = "overflow is checked")]
            let narrow = value as f32;
            if narrow.is_infinite() && value.is_finite() {
                return Err(out_of_range("real", text));
            }
            ScalarValue::Float32(Some(narrow))
        }
        PgType::Float8 => ScalarValue::Float64(Some(float("double precision", text)?)),
        PgType::Numeric(_) => numeric(pg_type, text)?,
        PgType::Date => ScalarValue::Date32(Some(date(text)?)),
        PgType::Time => ScalarValue::Time64Microsecond(Some(time(text)?)),
        PgType::Timestamp => ScalarValue::TimestampMicrosecond(Some(timestamp(text)?), None),
        PgType::Timestamptz => {
            ScalarValue::TimestampMicrosecond(Some(timestamptz(text, zone)?), Some("UTC".into()))
        }
        PgType::Interval => ScalarValue::IntervalMonthDayNano(Some(interval(text)?)),
        PgType::Bytea => ScalarValue::Binary(Some(bytea(text)?)),
        PgType::Uuid => {
            let value = uuid(text).ok_or_else(|| invalid("uuid", text))?;
            ScalarValue::Utf8(Some(value.to_string()))
        }
        PgType::Json => {
            let valid = serde_json::from_str::<serde::de::IgnoredAny>(text);
            valid.map_err(|_| invalid("json", text))?;
            ScalarValue::Utf8(Some(text.to_owned()))
        }
        PgType::Jsonb => ScalarValue::Utf8(Some(Jsonb::read(text)?.to_text())),
        PgType::Array(item) => array(item, text, zone)?,
        PgType::System(system) => system_value(system, text)?,
        PgType::Text
        | PgType::Varchar
        | PgType::Name
        | PgType::Char
        | PgType::Regclass
        | PgType::Regtype
        | PgType::Regproc
        | PgType::Int2Vector
        | PgType::OidVector
        | PgType::Unknown => ScalarValue::Utf8(Some(text.to_owned())),
    })
}

fn system_value(system: &SystemType, text: &str) -> Read<ScalarValue> {
    let invalid = || invalid(system.name, text);
    match system.form {
        SystemForm::Number => {
            let number: u32 = text.trim().parse().map_err(|_| invalid())?;
            return Ok(ScalarValue::Int64(Some(number.into())));
        }
        SystemForm::Address => {
            let address = text.trim().split('/').next().unwrap_or_default();
            address.parse::<IpAddr>().map_err(|_| invalid())?;
        }
        SystemForm::Position => {
            let is_half = |half: &str| u32::from_str_radix(half, 16).is_ok();
            let halves = text.split_once('/').filter(|(high, low)| is_half(high) && is_half(low));
            halves.ok_or_else(invalid)?;
        }
        SystemForm::ObjectName | SystemForm::Text => {}
    }
    Ok(ScalarValue::Utf8(Some(text.to_owned())))
}

/// The NULL of a type.
pub fn null(pg_type: &PgType) -> Read<ScalarValue> {
    ScalarValue::try_from(&pg_type.to_arrow())
        .map_err(|_| Fault { sqlstate: "XX000", message: "internal error".to_owned() })
}

fn integer<T: TryFrom<i128>>(pg_type: &str, text: &str) -> Read<T> {
    let trimmed = text.trim();
    let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid(pg_type, text));
    }
    let value = trimmed.parse::<i128>().ok().and_then(|value| T::try_from(value).ok());
    value.ok_or_else(|| out_of_range(pg_type, text))
}

fn float(pg_type: &str, text: &str) -> Read<f64> {
    let trimmed = text.trim();
    let value = match trimmed.to_ascii_lowercase().as_str() {
        "infinity" | "+infinity" | "inf" | "+inf" => f64::INFINITY,
        "-infinity" | "-inf" => f64::NEG_INFINITY,
        "nan" => f64::NAN,
        _ => {
            let value: f64 = trimmed.parse().map_err(|_| invalid(pg_type, text))?;
            if value.is_infinite() {
                return Err(out_of_range(pg_type, text));
            }
            value
        }
    };
    Ok(value)
}

fn numeric(pg_type: &PgType, text: &str) -> Read<ScalarValue> {
    let trimmed = text.trim();
    let (mantissa, exponent) = match trimmed.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => {
            (mantissa, exponent.parse::<i32>().map_err(|_| invalid("numeric", text))?)
        }
        None => (trimmed, 0),
    };
    let negative = mantissa.starts_with('-');
    let unsigned = mantissa.strip_prefix(['+', '-']).unwrap_or(mantissa);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if digits().next().is_none() || !digits().all(|byte| byte.is_ascii_digit()) {
        return Err(match trimmed.to_ascii_lowercase().trim_start_matches('-') {
            "nan" | "infinity" | "inf" => Fault {
                sqlstate: "22003",
                message: format!("numeric value \"{text}\" is not supported"),
            },
            _ => invalid("numeric", text),
        });
    }
    let fraction_len = i32::try_from(fraction.len()).map_err(|_| out_of_range("numeric", text))?;
    let digits: Vec<u8> = digits().map(|byte| byte - b'0').collect();
    let scale = fraction_len.checked_sub(exponent).ok_or_else(|| out_of_range("numeric", text))?;
    decimal(pg_type, negative, &digits, scale)
}

/// A uuid as Postgres reads it: 32 hexadecimal digits, perhaps in braces, perhaps with a hyphen after
/// any group of four.
///
/// Source: PostgreSQL 15, 8.12, and `string_to_uuid` in `uuid.c`.
pub(crate) fn uuid(text: &str) -> Option<uuid::Uuid> {
    let inner = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}')?,
        None => text,
    };
    let mut digits = String::with_capacity(32);
    let mut after_hyphen = false;
    for character in inner.chars() {
        let groups = !digits.is_empty() && digits.len() < 32 && digits.len().is_multiple_of(4);
        match character {
            '-' if groups && !after_hyphen => after_hyphen = true,
            digit if digit.is_ascii_hexdigit() => {
                digits.push(digit);
                after_hyphen = false;
            }
            _ => return None,
        }
    }
    (digits.len() == 32).then(|| uuid::Uuid::try_parse(&digits).ok()).flatten()
}

/// The scale in which a numeric literal is written: the digits behind its point.
pub(crate) fn written_scale(text: &str) -> i8 {
    let trimmed = text.trim();
    let (mantissa, exponent) = trimmed.split_once(['e', 'E']).unwrap_or((trimmed, "0"));
    let fraction = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let scale = i64::try_from(fraction).unwrap_or(0).saturating_sub(exponent);
    i8::try_from(scale.clamp(0, SCALE_MAX.into())).unwrap_or(0)
}

/// The most places of a decimal that is written without declared ones.
pub(crate) const SCALE_MAX: i8 = 37;

/// A type whose values have their own scale, with that of one of them.
pub(crate) fn of_scale(pg_type: &PgType, scale: i8) -> PgType {
    match pg_type {
        PgType::Numeric(None) => PgType::Numeric(Some((38, scale))),
        other => other.clone(),
    }
}

/// The value of a parameter: a numeric has the digits that it is written with.
///
/// # Errors
/// Those of [`from_text`].
pub fn parameter(pg_type: &PgType, text: Option<&str>, zone: &TimeZone) -> Read<ScalarValue> {
    let scale = text.map_or(0, written_scale);
    from_text(&of_scale(pg_type, scale), text, zone)
}

/// A decimal of a type's precision and scale from digits, the last of which has the weight
/// `10^-scale`. Digits that the type has no place for are refused, not rounded.
pub fn decimal(pg_type: &PgType, negative: bool, digits: &[u8], scale: i32) -> Read<ScalarValue> {
    let too_large = || Fault { sqlstate: "22003", message: "numeric field overflow".to_owned() };
    let DataType::Decimal128(precision, target) = pg_type.to_arrow() else {
        return Err(Fault { sqlstate: "XX000", message: "internal error".to_owned() });
    };
    let significant = digits.iter().position(|digit| *digit != 0).unwrap_or(digits.len());
    let mut digits: Vec<u8> = digits.get(significant..).unwrap_or_default().to_vec();
    let mut missing = i32::from(target).saturating_sub(scale);
    while missing < 0 && digits.last().is_none_or(|digit| *digit == 0) {
        if digits.pop().is_none() {
            missing = 0;
            break;
        }
        missing += 1;
    }
    if missing < 0 {
        let message = format!("numeric value has more than {target} decimal places");
        return Err(Fault { sqlstate: "22003", message });
    }
    if digits.is_empty() {
        missing = 0;
    }
    let zeros = u32::try_from(missing).ok().filter(|zeros| *zeros <= DECIMAL_DIGITS_MAX);
    let zeros = zeros.ok_or_else(too_large)? as usize;
    if digits.len() + zeros > usize::from(precision) {
        return Err(too_large());
    }
    let magnitude = digits.iter().fold(0_i128, |value, digit| value * 10 + i128::from(*digit));
    let magnitude = (0..zeros).fold(magnitude, |value, _| value * 10);
    let value = if negative { -magnitude } else { magnitude };
    Ok(ScalarValue::Decimal128(Some(value), precision, target))
}

// ---- dates and times

/// Days from 1970-01-01; infinities are the ends of the type.
fn date(text: &str) -> Read<i32> {
    match text.trim().to_ascii_lowercase().as_str() {
        "infinity" => return Ok(i32::MAX),
        "-infinity" => return Ok(i32::MIN),
        "epoch" => return Ok(0),
        _ => {}
    }
    // A date parameter may carry a time, which Postgres cuts off.
    let moment = Moment::read(text).map_err(|unread| unread.fault("date", text))?;
    Ok(moment.date.to_epoch_days())
}

/// Microseconds from midnight.
fn time(text: &str) -> Read<i64> {
    let (time, rest) = clock_apart(text.trim());
    let micros = match half_of_day(rest) {
        Some((half, "")) => clock(time).and_then(|micros| half.of(micros)),
        _ if rest.is_empty() => clock(time),
        _ => Err(Unread::Syntax),
    };
    micros.map_err(|unread| unread.fault("time", text))
}

/// Microseconds from 1970 of a wall clock; a zone in the text is ignored, as in Postgres.
fn timestamp(text: &str) -> Read<i64> {
    match infinite(text) {
        Some(value) => Ok(value),
        None => {
            let moment = Moment::read(text).map_err(|unread| unread.fault("timestamp", text))?;
            moment.micros().ok_or_else(|| out_of_range("timestamp", text))
        }
    }
}

fn timestamptz(text: &str, zone: &TimeZone) -> Read<i64> {
    let type_name = "timestamp with time zone";
    if let Some(value) = infinite(text) {
        return Ok(value);
    }
    let moment = Moment::read(text).map_err(|unread| unread.fault(type_name, text))?;
    let local = moment.micros().ok_or_else(|| out_of_range(type_name, text))?;
    let zone = moment.zone.as_ref().unwrap_or(zone);
    let seconds = zone.offset_of_local(moment.local());
    Ok(local - i64::from(seconds) * 1_000_000)
}

fn infinite(text: &str) -> Option<i64> {
    match text.trim().to_ascii_lowercase().as_str() {
        "infinity" => Some(i64::MAX),
        "-infinity" => Some(i64::MIN),
        "epoch" => Some(0),
        _ => None,
    }
}

/// Why a text is no date or time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    Syntax,
    /// A month 13, a 30th of February, a 61st second.
    Field,
}

impl Unread {
    fn fault(self, type_name: &str, text: &str) -> Fault {
        match self {
            Self::Syntax => invalid(type_name, text),
            Self::Field => Fault {
                sqlstate: "22008",
                message: format!("date/time field value out of range: \"{text}\""),
            },
        }
    }
}

/// A date with a time and perhaps a zone: `2026-03-01 10:00:00.5+01`, `2026-03-01T10:00Z`,
/// `0044-03-15 BC`, `January 8, 1999 1:14 PM`.
struct Moment {
    date: NaiveDate,
    micros_of_day: i64,
    zone: Option<TimeZone>,
}

impl Moment {
    fn read(text: &str) -> Result<Self, Unread> {
        let text = text.trim();
        let (text, before_christ) = match text.strip_suffix("BC") {
            Some(rest) => (rest.trim_end(), true),
            None => (text, false),
        };
        let (date, rest) = match dates::named(text, before_christ) {
            Some(named) => (named.date()?, named.rest),
            None => {
                let date_ends = text.find([' ', 'T', 't']).unwrap_or(text.len());
                let (date, rest) = text.split_at(date_ends);
                (ymd(date, before_christ)?, rest)
            }
        };
        let rest = rest.trim_start_matches([' ', 'T', 't']);
        if rest.is_empty() {
            return Ok(Self { date, micros_of_day: 0, zone: None });
        }
        let (time, rest) = clock_apart(rest);
        // A zone may stand behind the date alone: so pgjdbc sends dates.
        let mut micros_of_day = if time.is_empty() { 0 } else { clock(time)? };
        let zone = match half_of_day(rest) {
            Some((half, rest)) if !time.is_empty() => {
                micros_of_day = half.of(micros_of_day)?;
                rest
            }
            _ => rest,
        };
        let zone = match zone.trim() {
            "" => None,
            "Z" | "z" => Some(TimeZone::UTC),
            zone => Some(offset(zone).or_else(|| TimeZone::parse(zone)).ok_or(Unread::Syntax)?),
        };
        Ok(Self { date, micros_of_day, zone })
    }

    fn micros(&self) -> Option<i64> {
        i64::from(self.date.to_epoch_days())
            .checked_mul(86_400_000_000)?
            .checked_add(self.micros_of_day)
    }

    fn local(&self) -> NaiveDateTime {
        self.date.and_time(NaiveTime::MIN) + chrono::Duration::microseconds(self.micros_of_day)
    }
}

/// `+01`, `+0130`, `+01:30`, `-05:30:15`: east is positive.
fn offset(text: &str) -> Option<TimeZone> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: String = text.get(1..)?.chars().filter(|c| *c != ':').collect();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || !matches!(digits.len(), 1 | 2 | 4 | 6) {
        return None;
    }
    let part =
        |from: usize, to: usize| digits.get(from..to).map_or(Some(0), |d| d.parse::<i32>().ok());
    let hours = digits.get(..2.min(digits.len()))?.parse::<i32>().ok()?;
    let (minutes, seconds) = (part(2, 4)?, part(4, 6)?);
    if minutes > 59 || seconds > 59 {
        return None;
    }
    TimeZone::east(sign * (hours * 3600 + minutes * 60 + seconds))
}

/// A date in digits, the year first.
fn ymd(text: &str, before_christ: bool) -> Result<NaiveDate, Unread> {
    let separator = ['-', '/', '.'].into_iter().find(|it| text.contains(*it)).unwrap_or('-');
    let parts: Vec<&str> = text.split(separator).collect();
    let (year, month, day) = match parts.as_slice() {
        [year, month, day] if year.len() >= 3 => (*year, *month, *day),
        [compact] if compact.len() == 8 && compact.is_ascii() => {
            (&compact[..4], &compact[4..6], &compact[6..])
        }
        _ => return Err(Unread::Syntax),
    };
    let number = |digits: &str| {
        let well_formed =
            (1..=6).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        let number = well_formed.then(|| digits.parse::<u32>().ok()).flatten();
        number.ok_or(Unread::Syntax)
    };
    let year = i32::try_from(number(year)?).map_err(|_| Unread::Field)?;
    let year = if before_christ { 1 - year } else { year };
    NaiveDate::from_ymd_opt(year, number(month)?, number(day)?).ok_or(Unread::Field)
}

/// The time of day at the beginning of a text, and the rest.
fn clock_apart(text: &str) -> (&str, &str) {
    let ends = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.'));
    text.split_at(ends.unwrap_or(text.len()))
}

/// `AM` or `PM`.
#[derive(Debug, Clone, Copy)]
enum Half {
    Morning,
    Afternoon,
}

impl Half {
    /// The time of day that a clock of twelve hours shows.
    fn of(self, micros: i64) -> Result<i64, Unread> {
        const HOUR: i64 = 3_600_000_000;
        match (self, micros / HOUR) {
            (Self::Morning, 12) => Ok(micros - 12 * HOUR),
            (Self::Morning, ..12) | (Self::Afternoon, 12) => Ok(micros),
            (Self::Afternoon, ..12) => Ok(micros + 12 * HOUR),
            _ => Err(Unread::Field),
        }
    }
}

/// What a text begins with, if it is that, and the rest.
fn half_of_day(text: &str) -> Option<(Half, &str)> {
    let text = text.trim_start();
    let half = match text.get(..2)?.to_ascii_lowercase().as_str() {
        "am" => Half::Morning,
        "pm" => Half::Afternoon,
        _ => return None,
    };
    let rest = &text[2..];
    let is_apart = !rest.starts_with(|c: char| c.is_ascii_alphanumeric());
    is_apart.then(|| (half, rest.trim_start()))
}

/// `10:00`, `10:00:00.25` or `24:00`, in microseconds; digits beyond those are rounded.
fn clock(text: &str) -> Result<i64, Unread> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let parts: Vec<&str> = whole.split(':').collect();
    if !(2..=3).contains(&parts.len()) || (parts.len() == 2 && text.contains('.')) {
        return Err(Unread::Syntax);
    }
    let mut seconds = 0;
    for (part, (max, unit)) in parts.iter().zip([(24, 3600), (59, 60), (60, 1)]) {
        let value: i64 = part.parse().map_err(|_| Unread::Syntax)?;
        if !(0..=max).contains(&value) {
            return Err(Unread::Field);
        }
        seconds += value * unit;
    }
    let micros = seconds * 1_000_000 + fraction_micros(fraction).ok_or(Unread::Syntax)?;
    if micros > 86_400_000_000 { Err(Unread::Field) } else { Ok(micros) }
}

fn fraction_micros(digits: &str) -> Option<i64> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let padded: String = digits.chars().chain("0000000".chars()).take(7).collect();
    padded.parse::<i64>().ok().map(|tenths| (tenths + 5) / 10)
}

// ---- bytes and arrays

fn bytea(text: &str) -> Read<Vec<u8>> {
    let fault = || invalid("bytea", text);
    if let Some(digits) = text.strip_prefix("\\x") {
        let digits: Vec<u8> = digits.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let pairs = digits.chunks(2).map(|pair| match pair {
            [high, low] => hex(*high)?.checked_mul(16)?.checked_add(hex(*low)?),
            _ => None,
        });
        return pairs.collect::<Option<Vec<u8>>>().ok_or_else(fault);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'\\' {
            bytes.push(*byte);
            continue;
        }
        match rest {
            [b'\\', after @ ..] => {
                bytes.push(b'\\');
                rest = after;
            }
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                bytes.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                rest = after;
            }
            _ => return Err(fault()),
        }
    }
    Ok(bytes)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Arrays of one dimension: `{1,NULL,"a b"}`.
fn array(item: &PgType, text: &str, zone: &TimeZone) -> Read<ScalarValue> {
    let fault =
        || Fault { sqlstate: "22P02", message: format!("malformed array literal: \"{text}\"") };
    let items = array_items(text.trim()).ok_or_else(fault)?;
    let values = items.iter().map(|value| from_text(item, value.as_deref(), zone));
    list(item, values.collect::<Read<Vec<_>>>()?)
}

/// An Arrow list of values of one type.
pub fn list(item: &PgType, values: Vec<ScalarValue>) -> Read<ScalarValue> {
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(&values, &item.to_arrow())))
}

/// The items of an array literal of one dimension: `{1,NULL,"a b"}`.
pub(crate) fn array_items(text: &str) -> Option<Vec<Option<String>>> {
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let mut items = Vec::new();
    let mut chars = inner.chars().peekable();
    if inner.trim().is_empty() {
        return Some(items);
    }
    loop {
        let mut value = String::new();
        let mut quoted = false;
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.next_if_eq(&'"').is_some() {
            quoted = true;
            loop {
                match chars.next()? {
                    '"' => break,
                    '\\' => value.push(chars.next()?),
                    c => value.push(c),
                }
            }
            while chars.next_if(|c| c.is_whitespace()).is_some() {}
        } else {
            while let Some(c) = chars.next_if(|c| *c != ',') {
                match c {
                    '{' | '}' | '"' => return None,
                    '\\' => value.push(chars.next()?),
                    c => value.push(c),
                }
            }
            value.truncate(value.trim_end().len());
            if value.is_empty() {
                return None;
            }
        }
        let is_null = !quoted && value.eq_ignore_ascii_case("null");
        items.push((!is_null).then_some(value));
        match chars.next() {
            None => return Some(items),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(pg_type: &PgType, text: &str) -> String {
        match from_text(pg_type, Some(text), &TimeZone::parse("Europe/Berlin").unwrap()) {
            Ok(value) => format!("{value:?}"),
            Err(fault) => fault.sqlstate.to_owned(),
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(shown(&PgType::Int4, " -5 "), "Int32(-5)");
        assert_eq!(shown(&PgType::Int4, ""), "22P02");
        assert_eq!(shown(&PgType::Int4, "1.5"), "22P02");
        assert_eq!(shown(&PgType::Int4, "3000000000"), "22003");
        assert_eq!(shown(&PgType::Float8, "1e400"), "22003");
        assert_eq!(shown(&PgType::Float8, "-Infinity"), "Float64(-inf)");
        let money = PgType::Numeric(Some((10, 2)));
        for (text, shown_as) in [
            ("1.5", "1.50"),
            ("-0.05", "-0.05"),
            ("1.500", "1.50"),
            ("1e3", "1000.00"),
            (".5", "0.50"),
            ("0.000", "0.00"),
        ] {
            assert_eq!(shown(&money, text), format!("Decimal128({shown_as},10,2)"), "{text}");
        }
        assert_eq!(shown(&money, "1.005"), "22003");
        assert_eq!(shown(&money, "123456789"), "22003");
        assert_eq!(shown(&money, "1e2000000000"), "22003");
        assert_eq!(shown(&money, "."), "22P02");
    }

    #[test]
    fn dates_and_times() {
        assert_eq!(shown(&PgType::Date, "1970-01-02"), "Date32(\"1970-01-02\")");
        assert_eq!(shown(&PgType::Date, "1970-01-02 +00"), "Date32(\"1970-01-02\")");
        assert_eq!(shown(&PgType::Date, "2026-02-30"), "22008");
        assert_eq!(shown(&PgType::Date, "yesterweek"), "22007");
        let micros = |pg_type: &PgType, text: &str| match from_text(
            pg_type,
            Some(text),
            &TimeZone::parse("Europe/Berlin").unwrap(),
        )
        .unwrap()
        {
            ScalarValue::TimestampMicrosecond(Some(micros), _) => micros,
            other => panic!("{other:?}"),
        };
        assert_eq!(micros(&PgType::Timestamp, "1970-01-01 00:00:00.0000015"), 2);
        assert_eq!(micros(&PgType::Timestamp, "1970-01-01T00:00:01+05"), 1_000_000);
        assert_eq!(micros(&PgType::Timestamptz, "1970-01-01 01:00:00"), 0);
        assert_eq!(micros(&PgType::Timestamptz, "1970-01-01 00:00:00Z"), 0);
        assert_eq!(micros(&PgType::Timestamptz, "1970-01-01 05:30:00+05:30"), 0);
        assert_eq!(
            micros(&PgType::Timestamptz, "1970-01-01 00:00:00 America/New_York"),
            18_000_000_000
        );
        assert_eq!(micros(&PgType::Timestamp, "0001-01-01 BC"), -62_167_219_200_000_000);
        assert_eq!(micros(&PgType::Timestamp, "infinity"), i64::MAX);
        assert_eq!(shown(&PgType::Time, "24:00:01"), "22008");
        for text in ["January 8, 1999", "8-Jan-1999", "08 Jan 1999", "1999-Jan-8", "Fri Jan 08 99"]
        {
            assert_eq!(shown(&PgType::Date, text), "Date32(\"1999-01-08\")", "{text}");
        }
        assert_eq!(micros(&PgType::Timestamp, "Jan 1 1970 12:00:01 AM"), 1_000_000);
        assert_eq!(
            micros(&PgType::Timestamptz, "1 jan 1970 1:00 pm Europe/Berlin"),
            43_200_000_000
        );
        assert_eq!(shown(&PgType::Time, "1:14 PM"), "Time64Microsecond(\"47640000000\")");
    }

    #[test]
    fn arrays_and_bytes() {
        let items = array_items("{1, NULL ,\"a \\\"b\\\\\",\"null\"}").unwrap();
        assert_eq!(
            items,
            vec![Some("1".to_owned()), None, Some("a \"b\\".to_owned()), Some("null".to_owned()),]
        );
        assert_eq!(array_items("{}"), Some(vec![]));
        for bad in ["", "1", "{1", "{1,}", "{{1}}", "{\"a}", "{a\"b}"] {
            assert_eq!(array_items(bad), None, "{bad}");
        }
        assert_eq!(bytea("\\x00fF").unwrap(), vec![0, 255]);
        assert_eq!(bytea("a\\\\\\001").unwrap(), vec![b'a', b'\\', 1]);
        assert!(bytea("\\xabc").is_err());
        let array = PgType::Array(Box::new(PgType::Int4));
        assert!(matches!(
            from_text(&array, Some("{1,2}"), &TimeZone::UTC),
            Ok(ScalarValue::List(_))
        ));
    }
}
