//! Each type of metric as canon asks ClickHouse for it, beside the statement that an expert would
//! write by hand for the same answer. Both are sent to ClickHouse directly, in turns: what canon
//! itself adds is measured by `planning` and `overhead`.
//!
//! `types/*.sql` holds a question and the expert's statement each; `types/definitions.yaml` and
//! `types/tables.sql` are what the demo has no example of. A statement whose rows differ from the
//! other's fails the bench, so that a wrong twin can't look fast.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ::clickhouse::Client;

use super::clickhouse::ClickHouse;
use super::definitions::Definitions;
use super::planning::{Planner, ensure};
use super::report::{self, Budget};
use crate::Result;

/// Names another number of orders, for a short run.
const ORDERS: &str = "CANON_BENCH_ORDERS";
/// Names of the types to compare, with commas between them.
const TYPES: &str = "CANON_BENCH_TYPES";
const ORDERS_DEFAULT: &str = "10M";
const RUNS_MIN: usize = 3;
/// Short statements are run more often, as long as both together take no longer than this.
const RUNS_MAX: usize = 15;
const TIME_MAX: Duration = Duration::from_secs(20);
/// The best of the runs of each: others share the machine, and can only make a run longer.
const RATIO_MAX: f64 = 1.1;
/// Floats are sums in another order, and decimals are rounded where they are divided.
const TOLERANCE: f64 = 1e-6;

/// A file of `types/`.
struct Twin {
    name: String,
    what: String,
    asked: String,
    expert: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/canon/types")
}

/// `-- what it is`, perhaps over several lines, `-- asked`, the question, `-- expert`, the statement.
fn read(path: &Path) -> Result<Twin> {
    let text = std::fs::read_to_string(path)?;
    let parts = text.split_once("-- asked\n").and_then(|(what, rest)| {
        let (asked, expert) = rest.split_once("-- expert\n")?;
        Some((what, asked, expert))
    });
    let (what, asked, expert) = parts.ok_or_else(|| format!("{}: no twins", path.display()))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let what: Vec<&str> = what.lines().map(|line| line.trim_start_matches("-- ")).collect();
    let [asked, expert] = [asked, expert].map(|sql| sql.trim().to_owned());
    Ok(Twin { name, what: what.join(" "), asked, expert })
}

fn twins() -> Result<Vec<Twin>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder())? {
        let path = entry?.path();
        let is_twin = path.extension().is_some_and(|it| it == "sql")
            && path.file_stem().is_some_and(|it| it != "tables");
        if is_twin {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

pub(crate) async fn run() -> Result<()> {
    let orders = std::env::var(ORDERS).unwrap_or_else(|_| ORDERS_DEFAULT.to_owned());
    let server = ClickHouse::with_orders(&orders)?;
    let experts = server.expert();
    for statement in statements(&std::fs::read_to_string(folder().join("tables.sql"))?) {
        experts.query_raw(&statement).execute().await?;
    }
    let definitions = Definitions::demo_with(&folder().join("definitions.yaml"))?;
    let planner = Planner::of(&server, &definitions.metrics()).await?;
    report::part(&format!(
        "types: {orders} orders in ClickHouse {}, canon's statement beside an expert's",
        server.version
    ));
    let sides = [server.client(), experts];
    let mut failed = Vec::new();
    for twin in twins()?.into_iter().filter(|twin| is_asked(&twin.name)) {
        if let Err(error) = compare(&planner, &sides, &twin).await {
            report::figure(&twin.name, &format!("FAILED: {error}"));
            failed.push(twin.name);
        }
    }
    ensure(failed.is_empty(), &format!("without an answer: {}", failed.join(", ")))
}

/// Whether the environment asks for a type, or for none in particular.
fn is_asked(name: &str) -> bool {
    std::env::var(TYPES).map_or(true, |asked| asked.split(',').any(|it| it == name))
}

/// Without lines of remarks.
fn statements(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("--")).collect();
    let statements = lines.join("\n");
    let statements = statements.split(';').map(|it| it.trim().to_owned());
    statements.filter(|statement| !statement.is_empty()).collect()
}

async fn compare(planner: &Planner, sides: &[Client; 2], twin: &Twin) -> Result<()> {
    let statements = [planner.pushed(&twin.asked).await?, twin.expert.clone()];
    let begun = Instant::now();
    let ours = rows(&answer(&sides[0], &statements[0]).await?);
    let theirs = rows(&answer(&sides[1], &statements[1]).await?);
    if !are_alike(&ours, &theirs) {
        let shown = |rows: &[Vec<String>]| format!("{:?}", &rows[..rows.len().min(5)]);
        let (ours, theirs) = (shown(&ours), shown(&theirs));
        return Err(format!("the answers differ: {ours} and the expert's {theirs}").into());
    }
    let begin_of_runs = Instant::now();
    let each = begun.elapsed();
    let mut best = [Duration::MAX; 2];
    for run in 0..RUNS_MAX {
        if run >= RUNS_MIN && begin_of_runs.elapsed() + each > TIME_MAX {
            break;
        }
        // Who comes first finds ClickHouse's own caches colder.
        let order = if run % 2 == 0 { [0, 1] } else { [1, 0] };
        for side in order {
            let begun = Instant::now();
            answer(&sides[side], &statements[side]).await?;
            best[side] = best[side].min(begun.elapsed());
        }
    }
    let [ours, theirs] = best.map(report::ms);
    report::figure(&twin.name, &format!("{ours:.0} | {theirs:.0} ms"));
    report::judged(
        &format!("  {}", shortened(&twin.what)),
        ours / theirs,
        "",
        Budget::Below(RATIO_MAX),
    );
    Ok(())
}

fn shortened(what: &str) -> String {
    const WIDTH: usize = 52;
    match what.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", &what[..end]),
        None => what.to_owned(),
    }
}

async fn answer(client: &Client, statement: &str) -> Result<String> {
    let mut chunks = client.query_raw(statement).fetch_bytes("TabSeparated")?;
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await? {
        bytes.extend_from_slice(&chunk);
    }
    ensure(!bytes.is_empty(), "an empty answer")?;
    Ok(String::from_utf8(bytes)?)
}

/// The rows in an order of their own, a day written alike whether as a date or as its midnight.
fn rows(text: &str) -> Vec<Vec<String>> {
    let cell = |cell: &str| {
        let day = cell
            .split_once(" 00:00:00")
            .filter(|(_, rest)| rest.chars().all(|character| matches!(character, '.' | '0')));
        match (day, cell.parse::<f64>()) {
            (Some((day, _)), _) => day.to_owned(),
            // Sorted as texts, equal numbers have to be equal texts.
            (None, Ok(number)) => format!("{number:.8e}"),
            (None, Err(_)) => cell.to_owned(),
        }
    };
    let mut rows: Vec<Vec<String>> =
        text.lines().map(|line| line.split('\t').map(cell).collect()).collect();
    rows.sort();
    rows
}

fn are_alike(ours: &[Vec<String>], theirs: &[Vec<String>]) -> bool {
    let cells = |one: &String, other: &String| match (one.parse::<f64>(), other.parse::<f64>()) {
        (Ok(one), Ok(other)) => (one - other).abs() <= TOLERANCE * one.abs().max(1.0),
        _ => one == other,
    };
    ours.len() == theirs.len()
        && ours.iter().zip(theirs).all(|(one, other)| {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| cells(one, other))
        })
}
