//! What a role may do: read everything that it is shown, and write nothing.

use super::{Call, Function, Outcome, Returns, Value};
use crate::sql::catalog::error::CatalogError;

pub(super) const FUNCTIONS: &[Function] = &[
    privilege("has_table_privilege", (2, 3), relation_privilege),
    privilege("has_any_column_privilege", (2, 3), relation_privilege),
    privilege("has_column_privilege", (3, 4), granted),
    privilege("has_schema_privilege", (2, 3), schema_privilege),
    privilege("has_database_privilege", (2, 3), granted),
    privilege("has_function_privilege", (2, 3), granted),
    privilege("has_language_privilege", (2, 3), granted),
    privilege("has_type_privilege", (2, 3), granted),
    privilege("has_sequence_privilege", (2, 3), granted),
    privilege("has_tablespace_privilege", (2, 3), refused),
    privilege("has_parameter_privilege", (2, 3), refused),
    privilege("has_server_privilege", (2, 3), refused),
    privilege("has_foreign_data_wrapper_privilege", (2, 3), refused),
    privilege("pg_has_role", (2, 3), |_| Ok(Value::Bool(true))),
    privilege("row_security_active", (1, 1), |_| Ok(Value::Bool(false))),
];

const fn privilege(
    name: &'static str,
    arguments: (usize, usize),
    eval: fn(&Call<'_>) -> Outcome,
) -> Function {
    Function { name, arguments, returns: Returns::Type("bool"), strict: true, eval }
}

/// Whether one of the privileges that the last argument lists is a reader's.
fn granted(call: &Call<'_>) -> Outcome {
    let asked = call.args.last().and_then(Value::print).unwrap_or_default();
    let readers = ["SELECT", "USAGE", "CONNECT", "EXECUTE"];
    let granted = asked.split(',').any(|one| readers.contains(&one.trim().to_uppercase().as_str()));
    Ok(Value::Bool(granted))
}

fn refused(_call: &Call<'_>) -> Outcome {
    Ok(Value::Bool(false))
}

/// The object is the last argument but one.
fn object<'a>(call: &'a Call<'_>) -> &'a Value {
    call.value(call.args.len().saturating_sub(2))
}

fn relation_privilege(call: &Call<'_>) -> Outcome {
    match object(call) {
        Value::Text(name) if call.directory.resolve(name, call.session).is_none() => {
            Err(CatalogError::UndefinedRelation { name: name.clone() })
        }
        Value::Int(oid) if call.directory.relation(*oid).is_none() => Ok(Value::Null),
        _ => granted(call),
    }
}

fn schema_privilege(call: &Call<'_>) -> Outcome {
    match object(call) {
        Value::Text(name) if call.directory.namespace_named(name).is_none() => {
            Err(CatalogError::UndefinedObject { kind: "schema", name: name.clone() })
        }
        Value::Int(oid) if call.directory.namespace(*oid).is_none() => Ok(Value::Null),
        _ => granted(call),
    }
}
