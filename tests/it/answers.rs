//! What stands beside the rows: names of columns, notices.

use std::sync::{Arc, Mutex};

use futures::{StreamExt, stream};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};

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
    assert_eq!(names_of(&client, measures).await, ["measure", "agg"]);
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
        "revenue_v1",
        "average_order_value",
        "orders_open",
    ] {
        assert_eq!(names.iter().filter(|n| *n == name).count(), 1, "{name} in {names:?}");
    }
    for hidden in ["is_test", "order_channel", "order_status", "visit_count"] {
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
