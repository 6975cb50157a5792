//! Names that mean nothing in a statement, and what to write instead.

use datafusion::sql::sqlparser::ast::{Ident, ObjectName};

use super::binder::Binder;
use super::error::BindError;
use super::relation::{ColumnKind, Relation};
use super::scope::{Columns, Scope, folded, nearest};
use crate::model::{Metric, Status};

/// Names that a hint shows of those that may be meant.
const NEAR_MAX: usize = 4;

impl Binder<'_> {
    pub(super) fn unknown_relation(&self, name: &ObjectName, parts: &[String]) -> BindError {
        let position = self.position_of(name);
        let table = parts.last().cloned().unwrap_or_default();
        if let Some(error) = self.version_without_relation(&table, "42P01", position) {
            return error;
        }
        let same_name = self.relations.iter().find(|relation| relation.name == table);
        let near = same_name.map(|relation| qualified(relation)).or_else(|| {
            let names: Vec<String> = self.relations.iter().map(|it| qualified(it)).collect();
            nearest(&parts.join("."), names.iter().map(String::as_str))
        });
        BindError::UnknownRelation { name: parts.join("."), near, position }
    }

    pub(super) fn unknown_measure(&self, idents: &[Ident]) -> BindError {
        let name = idents.last().map(folded).unwrap_or_default();
        let position = idents.first().and_then(|ident| self.place_of(ident));
        let hint = self.measured_elsewhere(&name);
        BindError::UnknownColumn { name: format!("\"{name}\""), hint, position }
    }

    pub(super) fn unknown_column(&self, idents: &[Ident], scope: &Scope<'_>) -> BindError {
        let position = idents.first().and_then(|ident| self.place_of(ident));
        let name = idents.last().map(folded).unwrap_or_default();
        let table = idents.len().checked_sub(2).map(|index| folded(&idents[index]));
        let items = || {
            let mut scopes = vec![scope];
            while let Some(parent) = scopes.last().and_then(|it| it.parent) {
                scopes.push(parent);
            }
            scopes.into_iter().flat_map(|scope| &scope.items)
        };
        let known_table = |table: &String| items().any(|item| item.name.as_ref() == Some(table));
        if let Some(table) = table.as_ref().filter(|table| !known_table(table)) {
            return BindError::UnknownTable { name: table.clone(), position };
        }
        if let Some(error) = self.version_without_relation(&name, "42703", position) {
            return error;
        }
        let mut names: Vec<&str> = Vec::new();
        for item in items().filter(|item| table.is_none() || item.name == table) {
            match &item.columns {
                Columns::Relation(instance) => {
                    let columns = self.relation(*instance).map(|it| it.columns_in(item.part));
                    names.extend(columns.unwrap_or_default().iter().map(|it| it.name.as_str()));
                }
                Columns::Derived(columns) => {
                    names.extend(columns.iter().map(|it| it.name.as_str()))
                }
            }
        }
        let shown = match &table {
            Some(table) => format!("{table}.{name}"),
            None => format!("\"{name}\""),
        };
        let hint = by_another_path(&name, &names)
            .or_else(|| self.measured_elsewhere(&name))
            .or_else(|| nearest(&name, names.into_iter()).map(|near| meant(&[near])));
        BindError::UnknownColumn { name: shown, hint, position }
    }

    /// Where a measure is that isn't here.
    fn measured_elsewhere(&self, name: &str) -> Option<String> {
        let own = self.relations.get("metrics", name)?;
        let is_measure = |relation: &Relation| {
            relation.position(name).is_some_and(|position| {
                matches!(relation.columns[position].kind, ColumnKind::Measure(_))
            })
        };
        let entity = self.relations.iter().find(|it| it.schema == "public" && is_measure(it));
        let places = [Some(own), entity].into_iter().flatten();
        let places: Vec<String> = places.map(|place| format!("\"{}\"", qualified(place))).collect();
        Some(format!("It is a measure of {}.", places.join(" and ")))
    }

    /// `revenue_v0`, where there once was such a major version.
    fn version_without_relation(
        &self,
        name: &str,
        sqlstate: &'static str,
        position: Option<usize>,
    ) -> Option<BindError> {
        let (metric, major) = name.rsplit_once("_v")?;
        let (metric, major) = (self.model.metrics.get(metric)?, major.parse::<u64>().ok()?);
        let is_known = metric.versions.iter().any(|version| version.version.major == major);
        let is_served = self.model.served_version(metric, major).is_some();
        (is_known && !is_served).then(|| self.not_served(metric, major, sqlstate, position))
    }

    /// A major version of a metric that can't be asked for, with what to ask for instead.
    pub(super) fn not_served(
        &self,
        metric: &Metric,
        major: u64,
        sqlstate: &'static str,
        position: Option<usize>,
    ) -> BindError {
        let mut known = metric.versions.iter().filter(|version| version.version.major == major);
        let retired = known.find(|version| version.status == Status::Retired);
        let replaced_by = retired.and_then(|version| version.replaced_by.as_ref());
        let successor = replaced_by
            .filter(|version| self.model.served_version(metric, version.major).is_some())
            .map(|version| format!("{}_v{}", metric.name, version.major))
            .or_else(|| metric.default_version().map(|_| metric.name.clone()));
        let name = metric.name.clone();
        match retired {
            Some(version) => BindError::RetiredVersion {
                metric: name,
                version: version.version.to_string(),
                successor,
                sqlstate,
                position,
            },
            None => {
                BindError::VersionNotServed { metric: name, major, successor, sqlstate, position }
            }
        }
    }
}

fn qualified(relation: &Relation) -> String {
    match relation.schema {
        "public" => relation.name.clone(),
        schema => format!("{schema}.{}", relation.name),
    }
}

/// Dimensions that are called alike but for the entities which lead to them.
fn by_another_path(name: &str, names: &[&str]) -> Option<String> {
    let leads_to = |longer: &str, shorter: &str| {
        longer.strip_suffix(shorter).is_some_and(|path| path.len() > 1 && path.ends_with('_'))
    };
    let mut found: Vec<String> = Vec::new();
    for candidate in names {
        let is_near =
            leads_to(candidate, name) || (name.contains('_') && leads_to(name, candidate));
        if is_near && !found.iter().any(|known| known == candidate) {
            found.push((*candidate).to_owned());
        }
    }
    found.truncate(NEAR_MAX);
    (!found.is_empty()).then(|| meant(&found))
}

fn meant(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    format!("Perhaps you meant {}.", names.join(" or "))
}
