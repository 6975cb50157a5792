//! A million rows to the client, beside PostgreSQL for the same rows.

use std::pin::pin;
use std::time::Instant;

use futures::{SinkExt, StreamExt, TryStreamExt};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::definitions::{COLUMNS, Definitions, TABLE};
use super::memory;
use super::postgres::Postgres;
use super::report::{self, Budget};
use super::server::Server;
use crate::Result;

const ROWS: usize = 1_000_000;
const ROUNDS: usize = 3;
const FETCH_ROWS: i32 = 10_000;

/// How a client may ask for many rows.
#[derive(Debug, Clone, Copy)]
enum Way {
    Extended,
    Simple,
    Portal,
}

impl Way {
    const ALL: [Way; 3] = [Way::Extended, Way::Simple, Way::Portal];

    fn name(self) -> &'static str {
        match self {
            Self::Extended => "extended protocol, binary",
            Self::Simple => "simple protocol, text",
            Self::Portal => "portal, 10,000 rows a fetch, binary",
        }
    }

    async fn rows(self, client: &mut Client, sql: &str) -> Result<usize> {
        match self {
            Self::Extended => {
                let rows = client.query_raw(sql, std::iter::empty::<i32>()).await?;
                Ok(pin!(rows)
                    .fold(Ok(0), |count, row| async { Ok(count? + row.map(|_| 1)?) })
                    .await
                    .map_err(|error: tokio_postgres::Error| error)?)
            }
            Self::Simple => {
                let messages = client.simple_query_raw(sql).await?;
                let mut messages = pin!(messages);
                let mut count = 0;
                while let Some(message) = messages.try_next().await? {
                    count += usize::from(matches!(message, SimpleQueryMessage::Row(_)));
                }
                Ok(count)
            }
            Self::Portal => {
                let transaction = client.transaction().await?;
                let portal = transaction.bind(sql, &[]).await?;
                let mut count = 0;
                loop {
                    let rows = transaction.query_portal(&portal, FETCH_ROWS).await?;
                    if rows.is_empty() {
                        break;
                    }
                    count += rows.len();
                }
                transaction.rollback().await?;
                Ok(count)
            }
        }
    }
}

pub(crate) async fn run() -> Result<()> {
    let definitions = Definitions::wide(ROWS)?;
    let canon = Server::start(&definitions.metrics())?;
    let postgres = Postgres::start()?;
    let mut reference = postgres.connect().await?;
    load(&reference, &definitions).await?;
    let mut client = canon.connect().await?;
    let sql = format!("SELECT {COLUMNS} FROM wide_rows");
    report::part("stream: 1,000,000 rows of 8 columns from Parquet, PostgreSQL 15 in turns");
    let idle = memory::of(canon.pid())?;
    for way in Way::ALL {
        memory::forget_peak(canon.pid())?;
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            theirs.push(rate(way, &mut reference, &sql).await?);
            mine.push(rate(way, &mut client, &sql).await?);
        }
        let (mine, theirs) = (report::median_of(&mut mine), report::median_of(&mut theirs));
        report::figure(
            &format!("{}: canon | PostgreSQL, rows/s", way.name()),
            &format!("{mine:.0} | {theirs:.0}"),
        );
        report::judged("canon / PostgreSQL", mine / theirs, " x", Budget::AtLeast(1.0));
        let peak = memory::of(canon.pid())?.peak;
        let text = format!("{:.0} MB", memory::mb(peak - idle.resident.min(peak)));
        report::figure("canon's peak memory above idle", &text);
    }
    let after = memory::of(canon.pid())?;
    let text = format!("{:.0} | {:.0} MB", memory::mb(idle.resident), memory::mb(after.resident));
    report::figure("canon's memory before | after", &text);
    Ok(())
}

// Counts of rows are far below 2^53.
#[allow(clippy::cast_precision_loss)]
async fn rate(way: Way, client: &mut Client, sql: &str) -> Result<f64> {
    let begun = Instant::now();
    let rows = way.rows(client, sql).await?;
    if rows != ROWS {
        return Err(format!("{way:?}: {rows} rows").into());
    }
    Ok(rows as f64 / begun.elapsed().as_secs_f64())
}

/// The same rows into PostgreSQL, settled as those of a table that is only read.
async fn load(client: &Client, definitions: &Definitions) -> Result<()> {
    client.batch_execute(TABLE).await?;
    let text = tokio::fs::File::open(definitions.copy_text()).await?;
    let mut chunks = tokio_util::io::ReaderStream::with_capacity(text, 1 << 16);
    let mut sink = pin!(client.copy_in("COPY wide_rows FROM STDIN").await?);
    while let Some(chunk) = chunks.next().await {
        sink.send(chunk?).await?;
    }
    sink.finish().await?;
    Ok(client.batch_execute("VACUUM (FREEZE, ANALYZE) wide_rows").await?)
}
