//! The statements that a session answers itself: SET and SHOW, transactions, DISCARD and the like.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast;
use tokio_util::sync::CancellationToken;

use super::cursor::Cursor;
use super::engine::{Column, Notice, PreparedQuery, QueryText};
use super::error::SessionError;
use super::portal::{Format, Prepared};
use super::query::EngineError;
use super::transaction::{SAVEPOINTS_MAX, Transaction};
use super::{Answer, Origin, Pace, Rows, Session, rows};
use crate::error::QueryError;
use crate::sql::SqlError;
use crate::sql::parse::{Argument, ArgumentValue, Discard, SetValue, Statement, TransactionModes};
use crate::sql::settings::SETTINGS;
use crate::sql::types::PgType;
use crate::sql::value;

type Answered = Result<Answer, QueryError>;

fn done(tag: &str) -> Answered {
    Ok(Answer::Done(tag.to_owned()))
}

impl Session {
    /// The columns of a command's answer, if it has rows.
    pub(super) async fn command_columns(
        &self,
        statement: &Statement,
    ) -> Result<Option<Vec<Column>>, QueryError> {
        match statement {
            Statement::Show { name: None } => {
                Ok(Some(rows::text_columns(&["name", "setting", "description"])))
            }
            Statement::Show { name: Some(name) } => {
                Ok(Some(rows::text_columns(&[self.shown(name)?.0.as_str()])))
            }
            Statement::Fetch { cursor, .. } => Ok(self.fetched_columns(cursor)),
            Statement::Execute { name, .. } => {
                Ok(self.statement(name)?.columns().map(<[Column]>::to_vec))
            }
            Statement::ExplainExecute { explain, name, .. } => {
                Ok(Some(self.explanation(explain, name).await?.columns.clone()))
            }
            _ => Ok(None),
        }
    }

    pub(super) async fn command(
        &mut self,
        statement: &Statement,
        text: &Arc<str>,
        cancel: CancellationToken,
    ) -> Answered {
        match statement {
            Statement::Set { name, value, local } => self.set(name, value, *local),
            Statement::SetTransaction { modes, session } => self.set_transaction(*modes, *session),
            Statement::SetConstraints => done("SET CONSTRAINTS"),
            Statement::Reset { name: Some(name) } => self.reset(name),
            Statement::Reset { name: None } => {
                self.settings.reset_all();
                done("RESET")
            }
            Statement::Show { name } => self.show(name.as_deref(), cancel),
            Statement::Begin { modes, start } => self.begin(*modes, *start),
            Statement::Commit { chain } => self.commit(*chain).await,
            Statement::Rollback { chain } => self.rollback(*chain),
            Statement::Savepoint(name) => self.savepoint(name),
            Statement::Release(name) => self.release(name),
            Statement::RollbackTo(name) => self.rollback_to(name),
            Statement::Discard(what) => self.discard(*what),
            Statement::Deallocate(None) => {
                self.statements.clear();
                done("DEALLOCATE ALL")
            }
            Statement::Deallocate(Some(name)) => {
                self.statement(name)?;
                self.statements.remove(name);
                done("DEALLOCATE")
            }
            Statement::Prepare { name, types, query } => {
                self.check_new_statement(name)?;
                let query = QueryText { statement: query.as_ref().clone(), text: text.clone() };
                let prepared = self.engine.prepare(&query, types, &self.context()).await?;
                self.add_statement(name, Prepared::Query(prepared), Origin::Sql)?;
                done("PREPARE")
            }
            Statement::Execute { name, arguments } => {
                self.execute_prepared(name, arguments, text, cancel).await
            }
            Statement::ExplainExecute { explain, name, arguments } => {
                let explanation = self.explanation(explain, name).await?;
                let params =
                    self.values(name, &explanation.params, arguments, text, &cancel).await?;
                self.query(&explanation, params, cancel, Pace::AtOnce).await.map(Answer::Rows)
            }
            Statement::Unlisten => done("UNLISTEN"),
            Statement::Fetch { cursor, direction } => self.fetch(cursor, *direction, cancel).await,
            Statement::Move { cursor, direction } => self.move_cursor(cursor, *direction).await,
            Statement::CloseCursor(name) => self.close_cursor(name.as_deref()),
            Statement::CopyOut { query, options } => {
                self.copy_out(query, options, text, cancel).await
            }
            Statement::Refused(error) => Err(error.clone().into()),
            Statement::Query(_) | Statement::Declare { .. } => Err(SessionError::Internal.into()),
        }
    }

    fn warn(&mut self, sqlstate: &'static str, message: &str) {
        self.notices.push(Notice {
            severity: "WARNING",
            sqlstate,
            message: message.to_owned(),
            detail: None,
            hint: None,
        });
    }

    // ---- settings

    fn set(&mut self, name: &str, value: &SetValue, local: bool) -> Answered {
        let lower = name.to_lowercase();
        if local && !self.transaction.is_block() {
            self.warn("25P01", "SET LOCAL can only be used in transaction blocks");
        }
        if matches!(lower.as_str(), "role" | "session_authorization") {
            return self.set_role(&lower, value);
        }
        if matches!(lower.as_str(), "transaction_isolation" | "transaction_deferrable") {
            // These are of the running transaction, as if by SET LOCAL.
            return self.set_value(name, value, true);
        }
        self.set_value(name, value, local)
    }

    fn set_value(&mut self, name: &str, value: &SetValue, local: bool) -> Answered {
        let value = match value {
            SetValue::Default => None,
            SetValue::Text(text) => Some(text.as_str()),
        };
        self.settings.set(name, value, local)?;
        done("SET")
    }

    /// Nobody changes who they are; asking for what one is already is fine.
    fn set_role(&mut self, name: &str, value: &SetValue) -> Answered {
        match value {
            SetValue::Default => done("SET"),
            SetValue::Text(role) if *role == self.identity.role => done("SET"),
            SetValue::Text(role) if name == "role" && role == "none" => done("SET"),
            SetValue::Text(role) => Err(SessionError::RoleDenied { role: role.clone() }.into()),
        }
    }

    fn reset(&mut self, name: &str) -> Answered {
        let lower = name.to_lowercase();
        if !matches!(lower.as_str(), "role" | "session_authorization") {
            self.settings.set(name, None, false)?;
        }
        done("RESET")
    }

    fn show(&self, name: Option<&str>, cancel: CancellationToken) -> Answered {
        let (columns, texts) = match name {
            Some(name) => {
                let (label, value) = self.shown(name)?;
                (rows::text_columns(&[&label]), vec![vec![value]])
            }
            None => (rows::text_columns(&["name", "setting", "description"]), self.all_settings()),
        };
        let batches = rows::text_rows(&columns, &texts)?;
        let cursor = Cursor::new(batches, "SHOW", cancel);
        Ok(Answer::Rows(Rows { columns, cursor, format: Format::Text }))
    }

    /// The label and the value that SHOW gives.
    fn shown(&self, name: &str) -> Result<(String, String), QueryError> {
        let unknown = || SqlError::UnknownSetting { name: name.to_owned() };
        let value = self.settings.get(name).ok_or_else(unknown)?.to_owned();
        let setting = SETTINGS.iter().find(|setting| setting.name.eq_ignore_ascii_case(name));
        let label = setting.map_or(name, |setting| setting.name).to_owned();
        Ok((label, value))
    }

    fn all_settings(&self) -> Vec<Vec<String>> {
        let mut settings: Vec<_> = SETTINGS.iter().collect();
        settings.sort_by_key(|setting| setting.name.to_lowercase());
        let row = |setting: &&crate::sql::settings::Setting| {
            let value = self.settings.get(setting.name).unwrap_or_default();
            vec![setting.name.to_owned(), value.to_owned(), setting.description.to_owned()]
        };
        settings.iter().map(row).collect()
    }

    // ---- transactions

    fn begin(&mut self, modes: TransactionModes, start: bool) -> Answered {
        let tag = if start { "START TRANSACTION" } else { "BEGIN" };
        if modes.read_only == Some(false) {
            return Err(SessionError::ReadWrite.into());
        }
        if self.transaction.is_block() {
            self.warn("25001", "there is already a transaction in progress");
        }
        self.transaction.begin(&self.settings);
        self.set_modes(modes, "transaction", true)?;
        done(tag)
    }

    fn set_modes(
        &mut self,
        modes: TransactionModes,
        prefix: &str,
        local: bool,
    ) -> Result<(), QueryError> {
        if let Some(isolation) = modes.isolation {
            self.settings.set(&format!("{prefix}_isolation"), Some(isolation), local)?;
        }
        if let Some(deferrable) = modes.deferrable {
            let value = if deferrable { "on" } else { "off" };
            self.settings.set(&format!("{prefix}_deferrable"), Some(value), local)?;
        }
        Ok(())
    }

    fn set_transaction(&mut self, modes: TransactionModes, session: bool) -> Answered {
        if session {
            // As on a hot standby: the default may be set, and transactions stay read-only.
            if let Some(read_only) = modes.read_only {
                let value = if read_only { "on" } else { "off" };
                self.settings.set("default_transaction_read_only", Some(value), false)?;
            }
            self.set_modes(modes, "default_transaction", false)?;
            return done("SET");
        }
        if modes.read_only == Some(false) {
            return Err(SessionError::ReadWrite.into());
        }
        if !self.transaction.is_block() {
            self.warn("25P01", "SET TRANSACTION can only be used in transaction blocks");
        }
        self.set_modes(modes, "transaction", true)?;
        done("SET")
    }

    async fn commit(&mut self, chain: bool) -> Answered {
        if !self.transaction.is_block() {
            if chain {
                return Err(SessionError::NoTransaction { command: "COMMIT AND CHAIN" }.into());
            }
            self.warn("25P01", "there is no transaction in progress");
        }
        if !self.transaction.is_failed()
            && let Err(error) = self.hold_cursors().await
        {
            self.transaction.rollback(&mut self.settings);
            self.end_transaction(false);
            return Err(error);
        }
        let committed = self.transaction.commit(&mut self.settings);
        self.end_transaction(chain);
        done(if committed { "COMMIT" } else { "ROLLBACK" })
    }

    fn rollback(&mut self, chain: bool) -> Answered {
        if !self.transaction.is_block() {
            if chain {
                return Err(SessionError::NoTransaction { command: "ROLLBACK AND CHAIN" }.into());
            }
            self.warn("25P01", "there is no transaction in progress");
        }
        self.transaction.rollback(&mut self.settings);
        self.end_transaction(chain);
        done("ROLLBACK")
    }

    fn end_transaction(&mut self, chain: bool) {
        self.close_transaction_portals();
        if chain {
            self.transaction.begin(&self.settings);
        }
    }

    fn savepoint(&mut self, name: &str) -> Answered {
        let Transaction::Explicit(block) = &mut self.transaction else {
            return Err(SessionError::NoTransaction { command: "SAVEPOINT" }.into());
        };
        if block.savepoints.len() >= SAVEPOINTS_MAX {
            return Err(SessionError::TooMany { what: "savepoints", max: SAVEPOINTS_MAX }.into());
        }
        block.savepoints.push((name.to_owned(), self.settings.mark()));
        done("SAVEPOINT")
    }

    fn release(&mut self, name: &str) -> Answered {
        let Transaction::Explicit(block) = &mut self.transaction else {
            return Err(SessionError::NoTransaction { command: "RELEASE SAVEPOINT" }.into());
        };
        let index = block.savepoints.iter().rposition(|(known, _)| known == name);
        let index = index.ok_or_else(|| unknown_savepoint(name))?;
        block.savepoints.truncate(index);
        self.hand_portals_over(index);
        done("RELEASE")
    }

    fn rollback_to(&mut self, name: &str) -> Answered {
        let command = "ROLLBACK TO SAVEPOINT";
        let mut block = match std::mem::take(&mut self.transaction) {
            Transaction::Explicit(block) => block,
            Transaction::Failed(block) => {
                if !block.savepoints.iter().any(|(known, _)| known == name) {
                    self.transaction = Transaction::Failed(block);
                    return Err(unknown_savepoint(name));
                }
                block
            }
            other @ (Transaction::None | Transaction::Implicit(_)) => {
                self.transaction = other;
                return Err(SessionError::NoTransaction { command }.into());
            }
        };
        let index = block.savepoints.iter().rposition(|(known, _)| known == name);
        let outcome = match index.and_then(|index| Some((index, block.savepoints.get(index)?))) {
            Some((index, (_, mark))) => {
                self.settings.go_back_to(mark);
                block.savepoints.truncate(index + 1);
                self.close_portals_since(index + 1);
                done("ROLLBACK")
            }
            None => Err(unknown_savepoint(name)),
        };
        self.transaction = Transaction::Explicit(block);
        outcome
    }

    // ---- the rest

    fn discard(&mut self, what: Discard) -> Answered {
        match what {
            Discard::All => {
                if self.transaction.is_block() {
                    return Err(SessionError::InTransaction { command: "DISCARD ALL" }.into());
                }
                self.settings.reset_all();
                self.statements.clear();
                self.portals.clear();
                done("DISCARD ALL")
            }
            Discard::Plans => done("DISCARD PLANS"),
            Discard::Sequences => done("DISCARD SEQUENCES"),
            Discard::Temporary => done("DISCARD TEMP"),
        }
    }

    async fn execute_prepared(
        &mut self,
        name: &str,
        arguments: &[Argument],
        text: &Arc<str>,
        cancel: CancellationToken,
    ) -> Answered {
        let prepared = self.statement(name)?;
        let params = self.values(name, prepared.params(), arguments, text, &cancel).await?;
        match prepared.as_ref() {
            Prepared::Query(query) => {
                self.query(query, params, cancel, Pace::AtOnce).await.map(Answer::Rows)
            }
            Prepared::Empty => Ok(Answer::Empty),
            // Only a statement of Parse can be a command; running those again is not worth a loop.
            Prepared::Command { .. } => Err(SqlError::NotSupported {
                what: "EXECUTE of a statement that is no query".to_owned(),
                hint: None,
                position: None,
            }
            .into()),
        }
    }

    /// The explanation of a prepared statement, of the same parameters.
    async fn explanation(
        &self,
        explain: &ast::Statement,
        name: &str,
    ) -> Result<Arc<PreparedQuery>, QueryError> {
        let prepared = self.statement(name)?;
        let Prepared::Query(prepared) = prepared.as_ref() else {
            return Err(EngineError::NotExplainable.into());
        };
        let mut explain = explain.clone();
        if let ast::Statement::Explain { statement, .. } = &mut explain {
            **statement = prepared.query.statement.clone();
        }
        let query = QueryText { statement: explain, text: Arc::clone(&prepared.query.text) };
        let params: Vec<_> = prepared.params.iter().cloned().map(Some).collect();
        self.engine.prepare(&query, &params, &self.context()).await
    }

    /// The values of all arguments of EXECUTE.
    async fn values(
        &mut self,
        name: &str,
        types: &[PgType],
        arguments: &[Argument],
        text: &Arc<str>,
        cancel: &CancellationToken,
    ) -> Result<Vec<ScalarValue>, QueryError> {
        if types.len() != arguments.len() {
            return Err(SessionError::WrongArguments {
                name: name.to_owned(),
                expected: types.len(),
                given: arguments.len(),
            }
            .into());
        }
        let mut values = Vec::with_capacity(arguments.len());
        for (pg_type, argument) in types.iter().zip(arguments) {
            values.push(self.argument(pg_type, argument, text, cancel).await?);
        }
        Ok(values)
    }

    /// The value of an argument in the parameter's type.
    async fn argument(
        &mut self,
        pg_type: &PgType,
        argument: &Argument,
        text: &Arc<str>,
        cancel: &CancellationToken,
    ) -> Result<ScalarValue, QueryError> {
        let misfit = |fault: value::Fault| SqlError::Refused {
            sqlstate: fault.sqlstate,
            message: fault.message,
            hint: None,
            position: Some(argument.position),
        };
        let query = match &argument.value {
            ArgumentValue::Literal(literal) => {
                let zone = self.settings.time_zone();
                let value = value::parameter(pg_type, literal.as_deref(), &zone);
                return Ok(value.map_err(misfit)?);
            }
            ArgumentValue::Query(query) => query,
        };
        let prepared = self.prepare_plain(query, text).await?;
        let mut cursor =
            self.query(&prepared, Vec::new(), cancel.clone(), Pace::AtOnce).await?.cursor;
        let value = match cursor.peek().await? {
            Some((batch, row)) => ScalarValue::try_from_array(batch.column(0), row),
            None => ScalarValue::try_from(&pg_type.to_arrow()),
        };
        let value = value.and_then(|value| value.cast_to(&pg_type.to_arrow()));
        let message = || "an argument can't be read as the type of its parameter".to_owned();
        Ok(value.map_err(|_| misfit(value::Fault { sqlstate: "42804", message: message() }))?)
    }
}

fn unknown_savepoint(name: &str) -> QueryError {
    SessionError::UnknownSavepoint { name: name.to_owned() }.into()
}
