//! EXPLAIN: the plan, the border, what the backend is sent; with ANALYZE what it cost.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::sqlparser::ast::UtilityOption;
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::QueryEngine;
use super::data::{PlannedQuery, Runnable};
use super::error::EngineError;
use crate::cache::Outcome;
use crate::error::QueryError;
use crate::model::{AfterClose, LateData, MetricVersion};
use crate::session::engine::{QueryRows, RequestContext};
use crate::session::stream_error;
use crate::sql::settings::parse_bool;

/// What EXPLAIN is to show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// Run it, and show what that took.
    pub(super) analyze: bool,
    /// Explain the numbers rather than the plan.
    pub(super) canon: bool,
    /// One document instead of lines; of CANON only.
    pub(super) json: bool,
}

impl Options {
    /// The parenthesised options of EXPLAIN.
    ///
    /// # Errors
    /// [`EngineError::ExplainOption`] for options that canon doesn't know.
    pub(super) fn of(options: Option<&[UtilityOption]>) -> Result<Self, EngineError> {
        let mut found = Self::default();
        let mut format = None;
        for option in options.unwrap_or_default() {
            let value = option.arg.as_ref().map(|arg| arg.to_string().to_lowercase());
            let is_on = || value.as_deref().is_none_or(|it| parse_bool(it).unwrap_or(false));
            match option.name.value.to_lowercase().as_str() {
                "analyze" => found.analyze = is_on(),
                "canon" => found.canon = is_on(),
                "format" => format = Some(value.unwrap_or_default()),
                // What Postgres would add to its plans says nothing of ours.
                "verbose" | "costs" | "buffers" | "timing" | "summary" | "settings" | "wal" => {}
                _ => return Err(EngineError::ExplainOption { option: option.name.value.clone() }),
            }
        }
        match format.as_deref() {
            None | Some("text") => {}
            Some("json") if found.canon && !found.analyze => found.json = true,
            Some(_) => return Err(EngineError::ExplainOption { option: "FORMAT".to_owned() }),
        }
        Ok(found)
    }
}

/// A catalogue query has no plan worth showing.
pub(super) fn of_catalog(options: Options) -> Result<QueryRows, QueryError> {
    let line = "Catalog query: answered from memory";
    rows(vec![match options.json {
        true => serde_json::json!({ "catalog": line }).to_string(),
        false => line.to_owned(),
    }])
}

impl QueryEngine {
    pub(super) async fn explain(
        &self,
        planned: &PlannedQuery,
        params: Vec<ScalarValue>,
        context: &RequestContext,
        cancel: CancellationToken,
        options: Options,
    ) -> Result<QueryRows, QueryError> {
        if let Some(loaded) = planned.in_memory() {
            return rows(loaded.described());
        }
        let runnable = self.resolved(planned, &params)?;
        let mut lines = match options.canon {
            true => {
                let cancel = cancel.clone();
                let explained =
                    self.accounted(planned, &runnable, &params, context, cancel).await?;
                match options.json {
                    true => vec![explained.json()?],
                    false => explained.lines(),
                }
            }
            false => self.described(planned, &runnable),
        };
        if options.analyze {
            lines.extend(self.measured(planned, &runnable, context, cancel).await?);
        }
        rows(lines)
    }

    /// The metrics, the plan with the border in it, and the statements below the border.
    fn described(&self, planned: &PlannedQuery, runnable: &Runnable) -> Vec<String> {
        let mut lines = vec![format!("Backend: {}", self.backend.name())];
        for version in &planned.versions {
            lines.push(metric_line(version));
        }
        lines.push("Plan:".to_owned());
        let plan = runnable.prepared.plan.display_indent().to_string();
        lines.extend(plan.lines().map(|line| format!("  {line}")));
        for statement in &runnable.prepared.pushed {
            lines.push(format!("Sent to {}:", self.backend.name()));
            lines.extend(statement.lines().map(|line| format!("  {line}")));
        }
        lines
    }

    /// Runs the question, and says what that took.
    async fn measured(
        &self,
        planned: &PlannedQuery,
        runnable: &Arc<Runnable>,
        context: &RequestContext,
        cancel: CancellationToken,
    ) -> Result<Vec<String>, QueryError> {
        let mut statement = self.statement(planned, context);
        let answer = self.answer(planned, runnable, &statement, context, cancel).await?;
        let (outcome, age) = (answer.outcome, answer.age);
        statement.answered(outcome.name(), age);
        let mut batches = answer.batches;
        let mut row_count = 0usize;
        while let Some(batch) = batches.next().await {
            row_count += batch.map_err(stream_error)?.num_rows();
        }
        statement.sent(row_count);
        statement.finished();
        let stats = statement.stats();
        let ms = |us: u64| format!("{}.{:03} ms", us / 1_000, us % 1_000);
        let total_us = u64::try_from(statement.elapsed().as_micros()).unwrap_or(u64::MAX);
        Ok(vec![
            format!("Cache: {}", cache_line(outcome, age)),
            format!("Rows returned: {row_count}"),
            format!("Rows read: {}", stats.rows_read.load(Ordering::Relaxed)),
            format!("Bytes read: {}", stats.bytes_read.load(Ordering::Relaxed)),
            format!("Backend time: {}", ms(stats.backend_us.load(Ordering::Relaxed))),
            format!("Total time: {}", ms(total_us)),
            format!("Query id: {}", statement.query_id()),
        ])
    }
}

fn metric_line(version: &MetricVersion) -> String {
    let mut line = format!("Metric: {} {}", version.metric, version.version);
    if let Some(time) = &version.time {
        line.push_str(&format!(", time {} in {}", time.event, time.zone.name()));
        if let LateData {
            window_days,
            after: after @ (AfterClose::BookOnArrival | AfterClose::Drop),
        } = time.late_data
        {
            line.push_str(&format!(", {} after {window_days} days", after.name()));
        }
    }
    for rule in &version.eligibility {
        line.push_str(&format!(", where {}", rule.rule));
    }
    line
}

fn cache_line(outcome: Outcome, age: Duration) -> String {
    match outcome {
        Outcome::Hit => format!("hit, computed {} s ago", age.as_secs()),
        Outcome::Joined | Outcome::Miss | Outcome::Bypass => outcome.name().to_owned(),
    }
}

/// Lines as rows of one text column.
fn rows(lines: Vec<String>) -> Result<QueryRows, QueryError> {
    let schema = Arc::new(Schema::new(vec![Field::new("QUERY PLAN", DataType::Utf8, false)]));
    let column: ArrayRef = Arc::new(StringArray::from(lines));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column])
        .map_err(|error| stream_error(DataFusionError::from(error)))?;
    let stream = futures::stream::iter([Ok(batch)]);
    let batches = Box::pin(RecordBatchStreamAdapter::new(schema, stream));
    Ok(QueryRows { batches, notices: Vec::new(), command: "EXPLAIN" })
}
