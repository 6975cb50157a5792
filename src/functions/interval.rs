//! Intervals as Postgres has them: months, days and microseconds, none of which is carried into
//! another unless it is asked for.
//!
//! Source: PostgreSQL 15 `src/backend/utils/adt/timestamp.c`.

use datafusion::arrow::datatypes::IntervalMonthDayNano;

use super::calendar::{self, DAY, SECOND, Unit};
use super::error::FunctionError;

type Result<T> = std::result::Result<T, FunctionError>;

/// A span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Interval {
    pub(crate) months: i32,
    pub(crate) days: i32,
    pub(crate) micros: i64,
}

const HOUR: i64 = 3_600 * SECOND;
const MINUTE: i64 = 60 * SECOND;
const MONTH_DAYS: i32 = 30;

pub(super) fn out_of_range() -> FunctionError {
    FunctionError::new("22008", "interval out of range")
}

impl From<IntervalMonthDayNano> for Interval {
    fn from(value: IntervalMonthDayNano) -> Self {
        Self { months: value.months, days: value.days, micros: value.nanoseconds / 1_000 }
    }
}

impl Interval {
    /// As Arrow holds it.
    pub(crate) fn to_arrow(self) -> Result<IntervalMonthDayNano> {
        let nanos = self.micros.checked_mul(1_000).ok_or_else(out_of_range)?;
        Ok(IntervalMonthDayNano::new(self.months, self.days, nanos))
    }

    /// The difference of two moments: days of 24 hours and the rest.
    pub(crate) fn between(from: i64, to: i64) -> Result<Self> {
        let micros = to.checked_sub(from).ok_or_else(out_of_range)?;
        let days = i32::try_from(micros / DAY).map_err(|_| out_of_range())?;
        Ok(Self { months: 0, days, micros: micros % DAY })
    }

    /// `age(to, from)`: years, months and days as a calendar counts them.
    pub(crate) fn age(to: i64, from: i64) -> Result<Self> {
        let (later, earlier, sign) = if to < from { (from, to, -1) } else { (to, from, 1) };
        let parts = |micros: i64| {
            let date = calendar::date_of(micros).ok_or_else(out_of_range)?;
            Ok::<_, FunctionError>((date, micros.rem_euclid(DAY)))
        };
        use chrono::Datelike;
        let ((a, a_time), (b, b_time)) = (parts(later)?, parts(earlier)?);
        let mut micros = a_time - b_time;
        let mut days = i64::from(a.day()) - i64::from(b.day());
        let mut months = (i64::from(a.year()) - i64::from(b.year())) * 12 + i64::from(a.month())
            - i64::from(b.month());
        while micros < 0 {
            micros += DAY;
            days -= 1;
        }
        while days < 0 {
            days += i64::from(b.num_days_in_month());
            months -= 1;
        }
        let narrow = |value: i64| i32::try_from(sign * value).map_err(|_| out_of_range());
        Ok(Self { months: narrow(months)?, days: narrow(days)?, micros: sign * micros })
    }

    pub(crate) fn negated(self) -> Result<Self> {
        Ok(Self {
            months: self.months.checked_neg().ok_or_else(out_of_range)?,
            days: self.days.checked_neg().ok_or_else(out_of_range)?,
            micros: self.micros.checked_neg().ok_or_else(out_of_range)?,
        })
    }

    pub(crate) fn times(self, factor: f64) -> Result<Self> {
        self.scaled(|part| part * factor)
    }

    pub(crate) fn divided(self, divisor: f64) -> Result<Self> {
        if divisor == 0.0 {
            return Err(FunctionError::new("22012", "division by zero"));
        }
        self.scaled(|part| part / divisor)
    }

    /// Fractions of months become days of 30 a month, fractions of days time.
    #[expect(clippy::cast_possible_truncation, reason = "the bounds are checked")]
    #[expect(clippy::cast_precision_loss, reason = "as Postgres computes it")]
    fn scaled(self, scale: impl Fn(f64) -> f64) -> Result<Self> {
        let narrow = |value: f64| {
            let fits = (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&value);
            if fits { Ok(value as i32) } else { Err(out_of_range()) }
        };
        let to_micros = |seconds: f64| (seconds * 1e6).round_ties_even() / 1e6;
        let (months_exact, days_exact) = (scale(self.months.into()), scale(self.days.into()));
        let (months, days) = (narrow(months_exact.trunc())?, narrow(days_exact.trunc())?);
        let mut month_days = to_micros((months_exact - f64::from(months)) * f64::from(MONTH_DAYS));
        let day_rest = days_exact - f64::from(days) + month_days - month_days.trunc();
        let mut seconds = to_micros(day_rest * 86_400.0);
        // Rounding may have made a whole day of it.
        if seconds.abs() >= 86_400.0 {
            let whole = (seconds / 86_400.0).trunc();
            month_days += whole;
            seconds -= whole * 86_400.0;
        }
        let days = days.checked_add(narrow(month_days.trunc())?).ok_or_else(out_of_range)?;
        let micros = (scale(self.micros as f64) + seconds * 1e6).round_ties_even();
        if !micros.is_finite() || micros.abs() >= 9.2e18 {
            return Err(out_of_range());
        }
        Ok(Self { months, days, micros: micros as i64 })
    }

    /// `justify_hours`: 24 hours are a day.
    pub(crate) fn justified_hours(self) -> Result<Self> {
        let whole = i32::try_from(self.micros / DAY).map_err(|_| out_of_range())?;
        let mut days = self.days.checked_add(whole).ok_or_else(out_of_range)?;
        let mut micros = self.micros % DAY;
        if days > 0 && micros < 0 {
            micros += DAY;
            days -= 1;
        } else if days < 0 && micros > 0 {
            micros -= DAY;
            days += 1;
        }
        Ok(Self { months: self.months, days, micros })
    }

    /// `justify_days`: 30 days are a month.
    pub(crate) fn justified_days(self) -> Result<Self> {
        let whole = self.days / MONTH_DAYS;
        let mut months = self.months.checked_add(whole).ok_or_else(out_of_range)?;
        let mut days = self.days % MONTH_DAYS;
        if months > 0 && days < 0 {
            days += MONTH_DAYS;
            months -= 1;
        } else if months < 0 && days > 0 {
            days -= MONTH_DAYS;
            months += 1;
        }
        Ok(Self { months, days, micros: self.micros })
    }

    /// `justify_interval`: both, and all parts of one sign.
    pub(crate) fn justified(self) -> Result<Self> {
        let whole = i32::try_from(self.micros / DAY).map_err(|_| out_of_range())?;
        let mut days = self.days.checked_add(whole).ok_or_else(out_of_range)?;
        let mut micros = self.micros % DAY;
        let mut months = self.months.checked_add(days / MONTH_DAYS).ok_or_else(out_of_range)?;
        days %= MONTH_DAYS;
        if months > 0 && (days < 0 || (days == 0 && micros < 0)) {
            days += MONTH_DAYS;
            months -= 1;
        } else if months < 0 && (days > 0 || (days == 0 && micros > 0)) {
            days -= MONTH_DAYS;
            months += 1;
        }
        if days > 0 && micros < 0 {
            micros += DAY;
            days -= 1;
        } else if days < 0 && micros > 0 {
            micros -= DAY;
            days += 1;
        }
        Ok(Self { months, days, micros })
    }

    /// What intervals are compared by: a month has 30 days of 24 hours.
    pub(crate) fn order(self) -> i128 {
        let days = i128::from(self.months) * i128::from(MONTH_DAYS) + i128::from(self.days);
        days * i128::from(DAY) + i128::from(self.micros)
    }

    /// The difference of moments that has this [`Self::order`].
    pub(crate) fn of_order(order: i128) -> Result<Self> {
        Self::between(0, i64::try_from(order).map_err(|_| out_of_range())?)
    }

    /// A text whose order is that of intervals, and from which the interval can be read again.
    pub(crate) fn key(self) -> String {
        // Biased, so that none is negative: as digits they are then in the order of the numbers.
        let Self { months, days, micros } = self;
        let order = (1_u128 << 127).wrapping_add_signed(self.order());
        let (months, days) = (months.cast_unsigned(), days.cast_unsigned());
        format!("{order:032x}{months:08x}{days:08x}{:016x}", micros.cast_unsigned())
    }

    /// The interval of a [`Self::key`].
    pub(crate) fn of_key(key: &str) -> Result<Self> {
        let part = |range: std::ops::Range<usize>| {
            let digits = key.get(range).unwrap_or_default();
            u64::from_str_radix(digits, 16).map_err(|_| out_of_range())
        };
        let narrow = |part: u64| u32::try_from(part).map_err(|_| out_of_range());
        Ok(Self {
            months: narrow(part(32..40)?)?.cast_signed(),
            days: narrow(part(40..48)?)?.cast_signed(),
            micros: part(48..64)?.cast_signed(),
        })
    }

    /// What lies a share of the way from here to another, as `percentile_cont` takes it.
    ///
    /// Source: PostgreSQL `src/backend/utils/adt/orderedsetaggs.c`, `interval_lerp`.
    pub(crate) fn towards(self, other: Self, share: f64) -> Result<Self> {
        self.plus(other.plus(self.negated()?)?.times(share)?)
    }

    fn plus(self, other: Self) -> Result<Self> {
        Ok(Self {
            months: self.months.checked_add(other.months).ok_or_else(out_of_range)?,
            days: self.days.checked_add(other.days).ok_or_else(out_of_range)?,
            micros: self.micros.checked_add(other.micros).ok_or_else(out_of_range)?,
        })
    }

    /// `date_trunc(unit, interval)`.
    pub(crate) fn truncated(self, unit: Unit) -> Result<Self> {
        let months = |by: i32| Self { months: self.months / by * by, days: 0, micros: 0 };
        let micros = |by: i64| Self { micros: self.micros / by * by, ..self };
        Ok(match unit {
            Unit::Millennium => months(12_000),
            Unit::Century => months(1_200),
            Unit::Decade => months(120),
            Unit::Year => months(12),
            Unit::Quarter => months(3),
            Unit::Month => months(1),
            Unit::Day => Self { micros: 0, ..self },
            Unit::Hour => micros(HOUR),
            Unit::Minute => micros(MINUTE),
            Unit::Second => micros(SECOND),
            Unit::Millisecond => micros(1_000),
            Unit::Microsecond => self,
            Unit::Week => {
                return Err(FunctionError::new(
                    "0A000",
                    "unit \"week\" not supported for type interval",
                )
                .with_hint("Months usually have fractional weeks."));
            }
            _ => {
                let message = "interval units are not recognized";
                return Err(FunctionError::argument(message));
            }
        })
    }

    /// A field in units of ten to the power of minus [`Unit::scale`].
    pub(crate) fn field(self, unit: Unit) -> Option<i64> {
        let (years, months) = (i64::from(self.months / 12), i64::from(self.months % 12));
        Some(match unit {
            Unit::Millennium => years / 1_000,
            Unit::Century => years / 100,
            Unit::Decade => years / 10,
            Unit::Year => years,
            Unit::Quarter => months / 3 + 1,
            Unit::Month => months,
            Unit::Day => self.days.into(),
            Unit::Hour => self.micros / HOUR,
            Unit::Minute => self.micros % HOUR / MINUTE,
            Unit::Second | Unit::Millisecond | Unit::Microsecond => self.micros % MINUTE,
            // A year has 365.25 days, a month 30.
            Unit::Epoch => {
                let days = months * 30 + i64::from(self.days);
                let of_years = years.checked_mul(31_557_600)?.checked_mul(SECOND)?;
                of_years.checked_add(days.checked_mul(DAY)?)?.checked_add(self.micros)?
            }
            _ => return None,
        })
    }

    /// `1 year 2 mons -3 days +04:05:06.7`.
    ///
    /// Source: PostgreSQL `src/backend/utils/adt/datetime.c`, `EncodeInterval`.
    pub(crate) fn text(self) -> String {
        let mut text = String::new();
        let mut after_negative = false;
        for (value, unit) in
            [(self.months / 12, "year"), (self.months % 12, "mon"), (self.days, "day")]
        {
            if value == 0 {
                continue;
            }
            let space = if text.is_empty() { "" } else { " " };
            let plus = if after_negative && value > 0 { "+" } else { "" };
            let plural = if value == 1 { "" } else { "s" };
            text.push_str(&format!("{space}{plus}{value} {unit}{plural}"));
            after_negative = value < 0;
        }
        if self.micros == 0 && !text.is_empty() {
            return text;
        }
        if !text.is_empty() {
            text.push(' ');
        }
        match (self.micros < 0, after_negative) {
            (true, _) => text.push('-'),
            (false, true) => text.push('+'),
            (false, false) => {}
        }
        text.push_str(&calendar::clock_text(self.micros.unsigned_abs()));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<chrono::NaiveDateTime>().unwrap().and_utc().timestamp_micros()
    }

    #[test]
    fn ages_are_symbolic() {
        let age = |to, from| Interval::age(at(to), at(from)).unwrap().text();
        assert_eq!(age("2026-03-31T00:00:00", "2026-02-28T00:00:00"), "1 mon 3 days");
        assert_eq!(age("2026-03-01T00:00:00", "2026-01-31T00:00:00"), "1 mon 1 day");
        assert_eq!(age("2026-02-28T00:00:00", "2026-03-31T00:00:00"), "-1 mons -3 days");
        assert_eq!(age("2026-01-01T00:00:00", "2026-01-01T00:00:01"), "-00:00:01");
    }

    #[test]
    fn fractions_go_down_to_the_next_unit() {
        let month = Interval { months: 1, ..Interval::default() };
        assert_eq!(month.times(2.5).unwrap().text(), "2 mons 15 days");
        assert_eq!(month.divided(2.0).unwrap().text(), "15 days");
        let day = Interval { days: 1, ..Interval::default() };
        assert_eq!(day.times(1.5).unwrap().text(), "1 day 12:00:00");
        assert_eq!(day.times(-3.0).unwrap().text(), "-3 days");
    }

    #[test]
    fn keys_have_the_order_of_intervals_and_are_read_again() {
        let of = |months, days, micros| Interval { months, days, micros };
        let ascending = [
            of(-1, 0, 0),
            of(0, -1, 5),
            of(0, 0, -1),
            of(0, 0, 0),
            of(0, 1, 0),
            of(0, 0, 25 * HOUR),
            of(1, 0, 0),
            of(0, 40, 0),
        ];
        let keys: Vec<String> = ascending.iter().map(|interval| interval.key()).collect();
        assert!(keys.is_sorted(), "{keys:#?}");
        for (interval, key) in ascending.iter().zip(&keys) {
            assert_eq!(Interval::of_key(key).unwrap(), *interval);
        }
    }

    #[test]
    fn justified_parts_have_one_sign() {
        let mixed = Interval { months: 1, days: 0, micros: -HOUR };
        assert_eq!(mixed.justified().unwrap().text(), "29 days 23:00:00");
    }
}
