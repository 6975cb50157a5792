//! The data are the same each time, and as dirty as `examples/retail/README.md` says.

use datafusion::arrow::array::{Array, Int64Array, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use sha2::{Digest, Sha256};

use super::*;

const SMALL: u64 = 3_000;

fn rows_of(table: Table, orders: u64, rows_per_batch: usize) -> RecordBatch {
    let batches: Vec<RecordBatch> =
        table.batches(Size::of(orders), rows_per_batch).map(|batch| batch.unwrap().rows).collect();
    concat_batches(&table.schema(), &batches).unwrap()
}

/// Of the values as text, so that it doesn't depend on a library's encoding.
fn digest(rows: &RecordBatch) -> String {
    let options = FormatOptions::new().with_null("NULL");
    let mut digest = Sha256::new();
    for column in rows.columns() {
        let formatter = ArrayFormatter::try_new(column.as_ref(), &options).unwrap();
        for row in 0..rows.num_rows() {
            digest.update(formatter.value(row).to_string());
            digest.update([0]);
        }
    }
    digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Numbers in tests and documents depend on these rows: change them on purpose only.
#[test]
fn the_same_rows_on_every_machine() {
    let digests: Vec<(&str, String)> = Table::ALL
        .iter()
        .map(|table| (table.name(), digest(&rows_of(*table, 1_000, ROWS_PER_BATCH))))
        .collect();
    let expected = [
        ("locations", "4a62d95d101ee620"),
        ("employees", "6cbf1279829cdf5d"),
        ("products", "d9ebd00772f6da28"),
        ("stock_counts", "12468c1954782fca"),
        ("customers", "7711a4953cc84445"),
        ("refunds", "a8177087a6579999"),
        ("visits", "f030377a6a78fdb4"),
        ("orders", "9b5147d53aa75992"),
        ("order_lines", "4de42cd6e5616797"),
    ];
    assert_eq!(digests, expected.map(|(name, digest)| (name, digest.to_owned())));
}

#[test]
fn batch_size_changes_no_row() {
    for table in Table::ALL {
        let usual = rows_of(table, SMALL, ROWS_PER_BATCH);
        assert_eq!(usual, rows_of(table, SMALL, 7), "{}", table.name());
    }
}

#[test]
fn progress_reaches_its_end() {
    for table in Table::ALL {
        let size = Size::of(SMALL);
        let last = table.batches(size, 100).last().unwrap().unwrap();
        assert_eq!(last.things, table.things(size), "{}", table.name());
    }
}

#[test]
fn orders_are_counted_with_suffixes() {
    assert_eq!(parse_orders("100k"), Ok(100_000));
    assert_eq!(parse_orders("2M"), Ok(2_000_000));
    assert_eq!(parse_orders("100_000"), Ok(100_000));
    for bad in ["", "0", "k", "-1", "1.5M", "101M", "99999999999999999999"] {
        assert!(parse_orders(bad).is_err(), "{bad}");
    }
}

struct Demo {
    context: SessionContext,
    _folder: tempfile::TempDir,
}

impl Demo {
    async fn make(orders: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let target = DemoTarget::Folder(data.clone());
        run(DemoOptions { orders, target }, &mut Vec::new()).await.unwrap();
        let context = SessionContext::new();
        for table in Table::ALL {
            let path = parquet::file_of(&data, table);
            context
                .register_parquet(
                    table.name(),
                    path.to_str().unwrap(),
                    ParquetReadOptions::default(),
                )
                .await
                .unwrap();
        }
        let demo = Self { context, _folder: folder };
        for table in Table::ALL {
            demo.keep_latest(table).await;
        }
        demo
    }

    /// A view `now_<table>` of what counts: the latest row of each key, without tombstones.
    async fn keep_latest(&self, table: Table) {
        let (name, key) = match table.engine() {
            table::Engine::Latest { key } | table::Engine::Events { key, .. } => {
                (table.name(), key)
            }
        };
        let versioned = table.columns().iter().any(|column| column.name == "_version");
        let version = if versioned { "_version" } else { "_ingested_at" };
        let deleted = table.columns().iter().any(|column| column.name == "_deleted");
        let alive = if deleted { "NOT _deleted" } else { "true" };
        let sql = format!(
            "CREATE VIEW now_{name} AS SELECT * FROM (SELECT *, row_number() OVER \
             (PARTITION BY {key} ORDER BY {version} DESC) AS nth FROM {name}) \
             WHERE nth = 1 AND {alive}"
        );
        self.context.sql(&sql).await.unwrap().collect().await.unwrap();
    }

    async fn number(&self, sql: &str) -> i64 {
        let sql = format!("SELECT CAST(({sql}) AS bigint)");
        let batches = self.context.sql(&sql).await.unwrap().collect().await.unwrap();
        let column = batches[0].column(0).as_any().downcast_ref::<Int64Array>().unwrap();
        if column.is_null(0) { 0 } else { column.value(0) }
    }

    async fn all_positive(&self, statements: &[&str]) {
        for sql in statements {
            assert!(self.number(sql).await > 0, "{sql}");
        }
    }

    async fn all_zero(&self, statements: &[&str]) {
        for sql in statements {
            assert_eq!(self.number(sql).await, 0, "{sql}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_files_hold_what_they_promise() {
    let demo = Demo::make(20_000).await;

    // Deleted orders are in no count; all others are, once each.
    let deleted = demo.number("SELECT count(DISTINCT order_id) FROM orders WHERE _deleted").await;
    let now = demo.number("SELECT count(*) FROM now_orders").await;
    assert_eq!(now + deleted, 20_000);
    assert_eq!(demo.number("SELECT count(*) FROM now_visits").await, 20_000);
    assert_eq!(demo.number("SELECT count(*) FROM now_locations").await, 23);

    demo.all_positive(&[
        // the same row twice; several versions; a newer version that comes before the older
        "SELECT count(*) FROM (SELECT order_id FROM orders GROUP BY order_id, _version HAVING count(*) > 1)",
        "SELECT count(*) FROM (SELECT order_id FROM orders GROUP BY order_id HAVING count(DISTINCT _version) > 1)",
        "SELECT count(*) FROM (SELECT refund_id FROM refunds GROUP BY refund_id HAVING max(amount) > 99 * min(amount) AND min(amount) > 0)",
        "SELECT count(*) FROM orders o JOIN orders n ON o.order_id = n.order_id AND o._version < n._version AND o._ingested_at > n._ingested_at",
        "SELECT count(*) FROM order_lines WHERE _deleted",
        "SELECT count(*) FROM customers WHERE _deleted",
        // late rows
        "SELECT count(*) FROM now_orders WHERE completed_at + interval '3 days' < _ingested_at AND order_status = 'completed'",
        "SELECT count(*) FROM visits WHERE visited_at + interval '1 day' < _ingested_at",
        // who and what doesn't count
        "SELECT count(*) FROM now_orders WHERE is_test",
        "SELECT count(*) FROM now_orders WHERE order_status = 'cancelled' AND cancelled_at IS NOT NULL",
        "SELECT count(*) FROM now_orders WHERE order_status = 'open' AND completed_at IS NULL",
        "SELECT count(*) FROM now_orders WHERE order_status = 'refunded'",
        "SELECT count(*) FROM now_customers WHERE is_staff",
        "SELECT count(*) FROM visits WHERE is_training",
        // keys: NULL, never loaded, deleted since
        "SELECT count(*) FROM now_orders WHERE customer_id IS NULL",
        "SELECT count(*) FROM now_orders WHERE channel = 'shop' AND placed_by_id IS NULL",
        "SELECT count(*) FROM now_orders WHERE location_id = 97",
        "SELECT count(*) FROM now_orders WHERE location_id = 19",
        "SELECT count(*) FROM now_orders WHERE placed_by_id = 999",
        "SELECT count(*) FROM now_orders o LEFT JOIN now_customers c ON o.customer_id = c.customer_id WHERE o.customer_id IS NOT NULL AND c.customer_id IS NULL",
        "SELECT count(*) FROM now_order_lines l LEFT JOIN now_orders o ON l.order_id = o.order_id WHERE o.order_id IS NULL",
        "SELECT count(*) FROM now_refunds WHERE order_id IS NULL",
        "SELECT count(*) FROM now_refunds WHERE order_id > 9000000000",
        "SELECT count(*) FROM visits WHERE location_id IS NULL",
        // NULL attributes, and texts that need care
        "SELECT count(*) FROM now_orders WHERE discount_amount IS NULL AND order_status = 'completed'",
        "SELECT count(*) FROM now_customers WHERE country IS NULL",
        "SELECT count(*) FROM now_orders WHERE coupon_code = ''",
        "SELECT count(*) FROM now_orders WHERE coupon_code = 'O''NEIL10'",
        "SELECT count(*) FROM now_orders WHERE coupon_code = '50%\\off'",
        // suppliers that changed; weeks without a count, and none after a shop has closed
        "SELECT count(*) FROM products WHERE valid_to IS NOT NULL",
        "SELECT 96 * 5 * 24 - count(*) FROM stock_counts",
        "SELECT count(*) FROM now_locations WHERE location_name LIKE '%\"%' OR city = 'Zürich'",
        // two refunds of one order
        "SELECT count(*) FROM (SELECT order_id FROM now_refunds WHERE order_id IS NOT NULL GROUP BY order_id HAVING count(*) > 1)",
        // the hour that came twice in October 2025
        "SELECT count(*) FROM orders WHERE ordered_at >= '2025-10-26T00:00:00Z' AND ordered_at < '2025-10-26T02:00:00Z'",
        // local midnight sharp
        "SELECT count(*) FROM orders WHERE ordered_at = date_trunc('hour', ordered_at)",
    ])
    .await;

    demo.all_zero(&[
        "SELECT count(*) FROM (SELECT order_id FROM orders GROUP BY order_id, _version HAVING count(DISTINCT _ingested_at) > 1)",
        "SELECT count(*) FROM (SELECT refund_id FROM refunds GROUP BY refund_id, _version HAVING count(DISTINCT amount) > 1 OR count(DISTINCT _ingested_at) > 1)",
        "SELECT count(*) FROM (SELECT line_id FROM order_lines GROUP BY line_id, _version HAVING count(DISTINCT quantity) > 1 OR count(DISTINCT _ingested_at) > 1)",
        "SELECT count(*) FROM (SELECT customer_id FROM customers GROUP BY customer_id, _version HAVING count(DISTINCT tier) > 1 OR count(DISTINCT _ingested_at) > 1)",
        "SELECT count(*) FROM now_orders WHERE completed_at < ordered_at OR completed_at >= '2026-10-31T23:00:00Z'",
        "SELECT count(*) FROM now_orders o JOIN (SELECT order_id, sum(line_amount) AS total FROM now_order_lines GROUP BY order_id) l ON o.order_id = l.order_id WHERE o.gross_amount <> l.total",
        "SELECT count(*) FROM now_orders WHERE discount_amount > gross_amount",
        "SELECT count(*) FROM stock_counts WHERE location_id = 19 AND counted_at > '2025-10-01'",
        "SELECT count(*) FROM (SELECT sku FROM products WHERE valid_to IS NULL GROUP BY sku HAVING count(*) <> 1)",
        "SELECT count(*) FROM now_refunds r JOIN now_orders o ON r.order_id = o.order_id WHERE r.refunded_at <= o.completed_at OR o.completed_at IS NULL",
    ])
    .await;

    // The plain sum is far from the truth.
    let naive = demo.number("SELECT sum(gross_amount) FROM orders").await;
    let revenue = "SELECT sum(gross_amount - coalesce(discount_amount, 0)) FROM now_orders \
                   WHERE order_status IN ('completed', 'refunded') AND NOT is_test";
    let revenue = demo.number(revenue).await;
    assert!(naive * 10 > revenue * 15, "{naive} against {revenue}");
}

#[tokio::test]
async fn missing_data_are_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("retail").join("data");
    let bar = ProgressBar::hidden();
    assert!(parquet::ensure(&data, Size::of(100), &bar).await.unwrap());
    assert!(!parquet::ensure(&data, Size::of(100), &bar).await.unwrap());
    assert!(!ensure_demo_data(&data).await.unwrap());
    let names = |folder: &Path| {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>()
    };
    assert_eq!(names(&data).len(), Table::ALL.len());
    assert_eq!(names(data.parent().unwrap()), ["data"], "no draft is left behind");
}

#[tokio::test]
async fn an_empty_folder_is_filled() {
    let folder = tempfile::tempdir().unwrap();
    let bar = ProgressBar::hidden();
    assert!(parquet::ensure(folder.path(), Size::of(100), &bar).await.unwrap());
}

#[tokio::test]
async fn other_files_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let options = |orders| DemoOptions { orders, target: DemoTarget::Folder(data.clone()) };
    let mut printed = Vec::new();
    run(options(50), &mut printed).await.unwrap();
    run(options(70), &mut printed).await.expect("data of an earlier run are replaced");
    let printed = String::from_utf8(printed).unwrap();
    assert!(printed.contains("70 orders from 2025-01-01 to 2026-10-31"), "{printed}");

    std::fs::write(data.join("budget.csv"), "month,eur\n").unwrap();
    let refused = run(options(50), &mut Vec::new()).await.unwrap_err();
    assert!(
        matches!(&refused, DemoError::ForeignFiles { file, .. } if file.ends_with("budget.csv"))
    );
    assert!(refused.hint().is_some());
    assert!(data.join("orders.parquet").exists());
}

/// The definitions in `metrics/` against the tables that this module makes: no finding at all.
#[test]
fn the_definitions_fit_the_data() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("metrics");
    let read = crate::model::load::read(&folder).unwrap();
    let columns = |table: &Table| {
        let columns = table.columns().into_iter().map(|column| crate::model::SourceColumn {
            name: column.name.to_owned(),
            native: column.arrow.to_string(),
            data_type: column.arrow,
            nullable: column.nullable,
        });
        (table.name().to_owned(), columns.collect())
    };
    let checked = crate::model::check::check(&read, &Table::ALL.iter().map(columns).collect());
    let shown = crate::diagnostic::render_human(
        &checked.findings,
        read.texts(),
        crate::diagnostic::Color::Never,
    );
    assert!(checked.findings.is_empty(), "{shown}");
    let model = checked.model.unwrap();
    assert!(model.metrics.len() >= 24);
}
