//! Periods of time as statements cut it: what one is, where it begins, and what comes after.

use chrono::Weekday;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, cast, lit};

use super::Unit;
use super::calendar::{self, DAY};
use super::fiscal::{self, FiscalCalendar, Years};
use super::time;
use super::udf::call;
use crate::sql::timezone::TimeZone;

/// What a time is cut to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Grain {
    Of(Unit),
    /// Weeks from another day than Monday on.
    WeekFrom(Weekday),
    Fiscal(FiscalCalendar, Unit),
}

impl Grain {
    /// A unit, in weeks that begin on a day.
    pub fn new(unit: Unit, week_start: Weekday) -> Self {
        match (unit, week_start) {
            (Unit::Week, first) if first != Weekday::Mon => Self::WeekFrom(first),
            (unit, _) => Self::Of(unit),
        }
    }

    /// What the call of a truncation cuts to, and the time that it cuts.
    pub fn of_call(expr: &Expr) -> Option<(Self, &Expr)> {
        let Expr::ScalarFunction(call) = expr else { return None };
        match (call.func.name(), call.args.as_slice()) {
            ("date_trunc", [Expr::Literal(unit, _), moment, zone @ ..]) => {
                let unit = Unit::parse(unit.try_as_str()??)?;
                // Hours of some zones begin within those of others.
                let is_of_all = match zone {
                    [Expr::Literal(zone, _)] if unit == Unit::Hour => {
                        TimeZone::of_expression(zone.try_as_str()??)?.has_whole_hours()
                    }
                    _ => true,
                };
                is_of_all.then_some((Self::Of(unit), moment))
            }
            ("week_from", [Expr::Literal(ScalarValue::Int64(Some(first)), _), moment]) => {
                let first = Weekday::try_from(u8::try_from(*first).ok()?).ok()?;
                Some((Self::WeekFrom(first), moment))
            }
            ("fiscal_trunc", [Expr::Literal(calendar, _), Expr::Literal(unit, _), moment]) => {
                let (calendar, unit) = fiscal::constants(calendar, unit)?;
                Some((Self::Fiscal(calendar, unit), moment))
            }
            _ => None,
        }
    }

    /// The beginning of the period that a timestamp is in.
    pub fn truncated(self, moment: Expr) -> Expr {
        match self {
            Self::Of(unit) => call(time::date_trunc(), vec![lit(unit.name()), moment]),
            Self::WeekFrom(first) => {
                let first = i64::from(first.num_days_from_monday());
                call(time::week_from(), vec![lit(first), moment])
            }
            Self::Fiscal(calendar, unit) => {
                let calendar = lit(calendar.to_string());
                call(fiscal::fiscal_trunc(), vec![calendar, lit(unit.name()), moment])
            }
        }
    }

    /// The beginning of the period after one that begins at `begin`. None of periods that nothing is
    /// counted by, such as centuries.
    pub fn next(self, begin: Expr) -> Option<Expr> {
        let reached = begin + Expr::Literal(self.reach()?, None);
        Some(match self {
            Self::Fiscal(..) => self.truncated(reached),
            Self::Of(_) | Self::WeekFrom(_) => reached,
        })
    }

    /// A length that leads from a period's beginning into the next, and from none of its moments
    /// beyond the next one's end.
    pub fn reach(self) -> Option<ScalarValue> {
        let (months, days, seconds) = match self {
            Self::Fiscal(calendar, unit) => {
                let (months, days) = calendar.reach(unit)?;
                (months, days, 0)
            }
            Self::Of(_) | Self::WeekFrom(_) => match self.unit() {
                Unit::Year => (12, 0, 0),
                Unit::Quarter => (3, 0, 0),
                Unit::Month => (1, 0, 0),
                Unit::Week => (0, 7, 0),
                Unit::Day => (0, 1, 0),
                Unit::Hour => (0, 0, 3_600),
                Unit::Minute => (0, 0, 60),
                Unit::Second => (0, 0, 1),
                _ => return None,
            },
        };
        Some(ScalarValue::new_interval_mdn(months, days, seconds * 1_000_000_000))
    }

    /// How many periods that of one timestamp is behind that of another; negative where it is before
    /// it. None of periods that nothing is counted by.
    pub fn between(self, from: Expr, to: Expr) -> Option<Expr> {
        self.reach()?;
        let whole = |unit: Unit, from: Expr, to: Expr| {
            call(time::periods_between(), vec![lit(unit.name()), from, to])
        };
        // As if weeks began on Monday.
        let weeks = |first: Weekday| {
            let days = i64::from(first.num_days_from_monday());
            let back = |moment: Expr| match i32::try_from(days) {
                Ok(days @ 1..) => {
                    moment - Expr::Literal(ScalarValue::new_interval_mdn(0, days, 0), None)
                }
                _ => moment,
            };
            whole(Unit::Week, back(from.clone()), back(to.clone()))
        };
        Some(match self {
            Self::Of(unit) => whole(unit, from, to),
            Self::WeekFrom(first) => weeks(first),
            Self::Fiscal(
                FiscalCalendar { years: Years::OfWeeks { first, .. }, .. },
                Unit::Week,
            ) => weeks(first),
            Self::Fiscal(calendar, unit) => {
                let part = |unit: Unit, moment: &Expr| {
                    let args = vec![lit(calendar.to_string()), lit(unit.name()), moment.clone()];
                    cast(call(fiscal::fiscal_part(), args), DataType::Int64)
                };
                let counted = |moment: &Expr| {
                    let year = part(Unit::Year, moment);
                    match unit {
                        Unit::Month => year * lit(12i64) + part(Unit::Month, moment),
                        Unit::Quarter => year * lit(4i64) + part(Unit::Quarter, moment),
                        _ => year,
                    }
                };
                counted(&to) - counted(&from)
            }
        })
    }

    /// What a time is cut to that was cut to this grain before; None where the periods of neither are
    /// made of those of the other, as months and weeks.
    pub fn nested(self, then: Self) -> Option<Self> {
        let (finer, coarser) = match self.unit() <= then.unit() {
            true => (self, then),
            false => (then, self),
        };
        let fits = finer.unit() <= Unit::Day
            || match (finer, coarser) {
                (Self::Of(unit), Self::Of(_)) => finer == coarser || unit != Unit::Week,
                (Self::Fiscal(own, _), Self::Fiscal(other, _)) => own == other,
                _ => finer == coarser,
            };
        fits.then_some(coarser)
    }

    /// The unit that it is, or is like.
    pub fn unit(self) -> Unit {
        match self {
            Self::Of(unit) | Self::Fiscal(_, unit) => unit,
            Self::WeekFrom(_) => Unit::Week,
        }
    }

    /// A unit by whose steps no period is missed.
    pub fn step(self) -> Unit {
        match self {
            Self::Of(_) | Self::WeekFrom(_) => self.unit(),
            Self::Fiscal(FiscalCalendar { years: Years::OfMonths { .. }, .. }, _) => Unit::Month,
            Self::Fiscal(FiscalCalendar { years: Years::OfWeeks { .. }, .. }, _) => Unit::Week,
        }
    }

    /// The beginning of the period that a wall clock is in, in microseconds since 1970; None beyond
    /// what a timestamp holds.
    pub(crate) fn floor(self, micros: i64) -> Option<i64> {
        match self {
            Self::Of(unit) => calendar::truncated(unit, micros),
            Self::WeekFrom(first) => {
                let days = i64::from(first.num_days_from_monday()) * DAY;
                calendar::truncated(Unit::Week, micros.checked_sub(days)?)?.checked_add(days)
            }
            Self::Fiscal(calendar, unit) => calendar.begin(unit, micros),
        }
    }

    /// The beginning of the period after the one that begins at `floor`.
    pub(crate) fn following(self, floor: i64) -> Option<i64> {
        match self {
            Self::Of(_) | Self::WeekFrom(_) => calendar::next(self.unit(), floor),
            Self::Fiscal(calendar, unit) => {
                let (months, days) = calendar.reach(unit)?;
                let reached = calendar::later(Unit::Month, floor, i64::from(months))?;
                calendar.begin(unit, reached.checked_add(i64::from(days) * DAY)?)
            }
        }
    }
}
