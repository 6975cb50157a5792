//! Journeys: the rows of conversions, funnels and retentions, from the events of members.
//!
//! Each is one pass over the united events, in windows over a member's events in the order of
//! time; nothing is joined to itself. Windows look back from the end (`ORDER BY … DESC ROWS BETWEEN
//! UNBOUNDED PRECEDING AND 1 PRECEDING`), so that an engine extends one state from row to row: a
//! frame whose start moves would be computed anew for each row in ClickHouse. Events of one instant
//! are in the order of their kind: a base before its target, a step before the next.

mod conversion;
mod events;
mod formula;
mod funnel;
mod ranges;
mod retention;

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::{Column, TableReference};
use datafusion::logical_expr::{Expr, LogicalPlan, SubqueryAlias, lit};

pub(crate) use events::counted_at;
pub(crate) use formula::refuse_totals;
pub(crate) use ranges::apply as narrow;

use super::error::PlanError;
use super::expand::{Reading, TimeOf};
use crate::model::entity::BASE;
use crate::model::journey::{Journey, JourneyKind};
use crate::model::{MetricTime, Model};

/// The rows of a journey under the alias [`BASE`], with the columns of these names: those of
/// [`crate::model::journey`], and source columns of the base event's entity.
pub(crate) fn rows(
    from: Reading<'_>,
    journey: &Journey,
    needed: &BTreeSet<String>,
) -> Result<LogicalPlan, PlanError> {
    let rows = match &journey.kind {
        JourneyKind::Conversion { base, target, within, credit, .. } => {
            let sides = conversion::Sides { base, target };
            conversion::rows(from, &journey.rows, sides, *within, *credit, needed)?
        }
        JourneyKind::Funnel { steps, within, .. } => funnel::rows(from, steps, *within, needed)?,
        JourneyKind::Retention { cohort, active, grain, zone } => {
            retention::rows(from, cohort, active, *grain, *zone, needed)?
        }
    };
    let alias = TableReference::bare(BASE);
    Ok(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(rows), alias)?))
}

/// When a row of an entity counts, or of a journey. A cohort's period is a wall clock already.
pub(crate) fn time_of(
    model: &Model,
    counted: &str,
    time: &MetricTime,
) -> Result<TimeOf, PlanError> {
    let of_row = TimeOf::of(time)?;
    let has_instant = model.journeys.get(counted).is_none_or(|journey| journey.has_instant());
    Ok(match has_instant {
        true => of_row,
        false => TimeOf { zone: lit(chrono_tz::Tz::UTC.name()), ..of_row },
    })
}

/// A column of one of the plans in here.
fn col(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}
