//! EXPLAIN EXECUTE: sqlparser reads the arguments too, but keeps no place of them.

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};

use super::commands::{Commands, Parsed};
use super::{Source, Statement};

impl Commands<'_> {
    /// The explanation of a prepared statement; None where something else is explained.
    pub(super) fn explain_execute(mut self) -> Parsed<Option<Statement>> {
        self.next = 1;
        while self.accept("ANALYZE") || self.accept("ANALYSE") || self.accept("VERBOSE") {}
        self.skip_parentheses();
        let explained = self.next;
        if !self.accept("EXECUTE") {
            return Ok(None);
        }
        let explain = Box::new(self.explain_with_any_query(explained)?);
        let Statement::Execute { name, arguments } = self.execute()? else {
            return Err(self.unexpected());
        };
        self.end()?;
        Ok(Some(Statement::ExplainExecute { explain, name, arguments }))
    }

    fn skip_parentheses(&mut self) {
        let mut depth = 0_usize;
        while let Some(token) = self.token() {
            match token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                _ if depth == 0 => return,
                _ => {}
            }
            self.next += 1;
            if depth == 0 {
                return;
            }
        }
    }

    /// What stands before EXECUTE, of a query that the prepared one takes the place of.
    fn explain_with_any_query(&self, explained: usize) -> Parsed<ast::Statement> {
        let before = self.tokens.get(..explained).unwrap_or_default();
        let mut tokens: Vec<TokenWithSpan> = before.iter().map(|it| (*it).clone()).collect();
        let span = before.last().map_or_else(Span::empty, |last| last.span);
        let query = [Token::make_keyword("SELECT"), Token::make_keyword("NULL")];
        tokens.extend(query.into_iter().map(|token| TokenWithSpan::new(token, span)));
        Source::of(self.source.text, &tokens).ast(&tokens)
    }
}
