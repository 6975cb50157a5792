//! Conversions: base events, each with its first credited target.
//!
//! Rather than give each target its base and count from there, each base event looks for its own
//! targets: with `last_base` they come before the member's next base event; with `first_base` they
//! come after the windows of all earlier base events, of which the latest closes last. So both are
//! one pass (`first_base` two) over the events, without a join.

use std::collections::BTreeSet;
use std::time::Duration;

use datafusion::common::{Column, TableReference};
use datafusion::logical_expr::{Expr, LogicalPlan, Operator, and, binary_expr, or};

use super::super::error::PlanError;
use super::super::expand::Reading;
use super::super::rewrite::{filtered, projected};
use super::col;
use super::events::{KIND, Over, after, case, is_kind, partition, united, windowed};
use super::ranges::Reach;
use crate::model::Entity;
use crate::model::entity::BASE;
use crate::model::journey::{AT, CONVERTED_AT, Credit, Events, is_own_column};

/// What base and target are of.
#[derive(Clone, Copy)]
pub(super) struct Sides<'j> {
    pub(super) base: &'j Events,
    pub(super) target: &'j Events,
}

const BASE_KIND: i64 = 0;
const TARGET_KIND: i64 = 1;

/// One row for each base event: the columns that are needed of its source, [`AT`] and
/// [`CONVERTED_AT`].
pub(super) fn rows(
    from: Reading<'_>,
    entity: &Entity,
    sides: Sides<'_>,
    within: Duration,
    credit: Credit,
    needed: &BTreeSet<String>,
) -> Result<LogicalPlan, PlanError> {
    let mut of_base = source_columns(needed);
    let own = |index: usize| format!("__key{index}");
    for (index, name) in entity.key.iter().enumerate() {
        of_base.push((own(index), source_column(name)));
    }
    let order: Vec<Expr> = (0..entity.key.len()).map(|index| col(&own(index))).collect();
    let events = united(from, &[sides.base, sides.target], &of_base)?;
    // An earlier base event can take a target from a later one, not the other way round.
    let back = match credit {
        Credit::LastBase => Duration::ZERO,
        Credit::FirstBase => within,
    };
    let events = Reach::plan(events, back, within)?;
    let rows = match credit {
        Credit::LastBase => last_base(events, sides.base, order)?,
        Credit::FirstBase => first_base(events, sides.base, order, within)?,
    };
    let rows = filtered(rows, is_kind(BASE_KIND))?;
    let converted = within_window(credit, within)?;
    let mut outputs: Vec<Expr> = Vec::with_capacity(needed.len());
    for name in needed {
        outputs.push(match name.as_str() {
            CONVERTED_AT => case(converted.clone(), col(NEXT_TARGET), None).alias(CONVERTED_AT),
            name => col(name),
        });
    }
    if outputs.is_empty() {
        outputs.push(col(AT));
    }
    projected(rows, outputs)
}

/// The next target at or after a base event, or after the windows of earlier ones.
const NEXT_TARGET: &str = "__next_target";
/// The next base event of the member.
const NEXT_BASE: &str = "__next_base";
/// The base event before.
const PREVIOUS_BASE: &str = "__previous_base";
/// From when on targets are a base event's own.
const OWN_FROM: &str = "__own_from";

fn at_of(kind: i64) -> Expr {
    case(is_kind(kind), col(AT), None)
}

/// Adds [`NEXT_TARGET`] and [`NEXT_BASE`].
fn last_base(events: LogicalPlan, base: &Events, key: Vec<Expr>) -> Result<LogicalPlan, PlanError> {
    let order = [col(AT), col(KIND)].into_iter().chain(key).collect();
    let later = Over { partition: partition(base), order, ascending: false };
    let next_target = later.before("min", at_of(TARGET_KIND), NEXT_TARGET)?;
    let next_base = later.before("min", at_of(BASE_KIND), NEXT_BASE)?;
    windowed(events, vec![next_target, next_base])
}

/// Adds [`NEXT_TARGET`], the next one from the end of the windows of earlier base events on.
fn first_base(
    events: LogicalPlan,
    base: &Events,
    key: Vec<Expr>,
    within: Duration,
) -> Result<LogicalPlan, PlanError> {
    let order = [col(AT), col(KIND)].into_iter().chain(key.iter().cloned()).collect();
    let earlier = Over { partition: partition(base), order, ascending: true };
    let previous = earlier.before("max", at_of(BASE_KIND), PREVIOUS_BASE)?;
    let rows = windowed(events, vec![previous])?;
    let end = after(col(PREVIOUS_BASE), within)?;
    let overlaps = and(is_kind(BASE_KIND), binary_expr(end.clone(), Operator::Gt, col(AT)));
    let own_from = case(overlaps, end, Some(col(AT))).alias(OWN_FROM);
    let kept = rows.schema().columns().into_iter().filter(|column| column.name != PREVIOUS_BASE);
    let outputs = kept.map(Expr::Column).chain([own_from]).collect();
    let rows = projected(rows, outputs)?;
    let order = [col(OWN_FROM), col(KIND)].into_iter().chain(key).collect();
    let later = Over { partition: partition(base), order, ascending: false };
    windowed(rows, vec![later.before("min", at_of(TARGET_KIND), NEXT_TARGET)?])
}

/// Whether the next target is credited to the base event.
fn within_window(credit: Credit, within: Duration) -> Result<Expr, PlanError> {
    let in_time = binary_expr(col(NEXT_TARGET), Operator::Lt, after(col(AT), within)?);
    Ok(match credit {
        Credit::FirstBase => in_time,
        Credit::LastBase => {
            let first = binary_expr(col(NEXT_TARGET), Operator::Lt, col(NEXT_BASE));
            and(in_time, or(col(NEXT_BASE).is_null(), first))
        }
    })
}

/// The needed columns that are a source's own.
pub(super) fn source_columns(needed: &BTreeSet<String>) -> Vec<(String, Expr)> {
    let own = needed.iter().filter(|name| !is_own_column(name));
    own.map(|name| (name.clone(), source_column(name))).collect()
}

fn source_column(name: &str) -> Expr {
    Expr::Column(Column::new(Some(TableReference::bare(BASE)), name))
}
