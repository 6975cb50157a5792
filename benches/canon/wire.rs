//! Cached answers over the wire, beside PostgreSQL's `SELECT 1` through the same client.

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
const CALLS_PER_ROUND: usize = 1_000;
const THROUGHPUT_FOR: Duration = Duration::from_millis(1_500);
const CONNECTIONS: [usize; 2] = [8, 64];

const ONE: &str = "SELECT 1";
/// A question with one number for an answer, which is in the cache after the first time.
const CACHED: &str = "SELECT MEASURE(revenue) AS revenue FROM orders WHERE customer_country = 'DE'";

pub(crate) async fn run() -> Result<()> {
    let definitions = Definitions::demo()?;
    let canon = Server::start(&definitions.metrics())?;
    let postgres = Postgres::start()?;
    report::part("wire: prepared statements by tokio-postgres, PostgreSQL 15 in turns");
    latency(&canon, &postgres).await?;
    for connections in CONNECTIONS {
        throughput(&canon, &postgres, connections).await?;
    }
    Ok(())
}

async fn latency(canon: &Server, postgres: &Postgres) -> Result<()> {
    let reference = Caller::new(postgres.connect().await?, ONE).await?;
    let one = Caller::new(canon.connect().await?, ONE).await?;
    let cached = Caller::new(canon.connect().await?, CACHED).await?;
    let mut samples = [Vec::new(), Vec::new(), Vec::new()];
    let mut simple = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (caller, samples) in [&reference, &one, &cached].into_iter().zip(&mut samples) {
            caller.times(samples).await?;
        }
        for (caller, samples) in [&reference, &cached].into_iter().zip(&mut simple) {
            caller.simple_times(samples).await?;
        }
    }
    let [postgres, one, cached] = &mut samples;
    let [p50, one_p50, cached_p50] = [postgres, one, cached].map(|it| report::median(it));
    report::figure("PostgreSQL: SELECT 1, p50", &format!("{:.0} us", report::us(p50)));
    report::figure("canon: SELECT 1, p50", &format!("{:.0} us", report::us(one_p50)));
    report::figure("canon: cached answer, p50", &format!("{:.0} us", report::us(cached_p50)));
    let ratio = |mine: Duration| mine.as_secs_f64() / p50.as_secs_f64();
    report::judged("canon SELECT 1 / PostgreSQL", ratio(one_p50), " x", Budget::Below(1.5));
    report::judged("canon cached / PostgreSQL", ratio(cached_p50), " x", Budget::Below(1.5));
    let [postgres, cached] = &mut simple;
    let (p50, cached_p50) = (report::median(postgres), report::median(cached));
    let text = format!("{:.0} / {:.0} us", report::us(cached_p50), report::us(p50));
    report::figure("simple protocol: canon cached / PostgreSQL, p50", &text);
    let ratio = cached_p50.as_secs_f64() / p50.as_secs_f64();
    report::judged("the same as a ratio", ratio, " x", Budget::Below(1.5));
    Ok(())
}

async fn throughput(canon: &Server, postgres: &Postgres, connections: usize) -> Result<()> {
    let (mut references, mut ones, mut cached) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..connections {
        references.push(Caller::new(postgres.connect().await?, ONE).await?);
        ones.push(Caller::new(canon.connect().await?, ONE).await?);
        cached.push(Caller::new(canon.connect().await?, CACHED).await?);
    }
    let mut rates = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (callers, rates) in [&references, &ones, &cached].into_iter().zip(&mut rates) {
            rates.push(rate(callers).await?);
        }
    }
    let [postgres, one, cached] = rates.each_mut().map(|rates| report::median_of(rates));
    let text = format!("{postgres:.0} | {one:.0} | {cached:.0}");
    report::figure(
        &format!("{connections} connections, calls/s: PostgreSQL | SELECT 1 | cached"),
        &text,
    );
    let what = format!("{connections} connections: canon cached / PostgreSQL");
    report::judged(&what, cached / postgres, " x", Budget::AtLeast(1.0));
    Ok(())
}

/// Calls a second of all callers together, each waiting for its answer.
// Counts of calls are far below 2^53.
#[allow(clippy::cast_precision_loss)]
async fn rate(callers: &[Caller]) -> Result<f64> {
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for caller in callers {
        let caller = Caller::clone(caller);
        tasks.spawn(async move {
            let mut calls = 0_u64;
            while begun.elapsed() < THROUGHPUT_FOR {
                caller.call().await?;
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

/// A connection with its statement.
#[derive(Clone)]
struct Caller {
    client: std::sync::Arc<Client>,
    statement: Statement,
    text: &'static str,
}

impl Caller {
    async fn new(client: Client, text: &'static str) -> Result<Self> {
        let statement = client.prepare(text).await?;
        let caller = Self { client: client.into(), statement, text };
        caller.call().await?;
        Ok(caller)
    }

    async fn call(&self) -> Result<()> {
        let rows = self.client.query(&self.statement, &[]).await?;
        if rows.len() == 1 { Ok(()) } else { Err(format!("{} rows", rows.len()).into()) }
    }

    async fn times(&self, samples: &mut Vec<Duration>) -> Result<()> {
        for _ in 0..CALLS_PER_ROUND {
            let begun = Instant::now();
            self.call().await?;
            samples.push(begun.elapsed());
        }
        Ok(())
    }

    async fn simple_times(&self, samples: &mut Vec<Duration>) -> Result<()> {
        for _ in 0..CALLS_PER_ROUND {
            let begun = Instant::now();
            self.client.simple_query(self.text).await?;
            samples.push(begun.elapsed());
        }
        Ok(())
    }
}
