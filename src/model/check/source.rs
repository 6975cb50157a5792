//! An entity's source: its table, and the columns that have a meaning of their own.

use datafusion::arrow::datatypes::DataType;

use super::at::At;
use super::{Context, history};
use crate::diagnostic::Finding;
use crate::model::raw::{RawDedupe, RawSource, RawSourceKind, RawSourceTime};
use crate::model::types::{self, Family};
use crate::model::{Dedupe, Source, SourceColumn, SourceKind, near};

/// The columns of a table that exists.
pub(super) struct Columns<'a> {
    pub(super) table: &'a str,
    pub(super) list: &'a [SourceColumn],
}

impl<'a> Columns<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&'a SourceColumn> {
        self.list.iter().find(|column| column.name == name)
    }

    /// A column, or a finding that it doesn't exist.
    pub(super) fn find(
        &self,
        context: &mut Context<'_>,
        name: &str,
        at: At<'_>,
    ) -> Option<&'a SourceColumn> {
        let found = self.get(name);
        if found.is_none() {
            let message = format!("column \"{name}\" of table \"{}\" does not exist", self.table);
            let known = self.list.iter().map(|column| column.name.as_str());
            let help = near::help(name, known, "The table has");
            let finding = Finding::error("unknown_column", message)
                .at(at.place("no such column"))
                .maybe_help(help);
            context.push(finding);
        }
        found
    }
}

/// The described columns of a source's table; None, with a finding, where there is no such table.
pub(super) fn columns<'a>(
    context: &mut Context<'a>,
    raw: &'a RawSource,
    at: At<'_>,
) -> Option<Columns<'a>> {
    let table: &'a str = &raw.table;
    let found = context.sources.get(table);
    if found.is_none() {
        let message = format!("table \"{table}\" does not exist");
        let known: Vec<String> = context.sources.keys().cloned().collect();
        let known = known.iter().map(String::as_str);
        let at = at.key("table");
        context.unknown("unknown_table", message, at, table, known, "The definitions also use");
    }
    found.map(|list| Columns { table, list })
}

/// The source itself; what of it has a fault is left out.
pub(super) fn check(
    context: &mut Context<'_>,
    raw: &RawSource,
    at: At<'_>,
    columns: Option<&Columns<'_>>,
) -> Source {
    let kind = match raw.kind {
        RawSourceKind::Events => SourceKind::Events,
        RawSourceKind::State => SourceKind::State,
        // Each snapshot is a fact of its day.
        RawSourceKind::Snapshot => SourceKind::Events,
    };
    let dedupe = raw
        .dedupe
        .as_ref()
        .zip(columns)
        .and_then(|(raw, columns)| dedupe(context, raw, at.key("dedupe"), columns));
    let history = raw
        .history
        .as_ref()
        .zip(columns)
        .and_then(|(written, columns)| history::check(context, raw, written, at, columns));
    let (event_time, ingested) = match (&raw.time, columns) {
        (Some(raw), Some(columns)) => times(context, raw, at.key("time"), columns),
        _ => (None, None),
    };
    Source {
        table: raw.table.to_string(),
        kind,
        dedupe,
        history,
        event_time,
        ingested,
        columns: columns.map(|columns| columns.list.to_vec()).unwrap_or_default(),
    }
}

fn dedupe(
    context: &mut Context<'_>,
    raw: &RawDedupe,
    at: At<'_>,
    columns: &Columns<'_>,
) -> Option<Dedupe> {
    let mut complete = true;
    for (index, name) in raw.by.0.iter().enumerate() {
        complete &= columns.find(context, name, at.key("by").item(index)).is_some();
    }
    match columns.find(context, &raw.latest, at.key("latest")) {
        Some(column) if is_ordered(&column.data_type) => {}
        Some(column) => {
            complete = false;
            let message = format!(
                "column \"{}\" is {} and has no greatest value",
                column.name,
                types::shown(&column.data_type)
            );
            let finding = Finding::error("wrong_type", message)
                .at(at.key("latest").place("not a version"))
                .help("Name a column that grows with each change: a number or a time.");
            context.push(finding);
        }
        None => complete = false,
    }
    if let Some(name) = &raw.deleted {
        match columns.find(context, name, at.key("deleted")) {
            Some(column) if is_flag(&column.data_type) => {}
            Some(column) => {
                complete = false;
                let shown = types::shown(&column.data_type);
                let message =
                    format!("column \"{name}\" is {shown}, not boolean or a whole number");
                let place = at.key("deleted").place(shown);
                context.push(Finding::error("wrong_type", message).at(place));
            }
            None => complete = false,
        }
    }
    complete.then(|| Dedupe {
        by: raw.by.0.iter().map(|name| name.to_string()).collect(),
        latest: raw.latest.to_string(),
        deleted: raw.deleted.as_ref().map(|name| name.to_string()),
    })
}

fn is_ordered(data_type: &DataType) -> bool {
    matches!(types::family(data_type), Family::Number | Family::Moment | Family::Text)
}

fn is_flag(data_type: &DataType) -> bool {
    *data_type == DataType::Boolean || data_type.is_integer()
}

fn times(
    context: &mut Context<'_>,
    raw: &RawSourceTime,
    at: At<'_>,
    columns: &Columns<'_>,
) -> (Option<String>, Option<String>) {
    let mut moment = |name: &Option<crate::model::raw::Text>, key: &str| {
        let name = name.as_ref()?;
        let column = columns.find(context, name, at.key(key))?;
        if types::family(&column.data_type) == Family::Moment {
            return Some(name.to_string());
        }
        let shown = types::shown(&column.data_type);
        let message = format!("column \"{name}\" is {shown}, not a time");
        let finding = Finding::error("wrong_type", message)
            .at(at.key(key).place(shown))
            .help("Name a column of type timestamptz, timestamp or date.");
        context.push(finding);
        None
    };
    (moment(&raw.event, "event"), moment(&raw.ingested, "ingested"))
}
