//! A filter of time reaches the primary keys of a real ClickHouse: for each type of metric, EXPLAIN
//! of the statement that is sent says how many granules of each table are read.
//!
//! `tests/fixtures/pruned` has two years of events, and the questions are about one month.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use canon::backend::Backend;
use canon::cache::Cache;
use canon::session::{Definitions, DefinitionsState, QueryEngine};

use crate::clickhouse_server::ClickHouseServer;
use crate::fixture::root;
use crate::snapshots::{explained, model_of, pushed};

/// The condition that every question has.
const FEBRUARY: &str = "metric_time >= '2025-02-01' AND metric_time < '2025-03-01'";
/// Of the granules of a table, at most one in so many is read: a month of 24 is one in 24, with two
/// weeks on either side one in 12.
const PART: u64 = 8;

/// A question, its condition written `{}`, and the tables that it may read whole, with the reason.
type Question = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const NO_TIME: &str = "its rows have no time";
const QUESTIONS: &[Question] = &[
    ("sum", "SELECT MEASURE(time_spent) FROM visits WHERE {}", &[]),
    ("filtered count", "SELECT kind, MEASURE(long_visits) FROM visits WHERE {} GROUP BY 1", &[]),
    (
        "filter clause",
        "SELECT MEASURE(visit_count) FILTER (WHERE kind = 'free') FROM visits WHERE {}",
        &[],
    ),
    ("max", "SELECT MEASURE(longest_visit) FROM visits WHERE {}", &[]),
    ("average", "SELECT MEASURE(minutes_average) FROM visits WHERE {}", &[]),
    (
        "distinct count",
        "SELECT date_trunc('week', metric_time), MEASURE(visitors) FROM visits WHERE {} GROUP BY 1",
        &[],
    ),
    ("quantile", "SELECT MEASURE(minutes_median) FROM visits WHERE {}", &[]),
    ("ratio", "SELECT kind, MEASURE(long_share) FROM visits WHERE {} GROUP BY 1", &[]),
    (
        "ratio over entities",
        "SELECT date_trunc('day', metric_time), MEASURE(purchases_per_visit) \
         FROM metrics.purchases_per_visit WHERE {} GROUP BY 1",
        &[],
    ),
    ("derived over entities", "SELECT MEASURE(events) FROM metrics.events WHERE {}", &[]),
    (
        "trailing",
        "SELECT date_trunc('day', metric_time), MEASURE(visits_7_days) FROM visits WHERE {} GROUP BY 1",
        &[],
    ),
    (
        "trailing distinct",
        "SELECT date_trunc('day', metric_time), MEASURE(visitors_7_days) FROM visits WHERE {} GROUP BY 1",
        &[],
    ),
    ("trailing without groups", "SELECT MEASURE(visits_7_days) FROM visits WHERE {}", &[]),
    (
        "to date",
        "SELECT date_trunc('day', metric_time), kind, MEASURE(visits_month_to_date) FROM visits \
         WHERE {} GROUP BY 1, 2",
        &[],
    ),
    (
        "of all time",
        "SELECT date_trunc('day', metric_time), MEASURE(visits_so_far) FROM visits WHERE {} GROUP BY 1",
        &[],
    ),
    (
        "earlier",
        "SELECT date_trunc('day', metric_time), MEASURE(visits_month_before) FROM visits WHERE {} GROUP BY 1",
        &[],
    ),
    (
        "snapshot",
        "SELECT date_trunc('month', metric_time), MEASURE(on_hand) FROM stocks WHERE {} GROUP BY 1",
        &[],
    ),
    (
        "snapshot, carried",
        "SELECT date_trunc('day', metric_time), MEASURE(on_hand_carried) FROM stocks WHERE {} GROUP BY 1",
        &[],
    ),
    (
        "conversion",
        "SELECT date_trunc('day', metric_time), MEASURE(visit_to_purchase) \
         FROM metrics.visit_to_purchase WHERE {} GROUP BY 1",
        &[],
    ),
    (
        "retention",
        "SELECT date_trunc('month', metric_time), age, MEASURE(member_retention) \
         FROM metrics.member_retention WHERE {} GROUP BY 1, 2",
        &[("raw_visits", "a member's first visit may be any, and they are followed until today")],
    ),
    ("funnel", "SELECT step, MEASURE(buying) FROM metrics.buying WHERE {} GROUP BY 1", &[]),
    (
        "level",
        "SELECT kind, MEASURE(time_spent) / MEASURE(time_spent) OVER () FROM visits WHERE {} GROUP BY 1",
        &[],
    ),
    (
        "history at the event",
        "SELECT member_plan, MEASURE(visit_count) FROM visits WHERE {} GROUP BY 1",
        &[("raw_member_history", "what is valid began at any time")],
    ),
    (
        "touch",
        "SELECT i.category, MEASURE(p.spent_touching) FROM purchases p \
         JOIN items i ON i.purchase_id = p.purchase_id WHERE p.{} GROUP BY 1",
        &[("raw_items", NO_TIME)],
    ),
    (
        "allocate",
        "SELECT i.category, MEASURE(p.spent_allocated) FROM purchases p \
         JOIN items i ON i.purchase_id = p.purchase_id WHERE p.{} GROUP BY 1",
        &[("raw_items", NO_TIME)],
    ),
    (
        "segment as a dimension",
        "SELECT member_attendance, MEASURE(visit_count) FROM visits WHERE {} GROUP BY 1",
        &[("raw_member_history", "who is a member now began at any time")],
    ),
];

/// Of each scan of a table, the granules that are left by its primary key, and all.
fn granules(explained: &str) -> Vec<(String, u64, u64)> {
    let mut found = Vec::new();
    let (mut table, mut in_key) = (String::new(), false);
    for line in explained.lines() {
        let line = line.trim_start_matches([' ', '│', '├', '└', '─']);
        if let Some(rest) = line.strip_prefix("ReadFromMergeTree (") {
            let name = rest.trim_end_matches(')');
            table = name.rsplit('.').next().unwrap().to_owned();
            in_key = false;
        } else if line == "PrimaryKey" {
            in_key = true;
        } else if let Some(counts) = line.strip_prefix("Granules: ").filter(|_| in_key) {
            let (left, all) = counts.split_once('/').unwrap();
            found.push((table.clone(), left.parse().unwrap(), all.parse().unwrap()));
            in_key = false;
        }
    }
    found
}

fn pruned(below: &str) -> PathBuf {
    root().join("tests/fixtures/pruned").join(below)
}

#[tokio::test]
async fn filters_of_time_reach_primary_keys() {
    let server = ClickHouseServer::start().await;
    let tables = std::fs::read_to_string(pruned("tables.sql")).unwrap();
    let lines: Vec<&str> = tables.lines().filter(|line| !line.starts_with("--")).collect();
    let statements = lines.join("\n");
    let statements: Vec<&str> =
        statements.split(';').map(str::trim).filter(|statement| !statement.is_empty()).collect();
    server.run(&statements).await;
    let backend: Arc<dyn Backend> = Arc::new(server.backend());
    let model = model_of(&pruned("metrics"), backend.as_ref()).await;
    let cache = Cache::default();
    let state = Arc::new(DefinitionsState::new(Definitions::of(model, &cache)));
    let engine = QueryEngine::new(state, backend, cache);

    let mut faults = Vec::new();
    for (name, question, whole) in QUESTIONS {
        let question = match question.split_once("p.{}") {
            Some((before, after)) => {
                let condition = FEBRUARY.replace("metric_time", "p.metric_time");
                format!("{before}{condition}{after}")
            }
            None => question.replace("{}", FEBRUARY),
        };
        let plan = match explained(&engine, &question).await {
            Ok(plan) => plan,
            Err(error) => {
                faults.push(format!("{name}: refused: {error}"));
                continue;
            }
        };
        let Some(sql) = pushed(&plan) else {
            faults.push(format!("{name}: not one statement:\n{plan}"));
            continue;
        };
        let explain = format!("EXPLAIN indexes = 1 {sql}");
        let settings = [("join_use_nulls", "1"), ("cast_keep_nullable", "1")];
        let client = settings
            .into_iter()
            .fold(server.client(), |client, (name, value)| client.with_setting(name, value));
        let lines = client.query_raw(&explain).fetch_all::<String>().await;
        let lines = lines.unwrap_or_else(|error| panic!("{name}: {error}\n{sql}"));
        let read = granules(&lines.join("\n"));
        let mut tables: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for (table, left, all) in &read {
            let most = tables.entry(table).or_default();
            *most = (*left.max(&most.0), *all);
        }
        if tables.is_empty() {
            faults.push(format!("{name}: reads nothing:\n{}", lines.join("\n")));
        }
        for (table, (left, all)) in tables {
            let may = whole.iter().any(|(of, _)| *of == table);
            if !may && left * PART > all {
                faults.push(format!("{name}: {left} of {all} granules of {table}:\n{sql}"));
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn granules_are_those_of_the_primary_key() {
    let explained = "Union\n└──ReadFromMergeTree (shop.visits)\n      Parts: 1 | Granules: 2\n      \
                     Indexes:\n        MinMax\n          Granules: 7/9\n        PrimaryKey\n          \
                     Keys:\n            visited_at\n          Granules: 2/25\n";
    assert_eq!(granules(explained), [("visits".to_owned(), 2, 25)]);
}
