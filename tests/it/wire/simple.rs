//! The simple query protocol, settings and transactions.

use super::Server;
use super::raw::*;

/// What each ParameterStatus says.
fn statuses(messages: &[Message]) -> Vec<(String, String)> {
    let of = |(_, body): &Message| {
        let parts: Vec<String> = body
            .split(|byte| *byte == 0)
            .map(|part| String::from_utf8(part.to_vec()).unwrap())
            .collect();
        (parts[0].clone(), parts[1].clone())
    };
    messages.iter().filter(|(kind, _)| *kind == 'S').map(of).collect()
}

fn tags(messages: &[Message]) -> Vec<String> {
    let of = |(_, body): &Message| String::from_utf8_lossy(&body[..body.len() - 1]).into_owned();
    messages.iter().filter(|(kind, _)| *kind == 'C').map(of).collect()
}

/// The first column of the last row, as text.
fn last_value(messages: &[Message]) -> String {
    let row =
        messages.iter().rfind(|(kind, _)| *kind == 'D').map(|(_, body)| body.clone()).unwrap();
    let length = usize::try_from(i32::from_be_bytes(row[2..6].try_into().unwrap())).unwrap();
    String::from_utf8(row[6..6 + length].to_vec()).unwrap()
}

struct Talk(Raw);

impl Talk {
    async fn start(server: &Server) -> Self {
        Self(Raw::login(server.address).await)
    }

    async fn say(&mut self, text: &str) -> Vec<Message> {
        self.0.send(&query(text)).await;
        self.0.until('Z').await
    }

    async fn show(&mut self, name: &str) -> String {
        last_value(&self.say(&format!("SHOW {name}")).await)
    }
}

#[tokio::test]
async fn what_the_client_is_told_at_login() {
    let server = Server::start().await;
    let mut raw = Raw::open(server.address).await;
    let parameters = [
        ("user", "ana"),
        ("database", "anything"),
        ("client_encoding", "'utf-8'"),
        ("DateStyle", "ISO"),
        ("TimeZone", "Europe/Berlin"),
        ("extra_float_digits", "3"),
        ("application_name", "Metabase v0.62"),
        ("options", "-c statement_timeout=5s"),
    ];
    raw.send(&startup(3, 0, &parameters)).await;
    let messages = raw.until('Z').await;
    let told = statuses(&messages);
    let value = |name: &str| {
        told.iter().find(|(told, _)| told == name).map(|(_, value)| value.as_str()).unwrap()
    };
    assert_eq!(value("server_version"), "15.18");
    assert_eq!(value("server_encoding"), "UTF8");
    assert_eq!(value("client_encoding"), "UTF8");
    assert_eq!(value("DateStyle"), "ISO, MDY");
    assert_eq!(value("TimeZone"), "Europe/Berlin");
    assert_eq!(value("integer_datetimes"), "on");
    assert_eq!(value("standard_conforming_strings"), "on");
    assert_eq!(value("IntervalStyle"), "postgres");
    assert_eq!(value("is_superuser"), "off");
    assert_eq!(value("session_authorization"), "ana");
    assert_eq!(value("application_name"), "Metabase v0.62");
    assert_eq!(value("in_hot_standby"), "off");
    assert_eq!(value("default_transaction_read_only"), "on");
    let key = messages.iter().find(|(kind, _)| *kind == 'K').unwrap();
    assert_eq!(key.1.len(), 8);
    let mut talk = Talk(raw);
    assert_eq!(talk.show("statement_timeout").await, "5s");
}

#[tokio::test]
async fn newer_protocols_are_negotiated_down() {
    let server = Server::start().await;
    for (minor, option, negotiated, key_bytes) in [
        (0, None, None, 4),
        (2, None, None, 32),
        (9999, None, Some((2, 0)), 32),
        (2, Some("_pq_.x"), Some((2, 1)), 32),
    ] {
        let mut raw = Raw::open(server.address).await;
        let mut parameters = vec![("user", "ana")];
        parameters.extend(option.map(|option| (option, "1")));
        raw.send(&startup(3, minor, &parameters)).await;
        let messages = raw.until('Z').await;
        let answer = messages.iter().find(|(kind, _)| *kind == 'v').map(|(_, body)| {
            assert_eq!(body[..2], [0, 3]);
            (u16::from_be_bytes([body[2], body[3]]), body[7])
        });
        assert_eq!(answer, negotiated, "{minor}");
        let key = messages.iter().find(|(kind, _)| *kind == 'K').unwrap();
        assert_eq!(key.1.len(), 4 + key_bytes, "{minor}");
    }
}

#[tokio::test]
async fn several_statements_in_one_text() {
    let server = Server::start().await;
    let mut talk = Talk::start(&server).await;
    let messages = talk.say("SELECT rows(1); SET jit = off; SELECT rows(2);").await;
    assert_eq!(tags(&messages), ["SELECT 1", "SET", "SELECT 2"]);
    let messages = talk.say("SELECT rows(1); SELECT oops(); SELECT rows(2)").await;
    assert_eq!(
        (tags(&messages), errors(&messages)),
        (vec!["SELECT 1".to_owned()], vec!["22012".to_owned()])
    );
    let messages = talk.say("SELECT rows(1); SELEC").await;
    assert_eq!((tags(&messages), errors(&messages)), (vec![], vec!["42601".to_owned()]));
    for empty in ["", ";", " -- remark", "/* ping */"] {
        talk.0.send(&query(empty)).await;
        assert_eq!(talk.0.kinds().await, "IZI", "{empty}");
    }
}

#[tokio::test]
async fn an_error_undoes_the_settings_of_its_text() {
    let server = Server::start().await;
    let mut talk = Talk::start(&server).await;
    let messages = talk.say("SET TimeZone = 'Asia/Tokyo'; SELECT oops()").await;
    assert_eq!(errors(&messages), ["22012"]);
    assert_eq!(talk.show("TimeZone").await, "UTC");
    assert_eq!(statuses(&messages), [], "the client is told at the end only");
    talk.say("SET TimeZone = 'Asia/Tokyo'; COMMIT; SELECT oops()").await;
    assert_eq!(talk.show("TimeZone").await, "Asia/Tokyo");
}

#[tokio::test]
async fn settings_follow_transactions() {
    let server = Server::start().await;
    let mut talk = Talk::start(&server).await;
    let told = statuses(&talk.say("SET TIME ZONE 'europe/berlin'").await);
    assert_eq!(told, [("TimeZone".to_owned(), "Europe/Berlin".to_owned())]);
    talk.say("BEGIN; SET TimeZone = UTC; SET canon.strict = on").await;
    assert_eq!(talk.show("TimeZone").await, "UTC");
    talk.say("ROLLBACK").await;
    assert_eq!(talk.show("TimeZone").await, "Europe/Berlin");
    assert_eq!(talk.show("canon.strict").await, "off");
    talk.say("BEGIN; SET LOCAL statement_timeout = 5000; SET canon.pins = 'revenue=1'").await;
    assert_eq!(talk.show("statement_timeout").await, "5s");
    talk.say("COMMIT").await;
    assert_eq!(talk.show("statement_timeout").await, "0");
    assert_eq!(talk.show("canon.pins").await, "revenue=1");
    talk.say("BEGIN; SET jit = on; SAVEPOINT a; SET jit = off; ROLLBACK TO a").await;
    assert_eq!(talk.show("jit").await, "on");
    talk.say("COMMIT; DISCARD ALL").await;
    assert_eq!(talk.show("TimeZone").await, "UTC");
    assert_eq!(talk.show("canon.pins").await, "");
    talk.say("SET myapp.tenant = '7'").await;
    assert_eq!(talk.show("myapp.tenant").await, "7");
    let value = last_value(&talk.say("SELECT setting('myapp.tenant')").await);
    assert_eq!(value, "7");
    talk.say("RESET ALL").await;
    assert_eq!(errors(&talk.say("SHOW myapp.tenant").await), ["42704"]);
    assert_eq!(errors(&talk.say("RESET nonsense").await), ["42704"]);
    assert_eq!(errors(&talk.say("SET ROLE other").await), ["42501"]);
    assert_eq!(errors(&talk.say("SET ROLE ana").await), Vec::<String>::new());
}

#[tokio::test]
async fn transaction_states() {
    let server = Server::start().await;
    let mut talk = Talk::start(&server).await;
    for (text, kinds) in [
        ("BEGIN", "CZT"),
        ("BEGIN", "NCZT"),
        ("SELECT rows(1)", "TDCZT"),
        ("SELECT oops()", "EZE"),
        ("SELECT rows(1)", "EZE"),
        ("SAVEPOINT a", "EZE"),
        ("COMMIT", "CZI"),
        ("COMMIT", "NCZI"),
        ("ROLLBACK", "NCZI"),
        ("SAVEPOINT a", "EZI"),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY", "CZT"),
        ("SAVEPOINT a", "CZT"),
        ("SELECT oops()", "EZE"),
        ("ROLLBACK TO a", "CZT"),
        ("RELEASE a", "CZT"),
        ("RELEASE a", "EZE"),
        ("ROLLBACK AND CHAIN", "CZT"),
        ("DISCARD ALL", "EZE"),
        ("ROLLBACK", "CZI"),
        ("START TRANSACTION READ WRITE", "EZI"),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ UNCOMMITTED", "CZI"),
        ("BEGIN; SELECT oops(); SELECT rows(1)", "CEZE"),
        ("ABORT", "CZI"),
        ("SET LOCAL jit = off", "NCZI"),
        ("UNLISTEN *", "CZI"),
        ("DEALLOCATE ALL", "CZI"),
    ] {
        talk.0.send(&query(text)).await;
        assert_eq!(talk.0.kinds().await, kinds, "{text}");
    }
    assert_eq!(talk.show("TRANSACTION ISOLATION LEVEL").await, "read uncommitted");
    talk.say("BEGIN").await;
    talk.say("SELECT oops()").await;
    assert_eq!(tags(&talk.say("COMMIT").await), ["ROLLBACK"]);
    talk.say("BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE").await;
    assert_eq!(talk.show("transaction_isolation").await, "serializable");
    talk.say("COMMIT").await;
    assert_eq!(talk.show("transaction_isolation").await, "read uncommitted");
}

#[tokio::test]
async fn errors_have_position_and_hint() {
    let server = Server::start().await;
    let mut talk = Talk::start(&server).await;
    let messages = talk.say("SELECT 'ü', WHERE").await;
    let error = &messages[0].1;
    assert_eq!(field(error, 'M'), "syntax error at or near \"WHERE\"");
    assert_eq!((field(error, 'S'), field(error, 'V')), ("ERROR".to_owned(), "ERROR".to_owned()));
    assert_eq!(field(error, 'P'), "13");
    let messages = talk.say("CREATE TABLE a (b int)").await;
    let error = &messages[0].1;
    assert_eq!(field(error, 'C'), "25006");
    assert_eq!(field(error, 'M'), "cannot execute CREATE TABLE in a read-only transaction");
    assert_ne!(field(error, 'H'), "");
    let messages = talk.say("SELECT notice()").await;
    let notice = messages.iter().find(|(kind, _)| *kind == 'N').unwrap();
    assert_eq!(field(&notice.1, 'C'), "01000");
    assert_eq!(errors(&talk.say("SELECT echo($1)").await), ["42P02"]);
}

#[tokio::test]
async fn prepared_statements_in_sql() {
    let server = Server::start().await;
    let mut talk = Talk::start(&server).await;
    talk.say("PREPARE p (int, text) AS SELECT echo($1, $2)").await;
    assert_eq!(last_value(&talk.say("EXECUTE p (42, 'x')").await), "42");
    assert_eq!(errors(&talk.say("EXECUTE p (42)").await), ["42601"]);
    assert_eq!(errors(&talk.say("EXECUTE p ('x', 'x')").await), ["22P02"]);
    assert_eq!(errors(&talk.say("PREPARE p AS SELECT 1").await), ["42P05"]);
    talk.say("DEALLOCATE p").await;
    assert_eq!(errors(&talk.say("EXECUTE p (42, 'x')").await), ["26000"]);
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_its_error_and_no_tag() {
    let server = Server::start().await;
    let mut talk = Talk::start(&server).await;
    let messages = talk.say("SELECT broken(2)").await;
    assert_eq!((errors(&messages), tags(&messages)), (vec!["53200".to_owned()], vec![]));
    assert_eq!(messages.iter().filter(|(kind, _)| *kind == 'D').count(), 2_000);
    assert_eq!(tags(&talk.say("SELECT rows(1)").await), ["SELECT 1"]);
    assert_eq!(tags(&talk.say("EXPLAIN SELECT rows(1)").await), ["EXPLAIN"]);
}
