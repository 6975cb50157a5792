//! Rows on their way to a client, and the place in them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::arrow::array::{RecordBatch, UInt64Array};
use datafusion::arrow::compute::take_record_batch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::error::SessionError;
use super::rows;
use crate::error::QueryError;
use crate::sql::parse::{Direction, Rows};

/// Rows that one session may keep in memory for cursors that go back or outlive their transaction.
pub const KEPT_ROWS_BYTES_MAX: usize = 64 << 20;

/// A stream of rows, the batch of it that has been sent in part, and the place in Postgres's
/// sense: before the first row, on one, or after the last.
pub struct Cursor {
    schema: SchemaRef,
    /// None when it has ended.
    batches: Option<SendableRecordBatchStream>,
    /// A batch and how many of its rows are sent.
    current: Option<(RecordBatch, usize)>,
    kept: Option<Kept>,
    /// Rows up to the present one; 0 before the first.
    position: u64,
    /// After the last row.
    at_end: bool,
    /// A FETCH has begun and not ended: where it stopped, nobody knows.
    busy: bool,
    /// It may be read backwards.
    scrolls: bool,
    /// The word of the command tag.
    pub command: &'static str,
    /// Stops the statement wherever it runs.
    pub cancel: CancellationToken,
}

/// Batches that were read and may be read again.
struct Kept {
    batches: Vec<RecordBatch>,
    /// The number of rows before each batch.
    starts: Vec<u64>,
    /// How many of the batches have been `current`.
    read: usize,
    bytes: usize,
    /// What the whole session keeps.
    budget: Arc<AtomicUsize>,
}

impl fmt::Debug for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, position, at_end, .. } = self;
        write!(formatter, "Cursor({command} at {position}, end: {at_end})")
    }
}

impl Cursor {
    pub fn new(
        batches: SendableRecordBatchStream,
        command: &'static str,
        cancel: CancellationToken,
    ) -> Self {
        Self {
            schema: batches.schema(),
            batches: Some(batches),
            current: None,
            kept: None,
            position: 0,
            at_end: false,
            busy: false,
            scrolls: false,
            command,
            cancel,
        }
    }

    /// A cursor that can go back: what it has read stays in memory, within the session's budget.
    pub(super) fn with_scroll(self, budget: Arc<AtomicUsize>) -> Self {
        Self { kept: Some(Kept::new(0, budget)), scrolls: true, ..self }
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
            if let Some(batch) = self.kept.as_mut().and_then(Kept::next) {
                self.current = Some((batch, 0));
                continue;
            }
            let Some(batch) = self.pull().await? else {
                self.at_end = true;
                return Ok(None);
            };
            if let Some(kept) = &mut self.kept {
                kept.push(batch.clone())?;
                kept.read += 1;
            }
            self.current = Some((batch, 0));
        }
    }

    async fn pull(&mut self) -> Result<Option<RecordBatch>, QueryError> {
        let Some(batches) = &mut self.batches else { return Ok(None) };
        match batches.next().await {
            Some(Ok(batch)) => Ok(Some(batch)),
            Some(Err(error)) => {
                self.batches = None;
                match self.cancel.is_cancelled() {
                    true => Err(SessionError::Cancelled.into()),
                    false => Err(rows::stream_error(error)),
                }
            }
            None => {
                self.batches = None;
                Ok(None)
            }
        }
    }

    /// Notes that rows of the batch of [`Cursor::peek`] were sent.
    pub fn advance(&mut self, rows: usize) {
        if let Some((_, sent)) = &mut self.current {
            *sent += rows;
        }
        self.position += rows as u64;
    }

    /// Rows up to the present one.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// `SELECT 5`; EXPLAIN and SHOW have no count.
    pub fn tag(&self, rows: u64) -> String {
        match self.command {
            "SELECT" | "FETCH" => format!("{} {rows}", self.command),
            command => command.to_owned(),
        }
    }

    /// Reads the rest into memory, so that it no longer needs what runs for it. Rows before the
    /// place stay only if they are kept already.
    ///
    /// # Errors
    /// 53400 over the session's budget; what the stream ends with.
    pub(super) async fn hold(&mut self, budget: Arc<AtomicUsize>) -> Result<(), QueryError> {
        if self.kept.is_none() {
            let mut kept = Kept::new(self.position, budget);
            if let Some((batch, sent)) = self.current.take() {
                kept.push(batch.slice(sent, batch.num_rows() - sent))?;
            }
            self.kept = Some(kept);
        }
        while let Some(batch) = self.pull().await? {
            if let Some(kept) = &mut self.kept {
                kept.push(batch)?;
            }
        }
        Ok(())
    }

    // ---- steps of FETCH and MOVE

    /// The next of at most `left` rows, forward. None when there are no more, or none are wanted.
    async fn forward(&mut self, left: &mut Rows) -> Result<Option<RecordBatch>, QueryError> {
        if self.at_end || *left == Rows::Count(0) {
            return Ok(None);
        }
        let Some((batch, sent)) = self.peek().await? else { return Ok(None) };
        let rows = take_from(left, batch.num_rows() - sent);
        self.advance(rows);
        Ok(Some(batch.slice(sent, rows)))
    }

    /// As [`Cursor::forward`], the other way: the row before the present one comes first.
    fn backward(&mut self, left: &mut Rows) -> Result<Option<RecordBatch>, QueryError> {
        if *left == Rows::Count(0) || self.position == 0 {
            return Ok(None);
        }
        if std::mem::take(&mut self.at_end) {
            self.position += 1;
        }
        let before = self.position - 1;
        let Some(kept) = &mut self.kept else { return Err(SessionError::ForwardOnly.into()) };
        let Some((batch, row)) = before.checked_sub(1).and_then(|row| kept.find(row)) else {
            self.move_to(0);
            return Ok(None);
        };
        let rows = take_from(left, row + 1);
        let taken: UInt64Array = (row + 1 - rows..=row).rev().map(|row| row as u64).collect();
        let batch = take_record_batch(&batch, &taken)
            .map_err(|error| rows::stream_error(DataFusionError::from(error)))?;
        self.move_to(self.position - rows as u64);
        Ok(Some(batch))
    }

    /// To a row that was read, or before the first.
    fn move_to(&mut self, position: u64) {
        self.position = position;
        self.at_end = false;
        self.current = None;
        if let Some(kept) = &mut self.kept {
            self.current = kept.go_to(position);
        }
    }

    /// What FETCH does, step by step.
    ///
    /// Source: PostgreSQL `src/backend/tcop/pquery.c`, `DoPortalRunFetch`.
    fn steps(&self, direction: Direction) -> Result<VecDeque<Step>, QueryError> {
        let on_row = self.position > 0 && !self.at_end;
        let one = Rows::Count(1);
        let steps = match direction {
            // The present row once more.
            Direction::Forward(Rows::Count(0)) | Direction::Relative(0) => match on_row {
                true => vec![Step::hidden(Way::Back, 1), Step::shown(Way::On, one)],
                false => vec![],
            },
            Direction::Forward(rows) => vec![Step::shown(Way::On, rows)],
            Direction::Backward(rows) => vec![Step::shown(Way::Back, rows)],
            Direction::Relative(count @ 1..) => {
                vec![Step::hidden(Way::On, count.unsigned_abs() - 1), Step::shown(Way::On, one)]
            }
            Direction::Relative(count) => {
                vec![Step::hidden(Way::Back, count.unsigned_abs() - 1), Step::shown(Way::Back, one)]
            }
            Direction::Absolute(0) => vec![Step::rewind()],
            Direction::Absolute(count @ 1..) => self.steps_to(count.unsigned_abs()),
            Direction::Absolute(count) => vec![
                Step { way: Way::On, left: Rows::All, shown: false },
                Step::hidden(Way::Back, count.unsigned_abs() - 1),
                Step::shown(Way::Back, one),
            ],
        };
        let goes_back = |step: &Step| match step.way {
            Way::On => false,
            Way::Back => step.left != Rows::Count(0),
            Way::Rewind => self.position > 0 || self.at_end,
        };
        if steps.iter().any(goes_back) && !self.scrolls {
            return Err(SessionError::ForwardOnly.into());
        }
        Ok(steps.into())
    }

    /// To the row of that number, counted from 1: from the beginning, or from here if that is
    /// nearer.
    fn steps_to(&self, row: u64) -> Vec<Step> {
        let shown = Step::shown(Way::On, Rows::Count(1));
        if row - 1 <= self.position / 2 {
            return vec![Step::rewind(), Step::hidden(Way::On, row - 1), shown];
        }
        let here = self.position + u64::from(self.at_end);
        match here.checked_sub(row) {
            Some(back) => vec![Step::hidden(Way::Back, back + 1), shown],
            None => vec![Step::hidden(Way::On, row - here - 1), shown],
        }
    }
}

/// Takes up to `rows` off those that are still wanted; gives how many.
fn take_from(left: &mut Rows, rows: usize) -> usize {
    match left {
        Rows::All => rows,
        Rows::Count(count) => {
            let taken = usize::try_from(*count).map_or(rows, |count| rows.min(count));
            *count -= taken as u64;
            taken
        }
    }
}

impl Kept {
    fn new(start: u64, budget: Arc<AtomicUsize>) -> Self {
        // The first batch begins there, though there may never be one.
        let starts = vec![start];
        Self { batches: Vec::new(), starts, read: 0, bytes: 0, budget }
    }

    fn push(&mut self, batch: RecordBatch) -> Result<(), QueryError> {
        let bytes = batch.get_array_memory_size();
        let before = self.budget.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        if before + bytes > KEPT_ROWS_BYTES_MAX {
            return Err(SessionError::TooManyRowsKept { bytes_max: KEPT_ROWS_BYTES_MAX }.into());
        }
        let start = self.starts.last().copied().unwrap_or(0);
        self.starts.push(start + batch.num_rows() as u64);
        self.batches.push(batch);
        Ok(())
    }

    fn next(&mut self) -> Option<RecordBatch> {
        let batch = self.batches.get(self.read)?.clone();
        self.read += 1;
        Some(batch)
    }

    /// The batch of a row counted from 0, and its number in there.
    fn find(&self, row: u64) -> Option<(RecordBatch, usize)> {
        let index = self.starts.partition_point(|start| *start <= row).checked_sub(1)?;
        let first = self.starts.get(index)?;
        Some((self.batches.get(index)?.clone(), usize::try_from(row - first).ok()?))
    }

    /// Goes on behind that many rows: the batch to read next, with how much of it is behind.
    fn go_to(&mut self, rows: u64) -> Option<(RecordBatch, usize)> {
        self.read = self.starts.partition_point(|start| *start <= rows).min(self.batches.len());
        self.find(rows)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.budget.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A part of a FETCH: rows in one way, shown to the client or passed over.
#[derive(Debug, Clone, Copy)]
struct Step {
    way: Way,
    left: Rows,
    shown: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    On,
    Back,
    /// To before the first row.
    Rewind,
}

impl Step {
    fn shown(way: Way, left: Rows) -> Self {
        Self { way, left, shown: true }
    }

    fn hidden(way: Way, count: u64) -> Self {
        Self { way, left: Rows::Count(count), shown: false }
    }

    fn rewind() -> Self {
        Self { way: Way::Rewind, left: Rows::Count(0), shown: false }
    }
}

/// A cursor that portals and the statements that fetch from it share. Only one of them reads at a
/// time.
#[derive(Debug, Clone)]
pub struct SharedCursor {
    pub cancel: CancellationToken,
    cursor: Arc<Mutex<Cursor>>,
}

impl SharedCursor {
    pub fn new(cursor: Cursor) -> Self {
        Self { cancel: cursor.cancel.clone(), cursor: Arc::new(Mutex::new(cursor)) }
    }

    pub async fn lock(&self) -> tokio::sync::MutexGuard<'_, Cursor> {
        self.cursor.lock().await
    }

    /// The rows of a FETCH, read as they are asked for.
    ///
    /// # Errors
    /// 55000 where it would go back and the cursor can't.
    pub(super) async fn fetch(
        &self,
        name: &str,
        direction: Direction,
    ) -> Result<Fetch, QueryError> {
        let mut cursor = self.cursor.lock().await;
        if std::mem::replace(&mut cursor.busy, true) {
            return Err(SessionError::PortalDone { name: name.to_owned() }.into());
        }
        let steps = cursor.steps(direction)?;
        Ok(Fetch { cursor: self.clone(), schema: cursor.schema.clone(), steps })
    }

    /// Whether the present place is a row; what MOVE counts where it doesn't move.
    pub(super) async fn is_on_row(&self) -> bool {
        let cursor = self.cursor.lock().await;
        cursor.position > 0 && !cursor.at_end
    }
}

/// A FETCH on its way.
pub(super) struct Fetch {
    cursor: SharedCursor,
    schema: SchemaRef,
    steps: VecDeque<Step>,
}

impl Fetch {
    /// The next rows to show; None at the end.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>, QueryError> {
        let mut cursor = self.cursor.lock().await;
        while let Some(step) = self.steps.front_mut() {
            let batch = match step.way {
                Way::On => cursor.forward(&mut step.left).await?,
                Way::Back => cursor.backward(&mut step.left)?,
                Way::Rewind => {
                    cursor.move_to(0);
                    None
                }
            };
            match batch {
                Some(batch) if step.shown => {
                    // A client that takes exactly as many rows doesn't ask whether there are more.
                    if step.left == Rows::Count(0) {
                        self.steps.clear();
                        cursor.busy = false;
                    }
                    return Ok(Some(batch));
                }
                Some(_) => {}
                None => drop(self.steps.pop_front()),
            }
        }
        cursor.busy = false;
        Ok(None)
    }

    pub(super) fn into_stream(self) -> SendableRecordBatchStream {
        let schema = self.schema.clone();
        let stream = futures::stream::try_unfold(self, |mut fetch| async move {
            let external = |error: QueryError| DataFusionError::External(Box::new(error));
            Ok(fetch.next().await.map_err(external)?.map(|batch| (batch, fetch)))
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, stream))
    }
}
