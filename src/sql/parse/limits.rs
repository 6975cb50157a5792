//! Bounds on a statement's width and depth, checked on its tokens.
//!
//! Trees are as deep as their text nests, and as its chains of operators are long: `1+1+1` is a
//! tree of depth three. Planning walks them by recursion, and a stack that overflows takes the
//! whole process along, so depth is bounded before any tree exists.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::sql::SqlError;

/// More tokens than any tool writes: an IN list of 100,000 numbers has 200,000.
pub(super) const TOKENS_MAX: usize = 500_000;

/// Parentheses, sub-queries and CASE within each other.
pub(super) const NESTING_MAX: usize = 100;

/// Calls of sqlparser's within each other: a sub-query takes up to three.
pub(super) const PARSER_DEPTH_MAX: usize = 4 * NESTING_MAX;

/// Operators that follow each other without a comma, and set operations of one query.
pub(super) const CHAIN_MAX: usize = 1_000;

/// # Errors
/// [`SqlError::TooComplex`] beyond one of the bounds.
pub(super) fn check(tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    if tokens.len() > TOKENS_MAX {
        return Err(too_complex(&format!("A text may have {TOKENS_MAX} tokens.")));
    }
    let mut depth = Depth::default();
    for token in tokens {
        depth.take(&token.token);
        if depth.levels.len() > NESTING_MAX {
            return Err(nested_too_deep());
        }
        if depth.total() > CHAIN_MAX {
            return Err(too_complex(&format!("{CHAIN_MAX} operators may follow each other.")));
        }
    }
    Ok(())
}

pub(super) fn nested_too_deep() -> SqlError {
    too_complex(&format!("A statement may nest {NESTING_MAX} levels."))
}

fn too_complex(limit: &str) -> SqlError {
    SqlError::TooComplex { limit: limit.to_owned() }
}

/// Operators since the last separator, for each open parenthesis or CASE, and those of them
/// together.
#[derive(Default)]
struct Depth {
    levels: Vec<Level>,
    outer: usize,
    here: usize,
    set_operations: usize,
}

/// An open parenthesis or CASE, and the operators before it.
struct Level {
    is_case: bool,
    before: usize,
}

impl Depth {
    fn total(&self) -> usize {
        self.outer.saturating_add(self.here).max(self.set_operations)
    }

    fn open(&mut self, is_case: bool) {
        self.levels.push(Level { is_case, before: self.here });
        self.outer += self.here;
        self.here = 0;
    }

    fn close(&mut self, is_case: bool) {
        if let Some(level) = self.levels.pop_if(|level| level.is_case == is_case) {
            self.outer -= level.before;
            // A chain of subscripts or calls is a chain too.
            self.here = level.before + 1;
        }
    }

    fn take(&mut self, token: &Token) {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => self.open(false),
            Token::RParen | Token::RBracket | Token::RBrace => self.close(false),
            Token::Comma => self.here = 0,
            Token::SemiColon => *self = Self::default(),
            Token::Word(word) if word.quote_style.is_none() => self.word(&word.value),
            Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::Whitespace(_)
            | Token::Placeholder(_)
            | Token::Word(_)
            | Token::EOF => {}
            _ => self.here += 1,
        }
    }

    fn word(&mut self, word: &str) {
        const OPERATORS: [&str; 10] =
            ["AND", "OR", "NOT", "IS", "LIKE", "ILIKE", "IN", "BETWEEN", "JOIN", "COLLATE"];
        const CLAUSES: [&str; 7] = ["SELECT", "FROM", "WHERE", "HAVING", "WHEN", "THEN", "LIMIT"];
        let is = |other: &&str| word.eq_ignore_ascii_case(other);
        if OPERATORS.iter().any(|operator| is(operator)) {
            self.here += 1;
        } else if ["UNION", "EXCEPT", "INTERSECT"].iter().any(|operator| is(operator)) {
            self.set_operations += 1;
            self.here = 0;
        } else if CLAUSES.iter().any(|clause| is(clause)) {
            self.here = 0;
        } else if is(&"CASE") {
            self.open(true);
        } else if is(&"END") {
            self.close(true);
        }
    }
}
