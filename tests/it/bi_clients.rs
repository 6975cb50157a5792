//! Superset, pgAdmin and pgcli themselves: each script in `tests/clients` against canon, and against
//! PostgreSQL with the same relations as plain tables, so that a script which fails shows a fault of
//! canon's.
//!
//! `tests/clients/setup_tools` installs what they need; a tool that is missing fails its test.

use std::path::PathBuf;
use std::process::Command;

use crate::clients::{finished, installed};
use crate::fixture::{Fixture, root};
use crate::servers::{Canon, Postgres};
use crate::tools::mirrored;

fn command_of(tool: &str) -> Command {
    let script: PathBuf = root().join("tests/clients").join(format!("use_{tool}.py"));
    let mut command = Command::new(installed().join(tool).join("venv/bin/python"));
    command.arg(script);
    command
}

async fn run_against_canon(tool: &'static str) {
    let canon = Canon::embedded(&Fixture::load("shop")).await;
    finished(command_of(tool), canon.port).await;
}

#[tokio::test]
async fn superset() {
    run_against_canon("superset").await;
}

#[tokio::test]
async fn pgadmin() {
    run_against_canon("pgadmin").await;
}

#[tokio::test]
async fn pgcli() {
    run_against_canon("pgcli").await;
}

#[tokio::test]
async fn the_scripts_hold_against_postgres() {
    let canon = Canon::embedded(&Fixture::load("shop")).await;
    let postgres = Postgres::start().await;
    mirrored(&canon, &postgres).await;
    for tool in ["pgcli", "pgadmin", "superset"] {
        finished(command_of(tool), postgres.port).await;
    }
}
