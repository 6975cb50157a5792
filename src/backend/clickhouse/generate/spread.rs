//! Rows repeated over a range of numbers: `arrayJoin` of the range, in a block of its own.

use datafusion::arrow::datatypes::DataType;

use super::block::{Block, Stage};
use super::expr::Scope;
use super::nodes::{Generator, with_columns_of};
use super::value::{Binding, Value};
use super::{NotPushable, Result};
use crate::plan::spread::Spread;

impl Generator<'_> {
    /// The number is selected whether it is asked for or not: it is what repeats the rows.
    pub(crate) fn spread(&mut self, spread: &Spread, asked: &[bool]) -> Result<Block> {
        let schema = spread.input.schema();
        let width = schema.fields().len();
        let asked = asked.get(..width).ok_or_else(|| NotPushable::new("internal: a spread"))?;
        let mut block = self.build(&spread.input, &with_columns_of(asked, [&spread.to], schema))?;
        if block.stage > Stage::Where || block.has_windows() {
            block = self.nest(block)?;
        }
        let to = self.expr(&spread.to, Scope { schema, columns: &block.columns })?;
        let from = spread.from;
        let numbers = match to.literal_integer() {
            Some(to) => format!("range({from}, {})", to.saturating_add(1)),
            None => {
                let length = format!("{} - {from} + 1", to.at(Binding::Sum));
                format!("range(assumeNotNull(toUInt64(greatest(coalesce({length}, 0), 0))))")
            }
        };
        let offset = if to.literal_integer().is_some() { 0 } else { from };
        let sql = match offset {
            0 => format!("toInt64(arrayJoin({numbers}))"),
            offset => format!("toInt64(arrayJoin({numbers})) + {offset}"),
        };
        block.columns.push(Some(Value::new(sql, DataType::Int64, false)));
        self.nest(block)
    }
}
