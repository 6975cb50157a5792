//! `MEASURE(m) / MEASURE(m) OVER (…)`: the share of a coarser level, for every metric. Of two whole
//! numbers it would be cut to 0 as an ordinary quotient, so the dividend is taken in floating point.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, cast};

use super::markers;
use crate::functions::keeping_names;

/// The plan whose quotients by a measure at a level aren't cut to whole numbers. A level that has
/// become a column of a subquery is an ordinary number.
pub(super) fn apply(plan: LogicalPlan) -> Result<LogicalPlan> {
    // Types change above a quotient too, so schemas are computed anew from there on.
    let mut changed = false;
    let applied = plan.transform_up_with_subqueries(|node| {
        let recomputed = |node: LogicalPlan| match changed {
            true => Ok(Transformed::yes(node.recompute_schema()?)),
            false => Ok(Transformed::no(node)),
        };
        let [input] = node.inputs()[..] else { return recomputed(node) };
        let input = input.clone();
        let replaced =
            keeping_names(node, |expr| expr.transform_up(|expr| quotient(expr, &input)))?;
        changed |= replaced.transformed;
        match changed {
            true => Ok(Transformed::yes(replaced.data.recompute_schema()?)),
            false => Ok(replaced),
        }
    })?;
    Ok(applied.data)
}

fn quotient(expr: Expr, input: &LogicalPlan) -> Result<Transformed<Expr>> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Divide, right }) = &expr else {
        return Ok(Transformed::no(expr));
    };
    let by_level = right.column_refs().into_iter().any(|column| is_level(input, column));
    let is_whole = |expr: &Expr| expr.get_type(input.schema()).is_ok_and(|it| it.is_integer());
    if !by_level || !is_whole(left) || !is_whole(right) {
        return Ok(Transformed::no(expr));
    }
    let dividend = Box::new(cast(left.as_ref().clone(), DataType::Float64));
    let quotient = BinaryExpr::new(dividend, Operator::Divide, right.clone());
    Ok(Transformed::yes(Expr::BinaryExpr(quotient)))
}

/// Whether a column is a measure at a level, of the aggregation that evaluates it.
fn is_level(plan: &LogicalPlan, column: &Column) -> bool {
    match plan {
        LogicalPlan::Aggregate(aggregate) => {
            let keys = aggregate.schema.fields().len() - aggregate.aggr_expr.len();
            let index = aggregate.schema.maybe_index_of_column(column);
            let value = index.and_then(|index| aggregate.aggr_expr.get(index.checked_sub(keys)?));
            value.is_some_and(|value| match value.clone().unalias() {
                Expr::AggregateFunction(call) => call.func.name() == markers::MEASURE_AT,
                _ => false,
            })
        }
        // ORDER BY reads what the select list's projection lets through.
        LogicalPlan::Projection(projection) => {
            let index = projection.schema.maybe_index_of_column(column);
            match index.and_then(|index| projection.expr.get(index)) {
                Some(Expr::Column(own)) => is_level(&projection.input, own),
                _ => false,
            }
        }
        LogicalPlan::Filter(_) | LogicalPlan::Window(_) | LogicalPlan::Sort(_) => {
            plan.inputs().into_iter().any(|input| is_level(input, column))
        }
        _ => false,
    }
}
