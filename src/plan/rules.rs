//! The order of the rewrites of a plan, and why.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::analyzer::AnalyzerRule;
use datafusion::optimizer::analyzer::resolve_grouping_function::ResolveGroupingFunction;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::{Optimizer, OptimizerContext};
use tracing::debug_span;

use super::error::PlanError;
use super::rewrite::{Needs, Rewriter};
use super::time_ranges;
use crate::functions;
use crate::model::Model;

/// Applies every rule:
///
/// 1. `grouping()` becomes an expression over the grouping id, while the aggregation is still the
///    statement's own.
/// 2. Measures and relations are replaced by what they stand for.
/// 3. Postgres's meaning and coerced types, over the whole plan.
/// 4. Constants are folded, so that 5 and 6 see them.
/// 5. Filters move down to the source that they are about: below joins, so that a filter of time is
///    a filter of one table, but never below a dedupe.
/// 6. Filters on wall clocks become ranges of the event column.
pub(crate) fn apply(model: &Model, bound: &LogicalPlan) -> Result<LogicalPlan, PlanError> {
    let resolved = match calls_grouping(bound)? {
        true => {
            let options = &functions::registry().options;
            &ResolveGroupingFunction::new().analyze(bound.clone(), options)?
        }
        false => bound,
    };
    let rewrite = || Rewriter::new(model).rewrite(resolved, &Needs::default());
    let plan = debug_span!("rewrite").in_scope(rewrite)?;
    let plan = debug_span!("analyze").in_scope(|| functions::analyze(plan))?;
    let plan = debug_span!("simplify").in_scope(|| functions::simplify(plan))?;
    let plan = debug_span!("push_filters").in_scope(|| push_filters(plan))?;
    debug_span!("time_ranges").in_scope(|| time_ranges::apply(plan))
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

fn push_filters(plan: LogicalPlan) -> Result<LogicalPlan, PlanError> {
    let optimizer = Optimizer::with_rules(vec![Arc::new(PushDownFilter::new())]);
    let context = OptimizerContext::new().with_max_passes(1);
    Ok(optimizer.optimize(plan, &context, |_, _| {})?)
}
