//! Windows over values of days alone: each day's value goes to the periods whose windows it is in,
//! and the days themselves tell which periods are shown. So the rows are read once.

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::{Expr, LogicalPlan, and, cast, lit};

use super::super::atoms::atom_name;
use super::super::error::PlanError;
use super::super::expand::call;
use super::super::rewrite::{aggregate, aggregated, filtered, projected};
use super::super::spread::Spread;
use super::bounds::Asked;
use super::windows::{PERIOD, Periods, WALL, as_timestamp, column};
use super::{Branch, Evaluation};
use crate::functions::{Grain, Unit};
use crate::model::Window;

/// Whether a day has a row that passes the statement's filters of time.
const OWN: &str = "__own";
/// How many periods after its own a day is counted in.
const AFTER: &str = "__after";
/// A day's own period.
const FIRST: &str = "__first";
/// Beyond it a day is joined to the periods that are shown, rather than repeated.
const PERIODS_MAX: i64 = 100;

/// How many periods after its own a day's value may count in, its own included, and how many days
/// a period has.
pub(super) struct Repeats {
    periods: i64,
    days: i64,
}

impl Repeats {
    /// None where that isn't a small constant, or days come in groups: then there may be many.
    pub(super) fn of(
        evaluation: &Evaluation<'_, '_, '_>,
        instance: usize,
        periods: &Periods,
        window: Window,
        asked: &Asked,
    ) -> Option<Self> {
        // Gaps that are to be filled have no day of their own.
        let is_filled = evaluation.spine.is_some();
        if is_filled || !asked.is_exact || !evaluation.other_keys(instance).is_empty() {
            return None;
        }
        let days = match periods.grain_of_key()?.unit() {
            Unit::Day => 1,
            Unit::Week => 7,
            _ => return None,
        };
        let reach = match window {
            Window::Trailing(span) if span.months == 0 => i64::from(span.days),
            Window::ToDate(grain) => longest(grain)?,
            _ => return None,
        };
        // A window that begins within a period reaches into one more.
        let periods = match days {
            1 => reach,
            days => reach.div_euclid(days) + 2,
        };
        (periods <= PERIODS_MAX).then_some(Self { periods, days })
    }
}

impl Evaluation<'_, '_, '_> {
    /// Narrowed rows with [`OWN`].
    pub(super) fn with_own(
        &self,
        rows: LogicalPlan,
        asked: &Asked,
    ) -> Result<LogicalPlan, PlanError> {
        let from = asked.from.iter().map(|from| column(WALL).gt_eq(from.clone()));
        let last = asked.last.iter().map(|last| column(WALL).lt_eq(last.clone()));
        let own = from.chain(last).reduce(and).unwrap_or_else(|| lit(true));
        let mut exprs: Vec<Expr> = rows.schema().columns().into_iter().map(Expr::Column).collect();
        exprs.push(own.alias(OWN));
        projected(rows, exprs)
    }

    /// What a day has beside its values.
    pub(super) fn own_of_day() -> Result<Expr, PlanError> {
        Ok(any(column(OWN))?.alias(OWN))
    }

    /// The values of the windows from those of days: columns of the keys, `__a…`.
    pub(super) fn windows_of_days(
        &self,
        branch: &Branch,
        days: LogicalPlan,
        periods: &Periods,
        window: Window,
        repeats: &Repeats,
        values: Vec<Expr>,
    ) -> Result<LogicalPlan, PlanError> {
        let missing = || PlanError::Internal("windows of days without a period".to_owned());
        let grain = periods.grain_of_key().ok_or_else(missing)?;
        let first = grain.truncated(column(WALL));
        let mut exprs: Vec<Expr> = days.schema().columns().into_iter().map(Expr::Column).collect();
        exprs.push(cast(first, DataType::Date32).alias(FIRST));
        let days = projected(days, exprs)?;
        let days = Spread::plan(days, AFTER, lit(0i64), lit(repeats.periods))?;

        let after = match repeats.days {
            1 => column(AFTER),
            days => column(AFTER) * lit(days),
        };
        let period = call("add_days", vec![column(FIRST), after])?;
        let data_type = periods.key_type(self.input.schema())?;
        let period = match data_type {
            Some(DataType::Date32) => period,
            _ => as_timestamp(period),
        };
        let mut exprs = vec![column(WALL), period.alias(PERIOD)];
        exprs.extend(branch.atoms.iter().map(|index| column(atom_name(*index))));
        let own = and(column(OWN), column(AFTER).eq(lit(0i64)));
        exprs.push(own.alias(OWN));
        let days = projected(days, exprs)?;
        let days = filtered(days, self.inside(column(PERIOD), periods, window)?)?;

        let mut aggregates = values;
        aggregates.push(any(column(OWN))?.alias(OWN));
        let windows = aggregated(days, vec![column(PERIOD)], aggregates)?;
        let shown = filtered(windows, column(OWN))?;
        let mut exprs = vec![column(PERIOD)];
        exprs.extend(branch.atoms.iter().map(|index| column(atom_name(*index))));
        projected(shown, exprs)
    }
}

/// Days of the longest period, but for years.
fn longest(grain: Grain) -> Option<i64> {
    match (grain, grain.unit()) {
        (_, Unit::Week) => Some(7),
        (Grain::Fiscal(..), Unit::Month) => Some(42),
        (Grain::Fiscal(..), Unit::Quarter) => Some(98),
        (_, Unit::Month) => Some(31),
        (_, Unit::Quarter) => Some(92),
        _ => None,
    }
}

fn any(condition: Expr) -> Result<Expr, PlanError> {
    aggregate("bool_or", condition)
}
