//! Intervals, as texts say them.

use datafusion::arrow::datatypes::IntervalMonthDayNano;

use super::{Read, clock, invalid};

/// Postgres's verbose notation (`1 year 2 mons -3 days 04:05:06.7`), with `ago` and ISO 8601.
pub(super) fn interval(text: &str) -> Read<IntervalMonthDayNano> {
    read_interval(text.trim()).ok_or_else(|| invalid("interval", text))
}

/// The text of an interval of some fields: `'1:30' MINUTE TO SECOND`. A number without a unit counts the
/// last field; what is smaller than that is cut off. Seconds are rounded to `digits`.
///
/// Source: PostgreSQL 15, `DecodeInterval` and `AdjustIntervalForTypmod`.
pub(crate) fn qualified_interval(
    text: &str,
    first: Option<&str>,
    last: Option<&str>,
    digits: Option<u64>,
) -> Read<IntervalMonthDayNano> {
    let last = last.or(first).unwrap_or("SECOND");
    let words: Vec<&str> = text.split_whitespace().collect();
    let read = match (words.as_slice(), first, last) {
        ([days, hours], Some("DAY"), "HOUR") if is_bare(days) && is_bare(hours) => {
            interval(&format!("{days} days {hours} hours"))
        }
        ([time], Some("MINUTE"), "SECOND") if time.matches(':').count() == 1 => {
            let (sign, time) = match time.strip_prefix('-') {
                Some(time) => ("-", time),
                None => ("", *time),
            };
            interval(&format!("{sign}00:{time}"))
        }
        ([number], Some(_), last) if is_bare(number) => interval(&format!("{number} {last}")),
        _ => interval(text),
    }?;
    Ok(rounded(cut(read, last), digits))
}

fn is_bare(word: &str) -> bool {
    let digits = word.trim_start_matches(['+', '-']);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

fn cut(whole: IntervalMonthDayNano, last: &str) -> IntervalMonthDayNano {
    let IntervalMonthDayNano { months, days, nanoseconds } = whole;
    let to = |unit: i64| nanoseconds / unit * unit;
    match last {
        "YEAR" => IntervalMonthDayNano::new(months / 12 * 12, 0, 0),
        "MONTH" => IntervalMonthDayNano::new(months, 0, 0),
        "DAY" => IntervalMonthDayNano::new(months, days, 0),
        "HOUR" => IntervalMonthDayNano::new(months, days, to(3_600_000_000_000)),
        "MINUTE" => IntervalMonthDayNano::new(months, days, to(60_000_000_000)),
        _ => whole,
    }
}

fn rounded(whole: IntervalMonthDayNano, digits: Option<u64>) -> IntervalMonthDayNano {
    let Some(fewer) = digits.and_then(|digits| 9_u64.checked_sub(digits.min(6))) else {
        return whole;
    };
    let unit = 10_i64.pow(u32::try_from(fewer).unwrap_or_default());
    let nanos = whole.nanoseconds;
    let half = if nanos < 0 { -unit / 2 } else { unit / 2 };
    let nanos = nanos.saturating_add(half) / unit * unit;
    IntervalMonthDayNano::new(whole.months, whole.days, nanos)
}

/// `-1-2`: years and months, in SQL's own notation.
fn years_and_months(word: &str) -> Option<f64> {
    let (sign, word) = match word.strip_prefix('-') {
        Some(word) => (-1.0, word),
        None => (1.0, word.strip_prefix('+').unwrap_or(word)),
    };
    let (years, months) = word.split_once('-')?;
    let (years, months): (u32, u32) = (years.parse().ok()?, months.parse().ok()?);
    (months < 12).then(|| sign * (f64::from(years) * 12.0 + f64::from(months)))
}

fn read_interval(text: &str) -> Option<IntervalMonthDayNano> {
    if text.starts_with('P') {
        return iso_interval(text);
    }
    let mut total = Parts::default();
    let words = numbers_apart(text);
    let mut words = words.iter().map(String::as_str).peekable();
    words.peek()?;
    while let Some(word) = words.next() {
        if word == "@" {
            continue;
        }
        if word.eq_ignore_ascii_case("ago") {
            return if words.next().is_none() { total.scaled(-1.0).finish() } else { None };
        }
        if word.contains(':') {
            let (sign, time) = match word.strip_prefix('-') {
                Some(time) => (-1, time),
                None => (1, word.strip_prefix('+').unwrap_or(word)),
            };
            total.nanos += (sign * long_clock(time)?) as f64 * 1_000.0;
            continue;
        }
        if let Some(months) = years_and_months(word) {
            total.months += months;
            continue;
        }
        let number: f64 = word.parse().ok()?;
        // Before a time of day it counts days.
        if words.peek().is_some_and(|next| next.contains(':')) {
            total.add(number, "day")?;
            continue;
        }
        match words.next() {
            Some(unit) => total.add(number, unit)?,
            // A number alone counts seconds.
            None => total.add(number, "second")?,
        }
    }
    total.finish()
}

/// Splits `1day` and `2 hours` alike into numbers and words.
fn numbers_apart(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let unit_starts = word.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(word.len());
        let (number, unit) = word.split_at(unit_starts);
        // `1 month - 1 day`: the sign belongs to the number behind it.
        if let Some(sign) = words.pop_if(|last| matches!(last.as_str(), "-" | "+")) {
            words.push(sign + number);
            words.extend((!unit.is_empty()).then(|| unit.to_owned()));
            continue;
        }
        words.extend([number, unit].into_iter().filter(|w| !w.is_empty()).map(str::to_owned));
    }
    words
}

/// As [`clock`], for hours beyond a day.
fn long_clock(text: &str) -> Option<i64> {
    let (hours, rest) = text.split_once(':')?;
    let hours: i64 = hours.parse().ok().filter(|hours| (0..=100_000_000).contains(hours))?;
    Some(hours * 3_600_000_000 + clock(&format!("00:{rest}")).ok()?)
}

fn iso_interval(text: &str) -> Option<IntervalMonthDayNano> {
    let (date, time) = text.strip_prefix('P')?.split_once('T').unwrap_or((text.get(1..)?, ""));
    if date.is_empty() && time.is_empty() {
        return None;
    }
    let mut total = Parts::default();
    for (mut rest, in_time) in [(date, false), (time, true)] {
        while !rest.is_empty() {
            let unit_at = rest.find(|c: char| c.is_ascii_alphabetic())?;
            let number: f64 = rest.get(..unit_at)?.parse().ok()?;
            let unit = match (rest.get(unit_at..=unit_at)?, in_time) {
                ("Y", false) => "year",
                ("M", false) => "month",
                ("W", false) => "week",
                ("D", false) => "day",
                ("H", true) => "hour",
                ("M", true) => "minute",
                ("S", true) => "second",
                _ => return None,
            };
            total.add(number, unit)?;
            rest = rest.get(unit_at + 1..)?;
        }
    }
    total.finish()
}

#[derive(Default)]
struct Parts {
    months: f64,
    days: f64,
    nanos: f64,
}

impl Parts {
    /// Fractions of a unit go down to the next: half a month is 15 days.
    fn add(&mut self, number: f64, unit: &str) -> Option<()> {
        const SECOND: f64 = 1e9;
        let unit = unit.to_ascii_lowercase();
        let singular = if unit == "ms" { "millisecond" } else { unit.trim_end_matches('s') };
        match singular {
            "year" | "yr" | "y" => self.add_months(number * 12.0),
            "decade" => self.add_months(number * 120.0),
            "century" | "centurie" => self.add_months(number * 1_200.0),
            "month" | "mon" => self.add_months(number),
            "week" | "w" => self.add_days(number * 7.0),
            "day" | "d" => self.add_days(number),
            "hour" | "hr" | "h" => self.nanos += number * 3_600.0 * SECOND,
            "minute" | "min" | "m" => self.nanos += number * 60.0 * SECOND,
            "second" | "sec" | "" => self.nanos += number * SECOND,
            "millisecond" | "msec" => self.nanos += number * 1e6,
            "microsecond" | "usec" | "u" => self.nanos += number * 1e3,
            _ => return None,
        }
        Some(())
    }

    fn add_months(&mut self, months: f64) {
        self.months += months.trunc();
        self.add_days(months.fract() * 30.0);
    }

    fn add_days(&mut self, days: f64) {
        self.days += days.trunc();
        self.nanos += days.fract() * 86_400e9;
    }

    fn scaled(self, factor: f64) -> Self {
        Self { months: self.months * factor, days: self.days * factor, nanos: self.nanos * factor }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the bounds are checked")]
    fn finish(self) -> Option<IntervalMonthDayNano> {
        let fits = self.months.abs() <= f64::from(i32::MAX)
            && self.days.abs() <= f64::from(i32::MAX)
            && self.nanos.abs() < 9.2e18;
        // Microseconds are what Postgres keeps.
        let micros = (self.nanos / 1e3).round() as i64;
        fits.then(|| {
            IntervalMonthDayNano::new(self.months as i32, self.days as i32, micros * 1_000)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals() {
        let parts = |text: &str| interval(text).map(|i| (i.months, i.days, i.nanoseconds)).unwrap();
        assert_eq!(parts("1 year 2 mons -3 days 04:05:06.7"), (14, -3, 14_706_700_000_000));
        assert_eq!(parts("1day 2h"), (0, 1, 7_200_000_000_000));
        assert_eq!(parts("1.5 months"), (1, 15, 0));
        assert_eq!(parts("P1Y2M3DT4H5M6S"), (14, 3, 14_706_000_000_000));
        assert_eq!(parts("2 days ago"), (0, -2, 0));
        assert_eq!(parts("-90 month"), (-90, 0, 0));
        assert_eq!(parts("15 MINUTES"), (0, 0, 900_000_000_000));
        assert_eq!(parts("500 ms"), (0, 0, 500_000_000));
        assert_eq!(parts("30"), (0, 0, 30_000_000_000));
        assert_eq!(parts("1-2"), (14, 0, 0));
        assert_eq!(parts("-1-2 3 4:00"), (-14, 3, 14_400_000_000_000));
        assert!(interval("1-12").is_err());
        assert!(interval("soon").is_err());
        assert!(interval("").is_err());
    }

    #[test]
    fn intervals_of_fields() {
        let parts = |text: &str, first, last, digits| {
            let read = qualified_interval(text, first, last, digits).unwrap();
            (read.months, read.days, read.nanoseconds / 1_000)
        };
        let (hour, minute, second) = (3_600_000_000, 60_000_000, 1_000_000);
        assert_eq!(parts("1.5", Some("HOUR"), None, None), (0, 0, hour));
        assert_eq!(parts("-1.5", Some("YEAR"), None, None), (-12, 0, 0));
        assert_eq!(parts("1 2", Some("DAY"), Some("HOUR"), None), (0, 1, 2 * hour));
        assert_eq!(parts("1:30", Some("HOUR"), Some("MINUTE"), None), (0, 0, hour + 30 * minute));
        assert_eq!(
            parts("1:30", Some("MINUTE"), Some("SECOND"), None),
            (0, 0, minute + 30 * second)
        );
        assert_eq!(parts("1-2", Some("YEAR"), Some("MONTH"), None), (14, 0, 0));
        assert_eq!(
            parts("1 day 2:03:04", Some("DAY"), Some("MINUTE"), None),
            (0, 1, 2 * hour + 3 * minute)
        );
        assert_eq!(parts("1.6 sec", None, None, Some(0)), (0, 0, 2 * second));
        assert_eq!(parts("-1.55 sec", Some("SECOND"), None, Some(1)), (0, 0, -1_600_000));
    }
}
