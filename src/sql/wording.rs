//! What the planner refuses, in the words of Postgres.
//!
//! DataFusion's planning errors carry no code of their own, so they are told by their words
//! (DataFusion 55); the tests hold them fast. What isn't known here keeps the words that it has.

use datafusion::error::DataFusionError;

/// A fault with its code, as Postgres tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worded {
    pub sqlstate: &'static str,
    pub message: String,
    pub hint: Option<&'static str>,
}

const PREFIX_HINT: &str = "No operator matches the given name and argument type. You might need to add an explicit type cast.";
const CAST_HINT: &str = "No operator matches the given name and argument types. You might need to add explicit type casts.";
pub(super) const FUNCTION_HINT: &str = "No function matches the given name and argument types. You might need to add explicit type casts.";

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
    if let Some(rest) = message.strip_prefix("Order by column out of bounds, specified: ") {
        let position = rest.split(',').next().unwrap_or_default();
        return plain("42P10", &format!("ORDER BY position {position} is not in select list"));
    }
    if message.starts_with("Aggregate functions are not allowed in the WHERE clause") {
        return plain("42803", "aggregate functions are not allowed in WHERE");
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

/// As [`of_planning`], of the error itself, of which the message alone doesn't tell all.
pub fn of_error(error: &DataFusionError) -> Option<Worded> {
    // `- cannot be used with Utf8`
    let diagnostic =
        error.diagnostic().and_then(|it| it.message.split_once(" cannot be used with "));
    if let Some((operator @ ("-" | "+"), data_type)) = diagnostic {
        let message = format!("operator does not exist: {operator} {}", type_name(data_type));
        return Some(Worded { sqlstate: "42883", message, hint: Some(PREFIX_HINT) });
    }
    let message = error.find_root().strip_backtrace();
    let message = message.lines().next().unwrap_or_default();
    of_planning(message.strip_prefix("Error during planning: ").unwrap_or(message))
}

/// `Cannot coerce arithmetic expression Utf8 + Int64 to valid types`, `Cannot infer common argument type
/// for comparison operation Int32 = Boolean`, and their like.
fn operator(message: &str) -> Option<Worded> {
    const ARITHMETIC: [&str; 5] = ["+", "-", "*", "/", "%"];
    const COMPARISON: [&str; 8] =
        ["IS NOT DISTINCT FROM", "IS DISTINCT FROM", "<=", ">=", "!=", "=", "<", ">"];
    const PATTERN: [&str; 4] = ["!~*", "~*", "!~", "~"];
    const KINDS: [(&str, &[&str]); 9] = [
        ("Cannot coerce arithmetic expression ", &ARITHMETIC),
        ("Cannot get result type for arithmetic operation ", &ARITHMETIC),
        ("Cannot get result type for temporal operation ", &ARITHMETIC),
        ("Cannot get result type for decimal operation ", &ARITHMETIC),
        ("Cannot infer common argument type for comparison operation ", &COMPARISON),
        ("Cannot infer common argument type for regex operation ", &PATTERN),
        ("Cannot infer common type for bitwise operation ", &["BIT_XOR", "<<", ">>", "&", "|"]),
        ("Cannot infer common string type for string concat operation ", &["||"]),
        ("Cannot infer common argument type for logical boolean operation ", &["AND", "OR"]),
    ];
    if let Some(given) =
        message.strip_prefix("Unary operator 'NOT' requires a boolean expression, got ")
    {
        return not_boolean("NOT", given);
    }
    if let Some((pattern, rest)) = message
        .strip_prefix("There isn't a common type to coerce ")
        .and_then(|rest| rest.split_once(" in "))
    {
        let (left, right) = pattern.split_once(" and ")?;
        let operator = match rest.strip_suffix(" expression")? {
            "LIKE" => "~~",
            "ILIKE" => "~~*",
            _ => return None,
        };
        return missing_operator(left, operator, right);
    }
    let (rest, operators) = KINDS
        .iter()
        .find_map(|(words, operators)| Some((message.strip_prefix(words)?, *operators)))?;
    let (left, operator, right) = operators.iter().find_map(|operator| {
        let (left, right) = rest.split_once(&format!(" {operator} "))?;
        Some((left, *operator, right))
    })?;
    let right = right.split(" to valid types").next().unwrap_or(right);
    let right = right.split(": ").next().unwrap_or(right);
    match operator {
        "AND" | "OR" if left == "Boolean" => not_boolean(operator, right),
        "AND" | "OR" => not_boolean(operator, left),
        "!=" => missing_operator(left, "<>", right),
        "BIT_XOR" => missing_operator(left, "#", right),
        "IS DISTINCT FROM" | "IS NOT DISTINCT FROM" => missing_operator(left, "=", right),
        operator => missing_operator(left, operator, right),
    }
}

fn missing_operator(left: &str, operator: &str, right: &str) -> Option<Worded> {
    let (left, right) = (type_name(left), type_name(right));
    let message = format!("operator does not exist: {left} {operator} {right}");
    Some(Worded { sqlstate: "42883", message, hint: Some(CAST_HINT) })
}

fn not_boolean(operator: &str, given: &str) -> Option<Worded> {
    let given = type_name(given);
    let message = format!("argument of {operator} must be type boolean, not type {given}");
    Some(Worded { sqlstate: "42804", message, hint: None })
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
                "Cannot infer common argument type for comparison operation Timestamp(µs, \"UTC\") != Int32",
                "42883",
                "operator does not exist: timestamp with time zone <> integer",
            ),
            (
                "Cannot infer common argument type for regex operation Utf8 !~* Int32",
                "42883",
                "operator does not exist: text !~* integer",
            ),
            (
                "Cannot get result type for temporal operation Date32 * Int32: Invalid argument error: Invalid date arithmetic operation: Date32 * Interval(MonthDayNano)",
                "42883",
                "operator does not exist: date * integer",
            ),
            (
                "Order by column out of bounds, specified: 5, max: 1",
                "42P10",
                "ORDER BY position 5 is not in select list",
            ),
            (
                "Aggregate functions are not allowed in the WHERE clause. Consider using HAVING instead",
                "42803",
                "aggregate functions are not allowed in WHERE",
            ),
            (
                "There isn't a common type to coerce Utf8 and Int32 in LIKE expression",
                "42883",
                "operator does not exist: text ~~ integer",
            ),
            (
                "Cannot infer common argument type for logical boolean operation Int32 AND Boolean",
                "42804",
                "argument of AND must be type boolean, not type integer",
            ),
            (
                "Unary operator 'NOT' requires a boolean expression, got Int32",
                "42804",
                "argument of NOT must be type boolean, not type integer",
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
