//! Text to statements with spans, and the catalogue that clients look around in.

pub(crate) mod ast;
pub mod catalog;
mod dates;
mod error;
pub(crate) mod jsonb;
pub(crate) mod multisets;
pub mod operators;
pub mod parse;
mod quantified;
pub(crate) mod row_functions;
pub mod settings;
pub(crate) mod spelling;
pub mod timezone;
mod tuples;
pub mod types;
pub mod value;
pub(crate) mod values;
pub(crate) mod windows;
pub mod wording;

pub use error::SqlError;

use datafusion::sql::sqlparser::tokenizer::Location;

/// The character, from 1, of a line and column in a text; None where the parser gave no place.
///
/// Source: PostgreSQL manual, "Error and Notice Message Fields": the position counts characters.
pub fn position_of(text: &str, location: Location) -> Option<usize> {
    let (line, column) =
        (usize::try_from(location.line).ok()?, usize::try_from(location.column).ok()?);
    if line == 0 || column == 0 {
        return None;
    }
    let before: usize = text.split('\n').take(line - 1).map(|line| line.chars().count() + 1).sum();
    Some(before + column)
}
