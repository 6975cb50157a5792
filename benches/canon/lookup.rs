//! Look-ups of a segment by its key, beside PostgreSQL with the same rows under a primary key.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_postgres::{Client, Statement};

use super::definitions::Definitions;
use super::postgres::Postgres;
use super::report::{self, Budget};
use super::server::Server;
use crate::Result;

/// Turns of each server, so that a slow moment of the machine meets both.
const ROUNDS: usize = 5;
const THROUGHPUT_FOR: Duration = Duration::from_millis(1_500);
const CONNECTIONS: [usize; 3] = [1, 8, 64];
const LOAD_LIMIT: Duration = Duration::from_secs(60);

const TABLE: &str = "CREATE SCHEMA segments;
    CREATE TABLE segments.loyalty_tier (customer_id bigint PRIMARY KEY, loyalty_tier text)";
const LOOKUP: &str = "SELECT loyalty_tier FROM segments.loyalty_tier WHERE customer_id = $1";
const KEPT: &str = "SELECT members FROM canon.segments WHERE segment = 'loyalty_tier'";

pub(crate) async fn run() -> Result<()> {
    let definitions = Definitions::demo()?;
    let canon = Server::start(&definitions.metrics())?;
    let postgres = Postgres::start()?;
    let keys = Arc::new(same_rows(&canon, &postgres).await?);
    report::part("lookup: a segment by its key, prepared, PostgreSQL 15 in turns");
    report::figure("members", &keys.len().to_string());
    for connections in CONNECTIONS {
        throughput(&canon, &postgres, &keys, connections).await?;
    }
    Ok(())
}

/// Copies canon's rows into PostgreSQL once they are in memory; gives their keys.
async fn same_rows(canon: &Server, postgres: &Postgres) -> Result<Vec<i64>> {
    let (canon, postgres) = (canon.connect().await?, postgres.connect().await?);
    let begun = Instant::now();
    while canon.query_one(KEPT, &[]).await?.get::<_, Option<i64>>(0).is_none() {
        if begun.elapsed() > LOAD_LIMIT {
            return Err("the segment isn't in memory".into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let rows = "SELECT customer_id, loyalty_tier FROM segments.loyalty_tier";
    let rows = canon.query(rows, &[]).await?;
    let keys: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    let tiers: Vec<&str> = rows.iter().map(|row| row.get(1)).collect();
    postgres.batch_execute(TABLE).await?;
    let insert = "INSERT INTO segments.loyalty_tier SELECT * FROM unnest($1::bigint[], $2::text[])";
    postgres.execute(insert, &[&keys, &tiers]).await?;
    postgres.batch_execute("VACUUM ANALYZE segments.loyalty_tier").await?;
    Ok(keys)
}

async fn throughput(
    canon: &Server,
    postgres: &Postgres,
    keys: &Arc<Vec<i64>>,
    connections: usize,
) -> Result<()> {
    let (mut references, mut own) = (Vec::new(), Vec::new());
    for _ in 0..connections {
        references.push(Caller::new(postgres.connect().await?, keys).await?);
        own.push(Caller::new(canon.connect().await?, keys).await?);
    }
    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (callers, rates) in [&references, &own].into_iter().zip(&mut rates) {
            rates.push(rate(callers).await?);
        }
    }
    let [postgres, canon] = rates.each_mut().map(|rates| report::median_of(rates));
    let what = format!("{connections} connections, look-ups/s: PostgreSQL | canon");
    report::figure(&what, &format!("{postgres:.0} | {canon:.0}"));
    let what = format!("{connections} connections: canon / PostgreSQL");
    report::judged(&what, canon / postgres, " x", Budget::AtLeast(1.0));
    Ok(())
}

/// Look-ups a second of all callers together, each waiting for its answer.
// Counts of calls are far below 2^53.
#[allow(clippy::cast_precision_loss)]
async fn rate(callers: &[Caller]) -> Result<f64> {
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for (first, caller) in callers.iter().enumerate() {
        let caller = Caller::clone(caller);
        tasks.spawn(async move {
            let mut calls = 0;
            while begun.elapsed() < THROUGHPUT_FOR {
                caller.call(first + calls * STRIDE).await?;
                calls += 1;
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(calls)
        });
    }
    let mut calls = 0;
    while let Some(done) = tasks.join_next().await {
        calls += done??;
    }
    Ok(calls as f64 / begun.elapsed().as_secs_f64())
}

/// A prime, so that all keys are met, far from each other.
const STRIDE: usize = 7_919;

/// A connection with its statement.
#[derive(Clone)]
struct Caller {
    client: Arc<Client>,
    statement: Statement,
    keys: Arc<Vec<i64>>,
}

impl Caller {
    async fn new(client: Client, keys: &Arc<Vec<i64>>) -> Result<Self> {
        let statement = client.prepare(LOOKUP).await?;
        let caller = Self { client: client.into(), statement, keys: Arc::clone(keys) };
        caller.call(0).await?;
        Ok(caller)
    }

    async fn call(&self, number: usize) -> Result<()> {
        let key = self.keys[number % self.keys.len()];
        let rows = self.client.query(&self.statement, &[&key]).await?;
        if rows.len() == 1 { Ok(()) } else { Err(format!("{} rows", rows.len()).into()) }
    }
}
