//! Segments kept whole in memory: loaded in the background within their budgets, swapped at once.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use chrono::{DateTime, Utc};
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use futures::StreamExt;
use semver::Version;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::QueryEngine;
use super::definitions::{Definitions, Set};
use crate::backend::{BackendError, Run};
use crate::bind;
use crate::error::QueryError;
use crate::model::{Model, SegmentVersion};
use crate::plan;

/// Members of one segment that are kept, at most; some 100 bytes each.
pub const PRELOAD_MEMBERS_MAX: usize = 5_000_000;
/// Segments loaded at once: the rest waits, so that a start isn't a stampede.
const LOADS_AT_ONCE: usize = 2;
/// How often it is looked which segments are due.
const TICK: Duration = Duration::from_millis(100);
/// The part of its budget after which a segment is loaded again, drawn for each load: replicas that
/// started together don't stay together.
const RELOAD_AFTER: std::ops::Range<f64> = 0.5..0.8;
/// Between attempts after one that failed.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// Between looks at a segment that was too large.
const REFUSED_FOR: Duration = Duration::from_secs(3_600);
/// A load that takes longer is ended.
const LOAD_MAX: Duration = Duration::from_secs(600);
/// After this a load that said nothing, not even that it failed, is begun again.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(2 * 600);

/// The segments of a set of definitions that are to be kept in memory.
#[derive(Debug, Default)]
pub(crate) struct Preloads {
    kept: BTreeMap<(String, Version), Arc<Kept>>,
}

/// One segment's rows, and when they are loaded next.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) version: Arc<SegmentVersion>,
    pub(crate) budget: Duration,
    rows: ArcSwapOption<Rows>,
    next: Mutex<Next>,
}

#[derive(Debug)]
struct Next {
    at: Instant,
    /// Why there are no newer rows.
    fault: Option<String>,
}

/// All members of a segment at one moment.
pub(crate) struct Rows {
    /// The relation's columns in the order of `SELECT *`: the key, and the four of every segment.
    pub(crate) batch: RecordBatch,
    pub(crate) computed_at: DateTime<Utc>,
    key: RowConverter,
    /// Encoded key to row.
    index: HashMap<Box<[u8]>, u32>,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("members", &self.members()).finish_non_exhaustive()
    }
}

impl Rows {
    fn new(
        batch: RecordBatch,
        key_columns: usize,
        computed_at: DateTime<Utc>,
    ) -> Result<Self, DataFusionError> {
        let keys: Vec<ArrayRef> = batch.columns()[..key_columns].to_vec();
        let fields = keys.iter().map(|key| SortField::new(key.data_type().clone())).collect();
        let converter = RowConverter::new(fields)?;
        let encoded = converter.convert_columns(&keys)?;
        let mut index = HashMap::with_capacity(batch.num_rows());
        for (row, key) in encoded.iter().enumerate() {
            let row = u32::try_from(row).map_err(|_| {
                DataFusionError::Internal("more members than can be numbered".to_owned())
            })?;
            index.insert(Box::from(key.as_ref()), row);
        }
        Ok(Self { batch, computed_at, key: converter, index })
    }

    pub(crate) fn members(&self) -> usize {
        self.batch.num_rows()
    }

    /// The row of a member, whose key is one column of the type of `key`.
    pub(crate) fn find(&self, key: &ScalarValue) -> Result<Option<u32>, DataFusionError> {
        let encoded = self.key.convert_columns(&[key.to_array()?])?;
        Ok(self.index.get(encoded.row(0).as_ref()).copied())
    }

    /// How old they are.
    pub(crate) fn age(&self, now: DateTime<Utc>) -> Duration {
        now.signed_duration_since(self.computed_at).to_std().unwrap_or_default()
    }
}

impl Preloads {
    pub(crate) fn of(model: &Model) -> Self {
        let versions = model.segments.values().flat_map(|segment| segment.served_majors());
        let kept = versions.filter_map(|version| {
            let kept = Kept {
                version: Arc::clone(version),
                budget: version.preload?,
                rows: ArcSwapOption::empty(),
                next: Mutex::new(Next { at: Instant::now(), fault: None }),
            };
            Some(((version.segment.clone(), version.version.clone()), Arc::new(kept)))
        });
        Self { kept: kept.collect() }
    }

    pub(crate) fn get(&self, version: &SegmentVersion) -> Option<&Arc<Kept>> {
        self.kept.get(&(version.segment.clone(), version.version.clone()))
    }

    /// Takes over what another set has loaded of the same definitions.
    pub(super) fn adopt(&self, others: &Preloads) {
        for (key, kept) in &self.kept {
            if let Some(other) = others.kept.get(key) {
                kept.rows.store(other.rows.load_full());
            }
        }
    }

    /// Those that are to be loaded now; each is given once, until its load has ended or is given up.
    fn due(&self) -> impl Iterator<Item = &Arc<Kept>> {
        let now = Instant::now();
        self.kept.values().filter(move |kept| {
            let mut next = kept.next();
            let is_due = next.at <= now;
            if is_due {
                next.at = now + GIVEN_UP_AFTER;
            }
            is_due
        })
    }
}

impl Kept {
    fn next(&self) -> std::sync::MutexGuard<'_, Next> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is in memory now; None before the first load.
    pub(crate) fn rows(&self) -> Option<Arc<Rows>> {
        self.rows.load_full()
    }

    /// Why there are no newer rows, where that is so.
    pub(crate) fn fault(&self) -> Option<String> {
        self.next().fault.clone()
    }

    fn ended(&self, loaded: Result<Rows, LoadError>) {
        let (wait, fault) = match loaded {
            Ok(rows) => {
                let members = rows.members();
                self.rows.store(Some(Arc::new(rows)));
                tracing::debug!(segment = self.version.segment, members, "segment loaded");
                (self.budget.mul_f64(rand::random_range(RELOAD_AFTER)), None)
            }
            Err(error) => {
                tracing::warn!(segment = self.version.segment, %error, "segment not loaded");
                let wait = match error {
                    LoadError::TooLarge { .. } => {
                        self.rows.store(None);
                        REFUSED_FOR
                    }
                    _ => (self.budget / 10).clamp(RETRY_MIN, RETRY_MAX),
                };
                (wait.mul_f64(rand::random_range(RELOAD_AFTER) + 0.5), Some(error.to_string()))
            }
        };
        let mut next = self.next();
        next.at = Instant::now() + wait;
        next.fault = fault;
    }
}

/// Why a segment isn't in memory.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error("it has more than {most} members")]
    TooLarge { most: usize },
    #[error("it has no relation")]
    NoRelation,
    #[error("{0}")]
    Query(QueryError),
}

impl<E: Into<QueryError>> From<E> for LoadError {
    fn from(error: E) -> Self {
        Self::Query(error.into())
    }
}

impl QueryEngine {
    /// Loads the segments that are kept in memory, again and again, until it is dropped.
    pub async fn keep_segments(self: Arc<Self>) {
        let permits = Arc::new(Semaphore::new(LOADS_AT_ONCE));
        let mut loads = JoinSet::new();
        loop {
            let definitions = self.definitions.current();
            if let Ok(set) = definitions.set() {
                for kept in set.preloads.due() {
                    let (engine, kept) = (Arc::clone(&self), Arc::clone(kept));
                    let (definitions, permits) = (Arc::clone(&definitions), Arc::clone(&permits));
                    loads.spawn(async move {
                        // The semaphore is never closed.
                        let _permit = permits.acquire().await;
                        let loaded = engine.load_segment(&definitions, &kept).await;
                        kept.ended(loaded);
                    });
                }
            }
            while loads.try_join_next().is_some() {}
            tokio::time::sleep(TICK).await;
        }
    }

    async fn load_segment(
        &self,
        definitions: &Definitions,
        kept: &Kept,
    ) -> Result<Rows, LoadError> {
        let set = definitions.set()?;
        let version = &kept.version;
        let at = Utc::now();
        let name = format!("{}_v{}", version.segment, version.version.major);
        let relation = set.relations.get("segments", &name).ok_or(LoadError::NoRelation)?;
        let bound = bind::segment::all_of(relation, version).map_err(plan::PlanError::from)?;
        let plan = plan::plan(&set.model, &bound, at)?;
        let names = bound.schema().fields().iter().map(|field| field.name().clone());
        let schema = named_schema(names.collect(), plan.schema().inner());
        let prepared = self.backend.prepare(plan)?;
        let limit = kept.budget.clamp(Duration::from_secs(30), LOAD_MAX);
        let run = Run {
            query_id: uuid::Uuid::new_v4().to_string(),
            log_comment: log_comment(version),
            cancel: CancellationToken::new(),
            deadline: Some(Instant::now() + limit),
            stats: Arc::default(),
        };
        let mut stream = self.backend.execute(&prepared, &run).await?;
        let (mut batches, mut members) = (Vec::new(), 0);
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(BackendError::from)?;
            members += batch.num_rows();
            if members > self.preload_members_max {
                return Err(LoadError::TooLarge { most: self.preload_members_max });
            }
            let columns = batch.columns().to_vec();
            let named = RecordBatch::try_new(Arc::clone(&schema), columns);
            batches.push(named.map_err(datafusion_error)?);
        }
        let batch = concat_batches(&schema, &batches).map_err(datafusion_error)?;
        let rows = Rows::new(batch, relation.entity.key.len(), at);
        Ok(rows.map_err(BackendError::from)?)
    }
}

fn datafusion_error(error: datafusion::arrow::error::ArrowError) -> BackendError {
    BackendError::from(DataFusionError::from(error))
}

/// The relation's names over the types that the backend gives.
fn named_schema(names: Vec<String>, given: &Schema) -> SchemaRef {
    let types = given.fields().iter().map(|field| field.data_type().clone());
    let field = |(name, data_type): (String, DataType)| Field::new(name, data_type, true);
    Arc::new(Schema::new(names.into_iter().zip(types).map(field).collect::<Vec<_>>()))
}

fn log_comment(version: &SegmentVersion) -> String {
    serde_json::json!({
        "service": "canon",
        "preload": format!("{}@{}", version.segment, version.version),
    })
    .to_string()
}

/// The segment kept in memory for a version, if it is.
pub(super) fn kept_of(set: &Set, version: &SegmentVersion) -> Option<Arc<Kept>> {
    set.preloads.get(version).cloned()
}
