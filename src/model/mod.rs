//! The definitions: what a folder of YAML says, checked, with every name resolved.
//!
//! [`raw`] is the file format as serde sees it, [`load`] reads a folder, [`check`] turns what was
//! read into a [`Model`] and a list of findings. A `Model` never changes: reloading builds another.

pub mod check;
pub mod entity;
mod expr;
pub mod load;
pub mod metric;
mod near;
pub mod project;
pub mod raw;
mod scalars;
pub mod schema;
mod shape;
mod spans;
pub mod time;
mod types;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use entity::{
    Attribute, Dedupe, Dimension, Entity, Relationship, Source, SourceColumn, SourceKind,
};
pub use metric::{
    Aggregation, Eligibility, Freshness, Metric, MetricKind, MetricRef, MetricVersion,
    QuantileMethod, Status,
};
pub use project::{BackendConfig, Consumer, Owner, Project};
pub use time::{AfterClose, LateData, MetricTime, Zone};

/// A checked set of definitions.
#[derive(Debug)]
pub struct Model {
    pub project: Project,
    /// By name.
    pub entities: BTreeMap<String, Arc<Entity>>,
    /// By name.
    pub metrics: BTreeMap<String, Arc<Metric>>,
    /// By name.
    pub consumers: BTreeMap<String, Arc<Consumer>>,
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
    /// The version of a major that can be asked for: active or deprecated.
    pub fn served_version<'m>(
        &self,
        metric: &'m Metric,
        major: u64,
    ) -> Option<&'m Arc<MetricVersion>> {
        metric.served_majors().into_iter().find(|version| version.version.major == major)
    }
}
