//! Segments as relations of schema `segments`, and as columns of other relations.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::TableReference;
use datafusion::logical_expr::{LogicalPlan, TableScanBuilder};

use super::binder::BindSettings;
use super::context::{RelationScan, ScanClock, ScanColumn, ScanKind};
use super::error::BindError;
use super::relation::{ColumnKind, Relation, RelationColumn, instant_type};
use crate::model::{Dimension, Model, Segment, SegmentVersion};

/// A segment as a relation: its default version (which a pin may change), or a fixed major version.
#[derive(Debug, Clone)]
pub struct SegmentTable {
    pub segment: Arc<Segment>,
    pub major: Option<u64>,
}

impl SegmentTable {
    /// The version that it means without a pin.
    pub fn version(&self) -> Option<&Arc<SegmentVersion>> {
        match self.major {
            Some(major) => self.segment.served_version(major),
            None => self.segment.default_version(),
        }
    }
}

/// A column of a segment's relation beside the member's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentPart {
    /// The group, under the segment's name.
    Group,
    /// The rule that admitted the member, as written; `otherwise` where none did.
    Rule,
    /// The moment as of which the group is told.
    ComputedAt,
    /// The version of the segment.
    Version,
}

impl SegmentPart {
    pub fn data_type(self) -> DataType {
        match self {
            Self::Group | Self::Rule | Self::Version => DataType::Utf8,
            Self::ComputedAt => instant_type(),
        }
    }
}

/// `segments.loyalty_tier`, and `segments.loyalty_tier_v1` for each major that can be asked for.
pub(super) fn relations(model: &Model, segment: &Arc<Segment>) -> Vec<Relation> {
    let majors = segment.served_majors().into_iter().map(|version| Some(version.version.major));
    let default = segment.default_version().map(|_| None);
    let tables = default.into_iter().chain(majors);
    tables.filter_map(|major| relation(model, segment, major)).collect()
}

fn relation(model: &Model, segment: &Arc<Segment>, major: Option<u64>) -> Option<Relation> {
    let entity = model.entities.get(&segment.entity)?;
    let mut columns = Vec::new();
    for key in &entity.key {
        let is_key = |dimension: &Dimension| dimension.path.is_empty() && dimension.name == *key;
        let index = entity.dimensions.iter().position(is_key)?;
        let kind = ColumnKind::Dimension(index);
        columns.push(RelationColumn { name: key.clone(), kind, hidden: false });
    }
    let part = |name: &str, part, hidden| RelationColumn {
        name: name.to_owned(),
        kind: ColumnKind::Segment(part),
        hidden,
    };
    columns.push(part(&segment.name, SegmentPart::Group, false));
    columns.push(part("rule", SegmentPart::Rule, false));
    columns.push(part("computed_at", SegmentPart::ComputedAt, false));
    columns.push(part("version", SegmentPart::Version, false));
    let name = match major {
        Some(major) => format!("{}_v{major}", segment.name),
        None => segment.name.clone(),
    };
    if major.is_some() {
        columns.push(part(&name, SegmentPart::Group, true));
    }
    let mut relation = Relation::new("segments", name, Arc::clone(entity), columns, None);
    relation.segment = Some(SegmentTable { segment: Arc::clone(segment), major });
    Some(relation)
}

/// The bound plan of `SELECT *` from a version's relation.
///
/// # Errors
/// Those of DataFusion's plan nodes.
pub(crate) fn all_of(
    relation: &Arc<Relation>,
    version: &Arc<SegmentVersion>,
) -> datafusion::error::Result<LogicalPlan> {
    let column = |column: &RelationColumn| {
        let kind = match &column.kind {
            ColumnKind::Dimension(index) => ScanKind::Dimension(*index),
            ColumnKind::Segment(part) => ScanKind::Segment(*part),
            _ => return None,
        };
        Some(ScanColumn { name: column.name.clone(), kind })
    };
    let shown = relation.columns.iter().filter(|column| !column.hidden);
    let columns = shown.filter_map(column).collect();
    let clock = ScanClock::default();
    let scan = RelationScan::new(Arc::clone(relation), columns, Vec::new(), clock);
    let scan = scan.with_segments([(version.segment.clone(), Arc::clone(version))].into());
    let scan = TableScanBuilder::new(TableReference::bare("r0"), Arc::new(scan)).build()?;
    Ok(LogicalPlan::TableScan(scan))
}

/// The version that the session means by a relation.
///
/// # Errors
/// [`BindError::SegmentNotServed`] where a pin names none that can be asked for.
pub(super) fn meant(
    table: &SegmentTable,
    settings: &BindSettings,
    position: Option<usize>,
) -> Result<Arc<SegmentVersion>, BindError> {
    let segment = &table.segment;
    let pinned = table.major.or_else(|| settings.pins.get(&segment.name).copied());
    let found = match pinned {
        Some(major) => segment.served_version(major),
        None => segment.default_version(),
    };
    found.cloned().ok_or_else(|| BindError::SegmentNotServed {
        segment: segment.name.clone(),
        major: pinned.unwrap_or_default(),
        served: segment.served_majors().iter().map(|version| version.version.major).collect(),
        position,
    })
}

/// The segment that a dimension is, as the session means it; None for an attribute.
pub(super) fn of_dimension(
    model: &Model,
    dimension: &Dimension,
    settings: &BindSettings,
    position: Option<usize>,
) -> Result<Option<Arc<SegmentVersion>>, BindError> {
    let found = dimension.segment().and_then(|column| model.segments.get(&column.segment));
    let table = found.map(|segment| SegmentTable { segment: Arc::clone(segment), major: None });
    table.map(|table| meant(&table, settings, position)).transpose()
}
