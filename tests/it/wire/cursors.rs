//! Cursors and COPY: how much they read and keep.

use std::sync::atomic::Ordering;

use canon::session::KEPT_ROWS_BYTES_MAX;

use super::Server;
use super::engine::BATCH_ROWS;
use super::raw::*;

/// The kinds of the answer's messages, the transaction's status, and the codes of its errors.
async fn say(raw: &mut Raw, text: &str) -> (String, Vec<String>) {
    raw.send(&query(text)).await;
    let messages = raw.until('Z').await;
    let status = char::from(messages.last().unwrap().1[0]);
    let kinds: String = messages.iter().map(|(kind, _)| *kind).collect();
    (kinds + &status.to_string(), errors(&messages))
}

#[tokio::test]
async fn a_cursor_reads_no_further_than_it_is_asked() {
    let server = Server::start().await;
    let mut raw = Raw::login(server.address).await;
    let text = "BEGIN; DECLARE c CURSOR FOR SELECT endless(); FETCH 2 FROM c";
    assert_eq!(say(&mut raw, text).await.0, "CCTDDCZT");
    assert_eq!(server.engine.rows_made.load(Ordering::SeqCst), BATCH_ROWS);
    assert_eq!(server.engine.live(), 1);
    assert_eq!(say(&mut raw, "MOVE 3000 IN c").await.0, "CZT");
    assert_eq!(server.engine.rows_made.load(Ordering::SeqCst), 4 * BATCH_ROWS);
    assert_eq!(say(&mut raw, "CLOSE c").await.0, "CZT");
    assert_eq!(server.engine.live(), 0, "closing stops the query");
    assert_eq!(say(&mut raw, "DECLARE c CURSOR FOR SELECT endless()").await.0, "CZT");
    assert_eq!(say(&mut raw, "COMMIT").await.0, "CZI");
    assert_eq!(server.engine.live(), 0, "so does the end of the transaction");
}

#[tokio::test]
async fn rows_that_cursors_keep_are_bounded() {
    let server = Server::start().await;
    let mut raw = Raw::login(server.address).await;
    let hold = "DECLARE c CURSOR WITH HOLD FOR SELECT endless()";
    assert_eq!(say(&mut raw, hold).await, ("EZI".to_owned(), vec!["53400".to_owned()]));
    let scroll = "BEGIN; DECLARE c SCROLL CURSOR FOR SELECT endless(); MOVE ALL IN c";
    assert_eq!(say(&mut raw, scroll).await, ("CCEZE".to_owned(), vec!["53400".to_owned()]));
    assert_eq!(say(&mut raw, "ROLLBACK").await.0, "CZI");
    let late = "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT endless(); FETCH c; COMMIT";
    assert_eq!(say(&mut raw, late).await, ("CCTDCEZI".to_owned(), vec!["53400".to_owned()]));
    assert_eq!(server.engine.live(), 0);
    // What was kept is given back: most of the room goes to each of these in turn.
    let rows = KEPT_ROWS_BYTES_MAX / 8 * 3 / 4;
    for _ in 0..3 {
        let held = format!("DECLARE c CURSOR WITH HOLD FOR SELECT rows({rows})");
        assert_eq!(say(&mut raw, &held).await.0, "CZI");
        assert_eq!(server.engine.live(), 0, "a held cursor runs nothing");
        assert_eq!(say(&mut raw, "FETCH 2 FROM c").await.0, "TDDCZI");
        let second = format!("DECLARE d CURSOR WITH HOLD FOR SELECT rows({rows})");
        assert_eq!(say(&mut raw, &second).await.1, ["53400"]);
        assert_eq!(say(&mut raw, "CLOSE c").await.0, "CZI");
    }
}

#[tokio::test]
async fn an_error_ends_the_cursors_of_its_transaction_only() {
    let server = Server::start().await;
    let mut raw = Raw::login(server.address).await;
    let open = "BEGIN; DECLARE c CURSOR FOR SELECT endless(); SAVEPOINT a; \
                DECLARE d CURSOR FOR SELECT broken(1); MOVE ALL IN d";
    assert_eq!(say(&mut raw, open).await, ("CCCCEZE".to_owned(), vec!["53200".to_owned()]));
    assert_eq!(server.engine.live(), 1);
    assert_eq!(say(&mut raw, "ROLLBACK TO a; FETCH c").await.0, "CTDCZT");
    assert_eq!(say(&mut raw, "FETCH d").await.1, ["34000"]);
    assert_eq!(say(&mut raw, "ROLLBACK").await.0, "CZI");
    assert_eq!(server.engine.live(), 0);
}

#[tokio::test]
async fn a_copy_streams_and_stops_with_its_client() {
    let server = Server::start().await;
    let mut raw = Raw::login(server.address).await;
    assert_eq!(say(&mut raw, "COPY (SELECT rows(3)) TO STDOUT").await.0, "HdddcCZI");
    let broken = say(&mut raw, "COPY (SELECT broken(1)) TO STDOUT").await;
    assert_eq!(broken.0, format!("H{}EZI", "d".repeat(1_000)));
    raw.send(&query("COPY (SELECT endless()) TO STDOUT")).await;
    for _ in 0..5_000 {
        raw.message().await.unwrap();
    }
    drop(raw);
    let gone = async {
        while server.engine.live() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), gone).await.unwrap();
}

#[tokio::test]
async fn a_timeout_is_of_each_statement_that_fetches() {
    let server = Server::start().await;
    let mut raw = Raw::login(server.address).await;
    say(&mut raw, "SET statement_timeout = '5s'").await;
    let shown = |messages: &[Message]| {
        let row = messages.iter().find(|(kind, _)| *kind == 'D').unwrap();
        String::from_utf8(row.1[6..].to_vec()).unwrap()
    };
    raw.send(&query("SELECT timeout()")).await;
    assert_eq!(shown(&raw.until('Z').await), "true");
    say(&mut raw, "BEGIN; DECLARE c CURSOR FOR SELECT timeout()").await;
    raw.send(&query("FETCH c")).await;
    assert_eq!(shown(&raw.until('Z').await), "false", "the cursor itself has none");
    for (limit, expected) in [(0, "true"), (1, "false")] {
        let messages = [
            parse("", "SELECT timeout()", &[]),
            bind("", "", &[], &[], &[]),
            execute("", limit),
            sync(),
        ];
        raw.send(&messages.concat()).await;
        assert_eq!(shown(&raw.until('Z').await), expected);
    }
}
