//! What sessions are told of each other and of themselves: `pg_stat_activity`, `pg_cursors`,
//! `pg_prepared_statements`, addresses, and the types in which catalogue columns come. Each step is
//! taken on PostgreSQL too, and has to be answered alike.

use std::fmt::Write as _;
use std::net::IpAddr;

use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::fixture::Fixture;
use crate::servers::{Canon, Postgres};
use crate::tools::mirrored;

async fn connect(port: u16, role: &str, application: &str) -> Client {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(port).user(role).dbname("canon").application_name(application);
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(async move { connection.await.ok() });
    client
}

/// The rows of the last statement of a text, by the simple protocol.
async fn simple(client: &Client, sql: &str) -> String {
    let mut shown = String::new();
    for message in client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    {
        if let SimpleQueryMessage::Row(row) = message {
            let cells = (0..row.len()).map(|at| row.get(at).unwrap_or("∅"));
            let _ = writeln!(shown, "{}", cells.collect::<Vec<_>>().join("|"));
        }
    }
    shown
}

/// The rows of a statement once there are none, or what was left of them after two seconds.
async fn once_empty(client: &Client, sql: &str) -> String {
    for _ in 0..100 {
        if simple(client, sql).await.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    simple(client, sql).await
}

/// PostgreSQL tells only a moment later what an idle session waits for, so that is left out.
const ACTIVITY: &str = "SELECT usename, datname, application_name, pid IS NOT NULL, pid = pg_backend_pid(), \
     client_addr, client_port IS NOT NULL, client_hostname, backend_start <= now(), \
     xact_start IS NOT NULL, query_start IS NOT NULL, state_change IS NOT NULL, state, query, backend_type, leader_pid, \
     usesysid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = usename) \
     FROM pg_stat_activity WHERE usename IN ('analyst', 'canon', 'reader') AND datname IS NOT NULL \
     ORDER BY usename, application_name";

/// Everything that one server says, step by step.
async fn told(port: u16) -> Vec<(&'static str, String)> {
    let asker = connect(port, "analyst", "asker").await;
    let other = connect(port, "analyst", "other").await;
    let stranger = connect(port, "reader", "stranger").await;
    let owner = connect(port, "canon", "owner").await;
    let mut told = Vec::new();

    // A session that has asked nothing yet says nothing.
    told.push(("new sessions", simple(&asker, ACTIVITY).await));
    simple(&other, "SELECT 'something'").await;
    simple(&stranger, "BEGIN; SELECT 'a secret'").await;
    told.push(("to its own role", simple(&asker, ACTIVITY).await));
    told.push(("to the owner", simple(&owner, ACTIVITY).await));
    simple(&other, "SET application_name = 'renamed'").await;
    assert!(stranger.simple_query("SELECT no_such_column").await.is_err());
    // PostgreSQL says that a statement has failed before it says that the session is idle.
    let busy =
        "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()";
    told.push(("who is busy", once_empty(&owner, busy).await));
    told.push(("after a failure, and a new name", simple(&owner, ACTIVITY).await));
    drop(other);
    // Long texts are cut.
    let long = format!("SELECT '{}'", "ü".repeat(1_000));
    simple(&stranger, "ROLLBACK").await;
    simple(&stranger, &long).await;
    let lengths = "SELECT octet_length(query), length(query) FROM pg_stat_activity \
                   WHERE application_name = 'stranger'";
    told.push(("a long text", simple(&owner, lengths).await));
    let gone = "SELECT pid FROM pg_stat_activity WHERE application_name = 'renamed'";
    told.push(("who has left", once_empty(&owner, gone).await));

    let count = "SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) \
                 WHERE NOT ssl AND usename IN ('analyst', 'canon', 'reader')";
    told.push(("encryption", simple(&owner, count).await));
    told.push(("encryption of others", simple(&asker, count).await));
    let gssapi = "SELECT gss_authenticated, principal, encrypted FROM pg_stat_gssapi \
                  WHERE pid = pg_backend_pid()";
    told.push(("gssapi", simple(&asker, gssapi).await));
    let addresses = "SELECT inet_client_addr(), inet_server_addr(), host(inet_client_addr()), \
         inet_client_addr()::text, inet_client_port() IS NOT NULL, \
         inet_client_port() = (SELECT client_port FROM pg_stat_activity WHERE pid = pg_backend_pid()), \
         inet_server_port() IS NOT NULL, pg_postmaster_start_time() < now(), \
         pg_postmaster_start_time() > now() - interval '1 day'";
    told.push(("addresses", simple(&asker, addresses).await));

    let cursors = "SELECT name, statement, is_holdable, is_binary, is_scrollable, \
                   creation_time <= now() + interval '1 hour' FROM pg_cursors ORDER BY name";
    told.push(("no cursors", simple(&asker, cursors).await));
    simple(&asker, "BEGIN").await;
    simple(&asker, "DECLARE one NO SCROLL CURSOR FOR SELECT 1").await;
    simple(&asker, "DECLARE two BINARY SCROLL CURSOR WITH HOLD FOR SELECT 2").await;
    told.push(("cursors", simple(&asker, cursors).await));
    simple(&asker, "COMMIT").await;
    told.push(("cursors after the transaction", simple(&asker, cursors).await));
    let portals = "SELECT name, statement LIKE '%FROM pg_cursors%' FROM pg_cursors ORDER BY name";
    let rows = asker.query(portals, &[]).await.unwrap();
    let rows =
        rows.iter().map(|row| format!("{}|{}\n", row.get::<_, &str>(0), row.get::<_, bool>(1)));
    told.push(("the portal that asks", rows.collect()));
    simple(&asker, "CLOSE two").await;

    let statements = "SELECT name, statement, parameter_types::text, from_sql, \
         prepare_time <= now() + interval '1 hour' FROM pg_prepared_statements \
         WHERE statement NOT LIKE '%pg_%' ORDER BY statement";
    let mine = asker.prepare("SELECT $1::int8, $2::text, $3::timestamptz").await.unwrap();
    simple(&asker, "PREPARE by_hand (date) AS SELECT $1, 'PREPAREd'").await;
    let prepared = simple(&asker, statements).await;
    let named = prepared.lines().map(|line| line.split_once('|').unwrap_or_default().1);
    told.push(("prepared statements", named.collect::<Vec<_>>().join("\n")));
    drop(mine);
    simple(&asker, "DEALLOCATE ALL").await;
    told.push(("none is left", simple(&asker, statements).await));
    told
}

#[tokio::test]
async fn sessions_see_of_each_other_what_postgres_shows() {
    let (canon, postgres) =
        (Canon::embedded(&Fixture::load("shop")).await, Postgres::start().await);
    mirrored(&canon, &postgres).await;
    let admin = postgres.connect_to("canon").await;
    admin.batch_execute("CREATE ROLE reader LOGIN").await.unwrap();
    drop(admin);
    let (ours, theirs) = (told(canon.port).await, told(postgres.port).await);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), theirs.len());
}

/// What a session answers to signals of others, step by step.
async fn signalled(port: u16) -> Vec<String> {
    let asker = connect(port, "analyst", "asker").await;
    let other = connect(port, "analyst", "other").await;
    let stranger = connect(port, "reader", "stranger").await;
    let owner = connect(port, "canon", "owner").await;
    let pid_of = "SELECT pid FROM pg_stat_activity WHERE application_name = 'other'";
    let (pid, owners) = (simple(&asker, pid_of).await, "SELECT pg_backend_pid()");
    let (pid, owners) = (pid.trim().to_owned(), simple(&owner, owners).await.trim().to_owned());
    let refused = |error: tokio_postgres::Error| match error.as_db_error() {
        Some(error) => format!("{}: {}", error.code().code(), error.message()),
        None => error.to_string(),
    };
    let mut told = Vec::new();
    for function in ["pg_cancel_backend", "pg_terminate_backend"] {
        let nobody = simple(&asker, &format!("SELECT {function}(2147483647)")).await;
        told.push(format!("{function} of nobody: {nobody}"));
        for (of, pid) in [("another's", &pid), ("the owner's", &owners)] {
            let sql = format!("SELECT {function}({pid})");
            let error = refused(stranger.simple_query(&sql).await.unwrap_err());
            told.push(format!("{function} of {of}: {error}"));
        }
    }
    // What a session rests with nobody can stop.
    told.push(simple(&asker, &format!("SELECT pg_cancel_backend({pid})")).await);
    told.push(simple(&other, "SELECT 1").await);

    let busy = format!("SELECT 1 FROM pg_stat_activity WHERE pid = {pid} AND state <> 'active'");
    let cancels = async {
        once_empty(&asker, &busy).await;
        simple(&owner, &format!("SELECT pg_cancel_backend({pid})")).await
    };
    let (slept, cancelled) = tokio::join!(other.simple_query("SELECT pg_sleep(60)"), cancels);
    told.push(format!("{cancelled}{}", refused(slept.unwrap_err())));
    told.push(simple(&other, "SELECT 2").await);

    let terminates = async {
        once_empty(&asker, &busy).await;
        simple(&asker, &format!("SELECT pg_terminate_backend({pid})")).await
    };
    let (slept, terminated) = tokio::join!(other.simple_query("SELECT pg_sleep(60)"), terminates);
    told.push(format!("{terminated}{}", refused(slept.unwrap_err())));
    told.push(once_empty(&asker, pid_of).await);

    let idle = connect(port, "analyst", "other").await;
    let pid = simple(&asker, pid_of).await;
    told.push(simple(&asker, &format!("SELECT pg_terminate_backend({})", pid.trim())).await);
    told.push(once_empty(&asker, pid_of).await);
    told.push(idle.simple_query("SELECT 1").await.is_err().to_string());
    told
}

#[tokio::test]
async fn sessions_stop_and_end_each_other_as_in_postgres() {
    let (canon, postgres) =
        (Canon::embedded(&Fixture::load("shop")).await, Postgres::start().await);
    mirrored(&canon, &postgres).await;
    let admin = postgres.connect_to("canon").await;
    admin.batch_execute("CREATE ROLE reader LOGIN").await.unwrap();
    drop(admin);
    assert_eq!(signalled(canon.port).await, signalled(postgres.port).await);
}

/// What RowDescription says of columns, and that values come in the binary format of their types.
#[tokio::test]
async fn catalogue_columns_have_the_types_of_postgres_on_the_wire() {
    let (canon, postgres) =
        (Canon::embedded(&Fixture::load("shop")).await, Postgres::start().await);
    mirrored(&canon, &postgres).await;
    let (ours, theirs) = (
        connect(canon.port, "analyst", "types").await,
        connect(postgres.port, "analyst", "types").await,
    );
    let statements = [
        "SELECT xmin, tableoid, relacl, relpartbound, relfrozenxid FROM pg_class",
        "SELECT adbin FROM pg_attrdef",
        "SELECT attacl, attmissingval FROM pg_attribute",
        "SELECT client_addr, backend_xid FROM pg_stat_activity",
        "SELECT inet_client_addr(), inet_client_port(), inet_client_addr()::text",
        "SELECT indkey, indclass, indexprs, indoption FROM pg_index",
        "SELECT 'pg_class'::regclass, 'int4'::regtype, 'now'::regproc, 'public'::regnamespace, \
         'analyst'::regrole",
        "SELECT parameter_types FROM pg_prepared_statements",
        "SELECT min_val, enumvals, boot_val, pending_restart FROM pg_settings",
        "SELECT sent_lsn FROM pg_stat_replication",
        "SELECT most_common_vals, histogram_bounds FROM pg_stats",
        "SELECT aggfnoid, aggtransfn, aggtranstype FROM pg_aggregate",
        "SELECT oprcode, oprname, oprleft FROM pg_operator",
        "SELECT utc_offset, is_dst FROM pg_timezone_names",
    ];
    for sql in statements {
        let mut found = Vec::new();
        for client in [&ours, &theirs] {
            let statement =
                client.prepare(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
            let columns = statement.columns().iter();
            found.push(
                columns.map(|it| (it.name().to_owned(), it.type_().oid())).collect::<Vec<_>>(),
            );
        }
        assert_eq!(found[0], found[1], "{sql}");
    }
    for client in [&ours, &theirs] {
        let sql = "SELECT 'pg_class'::regclass, inet_client_addr(), 'pg_catalog'::regnamespace";
        let row = client.query_one(sql, &[]).await.unwrap();
        assert_eq!(row.get::<_, Oid>(0).0, 1259);
        assert_eq!(row.get::<_, IpAddr>(1).to_string(), "127.0.0.1");
        assert_eq!(row.get::<_, Oid>(2).0, 11);
    }
}

/// The four bytes of any type that is an OID.
struct Oid(u32);

impl<'a> tokio_postgres::types::FromSql<'a> for Oid {
    fn from_sql(
        _: &tokio_postgres::types::Type,
        raw: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(u32::from_be_bytes(raw.try_into()?)))
    }

    fn accepts(_: &tokio_postgres::types::Type) -> bool {
        true
    }
}

/// Operators and aggregates as PostgreSQL has them, as far as canon lists them.
#[tokio::test]
async fn operators_and_aggregates_are_those_of_postgres() {
    let (canon, postgres) =
        (Canon::embedded(&Fixture::load("shop")).await, Postgres::start().await);
    let (ours, theirs) =
        (connect(canon.port, "analyst", "types").await, postgres.connect_to("postgres").await);
    let statements = [
        "SELECT o.oid, oprname, oprkind, oprleft::regtype, oprright::regtype, oprresult::regtype, \
         oprcode, oprrest, oprjoin, oprcanhash, p.proname FROM pg_operator o \
         JOIN pg_proc p ON p.oid = oprcode ORDER BY o.oid",
        "SELECT p.oid, p.proname, p.proargtypes, aggkind, aggtransfn, aggfinalfn, aggcombinefn, \
         aggtranstype::regtype, agginitval FROM pg_aggregate JOIN pg_proc p ON p.oid = aggfnoid \
         ORDER BY p.oid",
    ];
    for sql in statements {
        let (ours, theirs) = (simple(&ours, sql).await, simple(&theirs, sql).await);
        let theirs: std::collections::BTreeSet<&str> = theirs.lines().collect();
        let others: Vec<&str> = ours.lines().filter(|line| !theirs.contains(line)).collect();
        assert!(others.is_empty(), "not in PostgreSQL: {others:#?}");
        assert!(ours.lines().count() > 100, "{sql}");
    }
}
