//! Days of rows: when they are closed, and what that makes of late ones.
//!
//! All is said in calendar days of the metric's zone. A day closes at the start of (day + 1 +
//! window), so an instant comes before a day's close exactly if its own day is at most `window`
//! later: no instant of a close has to be computed, and days of 23 and 25 hours need no care.

use chrono::{DateTime, TimeDelta, Utc};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, ScalarValue, TableReference};
use datafusion::logical_expr::{Expr, Operator, binary_expr, cast, lit, when};

use super::error::PlanError;
use super::expand::{TimeOf, call};
use crate::bind::ScanClock;
use crate::model::{AfterClose, MetricTime, Zone};
use crate::sql::timezone::TimeZone;

/// The qualifier of what only the session tells. No path of relationships is called so.
const SESSION: &str = "(session)";
const TIME_ZONE: &str = "time_zone";

impl TimeOf {
    /// When rows of a metric count.
    pub(crate) fn of(time: &MetricTime) -> Result<Self, PlanError> {
        let zone = match &time.zone {
            Zone::Named(zone) => lit(zone.name()),
            Zone::Session => {
                Expr::Column(Column::new(Some(TableReference::bare(SESSION)), TIME_ZONE))
            }
            Zone::OfRow { expr, .. } => expr.clone(),
        };
        let window_days = time.late_data.window_days;
        let of_event = Self { instant: time.expr.clone(), zone, window_days, shift: None };
        match (time.late_data.after, &time.ingested) {
            (AfterClose::BookOnArrival, Some(ingested)) => of_event.booked(ingested),
            _ => Ok(of_event),
        }
    }

    /// An in-time row at its event, a late one at its arrival; one of unknown arrival isn't late.
    pub(super) fn booked(self, ingested: &Expr) -> Result<Self, PlanError> {
        let instant =
            when(self.is_late(ingested)?, ingested.clone()).otherwise(self.instant.clone())?;
        Ok(Self { instant, ..self })
    }

    fn is_late(&self, ingested: &Expr) -> Result<Expr, PlanError> {
        Ok(binary_expr(self.day_of(ingested)?, Operator::Gt, self.last_open_day()?))
    }

    /// Whether a row came in before its day was closed; NULL where its arrival is unknown.
    fn in_time(&self, ingested: &Expr) -> Result<Expr, PlanError> {
        Ok(binary_expr(self.day_of(ingested)?, Operator::LtEq, self.last_open_day()?))
    }

    /// Whether a row's day is closed, as judged by a scan's clock.
    pub(crate) fn is_final(&self, clock: &ScanClock) -> Result<Expr, PlanError> {
        if constant_zone(&self.zone, clock).is_some() {
            return self.is_final_on(self.day_of(&self.instant)?, clock);
        }
        // Offsets of zones are whole minutes: so equal questions within a minute are one.
        let minute = judged_at(clock)?.timestamp().div_euclid(60) * 60_000_000;
        let minute = ScalarValue::TimestampMicrosecond(Some(minute), Some("UTC".into()));
        let today = self.day_of(&Expr::Literal(minute, None))?;
        Ok(binary_expr(self.last_open_day()?, Operator::Lt, today))
    }

    /// Whether a day is closed, where all rows have one zone.
    pub(crate) fn is_final_on(&self, day: Expr, clock: &ScanClock) -> Result<Expr, PlanError> {
        let no_zone = || PlanError::NotSupported {
            what: "is_final of a period where rows have zones of their own".to_owned(),
            hint: Some("Leave out is_final, or SET canon.fill = off.".to_owned()),
        };
        let closed = self.last_final_day(clock)?.ok_or_else(no_zone)?;
        Ok(binary_expr(day, Operator::LtEq, closed))
    }

    /// The last day that is closed; None where rows have zones of their own.
    pub(crate) fn last_final_day(&self, clock: &ScanClock) -> Result<Option<Expr>, PlanError> {
        let Some(zone) = constant_zone(&self.zone, clock) else { return Ok(None) };
        let now = judged_at(clock)?.naive_utc();
        let today = (now + TimeDelta::seconds(i64::from(zone.offset_at(now)))).date();
        let closed = today - TimeDelta::days(i64::from(self.window_days) + 1);
        let closed = ScalarValue::Date32(Some(closed.to_epoch_days()));
        Ok(Some(Expr::Literal(closed, None)))
    }

    /// The last day on which a row of its day is in time.
    fn last_open_day(&self) -> Result<Expr, PlanError> {
        let day = self.day_of(&self.instant)?;
        match self.window_days {
            0 => Ok(day),
            days => call("add_days", vec![day, lit(i64::from(days))]),
        }
    }

    fn day_of(&self, instant: &Expr) -> Result<Expr, PlanError> {
        let wall_clock = call("wall_clock", vec![instant.clone(), self.zone.clone()])?;
        Ok(cast(wall_clock, DataType::Date32))
    }

    /// The same time where nobody asks whether its days are closed: then windows make no difference.
    pub(crate) fn without_window(self) -> Self {
        Self { window_days: 0, ..self }
    }
}

/// The condition that a metric's late data puts on its rows.
pub(crate) fn counts(time: &MetricTime) -> Result<Option<Expr>, PlanError> {
    match (time.late_data.after, &time.ingested) {
        (AfterClose::Drop, Some(ingested)) => Ok(Some(TimeOf::of(time)?.in_time(ingested)?)),
        (AfterClose::CountLate, Some(ingested)) => Ok(Some(TimeOf::of(time)?.is_late(ingested)?)),
        _ => Ok(None),
    }
}

fn judged_at(clock: &ScanClock) -> Result<DateTime<Utc>, PlanError> {
    clock.judged_at().ok_or_else(|| PlanError::Internal("the statement has no time".to_owned()))
}

pub(crate) fn constant_zone(zone: &Expr, clock: &ScanClock) -> Option<TimeZone> {
    match zone {
        Expr::Literal(name, _) => TimeZone::of_expression(name.try_as_str()??),
        Expr::Column(column) if is_session(column) => TimeZone::parse(&clock.time_zone),
        _ => None,
    }
}

fn is_session(column: &Column) -> bool {
    column.relation.as_ref().is_some_and(|relation| relation.table() == SESSION)
}

/// An expression with the session's time zone in its place.
pub(crate) fn resolved(expr: Expr, clock: &ScanClock) -> Result<Expr, PlanError> {
    if !expr.column_refs().into_iter().any(is_session) {
        return Ok(expr);
    }
    let resolved = expr.transform_up(|expr| {
        Ok(match &expr {
            Expr::Column(column) if is_session(column) => {
                Transformed::yes(lit(clock.time_zone.as_str()))
            }
            _ => Transformed::no(expr),
        })
    })?;
    Ok(resolved.data)
}

/// The condition of rows that had come in at a moment.
pub(crate) fn known_at(ingested: Expr, moment: DateTime<Utc>) -> Expr {
    binary_expr(ingested, Operator::Lt, literal(moment))
}

/// A moment as a constant.
pub(crate) fn literal(moment: DateTime<Utc>) -> Expr {
    let moment =
        ScalarValue::TimestampMicrosecond(Some(moment.timestamp_micros()), Some("UTC".into()));
    Expr::Literal(moment, None)
}
