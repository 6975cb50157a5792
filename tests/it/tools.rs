//! What BI tools send: the statements of `tests/tools/<tool>/*.slt`, of the shapes that each of them
//! writes, through both protocols and over both backends; and the same statements on PostgreSQL,
//! over plain tables of the shape that canon serves, which have to give the same rows.
//!
//! The tables are made from canon's own catalogue, with its keys and comments, so that what tools
//! ask of the catalogue is compared too; `tests/tools/plain.sql` fills them from the fixture's
//! tables. A comment `# control: SELECT …` gives other SQL for PostgreSQL: most often because a
//! group exists in canon only where a row counts. `# control: none` stands where there is nothing
//! to compare. Both hold for the next record only.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use sqllogictest::{Record, Runner, StatementExpect};
use tokio_postgres::Client;

use crate::clickhouse_server::ClickHouseServer;
use crate::control::control_in;
use crate::fixture::{Fixture, root};
use crate::servers::{Canon, Postgres, connect_to};
use crate::slt::{Protocol, Session, Shown, records_of, report};

const FIXTURE: &str = "shop";
/// As in the statements' answers.
const DATABASE: &str = "canon";
const ROLE: &str = "analyst";

fn files() -> Vec<PathBuf> {
    let files = walkdir::WalkDir::new(root().join("tests/tools")).sort_by_file_name();
    let files = files.into_iter().map(|entry| entry.unwrap().into_path());
    files.filter(|path| path.extension().is_some_and(|it| it == "slt")).collect()
}

/// Runs records in a session of their own; gives what failed, each with its place.
async fn failures_of(records: Vec<Record<Shown>>, port: u16, protocol: Protocol) -> Vec<String> {
    let mut runner = Runner::new(move || async move {
        Ok(Session::new(connect_to(port, ROLE, DATABASE).await?, protocol, port))
    });
    runner.with_column_validator(Shown::match_expected);
    let mut failures = Vec::new();
    for record in records {
        if let Err(error) = runner.run_async(record).await {
            failures.push(format!("[{protocol:?}] {}", error.display(false)));
        }
    }
    failures
}

async fn check(port: u16) {
    let mut failures = Vec::new();
    for file in files() {
        for protocol in [Protocol::Simple, Protocol::Extended] {
            failures.extend(failures_of(records_of(&file), port, protocol).await);
        }
    }
    report(&failures);
}

#[tokio::test]
async fn statements_of_tools_are_answered_from_files() {
    check(Canon::embedded(&Fixture::load(FIXTURE)).await.port).await;
}

#[tokio::test]
async fn statements_of_tools_are_answered_from_clickhouse() {
    let (fixture, server) = (Fixture::load(FIXTURE), ClickHouseServer::start().await);
    fixture.load_clickhouse(&server).await;
    check(Canon::over_clickhouse(&fixture, &server).await.port).await;
}

#[tokio::test]
async fn answers_to_tools_are_those_of_postgres() {
    let (canon, postgres) =
        (Canon::embedded(&Fixture::load(FIXTURE)).await, Postgres::start().await);
    mirrored(&canon, &postgres).await;
    let (mut failures, mut compared) = (Vec::new(), 0);
    for file in files() {
        let records = controls_of(records_of(&file));
        compared += records.iter().filter(|it| matches!(it, Record::Query { .. })).count();
        failures.extend(failures_of(records, postgres.port, Protocol::Extended).await);
    }
    report(&failures);
    assert!(compared > 0, "nothing was compared");
}

/// The records as PostgreSQL is to run them: each with its control, if it has one.
fn controls_of(records: Vec<Record<Shown>>) -> Vec<Record<Shown>> {
    let mut control: Option<String> = None;
    let mut kept = Vec::new();
    for record in records {
        match record {
            Record::Comment(lines) => control = control_in(&lines).or(control),
            Record::Query { loc, conditions, connection, sql, expected, retry } => {
                let sql = control.take().unwrap_or(sql);
                if sql != "none" {
                    kept.push(Record::Query { loc, conditions, connection, sql, expected, retry });
                }
            }
            Record::Statement { expected: StatementExpect::Ok, .. } => kept.push(record),
            Record::Statement { .. } => control = None,
            _ => {}
        }
    }
    kept
}

/// A PostgreSQL database with the relations of canon's catalogue, and the fixture's rows in them.
pub(crate) async fn mirrored(canon: &Canon, postgres: &Postgres) {
    let described = connect_to(canon.port, ROLE, DATABASE).await.unwrap();
    let admin = postgres.connect_to("postgres").await;
    let roles = format!("CREATE ROLE {ROLE} LOGIN; CREATE ROLE canon SUPERUSER LOGIN");
    admin.batch_execute(&roles).await.unwrap();
    admin.batch_execute(&format!("CREATE DATABASE {DATABASE} OWNER canon")).await.unwrap();
    let made = connect_to(postgres.port, "canon", DATABASE).await.unwrap();
    made.batch_execute(&definitions(&described).await).await.unwrap();
    // Orders of customers whom nobody knows are in the fixture: its foreign keys aren't enforced.
    let raw = "SET session_replication_role = replica; CREATE SCHEMA raw; SET search_path = raw";
    made.batch_execute(raw).await.unwrap();
    for table in &Fixture::load(FIXTURE).tables {
        made.batch_execute(&table.postgres_sql()).await.unwrap();
    }
    made.batch_execute("RESET search_path").await.unwrap();
    let rows = fs::read_to_string(root().join("tests/tools/plain.sql")).unwrap();
    made.batch_execute(&rows).await.unwrap();
    // Constraints are shown to those who may do more than read.
    let grants = format!(
        "DROP SCHEMA raw CASCADE; GRANT USAGE ON SCHEMA metrics, canon TO {ROLE}; \
         GRANT SELECT, REFERENCES ON ALL TABLES IN SCHEMA public, metrics, canon TO {ROLE}"
    );
    made.batch_execute(&grants).await.unwrap();
}

/// `CREATE TABLE`, `ADD CONSTRAINT` and `COMMENT` for every relation that canon shows.
async fn definitions(canon: &Client) -> String {
    let columns = "SELECT format('%I.%I', nspname, relname), attname, \
         format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END, \
         col_description(attrelid, attnum) \
         FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace \
         JOIN pg_attribute ON attrelid = pg_class.oid \
         WHERE relkind = 'r' AND nspname IN ('public', 'metrics', 'canon') AND attnum > 0 \
         ORDER BY 1, attnum";
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut comments = String::new();
    for row in canon.query(columns, &[]).await.unwrap() {
        let (table, name): (String, String) = (row.get(0), row.get(1));
        if let Some(text) = row.get::<_, Option<&str>>(3) {
            let text = text.replace('\'', "''");
            let _ = writeln!(comments, "COMMENT ON COLUMN {table}.\"{name}\" IS '{text}';");
        }
        let column = format!("\"{name}\" {}", row.get::<_, &str>(2));
        tables.entry(table).or_default().push(column);
    }
    let told = "SELECT format('%I.%I', nspname, relname), obj_description(pg_class.oid, 'pg_class') \
         FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace \
         WHERE relkind = 'r' AND nspname IN ('public', 'metrics', 'canon') \
         AND obj_description(pg_class.oid, 'pg_class') IS NOT NULL";
    for row in canon.query(told, &[]).await.unwrap() {
        let text = row.get::<_, &str>(1).replace('\'', "''");
        let _ = writeln!(comments, "COMMENT ON TABLE {} IS '{text}';", row.get::<_, &str>(0));
    }
    // Primary keys first: foreign keys refer to them.
    let keys = "SELECT format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s;', nspname, relname, conname, \
         pg_get_constraintdef(c.oid)) FROM pg_constraint c JOIN pg_class r ON r.oid = conrelid \
         JOIN pg_namespace n ON n.oid = relnamespace \
         WHERE nspname IN ('public', 'metrics') ORDER BY contype DESC";
    let keys = canon.query(keys, &[]).await.unwrap();
    let mut text = "CREATE SCHEMA metrics; CREATE SCHEMA canon;\n".to_owned();
    for (table, columns) in tables {
        let _ = writeln!(text, "CREATE TABLE {table} ({});", columns.join(", "));
    }
    keys.iter().for_each(|row| text += row.get::<_, &str>(0));
    text + &comments
}

/// Every relation that PostgreSQL 15 has in `pg_catalog` and `information_schema`, with the same
/// OIDs, kinds and columns, in the same order and of the same types.
#[tokio::test]
async fn the_catalogue_has_the_relations_and_columns_of_postgres() {
    // A domain of information_schema counts as the type below it, as on the wire; OIDs of
    // information_schema are given anew by each initdb.
    let columns = "SELECT n.nspname || '.' || c.relname, c.relkind::text, \
         CASE n.nspname WHEN 'pg_catalog' THEN c.oid::int8 END, a.attnum, a.attname::text, \
         format_type(CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END, \
         CASE t.typtype WHEN 'd' THEN -1 ELSE a.atttypmod END), a.attnotnull \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = a.atttypid \
         WHERE n.nspname IN ('pg_catalog', 'information_schema') AND c.relkind IN ('r', 'v') \
         AND a.attnum > 0 ORDER BY 1, 4";
    // The row types of Postgres's own relations aren't in pg_type, so neither are arrays of them.
    let lacking = ["pg_catalog.pg_statistic_ext_data.stxdexpr"];
    let (canon, postgres) =
        (Canon::embedded(&Fixture::load(FIXTURE)).await, Postgres::start().await);
    let read = async |client: Client| {
        let rows = client.query(columns, &[]).await.unwrap();
        let lines = rows.iter().map(|row| {
            let (relation, kind): (&str, &str) = (row.get(0), row.get(1));
            let (oid, number): (Option<i64>, i16) = (row.get(2), row.get(3));
            let (name, data_type): (&str, &str) = (row.get(4), row.get(5));
            let not_null: bool = row.get(6);
            let column = format!("{relation}.{name}");
            (column, format!("{kind} {oid:?} {number} {data_type} {not_null}"))
        });
        lines.collect::<BTreeMap<String, String>>()
    };
    let ours = read(connect_to(canon.port, ROLE, DATABASE).await.unwrap()).await;
    let theirs = read(postgres.connect_to("postgres").await).await;
    let mut differences = Vec::new();
    for (column, expected) in &theirs {
        let found = ours.get(column);
        if found != Some(expected) && !lacking.contains(&column.as_str()) {
            differences.push(format!("{column}: {found:?}, in PostgreSQL {expected}"));
        }
    }
    let more = ours.keys().filter(|column| !theirs.contains_key(*column));
    differences.extend(more.map(|column| format!("{column}: not in PostgreSQL")));
    report(&differences);
}

/// For comparing by hand: says the ports of canon over both backends and of a PostgreSQL with the
/// same relations and rows, and serves them until the test is ended. Database and user are
/// `canon` and `analyst`: `cargo test --test it side_by_side -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "serves until it is ended"]
async fn side_by_side() {
    let (fixture, server) = (Fixture::load(FIXTURE), ClickHouseServer::start().await);
    fixture.load_clickhouse(&server).await;
    let embedded = Canon::embedded(&fixture).await;
    let over_clickhouse = Canon::over_clickhouse(&fixture, &server).await;
    let postgres = Postgres::start().await;
    mirrored(&embedded, &postgres).await;
    println!(
        "canon over files {}, over ClickHouse {}, PostgreSQL {}",
        embedded.port, over_clickhouse.port, postgres.port
    );
    std::future::pending::<()>().await;
}
