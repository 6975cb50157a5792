//! `max` of floats, of which NaN is the greatest, as in Postgres; DataFusion's leaves it out.

use std::mem::size_of_val;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray,
};
use datafusion::arrow::datatypes::{ArrowNativeTypeOp, DataType, Float32Type, Float64Type};
use datafusion::common::{ScalarValue, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};

/// The aggregate, under the name of DataFusion's.
pub(super) fn float_max() -> Arc<AggregateUDF> {
    static MAX: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| {
        let types = vec![DataType::Float32, DataType::Float64];
        let signature = Signature::uniform(1, types, Volatility::Immutable);
        Arc::new(AggregateUDF::from(FloatMax { signature }))
    });
    Arc::clone(&MAX)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FloatMax {
    signature: Signature,
}

impl AggregateUDFImpl for FloatMax {
    fn name(&self) -> &str {
        "max"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Float64))
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(match args.return_field.data_type() {
            DataType::Float32 => Box::new(One(Greatest::<Float32Type>::default())),
            _ => Box::new(One(Greatest::<Float64Type>::default())),
        })
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(match args.return_field.data_type() {
            DataType::Float32 => Box::new(Greatest::<Float32Type>::default()),
            _ => Box::new(Greatest::<Float64Type>::default()),
        })
    }
}

/// The greatest number of each group; None where there was none.
#[derive(Debug)]
struct Greatest<T: ArrowPrimitiveType> {
    of_group: Vec<Option<T::Native>>,
}

impl<T: ArrowPrimitiveType> Default for Greatest<T> {
    fn default() -> Self {
        Self { of_group: Vec::new() }
    }
}

impl<T: ArrowPrimitiveType> Greatest<T> {
    fn include(&mut self, group: usize, number: T::Native) {
        let greatest = &mut self.of_group[group];
        // Arrow's order of floats is total, NaN the greatest.
        if greatest.is_none_or(|known| number.is_gt(known)) {
            *greatest = Some(number);
        }
    }
}

impl<T: ArrowPrimitiveType + Send + std::fmt::Debug> GroupsAccumulator for Greatest<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        let [values] = values else { return internal_err!("max takes one argument") };
        self.of_group.resize(total_num_groups, None);
        for (row, (number, group)) in
            values.as_primitive::<T>().iter().zip(group_indices).enumerate()
        {
            if let Some(number) = number.filter(|_| includes(filter, row)) {
                self.include(*group, number);
            }
        }
        Ok(())
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.update_batch(values, group_indices, None, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let emitted = emit_to.take_needed(&mut self.of_group);
        Ok(Arc::new(emitted.into_iter().collect::<PrimitiveArray<T>>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let [values] = values else { return internal_err!("max takes one argument") };
        let numbers = values.as_primitive::<T>().iter().enumerate();
        let included: PrimitiveArray<T> =
            numbers.map(|(row, number)| number.filter(|_| includes(filter, row))).collect();
        Ok(vec![Arc::new(included)])
    }

    fn size(&self) -> usize {
        self.of_group.capacity() * size_of::<Option<T::Native>>()
    }
}

/// Whether FILTER takes a row.
fn includes(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|it| it.is_valid(row) && it.value(row))
}

/// Of one group.
#[derive(Debug)]
struct One<T: ArrowPrimitiveType>(Greatest<T>);

impl<T: ArrowPrimitiveType + Send + Sync + std::fmt::Debug> Accumulator for One<T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [numbers] = values else { return internal_err!("max takes one argument") };
        self.0.of_group.resize(1, None);
        for number in numbers.as_primitive::<T>().iter().flatten() {
            self.0.include(0, number);
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let greatest = self.0.of_group.first().copied().flatten();
        let array: PrimitiveArray<T> = std::iter::once(greatest).collect();
        ScalarValue::try_from_array(&array, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.size()
    }
}
