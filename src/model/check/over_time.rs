//! Metrics over time: windows, earlier periods, snapshots.

use datafusion::arrow::datatypes::DataType;

use super::Context;
use super::aggregation;
use super::at::At;
use super::metric::compiled;
use super::scope::EntityScope;
use crate::diagnostic::Finding;
use crate::model::raw::{RawMetricType, RawVersion, Text};
use crate::model::{MetricKind, Pick, Project, Series, Span, Window, near};

/// What is done to the metric that another is over.
pub(super) enum Over {
    Window(Window),
    Earlier(Span),
}

/// The window of a cumulative metric, or how much earlier an offset is.
pub(super) fn check(
    context: &mut Context<'_>,
    raw: &RawVersion,
    at: At<'_>,
    project: Option<&Project>,
) -> Option<Over> {
    if raw.metric_type == RawMetricType::Offset {
        return span(context, raw.by.as_ref(), at.key("by")).map(Over::Earlier);
    }
    match (&raw.window, &raw.to_date) {
        (Some(window), None) => {
            let span = span(context, Some(window), at.key("window"))?;
            Some(Over::Window(Window::Trailing(span)))
        }
        (None, Some(unit)) => to_date(context, unit, at.key("to_date"), project?),
        (None, None) => {
            let why = "a metric of type cumulative needs \"window\" or \"to_date\"";
            let help = "Add \"window: 28 days\" or \"to_date: month\".";
            context.missing(at.key("type"), "window", why, help);
            None
        }
        (Some(_), Some(_)) => {
            let message = "a cumulative metric has \"window\" or \"to_date\", not both";
            let finding = Finding::error("key_not_allowed", message)
                .at(at.place_of_key("to_date", "beside \"window\""))
                .help("Leave one of them out; two windows are two metrics.");
            context.push(finding);
            None
        }
    }
}

fn to_date(
    context: &mut Context<'_>,
    written: &str,
    at: At<'_>,
    project: &Project,
) -> Option<Over> {
    if written == "all" {
        return Some(Over::Window(Window::All));
    }
    let fiscal: Vec<String> = project.fiscal_grains().collect();
    let mut known = vec!["week", "month", "quarter", "year", "all"];
    known.extend(fiscal.iter().map(String::as_str));
    match project.grain(written).ok().filter(|_| known.contains(&written)) {
        Some(grain) => Some(Over::Window(Window::ToDate(grain))),
        None => {
            unknown_word(context, written, at, &known);
            None
        }
    }
}

/// A snapshot's expression, and its series.
pub(super) fn snapshot(
    context: &mut Context<'_>,
    raw: &RawVersion,
    at: At<'_>,
    scope: &EntityScope<'_, '_>,
) -> Option<(MetricKind, DataType)> {
    let value = aggregation::summed(context, raw, at, scope);
    let pick = raw.pick.as_ref().and_then(|written| {
        let picks = [
            ("last", Pick::Last),
            ("first", Pick::First),
            ("min", Pick::Min),
            ("max", Pick::Max),
            ("avg", Pick::Avg),
        ];
        let found = picks.iter().find(|(name, _)| **name == **written).map(|(_, pick)| *pick);
        if found.is_none() {
            unknown_word(context, written, at.key("pick"), &picks.map(|(name, _)| name));
        }
        found
    });
    let mut per = Vec::new();
    let mut sound = true;
    for (index, name) in raw.per.iter().flat_map(|per| per.0.iter()).enumerate() {
        let at = at.key("per").item(index);
        match compiled(context, name, at, scope) {
            Some(found) => per.push(found.expr),
            None => sound = false,
        }
    }
    let carry = match &raw.carry {
        None => None,
        Some(text) => Some(span(context, Some(text), at.key("carry"))?),
    };
    let (pick, (expr, data_type)) = (pick?, value?);
    if carry.is_some() && pick != Pick::Last {
        let finding = Finding::error("key_not_allowed", "only the last snapshot is carried")
            .at(at.place_of_key("carry", "with another pick"))
            .help("Write \"pick: last\", or leave \"carry\" out.");
        context.push(finding);
        return None;
    }
    let data_type = if pick == Pick::Avg { DataType::Float64 } else { data_type };
    let series = Series { per, pick, carry };
    sound.then_some((MetricKind::Snapshot { expr, series }, data_type))
}

/// Time is what such a metric is over.
pub(super) fn without_time(context: &mut Context<'_>, raw: &RawVersion, at: At<'_>) {
    let name = raw.metric_type.name();
    let finding =
        Finding::error("missing_key", format!("a metric of type {name} needs an event time"))
            .at(at.key("type").place("without a time"))
            .help("Add \"time: {event: …}\", here or in what it is built on.");
    context.push(finding);
}

fn span(context: &mut Context<'_>, text: Option<&Text>, at: At<'_>) -> Option<Span> {
    let text = text?;
    let found = Span::parse(text);
    if found.is_none() {
        let message = format!("\"{text}\" is not a length of calendar time");
        let finding =
            Finding::error("bad_duration", message).at(at.place("not a number and a unit")).help(
                "Write a number and days, weeks, months, quarters or years, such as \"28 days\".",
            );
        context.push(finding);
    }
    found
}

pub(super) fn unknown_word(context: &mut Context<'_>, written: &str, at: At<'_>, known: &[&str]) {
    let message = format!("\"{written}\" is not a value of this key");
    let help = near::help(written, known.iter().copied(), "The values are");
    let finding = Finding::error("unknown_value", message)
        .at(at.place("not one of the values"))
        .maybe_help(help);
    context.push(finding);
}
