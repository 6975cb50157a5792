//! Bytes that no client of good will sends. None may end the server, none run a statement
//! without log-in, and each is answered rather than met with silence.

use std::sync::atomic::Ordering;
use std::time::Duration;

use canon::wire::WireOptions;
use rand::{Rng, RngExt, SeedableRng};
use tokio::io::AsyncReadExt;

use super::Server;
use super::raw::*;

#[tokio::test]
async fn startup_lengths_that_cannot_be() {
    let server = Server::start().await;
    for length in [0, 1, 2, 3, 4, 5, 6, 7, 10_001, 1 << 20, i32::MAX, -1, i32::MIN] {
        let mut raw = Raw::open(server.address).await;
        raw.send(&length.to_be_bytes()).await;
        assert_eq!(raw.fatal().await, "08P01", "{length}");
    }
}

#[tokio::test]
async fn startup_packets_that_cannot_be() {
    let server = Server::start().await;
    for (packet, code) in [
        (startup(2, 0, &[("user", "ana")]), "0A000"),
        (startup(4, 0, &[("user", "ana")]), "0A000"),
        (startup(3, 0, &[]), "28000"),
        (startup(3, 0, &[("user", "")]), "28000"),
        (startup(3, 0, &[("user", "ana"), ("replication", "database")]), "0A000"),
        (startup(3, 0, &[("user", "ana"), ("nonsense", "1")]), "42704"),
        (startup(3, 0, &[("user", "ana"), ("TimeZone", "Mars")]), "22023"),
        (startup(3, 0, &[("user", "ana"), ("options", "-c x")]), "42601"),
        (b"\0\0\0\x0d\0\x03\0\0user\0".to_vec(), "08P01"),
        (b"\0\0\0\x10\0\x03\0\0user\0\xff\0\0".to_vec(), "22021"),
        (b"\0\0\0\x11\0\x03\0\0user\0a\0\0x".to_vec(), "08P01"),
    ] {
        let mut raw = Raw::open(server.address).await;
        raw.send(&packet).await;
        assert_eq!(raw.fatal().await, code, "{packet:?}");
    }
}

#[tokio::test]
async fn no_statement_runs_without_a_login() {
    let server = Server::start().await;
    for opening in [
        Vec::new(),
        startup(3, 0, &[("user", "")]),
        startup(2, 0, &[("user", "ana")]),
        startup(3, 0, &[("user", "ana"), ("nonsense", "1")]),
    ] {
        let mut raw = Raw::open(server.address).await;
        raw.send(&[opening, query("SELECT rows(1)"), query("SELECT rows(1)")].concat()).await;
        let messages = raw.rest().await;
        assert_eq!(messages.iter().map(|(kind, _)| *kind).collect::<String>(), "E");
    }
    assert_eq!(server.engine.executed.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn bytes_behind_an_encryption_request_are_not_taken_for_the_clients() {
    let server = Server::start().await;
    for code in [80_877_103_u32, 80_877_104] {
        let request = [&8_u32.to_be_bytes()[..], &code.to_be_bytes()].concat();
        let mut raw = Raw::open(server.address).await;
        raw.send(&[request.clone(), startup(3, 0, &[("user", "mallory")])].concat()).await;
        assert_eq!(raw.fatal().await, "08P01");
        let mut raw = Raw::open(server.address).await;
        raw.send(&request).await;
        assert_eq!(raw.stream.read_u8().await.unwrap(), b'N');
        raw.send(&startup(3, 0, &[("user", "ana")])).await;
        raw.until('Z').await;
        let mut raw = Raw::open(server.address).await;
        raw.send(&request).await;
        raw.stream.read_u8().await.unwrap();
        raw.send(&request).await;
        assert_eq!(raw.fatal().await, "08P01");
    }
}

#[tokio::test]
async fn slow_startups_are_cut_off() {
    let options = WireOptions { startup_timeout: Duration::from_millis(50), ..Default::default() };
    let server = Server::with(options).await;
    let mut raw = Raw::open(server.address).await;
    raw.send(b"\0\0").await;
    assert_eq!(raw.rest().await, vec![]);
}

#[tokio::test]
async fn frames_that_cannot_be_end_the_connection_with_words() {
    let server = Server::start().await;
    for (bytes, code) in [
        (b"\0".to_vec(), "08P01"),
        (b"z\0\0\0\x04".to_vec(), "08P01"),
        (b"p\0\0\0\x05\0".to_vec(), "08P01"),
        (b"Q\0\0\0\0".to_vec(), "08P01"),
        (b"Q\0\0\0\x03".to_vec(), "08P01"),
        (b"Q\xff\xff\xff\xff".to_vec(), "08P01"),
        (b"Q\x7f\xff\xff\xff".to_vec(), "54000"),
        (b"S\0\x10\0\0".to_vec(), "08P01"),
    ] {
        let mut raw = Raw::login(server.address).await;
        raw.send(&bytes).await;
        assert_eq!(raw.fatal().await, code, "{bytes:?}");
    }
}

#[tokio::test]
async fn bodies_that_cannot_be_fail_alone() {
    let server = Server::start().await;
    let mut raw = Raw::login(server.address).await;
    for kind in ['Q', 'P', 'B', 'D', 'C', 'E', 'F'] {
        for body in
            [&b""[..], b"\0", b"x", b"S", b"a\0b", b"a\0b\0\x7f\xff", b"\xff\xff\xff\xff\0\0"]
        {
            raw.send(&message(kind, body)).await;
            raw.send(&sync()).await;
            let mut messages = raw.until('Z').await;
            if matches!(kind, 'Q' | 'F') {
                messages.extend(raw.until('Z').await);
            }
            let codes = errors(&messages);
            if (kind, body) == ('Q', b"\0") {
                // The one that is whole: an empty text.
                assert_eq!(codes, Vec::<String>::new());
                continue;
            }
            assert_eq!(codes.len(), 1, "{kind} {body:?} {messages:?}");
            assert!(
                ["08P01", "22021", "42601", "26000", "34000", "0A000"].contains(&codes[0].as_str()),
                "{kind} {body:?} {codes:?}"
            );
        }
    }
    raw.send(&query("SELECT rows(1)")).await;
    assert_eq!(raw.kinds().await, "TDCZI");
}

#[tokio::test]
async fn a_bind_that_lies_about_its_length_does_not_eat_the_next_message() {
    let server = Server::start().await;
    let mut raw = Raw::login(server.address).await;
    let body = b"\0\0\0\0\0\x01\x7f\xff\xff\xff";
    raw.send(&[message('B', body), sync(), query("SELECT rows(1)")].concat()).await;
    assert_eq!(errors(&raw.until('Z').await), ["08P01"]);
    assert_eq!(raw.kinds().await, "TDCZI");
}

#[tokio::test]
async fn text_that_is_not_utf8_is_refused() {
    let server = Server::start().await;
    let mut raw = Raw::login(server.address).await;
    raw.send(&message('Q', b"SELECT '\xff\xfe'\0")).await;
    assert_eq!(errors(&raw.until('Z').await), ["22021"]);
    let parameter = bind("", "", &[0], &[Some(b"\xc3\x28")], &[]);
    raw.send(&[parse("", "SELECT echo($1)", &[25]), parameter, sync()].concat()).await;
    assert_eq!(errors(&raw.until('Z').await), ["22021"]);
    let nul = bind("", "", &[1], &[Some(b"a\0b")], &[]);
    raw.send(&[parse("", "SELECT echo($1)", &[25]), nul, sync()].concat()).await;
    assert_eq!(errors(&raw.until('Z').await), ["22021"]);
}

#[tokio::test]
async fn too_many_connections_are_told_so_at_once() {
    let server = Server::with(WireOptions { connections_max: 2, ..Default::default() }).await;
    let first = Raw::login(server.address).await;
    let _second = Raw::login(server.address).await;
    let mut third = Raw::open(server.address).await;
    third.send(&startup(3, 0, &[("user", "ana")])).await;
    assert_eq!(third.fatal().await, "53300");
    drop(first);
    // A place is free as soon as the server has seen the first one leave.
    loop {
        let mut again = Raw::open(server.address).await;
        again.send(&startup(3, 0, &[("user", "ana")])).await;
        match again.message().await {
            Some(('R', _)) => break,
            other => assert!(matches!(other, Some(('E', _)) | None), "{other:?}"),
        }
    }
}

#[tokio::test]
async fn random_bytes_end_nothing_but_their_connection() {
    let server = Server::start().await;
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(3);
    for round in 0..300 {
        let mut raw = match round % 3 {
            0 => Raw::open(server.address).await,
            _ => Raw::login(server.address).await,
        };
        for _ in 0..random.random_range(1..6) {
            let mut body = vec![0; random.random_range(0..60)];
            random.fill_bytes(&mut body);
            if round % 3 == 2 {
                // Text where text is expected, so that more than the frame is reached.
                body.iter_mut()
                    .for_each(|byte| *byte = b"\0\0\0\x01S1P$(),'a "[usize::from(*byte % 14)]);
            }
            let kind = char::from(b"QPBDCEHSFdcf"[random.random_range(0..12)]);
            raw.send(&message(kind, &body)).await;
        }
        // The other end may have hung up already.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut raw.stream, &sync()).await;
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut raw.stream).await;
        for (kind, body) in raw.rest().await {
            assert!(kind != 'E' || field(&body, 'C') != "XX000", "{round}");
        }
    }
    let client = server.client().await;
    assert_eq!(client.query("SELECT rows(5)", &[]).await.unwrap().len(), 5);
}
