//! Prepared statements and portals: what the extended protocol holds between messages.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::common::ScalarValue;

use super::cursor::SharedCursor;
use super::engine::{Column, PreparedQuery};
use crate::sql::catalog::SeenCursor;
use crate::sql::parse::{CursorOptions, Statement};
use crate::sql::types::PgType;

/// A statement that was parsed, and whose types are known.
#[derive(Debug)]
pub enum Prepared {
    /// No statement at all; answered by EmptyQueryResponse.
    Empty,
    Query(Arc<PreparedQuery>),
    /// One that the session answers itself, with the columns of its answer if it has rows.
    Command {
        statement: Statement,
        columns: Option<Vec<Column>>,
        /// What DECLARE is for.
        query: Option<Arc<PreparedQuery>>,
        text: Arc<str>,
    },
}

impl Prepared {
    pub fn params(&self) -> &[PgType] {
        match self {
            Self::Query(query) | Self::Command { query: Some(query), .. } => &query.params,
            Self::Empty | Self::Command { query: None, .. } => &[],
        }
    }

    /// How much text it keeps; trees and plans are of that order.
    pub(super) fn text_bytes(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Query(query) => query.query.text.len(),
            Self::Command { text, .. } => text.len(),
        }
    }

    /// The text that it came in.
    pub(super) fn text(&self) -> Option<&Arc<str>> {
        match self {
            Self::Empty => None,
            Self::Query(query) => Some(&query.query.text),
            Self::Command { text, .. } => Some(text),
        }
    }

    /// Whether it asks what sessions do or hold.
    pub(super) fn reads_sessions(&self) -> bool {
        matches!(self, Self::Query(query) if query.reads_sessions)
    }

    /// None for statements that answer without rows.
    pub fn columns(&self) -> Option<&[Column]> {
        match self {
            Self::Query(query) => Some(&query.columns),
            Self::Empty => None,
            Self::Command { columns, .. } => columns.as_deref(),
        }
    }
}

/// How a value travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    Binary,
}

/// A statement with its parameters, executed in parts; or a cursor, which is the same by SQL.
pub struct Portal {
    pub prepared: Arc<Prepared>,
    pub params: Vec<ScalarValue>,
    /// One for each column.
    pub formats: Vec<Format>,
    pub state: PortalState,
    /// What DECLARE said; None for a portal of the protocol.
    pub(super) declared: Option<CursorOptions>,
    /// Of a cursor WITH HOLD: its transaction has ended well, and its rows are in memory.
    pub(super) held: bool,
    /// The number of savepoints that stood when it was made.
    pub(super) depth: usize,
    pub(super) created_at: DateTime<Utc>,
}

impl Portal {
    /// One that Bind makes.
    pub fn new(prepared: Arc<Prepared>, params: Vec<ScalarValue>, formats: Vec<Format>) -> Self {
        let state = PortalState::New;
        let (declared, created_at) = (None, Utc::now());
        Self { prepared, params, formats, state, declared, held: false, depth: 0, created_at }
    }

    /// As `pg_cursors` shows it.
    pub(super) fn seen(&self, name: &str) -> SeenCursor {
        let declared = |said: fn(CursorOptions) -> bool| self.declared.is_some_and(said);
        SeenCursor {
            name: name.to_owned(),
            text: self.prepared.text().map(ToString::to_string).unwrap_or_default(),
            is_holdable: declared(|options| options.hold),
            is_binary: declared(|options| options.binary),
            is_scrollable: declared(|options| options.scroll),
            created_at: self.created_at,
        }
    }

    /// One that DECLARE makes.
    pub(super) fn declared(
        query: Arc<PreparedQuery>,
        cursor: SharedCursor,
        options: CursorOptions,
    ) -> Self {
        let format = if options.binary { Format::Binary } else { Format::Text };
        let formats = vec![format; query.columns.len()];
        let portal = Self::new(Arc::new(Prepared::Query(query)), Vec::new(), formats);
        Self { state: PortalState::Running(cursor), declared: Some(options), ..portal }
    }

    /// Whether it stays when it has given all its rows: a cursor may go back.
    pub fn is_cursor(&self) -> bool {
        self.declared.is_some()
    }

    /// How much its parameters keep.
    pub(super) fn param_bytes(&self) -> usize {
        self.params.iter().map(ScalarValue::size).sum()
    }
}

pub enum PortalState {
    New,
    Running(SharedCursor),
    /// It has answered; another Execute gives no more rows.
    Done {
        tag: String,
    },
}
