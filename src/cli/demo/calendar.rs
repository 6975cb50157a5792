//! The days of the demo company: how busy each is, and when its local midnight was.

use chrono::{Datelike, Days, NaiveDate, NaiveTime, TimeZone, Weekday};
use chrono_tz::Europe::Berlin;

pub(super) const MICROS: i64 = 1_000_000;
pub(super) const MINUTE: i64 = 60 * MICROS;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

/// First and last business day; with them four days of 23 or 25 hours.
const FIRST: (i32, u32, u32) = (2025, 1, 1);
const LAST: (i32, u32, u32) = (2026, 10, 31);

/// Busyness in percent, Monday to Sunday and January to December.
const WEEKDAYS: [u64; 7] = [92, 97, 101, 104, 118, 127, 61];
const MONTHS: [u64; 12] = [83, 79, 94, 97, 101, 96, 88, 85, 99, 106, 121, 149];

/// All business days, in the company's zone.
pub(super) struct Calendar {
    days: Vec<Day>,
    /// The weights of the days up to and with each one.
    cumulative: Vec<u64>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Day {
    /// Local midnight, in microseconds since 1970 UTC.
    pub starts_at: i64,
    pub ends_at: i64,
    pub is_sunday: bool,
}

impl Day {
    /// True on the Sunday in autumn whose hour from 02:00 to 03:00 comes twice.
    pub(super) fn is_longer(&self) -> bool {
        self.ends_at - self.starts_at > DAY
    }

    /// The instant so many seconds of 86,400 into the day: stretched over the hours that the day has,
    /// so that the repeated hour of autumn is used and the missing one of spring isn't.
    pub(super) fn at(&self, second: i64, micros: i64) -> i64 {
        self.starts_at + (self.ends_at - self.starts_at) / 86_400 * second + micros
    }
}

impl Calendar {
    pub(super) fn new() -> Self {
        let mut calendar = Self { days: Vec::new(), cumulative: Vec::new() };
        let mut total = 0;
        let last = date(LAST);
        for (position, date) in date(FIRST).iter_days().take_while(|date| *date <= last).enumerate()
        {
            // The company grows by about three quarters over the whole range.
            total += weight(date) * (900 + position as u64);
            calendar.cumulative.push(total);
            calendar.days.push(Day {
                starts_at: midnight(date),
                ends_at: midnight(date + Days::new(1)),
                is_sunday: date.weekday() == Weekday::Sun,
            });
        }
        calendar
    }

    /// The day of the `index`th of `count` things in order of time. Each day and month has the same
    /// share of them, whatever the count.
    pub(super) fn day_of(&self, index: u64, count: u64) -> Day {
        let total = self.cumulative[self.cumulative.len() - 1];
        let target = u128::from(total) * u128::from(2 * index + 1) / u128::from(2 * count.max(1));
        let day = self.cumulative.partition_point(|upto| u128::from(*upto) <= target);
        self.days[day.min(self.days.len() - 1)]
    }

    /// In order.
    pub(super) fn days(&self) -> &[Day] {
        &self.days
    }

    /// Local midnight after the last day: nothing happens from then on (though late rows arrive).
    pub(super) fn end(&self) -> i64 {
        self.days[self.days.len() - 1].ends_at
    }
}

fn weight(date: NaiveDate) -> u64 {
    let weekday = WEEKDAYS[date.weekday().num_days_from_monday() as usize];
    weekday * MONTHS[date.month0() as usize]
}

fn date((year, month, day): (i32, u32, u32)) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).expect("a day of the calendar")
}

fn midnight(date: NaiveDate) -> i64 {
    Berlin
        .from_local_datetime(&date.and_time(NaiveTime::MIN))
        .single()
        .expect("clocks change at 02:00 and 03:00, never at midnight")
        .timestamp_micros()
}

/// Days from 1970-01-01 to a date.
pub(super) fn epoch_day(year: i32, month: u32, day: u32) -> i32 {
    date((year, month, day)).to_epoch_days()
}
