//! Spellings of literals that the planner doesn't know, in those that it does.

use datafusion::sql::sqlparser::ast::{Expr, Value, ValueWithSpan};

use crate::sql::ast::call;

/// `U&'…'` as a plain text; `LIKE … ESCAPE 'x'` with the backslash as its escape.
pub(crate) fn simplify(expr: &mut Expr) {
    match expr {
        Expr::Value(value) => {
            if let Value::UnicodeStringLiteral(text) = &mut value.value {
                value.value = Value::SingleQuotedString(std::mem::take(text));
            }
        }
        Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
            if let Some(escape) = escape_char.take() {
                escape_by_backslash(pattern, escape);
            }
        }
        _ => {}
    }
}

/// A pattern with an escape of its own, written with the usual one: the planner knows the backslash
/// only. What isn't a constant is written so when it is known.
fn escape_by_backslash(pattern: &mut Expr, escape: ValueWithSpan) {
    let rewritten = match (&*pattern, text_of(&escape.value)) {
        (Expr::Value(value), Some(escape)) if escape.chars().count() < 2 => {
            text_of(&value.value).map(|text| with_backslashes(text, escape))
        }
        _ => None,
    };
    *pattern = match rewritten {
        Some(rewritten) => Expr::value(Value::SingleQuotedString(rewritten)),
        None => {
            let given = std::mem::replace(pattern, Expr::value(Value::Null));
            call("like_escape", vec![given, Expr::Value(escape)])
        }
    };
}

fn text_of(value: &Value) -> Option<&str> {
    match value {
        Value::SingleQuotedString(text)
        | Value::EscapedStringLiteral(text)
        | Value::UnicodeStringLiteral(text) => Some(text),
        _ => None,
    }
}

/// A pattern whose escape is the backslash, for one whose escape is `escape`: a character, or the
/// empty text for none.
fn with_backslashes(pattern: &str, escape: &str) -> String {
    let mut rewritten = String::with_capacity(pattern.len());
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        match letter {
            letter if escape.chars().eq([letter]) => {
                rewritten.push('\\');
                rewritten.extend(letters.next());
            }
            '\\' => rewritten.push_str("\\\\"),
            letter => rewritten.push(letter),
        }
    }
    rewritten
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_keep_their_meaning() {
        assert_eq!(with_backslashes("100!%!_", "!"), "100\\%\\_");
        assert_eq!(with_backslashes("a!!b%", "!"), "a\\!b%");
        assert_eq!(with_backslashes("a\\%", "!"), "a\\\\%");
        assert_eq!(with_backslashes("a\\%", "\\"), "a\\%");
        assert_eq!(with_backslashes("a\\%", ""), "a\\\\%");
    }
}
