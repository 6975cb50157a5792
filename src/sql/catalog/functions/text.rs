//! Functions over texts that DataFusion doesn't have, or has otherwise.

use super::{Call, Function, Outcome, Returns, Value};
use crate::sql::catalog::directory::parse_identifier;
use crate::sql::catalog::error::CatalogError;

pub(super) const FUNCTIONS: &[Function] = &[
    function("parse_ident", (1, 2), "_text", true, |call| {
        let text = call.text(0).unwrap_or_default();
        let parts = parse_identifier(text).ok_or_else(|| CatalogError::InvalidArgument {
            message: format!("string is not a valid identifier: \"{text}\""),
        })?;
        Ok(Value::List(parts.into_iter().map(Value::Text).collect()))
    }),
    // Of an address, which canon writes as a text.
    function("host", (1, 1), "text", true, |call| {
        let address = call.text(0).unwrap_or_default();
        Ok(Value::text(address.split('/').next().unwrap_or_default()))
    }),
    function("array_to_string", (2, 3), "text", false, array_to_string),
    function("pg_size_pretty", (1, 1), "text", true, |call| {
        Ok(Value::Text(size_pretty(call.int(0).unwrap_or_default())))
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
