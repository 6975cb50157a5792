//! The plan that counts a metric's rows: one row for each part, united.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use datafusion::common::{Column, TableReference};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, TableScanBuilder, Union, and, lit};

use super::super::atoms::Over;
use super::super::error::PlanError;
use super::super::expand::{Reading, TimeOf, joined_sources, known_rows};
use super::super::journey;
use super::super::latest::Latest;
use super::super::measure::{self, located, rows_schema};
use super::super::rewrite::{Needs, Rewriter, aggregated, filtered, projected};
use super::super::rules;
use super::super::source::SourceTable;
use super::super::trace::Fanout;
use super::leaves::Leaf;
use super::{Place, Step};
use crate::bind::ScanClock;
use crate::functions::registry;
use crate::model::entity::BASE;
use crate::model::journey::Events;
use crate::model::{Eligibility, Entity, Model};

/// The columns that a place's rows carry for the counts.
struct Carried {
    key: Vec<Expr>,
    /// Whether the row is one of the entity's: an outer join makes up others.
    present: Expr,
    rules: Vec<Expr>,
    has_time: Expr,
}

/// What is counted, and how.
pub(super) struct Counting<'a> {
    pub(super) model: &'a Model,
    pub(super) at: DateTime<Utc>,
    pub(super) clock: &'a ScanClock,
    pub(super) place: &'a Place,
    pub(super) leaf: &'a Leaf,
    /// By which time the statement's rows are filtered; None where none matters.
    pub(super) time: Option<TimeOf>,
}

impl Counting<'_> {
    /// The plan of [`Account::plan`](super::Account::plan), and the steps that come after rules and
    /// filters.
    pub(super) fn plan(self) -> Result<(LogicalPlan, Vec<Step>), PlanError> {
        let Self { model, at, clock, place, leaf, time } = self;
        let version = &leaf.version;
        let missing = || PlanError::Internal(format!("no entity {}", version.entity));
        let entity = Arc::clone(model.entities.get(&version.entity).ok_or_else(missing)?);
        let mut rewriter = Rewriter::new(model, at);
        let atom = leaf.atom(place.instance, place.filter.as_ref())?;
        let mut rules: Vec<Expr> = atom.conditions.clone();
        let mut steps = Vec::new();
        if let Some(aggregate) = &place.aggregate
            && let Some(shift) = &leaf.shift
            && let Some(partner) = measure::partner_condition(&mut rewriter, aggregate, &atom)?
        {
            rules.push(partner);
            steps.push(Step::NoPartner(shift.to_string()));
        }
        let zeros = rules.len() + 1;
        let mut parts = source_parts(&entity, clock, zeros)?;
        let mut needs = Needs::default();
        if let Some(time) = &time {
            needs.times.insert(place.instance, time.clone());
        }
        needs.entities.insert(place.instance, version.entity.clone());
        let key: Vec<Expr> = entity.key.iter().map(|name| base_column(name)).collect();
        let carried_key = key.iter().cloned();
        let carried_key = carried_key
            .map(|expr| carry(&mut rewriter, &mut needs, place.instance, expr))
            .collect();
        let mut extra = |expr: Expr| carry(&mut rewriter, &mut needs, place.instance, expr);
        let counts_time = leaf.over == Over::Group;
        let carried = Carried {
            key: carried_key,
            present: extra(lit(true)),
            rules: rules.iter().map(|rule| extra(rule.clone())).collect(),
            has_time: match time {
                Some(time) if counts_time => extra(time.instant.is_not_null()),
                _ => extra(lit(true)),
            },
        };
        let input = match &leaf.over {
            Over::Group => place.input.clone(),
            over => measure::rows_before_time(&place.input, place.instance, over)?,
        };
        let rows = rewriter.rewrite(&input, &needs)?;
        parts.push(kept(rows, carried, place)?);
        if leaf.over != Over::Group
            && let Some(aggregate) = &place.aggregate
        {
            steps.push(match &leaf.over {
                Over::Series(series) => Step::Series(series.pick),
                _ => Step::Window,
            });
            let rows = measure::counted_over_time(&mut rewriter, aggregate, atom, key)?;
            parts.push(counted(3, rows, [None], zeros)?);
        }
        Ok((united(parts)?, steps))
    }
}

/// The plan that counts the events of a journey: which have a member and a time.
pub(super) fn of_events(
    from: Reading<'_>,
    entity: &Entity,
    events: &Events,
    rules: &[Eligibility],
) -> Result<LogicalPlan, PlanError> {
    let all = |exprs: &[Expr]| {
        exprs.iter().map(|expr| expr.clone().is_not_null()).reduce(and).unwrap_or_else(|| lit(true))
    };
    let mut conditions: Vec<Expr> = rules.iter().map(|rule| rule.expr.clone()).collect();
    let (at, late_data) = journey::counted_at(events, from.clock)?;
    conditions.extend(late_data);
    conditions.push(all(&events.member));
    conditions.push(at.clone().is_not_null());
    let zeros = conditions.len();
    let zone = lit(Tz::UTC.name());
    let time = TimeOf { instant: at, zone, window_days: 0, shift: None };
    let rows = joined_sources(from, entity, conditions.iter(), Some(&time))?;
    let name = |index: usize| format!("__is{index}");
    let named = conditions.into_iter().enumerate();
    let rows = projected(rows, named.map(|(index, expr)| expr.alias(name(index))).collect())?;
    let mut met: Vec<Option<Expr>> = Vec::new();
    let mut so_far: Option<Expr> = None;
    for index in 0..zeros {
        let own = Expr::Column(Column::new_unqualified(name(index)));
        let condition = so_far.map_or(own.clone(), |so_far| and(so_far, own));
        met.push(Some(condition.clone()));
        so_far = Some(condition);
    }
    let mut parts = source_parts(entity, from.clock, zeros)?;
    // None of those that are left is without a time.
    parts.push(counted(2, rows, met, 1)?);
    united(parts)
}

fn united(parts: Vec<LogicalPlan>) -> Result<LogicalPlan, PlanError> {
    let parts = parts.into_iter().map(Arc::new).collect();
    rules::finished(LogicalPlan::Union(Union::try_new_with_loose_types(parts)?))
}

/// The parts that count the source, what of it had come in, and that deduped.
fn source_parts(
    entity: &Entity,
    clock: &ScanClock,
    zeros: usize,
) -> Result<Vec<LogicalPlan>, PlanError> {
    let known = known_rows(entity, clock)?;
    let all = source_rows(entity, known.as_ref())?;
    let mut parts = vec![counted(0, all.clone(), [None], zeros)?];
    let rows = match known {
        None => all,
        Some(condition) => {
            let rows = filtered(all, condition)?;
            parts.push(counted(4, rows.clone(), [None], zeros)?);
            rows
        }
    };
    if let Some(dedupe) = &entity.source.dedupe {
        parts.push(counted(1, Latest::plan(rows, dedupe.clone()), [None], zeros)?);
    }
    Ok(parts)
}

fn base_column(name: &str) -> Expr {
    Expr::Column(Column::new(Some(TableReference::bare(BASE)), name))
}

/// Asks a scan for an expression; gives the column that it arrives in.
fn carry(rewriter: &mut Rewriter<'_>, needs: &mut Needs, instance: usize, expr: Expr) -> Expr {
    let extras = needs.extras.entry(instance).or_default();
    let known = extras.iter().find(|(_, known)| *known == expr).map(|(name, _)| name.clone());
    let name = known.unwrap_or_else(|| {
        let name = rewriter.carried_name();
        extras.push((name.clone(), expr));
        name
    });
    Expr::Column(Column::new_unqualified(name))
}

/// The entity's source as it is stored, with the columns that dedupe and a condition need.
fn source_rows(entity: &Entity, condition: Option<&Expr>) -> Result<LogicalPlan, PlanError> {
    let source = &entity.source;
    let read = condition.into_iter().flat_map(Expr::column_refs);
    let read: Vec<&str> = read.map(|column| column.name.as_str()).collect();
    let wanted = |name: &String| {
        entity.key.contains(name)
            || read.contains(&name.as_str())
            || source.dedupe.as_ref().is_some_and(|dedupe| {
                dedupe.by.contains(name)
                    || dedupe.latest == *name
                    || dedupe.deleted.as_ref() == Some(name)
            })
    };
    let columns = source.columns.iter().enumerate();
    let projection = columns.filter(|(_, column)| wanted(&column.name)).map(|(index, _)| index);
    let table = SourceTable::new(source.table.clone(), source.columns.clone());
    let scan = TableScanBuilder::new(TableReference::bare(source.table.as_str()), Arc::new(table))
        .with_projection(Some(projection.collect()))
        .build()?;
    Ok(LogicalPlan::TableScan(scan))
}

/// The rows that the statement leaves, counted under each rule and those before it.
fn kept(rows: LogicalPlan, carried: Carried, place: &Place) -> Result<LogicalPlan, PlanError> {
    let schema = rows_schema(&rows);
    let locate = |expr: &Expr| located(expr.clone(), &schema);
    let Carried { key, present, rules, has_time } = &carried;
    let mut exprs: Vec<Expr> = Vec::new();
    for expr in key.iter().chain([present]).chain(rules).chain([has_time]) {
        let column = locate(expr)?;
        if !exprs.contains(&column) {
            exprs.push(column);
        }
    }
    let mut condition = locate(present)?;
    if let Some(filter) = &place.filter {
        const FILTER: &str = "__filter";
        exprs.push(locate(filter)?.alias(FILTER));
        condition = and(condition, Expr::Column(Column::new_unqualified(FILTER)));
    }
    let mut rows = projected(rows, exprs)?;
    if Fanout::of(&place.input).repeats(place.instance) {
        rows = LogicalPlan::Distinct(Distinct::All(Arc::new(rows)));
    }
    let mut conditions = vec![condition.clone()];
    for rule in rules {
        condition = and(condition, locate(rule)?);
        conditions.push(condition.clone());
    }
    conditions.push(and(condition, locate(has_time)?.is_not_true()));
    counted(2, rows, conditions.into_iter().map(Some), 0)
}

/// One row: the part's number, how many of the rows meet each condition, and zeros.
fn counted(
    part: i64,
    rows: LogicalPlan,
    conditions: impl IntoIterator<Item = Option<Expr>>,
    zeros: usize,
) -> Result<LogicalPlan, PlanError> {
    let count = registry().aggregate.get("count");
    let count = count.ok_or_else(|| PlanError::Internal("no aggregate count".to_owned()))?;
    let name = |index: usize| format!("__c{index}");
    let count_if = |(index, condition): (usize, Option<Expr>)| {
        let (args, filter) = (vec![lit(1i64)], condition.map(Box::new));
        let call =
            AggregateFunction::new_udf(Arc::clone(count), args, false, filter, Vec::new(), None);
        Expr::AggregateFunction(call).alias(name(index))
    };
    let counts: Vec<Expr> = conditions.into_iter().enumerate().map(count_if).collect();
    let known = counts.len();
    let mut exprs = vec![lit(part).alias("__part")];
    exprs.extend((0..known).map(|index| Expr::Column(Column::new_unqualified(name(index)))));
    exprs.extend((known..known + zeros).map(|index| lit(0i64).alias(name(index))));
    projected(aggregated(rows, Vec::new(), counts)?, exprs)
}
