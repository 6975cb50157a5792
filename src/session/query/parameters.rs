//! Parameters and the statement's time, put into a bound plan.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::common::ScalarValue;
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Placeholder, ScalarFunction};
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan, lit};

use crate::bind::RelationScan;
use crate::functions::{self, StatementZones, Unit, keeping_names};
use crate::plan::segment;
use crate::sql::timezone::TimeZone;

/// What stands for a parameter.
pub(crate) enum Filling<'v> {
    /// The parameter itself; only types are asked for then.
    None {
        /// How many there are.
        count: usize,
        /// What stands for those that say what a time is cut to.
        grain: Option<Unit>,
    },
    Values(&'v [ScalarValue]),
}

/// A statement's plan with parameters filled in, the clock's functions as constants, and
/// the zones of the statement written to what depends on them.
pub(crate) fn fill_statement(
    plan: &LogicalPlan,
    filling: &Filling<'_>,
    now: DateTime<Utc>,
    zones: &StatementZones,
) -> Result<LogicalPlan> {
    functions::in_zones(fill(plan, filling, now, &zones.session)?, zones)
}

/// The plan with parameters filled in, and the clock's functions as constants.
pub(crate) fn fill(
    plan: &LogicalPlan,
    filling: &Filling<'_>,
    now: DateTime<Utc>,
    zone: &TimeZone,
) -> Result<LogicalPlan> {
    let filled = plan.clone().transform_up_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            return Ok(fill_scan(scan, now));
        }
        let replaced = keeping_names(node, |expr| {
            expr.transform_up(|expr| fill_expr(expr, filling, now, zone))
        })?;
        match replaced.transformed {
            true => Ok(Transformed::yes(replaced.data.recompute_schema()?)),
            false => Ok(replaced),
        }
    })?;
    Ok(filled.data)
}

/// A scan whose rows are judged by the statement's time is told of it.
fn fill_scan(scan: TableScan, now: DateTime<Utc>) -> Transformed<LogicalPlan> {
    match RelationScan::of(&scan.source).filter(|scan| scan.reads_clock()) {
        Some(judged) => {
            let source = Arc::new(judged.at(now));
            Transformed::yes(LogicalPlan::TableScan(TableScan { source, ..scan }))
        }
        None => Transformed::no(LogicalPlan::TableScan(scan)),
    }
}

fn fill_expr(
    expr: Expr,
    filling: &Filling<'_>,
    now: DateTime<Utc>,
    zone: &TimeZone,
) -> Result<Transformed<Expr>> {
    Ok(match &expr {
        Expr::Placeholder(Placeholder { id, field }) => {
            let number = id.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok());
            let index = number.and_then(|number| number.checked_sub(1));
            match (index, filling) {
                (Some(index), Filling::Values(values)) if index < values.len() => {
                    let told = field.as_ref().filter(|field| !field.metadata().is_empty());
                    let told = told.map(|field| FieldMetadata::from(field.metadata()));
                    Transformed::yes(Expr::Literal(values[index].clone(), told))
                }
                _ => Transformed::no(expr),
            }
        }
        Expr::ScalarFunction(call)
            if let Filling::None { grain: Some(unit), .. } = filling
                && is_cut_by_parameter(call) =>
        {
            let mut args = call.args.clone();
            args[0] = lit(unit.name());
            Transformed::yes(Expr::ScalarFunction(ScalarFunction { args, ..call.clone() }))
        }
        Expr::ScalarFunction(call) => match clock(call.func.name(), now, zone) {
            Some(value) => Transformed::yes(Expr::Literal(value, None)),
            None => Transformed::no(expr),
        },
        _ => Transformed::no(expr),
    })
}

/// `date_trunc($1, moment)`
fn is_cut_by_parameter(call: &ScalarFunction) -> bool {
    call.func.name() == "date_trunc" && matches!(call.args.first(), Some(Expr::Placeholder(_)))
}

/// Whether a parameter says what a time is cut to.
pub(crate) fn has_grain(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found |= expr.exists(|expr| {
                Ok(matches!(expr, Expr::ScalarFunction(call) if is_cut_by_parameter(call)))
            })?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(found)
}

/// Whether a plan reads the clock, so that the same text means something else later.
pub(crate) fn reads_clock(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(scan) = RelationScan::of(&scan.source)
        {
            found |= segment::reads_clock(scan);
        }
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::ScalarFunction(call) = expr {
                    found |= is_clock(call.func.name());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

fn is_clock(name: &str) -> bool {
    clock(name, DateTime::UNIX_EPOCH, &TimeZone::UTC).is_some()
}

/// The value of a clock's function: one moment for the whole statement, as in Postgres the
/// transaction's beginning.
fn clock(name: &str, now: DateTime<Utc>, zone: &TimeZone) -> Option<ScalarValue> {
    match name {
        "now" | "current_timestamp" => Some(ScalarValue::TimestampMicrosecond(
            Some(now.timestamp_micros()),
            Some("UTC".into()),
        )),
        "localtimestamp" => {
            let micros = zone.wall_clock(now).and_utc().timestamp_micros();
            Some(ScalarValue::TimestampMicrosecond(Some(micros), None))
        }
        "current_date" | "today" => {
            let date = zone.wall_clock(now).date();
            let days = date.signed_duration_since(chrono::NaiveDate::default()).num_days();
            Some(ScalarValue::Date32(i32::try_from(days).ok()))
        }
        _ => None,
    }
}
