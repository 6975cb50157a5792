//! `jsonb`: JSON by its meaning. Inside canon it is the text that Postgres prints for it, so that equal
//! texts are equal values but for the zeros at the end of numbers.
//!
//! Source: PostgreSQL 15 `jsonb.c`, `jsonb_util.c`, `jsonb_op.c`.

use std::cmp::Ordering;

use super::value::Fault;

/// Arrays and objects within each other, at most; Postgres has a limit of its stack.
const DEPTH_MAX: usize = 500;
/// Digits in front of a numeric's point, and behind it.
const DIGITS_MAX: i64 = 131_072;
const SCALE_MAX: i64 = 16_383;

type Read<T> = Result<T, Fault>;

/// A value.
#[derive(Debug, Clone)]
pub(crate) enum Jsonb {
    Null,
    Text(String),
    Number(Number),
    Bool(bool),
    Array(Vec<Jsonb>),
    /// Each key once, shorter ones first, those of one length by their bytes.
    Object(Vec<(String, Jsonb)>),
}

/// A numeric, with the digits that it is written with.
#[derive(Debug, Clone)]
pub(crate) struct Number {
    negative: bool,
    whole: String,
    fraction: String,
}

/// What happens at the end of a path.
#[derive(Debug)]
pub(crate) enum Edit {
    /// What is there is another value; a key or an item that isn't there is added where `adds`.
    Set {
        value: Jsonb,
        adds: bool,
    },
    /// An item in front of what is there, or behind it; a key that isn't there yet.
    Insert {
        value: Jsonb,
        after: bool,
    },
    Delete,
}

impl Edit {
    /// What is added where the path's end isn't there yet.
    fn added(&self) -> Option<&Jsonb> {
        match self {
            Self::Set { value, adds: true } | Self::Insert { value, .. } => Some(value),
            Self::Set { .. } | Self::Delete => None,
        }
    }
}

/// What `jsonb_insert` says of a key that is there already.
pub(crate) const KEY_EXISTS: &str = "cannot replace existing key";

fn invalid_argument(message: &str) -> Fault {
    Fault { sqlstate: "22023", message: message.to_owned() }
}

/// A step of a path.
fn step<'p>(path: &[Option<&'p str>], level: usize) -> Read<&'p str> {
    path.get(level).copied().flatten().ok_or_else(|| Fault {
        sqlstate: "22004",
        message: format!("path element at position {} is null", level + 1),
    })
}

fn edited_object(
    members: Vec<(String, Jsonb)>,
    path: &[Option<&str>],
    level: usize,
    edit: &Edit,
) -> Read<Vec<(String, Jsonb)>> {
    let key = step(path, level)?;
    let is_last = level + 1 == path.len();
    let mut members = members;
    let found = members.iter().position(|(own, _)| own == key);
    match (found, is_last) {
        (Some(at), false) => {
            let (key, inner) = members.remove(at);
            members.insert(at, (key, inner.edited_below(path, level + 1, edit)?));
        }
        (Some(at), true) => match edit {
            Edit::Set { value, .. } => members[at].1 = value.clone(),
            Edit::Insert { .. } => return Err(invalid_argument(KEY_EXISTS)),
            Edit::Delete => {
                members.remove(at);
            }
        },
        (None, true) => {
            if let Some(value) = edit.added() {
                let at = members.partition_point(|(own, _)| key_order(own, key).is_lt());
                members.insert(at, (key.to_owned(), value.clone()));
            }
        }
        (None, false) => {}
    }
    Ok(members)
}

fn edited_array(
    items: Vec<Jsonb>,
    path: &[Option<&str>],
    level: usize,
    edit: &Edit,
) -> Read<Vec<Jsonb>> {
    let written = step(path, level)?;
    let index: i32 = written.trim_start().parse().map_err(|_| Fault {
        sqlstate: "22P02",
        message: format!("path element at position {} is not an integer: \"{written}\"", level + 1),
    })?;
    let is_last = level + 1 == path.len();
    let mut items = items;
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let index = i64::from(index) + if index < 0 { length } else { 0 };
    let found = usize::try_from(index).ok().filter(|at| *at < items.len());
    match (found, is_last) {
        (Some(at), false) => {
            let inner = items.remove(at);
            items.insert(at, inner.edited_below(path, level + 1, edit)?);
        }
        (Some(at), true) => match edit {
            Edit::Set { value, .. } => items[at] = value.clone(),
            Edit::Insert { value, after } => items.insert(at + usize::from(*after), value.clone()),
            Edit::Delete => {
                items.remove(at);
            }
        },
        // Beyond one end it is added at that end.
        (None, true) => {
            if let Some(value) = edit.added() {
                let at = if index < 0 { 0 } else { items.len() };
                items.insert(at, value.clone());
            }
        }
        (None, false) => {}
    }
    Ok(items)
}

fn invalid() -> Fault {
    Fault { sqlstate: "22P02", message: "invalid input syntax for type json".to_owned() }
}

impl Jsonb {
    /// # Errors
    /// 22P02 for a text that isn't JSON, 22003 for a number that no numeric holds, 22P05 for a NUL.
    pub(crate) fn read(text: &str) -> Read<Self> {
        let mut reader = Reader { bytes: text.as_bytes(), text, at: 0, depth: 0 };
        let value = reader.value()?;
        reader.blanks();
        if reader.at < reader.bytes.len() { Err(invalid()) } else { Ok(value) }
    }

    /// As Postgres prints it.
    #[must_use]
    pub(crate) fn to_text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(number) => number.write(out),
            Self::Text(text) => write_quoted(text, out),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index > 0 { ", " } else { "" });
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (index, (key, value)) in members.iter().enumerate() {
                    out.push_str(if index > 0 { ", " } else { "" });
                    write_quoted(key, out);
                    out.push_str(": ");
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    /// On lines of their own, as `jsonb_pretty` prints it.
    #[must_use]
    pub(crate) fn to_pretty_text(&self) -> String {
        let mut out = String::new();
        self.write_pretty(0, &mut out);
        out
    }

    fn write_pretty(&self, depth: usize, out: &mut String) {
        let line = |depth: usize, out: &mut String| {
            out.push('\n');
            out.extend(std::iter::repeat_n("    ", depth));
        };
        match self {
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    line(depth + 1, out);
                    item.write_pretty(depth + 1, out);
                }
                line(depth, out);
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (index, (key, value)) in members.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    line(depth + 1, out);
                    write_quoted(key, out);
                    out.push_str(": ");
                    value.write_pretty(depth + 1, out);
                }
                line(depth, out);
                out.push('}');
            }
            other => other.write(out),
        }
    }

    /// An object of members in the order in which they are given: the last of a key counts.
    #[must_use]
    pub(crate) fn object(members: Vec<(String, Jsonb)>) -> Self {
        let mut members = members;
        // Stable, so that of equal keys the last is last.
        members.sort_by(|(one, _), (other, _)| key_order(one, other));
        let mut kept: Vec<(String, Jsonb)> = Vec::with_capacity(members.len());
        for (key, value) in members {
            match kept.last_mut() {
                Some(last) if last.0 == key => last.1 = value,
                _ => kept.push((key, value)),
            }
        }
        Self::Object(kept)
    }

    /// As `||` joins them.
    ///
    /// # Errors
    /// 22023 for an object and what is neither object nor array.
    pub(crate) fn joined(self, other: Self) -> Read<Self> {
        let is_scalar = |it: &Self| !matches!(it, Self::Array(_) | Self::Object(_));
        match (self, other) {
            (Self::Object(mut one), Self::Object(other)) => {
                one.extend(other);
                Ok(Self::object(one))
            }
            (Self::Array(mut one), Self::Array(other)) => {
                one.extend(other);
                Ok(Self::Array(one))
            }
            (Self::Array(mut one), other) => {
                one.push(other);
                Ok(Self::Array(one))
            }
            (one, Self::Array(mut other)) => {
                other.insert(0, one);
                Ok(Self::Array(other))
            }
            (one, other) if is_scalar(&one) && is_scalar(&other) => {
                Ok(Self::Array(vec![one, other]))
            }
            _ => Err(Fault {
                sqlstate: "22023",
                message: "invalid concatenation of jsonb objects".to_owned(),
            }),
        }
    }

    /// Without members that are null, at any depth.
    #[must_use]
    pub(crate) fn without_nulls(self) -> Self {
        match self {
            Self::Array(items) => Self::Array(items.into_iter().map(Self::without_nulls).collect()),
            Self::Object(members) => Self::Object(
                members
                    .into_iter()
                    .filter(|(_, value)| !matches!(value, Self::Null))
                    .map(|(key, value)| (key, value.without_nulls()))
                    .collect(),
            ),
            other => other,
        }
    }

    /// As `@>` means it.
    #[must_use]
    pub(crate) fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Array(items), Self::Array(others)) => {
                others.iter().all(|other| items.iter().any(|item| item.has_inside(other)))
            }
            // An array contains a bare value, by itself only.
            (Self::Array(items), scalar) if !matches!(scalar, Self::Object(_)) => {
                items.iter().any(|item| item.order_inside(scalar).is_eq())
            }
            _ => self.has_inside(other),
        }
    }

    fn has_inside(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Object(members), Self::Object(others)) => others.iter().all(|(key, other)| {
                members.iter().any(|(own, value)| own == key && value.has_inside(other))
            }),
            (Self::Array(items), Self::Array(others)) => {
                others.iter().all(|other| items.iter().any(|item| item.has_inside(other)))
            }
            (one, other) => {
                let is_nested = |it: &Self| matches!(it, Self::Array(_) | Self::Object(_));
                !is_nested(one) && !is_nested(other) && one.order_inside(other).is_eq()
            }
        }
    }

    /// With what stands at a path changed; a path that leads nowhere leaves the value as it is, but for
    /// edits that add.
    ///
    /// # Errors
    /// 22023 for a scalar and for a key that is there already, 22P02 for a step into an array that is
    /// no integer, 22004 for one that is NULL.
    ///
    /// Source: PostgreSQL 15 `jsonfuncs.c`, `setPath`.
    pub(crate) fn edited(self, path: &[Option<&str>], edit: &Edit) -> Read<Self> {
        if !matches!(self, Self::Array(_) | Self::Object(_)) {
            let message = match edit {
                Edit::Delete => "cannot delete path in scalar",
                _ => "cannot set path in scalar",
            };
            return Err(invalid_argument(message));
        }
        if path.is_empty() { Ok(self) } else { self.edited_below(path, 0, edit) }
    }

    fn edited_below(self, path: &[Option<&str>], level: usize, edit: &Edit) -> Read<Self> {
        match self {
            Self::Array(items) => Ok(Self::Array(edited_array(items, path, level, edit)?)),
            Self::Object(members) => Ok(Self::Object(edited_object(members, path, level, edit)?)),
            scalar => {
                step(path, level)?;
                Ok(scalar)
            }
        }
    }

    /// Without the members of some keys, or the items that are such texts.
    ///
    /// # Errors
    /// 22023 for a scalar.
    pub(crate) fn without_keys(self, keys: &[&str]) -> Read<Self> {
        match self {
            Self::Object(members) => Ok(Self::Object(
                members.into_iter().filter(|(key, _)| !keys.contains(&key.as_str())).collect(),
            )),
            Self::Array(items) => {
                let is_named =
                    |item: &Self| matches!(item, Self::Text(text) if keys.contains(&text.as_str()));
                Ok(Self::Array(items.into_iter().filter(|item| !is_named(item)).collect()))
            }
            _ => Err(invalid_argument("cannot delete from scalar")),
        }
    }

    /// Without the item of an index from 0, or from the end.
    ///
    /// # Errors
    /// 22023 for what is no array.
    pub(crate) fn without_item(self, index: i64) -> Read<Self> {
        match self {
            Self::Array(mut items) => {
                let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
                let index = if index < 0 { index + length } else { index };
                if let Some(index) = usize::try_from(index).ok().filter(|at| *at < items.len()) {
                    items.remove(index);
                }
                Ok(Self::Array(items))
            }
            Self::Object(_) => {
                Err(invalid_argument("cannot delete from object using integer index"))
            }
            _ => Err(invalid_argument("cannot delete from scalar")),
        }
    }

    /// Whether a text is one of its keys, its items, or the value itself.
    #[must_use]
    pub(crate) fn has_key(&self, key: &str) -> bool {
        match self {
            Self::Object(members) => members.iter().any(|(own, _)| own == key),
            Self::Array(items) => {
                items.iter().any(|item| matches!(item, Self::Text(text) if text == key))
            }
            Self::Text(text) => text == key,
            _ => false,
        }
    }

    /// As Postgres orders them: null, strings, numbers, booleans, arrays, objects; of arrays and
    /// objects the shorter first, but an empty array that is in no other before all.
    #[must_use]
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        let is_empty = |it: &Self| matches!(it, Self::Array(items) if items.is_empty());
        is_empty(other).cmp(&is_empty(self)).then_with(|| self.order_inside(other))
    }

    fn order_inside(&self, other: &Self) -> Ordering {
        let rank = |it: &Self| match it {
            Self::Null => 1,
            Self::Text(_) => 2,
            Self::Number(_) => 3,
            Self::Bool(_) => 4,
            Self::Array(_) => 5,
            Self::Object(_) => 6,
        };
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => one.cmp(other),
            (Self::Number(one), Self::Number(other)) => one.order(other),
            (Self::Bool(one), Self::Bool(other)) => one.cmp(other),
            (Self::Array(one), Self::Array(other)) => {
                let each = || one.iter().zip(other).map(|(one, other)| one.order_inside(other));
                one.len().cmp(&other.len()).then_with(|| first_of(each()))
            }
            (Self::Object(one), Self::Object(other)) => {
                let each = || {
                    one.iter().zip(other).map(|((key, value), (other_key, other_value))| {
                        key.cmp(other_key).then_with(|| value.order_inside(other_value))
                    })
                };
                one.len().cmp(&other.len()).then_with(|| first_of(each()))
            }
            _ => rank(self).cmp(&rank(other)),
        }
    }
}

fn first_of(mut orders: impl Iterator<Item = Ordering>) -> Ordering {
    orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

fn key_order(one: &str, other: &str) -> Ordering {
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

/// Source: PostgreSQL 15 `escape_json`.
pub(crate) fn write_quoted(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
}

impl Number {
    /// As `numeric` reads it: the scale is that of the digits behind the point, the exponent applied.
    fn of(negative: bool, whole: &str, fraction: &str, exponent: i64) -> Read<Self> {
        let overflows =
            || Fault { sqlstate: "22003", message: "value overflows numeric format".to_owned() };
        let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
        let digits = format!("{whole}{fraction}");
        let point = length(whole).saturating_add(exponent);
        let scale = length(fraction).saturating_sub(exponent);
        if point > DIGITS_MAX || scale > SCALE_MAX {
            return Err(overflows());
        }
        let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or_default());
        let (whole, fraction) = match usize::try_from(point) {
            Ok(point) if point >= digits.len() => {
                (format!("{digits}{}", zeros(-scale)), String::new())
            }
            Ok(point) => {
                let (whole, fraction) = digits.split_at(point);
                (whole.to_owned(), fraction.to_owned())
            }
            Err(_) => (String::new(), format!("{}{digits}", zeros(-point))),
        };
        let whole = whole.trim_start_matches('0');
        let whole = if whole.is_empty() { "0" } else { whole };
        let is_zero = whole == "0" && fraction.bytes().all(|digit| digit == b'0');
        Ok(Self { negative: negative && !is_zero, whole: whole.to_owned(), fraction })
    }

    fn write(&self, out: &mut String) {
        out.push_str(if self.negative { "-" } else { "" });
        out.push_str(&self.whole);
        if !self.fraction.is_empty() {
            out.push('.');
            out.push_str(&self.fraction);
        }
    }

    fn order(&self, other: &Self) -> Ordering {
        let size = |it: &Self| (it.whole.len(), it.whole.clone());
        let fraction = |it: &Self| it.fraction.trim_end_matches('0').to_owned();
        let sizes = size(self).cmp(&size(other)).then_with(|| fraction(self).cmp(&fraction(other)));
        match (self.negative, other.negative) {
            (false, false) => sizes,
            (true, true) => sizes.reverse(),
            (one, other) => other.cmp(&one),
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn blanks(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// The next character that isn't blank.
    fn next(&mut self) -> Option<u8> {
        self.blanks();
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, expected: u8) -> Read<()> {
        match self.next() == Some(expected) {
            true => {
                self.at += 1;
                Ok(())
            }
            false => Err(invalid()),
        }
    }

    fn value(&mut self) -> Read<Jsonb> {
        match self.next() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => self.string().map(Jsonb::Text),
            Some(b'-' | b'0'..=b'9') => self.number().map(Jsonb::Number),
            _ => self.word(),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Read<Jsonb>) -> Read<Jsonb> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let message = "stack depth limit exceeded".to_owned();
            return Err(Fault { sqlstate: "54001", message });
        }
        self.at += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn object(&mut self) -> Read<Jsonb> {
        let mut members = Vec::new();
        if self.next() == Some(b'}') {
            self.at += 1;
            return Ok(Jsonb::Object(members));
        }
        loop {
            if self.next() != Some(b'"') {
                return Err(invalid());
            }
            let key = self.string()?;
            self.take(b':')?;
            members.push((key, self.value()?));
            match self.next() {
                Some(b',') => self.at += 1,
                _ => break self.take(b'}')?,
            }
        }
        Ok(Jsonb::object(members))
    }

    fn array(&mut self) -> Read<Jsonb> {
        let mut items = Vec::new();
        if self.next() == Some(b']') {
            self.at += 1;
            return Ok(Jsonb::Array(items));
        }
        loop {
            items.push(self.value()?);
            match self.next() {
                Some(b',') => self.at += 1,
                _ => break self.take(b']')?,
            }
        }
        Ok(Jsonb::Array(items))
    }

    fn word(&mut self) -> Read<Jsonb> {
        let words =
            [("null", Jsonb::Null), ("true", Jsonb::Bool(true)), ("false", Jsonb::Bool(false))];
        let rest = &self.bytes[self.at..];
        let found = words.into_iter().find(|(word, _)| rest.starts_with(word.as_bytes()));
        let (word, value) = found.ok_or_else(invalid)?;
        self.at += word.len();
        match self.bytes.get(self.at) {
            Some(next) if next.is_ascii_alphanumeric() || *next == b'_' => Err(invalid()),
            _ => Ok(value),
        }
    }

    fn digits(&mut self) -> &str {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    fn number(&mut self) -> Read<Number> {
        let negative = self.bytes[self.at] == b'-';
        self.at += usize::from(negative);
        let whole = self.digits().to_owned();
        if whole.is_empty() || whole.len() > 1 && whole.starts_with('0') {
            return Err(invalid());
        }
        let mut fraction = String::new();
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            fraction = self.digits().to_owned();
            if fraction.is_empty() {
                return Err(invalid());
            }
        }
        let mut exponent = 0;
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            let minus = self.bytes.get(self.at) == Some(&b'-');
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'-' | b'+')));
            let digits = self.digits();
            if digits.is_empty() {
                return Err(invalid());
            }
            let size = digits.parse::<i64>().unwrap_or(i64::from(i32::MAX));
            exponent = if minus { -size } else { size };
        }
        match self.bytes.get(self.at) {
            Some(next) if next.is_ascii_alphanumeric() || *next == b'_' => Err(invalid()),
            _ => Number::of(negative, &whole, &fraction, exponent),
        }
    }

    fn string(&mut self) -> Read<String> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let end = rest.find(['"', '\\']).ok_or_else(invalid)?;
            let plain = &rest[..end];
            if plain.bytes().any(|byte| byte < b' ') {
                return Err(invalid());
            }
            out.push_str(plain);
            self.at += end + 1;
            if rest.as_bytes()[end] == b'"' {
                return Ok(out);
            }
            out.push(self.escaped()?);
        }
    }

    /// What stands behind a backslash.
    fn escaped(&mut self) -> Read<char> {
        let letter = self.bytes.get(self.at).copied().ok_or_else(invalid)?;
        self.at += 1;
        Ok(match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let code = self.unit()?;
                if code == 0 {
                    let message = "unsupported Unicode escape sequence".to_owned();
                    return Err(Fault { sqlstate: "22P05", message });
                }
                let units = match code {
                    0xd800..0xdc00 if self.bytes[self.at..].starts_with(b"\\u") => {
                        self.at += 2;
                        vec![code, self.unit()?]
                    }
                    code => vec![code],
                };
                let mut decoded = char::decode_utf16(units);
                match (decoded.next(), decoded.next()) {
                    (Some(Ok(character)), None) => character,
                    _ => return Err(invalid()),
                }
            }
            _ => return Err(invalid()),
        })
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Read<u16> {
        let digits = self.text.get(self.at..self.at + 4).ok_or_else(invalid)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(invalid());
        }
        self.at += 4;
        u16::from_str_radix(digits, 16).map_err(|_| invalid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        Jsonb::read(text).map_or_else(|fault| fault.sqlstate.to_owned(), |value| value.to_text())
    }

    #[test]
    fn it_is_printed_as_postgres_prints_it() {
        for (text, expected) in [
            (r#" {"bb":1,"a" : [1,2 , {}],"a":2,"c":null} "#, r#"{"a": 2, "c": null, "bb": 1}"#),
            ("[]", "[]"),
            ("[1.10, 1e2, 1.50e1, -0, -0.00, 1E-3, 0e5]", "[1.10, 100, 15.0, 0, 0.00, 0.001, 0]"),
            (r#""A\n\"\/\ud83d\ude00""#, "\"A\\n\\\"/😀\""),
            ("1e131073", "22003"),
            ("01", "22P02"),
            ("1.", "22P02"),
            ("nul", "22P02"),
            ("truex", "22P02"),
            ("{\"a\" 1}", "22P02"),
            ("[1,]", "22P02"),
            ("", "22P02"),
            ("\"\u{1}\"", "22P02"),
            (r#""\ud83d""#, "22P02"),
            (r#""\u0000""#, "22P05"),
            ("1 2", "22P02"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
        assert_eq!(read(&"[".repeat(DEPTH_MAX + 1)), "54001");
    }

    #[test]
    fn values_are_ordered_by_their_kinds_first() {
        let ordered = [
            "[]",
            "null",
            "\"\"",
            "\"a\"",
            "-2",
            "-1.5",
            "1",
            "2.5",
            "10",
            "false",
            "true",
            "[0]",
            "[1]",
            "[0, null]",
            "[0, 0]",
            "[0, []]",
            "{}",
            r#"{"a": 1}"#,
            r#"{"aa": 0}"#,
            r#"{"b": 0}"#,
            r#"{"a": 1, "b": 1}"#,
        ];
        let values: Vec<Jsonb> = ordered.iter().map(|text| Jsonb::read(text).unwrap()).collect();
        for (at, one) in values.iter().enumerate() {
            for (other_at, other) in values.iter().enumerate() {
                assert_eq!(
                    one.order(other),
                    at.cmp(&other_at),
                    "{} {}",
                    ordered[at],
                    ordered[other_at]
                );
            }
        }
        let (one, other) = (Jsonb::read("[1.0]").unwrap(), Jsonb::read("[1]").unwrap());
        assert_eq!(one.order(&other), Ordering::Equal);
    }
}
