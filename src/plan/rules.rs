//! The order of the rewrites of a plan, and why.

use std::sync::Arc;

use chrono::{DateTime, Utc, Weekday};
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, Filter, LogicalPlan};
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use tracing::debug_span;

use super::error::PlanError;
use super::journey;
use super::measure::marked;
use super::push_filters::PushFilters;
use super::rewrite::{Needs, Rewriter};
use super::trace::judges_days;
use super::{computed, final_periods, labels, lateral, semi_joins, subqueries, time_ranges, weeks};
use crate::bind::{RelationScan, markers};
use crate::functions;
use crate::model::Model;

/// Applies every rule:
///
/// 0. Lateral subqueries that read no relation are computed beside the rows.
///    Weeks of `metric_time` begin on the project's day, while it is still known what is one.
///    Labels of periods as keys become the periods, and `is_final` beside periods is theirs.
/// 1. `grouping()` becomes an expression over the grouping id, while the aggregation is still the
///    statement's own.
/// 2. Columns that nobody reads go, so that a `SELECT *` in a subquery joins nothing and counts by
///    no time.
/// 3. Measures and relations are replaced by what they stand for.
/// 4. Postgres's meaning and coerced types, over the whole plan.
/// 5. Constants are folded, so that 6 and 7 see them.
///    Then subqueries that depend on the row around them become joins, which 6 may move through.
/// 6. Filters move down to the source that they are about: below joins, so that a filter of time is
///    a filter of one table, but never below a dedupe.
/// 7. Filters on wall clocks become ranges of the event column.
/// 8. Ranges of a journey's first event become ranges of all its events, and move down too.
/// 9. Joins of which only a filter is read become tests, now that filters are where they stay.
pub(crate) fn apply(
    model: &Model,
    bound: &LogicalPlan,
    at: DateTime<Utc>,
) -> Result<LogicalPlan, PlanError> {
    let pruned = pruned(model, bound)?;
    let rewrite = || Rewriter::new(model, at).rewrite(&pruned, &Needs::default());
    finished(debug_span!("rewrite").in_scope(rewrite)?)
}

/// Rules 0 to 2: the statement's own plan, as the measures are found in it.
pub(crate) fn pruned(model: &Model, bound: &LogicalPlan) -> Result<LogicalPlan, PlanError> {
    let bound = match model.project.week_start {
        Weekday::Mon => bound,
        first => &weeks::apply(bound, first)?,
    };
    let bound = &lateral::beside_rows(bound.clone())?;
    let bound = &labels::as_periods(bound)?;
    let bound = &final_periods::apply(model, bound.clone())?;
    let resolved = match calls_grouping(bound)? {
        true => &functions::grouping_resolved(bound.clone())?,
        false => bound,
    };
    let kept = subqueries::keep_what_they_read(keep_measures(resolved)?)?;
    debug_span!("prune").in_scope(|| let_go(without_unread(&kept)?))
}

/// Rules 4 to 9: a plan over sources, finished.
pub(crate) fn finished(plan: LogicalPlan) -> Result<LogicalPlan, PlanError> {
    let plan = computed::below(subqueries::nullable(plan)?)?;
    let plan = debug_span!("analyze").in_scope(|| functions::analyze(plan))?;
    let plan = debug_span!("simplify").in_scope(|| functions::simplify(plan))?;
    let plan = debug_span!("subqueries").in_scope(|| subqueries::as_joins(plan))?;
    let push_filters = || functions::applied(&PushFilters::default(), plan);
    let plan = debug_span!("push_filters").in_scope(push_filters)?;
    let plan = debug_span!("time_ranges").in_scope(|| time_ranges::apply(plan))?;
    let (plan, has_journeys) = debug_span!("journeys").in_scope(|| journey::narrow(plan))?;
    let plan = match has_journeys {
        true => functions::applied(&PushFilters::default(), plan)?,
        false => plan,
    };
    debug_span!("semi_joins").in_scope(|| semi_joins::apply(plan))
}

/// The plan without columns that nobody reads.
pub(super) fn without_unread(plan: &LogicalPlan) -> Result<LogicalPlan, PlanError> {
    Ok(functions::applied(&OptimizeProjections::new(), plan.clone())?)
}

/// The plan with a condition over each aggregation of measures that reads them: which groups there
/// are depends on the measures, so those that nobody reads can't be pruned.
fn keep_measures(plan: &LogicalPlan) -> Result<LogicalPlan, PlanError> {
    let kept = plan.clone().transform_up_with_subqueries(|node| {
        let LogicalPlan::Aggregate(aggregate) = &node else { return Ok(Transformed::no(node)) };
        let keys = aggregate.schema.fields().len() - aggregate.aggr_expr.len();
        let outputs = aggregate.schema.columns().into_iter().skip(keys);
        let marked = aggregate.aggr_expr.iter().zip(outputs);
        let marked = marked.filter(|(expr, _)| is_mark(expr)).map(|(_, column)| column);
        let marked: Vec<Column> = marked.collect();
        match marked.is_empty() {
            true => Ok(Transformed::no(node)),
            false => Ok(Transformed::yes(keeping(node, marked)?)),
        }
    })?;
    Ok(kept.data)
}

/// A plan of which some columns stay, whoever reads them, until [`let_go`].
pub(super) fn keeping(
    plan: LogicalPlan,
    columns: Vec<Column>,
) -> Result<LogicalPlan, DataFusionError> {
    let condition = markers::kept().call(columns.into_iter().map(Expr::Column).collect());
    Ok(LogicalPlan::Filter(Filter::try_new(condition, Arc::new(plan))?))
}

pub(super) fn is_mark(expr: &Expr) -> bool {
    [markers::MEASURE, markers::MEASURE_AT].into_iter().any(|mark| marked(expr, mark).is_some())
}

/// The plan without the conditions of [`keeping`].
fn let_go(plan: LogicalPlan) -> Result<LogicalPlan, PlanError> {
    let without = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Filter(filter)
            if matches!(&filter.predicate, Expr::ScalarFunction(call) if call.func.name() == markers::KEPT) =>
        {
            Ok(Transformed::yes(Arc::unwrap_or_clone(filter.input)))
        }
        node => Ok(Transformed::no(node)),
    })?;
    Ok(without.data)
}

/// Whether any scan gives a column that is judged by the statement's time.
pub(super) fn scans_read_clock(plan: &LogicalPlan) -> Result<bool, PlanError> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(relation) = RelationScan::of(&scan.source)
        {
            found |= relation.clock.as_of.is_none() && judges_days(scan, relation);
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn calls_grouping(plan: &LogicalPlan) -> Result<bool, PlanError> {
    let mut found = false;
    plan.apply(|node| {
        if let LogicalPlan::Aggregate(aggregate) = node {
            found |= aggregate.aggr_expr.iter().any(|expr| {
                matches!(expr.clone().unalias(), Expr::AggregateFunction(call)
                    if call.func.name() == "grouping")
            });
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}
