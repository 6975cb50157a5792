//! Aggregates and windows that became expressions over several: they stay by themselves, and a
//! projection above computes with them under the old names.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, Projection, Window};

/// Aggregates that became expressions: the aggregates stay, a projection above computes with them
/// under the old names.
pub(super) fn split_aggregate(aggregate: Aggregate) -> Result<LogicalPlan> {
    let is_call = |expr: &Expr| matches!(expr, Expr::AggregateFunction(_));
    if aggregate.aggr_expr.iter().all(|expr| is_call(unaliased(expr))) {
        let Aggregate { input, group_expr, aggr_expr, .. } = aggregate;
        return Ok(LogicalPlan::Aggregate(Aggregate::try_new(input, group_expr, aggr_expr)?));
    }
    let Aggregate { input, group_expr, aggr_expr, .. } = aggregate;
    let (calls, computed) = split(aggr_expr, is_call)?;
    let inner = Aggregate::try_new(input, group_expr, calls)?;
    let keys = inner.schema.fields().len() - inner.aggr_expr.len();
    let mut exprs = columns_of(&inner.schema, keys);
    exprs.extend(computed);
    let inner = Arc::new(LogicalPlan::Aggregate(inner));
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, inner)?))
}

pub(super) fn split_window(window: Window) -> Result<LogicalPlan> {
    let is_call = |expr: &Expr| matches!(expr, Expr::WindowFunction(_));
    let Window { input, window_expr, .. } = window;
    if window_expr.iter().all(|expr| is_call(unaliased(expr))) {
        return Ok(LogicalPlan::Window(Window::try_new(window_expr, input)?));
    }
    let (calls, computed) = split(window_expr, is_call)?;
    let width = input.schema().fields().len();
    let inner = Window::try_new(calls, input)?;
    let mut exprs = columns_of(&inner.schema, width);
    exprs.extend(computed);
    let inner = Arc::new(LogicalPlan::Window(inner));
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, inner)?))
}

/// How the calls inside larger expressions are named, by which they are known to be done.
const SPLIT_OFF: &str = "canon: ";

pub(super) fn is_split_off(expr: &Expr) -> bool {
    matches!(expr, Expr::Alias(alias) if alias.name.starts_with(SPLIT_OFF))
}

/// The calls inside some expressions, each once, and the expressions over the calls' columns.
fn split(exprs: Vec<Expr>, is_call: fn(&Expr) -> bool) -> Result<(Vec<Expr>, Vec<Expr>)> {
    let mut calls: Vec<Expr> = Vec::new();
    let mut computed = Vec::with_capacity(exprs.len());
    for expr in exprs {
        if is_call(unaliased(&expr)) {
            computed.push(Expr::Column(Column::from_name(expr.schema_name().to_string())));
            if !calls.contains(&expr) {
                calls.push(expr);
            }
            continue;
        }
        let name = expr.schema_name().to_string();
        let over_columns = expr.transform_down(|expr| {
            if !is_call(&expr) {
                return Ok(Transformed::no(expr));
            }
            let column = Expr::Column(Column::from_name(split_off(expr, &mut calls)));
            Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
        })?;
        let over_columns = over_columns.data;
        // Casts have the name of what they cast; the columns above know the whole by its old one.
        let is_same = over_columns.schema_name().to_string() == name;
        computed.push(match is_same {
            true => over_columns,
            false => over_columns.alias(name),
        });
    }
    Ok((calls, computed))
}

/// The name of a call among those that stay by themselves. Two may print alike, as those of a column
/// and of its cast do.
fn split_off(call: Expr, calls: &mut Vec<Expr>) -> String {
    let named = calls.iter().filter(|known| is_split_off(known));
    if let Some(Expr::Alias(known)) = named.into_iter().find(|known| unaliased(known) == &call) {
        return known.name.clone();
    }
    let printed = call.schema_name().to_string();
    let alike = calls.iter().filter(|known| is_split_off(known));
    let alike = alike.filter(|known| unaliased(known).schema_name().to_string() == printed);
    let name = match alike.count() {
        0 => format!("{SPLIT_OFF}{printed}"),
        others => format!("{SPLIT_OFF}{printed} {}", others + 1),
    };
    calls.push(call.alias(&name));
    name
}

fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unaliased(&alias.expr),
        other => other,
    }
}

fn columns_of(schema: &DFSchema, count: usize) -> Vec<Expr> {
    let columns = schema.iter().take(count);
    columns
        .map(|(qualifier, field)| Expr::Column(Column::new(qualifier.cloned(), field.name())))
        .collect()
}
