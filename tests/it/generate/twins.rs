//! Whole statements over the same rows in both engines: equal answers, all of it pushed.

use canon::backend::Backend;
use canon::backend::embedded::Embedded;

use super::{Tables, ask, texts};
use crate::backend::write_parquet;
use crate::clickhouse_server::ClickHouseServer;

const TABLES: &[&str] = &[
    "CREATE TABLE orders (id Int64, customer_id Nullable(Int64), channel LowCardinality(String), \
     status Enum8('open' = 1, 'completed' = 2), amount Decimal(18, 2), discount Nullable(Decimal(18, 2)), \
     qty UInt32, weight Nullable(Float64), placed DateTime, completed Nullable(DateTime64(3, 'UTC')), day Date, \
     big UInt64, flag Bool) ENGINE = MergeTree ORDER BY (day, id)",
    "INSERT INTO orders VALUES \
     (1, 1, 'web', 'completed', 10.50, NULL, 1, 1.5, '2026-01-01 10:00:00', '2026-01-01 11:00:00.250', '2026-01-01', 18446744073709551615, true), \
     (2, 1, 'app', 'open', 20.00, 1.25, 2, NULL, '2026-01-02 10:00:00', NULL, '2026-01-02', 0, false), \
     (3, NULL, 'web', 'completed', 7.25, 0.25, 3, 2.5, '2026-02-01 00:00:00', '2026-02-01 00:00:00', '2026-02-01', 5, true), \
     (4, 9, 'shop', 'open', 0.00, NULL, 0, -1, '2026-02-28 23:59:59', NULL, '2026-02-28', 7, true), \
     (5, 2, 'web', 'completed', 99.99, 9.99, 4, 0.25, '2026-03-29 00:59:59', '2026-03-29 01:00:00.001', '2026-03-29', 9, false)",
    "CREATE TABLE customers (id Int64, country Nullable(String), uuid UUID) ENGINE = MergeTree ORDER BY id",
    "INSERT INTO customers VALUES (1, 'DE', '61f0c404-5cb3-11e7-907b-a6006ad3dba0'), \
     (2, NULL, '00000000-0000-0000-0000-000000000000'), (3, 'FR', '61f0c404-5cb3-11e7-907b-a6006ad3dba1')",
    "CREATE TABLE nasty (id Int64, t String) ENGINE = MergeTree ORDER BY id",
];

const NASTY: [&str; 10] = [
    "O'Brien",
    "a\\",
    "\\' OR 1=1 --",
    "{x:String}",
    "",
    "a\nb",
    "ünï😀",
    "tab\there",
    "a\r\n",
    "`\"$1?",
];

/// Answered by ClickHouse alone, in both engines alike. Ordered where the text ends in ORDER BY.
const STATEMENTS: &[&str] = &[
    "SELECT * FROM orders",
    "SELECT * FROM customers",
    "SELECT id FROM orders WHERE placed >= '2026-01-02' AND placed < '2026-03-29 00:59:59.5'",
    "SELECT id FROM orders WHERE placed > '2026-01-02 10:00:00' OR completed <= '2026-01-01 11:00:00.2509'",
    "SELECT id FROM orders WHERE completed = '2026-03-29 01:00:00.001' OR completed > '2026-03-29 01:00:00.0005'",
    "SELECT id FROM orders WHERE placed = '2026-01-02 10:00:00.5' OR placed <> '2026-01-02 10:00:00'",
    "SELECT id FROM orders WHERE day BETWEEN '2026-01-02' AND '2026-02-28' AND day > '0001-01-01' AND day < '9999-12-31'",
    "SELECT id FROM orders WHERE status = 'lost' OR status > 'd' OR status <> 'open'",
    "SELECT id FROM orders WHERE status NOT IN ('lost', 'open')",
    "SELECT id FROM orders WHERE customer_id NOT IN (1, NULL)",
    "SELECT id, customer_id IN (1, NULL), customer_id NOT IN (1, NULL), customer_id IN (1, 2) FROM orders",
    "SELECT id FROM orders WHERE NOT (customer_id = 1) OR discount IS NULL",
    "SELECT id FROM orders WHERE big > 6 AND big < 18446744073709551615",
    "SELECT id FROM orders WHERE qty > 1.5 AND amount >= 7.255 AND amount < 20.001",
    "SELECT id FROM orders WHERE flag AND weight > 0 OR flag IS NOT TRUE",
    "SELECT id, qty - 5, qty * qty, amount / qty FROM orders WHERE qty > 0",
    "SELECT id, CASE WHEN qty <> 0 THEN amount / qty END, CASE WHEN qty <> 0 THEN 10 / qty ELSE -1 END FROM orders",
    "SELECT id, amount * discount, amount - discount, amount + 1, -amount, amount * 1.005 FROM orders",
    "SELECT id, weight / 3, weight * 2 - 1, -weight FROM orders WHERE weight IS NOT NULL OR true",
    "SELECT count(*), count(discount), sum(qty), sum(id), avg(qty), avg(amount), avg(weight), min(placed), max(completed), min(day), max(status), min(channel) FROM orders",
    "SELECT count(*), sum(qty), sum(amount), avg(amount), avg(qty), min(day), count(DISTINCT channel), bool_and(flag), percentile_cont(0.5) WITHIN GROUP (ORDER BY amount), stddev(weight), percentile_disc(0.3) WITHIN GROUP (ORDER BY amount) FROM orders WHERE id > 100",
    "SELECT channel, count(*), sum(amount), sum(amount) FILTER (WHERE status = 'completed'), count(*) FILTER (WHERE discount > 1), count(DISTINCT customer_id), bool_or(flag) FROM orders GROUP BY channel",
    "SELECT customer_id, discount > 1, count(*) FROM orders GROUP BY 1, 2",
    "SELECT 'k' AS k, sum(amount) FROM orders WHERE id > 100 GROUP BY 1",
    "SELECT channel, sum(amount) / count(*) AS r FROM orders GROUP BY channel HAVING sum(qty) > 1 ORDER BY r DESC, channel",
    "SELECT status, placed, completed, day, count(*) FROM orders GROUP BY status, placed, completed, day",
    "SELECT channel, status, grouping(channel), grouping(status), grouping(channel, status), sum(amount), count(channel) FROM orders GROUP BY ROLLUP (channel, status)",
    "SELECT channel, placed, sum(amount) FROM orders GROUP BY GROUPING SETS ((channel), (placed), ())",
    "SELECT customer_id, flag, count(customer_id), grouping(customer_id) FROM orders GROUP BY CUBE (customer_id, flag)",
    "SELECT channel, sum(amount) FROM orders WHERE id > 100 GROUP BY ROLLUP (channel)",
    "SELECT o.id, c.country, c.uuid FROM orders AS o LEFT JOIN customers AS c ON o.customer_id = c.id WHERE o.qty > 0",
    "SELECT o.id, c.country FROM orders AS o JOIN customers AS c ON o.customer_id = c.id AND o.qty > 1",
    "SELECT o.id, c.label FROM orders AS o LEFT JOIN (SELECT id, coalesce(country, '(none)') AS label FROM customers) AS c ON o.customer_id = c.id",
    "SELECT o.id, c.id FROM orders AS o RIGHT JOIN customers AS c ON o.customer_id = c.id AND o.qty > 1",
    "SELECT o.id, c.id FROM orders AS o FULL JOIN customers AS c ON o.customer_id = c.id",
    "SELECT o.id, o.placed, o.status, c.id FROM customers AS c LEFT JOIN orders AS o ON o.customer_id = c.id",
    "SELECT a.channel, a.s, b.n FROM (SELECT channel, sum(amount) AS s FROM orders GROUP BY channel) AS a FULL JOIN (SELECT channel, count(*) AS n FROM orders WHERE flag GROUP BY channel) AS b ON a.channel = b.channel",
    "SELECT count(*) FROM orders AS o CROSS JOIN customers AS c",
    "SELECT c.country, sum(o.amount), count(*) FROM orders AS o LEFT JOIN customers AS c ON o.customer_id = c.id GROUP BY c.country",
    "SELECT id FROM orders ORDER BY discount, id",
    "SELECT id FROM orders ORDER BY discount DESC NULLS LAST, status, id LIMIT 3 OFFSET 1",
    "SELECT id FROM orders ORDER BY weight DESC, completed LIMIT 4",
    "SELECT channel FROM (SELECT * FROM orders ORDER BY id LIMIT 3) AS s WHERE qty > 1",
    "SELECT id FROM (SELECT id FROM orders ORDER BY id DESC LIMIT 3) AS s ORDER BY id LIMIT 2",
    "SELECT DISTINCT channel, flag FROM orders",
    "SELECT count(*) FROM (SELECT DISTINCT status FROM orders) AS s",
    "SELECT id, amount FROM orders UNION ALL SELECT id, 5 FROM customers ORDER BY 1, 2 LIMIT 5 OFFSET 2",
    "SELECT country FROM customers UNION SELECT channel FROM orders",
    "SELECT channel, sum(sum(amount)) OVER (ORDER BY channel), row_number() OVER (ORDER BY sum(amount) DESC) FROM orders GROUP BY channel",
    "SELECT * FROM (SELECT id, row_number() OVER (PARTITION BY channel ORDER BY placed DESC) AS n FROM orders) AS s WHERE n = 1",
    "SELECT id, sum(amount) OVER (PARTITION BY channel), amount / sum(amount) OVER () FROM orders",
    "SELECT id, lag(amount) OVER (ORDER BY id), lead(placed, 2) OVER (ORDER BY id), rank() OVER (ORDER BY channel), max(weight) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM orders",
    "SELECT id FROM orders WHERE customer_id IN (SELECT id FROM customers WHERE country = 'DE')",
    "SELECT id FROM orders WHERE id NOT IN (SELECT id FROM customers)",
    "SELECT id FROM orders WHERE amount > (SELECT avg(amount) FROM orders)",
    "SELECT id FROM orders WHERE EXISTS (SELECT 1 FROM customers WHERE country = 'XX')",
    "SELECT date_trunc('month', placed), date_trunc('day', completed), extract(month from day), extract(epoch from completed), count(*) FROM orders GROUP BY 1, 2, 3, 4",
    "SELECT placed AT TIME ZONE 'America/New_York', date_trunc('day', placed AT TIME ZONE 'Europe/Berlin'), completed::date, day + 1, placed + interval '1 month' FROM orders",
    "SELECT id FROM orders WHERE extract(year from placed) = 2026 AND date_trunc('month', completed) = '2026-03-01'",
    "SELECT id FROM orders WHERE placed AT TIME ZONE 'Europe/Berlin' >= '2026-02-01' AND placed AT TIME ZONE 'Europe/Berlin' < '2026-03-29 02:00:00'",
    "SELECT id FROM orders WHERE date_trunc('day', placed AT TIME ZONE 'Europe/Berlin') = '2026-02-01'",
    "SELECT upper(channel) || '-' || status, concat(channel, discount), length(status), left(channel, 2) FROM orders",
    "SELECT channel LIKE 'w%', status ILIKE 'C%', channel ~ '^(web|app)$', coalesce(customer_id, -1), greatest(qty, 2), nullif(channel, 'web') FROM orders",
    "SELECT amount::text AS a, qty::text AS q, flag::text AS f, day::text AS d, placed::text AS p, completed::text AS c, amount::int8 AS i, amount::float8 AS g, discount::numeric(5,1) AS n FROM orders",
    "SELECT count(*) FROM orders WHERE false",
    "SELECT id, 'x' AS c, NULL AS n, 9223372036854775807, -9223372036854775807, 0.1::float8, true, date '1960-01-01' FROM orders WHERE id = 1",
];

#[tokio::test]
async fn statements_answer_alike_in_both_engines() {
    let server = ClickHouseServer::start().await;
    server.run(TABLES).await;
    for (id, text) in NASTY.iter().enumerate() {
        let insert = server.client();
        let insert = insert.query("INSERT INTO nasty VALUES (?, ?)").bind(id).bind(*text);
        insert.execute().await.unwrap();
    }
    let clickhouse = server.backend();
    let names = ["orders", "customers", "nasty"];
    let dir = tempfile::tempdir().unwrap();
    let tables = Tables::of(&clickhouse, &names).await;
    for name in names {
        let all = tables.analysed(&format!("SELECT * FROM {name} ORDER BY id")).unwrap();
        let all = ask(&clickhouse, all).await.unwrap();
        write_parquet(&dir.path().join(format!("{name}.parquet")), &all.batch);
    }
    let embedded = Embedded::open(dir.path()).unwrap();
    let mut faults = Vec::new();
    for sql in STATEMENTS {
        if let Err(fault) = compare(&clickhouse, &embedded, sql).await {
            faults.push(format!("{sql}\n  {fault}"));
        }
    }
    for (id, text) in NASTY.iter().enumerate() {
        let quoted = text.replace('\'', "''");
        for sql in [
            format!("SELECT id, t FROM nasty WHERE t = '{quoted}'"),
            format!("SELECT id, '{quoted}' AS t FROM nasty WHERE t IN ('{quoted}', 'other')"),
        ] {
            match compare(&clickhouse, &embedded, &sql).await {
                Ok(rows) if rows == [format!("{id}|{text}")] => {}
                Ok(rows) => faults.push(format!("{sql}\n  {rows:?}")),
                Err(fault) => faults.push(format!("{sql}\n  {fault}")),
            }
        }
    }
    assert!(
        faults.is_empty(),
        "{} faults:
{}",
        faults.len(),
        faults.join(
            "
"
        )
    );
}

async fn compare(
    clickhouse: &dyn Backend,
    embedded: &dyn Backend,
    sql: &str,
) -> Result<Vec<String>, String> {
    let ordered = sql.contains(" ORDER BY ") && !sql.contains("OVER") && !sql.contains("WITHIN");
    let mut answers = Vec::new();
    for backend in [clickhouse, embedded] {
        let tables = Tables::of(backend, &["orders", "customers", "nasty"]).await;
        let plan = tables.analysed(sql).map_err(|error| error.to_string())?;
        let asked = ask(backend, plan).await;
        let asked = asked.map_err(|error| format!("{}: {error}", backend.name()))?;
        if backend.name() == "clickhouse" && !asked.whole {
            return Err(format!("isn't pushed as a whole: {:?}", asked.statements));
        }
        answers.push((texts(&asked.batch, ordered), asked.statements));
    }
    if answers[0].0 != answers[1].0 {
        return Err(format!(
            "{:?} in ClickHouse\n  {:?} in DataFusion\n{}",
            answers[0].0,
            answers[1].0,
            answers[0].1.join(";\n")
        ));
    }
    Ok(answers.swap_remove(0).0)
}
