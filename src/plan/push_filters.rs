//! Filters move down towards the sources by DataFusion's rule, which (55.2) moves a condition that reads
//! no column below an aggregation, too. One that gives a row of no rows, which a total does, would give
//! it though the condition isn't true: `SELECT n FROM (SELECT count(*) AS n …) WHERE (SELECT …) > 1`.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Aggregate, Expr, Filter, GroupingSet, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// In the place of [`PushDownFilter`], under its name.
#[derive(Debug, Default)]
pub(crate) struct PushFilters {
    rule: PushDownFilter,
}

impl OptimizerRule for PushFilters {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let Some((conditions, total)) = above_total(&plan) else {
            return self.rule.rewrite(plan, config);
        };
        let (of_no_column, of_columns): (Vec<Expr>, Vec<Expr>) =
            conditions.into_iter().partition(|condition| condition.column_refs().is_empty());
        let below = match conjunction(of_columns) {
            Some(condition) => {
                let filter = Filter::try_new(condition, total)?;
                self.rule.rewrite(LogicalPlan::Filter(filter), config)?
            }
            None => Transformed::no(Arc::unwrap_or_clone(total)),
        };
        below.map_data(|below| match conjunction(of_no_column) {
            Some(condition) => {
                Ok(LogicalPlan::Filter(Filter::try_new(condition, Arc::new(below))?))
            }
            None => Ok(below),
        })
    }
}

/// The conditions of the filters above an aggregation that gives a row of no rows, and it.
fn above_total(plan: &LogicalPlan) -> Option<(Vec<Expr>, Arc<LogicalPlan>)> {
    let LogicalPlan::Filter(first) = plan else { return None };
    let mut filter = first;
    let mut conditions = Vec::new();
    loop {
        conditions.extend(split_conjunction_owned(filter.predicate.clone()));
        match filter.input.as_ref() {
            LogicalPlan::Filter(below) => filter = below,
            LogicalPlan::Aggregate(aggregate) if has_total(aggregate) => {
                return Some((conditions, Arc::clone(&filter.input)));
            }
            _ => return None,
        }
    }
}

fn has_total(aggregate: &Aggregate) -> bool {
    match aggregate.group_expr.as_slice() {
        [] | [Expr::GroupingSet(GroupingSet::Rollup(_) | GroupingSet::Cube(_))] => true,
        [Expr::GroupingSet(GroupingSet::GroupingSets(sets))] => sets.iter().any(Vec::is_empty),
        _ => false,
    }
}
