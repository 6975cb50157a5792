//! Values through tokio-postgres, which reads and writes the binary format.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use datafusion::arrow::array::*;
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use tokio_postgres::types::{FromSql, ToSql, Type};

use super::Server;
use super::engine::field;

/// What comes back when a value is sent as a parameter.
async fn echo<T>(client: &tokio_postgres::Client, pg_type: Type, value: T) -> Option<T>
where
    T: ToSql + Sync + for<'a> FromSql<'a>,
{
    let statement = client.prepare_typed("SELECT echo($1)", &[pg_type]).await.unwrap();
    client.query_one(&statement, &[&value]).await.unwrap().get(0)
}

#[tokio::test]
async fn parameters_come_back_as_they_were_sent() {
    let server = Server::start().await;
    let client = server.client().await;
    let at = |text: &str| NaiveDateTime::parse_from_str(text, "%F %T%.f").unwrap();
    assert_eq!(echo(&client, Type::BOOL, true).await, Some(true));
    assert_eq!(echo(&client, Type::INT2, -7_i16).await, Some(-7));
    assert_eq!(echo(&client, Type::INT4, i32::MIN).await, Some(i32::MIN));
    assert_eq!(echo(&client, Type::INT8, i64::MAX).await, Some(i64::MAX));
    assert_eq!(echo(&client, Type::FLOAT4, 0.1_f32).await, Some(0.1));
    assert_eq!(echo(&client, Type::FLOAT8, 1e300).await, Some(1e300));
    assert_eq!(echo(&client, Type::OID, u32::MAX).await, Some(u32::MAX));
    assert_eq!(
        echo(&client, Type::TEXT, "O'Brien \\ ünï".to_owned()).await.as_deref(),
        Some("O'Brien \\ ünï")
    );
    assert_eq!(echo(&client, Type::VARCHAR, String::new()).await.as_deref(), Some(""));
    assert_eq!(echo(&client, Type::BYTEA, vec![0_u8, 255]).await, Some(vec![0, 255]));
    let day = NaiveDate::from_ymd_opt(2026, 2, 28);
    assert_eq!(echo(&client, Type::DATE, day.unwrap()).await, day);
    let noon = NaiveTime::from_hms_micro_opt(12, 0, 0, 1);
    assert_eq!(echo(&client, Type::TIME, noon.unwrap()).await, noon);
    for moment in [at("2026-03-01 10:00:00.123456"), at("1969-12-31 23:59:59.9")] {
        assert_eq!(echo(&client, Type::TIMESTAMP, moment).await, Some(moment));
        assert_eq!(
            echo(&client, Type::TIMESTAMPTZ, moment.and_utc()).await,
            Some(moment.and_utc())
        );
    }
    assert_eq!(
        echo(&client, Type::INT8_ARRAY, vec![Some(1_i64), None]).await,
        Some(vec![Some(1), None])
    );
    let texts = vec!["a b".to_owned(), String::new(), "NULL".to_owned()];
    assert_eq!(echo(&client, Type::TEXT_ARRAY, texts.clone()).await, Some(texts));
    assert_eq!(echo(&client, Type::INT4, None::<i32>).await, None);
    assert_eq!(echo(&client, Type::TEXT_ARRAY, Vec::<String>::new()).await, Some(vec![]));
}

#[tokio::test]
async fn columns_of_every_arrow_type() {
    let server = Server::start().await;
    let micros = TimeUnit::Microsecond;
    let zone = || DataType::Timestamp(TimeUnit::Nanosecond, Some("Asia/Tokyo".into()));
    let decimal = Decimal128Array::from(vec![Some(-1_234_567), None]);
    server.engine.put(vec![
        (
            field("flag", DataType::Boolean, None),
            Arc::new(BooleanArray::from(vec![Some(true), None])),
        ),
        (field("tiny", DataType::Int8, None), Arc::new(Int8Array::from(vec![Some(-1), None]))),
        (
            field("wide", DataType::UInt32, None),
            Arc::new(UInt32Array::from(vec![Some(u32::MAX), None])),
        ),
        (
            field("oid", DataType::Int64, Some("oid")),
            Arc::new(Int64Array::from(vec![Some(1259), None])),
        ),
        (
            field("name", DataType::Utf8, Some("name")),
            Arc::new(StringArray::from(vec![Some("a"), None])),
        ),
        (
            field("view", DataType::Utf8View, None),
            Arc::new(StringViewArray::from(vec![Some("b"), None])),
        ),
        (
            field("at", DataType::Timestamp(micros, None), None),
            Arc::new(TimestampMicrosecondArray::from(vec![Some(1_500_000), None])),
        ),
        (
            field("instant", zone(), None),
            Arc::new(
                TimestampNanosecondArray::from(vec![Some(1_500_000_000), None])
                    .with_timezone("Asia/Tokyo"),
            ),
        ),
        (
            field("amount", DataType::Decimal128(18, 4), None),
            Arc::new(decimal.with_precision_and_scale(18, 4).unwrap()),
        ),
        (field("day", DataType::Date32, None), Arc::new(Date32Array::from(vec![Some(1), None]))),
    ]);
    let client = server.client().await;
    let rows = client.query("SELECT fixture()", &[]).await.unwrap();
    let row = &rows[0];
    let types: Vec<&str> = row.columns().iter().map(|column| column.type_().name()).collect();
    assert_eq!(
        types,
        [
            "bool",
            "int2",
            "int8",
            "oid",
            "name",
            "text",
            "timestamp",
            "timestamptz",
            "numeric",
            "date",
        ]
    );
    assert!(row.get::<_, bool>("flag"));
    assert_eq!(row.get::<_, i16>("tiny"), -1);
    assert_eq!(row.get::<_, i64>("wide"), i64::from(u32::MAX));
    assert_eq!(row.get::<_, u32>("oid"), 1259);
    assert_eq!((row.get::<_, &str>("name"), row.get::<_, &str>("view")), ("a", "b"));
    let instant = DateTime::<Utc>::from_timestamp_micros(1_500_000).unwrap();
    assert_eq!(row.get::<_, NaiveDateTime>("at"), instant.naive_utc());
    assert_eq!(row.get::<_, DateTime<Utc>>("instant"), instant);
    assert_eq!(
        row.get::<_, SystemTime>("instant"),
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_500)
    );
    assert_eq!(row.get::<_, NaiveDate>("day"), NaiveDate::from_ymd_opt(1970, 1, 2).unwrap());
    for index in 0..10 {
        assert!(
            rows[1].try_get::<_, Option<bool>>(index).is_ok_and(|value| value.is_none())
                || index > 0
        );
    }
    assert_eq!(rows[1].get::<_, Option<DateTime<Utc>>>("instant"), None);
    // As text, over the simple protocol, in the zone of the session.
    client.simple_query("SET TimeZone = 'Asia/Kolkata'").await.unwrap();
    let messages = client.simple_query("SELECT fixture()").await.unwrap();
    let row = messages.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let row = row.unwrap();
    let texts: Vec<Option<&str>> = (0..row.len()).map(|index| row.get(index)).collect();
    assert_eq!(
        texts,
        [
            "t",
            "-1",
            "4294967295",
            "1259",
            "a",
            "b",
            "1970-01-01 00:00:01.5",
            "1970-01-01 05:30:01.5+05:30",
            "-123.4567",
            "1970-01-02",
        ]
        .map(Some)
    );
}

#[tokio::test]
async fn many_rows_stream_through() {
    let server = Server::start().await;
    let client = server.client().await;
    let rows = client.query("SELECT rows(200000)", &[]).await.unwrap();
    assert_eq!(rows.len(), 200_000);
    assert_eq!(rows.last().unwrap().get::<_, i64>("n"), 200_000);
}

#[tokio::test]
async fn portals_of_a_driver() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind("SELECT rows(5)", &[]).await.unwrap();
    for expected in [2, 2, 1, 0] {
        assert_eq!(transaction.query_portal(&portal, 2).await.unwrap().len(), expected);
    }
    transaction.commit().await.unwrap();
}
