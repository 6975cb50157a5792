//! Sources that keep several rows per key, each valid for an interval.

use super::Context;
use super::at::At;
use super::source::Columns;
use crate::diagnostic::Finding;
use crate::model::History;
use crate::model::raw::{RawAt, RawAttribute, RawEntity, RawHistory, RawSource, RawSourceKind};
use crate::model::types::{self, Family};

/// The interval's columns; None where they have a fault.
pub(super) fn check(
    context: &mut Context<'_>,
    source: &RawSource,
    raw: &RawHistory,
    at_source: At<'_>,
    columns: &Columns<'_>,
) -> Option<History> {
    let at = at_source.key("history");
    let mut sound = true;
    if source.kind != RawSourceKind::State {
        sound = false;
        let finding =
            Finding::error("key_not_allowed", "only a source of kind state keeps a history")
                .at(at_source.key("kind").place("of another kind"))
                .at(at_source.place_of_key("history", "valid from and to"))
                .help("Write \"kind: state\", or leave \"history\" out.");
        context.push(finding);
    }
    for (name, key) in [(&raw.from, "from"), (&raw.to, "to")] {
        let Some(column) = columns.find(context, name, at.key(key)) else {
            sound = false;
            continue;
        };
        if types::family(&column.data_type) != Family::Moment {
            sound = false;
            let shown = types::shown(&column.data_type);
            let finding =
                Finding::error("wrong_type", format!("column \"{name}\" is {shown}, not a time"))
                    .at(at.key(key).place(shown))
                    .help("Name a column of type timestamptz, timestamp or date.");
            context.push(finding);
        }
    }
    if raw.from == raw.to {
        sound = false;
        let finding = Finding::error("empty_interval", "an interval ends where it begins")
            .at(at.key("to").place("the same column"))
            .help("Name the column of the moment at which the row ceased to be valid.");
        context.push(finding);
    }
    sound &= dedupe_keeps_intervals(context, source, raw, at_source);
    sound.then(|| History { from: raw.from.to_string(), to: raw.to.to_string() })
}

/// A dedupe by the key alone would leave one interval of each key.
fn dedupe_keeps_intervals(
    context: &mut Context<'_>,
    source: &RawSource,
    raw: &RawHistory,
    at: At<'_>,
) -> bool {
    let Some(dedupe) = &source.dedupe else { return true };
    if dedupe.by.0.contains(&raw.from) {
        return true;
    }
    let by: Vec<&str> = dedupe.by.0.iter().chain([&raw.from]).map(|name| &**name).collect();
    let message =
        format!("the dedupe keeps one interval of each {}", by[..by.len() - 1].join(", "));
    let finding = Finding::error("dedupe_of_history", message)
        .at(at.key("dedupe").key("by").place(format!("without \"{}\"", raw.from)))
        .at(at.key("history").key("from").place("begins an interval"))
        .help(format!(
            "Write by: [{}], so that the newest version of each interval counts.",
            by.join(", ")
        ));
    context.push(finding);
    false
}

/// Whether `at: event` can be answered, and of which entity.
pub(super) fn attribute(
    context: &mut Context<'_>,
    entity: &RawEntity,
    attribute: &RawAttribute,
    at: At<'_>,
) {
    if attribute.at == Some(RawAt::Event) && entity.source.history.is_none() {
        let message = format!(
            "attribute \"{}\" is as of the event, but its source keeps no history",
            attribute.name
        );
        let finding = Finding::error("no_history", message)
            .at(at.key("at").place("as of when?"))
            .help("Declare the source's history: {from: valid_from, to: valid_to}, or leave \"at\" out.");
        context.push(finding);
    }
}
