//! Retention: members at each age that their cohort has reached.
//!
//! A member's cohort is the period of its first cohort event. Of its events only the periods matter,
//! so they are put together by these first: one row for each age at which there were some, and so
//! one for age 0. Each is then spread up to the next one, so that a member has a row at every age; so the share of those who are active
//! is a ratio of sums over any group of cohorts, and no age is missing because nobody came.
//!
//! An age is complete once its period is over, up to the newest ingestion. The period that is still
//! open has a row as well, which counts neither as active nor as a member: its share is NULL.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::Weekday;
use chrono_tz::Tz;
use datafusion::arrow::datatypes::IntervalMonthDayNano;
use datafusion::common::ScalarValue;
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, Operator, Union, and, binary_expr, cast, lit,
};

use super::super::error::PlanError;
use super::super::expand::{self, Reading, call};
use super::super::rewrite::{aggregate, aggregated, filtered, projected};
use super::super::spread::Spread;
use super::col;
use super::events::{KIND, Over, case, partition, united, windowed};
use crate::functions::Grain;
use crate::functions::time::timestamptz;
use crate::model::journey::{
    ACTIVE, AGE, AT, COMPLETE, CohortGrain, Events, PERIOD, member_column,
};

const COHORT_KIND: i64 = 0;
const ACTIVE_KIND: i64 = 1;

/// The period of an event.
const EVENT_PERIOD: &str = "__event_period";
/// The least kind of a period's events.
const LEAST_KIND: &str = "__least_kind";
/// The period that is still open, as an age, and the one after it.
const OPEN: &str = "__open";
const END: &str = "__end";
/// The next age at which the member had events.
const NEXT: &str = "__next";
/// An age at which the member had events.
const OWN_AGE: &str = "__own_age";
/// The newest ingestion, on the wall clock.
const NEWEST: &str = "__newest";

/// One row for each member and age: the member's key, [`PERIOD`], [`AGE`], [`ACTIVE`],
/// [`COMPLETE`].
pub(super) fn rows(
    from: Reading<'_>,
    cohort: &Events,
    active: &Events,
    grain: CohortGrain,
    zone: Tz,
    needed: &BTreeSet<String>,
) -> Result<LogicalPlan, PlanError> {
    let ages = active_ages(
        from,
        cohort,
        active,
        Calendar { grain, zone, week_start: from.model.project.week_start },
    )?;
    let over = Over { partition: partition(cohort), order: vec![col(OWN_AGE)], ascending: false };
    let next = over.before("min", col(OWN_AGE), NEXT)?;
    let rows = windowed(ages, vec![next])?;
    let spread = Spread::plan(rows, AGE, col(OWN_AGE), coalesce(vec![col(NEXT), col(END)]))?;
    let mut outputs = Vec::with_capacity(needed.len());
    for name in needed {
        outputs.push(match name.as_str() {
            ACTIVE => {
                let is_active = binary_expr(col(ACTIVE), Operator::Eq, lit(ACTIVE_KIND));
                let at_once = binary_expr(col(AGE), Operator::Eq, col(OWN_AGE));
                and(is_active, at_once).alias(ACTIVE)
            }
            COMPLETE => binary_expr(col(AGE), Operator::Lt, col(OPEN)).alias(COMPLETE),
            PERIOD => cast(col(PERIOD), timestamptz()).alias(PERIOD),
            name => col(name),
        });
    }
    if outputs.is_empty() {
        outputs.push(col(&member_column(0)));
    }
    projected(spread, outputs)
}

/// How periods are counted.
#[derive(Clone, Copy)]
struct Calendar {
    grain: CohortGrain,
    zone: Tz,
    week_start: Weekday,
}

impl Calendar {
    fn wall_clock(self, instant: Expr) -> Result<Expr, PlanError> {
        call("wall_clock", vec![instant, lit(self.zone.name())])
    }

    /// Periods from that of one wall clock to that of another.
    fn between(self, from: Expr, to: Expr) -> Result<Expr, PlanError> {
        let (from, to) = (self.monday_based(from), self.monday_based(to));
        call("periods_between", vec![lit(self.grain.name()), from, to])
    }

    /// A wall clock as if weeks began on Monday.
    fn monday_based(self, wall: Expr) -> Expr {
        match (self.grain, self.week_start.num_days_from_monday()) {
            (CohortGrain::Week, days @ 1..) => {
                let days = ScalarValue::new_interval_mdn(0, days as i32, 0);
                binary_expr(wall, Operator::Minus, Expr::Literal(days, None))
            }
            _ => wall,
        }
    }

    /// A wall clock one period later, or late in that period's last days.
    fn later(self, wall: Expr) -> Expr {
        let (months, days) = match self.grain {
            CohortGrain::Day => (0, 1),
            CohortGrain::Week => (0, 7),
            CohortGrain::Month => (1, 0),
            CohortGrain::Quarter => (3, 0),
            CohortGrain::Year => (12, 0),
        };
        let interval = IntervalMonthDayNano { months, days, nanoseconds: 0 };
        let interval = ScalarValue::IntervalMonthDayNano(Some(interval));
        binary_expr(wall, Operator::Plus, Expr::Literal(interval, None))
    }
}

/// One row for each member and age at which it had events, and so for age 0: the member's key,
/// [`PERIOD`], [`OWN_AGE`], [`ACTIVE`] (the greatest kind of its events), [`OPEN`], [`END`].
fn active_ages(
    from: Reading<'_>,
    cohort: &Events,
    active: &Events,
    calendar: Calendar,
) -> Result<LogicalPlan, PlanError> {
    let members = partition(cohort);
    let periods = periods(from, cohort, active, calendar)?;
    let over = Over { partition: members.clone(), order: Vec::new(), ascending: true };
    let is_first = binary_expr(col(LEAST_KIND), Operator::Eq, lit(COHORT_KIND));
    let first = over.whole("min", case(is_first, col(EVENT_PERIOD), None), PERIOD)?;
    let is_begun = binary_expr(col(EVENT_PERIOD), Operator::GtEq, col(PERIOD));
    let grouped = filtered(windowed(periods, vec![first])?, is_begun)?;
    let newest = watermark(from, cohort, active)?;
    let newest = projected(newest, vec![calendar.wall_clock(col(NEWEST))?.alias(NEWEST)])?;
    let known = LogicalPlanBuilder::from(grouped).cross_join(newest)?.build()?;
    let outputs = members.iter().cloned().chain([
        col(PERIOD),
        calendar.between(col(PERIOD), col(EVENT_PERIOD))?.alias(OWN_AGE),
        col(ACTIVE),
        calendar.between(col(PERIOD), col(NEWEST))?.alias(OPEN),
        calendar.between(col(PERIOD), calendar.later(col(NEWEST)))?.alias(END),
    ]);
    let ages = projected(known, outputs.collect())?;
    filtered(ages, binary_expr(col(OWN_AGE), Operator::Lt, col(END)))
}

/// One row for each member and period in which it had events: the member's key, [`EVENT_PERIOD`],
/// [`LEAST_KIND`], [`ACTIVE`]. Events that are cohort events and activity alike are read once.
fn periods(
    from: Reading<'_>,
    cohort: &Events,
    active: &Events,
    calendar: Calendar,
) -> Result<LogicalPlan, PlanError> {
    let is_one = cohort.are(active);
    let events = match is_one {
        true => united(from, &[cohort], &[])?,
        false => united(from, &[cohort, active], &[])?,
    };
    let grain = Grain::new(calendar.grain.unit(), calendar.week_start);
    let period = grain.truncated(calendar.wall_clock(col(AT))?).alias(EVENT_PERIOD);
    let members = partition(cohort);
    let events = projected(events, [members.clone(), vec![period, col(KIND)]].concat())?;
    let kinds = vec![
        aggregate("min", col(KIND))?.alias(LEAST_KIND),
        aggregate("max", col(KIND))?.alias(ACTIVE),
    ];
    let keys = [members.clone(), vec![col(EVENT_PERIOD)]].concat();
    let periods = aggregated(events, keys.clone(), kinds)?;
    match is_one {
        true => {
            let kinds = vec![col(LEAST_KIND), lit(ACTIVE_KIND).alias(ACTIVE)];
            projected(periods, [keys, kinds].concat())
        }
        false => Ok(periods),
    }
}

/// Up to when both metrics' sources are known, [`NEWEST`]: the older of their newest ingestions.
fn watermark(
    from: Reading<'_>,
    cohort: &Events,
    active: &Events,
) -> Result<LogicalPlan, PlanError> {
    let own = newest(from, cohort)?;
    if cohort.entity == active.entity {
        return Ok(own);
    }
    let inputs = vec![Arc::new(own), Arc::new(newest(from, active)?)];
    let both = LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?);
    aggregated(both, Vec::new(), vec![aggregate("min", col(NEWEST))?.alias(NEWEST)])
}

/// Of the events' source.
fn newest(from: Reading<'_>, events: &Events) -> Result<LogicalPlan, PlanError> {
    let missing = || PlanError::Internal(format!("no entity {}", events.entity));
    let entity = from.model.entities.get(&events.entity).ok_or_else(missing)?;
    expand::newest(from, entity, &events.time.expr, NEWEST)
}
