//! The statements that a session answers itself, read from their tokens.

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::{
    Argument, ArgumentValue, Discard, SetValue, Source, Statement, TransactionModes, keyword,
};
use crate::functions::Postgres;
use crate::sql::SqlError;
use crate::sql::timezone::TimeZone;
use crate::sql::types::PgType;

/// A place in a statement's tokens without blanks.
pub(super) struct Commands<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) tokens: Vec<&'a TokenWithSpan>,
    pub(super) next: usize,
}

pub(super) type Parsed<T> = Result<T, SqlError>;

impl<'a> Commands<'a> {
    pub(super) fn new(source: &'a Source<'a>, tokens: Vec<&'a TokenWithSpan>) -> Self {
        Self { source, tokens, next: 0 }
    }

    /// The whole statement; `first` is its first keyword.
    pub(super) fn statement(mut self, first: &str) -> Parsed<Statement> {
        self.next = 1;
        let statement = match first {
            "SET" => self.set()?,
            "RESET" => self.reset()?,
            "SHOW" => self.show()?,
            "BEGIN" => self.begin()?,
            "START" => self.start()?,
            "COMMIT" | "END" => self.commit()?,
            "ROLLBACK" | "ABORT" => self.rollback(first)?,
            "SAVEPOINT" => Statement::Savepoint(self.name()?),
            "RELEASE" => {
                self.accept("SAVEPOINT");
                Statement::Release(self.name()?)
            }
            "DISCARD" => self.discard()?,
            "DEALLOCATE" => self.deallocate()?,
            "PREPARE" => return self.prepare(),
            "EXECUTE" => self.execute()?,
            "UNLISTEN" => {
                self.next = self.tokens.len();
                Statement::Unlisten
            }
            "DECLARE" => return self.declare(),
            "FETCH" => {
                let (cursor, direction) = self.fetch()?;
                Statement::Fetch { cursor, direction }
            }
            "MOVE" => {
                let (cursor, direction) = self.fetch()?;
                Statement::Move { cursor, direction }
            }
            "CLOSE" if self.accept("ALL") => Statement::CloseCursor(None),
            "CLOSE" => Statement::CloseCursor(Some(self.name()?)),
            "COPY" => return self.copy(),
            _ => return self.refused(first),
        };
        self.end()?;
        Ok(statement)
    }

    // ---- SET, RESET, SHOW

    fn set(&mut self) -> Parsed<Statement> {
        let local = self.accept("LOCAL");
        let session = !local && self.accept("SESSION");
        if session && self.accept("CHARACTERISTICS") {
            self.expect("AS")?;
            self.expect("TRANSACTION")?;
            return Ok(Statement::SetTransaction { modes: self.modes()?, session: true });
        }
        if session && self.accept("AUTHORIZATION") {
            let value = self.set_value()?;
            return Ok(Statement::Set { name: "session_authorization".to_owned(), value, local });
        }
        if self.peek_is("TRANSACTION") && !session {
            return self.set_transaction();
        }
        if self.accept("CONSTRAINTS") {
            self.next = self.tokens.len();
            return Ok(Statement::SetConstraints);
        }
        if self.peek_is("TIME") && self.word_at(1) == "ZONE" {
            self.next += 2;
            let value = self.time_zone()?;
            return Ok(Statement::Set { name: "timezone".to_owned(), value, local });
        }
        // Names of settings that may stand without TO or =.
        for (word, name) in
            [("NAMES", "client_encoding"), ("ROLE", "role"), ("SCHEMA", "search_path")]
        {
            if self.peek_is(word)
                && !matches!(self.token_at(1), Some(Token::Eq))
                && self.word_at(1) != "TO"
            {
                self.next += 1;
                let value = self.set_value()?;
                return Ok(Statement::Set { name: name.to_owned(), value, local });
            }
        }
        let name = self.setting_name()?;
        if !self.accept("TO") && !self.accept_token(&Token::Eq) {
            return Err(self.unexpected());
        }
        let value = match name.eq_ignore_ascii_case("search_path") {
            true => self.search_path()?,
            false => self.set_value()?,
        };
        Ok(Statement::Set { name, value, local })
    }

    fn set_transaction(&mut self) -> Parsed<Statement> {
        self.next += 1;
        if self.accept("SNAPSHOT") {
            self.next = self.tokens.len();
            return Ok(Statement::Refused(not_supported("SET TRANSACTION SNAPSHOT")));
        }
        Ok(Statement::SetTransaction { modes: self.modes()?, session: false })
    }

    fn set_value(&mut self) -> Parsed<SetValue> {
        if self.accept("DEFAULT") {
            return Ok(SetValue::Default);
        }
        let mut values = vec![self.set_item()?];
        while self.accept_token(&Token::Comma) {
            values.push(self.set_item()?);
        }
        Ok(SetValue::Text(values.join(", ")))
    }

    /// Schema names: quoted in SHOW where they need it.
    fn search_path(&mut self) -> Parsed<SetValue> {
        if self.accept("DEFAULT") {
            return Ok(SetValue::Default);
        }
        let mut names = Vec::new();
        loop {
            names.push(quoted_where_needed(&self.set_item()?));
            if !self.accept_token(&Token::Comma) {
                return Ok(SetValue::Text(names.join(", ")));
            }
        }
    }

    pub(super) fn set_item(&mut self) -> Parsed<String> {
        let negative = self.accept_token(&Token::Minus);
        if !negative {
            self.accept_token(&Token::Plus);
        }
        match self.token() {
            Some(Token::Number(digits, _)) => {
                self.next += 1;
                Ok(if negative { format!("-{digits}") } else { digits.clone() })
            }
            Some(Token::Word(word)) if !negative => {
                self.next += 1;
                Ok(folded(word))
            }
            Some(token) if !negative => {
                let text = string(token).ok_or_else(|| self.unexpected())?;
                self.next += 1;
                Ok(text)
            }
            _ => Err(self.unexpected()),
        }
    }

    /// What follows TIME ZONE: LOCAL, DEFAULT, a name, hours, or an interval from hour to minute.
    fn time_zone(&mut self) -> Parsed<SetValue> {
        if self.accept("LOCAL") || self.accept("DEFAULT") {
            return Ok(SetValue::Default);
        }
        if !self.accept("INTERVAL") {
            return self.set_value();
        }
        let text = self.set_item()?;
        if self.accept("HOUR") {
            self.expect("TO")?;
            self.expect("MINUTE")?;
        }
        let zone = TimeZone::parse(text.split_whitespace().next().unwrap_or_default());
        match zone {
            Some(zone @ TimeZone::Fixed { .. }) => Ok(SetValue::Text(zone.name().to_owned())),
            _ => Err(SqlError::InvalidSetting {
                name: "TimeZone".to_owned(),
                value: text,
                hint: Some("Write an interval of hours and minutes, such as '+02:00'.".to_owned()),
            }),
        }
    }

    fn reset(&mut self) -> Parsed<Statement> {
        if self.accept("ALL") {
            return Ok(Statement::Reset { name: None });
        }
        if self.accept("SESSION") {
            self.expect("AUTHORIZATION")?;
            return Ok(Statement::Reset { name: Some("session_authorization".to_owned()) });
        }
        Ok(Statement::Reset { name: Some(self.setting_or_phrase()?) })
    }

    fn show(&mut self) -> Parsed<Statement> {
        if self.accept("ALL") {
            return Ok(Statement::Show { name: None });
        }
        if self.accept("SESSION") {
            self.expect("AUTHORIZATION")?;
            return Ok(Statement::Show { name: Some("session_authorization".to_owned()) });
        }
        Ok(Statement::Show { name: Some(self.setting_or_phrase()?) })
    }

    /// A setting's name, or one of the phrases that the SQL standard has for some.
    fn setting_or_phrase(&mut self) -> Parsed<String> {
        if self.peek_is("TIME") && self.word_at(1) == "ZONE" {
            self.next += 2;
            return Ok("timezone".to_owned());
        }
        if self.accept("TRANSACTION") {
            self.expect("ISOLATION")?;
            self.expect("LEVEL")?;
            return Ok("transaction_isolation".to_owned());
        }
        self.setting_name()
    }

    fn setting_name(&mut self) -> Parsed<String> {
        let mut name = self.name()?;
        while self.accept_token(&Token::Period) {
            name.push('.');
            name.push_str(&self.name()?);
        }
        Ok(name)
    }

    // ---- transactions

    fn begin(&mut self) -> Parsed<Statement> {
        if !self.accept("WORK") {
            self.accept("TRANSACTION");
        }
        let modes = if self.at_end() { TransactionModes::default() } else { self.modes()? };
        Ok(Statement::Begin { modes, start: false })
    }

    fn start(&mut self) -> Parsed<Statement> {
        self.expect("TRANSACTION")?;
        let modes = if self.at_end() { TransactionModes::default() } else { self.modes()? };
        Ok(Statement::Begin { modes, start: true })
    }

    fn commit(&mut self) -> Parsed<Statement> {
        if self.peek_is("PREPARED") {
            return self.two_phase("COMMIT PREPARED");
        }
        Ok(Statement::Commit { chain: self.chain()? })
    }

    fn rollback(&mut self, first: &str) -> Parsed<Statement> {
        if first == "ROLLBACK" && self.peek_is("PREPARED") {
            return self.two_phase("ROLLBACK PREPARED");
        }
        if !self.accept("WORK") {
            self.accept("TRANSACTION");
        }
        if first == "ROLLBACK" && self.accept("TO") {
            self.accept("SAVEPOINT");
            return Ok(Statement::RollbackTo(self.name()?));
        }
        Ok(Statement::Rollback { chain: self.chain()? })
    }

    fn two_phase(&mut self, command: &str) -> Parsed<Statement> {
        self.next = self.tokens.len();
        Ok(Statement::Refused(SqlError::ReadOnly { command: command.to_owned() }))
    }

    /// `[WORK | TRANSACTION] [AND [NO] CHAIN]`
    fn chain(&mut self) -> Parsed<bool> {
        if !self.accept("WORK") {
            self.accept("TRANSACTION");
        }
        if !self.accept("AND") {
            return Ok(false);
        }
        let chain = !self.accept("NO");
        self.expect("CHAIN")?;
        Ok(chain)
    }

    fn modes(&mut self) -> Parsed<TransactionModes> {
        let mut modes = TransactionModes::default();
        loop {
            self.mode(&mut modes)?;
            self.accept_token(&Token::Comma);
            if self.at_end() {
                return Ok(modes);
            }
        }
    }

    fn mode(&mut self, modes: &mut TransactionModes) -> Parsed<()> {
        if self.accept("ISOLATION") {
            self.expect("LEVEL")?;
            modes.isolation = Some(self.isolation()?);
        } else if self.accept("READ") {
            modes.read_only = Some(self.one_of("ONLY", "WRITE")?);
        } else if self.accept("NOT") {
            self.expect("DEFERRABLE")?;
            modes.deferrable = Some(false);
        } else {
            self.expect("DEFERRABLE")?;
            modes.deferrable = Some(true);
        }
        Ok(())
    }

    fn isolation(&mut self) -> Parsed<&'static str> {
        if self.accept("SERIALIZABLE") {
            return Ok("serializable");
        }
        if self.accept("REPEATABLE") {
            self.expect("READ")?;
            return Ok("repeatable read");
        }
        self.expect("READ")?;
        Ok(if self.one_of("COMMITTED", "UNCOMMITTED")? {
            "read committed"
        } else {
            "read uncommitted"
        })
    }

    // ---- prepared statements

    fn discard(&mut self) -> Parsed<Statement> {
        let what = match self.word_at(0).as_str() {
            "ALL" => Discard::All,
            "PLANS" => Discard::Plans,
            "SEQUENCES" => Discard::Sequences,
            "TEMP" | "TEMPORARY" => Discard::Temporary,
            _ => return Err(self.unexpected()),
        };
        self.next += 1;
        Ok(Statement::Discard(what))
    }

    fn deallocate(&mut self) -> Parsed<Statement> {
        self.accept("PREPARE");
        if self.accept("ALL") {
            return Ok(Statement::Deallocate(None));
        }
        Ok(Statement::Deallocate(Some(self.name()?)))
    }

    fn prepare(mut self) -> Parsed<Statement> {
        if self.peek_is("TRANSACTION") {
            return self.two_phase("PREPARE TRANSACTION");
        }
        let name = self.name()?;
        let types = if self.accept_token(&Token::LParen) { self.types()? } else { Vec::new() };
        self.expect("AS")?;
        let Some(first) = self.here() else { return Err(self.unexpected()) };
        let word = keyword(&first.token);
        if matches!(word.as_str(), "INSERT" | "UPDATE" | "DELETE" | "MERGE") {
            return self.refused(&word);
        }
        Ok(match self.rest_as_query()? {
            Statement::Query(query) => Statement::Prepare { name, types, query },
            refused => refused,
        })
    }

    /// Type names up to the closing parenthesis; one that canon doesn't know is inferred.
    fn types(&mut self) -> Parsed<Vec<Option<PgType>>> {
        let mut types = Vec::new();
        loop {
            let from = self.next;
            let mut depth = 0;
            while let Some(token) = self.token() {
                match token {
                    Token::LParen => depth += 1,
                    Token::RParen if depth == 0 => break,
                    Token::RParen => depth -= 1,
                    Token::Comma if depth == 0 => break,
                    _ => {}
                }
                self.next += 1;
            }
            types.push(self.type_between(from)?);
            if self.accept_token(&Token::RParen) {
                return Ok(types);
            }
            if !self.accept_token(&Token::Comma) {
                return Err(self.unexpected());
            }
        }
    }

    /// The type whose name stands there up to here; `unknown` is inferred.
    fn type_between(&self, from: usize) -> Parsed<Option<PgType>> {
        let tokens = self.tokens.get(from..self.next).unwrap_or_default();
        match (pg_type(tokens), tokens.first()) {
            (Some(pg_type), _) => Ok(Some(pg_type)),
            (None, None) => Err(self.unexpected()),
            (None, Some(first)) if keyword(&first.token) == "UNKNOWN" => Ok(None),
            (None, Some(first)) => {
                let written: Vec<String> = tokens.iter().map(|it| it.token.to_string()).collect();
                Err(SqlError::Refused {
                    sqlstate: "42704",
                    message: format!("type \"{}\" does not exist", written.concat()),
                    hint: None,
                    position: Some(super::position(self.source.text, first.span.start)),
                })
            }
        }
    }

    pub(super) fn execute(&mut self) -> Parsed<Statement> {
        let name = self.name()?;
        let mut arguments = Vec::new();
        if self.accept_token(&Token::LParen) {
            loop {
                arguments.push(self.argument()?);
                if self.accept_token(&Token::RParen) {
                    break;
                }
                if !self.accept_token(&Token::Comma) {
                    return Err(self.unexpected());
                }
            }
        }
        Ok(Statement::Execute { name, arguments })
    }

    /// An expression, up to the comma or parenthesis that ends it.
    fn argument(&mut self) -> Parsed<Argument> {
        let start = self.next;
        let mut depth = 0_usize;
        while let Some(token) = self.token() {
            match token {
                Token::LParen | Token::LBracket => depth += 1,
                Token::Comma | Token::RParen if depth == 0 => break,
                Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.next += 1;
        }
        let end = self.next;
        let tokens = self.tokens.get(start..end).unwrap_or_default().to_vec();
        let Some(first) = tokens.first() else { return Err(self.unexpected()) };
        let position = super::position(self.source.text, first.span.start);
        self.next = start;
        let literal = self.literal().filter(|_| self.next == end);
        self.next = end;
        let value = match literal {
            Some(literal) => ArgumentValue::Literal(literal),
            None => {
                let select = TokenWithSpan::new(Token::make_keyword("SELECT"), first.span);
                let expression = tokens.iter().map(|token| (*token).clone());
                let tokens: Vec<TokenWithSpan> =
                    std::iter::once(select).chain(expression).collect();
                let query = self.source.ast(&tokens)?;
                ArgumentValue::Query(Box::new(query))
            }
        };
        Ok(Argument { value, position })
    }

    /// NULL, a number or a string, if one stands here.
    fn literal(&mut self) -> Option<Option<String>> {
        if self.accept("NULL") {
            return Some(None);
        }
        match self.token() {
            Some(Token::Word(word))
                if !matches!(keyword(&Token::Word(word.clone())).as_str(), "TRUE" | "FALSE") =>
            {
                None
            }
            _ => self.set_item().ok().map(Some),
        }
    }

    // ---- the rest

    /// Statements that canon doesn't do: those that write, those that Postgres has besides, and
    /// words that begin no statement at all.
    pub(super) fn refused(&self, first: &str) -> Parsed<Statement> {
        const WRITES: [&str; 11] = [
            "INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE", "GRANT", "REVOKE", "COMMENT",
            "IMPORT", "REASSIGN", "SECURITY",
        ];
        const SCHEMA: [&str; 3] = ["CREATE", "ALTER", "DROP"];
        const OTHERS: [&str; 10] = [
            "ANALYZE",
            "CALL",
            "CHECKPOINT",
            "CLUSTER",
            "DO",
            "LISTEN",
            "LOAD",
            "NOTIFY",
            "REINDEX",
            "VACUUM",
        ];
        let error = match first {
            "TRUNCATE" | "LOCK" => SqlError::ReadOnly { command: format!("{first} TABLE") },
            "REFRESH" => SqlError::ReadOnly { command: "REFRESH MATERIALIZED VIEW".to_owned() },
            "CREATE" if self.creates_from_query() => {
                SqlError::ReadOnly { command: "CREATE TABLE AS".to_owned() }
            }
            word if WRITES.contains(&word) => SqlError::ReadOnly { command: word.to_owned() },
            word if SCHEMA.contains(&word) => SqlError::ReadOnly {
                command: format!("{word} {}", self.object_kind()).trim().to_owned(),
            },
            word if OTHERS.contains(&word) => not_supported(word),
            _ => return Err(self.unexpected_at(0)),
        };
        Ok(Statement::Refused(error))
    }

    /// CREATE TABLE AS, whose columns may stand in parentheses before AS.
    fn creates_from_query(&self) -> bool {
        self.object_kind() == "TABLE" && self.tokens.iter().any(|it| keyword(&it.token) == "AS")
    }

    /// `TABLE` of CREATE OR REPLACE LOCAL TEMPORARY TABLE.
    fn object_kind(&self) -> String {
        const ADJECTIVES: [&str; 10] = [
            "OR",
            "REPLACE",
            "LOCAL",
            "GLOBAL",
            "TEMP",
            "TEMPORARY",
            "UNLOGGED",
            "UNIQUE",
            "RECURSIVE",
            "TRUSTED",
        ];
        let words = self.tokens.iter().skip(1).map(|token| keyword(&token.token));
        words.into_iter().find(|word| !ADJECTIVES.contains(&word.as_str())).unwrap_or_default()
    }

    // ---- the cursor

    pub(super) fn here(&self) -> Option<&'a TokenWithSpan> {
        self.tokens.get(self.next).copied()
    }

    /// Whether one token is left.
    pub(super) fn is_last(&self) -> bool {
        self.next + 1 == self.tokens.len()
    }

    pub(super) fn token(&self) -> Option<&'a Token> {
        self.token_at(0)
    }

    pub(super) fn token_at(&self, ahead: usize) -> Option<&'a Token> {
        self.tokens.get(self.next + ahead).map(|token| &token.token)
    }

    pub(super) fn word_at(&self, ahead: usize) -> String {
        self.token_at(ahead).map(keyword).unwrap_or_default()
    }

    pub(super) fn peek_is(&self, word: &str) -> bool {
        self.word_at(0) == word
    }

    pub(super) fn accept(&mut self, word: &str) -> bool {
        let found = self.peek_is(word);
        self.next += usize::from(found);
        found
    }

    pub(super) fn accept_token(&mut self, token: &Token) -> bool {
        let found = self.token() == Some(token);
        self.next += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, word: &str) -> Parsed<()> {
        if self.accept(word) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Whether the first of two words stands here; an error if neither does.
    pub(super) fn one_of(&mut self, yes: &str, no: &str) -> Parsed<bool> {
        if self.accept(yes) {
            return Ok(true);
        }
        self.expect(no).map(|()| false)
    }

    /// An identifier, folded to lower case unless quoted.
    pub(super) fn name(&mut self) -> Parsed<String> {
        match self.token() {
            Some(Token::Word(word)) => {
                self.next += 1;
                Ok(folded(word))
            }
            _ => Err(self.unexpected()),
        }
    }

    pub(super) fn at_end(&self) -> bool {
        self.next >= self.tokens.len()
    }

    pub(super) fn end(&self) -> Parsed<()> {
        if self.at_end() { Ok(()) } else { Err(self.unexpected()) }
    }

    pub(super) fn unexpected(&self) -> SqlError {
        self.unexpected_at(self.next)
    }

    fn unexpected_at(&self, index: usize) -> SqlError {
        match self.tokens.get(index) {
            Some(token) => self.source.near(token),
            None => self.source.at_end(),
        }
    }
}

pub(super) fn not_supported(what: &str) -> SqlError {
    SqlError::NotSupported { what: what.to_owned(), hint: None, position: None }
}

pub(super) fn folded(word: &datafusion::sql::sqlparser::tokenizer::Word) -> String {
    match word.quote_style {
        Some(_) => word.value.clone(),
        None => word.value.to_lowercase(),
    }
}

pub(super) fn string(token: &Token) -> Option<String> {
    match token {
        Token::SingleQuotedString(text)
        | Token::EscapedStringLiteral(text)
        | Token::UnicodeStringLiteral(text) => Some(text.clone()),
        Token::DollarQuotedString(text) => Some(text.value.clone()),
        _ => None,
    }
}

fn quoted_where_needed(name: &str) -> String {
    let starts_plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    match starts_plain && name.chars().all(plain) {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

/// The type that a list of tokens names, if canon knows it.
fn pg_type(tokens: &[&TokenWithSpan]) -> Option<PgType> {
    let tokens: Vec<_> = tokens.iter().map(|token| (*token).clone()).collect();
    let dialect = Postgres::for_tokens(tokens.len());
    let data_type =
        Parser::new(&dialect).with_tokens_with_locations(tokens).parse_data_type().ok()?;
    let (item, is_array) = match &data_type {
        ast::DataType::Array(
            ast::ArrayElemTypeDef::SquareBracket(item, _)
            | ast::ArrayElemTypeDef::AngleBracket(item),
        ) => (item.as_ref(), true),
        other => (other, false),
    };
    let text = item.to_string().to_lowercase();
    let name = text.split('(').next().unwrap_or_default().trim();
    let name = match name {
        "timestamp with time zone" => "timestamptz",
        "timestamp without time zone" => "timestamp",
        name => name,
    };
    let item = PgType::named(name)?;
    Some(if is_array { PgType::Array(Box::new(item)) } else { item })
}
