//! `to_char` and its inverses: values written and read by patterns.
//!
//! Source: PostgreSQL 15 `src/backend/utils/adt/formatting.c`, in the C locale. What that file does
//! to odd patterns is part of what it does, so it is followed step by step.

mod moment;
mod number;
mod read;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::Result as PlanResult;

use super::calendar;
use super::error::FunctionError;
use super::interval::Interval;
use super::moments::{instant_of, is_finite, out_of_range, zone};
use super::rows::{self, Kind, Outcome, Overload, RowFunction, Value};
use crate::sql::timezone::TimeZone;
pub(crate) use moment::{PatternPart, exact_unit, finest_unit, pattern_parts, shows_zone};

use moment::Parts;

type Result<T> = std::result::Result<T, FunctionError>;

#[rustfmt::skip]
pub(super) const FUNCTIONS: &[RowFunction] = &[
    RowFunction { name: "to_char", overloads: &[
        Overload::new(&[Kind::Timestamp, Kind::Text], rows::text, moment_text),
        Overload::new(&[Kind::Instant, Kind::Text], rows::text, moment_text),
        Overload::new(&[Kind::Instant, Kind::Text, Kind::Text], rows::text, moment_text),
        Overload::new(&[Kind::Interval, Kind::Text], rows::text, interval_text),
        Overload::new(&[Kind::Int, Kind::Text], rows::text, |args| Ok(Value::text(number::of_integer(args[0].int(), args[1].str())?))),
        Overload::new(&[Kind::Numeric, Kind::Text], rows::text, decimal_text),
        Overload::new(&[Kind::Float, Kind::Text], rows::text, |args| Ok(Value::text(number::of_float(args[0].float(), args[1].str())?))),
    ] },
    RowFunction { name: "to_date", overloads: &[
        Overload::new(&[Kind::Text, Kind::Text], rows::date, to_date),
    ] },
    RowFunction { name: "to_timestamp", overloads: &[
        Overload::new(&[Kind::Text, Kind::Text], rows::instant, to_timestamp),
        Overload::new(&[Kind::Text, Kind::Text, Kind::Text], rows::instant, to_timestamp),
        Overload::new(&[Kind::Float], rows::instant, from_epoch),
    ] },
    RowFunction { name: "to_number", overloads: &[
        Overload::new(&[Kind::Text, Kind::Text], number_type, to_number),
    ] },
];

fn moment_text(args: &[Value<'_>]) -> Outcome {
    let pattern = args[1].str();
    let (micros, is_instant) = match args[0] {
        Value::Instant(micros) => (micros, true),
        Value::Timestamp(micros) => (micros, false),
        _ => return Ok(Value::Null),
    };
    if pattern.is_empty() || !is_finite(micros) {
        return Ok(Value::Null);
    }
    let moment = calendar::moment_of(micros).ok_or_else(out_of_range)?;
    let parts = match (is_instant, args.get(2)) {
        (false, _) => Parts::of_moment(moment, None),
        (true, None) => Parts::of_moment(moment, Some((0, "UTC".to_owned()))),
        (true, Some(name)) => {
            let zone = zone(name.str())?;
            let east_seconds = zone.offset_at(moment);
            let local = moment + chrono::TimeDelta::seconds(east_seconds.into());
            Parts::of_moment(local, Some((east_seconds, zone.abbreviation_at(moment))))
        }
    };
    Ok(Value::text(moment::write(&parts, pattern)?))
}

fn interval_text(args: &[Value<'_>]) -> Outcome {
    let pattern = args[1].str();
    match args[0] {
        _ if pattern.is_empty() => Ok(Value::Null),
        Value::Interval(interval) => {
            Ok(Value::text(moment::write(&Parts::of_interval(interval), pattern)?))
        }
        _ => Ok(Value::Null),
    }
}

impl Parts {
    fn of_interval(interval: Interval) -> Self {
        let Interval { months, days, micros } = interval;
        let (years, months) = (months / 12, months % 12);
        Self {
            year: years.into(),
            month: months.into(),
            day: days.into(),
            hour: micros / 3_600_000_000,
            minute: micros / 60_000_000 % 60,
            second: micros / 1_000_000 % 60,
            micros: micros % 1_000_000,
            day_of_year: (i64::from(years) * 12 + i64::from(months)) * 30 + i64::from(days),
            date: None,
            zone: None,
        }
    }
}

fn decimal_text(args: &[Value<'_>]) -> Outcome {
    let (value, scale) = match args[0] {
        Value::Decimal(value, scale) => (value, scale),
        Value::Int(value) => (value.into(), 0),
        _ => return Ok(Value::Null),
    };
    Ok(Value::text(number::of_decimal(value, scale, args[1].str())?))
}

fn to_date(args: &[Value<'_>]) -> Outcome {
    let read = read::read(args[0].str(), args[1].str())?;
    Ok(Value::Date(read.date.to_epoch_days()))
}

fn to_timestamp(args: &[Value<'_>]) -> Outcome {
    let read = read::read(args[0].str(), args[1].str())?;
    let days = i64::from(read.date.to_epoch_days());
    let local = days.checked_mul(calendar::DAY).and_then(|days| days.checked_add(read.micros));
    let zone = match read.east_seconds {
        Some(seconds) => TimeZone::east(seconds).ok_or_else(out_of_range)?,
        None => args.get(2).map_or(Ok(TimeZone::UTC), |name| zone(name.str()))?,
    };
    Ok(Value::Instant(instant_of(local.ok_or_else(out_of_range)?, &zone)?))
}

/// `to_timestamp(float8)`: seconds since 1970.
#[expect(clippy::cast_possible_truncation, reason = "the bounds are checked")]
fn from_epoch(args: &[Value<'_>]) -> Outcome {
    let seconds = args[0].float();
    if seconds.is_nan() {
        return Err(FunctionError::new("22008", "timestamp cannot be NaN"));
    }
    if seconds.is_infinite() {
        return Ok(Value::Instant(if seconds > 0.0 { i64::MAX } else { i64::MIN }));
    }
    // Counted from 2000, as Postgres does: so the same digits are rounded.
    let shifted = (seconds - 946_684_800.0) * 1e6;
    if shifted.abs() > 9.2e18 {
        let shown = super::text::float8(seconds);
        return Err(FunctionError::new("22008", format!("timestamp out of range: \"{shown}\"")));
    }
    let micros = (shifted.round_ties_even() as i64).checked_add(946_684_800_000_000);
    Ok(Value::Instant(micros.ok_or_else(out_of_range)?))
}

/// As many digits behind the point as the pattern has, where it is a constant.
fn number_type(_: &[DataType], scalars: &[Option<&ScalarValue>]) -> PlanResult<DataType> {
    let pattern = scalars.get(1).copied().flatten();
    let pattern = pattern.and_then(|value| value.try_as_str().flatten());
    let scale = pattern.map_or(10, |pattern| number::scale_of(pattern).unwrap_or(10));
    Ok(DataType::Decimal128(38, scale))
}

fn to_number(args: &[Value<'_>]) -> Outcome {
    if args[1].str().is_empty() {
        return Ok(Value::Null);
    }
    let (value, scale) = number::read(args[0].str(), args[1].str())?;
    Ok(Value::Decimal(value, scale))
}

/// `1st`, `2nd`, `11th`: what follows a number that is written so.
fn ordinal(number: &str) -> &'static str {
    let digits = number.as_bytes();
    let last = digits.last().copied().unwrap_or(b'0');
    let teen = digits.len() > 1 && digits[digits.len() - 2] == b'1';
    match last {
        _ if teen => "th",
        b'1' => "st",
        b'2' => "nd",
        b'3' => "rd",
        _ => "th",
    }
}
