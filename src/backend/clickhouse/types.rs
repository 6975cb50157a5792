//! ClickHouse's types: their grammar, and the canonical type that each is shown under.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, TimeUnit};

/// How deep types may be nested; ClickHouse's own columns have a handful of levels.
const DEPTH_MAX: usize = 32;

/// A type as `system.columns` writes it, without the wrappers that don't change its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeType {
    /// `Decimal`, `DateTime64`, `Array`.
    pub name: String,
    /// Text between the brackets, split at its commas: `18`, `2`; `'UTC'`.
    pub arguments: Vec<String>,
    /// Whether a `Nullable` was around it.
    pub nullable: bool,
}

impl NativeType {
    /// Takes off `Nullable`, `LowCardinality` and `SimpleAggregateFunction(f, …)`.
    /// None for a text that isn't a type.
    pub fn parse(text: &str) -> Option<NativeType> {
        Self::parse_within(text.trim(), DEPTH_MAX)
    }

    fn parse_within(text: &str, depth: usize) -> Option<NativeType> {
        let depth = depth.checked_sub(1)?;
        let (name, arguments) = match text.split_once('(') {
            Some((name, rest)) => (name, split_top_level(rest.strip_suffix(')')?)),
            None => (text, Vec::new()),
        };
        match (name, arguments.as_slice()) {
            ("Nullable", [inner]) => {
                let inner = Self::parse_within(inner, depth)?;
                Some(NativeType { nullable: true, ..inner })
            }
            ("LowCardinality", [inner]) | ("SimpleAggregateFunction", [_, inner]) => {
                Self::parse_within(inner, depth)
            }
            _ => Some(NativeType { name: name.to_owned(), arguments, nullable: false }),
        }
    }

    /// The item of an array.
    pub fn item(&self) -> Option<NativeType> {
        match (self.name.as_str(), self.arguments.as_slice()) {
            ("Array", [item]) => NativeType::parse(item),
            _ => None,
        }
    }

    /// The type that canon shows it under; None where canon has none (maps, tuples, JSON, states of
    /// aggregates, times of day).
    pub fn canonical(&self) -> Option<DataType> {
        let utc = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        Some(match self.name.as_str() {
            "Bool" => DataType::Boolean,
            "Int8" | "Int16" | "UInt8" => DataType::Int16,
            "Int32" | "UInt16" => DataType::Int32,
            "Int64" | "UInt32" => DataType::Int64,
            "UInt64" => DataType::Decimal128(20, 0),
            // 2^127 and 2^128 have 39 digits.
            "Int128" | "UInt128" => DataType::Decimal256(39, 0),
            // 2^255 has 77: the last values are out of range rather than wrong.
            "Int256" | "UInt256" => DataType::Decimal256(76, 0),
            "Float32" => DataType::Float32,
            "Float64" => DataType::Float64,
            "Decimal" => self.decimal()?,
            "String" | "FixedString" | "Enum8" | "Enum16" | "UUID" | "IPv4" | "IPv6" => {
                DataType::Utf8
            }
            "Date" | "Date32" => DataType::Date32,
            "DateTime" | "DateTime64" | "DateTime32" => utc(),
            "Array" => {
                let item = self.item()?;
                let canonical = item.canonical().filter(|item| !item.is_nested())?;
                DataType::List(Arc::new(Field::new_list_field(canonical, true)))
            }
            _ => return None,
        })
    }

    fn decimal(&self) -> Option<DataType> {
        let [precision, scale] = self.arguments.as_slice() else { return None };
        let (precision, scale) = (precision.parse().ok()?, scale.parse().ok()?);
        Some(if precision <= 38 {
            DataType::Decimal128(precision, scale)
        } else {
            DataType::Decimal256(precision, scale)
        })
    }
}

/// Splits at the commas that are outside of brackets and quotes, and trims the parts.
pub(super) fn split_top_level(text: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut depth = 0_usize;
    let mut quote: Option<char> = None;
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match (quote, char) {
            (Some(_), '\\') => {
                part.push(char);
                part.extend(chars.next());
                continue;
            }
            (Some(open), _) if char == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"' | '`') => quote = Some(char),
            (None, '(' | '[') => depth += 1,
            (None, ')' | ']') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                parts.push(std::mem::take(&mut part).trim().to_owned());
                continue;
            }
            (None, _) => {}
        }
        part.push(char);
    }
    if !part.trim().is_empty() || !parts.is_empty() {
        parts.push(part.trim().to_owned());
    }
    parts
}

/// A name as an identifier of ClickHouse's SQL.
pub(super) fn identifier(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len() + 2);
    quoted.push('`');
    for char in name.chars() {
        if matches!(char, '`' | '\\') {
            quoted.push('\\');
        }
        quoted.push(char);
    }
    quoted.push('`');
    quoted
}

/// A text as a string literal of ClickHouse's SQL, where a backslash escapes.
pub(super) fn string_literal(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for char in text.chars() {
        match char {
            '\'' => quoted.push_str("\\'"),
            '\\' => quoted.push_str("\\\\"),
            '\0' => quoted.push_str("\\0"),
            _ => quoted.push(char),
        }
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_come_off_and_leave_whether_null_is_possible() {
        let parsed = |text| {
            let native = NativeType::parse(text).unwrap();
            (native.canonical(), native.nullable)
        };
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let cases = [
            ("LowCardinality(Nullable(String))", Some(DataType::Utf8), true),
            ("Nullable(Decimal(18, 4))", Some(DataType::Decimal128(18, 4)), true),
            ("Decimal(76, 20)", Some(DataType::Decimal256(76, 20)), false),
            ("DateTime64(3, 'Europe/Berlin')", Some(utc.clone()), false),
            ("DateTime", Some(utc), false),
            ("SimpleAggregateFunction(max, Nullable(Float64))", Some(DataType::Float64), true),
            ("Enum8('a, (b\\')' = 1, 'c' = 2)", Some(DataType::Utf8), false),
            ("AggregateFunction(sum, UInt64)", None, false),
            ("Map(String, UInt64)", None, false),
            ("Array(Tuple(a Int32, b String))", None, false),
            ("Array(Array(Int32))", None, false),
        ];
        for (text, canonical, nullable) in cases {
            assert_eq!(parsed(text), (canonical, nullable), "{text}");
        }
    }

    #[test]
    fn arguments_are_split_outside_of_quotes_and_brackets() {
        let parts = split_top_level("'/tables/{shard}, x', '{replica}', `a,b`, tuple(c, d)");
        assert_eq!(parts, ["'/tables/{shard}, x'", "'{replica}'", "`a,b`", "tuple(c, d)"]);
        assert!(split_top_level("").is_empty());
    }

    #[test]
    fn no_text_ends_its_quotes() {
        assert_eq!(identifier("a`b\\"), "`a\\`b\\\\`");
        assert_eq!(string_literal("\\' OR 1=1 --"), "'\\\\\\' OR 1=1 --'");
    }
}
