//! What an expression of a metric may name: its entity's attributes, its source's columns, and the
//! dimensions of the entities it belongs to.

use std::collections::{BTreeSet, HashMap};

use super::entity::{Draft, base_column, unknown_name};
use crate::model::Dimension;
use crate::model::expr::{Name, Resolved, Scope};
use crate::model::segment::SegmentColumn;

/// The names of one entity.
pub(super) struct EntityScope<'e, 'a> {
    pub(super) draft: &'e Draft<'a>,
    /// By name, the dimensions of other entities and the prefixed names of its own.
    dimensions: HashMap<&'e str, &'e Dimension>,
}

impl<'e, 'a> EntityScope<'e, 'a> {
    pub(super) fn new(draft: &'e Draft<'a>) -> Self {
        let dimensions = draft.entity.dimensions.iter();
        let dimensions = dimensions.map(|dimension| (dimension.name.as_str(), dimension)).collect();
        Self { draft, dimensions }
    }

    /// The dimension of a written name: `channel`, `customer_tier`, `customer.tier`.
    pub(super) fn dimension(&self, written: &str) -> Option<&'e Dimension> {
        let found = self.named(&written.replace('.', "_"))?;
        match found.alias_only {
            true => self.dimensions.get(found.allowed_as().as_str()).copied(),
            false => Some(found),
        }
    }

    /// The dimension of a name, with the entity's own in front or not.
    fn named(&self, name: &str) -> Option<&'e Dimension> {
        let plain = || self.dimensions.get(self.draft.entity.without_own_prefix(name)?);
        self.dimensions.get(name).or_else(plain).copied()
    }

    /// Whether a name could belong to something that has a fault of its own.
    pub(super) fn may_be_broken(&self, parts: &[&str]) -> bool {
        let name = parts.join("_");
        let below = |role: &String| name.starts_with(&format!("{role}_"));
        !self.draft.has_columns
            || self.draft.broken.contains(&name)
            || self.draft.broken_roles.iter().any(below)
    }

    fn attribute(&self, name: &str) -> Option<Name> {
        let attribute = self.draft.entity.attributes.iter().find(|other| other.name == name)?;
        Some(Name { data_type: attribute.data_type.clone(), expr: attribute.expr.clone() })
    }

    fn column(&self, name: &str) -> Option<Name> {
        let column = self.draft.entity.source.columns.iter().find(|other| other.name == name)?;
        Some(Name { data_type: column.data_type.clone(), expr: base_column(name) })
    }

    fn bare(&self, name: &str) -> Option<Resolved> {
        if let Some(found) = self.attribute(name) {
            return Some(Resolved::Name(Box::new(found)));
        }
        let dimension = self.named(name).map(named);
        match (self.column(name), dimension) {
            (Some(column), Some(dimension)) if column.expr != dimension.expr => {
                Some(Resolved::Fault {
                    code: "ambiguous_column",
                    message: format!(
                        "\"{name}\" is a column of table \"{}\" and a dimension",
                        self.draft.entity.source.table
                    ),
                    label: "which one?".to_owned(),
                    help: Some(format!(
                        "Write {} for the dimension, or give the column an attribute of another name.",
                        self.dotted(name)
                    )),
                })
            }
            (Some(found), _) | (None, Some(found)) => Some(Resolved::Name(Box::new(found))),
            (None, None) => None,
        }
    }

    fn dotted(&self, name: &str) -> String {
        self.dimensions.get(name).map_or(name.to_owned(), |dimension| {
            let path = match dimension.path.is_empty() {
                true => dimension.entity.clone(),
                false => dimension.path.join("."),
            };
            format!("{path}.{}", dimension.attribute)
        })
    }

    /// All names, for helps.
    pub(super) fn known(&self) -> BTreeSet<&str> {
        let entity = &self.draft.entity;
        let attributes = entity.attributes.iter().map(|attribute| attribute.name.as_str());
        let columns = entity.source.columns.iter().map(|column| column.name.as_str());
        let dimensions = entity.dimensions.iter().filter(|dimension| !dimension.alias_only);
        attributes
            .chain(columns)
            .chain(dimensions.map(|dimension| dimension.name.as_str()))
            .collect()
    }
}

fn named(dimension: &Dimension) -> Name {
    Name { data_type: dimension.data_type.clone(), expr: dimension.expr.clone() }
}

fn is_segment(name: &Name) -> bool {
    name.expr.column_refs().into_iter().any(|column| SegmentColumn::of(column).is_some())
}

/// A segment's groups change with time and with its pins; no definition may.
fn segment_in_definition(names: &[&str]) -> Resolved {
    Resolved::Fault {
        code: "segment_in_definition",
        message: format!("segment \"{}\" can't be used in a definition", names.join(".")),
        label: "a segment".to_owned(),
        help: Some(
            "Its groups change as time goes by: group and filter by it in questions.".to_owned(),
        ),
    }
}

impl Scope for EntityScope<'_, '_> {
    fn resolve(&self, parts: &[String]) -> Resolved {
        let names: Vec<&str> = parts.iter().map(String::as_str).collect();
        let found = match names.as_slice() {
            [name] => self.bare(name),
            [entity, name] if *entity == self.draft.entity.name => self.bare(name),
            _ => {
                let dimension = self.named(&names.join("_"));
                dimension.map(|dimension| Resolved::Name(Box::new(named(dimension))))
            }
        };
        match found {
            Some(Resolved::Name(name)) if is_segment(&name) => segment_in_definition(&names),
            Some(found) => found,
            None if self.may_be_broken(&names) => Resolved::Broken,
            None => {
                let written = names.join("_");
                unknown_name(&written, &self.draft.entity.name, &self.known())
            }
        }
    }
}
