//! How Postgres writes names: quoted identifiers, types with their modifiers, definitions of keys.

use super::directory::{Constraint, Directory, Relation, TypeInfo, type_of_oid};
use super::snapshot::CatalogSession;

/// An identifier as one must write it, quoted where it needs to be.
pub(super) fn quote_identifier(name: &str) -> String {
    let mut chars = name.chars();
    let plain = chars.next().is_some_and(|first| first == '_' || first.is_ascii_lowercase())
        && chars.all(|one| one == '_' || one.is_ascii_lowercase() || one.is_ascii_digit());
    if plain && !is_reserved(name) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// Key words of the categories that `quote_ident` quotes: all but the unreserved ones.
fn is_reserved(name: &str) -> bool {
    let keywords = super::definitions::rows_of_keywords();
    keywords.get(name).is_some_and(|category| *category != "U")
}

/// A relation as `regclass` prints it: bare where a bare name finds it.
pub(super) fn relation_name(
    directory: &Directory,
    relation: &Relation,
    session: &CatalogSession,
) -> String {
    if directory.is_visible(relation.oid, session) == Some(true) {
        quote_identifier(&relation.name)
    } else {
        qualified_name(relation)
    }
}

fn qualified_name(relation: &Relation) -> String {
    format!("{}.{}", quote_identifier(&relation.schema), quote_identifier(&relation.name))
}

/// A type as `format_type` prints it. Without a type modifier, NULL in Postgres, `typmod` is -1.
pub(super) fn format_type(oid: i64, typmod: i64) -> String {
    if oid == 0 {
        return "-".to_owned();
    }
    let Some(info) = type_of_oid(oid) else {
        return "???".to_owned();
    };
    if is_true_array(info) {
        return format!("{}[]", format_type(info.element, typmod));
    }
    let sized = |name: &str| {
        if typmod >= 4 { format!("{name}({})", typmod - 4) } else { name.to_owned() }
    };
    let precise = |name: &str, zone: &str| {
        if typmod >= 0 { format!("{name}({typmod}){zone}") } else { format!("{name}{zone}") }
    };
    match info.name {
        "bool" => "boolean".to_owned(),
        "int2" => "smallint".to_owned(),
        "int4" => "integer".to_owned(),
        "int8" => "bigint".to_owned(),
        "float4" => "real".to_owned(),
        "float8" => "double precision".to_owned(),
        "varchar" => sized("character varying"),
        "bpchar" => sized("character"),
        "char" => "\"char\"".to_owned(),
        "bit" => "bit".to_owned(),
        "varbit" => "bit varying".to_owned(),
        "timestamp" => precise("timestamp", " without time zone"),
        "timestamptz" => precise("timestamp", " with time zone"),
        "time" => precise("time", " without time zone"),
        "timetz" => precise("time", " with time zone"),
        "numeric" if typmod >= 4 => {
            let modifier = typmod - 4;
            format!("numeric({},{})", modifier >> 16, modifier & 0x7ff)
        }
        // Key words that are types need no quotes.
        name @ ("numeric" | "interval") => name.to_owned(),
        name => quote_identifier(name),
    }
}

/// Whether a type is an array of another, and not one of the vectors or a fixed-length one.
pub(super) fn is_true_array(info: &TypeInfo) -> bool {
    info.element != 0 && info.category == "A" && info.name.starts_with('_')
}

/// What `information_schema.columns` says about a column's type.
pub(super) struct ColumnType {
    pub(super) data_type: String,
    pub(super) udt: &'static str,
    pub(super) octets: Option<i64>,
    pub(super) precision: Option<i64>,
    pub(super) radix: Option<i64>,
    pub(super) scale: Option<i64>,
    pub(super) fraction: Option<i64>,
}

impl ColumnType {
    pub(super) fn of(type_oid: i64, typmod: i64) -> Self {
        let info = type_of_oid(type_oid);
        let udt = info.map_or("text", |one| one.name);
        let data_type = match info {
            Some(info) if is_true_array(info) => "ARRAY".to_owned(),
            _ => format_type(type_oid, -1),
        };
        let binary = |bits| (Some(bits), Some(2), None);
        let (precision, radix, scale) = match udt {
            "int2" => (Some(16), Some(2), Some(0)),
            "int4" => (Some(32), Some(2), Some(0)),
            "int8" => (Some(64), Some(2), Some(0)),
            "float4" => binary(24),
            "float8" => binary(53),
            "numeric" if typmod >= 4 => {
                let modifier = typmod - 4;
                (Some(modifier >> 16), Some(10), Some(modifier & 0x7ff))
            }
            "numeric" => (None, Some(10), None),
            _ => (None, None, None),
        };
        let fraction = match udt {
            "date" => Some(0),
            "time" | "timetz" | "timestamp" | "timestamptz" | "interval" => Some(6),
            _ => None,
        };
        let octets = matches!(udt, "text" | "varchar" | "bpchar").then_some(1 << 30);
        Self { data_type, udt, octets, precision, radix, scale, fraction }
    }
}

/// A key as `pg_get_constraintdef` prints it.
pub(super) fn constraint_definition(
    directory: &Directory,
    constraint: &Constraint,
    session: &CatalogSession,
) -> String {
    let columns = column_list(directory, constraint.relation, &constraint.columns);
    match &constraint.references {
        None => format!("PRIMARY KEY ({columns})"),
        Some((target, referenced)) => format!(
            "FOREIGN KEY ({columns}) REFERENCES {}({})",
            relation_name(directory, &directory.relations[*target], session),
            column_list(directory, *target, referenced)
        ),
    }
}

/// A key's index as `pg_get_indexdef` prints it.
pub(super) fn index_definition(directory: &Directory, key: &Constraint) -> String {
    let relation = qualified_name(&directory.relations[key.relation]);
    index_on(directory, key, &relation)
}

/// A key's index as `pg_get_indexdef` prints it when asked to be pretty: without a schema where the
/// relation is found without one.
pub(super) fn pretty_index_definition(
    directory: &Directory,
    key: &Constraint,
    session: &CatalogSession,
) -> String {
    let relation = relation_name(directory, &directory.relations[key.relation], session);
    index_on(directory, key, &relation)
}

fn index_on(directory: &Directory, key: &Constraint, relation: &str) -> String {
    format!(
        "CREATE UNIQUE INDEX {} ON {relation} USING btree ({})",
        quote_identifier(&key.name),
        column_list(directory, key.relation, &key.columns)
    )
}

fn column_list(directory: &Directory, relation: usize, numbers: &[i64]) -> String {
    let names = directory.column_names(relation, numbers);
    names.into_iter().map(quote_identifier).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_written_as_psql_shows_them() {
        assert_eq!(format_type(1700, ((18 << 16) | 2) + 4), "numeric(18,2)");
        assert_eq!(format_type(1700, -1), "numeric");
        assert_eq!(format_type(1009, -1), "text[]");
        assert_eq!(format_type(1184, -1), "timestamp with time zone");
        assert_eq!(format_type(18, -1), "\"char\"");
        assert_eq!(format_type(22, -1), "int2vector");
        assert_eq!(format_type(0, -1), "-");
        assert_eq!(format_type(99_999, -1), "???");
    }

    #[test]
    fn identifiers_are_quoted_only_where_needed() {
        assert_eq!(quote_identifier("orders"), "orders");
        assert_eq!(quote_identifier("Orders"), "\"Orders\"");
        assert_eq!(quote_identifier("select"), "\"select\"");
        assert_eq!(quote_identifier("a\"b"), "\"a\"\"b\"");
    }
}
