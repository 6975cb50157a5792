//! The ClickHouse backend over a real ClickHouse: types, streams, errors, cancelling, freshness.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use canon::backend::clickhouse::{ClickHouse, Pushed};
use canon::backend::embedded::Embedded;
use canon::backend::{Backend, BackendError, Prepared, Run};
use canon::model::{Dedupe, Source, SourceColumn, SourceKind};
use canon::plan::latest::Latest;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::DFSchema;
use datafusion::functions_aggregate::expr_fn::{count, sum};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, LogicalPlanBuilder, col, lit};
use futures::{StreamExt, TryStreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::backend::{answer, rows, run, scan, write_parquet};
use crate::clickhouse_server::ClickHouseServer;

/// A plan that is one statement, written by hand.
fn statement(sql: &str, types: &[DataType]) -> Prepared {
    let fields: Vec<Field> = types
        .iter()
        .enumerate()
        .map(|(index, data_type)| Field::new(format!("c{index}"), data_type.clone(), true))
        .collect();
    let schema = Arc::new(DFSchema::try_from(Schema::new(fields)).unwrap());
    let node = Pushed { sql: sql.to_owned(), schema, tables: vec!["t".to_owned()] };
    let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
    Prepared { plan, pushed: vec![sql.to_owned()] }
}

async fn ask(backend: &ClickHouse, sql: &str, types: &[DataType]) -> Result<u64, BackendError> {
    ask_with(backend, sql, types, &run()).await
}

async fn ask_with(
    backend: &ClickHouse,
    sql: &str,
    types: &[DataType],
    run: &Run,
) -> Result<u64, BackendError> {
    let mut stream = backend.execute(&statement(sql, types), run).await?;
    let mut rows = 0;
    while let Some(batch) = stream.next().await {
        rows += batch?.num_rows() as u64;
    }
    Ok(rows)
}

/// Waits for what another process does; fails after a time that no healthy server needs.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < Duration::from_secs(30), "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn every_type_arrives_without_losing_digits() {
    let server = ClickHouseServer::start().await;
    server
        .run(&[
            "CREATE TABLE t (
                id UInt8, b Nullable(Bool), i8 Nullable(Int8), u8 Nullable(UInt8), i16 Nullable(Int16),
                u16 Nullable(UInt16), i32 Nullable(Int32), u32 Nullable(UInt32), i64 Nullable(Int64),
                u64 Nullable(UInt64), i128 Nullable(Int128), u128 Nullable(UInt128),
                f32 Nullable(Float32), f64 Nullable(Float64), d18 Nullable(Decimal(18, 2)),
                d76 Nullable(Decimal(76, 20)), s Nullable(String), lc LowCardinality(Nullable(String)),
                fs Nullable(FixedString(4)), e Nullable(Enum8('a\\'b' = 1, 'c' = 2)), uuid Nullable(UUID),
                ip4 Nullable(IPv4), ip6 Nullable(IPv6), date Nullable(Date), date32 Nullable(Date32),
                dt Nullable(DateTime('Europe/Berlin')), dt3 Nullable(DateTime64(3)),
                dt9 Nullable(DateTime64(9, 'UTC')), a Array(Nullable(Int32)),
                al Array(LowCardinality(String)), au Array(Nullable(UUID)), m Map(String, UInt8),
                agg SimpleAggregateFunction(max, Nullable(Float64))
            ) ENGINE = MergeTree ORDER BY id",
            "INSERT INTO t SELECT 1, true, -128, 255, -32768, 65535, -2147483648, 4294967295,
                -9223372036854775808, 18446744073709551615, '-170141183460469231731687303715884105728',
                '340282366920938463463374607431768211455', 1.5, -0.1, '-1234567890123456.78',
                '12345678901234567890.12345678901234567890', 'O\\'Brien \\\\ ünï', 'lc', 'ab', 'a\\'b',
                '61f0c404-5cb3-11e7-907b-a6006ad3dba0', '1.2.3.4', '2001:db8::1', '2026-01-02', '1950-01-02',
                '2026-01-02 04:04:05', '1969-12-31 23:59:59.999', '2026-01-02 03:04:05.123456789',
                [1, NULL], ['x', ''],
                ['61f0c404-5cb3-11e7-907b-a6006ad3dba0', NULL], map('k', 1), 2.5",
            "INSERT INTO t (id) VALUES (2)",
        ])
        .await;
    let backend = server.backend();
    let columns = backend.describe("t").await.unwrap().unwrap();
    let shown = |name: &str| columns.iter().find(|c| c.name == name).unwrap().data_type.to_string();
    assert_eq!(shown("u8"), "Int16");
    assert_eq!(shown("u64"), "Decimal128(20, 0)");
    assert_eq!(shown("dt"), "Timestamp(µs, \"UTC\")");
    let facts = backend.facts().facts("t").unwrap();
    assert_eq!(facts.left_out, [("m".to_owned(), "Map(String, UInt8)".to_owned())]);
    assert_eq!(
        (facts.engine.as_str(), facts.sorting_key.as_slice()),
        ("MergeTree", &["id".to_owned()][..])
    );

    let plan = scan(&backend, "t").await.build().unwrap();
    let found = answer(&backend, plan).await.unwrap();
    assert_eq!(
        rows(&found),
        [
            "1|true|-128|255|-32768|65535|-2147483648|4294967295|-9223372036854775808\
             |18446744073709551615|-170141183460469231731687303715884105728\
             |340282366920938463463374607431768211455|1.5|-0.1|-1234567890123456.78\
             |12345678901234567890.12345678901234567890|O'Brien \\ ünï|lc|ab|a'b\
             |61f0c404-5cb3-11e7-907b-a6006ad3dba0|1.2.3.4|2001:db8::1|2026-01-02|1950-01-02\
             |2026-01-02T03:04:05Z|1969-12-31T23:59:59.999Z|2026-01-02T03:04:05.123456Z\
             |[1, ]|[x, ]|[61f0c404-5cb3-11e7-907b-a6006ad3dba0, ]|2.5",
            "2||||||||||||||||||||||||||||[]|[]|[]|",
        ]
        .map(str::to_owned)
    );
    assert_eq!(backend.describe("nope").await.unwrap(), None);
}

/// The same rows in both backends have the same types and values.
#[tokio::test]
async fn both_backends_answer_alike() {
    let server = ClickHouseServer::start().await;
    server
        .run(&[
            "CREATE TABLE t (
                id Int64, b Nullable(Bool), i16 Nullable(Int16), i32 Nullable(Int32), f32 Nullable(Float32),
                f64 Nullable(Float64), d18 Nullable(Decimal(18, 2)), d76 Nullable(Decimal(76, 20)),
                u64 Nullable(UInt64), s Nullable(String), uuid Nullable(UUID), date Nullable(Date32),
                at Nullable(DateTime64(6, 'UTC')), a Array(Nullable(Int32))
            ) ENGINE = MergeTree ORDER BY id",
            "INSERT INTO t SELECT number, number % 2 = 0, number - 5, number * 1000, number / 4, number / 3,
                number / 8, number * 7, number, concat('O\\'B\\\\', toString(number), '\\n'),
                toUUID(concat('61f0c404-5cb3-11e7-907b-a6006ad3dba', toString(number))), toDate32('1969-12-28') + number,
                toDateTime64('1969-12-31 23:59:58.5', 6, 'UTC') + number, [number, NULL] FROM numbers(10)",
            "INSERT INTO t (id) VALUES (10)",
        ])
        .await;
    let clickhouse = server.backend();
    let dir = tempfile::tempdir().unwrap();
    let plan = scan(&clickhouse, "t").await.build().unwrap();
    let found = answer(&clickhouse, plan).await.unwrap();
    write_parquet(&dir.path().join("t.parquet"), &found);
    let embedded = Embedded::open(dir.path()).unwrap();
    let types = |columns: Vec<SourceColumn>| -> Vec<(String, DataType)> {
        columns.into_iter().map(|column| (column.name, column.data_type)).collect()
    };
    assert_eq!(
        types(clickhouse.describe("t").await.unwrap().unwrap()),
        types(embedded.describe("t").await.unwrap().unwrap())
    );
    for filter in [
        lit(true),
        col("s").eq(lit("O'B\\3\n")),
        col("uuid").eq(lit("61f0c404-5cb3-11e7-907b-a6006ad3dba4")),
        col("u64").gt(lit(7_i64)),
        col("d18").lt(lit(0.5)),
        col("b").is_null(),
    ] {
        let ask = async |backend: &dyn Backend| {
            let plan = scan(backend, "t").await.filter(filter.clone()).unwrap().build().unwrap();
            let plan = canon::functions::analyze(plan).unwrap();
            rows(&answer(backend, plan).await.unwrap())
        };
        let (here, there) = (ask(&embedded).await, ask(&clickhouse).await);
        assert!(!here.is_empty(), "{filter}");
        assert_eq!(here, there, "{filter}");
    }
}

#[tokio::test]
async fn no_rows_are_an_answer() {
    let server = ClickHouseServer::start().await;
    let backend = server.backend();
    let prepared = statement("SELECT 1 AS c0 WHERE 0", &[DataType::Int64]);
    let stream = backend.execute(&prepared, &run()).await.unwrap();
    assert_eq!(stream.schema().fields().len(), 1);
    assert_eq!(
        stream.try_collect::<Vec<_>>().await.unwrap().iter().map(|b| b.num_rows()).sum::<usize>(),
        0
    );
}

#[tokio::test]
async fn what_clickhouse_cannot_do_runs_above_it() {
    let server = ClickHouseServer::start().await;
    server
        .run(&[
            "CREATE TABLE orders (id UInt64, cust String, amt Decimal(18, 2), note String) ENGINE = MergeTree ORDER BY id",
            "INSERT INTO orders VALUES (1, 'c1', 100, 'x'), (2, 'c1', 50, 'y'), (3, 'c2', 70, 'z')",
            "CREATE TABLE people (cust String, tier String) ENGINE = MergeTree ORDER BY cust",
            "INSERT INTO people VALUES ('c1', 'gold'), ('c2', 'basic')",
        ])
        .await;
    let backend = server.backend();
    let people = scan(&backend, "people").await.build().unwrap();
    let plan = scan(&backend, "orders")
        .await
        .join(
            people,
            datafusion::logical_expr::JoinType::Left,
            (vec!["orders.cust"], vec!["people.cust"]),
            None,
        )
        .unwrap()
        .aggregate(vec![col("people.tier")], vec![sum(col("amt")), count(lit(1))])
        .unwrap()
        .build()
        .unwrap();
    let prepared = backend.prepare(plan.clone()).unwrap();
    if prepared.pushed.len() > 1 {
        let sql = prepared.pushed.join(";");
        assert!(!sql.contains("note"), "columns that nobody needs don't travel: {sql}");
    }
    let found = answer(&backend, plan).await.unwrap();
    assert_eq!(rows(&found), ["basic|70.00|1", "gold|150.00|2"]);

    // A function without a twin.
    let plan = scan(&backend, "orders").await;
    let odd = datafusion::functions::expr_fn::digest(col("note"), lit("sha512"));
    let plan = plan.filter(col("id").eq(lit(1_i64))).unwrap().project(vec![odd]).unwrap();
    let found = answer(&backend, plan.build().unwrap()).await.unwrap();
    assert_eq!(found.num_rows(), 1);
}

#[tokio::test]
async fn equal_statements_are_equal_plans() {
    let server = ClickHouseServer::start().await;
    server
        .run(&[
            "CREATE TABLE a (id UInt64) ENGINE = MergeTree ORDER BY id",
            "CREATE TABLE b (id UInt64) ENGINE = MergeTree ORDER BY id",
        ])
        .await;
    let backend = server.backend();
    let plan = async |table: &str| {
        let plan = scan(&backend, table).await.build().unwrap();
        backend.prepare(plan).unwrap().plan
    };
    assert_eq!(plan("a").await, plan("a").await);
    assert_ne!(plan("a").await, plan("b").await);
    assert!(format!("{}", plan("a").await.display()).starts_with("ClickHouse: one statement over"));
}

#[tokio::test]
async fn errors_have_their_own_kinds() {
    let server = ClickHouseServer::start().await;
    let backend = server.backend();
    let kind = async |sql: &str| ask(&backend, sql, &[DataType::Int64]).await.unwrap_err();
    let error = kind("SELECT intDiv(1, number) FROM numbers(1)").await;
    assert!(matches!(error, BackendError::DivisionByZero), "{error:?}");
    let error = kind("SELECT toUInt64(18446744073709551615)").await;
    assert!(matches!(error, BackendError::OutOfRange), "{error:?}");
    let error = kind("SELECT accurateCast(number + 300, 'Int8') FROM numbers(1)").await;
    assert!(matches!(error, BackendError::OutOfRange), "{error:?}");
    let error = kind("SELECT toDecimal32(number + 1e9, 5) FROM numbers(1)").await;
    assert!(matches!(error, BackendError::OutOfRange), "{error:?}");
    let error = kind("SELECT toInt64(materialize('abc'))").await;
    assert!(matches!(&error, BackendError::InvalidText { text, .. } if text == "abc"), "{error:?}");
    let error = kind("SELECT * FROM nope").await;
    assert!(matches!(&error, BackendError::SourceChanged { table } if table == "t"), "{error:?}");
    let error = kind("SELEKT").await;
    assert!(matches!(error, BackendError::Failed { code: 62, .. }), "{error:?}");
    let error = kind("CREATE TABLE x (a UInt8) ENGINE = Memory").await;
    assert!(matches!(error, BackendError::Failed { code: 164, .. }), "{error:?}");
    let error =
        kind("SELECT groupArray(number) FROM numbers(1e8) SETTINGS max_memory_usage = 10000000")
            .await;
    assert!(matches!(error, BackendError::OutOfMemory), "{error:?}");
    let error = ask(&backend, "SELECT 1, 2", &[DataType::Int64]).await.unwrap_err();
    assert!(matches!(error, BackendError::Internal(_)), "{error:?}");
    let error = ask(&backend, "SELECT unhex('ff')", &[DataType::Utf8]).await.unwrap_err();
    assert!(matches!(error, BackendError::InvalidText { .. }), "{error:?}");

    let mut wrong = server.options();
    wrong.password = Some("no".to_owned());
    let error = ClickHouse::new(wrong).unwrap().ping().await.unwrap_err();
    assert!(matches!(error, BackendError::Unreachable { .. }), "{error:?}");
    assert!(!format!("{:?}", server.options()).contains("secret"));
}

#[tokio::test]
async fn a_profile_that_may_only_read_is_enough() {
    let server = ClickHouseServer::start().await;
    let mut options = server.options();
    options.user = options.user.map(|user| format!("{user}_reader"));
    let backend = ClickHouse::new(options).unwrap();
    assert_eq!(ask(&backend, "SELECT 1", &[DataType::Int64]).await.unwrap(), 1);
}

#[tokio::test]
async fn an_error_in_mid_stream_is_an_error() {
    let server = ClickHouseServer::start().await;
    let backend = server.backend();
    let sql =
        "SELECT number, throwIf(number = 3000000) FROM numbers(10000000) SETTINGS max_threads = 1";
    let prepared = statement(sql, &[DataType::Int64, DataType::Int64]);
    let mut stream = backend.execute(&prepared, &run()).await.unwrap();
    let mut seen = 0;
    let error = loop {
        match stream.next().await {
            Some(Ok(batch)) => seen += batch.num_rows(),
            Some(Err(error)) => break BackendError::from(error),
            None => panic!("an end after {seen} rows"),
        }
    };
    assert!(seen > 0);
    assert!(matches!(error, BackendError::Failed { code: 395, .. }), "{error:?}");
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_cancelled_statement_ends_in_the_server() {
    let server = ClickHouseServer::start().await;
    let backend = Arc::new(server.backend());
    // Silent: nothing has been answered when the cancellation comes.
    let run = run();
    let asked = tokio::spawn({
        let (backend, run) = (Arc::clone(&backend), run.clone());
        async move {
            ask_with(&backend, "SELECT count() FROM system.numbers", &[DataType::Int64], &run).await
        }
    });
    eventually("the statement runs", async || server.runs(&run.query_id).await).await;
    run.cancel.cancel();
    let error = asked.await.unwrap().unwrap_err();
    assert!(matches!(error, BackendError::Cancelled), "{error:?}");
    eventually("the statement is gone", async || !server.runs(&run.query_id).await).await;
}

#[tokio::test]
async fn a_stream_that_is_dropped_or_cancelled_ends_in_the_server() {
    let server = ClickHouseServer::start().await;
    let backend = server.backend();
    let endless = statement("SELECT number FROM system.numbers", &[DataType::Int64]);
    for cancelled in [false, true] {
        let run = run();
        let mut stream = backend.execute(&endless, &run).await.unwrap();
        assert!(stream.next().await.unwrap().is_ok());
        assert!(server.runs(&run.query_id).await);
        if cancelled {
            run.cancel.cancel();
            let error = BackendError::from(stream.try_collect::<Vec<_>>().await.unwrap_err());
            assert!(matches!(error, BackendError::Cancelled), "{error:?}");
        } else {
            drop(stream);
        }
        eventually("the statement is gone", async || !server.runs(&run.query_id).await).await;
    }
}

#[tokio::test]
async fn a_statement_above_the_border_ends_too() {
    let server = ClickHouseServer::start().await;
    server.run(&["CREATE VIEW endless AS SELECT number FROM system.numbers"]).await;
    let backend = Arc::new(server.backend());
    let odd = datafusion::functions_aggregate::expr_fn::bit_xor(
        datafusion::functions::expr_fn::character_length(datafusion::functions::expr_fn::digest(
            datafusion::logical_expr::cast(col("number"), DataType::Utf8),
            lit("sha512"),
        )),
    );
    let plan = scan(backend.as_ref(), "endless").await;
    let plan = plan.aggregate(Vec::<Expr>::new(), vec![odd]);
    let Ok(plan) = plan.and_then(|plan| plan.build()) else { panic!("the plan") };
    let prepared = backend.prepare(plan).unwrap();
    let run = run();
    let asked = tokio::spawn({
        let (backend, run) = (Arc::clone(&backend), run.clone());
        async move {
            let stream = backend.execute(&prepared, &run).await?;
            stream.try_collect::<Vec<_>>().await.map_err(BackendError::from)
        }
    });
    eventually("the statement runs", async || server.runs(&run.query_id).await).await;
    run.cancel.cancel();
    let error = asked.await.unwrap().unwrap_err();
    assert!(matches!(error, BackendError::Cancelled), "{error:?}");
    eventually("the statement is gone", async || !server.runs(&run.query_id).await).await;
}

#[tokio::test]
async fn a_late_statement_ends() {
    let server = ClickHouseServer::start().await;
    let backend = server.backend();
    let deadline = Some(Instant::now() + Duration::from_millis(200));
    let late = Run { deadline, ..run() };
    let sql = "SELECT count() FROM system.numbers";
    let error = ask_with(&backend, sql, &[DataType::Int64], &late).await.unwrap_err();
    assert!(matches!(error, BackendError::Timeout), "{error:?}");
    eventually("the statement is gone", async || !server.runs(&late.query_id).await).await;
}

#[tokio::test]
async fn a_large_result_streams_and_is_counted() {
    let server = ClickHouseServer::start().await;
    let backend = server.backend();
    let counted = run();
    let sql = "SELECT number, toString(number) FROM numbers(2000000)";
    let prepared = statement(sql, &[DataType::Int64, DataType::Utf8]);
    let mut stream = backend.execute(&prepared, &counted).await.unwrap();
    let (mut rows, mut total) = (0_usize, 0_i64);
    while let Some(batch) = stream.next().await {
        let batch = batch.unwrap();
        rows += batch.num_rows();
        let numbers = datafusion::arrow::array::AsArray::as_primitive::<
            datafusion::arrow::datatypes::Int64Type,
        >(batch.column(0));
        total += numbers.values().iter().sum::<i64>();
    }
    assert_eq!((rows, total), (2_000_000, 1_999_999_000_000));
    assert!(counted.stats.rows_read.load(Ordering::Relaxed) >= 2_000_000);
    let counted = run();
    let sql = "SELECT sum(number) FROM numbers(2000000)";
    ask_with(&backend, sql, &[DataType::Int64], &counted).await.unwrap();
    assert_eq!(counted.stats.rows_read.load(Ordering::Relaxed), 2_000_000);
    assert!(counted.stats.bytes_read.load(Ordering::Relaxed) >= 16_000_000);
    assert!(counted.stats.backend_us.load(Ordering::Relaxed) > 0);
}

/// A relay in front of the server: it refuses, breaks off or lets through.
struct Relay {
    url: String,
    mode: Arc<std::sync::atomic::AtomicU8>,
}

const THROUGH: u8 = 0;
const CLOSE_AT_ONCE: u8 = 1;
const BREAK_OFF: u8 = 2;
/// Answers once on each connection, and hangs up at the next request.
const ONE_ANSWER: u8 = 3;

impl Relay {
    async fn before(server: &ClickHouseServer) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let target = server.url.trim_start_matches("http://").to_owned();
        let mode = Arc::new(std::sync::atomic::AtomicU8::new(THROUGH));
        let modes = Arc::clone(&mode);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (target, mode) = (target.clone(), modes.load(Ordering::SeqCst));
                tokio::spawn(async move {
                    if mode == CLOSE_AT_ONCE {
                        return;
                    }
                    let mut upstream = TcpStream::connect(target).await.unwrap();
                    if mode == THROUGH {
                        let _ = copy_bidirectional(&mut client, &mut upstream).await;
                        return;
                    }
                    let (mut from_client, mut to_client) = client.split();
                    let (mut from_server, mut to_server) = upstream.split();
                    if mode == ONE_ANSWER {
                        let (mut request, mut reply) = (vec![0; 65_536], vec![0; 65_536]);
                        let mut answered = false;
                        loop {
                            tokio::select! {
                                read = from_client.read(&mut request) => match read {
                                    Ok(read) if read > 0 && !answered => {
                                        to_server.write_all(&request[..read]).await.unwrap();
                                    }
                                    _ => return,
                                },
                                read = from_server.read(&mut reply) => {
                                    let read = read.unwrap();
                                    to_client.write_all(&reply[..read]).await.unwrap();
                                    answered = read > 0;
                                }
                            }
                        }
                    }
                    let up = tokio::io::copy(&mut from_client, &mut to_server);
                    let down = async {
                        let mut bytes = vec![0; 4096];
                        let mut sent = 0;
                        while sent < 300_000 {
                            let read = from_server.read(&mut bytes).await.unwrap();
                            to_client.write_all(&bytes[..read]).await.unwrap();
                            sent += read;
                        }
                    };
                    tokio::select! { _ = up => {}, () = down => {} }
                });
            }
        });
        Relay { url, mode }
    }

    fn set(&self, mode: u8) {
        self.mode.store(mode, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_server_that_was_away_is_found_again() {
    let server = ClickHouseServer::start().await;
    let relay = Relay::before(&server).await;
    let mut options = server.options();
    options.url = relay.url.clone();
    let backend = ClickHouse::new(options).unwrap();
    let one = async || ask(&backend, "SELECT 1", &[DataType::Int64]).await;
    relay.set(CLOSE_AT_ONCE);
    let error = one().await.unwrap_err();
    assert!(matches!(error, BackendError::Unreachable { .. }), "{error:?}");
    relay.set(THROUGH);
    assert_eq!(one().await.unwrap(), 1);

    let mut options = server.options();
    options.url = "http://127.0.0.1:1".to_owned();
    let error = ClickHouse::new(options).unwrap().ping().await.unwrap_err();
    assert!(matches!(error, BackendError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_no_error() {
    let server = ClickHouseServer::start().await;
    let relay = Relay::before(&server).await;
    relay.set(ONE_ANSWER);
    let mut options = server.options();
    options.url = relay.url.clone();
    let backend = ClickHouse::new(options).unwrap();
    backend.ping().await.unwrap(); // leaves an idle connection, which hangs up when it is used again
    assert_eq!(ask(&backend, "SELECT 1", &[DataType::Int64]).await.unwrap(), 1);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_taken_for_whole() {
    let server = ClickHouseServer::start().await;
    let relay = Relay::before(&server).await;
    let mut options = server.options();
    options.url = relay.url.clone();
    let backend = ClickHouse::new(options).unwrap();
    relay.set(BREAK_OFF);
    let asked = ask(&backend, "SELECT number FROM numbers(5000000)", &[DataType::Int64]).await;
    let error = asked.unwrap_err();
    assert!(matches!(error, BackendError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn freshness_follows_inserts_and_mutations() {
    let server = ClickHouseServer::start().await;
    server
        .run(&[
            "CREATE TABLE t (id UInt64, at DateTime64(3)) ENGINE = MergeTree ORDER BY id",
            "CREATE VIEW v AS SELECT * FROM t",
            "CREATE TABLE m (id UInt64, at DateTime64(3)) ENGINE = Memory",
            "INSERT INTO t VALUES (1, '2026-03-01 10:00:00')",
        ])
        .await;
    let backend = server.backend();
    let source = async |table: &str| Source {
        table: table.to_owned(),
        kind: SourceKind::Events,
        history: None,
        dedupe: None,
        event_time: None,
        ingested: Some("at".to_owned()),
        columns: backend.describe(table).await.unwrap().unwrap(),
    };
    let table = source("t").await;
    let first = backend.freshness(&table).await.unwrap();
    assert_eq!(first.watermark_us, Some(1_772_359_200_000_000));
    assert_eq!(backend.freshness(&table).await.unwrap(), first);

    server.run(&["INSERT INTO t VALUES (1, '2026-03-01 10:00:01')"]).await;
    let second = backend.freshness(&table).await.unwrap();
    assert_ne!(second.change_token, first.change_token);
    assert_eq!(second.watermark_us, Some(1_772_359_201_000_000));

    server.run(&["OPTIMIZE TABLE t FINAL"]).await;
    assert_eq!(backend.freshness(&table).await.unwrap(), second, "a merge changes no answer");
    server
        .run(&["ALTER TABLE t DELETE WHERE at < '2026-03-01 10:00:01' SETTINGS mutations_sync = 2"])
        .await;
    assert_ne!(backend.freshness(&table).await.unwrap().change_token, second.change_token);

    let view = source("v").await;
    assert_eq!(backend.freshness(&view).await.unwrap().watermark_us, Some(1_772_359_201_000_000));
    let memory = source("m").await;
    let empty = backend.freshness(&memory).await.unwrap();
    assert_eq!(empty.watermark_us, None);
    server.run(&["INSERT INTO m VALUES (1, '2026-03-01 10:00:00')"]).await;
    assert_ne!(backend.freshness(&memory).await.unwrap().change_token, empty.change_token);
}

#[tokio::test]
async fn statements_can_be_found_in_the_servers_log() {
    let server = ClickHouseServer::start().await;
    let backend = server.backend();
    let run = Run { log_comment: "role=metabase".to_owned(), ..run() };
    ask_with(&backend, "SELECT 1", &[DataType::Int64], &run).await.unwrap();
    eventually("the statement is logged", async || {
        let sql = "SELECT count() FROM system.query_log WHERE query_id = ? AND log_comment = ?";
        let found = server.client().query(sql).bind(&run.query_id).bind(&run.log_comment);
        found.fetch_one::<u64>().await.is_ok_and(|found| found > 0)
    })
    .await;
}

/// T11 over the engine's own dedupe and without it; and a key whose rows moved between partitions.
#[tokio::test]
async fn the_latest_row_of_each_key_counts_once() {
    let server = ClickHouseServer::start().await;
    let columns = "(id Nullable(String), amt Int64, version UInt64, deleted UInt8)";
    let rows_written =
        "VALUES ('a', 100, 1, 0), ('b', 50, 1, 0), ('a', 100, 1, 0), ('b', 60, 2, 0)";
    let tombstones = "VALUES ('a', 0, 3, 1), (NULL, 7, 1, 0), (NULL, 8, 2, 0)";
    let allowed = "SETTINGS allow_nullable_key = 1";
    for (table, engine) in [
        ("plain", "MergeTree ORDER BY tuple()"),
        ("engine", "ReplacingMergeTree(version, deleted) ORDER BY id"),
        ("no_tombstones", "ReplacingMergeTree(version) ORDER BY id"),
        ("other_key", "ReplacingMergeTree(version) ORDER BY (id, amt)"),
        ("by_amount", "ReplacingMergeTree(version, deleted) PARTITION BY amt ORDER BY id"),
    ] {
        let create = format!("CREATE TABLE {table} {columns} ENGINE = {engine} {allowed}");
        // Each insert is a part of its own, so that nothing is merged before it is read.
        let (first, second) =
            rows_written.split_at(rows_written.find(", ('a', 100, 1, 0), ").unwrap());
        let first = format!("INSERT INTO {table} {first}");
        let second = format!("INSERT INTO {table} VALUES {}", &second[2..]);
        server.run(&[&create, &format!("SYSTEM STOP MERGES {table}"), &first, &second]).await;
        let backend = server.backend();
        let total = async |filter: Option<Expr>| {
            let input = scan(&backend, table).await.build().unwrap();
            let dedupe = Dedupe {
                by: vec!["id".to_owned()],
                latest: "version".to_owned(),
                deleted: Some("deleted".to_owned()),
            };
            let mut plan = LogicalPlanBuilder::from(Latest::plan(input, dedupe));
            if let Some(filter) = filter {
                plan = plan.filter(filter).unwrap();
            }
            let plan = plan
                .aggregate(Vec::<Expr>::new(), vec![sum(col("amt")), count(lit(1_i64))])
                .unwrap()
                .build()
                .unwrap();
            rows(&answer(&backend, plan).await.unwrap()).join("")
        };
        assert_eq!(total(None).await, "160|2", "{table}");
        let b_was_50 = Some(col("amt").eq(lit(50_i64)));
        assert_eq!(total(b_was_50).await, "|0", "{table}: an older row must not win");
        server.run(&[&format!("INSERT INTO {table} {tombstones}")]).await;
        assert_eq!(total(None).await, "68|2", "{table}");
    }
}
