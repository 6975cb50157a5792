//! Functions over texts that DataFusion doesn't have, or has otherwise.

use super::{Call, Function, Outcome, Returns, Value};
use crate::sql::catalog::directory::parse_identifier;
use crate::sql::catalog::error::CatalogError;
use crate::sql::catalog::literals::escaped_pattern;
use crate::sql::catalog::naming::{quote_identifier, quote_literal};

pub(super) const FUNCTIONS: &[Function] = &[
    function("quote_ident", (1, 1), "text", true, |call| {
        Ok(Value::maybe_text(call.value(0).print().map(|text| quote_identifier(&text))))
    }),
    function("quote_literal", (1, 1), "text", true, |call| {
        Ok(Value::maybe_text(call.value(0).print().map(|text| quote_literal(&text))))
    }),
    function("quote_nullable", (1, 1), "text", false, |call| {
        let text = call.value(0).print();
        Ok(Value::Text(text.map_or_else(|| "NULL".to_owned(), |text| quote_literal(&text))))
    }),
    // What the syntax pass makes of LIKE … ESCAPE.
    function("canon_escaped_pattern", (2, 2), "text", true, |call| {
        let (pattern, escape) =
            (call.text(0).unwrap_or_default(), call.text(1).unwrap_or_default());
        Ok(Value::Text(escaped_pattern(pattern, escape.chars().next())))
    }),
    function("parse_ident", (1, 2), "_text", true, |call| {
        let text = call.text(0).unwrap_or_default();
        let parts = parse_identifier(text).ok_or_else(|| CatalogError::InvalidArgument {
            message: format!("string is not a valid identifier: \"{text}\""),
        })?;
        Ok(Value::List(parts.into_iter().map(Value::Text).collect()))
    }),
    function("format", (1, MANY), "text", false, format_text),
    // Of an address, which canon writes as a text.
    function("host", (1, 1), "text", true, |call| {
        let address = call.text(0).unwrap_or_default();
        Ok(Value::text(address.split('/').next().unwrap_or_default()))
    }),
    function("array_to_string", (2, 3), "text", false, array_to_string),
    function("pg_size_pretty", (1, 1), "text", true, |call| {
        Ok(Value::Text(size_pretty(call.int(0).unwrap_or_default())))
    }),
    function("json_build_object", (0, MANY), "json", false, json_build_object),
];

/// No list of arguments is longer.
const MANY: usize = 100;

const fn function(
    name: &'static str,
    arguments: (usize, usize),
    type_name: &'static str,
    strict: bool,
    eval: fn(&Call<'_>) -> Outcome,
) -> Function {
    Function { name, arguments, returns: Returns::Type(type_name), strict, eval }
}

/// `format('%s %I %L', …)`, with positions (`%1$s`) and without widths.
fn format_text(call: &Call<'_>) -> Outcome {
    let Some(template) = call.value(0).print() else { return Ok(Value::Null) };
    let mut chars = template.chars().peekable();
    let mut printed = String::new();
    let mut next = 1;
    while let Some(one) = chars.next() {
        if one != '%' {
            printed.push(one);
            continue;
        }
        if chars.next_if_eq(&'%').is_some() {
            printed.push('%');
            continue;
        }
        let mut digits = String::new();
        while let Some(digit) = chars.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        if !digits.is_empty() {
            if chars.next_if_eq(&'$').is_none() {
                return Err(CatalogError::NotSupported { what: "a width in format()".to_owned() });
            }
            next = digits.parse().unwrap_or(MANY);
        }
        let Some(value) = call.args.get(next) else {
            return Err(CatalogError::InvalidArgument {
                message: "too few arguments for format()".to_owned(),
            });
        };
        next += 1;
        let text = value.print();
        match (chars.next(), text) {
            (Some('s'), text) => printed.push_str(&text.unwrap_or_default()),
            (Some('I'), Some(text)) => printed.push_str(&quote_identifier(&text)),
            (Some('I'), None) => {
                return Err(CatalogError::InvalidArgument {
                    message: "null values cannot be formatted as an SQL identifier".to_owned(),
                });
            }
            (Some('L'), Some(text)) => printed.push_str(&quote_literal(&text)),
            (Some('L'), None) => printed.push_str("NULL"),
            (other, _) => {
                let other = other.map(String::from).unwrap_or_default();
                return Err(CatalogError::InvalidArgument {
                    message: format!("unrecognized format() type specifier \"{other}\""),
                });
            }
        }
    }
    Ok(Value::Text(printed))
}

fn array_to_string(call: &Call<'_>) -> Outcome {
    let (Value::List(items), Some(separator)) = (call.value(0), call.text(1)) else {
        return Ok(Value::Null);
    };
    let null = call.text(2).map(str::to_owned);
    let printed = items.iter().filter_map(|item| item.print().or_else(|| null.clone()));
    Ok(Value::Text(printed.collect::<Vec<_>>().join(separator)))
}

/// As Postgres rounds: a unit is used until there are 10 × 1024 of it.
fn size_pretty(bytes: i64) -> String {
    const LIMIT: i64 = 10 * 1024;
    if bytes.abs() < LIMIT {
        return format!("{bytes} bytes");
    }
    let mut size = bytes;
    let mut unit = "bytes";
    for next in ["kB", "MB", "GB", "TB", "PB"] {
        if size.abs() < 2 * LIMIT - 1 && unit != "bytes" {
            break;
        }
        // One bit is kept for the rounding at the end.
        size = if unit == "bytes" { size / 512 } else { size / 1024 };
        unit = next;
    }
    format!("{} {unit}", (size + size.signum()) / 2)
}

fn json_build_object(call: &Call<'_>) -> Outcome {
    let mut object = serde_json::Map::new();
    for pair in call.args.chunks(2) {
        let [key, value] = pair else {
            return Err(CatalogError::InvalidArgument {
                message: "argument list must have even number of elements".to_owned(),
            });
        };
        let key = key.print().ok_or_else(|| CatalogError::InvalidArgument {
            message: "argument 1: key must not be null".to_owned(),
        })?;
        let value = match value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Int(number) => (*number).into(),
            other => other.print().map_or(serde_json::Value::Null, Into::into),
        };
        object.insert(key, value);
    }
    Ok(Value::Text(serde_json::Value::Object(object).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_as_in_postgres() {
        assert_eq!(size_pretty(0), "0 bytes");
        assert_eq!(size_pretty(10_239), "10239 bytes");
        assert_eq!(size_pretty(10_240), "10 kB");
        assert_eq!(size_pretty(1_000_000), "977 kB");
        assert_eq!(size_pretty(1_000_000_000), "954 MB");
    }
}
