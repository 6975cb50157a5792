//! What a session asks of the rest of canon: statements prepared and run.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datafusion::common::ScalarValue;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::sql::sqlparser::ast;
use tokio_util::sync::CancellationToken;

use crate::error::QueryError;
use crate::sql::catalog::{ColumnOrigin, SeenSessions};
use crate::sql::settings::SettingChanges;
use crate::sql::types::PgType;

/// Prepares and runs the statements that answer with rows. Sessions hold one `Arc` of it.
#[async_trait]
pub trait Engine: Send + Sync + Debug {
    /// Resolves names and types; reads nothing of the sources. `params` are the types that the
    /// client announced, by position; `None` or a missing one is inferred.
    async fn prepare(
        &self,
        query: &QueryText,
        params: &[Option<PgType>],
        context: &RequestContext,
    ) -> Result<Arc<PreparedQuery>, QueryError>;

    /// Runs it. Parameters have the Arrow types of `prepared.params`, NULL included.
    /// Dropping the rows, or cancelling `cancel`, stops the work everywhere.
    async fn execute(
        &self,
        prepared: &PreparedQuery,
        params: Vec<ScalarValue>,
        context: &RequestContext,
        cancel: CancellationToken,
    ) -> Result<QueryRows, QueryError>;
}

/// A statement that answers with rows, with the text it came from (for positions and logs).
#[derive(Debug, Clone)]
pub struct QueryText {
    /// `Statement::Query` or `Statement::Explain`.
    pub statement: ast::Statement,
    /// The whole text that the client sent; spans of `statement` point into it.
    pub text: Arc<str>,
}

/// Who asks, and under which settings: everything of a session that can change an answer.
#[derive(Debug, Clone)]
pub struct RequestContext {
    pub role: String,
    pub database: String,
    pub application_name: String,
    /// Unique in this process; what pg_backend_pid() answers.
    pub backend_pid: i32,
    /// All settings by lower-case name as SHOW prints them: `timezone`, `search_path`, `canon.pins`.
    pub settings: Arc<BTreeMap<String, String>>,
    /// None: no limit.
    pub statement_timeout: Option<Duration>,
    /// What the statement sets by calling `set_config`.
    pub changes: SettingChanges,
    /// What sessions do and hold, for a statement that [`PreparedQuery::reads_sessions`].
    pub seen: Arc<SeenSessions>,
}

/// A statement whose names and types are resolved.
#[derive(Debug)]
pub struct PreparedQuery {
    pub query: QueryText,
    pub params: Vec<PgType>,
    pub columns: Vec<Column>,
    /// Whether it asks what sessions do or hold.
    pub reads_sessions: bool,
    /// What the engine has to remember.
    pub plan: Arc<dyn std::any::Any + Send + Sync>,
}

/// A column of a result, as RowDescription tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub pg_type: PgType,
    /// The relation's column that it is, of a plain one.
    pub origin: Option<ColumnOrigin>,
}

impl Column {
    /// A column that is no relation's.
    pub fn new(name: impl Into<String>, pg_type: PgType) -> Self {
        Self { name: name.into(), pg_type, origin: None }
    }
}

/// The answer to a statement.
pub struct QueryRows {
    /// Columns by position as in `PreparedQuery::columns`.
    pub batches: SendableRecordBatchStream,
    /// To be sent before the rows.
    pub notices: Vec<Notice>,
    /// `SELECT` or `EXPLAIN`: the word of the command tag.
    pub command: &'static str,
}

/// A message beside the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// `NOTICE` or `WARNING`.
    pub severity: &'static str,
    pub sqlstate: &'static str,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}
