//! The stream that a session reads: it ends with the query's cancellation or deadline, whatever the
//! backend is doing just then.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::RecordBatchStream;
use futures::Stream;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::{BackendError, Run};

/// How many batches may wait between the task that makes them and the session that sends them:
/// enough to keep both busy, few enough that a slow client holds no memory to speak of.
pub(super) const BATCHES_AHEAD: usize = 2;

/// What the work has read so far: rows and bytes.
pub(super) type Cost = Box<dyn FnOnce() -> (u64, u64) + Send>;

/// Batches made by a task. An error is the last item; those of the guard itself are
/// [`BackendError`]s inside [`DataFusionError::External`]. Counts what the work cost when it ends or
/// is dropped.
///
/// Dropping it aborts the task.
pub(super) struct Guarded {
    schema: SchemaRef,
    batches: mpsc::Receiver<RecordBatch>,
    /// None: it is over.
    work: Option<JoinHandle<Result<()>>>,
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
    deadline: Option<Pin<Box<Sleep>>>,
    run: Run,
    started: Instant,
    cost: Option<Cost>,
}

impl Guarded {
    pub(super) fn new(
        schema: SchemaRef,
        batches: mpsc::Receiver<RecordBatch>,
        work: JoinHandle<Result<()>>,
        run: &Run,
        started: Instant,
        cost: Cost,
    ) -> Self {
        Self {
            schema,
            batches,
            work: Some(work),
            cancelled: Box::pin(run.cancel.clone().cancelled_owned()),
            deadline: run.deadline.map(|at| Box::pin(tokio::time::sleep_until(at.into()))),
            run: run.clone(),
            started,
            cost: Some(cost),
        }
    }

    /// Lets go of the work; counts it, once.
    fn end(&mut self) {
        if let Some(work) = self.work.take() {
            work.abort();
        }
        if let Some(cost) = self.cost.take() {
            let (rows, bytes) = cost();
            self.run.stats.add(rows, bytes, self.started.elapsed());
        }
    }

    fn fail(&mut self, error: impl Into<DataFusionError>) -> Poll<Option<Result<RecordBatch>>> {
        self.end();
        Poll::Ready(Some(Err(error.into())))
    }
}

impl Stream for Guarded {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(work) = &mut this.work else { return Poll::Ready(None) };
        if this.cancelled.as_mut().poll(context).is_ready() {
            return this.fail(BackendError::Cancelled);
        }
        if let Some(deadline) = &mut this.deadline
            && deadline.as_mut().poll(context).is_ready()
        {
            return this.fail(BackendError::Timeout);
        }
        if let Some(batch) = ready!(this.batches.poll_recv(context)) {
            return Poll::Ready(Some(Ok(batch)));
        }
        // The rows are complete only if the task says so.
        match ready!(Pin::new(work).poll(context)) {
            Ok(Ok(())) => {
                this.end();
                Poll::Ready(None)
            }
            Ok(Err(error)) => this.fail(error),
            Err(error) => {
                tracing::error!(query_id = this.run.query_id, %error, "query task broke off");
                this.fail(BackendError::Internal("a query task broke off".to_owned()))
            }
        }
    }
}

impl RecordBatchStream for Guarded {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.end();
    }
}

/// A task that nobody waits for any more is of no use.
pub(super) struct AbortOnDrop<T>(pub(super) JoinHandle<T>);

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
