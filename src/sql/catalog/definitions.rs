//! The columns of Postgres's own catalogue relations, and the rows that never change.
//!
//! `data/relations.tsv` lists each relation of `pg_catalog` and `information_schema` with its kind,
//! OID and columns, as PostgreSQL 15 has them; the other files hold rows in `COPY` text format.
//! Domains of `information_schema` are written as their base types.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::typing::tagged;

/// A catalogue relation of Postgres.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) schema: &'static str,
    pub(super) name: &'static str,
    /// `r` or `v`.
    pub(super) kind: &'static str,
    pub(super) oid: i64,
    pub(super) columns: Vec<ColumnDefinition>,
    /// The columns, and behind them the system columns that tables have.
    pub(super) arrow: SchemaRef,
}

#[derive(Debug)]
pub(super) struct ColumnDefinition {
    pub(super) name: &'static str,
    /// As in `pg_type.typname`.
    pub(super) type_name: &'static str,
    pub(super) not_null: bool,
}

/// The system columns that clients ask of tables; `SELECT *` doesn't show them.
pub(super) const SYSTEM_COLUMNS: [(&str, &str); 6] = [
    ("tableoid", "oid"),
    ("xmin", "xid"),
    ("xmax", "xid"),
    ("cmin", "cid"),
    ("cmax", "cid"),
    ("ctid", "tid"),
];

/// All of them, `pg_catalog` before `information_schema`, by name.
pub(super) fn all() -> &'static [Definition] {
    static ALL: LazyLock<Vec<Definition>> =
        LazyLock::new(|| include_str!("data/relations.tsv").lines().filter_map(parse).collect());
    &ALL
}

/// One of them by schema and name.
#[cfg(test)]
fn named(schema: &str, name: &str) -> Option<&'static Definition> {
    static BY_NAME: LazyLock<HashMap<(&str, &str), &Definition>> =
        LazyLock::new(|| all().iter().map(|one| ((one.schema, one.name), one)).collect());
    BY_NAME.get(&(schema, name)).copied()
}

/// The rows that a function in FROM gives, as a relation of its own, where they are not one column.
pub(super) fn function_result(name: &str) -> Option<&'static Definition> {
    static RESULTS: LazyLock<Vec<Definition>> = LazyLock::new(|| {
        include_str!("data/function_results.tsv").lines().filter_map(parse).collect()
    });
    RESULTS.iter().find(|one| one.name == name)
}

/// The rows of a relation that are the same in every definition set, in the order of its columns;
/// `None` is NULL. `pg_proc` has only its first columns here.
pub(super) fn rows(name: &str) -> Vec<Vec<Option<&'static str>>> {
    let text = match name {
        "pg_type" => include_str!("data/pg_type.tsv"),
        "pg_proc" => include_str!("data/pg_proc.tsv"),
        "pg_aggregate" => include_str!("data/pg_aggregate.tsv"),
        "pg_am" => include_str!("data/pg_am.tsv"),
        "pg_cast" => include_str!("data/pg_cast.tsv"),
        "pg_collation" => include_str!("data/pg_collation.tsv"),
        "pg_conversion" => include_str!("data/pg_conversion.tsv"),
        "pg_language" => include_str!("data/pg_language.tsv"),
        "pg_operator" => include_str!("data/pg_operator.tsv"),
        "pg_opclass" => include_str!("data/pg_opclass.tsv"),
        "pg_opfamily" => include_str!("data/pg_opfamily.tsv"),
        "pg_range" => include_str!("data/pg_range.tsv"),
        "pg_tablespace" => include_str!("data/pg_tablespace.tsv"),
        "pg_ts_config" => include_str!("data/pg_ts_config.tsv"),
        "pg_ts_dict" => include_str!("data/pg_ts_dict.tsv"),
        "pg_ts_parser" => include_str!("data/pg_ts_parser.tsv"),
        "pg_ts_template" => include_str!("data/pg_ts_template.tsv"),
        "pg_settings" => include_str!("data/pg_settings.tsv"),
        "pg_get_keywords" => include_str!("data/keywords.tsv"),
        _ => "",
    };
    text.lines()
        .map(|line| line.split('\t').map(|cell| (cell != "\\N").then_some(cell)).collect())
        .collect()
}

/// The key words of SQL with their categories, as `pg_get_keywords` has them.
pub(super) fn rows_of_keywords() -> &'static HashMap<&'static str, &'static str> {
    static KEYWORDS: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
        let rows = rows("pg_get_keywords");
        rows.into_iter().filter_map(|row| Some(((*row.first()?)?, (*row.get(1)?)?))).collect()
    });
    &KEYWORDS
}

fn parse(line: &'static str) -> Option<Definition> {
    let mut cells = line.split('\t');
    let (schema, name, kind) = (cells.next()?, cells.next()?, cells.next()?);
    let oid = cells.next()?.parse().ok()?;
    let columns: Vec<_> = cells.next()?.split(' ').filter_map(parse_column).collect();
    let arrow = arrow_schema(&columns, kind == "r");
    Some(Definition { schema, name, kind, oid, columns, arrow })
}

fn parse_column(text: &'static str) -> Option<ColumnDefinition> {
    let (name, type_name) = text.split_once(':')?;
    let not_null = type_name.ends_with('!');
    Some(ColumnDefinition { name, type_name: type_name.trim_end_matches('!'), not_null })
}

fn arrow_schema(columns: &[ColumnDefinition], table: bool) -> SchemaRef {
    let system = SYSTEM_COLUMNS.into_iter().filter(|_| table);
    let fields = columns
        .iter()
        .map(|column| (column.name, column.type_name))
        .chain(system)
        .map(|(name, type_name)| tagged(Field::new(name, DataType::Null, true), type_name));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_relation_is_read() {
        let lines = include_str!("data/relations.tsv").lines().count();
        assert_eq!(all().len(), lines);
        let class = named("pg_catalog", "pg_class").expect("pg_class is defined");
        assert_eq!((class.oid, class.kind), (1259, "r"));
        assert_eq!(class.columns.len() + SYSTEM_COLUMNS.len(), class.arrow.fields().len());
        assert!(named("information_schema", "columns").is_some());
    }

    #[test]
    fn static_rows_have_as_many_cells_as_columns() {
        let names = ["pg_type", "pg_am", "pg_cast", "pg_collation", "pg_opclass", "pg_range"];
        for name in names.into_iter().chain(["pg_operator", "pg_aggregate"]) {
            let definition = named("pg_catalog", name).expect(name);
            for row in rows(name) {
                assert_eq!(row.len(), definition.columns.len(), "{name}");
            }
        }
    }
}
