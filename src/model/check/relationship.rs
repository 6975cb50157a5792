//! Relationships: to which entity, over which columns, under which name.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::arrow::datatypes::DataType;

use super::at::At;
use super::entity::{Draft, Entities, Found};
use super::{Context, values};
use crate::diagnostic::Finding;
use crate::model::Relationship;
use crate::model::raw::RawRelationship;
use crate::model::types;

/// The relationships of one entity.
#[derive(Default)]
pub(super) struct Links {
    pub(super) relationships: Vec<Relationship>,
    pub(super) broken_roles: BTreeSet<String>,
}

/// The relationships of each entity, in the entities' order.
pub(super) fn check(context: &mut Context<'_>, entities: &Entities<'_>) -> Vec<Links> {
    entities.drafts.iter().map(|draft| of_entity(context, entities, draft)).collect()
}

fn of_entity(context: &mut Context<'_>, entities: &Entities<'_>, draft: &Draft<'_>) -> Links {
    let mut links = Links::default();
    let mut roles: BTreeMap<&str, At<'_>> = BTreeMap::new();
    for (index, raw) in draft.raw.relationships.iter().enumerate() {
        let at = draft.at.key("relationships").item(index);
        let role: &str = raw.role.as_ref().unwrap_or(&raw.entity);
        if let Some(first) = roles.insert(role, at) {
            let message = format!("relationship \"{role}\" is defined twice");
            let finding = Finding::error("duplicate_name", message)
                .at(at.key("as").place("again here"))
                .at(first.place("defined here"))
                .help("Name their roles with \"as\", such as placed_by and fulfilled_by.");
            context.push(finding);
            continue;
        }
        if raw.role.is_some() {
            values::name(role, at.key("as"), "relationship", &mut context.findings);
        }
        match link(context, entities, draft, raw, at) {
            Some(relationship) => links.relationships.push(relationship),
            None => {
                links.broken_roles.insert(role.to_owned());
            }
        }
    }
    links
}

fn link(
    context: &mut Context<'_>,
    entities: &Entities<'_>,
    draft: &Draft<'_>,
    raw: &RawRelationship,
    at: At<'_>,
) -> Option<Relationship> {
    let role = raw.role.as_ref().unwrap_or(&raw.entity).to_string();
    if raw.entity == draft.raw.entity {
        context.not_yet(at.key("entity"), "a relationship of an entity with itself");
        return None;
    }
    let other = match entities.find(&raw.entity) {
        Found::Entity(other) => other,
        Found::Broken => return None,
        Found::Unknown => {
            let message = format!("entity \"{}\" does not exist", raw.entity);
            let (at, known) = (at.key("entity"), entities.names());
            context.unknown("unknown_entity", message, at, &raw.entity, known, "The entities are");
            return None;
        }
    };
    if raw.key.0.len() != other.raw.key.0.len() {
        let message = format!(
            "the key of \"{}\" has {}, this one {}",
            raw.entity,
            columns(other.raw.key.0.len()),
            columns(raw.key.0.len())
        );
        let keys: Vec<&str> = other.raw.key.0.iter().map(|name| &**name).collect();
        let finding = Finding::error("key_mismatch", message)
            .at(at.key("key").place(columns(raw.key.0.len())))
            .at(other.at.key("key").place(columns(keys.len())))
            .help(format!("Give a column for each of: {}.", keys.join(", ")));
        context.push(finding);
        return None;
    }
    let mut fits = other.has_columns;
    for (index, (own, theirs)) in raw.key.0.iter().zip(&other.raw.key.0).enumerate() {
        let (Some(own_type), Some(their_type)) = (type_of(draft, own), type_of(other, theirs))
        else {
            fits = false;
            continue;
        };
        if types::family(own_type) == types::family(their_type) {
            continue;
        }
        fits = false;
        let (own_type, their_type) = (types::shown(own_type), types::shown(their_type));
        let message =
            format!("column \"{own}\" is {own_type}, but the key \"{theirs}\" is {their_type}");
        let finding = Finding::error("wrong_type", message)
            .at(at.key("key").item(index).place(own_type))
            .at(other.at.key("key").item(index).place(their_type))
            .help("The two never match; name the column that holds the other entity's key.");
        context.push(finding);
    }
    let text = |text: &Option<crate::model::raw::Text>| text.as_ref().map(|text| text.to_string());
    fits.then(|| Relationship {
        name: role,
        entity: raw.entity.to_string(),
        key: raw.key.0.iter().map(|name| name.to_string()).collect(),
        missing: text(&raw.missing),
        unmatched: text(&raw.unmatched),
    })
}

fn columns(count: usize) -> String {
    match count {
        1 => "1 column".to_owned(),
        count => format!("{count} columns"),
    }
}

fn type_of<'e>(draft: &'e Draft<'_>, column: &str) -> Option<&'e DataType> {
    let columns = &draft.entity.source.columns;
    columns.iter().find(|other| other.name == column).map(|column| &column.data_type)
}
