//! The order of queries in FROM. Postgres gives their rows on as they come; here rows come in no order,
//! so it is written where it is seen: in the statement around them, and in aggregates that depend on
//! it. Elsewhere it would cost a sort, and is left out.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::{
    Aggregate, Expr, Limit, LogicalPlan, LogicalPlanBuilder, Projection, Sort, SortExpr,
    SubqueryAlias,
};

/// Aggregates whose value depends on the order of the rows.
const ORDERED: [&str; 6] =
    ["array_agg", "string_agg", "json_agg", "jsonb_agg", "json_object_agg", "jsonb_object_agg"];

/// A statement's plan, as the planner makes it of all that is written.
pub(super) fn settled(plan: LogicalPlan) -> Result<LogicalPlan> {
    without_unseen(outermost(in_aggregates(plan)?)?, true)
}

/// The plan with the order of sorted queries written in aggregates over them.
fn in_aggregates(plan: LogicalPlan) -> Result<LogicalPlan> {
    let ordered = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Aggregate(aggregate) = &node else { return Ok(Transformed::no(node)) };
        if !aggregate.aggr_expr.iter().any(is_open) {
            return Ok(Transformed::no(node));
        }
        match ordered(&aggregate.input)? {
            Some((rows, order)) => Ok(Transformed::yes(with_order(aggregate, rows, &order)?)),
            None => Ok(Transformed::no(node)),
        }
    })?;
    Ok(ordered.data)
}

/// The plan with the order of the query that it shows the rows of.
fn outermost(plan: LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Limit(limit) => {
            let input = Arc::new(outermost(Arc::unwrap_or_clone(limit.input))?);
            Ok(LogicalPlan::Limit(Limit { input, ..limit }))
        }
        LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_)
            if !is_sorted(&plan) =>
        {
            let Some((rows, order)) = ordered(&plan)? else { return Ok(plan) };
            let sorted = LogicalPlanBuilder::from(rows).sort(order)?.build()?;
            match sorted.schema().columns() == plan.schema().columns() {
                true => Ok(sorted),
                false => {
                    let columns = plan.schema().columns().into_iter().map(Expr::Column);
                    LogicalPlanBuilder::from(sorted).project(columns)?.build()
                }
            }
        }
        other => Ok(other),
    }
}

/// Whether a statement has an order of its own.
fn is_sorted(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(projection) => is_sorted(&projection.input),
        _ => false,
    }
}

/// The plan without sorts whose order nothing above them keeps.
fn without_unseen(plan: LogicalPlan, is_seen: bool) -> Result<LogicalPlan> {
    let is_seen = match plan {
        LogicalPlan::Sort(Sort { input, fetch: None, .. }) if !is_seen => {
            return without_unseen(Arc::unwrap_or_clone(input), false);
        }
        LogicalPlan::Limit(_) => true,
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Subquery(_) => is_seen,
        _ => false,
    };
    // Of ARRAY(SELECT …) the order is seen.
    let plan = plan.map_subqueries(|query| Ok(Transformed::yes(without_unseen(query, true)?)))?;
    let below = |input| Ok(Transformed::yes(without_unseen(input, is_seen)?));
    Ok(plan.data.map_children(below)?.data)
}

/// Whether an aggregate depends on an order, and has none of its own.
fn is_open(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => is_open(&alias.expr),
        Expr::AggregateFunction(call) => {
            ORDERED.contains(&call.func.name())
                && call.params.order_by.is_empty()
                && !call.params.distinct
        }
        _ => false,
    }
}

fn with_order(aggregate: &Aggregate, rows: LogicalPlan, order: &[SortExpr]) -> Result<LogicalPlan> {
    let ordered = aggregate.aggr_expr.iter().map(|expr| {
        let (relation, name) = expr.qualified_name();
        let mut call = expr.clone().unalias();
        if is_open(expr)
            && let Expr::AggregateFunction(function) = &mut call
        {
            function.params.order_by = order.to_vec();
        }
        call.alias_qualified(relation, name)
    });
    LogicalPlanBuilder::from(rows)
        .aggregate(aggregate.group_expr.clone(), ordered.collect::<Vec<_>>())?
        .build()
}

/// A plan that shows what its rows are sorted by too, and the order by its columns; None where its rows
/// have none.
fn ordered(plan: &LogicalPlan) -> Result<Option<(LogicalPlan, Vec<SortExpr>)>> {
    let below = match plan {
        LogicalPlan::Sort(sort) => return Ok(Some((plan.clone(), sort.expr.clone()))),
        LogicalPlan::Limit(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Projection(_) => match plan.inputs()[..] {
            [input] => ordered(input)?,
            _ => None,
        },
        _ => None,
    };
    let Some((input, order)) = below else { return Ok(None) };
    match plan {
        LogicalPlan::Projection(projection) => shown(projection, input, order).map(Some),
        LogicalPlan::SubqueryAlias(alias) => {
            let below = input.schema().columns();
            let alias = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?;
            let above = alias.schema.columns();
            let order = order.into_iter().map(|key| {
                let renamed = key.expr.clone().transform_up(|expr| {
                    let at = below.iter().position(|it| expr == Expr::Column(it.clone()));
                    Ok(match at {
                        Some(at) => Transformed::yes(Expr::Column(above[at].clone())),
                        None => Transformed::no(expr),
                    })
                })?;
                Ok(key.with_expr(renamed.data))
            });
            let order = order.collect::<Result<_>>()?;
            Ok(Some((LogicalPlan::SubqueryAlias(alias), order)))
        }
        _ => Ok(Some((plan.with_new_exprs(plan.expressions(), vec![input])?, order))),
    }
}

/// A projection that shows the keys, under names of their own where it doesn't already.
fn shown(
    projection: &Projection,
    input: LogicalPlan,
    order: Vec<SortExpr>,
) -> Result<(LogicalPlan, Vec<SortExpr>)> {
    let (mut exprs, mut keys) = (projection.expr.clone(), Vec::with_capacity(order.len()));
    for key in order {
        let shows = |it: &Expr| it.clone().unalias() == key.expr;
        let at = exprs.iter().position(shows).unwrap_or_else(|| {
            exprs.push(key.expr.clone().alias(format!("__order{}", exprs.len())));
            exprs.len() - 1
        });
        keys.push((at, key));
    }
    let made = Projection::try_new(exprs, Arc::new(input))?;
    let columns = made.schema.columns();
    let keys = keys.into_iter().map(|(at, key)| key.with_expr(Expr::Column(columns[at].clone())));
    let keys = keys.collect();
    Ok((LogicalPlan::Projection(made), keys))
}
