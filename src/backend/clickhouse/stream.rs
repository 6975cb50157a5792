//! One statement's answer as a stream of batches, decoded while it arrives.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arrow::ipc::reader::StreamDecoder;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::buffer::Buffer;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use futures::TryFutureExt;
use tokio::sync::mpsc;

use super::client::{Answer, Connection};
use super::convert::convert;
use super::errors::{Statement, backend_error, is_network};
use crate::backend::guard::{AbortOnDrop, BATCHES_AHEAD, Guarded};
use crate::backend::{BackendError, Run};

/// A statement with the columns that it answers with, by position.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) sql: String,
    pub(super) schema: SchemaRef,
    pub(super) tables: Vec<String>,
}

/// Sends a statement and gives its rows as they come, a few batches ahead of the reader at most.
pub(super) async fn stream(
    connection: &Connection,
    ask: Ask,
    query_id: String,
    run: &Run,
) -> Result<SendableRecordBatchStream, BackendError> {
    let started = Instant::now();
    let asked = connection.ask(&ask.sql, &query_id, &ask.tables, run).await;
    let answer = asked.inspect_err(|_| run.stats.add(0, 0, started.elapsed()))?;
    let read = Arc::new(ReadSoFar::default());
    let counted = Arc::clone(&read);
    let schema = Arc::clone(&ask.schema);
    let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
    let reader = Reader { connection: connection.clone(), ask, query_id, read };
    let work = tokio::spawn(reader.read(answer, sender).map_err(DataFusionError::from));
    let cost = Box::new(move || counted.get());
    Ok(Box::pin(Guarded::new(schema, batches, work, run, started, cost)))
}

/// What the server says that it has read.
#[derive(Debug, Default)]
struct ReadSoFar {
    rows: AtomicU64,
    bytes: AtomicU64,
}

impl ReadSoFar {
    fn get(&self) -> (u64, u64) {
        (self.rows.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    fn at_least(&self, rows: u64, bytes: u64) {
        self.rows.fetch_max(rows, Ordering::Relaxed);
        self.bytes.fetch_max(bytes, Ordering::Relaxed);
    }
}

/// The task that decodes. When it is aborted, the answer's guard is dropped with it and kills the
/// statement in the server.
struct Reader {
    connection: Connection,
    ask: Ask,
    query_id: String,
    read: Arc<ReadSoFar>,
}

impl Reader {
    async fn read(
        self,
        answer: Answer,
        batches: mpsc::Sender<RecordBatch>,
    ) -> Result<(), BackendError> {
        let Answer { mut cursor, first, mut kill } = answer;
        if let Some(summary) = cursor.summary() {
            let (rows, bytes) = (summary.read_rows(), summary.read_bytes());
            self.read.at_least(rows.unwrap_or(0), bytes.unwrap_or(0));
        }
        let _samples = AbortOnDrop(tokio::spawn(sample(
            self.connection.clone(),
            self.query_id.clone(),
            Arc::clone(&self.read),
        )));
        let idle = self.connection.options().idle_timeout;
        let mut rows_received = 0;
        let mut decoder = StreamDecoder::new();
        let mut piece = first;
        while let Some(bytes) = piece {
            let mut buffer = Buffer::from(bytes);
            // A piece may hold the end of one batch and the beginning of the next.
            while !buffer.is_empty() {
                let decoded = decoder.decode(&mut buffer).map_err(|error| self.broken(&error))?;
                let Some(batch) = decoded else { continue };
                rows_received += batch.num_rows() as u64;
                self.read.at_least(rows_received, cursor.received_bytes());
                if batches.send(convert(&batch, &self.ask.schema)?).await.is_err() {
                    return Ok(()); // nobody listens any more
                }
            }
            piece = match tokio::time::timeout(idle, cursor.next()).await {
                Ok(Ok(piece)) => piece,
                Ok(Err(error)) => {
                    if !is_network(&error) {
                        kill.done(); // the server itself said that it is over
                    }
                    let tables = &self.ask.tables;
                    return Err(backend_error(
                        &error,
                        Statement { query_id: &self.query_id, tables },
                    ));
                }
                Err(_) => {
                    tracing::warn!(query_id = self.query_id, "clickhouse fell silent");
                    return Err(BackendError::Timeout);
                }
            };
        }
        decoder.finish().map_err(|error| self.broken(&error))?;
        kill.done();
        Ok(())
    }

    /// Bytes that aren't an Arrow stream, or not all of one.
    fn broken(&self, error: &ArrowError) -> BackendError {
        tracing::error!(query_id = self.query_id, %error, "answer of clickhouse can't be decoded");
        BackendError::Internal("an answer of clickhouse can't be decoded".to_owned())
    }
}

/// How often a running statement's cost is asked for.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// Keeps the count of a long answer up to date. The summary comes with the head of the answer: all
/// of an aggregate's cost, but only the beginning of a stream's.
async fn sample(connection: Connection, query_id: String, read: Arc<ReadSoFar>) {
    loop {
        tokio::time::sleep(SAMPLE_EVERY).await;
        let sql = "SELECT read_rows, read_bytes FROM system.processes WHERE query_id = ?";
        match connection.look_up::<(u64, u64)>(sql, &[&query_id]).await {
            Ok(found) => found.iter().for_each(|(rows, bytes)| read.at_least(*rows, *bytes)),
            Err(_) => return, // logged; the answer itself goes on
        }
    }
}
