//! From a bound query to a plan over sources: versions, eligibility, time, joins and dedupe, each
//! measure evaluated where it is forced. No IO, no async, no clock: same input, same plan.

pub mod account;
mod allocation;
mod atoms;
mod clock;
mod computed;
mod dependent;
mod error;
mod expand;
mod final_periods;
pub(crate) mod history;
mod journey;
mod labels;
mod lateral;
pub mod latest;
mod levels;
mod measure;
mod push_filters;
mod rewrite;
mod rules;
pub(crate) mod segment;
mod segment_at_event;
mod semi_joins;
mod shares;
mod shift;
pub mod source;
pub mod spread;
mod subqueries;
mod time_ranges;
mod trace;
mod weeks;

use chrono::{DateTime, Utc};
use datafusion::logical_expr::LogicalPlan;

pub use error::PlanError;
pub(crate) use push_filters::PushFilters;
pub(crate) use subqueries::SubqueriesAsValues;
pub(crate) use trace::asks;

use crate::model::Model;

/// The plan over [`source::SourceTable`]s that answers a bound plan: analysed, its filters pushed
/// towards the sources, its constants folded. Output columns keep their positions. `at` is the
/// statement's time, at which the windows of segments end.
///
/// # Errors
/// Questions that the model can't answer right, and types that don't go together.
pub fn plan(
    model: &Model,
    bound: &LogicalPlan,
    at: DateTime<Utc>,
) -> Result<LogicalPlan, PlanError> {
    rules::apply(model, bound, at)
}

/// Whether an answer depends on the statement's time in what its scans give: in columns that
/// nobody reads it doesn't.
///
/// # Errors
/// Shapes that DataFusion refuses.
pub fn judges_days(bound: &LogicalPlan) -> Result<bool, PlanError> {
    if !rules::scans_read_clock(bound)? {
        return Ok(false);
    }
    rules::scans_read_clock(&rules::without_unread(bound)?)
}
