//! Values in the binary format, each as PostgreSQL's `…_send` function of the type writes it.

use std::net::IpAddr;

use datafusion::arrow::array::Array as _;

use super::cells::Cells;
use super::number::{self, Digits};
use super::{Style, datetime, put_length, text};
use crate::error::QueryError;
use crate::session::SessionError;
use crate::sql::timezone::TimeZone;
use crate::sql::types::{PgType, SystemForm};
use crate::wire::params::JSONB_VERSION;

/// Postgres counts days from 2000-01-01, canon from 1970-01-01.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Dimensions of an array, at most.
const DIMENSIONS_MAX: usize = 6;

/// Appends the bytes of a cell that isn't NULL.
///
/// # Errors
/// 22003 for an integer that the announced type can't hold, 0A000 for a form that has no bytes.
pub(super) fn write(
    cells: &Cells,
    row: usize,
    pg_type: &PgType,
    out: &mut Vec<u8>,
) -> Result<(), QueryError> {
    match (pg_type, cells) {
        // Types of text have the same bytes in both formats.
        (PgType::Text | PgType::Varchar | PgType::Name | PgType::Json | PgType::Unknown, _) => {
            as_text(cells, row, pg_type, out)
        }
        (PgType::Jsonb, _) => {
            out.push(JSONB_VERSION);
            as_text(cells, row, pg_type, out)
        }
        (PgType::Numeric(_), cells) => numeric(cells, row, out),
        (PgType::Uuid, cells) => uuid(cells, row, out),
        (PgType::Int2Vector | PgType::OidVector, cells) => vector(cells, row, pg_type, out),
        (PgType::Regclass | PgType::Regtype | PgType::Regproc, cells) => reg(cells, row, out),
        (PgType::System(system), cells) => match system.form {
            SystemForm::ObjectName => reg(cells, row, out),
            SystemForm::Address => address(cells, row, pg_type, out),
            SystemForm::Position => position(cells, row, pg_type, out),
            SystemForm::Number => {
                let number = cells.integer(row).and_then(|number| u32::try_from(number).ok());
                fixed(&number.ok_or_else(out_of_range)?.to_be_bytes(), out)
            }
            // A text to whoever shows it; nobody takes it apart.
            SystemForm::Text if matches!(system.name, "pg_node_tree" | "void") => {
                as_text(cells, row, pg_type, out)
            }
            SystemForm::Text => {
                let message =
                    format!("no binary output function available for type {}", system.name);
                Err(SessionError::BadResult { sqlstate: "42883", message }.into())
            }
        },
        (PgType::Array(item), Cells::List(array, items)) => {
            let range = text::range(array.value_offsets(), row);
            list(items, range, item, out)
        }
        (PgType::Array(_), _) => Err(not_supported(pg_type)),
        (_, Cells::Null) => Ok(()),
        (_, Cells::Bool(array)) => {
            out.push(u8::from(array.value(row)));
            Ok(())
        }
        (_, Cells::F32(array)) => fixed(&array.value(row).to_be_bytes(), out),
        (_, Cells::F64(array)) => fixed(&array.value(row).to_be_bytes(), out),
        (_, Cells::I16(_) | Cells::I32(_) | Cells::I64(_) | Cells::U64(_)) => {
            integer(cells, row, pg_type, out)
        }
        (_, Cells::Bytes(array)) => fixed(array.value(row), out),
        (_, Cells::LargeBytes(array)) => fixed(array.value(row), out),
        (_, Cells::Date(array)) => {
            let days = array.value(row);
            let shifted = match days {
                i32::MAX | i32::MIN => days,
                days => days.saturating_sub(EPOCH_DAYS),
            };
            fixed(&shifted.to_be_bytes(), out)
        }
        (_, Cells::Time(array)) => fixed(&array.value(row).to_be_bytes(), out),
        (_, Cells::Timestamp(array, per_second)) => {
            let micros = datetime::micros_of(array.value(row), *per_second);
            let shifted = match micros {
                i64::MAX | i64::MIN => micros,
                micros => micros.saturating_sub(EPOCH_MICROS),
            };
            fixed(&shifted.to_be_bytes(), out)
        }
        (_, Cells::Interval(array)) => {
            let value = array.value(row);
            fixed(&(value.nanoseconds / 1_000).to_be_bytes(), out)?;
            fixed(&value.days.to_be_bytes(), out)?;
            fixed(&value.months.to_be_bytes(), out)
        }
        (
            _,
            Cells::Text(_)
            | Cells::LargeText(_)
            | Cells::TextView(_)
            | Cells::Decimal128(..)
            | Cells::Decimal256(..)
            | Cells::Uuid(_)
            | Cells::Object(..)
            | Cells::List(..),
        ) => as_text(cells, row, pg_type, out),
    }
}

fn as_text(
    cells: &Cells,
    row: usize,
    pg_type: &PgType,
    out: &mut Vec<u8>,
) -> Result<(), QueryError> {
    let style = Style::plain(TimeZone::UTC);
    text::write(cells, row, pg_type, &mut text::ZoneClock::new(&style), out);
    Ok(())
}

#[inline]
fn fixed(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), QueryError> {
    out.extend_from_slice(bytes);
    Ok(())
}

fn out_of_range() -> QueryError {
    let message = "a value is out of range of the result's type".to_owned();
    SessionError::BadResult { sqlstate: "22003", message }.into()
}

fn not_supported(pg_type: &PgType) -> QueryError {
    let message = format!("the binary format of this value of type {pg_type:?} is not supported");
    SessionError::BadResult { sqlstate: "0A000", message }.into()
}

/// In as many bytes as the announced type has; as text where that is a type of text.
fn integer(
    cells: &Cells,
    row: usize,
    pg_type: &PgType,
    out: &mut Vec<u8>,
) -> Result<(), QueryError> {
    let value = cells.integer(row).ok_or_else(out_of_range)?;
    match pg_type {
        PgType::Int2 => {
            fixed(&i16::try_from(value).map_err(|_| out_of_range())?.to_be_bytes(), out)
        }
        PgType::Int4 => {
            fixed(&i32::try_from(value).map_err(|_| out_of_range())?.to_be_bytes(), out)
        }
        PgType::Int8 => {
            fixed(&i64::try_from(value).map_err(|_| out_of_range())?.to_be_bytes(), out)
        }
        PgType::Oid => fixed(&u32::try_from(value).map_err(|_| out_of_range())?.to_be_bytes(), out),
        PgType::Char => {
            out.push(u8::try_from(value & 0xff).unwrap_or(0));
            Ok(())
        }
        _ => fixed(itoa::Buffer::new().format(value).as_bytes(), out),
    }
}

fn numeric(cells: &Cells, row: usize, out: &mut Vec<u8>) -> Result<(), QueryError> {
    let mut buffer = itoa::Buffer::new();
    let digits = match cells {
        Cells::Decimal128(array, scale) => Digits::new(buffer.format(array.value(row)), *scale),
        Cells::Decimal256(array, scale) => Digits::new(&array.value(row).to_string(), *scale),
        other => {
            let value = other.integer(row).ok_or_else(out_of_range)?;
            Digits::new(buffer.format(value), 0)
        }
    };
    number::write_binary_numeric(&digits, out);
    Ok(())
}

fn uuid(cells: &Cells, row: usize, out: &mut Vec<u8>) -> Result<(), QueryError> {
    match cells {
        Cells::Uuid(array) => fixed(array.value(row), out),
        other => {
            let text = other.text(row).and_then(|text| ::uuid::Uuid::parse_str(text).ok());
            fixed(text.ok_or_else(|| not_supported(&PgType::Uuid))?.as_bytes(), out)
        }
    }
}

/// Family, bits of the network, whether it is a network, and the address.
///
/// Source: PostgreSQL `src/backend/utils/adt/network.c`, `network_send`.
fn address(
    cells: &Cells,
    row: usize,
    pg_type: &PgType,
    out: &mut Vec<u8>,
) -> Result<(), QueryError> {
    let text = cells.text(row).unwrap_or_default();
    let (address, bits) = text.split_once('/').map_or((text, None), |(it, bits)| (it, Some(bits)));
    let address: IpAddr = address.parse().map_err(|_| not_supported(pg_type))?;
    let (family, bytes) = match address {
        IpAddr::V4(address) => (2, address.octets().to_vec()),
        IpAddr::V6(address) => (3, address.octets().to_vec()),
    };
    let length = u8::try_from(bytes.len()).map_err(|_| not_supported(pg_type))?;
    let bits = match bits {
        Some(bits) => bits.parse().map_err(|_| not_supported(pg_type))?,
        None => length * 8,
    };
    fixed(&[family, bits, 0, length], out)?;
    fixed(&bytes, out)
}

/// The halves of a place in the write-ahead log, which its text writes in hexadecimal digits.
fn position(
    cells: &Cells,
    row: usize,
    pg_type: &PgType,
    out: &mut Vec<u8>,
) -> Result<(), QueryError> {
    let halves = cells.text(row).and_then(|text| text.split_once('/'));
    let half = |digits| u32::from_str_radix(digits, 16).map_err(|_| not_supported(pg_type));
    let (high, low) = halves.ok_or_else(|| not_supported(pg_type))?;
    fixed(&half(high)?.to_be_bytes(), out)?;
    fixed(&half(low)?.to_be_bytes(), out)
}

/// An OID; where a cell holds a name instead, only a number in text can be sent.
fn reg(cells: &Cells, row: usize, out: &mut Vec<u8>) -> Result<(), QueryError> {
    let number = cells.integer(row).or_else(|| cells.text(row)?.parse().ok());
    let oid = number.and_then(|number| u32::try_from(number).ok());
    fixed(&oid.ok_or_else(|| not_supported(&PgType::Regclass))?.to_be_bytes(), out)
}

/// An array whose lower bound is 0, of the numbers in a list or in a text `1 2 3`.
fn vector(
    cells: &Cells,
    row: usize,
    pg_type: &PgType,
    out: &mut Vec<u8>,
) -> Result<(), QueryError> {
    let numbers: Option<Vec<i128>> = match cells {
        Cells::List(array, items) => {
            text::range(array.value_offsets(), row).map(|item| items.integer(item)).collect()
        }
        other => other
            .text(row)
            .and_then(|text| text.split_whitespace().map(|word| word.parse().ok()).collect()),
    };
    let numbers = numbers.ok_or_else(|| not_supported(pg_type))?;
    let item = if *pg_type == PgType::Int2Vector { PgType::Int2 } else { PgType::Oid };
    header(&[numbers.len()], false, &item, 0, out);
    for number in numbers {
        let (bytes, width) = match item {
            PgType::Int2 => {
                (i16::try_from(number).map_err(|_| out_of_range())?.to_be_bytes().to_vec(), 2_i32)
            }
            _ => (u32::try_from(number).map_err(|_| out_of_range())?.to_be_bytes().to_vec(), 4),
        };
        fixed(&width.to_be_bytes(), out)?;
        fixed(&bytes, out)?;
    }
    Ok(())
}

/// Dimensions, whether there are NULLs, the element's type, and each dimension's length and first
/// index.
fn header(dimensions: &[usize], nulls: bool, item: &PgType, lower: i32, out: &mut Vec<u8>) {
    let int = |value: usize| i32::try_from(value).unwrap_or(i32::MAX).to_be_bytes();
    out.extend_from_slice(&int(dimensions.len()));
    out.extend_from_slice(&i32::from(nulls).to_be_bytes());
    out.extend_from_slice(&item.oid().to_be_bytes());
    for length in dimensions {
        out.extend_from_slice(&int(*length));
        out.extend_from_slice(&lower.to_be_bytes());
    }
}

/// Lists of lists are arrays of several dimensions, so they must be rectangular.
fn list(
    items: &Cells,
    range: std::ops::Range<usize>,
    item: &PgType,
    out: &mut Vec<u8>,
) -> Result<(), QueryError> {
    let mut dimensions = vec![range.len()];
    let (mut cells, mut item, mut rows) = (items, item, range.collect::<Vec<usize>>());
    while let (Cells::List(array, inner), PgType::Array(inner_item)) = (cells, item) {
        let ranges: Vec<_> =
            rows.iter().map(|row| text::range(array.value_offsets(), *row)).collect();
        let length = ranges.first().map_or(0, ExactSizeIterator::len);
        let ragged = rows.iter().any(|row| array.is_null(*row))
            || ranges.iter().any(|range| range.len() != length);
        if ragged || dimensions.len() == DIMENSIONS_MAX {
            let message = "multidimensional arrays must have sub-arrays with matching dimensions";
            let message = message.to_owned();
            return Err(SessionError::BadResult { sqlstate: "2202E", message }.into());
        }
        dimensions.push(length);
        rows = ranges.into_iter().flatten().collect();
        (cells, item) = (inner, inner_item);
    }
    if rows.is_empty() {
        dimensions.clear();
    }
    header(&dimensions, rows.iter().any(|row| cells.is_null(*row)), item, 1, out);
    for row in rows {
        if cells.is_null(row) {
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            continue;
        }
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        write(cells, row, item, out)?;
        let length = out.len() - start - 4;
        put_length(out, start, length);
    }
    Ok(())
}
