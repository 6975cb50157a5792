//! Arrow columns to DataRow messages: columns are downcast once a batch, and values written
//! straight into the output buffer.

mod binary;
mod cells;
mod copy;
mod datetime;
mod interval;
mod number;
mod style;
mod text;

use datafusion::arrow::array::RecordBatch;

use crate::error::QueryError;
use crate::session::{Column, Format, SessionError};
use cells::Cells;

pub(super) use copy::CopyLayout;
pub(super) use style::Style;

/// Postgres's own bound for a message, and ours for a row.
const ROW_BYTES_MAX: usize = (1 << 30) - 1;

/// How a column is written: settled once a statement.
pub(super) struct Layout<'a> {
    pub(super) columns: &'a [Column],
    pub(super) formats: &'a [Format],
    pub(super) style: &'a Style,
    pub(super) form: Form<'a>,
}

/// What messages rows are put into.
#[derive(Clone, Copy)]
pub(super) enum Form<'a> {
    DataRow,
    Copy(&'a CopyLayout),
}

/// A batch, ready to be written row by row.
pub(super) struct BatchEncoder<'a> {
    columns: Vec<ColumnEncoder<'a>>,
    form: Form<'a>,
}

struct ColumnEncoder<'a> {
    cells: Cells,
    writer: Writer,
    clock: text::ZoneClock<'a>,
    column: &'a Column,
}

#[derive(Clone, Copy)]
enum Writer {
    Text,
    Binary,
}

impl<'a> BatchEncoder<'a> {
    /// # Errors
    /// Where a column's Arrow type can't be shown as the Postgres type that was announced: a bug
    /// of the engine, or a number that is too large.
    pub(super) fn new(batch: &RecordBatch, layout: &Layout<'a>) -> Result<Self, QueryError> {
        if batch.num_columns() != layout.columns.len() {
            tracing::error!(
                announced = layout.columns.len(),
                given = batch.num_columns(),
                "a batch has other columns than were announced"
            );
            return Err(SessionError::Internal.into());
        }
        let columns = layout.columns.iter().zip(layout.formats).zip(batch.columns());
        let columns = columns.map(|((column, format), array)| {
            let writer = match format {
                Format::Text => Writer::Text,
                Format::Binary => Writer::Binary,
            };
            let cells = Cells::new(array, &column.pg_type)?;
            Ok(ColumnEncoder { cells, writer, clock: text::ZoneClock::new(layout.style), column })
        });
        Ok(Self { columns: columns.collect::<Result<_, QueryError>>()?, form: layout.form })
    }

    /// Appends one message: DataRow or CopyData.
    ///
    /// # Errors
    /// A value that its type or format can't show, or a row beyond the size of a message. What
    /// was written of the row is taken back.
    pub(super) fn write_row(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), QueryError> {
        let start = out.len();
        let written = match self.form {
            Form::DataRow => {
                out.extend_from_slice(b"D\0\0\0\0");
                self.write_cells(row, out)
            }
            Form::Copy(layout) => {
                out.extend_from_slice(b"d\0\0\0\0");
                layout.write_row(&mut self.columns, row, out)
            }
        };
        let length = out.len() - start - 1;
        if let Err(error) = written.and_then(|()| check_length(length)) {
            out.truncate(start);
            return Err(error);
        }
        put_length(out, start + 1, length);
        Ok(())
    }

    fn write_cells(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), QueryError> {
        out.extend_from_slice(&count(self.columns.len())?.to_be_bytes());
        for column in &mut self.columns {
            column.write(row, out)?;
        }
        Ok(())
    }
}

fn check_length(length: usize) -> Result<(), QueryError> {
    if length > ROW_BYTES_MAX { Err(too_long()) } else { Ok(()) }
}

fn count(columns: usize) -> Result<u16, QueryError> {
    u16::try_from(columns).map_err(|_| too_long())
}

fn too_long() -> QueryError {
    let message = "a row is too long for the protocol".to_owned();
    SessionError::BadResult { sqlstate: "54000", message }.into()
}

/// Writes a length at its place, left open until the value was there. The caller has bounded it.
fn put_length(out: &mut [u8], at: usize, length: usize) {
    let length = i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes();
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&length);
    }
}

impl ColumnEncoder<'_> {
    /// Appends the text alone; nothing, and false, for NULL.
    fn write_text(&mut self, row: usize, out: &mut Vec<u8>) -> bool {
        if self.cells.is_null(row) {
            return false;
        }
        text::write(&self.cells, row, &self.column.pg_type, &mut self.clock, out);
        true
    }

    #[inline]
    fn write(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), QueryError> {
        if self.cells.is_null(row) {
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            return Ok(());
        }
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        match self.writer {
            Writer::Text => {
                text::write(&self.cells, row, &self.column.pg_type, &mut self.clock, out);
            }
            Writer::Binary => binary::write(&self.cells, row, &self.column.pg_type, out)?,
        }
        let length = out.len() - start - 4;
        put_length(out, start, length);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
