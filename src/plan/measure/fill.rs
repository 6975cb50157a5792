//! Gap-filled answers: each period of the asked range has a row, up to the watermark.
//!
//! The asked range is what the statement's own filters say of a scan's time: its first moment, or
//! that of the first row that counts, and its last, or the last moment before the watermark. From the
//! first moment on one moment is taken in each period, by steps of the grain, and the statement's own
//! key is computed for it: so the key may be any expression that cuts time. These keys are united
//! with the groups of the branches, like a branch that has no values.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::utils::{grouping_set_to_exprlist, split_conjunction};
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, Union,
    cast, lit, when,
};

use super::super::clock;
use super::super::error::PlanError;
use super::super::expand::{Reading, TimeOf, call, newest, row_time};
use super::super::rewrite::{aggregate, aggregated, filtered, projected};
use super::super::spread::Spread;
use super::super::trace::{Below, below, followed, reads, scans_of};
use super::moment::{comparisons, cut, instant};
use super::windows::{Kept, WALL};
use super::{Branch, Evaluation, collect_filters, key_name};
use crate::bind::{ScanClock, ScanKind};
use crate::functions::time::{TIMESTAMP, timestamptz};
use crate::functions::{Grain, Unit};
use crate::model::Model;

/// 1 in groups whose period is in the asked range, before the watermark.
pub(crate) const KNOWN: &str = "__known";

pub(super) const FIRST: &str = "__first";
const LAST: &str = "__last";
pub(super) const NEWEST: &str = "__newest";
const COUNT: &str = "__count";
const NUMBER: &str = "__n";
pub(super) const MOMENT: &str = "__moment";

/// The scan by whose periods an aggregation is to be filled, and where the key is among its keys.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filling {
    instance: usize,
    /// The key's position.
    pub(super) key: usize,
    grain: Grain,
    /// Whether the key is a time with time zone.
    of_instants: bool,
}

pub(super) fn column(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

fn refused(what: &str, hint: &str) -> PlanError {
    PlanError::NotSupported { what: format!("canon.fill {what}"), hint: Some(hint.to_owned()) }
}

/// How an aggregation is to be filled; None where that isn't asked for, or where it doesn't group by
/// time.
pub(super) fn asked(
    aggregate: &Aggregate,
    input: &LogicalPlan,
) -> Result<Option<Filling>, PlanError> {
    let scans = scans_of(input);
    let is_filled = |scan: &usize| scans.get(scan).is_some_and(|scan| scan.relation.clock.fill);
    let keys = grouping_set_to_exprlist(&aggregate.group_expr)?;
    let by_time = |instance: &usize| {
        keys.iter().any(|key| reads(input, key, *instance).time && !is_final(input, key))
    };
    let mut by_time = scans.keys().copied().filter(is_filled).filter(by_time);
    let Some(instance) = by_time.next() else { return Ok(None) };
    if by_time.next().is_some() {
        return Err(one_period());
    }
    filling(aggregate, input, instance).map(Some)
}

fn no_range() -> PlanError {
    refused(
        "with a condition on time that is no range",
        "Write the range as metric_time >= '2026-01-01' AND metric_time < '2026-02-01', or SET canon.fill = off.",
    )
}

fn one_period() -> PlanError {
    refused(
        "with other keys of time than one period",
        "Group by one date_trunc of metric_time, such as date_trunc('day', metric_time), or SET canon.fill = off.",
    )
}

fn filling(
    aggregate: &Aggregate,
    input: &LogicalPlan,
    instance: usize,
) -> Result<Filling, PlanError> {
    let mut found = None;
    for (key, expr) in aggregate.group_expr.iter().enumerate() {
        let read = reads(input, expr, instance);
        if !read.time || is_final(input, expr) {
            continue;
        }
        let cut =
            cut(input, expr).filter(|_| !read.other && found.is_none()).ok_or_else(one_period)?;
        let grain = cut.grain.filter(|grain| grain.reach().is_some()).ok_or_else(one_period)?;
        if cut.of_instants && grain.unit() >= Unit::Day {
            return Err(refused(
                "by days of metric_instant",
                "Group by date_trunc('day', metric_time): its days are those of the metric's zone.",
            ));
        }
        found = Some(Filling { instance, key, grain, of_instants: cut.of_instants });
    }
    found.ok_or_else(one_period)
}

fn is_final(input: &LogicalPlan, key: &Expr) -> bool {
    let (plan, meant) = followed(input, key);
    matches!(meant, Expr::Column(name) if matches!(below(plan, name),
        Below::Scan(_, scanned) if matches!(scanned.kind, ScanKind::IsFinal)))
}

/// The asked range: moments, the first and the last of which are in it.
#[derive(Debug, Default)]
pub(super) struct Range {
    pub(super) first: Vec<Expr>,
    pub(super) last: Vec<Expr>,
    /// Conditions on closed days, of [`MOMENT`].
    pub(super) closed: Vec<Expr>,
}

/// How moments are written while they are counted: as wall clocks; or, where periods are shorter
/// than a day and rows have one zone, as instants in UTC, so that no hour is counted twice or missed.
pub(super) struct Moments<'a> {
    pub(super) model: &'a Model,
    pub(super) clock: &'a ScanClock,
    pub(super) time: TimeOf,
    pub(super) as_instants: bool,
    pub(super) grain: Grain,
    /// What is said of conditions that are no range.
    pub(super) no_range: fn() -> PlanError,
}

impl Moments<'_> {
    fn zone(&self) -> Expr {
        match clock::constant_zone(&self.time.zone, self.clock) {
            Some(zone) => lit(zone.name()),
            None => lit(self.model.project.timezone.name()),
        }
    }

    /// A constant that is compared with the time.
    fn constant(&self, constant: &Expr, of_instants: bool) -> Result<Expr, PlanError> {
        // A parameter may not have its type yet.
        let data_type = constant.get_type(&DFSchema::empty());
        let zoned = matches!(data_type, Ok(DataType::Timestamp(_, Some(_))));
        let utc = || lit("UTC");
        if of_instants || (self.as_instants && zoned) {
            let instant = cast(constant.clone(), timestamptz());
            return match self.as_instants {
                true => call("wall_clock", vec![instant, utc()]),
                false => call("wall_clock", vec![instant, self.zone()]),
            };
        }
        // As Postgres compares a timestamp with one that has a time zone.
        let wall = match zoned {
            true => call("wall_clock", vec![constant.clone(), lit(self.clock.time_zone.as_str())])?,
            false => cast(constant.clone(), TIMESTAMP),
        };
        match self.as_instants {
            true => call("wall_clock", vec![call("instant_at", vec![wall, self.zone()])?, utc()]),
            false => Ok(wall),
        }
    }

    /// A counted moment as the time of a row.
    fn as_time(&self, kind: &ScanKind) -> Result<Option<Expr>, PlanError> {
        let moment = column(MOMENT);
        let instant = || cast(column(MOMENT), timestamptz());
        Ok(Some(match (kind, self.as_instants) {
            (ScanKind::MetricTime, true) => call("wall_clock", vec![instant(), self.zone()])?,
            (ScanKind::MetricTime, false) => moment,
            (ScanKind::MetricInstant, true) => instant(),
            (ScanKind::IsFinal, true) => {
                let wall = call("wall_clock", vec![instant(), self.zone()])?;
                self.time.is_final_on(cast(wall, DataType::Date32), self.clock)?
            }
            (ScanKind::IsFinal, false) => {
                self.time.is_final_on(cast(moment, DataType::Date32), self.clock)?
            }
            _ => return Ok(None),
        }))
    }

    /// An expression over a scan's time, of a counted moment.
    fn of_moment(&self, plan: &LogicalPlan, expr: &Expr) -> Result<Expr, PlanError> {
        let mut fault = None;
        let replaced = expr.clone().transform_up(|node| {
            let Expr::Column(name) = &node else { return Ok(Transformed::no(node)) };
            let found = match below(plan, name) {
                Below::Scan(_, scanned) => self.as_time(&scanned.kind),
                Below::Expr(input, inner) => self.of_moment(input, inner).map(Some),
                Below::Value => Ok(None),
            };
            match found {
                Ok(Some(found)) => Ok(Transformed::yes(found)),
                Ok(None) => Ok(Transformed::no(node)),
                Err(error) => {
                    fault = Some(error);
                    Ok(Transformed::no(node))
                }
            }
        });
        match fault {
            Some(error) => Err(error),
            None => Ok(replaced?.data),
        }
    }

    /// Adds what one condition says of the range.
    fn narrow(
        &self,
        range: &mut Range,
        plan: &LogicalPlan,
        condition: &Expr,
        instance: usize,
    ) -> Result<(), PlanError> {
        let read = reads(plan, condition, instance);
        if !read.time {
            return Ok(());
        }
        let no_range = self.no_range;
        if read.other {
            return Err(no_range());
        }
        // What has no time is in no period anyway.
        if let Expr::IsNotNull(time) = condition
            && cut(plan, time).is_some()
        {
            return Ok(());
        }
        if judges_only(plan, condition) {
            range.closed.push(self.of_moment(plan, condition)?);
            return Ok(());
        }
        for (time, op, constant) in comparisons(condition).ok_or_else(no_range)? {
            self.compare(range, plan, time, op, constant)?.ok_or_else(no_range)?;
        }
        Ok(())
    }

    /// None where the comparison isn't one of time with a constant.
    fn compare(
        &self,
        range: &mut Range,
        plan: &LogicalPlan,
        time: &Expr,
        op: Operator,
        constant: &Expr,
    ) -> Result<Option<()>, PlanError> {
        let Some(cut) = cut(plan, time).filter(|cut| !cut.moved) else { return Ok(None) };
        if cut.of_instants && cut.grain.is_some() {
            return Ok(None);
        }
        let at = self.constant(constant, cut.of_instants)?;
        // Of periods the one that a constant is in, or the next, begins the range or ends it.
        let (begin, after) = match cut.grain {
            None => (at.clone(), at + instant()),
            Some(_) if self.as_instants => return Ok(None),
            Some(grain) => {
                let floor = grain.truncated(at.clone());
                let Some(next) = grain.next(floor.clone()) else { return Ok(None) };
                (when(floor.clone().eq(at), floor).otherwise(next.clone())?, next)
            }
        };
        let before = |moment: Expr| moment - instant();
        match op {
            Operator::GtEq => range.first.push(begin),
            Operator::Gt => range.first.push(after),
            Operator::Lt => range.last.push(before(begin)),
            Operator::LtEq => range.last.push(before(after)),
            Operator::Eq => {
                range.first.push(begin);
                range.last.push(before(after));
            }
            _ => return Ok(None),
        }
        Ok(Some(()))
    }

    /// What a statement's filters say of the range.
    pub(super) fn range(&self, input: &LogicalPlan, instance: usize) -> Result<Range, PlanError> {
        let mut range = Range::default();
        let mut filters = Vec::new();
        collect_filters(input, &mut filters);
        for (plan, predicate) in filters {
            for condition in split_conjunction(predicate) {
                self.narrow(&mut range, plan, condition, instance)?;
            }
        }
        Ok(range)
    }

    /// The last moment before the watermark.
    pub(super) fn known(&self) -> Result<Expr, PlanError> {
        let zone = if self.as_instants { lit("UTC") } else { self.zone() };
        Ok(call("wall_clock", vec![column(NEWEST), zone])? - instant())
    }
}

fn judges_only(plan: &LogicalPlan, expr: &Expr) -> bool {
    expr.column_refs().into_iter().all(|name| is_final(plan, &Expr::Column(name.clone())))
}

pub(super) fn extreme(name: &str, mut of: Vec<Expr>) -> Result<Expr, PlanError> {
    match of.len() {
        1 => Ok(of.remove(0)),
        _ => call(name, of),
    }
}

impl Evaluation<'_, '_, '_> {
    /// The keys that read time, one row for each period of the asked range: columns `__g…`.
    pub(super) fn spine(&mut self, branches: &[Branch]) -> Result<Option<LogicalPlan>, PlanError> {
        let Some(filling) = self.filling else { return Ok(None) };
        let scans = scans_of(self.input);
        let missing = || PlanError::Internal("a filled scan is missing".to_owned());
        let scan = scans.get(&filling.instance).ok_or_else(missing)?.relation;
        let own = |it: &&Branch| it.instance == Some(filling.instance) && it.time.is_some();
        let time = match branches.iter().find(own) {
            Some(branch) => branch.time.clone(),
            None => row_time(self.rewriter.model, scan)?,
        };
        let time = time.ok_or_else(missing)?;
        let has_zone = clock::constant_zone(&time.zone, &scan.clock).is_some();
        let moments = Moments {
            model: self.rewriter.model,
            clock: &scan.clock,
            as_instants: filling.grain.unit() < Unit::Day && has_zone,
            grain: filling.grain,
            time,
            no_range,
        };
        if filling.of_instants && !moments.as_instants {
            return Err(refused(
                "of metric_instant where rows have zones of their own",
                "Group by metric_time.",
            ));
        }
        let range = moments.range(self.input, filling.instance)?;
        let periods = self.periods(branches, &moments, filling, range)?;
        Ok(Some(periods))
    }

    fn periods(
        &mut self,
        branches: &[Branch],
        moments: &Moments<'_>,
        filling: Filling,
        mut range: Range,
    ) -> Result<LogicalPlan, PlanError> {
        let mut bounds = self.watermark(branches, moments)?;
        if range.first.is_empty() {
            if moments.as_instants {
                return Err(refused(
                    "by periods shorter than a day needs the first of them",
                    "Add WHERE metric_time >= '2026-01-01'.",
                ));
            }
            let first = self.first_row(branches, filling)?;
            bounds = LogicalPlanBuilder::from(bounds).cross_join(first)?.build()?;
            range.first.push(column(WALL));
        }
        range.last.push(moments.known()?);
        let first = extreme("greatest", range.first)?.alias(FIRST);
        let last = extreme("least", range.last)?.alias(LAST);
        let bounds = projected(bounds, vec![first, last])?;
        let bounds = filtered(bounds, column(FIRST).lt_eq(column(LAST)))?;
        let unit = lit(moments.grain.step().name());
        // Weeks may begin on any day: one more step, cut off at the last moment, misses none.
        let count = call("periods_between", vec![unit.clone(), column(FIRST), column(LAST)])?;
        let count = call("checked_periods", vec![count + lit(2i64)])?.alias(COUNT);
        let bounds = projected(bounds, vec![column(FIRST), column(LAST), count])?;
        let steps = Spread::plan(bounds, NUMBER, lit(0i64), column(COUNT))?;
        let moment = call("periods_after", vec![unit, column(FIRST), column(NUMBER)])?;
        let moment = when(moment.clone().lt(column(LAST)), moment).otherwise(column(LAST))?;
        let mut steps = projected(steps, vec![moment.alias(MOMENT)])?;
        for closed in range.closed {
            steps = filtered(steps, closed)?;
        }
        let mut keys = Vec::new();
        for (index, key) in self.aggregate.group_expr.iter().enumerate() {
            if reads(self.input, key, filling.instance).time {
                let key = moments.of_moment(self.input, key)?;
                let declared = self.aggregate.schema.field(index).data_type();
                keys.push(cast(key, declared.clone()).alias(key_name(index)));
            }
        }
        Ok(LogicalPlan::Distinct(Distinct::All(Arc::new(projected(steps, keys)?))))
    }

    /// Up to when all sources are known, as one row.
    fn watermark(
        &self,
        branches: &[Branch],
        moments: &Moments<'_>,
    ) -> Result<LogicalPlan, PlanError> {
        let from = Reading { model: self.rewriter.model, clock: moments.clock };
        let scans = scans_of(self.input);
        let mut known: Vec<LogicalPlan> = Vec::new();
        for branch in branches {
            let scan = branch.instance.and_then(|instance| scans.get(&instance));
            let (Some(scan), Some(name)) = (scan, &branch.entity) else { continue };
            let entity = match &scan.relation.relation.entity {
                own if own.name == *name => own.as_ref(),
                _ => self.rewriter.entity(name)?,
            };
            let time = branch.time.as_ref().unwrap_or(&moments.time);
            let mut sources = vec![(entity, &time.instant)];
            // A journey is known as far as the events that it follows.
            if let Some(journey) = self.rewriter.model.journeys.get(name) {
                let events = journey.events().into_iter();
                let of_events =
                    events.map(|it| Ok((self.rewriter.entity(&it.entity)?, &it.time.expr)));
                sources = of_events.collect::<Result<_, PlanError>>()?;
            }
            for (entity, at) in sources {
                let newest = newest(from, entity, at, NEWEST)?;
                if !known.contains(&newest) {
                    known.push(newest);
                }
            }
        }
        if known.is_empty() {
            let missing = || PlanError::Internal("nothing tells a watermark".to_owned());
            let filling = self.filling.ok_or_else(missing)?;
            let scan = scans.get(&filling.instance).ok_or_else(missing)?.relation;
            known.push(newest(from, &scan.relation.entity, &moments.time.instant, NEWEST)?);
        }
        known_until(known)
    }

    /// The time of the first row that counts, as one row.
    fn first_row(
        &mut self,
        branches: &[Branch],
        filling: Filling,
    ) -> Result<LogicalPlan, PlanError> {
        let input = self.input.clone();
        let own = |it: &&Branch| it.instance == Some(filling.instance) && it.time.is_some();
        let Some(first) = branches.iter().find(own) else {
            return Err(refused(
                "of plain rows needs the first period",
                "Add WHERE metric_time >= '2026-01-01'.",
            ));
        };
        let mut counting: Vec<&Branch> = vec![first];
        for branch in branches.iter().filter(own) {
            if !counting.iter().any(|known| self.counts_all_of(known, branch)) {
                counting.push(branch);
            }
        }
        let counting: Vec<Branch> = counting.into_iter().cloned().collect();
        let mut firsts = Vec::new();
        for branch in counting {
            // At the periods that offsets move them to.
            let branch = Branch { earlier: None, ..branch };
            let rows = self.narrow(&branch, filling.instance, &input, Kept::Counted, Vec::new())?;
            firsts.push(Arc::new(least_of(rows, WALL)?));
        }
        match firsts.len() {
            1 => Ok(Arc::unwrap_or_clone(firsts.remove(0))),
            _ => least_of(LogicalPlan::Union(Union::try_new_with_loose_types(firsts)?), WALL),
        }
    }

    /// Whether a branch counts all rows that another one does.
    fn counts_all_of(&self, branch: &Branch, other: &Branch) -> bool {
        let filters = |branch: &Branch| -> Vec<Option<&Expr>> {
            branch.atoms.iter().map(|index| self.atoms[*index].filter.as_ref()).collect()
        };
        let own = filters(branch);
        let keeps = |filter: &Option<&Expr>| own.contains(&None) || own.contains(filter);
        filters(other).iter().all(keeps) && self.show_the_same(branch, other)
    }

    /// The spine beside each combination of the other keys that the branches' groups have: columns
    /// `__g…` and [`KNOWN`].
    pub(super) fn filled_groups(
        &self,
        spine: &LogicalPlan,
        groups: &[LogicalPlan],
    ) -> Result<LogicalPlan, PlanError> {
        let width = self.aggregate.group_expr.len();
        let has = |name: &str| spine.schema().fields().iter().any(|field| field.name() == name);
        let others: Vec<String> = (0..width).map(key_name).filter(|name| !has(name)).collect();
        let filled = match others.is_empty() {
            true => spine.clone(),
            false => {
                let mut inputs = Vec::with_capacity(groups.len());
                for plan in groups {
                    let keys = others.iter().map(|name| column(name)).collect();
                    inputs.push(Arc::new(projected(plan.clone(), keys)?));
                }
                let all = match inputs.len() {
                    1 => inputs.remove(0),
                    _ => Arc::new(LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?)),
                };
                let others = LogicalPlan::Distinct(Distinct::All(all));
                LogicalPlanBuilder::from(others).cross_join(spine.clone())?.build()?
            }
        };
        let keys = (0..width).map(|index| column(&key_name(index)));
        projected(filled, keys.chain([lit(1i64).alias(KNOWN)]).collect())
    }
}

/// The least of some moments up to which sources are known, as one row; no row where none is.
pub(super) fn known_until(mut known: Vec<LogicalPlan>) -> Result<LogicalPlan, PlanError> {
    let known = match known.len() {
        1 => known.remove(0),
        _ => {
            let known = known.into_iter().map(Arc::new).collect();
            LogicalPlan::Union(Union::try_new_with_loose_types(known)?)
        }
    };
    // Of a single one too, so that it has one name below all that is computed from it. And the least
    // of a filter's end and of nothing would be the filter's.
    filtered(least_of(known, NEWEST)?, column(NEWEST).is_not_null())
}

fn least_of(rows: LogicalPlan, name: &str) -> Result<LogicalPlan, PlanError> {
    aggregated(rows, Vec::new(), vec![aggregate("min", column(name))?.alias(name)])
}
