//! Texts. ClickHouse's functions without UTF8 in their name count bytes.

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::Like;

use super::super::literal;
use super::super::native::{self, Native, Stored};
use super::super::value::{Binding, Value};
use super::super::{NotPushable, Result};
use super::{Call, Entry, Form};

#[rustfmt::skip]
pub(super) const ENTRIES: &[Entry] = &[
    Entry { name: "||", signature: "text, text -> text; NULL where one is", constants: &[], form: Form::Syntax,
        examples: &[("'x' || 'y' || 'z'", Some("xyz")), ("'a' || 1", Some("a1")), ("'a' || nullif('b', 'b')", None)] },
    Entry { name: "concat", signature: "any, … -> text; NULLs are skipped", constants: &[], form: Form::Scalar(concat),
        examples: &[("concat('a', nullif('b', 'b'), 'c')", Some("ac")), ("concat('a', 1, true, 1.50)", Some("a1t1.50"))] },
    Entry { name: "concat_ws", signature: "text, any, … -> text; NULLs are skipped; the separator a constant", constants: &[0], form: Form::Scalar(concat_with_separator),
        examples: &[("concat_ws(', ', 'a', nullif('b', 'b'), 'c')", Some("a, c")), ("concat_ws('-', 'a', 1, true)", Some("a-1-t")), ("concat_ws('-', 'a')", Some("a")), ("concat_ws('-', nullif('a', 'a'))", Some(""))] },
    Entry { name: "character_length", signature: "text -> int4", constants: &[], form: Form::Scalar(|call| counted(call, "lengthUTF8")),
        examples: &[("length('ünï')", Some("3")), ("char_length('')", Some("0"))] },
    Entry { name: "octet_length", signature: "text -> int4", constants: &[], form: Form::Scalar(|call| counted(call, "length")),
        examples: &[("octet_length('ünï')", Some("5"))] },
    Entry { name: "bit_length", signature: "text -> int4", constants: &[], form: Form::Scalar(|call| counted(call, "8 * length")),
        examples: &[("bit_length('ünï')", Some("40"))] },
    Entry { name: "strpos", signature: "text, text -> int4", constants: &[], form: Form::Scalar(|call| counted(call, "positionUTF8")),
        examples: &[("strpos('übc', 'c')", Some("3")), ("position('x' in 'abc')", Some("0")), ("strpos('abc', '')", Some("1"))] },
    Entry { name: "lower", signature: "text -> text", constants: &[], form: Form::Scalar(|call| call.of("lowerUTF8")),
        examples: &[("lower('ÄÖ x')", Some("äö x"))] },
    Entry { name: "upper", signature: "text -> text", constants: &[], form: Form::Scalar(|call| call.of("upperUTF8")),
        examples: &[("upper('äö x')", Some("ÄÖ X"))] },
    Entry { name: "substr", signature: "text, int [, int] -> text", constants: &[1, 2], form: Form::Scalar(substring),
        examples: &[("substring('äbcdef', 2, 3)", Some("bcd")), ("substr('abcdef', 3)", Some("cdef")), ("substring('abcdef', -1, 4)", Some("ab")),
            ("substr('abcdef', 0)", Some("abcdef")), ("substr('abcdef', 10, 2)", Some("")), ("substring('abcdef' from 2 for 0)", Some(""))] },
    Entry { name: "left", signature: "text, int -> text", constants: &[1], form: Form::Scalar(|call| of_constant(call, "leftUTF8")),
        examples: &[("left('äbcdef', 2)", Some("äb")), ("left('abcdef', -2)", Some("abcd")), ("left('ab', 20)", Some("ab")), ("left('ab', -20)", Some("")), ("left('ab', 0)", Some(""))] },
    Entry { name: "right", signature: "text, int -> text", constants: &[1], form: Form::Scalar(|call| of_constant(call, "rightUTF8")),
        examples: &[("right('äbcdef', 2)", Some("ef")), ("right('abcdef', -2)", Some("cdef")), ("right('äb', 20)", Some("äb")), ("right('ab', -20)", Some("")), ("right('ab', 0)", Some(""))] },
    Entry { name: "btrim", signature: "text [, text] -> text", constants: &[1], form: Form::Scalar(|call| trimmed(call, "trimBoth")),
        examples: &[("trim('  a ')", Some("a")), ("btrim('xxaxx', 'x')", Some("a")), ("trim(both 'xy' from 'xyxay')", Some("a"))] },
    Entry { name: "ltrim", signature: "text [, text] -> text", constants: &[1], form: Form::Scalar(|call| trimmed(call, "trimLeft")),
        examples: &[("ltrim('  a ')", Some("a ")), ("ltrim('xyxa', 'xy')", Some("a"))] },
    Entry { name: "rtrim", signature: "text [, text] -> text", constants: &[1], form: Form::Scalar(|call| trimmed(call, "trimRight")),
        examples: &[("rtrim('  a ')", Some("  a")), ("rtrim('axyx', 'xy')", Some("a"))] },
    Entry { name: "replace", signature: "text, text, text -> text", constants: &[1, 2], form: Form::Scalar(replace),
        examples: &[("replace('aXbX', 'X', 'yy')", Some("ayybyy")), ("replace('abc', 'b', '')", Some("ac")), ("replace('a\\b', '\\', '/')", Some("a/b"))] },
    Entry { name: "split_part", signature: "text, text, int -> text", constants: &[1, 2], form: Form::Scalar(split_part),
        examples: &[("split_part('a,b,c', ',', 2)", Some("b")), ("split_part('a,b,c', ',', -1)", Some("c")), ("split_part('a,b,c', ',', 9)", Some("")), ("split_part('', ',', 1)", Some(""))] },
    Entry { name: "starts_with", signature: "text, text -> bool", constants: &[], form: Form::Scalar(starts_with),
        examples: &[("starts_with('abc', 'ab')", Some("t")), ("starts_with('abc', 'bc')", Some("f")), ("starts_with('abc', '')", Some("t"))] },
    Entry { name: "lpad", signature: "text, int [, text] -> text", constants: &[1, 2], form: Form::Scalar(|call| padded(call, "leftPadUTF8")),
        examples: &[("lpad('äbc', 5)", Some("  äbc")), ("lpad('abc', 5, 'xy')", Some("xyabc")), ("lpad('abc', 2, 'xy')", Some("ab"))] },
    Entry { name: "rpad", signature: "text, int [, text] -> text", constants: &[1, 2], form: Form::Scalar(|call| padded(call, "rightPadUTF8")),
        examples: &[("rpad('abc', 6, 'xy')", Some("abcxyx")), ("rpad('abc', 2)", Some("ab"))] },
    Entry { name: "reverse", signature: "text -> text", constants: &[], form: Form::Scalar(|call| call.of("reverseUTF8")),
        examples: &[("reverse('äbc')", Some("cbä"))] },
    Entry { name: "repeat", signature: "text, int -> text", constants: &[1], form: Form::Scalar(repeat),
        examples: &[("repeat('ab', 3)", Some("ababab")), ("repeat('ab', -1)", Some(""))] },
    Entry { name: "translate", signature: "text, text, text -> text", constants: &[1, 2], form: Form::Scalar(translate),
        examples: &[("translate('äbcd', 'äd', 'xy')", Some("xbcy")), ("translate('abcd', 'abc', 'x')", Some("xd")), ("translate('abca', 'aa', 'xy')", Some("xbcx")), ("translate('abc', '', 'x')", Some("abc")), ("translate('a\\b-c]', '\\-]', '/_')", Some("a/b_c"))] },
    Entry { name: "md5", signature: "text -> text", constants: &[], form: Form::Scalar(md5),
        examples: &[("md5('ä')", Some("8419b71c87a225a2c70b50486fbee545")), ("md5('')", Some("d41d8cd98f00b204e9800998ecf8427e"))] },
    Entry { name: "to_hex", signature: "int4 | int8 -> text", constants: &[], form: Form::Scalar(to_hex),
        examples: &[("to_hex(255)", Some("ff")), ("to_hex((-1)::int4)", Some("ffffffff")), ("to_hex(0)", Some("0")), ("to_hex((-255)::int8)", Some("ffffffffffffff01")), ("to_hex(4096)", Some("1000"))] },
    Entry { name: "stored_uuid", signature: "text -> uuid; a source's text", constants: &[], form: Form::Scalar(stored_uuid), examples: &[] },
    Entry { name: "LIKE", signature: "text, text -> bool; the pattern a constant", constants: &[], form: Form::Syntax,
        examples: &[("'abc' LIKE 'a%'", Some("t")), ("'abc' LIKE '_c'", Some("f")), ("'ä' LIKE '_'", Some("t")), ("'a%c' LIKE 'a\\%c'", Some("t")), ("'axc' LIKE 'a\\%c'", Some("f")),
            ("'a\\c' LIKE 'a\\\\c'", Some("t")), ("'abc' LIKE 'a\\bc'", Some("t")), ("E'a\\nc' LIKE 'a_c'", Some("t")), ("'abc' NOT LIKE 'b%'", Some("t")), ("'' LIKE '%'", Some("t")),
            ("'ÄBC' ILIKE 'äb_'", Some("t")), ("'abc' NOT ILIKE 'A%'", Some("f")), ("nullif('a', 'a') LIKE 'a'", None), ("'a%c' LIKE 'a#%c' ESCAPE '#'", Some("t"))] },
];

/// A UUID, so that it is compared with constants as one.
fn stored_uuid(call: &Call) -> Result<Value> {
    let text = call.arg(0)?;
    let native = Native { sql: format!("toUUID({})", text.sql), stored: Stored::Uuid };
    let value = native::with_native(native, &DataType::Utf8, text.nullable)?;
    Ok(Value { plain: false, ..value }.computed_from([text]))
}

fn counted(call: &Call, function: &str) -> Result<Value> {
    let count = call.of(function)?;
    Ok(Value { sql: format!("to{}({})", call.data_type, count.sql), ..count })
}

pub(crate) fn concatenation(parts: &[Value]) -> Result<Value> {
    if parts.iter().any(|part| part.data_type != DataType::Utf8) {
        return Err(NotPushable::new("|| of something that is no text"));
    }
    let sql: Vec<&str> = parts.iter().map(|part| part.sql.as_str()).collect();
    Ok(Value::new(format!("concat({})", sql.join(", ")), DataType::Utf8, false)
        .computed_from(parts))
}

fn concat(call: &Call) -> Result<Value> {
    let mut parts = Vec::new();
    for arg in &call.args {
        if arg.is_null_literal() {
            continue;
        }
        if arg.data_type != DataType::Utf8 {
            return Err(NotPushable::new("concat of something that is no text"));
        }
        parts.push(if arg.nullable { format!("ifNull({}, '')", arg.sql) } else { arg.sql.clone() });
    }
    // concat of one argument is an error.
    parts.push("''".to_owned());
    parts.push("''".to_owned());
    let value = call.result(format!("concat({})", parts.join(", ")));
    Ok(Value { nullable: false, ..value })
}

fn concat_with_separator(call: &Call) -> Result<Value> {
    let separator = literal::text(call.text(0, "a separator")?);
    let mut parts = Vec::new();
    for arg in call.args.iter().skip(1).filter(|arg| !arg.is_null_literal()) {
        if arg.data_type != DataType::Utf8 {
            return Err(NotPushable::new("concat_ws of something that is no text"));
        }
        parts.push(arg.sql.clone());
    }
    if parts.is_empty() {
        return Err(NotPushable::new("concat_ws of nothing"));
    }
    let parts = format!("[{}]", parts.join(", "));
    let parts = match call.args.iter().any(|arg| arg.nullable) {
        true => format!(
            "arrayMap(item -> assumeNotNull(item), arrayFilter(item -> item IS NOT NULL, {parts}))"
        ),
        false => parts,
    };
    let value = call.result(format!("arrayStringConcat({parts}, {separator})"));
    Ok(Value { nullable: false, ..value })
}

/// A function whose second argument has to be a constant number.
fn of_constant(call: &Call, function: &str) -> Result<Value> {
    constant_integer(call, 1)?;
    call.of(function)
}

/// Longer texts are made above, where how long they may become is known.
const LENGTH_MAX: i64 = 10_000;

fn repeat(call: &Call) -> Result<Value> {
    if constant_integer(call, 1)? > LENGTH_MAX {
        return Err(NotPushable::new("repeating very often"));
    }
    call.of("repeat")
}

fn constant_integer(call: &Call, index: usize) -> Result<i64> {
    call.arg(index)?
        .literal_integer()
        .ok_or_else(|| NotPushable::new("a position or length that isn't a constant"))
}

/// Positions before the first character count towards the length; ClickHouse would count them from
/// the end.
fn substring(call: &Call) -> Result<Value> {
    let text = &call.arg(0)?.sql;
    let start = constant_integer(call, 1)?;
    let length = match call.args.len() {
        3 => Some(constant_integer(call, 2)?),
        _ => None,
    };
    if length.is_some_and(|length| length < 0) {
        return Err(NotPushable::new("a substring of negative length"));
    }
    let skipped = (1 - start).max(0);
    let length = length.map(|length| (length - skipped).max(0));
    let start = start.max(1);
    Ok(call.result(match length {
        Some(length) => format!("substringUTF8({text}, {start}, {length})"),
        None => format!("substringUTF8({text}, {start})"),
    }))
}

fn trimmed(call: &Call, function: &str) -> Result<Value> {
    if call.args.len() > 1 && call.text(1, "characters to trim")?.is_empty() {
        return Err(NotPushable::new("trimming nothing"));
    }
    call.of(function)
}

fn replace(call: &Call) -> Result<Value> {
    if call.text(1, "a text to replace")?.is_empty() {
        return Err(NotPushable::new("replacing an empty text"));
    }
    call.text(2, "a replacement")?;
    call.of("replaceAll")
}

fn split_part(call: &Call) -> Result<Value> {
    let delimiter = call.text(1, "a delimiter")?;
    let part = constant_integer(call, 2)?;
    if delimiter.is_empty() || part == 0 {
        return Err(NotPushable::new("split_part without a delimiter or part"));
    }
    let parts = format!("splitByString({}, {})", literal::text(delimiter), call.arg(0)?.sql);
    if call.arg(0)?.nullable {
        // An array can't be NULL.
        let text = call.arg(0)?.at(Binding::Sum);
        let parts = format!(
            "splitByString({}, ifNull({}, ''))",
            literal::text(delimiter),
            call.arg(0)?.sql
        );
        return Ok(call.result(format!("if({text} IS NULL, NULL, arrayElement({parts}, {part}))")));
    }
    Ok(call.result(format!("arrayElement({parts}, {part})")))
}

/// Of a character that is written twice, the first counts.
fn translate(call: &Call) -> Result<Value> {
    let (from, to) = (call.text(1, "characters to replace")?, call.text(2, "replacements")?);
    let mut pairs: Vec<(char, Option<char>)> = Vec::new();
    let mut replacements = to.chars();
    for character in from.chars() {
        let replacement = replacements.next();
        if pairs.iter().all(|(known, _)| *known != character) {
            pairs.push((character, replacement));
        }
    }
    // Those without a replacement are left out, which ClickHouse does for the last ones.
    pairs.sort_by_key(|(_, replacement)| replacement.is_none());
    let from: String = pairs.iter().map(|(character, _)| *character).collect();
    let to: String = pairs.iter().filter_map(|(_, replacement)| *replacement).collect();
    let [from, to] = [from, to].map(|characters| literal::text(&characters));
    Ok(call.result(format!("translateUTF8({}, {from}, {to})", call.arg(0)?.sql)))
}

fn md5(call: &Call) -> Result<Value> {
    Ok(call.result(format!("lower(hex(MD5({})))", call.arg(0)?.sql)))
}

/// All digits of a number of its width, without the zeros before them.
fn to_hex(call: &Call) -> Result<Value> {
    let number = call.arg(0)?;
    if !matches!(number.data_type, DataType::Int32 | DataType::Int64) {
        return Err(NotPushable::new(format!("to_hex of {}", number.data_type)));
    }
    let of_width = format!("to{}({})", number.data_type, number.sql);
    let digits = format!("trimLeft(lower(hex({of_width})), '0')");
    Ok(call.result(format!("if({} = 0, '0', {digits})", number.at(Binding::Sum))))
}

fn starts_with(call: &Call) -> Result<Value> {
    let value = call.of("startsWith")?;
    Ok(Value { loose_bool: true, ..value })
}

fn padded(call: &Call, function: &str) -> Result<Value> {
    if !(0..=LENGTH_MAX).contains(&constant_integer(call, 1)?) {
        return Err(NotPushable::new("padding to a negative or very great length"));
    }
    if call.args.len() > 2 && call.text(2, "a padding")?.is_empty() {
        return Err(NotPushable::new("padding with nothing"));
    }
    call.of(function)
}

/// A constant pattern in ClickHouse's notation, where a backslash before an ordinary character stands
/// for itself.
pub(crate) fn like(value: &Value, pattern: &Value, like: &Like) -> Result<Value> {
    let Some(text) = pattern.literal_text() else {
        return Err(NotPushable::new("LIKE with a pattern that isn't a constant"));
    };
    let escape = like.escape_char.unwrap_or('\\');
    let mut normal = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let plain = if character == escape {
            characters.next().ok_or_else(|| NotPushable::new("LIKE with an escape at the end"))?
        } else if matches!(character, '%' | '_') {
            normal.push(character);
            continue;
        } else {
            character
        };
        if matches!(plain, '%' | '_' | '\\') {
            normal.push('\\');
        }
        normal.push(plain);
    }
    let keyword = match (like.negated, like.case_insensitive) {
        (false, false) => "LIKE",
        (true, false) => "NOT LIKE",
        (false, true) => "ILIKE",
        (true, true) => "NOT ILIKE",
    };
    let sql = format!("{} {keyword} {}", value.at(Binding::Sum), literal::text(&normal));
    Ok(Value::condition(sql, false, Binding::Comparison).computed_from([value]))
}
