//! DECLARE, FETCH, MOVE and CLOSE, read from their tokens.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::commands::{Commands, Parsed};
use super::{Source, Statement, keyword};

/// Which rows FETCH and MOVE ask for.
///
/// Source: PostgreSQL manual, FETCH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Forward(Rows),
    Backward(Rows),
    /// The row of this number, counted from the end where it is negative.
    Absolute(i64),
    Relative(i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    Count(u64),
    All,
}

/// What DECLARE says of a cursor beside its query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CursorOptions {
    pub binary: bool,
    /// It may be read backwards.
    pub scroll: bool,
    /// It outlives its transaction.
    pub hold: bool,
}

impl Direction {
    /// Negative counts go the other way.
    fn forward(count: i64) -> Self {
        match u64::try_from(count) {
            Ok(count) => Self::Forward(Rows::Count(count)),
            Err(_) => Self::Backward(Rows::Count(count.unsigned_abs())),
        }
    }

    /// `BACKWARD 0` is the present row, as `FORWARD 0` is.
    fn backward(count: i64) -> Self {
        Self::forward(count.saturating_neg())
    }
}

impl Commands<'_> {
    /// `DECLARE name [BINARY] [INSENSITIVE | ASENSITIVE] [[NO] SCROLL] CURSOR [WITH HOLD] FOR query`
    pub(super) fn declare(mut self) -> Parsed<Statement> {
        let name = self.name()?;
        let mut options = CursorOptions::default();
        while !self.accept("CURSOR") {
            if self.accept("BINARY") {
                options.binary = true;
            } else if self.accept("SCROLL") {
                options.scroll = true;
            } else if self.accept("NO") {
                self.expect("SCROLL")?;
            } else if !self.accept("INSENSITIVE") && !self.accept("ASENSITIVE") {
                return Err(self.unexpected());
            }
        }
        if self.accept("WITH") {
            self.expect("HOLD")?;
            options.hold = true;
        } else if self.accept("WITHOUT") {
            self.expect("HOLD")?;
        }
        self.expect("FOR")?;
        Ok(match self.rest_as_query()? {
            Statement::Query(query) => Statement::Declare { name, options, query },
            refused => refused,
        })
    }

    /// The query that the rest of the statement is, or its refusal.
    pub(super) fn rest_as_query(&self) -> Parsed<Statement> {
        let Some(first) = self.here() else { return Err(self.unexpected()) };
        let is_query = first.token == Token::LParen
            || matches!(keyword(&first.token).as_str(), "SELECT" | "WITH" | "VALUES" | "TABLE");
        if !is_query {
            return Err(self.unexpected());
        }
        let starts = self.source.tokens.iter().position(|token| token.span == first.span);
        let tokens = self.source.tokens.get(starts.unwrap_or_default()..).unwrap_or_default();
        Source::of(self.source.text, tokens).select()
    }

    /// What follows FETCH and MOVE: `[direction] [FROM | IN] cursor`.
    pub(super) fn fetch(&mut self) -> Parsed<(String, Direction)> {
        // One word alone is a cursor, whatever it is.
        let direction = match self.is_last() {
            true => Direction::forward(1),
            false => self.direction()?,
        };
        if !self.accept("FROM") {
            self.accept("IN");
        }
        Ok((self.name()?, direction))
    }

    fn direction(&mut self) -> Parsed<Direction> {
        const ONE: Rows = Rows::Count(1);
        for (word, direction) in [
            ("NEXT", Direction::Forward(ONE)),
            ("PRIOR", Direction::Backward(ONE)),
            ("FIRST", Direction::Absolute(1)),
            ("LAST", Direction::Absolute(-1)),
            ("ALL", Direction::Forward(Rows::All)),
        ] {
            if self.accept(word) {
                return Ok(direction);
            }
        }
        if self.accept("ABSOLUTE") {
            return self.signed().map(Direction::Absolute);
        }
        if self.accept("RELATIVE") {
            return self.signed().map(Direction::Relative);
        }
        if self.accept("FORWARD") {
            return self.counted(Direction::forward, Direction::Forward(Rows::All));
        }
        if self.accept("BACKWARD") {
            return self.counted(Direction::backward, Direction::Backward(Rows::All));
        }
        match self.at_number() {
            true => self.signed().map(Direction::forward),
            false => Ok(Direction::Forward(ONE)),
        }
    }

    /// What follows FORWARD and BACKWARD; nothing means one row.
    fn counted(&mut self, of: fn(i64) -> Direction, all: Direction) -> Parsed<Direction> {
        if self.accept("ALL") {
            return Ok(all);
        }
        if self.at_number() { self.signed().map(of) } else { Ok(of(1)) }
    }

    fn at_number(&self) -> bool {
        matches!(self.token(), Some(Token::Number(..) | Token::Minus | Token::Plus))
    }

    fn signed(&mut self) -> Parsed<i64> {
        let negative = self.accept_token(&Token::Minus);
        if !negative {
            self.accept_token(&Token::Plus);
        }
        let count = match self.token() {
            // As in Postgres, whose counts have 32 bits.
            Some(Token::Number(digits, _)) => digits.parse::<i32>().ok(),
            _ => None,
        };
        let count = count.ok_or_else(|| self.unexpected())?;
        self.next += 1;
        Ok(i64::from(if negative { -count } else { count }))
    }
}
