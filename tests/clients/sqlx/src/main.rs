//! sqlx: prepared and binary, with a cache of statements; transactions, streams, pools, and what
//! its macros ask of a statement.
//!
//!     use_sqlx HOST PORT

use std::fmt::Debug;
use std::process::exit;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use futures_util::TryStreamExt;
use rust_decimal::Decimal;
use sqlx::postgres::types::PgInterval;
use sqlx::postgres::{
    PgConnectOptions, PgConnection, PgDatabaseError, PgErrorPosition, PgListener, PgPool,
    PgPoolOptions, PgRow,
};
use sqlx::{
    AssertSqlSafe, Column, ConnectOptions, Connection, Either, Error, Executor, Row, SqlSafeStr,
    Statement, TypeInfo,
};
use uuid::Uuid;

type Done = Result<(), Error>;

const QUESTION: &str = "SELECT channel, SUM(revenue) FROM orders GROUP BY channel ORDER BY channel";
const TOTAL: &str = "SELECT SUM(revenue) FROM orders WHERE channel = $1";
const BY_CHANNEL: [(&str, &str); 3] = [("app", "78.00"), ("shop", "90.00"), ("web", "337.00")];

fn check<T: PartialEq + Debug>(what: &str, expected: T, got: T) {
    if expected != got {
        eprintln!("FAILED {what}: expected {expected:?}, got {got:?}");
        exit(1);
    }
    println!("ok {what}");
}

fn decimal(text: &str) -> Decimal {
    text.parse().expect("a number")
}

fn wall(text: &str) -> NaiveDateTime {
    text.parse().expect("a date and time")
}

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}

fn by_channel() -> Vec<(String, Decimal)> {
    BY_CHANNEL.iter().map(|(channel, amount)| ((*channel).to_owned(), decimal(amount))).collect()
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(host), Some(port)) = (arguments.next(), arguments.next()) else {
        eprintln!("use_sqlx HOST PORT");
        exit(2);
    };
    if let Err(error) = run(&format!("{host}:{port}")).await {
        eprintln!("FAILED: {error:?}");
        exit(1);
    }
}

async fn run(place: &str) -> Done {
    let url = format!("postgres://analyst@{place}/canon");
    urls(place, &url).await?;
    let mut conn = PgConnection::connect(&url).await?;
    questions(&mut conn).await?;
    columns(&mut conn).await?;
    nulls(&mut conn).await?;
    parameters(&mut conn).await?;
    arrays(&mut conn).await?;
    transactions(&mut conn).await?;
    streams(&mut conn).await?;
    described(&mut conn).await?;
    errors(&mut conn).await?;
    conn.ping().await?;
    conn.close().await?;
    evictions(&url).await?;
    listener(&url).await?;
    pool(&url).await
}

/// Without a password and with one, and settings that the URL gives.
async fn urls(place: &str, url: &str) -> Done {
    for url in [
        url.to_owned(),
        format!("postgresql://analyst:secret%20word@{place}/canon"),
        format!(
            "{url}?sslmode=prefer&application_name=till&options=-c%20TimeZone%3DEurope%2FBerlin"
        ),
        format!("{url}?sslmode=disable&statement-cache-capacity=0"),
    ] {
        let mut conn = PgConnection::connect(&url).await?;
        let one: i32 = sqlx::query_scalar("SELECT 1").fetch_one(&mut conn).await?;
        check(&url.replace(place, "…"), 1, one);
        conn.close().await?;
    }
    let options: PgConnectOptions = format!("{url}?application_name=till").parse()?;
    let options = options.options([("TimeZone", "Asia/Tokyo"), ("search_path", "metrics")]);
    let mut conn = options.connect().await?;
    // sqlx starts each session in UTC, which wins over its options.
    for (setting, expected) in
        [("application_name", "till"), ("TimeZone", "UTC"), ("search_path", "metrics")]
    {
        let sql = "SELECT current_setting($1)";
        let value: String = sqlx::query_scalar(sql).bind(setting).fetch_one(&mut conn).await?;
        check(setting, expected, value.as_str());
    }
    conn.close().await
}

async fn questions(conn: &mut PgConnection) -> Done {
    let rows: Vec<(String, Decimal)> = sqlx::query_as(QUESTION).fetch_all(&mut *conn).await?;
    check("groups", by_channel(), rows);
    let rows: Vec<(String, Decimal)> =
        sqlx::query_as(QUESTION).persistent(false).fetch_all(&mut *conn).await?;
    check("an unnamed statement", by_channel(), rows);
    for turn in 0..8 {
        for (channel, amount) in BY_CHANNEL {
            let total: Decimal =
                sqlx::query_scalar(TOTAL).bind(channel).fetch_one(&mut *conn).await?;
            check(&format!("prepared, turn {turn}"), decimal(amount), total);
        }
    }
    let nothing: Option<Decimal> =
        sqlx::query_scalar(TOTAL).bind("o'web\\").fetch_one(&mut *conn).await?;
    check("a parameter that finds nothing", None, nothing);
    let none = sqlx::query("SELECT order_id FROM orders WHERE order_id = 77")
        .fetch_optional(&mut *conn)
        .await?;
    check("no row", true, none.is_none());

    // Simple queries: several statements of one text, each row as text.
    let mut counts = Vec::new();
    let text = format!("SET TIME ZONE 'UTC'; {QUESTION}; SELECT 7 AS seven");
    let mut many = sqlx::raw_sql(AssertSqlSafe(text)).fetch_many(&mut *conn);
    let mut rows = 0;
    let mut last: Option<PgRow> = None;
    while let Some(step) = many.try_next().await? {
        match step {
            Either::Left(done) => counts.push(done.rows_affected()),
            Either::Right(row) => {
                rows += 1;
                last = Some(row);
            }
        }
    }
    drop(many);
    check("the tags of a simple query", vec![0, 3, 1], counts);
    check("its rows", 4, rows);
    let last = last.expect("a row");
    check("its last column", "seven", last.columns()[0].name());
    check("its last value", 7, last.try_get::<i32, _>(0)?);
    let done = conn.execute("SELECT order_id FROM orders").await?;
    check("rows of a plain text", 11, done.rows_affected());

    let statement = (&mut *conn).prepare(TOTAL.into_sql_str()).await?;
    check("the result's type", "NUMERIC", statement.columns()[0].type_info().name());
    let Some(Either::Left(kinds)) = statement.parameters() else { panic!("no parameters") };
    check("the parameter's type", vec!["TEXT"], kinds.iter().map(TypeInfo::name).collect());
    let total: Decimal = statement.query_scalar().bind("web").fetch_one(&mut *conn).await?;
    check("a statement held", decimal("337.00"), total);
    Ok(())
}

/// Every type of a relation's columns, checked against what the code asks for.
async fn columns(conn: &mut PgConnection) -> Done {
    let sql = "SELECT o.order_id, o.items, o.gross_amount, o.rating, o.channel, o.rating > 3 AS liked, \
               c.signed_up_on, o.metric_time, o.completed_at, o.completed_at - o.ordered_at AS took \
               FROM orders o JOIN customers c ON c.customer_id = o.customer_id WHERE o.order_id = 9";
    let row = sqlx::query(sql).fetch_one(&mut *conn).await?;
    let names: Vec<&str> = row.columns().iter().map(|column| column.type_info().name()).collect();
    let expected = [
        "INT8",
        "INT4",
        "NUMERIC",
        "FLOAT8",
        "TEXT",
        "BOOL",
        "DATE",
        "TIMESTAMP",
        "TIMESTAMPTZ",
        "INTERVAL",
    ];
    check("the columns' types", expected.to_vec(), names);
    check("int8", 9_i64, row.try_get("order_id")?);
    check("int4", 4_i32, row.try_get("items")?);
    check("numeric", decimal("61.00"), row.try_get("gross_amount")?);
    check("float8", 4.0_f64, row.try_get("rating")?);
    check("text", "app", row.try_get::<&str, _>("channel")?);
    check("bool", true, row.try_get("liked")?);
    check("date", wall("2024-02-29T00:00:00").date(), row.try_get("signed_up_on")?);
    check("timestamp", wall("2026-03-29T01:30:00"), row.try_get("metric_time")?);
    check("timestamptz", instant("2026-03-29T01:00:00Z"), row.try_get("completed_at")?);
    let took = PgInterval { months: 0, days: 0, microseconds: 30 * 60 * 1_000_000 };
    check("interval", took, row.try_get("took")?);
    let misread = row.try_get::<i32, _>("order_id").expect_err("int8 isn't i32");
    check("a wrong type is told", true, matches!(misread, Error::ColumnDecode { .. }));

    let sql = "SELECT -12.3400::numeric(18,4), 1e20::numeric, 0.000001::numeric, 1::int2, \
               'x'::varchar(3), 0.1::float8, DATE '1960-02-29', \
               TIMESTAMP '1969-12-31 23:59:59.999999', now() > TIMESTAMPTZ '2020-01-01 00:00:00+02'";
    let row = sqlx::query(sql).fetch_one(&mut *conn).await?;
    check("a negative numeric", decimal("-12.3400"), row.try_get(0)?);
    check("a large numeric", decimal("100000000000000000000"), row.try_get(1)?);
    check("a small numeric", decimal("0.000001"), row.try_get(2)?);
    check("int2", 1_i16, row.try_get(3)?);
    check("varchar", "x", row.try_get::<&str, _>(4)?);
    check("a fraction", 0.1_f64, row.try_get(5)?);
    check("a day before 1970", NaiveDate::from_ymd_opt(1960, 2, 29), row.try_get(6)?);
    check("a moment before 1970", wall("1969-12-31T23:59:59.999999"), row.try_get(7)?);
    check("a comparison of instants", true, row.try_get(8)?);
    Ok(())
}

async fn nulls(conn: &mut PgConnection) -> Done {
    let sql = "SELECT order_id, discount_amount, rating, completed_at, customer_country FROM orders \
               WHERE order_id IN (4, 6) ORDER BY order_id";
    type Nullable = (i64, Option<Decimal>, Option<f64>, Option<DateTime<Utc>>, Option<String>);
    let rows: Vec<Nullable> = sqlx::query_as(sql).fetch_all(&mut *conn).await?;
    let expected: Vec<Nullable> = vec![
        (4, Some(decimal("0.00")), None, None, Some("FR".to_owned())),
        (6, None, None, Some(instant("2026-03-04T10:00:00Z")), None),
    ];
    check("rows with NULLs", expected, rows);
    let missing = sqlx::query_as::<_, (i64, Decimal)>(
        "SELECT order_id, discount_amount FROM orders WHERE order_id = 6",
    );
    let missing = missing.fetch_one(&mut *conn).await.expect_err("NULL isn't a number");
    check("a NULL that wasn't expected", true, matches!(missing, Error::ColumnDecode { .. }));
    let nothing: Vec<Option<i64>> =
        sqlx::query_scalar("SELECT order_id FROM orders WHERE channel = $1")
            .bind(None::<String>)
            .fetch_all(&mut *conn)
            .await?;
    check("NULL as a parameter", Vec::<Option<i64>>::new(), nothing);
    Ok(())
}

/// A parameter of each type, as a condition on a column and by itself.
async fn parameters(conn: &mut PgConnection) -> Done {
    macro_rules! counts {
        ($what:literal, $expected:literal, $sql:literal, $($value:expr),+) => {
            let sql = concat!("SELECT COUNT(*) FROM ", $sql);
            let count: i64 = sqlx::query_scalar(sql)$(.bind($value))+.fetch_one(&mut *conn).await?;
            check(concat!("where ", $what), $expected, count);
        };
    }
    counts!("int8", 3, "orders WHERE order_id <= $1", 3_i64);
    counts!("int4", 5, "orders WHERE items = $1", 1_i32);
    counts!("numeric", 4, "orders WHERE gross_amount > $1", decimal("100.50"));
    counts!("float8", 3, "orders WHERE rating >= $1", 4.0_f64);
    counts!("text", 6, "orders WHERE channel = $1", "web");
    counts!("bool", 6, "orders WHERE (channel = 'web') = $1", true);
    counts!("date", 2, "customers WHERE signed_up_on >= $1", wall("2025-12-31T00:00:00").date());
    counts!("timestamp", 6, "orders WHERE metric_time >= $1", wall("2026-03-03T00:00:00"));
    counts!("timestamptz", 5, "orders WHERE completed_at >= $1", instant("2026-03-04T00:00:00Z"));
    counts!("two", 4, "orders WHERE channel = $1 AND items < $2", "web", 5_i32);
    counts!("a list", 5, "orders WHERE channel = ANY($1)", vec!["shop", "app"]);
    counts!("numbers in a list", 3, "orders WHERE order_id = ANY($1)", vec![1_i64, 2, 3, 99]);
    counts!("none in a list", 6, "orders WHERE channel <> ALL($1)", &["shop", "app"][..]);
    counts!("a pattern", 2, "orders WHERE channel LIKE $1", "s%");
    counts!(
        "an interval",
        3,
        "orders WHERE completed_at - ordered_at < $1",
        PgInterval { months: 0, days: 0, microseconds: 20 * 3_600_000_000 }
    );
    counts!("a limit", 2, "(SELECT order_id FROM orders ORDER BY order_id LIMIT $1) AS o", 2_i64);

    macro_rules! echoes {
        ($kind:literal, $value:expr) => {
            let value = $value;
            let sql = concat!("SELECT $1::", $kind);
            let back = sqlx::query_scalar(sql).bind(value.clone()).fetch_one(&mut *conn).await?;
            check(concat!($kind, " there and back"), value.clone(), back);
            let mut none = Some(value);
            none.take();
            let back = sqlx::query_scalar(sql).bind(none.clone()).fetch_one(&mut *conn).await?;
            check(concat!("NULL of ", $kind), none, back);
        };
    }
    echoes!("int2", -3_i16);
    echoes!("int4", i32::MIN);
    echoes!("int8", i64::MAX);
    echoes!("numeric", decimal("-1234567.8901"));
    echoes!("float4", 2.5_f32);
    echoes!("float8", 1e-300_f64);
    echoes!("text", "O'Brien\\ ünï\n".to_owned());
    echoes!("bool", false);
    echoes!("date", wall("0044-03-15T00:00:00").date());
    echoes!("timestamp", wall("2026-10-25T02:30:00.000001"));
    echoes!("timestamptz", instant("1905-12-31T23:59:59.5Z"));
    echoes!("interval", PgInterval { months: 14, days: -3, microseconds: 5_000_001 });
    echoes!("uuid", Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef));
    echoes!("bytea", vec![0_u8, 255, 92, 39]);
    echoes!("text[]", vec!["a,b".to_owned(), String::new(), "{\"}".to_owned()]);
    echoes!("int4[]", vec![1_i32, -2]);
    echoes!("int8[]", vec![i64::MIN, 0]);
    echoes!("float8[]", vec![0.5_f64]);
    echoes!("bool[]", vec![true, false]);
    echoes!("numeric[]", vec![decimal("1.50"), decimal("-2")]);
    echoes!("date[]", vec![wall("2026-05-17T00:00:00").date()]);
    echoes!("timestamp[]", vec![wall("2026-05-17T12:00:00")]);
    echoes!("timestamptz[]", vec![instant("2026-05-17T12:00:00Z")]);
    Ok(())
}

async fn arrays(conn: &mut PgConnection) -> Done {
    let sql = "SELECT customer_country, array_agg(order_id ORDER BY order_id), \
               array_agg(discount_amount ORDER BY order_id), array_agg(channel ORDER BY order_id) \
               FROM orders WHERE order_id IN (1, 2, 6) GROUP BY customer_country ORDER BY 1";
    type Arrays = (Option<String>, Vec<i64>, Vec<Option<Decimal>>, Vec<String>);
    let rows: Vec<Arrays> = sqlx::query_as(sql).fetch_all(&mut *conn).await?;
    let first = (
        Some("DE".to_owned()),
        vec![1, 2],
        vec![Some(decimal("0.00")), Some(decimal("3.00"))],
        vec!["web".to_owned(), "shop".to_owned()],
    );
    check("arrays", vec![first, (None, vec![6], vec![None], vec!["web".to_owned()])], rows);
    let (empty, one): (Vec<i32>, i32) =
        sqlx::query_as("SELECT ARRAY[]::int4[], (ARRAY[7, 8])[1]").fetch_one(&mut *conn).await?;
    check("an empty array", Vec::<i32>::new(), empty);
    check("an element", 7, one);
    Ok(())
}

async fn transactions(conn: &mut PgConnection) -> Done {
    let zone = "SELECT current_setting('TimeZone')";
    let mut transaction = conn.begin().await?;
    transaction.execute("SET LOCAL TimeZone = 'Asia/Tokyo'").await?;
    let mut savepoint = transaction.begin().await?;
    savepoint.execute("SET LOCAL TimeZone = 'America/New_York'").await?;
    let inside: String = sqlx::query_scalar(zone).fetch_one(&mut *savepoint).await?;
    check("inside a savepoint", "America/New_York", inside.as_str());
    let error = sqlx::query("SELECT 1 / (order_id - order_id) FROM orders")
        .fetch_all(&mut *savepoint)
        .await
        .expect_err("a division by zero");
    check("division by zero", Some("22012"), code(&error).as_deref());
    let error = sqlx::query(zone).fetch_one(&mut *savepoint).await.expect_err("it failed");
    check("a failed transaction", Some("25P02"), code(&error).as_deref());
    savepoint.rollback().await?;
    let outside: String = sqlx::query_scalar(zone).fetch_one(&mut *transaction).await?;
    check("back at the savepoint", "Asia/Tokyo", outside.as_str());
    let savepoint = transaction.begin().await?;
    savepoint.commit().await?;
    transaction.commit().await?;
    let after: String = sqlx::query_scalar(zone).fetch_one(&mut *conn).await?;
    check("after COMMIT", "UTC", after.as_str());

    // Dropped without an end: rolled back before the next statement.
    let mut transaction = conn.begin().await?;
    transaction.execute("SET TimeZone = 'Asia/Tokyo'").await?;
    drop(transaction);
    let after: String = sqlx::query_scalar(zone).fetch_one(&mut *conn).await?;
    check("after a drop", "UTC", after.as_str());
    let mut transaction =
        conn.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let rows: Vec<(String, Decimal)> =
        sqlx::query_as(QUESTION).fetch_all(&mut *transaction).await?;
    check("in a transaction of its own words", by_channel(), rows);
    transaction.rollback().await?;
    Ok(())
}

async fn streams(conn: &mut PgConnection) -> Done {
    let sql = "SELECT order_id FROM orders ORDER BY order_id";
    let mut rows = sqlx::query_scalar::<_, i64>(sql).fetch(&mut *conn);
    let mut seen = Vec::new();
    while let Some(order) = rows.try_next().await? {
        seen.push(order);
    }
    drop(rows);
    check("a stream", (1..=11).collect::<Vec<i64>>(), seen);
    // Left after two rows: the rest is read off before the next statement.
    let long = "SELECT a.order_id FROM orders a, orders b, orders c, orders d ORDER BY 1";
    let mut rows = sqlx::query_scalar::<_, i64>(long).fetch(&mut *conn);
    check("the first of many", Some(1), rows.try_next().await?);
    check("the second", Some(1), rows.try_next().await?);
    drop(rows);
    let count: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM orders").fetch_one(&mut *conn).await?;
    check("after a stream that was left", 11, count);
    Ok(())
}

/// What `query!` asks: names, types, and which columns may be NULL.
async fn described(conn: &mut PgConnection) -> Done {
    let sql = "SELECT c.customer_id, c.country, c.signed_up_on, o.order_id, o.rating, o.items + 1 AS more \
               FROM customers c LEFT JOIN orders o ON o.customer_id = c.customer_id \
               WHERE c.country = $1 AND o.gross_amount > $2 AND o.completed_at < $3 AND c.signed_up_on <> $4";
    let told = (&mut *conn).describe(sql.into_sql_str()).await?;
    let names: Vec<&str> = told.columns().iter().map(Column::name).collect();
    let expected = ["customer_id", "country", "signed_up_on", "order_id", "rating", "more"];
    check("described columns", expected.to_vec(), names);
    let kinds: Vec<&str> = told.columns().iter().map(|it| it.type_info().name()).collect();
    check("described types", vec!["TEXT", "TEXT", "DATE", "INT8", "FLOAT8", "INT4"], kinds);
    let Some(Either::Left(kinds)) = told.parameters() else { panic!("no parameters") };
    let kinds = kinds.iter().map(TypeInfo::name).collect();
    check("described parameters", vec!["TEXT", "NUMERIC", "TIMESTAMPTZ", "DATE"], kinds);
    check("a key is never NULL", Some(false), told.nullable(0));
    check("a country may be NULL", true, told.nullable(1) != Some(false));
    check("a rating may be NULL", true, told.nullable(4) != Some(false));

    let told = (&mut *conn).describe(QUESTION.into_sql_str()).await?;
    let kinds: Vec<&str> = told.columns().iter().map(|it| it.type_info().name()).collect();
    check("a question described", vec!["TEXT", "NUMERIC"], kinds);
    check("a sum may be NULL", true, told.nullable(1) != Some(false));
    let catalog = "SELECT nspname, oid FROM pg_catalog.pg_namespace WHERE oid = $1";
    let told = (&mut *conn).describe(catalog.into_sql_str()).await?;
    check("the catalogue described", "NAME", told.column(0).type_info().name());
    // PostgreSQL says that it has no plan, canon that it explains none.
    match (&mut *conn).describe("SHOW TimeZone".into_sql_str()).await {
        Ok(told) => check("SHOW described", "TimeZone", told.column(0).name()),
        Err(error) => check("SHOW not described", Some("0A000"), code(&error).as_deref()),
    }
    let one: i32 = sqlx::query_scalar("SELECT 1").fetch_one(&mut *conn).await?;
    check("after descriptions", 1, one);
    Ok(())
}

fn code(error: &Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

async fn errors(conn: &mut PgConnection) -> Done {
    for (sql, expected, place) in [
        ("SELECT order_id, no_such FROM orders", "42703", Some(18)),
        ("SELECT * FROM no_such", "42P01", Some(15)),
        ("SELECT order_id FROMM orders", "42601", Some(23)),
        ("SELECT no_such(1)", "42883", Some(8)),
        ("SELECT 1 / 0", "22012", None),
    ] {
        let error = sqlx::query(sql).fetch_all(&mut *conn).await.expect_err(sql);
        let told = error.as_database_error().expect("an error of the server");
        let told = told.downcast_ref::<PgDatabaseError>();
        let found = match told.position() {
            Some(PgErrorPosition::Original(position)) => Some(position),
            _ => None,
        };
        check(sql, (expected, place), (told.code(), found));
    }
    let rows: Vec<(String, Decimal)> = sqlx::query_as(QUESTION).fetch_all(&mut *conn).await?;
    check("after errors", by_channel(), rows);
    Ok(())
}

/// More statements than the cache holds: the oldest are closed by the connection.
async fn evictions(url: &str) -> Done {
    let options: PgConnectOptions = url.parse()?;
    let mut conn = options.statement_cache_capacity(2).connect().await?;
    for turn in 0..3 {
        for number in 1..=5_i64 {
            let sql = format!("SELECT order_id + $1 FROM orders WHERE order_id = {number}");
            let got: i64 =
                sqlx::query_scalar(AssertSqlSafe(sql)).bind(turn).fetch_one(&mut conn).await?;
            check("with a cache of two", number + turn, got);
        }
        check("statements held by us", true, conn.cached_statements_size() <= 2);
        let held: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM pg_prepared_statements")
            .persistent(false)
            .fetch_one(&mut conn)
            .await?;
        check("statements held by the server", 2, held);
    }
    conn.clear_cached_statements().await?;
    check("none held", 0, conn.cached_statements_size());
    conn.close().await
}

/// There is nothing to listen to in canon: refused, and the connection goes on.
async fn listener(url: &str) -> Done {
    let mut listener = PgListener::connect(url).await?;
    match listener.listen("orders").await {
        Ok(()) => println!("ok LISTEN"),
        Err(error) => check("LISTEN refused", Some("0A000"), code(&error).as_deref()),
    }
    listener.unlisten_all().await?;
    let one: i32 = sqlx::query_scalar("SELECT 1").fetch_one(&mut listener).await?;
    check("after LISTEN", 1, one);
    Ok(())
}

async fn pool(url: &str) -> Done {
    let pool: PgPool = PgPoolOptions::new()
        .max_connections(4)
        .min_connections(1)
        .acquire_timeout(Duration::from_secs(20))
        .test_before_acquire(true)
        .connect(url)
        .await?;
    let mut tasks = Vec::new();
    for (channel, amount) in BY_CHANNEL.iter().cycle().take(24) {
        let pool = pool.clone();
        tasks.push(tokio::spawn(async move {
            let total: Decimal = sqlx::query_scalar(TOTAL).bind(*channel).fetch_one(&pool).await?;
            Ok::<_, Error>((decimal(amount), total))
        }));
    }
    for task in tasks {
        let (expected, got) = task.await.expect("a task")?;
        check("a pool", expected, got);
    }
    // A connection that comes back in a transaction is rolled back before others get it.
    let mut transaction = pool.begin().await?;
    transaction.execute("SET TimeZone = 'Asia/Tokyo'").await?;
    drop(transaction);
    for _ in 0..4 {
        let zone: String =
            sqlx::query_scalar("SELECT current_setting('TimeZone')").fetch_one(&pool).await?;
        check("a pool after a transaction", true, zone != "Asia/Tokyo");
    }
    check("its size", true, pool.size() <= 4);
    pool.close().await;
    check("closed", true, matches!(pool.acquire().await, Err(Error::PoolClosed)));
    Ok(())
}
