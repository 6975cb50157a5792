//! Tables in memory, asked as files are: for `canon test`, whose rows stand in the definitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::MemTable;
use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::common::plan_err;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::LogicalPlan;

use super::{lower, schema};
use crate::backend::local::{MEMORY_BYTES_DEFAULT, Reads, backend_error, run_plan, session_state};
use crate::backend::{Backend, BackendError, Prepared, Run, SourceState};
use crate::model::{Source, SourceColumn};

/// Rows that never change.
#[derive(Debug)]
pub struct Memory {
    state: Arc<SessionState>,
    tables: BTreeMap<String, Arc<MemTable>>,
}

impl Memory {
    /// A backend with these tables.
    ///
    /// # Errors
    /// [`BackendError::Internal`] where DataFusion can't hold them.
    pub fn new(tables: BTreeMap<String, RecordBatch>) -> Result<Self, BackendError> {
        let failed = |error| backend_error(error, "");
        let state = session_state(MEMORY_BYTES_DEFAULT, Vec::new()).map_err(failed)?;
        let table = |(name, batch): (String, RecordBatch)| {
            let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).map_err(failed)?;
            Ok((name, Arc::new(table)))
        };
        let tables = tables.into_iter().map(table).collect::<Result<_, BackendError>>()?;
        Ok(Self { state, tables })
    }
}

#[async_trait]
impl Backend for Memory {
    fn name(&self) -> &'static str {
        "embedded"
    }

    async fn describe(&self, table: &str) -> Result<Option<Vec<SourceColumn>>, BackendError> {
        use datafusion::catalog::TableProvider;
        Ok(self.tables.get(table).map(|table| schema::source_columns(&table.schema())))
    }

    fn prepare(&self, plan: LogicalPlan) -> Result<Prepared, BackendError> {
        let table_of = |source: &crate::plan::source::SourceTable| {
            let Some(table) = self.tables.get(&source.table) else {
                return plan_err!("table \"{}\" is not given", source.table);
            };
            Ok(provider_as_source(Arc::clone(table) as _))
        };
        let plan = lower::lower(plan, &table_of)
            .and_then(|plan| self.state.optimize(&plan))
            .map_err(|error| backend_error(error, ""))?;
        Ok(Prepared { plan, pushed: Vec::new() })
    }

    async fn execute(
        &self,
        prepared: &Prepared,
        run: &Run,
    ) -> Result<SendableRecordBatchStream, BackendError> {
        let task = self.state.task_ctx();
        run_plan(prepared.plan.clone(), &self.state, task, run, Reads::Files).await
    }

    async fn freshness(&self, _source: &Source) -> Result<SourceState, BackendError> {
        Ok(SourceState { change_token: String::new(), watermark_us: None })
    }
}
