//! A client's session: identity, settings, transaction state, statements and portals.

mod activity;
mod aside;
mod command;
mod cursor;
mod cursors;
mod engine;
mod error;
mod portal;
pub mod query;
mod rows;
mod settings;
mod signals;
mod transaction;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use chrono::{DateTime, Utc};
use datafusion::common::ScalarValue;
use tokio_util::sync::CancellationToken;

pub use activity::Activity;
pub use cursor::{Cursor, KEPT_ROWS_BYTES_MAX, SharedCursor};
pub use engine::{Column, Engine, Notice, PreparedQuery, QueryRows, QueryText, RequestContext};
pub use error::SessionError;
pub use portal::{Format, Portal, PortalState, Prepared};
pub use query::{Definitions, DefinitionsState, EngineError, PRELOAD_MEMBERS_MAX, QueryEngine};
pub use rows::stream_error;
pub use settings::SessionSettings;
pub use signals::Signals;
pub use transaction::TransactionStatus;

use crate::error::QueryError;
use crate::sql::SqlError;
use crate::sql::catalog::{SeenCursor, SeenSessions, SeenStatement};
use crate::sql::parse::{self, CopyOptions, Statement};
use crate::sql::settings::{SETTINGS, SettingChanges};
use crate::sql::types::PgType;
use activity::Presence;
pub(crate) use aside::aside;
use settings::Values;
use transaction::Transaction;

/// Named statements and portals that one session may hold.
const STATEMENTS_MAX: usize = 10_000;
const PORTALS_MAX: usize = 1_000;

/// Texts up to this many bytes are read in less time than it takes to make way for others.
const SHORT_TEXT_BYTES: usize = 4_096;
/// Texts of statements that one session may hold, and parameters of its portals: each as much as
/// the longest message.
const HELD_BYTES_MAX: usize = 64 << 20;

/// The statements of a text.
///
/// # Errors
/// Those of [`parse::parse`].
pub(crate) fn statements(text: &str) -> Result<Vec<Statement>, SqlError> {
    match text.len() <= SHORT_TEXT_BYTES {
        true => parse::parse(text),
        false => aside(|| parse::parse(text)),
    }
}

/// Who is connected.
#[derive(Debug, Clone)]
pub struct Identity {
    pub role: String,
    pub database: String,
    /// Unique in this process.
    pub backend_pid: i32,
    pub signals: Arc<Signals>,
    /// The addresses of the connection, as far as it has some.
    pub client: Option<SocketAddr>,
    pub server: Option<SocketAddr>,
}

/// What a statement is answered with.
pub enum Answer {
    Empty,
    /// A command tag.
    Done(String),
    Rows(Rows),
    Copy(CopyOut),
}

/// Over how long a statement's rows are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// By the statement itself, whose timeout holds for all of them.
    AtOnce,
    /// By later statements or messages, each with a timeout of its own.
    InParts,
}

/// Rows, and what goes before them.
pub struct Rows {
    pub columns: Vec<Column>,
    pub cursor: Cursor,
    /// In which they go out where the client hasn't said: binary from a BINARY cursor.
    pub format: Format,
}

/// Rows for COPY … TO STDOUT.
pub struct CopyOut {
    pub columns: Vec<Column>,
    pub cursor: Cursor,
    pub options: CopyOptions,
}

/// One client's state; everything in it ends with the connection.
pub struct Session {
    engine: Arc<dyn Engine>,
    identity: Identity,
    settings: SessionSettings,
    transaction: Transaction,
    statements: HashMap<String, Held>,
    portals: HashMap<String, Portal>,
    /// The portal that Execute has taken out.
    executing: Option<SeenCursor>,
    presence: Presence,
    /// Rows in memory for cursors, in bytes.
    kept_bytes: Arc<AtomicUsize>,
    /// The message has several statements, which are one transaction even without BEGIN.
    in_batch: bool,
    /// What statements have set by calling `set_config`, until they end.
    changes: SettingChanges,
    notices: Vec<Notice>,
    /// The settings as the client was last told.
    told: Option<Values>,
}

/// A statement under a name.
struct Held {
    prepared: Arc<Prepared>,
    at: DateTime<Utc>,
    origin: Origin,
}

/// Who made a prepared statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A Parse message.
    Protocol,
    /// PREPARE.
    Sql,
}

impl Session {
    /// A session at its log-in, with the settings of the start-up packet.
    ///
    /// # Errors
    /// Where a setting is unknown or its value wrong.
    pub fn new(
        engine: Arc<dyn Engine>,
        identity: Identity,
        startup: &[(String, String)],
        activity: &Arc<Activity>,
    ) -> Result<Self, QueryError> {
        let settings = SessionSettings::at_login(&identity.role, startup)?;
        let presence = activity.enter(&identity, settings.get("application_name").unwrap_or(""));
        Ok(Self {
            engine,
            identity,
            settings,
            transaction: Transaction::None,
            statements: HashMap::new(),
            portals: HashMap::new(),
            executing: None,
            presence,
            kept_bytes: Arc::default(),
            in_batch: false,
            changes: SettingChanges::default(),
            notices: Vec::new(),
            told: None,
        })
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    pub fn settings(&self) -> &SessionSettings {
        &self.settings
    }

    pub fn status(&self) -> TransactionStatus {
        self.transaction.status()
    }

    /// What the engine is told of this session.
    pub fn context(&self) -> RequestContext {
        RequestContext {
            role: self.identity.role.clone(),
            database: self.identity.database.clone(),
            application_name: self.settings.get("application_name").unwrap_or_default().to_owned(),
            backend_pid: self.identity.backend_pid,
            settings: self.settings.values().clone(),
            statement_timeout: self.settings.statement_timeout(),
            changes: self.changes.clone(),
            seen: Arc::default(),
        }
    }

    /// What sessions do, and what this one holds.
    fn seen(&self) -> SeenSessions {
        let named = self.statements.iter().filter(|(name, _)| !name.is_empty());
        let mut statements: Vec<SeenStatement> =
            named.map(|(name, held)| held.seen(name)).collect();
        statements.sort_by(|a, b| a.name.cmp(&b.name));
        let portals = self.portals.iter().map(|(name, portal)| portal.seen(name));
        let mut cursors: Vec<SeenCursor> = portals.chain(self.executing.clone()).collect();
        cursors.sort_by(|a, b| a.name.cmp(&b.name));
        SeenSessions { statements, cursors, ..self.presence.seen() }
    }

    /// Notices and warnings since the last call, as far as client_min_messages lets them through.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        let mut notices = std::mem::take(&mut self.notices);
        let least = self.settings.get("client_min_messages").unwrap_or_default();
        notices.retain(|notice| match least {
            "error" => false,
            "warning" => notice.severity != "NOTICE",
            _ => true,
        });
        notices
    }

    /// Settings to tell the client by ParameterStatus: all of them first, then those that changed.
    pub fn take_changes(&mut self) -> Vec<(&'static str, String)> {
        let now = self.settings.values().clone();
        if self.told.as_ref().is_some_and(|told| Arc::ptr_eq(told, &now)) {
            return Vec::new();
        }
        let mut changes = Vec::new();
        for setting in SETTINGS.iter().filter(|setting| setting.reported) {
            let key = setting.name.to_lowercase();
            let value = now.get(&key);
            if value != self.told.as_ref().and_then(|told| told.get(&key)) {
                changes.push((setting.name, value.cloned().unwrap_or_default()));
            }
        }
        self.told = Some(now);
        changes
    }

    // ---- transactions around messages

    /// Before each statement: opens an implicit transaction if there is none.
    pub fn begin_statement(&mut self) {
        self.presence.works();
        self.transaction.begin_implicit(&self.settings);
    }

    /// When the rows of a statement are sent: what it has set by calling `set_config` counts.
    ///
    /// # Errors
    /// When there are too many custom settings.
    pub fn end_statement(&mut self) -> Result<(), QueryError> {
        for change in self.changes.take() {
            self.settings.set(&change.name, Some(&change.value), change.local)?;
        }
        Ok(())
    }

    /// At the beginning of a simple query, with the number of its statements.
    pub fn begin_message(&mut self, statements: usize) {
        self.in_batch = statements > 1;
    }

    /// At the end of a simple query, or at Sync.
    pub fn end_message(&mut self) {
        self.in_batch = false;
        if !self.transaction.is_block() {
            self.transaction.commit(&mut self.settings);
            self.close_transaction_portals();
        }
    }

    /// When everything is answered, and the client may ask on.
    pub fn rest(&mut self) {
        let name = self.settings.get("application_name").unwrap_or_default();
        self.presence.rests(self.status(), name);
    }

    /// After an error.
    pub fn fail(&mut self) {
        self.in_batch = false;
        drop(self.changes.take());
        self.executing = None;
        self.transaction.fail(&mut self.settings);
        self.close_portals_since(self.transaction.savepoints());
    }

    // ---- statements

    /// Resolves one statement of a text; reads nothing.
    ///
    /// # Errors
    /// In a failed transaction, for all but its end; and what the engine refuses.
    pub async fn prepare(
        &mut self,
        text: &Arc<str>,
        statement: Statement,
        params: &[Option<PgType>],
    ) -> Result<Prepared, QueryError> {
        self.presence.runs(text);
        self.refuse_if_failed(Some(&statement))?;
        match statement {
            Statement::Query(statement) => {
                let query = QueryText { statement: *statement, text: text.clone() };
                let prepared = self.engine.prepare(&query, params, &self.context()).await?;
                Ok(Prepared::Query(prepared))
            }
            // Before a driver is told that it has no parameters, and binds some.
            Statement::Refused(error) => Err(error.into()),
            statement => {
                let columns = self.command_columns(&statement).await?;
                let query = match &statement {
                    Statement::Declare { query, .. } => {
                        let query = QueryText { statement: *query.clone(), text: text.clone() };
                        Some(self.engine.prepare(&query, params, &self.context()).await?)
                    }
                    _ => None,
                };
                Ok(Prepared::Command { statement, columns, query, text: text.clone() })
            }
        }
    }

    /// The one statement of a Parse message.
    ///
    /// # Errors
    /// 42601 for several; else as [`Session::prepare`].
    pub async fn prepare_one(
        &mut self,
        text: &Arc<str>,
        params: &[Option<PgType>],
    ) -> Result<Prepared, QueryError> {
        let mut statements = statements(text)?.into_iter();
        match (statements.next(), statements.next()) {
            (None, _) => {
                self.refuse_if_failed(None)?;
                Ok(Prepared::Empty)
            }
            (Some(statement), None) => self.prepare(text, statement, params).await,
            (Some(_), Some(_)) => Err(SessionError::SeveralStatements.into()),
        }
    }

    fn refuse_if_failed(&self, statement: Option<&Statement>) -> Result<(), QueryError> {
        let ends_it = matches!(
            statement,
            Some(Statement::Commit { .. } | Statement::Rollback { .. } | Statement::RollbackTo(_))
        );
        match self.transaction.is_failed() && !ends_it {
            true => Err(SessionError::InFailedTransaction.into()),
            false => Ok(()),
        }
    }

    /// Runs a statement; of rows, it gives the stream.
    ///
    /// # Errors
    /// What the statement is refused with. The caller then calls [`Session::fail`].
    pub async fn execute(
        &mut self,
        prepared: &Prepared,
        params: Vec<ScalarValue>,
        cancel: CancellationToken,
        pace: Pace,
    ) -> Result<Answer, QueryError> {
        if let Some(text) = prepared.text() {
            self.presence.runs(text);
        }
        match prepared {
            Prepared::Empty => Ok(Answer::Empty),
            Prepared::Query(query) => {
                self.refuse_if_failed(None)?;
                self.query(query, params, cancel, pace).await.map(Answer::Rows)
            }
            Prepared::Command {
                statement: Statement::Declare { name, options, .. },
                query: Some(query),
                ..
            } => {
                self.refuse_if_failed(None)?;
                self.declare(name, *options, query, params).await
            }
            Prepared::Command { statement, columns, text, .. } => {
                self.refuse_if_failed(Some(statement))?;
                let answer = self.command(statement, text, cancel).await?;
                match &answer {
                    // The client was told of these, perhaps when the cursor was another one.
                    Answer::Rows(rows) if Some(&rows.columns) != columns.as_ref() => {
                        Err(EngineError::ChangedResult.into())
                    }
                    _ => Ok(answer),
                }
            }
        }
    }

    async fn query(
        &mut self,
        query: &PreparedQuery,
        params: Vec<ScalarValue>,
        cancel: CancellationToken,
        pace: Pace,
    ) -> Result<Rows, QueryError> {
        let mut context = self.context();
        if pace == Pace::InParts {
            context.statement_timeout = None;
        }
        if query.reads_sessions {
            context.seen = Arc::new(self.seen());
        }
        let rows = self.engine.execute(query, params, &context, cancel.clone()).await?;
        self.notices.extend(rows.notices);
        let cursor = Cursor::new(rows.batches, rows.command, cancel);
        Ok(Rows { columns: query.columns.clone(), cursor, format: Format::Text })
    }

    // ---- named statements and portals; the empty name is the unnamed one

    /// # Errors
    /// 42P05 for a name in use, 53400 when there are too many.
    pub fn add_statement(
        &mut self,
        name: &str,
        prepared: Prepared,
        origin: Origin,
    ) -> Result<(), QueryError> {
        self.check_new_statement(name)?;
        let held: usize = self.statements.values().map(|held| held.prepared.text_bytes()).sum();
        if held + prepared.text_bytes() > HELD_BYTES_MAX {
            return Err(too_much_held("prepared statements"));
        }
        let held = Held { prepared: Arc::new(prepared), at: Utc::now(), origin };
        self.statements.insert(name.to_owned(), held);
        Ok(())
    }

    /// Whether a statement of that name may be added.
    ///
    /// # Errors
    /// As [`Session::add_statement`].
    pub fn check_new_statement(&self, name: &str) -> Result<(), QueryError> {
        if !name.is_empty() && self.statements.contains_key(name) {
            return Err(SessionError::DuplicateStatement { name: name.to_owned() }.into());
        }
        if self.statements.len() >= STATEMENTS_MAX {
            return Err(
                SessionError::TooMany { what: "prepared statements", max: STATEMENTS_MAX }.into()
            );
        }
        Ok(())
    }

    /// # Errors
    /// 26000 where there is none.
    pub fn statement(&self, name: &str) -> Result<Arc<Prepared>, QueryError> {
        let held = self.statements.get(name).map(|held| Arc::clone(&held.prepared));
        held.ok_or_else(|| match name {
            "" => SessionError::NoUnnamedStatement.into(),
            name => SessionError::UnknownStatement { name: name.to_owned() }.into(),
        })
    }

    pub fn close_statement(&mut self, name: &str) {
        self.statements.remove(name);
    }

    /// # Errors
    /// 25P02 in a failed transaction, 42P03 for a name in use, 53400 when there are too many.
    pub fn add_portal(&mut self, name: &str, mut portal: Portal) -> Result<(), QueryError> {
        self.check_new_portal(name)?;
        let held: usize = self.portals.values().map(Portal::param_bytes).sum();
        if held + portal.param_bytes() > HELD_BYTES_MAX {
            return Err(too_much_held("parameters"));
        }
        portal.depth = self.transaction.savepoints();
        self.portals.insert(name.to_owned(), portal);
        Ok(())
    }

    fn check_new_portal(&self, name: &str) -> Result<(), QueryError> {
        if !name.is_empty() && self.portals.contains_key(name) {
            return Err(SessionError::DuplicatePortal { name: name.to_owned() }.into());
        }
        if self.portals.len() >= PORTALS_MAX {
            return Err(SessionError::TooMany { what: "portals", max: PORTALS_MAX }.into());
        }
        Ok(())
    }

    /// Whether a statement may be bound now.
    ///
    /// # Errors
    /// 25P02 in a failed transaction, for all but its end.
    pub fn check_bind(&self, prepared: &Prepared) -> Result<(), QueryError> {
        match prepared {
            Prepared::Command { statement, .. } => self.refuse_if_failed(Some(statement)),
            Prepared::Empty | Prepared::Query(_) => self.refuse_if_failed(None),
        }
    }

    /// # Errors
    /// 34000 where there is none.
    pub fn portal(&self, name: &str) -> Result<&Portal, QueryError> {
        self.portals.get(name).ok_or_else(|| unknown_portal(name))
    }

    /// Takes a portal out, to run it; [`Session::put_portal`] brings it back.
    ///
    /// # Errors
    /// 34000 where there is none.
    pub fn take_portal(&mut self, name: &str) -> Result<Portal, QueryError> {
        let portal = self.portals.remove(name).ok_or_else(|| unknown_portal(name))?;
        self.executing = portal.prepared.reads_sessions().then(|| portal.seen(name));
        Ok(portal)
    }

    pub fn put_portal(&mut self, name: &str, portal: Portal) {
        self.executing = None;
        self.portals.insert(name.to_owned(), portal);
    }

    pub fn close_portal(&mut self, name: &str) {
        self.portals.remove(name);
    }
}

impl Held {
    fn seen(&self, name: &str) -> SeenStatement {
        SeenStatement {
            name: name.to_owned(),
            text: self.prepared.text().map(ToString::to_string).unwrap_or_default(),
            prepared_at: self.at,
            parameters: self.prepared.params().iter().map(PgType::oid).collect(),
            from_sql: self.origin == Origin::Sql,
        }
    }
}

fn too_much_held(what: &'static str) -> QueryError {
    SessionError::TooMuchHeld { what, bytes_max: HELD_BYTES_MAX }.into()
}

fn unknown_portal(name: &str) -> QueryError {
    SessionError::UnknownPortal { name: name.to_owned() }.into()
}
