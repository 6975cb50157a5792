//! Dates, times and intervals as Postgres writes them in the styles ISO and postgres.

use std::io::Write as _;

use super::style::{DateFormat, Style};

const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

pub(super) const SECONDS_A_DAY: i64 = 86_400;

/// A day as year, month and day of the proleptic Gregorian calendar.
///
/// Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

fn write_two(value: i64, out: &mut Vec<u8>) {
    let value = u8::try_from(value.rem_euclid(100)).unwrap_or(0);
    out.extend_from_slice(&[b'0' + value / 10, b'0' + value % 10]);
}

fn write_year(year: i64, out: &mut Vec<u8>) {
    if year < 10_000 {
        write_two(year / 100, out);
        write_two(year, out);
    } else {
        out.extend_from_slice(itoa::Buffer::new().format(year).as_bytes());
    }
}

/// `2026-03-01`; years before 1 get their ` BC` from the caller. True if so.
fn write_day(days: i64, out: &mut Vec<u8>) -> bool {
    let (year, month, day) = civil(days);
    let before_christ = year < 1;
    let shown = if before_christ { 1 - year } else { year };
    write_year(shown, out);
    out.push(b'-');
    write_two(month, out);
    out.push(b'-');
    write_two(day, out);
    before_christ
}

/// Days from 1970; the ends of the type are infinities.
pub(super) fn write_date(days: i32, style: &Style, out: &mut Vec<u8>) {
    match days {
        i32::MAX => out.extend_from_slice(b"infinity"),
        i32::MIN => out.extend_from_slice(b"-infinity"),
        days => {
            let before_christ = match style.dates {
                DateFormat::Iso => write_day(days.into(), out),
                _ => write_styled_day(days.into(), style, out),
            };
            if before_christ {
                out.extend_from_slice(b" BC");
            }
        }
    }
}

/// `01/03/2026`, `03-01-2026`, `01.03.2026`. True for years before 1.
fn write_styled_day(days: i64, style: &Style, out: &mut Vec<u8>) -> bool {
    let (year, month, day) = civil(days);
    let (separator, day_first) = match style.dates {
        DateFormat::German => (b'.', true),
        DateFormat::Sql => (b'/', style.day_first),
        DateFormat::Postgres | DateFormat::Iso => (b'-', style.day_first),
    };
    let (first, second) = if day_first { (day, month) } else { (month, day) };
    write_two(first, out);
    out.push(separator);
    write_two(second, out);
    out.push(separator);
    write_year(if year < 1 { 1 - year } else { year }, out);
    year < 1
}

/// As [`write_timestamp`] in the styles other than ISO: `01/03/2026 04:05:06 CET`, or
/// `Sun Mar 01 04:05:06 2026 CET`.
///
/// Source: PostgreSQL `src/backend/utils/adt/datetime.c`, `EncodeDateTime`.
pub(super) fn write_styled(micros: i64, offset: Option<i32>, style: &Style, out: &mut Vec<u8>) {
    if matches!(micros, i64::MAX | i64::MIN) {
        return write_timestamp(micros, offset, out);
    }
    let local = micros.saturating_add(i64::from(offset.unwrap_or(0)) * 1_000_000);
    let days = local.div_euclid(SECONDS_A_DAY * 1_000_000);
    let time = local.rem_euclid(SECONDS_A_DAY * 1_000_000);
    let before_christ = if style.dates == DateFormat::Postgres {
        let (year, month, day) = civil(days);
        let name = |names: &[&'static str], index: i64| {
            usize::try_from(index).ok().and_then(|index| names.get(index).copied())
        };
        // 1970-01-01 was a Thursday.
        let weekday = name(&WEEKDAYS, (days + 4).rem_euclid(7)).unwrap_or_default();
        let month = name(&MONTHS, month - 1).unwrap_or_default();
        // Writing to a Vec can't fail.
        let _ = match style.day_first {
            true => write!(out, "{weekday} {day:02} {month} "),
            false => write!(out, "{weekday} {month} {day:02} "),
        };
        write_time(time, out);
        out.push(b' ');
        write_year(if year < 1 { 1 - year } else { year }, out);
        year < 1
    } else {
        let before_christ = write_styled_day(days, style, out);
        out.push(b' ');
        write_time(time, out);
        before_christ
    };
    if offset.is_some() {
        out.push(b' ');
        let instant = chrono::DateTime::from_timestamp_micros(micros).unwrap_or_default();
        out.extend_from_slice(style.zone.abbreviation_at(instant.naive_utc()).as_bytes());
    }
    if before_christ {
        out.extend_from_slice(b" BC");
    }
}

/// Microseconds from midnight.
pub(super) fn write_time(micros: i64, out: &mut Vec<u8>) {
    let seconds = micros.div_euclid(1_000_000);
    write_two(seconds / 3_600, out);
    out.push(b':');
    write_two(seconds / 60 % 60, out);
    out.push(b':');
    write_two(seconds % 60, out);
    write_fraction(micros.rem_euclid(1_000_000), out);
}

/// `.5` of 500,000 microseconds; nothing of none.
pub(super) fn write_fraction(micros: i64, out: &mut Vec<u8>) {
    if micros == 0 {
        return;
    }
    out.push(b'.');
    write_two(micros / 10_000, out);
    write_two(micros / 100, out);
    write_two(micros, out);
    while out.last() == Some(&b'0') {
        out.pop();
    }
}

/// Microseconds from 1970, shown at an offset in seconds east of UTC; without one, there is no
/// offset in the text either.
pub(super) fn write_timestamp(micros: i64, offset: Option<i32>, out: &mut Vec<u8>) {
    match micros {
        i64::MAX => return out.extend_from_slice(b"infinity"),
        i64::MIN => return out.extend_from_slice(b"-infinity"),
        _ => {}
    }
    let local = micros.saturating_add(i64::from(offset.unwrap_or(0)) * 1_000_000);
    let before_christ = write_day(local.div_euclid(SECONDS_A_DAY * 1_000_000), out);
    out.push(b' ');
    write_time(local.rem_euclid(SECONDS_A_DAY * 1_000_000), out);
    if let Some(offset) = offset {
        write_offset(offset, out);
    }
    if before_christ {
        out.extend_from_slice(b" BC");
    }
}

/// `+01`, `+05:30`, `-00:44:30`.
fn write_offset(seconds: i32, out: &mut Vec<u8>) {
    out.push(if seconds < 0 { b'-' } else { b'+' });
    let seconds = i64::from(seconds.unsigned_abs());
    write_two(seconds / 3_600, out);
    if seconds % 3_600 != 0 {
        out.push(b':');
        write_two(seconds / 60 % 60, out);
    }
    if seconds % 60 != 0 {
        out.push(b':');
        write_two(seconds % 60, out);
    }
}

/// A count from 1970 of which a second has `per_second`, in microseconds. Beyond them, and at the
/// ends of the type, it is an infinity.
#[inline]
pub(super) fn micros_of(count: i64, per_second: i64) -> i64 {
    match per_second {
        1_000_000 => count,
        1_000_000_000 => count.div_euclid(1_000),
        per_second => {
            let factor = 1_000_000 / per_second;
            count.checked_mul(factor).unwrap_or(if count > 0 { i64::MAX } else { i64::MIN })
        }
    }
}

/// `1 year 2 mons -3 days +04:05:06.7`.
///
/// Source: PostgreSQL `src/backend/utils/adt/datetime.c`, `EncodeInterval`, `INTSTYLE_POSTGRES`.
pub(super) fn write_interval(months: i32, days: i32, micros: i64, out: &mut Vec<u8>) {
    let start = out.len();
    let mut after_negative = false;
    for (value, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if value == 0 {
            continue;
        }
        let space = if out.len() == start { "" } else { " " };
        let plus = if after_negative && value > 0 { "+" } else { "" };
        let plural = if value == 1 { "" } else { "s" };
        // Writing to a Vec can't fail.
        let _ = write!(out, "{space}{plus}{value} {unit}{plural}");
        after_negative = value < 0;
    }
    if micros == 0 && out.len() > start {
        return;
    }
    if out.len() > start {
        out.push(b' ');
    }
    match (micros < 0, after_negative) {
        (true, _) => out.push(b'-'),
        (false, true) => out.push(b'+'),
        (false, false) => {}
    }
    let micros = micros.unsigned_abs();
    let (hours, seconds) = (micros / 3_600_000_000, micros / 1_000_000);
    let _ = write!(out, "{hours:02}:{:02}:{:02}", seconds / 60 % 60, seconds % 60);
    write_fraction(i64::try_from(micros % 1_000_000).unwrap_or(0), out);
}
