//! Functions that make texts much longer than those they are given: by a number, or once for each
//! character. How long they may become is known before they are made.

use super::error::FunctionError;
use super::rows::{self, Kind, Outcome, Overload, RowFunction, Value};

type Result<T> = std::result::Result<T, FunctionError>;

/// A text that a function makes has no more bytes than this: as in Postgres, about a gigabyte would
/// be possible, but nobody means it.
pub(super) const BYTES_MAX: usize = 16 << 20;

#[rustfmt::skip]
pub(super) const FUNCTIONS: &[RowFunction] = &[
    RowFunction { name: "repeat", overloads: &[
        Overload::new(&[Kind::Text, Kind::Int], rows::text, |args| repeated(args[0].str(), args[1].int())),
    ] },
    RowFunction { name: "lpad", overloads: &[
        Overload::new(&[Kind::Text, Kind::Int], rows::text, |args| padded(args, Side::Left)),
        Overload::new(&[Kind::Text, Kind::Int, Kind::Text], rows::text, |args| padded(args, Side::Left)),
    ] },
    RowFunction { name: "rpad", overloads: &[
        Overload::new(&[Kind::Text, Kind::Int], rows::text, |args| padded(args, Side::Right)),
        Overload::new(&[Kind::Text, Kind::Int, Kind::Text], rows::text, |args| padded(args, Side::Right)),
    ] },
    RowFunction { name: "replace", overloads: &[
        Overload::new(&[Kind::Text, Kind::Text, Kind::Text], rows::text, |args| replaced(args[0].str(), args[1].str(), args[2].str())),
    ] },
];

/// The bytes of so many pieces, where there may be as many.
fn checked(pieces: usize, bytes: usize) -> Result<usize> {
    pieces.checked_mul(bytes).filter(|length| *length <= BYTES_MAX).ok_or_else(too_long)
}

pub(super) fn too_long() -> FunctionError {
    FunctionError::new("54000", "requested length too large")
        .with_hint(format!("Functions make texts of up to {BYTES_MAX} bytes."))
}

fn repeated(text: &str, count: i64) -> Outcome {
    if count <= 0 || text.is_empty() {
        return Ok(Value::text(""));
    }
    let count = usize::try_from(count).map_err(|_| too_long())?;
    checked(count, text.len())?;
    Ok(Value::text(text.repeat(count)))
}

enum Side {
    Left,
    Right,
}

/// Cut at the end on either side, where it is longer already.
fn padded(args: &[Value<'_>], side: Side) -> Outcome {
    let (text, fill) = (args[0].str(), args.get(2).map_or(" ", |fill| fill.str()));
    let length = usize::try_from(args[1].int().max(0)).map_err(|_| too_long())?;
    let kept: String = text.chars().take(length).collect();
    let missing = length - kept.chars().count();
    if missing == 0 || fill.is_empty() {
        return Ok(Value::text(kept));
    }
    checked(missing, fill.chars().map(char::len_utf8).max().unwrap_or(1))?;
    let padding: String = fill.chars().cycle().take(missing).collect();
    Ok(Value::text(match side {
        Side::Left => padding + &kept,
        Side::Right => kept + &padding,
    }))
}

fn replaced(text: &str, from: &str, to: &str) -> Outcome {
    if from.is_empty() {
        return Ok(Value::text(text));
    }
    if to.len() > from.len() {
        let added = checked(text.matches(from).count(), to.len() - from.len())?;
        checked(1, text.len().saturating_add(added))?;
    }
    Ok(Value::text(text.replace(from, to)))
}
