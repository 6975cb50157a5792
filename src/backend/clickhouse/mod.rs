//! The backend that asks a ClickHouse server over HTTP.
//!
//! | module | does |
//! |---|---|
//! | [`describe`], [`types`] | what a table is, under which types canon shows its columns |
//! | [`facts`] | what else is known of a table, for the generator |
//! | [`border`], [`node`] | which part of a plan becomes a statement |
//! | [`generate`] | the statement's text |
//! | [`client`], [`stream`], [`convert`] | sending it, its answer as batches of the declared types |
//! | [`errors`] | what a client is told of ClickHouse's errors |
//! | [`freshness`] | how new a table's data are |
//! | [`scratch`] | a database for as long as a command runs |

mod border;
mod client;
mod convert;
mod describe;
mod errors;
pub mod facts;
mod freshness;
pub mod generate;
mod node;
mod partial;
pub mod scratch;
mod stream;
pub mod types;

use async_trait::async_trait;
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use std::sync::Arc;
use tokio::runtime::Handle;

pub use client::ClickHouseOptions;
pub use node::Pushed;

use self::client::Connection;
use self::facts::{FactsMap, TableFactsSource};
use self::freshness::Watermarks;
use self::node::{PushedPlanner, PushedRun};
use super::local::{MEMORY_BYTES_DEFAULT, Reads, backend_error, run_plan, session_state};
use super::{Backend, BackendError, Prepared, Run, SourceState};
use crate::model::{Source, SourceColumn};

/// Tables of one database of a ClickHouse server or cluster.
#[derive(Debug)]
pub struct ClickHouse {
    connection: Connection,
    facts: FactsMap,
    watermarks: Watermarks,
    /// For what runs above the border.
    state: Arc<SessionState>,
}

impl ClickHouse {
    /// Connects to nothing yet: a server that is down now may be up later.
    ///
    /// # Errors
    /// [`BackendError::Internal`] where DataFusion can't be set up.
    pub fn new(options: ClickHouseOptions) -> Result<Self, BackendError> {
        let state = session_state(MEMORY_BYTES_DEFAULT, vec![Arc::new(PushedPlanner)])
            .map_err(|error| backend_error(error, ""))?;
        Ok(Self {
            connection: Connection::new(options),
            facts: FactsMap::default(),
            watermarks: Watermarks::default(),
            state,
        })
    }

    /// What is known of the tables that were described.
    pub fn facts(&self) -> &dyn TableFactsSource {
        &self.facts
    }

    /// Whether the server answers.
    ///
    /// # Errors
    /// [`BackendError::Unreachable`], or what the server said instead.
    pub async fn ping(&self) -> Result<(), BackendError> {
        self.connection.look_up::<u8>("SELECT toUInt8(1)", &[]).await.map(|_| ())
    }

    /// The statement in a plan that is nothing else.
    fn whole(plan: &LogicalPlan) -> Option<&Pushed> {
        match plan {
            LogicalPlan::Extension(extension) => Pushed::of(extension),
            _ => None,
        }
    }
}

#[async_trait]
impl Backend for ClickHouse {
    fn name(&self) -> &'static str {
        errors::NAME
    }

    async fn describe(&self, table: &str) -> Result<Option<Vec<SourceColumn>>, BackendError> {
        let described = describe::describe(&self.connection, table).await?;
        Ok(described.map(|(columns, facts)| {
            self.facts.insert(table, facts);
            columns
        }))
    }

    fn prepare(&self, plan: LogicalPlan) -> Result<Prepared, BackendError> {
        border::draw(plan, &self.facts, &self.state).map_err(|error| backend_error(error, ""))
    }

    async fn execute(
        &self,
        prepared: &Prepared,
        run: &Run,
    ) -> Result<SendableRecordBatchStream, BackendError> {
        if let Some(pushed) = Self::whole(&prepared.plan) {
            return stream::stream(&self.connection, pushed.ask(), run.query_id.clone(), run).await;
        }
        let shared = PushedRun::new(self.connection.clone(), run.clone(), Handle::current());
        let config = self.state.config().clone().with_extension(Arc::new(shared));
        let task = TaskContext::from(self.state.as_ref()).with_session_config(config);
        let task = Arc::new(task);
        run_plan(prepared.plan.clone(), &self.state, task, run, Reads::CountedElsewhere).await
    }

    async fn freshness(&self, source: &Source) -> Result<SourceState, BackendError> {
        if self.facts.facts(&source.table).is_none() {
            self.describe(&source.table).await?;
        }
        let facts = self.facts.facts(&source.table);
        let parts = facts.is_some_and(|facts| facts.engine.ends_with("MergeTree"));
        freshness::freshness(&self.connection, &self.watermarks, source, parts).await
    }
}
