//! What the planner refuses, in the words of Postgres.
//!
//! DataFusion's planning errors carry no code of their own, so they are told by their words
//! (DataFusion 55); the tests hold them fast. What isn't known here keeps the words that it has.

/// A fault with its code, as Postgres tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worded {
    pub sqlstate: &'static str,
    pub message: String,
    pub hint: Option<&'static str>,
}

const CAST_HINT: &str = "No operator matches the given name and argument types. You might need to add explicit type casts.";
const FUNCTION_HINT: &str = "No function matches the given name and argument types. You might need to add explicit type casts.";

/// The fault behind the message of a planning error, if it is one of those known here.
pub fn of_planning(message: &str) -> Option<Worded> {
    let plain = |sqlstate, message: &str| {
        Some(Worded { sqlstate, message: message.to_owned(), hint: None })
    };
    let message = message.strip_prefix("Internal error: ").unwrap_or(message);
    if message.starts_with("Inconsistent data length across values list") {
        return plain("42601", "VALUES lists must all be the same length");
    }
    if message.starts_with("UNION queries have different number of columns") {
        return plain("42601", "each UNION query must have the same number of columns");
    }
    if message.starts_with("Too many columns! The subquery should only return one column") {
        return plain("42601", "subquery must return only one column");
    }
    if message.starts_with("For SELECT DISTINCT, ORDER BY expressions") {
        let message = "for SELECT DISTINCT, ORDER BY expressions must appear in select list";
        return plain("42P10", message);
    }
    if message.starts_with("WITH query name") && message.ends_with("specified more than once") {
        return plain("42712", message);
    }
    if message.starts_with("Cannot create filter with non-boolean predicate") {
        let returned = message.rsplit_once(" returning ").map_or("", |(_, data_type)| data_type);
        let message =
            format!("argument of WHERE must be type boolean, not type {}", type_name(returned));
        return plain("42804", &message);
    }
    operator(message).or_else(|| function(message))
}

/// `Cannot coerce arithmetic expression Utf8 + Int64 to valid types`
fn operator(message: &str) -> Option<Worded> {
    let rest = message.strip_prefix("Cannot coerce arithmetic expression ")?;
    let (expression, _) = rest.split_once(" to valid types")?;
    let (left, operator, right) = ["+", "-", "*", "/", "%"].into_iter().find_map(|operator| {
        let (left, right) = expression.split_once(&format!(" {operator} "))?;
        Some((left, operator, right))
    })?;
    let message =
        format!("operator does not exist: {} {operator} {}", type_name(left), type_name(right));
    Some(Worded { sqlstate: "42883", message, hint: Some(CAST_HINT) })
}

/// `… No function matches the given name and argument types 'upper(Int32, Int32)'. …`, or
/// `Function 'sum' failed to match any signature, errors: … received String (DataType: Utf8)…`.
fn function(message: &str) -> Option<Worded> {
    const CALL: &str = "No function matches the given name and argument types '";
    let missing = |call: String| {
        let message = format!("function {call} does not exist");
        Some(Worded { sqlstate: "42883", message, hint: Some(FUNCTION_HINT) })
    };
    if let Some((_, rest)) = message.split_once(CALL) {
        let (name, types) = rest.split_once("'.")?.0.split_once('(')?;
        let types = top_level(types.strip_suffix(')')?);
        let types: Vec<String> = types.iter().map(|data_type| type_name(data_type)).collect();
        return missing(format!("{name}({})", types.join(", ")));
    }
    let (name, rest) = message.strip_prefix("Function '")?.split_once('\'')?;
    if !rest.starts_with(" failed to match any signature") {
        return None;
    }
    let (_, given) = rest.rsplit_once("(DataType: ")?;
    let (data_type, _) = given.rsplit_once(").")?;
    missing(format!("{name}({})", type_name(data_type)))
}

/// The parts between commas that stand in no parentheses.
fn top_level(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let parts = text.split(|c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// How Postgres names the type that Arrow prints so.
fn type_name(arrow: &str) -> String {
    let arrow = arrow.trim();
    let name = match arrow {
        "Utf8" | "LargeUtf8" | "Utf8View" => "text",
        "Boolean" => "boolean",
        "Int8" | "Int16" | "UInt8" => "smallint",
        "Int32" | "UInt16" => "integer",
        "Int64" | "UInt32" => "bigint",
        "Float16" | "Float32" => "real",
        "Float64" => "double precision",
        "Date32" | "Date64" => "date",
        "Null" => "unknown",
        _ if arrow.starts_with("Decimal") || arrow == "UInt64" => "numeric",
        // With a zone, its name is in quotes.
        _ if arrow.starts_with("Timestamp") && arrow.contains('"') => "timestamp with time zone",
        _ if arrow.starts_with("Timestamp") => "timestamp without time zone",
        _ if arrow.starts_with("Time") => "time without time zone",
        _ if arrow.starts_with("Interval") || arrow.starts_with("Duration") => "interval",
        _ if arrow.contains("Binary") => "bytea",
        other => other,
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planning_errors_are_told_as_postgres_tells_them() {
        for (message, sqlstate, expected) in [
            (
                "Cannot coerce arithmetic expression Utf8 + Int64 to valid types",
                "42883",
                "operator does not exist: text + bigint",
            ),
            (
                "Function 'upper' expects 1 arguments but received 2. No function matches the given name and argument types 'upper(Int32, Decimal128(5, 2))'. You might need to add explicit type casts.",
                "42883",
                "function upper(integer, numeric) does not exist",
            ),
            (
                "Internal error: Function 'sum' failed to match any signature, errors: Error during planning: Function 'sum' requires Decimal, but received String (DataType: Utf8)..",
                "42883",
                "function sum(text) does not exist",
            ),
            (
                "Cannot create filter with non-boolean predicate 'CAST(Int64(1) AS Int32)' returning Int32",
                "42804",
                "argument of WHERE must be type boolean, not type integer",
            ),
            (
                "Inconsistent data length across values list: got 1 values in row 1 but expected 2",
                "42601",
                "VALUES lists must all be the same length",
            ),
        ] {
            let worded = of_planning(message).unwrap();
            assert_eq!((worded.sqlstate, worded.message.as_str()), (sqlstate, expected));
        }
        assert_eq!(of_planning("something else"), None);
    }
}
