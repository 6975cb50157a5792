//! The statements themselves: one plan, one text.

use canon::backend::clickhouse::facts::{TableFacts, TableFactsSource};
use canon::backend::clickhouse::generate::generate;
use canon::functions;
use canon::model::{Dedupe, SourceColumn};
use canon::plan::latest::Latest;
use canon::plan::source::SourceTable;
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::LogicalPlan;
use std::sync::Arc;

use super::Tables;

fn column(name: &str, native: &str, data_type: DataType) -> SourceColumn {
    SourceColumn {
        name: name.to_owned(),
        data_type,
        nullable: native.contains("Nullable"),
        native: native.to_owned(),
    }
}

fn tables() -> Tables {
    let instant = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let money = DataType::Decimal128(18, 2);
    let orders = vec![
        column("id", "Int64", DataType::Int64),
        column("customer_id", "Nullable(Int64)", DataType::Int64),
        column("channel", "LowCardinality(String)", DataType::Utf8),
        column("status", "Enum8('open' = 1, 'completed' = 2)", DataType::Utf8),
        column("amount", "Decimal(18, 2)", money.clone()),
        column("discount", "Nullable(Decimal(18, 2))", money),
        column("qty", "UInt32", DataType::Int64),
        column("placed", "DateTime", instant()),
        column("completed", "Nullable(DateTime64(3, 'UTC'))", instant()),
        column("day", "Date", DataType::Date32),
        column("_version", "UInt64", DataType::Decimal128(20, 0)),
        column("_deleted", "UInt8", DataType::Int16),
    ];
    let customers = vec![
        column("id", "Int64", DataType::Int64),
        column("country", "Nullable(String)", DataType::Utf8),
        column("uuid", "UUID", DataType::Utf8),
        column("o`dd \\ name", "String", DataType::Utf8),
    ];
    let mut tables = Tables::default();
    for (name, columns) in [("orders", orders), ("customers", customers)] {
        tables.0.insert(name.to_owned(), Arc::new(SourceTable::new(name.to_owned(), columns)));
    }
    tables
}

#[derive(Debug)]
struct Facts(TableFacts);

impl TableFactsSource for Facts {
    fn facts(&self, _: &str) -> Option<Arc<TableFacts>> {
        Some(Arc::new(self.0.clone()))
    }
}

fn replacing() -> Facts {
    Facts(TableFacts {
        engine: "ReplacingMergeTree".to_owned(),
        version_column: Some("_version".to_owned()),
        deleted_column: Some("_deleted".to_owned()),
        sorting_key: vec!["id".to_owned()],
        ..TableFacts::default()
    })
}

fn plan(sql: &str) -> LogicalPlan {
    let plan = tables().analysed(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    functions::simplify(plan).unwrap()
}

fn written(plan: &LogicalPlan, facts: &Facts) -> String {
    generate(plan, facts).unwrap_or_else(|reason| format!("not pushable: {reason}"))
}

/// Each scan of orders in a Latest.
fn deduped(plan: LogicalPlan) -> LogicalPlan {
    let dedupe = Dedupe {
        by: vec!["id".to_owned()],
        latest: "_version".to_owned(),
        deleted: Some("_deleted".to_owned()),
    };
    let latest = |plan: LogicalPlan| match &plan {
        LogicalPlan::TableScan(scan) if scan.table_name.table() == "orders" => {
            Ok(Transformed::yes(Latest::plan(plan, dedupe.clone())))
        }
        _ => Ok(Transformed::no(plan)),
    };
    plan.transform_up(latest).unwrap().data
}

macro_rules! snapshot {
    ($name:ident, $($sql:expr),+ $(,)?) => {
        #[test]
        fn $name() {
            let plain = Facts(TableFacts::default());
            let texts = [$($sql),+].map(|sql| format!("-- {sql}\n{}\n", written(&plan(sql), &plain)));
            insta::assert_snapshot!(texts.join("\n"));
        }
    };
}

snapshot!(
    columns_are_read_as_canonical_types,
    "SELECT * FROM orders",
    "SELECT \"o`dd \\ name\", uuid FROM customers",
);
snapshot!(
    filters_compare_stored_columns,
    "SELECT id FROM orders WHERE placed >= '2026-01-01' AND placed < timestamptz '2026-02-01 00:00:00.5+00'",
    "SELECT id FROM orders WHERE completed BETWEEN '2026-01-01' AND '2026-01-31 23:59:59.999999'",
    "SELECT id FROM orders WHERE day >= '2026-01-01' AND day <> date '1960-01-01' AND day < '9999-12-31'",
    "SELECT id FROM orders WHERE status = 'completed' OR status IN ('open', 'completed') OR status = 'lost'",
    "SELECT id FROM orders WHERE qty > 1 AND amount > 1.5 AND amount = 10 AND discount IS NULL",
    "SELECT id FROM orders WHERE customer_id NOT IN (1, NULL) OR id IN (1, 2, 3)",
    "SELECT id FROM customers WHERE uuid = '61f0c404-5cb3-11e7-907b-a6006ad3dba0' AND uuid > 'a'",
    "SELECT id FROM orders WHERE extract(year from placed) = 2026 AND date_trunc('month', completed) = '2026-03-01'",
    "SELECT id FROM orders WHERE placed AT TIME ZONE 'Europe/Berlin' >= '2026-01-01'",
);
snapshot!(
    texts_are_escaped,
    "SELECT id FROM customers WHERE country = '\\' OR country = ' OR 1=1 --' OR country = 'O''Brien'",
    "SELECT E'a\\nb\\tc' AS \"x\\\"\"\", '{x:String}', 'ünï' FROM customers",
    "SELECT id FROM customers WHERE country LIKE 'a\\_%' AND country ILIKE '%\\\\' AND country ~ '^a.b'",
);
snapshot!(
    groups_extend_the_block_that_they_read,
    "SELECT channel, count(*), sum(amount), sum(amount - discount) FILTER (WHERE status = 'completed') FROM orders WHERE qty > 0 GROUP BY channel",
    "SELECT channel, sum(amount) FROM orders GROUP BY channel HAVING count(*) > 5 ORDER BY sum(amount) DESC LIMIT 3 OFFSET 1",
    "SELECT date_trunc('month', placed AT TIME ZONE 'Europe/Berlin') AS month, avg(amount), avg(qty), count(DISTINCT customer_id) FROM orders GROUP BY 1 ORDER BY 1",
    "SELECT count(*) FROM orders WHERE false",
    "SELECT avg(s) FROM (SELECT day, sum(amount) AS s FROM orders GROUP BY day) AS per_day",
    "SELECT max(placed), min(day), bool_or(qty > 5) FROM orders",
    "SELECT 'all' AS k, count(*) FROM orders GROUP BY 1",
);
snapshot!(
    grouping_sets_read_keys_of_a_block_of_their_own,
    "SELECT channel, day, grouping(channel, day), sum(amount) FROM orders GROUP BY ROLLUP (channel, day) ORDER BY channel, day",
);
snapshot!(
    joins_stay_flat_where_their_sides_are_tables,
    "SELECT o.id, c.country FROM orders AS o LEFT JOIN customers AS c ON o.customer_id = c.id WHERE o.qty > 1",
    "SELECT c.country, sum(o.amount) FROM orders AS o JOIN customers AS c ON o.customer_id = c.id AND o.qty > 1 GROUP BY c.country",
    "SELECT o.id, c.label FROM orders AS o LEFT JOIN (SELECT id, coalesce(country, '(none)') AS label FROM customers) AS c ON o.customer_id = c.id",
    "SELECT a.s, b.n FROM (SELECT channel, sum(amount) AS s FROM orders GROUP BY channel) AS a FULL JOIN (SELECT channel, count(*) AS n FROM orders GROUP BY channel) AS b ON a.channel IS NOT DISTINCT FROM b.channel",
    "SELECT o.id FROM orders AS o CROSS JOIN customers AS c",
);
snapshot!(
    order_and_limits_end_a_block,
    "SELECT id FROM orders ORDER BY placed DESC, channel LIMIT 10",
    "SELECT channel FROM (SELECT * FROM orders ORDER BY id LIMIT 5) AS s WHERE qty > 1",
    "SELECT DISTINCT channel FROM orders ORDER BY channel",
    "SELECT count(*) FROM (SELECT DISTINCT channel, day FROM orders) AS s",
    "SELECT id FROM orders UNION ALL SELECT id FROM customers ORDER BY 1 LIMIT 5 OFFSET 2",
    "SELECT id FROM orders OFFSET 3",
);
snapshot!(
    windows_are_computed_behind_groups,
    "SELECT channel, sum(sum(amount)) OVER (ORDER BY channel), row_number() OVER (ORDER BY sum(amount) DESC) FROM orders GROUP BY channel",
    "SELECT * FROM (SELECT id, row_number() OVER (PARTITION BY channel ORDER BY placed) AS n FROM orders) AS s WHERE n = 1",
);
snapshot!(
    subqueries_stand_where_null_can_not_come_up,
    "SELECT id FROM orders WHERE customer_id IN (SELECT id FROM customers WHERE country = 'DE')",
    "SELECT id FROM orders WHERE id NOT IN (SELECT id FROM customers)",
    "SELECT id FROM orders WHERE customer_id NOT IN (SELECT id FROM customers)",
    "SELECT id FROM orders WHERE amount > (SELECT avg(amount) FROM orders)",
    "SELECT id FROM orders WHERE EXISTS (SELECT 1 FROM customers WHERE country = 'DE')",
);
snapshot!(
    arithmetic_is_checked_where_it_can_overflow,
    "SELECT id + 1, qty * 2, qty + qty, id * qty FROM orders",
    "SELECT amount * discount, amount + 1, amount / qty, qty / 2, qty % 3, amount * 1.5 FROM orders",
    "SELECT sum(amount) / count(*), sum(amount) * 1.5, amount::float8 / qty FROM orders GROUP BY amount, qty",
    "SELECT amount::numeric(10,1) AS a, round(amount, 1) AS b, amount::int8 AS c, (amount / 3)::numeric(18,2) AS d FROM orders",
);
snapshot!(
    what_has_no_twin_is_not_pushable,
    "SELECT string_agg(channel, ',' ORDER BY channel) FROM orders",
    "SELECT random() FROM orders",
    "SELECT power(2.5, amount) FROM orders",
    "SELECT o.id FROM orders AS o WHERE EXISTS (SELECT 1 FROM customers AS c WHERE c.id = o.customer_id)",
    "SELECT justify_hours(placed - completed) FROM orders",
    "SELECT channel ~ 'a{2}' FROM orders",
);

#[test]
fn the_latest_rows_are_final_where_the_engine_means_the_same() {
    let sql = "SELECT o.channel, sum(o.amount) FROM orders AS o LEFT JOIN customers AS c \
               ON o.customer_id = c.id WHERE o.qty > 1 AND c.country = 'DE' GROUP BY o.channel";
    insta::assert_snapshot!(written(&deduped(plan(sql)), &replacing()));
}

#[test]
fn the_latest_rows_are_an_aggregate_elsewhere() {
    let plain = Facts(TableFacts::default());
    let sql = "SELECT channel, completed, sum(amount) FROM orders WHERE id > 5 AND qty > 1 GROUP BY channel, completed";
    insta::assert_snapshot!(written(&deduped(plan(sql)), &plain));
}

#[test]
fn long_lists_and_deep_plans_stay_linear() {
    let plain = Facts(TableFacts::default());
    let ids: Vec<String> = (0..10_000).map(|id| id.to_string()).collect();
    let list = format!("SELECT id FROM orders WHERE id IN ({})", ids.join(", "));
    assert!(written(&plan(&list), &plain).len() < list.len() + 100);

    let mut nested = "SELECT id AS x FROM orders".to_owned();
    for _ in 0..12 {
        nested = format!("SELECT x + x AS x FROM ({nested}) AS s");
    }
    let sql = written(&plan(&nested), &plain);
    assert!(sql.len() < 20_000, "{} bytes", sql.len());

    let mut deep = "SELECT id AS x FROM orders".to_owned();
    for _ in 0..15 {
        deep = format!("SELECT x FROM ({deep} ORDER BY x LIMIT 5) AS s");
    }
    assert!(written(&plan(&deep), &plain).contains("t15"));
}
