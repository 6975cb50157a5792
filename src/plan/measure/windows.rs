//! Branches whose rows come from more than the group's own period: windows of time that end with
//! it, and series of snapshots.
//!
//! The statement's filters of time say which periods are shown, not which rows count. So the periods
//! are those of the rows that pass all filters; the rows are those that pass the filters of anything
//! else, each joined to the periods whose window it is in. Values that can be put together from
//! parts are computed by day first.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, JoinConstraint, NullEquality, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, Sort};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Distinct, Expr, ExprSchemable, Filter, Join, JoinType, LogicalPlan, Union, and, cast, lit,
};

use super::super::atoms::{AtomFunction, Over, atom_name};
use super::super::error::PlanError;
use super::super::expand::TimeOf;
use super::super::rewrite::{Needs, aggregate, aggregated, filtered, projected};
use super::super::shares::over;
use super::super::trace::reads;
use super::bounds::Asked;
use super::parts::{OWN, Once};
use super::periods::{Periods, one_period};
use super::{Branch, Evaluation, Window as WindowNode, key_name, located, moment, rows_schema};
use crate::functions::{Grain, Unit, registry};
use crate::model::{Pick, Series, Span, Window};

/// The end of the period that a window ends with, before its length is added.
pub(super) const PERIOD: &str = "__period";
/// The last day that is known, beside periods that are longer than a day; NULL where there is none.
pub(super) const LAST_DAY: &str = "__last_day";
/// Between which moments the window of such a period is, the end excluded.
const WINDOW_START: &str = "__window_start";
const WINDOW_END: &str = "__window_end";
/// A row's wall clock, or the beginning of its day.
pub(super) const WALL: &str = "__wall";
/// When a row of a series was taken: where the clock was set back, the wall clock doesn't tell which
/// of two was the later one.
pub(super) const MOMENT: &str = "__moment";

/// Which of a branch's rows are left.
#[derive(Clone, Copy)]
pub(super) enum Kept {
    All,
    /// Those that make groups: that any atom counts, whatever the statement's own FILTER says.
    Existing,
    /// Those that any atom counts and its FILTER lets through.
    Counted,
}

/// What a condition makes of a wall clock.
pub(super) type WallCondition<'c> = &'c dyn Fn(Expr) -> Expr;

pub(crate) fn as_timestamp(expr: Expr) -> Expr {
    cast(expr, DataType::Timestamp(TimeUnit::Microsecond, None))
}

pub(super) fn column(name: impl Into<String>) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

pub(super) fn other_key(index: usize) -> String {
    format!("__k{index}")
}

pub(super) fn argument(index: usize) -> String {
    format!("__v{index}")
}

pub(super) fn condition(index: usize) -> String {
    format!("__f{index}")
}

fn row_key(index: usize) -> String {
    format!("__row{index}")
}

/// The rows of a measure over time before its window, or its series, chooses among them: filters of
/// time say which periods are shown, but for series that nothing is carried in.
pub(super) fn rows_before_time(
    input: &LogicalPlan,
    instance: usize,
    over: &Over,
) -> Result<LogicalPlan, PlanError> {
    match over {
        Over::Window(_) | Over::Series(Series { carry: Some(_), .. }) => {
            without_time(input, instance)
        }
        Over::Group | Over::Series(_) => Ok(input.clone()),
    }
}

impl Evaluation<'_, '_, '_> {
    /// The rows of a branch over time, aggregated by the keys: columns `__g…`, `__a…`.
    pub(super) fn over_time(
        &mut self,
        branch: &Branch,
        all: &[Branch],
    ) -> Result<LogicalPlan, PlanError> {
        let missing = || PlanError::Internal("a branch without a scan".to_owned());
        let instance = branch.instance.ok_or_else(missing)?;
        if self.fanout.repeats(instance) {
            return Err(PlanError::NotSupported {
                what: "a metric over time joined to rows that multiply its own".to_owned(),
                hint: Some("Ask for it in a subquery, and join its result.".to_owned()),
            });
        }
        let periods = Periods::of(self, instance)?;
        let plan = match &branch.over {
            Over::Window(window) => self.windowed(branch, all, instance, &periods, *window)?,
            Over::Series(series) => self.series(branch, all, instance, &periods, series)?,
            Over::Group => return Err(missing()),
        };
        self.keys_named(plan)
    }

    /// Whether an expression reads a scan's time.
    pub(super) fn reads_time(&self, expr: &Expr, instance: usize) -> bool {
        reads(self.input, expr, instance).time
    }

    /// The keys of the rows that a branch over time counts in any of the periods shown, each once.
    pub(super) fn rows_over_time(&mut self, all: &[Branch]) -> Result<LogicalPlan, PlanError> {
        let missing = || PlanError::Internal("an atom without a branch".to_owned());
        let branch = all.first().ok_or_else(missing)?;
        let instance = branch.instance.ok_or_else(missing)?;
        let periods = Periods::of(self, instance)?;
        let rows = match &branch.over {
            Over::Window(window) => {
                let shown = self.shown_periods(branch, all, instance, &periods)?;
                let rows = without_time(self.input, instance)?;
                let rows = self.narrow(branch, instance, &rows, Kept::Counted, Vec::new())?;
                self.within(rows, shown, &periods, branch, *window)?
            }
            Over::Series(series) => {
                let atom = *branch.atoms.first().ok_or_else(missing)?;
                let (rows, of_series) =
                    self.series_rows(branch, all, instance, &periods, (series, Kept::Counted))?;
                match series.pick {
                    Pick::Last | Pick::First => picked_row(rows, of_series, series.pick, atom)?,
                    Pick::Min | Pick::Max | Pick::Avg => rows,
                }
            }
            Over::Group => return Err(missing()),
        };
        let key = (0..self.row_key.len()).map(|index| column(row_key(index)));
        let rows = projected(rows, key.collect())?;
        Ok(LogicalPlan::Distinct(Distinct::All(Arc::new(rows))))
    }

    // ---- windows ----

    fn windowed(
        &mut self,
        branch: &Branch,
        all: &[Branch],
        instance: usize,
        periods: &Periods,
        window: Window,
    ) -> Result<LogicalPlan, PlanError> {
        let asked = self.asked_times(instance);
        let parts = branch.atoms.iter().map(|index| self.atoms[*index].combines());
        let parts: Option<Vec<&str>> = parts.collect();
        if let Some(once) = self.once_read(branch, all, periods, window.into(), &asked) {
            let kept = Kept::Existing;
            let rows = self.own_rows(branch, instance, periods, (window.into(), kept), &asked)?;
            let plan = match parts {
                Some(functions) => {
                    self.windows_of_parts(branch, rows, periods, once, &functions)?
                }
                None => self.windows_of_rows(branch, rows, periods, once, &asked)?,
            };
            return self.counted(branch, plan);
        }
        let rows = without_time(self.input, instance)?;
        let rows = self.narrow(branch, instance, &rows, Kept::Existing, Vec::new())?;
        let rows = self.within_reach(rows, branch, &asked, periods, window)?;
        let rows = match &parts {
            Some(_) => self.by_part(branch, periods, rows, Vec::new())?,
            None => rows,
        };
        let shown = self.shown_periods(branch, all, instance, periods)?;
        let rows = self.within(rows, shown, periods, branch, window)?;
        let mut aggregates = Vec::new();
        for (position, index) in branch.atoms.iter().enumerate() {
            let value = match &parts {
                Some(functions) => aggregate(functions[position], column(atom_name(*index)))?,
                None => self.counting(branch, *index)?,
            };
            aggregates.push(value.alias(atom_name(*index)));
        }
        let plan = aggregated(rows, self.outer_keys(periods), aggregates)?;
        self.counted(branch, plan)
    }

    /// How rows that are read once give the windows; None where other rows than the branch's own show
    /// periods.
    pub(super) fn once_read(
        &self,
        branch: &Branch,
        all: &[Branch],
        periods: &Periods,
        shape: Shape,
        asked: &Asked,
    ) -> Option<Once> {
        let own_periods = branch.earlier.is_none() && self.shown_beside(branch, all).is_empty();
        let instance = branch.instance.filter(|_| own_periods)?;
        let combines = branch.atoms.iter().all(|index| self.atoms[*index].combines().is_some());
        Once::of(self, instance, periods, (shape, combines), asked)
    }

    /// The rows in reach of the windows that are asked for, with whether the statement's filters of
    /// time let them through.
    pub(super) fn own_rows(
        &mut self,
        branch: &Branch,
        instance: usize,
        periods: &Periods,
        (shape, kept): (Shape, Kept),
        asked: &Asked,
    ) -> Result<LogicalPlan, PlanError> {
        let rows = without_time(self.input, instance)?;
        let is_own = |wall: Expr| asked.holds(&wall).unwrap_or_else(|| lit(true));
        let of_wall = vec![(&is_own as WallCondition<'_>, OWN.to_owned())];
        let rows = self.narrowed(branch, instance, &rows, kept, (Vec::new(), of_wall))?;
        let rows = self.within_reach(rows, branch, asked, periods, shape)?;
        // A row without a time is in no period.
        filtered(rows, column(WALL).is_not_null())
    }

    /// An atom's aggregate over narrowed rows. Those of a single atom are the ones that it counts,
    /// but for its FILTER.
    pub(super) fn counting(&self, branch: &Branch, index: usize) -> Result<Expr, PlanError> {
        let is_filtered = branch.atoms.len() > 1 || self.atoms[index].filter.is_some();
        let counts = is_filtered.then(|| column(condition(index)));
        self.atoms[index].aggregate(Some(column(argument(index))), counts)
    }

    /// A count put together from parts is a sum, and 0 for no parts.
    fn counted(&self, branch: &Branch, plan: LogicalPlan) -> Result<LogicalPlan, PlanError> {
        let exprs = plan.schema().iter().map(|(qualifier, field)| {
            let own = Expr::Column(Column::new(qualifier.cloned(), field.name()));
            let atom = branch.atoms.iter().find(|index| atom_name(**index) == *field.name());
            match atom {
                Some(index) if self.atoms[*index].function == AtomFunction::Count => {
                    let count = cast(own, DataType::Int64);
                    let count =
                        datafusion::functions::core::expr_fn::coalesce(vec![count, lit(0i64)]);
                    count.alias(field.name())
                }
                _ => own,
            }
        });
        let exprs = exprs.collect();
        projected(plan, exprs)
    }

    /// The periods of the rows that pass all filters: column `__period`. They are those of all that
    /// the statement asks for, so that a number doesn't depend on what is asked beside it.
    fn shown_periods(
        &mut self,
        branch: &Branch,
        all: &[Branch],
        instance: usize,
        periods: &Periods,
    ) -> Result<LogicalPlan, PlanError> {
        let input = self.input.clone();
        match &periods.key {
            Some((index, _, key)) => {
                let mut shown = vec![self.periods_of(branch, periods, &input, key)?];
                // Rows may lie beyond what is filled up to.
                if let Some(spine) = &self.spine {
                    let period = column(key_name(*index)).alias(PERIOD);
                    shown.push(projected(spine.clone(), vec![period])?);
                }
                for other in self.shown_beside(branch, all) {
                    shown.push(self.periods_of(other, periods, &input, key)?);
                }
                let shown = match <[LogicalPlan; 1]>::try_from(shown) {
                    Ok([only]) => only,
                    Err(several) => {
                        let several = several.into_iter().map(Arc::new).collect();
                        LogicalPlan::Union(Union::try_new_with_loose_types(several)?)
                    }
                };
                Ok(LogicalPlan::Distinct(Distinct::All(Arc::new(shown))))
            }
            None => self.last_day(branch, instance),
        }
    }

    /// The branches whose rows show other periods than a branch's own do.
    pub(super) fn shown_beside<'b>(
        &self,
        branch: &'b Branch,
        all: &'b [Branch],
    ) -> Vec<&'b Branch> {
        let mut known = vec![branch];
        for other in all {
            let is_of_scan = other.instance.is_none() || other.instance == branch.instance;
            if is_of_scan && !known.iter().any(|known| self.show_the_same(known, other)) {
                known.push(other);
            }
        }
        known.split_off(1)
    }

    /// Whether the rows of two branches show the same groups. A FILTER leaves groups as they are.
    pub(super) fn show_the_same(&self, one: &Branch, other: &Branch) -> bool {
        let conditions = |branch: &Branch| {
            let mut conditions: Vec<&[Expr]> = Vec::new();
            for index in branch.atoms.iter().filter(|_| !branch.has_plain) {
                let own = self.atoms[*index].conditions.as_slice();
                if !conditions.contains(&own) {
                    conditions.push(own);
                }
            }
            conditions
        };
        one.instance == other.instance
            && one.entity == other.entity
            && one.time == other.time
            && one.earlier == other.earlier
            && one.has_plain == other.has_plain
            && conditions(one) == conditions(other)
    }

    /// The periods of a branch's rows that pass all filters, each as often as there are rows.
    fn periods_of(
        &mut self,
        branch: &Branch,
        periods: &Periods,
        input: &LogicalPlan,
        key: &Expr,
    ) -> Result<LogicalPlan, PlanError> {
        let period = key.clone().alias(PERIOD);
        let Some(instance) = branch.instance else {
            let rows = self.rewriter.rewrite(input, &Needs::default())?;
            return projected(rows, vec![period]);
        };
        let kept = if branch.has_plain { Kept::All } else { Kept::Existing };
        let mut rows = self.narrow(branch, instance, input, kept, vec![period])?;
        let by = branch.earlier.as_ref().map(|it| &it.by).filter(|by| periods.has_gaps(by));
        if let Some(has_later) = by.and_then(|by| by.has_later(column(WALL))) {
            rows = filtered(rows, has_later)?;
        }
        projected(rows, vec![column(PERIOD)])
    }

    /// The branch's rows with what is needed of them only: the other keys `__k…`, the wall clock, and
    /// for each atom its argument `__v…` and whether it counts the row `__f…`.
    pub(super) fn narrow(
        &mut self,
        branch: &Branch,
        instance: usize,
        input: &LogicalPlan,
        kept: Kept,
        more: Vec<Expr>,
    ) -> Result<LogicalPlan, PlanError> {
        self.narrowed(branch, instance, input, kept, (more, Vec::new()))
    }

    /// The same with what conditions say of the wall clock, under names: next to the sources, where
    /// they become conditions of the stored time.
    pub(super) fn narrowed(
        &mut self,
        branch: &Branch,
        instance: usize,
        input: &LogicalPlan,
        kept: Kept,
        (more, of_wall): (Vec<Expr>, Vec<(WallCondition<'_>, String)>),
    ) -> Result<LogicalPlan, PlanError> {
        let mut needs = Needs::default();
        let time = branch.time.clone();
        let time = time.ok_or_else(|| PlanError::Internal("a window without a time".to_owned()))?;
        let wall = match &branch.earlier {
            Some(earlier) => TimeOf { shift: earlier.rows.clone(), ..time.clone() }.wall_clock()?,
            None => time.wall_clock()?,
        };
        let moment = time.instant.clone();
        needs.times.insert(instance, time);
        needs.entities.extend(branch.entity.clone().map(|entity| (instance, entity)));
        let columns = self.carry(branch, instance, &mut needs)?;
        let mut carried = |rewriter: &mut super::Rewriter<'_>, expr: Expr| {
            let name = rewriter.carried_name();
            needs.extras.entry(instance).or_default().push((name.clone(), expr));
            column(name)
        };
        let mut conditions = Vec::new();
        for (condition, name) in of_wall {
            conditions.push(carried(self.rewriter, condition(wall.clone())).alias(name));
        }
        let wall = carried(self.rewriter, wall);
        let mut series = Vec::new();
        if let Over::Series(it) = &branch.over {
            series.push(carried(self.rewriter, moment).alias(MOMENT));
            for (index, expr) in it.per.iter().enumerate() {
                series.push(carried(self.rewriter, expr.clone()).alias(series_key(index)));
            }
        }
        let mut rows_key = Vec::new();
        for (index, expr) in self.row_key.clone().into_iter().enumerate() {
            rows_key.push(carried(self.rewriter, expr).alias(row_key(index)));
        }
        let rows = self.rewriter.rewrite(input, &needs)?;
        let schema = rows_schema(&rows);
        let mut exprs = vec![located(wall, &schema)?.alias(WALL)];
        for (index, key) in self.other_keys(instance) {
            exprs.push(key.alias(other_key(index)));
        }
        let mut counted = None;
        for index in &branch.atoms {
            let value = columns.arguments.get(index).cloned().unwrap_or_else(|| lit(1i64));
            exprs.push(located(value, &schema)?.alias(argument(*index)));
            let rules = columns.conditions.get(index).into_iter().flatten().cloned();
            let own = rules.clone().chain(self.atoms[*index].filter.clone()).reduce(and);
            let own = located(own.unwrap_or_else(|| lit(true)), &schema)?;
            exprs.push(own.clone().alias(condition(*index)));
            let is_kept = match kept {
                Kept::All => lit(true),
                Kept::Existing => located(rules.reduce(and).unwrap_or_else(|| lit(true)), &schema)?,
                Kept::Counted => own,
            };
            counted = Some(match counted {
                None => is_kept,
                Some(known) => super::or(known, is_kept),
            });
        }
        for expr in series.into_iter().chain(rows_key).chain(conditions).chain(more) {
            exprs.push(located(expr, &schema)?);
        }
        let rows = match counted {
            Some(counted) => filtered(rows, counted)?,
            None => rows,
        };
        projected(rows, exprs)
    }

    /// The keys that aren't the period, with their positions.
    pub(super) fn other_keys(&self, instance: usize) -> Vec<(usize, Expr)> {
        let keys = self.aggregate.group_expr.iter().cloned().enumerate();
        keys.filter(|(_, key)| !self.reads_time(key, instance)).collect()
    }

    /// The statement's keys over narrowed rows.
    pub(super) fn outer_keys(&self, periods: &Periods) -> Vec<Expr> {
        let period = periods.key.as_ref().map(|(index, ..)| *index);
        let keys = 0..self.aggregate.group_expr.len();
        keys.map(|index| match Some(index) == period {
            true => column(PERIOD),
            false => column(other_key(index)),
        })
        .collect()
    }

    /// The values of each part of time and the other keys.
    pub(super) fn by_part(
        &self,
        branch: &Branch,
        periods: &Periods,
        rows: LogicalPlan,
        more: Vec<Expr>,
    ) -> Result<LogicalPlan, PlanError> {
        let period = periods.key.as_ref().map(|(index, ..)| *index);
        let mut keys = vec![periods.part().truncated(column(WALL)).alias(WALL)];
        let others = (0..self.aggregate.group_expr.len()).filter(|index| Some(*index) != period);
        keys.extend(others.map(|index| column(other_key(index))));
        let mut values = Vec::new();
        for index in &branch.atoms {
            let value = self.counting(branch, *index)?;
            values.push(value.alias(atom_name(*index)));
        }
        values.extend(more);
        aggregated(rows, keys, values)
    }

    /// The moment at which the window begins that ends at `end`, of a period; None of all time.
    fn window_start(
        &self,
        period: Expr,
        end: Expr,
        periods: &Periods,
        shape: Shape,
    ) -> Option<Expr> {
        let begin = match (shape.window, shape.beside) {
            (Window::All, _) => return None,
            (Window::ToDate(grain), _) => return Some(grain.truncated(end - moment::instant())),
            (Window::Trailing(_), None) => end,
            (Window::Trailing(_), Some(Beside::LastDay)) if periods.may_be_open() => {
                Grain::Of(Unit::Day).truncated(end - moment::instant())
            }
            (Window::Trailing(_), Some(_)) => as_timestamp(period),
        };
        match shape.window {
            Window::Trailing(span) => Some(begin - span.interval()),
            _ => None,
        }
    }

    /// The rows that can be in a window of a period that the statement asks for. Later periods'
    /// windows neither begin nor end earlier, so the first and the last one say it.
    fn within_reach(
        &self,
        rows: LogicalPlan,
        branch: &Branch,
        asked: &Asked,
        periods: &Periods,
        shape: impl Into<Shape>,
    ) -> Result<LogicalPlan, PlanError> {
        // Its windows are those of other periods than the ones that are asked for.
        if branch.earlier.is_some() {
            return Ok(rows);
        }
        let shape = shape.into();
        let mut conditions = Vec::new();
        let period = |moment| periods.grain().truncated(moment);
        for from in asked.from.iter().cloned() {
            // What is open ends with its first day at the earliest.
            let first = period(from);
            let end = match periods.may_be_open() {
                true => Grain::Of(Unit::Day).next(as_timestamp(first.clone())),
                false => Some(periods.end(first.clone())?),
            };
            let end = end.ok_or_else(one_period)?;
            if let Some(start) = self.window_start(first, end, periods, shape) {
                conditions.push(column(WALL).gt_eq(start));
            }
        }
        for last in asked.last.iter().cloned() {
            conditions.push(column(WALL).lt(periods.end(period(last))?));
        }
        match conditions.into_iter().reduce(and) {
            Some(reach) => filtered(rows, reach),
            None => Ok(rows),
        }
    }

    /// Whether a row is in the window of a period.
    pub(super) fn inside(
        &self,
        period: Expr,
        periods: &Periods,
        shape: impl Into<Shape>,
    ) -> Result<Expr, PlanError> {
        let end = periods.end(period.clone())?;
        let inside = column(WALL).lt(end.clone());
        Ok(match self.window_start(period, end, periods, shape.into()) {
            Some(start) => and(column(WALL).gt_eq(start), inside),
            None => inside,
        })
    }

    /// Each row with each of the periods whose window it is in.
    fn within(
        &self,
        rows: LogicalPlan,
        shown: LogicalPlan,
        periods: &Periods,
        branch: &Branch,
        shape: impl Into<Shape>,
    ) -> Result<LogicalPlan, PlanError> {
        let shape = shape.into();
        let by = branch.earlier.as_ref().map(|it| &it.by);
        let shown_period = as_timestamp(column(PERIOD));
        let period = by.map_or_else(|| column(PERIOD), |by| by.earlier(shown_period.clone()));
        let (shown, mut inside) = match periods.may_be_open() {
            true => self.windows_of(shown, period, periods, branch, shape)?,
            false => (shown, self.inside(period, periods, shape)?),
        };
        let by = by.filter(|by| periods.has_gaps(by));
        if let Some(has_earlier) = by.and_then(|by| by.has_earlier(shown_period)) {
            inside = and(inside, has_earlier);
        }
        filtered(beside(rows, shown)?, inside)
    }

    /// Periods that may be open with the moments between which their windows are, and whether a row
    /// is in one.
    fn windows_of(
        &self,
        shown: LogicalPlan,
        period: Expr,
        periods: &Periods,
        branch: &Branch,
        shape: Shape,
    ) -> Result<(LogicalPlan, Expr), PlanError> {
        let missing = || PlanError::Internal("a window without a scan".to_owned());
        let instance = branch.instance.ok_or_else(missing)?;
        let shown = beside(shown, self.last_known_day(branch, instance, LAST_DAY)?)?;
        let end = periods.known_end(period.clone())?;
        let mut columns = vec![column(PERIOD), end.clone().alias(WINDOW_END)];
        let mut inside = column(WALL).lt(column(WINDOW_END));
        if let Some(start) = self.window_start(period, end, periods, shape) {
            columns.push(start.alias(WINDOW_START));
            inside = and(column(WALL).gt_eq(column(WINDOW_START)), inside);
        }
        Ok((projected(shown, columns)?, inside))
    }

    // ---- series ----

    /// The rows among which each series has its value, and what tells series and periods apart.
    fn series_rows(
        &mut self,
        branch: &Branch,
        all: &[Branch],
        instance: usize,
        periods: &Periods,
        (series, kept): (&Series, Kept),
    ) -> Result<(LogicalPlan, Vec<Expr>), PlanError> {
        let missing = || PlanError::Internal("a series without a value".to_owned());
        let atom = *branch.atoms.first().ok_or_else(missing)?;
        let rows = match series.carry {
            Some(carry) => {
                let shown = self.shown_periods(branch, all, instance, periods)?;
                let rows = without_time(self.input, instance)?;
                let rows = self.narrow(branch, instance, &rows, kept, Vec::new())?;
                let carried = series.shape(carry);
                let asked = self.asked_times(instance);
                let rows = self.within_reach(rows, branch, &asked, periods, carried)?;
                self.within(rows, shown, periods, branch, carried)?
            }
            None => {
                let period = periods.key.iter().map(|(_, _, key)| key.clone().alias(PERIOD));
                let input = self.input.clone();
                self.narrow(branch, instance, &input, kept, period.collect())?
            }
        };
        let present = column(argument(atom)).is_not_null();
        let rows = filtered(rows, and(present, column(WALL).is_not_null()))?;
        let mut of_series: Vec<Expr> = periods.key.iter().map(|_| column(PERIOD)).collect();
        of_series.extend((0..series.per.len()).map(|index| column(series_key(index))));
        Ok((rows, of_series))
    }

    /// One row of each series and period, added up. A FILTER leaves snapshots out, not groups.
    fn series(
        &mut self,
        branch: &Branch,
        all: &[Branch],
        instance: usize,
        periods: &Periods,
        series: &Series,
    ) -> Result<LogicalPlan, PlanError> {
        let missing = || PlanError::Internal("a series without a value".to_owned());
        let atom = *branch.atoms.first().ok_or_else(missing)?;
        let keys = self.outer_keys(periods);
        if let Some(rows) = self.carried_once(branch, all, instance, periods, series, atom)? {
            return self.shown_sums(rows, keys, atom);
        }
        let mut rows =
            self.picked(branch, all, instance, periods, (series, Kept::Counted), atom)?;
        if self.atoms[atom].filter.is_some() {
            let existing =
                self.picked(branch, all, instance, periods, (series, Kept::Existing), atom)?;
            let value = column(argument(atom));
            let none = cast(lit(ScalarValue::Null), value.get_type(rows.schema())?);
            let with = |value: Expr| keys.iter().cloned().chain([value]).collect();
            let none = with(none.alias(argument(atom)));
            let both = [projected(rows, with(value))?, projected(existing, none)?];
            let both = both.into_iter().map(Arc::new).collect();
            rows = LogicalPlan::Union(Union::try_new_with_loose_types(both)?);
        }
        let sum = aggregate("sum", column(argument(atom)))?.alias(atom_name(atom));
        aggregated(rows, keys, vec![sum])
    }

    /// The value of each series in each period, with the other keys.
    fn picked(
        &mut self,
        branch: &Branch,
        all: &[Branch],
        instance: usize,
        periods: &Periods,
        (series, kept): (&Series, Kept),
        atom: usize,
    ) -> Result<LogicalPlan, PlanError> {
        let (rows, mut of_series) =
            self.series_rows(branch, all, instance, periods, (series, kept))?;
        match series.pick {
            Pick::Last if self.other_keys(instance).is_empty() => {
                aggregated(rows, of_series, vec![picked_value(series.pick, atom)?])
            }
            Pick::Last | Pick::First => picked_row(rows, of_series, series.pick, atom),
            Pick::Min | Pick::Max | Pick::Avg => {
                let others = self.other_keys(instance).into_iter();
                of_series.extend(others.map(|(index, _)| column(other_key(index))));
                aggregated(rows, of_series, vec![picked_value(series.pick, atom)?])
            }
        }
    }
}

/// Each row of the one beside each of the other.
fn beside(left: LogicalPlan, right: LogicalPlan) -> Result<LogicalPlan, PlanError> {
    Ok(LogicalPlan::Join(Join::try_new(
        Arc::new(left),
        Arc::new(right),
        Vec::new(),
        None,
        JoinType::Inner,
        JoinConstraint::On,
        NullEquality::NullEqualsNothing,
        false,
    )?))
}

/// The value of a series in a group of its rows, as its argument.
pub(super) fn picked_value(pick: Pick, atom: usize) -> Result<Expr, PlanError> {
    let value = column(argument(atom));
    let picked = match pick {
        Pick::Last | Pick::First => last_value(atom)?,
        Pick::Min => aggregate("min", value)?,
        Pick::Max => aggregate("max", value)?,
        Pick::Avg => aggregate("avg", cast(value, DataType::Float64))?,
    };
    Ok(picked.alias(argument(atom)))
}

pub(super) fn series_key(index: usize) -> String {
    format!("__s{index}")
}

/// The last value; of those of one moment the greatest.
fn last_value(atom: usize) -> Result<Expr, PlanError> {
    let missing = || PlanError::Internal("no aggregate last_value".to_owned());
    let last = registry().aggregate.get("last_value").ok_or_else(missing)?;
    let order = |name: &str| Sort { expr: column(name), asc: true, nulls_first: true };
    let order = vec![order(MOMENT), order(&argument(atom))];
    let value = vec![column(argument(atom))];
    Ok(Expr::AggregateFunction(AggregateFunction::new_udf(
        Arc::clone(last),
        value,
        false,
        None,
        order,
        None,
    )))
}

/// The last (or first) row of each series; of rows of one moment, the one with the greatest value.
fn picked_row(
    rows: LogicalPlan,
    partition_by: Vec<Expr>,
    pick: Pick,
    atom: usize,
) -> Result<LogicalPlan, PlanError> {
    let order = |expr, asc| Sort { expr, asc, nulls_first: false };
    let order =
        vec![order(column(MOMENT), pick == Pick::First), order(column(argument(atom)), false)];
    let number = over("row_number", Vec::new(), &partition_by, order)?;
    let name = number.schema_name().to_string();
    let numbered = WindowNode::try_new(vec![number], Arc::new(rows))?;
    filtered(LogicalPlan::Window(numbered), column(name).eq(lit(1u64)))
}

impl Series {
    /// The rows among which a series has its value in a period: the last one is that of the period's
    /// last day, any other that of all its days, with what is carried into them.
    pub(super) fn shape(&self, carry: Span) -> Shape {
        let beside = match self.pick {
            Pick::Last => Beside::LastDay,
            Pick::First | Pick::Min | Pick::Max | Pick::Avg => Beside::Period,
        };
        Shape { window: Window::Trailing(carry), beside: Some(beside) }
    }
}

/// A window, and what it has beside its length.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) window: Window,
    pub(super) beside: Option<Beside>,
}

/// What of a period is in a window beside the window's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    LastDay,
    Period,
}

impl From<Window> for Shape {
    fn from(window: Window) -> Self {
        Self { window, beside: None }
    }
}

/// The plan without its filters of a scan's time.
pub(super) fn without_time(plan: &LogicalPlan, instance: usize) -> Result<LogicalPlan, PlanError> {
    let mut mixed = false;
    let without = plan.clone().transform_up(|node| {
        let LogicalPlan::Filter(filter) = &node else { return Ok(Transformed::no(node)) };
        let mut kept = Vec::new();
        for conjunct in split_conjunction(&filter.predicate) {
            let found = reads(&filter.input, conjunct, instance);
            match (found.time, found.other) {
                (false, _) => kept.push(conjunct.clone()),
                (true, false) => {}
                (true, true) => mixed = true,
            }
        }
        let input = Arc::clone(&filter.input);
        Ok(Transformed::yes(match kept.into_iter().reduce(and) {
            Some(predicate) => LogicalPlan::Filter(Filter::try_new(predicate, input)?),
            None => Arc::unwrap_or_clone(input),
        }))
    })?;
    match mixed {
        false => Ok(without.data),
        true => Err(PlanError::NotSupported {
            what: "a condition of time and something else on a metric over time".to_owned(),
            hint: Some("Write them as two conditions, joined by AND.".to_owned()),
        }),
    }
}
