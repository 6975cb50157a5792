//! Text to syntax tree, and places in the text.

use std::ops::Range;

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{
    Location, Span, Token, TokenWithSpan, Tokenizer, Word,
};

use crate::functions::Postgres;

/// Parentheses and operators inside each other.
pub(super) const DEPTH_MAX: usize = 48;
/// Characters of an expression; a rule that names more than this wants a table.
const CHARS_MAX: usize = 20_000;

/// What is wrong with an expression, and where in its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) label: String,
    pub(crate) help: Option<String>,
    /// Characters of the text; None: all of it.
    pub(crate) chars: Option<Range<usize>>,
}

impl Fault {
    pub(crate) fn new(
        code: &'static str,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Self {
        Self { code, message: message.into(), label: label.into(), help: None, chars: None }
    }

    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    pub(crate) fn at(self, text: &str, span: Span) -> Self {
        Self { chars: chars_of(text, span), ..self }
    }
}

/// Parses one expression.
pub(super) fn parse(text: &str) -> Result<ast::Expr, Fault> {
    parse_tokens(text, tokens_of(text)?)
}

/// As [`parse`], where `revenue@1` is one name.
pub(super) fn parse_over_metrics(text: &str) -> Result<ast::Expr, Fault> {
    parse_tokens(text, fuse_pins(tokens_of(text)?))
}

/// As [`parse_over_metrics`], where `revenue@1 over 365 days` is one name too.
pub(super) fn parse_over_windows(text: &str) -> Result<ast::Expr, Fault> {
    parse_tokens(text, fuse_windows(text, fuse_pins(tokens_of(text)?))?)
}

/// What separates a metric from its window in a fused name.
pub(super) const OVER: &str = " over ";

/// A pinned metric, `over`, a number and a unit become one name; blanks and case are its own.
fn fuse_windows(text: &str, tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, Fault> {
    let significant: Vec<TokenWithSpan> =
        tokens.into_iter().filter(|it| !matches!(it.token, Token::Whitespace(_))).collect();
    let mut fused: Vec<TokenWithSpan> = Vec::with_capacity(significant.len());
    let mut tokens = significant.into_iter();
    while let Some(token) = tokens.next() {
        let is_over = matches!(&token.token, Token::Word(word)
            if word.quote_style.is_none() && word.keyword == Keyword::OVER);
        let metric = match fused.last_mut() {
            Some(TokenWithSpan { token: Token::Word(word), span })
                if is_over && word.quote_style == Some('"') && word.value.contains('@') =>
            {
                Some((word, span))
            }
            _ => None,
        };
        let Some((word, span)) = metric else {
            fused.push(token);
            continue;
        };
        match (tokens.next().map(|it| it.token), tokens.next()) {
            (
                Some(Token::Number(count, _)),
                Some(TokenWithSpan { token: Token::Word(unit), span: end }),
            ) if unit.quote_style.is_none() => {
                word.value = format!("{}{OVER}{count} {}", word.value, unit.value.to_lowercase());
                span.end = end.end;
            }
            _ => {
                let message = "a window is a number and a unit";
                return Err(Fault::new("bad_window", message, "over what?")
                    .help(format!("Write for example {} over 365 days.", word.value))
                    .at(text, token.span));
            }
        }
    }
    Ok(fused)
}

fn tokens_of(text: &str) -> Result<Vec<TokenWithSpan>, Fault> {
    if text.trim().is_empty() {
        return Err(Fault::new("empty_value", "the expression is empty", "nothing here"));
    }
    if text.chars().nth(CHARS_MAX).is_some() {
        let message = format!("an expression has at most {CHARS_MAX} characters");
        return Err(Fault::new("too_large", message, "too long"));
    }
    Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location().map_err(|error| {
        let message = format!("syntax error: {}", lower_first(&error.message));
        let span = Span { start: error.location, end: error.location };
        Fault::new("syntax_error", message, "here").at(text, span)
    })
}

/// Postgres has a prefix operator `@`, so that the parser would read `revenue @1`.
fn fuse_pins(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut fused: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let before = fused.last().map(|before| before.token.clone());
        match (before, &token.token, tokens.peek().map(|next| next.token.clone())) {
            (Some(Token::Word(word)), Token::AtSign, Some(Token::Number(major, _)))
                if word.quote_style.is_none() =>
            {
                let end = tokens.next().map_or(token.span.end, |number| number.span.end);
                let value = format!("{}@{major}", word.value.to_lowercase());
                if let Some(before) = fused.last_mut() {
                    let keyword = Keyword::NoKeyword;
                    before.token = Token::Word(Word { value, quote_style: Some('"'), keyword });
                    before.span.end = end;
                }
            }
            _ => fused.push(token),
        }
    }
    fused
}

fn parse_tokens(text: &str, tokens: Vec<TokenWithSpan>) -> Result<ast::Expr, Fault> {
    let dialect = Postgres::for_tokens(tokens.len());
    let mut parser =
        Parser::new(&dialect).with_recursion_limit(DEPTH_MAX).with_tokens_with_locations(tokens);
    let expr = parser.parse_expr().map_err(|error| of_parser(text, error))?;
    let rest = parser.peek_token();
    if rest.token == Token::EOF {
        return Ok(expr);
    }
    let message = format!("syntax error at or near \"{}\"", rest.token);
    let help = match rest.token {
        Token::SemiColon => "Write one expression, without a semicolon.",
        Token::AtSign => "Only derived metrics are written over other metrics.",
        _ => "Write one expression; join conditions with and, or.",
    };
    Err(Fault::new("syntax_error", message, "the expression ends before this")
        .help(help)
        .at(text, rest.span))
}

fn of_parser(text: &str, error: ParserError) -> Fault {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        ParserError::RecursionLimitExceeded => {
            return Fault::new("too_large", "the expression is nested too deep", "too deep");
        }
    };
    // The parser tells a place only inside its text.
    let (fact, place) = match message.rsplit_once(" at Line: ") {
        Some((fact, place)) => (fact, Some(place)),
        None => (message.as_str(), None),
    };
    let location = place.and_then(|place| {
        let (line, column) = place.split_once(", Column: ")?;
        Some(Location { line: line.trim().parse().ok()?, column: column.trim().parse().ok()? })
    });
    let (expected, found) = match fact.split_once(", found: ") {
        Some((expected, found)) => (expected.strip_prefix("Expected: "), found),
        None => (None, fact),
    };
    let message = match (expected, found) {
        (Some(_), "EOF") => "syntax error at end of expression".to_owned(),
        (Some(_), found) => format!("syntax error at or near \"{found}\""),
        (None, fact) => format!("syntax error: {}", lower_first(fact)),
    };
    let help = expected.map(|expected| format!("There should be {expected} here."));
    let fault = Fault { help, ..Fault::new("syntax_error", message, "here") };
    match location {
        Some(location) => fault.at(text, Span { start: location, end: location }),
        // The end of the text.
        None => Fault { chars: last_char(text), ..fault },
    }
}

fn last_char(text: &str) -> Option<Range<usize>> {
    let length = text.trim_end().chars().count();
    Some(length.saturating_sub(1)..length)
}

pub(super) fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars.next().into_iter().flat_map(char::to_lowercase).collect();
    first + chars.as_str()
}

/// The characters of a text behind a span of lines and columns; at least one.
fn chars_of(text: &str, span: Span) -> Option<Range<usize>> {
    if span.start.line == 0 {
        return last_char(text);
    }
    let index = |location: Location| {
        let lines = usize::try_from(location.line.saturating_sub(1)).ok()?;
        let column = usize::try_from(location.column.saturating_sub(1)).ok()?;
        let before: usize = text.split('\n').take(lines).map(|line| line.chars().count() + 1).sum();
        Some(before + column)
    };
    let length = text.chars().count();
    let start = index(span.start)?.min(length.saturating_sub(1));
    let end = index(span.end)?.clamp(start + 1, length.max(start + 1));
    Some(start..end)
}
