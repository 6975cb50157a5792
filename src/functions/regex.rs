//! Regular expressions as Postgres reads them, run by Rust's engine.
//!
//! A pattern is read by Postgres's rules (its "advanced" flavour) and written anew by Rust's. Two
//! things can't be carried over and are refused by name: references back to a group, and looking
//! around. Postgres takes the longest of several matches that begin at one place where Rust takes
//! the first alternative: so each pattern with alternatives is tried in both orders.
//!
//! Source: PostgreSQL 15 manual, 9.7.3 "POSIX Regular Expressions"; `src/backend/regex/regc_lex.c`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use regex::{Regex, RegexBuilder};

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

// ---- patterns

/// How a pattern is read: the letters of a function's flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Flags {
    insensitive: bool,
    literal: bool,
    expanded: bool,
    /// The dot and `[^…]` match no newline.
    dot_stops: bool,
    /// `^` and `$` match at lines.
    lines: bool,
    global: bool,
}

impl Flags {
    fn parse(letters: &str) -> Result<Self> {
        let mut flags = Self::default();
        for letter in letters.chars() {
            flags.add(letter)?;
        }
        Ok(flags)
    }

    fn add(&mut self, letter: char) -> Result<()> {
        match letter {
            'g' => self.global = true,
            'i' => self.insensitive = true,
            'c' => self.insensitive = false,
            'n' | 'm' => (self.dot_stops, self.lines) = (true, true),
            's' => (self.dot_stops, self.lines) = (false, false),
            'p' => (self.dot_stops, self.lines) = (true, false),
            'w' => (self.dot_stops, self.lines) = (false, true),
            'x' => self.expanded = true,
            't' => self.expanded = false,
            'q' => self.literal = true,
            'e' => {}
            'b' => {
                return Err(FunctionError::not_supported(
                    "a basic regular expression (flag \"b\")",
                    "Write it as an advanced one, without that flag.",
                ));
            }
            other => {
                let message = format!("invalid regular expression option: \"{other}\"");
                return Err(FunctionError::argument(message));
            }
        }
        Ok(())
    }
}

fn invalid(reason: &str) -> FunctionError {
    FunctionError::new("2201B", format!("invalid regular expression: {reason}"))
}

/// A pattern in Rust's notation.
struct Translated {
    text: String,
    groups: usize,
    has_alternatives: bool,
    greedy: bool,
    lazy: bool,
}

/// Reads a pattern by Postgres's rules. Groups are named `g1`, `g2`, … in their order, which stays
/// theirs where alternatives are `reversed`.
fn translate(pattern: &str, flags: Flags, reversed: bool) -> Result<Translated> {
    let characters: Vec<char> = pattern.chars().collect();
    let mut reader = Reader {
        characters: &characters,
        at: 0,
        flags,
        reversed,
        groups: 0,
        has_alternatives: false,
        greedy: false,
        lazy: false,
    };
    if flags.literal {
        let text = regex::escape(pattern);
        return Ok(Translated {
            text,
            groups: 0,
            has_alternatives: false,
            greedy: false,
            lazy: false,
        });
    }
    reader.directors()?;
    let text = reader.alternatives()?;
    if reader.at < characters.len() {
        return Err(invalid("parentheses () not balanced"));
    }
    let insensitive = if reader.flags.insensitive { "(?i)" } else { "" };
    Ok(Translated {
        text: format!("{insensitive}{text}"),
        groups: reader.groups,
        has_alternatives: reader.has_alternatives,
        greedy: reader.greedy,
        lazy: reader.lazy,
    })
}

struct Reader<'p> {
    characters: &'p [char],
    at: usize,
    flags: Flags,
    reversed: bool,
    groups: usize,
    has_alternatives: bool,
    greedy: bool,
    lazy: bool,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    fn starts_with(&self, text: &str) -> bool {
        let rest = self.characters.get(self.at..).unwrap_or_default();
        let mut rest = rest.iter();
        text.chars().all(|character| rest.next() == Some(&character))
    }

    /// `***:` and `(?i)` at the beginning.
    fn directors(&mut self) -> Result<()> {
        if self.starts_with("***=") {
            return Err(FunctionError::not_supported(
                "the prefix \"***=\" of a regular expression",
                "Use the flag \"q\", or LIKE.",
            ));
        }
        if self.starts_with("***:") {
            self.at += 4;
        }
        let letters = self.characters.get(self.at + 2..).unwrap_or_default();
        let count = letters.iter().take_while(|letter| letter.is_ascii_lowercase()).count();
        if self.starts_with("(?") && count > 0 && letters.get(count) == Some(&')') {
            for letter in &letters[..count] {
                self.flags.add(*letter)?;
            }
            self.at += count + 3;
        }
        Ok(())
    }

    fn alternatives(&mut self) -> Result<String> {
        let mut branches = vec![self.branch()?];
        while self.peek() == Some('|') {
            self.at += 1;
            self.has_alternatives = true;
            branches.push(self.branch()?);
        }
        if self.reversed {
            branches.reverse();
        }
        Ok(branches.join("|"))
    }

    fn branch(&mut self) -> Result<String> {
        let mut text = String::new();
        loop {
            self.skip_comment();
            let Some(character) = self.peek() else { return Ok(text) };
            if matches!(character, '|' | ')') {
                return Ok(text);
            }
            let quantifiable = !matches!(character, '^' | '$');
            let atom = self.atom(character)?;
            text.push_str(&atom);
            self.skip_comment();
            if quantifiable {
                self.quantifier(&mut text)?;
            } else if matches!(self.peek(), Some('*' | '+' | '?')) {
                return Err(invalid("quantifier operand invalid"));
            }
        }
    }

    /// White space and comments of the expanded syntax.
    fn skip_comment(&mut self) {
        while self.flags.expanded {
            match self.peek() {
                Some(character) if character.is_whitespace() => self.at += 1,
                Some('#') => {
                    while self.peek().is_some_and(|character| character != '\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    fn atom(&mut self, character: char) -> Result<String> {
        self.at += 1;
        Ok(match character {
            '(' => return self.group(),
            '[' => return self.class(),
            '\\' => return self.escape(),
            '.' => if self.flags.dot_stops { "[^\\n]" } else { "(?s:.)" }.to_owned(),
            '^' => if self.flags.lines { "(?m:^)" } else { "\\A" }.to_owned(),
            '$' => if self.flags.lines { "(?m:$)" } else { "\\z" }.to_owned(),
            '*' | '+' | '?' => return Err(invalid("quantifier operand invalid")),
            '{' if self.peek().is_some_and(|next| next.is_ascii_digit()) => {
                return Err(invalid("quantifier operand invalid"));
            }
            other => regex::escape(&other.to_string()),
        })
    }

    fn group(&mut self) -> Result<String> {
        let open = if self.starts_with("?:") {
            self.at += 2;
            "(?:".to_owned()
        } else if self.starts_with("?=")
            || self.starts_with("?!")
            || self.starts_with("?<=")
            || self.starts_with("?<!")
        {
            return Err(FunctionError::not_supported(
                "looking around in a regular expression",
                "Match what stands around in groups, or combine several conditions.",
            ));
        } else if self.starts_with("?") {
            return Err(invalid("quantifier operand invalid"));
        } else {
            self.groups += 1;
            format!("(?P<g{}>", self.groups)
        };
        let inner = self.alternatives()?;
        if self.peek() != Some(')') {
            return Err(invalid("parentheses () not balanced"));
        }
        self.at += 1;
        Ok(format!("{open}{inner})"))
    }

    fn quantifier(&mut self, text: &mut String) -> Result<()> {
        let mut fixed = false;
        match self.peek() {
            Some(symbol @ ('*' | '+' | '?')) => {
                self.at += 1;
                text.push(symbol);
            }
            Some('{') if self.characters.get(self.at + 1).is_some_and(char::is_ascii_digit) => {
                let rest = &self.characters[self.at..];
                let end = rest.iter().position(|character| *character == '}');
                let end = end.ok_or_else(|| invalid("braces {} not balanced"))?;
                let bounds: String = rest[1..end].iter().collect();
                let (least, most) = bounds.split_once(',').unwrap_or((&bounds, &bounds));
                let number = |digits: &str| match digits.parse::<u16>() {
                    Ok(number) if number <= 255 => Ok(number),
                    _ => Err(invalid("invalid repetition count(s)")),
                };
                let low = number(least)?;
                if !most.is_empty() && number(most)? < low {
                    return Err(invalid("invalid repetition count(s)"));
                }
                fixed = least == most;
                text.push_str(&format!("{{{bounds}}}"));
                self.at += end + 1;
            }
            _ => return Ok(()),
        }
        let lazy = self.peek() == Some('?');
        if lazy {
            self.at += 1;
            text.push('?');
        }
        if !fixed {
            self.lazy |= lazy;
            self.greedy |= !lazy;
        }
        if matches!(self.peek(), Some('*' | '+' | '?')) {
            return Err(invalid("quantifier operand invalid"));
        }
        Ok(())
    }

    /// A backslash and what follows, outside of brackets.
    fn escape(&mut self) -> Result<String> {
        let Some(character) = self.peek() else {
            return Err(invalid("invalid escape \\ sequence"));
        };
        self.at += 1;
        Ok(match character {
            'd' => "[0-9]".to_owned(),
            'D' => "[^0-9]".to_owned(),
            's' | 'S' | 'w' | 'W' => format!("\\{character}"),
            'm' => "\\b{start}".to_owned(),
            'M' => "\\b{end}".to_owned(),
            'y' => "\\b".to_owned(),
            'Y' => "\\B".to_owned(),
            'A' => "\\A".to_owned(),
            'Z' => "\\z".to_owned(),
            '1'..='9' => {
                return Err(FunctionError::not_supported(
                    "a back reference in a regular expression",
                    "Compare the groups that regexp_match gives.",
                ));
            }
            other => regex::escape(&self.escaped(other)?.to_string()),
        })
    }

    /// The character that an escape stands for.
    fn escaped(&mut self, letter: char) -> Result<char> {
        Ok(match letter {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'B' => '\\',
            'e' => '\u{1b}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '0' => '\0',
            'u' => self.hex(4)?,
            'U' => self.hex(8)?,
            'x' => {
                let rest = self.characters.get(self.at..).unwrap_or_default();
                let digits = rest.iter().take_while(|digit| digit.is_ascii_hexdigit()).count();
                self.hex(digits)?
            }
            other if other.is_ascii_alphanumeric() => {
                return Err(invalid("invalid escape \\ sequence"));
            }
            other => other,
        })
    }

    fn hex(&mut self, digits: usize) -> Result<char> {
        let fault = || invalid("invalid escape \\ sequence");
        let text: String =
            self.characters.get(self.at..self.at + digits).ok_or_else(fault)?.iter().collect();
        self.at += digits;
        u32::from_str_radix(&text, 16).ok().and_then(char::from_u32).ok_or_else(fault)
    }

    /// A bracket expression.
    fn class(&mut self) -> Result<String> {
        let unbalanced = || invalid("brackets [] not balanced");
        let negated = self.peek() == Some('^');
        if negated {
            self.at += 1;
        }
        let mut text = String::from(if negated { "[^" } else { "[" });
        let mut first = true;
        loop {
            let character = self.peek().ok_or_else(unbalanced)?;
            self.at += 1;
            match character {
                ']' if !first => break,
                '[' if matches!(self.peek(), Some(':' | '.' | '=')) => {
                    text.push_str(&self.named_class()?);
                }
                '\\' => {
                    let letter = self.peek().ok_or_else(unbalanced)?;
                    self.at += 1;
                    match letter {
                        'd' => text.push_str("0-9"),
                        's' | 'w' => text.extend(['\\', letter]),
                        'D' | 'S' | 'W' => return Err(invalid("invalid escape \\ sequence")),
                        other => {
                            let literal = self.escaped(other)?;
                            text.push_str(&in_class(literal));
                        }
                    }
                }
                '-' if !first && self.peek() != Some(']') => text.push('-'),
                other => text.push_str(&in_class(other)),
            }
            first = false;
        }
        if negated && self.flags.dot_stops {
            text.push_str("\\n");
        }
        text.push(']');
        Ok(text)
    }

    /// `[:alpha:]`, of all of Unicode.
    fn named_class(&mut self) -> Result<String> {
        let rest: String = self.characters.get(self.at..).unwrap_or_default().iter().collect();
        let name = rest
            .strip_prefix(':')
            .and_then(|rest| rest.split_once(":]"))
            .map(|(name, _)| name)
            .ok_or_else(|| {
                FunctionError::not_supported(
                    "a collating element in a regular expression",
                    "List the characters themselves.",
                )
            })?;
        let class = match name {
            "alpha" => "\\p{Alphabetic}",
            "alnum" => "\\p{Alphabetic}\\p{N}",
            "upper" => "\\p{Uppercase}",
            "lower" => "\\p{Lowercase}",
            "digit" => "0-9",
            "xdigit" => "0-9A-Fa-f",
            "space" => "\\s",
            "blank" => " \\t",
            "punct" => "\\p{P}\\p{S}",
            "cntrl" => "\\p{Cc}",
            "graph" => "\\p{L}\\p{M}\\p{N}\\p{P}\\p{S}",
            "print" => "\\p{L}\\p{M}\\p{N}\\p{P}\\p{S} ",
            "word" => "\\w",
            _ => return Err(invalid("invalid character class")),
        };
        self.at += name.chars().count() + 3;
        Ok(class.to_owned())
    }
}

/// A character in a class of Rust's.
fn in_class(character: char) -> String {
    match character {
        '[' | ']' | '\\' | '^' | '-' | '&' | '~' => format!("\\{character}"),
        other => other.to_string(),
    }
}

/// A pattern, ready to be run.
struct Compiled {
    regex: Regex,
    /// With its alternatives the other way round.
    reversed: Option<Regex>,
    groups: Vec<String>,
    /// Whether what it matches may not be what Postgres would.
    mixed: bool,
}

/// The places of a match and of its groups.
struct Match {
    start: usize,
    end: usize,
    groups: Vec<Option<(usize, usize)>>,
}

impl Compiled {
    fn new(pattern: &str, flags: Flags) -> Result<Self> {
        let translated = translate(pattern, flags, false)?;
        let build = |text: &str| {
            RegexBuilder::new(text).build().map_err(|error| {
                tracing::debug!(%error, "a regular expression that Rust's engine refuses");
                match error {
                    regex::Error::CompiledTooBig(_) => invalid("regular expression is too complex"),
                    _ => invalid("it can't be read"),
                }
            })
        };
        let reversed = match translated.has_alternatives {
            true => Some(build(&translate(pattern, flags, true)?.text)?),
            false => None,
        };
        Ok(Self {
            regex: build(&translated.text)?,
            reversed,
            groups: (1..=translated.groups).map(|number| format!("g{number}")).collect(),
            mixed: translated.lazy && (translated.greedy || translated.has_alternatives),
        })
    }

    /// # Errors
    /// 0A000 where Rust and Postgres may find different ends.
    fn for_matches(self: &Rc<Self>) -> Result<Rc<Self>> {
        match self.mixed {
            true => Err(FunctionError::not_supported(
                "a regular expression with greedy and non-greedy parts",
                "Make all quantifiers greedy or all non-greedy, or write classes such as [^,]* instead.",
            )),
            false => Ok(Rc::clone(self)),
        }
    }

    fn at(&self, text: &str, start: usize) -> Option<Match> {
        let find = |regex: &Regex| {
            let captures = regex.captures_at(text, start)?;
            let whole = captures.get(0)?;
            let groups = self.groups.iter();
            let groups = groups.map(|name| captures.name(name).map(|it| (it.start(), it.end())));
            Some(Match { start: whole.start(), end: whole.end(), groups: groups.collect() })
        };
        let found = find(&self.regex)?;
        match self.reversed.as_ref().and_then(find) {
            Some(other) if other.start == found.start && other.end > found.end => Some(other),
            _ => Some(found),
        }
    }

    /// Every match from `start` on, none overlapping.
    fn all(&self, text: &str, start: usize) -> Vec<Match> {
        let mut matches = Vec::new();
        let mut next = start;
        while next <= text.len() {
            let Some(found) = self.at(text, next) else { break };
            next = match found.end > found.start {
                true => found.end,
                false => match text[found.end..].chars().next() {
                    Some(character) => found.end + character.len_utf8(),
                    None => text.len() + 1,
                },
            };
            matches.push(found);
        }
        matches
    }
}

/// Patterns that a thread keeps compiled: more than one statement has.
const KEPT_MAX: usize = 64;

thread_local! {
    static KEPT: RefCell<HashMap<(String, Flags), Rc<Compiled>>> = RefCell::default();
}

fn compiled(pattern: &str, flags: Flags) -> Result<Rc<Compiled>> {
    let key = (pattern.to_owned(), flags);
    if let Some(kept) = KEPT.with_borrow(|kept| kept.get(&key).map(Rc::clone)) {
        return Ok(kept);
    }
    let compiled = Rc::new(Compiled::new(pattern, flags)?);
    KEPT.with_borrow_mut(|kept| {
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(key, Rc::clone(&compiled));
    });
    Ok(compiled)
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

// ---- functions

fn like(args: &[Value<'_>]) -> Outcome {
    let flags = flags_at(args, 2)?;
    no_global(flags, "regexp_like", None)?;
    let found = compiled(args[1].str(), flags)?.regex.is_match(args[0].str());
    Ok(Value::Bool(found))
}

/// `text SIMILAR TO pattern`.
fn similar(args: &[Value<'_>]) -> Outcome {
    let pattern = similar_pattern(args[1].str(), Some('\\'))?;
    Ok(Value::Bool(compiled(&pattern, Flags::default())?.regex.is_match(args[0].str())))
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
    let flags = Flags { global: false, ..flags };
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
    let pattern = compiled(args[1].str(), Flags { global: false, ..flags })?.for_matches()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, pattern: &str) -> Option<String> {
        let pattern = compiled(pattern, Flags::default()).unwrap();
        pattern.at(text, 0).map(|found| text[found.start..found.end].to_owned())
    }

    #[test]
    fn patterns_are_read_as_postgres_reads_them() {
        assert_eq!(found("a\nb", "a.b").as_deref(), Some("a\nb"));
        assert_eq!(found("foo bar", r"\mbar\M").as_deref(), Some("bar"));
        assert_eq!(found("foobar", "foo|foobar").as_deref(), Some("foobar"));
        assert_eq!(found("äöü", "[[:alpha:]]+").as_deref(), Some("äöü"));
        assert_eq!(found("a]b", "[]]").as_deref(), Some("]"));
        assert!(compiled(r"(a)\1", Flags::default()).is_err());
        assert!(compiled("a(?=b)", Flags::default()).is_err());
        assert!(compiled("(", Flags::default()).is_err());
    }
}
