//! One computation of an answer that several statements wait for.
//!
//! The computation is a task of its own, so that it outlives the statement that began it. Whoever
//! waits holds a [`Seat`]; when the last one is given up before the end, the computation is
//! cancelled, and with it the backend's query.
//!
//! Batches are kept until the answer is whole or too large to keep. The statement that began it is
//! sent them as they come; when the answer turns out too large it gets the rest from the task, at
//! its own pace, and the others compute for themselves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::arrow::array::RecordBatch;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Batches between the task and a slow reader of an answer that is too large to keep.
const BATCHES_IN_FLIGHT_MAX: usize = 4;

/// How far a computation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Running,
    Complete,
    Failed,
    /// The rest goes to the statement that began it, through a channel.
    TooLarge,
}

#[derive(Debug)]
struct Shared {
    batches: Vec<RecordBatch>,
    bytes: usize,
    error: Option<Arc<DataFusionError>>,
    seats: usize,
    rest: Option<mpsc::Receiver<Result<RecordBatch>>>,
}

/// A running computation.
#[derive(Debug)]
pub(crate) struct Flight {
    shared: Mutex<Shared>,
    /// Number of batches so far, and the progress.
    progress: watch::Sender<(usize, Progress)>,
    cancel: CancellationToken,
}

impl Flight {
    pub(crate) fn new(cancel: CancellationToken) -> Arc<Self> {
        let shared = Shared { batches: Vec::new(), bytes: 0, error: None, seats: 0, rest: None };
        let (progress, _) = watch::channel((0, Progress::Running));
        Arc::new(Self { shared: Mutex::new(shared), progress, cancel })
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the computation.
    pub(crate) fn token(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// A place among those who wait; None where the computation was given up already.
    pub(crate) fn seat(self: &Arc<Self>) -> Option<Seat> {
        let mut shared = self.shared();
        if self.cancel.is_cancelled() {
            return None;
        }
        shared.seats += 1;
        Some(Seat { flight: Arc::clone(self) })
    }

    /// Runs the computation to its end; gives the batches and their bytes where all were kept.
    pub(crate) async fn run(
        &self,
        compute: impl Future<Output = Result<SendableRecordBatchStream>>,
        bytes_max: usize,
    ) -> Option<(Vec<RecordBatch>, usize)> {
        let computed = tokio::select! {
            computed = compute => computed,
            () = self.cancel.cancelled() => return None,
        };
        let mut stream = match computed {
            Ok(stream) => stream,
            Err(error) => {
                self.fail(error);
                return None;
            }
        };
        loop {
            let next = tokio::select! {
                next = stream.next() => next,
                () = self.cancel.cancelled() => return None,
            };
            match next {
                Some(Ok(batch)) => {
                    if !self.keep(batch, bytes_max) {
                        self.forward(stream).await;
                        return None;
                    }
                }
                Some(Err(error)) => {
                    self.fail(error);
                    return None;
                }
                None => {
                    let shared = self.shared();
                    return Some((shared.batches.clone(), shared.bytes));
                }
            }
        }
    }

    fn fail(&self, error: DataFusionError) {
        self.shared().error = Some(Arc::new(error));
        self.progress.send_modify(|(_, progress)| *progress = Progress::Failed);
    }

    /// Tells the readers that the answer is whole; called once it can be found in the cache.
    pub(crate) fn complete(&self) {
        self.progress.send_modify(|(_, progress)| *progress = Progress::Complete);
    }

    /// Notes a batch; false where the answer has become too large.
    fn keep(&self, batch: RecordBatch, bytes_max: usize) -> bool {
        let mut shared = self.shared();
        shared.bytes += batch.get_array_memory_size();
        shared.batches.push(batch);
        let (count, fits) = (shared.batches.len(), shared.bytes <= bytes_max);
        drop(shared);
        self.progress.send_modify(|(batches, _)| *batches = count);
        fits
    }

    /// Hands the rest of a large answer to its first reader, at that reader's pace.
    async fn forward(&self, mut stream: SendableRecordBatchStream) {
        let (sender, receiver) = mpsc::channel(BATCHES_IN_FLIGHT_MAX);
        self.shared().rest = Some(receiver);
        self.progress.send_modify(|(_, progress)| *progress = Progress::TooLarge);
        while let Some(batch) = stream.next().await {
            let ended = tokio::select! {
                sent = sender.send(batch) => sent.is_err(),
                () = self.cancel.cancelled() => true,
            };
            if ended {
                return;
            }
        }
    }
}

/// A place among those who wait for a computation.
#[derive(Debug)]
pub(crate) struct Seat {
    flight: Arc<Flight>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut shared = self.flight.shared();
        shared.seats -= 1;
        if shared.seats == 0 {
            self.flight.cancel.cancel();
        }
    }
}

impl Seat {
    /// Waits for the end; the progress is never [`Progress::Running`].
    pub(crate) async fn ended(&self) -> Progress {
        let mut progress = self.flight.progress.subscribe();
        let ended = progress.wait_for(|(_, progress)| *progress != Progress::Running).await;
        ended.map_or(Progress::Failed, |state| state.1)
    }

    pub(crate) fn batches(&self) -> Vec<RecordBatch> {
        self.flight.shared().batches.clone()
    }

    pub(crate) fn error(&self) -> Option<DataFusionError> {
        self.flight.shared().error.clone().map(DataFusionError::Shared)
    }

    /// The first reader's stream: batches as they come.
    pub(crate) fn follow(self) -> impl futures::Stream<Item = Result<RecordBatch>> + Send {
        let progress = self.flight.progress.subscribe();
        let state = Follower { seat: self, progress, next: 0, rest: None };
        futures::stream::unfold(state, |mut state| async move {
            let item = state.next().await?;
            Some((item, state))
        })
    }
}

struct Follower {
    seat: Seat,
    progress: watch::Receiver<(usize, Progress)>,
    next: usize,
    rest: Option<mpsc::Receiver<Result<RecordBatch>>>,
}

impl Follower {
    async fn next(&mut self) -> Option<Result<RecordBatch>> {
        loop {
            if let Some(rest) = &mut self.rest {
                return rest.recv().await;
            }
            let kept = self.seat.flight.shared().batches.get(self.next).cloned();
            if let Some(batch) = kept {
                self.next += 1;
                return Some(Ok(batch));
            }
            let (count, progress) = *self.progress.borrow_and_update();
            match progress {
                _ if count > self.next => {}
                Progress::Running => self.progress.changed().await.ok()?,
                Progress::Complete => return None,
                Progress::Failed => {
                    self.next = usize::MAX;
                    let error = self.seat.flight.shared().error.clone()?;
                    return Some(Err(DataFusionError::Shared(error)));
                }
                Progress::TooLarge => {
                    let mut shared = self.seat.flight.shared();
                    shared.batches = Vec::new();
                    self.rest = Some(shared.rest.take()?);
                }
            }
        }
    }
}
