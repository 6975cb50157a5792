//! Statements that would never end, of the catalogue and of data: they end with their timeout or when
//! they are cancelled, they get no more memory than there is, and nobody else waits for them.

use std::time::{Duration, Instant};

use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

use crate::fixture::Fixture;
use crate::servers::Canon;

/// More than there are threads that serve sockets.
const AT_ONCE: usize = 12;
/// Of a busy machine; the statements themselves would take days.
const SOON: Duration = Duration::from_secs(60);

const CATALOGUE: &str = "SELECT max(a.attname || b.attname || c.attname) \
    FROM pg_catalog.pg_attribute AS a, pg_catalog.pg_attribute AS b, pg_catalog.pg_attribute AS c";
const DATA: &str = "SELECT max(a.channel || b.channel) FROM orders AS a, orders AS b, orders AS c, \
    orders AS d, orders AS e, orders AS f, orders AS g, orders AS h, orders AS i, orders AS j, \
    orders AS k, orders AS l, orders AS m, orders AS n, orders AS o";

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_them() {
    let canon = Canon::embedded(&Fixture::load("shop")).await;
    for sql in [CATALOGUE, DATA] {
        let mut running = Vec::new();
        for _ in 0..AT_ONCE {
            let client = canon.connect("analyst").await.unwrap();
            let cancel = client.cancel_token();
            let done = tokio::spawn(async move { client.simple_query(sql).await.unwrap_err() });
            running.push((cancel, done));
        }
        let started = Instant::now();
        let other = canon.connect("analyst").await.unwrap();
        assert_eq!(other.query_one("SELECT 1", &[]).await.unwrap().get::<_, i32>(0), 1);
        assert!(running.iter().all(|(_, done)| !done.is_finished()), "{sql}");
        for (cancel, _) in &running {
            cancel.cancel_query(NoTls).await.unwrap();
        }
        for (_, done) in running {
            assert_eq!(done.await.unwrap().code(), Some(&SqlState::QUERY_CANCELED), "{sql}");
        }
        assert!(started.elapsed() < SOON, "{:?}: {sql}", started.elapsed());
    }
}

#[tokio::test]
async fn they_end_with_their_timeout() {
    let canon = Canon::embedded(&Fixture::load("shop")).await;
    let client = canon.connect("analyst").await.unwrap();
    client.simple_query("SET statement_timeout = '500ms'").await.unwrap();
    for sql in [CATALOGUE, DATA] {
        let started = Instant::now();
        let error = client.simple_query(sql).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED), "{sql}");
        assert!(started.elapsed() < SOON, "{:?}: {sql}", started.elapsed());
    }
    assert!(client.simple_query("SELECT 1").await.is_ok());
}

#[tokio::test]
async fn they_get_no_more_memory_than_there_is() {
    let canon = Canon::embedded(&Fixture::load("shop")).await;
    let client = canon.connect("analyst").await.unwrap();
    let sql = "SELECT a.attname || b.attname AS x FROM pg_catalog.pg_attribute AS a, \
        pg_catalog.pg_attribute AS b ORDER BY x OFFSET 1000000";
    let error = client.simple_query(sql).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::OUT_OF_MEMORY), "{error:?}");
    assert!(client.simple_query("SELECT 1").await.is_ok());
}
