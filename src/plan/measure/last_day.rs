//! The day that windows end with where a statement has no periods: the last one that is known, or the
//! last one that the statement's conditions of time let through, whichever comes first.
//!
//! That is the day of the watermark of the sources that the asked metric is built on, the least where
//! there are several: not of the rows that happen to count for a metric. So a metric over the last
//! seven days doesn't end with another day for a customer who hasn't bought anything since, the sides
//! of a ratio end with one, and the answer is that of the last row by day in a gap-filled one.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, Union, and, cast};

use super::super::error::PlanError;
use super::super::expand::{Reading, newest};
use super::super::rewrite::{aggregate, aggregated, filtered, projected};
use super::super::trace::{followed, reads, scans_of};
use super::fill::{FIRST, MOMENT, Moments, NEWEST, Range, column, extreme, known_until};
use super::moment::instant;
use super::windows::{PERIOD, as_timestamp};
use super::{Branch, Evaluation, truncation};
use crate::functions::{Grain, Unit};
use crate::model::{MetricVersion, Model};

/// An entity whose source says up to when a metric is known, and when its rows count for the metric.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KnownBy {
    entity: String,
    at: Expr,
}

impl KnownBy {
    /// By what a version is known that is built on some metrics of rows.
    pub(crate) fn all(model: &Model, version: &MetricVersion) -> Vec<Self> {
        let mut found = Vec::new();
        Self::collect(model, version, &mut found);
        found
    }

    fn collect(model: &Model, version: &MetricVersion, found: &mut Vec<Self>) {
        let parts = version.kind.parts();
        for (_, part) in parts.iter().filter_map(|part| model.version_of(part)) {
            Self::collect(model, part, found);
        }
        let Some(time) = version.time.as_ref().filter(|_| parts.is_empty()) else { return };
        if !found.iter().any(|known| known.entity == version.entity) {
            found.push(Self { entity: version.entity.clone(), at: time.expr.clone() });
        }
    }
}

/// Whether windows may end with the last day: those of an aggregation that doesn't group by the time
/// of any of its scans, or by periods that are longer than a day.
pub(super) fn is_asked_for(aggregate: &Aggregate, input: &LogicalPlan) -> bool {
    let Ok(keys) = grouping_set_to_exprlist(&aggregate.group_expr) else { return true };
    let scans = scans_of(input);
    let reads_time = |key: &&&Expr| scans.keys().any(|scan| reads(input, key, *scan).time);
    let mut periods = keys.iter().filter(reads_time);
    let is_short = |key: &&Expr| {
        let (_, meant) = followed(input, key);
        truncation(meant).is_some_and(|(grain, _)| grain.unit() <= Unit::Day)
    };
    periods.clone().next().is_none() || !periods.all(is_short)
}

fn no_range() -> PlanError {
    PlanError::NotSupported {
        what: "a metric over time without a period, where a condition on time is no range"
            .to_owned(),
        hint: Some(
            "Write the range as metric_time >= '2026-01-01' AND metric_time < '2026-02-01', or group by date_trunc('day', metric_time)."
                .to_owned(),
        ),
    }
}

impl Evaluation<'_, '_, '_> {
    /// The beginning of the last day, as one row with the column `__period`; no row where nothing is
    /// known of the asked range.
    pub(super) fn last_day(
        &self,
        branch: &Branch,
        instance: usize,
    ) -> Result<LogicalPlan, PlanError> {
        let moments = self.days_of(branch, instance)?;
        let range = moments.range(self.input, instance)?;
        self.last_day_in(range, branch, &moments)
    }

    /// The last day beside periods that are longer: one row with a column of this name, NULL where
    /// nothing is known of the asked range. A condition on time that is no range moves it not.
    pub(super) fn last_known_day(
        &self,
        branch: &Branch,
        instance: usize,
        name: &str,
    ) -> Result<LogicalPlan, PlanError> {
        let moments = self.days_of(branch, instance)?;
        let range = match moments.range(self.input, instance) {
            Err(PlanError::NotSupported { .. }) => Range::default(),
            range => range?,
        };
        let day = self.last_day_in(range, branch, &moments)?;
        let last = aggregate("max", as_timestamp(column(PERIOD)))?.alias(name);
        aggregated(day, Vec::new(), vec![last])
    }

    /// The days of a branch's time.
    fn days_of(&self, branch: &Branch, instance: usize) -> Result<Moments<'_>, PlanError> {
        let missing = || PlanError::Internal("a window without a scan or a time".to_owned());
        let scans = scans_of(self.input);
        let scan = scans.get(&instance).ok_or_else(missing)?.relation;
        Ok(Moments {
            model: self.rewriter.model,
            clock: &scan.clock,
            time: branch.time.clone().ok_or_else(missing)?,
            as_instants: false,
            grain: Grain::Of(Unit::Day),
            no_range,
        })
    }

    fn last_day_in(
        &self,
        mut range: Range,
        branch: &Branch,
        moments: &Moments<'_>,
    ) -> Result<LogicalPlan, PlanError> {
        let missing = || PlanError::Internal("a day without an end".to_owned());
        range.last.push(moments.known()?);
        let mut bounds = vec![extreme("least", range.last)?.alias(MOMENT)];
        let mut conditions = range.closed.clone();
        if !range.first.is_empty() {
            bounds.push(extreme("greatest", range.first)?.alias(FIRST));
            conditions.push(column(FIRST).lt_eq(column(MOMENT)));
        }
        let bounds = projected(self.known_of(branch, moments)?, bounds)?;
        let mut last = bounds.clone();
        let has_one_moment = range.closed.is_empty();
        if !has_one_moment && let Some(day) = moments.time.last_final_day(moments.clock)? {
            // The last moment of the last closed day may be one too.
            let end = Grain::Of(Unit::Day).next(as_timestamp(cast(day, DataType::Date32)));
            let end = end.ok_or_else(missing)? - instant();
            let mut closed: Vec<Expr> =
                bounds.schema().columns().into_iter().map(Expr::Column).collect();
            closed[0] = extreme("least", vec![column(MOMENT), end])?.alias(MOMENT);
            let both = vec![Arc::new(last), Arc::new(projected(bounds, closed)?)];
            last = LogicalPlan::Union(Union::try_new_with_loose_types(both)?);
        }
        if let Some(condition) = conditions.into_iter().reduce(and) {
            last = filtered(last, condition)?;
        }
        let day = moments.grain.truncated(column(MOMENT));
        if has_one_moment {
            return projected(last, vec![day.alias(PERIOD)]);
        }
        let last = aggregated(last, Vec::new(), vec![aggregate("max", day)?.alias(PERIOD)])?;
        filtered(last, column(PERIOD).is_not_null())
    }

    /// Up to when all sources are known that a branch's metric is built on, as one row.
    fn known_of(&self, branch: &Branch, moments: &Moments<'_>) -> Result<LogicalPlan, PlanError> {
        let from = Reading { model: moments.model, clock: moments.clock };
        let mut known = Vec::with_capacity(branch.known_by.len());
        for KnownBy { entity, at } in &branch.known_by {
            let entity = self.rewriter.entity(entity)?;
            known.push(newest(from, entity, at, NEWEST)?);
        }
        match known.is_empty() {
            true => Err(PlanError::Internal("nothing tells a last day".to_owned())),
            false => known_until(known),
        }
    }
}
