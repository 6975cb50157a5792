//! `bool_and(is_final)` of periods that are longer than a day. `is_final` is of a row's own day, so of a
//! month of which the last days have no rows yet it would say nothing: beside such a period it is true
//! where the period's last day is closed as well.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, and, cast};

use super::error::PlanError;
use super::expand::{TimeOf, row_time};
use super::journey;
use super::measure::{as_timestamp, instant, truncation};
use super::trace::{followed, scan_column};
use crate::bind::{RelationScan, ScanKind};
use crate::functions::{Grain, Unit};
use crate::model::Model;

/// The plan in which aggregates of `is_final` know the periods that they are beside.
pub(super) fn apply(model: &Model, plan: LogicalPlan) -> Result<LogicalPlan, PlanError> {
    let mut fault = None;
    let applied = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Aggregate(aggregate) = &node else { return Ok(Transformed::no(node)) };
        match judged(model, aggregate) {
            Ok(None) => Ok(Transformed::no(node)),
            Ok(Some(judged)) => Ok(Transformed::yes(LogicalPlan::Aggregate(judged))),
            Err(error) => {
                fault = Some(error);
                Ok(Transformed::no(node))
            }
        }
    })?;
    match fault {
        Some(fault) => Err(fault),
        None => Ok(applied.data),
    }
}

/// The same aggregation with the ends of its periods; None where it doesn't ask for them.
fn judged(model: &Model, aggregate: &Aggregate) -> Result<Option<Aggregate>, PlanError> {
    let mut exprs = aggregate.aggr_expr.clone();
    for expr in &mut exprs {
        let call = match &*expr {
            Expr::Alias(alias) => alias.expr.as_ref(),
            call => call,
        };
        let Expr::AggregateFunction(AggregateFunction { func, params }) = call else { continue };
        let ("bool_and", [Expr::Column(column)]) = (func.name(), params.args.as_slice()) else {
            continue;
        };
        let Some(is_closed) = closed_period(model, aggregate, column)? else { continue };
        let args = vec![and(Expr::Column(column.clone()), is_closed)];
        let params = AggregateFunctionParams { args, ..params.clone() };
        let call = AggregateFunction { func: Arc::clone(func), params };
        let (qualifier, name) = expr.qualified_name();
        *expr = Expr::AggregateFunction(call).alias_qualified(qualifier, name);
    }
    if exprs == aggregate.aggr_expr {
        return Ok(None);
    }
    let (input, keys) = (Arc::clone(&aggregate.input), aggregate.group_expr.clone());
    Ok(Some(Aggregate::try_new(input, keys, exprs)?))
}

/// Whether the last day is closed of the period that an aggregation groups by; None where the column
/// isn't a scan's `is_final`, or its periods are days.
fn closed_period(
    model: &Model,
    aggregate: &Aggregate,
    column: &Column,
) -> Result<Option<Expr>, PlanError> {
    let Some((instance, scan, scanned)) = scan_column(&aggregate.input, column) else {
        return Ok(None);
    };
    if !matches!(scanned.kind, ScanKind::IsFinal) {
        return Ok(None);
    }
    let keys = grouping_set_to_exprlist(&aggregate.group_expr)?;
    let period = keys.into_iter().find_map(|key| Some((grain_of(aggregate, key, instance)?, key)));
    let Some((grain, key)) = period else { return Ok(None) };
    let Some(end) = grain.next(as_timestamp(key.clone())) else { return Ok(None) };
    let last_day = cast(end - instant(), DataType::Date32);
    let times = times_of(model, scan)?;
    let mut closed: Vec<Expr> = Vec::new();
    for time in times {
        // Of rows with zones of their own each tells of its own day only.
        let day = time.last_final_day(&scan.clock)?;
        let is_closed = day.map(|day| last_day.clone().lt_eq(day));
        closed.extend(is_closed.filter(|it| !closed.contains(it)));
    }
    Ok(closed.into_iter().reduce(and))
}

/// The grain of a key that is a longer period of a scan's `metric_time`.
fn grain_of(aggregate: &Aggregate, key: &Expr, instance: usize) -> Option<Grain> {
    let (plan, meant) = followed(&aggregate.input, key);
    let (grain, column) = truncation(meant)?;
    let (number, _, scanned) = scan_column(plan, column)?;
    let is_own = number == instance && matches!(scanned.kind, ScanKind::MetricTime);
    (is_own && grain.unit() > Unit::Day).then_some(grain)
}

/// The times by which days of a scan are closed: those of its metrics, else that of its rows.
fn times_of(model: &Model, scan: &RelationScan) -> Result<Vec<TimeOf>, PlanError> {
    let measures = scan.columns.iter().filter_map(|column| match &column.kind {
        ScanKind::Measure(version) => Some(version),
        _ => None,
    });
    let mut times = Vec::new();
    for version in scan.versions.iter().chain(measures) {
        if let Some(time) = &version.time {
            times.push(journey::time_of(model, version.rows_entity(), time)?);
        }
    }
    match times.is_empty() {
        true => Ok(row_time(model, scan)?.into_iter().collect()),
        false => Ok(times),
    }
}
