//! Where DataFusion's functions and operators differ from Postgres's, replaced in a plan.

use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, LogicalPlan, Sort};

use super::names::keeping_names;
use super::{decimals, jsonb, types};

mod calls;
mod casts;
mod operators;
mod split;

pub(super) use calls::aggregate_named;
use calls::{aggregate, scalar, window};
pub(super) use casts::cast_unless;
use casts::explicit_cast;
pub(super) use operators::{all_of, literals_alike, moments_alike};
use operators::{binary_operator, bounds, items, negative, similar, standard_escape};
use split::{is_split_off, split_aggregate, split_window};

/// Gives every expression of a plan Postgres's meaning. Runs before type coercion, and does nothing
/// to a plan that it has been applied to.
///
/// # Errors
/// Texts that are no values of the types that they are compared with or cast to.
pub fn apply(plan: LogicalPlan) -> Result<LogicalPlan> {
    // Types may change below a node that stays as it is, so its schema is computed anew as well.
    let mut changed = false;
    let plan = plan.transform_up_with_subqueries(|plan| {
        let rewritten = node(plan)?;
        changed |= rewritten.transformed;
        if !changed {
            return Ok(rewritten);
        }
        let plan = types::retyped(rewritten.data)?;
        Ok(Transformed::yes(plan))
    })?;
    Ok(plan.data)
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let inputs = plan.inputs();
    let schema = match inputs.as_slice() {
        [input] => Arc::clone(input.schema()),
        _ => Arc::new(merge_schema(&inputs)),
    };
    let plan = keeping_names(plan, |expr| match is_split_off(&expr) {
        true => Ok(Transformed::no(expr)),
        false => expression(expr, &schema),
    })?;
    if let LogicalPlan::Union(union) = &plan.data {
        types::check_union(union)?;
    }
    let plan = match plan.data {
        LogicalPlan::Union(union) => {
            let alike = types::union_alike(union)?;
            let changed = plan.transformed || alike.transformed;
            Transformed::new_transformed(LogicalPlan::Union(alike.data), changed)
        }
        LogicalPlan::Join(join) => {
            let alike = types::sides_alike(join)?;
            let changed = plan.transformed || alike.transformed;
            Transformed::new_transformed(LogicalPlan::Join(alike.data), changed)
        }
        LogicalPlan::Sort(sort) => {
            jsonb::check_order(&sort)?;
            let keys = operators::sort_keys(sort.expr, &schema)?;
            let changed = plan.transformed || keys.transformed;
            let sort = LogicalPlan::Sort(Sort { expr: keys.data, ..sort });
            Transformed::new_transformed(sort, changed)
        }
        _ => plan,
    };
    if !plan.transformed {
        return Ok(plan);
    }
    Ok(Transformed::yes(match plan.data {
        LogicalPlan::Aggregate(aggregate) => split_aggregate(aggregate)?,
        LogicalPlan::Window(window) => split_window(window)?,
        other => other,
    }))
}

/// One expression over the columns of `schema`.
fn expression(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    expr.transform_up(|expr| match expr {
        Expr::BinaryExpr(binary) => binary_operator(binary, schema),
        Expr::Cast(cast) => explicit_cast(cast, schema),
        Expr::Between(between) => bounds(between, schema),
        Expr::InList(list) => items(list, schema),
        Expr::ScalarFunction(function) => scalar(function, schema),
        Expr::AggregateFunction(function) => aggregate(function, schema),
        Expr::WindowFunction(function) => window(*function, schema),
        Expr::Negative(inner) => negative(*inner, schema),
        Expr::Like(like) => standard_escape(like),
        Expr::SimilarTo(like) => similar(like),
        Expr::Case(case) => decimals::results_alike(case, schema),
        other => Ok(Transformed::no(other)),
    })
}
