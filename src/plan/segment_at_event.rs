//! A segment as of the event: the group that a member was in at a fact's own time.
//!
//! For each member and moment that the facts ask about, its windows end at that moment, and its
//! attributes are those of the history's row that was valid then. So each pair of a member and a
//! moment is one row, however many facts share it, and nothing is multiplied by the join back.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, TableReference};
use datafusion::logical_expr::{
    Distinct, Expr, JoinType, LogicalPlan, LogicalPlanBuilder, SubqueryAlias, and, cast, lit,
};

use super::atoms::{Atoms, atom_name, version_of};
use super::clock;
use super::error::PlanError;
use super::expand::{Reading, call, joined_sources, related_rows};
use super::history;
use super::rewrite::{Rewriter, aggregated, filtered, projected};
use super::segment::{
    GROUP, first_true, key_name, nothing_or, value_of_nothing, with_values, zone_of_windows,
};
use crate::bind::ScanClock;
use crate::model::entity::{AT_EVENT, BASE};
use crate::model::segment::{SegmentValue, Window};
use crate::model::{Entity, MetricVersion, SegmentVersion, Span};

/// The moment of a pair.
pub(super) const AT: &str = "__at";

const PAIR: &str = "pair";
const MEMBER: &str = "member";
const EVENTS: &str = "events";

/// One row for each pair: the member's key `__k0`, …, [`AT`] and `__group`. `pairs` has the key and
/// the moment; pairs of members whom the entity doesn't know are left out.
///
/// # Errors
/// [`PlanError::NotSupported`] for a version that has no meaning at a moment of the past: one of
/// its rules reads a metric without a window, or an attribute of which no history is kept.
pub(super) fn rows(
    rewriter: &mut Rewriter<'_>,
    version: &SegmentVersion,
    clock: &ScanClock,
    pairs: LogicalPlan,
) -> Result<LogicalPlan, PlanError> {
    let entity = rewriter.entity(&version.entity)?;
    let width = entity.key.len();
    let pairs = aliased(pairs, PAIR)?;
    let mut plan = with_members(version, entity, clock, pairs.clone())?;
    let mut values = Vec::new();
    for (index, value) in version.values.iter().enumerate() {
        let alias = format!("value{index}");
        let (rows, metric) = value_at(rewriter, version, value, clock, pairs.clone())?;
        let rows = aliased(rows, &alias)?;
        let keys: (Vec<Column>, Vec<Column>) = (0..width)
            .map(|key| (column(PAIR, &key_name(key)), column(&alias, &key_name(key))))
            .unzip();
        let at = expr(PAIR, AT).eq(expr(&alias, AT));
        plan =
            LogicalPlanBuilder::from(plan).join(rows, JoinType::Left, keys, Some(at))?.build()?;
        let absent = expr(&alias, &key_name(0)).is_null();
        let nothing = value_of_nothing(rewriter.model, &metric)?;
        values.push(nothing_or(nothing, absent, expr(&alias, VALUE), &metric.data_type));
    }
    let conditions = version.rules.iter().map(|rule| {
        let of_member = moved(&rule.expr, &member_path(entity))?;
        with_values(&of_member, &values)
    });
    let conditions = conditions.collect::<Result<Vec<_>, PlanError>>()?;
    let names = version.rules.iter().map(|rule| rule.name.as_str());
    let group = first_true(&conditions, names, version.otherwise.as_deref());
    let mut exprs: Vec<Expr> = (0..width).map(|key| expr(PAIR, &key_name(key))).collect();
    exprs.push(expr(PAIR, AT));
    let exprs = exprs.into_iter().map(|expr| match expr {
        Expr::Column(column) => Expr::Column(column.clone()).alias(column.name),
        other => other,
    });
    projected(plan, exprs.chain([group.alias(GROUP)]).collect())
}

/// The pairs of some facts, each once: their foreign key as `__k0`, …, and their time as [`AT`].
pub(super) fn pairs_of(
    facts: LogicalPlan,
    key: &[Column],
    instant: &Expr,
) -> Result<LogicalPlan, PlanError> {
    let mut exprs = Vec::with_capacity(key.len() + 1);
    let mut present = instant.clone().is_not_null();
    for (index, column) in key.iter().enumerate() {
        let column = Expr::Column(column.clone());
        present = and(present, column.clone().is_not_null());
        exprs.push(column.alias(key_name(index)));
    }
    exprs.push(instant.clone().alias(AT));
    let pairs = projected(filtered(facts, present)?, exprs)?;
    Ok(LogicalPlan::Distinct(Distinct::All(Arc::new(pairs))))
}

const VALUE: &str = "__value";

fn aliased(plan: LogicalPlan, alias: &str) -> Result<LogicalPlan, PlanError> {
    let alias = TableReference::bare(alias);
    Ok(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(plan), alias)?))
}

fn column(alias: &str, name: &str) -> Column {
    Column::new(Some(TableReference::bare(alias)), name)
}

fn expr(alias: &str, name: &str) -> Expr {
    Expr::Column(column(alias, name))
}

/// The alias of the member's rows: of a history its spans.
fn member_path(entity: &Entity) -> String {
    match entity.source.history {
        Some(_) => format!("{MEMBER}{AT_EVENT}"),
        None => MEMBER.to_owned(),
    }
}

/// The pairs whose member there is, with what the rules read of it.
fn with_members(
    version: &SegmentVersion,
    entity: &Entity,
    clock: &ScanClock,
    pairs: LogicalPlan,
) -> Result<LogicalPlan, PlanError> {
    let path = member_path(entity);
    let read = version.rules.iter().flat_map(|rule| rule.expr.column_refs());
    let mut columns: std::collections::BTreeSet<String> = entity.key.iter().cloned().collect();
    for read in read.filter(|column| column.relation.is_some()) {
        let is_own = read.relation.as_ref().is_some_and(|it| it.table() == BASE);
        let is_known = entity.source.history.is_some() || entity.key.contains(&read.name);
        if !is_own || !is_known {
            return Err(without_past(version, "an attribute of which no history is kept"));
        }
        columns.insert(read.name.clone());
    }
    let members = related_rows(entity, &path, &columns, clock)?;
    let keys: (Vec<Column>, Vec<Column>) = (0..entity.key.len())
        .map(|index| (column(PAIR, &key_name(index)), column(&path, &entity.key[index])))
        .unzip();
    let then = entity.source.history.as_ref().map(|_| history::holds(&path, &expr(PAIR, AT)));
    Ok(LogicalPlanBuilder::from(pairs).join(members, JoinType::Inner, keys, then)?.build()?)
}

fn without_past(version: &SegmentVersion, reads: &str) -> PlanError {
    let SegmentVersion { segment, version, .. } = version;
    PlanError::NotSupported {
        what: format!(
            "segment \"{segment}\" as of the event, whose version {version} reads {reads},"
        ),
        hint: Some("Ask for the group as it is now, by its name without _at_event.".to_owned()),
    }
}

/// An expression over the entity's own source, over another alias of it.
fn moved(rule: &Expr, path: &str) -> Result<Expr, PlanError> {
    let moved = rule.clone().transform_up(|node| {
        Ok(match &node {
            Expr::Column(read) if read.relation.is_some() => {
                Transformed::yes(expr(path, &read.name))
            }
            _ => Transformed::no(node),
        })
    })?;
    Ok(moved.data)
}

/// A metric's value for each pair that has rows in the window, and the metric.
fn value_at(
    rewriter: &mut Rewriter<'_>,
    version: &SegmentVersion,
    value: &SegmentValue,
    clock: &ScanClock,
    pairs: LogicalPlan,
) -> Result<(LogicalPlan, Arc<MetricVersion>), PlanError> {
    let model = rewriter.model;
    let Some(window) = value.window else {
        return Err(without_past(version, "a metric without a window of time"));
    };
    let (_, metric) = version_of(model, &value.metric)?;
    if metric.drills_across() {
        return Err(without_past(version, "a metric over several entities"));
    }
    let mut atoms = Atoms::default();
    let formula = atoms.formula(model, metric, 0, None)?;
    let time = atoms.list.first().and_then(|atom| atom.time.clone());
    let no_time = || PlanError::NoTime { metric: metric.metric.clone() };
    let time = time.ok_or_else(no_time)?;
    if atoms.list.iter().any(|atom| atom.time.as_ref() != Some(&time)) {
        return Err(without_past(version, "a metric that counts by several times"));
    }
    let entity = rewriter.entity(&metric.entity)?;
    let mut outputs: Vec<(String, Expr)> = Vec::new();
    for (index, key) in value.key.iter().enumerate() {
        outputs.push((key_name(index), entity.dimensions[key.index].expr.clone()));
    }
    outputs.push((AT.to_owned(), time.instant.clone()));
    for (index, atom) in atoms.list.iter().enumerate() {
        let argument = atom.argument.clone();
        outputs.extend(argument.map(|argument| (argument_name(index), argument)));
        let condition = atom.conditions.iter().cloned().reduce(and);
        outputs.extend(condition.map(|condition| (condition_name(index), condition)));
    }
    for (_, output) in &mut outputs {
        *output = clock::resolved(std::mem::take(output), clock)?;
    }
    let from = Reading { model, clock };
    let rows = joined_sources(from, entity, outputs.iter().map(|(_, it)| it), Some(&time))?;
    let rows = projected(rows, outputs.iter().map(|(name, it)| it.clone().alias(name)).collect())?;
    let named = |name: &String| outputs.iter().any(|(known, _)| known == name);
    let rows = aliased(rows, EVENTS)?;
    let keys: (Vec<Column>, Vec<Column>) = (0..value.key.len())
        .map(|key| (column(PAIR, &key_name(key)), column(EVENTS, &key_name(key))))
        .unzip();
    let zone = zone_of_windows(model, metric).name();
    let wall = |alias: &str| call("wall_clock", vec![expr(alias, AT), lit(zone)]);
    let begun = wall(EVENTS)?.gt(wall(PAIR)? - span(window)?.interval());
    let inside = and(begun, expr(EVENTS, AT).lt_eq(expr(PAIR, AT)));
    let joined =
        LogicalPlanBuilder::from(pairs).join(rows, JoinType::Inner, keys, Some(inside))?.build()?;
    let mut groups: Vec<Expr> =
        (0..value.key.len()).map(|key| expr(PAIR, &key_name(key))).collect();
    groups.push(expr(PAIR, AT));
    let mut aggregates = Vec::new();
    for (index, atom) in atoms.list.iter().enumerate() {
        let of = |name: String| named(&name).then(|| expr(EVENTS, &name));
        let value = atom.aggregate(of(argument_name(index)), of(condition_name(index)))?;
        aggregates.push(value.alias(atom_name(index)));
    }
    let values = aggregated(joined, groups.clone(), aggregates)?;
    let mut exprs: Vec<Expr> = Vec::new();
    for group in groups {
        if let Expr::Column(column) = group {
            exprs.push(Expr::Column(column.clone()).alias(column.name));
        }
    }
    exprs.push(cast(formula, metric.data_type.clone()).alias(VALUE));
    Ok((projected(values, exprs)?, Arc::clone(metric)))
}

fn argument_name(index: usize) -> String {
    format!("__v{index}")
}

fn condition_name(index: usize) -> String {
    format!("__f{index}")
}

fn span(window: Window) -> Result<Span, PlanError> {
    let long = |_| PlanError::Internal("a window of centuries".to_owned());
    Ok(match window {
        Window::Days(days) => Span { months: 0, days: i32::try_from(days).map_err(long)? },
        Window::Months(months) => Span { months: i32::try_from(months).map_err(long)?, days: 0 },
    })
}
