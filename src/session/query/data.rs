//! Questions of metrics and entities: planned, looked up in the cache, run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast;
use tokio_util::sync::CancellationToken;
use tracing::debug_span;

use super::QueryEngine;
use super::definitions::{Definitions, Set};
use super::error::EngineError;
use super::facts;
use super::measured::Measured;
use super::memory::{InMemory, Loaded};
use super::parameters::{self, Filling};
use super::segments;
use crate::backend::{Prepared, Run};
use crate::bind::{self, BindSettings, PlainColumn, Preview, Uuids};
use crate::cache::{Answer, CacheKey, KeyPlan};
use crate::error::QueryError;
use crate::functions::{StatementZones, Unit};
use crate::model::{MetricVersion, Model, SegmentVersion, Source, Status};
use crate::observe::Statement;
use crate::plan::source::SourceTable;
use crate::plan::{self, PlanError};
use crate::session::aside;
use crate::session::engine::{Column, Notice, QueryRows, QueryText, RequestContext};
use crate::sql::timezone::TimeZone;
use crate::sql::types::PgType;

/// An answer is kept this long where no metric in it has a freshness budget; a change of the data
/// ends it sooner.
const TIME_TO_LIVE_DEFAULT: Duration = Duration::from_secs(600);

/// What a parameter may cut a metric's time to, the most likely first.
const GRAINS: [Unit; 6] =
    [Unit::Day, Unit::Week, Unit::Month, Unit::Quarter, Unit::Year, Unit::Hour];

/// What a kept plan depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PlanKey {
    text: Arc<str>,
    /// The statement's place in the text, for texts of several.
    statement: String,
    params: Vec<Option<PgType>>,
    settings: BindSettings,
    zones: StatementZones,
    definitions: usize,
}

/// A question, planned as far as its parameters allow.
#[derive(Debug)]
pub(crate) struct PlannedQuery {
    pub(crate) definitions: Arc<Definitions>,
    pub(super) bound: LogicalPlan,
    /// Where it reads nothing but segments that are kept in memory.
    memory: Option<InMemory>,
    pub(crate) params: Vec<PgType>,
    pub(crate) columns: Vec<Column>,
    pub(crate) versions: Vec<Arc<MetricVersion>>,
    segments: Vec<Arc<SegmentVersion>>,
    previews: Vec<Preview>,
    pub(super) zones: StatementZones,
    text: Arc<str>,
    settings: BindSettings,
    /// The finished plan, where neither parameters nor the clock are in it.
    fixed: Option<Arc<Runnable>>,
}

/// A question that can be run.
#[derive(Debug)]
pub(crate) struct Runnable {
    /// Before the backend took its part: equal for equal questions.
    logical: KeyPlan,
    pub(crate) prepared: Prepared,
    pub(super) sources: Vec<Source>,
    /// Whether what it reads depends on the statement's time, by the definitions.
    reads_clock: bool,
}

impl PlannedQuery {
    /// The rows that answer it, where all that it reads is in memory now.
    pub(super) fn in_memory(&self) -> Option<Loaded<'_>> {
        self.memory.as_ref()?.loaded()
    }
}

impl QueryEngine {
    pub(super) fn plan_data(
        &self,
        definitions: Arc<Definitions>,
        query: &ast::Query,
        text: &QueryText,
        params: &[Option<PgType>],
        zones: StatementZones,
        context: &RequestContext,
    ) -> Result<Arc<PlannedQuery>, QueryError> {
        let set = definitions.set()?;
        let mut settings = bind_settings(&set.model, context)?;
        settings.facts = facts::of(query, &settings.search_path, context);
        let key = PlanKey {
            text: Arc::clone(&text.text),
            statement: query.to_string(),
            params: params.to_vec(),
            settings,
            zones,
            definitions: Arc::as_ptr(&definitions) as *const () as usize,
        };
        if let Some(planned) = self.plans.get(&key) {
            return Ok(planned);
        }
        aside(|| self.plan_anew(key, &definitions, query, params))
    }

    fn plan_anew(
        &self,
        key: PlanKey,
        definitions: &Arc<Definitions>,
        query: &ast::Query,
        params: &[Option<PgType>],
    ) -> Result<Arc<PlannedQuery>, QueryError> {
        let set = definitions.set()?;
        let (model, relations) = (&set.model, &set.relations);
        let bound = bind::bind(model, relations, &key.settings, query, &key.text, params)?;
        let params = bound.params;
        let memory = InMemory::of(set, &bound.plan)?;
        // A look-up needs no plan as long as its segment is in memory.
        let runnable = match memory.as_ref().is_some_and(InMemory::is_lookup) {
            true => None,
            false => Some(self.unfilled(set, &bound.plan, params.len(), &key.zones)?),
        };
        let output = runnable.as_ref().map_or(&bound.plan, |runnable| runnable.logical.plan());
        let schema = Arc::clone(output.schema().inner());
        let int4 = bind::int4_columns(&bound.plan);
        let mut uuids = bind::uuid_columns(&bound.plan).into_iter();
        let pg_types = schema.fields().iter().zip(int4).map(|(field, int4)| {
            let known = uuids.next().unwrap_or_default();
            match PgType::of(field) {
                PgType::Int8 if int4 => PgType::Int4,
                PgType::Text if known == Uuids::One => PgType::Uuid,
                PgType::Array(item) if *item == PgType::Text && known == Uuids::List => {
                    PgType::Array(Box::new(PgType::Uuid))
                }
                pg_type => pg_type,
            }
        });
        let columns = bound.names.into_iter().zip(pg_types);
        let catalog = definitions.catalog();
        let columns = columns.zip(bound.plain).map(|((name, pg_type), plain)| {
            let origin = plain.and_then(|PlainColumn { relation, column, optional }| {
                let column = &relation.columns[column].name;
                catalog.origin_of(relation.schema, &relation.name, column, optional)
            });
            Column { name, pg_type, origin }
        });
        let columns = columns.collect();
        let reads_clock = parameters::reads_clock(&bound.plan).map_err(PlanError::from)?
            || plan::judges_days(&bound.plan)?
            || runnable.as_ref().is_some_and(|runnable| runnable.reads_clock);
        let is_fixed = params.is_empty() && !reads_clock && memory.is_none();
        let planned = Arc::new(PlannedQuery {
            definitions: Arc::clone(definitions),
            bound: bound.plan,
            memory,
            params,
            columns,
            versions: bound.versions,
            previews: bound.previews,
            segments: bound.segments,
            zones: key.zones.clone(),
            text: Arc::clone(&key.text),
            settings: key.settings.clone(),
            fixed: runnable.filter(|_| is_fixed).map(Arc::new),
        });
        self.plans.insert(key, Arc::clone(&planned));
        Ok(planned)
    }

    /// What a prepared statement means under the session's present settings: `SET canon.as_of` and
    /// its like change the meaning of statements that were prepared before.
    pub(super) fn still_meant(
        &self,
        planned: &Arc<PlannedQuery>,
        query: &QueryText,
        context: &RequestContext,
    ) -> Result<Arc<PlannedQuery>, QueryError> {
        let mut settings = bind_settings(&planned.definitions.set()?.model, context)?;
        let ast::Statement::Query(statement) = &query.statement else {
            return Ok(Arc::clone(planned));
        };
        settings.facts = facts::of(statement, &settings.search_path, context);
        if settings == planned.settings {
            return Ok(Arc::clone(planned));
        }
        let params: Vec<Option<PgType>> = planned.params.iter().cloned().map(Some).collect();
        let definitions = Arc::clone(&planned.definitions);
        let zones = StatementZones { session: session_zone(context), ..planned.zones.clone() };
        let anew = self.plan_data(definitions, statement, query, &params, zones, context)?;
        let types = |planned: &PlannedQuery| {
            planned.columns.iter().map(|column| column.pg_type.clone()).collect::<Vec<_>>()
        };
        match types(&anew) == types(planned) {
            true => Ok(anew),
            false => Err(EngineError::ChangedResult.into()),
        }
    }

    /// The plan before its `count` parameters have values. Which period one of them names doesn't
    /// change its types, where there is a plan for any.
    fn unfilled(
        &self,
        set: &Set,
        bound: &LogicalPlan,
        count: usize,
        zones: &StatementZones,
    ) -> Result<Runnable, QueryError> {
        let by = |grain: Option<Unit>| {
            let filling = Filling::None { count, grain };
            self.runnable(set, bound, &filling, Utc::now(), zones)
        };
        let refused = match by(None) {
            Err(error) if parameters::has_grain(bound).map_err(PlanError::from)? => error,
            planned => return planned,
        };
        let planned = GRAINS.into_iter().find_map(|unit| by(Some(unit)).ok());
        planned.ok_or(refused)
    }

    /// The plan with parameters and clock filled in, and the backend's part taken.
    fn runnable(
        &self,
        set: &Set,
        bound: &LogicalPlan,
        filling: &Filling<'_>,
        now: DateTime<Utc>,
        zones: &StatementZones,
    ) -> Result<Runnable, QueryError> {
        let fill = || parameters::fill_statement(bound, filling, now, zones);
        let filled = debug_span!("fill").in_scope(fill).map_err(PlanError::from)?;
        let logical = plan::plan(&set.model, &filled, now)?;
        let (logical, reads_clock) = at_statement_time(logical, now, &zones.session)?;
        let sources = sources_of(&set.model, &logical)?;
        let prepared = match filling {
            // Parameters without values can't be pushed; only types are asked for then.
            Filling::None { count: 1.., .. } => {
                Prepared { plan: logical.clone(), pushed: Vec::new() }
            }
            Filling::None { count: 0, .. } | Filling::Values(_) => {
                self.backend.prepare(logical.clone())?
            }
        };
        Ok(Runnable { logical: KeyPlan::new(logical), prepared, sources, reads_clock })
    }

    /// The runnable plan for these parameters, now.
    pub(super) fn resolved(
        &self,
        planned: &PlannedQuery,
        params: &[ScalarValue],
    ) -> Result<Arc<Runnable>, QueryError> {
        if let Some(fixed) = &planned.fixed {
            return Ok(Arc::clone(fixed));
        }
        if params.len() < planned.params.len() {
            return Err(EngineError::MissingParameter { number: params.len() + 1 }.into());
        }
        let (set, values) = (planned.definitions.set()?, Filling::Values(params));
        let (bound, zones) = (&planned.bound, &planned.zones);
        let runnable = aside(|| self.runnable(set, bound, &values, Utc::now(), zones))?;
        Ok(Arc::new(runnable))
    }

    pub(super) async fn run_data(
        &self,
        planned: &PlannedQuery,
        params: Vec<ScalarValue>,
        context: &RequestContext,
        cancel: CancellationToken,
    ) -> Result<QueryRows, QueryError> {
        if let Some(loaded) = planned.in_memory() {
            return self.run_from_memory(planned, &loaded, &params, context, cancel).await;
        }
        let runnable = self.resolved(planned, &params)?;
        let mut statement = self.statement(planned, context);
        let answered = self.answer(planned, &runnable, &statement, context, cancel).await;
        let answer = match answered {
            Ok(answer) => answer,
            Err(error) => {
                statement.failed(&error);
                return Err(error);
            }
        };
        statement.answered(answer.outcome.name(), answer.age);
        let batches = Box::pin(Measured::new(answer.batches, statement));
        let mut notices = notices(&planned.versions);
        notices.extend(previewed(&planned.previews));
        notices.extend(self.staleness(planned, &runnable, Utc::now()).await?);
        notices.extend(segments::notices(&planned.segments));
        Ok(QueryRows { batches, notices, command: "SELECT" })
    }

    async fn run_from_memory(
        &self,
        planned: &PlannedQuery,
        loaded: &Loaded<'_>,
        params: &[ScalarValue],
        context: &RequestContext,
        cancel: CancellationToken,
    ) -> Result<QueryRows, QueryError> {
        let mut statement = self.statement(planned, context);
        let answered =
            self.answer_from_memory(planned, loaded, params, &statement, context, cancel).await;
        let batches = answered.inspect_err(|error| statement.failed(error))?;
        statement.answered("memory", loaded.age());
        let mut notices = segments::notices(&planned.segments);
        notices.extend(loaded.notices());
        let batches = Box::pin(Measured::new(batches, statement));
        Ok(QueryRows { batches, notices, command: "SELECT" })
    }

    /// What is noted of the statement when it ends.
    pub(super) fn statement(&self, planned: &PlannedQuery, context: &RequestContext) -> Statement {
        let version =
            |version: &Arc<MetricVersion>| format!("{}@{}", version.metric, version.version);
        let versions = planned.versions.iter().map(version).collect();
        let (role, application) = (context.role.clone(), context.application_name.clone());
        let text = Arc::clone(&planned.text);
        Statement::begin(Arc::clone(&self.log), role, application, versions, text)
    }

    /// The batches, from the cache or the backend.
    pub(super) async fn answer(
        &self,
        planned: &PlannedQuery,
        runnable: &Arc<Runnable>,
        statement: &Statement,
        context: &RequestContext,
        cancel: CancellationToken,
    ) -> Result<Answer, QueryError> {
        let key = self.key(planned, runnable).await?;
        let run = Run {
            query_id: statement.query_id().to_owned(),
            log_comment: log_comment(planned, context),
            cancel: cancel.clone(),
            deadline: context.statement_timeout.map(|timeout| Instant::now() + timeout),
            stats: statement.stats(),
        };
        let (backend, runnable) = (Arc::clone(&self.backend), Arc::clone(runnable));
        let schema: SchemaRef = positional_schema(runnable.logical.plan());
        let compute = move |task: CancellationToken| async move {
            let run = Run { cancel: task, ..run };
            let stream = backend.execute(&runnable.prepared, &run).await;
            stream.map_err(|error| DataFusionError::External(Box::new(QueryError::from(error))))
        };
        let time_to_live = time_to_live(&planned.versions);
        let answered = self.cache.answer(key, schema, time_to_live, compute);
        tokio::select! {
            answer = answered => Ok(answer),
            () = cancel.cancelled() => Err(crate::backend::BackendError::Cancelled.into()),
        }
    }

    /// What the answer is kept under, as the sources' data are now.
    pub(super) async fn key(
        &self,
        planned: &PlannedQuery,
        runnable: &Runnable,
    ) -> Result<CacheKey, QueryError> {
        let model = &planned.definitions.set()?.model;
        let budget = budget(&planned.versions);
        let mut tokens = Vec::with_capacity(runnable.sources.len());
        for source in &runnable.sources {
            let state = self.sources.get(self.backend.as_ref(), source, budget).await?;
            tokens.push((source.table.clone(), state.change_token));
        }
        if is_volatile(runnable.logical.plan())? {
            tokens.push((String::new(), uuid::Uuid::new_v4().to_string()));
        }
        let (model, plan) = (model.fingerprint, runnable.logical.clone());
        Ok(CacheKey { model, plan, sources: tokens })
    }
}

/// Whether the same question has another answer each time, so that none is good for another asker.
fn is_volatile(plan: &LogicalPlan) -> Result<bool, QueryError> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found |= expr.is_volatile();
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })
    .map_err(PlanError::from)?;
    Ok(found)
}

/// How long an answer is kept, if the data don't change.
pub(super) fn time_to_live(versions: &[Arc<MetricVersion>]) -> Duration {
    budget(versions).unwrap_or(TIME_TO_LIVE_DEFAULT)
}

/// The plan with the statement's time where the definitions ask for it (which row of a history is
/// valid now), and whether they do.
fn at_statement_time(
    plan: LogicalPlan,
    now: DateTime<Utc>,
    zone: &TimeZone,
) -> Result<(LogicalPlan, bool), PlanError> {
    if !parameters::reads_clock(&plan)? {
        return Ok((plan, false));
    }
    Ok((parameters::fill(&plan, &Filling::Values(&[]), now, zone)?, true))
}

/// The schema of a plan's output, without qualifiers.
fn positional_schema(plan: &LogicalPlan) -> SchemaRef {
    let fields: Vec<_> = plan.schema().fields().iter().cloned().collect();
    Arc::new(Schema::new(fields))
}

/// The shortest freshness budget of the metrics in a question.
pub(super) fn budget(versions: &[Arc<MetricVersion>]) -> Option<Duration> {
    versions.iter().filter_map(|version| version.freshness.as_ref()).map(|it| it.budget).min()
}

/// The entities' sources that a plan reads, sorted by table.
fn sources_of(model: &Model, plan: &LogicalPlan) -> Result<Vec<Source>, QueryError> {
    let mut tables: BTreeSet<String> = BTreeSet::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(source) = SourceTable::of(&scan.source)
        {
            tables.insert(source.table.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(PlanError::from)?;
    let by_table: BTreeMap<&str, &Source> = model
        .entities
        .values()
        .map(|entity| (entity.source.table.as_str(), &entity.source))
        .collect();
    let known = tables.iter().filter_map(|table| by_table.get(table.as_str()));
    Ok(known.map(|source| (*source).clone()).collect())
}

/// What reaches ClickHouse's query_log beside the query id.
pub(super) fn log_comment(planned: &PlannedQuery, context: &RequestContext) -> String {
    let versions: Vec<String> =
        planned.versions.iter().map(|it| format!("{}@{}", it.metric, it.version)).collect();
    serde_json::json!({
        "service": "canon",
        "role": context.role,
        "application": context.application_name,
        "metrics": versions,
    })
    .to_string()
}

/// What must be said of the versions that a question used.
fn notices(versions: &[Arc<MetricVersion>]) -> Vec<Notice> {
    let deprecated = versions.iter().filter(|version| version.status == Status::Deprecated);
    deprecated
        .map(|version| Notice {
            severity: "NOTICE",
            sqlstate: "01000",
            message: format!(
                "metric \"{}\" version {} is deprecated",
                version.metric, version.version
            ),
            detail: version.sunset.map(|sunset| format!("It can be asked for until {sunset}.")),
            hint: version.replaced_by.as_ref().map(|successor| {
                format!("Use version {successor}: \"{}_v{}\".", version.metric, successor.major)
            }),
        })
        .collect()
}

/// What must be said of measures that are shown by row.
fn previewed(previews: &[Preview]) -> Option<Notice> {
    let first = previews.first()?;
    let (metric, column) = (&first.metric, &first.column);
    let value = match first.is_null {
        true => "is NULL, since a single row has no value of it",
        false => "is that of each row",
    };
    Some(Notice {
        severity: "NOTICE",
        sqlstate: "01000",
        message: format!("metric \"{metric}\" cannot be grouped by \"{column}\": rows are shown"),
        detail: Some(format!("A LIMIT without ORDER BY shows rows; the measure {value}.")),
        hint: Some("Write GROUP BY, or ORDER BY, for values of groups.".to_owned()),
    })
}

/// The session's TimeZone.
pub(super) fn session_zone(context: &RequestContext) -> TimeZone {
    let zone = context.settings.get("timezone").and_then(|name| TimeZone::parse(name));
    zone.unwrap_or(TimeZone::UTC)
}

/// The session's settings that change what a statement means; pins of the role's consumer first.
fn bind_settings(model: &Model, context: &RequestContext) -> Result<BindSettings, QueryError> {
    let consumer = model.consumers.values().find(|consumer| consumer.roles.contains(&context.role));
    let setting = |name: &str| context.settings.get(name).map(String::as_str);
    let mut pins = consumer.map(|consumer| consumer.pins.clone()).unwrap_or_default();
    for (metric, major) in crate::sql::settings::pins(setting("canon.pins").unwrap_or_default()) {
        if !model.metrics.contains_key(metric) && !model.segments.contains_key(metric) {
            let names = model.metrics.keys().chain(model.segments.keys()).map(String::as_str);
            let near = bind::nearest(metric, names);
            return Err(bind::BindError::UnknownMetric { metric: metric.to_owned(), near }.into());
        }
        pins.insert(metric.to_owned(), major);
    }
    let on = |value: &str| crate::sql::settings::parse_bool(value).unwrap_or(false);
    let strict = setting("canon.strict").is_some_and(on) || consumer.is_some_and(|it| it.strict);
    let path = setting("search_path").unwrap_or("public");
    let mut search_path: Vec<String> = path
        .split(',')
        .map(|part| part.trim().trim_matches('"').to_owned())
        .filter(|part| !part.is_empty() && part != "$user")
        .collect();
    // Relations of the model are found wherever the path leads: it can't hide them.
    if !search_path.iter().any(|schema| schema == "public") {
        search_path.push("public".to_owned());
    }
    let time_zone = setting("timezone").unwrap_or("UTC").to_owned();
    let as_of = as_of(model, setting("canon.as_of").unwrap_or_default())?;
    let fill = setting("canon.fill").is_some_and(on);
    Ok(BindSettings { pins, strict, search_path, as_of, time_zone, fill, ..Default::default() })
}

/// The moment as of which numbers are asked. A date is its beginning in the project's zone, as is
/// the wall clock of a timestamp without a zone: the session's zone changes no number.
fn as_of(model: &Model, setting: &str) -> Result<Option<DateTime<Utc>>, QueryError> {
    let moment = crate::sql::settings::as_of(setting, &TimeZone::Named(model.project.timezone));
    match moment {
        // What is yet to come in would change the answer.
        Some(moment) if moment > Utc::now() => {
            Err(EngineError::AsOfFuture { value: setting.to_owned() }.into())
        }
        moment => Ok(moment),
    }
}
