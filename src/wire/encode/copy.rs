//! Rows in the formats of COPY, one CopyData message each.
//!
//! Source: PostgreSQL `src/backend/commands/copyto.c`.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{ColumnEncoder, count};
use crate::error::QueryError;
use crate::session::{Column, SessionError};
use crate::sql::parse::{CopyFormat, CopyOptions, CsvOptions, ForceQuote};

/// The signature of the binary format, no flags, and an extension of no bytes.
const BINARY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// In the place of a number of fields: the end.
const BINARY_END: &[u8] = &(-1_i16).to_be_bytes();

/// The options of COPY, with what they mean for each column.
pub(in crate::wire) struct CopyLayout {
    options: CopyOptions,
    /// The signature of the binary format is still to be sent: with the first row, or the end.
    unsigned: AtomicBool,
    /// Values that are quoted even where they needn't be, by column.
    quoted: Vec<bool>,
}

impl CopyLayout {
    /// # Errors
    /// 42703 where FORCE_QUOTE names no column.
    pub(in crate::wire) fn new(
        options: CopyOptions,
        columns: &[Column],
    ) -> Result<Self, QueryError> {
        let quoted = match &options.format {
            CopyFormat::Csv(CsvOptions { force_quote: ForceQuote::All, .. }) => {
                vec![true; columns.len()]
            }
            CopyFormat::Csv(CsvOptions { force_quote: ForceQuote::Columns(names), .. }) => {
                for name in names {
                    if !columns.iter().any(|column| column.name == *name) {
                        let message = format!("column \"{name}\" does not exist");
                        return Err(SessionError::BadResult { sqlstate: "42703", message }.into());
                    }
                }
                columns.iter().map(|column| names.contains(&column.name)).collect()
            }
            CopyFormat::Text { .. } | CopyFormat::Binary => vec![false; columns.len()],
        };
        let unsigned = AtomicBool::new(options.format == CopyFormat::Binary);
        Ok(Self { options, unsigned, quoted })
    }

    pub(in crate::wire) fn is_binary(&self) -> bool {
        self.options.format == CopyFormat::Binary
    }

    /// What goes before the first row in a message of its own, without its frame.
    pub(in crate::wire) fn header(&self, columns: &[Column]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        match &self.options.format {
            CopyFormat::Binary => return None,
            _ if !self.options.header => return None,
            CopyFormat::Text { delimiter, .. } => {
                for (index, column) in columns.iter().enumerate() {
                    if index > 0 {
                        out.push(*delimiter);
                    }
                    out.extend_from_slice(column.name.as_bytes());
                    escape_text(out.len() - column.name.len(), *delimiter, &mut out);
                }
            }
            CopyFormat::Csv(csv) => {
                for (index, column) in columns.iter().enumerate() {
                    if index > 0 {
                        out.push(csv.delimiter);
                    }
                    out.extend_from_slice(column.name.as_bytes());
                    let start = out.len() - column.name.len();
                    quote_csv(start, csv, false, columns.len() == 1, &mut out);
                }
            }
        }
        out.push(b'\n');
        Some(out)
    }

    /// What goes behind the last row, without its frame.
    pub(in crate::wire) fn trailer(&self) -> Option<Vec<u8>> {
        let signature =
            if self.unsigned.swap(false, Ordering::Relaxed) { BINARY_HEADER } else { &[] };
        self.is_binary().then(|| [signature, BINARY_END].concat())
    }

    /// Appends a row without its frame.
    pub(super) fn write_row(
        &self,
        columns: &mut [ColumnEncoder<'_>],
        row: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), QueryError> {
        let single = columns.len() == 1;
        match &self.options.format {
            CopyFormat::Binary => {
                if self.unsigned.swap(false, Ordering::Relaxed) {
                    out.extend_from_slice(BINARY_HEADER);
                }
                out.extend_from_slice(&count(columns.len())?.to_be_bytes());
                for column in columns {
                    column.write(row, out)?;
                }
                return Ok(());
            }
            CopyFormat::Text { delimiter, null } => {
                for (index, column) in columns.iter_mut().enumerate() {
                    if index > 0 {
                        out.push(*delimiter);
                    }
                    let start = out.len();
                    match column.write_text(row, out) {
                        true => escape_text(start, *delimiter, out),
                        false => out.extend_from_slice(null.as_bytes()),
                    }
                }
            }
            CopyFormat::Csv(csv) => {
                let quoted = self.quoted.iter().copied().chain(std::iter::repeat(false));
                for (index, (column, quoted)) in columns.iter_mut().zip(quoted).enumerate() {
                    if index > 0 {
                        out.push(csv.delimiter);
                    }
                    let start = out.len();
                    match column.write_text(row, out) {
                        true => quote_csv(start, csv, quoted, single, out),
                        false => out.extend_from_slice(csv.null.as_bytes()),
                    }
                }
            }
        }
        out.push(b'\n');
        Ok(())
    }
}

/// Puts backslashes into the value that was written from `start`, where it needs them.
fn escape_text(start: usize, delimiter: u8, out: &mut Vec<u8>) {
    let letter = |byte: u8| match byte {
        8 => Some(b'b'),
        9 => Some(b't'),
        10 => Some(b'n'),
        11 => Some(b'v'),
        12 => Some(b'f'),
        13 => Some(b'r'),
        b'\\' => Some(b'\\'),
        byte if byte == delimiter => Some(byte),
        _ => None,
    };
    let written = out.get(start..).unwrap_or_default();
    if !written.iter().any(|byte| letter(*byte).is_some()) {
        return;
    }
    for byte in out.split_off(start) {
        match letter(byte) {
            Some(letter) => out.extend_from_slice(&[b'\\', letter]),
            None => out.push(byte),
        }
    }
}

/// Puts quotes around the value that was written from `start`, where it needs them.
fn quote_csv(start: usize, csv: &CsvOptions, forced: bool, single: bool, out: &mut Vec<u8>) {
    let special =
        |byte: &u8| *byte == csv.delimiter || *byte == csv.quote || matches!(byte, b'\n' | b'\r');
    let written = out.get(start..).unwrap_or_default();
    let needed = forced
        || written == csv.null.as_bytes()
        // Alone on a line, it would end the data.
        || (single && written == b"\\.")
        || written.iter().any(special);
    if !needed {
        return;
    }
    let value = out.split_off(start);
    out.push(csv.quote);
    for byte in value {
        if byte == csv.quote || byte == csv.escape {
            out.push(csv.escape);
        }
        out.push(byte);
    }
    out.push(csv.quote);
}
