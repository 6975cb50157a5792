//! What drivers are told of statements over the catalogue before they run them, and write values by:
//! the types of parameters and columns, which have to be PostgreSQL's. The statements are of the
//! shapes that drivers and tools prepare.

use tokio_postgres::types::{FromSql, IsNull, ToSql, Type};
use tokio_postgres::{Client, Error};

use crate::fixture::Fixture;
use crate::servers::{Canon, Postgres};

const STATEMENTS: [&str; 43] = [
    // Functions' signatures.
    "SELECT format_type($1, $2), pg_get_constraintdef($3), pg_get_indexdef($4, $5, $6)",
    "SELECT set_config($1, $2, $3), current_setting($4, $5)",
    "SELECT pg_table_is_visible($1), pg_get_userbyid($2), pg_get_viewdef($3)",
    "SELECT has_table_privilege($1, $2), has_table_privilege($3, $4, $5)",
    "SELECT has_schema_privilege($1, $2), has_column_privilege($3, $4, $5)",
    "SELECT obj_description($1, $2), obj_description($3), col_description($4, $5)",
    "SELECT to_regclass($1), to_regtype($2), to_regproc($3), to_regrole($4)",
    "SELECT pg_relation_size($1), pg_total_relation_size($2)",
    "SELECT pg_cancel_backend($1), pg_terminate_backend($2), pg_advisory_lock($3, $4)",
    "SELECT pg_get_serial_sequence($1, $2), pg_encoding_to_char($3), pg_wal_lsn_diff($4, $5)",
    "SELECT lower($1), repeat($2, $3), starts_with($4, $5), age($6::xid)",
    // Casts.
    "SELECT $1::regclass, $2::regtype, $3::regproc, $4::regprocedure, $5::oid",
    "SELECT $1::regnamespace, $2::regrole, $3::regoper, $4::regoperator, $5::regcollation",
    "SELECT $1::regconfig, $2::regdictionary, $3::name, $4::xid, $5::\"char\"",
    "SELECT $1::regclass::oid, $2::text::regclass, $3::regclass[], $4::oid[]",
    // Comparisons.
    "SELECT 1 FROM pg_class WHERE relname = $1 AND relkind = $2 AND oid = $3 AND relhasindex = $4",
    "SELECT 1 FROM pg_class WHERE relname = ANY($1) AND oid = ANY($2) AND relkind = ANY($3)",
    "SELECT 1 FROM pg_class WHERE oid = $1::regclass AND relnamespace = $2::regnamespace",
    "SELECT 1 FROM pg_type WHERE typinput = $1 AND typlen = $2",
    "SELECT 1 FROM pg_class WHERE relname LIKE $1 ESCAPE $2 AND relname NOT ILIKE $3 ESCAPE '!'",
    "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND client_addr = $2 AND backend_xid = $3",
    "SELECT 1 FROM information_schema.columns WHERE table_schema = $1 AND data_type = $2 LIMIT $3",
    // Results.
    "SELECT max(oid), min(oid), max(relname), max(relkind), max(relnatts), count(*) FROM pg_class",
    "SELECT max(oid::regclass), max(reltuples), array_agg(oid), array_agg(relname) FROM pg_class",
    "SELECT ARRAY[oid], ARRAY[relname], ARRAY[relkind], ARRAY[oid, 1] FROM pg_class",
    "SELECT COALESCE(relname, 'x'::text), COALESCE(relname, 'x'), COALESCE(oid, 0) FROM pg_class",
    "SELECT COALESCE(0, oid), COALESCE(relname, relname::text), NULLIF(oid, 0) FROM pg_class",
    "SELECT CASE WHEN true THEN relname ELSE 'x' END, CASE WHEN true THEN oid END FROM pg_class",
    "SELECT CASE WHEN true THEN relname ELSE 'x'::text END, GREATEST(oid, 1) FROM pg_class",
    "SELECT (SELECT relname FROM pg_class LIMIT 1), (SELECT max(oid) FROM pg_class)",
    "SELECT xmin, xmax, cmin, cmax, ctid, tableoid, tableoid::regclass FROM pg_namespace",
    "SELECT to_regprocedure('lower(text)'), to_regoper('||/'), to_regoperator('-(NONE,int4)')",
    "SELECT to_regcollation('C'), to_regnamespace('public'), pg_typeof(1)",
    "SELECT pg_current_wal_lsn(), pg_last_wal_replay_lsn(), pg_last_xact_replay_timestamp()",
    "SELECT pg_current_snapshot(), txid_current_snapshot(), txid_current(), pg_current_xact_id()",
    "SELECT pg_size_bytes('1'), pg_column_size(1), pg_relation_filenode('pg_class')",
    "SELECT current_query(), has_parameter_privilege('work_mem', 'SET'), pg_jit_available()",
    "SELECT conname, information_schema._pg_expandarray(conkey) FROM pg_constraint",
    "SELECT c.conname, k.* FROM pg_constraint c, information_schema._pg_expandarray(c.conkey) k",
    "SELECT n, x FROM information_schema._pg_expandarray(ARRAY['a', 'b'])",
    "SELECT * FROM pg_operator",
    "SELECT * FROM pg_proc",
    "SELECT * FROM pg_conversion",
];

type Description = (Vec<Type>, Vec<(String, Type)>);

async fn described(client: &Client, sql: &str) -> Result<Description, Error> {
    let statement = client.prepare(sql).await?;
    let columns = statement.columns().iter();
    let columns = columns.map(|one| (one.name().to_owned(), one.type_().clone())).collect();
    Ok((statement.params().to_vec(), columns))
}

#[tokio::test]
async fn statements_are_described_as_by_postgres() {
    let fixture = Fixture::load("shop");
    let postgres = Postgres::start().await;
    let expected_of = postgres.with_fixture(&fixture).await;
    let server = Canon::embedded(&fixture).await;
    let canon = server.connect("analyst").await.unwrap();
    let mut failures = Vec::new();
    for sql in STATEMENTS {
        let expected = described(&expected_of, sql).await.unwrap();
        match described(&canon, sql).await {
            Ok(told) if told == expected => {}
            told => failures.push(format!("{sql}\n  {told:?}\n  {expected:?}")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// An OID as the value of whatever type of object it is told to be, in its binary format.
#[derive(Debug)]
struct Object(u32);

impl ToSql for Object {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut bytes::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(&self.0.to_be_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}

impl<'a> FromSql<'a> for Object {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(u32::from_be_bytes(raw.try_into()?)))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

#[tokio::test]
async fn objects_are_taken_and_given_in_binary() {
    const PG_CLASS: u32 = 1259;
    let canon = Canon::embedded(&Fixture::load("shop")).await;
    let client = canon.connect("analyst").await.unwrap();
    let row = client.query_one("SELECT format_type($1, $2)", &[&1700_u32, &-1_i32]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "numeric");
    let set = "SELECT set_config($1, $2, $3)";
    let row = client.query_one(set, &[&"shop.till", &"7", &false]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "7");
    for (sql, oid) in [
        ("SELECT $1::regclass::text, $1::regclass", PG_CLASS),
        ("SELECT relname::text, oid::regclass FROM pg_class WHERE oid = $1::regclass", PG_CLASS),
        ("SELECT $1::regnamespace::text, $1::regnamespace", 11),
        ("SELECT $1::regoperator::text, $1::regoperator", 15),
        ("SELECT $1::regprocedure::text, $1::regprocedure", 1081),
    ] {
        let row = client.query_one(sql, &[&Object(oid)]).await.unwrap();
        assert_eq!(row.get::<_, Object>(1).0, oid, "{sql}");
        let name = row.get::<_, &str>(0);
        assert!(!name.is_empty() && name.parse::<u32>().is_err(), "{sql}: {name}");
    }
    let names = "SELECT $1::text::regclass::text, $2::text[]::regclass[]::text";
    let named = vec!["pg_class", "pg_type"];
    let row = client.query_one(names, &[&"pg_catalog.pg_class", &named]).await.unwrap();
    assert_eq!((row.get(0), row.get(1)), ("pg_class", "{pg_class,pg_type}"));
}
