//! Funnels: events of step 1, at each step with whether it was reached.
//!
//! From an event on, the soonest next step is the best one: who gets to step 3 at all gets there
//! by way of it. So each event needs of the steps behind it only the soonest times, and an event of
//! step k takes those from the next event of step k + 1: one window for each step, from the last to
//! the second, all in one order of the events.

use std::collections::BTreeSet;
use std::time::Duration;

use datafusion::common::Column;
use datafusion::logical_expr::{Case, Expr, LogicalPlan, Operator, binary_expr, lit};

use super::super::error::PlanError;
use super::super::expand::Reading;
use super::super::rewrite::{filtered, projected};
use super::super::spread::Spread;
use super::col;
use super::conversion::source_columns;
use super::events::{KIND, Over, after, case, is_kind, partition, united, windowed};
use super::ranges::Reach;
use crate::model::journey::{AT, Events, REACHED, STEP, STEP_NAME, member_column};

/// One row for each event of step 1 and each step: the columns that are needed of the event's
/// source, [`AT`], the member, [`STEP`], [`STEP_NAME`] and [`REACHED`].
pub(super) fn rows(
    from: Reading<'_>,
    steps: &[Events],
    within: Duration,
    needed: &BTreeSet<String>,
) -> Result<LogicalPlan, PlanError> {
    let first = steps.first().ok_or_else(|| PlanError::Internal("no steps".to_owned()))?;
    let of_first = source_columns(needed);
    let all: Vec<&Events> = steps.iter().collect();
    let mut plan = Reach::plan(united(from, &all, &of_first)?, Duration::ZERO, within)?;
    let base: Vec<Column> = plan.schema().columns();
    let over =
        Over { partition: partition(first), order: vec![col(AT), col(KIND)], ascending: false };
    let count = i64::try_from(steps.len()).map_err(|_| PlanError::Internal("steps".to_owned()))?;
    for next in (1..count).rev() {
        let of_next = |value: Expr| case(is_kind(next), value, None);
        let mut windows = vec![over.before("min", of_next(col(AT)), &new_time(next))?];
        for later in next + 1..count {
            windows.push(over.before("min", of_next(col(&time(later))), &new_time(later))?);
        }
        plan = windowed(plan, windows)?;
        let times = (next..count).map(|step| col(&new_time(step)).alias(time(step)));
        let kept = base.iter().cloned().map(Expr::Column);
        plan = projected(plan, kept.chain(times).collect())?;
    }
    let entries = filtered(plan, is_kind(0))?;
    let spread = Spread::plan(entries, STEP, lit(1i64), lit(count + 1))?;
    let mut outputs = Vec::with_capacity(needed.len());
    for name in needed {
        outputs.push(match name.as_str() {
            STEP_NAME => {
                let names = steps.iter().map(|step| lit(step.metric.metric.as_str()));
                by_step((0..).zip(names), None).alias(STEP_NAME)
            }
            REACHED => reached(count, within)?.alias(REACHED),
            name => col(name),
        });
    }
    if outputs.is_empty() {
        outputs.push(col(&member_column(0)));
    }
    projected(spread, outputs)
}

/// The soonest time of a step, from 0, seen from an event before it.
fn time(step: i64) -> String {
    format!("__time{step}")
}

/// The same, while it is being passed on.
fn new_time(step: i64) -> String {
    format!("__next{step}")
}

/// Step 1 is the event itself; the others have to come in time.
fn reached(steps: i64, within: Duration) -> Result<Expr, PlanError> {
    let mut branches = Vec::new();
    for step in 1..steps {
        let in_time = binary_expr(col(&time(step)), Operator::Lt, after(col(AT), within)?);
        branches.push((step, in_time.is_true()));
    }
    Ok(by_step(branches.into_iter(), Some(lit(true))))
}

/// A value for each step, counted from 0.
fn by_step(values: impl Iterator<Item = (i64, Expr)>, otherwise: Option<Expr>) -> Expr {
    let branches = values.map(|(step, value)| {
        (Box::new(binary_expr(col(STEP), Operator::Eq, lit(step + 1))), Box::new(value))
    });
    Expr::Case(Case::new(None, branches.collect(), otherwise.map(Box::new)))
}
