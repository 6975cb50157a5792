//! Journeys that metrics are built on: whose rows they count, and which of them have a value.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Context;
use super::at::At;
use super::metric::{Metrics, Target};
use crate::diagnostic::Finding;
use crate::model::{EntityFilter, Journey, MetricKind, MetricRef, MetricVersion};

/// All journeys, checked, by the name of the entity of their rows; with the entity whose dimensions
/// they have.
pub(super) struct Journeys(BTreeMap<String, (String, Arc<Journey>)>);

impl Journeys {
    pub(super) fn of(metrics: &Metrics<'_>) -> Self {
        let versions = metrics.drafts.iter().flat_map(|draft| draft.versions.borrow().clone());
        let journeys = versions.flatten().filter_map(|version| {
            let journey = Arc::clone(version.journey()?);
            Some((journey.rows.name.clone(), (version.entity.clone(), journey)))
        });
        Self(journeys.collect())
    }

    /// The entity whose dimensions the rows of this name have, and the journey whose they are.
    pub(super) fn get(&self, counted: &str) -> Option<(&str, &Arc<Journey>)> {
        self.0.get(counted).map(|(entity, journey)| (entity.as_str(), journey))
    }

    /// The entity of the definitions whose dimensions those rows have that are counted.
    pub(super) fn shown_entity<'n>(&'n self, counted: &'n str) -> &'n str {
        self.get(counted).map_or(counted, |(entity, _)| entity)
    }

    /// Refuses what no question could get a value of: a journey that needs one age or step, where the
    /// other parts don't have such a dimension and no filter says which.
    pub(super) fn check_needed(
        &self,
        context: &mut Context<'_>,
        metrics: &Metrics<'_>,
        version: &MetricVersion,
        at: At<'_>,
    ) -> Option<()> {
        if !version.drills_across() {
            return Some(());
        }
        let is_dimension = |names: &[&str]| {
            let own = version.dimensions.iter().flatten();
            own.into_iter().any(|own| names.contains(&own.as_str()))
        };
        let mut unfixed = self.unfixed(metrics, version);
        let Some((journey, needed)) = unfixed.find(|(_, needed)| !is_dimension(needed)) else {
            return Some(());
        };
        let first = needed[0];
        let message = format!(
            "{} has a value for one \"{first}\" at a time, which not all parts have",
            journey.name()
        );
        let finding = Finding::error("needs_dimension", message)
                .at(at.key("type").place(format!("over several values of \"{first}\" it has no value")))
                .help(format!(
                    "Say which one where the metric is named: {{metric: …, filter: \"{first} = 1\"}}, or in a filter of its own."
                ));
        context.push(finding);
        None
    }

    /// The journeys of a version that have a value for one age or step at a time, of which no filter
    /// says which; and what that is called, by one name at least.
    pub(super) fn unfixed(
        &self,
        metrics: &Metrics<'_>,
        version: &MetricVersion,
    ) -> impl Iterator<Item = (&Journey, &'static [&'static str])> {
        let journeys = version.entities.iter().filter_map(|name| Some(self.get(name)?.1));
        let needing = journeys.map(|journey| (journey.as_ref(), journey.needed_dimensions()));
        needing
            .filter(|(journey, needed)| !needed.is_empty() && !is_fixed(metrics, version, journey))
    }
}

/// Whether filters say of a journey's rows, wherever a metric is built on them, which age or step.
fn is_fixed(metrics: &Metrics<'_>, version: &MetricVersion, journey: &Journey) -> bool {
    let name = &journey.rows.name;
    let fixes = |filters: &[EntityFilter]| {
        filters.iter().any(|it| it.entity == *name && journey.is_fixed_by(&it.expr))
    };
    if !version.entities.contains(name) || fixes(&version.filter) {
        return true;
    }
    let part = |part: &MetricRef| match metrics.target(part) {
        Target::Version(metric, index) => {
            let known = metrics.drafts[metric].versions.borrow()[index].clone();
            known.is_some_and(|part| is_fixed(metrics, &part, journey))
        }
        Target::Broken | Target::Fault { .. } => false,
    };
    match &version.kind {
        MetricKind::Ratio { numerator, denominator } => [numerator, denominator]
            .into_iter()
            .all(|side| fixes(&side.filter) || part(&side.metric)),
        MetricKind::Journey(_) => false,
        kind => kind.parts().into_iter().all(part),
    }
}
