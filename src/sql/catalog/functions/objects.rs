//! Names, definitions and comments of objects.

use super::{Call, Function, Outcome, Returns, Value};
use crate::sql::catalog::directory::{DATABASE, Relation, procedure, type_named, type_of_oid};
use crate::sql::catalog::error::CatalogError;
use crate::sql::catalog::naming::{
    ColumnType, constraint_definition, format_type, index_definition, pretty_index_definition,
    quote_identifier,
};

/// A function of `information_schema` about a type and its modifier.
macro_rules! type_fact {
    ($name:literal, $fact:expr) => {
        function($name, (2, 2), "int4", true, |call| {
            let fact: fn(ColumnType) -> Option<i64> = $fact;
            Ok(found(fact(ColumnType::of(oid(call), call.int(1).unwrap_or(-1)))))
        })
    };
}

pub(super) const FUNCTIONS: &[Function] = &[
    visible("pg_table_is_visible", |call| {
        Ok(call.directory.is_visible(oid(call), call.session).map_or(Value::Null, Value::Bool))
    }),
    visible("pg_type_is_visible", |call| Ok(Value::Bool(type_of_oid(oid(call)).is_some()))),
    visible("pg_function_is_visible", |_| Ok(Value::Bool(true))),
    visible("pg_operator_is_visible", |_| Ok(Value::Bool(true))),
    visible("pg_opclass_is_visible", |_| Ok(Value::Bool(true))),
    visible("pg_opfamily_is_visible", |_| Ok(Value::Bool(true))),
    visible("pg_collation_is_visible", |_| Ok(Value::Bool(true))),
    visible("pg_conversion_is_visible", |_| Ok(Value::Bool(true))),
    visible("pg_statistics_obj_is_visible", |_| Ok(Value::Bool(true))),
    visible("pg_ts_config_is_visible", |_| Ok(Value::Bool(true))),
    visible("pg_ts_dict_is_visible", |_| Ok(Value::Bool(true))),
    visible("pg_ts_parser_is_visible", |_| Ok(Value::Bool(true))),
    visible("pg_ts_template_is_visible", |_| Ok(Value::Bool(true))),
    visible("pg_relation_is_publishable", |call| {
        let found = match call.value(0) {
            Value::Text(name) => call.directory.resolve(name, call.session),
            _ => call.directory.relation(oid(call)),
        };
        Ok(found.map_or(Value::Null, |one| Value::Bool(one.kind == "r" && !one.system)))
    }),
    function("format_type", (2, 2), "text", false, |call| {
        let Some(oid) = call.int(0) else { return Ok(Value::Null) };
        let of_rows = call.directory.row_type_name(oid, call.session);
        Ok(Value::Text(of_rows.unwrap_or_else(|| format_type(oid, call.int(1).unwrap_or(-1)))))
    }),
    function("pg_get_constraintdef", (1, 2), "text", true, |call| {
        let found = call.directory.constraint(oid(call));
        Ok(Value::maybe_text(
            found.map(|one| constraint_definition(call.directory, one, call.session)),
        ))
    }),
    function("pg_get_indexdef", (1, 3), "text", true, indexdef),
    function("obj_description", (1, 2), "text", true, |call| {
        let of_relations = call.text(1).is_none_or(|catalog| catalog == "pg_class");
        let relation = call.directory.relation(oid(call)).filter(|_| of_relations);
        Ok(Value::maybe_text(relation.and_then(|one| one.comment.as_deref())))
    }),
    function("col_description", (2, 2), "text", true, |call| {
        let column = || {
            let at = usize::try_from(call.int(1)? - 1).ok()?;
            call.directory.relation(oid(call))?.columns.get(at)?.comment.as_deref()
        };
        Ok(Value::maybe_text(column()))
    }),
    function("shobj_description", (2, 2), "text", true, nothing),
    function("pg_describe_object", (3, 3), "text", true, nothing),
    // There are no defaults, views, rules, triggers, functions or partitions of users.
    function("pg_get_expr", (2, 3), "text", true, nothing),
    function("pg_get_viewdef", (1, 2), "text", true, nothing),
    function("pg_get_ruledef", (1, 2), "text", true, nothing),
    function("pg_get_triggerdef", (1, 2), "text", true, nothing),
    function("pg_get_functiondef", (1, 1), "text", true, nothing),
    function("pg_get_function_arguments", (1, 1), "text", true, procedure_arguments),
    function("pg_get_function_identity_arguments", (1, 1), "text", true, procedure_arguments),
    function("pg_get_function_result", (1, 1), "text", true, |call| {
        let found = procedure(oid(call));
        Ok(Value::maybe_text(found.map(|one| {
            let result = format_type(one.returns, -1);
            if one.returns_set { format!("SETOF {result}") } else { result }
        })))
    }),
    function("pg_get_function_arg_default", (2, 2), "text", true, nothing),
    function("pg_get_function_sqlbody", (1, 1), "text", true, nothing),
    function("pg_get_partkeydef", (1, 1), "text", true, nothing),
    function("pg_get_partition_constraintdef", (1, 1), "text", true, nothing),
    function("pg_get_statisticsobjdef", (1, 1), "text", true, nothing),
    function("pg_get_statisticsobjdef_columns", (1, 1), "text", true, nothing),
    function("pg_get_statisticsobjdef_expressions", (1, 1), "_text", true, nothing),
    function("pg_get_serial_sequence", (2, 2), "text", true, nothing),
    function("pg_sequence_last_value", (1, 1), "int8", true, nothing),
    function("pg_tablespace_location", (1, 1), "text", true, |_| Ok(Value::text(""))),
    function("pg_table_size", (1, 1), "int8", true, zero),
    function("pg_relation_size", (1, 2), "int8", true, zero),
    function("pg_total_relation_size", (1, 1), "int8", true, zero),
    function("pg_indexes_size", (1, 1), "int8", true, zero),
    function("pg_database_size", (1, 1), "int8", true, zero),
    function("pg_tablespace_size", (1, 1), "int8", true, zero),
    function("pg_relation_filenode", (1, 1), "oid", true, |call| {
        Ok(found(stored(call).map(|one| one.oid)))
    }),
    function("pg_relation_filepath", (1, 1), "text", true, |call| {
        Ok(Value::maybe_text(stored(call).map(|one| format!("base/{DATABASE}/{}", one.oid))))
    }),
    function("pg_filenode_relation", (2, 2), "regclass", true, |call| {
        Ok(found(call.int(1).and_then(|oid| call.directory.relation(oid)).map(|one| one.oid)))
    }),
    function("pg_get_replica_identity_index", (1, 1), "regclass", true, |call| {
        Ok(found(call.directory.index_of_key(oid(call))))
    }),
    function("pg_collation_actual_version", (1, 1), "text", true, nothing),
    function("pg_relation_is_updatable", (2, 2), "int4", true, zero),
    function("pg_column_is_updatable", (3, 3), "bool", true, |_| Ok(Value::Bool(false))),
    counted("pg_stat_get_numscans"),
    counted("pg_stat_get_tuples_returned"),
    counted("pg_stat_get_tuples_fetched"),
    counted("pg_stat_get_tuples_inserted"),
    counted("pg_stat_get_tuples_updated"),
    counted("pg_stat_get_tuples_deleted"),
    counted("pg_stat_get_tuples_hot_updated"),
    counted("pg_stat_get_live_tuples"),
    counted("pg_stat_get_dead_tuples"),
    counted("pg_stat_get_mod_since_analyze"),
    counted("pg_stat_get_blocks_fetched"),
    counted("pg_stat_get_blocks_hit"),
    counted("pg_stat_get_vacuum_count"),
    counted("pg_stat_get_analyze_count"),
    function("pg_stat_get_last_vacuum_time", (1, 1), "timestamptz", true, nothing),
    function("pg_stat_get_last_analyze_time", (1, 1), "timestamptz", true, nothing),
    // Of a transaction id; no transaction is old here.
    function("age", (1, 1), "int4", true, |call| match call.value(0) {
        Value::Int(_) => Ok(Value::Int(0)),
        _ => Err(CatalogError::NotSupported { what: "age() of a time".to_owned() }),
    }),
    function("pg_index_column_has_property", (3, 3), "bool", true, |call| {
        let property = call.text(2).unwrap_or_default();
        let has = ["asc", "nulls_last", "orderable", "returnable", "search_array", "search_nulls"];
        Ok(Value::Bool(has.contains(&property.to_lowercase().as_str())))
    }),
    function("pg_index_has_property", (2, 2), "bool", true, |call| {
        let has = ["clusterable", "index_scan", "bitmap_scan", "backward_scan"];
        Ok(has_property(call, &has, &[]))
    }),
    // Keys are indexes of this method.
    function("pg_indexam_has_property", (2, 2), "bool", true, |call| {
        let has = ["can_order", "can_unique", "can_multi_col", "can_exclude", "can_include"];
        const BTREE: i64 = 403;
        match call.int(0) {
            Some(BTREE) => Ok(has_property(call, &has, &[])),
            _ => Ok(has_property(call, &["can_exclude"], &has)),
        }
    }),
    // Nobody owns anything that could be granted.
    function("acldefault", (2, 2), "_aclitem", true, |_| Ok(Value::List(Vec::new()))),
    function("pg_partition_root", (1, 1), "regclass", true, nothing),
    function("_pg_truetypid", (5, 5), "oid", true, |call| {
        Ok(call.value(if is_domain(call) { 3 } else { 0 }).clone())
    }),
    function("_pg_truetypmod", (5, 5), "int4", true, |call| {
        Ok(call.value(if is_domain(call) { 4 } else { 1 }).clone())
    }),
    type_fact!("_pg_char_max_length", |_| None),
    type_fact!("_pg_char_octet_length", |one| one.octets),
    type_fact!("_pg_numeric_precision", |one| one.precision),
    type_fact!("_pg_numeric_precision_radix", |one| one.radix),
    type_fact!("_pg_numeric_scale", |one| one.scale),
    type_fact!("_pg_datetime_precision", |one| one.fraction),
    function("pg_typeof", (1, 1), "regtype", false, |call| {
        let name = call.types.first().map_or("unknown", String::as_str);
        Ok(found(type_named(name).map(|one| one.oid)))
    }),
];

const fn function(
    name: &'static str,
    arguments: (usize, usize),
    type_name: &'static str,
    strict: bool,
    eval: fn(&Call<'_>) -> Outcome,
) -> Function {
    Function { name, arguments, returns: Returns::Type(type_name), strict, eval }
}

/// What Postgres counts of a relation, and nobody here.
const fn counted(name: &'static str) -> Function {
    function(name, (1, 1), "int8", true, zero)
}

const fn visible(name: &'static str, eval: fn(&Call<'_>) -> Outcome) -> Function {
    function(name, (1, 1), "bool", true, eval)
}

/// Whether a property is among those that something has; NULL of what is none.
fn has_property(call: &Call<'_>, has: &[&str], has_not: &[&str]) -> Value {
    let property = call.text(1).unwrap_or_default().to_lowercase();
    match (has.contains(&property.as_str()), has_not.contains(&property.as_str())) {
        (true, _) => Value::Bool(true),
        (false, true) => Value::Bool(false),
        (false, false) => Value::Null,
    }
}

fn is_domain(call: &Call<'_>) -> bool {
    call.text(2) == Some("d")
}

fn procedure_arguments(call: &Call<'_>) -> Outcome {
    let found = procedure(oid(call));
    Ok(Value::maybe_text(found.map(|one| {
        let types = one.arguments.iter().map(|oid| format_type(*oid, -1));
        types.collect::<Vec<_>>().join(", ")
    })))
}

fn oid(call: &Call<'_>) -> i64 {
    call.int(0).unwrap_or_default()
}

/// A relation that has rows of its own.
fn stored<'a>(call: &'a Call<'_>) -> Option<&'a Relation> {
    call.directory.relation(oid(call)).filter(|one| one.kind != "v")
}

fn nothing(_call: &Call<'_>) -> Outcome {
    Ok(Value::Null)
}

/// canon keeps nothing on disk.
fn zero(_call: &Call<'_>) -> Outcome {
    Ok(Value::Int(0))
}

fn found(oid: Option<i64>) -> Value {
    oid.map_or(Value::Null, Value::Int)
}

fn indexdef(call: &Call<'_>) -> Outcome {
    let Some(key) = call.directory.key_of_index(oid(call)) else { return Ok(Value::Null) };
    let column = call.int(1).unwrap_or_default();
    if column == 0 {
        return Ok(Value::Text(match call.bool(2) {
            Some(true) => pretty_index_definition(call.directory, key, call.session),
            _ => index_definition(call.directory, key),
        }));
    }
    let names = call.directory.column_names(key.relation, &key.columns);
    let name = usize::try_from(column - 1).ok().and_then(|at| names.get(at).copied());
    Ok(Value::Text(name.map_or_else(String::new, quote_identifier)))
}
