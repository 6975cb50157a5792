//! `canon test`: examples of metrics, run from the shell.

use std::path::Path;
use std::process::{Command, Output};

use canon::cli::demo::{self, DemoOptions, DemoTarget};
use serde_json::Value;

use crate::fixture::{Fixture, root};

/// Few rows: the definitions need tables, the examples none of their rows.
const ORDERS: u64 = 200;

fn canon_test(metrics: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_canon")).arg("test").arg(metrics).args(more).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn examples_of_the_demo_pass() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = folder.path().join("metrics");
    for entry in walkdir::WalkDir::new(root().join("metrics")) {
        let entry = entry.unwrap();
        let below = entry.path().strip_prefix(root()).unwrap();
        match entry.file_type().is_dir() {
            true => std::fs::create_dir_all(folder.path().join(below)).unwrap(),
            false => {
                std::fs::copy(entry.path(), folder.path().join(below)).unwrap();
            }
        }
    }
    let data = folder.path().join("examples/retail/data");
    let options = DemoOptions { orders: ORDERS, target: DemoTarget::Folder(data) };
    demo::run(options, &mut Vec::new()).await.unwrap();
    let output = canon_test(&metrics, &["--format", "json"]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    let results: Vec<Value> = serde_json::from_str(&out).unwrap();
    let mut metrics: Vec<&str> =
        results.iter().map(|result| result["metric"].as_str().unwrap()).collect();
    metrics.dedup();
    assert!(metrics.len() >= 6, "{metrics:?}");
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
