//! The definitions: what a folder of YAML says, checked, with every name resolved.
//!
//! [`raw`] is the file format as serde sees it, [`load`] reads a folder, [`check`] turns what was
//! read into a [`Model`] and a list of findings. A `Model` never changes: reloading builds another.

pub mod check;
pub mod entity;
pub mod example;
mod expr;
pub mod journey;
pub mod load;
pub mod metric;
mod near;
pub mod project;
pub mod raw;
mod scalars;
pub mod schema;
pub mod segment;
mod shape;
pub(crate) mod shared;
mod span;
mod spans;
pub mod time;
mod types;
pub mod units;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use entity::{
    AsOf, Attribute, Dedupe, Dimension, Entity, History, Relationship, Source, SourceColumn,
    SourceKind,
};
pub use journey::{Journey, JourneyKind};
pub use metric::{
    Aggregation, Allocation, Eligibility, EntityFilter, Fill, Freshness, ManySide, Metric,
    MetricKind, MetricRef, MetricVersion, QuantileMethod, Side, Status,
};
pub use project::{BackendConfig, Consumer, Owner, Project};
pub use segment::{Segment, SegmentVersion};
pub use span::{Pick, Series, Span, Window};
pub use time::{AfterClose, LateData, MetricTime, Zone};

/// A checked set of definitions.
#[derive(Debug)]
pub struct Model {
    pub project: Project,
    /// By name.
    pub entities: BTreeMap<String, Arc<Entity>>,
    /// By name.
    pub metrics: BTreeMap<String, Arc<Metric>>,
    /// Those of all metrics, by the name of the entity of their rows.
    pub journeys: BTreeMap<String, Arc<Journey>>,
    /// By name.
    pub segments: BTreeMap<String, Arc<Segment>>,
    /// By name.
    pub consumers: BTreeMap<String, Arc<Consumer>>,
    /// Of all metrics, in the order of their files.
    pub examples: Vec<example::Example>,
    /// Digest of the definitions' text and of the sources' described columns: equal for equal sets,
    /// on every replica.
    pub fingerprint: [u8; 32],
}

impl Model {
    /// The entity whose relation in schema `public` has this name.
    pub fn entity_of_relation(&self, relation: &str) -> Option<&Arc<Entity>> {
        self.entities.values().find(|entity| entity.relation == relation)
    }

    /// The version that a reference such as `revenue@1` names: the newest of that major that is
    /// released (a draft is never it), retired ones included so that the caller can say so.
    pub fn version_of(&self, reference: &MetricRef) -> Option<(&Arc<Metric>, &Arc<MetricVersion>)> {
        let metric = self.metrics.get(&reference.metric)?;
        Some((metric, metric.of_major(reference.major)?))
    }
}

impl Model {
    /// The journeys of some metrics, as [`journeys`](Self::journeys) has them.
    pub(crate) fn journeys_of(
        metrics: &BTreeMap<String, Arc<Metric>>,
    ) -> BTreeMap<String, Arc<Journey>> {
        let versions = metrics.values().flat_map(|metric| &metric.versions);
        let journeys = versions.filter_map(|version| version.journey());
        journeys.map(|journey| (journey.rows.name.clone(), Arc::clone(journey))).collect()
    }

    /// The entity whose rows metrics count by this name: one of the definitions, or that of the rows
    /// of a journey.
    pub fn counted_entity(&self, name: &str) -> Option<&Arc<Entity>> {
        let rows = || self.journeys.get(name).map(|journey| &journey.rows);
        self.entities.get(name).or_else(rows)
    }

    /// The journeys that a version's value comes from: its own, or those of its parts.
    pub fn journeys_in(&self, version: &MetricVersion) -> Vec<&Arc<Journey>> {
        version.entities.iter().filter_map(|name| self.journeys.get(name)).collect()
    }

    /// Whether a group of one row of its entity has a value of its own: a metric over the rows of one
    /// entity has.
    pub fn is_row_wise(&self, version: &MetricVersion) -> bool {
        match &version.kind {
            MetricKind::Aggregate(_) | MetricKind::Journey(_) => true,
            MetricKind::Snapshot { .. }
            | MetricKind::Cumulative { .. }
            | MetricKind::Offset { .. } => false,
            MetricKind::Ratio { .. } | MetricKind::Derived { .. } => {
                let row_wise = |part: &MetricRef| {
                    self.version_of(part).is_some_and(|(_, part)| self.is_row_wise(part))
                };
                !version.drills_across() && version.kind.parts().into_iter().all(row_wise)
            }
        }
    }

    /// The version of a major that can be asked for: active or deprecated.
    pub fn served_version<'m>(
        &self,
        metric: &'m Metric,
        major: u64,
    ) -> Option<&'m Arc<MetricVersion>> {
        metric.served_majors().into_iter().find(|version| version.version.major == major)
    }
}
