//! Examples of metrics: rows that fit their sources, expectations that can be asked.

use std::collections::BTreeMap;

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::Expr;
use serde_yaml::Value;

use super::Context;
use super::at::At;
use super::entity::{Draft as EntityDraft, Entities};
use super::metric::Metrics;
use crate::diagnostic::Finding;
use crate::model::example::{By, Example, Expectation, ExpectedRow, GivenRow, typed};
use crate::model::raw::RawExample;
use crate::model::{Dedupe, MetricVersion, near, types};

/// Rows of one table in one example: it is to be checked by hand.
const ROWS_MAX: usize = 1_000;
const GRAINS: [&str; 8] = ["second", "minute", "hour", "day", "week", "month", "quarter", "year"];
/// The column of a metric's time in its relation.
const METRIC_TIME: &str = "metric_time";

/// All examples of all metrics.
pub(super) fn check(
    context: &mut Context<'_>,
    entities: &Entities<'_>,
    metrics: &Metrics<'_>,
) -> Vec<Example> {
    let mut examples = Vec::new();
    for draft in &metrics.drafts {
        let versions = draft.versions.borrow();
        for (index, raw) in draft.raw.versions.iter().enumerate() {
            let at = draft.at.key("versions").item(index).key("examples");
            // A version with a fault has no types to judge its examples by.
            let Some(Some(version)) = versions.get(index) else { continue };
            for (number, raw) in raw.examples.iter().enumerate() {
                let at = at.item(number);
                if let Some(example) = example(context, entities, version, number + 1, raw, at) {
                    examples.push(example);
                }
            }
        }
    }
    examples
}

fn example(
    context: &mut Context<'_>,
    entities: &Entities<'_>,
    version: &MetricVersion,
    number: usize,
    raw: &RawExample,
    at: At<'_>,
) -> Option<Example> {
    let given = given(context, entities, raw, at.key("given"));
    let expect = expectation(context, entities, version, raw, at.key("expect"));
    let place = at.place("");
    Some(Example {
        metric: version.metric.clone(),
        version: version.version.clone(),
        number,
        file: place.file,
        start: place.span.start,
        given: given?,
        expect: expect?,
    })
}

// ---- given ----

/// None where anything is wrong.
fn given(
    context: &mut Context<'_>,
    entities: &Entities<'_>,
    raw: &RawExample,
    at: At<'_>,
) -> Option<BTreeMap<String, Vec<GivenRow>>> {
    let mut tables: BTreeMap<String, Vec<GivenRow>> = BTreeMap::new();
    let mut sound = true;
    for (relation, rows) in &raw.given {
        let at_table = at.key(relation);
        let named = |draft: &&EntityDraft<'_>| *draft.raw.relation == **relation;
        let Some(draft) = entities.drafts.iter().find(named) else {
            let message = format!("relation \"{relation}\" does not exist");
            let known = entities.drafts.iter().map(|draft| &*draft.raw.relation);
            let help = near::help(relation, known, "The relations are");
            let place = at.place_of_key(relation, "no such relation");
            context.push(Finding::error("unknown_relation", message).at(place).maybe_help(help));
            sound = false;
            continue;
        };
        if !draft.has_columns {
            return None;
        }
        match table(context, draft, &rows.0, at_table) {
            Some(rows) => {
                tables.entry(draft.entity.source.table.clone()).or_default().extend(rows);
            }
            None => sound = false,
        }
    }
    sound.then_some(tables)
}

fn table(
    context: &mut Context<'_>,
    draft: &EntityDraft<'_>,
    rows: &Value,
    at: At<'_>,
) -> Option<Vec<GivenRow>> {
    let Value::Sequence(rows) = rows else {
        shape(context, at, "the rows of a relation are a list", "Write [{column: value, …}, …].");
        return None;
    };
    if rows.len() > ROWS_MAX {
        let message = format!("an example has at most {ROWS_MAX} rows of a relation");
        context.push(Finding::error("too_large", message).at(at.place("too many rows")));
        return None;
    }
    let mut found = Vec::new();
    let mut sound = true;
    for (index, row) in rows.iter().enumerate() {
        match given_row(context, draft, row, at.item(index)) {
            Some(mut row) => {
                if let Some(dedupe) = &draft.entity.source.dedupe {
                    deduped(&mut row, draft, dedupe, index);
                }
                found.push(row);
            }
            None => sound = false,
        }
    }
    sound.then_some(found)
}

fn given_row(
    context: &mut Context<'_>,
    draft: &EntityDraft<'_>,
    row: &Value,
    at: At<'_>,
) -> Option<GivenRow> {
    let Value::Mapping(cells) = row else {
        shape(context, at, "a row is a mapping of columns", "Write {column: value, …}.");
        return None;
    };
    let mut found = GivenRow::new();
    let mut sound = true;
    for (key, value) in cells {
        let name = key.as_str().unwrap_or_default();
        let Some(column) = column(context, draft, name, at) else {
            sound = false;
            continue;
        };
        let described = draft.entity.source.columns.iter().find(|it| it.name == column);
        let data_type = described.map_or(DataType::Utf8, |it| it.data_type.clone());
        match text_of(value).and_then(|text| typed(text.as_deref(), &data_type).ok()) {
            Some(value) => {
                found.insert(column, value);
            }
            None => {
                let shown = types::shown(&data_type);
                let message = format!("column \"{name}\" is {shown}, which this value is not");
                let place = at.key(name).place(shown);
                context.push(Finding::error("wrong_type", message).at(place));
                sound = false;
            }
        }
    }
    sound.then_some(found)
}

/// The source's column that a given key sets: an attribute's, or one of that name.
fn column(
    context: &mut Context<'_>,
    draft: &EntityDraft<'_>,
    name: &str,
    at: At<'_>,
) -> Option<String> {
    let entity = &draft.entity;
    if draft.broken.contains(name) {
        return None;
    }
    if let Some(attribute) = entity.attributes.iter().find(|attribute| attribute.name == name) {
        if let Some(column) = plain_column(&attribute.expr) {
            return Some(column.to_owned());
        }
        let mut read: Vec<&str> =
            attribute.expr.column_refs().into_iter().map(|column| column.name.as_str()).collect();
        read.sort_unstable();
        let message = format!("attribute \"{name}\" is computed");
        let finding = Finding::error("computed_attribute", message)
            .at(at.place_of_key(name, "computed"))
            .help(format!("Give the columns that it is computed from: {}.", read.join(", ")));
        context.push(finding);
        return None;
    }
    if entity.source.columns.iter().any(|column| column.name == name) {
        return Some(name.to_owned());
    }
    let attributes = entity.attributes.iter().map(|attribute| attribute.name.as_str());
    let columns = entity.source.columns.iter().map(|column| column.name.as_str());
    let known: std::collections::BTreeSet<&str> = attributes.chain(columns).collect();
    let help = near::help(name, known, "The entity has");
    let message = format!("entity \"{}\" has no column \"{name}\"", entity.name);
    let place = at.place_of_key(name, "no such column");
    context.push(Finding::error("unknown_column", message).at(place).maybe_help(help));
    None
}

fn plain_column(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Column(column) => Some(&column.name),
        Expr::Cast(cast) => plain_column(&cast.expr),
        _ => None,
    }
}

/// What a row's delivery says where the example doesn't: rows come one after another, none deleted.
fn deduped(row: &mut GivenRow, draft: &EntityDraft<'_>, dedupe: &Dedupe, index: usize) {
    let mut default = |name: &str, text: String| {
        let column = draft.entity.source.columns.iter().find(|column| column.name == name);
        if let Some(column) = column
            && !row.contains_key(name)
            && let Ok(value) = typed(Some(&text), &column.data_type)
        {
            row.insert(name.to_owned(), value);
        }
    };
    let latest = draft.entity.source.columns.iter().find(|column| column.name == dedupe.latest);
    let is_moment = latest.is_some_and(|it| matches!(it.data_type, DataType::Timestamp(..)));
    default(
        &dedupe.latest,
        match is_moment {
            true => format!("2000-01-01T00:{:02}:{:02}Z", index / 60, index % 60),
            false => (index + 1).to_string(),
        },
    );
    if let Some(deleted) = &dedupe.deleted {
        default(deleted, "0".to_owned());
    }
}

// ---- expect ----

fn expectation(
    context: &mut Context<'_>,
    entities: &Entities<'_>,
    version: &MetricVersion,
    raw: &RawExample,
    at: At<'_>,
) -> Option<Expectation> {
    let rows: Vec<(&serde_yaml::Mapping, At<'_>)> = match &raw.expect.0 {
        Value::Mapping(row) => vec![(row, at)],
        Value::Sequence(rows) if !rows.is_empty() => {
            let rows = rows.iter().enumerate();
            rows.filter_map(|(index, row)| Some((row.as_mapping()?, at.item(index)))).collect()
        }
        _ => Vec::new(),
    };
    let written = raw.expect.0.as_sequence().map_or(1, Vec::len);
    if rows.is_empty() || rows.len() < written {
        let help = format!("Write {{{}: value}}, or a list of such rows.", version.metric);
        shape(context, at, "what is expected is a row or a list of rows", &help);
        return None;
    }
    let (first, at_first) = rows[0];
    let mut by = Vec::new();
    for name in first.keys().filter_map(Value::as_str).filter(|name| *name != version.metric) {
        by.push(by_column(context, entities, version, name, at_first)?);
    }
    let mut expected = Vec::new();
    for (row, at) in rows {
        expected.push(expected_row(context, version, &by, row, at)?);
    }
    Some(Expectation { by, rows: expected })
}

fn by_column(
    context: &mut Context<'_>,
    entities: &Entities<'_>,
    version: &MetricVersion,
    name: &str,
    at: At<'_>,
) -> Option<By> {
    if name == METRIC_TIME {
        let (written, column) = (name.to_owned(), METRIC_TIME.to_owned());
        return Some(By { written, column, grain: None });
    }
    if let Some(grain) = name.strip_prefix(METRIC_TIME).and_then(|rest| rest.strip_prefix('.')) {
        let Some(grain) = GRAINS.iter().find(|known| **known == grain) else {
            let message = format!("\"{grain}\" is not a grain");
            let help = near::help(grain, GRAINS, "The grains are");
            let place = at.place_of_key(name, "no such grain");
            context.push(Finding::error("unknown_grain", message).at(place).maybe_help(help));
            return None;
        };
        let (written, column) = (name.to_owned(), METRIC_TIME.to_owned());
        return Some(By { written, column, grain: Some(grain) });
    }
    let draft = entities.drafts.iter().find(|draft| draft.entity.name == version.entity)?;
    let column = name.replace('.', "_");
    let dimensions = &draft.entity.dimensions;
    if dimensions.iter().any(|dimension| dimension.name == column) {
        return Some(By { written: name.to_owned(), column, grain: None });
    }
    let message = format!("\"{name}\" is neither the metric nor a dimension of it");
    let known = dimensions.iter().map(|dimension| dimension.name.as_str());
    let help = near::help(&column, known.chain([version.metric.as_str()]), "It has");
    let place = at.place_of_key(name, "no such dimension");
    context.push(Finding::error("unknown_dimension", message).at(place).maybe_help(help));
    None
}

fn expected_row(
    context: &mut Context<'_>,
    version: &MetricVersion,
    by: &[By],
    row: &serde_yaml::Mapping,
    at: At<'_>,
) -> Option<ExpectedRow> {
    let known = |name: &str| name == version.metric || by.iter().any(|by| by.written == name);
    if let Some(name) = row.keys().filter_map(Value::as_str).find(|name| !known(name)) {
        let place = at.place_of_key(name, "not in the first row");
        let message = "the rows of an expectation have the same columns";
        context.push(Finding::error("expectation_columns", message).at(place));
        return None;
    }
    let mut cell = |name: &str| {
        let Some(value) = row.get(name) else {
            let why = format!("what is expected lacks \"{name}\"");
            context.missing(at, name, why, format!("Add {name}: and its value, or null."));
            return None;
        };
        let text = text_of(value);
        if text.is_none() {
            shape(context, at.key(name), "a value is a scalar", "Write one value, or null.");
        }
        text
    };
    let keys: Option<Vec<Option<String>>> = by.iter().map(|by| cell(&by.written)).collect();
    let value = cell(&version.metric)?;
    if typed(value.as_deref(), &version.data_type).is_err() {
        let shown = types::shown(&version.data_type);
        let message = format!("metric \"{}\" is {shown}, which this value is not", version.metric);
        let place = at.key(&version.metric).place(shown);
        context.push(Finding::error("wrong_type", message).at(place));
        return None;
    }
    Some(ExpectedRow { keys: keys?, value })
}

fn shape(context: &mut Context<'_>, at: At<'_>, message: &str, help: &str) {
    let finding = Finding::error("wrong_type", message).at(at.place("not this")).help(help);
    context.push(finding);
}

/// A scalar as text, None inside for NULL; None for anything else.
fn text_of(value: &Value) -> Option<Option<String>> {
    match value {
        Value::Null => Some(None),
        Value::Bool(value) => Some(Some(value.to_string())),
        Value::Number(value) => Some(Some(value.to_string())),
        Value::String(value) => Some(Some(value.clone())),
        Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_) => None,
    }
}
