//! Time zones as Postgres clients name them: IANA names, and fixed offsets in POSIX's notation.

use chrono::{DateTime, NaiveDateTime, Offset, TimeDelta, TimeZone as _, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};

/// A zone of the `TimeZone` setting.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TimeZone {
    Named(Tz),
    /// Seconds east of UTC, and the text that SHOW prints.
    Fixed {
        east_seconds: i32,
        name: String,
    },
}

/// Postgres refuses zones further away than this.
const OFFSET_MAX_SECONDS: i32 = 168 * 3600;

/// Longer than any name that a client could mean.
const NAME_BYTES_MAX: usize = 64;

impl TimeZone {
    pub const UTC: TimeZone = TimeZone::Named(Tz::UTC);

    /// Reads an IANA name in any case, a number of hours (`+02`, `5.5`; east is positive) or a
    /// POSIX zone without daylight saving (`<+02>-02`, `UTC-3`; there, east is negative).
    pub fn parse(text: &str) -> Option<TimeZone> {
        let text = text.trim();
        match hours(text) {
            Some(seconds) => Self::east(seconds),
            None => Self::of_expression(text),
        }
    }

    /// A zone as an expression names it, in AT TIME ZONE and functions: there a bare offset is
    /// POSIX's, so that `'+03'` lies west of UTC.
    pub fn of_expression(text: &str) -> Option<TimeZone> {
        let text = text.trim();
        if let Ok(tz) = text.parse() {
            return Some(Self::Named(tz));
        }
        if let Some(tz) = TZ_VARIANTS.iter().find(|tz| tz.name().eq_ignore_ascii_case(text)) {
            return Some(Self::Named(*tz));
        }
        if text.len() > NAME_BYTES_MAX { None } else { posix(text) }
    }

    /// A fixed offset, named as Postgres names those of `SET TIME ZONE 2`: `<+02>-02`.
    pub fn east(seconds: i32) -> Option<TimeZone> {
        if seconds.abs() > OFFSET_MAX_SECONDS {
            return None;
        }
        let posix = match seconds {
            // As Postgres writes it.
            0 => "-00".to_owned(),
            seconds => offset_text(-seconds),
        };
        let name = format!("<{}>{posix}", offset_text(seconds));
        Some(Self::Fixed { east_seconds: seconds, name })
    }

    /// What SHOW prints, and [`TimeZone::parse`] reads.
    pub fn name(&self) -> &str {
        match self {
            Self::Named(tz) => tz.name(),
            Self::Fixed { name, .. } => name,
        }
    }

    /// Whether its clock is UTC's, by each of its names.
    pub fn is_utc(&self) -> bool {
        matches!(self, Self::Named(Tz::UTC | Tz::Etc__UTC | Tz::UCT | Tz::Etc__UCT | Tz::Zulu))
    }

    /// Whether it is whole hours from UTC, from 1970 on.
    pub fn has_whole_hours(&self) -> bool {
        const MONTH_SECONDS: i64 = 30 * 86_400;
        let months =
            (0..70 * 12).filter_map(|month| DateTime::from_timestamp(month * MONTH_SECONDS, 0));
        let mut offsets = months.map(|at| self.offset_at(at.naive_utc()));
        offsets.all(|seconds| seconds % 3_600 == 0)
    }

    /// Seconds east of UTC at an instant, given in UTC.
    pub fn offset_at(&self, utc: NaiveDateTime) -> i32 {
        match self {
            Self::Named(tz) => tz.offset_from_utc_datetime(&utc).fix().local_minus_utc(),
            Self::Fixed { east_seconds, .. } => *east_seconds,
        }
    }

    /// The wall clock of an instant.
    pub fn wall_clock(&self, instant: DateTime<Utc>) -> NaiveDateTime {
        let utc = instant.naive_utc();
        utc + TimeDelta::seconds(i64::from(self.offset_at(utc)))
    }

    /// The zone's abbreviation at an instant, given in UTC: `CET`, `+03`.
    pub fn abbreviation_at(&self, utc: NaiveDateTime) -> String {
        match self {
            Self::Named(tz) => tz.offset_from_utc_datetime(&utc).to_string(),
            Self::Fixed { east_seconds, .. } => offset_text(*east_seconds),
        }
    }

    /// Seconds east of UTC for a wall clock. As in Postgres, an hour that happens twice is taken
    /// in standard time, and one that is skipped by the offset before the gap.
    pub fn offset_of_local(&self, local: NaiveDateTime) -> i32 {
        let tz = match self {
            Self::Named(tz) => tz,
            Self::Fixed { east_seconds, .. } => return *east_seconds,
        };
        match tz.offset_from_local_datetime(&local) {
            chrono::LocalResult::Single(offset) => offset.fix().local_minus_utc(),
            chrono::LocalResult::Ambiguous(a, b) => {
                a.fix().local_minus_utc().min(b.fix().local_minus_utc())
            }
            chrono::LocalResult::None => {
                let day_before = local - chrono::Duration::days(1);
                tz.offset_from_utc_datetime(&day_before).fix().local_minus_utc()
            }
        }
    }
}

fn hours(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ':')) {
        return None;
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    if digits.contains(':') {
        return clock(digits).map(|seconds| sign * seconds);
    }
    let hours: f64 = digits.parse().ok()?;
    if hours > 168.0 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most 168 hours")]
    Some(sign * (hours * 3600.0).round() as i32)
}

/// `hh`, `hh:mm` or `hh:mm:ss` in seconds.
fn clock(text: &str) -> Option<i32> {
    let mut seconds = 0;
    let mut parts = 0;
    for (part, unit) in text.split(':').zip([3600, 60, 1]) {
        let value: i32 = part.parse().ok().filter(|value| (0..=168).contains(value))?;
        seconds += value * unit;
        parts += 1;
    }
    (parts == text.split(':').count()).then_some(seconds)
}

fn posix(text: &str) -> Option<TimeZone> {
    let offset = match text.strip_prefix('<') {
        Some(rest) => rest.split_once('>')?.1,
        None => {
            let name_ends = text.find(|c: char| !c.is_ascii_alphabetic())?;
            if !matches!(name_ends, 0 | 3..) {
                return None;
            }
            text.get(name_ends..)?
        }
    };
    let west = match offset.strip_prefix('-') {
        Some(rest) => -clock(rest)?,
        None => clock(offset.strip_prefix('+').unwrap_or(offset))?,
    };
    Some(TimeZone::Fixed { east_seconds: -west, name: text.to_owned() })
}

/// An offset as Postgres prints it: `+02`, `-03:30`.
pub(crate) fn offset_text(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let (hours, minutes, rest) =
        (seconds.abs() / 3600, seconds.abs() / 60 % 60, seconds.abs() % 60);
    match (minutes, rest) {
        (0, 0) => format!("{sign}{hours:02}"),
        (_, 0) => format!("{sign}{hours:02}:{minutes:02}"),
        _ => format!("{sign}{hours:02}:{minutes:02}:{rest:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> String {
        TimeZone::parse(text).map(|zone| zone.name().to_owned()).unwrap_or_default()
    }

    #[test]
    fn zones_are_read_as_postgres_reads_them() {
        assert_eq!(named("europe/berlin"), "Europe/Berlin");
        assert_eq!(named("+02"), "<+02>-02");
        assert_eq!(named("-5.5"), "<-05:30>+05:30");
        assert_eq!(named("<+02>-02"), "<+02>-02");
        assert_eq!(named("Mars/Olympus"), "");
        assert_eq!(named(""), "");
        assert_eq!(named("999"), "");
        let posix = TimeZone::parse("GMT-01:00").unwrap();
        assert_eq!(posix.offset_at(NaiveDateTime::default()), 3600);
        let west = TimeZone::of_expression("+03").unwrap();
        assert_eq!(west.offset_at(NaiveDateTime::default()), -3 * 3600);
    }

    #[test]
    fn doubled_and_skipped_hours_of_a_wall_clock() {
        let berlin = TimeZone::parse("Europe/Berlin").unwrap();
        let at = |text: &str| NaiveDateTime::parse_from_str(text, "%F %T").unwrap();
        assert_eq!(berlin.offset_of_local(at("2026-10-25 02:30:00")), 3600);
        assert_eq!(berlin.offset_of_local(at("2026-03-29 02:30:00")), 3600);
        assert_eq!(berlin.offset_of_local(at("2026-07-01 00:00:00")), 7200);
    }
}
