//! EXPLAIN (CANON): which rows count and why the others don't, over both backends.

use serde_json::{Value, json};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::clickhouse_server::ClickHouseServer;
use crate::fixture::Fixture;
use crate::servers::Canon;

async fn column(client: &Client, sql: &str) -> Vec<String> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let text = |message| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap().to_owned()),
        _ => None,
    };
    messages.into_iter().filter_map(text).collect()
}

async fn explained(client: &Client, question: &str) -> Value {
    let rows = column(client, &format!("EXPLAIN (CANON, FORMAT JSON) {question}")).await;
    assert_eq!(rows.len(), 1);
    serde_json::from_str(&rows[0]).unwrap()
}

/// The rows' parts: source, dropped by each step, counted; with the metric that they are of.
fn counts(explained: &Value) -> Vec<(String, i64, Vec<i64>, i64)> {
    let metrics = explained["metrics"].as_array().unwrap().iter();
    let rows = metrics.flat_map(|metric| metric["rows"].as_array().unwrap());
    rows.map(|rows| {
        let dropped: Vec<i64> = rows["dropped"]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| step["rows"].as_i64().unwrap())
            .collect();
        let (source, counted) =
            (rows["source_rows"].as_i64().unwrap(), rows["counted"].as_i64().unwrap());
        assert_eq!(source - dropped.iter().sum::<i64>(), counted, "the counts don't add up");
        (rows["metric"].as_str().unwrap().to_owned(), source, dropped, counted)
    })
    .collect()
}

/// The fixture over both backends.
async fn both(name: &str) -> (ClickHouseServer, Vec<Canon>) {
    let fixture = Fixture::load(name);
    let server = ClickHouseServer::start().await;
    fixture.load_clickhouse(&server).await;
    let canons =
        vec![Canon::embedded(&fixture).await, Canon::over_clickhouse(&fixture, &server).await];
    (server, canons)
}

fn of(metric: &str, source: i64, dropped: &[i64], counted: i64) -> (String, i64, Vec<i64>, i64) {
    (metric.to_owned(), source, dropped.to_vec(), counted)
}

#[tokio::test]
async fn rows_are_counted_at_the_first_that_drops_them() {
    let (_server, canons) = both("shop").await;
    for canon in &canons {
        let client = canon.connect("analyst").await.unwrap();
        let counts = async |question: &str| counts(&explained(&client, question).await);
        // Orders 4 and 10 weren't completed, order 8 is a test.
        let all = [of("revenue", 11, &[0, 2, 1], 8)];
        assert_eq!(counts("SELECT revenue FROM orders").await, all);
        assert_eq!(counts("SELECT channel, SUM(revenue) FROM orders GROUP BY 1").await, all);
        assert_eq!(counts("SELECT MEASURE(revenue) FROM metrics.revenue").await, all);
        // Of German customers are 1, 2, 5, 8 and 9.
        let german = [of("revenue", 11, &[6, 0, 1], 4)];
        let sql = "SELECT revenue FROM orders WHERE customer_country = 'DE'";
        assert_eq!(counts(sql).await, german);
        let sql = "SELECT MEASURE(revenue) FILTER (WHERE customer_country = 'DE') FROM orders";
        assert_eq!(counts(sql).await, german);
        let sql = "SELECT o.revenue FROM orders o JOIN customers c USING (customer_id) \
                   WHERE c.country = 'DE'";
        assert_eq!(counts(sql).await, german);
        // In March: 6 to 9 and 11, of which 8 is a test; the web adds a condition.
        let sql = "SELECT web_revenue, date_trunc('day', metric_time) FROM orders \
                   WHERE metric_time >= '2026-03-01' GROUP BY 2";
        assert_eq!(counts(sql).await, [of("web_revenue", 11, &[5, 0, 1, 3], 2)]);
        // Parts of a ratio each have their rows.
        let parts = [of("revenue", 11, &[0, 2, 1], 8), of("orders_completed", 11, &[0, 2, 1], 8)];
        assert_eq!(counts("SELECT average_order_value FROM orders").await, parts);
        // Rows as they are.
        let sql = "SELECT order_id, revenue FROM orders WHERE channel = 'app'";
        assert_eq!(counts(sql).await, [of("revenue", 11, &[8, 1, 0], 2)]);
        assert_eq!(counts("SELECT COUNT(*) FROM orders").await, []);
        let without = client.prepare("EXPLAIN (FORMAT JSON) SELECT revenue FROM orders").await;
        assert!(without.is_err());
    }
}

#[tokio::test]
async fn dedupe_comes_before_everything() {
    let (_server, canons) = both("traps/t11_at_least_once").await;
    for canon in &canons {
        let client = canon.connect("analyst").await.unwrap();
        let counts = async |question: &str| counts(&explained(&client, question).await);
        let plain = counts("SELECT plain_sum FROM plain").await;
        assert_eq!(plain, [of("plain_sum", 4, &[2, 0], 2)]);
        let sql = "SELECT plain_deleted_sum FROM plain_deleted WHERE id = 'a'";
        assert_eq!(counts(sql).await, [of("plain_deleted_sum", 5, &[4, 1], 0)]);
        // ClickHouse may have merged some of these rows already.
        let counts = counts("SELECT replacing_deleted_sum FROM replacing_deleted").await;
        assert_eq!(counts[0].3, 1);
    }
}

#[tokio::test]
async fn joins_that_repeat_rows_count_each_once() {
    let (_server, canons) = both("traps/t1_fan_out").await;
    for canon in &canons {
        let client = canon.connect("analyst").await.unwrap();
        let sql = "SELECT MEASURE(revenue), COUNT(*) FROM orders o JOIN lines l USING (order_id) \
                   WHERE l.category = 'device'";
        let counts = counts(&explained(&client, sql).await);
        assert_eq!(counts, [of("revenue", 3, &[1], 2)]);
    }
}

#[tokio::test]
async fn says_which_version_and_why() {
    let (_server, canons) = both("traps/t8_pins").await;
    for canon in &canons {
        let client = canon.connect("analyst").await.unwrap();
        let chosen = async |question: &str| {
            let explained = explained(&client, question).await;
            let metrics = explained["metrics"].as_array().unwrap().clone();
            let said = |metric: &Value| json!([metric["version"], metric["chosen"]]);
            metrics.iter().map(said).collect::<Vec<_>>()
        };
        let newest = "the newest active version, as nobody asks for another";
        assert_eq!(chosen("SELECT revenue FROM orders").await, [json!(["2.0.0", newest])]);
        let named = json!(["1.0.0", "the question names revenue_v1"]);
        assert_eq!(chosen("SELECT revenue_v1 FROM orders").await, [named]);
        client.simple_query("SET canon.pins = 'revenue=1'").await.unwrap();
        let pinned = json!(["1.0.0", "canon.pins says 1"]);
        assert_eq!(chosen("SELECT revenue FROM orders").await, [pinned]);
    }
}

#[tokio::test]
async fn reads_as_lines() {
    let canon = Canon::embedded(&Fixture::load("shop")).await;
    let client = canon.connect("analyst").await.unwrap();
    let sql = "SELECT customer_country, web_revenue FROM orders WHERE channel <> 'app'";
    let lines = column(&client, &format!("EXPLAIN (CANON) {sql}")).await;
    insta::with_settings!({omit_expression => true, prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("explain_canon", lines.join("\n"));
    });
}
