//! What stands beside the rows: names of columns, notices.

use std::sync::{Arc, Mutex};

use futures::{StreamExt, stream};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};

use crate::clickhouse_server::ClickHouseServer;
use crate::fixture::Fixture;
use crate::servers::Canon;

/// A connection, and the notices that come over it.
async fn connect_with_notices(canon: &Canon) -> (Client, Arc<Mutex<Vec<String>>>) {
    let mut config = Config::new();
    config.host("127.0.0.1").port(canon.port).user("analyst").dbname("canon");
    let (client, mut connection) = config.connect(NoTls).await.unwrap();
    let notices = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&notices);
    tokio::spawn(async move {
        let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notice(notice) = message {
                kept.lock().unwrap().push(notice.to_string());
            }
        }
    });
    (client, notices)
}

#[tokio::test]
async fn a_deprecated_version_answers_with_a_notice() {
    let canon = Canon::embedded(&Fixture::load("traps/t8_pins")).await;
    let (client, notices) = connect_with_notices(&canon).await;
    client.simple_query("SELECT revenue, revenue_v2 FROM orders").await.unwrap();
    assert_eq!(notices.lock().unwrap().as_slice(), [""; 0]);
    for sql in ["SELECT revenue_v1 FROM orders", "SELECT SUM(revenue_v1) FROM metrics.revenue_v1"] {
        notices.lock().unwrap().clear();
        client.simple_query(sql).await.unwrap();
        let said = notices.lock().unwrap().join("\n");
        for part in ["revenue", "2027-01-31", "2"] {
            assert!(said.contains(part), "no {part} in the notice of {sql}: {said}");
        }
    }
    notices.lock().unwrap().clear();
    client.query("SELECT revenue_v1 FROM orders", &[]).await.unwrap();
    assert!(notices.lock().unwrap().join("\n").contains("2027-01-31"), "in the extended protocol");
    for (least, said) in [("warning", 0), ("notice", 1), ("error", 0), ("log", 1)] {
        client.simple_query(&format!("SET client_min_messages = {least}")).await.unwrap();
        notices.lock().unwrap().clear();
        client.simple_query("SELECT revenue_v1 FROM orders").await.unwrap();
        assert_eq!(notices.lock().unwrap().len(), said, "with client_min_messages {least}");
    }
}

#[tokio::test]
async fn data_older_than_their_budget_are_said_to_be_so() {
    let fixture = Fixture::load("stale");
    let server = ClickHouseServer::start().await;
    fixture.load_clickhouse(&server).await;
    let over_clickhouse = Canon::over_clickhouse(&fixture, &server).await;
    for canon in [Canon::embedded(&fixture).await, over_clickhouse] {
        let (client, notices) = connect_with_notices(&canon).await;
        for sql in ["SELECT orders_placed FROM orders", "SELECT visit_count FROM visits"] {
            client.simple_query(sql).await.unwrap();
            assert_eq!(notices.lock().unwrap().as_slice(), [""; 0], "{sql}");
        }
        // Each time, from the cache too, and once for each statement.
        for _ in 0..2 {
            client.simple_query("SELECT revenue, orders_placed FROM orders").await.unwrap();
            let said = std::mem::take(&mut *notices.lock().unwrap());
            assert_eq!(said.len(), 1, "{said:?}");
            assert!(said[0].contains("data as of 2026-03-01T12:00:00Z"), "{}", said[0]);
        }
        let sql = "SELECT source, data_as_of IS NULL, budget_seconds, over_budget \
                   FROM canon.sources ORDER BY 1";
        let rows = client.query(sql, &[]).await.unwrap();
        let told = |row: &tokio_postgres::Row| {
            (row.get::<_, String>(0), row.get::<_, bool>(1), row.get::<_, i64>(2), row.get(3))
        };
        let rows: Vec<(String, bool, i64, bool)> = rows.iter().map(told).collect();
        let (orders, visits) = ("raw_orders".to_owned(), "raw_visits".to_owned());
        assert_eq!(rows, [(orders, false, 300, true), (visits, false, 600, false)]);
    }
}

async fn names_of(client: &Client, sql: &str) -> Vec<String> {
    let statement = client.prepare(sql).await.unwrap();
    statement.columns().iter().map(|column| column.name().to_owned()).collect()
}

#[tokio::test]
async fn columns_are_named_as_postgres_names_them() {
    let canon = Canon::embedded(&Fixture::load("shop")).await;
    let client = canon.connect("analyst").await.unwrap();
    let sql = "SELECT channel, SUM(revenue), revenue, COUNT(*), revenue AS \"Net Revenue\", \
               date_trunc('month', metric_time), 1, CASE WHEN true THEN 1 END, \
               revenue + 1, CAST(revenue AS float8), coalesce(revenue, 0) FROM orders";
    let expected = [
        "channel",
        "sum",
        "revenue",
        "count",
        "Net Revenue",
        "date_trunc",
        "?column?",
        "case",
        "?column?",
        "revenue",
        "coalesce",
    ];
    assert_eq!(names_of(&client, sql).await, expected);
    let measures = "SELECT MEASURE(revenue), AGG(orders_completed) FROM orders";
    assert_eq!(names_of(&client, measures).await, ["revenue", "orders_completed"]);
}

#[tokio::test]
async fn a_star_shows_the_key_the_attributes_the_dimensions_and_the_measures() {
    let canon = Canon::embedded(&Fixture::load("shop")).await;
    let client = canon.connect("analyst").await.unwrap();
    let names = names_of(&client, "SELECT * FROM orders").await;
    for name in [
        "order_id",
        "customer_id",
        "placed_by_id",
        "channel",
        "status",
        "ordered_at",
        "gross_amount",
        "customer_country",
        "customer_tier",
        "placed_by_team",
        "fulfilled_by_team",
        "metric_time",
        "metric_instant",
        "revenue",
        "average_order_value",
        "orders_open",
    ] {
        assert_eq!(names.iter().filter(|n| *n == name).count(), 1, "{name} in {names:?}");
    }
    for hidden in ["is_test", "order_channel", "order_status", "visit_count", "revenue_v1"] {
        assert!(!names.contains(&hidden.to_owned()), "{hidden} in {names:?}");
    }
    assert_eq!(names[0], "order_id", "the key comes first");
    let rows = client.query("SELECT * FROM orders ORDER BY order_id", &[]).await.unwrap();
    let channels: Vec<&str> = rows.iter().map(|row| row.get("channel")).collect();
    assert_eq!(
        channels,
        ["web", "shop", "web", "app", "app", "web", "shop", "web", "app", "web", "web"]
    );
    let open: Vec<i64> = rows.iter().map(|row| row.get("orders_open")).collect();
    assert_eq!(open, [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
}
