//! Regular expressions as Postgres reads them, run by Rust's engine.
//!
//! A pattern is read by Postgres's rules (its "advanced" flavour) and written anew by Rust's. Two
//! things can't be carried over and are refused by name: references back to a group, and looking
//! around. Postgres takes the longest of several matches that begin at one place where Rust takes
//! the first alternative: so each pattern with alternatives is tried in both orders.

mod compiled;
mod notation;

use self::compiled::{Match, compiled};
use self::notation::Flags;
use super::error::FunctionError;
use super::rows::{self, Kind, Outcome, Overload, RowFunction, Value};

type Result<T> = std::result::Result<T, FunctionError>;

#[rustfmt::skip]
pub(super) const FUNCTIONS: &[RowFunction] = &[
    RowFunction { name: "regexp_like", overloads: &[
        Overload::new(&[Kind::Text, Kind::Text], rows::bool, like),
        Overload::new(&[Kind::Text, Kind::Text, Kind::Text], rows::bool, like),
    ] },
    RowFunction { name: "similar_to", overloads: &[
        Overload::new(&[Kind::Text, Kind::Text], rows::bool, similar),
    ] },
    RowFunction { name: "regexp_replace", overloads: &[
        Overload::new(&[Kind::Text, Kind::Text, Kind::Text], rows::text, replace),
        Overload::new(&[Kind::Text, Kind::Text, Kind::Text, Kind::Text], rows::text, replace),
        Overload::new(&[Kind::Text, Kind::Text, Kind::Text, Kind::Int], rows::text, replace),
        Overload::new(&[Kind::Text, Kind::Text, Kind::Text, Kind::Int, Kind::Int], rows::text, replace),
        Overload::new(&[Kind::Text, Kind::Text, Kind::Text, Kind::Int, Kind::Int, Kind::Text], rows::text, replace),
    ] },
    RowFunction { name: "regexp_match", overloads: &[
        Overload::new(&[Kind::Text, Kind::Text], rows::texts, one_match),
        Overload::new(&[Kind::Text, Kind::Text, Kind::Text], rows::texts, one_match),
    ] },
    RowFunction { name: "regexp_all_matches", overloads: &[
        Overload::new(&[Kind::Text, Kind::Text], lists_of_texts, all_matches),
        Overload::new(&[Kind::Text, Kind::Text, Kind::Text], lists_of_texts, all_matches),
    ] },
    RowFunction { name: "regexp_split_to_array", overloads: &[
        Overload::new(&[Kind::Text, Kind::Text], rows::texts, split),
        Overload::new(&[Kind::Text, Kind::Text, Kind::Text], rows::texts, split),
    ] },
    RowFunction { name: "regexp_count", overloads: &[
        Overload::new(&[Kind::Text, Kind::Text], rows::int4, count),
        Overload::new(&[Kind::Text, Kind::Text, Kind::Int], rows::int4, count),
        Overload::new(&[Kind::Text, Kind::Text, Kind::Int, Kind::Text], rows::int4, count),
    ] },
    RowFunction { name: "regexp_instr", overloads: &[
        Overload::new(&[Kind::Text, Kind::Text], rows::int4, place),
        Overload::new(&[Kind::Text, Kind::Text, Kind::Int], rows::int4, place),
        Overload::new(&[Kind::Text, Kind::Text, Kind::Int, Kind::Int], rows::int4, place),
        Overload::new(&[Kind::Text, Kind::Text, Kind::Int, Kind::Int, Kind::Int], rows::int4, place),
        Overload::new(&[Kind::Text, Kind::Text, Kind::Int, Kind::Int, Kind::Int, Kind::Text], rows::int4, place),
        Overload::new(&[Kind::Text, Kind::Text, Kind::Int, Kind::Int, Kind::Int, Kind::Text, Kind::Int], rows::int4, place),
    ] },
    RowFunction { name: "regexp_substr", overloads: &[
        Overload::new(&[Kind::Text, Kind::Text], rows::text, part),
        Overload::new(&[Kind::Text, Kind::Text, Kind::Int], rows::text, part),
        Overload::new(&[Kind::Text, Kind::Text, Kind::Int, Kind::Int], rows::text, part),
        Overload::new(&[Kind::Text, Kind::Text, Kind::Int, Kind::Int, Kind::Text], rows::text, part),
        Overload::new(&[Kind::Text, Kind::Text, Kind::Int, Kind::Int, Kind::Text, Kind::Int], rows::text, part),
    ] },
    RowFunction { name: "regexp_substring", overloads: &[
        Overload::new(&[Kind::Text, Kind::Text], rows::text, substring),
    ] },
];

fn lists_of_texts(
    types: &[datafusion::arrow::datatypes::DataType],
    scalars: &[Option<&datafusion::common::ScalarValue>],
) -> datafusion::error::Result<datafusion::arrow::datatypes::DataType> {
    use datafusion::arrow::datatypes::{DataType, Field};
    let item = rows::texts(types, scalars)?;
    Ok(DataType::List(std::sync::Arc::new(Field::new_list_field(item, true))))
}

fn flags_at(args: &[Value<'_>], index: usize) -> Result<Flags> {
    args.get(index).map_or(Ok(Flags::default()), |letters| Flags::parse(letters.str()))
}

fn no_global(flags: Flags, function: &str, hint: Option<&str>) -> Result<()> {
    if !flags.global {
        return Ok(());
    }
    let message = format!("{function}() does not support the \"global\" option");
    let error = FunctionError::argument(message);
    Err(match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    })
}

/// The byte at which the character of a position, from 1, begins.
fn byte_of(text: &str, position: i64, what: &str) -> Result<usize> {
    let index = usize::try_from(position - 1).map_err(|_| {
        FunctionError::argument(format!("invalid value for parameter \"{what}\": {position}"))
    })?;
    Ok(text
        .char_indices()
        .nth(index)
        .map_or(text.len() + usize::from(index > text.chars().count()), |(at, _)| at))
}

fn position_of(text: &str, byte: usize) -> i64 {
    i64::try_from(text[..byte].chars().count()).unwrap_or_default() + 1
}

fn like(args: &[Value<'_>]) -> Outcome {
    let flags = flags_at(args, 2)?;
    no_global(flags, "regexp_like", None)?;
    let found = compiled(args[1].str(), flags)?.is_match(args[0].str());
    Ok(Value::Bool(found))
}

/// `text SIMILAR TO pattern`.
fn similar(args: &[Value<'_>]) -> Outcome {
    let pattern = similar_pattern(args[1].str(), Some('\\'))?;
    Ok(Value::Bool(compiled(&pattern, Flags::default())?.is_match(args[0].str())))
}

/// A pattern of SIMILAR TO as a regular expression of Postgres's.
pub(super) fn similar_pattern(pattern: &str, escape: Option<char>) -> Result<String> {
    let mut text = String::from("^(?:");
    let mut in_class = false;
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if Some(character) == escape {
            let next = characters
                .next()
                .ok_or_else(|| FunctionError::new("22025", "invalid escape sequence"))?;
            if next.is_ascii_alphanumeric() {
                text.push(next);
            } else {
                text.extend(['\\', next]);
            }
            continue;
        }
        match character {
            ']' if in_class => {
                in_class = false;
                text.push(']');
            }
            '\\' => text.push_str("\\\\"),
            other if in_class => text.push(other),
            '[' => {
                in_class = true;
                text.push('[');
            }
            '%' => text.push_str(".*"),
            '_' => text.push('.'),
            '(' => text.push_str("(?:"),
            '.' | '^' | '$' => text.extend(['\\', character]),
            other => text.push(other),
        }
    }
    text.push_str(")$");
    Ok(text)
}

fn replace(args: &[Value<'_>]) -> Outcome {
    let (text, with) = (args[0].str(), args[2].str());
    // With a start, the flag g isn't needed: the occurrence 0 is all of them.
    let (flags, start, nth) = match args.get(3) {
        Some(Value::Int(start)) => {
            let flags = flags_at(args, 5)?;
            let nth = args.get(4).map(|nth| nth.int());
            if nth.is_some_and(|nth| nth < 0) {
                let nth = nth.unwrap_or_default();
                let message = format!("invalid value for parameter \"n\": {nth}");
                return Err(FunctionError::argument(message));
            }
            (flags, *start, nth.unwrap_or(i64::from(!flags.global)))
        }
        _ => {
            let flags = flags_at(args, 3)?;
            (flags, 1, i64::from(!flags.global))
        }
    };
    let flags = flags.of_one();
    let pattern = compiled(args[1].str(), flags)?.for_matches()?;
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for (index, found) in pattern.all(text, byte_of(text, start, "start")?).iter().enumerate() {
        if nth != 0 && i64::try_from(index + 1).unwrap_or(i64::MAX) != nth {
            continue;
        }
        out.push_str(&text[copied..found.start]);
        substitute(text, found, with, &mut out);
        copied = found.end;
        if nth != 0 {
            break;
        }
    }
    out.push_str(&text[copied..]);
    Ok(Value::text(out))
}

/// `\1` to `\9` are groups, `\&` is all that was matched, `\\` a backslash.
fn substitute(text: &str, found: &Match, with: &str, out: &mut String) {
    let mut characters = with.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.peek().copied() {
            Some(digit @ '1'..='9') => {
                let index = usize::try_from(u32::from(digit) - u32::from('1')).unwrap_or_default();
                if let Some((start, end)) = found.groups.get(index).copied().flatten() {
                    out.push_str(&text[start..end]);
                }
                characters.next();
            }
            Some('&') => {
                out.push_str(&text[found.start..found.end]);
                characters.next();
            }
            Some('\\') => {
                out.push('\\');
                characters.next();
            }
            _ => out.push('\\'),
        }
    }
}

/// The groups of a match, or all of it where the pattern has none.
fn parts_of(text: &str, found: &Match) -> Value<'static> {
    let slice = |(start, end): (usize, usize)| text[start..end].to_owned();
    if found.groups.is_empty() {
        return Value::list_of_texts(vec![slice((found.start, found.end))]);
    }
    let groups = found.groups.iter();
    Value::List(groups.map(|group| Value::maybe_text(group.map(slice))).collect())
}

fn one_match(args: &[Value<'_>]) -> Outcome {
    let flags = flags_at(args, 2)?;
    no_global(flags, "regexp_match", Some("Use the regexp_matches function instead."))?;
    let pattern = compiled(args[1].str(), flags)?.for_matches()?;
    let text = args[0].str();
    Ok(pattern.at(text, 0).map_or(Value::Null, |found| parts_of(text, &found)))
}

/// What `regexp_matches` gives as rows, as an array.
fn all_matches(args: &[Value<'_>]) -> Outcome {
    let flags = flags_at(args, 2)?;
    let pattern = compiled(args[1].str(), flags.of_one())?.for_matches()?;
    let text = args[0].str();
    let found = match flags.global {
        true => pattern.all(text, 0),
        false => pattern.at(text, 0).into_iter().collect(),
    };
    Ok(Value::List(found.iter().map(|found| parts_of(text, found)).collect()))
}

/// Matches of nothing at the ends, or right behind another match, split nothing.
fn split(args: &[Value<'_>]) -> Outcome {
    let flags = flags_at(args, 2)?;
    no_global(flags, "regexp_split_to_array", None)?;
    let pattern = compiled(args[1].str(), flags)?.for_matches()?;
    let text = args[0].str();
    let mut parts = Vec::new();
    let mut begin = 0;
    for found in pattern.all(text, 0) {
        let empty = found.start == found.end;
        if empty && (found.start == begin || found.start >= text.len()) {
            continue;
        }
        parts.push(text[begin..found.start].to_owned());
        begin = found.end;
    }
    parts.push(text[begin..].to_owned());
    Ok(Value::list_of_texts(parts))
}

fn count(args: &[Value<'_>]) -> Outcome {
    let flags = flags_at(args, 3)?;
    no_global(flags, "regexp_count", None)?;
    let text = args[0].str();
    let start = args.get(2).map_or(Ok(0), |start| byte_of(text, start.int(), "start"))?;
    let pattern = compiled(args[1].str(), flags)?.for_matches()?;
    let count = pattern.all(text, start).len();
    Ok(Value::Int(i64::try_from(count).unwrap_or(i64::MAX)))
}

/// The n-th match from a start, or one of its groups.
fn nth_match(
    args: &[Value<'_>],
    flags_index: usize,
    group_index: usize,
    function: &str,
) -> Result<Option<(usize, usize)>> {
    let flags = flags_at(args, flags_index)?;
    no_global(flags, function, None)?;
    let text = args[0].str();
    let start = args.get(2).map_or(Ok(0), |start| byte_of(text, start.int(), "start"))?;
    let nth = args.get(3).map_or(1, |nth| nth.int());
    let group = args.get(group_index).map_or(0, |group| group.int());
    for (what, value, least) in [("n", nth, 1), ("subexpr", group, 0)] {
        if value < least {
            let message = format!("invalid value for parameter \"{what}\": {value}");
            return Err(FunctionError::argument(message));
        }
    }
    let pattern = compiled(args[1].str(), flags)?.for_matches()?;
    let found = pattern.all(text, start);
    let found = usize::try_from(nth - 1).ok().and_then(|index| found.into_iter().nth(index));
    Ok(found.and_then(|found| match usize::try_from(group) {
        Ok(0) => Some((found.start, found.end)),
        Ok(group) => found.groups.get(group - 1).copied().flatten(),
        Err(_) => None,
    }))
}

fn place(args: &[Value<'_>]) -> Outcome {
    let ends = args.get(4).map_or(0, |option| option.int());
    if !(0..=1).contains(&ends) {
        let message = format!("invalid value for parameter \"endoption\": {ends}");
        return Err(FunctionError::argument(message));
    }
    let found = nth_match(args, 5, 6, "regexp_instr")?;
    let byte = found.map(|(start, end)| if ends == 1 { end } else { start });
    Ok(Value::Int(byte.map_or(0, |byte| position_of(args[0].str(), byte))))
}

fn part(args: &[Value<'_>]) -> Outcome {
    let found = nth_match(args, 4, 5, "regexp_substr")?;
    let text = args[0].str();
    Ok(Value::maybe_text(found.map(|(start, end)| &text[start..end])))
}

/// `substring(text FROM pattern)`: the first group, or all that was matched.
fn substring(args: &[Value<'_>]) -> Outcome {
    let pattern = compiled(args[1].str(), Flags::default())?.for_matches()?;
    let text = args[0].str();
    let Some(found) = pattern.at(text, 0) else { return Ok(Value::Null) };
    let place = match found.groups.first() {
        Some(group) => *group,
        None => Some((found.start, found.end)),
    };
    Ok(Value::maybe_text(place.map(|(start, end)| &text[start..end])))
}
