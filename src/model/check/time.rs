//! When a row counts, in which zone, and how fresh the answer has to be.

use chrono_tz::Tz;

use super::at::At;
use super::entity::base_column;
use super::metric::compiled;
use super::scope::EntityScope;
use super::{Context, values};
use crate::diagnostic::Finding;
use crate::model::expr::{Compiled, cast};
use crate::model::raw::{RawFreshness, RawTime, RawZone};
use crate::model::types::{self, Family};
use crate::model::{Freshness, MetricTime, Project};

/// None where it has a fault; Some(None) where there is no event time.
pub(super) fn check(
    context: &mut Context<'_>,
    raw: Option<&RawTime>,
    at: At<'_>,
    scope: &EntityScope<'_, '_>,
    project: Option<&Project>,
) -> Option<Option<MetricTime>> {
    let time_at = at.key("time");
    let source = &scope.draft.entity.source;
    let zone = zone(context, raw, time_at, project);
    let grains = raw.and_then(grains);
    if let Some(raw) = raw {
        let help = "A row counts whenever it came (restate).";
        context.not_yet_key(time_at, "late_data", help);
        ingested(context, raw, time_at, scope);
    }
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
    Some(Some(MetricTime { event, expr: instant(found), zone: zone?, grains }))
}

/// As a timestamp with time zone: one without counts as UTC, a date as its first moment.
fn instant(found: Compiled) -> datafusion::logical_expr::Expr {
    match found.data_type == types::timestamptz() {
        true => found.expr,
        false => cast(found.expr, &types::timestamptz()),
    }
}

pub(super) fn grains(raw: &RawTime) -> Option<Vec<String>> {
    let grains = raw.grains.as_ref()?;
    Some(grains.iter().map(|grain| grain.name().to_owned()).collect())
}

fn zone(
    context: &mut Context<'_>,
    raw: Option<&RawTime>,
    at: At<'_>,
    project: Option<&Project>,
) -> Option<Tz> {
    match raw.and_then(|raw| raw.timezone.as_ref()) {
        None => project.map(|project| project.timezone),
        Some(RawZone::Text(name)) if &**name == "session" => {
            context.not_yet(at.key("timezone"), "the time zone of the session");
            None
        }
        Some(RawZone::Text(name)) => values::zone(name, at.key("timezone"), &mut context.findings),
        Some(RawZone::Map(_)) => {
            context.not_yet(at.key("timezone"), "a time zone from a column");
            None
        }
    }
}

/// A metric's ingestion time is its source's.
fn ingested(context: &mut Context<'_>, raw: &RawTime, at: At<'_>, scope: &EntityScope<'_, '_>) {
    let Some(name) = &raw.ingested else { return };
    let source = &scope.draft.entity.source;
    if !scope.draft.has_columns || source.ingested.as_deref() == Some(&**name) {
        return;
    }
    if source.columns.iter().all(|column| column.name != **name) {
        let message = format!("column \"{name}\" of table \"{}\" does not exist", source.table);
        let known = source.columns.iter().map(|column| column.name.as_str());
        let (at, intro) = (at.key("ingested"), "The table has");
        context.unknown("unknown_column", message, at, name, known, intro);
        return;
    }
    let help = match &source.ingested {
        Some(column) => format!("The entity's is \"{column}\": write that, or leave it out."),
        None => "Declare it in the entity: source: {time: {ingested: …}}.".to_owned(),
    };
    let message = "an ingestion time other than the entity's is not supported yet";
    let place = at.key("ingested").place("not the entity's");
    context.push(Finding::error("not_supported_yet", message).at(place).help(help));
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
