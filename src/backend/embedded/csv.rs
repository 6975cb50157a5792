//! What the columns of a CSV file hold, found by reading all of it: a type guessed from the first
//! rows would break on a later one, and a float would not hold an amount of money.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::NaiveDate;
use datafusion::arrow::array::AsArray;
use datafusion::arrow::csv::ReaderBuilder;
use datafusion::arrow::csv::reader::Format;
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::arrow::error::ArrowError;

/// The widest decimal of Decimal128, and the widest that most engines keep in eight bytes.
const DIGITS_MAX: u8 = 38;
const DIGITS_SMALL: u8 = 18;

/// The columns that all files of a table share: the header's names with the narrowest type that
/// holds every value of the column. Empty fields are NULL. Blocks; reads the files in batches.
///
/// # Errors
/// A file that can't be read, or whose header isn't that of the first: columns are read by
/// position.
pub(super) fn infer_all(paths: &[PathBuf]) -> Result<Schema, ArrowError> {
    let mut columns: Option<Vec<(String, Kind)>> = None;
    for path in paths {
        let found = infer(path)?;
        columns = Some(match columns {
            None => found,
            Some(columns) => merge(columns, found)?,
        });
    }
    let fields: Vec<Field> = columns
        .unwrap_or_default()
        .into_iter()
        .map(|(name, kind)| Field::new(name, kind.data_type(), true))
        .collect();
    Ok(Schema::new(fields))
}

fn merge(
    columns: Vec<(String, Kind)>,
    others: Vec<(String, Kind)>,
) -> Result<Vec<(String, Kind)>, ArrowError> {
    let names = columns.iter().map(|(name, _)| name);
    if !names.eq(others.iter().map(|(name, _)| name)) {
        return Err(ArrowError::SchemaError("the headers of a table's files differ".to_owned()));
    }
    let kinds = others.into_iter().map(|(_, kind)| kind);
    Ok(columns.into_iter().zip(kinds).map(|((name, a), b)| (name, a.join(b))).collect())
}

fn infer(path: &Path) -> Result<Vec<(String, Kind)>, ArrowError> {
    let (header, _) =
        Format::default().with_header(true).infer_schema(File::open(path)?, Some(0))?;
    let texts: Vec<Field> =
        header.fields().iter().map(|f| Field::new(f.name(), DataType::Utf8, true)).collect();
    let reader = ReaderBuilder::new(Arc::new(Schema::new(texts)))
        .with_header(true)
        .build(File::open(path)?)?;
    let mut kinds = vec![Kind::Empty; header.fields().len()];
    for batch in reader {
        let batch = batch?;
        for (kind, column) in kinds.iter_mut().zip(batch.columns()) {
            let texts = column.as_string::<i32>();
            *kind = texts.iter().flatten().fold(*kind, |kind, text| kind.with(text));
        }
    }
    let names = header.fields().iter().map(|field| field.name().clone());
    Ok(names.zip(kinds).collect())
}

/// What all values of a column so far are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Empty,
    Boolean,
    /// Plain decimal notation: the most digits before and after the point.
    Number {
        whole: u8,
        fraction: u8,
    },
    /// With an exponent, or longer than any decimal.
    Float,
    Date,
    Timestamp,
    TimestampTz,
    Text,
}

impl Kind {
    fn with(self, text: &str) -> Kind {
        match self {
            Kind::Text => Kind::Text,
            _ => self.join(Kind::of(text)),
        }
    }

    /// The narrowest kind of both.
    fn join(self, other: Kind) -> Kind {
        match (self, other) {
            (a, b) if a == b => a,
            (Kind::Empty, kind) | (kind, Kind::Empty) => kind,
            (
                Kind::Number { whole: w1, fraction: f1 },
                Kind::Number { whole: w2, fraction: f2 },
            ) => {
                let (whole, fraction) = (w1.max(w2), f1.max(f2));
                if whole + fraction <= DIGITS_MAX {
                    Kind::Number { whole, fraction }
                } else {
                    Kind::Float
                }
            }
            (Kind::Float, Kind::Number { .. }) | (Kind::Number { .. }, Kind::Float) => Kind::Float,
            (Kind::Date, Kind::Timestamp) | (Kind::Timestamp, Kind::Date) => Kind::Timestamp,
            _ => Kind::Text,
        }
    }

    fn of(text: &str) -> Kind {
        if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
            return Kind::Boolean;
        }
        number(text).or_else(|| moment(text)).unwrap_or(Kind::Text)
    }

    fn data_type(self) -> DataType {
        match self {
            Kind::Empty | Kind::Text => DataType::Utf8,
            Kind::Boolean => DataType::Boolean,
            Kind::Number { whole, fraction: 0 } if whole <= DIGITS_SMALL => DataType::Int64,
            Kind::Number { whole, fraction } => {
                let precision =
                    if whole + fraction <= DIGITS_SMALL { DIGITS_SMALL } else { DIGITS_MAX };
                DataType::Decimal128(precision, fraction.cast_signed())
            }
            Kind::Float => DataType::Float64,
            Kind::Date => DataType::Date32,
            Kind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Kind::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }
}

/// A number; a code with leading zeros isn't one.
fn number(text: &str) -> Option<Kind> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = whole.len() > 1 && whole.starts_with('0');
    if whole.is_empty() || leading_zero || unsigned.ends_with('.') {
        return None;
    }
    if digits(whole) && digits(fraction) {
        let length = whole.len() + fraction.len();
        return match (u8::try_from(whole.len()), u8::try_from(fraction.len())) {
            (Ok(whole), Ok(fraction)) if length <= usize::from(DIGITS_MAX) => {
                Some(Kind::Number { whole, fraction })
            }
            _ => Some(Kind::Float),
        };
    }
    let exponent = whole.as_bytes()[0].is_ascii_digit() && text.contains(['e', 'E']);
    (exponent && text.parse::<f64>().is_ok()).then_some(Kind::Float)
}

/// A date, or a date and time with or without an offset from UTC.
fn moment(text: &str) -> Option<Kind> {
    let date = text.get(..10)?;
    NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?;
    let rest = &text[10..];
    if rest.is_empty() {
        return Some(Kind::Date);
    }
    let time = rest.strip_prefix(['T', ' '])?;
    let zone = time.find(['Z', 'z', '+', '-']);
    datafusion::arrow::compute::kernels::cast_utils::string_to_datetime(&chrono::Utc, text).ok()?;
    let clock = time[..zone.unwrap_or(time.len())].trim_end();
    let plain = clock.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.'));
    match zone {
        Some(_) if plain => Some(Kind::TimestampTz),
        None if plain => Some(Kind::Timestamp),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(texts: &[&str]) -> DataType {
        texts.iter().fold(Kind::Empty, |kind, text| kind.with(text)).data_type()
    }

    #[test]
    fn a_column_gets_the_narrowest_type_that_loses_nothing() {
        let cases: [(&[&str], DataType); 14] = [
            (&["1", "-20"], DataType::Int64),
            (&["1", "2.50", "-3.125"], DataType::Decimal128(18, 3)),
            (&["12345678901234567890", "0.5"], DataType::Decimal128(38, 1)),
            (&["1234567890123456789"], DataType::Decimal128(38, 0)),
            (&["1e3", "2"], DataType::Float64),
            (&["01234", "5"], DataType::Utf8),
            (&["1.", "2"], DataType::Utf8),
            (&["true", "False"], DataType::Boolean),
            (&["true", "1"], DataType::Utf8),
            (&["2026-01-02"], DataType::Date32),
            (&["2026-13-02"], DataType::Utf8),
            (
                &["2026-01-02", "2026-01-02 03:04:05.25"],
                DataType::Timestamp(TimeUnit::Microsecond, None),
            ),
            (
                &["2026-01-02T03:04:05Z", "2026-01-02 03:04:05+01:00"],
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            ),
            (&["2026-01-02T03:04:05Z", "2026-01-02T03:04:05"], DataType::Utf8),
        ];
        for (texts, data_type) in cases {
            assert_eq!(kind(texts), data_type, "{texts:?}");
        }
    }
}
