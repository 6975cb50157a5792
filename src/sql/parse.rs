//! Text to statements: what a session does itself, what goes to the engine, what is refused.

mod commands;
mod copy;
mod cursors;
mod explain;
mod forms;
mod limits;

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{
    Location, Span, Token, TokenWithSpan, Tokenizer, TokenizerError, Whitespace,
};

use crate::functions::Postgres;
use crate::sql::SqlError;
use crate::sql::types::PgType;
use commands::Commands;
pub use copy::{CopyFormat, CopyOptions, CsvOptions, ForceQuote};
pub use cursors::{CursorOptions, Direction, Rows};
pub(crate) use forms::SYMMETRIC;

/// What one statement of a text asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// `Statement::Query` or `Statement::Explain`: for the engine.
    Query(Box<ast::Statement>),
    Set {
        name: String,
        value: SetValue,
        local: bool,
    },
    /// `SET TRANSACTION` (of the running one) or `SET SESSION CHARACTERISTICS` (of later ones).
    SetTransaction {
        modes: TransactionModes,
        session: bool,
    },
    /// `SET CONSTRAINTS`: there are none to defer.
    SetConstraints,
    /// None: `RESET ALL`.
    Reset {
        name: Option<String>,
    },
    /// None: `SHOW ALL`.
    Show {
        name: Option<String>,
    },
    /// `start`: the words were START TRANSACTION.
    Begin {
        modes: TransactionModes,
        start: bool,
    },
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
    },
    Savepoint(String),
    Release(String),
    RollbackTo(String),
    /// The word after DISCARD: ALL, PLANS, SEQUENCES or TEMP.
    Discard(Discard),
    /// None: `DEALLOCATE ALL`.
    Deallocate(Option<String>),
    Prepare {
        name: String,
        types: Vec<Option<PgType>>,
        query: Box<ast::Statement>,
    },
    Execute {
        name: String,
        arguments: Vec<Argument>,
    },
    /// `explain` explains any query; meant is the prepared statement of that name.
    ExplainExecute {
        explain: Box<ast::Statement>,
        name: String,
        arguments: Vec<Argument>,
    },
    /// There is never anything to listen to, so nothing to stop.
    Unlisten,
    Declare {
        name: String,
        options: CursorOptions,
        query: Box<ast::Statement>,
    },
    Fetch {
        cursor: String,
        direction: Direction,
    },
    Move {
        cursor: String,
        direction: Direction,
    },
    /// None: `CLOSE ALL`.
    CloseCursor(Option<String>),
    /// `COPY … TO STDOUT`, of a query; a relation is written as one.
    CopyOut {
        query: Box<ast::Statement>,
        options: CopyOptions,
    },
    /// Well-formed as far as we look, and refused when its turn comes.
    Refused(SqlError),
}

/// An argument of EXECUTE, and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Argument {
    pub value: ArgumentValue,
    /// In characters from 1.
    pub position: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ArgumentValue {
    /// The text of a literal; None is NULL.
    Literal(Option<String>),
    /// `SELECT` of any other expression.
    Query(Box<ast::Statement>),
}

/// What a setting is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetValue {
    Default,
    Text(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discard {
    All,
    Plans,
    Sequences,
    Temporary,
}

/// The modes behind BEGIN and SET TRANSACTION; None: not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransactionModes {
    pub isolation: Option<&'static str>,
    pub read_only: Option<bool>,
    pub deferrable: Option<bool>,
}

/// The statements of a text, in order; none for an empty text or one of comments only.
///
/// # Errors
/// [`SqlError::Syntax`] for the first fault of the whole text, with its position in characters
/// from 1; [`SqlError::TooComplex`] beyond the limits of length, width and depth.
pub fn parse(text: &str) -> Result<Vec<Statement>, SqlError> {
    let tokens = tokens(text)?;
    let mut statements = Vec::new();
    for part in tokens.split(|token| token.token == Token::SemiColon) {
        if part.iter().any(|token| !is_blank(&token.token)) {
            statements.push(statement(text, part)?);
        }
    }
    Ok(statements)
}

/// The expression that a text is, as one is written in an argument. Without places: they would be
/// taken for those of the statement.
///
/// # Errors
/// As [`parse`].
pub(crate) fn expression(text: &str) -> Result<ast::Expr, SqlError> {
    let tokens = tokens(text)?;
    let read = |tokens: &[TokenWithSpan]| {
        Source::of(text, tokens).whole(tokens, |parser| parser.parse_expr())
    };
    read(&tokens).map_err(|error| match error {
        SqlError::Syntax { message, .. } => SqlError::Syntax { message, position: None },
        other => other,
    })?;
    let unplaced: Vec<_> = tokens.into_iter().map(|it| TokenWithSpan::wrap(it.token)).collect();
    read(&unplaced)
}

/// # Errors
/// As [`parse`], but for what is wrong with their order.
fn tokens(text: &str) -> Result<Vec<TokenWithSpan>, SqlError> {
    limits::check_text(text)?;
    let mut tokens = Vec::new();
    if let Err(error) =
        Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location_into_buf(&mut tokens)
    {
        return Err(tokenizer_error(text, &error, &tokens));
    }
    limits::check(&tokens)?;
    name_arguments(&mut tokens);
    unqualify_forms(&mut tokens);
    Ok(forms::known(tokens))
}

/// Makes words before `=>` names, reserved ones too: `canon.query(…, where => …)`.
fn name_arguments(tokens: &mut [TokenWithSpan]) {
    let mut before_arrow = false;
    for token in tokens.iter_mut().rev().filter(|token| !is_blank(&token.token)) {
        if before_arrow && let Token::Word(word) = &mut token.token {
            word.keyword = Keyword::NoKeyword;
            if word.quote_style.is_none() {
                word.value = word.value.to_lowercase();
                word.quote_style = Some('"');
            }
        }
        before_arrow = token.token == Token::RArrow;
    }
}

/// Takes the schema from in front of `pg_catalog.substring(…)`: the parser knows the forms with words
/// for arguments by their bare names only.
fn unqualify_forms(tokens: &mut [TokenWithSpan]) {
    const FORMS: [&str; 5] = ["substring", "position", "overlay", "trim", "extract"];
    for at in 2..tokens.len() {
        let Token::Word(form) = &tokens[at].token else { continue };
        let is_form = FORMS.iter().any(|it| form.value.eq_ignore_ascii_case(it));
        let is_qualified = tokens[at - 1].token == Token::Period
            && matches!(&tokens[at - 2].token, Token::Word(schema) if schema.value == "pg_catalog");
        if is_form && is_qualified {
            tokens[at - 2].token = blank();
            tokens[at - 1].token = blank();
        }
    }
}

fn blank() -> Token {
    Token::Whitespace(Whitespace::Space)
}

fn is_blank(token: &Token) -> bool {
    matches!(token, Token::Whitespace(_) | Token::EOF)
}

/// One statement: those of the engine go through sqlparser, the rest is read by hand, because
/// sqlparser lacks much of the syntax of session statements.
fn statement(text: &str, tokens: &[TokenWithSpan]) -> Result<Statement, SqlError> {
    let source = Source::of(text, tokens);
    let words: Vec<&TokenWithSpan> = tokens.iter().filter(|t| !is_blank(&t.token)).collect();
    let first = words.first().map(|token| keyword(&token.token)).unwrap_or_default();
    let starts_query = words.first().is_some_and(|token| token.token == Token::LParen);
    match first.as_str() {
        "EXPLAIN" => match Commands::new(&source, words).explain_execute()? {
            Some(statement) => Ok(statement),
            None => source.query(),
        },
        "SELECT" | "WITH" | "VALUES" | "TABLE" => source.select(),
        _ if starts_query => source.select(),
        _ => Commands::new(&source, words).statement(&first),
    }
}

/// `TABLE a` is `SELECT * FROM a`; the words take the place of the one that the client wrote.
fn table_as_select(tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
    let mut written = tokens.iter().skip_while(|token| is_blank(&token.token));
    let span = written.next().map_or_else(Span::empty, |table| table.span);
    let words = [Token::make_keyword("SELECT"), Token::Mul, Token::make_keyword("FROM")];
    let select = words.into_iter().map(|word| TokenWithSpan::new(word, span));
    select.chain(written.cloned()).collect()
}

/// An unquoted word in upper case, or nothing.
/// Where the parenthesis closes that was opened before these tokens.
fn closing(tokens: &[TokenWithSpan]) -> Option<usize> {
    let mut depth = 1_usize;
    tokens.iter().position(|token| {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        depth == 0
    })
}

fn keyword(token: &Token) -> String {
    match token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_uppercase(),
        _ => String::new(),
    }
}

/// One statement's tokens, blanks included, and the text that their locations point into.
struct Source<'a> {
    text: &'a str,
    tokens: &'a [TokenWithSpan],
    /// What ends it, where that isn't the end of the statement.
    stop: Option<&'a TokenWithSpan>,
}

impl<'a> Source<'a> {
    fn of(text: &'a str, tokens: &'a [TokenWithSpan]) -> Self {
        Self { text, tokens, stop: None }
    }

    /// A query, one that is written with TABLE too.
    fn select(&self) -> Result<Statement, SqlError> {
        let first = self.tokens.iter().find(|token| !is_blank(&token.token));
        match first.is_some_and(|first| keyword(&first.token) == "TABLE") {
            true => Source::of(self.text, &table_as_select(self.tokens)).query(),
            false => self.query(),
        }
    }

    fn query(&self) -> Result<Statement, SqlError> {
        self.check_clauses()?;
        let statement = self.ast(self.tokens)?;
        Ok(match refusal(&statement) {
            Some(refused) => Statement::Refused(refused),
            None => Statement::Query(Box::new(statement)),
        })
    }

    /// sqlparser takes reserved words as names: `SELECT a, FROM b` is a column "from" named "b" to
    /// it. Where an operand must stand, the word of a clause is the mistake that Postgres sees.
    fn check_clauses(&self) -> Result<(), SqlError> {
        const WANT_OPERAND: [&str; 8] = ["FROM", "WHERE", "HAVING", "ON", "BY", "AND", "OR", "NOT"];
        const CLAUSES: [&str; 13] = [
            "FROM",
            "WHERE",
            "HAVING",
            "GROUP",
            "ORDER",
            "LIMIT",
            "UNION",
            "EXCEPT",
            "INTERSECT",
            "ON",
            "AND",
            "OR",
            "THEN",
        ];
        let written: Vec<_> = self.tokens.iter().filter(|t| !is_blank(&t.token)).collect();
        for pair in written.windows(2) {
            let [before, here] = pair else { continue };
            let wants_operand = match &before.token {
                Token::Comma | Token::Eq | Token::Lt | Token::Gt | Token::Neq => true,
                token => WANT_OPERAND.contains(&keyword(token).as_str()),
            };
            if wants_operand && CLAUSES.contains(&keyword(&here.token).as_str()) {
                return Err(self.near(here));
            }
        }
        Ok(())
    }

    /// The tree of all the tokens given, which must be one statement.
    fn ast(&self, tokens: &[TokenWithSpan]) -> Result<ast::Statement, SqlError> {
        self.whole(tokens, |parser| parser.parse_statement())
    }

    /// What `read` makes of the tokens, of which none may be left.
    fn whole<T>(
        &self,
        tokens: &[TokenWithSpan],
        read: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>,
    ) -> Result<T, SqlError> {
        let dialect = Postgres::for_tokens(tokens.len());
        let mut parser = Parser::new(&dialect)
            .with_recursion_limit(limits::PARSER_DEPTH_MAX)
            .with_tokens_with_locations(tokens.to_vec());
        let whole = read(&mut parser).map_err(|error| {
            self.in_subquery(tokens).unwrap_or_else(|| self.parser_error(error))
        })?;
        match parser.peek_token() {
            TokenWithSpan { token: Token::EOF, .. } => Ok(whole),
            rest => Err(self.in_subquery(tokens).unwrap_or_else(|| self.near(&rest))),
        }
    }

    /// The mistake in the first subquery that has one. Where a subquery can't be read, sqlparser
    /// tries what else the parenthesis may begin, and complains of that.
    fn in_subquery(&self, tokens: &[TokenWithSpan]) -> Option<SqlError> {
        let mut rest = tokens;
        while let Some(open) = rest.iter().position(|token| token.token == Token::LParen) {
            rest = &rest[open + 1..];
            let first = rest.iter().find(|token| !is_blank(&token.token))?;
            if !matches!(keyword(&first.token).as_str(), "SELECT" | "WITH") {
                continue;
            }
            let close = closing(rest)?;
            let (tokens, stop) = (&rest[..close], rest.get(close));
            if let Err(error) = (Source { text: self.text, tokens, stop }).ast(tokens) {
                return Some(error);
            }
            rest = &rest[close + 1..];
        }
        None
    }

    /// Postgres's words for a token that can't stand where it stands.
    fn near(&self, token: &TokenWithSpan) -> SqlError {
        if token.token == Token::EOF {
            return self.at_end();
        }
        let start = offset_of(self.text, token.span.start);
        let end = offset_of(self.text, token.span.end).max(start);
        let lexeme = self.text.get(start..end).unwrap_or_default();
        SqlError::Syntax {
            message: format!("syntax error at or near \"{lexeme}\""),
            position: Some(character(self.text, start)),
        }
    }

    fn at_end(&self) -> SqlError {
        if let Some(stop) = self.stop {
            return self.near(stop);
        }
        let end = self.tokens.iter().rfind(|token| !is_blank(&token.token));
        let end = end.map_or(0, |token| offset_of(self.text, token.span.end));
        SqlError::Syntax {
            message: "syntax error at end of input".to_owned(),
            position: Some(character(self.text, end)),
        }
    }

    /// sqlparser tells the place only at the end of its message: ` at Line: 1, Column: 8`.
    fn parser_error(&self, error: ParserError) -> SqlError {
        let message = match error {
            ParserError::RecursionLimitExceeded => return limits::nested_too_deep(),
            ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
        };
        let Some(place) = location_at_end(&message) else {
            return match message.contains("found: EOF") {
                true => self.at_end(),
                false => SqlError::Syntax { message: first_lower(&message), position: None },
            };
        };
        match self.tokens.iter().find(|token| token.span.start == place) {
            Some(token) => self.near(token),
            None => self.at_end(),
        }
    }
}

/// Queries that would write or lock.
fn refusal(statement: &ast::Statement) -> Option<SqlError> {
    let read_only = |command: &str| Some(SqlError::ReadOnly { command: command.to_owned() });
    match statement {
        ast::Statement::Query(query) => query_refusal(query),
        ast::Statement::Explain { statement, analyze, .. } => match statement.as_ref() {
            ast::Statement::Query(query) => query_refusal(query).filter(|_| *analyze),
            _ => Some(SqlError::NotSupported {
                what: "EXPLAIN of a statement that is no query".to_owned(),
                hint: None,
                position: None,
            }),
        },
        ast::Statement::ExplainTable { .. } => Some(SqlError::NotSupported {
            what: "EXPLAIN of a table".to_owned(),
            hint: Some("Write EXPLAIN SELECT … instead.".to_owned()),
            position: None,
        }),
        // A WITH in front of a statement that writes.
        ast::Statement::Insert(_) => read_only("INSERT"),
        ast::Statement::Update(_) => read_only("UPDATE"),
        ast::Statement::Delete(_) => read_only("DELETE"),
        ast::Statement::Merge(_) => read_only("MERGE"),
        other => {
            Some(SqlError::NotSupported { what: command_of(other), hint: None, position: None })
        }
    }
}

fn command_of(statement: &ast::Statement) -> String {
    let text = statement.to_string();
    text.split_whitespace().next().unwrap_or("the statement").to_owned()
}

fn query_refusal(query: &ast::Query) -> Option<SqlError> {
    let read_only = |command: &str| Some(SqlError::ReadOnly { command: command.to_owned() });
    if let Some(lock) = query.locks.first() {
        let kind = match lock.lock_type {
            ast::LockType::Share => "SELECT FOR SHARE",
            ast::LockType::Update => "SELECT FOR UPDATE",
        };
        return read_only(kind);
    }
    if let Some(negative) = negative_limit(query) {
        return Some(negative);
    }
    let tables = query.with.iter().flat_map(|with| &with.cte_tables);
    if let Some(refused) = tables.filter_map(|table| query_refusal(&table.query)).next() {
        return Some(refused);
    }
    match query.body.as_ref() {
        ast::SetExpr::Select(select) if select.into.is_some() => read_only("SELECT INTO"),
        ast::SetExpr::Query(query) => query_refusal(query),
        ast::SetExpr::Insert(_) => read_only("INSERT"),
        ast::SetExpr::Update(_) => read_only("UPDATE"),
        ast::SetExpr::Delete(_) => read_only("DELETE"),
        ast::SetExpr::Merge(_) => read_only("MERGE"),
        ast::SetExpr::Select(_)
        | ast::SetExpr::SetOperation { .. }
        | ast::SetExpr::Values(_)
        | ast::SetExpr::Table(_) => None,
    }
}

/// `LIMIT -1`, which no planner takes for what it is.
fn negative_limit(query: &ast::Query) -> Option<SqlError> {
    let is_negative = |count: &ast::Expr| {
        matches!(count, ast::Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr }
            if matches!(expr.as_ref(), ast::Expr::Value(_)))
    };
    let (limit, offset) = match query.limit_clause.as_ref()? {
        ast::LimitClause::LimitOffset { limit, offset, .. } => {
            (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
        }
        ast::LimitClause::OffsetCommaLimit { offset, limit } => (Some(limit), Some(offset)),
    };
    let refused = |sqlstate, word: &str| SqlError::Refused {
        sqlstate,
        message: format!("{word} must not be negative"),
        hint: None,
        position: None,
    };
    // In this order, as Postgres looks at them.
    let offset = offset.filter(|offset| is_negative(offset)).map(|_| refused("2201X", "OFFSET"));
    offset.or_else(|| limit.filter(|limit| is_negative(limit)).map(|_| refused("2201W", "LIMIT")))
}

/// What the tokenizer can't read: nearly always a quote or comment without its end.
/// It begins where the last good token ended; the tokenizer itself may tell where it gave up.
fn tokenizer_error(text: &str, error: &TokenizerError, before: &[TokenWithSpan]) -> SqlError {
    let start = before.last().map_or(0, |token| offset_of(text, token.span.end));
    let rest = text.get(start..).unwrap_or_default();
    let message = match error.message.as_str() {
        m if m.contains("Unterminated string") || m.contains("Unterminated encoded string") => {
            format!("unterminated quoted string at or near \"{rest}\"")
        }
        m if m.contains("close delimiter") => {
            format!("unterminated quoted identifier at or near \"{rest}\"")
        }
        m if m.contains("dollar-quoted") => {
            format!("unterminated dollar-quoted string at or near \"{rest}\"")
        }
        m if m.contains("multi-line comment") => {
            format!("unterminated /* comment at or near \"{rest}\"")
        }
        message => first_lower(message),
    };
    SqlError::Syntax { message, position: Some(character(text, start)) }
}

fn location_at_end(message: &str) -> Option<Location> {
    let (_, place) = message.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    Some(Location::new(line.parse().ok()?, column.trim().parse().ok()?))
}

/// The byte offset of a line and column, both counted in characters from 1.
fn offset_of(text: &str, place: Location) -> usize {
    let mut line_start = 0;
    for _ in 1..place.line {
        match text.get(line_start..).and_then(|rest| rest.find('\n')) {
            Some(newline) => line_start += newline + 1,
            None => return text.len(),
        }
    }
    let column = usize::try_from(place.column).unwrap_or(usize::MAX).saturating_sub(1);
    let line = text.get(line_start..).unwrap_or_default();
    line.char_indices().nth(column).map_or(text.len(), |(offset, _)| line_start + offset)
}

/// The position of a token or node of a tree, as errors tell it: in characters from 1.
pub fn position(text: &str, place: Location) -> usize {
    character(text, offset_of(text, place))
}

/// The one place where byte offsets become the positions that clients get: characters from 1.
pub fn character(text: &str, offset: usize) -> usize {
    text.char_indices().take_while(|(at, _)| *at < offset).count() + 1
}

fn first_lower(message: &str) -> String {
    let mut chars = message.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests;
