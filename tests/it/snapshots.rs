//! What the demo's questions become on ClickHouse: the plan with its border, and the pushed SQL.
//!
//! `tests/snapshots/questions.sql` holds the questions, `tests/it/snapshots/` an answer of EXPLAIN
//! for each. After a change on purpose: `INSTA_UPDATE=always cargo test --test it snapshots`, and
//! read the diff.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use canon::backend::Backend;
use canon::cache::Cache;
use canon::cli::demo::{self, ClickHouseTarget, DemoOptions, DemoTarget};
use canon::error::QueryError;
use canon::model::Model;
use canon::model::check::check;
use canon::model::load::read;
use canon::session::{
    Definitions, DefinitionsState, Engine, QueryEngine, QueryText, RequestContext, stream_error,
};
use canon::sql::parse::{Statement, parse};
use canon::sql::settings::SETTINGS;
use datafusion::arrow::array::AsArray;
use futures::TryStreamExt;
use tokio_util::sync::CancellationToken;

use crate::clickhouse_server::ClickHouseServer;

/// Few rows: EXPLAIN reads none of them.
const ORDERS: u64 = 300;
/// How EXPLAIN introduces a statement.
const SENT: &str = "Sent to clickhouse:";

/// A question of the file.
struct Question {
    /// Names the snapshot.
    name: String,
    /// It has to become one statement, with nothing left to do above it.
    is_one: bool,
    sql: String,
}

fn repository(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

/// `-- name` or `-- name one` begins a question; lines that begin with `---` are remarks.
fn questions() -> Vec<Question> {
    let text = std::fs::read_to_string(repository("tests/snapshots/questions.sql")).unwrap();
    let mut questions: Vec<Question> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with("---")) {
        if let Some(heading) = line.strip_prefix("-- ") {
            let (name, is_one) = match heading.strip_suffix(" one") {
                Some(name) => (name, true),
                None => (heading, false),
            };
            let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(name.chars().all(is_name), "no name of a question: {heading}");
            assert!(questions.iter().all(|question| question.name != name), "twice: {name}");
            questions.push(Question { name: name.to_owned(), is_one, sql: String::new() });
        } else if let Some(question) = questions.last_mut() {
            question.sql.push_str(line);
            question.sql.push('\n');
        }
    }
    for question in &mut questions {
        question.sql = question.sql.trim().trim_end_matches(';').to_owned();
        assert!(!question.sql.is_empty(), "no question: {}", question.name);
    }
    questions
}

async fn load_demo(server: &ClickHouseServer) {
    let target = ClickHouseTarget {
        url: server.url.clone(),
        database: server.database.clone(),
        user: Some(server.user.clone()),
        password: Some(server.password.clone()),
        replace: false,
    };
    let options = DemoOptions { orders: ORDERS, target: DemoTarget::ClickHouse(target) };
    demo::run(options, &mut Vec::new()).await.unwrap();
}

/// A folder of definitions, checked against the tables of the backend.
pub(crate) async fn model_of(folder: &Path, backend: &dyn Backend) -> Arc<Model> {
    let read = read(folder).unwrap();
    let mut sources = BTreeMap::new();
    for table in read.tables() {
        let columns = backend.describe(&table).await.unwrap();
        sources.insert(table, columns.expect("every table is there"));
    }
    let checked = check(&read, &sources);
    checked.model.unwrap_or_else(|| panic!("{}: {:?}", folder.display(), checked.findings))
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
        application_name: "snapshots".to_owned(),
        backend_pid: 0,
        settings: Arc::new(settings),
        statement_timeout: None,
        changes: Default::default(),
        seen: Default::default(),
    }
}

pub(crate) async fn explained(engine: &QueryEngine, question: &str) -> Result<String, QueryError> {
    let sql = format!("EXPLAIN {question}");
    let Some(Statement::Query(statement)) = parse(&sql)?.pop() else {
        panic!("not for the engine: {question}");
    };
    let text = QueryText { statement: *statement, text: sql.into() };
    let context = context();
    let prepared = engine.prepare(&text, &[], &context).await?;
    let rows = engine.execute(&prepared, Vec::new(), &context, CancellationToken::new()).await?;
    let batches: Vec<_> = rows.batches.try_collect().await.map_err(stream_error)?;
    let lines = batches.iter().flat_map(|batch| batch.column(0).as_string::<i32>().iter());
    Ok(renumbered(&lines.map(Option::unwrap).collect::<Vec<_>>().join("\n")))
}

/// The optimizer counts common expressions through all questions; here each question begins with 1.
fn renumbered(text: &str) -> String {
    const PREFIX: &str = "__common_expr_";
    let mut parts = text.split(PREFIX);
    let mut out = parts.next().unwrap_or_default().to_owned();
    let mut seen: Vec<&str> = Vec::new();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        let (number, rest) = part.split_at(end);
        let place = seen.iter().position(|other| *other == number).unwrap_or_else(|| {
            seen.push(number);
            seen.len() - 1
        });
        out.push_str(&format!("{PREFIX}{}{rest}", place + 1));
    }
    out
}

/// The statement that is sent, None where it isn't one or something is left to do above it.
pub(crate) fn pushed(explained: &str) -> Option<String> {
    if more_than_one(explained).is_some() {
        return None;
    }
    let sent = explained.lines().skip_while(|line| *line != SENT).skip(1);
    Some(sent.map(str::trim_start).collect::<Vec<_>>().join("\n"))
}

/// Why the whole question isn't one statement, None where it is.
fn more_than_one(explained: &str) -> Option<String> {
    let sent = explained.lines().filter(|line| *line == SENT).count();
    if sent != 1 {
        return Some(format!("{sent} statements"));
    }
    let root = explained.lines().skip_while(|line| *line != "Plan:").nth(1).unwrap_or_default();
    (!root.starts_with("  ClickHouse")).then(|| format!("above it runs{root}"))
}

fn snapshots() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}

/// All differences are shown, not only the first.
#[tokio::test]
async fn questions_become_statements() {
    let server = ClickHouseServer::start().await;
    load_demo(&server).await;
    let backend: Arc<dyn Backend> = Arc::new(server.backend());
    let model = model_of(&repository("metrics"), backend.as_ref()).await;
    let cache = Cache::default();
    let state = Arc::new(DefinitionsState::new(Definitions::of(model, &cache)));
    let engine = QueryEngine::new(state, backend, cache);

    let run_dependent = [&server.database, &server.url, &server.password];
    let mut faults = Vec::new();
    for Question { name, is_one, sql } in questions() {
        let text = match explained(&engine, &sql).await {
            Ok(text) => text,
            Err(error) => {
                faults.push(format!("{name}: refused: {error}"));
                continue;
            }
        };
        if run_dependent.iter().any(|part| !part.is_empty() && text.contains(part.as_str())) {
            faults.push(format!("{name}: tells of this run:\n{text}"));
            continue;
        }
        if let Some(reason) = more_than_one(&text).filter(|_| is_one) {
            faults.push(format!("{name}: not one statement: {reason}"));
        }
        let snapshot = format!("{sql}\n\n{text}");
        let compared = catch_unwind(AssertUnwindSafe(|| {
            snapshots().bind(|| insta::assert_snapshot!(name.as_str(), snapshot));
        }));
        if compared.is_err() {
            faults.push(format!("{name}: differs from its snapshot, as shown above"));
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
