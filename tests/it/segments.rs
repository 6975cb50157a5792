//! Segments kept in memory: answered without the backend, and honest about their age.

use std::time::Duration;

use futures::channel::mpsc;
use futures::{StreamExt, TryStreamExt, stream};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};

use crate::clickhouse_server::ClickHouseServer;
use crate::fixture::Fixture;
use crate::servers::Canon;

/// Far more than a load takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until the answer is the expected one.
async fn wait_for(client: &Client, sql: &str, expected: &str) {
    let started = std::time::Instant::now();
    loop {
        let row = client.query_one(sql, &[]).await.unwrap();
        let found: Option<String> = row.get(0);
        if found.as_deref() == Some(expected) {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{sql}: {found:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

const MEMBERS: &str = "SELECT members::text FROM canon.segments
    WHERE segment = 'loyalty_tier' AND version = '2.0.0'";
const FAULT: &str = "SELECT left(fault, 29) FROM canon.segments
    WHERE segment = 'loyalty_tier' AND version = '2.0.0'";

async fn text(client: &Client, sql: &str) -> Vec<String> {
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// The sources are gone: what still answers comes from memory.
#[tokio::test]
async fn statements_over_kept_segments_make_no_request() {
    let fixture = Fixture::load("traps/segments");
    let server = ClickHouseServer::start().await;
    fixture.load_clickhouse(&server).await;
    let canon = Canon::over_clickhouse(&fixture, &server).await;
    let client = canon.connect("analyst").await.unwrap();
    wait_for(&client, MEMBERS, "8").await;
    let by_key = "SELECT loyalty_tier FROM segments.loyalty_tier WHERE customer_id = $1";
    let prepared = client.prepare(by_key).await.unwrap();
    server.run(&["DROP TABLE raw_orders", "DROP TABLE raw_customers"]).await;
    assert!(client.query("SELECT habit FROM segments.habit", &[]).await.is_err());

    for (customer, tier) in [(1_i64, "gold"), (2, "silver"), (3, "basic")] {
        let row = client.query_one(&prepared, &[&customer]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), tier);
    }
    assert!(client.query(&prepared, &[&99_i64]).await.unwrap().is_empty());
    assert!(client.query(&prepared, &[&None::<i64>]).await.unwrap().is_empty());
    let any = "SELECT loyalty_tier FROM segments.loyalty_tier WHERE customer_id = ANY ($1)";
    assert_eq!(client.query(any, &[&vec![1_i64, 99]]).await.unwrap().len(), 1);
    let several = "SELECT version || rule FROM segments.loyalty_tier WHERE customer_id IN ($1, $2)";
    let rows = client.query(several, &[&1_i64, &4_i64]).await.unwrap();
    let mut found: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    found.sort_unstable();
    assert_eq!(found, ["2.0.0otherwise", "2.0.0revenue@1 over 50 years >= 1000"]);

    let simple = "SELECT loyalty_tier FROM segments.loyalty_tier WHERE customer_id = 2 LIMIT 1";
    let messages = client.simple_query(simple).await.unwrap();
    let rows = messages.iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    assert_eq!(rows.collect::<Vec<_>>(), ["silver"]);
    let grouped = "SELECT loyalty_tier || count(*) FROM segments.loyalty_tier
        GROUP BY loyalty_tier ORDER BY 1";
    assert_eq!(text(&client, grouped).await, ["basic6", "gold1", "silver1"]);
    let joined = "SELECT a.loyalty_tier FROM segments.loyalty_tier a
        JOIN segments.loyalty_tier_v2 b USING (customer_id) WHERE b.loyalty_tier <> 'basic'
        ORDER BY a.customer_id DESC";
    assert_eq!(text(&client, joined).await, ["silver", "gold"]);
}

/// A connection, and the notices that it gets.
async fn noticing(port: u16) -> (Client, mpsc::UnboundedReceiver<String>) {
    let (client, mut connection) =
        Config::new().host("127.0.0.1").port(port).user("analyst").connect(NoTls).await.unwrap();
    let (sender, notices) = mpsc::unbounded();
    tokio::spawn(async move {
        let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
        while let Ok(Some(message)) = messages.try_next().await {
            if let AsyncMessage::Notice(notice) = message {
                sender.unbounded_send(notice.message().to_owned()).ok();
            }
        }
    });
    (client, notices)
}

#[tokio::test]
async fn rows_that_cannot_be_loaded_again_are_kept_and_told_of() {
    let mut fixture = Fixture::load("traps/segments");
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(&fixture.metrics).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let short = text.replace("budget: 5 minutes", "budget: 1 second");
        std::fs::write(folder.path().join(path.file_name().unwrap()), short).unwrap();
    }
    fixture.metrics = folder.path().to_owned();
    let server = ClickHouseServer::start().await;
    fixture.load_clickhouse(&server).await;
    let canon = Canon::over_clickhouse(&fixture, &server).await;
    let (client, mut notices) = noticing(canon.port).await;
    wait_for(&client, MEMBERS, "8").await;
    server.run(&["DROP TABLE raw_orders"]).await;
    let is_faulty = "SELECT (fault IS NOT NULL AND computed_at < now() - interval '1 second')::text
        FROM canon.segments WHERE segment = 'loyalty_tier' AND version = '2.0.0'";
    wait_for(&client, is_faulty, "true").await;
    let by_key = "SELECT loyalty_tier FROM segments.loyalty_tier WHERE customer_id = 1";
    assert_eq!(text(&client, by_key).await, ["gold"]);
    let notice = notices.next().await.unwrap();
    assert!(notice.starts_with("segment \"loyalty_tier\" is "), "{notice}");
    assert!(notice.ends_with(" s old"), "{notice}");
}

#[tokio::test]
async fn a_segment_with_too_many_members_is_asked_of_the_backend() {
    let fixture = Fixture::load("traps/segments");
    let canon = Canon::embedded_with(&fixture, &[("CANON_PRELOAD_MEMBERS_MAX", "7")]).await;
    let client = canon.connect("analyst").await.unwrap();
    wait_for(&client, FAULT, "it has more than 7 members").await;
    let by_key = "SELECT loyalty_tier FROM segments.loyalty_tier WHERE customer_id = 1";
    assert_eq!(text(&client, by_key).await, ["gold"]);
    let kept = client.query_one(MEMBERS, &[]).await.unwrap();
    assert_eq!(kept.get::<_, Option<String>>(0), None);
}
