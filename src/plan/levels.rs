//! Measures at a coarser level than their group's: `MEASURE(m) OVER (PARTITION BY d)`.
//!
//! Each level is an aggregation of its own over the same input, by the level's keys only, so that
//! ratios, distinct counts and the like are recomputed from rows. Its rows are joined to the groups
//! on those keys, NULL keys to NULL keys; a level without keys is one row.

use std::sync::Arc;

use datafusion::common::{Column, JoinConstraint, NullEquality};
use datafusion::logical_expr::{Aggregate, Expr, Join, JoinType, LogicalPlan};

use super::error::PlanError;
use super::measure::marked;
use super::rewrite::{Needs, Rewriter, projected};
use crate::bind::markers;

/// Whether an aggregation has measures at coarser levels.
pub(crate) fn has_levels(aggregate: &Aggregate) -> bool {
    aggregate.aggr_expr.iter().any(|expr| marked(expr, markers::MEASURE_AT).is_some())
}

/// The measures of one level.
struct Level {
    keys: Vec<Expr>,
    /// Each with its position among the aggregation's outputs.
    measures: Vec<(usize, Expr)>,
    /// What else is asked: a group that it alone has is of the level too.
    beside: Vec<Expr>,
}

/// The aggregation without measures; its output columns have the names that they had.
pub(crate) fn evaluate(
    rewriter: &mut Rewriter<'_>,
    aggregate: &Aggregate,
) -> Result<LogicalPlan, PlanError> {
    if matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]) {
        return Err(PlanError::NotSupported {
            what: "MEASURE OVER with ROLLUP, CUBE or GROUPING SETS".to_owned(),
            hint: Some("Group by plain keys, or leave OVER out.".to_owned()),
        });
    }
    let (own, levels) = divided(aggregate)?;
    let groups = Aggregate::try_new(
        Arc::clone(&aggregate.input),
        aggregate.group_expr.clone(),
        own.iter().map(|(_, expr)| expr.clone()).collect(),
    )?;
    let mut plan = rewriter.rewrite(&LogicalPlan::Aggregate(groups), &Needs::default())?;
    let width = aggregate.group_expr.len();
    let mut outputs: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    let of_group = outputs.split_off(width);
    let mut values: Vec<(usize, Expr)> =
        own.iter().map(|(position, _)| *position).zip(of_group).collect();
    for (number, level) in levels.iter().enumerate() {
        let (joined, of_level) = with_level(rewriter, aggregate, plan, level, number)?;
        plan = joined;
        values.extend(of_level);
    }
    for position in 0..aggregate.aggr_expr.len() {
        let missing = || PlanError::Internal("a level has no value".to_owned());
        let found = values.iter().rfind(|(of, _)| *of == position).ok_or_else(missing)?;
        outputs.push(found.1.clone());
    }
    let named = outputs.into_iter().zip(aggregate.schema.iter());
    let named = named
        .map(|(expr, (qualifier, field))| expr.alias_qualified(qualifier.cloned(), field.name()));
    projected(plan, named.collect())
}

/// The aggregates of the groups themselves, and the levels. A group exists where a measure has a
/// row in it, so measures at a level are measures of the group as well.
#[allow(clippy::type_complexity)] // two lists of one split
fn divided(aggregate: &Aggregate) -> Result<(Vec<(usize, Expr)>, Vec<Level>), PlanError> {
    let mut own = Vec::new();
    let mut levels: Vec<Level> = Vec::new();
    for (position, expr) in aggregate.aggr_expr.iter().enumerate() {
        let Some((args, filter)) = marked(expr, markers::MEASURE_AT) else {
            own.push((position, expr.clone()));
            continue;
        };
        let empty = || PlanError::Internal("a measure without arguments".to_owned());
        let (measure, keys) = args.split_first().ok_or_else(empty)?;
        let measure = markers::measure().call(vec![measure.clone()]);
        let measure = with_filter(measure, filter);
        own.push((position, measure.clone().alias(format!("__own{position}"))));
        let measure = (position, measure.alias(level_value(position)));
        match levels.iter_mut().find(|level| level.keys == keys) {
            Some(level) => level.measures.push(measure),
            None => {
                let (keys, measures) = (keys.to_vec(), vec![measure]);
                levels.push(Level { keys, measures, beside: Vec::new() });
            }
        }
    }
    for level in levels.iter_mut().filter(|level| !level.keys.is_empty()) {
        let is_in = |position: &usize| level.measures.iter().any(|(of, _)| of == position);
        let beside = own.iter().filter(|(position, _)| !is_in(position));
        level.beside = beside.map(|(position, expr)| beside_name(*position, expr)).collect();
    }
    Ok((own, levels))
}

fn beside_name(position: usize, expr: &Expr) -> Expr {
    expr.clone().unalias().alias(format!("__beside{position}"))
}

fn level_value(position: usize) -> String {
    format!("__level{position}")
}

fn with_filter(measure: Expr, filter: Option<&Expr>) -> Expr {
    match measure {
        Expr::AggregateFunction(mut call) => {
            call.params.filter = filter.cloned().map(Box::new);
            Expr::AggregateFunction(call)
        }
        other => other,
    }
}

/// The groups joined to the values of their level, and where each value is.
#[allow(clippy::type_complexity)] // a plan and what it has
fn with_level(
    rewriter: &mut Rewriter<'_>,
    aggregate: &Aggregate,
    groups: LogicalPlan,
    level: &Level,
    number: usize,
) -> Result<(LogicalPlan, Vec<(usize, Expr)>), PlanError> {
    let coarse = Aggregate::try_new(
        Arc::clone(&aggregate.input),
        level.keys.clone(),
        level.measures.iter().map(|(_, expr)| expr).chain(&level.beside).cloned().collect(),
    )?;
    let coarse = rewriter.rewrite(&LogicalPlan::Aggregate(coarse), &Needs::default())?;
    let columns = coarse.schema().columns().into_iter().map(Expr::Column);
    let columns = columns.take(level.keys.len() + level.measures.len()).enumerate();
    let name = |index: usize| match index.checked_sub(level.keys.len()) {
        None => format!("__level{number}_key{index}"),
        Some(value) => level_value(level.measures[value].0),
    };
    let coarse =
        projected(coarse, columns.map(|(index, column)| column.alias(name(index))).collect())?;
    let group_columns = groups.schema().columns();
    let mut on = Vec::with_capacity(level.keys.len());
    for (index, key) in level.keys.iter().enumerate() {
        let of_group = aggregate.group_expr.iter().position(|group| group == key);
        let missing = || PlanError::Internal("a level's key is no key of the group".to_owned());
        let left = group_columns[of_group.ok_or_else(missing)?].clone();
        on.push((Expr::Column(left), Expr::Column(Column::new_unqualified(name(index)))));
    }
    let values = level.measures.iter().map(|(position, _)| {
        (*position, Expr::Column(Column::new_unqualified(level_value(*position))))
    });
    let values = values.collect();
    // Each group has its level: all that makes groups is asked at the level too.
    let join_type = if on.is_empty() { JoinType::Inner } else { JoinType::Left };
    let joined = Join::try_new(
        Arc::new(groups),
        Arc::new(coarse),
        on,
        None,
        join_type,
        JoinConstraint::On,
        NullEquality::NullEqualsNull,
        false,
    )?;
    Ok((LogicalPlan::Join(joined), values))
}
