//! Functions of dates, times and intervals, worked out row by row.

use chrono::NaiveDate;

use super::calendar::{self, DAY, SECOND, Unit};
use super::error::FunctionError;
use super::interval::{self, Interval};
use super::rows::{self, Kind, Outcome, Overload, RowFunction, Value};
use crate::sql::timezone::TimeZone;

type Result<T> = std::result::Result<T, FunctionError>;

#[rustfmt::skip]
pub(super) const FUNCTIONS: &[RowFunction] = &[
    RowFunction { name: "timestamp_age", overloads: &[
        Overload::new(&[Kind::Timestamp, Kind::Timestamp], rows::interval, age),
        Overload::new(&[Kind::Instant, Kind::Instant], rows::interval, age),
    ] },
    RowFunction { name: "timestamp_difference", overloads: &[
        Overload::new(&[Kind::Timestamp, Kind::Timestamp], rows::interval, difference),
        Overload::new(&[Kind::Instant, Kind::Instant], rows::interval, difference),
    ] },
    RowFunction { name: "interval_times", overloads: &[
        Overload::new(&[Kind::Interval, Kind::Float], rows::interval, |args| Ok(Value::Interval(interval(args, 0).times(args[1].float())?))),
    ] },
    RowFunction { name: "interval_divided", overloads: &[
        Overload::new(&[Kind::Interval, Kind::Float], rows::interval, |args| Ok(Value::Interval(interval(args, 0).divided(args[1].float())?))),
    ] },
    RowFunction { name: "interval_negative", overloads: &[
        Overload::new(&[Kind::Interval], rows::interval, |args| Ok(Value::Interval(interval(args, 0).negated()?))),
    ] },
    RowFunction { name: "interval_order", overloads: &[
        Overload::new(&[Kind::Interval], |_, _| Ok(datafusion::arrow::datatypes::DataType::Decimal128(38, 0)), |args| Ok(Value::Decimal(interval(args, 0).order(), 0))),
    ] },
    RowFunction { name: "interval_months", overloads: &[
        Overload::new(&[Kind::Interval], rows::int8, |args| Ok(Value::Int(interval(args, 0).months.into()))),
    ] },
    RowFunction { name: "interval_days", overloads: &[
        Overload::new(&[Kind::Interval], rows::int8, |args| Ok(Value::Int(interval(args, 0).days.into()))),
    ] },
    RowFunction { name: "interval_micros", overloads: &[
        Overload::new(&[Kind::Interval], rows::int8, |args| Ok(Value::Int(interval(args, 0).micros))),
    ] },
    RowFunction { name: "interval_of_parts", overloads: &[
        Overload::new(&[Kind::Numeric, Kind::Numeric, Kind::Numeric], rows::interval, |args| Ok(Value::Interval(of_parts(args)?))),
    ] },
    RowFunction { name: "interval_of_order", overloads: &[
        Overload::new(&[Kind::Numeric], rows::interval, |args| Ok(Value::Interval(Interval::of_order(whole(&args[0]))?))),
    ] },
    RowFunction { name: "interval_key", overloads: &[
        Overload::new(&[Kind::Interval], rows::text, |args| Ok(Value::text(interval(args, 0).key()))),
    ] },
    RowFunction { name: "interval_of_key", overloads: &[
        Overload::new(&[Kind::Text], rows::interval, |args| Ok(Value::Interval(Interval::of_key(args[0].str())?))),
    ] },
    RowFunction { name: "interval_text", overloads: &[
        Overload::new(&[Kind::Interval], rows::text, |args| Ok(Value::text(interval(args, 0).text()))),
    ] },
    RowFunction { name: "interval_time", overloads: &[
        Overload::new(&[Kind::Interval], rows::time, |args| Ok(Value::Time(interval(args, 0).micros.rem_euclid(DAY)))),
    ] },
    RowFunction { name: "time_of_day", overloads: &[
        Overload::new(&[Kind::Timestamp], rows::time, |args| Ok(time_of_day(&args[0]))),
        Overload::new(&[Kind::Instant], rows::time, |args| Ok(time_of_day(&args[0]))),
    ] },
    RowFunction { name: "time_interval", overloads: &[
        Overload::new(&[Kind::Time], rows::interval, |args| Ok(Value::Interval(Interval { micros: micros(&args[0]), ..Interval::default() }))),
    ] },
    RowFunction { name: "justify_days", overloads: &[
        Overload::new(&[Kind::Interval], rows::interval, |args| Ok(Value::Interval(interval(args, 0).justified_days()?))),
    ] },
    RowFunction { name: "justify_hours", overloads: &[
        Overload::new(&[Kind::Interval], rows::interval, |args| Ok(Value::Interval(interval(args, 0).justified_hours()?))),
    ] },
    RowFunction { name: "justify_interval", overloads: &[
        Overload::new(&[Kind::Interval], rows::interval, |args| Ok(Value::Interval(interval(args, 0).justified()?))),
    ] },
    RowFunction { name: "isfinite", overloads: &[
        Overload::new(&[Kind::Date], rows::bool, |args| Ok(Value::Bool(!matches!(args[0], Value::Date(i32::MIN | i32::MAX))))),
        Overload::new(&[Kind::Timestamp], rows::bool, |args| Ok(Value::Bool(is_finite(micros(&args[0]))))),
        Overload::new(&[Kind::Instant], rows::bool, |args| Ok(Value::Bool(is_finite(micros(&args[0]))))),
        Overload::new(&[Kind::Interval], rows::bool, |_| Ok(Value::Bool(true))),
    ] },
    RowFunction { name: "rounded_moment", overloads: &[
        Overload::new(&[Kind::Timestamp, Kind::Int], rows::timestamp, |args| Ok(Value::Timestamp(rounded(args)?))),
        Overload::new(&[Kind::Instant, Kind::Int], rows::instant, |args| Ok(Value::Instant(rounded(args)?))),
        Overload::new(&[Kind::Time, Kind::Int], rows::time, |args| Ok(Value::Time(rounded(args)?))),
    ] },
    RowFunction { name: "make_date", overloads: &[
        Overload::new(&[Kind::Int, Kind::Int, Kind::Int], rows::date, |args| Ok(Value::Date(date_of(args, "date")?.to_epoch_days()))),
    ] },
    RowFunction { name: "make_time", overloads: &[
        Overload::new(&[Kind::Int, Kind::Int, Kind::Float], rows::time, |args| Ok(Value::Time(clock_of(args, "time")?))),
    ] },
    RowFunction { name: "make_timestamp", overloads: &[
        Overload::new(&[Kind::Int, Kind::Int, Kind::Int, Kind::Int, Kind::Int, Kind::Float], rows::timestamp, |args| Ok(Value::Timestamp(moment_of(args)?))),
    ] },
    RowFunction { name: "make_timestamptz", overloads: &[
        Overload::new(&[Kind::Int, Kind::Int, Kind::Int, Kind::Int, Kind::Int, Kind::Float], rows::instant, |args| Ok(Value::Instant(moment_of(args)?))),
        Overload::new(&[Kind::Int, Kind::Int, Kind::Int, Kind::Int, Kind::Int, Kind::Float, Kind::Text], rows::instant, |args| {
            Ok(Value::Instant(instant_of(moment_of(args)?, &zone(args[6].str())?)?))
        }),
    ] },
    RowFunction { name: "make_interval", overloads: &[
        Overload::new(&[Kind::Int, Kind::Int, Kind::Int, Kind::Int, Kind::Int, Kind::Int, Kind::Float], rows::interval, make_interval),
    ] },
    RowFunction { name: "overlaps", overloads: &[
        Overload::new(&[Kind::Timestamp, Kind::Timestamp, Kind::Timestamp, Kind::Timestamp], rows::bool, overlaps).of_nulls(),
        Overload::new(&[Kind::Timestamp, Kind::Interval, Kind::Timestamp, Kind::Interval], rows::bool, overlaps).of_nulls(),
        Overload::new(&[Kind::Timestamp, Kind::Timestamp, Kind::Timestamp, Kind::Interval], rows::bool, overlaps).of_nulls(),
        Overload::new(&[Kind::Timestamp, Kind::Interval, Kind::Timestamp, Kind::Timestamp], rows::bool, overlaps).of_nulls(),
        Overload::new(&[Kind::Instant, Kind::Instant, Kind::Instant, Kind::Instant], rows::bool, overlaps).of_nulls(),
        Overload::new(&[Kind::Instant, Kind::Interval, Kind::Instant, Kind::Interval], rows::bool, overlaps).of_nulls(),
        Overload::new(&[Kind::Time, Kind::Time, Kind::Time, Kind::Time], rows::bool, overlaps).of_nulls(),
    ] },
    RowFunction { name: "timezone", overloads: &[
        Overload::new(&[Kind::Text, Kind::Timestamp], rows::instant, |args| Ok(Value::Instant(instant_of(micros(&args[1]), &zone(args[0].str())?)?))),
        Overload::new(&[Kind::Text, Kind::Instant], rows::timestamp, |args| Ok(Value::Timestamp(wall_clock_of(micros(&args[1]), &zone(args[0].str())?)?))),
    ] },
    RowFunction { name: "date_bin", overloads: &[
        Overload::new(&[Kind::Interval, Kind::Timestamp, Kind::Timestamp], rows::timestamp, |args| Ok(Value::Timestamp(binned(args)?))),
        Overload::new(&[Kind::Interval, Kind::Instant, Kind::Instant], rows::instant, |args| Ok(Value::Instant(binned(args)?))),
    ] },
    RowFunction { name: "instant_after", overloads: &[
        Overload::new(&[Kind::Instant, Kind::Interval, Kind::Text], rows::instant, |args| {
            Ok(Value::Instant(later_in(micros(&args[0]), interval(args, 1), &zone(args[2].str())?)?))
        }),
    ] },
    RowFunction { name: "interval_field", overloads: &[
        Overload::new(&[Kind::Text, Kind::Interval], rows::float8, interval_part),
    ] },
    RowFunction { name: "interval_trunc", overloads: &[
        Overload::new(&[Kind::Text, Kind::Interval], rows::interval, |args| Ok(Value::Interval(interval(args, 1).truncated(unit(args[0].str())?)?))),
    ] },
];

fn interval(args: &[Value<'_>], index: usize) -> Interval {
    match args.get(index) {
        Some(Value::Interval(interval)) => *interval,
        _ => Interval::default(),
    }
}

/// Months, days and microseconds, each a sum.
fn of_parts(args: &[Value<'_>]) -> Result<Interval> {
    let narrow =
        |part: &Value<'_>| i32::try_from(whole(part)).map_err(|_| interval::out_of_range());
    let micros = i64::try_from(whole(&args[2])).map_err(|_| interval::out_of_range())?;
    Ok(Interval { months: narrow(&args[0])?, days: narrow(&args[1])?, micros })
}

/// A numeric without decimal places.
fn whole(number: &Value<'_>) -> i128 {
    match number {
        Value::Decimal(number, 0) => *number,
        _ => 0,
    }
}

/// Microseconds of a moment or of a time of day.
pub(super) fn micros(value: &Value<'_>) -> i64 {
    match value {
        Value::Timestamp(micros) | Value::Instant(micros) | Value::Time(micros) => *micros,
        _ => 0,
    }
}

pub(super) fn is_finite(micros: i64) -> bool {
    !matches!(micros, i64::MIN | i64::MAX)
}

fn unit(name: &str) -> Result<Unit> {
    Unit::parse(name).ok_or_else(|| {
        FunctionError::argument(format!("unit \"{name}\" not recognized for type interval"))
    })
}

pub(super) fn zone(name: &str) -> Result<TimeZone> {
    TimeZone::of_expression(name)
        .ok_or_else(|| FunctionError::argument(format!("time zone \"{name}\" not recognized")))
}

pub(super) fn out_of_range() -> FunctionError {
    FunctionError::new("22008", "timestamp out of range")
}

/// The instant of a wall clock in a zone.
pub(super) fn instant_of(local: i64, zone: &TimeZone) -> Result<i64> {
    if !is_finite(local) {
        return Ok(local);
    }
    let moment = calendar::moment_of(local).ok_or_else(out_of_range)?;
    Ok(local - i64::from(zone.offset_of_local(moment)) * SECOND)
}

fn wall_clock_of(instant: i64, zone: &TimeZone) -> Result<i64> {
    if !is_finite(instant) {
        return Ok(instant);
    }
    let moment = calendar::moment_of(instant).ok_or_else(out_of_range)?;
    Ok(instant + i64::from(zone.offset_at(moment)) * SECOND)
}

fn age(args: &[Value<'_>]) -> Outcome {
    Ok(Value::Interval(Interval::age(micros(&args[0]), micros(&args[1]))?))
}

fn difference(args: &[Value<'_>]) -> Outcome {
    let (to, from) = (micros(&args[0]), micros(&args[1]));
    if !is_finite(to) || !is_finite(from) {
        return Err(FunctionError::new("22008", "cannot subtract infinite timestamps"));
    }
    Ok(Value::Interval(Interval::between(from, to)?))
}

/// A moment so much later: months first, then days, then time.
pub(super) fn later(moment: i64, by: Interval) -> Result<i64> {
    let moved = calendar::later(Unit::Month, moment, by.months.into())
        .and_then(|moment| moment.checked_add(i64::from(by.days) * DAY))
        .and_then(|moment| moment.checked_add(by.micros));
    moved.ok_or_else(out_of_range)
}

/// An instant so much later on the clock of a zone: months and days move its wall clock, one after
/// the other, time moves the instant itself.
pub(super) fn later_in(instant: i64, by: Interval, zone: &TimeZone) -> Result<i64> {
    let mut moved = instant;
    let steps = [Interval { days: 0, micros: 0, ..by }, Interval { months: 0, micros: 0, ..by }];
    for step in steps.into_iter().filter(|step| *step != Interval::default()) {
        moved = instant_of(later(wall_clock_of(moved, zone)?, step)?, zone)?;
    }
    moved.checked_add(by.micros).ok_or_else(out_of_range)
}

fn date_of(args: &[Value<'_>], what: &str) -> Result<NaiveDate> {
    let (year, month, day) = (args[0].int(), args[1].int(), args[2].int());
    let fault = || {
        let message = format!("{what} field value out of range: {year}-{month:02}-{day:02}");
        FunctionError::new("22008", message)
    };
    // There was no year 0: a negative one is before Christ.
    let shown = match year {
        0 => return Err(fault()),
        ..0 => year + 1,
        _ => year,
    };
    let narrow = |value: i64| u32::try_from(value).ok();
    i32::try_from(shown)
        .ok()
        .and_then(|year| NaiveDate::from_ymd_opt(year, narrow(month)?, narrow(day)?))
        .ok_or_else(fault)
}

fn clock_of(args: &[Value<'_>], what: &str) -> Result<i64> {
    let (hour, minute, second) = (args[0].int(), args[1].int(), args[2].float());
    #[expect(clippy::cast_possible_truncation, reason = "the bounds are checked")]
    let micros = match (0.0..=60.0).contains(&second) {
        true => (second * 1e6).round_ties_even() as i64,
        false => -1,
    };
    let total = hour * 3_600 * SECOND + minute * 60 * SECOND + micros;
    if !(0..=24).contains(&hour) || !(0..60).contains(&minute) || micros < 0 || total > DAY {
        let shown = crate::functions::text::float8(second);
        let padded = if second < 10.0 { format!("0{shown}") } else { shown };
        let message = format!("{what} field value out of range: {hour}:{minute:02}:{padded}");
        return Err(FunctionError::new("22008", message));
    }
    Ok(total)
}

fn moment_of(args: &[Value<'_>]) -> Result<i64> {
    let date = date_of(args, "date")?;
    let clock = clock_of(&args[3..], "time")?;
    i64::from(date.to_epoch_days())
        .checked_mul(DAY)
        .and_then(|days| days.checked_add(clock))
        .ok_or_else(out_of_range)
}

/// Infinity has none.
fn time_of_day(moment: &Value<'_>) -> Value<'static> {
    match micros(moment) {
        moment if is_finite(moment) => Value::Time(moment.rem_euclid(DAY)),
        _ => Value::Null,
    }
}

/// A moment with so many digits of a second, half away from the epoch.
///
/// Source: PostgreSQL 15 `timestamp.c`, `AdjustTimestampForTypmod`.
fn rounded(args: &[Value<'_>]) -> Result<i64> {
    let moment = micros(&args[0]);
    let digits = u32::try_from(args[1].int())
        .map_err(|_| FunctionError::argument("the precision of a moment must not be negative"))?;
    if digits >= 6 || !is_finite(moment) {
        return Ok(moment);
    }
    let unit = 10_i64.pow(6 - digits);
    let away = moment.unsigned_abs().saturating_add(unit.unsigned_abs() / 2) / unit.unsigned_abs();
    let rounded = i64::try_from(away).unwrap_or(i64::MAX).saturating_mul(unit);
    Ok(if moment < 0 { -rounded } else { rounded })
}

#[expect(clippy::cast_possible_truncation, reason = "the bounds are checked")]
fn make_interval(args: &[Value<'_>]) -> Outcome {
    let fault = || FunctionError::new("22008", "interval out of range");
    let part = |index: usize, factor: i64| args[index].int().checked_mul(factor).ok_or_else(fault);
    let sum = |a: i64, b: i64| a.checked_add(b).ok_or_else(fault);
    let months = sum(part(0, 12)?, args[1].int())?;
    let days = sum(part(2, 7)?, args[3].int())?;
    let seconds = args[6].float() * 1e6;
    if !seconds.is_finite() || seconds.abs() > 9e18 {
        return Err(fault());
    }
    let micros = sum(part(4, 3_600 * SECOND)?, part(5, 60 * SECOND)?)?;
    let micros = sum(micros, seconds.round_ties_even() as i64)?;
    let narrow = |value: i64| i32::try_from(value).map_err(|_| fault());
    Ok(Value::Interval(Interval { months: narrow(months)?, days: narrow(days)?, micros }))
}

/// Source: PostgreSQL 15 `overlaps_timestamp`: with an end unknown, the answer may still be known.
fn overlaps(args: &[Value<'_>]) -> Outcome {
    let period = |start: &Value<'_>, end: &Value<'_>| -> Result<Option<(i64, Option<i64>)>> {
        let start = (!start.is_null()).then(|| micros(start));
        let end = match (start, end) {
            (Some(start), Value::Interval(by)) => Some(later(start, *by)?),
            (_, Value::Null | Value::Interval(_)) => None,
            (_, end) => Some(micros(end)),
        };
        Ok(match (start, end) {
            (None, None) => None,
            (None, Some(end)) => Some((end, None)),
            (Some(start), None) => Some((start, None)),
            (Some(start), Some(end)) => Some((start.min(end), Some(start.max(end)))),
        })
    };
    let (Some(one), Some(other)) = (period(&args[0], &args[1])?, period(&args[2], &args[3])?)
    else {
        return Ok(Value::Null);
    };
    let ((first, later), equal) = match one.0.cmp(&other.0) {
        std::cmp::Ordering::Less => ((one, other), false),
        std::cmp::Ordering::Greater => ((other, one), false),
        std::cmp::Ordering::Equal => ((one, other), true),
    };
    Ok(match (first.1, later.1) {
        (Some(_), Some(_)) if equal => Value::Bool(true),
        _ if equal => Value::Null,
        (None, _) => Value::Null,
        (Some(end), _) if later.0 < end => Value::Bool(true),
        (_, None) => Value::Null,
        _ => Value::Bool(false),
    })
}

fn binned(args: &[Value<'_>]) -> Result<i64> {
    let stride = interval(args, 0);
    if stride.months != 0 {
        return Err(FunctionError::new(
            "0A000",
            "timestamps cannot be binned into intervals containing months or years",
        ));
    }
    let width = i64::from(stride.days)
        .checked_mul(DAY)
        .and_then(|days| days.checked_add(stride.micros))
        .ok_or_else(out_of_range)?;
    if width <= 0 {
        return Err(FunctionError::new("22008", "stride must be greater than zero"));
    }
    let (moment, origin) = (micros(&args[1]), micros(&args[2]));
    if !is_finite(moment) {
        return Ok(moment);
    }
    let since = moment.checked_sub(origin).ok_or_else(out_of_range)?;
    Ok(moment - since.rem_euclid(width))
}

/// `date_part(text, interval)`.
#[expect(clippy::cast_precision_loss, reason = "as Postgres computes it")]
fn interval_part(args: &[Value<'_>]) -> Outcome {
    let name = args[0].str();
    let unit = unit(name)?;
    let field = interval(args, 1).field(unit).ok_or_else(|| no_field(name))?;
    let field = field as f64;
    Ok(Value::Float(match unit {
        Unit::Second | Unit::Epoch => field / 1e6,
        Unit::Millisecond => field / 1e3,
        _ => field,
    }))
}

pub(super) fn no_field(name: &str) -> FunctionError {
    FunctionError::new("0A000", format!("unit \"{name}\" not supported for type interval"))
}
