//! What clients ask of the catalogue, and what it answers.
//!
//! `catalog/*.txt` hold statements with their answers: those of `psql.txt` and `sqlalchemy.txt` as
//! psql 15 and SQLAlchemy 2.1 send them, the others of the shapes that drivers and BI tools send.
//! The answers were compared with PostgreSQL 15's over the same tables.
//!
//! A case is a line of column names and types, and the rows, values parted by `|`:
//!
//! ```text
//! SELECT relname FROM pg_class WHERE oid = '{orders}'
//! ----
//! relname name
//! orders
//! ```
//!
//! `{relation}` stands for an OID, `-- $1 = value` above a statement for a parameter's value,
//! `(n rows)` for rows that are only counted, `ERROR code message` for an error.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use canon::error::ClientError;
use canon::functions::StatementZones;
use canon::sql::catalog::{
    Catalog, CatalogColumn, CatalogError, CatalogForeignKey, CatalogQuery, CatalogRelation,
    CatalogSession, CatalogSnapshot, Filled, Owner,
};
use canon::sql::timezone::TimeZone;
use canon::sql::types::PgType;
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::datasource::MemTable;
use datafusion::physical_plan::execute_stream;
use datafusion::sql::sqlparser::ast::{Query, Statement};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use futures::TryStreamExt;

fn column(name: &str, pg_type: PgType) -> CatalogColumn {
    CatalogColumn { name: name.to_owned(), pg_type, not_null: false, comment: None }
}

fn commented(name: &str, pg_type: PgType, comment: &str) -> CatalogColumn {
    CatalogColumn { comment: Some(comment.to_owned()), ..column(name, pg_type) }
}

fn relation(schema: &str, name: &str, columns: Vec<CatalogColumn>) -> CatalogRelation {
    CatalogRelation {
        schema: schema.to_owned(),
        name: name.to_owned(),
        comment: None,
        columns,
        primary_key: Vec::new(),
        foreign_keys: Vec::new(),
        estimated_rows: None,
    }
}

fn snapshot() -> CatalogSnapshot {
    let money = |scale| PgType::Numeric(Some((scale, 2)));
    let customers = CatalogRelation {
        primary_key: vec!["customer_id".to_owned()],
        ..relation(
            "public",
            "customers",
            vec![
                column("customer_id", PgType::Int8),
                column("country", PgType::Text),
                column("tier", PgType::Text),
                column("signup_date", PgType::Date),
            ],
        )
    };
    let orders = CatalogRelation {
        comment: Some("One basket that a customer committed to.".to_owned()),
        primary_key: vec!["order_id".to_owned()],
        foreign_keys: vec![CatalogForeignKey {
            columns: vec!["customer_id".to_owned()],
            schema: "public".to_owned(),
            relation: "customers".to_owned(),
            referenced_columns: vec!["customer_id".to_owned()],
        }],
        ..relation(
            "public",
            "orders",
            vec![
                column("order_id", PgType::Int8),
                column("customer_id", PgType::Int8),
                commented("channel", PgType::Text, "where it was placed"),
                column("status", PgType::Text),
                column("ordered_at", PgType::Timestamptz),
                column("gross_amount", money(18)),
                column("is_test", PgType::Bool),
                column("tags", PgType::Array(Box::new(PgType::Text))),
                column("metric_time", PgType::Timestamp),
                commented("revenue", money(38), "Committed revenue in EUR (version 2.0.0)"),
            ],
        )
    };
    let revenue = CatalogRelation {
        comment: Some("How much did customers commit to?".to_owned()),
        estimated_rows: Some(1000),
        ..relation(
            "metrics",
            "revenue",
            vec![
                column("metric_time", PgType::Timestamp),
                column("channel", PgType::Text),
                column("revenue", money(38)),
            ],
        )
    };
    let loyalty_tier = CatalogRelation {
        primary_key: vec!["customer_id".to_owned()],
        ..relation(
            "segments",
            "loyalty_tier",
            vec![column("customer_id", PgType::Int8), column("loyalty_tier", PgType::Text)],
        )
    };
    CatalogSnapshot { relations: vec![customers, orders, revenue, loyalty_tier] }
}

fn utc() -> StatementZones {
    StatementZones::of_session(TimeZone::UTC)
}

fn session() -> CatalogSession {
    let settings = [
        ("server_version", "15.0"),
        ("server_version_num", "150000"),
        ("search_path", "\"$user\", public"),
        ("TimeZone", "UTC"),
    ];
    let settings: BTreeMap<String, String> =
        settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    CatalogSession {
        role: "analyst".to_owned(),
        database: "shop".to_owned(),
        application_name: "test".to_owned(),
        backend_pid: 7,
        settings: Arc::new(settings),
        now: "2026-03-01T10:00:00Z".parse().expect("a good time"),
        changes: Default::default(),
        pause: Default::default(),
        seen: Default::default(),
    }
}

fn parse(text: &str) -> Box<Query> {
    let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, text).expect(text);
    match (statements.pop(), statements.is_empty()) {
        (Some(Statement::Query(query)), true) => query,
        other => panic!("not one query: {other:?}"),
    }
}

async fn run(
    catalog: &Catalog,
    query: &CatalogQuery,
    values: &[(usize, String)],
) -> Result<Vec<RecordBatch>, CatalogError> {
    let params = query.params.iter().enumerate().map(|(at, pg_type)| {
        let value = values.iter().find(|(number, _)| *number == at + 1);
        let text = value.map(|(_, text)| text.clone());
        ScalarValue::Utf8(text).cast_to(&pg_type.to_arrow()).expect("a value of the type")
    });
    let params: Vec<ScalarValue> = params.collect();
    let (plan, task) = match catalog.filled(query, &params)? {
        Filled::Rows(batch) => return Ok(vec![batch]),
        Filled::Plan(plan) => catalog.physical_plan(&plan, &session()).await?,
    };
    execute_stream(plan, task)?.try_collect().await.map_err(CatalogError::from)
}

async fn answer(catalog: &Catalog, text: &str, counted: bool) -> String {
    let values = text.lines().filter_map(|line| {
        let (number, value) = line.strip_prefix("-- $")?.split_once(" = ")?;
        Some((number.parse().expect("a number"), value.to_owned()))
    });
    let values: Vec<(usize, String)> = values.collect();
    let query = parse(text);
    assert_eq!(catalog.owner_of(&query), Owner::Catalog, "{text}");
    let answered = async {
        let query = catalog.prepare(&query, &[], &session(), utc())?;
        let batches = run(catalog, &query, &values).await?;
        Ok::<_, CatalogError>((query, batches))
    };
    let (query, batches) = match answered.await {
        Ok(answered) => answered,
        Err(error) => return format!("ERROR {} {error}", error.sqlstate()),
    };
    let columns =
        query.columns.iter().map(|(name, pg_type)| format!("{name} {}", name_of(pg_type)));
    let mut printed = columns.collect::<Vec<_>>().join("|");
    if counted {
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let _ = write!(printed, "\n({rows} rows)");
        return printed;
    }
    for batch in &batches {
        for row in 0..batch.num_rows() {
            let values = batch.columns().iter().map(|column| print(column, row));
            let _ = write!(printed, "\n{}", values.collect::<Vec<_>>().join("|"));
        }
    }
    printed
}

fn name_of(pg_type: &PgType) -> String {
    match pg_type {
        PgType::Array(item) => format!("{}[]", name_of(item)),
        PgType::System(system) => system.name.to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// A value as psql shows it; NULL as `∅`.
fn print(column: &ArrayRef, row: usize) -> String {
    if let DataType::Struct(_) = column.data_type() {
        // An object of the catalogue: its name, and its OID.
        return print(column.as_struct().column(0), row);
    }
    if column.is_null(row) {
        return "∅".to_owned();
    }
    match column.data_type() {
        DataType::Boolean => if column.as_boolean().value(row) { "t" } else { "f" }.to_owned(),
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            let items = (0..items.len()).map(|at| print(&items, at));
            format!("{{{}}}", items.collect::<Vec<_>>().join(","))
        }
        _ => {
            let texts = cast(column, &DataType::Utf8).expect("a text of the value");
            texts.as_string::<i32>().value(row).replace('\n', "⏎")
        }
    }
}

/// The OIDs that `{relation}` stands for.
async fn oids(catalog: &Catalog) -> BTreeMap<String, String> {
    let query = parse("SELECT relname, oid FROM pg_class WHERE oid >= 16384");
    let query = catalog.prepare(&query, &[], &session(), utc()).expect("a plan");
    let batches = run(catalog, &query, &[]).await.expect("rows");
    let rows = batches.iter().flat_map(|batch| {
        (0..batch.num_rows()).map(|row| (print(batch.column(0), row), print(batch.column(1), row)))
    });
    rows.collect()
}

async fn check(file: &str) {
    let path = format!("{}/tests/it/catalog/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect(&path);
    let catalog = Catalog::new(snapshot());
    let oids = oids(&catalog).await;
    let mut rewritten = String::new();
    for case in text.split("\n\n").filter(|case| !case.trim().is_empty()) {
        let (statement, expected) = case.split_once("\n----").expect("a statement and its answer");
        let statement = statement.trim_matches('\n');
        let mut sent = statement.to_owned();
        for (name, oid) in &oids {
            sent = sent.replace(&format!("{{{name}}}"), oid);
        }
        let counted = expected.lines().last().is_some_and(|line| line.ends_with(" rows)"));
        let mut answered = answer(&catalog, &sent, counted).await;
        for (name, oid) in &oids {
            answered = answered.replace(oid, &format!("{{{name}}}"));
        }
        let _ = write!(rewritten, "{statement}\n----\n{answered}\n\n");
    }
    let rewritten = rewritten.trim_end_matches('\n').to_owned() + "\n";
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(&path, rewritten).expect(&path);
    } else if rewritten != text {
        let pairs = rewritten.lines().zip(text.lines());
        let first = pairs.enumerate().find(|(_, (answered, expected))| answered != expected);
        panic!("{file}: set UPDATE_EXPECTED to see all differences; the first: {first:#?}");
    }
}

#[tokio::test]
async fn psql_shows_the_catalogue() {
    check("psql.txt").await;
}

#[tokio::test]
async fn sqlalchemy_inspects_tables() {
    check("sqlalchemy.txt").await;
}

#[tokio::test]
async fn drivers_read_metadata() {
    check("drivers.txt").await;
}

#[tokio::test]
async fn metabase_syncs() {
    check("metabase.txt").await;
}

#[tokio::test]
async fn queries_mean_what_they_mean_in_postgres() {
    check("meaning.txt").await;
}

#[tokio::test]
async fn faults_are_told_as_in_postgres() {
    check("faults.txt").await;
}

#[test]
fn a_query_belongs_to_whoever_owns_its_relations() {
    let catalog = Catalog::new(snapshot());
    let cases = [
        ("SELECT 1", Owner::Catalog),
        ("SELECT * FROM pg_class", Owner::Catalog),
        ("SELECT * FROM information_schema.tables t, pg_namespace", Owner::Catalog),
        ("WITH orders AS (SELECT 1 AS one) SELECT * FROM orders", Owner::Catalog),
        ("SELECT * FROM generate_series(1, 3)", Owner::Catalog),
        ("SELECT * FROM pg_catalog.no_such_table", Owner::Catalog),
        ("SELECT * FROM orders", Owner::Data),
        ("SELECT * FROM public.orders WHERE order_id IN (SELECT 1)", Owner::Data),
        ("SELECT * FROM canon.query('revenue')", Owner::Data),
        ("SELECT * FROM orders, pg_class", Owner::Mixed),
        ("SELECT (SELECT count(*) FROM pg_class) FROM orders", Owner::Mixed),
    ];
    for (text, owner) in cases {
        assert_eq!(catalog.owner_of(&parse(text)), owner, "{text}");
    }
}

#[tokio::test]
async fn live_tables_are_read_beside_the_catalogue() {
    let batch = RecordBatch::try_from_iter([(
        "relation",
        Arc::new(datafusion::arrow::array::StringArray::from(vec!["orders"])) as ArrayRef,
    )]);
    let batch = batch.expect("a batch");
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).expect("a table");
    let name = ("canon".to_owned(), "cache".to_owned());
    let catalog = Catalog::new(snapshot()).with_tables(vec![(name.0, name.1, Arc::new(table))]);
    let text = "SELECT c.relkind, k.* FROM canon.cache k JOIN pg_class c ON c.relname = k.relation";
    assert_eq!(answer(&catalog, text, false).await, "relkind char|relation text\nr|orders");
    assert_eq!(catalog.owner_of(&parse("SELECT * FROM canon.metrics")), Owner::Data);
}

#[test]
fn parameters_get_the_types_that_clients_expect() {
    let catalog = Catalog::new(snapshot());
    let int = || PgType::Array(Box::new(PgType::Int2));
    let cases = [
        ("SELECT $1::int", vec![PgType::Int4]),
        ("SELECT 1 FROM pg_class WHERE relname = $1 AND oid = $2", vec![PgType::Name, PgType::Oid]),
        ("SELECT 1 FROM pg_class WHERE relname LIKE $1", vec![PgType::Text]),
        ("SELECT 1 FROM pg_attribute WHERE attnum = ANY($1)", vec![int()]),
        ("SELECT 1 FROM pg_class WHERE relname IN ($1, $2)", vec![PgType::Name, PgType::Name]),
        ("SELECT $1::regclass", vec![PgType::Regclass]),
        ("SELECT format_type($1, $2)", vec![PgType::Oid, PgType::Int4]),
        ("SELECT has_table_privilege($1, 'select')", vec![PgType::Text]),
        ("SELECT $1", vec![PgType::Text]),
        ("SELECT relname FROM pg_class LIMIT $1", vec![PgType::Int8]),
    ];
    for (text, expected) in cases {
        let query = catalog.prepare(&parse(text), &[], &session(), utc()).expect(text);
        assert_eq!(query.params, expected, "{text}");
    }
    let given = [Some(PgType::Varchar)];
    let text = "SELECT 1 FROM pg_class WHERE relname = $1";
    let query = catalog.prepare(&parse(text), &given, &session(), utc()).expect(text);
    assert_eq!(query.params, [PgType::Varchar]);
}
