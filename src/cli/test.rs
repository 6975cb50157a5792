//! `canon test`: the examples of metrics, run by the planner that answers questions, over rows in
//! memory, or in a ClickHouse database that is there only meanwhile.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use serde_json::{Value, json};

use super::definitions::{self, clickhouse_options, describe, open_backend};
use super::query;
use super::{Failure, SourceArgs, exit_code};
use crate::backend::Backend;
use crate::backend::clickhouse::ClickHouse;
use crate::backend::clickhouse::scratch::Scratch;
use crate::backend::embedded::Memory;
use crate::cache::Cache;
use crate::cli::check::{EXIT_ERRORS, EXIT_OK, EXIT_UNREADABLE};
use crate::diagnostic::{self, Texts};
use crate::error::ClientError;
use crate::model::example::{By, Example, ExpectedRow, typed};
use crate::model::load::{self, Read};
use crate::model::{Metric, MetricVersion, Model, SourceColumn, Status};
use crate::session::{Definitions, DefinitionsState, QueryEngine};

/// Digits after the point up to which a quotient has to be as expected.
const QUOTIENT_DIGITS: u32 = 6;
/// The scale from which on a decimal is a quotient.
const QUOTIENT_SCALE: i8 = 16;

/// Run the examples of metrics.
///
/// Each runs over the rows that it gives: in this process, or with --on clickhouse in a database of
/// the ClickHouse named by the other options or the project file, which is dropped afterwards. The
/// user then has to be allowed to create and drop databases named canon_test_….
#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// Folder of the definitions
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    source: SourceArgs,
    /// Only the examples of this metric
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,
    /// Where the examples run
    #[arg(long, default_value = "memory", value_name = "BACKEND")]
    on: Place,
    /// How to print the results
    #[arg(long, default_value = "human")]
    format: TestFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Place {
    Memory,
    #[value(name = "clickhouse")]
    ClickHouse,
}

impl Place {
    fn in_words(self) -> &'static str {
        match self {
            Self::Memory => "over rows in memory",
            Self::ClickHouse => "over rows in ClickHouse",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TestFormat {
    Human,
    Json,
}

/// What became of an example.
#[derive(Debug)]
struct Outcome {
    sql: String,
    /// Empty where the answer is as expected.
    differences: Vec<Difference>,
    /// Why there is no answer.
    error: Option<String>,
    /// Of one that failed: which rows count, as EXPLAIN (CANON) says.
    rows: Vec<String>,
}

impl Outcome {
    fn passed(&self) -> bool {
        self.error.is_none() && self.differences.is_empty()
    }
}

/// A group whose value isn't the expected one; None: there is no such group.
#[derive(Debug)]
struct Difference {
    keys: Vec<(String, String)>,
    expected: Option<String>,
    got: Option<String>,
}

/// Runs `canon test`: 0 where all pass, 1 where one doesn't or the definitions have errors, 2 where
/// they can't be read.
pub(super) async fn run(args: TestArgs, out: &mut impl Write) -> ExitCode {
    let folder = args.folder.clone().unwrap_or_else(|| args.source.metrics.clone());
    let source = SourceArgs { metrics: folder, ..args.source.clone() };
    let (code, text) = match tested(&args, &source).await {
        Ok(tested) => tested,
        Err(failure) => {
            let code = match &failure {
                Failure::Findings(_) => EXIT_ERRORS,
                _ => EXIT_UNREADABLE,
            };
            // With standard error gone there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "{}", failure.to_string().trim_end());
            return ExitCode::from(code);
        }
    };
    exit_code(out.write_all(text.as_bytes()).map(|()| code))
}

/// The exit code, and what is printed.
async fn tested(args: &TestArgs, source: &SourceArgs) -> Result<(u8, String), Failure> {
    let read = load::read(&source.metrics).map_err(Failure::message)?;
    let backend = open_backend(source, &read).await?;
    let mut sources = describe(backend.as_ref(), &read).await?;
    for column in sources.values_mut().flatten() {
        // Rows of an example leave out what doesn't matter to it, and are of canonical types.
        column.nullable = true;
        column.native = column.data_type.to_string();
    }
    match args.on {
        Place::Memory => results(args, &read, &sources, None).await,
        Place::ClickHouse => {
            let none = || {
                let message =
                    "there is no ClickHouse to run examples on; name one with --clickhouse-url";
                Failure::Message(message.to_owned())
            };
            let options = clickhouse_options(source, &read)?.ok_or_else(none)?;
            let scratch = Scratch::create(options).await.map_err(Failure::message)?;
            let done = tokio::select! {
                done = on_clickhouse(args, &read, sources, &scratch) => done,
                _ = tokio::signal::ctrl_c() => Err(Failure::Message("interrupted".to_owned())),
            };
            let dropped = scratch.drop_database().await.map_err(Failure::message);
            let done = done?;
            dropped.map(|()| done)
        }
    }
}

/// Runs the examples over the tables of a database, which are made here.
async fn on_clickhouse(
    args: &TestArgs,
    read: &Read,
    sources: BTreeMap<String, Vec<SourceColumn>>,
    scratch: &Scratch,
) -> Result<(u8, String), Failure> {
    for (table, columns) in &sources {
        scratch.create_table(table, columns).await.map_err(Failure::message)?;
    }
    let backend: Arc<dyn Backend> = Arc::new(ClickHouse::new(scratch.options().clone())?);
    let mut made = describe(backend.as_ref(), read).await?;
    made.values_mut().flatten().for_each(|column| column.nullable = true);
    results(args, read, &made, Some((&backend, scratch))).await
}

async fn results(
    args: &TestArgs,
    read: &Read,
    sources: &BTreeMap<String, Vec<SourceColumn>>,
    on: Option<(&Arc<dyn Backend>, &Scratch)>,
) -> Result<(u8, String), Failure> {
    let model = checked(read, sources)?;
    if let Some(metric) = args.metric.as_ref().filter(|metric| !model.metrics.contains_key(*metric))
    {
        return Err(Failure::Message(format!("metric \"{metric}\" does not exist")));
    }
    let is_wanted =
        |example: &&Example| args.metric.as_ref().is_none_or(|it| *it == example.metric);
    let mut outcomes = Vec::new();
    for example in model.examples.iter().filter(is_wanted) {
        let tables = tables(&model, example).map_err(Failure::message)?;
        let outcome = match on {
            None => outcome(&model, example, Arc::new(Memory::new(tables)?)).await,
            Some((backend, scratch)) => {
                let given = || tables.iter().filter(|(_, rows)| rows.num_rows() > 0);
                for (table, rows) in given() {
                    scratch.insert(table, rows).await.map_err(Failure::message)?;
                }
                let outcome = outcome(&model, example, Arc::clone(backend)).await;
                for (table, _) in given() {
                    scratch.clear(table).await.map_err(Failure::message)?;
                }
                outcome
            }
        };
        outcomes.push((example, outcome));
    }
    let metric = args.metric.as_deref();
    let text = match args.format {
        TestFormat::Human => human(&model, read.texts(), &outcomes, args.on, metric),
        TestFormat::Json => in_json(read.texts(), &outcomes),
    };
    let failed = outcomes.iter().any(|(_, outcome)| !outcome.passed());
    Ok((if failed { EXIT_ERRORS } else { EXIT_OK }, text))
}

/// The definitions, checked against the tables that examples run over.
fn checked(
    read: &Read,
    sources: &BTreeMap<String, Vec<SourceColumn>>,
) -> Result<Arc<Model>, Failure> {
    let checked = crate::model::check::check(read, sources);
    checked.model.ok_or_else(|| {
        let color = definitions::color_of_stderr();
        Failure::Findings(diagnostic::render_human(&checked.findings, read.texts(), color))
    })
}

// ---- one example ----

async fn outcome(model: &Model, example: &Example, backend: Arc<dyn Backend>) -> Outcome {
    let sql = question(example);
    let mut outcome =
        Outcome { sql: sql.clone(), differences: Vec::new(), error: None, rows: Vec::new() };
    let engine = engine(model, example, backend);
    match query::answer(&engine, &sql).await {
        Ok(answer) => match differences(example, &answer.batches) {
            Ok(differences) => outcome.differences = differences,
            Err(error) => outcome.error = Some(error),
        },
        Err(error) => {
            let hint = error.hint().map(|hint| format!(" {hint}")).unwrap_or_default();
            outcome.error = Some(format!("{error}.{hint}"));
        }
    }
    if !outcome.passed() {
        outcome.rows = counted_rows(&engine, &sql).await;
    }
    outcome
}

fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

/// The question that an example asks, by the version's own number.
fn question(example: &Example) -> String {
    let relation = format!("{}_v{}", example.metric, example.version.major);
    let column = |by: &By| match by.grain {
        Some(grain) => format!("date_trunc('{grain}', {})", by.column),
        None => quoted(&by.column),
    };
    let by: Vec<String> = example.expect.by.iter().map(column).collect();
    let mut sql = "SELECT ".to_owned();
    by.iter().for_each(|column| sql.push_str(&format!("{column}, ")));
    sql.push_str(&format!(
        "MEASURE({}) FROM metrics.{}",
        quoted(&example.metric),
        quoted(&relation)
    ));
    if !by.is_empty() {
        let places: Vec<String> = (1..=by.len()).map(|place| place.to_string()).collect();
        sql.push_str(&format!(" GROUP BY {}", places.join(", ")));
    }
    sql
}

/// The example's rows, by table; tables that it doesn't name have none.
fn tables(
    model: &Model,
    example: &Example,
) -> Result<BTreeMap<String, RecordBatch>, datafusion::error::DataFusionError> {
    let mut tables: BTreeMap<String, RecordBatch> = BTreeMap::new();
    for entity in model.entities.values() {
        let source = &entity.source;
        let rows = example.given.get(&source.table).map(Vec::as_slice).unwrap_or_default();
        tables.insert(source.table.clone(), batch(&source.columns, rows)?);
    }
    Ok(tables)
}

/// An engine in which the example's version is the one of its major that answers, whatever its
/// status. Its cache is new: what it keeps are answers over other rows.
fn engine(model: &Model, example: &Example, backend: Arc<dyn Backend>) -> QueryEngine {
    let mut metrics = model.metrics.clone();
    if let Some(metric) = model.metrics.get(&example.metric) {
        let tested = Arc::new(with_version(metric, example));
        metrics.insert(example.metric.clone(), tested);
    }
    let model = Arc::new(Model {
        project: model.project.clone(),
        entities: model.entities.clone(),
        journeys: Model::journeys_of(&metrics),
        metrics,
        segments: BTreeMap::new(),
        consumers: BTreeMap::new(),
        examples: Vec::new(),
        fingerprint: model.fingerprint,
    });
    let cache = Cache::default();
    let state = Arc::new(DefinitionsState::new(Definitions::of(model, &cache)));
    QueryEngine::new(state, backend, cache)
}

fn with_version(metric: &Metric, example: &Example) -> Metric {
    let major = example.version.major;
    let mut versions: Vec<Arc<MetricVersion>> = Vec::new();
    for version in &metric.versions {
        if version.version == example.version {
            let active = MetricVersion { status: Status::Active, ..MetricVersion::clone(version) };
            versions.push(Arc::new(active));
        } else if version.version.major != major {
            versions.push(Arc::clone(version));
        }
    }
    Metric {
        name: metric.name.clone(),
        intent: metric.intent.clone(),
        not_for: metric.not_for.clone(),
        owner: metric.owner.clone(),
        domain: metric.domain.clone(),
        versions,
    }
}

fn batch(
    columns: &[SourceColumn],
    rows: &[crate::model::example::GivenRow],
) -> Result<RecordBatch, datafusion::error::DataFusionError> {
    let mut fields = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for column in columns {
        let null = ScalarValue::try_from(&column.data_type)?;
        let cells = rows.iter().map(|row| row.get(&column.name).unwrap_or(&null).clone());
        let mut cells = cells.peekable();
        arrays.push(match cells.peek() {
            Some(_) => ScalarValue::iter_to_array(cells)?,
            None => datafusion::arrow::array::new_empty_array(&column.data_type),
        });
        fields.push(Field::new(&column.name, column.data_type.clone(), true));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let schema = Arc::new(Schema::new(fields));
    Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
}

/// Which rows count, for whoever wonders why the answer is another.
async fn counted_rows(engine: &QueryEngine, sql: &str) -> Vec<String> {
    let Ok(answer) = query::answer(engine, &format!("EXPLAIN (CANON) {sql}")).await else {
        return Vec::new();
    };
    let lines = answer.rows().unwrap_or_default().into_iter().flatten();
    // What comes behind the metrics is about sources, and what they are sent.
    let lines = lines.take_while(|line| !line.starts_with("Source "));
    lines.filter(|line| line.starts_with("  Rows for") || line.starts_with("    ")).collect()
}

// ---- expected and got ----

/// The groups whose values aren't the expected ones.
fn differences(example: &Example, batches: &[RecordBatch]) -> Result<Vec<Difference>, String> {
    let mut got: Vec<Vec<ScalarValue>> = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().map(|column| cell(column, row));
            got.push(cells.collect::<Result<_, _>>()?);
        }
    }
    let types: Vec<DataType> = batches.first().map_or_else(Vec::new, |batch| {
        batch.columns().iter().map(|column| column.data_type().clone()).collect()
    });
    let by = &example.expect.by;
    let mut differences = Vec::new();
    for expected in &example.expect.rows {
        let keys = keys_of(by, expected, &types)?;
        let found = got.iter().position(|row| keys.is_empty() || row[..by.len()] == keys[..]);
        let row = found.map(|index| got.swap_remove(index));
        let value = row.as_ref().and_then(|row| row.last());
        if !value.is_some_and(|value| is_expected(expected.value.as_deref(), value)) {
            differences.push(Difference {
                keys: named(by, &keys),
                expected: Some(shown_text(expected.value.as_deref())),
                got: value.map(shown),
            });
        }
    }
    for row in got {
        let value = row.last().map(shown);
        differences.push(Difference { keys: named(by, &row), expected: None, got: value });
    }
    Ok(differences)
}

fn cell(column: &ArrayRef, row: usize) -> Result<ScalarValue, String> {
    ScalarValue::try_from_array(column, row).map_err(|error| error.to_string())
}

/// The expected keys, of the answer's types; as texts where there is no answer at all.
fn keys_of(
    by: &[By],
    expected: &ExpectedRow,
    types: &[DataType],
) -> Result<Vec<ScalarValue>, String> {
    let typed_key = |(index, (by, key)): (usize, (&By, &Option<String>))| {
        let data_type = types.get(index).unwrap_or(&DataType::Utf8);
        typed(key.as_deref(), data_type)
            .map_err(|_| format!("{} can't be {}", by.written, shown_text(key.as_deref())))
    };
    by.iter().zip(&expected.keys).enumerate().map(typed_key).collect()
}

fn named(by: &[By], keys: &[ScalarValue]) -> Vec<(String, String)> {
    by.iter().zip(keys).map(|(by, key)| (by.written.clone(), shown(key))).collect()
}

/// Whether a value is the expected one: exactly, but for quotients, which agree in the digits that
/// are written, and in six at least.
fn is_expected(expected: Option<&str>, got: &ScalarValue) -> bool {
    let (Some(text), false) = (expected, got.is_null()) else {
        return expected.is_none() && got.is_null();
    };
    let is_quotient = match got.data_type() {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => scale >= QUOTIENT_SCALE,
        data_type => data_type.is_floating(),
    };
    if !is_quotient {
        return typed(Some(text), &got.data_type()).is_ok_and(|expected| expected == *got);
    }
    let (Ok(expected), Ok(value)) = (text.parse::<f64>(), shown(got).parse::<f64>()) else {
        return false;
    };
    let written = text.split_once('.').map_or(0, |(_, digits)| digits.len());
    let digits = u32::try_from(written).unwrap_or(u32::MAX).clamp(QUOTIENT_DIGITS, 15);
    let allowed = 0.5 * 10f64.powi(-i32::try_from(digits).unwrap_or(15));
    (expected - value).abs() <= allowed.max(value.abs() * 1e-12)
}

fn shown_text(text: Option<&str>) -> String {
    text.unwrap_or("null").to_owned()
}

fn shown(value: &ScalarValue) -> String {
    use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
    if value.is_null() {
        return "null".to_owned();
    }
    let Ok(array) = value.to_array() else { return value.to_string() };
    match ArrayFormatter::try_new(&array, &FormatOptions::default()) {
        Ok(formatter) => formatter.value(0).to_string(),
        Err(_) => value.to_string(),
    }
}

// ---- results ----

fn place(texts: &Texts, example: &Example) -> (String, usize) {
    let (line, _) = texts.position(&example.file, example.start);
    (example.file.to_string_lossy().replace('\\', "/"), line)
}

fn human(
    model: &Model,
    texts: &Texts,
    outcomes: &[(&Example, Outcome)],
    on: Place,
    metric: Option<&str>,
) -> String {
    let mut text = String::new();
    let mut line = |written: String| {
        let _ = writeln!(text, "{written}");
    };
    for (example, outcome) in outcomes {
        let (file, at) = place(texts, example);
        let word = if outcome.passed() { "ok  " } else { "FAIL" };
        let (metric, version, number) = (&example.metric, &example.version, example.number);
        line(format!("{word} {metric} {version}, example {number} ({file}:{at})"));
        for difference in &outcome.differences {
            line(format!("     {}", in_words(difference)));
        }
        outcome.error.iter().for_each(|error| line(format!("     no answer: {error}")));
        if !outcome.passed() {
            line(format!("     asked: {}", outcome.sql));
            outcome.rows.iter().for_each(|row| line(format!("   {row}")));
        }
    }
    let failed = outcomes.iter().filter(|(_, outcome)| !outcome.passed()).count();
    let all = match outcomes.len() {
        1 => "1 example".to_owned(),
        count => format!("{count} examples"),
    };
    let wanted = |version: &&Arc<MetricVersion>| metric.is_none_or(|it| it == version.metric);
    let has_example = |version: &&Arc<MetricVersion>| {
        let is_of = |it: &Example| it.metric == version.metric && it.version == version.version;
        !model.examples.iter().any(is_of)
    };
    let versions = model.metrics.values().flat_map(|metric| &metric.versions);
    let without = versions.filter(wanted).filter(has_example).count();
    line(format!(
        "{all} {}: {} passed, {failed} failed; {without} versions have none",
        on.in_words(),
        outcomes.len() - failed
    ));
    text
}

/// `customer_country DE: expected 90.00, got 140.00`
fn in_words(difference: &Difference) -> String {
    let keys: Vec<String> =
        difference.keys.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let group = if keys.is_empty() { String::new() } else { format!("{}: ", keys.join(", ")) };
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "no such row".to_owned());
    format!("{group}expected {}, got {}", value(&difference.expected), value(&difference.got))
}

fn in_json(texts: &Texts, outcomes: &[(&Example, Outcome)]) -> String {
    let difference = |difference: &Difference| {
        let keys: BTreeMap<&str, &str> =
            difference.keys.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        json!({"keys": keys, "expected": difference.expected, "got": difference.got})
    };
    let results = outcomes.iter().map(|(example, outcome)| {
        let (file, line) = place(texts, example);
        json!({
            "metric": example.metric,
            "version": example.version.to_string(),
            "example": example.number,
            "file": file,
            "line": line,
            "passed": outcome.passed(),
            "sql": outcome.sql,
            "differences": outcome.differences.iter().map(difference).collect::<Vec<Value>>(),
            "error": outcome.error,
            "rows": outcome.rows.iter().map(|row| row.trim()).collect::<Vec<&str>>(),
        })
    });
    format!("{:#}\n", Value::Array(results.collect()))
}
