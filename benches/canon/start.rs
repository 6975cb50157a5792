//! How soon canon serves, and the memory that it takes for doing nothing.

use std::time::Duration;

use super::definitions::Definitions;
use super::memory;
use super::report::{self, Budget};
use super::server::Server;
use crate::Result;

const STARTS: usize = 5;
const CONNECTIONS: usize = 500;
/// For what is freed or swept a moment after a start.
const SETTLED: Duration = Duration::from_secs(2);

pub(crate) async fn run() -> Result<()> {
    report::part("start: from the start of the process to its word that it is ready");
    for (metrics, budget_ms) in [(1_000, 300.0), (10_000, 3_000.0)] {
        let definitions = Definitions::many(metrics)?;
        let mut samples = Vec::new();
        for _ in 0..STARTS {
            samples.push(Server::start(&definitions.metrics())?.started_in);
        }
        let p50 = report::ms(report::median(&mut samples));
        report::judged(&format!("{metrics} metrics, median"), p50, " ms", Budget::Below(budget_ms));
        if metrics == 1_000 {
            idle("1000 metrics", &Server::start(&definitions.metrics())?, None).await?;
        }
    }
    let demo = Definitions::demo()?;
    let server = Server::start(&demo.metrics())?;
    idle("the demo's metrics", &server, Some(Budget::Below(60.0))).await?;
    per_connection(&server).await
}

async fn idle(what: &str, server: &Server, budget: Option<Budget>) -> Result<()> {
    tokio::time::sleep(SETTLED).await;
    let memory = memory::of(server.pid())?;
    let (resident, allocated) = (memory::mb(memory.resident), memory::mb(memory.anonymous));
    let what = format!("idle with {what}: resident");
    match budget {
        Some(budget) => report::judged(&what, resident, " MB", budget),
        None => report::figure(&what, &format!("{resident:.1} MB")),
    }
    report::figure(
        "of which allocated, the rest is the program's file",
        &format!("{allocated:.1} MB"),
    );
    Ok(())
}

/// What each of many connections takes that has asked something and is idle since.
// Sizes of memory are far below 2^53.
#[allow(clippy::cast_precision_loss)]
async fn per_connection(server: &Server) -> Result<()> {
    // The first ones pay for what all share.
    let mut clients = vec![server.connect().await?];
    clients[0].query("SELECT MEASURE(revenue) FROM orders", &[]).await?;
    let before = memory::of(server.pid())?;
    for _ in 0..CONNECTIONS {
        let client = server.connect().await?;
        client.query("SELECT MEASURE(revenue) FROM orders", &[]).await?;
        clients.push(client);
    }
    tokio::time::sleep(SETTLED).await;
    let after = memory::of(server.pid())?;
    let bytes = after.resident.saturating_sub(before.resident) as f64 * 1024.0;
    let each = bytes / CONNECTIONS as f64 / 1e3;
    let what = format!("a connection, of {CONNECTIONS} that have each asked once");
    report::judged(&what, each, " KB", Budget::Below(30.0));
    Ok(())
}
