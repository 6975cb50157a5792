//! What a client sees: every record of `tests/slt`, through the simple and the extended protocol,
//! over both backends, with the same expected answers.
//!
//! `tests/slt/<path>.slt` is asked of the fixture `tests/fixtures/<path>`, or, where there is no
//! such folder, of that of its own folder. Column types: `T` text, `I` integers, `N` numeric,
//! `R` float8, `B` bool, `D` date, `P` timestamp, `Z` timestamptz, `U` uuid, `J` jsonb,
//! `?` not checked. The
//! simple protocol's types aren't seen by tokio-postgres, so there they aren't checked. An error
//! reads `SQLSTATE: message (DETAIL: …) (HINT: …)`, to be matched by a regular expression.
//! `\connect role` as a statement goes on as another role, as in psql.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use chrono_tz::Tz;
use futures::TryStreamExt;
use sqllogictest::{AsyncDB, ColumnType, DBOutput, Record, Runner};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::clickhouse_server::ClickHouseServer;
use crate::fixture::{Fixture, root};
use crate::render::Raw;
use crate::servers::Canon;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Simple,
    Extended,
}

/// A session that runs records.
pub(crate) struct Session {
    client: Client,
    protocol: Protocol,
    port: u16,
    /// By which `onlyif` and `skipif` in the files know it.
    engine: &'static str,
}

impl Session {
    pub(crate) fn new(client: Client, protocol: Protocol, port: u16) -> Self {
        Self { client, protocol, port, engine: "canon" }
    }

    /// As another engine.
    pub(crate) fn of(self, engine: &'static str) -> Self {
        Self { engine, ..self }
    }

    async fn simple(&self, sql: &str) -> Result<DBOutput<Shown>, SessionError> {
        let mut columns = 0;
        let mut has_rows = false;
        let mut rows = Vec::new();
        for message in self.client.simple_query(sql).await? {
            match message {
                SimpleQueryMessage::RowDescription(described) => {
                    has_rows = true;
                    columns = described.len();
                }
                SimpleQueryMessage::Row(row) => {
                    rows.push((0..row.len()).map(|i| cell(row.get(i))).collect());
                }
                _ => {}
            }
        }
        if has_rows {
            return Ok(DBOutput::Rows { types: vec![Shown::Any; columns], rows });
        }
        Ok(DBOutput::StatementComplete(0))
    }

    async fn extended(&self, sql: &str) -> Result<DBOutput<Shown>, SessionError> {
        let statement = self.client.prepare(sql).await?;
        let none: [&str; 0] = [];
        let rows: Vec<_> =
            self.client.query_raw(&statement, none).await?.try_collect::<Vec<_>>().await?;
        if statement.columns().is_empty() {
            return Ok(DBOutput::StatementComplete(0));
        }
        let types: Vec<Shown> =
            statement.columns().iter().map(|column| Shown::of(column.type_())).collect();
        let zone = if types.contains(&Shown::Timestamptz) { self.zone().await? } else { Tz::UTC };
        let text = |row: &tokio_postgres::Row, index: usize| {
            cell(row.get::<usize, Raw>(index).text(zone).as_deref())
        };
        let rows = rows.iter().map(|row| (0..row.len()).map(|i| text(row, i)).collect()).collect();
        Ok(DBOutput::Rows { types, rows })
    }

    async fn zone(&self) -> Result<Tz, SessionError> {
        for message in self.client.simple_query("SHOW TimeZone").await? {
            if let SimpleQueryMessage::Row(row) = message {
                return Ok(row.get(0).unwrap().parse().unwrap());
            }
        }
        panic!("SHOW TimeZone gave no row")
    }
}

/// A cell as the files write it: on one line, and visible.
fn cell(text: Option<&str>) -> String {
    match text {
        None => "NULL".to_owned(),
        Some("") => "(empty)".to_owned(),
        Some(text) => text.replace('\n', "⏎"),
    }
}

#[async_trait]
impl AsyncDB for Session {
    type Error = SessionError;
    type ColumnType = Shown;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<Shown>, SessionError> {
        if let Some(role) = sql.strip_prefix("\\connect ") {
            self.client = crate::servers::connect(self.port, role.trim()).await?;
            return Ok(DBOutput::StatementComplete(0));
        }
        match self.protocol {
            Protocol::Simple => self.simple(sql).await,
            Protocol::Extended => self.extended(sql).await,
        }
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        self.engine
    }
}

/// What a client is told, in one line.
#[derive(Debug)]
pub(crate) struct SessionError(String);

impl std::error::Error for SessionError {}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<tokio_postgres::Error> for SessionError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(told) = error.as_db_error() else { return Self(format!("no answer: {error:?}")) };
        let mut text = format!("{}: {}", told.code().code(), told.message());
        for (word, part) in [("DETAIL", told.detail()), ("HINT", told.hint())] {
            if let Some(part) = part {
                text.push_str(&format!(" {word}: {part}"));
            }
        }
        Self(text)
    }
}

/// A column's type, as the letter after `query`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    Text,
    Integer,
    Numeric,
    Float,
    Bool,
    Date,
    Timestamp,
    Timestamptz,
    Uuid,
    Jsonb,
    Any,
}

impl Shown {
    fn of(data_type: &Type) -> Self {
        match *data_type {
            Type::TEXT | Type::VARCHAR | Type::NAME => Self::Text,
            Type::INT2 | Type::INT4 | Type::INT8 => Self::Integer,
            Type::NUMERIC => Self::Numeric,
            Type::FLOAT8 => Self::Float,
            Type::BOOL => Self::Bool,
            Type::DATE => Self::Date,
            Type::TIMESTAMP => Self::Timestamp,
            Type::TIMESTAMPTZ => Self::Timestamptz,
            Type::UUID => Self::Uuid,
            Type::JSONB => Self::Jsonb,
            _ => Self::Any,
        }
    }

    /// Whether the types that came are those that a record tells.
    #[expect(clippy::ptr_arg, reason = "the runner's signature")]
    pub(crate) fn match_expected(actual: &Vec<Self>, expected: &Vec<Self>) -> bool {
        let fits = |(a, e): (&Self, &Self)| a == e || *a == Self::Any || *e == Self::Any;
        actual.len() == expected.len() && actual.iter().zip(expected).all(fits)
    }
}

impl ColumnType for Shown {
    fn from_char(letter: char) -> Option<Self> {
        Some(match letter {
            'T' => Self::Text,
            'I' => Self::Integer,
            'N' => Self::Numeric,
            'R' => Self::Float,
            'B' => Self::Bool,
            'D' => Self::Date,
            'P' => Self::Timestamp,
            'Z' => Self::Timestamptz,
            'U' => Self::Uuid,
            'J' => Self::Jsonb,
            '?' => Self::Any,
            _ => return None,
        })
    }

    fn to_char(&self) -> char {
        match self {
            Self::Text => 'T',
            Self::Integer => 'I',
            Self::Numeric => 'N',
            Self::Float => 'R',
            Self::Bool => 'B',
            Self::Date => 'D',
            Self::Timestamp => 'P',
            Self::Timestamptz => 'Z',
            Self::Uuid => 'U',
            Self::Jsonb => 'J',
            Self::Any => '?',
        }
    }
}

/// The files of `tests/slt` by the fixture that they ask; with `CANON_SLT`, those with its value in
/// their paths.
pub(crate) fn files_by_fixture() -> BTreeMap<String, Vec<PathBuf>> {
    let folder = root().join("tests/slt");
    let only = std::env::var("CANON_SLT").unwrap_or_default();
    let mut files: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for entry in walkdir::WalkDir::new(&folder).sort_by_file_name() {
        let path = entry.unwrap().into_path();
        let is_meant = path.strip_prefix(&folder).unwrap().to_str().unwrap().contains(&only);
        if path.extension().is_none_or(|extension| extension != "slt") || !is_meant {
            continue;
        }
        let own = path.strip_prefix(&folder).unwrap().with_extension("");
        let fixtures = root().join("tests/fixtures");
        let name = if fixtures.join(&own).is_dir() { own.as_path() } else { own.parent().unwrap() };
        files.entry(name.to_str().unwrap().to_owned()).or_default().push(path.clone());
    }
    assert!(!files.is_empty(), "no file of tests/slt has {only} in its path");
    files
}

/// The records of a file.
pub(crate) fn records_of(file: &Path) -> Vec<Record<Shown>> {
    sqllogictest::parse_file(file).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs a file in a session of its own; gives what failed, each with its place.
async fn failures_of(file: &Path, canon: &Canon, protocol: Protocol) -> Vec<String> {
    let port = canon.port;
    let mut runner = Runner::new(move || async move {
        let client = crate::servers::connect(port, "analyst").await?;
        Ok(Session::new(client, protocol, port))
    });
    runner.with_column_validator(Shown::match_expected);
    let mut failures = Vec::new();
    for record in records_of(file) {
        if let Err(error) = runner.run_async(record).await {
            failures.push(format!("[{protocol:?}] {}", error.display(false)));
        }
    }
    failures
}

/// Runs all files of a fixture in both protocols.
async fn check(canon: &Canon, files: &[PathBuf]) -> Vec<String> {
    let mut failures = Vec::new();
    for file in files {
        for protocol in [Protocol::Simple, Protocol::Extended] {
            failures.extend(failures_of(file, canon, protocol).await);
        }
    }
    failures
}

pub(crate) fn report(failures: &[String]) {
    assert!(failures.is_empty(), "{} records failed:\n{}", failures.len(), failures.join("\n"));
}

#[tokio::test]
async fn clickhouse() {
    let mut failures = Vec::new();
    for (name, files) in files_by_fixture() {
        let fixture = Fixture::load(&name);
        let server = ClickHouseServer::start().await;
        fixture.load_clickhouse(&server).await;
        let canon = Canon::over_clickhouse(&fixture, &server).await;
        failures.extend(check(&canon, &files).await);
    }
    report(&failures);
}

#[tokio::test]
async fn embedded() {
    let mut failures = Vec::new();
    for (name, files) in files_by_fixture() {
        let canon = Canon::embedded(&Fixture::load(&name)).await;
        failures.extend(check(&canon, &files).await);
    }
    report(&failures);
}
