//! `tests/slt/postgres`: functions, operators and casts, whose expected answers are PostgreSQL's own.
//!
//! The files are ordinary records of `tests/slt`, asked of canon over both backends and in both
//! protocol modes; their text is plain SQL over the table `samples`, so that PostgreSQL 15 is asked
//! the same and has to agree. What canon does otherwise is a record with `onlyif canon`, and beside it
//! what PostgreSQL does with `skipif canon`.
//!
//! With `CANON_UPDATE_SLT=1` the expected answers are written anew, by PostgreSQL alone.

use std::path::PathBuf;

use sqllogictest::{Record, Runner, default_normalizer, default_validator};

use canon::backend::clickhouse::generate::functions::entries;
use canon::functions::registry;

use crate::clickhouse_server::ClickHouseServer;
use crate::fixture::{Fixture, root};
use crate::servers::{Canon, Postgres};
use crate::slt::{Protocol, Session, Shown, files_by_fixture, records_of};

const FIXTURE: &str = "postgres";

/// Fewer records would mean that files have got lost.
const RECORDS_MIN: usize = 1_000;

fn files() -> Vec<PathBuf> {
    files_by_fixture().remove(FIXTURE).unwrap()
}

#[tokio::test]
async fn postgres_agrees() {
    let postgres = Postgres::start().await;
    let fixture = Fixture::load(FIXTURE);
    postgres.with_fixture(&fixture).await;
    let update = std::env::var_os("CANON_UPDATE_SLT").is_some();
    let (mut asked, mut failures) = (0, Vec::new());
    for file in files() {
        let (port, database) = (postgres.port, fixture.identifier());
        let mut runner = Runner::new(move || {
            let database = database.clone();
            async move {
                let client = crate::servers::connect_to(port, "postgres", &database).await?;
                Ok(Session::new(client, Protocol::Simple, port).of("postgres"))
            }
        });
        runner.with_column_validator(Shown::match_expected);
        if update {
            let validator = default_validator;
            let types = Shown::match_expected;
            let updated =
                runner.update_test_file(&file, " ", validator, default_normalizer, types).await;
            updated.unwrap();
            continue;
        }
        for record in records_of(&file) {
            asked += usize::from(matches!(record, Record::Query { .. } | Record::Statement { .. }));
            if let Err(error) = runner.run_async(record).await {
                failures.push(error.display(false).to_string());
            }
        }
    }
    assert!(failures.is_empty(), "{} answers differ:\n{}", failures.len(), failures.join("\n"));
    assert!(update || asked >= RECORDS_MIN, "only {asked} records");
}

/// Which functions are pushed to ClickHouse, and which are evaluated above the pushed statement.
fn page() -> String {
    use std::collections::BTreeSet;

    // What plans call for themselves is nobody's to write.
    let pushed: Vec<_> = entries().filter(|entry| !entry.name.starts_with("canon_")).collect();
    let names: BTreeSet<&str> = pushed.iter().map(|entry| entry.name).collect();
    let above = |all: BTreeSet<&str>| {
        let rest =
            all.into_iter().filter(|name| !names.contains(name)).map(|name| format!("`{name}`"));
        rest.collect::<Vec<_>>().join(", ")
    };
    let mut text = String::from(
        "# Where functions are evaluated\n\n\
         Written by `CANON_UPDATE_SLT=1` with the test `functions::the_page_of_functions_is_true`.\n\n\
         ## Pushed to ClickHouse\n\n\
         An exact twin exists; each entry's examples are run in both engines. Where an argument is \
         outside of what its line says (a pattern that isn't a constant), the call is evaluated \
         above the pushed statement too; EXPLAIN shows the border.\n\n\
         | name in the plan | types |\n|---|---|\n",
    );
    for entry in &pushed {
        let signature = entry.signature.replace('|', "\\|");
        text.push_str(&format!("| `{}` | {signature} |\n", entry.name.replace('|', "\\|")));
    }
    let registry = registry();
    let scalar = registry.scalar.values().map(|udf| udf.name()).collect();
    let aggregate = registry.aggregate.values().map(|udf| udf.name()).collect();
    let window = registry.window.values().map(|udf| udf.name()).collect();
    for (title, names) in
        [("functions", scalar), ("aggregates", aggregate), ("window functions", window)]
    {
        text.push_str(&format!(
            "\n## Evaluated above the pushed statement: {title}\n\n{}\n",
            above(names)
        ));
    }
    text
}

#[test]
fn the_page_of_functions_is_true() {
    let path = root().join("tests/slt/postgres/FUNCTIONS.md");
    if std::env::var_os("CANON_UPDATE_SLT").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page(), "{} is out of date: run with CANON_UPDATE_SLT=1", path.display());
}

/// Of each kind of function over columns: whether the whole statement goes to ClickHouse.
const PUSHED: &[(&str, bool)] = &[
    ("upper(t)", true),
    ("substring(t from 2 for 3)", true),
    ("split_part(t, ',', 2)", true),
    ("lpad(t, 6, '*')", true),
    ("t like '%l%'", true),
    ("t ~ '[a-z]+o'", true),
    ("t ~* '^H'", true),
    ("t ~ '\\d+'", false),
    ("date_trunc('month', z)", true),
    ("date_trunc('hour', z)", true),
    ("date_trunc('month', z, 'Europe/Berlin')", true),
    ("date_trunc('hour', z, 'Asia/Kolkata')", true),
    ("d::timestamp at time zone 'Europe/Berlin'", true),
    ("extract(dow from d)", true),
    ("extract(julian from d)", false),
    ("z + interval '1 month 2 hours'", true),
    ("z at time zone 'Europe/Berlin'", true),
    ("timezone('Europe/Berlin', z)", true),
    ("d + 30", true),
    ("round(n, 1)", true),
    ("coalesce(kind, t)", true),
    ("t::varchar", true),
    ("n::int", true),
    ("to_char(d, 'YYYY-MM')", true),
    ("to_char(d, 'MONTH')", false),
    ("age(z, timestamptz '2020-01-01 00:00:00+00')", false),
    ("regexp_replace(t, '[0-9]', '#')", true),
    ("regexp_replace(t, '[0-9]|x', '#')", false),
    ("concat_ws(', ', kind, t)", true),
    ("width_bucket(n, 0, 100, 5)", true),
    ("width_bucket(f, 0, 100, 5)", false),
    ("greatest(f, 0)", true),
    ("least(f, 0)", false),
    ("f > 1.5", true),
    ("f <= f + 1", true),
    ("format('%s', kind)", false),
    ("json_build_object('id', id)", false),
    ("z - timestamptz '2026-01-01 00:00:00+00'", true),
    ("extract(epoch from z - d::timestamptz)", true),
    ("z - d::timestamptz > interval '1 month'", true),
    ("coalesce(z - d::timestamptz, interval '1 day')", true),
    ("coalesce(z - d::timestamptz, interval '1 month')", false),
    ("sum(z - d::timestamptz) over (order by id)", false),
    ("first_value(t) over (partition by kind order by id)", true),
    ("ntile(4) over (order by id)", true),
    ("mod(i, 3)", true),
    ("md5(t)", true),
    ("initcap(t)", false),
];

/// Of each kind of aggregate: whether all rows of the table arrive for it, or fewer.
const REDUCED: &[(&str, bool)] = &[
    ("string_agg(DISTINCT kind, ',' ORDER BY kind)", true),
    ("array_agg(DISTINCT kind)", true),
    ("count(*) FILTER (WHERE kind ~ '\\w')", true),
    ("avg(z - d::timestamptz)", true),
    ("max(z - d::timestamptz)", true),
    ("mode() WITHIN GROUP (ORDER BY kind)", true),
    ("bit_or(i)", true),
    ("string_agg(kind, ',')", false),
    ("corr(f, n)", false),
];

/// The rows of an EXPLAIN.
async fn lines_of(client: &tokio_postgres::Client, question: &str) -> Vec<String> {
    let messages = client.simple_query(question).await.unwrap();
    let rows = messages.iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    rows.map(str::to_owned).collect()
}

/// What can't be computed there is computed from as few rows as can.
#[tokio::test]
async fn few_rows_arrive_for_an_aggregate() {
    let fixture = Fixture::load(FIXTURE);
    let server = ClickHouseServer::start().await;
    fixture.load_clickhouse(&server).await;
    let canon = Canon::over_clickhouse(&fixture, &server).await;
    let client = canon.connect("analyst").await.unwrap();
    let mut faults = Vec::new();
    for (sql, expected) in REDUCED {
        let question = format!("EXPLAIN SELECT {sql} AS x FROM samples");
        let lines = lines_of(&client, &question).await;
        let sent = lines.iter().map(String::as_str);
        let sent: Vec<&str> = sent.skip_while(|line| !line.starts_with("Sent to")).collect();
        let groups = |line: &&str| line.contains("GROUP BY") || line.contains("DISTINCT");
        let is_one_row = sent
            .iter()
            .any(|line| ["sum", "max(", "groupBit"].iter().any(|part| line.contains(part)));
        let is_reduced = is_one_row || sent.iter().any(groups);
        if is_reduced != *expected {
            faults.push(format!("{sql}:\n{}", sent.join("\n")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test]
async fn what_has_a_twin_is_pushed() {
    let fixture = Fixture::load(FIXTURE);
    let server = ClickHouseServer::start().await;
    fixture.load_clickhouse(&server).await;
    let canon = Canon::over_clickhouse(&fixture, &server).await;
    let client = canon.connect("analyst").await.unwrap();
    let mut faults = Vec::new();
    for (sql, expected) in PUSHED {
        let question = format!("EXPLAIN SELECT id, {sql} AS x FROM samples");
        let lines = lines_of(&client, &question).await;
        let top = lines.iter().skip_while(|line| *line != "Plan:").nth(1).unwrap();
        let whole = top.trim_start().starts_with("ClickHouse:");
        if whole != *expected {
            faults.push(format!("{sql}: {top}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// In a session's zone periods are cut, and their filters reach the column, as in UTC.
#[tokio::test]
async fn the_zone_of_a_session_is_pushed() {
    let fixture = Fixture::load(FIXTURE);
    let server = ClickHouseServer::start().await;
    fixture.load_clickhouse(&server).await;
    let canon = Canon::over_clickhouse(&fixture, &server).await;
    let client = canon.connect("analyst").await.unwrap();
    client.simple_query("SET TimeZone = 'Europe/Berlin'").await.unwrap();
    let from = "`z` >= toDateTime64('2026-03-28 23:00:00'";
    let to = "`z` < toDateTime64('2026-03-29 22:00:00'";
    let of_the_day: &[&str] = &[from, to];
    for (question, said) in [
        ("SELECT date_trunc('month', z) AS m, count(*) FROM samples GROUP BY 1", &[][..]),
        ("SELECT id FROM samples WHERE date_trunc('day', z) = '2026-03-29'", of_the_day),
        ("SELECT id FROM samples WHERE z::date = date '2026-03-29'", of_the_day),
        ("SELECT id FROM samples WHERE z >= date '2026-03-29' AND z < '2026-03-30'", of_the_day),
        ("SELECT id FROM samples WHERE z + interval '1 month' > now()", &[][..]),
    ] {
        let lines = lines_of(&client, &format!("EXPLAIN {question}")).await;
        let top = lines.iter().skip_while(|line| *line != "Plan:").nth(1).unwrap();
        assert!(top.trim_start().starts_with("ClickHouse:"), "{question}: {top}");
        for part in said {
            assert!(lines.iter().any(|line| line.contains(part)), "{part}: {lines:#?}");
        }
    }
}

/// Select lists of which clients are told the same names and types as by Postgres.
const DESCRIBED: &[&str] = &[
    "SELECT cardinality(ARRAY[1]), array_position(ARRAY[1], 1), array_positions(ARRAY[1], 1), \
     array_length(ARRAY[1], 1), array_upper(ARRAY[1], 1), array_lower(ARRAY[1], 1), \
     array_ndims(ARRAY[1]), gcd(1, 2), lcm(1, 2), factorial(3)",
    "SELECT cardinality(array_agg(i)), array_position(array_agg(i), 1), \
     array_positions(array_agg(i), 1), array_ndims(array_agg(i)), gcd(sum(s)::int, 2), \
     (array_agg(i))[1], (array_agg(t))[1]::varchar FROM samples",
    "SELECT '{1}'::int[], '{a}'::text[], '{a}'::varchar, '1'::numeric(5, 2), true, \
     timestamptz '2026-01-01', '2026-01-01'::timestamp with time zone, '10:00'::time(0), \
     1::bigint, 'a'::varchar(3), CAST('1 day' AS interval), localtime, current_timestamp(3)",
    "SELECT '{1}'::int[], '{a}'::text[], t::varchar, i::numeric(5, 2), true, z::date, \
     z::timestamp with time zone, z::time(0), i::bigint, (i + 1)::bigint, t::varchar(3), \
     (t || 'x')::varchar, upper(t)::varchar(3), (i + 1)::real, (i + 1)::double precision, \
     'now'::timestamp, localtime, current_timestamp(3), gen_random_uuid() FROM samples",
    "SELECT jsonb_set('{}', '{a}', '1'), '{}'::jsonb - 'a', '{}'::jsonb #- '{a}', hashtext('a')",
    "SELECT * FROM json_each('{}')",
    "SELECT * FROM jsonb_each('{}') WITH ORDINALITY AS e(k)",
    "SELECT * FROM jsonb_to_recordset('[]') AS x(a int, b text, c date, d jsonb, e bool)",
    "SELECT g.n FROM samples, generate_series(1, 2) WITH ORDINALITY AS g(x, n)",
    "SELECT (SELECT count(*) FROM samples), (SELECT max(s) AS last FROM samples), substr(t, 2), \
     NOT EXISTS (SELECT 1 FROM samples), EXISTS (SELECT 1), (SELECT 1), trim(leading 'x' from t) \
     FROM samples",
];

#[tokio::test]
async fn columns_are_described_as_by_postgres() {
    let fixture = Fixture::load(FIXTURE);
    let postgres = Postgres::start().await;
    postgres.with_fixture(&fixture).await;
    let canon = Canon::embedded(&fixture).await;
    let ours = canon.connect("analyst").await.unwrap();
    let theirs = postgres.connect_to(&fixture.identifier()).await;
    for sql in DESCRIBED {
        let (ours, theirs) = (ours.prepare(sql).await, theirs.prepare(sql).await);
        let described = |statement: tokio_postgres::Statement| -> Vec<String> {
            let columns = statement.columns().iter();
            columns.map(|column| format!("{} {}", column.name(), column.type_())).collect()
        };
        assert_eq!(described(ours.unwrap()), described(theirs.unwrap()), "{sql}");
    }
}

/// What a filter over a uuid says in the pushed statement, so that the source's key is used.
#[tokio::test]
async fn a_uuid_is_looked_up_in_the_column_as_it_is_stored() {
    let fixture = Fixture::load(FIXTURE);
    let server = ClickHouseServer::start().await;
    fixture.load_clickhouse(&server).await;
    let canon = Canon::over_clickhouse(&fixture, &server).await;
    let client = canon.connect("analyst").await.unwrap();
    let question =
        "EXPLAIN SELECT id FROM samples WHERE u = 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'";
    let lines = lines_of(&client, question).await;
    let expected = "`u` = toUUID('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11')";
    assert!(lines.iter().any(|line| line.contains(expected)), "{lines:#?}");
    let statement = client.prepare("SELECT u, w FROM samples WHERE u = $1 AND w = ANY ($2)").await;
    let statement = statement.unwrap();
    use tokio_postgres::types::Type;
    assert_eq!(statement.params(), [Type::UUID, Type::UUID_ARRAY]);
    let types: Vec<&Type> = statement.columns().iter().map(|column| column.type_()).collect();
    assert_eq!(types, [&Type::UUID, &Type::UUID]);
    let arrays = "SELECT array_agg(u), ARRAY[u, w], (array_agg(w))[1], array_agg(t), array_agg(DISTINCT u) \
                  FROM samples GROUP BY u, w";
    let statement = client.prepare(arrays).await.unwrap();
    let types: Vec<&Type> = statement.columns().iter().map(|column| column.type_()).collect();
    let expected =
        [&Type::UUID_ARRAY, &Type::UUID_ARRAY, &Type::UUID, &Type::TEXT_ARRAY, &Type::UUID_ARRAY];
    assert_eq!(types, expected);
    let statement = client.prepare("SELECT $1::uuid, $2::jsonb, $3::json, u FROM samples").await;
    let statement = statement.unwrap();
    assert_eq!(statement.params(), [Type::UUID, Type::JSONB, Type::JSON]);
    let types: Vec<&Type> = statement.columns().iter().map(|column| column.type_()).collect();
    assert_eq!(types, [&Type::UUID, &Type::JSONB, &Type::JSON, &Type::UUID]);
}
