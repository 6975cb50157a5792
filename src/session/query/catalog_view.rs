//! The model's relations as the catalogue shows them: columns, keys, and comments that carry
//! intent, unit, owner and version.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;

use super::segments;
use crate::bind::relation::{ColumnKind, MeasureColumn, Relation, RelationColumn};
use crate::bind::{Relations, relation};
use crate::model::{Entity, Metric, MetricVersion, Model, Owner, Status};
use crate::sql::catalog::{CatalogColumn, CatalogForeignKey, CatalogRelation, CatalogSnapshot};
use crate::sql::types::PgType;

/// All relations of a model.
pub(super) fn snapshot_of(model: &Model, relations: &Relations) -> CatalogSnapshot {
    CatalogSnapshot {
        relations: relations.iter().map(|relation| catalog_relation(model, relation)).collect(),
    }
}

fn catalog_relation(model: &Model, relation: &Arc<Relation>) -> CatalogRelation {
    let visible = relation.columns.iter().filter(|column| !column.hidden);
    let columns = visible.filter_map(|column| catalog_column(relation, column));
    let is_entity = relation.metric.is_none();
    CatalogRelation {
        schema: relation.schema.to_owned(),
        name: relation.name.clone(),
        comment: match &relation.segment {
            Some(table) => segments::relation_comment(table),
            None => relation_comment(relation),
        },
        columns: columns.collect(),
        primary_key: if is_entity { relation.entity.key.clone() } else { Vec::new() },
        foreign_keys: if relation.segment.is_some() {
            vec![segments::member_key(relation)]
        } else if is_entity {
            foreign_keys(model, &relation.entity)
        } else {
            Vec::new()
        },
        estimated_rows: None,
    }
}

fn foreign_keys(model: &Model, entity: &Entity) -> Vec<CatalogForeignKey> {
    let links = entity.relationships.iter();
    links
        .filter_map(|link| {
            let target = model.entities.get(&link.entity)?;
            let is_own =
                |key: &String| entity.attributes.iter().any(|it| it.name == *key && !it.hidden);
            link.key.iter().all(is_own).then(|| CatalogForeignKey {
                columns: link.key.clone(),
                schema: "public".to_owned(),
                relation: target.relation.clone(),
                referenced_columns: target.key.clone(),
            })
        })
        .collect()
}

fn catalog_column(relation: &Relation, column: &RelationColumn) -> Option<CatalogColumn> {
    let (data_type, comment) = match &column.kind {
        ColumnKind::Dimension(index) => {
            let dimension = &relation.entity.dimensions[*index];
            let parts = [
                dimension.description.clone(),
                dimension.unit.as_ref().map(|it| format!("in {it}")),
            ];
            (dimension.data_type.clone(), joined(parts.into_iter().flatten(), "; "))
        }
        ColumnKind::MetricTime => {
            let comment = "When it counts: wall clock in the metric's own time zone".to_owned();
            (relation::wall_clock_type(), Some(comment))
        }
        ColumnKind::MetricInstant => {
            (relation::instant_type(), Some("The same moment with time zone".to_owned()))
        }
        ColumnKind::Segment(part) => (part.data_type(), segments::column_comment(relation, *part)),
        ColumnKind::IsFinal => {
            let comment = "Whether its day is closed: later rows won't move it, or restate it";
            (DataType::Boolean, Some(comment.to_owned()))
        }
        ColumnKind::Measure(measure) => {
            let version = version_of(measure)?;
            (version.data_type.clone(), Some(metric_comment(&measure.metric, version)))
        }
    };
    let pg_type = match &column.kind {
        ColumnKind::Dimension(index) if relation.entity.dimensions[*index].is_uuid => PgType::Uuid,
        _ => PgType::of_arrow(&data_type),
    };
    Some(CatalogColumn {
        name: column.name.clone(),
        pg_type,
        not_null: relation.metric.is_none() && relation.entity.key.contains(&column.name),
        comment,
    })
}

fn version_of(measure: &MeasureColumn) -> Option<&Arc<MetricVersion>> {
    match measure.major {
        Some(major) => measure.metric.of_major(major),
        None => measure.metric.default_version(),
    }
}

fn relation_comment(relation: &Relation) -> Option<String> {
    match &relation.metric {
        Some(measure) => {
            version_of(measure).map(|version| metric_comment(&measure.metric, version))
        }
        None => {
            let entity = &relation.entity;
            let parts = [
                entity.intent.clone(),
                Some(owner_of(&entity.owner)),
                Some(format!("Version {}", entity.version)),
            ];
            joined(parts.into_iter().flatten(), ". ")
        }
    }
}

/// Intent, unit, owner, version, freshness, and the end of its life if that is near.
fn metric_comment(metric: &Metric, version: &MetricVersion) -> String {
    let budget = version.freshness.as_ref().map(|it| it.budget.as_secs());
    let parts = [
        Some(metric.intent.clone()),
        version.unit.as_ref().map(|unit| format!("Unit: {unit}")),
        Some(owner_of(&metric.owner)),
        Some(format!("Version {}", version.version)),
        budget.map(|seconds| format!("Fresh to {}", duration(seconds))),
        (version.status == Status::Deprecated).then(|| deprecation(version)),
    ];
    sentences(parts.into_iter().flatten())
}

/// Sentences after each other, each with its own end.
pub(super) fn sentences(parts: impl Iterator<Item = String>) -> String {
    let ended = parts.map(|part| match part.ends_with(['.', '?', '!']) {
        true => part,
        false => format!("{part}."),
    });
    ended.collect::<Vec<_>>().join(" ")
}

fn deprecation(version: &MetricVersion) -> String {
    let until = version.sunset.map(|sunset| format!(" until {sunset}")).unwrap_or_default();
    let successor = version.replaced_by.as_ref();
    let successor = successor.map(|it| format!(", use version {it}")).unwrap_or_default();
    format!("DEPRECATED{until}{successor}")
}

pub(super) fn owner_of(owner: &Owner) -> String {
    match &owner.contact {
        Some(contact) => format!("Owner: {} ({contact})", owner.team),
        None => format!("Owner: {}", owner.team),
    }
}

fn duration(seconds: u64) -> String {
    match seconds {
        seconds if seconds % 86_400 == 0 => format!("{} d", seconds / 86_400),
        seconds if seconds % 3_600 == 0 => format!("{} h", seconds / 3_600),
        seconds if seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

fn joined(parts: impl Iterator<Item = String>, separator: &str) -> Option<String> {
    let parts: Vec<String> = parts.map(|part| part.trim_end_matches('.').to_owned()).collect();
    (!parts.is_empty()).then(|| parts.join(separator))
}
