//! The demo data in a ClickHouse: the same rows under the same names.

use std::time::Duration;

use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use clickhouse::Client;
use clickhouse::insert_formatted::InsertFormatted;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use indicatif::ProgressBar;
use tokio::sync::mpsc;

use super::error::DemoError;
use super::table::{Engine, Size, Table};
use super::{ClickHouseTarget, Loaded, ROWS_PER_BATCH};

/// Rows of one INSERT: few enough that a failed one costs seconds, many enough for large parts.
const ROWS_PER_INSERT_MAX: u64 = 1_048_576;
/// So that the versions of a row lie in several parts, as they do where rows come over weeks.
const INSERTS_MIN: u64 = 4;
/// Batches that wait for the network.
const BATCHES_AHEAD: usize = 2;

/// For a statement that moves no rows, and for the network to take a batch.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);
/// For ClickHouse to write the last rows of an INSERT.
const INSERT_END_TIMEOUT: Duration = Duration::from_secs(300);

/// Creates the tables and fills them.
///
/// # Errors
/// [`DemoError::TableExists`] unless `replace` is set: a second load would double the events.
pub(super) async fn load(
    target: &ClickHouseTarget,
    size: Size,
    bar: &ProgressBar,
) -> Result<Vec<Loaded>, DemoError> {
    let client = client_of(target)?;
    create_database(&client, &target.database).await?;
    let client = client.with_database(&target.database);
    for table in Table::ALL {
        if target.replace {
            run(&client, "drop a table", &format!("DROP TABLE IF EXISTS {} SYNC", table.name()))
                .await?;
        } else {
            refuse_existing(&client, target, table).await?;
        }
    }
    let mut loaded = Vec::new();
    for table in Table::ALL {
        run(&client, "create a table", &create_statement(table)).await?;
        let rows = insert(&client, table, size, bar).await?;
        loaded.push(Loaded { table: table.name(), rows });
    }
    Ok(loaded)
}

fn client_of(target: &ClickHouseTarget) -> Result<Client, DemoError> {
    let database = &target.database;
    let allowed = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let starts_well =
        database.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if !starts_well || !database.chars().all(allowed) {
        return Err(DemoError::DatabaseName { database: database.clone() });
    }
    let mut client = Client::default().with_url(&target.url);
    if let Some(user) = &target.user {
        client = client.with_user(user);
    }
    if let Some(password) = &target.password {
        client = client.with_password(password);
    }
    Ok(client)
}

async fn create_database(client: &Client, database: &str) -> Result<(), DemoError> {
    run(client, "create the database", &format!("CREATE DATABASE IF NOT EXISTS `{database}`")).await
}

async fn refuse_existing(
    client: &Client,
    target: &ClickHouseTarget,
    table: Table,
) -> Result<(), DemoError> {
    let query = client.query("EXISTS TABLE ?").bind(clickhouse::sql::Identifier(table.name()));
    let found: u8 = in_time("look for a table", query.fetch_one()).await?;
    match found {
        0 => Ok(()),
        _ => Err(DemoError::TableExists {
            database: target.database.clone(),
            table: table.name().to_owned(),
        }),
    }
}

async fn run(client: &Client, action: &str, statement: &str) -> Result<(), DemoError> {
    in_time(action, client.query_raw(statement).execute()).await
}

async fn in_time<T>(
    action: &str,
    answer: impl Future<Output = clickhouse::error::Result<T>>,
) -> Result<T, DemoError> {
    let answer = tokio::time::timeout(STATEMENT_TIMEOUT, answer).await;
    let answer = answer.unwrap_or(Err(clickhouse::error::Error::TimedOut));
    answer.map_err(|error| failed(action, &error))
}

fn failed(action: &str, error: &clickhouse::error::Error) -> DemoError {
    DemoError::ClickHouse { action: action.to_owned(), message: error.to_string() }
}

/// The DDL of a table.
fn create_statement(table: Table) -> String {
    let columns = table.columns().into_iter();
    let columns: Vec<String> =
        columns.map(|column| format!("    {} {}", column.name, column.clickhouse)).collect();
    let engine = match table.engine() {
        Engine::Latest { key } => {
            format!("ENGINE = ReplacingMergeTree(_version, _deleted)\nORDER BY {key}")
        }
        Engine::Events { time, key } => format!("ENGINE = MergeTree\nORDER BY ({time}, {key})"),
    };
    format!("CREATE TABLE {} (\n{}\n)\n{engine}", table.name(), columns.join(",\n"))
}

/// What the maker of batches tells the sender.
enum Piece {
    Stream(Bytes),
    EndOfInsert,
}

/// Sends the rows as ArrowStream. They are made and encoded in a thread of their own, which stops
/// when this future is dropped: its channel closes.
async fn insert(
    client: &Client,
    table: Table,
    size: Size,
    bar: &ProgressBar,
) -> Result<u64, DemoError> {
    let (sender, mut pieces) = mpsc::channel(BATCHES_AHEAD);
    let bar = bar.clone();
    let maker = tokio::task::spawn_blocking(move || make_pieces(table, size, &sender, &bar));

    let names: Vec<&str> = table.columns().iter().map(|column| column.name).collect();
    let statement =
        format!("INSERT INTO {} ({}) FORMAT ArrowStream", table.name(), names.join(", "));
    let action = || format!("take rows of \"{}\"", table.name());
    let mut open = None;
    while let Some(piece) = pieces.recv().await {
        match piece {
            Piece::Stream(bytes) => {
                let insert = open.get_or_insert_with(|| begin_insert(client, &statement));
                insert.send(bytes).await.map_err(|error| failed(&action(), &error))?;
            }
            Piece::EndOfInsert => {
                if let Some(insert) = open.take() {
                    insert.end().await.map_err(|error| failed(&action(), &error))?;
                }
            }
        }
    }
    // The channel is closed: either all is sent, or the maker has an error to tell. An INSERT that
    // is still open is then dropped, which aborts it.
    let rows = maker.await.map_err(|_| DemoError::Interrupted { table: table.name() })??;
    Ok(rows)
}

fn begin_insert(client: &Client, statement: &str) -> InsertFormatted {
    client
        .insert_formatted_with(statement)
        // All rows are kept as they came; only merges and FINAL put them together.
        .with_setting("optimize_on_insert", "0")
        .with_timeouts(Some(STATEMENT_TIMEOUT), Some(INSERT_END_TIMEOUT))
}

fn make_pieces(
    table: Table,
    size: Size,
    sender: &mpsc::Sender<Piece>,
    bar: &ProgressBar,
) -> Result<u64, ArrowError> {
    let rows_per_insert = (table.things(size) / INSERTS_MIN).min(ROWS_PER_INSERT_MAX);
    let mut stream = ArrowStream::new(table.schema())?;
    let (mut rows, mut things) = (0, 0);
    for batch in table.batches(size, ROWS_PER_BATCH) {
        let batch = batch?;
        if sender.blocking_send(Piece::Stream(stream.encode(&batch.rows)?)).is_err() {
            return Ok(rows);
        }
        rows += batch.rows.num_rows() as u64;
        bar.inc(batch.things - things);
        things = batch.things;
        if stream.rows >= rows_per_insert {
            end_insert(stream, sender)?;
            stream = ArrowStream::new(table.schema())?;
        }
    }
    if stream.rows > 0 {
        end_insert(stream, sender)?;
    }
    bar.inc(table.things(size) - things);
    Ok(rows)
}

/// A receiver that is gone has its own error to tell.
fn end_insert(stream: ArrowStream, sender: &mpsc::Sender<Piece>) -> Result<(), ArrowError> {
    let _ = sender.blocking_send(Piece::Stream(stream.finish()?));
    let _ = sender.blocking_send(Piece::EndOfInsert);
    Ok(())
}

/// An Arrow IPC stream whose bytes are taken out as they come.
struct ArrowStream {
    writer: StreamWriter<Vec<u8>>,
    rows: u64,
}

impl ArrowStream {
    fn new(schema: SchemaRef) -> Result<Self, ArrowError> {
        Ok(Self { writer: StreamWriter::try_new(Vec::new(), &schema)?, rows: 0 })
    }

    fn encode(&mut self, rows: &RecordBatch) -> Result<Bytes, ArrowError> {
        self.writer.write(rows)?;
        self.rows += rows.num_rows() as u64;
        Ok(std::mem::take(self.writer.get_mut()).into())
    }

    fn finish(mut self) -> Result<Bytes, ArrowError> {
        self.writer.finish()?;
        Ok(std::mem::take(self.writer.get_mut()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_tables_replace_and_events_accumulate() {
        let orders = create_statement(Table::Orders);
        assert!(orders.contains("coupon_code LowCardinality(Nullable(String))"), "{orders}");
        assert!(orders.contains("_deleted UInt8"), "{orders}");
        assert!(
            orders.ends_with("ENGINE = ReplacingMergeTree(_version, _deleted)\nORDER BY order_id")
        );
        let refunds = create_statement(Table::Refunds);
        assert!(refunds.ends_with("ENGINE = MergeTree\nORDER BY (refunded_at, refund_id)"));
    }

    #[test]
    fn database_names_are_plain() {
        let target = |database: &str| ClickHouseTarget {
            url: "http://localhost:8123".to_owned(),
            database: database.to_owned(),
            user: None,
            password: None,
            replace: false,
        };
        assert!(client_of(&target("shop_2")).is_ok());
        for bad in ["", "2shop", "shop`; DROP", "a.b"] {
            assert!(
                matches!(client_of(&target(bad)), Err(DemoError::DatabaseName { .. })),
                "{bad}"
            );
        }
    }
}
