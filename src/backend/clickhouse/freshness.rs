//! How new a table's data are: a token that differs when they do, and the newest ingestion time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::client::Connection;
use super::types::{identifier, string_literal};
use crate::backend::{BackendError, SourceState};
use crate::model::Source;

/// Data parts of a MergeTree: each insert gets a greater block number in its partition, each
/// mutation a greater version (a part without one shows its smallest block there); a dropped part
/// takes its rows along. Merges change neither, except where they drop rows. A table that was made
/// anew has another uuid.
const PARTS: &str = "
    SELECT
        ifNull(
            (SELECT toString(uuid) FROM system.tables WHERE database = currentDatabase() AND name = ?),
            ''
        ),
        hex(sipHash128(groupArray((partition_id, block, version, rows)))) AS token,
        toUInt32(max(newest)) AS newest_s
    FROM (
        SELECT
            partition_id,
            max(max_block_number) AS block,
            max(if(data_version = min_block_number, 0, data_version)) AS version,
            sum(rows) AS rows,
            max(modification_time) AS newest
        FROM system.parts
        WHERE active AND database = currentDatabase() AND table = ?
        GROUP BY partition_id
        ORDER BY partition_id
    )";

/// What the server says of a table that isn't made of parts: nothing, for a view.
const TOTALS: &str = "
    SELECT toString(uuid), concat(toString(total_rows), '/', toString(total_bytes))
    FROM system.tables
    WHERE database = currentDatabase() AND name = ?";

/// For tables of which nothing tells whether they changed (views, distributed tables): their
/// answers are as old as this at most, in seconds.
const BLIND_SECONDS: u32 = 10;

/// The newest ingestion time found so far, per table and column. Bounded by the tables that the
/// definitions name.
#[derive(Debug, Default)]
pub(super) struct Watermarks(Mutex<HashMap<(String, String), Known>>);

#[derive(Debug, Clone)]
struct Known {
    uuid: String,
    token: String,
    /// When the newest part was written, in seconds since 1970.
    newest_part_s: u32,
    watermark_us: Option<i64>,
}

/// The table's state; `parts` tells whether its engine keeps parts.
pub(super) async fn freshness(
    connection: &Connection,
    watermarks: &Watermarks,
    source: &Source,
    parts: bool,
) -> Result<SourceState, BackendError> {
    if parts {
        of_parts(connection, watermarks, source).await
    } else {
        of_totals(connection, source).await
    }
}

async fn of_parts(
    connection: &Connection,
    watermarks: &Watermarks,
    source: &Source,
) -> Result<SourceState, BackendError> {
    let table = source.table.as_str();
    let found = connection.look_up::<(String, String, u32)>(PARTS, &[table, table]).await?;
    let found = found.into_iter().next().filter(|(uuid, _, _)| !uuid.is_empty());
    let Some((uuid, parts, newest_part_s)) = found else {
        return Err(BackendError::SourceChanged { table: table.to_owned() });
    };
    let token = format!("{uuid}/{parts}");
    let Some(ingested) = &source.ingested else {
        return Ok(SourceState { change_token: token, watermark_us: None });
    };
    let key = (table.to_owned(), ingested.clone());
    let known = watermarks.get(&key).filter(|known| known.uuid == uuid);
    let watermark_us = match &known {
        Some(known) if known.token == token => known.watermark_us,
        // Rows came into parts that were written since; a part of the same second may have been
        // missed.
        Some(known) => {
            let newer = format!(
                "_part IN (SELECT name FROM system.parts WHERE active AND \
                 database = currentDatabase() AND table = {} AND \
                 modification_time >= toDateTime({}))",
                string_literal(table),
                known.newest_part_s.saturating_sub(1)
            );
            newest(connection, table, ingested, &newer).await?.max(known.watermark_us)
        }
        None => newest(connection, table, ingested, "1").await?,
    };
    watermarks.set(key, Known { uuid, token: token.clone(), newest_part_s, watermark_us });
    Ok(SourceState { change_token: token, watermark_us })
}

async fn of_totals(connection: &Connection, source: &Source) -> Result<SourceState, BackendError> {
    let table = source.table.as_str();
    let found = connection.look_up::<(String, Option<String>)>(TOTALS, &[table]).await?;
    let Some((uuid, totals)) = found.into_iter().next() else {
        return Err(BackendError::SourceChanged { table: table.to_owned() });
    };
    let watermark_us = match &source.ingested {
        Some(ingested) => newest(connection, table, ingested, "1").await?,
        None => None,
    };
    let bucket = match (&totals, watermark_us) {
        (None, _) => {
            let sql = format!("SELECT intDiv(toUInt32(now()), {BLIND_SECONDS})");
            connection.look_up::<u32>(&sql, &[]).await?.into_iter().next()
        }
        _ => None,
    };
    let change_token = format!("{uuid}/{totals:?}/{watermark_us:?}/{bucket:?}");
    Ok(SourceState { change_token, watermark_us })
}

/// The greatest value of a time column among the rows that fulfil `condition`.
async fn newest(
    connection: &Connection,
    table: &str,
    column: &str,
    condition: &str,
) -> Result<Option<i64>, BackendError> {
    let sql = format!(
        "SELECT toUnixTimestamp64Micro(maxOrNull(toDateTime64({}, 6, 'UTC'))) FROM {} WHERE {condition}",
        identifier(column).replace('?', "??"),
        identifier(table).replace('?', "??"),
    );
    let found = connection.look_up::<Option<i64>>(&sql, &[]).await?;
    Ok(found.into_iter().next().flatten())
}

impl Watermarks {
    fn get(&self, key: &(String, String)) -> Option<Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn set(&self, key: (String, String), known: Known) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, known);
    }
}
