//! Spellings of literals that the planner doesn't know, in those that it does.

use datafusion::sql::sqlparser::ast::{Expr, Value};

/// `U&'…'` as a plain text; `LIKE … ESCAPE 'x'` with the backslash as its escape.
pub(crate) fn simplify(expr: &mut Expr) {
    match expr {
        Expr::Value(value) => {
            if let Value::UnicodeStringLiteral(text) = &mut value.value {
                value.value = Value::SingleQuotedString(std::mem::take(text));
            }
        }
        Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
            let escape = match escape_char.as_ref().map(|escape| &escape.value) {
                Some(Value::SingleQuotedString(text)) => text.clone(),
                _ => return,
            };
            if let Expr::Value(value) = &mut **pattern
                && let Value::SingleQuotedString(text) = &mut value.value
            {
                *text = with_backslashes(text, &escape);
                *escape_char = None;
            }
        }
        _ => {}
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
