//! The expected answers of `tests/slt`, computed a second time by PostgreSQL over the raw tables.
//!
//! A comment `# control: SELECT …` in a file gives plain SQL over the fixture's tables whose answer
//! must be that of every query after it, up to the next such comment; lines indented by three
//! spaces or more go on with it. `# control: none` says that nothing is to be compared. So the
//! spellings of one question share one control, and an expected answer isn't canon's own word.

use sqllogictest::{QueryExpect, Record, Runner, StatementExpect};

use crate::fixture::Fixture;
use crate::servers::Postgres;
use crate::slt::{Protocol, Session, Shown, files_by_fixture, records_of};

#[tokio::test]
async fn expected_answers_are_those_of_postgres() {
    let postgres = Postgres::start().await;
    let (mut compared, mut failures) = (0, Vec::new());
    for (name, files) in files_by_fixture() {
        postgres.with_fixture(&Fixture::load(&name)).await;
        for file in files {
            let (port, database) = (postgres.port, Fixture::load(&name).identifier());
            let mut runner = Runner::new(move || {
                let database = database.clone();
                async move {
                    let client = crate::servers::connect_to(port, "postgres", &database).await?;
                    Ok(Session::new(client, Protocol::Extended, port))
                }
            });
            runner.with_column_validator(Shown::match_expected);
            for record in controls_of(records_of(&file)) {
                compared += usize::from(matches!(record, Record::Query { .. }));
                if let Err(error) = runner.run_async(record).await {
                    failures.push(error.display(false).to_string());
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} answers differ:\n{}", failures.len(), failures.join("\n"));
    assert!(compared > 0, "no record has a control");
}

/// The records that PostgreSQL can run: settings as they are, queries with their control's text.
fn controls_of(records: Vec<Record<Shown>>) -> Vec<Record<Shown>> {
    let mut control: Option<String> = None;
    let mut kept = Vec::new();
    for record in records {
        match record {
            Record::Comment(lines) => {
                if let Some(found) = control_in(&lines) {
                    control = (found != "none").then_some(found);
                }
            }
            Record::Statement { ref sql, expected: StatementExpect::Ok, .. }
                if sql.starts_with("SET ") || sql.starts_with("RESET ") =>
            {
                kept.push(record);
            }
            Record::Query { loc, conditions, connection, expected, retry, .. }
                if matches!(expected, QueryExpect::Results { .. }) =>
            {
                let Some(sql) = control.clone() else { continue };
                kept.push(Record::Query { loc, conditions, connection, sql, expected, retry });
            }
            _ => {}
        }
    }
    kept
}

pub(crate) fn control_in(comment: &[String]) -> Option<String> {
    let start = comment.iter().position(|line| line.trim_start().starts_with("control:"))?;
    let first = comment[start].trim_start().trim_start_matches("control:").trim().to_owned();
    let rest = comment[start + 1..].iter().take_while(|line| line.starts_with("   "));
    Some(rest.fold(first, |sql, line| format!("{sql} {}", line.trim())))
}
