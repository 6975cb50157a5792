//! Forms of Postgres that the parser doesn't know, in words that it does, before it reads them.
//!
//! - `x BETWEEN SYMMETRIC a AND b`: the first bound is marked as an argument of [`SYMMETRIC`];
//! - `interval(0) '1.6 s'`: `interval '1.6 s' second(0)`;
//! - `trim(leading from x)`: the blank that is meant;
//! - `ROLLUP ((x)::date)`: the item in parentheses, without which `(x)` would be one;
//! - `current_schema`: its call;
//! - `x LIKE ANY (…)`, `x NOT ILIKE ALL (…)`: their operators, `~~` and `!~~*`;
//! - `FOR NO KEY UPDATE`, `FOR KEY SHARE`: the locks that they are weaker forms of.
//!
//! Every token keeps the place in the text that it was written at.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

/// The name of what stands around the first bound of `BETWEEN SYMMETRIC`.
pub(crate) const SYMMETRIC: &str = "canon between symmetric";

/// A token more, in front of another.
type Insertion = (usize, Token);

/// Takes the words away that make a lock behind `FOR` a weaker one.
fn weaker_lock(tokens: &mut [TokenWithSpan], written: &[usize]) {
    let words = written.iter().take(3).map(|at| super::keyword(&tokens[*at].token));
    let words: Vec<String> = words.collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let weakening = match words.as_slice() {
        ["NO", "KEY", "UPDATE"] => 2,
        ["KEY", "SHARE", ..] => 1,
        _ => 0,
    };
    written.iter().take(weakening).for_each(|at| tokens[*at].token = super::blank());
}

/// The tokens with these forms written anew.
pub(super) fn known(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let written: Vec<usize> =
        (0..tokens.len()).filter(|index| !super::is_blank(&tokens[*index].token)).collect();
    let mut insertions: Vec<Insertion> = Vec::new();
    for (place, index) in written.iter().enumerate() {
        let word = |offset: usize| {
            written.get(place + offset).map(|at| super::keyword(&tokens[*at].token))
        };
        let is = |offset: usize, expected: &str| word(offset).is_some_and(|word| word == expected);
        let opens = written.get(place + 1).is_some_and(|at| tokens[*at].token == Token::LParen);
        let before = place.checked_sub(1).map(|place| written[place]);
        match super::keyword(&tokens[*index].token).as_str() {
            "BETWEEN" if is(1, "SYMMETRIC") => {
                let (symmetric, rest) = (written[place + 1], &written[place + 2..]);
                let Some(end) = first_bound_end(&tokens, rest) else { continue };
                tokens[symmetric].token = marker();
                insertions.push((symmetric + 1, Token::LParen));
                insertions.push((end, Token::RParen));
            }
            like @ ("LIKE" | "ILIKE") if is(1, "ANY") || is(1, "ALL") || is(1, "SOME") => {
                let not = before.filter(|at| super::keyword(&tokens[*at].token) == "NOT");
                let operator = match (like, not) {
                    ("LIKE", None) => Token::DoubleTilde,
                    ("LIKE", Some(_)) => Token::ExclamationMarkDoubleTilde,
                    (_, None) => Token::DoubleTildeAsterisk,
                    (_, Some(_)) => Token::ExclamationMarkDoubleTildeAsterisk,
                };
                tokens[*index].token = operator;
                if let Some(not) = not {
                    tokens[not].token = super::blank();
                }
            }
            "FOR" => weaker_lock(&mut tokens, &written[place + 1..]),
            "INTERVAL" => {
                let Some([open, digits, close, text, ..]) = written.get(place + 1..) else {
                    continue;
                };
                let (open, digits, close, text) = (*open, *digits, *close, *text);
                if tokens[open].token == Token::LParen
                    && matches!(tokens[digits].token, Token::Number(..))
                    && tokens[close].token == Token::RParen
                    && matches!(tokens[text].token, Token::SingleQuotedString(_))
                {
                    let behind = [open, digits, close].map(|at| {
                        (text + 1, std::mem::replace(&mut tokens[at].token, super::blank()))
                    });
                    insertions.push((text + 1, unquoted("second", Keyword::SECOND)));
                    insertions.extend(behind);
                }
            }
            "ROLLUP" | "CUBE" | "SETS" if opens => {
                insertions.extend(enclosed_items(&tokens, &written[place + 1..]));
            }
            "CURRENT_SCHEMA" => {
                let is_name = before.is_some_and(|at| {
                    tokens[at].token == Token::Period || super::keyword(&tokens[at].token) == "AS"
                });
                if !opens && !is_name {
                    insertions.extend([(index + 1, Token::LParen), (index + 1, Token::RParen)]);
                }
            }
            // Of blanks, if nothing else is written.
            "LEADING" | "TRAILING" | "BOTH" if is(1, "FROM") => {
                insertions.push((written[place + 1], Token::SingleQuotedString(" ".to_owned())));
            }
            _ => {}
        }
    }
    inserted(tokens, insertions)
}

/// Parentheses around the items of a list in parentheses that begin with one which ends before they do.
fn enclosed_items(tokens: &[TokenWithSpan], list: &[usize]) -> Vec<Insertion> {
    let mut enclosed = Vec::new();
    let mut item = 1;
    while let Some(end) = end_of(tokens, list, item, true) {
        let first = list[item];
        if tokens[first].token == Token::LParen
            && end_of(tokens, list, item + 1, false).is_some_and(|closed| closed + 1 < end)
        {
            enclosed.extend([(first, Token::LParen), (list[end], Token::RParen)]);
        }
        if tokens[list[end]].token != Token::Comma {
            break;
        }
        item = end + 1;
    }
    enclosed
}

/// Where the bracket that is open at a place is closed, or the item of a list in it ends.
fn end_of(tokens: &[TokenWithSpan], list: &[usize], place: usize, is_item: bool) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, index) in list.iter().enumerate().skip(place) {
        match tokens[*index].token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket if depth == 0 => return Some(at),
            Token::RParen | Token::RBracket => depth -= 1,
            Token::Comma if depth == 0 && is_item => return Some(at),
            _ => {}
        }
    }
    None
}

/// Where the AND behind the first bound is: outside of brackets and of CASE.
fn first_bound_end(tokens: &[TokenWithSpan], rest: &[usize]) -> Option<usize> {
    let mut depth = 0_usize;
    for at in rest {
        match (&tokens[*at].token, super::keyword(&tokens[*at].token).as_str()) {
            (Token::LParen | Token::LBracket, _) | (_, "CASE") => depth += 1,
            (Token::RParen | Token::RBracket, _) | (_, "END") => depth = depth.checked_sub(1)?,
            (Token::Comma, _) if depth == 0 => return None,
            (_, "AND") if depth == 0 => return Some(*at),
            _ => {}
        }
    }
    None
}

fn unquoted(word: &str, keyword: Keyword) -> Token {
    Token::Word(Word { value: word.to_owned(), quote_style: None, keyword })
}

fn marker() -> Token {
    Token::Word(Word {
        value: SYMMETRIC.to_owned(),
        quote_style: Some('"'),
        keyword: Keyword::NoKeyword,
    })
}

fn inserted(tokens: Vec<TokenWithSpan>, mut insertions: Vec<Insertion>) -> Vec<TokenWithSpan> {
    if insertions.is_empty() {
        return tokens;
    }
    insertions.sort_by_key(|(at, _)| *at);
    let mut insertions = insertions.into_iter().peekable();
    let mut all = Vec::with_capacity(tokens.len() + insertions.len());
    for (index, token) in tokens.into_iter().enumerate() {
        while let Some((_, more)) = insertions.next_if(|(at, _)| *at == index) {
            all.push(TokenWithSpan::new(more, token.span));
        }
        all.push(token);
    }
    let end = all.last().map(|last| last.span);
    let behind = insertions.filter_map(|(_, more)| Some(TokenWithSpan::new(more, end?)));
    all.extend(behind.collect::<Vec<_>>());
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    fn known_as(text: &str) -> String {
        let mut tokens = Vec::new();
        Tokenizer::new(&PostgreSqlDialect {}, text)
            .tokenize_with_location_into_buf(&mut tokens)
            .unwrap();
        known(tokens).iter().map(|token| token.token.to_string()).collect()
    }

    #[test]
    fn forms_become_known_ones() {
        let symmetric = format!("\"{SYMMETRIC}\"");
        for (text, expected) in [
            ("x between symmetric a and b", format!("x between {symmetric}( a )and b")),
            (
                "x between symmetric (case when a and b then 1 end) and 2",
                format!("x between {symmetric}( (case when a and b then 1 end) )and 2"),
            ),
            ("t not like all (p)", "t   !~~ all (p)".to_owned()),
            ("t ilike any (p)", "t ~~* any (p)".to_owned()),
            ("t like 'any'", "t like 'any'".to_owned()),
            ("interval(0) '1 s'", "interval    '1 s'second(0)".to_owned()),
            ("trim(leading from t)", "trim(leading ' 'from t)".to_owned()),
            ("rollup ((a)::date, (b, c), (d))", "rollup (((a)::date), (b, c), (d))".to_owned()),
            ("cube ((a) + 1)", "cube (((a) + 1))".to_owned()),
            ("grouping sets ((), (a))", "grouping sets ((), (a))".to_owned()),
            ("select current_schema, x", "select current_schema(), x".to_owned()),
            ("current_schema() as current_schema", "current_schema() as current_schema".to_owned()),
        ] {
            assert_eq!(known_as(text), expected, "{text}");
        }
    }
}
