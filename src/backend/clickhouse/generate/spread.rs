//! Rows repeated over a range of numbers: `arrayJoin` of the range, in a block of its own.

use datafusion::arrow::datatypes::DataType;

use super::block::{Block, Stage};
use super::expr::Scope;
use super::nodes::{Generator, with_columns_of};
use super::value::Value;
use super::{NotPushable, Result};
use crate::plan::spread::Spread;

impl Generator<'_> {
    /// The number is selected whether it is asked for or not: it is what repeats the rows.
    pub(crate) fn spread(&mut self, spread: &Spread, asked: &[bool]) -> Result<Block> {
        let schema = spread.input.schema();
        let width = schema.fields().len();
        let asked = asked.get(..width).ok_or_else(|| NotPushable::new("internal: a spread"))?;
        let bounds = [&spread.from, &spread.end];
        let mut block = self.build(&spread.input, &with_columns_of(asked, bounds, schema))?;
        if block.stage > Stage::Where || block.has_windows() {
            block = self.nest(block)?;
        }
        let (mut numbers, mut constants) = (Vec::with_capacity(2), Vec::with_capacity(2));
        for bound in bounds {
            let value = self.expr(bound, Scope { schema, columns: &block.columns })?;
            constants.extend(value.literal_integer());
            // `range` takes no Nullable, which is what an expression over a window is.
            numbers.push(match value.nullable {
                true => format!("assumeNotNull({})", value.sql),
                false => value.sql,
            });
        }
        let sql = format!("toInt64(arrayJoin(range({})))", numbers.join(", "));
        let range = match constants.as_slice() {
            [from, end] => Some((i128::from(*from), i128::from(*end))),
            _ => None,
        };
        block.columns.push(Some(Value { range, ..Value::new(sql, DataType::Int64, false) }));
        self.nest(block)
    }
}
