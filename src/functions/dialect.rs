//! How sqlparser reads Postgres's SQL, in time that grows with the text and not with 2^depth.
//!
//! sqlparser reads on trial: where what it tries first fails, it reads the same tokens again as
//! something else. Each argument of a function is first read as the name of one, as in
//! `json_object('a': 1)`, so that calls within calls take 2^depth; and a mistake deep inside of
//! `CAST(CAST(…` does. Ours has no such names, and counts the beginnings of expressions: more than
//! a text of this length has are more than it was worth reading.

use std::any::TypeId;
use std::cell::Cell;

use datafusion::sql::sqlparser::ast::{Expr, UnaryOperator};
use datafusion::sql::sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

/// How often sqlparser may begin to read an expression, for each token of the text: what is right
/// is begun once or twice.
const STARTS_PER_TOKEN: usize = 30;

/// For texts so short that their tries say nothing of their depth.
const STARTS_MIN: usize = 10_000;

/// sqlparser's [`PostgreSqlDialect`] for one text. What it refuses for its depth and what takes too
/// many tries are both [`ParserError::RecursionLimitExceeded`].
#[derive(Debug)]
pub(crate) struct Postgres {
    starts_left: Cell<usize>,
}

impl Postgres {
    /// For a text of so many tokens.
    pub(crate) fn for_tokens(tokens: usize) -> Self {
        let starts = tokens.saturating_mul(STARTS_PER_TOKEN).max(STARTS_MIN);
        Self { starts_left: Cell::new(starts) }
    }
}

/// Whether a keyword of sqlparser's is a name like any other in Postgres.
///
/// Source: PostgreSQL manual, "SQL Key Words": non-reserved there, or none.
fn is_plain(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::ANTI
            | Keyword::ASOF
            | Keyword::CLUSTER
            | Keyword::CONNECT
            | Keyword::DISTRIBUTE
            | Keyword::EXCLUDE
            | Keyword::EXPLAIN
            | Keyword::FORMAT
            | Keyword::GLOBAL
            | Keyword::MATCH_CONDITION
            | Keyword::MATCH_RECOGNIZE
            | Keyword::MINUS
            | Keyword::OPEN
            | Keyword::OUTPUT
            | Keyword::PARTITION
            | Keyword::PIVOT
            | Keyword::PREWHERE
            | Keyword::QUALIFY
            | Keyword::SAMPLE
            | Keyword::SEMI
            | Keyword::SETTINGS
            | Keyword::SORT
            | Keyword::START
            | Keyword::TOP
            | Keyword::UNPIVOT
            | Keyword::VIEW
    )
}

/// Whether `x ISNULL` goes on here, which sqlparser doesn't know.
fn is_isnull(parser: &Parser) -> bool {
    matches!(&parser.peek_token_ref().token, Token::Word(word)
        if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("isnull"))
}

fn is_word(token: &Token, keyword: Keyword) -> bool {
    matches!(token, Token::Word(word) if word.keyword == keyword)
}

/// What sqlparser's own dialect says.
macro_rules! as_postgres {
    ($($method:ident),+ $(,)?) => {
        $(fn $method(&self) -> bool { PostgreSqlDialect {}.$method() })+
    };
}

impl Dialect for Postgres {
    /// The parser asks which dialect it reads.
    fn dialect(&self) -> TypeId {
        TypeId::of::<PostgreSqlDialect>()
    }

    /// sqlparser takes `NOT EXISTS (…)` for one word, as if NOT bound closer than what follows.
    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let Some(left) = self.starts_left.get().checked_sub(1) else {
            return Some(Err(ParserError::RecursionLimitExceeded));
        };
        self.starts_left.set(left);
        if !is_word(&parser.peek_nth_token_ref(1).token, Keyword::EXISTS)
            || !parser.parse_keyword(Keyword::NOT)
        {
            return None;
        }
        let negated = parser.parse_subexpr(self.prec_value(Precedence::UnaryNot));
        Some(negated.map(|expr| match expr {
            Expr::Exists { subquery, negated } => Expr::Exists { subquery, negated: !negated },
            expr => Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(expr) },
        }))
    }

    /// sqlparser takes all that follows `IS DISTINCT FROM` for its right side, AND and OR included.
    fn parse_infix(
        &self,
        parser: &mut Parser,
        left: &Expr,
        _: u8,
    ) -> Option<Result<Expr, ParserError>> {
        use Keyword::{DISTINCT, FROM, IS, NOT};
        if is_isnull(parser) {
            parser.advance_token();
            return Some(Ok(Expr::IsNull(Box::new(left.clone()))));
        }
        let made = if parser.parse_keywords(&[IS, DISTINCT, FROM]) {
            Expr::IsDistinctFrom
        } else if parser.parse_keywords(&[IS, NOT, DISTINCT, FROM]) {
            Expr::IsNotDistinctFrom
        } else {
            return None;
        };
        let right = parser.parse_subexpr(self.prec_value(Precedence::Is));
        Some(right.map(|right| made(Box::new(left.clone()), Box::new(right))))
    }

    /// `'a'`, and `'b'` on the next line, are one literal.
    fn supports_string_literal_concatenation_with_newline(&self) -> bool {
        true
    }

    fn supports_named_fn_args_with_expr_name(&self) -> bool {
        false
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        PostgreSqlDialect {}.identifier_quote_style(identifier)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        PostgreSqlDialect {}.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        PostgreSqlDialect {}.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        PostgreSqlDialect {}.is_identifier_part(ch)
    }

    fn is_custom_operator_part(&self, ch: char) -> bool {
        PostgreSqlDialect {}.is_custom_operator_part(ch)
    }

    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        PostgreSqlDialect {}.is_reserved_for_identifier(keyword)
    }

    fn is_column_alias(&self, keyword: &Keyword, parser: &mut Parser) -> bool {
        is_plain(*keyword) || PostgreSqlDialect {}.is_column_alias(keyword, parser)
    }

    fn is_table_alias(&self, keyword: &Keyword, parser: &mut Parser) -> bool {
        is_plain(*keyword) || PostgreSqlDialect {}.is_table_alias(keyword, parser)
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        if is_isnull(parser) {
            return Some(Ok(self.prec_value(Precedence::Is)));
        }
        PostgreSqlDialect {}.get_next_precedence(parser)
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        PostgreSqlDialect {}.prec_value(precedence)
    }

    as_postgres!(
        allow_extract_custom,
        allow_extract_single_quotes,
        supports_alter_column_type_using,
        supports_array_typedef_with_brackets,
        supports_bitwise_shift_operators,
        supports_comma_separated_trim,
        supports_comment_on,
        supports_comment_optimizer_hint,
        supports_create_index_with_clause,
        supports_create_table_like_parenthesized,
        supports_empty_projections,
        supports_explain_with_utility_options,
        supports_factorial_operator,
        supports_filter_during_aggregation,
        supports_geometric_types,
        supports_group_by_expr,
        supports_insert_table_alias,
        supports_interval_options,
        supports_listen_notify,
        supports_load_extension,
        supports_named_fn_args_with_colon_operator,
        supports_nested_comments,
        supports_notnull_operator,
        supports_numeric_literal_underscores,
        supports_set_names,
        supports_string_escape_constant,
        supports_unicode_string_literal,
        supports_xml_expressions,
    );
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use datafusion::sql::sqlparser::ast::visit_expressions_mut;
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    use super::*;

    fn read(text: &str) -> Result<Expr, ParserError> {
        let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize().unwrap();
        let dialect = Postgres::for_tokens(tokens.len());
        Parser::new(&dialect).with_recursion_limit(400).with_tokens(tokens).parse_expr()
    }

    fn nested(depth: usize, before: &str, inner: &str, after: &str) -> String {
        format!("{}{inner}{}", before.repeat(depth), after.repeat(depth))
    }

    #[test]
    fn what_is_nested_is_read_once() {
        for (before, after) in [
            ("upper(", ")"),
            ("coalesce('', ", ", 'x')"),
            ("canon.f(a => ", ")"),
            ("CAST(", " AS text)"),
            ("(", " LIKE 'a%')::text"),
            ("CASE WHEN true THEN ", " END"),
            ("substring(", " FROM 1)"),
            ("trim(", ")"),
            ("position('a' IN ", ")"),
            ("a IN (1, ", ")"),
            ("ARRAY[", "]"),
            ("(SELECT ", ")"),
        ] {
            let text = nested(60, before, "b", after);
            assert!(read(&text).is_ok(), "{before}…: {:?}", read(&text));
        }
    }

    fn without_parentheses(text: &str) -> Expr {
        let mut expr = read(text).unwrap();
        let _ = visit_expressions_mut(&mut expr, |expr| {
            while let Expr::Nested(inner) = expr {
                *expr = inner.as_ref().clone();
            }
            ControlFlow::<()>::Continue(())
        });
        expr
    }

    #[test]
    fn is_distinct_from_ends_before_and() {
        for (text, parenthesised) in [
            ("a IS DISTINCT FROM b AND c", "(a IS DISTINCT FROM b) AND c"),
            ("a OR b IS NOT DISTINCT FROM c OR d", "(a OR (b IS NOT DISTINCT FROM c)) OR d"),
            ("NOT a IS DISTINCT FROM b AND c", "(NOT (a IS DISTINCT FROM b)) AND c"),
            ("a IS DISTINCT FROM b = c OR d", "(a IS DISTINCT FROM (b = c)) OR d"),
            ("a + 1 IS DISTINCT FROM b || c AND d", "((a + 1) IS DISTINCT FROM (b || c)) AND d"),
        ] {
            assert_eq!(without_parentheses(text), without_parentheses(parenthesised), "{text}");
        }
    }

    #[test]
    fn not_binds_looser_than_what_follows_exists() {
        for (text, parenthesised) in [
            ("NOT EXISTS (SELECT 1) IS NULL", "NOT ((EXISTS (SELECT 1)) IS NULL)"),
            ("NOT EXISTS (SELECT 1) = a AND b", "(NOT ((EXISTS (SELECT 1)) = a)) AND b"),
        ] {
            assert_eq!(without_parentheses(text), without_parentheses(parenthesised), "{text}");
        }
        assert!(matches!(read("NOT EXISTS (SELECT 1)"), Ok(Expr::Exists { negated: true, .. })));
    }

    #[test]
    fn a_mistake_is_not_looked_for_forever() {
        for (before, after) in
            [("CAST(", " AS text)"), ("upper(", ")"), ("(", ")"), ("substring(", " FROM 1)")]
        {
            assert!(read(&nested(60, before, "a b c", after)).is_err(), "{before}…");
        }
    }
}
