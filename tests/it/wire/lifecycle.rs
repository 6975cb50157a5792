//! Statements that end before their time, and servers that do.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::time::Duration;

use canon::wire::WireOptions;
use tokio::io::AsyncReadExt;

use super::Server;
use super::raw::*;

/// Waits for something that happens soon after its cause, whatever the machine does meanwhile.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("still not so: {what}");
}

/// Process id and key of a session.
async fn login_with_key(server: &Server, minor: u16) -> (Raw, Vec<u8>) {
    let mut raw = Raw::open(server.address).await;
    raw.send(&startup(3, minor, &[("user", "ana")])).await;
    let messages = raw.until('Z').await;
    let key = messages.into_iter().find(|(kind, _)| *kind == 'K').unwrap().1;
    (raw, key)
}

async fn cancel(server: &Server, key: &[u8]) {
    let mut raw = Raw::open(server.address).await;
    let length = u32::try_from(key.len() + 8).unwrap().to_be_bytes();
    raw.send(&[&length[..], &80_877_102_u32.to_be_bytes(), key].concat()).await;
    assert_eq!(raw.rest().await, vec![]);
}

#[tokio::test]
async fn a_cancel_request_ends_what_runs_and_nothing_else() {
    let server = Server::start().await;
    for minor in [0, 2] {
        let (mut raw, key) = login_with_key(&server, minor).await;
        cancel(&server, &key).await;
        for text in ["SELECT sleep()", "SELECT endless()"] {
            raw.send(&query(text)).await;
            eventually("it runs", || server.engine.live() == 1).await;
            let mut wrong = key.clone();
            *wrong.last_mut().unwrap() ^= 1;
            cancel(&server, &wrong).await;
            assert_eq!(server.engine.live(), 1);
            cancel(&server, &key).await;
            let messages = raw.until('Z').await;
            assert_eq!(errors(&messages), ["57014"]);
            assert_eq!(server.engine.live(), 0);
        }
        cancel(&server, &key).await;
        raw.send(&query("SELECT rows(1)")).await;
        assert_eq!(raw.kinds().await, "TDCZI");
    }
}

#[tokio::test]
async fn a_cancel_request_ends_a_portal_and_a_blocked_answer() {
    let server = Server::start().await;
    let (mut raw, key) = login_with_key(&server, 0).await;
    let messages =
        [parse("", "SELECT endless()", &[]), bind("", "", &[], &[], &[]), execute("", 0), sync()];
    raw.send(&messages.concat()).await;
    // Nobody reads, so the answer soon fills all buffers and the server stands still.
    eventually("it runs", || server.engine.live() == 1).await;
    cancel(&server, &key).await;
    assert_eq!(errors(&raw.until('Z').await), ["57014"]);
    assert_eq!(server.engine.live(), 0);
}

#[tokio::test]
async fn tokio_postgres_cancels() {
    let server = Server::start().await;
    let client = server.client().await;
    let token = client.cancel_token();
    let statement = tokio::spawn(async move { client.query("SELECT sleep()", &[]).await });
    eventually("it runs", || server.engine.live() == 1).await;
    token.cancel_query(tokio_postgres::NoTls).await.unwrap();
    let error = statement.await.unwrap().unwrap_err();
    assert_eq!(error.code().unwrap().code(), "57014");
}

#[tokio::test]
async fn a_client_that_goes_stops_its_statement() {
    let server = Server::start().await;
    for text in ["SELECT sleep()", "SELECT endless()"] {
        let mut raw = Raw::login(server.address).await;
        raw.send(&[query(text), query("SELECT rows(1)")].concat()).await;
        eventually("it runs", || server.engine.live() == 1).await;
        drop(raw);
        eventually("it has stopped", || server.engine.live() == 0).await;
    }
}

#[tokio::test]
async fn statement_timeout() {
    let server = Server::start().await;
    let mut raw = Raw::login(server.address).await;
    for text in ["SELECT sleep()", "SELECT endless()"] {
        raw.send(&query("SET statement_timeout = '50ms'")).await;
        raw.until('Z').await;
        raw.send(&query(text)).await;
        let messages = raw.until('Z').await;
        let error = messages.iter().find(|(kind, _)| *kind == 'E').unwrap();
        assert_eq!(field(&error.1, 'C'), "57014");
        assert_eq!(field(&error.1, 'M'), "canceling statement due to statement timeout");
        raw.send(&query("RESET statement_timeout")).await;
        raw.until('Z').await;
    }
    assert_eq!(server.engine.live(), 0);
}

#[tokio::test]
async fn idle_sessions_end_when_they_are_told_to() {
    let server = Server::start().await;
    for (text, code) in [
        ("SET idle_session_timeout = '30ms'", "57P05"),
        ("SET idle_in_transaction_session_timeout = '30ms'; BEGIN", "25P03"),
    ] {
        let mut raw = Raw::login(server.address).await;
        raw.send(&query(text)).await;
        raw.until('Z').await;
        assert_eq!(raw.fatal().await, code);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_makes_the_server_wait() {
    let server = Server::start().await;
    let mut raw = Raw::login(server.address).await;
    raw.send(&query("SELECT endless()")).await;
    eventually("it runs", || server.engine.rows_made.load(Ordering::SeqCst) > 0).await;
    // What the socket's buffers hold is made, and not a row more: the count comes to rest.
    let mut made = 0;
    for _ in 0..1_000 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = server.engine.rows_made.load(Ordering::SeqCst);
        if now == made {
            break;
        }
        made = now;
    }
    assert!(made < 5_000_000, "{made}");
    // Rows go on as they are read, and only about as many are made as were read.
    let mut buffer = vec![0; 1 << 20];
    let mut read = 0_i64;
    while read < 24 << 20 {
        read += i64::try_from(raw.stream.read(&mut buffer).await.unwrap()).unwrap();
    }
    let now = server.engine.rows_made.load(Ordering::SeqCst);
    assert!(now > made);
    assert!((now - made) * 12 < read * 2, "{} rows for {read} bytes", now - made);
}

#[tokio::test]
async fn a_panic_ends_its_session_only_and_stays_secret() {
    let server = Server::start().await;
    let mut other = Raw::login(server.address).await;
    for message in [
        query("SELECT panic()"),
        [parse("", "SELECT panic()", &[]), bind("", "", &[], &[], &[]), execute("", 0), sync()]
            .concat(),
    ] {
        let mut raw = Raw::login(server.address).await;
        raw.send(&message).await;
        let messages = raw.rest().await;
        let (kind, body) = messages.last().unwrap();
        assert_eq!((*kind, field(body, 'C')), ('E', "XX000".to_owned()));
        assert_eq!(field(body, 'M'), "internal error");
    }
    other.send(&query("SELECT rows(1)")).await;
    assert_eq!(other.kinds().await, "TDCZI");
}

/// The outcome of a shutdown: when it is done, and what its clients are told.
async fn shut_down(mut server: Server) -> impl Future<Output = ()> {
    server.stop.take().unwrap().send(()).unwrap();
    async move { server.task.await.unwrap().unwrap() }
}

#[tokio::test]
async fn shutdown_ends_idle_sessions_and_waits_for_statements() {
    let grace = Duration::from_secs(300);
    let server = Server::with(WireOptions { shutdown_grace: grace, ..Default::default() }).await;
    let mut idle = Raw::login(server.address).await;
    let mut opening = Raw::open(server.address).await;
    opening.send(b"\0").await;
    let mut busy = Raw::login(server.address).await;
    busy.send(&query("SELECT rows(700000)")).await;
    let engine = server.engine.clone();
    eventually("it runs", || engine.live() == 1).await;
    let address = server.address;
    let done = shut_down(server).await;
    assert_eq!(idle.fatal().await, "57P01");
    assert!(opening.rest().await.iter().all(|(kind, _)| *kind == 'E'));
    let messages = busy.rest().await;
    let rows = messages.iter().filter(|(kind, _)| *kind == 'D').count();
    assert_eq!(rows, 700_000);
    let last: String = messages.iter().rev().take(3).map(|(kind, _)| *kind).collect();
    assert_eq!(last, "EZC");
    assert_eq!(errors(&messages), ["57P01"]);
    done.await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn shutdown_does_not_wait_longer_than_its_grace() {
    let grace = Duration::from_millis(50);
    let server = Server::with(WireOptions { shutdown_grace: grace, ..Default::default() }).await;
    let mut busy = Raw::login(server.address).await;
    busy.send(&query("SELECT sleep()")).await;
    let engine = server.engine.clone();
    eventually("it runs", || engine.live() == 1).await;
    let done = shut_down(server).await;
    let messages = busy.rest().await;
    assert_eq!(errors(&messages), ["57P01"]);
    done.await;
    assert_eq!(engine.live(), 0);
}
