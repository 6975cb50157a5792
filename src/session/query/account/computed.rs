//! What a metric is computed as, for a person.

use std::time::Duration;

use crate::model::journey::{BookedAt, Credit, JourneyKind, Output};
use crate::model::{Aggregation, EntityFilter, MetricKind, MetricVersion, Model, Side, Window};

/// What a version's value is of, in words.
pub(super) fn computed_as(model: &Model, version: &MetricVersion) -> String {
    restricted(computed(model, version), &version.filter)
}

/// A filter is said once, of however many entities' rows.
fn restricted(what: String, filter: &[EntityFilter]) -> String {
    match filter.first() {
        Some(filter) => format!("{what} where {}", filter.text),
        None => what,
    }
}

fn computed(model: &Model, version: &MetricVersion) -> String {
    let rows = || {
        let relation = model.entities.get(&version.entity).map(|entity| entity.relation.as_str());
        relation.unwrap_or(&version.entity).to_owned()
    };
    match &version.kind {
        MetricKind::Aggregate(aggregation) => {
            let what = match aggregation {
                Aggregation::Count => "the number of rows",
                Aggregation::Sum(_) => "a sum over rows",
                Aggregation::Avg(_) => "an average over rows",
                Aggregation::Min(_) => "the least value in rows",
                Aggregation::Max(_) => "the greatest value in rows",
                Aggregation::CountDistinct { approximate: false, .. } => {
                    "the number of different values in rows"
                }
                Aggregation::CountDistinct { approximate: true, .. } => {
                    "an estimate of the number of different values in rows"
                }
                Aggregation::Quantile { quantile, .. } => {
                    return format!("the {quantile} quantile of values in rows of {}", rows());
                }
                Aggregation::WeightedAvg { .. } => "a weighted average over rows",
            };
            format!("{what} of {}", rows())
        }
        MetricKind::Ratio { numerator, denominator } => {
            let side = |side: &Side| restricted(side.metric.to_string(), &side.filter);
            format!("{} over {}, each added up first", side(numerator), side(denominator))
        }
        MetricKind::Journey(journey) => followed(model, &journey.kind),
        MetricKind::Snapshot { .. } => {
            format!("one value of each series of snapshots, added up, in rows of {}", rows())
        }
        MetricKind::Cumulative { metric, window } => match window {
            Window::Trailing(span) => {
                format!("{metric} over the {span} that end with the period")
            }
            Window::ToDate(grain) => {
                let grain = model.project.grain_name(*grain);
                format!("{metric} since the beginning of the {grain}")
            }
            Window::All => format!("{metric} over everything until the period's end"),
        },
        MetricKind::Offset { metric, by } => format!("{metric}, {by} earlier"),
        MetricKind::Derived { parts, .. } => {
            let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
            format!("an expression over {}", parts.join(", "))
        }
    }
}

fn followed(model: &Model, kind: &JourneyKind) -> String {
    match kind {
        JourneyKind::Conversion { base, target, within, credit, booked_at, output } => {
            let what = match output {
                Output::Rate => "the share of",
                Output::Count => "the number of",
            };
            let credit = match credit {
                Credit::LastBase => "last",
                Credit::FirstBase => "first",
            };
            let booked = match booked_at {
                BookedAt::Base => "it happens",
                BookedAt::Conversion => "it leads to that",
            };
            format!(
                "{what} events of {} that lead to one of {} within {}, which is credited to the {credit} of its member; each counts when {booked}",
                base.metric,
                target.metric,
                duration(*within)
            )
        }
        JourneyKind::Retention { cohort, active, grain, .. } => {
            let grain = model.project.grain_name(*grain);
            format!(
                "the share of the members with a first event of {} in a {grain} that have one of {}, by the {grain}s since",
                cohort.metric, active.metric
            )
        }
        JourneyKind::Funnel { steps, within, output } => {
            let what = match output {
                Output::Rate => "the share of members with events",
                Output::Count => "the number of members with events",
            };
            let steps: Vec<String> = steps.iter().map(|step| step.metric.to_string()).collect();
            format!("{what} of {}, in this order within {}", steps.join(", "), duration(*within))
        }
    }
}

fn duration(within: Duration) -> String {
    let seconds = within.as_secs();
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    let (length, unit) = units
        .into_iter()
        .find(|(length, _)| seconds.is_multiple_of(*length))
        .unwrap_or((1, "second"));
    let count = seconds / length;
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}
