//! A wrong answer made small, and written as a folder that can be asked again.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::{Case, Fault, same};
use crate::oracle::arrow::write_parquet;
use crate::oracle::question::Question;

/// So many smaller cases are tried at most.
const TRIES_MAX: usize = 400;

/// The least that is still wrong.
pub(super) struct Small<'c> {
    pub(super) case: std::borrow::Cow<'c, Case>,
    pub(super) fault: Fault,
}

/// Takes away rows and parts of the question, as long as the embedded backend's answer differs from
/// the oracle's. What only a law or the other backend shows stays as it is.
pub(super) async fn shrunk<'c>(case: &'c Case, fault: Fault) -> Small<'c> {
    use std::borrow::Cow;
    let Some((_, kind)) = wrong(case, &fault.question).await else {
        return Small { case: Cow::Borrowed(case), fault };
    };
    let mut case = Cow::Borrowed(case);
    let mut question = fault.question.clone();
    let mut tries = 0;
    loop {
        let before = tries;
        let mut is_smaller = false;
        for smaller in question.smaller() {
            tries += 1;
            if is_wrong(&case, &smaller, kind).await {
                (question, is_smaller) = (smaller, true);
                break;
            }
        }
        if is_smaller && tries < TRIES_MAX {
            continue;
        }
        for table in 0..case.world.tables.len() {
            let mut size = case.world.tables[table].rows.len().div_ceil(2);
            while size > 0 && tries < TRIES_MAX {
                let mut start = 0;
                while start < case.world.tables[table].rows.len() && tries < TRIES_MAX {
                    tries += 1;
                    let mut world = case.world.clone();
                    let rows = &mut world.tables[table].rows;
                    let end = (start + size).min(rows.len());
                    rows.drain(start..end);
                    let smaller = Case::of(case.seed, world, case.definitions.clone()).await;
                    match is_wrong(&smaller, &question, kind).await {
                        true => (case, is_smaller) = (Cow::Owned(smaller), true),
                        false => start += size,
                    }
                }
                size /= 2;
            }
        }
        if !is_smaller || tries >= TRIES_MAX || before == tries {
            break;
        }
    }
    let text = wrong(&case, &question).await.map_or(fault.text, |(text, _)| text);
    Small { case, fault: Fault { law: fault.law, text, question } }
}

/// Whether an answer is wrong, or there is none.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rows,
    Error,
}

/// Whether it is wrong in the same way.
async fn is_wrong(case: &Case, question: &Question, kind: Kind) -> bool {
    wrong(case, question).await.is_some_and(|(_, other)| other == kind)
}

async fn wrong(case: &Case, question: &Question) -> Option<(String, Kind)> {
    let expected = case.expected(question)?;
    let sql = question.sql();
    let found = case.embedded.ask_as(question, &sql, &[]).await;
    let kind = if found.is_ok() { Kind::Rows } else { Kind::Error };
    (!same(&expected, &found))
        .then(|| (case.report(question, &sql, &expected, &[("embedded", &found)]), kind))
}

/// Writes a case into a folder: `metrics/`, `data/`, the question and what is wrong.
pub(super) fn written(small: &Small<'_>, number: usize) -> PathBuf {
    let root = std::env::var_os("CARGO_TARGET_TMPDIR")
        .map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).to_path_buf(), PathBuf::from);
    let folder = root.join(format!("property/{}-{number}", small.case.seed));
    let (data, metrics) = (folder.join("data"), folder.join("metrics"));
    std::fs::create_dir_all(&data).unwrap();
    std::fs::create_dir_all(&metrics).unwrap();
    for (name, text) in small.case.definitions.files(&small.case.world) {
        std::fs::write(metrics.join(name), text).unwrap();
    }
    for table in &small.case.world.tables {
        write_parquet(table, &data);
    }
    let question = &small.fault.question;
    let mut again = String::new();
    let _ = writeln!(again, "-- canon serve --metrics {}", metrics.display());
    let _ = writeln!(again, "-- psql -h 127.0.0.1 -p 5433 canon -f question.sql");
    if question.fill {
        again.push_str("SET canon.fill = on;\n");
    }
    if !question.pins.is_empty() {
        let _ = writeln!(again, "SET canon.pins = '{}';", question.pins);
    }
    let _ = writeln!(again, "{};", question.sql());
    std::fs::write(folder.join("question.sql"), again).unwrap();
    let report = format!("{}\n{}", small.fault.text, small.case.given());
    std::fs::write(folder.join("wrong.txt"), report).unwrap();
    folder
}
