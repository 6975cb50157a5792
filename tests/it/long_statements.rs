//! Lists of ten thousand values, as tools write them for filters of many members, and queries in
//! queries that each use a column twice: the right rows, in a time that grows with the statement and
//! not with its square or worse, and without keeping what it took.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use tokio_postgres::types::ToSql;

use crate::clickhouse_server::ClickHouseServer;
use crate::fixture::Fixture;
use crate::servers::Canon;

const VALUES: i64 = 10_000;
/// What doubles with each of them would never end.
const NESTED: usize = 40;
/// Of a debug build on a busy machine; a square of the list would take hours.
const TIME_MAX: Duration = Duration::from_secs(60);
/// What statements of 100 KB may leave behind in caches and pools.
const KEPT_BYTES_MAX: u64 = 400 << 20;

fn list(values: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    for value in values {
        let _ = write!(text, "{}{value}", if text.is_empty() { "" } else { ", " });
    }
    text
}

/// Ones, each doubled by as many queries as there are.
fn nested(one: &str) -> String {
    (0..NESTED).fold(format!("SELECT {one} AS x FROM orders"), |inner, _| {
        format!("SELECT x + x AS x FROM ({inner}) AS q")
    })
}

/// Orders 5 to 11 are in the lists of numbers, the channel "web" is in those of texts.
fn statements() -> Vec<(String, Vec<Vec<String>>)> {
    let numbers = list((5..VALUES + 5).map(|number| number.to_string()));
    let texts = list((1..VALUES).map(|number| format!("'x{number}'")).chain(["'web'".to_owned()]));
    let rows = list((5..VALUES + 5).map(|number| format!("({number})")));
    let shown = |rows: &[&[&str]]| -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect()
    };
    vec![
        (
            format!(
                "SELECT channel, COUNT(*)::text FROM orders WHERE order_id IN ({numbers}) \
                 GROUP BY channel ORDER BY channel"
            ),
            shown(&[&["app", "2"], &["shop", "1"], &["web", "4"]]),
        ),
        (
            format!("SELECT SUM(revenue)::text FROM orders WHERE order_id IN ({numbers})"),
            shown(&[&["154.00"]]),
        ),
        (
            format!("SELECT SUM(revenue)::text FROM metrics.revenue WHERE channel IN ({texts})"),
            shown(&[&["337.00"]]),
        ),
        (
            format!("SELECT COUNT(*)::text FROM orders WHERE channel NOT IN ({texts})"),
            shown(&[&["5"]]),
        ),
        (
            format!(
                "SELECT COUNT(*)::text FROM orders JOIN (VALUES {rows}) AS v (id) ON v.id = order_id"
            ),
            shown(&[&["7"]]),
        ),
        (
            format!("SELECT DISTINCT x::text FROM ({}) AS q", nested("order_id / order_id")),
            shown(&[&["1099511627776"]]),
        ),
        // With a key that ClickHouse has no function for.
        (
            format!(
                "SELECT initcap(x::text), COUNT(*)::text FROM ({}) AS q GROUP BY 1",
                nested("order_id / order_id")
            ),
            shown(&[&["1099511627776", "11"]]),
        ),
    ]
}

async fn check(canon: &Canon) {
    let client = canon.connect("analyst").await.unwrap();
    client.simple_query("SELECT COUNT(*) FROM orders").await.unwrap();
    let before = canon.resident_bytes();
    for (sql, expected) in statements() {
        let started = Instant::now();
        let rows = client.query(&sql, &[]).await.unwrap_or_else(|error| {
            panic!("{}…: {error:?}", sql.chars().take(100).collect::<String>())
        });
        let rows: Vec<Vec<String>> = rows
            .iter()
            .map(|row| (0..row.len()).map(|at| row.get::<_, &str>(at).to_owned()).collect())
            .collect();
        assert_eq!(rows, expected, "{}…", &sql[..90]);
        assert!(started.elapsed() < TIME_MAX, "{:?}: {}…", started.elapsed(), &sql[..90]);
    }

    // The same as parameters: one for each value, and one array.
    let numbers: Vec<i64> = (5..VALUES + 5).collect();
    let places = list((1..=VALUES).map(|number| format!("${number}")));
    let sql = format!("SELECT COUNT(*) FROM orders WHERE order_id IN ({places})");
    let params: Vec<&(dyn ToSql + Sync)> = numbers.iter().map(|it| it as _).collect();
    let started = Instant::now();
    assert_eq!(client.query_one(&sql, &params).await.unwrap().get::<_, i64>(0), 7);
    let sql = "SELECT SUM(revenue)::text FROM orders WHERE order_id = ANY ($1)";
    assert_eq!(client.query_one(sql, &[&numbers]).await.unwrap().get::<_, &str>(0), "154.00");
    assert!(started.elapsed() < TIME_MAX, "{:?} for parameters", started.elapsed());

    let kept = canon.resident_bytes().saturating_sub(before);
    assert!(kept < KEPT_BYTES_MAX, "{} MB more than before", kept >> 20);
}

#[tokio::test]
async fn long_statements_are_answered_from_files() {
    check(&Canon::embedded(&Fixture::load("shop")).await).await;
}

#[tokio::test]
async fn long_statements_are_answered_from_clickhouse() {
    let (fixture, server) = (Fixture::load("shop"), ClickHouseServer::start().await);
    fixture.load_clickhouse(&server).await;
    check(&Canon::over_clickhouse(&fixture, &server).await).await;
}
