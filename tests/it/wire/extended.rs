//! The extended query protocol.

use super::Server;
use super::raw::*;

async fn kinds(raw: &mut Raw, messages: &[Vec<u8>]) -> String {
    raw.send(&messages.concat()).await;
    raw.kinds().await
}

async fn codes(raw: &mut Raw, messages: &[Vec<u8>]) -> Vec<String> {
    raw.send(&messages.concat()).await;
    errors(&raw.until('Z').await)
}

#[tokio::test]
async fn row_limits_suspend_and_go_on() {
    let server = Server::start().await;
    let mut raw = Raw::login(server.address).await;
    let messages = [
        parse("", "SELECT rows(5)", &[]),
        bind("", "", &[], &[], &[]),
        describe('P', ""),
        execute("", 2),
        execute("", 2),
        execute("", 2),
        execute("", 2),
        sync(),
    ];
    assert_eq!(kinds(&mut raw, &messages).await, "12TDDsDDsDCCZI");
    // Exactly as many as there are: nobody knows yet that there are no more.
    let messages = [bind("", "", &[], &[], &[]), execute("", 5), execute("", 5), sync()];
    assert_eq!(kinds(&mut raw, &messages).await, "2DDDDDsCZI");
}

#[tokio::test]
async fn limits_of_all_sizes_are_limits_and_nothing_else() {
    let server = Server::start().await;
    let mut raw = Raw::login(server.address).await;
    for limit in [i32::MAX, -1, i32::MIN, 0] {
        let messages = [
            parse("", "SELECT rows(3)", &[]),
            bind("", "", &[], &[], &[]),
            execute("", limit),
            sync(),
        ];
        assert_eq!(kinds(&mut raw, &messages).await, "12DDDCZI", "{limit}");
    }
}

#[tokio::test]
async fn portals_live_as_long_as_their_transaction() {
    let server = Server::start().await;
    let mut raw = Raw::login(server.address).await;
    let open = [
        parse("s", "SELECT rows(5000)", &[]),
        bind("p", "s", &[], &[], &[]),
        execute("p", 1),
        sync(),
    ];
    assert_eq!(kinds(&mut raw, &open).await, "12DsZI");
    assert_eq!(server.engine.live(), 0, "Sync outside of a block ends the portal");
    assert_eq!(codes(&mut raw, &[execute("p", 1), sync()]).await, ["34000"]);
    raw.send(&query("BEGIN")).await;
    raw.until('Z').await;
    assert_eq!(
        kinds(&mut raw, &[bind("p", "s", &[], &[], &[]), execute("p", 1), sync()]).await,
        "2DsZT"
    );
    assert_eq!(kinds(&mut raw, &[execute("p", 2), sync()]).await, "DDsZT");
    assert_eq!(server.engine.live(), 1);
    assert_eq!(codes(&mut raw, &[bind("p", "s", &[], &[], &[]), sync()]).await, ["42P03"]);
    raw.send(&query("ROLLBACK")).await;
    raw.until('Z').await;
    assert_eq!(server.engine.live(), 0);
    raw.send(&query("BEGIN")).await;
    raw.until('Z').await;
    assert_eq!(
        kinds(&mut raw, &[bind("p", "s", &[], &[], &[]), execute("p", 1), sync()]).await,
        "2DsZT"
    );
    assert_eq!(kinds(&mut raw, &[close('P', "p"), close('P', "p"), sync()]).await, "33ZT");
    assert_eq!(server.engine.live(), 0);
}

#[tokio::test]
async fn binds_with_wrong_counts_are_refused() {
    let server = Server::start().await;
    let mut raw = Raw::login(server.address).await;
    let parse_it = || parse("", "SELECT echo($1, $2)", &[23, 25]);
    let one: &[u8] = b"1";
    for (bind, code) in [
        (bind("", "", &[], &[Some(one)], &[]), "08P01"),
        (bind("", "", &[], &[Some(one), Some(one), Some(one)], &[]), "08P01"),
        (bind("", "", &[0, 0, 0], &[Some(one), Some(one)], &[]), "08P01"),
        (bind("", "", &[], &[Some(one), Some(one)], &[0, 0, 0]), "08P01"),
        (bind("", "", &[2], &[Some(one), Some(one)], &[]), "22023"),
        (bind("", "", &[], &[Some(one), Some(one)], &[7]), "22023"),
        (bind("", "", &[], &[Some(b"x"), None], &[]), "22P02"),
        (bind("", "", &[], &[Some(b"3000000000"), None], &[]), "22003"),
        (bind("", "", &[1], &[Some(b"123"), None], &[]), "22P03"),
        (bind("", "absent", &[], &[], &[]), "26000"),
    ] {
        assert_eq!(codes(&mut raw, &[parse_it(), bind, execute("", 0), sync()]).await, [code]);
    }
    let good = bind("", "", &[0, 1], &[Some(one), Some(b"x")], &[0, 1]);
    assert_eq!(kinds(&mut raw, &[parse_it(), good, execute("", 0), sync()]).await, "12DCZI");
}

#[tokio::test]
async fn names_of_statements() {
    let server = Server::start().await;
    let mut raw = Raw::login(server.address).await;
    let named = || parse("s", "SELECT rows(1)", &[]);
    assert_eq!(kinds(&mut raw, &[named(), sync()]).await, "1ZI");
    assert_eq!(codes(&mut raw, &[named(), sync()]).await, ["42P05"]);
    assert_eq!(
        kinds(&mut raw, &[close('S', "s"), close('S', "s"), named(), sync()]).await,
        "331ZI"
    );
    assert_eq!(codes(&mut raw, &[parse("", "SELECT 1; SELECT 1", &[]), sync()]).await, ["42601"]);
    assert_eq!(
        codes(&mut raw, &[parse("", "SELECT echo($1)", &[99_999]), sync()]).await,
        ["0A000"]
    );
    let empty = [
        parse("", "", &[]),
        bind("", "", &[], &[], &[]),
        describe('P', ""),
        execute("", 0),
        sync(),
    ];
    assert_eq!(kinds(&mut raw, &empty).await, "12nIZI");
    let unnamed = [parse("", "SELECT rows(1)", &[]), parse("", "SELECT rows(2)", &[]), sync()];
    assert_eq!(kinds(&mut raw, &unnamed).await, "11ZI");
    raw.send(&query("SELECT rows(1)")).await;
    raw.until('Z').await;
    assert_eq!(codes(&mut raw, &[bind("", "", &[], &[], &[]), sync()]).await, ["26000"]);
}

#[tokio::test]
async fn describing_statements_and_portals() {
    let server = Server::start().await;
    let mut raw = Raw::login(server.address).await;
    raw.send(&[parse("s", "SELECT echo($1, $2)", &[0, 1184]), describe('S', "s"), sync()].concat())
        .await;
    let messages = raw.until('Z').await;
    assert_eq!(
        messages[1].1,
        [&[0, 2][..], &25_u32.to_be_bytes(), &1184_u32.to_be_bytes()].concat()
    );
    let columns = &messages[2].1;
    assert_eq!(columns[..2], [0, 2]);
    // Name, no table, no attribute, OID, size, modifier, format.
    let first = [
        b"echo\0",
        &[0; 6][..],
        &25_u32.to_be_bytes(),
        &(-1_i16).to_be_bytes(),
        &(-1_i32).to_be_bytes(),
        &[0, 0],
    ]
    .concat();
    assert_eq!(columns[2..2 + first.len()], first);
    let set = [parse("", "SET jit = off", &[]), describe('S', ""), sync()];
    assert_eq!(kinds(&mut raw, &set).await, "1tnZI");
    let show = [
        parse("", "SHOW TimeZone", &[]),
        describe('S', ""),
        bind("", "", &[], &[], &[1]),
        describe('P', ""),
        execute("", 0),
        sync(),
    ];
    assert_eq!(kinds(&mut raw, &show).await, "1tT2TDCZI");
    assert_eq!(codes(&mut raw, &[describe('S', "absent"), sync()]).await, ["26000"]);
    assert_eq!(codes(&mut raw, &[describe('P', "absent"), sync()]).await, ["34000"]);
}

#[tokio::test]
async fn after_an_error_everything_up_to_sync_is_dropped() {
    let server = Server::start().await;
    let mut raw = Raw::login(server.address).await;
    let messages = [
        parse("", "SELECT oops()", &[]),
        bind("", "", &[], &[], &[]),
        execute("", 0),
        query("SELECT rows(1)"),
        sync(),
        query("SELECT rows(1)"),
    ];
    raw.send(&messages.concat()).await;
    assert_eq!(raw.kinds().await, "EZI");
    assert_eq!(raw.kinds().await, "TDCZI");
    // The error is sent although no Sync follows.
    raw.send(&[parse("", "SELECT oops()", &[]), flush()].concat()).await;
    assert_eq!(raw.message().await.unwrap().0, 'E');
    assert_eq!(kinds(&mut raw, &[sync()]).await, "ZI");
}

#[tokio::test]
async fn a_thousand_batches_in_a_pipeline() {
    let server = Server::start().await;
    let mut raw = Raw::login(server.address).await;
    let batch = [
        parse("", "SELECT echo($1)", &[23]),
        bind("", "", &[1], &[Some(&7_i32.to_be_bytes())], &[1]),
        describe('P', ""),
        execute("", 0),
        sync(),
    ]
    .concat();
    raw.send(&batch.repeat(1_000)).await;
    for _ in 0..1_000 {
        assert_eq!(raw.kinds().await, "12TDCZI");
    }
}

#[tokio::test]
async fn transactions_in_the_extended_protocol() {
    let server = Server::start().await;
    let mut raw = Raw::login(server.address).await;
    let run =
        |text: &str| [parse("", text, &[]), bind("", "", &[], &[], &[]), execute("", 0), sync()];
    assert_eq!(kinds(&mut raw, &run("BEGIN READ ONLY")).await, "12CZT");
    assert_eq!(kinds(&mut raw, &run("SELECT oops()")).await, "EZE");
    assert_eq!(codes(&mut raw, &run("SELECT rows(1)")).await, ["25P02"]);
    assert_eq!(codes(&mut raw, &run("")).await, ["25P02"]);
    assert_eq!(kinds(&mut raw, &run("ROLLBACK")).await, "12CZI");
    // A Sync ends the transaction of a pipeline, an error undoes all of it.
    let messages = [
        parse("", "SET TimeZone = 'Asia/Tokyo'", &[]),
        bind("", "", &[], &[], &[]),
        execute("", 0),
        parse("", "SELECT oops()", &[]),
        sync(),
    ];
    assert_eq!(kinds(&mut raw, &messages).await, "12CEZI");
    assert_eq!(kinds(&mut raw, &run("SELECT notice()")).await, "12NDCZI");
}

/// A driver binds the parameters that it has written, and would be told that there are none.
#[tokio::test]
async fn writing_is_refused_before_its_parameters_are_bound() {
    let server = Server::start().await;
    let mut raw = Raw::login(server.address).await;
    let messages = [
        parse("", "INSERT INTO orders VALUES ($1)", &[]),
        bind("", "", &[], &[Some(b"1")], &[]),
        execute("", 0),
        sync(),
    ];
    assert_eq!(codes(&mut raw, &messages).await, ["25006"]);
}
