//! The backends below plans: what they describe, what they answer, how they stop.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use canon::backend::embedded::Embedded;
use canon::backend::{Backend, BackendError, Run, RunStats};
use canon::model::{Dedupe, Source, SourceKind};
use canon::plan::latest::Latest;
use canon::plan::source::SourceTable;
use datafusion::arrow::array::*;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, Field, Int32Type, Schema, TimeUnit};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::functions_aggregate::expr_fn::{count, max, min, sum};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, col, ident, lit};
use datafusion::parquet::arrow::ArrowWriter;
use futures::TryStreamExt;
use tokio_util::sync::CancellationToken;

pub(crate) fn run() -> Run {
    Run {
        query_id: uuid::Uuid::new_v4().to_string(),
        log_comment: "test".to_owned(),
        cancel: CancellationToken::new(),
        deadline: None,
        stats: Arc::new(RunStats::default()),
    }
}

pub(crate) async fn scan(backend: &dyn Backend, table: &str) -> LogicalPlanBuilder {
    let columns = backend.describe(table).await.unwrap().expect("the table is there");
    let source = Arc::new(SourceTable::new(table.to_owned(), columns));
    LogicalPlanBuilder::scan(table, source, None).unwrap()
}

pub(crate) async fn answer(
    backend: &dyn Backend,
    plan: LogicalPlan,
) -> Result<RecordBatch, BackendError> {
    let schema = Arc::clone(plan.schema().inner());
    let prepared = backend.prepare(plan)?;
    let stream = backend.execute(&prepared, &run()).await?;
    let batches: Vec<RecordBatch> = stream.try_collect().await?;
    let types = |schema: &Schema| -> Vec<DataType> {
        schema.fields().iter().map(|field| field.data_type().clone()).collect()
    };
    for batch in &batches {
        assert_eq!(types(&batch.schema()), types(&schema), "the declared types");
    }
    let first = batches.first().map_or(schema, RecordBatch::schema);
    Ok(concat_batches(&first, &batches).unwrap())
}

pub(crate) fn table_of(batch: &RecordBatch) -> String {
    pretty_format_batches(std::slice::from_ref(batch)).unwrap().to_string()
}

/// The rows as text, sorted, one a line, columns between bars.
pub(crate) fn rows(batch: &RecordBatch) -> Vec<String> {
    let table = table_of(batch);
    let mut lines: Vec<String> = table
        .lines()
        .filter(|line| line.starts_with('|'))
        .skip(1)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join("|"))
        .collect();
    lines.sort();
    lines
}

pub(crate) fn write_parquet(path: &Path, batch: &RecordBatch) {
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
        .collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn decimal(values: Vec<Option<i128>>, precision: u8, scale: i8) -> ArrayRef {
    let array = Decimal128Array::from(values).with_precision_and_scale(precision, scale);
    Arc::new(array.unwrap())
}

#[tokio::test]
async fn parquet_columns_arrive_under_canonical_types() {
    let dir = tempfile::tempdir().unwrap();
    let uuid = uuid::Uuid::parse_str("61f0c404-5cb3-11e7-907b-a6006ad3dba0").unwrap();
    let uuids = [Some(uuid.as_bytes().as_slice()), None];
    let micros = 1_767_322_800_123_456_i64;
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None]);
    let written = batch(vec![
        ("bool", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("int8", Arc::new(Int8Array::from(vec![Some(-7), None]))),
        ("uint32", Arc::new(UInt32Array::from(vec![Some(u32::MAX), None]))),
        ("uint64", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None]))),
        ("float32", Arc::new(Float32Array::from(vec![Some(1.5), None]))),
        ("amount", decimal(vec![Some(12345), None], 18, 2)),
        ("view", Arc::new(StringViewArray::from(vec![Some("ünï"), None]))),
        (
            "dict",
            Arc::new(vec![Some("a"), None].into_iter().collect::<DictionaryArray<Int32Type>>()),
        ),
        ("date", Arc::new(Date32Array::from(vec![Some(-3653), None]))),
        ("naive_ms", Arc::new(TimestampMillisecondArray::from(vec![Some(micros / 1000), None]))),
        (
            "zoned_ns",
            Arc::new(
                TimestampNanosecondArray::from(vec![Some(micros * 1000), None])
                    .with_timezone("+01:00"),
            ),
        ),
        (
            "uuid",
            Arc::new(
                FixedSizeBinaryArray::try_from_sparse_iter_with_size(uuids.into_iter(), 16)
                    .unwrap(),
            ),
        ),
        ("list", Arc::new(list)),
    ]);
    write_parquet(&dir.path().join("t.parquet"), &written);
    let backend = Embedded::open(dir.path()).unwrap();
    let columns = backend.describe("t").await.unwrap().unwrap();
    let types: Vec<String> = columns.iter().map(|c| c.data_type.to_string()).collect();
    let expected = [
        "Boolean",
        "Int16",
        "Int64",
        "Decimal128(20, 0)",
        "Float32",
        "Decimal128(18, 2)",
        "Utf8",
        "Utf8",
        "Date32",
        "Timestamp(µs)",
        "Timestamp(µs, \"UTC\")",
        "Utf8",
        "List(Int32)",
    ];
    assert_eq!(types, expected);
    let plan = scan(&backend, "t").await.build().unwrap();
    let found = answer(&backend, plan).await.unwrap();
    assert_eq!(
        rows(&found),
        [
            "true|-7|4294967295|18446744073709551615|1.5|123.45|ünï|a|1960-01-01\
             |2026-01-02T03:00:00.123|2026-01-02T03:00:00.123456Z\
             |61f0c404-5cb3-11e7-907b-a6006ad3dba0|[1, ]",
            "||||||||||||",
        ]
    );

    // Extremes come from the file's statistics, under the shown types too.
    let extremes = ["uint32", "uint64", "naive_ms", "zoned_ns", "view", "amount"];
    let aggregates: Vec<Expr> =
        extremes.iter().flat_map(|name| [min(col(*name)), max(col(*name))]).collect();
    let plan = scan(&backend, "t").await.aggregate(Vec::<Expr>::new(), aggregates).unwrap();
    let found = answer(&backend, plan.build().unwrap()).await.unwrap();
    assert_eq!(found.num_rows(), 1);

    // Filters meet the file's own types.
    for filter in [
        col("uint32").eq(lit(i64::from(u32::MAX))),
        col("uuid").eq(lit("61f0c404-5cb3-11e7-907b-a6006ad3dba0")),
        col("dict").eq(lit("a")),
        col("naive_ms").gt(lit(datafusion::common::ScalarValue::TimestampMicrosecond(
            Some(micros - 1_000_000),
            None,
        ))),
    ] {
        let plan = scan(&backend, "t").await.filter(filter.clone()).unwrap();
        let found = answer(&backend, plan.build().unwrap()).await.unwrap();
        assert_eq!(found.num_rows(), 1, "{filter}");
    }
}

#[tokio::test]
async fn csv_values_keep_their_digits_zones_and_newlines() {
    let dir = tempfile::tempdir().unwrap();
    let text = "id,amount,at,note,zip\n\
                1,100.50,2026-03-01T10:00:00Z,\"two\nlines, O'Brien\",01234\n\
                2,0.125,2026-03-01T10:00:00+02:00,a\\,99999\n\
                3,,,,\n";
    std::fs::write(dir.path().join("orders.csv"), text).unwrap();
    let backend = Embedded::open(dir.path()).unwrap();
    let columns = backend.describe("orders").await.unwrap().unwrap();
    let types: Vec<DataType> = columns.iter().map(|c| c.data_type.clone()).collect();
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let money = DataType::Decimal128(18, 3);
    assert_eq!(types, [DataType::Int64, money, utc, DataType::Utf8, DataType::Utf8]);

    let plan = scan(&backend, "orders").await;
    let plan = plan.aggregate(Vec::<Expr>::new(), vec![sum(col("amount")), count(col("note"))]);
    let found = answer(&backend, plan.unwrap().build().unwrap()).await.unwrap();
    assert_eq!(rows(&found), ["100.625|2"]);

    let plan = scan(&backend, "orders").await.filter(col("note").eq(lit("a\\"))).unwrap();
    let plan = plan.project(vec![col("id"), col("at"), col("zip")]).unwrap();
    let found = answer(&backend, plan.build().unwrap()).await.unwrap();
    assert_eq!(rows(&found), ["2|2026-03-01T08:00:00Z|99999"]);
}

/// T11: at-least-once delivery counts once; a tombstone hides the older rows.
#[tokio::test]
async fn the_latest_row_of_each_key_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let events =
        "id,amt,version,deleted\na,100,1,false\nb,50,1,false\na,100,1,false\nb,60,2,false\n";
    std::fs::write(dir.path().join("events.csv"), events).unwrap();
    let tombstone = format!("{events}a,,3,true\n,7,1,\n,8,2,\n");
    std::fs::write(dir.path().join("deleted.csv"), &tombstone).unwrap();
    let numbered = tombstone.replace("true", "1").replace("false", "0");
    std::fs::write(dir.path().join("numbered.csv"), numbered).unwrap();
    let backend = Embedded::open(dir.path()).unwrap();
    for (table, deleted, total) in [
        ("events", None, "160|2"),
        ("deleted", Some("deleted"), "68|2"), // b 60, and the NULL key's newest: 8
        ("numbered", Some("deleted"), "68|2"),
    ] {
        let input = scan(&backend, table).await.build().unwrap();
        let dedupe = Dedupe {
            by: vec!["id".to_owned()],
            latest: "version".to_owned(),
            deleted: deleted.map(str::to_owned),
        };
        let plan = LogicalPlanBuilder::from(Latest::plan(input, dedupe))
            .aggregate(Vec::<Expr>::new(), vec![sum(col("amt")), count(lit(1))])
            .unwrap();
        let found = answer(&backend, plan.build().unwrap()).await.unwrap();
        assert_eq!(rows(&found), [total], "{table}");
    }
    // A filter above must not let an older row win.
    let input = scan(&backend, "events").await.build().unwrap();
    let dedupe = Dedupe { by: vec!["id".to_owned()], latest: "version".to_owned(), deleted: None };
    let plan = LogicalPlanBuilder::from(Latest::plan(input, dedupe))
        .filter(col("amt").eq(lit(50_i64)))
        .unwrap();
    assert_eq!(answer(&backend, plan.build().unwrap()).await.unwrap().num_rows(), 0);
}

/// Many versions of few keys, in which the superseded rows are let go on the way.
#[tokio::test]
async fn the_latest_rows_are_found_among_many_versions() {
    let dir = tempfile::tempdir().unwrap();
    let (rows_written, keys) = (400_000_i64, 1_000_i64);
    let key = |row: i64| (row * 7) % keys;
    let ids: ArrayRef = Arc::new(Int64Array::from_iter((0..rows_written).map(|row| {
        let key = key(row);
        (key != 0).then_some(key) // one key is NULL
    })));
    let shops: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..rows_written).map(|row| if key(row) % 2 == 0 { "even" } else { "odd" }),
    ));
    // Every version comes twice, with two amounts: the greater one counts.
    let versions: ArrayRef =
        Arc::new(Int64Array::from_iter_values((0..rows_written).map(|row| (row / keys) / 2)));
    let amounts: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows_written));
    let written =
        batch(vec![("id", ids), ("shop", shops), ("version", versions), ("amt", amounts)]);
    write_parquet(&dir.path().join("t.parquet"), &written);
    let backend = Embedded::open(dir.path()).unwrap();
    let input = scan(&backend, "t").await.build().unwrap();
    let dedupe = Dedupe {
        by: vec!["id".to_owned(), "shop".to_owned()],
        latest: "version".to_owned(),
        deleted: None,
    };
    let plan = LogicalPlanBuilder::from(Latest::plan(input, dedupe))
        .aggregate(Vec::<Expr>::new(), vec![count(lit(1)), sum(col("amt")), max(col("version"))])
        .unwrap()
        .build()
        .unwrap();
    let found = answer(&backend, plan).await.unwrap();
    let newest: i64 = (rows_written - keys..rows_written).sum();
    assert_eq!(rows(&found), [format!("{keys}|{newest}|199")]);
}

#[tokio::test]
async fn run_time_errors_have_their_own_kinds() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("t.csv"), "n,text,z\n40000,abc,0\n2,5,1\n").unwrap();
    let backend = Embedded::open(dir.path()).unwrap();
    let projected = async |expr: Expr| {
        let plan = scan(&backend, "t").await.project(vec![expr]).unwrap().build().unwrap();
        answer(&backend, plan).await.unwrap_err()
    };
    let error = projected(col("n") / col("z")).await;
    assert!(matches!(error, BackendError::DivisionByZero), "{error:?}");
    let error = projected(col("n") / lit(0_i64)).await;
    assert!(matches!(error, BackendError::DivisionByZero), "{error:?}");
    let error = projected(cast(col("n"), DataType::Int16)).await;
    assert!(matches!(error, BackendError::OutOfRange), "{error:?}");
    let error = projected(cast(col("text"), DataType::Int64)).await;
    let BackendError::InvalidText { data_type, text } = error else { panic!("{error:?}") };
    assert_eq!((data_type.as_str(), text.as_str()), ("bigint", "abc"));
}

#[tokio::test]
async fn a_table_that_changed_its_columns_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.csv");
    std::fs::write(&path, "a,b\n1,2\n").unwrap();
    let backend = Embedded::open(dir.path()).unwrap();
    assert_eq!(backend.describe("nope").await.unwrap(), None);
    let plan = scan(&backend, "t").await.project(vec![col("b")]).unwrap().build().unwrap();
    let prepared = backend.prepare(plan).unwrap();
    let ask = async || backend.execute(&prepared, &run()).await.map(|_| ());
    ask().await.unwrap();
    std::fs::write(&path, "a,b\n1,2\n3,4\n").unwrap();
    ask().await.unwrap();
    std::fs::write(&path, "b,a\n1,2\n").unwrap();
    assert!(matches!(ask().await.unwrap_err(), BackendError::SourceChanged { .. }));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(ask().await.unwrap_err(), BackendError::SourceChanged { .. }));
}

#[tokio::test]
async fn freshness_follows_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t");
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("1.csv"), "id,at\n1,2026-03-01T10:00:00Z\n").unwrap();
    let backend = Embedded::open(dir.path()).unwrap();
    let source = Source {
        table: "t".to_owned(),
        kind: SourceKind::Events,
        history: None,
        dedupe: None,
        event_time: None,
        ingested: Some("at".to_owned()),
        columns: backend.describe("t").await.unwrap().unwrap(),
    };
    let first = backend.freshness(&source).await.unwrap();
    assert_eq!(first.watermark_us, Some(1_772_359_200_000_000));
    assert_eq!(backend.freshness(&source).await.unwrap(), first);
    std::fs::write(path.join("2.csv"), "id,at\n1,2026-03-01T10:00:01Z\n").unwrap();
    let second = backend.freshness(&source).await.unwrap();
    assert_ne!(second.change_token, first.change_token);
    assert_eq!(second.watermark_us, Some(1_772_359_201_000_000));
    let plan = scan(&backend, "t").await.build().unwrap();
    assert_eq!(answer(&backend, plan).await.unwrap().num_rows(), 2);
}

#[tokio::test]
async fn scans_of_different_tables_are_never_equal_plans() {
    let dir = tempfile::tempdir().unwrap();
    for table in ["a", "b"] {
        std::fs::write(dir.path().join(format!("{table}.csv")), "id\n1\n").unwrap();
    }
    let backend = Embedded::open(dir.path()).unwrap();
    let plan = async |table: &str| {
        let plan = scan(&backend, table).await;
        let plan = plan.aggregate(Vec::<Expr>::new(), vec![count(ident("id"))]).unwrap();
        backend.prepare(plan.build().unwrap()).unwrap().plan
    };
    assert_eq!(plan("a").await, plan("a").await);
    assert_ne!(plan("a").await, plan("b").await);
}

/// A table whose whole product with itself nobody waits for.
async fn endless(backend: &Embedded, dir: &Path) -> LogicalPlan {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..200_000));
    write_parquet(&dir.join("big.parquet"), &batch(vec![("n", numbers)]));
    let left = scan(backend, "big").await.alias("l").unwrap();
    let right = scan(backend, "big").await.alias("r").unwrap().build().unwrap();
    let product = left.cross_join(right).unwrap();
    product
        .aggregate(Vec::<Expr>::new(), vec![sum(col("l.n") - col("r.n"))])
        .unwrap()
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_cancelled_or_late_query_ends() {
    let dir = tempfile::tempdir().unwrap();
    let backend = Embedded::open(dir.path()).unwrap();
    let prepared = backend.prepare(endless(&backend, dir.path()).await).unwrap();

    let cancelled = run();
    let stream = backend.execute(&prepared, &cancelled).await.unwrap();
    cancelled.cancel.cancel();
    let error = BackendError::from(stream.try_collect::<Vec<_>>().await.unwrap_err());
    assert!(matches!(error, BackendError::Cancelled), "{error:?}");

    let deadline = Some(std::time::Instant::now() + std::time::Duration::from_millis(50));
    let late = Run { deadline, ..run() };
    let stream = backend.execute(&prepared, &late).await.unwrap();
    let error = BackendError::from(stream.try_collect::<Vec<_>>().await.unwrap_err());
    assert!(matches!(error, BackendError::Timeout), "{error:?}");
}

#[tokio::test]
async fn memory_is_bounded_and_reads_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..500_000));
    write_parquet(&dir.path().join("big.parquet"), &batch(vec![("n", numbers)]));
    let backend = Embedded::with_memory(dir.path(), 1 << 20).unwrap();
    let plan = scan(&backend, "big").await;
    let plan = plan.aggregate(vec![col("n")], vec![count(lit(1))]).unwrap().build().unwrap();
    let error = answer(&backend, plan).await.unwrap_err();
    assert!(matches!(error, BackendError::OutOfMemory), "{error:?}");

    let plan = scan(&backend, "big").await;
    let plan = plan.aggregate(Vec::<Expr>::new(), vec![sum(col("n"))]).unwrap().build().unwrap();
    let run = run();
    let stream = backend.execute(&backend.prepare(plan).unwrap(), &run).await.unwrap();
    let _: Vec<RecordBatch> = stream.try_collect().await.unwrap();
    assert_eq!(run.stats.rows_read.load(Ordering::Relaxed), 500_000);
    assert!(run.stats.bytes_read.load(Ordering::Relaxed) > 0);
}
