//! Texts that are hard to quote, as bound parameters: each finds exactly the rows that hold it. Arrays,
//! as lists that ClickHouse looks in.

use serde_json::Value;
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::types::Type;

use crate::clickhouse_server::ClickHouseServer;
use crate::fixture::Fixture;
use crate::servers::Canon;

/// The rows of the fixture, by their points; a text that no row holds has none.
const TEXTS: [(&str, Option<i64>); 17] = [
    ("O'Brien", Some(1)),
    ("a\\", Some(2)),
    ("\\' OR 1=1 --", Some(4)),
    ("{x:String}", Some(8)),
    ("", Some(16)),
    ("\n", Some(32)),
    ("ünï", Some(64)),
    ("\\n", Some(256)),
    ("a\\\\", Some(512)),
    ("100%_", Some(1024)),
    ("ÜNÏ", Some(2048)),
    ("two\nlines", Some(4096)),
    ("?", Some(8192)),
    ("\\", None),
    ("'", None),
    ("' OR '1'='1", None),
    ("$1", None),
];

async fn each_text_finds_its_row(canon: &Canon) {
    let client = canon.connect("analyst").await.unwrap();
    for sql in [
        "SELECT CAST(points AS bigint) FROM notes WHERE body = $1",
        "SELECT CAST(MEASURE(points) FILTER (WHERE body = $1) AS bigint) FROM notes",
        "SELECT CAST(SUM(points) AS bigint) FROM metrics.points WHERE body IN ($1, $1)",
        "SELECT CAST(SUM(s.points) AS bigint) FROM (SELECT body, points FROM notes) AS s WHERE s.body = $1",
    ] {
        let statement = client.prepare(sql).await.unwrap();
        for (text, expected) in TEXTS {
            let row = client.query_one(&statement, &[&text]).await.unwrap();
            assert_eq!(row.get::<_, Option<i64>>(0), expected, "{text:?} in {sql}");
        }
    }
    let sql = "SELECT body FROM notes WHERE body = $1 AND note_id > $2 GROUP BY body";
    for (text, expected) in TEXTS {
        let rows = client.query(sql, &[&text, &0_i64]).await.unwrap();
        let found: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
        let expected: Vec<&str> = expected.map(|_| text).into_iter().collect();
        assert_eq!(found, expected);
    }
    let echoed = client.prepare("SELECT $1::text, count(*) FROM notes").await.unwrap();
    for (text, _) in TEXTS {
        let row = client.query_one(&echoed, &[&text]).await.unwrap();
        assert_eq!((row.get(0), row.get(1)), (text, 14_i64));
    }
}

#[tokio::test]
async fn embedded() {
    let canon = Canon::embedded(&Fixture::load("traps/t13_quotes")).await;
    each_text_finds_its_row(&canon).await;
}

#[tokio::test]
async fn clickhouse() {
    let fixture = Fixture::load("traps/t13_quotes");
    let server = ClickHouseServer::start().await;
    fixture.load_clickhouse(&server).await;
    let canon = Canon::over_clickhouse(&fixture, &server).await;
    each_text_finds_its_row(&canon).await;
}

#[tokio::test]
async fn arrays_are_pushed_as_lists() {
    let fixture = Fixture::load("shop");
    let server = ClickHouseServer::start().await;
    fixture.load_clickhouse(&server).await;
    let canon = Canon::over_clickhouse(&fixture, &server).await;
    let client = canon.connect("analyst").await.unwrap();
    client
        .batch_execute(
            "PREPARE these AS SELECT order_id, channel FROM orders \
             WHERE order_id = ANY ($1::int[]) AND channel <> ALL ($2)",
        )
        .await
        .unwrap();
    let second = client.prepare("SELECT 1 FROM orders WHERE order_id = $2").await.unwrap();
    assert_eq!(second.params(), [Type::TEXT, Type::INT8]);
    let explain = "EXPLAIN (FORMAT JSON) EXECUTE these ('{2,4,5}', '{web,app}')";
    let answer = client.simple_query(explain).await.unwrap();
    let text = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    let plan = serde_json::from_str::<Value>(text.unwrap()).unwrap()[0]["Plan"].clone();
    assert_eq!((plan["Node Type"].as_str(), plan.get("Plans")), (Some("Foreign Scan"), None));
    let pushed = plan["Remote SQL"].as_str().unwrap();
    assert!(pushed.contains("`order_id` = 4") && pushed.contains("!= 'web'"), "{pushed}");
}
