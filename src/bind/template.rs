//! `to_timestamp('…', 'YYYY-MM-DD HH24:MI:SS.US')` and `to_date('…', …)` of constants, and `date(…)`, as
//! the casts that say the same. BI tools write the bounds of their time filters so; as casts of literals these
//! reach the sources' ranges of time.
//!
//! The template's words are read as Postgres reads them where every one has all its digits and the
//! separators are those of the text; else nothing is said, and the call is left to its function.

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, Function, TimezoneInfo, Value, ValueWithSpan,
};

use super::pending::arguments;

/// The words of templates that are read here, longer ones first, with their digits.
const WORDS: [(&str, usize); 8] =
    [("YYYY", 4), ("HH24", 2), ("MM", 2), ("DD", 2), ("MI", 2), ("SS", 2), ("MS", 3), ("US", 6)];

/// The cast that a call is, if it is one.
pub(crate) fn as_cast(name: &str, function: &Function) -> Option<Expr> {
    if name == "date" {
        let [moment] = arguments(function).try_into().ok()?;
        return Some(cast(moment, DataType::Date));
    }
    let data_type = match name {
        "to_timestamp" => DataType::Timestamp(None, TimezoneInfo::WithTimeZone),
        "to_date" => DataType::Date,
        _ => return None,
    };
    let [text, template] = arguments(function).try_into().ok()?;
    let moment = read(constant(&text)?, constant(&template)?)?;
    let written = match data_type {
        DataType::Date => moment.split(' ').next().unwrap_or_default().to_owned(),
        _ => moment,
    };
    Some(cast(Expr::value(Value::SingleQuotedString(written)), data_type))
}

fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

fn constant(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => Some(text),
        _ => None,
    }
}

/// A text read by a template, as `2026-03-01 10:00:00.000000`.
fn read(text: &str, template: &str) -> Option<String> {
    let (mut text, mut template) = (text, template);
    let mut found: [Option<&str>; WORDS.len()] = [None; WORDS.len()];
    while !template.is_empty() {
        let word = WORDS.iter().position(|(word, _)| {
            template.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
        });
        match word {
            Some(index) => {
                let (word, digits) = WORDS[index];
                let value = text.get(..digits)?;
                if !value.bytes().all(|byte| byte.is_ascii_digit()) || found[index].is_some() {
                    return None;
                }
                found[index] = Some(value);
                (text, template) = (&text[digits..], &template[word.len()..]);
            }
            None => {
                let separator = template.chars().next().filter(|it| !it.is_alphanumeric())?;
                text = text.strip_prefix(separator)?;
                template = &template[separator.len_utf8()..];
            }
        }
    }
    let [year, hour, month, day, minute, second, millis, micros] = found;
    let fraction = micros.map(str::to_owned).or(millis.map(|digits| format!("{digits}000")));
    text.is_empty().then(|| {
        format!(
            "{}-{}-{} {}:{}:{}.{}",
            year.unwrap_or("0001"),
            month.unwrap_or("01"),
            day.unwrap_or("01"),
            hour.unwrap_or("00"),
            minute.unwrap_or("00"),
            second.unwrap_or("00"),
            fraction.as_deref().unwrap_or("000000"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_read_where_every_word_has_its_digits() {
        let read = |text, template| read(text, template).unwrap_or_default();
        let full = "YYYY-MM-DD HH24:MI:SS.US";
        assert_eq!(read("2026-03-01 10:20:30.000004", full), "2026-03-01 10:20:30.000004");
        assert_eq!(read("2026-03-01", "YYYY-MM-DD"), "2026-03-01 00:00:00.000000");
        assert_eq!(read("01/03/2026", "dd/mm/yyyy"), "2026-03-01 00:00:00.000000");
        assert_eq!(read("20260301", "YYYYMMDD"), "2026-03-01 00:00:00.000000");
        assert_eq!(read("2026-03-01 10:20:30.004", "YYYY-MM-DD HH24:MI:SS.MS").len(), 26);
        for (text, template) in [
            ("2026-3-1", "YYYY-MM-DD"),
            ("2026-03-01 10", "YYYY-MM-DD"),
            ("March 2026", "Month YYYY"),
            ("2026-03-01 10:20:30 PM", "YYYY-MM-DD HH:MI:SS AM"),
        ] {
            assert_eq!(read(text, template), "", "{text} by {template}");
        }
    }
}
