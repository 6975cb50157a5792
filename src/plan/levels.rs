//! Measures at a coarser level than their group's: `MEASURE(m) OVER (PARTITION BY d)`.
//!
//! Each level is an aggregation of its own over the same input, by the level's keys only, so that
//! ratios, distinct counts and the like are recomputed from rows. Its rows are joined to the groups
//! on those keys, NULL keys to NULL keys; a level without keys is one row. Counts and sums are summed
//! from the groups instead, so that the rows are read once.

use std::sync::Arc;

use datafusion::common::{Column, JoinConstraint, NullEquality, ScalarValue};
use datafusion::logical_expr::{
    Aggregate, Expr, ExprSchemable, Join, JoinType, LogicalPlan, Window, cast, lit, when,
};

use super::atoms::{Atom, Atoms, atom_name};
use super::error::PlanError;
use super::measure::{marked, substitute};
use super::rewrite::{Needs, Rewriter, formula_of, projected};
use super::shares::over;
use super::trace::{scan_column, scans_of};
use crate::bind::{ScanKind, markers};
use crate::model::{Aggregation, MetricKind};

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
        let (with, of_level) = match is_additive(&aggregate.input, level) {
            true => summed(aggregate, plan, level, &values)?,
            false => with_level(rewriter, aggregate, plan, level, number)?,
        };
        plan = with;
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

/// Whether a level's values are the sums of its groups': each row of a measure is in one group, and
/// is counted or summed there. So it is where no join repeats rows, no condition leaves groups out
/// before the level is computed, and no group without rows is filled.
fn is_additive(input: &LogicalPlan, level: &Level) -> bool {
    let is_sum = |measure: &Expr| {
        let (args, _) = marked(measure, markers::MEASURE)?;
        let [Expr::Column(column)] = args else { return None };
        let (_, _, column) = scan_column(input, column)?;
        let ScanKind::Measure(version) = &column.kind else { return None };
        let is_sum =
            matches!(version.kind, MetricKind::Aggregate(Aggregation::Count | Aggregation::Sum(_)));
        Some(is_sum)
    };
    let mut measures = level.measures.iter();
    let scans = scans_of(input);
    let is_filled = scans.values().any(|scan| scan.relation.clock.fill);
    scans.len() == 1 && !is_filled && measures.all(|(_, measure)| is_sum(measure) == Some(true))
}

/// Which of the group's keys a level's is. A group's may have the name of what a rule has replaced.
fn place_of(aggregate: &Aggregate, key: &Expr) -> Result<usize, PlanError> {
    let plain = |expr: &Expr| expr.clone().unalias();
    let found = aggregate.group_expr.iter().position(|group| plain(group) == plain(key));
    found.ok_or_else(|| PlanError::Internal("a level's key is no key of the group".to_owned()))
}

/// The groups beside the sums of their level's, and where each value is.
#[allow(clippy::type_complexity)] // a plan and what it has
fn summed(
    aggregate: &Aggregate,
    groups: LogicalPlan,
    level: &Level,
    values: &[(usize, Expr)],
) -> Result<(LogicalPlan, Vec<(usize, Expr)>), PlanError> {
    let columns = groups.schema().columns();
    let mut keys = Vec::with_capacity(level.keys.len());
    for key in &level.keys {
        keys.push(Expr::Column(columns[place_of(aggregate, key)?].clone()));
    }
    let mut sums = Vec::with_capacity(level.measures.len());
    let mut of_level = Vec::with_capacity(level.measures.len());
    for (position, _) in &level.measures {
        let missing = || PlanError::Internal("a measure has no value in its group".to_owned());
        let own = values.iter().rfind(|(of, _)| of == position).ok_or_else(missing)?;
        let data_type = own.1.get_type(groups.schema())?;
        let sum = over("sum", vec![own.1.clone()], &keys, Vec::new())?;
        sums.push(sum.alias(level_value(*position)));
        let sum = Expr::Column(Column::new_unqualified(level_value(*position)));
        of_level.push((*position, cast(sum, data_type)));
    }
    let window = Window::try_new(sums, Arc::new(groups))?;
    Ok((LogicalPlan::Window(window), of_level))
}

/// What each measure of a level is where no row counts, as 0 for counts; None where each group has
/// rows in its level.
fn without_rows(
    rewriter: &Rewriter<'_>,
    input: &LogicalPlan,
    level: &Level,
) -> Result<Option<Vec<Expr>>, PlanError> {
    let mut ends_with_period = false;
    let mut formula = |measure: &Expr| {
        let Some((args, filter)) = marked(measure, markers::MEASURE) else { return Ok(None) };
        let empty = || PlanError::Internal("a measure without arguments".to_owned());
        let argument = args.first().ok_or_else(empty)?;
        let mut atoms = Atoms::default();
        let formula = formula_of(rewriter.model, &mut atoms, input, argument, filter)?;
        ends_with_period |= atoms.list.iter().any(|atom| atom.over.ends_with_period());
        let value = |atom: &Atom| match atom.counts() {
            true => lit(0i64),
            false => lit(ScalarValue::Int64(None)),
        };
        let values = atoms.list.iter().enumerate();
        let values = values.map(|(index, atom)| (atom_name(index), value(atom))).collect();
        substitute(formula, &values).map(Some)
    };
    for measure in &level.beside {
        formula(measure)?;
    }
    let mut of_level = Vec::with_capacity(level.measures.len());
    for (_, measure) in &level.measures {
        let missing = || PlanError::Internal("a level without a measure".to_owned());
        of_level.push(formula(measure)?.ok_or_else(missing)?);
    }
    Ok((ends_with_period && !level.keys.is_empty()).then_some(of_level))
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
    let has_rows = format!("__level{number}_rows");
    let name = |index: usize| match index.checked_sub(level.keys.len()) {
        None => format!("__level{number}_key{index}"),
        Some(value) => level_value(level.measures[value].0),
    };
    let mut columns: Vec<Expr> = columns.map(|(index, column)| column.alias(name(index))).collect();
    let without_rows = without_rows(rewriter, &aggregate.input, level)?;
    if without_rows.is_some() {
        columns.push(lit(true).alias(&has_rows));
    }
    let coarse = projected(coarse, columns)?;
    let group_columns = groups.schema().columns();
    let mut on = Vec::with_capacity(level.keys.len());
    for (index, key) in level.keys.iter().enumerate() {
        let left = group_columns[place_of(aggregate, key)?].clone();
        on.push((Expr::Column(left), Expr::Column(Column::new_unqualified(name(index)))));
    }
    let column = |name: String| Expr::Column(Column::new_unqualified(name));
    let mut values = Vec::with_capacity(level.measures.len());
    for (index, (position, _)) in level.measures.iter().enumerate() {
        let value = column(level_value(*position));
        let value = match &without_rows {
            Some(of) => {
                let is_there = column(has_rows.clone()).is_not_null();
                when(is_there, value).otherwise(of[index].clone())?
            }
            None => value,
        };
        values.push((*position, value));
    }
    // Each group has its level, as all that makes groups is asked at the level too; but for windows,
    // which end with the last day there.
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
