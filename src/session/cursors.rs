//! DECLARE, FETCH, MOVE, CLOSE and COPY; cursors are portals with a name given by SQL.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast;
use tokio_util::sync::CancellationToken;

use super::cursor::{Cursor, SharedCursor};
use super::engine::{Column, PreparedQuery, QueryText};
use super::error::SessionError;
use super::portal::{Format, Portal, PortalState};
use super::{Answer, CopyOut, Pace, Rows, Session};
use crate::error::QueryError;
use crate::sql::parse::{self as sql, CopyOptions, CursorOptions, Direction};

impl Session {
    /// A query without parameters.
    pub(super) async fn prepare_plain(
        &self,
        query: &ast::Statement,
        text: &Arc<str>,
    ) -> Result<Arc<PreparedQuery>, QueryError> {
        let query = QueryText { statement: query.clone(), text: text.clone() };
        let prepared = self.engine.prepare(&query, &[], &self.context()).await?;
        match prepared.params.is_empty() {
            true => Ok(prepared),
            false => Err(SessionError::UnknownParameter { number: 1 }.into()),
        }
    }

    /// Begins the query at once: the cursor shows the data as they are at DECLARE.
    pub(super) async fn declare(
        &mut self,
        name: &str,
        options: CursorOptions,
        prepared: &Arc<PreparedQuery>,
        params: Vec<ScalarValue>,
    ) -> Result<Answer, QueryError> {
        if name.is_empty() {
            let message = "invalid cursor name: must not be empty".to_owned();
            return Err(SessionError::BadResult { sqlstate: "34000", message }.into());
        }
        if params.len() < prepared.params.len() {
            return Err(SessionError::UnknownParameter { number: params.len() + 1 }.into());
        }
        if !options.hold && !self.transaction.is_block() && !self.in_batch {
            return Err(SessionError::NoTransaction { command: "DECLARE CURSOR" }.into());
        }
        self.check_new_portal(name)?;
        // Not the statement's own: what stops DECLARE or a FETCH doesn't stop the cursor.
        let cancel = CancellationToken::new();
        let rows = self.query(prepared, params, cancel, Pace::InParts).await?;
        let mut cursor = rows.cursor;
        if options.scroll {
            cursor = cursor.with_scroll(self.kept_bytes.clone());
        }
        let mut held = false;
        if options.hold && !self.transaction.is_block() {
            // Its transaction ends with this message.
            cursor.hold(self.kept_bytes.clone()).await?;
            held = true;
        }
        let portal = Portal::declared(Arc::clone(prepared), SharedCursor::new(cursor), options);
        self.add_portal(name, Portal { held, ..portal })?;
        Ok(Answer::Done("DECLARE CURSOR".to_owned()))
    }

    /// The cursor of that name. One of the protocol that has not begun is begun.
    async fn cursor(&mut self, name: &str) -> Result<Option<SharedCursor>, QueryError> {
        let unknown = || QueryError::from(SessionError::UnknownCursor { name: name.to_owned() });
        let portal = self.portals.get_mut(name).ok_or_else(unknown)?;
        let (prepared, params) = match &portal.state {
            PortalState::Running(cursor) => return Ok(Some(cursor.clone())),
            PortalState::Done { .. } => return Ok(None),
            PortalState::New => (portal.prepared.clone(), std::mem::take(&mut portal.params)),
        };
        let cancel = CancellationToken::new();
        let super::Prepared::Query(query) = prepared.as_ref() else {
            return Err(SessionError::PortalDone { name: name.to_owned() }.into());
        };
        let rows = self.query(query, params, cancel, Pace::InParts).await?;
        let cursor = SharedCursor::new(rows.cursor);
        if let Some(portal) = self.portals.get_mut(name) {
            portal.state = PortalState::Running(cursor.clone());
        }
        Ok(Some(cursor))
    }

    pub(super) async fn fetch(
        &mut self,
        name: &str,
        direction: Direction,
        cancel: CancellationToken,
    ) -> Result<Answer, QueryError> {
        let cursor = self.cursor(name).await?;
        let portal = self.portal(name)?;
        let columns = portal.prepared.columns().unwrap_or_default().to_vec();
        let binary = portal.declared.is_some_and(|options| options.binary);
        let batches = match cursor {
            Some(cursor) => cursor.fetch(name, direction).await?.into_stream(),
            None => super::rows::no_rows(),
        };
        let cursor = Cursor::new(batches, "FETCH", cancel);
        let format = if binary { Format::Binary } else { Format::Text };
        Ok(Answer::Rows(Rows { columns, cursor, format }))
    }

    pub(super) async fn move_cursor(
        &mut self,
        name: &str,
        direction: Direction,
    ) -> Result<Answer, QueryError> {
        let mut rows = 0;
        if let Some(cursor) = self.cursor(name).await? {
            if matches!(direction, Direction::Forward(sql::Rows::Count(0)) | Direction::Relative(0))
            {
                return Ok(Answer::Done(format!("MOVE {}", i32::from(cursor.is_on_row().await))));
            }
            let mut fetch = cursor.fetch(name, direction).await?;
            while let Some(batch) = fetch.next().await? {
                rows += batch.num_rows();
            }
        }
        Ok(Answer::Done(format!("MOVE {rows}")))
    }

    /// None: all of them, and the portals of the protocol too.
    pub(super) fn close_cursor(&mut self, name: Option<&str>) -> Result<Answer, QueryError> {
        let Some(name) = name else {
            self.portals.clear();
            return Ok(Answer::Done("CLOSE CURSOR ALL".to_owned()));
        };
        match self.portals.remove(name) {
            Some(_) => Ok(Answer::Done("CLOSE CURSOR".to_owned())),
            None => Err(SessionError::UnknownCursor { name: name.to_owned() }.into()),
        }
    }

    /// The columns that FETCH will give; none of a cursor that isn't there, which is told when it
    /// runs.
    pub(super) fn fetched_columns(&self, name: &str) -> Option<Vec<Column>> {
        let portal = self.portals.get(name)?;
        portal.prepared.columns().map(<[Column]>::to_vec)
    }

    /// Before a transaction ends well: cursors WITH HOLD read the rest of their rows.
    pub(super) async fn hold_cursors(&mut self) -> Result<(), QueryError> {
        let budget: &Arc<AtomicUsize> = &self.kept_bytes;
        for portal in self.portals.values_mut() {
            let holds = portal.declared.is_some_and(|options| options.hold) && !portal.held;
            if let (true, PortalState::Running(cursor)) = (holds, &portal.state) {
                cursor.lock().await.hold(budget.clone()).await?;
                portal.held = true;
                portal.depth = 0;
            }
        }
        Ok(())
    }

    /// What ends with a transaction: everything but cursors that an earlier or this one has held.
    pub(super) fn close_transaction_portals(&mut self) {
        self.portals.retain(|_, portal| portal.held);
    }

    /// What ends with an error or a rollback to a savepoint: portals made since.
    pub(super) fn close_portals_since(&mut self, savepoints: usize) {
        self.portals.retain(|_, portal| portal.held || portal.depth < savepoints);
    }

    /// Portals made since a savepoint belong to what was before it, when it is released.
    pub(super) fn hand_portals_over(&mut self, savepoints: usize) {
        for portal in self.portals.values_mut() {
            portal.depth = portal.depth.min(savepoints);
        }
    }

    // ---- COPY

    pub(super) async fn copy_out(
        &mut self,
        query: &ast::Statement,
        options: &CopyOptions,
        text: &Arc<str>,
        cancel: CancellationToken,
    ) -> Result<Answer, QueryError> {
        let prepared = self.prepare_plain(query, text).await?;
        let rows = self.query(&prepared, Vec::new(), cancel, Pace::AtOnce).await?;
        Ok(Answer::Copy(CopyOut {
            columns: rows.columns,
            cursor: rows.cursor,
            options: options.clone(),
        }))
    }
}
