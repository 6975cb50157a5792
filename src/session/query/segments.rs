//! What clients are told of segments: comments of their relations, notices of their versions.

use std::sync::Arc;

use super::catalog_view::{owner_of, sentences};
use crate::bind::relation::Relation;
use crate::bind::segment::{SegmentPart, SegmentTable};
use crate::model::{SegmentVersion, Status};
use crate::session::engine::Notice;
use crate::sql::catalog::CatalogForeignKey;

/// Intent, groups with their rules, owner, version.
pub(super) fn relation_comment(table: &SegmentTable) -> Option<String> {
    let (segment, version) = (&table.segment, table.version()?);
    let parts = [
        segment.intent.clone(),
        Some(rules(version)),
        Some(owner_of(&segment.owner)),
        Some(format!("Version {}", version.version)),
    ];
    Some(sentences(parts.into_iter().flatten()))
}

/// `gold where …; silver where …; else basic`.
pub(super) fn rules(version: &SegmentVersion) -> String {
    let rules = version.rules.iter().map(|rule| match &rule.why {
        Some(why) => format!("{} where {} ({why})", rule.name, rule.when),
        None => format!("{} where {}", rule.name, rule.when),
    });
    let otherwise = version.otherwise.as_ref().map(|name| format!("else {name}"));
    rules.chain(otherwise).collect::<Vec<_>>().join("; ")
}

pub(super) fn column_comment(relation: &Relation, part: SegmentPart) -> Option<String> {
    let version = relation.segment.as_ref()?.version()?;
    Some(match part {
        SegmentPart::Group => {
            let mut names: Vec<&str> = Vec::new();
            let all = version.rules.iter().map(|rule| rule.name.as_str());
            for name in all.chain(version.otherwise.as_deref()) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            format!("The group: {}", names.join(", "))
        }
        SegmentPart::Rule => "The rule that admitted the member".to_owned(),
        SegmentPart::ComputedAt => "As of when".to_owned(),
        SegmentPart::Version => "The version of the segment".to_owned(),
    })
}

/// A segment's key is that of the member's entity.
pub(super) fn member_key(relation: &Relation) -> CatalogForeignKey {
    let entity = &relation.entity;
    CatalogForeignKey {
        columns: entity.key.clone(),
        schema: "public".to_owned(),
        relation: entity.relation.clone(),
        referenced_columns: entity.key.clone(),
    }
}

/// What must be said of the versions that a question used.
pub(super) fn notices(versions: &[Arc<SegmentVersion>]) -> Vec<Notice> {
    let deprecated = versions.iter().filter(|version| version.status == Status::Deprecated);
    deprecated
        .map(|version| Notice {
            severity: "NOTICE",
            sqlstate: "01000",
            message: format!(
                "segment \"{}\" version {} is deprecated",
                version.segment, version.version
            ),
            detail: version.sunset.map(|sunset| format!("It can be asked for until {sunset}.")),
            hint: version.replaced_by.as_ref().map(|successor| {
                format!(
                    "Use version {successor}: \"segments.{}_v{}\".",
                    version.segment, successor.major
                )
            }),
        })
        .collect()
}
