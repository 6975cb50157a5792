//! COPY, read from its tokens. Only rows that go out to the client are copied.
//!
//! Source: PostgreSQL manual, COPY; the words of errors are those of `ProcessCopyOptions` in
//! `src/backend/commands/copy.c`.

use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};

use super::commands::{Commands, Parsed, string};
use super::{Source, Statement};
use crate::sql::SqlError;
use crate::sql::settings::parse_bool;

/// How rows are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOptions {
    pub format: CopyFormat,
    /// The names of the columns are the first line.
    pub header: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyFormat {
    Text { delimiter: u8, null: String },
    Csv(CsvOptions),
    Binary,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    pub delimiter: u8,
    pub null: String,
    pub quote: u8,
    pub escape: u8,
    pub force_quote: ForceQuote,
}

/// Which columns' values are quoted even where they needn't be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForceQuote {
    Columns(Vec<String>),
    All,
}

/// The options as they are written, each None if it isn't.
#[derive(Default)]
struct Written {
    format: Option<(String, usize)>,
    delimiter: Option<String>,
    null: Option<String>,
    header: Option<bool>,
    quote: Option<String>,
    escape: Option<String>,
    force_quote: Option<ForceQuote>,
    encoding: Option<(String, usize)>,
    /// FORCE_NULL and FORCE_NOT_NULL, in lower case.
    others: Vec<String>,
}

/// Where rows go to, or come from.
enum Peer {
    Client,
    File,
    Program,
}

fn refused(sqlstate: &'static str, message: impl Into<String>) -> SqlError {
    SqlError::Refused { sqlstate, message: message.into(), hint: None, position: None }
}

/// The fault, at the option that it is of.
fn at(fault: SqlError, place: usize) -> SqlError {
    match fault {
        SqlError::Refused { sqlstate, message, hint, .. } => {
            SqlError::Refused { sqlstate, message, hint, position: Some(place) }
        }
        other => other,
    }
}

impl Commands<'_> {
    /// The whole statement. What is wrong with its options is told when its turn comes.
    pub(super) fn copy(mut self) -> Parsed<Statement> {
        let mut written = Written::default();
        let query = if self.token() == Some(&Token::LParen) {
            self.copied_query()?
        } else {
            if self.peek_is("BINARY") && matches!(self.token_at(1), Some(Token::Word(_))) {
                self.next += 1;
                written.format = Some(("binary".to_owned(), self.position()));
            }
            self.copied_relation()?
        };
        let out = self.one_of("TO", "FROM")?;
        let peer = self.peer()?;
        if let Some(fault) = access_fault(&peer, out) {
            return Ok(Statement::Refused(fault));
        }
        let options = match self.copy_options(&mut written) {
            Ok(()) => self.end().map(|()| written.options())?,
            Err(fault @ SqlError::Refused { .. }) => Err(fault),
            Err(syntax) => return Err(syntax),
        };
        Ok(match (query, options) {
            (_, Err(fault)) => Statement::Refused(fault),
            (Statement::Query(query), Ok(options)) => Statement::CopyOut { query, options },
            (refused, Ok(_)) => refused,
        })
    }

    /// A query in parentheses.
    fn copied_query(&mut self) -> Parsed<Statement> {
        let first = self.next + 1;
        let mut depth = 0_usize;
        let close = self.tokens.iter().enumerate().skip(self.next).find(|(_, token)| {
            match token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        let Some((close, _)) = close else { return Err(self.source.at_end()) };
        let inner = self.between(first, close);
        self.next = first;
        if inner.is_empty() || !self.at_query() {
            return Err(self.unexpected());
        }
        self.next = close + 1;
        Source::of(self.source.text, &inner).select()
    }

    fn at_query(&self) -> bool {
        const WORDS: [&str; 8] =
            ["SELECT", "WITH", "VALUES", "TABLE", "INSERT", "UPDATE", "DELETE", "MERGE"];
        self.token() == Some(&Token::LParen) || WORDS.contains(&self.word_at(0).as_str())
    }

    /// `relation [(column, …)]` as the query `SELECT columns FROM relation`.
    fn copied_relation(&mut self) -> Parsed<Statement> {
        let start = self.next;
        self.name()?;
        while self.accept_token(&Token::Period) {
            self.name()?;
        }
        let relation = self.between(start, self.next);
        let mut columns = Vec::new();
        if self.accept_token(&Token::LParen) {
            let from = self.next;
            loop {
                self.name()?;
                if self.accept_token(&Token::RParen) {
                    break;
                }
                if !self.accept_token(&Token::Comma) {
                    return Err(self.unexpected());
                }
            }
            columns = self.between(from, self.next - 1);
        }
        let span = relation.first().map_or_else(Span::empty, |token| token.span);
        let word = |token| TokenWithSpan::new(token, span);
        if columns.is_empty() {
            columns.push(word(Token::Mul));
        }
        let select = std::iter::once(word(Token::make_keyword("SELECT"))).chain(columns);
        let from = std::iter::once(word(Token::make_keyword("FROM"))).chain(relation);
        let tokens: Vec<TokenWithSpan> = select.chain(from).collect();
        Source::of(self.source.text, &tokens).query()
    }

    fn between(&self, from: usize, to: usize) -> Vec<TokenWithSpan> {
        self.tokens.get(from..to).unwrap_or_default().iter().map(|token| (*token).clone()).collect()
    }

    fn peer(&mut self) -> Parsed<Peer> {
        // Postgres takes either word in either direction.
        if self.accept("STDOUT") || self.accept("STDIN") {
            return Ok(Peer::Client);
        }
        let program = self.accept("PROGRAM");
        let Some(token) = self.token() else { return Err(self.unexpected()) };
        string(token).ok_or_else(|| self.unexpected())?;
        self.next += 1;
        Ok(if program { Peer::Program } else { Peer::File })
    }

    fn copy_options(&mut self, written: &mut Written) -> Parsed<()> {
        self.accept("WITH");
        if !self.accept_token(&Token::LParen) {
            return self.old_options(written);
        }
        loop {
            self.option(written)?;
            if self.accept_token(&Token::RParen) {
                return Ok(());
            }
            if !self.accept_token(&Token::Comma) {
                return Err(self.unexpected());
            }
        }
    }

    /// `NAME [value]` of a list in parentheses.
    fn option(&mut self, written: &mut Written) -> Parsed<()> {
        let place = self.position();
        let name = self.name()?;
        let fresh = match name.as_str() {
            "format" => set(&mut written.format, (self.option_text()?.to_lowercase(), place)),
            "delimiter" => set(&mut written.delimiter, self.option_text()?),
            "null" => set(&mut written.null, self.option_text()?),
            "quote" => set(&mut written.quote, self.option_text()?),
            "escape" => set(&mut written.escape, self.option_text()?),
            "encoding" => set(&mut written.encoding, (self.option_text()?, place)),
            "header" => set(&mut written.header, header(self.option_value()?.as_deref())?),
            "force_quote" => {
                let columns = match self.accept_token(&Token::Mul) {
                    true => ForceQuote::All,
                    false => ForceQuote::Columns(self.column_list()?),
                };
                set(&mut written.force_quote, columns)
            }
            "force_null" | "force_not_null" => {
                self.column_list()?;
                written.others.push(name);
                true
            }
            "freeze" => {
                self.option_value()?;
                true
            }
            _ => {
                let fault = refused("42601", format!("option \"{name}\" not recognized"));
                return Err(at(fault, place));
            }
        };
        check_fresh(fresh, place)
    }

    fn position(&self) -> usize {
        let place = self.here().map(|token| token.span.start);
        place.map_or(0, |place| super::position(self.source.text, place))
    }

    fn at_option_end(&self) -> bool {
        matches!(self.token(), None | Some(Token::Comma | Token::RParen))
    }

    fn option_value(&mut self) -> Parsed<Option<String>> {
        if self.at_option_end() { Ok(None) } else { self.set_item().map(Some) }
    }

    fn option_text(&mut self) -> Parsed<String> {
        if self.at_option_end() { Err(self.unexpected()) } else { self.set_item() }
    }

    fn column_list(&mut self) -> Parsed<Vec<String>> {
        if !self.accept_token(&Token::LParen) {
            return Err(self.unexpected());
        }
        let mut columns = Vec::new();
        loop {
            columns.push(self.name()?);
            if self.accept_token(&Token::RParen) {
                return Ok(columns);
            }
            if !self.accept_token(&Token::Comma) {
                return Err(self.unexpected());
            }
        }
    }

    /// The syntax from before 9.0: words one after the other.
    fn old_options(&mut self, written: &mut Written) -> Parsed<()> {
        while !self.at_end() {
            let place = self.position();
            let fresh = if self.accept("BINARY") {
                set(&mut written.format, ("binary".to_owned(), place))
            } else if self.accept("CSV") {
                set(&mut written.format, ("csv".to_owned(), place))
            } else if self.accept("HEADER") {
                set(&mut written.header, true)
            } else if self.accept("FREEZE") {
                true
            } else if self.accept("DELIMITER") {
                set(&mut written.delimiter, self.old_text()?)
            } else if self.accept("NULL") {
                set(&mut written.null, self.old_text()?)
            } else if self.accept("QUOTE") {
                set(&mut written.quote, self.old_text()?)
            } else if self.accept("ESCAPE") {
                set(&mut written.escape, self.old_text()?)
            } else if self.accept("ENCODING") {
                set(&mut written.encoding, (self.old_text()?, place))
            } else if self.accept("FORCE") {
                self.old_force(written)?
            } else {
                return Err(self.unexpected());
            };
            check_fresh(fresh, place)?;
        }
        Ok(())
    }

    fn old_text(&mut self) -> Parsed<String> {
        self.accept("AS");
        let text = self.token().and_then(string).ok_or_else(|| self.unexpected())?;
        self.next += 1;
        Ok(text)
    }

    fn old_force(&mut self, written: &mut Written) -> Parsed<bool> {
        let is_quote = self.accept("QUOTE");
        if is_quote && self.accept_token(&Token::Mul) {
            return Ok(set(&mut written.force_quote, ForceQuote::All));
        }
        if !is_quote {
            let not = self.accept("NOT");
            self.expect("NULL")?;
            written.others.push(if not { "force_not_null" } else { "force_null" }.to_owned());
        }
        let mut columns = vec![self.name()?];
        while self.accept_token(&Token::Comma) {
            columns.push(self.name()?);
        }
        Ok(!is_quote || set(&mut written.force_quote, ForceQuote::Columns(columns)))
    }
}

/// False where it was set before.
fn set<T>(place: &mut Option<T>, value: T) -> bool {
    place.replace(value).is_none()
}

fn check_fresh(fresh: bool, place: usize) -> Parsed<()> {
    match fresh {
        true => Ok(()),
        false => Err(at(refused("42601", "conflicting or redundant options"), place)),
    }
}

fn header(value: Option<&str>) -> Parsed<bool> {
    match value {
        None => Ok(true),
        Some(text) if text.eq_ignore_ascii_case("match") => {
            Err(refused("0A000", "cannot use \"match\" with HEADER in COPY TO"))
        }
        Some(text) => parse_bool(text)
            .ok_or_else(|| refused("42601", "header requires a Boolean value or \"match\"")),
    }
}

/// The client's own connection is all that rows go to; and none come in.
fn access_fault(peer: &Peer, out: bool) -> Option<SqlError> {
    let (role, what) = match (peer, out) {
        (Peer::Client, true) => return None,
        (Peer::Client, false) => {
            return Some(SqlError::ReadOnly { command: "COPY FROM".to_owned() });
        }
        (Peer::File, true) => ("pg_write_server_files", "to a file"),
        (Peer::File, false) => ("pg_read_server_files", "from a file"),
        (Peer::Program, _) => ("pg_execute_server_program", "to or from an external program"),
    };
    let message = format!("must be superuser or have privileges of the {role} role to COPY {what}");
    let hint =
        "Anyone can COPY to stdout or from stdin. psql's \\copy command also works for anyone.";
    Some(SqlError::Refused { sqlstate: "42501", message, hint: Some(hint), position: None })
}

/// A setting that must be one byte.
fn one_byte(text: Option<&str>, default: u8, what: &str) -> Parsed<u8> {
    match text.map(str::as_bytes) {
        None => Ok(default),
        Some([byte]) => Ok(*byte),
        Some(_) => {
            Err(refused("0A000", format!("COPY {what} must be a single one-byte character")))
        }
    }
}

impl Written {
    fn options(&self) -> Parsed<CopyOptions> {
        let header = self.header.unwrap_or(false);
        self.check_encoding()?;
        let format = match &self.format {
            None => self.text(false)?,
            Some((format, place)) => match format.as_str() {
                "text" => self.text(false)?,
                "csv" => self.text(true)?,
                "binary" => self.binary()?,
                other => {
                    let fault = refused("22023", format!("COPY format \"{other}\" not recognized"));
                    return Err(at(fault, *place));
                }
            },
        };
        Ok(CopyOptions { format, header })
    }

    fn binary(&self) -> Parsed<CopyFormat> {
        for (given, what) in [
            (self.delimiter.is_some(), "DELIMITER"),
            (self.null.is_some(), "NULL"),
            (self.header == Some(true), "HEADER"),
        ] {
            if given {
                let sqlstate = if what == "HEADER" { "0A000" } else { "42601" };
                return Err(refused(sqlstate, format!("cannot specify {what} in BINARY mode")));
            }
        }
        self.check_csv_only()?;
        Ok(CopyFormat::Binary)
    }

    fn check_csv_only(&self) -> Parsed<()> {
        for (given, what) in [
            (self.quote.is_some(), "quote"),
            (self.escape.is_some(), "escape"),
            (self.force_quote.is_some(), "force quote"),
        ] {
            if given {
                return Err(refused("0A000", format!("COPY {what} available only in CSV mode")));
            }
        }
        Ok(())
    }

    /// The formats text and csv.
    fn text(&self, csv: bool) -> Parsed<CopyFormat> {
        let default = if csv { b',' } else { b'\t' };
        let delimiter = one_byte(self.delimiter.as_deref(), default, "delimiter")?;
        let null = self.null.clone().unwrap_or_else(|| if csv { "" } else { "\\N" }.to_owned());
        if matches!(delimiter, b'\n' | b'\r') {
            return Err(refused("22023", "COPY delimiter cannot be newline or carriage return"));
        }
        if null.contains(['\n', '\r']) {
            let message = "COPY null representation cannot use newline or carriage return";
            return Err(refused("22023", message));
        }
        let confusing = matches!(delimiter, b'\\' | b'.' | b'a'..=b'z' | b'0'..=b'9');
        if !csv && confusing {
            let delimiter = char::from(delimiter);
            return Err(refused("22023", format!("COPY delimiter cannot be \"{delimiter}\"")));
        }
        if !csv {
            self.check_csv_only()?;
        }
        let quote = one_byte(self.quote.as_deref(), b'"', "quote")?;
        if csv && delimiter == quote {
            return Err(refused("22023", "COPY delimiter and quote must be different"));
        }
        let escape = one_byte(self.escape.as_deref(), quote, "escape")?;
        if let Some(other) = self.others.first() {
            let words = other.replace('_', " ");
            let only =
                if csv { "only available using COPY FROM" } else { "available only in CSV mode" };
            return Err(refused("0A000", format!("COPY {words} {only}")));
        }
        if null.as_bytes().contains(&delimiter) {
            let message = "COPY delimiter must not appear in the NULL specification";
            return Err(refused("0A000", message));
        }
        if !csv {
            return Ok(CopyFormat::Text { delimiter, null });
        }
        if null.as_bytes().contains(&quote) {
            let message = "CSV quote character must not appear in the NULL specification";
            return Err(refused("0A000", message));
        }
        let force_quote = self.force_quote.clone().unwrap_or(ForceQuote::Columns(Vec::new()));
        Ok(CopyFormat::Csv(CsvOptions { delimiter, null, quote, escape, force_quote }))
    }

    fn check_encoding(&self) -> Parsed<()> {
        /// Those that PostgreSQL knows begin so.
        const KNOWN: [&str; 12] = [
            "LATIN", "ISO", "WIN", "KOI", "EUC", "BIG5", "GB", "SJIS", "SHIFT", "JOHAB", "UHC",
            "MULE",
        ];
        let Some((encoding, place)) = &self.encoding else { return Ok(()) };
        let plain: String = encoding.chars().filter(char::is_ascii_alphanumeric).collect();
        let plain = plain.to_uppercase();
        if matches!(plain.as_str(), "UTF8" | "UNICODE" | "SQLASCII") {
            return Ok(());
        }
        if KNOWN.iter().any(|known| plain.starts_with(known)) {
            return Err(SqlError::NotSupported {
                what: format!("the encoding \"{encoding}\""),
                hint: Some("Use UTF8.".to_owned()),
                position: Some(*place),
            });
        }
        let message = "argument to option \"encoding\" must be a valid encoding name";
        Err(at(refused("22023", message), *place))
    }
}
