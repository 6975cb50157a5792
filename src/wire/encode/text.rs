//! Values in the text format.

use chrono::DateTime;

use super::cells::Cells;
use super::style::DateFormat;
use super::{Style, datetime, interval, number};
use crate::sql::types::PgType;

/// Offsets change at quarter hours of UTC only, so the last one found serves its neighbours.
const BLOCK_MICROS: i64 = 900_000_000;

/// A style with the offset of its zone that was looked up last.
pub(super) struct ZoneClock<'a> {
    style: &'a Style,
    last: Option<(i64, i32)>,
}

impl<'a> ZoneClock<'a> {
    pub(super) fn new(style: &'a Style) -> Self {
        Self { style, last: None }
    }

    fn offset(&mut self, micros: i64) -> i32 {
        let block = micros.div_euclid(BLOCK_MICROS);
        if let Some((known, offset)) = self.last
            && known == block
        {
            return offset;
        }
        let instant = DateTime::from_timestamp_micros(micros).unwrap_or_default();
        let offset = self.style.zone.offset_at(instant.naive_utc());
        self.last = Some((block, offset));
        offset
    }
}

/// Appends the text of a cell that isn't NULL.
pub(super) fn write(
    cells: &Cells,
    row: usize,
    pg_type: &PgType,
    clock: &mut ZoneClock<'_>,
    out: &mut Vec<u8>,
) {
    match cells {
        Cells::Null => {}
        Cells::Bool(array) => out.push(if array.value(row) { b't' } else { b'f' }),
        Cells::I16(array) => integer(array.value(row), out),
        Cells::I32(array) => integer(array.value(row), out),
        Cells::I64(array) => integer(array.value(row), out),
        Cells::U64(array) => integer(array.value(row), out),
        Cells::F32(array) => number::write_f32(array.value(row), clock.style.float_digits, out),
        Cells::F64(array) => number::write_f64(array.value(row), clock.style.float_digits, out),
        Cells::Decimal128(array, scale) => {
            let value = array.value(row);
            let mut buffer = itoa::Buffer::new();
            // Most amounts fit 64 bits, which are several times as fast.
            match i64::try_from(value) {
                Ok(value) => number::write_decimal(buffer.format(value), *scale, out),
                Err(_) => number::write_decimal(buffer.format(value), *scale, out),
            }
        }
        Cells::Decimal256(array, scale) => {
            number::write_decimal(&array.value(row).to_string(), *scale, out);
        }
        Cells::Text(array) => string(array.value(row), pg_type, out),
        Cells::LargeText(array) => string(array.value(row), pg_type, out),
        Cells::TextView(array) => string(array.value(row), pg_type, out),
        Cells::Bytes(array) => bytes(array.value(row), clock.style, out),
        Cells::LargeBytes(array) => bytes(array.value(row), clock.style, out),
        Cells::Uuid(array) => uuid(array.value(row), out),
        Cells::Date(array) => datetime::write_date(array.value(row), clock.style, out),
        Cells::Time(array) => datetime::write_time(array.value(row), out),
        Cells::Timestamp(array, per_second) => {
            let micros = datetime::micros_of(array.value(row), *per_second);
            let offset = (*pg_type == PgType::Timestamptz).then(|| clock.offset(micros));
            match clock.style.dates {
                DateFormat::Iso => datetime::write_timestamp(micros, offset, out),
                _ => datetime::write_styled(micros, offset, clock.style, out),
            }
        }
        Cells::Interval(array) => {
            let value = array.value(row);
            let (format, micros) = (clock.style.intervals, value.nanoseconds / 1_000);
            interval::write(format, value.months, value.days, micros, out);
        }
        Cells::Object(names, _) => string(names.value(row), pg_type, out),
        Cells::List(array, items) => {
            let offsets = array.value_offsets();
            let range = range(offsets, row);
            match pg_type {
                PgType::Int2Vector | PgType::OidVector => vector(items, range, clock, out),
                PgType::Array(item) => list(items, range, item, clock, out),
                _ => list(items, range, &PgType::Text, clock, out),
            }
        }
    }
}

/// The rows of `items` that make up one list.
pub(super) fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |index: usize| {
        offsets.get(index).and_then(|offset| usize::try_from(*offset).ok()).unwrap_or(0)
    };
    at(row)..at(row + 1)
}

#[inline]
fn integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

#[inline]
fn string(value: &str, pg_type: &PgType, out: &mut Vec<u8>) {
    let value = match pg_type {
        PgType::Char => {
            value.get(..value.chars().next().map_or(0, char::len_utf8)).unwrap_or(value)
        }
        _ => value,
    };
    out.extend_from_slice(value.as_bytes());
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn hex(byte: u8, out: &mut Vec<u8>) {
    out.extend([byte >> 4, byte & 15].iter().filter_map(|half| HEX.get(usize::from(*half))));
}

fn bytes(value: &[u8], style: &Style, out: &mut Vec<u8>) {
    if style.escapes_bytes {
        return value.iter().for_each(|byte| escaped(*byte, out));
    }
    out.extend_from_slice(b"\\x");
    value.iter().for_each(|byte| hex(*byte, out));
}

/// A byte as `bytea_output = 'escape'` shows it.
fn escaped(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'\\' => out.extend_from_slice(b"\\\\"),
        b' '..=b'~' => out.push(byte),
        _ => out.extend([b'\\', b'0' + (byte >> 6), b'0' + (byte >> 3 & 7), b'0' + (byte & 7)]),
    }
}

fn uuid(value: &[u8], out: &mut Vec<u8>) {
    for (index, byte) in value.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        hex(*byte, out);
    }
}

/// `1 2 3`, as int2vector and oidvector are written.
fn vector(
    items: &Cells,
    range: std::ops::Range<usize>,
    clock: &mut ZoneClock<'_>,
    out: &mut Vec<u8>,
) {
    let first = range.start;
    for row in range {
        if row > first {
            out.push(b' ');
        }
        write(items, row, &PgType::Oid, clock, out);
    }
}

/// `{1,NULL,"a b"}`.
fn list(
    items: &Cells,
    range: std::ops::Range<usize>,
    item: &PgType,
    clock: &mut ZoneClock<'_>,
    out: &mut Vec<u8>,
) {
    out.push(b'{');
    let first = range.start;
    for row in range {
        if row > first {
            out.push(b',');
        }
        if items.is_null(row) {
            out.extend_from_slice(b"NULL");
            continue;
        }
        let start = out.len();
        write(items, row, item, clock, out);
        if !matches!(items, Cells::List(..)) {
            quote_where_needed(start, out);
        }
    }
    out.push(b'}');
}

/// Puts quotes around the array element that was written from `start`, if it needs them.
///
/// Source: PostgreSQL `src/backend/utils/adt/arrayfuncs.c`, `array_out`.
fn quote_where_needed(start: usize, out: &mut Vec<u8>) {
    let special = |byte: &u8| {
        matches!(byte, b'{' | b'}' | b',' | b'"' | b'\\' | b' ' | b'\t' | b'\n' | b'\r' | 11 | 12)
    };
    let written = out.get(start..).unwrap_or_default();
    let needed =
        written.is_empty() || written.eq_ignore_ascii_case(b"null") || written.iter().any(special);
    if !needed {
        return;
    }
    let element = out.split_off(start);
    out.push(b'"');
    for byte in element {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}
