//! What canon adds to a statement that ClickHouse has to compute, over the same statement sent to
//! ClickHouse directly.

use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDateTime, TimeDelta};

use super::clickhouse::ClickHouse;
use super::definitions::demo_metrics;
use super::planning::{self, Planner};
use super::report::{self, Budget};
use super::server::Server;
use crate::Result;

const CALLS: usize = 300;
const WARM_UP: usize = 20;

/// No two calls ask the same, so nothing is answered from a cache.
fn since(number: usize) -> Result<NaiveDateTime> {
    let first = DateTime::from_timestamp_micros(1_767_225_600_000_000).ok_or("no such time")?;
    Ok((first + TimeDelta::microseconds(i64::try_from(number)?)).naive_utc())
}

fn question(since: &str) -> String {
    format!(
        "SELECT channel, MEASURE(revenue) AS revenue FROM orders \
         WHERE metric_time >= {since} GROUP BY channel"
    )
}

pub(crate) async fn run() -> Result<()> {
    let clickhouse = ClickHouse::start()?;
    let planner = Planner::over(&clickhouse).await?;
    let canon = Server::over(&demo_metrics(), &clickhouse)?;
    let client = canon.connect().await?;
    let direct = clickhouse.client();
    let prepared = client.prepare(&question("$1")).await?;
    report::part(&format!(
        "overhead: uncached, over ClickHouse {} on this machine",
        clickhouse.version
    ));
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    let (mut added_text, mut added_prepared) = (Vec::new(), Vec::new());
    for call in 0..CALLS + WARM_UP {
        let since = [since(call * 2)?, since(call * 2 + 1)?];
        let sql = question(&format!("TIMESTAMP '{}'", since[0].format("%Y-%m-%d %H:%M:%S%.6f")));
        let pushed = planner.pushed(&sql).await?;
        // Who comes first finds ClickHouse's own caches colder.
        let mut order = [0, 1, 2];
        order.rotate_left(call % 3);
        let mut took = [Duration::ZERO; 3];
        for what in order {
            let begun = Instant::now();
            match what {
                0 => {
                    let mut answer = direct.query_raw(&pushed).fetch_bytes("ArrowStream")?;
                    let mut bytes = 0;
                    while let Some(chunk) = answer.next().await? {
                        bytes += chunk.len();
                    }
                    planning::ensure(bytes > 0, "an empty answer")?;
                }
                1 => drop(client.simple_query(&sql).await?),
                _ => drop(client.query(&prepared, &[&since[1]]).await?),
            }
            took[what] = begun.elapsed();
        }
        if call >= WARM_UP {
            for (times, took) in times.iter_mut().zip(took) {
                times.push(took);
            }
            added_text.push(report::ms(took[1]) - report::ms(took[0]));
            added_prepared.push(report::ms(took[2]) - report::ms(took[0]));
        }
    }
    let names = ["ClickHouse directly", "through canon, new text", "through canon, prepared"];
    for (name, times) in names.iter().zip(&mut times) {
        let (p50, p95) = (report::quantile(times, 0.5), report::quantile(times, 0.95));
        let text = format!("{:.2} | {:.2} ms", report::ms(p50), report::ms(p95));
        report::figure(&format!("{name}, p50 | p95"), &text);
    }
    let added = |what, samples: &mut Vec<f64>| {
        report::judged(what, report::median_of(samples), " ms", Budget::Below(1.0));
    };
    added("added by canon to each, median, new text", &mut added_text);
    added("added by canon to each, median, prepared", &mut added_prepared);
    Ok(())
}
