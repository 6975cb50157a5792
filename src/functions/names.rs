//! Rewriting of a node's expressions under the names that its columns have.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};

/// A node with its expressions rewritten, whose columns keep their names. Each key of a grouping set is
/// a column of its own, and is rewritten alone.
///
/// # Errors
/// Those of `rewrite`.
pub(crate) fn keeping_names(
    node: LogicalPlan,
    mut rewrite: impl FnMut(Expr) -> Result<Transformed<Expr>>,
) -> Result<Transformed<LogicalPlan>> {
    let names = NamePreserver::new(&node);
    node.map_expressions(|expr| keeping_name(expr, &names, &mut rewrite))
}

/// One expression of a node, of whose columns `names` knows the names.
///
/// # Errors
/// Those of `rewrite`.
pub(crate) fn keeping_name(
    expr: Expr,
    names: &NamePreserver,
    rewrite: &mut impl FnMut(Expr) -> Result<Transformed<Expr>>,
) -> Result<Transformed<Expr>> {
    let mut named = |expr: Expr| {
        let name = names.save(&expr);
        Ok(rewrite(expr)?.update_data(|expr| name.restore(expr)))
    };
    match expr {
        Expr::GroupingSet(_) => expr.map_children(named),
        expr => named(expr),
    }
}
