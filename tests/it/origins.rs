//! Which column of which relation a result's column is: RowDescription tells it as PostgreSQL's does,
//! and drivers look up there whether it may be NULL.

use tokio_postgres::Client;

use crate::fixture::Fixture;
use crate::servers::{Canon, Postgres, connect_to};
use crate::tools::mirrored;

const STATEMENTS: [&str; 33] = [
    "SELECT * FROM orders",
    "SELECT o.*, c.country FROM orders o JOIN customers c ON c.customer_id = o.customer_id",
    "SELECT order_id AS id, (channel), channel || '', items + 1, items::int8, NULL, 1, $1::text FROM orders",
    "SELECT \"channel\", orders.status, public.orders.items FROM orders WHERE items > 1 ORDER BY 1 LIMIT 2",
    "SELECT t.a, t.b, t.n FROM (SELECT channel AS a, order_id AS b, 1 AS n FROM orders) AS t",
    "SELECT a FROM (SELECT b AS a FROM (SELECT channel, items FROM orders) AS t (b, c)) AS u",
    "SELECT * FROM (SELECT channel, items FROM orders) AS t (one, two)",
    "WITH w AS (SELECT order_id, channel FROM orders) SELECT order_id, channel FROM w",
    "WITH w (a, b) AS (SELECT order_id, upper(channel) FROM orders) SELECT * FROM w",
    "SELECT customer_id, channel, tier FROM orders JOIN customers USING (customer_id)",
    "SELECT customer_id FROM orders RIGHT JOIN customers USING (customer_id)",
    "SELECT * FROM orders LEFT JOIN customers USING (customer_id)",
    "SELECT customers.* FROM orders LEFT JOIN customers USING (customer_id)",
    "SELECT channel, count(*), max(items), min(order_id) FROM orders GROUP BY channel",
    "SELECT channel AS c, status FROM orders GROUP BY ROLLUP (1, 2)",
    "SELECT upper(channel) FROM orders GROUP BY 1",
    "SELECT DISTINCT channel, status FROM orders",
    "SELECT DISTINCT ON (channel) channel, order_id FROM orders ORDER BY channel, order_id",
    "SELECT channel FROM orders UNION ALL SELECT channel FROM orders",
    "SELECT c FROM (SELECT channel AS c FROM orders EXCEPT SELECT tier FROM customers) AS t",
    "SELECT order_id, row_number() OVER (ORDER BY order_id), lag(items) OVER (ORDER BY order_id) FROM orders",
    "SELECT CASE WHEN true THEN channel END, coalesce(channel, 'a'), (SELECT max(tier) FROM customers) FROM orders",
    "SELECT order_id, (SELECT order_id FROM orders ORDER BY 1 LIMIT 1) FROM orders",
    "VALUES (1, 'a')",
    "SELECT n FROM (VALUES (1)) AS v (n)",
    "SELECT n, order_id FROM generate_series(1, 2) AS n, orders",
    "TABLE customers",
    "SELECT customer_tier, revenue FROM metrics.revenue",
    "SELECT channel, sum(revenue) AS revenue FROM orders GROUP BY channel",
    "SELECT relname, c.oid, c.relnatts, n.nspname, c.relname || '' AS x \
     FROM pg_class c LEFT JOIN pg_namespace n ON n.oid = c.relnamespace",
    "SELECT relkind, count(*) FROM pg_catalog.pg_class GROUP BY relkind",
    "SELECT t.a, table_type FROM (SELECT table_name AS a, table_type FROM information_schema.tables) AS t",
    "SELECT relname FROM pg_class UNION SELECT attname FROM pg_attribute",
];

/// Where a column that is never NULL in its relation may be NULL in the result: PostgreSQL tells its
/// relation, and drivers take it for never NULL; canon tells none.
const OPTIONAL: [&str; 4] = ["LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "ROLLUP"];

/// Each column's relation, number, and whether it is never NULL.
async fn origins(client: &Client, sql: &str) -> Vec<(String, i32, Option<bool>)> {
    let statement = client.prepare(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    // What sqlx asks to know which columns are options.
    let asked = "SELECT attrelid::regclass::text, attnotnull FROM pg_catalog.pg_attribute \
                 WHERE attrelid = $1 AND attnum = $2";
    let mut found = Vec::new();
    for column in statement.columns() {
        let Some(table) = column.table_oid() else {
            found.push((String::new(), 0, None));
            continue;
        };
        let number = column.column_id().unwrap();
        let row = client.query_one(asked, &[&table, &number]).await;
        let row = row.unwrap_or_else(|error| panic!("{sql}: {table} {number}: {error:?}"));
        found.push((row.get(0), i32::from(number), row.get(1)));
    }
    found
}

#[tokio::test]
async fn plain_columns_say_which_relation_they_are_of() {
    let (canon, postgres) =
        (Canon::embedded(&Fixture::load("shop")).await, Postgres::start().await);
    mirrored(&canon, &postgres).await;
    let ours = connect_to(canon.port, "analyst", "canon").await.unwrap();
    let theirs = connect_to(postgres.port, "analyst", "canon").await.unwrap();
    let mut known = 0;
    for sql in STATEMENTS {
        let (ours, mut theirs) = (origins(&ours, sql).await, origins(&theirs, sql).await);
        if OPTIONAL.iter().any(|words| sql.contains(words)) {
            let hidden = theirs
                .iter_mut()
                .zip(&ours)
                .filter(|(theirs, ours)| theirs.2 == Some(true) && ours.0.is_empty());
            hidden.for_each(|(theirs, ours)| *theirs = ours.clone());
        }
        assert_eq!(ours, theirs, "{sql}");
        known += ours.iter().filter(|(table, _, _)| !table.is_empty()).count();
    }
    // By which sqlx finds the names of tables and columns.
    let mut answers = Vec::new();
    for client in [&ours, &theirs] {
        let oid = client.query_one("SELECT 'orders'::regclass::oid", &[]).await.unwrap();
        let oid: u32 = oid.get(0);
        let sql = format!(
            "SELECT attrelid::regclass::text table_name, array_agg(ROW(attnum, attname)) AS columns \
             FROM (VALUES ({oid}, 1), ({oid}, 2)) lookup(table_oid, attribute_num) \
             INNER JOIN pg_catalog.pg_attribute \
             ON lookup.table_oid = attrelid AND lookup.attribute_num = attnum GROUP BY attrelid"
        );
        let statement = client.prepare(&sql).await.unwrap();
        let types: Vec<u32> = statement.columns().iter().map(|it| it.type_().oid()).collect();
        let mut rows = Vec::new();
        for message in client.simple_query(&sql).await.unwrap() {
            if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
                rows.push((row.get(0).map(str::to_owned), row.get(1).map(str::to_owned)));
            }
        }
        answers.push((types, rows));
    }
    assert_eq!(answers[0], answers[1]);
    assert!(known > 100, "only {known} columns of relations");
}

#[tokio::test]
async fn what_may_be_null_is_not_told_to_be_never_null() {
    let canon = Canon::embedded(&Fixture::load("shop")).await;
    let client = canon.connect("analyst").await.unwrap();
    for (sql, expected) in [
        (
            "SELECT c.customer_id, c.country, o.order_id, o.channel \
             FROM orders o LEFT JOIN customers c ON c.customer_id = o.customer_id",
            [None, Some(false), Some(true), Some(false)],
        ),
        (
            "SELECT t.a, t.b, t.c, t.d FROM (SELECT c.customer_id AS a, c.country AS b, o.order_id AS c, \
             o.channel AS d FROM orders o RIGHT JOIN customers c ON c.customer_id = o.customer_id) AS t",
            [Some(true), Some(false), None, Some(false)],
        ),
        (
            "SELECT c.customer_id, t.order_id, t.channel, t.order_id FROM customers c \
             FULL JOIN (SELECT order_id, channel, customer_id FROM orders) AS t ON t.customer_id = c.customer_id",
            [None, None, Some(false), None],
        ),
        (
            "SELECT order_id, channel, count(*), 1 FROM orders GROUP BY ROLLUP (1, 2)",
            [None, Some(false), None, None],
        ),
        (
            "SELECT c.relname, n.nspname, n.nspacl::text, c.relkind \
             FROM pg_class c LEFT JOIN pg_namespace n ON n.oid = c.relnamespace",
            [Some(true), None, None, Some(true)],
        ),
    ] {
        let found: Vec<Option<bool>> =
            origins(&client, sql).await.into_iter().map(|(_, _, not_null)| not_null).collect();
        assert_eq!(found, expected, "{sql}");
    }
}

/// Names that the catalogue doesn't list are no relation's column; those of functions neither.
#[tokio::test]
async fn what_the_catalogue_does_not_list_has_no_origin() {
    let canon = Canon::embedded(&Fixture::load("shop")).await;
    let client = canon.connect("analyst").await.unwrap();
    for sql in [
        "SELECT MEASURE(revenue) FROM orders",
        "SELECT customer_tier, revenue FROM canon.query('revenue', by => 'customer_tier')",
        "SELECT metric, version FROM canon.versions",
    ] {
        let origins = origins(&client, sql).await;
        assert!(origins.iter().all(|(table, _, _)| table.is_empty()), "{sql}: {origins:?}");
    }
}
