//! Dates, timestamps and zones. A timestamp without time zone is kept as if it were in UTC.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;

use super::super::literal;
use super::super::native::Stored;
use super::super::value::{Binding, Midnight, Moved, Value, Wall};
use super::super::{NotPushable, Result};
use super::{Call, Entry, Form, spans};
use crate::backend::clickhouse::errors::TOO_MANY_PERIODS;
use crate::functions::time::{PERIODS_MAX, TIMESTAMP};
use crate::functions::{PatternPart, Unit, finest_unit, pattern_parts};
use crate::sql::timezone::TimeZone;

#[rustfmt::skip]
pub(super) const ENTRIES: &[Entry] = &[
    Entry { name: "date_trunc", signature: "text, timestamp | timestamptz | date [, the zone of a timestamptz] -> timestamp, or timestamptz; microsecond to year", constants: &[0, 2], form: Form::Scalar(date_trunc),
        examples: &[("date_trunc('year', timestamp '2026-05-17 13:14:15.678901')", Some("2026-01-01 00:00:00")),
            ("date_trunc('quarter', timestamp '1960-05-17 13:14:15.678901')", Some("1960-04-01 00:00:00")),
            ("date_trunc('month', timestamp '2026-12-31 23:59:59.999999')", Some("2026-12-01 00:00:00")),
            ("date_trunc('week', timestamp '1960-05-17 13:14:15.678901')", Some("1960-05-16 00:00:00")),
            ("date_trunc('week', timestamp '2027-01-03 13:14:15')", Some("2026-12-28 00:00:00")),
            ("date_trunc('day', timestamp '1960-05-17 13:14:15.678901')", Some("1960-05-17 00:00:00")),
            ("date_trunc('hour', timestamp '1960-05-17 13:14:15.678901')", Some("1960-05-17 13:00:00")),
            ("date_trunc('minute', timestamp '1960-05-17 13:14:15.678901')", Some("1960-05-17 13:14:00")),
            ("date_trunc('second', timestamp '1960-05-17 13:14:15.678901')", Some("1960-05-17 13:14:15")),
            ("date_trunc('milliseconds', timestamp '1960-05-17 13:14:15.678901')", Some("1960-05-17 13:14:15.678")),
            ("date_trunc('microseconds', timestamp '2026-05-17 13:14:15.678901')", Some("2026-05-17 13:14:15.678901")),
            ("date_trunc('day', timestamptz '2026-05-17 23:14:15+02')", Some("2026-05-17 00:00:00+00")),
            ("date_trunc('day', timestamptz '2026-03-29 12:00:00.5+00', 'Europe/Berlin')", Some("2026-03-28 23:00:00+00")),
            ("date_trunc('month', timestamptz '2026-10-31 23:30:00+00', 'Europe/Berlin')", Some("2026-10-31 23:00:00+00")),
            ("date_trunc('week', timestamptz '1960-05-16 03:59:59.5+00', 'America/New_York')", Some("1960-05-09 04:00:00+00")),
            ("date_trunc('hour', timestamptz '2026-10-25 00:30:00+00', 'Europe/Berlin')", Some("2026-10-25 00:00:00+00")),
            ("date_trunc('hour', timestamptz '1960-05-17 13:14:15.678901+00', 'Asia/Kolkata')", Some("1960-05-17 12:30:00+00")),
            ("date_trunc('day', timestamptz '2023-04-28 12:00:00+00', 'Africa/Cairo')", Some("2023-04-27 22:00:00+00")),
            ("date_trunc('month', date '2026-05-17')::date", Some("2026-05-01")), ("date_trunc('day', date '1960-05-17')::date", Some("1960-05-17"))] },
    Entry { name: "extract", signature: "field FROM timestamp | timestamptz | date -> numeric", constants: &[0], form: Form::Scalar(extract),
        examples: &[("extract(year from timestamp '1960-01-01 13:14:15.678901')", Some("1960")), ("extract(quarter from date '2026-05-17')", Some("2")),
            ("extract(month from date '2026-05-17')", Some("5")), ("extract(week from date '2027-01-01')", Some("53")), ("extract(day from date '1960-05-17')", Some("17")),
            ("extract(dow from date '2026-05-17')", Some("0")), ("extract(isodow from date '2026-05-17')", Some("7")), ("extract(doy from date '2026-05-17')", Some("137")),
            ("extract(isoyear from date '2027-01-01')", Some("2026")), ("extract(hour from timestamp '1960-05-17 13:14:15.678901')", Some("13")),
            ("extract(minute from timestamp '1960-05-17 13:14:15.678901')", Some("14")), ("extract(second from timestamp '1960-05-17 13:14:15.678901')", Some("15.678901")),
            ("extract(milliseconds from timestamp '2026-05-17 13:14:15.678901')", Some("15678.901")), ("extract(microseconds from timestamp '2026-05-17 13:14:15.678901')", Some("15678901")),
            ("extract(epoch from timestamp '1960-05-17 13:14:15.678901')", Some("-303734744.321099")), ("extract(epoch from timestamptz '2026-05-17 13:14:15+02')", Some("1779016455.000000")),
            ("extract(epoch from date '2026-05-17')", Some("1778976000")), ("extract(decade from date '2027-01-01')", Some("202")),
            ("extract(century from date '2000-01-01')", Some("20")), ("extract(millennium from date '2001-01-01')", Some("3"))] },
    Entry { name: "date_part", signature: "text, timestamp | timestamptz | date -> float8", constants: &[0], form: Form::Scalar(date_part),
        examples: &[("date_part('year', date '2027-01-01')", Some("2027")), ("date_part('dow', timestamp '2026-05-17 13:14:15')", Some("0")),
            ("date_part('second', timestamp '2026-05-17 13:14:15.678901')", Some("15.678901")), ("date_part('epoch', timestamp '2026-05-17 13:14:15.678901')", Some("1779023655.678901"))] },
    Entry { name: "wall_clock", signature: "timestamptz, text -> timestamp: AT TIME ZONE", constants: &[], form: Form::Scalar(wall_clock),
        examples: &[("timestamptz '2026-03-29 00:59:59.5+00' AT TIME ZONE 'Europe/Berlin'", Some("2026-03-29 01:59:59.5")),
            ("timestamptz '2026-03-29 01:00:00+00' AT TIME ZONE 'Europe/Berlin'", Some("2026-03-29 03:00:00")),
            ("timestamptz '2026-10-25 00:30:00+00' AT TIME ZONE 'Europe/Berlin'", Some("2026-10-25 02:30:00")),
            ("timestamptz '2026-10-25 01:30:00+00' AT TIME ZONE 'Europe/Berlin'", Some("2026-10-25 02:30:00")),
            ("timestamptz '2026-03-08 06:59:59+00' AT TIME ZONE 'America/New_York'", Some("2026-03-08 01:59:59")),
            ("timestamptz '2026-03-08 07:00:00+00' AT TIME ZONE 'America/New_York'", Some("2026-03-08 03:00:00")),
            ("timestamptz '2026-11-01 05:30:00+00' AT TIME ZONE 'America/New_York'", Some("2026-11-01 01:30:00")),
            ("timestamptz '2026-11-01 06:30:00+00' AT TIME ZONE 'America/New_York'", Some("2026-11-01 01:30:00")),
            ("timestamptz '1960-07-01 12:00:00.000001+00' AT TIME ZONE 'America/New_York'", Some("1960-07-01 08:00:00.000001")),
            ("timestamptz '2026-07-01 12:00:00+00' AT TIME ZONE 'UTC'", Some("2026-07-01 12:00:00"))] },
    Entry { name: "instant_at", signature: "timestamp, text -> timestamptz: AT TIME ZONE; a constant zone", constants: &[1], form: Form::Scalar(instant_at),
        examples: &[("timestamp '2026-03-29 01:59:59.5' AT TIME ZONE 'Europe/Berlin'", Some("2026-03-29 00:59:59.5+00")),
            ("timestamp '2026-03-29 02:30:00' AT TIME ZONE 'Europe/Berlin'", Some("2026-03-29 01:30:00+00")),
            ("timestamp '2026-03-29 03:00:00' AT TIME ZONE 'Europe/Berlin'", Some("2026-03-29 01:00:00+00")),
            ("timestamp '2026-10-25 01:59:59' AT TIME ZONE 'Europe/Berlin'", Some("2026-10-24 23:59:59+00")),
            ("timestamp '2026-10-25 02:30:00' AT TIME ZONE 'Europe/Berlin'", Some("2026-10-25 01:30:00+00")),
            ("timestamp '2026-11-01 01:30:00' AT TIME ZONE 'America/New_York'", Some("2026-11-01 06:30:00+00")),
            ("timestamp '2026-03-08 02:30:00' AT TIME ZONE 'America/New_York'", Some("2026-03-08 07:30:00+00")),
            ("timestamp '1960-07-01 08:00:00.000001' AT TIME ZONE 'America/New_York'", Some("1960-07-01 12:00:00.000001+00")),
            ("timestamp '2026-07-01 12:00:00' AT TIME ZONE '<+02>-02'", Some("2026-07-01 10:00:00+00")),
            ("timestamp '2026-07-01 12:00:00' AT TIME ZONE 'UTC'", Some("2026-07-01 12:00:00+00"))] },
    Entry { name: "periods_between", signature: "text, timestamp, timestamp -> int8; second, minute, hour, day, week, month, quarter or year", constants: &[0], form: Form::Scalar(periods_between),
        examples: &[("periods_between('month', timestamp '2026-01-31 23:00:00', timestamp '2026-02-01 00:00:00')", Some("1")), ("periods_between('month', timestamp '2026-03-01 00:00:00', timestamp '1959-12-31 23:59:59.9')", Some("-795")),
            ("periods_between('hour', timestamp '1969-12-31 21:59:59', timestamp '1970-01-01 00:00:00')", Some("3")), ("periods_between('hour', timestamp '1960-05-17 13:30:00', timestamp '1960-05-17 14:00:00')", Some("1")), ("periods_between('minute', timestamp '1960-05-17 13:00:59.5', timestamp '1960-05-17 13:59:00')", Some("59")), ("periods_between('second', timestamp '2026-03-01 00:00:00.9', timestamp '2026-03-01 00:00:01')", Some("1")),
            ("periods_between('day', timestamp '1960-02-28 23:00:00', timestamp '1960-03-01 00:00:00')", Some("2")), ("periods_between('quarter', timestamp '1969-12-31 12:00:00', timestamp '2026-04-01 00:00:00')", Some("226")),
            ("periods_between('week', timestamp '2026-05-17 23:59:59', timestamp '2026-05-18 00:00:00')", Some("1")), ("periods_between('week', timestamp '1960-05-16 00:00:00', timestamp '1960-05-22 23:59:59.5')", Some("0")),
            ("periods_between('week', timestamp '2026-05-18 00:00:00', timestamp '1960-05-15 23:00:00')", Some("-3445")), ("periods_between('year', timestamp '2026-12-31 00:00:00', timestamp '2027-01-01 00:00:00')", Some("1"))] },
    Entry { name: "periods_after", signature: "text, timestamp, int8 -> timestamp; second, minute, hour, day, week, month, quarter or year", constants: &[0], form: Form::Scalar(periods_after),
        examples: &[("periods_after('month', timestamp '2026-01-31 23:00:00', 1)", Some("2026-02-28 23:00:00")), ("periods_after('quarter', timestamp '1960-01-31 00:00:00', 5)", Some("1961-04-30 00:00:00")), ("periods_after('year', timestamp '2024-02-29 00:00:00', 1)", Some("2025-02-28 00:00:00")),
            ("periods_after('hour', timestamp '1969-12-31 23:30:00', 2)", Some("1970-01-01 01:30:00")), ("periods_after('week', timestamp '2026-05-18 00:00:00', 2)", Some("2026-06-01 00:00:00")), ("periods_after('day', timestamp '2026-02-28 00:00:00', 1)", Some("2026-03-01 00:00:00"))] },
    Entry { name: "checked_periods", signature: "int8 -> int8: the same, or an error where it is more than an answer may have", constants: &[], form: Form::Scalar(checked_periods),
        examples: &[("checked_periods(100000)", Some("100000"))] },
    Entry { name: "week_from", signature: "int8, timestamp -> timestamp: date_trunc('week', metric_time) in weeks of the project", constants: &[0], form: Form::Scalar(week_from),
        examples: &[("week_from(6, timestamp '2027-01-03 13:14:15')", Some("2027-01-03 00:00:00")), ("week_from(6, timestamp '2027-01-02 13:14:15.5')", Some("2026-12-27 00:00:00")),
            ("week_from(0, timestamp '2027-01-03 13:14:15')", Some("2026-12-28 00:00:00")), ("week_from(5, timestamp '1960-05-17 13:14:15')", Some("1960-05-14 00:00:00")),
            ("week_from(0, timestamp '1960-05-15 23:59:59.5')", Some("1960-05-09 00:00:00"))] },
    Entry { name: "+ -", signature: "timestamp | timestamptz, interval -> the same; the interval a constant", constants: &[], form: Form::Syntax,
        examples: &[("timestamp '2026-01-31 10:00:00' + interval '1 month'", Some("2026-02-28 10:00:00")), ("timestamp '2026-03-31 10:00:00.5' - interval '1 month'", Some("2026-02-28 10:00:00.5")),
            ("timestamp '1960-01-31 10:00:00' + interval '1 month 2 days 3 hours'", Some("1960-03-02 13:00:00")), ("timestamptz '2026-01-31 10:00:00+00' - interval '1 day'", Some("2026-01-30 10:00:00+00")),
            ("interval '90 seconds' + timestamp '2026-01-31 23:59:00'", Some("2026-02-01 00:00:30")), ("date '2026-01-31' + interval '1 month'", Some("2026-02-28 00:00:00"))] },
    Entry { name: "add_days", signature: "date, int8 -> date: how + is planned", constants: &[], form: Form::Scalar(|call| call.of("addDays")),
        examples: &[("date '2026-01-31' + 1", Some("2026-02-01")), ("1 + date '2026-01-31'", Some("2026-02-01"))] },
    Entry { name: "subtract_days", signature: "date, int8 -> date: how - is planned", constants: &[], form: Form::Scalar(|call| call.of("subtractDays")),
        examples: &[("date '1960-01-31' - 31", Some("1959-12-31"))] },
    Entry { name: "-", signature: "date, date -> int8", constants: &[], form: Form::Syntax,
        examples: &[("date '1960-01-31' - date '2026-01-01'", Some("-24077"))] },
    Entry { name: "timestamp_text", signature: "timestamp | timestamptz -> text: the cast", constants: &[], form: Form::Scalar(timestamp_text),
        examples: &[("timestamp '2026-01-31 23:00:00'::text", Some("2026-01-31 23:00:00")), ("timestamp '1960-01-31 23:00:00.50'::text", Some("1960-01-31 23:00:00.5")),
            ("timestamptz '2026-01-31 23:00:00.123456+00'::text", Some("2026-01-31 23:00:00.123456+00"))] },
    Entry { name: "to_char", signature: "timestamp | timestamptz, text -> text; a pattern of numbers, month and day names and text, no finer than seconds", constants: &[1], form: Form::Scalar(to_char),
        examples: &[("to_char(timestamp '1960-05-07 03:04:05.678901', 'YYYY-MM-DD HH24:MI:SS')", Some("1960-05-07 03:04:05")), ("to_char(timestamp '1960-05-07 23:59:59.999999', 'YYYYMMDD')", Some("19600507")),
            ("to_char(timestamp '2026-05-07 00:04:05', 'HH12:MI PM, HH AM')", Some("12:04 AM, 12 AM")),
            ("to_char(date '2027-01-03', 'IYYY-\"W\"IW-ID')", Some("2026-W53-7")), ("to_char(date '2026-05-07', '\"100% \"YYYY\"Q\"Q')", Some("100% 2026Q2")),
            ("to_char(timestamp '1960-05-07 03:04:05', 'Dy DD Mon YY')", Some("Sat 07 May 60")), ("to_char(date '2026-09-07', 'FMDay, FMMonth')", Some("Monday, September")),
            ("to_char(timestamptz '2026-12-31 23:00:00+00', 'YYYY.DDD')", Some("2026.365")), ("to_char(date '2026-02-03', 'MM\\DD''s')", Some("02\\03's"))] },
    Entry { name: "date_bin", signature: "interval, timestamp, timestamp -> timestamp; the interval a constant of days or less", constants: &[0], form: Form::Scalar(date_bin),
        examples: &[("date_bin(interval '15 minutes', timestamp '2026-05-07 13:14:15.5', timestamp '2026-01-01')", Some("2026-05-07 13:00:00")),
            ("date_bin(interval '15 minutes', timestamp '1960-05-07 13:14:15.5', timestamp '2026-01-01 00:02:30')", Some("1960-05-07 13:02:30")),
            ("date_bin(interval '6 hours', timestamp '1960-05-07 13:14:15.5', timestamp '2000-01-01')", Some("1960-05-07 12:00:00")),
            ("date_bin(interval '1 day 1 hour', timestamp '2026-05-07 13:14:15', timestamp '2026-05-07 13:14:15')", Some("2026-05-07 13:14:15"))] },
];

fn is_date(value: &Value) -> bool {
    value.data_type == DataType::Date32
}

pub(super) fn is_timestamp(value: &Value) -> bool {
    matches!(value.data_type, DataType::Timestamp(TimeUnit::Microsecond, _))
}

pub(super) fn unit_of(call: &Call) -> Result<Unit> {
    let text = call.text(0, "a unit")?;
    Unit::parse(text).ok_or_else(|| NotPushable::new(format!("the unit {text}")))
}

fn date_trunc(call: &Call) -> Result<Value> {
    let (unit, moment) = (unit_of(call)?, call.arg(1)?);
    match call.args.len() {
        2 => truncated(call, unit, moment),
        _ => truncated_in(call, unit, moment, call.text(2, "a time zone")?),
    }
}

/// An instant cut on the clock of a zone. Within a day its offset stays.
fn truncated_in(call: &Call, unit: Unit, moment: &Value, zone: &str) -> Result<Value> {
    let zone = zone_named(zone)?;
    let wall = Value { data_type: TIMESTAMP, ..on_clock(call, moment, &zone) };
    let begin = Value { data_type: TIMESTAMP, ..truncated(call, unit, &wall)? };
    let sql = match unit {
        unit if unit >= Unit::Day => instant_of(&begin, &zone),
        _ => match offset(&moment.sql, &zone) {
            Some(seconds) => format!("{} - toIntervalSecond({seconds})", begin.at(Binding::Sum)),
            None => begin.sql,
        },
    };
    Ok(Value { binding: Binding::Sum, ..call.result(sql) })
}

fn truncated(call: &Call, unit: Unit, moment: &Value) -> Result<Value> {
    if !is_date(moment) && !is_timestamp(moment) {
        return Err(NotPushable::new("date_trunc of something that is no date or timestamp"));
    }
    let sql = &moment.sql;
    if unit == Unit::Day && moment.midnight.is_some() {
        return Ok(moment.clone());
    }
    if let Some(midnight) = first_day(unit, moment) {
        let begin = call.result(format!("toDateTime64({}, 6, 'UTC')", midnight.day));
        return Ok(Value { midnight: Some(Arc::new(midnight)), ..begin });
    }
    // Not toStartOfMinute and its like, which turn moments before 1970 into others (26.7).
    let name = match unit {
        Unit::Microsecond if is_timestamp(moment) => return Ok(call.result(sql.clone())),
        Unit::Millisecond if is_timestamp(moment) => {
            return Ok(call.result(format!("toStartOfMillisecond({sql})")));
        }
        Unit::Second if is_timestamp(moment) => {
            return Ok(call.result(format!("toStartOfSecond({sql})")));
        }
        unit if is_date(moment) && unit <= Unit::Day => {
            return Ok(call.result(format!("toDateTime64({sql}, 6, 'UTC')")));
        }
        Unit::Minute => "minute",
        Unit::Hour => "hour",
        Unit::Day => "day",
        Unit::Week => "week",
        Unit::Month => "month",
        Unit::Quarter => "quarter",
        Unit::Year => "year",
        other => return Err(NotPushable::new(format!("date_trunc to {other:?}"))),
    };
    let zone = if is_date(moment) { "" } else { ", 'UTC'" };
    // Nor a moment with a fraction: before 1970 the last of a period is taken for the next (26.7).
    let sql = if is_date(moment) { sql.clone() } else { format!("toStartOfSecond({sql})") };
    let truncated = format!("dateTrunc('{name}', {sql}{zone})");
    Ok(call.result(format!("toDateTime64({truncated}, 6, 'UTC')")))
}

/// The first day of the period that a wall clock is in; None of periods shorter than a day.
fn date_on(unit: Unit, Wall { instant, zone }: &Wall) -> Option<String> {
    let day = format!("toDate32({instant}, {zone})");
    let name = match unit {
        Unit::Day => return Some(day),
        Unit::Week => "week",
        Unit::Month => "month",
        Unit::Quarter => "quarter",
        Unit::Year => "year",
        _ => return None,
    };
    // Not of the instant: before 1970 the last of a period with a fraction is taken for the next
    // (26.7).
    Some(format!("dateTrunc('{name}', {day})"))
}

/// The first day of the period that a timestamp is in, where a wall clock shows it, or one that is
/// whole periods away; None of periods shorter than a day.
fn first_day(unit: Unit, moment: &Value) -> Option<Midnight> {
    if let Some(wall) = &moment.wall {
        let day = date_on(unit, wall)?;
        return Some(Midnight { key: day.clone(), day, is_first: unit >= Unit::Month });
    }
    let Moved { from, months, days } = moment.moved.as_deref()?;
    let is_whole = match unit {
        Unit::Day => true,
        Unit::Week => *months == 0 && days % 7 == 0,
        Unit::Month => *days == 0,
        Unit::Quarter => *days == 0 && months % 3 == 0,
        Unit::Year => *days == 0 && months % 12 == 0,
        _ => false,
    };
    let begin = first_day(unit, from).filter(|_| is_whole)?;
    let mut day = begin.day;
    for (function, count) in [("addMonths", *months), ("addDays", *days)] {
        if count != 0 {
            day = format!("{function}({day}, {count})");
        }
    }
    // The last days of a long month have one day in common that is a month later.
    let key = if *months == 0 || begin.is_first { begin.key } else { day.clone() };
    Some(Midnight { day, key, is_first: begin.is_first && *days == 0 })
}

/// The day that a timestamp is on.
pub(in super::super) fn day_of(moment: &Value) -> String {
    if let Some(midnight) = &moment.midnight {
        return midnight.day.clone();
    }
    let midnight = first_day(Unit::Day, moment);
    midnight.map_or_else(|| format!("toDate32({})", moment.sql), |midnight| midnight.day)
}

fn periods_between(call: &Call) -> Result<Value> {
    let name = match unit_of(call)? {
        // dateDiff rounds weeks before 1970 towards later ones (26.7), so days between Mondays it is.
        Unit::Day | Unit::Week => "day",
        Unit::Second => "second",
        Unit::Minute => "minute",
        Unit::Hour => "hour",
        Unit::Month => "month",
        Unit::Quarter => "quarter",
        Unit::Year => "year",
        other => return Err(NotPushable::new(format!("periods of {other:?}"))),
    };
    let (from, to) = (call.arg(1)?, call.arg(2)?);
    if !is_timestamp(from) || !is_timestamp(to) {
        return Err(NotPushable::new("periods between things that are no timestamps"));
    }
    if let (Some(from), Some(to)) = (&from.wall, &to.wall)
        && from.zone == to.zone
        && unit_of(call)? != Unit::Week
    {
        let (from, to, zone) = (&from.instant, &to.instant, &from.zone);
        return Ok(call.result(format!("dateDiff('{name}', {from}, {to}, {zone})")));
    }
    if unit_of(call)? == Unit::Week {
        let [from, to] = [from, to].map(|it| format!("dateTrunc('week', {})", day_of(it)));
        return Ok(call.result(format!("intDiv(dateDiff('day', {from}, {to}, 'UTC'), 7)")));
    }
    Ok(call.result(format!("dateDiff('{name}', {}, {}, 'UTC')", from.sql, to.sql)))
}

fn periods_after(call: &Call) -> Result<Value> {
    let function = match unit_of(call)? {
        Unit::Second => "addSeconds",
        Unit::Minute => "addMinutes",
        Unit::Hour => "addHours",
        Unit::Day => "addDays",
        Unit::Week => "addWeeks",
        Unit::Month => "addMonths",
        Unit::Quarter => "addQuarters",
        Unit::Year => "addYears",
        other => return Err(NotPushable::new(format!("periods of {other:?}"))),
    };
    let (from, count) = (call.arg(1)?, call.arg(2)?);
    if !is_timestamp(from) {
        return Err(NotPushable::new("periods after something that is no timestamp"));
    }
    Ok(call.result(format!("{function}({}, {})", from.sql, count.typed()?)))
}

fn checked_periods(call: &Call) -> Result<Value> {
    let count = call.arg(0)?;
    let too_many =
        format!("throwIf({} > {PERIODS_MAX}, '{TOO_MANY_PERIODS}')", count.at(Binding::Sum));
    Ok(call.result(format!("{} + {too_many}", count.at(Binding::Sum))))
}

/// A field as an integer, or None for the ones with a fraction.
fn whole_field(unit: Unit, moment: &str) -> Option<String> {
    Some(match unit {
        Unit::Year => format!("toYear({moment})"),
        Unit::Quarter => format!("toQuarter({moment})"),
        Unit::Month => format!("toMonth({moment})"),
        Unit::Week => format!("toISOWeek({moment})"),
        Unit::IsoYear => format!("toISOYear({moment})"),
        Unit::Day => format!("toDayOfMonth({moment})"),
        Unit::Dow => format!("toDayOfWeek({moment}) % 7"),
        Unit::IsoDow => format!("toDayOfWeek({moment})"),
        Unit::Doy => format!("toDayOfYear({moment})"),
        Unit::Hour => format!("toHour({moment})"),
        Unit::Minute => format!("toMinute({moment})"),
        Unit::Microsecond => in_minute(moment),
        Unit::Decade => format!("intDiv(toYear({moment}), 10)"),
        Unit::Century => format!("intDiv(toYear({moment}) + 99, 100)"),
        Unit::Millennium => format!("intDiv(toYear({moment}) + 999, 1000)"),
        Unit::Second
        | Unit::Millisecond
        | Unit::Epoch
        | Unit::Julian
        | Unit::Timezone
        | Unit::TimezoneHour
        | Unit::TimezoneMinute => return None,
    })
}

/// Microseconds since the last full minute.
fn in_minute(moment: &str) -> String {
    format!("positiveModulo(toUnixTimestamp64Micro({moment}), 60000000)")
}

fn field_of(call: &Call) -> Result<(Unit, &Value)> {
    let (unit, moment) = (unit_of(call)?, call.arg(1)?);
    if call.args.len() > 2 {
        return Err(NotPushable::new("a field in a time zone"));
    }
    if matches!(unit, Unit::Julian | Unit::Timezone | Unit::TimezoneHour | Unit::TimezoneMinute) {
        return Err(NotPushable::new(format!("the field {unit:?}")));
    }
    if !(is_timestamp(moment) || is_date(moment) && unit.in_dates()) {
        return Err(NotPushable::new("a field of something that is no date or timestamp"));
    }
    Ok((unit, moment))
}

fn extract(call: &Call) -> Result<Value> {
    if let Some(field) = spans::extract(call)? {
        return Ok(field);
    }
    let (unit, moment) = field_of(call)?;
    let sql = &moment.sql;
    let field = match (unit, whole_field(unit, sql)) {
        (_, Some(field)) => field,
        (Unit::Second, _) => format!("toDecimal64({}, 6) / 1000000", in_minute(sql)),
        (Unit::Millisecond, _) => format!("toDecimal64({}, 3) / 1000", in_minute(sql)),
        (_, _) if is_date(moment) => format!("toInt64(toInt32({sql})) * 86400"),
        (_, _) => format!("toDecimal128(toUnixTimestamp64Micro({sql}), 6) / 1000000"),
    };
    let field = Value::new(field, call.data_type.clone(), false);
    Ok(call.result(field.cast_sql(&call.data_type)?))
}

fn date_part(call: &Call) -> Result<Value> {
    if let Some(field) = spans::date_part(call)? {
        return Ok(field);
    }
    let (unit, moment) = field_of(call)?;
    let sql = &moment.sql;
    if let Some(field) = whole_field(unit, sql) {
        return Ok(call.result(format!("toFloat64({field})")));
    }
    let value = match unit {
        // Postgres adds the fraction to the whole seconds.
        Unit::Second => {
            let micros = in_minute(sql);
            format!("intDiv({micros}, 1000000) + ({micros} % 1000000) / 1e6")
        }
        Unit::Epoch if is_date(moment) => format!("toFloat64(toInt32({sql})) * 86400"),
        Unit::Epoch => format!("toUnixTimestamp64Micro({sql}) / 1e6"),
        other => return Err(NotPushable::new(format!("date_part of {other:?}"))),
    };
    Ok(Value { binding: Binding::Sum, ..call.result(value) })
}

/// A week from Monday of the days that lie as much earlier.
fn week_from(call: &Call) -> Result<Value> {
    let Some(ScalarValue::Int64(Some(first @ 0..=6))) = call.arg(0)?.literal else {
        return Err(NotPushable::new("the first day of weeks that isn't a constant"));
    };
    let moment = call.arg(1)?;
    if !is_timestamp(moment) {
        return Err(NotPushable::new("the week of something that is no timestamp"));
    }
    let earlier = format!("{} - toIntervalDay({first})", day_of(moment));
    let monday = format!("toDateTime64(dateTrunc('week', {earlier}), 6, 'UTC')");
    let sql = format!("{monday} + toIntervalDay({first})");
    Ok(Value { binding: Binding::Sum, ..call.result(sql) })
}

/// The clock reads as in UTC, moved by the zone's offset at that instant. Of the functions of zones
/// only toString takes one that isn't constant (26.7), so there the clock is read from its text.
fn wall_clock(call: &Call) -> Result<Value> {
    let moment = call.arg(0)?;
    let instant = &moment.sql;
    let zone = call.arg(1)?;
    if zone.literal.is_none() {
        let text = format!("toString({instant}, {})", zone.typed()?);
        return Ok(call.result(format!("toDateTime64({text}, 6, 'UTC')")));
    }
    Ok(on_clock(call, moment, &zone_named(call.text(1, "a time zone")?)?))
}

fn zone_named(name: &str) -> Result<TimeZone> {
    TimeZone::of_expression(name).ok_or_else(|| NotPushable::new(format!("the time zone {name}")))
}

/// Seconds east of UTC at an instant; None in UTC.
fn offset(instant: &str, zone: &TimeZone) -> Option<String> {
    match zone {
        TimeZone::Named(chrono_tz::Tz::UTC) => None,
        TimeZone::Named(tz) => {
            let name = literal::text(tz.name());
            Some(format!("timeZoneOffset(toTimeZone({instant}, {name}))"))
        }
        TimeZone::Fixed { east_seconds, .. } => Some(east_seconds.to_string()),
    }
}

fn on_clock(call: &Call, moment: &Value, zone: &TimeZone) -> Value {
    let wall = match zone {
        TimeZone::Named(tz) => Some(wall(moment, *tz)),
        TimeZone::Fixed { .. } => None,
    };
    match offset(&moment.sql, zone) {
        None => Value { wall, ..call.result(moment.sql.clone()) },
        Some(seconds) => {
            let sql = format!("{} + toIntervalSecond({seconds})", moment.at(Binding::Sum));
            Value { binding: Binding::Sum, wall, ..call.result(sql) }
        }
    }
}

fn instant_at(call: &Call) -> Result<Value> {
    let zone = zone_named(call.text(1, "a time zone")?)?;
    let sql = instant_of(call.arg(0)?, &zone);
    Ok(Value { binding: Binding::Sum, ..call.result(sql) })
}

/// The instant of a wall clock: with the offset of after a change, if the wall clock is after it by
/// that offset, else with the one of before. So the hour that is repeated is taken the second time,
/// and one that is skipped as if the clock hadn't been changed.
fn instant_of(wall: &Value, zone: &TimeZone) -> String {
    let clock = wall.at(Binding::Sum);
    if let TimeZone::Fixed { east_seconds, .. } = zone {
        return format!("{clock} - toIntervalSecond({east_seconds})");
    }
    let Some(after) = offset(&format!("{clock} + toIntervalDay(1)"), zone) else {
        return wall.sql.clone();
    };
    let by_after = format!("{clock} - toIntervalSecond({after})");
    match offset(&by_after, zone) {
        Some(seconds) => format!("{clock} - toIntervalSecond({seconds})"),
        None => wall.sql.clone(),
    }
}

fn wall(moment: &Value, zone: chrono_tz::Tz) -> Arc<Wall> {
    let stored = moment.native.as_ref();
    let stored = stored.filter(|it| matches!(it.stored, Stored::DateTime | Stored::DateTime64(_)));
    let instant = stored.map_or_else(|| moment.sql.clone(), |native| native.sql.clone());
    Arc::new(Wall { instant, zone: literal::text(zone.name()) })
}

fn timestamp_text(call: &Call) -> Result<Value> {
    if call.args.len() > 1 {
        return Err(NotPushable::new("the text of a timestamptz in a time zone"));
    }
    let moment = call.arg(0)?;
    let text = format!("replaceRegexpOne(toString({}), '\\\\.?0+$', '')", moment.sql);
    Ok(call.result(match moment.data_type {
        DataType::Timestamp(_, Some(_)) => format!("concat({text}, '+00')"),
        _ => text,
    }))
}

/// By `formatDateTime`, whose fields are those of MySQL.
fn to_char(call: &Call) -> Result<Value> {
    let moment = call.arg(0)?;
    if call.args.len() > 2 {
        return Err(NotPushable::new("to_char in a time zone"));
    }
    if !is_timestamp(moment) {
        return Err(NotPushable::new("to_char of something that is no timestamp"));
    }
    let pattern = call.text(1, "a pattern")?;
    let unknown = || NotPushable::new(format!("the pattern {pattern}"));
    let has_fields = finest_unit(pattern).is_some();
    let parts = pattern_parts(pattern).filter(|_| has_fields).ok_or_else(unknown)?;
    let mut format = String::new();
    for part in parts {
        match part {
            PatternPart::Text('%') => format.push_str("%%"),
            PatternPart::Text(text) => format.push(text),
            PatternPart::Field(field) => format.push_str(format_field(field).ok_or_else(unknown)?),
        }
    }
    let (instant, zone) = match moment.wall.as_deref() {
        Some(Wall { instant, zone }) => (instant.as_str(), zone.as_str()),
        None => (moment.sql.as_str(), "'UTC'"),
    };
    Ok(call.result(format!("formatDateTime({instant}, {}, {zone})", literal::text(&format))))
}

fn format_field(field: &str) -> Option<&'static str> {
    Some(match field {
        "YYYY" => "%Y",
        "YY" => "%y",
        "Q" => "%Q",
        "MM" => "%m",
        "FMMonth" => "%M",
        "Mon" => "%b",
        "DD" => "%d",
        "DDD" => "%j",
        "FMDay" => "%W",
        "Dy" => "%a",
        "IYYY" => "%G",
        "IW" => "%V",
        "ID" => "%u",
        "HH24" => "%H",
        "HH12" | "HH" => "%I",
        "AM" | "PM" => "%p",
        "MI" => "%i",
        "SS" => "%S",
        _ => return None,
    })
}

/// In microseconds: toStartOfInterval knows no origin after the moment.
fn date_bin(call: &Call) -> Result<Value> {
    let (moment, origin) = (call.arg(1)?, call.arg(2)?);
    let Some(ScalarValue::IntervalMonthDayNano(Some(width))) = &call.arg(0)?.literal else {
        return Err(NotPushable::new("an interval that isn't a constant"));
    };
    let micros = i64::from(width.days) * 86_400_000_000 + width.nanoseconds / 1_000;
    if width.months != 0 || micros <= 0 || !is_timestamp(moment) || !is_timestamp(origin) {
        return Err(NotPushable::new("date_bin by months, or of something that is no timestamp"));
    }
    let [since, origin] = [moment, origin].map(|it| format!("toUnixTimestamp64Micro({})", it.sql));
    // Without the type, the modulo would be that of unsigned numbers.
    let rest = format!("positiveModulo({since} - {origin}, toInt64({micros}))");
    Ok(call.result(format!("fromUnixTimestamp64Micro({since} - {rest}, 'UTC')")))
}

/// Sums and differences of dates and times.
pub(super) fn operator(op: Operator, left: &Value, right: &Value) -> Result<Value> {
    let unknown = || Err(NotPushable::new(format!("{} {op} {}", left.data_type, right.data_type)));
    let interval = |value: &Value| matches!(value.data_type, DataType::Interval(_));
    match op {
        Operator::Plus | Operator::Minus if is_timestamp(left) && interval(right) => {
            shifted(left, right, op)
        }
        Operator::Plus if interval(left) && is_timestamp(right) => shifted(right, left, op),
        Operator::Minus if is_date(left) && is_date(right) => {
            let sql = format!("toInt32({}) - toInt32({})", left.sql, right.sql);
            let days = Value::new(sql, DataType::Int64, false).computed_from([left, right]);
            Ok(Value { binding: Binding::Sum, ..days })
        }
        _ => unknown(),
    }
}

/// Months first, then days, then time, as in Postgres.
fn shifted(moment: &Value, interval: &Value, op: Operator) -> Result<Value> {
    let Some(ScalarValue::IntervalMonthDayNano(Some(interval))) = &interval.literal else {
        return Err(NotPushable::new("an interval that isn't a constant"));
    };
    if interval.nanoseconds % 1_000 != 0 {
        return Err(NotPushable::new("an interval finer than microseconds"));
    }
    let sign: i64 = if op == Operator::Minus { -1 } else { 1 };
    let parts = [
        ("toIntervalDay", i64::from(interval.days)),
        ("toIntervalMicrosecond", interval.nanoseconds / 1_000),
    ];
    let mut sql = moment.at(Binding::Sum);
    if interval.months != 0 {
        // Months after a moment with a fraction before 1970 are counted from another (26.7).
        let fraction = format!("positiveModulo(toUnixTimestamp64Micro({}), 1000000)", moment.sql);
        let months = sign * i64::from(interval.months);
        sql = format!(
            "addMonths(toStartOfSecond({}), {months}) + toIntervalMicrosecond({fraction})",
            moment.sql
        );
    }
    for (function, count) in parts {
        if count != 0 {
            sql.push_str(&format!(" + {function}({})", sign * count));
        }
    }
    let (months, days) = (sign * i64::from(interval.months), sign * i64::from(interval.days));
    let moved = (interval.nanoseconds == 0 && (moment.wall.is_some() || moment.moved.is_some()))
        .then(|| Arc::new(Moved { from: moment.clone(), months, days }));
    let shifted = Value::new(sql, moment.data_type.clone(), false).computed_from([moment]);
    Ok(Value { binding: Binding::Sum, moved, ..shifted })
}
