//! Real clients: each script in `tests/clients` against canon, and all of them against PostgreSQL
//! holding the same answers as plain tables, so that a script which fails shows a fault of canon's.
//!
//! `tests/clients/setup` installs what they need; a client that is missing fails its test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use futures::TryStreamExt;
use tokio_postgres::error::SqlState;

use crate::fixture::{Fixture, root};
use crate::servers::{Canon, Postgres};

/// The scripts, each by the name of its client.
const CLIENTS: [&str; 13] = [
    "psql", "psql_tab", "psycopg", "psycopg2", "asyncpg", "odbc", "pandas", "polars", "adbc", "pg",
    "postgres", "pgjdbc", "sqlx",
];

/// The program and the arguments before the host and port.
fn command_of(client: &str) -> Command {
    let scripts = root().join("tests/clients");
    let installed = installed();
    match client {
        "psql" => Command::new(scripts.join("psql.sh")),
        "psql_tab" | "psycopg" | "psycopg2" | "asyncpg" | "odbc" | "pandas" | "polars" | "adbc" => {
            let script = scripts.join(format!("use_{client}.py"));
            with(installed.join("venv/bin/python"), &[&script])
        }
        "pg" | "postgres" => {
            let mut command = with("node", &[&scripts.join(format!("use_{client}.js"))]);
            command.env("NODE_PATH", installed.join("node/node_modules"));
            command
        }
        "pgjdbc" => {
            let driver = Path::new("/usr/share/java/postgresql.jar");
            assert!(driver.exists(), "no {}: run tests/clients/setup", driver.display());
            with("java", &[Path::new("-cp"), driver, &scripts.join("UsePgjdbc.java")])
        }
        "sqlx" => Command::new(installed.join("sqlx/debug/use_sqlx")),
        other => panic!("no client {other}"),
    }
}

fn with(program: impl AsRef<std::ffi::OsStr>, arguments: &[&Path]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// Where `tests/clients/setup` puts things.
pub(crate) fn installed() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| root().join("target")).join("clients")
}

/// Runs a client's script to its end; panics with all that it said where it fails.
async fn run(client: &'static str, port: u16) {
    finished(command_of(client), port).await;
}

/// Runs a command with the host and port behind its arguments, as [`run`] does.
pub(crate) async fn finished(mut command: Command, port: u16) {
    command.args(["127.0.0.1", &port.to_string()]);
    let shown = format!("{command:?}");
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    let output = output.unwrap_or_else(|error| panic!("{shown}: {error}: run tests/clients/setup"));
    assert!(
        output.status.success(),
        "{shown} ended with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}

async fn run_against_canon(client: &'static str) {
    let canon = Canon::embedded(&Fixture::load("shop")).await;
    run(client, canon.port).await;
}

#[tokio::test]
async fn psql() {
    run_against_canon("psql").await;
}

#[tokio::test]
async fn psql_at_a_terminal() {
    run_against_canon("psql_tab").await;
}

#[tokio::test]
async fn polars() {
    run_against_canon("polars").await;
}

#[tokio::test]
async fn psycopg() {
    run_against_canon("psycopg").await;
}

#[tokio::test]
async fn psycopg2() {
    run_against_canon("psycopg2").await;
}

#[tokio::test]
async fn psqlodbc() {
    run_against_canon("odbc").await;
}

#[tokio::test]
async fn pandas_and_sqlalchemy() {
    run_against_canon("pandas").await;
}

#[tokio::test]
async fn adbc_and_connectorx() {
    run_against_canon("adbc").await;
}

#[tokio::test]
async fn postgres_js() {
    run_against_canon("postgres").await;
}

#[tokio::test]
async fn asyncpg() {
    run_against_canon("asyncpg").await;
}

#[tokio::test]
async fn node_pg() {
    run_against_canon("pg").await;
}

#[tokio::test]
async fn pgjdbc() {
    run_against_canon("pgjdbc").await;
}

#[tokio::test]
async fn sqlx() {
    run_against_canon("sqlx").await;
}

#[tokio::test]
async fn the_scripts_hold_against_postgres() {
    let postgres = Postgres::start().await;
    let tables = postgres.with_fixture(&Fixture::load("shop")).await;
    let views = fs::read_to_string(root().join("tests/clients/control.sql")).unwrap();
    tables.batch_execute(&views).await.unwrap();
    let grant = "CREATE ROLE analyst LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO analyst";
    tables.batch_execute(grant).await.unwrap();
    drop(tables);
    let admin = postgres.connect_to("postgres").await;
    admin.batch_execute("CREATE DATABASE canon TEMPLATE fixture_shop").await.unwrap();
    for client in CLIENTS {
        run(client, postgres.port).await;
    }
}

/// Typed parameters and rows in Postgres's binary format.
#[tokio::test]
async fn tokio_postgres() {
    let canon = Canon::embedded(&Fixture::load("shop")).await;
    let mut client = canon.connect("analyst").await.unwrap();
    let sql = "SELECT order_id, channel, items, rating, completed_at, metric_time, customer_country \
               FROM orders WHERE order_id = $1 AND channel = $2 AND completed_at <= $3 AND rating >= $4";
    let completed: DateTime<Utc> = "2026-03-29T01:00:00Z".parse().unwrap();
    let row = client.query_one(sql, &[&9_i64, &"app", &completed, &4.0_f64]).await.unwrap();
    let placed: NaiveDateTime = "2026-03-29T01:30:00".parse().unwrap();
    assert_eq!(row.get::<_, i64>("order_id"), 9);
    assert_eq!(row.get::<_, &str>("channel"), "app");
    assert_eq!(row.get::<_, i32>("items"), 4);
    assert_eq!(row.get::<_, f64>("rating"), 4.0);
    assert_eq!(row.get::<_, DateTime<Utc>>("completed_at"), completed);
    assert_eq!(row.get::<_, NaiveDateTime>("metric_time"), placed);
    assert_eq!(row.get::<_, Option<&str>>("customer_country"), Some("DE"));

    let sql = "SELECT signed_up_on FROM customers WHERE signed_up_on = $1 OR signed_up_on IS NULL \
               ORDER BY signed_up_on";
    let day = NaiveDate::from_ymd_opt(2024, 2, 29).unwrap();
    let rows = client.query(sql, &[&day]).await.unwrap();
    let days: Vec<Option<NaiveDate>> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(days, [Some(day), None]);

    let statement = client.prepare("SELECT order_id FROM orders ORDER BY order_id").await.unwrap();
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind(&statement, &[]).await.unwrap();
    let mut sizes = Vec::new();
    loop {
        let rows = transaction.query_portal(&portal, 4).await.unwrap();
        sizes.push(rows.len());
        if rows.len() < 4 {
            break;
        }
    }
    assert_eq!(sizes, [4, 4, 3]);
    transaction.commit().await.unwrap();

    let error = client.query("SELECT no_such_column FROM orders", &[]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::UNDEFINED_COLUMN));
    let rows = client.query_raw(&statement, [0_i64; 0]).await.unwrap();
    assert_eq!(rows.try_collect::<Vec<_>>().await.unwrap().len(), 11);
}
