//! Subqueries where no rule takes them, as columns of the rows below: among keys of an order or of a
//! window, and in the ON of an outer join, where one side's rows are all that they read.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, LogicalPlanBuilder};

use super::dependent::{has_subquery, project, read_of};
use super::subqueries::subquery_of;
use crate::functions::keeping_name;

/// The plan with these subqueries computed below.
pub(super) fn below(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut names = Names::default();
    let computed = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Sort(_) | LogicalPlan::Window(_) => names.keys(node),
        LogicalPlan::Join(join) if join.join_type.is_outer() => names.sides(join),
        node => Ok(Transformed::no(node)),
    })?;
    Ok(computed.data)
}

/// Gives out names that nothing else has.
#[derive(Default)]
struct Names {
    given: usize,
}

/// Rows, and expressions of them that become their columns.
struct Rows {
    plan: Arc<LogicalPlan>,
    columns: Vec<Expr>,
}

impl Rows {
    fn of(plan: &Arc<LogicalPlan>) -> Self {
        Self { plan: Arc::clone(plan), columns: Vec::new() }
    }

    fn compute(&mut self, expr: Expr, names: &mut Names) -> Expr {
        names.given += 1;
        let name = format!("__computed{}", names.given);
        self.columns.push(expr.alias(&name));
        Expr::Column(Column::new_unqualified(name))
    }

    fn finished(self) -> Result<Arc<LogicalPlan>> {
        if self.columns.is_empty() {
            return Ok(self.plan);
        }
        let own = self.plan.schema().columns().into_iter().map(Expr::Column);
        let all: Vec<Expr> = own.chain(self.columns).collect();
        let rows = LogicalPlanBuilder::from(Arc::unwrap_or_clone(self.plan));
        rows.project(all)?.build().map(Arc::new)
    }

    /// Whether an expression with a subquery reads these rows only.
    fn are_all_of(&self, expr: &Expr, other: &Self) -> Result<bool> {
        let within = subquery_of(expr).map(|it| read_of(&other.plan, &it.subquery)).transpose()?;
        let reads_within = within.is_some_and(|read| !read.is_empty());
        let has = |column: &&Column| self.plan.schema().has_column(column);
        Ok(!reads_within && expr.column_refs().iter().all(has))
    }
}

impl Names {
    fn keys(&mut self, node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let exprs = node.expressions();
        let [input] = node.inputs()[..] else { return Ok(Transformed::no(node)) };
        if !exprs.iter().any(has_subquery) {
            return Ok(Transformed::no(node));
        }
        let mut rows = Rows::of(&Arc::new(input.clone()));
        let names = NamePreserver::new(&node);
        let mut computed = |expr: Expr| {
            expr.transform_down(|expr| match subquery_of(&expr) {
                Some(_) => Ok(Transformed::yes(rows.compute(expr, self))),
                None => Ok(Transformed::no(expr)),
            })
        };
        let exprs = exprs.into_iter();
        let exprs = exprs.map(|expr| Ok(keeping_name(expr, &names, &mut computed)?.data));
        let exprs = exprs.collect::<Result<Vec<_>>>()?;
        let made = node.with_new_exprs(exprs, vec![Arc::unwrap_or_clone(rows.finished()?)])?;
        Ok(Transformed::yes(project(made, node.schema().columns())?))
    }

    fn sides(&mut self, join: Join) -> Result<Transformed<LogicalPlan>> {
        let Some(filter) = join.filter.clone().filter(has_subquery) else {
            return Ok(Transformed::no(LogicalPlan::Join(join)));
        };
        let (mut left, mut right) = (Rows::of(&join.left), Rows::of(&join.right));
        let filter = filter.transform_down(|expr| {
            if subquery_of(&expr).is_none() {
                return Ok(Transformed::no(expr));
            }
            let side = match (left.are_all_of(&expr, &right)?, right.are_all_of(&expr, &left)?) {
                (true, _) => &mut left,
                (false, true) => &mut right,
                (false, false) => return Ok(Transformed::no(expr)),
            };
            Ok(Transformed::yes(side.compute(expr, self)))
        })?;
        let columns = join.schema.columns();
        let made = Join::try_new(
            left.finished()?,
            right.finished()?,
            join.on,
            Some(filter.data),
            join.join_type,
            join.join_constraint,
            join.null_equality,
            join.null_aware,
        )?;
        Ok(Transformed::yes(project(LogicalPlan::Join(made), columns)?))
    }
}
