//! Comparisons, conditions, casts and patterns.

use super::super::value::{Binding, Value};
use super::super::{NotPushable, Result};
use super::super::{literal, nan};
use super::{Call, Entry, Form, REPEATED_MAX};
use crate::functions::NULLABLE;

#[rustfmt::skip]
pub(super) const ENTRIES: &[Entry] = &[
    Entry { name: "= <> < <= > >=", signature: "any, any -> bool", constants: &[], form: Form::Syntax,
        examples: &[("1 = 1.0", Some("t")), ("1 < 1.5", Some("t")), ("'a' < 'B'", Some("f")), ("'a' = 'a '", Some("f")), ("'ä' > 'z'", Some("t")), ("nullif(1, 1) = 1", None),
            ("2.50 >= 2.5", Some("t")), ("date '2026-02-03' = timestamp '2026-02-03 00:00:00'", Some("t")), ("timestamp '2026-02-03 00:00:00' >= '2026-02-03'", Some("t")),
            ("date '1960-02-03' > '0001-01-01'", Some("t")), ("date '2026-02-03' < '9999-12-31'", Some("t")), ("timestamp '2026-02-03 00:00:00' < '9999-12-31'", Some("t")), ("true > false", Some("t"))] },
    Entry { name: "IS [NOT] DISTINCT FROM", signature: "any, any -> bool", constants: &[], form: Form::Syntax,
        examples: &[("nullif(1, 1) IS DISTINCT FROM 1", Some("t")), ("1 IS DISTINCT FROM 1", Some("f")), ("nullif(1, 1) IS NOT DISTINCT FROM nullif(2, 2)", Some("t"))] },
    Entry { name: "AND OR NOT", signature: "bool, bool -> bool", constants: &[], form: Form::Syntax,
        examples: &[("1 = 1 AND nullif(1, 1) = 1", None), ("1 = 2 AND nullif(1, 1) = 1", Some("f")), ("1 = 1 OR nullif(1, 1) = 1", Some("t")), ("NOT (nullif(1, 1) = 1)", None), ("NOT 1 = 2", Some("t")),
            ("(1 = 1 OR 1 = 2) AND 1 = 2", Some("f")), ("1 = 1 OR 1 = 2 AND 1 = 2", Some("t"))] },
    Entry { name: "IS NULL, TRUE, FALSE, UNKNOWN", signature: "any -> bool", constants: &[], form: Form::Syntax,
        examples: &[("nullif(1, 1) IS NULL", Some("t")), ("1 IS NOT NULL", Some("t")), ("(nullif(1, 1) = 1) IS TRUE", Some("f")), ("(nullif(1, 1) = 1) IS NOT TRUE", Some("t")),
            ("(1 = 2) IS FALSE", Some("t")), ("(nullif(1, 1) = 1) IS NOT FALSE", Some("t")), ("(nullif(1, 1) = 1) IS UNKNOWN", Some("t")), ("(1 = 1) IS NOT UNKNOWN", Some("t"))] },
    Entry { name: "IN", signature: "any, list -> bool", constants: &[], form: Form::Syntax,
        examples: &[("1 IN (1, 2)", Some("t")), ("1 IN (1, NULL)", Some("t")), ("2 IN (1, NULL)", None), ("2 NOT IN (1, NULL)", None), ("1 NOT IN (1, NULL)", Some("f")), ("3 NOT IN (1, 2)", Some("t")),
            ("nullif(1, 1) IN (1, 2)", None), ("nullif(1, 1) NOT IN (1, 2)", None), ("'b' IN ('a', 'b', 'c')", Some("t")), ("2.50 IN (1, 2.5)", Some("t"))] },
    Entry { name: "BETWEEN", signature: "any, any, any -> bool", constants: &[], form: Form::Syntax,
        examples: &[("2 BETWEEN 1 AND 3", Some("t")), ("2 NOT BETWEEN 3 AND 1", Some("t")), ("'b' BETWEEN 'a' AND 'c'", Some("t")), ("nullif(1, 1) BETWEEN 0 AND 3", None),
            ("timestamp '2026-02-03 10:00:00' BETWEEN '2026-02-03' AND '2026-02-04'", Some("t"))] },
    Entry { name: "CASE", signature: "conditions and values -> any", constants: &[], form: Form::Syntax,
        examples: &[("CASE WHEN 1 > 2 THEN 'x' END", None), ("CASE 2 WHEN 1 THEN 'a' WHEN 2 THEN 'b' ELSE 'c' END", Some("b")), ("CASE WHEN nullif(1, 1) = 1 THEN 1 ELSE 2 END", Some("2")),
            ("CASE WHEN 2 > 1 THEN 1.5 ELSE 2 END", Some("1.5")), ("CASE WHEN 2 = 3 THEN 1 / 2 ELSE 7 END", Some("7")), ("CASE WHEN 1 = 1 THEN 1 < 2 ELSE true END", Some("t"))] },
    Entry { name: "coalesce", signature: "any, … -> any", constants: &[], form: Form::Scalar(|call| call.of("coalesce")),
        examples: &[("coalesce(nullif(1, 1), 2)", Some("2")), ("coalesce(1, 2)", Some("1")), ("coalesce(nullif('a', 'a'), 'b')", Some("b")), ("coalesce(nullif(1.5, 1.5), 2.5)", Some("2.5"))] },
    Entry { name: NULLABLE, signature: "any -> the same; a subquery's value", constants: &[], form: Form::Scalar(nullable), examples: &[] },
    Entry { name: "nullif", signature: "any, any -> any", constants: &[], form: Form::Scalar(nullif),
        examples: &[("nullif(1, 1)", None), ("nullif(1, 2)", Some("1")), ("nullif('a', 'b')", Some("a"))] },
    Entry { name: "greatest", signature: "any, … -> any; NULLs are skipped", constants: &[], form: Form::Scalar(greatest),
        examples: &[("greatest(1, nullif(2, 2), 3)", Some("3")), ("greatest('a', 'b')", Some("b")), ("greatest(1.50, 1.25)", Some("1.50"))] },
    Entry { name: "least", signature: "any, … -> any; NULLs are skipped", constants: &[], form: Form::Scalar(least),
        examples: &[("least(1, nullif(0, 0), 3)", Some("1")), ("least(date '2026-01-02', date '2026-01-01')", Some("2026-01-01"))] },
    Entry { name: "regexp_like", signature: "text, text [, 'i'] -> bool: ~ and its like; the pattern a constant of common notation", constants: &[1, 2], form: Form::Scalar(regexp_like),
        examples: &[("'abc' ~ 'b+c$'", Some("t")), ("'abc' ~* '^A.C'", Some("t")), ("'abc' !~ '[b-d]'", Some("f")), ("'a.c' ~ 'a\\.c'", Some("t")), ("'abc' !~* 'X|Y'", Some("t"))] },
    Entry { name: "regexp_replace", signature: "text, text, text [, 'g'] -> text; constants; a pattern of common notation with one repetition at most, no alternatives", constants: &[1, 2, 3], form: Form::Scalar(regexp_replace),
        examples: &[("regexp_replace('a1b22', '[0-9]+', '#')", Some("a#b22")), ("regexp_replace('a1b22', '[0-9]+', '#', 'g')", Some("a#b#")), ("regexp_replace('aaa', '^a', 'x', 'g')", Some("xaa")),
            ("regexp_replace('a.b.c', '\\.', '', 'g')", Some("abc")), ("regexp_replace('äb ä', 'ä.?', '-', 'g')", Some("- -")), ("regexp_replace('xyz', 'a', 'b')", Some("xyz")), ("regexp_replace('abab', 'b$', '', 'g')", Some("aba"))] },
    Entry { name: "CAST", signature: "between numbers, to text, between dates and timestamps", constants: &[], form: Form::Syntax,
        examples: &[("7::int8::int2", Some("7")), ("true::int", Some("1")), ("12::text", Some("12")), ("(-0.05)::numeric(5,2)::text", Some("-0.05")), ("1.50::text", Some("1.50")), ("(1 = 1)::text", Some("true")),
            ("12::numeric(10,2)", Some("12.00")), ("1.555::numeric(10,2)", Some("1.56")), ("-1.555::numeric(10,2)", Some("-1.56")), ("12.5::numeric(3,1)", Some("12.5")), ("12.5::float8", Some("12.5")), ("7::float8", Some("7")),
            ("date '2026-01-31'::text", Some("2026-01-31")), ("timestamp '1960-01-31 23:59:59.5'::date", Some("1960-01-31")), ("date '1960-01-31'::timestamp", Some("1960-01-31 00:00:00")),
            ("timestamptz '2026-01-31 23:00:00+00'::timestamp", Some("2026-01-31 23:00:00"))] },
];

fn nullable(call: &Call) -> Result<Value> {
    let value = call.arg(0)?;
    Ok(Value::new(value.as_nullable()?, value.data_type.clone(), true))
}

/// Of NaN ClickHouse gives what stands at another place.
fn greatest(call: &Call) -> Result<Value> {
    let may_be: Vec<&Value> = call.args.iter().filter(|arg| nan::is_possible(arg)).collect();
    let greatest = call.of("greatest")?;
    if may_be.is_empty() {
        return Ok(greatest);
    }
    if may_be.iter().any(|arg| arg.sql.len() > REPEATED_MAX) {
        return Err(NotPushable::new("the greatest of long expressions that may be NaN"));
    }
    let is_nan: Vec<String> = may_be.iter().map(|arg| format!("isNaN({})", arg.sql)).collect();
    let is_nan = is_nan.join(" OR ");
    let sql = format!("if({is_nan}, {}, {})", nan::literal(&call.data_type), greatest.sql);
    Ok(Value { sql, ..greatest })
}

fn least(call: &Call) -> Result<Value> {
    if call.args.iter().any(nan::is_possible) {
        return Err(NotPushable::new("the least of floats that may be NaN"));
    }
    call.of("least")
}

fn nullif(call: &Call) -> Result<Value> {
    if call.args.len() == 2 && call.args.iter().all(nan::is_possible) {
        return Err(NotPushable::new("nullif of floats that may be NaN"));
    }
    Ok(Value { nullable: true, ..call.of("nullIf")? })
}

/// A regular expression that Rust's engine, RE2 and Postgres read alike.
fn regexp_like(call: &Call) -> Result<Value> {
    let pattern = call.text(1, "a regular expression")?;
    if !is_common(pattern) {
        return Err(NotPushable::new("a regular expression in a notation of its own"));
    }
    // As in Postgres the dot matches newlines.
    let flags = match call.args.get(2).map(|_| call.text(2, "flags")).transpose()? {
        None => "(?s)",
        Some("i") => "(?is)",
        Some(_) => return Err(NotPushable::new("flags of a regular expression")),
    };
    let text = &call.arg(0)?.sql;
    let sql = format!("match({text}, {})", literal::text(&format!("{flags}{pattern}")));
    Ok(Value::condition(sql, false, Binding::Atom).computed_from([call.arg(0)?]))
}

/// Postgres prefers the longest of several matches, RE2 the first that it finds: of a pattern without
/// alternatives and with one repetition at most these are the same.
fn regexp_replace(call: &Call) -> Result<Value> {
    let pattern = call.text(1, "a regular expression")?;
    let has_choices = pattern.contains(['|', '(']);
    let repetitions = pattern.matches(['*', '+', '?']).count();
    let is_empty = pattern.chars().all(|it| matches!(it, '^' | '$'));
    if !is_common(pattern) || has_choices || repetitions > 1 || is_empty || may_be_empty(pattern) {
        return Err(NotPushable::new(
            "replacing a regular expression that may match in several ways",
        ));
    }
    let replacement = call.text(2, "a replacement")?;
    if replacement.contains('\\') {
        return Err(NotPushable::new("a replacement with parts of the match"));
    }
    let function = match call.args.get(3).map(|_| call.text(3, "flags")).transpose()? {
        None | Some("") => "replaceRegexpOne",
        Some("g") => "replaceRegexpAll",
        Some(_) => return Err(NotPushable::new("flags of a regular expression")),
    };
    let (pattern, replacement) =
        (literal::text(&format!("(?s){pattern}")), literal::text(replacement));
    Ok(call.result(format!("{function}({}, {pattern}, {replacement})", call.arg(0)?.sql)))
}

/// Whether the one character of a pattern may be missing.
fn may_be_empty(pattern: &str) -> bool {
    let inner = pattern.trim_start_matches('^').trim_end_matches('$');
    let Some(once) = inner.strip_suffix(['*', '?']) else { return false };
    let is_class = once.starts_with('[') && once.find(']') == Some(once.len() - 1);
    is_class || once.trim_start_matches('\\').chars().count() <= 1
}

/// Whether a pattern has only literals, `.`, anchors, alternatives, groups, simple classes and single
/// quantifiers.
fn is_common(pattern: &str) -> bool {
    let mut previous = ' ';
    let mut in_class = false;
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        let allowed = match character {
            '\\' => characters.next().is_some_and(|next| next.is_ascii_punctuation()),
            '[' => !in_class,
            ']' => in_class,
            '{' | '}' => false,
            '*' | '+' | '?' if !in_class => {
                !matches!(previous, '*' | '+' | '?' | '(' | '|' | '^') && previous != ' '
            }
            '&' | '~' if in_class => false,
            '-' if in_class => previous.is_alphanumeric(),
            other => !other.is_control(),
        };
        if !allowed {
            return false;
        }
        match character {
            '[' => in_class = true,
            ']' => in_class = false,
            _ => {}
        }
        previous = if character == ' ' { '_' } else { character };
    }
    !in_class
}
