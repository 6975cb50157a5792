//! Periods by their labels: `GROUP BY to_char(metric_time, 'YYYY-MM')` has the groups of
//! `date_trunc('month', metric_time)`, each shown as a text. Measures over time need to know that
//! they are periods.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan, Projection};

use super::rules::is_mark;
use crate::functions::{Grain, exact_unit};

/// The plan whose aggregations of measures are grouped by periods in place of labels, which are
/// written above them.
pub(super) fn as_periods(plan: &LogicalPlan) -> Result<LogicalPlan> {
    let replaced = plan.clone().transform_up_with_subqueries(|node| match node {
        LogicalPlan::Aggregate(aggregate) if aggregate.aggr_expr.iter().any(is_mark) => {
            match labelled(&aggregate)? {
                Some(plan) => Ok(Transformed::yes(plan)),
                None => Ok(Transformed::no(LogicalPlan::Aggregate(aggregate))),
            }
        }
        node => Ok(Transformed::no(node)),
    })?;
    Ok(replaced.data)
}

/// None where no key is the label of a period.
fn labelled(aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    let mut keys = aggregate.group_expr.clone();
    let mut labels = vec![None; keys.len()];
    for (index, key) in aggregate.group_expr.iter().enumerate() {
        let Some((label, period)) = period_of(key, aggregate.input.schema()) else { continue };
        // The same period is a key by itself: two of one kind have one name.
        if keys.contains(&period) {
            continue;
        }
        keys[index] = period;
        labels[index] = Some(label);
    }
    if labels.iter().all(Option::is_none) {
        return Ok(None);
    }
    let input = Arc::clone(&aggregate.input);
    let grouped = Aggregate::try_new(input, keys, aggregate.aggr_expr.clone())?;
    let columns = grouped.schema.columns();
    let names = aggregate.schema.columns();
    let outputs = columns.into_iter().zip(names).enumerate().map(|(index, (column, name))| {
        let column = Expr::Column(column);
        match labels.get_mut(index).and_then(Option::take) {
            Some(mut label) => {
                label.args[0] = column;
                Expr::ScalarFunction(label).alias_qualified(name.relation, name.name)
            }
            None => column,
        }
    });
    let outputs = outputs.collect();
    let grouped = Arc::new(LogicalPlan::Aggregate(grouped));
    Ok(Some(LogicalPlan::Projection(Projection::try_new(outputs, grouped)?)))
}

/// The call that writes a label of a wall clock, and the period that it is of: each period has one
/// label, and each label one period.
fn period_of(key: &Expr, input: &DFSchema) -> Option<(ScalarFunction, Expr)> {
    let Expr::ScalarFunction(call) = key.clone().unalias() else { return None };
    let [moment, Expr::Literal(pattern, _)] = call.args.as_slice() else { return None };
    let is_clock = matches!(moment.get_type(input), Ok(DataType::Timestamp(_, None)));
    if call.func.name() != "to_char" || !is_clock {
        return None;
    }
    let shown = Grain::Of(exact_unit(pattern.try_as_str()??)?);
    let period = match Grain::of_call(moment) {
        Some((cut, moment)) => cut.nested(shown)?.truncated(moment.clone()),
        None => shown.truncated(moment.clone()),
    };
    Some((call, period))
}
