//! The value of a subquery that has to have one row.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{ScalarValue, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};

use super::error::FunctionError;

/// `canon_single_value(any)`: the value of a group's only row, which may be NULL. An error (21000) where
/// a group has several rows.
pub(crate) fn single_value() -> &'static Arc<AggregateUDF> {
    static FUNCTION: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| {
        let signature = Signature::any(1, Volatility::Immutable);
        Arc::new(AggregateUDF::from(SingleValue { signature }))
    });
    &FUNCTION
}

/// The name of [`single_value`] in plans.
pub(crate) const SINGLE_VALUE: &str = "canon_single_value";

#[derive(Debug, PartialEq, Eq, Hash)]
struct SingleValue {
    signature: Signature,
}

impl AggregateUDFImpl for SingleValue {
    fn name(&self) -> &str {
        SINGLE_VALUE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [value] => Ok(value.clone()),
            _ => plan_err!("{SINGLE_VALUE} takes one value"),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field = |name: &str, data_type: &DataType| {
            Arc::new(Field::new(format_state_name(args.name, name), data_type.clone(), true))
        };
        Ok(vec![field("value", args.input_fields[0].data_type()), field("rows", &DataType::Int64)])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let value = ScalarValue::try_from(args.expr_fields[0].data_type())?;
        Ok(Box::new(Single { value, rows: 0 }))
    }
}

#[derive(Debug)]
struct Single {
    value: ScalarValue,
    rows: i64,
}

impl Accumulator for Single {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = i64::try_from(values[0].len()).unwrap_or(i64::MAX);
        if rows > 0 {
            self.value = ScalarValue::try_from_array(&values[0], 0)?;
        }
        self.rows = self.rows.saturating_add(rows);
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let counts = states[1].as_primitive::<Int64Type>();
        for row in 0..counts.len() {
            if counts.value(row) > 0 {
                self.value = ScalarValue::try_from_array(&states[0], row)?;
                self.rows = self.rows.saturating_add(counts.value(row));
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.value.clone(), ScalarValue::from(self.rows)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        match self.rows {
            0 | 1 => Ok(self.value.clone()),
            _ => Err(FunctionError::new("21000", SEVERAL_ROWS).into()),
        }
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.value.size()
    }
}

/// As Postgres words it.
pub(crate) const SEVERAL_ROWS: &str =
    "more than one row returned by a subquery used as an expression";
