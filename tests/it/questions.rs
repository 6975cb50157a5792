//! `examples/twenty-questions.md`: each of its answers is what psql shows, over both backends.
//!
//! The page is read as blocks of SQL, each followed by its answer. An expected line that ends with
//! `…` stands for every line that begins as it does; `…` alone stands for any lines up to the next
//! one expected. With `CANON_WRITE_EXAMPLES=1` the page is written anew from the embedded answers.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use canon::cli::demo::{self, ClickHouseTarget, DemoOptions, DemoTarget};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::clickhouse_server::ClickHouseServer;
use crate::fixture::{copy_folder, root};
use crate::servers::Canon;

const PSQL: &str = "/usr/bin/psql";
const PAGE: &str = "examples/twenty-questions.md";
/// As `canon demo` makes them unless it is told another number: the page's reader has the same.
const ORDERS: u64 = 100_000;

/// A piece of the page: text, or a question with its answer.
#[derive(Debug)]
enum Piece {
    Text(String),
    Question { heading: String, sql: String, answer: String },
}

fn pieces(page: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let (mut text, mut heading) = (String::new(), String::new());
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if line == "```sql" {
            pieces.push(Piece::Text(std::mem::take(&mut text)));
            let sql = block(&mut lines);
            let opening: Vec<&str> = lines.by_ref().take(2).collect();
            assert_eq!(opening, ["", "```text"], "no answer behind {heading}");
            let answer = block(&mut lines);
            pieces.push(Piece::Question { heading: heading.clone(), sql, answer });
        } else {
            if let Some(title) = line.strip_prefix("## ") {
                heading = title.to_owned();
            }
            text.push_str(line);
            text.push('\n');
        }
    }
    pieces.push(Piece::Text(text));
    pieces
}

fn block<'l>(lines: &mut impl Iterator<Item = &'l str>) -> String {
    lines.take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect()
}

/// What psql prints for a block, both streams as a terminal shows them.
async fn shown(port: u16, sql: &str) -> String {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "exec \"$0\" -X -q -h 127.0.0.1 -p \"$1\" -U analyst canon 2>&1", PSQL]);
    command.arg(port.to_string()).env("PGCONNECT_TIMEOUT", "10").env("PGCLIENTENCODING", "UTF8");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(sql.as_bytes()).await.unwrap();
    drop(input);
    let output = child.wait_with_output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    format!("{}\n", without_staleness(&text).trim_end())
}

/// The answer without the notice that the demo's data are old, which depends on the day.
fn without_staleness(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("NOTICE:  data as of") {
            let more: Vec<&str> = lines.by_ref().take(2).collect();
            assert!(more.len() == 2 && more[1].starts_with("HINT:"), "{more:?}");
        } else {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// Whether an answer is the expected one.
fn fits(expected: &[&str], got: &[&str]) -> bool {
    match (expected, got) {
        ([], got) => got.is_empty(),
        (["…", rest @ ..], got) => (0..=got.len()).any(|skipped| fits(rest, &got[skipped..])),
        ([line, rest @ ..], [shown, more @ ..]) => is_like(line, shown) && fits(rest, more),
        (_, []) => false,
    }
}

fn is_like(expected: &str, line: &str) -> bool {
    match expected.strip_suffix('…') {
        Some(beginning) => line.starts_with(beginning),
        None => expected == line,
    }
}

/// The page with the answers of a server, and what differs from the page as it is.
async fn asked(port: u16, page: &str) -> (String, String) {
    let (mut written, mut differences) = (String::new(), String::new());
    let mut questions = 0;
    for piece in pieces(page) {
        match piece {
            Piece::Text(text) => written.push_str(&text),
            Piece::Question { heading, sql, answer } => {
                questions += 1;
                let got = shown(port, &sql).await;
                let (before, now): (Vec<&str>, Vec<&str>) =
                    (answer.lines().collect(), got.lines().collect());
                let fits = fits(&before, &now);
                if !fits {
                    let _ = writeln!(differences, "--- {heading}");
                    differences.push_str(&difference(&before, &now));
                }
                let answer = if fits { &answer } else { &got };
                let _ = write!(written, "```sql\n{sql}```\n\n```text\n{answer}```\n");
            }
        }
    }
    assert_eq!(questions, 20);
    (written, differences)
}

/// Both answers as one text: the lines at their beginning and end that are alike once, what lies
/// between them with `-` as expected and with `+` as it came.
fn difference(before: &[&str], now: &[&str]) -> String {
    let alike = |pair: &(&&str, &&str)| is_like(pair.0, pair.1);
    let head = before.iter().zip(now).take_while(alike).count();
    let (old, new) = (&before[head..], &now[head..]);
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(alike).count();
    let mut text = String::new();
    let mut lines = |mark: &str, lines: &[&str]| {
        lines.iter().for_each(|line| text.push_str(&format!("{mark} {line}\n")));
    };
    lines(" ", &before[..head]);
    lines("-", &old[..old.len() - tail]);
    lines("+", &new[..new.len() - tail]);
    lines(" ", &old[old.len() - tail..]);
    text
}

async fn check(canon: &Canon, may_write: bool) {
    let page = root().join(PAGE);
    let before = fs::read_to_string(&page).unwrap();
    let (written, differences) = asked(canon.port, &before).await;
    if may_write && std::env::var_os("CANON_WRITE_EXAMPLES").is_some() {
        fs::write(&page, written).unwrap();
        return;
    }
    assert!(differences.is_empty(), "answers aren't those of {PAGE}:\n{differences}");
}

fn has_psql() -> bool {
    let found = Path::new(PSQL).exists();
    if !found {
        eprintln!("skipped: {PSQL} is not installed");
    }
    found
}

/// The demo's definitions in a folder of their own.
fn definitions(folder: &Path) -> PathBuf {
    let metrics = folder.join("metrics");
    copy_folder(&root().join("metrics"), &metrics);
    metrics
}

#[tokio::test]
async fn answers_over_files() {
    if !has_psql() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let metrics = definitions(folder.path());
    let data = folder.path().join("examples/retail/data");
    let options = DemoOptions { orders: ORDERS, target: DemoTarget::Folder(data) };
    demo::run(options, &mut Vec::new()).await.unwrap();
    let canon = Canon::serving(folder, &metrics, None, &[]).await;
    check(&canon, true).await;
}

#[tokio::test]
async fn answers_over_clickhouse() {
    if !has_psql() {
        return;
    }
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
    let folder = tempfile::tempdir().unwrap();
    let metrics = definitions(folder.path());
    let canon = Canon::serving(folder, &metrics, Some(&server), &[]).await;
    check(&canon, false).await;
}

#[test]
fn an_ellipsis_stands_for_the_rest() {
    let fits = |expected: &str, got: &str| {
        super::questions::fits(
            &expected.lines().collect::<Vec<_>>(),
            &got.lines().collect::<Vec<_>>(),
        )
    };
    assert!(fits("a\nb…\n…\nz", "a\nbcd\nx\ny\nz"));
    assert!(fits("a\n…\nz", "a\nz"));
    assert!(!fits("a\n…\nz", "a\nx"));
    assert!(!fits("a\nb", "a\nb\nc"));
    assert!(!fits("b…", "ab"));
    let shown = difference(&["a", "b", "c…"], &["a", "c", "b", "cd"]);
    assert_eq!(shown, "  a\n+ c\n  b\n  c…\n");
}
