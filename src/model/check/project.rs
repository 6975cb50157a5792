//! The project file.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::Weekday;

use super::at::At;
use super::values;
use crate::diagnostic::Finding;
use crate::functions::FiscalCalendar;
use crate::functions::fiscal::{NamedAfter, Years, YearsFault};
use crate::model::load::{absolute, default_backend};
use crate::model::raw::{
    RawBackend, RawCalendar, RawClickHouse, RawNamedAfter, RawProject, RawWeekday,
};
use crate::model::{BackendConfig, Project};

/// The project, where all of it is in order.
pub(crate) fn check(
    raw: &RawProject,
    at: At<'_>,
    folder: &Path,
    findings: &mut Vec<Finding>,
) -> Option<Project> {
    let name = values::name(&raw.project, at.key("project"), "project", findings);
    let timezone = values::zone(&raw.timezone, at.key("timezone"), findings);
    let week_start = raw.week_start.map_or(Weekday::Mon, RawWeekday::day);
    let calendars = calendars(&raw.calendars, at.key("calendars"), findings);
    let backend = match &raw.backend {
        Some(backend) => self::backend(backend, at.key("backend"), folder, findings),
        None => Some(default_backend(folder)),
    };
    let (name, timezone, calendars, backend) = (name?, timezone?, calendars?, backend?);
    Some(Project { name, timezone, week_start, calendars, backend })
}

fn calendars(
    raw: &BTreeMap<String, RawCalendar>,
    at: At<'_>,
    findings: &mut Vec<Finding>,
) -> Option<BTreeMap<String, FiscalCalendar>> {
    let mut calendars = BTreeMap::new();
    for (name, raw) in raw {
        let named = values::name(name, at.key(name), "calendar", findings);
        let calendar = calendar(name, raw, at.key(name), findings);
        calendars.extend(named.zip(calendar));
    }
    (calendars.len() == raw.len()).then_some(calendars)
}

fn calendar(
    name: &str,
    raw: &RawCalendar,
    at: At<'_>,
    findings: &mut Vec<Finding>,
) -> Option<FiscalCalendar> {
    let named_after = match raw.year_named_after {
        RawNamedAfter::Start => NamedAfter::Start,
        RawNamedAfter::Middle => NamedAfter::Middle,
        RawNamedAfter::End => NamedAfter::End,
    };
    let years = Years::parse(&raw.year_starts, raw.months.as_deref());
    let fault = match years.and_then(|years| FiscalCalendar::new(years, named_after)) {
        Ok(calendar) => return Some(calendar),
        Err(fault) => fault,
    };
    let place = match fault {
        YearsFault::NoMonths | YearsFault::NotADay | YearsFault::NotInEveryYear => {
            at.key("year_starts").place(fault.to_string())
        }
        YearsFault::AboutNewYear => at.key("year_named_after").place(fault.to_string()),
        YearsFault::NotAQuarter => at.key("months").place(fault.to_string()),
        YearsFault::NoWeeks => at.place_of_key("months", fault.to_string()),
    };
    let help = match fault {
        YearsFault::NotADay | YearsFault::NotInEveryYear => {
            "Write a day up to the 28th such as 04-01, \"sunday nearest 02-01\" or \"sunday on or after 09-25\"."
        }
        YearsFault::NoMonths => "Add \"months: 4-4-5\".",
        YearsFault::AboutNewYear => "Write year_named_after: middle.",
        YearsFault::NotAQuarter => "Write months: 4-4-5.",
        YearsFault::NoWeeks => {
            "Leave months out, or let years begin on a weekday: \"sunday nearest 02-01\"."
        }
    };
    let message = format!("the years of calendar \"{name}\" are not possible");
    findings.push(Finding::error("bad_calendar", message).at(place).help(help));
    None
}

fn backend(
    raw: &RawBackend,
    at: At<'_>,
    folder: &Path,
    findings: &mut Vec<Finding>,
) -> Option<BackendConfig> {
    match (&raw.embedded, &raw.clickhouse) {
        (Some(embedded), None) => {
            Some(BackendConfig::Embedded { path: absolute(folder, &embedded.path) })
        }
        (None, Some(clickhouse)) => self::clickhouse(clickhouse, at.key("clickhouse"), findings),
        (Some(_), Some(_)) => {
            let finding = Finding::error("two_backends", "a project has one backend, not two")
                .at(at.place_of_key("clickhouse", "second"))
                .at(at.place_of_key("embedded", "first"))
                .help("Keep one; the command line can choose another for a run.");
            findings.push(finding);
            None
        }
        (None, None) => {
            let finding =
                Finding::error("missing_key", "the backend is neither embedded nor clickhouse")
                    .at(at.place("no backend named"))
                    .help("Write embedded: {path: …} or clickhouse: {url: …}.");
            findings.push(finding);
            None
        }
    }
}

fn clickhouse(
    raw: &RawClickHouse,
    at: At<'_>,
    findings: &mut Vec<Finding>,
) -> Option<BackendConfig> {
    let url = at.key("url");
    let host = raw.url.strip_prefix("http://").or_else(|| raw.url.strip_prefix("https://"));
    let fault = match host {
        None => Some(("not an http address", "Write it as http://host:8123.")),
        Some("") => Some(("no host", "Write it as http://host:8123.")),
        Some(host) if host.contains('@') => Some((
            "user or password in the address",
            "Write user, and password_env with the name of an environment variable.",
        )),
        Some(_) => None,
    };
    if let Some((label, help)) = fault {
        let message = "the address of ClickHouse must be http://host:port";
        findings.push(Finding::error("bad_url", message).at(url.place(label)).help(help));
        return None;
    }
    Some(BackendConfig::ClickHouse {
        url: raw.url.to_string(),
        database: raw.database.as_ref().map_or("default".to_owned(), |name| name.to_string()),
        user: raw.user.as_ref().map(|user| user.to_string()),
        password_env: raw.password_env.as_ref().map(|name| name.to_string()),
    })
}
