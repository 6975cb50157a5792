//! The engine behind sessions: statements bound, planned, run and cached.

mod account;
mod catalog_view;
mod data;
mod definitions;
mod error;
mod explain;
mod facts;
mod freshness;
mod literals;
mod live;
mod measured;
mod memory;
mod parameters;
mod preload;
mod segments;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::common::ScalarValue;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

pub use definitions::{Definitions, DefinitionsState};
pub use error::EngineError;
pub use preload::PRELOAD_MEMBERS_MAX;

use self::data::{PlanKey, PlannedQuery, session_zone};
use super::aside;
use super::engine::{Column, Engine, PreparedQuery, QueryRows, QueryText, RequestContext};
use crate::backend::local::{Reads, computed, run_physical};
use crate::backend::{Backend, BackendError, Run};
use crate::cache::{Cache, SourceStates};
use crate::error::QueryError;
use crate::functions::StatementZones;
use crate::observe::QueryLog;
use crate::sql::catalog::{CatalogError, CatalogQuery, CatalogSession, Filled, Owner, Pause};
use crate::sql::types::PgType;

/// Statement shapes whose plans are kept; each takes some kilobytes.
const PLANS_MAX: u64 = 2_000;
/// A kept plan is used for this long at most.
const PLAN_AGE_MAX: Duration = Duration::from_secs(3_600);

/// Answers statements from one backend under the definitions that are in force.
#[derive(Debug)]
pub struct QueryEngine {
    definitions: Arc<DefinitionsState>,
    backend: Arc<dyn Backend>,
    cache: Cache,
    sources: Arc<SourceStates>,
    plans: moka::sync::Cache<PlanKey, Arc<PlannedQuery>>,
    log: Arc<QueryLog>,
    preload_members_max: usize,
}

/// What a prepared statement remembers.
#[derive(Debug)]
enum Plan {
    Catalog { definitions: Arc<Definitions>, query: Box<CatalogQuery> },
    Data(Arc<PlannedQuery>),
    Explain { planned: Arc<PlannedQuery>, options: explain::Options },
    ExplainCatalog { options: explain::Options, columns: Vec<Column> },
}

impl QueryEngine {
    pub fn new(
        definitions: Arc<DefinitionsState>,
        backend: Arc<dyn Backend>,
        cache: Cache,
    ) -> Self {
        let plans =
            moka::sync::Cache::builder().max_capacity(PLANS_MAX).time_to_live(PLAN_AGE_MAX).build();
        let sources = cache.sources();
        Self {
            definitions,
            backend,
            cache,
            sources,
            plans,
            log: Arc::new(QueryLog::default()),
            preload_members_max: PRELOAD_MEMBERS_MAX,
        }
    }

    /// Keeps no segment in memory that has more members than this.
    pub fn with_preload_members_max(self, preload_members_max: usize) -> Self {
        Self { preload_members_max, ..self }
    }

    fn prepare_query(
        &self,
        query: &ast::Query,
        text: &QueryText,
        params: &[Option<PgType>],
        context: &RequestContext,
    ) -> Result<(Plan, Vec<PgType>, Vec<Column>), QueryError> {
        let definitions = self.definitions.current();
        let catalog = definitions.catalog();
        match catalog.owner_of(query) {
            Owner::Catalog => {
                let session = catalog_session(context, Utc::now());
                let zones = StatementZones::of_session(session_zone(context));
                let planned = aside(|| catalog.prepare(query, params, &session, zones));
                let planned = planned.map_err(EngineError::from)?;
                let columns = planned.columns.iter().zip(&planned.origins);
                let columns = columns.map(|((name, pg_type), origin)| Column {
                    name: name.clone(),
                    pg_type: pg_type.clone(),
                    origin: *origin,
                });
                let columns = columns.collect();
                let types = planned.params.clone();
                Ok((Plan::Catalog { definitions, query: Box::new(planned) }, types, columns))
            }
            Owner::Mixed => Err(EngineError::MixedOwners.into()),
            Owner::Data => {
                let zones = StatementZones::of_session(session_zone(context));
                let planned = self.plan_data(definitions, query, text, params, zones, context)?;
                let (params, columns) = (planned.params.clone(), planned.columns.clone());
                Ok((Plan::Data(planned), params, columns))
            }
        }
    }
}

/// What the catalogue is told of a request.
fn catalog_session(context: &RequestContext, now: DateTime<Utc>) -> CatalogSession {
    CatalogSession {
        role: context.role.clone(),
        database: context.database.clone(),
        application_name: context.application_name.clone(),
        backend_pid: context.backend_pid,
        settings: Arc::clone(&context.settings),
        now,
        changes: context.changes.clone(),
        pause: Pause::default(),
        seen: Arc::clone(&context.seen),
    }
}

/// A query of the catalogue in the session's present zone, where that isn't the one in which it was
/// planned: a statement may be prepared before `SET TimeZone`.
fn catalog_in_zone(
    definitions: &Arc<Definitions>,
    query: &CatalogQuery,
    prepared: &PreparedQuery,
    context: &RequestContext,
) -> Result<Option<CatalogQuery>, QueryError> {
    let zones = StatementZones { session: session_zone(context), ..query.zones.clone() };
    let (true, ast::Statement::Query(statement)) =
        (zones != query.zones, &prepared.query.statement)
    else {
        return Ok(None);
    };
    let session = catalog_session(context, Utc::now());
    let params: Vec<Option<PgType>> = query.params.iter().cloned().map(Some).collect();
    let planned = aside(|| definitions.catalog().prepare(statement, &params, &session, zones));
    Ok(Some(planned.map_err(EngineError::from)?))
}

/// Constants are answered here, all else where queries compute.
async fn run_catalog(
    definitions: &Arc<Definitions>,
    query: &CatalogQuery,
    params: &[ScalarValue],
    context: &RequestContext,
    cancel: CancellationToken,
) -> Result<SendableRecordBatchStream, QueryError> {
    let started = Instant::now();
    let plan = match definitions.catalog().filled(query, params).map_err(EngineError::from)? {
        Filled::Rows(batch) => {
            let schema = batch.schema();
            let rows = MemoryStream::try_new(vec![batch], schema, None);
            let rows = rows.map_err(CatalogError::from).map_err(EngineError::from)?;
            return Ok(Box::pin(rows));
        }
        Filled::Plan(plan) => plan,
    };
    let (definitions, session) = (Arc::clone(definitions), catalog_session(context, Utc::now()));
    let pause = session.pause.clone();
    let planning = async move { definitions.catalog().physical_plan(&plan, &session).await };
    let run = Run {
        query_id: uuid::Uuid::new_v4().to_string(),
        log_comment: String::new(),
        deadline: context.statement_timeout.map(|timeout| started + timeout),
        cancel,
        stats: Arc::default(),
    };
    let planned = tokio::select! {
        planned = computed(planning) => planned?,
        () = run.cancel.cancelled() => return Err(BackendError::Cancelled.into()),
    };
    let (plan, task) = planned.map_err(EngineError::from)?;
    let read = Reads::CountedElsewhere;
    let batches = run_physical(plan, task, &run, started, read, |error, _| error)?;
    Ok(held_back(batches, pause, run))
}

/// The rows, each batch after the time that its functions ask for; a statement that is cancelled or
/// out of time ends meanwhile.
fn held_back(
    batches: SendableRecordBatchStream,
    pause: Pause,
    run: Run,
) -> SendableRecordBatchStream {
    let schema = batches.schema();
    let held = batches.then(move |batch| {
        let (pause, run) = (pause.take(), run.clone());
        async move {
            if pause.is_zero() {
                return batch;
            }
            let until = tokio::time::Instant::now() + pause;
            let deadline = run.deadline.map(tokio::time::Instant::from_std);
            tokio::select! {
                () = tokio::time::sleep_until(deadline.map_or(until, |at| at.min(until))) => {}
                () = run.cancel.cancelled() => return Err(BackendError::Cancelled.into()),
            }
            match deadline {
                Some(at) if at < until => Err(BackendError::Timeout.into()),
                _ => batch,
            }
        }
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, held))
}

#[async_trait]
impl Engine for QueryEngine {
    async fn prepare(
        &self,
        query: &QueryText,
        params: &[Option<PgType>],
        context: &RequestContext,
    ) -> Result<Arc<PreparedQuery>, QueryError> {
        let placed = |error| literals::placed(error, query);
        let (plan, params, columns) = match &query.statement {
            ast::Statement::Query(inner) => {
                self.prepare_query(inner, query, params, context).map_err(placed)?
            }
            ast::Statement::Explain { analyze, statement, options, .. } => {
                let options = explain::Options::of(options.as_deref(), *analyze)?;
                let ast::Statement::Query(inner) = statement.as_ref() else {
                    return Err(EngineError::NotExplainable.into());
                };
                let prepared = self.prepare_query(inner, query, params, context);
                let (plan, params, columns) = prepared.map_err(placed)?;
                let plan = match plan {
                    Plan::Data(planned) => Plan::Explain { planned, options },
                    _ => Plan::ExplainCatalog { options, columns },
                };
                (plan, params, vec![Column::new("QUERY PLAN", options.pg_type())])
            }
            _ => return Err(EngineError::NotExplainable.into()),
        };
        let reads_sessions = matches!(&plan, Plan::Catalog { query, .. } if query.reads_sessions);
        let (query, plan) = (query.clone(), Arc::new(plan));
        Ok(Arc::new(PreparedQuery { query, params, columns, reads_sessions, plan }))
    }

    async fn execute(
        &self,
        prepared: &PreparedQuery,
        params: Vec<ScalarValue>,
        context: &RequestContext,
        cancel: CancellationToken,
    ) -> Result<QueryRows, QueryError> {
        let plan = prepared.plan.downcast_ref::<Plan>().ok_or(EngineError::ForeignPlan)?;
        match plan {
            Plan::Catalog { definitions, query } => {
                let anew = catalog_in_zone(definitions, query, prepared, context)?;
                let query = anew.as_ref().unwrap_or(query);
                let batches = run_catalog(definitions, query, &params, context, cancel).await;
                let batches = batches.map_err(|error| literals::placed(error, &prepared.query))?;
                Ok(QueryRows { batches, notices: Vec::new(), command: "SELECT" })
            }
            Plan::Data(planned) => {
                let planned = self.still_meant(planned, &prepared.query, context)?;
                let rows = self.run_data(&planned, params, context, cancel).await;
                rows.map_err(|error| literals::placed(error, &prepared.query))
            }
            Plan::Explain { planned, options } => {
                self.explain(planned, params, context, cancel, *options).await
            }
            Plan::ExplainCatalog { options, columns } => explain::of_catalog(*options, columns),
        }
    }
}
