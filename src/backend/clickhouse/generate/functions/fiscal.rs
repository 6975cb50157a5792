//! Periods of fiscal calendars: by arithmetic on days and the numbers of weeks.

use datafusion::arrow::datatypes::{DataType, TimeUnit};

use super::super::value::Value;
use super::super::{NotPushable, Result};
use super::time::day_of;
use super::{Call, Entry, Form};
use crate::functions::Unit;
use crate::functions::fiscal::{
    self, FiscalCalendar, TO_LAST_OF_52_WEEKS, YEAR_WEEKS_MAX, Years, quarter_of,
};

#[rustfmt::skip]
pub(super) const ENTRIES: &[Entry] = &[
    Entry { name: "fiscal_trunc", signature: "calendar, text, timestamp -> timestamp: date_trunc('retail.month', …); week, month, quarter or year", constants: &[0, 1], form: Form::Scalar(fiscal_trunc),
        examples: &[("fiscal_trunc('sunday on or after 01-29; 4-5-4; start', 'year', timestamp '2024-02-03 23:59:59.999999')", Some("2023-01-29 00:00:00")),
            ("fiscal_trunc('sunday on or after 01-29; 4-5-4; start', 'year', timestamp '2024-02-04 00:00:00')", Some("2024-02-04 00:00:00")),
            ("fiscal_trunc('sunday on or after 01-29; 4-5-4; start', 'quarter', timestamp '2024-02-03 10:00:00')", Some("2023-10-29 00:00:00")),
            ("fiscal_trunc('sunday on or after 01-29; 4-5-4; start', 'month', timestamp '2024-02-03 10:00:00')", Some("2023-12-31 00:00:00")),
            ("fiscal_trunc('sunday on or after 01-29; 4-5-4; start', 'month', timestamp '2026-03-01 00:00:00')", Some("2026-03-01 00:00:00")),
            ("fiscal_trunc('sunday on or after 01-29; 4-5-4; start', 'week', timestamp '1960-05-17 13:14:15')", Some("1960-05-15 00:00:00")),
            ("fiscal_trunc('monday on or after 12-29; 4-4-5; middle', 'year', timestamp '1961-01-01 13:14:15')", Some("1960-01-04 00:00:00")),
            ("fiscal_trunc('04-06; end', 'year', timestamp '2026-04-05 23:59:59')", Some("2025-04-06 00:00:00")), ("fiscal_trunc('04-06; end', 'quarter', timestamp '2026-01-05 10:00:00')", Some("2025-10-06 00:00:00")),
            ("fiscal_trunc('04-06; end', 'month', timestamp '1960-03-31 10:00:00')", Some("1960-03-06 00:00:00")), ("fiscal_trunc('10-01; end', 'quarter', timestamp '2026-12-31 10:00:00')", Some("2026-10-01 00:00:00"))] },
    Entry { name: "fiscal_part", signature: "calendar, text, timestamp -> float8: date_part('retail.month', …); week, month, quarter or year", constants: &[0, 1], form: Form::Scalar(fiscal_part),
        examples: &[("fiscal_part('sunday on or after 01-29; 4-5-4; start', 'year', timestamp '2024-02-03 10:00:00')", Some("2023")), ("fiscal_part('sunday on or after 01-29; 4-5-4; start', 'week', timestamp '2024-02-03 10:00:00')", Some("53")),
            ("fiscal_part('sunday on or after 01-29; 4-5-4; start', 'month', timestamp '2024-02-03 10:00:00')", Some("12")), ("fiscal_part('sunday on or after 01-29; 4-5-4; start', 'quarter', timestamp '2024-02-03 10:00:00')", Some("4")),
            ("fiscal_part('monday on or after 12-29; 4-4-5; middle', 'year', timestamp '1961-01-01 10:00:00')", Some("1960")), ("fiscal_part('sunday on or after 09-25; 5-4-4; end', 'year', timestamp '2026-09-27 10:00:00')", Some("2027")),
            ("fiscal_part('04-06; end', 'year', timestamp '2026-04-06 10:00:00')", Some("2027")), ("fiscal_part('04-06; start', 'year', timestamp '2026-04-05 10:00:00')", Some("2025")),
            ("fiscal_part('04-06; end', 'quarter', timestamp '2026-04-05 10:00:00')", Some("4")), ("fiscal_part('04-06; end', 'month', timestamp '2026-04-06 10:00:00')", Some("1"))] },
];

fn arguments(call: &Call) -> Result<(FiscalCalendar, Unit, &Value)> {
    let no_constants = || NotPushable::new("a calendar that isn't a constant");
    let (calendar, unit) = (&call.arg(0)?.literal, &call.arg(1)?.literal);
    let (calendar, unit) = calendar.as_ref().zip(unit.as_ref()).ok_or_else(no_constants)?;
    let (calendar, unit) = fiscal::constants(calendar, unit).ok_or_else(no_constants)?;
    let moment = call.arg(2)?;
    match moment.data_type {
        DataType::Timestamp(TimeUnit::Microsecond, None) => Ok((calendar, unit, moment)),
        _ => Err(NotPushable::new("the fiscal period of something that is no timestamp")),
    }
}

fn fiscal_trunc(call: &Call) -> Result<Value> {
    let (calendar, unit, moment) = arguments(call)?;
    let begin = first_day(calendar, unit, &day_of(moment))?;
    Ok(call.result(format!("toDateTime64({begin}, 6, 'UTC')")))
}

/// The first day of the period that a day is in.
fn first_day(calendar: FiscalCalendar, unit: Unit, day: &str) -> Result<String> {
    match calendar.years {
        Years::OfMonths { month, day: first } => {
            // As if months began on the first, and years in January.
            let usual = moved(day, "Day", -i64::from(first - 1));
            let months = i64::from(month - 1) % months_of(unit)?;
            let begin = match months {
                0 => format!("dateTrunc('{}', {usual})", unit.name()),
                months => {
                    let month = format!("dateTrunc('month', {usual})");
                    let usual = moved(&month, "Month", -months);
                    moved(&format!("dateTrunc('{}', {usual})", unit.name()), "Month", months)
                }
            };
            Ok(moved(&begin, "Day", i64::from(first - 1)))
        }
        Years::OfWeeks { .. } => {
            let back = match unit {
                Unit::Week => return Ok(week_of(calendar, day)),
                Unit::Month => in_table(&number_of(calendar), |week| calendar.week_of_month(week)),
                Unit::Quarter => {
                    in_table(&number_of(calendar), |week| week - 13 * (quarter_of(week) - 1))
                }
                Unit::Year => number_of(calendar),
                _ => return Err(no_unit(unit)),
            };
            Ok(over_week(calendar, day, &format!("subtractDays({WEEK}, 7 * {back})")))
        }
    }
}

fn no_unit(unit: Unit) -> NotPushable {
    NotPushable::new(format!("the {} of a fiscal calendar", unit.name()))
}

fn months_of(unit: Unit) -> Result<i64> {
    match unit {
        Unit::Month => Ok(1),
        Unit::Quarter => Ok(3),
        Unit::Year => Ok(12),
        _ => Err(no_unit(unit)),
    }
}

fn moved(date: &str, unit: &str, by: i64) -> String {
    match by {
        0 => date.to_owned(),
        1.. => format!("add{unit}s({date}, {by})"),
        _ => format!("subtract{unit}s({date}, {})", -by),
    }
}

/// The first day of a week, in an expression of [`over_week`].
const WEEK: &str = "w";

/// An expression over the first day of the week that a day is in, which is computed once.
fn over_week(calendar: FiscalCalendar, day: &str, expression: &str) -> String {
    format!("arrayMap({WEEK} -> {expression}, [{}])[1]", week_of(calendar, day))
}

fn week_of(calendar: FiscalCalendar, day: &str) -> String {
    let Years::OfWeeks { first, .. } = calendar.years else { return day.to_owned() };
    // Of Monday it is 1.
    let into = match 6 - first.num_days_from_monday() {
        0 => format!("toDayOfWeek({day})"),
        days => format!("(toDayOfWeek({day}) + {days})"),
    };
    format!("subtractDays({day}, {into} % 7)")
}

/// How many weeks of its year are before [`WEEK`]. A week's first day is in a year exactly from the
/// day on after which years begin.
fn number_of(calendar: FiscalCalendar) -> String {
    let Years::OfWeeks { month, day, .. } = calendar.years else { return "0".to_owned() };
    let is_before = format!("toMonth({WEEK}) * 100 + toDayOfMonth({WEEK}) < {}", month * 100 + day);
    let begin = format!("makeDate32(toYear({WEEK}) - ({is_before}), {month}, {day})");
    format!("intDiv(toInt32({WEEK}) - toInt32({begin}), 7)")
}

/// What belongs to each week of a year.
fn in_table(week: &str, of_week: impl Fn(u8) -> u8) -> String {
    let entries: Vec<String> = (0..YEAR_WEEKS_MAX).map(|week| of_week(week).to_string()).collect();
    format!("[{}][{week} + 1]", entries.join(", "))
}

fn fiscal_part(call: &Call) -> Result<Value> {
    let (calendar, unit, moment) = arguments(call)?;
    let day = day_of(moment);
    let number = match (unit, calendar.years) {
        (Unit::Year, _) => {
            let begin = first_day(calendar, Unit::Year, &day)?;
            let naming = match (calendar.named_after.days(), calendar.years) {
                (Some(days), _) => format!("addDays({begin}, {days})"),
                (None, Years::OfMonths { .. }) => {
                    format!("subtractDays(addMonths({begin}, 12), 1)")
                }
                (None, Years::OfWeeks { .. }) => format!("addDays({begin}, {TO_LAST_OF_52_WEEKS})"),
            };
            format!("toYear({naming})")
        }
        (_, Years::OfMonths { month, day: first }) => {
            let usual = moved(&day, "Day", -i64::from(first - 1));
            let months = format!("(toMonth({usual}) + {}) % 12", 12 - month);
            match unit {
                Unit::Month => format!("{months} + 1"),
                Unit::Quarter => format!("intDiv({months}, 3) + 1"),
                _ => return Err(no_unit(unit)),
            }
        }
        (_, Years::OfWeeks { .. }) => {
            let week = number_of(calendar);
            let number = match unit {
                Unit::Week => format!("{week} + 1"),
                Unit::Month => in_table(&week, |week| calendar.month_of_week(week)),
                Unit::Quarter => in_table(&week, quarter_of),
                _ => return Err(no_unit(unit)),
            };
            over_week(calendar, &day, &number)
        }
    };
    Ok(call.result(format!("toFloat64({number})")))
}
