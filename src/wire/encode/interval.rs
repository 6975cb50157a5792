//! Intervals in the four styles of Postgres.
//!
//! Source: PostgreSQL `src/backend/utils/adt/datetime.c`, `EncodeInterval`.

use std::io::Write as _;

use super::datetime::write_fraction;
use super::style::IntervalFormat;

/// An interval's parts; those of a day share their sign.
struct Parts {
    years: i64,
    months: i64,
    days: i64,
    hours: i64,
    minutes: i64,
    seconds: i64,
    micros: i64,
}

impl Parts {
    fn of(months: i32, days: i32, micros: i64) -> Self {
        Self {
            years: (months / 12).into(),
            months: (months % 12).into(),
            days: days.into(),
            hours: micros / 3_600_000_000,
            minutes: micros / 60_000_000 % 60,
            seconds: micros / 1_000_000 % 60,
            micros: micros % 1_000_000,
        }
    }

    fn all(&self) -> [i64; 7] {
        [self.years, self.months, self.days, self.hours, self.minutes, self.seconds, self.micros]
    }

    fn time_is_negative(&self) -> bool {
        [self.hours, self.minutes, self.seconds, self.micros].iter().any(|part| *part < 0)
    }

    fn has_seconds(&self) -> bool {
        self.seconds != 0 || self.micros != 0
    }

    /// `6.7` or, of two digits, `06.7`; without a sign.
    fn write_seconds(&self, digits: usize, out: &mut Vec<u8>) {
        // Writing to a Vec can't fail.
        let _ = write!(out, "{:0digits$}", self.seconds.abs());
        write_fraction(self.micros.abs(), out);
    }
}

pub(super) fn write(
    format: IntervalFormat,
    months: i32,
    days: i32,
    micros: i64,
    out: &mut Vec<u8>,
) {
    let parts = Parts::of(months, days, micros);
    match format {
        IntervalFormat::Postgres => super::datetime::write_interval(months, days, micros, out),
        IntervalFormat::Verbose => verbose(&parts, out),
        IntervalFormat::SqlStandard => sql_standard(&parts, out),
        IntervalFormat::Iso8601 => iso_8601(&parts, out),
    }
}

/// `P1Y2M-3DT4H5M6.7S`
fn iso_8601(parts: &Parts, out: &mut Vec<u8>) {
    if parts.all().iter().all(|part| *part == 0) {
        return out.extend_from_slice(b"PT0S");
    }
    out.push(b'P');
    write_parts(&[(parts.years, 'Y'), (parts.months, 'M'), (parts.days, 'D')], out);
    if parts.all().iter().skip(3).any(|part| *part != 0) {
        out.push(b'T');
        write_parts(&[(parts.hours, 'H'), (parts.minutes, 'M')], out);
    }
    if parts.has_seconds() {
        if parts.seconds < 0 || parts.micros < 0 {
            out.push(b'-');
        }
        parts.write_seconds(1, out);
        out.push(b'S');
    }
}

fn write_parts(parts: &[(i64, char)], out: &mut Vec<u8>) {
    for (value, unit) in parts.iter().filter(|(value, _)| *value != 0) {
        // Writing to a Vec can't fail.
        let _ = write!(out, "{value}{unit}");
    }
}

/// `1-2`, `3 4:05:06.7`, `4:05:06`; with all signs where they are mixed, `+1-2 -3 +4:05:06`.
fn sql_standard(parts: &Parts, out: &mut Vec<u8>) {
    let negative = parts.all().iter().any(|part| *part < 0);
    let positive = parts.all().iter().any(|part| *part > 0);
    if !negative && !positive {
        return out.push(b'0');
    }
    let year_month = parts.years != 0 || parts.months != 0;
    let day_time = parts.all().iter().skip(2).any(|part| *part != 0);
    let Parts { years, months, days, hours, minutes, .. } = parts;
    if (negative && positive) || (year_month && day_time) {
        let sign = |negative: bool| if negative { '-' } else { '+' };
        let year_sign = sign(*years < 0 || *months < 0);
        let (day_sign, time_sign) = (sign(*days < 0), sign(parts.time_is_negative()));
        let (years, months, days) = (years.abs(), months.abs(), days.abs());
        let (hours, minutes) = (hours.abs(), minutes.abs());
        let _ = write!(
            out,
            "{year_sign}{years}-{months} {day_sign}{days} {time_sign}{hours}:{minutes:02}:"
        );
        return parts.write_seconds(2, out);
    }
    if negative {
        out.push(b'-');
    }
    let (hours, minutes) = (hours.abs(), minutes.abs());
    if year_month {
        let _ = write!(out, "{}-{}", years.abs(), months.abs());
        return;
    }
    if *days != 0 {
        let _ = write!(out, "{} ", days.abs());
    }
    let _ = write!(out, "{hours}:{minutes:02}:");
    parts.write_seconds(2, out);
}

/// `@ 1 year 2 mons -3 days 4 hours 5 mins 6.7 secs ago`; the first part's sign is that of all.
fn verbose(parts: &Parts, out: &mut Vec<u8>) {
    out.push(b'@');
    // Whether the interval is written as one before; None until a part is.
    let mut before = None;
    for (value, unit) in [
        (parts.years, "year"),
        (parts.months, "mon"),
        (parts.days, "day"),
        (parts.hours, "hour"),
        (parts.minutes, "min"),
    ] {
        if value == 0 {
            continue;
        }
        let value = if *before.get_or_insert(value < 0) { -value } else { value };
        let plural = if value == 1 { "" } else { "s" };
        let _ = write!(out, " {value} {unit}{plural}");
    }
    if parts.has_seconds() {
        out.push(b' ');
        let negative = parts.seconds < 0 || parts.micros < 0;
        if *before.get_or_insert(negative) != negative {
            out.push(b'-');
        }
        parts.write_seconds(1, out);
        let one = parts.seconds.abs() == 1 && parts.micros == 0;
        out.extend_from_slice(if one { b" sec" } else { b" secs" });
    }
    match before {
        None => out.extend_from_slice(b" 0"),
        Some(true) => out.extend_from_slice(b" ago"),
        Some(false) => {}
    }
}
