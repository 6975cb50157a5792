//! Bounds on a statement's width and depth, checked on its tokens.
//!
//! Trees are as deep as their text nests, and as its chains of operators are long: `1+1+1` is a
//! tree of depth three. Planning walks them by recursion, and a stack that overflows takes the
//! whole process along, so depth is bounded before any tree exists.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::sql::SqlError;

/// The longest statement text, in bytes.
const TEXT_BYTES_MAX: usize = 16 << 20;

/// More tokens than any tool writes: an IN list of 100,000 numbers has 200,000. A token takes about
/// a hundred bytes, so this bounds memory as well.
const TOKENS_MAX: usize = 250_000;

/// Parentheses, sub-queries and CASE within each other.
pub(super) const NESTING_MAX: usize = 100;

/// Calls of sqlparser's within each other: a sub-query takes up to three.
pub(super) const PARSER_DEPTH_MAX: usize = 4 * NESTING_MAX;

/// Operators that follow each other without a comma. DataFusion's planning of a chain of these
/// needs about 8 KiB of stack for each in an unoptimised build.
const CHAIN_MAX: usize = 500;

/// Operators in front of one operand: `NOT NOT NOT a`.
const PREFIX_MAX: usize = 20;

/// UNION, EXCEPT and INTERSECT of one text; DataFusion's planning time grows with their square.
const SET_OPERATIONS_MAX: usize = 200;

/// JOINs of one text; planning time grows with their cube.
const JOINS_MAX: usize = 60;

/// Bounds a text before it is cut into tokens, by an estimate of their number that is seldom
/// too low: words, numbers, blanks and quoted strings count as one.
///
/// # Errors
/// [`SqlError::TooComplex`] beyond a bound.
pub(super) fn check_text(text: &str) -> Result<(), SqlError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(too_complex(&format!("A statement may have {TEXT_BYTES_MAX} bytes.")));
    }
    // A text of so few bytes can't have more tokens.
    if text.len() > TOKENS_MAX && estimated_tokens(text.as_bytes()) > TOKENS_MAX {
        return Err(too_many_tokens());
    }
    Ok(())
}

fn estimated_tokens(text: &[u8]) -> usize {
    let class = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | 0x80.. => 1,
        b' ' | b'\t' | b'\n' | b'\r' => 2,
        _ => 0,
    };
    let (mut tokens, mut before) = (0_usize, 0);
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let here = class(byte);
        if here == 0 || here != before {
            tokens += 1;
        }
        before = here;
        if matches!(byte, b'\'' | b'"') {
            let end = rest.iter().position(|inner| inner == byte).unwrap_or(rest.len());
            rest = rest.get(end + 1..).unwrap_or_default();
        }
    }
    tokens
}

fn too_many_tokens() -> SqlError {
    too_complex(&format!("A text may have {TOKENS_MAX} tokens."))
}

/// # Errors
/// [`SqlError::TooComplex`] beyond one of the bounds.
pub(super) fn check(tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    if tokens.len() > TOKENS_MAX {
        return Err(too_many_tokens());
    }
    let mut depth = Depth::default();
    for token in tokens {
        depth.take(&token.token);
        if depth.levels.len() > NESTING_MAX {
            return Err(nested_too_deep());
        }
        if depth.total() > CHAIN_MAX || depth.prefix > PREFIX_MAX {
            return Err(too_complex(&format!("{CHAIN_MAX} operators may follow each other.")));
        }
        if depth.set_operations > SET_OPERATIONS_MAX {
            let limit = format!("A text may have {SET_OPERATIONS_MAX} set operations.");
            return Err(too_complex(&limit));
        }
        if depth.joins > JOINS_MAX {
            return Err(too_complex(&format!("A text may have {JOINS_MAX} joins.")));
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

/// How deep the tree of what was read so far can be: operators since the last separator, for
/// each open parenthesis or CASE, and those of them together.
#[derive(Default)]
struct Depth {
    levels: Vec<Level>,
    /// Around the innermost level.
    outer: usize,
    /// AND, OR and JOIN of the innermost level, which hold everything between them.
    logic: usize,
    /// Other operators since the last of those.
    here: usize,
    /// Operators since the last operand.
    prefix: usize,
    set_operations: usize,
    joins: usize,
}

/// An open parenthesis or CASE, and the operators before it.
struct Level {
    is_case: bool,
    logic: usize,
    here: usize,
}

impl Depth {
    fn total(&self) -> usize {
        self.outer + self.logic + self.here
    }

    fn restart(&mut self) {
        (self.logic, self.here, self.prefix) = (0, 0, 0);
    }

    fn open(&mut self, is_case: bool) {
        self.levels.push(Level { is_case, logic: self.logic, here: self.here });
        self.outer += self.logic + self.here;
        self.restart();
    }

    fn close(&mut self, is_case: bool) {
        if let Some(level) = self.levels.pop_if(|level| level.is_case == is_case) {
            self.outer -= level.logic + level.here;
            // A chain of subscripts or calls is a chain too.
            (self.logic, self.here, self.prefix) = (level.logic, level.here + 1, 0);
        }
    }

    fn take(&mut self, token: &Token) {
        match token {
            // Names in parts are flat.
            Token::Whitespace(_) | Token::EOF | Token::Period => {}
            Token::LParen | Token::LBracket | Token::LBrace => self.open(false),
            Token::RParen | Token::RBracket | Token::RBrace => self.close(false),
            Token::Comma => self.restart(),
            Token::SemiColon => *self = Self::default(),
            Token::Word(word) if word.quote_style.is_none() => self.word(&word.value),
            Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::Placeholder(_)
            | Token::Word(_) => self.prefix = 0,
            _ => self.operator(),
        }
    }

    fn operator(&mut self) {
        self.here += 1;
        self.prefix += 1;
    }

    fn word(&mut self, word: &str) {
        const LOGIC: [&str; 3] = ["AND", "OR", "JOIN"];
        const OPERATORS: [&str; 7] = ["NOT", "IS", "LIKE", "ILIKE", "IN", "BETWEEN", "COLLATE"];
        const SET_OPERATIONS: [&str; 3] = ["UNION", "EXCEPT", "INTERSECT"];
        const CLAUSES: [&str; 7] = ["SELECT", "FROM", "WHERE", "HAVING", "WHEN", "THEN", "LIMIT"];
        let is_one_of = |words: &[&str]| words.iter().any(|other| word.eq_ignore_ascii_case(other));
        if is_one_of(&OPERATORS) {
            return self.operator();
        }
        self.prefix = 0;
        self.joins += usize::from(is_one_of(&["JOIN"]));
        if is_one_of(&LOGIC) {
            (self.logic, self.here) = (self.logic + 1, 0);
        } else if is_one_of(&SET_OPERATIONS) {
            self.set_operations += 1;
            self.restart();
        } else if is_one_of(&CLAUSES) {
            self.restart();
        } else if is_one_of(&["CASE"]) {
            self.open(true);
        } else if is_one_of(&["END"]) {
            self.close(true);
        }
    }
}
