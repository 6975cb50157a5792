//! Conversations of `tests/protocol`, held with canon and with PostgreSQL 15: every message that
//! comes back must be the same.
//!
//! A file has one message after the other, parted by empty lines. A message is a simple query as it
//! is written; or, where its first line is `extended:`, one message of the extended protocol a line:
//!
//! ```text
//! parse NAME [OID …]: TEXT        bind PORTAL STATEMENT [FORMATS] [VALUES] [FORMATS]
//! describe S|P NAME               execute PORTAL ROWS
//! close S|P NAME                  sync
//! ```
//!
//! Names are written `-` where they are empty; `VALUES` in brackets, parted by commas, `\xff` for
//! bytes. A line `# differs: why` in front of a message says that canon's answer is another one on
//! purpose; such a message must differ, and every other must not.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::raw::*;
use crate::fixture::{Fixture, root};
use crate::servers::{Canon, Postgres};

/// One message of a file, or several of the extended protocol.
struct Step {
    text: String,
    differs: bool,
}

fn steps(text: &str) -> Vec<Step> {
    let blocks = text.split("\n\n").map(str::trim).filter(|block| !block.is_empty());
    let step = |block: &str| {
        let (comments, lines): (Vec<&str>, Vec<&str>) =
            block.lines().partition(|line| line.starts_with("# ") || *line == "#");
        let differs = comments.iter().any(|line| line.starts_with("# differs:"));
        Step { text: lines.join("\n"), differs }
    };
    blocks.map(step).filter(|step| !step.text.is_empty()).collect()
}

fn bytes_of(step: &str) -> Vec<u8> {
    match step.strip_prefix("extended:") {
        None => query(step),
        Some(lines) => lines.lines().filter(|line| !line.is_empty()).flat_map(extended).collect(),
    }
}

fn name(word: &str) -> &str {
    if word == "-" { "" } else { word }
}

fn extended(line: &str) -> Vec<u8> {
    let (head, tail) = line.split_once(':').unwrap_or((line, ""));
    let tail = tail.trim();
    let words: Vec<&str> = head.split_whitespace().collect();
    match words.as_slice() {
        ["parse", statement, types @ ..] => {
            let types: Vec<u32> = types.iter().map(|oid| oid.parse().unwrap()).collect();
            parse(name(statement), tail, &types)
        }
        ["bind", portal, statement] => {
            let parts: Vec<&str> = tail.split('|').map(str::trim).collect();
            let part = |index: usize| parts.get(index).copied().unwrap_or_default();
            let codes = |text: &str| -> Vec<i16> {
                text.split_whitespace().map(|code| code.parse().unwrap()).collect()
            };
            let values: Vec<Option<Vec<u8>>> = match part(1) {
                "" => Vec::new(),
                values => parted(values).into_iter().map(|value| value_of(value.trim())).collect(),
            };
            let values: Vec<Option<&[u8]>> = values.iter().map(Option::as_deref).collect();
            bind(name(portal), name(statement), &codes(part(0)), &values, &codes(part(2)))
        }
        ["describe", kind, target] => describe(kind.chars().next().unwrap(), name(target)),
        ["execute", portal, rows] => execute(name(portal), rows.parse().unwrap()),
        ["close", kind, target] => close(kind.chars().next().unwrap(), name(target)),
        ["sync"] => sync(),
        _ => panic!("no message: {line}"),
    }
}

/// What commas part; those in an array part its items.
fn parted(values: &str) -> Vec<&str> {
    let mut depth = 0;
    let between = |character: char| {
        depth += i32::from(character == '{') - i32::from(character == '}');
        character == ',' && depth == 0
    };
    values.split(between).collect()
}

/// A value of Bind: `NULL`, text, or bytes as `\x0102`.
fn value_of(text: &str) -> Option<Vec<u8>> {
    match (text, text.strip_prefix("\\x")) {
        ("NULL", _) => None,
        (_, Some(hex)) => {
            let digits = hex.as_bytes().chunks(2);
            let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
            Some(digits.map(byte).collect())
        }
        (text, None) => Some(text.as_bytes().to_vec()),
    }
}

/// What came back for each step.
async fn transcript(address: SocketAddr, steps: &[Step]) -> Vec<String> {
    let mut raw = Raw::open(address).await;
    raw.send(&startup(3, 0, &[("user", "analyst"), ("database", "fixture_shop")])).await;
    raw.until('Z').await;
    let mut answers = Vec::new();
    for step in steps {
        raw.send(&bytes_of(&step.text)).await;
        let syncs = match step.text.starts_with("extended:") {
            true => step.text.lines().filter(|line| *line == "sync").count(),
            false => 1,
        };
        let mut answer = String::new();
        for _ in 0..syncs {
            for message in raw.until('Z').await {
                writeln!(answer, "{}", shown(&message)).unwrap();
            }
        }
        answers.push(answer);
    }
    answers
}

/// A message as a line of text.
fn shown((kind, body): &Message) -> String {
    let rest = match kind {
        'T' => columns(body),
        'D' => row(body),
        't' => numbers(&body[2..], 4),
        'E' | 'N' => {
            let codes = ['S', 'C', 'M', 'D', 'H', 'P'];
            let fields = codes.iter().map(|code| (code, field(body, *code)));
            let fields = fields.filter(|(_, text)| !text.is_empty());
            fields.map(|(code, text)| format!("{code}={text}")).collect::<Vec<_>>().join(" | ")
        }
        'H' => format!("{} {}", body[0], numbers(&body[3..], 2)),
        _ => escaped(body.strip_suffix(b"\0").unwrap_or(body)),
    };
    format!("{kind} {rest}").trim_end().to_owned()
}

fn numbers(bytes: &[u8], width: usize) -> String {
    let number = |chunk: &[u8]| chunk.iter().fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
    let numbers = bytes.chunks(width).map(|chunk| number(chunk).to_string());
    numbers.collect::<Vec<_>>().join(" ")
}

/// Each column's name, OID, size, modifier and format; of its table only whether it is of one.
fn columns(body: &[u8]) -> String {
    let mut rest = &body[2..];
    let mut columns = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        let (name, numbers) = (&rest[..end], &rest[end + 1..]);
        let i32_at = |at: usize| i32::from_be_bytes(numbers[at..at + 4].try_into().unwrap());
        let i16_at = |at: usize| i16::from_be_bytes(numbers[at..at + 2].try_into().unwrap());
        let of_table = if i32_at(0) != 0 && i16_at(4) != 0 { "@" } else { "" };
        columns.push(format!(
            "{}{of_table}:{}:{}:{}:{}",
            escaped(name),
            i32_at(6),
            i16_at(10),
            i32_at(12),
            i16_at(16)
        ));
        rest = &numbers[18..];
    }
    columns.join(" ")
}

fn row(body: &[u8]) -> String {
    let mut rest = &body[2..];
    let mut values = Vec::new();
    while !rest.is_empty() {
        let length = i32::from_be_bytes(rest[..4].try_into().unwrap());
        rest = &rest[4..];
        match usize::try_from(length) {
            Err(_) => values.push("NULL".to_owned()),
            Ok(length) => {
                values.push(escaped(&rest[..length]));
                rest = &rest[length..];
            }
        }
    }
    values.join("|")
}

fn escaped(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}

/// Ours without the details and hints of errors for which PostgreSQL has none: canon may say more.
fn without_extras(ours: &str, theirs: &str) -> String {
    let mut lines = theirs.lines();
    let mut kept = String::new();
    for line in ours.lines() {
        let other = lines.next().unwrap_or_default();
        let wanted = |part: &&str| match part.get(..2) {
            Some(code @ ("D=" | "H=")) => other.contains(&format!(" | {code}")),
            _ => true,
        };
        match line.starts_with("E ") || line.starts_with("N ") {
            true => kept += &line.split(" | ").filter(wanted).collect::<Vec<_>>().join(" | "),
            false => kept += line,
        }
        kept.push('\n');
    }
    kept
}

#[tokio::test]
async fn canon_speaks_as_postgres_does() {
    let mut files: Vec<PathBuf> = std::fs::read_dir(root().join("tests/protocol"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    let fixture = Fixture::load("shop");
    let canon = Canon::embedded(&fixture).await;
    let postgres = Postgres::start().await;
    let tables = postgres.with_fixture(&fixture).await;
    let views = std::fs::read_to_string(root().join("tests/clients/control.sql")).unwrap();
    tables.batch_execute(&views).await.unwrap();
    let grant = "CREATE ROLE analyst LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO analyst; \
                 ALTER ROLE analyst SET default_transaction_read_only = on; \
                 ALTER DATABASE fixture_shop SET timezone = 'UTC'";
    tables.batch_execute(grant).await.unwrap();
    let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let mut faults = String::new();
    for file in files {
        let steps = steps(&std::fs::read_to_string(&file).unwrap());
        let ours = transcript(address(canon.port), &steps).await;
        let theirs = transcript(address(postgres.port), &steps).await;
        for ((step, ours), theirs) in steps.iter().zip(ours).zip(theirs) {
            let ours = without_extras(&ours, &theirs);
            if (ours == theirs) == step.differs {
                let name = file.file_name().unwrap().to_string_lossy();
                writeln!(
                    faults,
                    "{name}: {}\n--- canon\n{ours}--- PostgreSQL\n{theirs}",
                    step.text
                )
                .unwrap();
            }
        }
    }
    assert!(faults.is_empty(), "{faults}");
}
