//! canon's answers over both backends against those of an oracle, for random data, definitions and
//! questions.
//!
//! `CANON_PROPERTY_SEED` and `CANON_PROPERTY_CASES` choose which and how many; a failure prints the
//! seed that shows it alone, with one case.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use canon::backend::Backend;
use canon::backend::embedded::{Embedded, Memory};
use canon::cache::Cache;
use canon::error::ClientError;
use canon::model::Model;
use canon::model::{check, load};
use canon::session::{
    Definitions as Loaded, DefinitionsState, Engine, QueryEngine, QueryText, RequestContext,
};
use canon::sql::parse::{self, Statement};
use canon::sql::settings::SETTINGS;
use futures::TryStreamExt;
use tokio_util::sync::CancellationToken;

use crate::clickhouse_server::ClickHouseServer;
use crate::oracle::answer::Oracle;
pub(crate) use crate::oracle::answer::Rows;
use crate::oracle::arrow::{batch, clickhouse_statements, values};
use crate::oracle::definitions::Definitions;
use crate::oracle::dice::Dice;
use crate::oracle::question::Question;
use crate::oracle::value::Value;
use crate::oracle::world::World;

mod laws;
mod shrink;

use laws::LAWS;

const SEED: u64 = 20_260_901;
const CASES: u64 = 40;
/// Cases that are asked at a time.
const WORKERS_MAX: usize = 4;
/// Every so many cases are asked of ClickHouse too: its tables cost more than the questions.
const CLICKHOUSE_EVERY: u64 = 3;
/// A long run says after so many cases how far it is.
const PROGRESS_EVERY: u64 = 100;
const QUESTIONS: usize = 8;
/// So many failures are shown in full.
const SHOWN_MAX: usize = 3;
/// Plans are walked recursively, and an unoptimised build has large frames.
const STACK_BYTES: usize = 32 << 20;

/// canon over one backend, asked without a server.
#[derive(Clone)]
pub(crate) struct Canon {
    engine: Arc<QueryEngine>,
}

pub(crate) type Asked = Result<Rows, String>;

impl Canon {
    pub(crate) async fn open(backend: Arc<dyn Backend>, folder: &Path) -> Self {
        let read = load::read(folder).unwrap();
        let mut sources = BTreeMap::new();
        for table in read.tables() {
            if let Some(columns) = backend.describe(&table).await.unwrap() {
                sources.insert(table, columns);
            }
        }
        let checked = check::check(&read, &sources);
        let findings = || {
            let color = canon::diagnostic::Color::Never;
            canon::diagnostic::render_human(&checked.findings, read.texts(), color)
        };
        let Some(model) = &checked.model else { panic!("faulty definitions:\n{}", findings()) };
        Self::of(Arc::clone(model), backend)
    }

    fn of(model: Arc<Model>, backend: Arc<dyn Backend>) -> Self {
        let cache = Cache::default();
        let state = Arc::new(DefinitionsState::new(Loaded::of(model, &cache)));
        Self { engine: Arc::new(QueryEngine::new(state, backend, cache)) }
    }

    /// The answer, or the error as text; a panic is an error too.
    pub(crate) async fn ask(&self, sql: &str, pins: &str, zone: &str) -> Asked {
        self.ask_with(sql, pins, &[("timezone", zone)]).await
    }

    /// The answer to a question, or to another statement of its settings.
    async fn ask_as(&self, question: &Question, sql: &str, settings: &[(&str, &str)]) -> Asked {
        let fill = if question.fill { "on" } else { "off" };
        let settings = [&[("timezone", "UTC"), ("canon.fill", fill)], settings].concat();
        self.ask_with(sql, &question.pins, &settings).await
    }

    /// As [`ask`](Self::ask), with some settings of the session.
    async fn ask_with(&self, sql: &str, pins: &str, settings: &[(&str, &str)]) -> Asked {
        let (engine, sql) = (Arc::clone(&self.engine), sql.to_owned());
        let context = context(pins, settings);
        let asked = tokio::spawn(async move { ask(&engine, &sql, &context).await });
        match asked.await {
            Ok(answer) => answer,
            Err(panic) => Err(format!("panicked: {panic}")),
        }
    }
}

async fn ask(engine: &QueryEngine, sql: &str, context: &RequestContext) -> Asked {
    let error = |error: canon::error::QueryError| match error.hint() {
        Some(hint) => format!("{} {error} ({hint})", error.sqlstate()),
        None => format!("{} {error}", error.sqlstate()),
    };
    let mut statements = parse::parse(sql).map_err(|it| it.to_string())?;
    let Some(Statement::Query(statement)) = statements.pop() else {
        return Err("not a query".to_owned());
    };
    let query = QueryText { statement: *statement, text: sql.into() };
    let prepared = engine.prepare(&query, &[], context).await.map_err(error)?;
    let rows = engine.execute(&prepared, Vec::new(), context, CancellationToken::new());
    let rows = rows.await.map_err(error)?;
    let batches: Vec<_> =
        rows.batches.try_collect().await.map_err(|it| error(canon::session::stream_error(it)))?;
    Ok(batches.iter().flat_map(values).collect())
}

fn context(pins: &str, with: &[(&str, &str)]) -> RequestContext {
    let mut settings: BTreeMap<String, String> = SETTINGS
        .iter()
        .map(|setting| (setting.name.to_lowercase(), setting.default.to_owned()))
        .collect();
    settings.insert("canon.pins".to_owned(), pins.to_owned());
    settings.extend(with.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    RequestContext {
        role: "canon".to_owned(),
        database: "canon".to_owned(),
        application_name: "oracle".to_owned(),
        backend_pid: 0,
        settings: Arc::new(settings),
        statement_timeout: None,
        changes: Default::default(),
        seen: Default::default(),
    }
}

/// The same rows, in any order.
pub(crate) fn same(expected: &Rows, found: &Asked) -> bool {
    let Ok(found) = found else { return false };
    let mut left: Vec<&Vec<Value>> = found.iter().collect();
    let row_matches = |expected: &Vec<Value>, found: &Vec<Value>| {
        expected.len() == found.len() && expected.iter().zip(found).all(|(a, b)| a.matches(b))
    };
    expected.len() == found.len()
        && expected.iter().all(|row| {
            let place = left.iter().position(|found| row_matches(row, found));
            place.map(|place| left.swap_remove(place)).is_some()
        })
}

pub(crate) fn shown(rows: &Rows) -> String {
    let mut lines: Vec<String> = rows
        .iter()
        .map(|row| row.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "))
        .collect();
    lines.sort();
    lines.iter().fold(format!("{} rows\n", rows.len()), |text, line| text + "  " + line + "\n")
}

pub(crate) fn shown_answer(answer: &Asked) -> String {
    match answer {
        Ok(rows) => shown(rows),
        Err(error) => format!("{error}\n"),
    }
}

/// One random company, with canon over one backend or both.
#[derive(Clone)]
struct Case {
    seed: u64,
    world: World,
    definitions: Definitions,
    embedded: Canon,
    clickhouse: Option<Canon>,
    folder: Arc<tempfile::TempDir>,
}

/// canon over rows in memory, asked as the embedded backend is.
async fn in_memory(world: &World, definitions: &Definitions) -> (Canon, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in definitions.files(world) {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let tables = world.tables.iter().map(|table| (table.name.to_owned(), batch(table)));
    let backend = Memory::new(tables.collect()).unwrap();
    (Canon::open(Arc::new(backend), folder.path()).await, folder)
}

/// What is wrong, and with what it shows again.
struct Fault {
    law: String,
    text: String,
    question: Question,
}

impl Case {
    async fn random(seed: u64, dice: &mut Dice, server: Option<&ClickHouseServer>) -> Self {
        let world = World::random(dice);
        let definitions = Definitions::random(dice, &world);
        let mut case = Self::of(seed, world, definitions).await;
        if let Some(server) = server {
            for table in &case.world.tables {
                let drop = format!("DROP TABLE IF EXISTS {} SYNC", table.name);
                let statements = [vec![drop], clickhouse_statements(table)].concat();
                server.run(&statements.iter().map(String::as_str).collect::<Vec<_>>()).await;
            }
            let backend = Arc::new(server.backend());
            case.clickhouse = Some(Canon::open(backend, case.folder.path()).await);
        }
        case
    }

    async fn of(seed: u64, world: World, definitions: Definitions) -> Self {
        let (embedded, folder) = in_memory(&world, &definitions).await;
        Self { seed, world, definitions, embedded, clickhouse: None, folder: Arc::new(folder) }
    }

    fn backends(&self) -> impl Iterator<Item = (&'static str, &Canon)> {
        let clickhouse = self.clickhouse.iter().map(|canon| ("ClickHouse", canon));
        [("embedded", &self.embedded)].into_iter().chain(clickhouse)
    }

    /// The answer by the oracle; None where the question has none.
    fn expected(&self, question: &Question) -> Option<Rows> {
        let oracle = Oracle::new(&self.world, &self.definitions, now());
        oracle.is_definite(question).then(|| oracle.answer(question))
    }

    fn is_definite(&self, question: &Question) -> bool {
        Oracle::new(&self.world, &self.definitions, now()).is_definite(question)
    }

    /// What is wrong with the answers to a question, if anything is.
    async fn check(&self, dice: &mut Dice, question: &Question) -> Option<Fault> {
        let expected = self.expected(question)?;
        let sql = question.sql();
        for (name, canon) in self.backends() {
            let found = canon.ask_as(question, &sql, &[]).await;
            if !same(&expected, &found) {
                let text = self.report(question, &sql, &expected, &[(name, &found)]);
                return Some(Fault { law: "oracle".to_owned(), text, question: question.clone() });
            }
        }
        for _ in 0..2 {
            let law = dice.pick(&LAWS);
            if let Some(text) = law.check(self, dice, question, &expected).await {
                return Some(Fault { law: law.name(), text, question: question.clone() });
            }
        }
        None
    }

    /// What EXPLAIN (CANON) counts adds up to the rows of the source, and backends count alike.
    async fn check_counts(&self, question: &Question) -> Option<Fault> {
        let sql = format!("EXPLAIN (CANON, FORMAT JSON) {}", question.sql());
        let mut counted: Vec<Vec<i64>> = Vec::new();
        let fault =
            |text| Some(Fault { law: "explain".to_owned(), text, question: question.clone() });
        for (_, canon) in self.backends() {
            let asked = canon.ask_as(question, &sql, &[]).await;
            match asked.as_ref().map_err(Clone::clone).and_then(counts_of) {
                Ok(counts) => counted.push(counts),
                Err(text) => return fault(format!("{sql};\npins: {}\n{text}", question.pins)),
            }
        }
        match counted.iter().any(|counts| *counts != counted[0]) {
            true => fault(format!("{sql};\n{counted:?} rows count")),
            false => None,
        }
    }

    fn report(
        &self,
        question: &Question,
        sql: &str,
        expected: &Rows,
        answers: &[(&str, &Asked)],
    ) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "{sql};");
        if !question.pins.is_empty() {
            let _ = writeln!(text, "pins: {}", question.pins);
        }
        if question.fill {
            text.push_str("canon.fill: on\n");
        }
        let _ = writeln!(text, "expected: {}", shown(expected));
        for (name, answer) in answers {
            let _ = writeln!(text, "{name}: {}", shown_answer(answer));
        }
        let _ = writeln!(
            text,
            "CANON_PROPERTY_SEED={} CANON_PROPERTY_CASES=1 shows it again",
            self.seed
        );
        text
    }

    /// The definitions and the rows.
    fn given(&self) -> String {
        let mut text = String::new();
        for (name, yaml) in self.definitions.files(&self.world) {
            let _ = writeln!(text, "# {}\n{yaml}", name.display());
        }
        for table in &self.world.tables {
            let names: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
            let _ = writeln!(text, "{}({}): {}", table.name, names.join(", "), shown(&table.rows));
        }
        text
    }
}

/// Microseconds of the clock: what is valid now, and what a segment's window has.
fn now() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

/// The rows that count by each part of an explanation, if what is dropped and what counts are
/// the rows of the source.
fn counts_of(rows: &Rows) -> Result<Vec<i64>, String> {
    let [row] = rows.as_slice() else { return Err(format!("{} rows", rows.len())) };
    let Value::Text(text) = &row[0] else { return Err(format!("{} is no text", row[0])) };
    let told: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut counted = Vec::new();
    for metric in told["metrics"].as_array().unwrap() {
        let parts = metric["rows"].as_array().unwrap();
        for part in parts {
            let steps = part["dropped"].as_array().unwrap().iter();
            let dropped: Vec<i64> = steps.map(|step| step["rows"].as_i64().unwrap()).collect();
            let left = part["source_rows"].as_i64().unwrap() - dropped.iter().sum::<i64>();
            if left != part["counted"].as_i64().unwrap() || dropped.iter().any(|rows| *rows < 0) {
                return Err(format!("doesn't add up: {part}"));
            }
            counted.push(left);
        }
    }
    Ok(counted)
}

pub(crate) fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
        Err(_) => default,
    }
}

#[test]
fn answers_are_those_of_the_oracle() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .build()
        .unwrap();
    let seed = number("CANON_PROPERTY_SEED", SEED);
    let cases = number("CANON_PROPERTY_CASES", CASES);
    println!("CANON_PROPERTY_SEED={seed} CANON_PROPERTY_CASES={cases}");
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX);
    let workers = number("CANON_PROPERTY_WORKERS", workers as u64).max(1);
    let failures = runtime.block_on(async move {
        let all = seed..seed + cases;
        let share = |worker| all.clone().filter(move |it| it % workers == worker);
        let running: Vec<_> = (0..workers).map(|worker| tokio::spawn(run(share(worker)))).collect();
        let mut failures = Vec::new();
        for worker in running {
            failures.extend(worker.await.unwrap());
        }
        failures
    });
    let shown: String = failures.iter().take(SHOWN_MAX).cloned().collect();
    assert!(failures.is_empty(), "{} wrong answers\n\n{shown}", failures.len());
}

/// Some cases, over a database of their own. A run of hours says how far it is.
#[allow(clippy::print_stdout)]
async fn run(seeds: impl Iterator<Item = u64>) -> Vec<String> {
    let every = number("CANON_PROPERTY_CLICKHOUSE_EVERY", CLICKHOUSE_EVERY);
    let server = if every > 0 { Some(ClickHouseServer::start().await) } else { None };
    let mut failures = Vec::new();
    for (count, seed) in (1..).zip(seeds) {
        let dice = &mut Dice::new(seed);
        let server = server.as_ref().filter(|_| seed / 2 % every == 0);
        let case = Case::random(seed, dice, server).await;
        for number in 0..QUESTIONS {
            let question = Question::random(dice, &case.world, &case.definitions);
            let mut fault = case.check(dice, &question).await;
            if fault.is_none() && number == 0 && question.is_accounted(&case.definitions) {
                fault = case.check_counts(&question).await;
            }
            if let Some(fault) = fault {
                let small = shrink::shrunk(&case, fault).await;
                let place = shrink::written(&small, number);
                println!("{}: {} ({})", case.seed, small.fault.law, place.display());
                failures.push(format!(
                    "{}: {}\n{}\nin {}\n",
                    small.fault.law,
                    small.fault.text,
                    small.case.given(),
                    place.display()
                ));
            }
        }
        if count % PROGRESS_EVERY == 0 {
            println!("{count} cases up to {seed}: {} wrong answers", failures.len());
        }
    }
    failures
}

/// canon over CSV files and definitions written out.
async fn fixed(files: &[(&str, &str)]) -> (Canon, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let backend = Arc::new(Embedded::open(folder.path()).unwrap());
    (Canon::open(backend, folder.path()).await, folder)
}

/// What random questions have shown to be wrong once.
#[tokio::test]
async fn faults_that_were_found_stay_mended() {
    let project = "project: p\ntimezone: UTC\nbackend: {embedded: {path: .}}\n";
    let entities = "
entity: visit
relation: visits
owner: {team: t}
version: 1.0.0
key: id
source: {table: visits, kind: events, time: {event: began}}
attributes:
  - {name: ended, type: timestamptz}
relationships: [{entity: shop, key: shop_id}]
---
entity: shop
relation: shops
owner: {team: t}
version: 1.0.0
key: id
source: {table: shops, kind: state}
attributes: [{name: city, type: text}]
relationships: [{entity: region, key: region_id}]
---
entity: region
relation: regions
owner: {team: t}
version: 1.0.0
key: id
source: {table: regions, kind: state}
attributes: [{name: name, type: text}]
";
    let metric = |name: &str, versions: &str| {
        format!("metric: {name}\nintent: How many?\nowner: {{team: t}}\nversions:\n{versions}")
    };
    let active = |rest: &str| {
        format!("  - {{version: 2.0.0, status: active, released: 2026-09-01, {rest}}}\n")
    };
    let deprecated = |rest: &str| {
        format!("  - {{version: 1.0.0, status: deprecated, replaced_by: 2.0.0, {rest}}}\n")
    };
    let began = active("type: count, entity: visit, time: {event: began}");
    let ended = deprecated("type: count, entity: visit, time: {event: ended}");
    let none =
        active("type: count, entity: visit, eligibility: [{rule: \"shop.city is null\", why: w}]");
    let metrics = [
        metric("visits_made", &(began + &ended)),
        metric("homeless", &none),
        metric("share", &active("type: derived, expression: \"visits_made@2 / homeless@2\"")),
        metric("difference", &active("type: derived, expression: \"visits_made@2 - homeless@2\"")),
    ];
    let (canon, _folder) = fixed(&[
        ("canon.yaml", project),
        ("entities.yaml", entities),
        ("metrics.yaml", &metrics.join("---\n")),
        ("visits.csv", "id,began,ended,shop_id\n1,2026-01-31T23:00:00Z,2026-02-01T01:00:00Z,1\n"),
        ("shops.csv", "id,city,region_id\n1,Ulm,1\n"),
        ("regions.csv", "id,name\n1,South\n"),
    ])
    .await;
    let asked = async |sql: &str, pins: &str| shown_answer(&canon.ask(sql, pins, "UTC").await);
    // A foreign key and the key that it holds share a name over two hops as over one.
    let sql = "SELECT shop_region_id, shop_region_name, visits_made FROM visits";
    assert_eq!(asked(sql, "").await, "1 rows\n  1 | \"South\" | 1\n");
    assert_eq!(asked("SELECT share, difference FROM visits", "").await, "1 rows\n  NULL | 1\n");
    // A difference of counts adds up.
    let sql =
        "SELECT shop_city, SUM(SUM(difference)) OVER (ORDER BY shop_city) FROM visits GROUP BY 1";
    assert_eq!(asked(sql, "").await, "1 rows\n  \"Ulm\" | 1\n");
    // Rows of a metric's relation have the time of the version that is pinned.
    let sql =
        "SELECT date_trunc('month', metric_time), COUNT(*) FROM metrics.visits_made GROUP BY 1";
    assert_eq!(asked(sql, "").await, "1 rows\n  2026-01-01 00:00:00.000000 | 1\n");
    let pinned = asked(sql, "visits_made=1").await;
    assert_eq!(pinned, "1 rows\n  2026-02-01 00:00:00.000000 | 1\n");
}
