//! Lists of ten thousand values, as tools write them for filters of many members, calls and operators
//! deep within each other, and queries in queries that each use a column twice: the right rows, in a time that grows with the statement and
//! not with its square or worse, and without keeping what it took.

use std::fmt::Write as _;
use std::time::Duration;

use tokio_postgres::error::SqlState;
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

/// `inner` in as many calls or parentheses.
fn within(before: &str, inner: &str, after: &str) -> String {
    format!("{}{inner}{}", before.repeat(NESTED), after.repeat(NESTED))
}

/// What is written in itself, as a key of groups, with the groups of the 11 orders: 6 of the web, 3
/// of the app, 2 of the shop.
fn deep() -> Vec<(String, Vec<Vec<String>>)> {
    let (app, shop, web) = (("app", 3), ("shop", 2), ("web", 6));
    let cases: Vec<(String, Vec<(&str, i64)>)> = vec![
        (within("upper(", "channel", ")"), vec![("APP", 3), ("SHOP", 2), ("WEB", 6)]),
        (within("CAST(", "channel", " AS text)"), vec![app, shop, web]),
        (within("substring(", "channel", " FROM 1 FOR 9)"), vec![app, shop, web]),
        (within("nullif(", "channel", ", 'x')"), vec![app, shop, web]),
        (within("coalesce(NULL, ", "channel", ")"), vec![app, shop, web]),
        (
            within("CASE WHEN channel = 'app' THEN 'a' ELSE ", "channel", " END"),
            vec![("a", 3), shop, web],
        ),
        (within("(", "channel", " LIKE '%a%')::text"), vec![("false", 3), ("true", 8)]),
        (
            within("(", "channel", " LIKE ANY (ARRAY['a%', 'f%']))::text"),
            vec![("false", 3), ("true", 8)],
        ),
        (within("(", "channel", " IN ('app', 'true'))::text"), vec![("false", 8), ("true", 3)]),
        (within("(", "order_id / 100", "::int4 + 1)") + "::text", vec![("40", 11)]),
        (format!("({})::text", within("-(", "order_id / 100", ")")), vec![("0", 11)]),
    ];
    let row = |(key, count): (&str, i64)| vec![key.to_owned(), count.to_string()];
    let statement = |(key, groups): (String, Vec<(&str, i64)>)| {
        let sql = format!("SELECT {key}, COUNT(*)::text FROM orders GROUP BY 1 ORDER BY 1");
        (sql, groups.into_iter().map(row).collect())
    };
    cases.into_iter().map(statement).collect()
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

/// What would double with each level, and mistakes deep inside.
fn refused() -> Vec<(String, &'static str)> {
    let select = |expr: String| format!("SELECT {expr}, COUNT(*) FROM orders GROUP BY 1");
    let joined = (0..NESTED).fold("(SELECT 1) AS a".to_owned(), |inner, level| {
        format!("((SELECT 1) AS b{level} CROSS JOIN ({inner} CROSS JOIN (SELECT 1) AS c{level}))")
    });
    vec![
        (select(within("coalesce(", "channel", ", 'x')")), "54001"),
        (select(within("(", "channel", " BETWEEN 'a' AND 'f')::text")), "54001"),
        (select(within("(", "channel", " BETWEEN SYMMETRIC 'a' AND 'f')::text")), "54001"),
        (select(within("CAST(", "channel channel", " AS text)")), "42601"),
        (select(within("upper(", "channel channel", ")")), "42601"),
        (format!("SELECT COUNT(*) FROM {joined}"), "54001"),
        (
            format!(
                "SELECT * FROM canon.query('revenue', where => '{}1 = 1')",
                "1 + ".repeat(200_000)
            ),
            "54001",
        ),
    ]
}

/// What a statement gives, given in [`TIME_MAX`].
async fn in_time<T>(sql: &str, answer: impl Future<Output = T>) -> T {
    let Ok(answer) = tokio::time::timeout(TIME_MAX, answer).await else {
        panic!("no answer in {TIME_MAX:?}: {}…", &sql[..60]);
    };
    answer
}

async fn check(canon: &Canon) {
    let client = canon.connect("analyst").await.unwrap();
    client.simple_query("SELECT COUNT(*) FROM orders").await.unwrap();
    let before = canon.resident_bytes();
    for (sql, expected) in statements().into_iter().chain(deep()) {
        let rows = in_time(&sql, client.query(&sql, &[])).await;
        let rows = rows.unwrap_or_else(|error| panic!("{}…: {error:?}", &sql[..90]));
        let rows: Vec<Vec<String>> = rows
            .iter()
            .map(|row| (0..row.len()).map(|at| row.get::<_, &str>(at).to_owned()).collect())
            .collect();
        assert_eq!(rows, expected, "{}…", &sql[..90]);
    }

    for (sql, sqlstate) in refused() {
        let error = in_time(&sql, client.simple_query(&sql)).await.unwrap_err();
        assert_eq!(error.code().map(SqlState::code), Some(sqlstate), "{}…", &sql[..90]);
    }

    // The same as parameters: one for each value, and one array.
    let numbers: Vec<i64> = (5..VALUES + 5).collect();
    let places = list((1..=VALUES).map(|number| format!("${number}")));
    let sql = format!("SELECT COUNT(*) FROM orders WHERE order_id IN ({places})");
    let params: Vec<&(dyn ToSql + Sync)> = numbers.iter().map(|it| it as _).collect();
    let counted = in_time(&sql, client.query_one(&sql, &params)).await.unwrap();
    assert_eq!(counted.get::<_, i64>(0), 7);
    let sql = "SELECT SUM(revenue)::text FROM orders WHERE order_id = ANY ($1)";
    let summed = in_time(sql, client.query_one(sql, &[&numbers])).await.unwrap();
    assert_eq!(summed.get::<_, &str>(0), "154.00");

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
