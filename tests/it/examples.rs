//! `canon test`: examples of metrics, run from the shell.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use canon::cli::demo::{self, ClickHouseTarget, DemoOptions, DemoTarget};
use serde_json::Value;

use crate::clickhouse_server::ClickHouseServer;
use crate::fixture::{Fixture, copy_folder, root};

/// Few rows: the definitions need tables, the examples none of their rows.
const ORDERS: u64 = 200;

fn canon_test(metrics: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_canon")).arg("test").arg(metrics).args(more).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The demo's definitions in a folder, with few rows beside them.
async fn demo_in(folder: &Path) -> PathBuf {
    let metrics = folder.join("metrics");
    copy_folder(&root().join("metrics"), &metrics);
    let data = folder.join("examples/retail/data");
    let options = DemoOptions { orders: ORDERS, target: DemoTarget::Folder(data) };
    demo::run(options, &mut Vec::new()).await.unwrap();
    metrics
}

fn check_demo(output: &Output) {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    let results: Vec<Value> = serde_json::from_str(&out).unwrap();
    let mut metrics: Vec<&str> =
        results.iter().map(|result| result["metric"].as_str().unwrap()).collect();
    metrics.dedup();
    assert!(metrics.len() >= 7, "{metrics:?}");
}

#[tokio::test]
async fn examples_of_the_demo_pass() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = demo_in(folder.path()).await;
    check_demo(&canon_test(&metrics, &["--format", "json"]));
    // Without a ClickHouse there is none to run them on.
    let output = canon_test(&metrics, &["--on", "clickhouse"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--clickhouse-url"), "{}", text(&output.stderr));
}

/// `canon test --on clickhouse`, as the server's user.
fn canon_test_on(server: &ClickHouseServer, metrics: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_canon"));
    command.arg("test").arg(metrics).args(["--on", "clickhouse"]).args(more);
    command.args(["--clickhouse-url", &server.url, "--clickhouse-database", &server.database]);
    command.args(["--clickhouse-user", &server.user]);
    command.env("CANON_CLICKHOUSE_PASSWORD", &server.password).output().unwrap()
}

#[tokio::test]
async fn examples_run_on_clickhouse_and_leave_nothing_there() {
    let folder = tempfile::tempdir().unwrap();
    let server = ClickHouseServer::start().await;
    let target = ClickHouseTarget {
        url: server.url.clone(),
        database: server.database.clone(),
        user: Some(server.user.clone()),
        password: Some(server.password.clone()),
        replace: false,
    };
    let options = DemoOptions { orders: ORDERS, target: DemoTarget::ClickHouse(target) };
    demo::run(options, &mut Vec::new()).await.unwrap();
    check_demo(&canon_test_on(&server, &root().join("metrics"), &["--format", "json"]));

    // What fails in memory fails there, for the same reasons.
    let fixture = Fixture::load("shop");
    let metrics = fixture.write_embedded(folder.path());
    std::fs::write(metrics.join("sold.yaml"), EXAMPLES).unwrap();
    let server = ClickHouseServer::start().await;
    fixture.load_clickhouse(&server).await;
    let in_memory = canon_test(&metrics, &[]);
    let on_clickhouse = canon_test_on(&server, &metrics, &[]);
    assert_eq!(on_clickhouse.status.code(), Some(1), "{}", text(&on_clickhouse.stderr));
    let expected = text(&in_memory.stdout).replace("rows in memory", "rows in ClickHouse");
    assert_eq!(text(&on_clickhouse.stdout), expected);
    // Refused before anything is made, and after.
    std::fs::write(metrics.join("sold.yaml"), EXAMPLES.replace("sold: 10", "sould: 10")).unwrap();
    assert_eq!(canon_test_on(&server, &metrics, &[]).status.code(), Some(1));
    let left = "SELECT count() FROM system.databases WHERE startsWith(name, 'canon_test_')";
    let left: u64 = server.client().query(left).fetch_one().await.unwrap();
    assert_eq!(left, 0, "databases are left behind");
}

const EXAMPLES: &str = "
metric: sold
intent: How much was sold?
owner: {team: finance}
unit: EUR
versions:
  - version: 1.0.0
    status: draft
    entity: order
    type: sum
    expression: gross_amount
    eligibility:
      - {rule: \"status = 'completed'\", why: an open order is a promise}
      - {rule: not is_test, why: tests are not sales}
    time: {event: completed_at}
    examples:
      - given:
          orders: [{order_id: 1, status: completed, is_test: false, gross_amount: 10, channel: web},
                   {order_id: 2, status: open, is_test: false, gross_amount: 5},
                   {order_id: 3, status: completed, is_test: true, gross_amount: 7}]
        expect: {sold: 10}
      - given:
          orders: [{order_id: 1, status: completed, is_test: false, gross_amount: 10, channel: web},
                   {order_id: 2, status: open, is_test: false, gross_amount: 5, channel: app},
                   {order_id: 3, order_status: completed, is_test: false, gross_amount: 4}]
        expect: [{channel: web, sold: 15}, {channel: app, sold: 5}]
      - given: {}
        expect: {sold: null}
";

#[test]
fn a_failing_example_shows_expected_and_got() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = Fixture::load("shop").write_embedded(folder.path());
    std::fs::write(metrics.join("sold.yaml"), EXAMPLES).unwrap();
    let output = canon_test(&metrics, &["--metric", "sold"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    insta::with_settings!({omit_expression => true, prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("canon_test", text(&output.stdout));
    });
    let output = canon_test(&metrics, &["--metric", "revenue"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(canon_test(&metrics, &["--metric", "revenu"]).status.code(), Some(2));
    assert_eq!(canon_test(&folder.path().join("nowhere"), &[]).status.code(), Some(2));
    std::fs::write(metrics.join("sold.yaml"), EXAMPLES.replace("sold: 10", "sould: 10")).unwrap();
    let output = canon_test(&metrics, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("unknown_dimension"), "{}", text(&output.stderr));
}
