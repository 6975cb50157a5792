//! EXPLAIN: the plan, the border, what the backend is sent; with ANALYZE what it cost. As text it
//! reads as canon thinks; the other formats have the shape that tools know from Postgres.

mod document;
mod format;

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
use crate::session::engine::{Column, QueryRows, RequestContext};
use crate::session::stream_error;
use crate::sql::settings::parse_bool;
use crate::sql::types::PgType;

/// What EXPLAIN is to show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// Run it, and show what that took.
    pub(super) analyze: bool,
    /// Explain the numbers rather than the plan.
    pub(super) canon: bool,
    pub(super) format: Format,
}

/// How an explanation is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Format {
    /// A row for each line; the others are one document.
    #[default]
    Text,
    Json,
    Xml,
    Yaml,
}

impl Options {
    /// The options of EXPLAIN; `analyze` where the word stands outside of the parentheses.
    ///
    /// # Errors
    /// [`EngineError::ExplainOption`] and [`EngineError::ExplainValue`] for options that canon
    /// doesn't know, and where options don't go together.
    pub(super) fn of(
        options: Option<&[UtilityOption]>,
        analyze: bool,
    ) -> Result<Self, EngineError> {
        let mut found = Self { analyze, ..Self::default() };
        let mut of_runs = None;
        for option in options.unwrap_or_default() {
            let value = option.arg.as_ref().map(|arg| arg.to_string().to_lowercase());
            let value = value.as_deref().map(|value| value.trim_matches(['\'', '"']));
            let is_on = |option| match value {
                None => Ok(true),
                Some(value) => parse_bool(value)
                    .ok_or_else(|| EngineError::ExplainValue { option, value: value.to_owned() }),
            };
            match option.name.value.to_lowercase().as_str() {
                "analyze" | "analyse" => found.analyze = is_on("analyze")?,
                "canon" => found.canon = is_on("canon")?,
                "format" => found.format = Format::of(value.unwrap_or_default())?,
                "timing" if is_on("timing")? => of_runs = Some("TIMING"),
                "wal" if is_on("wal")? => of_runs = Some("WAL"),
                // What Postgres would add to its plans says nothing of ours.
                "verbose" | "costs" | "buffers" | "timing" | "summary" | "settings" | "wal" => {}
                _ => return Err(EngineError::ExplainOption { option: option.name.value.clone() }),
            }
        }
        match (found.canon, found.format) {
            (true, Format::Xml) => Err(EngineError::ExplainFormat { format: "xml" }),
            (true, Format::Yaml) => Err(EngineError::ExplainFormat { format: "yaml" }),
            (true, Format::Json) if found.analyze => {
                Err(EngineError::ExplainFormat { format: "json" })
            }
            _ => match of_runs.filter(|_| !found.analyze) {
                Some(option) => Err(EngineError::ExplainNeedsAnalyze { option }),
                None => Ok(found),
            },
        }
    }

    /// Of the one column of the explanation.
    pub(super) fn pg_type(self) -> PgType {
        match self.format {
            Format::Json => PgType::Json,
            Format::Text | Format::Xml | Format::Yaml => PgType::Text,
        }
    }
}

impl Format {
    fn of(value: &str) -> Result<Self, EngineError> {
        match value {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            "xml" => Ok(Self::Xml),
            "yaml" => Ok(Self::Yaml),
            _ => Err(EngineError::ExplainValue { option: "format", value: value.to_owned() }),
        }
    }
}

/// A catalogue query has no plan worth showing.
pub(super) fn of_catalog(options: Options, columns: &[Column]) -> Result<QueryRows, QueryError> {
    let line = "Catalog query: answered from memory";
    rows(match (options.format, options.canon) {
        (Format::Text, _) => vec![line.to_owned()],
        (_, true) => vec![serde_json::json!({ "catalog": line }).to_string()],
        (format, false) => {
            vec![format::written(format, &document::of_memory("Catalog", columns, &[]))]
        }
    })
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
            return rows(match options.format {
                Format::Text => loaded.described(),
                format => {
                    let said = loaded.described();
                    let document = document::of_memory("Segments", &planned.columns, &said);
                    vec![format::written(format, &document)]
                }
            });
        }
        let runnable = self.resolved(planned, &params)?;
        let mut lines = match (options.canon, options.format) {
            (true, format) => {
                let cancel = cancel.clone();
                let explained =
                    self.accounted(planned, &runnable, &params, context, cancel).await?;
                match format {
                    Format::Text => explained.lines(),
                    Format::Json | Format::Xml | Format::Yaml => vec![explained.json()?],
                }
            }
            (false, Format::Text) => self.described(planned, &runnable),
            (false, format) => {
                let measured = match options.analyze {
                    true => Some(self.measured(planned, &runnable, context, cancel).await?),
                    false => None,
                };
                let metrics = planned.versions.iter().map(|it| metric_line(it)).collect();
                let document = document::Document {
                    plan: &runnable.prepared.plan,
                    columns: &planned.columns,
                    backend: self.backend.name(),
                    metrics,
                    measured,
                };
                return rows(vec![format::written(format, &document.value())]);
            }
        };
        if options.analyze {
            lines.extend(self.measured(planned, &runnable, context, cancel).await?.lines());
        }
        rows(lines)
    }

    /// The metrics, the plan with the border in it, and the statements below the border.
    fn described(&self, planned: &PlannedQuery, runnable: &Runnable) -> Vec<String> {
        let mut lines = vec![format!("Backend: {}", self.backend.name())];
        for version in &planned.versions {
            lines.push(format!("Metric: {}", metric_line(version)));
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
    ) -> Result<Measured, QueryError> {
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
        Ok(Measured {
            cache: cache_line(outcome, age),
            rows_returned: row_count,
            rows_read: stats.rows_read.load(Ordering::Relaxed),
            bytes_read: stats.bytes_read.load(Ordering::Relaxed),
            backend_us: stats.backend_us.load(Ordering::Relaxed),
            total_us: u64::try_from(statement.elapsed().as_micros()).unwrap_or(u64::MAX),
            query_id: statement.query_id().to_string(),
        })
    }
}

/// What a run took.
struct Measured {
    cache: String,
    rows_returned: usize,
    rows_read: u64,
    bytes_read: u64,
    backend_us: u64,
    total_us: u64,
    query_id: String,
}

impl Measured {
    fn lines(&self) -> Vec<String> {
        let ms = |us: u64| format!("{}.{:03} ms", us / 1_000, us % 1_000);
        vec![
            format!("Cache: {}", self.cache),
            format!("Rows returned: {}", self.rows_returned),
            format!("Rows read: {}", self.rows_read),
            format!("Bytes read: {}", self.bytes_read),
            format!("Backend time: {}", ms(self.backend_us)),
            format!("Total time: {}", ms(self.total_us)),
            format!("Query id: {}", self.query_id),
        ]
    }
}

fn metric_line(version: &MetricVersion) -> String {
    let mut line = format!("{} {}", version.metric, version.version);
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
