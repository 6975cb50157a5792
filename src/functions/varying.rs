//! Keys of grouping sets for the last step before a plan becomes a physical one.

use std::sync::LazyLock;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, ScalarUDF};

use super::transparent::varying;

static VARYING: LazyLock<ScalarUDF> = LazyLock::new(|| varying("canon_varying"));

/// The plan with a function around the keys of grouping sets. DataFusion (55.2) takes a key that a filter
/// makes constant for constant in the totals too, where it is NULL, and doesn't sort by it.
///
/// # Errors
/// DataFusion's, of plans that are wrong already.
pub(crate) fn with_varying_keys(plan: LogicalPlan) -> Result<LogicalPlan> {
    let varying = |key: Expr| {
        let (relation, name) = key.qualified_name();
        Ok(Transformed::yes(VARYING.call(vec![key]).alias_qualified(relation, name)))
    };
    plan.transform_down_with_subqueries(|node| {
        let LogicalPlan::Aggregate(mut aggregate) = node else { return Ok(Transformed::no(node)) };
        let [sets @ Expr::GroupingSet(_)] = aggregate.group_expr.as_mut_slice() else {
            return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
        };
        *sets = std::mem::take(sets).map_children(varying)?.data;
        Ok(Transformed::yes(LogicalPlan::Aggregate(aggregate)))
    })
    .data()
}
