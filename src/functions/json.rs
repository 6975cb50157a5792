//! JSON made of values, and read by its paths. JSON is a text that is known to be one.

use super::calendar::{SECOND, clock_text, date_text, timestamp_text};
use super::error::FunctionError;
use super::rows::{self, Kind, Outcome, Overload, RowFunction, Value};
use super::strings::output;
use crate::sql::jsonb::write_quoted;
use crate::sql::timezone::offset_text;

type Result<T> = std::result::Result<T, FunctionError>;

#[rustfmt::skip]
pub(super) const FUNCTIONS: &[RowFunction] = &[
    RowFunction { name: "to_json", overloads: &[
        Overload::new(&[Kind::Any], rows::text, |args| Ok(Value::text(json(&args[0])))).json(),
    ] },
    RowFunction { name: "array_to_json", overloads: &[
        Overload::new(&[Kind::List], rows::text, |args| Ok(Value::text(json(&args[0])))).json(),
    ] },
    RowFunction { name: "row_to_json", overloads: &[
        Overload::new(&[Kind::Any], rows::text, |args| Ok(Value::text(json(&args[0])))).json(),
    ] },
    RowFunction { name: "json_build_object", overloads: &[
        Overload::new(&[Kind::Any], rows::text, build_object).variadic().of_nulls().json(),
    ] },
    RowFunction { name: "json_build_array", overloads: &[
        Overload::new(&[Kind::Any], rows::text, |args| {
            let items: Vec<String> = args.iter().map(json).collect();
            Ok(Value::text(format!("[{}]", items.join(", "))))
        }).variadic().of_nulls().json(),
    ] },
    RowFunction { name: "json_list", overloads: &[
        Overload::new(&[Kind::Any], rows::text, |args| Ok(match &args[0] {
            Value::List(items) => {
                let rows = items.iter().any(|item| matches!(item, Value::Row(_)));
                let items: Vec<String> = items.iter().map(json).collect();
                Value::text(format!("[{}]", items.join(if rows { ", \n " } else { ", " })))
            }
            _ => Value::Null,
        })).json(),
    ] },
    RowFunction { name: "json_list_of_json", overloads: &[
        Overload::new(&[Kind::Any], rows::text, |args| {
            let items: Vec<String> = args[0].items().iter().map(raw_text).collect();
            Ok(Value::text(format!("[{}]", items.join(", "))))
        }).json(),
    ] },
    RowFunction { name: "json_lists_of_json", overloads: &[
        Overload::new(&[Kind::Any, Kind::Any], rows::text, |args| {
            let values = Value::List(raw(args[1].items()));
            object_of_lists(&[args[0].clone(), values])
        }).json(),
    ] },
    RowFunction { name: "json_items", overloads: &[
        Overload::new(&[Kind::Json], rows::texts, |args| {
            let items = items(args[0].str())?;
            Ok(Value::List(items.into_iter().map(Value::text).collect()))
        }),
    ] },
    RowFunction { name: "json_items_text", overloads: &[
        Overload::new(&[Kind::Json], rows::texts, |args| {
            let items = items(args[0].str())?;
            Ok(Value::List(items.into_iter().map(|item| unquoted(Some(item.to_owned()))).collect()))
        }),
    ] },
    RowFunction { name: "json_keys", overloads: &[
        Overload::new(&[Kind::Json], rows::texts, |args| match parsed(args[0].str())? {
            Json::Object(members) => {
                Ok(Value::list_of_texts(members.into_iter().map(|(key, _)| key).collect()))
            }
            Json::Array(_) => Err(FunctionError::argument("cannot call json_object_keys on an array")),
            Json::Scalar => Err(FunctionError::argument("cannot call json_object_keys on a scalar")),
        }),
    ] },
    RowFunction { name: "json_each_keys", overloads: &[
        Overload::new(&[Kind::Json], rows::texts, |args| {
            Ok(Value::list_of_texts(members(args[0].str())?.into_iter().map(|(key, _)| key).collect()))
        }),
    ] },
    RowFunction { name: "json_each_values", overloads: &[
        Overload::new(&[Kind::Json], rows::texts, |args| {
            Ok(Value::List(members(args[0].str())?.into_iter().map(|(_, value)| Value::text(value)).collect()))
        }),
    ] },
    RowFunction { name: "json_each_texts", overloads: &[
        Overload::new(&[Kind::Json], rows::texts, |args| {
            let members = members(args[0].str())?.into_iter();
            Ok(Value::List(members.map(|(_, value)| unquoted(Some(value.to_owned()))).collect()))
        }),
    ] },
    RowFunction { name: "json_members", overloads: &[
        Overload::new(&[Kind::Json, Kind::Text], rows::texts, |args| {
            let members = members_of_each(args)?.into_iter();
            Ok(Value::List(members.map(Value::maybe_text).collect()))
        }),
    ] },
    RowFunction { name: "json_members_text", overloads: &[
        Overload::new(&[Kind::Json, Kind::Text], rows::texts, |args| {
            Ok(Value::List(members_of_each(args)?.into_iter().map(unquoted).collect()))
        }),
    ] },
    RowFunction { name: "json_lists", overloads: &[
        Overload::new(&[Kind::Any, Kind::Any], rows::text, object_of_lists).json(),
    ] },
    RowFunction { name: "json_field", overloads: &[
        Overload::new(&[Kind::Json, Kind::Int], rows::text, |args| Ok(Value::maybe_text(item(args[0].str(), args[1].int())?))).json_as_first(),
        Overload::new(&[Kind::Json, Kind::Text], rows::text, |args| Ok(Value::maybe_text(field(args[0].str(), args[1].str())?))).json_as_first(),
    ] },
    RowFunction { name: "json_field_text", overloads: &[
        Overload::new(&[Kind::Json, Kind::Int], rows::text, |args| Ok(unquoted(item(args[0].str(), args[1].int())?))),
        Overload::new(&[Kind::Json, Kind::Text], rows::text, |args| Ok(unquoted(field(args[0].str(), args[1].str())?))),
    ] },
    RowFunction { name: "json_extract_path", overloads: &[
        Overload::new(&[Kind::Json, Kind::Text], rows::text, |args| Ok(Value::maybe_text(path(args)?))).variadic().json_as_first(),
    ] },
    RowFunction { name: "json_extract_path_text", overloads: &[
        Overload::new(&[Kind::Json, Kind::Text], rows::text, |args| Ok(unquoted(path(args)?))).variadic(),
    ] },
    RowFunction { name: "json_array_length", overloads: &[
        Overload::new(&[Kind::Json], rows::int4, |args| {
            match parsed(args[0].str())? {
                Json::Array(items) => Ok(Value::Int(i64::try_from(items.len()).unwrap_or_default())),
                Json::Object(_) => Err(FunctionError::argument("cannot get array length of a non-array")),
                Json::Scalar => Err(FunctionError::argument("cannot get array length of a scalar")),
            }
        }),
    ] },
    RowFunction { name: "json_typeof", overloads: &[
        Overload::new(&[Kind::Json], rows::text, |args| {
            let text = args[0].str().trim_start();
            parsed(text)?;
            Ok(Value::text(match text.as_bytes().first() {
                Some(b'{') => "object",
                Some(b'[') => "array",
                Some(b'"') => "string",
                Some(b't' | b'f') => "boolean",
                Some(b'n') => "null",
                _ => "number",
            }))
        }),
    ] },
];

/// Texts that are known to be JSON.
pub(super) fn raw<'a>(items: &[Value<'a>]) -> Vec<Value<'a>> {
    let raw = |item: &Value<'a>| match item {
        Value::Text(text) => Value::Json(text.clone()),
        other => other.clone(),
    };
    items.iter().map(raw).collect()
}

fn raw_text(item: &Value<'_>) -> String {
    match item {
        Value::Text(text) => text.clone().into_owned(),
        other => json(other),
    }
}

fn items(text: &str) -> Result<Vec<&str>> {
    match parsed(text)? {
        Json::Array(items) => Ok(items),
        Json::Object(_) => {
            Err(FunctionError::argument("cannot call json_array_elements on a non-array"))
        }
        Json::Scalar => Err(FunctionError::argument("cannot call json_array_elements on a scalar")),
    }
}

fn members(text: &str) -> Result<Vec<(String, &str)>> {
    match parsed(text)? {
        Json::Object(members) => Ok(members),
        Json::Array(_) => Err(FunctionError::argument("cannot deconstruct an array as an object")),
        Json::Scalar => Err(FunctionError::argument("cannot deconstruct a scalar")),
    }
}

/// The member of a name of each object in an array.
pub(super) fn members_of_each(args: &[Value<'_>]) -> Result<Vec<Option<String>>> {
    let Json::Array(items) = parsed(args[0].str())? else {
        let message = "cannot call json_to_recordset on what is no array";
        return Err(FunctionError::argument(message));
    };
    let member = |item: &str| match parsed(item)? {
        Json::Object(_) => field(item, args[1].str()),
        _ => {
            let message = "argument of json_to_recordset must be an array of objects";
            Err(FunctionError::argument(message))
        }
    };
    items.into_iter().map(member).collect()
}

/// A value as JSON.
pub(super) fn json(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Json(text) => text.clone().into_owned(),
        Value::Short(_) | Value::Int(_) | Value::Decimal(..) => output(value),
        Value::Float(number) if number.is_finite() => output(value),
        Value::Date(days) => quoted(&date_text(*days).unwrap_or_default()),
        Value::Time(micros) => quoted(&clock_text(micros.unsigned_abs())),
        Value::Timestamp(micros) => {
            quoted(&timestamp_text(*micros).unwrap_or_default().replacen(' ', "T", 1))
        }
        Value::Instant(micros) => {
            let text = timestamp_text(*micros).unwrap_or_default().replacen(' ', "T", 1);
            quoted(&(text + "+00:00"))
        }
        Value::Shown(instant, east_seconds) => {
            let local = instant.saturating_add(i64::from(*east_seconds) * SECOND);
            let text = timestamp_text(local).unwrap_or_default().replacen(' ', "T", 1);
            let offset = offset_text(*east_seconds);
            let minutes = if offset.contains(':') { "" } else { ":00" };
            quoted(&(text + &offset + minutes))
        }
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(json).collect();
            format!("[{}]", items.join(","))
        }
        Value::Row(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{}:{}", quoted(name), json(value)))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Float(_) | Value::Text(_) | Value::Bytes(_) | Value::Interval(_) => {
            quoted(&output(value))
        }
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    write_quoted(text, &mut out);
    out
}

fn build_object(args: &[Value<'_>]) -> Outcome {
    if !args.len().is_multiple_of(2) {
        return Err(FunctionError::argument("argument list must have even number of elements")
            .with_hint(
                "The arguments of json_build_object() must consist of alternating keys and values.",
            ));
    }
    let mut fields = Vec::with_capacity(args.len() / 2);
    for (index, pair) in args.chunks(2).enumerate() {
        fields.push(member(pair, &format!("argument {} cannot be null", 2 * index + 1))?);
    }
    Ok(Value::text(format!("{{{}}}", fields.join(", "))))
}

fn member(pair: &[Value<'_>], null: &str) -> Result<String> {
    if pair[0].is_null() {
        return Err(FunctionError::argument(null).with_hint("Object keys should be text."));
    }
    Ok(format!("{} : {}", quoted(&output(&pair[0])), json(&pair[1])))
}

/// `json_object_agg`, of the lists of its keys and values.
fn object_of_lists(args: &[Value<'_>]) -> Outcome {
    let mut fields = Vec::new();
    for (key, value) in args[0].items().iter().zip(args[1].items()) {
        let pair = [key.clone().into_owned(), value.clone().into_owned()];
        fields.push(member(&pair, "field name must not be null")?);
    }
    Ok(Value::text(format!("{{ {} }}", fields.join(", "))))
}

/// The parts of a JSON text, as they are written.
enum Json<'t> {
    Object(Vec<(String, &'t str)>),
    Array(Vec<&'t str>),
    Scalar,
}

fn invalid() -> FunctionError {
    FunctionError::new("22P02", "invalid input syntax for type json")
}

/// # Errors
/// 22P02 for a text that isn't JSON.
fn parsed(text: &str) -> Result<Json<'_>> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|_| invalid())?;
    let text = text.trim();
    let inner = |text: &str| text.len().checked_sub(1).map(|end| 1..end).ok_or_else(invalid);
    match text.as_bytes().first() {
        Some(b'[') => Ok(Json::Array(split(&text[inner(text)?], ','))),
        Some(b'{') => {
            let mut members = Vec::new();
            for member in split(&text[inner(text)?], ',') {
                let parts = split(member, ':');
                let [name, value] = parts.as_slice() else { return Err(invalid()) };
                let name = serde_json::from_str::<String>(name).map_err(|_| invalid())?;
                members.push((name, *value));
            }
            Ok(Json::Object(members))
        }
        _ => Ok(Json::Scalar),
    }
}

/// Splits valid JSON at a character outside of brackets and strings.
fn split(text: &str, at: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for (index, character) in text.char_indices() {
        if in_string {
            match character {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match character {
            '"' => in_string = true,
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            character if character == at && depth == 0 => {
                parts.push(text[start..index].trim());
                start = index + character.len_utf8();
            }
            _ => {}
        }
    }
    let last = text[start..].trim();
    if !last.is_empty() || !parts.is_empty() {
        parts.push(last);
    }
    parts
}

/// The member of a name; of several the last.
fn field(text: &str, name: &str) -> Result<Option<String>> {
    Ok(match parsed(text)? {
        Json::Object(members) => {
            let found = members.iter().rev().find(|(member, _)| member == name);
            found.map(|(_, value)| (*value).to_owned())
        }
        _ => None,
    })
}

/// The item of an index from 0, or from the end.
fn item(text: &str, index: i64) -> Result<Option<String>> {
    Ok(match parsed(text)? {
        Json::Array(items) => {
            let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
            let index = if index < 0 { index + length } else { index };
            let index = usize::try_from(index).ok();
            index.and_then(|index| items.get(index)).map(|item| (*item).to_owned())
        }
        _ => None,
    })
}

pub(super) fn path(args: &[Value<'_>]) -> Result<Option<String>> {
    let mut here = Some(args[0].str().to_owned());
    for step in &args[1..] {
        let Some(text) = here else { return Ok(None) };
        let step = step.str();
        here = match step.parse::<i64>() {
            Ok(index) if text.trim_start().starts_with('[') => item(&text, index)?,
            _ => field(&text, step)?,
        };
    }
    Ok(here)
}

/// A string without its quotes, `null` as NULL.
pub(super) fn unquoted(json: Option<String>) -> Value<'static> {
    let Some(json) = json else { return Value::Null };
    match json.as_str() {
        "null" => Value::Null,
        text if text.starts_with('"') => {
            Value::maybe_text(serde_json::from_str::<String>(text).ok())
        }
        _ => Value::text(json),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stay_as_they_are_written() {
        let text = r#"{"a": {"b": [1, 2]}, "c,d": "x:\"y"}"#;
        assert_eq!(field(text, "a").unwrap().as_deref(), Some(r#"{"b": [1, 2]}"#));
        assert_eq!(unquoted(field(text, "c,d").unwrap()), Value::text("x:\"y"));
        assert_eq!(item("[1, [2, 3]]", -1).unwrap().as_deref(), Some("[2, 3]"));
    }
}
