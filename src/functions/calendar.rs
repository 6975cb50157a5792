//! Calendar arithmetic on wall clocks in microseconds since 1970-01-01 00:00.

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveDateTime, Timelike};

pub(super) const SECOND: i64 = 1_000_000;
pub(super) const DAY: i64 = 86_400 * SECOND;

/// A unit of date_trunc and extract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    /// These are fields of extract only.
    Dow,
    IsoDow,
    Doy,
    IsoYear,
    Epoch,
    Julian,
    /// Of the zone UTC, in which timestamptz's fields are taken.
    Timezone,
    TimezoneHour,
    TimezoneMinute,
}

impl Unit {
    /// Source: PostgreSQL's `deltatktbl` in datetime.c: abbreviations and plurals, in any case.
    pub fn parse(text: &str) -> Option<Unit> {
        let text = text.trim();
        // EXTRACT's field may be quoted, and comes with its quotes.
        let text = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).unwrap_or(text);
        Some(match text.to_ascii_lowercase().as_str() {
            "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecon" | "microsecond"
            | "microseconds" => Self::Microsecond,
            "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecon" | "millisecond"
            | "milliseconds" => Self::Millisecond,
            "s" | "sec" | "secs" | "second" | "seconds" => Self::Second,
            "m" | "min" | "mins" | "minute" | "minutes" => Self::Minute,
            "h" | "hr" | "hrs" | "hour" | "hours" => Self::Hour,
            "d" | "day" | "days" => Self::Day,
            "w" | "week" | "weeks" => Self::Week,
            "mon" | "mons" | "month" | "months" => Self::Month,
            "qtr" | "quarter" => Self::Quarter,
            "y" | "yr" | "yrs" | "year" | "years" => Self::Year,
            "dec" | "decs" | "decade" | "decades" => Self::Decade,
            "c" | "cent" | "century" | "centuries" => Self::Century,
            "mil" | "mils" | "millennia" | "millennium" => Self::Millennium,
            "dow" => Self::Dow,
            "isodow" => Self::IsoDow,
            "doy" => Self::Doy,
            "isoyear" => Self::IsoYear,
            "epoch" => Self::Epoch,
            "j" | "jd" | "julian" => Self::Julian,
            "timezone" => Self::Timezone,
            "timezone_h" | "timezone_hour" => Self::TimezoneHour,
            "timezone_m" | "timezone_minute" => Self::TimezoneMinute,
            _ => return None,
        })
    }

    /// As date_trunc and extract take it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Microsecond => "microsecond",
            Self::Millisecond => "millisecond",
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
            Self::Decade => "decade",
            Self::Century => "century",
            Self::Millennium => "millennium",
            Self::Dow => "dow",
            Self::IsoDow => "isodow",
            Self::Doy => "doy",
            Self::IsoYear => "isoyear",
            Self::Epoch => "epoch",
            Self::Julian => "julian",
            Self::Timezone => "timezone",
            Self::TimezoneHour => "timezone_hour",
            Self::TimezoneMinute => "timezone_minute",
        }
    }

    /// Whether date_trunc knows it.
    pub fn truncates(self) -> bool {
        self <= Self::Millennium
    }

    /// The digits behind the point of extract's result.
    pub fn scale(self, of_date: bool) -> i8 {
        match self {
            Self::Second => 6,
            Self::Epoch if !of_date => 6,
            Self::Millisecond => 3,
            Self::Julian if !of_date => 20,
            _ => 0,
        }
    }

    /// Whether a date has this field.
    pub fn in_dates(self) -> bool {
        self >= Self::Day
            && !matches!(self, Self::Timezone | Self::TimezoneHour | Self::TimezoneMinute)
    }
}

/// A moment so many units later, or in a month that is too short for its day, that month's last.
/// None beyond what a timestamp holds.
pub(super) fn later(unit: Unit, micros: i64, count: i64) -> Option<i64> {
    let fixed = match unit {
        Unit::Second => SECOND,
        Unit::Minute => 60 * SECOND,
        Unit::Hour => 3_600 * SECOND,
        Unit::Day => DAY,
        Unit::Week => 7 * DAY,
        Unit::Month => return months_later(micros, count),
        Unit::Quarter => return months_later(micros, count.checked_mul(3)?),
        Unit::Year => return months_later(micros, count.checked_mul(12)?),
        _ => return None,
    };
    micros.checked_add(fixed.checked_mul(count)?)
}

fn months_later(micros: i64, count: i64) -> Option<i64> {
    let months = Months::new(u32::try_from(count.unsigned_abs()).ok()?);
    let moment = moment_of(micros)?;
    let moved = match count {
        0.. => moment.checked_add_months(months),
        _ => moment.checked_sub_months(months),
    };
    Some(moved?.and_utc().timestamp_micros())
}

/// The beginning of the unit that a moment is in. None beyond what a timestamp holds.
pub(super) fn truncated(unit: Unit, micros: i64) -> Option<i64> {
    let fixed = match unit {
        Unit::Microsecond => 1,
        Unit::Millisecond => 1_000,
        Unit::Second => SECOND,
        Unit::Minute => 60 * SECOND,
        Unit::Hour => 3_600 * SECOND,
        Unit::Day => DAY,
        _ => return truncated_date(unit, micros),
    };
    micros.checked_sub(micros.rem_euclid(fixed))
}

fn truncated_date(unit: Unit, micros: i64) -> Option<i64> {
    let date = date_of(micros)?;
    let year = date.year();
    // Centuries and millennia begin with the year 1, decades with 0.
    let first = |length: i32, offset: i32| (year - offset).div_euclid(length) * length + offset;
    let (year, month) = match unit {
        Unit::Week => {
            let days = i64::from(date.weekday().num_days_from_monday());
            return (i64::from(date.to_epoch_days()) - days).checked_mul(DAY);
        }
        Unit::Month => (year, date.month()),
        Unit::Quarter => (year, date.month0() / 3 * 3 + 1),
        Unit::Year => (year, 1),
        Unit::Decade => (first(10, 0), 1),
        Unit::Century => (first(100, 1), 1),
        Unit::Millennium => (first(1000, 1), 1),
        _ => return None,
    };
    let begin = NaiveDate::from_ymd_opt(year, month, 1)?;
    i64::from(begin.to_epoch_days()).checked_mul(DAY)
}

/// A number for the second, minute, hour, day, week, month, quarter or year that a moment is in: one
/// more for the next.
pub(super) fn period_number(unit: Unit, micros: i64) -> Option<i64> {
    match unit {
        Unit::Second => return Some(micros.div_euclid(SECOND)),
        Unit::Minute => return Some(micros.div_euclid(60 * SECOND)),
        Unit::Hour => return Some(micros.div_euclid(3_600 * SECOND)),
        _ => {}
    }
    let date = date_of(micros)?;
    let months = i64::from(date.year()) * 12 + i64::from(date.month0());
    let day = i64::from(date.to_epoch_days());
    match unit {
        Unit::Day => Some(day),
        // 1970-01-01 was a Thursday.
        Unit::Week => Some((day + 3).div_euclid(7)),
        Unit::Month => Some(months),
        Unit::Quarter => Some(months.div_euclid(3)),
        Unit::Year => Some(months.div_euclid(12)),
        _ => None,
    }
}

/// The beginning of the next unit after one that begins at `micros`.
pub(super) fn next(unit: Unit, micros: i64) -> Option<i64> {
    let date = date_of(micros)?;
    let months = match unit {
        Unit::Month => 1,
        Unit::Quarter => 3,
        Unit::Year => 12,
        Unit::Decade => 120,
        Unit::Century => 1_200,
        Unit::Millennium => 12_000,
        Unit::Week => return micros.checked_add(7 * DAY),
        Unit::Day => return micros.checked_add(DAY),
        Unit::Hour => return micros.checked_add(3_600 * SECOND),
        Unit::Minute => return micros.checked_add(60 * SECOND),
        Unit::Second => return micros.checked_add(SECOND),
        Unit::Millisecond => return micros.checked_add(1_000),
        Unit::Microsecond => return micros.checked_add(1),
        _ => return None,
    };
    let begin = date.checked_add_months(chrono::Months::new(months))?;
    i64::from(begin.to_epoch_days()).checked_mul(DAY)
}

/// A field of a moment, in units of ten to the power of minus its scale.
pub(super) fn field(unit: Unit, micros: i64, of_date: bool) -> Option<i64> {
    let moment = moment_of(micros)?;
    let in_minute = micros.rem_euclid(60 * SECOND);
    Some(match unit {
        Unit::Microsecond | Unit::Millisecond | Unit::Second => in_minute,
        Unit::Minute => i64::from(moment.minute()),
        Unit::Hour => i64::from(moment.hour()),
        Unit::Day => i64::from(moment.day()),
        Unit::Week => i64::from(moment.iso_week().week()),
        Unit::Month => i64::from(moment.month()),
        Unit::Quarter => i64::from(moment.month0() / 3 + 1),
        Unit::Year => i64::from(moment.year()),
        Unit::Decade => i64::from(moment.year().div_euclid(10)),
        Unit::Century => i64::from((moment.year() - 1).div_euclid(100) + 1),
        Unit::Millennium => i64::from((moment.year() - 1).div_euclid(1000) + 1),
        Unit::Dow => i64::from(moment.weekday().num_days_from_sunday()),
        Unit::IsoDow => i64::from(moment.weekday().number_from_monday()),
        Unit::Doy => i64::from(moment.ordinal()),
        Unit::IsoYear => i64::from(moment.iso_week().year()),
        Unit::Timezone | Unit::TimezoneHour | Unit::TimezoneMinute => 0,
        Unit::Julian => micros.div_euclid(DAY) + JULIAN_1970,
        Unit::Epoch if of_date => micros.div_euclid(SECOND),
        Unit::Epoch => micros,
    })
}

/// The Julian day of 1970-01-01.
const JULIAN_1970: i64 = 2_440_588;

/// The Julian date: of a date a whole number, of a moment with twenty digits behind the point.
pub(super) fn julian(micros: i64, of_date: bool) -> Option<i128> {
    let day = i128::from(micros.div_euclid(DAY) + JULIAN_1970);
    if of_date {
        return Some(day);
    }
    let unit = 10_i128.pow(20);
    let fraction = i128::from(micros.rem_euclid(DAY)) * unit;
    let rounded = (fraction + i128::from(DAY / 2)) / i128::from(DAY);
    Some(day * unit + rounded)
}

/// The same field as float8, computed as Postgres's date_part does.
pub(super) fn float_field(unit: Unit, micros: i64) -> Option<f64> {
    // Fields are small; only the epoch needs more than 53 bits, and there Postgres rounds too.
    #[allow(clippy::cast_precision_loss)]
    let value = field(unit, micros, false)? as f64;
    #[allow(clippy::cast_precision_loss)]
    let in_minute = |micros: i64| ((micros / SECOND) as f64, (micros % SECOND) as f64);
    Some(match unit {
        Unit::Second => {
            let (seconds, fraction) = in_minute(micros.rem_euclid(60 * SECOND));
            seconds + fraction / 1e6
        }
        Unit::Millisecond => {
            let (seconds, fraction) = in_minute(micros.rem_euclid(60 * SECOND));
            seconds * 1e3 + fraction / 1e3
        }
        Unit::Epoch => value / 1e6,
        #[allow(clippy::cast_precision_loss)]
        Unit::Julian => value + micros.rem_euclid(DAY) as f64 / DAY as f64,
        _ => value,
    })
}

pub(super) fn moment_of(micros: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros).map(|moment| moment.naive_utc())
}

pub(super) fn date_of(micros: i64) -> Option<NaiveDate> {
    moment_of(micros).map(|moment| moment.date())
}

/// A time of day as Postgres prints it, or hours beyond a day.
pub(super) fn clock_text(micros: u64) -> String {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if fraction > 0 {
        text.push_str(format!(".{fraction:06}").trim_end_matches('0'));
    }
    text
}

/// A date as Postgres prints it.
pub(super) fn date_text(days: i32) -> Option<String> {
    match days {
        i32::MAX => return Some("infinity".to_owned()),
        i32::MIN => return Some("-infinity".to_owned()),
        _ => {}
    }
    let date = NaiveDate::from_epoch_days(days)?;
    let (year, era) = if date.year() > 0 { (date.year(), "") } else { (1 - date.year(), " BC") };
    Some(format!("{year:04}-{:02}-{:02}{era}", date.month(), date.day()))
}

/// A wall clock as Postgres prints it: no fraction where there is none, no trailing zeros in one.
pub(super) fn timestamp_text(micros: i64) -> Option<String> {
    match micros {
        i64::MAX => return Some("infinity".to_owned()),
        i64::MIN => return Some("-infinity".to_owned()),
        _ => {}
    }
    let moment = moment_of(micros)?;
    let mut text = if moment.year() > 0 {
        moment.format("%Y-%m-%d %H:%M:%S").to_string()
    } else {
        let year = 1 - moment.year();
        format!("{year:04}{}", moment.format("-%m-%d %H:%M:%S"))
    };
    let fraction = micros.rem_euclid(SECOND);
    if fraction > 0 {
        let digits = format!("{fraction:06}");
        text.push('.');
        text.push_str(digits.trim_end_matches('0'));
    }
    if moment.year() <= 0 {
        text.push_str(" BC");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<NaiveDateTime>().unwrap().and_utc().timestamp_micros()
    }

    #[test]
    fn units_begin_where_postgres_says() {
        let moment = at("1960-05-17T13:14:15.678901");
        let cases = [
            (Unit::Millisecond, "1960-05-17T13:14:15.678"),
            (Unit::Second, "1960-05-17T13:14:15"),
            (Unit::Hour, "1960-05-17T13:00:00"),
            (Unit::Week, "1960-05-16T00:00:00"),
            (Unit::Quarter, "1960-04-01T00:00:00"),
            (Unit::Decade, "1960-01-01T00:00:00"),
            (Unit::Century, "1901-01-01T00:00:00"),
            (Unit::Millennium, "1001-01-01T00:00:00"),
        ];
        for (unit, begin) in cases {
            assert_eq!(truncated(unit, moment), Some(at(begin)), "{unit:?}");
            let after = next(unit, at(begin)).unwrap();
            assert_eq!(truncated(unit, after), Some(after), "{unit:?}");
            assert_eq!(truncated(unit, after - 1), Some(at(begin)), "{unit:?}");
        }
        assert_eq!(
            truncated(Unit::Century, at("2000-06-01T00:00:00")),
            Some(at("1901-01-01T00:00:00"))
        );
    }

    #[test]
    fn texts_drop_trailing_zeros() {
        assert_eq!(timestamp_text(at("2026-01-31T23:00:00")).unwrap(), "2026-01-31 23:00:00");
        assert_eq!(timestamp_text(at("1960-01-31T23:00:00.5")).unwrap(), "1960-01-31 23:00:00.5");
        assert_eq!(timestamp_text(-62_167_219_200_000_000).unwrap(), "0001-01-01 00:00:00 BC");
    }
}
