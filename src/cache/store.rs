//! The cache itself: bounded by bytes, with single flight.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::TryFutureExt;
use moka::Expiry;
use tokio_util::sync::CancellationToken;

use super::flight::{Flight, Progress};
use super::key::CacheKey;
use super::sources::SourceStates;

/// Bytes of Arrow memory that all answers together may take.
const BYTES_MAX: u64 = 256 << 20;
/// Bytes of one answer; a larger one isn't kept.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// moka's weights are 32 bits wide, so entries are weighed in this many bytes.
const WEIGHT_UNIT: u64 = 1 << 10;

/// What the cache did for a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// Answered from memory.
    Hit,
    /// Waited for an equal statement that was running.
    Joined,
    /// Computed, and kept if it isn't too large.
    Miss,
    /// Not looked up.
    Bypass,
}

impl Outcome {
    pub const ALL: [Outcome; 4] = [Self::Hit, Self::Joined, Self::Miss, Self::Bypass];

    pub fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Joined => "joined",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
        }
    }
}

/// An answer in memory.
#[derive(Debug)]
struct Kept {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    bytes: usize,
    time_to_live: Duration,
    computed: Instant,
}

/// A statement's batches, and where they came from.
pub struct Answer {
    pub batches: SendableRecordBatchStream,
    pub outcome: Outcome,
    /// How long ago it was computed.
    pub age: Duration,
}

/// Counters and sizes of a cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheStats {
    /// Statements by outcome.
    pub outcomes: Vec<(Outcome, u64)>,
    pub answers: u64,
    pub bytes: u64,
}

/// Answers by key.
#[derive(Debug, Clone)]
pub struct Cache {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    kept: moka::future::Cache<CacheKey, Arc<Kept>>,
    /// What is being computed; entries go when the computation ends.
    flights: Mutex<HashMap<CacheKey, Arc<Flight>>>,
    outcomes: [AtomicU64; Outcome::ALL.len()],
    /// How new the data are that answers are made of.
    sources: Arc<SourceStates>,
}

struct TimeToLive;

impl Expiry<CacheKey, Arc<Kept>> for TimeToLive {
    fn expire_after_create(
        &self,
        _key: &CacheKey,
        kept: &Arc<Kept>,
        _created_at: Instant,
    ) -> Option<Duration> {
        Some(kept.time_to_live)
    }
}

impl Default for Cache {
    fn default() -> Self {
        let weight = |_: &CacheKey, kept: &Arc<Kept>| {
            let bytes = u64::try_from(kept.bytes).unwrap_or(u64::MAX);
            u32::try_from(bytes / WEIGHT_UNIT + 1).unwrap_or(u32::MAX)
        };
        let kept = moka::future::Cache::builder()
            .max_capacity(BYTES_MAX / WEIGHT_UNIT)
            .weigher(weight)
            .expire_after(TimeToLive)
            .build();
        let flights = Mutex::new(HashMap::new());
        let (outcomes, sources) = (Default::default(), Arc::default());
        Self { inner: Arc::new(Inner { kept, flights, outcomes, sources }) }
    }
}

impl Cache {
    /// The answer to a key: kept, or computed once for all who ask at the same time. `compute` runs
    /// in a task of its own, which ends it by the token when nobody waits for it any more. Its errors
    /// come in the batches, and are never kept.
    pub async fn answer<C, F>(
        &self,
        key: CacheKey,
        schema: SchemaRef,
        time_to_live: Duration,
        compute: C,
    ) -> Answer
    where
        C: FnOnce(CancellationToken) -> F + Send + 'static,
        F: Future<Output = Result<SendableRecordBatchStream>> + Send + 'static,
    {
        if let Some(kept) = self.inner.kept.get(&key).await {
            return self.hit(&kept);
        }
        let (flight, is_first) = self.flight(&key);
        let Some(seat) = flight.seat() else {
            return self.bypass(schema, compute);
        };
        if is_first {
            self.count(Outcome::Miss);
            self.launch(key, flight, Arc::clone(&schema), time_to_live, compute);
            let batches = Box::pin(RecordBatchStreamAdapter::new(schema, seat.follow()));
            return Answer { batches, outcome: Outcome::Miss, age: Duration::ZERO };
        }
        match (seat.ended().await, seat.error()) {
            (Progress::Complete, _) => {
                self.count(Outcome::Joined);
                answer_of(schema, seat.batches().into_iter().map(Ok).collect(), Outcome::Joined)
            }
            (Progress::Failed, Some(error)) => {
                self.count(Outcome::Joined);
                answer_of(schema, vec![Err(error)], Outcome::Joined)
            }
            _ => self.bypass(schema, compute),
        }
    }

    /// How long ago the answer to a key was computed, where it is kept.
    pub async fn age(&self, key: &CacheKey) -> Option<Duration> {
        self.inner.kept.get(key).await.map(|kept| kept.computed.elapsed())
    }

    /// The states of the sources, as last seen.
    pub fn sources(&self) -> Arc<SourceStates> {
        Arc::clone(&self.inner.sources)
    }

    /// Counts a statement that isn't looked up.
    pub fn count_bypass(&self) {
        self.count(Outcome::Bypass);
    }

    pub fn stats(&self) -> CacheStats {
        let count = |(index, outcome): (usize, &Outcome)| {
            (*outcome, self.inner.outcomes[index].load(Ordering::Relaxed))
        };
        CacheStats {
            outcomes: Outcome::ALL.iter().enumerate().map(count).collect(),
            answers: self.inner.kept.entry_count(),
            bytes: self.inner.kept.weighted_size() * WEIGHT_UNIT,
        }
    }

    fn hit(&self, kept: &Kept) -> Answer {
        self.count(Outcome::Hit);
        let batches = kept.batches.iter().cloned().map(Ok).collect();
        let answer = answer_of(Arc::clone(&kept.schema), batches, Outcome::Hit);
        Answer { age: kept.computed.elapsed(), ..answer }
    }

    /// A computation for one statement alone.
    fn bypass<C, F>(&self, schema: SchemaRef, compute: C) -> Answer
    where
        C: FnOnce(CancellationToken) -> F,
        F: Future<Output = Result<SendableRecordBatchStream>> + Send + 'static,
    {
        self.count(Outcome::Bypass);
        let stream = compute(CancellationToken::new()).try_flatten_stream();
        let batches = Box::pin(RecordBatchStreamAdapter::new(schema, stream));
        Answer { batches, outcome: Outcome::Bypass, age: Duration::ZERO }
    }

    fn count(&self, outcome: Outcome) {
        let index = Outcome::ALL.iter().position(|other| *other == outcome);
        if let Some(counter) = index.and_then(|index| self.inner.outcomes.get(index)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The running computation of a key, or a new one that the caller has to begin.
    fn flight(&self, key: &CacheKey) -> (Arc<Flight>, bool) {
        let mut flights = self.inner.flights.lock().unwrap_or_else(PoisonError::into_inner);
        match flights.entry(key.clone()) {
            Entry::Occupied(running) => (Arc::clone(running.get()), false),
            Entry::Vacant(free) => {
                let flight = Flight::new(CancellationToken::new());
                (Arc::clone(free.insert(flight)), true)
            }
        }
    }

    fn forget(&self, key: &CacheKey, flight: &Arc<Flight>) {
        let mut flights = self.inner.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if flights.get(key).is_some_and(|known| Arc::ptr_eq(known, flight)) {
            flights.remove(key);
        }
    }

    fn launch<C, F>(
        &self,
        key: CacheKey,
        flight: Arc<Flight>,
        schema: SchemaRef,
        time_to_live: Duration,
        compute: C,
    ) where
        C: FnOnce(CancellationToken) -> F + Send + 'static,
        F: Future<Output = Result<SendableRecordBatchStream>> + Send + 'static,
    {
        let cache = self.clone();
        tokio::spawn(async move {
            let computed = flight.run(compute(flight.token()), ANSWER_BYTES_MAX).await;
            let Some((batches, bytes)) = computed else {
                cache.forget(&key, &flight);
                return;
            };
            let computed = Instant::now();
            let kept = Kept { schema, batches, bytes, time_to_live, computed };
            cache.inner.kept.insert(key.clone(), Arc::new(kept)).await;
            cache.forget(&key, &flight);
            flight.complete();
        });
    }
}

fn answer_of(schema: SchemaRef, batches: Vec<Result<RecordBatch>>, outcome: Outcome) -> Answer {
    let stream = futures::stream::iter(batches);
    let batches = Box::pin(RecordBatchStreamAdapter::new(schema, stream));
    Answer { batches, outcome, age: Duration::ZERO }
}
