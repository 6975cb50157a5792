//! The sessions of the server, and what the asking one holds: `pg_stat_activity`, `pg_cursors` and
//! their like.

use std::net::SocketAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::error::Result;

use super::definitions::Definition;
use super::directory::{DATABASE, OWNER_NAME};
use super::relations::role_oid;
use super::rows::Rows;
use super::snapshot::CatalogSession;

/// Relations and functions whose answers need [`SeenSessions`].
pub(super) const RELATIONS: [&str; 10] = [
    "pg_roles",
    "pg_authid",
    "pg_user",
    "pg_shadow",
    "pg_stat_activity",
    "pg_stat_database",
    "pg_stat_gssapi",
    "pg_stat_ssl",
    "pg_cursors",
    "pg_prepared_statements",
];
pub(super) const FUNCTIONS: [&str; 10] = [
    "current_query",
    "pg_cancel_backend",
    "pg_terminate_backend",
    "pg_get_userbyid",
    "inet_client_addr",
    "inet_client_port",
    "inet_server_addr",
    "inet_server_port",
    "pg_postmaster_start_time",
    "pg_conf_load_time",
];

/// The sessions as they were when a statement began. Empty where none of its relations shows them.
#[derive(Debug, Clone, Default)]
pub struct SeenSessions {
    pub server_started_at: Option<DateTime<Utc>>,
    /// The asking session's own addresses.
    pub client: Option<SocketAddr>,
    pub server: Option<SocketAddr>,
    /// Every session, by its process id.
    pub sessions: Vec<SeenSession>,
    /// The asking session's named prepared statements.
    pub statements: Vec<SeenStatement>,
    /// The asking session's cursors and portals.
    pub cursors: Vec<SeenCursor>,
}

/// One session of the server.
#[derive(Debug, Clone)]
pub struct SeenSession {
    pub pid: i32,
    pub role: String,
    pub database: String,
    pub application_name: String,
    pub client: Option<SocketAddr>,
    pub started_at: DateTime<Utc>,
    pub transaction_started_at: Option<DateTime<Utc>>,
    pub query_started_at: Option<DateTime<Utc>>,
    pub state_changed_at: DateTime<Utc>,
    /// As `pg_stat_activity.state` names it.
    pub state: &'static str,
    /// What it runs, or ran last; the beginning of a long one.
    pub query: String,
    pub signals: Arc<dyn Signalled>,
}

/// A session as others may reach it.
pub trait Signalled: std::fmt::Debug + Send + Sync {
    /// Stops the statement that it runs, if it runs one.
    fn cancel(&self);

    /// Ends it.
    fn terminate(&self);
}

#[derive(Debug, Clone)]
pub struct SeenStatement {
    pub name: String,
    pub text: String,
    pub prepared_at: DateTime<Utc>,
    /// OIDs of the parameters' types.
    pub parameters: Vec<u32>,
    /// Whether PREPARE made it, and not the protocol.
    pub from_sql: bool,
}

#[derive(Debug, Clone)]
pub struct SeenCursor {
    pub name: String,
    pub text: String,
    pub is_holdable: bool,
    pub is_binary: bool,
    pub is_scrollable: bool,
    pub created_at: DateTime<Utc>,
}

impl SeenSession {
    /// The client, where the asker may know of it.
    fn client_port(&self) -> Option<i64> {
        self.client.map(|client| client.port().into())
    }
}

/// Whether a role may know what a session does: its own sessions, and everything as the owner.
///
/// Source: PostgreSQL manual, section 28.2.3: others see `<insufficient privilege>`.
pub(super) fn may_see(asker: &CatalogSession, session: &SeenSession) -> bool {
    asker.role == OWNER_NAME || asker.role == session.role
}

pub(super) fn activity(definition: &'static Definition, asker: &CatalogSession) -> Result<Rows> {
    const WITHHELD: &str = "<insufficient privilege>";
    let all = &asker.seen.sessions;
    let seen = || all.iter().map(|one| may_see(asker, one).then_some(one));
    let address = |one: &SeenSession| Some(one.client?.ip().to_canonical().to_string());
    let mut rows = Rows::new(definition, all.len());
    rows.all("datid", DATABASE)?
        .texts("datname", all.iter().map(|one| Some(&one.database)))?
        .ints("pid", all.iter().map(|one| Some(one.pid.into())))?
        .ints("usesysid", all.iter().map(|one| Some(role_oid(&one.role))))?
        .texts("usename", all.iter().map(|one| Some(&one.role)))?
        .texts("application_name", all.iter().map(|one| Some(&one.application_name)))?
        .texts("client_addr", seen().map(|one| address(one?)))?
        .ints("client_port", seen().map(|one| one?.client_port()))?
        .times("backend_start", seen().map(|one| Some(one?.started_at)))?
        .times("xact_start", seen().map(|one| one?.transaction_started_at))?
        .times("query_start", seen().map(|one| one?.query_started_at))?
        .times("state_change", seen().map(|one| Some(one?.state_changed_at)))?
        .texts("state", seen().map(|one| Some(one?.state)))?
        .texts("query", seen().map(|one| Some(one.map_or(WITHHELD, |one| one.query.as_str()))))?
        .texts("backend_type", seen().map(|one| one.map(|_| "client backend")))?;
    // An idle session waits for its client.
    let waiting = || seen().map(|one| one.filter(|one| one.state != "active"));
    rows.texts("wait_event_type", waiting().map(|one| one.map(|_| "Client")))?
        .texts("wait_event", waiting().map(|one| one.map(|_| "ClientRead")))?;
    Ok(rows)
}

/// `pg_stat_ssl` and `pg_stat_gssapi`: no connection is encrypted by either.
pub(super) fn encryption(definition: &'static Definition, asker: &CatalogSession) -> Result<Rows> {
    let all = asker.seen.sessions.iter().filter(|one| may_see(asker, one));
    let all: Vec<&SeenSession> = all.filter(|one| one.client.is_some()).collect();
    let mut rows = Rows::new(definition, all.len());
    rows.ints("pid", all.iter().map(|one| Some(one.pid.into())))?;
    match definition.name {
        "pg_stat_ssl" => rows.all("ssl", false)?,
        _ => rows.all("gss_authenticated", false)?.all("encrypted", false)?,
    };
    Ok(rows)
}

pub(super) fn databases(definition: &'static Definition, asker: &CatalogSession) -> Result<Rows> {
    let sessions = i64::try_from(asker.seen.sessions.len()).unwrap_or(i64::MAX);
    let mut rows = Rows::new(definition, 1);
    rows.all("datid", DATABASE)?
        .all("datname", asker.database.as_str())?
        .all("numbackends", sessions)?;
    Ok(rows)
}

pub(super) fn statements(definition: &'static Definition, asker: &CatalogSession) -> Result<Rows> {
    let all = &asker.seen.statements;
    let types = |one: &SeenStatement| one.parameters.iter().copied().map(i64::from).collect();
    let mut rows = Rows::new(definition, all.len());
    rows.texts("name", all.iter().map(|one| Some(&one.name)))?
        .texts("statement", all.iter().map(|one| Some(&one.text)))?
        .times("prepare_time", all.iter().map(|one| Some(one.prepared_at)))?
        .int_lists("parameter_types", all.iter().map(|one| Some(types(one))))?
        .bools("from_sql", all.iter().map(|one| one.from_sql))?;
    Ok(rows)
}

pub(super) fn cursors(definition: &'static Definition, asker: &CatalogSession) -> Result<Rows> {
    let all = &asker.seen.cursors;
    let mut rows = Rows::new(definition, all.len());
    rows.texts("name", all.iter().map(|one| Some(&one.name)))?
        .texts("statement", all.iter().map(|one| Some(&one.text)))?
        .bools("is_holdable", all.iter().map(|one| one.is_holdable))?
        .bools("is_binary", all.iter().map(|one| one.is_binary))?
        .bools("is_scrollable", all.iter().map(|one| one.is_scrollable))?
        .times("creation_time", all.iter().map(|one| Some(one.created_at)))?;
    Ok(rows)
}
