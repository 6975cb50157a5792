//! Patterns in Postgres's notation, written anew in Rust's.
//!
//! Source: PostgreSQL 15 manual, 9.7.3 "POSIX Regular Expressions"; `src/backend/regex/regc_lex.c`.

use super::super::error::FunctionError;
use super::Result;

/// How a pattern is read: the letters of a function's flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Flags {
    insensitive: bool,
    literal: bool,
    expanded: bool,
    /// The dot and `[^…]` match no newline.
    dot_stops: bool,
    /// `^` and `$` match at lines.
    lines: bool,
    pub(super) global: bool,
}

impl Flags {
    /// Of one match rather than of all.
    pub(super) fn of_one(self) -> Self {
        Self { global: false, ..self }
    }

    pub(super) fn parse(letters: &str) -> Result<Self> {
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

pub(super) fn invalid(reason: &str) -> FunctionError {
    FunctionError::new("2201B", format!("invalid regular expression: {reason}"))
}

/// A pattern in Rust's notation.
pub(super) struct Translated {
    pub(super) text: String,
    pub(super) groups: usize,
    pub(super) has_alternatives: bool,
    pub(super) greedy: bool,
    pub(super) lazy: bool,
}

/// Reads a pattern by Postgres's rules. Groups are named `g1`, `g2`, … in their order, which stays
/// theirs where alternatives are `reversed`.
pub(super) fn translate(pattern: &str, flags: Flags, reversed: bool) -> Result<Translated> {
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
