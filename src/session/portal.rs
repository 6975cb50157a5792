//! Prepared statements and portals: what the extended protocol holds between messages.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::engine::{Column, PreparedQuery};
use super::error::SessionError;
use super::rows;
use crate::error::QueryError;
use crate::sql::parse::Statement;
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
        text: Arc<str>,
    },
}

impl Prepared {
    pub fn params(&self) -> &[PgType] {
        match self {
            Self::Query(query) => &query.params,
            Self::Empty | Self::Command { .. } => &[],
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

/// A statement with its parameters, executed in parts.
pub struct Portal {
    pub prepared: Arc<Prepared>,
    pub params: Vec<ScalarValue>,
    /// One for each column.
    pub formats: Vec<Format>,
    pub state: PortalState,
}

impl Portal {
    /// How much its parameters keep.
    pub(super) fn param_bytes(&self) -> usize {
        self.params.iter().map(ScalarValue::size).sum()
    }
}

pub enum PortalState {
    New,
    Running(Cursor),
    /// It has answered; another Execute gives no more rows.
    Done {
        tag: String,
    },
}

/// Rows on their way: a stream, and the batch of it that has been sent in part.
pub struct Cursor {
    batches: SendableRecordBatchStream,
    /// A batch and how many of its rows are sent.
    current: Option<(RecordBatch, usize)>,
    /// The word of the command tag.
    pub command: &'static str,
    pub rows_sent: u64,
    /// Stops the statement wherever it runs.
    pub cancel: CancellationToken,
}

impl Cursor {
    pub fn new(
        batches: SendableRecordBatchStream,
        command: &'static str,
        cancel: CancellationToken,
    ) -> Self {
        Self { batches, current: None, command, rows_sent: 0, cancel }
    }

    /// The next rows that are not sent yet: a batch, and from which row. None at the end.
    ///
    /// # Errors
    /// What the stream ended with, as the client may see it.
    pub async fn peek(&mut self) -> Result<Option<(RecordBatch, usize)>, QueryError> {
        loop {
            if let Some((batch, sent)) = &self.current
                && *sent < batch.num_rows()
            {
                return Ok(Some((batch.clone(), *sent)));
            }
            self.current = None;
            match self.batches.next().await {
                Some(Ok(batch)) => self.current = Some((batch, 0)),
                Some(Err(_)) if self.cancel.is_cancelled() => {
                    return Err(SessionError::Cancelled.into());
                }
                Some(Err(error)) => return Err(rows::stream_error(error)),
                None => return Ok(None),
            }
        }
    }

    /// Notes that rows of the batch of [`Cursor::peek`] were sent.
    pub fn advance(&mut self, rows: usize) {
        if let Some((_, sent)) = &mut self.current {
            *sent += rows;
        }
        self.rows_sent += rows as u64;
    }

    /// `SELECT 5`; EXPLAIN and SHOW have no count.
    pub fn tag(&self, rows: u64) -> String {
        match self.command {
            "SELECT" => format!("SELECT {rows}"),
            command => command.to_owned(),
        }
    }
}
