//! A client's session: identity, settings, transaction state, statements and portals.

mod command;
mod engine;
mod error;
mod portal;
pub mod query;
mod rows;
mod settings;
mod transaction;

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::ScalarValue;
use tokio_util::sync::CancellationToken;

pub use engine::{Column, Engine, Notice, PreparedQuery, QueryRows, QueryText, RequestContext};
pub use error::SessionError;
pub use portal::{Cursor, Format, Portal, PortalState, Prepared};
pub use query::{Definitions, DefinitionsState, EngineError, PRELOAD_MEMBERS_MAX, QueryEngine};
pub use rows::stream_error;
pub use settings::SessionSettings;
pub use transaction::TransactionStatus;

use crate::error::QueryError;
use crate::sql::parse::{self, Statement};
use crate::sql::settings::SETTINGS;
use crate::sql::types::PgType;
use settings::Values;
use transaction::Transaction;

/// Named statements and portals that one session may hold.
const STATEMENTS_MAX: usize = 10_000;
const PORTALS_MAX: usize = 1_000;
/// Texts of statements that one session may hold, and parameters of its portals: each as much as
/// the longest message.
const HELD_BYTES_MAX: usize = 64 << 20;

/// Who is connected.
#[derive(Debug, Clone)]
pub struct Identity {
    pub role: String,
    pub database: String,
    /// Unique in this process.
    pub backend_pid: i32,
}

/// What a statement is answered with.
pub enum Answer {
    Empty,
    /// A command tag.
    Done(String),
    Rows(Rows),
}

/// Rows, and what goes before them.
pub struct Rows {
    pub columns: Vec<Column>,
    pub cursor: Cursor,
}

/// One client's state; everything in it ends with the connection.
pub struct Session {
    engine: Arc<dyn Engine>,
    identity: Identity,
    settings: SessionSettings,
    transaction: Transaction,
    statements: HashMap<String, Arc<Prepared>>,
    portals: HashMap<String, Portal>,
    notices: Vec<Notice>,
    /// The settings as the client was last told.
    told: Option<Values>,
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
    ) -> Result<Self, QueryError> {
        let settings = SessionSettings::at_login(&identity.role, startup)?;
        Ok(Self {
            engine,
            identity,
            settings,
            transaction: Transaction::None,
            statements: HashMap::new(),
            portals: HashMap::new(),
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
        }
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
        self.transaction.begin_implicit(&self.settings);
    }

    /// At the end of a simple query, or at Sync.
    pub fn end_message(&mut self) {
        if !self.transaction.is_block() {
            self.transaction.commit(&mut self.settings);
            self.portals.clear();
        }
    }

    /// After an error.
    pub fn fail(&mut self) {
        self.transaction.fail(&mut self.settings);
        self.portals.clear();
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
        self.refuse_if_failed(Some(&statement))?;
        match statement {
            Statement::Query(statement) => {
                let query = QueryText { statement: *statement, text: text.clone() };
                let prepared = self.engine.prepare(&query, params, &self.context()).await?;
                Ok(Prepared::Query(prepared))
            }
            statement => {
                let columns = self.command_columns(&statement)?;
                Ok(Prepared::Command { statement, columns, text: text.clone() })
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
        let mut statements = parse::parse(text)?.into_iter();
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
    ) -> Result<Answer, QueryError> {
        match prepared {
            Prepared::Empty => Ok(Answer::Empty),
            Prepared::Query(query) => {
                self.refuse_if_failed(None)?;
                self.query(query, params, cancel).await.map(Answer::Rows)
            }
            Prepared::Command { statement, text, .. } => {
                self.refuse_if_failed(Some(statement))?;
                self.command(statement, text, cancel).await
            }
        }
    }

    async fn query(
        &mut self,
        query: &PreparedQuery,
        params: Vec<ScalarValue>,
        cancel: CancellationToken,
    ) -> Result<Rows, QueryError> {
        let rows = self.engine.execute(query, params, &self.context(), cancel.clone()).await?;
        self.notices.extend(rows.notices);
        let cursor = Cursor::new(rows.batches, rows.command, cancel);
        Ok(Rows { columns: query.columns.clone(), cursor })
    }

    // ---- named statements and portals; the empty name is the unnamed one

    /// # Errors
    /// 42P05 for a name in use, 53400 when there are too many.
    pub fn add_statement(&mut self, name: &str, prepared: Prepared) -> Result<(), QueryError> {
        self.check_new_statement(name)?;
        let held: usize = self.statements.values().map(|held| held.text_bytes()).sum();
        if held + prepared.text_bytes() > HELD_BYTES_MAX {
            return Err(too_much_held("prepared statements"));
        }
        self.statements.insert(name.to_owned(), Arc::new(prepared));
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
        self.statements.get(name).cloned().ok_or_else(|| match name {
            "" => SessionError::NoUnnamedStatement.into(),
            name => SessionError::UnknownStatement { name: name.to_owned() }.into(),
        })
    }

    pub fn close_statement(&mut self, name: &str) {
        self.statements.remove(name);
    }

    /// # Errors
    /// 25P02 in a failed transaction, 42P03 for a name in use, 53400 when there are too many.
    pub fn add_portal(&mut self, name: &str, portal: Portal) -> Result<(), QueryError> {
        if !name.is_empty() && self.portals.contains_key(name) {
            return Err(SessionError::DuplicatePortal { name: name.to_owned() }.into());
        }
        if self.portals.len() >= PORTALS_MAX {
            return Err(SessionError::TooMany { what: "portals", max: PORTALS_MAX }.into());
        }
        let held: usize = self.portals.values().map(Portal::param_bytes).sum();
        if held + portal.param_bytes() > HELD_BYTES_MAX {
            return Err(too_much_held("parameters"));
        }
        self.portals.insert(name.to_owned(), portal);
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
        self.portals.remove(name).ok_or_else(|| unknown_portal(name))
    }

    pub fn put_portal(&mut self, name: &str, portal: Portal) {
        self.portals.insert(name.to_owned(), portal);
    }

    pub fn close_portal(&mut self, name: &str) {
        self.portals.remove(name);
    }
}

fn too_much_held(what: &'static str) -> QueryError {
    SessionError::TooMuchHeld { what, bytes_max: HELD_BYTES_MAX }.into()
}

fn unknown_portal(name: &str) -> QueryError {
    SessionError::UnknownPortal { name: name.to_owned() }.into()
}
