//! Patterns as Rust's engine runs them, and what they match by Postgres's rules.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use regex::{Regex, RegexBuilder};

use super::super::error::FunctionError;
use super::Result;
use super::notation::{Flags, invalid, translate};

/// A pattern, ready to be run.
pub(super) struct Compiled {
    regex: Regex,
    /// With its alternatives the other way round.
    reversed: Option<Regex>,
    groups: Vec<String>,
    /// Whether what it matches may not be what Postgres would.
    mixed: bool,
}

/// The places of a match and of its groups.
pub(super) struct Match {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) groups: Vec<Option<(usize, usize)>>,
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

    /// Whether it matches anywhere in a text.
    pub(super) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// # Errors
    /// 0A000 where Rust and Postgres may find different ends.
    pub(super) fn for_matches(self: &Rc<Self>) -> Result<Rc<Self>> {
        match self.mixed {
            true => Err(FunctionError::not_supported(
                "a regular expression with greedy and non-greedy parts",
                "Make all quantifiers greedy or all non-greedy, or write classes such as [^,]* instead.",
            )),
            false => Ok(Rc::clone(self)),
        }
    }

    pub(super) fn at(&self, text: &str, start: usize) -> Option<Match> {
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
    pub(super) fn all(&self, text: &str, start: usize) -> Vec<Match> {
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

/// A pattern, compiled once by each thread that runs it.
pub(super) fn compiled(pattern: &str, flags: Flags) -> Result<Rc<Compiled>> {
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
