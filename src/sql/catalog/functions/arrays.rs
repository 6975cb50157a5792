//! Arrays: bounds, comparisons with their elements, and their text form.

use std::cmp::Ordering;

use super::{Call, Function, Outcome, Returns, Value};
use crate::sql::catalog::error::CatalogError;
use crate::sql::catalog::syntax::{ARRAY_SUBQUERY, TOLD_APART, UNTYPED};

pub(super) const FUNCTIONS: &[Function] = &[
    function("array_upper", Returns::Type("int4"), |call| bound(call, |len| len)),
    function("array_lower", Returns::Type("int4"), |call| bound(call, |_| 1)),
    function("array_length", Returns::Type("int4"), |call| bound(call, |len| len)),
    // The functions below give rows in Postgres; the syntax pass wraps them in `unnest`.
    Function {
        name: "canon_generate_subscripts",
        arguments: (2, 3),
        returns: Returns::Type("_int4"),
        strict: true,
        eval: generate_subscripts,
    },
    Function {
        name: "canon_pg_expandarray",
        arguments: (1, 1),
        returns: Returns::Subscripted(0),
        strict: true,
        eval: expand_array,
    },
    Function {
        name: "canon_pg_partition_ancestors",
        arguments: (1, 1),
        returns: Returns::Type("_oid"),
        strict: true,
        // No relation is a partition of another.
        eval: |_| Ok(Value::List(Vec::new())),
    },
    Function {
        name: "canon_pg_listening_channels",
        arguments: (0, 0),
        returns: Returns::Type("_text"),
        strict: true,
        // Nobody is told anything.
        eval: |_| Ok(Value::List(Vec::new())),
    },
    Function {
        name: "canon_aclexplode",
        arguments: (1, 1),
        returns: Returns::AccessItems,
        strict: true,
        // Nobody has granted anything: lists are NULL, and an empty one has no entries.
        eval: |_| Ok(Value::List(Vec::new())),
    },
    // Tells expressions with subqueries apart, whose printed forms are alike.
    Function {
        name: TOLD_APART,
        arguments: (2, 2),
        returns: Returns::Same(1),
        strict: false,
        eval: |call| Ok(call.value(1).clone()),
    },
    // The pass that gives types replaces it by the literal inside.
    Function {
        name: UNTYPED,
        arguments: (1, 1),
        returns: Returns::Untyped,
        strict: false,
        eval: |_| Err(CatalogError::Internal { message: "a literal got no type".to_owned() }),
    },
    // The plan pass replaces it, with the subquery inside.
    Function {
        name: ARRAY_SUBQUERY,
        arguments: (1, 1),
        returns: Returns::ArrayOf(0),
        strict: false,
        eval: |_| Err(CatalogError::Internal { message: "a subquery was left over".to_owned() }),
    },
    Function {
        name: "canon_any",
        arguments: (3, 3),
        returns: Returns::Type("bool"),
        strict: true,
        eval: |call| quantified(call, true),
    },
    Function {
        name: "canon_all",
        arguments: (3, 3),
        returns: Returns::Type("bool"),
        strict: true,
        eval: |call| quantified(call, false),
    },
];

const fn function(
    name: &'static str,
    returns: Returns,
    eval: fn(&Call<'_>) -> Outcome,
) -> Function {
    Function { name, arguments: (2, 2), returns, strict: true, eval }
}

fn length(items: &[Value]) -> i64 {
    i64::try_from(items.len()).unwrap_or(i64::MAX)
}

fn numbers(items: &[Value]) -> Vec<Value> {
    (1..=length(items)).map(Value::Int).collect()
}

/// A bound of a dimension; NULL of an empty array and of a dimension that it hasn't.
fn bound(call: &Call<'_>, of: fn(i64) -> i64) -> Outcome {
    let mut array = call.value(0);
    for _ in 1..call.int(1).unwrap_or_default() {
        let Value::List(items) = array else { return Ok(Value::Null) };
        array = items.first().unwrap_or(&Value::Null);
    }
    let Value::List(items) = array else { return Ok(Value::Null) };
    if items.is_empty() || call.int(1).is_none_or(|dimension| dimension < 1) {
        return Ok(Value::Null);
    }
    let vector = call.types.first().is_some_and(|tag| tag.ends_with("vector"));
    Ok(Value::Int(of(length(items)) - i64::from(vector)))
}

fn generate_subscripts(call: &Call<'_>) -> Outcome {
    let Value::List(items) = call.value(0) else { return Ok(Value::Null) };
    let vector = call.types.first().is_some_and(|tag| tag.ends_with("vector"));
    let first = i64::from(!vector);
    Ok(Value::List((0..length(items)).map(|at| Value::Int(at + first)).collect()))
}

fn expand_array(call: &Call<'_>) -> Outcome {
    let Value::List(items) = call.value(0) else { return Ok(Value::Null) };
    let pairs = items.iter().zip(numbers(items));
    Ok(Value::List(pairs.map(|(item, number)| Value::List(vec![item.clone(), number])).collect()))
}

/// `left <op> ANY (right)` or `ALL`, with SQL's NULLs: unknown where a NULL could decide.
fn quantified(call: &Call<'_>, any: bool) -> Outcome {
    let operator = call.text(0).unwrap_or_default();
    let left = call.value(1);
    let parsed;
    let items = match call.value(2) {
        Value::List(items) => items,
        Value::Text(text) => {
            parsed = parse_array(text)?;
            &parsed
        }
        _ => return Ok(Value::Null),
    };
    let mut unknown = false;
    for item in items {
        match compare(operator, left, item)? {
            Some(holds) if holds == any => return Ok(Value::Bool(any)),
            Some(_) => {}
            None => unknown = true,
        }
    }
    Ok(if unknown { Value::Null } else { Value::Bool(!any) })
}

fn compare(operator: &str, left: &Value, right: &Value) -> Result<Option<bool>, CatalogError> {
    let (Some(left), Some(right)) = (left.print(), right.print()) else { return Ok(None) };
    let order = match (left.parse::<i64>(), right.parse::<i64>()) {
        (Ok(left), Ok(right)) => left.cmp(&right),
        _ => left.cmp(&right),
    };
    Ok(Some(match operator {
        "=" => order == Ordering::Equal,
        "<>" | "!=" => order != Ordering::Equal,
        "<" => order == Ordering::Less,
        "<=" => order != Ordering::Greater,
        ">" => order == Ordering::Greater,
        ">=" => order != Ordering::Less,
        other => {
            return Err(CatalogError::NotSupported { what: format!("{other} ANY or ALL") });
        }
    }))
}

/// The elements of an array literal such as `{a,"b c",NULL}`, as texts.
pub(in crate::sql::catalog) fn parse_array(text: &str) -> Result<Vec<Value>, CatalogError> {
    let malformed =
        || CatalogError::InvalidText { message: format!("malformed array literal: \"{text}\"") };
    let body = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let body = body.ok_or_else(malformed)?;
    let mut items = Vec::new();
    let mut chars = body.chars().peekable();
    if body.trim().is_empty() {
        return Ok(items);
    }
    loop {
        let mut item = String::new();
        while chars.next_if(|next| next.is_whitespace()).is_some() {}
        let quoted = chars.next_if_eq(&'"').is_some();
        if quoted {
            loop {
                match chars.next().ok_or_else(malformed)? {
                    '"' => break,
                    '\\' => item.push(chars.next().ok_or_else(malformed)?),
                    other => item.push(other),
                }
            }
        } else {
            while let Some(next) = chars.next_if(|next| *next != ',') {
                item.push(next);
            }
            item = item.trim().to_owned();
        }
        items.push(if !quoted && item.eq_ignore_ascii_case("null") {
            Value::Null
        } else {
            Value::Text(item)
        });
        match chars.next() {
            Some(',') => {}
            Some(_) => return Err(malformed()),
            None => return Ok(items),
        }
    }
}

/// An array as Postgres prints it.
pub(in crate::sql::catalog) fn print_array(items: &[Value]) -> String {
    let printed = items.iter().map(|item| match item.print() {
        None => "NULL".to_owned(),
        Some(text) if matches!(item, Value::List(_)) => text,
        Some(text) if needs_quotes(&text) => {
            format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
        }
        Some(text) => text,
    });
    format!("{{{}}}", printed.collect::<Vec<_>>().join(","))
}

fn needs_quotes(text: &str) -> bool {
    let special = |one: char| one.is_whitespace() || "{},\"\\".contains(one);
    text.is_empty() || text.eq_ignore_ascii_case("null") || text.contains(special)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn array_literals_are_read_and_written() {
        let items = parse_array("{r, \"b c\",NULL,\"\\\"\"}").expect("a good literal");
        let texts = ["r", "b c"].map(Value::text);
        assert_eq!(items[..2], texts);
        assert_eq!((&items[2], &items[3]), (&Value::Null, &Value::text("\"")));
        assert_eq!(print_array(&items), "{r,\"b c\",NULL,\"\\\"\"}");
        assert!(parse_array("r,v").is_err());
    }
}
