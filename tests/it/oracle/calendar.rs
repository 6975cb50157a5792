//! Fiscal calendars, by listing the periods of a year.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Weekday};

use super::dice::Dice;
use super::expression::{Span, micros};

/// A calendar of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Calendar {
    name: &'static str,
    years: Years,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Years {
    /// Months that begin on a day of theirs.
    OfMonths { month: u32, day: u32 },
    /// Weeks; the first begins at most so many days before a day of the year.
    OfWeeks { first: Weekday, before: u64, month: u32, day: u32, months: [u64; 3] },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Week,
    Month,
    Quarter,
    Year,
}

const RETAIL: Years =
    Years::OfWeeks { first: Weekday::Sun, before: 3, month: 2, day: 1, months: [4, 5, 4] };
const HARVEST: Years =
    Years::OfWeeks { first: Weekday::Fri, before: 0, month: 9, day: 25, months: [4, 4, 5] };
const CALENDARS: [Calendar; 4] = [
    Calendar { name: "retail", years: RETAIL },
    Calendar { name: "harvest", years: HARVEST },
    Calendar { name: "fiscal", years: Years::OfMonths { month: 4, day: 1 } },
    Calendar { name: "tax", years: Years::OfMonths { month: 4, day: 6 } },
];

impl Calendar {
    /// Those of a project, often none.
    pub(crate) fn some(dice: &mut Dice) -> Vec<Self> {
        if dice.chance(50) { Vec::new() } else { dice.some(&CALENDARS, 2) }
    }

    /// `retail: {year_starts: …}`
    pub(crate) fn yaml(self) -> String {
        let years = match self.years {
            Years::OfMonths { month, day } => format!("year_starts: {month:02}-{day:02}"),
            Years::OfWeeks { first, before, month, day, months: [a, b, c] } => {
                let rule = if before == 3 { "nearest" } else { "on or after" };
                let weekday = if first == Weekday::Sun { "sunday" } else { "friday" };
                format!("year_starts: {weekday} {rule} {month:02}-{day:02}, months: {a}-{b}-{c}")
            }
        };
        format!("{}: {{{years}, year_named_after: start}}", self.name)
    }

    pub(crate) fn units(self) -> &'static [Unit] {
        match self.years {
            Years::OfMonths { .. } => &[Unit::Month, Unit::Quarter, Unit::Year],
            Years::OfWeeks { .. } => &[Unit::Week, Unit::Month, Unit::Quarter, Unit::Year],
        }
    }

    /// `retail.month`
    pub(crate) fn grain_name(self, unit: Unit) -> String {
        format!("{}.{}", self.name, format!("{unit:?}").to_lowercase())
    }

    /// The beginning and the end of the period that a wall clock is in.
    pub(crate) fn period(self, unit: Unit, wall: i64) -> (i64, i64) {
        let date = DateTime::from_timestamp_micros(wall).unwrap().date_naive();
        let year = (date.year() - 2..date.year() + 2).rfind(|year| self.start(*year) <= date);
        let begins = self.begins(unit, year.unwrap());
        let next = begins.iter().position(|begin| *begin > date).unwrap();
        let at = |index: usize| micros(begins[index].and_hms_opt(0, 0, 0).unwrap());
        (at(next - 1), at(next))
    }

    fn start(self, year: i32) -> NaiveDate {
        match self.years {
            Years::OfMonths { month, day } => NaiveDate::from_ymd_opt(year, month, day).unwrap(),
            Years::OfWeeks { first, before, month, day, .. } => {
                let earliest = NaiveDate::from_ymd_opt(year, month, day).unwrap();
                let earliest = earliest - Days::new(before);
                earliest.iter_days().find(|date| date.weekday() == first).unwrap()
            }
        }
    }

    /// When the periods of a year begin, and the next year.
    fn begins(self, unit: Unit, year: i32) -> Vec<NaiveDate> {
        let (start, end) = (self.start(year), self.start(year + 1));
        let mut begins = match (self.years, unit) {
            (_, Unit::Year) => vec![start],
            (Years::OfMonths { .. }, unit) => {
                let step = if unit == Unit::Quarter { 3 } else { 1 };
                (0..12).step_by(step).map(|months| start + Months::new(months)).collect()
            }
            (Years::OfWeeks { .. }, Unit::Week) => {
                start.iter_weeks().take_while(|week| *week < end).collect()
            }
            (Years::OfWeeks { months, .. }, unit) => {
                // A 53rd week is the last month's.
                let lengths = if unit == Unit::Quarter { vec![13; 4] } else { months.repeat(4) };
                let begins = lengths.into_iter().scan(start, |begin, weeks| {
                    let own = *begin;
                    *begin = own + Days::new(7 * weeks);
                    Some(own)
                });
                begins.collect()
            }
        };
        begins.push(end);
        begins
    }

    /// Whether a shift by a length of time leads from periods to periods.
    pub(crate) fn allows(self, unit: Unit, span: Span) -> bool {
        let months = |of: u32| span.days == 0 && span.months.is_multiple_of(of);
        match (self.years, unit) {
            (_, Unit::Week) => span.months == 0 && span.days.is_multiple_of(7),
            (Years::OfWeeks { .. }, _) => false,
            (_, Unit::Month) => months(1),
            (_, Unit::Quarter) => months(3),
            (_, Unit::Year) => months(12),
        }
    }
}
