//! psql, the client that analysts type into.

use std::process::Stdio;

use tokio::process::Command;

use super::Server;

const PSQL: &str = "/usr/bin/psql";

/// What psql prints of both streams; None where it isn't installed.
async fn psql(server: &Server, statements: &[&str]) -> Option<String> {
    if !std::path::Path::new(PSQL).exists() {
        eprintln!("skipped: {PSQL} is not installed");
        return None;
    }
    let mut command = Command::new(PSQL);
    command.args(["-X", "-h", "127.0.0.1", "-U", "ana", "-d", "canon", "-p"]);
    command.arg(server.address.port().to_string());
    for statement in statements {
        command.args(["-c", statement]);
    }
    command.env("PGCONNECT_TIMEOUT", "10").stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    Some(String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn rows_settings_and_errors() {
    let server = Server::start().await;
    let Some(shown) = psql(
        &server,
        &[
            "SELECT rows(3)",
            "SET TimeZone = 'Europe/Berlin'; SHOW TimeZone",
            "SHOW TRANSACTION ISOLATION LEVEL",
            "",
            "-- nothing",
            "SELECT FROM FROM x",
            "DELETE FROM x",
            "SELECT rows(1); SELECT rows(2)",
            "\\conninfo",
            "SELECT notice()",
        ],
    )
    .await
    else {
        return;
    };
    insta::assert_snapshot!(shown.replace(&server.address.port().to_string(), "PORT"));
}

#[tokio::test]
async fn transactions() {
    let server = Server::start().await;
    let shown = psql(
        &server,
        &["BEGIN", "SELECT oops()", "SELECT rows(1)", "COMMIT", "COMMIT", "BEGIN READ WRITE"],
    )
    .await;
    let Some(shown) = shown else { return };
    insta::assert_snapshot!(shown);
}
