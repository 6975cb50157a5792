//! Weeks of `metric_time` begin on the project's day; those of all else on Postgres's Monday.

use chrono::Weekday;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::error::PlanError;
use super::trace::scan_column;
use crate::bind::ScanKind;
use crate::functions::{Grain, Unit, keeping_names};

/// The plan with `date_trunc('week', metric_time)` in weeks that begin on `first`. What the user
/// writes stays the name of the column, so equal expressions still meet.
pub(crate) fn apply(plan: &LogicalPlan, first: Weekday) -> Result<LogicalPlan, PlanError> {
    let shifted = plan.clone().transform_up_with_subqueries(|node| {
        let inputs: Vec<LogicalPlan> = node.inputs().into_iter().cloned().collect();
        if inputs.is_empty() {
            return Ok(Transformed::no(node));
        }
        let replaced = keeping_names(node, |expr| {
            expr.transform_up(|expr| shifted_week(expr, &inputs, first))
        })?;
        match replaced.transformed {
            true => Ok(Transformed::yes(replaced.data.recompute_schema()?)),
            false => Ok(replaced),
        }
    })?;
    Ok(shifted.data)
}

fn shifted_week(
    expr: Expr,
    inputs: &[LogicalPlan],
    first: Weekday,
) -> datafusion::error::Result<Transformed<Expr>> {
    if !is_week_of_metric_time(&expr, inputs) {
        return Ok(Transformed::no(expr));
    }
    let Expr::ScalarFunction(mut truncation) = expr else { return Ok(Transformed::no(expr)) };
    Ok(Transformed::yes(Grain::WeekFrom(first).truncated(truncation.args.remove(1))))
}

fn is_week_of_metric_time(expr: &Expr, inputs: &[LogicalPlan]) -> bool {
    let Expr::ScalarFunction(call) = expr else { return false };
    let ("date_trunc", [Expr::Literal(unit, _), moment]) = (call.func.name(), call.args.as_slice())
    else {
        return false;
    };
    let unit = unit.try_as_str().flatten().and_then(Unit::parse);
    unit == Some(Unit::Week) && is_metric_time(moment, inputs)
}

/// Clients cast it to what it is already, or to its day.
fn is_metric_time(moment: &Expr, inputs: &[LogicalPlan]) -> bool {
    match moment {
        Expr::Column(column) => inputs.iter().any(|input| {
            let scanned = scan_column(input, column);
            scanned.is_some_and(|(.., column)| matches!(column.kind, ScanKind::MetricTime))
        }),
        Expr::Cast(cast) => {
            let data_type = cast.field.data_type();
            matches!(data_type, DataType::Timestamp(_, None) | DataType::Date32)
                && is_metric_time(&cast.expr, inputs)
        }
        _ => false,
    }
}
