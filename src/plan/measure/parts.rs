//! Windows of which the rows are read once: each row, or the value of each day, goes to the periods
//! whose windows it is in, or windows that only grow add to the one before. The rows themselves tell
//! which periods are shown.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, and, cast, lit};

use super::super::atoms::atom_name;
use super::super::error::PlanError;
use super::super::expand::call;
use super::super::rewrite::{aggregate, aggregated, filtered, projected};
use super::super::shares::over;
use super::super::spread::Spread;
use super::bounds::Asked;
use super::periods::Periods;
use super::windows::{
    Kept, MOMENT, PERIOD, Shape, WALL, argument, as_timestamp, column, condition, picked_value,
    series_key,
};
use super::{Branch, Evaluation, Window as WindowNode};
use crate::functions::{Grain, Unit};
use crate::model::{Pick, Series, Window};

/// Whether a row passes the statement's filters of time, or a day has one that does.
pub(super) const OWN: &str = "__own";
/// How many days after its own a row is counted.
const AFTER: &str = "__after";
/// A row's own period.
const FIRST: &str = "__first";
/// Beyond it rows are joined to the days that are shown, rather than repeated.
const DAYS_MAX: i64 = 100;
/// Beyond it rows are repeated for no other days than those that the statement asks for.
const UNASKED_MAX: i64 = 8;

/// How rows that are read once come to the windows that they are in.
pub(super) enum Once {
    Repeated(Repeats),
    /// The windows that begin together, those of a grain's period or all, grow from period to period.
    Accumulated(Option<Grain>),
}

/// On how many days a row may count, its own included.
pub(super) struct Repeats {
    shape: Shape,
    days: i64,
    /// Whether it counts in all of them.
    is_exact: bool,
}

impl Once {
    /// None where the windows aren't of such a kind, or periods come in groups: then a group may have
    /// none of its own in a period that others show. `combines`: whether values can be put together
    /// from parts.
    pub(super) fn of(
        evaluation: &Evaluation<'_, '_, '_>,
        instance: usize,
        periods: &Periods,
        (shape, combines): (Shape, bool),
        asked: &Asked,
    ) -> Option<Self> {
        // Gaps that are to be filled have no row of their own.
        let is_filled = evaluation.spine.is_some();
        if is_filled || !asked.is_exact || !evaluation.other_keys(instance).is_empty() {
            return None;
        }
        let grain = periods.grain_of_key()?;
        // An open period ends with a day that the rows themselves don't tell.
        if periods.may_be_open() {
            return None;
        }
        match shape.window {
            Window::All if combines => Some(Self::Accumulated(None)),
            Window::ToDate(to) if combines && grain.nested(to) == Some(to) => {
                Some(Self::Accumulated(Some(to)))
            }
            _ => Repeats::of(grain, shape).map(Self::Repeated),
        }
    }
}

impl Repeats {
    /// None where that isn't a small constant.
    fn of(grain: Grain, shape: Shape) -> Option<Self> {
        if grain.unit() != Unit::Day {
            return None;
        }
        let (reach, is_exact) = match shape.window {
            Window::Trailing(span) if span.months == 0 => (i64::from(span.days), true),
            Window::ToDate(grain) => (longest(grain)?, false),
            _ => return None,
        };
        let days = if shape.beside.is_some() { reach + 1 } else { reach };
        (days <= DAYS_MAX).then_some(Self { shape, days, is_exact })
    }

    /// From which to which day after its own a row is counted, the end excluded.
    fn range(&self, grain: Grain, asked: &Asked) -> Result<(Expr, Expr), PlanError> {
        let (mut from, mut end) = (vec![lit(0i64)], vec![lit(self.days)]);
        if self.days > UNASKED_MAX {
            let own = grain.truncated(column(WALL));
            let after = |moment: &Expr| {
                let asked = grain.truncated(moment.clone());
                call("periods_between", vec![lit(Unit::Day.name()), own.clone(), asked])
            };
            for moment in &asked.from {
                from.push(after(moment)?);
            }
            for moment in &asked.last {
                end.push(after(moment)? + lit(1i64));
            }
        }
        let bound = |name: &str, mut bounds: Vec<Expr>| match bounds.len() {
            1 => Ok(bounds.remove(0)),
            _ => call(name, bounds),
        };
        Ok((bound("greatest", from)?, bound("least", end)?))
    }
}

impl Evaluation<'_, '_, '_> {
    /// The values of the windows over rows with [`OWN`], from those of days or of periods: columns of
    /// the keys, `__a…`.
    pub(super) fn windows_of_parts(
        &self,
        branch: &Branch,
        rows: LogicalPlan,
        periods: &Periods,
        once: Once,
        functions: &[&str],
    ) -> Result<LogicalPlan, PlanError> {
        let repeats = match once {
            Once::Accumulated(to) => {
                return self.accumulated(branch, rows, periods, to, functions);
            }
            Once::Repeated(repeats) => repeats,
        };
        let own = any(column(OWN))?.alias(OWN);
        let days = self.by_part(branch, periods, rows, vec![own])?;
        let kept = branch.atoms.iter().map(|index| column(atom_name(*index))).collect();
        let unasked = Asked { from: Vec::new(), last: Vec::new(), is_exact: true };
        let days = self.repeated(days, periods, &repeats, &unasked, kept)?;
        let mut values = Vec::new();
        for (function, index) in functions.iter().zip(&branch.atoms) {
            let value = aggregate(function, column(atom_name(*index)))?;
            values.push(value.alias(atom_name(*index)));
        }
        self.shown(branch, days, values)
    }

    /// The same where values can't be put together from parts.
    pub(super) fn windows_of_rows(
        &self,
        branch: &Branch,
        rows: LogicalPlan,
        periods: &Periods,
        once: Once,
        asked: &Asked,
    ) -> Result<LogicalPlan, PlanError> {
        let Once::Repeated(repeats) = once else {
            return Err(PlanError::Internal("windows of rows that grow".to_owned()));
        };
        let columns = |index: &usize| [column(argument(*index)), column(condition(*index))];
        let kept = branch.atoms.iter().flat_map(columns).collect();
        let rows = self.repeated(rows, periods, &repeats, asked, kept)?;
        let mut values = Vec::new();
        for index in &branch.atoms {
            values.push(self.counting(branch, *index)?.alias(atom_name(*index)));
        }
        self.shown(branch, rows, values)
    }

    /// Rows with each of the periods whose windows they are in, [`PERIOD`], and whether that is
    /// their own and asked for, [`OWN`]; `kept` are the other columns.
    fn repeated(
        &self,
        rows: LogicalPlan,
        periods: &Periods,
        repeats: &Repeats,
        asked: &Asked,
        kept: Vec<Expr>,
    ) -> Result<LogicalPlan, PlanError> {
        let grain = periods.grain();
        let first = cast(grain.truncated(column(WALL)), DataType::Date32).alias(FIRST);
        let columns = kept.iter().cloned().chain([column(WALL), column(OWN), first]);
        let rows = projected(rows, columns.collect())?;
        let (from, end) = repeats.range(grain, asked)?;
        let rows = Spread::plan(rows, AFTER, from, end)?;
        let period = call("add_days", vec![column(FIRST), column(AFTER)])?;
        let period = match periods.key_type(self.input.schema())? {
            Some(DataType::Date32) => period,
            _ => as_timestamp(period),
        };
        let own = and(column(OWN), column(AFTER).eq(lit(0i64))).alias(OWN);
        let columns = kept.into_iter().chain([column(WALL), period.alias(PERIOD), own]);
        let rows = projected(rows, columns.collect())?;
        match repeats.is_exact {
            true => Ok(rows),
            false => filtered(rows, self.inside(column(PERIOD), periods, repeats.shape)?),
        }
    }

    /// Rows with [`PERIOD`] and [`OWN`], aggregated by the periods that are shown.
    fn shown(
        &self,
        branch: &Branch,
        rows: LogicalPlan,
        mut values: Vec<Expr>,
    ) -> Result<LogicalPlan, PlanError> {
        values.push(any(column(OWN))?.alias(OWN));
        let windows = aggregated(rows, vec![column(PERIOD)], values)?;
        let mut exprs = vec![column(PERIOD)];
        exprs.extend(branch.atoms.iter().map(|index| column(atom_name(*index))));
        projected(filtered(windows, column(OWN))?, exprs)
    }

    /// The values of periods, each put together with those before it that are in its window.
    fn accumulated(
        &self,
        branch: &Branch,
        rows: LogicalPlan,
        periods: &Periods,
        to: Option<Grain>,
        functions: &[&str],
    ) -> Result<LogicalPlan, PlanError> {
        let mut values = vec![any(column(OWN))?.alias(OWN)];
        for index in &branch.atoms {
            values.push(self.counting(branch, *index)?.alias(part(*index)));
        }
        let period = periods.grain().truncated(column(WALL)).alias(PERIOD);
        let parts = aggregated(rows, vec![period], values)?;
        let begin: Vec<Expr> = to.map(|to| to.truncated(column(PERIOD))).into_iter().collect();
        let mut windows = Vec::new();
        for (function, index) in functions.iter().zip(&branch.atoms) {
            let order = vec![column(PERIOD).sort(true, false)];
            let value = over(function, vec![column(part(*index))], &begin, order)?;
            windows.push(value.alias(atom_name(*index)));
        }
        let windows = LogicalPlan::Window(WindowNode::try_new(windows, Arc::new(parts))?);
        let shown = filtered(windows, column(OWN))?;
        let period = match periods.key_type(self.input.schema())? {
            Some(DataType::Date32) => cast(column(PERIOD), DataType::Date32),
            _ => as_timestamp(column(PERIOD)),
        };
        let mut exprs = vec![period.alias(PERIOD)];
        exprs.extend(branch.atoms.iter().map(|index| column(atom_name(*index))));
        projected(shown, exprs)
    }

    // ---- series ----

    /// The value of each series in each period, with [`OWN`], of carried rows that are read once;
    /// None where that isn't possible.
    pub(super) fn carried_once(
        &mut self,
        branch: &Branch,
        all: &[Branch],
        instance: usize,
        periods: &Periods,
        series: &Series,
        atom: usize,
    ) -> Result<Option<LogicalPlan>, PlanError> {
        let Some(carry) = series.carry.filter(|_| series.pick != Pick::First) else {
            return Ok(None);
        };
        let shape = series.shape(carry);
        let asked = self.asked_times(instance);
        let once = self.once_read(branch, all, periods, shape, &asked);
        let has_filter = self.atoms[atom].filter.is_some();
        let Some(Once::Repeated(repeats)) = once.filter(|_| !has_filter) else { return Ok(None) };
        let rows = self.own_rows(branch, instance, periods, (shape, Kept::Existing), &asked)?;
        // A row without a value shows its period, but is none of the series' values.
        if column(argument(atom)).nullable(rows.schema())? {
            return Ok(None);
        }
        let of_series: Vec<Expr> =
            (0..series.per.len()).map(|index| column(series_key(index))).collect();
        let mut kept = of_series.clone();
        kept.extend([column(argument(atom)), column(MOMENT)]);
        let rows = self.repeated(rows, periods, &repeats, &asked, kept)?;
        let keys = [vec![column(PERIOD)], of_series].concat();
        let own = any(column(OWN))?.alias(OWN);
        Ok(Some(aggregated(rows, keys, vec![picked_value(series.pick, atom)?, own])?))
    }

    /// The sums of series in the periods that have rows of their own.
    pub(super) fn shown_sums(
        &self,
        rows: LogicalPlan,
        keys: Vec<Expr>,
        atom: usize,
    ) -> Result<LogicalPlan, PlanError> {
        let sum = aggregate("sum", column(argument(atom)))?.alias(atom_name(atom));
        let own = any(column(OWN))?.alias(OWN);
        let sums = aggregated(rows, keys.clone(), vec![sum, own])?;
        let shown = filtered(sums, column(OWN))?;
        projected(shown, keys.into_iter().chain([column(atom_name(atom))]).collect())
    }
}

/// The name of an atom's value of one period.
fn part(index: usize) -> String {
    format!("__part{index}")
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
