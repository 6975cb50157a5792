//! When a row counts, in which zone, and how fresh the answer has to be.

use datafusion::functions::core::expr_fn::coalesce;
use datafusion::logical_expr::{Expr, lit};

use super::at::At;
use super::entity::{Found, base_column};
use super::metric::{Surroundings, compiled};
use super::scope::EntityScope;
use super::{Context, dimension, values};
use crate::diagnostic::Finding;
use crate::model::expr::{Compiled, cast};
use crate::model::raw::{RawAfter, RawFreshness, RawLateData, RawTime, RawZone};
use crate::model::types::{self, Family};
use crate::model::{
    AfterClose, Freshness, LateData, MetricTime, Project, Source, SourceKind, Zone, near,
};

/// Of the usual calendar, as written.
const GRAINS: [&str; 8] = ["second", "minute", "hour", "day", "week", "month", "quarter", "year"];

/// None where it has a fault; Some(None) where there is no event time.
pub(super) fn check(
    context: &mut Context<'_>,
    raw: Option<&RawTime>,
    at: At<'_>,
    scope: &EntityScope<'_, '_>,
    surroundings: &Surroundings<'_, '_>,
) -> Option<Option<MetricTime>> {
    let time_at = at.key("time");
    let source = &scope.draft.entity.source;
    let zone = zone(context, raw, time_at, scope, surroundings);
    let grains = grains(context, raw, time_at, surroundings.project);
    let ingested = ingested(context, raw, time_at, scope);
    let late_data = late_data(context, raw, time_at, source, ingested.as_ref());
    let event = raw.and_then(|raw| raw.event.as_ref());
    let (event, found) = match (event, &source.event_time) {
        (Some(event), _) => {
            (event.to_string(), compiled(context, event, time_at.key("event"), scope)?)
        }
        (None, Some(column)) => {
            let described = source.columns.iter().find(|other| other.name == *column)?;
            let data_type = described.data_type.clone();
            (column.clone(), Compiled { expr: base_column(column), data_type })
        }
        (None, None) => {
            let broken =
                scope.draft.raw.source.time.as_ref().is_some_and(|time| time.event.is_some());
            if raw.is_some() && !broken {
                let why =
                    format!("entity \"{}\" has no event time either", scope.draft.entity.name);
                context.missing(time_at, "event", why, "Add \"event\" with a column or attribute.");
                return None;
            }
            return if broken { None } else { Some(None) };
        }
    };
    if types::family(&found.data_type) != Family::Moment {
        let shown = types::shown(&found.data_type);
        let finding =
            Finding::error("wrong_type", format!("an event time must be a time, not {shown}"))
                .at(time_at.key("event").place(shown))
                .help("Name a column or attribute of type timestamptz, timestamp or date.");
        context.push(finding);
        return None;
    }
    let (zone, late_data, ingested, grains) = (zone?, late_data?, ingested?, grains?);
    Some(Some(MetricTime { event, expr: instant(found), ingested, zone, grains, late_data }))
}

/// As a timestamp with time zone: one without counts as UTC, a date as its first moment.
fn instant(found: Compiled) -> Expr {
    match found.data_type == types::timestamptz() {
        true => found.expr,
        false => cast(found.expr, &types::timestamptz()),
    }
}

/// By which a metric may be grouped. None where one doesn't exist; Some(None) for all.
pub(super) fn grains(
    context: &mut Context<'_>,
    raw: Option<&RawTime>,
    at: At<'_>,
    project: Option<&Project>,
) -> Option<Option<Vec<String>>> {
    let Some(raw) = raw.and_then(|raw| raw.grains.as_ref()) else { return Some(None) };
    let project = project?;
    let mut grains = Vec::with_capacity(raw.len());
    for (index, written) in raw.iter().enumerate() {
        grains.extend(grain(context, written, at.key("grains").item(index), project));
    }
    (grains.len() == raw.len()).then_some(Some(grains))
}

fn grain(
    context: &mut Context<'_>,
    written: &str,
    at: At<'_>,
    project: &Project,
) -> Option<String> {
    if GRAINS.contains(&written) || project.fiscal_grains().any(|known| known == *written) {
        return Some(written.to_owned());
    }
    let fiscal: Vec<String> = project.fiscal_grains().collect();
    let known = GRAINS.into_iter().chain(fiscal.iter().map(String::as_str));
    let help = near::help(written, known, "The values are");
    let finding = Finding::error("unknown_value", format!("\"{written}\" is not a grain of time"))
        .at(at.place("not one of the values"))
        .maybe_help(help);
    context.push(finding);
    None
}

fn zone(
    context: &mut Context<'_>,
    raw: Option<&RawTime>,
    at: At<'_>,
    scope: &EntityScope<'_, '_>,
    surroundings: &Surroundings<'_, '_>,
) -> Option<Zone> {
    let (at, project) = (at.key("timezone"), surroundings.project);
    match raw.and_then(|raw| raw.timezone.as_ref()) {
        None => project.map(|project| Zone::Named(project.timezone)),
        Some(RawZone::Text(name)) if &**name == "session" => Some(Zone::Session),
        Some(RawZone::Text(name)) => values::zone(name, at, &mut context.findings).map(Zone::Named),
        Some(RawZone::Map(zone)) => {
            let column = &zone.column;
            let found = zone_attribute(column, scope, surroundings);
            let found = match found {
                Some(found) => found,
                None => compiled(context, column, at.key("column"), scope)?,
            };
            if types::family(&found.data_type) != Family::Text {
                let shown = types::shown(&found.data_type);
                let message = format!("a row's time zone must be text, not {shown}");
                let finding = Finding::error("wrong_type", message)
                    .at(at.key("column").place(shown))
                    .help("Name an attribute that holds names such as Europe/Berlin.");
                context.push(finding);
                return None;
            }
            // A row without a zone has the project's.
            let expr = coalesce(vec![found.expr, lit(project?.timezone.name())]);
            Some(Zone::OfRow { written: column.to_string(), expr })
        }
    }
}

/// An attribute without the labels that stand for absent keys: those name no zone.
fn zone_attribute(
    written: &str,
    scope: &EntityScope<'_, '_>,
    surroundings: &Surroundings<'_, '_>,
) -> Option<Compiled> {
    let dimension = scope.dimension(written)?;
    let Found::Entity(draft) = surroundings.entities.find(&dimension.entity) else { return None };
    let mut attributes = draft.entity.attributes.iter();
    let attribute = attributes.find(|attribute| attribute.name == dimension.attribute)?;
    let expr = dimension::unlabelled(dimension, attribute);
    Some(Compiled { expr, data_type: attribute.data_type.clone() })
}

/// None where it has a fault; Some(None) where it isn't known when rows came in.
fn ingested(
    context: &mut Context<'_>,
    raw: Option<&RawTime>,
    at: At<'_>,
    scope: &EntityScope<'_, '_>,
) -> Option<Option<Expr>> {
    let source = &scope.draft.entity.source;
    let written = raw.and_then(|raw| raw.ingested.as_ref()).map(|name| &**name);
    let Some(name) = written.or(source.ingested.as_deref()) else { return Some(None) };
    if !scope.draft.has_columns {
        return None;
    }
    let Some(column) = source.columns.iter().find(|column| column.name == *name) else {
        let message = format!("column \"{name}\" of table \"{}\" does not exist", source.table);
        let known = source.columns.iter().map(|column| column.name.as_str());
        let (at, intro) = (at.key("ingested"), "The table has");
        context.unknown("unknown_column", message, at, name, known, intro);
        return None;
    };
    if let Some(other) = source.ingested.as_ref().filter(|other| *other != name) {
        let help = format!("Write \"{other}\", or leave it out: a row comes in once.");
        let message = format!("the entity's rows come in at \"{other}\", not at \"{name}\"");
        let place = at.key("ingested").place("not the entity's");
        context.push(Finding::error("two_ingestion_times", message).at(place).help(help));
        return None;
    }
    if types::family(&column.data_type) != Family::Moment {
        let shown = types::shown(&column.data_type);
        let message = format!("an ingestion time must be a time, not {shown}");
        let finding = Finding::error("wrong_type", message)
            .at(at.key("ingested").place(shown))
            .help("Name a column of type timestamptz, timestamp or date.");
        context.push(finding);
        return None;
    }
    let found = Compiled { expr: base_column(name), data_type: column.data_type.clone() };
    Some(Some(instant(found)))
}

/// A day's end plus this many days is the longest that a day may stay open.
const WINDOW_DAYS_MAX: u64 = 3_660;

/// None where it has a fault.
fn late_data(
    context: &mut Context<'_>,
    raw: Option<&RawTime>,
    at: At<'_>,
    source: &Source,
    ingested: Option<&Option<Expr>>,
) -> Option<LateData> {
    let Some(RawLateData { correction_window, after }) = raw.and_then(|raw| raw.late_data.as_ref())
    else {
        return Some(LateData::default());
    };
    let late_at = at.key("late_data");
    let after = match after {
        RawAfter::Restate => AfterClose::Restate,
        RawAfter::BookOnArrival => AfterClose::BookOnArrival,
        RawAfter::Drop => AfterClose::Drop,
    };
    let window_days = match correction_window {
        Some(text) => window_days(context, text, late_at.key("correction_window")),
        None => Some(0),
    };
    // With a fault of its own the ingestion time isn't missing.
    if after != AfterClose::Restate && ingested.is_some_and(Option::is_none) {
        let why = format!("\"{}\" needs to know when a row came in", after.name());
        let help =
            "Add \"ingested\" to the entity's source: {time: {ingested: …}}, or to \"time\".";
        context.missing(late_at.key("after"), "ingested", why, help);
        return None;
    }
    if after != AfterClose::Restate {
        refuse_replaced_rows(context, source, after, late_at.key("after"))?;
    }
    Some(LateData { window_days: window_days?, after })
}

/// Where newer rows replace older ones, a late correction would take a closed day's row away, and
/// nothing is left that could stay in its place.
fn refuse_replaced_rows(
    context: &mut Context<'_>,
    source: &Source,
    after: AfterClose,
    at: At<'_>,
) -> Option<()> {
    let label = match source.kind {
        SourceKind::State => "rows of kind state are replaced",
        SourceKind::Events if source.dedupe.is_some() => "deduped rows are replaced",
        SourceKind::Events => return Some(()),
    };
    let message = format!("\"{}\" needs rows that are never replaced", after.name());
    let finding = Finding::error("replaced_rows", message)
        .at(at.place(label))
        .help("Write restate, or define the entity on a source of kind events without dedupe.");
    context.push(finding);
    None
}

fn window_days(context: &mut Context<'_>, text: &str, at: At<'_>) -> Option<u32> {
    const DAY: u64 = 86_400;
    let seconds = values::duration(text, at, &mut context.findings)?.as_secs();
    let fault = match seconds {
        seconds if seconds % DAY != 0 => Some(("not whole days", "in whole days")),
        seconds if seconds / DAY > WINDOW_DAYS_MAX => Some(("too long", "of ten years at most")),
        _ => None,
    };
    if let Some((label, how)) = fault {
        let message = format!("a correction window is {how}, not \"{text}\"");
        let finding = Finding::error("bad_duration", message)
            .at(at.place(label))
            .help("Days are closed as a whole: write a number of days, such as \"3 days\".");
        context.push(finding);
        return None;
    }
    u32::try_from(seconds / DAY).ok()
}

/// None where it has a fault; Some(None) where there is no budget.
pub(super) fn freshness(
    context: &mut Context<'_>,
    raw: Option<&RawFreshness>,
    at: At<'_>,
) -> Option<Option<Freshness>> {
    let Some(raw) = raw else { return Some(None) };
    let budget = values::duration(&raw.budget, at.key("budget"), &mut context.findings);
    let sound = match &raw.decision_loop {
        Some(text) => values::duration(text, at.key("loop"), &mut context.findings).is_some(),
        None => true,
    };
    if raw.decision.is_none() || raw.decision_loop.is_none() {
        let finding = Finding::warning(
            "budget_without_decision",
            "a freshness budget has no decision loop",
        )
        .at(at.key("budget").place("fresh enough for what?"))
        .help("Draw the loop first: say in \"decision\" what is decided, in \"loop\" how often.");
        context.push(finding);
    }
    let decision = raw.decision.as_ref().map(|text| text.to_string());
    sound.then_some(Some(Freshness { decision, budget: budget? }))
}
