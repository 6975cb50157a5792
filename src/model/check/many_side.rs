//! `touch` and `allocate`: how a metric counts in groups of a many-side.

use datafusion::arrow::datatypes::DataType;

use super::Context;
use super::at::At;
use super::entity::Found;
use super::metric::{Surroundings, compiled};
use crate::diagnostic::Finding;
use crate::model::raw::{RawAllocate, RawMetricType, RawVersion, Text};
use crate::model::types;
use crate::model::{Allocation, ManySide};

/// None where it has a fault; Some(None) where groups of a many-side are refused. `value` is the
/// type of what is summed.
pub(super) fn check(
    context: &mut Context<'_>,
    raw: &RawVersion,
    at: At<'_>,
    surroundings: &Surroundings<'_, '_>,
) -> Option<Option<ManySide>> {
    let touches = raw.touch.unwrap_or(false);
    let Some(allocate) = &raw.allocate else {
        return Some(touches.then_some(ManySide::Touch));
    };
    if touches {
        let finding = Finding::error("key_not_allowed", "a metric both touches and is allocated")
            .at(at.place_of_key("touch", "whole in each group"))
            .at(at.place_of_key("allocate", "divided among them"))
            .help("Keep one of them.");
        context.push(finding);
        return None;
    }
    if raw.metric_type != RawMetricType::Sum {
        let message = format!("a metric of type {} can't be allocated", raw.metric_type.name());
        let finding = Finding::error("key_not_allowed", message)
            .at(at.place_of_key("allocate", "divides a sum"))
            .help("Write \"touch: true\", so that a row may count in several groups.");
        context.push(finding);
        return None;
    }
    let whole = raw.entity.as_ref()?;
    let at = at.key("allocate");
    let (entity, by, at_by) = match allocate {
        RawAllocate::Text(by) => (only_many_side(context, whole, at, surroundings)?, by, at),
        RawAllocate::Map(map) => (map.entity.to_string(), &map.by, at.key("by")),
    };
    let draft = match surroundings.entities.find(&entity) {
        Found::Entity(draft) => draft,
        Found::Broken => return None,
        Found::Unknown => {
            let message = format!("entity \"{entity}\" does not exist");
            let (at, known) = (at.key("entity"), surroundings.entities.names());
            context.unknown("unknown_entity", message, at, &entity, known, "The entities are");
            return None;
        }
    };
    if !draft.entity.relationships.iter().any(|link| link.entity == **whole) {
        if !draft.broken_roles.is_empty() {
            return None;
        }
        let message = format!("entity \"{entity}\" has no relationship to \"{whole}\"");
        let finding = Finding::error("no_relationship", message)
            .at(at.key("entity").place(format!("not a many-side of {whole}")))
            .at(draft.at.key("relationships").place("none here"))
            .maybe_help(help_of_many_sides(&many_sides(whole, surroundings)));
        context.push(finding);
        return None;
    }
    let scope = surroundings.scopes.get(entity.as_str())?;
    let weight = compiled(context, by, at_by, scope)?;
    let is_exact =
        matches!(weight.data_type, DataType::Decimal128(..)) || weight.data_type.is_integer();
    if !is_exact {
        let shown = types::shown(&weight.data_type);
        let message = format!("a value is allocated by a numeric or a whole number, not {shown}");
        let finding = Finding::error("wrong_type", message)
            .at(at_by.place(shown))
            .help("Cast it to numeric: shares of floating point wouldn't be the same everywhere.");
        context.push(finding);
        return None;
    }
    scope
        .draft
        .has_columns
        .then(|| Some(ManySide::Allocate(Allocation { entity, weight: weight.expr })))
}

/// The entities that belong to another.
fn many_sides<'e>(whole: &Text, surroundings: &'e Surroundings<'_, '_>) -> Vec<&'e str> {
    let belongs = |name: &&str| match surroundings.entities.find(name) {
        Found::Entity(draft) => {
            draft.entity.relationships.iter().any(|link| link.entity == **whole)
        }
        Found::Broken | Found::Unknown => false,
    };
    surroundings.scopes.keys().copied().filter(belongs).collect()
}

fn help_of_many_sides(names: &[&str]) -> Option<String> {
    let mut names = names.to_vec();
    names.sort_unstable();
    (!names.is_empty()).then(|| format!("Its many-sides are: {}.", names.join(", ")))
}

/// The many-side that a bare expression is about: the only one that there is.
fn only_many_side(
    context: &mut Context<'_>,
    whole: &Text,
    at: At<'_>,
    surroundings: &Surroundings<'_, '_>,
) -> Option<String> {
    let mut found = many_sides(whole, surroundings);
    found.sort_unstable();
    if let [only] = found.as_slice() {
        return Some((*only).to_owned());
    }
    let (message, help) = match found.first() {
        None => (
            format!("no entity has a relationship to \"{whole}\""),
            "Declare the relationship in the entity of the many-side.".to_owned(),
        ),
        Some(first) => (
            format!("several entities have a relationship to \"{whole}\": {}", found.join(", ")),
            format!("Say which one: allocate: {{entity: {first}, by: …}}."),
        ),
    };
    context.push(
        Finding::error("no_relationship", message).at(at.place("of which entity?")).help(help),
    );
    None
}
