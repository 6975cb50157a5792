//! A database for as long as a command runs: tables of canonical types, filled with a few rows.
//!
//! It is what `canon test` runs examples in. It has a client of its own, without the settings that
//! make every other statement of canon's read-only.

use std::time::Duration;

use arrow::ipc::writer::StreamWriter;
use clickhouse::Client;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, TimeUnit};

use super::client::ClickHouseOptions;
use super::types::identifier;
use crate::model::SourceColumn;

/// For each statement: it creates, fills or drops a table of a few rows.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a table for a while isn't there. The text is the server's own and names no credentials; it is
/// for whoever runs the command.
#[derive(Debug, thiserror::Error)]
pub enum ScratchError {
    #[error("ClickHouse could not {action}: {message}")]
    Refused { action: &'static str, message: String },
    #[error("column \"{column}\" of \"{table}\" has no type in ClickHouse")]
    NoType { table: String, column: String },
    #[error("rows of \"{table}\" can't be encoded: {message}")]
    Encoding { table: String, message: String },
}

/// A database that nobody else knows of. It has to be dropped by [`Scratch::drop_database`]: a
/// destructor can't wait for a server.
pub struct Scratch {
    options: ClickHouseOptions,
    client: Client,
}

impl Scratch {
    /// Creates the database under a name that none has, on the server of these options.
    ///
    /// # Errors
    /// What the server answers: mostly that the user may not create databases.
    pub async fn create(options: ClickHouseOptions) -> Result<Self, ScratchError> {
        let database = format!("canon_test_{}", uuid::Uuid::new_v4().simple());
        let mut client = Client::default().with_url(&options.url);
        if let Some(user) = &options.user {
            client = client.with_user(user);
        }
        if let Some(password) = &options.password {
            client = client.with_password(password);
        }
        run(&client, "create a database", &format!("CREATE DATABASE {}", identifier(&database)))
            .await?;
        let client = client.with_database(&database);
        Ok(Self { options: ClickHouseOptions { database, ..options }, client })
    }

    /// How to reach the database.
    pub fn options(&self) -> &ClickHouseOptions {
        &self.options
    }

    /// An empty table whose columns are of the canonical types, and may all be NULL.
    ///
    /// # Errors
    /// [`ScratchError::NoType`], or what the server answers.
    pub async fn create_table(
        &self,
        table: &str,
        columns: &[SourceColumn],
    ) -> Result<(), ScratchError> {
        let mut declared = Vec::with_capacity(columns.len());
        for column in columns {
            let none =
                || ScratchError::NoType { table: table.to_owned(), column: column.name.clone() };
            let native = nullable(&column.data_type).ok_or_else(none)?;
            declared.push(format!("{} {native}", identifier(&column.name)));
        }
        let (table, declared) = (identifier(table), declared.join(", "));
        let create =
            format!("CREATE TABLE {table} ({declared}) ENGINE = MergeTree ORDER BY tuple()");
        run(&self.client, "create a table", &create).await
    }

    /// Puts rows into a table, under the names of its columns.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn insert(&self, table: &str, rows: &RecordBatch) -> Result<(), ScratchError> {
        let failed = |error: &dyn std::fmt::Display| ScratchError::Encoding {
            table: table.to_owned(),
            message: error.to_string(),
        };
        let mut writer =
            StreamWriter::try_new(Vec::new(), &rows.schema()).map_err(|error| failed(&error))?;
        writer.write(rows).map_err(|error| failed(&error))?;
        let bytes = writer.into_inner().map_err(|error| failed(&error))?;
        let schema = rows.schema();
        let names: Vec<String> =
            schema.fields().iter().map(|field| identifier(field.name())).collect();
        let into = format!("{} ({})", identifier(table), names.join(", "));
        let statement = format!("INSERT INTO {into} FORMAT ArrowStream");
        let timeout = Some(STATEMENT_TIMEOUT);
        let mut insert =
            self.client.insert_formatted_with(statement).with_timeouts(timeout, timeout);
        let sent = async {
            insert.send(bytes.into()).await?;
            insert.end().await
        };
        sent.await.map_err(|error| refused("take rows", &error))
    }

    /// Takes all rows out of a table.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn clear(&self, table: &str) -> Result<(), ScratchError> {
        run(&self.client, "empty a table", &format!("TRUNCATE TABLE {}", identifier(table))).await
    }

    /// Drops the database with all that is in it.
    ///
    /// # Errors
    /// What the server answers; the database is then still there.
    pub async fn drop_database(&self) -> Result<(), ScratchError> {
        let database = identifier(&self.options.database);
        // In no database: the session's own may be the one that goes.
        let client = self.client.clone().with_database("system");
        run(&client, "drop a database", &format!("DROP DATABASE IF EXISTS {database} SYNC")).await
    }
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch").field("options", &self.options).finish_non_exhaustive()
    }
}

async fn run(client: &Client, action: &'static str, statement: &str) -> Result<(), ScratchError> {
    let done = tokio::time::timeout(STATEMENT_TIMEOUT, client.query_raw(statement).execute()).await;
    let done = done.unwrap_or(Err(clickhouse::error::Error::TimedOut));
    done.map_err(|error| refused(action, &error))
}

fn refused(action: &'static str, error: &clickhouse::error::Error) -> ScratchError {
    ScratchError::Refused { action, message: error.to_string() }
}

/// The type of a column that may be NULL; arrays may not, but their items may.
fn nullable(data_type: &DataType) -> Option<String> {
    match data_type {
        DataType::List(item) => Some(format!("Array({})", nullable(item.data_type())?)),
        other => Some(format!("Nullable({})", native(other)?)),
    }
}

fn native(data_type: &DataType) -> Option<String> {
    Some(match data_type {
        DataType::Boolean => "Bool".to_owned(),
        DataType::Int16 => "Int16".to_owned(),
        DataType::Int32 => "Int32".to_owned(),
        DataType::Int64 => "Int64".to_owned(),
        DataType::Float32 => "Float32".to_owned(),
        DataType::Float64 => "Float64".to_owned(),
        DataType::Utf8 => "String".to_owned(),
        DataType::Date32 => "Date32".to_owned(),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            format!("Decimal({precision}, {scale})")
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => "DateTime64(6, 'UTC')".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::datatypes::Field;

    use super::super::types::NativeType;
    use super::*;

    #[test]
    fn a_column_is_shown_under_the_type_that_it_was_made_of() {
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let texts = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
        let types = [
            DataType::Boolean,
            DataType::Int16,
            DataType::Int32,
            DataType::Int64,
            DataType::Float32,
            DataType::Float64,
            DataType::Utf8,
            DataType::Date32,
            DataType::Decimal128(18, 2),
            DataType::Decimal256(60, 4),
            utc,
            texts,
        ];
        for data_type in types {
            let native = nullable(&data_type).unwrap();
            let parsed = NativeType::parse(&native).unwrap();
            assert_eq!(parsed.canonical(), Some(data_type), "{native}");
        }
        assert_eq!(nullable(&DataType::Timestamp(TimeUnit::Microsecond, None)), None);
    }
}
