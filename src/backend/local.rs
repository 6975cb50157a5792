//! DataFusion in this process: the whole engine of the embedded backend, and what runs above the
//! border of the other one.

use std::any::Any;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::Session;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{GreedyMemoryPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{
    SendableRecordBatchStream, SessionState, SessionStateBuilder, TaskContext,
};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec,
};
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use datafusion::prelude::SessionConfig;
use futures::StreamExt;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::guard::{AbortOnDrop, BATCHES_AHEAD, Guarded};
use super::latest::NewestPlanner;
use super::{BackendError, Run, optimizer};
use crate::functions::time::{TooManyPeriods, UnknownZone};
use crate::functions::{self, FunctionError, registry, with_known_casts, with_varying_keys};
use crate::sql::value::BadCast;

/// Memory that all queries together may hold for sorts, joins and groups. A query that asks for
/// more ends with 53200; nothing is spilled to disk.
pub(crate) const MEMORY_BYTES_DEFAULT: usize = 2 << 30;

/// How many consumers an out-of-memory error names in the log.
const TOP_CONSUMERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4);

/// The one session of a backend, built once: the registry's functions, all cores, bounded memory.
///
/// # Errors
/// Those of DataFusion's own set-up.
pub(crate) fn session_state(
    memory_bytes: usize,
    extension_planners: Vec<Arc<dyn ExtensionPlanner + Send + Sync>>,
) -> Result<Arc<SessionState>> {
    let registry = registry();
    let mut options = registry.options.clone();
    // The check takes an expression for nullable that the logical plan has proven not to be.
    options.execution.skip_physical_aggregate_schema_check = true;
    // Sorts of parts that are merged in order lose a key that a filter makes constant, and the plan is
    // then refused (SanityCheckPlan, DataFusion 55.2). One sort needs no merge.
    options.optimizer.repartition_sorts = false;
    let config =
        SessionConfig::from(options).with_target_partitions(cores()).with_information_schema(false);
    let pool = TrackConsumersPool::new(GreedyMemoryPool::new(memory_bytes), TOP_CONSUMERS);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(
            DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
        )
        // Listings would never expire: a file that appears later must be seen.
        .with_object_list_cache_limit(0)
        .build_arc()?;
    let builder = SessionStateBuilder::new_with_default_features()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_optimizer_rules(optimizer::logical())
        .with_physical_optimizer_rules(optimizer::physical())
        .with_query_planner(Arc::new(Planner { extension_planners }))
        .with_expr_planners(registry.expr_planners.clone())
        .with_scalar_functions(registry.scalar.values().cloned().collect())
        .with_aggregate_functions(registry.aggregate.values().cloned().collect())
        .with_window_functions(registry.window.values().cloned().collect());
    Ok(Arc::new(builder.build()))
}

/// DataFusion's planner, with the nodes of the backends.
struct Planner {
    extension_planners: Vec<Arc<dyn ExtensionPlanner + Send + Sync>>,
}

impl fmt::Debug for Planner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Planner")
    }
}

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut planners = self.extension_planners.clone();
        planners.push(Arc::new(NewestPlanner));
        let planner = DefaultPhysicalPlanner::with_extension_planners(planners);
        let plan = with_varying_keys(with_known_casts(plan.clone())?)?;
        planner.create_physical_plan(&plan, session).await
    }
}

/// The threads that compute. Apart from those that serve sockets: a join over millions of rows must
/// not make another client wait for its log-in.
static CPU: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores())
        .thread_name("canon-cpu")
        .thread_stack_size(functions::STACK_BYTES)
        .enable_all()
        .build()
});

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// What a physical plan's leaves read: files, or nothing that isn't counted elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    Files,
    CountedElsewhere,
}

/// Waits for work that is done on the threads that compute. Work that nobody waits for is aborted.
///
/// # Errors
/// [`BackendError::Internal`] where there are no threads, or the work panicked.
pub(crate) async fn computed<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, BackendError> {
    let done = AbortOnDrop(cpu()?.spawn(work)).await;
    done.map_err(|error| {
        tracing::error!(%error, "the work of a query broke off");
        BackendError::Internal("the work of a query broke off".to_owned())
    })
}

fn cpu() -> Result<&'static Runtime, BackendError> {
    CPU.as_ref().map_err(|error| {
        tracing::error!(%error, "threads for queries can't be started");
        BackendError::Internal("no threads to run queries on".to_owned())
    })
}

/// A backend's plan made executable, and begun under the limits of `run`.
pub(crate) async fn run_plan(
    plan: LogicalPlan,
    state: &Arc<SessionState>,
    task: Arc<TaskContext>,
    run: &Run,
    reads: Reads,
) -> Result<SendableRecordBatchStream, BackendError> {
    let (started, state) = (Instant::now(), Arc::clone(state));
    let planning =
        async move { state.query_planner().create_physical_plan(&plan, state.as_ref()).await };
    let failed = |error| backend_error(error, &run.query_id);
    let physical = computed(planning).await?.map_err(failed)?;
    run_physical(physical, task, run, started, reads, |error, query_id| {
        backend_error(error, query_id).into()
    })
}

/// Starts a physical plan under the limits of `run`; `told` is what becomes of its errors, with the
/// query's id.
pub(crate) fn run_physical(
    plan: Arc<dyn ExecutionPlan>,
    task: Arc<TaskContext>,
    run: &Run,
    started: Instant,
    reads: Reads,
    told: fn(DataFusionError, &str) -> DataFusionError,
) -> Result<SendableRecordBatchStream, BackendError> {
    let plan = yielding(plan).map_err(|error| backend_error(error, &run.query_id))?;
    let schema = plan.schema();
    let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
    let (query_id, feeding) = (run.query_id.clone(), feed(Arc::clone(&plan), task, sender));
    let work = async move { feeding.await.map_err(|error| told(error, &query_id)) };
    let work = cpu()?.spawn(work);
    let cost = move || match reads {
        Reads::Files => scanned(plan.as_ref()),
        Reads::CountedElsewhere => (0, 0),
    };
    Ok(Box::pin(Guarded::new(schema, batches, work, run, started, Box::new(cost))))
}

async fn feed(
    plan: Arc<dyn ExecutionPlan>,
    task: Arc<TaskContext>,
    batches: mpsc::Sender<RecordBatch>,
) -> Result<()> {
    let mut stream = execute_stream(plan, task)?;
    while let Some(batch) = stream.next().await {
        if batches.send(batch?).await.is_err() {
            break; // nobody listens any more
        }
    }
    Ok(())
}

/// Makes joins give way now and then: DataFusion's own rule sees to scans only, and one batch of a
/// scan may become a billion joined rows, during which a cancelled query could not be stopped.
fn yielding(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|plan| {
        let node: &dyn Any = plan.as_ref();
        let multiplies = node.is::<CrossJoinExec>()
            || node.is::<NestedLoopJoinExec>()
            || node.is::<HashJoinExec>()
            || node.is::<SortMergeJoinExec>()
            || node.is::<UnnestExec>();
        if multiplies {
            let plan: Arc<dyn ExecutionPlan> = Arc::new(CooperativeExec::new(plan));
            return Ok(Transformed::yes(plan));
        }
        Ok(Transformed::no(plan))
    })
    .data()
}

/// Rows and bytes that the leaves of a plan read from files.
fn scanned(plan: &dyn ExecutionPlan) -> (u64, u64) {
    let children = plan.children();
    if !children.is_empty() {
        return children
            .into_iter()
            .map(|child| scanned(child.as_ref()))
            .fold((0, 0), |(rows, bytes), (child_rows, child_bytes)| {
                (rows + child_rows, bytes + child_bytes)
            });
    }
    let Some(metrics) = plan.metrics() else { return (0, 0) };
    let bytes = metrics.sum_by_name("bytes_scanned").map_or(0, |value| value.as_usize());
    (metrics.output_rows().unwrap_or(0) as u64, bytes as u64)
}

/// What a client is told of an error of DataFusion or Arrow. The text of an unexpected one goes to
/// the log, with the query's id.
pub(crate) fn backend_error(error: DataFusionError, query_id: &str) -> BackendError {
    known(&error).unwrap_or_else(|| {
        tracing::error!(query_id, error = %error, "query failed in datafusion");
        BackendError::Failed { backend: "embedded", code: 0, query_id: query_id.to_owned() }
    })
}

impl From<BackendError> for DataFusionError {
    fn from(error: BackendError) -> Self {
        Self::External(Box::new(error))
    }
}

impl From<DataFusionError> for BackendError {
    /// Of an error in a stream that [`Backend::execute`](super::Backend::execute) gave.
    fn from(error: DataFusionError) -> Self {
        backend_error(error, "")
    }
}

const ELSEWHERE: &str = "Join the subquery instead, or write its condition in WHERE.";
/// How DataFusion 55.2 begins what it says of a scalar subquery that isn't one.
pub(crate) const SEVERAL_ROWS: &str = "Scalar subquery returned more than one row";

fn known(error: &DataFusionError) -> Option<BackendError> {
    if let Some(refused) = FunctionError::of(error) {
        return Some(BackendError::Function(refused));
    }
    match error {
        DataFusionError::ArrowError(error, _) => known_arrow(error),
        DataFusionError::ResourcesExhausted(text) => {
            tracing::warn!(text, "query out of memory");
            Some(BackendError::OutOfMemory)
        }
        DataFusionError::Execution(text) if text.starts_with(SEVERAL_ROWS) => {
            Some(BackendError::SeveralRows)
        }
        DataFusionError::NotImplemented(text) => {
            tracing::info!(text, "not executed by datafusion");
            let is_subquery = ["InSubquery", "Exists", "ScalarSubquery"];
            let is_subquery = is_subquery.iter().any(|kind| text.contains(kind));
            let (what, hint) = match is_subquery {
                true => ("a subquery in this place", Some(ELSEWHERE)),
                false => ("this query", None),
            };
            Some(BackendError::NotSupported { backend: "embedded", what, hint })
        }
        DataFusionError::Context(_, error) | DataFusionError::Diagnostic(_, error) => known(error),
        DataFusionError::Shared(error) => known(error),
        DataFusionError::Collection(errors) => errors.iter().find_map(known),
        DataFusionError::External(error) => known_external(error.as_ref()),
        _ => None,
    }
}

fn known_external(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Option<BackendError> {
    if let Some(error) = error.downcast_ref::<BackendError>() {
        return Some(error.clone());
    }
    if let Some(error) = error.downcast_ref::<DataFusionError>() {
        return known(error);
    }
    if let Some(UnknownZone { name }) = error.downcast_ref::<UnknownZone>() {
        return Some(BackendError::InvalidTimeZone { name: name.clone() });
    }
    if error.is::<TooManyPeriods>() {
        return Some(BackendError::TooManyPeriods);
    }
    error.downcast_ref::<datafusion::arrow::error::ArrowError>().and_then(known_arrow)
}

fn known_arrow(error: &datafusion::arrow::error::ArrowError) -> Option<BackendError> {
    use datafusion::arrow::error::ArrowError;
    match error {
        ArrowError::DivideByZero => Some(BackendError::DivisionByZero),
        ArrowError::ArithmeticOverflow(_) => Some(BackendError::OutOfRange),
        ArrowError::CastError(text) | ArrowError::ParseError(text) => Some(bad_cast(text)),
        ArrowError::InvalidArgumentError(text) if text.contains("too large to store") => {
            Some(BackendError::OutOfRange) // a decimal beyond its precision
        }
        ArrowError::ComputeError(text) if text.to_lowercase().contains("overflow") => {
            Some(BackendError::OutOfRange)
        }
        ArrowError::ExternalError(error) => known_external(error.as_ref()),
        _ => None,
    }
}

fn bad_cast(text: &str) -> BackendError {
    match BadCast::of_arrow(text) {
        BadCast::OutOfRange => BackendError::OutOfRange,
        BadCast::Invalid { data_type, text } => {
            BackendError::InvalidText { data_type: data_type.to_owned(), text }
        }
    }
}
