//! Expressions that grow while they are simplified.
//!
//! DataFusion 55.2 writes `x BETWEEN a AND b` as two comparisons of `x`, and `coalesce(x, y)` as a
//! CASE that has `x` twice: within each other they take 2^depth. So what they become is counted
//! before.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::FunctionError;

/// What any expression may become, in nodes of its tree.
const NODES_MIN: usize = 20_000;
/// How many times its size a long one may become.
const TIMES_MAX: usize = 16;

/// # Errors
/// 54001 for an expression that would grow beyond all measure.
pub(super) fn check(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            let size = Size::of(expr)?;
            if size.simplified > NODES_MIN.max(size.written.saturating_mul(TIMES_MAX)) {
                let error = FunctionError::new("54001", "statement is too complex").with_hint(
                    "Nest BETWEEN and coalesce less deep; coalesce takes any number of values.",
                );
                return Err(error.into());
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(())
}

/// Nodes of an expression's tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    written: usize,
    simplified: usize,
}

impl Size {
    fn of(expr: &Expr) -> Result<Self> {
        // How many operands, from the first, are written twice.
        let twice = match expr {
            Expr::Between(_) => 1,
            Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == "coalesce" => {
                args.len().saturating_sub(1)
            }
            _ => 0,
        };
        let (mut size, mut place) = (Self { written: 1, simplified: 1 }, 0);
        expr.apply_children(|child| {
            let child = Self::of(child)?;
            let times = if place < twice { 2 } else { 1 };
            place += 1;
            size.written += child.written;
            let grown = child.simplified.saturating_mul(times);
            size.simplified = size.simplified.saturating_add(grown);
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{LogicalPlanBuilder, col, lit};

    use super::*;
    use crate::functions::registry;

    fn checked(expr: Expr) -> Result<()> {
        let rows = LogicalPlanBuilder::values(vec![vec![lit("a")]]).unwrap();
        check(&rows.project(vec![expr]).unwrap().build().unwrap())
    }

    fn coalesced(depth: usize) -> Expr {
        let coalesce = registry().scalar.get("coalesce").unwrap();
        (0..depth).fold(col("column1"), |inner, _| coalesce.call(vec![inner, lit("x")]))
    }

    #[test]
    fn what_doubles_is_bounded() {
        assert!(checked(coalesced(9)).is_ok());
        assert!(checked(coalesced(40)).is_err());
        let between = |inner: Expr| inner.between(lit("a"), lit("b")).is_null();
        assert!(checked((0..9).fold(col("column1"), |inner, _| between(inner))).is_ok());
        assert!(checked((0..40).fold(col("column1"), |inner, _| between(inner))).is_err());
        let list = (0..50_000).map(lit).collect();
        assert!(checked(col("column1").in_list(list, false)).is_ok());
    }
}
