//! Where in a statement the operator stands that an error speaks of.
//!
//! Types are found when the statement is a plan, which doesn't know where its operators are written. So
//! the statement's tree is searched for one of this name: around a column of which the error knows the
//! place, or the only one whose operands can be of the types that it names.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Spanned, UnaryOperator, Value, Visit, visit_expressions,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::position_of;

const MISSING: &str = "operator does not exist: ";

/// An operator that isn't there for the types of its operands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misplaced {
    /// In characters from 1.
    pub position: usize,
    /// With the types of literals as Postgres names them.
    pub message: String,
}

/// The place of the operator that a message of 42883 names; `near` is where an operand of it stands.
pub fn placed(
    text: &str,
    statement: &impl Visit,
    message: &str,
    near: Option<Location>,
) -> Option<Misplaced> {
    let missing = Missing::of(message)?;
    let mut uses: Vec<Use> = Vec::new();
    let _ = visit_expressions(statement, |expr: &Expr| {
        uses.extend(Use::of(expr).filter(|it| it.words.contains(&missing.operator)));
        ControlFlow::<()>::Continue(())
    });
    let around = |it: &Use, near: Location| it.start <= near && near <= it.end;
    match near {
        // The innermost comes last.
        Some(near) => {
            uses.retain(|it| around(it, near));
            uses.drain(..uses.len().saturating_sub(1));
        }
        None => uses.retain(|it| missing.may_be(it)),
    }
    let [found] = uses.as_slice() else { return None };
    let at = found.place(text)?;
    let named =
        |kind: Option<Kind>, name: &str| kind.map_or(name, |kind| kind.name_of(name)).to_owned();
    let right = named(found.right, &missing.right);
    let message = match &missing.left {
        Some(left) => {
            let left = named(found.left, left);
            format!("{MISSING}{left} {} {right}", missing.operator)
        }
        None => format!("{MISSING}{} {right}", missing.operator),
    };
    Some(Misplaced { position: position_of(text, at)?, message })
}

/// What a message names.
struct Missing {
    left: Option<String>,
    operator: String,
    right: String,
}

impl Missing {
    fn of(message: &str) -> Option<Self> {
        let words: Vec<&str> = message.strip_prefix(MISSING)?.split(' ').collect();
        let is_operator = |word: &&str| word.chars().all(|c| "+-*/<>=~!@#%^&|`?".contains(c));
        let at = words.iter().position(is_operator)?;
        let left = words[..at].join(" ");
        Some(Self {
            left: (!left.is_empty()).then_some(left),
            operator: words[at].to_owned(),
            right: words[at + 1..].join(" "),
        })
    }

    fn may_be(&self, found: &Use) -> bool {
        let fits = |kind: Option<Kind>, name: &str| kind.is_none_or(|kind| kind.may_be(name));
        let left = match &self.left {
            Some(left) => fits(found.left, left),
            None => found.left.is_none(),
        };
        left && fits(found.right, &self.right)
    }
}

/// What an operand is by its looks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Integer,
    Bigint,
    Numeric,
    Quoted,
    Boolean,
}

impl Kind {
    fn of(expr: &Expr) -> Option<Self> {
        match expr {
            Expr::Nested(inner) => Self::of(inner),
            Expr::Value(value) => match &value.value {
                Value::Number(digits, _) if digits.parse::<i32>().is_ok() => Some(Self::Integer),
                Value::Number(digits, _) if digits.parse::<i64>().is_ok() => Some(Self::Bigint),
                Value::Number(..) => Some(Self::Numeric),
                Value::SingleQuotedString(_) => Some(Self::Quoted),
                Value::Boolean(_) => Some(Self::Boolean),
                _ => None,
            },
            _ => None,
        }
    }

    fn may_be(self, name: &str) -> bool {
        match self {
            Self::Integer => matches!(name, "integer" | "bigint"),
            Self::Bigint => name == "bigint",
            Self::Numeric => name == "numeric",
            Self::Quoted => matches!(name, "text" | "unknown"),
            Self::Boolean => name == "boolean",
        }
    }

    /// The planner takes every whole number for a bigint, and every quoted text for a text.
    fn name_of(self, name: &str) -> &str {
        match self {
            Self::Integer if name == "bigint" => "integer",
            Self::Quoted if name == "text" => "unknown",
            _ => name,
        }
    }
}

/// An operator in the statement.
struct Use {
    /// The names under which Postgres looks it up.
    words: Vec<String>,
    /// As it is written.
    written: Vec<String>,
    start: Location,
    end: Location,
    /// Where the operand before it ends.
    after: Location,
    left: Option<Kind>,
    right: Option<Kind>,
}

impl Use {
    fn of(expr: &Expr) -> Option<Self> {
        let between = |left: &Expr, right: Option<&Expr>, words: &[&str], written: &[&str]| {
            let (start, after) = (left.span().start, left.span().end);
            let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
            Some(Self {
                words: own(words),
                written: own(written),
                start,
                end: expr.span().end,
                after,
                left: Kind::of(left),
                right: right.and_then(Kind::of),
            })
        };
        match expr {
            Expr::BinaryOp { left, op, right } => {
                let op = op.to_string();
                let written: &[&str] = if op == "<>" { &["<>", "!="] } else { &[&op] };
                between(left, Some(right), &[&op], written)
            }
            Expr::AnyOp { left, compare_op, .. } | Expr::AllOp { left, compare_op, .. } => {
                let op = compare_op.to_string();
                between(left, None, &[&op], &[&op])
            }
            Expr::Between { expr, .. } => between(expr, None, &[">=", "<="], &["BETWEEN", "NOT"]),
            Expr::InList { expr, negated, .. } => {
                between(expr, None, &[if *negated { "<>" } else { "=" }], &["IN", "NOT"])
            }
            Expr::InSubquery { expr, .. } => between(expr, None, &["="], &["IN", "NOT"]),
            Expr::Like { expr, pattern, negated, .. } => {
                let word = if *negated { "!~~" } else { "~~" };
                between(expr, Some(pattern), &[word, "~~"], &["LIKE", "NOT"])
            }
            Expr::ILike { expr, pattern, negated, .. } => {
                let word = if *negated { "!~~*" } else { "~~*" };
                between(expr, Some(pattern), &[word, "~~*"], &["ILIKE", "NOT"])
            }
            Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => {
                between(left, Some(right), &["="], &["IS"])
            }
            Expr::UnaryOp {
                op: op @ (UnaryOperator::Minus | UnaryOperator::Plus),
                expr: inner,
            } => {
                let op = op.to_string();
                let span = inner.span();
                Some(Self {
                    words: vec![op.clone()],
                    written: vec![op],
                    start: Location { column: span.start.column.saturating_sub(1), ..span.start },
                    end: span.end,
                    after: Location { line: 0, column: 0 },
                    left: None,
                    right: Kind::of(inner),
                })
            }
            _ => None,
        }
    }

    /// Where it is written: the first token of its words behind the operand before it; of one that
    /// stands in front of its operand the last before that.
    fn place(&self, text: &str) -> Option<Location> {
        let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location().ok()?;
        let is_it = |token: &&TokenWithSpan| {
            let word = match &token.token {
                Token::Word(word) => word.value.to_uppercase(),
                other => other.to_string(),
            };
            self.written.contains(&word)
        };
        let place = |token: &TokenWithSpan| token.span.start;
        if self.after.line == 0 {
            let before = |token: &&TokenWithSpan| token.span.start <= self.start;
            return tokens.iter().take_while(before).filter(is_it).last().map(place);
        }
        let behind = |token: &&TokenWithSpan| token.span.start >= self.after;
        tokens.iter().filter(behind).find(is_it).map(place)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn at(sql: &str, message: &str, near: Option<u64>) -> Option<(usize, String)> {
        let statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap();
        let near = near.map(|column| Location { line: 1, column });
        let message = format!("{MISSING}{message}");
        let found = placed(sql, &statements[0], &message, near)?;
        Some((found.position, found.message.strip_prefix(MISSING).unwrap().to_owned()))
    }

    #[test]
    fn the_operator_is_found_by_what_stands_beside_it() {
        let found = at("SELECT a, (b || 'x') < 1 FROM t WHERE c < 'x'", "text < bigint", None);
        assert_eq!(found, Some((22, "text < integer".to_owned())));
        let two = "SELECT 1 FROM t WHERE a < 5 AND b  /* < */ < 5";
        assert_eq!(at(two, "text < bigint", None), None);
        assert_eq!(at(two, "text < bigint", Some(33)), Some((44, "text < integer".to_owned())));
        let found = at("SELECT 1 FROM t WHERE b NOT IN (1, 2)", "text <> bigint", None);
        assert_eq!(found, Some((25, "text <> bigint".to_owned())));
        assert_eq!(at("SELECT 1 - -(b)", "- text", None), Some((12, "- text".to_owned())));
        assert_eq!(
            at("SELECT a != 1", "text <> bigint", None),
            Some((10, "text <> integer".to_owned()))
        );
        assert_eq!(at("SELECT 1 + 1", "text < bigint", None), None);
    }
}
