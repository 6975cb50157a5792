//! Which Arrow type holds a Postgres type while the catalogue computes, and the tag that tells
//! the two apart.
//!
//! The object identifier types (`oid`, `regclass`, `regtype`, …) are Int64, so that they join and
//! compare as in Postgres; `int2vector` and `oidvector` are lists. The tag is the field's metadata
//! [`PG_TYPE_KEY`]: the name in `pg_type.typname`.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};

use crate::sql::types::{PG_TYPE_KEY, PgType};

/// A type name of the catalogue as the Arrow type that holds it here.
pub(super) fn inner_type(type_name: &str) -> DataType {
    if let Some(item) = type_name.strip_prefix('_') {
        return list_of(inner_type(item));
    }
    match type_name {
        "bool" => DataType::Boolean,
        "int2" => DataType::Int16,
        "int4" => DataType::Int32,
        "int8" | "oid" | "xid" | "cid" | "regnamespace" | "regrole" | "regoper" | "regoperator"
        | "regprocedure" | "regcollation" | "regconfig" | "regdictionary" | "regclass"
        | "regtype" | "regproc" => DataType::Int64,
        "int2vector" => list_of(DataType::Int16),
        "oidvector" => list_of(DataType::Int64),
        "float4" => DataType::Float32,
        "float8" => DataType::Float64,
        "numeric" => PgType::Numeric(None).to_arrow(),
        "timestamptz" => PgType::Timestamptz.to_arrow(),
        "timestamp" => PgType::Timestamp.to_arrow(),
        "date" => DataType::Date32,
        "time" => DataType::Time64(TimeUnit::Microsecond),
        "interval" => PgType::Interval.to_arrow(),
        "bytea" => DataType::Binary,
        _ => DataType::Utf8,
    }
}

/// The list type that all arrays of the catalogue have.
pub(super) fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

/// A field retyped to a Postgres type, with a tag where Arrow's type doesn't tell it.
pub(super) fn tagged(field: Field, type_name: &str) -> Field {
    let data_type = inner_type(type_name);
    let told = PgType::named(type_name) == Some(PgType::of_arrow(&data_type));
    let tag = (!told).then(|| (PG_TYPE_KEY.to_owned(), type_name.to_owned()));
    field.with_data_type(data_type).with_metadata(tag.into_iter().collect())
}

/// A field of a Postgres type, for casts and functions' results. It has a name, since DataFusion
/// takes a target without one for a mere Arrow type, and keeps the tag of what is cast.
pub(super) fn field_of(type_name: &str) -> FieldRef {
    Arc::new(tagged(Field::new(type_name, DataType::Null, true), type_name))
}

/// The tag of a field, where its values still are of that type: a coercion may have changed the
/// values and kept the tag.
pub(super) fn tag_of(field: &Field) -> Option<&str> {
    let tag = field.metadata().get(PG_TYPE_KEY)?;
    let numeric = tag == "numeric" && field.data_type().is_decimal();
    (numeric || inner_type(tag) == *field.data_type()).then_some(tag)
}

/// The Postgres type in which a field's values are sent.
pub(super) fn pg_type_of(field: &Field) -> PgType {
    // Unsigned integers come only from window functions such as `row_number`.
    if *field.data_type() == DataType::UInt64 {
        return PgType::Int8;
    }
    let record = match field.data_type() {
        DataType::Struct(_) => PgType::named("record"),
        data_type if holds_rows(data_type) => PgType::named("_record"),
        _ => None,
    };
    if let Some(record) = record {
        return record;
    }
    match tag_of(field) {
        Some("numeric") | None => PgType::of_arrow(field.data_type()),
        Some(tag) => PgType::named(tag).unwrap_or_else(|| PgType::of_arrow(field.data_type())),
    }
}

/// Whether it is an array of rows, as `array_agg(ROW(a, b))` makes one.
pub(super) fn holds_rows(data_type: &DataType) -> bool {
    matches!(data_type, DataType::List(item) if matches!(item.data_type(), DataType::Struct(_)))
}

/// The tag of a Postgres type: its name in `pg_type`.
pub(super) fn type_name(pg_type: &PgType) -> String {
    match pg_type {
        PgType::Bool => "bool",
        PgType::Int2 => "int2",
        PgType::Int4 => "int4",
        PgType::Int8 => "int8",
        PgType::Float4 => "float4",
        PgType::Float8 => "float8",
        PgType::Numeric(_) => "numeric",
        PgType::Text | PgType::Unknown => "text",
        PgType::Varchar => "varchar",
        PgType::Name => "name",
        PgType::Char => "char",
        PgType::Oid => "oid",
        PgType::Regclass => "regclass",
        PgType::Regtype => "regtype",
        PgType::Regproc => "regproc",
        PgType::Int2Vector => "int2vector",
        PgType::OidVector => "oidvector",
        PgType::Date => "date",
        PgType::Time => "time",
        PgType::Timestamp => "timestamp",
        PgType::Timestamptz => "timestamptz",
        PgType::Interval => "interval",
        PgType::Uuid => "uuid",
        PgType::Bytea => "bytea",
        PgType::Json => "json",
        PgType::Jsonb => "jsonb",
        PgType::System(system) => system.name,
        PgType::Array(item) => return format!("_{}", type_name(item)),
    }
    .to_owned()
}

/// Whether a tag is an alias of `oid` that prints as a name.
pub(super) fn is_reg(tag: &str) -> bool {
    tag.starts_with("reg")
}

/// Whether a tag is one of the vectors whose subscripts start at 0.
pub(super) fn is_vector(tag: &str) -> bool {
    matches!(tag, "int2vector" | "oidvector")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_counts_only_while_the_values_are_of_its_type() {
        let oid = tagged(Field::new("oid", DataType::Null, true), "oid");
        assert_eq!(pg_type_of(&oid), PgType::Oid);
        let coerced = oid.with_data_type(DataType::Float64);
        assert_eq!(pg_type_of(&coerced), PgType::Float8);
        let array = tagged(Field::new("a", DataType::Null, true), "_text");
        assert_eq!(pg_type_of(&array), PgType::Array(Box::new(PgType::Text)));
    }
}
