//! EXPLAIN (CANON): an answer explained to whoever reads or owns the number, one fact a line: which
//! versions answer and why, which rows count and why the others don't, how new the data are.

mod computed;
mod lines;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Int64Type;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use futures::TryStreamExt;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use computed::computed_as;

use super::QueryEngine;
use super::data::{PlannedQuery, Runnable, budget};
use super::freshness::{budget_of, is_over};
use super::live::status;
use super::parameters::{self, Filling};
use crate::backend::Run;
use crate::bind::relation::ColumnKind;
use crate::bind::{RelationScan, ScanKind};
use crate::error::QueryError;
use crate::model::entity::AsOf;
use crate::model::{MetricVersion, Model, Pick, Status};
use crate::observe::Statement;
use crate::plan::PlanError;
use crate::plan::account::{self, Account, Counts, Join, SegmentJoin, Step};
use crate::session::engine::RequestContext;
use crate::session::stream_error;

/// Rows are counted for so many metrics of a statement: each count is a statement of its own.
const ACCOUNTS_MAX: usize = 32;

/// What EXPLAIN (CANON) says; `FORMAT JSON` gives it as it is.
#[derive(Debug, Serialize)]
pub(super) struct Explanation {
    metrics: Vec<MetricNote>,
    sources: Vec<SourceNote>,
    /// Policies that hide rows or values from the role; there are none yet.
    policies: Vec<String>,
    cache: CacheNote,
    backend: &'static str,
    /// The statements that the backend is sent for the answer.
    sent: Vec<String>,
}

#[derive(Debug, Serialize)]
struct MetricNote {
    metric: String,
    version: String,
    /// Why this version.
    chosen: String,
    status: &'static str,
    sunset: Option<String>,
    replaced_by: Option<String>,
    intent: String,
    not_for: Vec<String>,
    owner: String,
    contact: Option<String>,
    unit: Option<String>,
    computed_as: String,
    time: Option<TimeNote>,
    freshness: Option<FreshnessNote>,
    rows: Vec<RowsNote>,
}

#[derive(Debug, Serialize)]
struct TimeNote {
    column: String,
    timezone: String,
}

#[derive(Debug, Serialize)]
struct FreshnessNote {
    budget_seconds: u64,
    decision: Option<String>,
}

/// The rows of one source that a metric, or a part of it, counts.
#[derive(Debug, Serialize)]
struct RowsNote {
    metric: String,
    version: String,
    /// What the asked metric makes of this one: `1 year earlier`.
    role: Vec<String>,
    relation: String,
    source: String,
    source_rows: i64,
    /// In order: a row is counted at the first that drops it.
    dropped: Vec<StepNote>,
    counted: i64,
    /// Of those that count; None where the question isn't about time.
    without_time: Option<i64>,
    joins: Vec<JoinNote>,
    segments: Vec<SegmentNote>,
}

#[derive(Debug, Serialize)]
struct StepNote {
    /// `dedupe`, `question`, `rule`, `filter`, `partner`, `window`, `series`, `member`,
    /// `time`, `late_data` or `as_of`.
    by: &'static str,
    what: String,
    why: Option<String>,
    rows: i64,
}

#[derive(Debug, Serialize)]
struct JoinNote {
    relationship: String,
    relation: String,
    key: Vec<String>,
    /// Of a history: `event`, the row valid at the counted row's own time, or `current`.
    as_of: Option<&'static str>,
    missing: Option<String>,
    unmatched: Option<String>,
    needed_for: Vec<String>,
}

/// A segment whose groups rows are told apart by.
#[derive(Debug, Serialize)]
struct SegmentNote {
    segment: String,
    version: String,
    /// The way to the member; empty where the rows are of members themselves.
    relationship: String,
    /// `event`: in which group the member was at the counted row's own time; or `current`.
    as_of: &'static str,
    /// The metrics that its rules compare: `revenue@2 over 365 days`.
    reads: Vec<String>,
    needed_for: Vec<String>,
}

#[derive(Debug, Serialize)]
struct SourceNote {
    source: String,
    /// The newest ingestion time, where the source has one.
    data_as_of: Option<String>,
    /// Whether that is longer ago than the metrics that count its rows allow.
    over_budget: Option<bool>,
}

#[derive(Debug, Serialize)]
struct CacheNote {
    hit: bool,
    age_seconds: Option<u64>,
    time_to_live_seconds: u64,
    versions: Vec<String>,
}

impl QueryEngine {
    /// Explains a question; the rows are counted by statements of their own.
    pub(super) async fn accounted(
        &self,
        planned: &PlannedQuery,
        runnable: &Runnable,
        params: &[ScalarValue],
        context: &RequestContext,
        cancel: CancellationToken,
    ) -> Result<Explanation, QueryError> {
        let model = &planned.definitions.set()?.model;
        let now = Utc::now();
        let bound = parameters::fill_statement(
            &planned.bound,
            &Filling::Values(params),
            now,
            &planned.zones,
        );
        let bound = bound.map_err(PlanError::from)?;
        let accounts = account::accounts(model, &bound, Utc::now())?;
        let mut statement = self.statement(planned, context);
        let mut rows = Vec::new();
        for (number, account) in accounts.iter().take(ACCOUNTS_MAX).enumerate() {
            let run = Run {
                query_id: format!("{}-{number}", statement.query_id()),
                log_comment: super::data::log_comment(planned, context),
                cancel: cancel.clone(),
                deadline: context.statement_timeout.map(|timeout| Instant::now() + timeout),
                stats: statement.stats(),
            };
            let counts = match self.counted(account, &run).await {
                Ok(counts) => counts,
                Err(error) => {
                    statement.failed(&error);
                    return Err(error);
                }
            };
            rows.push((account, counts));
        }
        let explanation = Explanation {
            metrics: metric_notes(model, planned, context, &bound, &rows)?,
            sources: self.source_notes(planned, runnable, now).await?,
            policies: Vec::new(),
            cache: self.cache_note(planned, runnable).await?,
            backend: self.backend.name(),
            sent: runnable.prepared.pushed.clone(),
        };
        finish(statement);
        Ok(explanation)
    }

    async fn counted(&self, account: &Account, run: &Run) -> Result<Counts, QueryError> {
        let prepared = self.backend.prepare(account.plan.clone())?;
        let stream = self.backend.execute(&prepared, run).await?;
        let batches: Vec<_> = stream.try_collect().await.map_err(stream_error)?;
        let mut rows = Vec::new();
        for batch in &batches {
            let columns: Option<Vec<_>> =
                batch.columns().iter().map(|it| it.as_primitive_opt::<Int64Type>()).collect();
            let columns = columns.unwrap_or_default();
            let row = |index: usize| columns.iter().map(|column| column.value(index)).collect();
            rows.extend((0..batch.num_rows()).map(row));
        }
        let missing = || PlanError::Internal("the rows of a source weren't counted".to_owned());
        Ok(account.counts(&rows).ok_or_else(missing)?)
    }

    async fn source_notes(
        &self,
        planned: &PlannedQuery,
        runnable: &Runnable,
        now: DateTime<Utc>,
    ) -> Result<Vec<SourceNote>, QueryError> {
        let budget = budget(&planned.versions);
        let mut notes = Vec::new();
        for source in &runnable.sources {
            let state = self.sources.get(self.backend.as_ref(), source, budget).await?;
            let as_of = state.watermark_us.and_then(DateTime::from_timestamp_micros);
            let model = &planned.definitions.set()?.model;
            let own = budget_of(model, &planned.versions, &source.table).map(|(budget, _)| budget);
            notes.push(SourceNote {
                source: source.table.clone(),
                data_as_of: as_of.map(|it| it.to_rfc3339_opts(SecondsFormat::Secs, true)),
                over_budget: as_of.zip(own).map(|(as_of, own)| is_over(as_of, now, own)),
            });
        }
        Ok(notes)
    }

    async fn cache_note(
        &self,
        planned: &PlannedQuery,
        runnable: &Runnable,
    ) -> Result<CacheNote, QueryError> {
        let key = self.key(planned, runnable).await?;
        let age = self.cache.age(&key).await;
        Ok(CacheNote {
            hit: age.is_some(),
            age_seconds: age.map(|age| age.as_secs()),
            time_to_live_seconds: super::data::time_to_live(&planned.versions).as_secs(),
            versions: planned.versions.iter().map(|version| named(version)).collect(),
        })
    }
}

fn finish(mut statement: Statement) {
    statement.finished();
}

fn named(version: &MetricVersion) -> String {
    format!("{} {}", version.metric, version.version)
}

fn metric_notes(
    model: &Model,
    planned: &PlannedQuery,
    context: &RequestContext,
    bound: &LogicalPlan,
    accounts: &[(&Account, Counts)],
) -> Result<Vec<MetricNote>, QueryError> {
    let by_name = named_majors(bound)?;
    let asked = account::asked(model, bound)?;
    let is_asked = |version: &&Arc<MetricVersion>| asked.iter().any(|it| Arc::ptr_eq(it, version));
    let mut notes = Vec::new();
    for version in planned.versions.iter().filter(is_asked) {
        let Some(metric) = model.metrics.get(&version.metric) else { continue };
        let is_own = |(account, _): &&(&Account, Counts)| {
            account.asked.iter().any(|asked| Arc::ptr_eq(asked, version))
        };
        let rows = accounts.iter().filter(is_own);
        notes.push(MetricNote {
            metric: version.metric.clone(),
            version: version.version.to_string(),
            chosen: chosen(model, context, &by_name, version),
            status: status(version.status),
            sunset: version.sunset.map(|date| date.to_string()),
            replaced_by: version.replaced_by.as_ref().map(ToString::to_string),
            intent: metric.intent.clone(),
            not_for: metric.not_for.clone(),
            owner: metric.owner.team.clone(),
            contact: metric.owner.contact.clone(),
            unit: version.unit.clone(),
            computed_as: computed_as(model, version),
            time: version.time.as_ref().map(|time| TimeNote {
                column: time.event.clone(),
                timezone: time.zone.name().into_owned(),
            }),
            freshness: version.freshness.as_ref().map(|freshness| FreshnessNote {
                budget_seconds: freshness.budget.as_secs(),
                decision: freshness.decision.clone(),
            }),
            rows: rows.map(|(account, counts)| rows_note(account, counts)).collect(),
        });
    }
    Ok(notes)
}

/// The columns by which a statement names a major version itself, such as `revenue_v1`, by metric
/// and version.
fn named_majors(bound: &LogicalPlan) -> Result<BTreeMap<(String, String), String>, QueryError> {
    let mut names = BTreeMap::new();
    let walked = bound.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(scan) = RelationScan::of(&scan.source)
        {
            for column in &scan.columns {
                let declared = scan.relation.position(&column.name);
                let declared = declared.map(|index| &scan.relation.columns[index].kind);
                if let (ScanKind::Measure(version), Some(ColumnKind::Measure(measure))) =
                    (&column.kind, declared)
                    && measure.major.is_some()
                {
                    let key = (version.metric.clone(), version.version.to_string());
                    let relation = &scan.relation;
                    let name = match relation.metric {
                        Some(_) => format!("{}.{}", relation.schema, relation.name),
                        None => column.name.clone(),
                    };
                    names.insert(key, name);
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.map_err(PlanError::from)?;
    Ok(names)
}

/// Why this version answers.
fn chosen(
    model: &Model,
    context: &RequestContext,
    by_name: &BTreeMap<(String, String), String>,
    version: &MetricVersion,
) -> String {
    if let Some(name) = by_name.get(&(version.metric.clone(), version.version.to_string())) {
        return format!("the question names {name}");
    }
    let setting = context.settings.get("canon.pins").map_or("", String::as_str);
    if crate::sql::settings::pins(setting).iter().any(|(metric, _)| *metric == version.metric) {
        return format!("canon.pins says {}", version.version.major);
    }
    let consumer = model.consumers.values().find(|consumer| consumer.roles.contains(&context.role));
    if let Some(consumer) = consumer.filter(|it| it.pins.contains_key(&version.metric)) {
        return format!("consumer {} pins {}", consumer.name, version.version.major);
    }
    match version.status {
        Status::Active => "the newest active version, as nobody asks for another".to_owned(),
        _ => "the newest version that can be asked for, as none is active".to_owned(),
    }
}

fn rows_note(account: &Account, counts: &Counts) -> RowsNote {
    let steps = account.steps.iter().zip(&counts.dropped);
    RowsNote {
        metric: account.version.metric.clone(),
        version: account.version.version.to_string(),
        role: account.role.clone(),
        relation: account.entity.relation.clone(),
        source: account.entity.source.table.clone(),
        source_rows: counts.source,
        dropped: steps.map(|(step, rows)| step_note(account, step, *rows)).collect(),
        counted: counts.counted,
        without_time: account.uses_time.then_some(counts.without_time),
        joins: account.joins.iter().map(join_note).collect(),
        segments: account.segments.iter().map(segment_note).collect(),
    }
}

fn step_note(account: &Account, step: &Step, rows: i64) -> StepNote {
    match step {
        Step::Dedupe => {
            let what = account.entity.source.dedupe.as_ref().map(|dedupe| {
                let deleted = dedupe.deleted.as_ref();
                let deleted = deleted.map(|it| format!(", unless {it}")).unwrap_or_default();
                format!(
                    "one row for each {}, the latest {}{deleted}",
                    dedupe.by.join(", "),
                    dedupe.latest
                )
            });
            let why = Some("older versions, repeated deliveries and deleted rows".to_owned());
            StepNote { by: "dedupe", what: what.unwrap_or_default(), why, rows }
        }
        Step::NotYet(as_of) => {
            let as_of = as_of.to_rfc3339_opts(SecondsFormat::Secs, true);
            StepNote { by: "as_of", what: format!("came in at {as_of} or later"), why: None, rows }
        }
        Step::Late(days) => {
            let what = match days {
                0 => "came after their day".to_owned(),
                1 => "came more than a day after their day".to_owned(),
                days => format!("came more than {days} days after their day"),
            };
            let why = Some("late data are dropped".to_owned());
            StepNote { by: "late_data", what, why, rows }
        }
        Step::Statement => {
            let what = "its WHERE, joins and FILTER".to_owned();
            StepNote { by: "question", what, why: None, rows }
        }
        Step::Rule(index) => {
            let rule = &account.version.eligibility[*index];
            StepNote { by: "rule", what: rule.rule.clone(), why: Some(rule.why.clone()), rows }
        }
        Step::Filter(text) => {
            let why = Some("the filter of a metric that is built on it".to_owned());
            StepNote { by: "filter", what: text.clone(), why, rows }
        }
        Step::NoPartner(span) => {
            let what = format!("its day has none {span} later");
            StepNote { by: "partner", what, why: None, rows }
        }
        Step::Window => {
            let what = "in the window of none of the periods shown".to_owned();
            StepNote { by: "window", what, why: None, rows }
        }
        Step::Series(pick) => {
            let what = match pick {
                Pick::Last => "not the last of its series in any period shown",
                Pick::First => "not the first of its series in any period shown",
                Pick::Min | Pick::Max | Pick::Avg => "in none of the periods shown",
            };
            StepNote { by: "series", what: format!("{what}, or without a value"), why: None, rows }
        }
        Step::NoMember => {
            let what = "nobody to follow".to_owned();
            StepNote { by: "member", what, why: Some("its key is empty".to_owned()), rows }
        }
        Step::NoTime => {
            let what = "no time".to_owned();
            let why = Some("it has no place among the others of its member".to_owned());
            StepNote { by: "time", what, why, rows }
        }
    }
}

fn join_note(join: &Join) -> JoinNote {
    JoinNote {
        relationship: join.path.clone(),
        relation: join.relation.clone(),
        key: join.key.clone(),
        as_of: join.as_of.map(as_of),
        missing: join.missing.clone(),
        unmatched: join.unmatched.clone(),
        needed_for: join.reasons.clone(),
    }
}

fn as_of(row: AsOf) -> &'static str {
    match row {
        AsOf::Event => "event",
        AsOf::Current => "current",
    }
}

fn segment_note(join: &SegmentJoin) -> SegmentNote {
    let reads = join.version.values.iter().map(|value| match value.window {
        Some(window) => format!("{} over {window}", value.metric),
        None => value.metric.to_string(),
    });
    SegmentNote {
        segment: join.version.segment.clone(),
        version: join.version.version.to_string(),
        relationship: join.path.clone(),
        as_of: as_of(join.as_of),
        reads: reads.collect(),
        needed_for: join.reasons.clone(),
    }
}

/// A duration in the largest unit that says it exactly.
pub(super) fn words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    let fitting =
        units.into_iter().find(|(length, _)| seconds > 0 && seconds.is_multiple_of(*length));
    let (length, unit) = fitting.unwrap_or((1, "second"));
    match seconds / length {
        1 => format!("1 {unit}"),
        count => format!("{count} {unit}s"),
    }
}
