//! Retention: members at each age that their cohort has reached.
//!
//! A member's cohort is the period of its first cohort event. Of its activity only the periods
//! matter: one row for each age at which it was active, and one for age 0. Each is then spread up
//! to the next one, so that a member has a row at every age; so the share of those who are active
//! is a ratio of sums over any group of cohorts, and no age is missing because nobody came.
//!
//! An age is complete once its period is over, up to the newest ingestion. The period that is still
//! open has a row as well, which counts neither as active nor as a member: its share is NULL.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono_tz::Tz;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Spans, TableReference};
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::logical_expr::{
    Expr, LogicalPlan, Operator, Subquery, Union, and, binary_expr, cast, lit,
};

use super::super::error::PlanError;
use super::super::expand::{call, joined_sources};
use super::super::rewrite::{aggregated, filtered, projected};
use super::super::spread::Spread;
use super::col;
use super::events::{KIND, Over, case, is_kind, partition, united, windowed};
use crate::functions::{registry, time::timestamptz};
use crate::model::entity::BASE;
use crate::model::journey::{
    ACTIVE, AGE, AT, COMPLETE, CohortGrain, Events, PERIOD, member_column,
};
use crate::model::{Entity, Model};

const COHORT_KIND: usize = 0;
const ACTIVE_KIND: usize = 1;

/// The member's first cohort event.
const FIRST: &str = "__first";
/// The beginning of the period that an event is in.
const OWN_PERIOD: &str = "__own_period";
/// The age whose period is still open.
const OPEN: &str = "__open";
/// The next age at which the member was active.
const NEXT: &str = "__next";
/// Ages between one with activity and the next, from 0.
const BETWEEN: &str = "__between";

/// One row for each member and age: the member's key, [`PERIOD`], [`AGE`], [`ACTIVE`],
/// [`COMPLETE`].
pub(super) fn rows(
    model: &Model,
    cohort: &Events,
    active: &Events,
    grain: CohortGrain,
    zone: Tz,
    needed: &BTreeSet<String>,
) -> Result<LogicalPlan, PlanError> {
    let ages = active_ages(model, cohort, active, Calendar { grain, zone })?;
    let over = Over { partition: partition(cohort), order: vec![col(AGE)], ascending: false };
    let next = over.before("min", col(AGE), NEXT)?;
    let members: Vec<Expr> = partition(cohort);
    let last = coalesce(vec![col(NEXT), plus(col(OPEN), lit(1i64))]);
    let between = minus(minus(last, col(AGE)), lit(1i64)).alias(BETWEEN);
    let outputs = members.iter().cloned();
    let outputs = outputs.chain([col(PERIOD), col(AGE), col(ACTIVE), col(OPEN), between]);
    let gaps = projected(windowed(ages, vec![next])?, outputs.collect())?;
    let later = "__later";
    let spread = Spread::plan(gaps, later, 0, col(BETWEEN))?;
    let age = plus(col(AGE), col(later));
    let mut outputs = Vec::with_capacity(needed.len());
    for name in needed {
        outputs.push(match name.as_str() {
            AGE => age.clone().alias(AGE),
            ACTIVE => {
                let is_active = binary_expr(col(ACTIVE), Operator::Eq, lit(1i64));
                let at_once = binary_expr(col(later), Operator::Eq, lit(0i64));
                and(is_active, at_once).alias(ACTIVE)
            }
            COMPLETE => binary_expr(age.clone(), Operator::Lt, col(OPEN)).alias(COMPLETE),
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
}

impl Calendar {
    /// The beginning of the period of an instant, as a wall clock.
    fn period(self, instant: Expr) -> Result<Expr, PlanError> {
        let wall = call("wall_clock", vec![instant, lit(self.zone.name())])?;
        call("date_trunc", vec![lit(self.grain.name()), wall])
    }

    /// Periods from the beginning of one to that of another.
    fn between(self, from: Expr, to: Expr) -> Result<Expr, PlanError> {
        let part = |field: &str, of: &Expr| -> Result<Expr, PlanError> {
            Ok(cast(call("extract", vec![lit(field), of.clone()])?, DataType::Int64))
        };
        let difference = |field: &str| -> Result<Expr, PlanError> {
            Ok(minus(part(field, &to)?, part(field, &from)?))
        };
        let date = |of: &Expr| cast(of.clone(), DataType::Date32);
        let days = minus(date(&to), date(&from));
        let years = |periods: i64| -> Result<Expr, PlanError> {
            Ok(binary_expr(difference("year")?, Operator::Multiply, lit(periods)))
        };
        Ok(match self.grain {
            CohortGrain::Day => days,
            CohortGrain::Week => binary_expr(days, Operator::Divide, lit(7i64)),
            CohortGrain::Month => plus(years(12)?, difference("month")?),
            CohortGrain::Quarter => plus(years(4)?, difference("quarter")?),
            CohortGrain::Year => difference("year")?,
        })
    }
}

/// One row for each member and age at which it was active, and for age 0: the member's key,
/// [`PERIOD`], [`AGE`], [`ACTIVE`] (1 or 0), [`OPEN`].
fn active_ages(
    model: &Model,
    cohort: &Events,
    active: &Events,
    calendar: Calendar,
) -> Result<LogicalPlan, PlanError> {
    let events = united(model, &[cohort, active], &[])?;
    let over = Over { partition: partition(cohort), order: Vec::new(), ascending: true };
    let first = over.whole("min", case(is_kind(COHORT_KIND), col(AT), None), FIRST)?;
    let followed = filtered(windowed(events, vec![first])?, col(FIRST).is_not_null())?;
    let members = partition(cohort);
    // A cohort event stands for the member itself, at age 0.
    let counted = case(is_kind(ACTIVE_KIND), col(AT), Some(col(FIRST)));
    let outputs = members.iter().cloned().chain([
        calendar.period(col(FIRST))?.alias(PERIOD),
        calendar.period(counted)?.alias(OWN_PERIOD),
        col(KIND),
    ]);
    let periods = projected(followed, outputs.collect())?;
    let max = registry().aggregate.get("max");
    let max = max.ok_or_else(|| PlanError::Internal("no aggregate max".to_owned()))?;
    let keys = members.iter().cloned().chain([col(PERIOD), col(OWN_PERIOD)]);
    let is_active = max.call(vec![col(KIND)]).alias(ACTIVE);
    let grouped = aggregated(periods, keys.collect(), vec![is_active])?;
    let open = calendar.period(watermark(model, cohort, active)?)?;
    let outputs = members.iter().cloned().chain([
        cast(col(PERIOD), timestamptz()).alias(PERIOD),
        calendar.between(col(PERIOD), col(OWN_PERIOD))?.alias(AGE),
        col(ACTIVE),
        calendar.between(col(PERIOD), open)?.alias(OPEN),
    ]);
    let ages = projected(grouped, outputs.collect())?;
    let begun = binary_expr(col(AGE), Operator::GtEq, lit(0i64));
    let known = binary_expr(col(AGE), Operator::LtEq, col(OPEN));
    filtered(ages, and(begun, known))
}

/// Up to when both metrics' sources are known: the older of their newest ingestion times.
fn watermark(model: &Model, cohort: &Events, active: &Events) -> Result<Expr, PlanError> {
    let own = newest(model, cohort)?;
    let plan = match cohort.entity == active.entity {
        true => own,
        false => {
            let inputs = vec![Arc::new(own), Arc::new(newest(model, active)?)];
            let both = LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?);
            let min = registry().aggregate.get("min");
            let min = min.ok_or_else(|| PlanError::Internal("no aggregate min".to_owned()))?;
            aggregated(both, Vec::new(), vec![min.call(vec![col("__newest")]).alias("__newest")])?
        }
    };
    Ok(Expr::ScalarSubquery(Subquery {
        subquery: Arc::new(plan),
        outer_ref_columns: Vec::new(),
        spans: Spans::new(),
    }))
}

/// The newest ingestion time of a source; where it has none, the newest event.
fn newest(model: &Model, events: &Events) -> Result<LogicalPlan, PlanError> {
    let missing = || PlanError::Internal(format!("no entity {}", events.entity));
    let entity: &Entity = model.entities.get(&events.entity).ok_or_else(missing)?;
    let time = match &entity.source.ingested {
        Some(column) => Expr::Column(datafusion::common::Column::new(
            Some(TableReference::bare(BASE)),
            column,
        )),
        None => events.at.clone(),
    };
    let rows = joined_sources(model, entity, None, [&time].into_iter())?;
    let max = registry().aggregate.get("max");
    let max = max.ok_or_else(|| PlanError::Internal("no aggregate max".to_owned()))?;
    let plan = aggregated(rows, Vec::new(), vec![max.call(vec![time])])?;
    let column = plan.schema().columns().into_iter().next();
    let column = column.ok_or_else(|| PlanError::Internal("no watermark".to_owned()))?;
    projected(plan, vec![cast(Expr::Column(column), timestamptz()).alias("__newest")])
}

fn plus(left: Expr, right: Expr) -> Expr {
    binary_expr(left, Operator::Plus, right)
}

fn minus(left: Expr, right: Expr) -> Expr {
    binary_expr(left, Operator::Minus, right)
}
