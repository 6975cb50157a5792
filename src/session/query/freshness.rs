//! Answers older than the freshness budget of their metrics: said to the client, and in
//! `canon.sources`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, TimestampMicrosecondArray,
};
use datafusion::error::Result;

use super::QueryEngine;
use super::account::words;
use super::data::{PlannedQuery, Runnable, budget};
use super::live::{batch, texts};
use crate::cache::SourceStates;
use crate::error::QueryError;
use crate::model::{MetricVersion, Model};
use crate::session::engine::Notice;

/// The shortest freshness budget of metrics that count the rows of a source, with the metric.
pub(super) fn budget_of<'v>(
    model: &Model,
    versions: impl IntoIterator<Item = &'v Arc<MetricVersion>>,
    table: &str,
) -> Option<(Duration, &'v Arc<MetricVersion>)> {
    let counts = |version: &&'v Arc<MetricVersion>| {
        model.entities.get(&version.entity).is_some_and(|entity| entity.source.table == table)
    };
    let counting = versions.into_iter().filter(counts);
    let budgets = counting.filter_map(|it| Some((it.freshness.as_ref()?.budget, it)));
    budgets.min_by_key(|(budget, _)| *budget)
}

/// Whether data of a moment are older than a budget.
pub(super) fn is_over(as_of: DateTime<Utc>, now: DateTime<Utc>, budget: Duration) -> bool {
    // Data of the future are new.
    (now - as_of).to_std().is_ok_and(|age| age > budget)
}

impl QueryEngine {
    /// What must be said of an answer whose data are older than its metrics allow; at most one
    /// notice, of the source that is furthest over.
    pub(super) async fn staleness(
        &self,
        planned: &PlannedQuery,
        runnable: &Runnable,
        now: DateTime<Utc>,
    ) -> std::result::Result<Option<Notice>, QueryError> {
        let model = &planned.definitions.set()?.model;
        let shortest = budget(&planned.versions);
        let mut worst: Option<(DateTime<Utc>, Notice)> = None;
        for source in &runnable.sources {
            let Some((budget, version)) = budget_of(model, &planned.versions, &source.table) else {
                continue;
            };
            let state = self.sources.get(self.backend.as_ref(), source, shortest).await?;
            let as_of = state.watermark_us.and_then(DateTime::from_timestamp_micros);
            let Some(as_of) = as_of.filter(|as_of| is_over(*as_of, now, budget)) else { continue };
            if worst.as_ref().is_none_or(|(known, _)| as_of < *known) {
                worst = Some((as_of, notice(&source.table, as_of, budget, version)));
            }
        }
        Ok(worst.map(|(_, notice)| notice))
    }
}

fn notice(table: &str, as_of: DateTime<Utc>, budget: Duration, version: &MetricVersion) -> Notice {
    let decision = version.freshness.as_ref().and_then(|freshness| freshness.decision.as_ref());
    let decision = decision.map(|it| format!(", in order to {it}")).unwrap_or_default();
    Notice {
        severity: "NOTICE",
        sqlstate: "01000",
        message: format!("data as of {}, older than the freshness budget", shown(as_of)),
        detail: Some(format!(
            "The newest row of source \"{table}\" came then; metric \"{}\" may be {} old at most{decision}.",
            version.metric,
            words(budget),
        )),
        hint: Some("canon.sources shows how new each source is.".to_owned()),
    }
}

fn shown(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The rows of `canon.sources`: every source of the definitions, as it was when it was last asked
/// about.
pub(super) fn rows(model: &Model, states: &SourceStates) -> Result<RecordBatch> {
    let mut tables: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for entity in model.entities.values() {
        tables.entry(&entity.source.table).or_default().push(&entity.name);
    }
    let now = Utc::now();
    let known = states.known();
    let versions = || model.metrics.values().filter_map(|metric| metric.default_version());
    let budgets: Vec<Option<Duration>> =
        tables.keys().map(|table| Some(budget_of(model, versions(), table)?.0)).collect();
    let as_of: Vec<Option<DateTime<Utc>>> = tables
        .keys()
        .map(|table| DateTime::from_timestamp_micros(known.get(*table)?.1.watermark_us?))
        .collect();
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    let seen = tables.keys().map(|table| known.get(*table).map(|(age, _)| seconds(*age)));
    let over = as_of.iter().zip(&budgets).map(|(as_of, budget)| {
        let (as_of, budget) = as_of.as_ref().zip(budget.as_ref())?;
        Some(is_over(*as_of, now, *budget))
    });
    let micros = as_of.iter().map(|as_of| as_of.map(|as_of| as_of.timestamp_micros()));
    let moments = micros.collect::<TimestampMicrosecondArray>();
    let ints = |values: Vec<Option<i64>>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
    batch(vec![
        ("source", texts(tables.keys().map(|table| (*table).to_owned()))),
        ("entities", texts(tables.values().map(|entities| entities.join(", ")))),
        ("data_as_of", Arc::new(moments.with_timezone("UTC"))),
        ("budget_seconds", ints(budgets.iter().map(|budget| budget.map(seconds)).collect())),
        ("over_budget", Arc::new(over.collect::<BooleanArray>())),
        ("asked_seconds_ago", ints(seen.collect())),
    ])
}
