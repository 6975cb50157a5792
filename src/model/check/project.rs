//! The project file.

use std::path::Path;

use chrono::Weekday;

use super::at::At;
use super::values;
use crate::diagnostic::Finding;
use crate::model::load::{absolute, default_backend};
use crate::model::raw::{RawBackend, RawClickHouse, RawProject, RawWeekday};
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
    let backend = match &raw.backend {
        Some(backend) => self::backend(backend, at.key("backend"), folder, findings),
        None => Some(default_backend(folder)),
    };
    Some(Project { name: name?, timezone: timezone?, week_start, backend: backend? })
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
