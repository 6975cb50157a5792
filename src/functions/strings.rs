//! Functions of texts, and the texts of all values.

use std::borrow::Cow;
use std::fmt::Write as _;

use datafusion::arrow::datatypes::DataType;

use super::calendar::{clock_text, date_text, timestamp_text};
use super::error::FunctionError;
use super::lengths::{BYTES_MAX, too_long};
use super::rows::{self, Kind, Outcome, Overload, RowFunction, Value};
use super::text::float8;
use super::time::instant_text;

type Result<T> = std::result::Result<T, FunctionError>;

#[rustfmt::skip]
pub(super) const FUNCTIONS: &[RowFunction] = &[
    RowFunction { name: "format", overloads: &[
        Overload::new(&[Kind::Text, Kind::Any], rows::text, format).variadic().of_nulls(),
    ] },
    RowFunction { name: "quote_ident", overloads: &[
        Overload::new(&[Kind::Text], rows::text, |args| Ok(Value::text(quoted_identifier(args[0].str())))),
    ] },
    // What LIKE … ESCAPE is, where the pattern or the escape isn't a constant.
    RowFunction { name: "like_escape", overloads: &[
        Overload::new(&[Kind::Text, Kind::Text], rows::text, like_escape),
    ] },
    RowFunction { name: "quote_literal", overloads: &[
        Overload::new(&[Kind::Any], rows::text, |args| Ok(Value::text(quoted_literal(&output(&args[0]))))),
    ] },
    RowFunction { name: "quote_nullable", overloads: &[
        Overload::new(&[Kind::Any], rows::text, |args| Ok(Value::text(match &args[0] {
            Value::Null => "NULL".to_owned(),
            value => quoted_literal(&output(value)),
        }))).of_nulls(),
    ] },
    // Said when the types are known, before any row is read.
    RowFunction { name: "value_type", overloads: &[
        Overload::new(&[Kind::Any], rows::text, |_| Ok(Value::Null)).of_nulls(),
    ] },
    RowFunction { name: "chr", overloads: &[
        Overload::new(&[Kind::Int], rows::text, |args| character(args[0].int())),
    ] },
    RowFunction { name: "to_hex", overloads: &[
        Overload::new(&[Kind::Integer], rows::text, |args| Ok(Value::text(match &args[0] {
            Value::Short(value) => format!("{value:x}"),
            value => format!("{:x}", value.int()),
        }))),
    ] },
    RowFunction { name: "output_text", overloads: &[
        Overload::new(&[Kind::Any], rows::text, |args| Ok(Value::text(output(&args[0])))),
    ] },
    // `||` of two bytea.
    RowFunction { name: "bytea_concat", overloads: &[
        Overload::new(&[Kind::Any, Kind::Any], |_, _| Ok(DataType::Binary), joined_bytes),
    ] },
    RowFunction { name: "num_nulls", overloads: &[
        Overload::new(&[Kind::Any], rows::int4, |args| Ok(Value::Int(counted(args, true)))).variadic().of_nulls(),
    ] },
    RowFunction { name: "num_nonnulls", overloads: &[
        Overload::new(&[Kind::Any], rows::int4, |args| Ok(Value::Int(counted(args, false)))).variadic().of_nulls(),
    ] },
    RowFunction { name: "varchar_cut", overloads: &[
        Overload::new(&[Kind::Text, Kind::Int], rows::text, |args| {
            let length = usize::try_from(args[1].int()).unwrap_or_default();
            Ok(Value::text(args[0].str().chars().take(length).collect::<String>()))
        }),
    ] },
    RowFunction { name: "hashtext", overloads: &[
        Overload::new(&[Kind::Text], rows::int4, |args| Ok(Value::Int(hash(args[0].str().as_bytes()).cast_signed().into()))),
    ] },
    RowFunction { name: "like_listed", overloads: &[
        Overload::new(&[Kind::Text, Kind::List, Kind::Any, Kind::Any, Kind::Any], rows::bool, like_listed).of_nulls(),
    ] },
    RowFunction { name: "uuid_text", overloads: &[
        Overload::new(&[Kind::Text], rows::text, |args| {
            let text = args[0].str();
            let uuid = crate::sql::value::uuid(text).ok_or_else(|| no_uuid(text))?;
            Ok(Value::text(uuid.to_string()))
        }),
    ] },
    // Of a source's texts: in the two notations that ClickHouse reads as well.
    RowFunction { name: "stored_uuid", overloads: &[
        Overload::new(&[Kind::Text], rows::text, |args| {
            let text = args[0].str();
            let is_plain = matches!(text.len(), 32 | 36);
            let uuid = crate::sql::value::uuid(text).filter(|_| is_plain);
            let uuid = uuid.filter(|it| text.len() == 32 || it.to_string().eq_ignore_ascii_case(text));
            Ok(Value::text(uuid.ok_or_else(|| no_uuid(text))?.to_string()))
        }),
    ] },
];

/// Bob Jenkins' hash of 2006, by which Postgres distributes texts.
///
/// Source: PostgreSQL 15 `src/common/hashfn.c`, `hash_bytes`.
fn hash(bytes: &[u8]) -> u32 {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let start = 0x9e37_79b9_u32.wrapping_add(length).wrapping_add(3_923_095);
    let (mut a, mut b, mut c) = (start, start, start);
    let word = |bytes: &[u8]| {
        let each = bytes.iter().enumerate();
        each.fold(0_u32, |word, (at, byte)| word | u32::from(*byte) << (8 * at))
    };
    let mut chunks = bytes.chunks_exact(12);
    for chunk in &mut chunks {
        a = a.wrapping_add(word(&chunk[0..4]));
        b = b.wrapping_add(word(&chunk[4..8]));
        c = c.wrapping_add(word(&chunk[8..12]));
        for (x, y, z, turn) in
            [(0, 1, 2, 4), (1, 2, 0, 6), (2, 0, 1, 8), (0, 1, 2, 16), (1, 2, 0, 19), (2, 0, 1, 4)]
        {
            let mut state = [a, b, c];
            state[x] = state[x].wrapping_sub(state[z]) ^ state[z].rotate_left(turn);
            state[z] = state[z].wrapping_add(state[y]);
            [a, b, c] = state;
        }
    }
    let rest = chunks.remainder();
    let part = |from: usize, to: usize| word(rest.get(from..rest.len().min(to)).unwrap_or(&[]));
    a = a.wrapping_add(part(0, 4));
    b = b.wrapping_add(part(4, 8));
    // Its lowest byte is the length's.
    c = c.wrapping_add(part(8, 12) << 8);
    let mut state = [a, b, c];
    for (x, y, turn) in
        [(2, 1, 14), (0, 2, 11), (1, 0, 25), (2, 1, 16), (0, 2, 4), (1, 0, 14), (2, 1, 24)]
    {
        state[x] = (state[x] ^ state[y]).wrapping_sub(state[y].rotate_left(turn));
    }
    state[2]
}

/// `text LIKE ANY (patterns)`: whether any or all of them match, whether NOT LIKE is meant, and
/// whether case is ignored.
fn like_listed(args: &[Value<'_>]) -> Outcome {
    let flag = |index: usize| matches!(args[index], Value::Bool(true));
    let (any, negated, ignores_case) = (flag(2), flag(3), flag(4));
    let Value::List(patterns) = &args[1] else { return Ok(Value::Null) };
    let mut unknown = false;
    for pattern in patterns {
        if pattern.is_null() || args[0].is_null() {
            unknown = true;
            continue;
        }
        if (is_like(args[0].str(), pattern.str(), ignores_case)? != negated) == any {
            return Ok(Value::Bool(any));
        }
    }
    Ok(if unknown { Value::Null } else { Value::Bool(!any) })
}

/// Whether a text matches a pattern of LIKE.
fn is_like(text: &str, pattern: &str, ignores_case: bool) -> Result<bool> {
    #[derive(PartialEq)]
    enum Step {
        Any,
        One,
        Exactly(char),
    }
    let folded = |text: &str| if ignores_case { text.to_lowercase() } else { text.to_owned() };
    let (text, pattern) = (folded(text), folded(pattern));
    let text: Vec<char> = text.chars().collect();
    let mut steps = Vec::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        steps.push(match character {
            '%' => Step::Any,
            '_' => Step::One,
            '\\' => Step::Exactly(characters.next().ok_or_else(|| {
                FunctionError::new("22025", "LIKE pattern must not end with escape character")
            })?),
            other => Step::Exactly(other),
        });
    }
    // Where the last % stood, and how far the text has been given to it.
    let (mut here, mut step, mut retry) = (0, 0, None);
    while here < text.len() {
        match steps.get(step) {
            Some(Step::Any) => {
                retry = Some((step + 1, here));
                step += 1;
            }
            Some(wanted) if *wanted == Step::One || *wanted == Step::Exactly(text[here]) => {
                here += 1;
                step += 1;
            }
            _ => {
                let Some((after, from)) = retry else { return Ok(false) };
                (step, here) = (after, from + 1);
                retry = Some((after, from + 1));
            }
        }
    }
    Ok(steps[step..].iter().all(|step| *step == Step::Any))
}

fn no_uuid(text: &str) -> FunctionError {
    let fault = crate::sql::value::invalid("uuid", text);
    FunctionError::new(fault.sqlstate, fault.message)
}

fn joined_bytes(args: &[Value<'_>]) -> Outcome {
    match args {
        [Value::Bytes(one), Value::Bytes(other)] => {
            Ok(Value::Bytes(Cow::Owned([one.as_ref(), other.as_ref()].concat())))
        }
        _ => Err(FunctionError::new("42883", "operator does not exist: bytea || bytea")),
    }
}

fn counted(args: &[Value<'_>], nulls: bool) -> i64 {
    let count = args.iter().filter(|arg| arg.is_null() == nulls).count();
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A value as Postgres's output function writes it.
pub(super) fn output(value: &Value<'_>) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(value) => if *value { "t" } else { "f" }.to_owned(),
        Value::Short(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => float8(*value),
        Value::Decimal(value, scale) => decimal(*value, *scale),
        Value::Text(text) | Value::Json(text) => text.clone().into_owned(),
        Value::Bytes(bytes) => {
            let mut text = String::from("\\x");
            for byte in bytes.iter() {
                // Writing to a String can't fail.
                let _ = write!(text, "{byte:02x}");
            }
            text
        }
        Value::Date(days) => date_text(*days).unwrap_or_default(),
        Value::Time(micros) => clock_text(micros.unsigned_abs()),
        Value::Timestamp(micros) => timestamp_text(*micros).unwrap_or_default(),
        Value::Instant(micros) => match timestamp_text(*micros) {
            Some(text) if !super::moments::is_finite(*micros) => text,
            Some(text) => match text.strip_suffix(" BC") {
                Some(text) => format!("{text}+00 BC"),
                None => text + "+00",
            },
            None => String::new(),
        },
        Value::Shown(instant, east_seconds) => {
            instant_text(*instant, i64::from(*east_seconds)).unwrap_or_default()
        }
        Value::Interval(interval) => interval.text(),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(item).collect();
            format!("{{{}}}", items.join(","))
        }
        Value::Row(fields) => {
            let cells: Vec<String> = fields.iter().map(|(_, value)| field(value)).collect();
            format!("({})", cells.join(","))
        }
    }
}

/// A field of a row, quoted where it has to be.
fn field(value: &Value<'_>) -> String {
    let text = output(value);
    let special = |c: char| matches!(c, '"' | '\\' | '(' | ')' | ',') || c.is_ascii_whitespace();
    match value.is_null() || !text.is_empty() && !text.contains(special) {
        true => text,
        false => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\"\"")),
    }
}

/// An item of an array, quoted where it has to be.
fn item(value: &Value<'_>) -> String {
    if value.is_null() {
        return "NULL".to_owned();
    }
    let text = output(value);
    let special = |c: char| c.is_ascii_whitespace() || matches!(c, '"' | '\\' | '{' | '}' | ',');
    let plain = matches!(value, Value::List(_))
        || !(text.is_empty() || text.eq_ignore_ascii_case("null") || text.contains(special));
    match plain {
        true => text,
        false => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
    }
}

/// A decimal with all digits of its scale.
pub(super) fn decimal(value: i128, scale: i8) -> String {
    let Ok(scale) = usize::try_from(scale) else {
        return format!("{value}{}", "0".repeat(usize::from(scale.unsigned_abs())));
    };
    let width = scale + 1;
    let digits = format!("{:0width$}", value.unsigned_abs());
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if value < 0 { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

fn character(code: i64) -> Outcome {
    let too_large = |message: String| FunctionError::new("54000", message);
    match u32::try_from(code) {
        Ok(0) => Err(too_large("null character not permitted".to_owned())),
        Err(_) if code < 0 => Err(FunctionError::argument("character number must be positive")),
        Ok(code) => match char::from_u32(code) {
            Some(character) => Ok(Value::text(character)),
            None => Err(too_large(format!("requested character too large for encoding: {code}"))),
        },
        Err(_) => Err(too_large(format!("requested character too large for encoding: {code}"))),
    }
}

/// A pattern of LIKE with its own escape, as one that escapes by a backslash.
fn like_escape(args: &[Value<'_>]) -> Outcome {
    let mut letters = args[1].str().chars();
    let (escape, rest) = (letters.next(), letters.next());
    if rest.is_some() {
        let error = FunctionError::new("22025", "invalid escape string");
        return Err(error.with_hint("Escape string must be empty or one character."));
    }
    let mut rewritten = String::new();
    let mut letters = args[0].str().chars();
    while let Some(letter) = letters.next() {
        match letter {
            letter if Some(letter) == escape => {
                rewritten.push('\\');
                rewritten.extend(letters.next());
            }
            '\\' => rewritten.push_str("\\\\"),
            letter => rewritten.push(letter),
        }
    }
    Ok(Value::text(rewritten))
}

/// Quoted where it isn't a plain lower-case name.
fn quoted_identifier(name: &str) -> String {
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let is_plain = starts
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !is_reserved(name);
    match is_plain {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

/// Words that can't be names without quotes.
///
/// Source: PostgreSQL 15 `src/include/parser/kwlist.h`, without its unreserved words.
fn is_reserved(word: &str) -> bool {
    const WORDS: &str = " all analyse analyze and any array as asc asymmetric authorization between \
        bigint binary bit boolean both case cast char character check coalesce collate collation column \
        concurrently constraint create cross current_catalog current_date current_role current_schema \
        current_time current_timestamp current_user dec decimal default deferrable desc distinct do else \
        end except exists extract false fetch float for foreign freeze from full grant greatest group \
        grouping having ilike in initially inner inout int integer intersect interval into is isnull join \
        lateral leading least left like limit localtime localtimestamp national natural nchar none \
        normalize not notnull null nullif numeric offset on only or order out outer overlaps overlay \
        placing position precision primary real references returning right row select session_user setof \
        similar smallint some substring symmetric table tablesample then time timestamp to trailing treat \
        trim true union unique user using values varchar variadic verbose when where window with \
        xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot \
        xmlserialize xmltable ";
    WORDS.contains(&format!(" {word} "))
}

fn quoted_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    match quoted.contains('\\') {
        true => format!("E'{}'", quoted.replace('\\', "\\\\")),
        false => format!("'{quoted}'"),
    }
}

/// One `%…` of a pattern.
struct Specifier {
    position: Option<usize>,
    left: bool,
    width: Option<Width>,
    kind: char,
}

enum Width {
    Fixed(usize),
    /// That of an argument: the next, or the one of a position.
    Argument(Option<usize>),
}

fn bad_format(message: impl Into<String>) -> FunctionError {
    FunctionError::argument(message)
}

/// `format(pattern, …)`.
///
/// Source: PostgreSQL 15 `text_format`.
fn format(args: &[Value<'_>]) -> Outcome {
    if args[0].is_null() {
        return Ok(Value::Null);
    }
    let mut rest = args[0].str();
    let mut out = String::new();
    let mut next = 1;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let (specifier, after) = specifier(rest)?;
        rest = after;
        let (mut width, mut left) = (0, specifier.left);
        match specifier.width {
            Some(Width::Fixed(fixed)) => width = fixed,
            Some(Width::Argument(position)) => {
                let value = argument(args, position.unwrap_or(next))?;
                next = position.unwrap_or(next) + 1;
                let wanted = value.int();
                left |= wanted < 0;
                width = usize::try_from(wanted.unsigned_abs()).unwrap_or(usize::MAX);
            }
            None => {}
        }
        let position = specifier.position.unwrap_or(next);
        let value = argument(args, position)?;
        next = position + 1;
        let text = match (specifier.kind, value) {
            ('s', value) => output(value),
            ('I', Value::Null) => {
                let message = "null values cannot be formatted as an SQL identifier";
                return Err(FunctionError::new("22004", message));
            }
            ('I', value) => quoted_identifier(&output(value)),
            ('L', Value::Null) => "NULL".to_owned(),
            ('L', value) => quoted_literal(&output(value)),
            (other, _) => {
                let message = format!("unrecognized format() type specifier \"{other}\"");
                return Err(bad_format(message).with_hint("For a single \"%\" use \"%%\"."));
            }
        };
        let padding = width.saturating_sub(text.chars().count());
        if out.len() + padding + text.len() > BYTES_MAX {
            return Err(too_long());
        }
        if !left {
            out.push_str(&" ".repeat(padding));
        }
        out.push_str(&text);
        if left {
            out.push_str(&" ".repeat(padding));
        }
    }
    out.push_str(rest);
    Ok(Value::text(out))
}

fn argument<'v, 'a>(args: &'v [Value<'a>], index: usize) -> Result<&'v Value<'a>> {
    args.get(index).ok_or_else(|| bad_format("too few arguments for format()"))
}

fn specifier(text: &str) -> Result<(Specifier, &str)> {
    let unterminated = || {
        bad_format("unterminated format() type specifier")
            .with_hint("For a single \"%\" use \"%%\".")
    };
    let number = |text: &str| {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let value = text[..digits].parse::<usize>().ok();
        (value, digits)
    };
    let position_at = |text: &str| -> Result<Option<(usize, usize)>> {
        match number(text) {
            (Some(position), digits) if text[digits..].starts_with('$') => match position {
                0 => Err(bad_format(
                    "format specifies argument 0, but arguments are numbered from 1",
                )),
                position => Ok(Some((position, digits + 1))),
            },
            _ => Ok(None),
        }
    };
    let mut rest = text;
    let mut specifier = Specifier { position: None, left: false, width: None, kind: 's' };
    if let Some((position, length)) = position_at(rest)? {
        specifier.position = Some(position);
        rest = &rest[length..];
    }
    while let Some(after) = rest.strip_prefix('-') {
        specifier.left = true;
        rest = after;
    }
    if let Some(after) = rest.strip_prefix('*') {
        rest = after;
        let position = position_at(rest)?;
        rest = &rest[position.map_or(0, |(_, length)| length)..];
        specifier.width = Some(Width::Argument(position.map(|(position, _)| position)));
    } else if let (Some(width), digits) = number(rest) {
        specifier.width = Some(Width::Fixed(width));
        rest = &rest[digits..];
    }
    specifier.kind = rest.chars().next().ok_or_else(unterminated)?;
    let rest = &rest[specifier.kind.len_utf8()..];
    Ok((specifier, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_their_scale() {
        assert_eq!(decimal(-5, 2), "-0.05");
        assert_eq!(decimal(1250, 2), "12.50");
        assert_eq!(decimal(7, 0), "7");
    }

    #[test]
    fn items_are_quoted_where_they_must() {
        let list =
            Value::list_of_texts(vec!["a".into(), "b c".into(), String::new(), "d\"e".into()]);
        assert_eq!(output(&list), r#"{a,"b c","","d\"e"}"#);
    }
}
