//! Which aggregate functions may stand around a measure, and what they mean there.
//!
//! BI tools know only SUM, COUNT, AVG, MIN and MAX. Around a measure they mean the measure, where
//! nobody could take them for something else; what would be misread is refused.

use super::error::BindError;
use super::scope::MeasureUse;
use crate::model::{Aggregation, MetricKind, MetricVersion, Model};

/// An aggregate call around measures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'c> {
    /// Lower case.
    pub(crate) function: &'c str,
    pub(crate) distinct: bool,
    pub(crate) position: Option<usize>,
}

/// Accepts `call` around the measures, or says why not and what to write.
///
/// # Errors
/// [`BindError::MisleadingAggregate`].
pub(crate) fn check(
    model: &Model,
    strict: bool,
    call: Call<'_>,
    used: &MeasureUse,
) -> Result<(), BindError> {
    let all_additive =
        used.metrics.iter().all(|version| super::relation::is_additive(model, version));
    let fits = match (call.function, call.distinct) {
        ("sum", false) => !strict || all_additive,
        ("count", false) => used.direct && used.metrics.iter().all(|it| is_count(it)),
        ("count", true) => used.direct && used.metrics.iter().all(|it| is_count_distinct(it)),
        ("avg" | "mean", false) => used.direct && used.metrics.iter().all(|it| is_average(it)),
        ("min", false) => used.direct && used.metrics.iter().all(|it| is_min(it)),
        ("max", false) => used.direct && used.metrics.iter().all(|it| is_max(it)),
        _ => false,
    };
    if fits { Ok(()) } else { Err(refusal(call, used, all_additive)) }
}

fn refusal(call: Call<'_>, used: &MeasureUse, all_additive: bool) -> BindError {
    let metric = used.name();
    let function = match call.distinct {
        true => format!("{}(DISTINCT)", call.function.to_uppercase()),
        false => call.function.to_uppercase(),
    };
    let kind = used.metrics.first().map(|version| kind_of(version)).unwrap_or("a measure");
    let reason = match all_additive {
        true => format!("\"{metric}\" is {kind}: {function} of it would be a different number."),
        false => {
            format!("\"{metric}\" is {kind}, which cannot be added up or aggregated once more.")
        }
    };
    let hint = match call.function {
        "avg" | "mean" | "min" | "max" => format!(
            "Write MEASURE({metric}) for its value; for the {} of the values of groups, group in a \
             subquery: SELECT {}(v) FROM (SELECT …, MEASURE({metric}) AS v … GROUP BY …) AS g.",
            call.function, call.function
        ),
        _ => format!("Write MEASURE({metric}) for its value."),
    };
    BindError::MisleadingAggregate { function, metric, reason, hint, position: call.position }
}

/// Refuses a window sum over values that don't add up.
///
/// # Errors
/// [`BindError::MisleadingAggregate`].
pub(crate) fn check_window(
    model: &Model,
    call: Call<'_>,
    used: &MeasureUse,
) -> Result<(), BindError> {
    let adds_up = matches!(call.function, "sum" | "avg" | "mean");
    let additive = |version: &MetricVersion| super::relation::is_additive(model, version);
    let offender = used.metrics.iter().find(|version| !additive(version));
    match (adds_up, offender) {
        (true, Some(version)) => Err(BindError::MisleadingAggregate {
            function: format!("{} OVER", call.function.to_uppercase()),
            metric: version.metric.clone(),
            reason: format!(
                "\"{}\" is {}: its values over parts don't add up to its value over the whole.",
                version.metric,
                kind_of(version)
            ),
            hint: format!(
                "Define a cumulative metric over {}@{}, which is recomputed from rows.",
                version.metric, version.version.major
            ),
            position: call.position,
        }),
        (true, None) | (false, _) => Ok(()),
    }
}

fn kind_of(version: &MetricVersion) -> &'static str {
    match &version.kind {
        MetricKind::Aggregate(aggregation) => match aggregation {
            Aggregation::Count => "a count",
            Aggregation::Sum(_) => "a sum",
            Aggregation::Avg(_) => "an average",
            Aggregation::Min(_) => "a minimum",
            Aggregation::Max(_) => "a maximum",
            Aggregation::CountDistinct { .. } => "a distinct count",
            Aggregation::Quantile { .. } => "a quantile",
            Aggregation::WeightedAvg { .. } => "a weighted average",
        },
        MetricKind::Ratio { .. } => "a ratio",
        MetricKind::Snapshot { .. } => "a sum of snapshots",
        MetricKind::Cumulative { .. } => "cumulative",
        MetricKind::Offset { .. } => "of an earlier period",
        MetricKind::Derived { .. } => "derived from other metrics",
        MetricKind::Journey(journey) => journey.name(),
    }
}

fn is_count(version: &MetricVersion) -> bool {
    match &version.kind {
        MetricKind::Aggregate(aggregation) => matches!(aggregation, Aggregation::Count),
        MetricKind::Journey(journey) => journey.is_additive(),
        _ => false,
    }
}

fn is_count_distinct(version: &MetricVersion) -> bool {
    match &version.kind {
        MetricKind::Aggregate(aggregation) => {
            matches!(aggregation, Aggregation::CountDistinct { .. })
        }
        MetricKind::Journey(journey) => journey.counts_members(),
        _ => false,
    }
}

fn is_average(version: &MetricVersion) -> bool {
    match &version.kind {
        MetricKind::Ratio { .. } => true,
        MetricKind::Journey(journey) => journey.is_share(),
        kind => matches!(
            kind,
            MetricKind::Aggregate(Aggregation::Avg(_) | Aggregation::WeightedAvg { .. })
        ),
    }
}

fn is_min(version: &MetricVersion) -> bool {
    matches!(version.kind, MetricKind::Aggregate(Aggregation::Min(_)))
}

fn is_max(version: &MetricVersion) -> bool {
    matches!(version.kind, MetricKind::Aggregate(Aggregation::Max(_)))
}
