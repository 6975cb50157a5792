//! Whole numbers come in the type that PostgreSQL gives them: drivers choose their own by it.

use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::error::SqlState;

use crate::fixture::Fixture;
use crate::servers::{Canon, Postgres, connect_to};
use crate::tools::mirrored;

/// Each expression over the orders, in a column of its own.
const EXPRESSIONS: [&str; 28] = [
    "1",
    "-7",
    "3000000000",
    "1::int8",
    "1::int2 + 1",
    "items",
    "items + 1",
    "items * 2 - 1",
    "items / 2",
    "items % 2",
    "items + order_id",
    "abs(items - 5)",
    "abs(0)",
    "CAST(extract(dow FROM ordered_at) AS integer) + 1",
    "CASE WHEN items > 2 THEN 1 ELSE 0 END",
    "CASE WHEN items > 2 THEN 1 END",
    "CASE WHEN items > 2 THEN order_id ELSE 0 END",
    "coalesce(items, 0)",
    "nullif(items, 0)",
    "completed_at::date - ordered_at::date",
    "length(channel) + 1",
    "(SELECT 1)",
    "row_number() OVER (ORDER BY order_id) + 1",
    "greatest(items, 4)",
    "coalesce(items, '7')",
    "lag(items) OVER (ORDER BY order_id)",
    "max(items) OVER () + 1",
    "first_value(order_id) OVER (ORDER BY order_id)",
];

fn statements() -> Vec<String> {
    let columns: Vec<String> =
        EXPRESSIONS.iter().enumerate().map(|(at, expr)| format!("{expr} AS c{at}")).collect();
    let columns = columns.join(", ");
    let texts = [
        format!("SELECT {columns} FROM orders ORDER BY order_id"),
        format!("SELECT * FROM (SELECT {columns} FROM orders ORDER BY order_id LIMIT 5) AS t ORDER BY c0"),
        "SELECT items + 1 AS a, count(*), sum(items), max(items + 1), min(1) \
         FROM orders GROUP BY items + 1 ORDER BY a"
            .to_owned(),
        "SELECT 1 AS a FROM orders UNION ALL SELECT items FROM orders ORDER BY a".to_owned(),
        "SELECT items AS a FROM orders UNION ALL SELECT order_id FROM orders ORDER BY a".to_owned(),
        "SELECT v.n, v.n + o.items FROM orders o JOIN (VALUES (1), (2)) AS v (n) ON v.n = o.items ORDER BY 1, 2"
            .to_owned(),
        "SELECT v.n + 1 FROM (VALUES (1), (NULL)) AS v (n) ORDER BY 1".to_owned(),
        "SELECT items, max(items), count(*) FROM orders GROUP BY ROLLUP (items) ORDER BY 1".to_owned(),
        "SELECT channel, ABS(0) AS \"pivot-grouping\", count(*) FROM orders GROUP BY 1, 2 ORDER BY 1".to_owned(),
    ];
    texts.into()
}

#[tokio::test]
async fn whole_numbers_have_the_types_of_postgres() {
    let (canon, postgres) =
        (Canon::embedded(&Fixture::load("shop")).await, Postgres::start().await);
    mirrored(&canon, &postgres).await;
    let ours = connect_to(canon.port, "analyst", "canon").await.unwrap();
    let theirs = connect_to(postgres.port, "analyst", "canon").await.unwrap();
    for sql in statements() {
        let mut answers = Vec::new();
        for client in [&ours, &theirs] {
            let statement =
                client.prepare(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
            let types = statement.columns().iter().map(|it| it.type_().oid()).collect::<Vec<_>>();
            // In the binary format, whose lengths are those of the types.
            let sizes: Vec<Vec<Option<usize>>> = client
                .query(&statement, &[])
                .await
                .unwrap()
                .iter()
                .map(|row| {
                    (0..row.len()).map(|at| row.get::<_, Option<Size>>(at).map(|it| it.0)).collect()
                })
                .collect();
            let mut texts = Vec::new();
            for message in client.simple_query(&sql).await.unwrap() {
                if let SimpleQueryMessage::Row(row) = message {
                    texts.extend((0..row.len()).map(|at| row.get(at).map(str::to_owned)));
                }
            }
            answers.push((types, sizes, texts));
        }
        assert_eq!(answers[0].0, answers[1].0, "types of {sql}");
        assert_eq!(answers[0].1, answers[1].1, "sizes of {sql}");
        assert_eq!(answers[0].2, answers[1].2, "values of {sql}");
    }
}

/// What `int4` can't hold is refused, as in PostgreSQL, and not sent as something else.
#[tokio::test]
async fn whole_numbers_that_are_too_large_are_refused() {
    let canon = Canon::embedded(&Fixture::load("shop")).await;
    let client = canon.connect("analyst").await.unwrap();
    let sql = "SELECT items * 2000000000 FROM orders";
    let error = client.simple_query(sql).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::NUMERIC_VALUE_OUT_OF_RANGE));
    let error = client.query(sql, &[]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::NUMERIC_VALUE_OUT_OF_RANGE));
}

/// The length of a value.
struct Size(usize);

impl<'a> tokio_postgres::types::FromSql<'a> for Size {
    fn from_sql(
        _: &tokio_postgres::types::Type,
        raw: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw.len()))
    }

    fn accepts(_: &tokio_postgres::types::Type) -> bool {
        true
    }
}
