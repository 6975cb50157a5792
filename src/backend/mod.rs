//! Where plans run: ClickHouse, or DataFusion over files in this process.

pub mod clickhouse;
pub mod embedded;
mod error;
mod guard;
mod latest;
pub(crate) mod local;
mod optimizer;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::LogicalPlan;
use tokio_util::sync::CancellationToken;

pub use error::BackendError;

pub use crate::observe::RunStats;

use crate::model::{Source, SourceColumn};

/// An engine that holds the sources.
#[async_trait]
pub trait Backend: Send + Sync + Debug {
    /// `clickhouse` or `embedded`: for logs, EXPLAIN and errors.
    fn name(&self) -> &'static str;

    /// The columns of a table, in order, under canonical types; None where there is no such table.
    /// May also keep what the backend needs later to read that table well (its engine, its sorting key).
    async fn describe(&self, table: &str) -> Result<Option<Vec<SourceColumn>>, BackendError>;

    /// Decides what this backend does of a plan over [`SourceTable`](crate::plan::source::SourceTable)s:
    /// no IO, same plan, same answer. The plan is analysed (types coerced) already.
    ///
    /// # Errors
    /// [`BackendError::Internal`] where the plan can't be run at all.
    fn prepare(&self, plan: LogicalPlan) -> Result<Prepared, BackendError>;

    /// Runs a prepared plan; batches have its output schema by position (names may differ). An error
    /// in the stream is its last item, a [`BackendError`] inside: `BackendError::from` takes it out.
    /// Dropping the stream, or cancelling `run.cancel`, stops the work in the backend too.
    async fn execute(
        &self,
        prepared: &Prepared,
        run: &Run,
    ) -> Result<SendableRecordBatchStream, BackendError>;

    /// How new a source's data are, cheaply.
    async fn freshness(&self, source: &Source) -> Result<SourceState, BackendError>;
}

/// What a backend made of a plan.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The plan with the border in it: pushed parts are extension nodes whose equality is their
    /// statement's text.
    pub plan: LogicalPlan,
    /// The statements that the backend will be sent, in the order of the plan.
    pub pushed: Vec<String>,
}

/// What identifies the state of a source's data.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SourceState {
    /// Differs whenever the data differ.
    pub change_token: String,
    /// The newest ingestion time, in microseconds since 1970 UTC, where the source has one.
    pub watermark_us: Option<i64>,
}

/// One execution of a statement.
#[derive(Debug, Clone)]
pub struct Run {
    /// Reaches ClickHouse as query_id; unique for each execution.
    pub query_id: String,
    /// Reaches ClickHouse's query_log as log_comment.
    pub log_comment: String,
    pub cancel: CancellationToken,
    pub deadline: Option<Instant>,
    pub stats: Arc<RunStats>,
}
