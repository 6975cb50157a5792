//! `canon query` and `canon explain`: a statement from the shell, without a server.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::{Failure, Opened, SourceArgs};
use crate::cache::Cache;
use crate::error::{ClientError, QueryError};
use crate::session::{
    Column, Definitions, DefinitionsState, Engine, QueryEngine, QueryText, RequestContext,
    stream_error,
};
use crate::sql::parse::{self, Statement};
use crate::sql::settings::SETTINGS;

/// Rows that are held to align their columns; a larger result has to go through a client.
const ROWS_MAX: usize = 100_000;

/// Run a query and print its rows.
#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// The query
    sql: String,
}

/// Show the plan of a query, and what the backend would be sent.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Run it, and show what it read and took
    #[arg(long)]
    analyze: bool,
    /// Explain the numbers: which rows count and why, versions, owners, age of the data
    #[arg(long)]
    canon: bool,
    /// How to print the explanation of the numbers
    #[arg(long, default_value = "text", requires = "canon", conflicts_with = "analyze")]
    format: ExplainFormat,
    /// The query
    sql: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExplainFormat {
    Text,
    Json,
}

pub(super) async fn run(args: QueryArgs, out: &mut impl Write) -> Result<(), Failure> {
    let answer = ask(&args.source, &args.sql).await?;
    print_table(&answer, out)?;
    Ok(())
}

pub(super) async fn explain(args: ExplainArgs, out: &mut impl Write) -> Result<(), Failure> {
    let word = match (args.canon, args.analyze, args.format) {
        (false, false, _) => "EXPLAIN",
        (false, true, _) => "EXPLAIN ANALYZE",
        (true, false, ExplainFormat::Text) => "EXPLAIN (CANON)",
        (true, false, ExplainFormat::Json) => "EXPLAIN (CANON, FORMAT JSON)",
        (true, true, _) => "EXPLAIN (CANON, ANALYZE)",
    };
    let answer = ask(&args.source, &format!("{word} {}", args.sql)).await?;
    for row in answer.rows()? {
        writeln!(out, "{}", row.join(""))?;
    }
    Ok(())
}

pub(super) struct Answer {
    columns: Vec<Column>,
    pub(super) batches: Vec<RecordBatch>,
}

/// One statement's answer, from an engine of its own.
async fn ask(source: &SourceArgs, sql: &str) -> Result<Answer, Failure> {
    let opened = Opened::open(source).await?;
    let cache = Cache::default();
    let model = opened.load().await?;
    let state = Arc::new(DefinitionsState::new(Definitions::of(model, &cache)));
    let engine = QueryEngine::new(state, Arc::clone(&opened.backend), cache);
    answer(&engine, sql).await.map_err(|error| Failure::Message(shown(&error)))
}

/// The answer of an engine, in a new session.
pub(super) async fn answer(engine: &QueryEngine, sql: &str) -> Result<Answer, QueryError> {
    let text: Arc<str> = sql.into();
    let mut statements = parse::parse(sql)?;
    let statement = match (statements.pop(), statements.is_empty()) {
        (Some(Statement::Query(statement)), true) => *statement,
        _ => {
            let what = "anything but one query".to_owned();
            let hint = Some("Connect a client for other statements.".to_owned());
            return Err(crate::sql::SqlError::NotSupported { what, hint, position: None }.into());
        }
    };
    let context = context();
    let prepared = engine.prepare(&QueryText { statement, text }, &[], &context).await?;
    let rows = engine.execute(&prepared, Vec::new(), &context, CancellationToken::new()).await?;
    let mut batches = Vec::new();
    let mut stream = rows.batches;
    let mut count = 0;
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(stream_error)?;
        count += batch.num_rows();
        if count > ROWS_MAX {
            let what = format!("printing more than {ROWS_MAX} rows");
            let hint = Some("Add a LIMIT, or ask canon serve by psql.".to_owned());
            return Err(crate::sql::SqlError::NotSupported { what, hint, position: None }.into());
        }
        batches.push(batch);
    }
    Ok(Answer { columns: prepared.columns.clone(), batches })
}

/// The settings of a new session.
fn context() -> RequestContext {
    let settings: BTreeMap<String, String> = SETTINGS
        .iter()
        .map(|setting| (setting.name.to_lowercase(), setting.default.to_owned()))
        .collect();
    RequestContext {
        role: "canon".to_owned(),
        database: "canon".to_owned(),
        application_name: "canon query".to_owned(),
        backend_pid: 0,
        settings: Arc::new(settings),
        statement_timeout: None,
        changes: Default::default(),
        seen: Default::default(),
    }
}

/// An error as psql shows it.
fn shown(error: &QueryError) -> String {
    let mut text = format!("ERROR:  {error}\n");
    if let Some(detail) = error.detail() {
        text.push_str(&format!("DETAIL:  {detail}\n"));
    }
    if let Some(hint) = error.hint() {
        text.push_str(&format!("HINT:  {hint}\n"));
    }
    text
}

impl Answer {
    /// Cells as text; NULL is empty, as in psql.
    pub(super) fn rows(&self) -> Result<Vec<Vec<String>>, Failure> {
        let options = FormatOptions::new()
            .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
            .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f%:z"));
        let mut rows = Vec::new();
        for batch in &self.batches {
            let formatters = batch.columns().iter().map(|it| ArrayFormatter::try_new(it, &options));
            let formatters = formatters.collect::<Result<Vec<_>, _>>().map_err(Failure::message)?;
            for row in 0..batch.num_rows() {
                rows.push(formatters.iter().map(|it| it.value(row).to_string()).collect());
            }
        }
        Ok(rows)
    }
}

fn print_table(answer: &Answer, out: &mut impl Write) -> Result<(), Failure> {
    let rows = answer.rows()?;
    let names: Vec<String> = answer.columns.iter().map(|column| column.name.clone()).collect();
    let width = |index: usize| {
        let cells = rows.iter().chain([&names]).filter_map(|row| row.get(index));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..names.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!(" {cell:<width$} "));
        cells.collect::<Vec<_>>().join("|")
    };
    writeln!(out, "{}", line(&names).trim_end())?;
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
    writeln!(out, "{}", rule.join("+"))?;
    for row in &rows {
        writeln!(out, "{}", line(row).trim_end())?;
    }
    writeln!(out, "({} row{})", rows.len(), if rows.len() == 1 { "" } else { "s" })?;
    Ok(())
}
