//! Exact percentiles: all values of a group are kept until its end.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{ScalarValue, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};
use datafusion::physical_plan::expressions::Literal;

/// `percentile_cont(share) WITHIN GROUP (ORDER BY float8)`: between the two nearest values.
///
/// DataFusion's own keeps six digits of the place between them; this one computes in the order of
/// ClickHouse's quantileExactInclusive, so that both backends agree to the last bit.
pub fn percentile_cont() -> &'static Arc<AggregateUDF> {
    static FUNCTION: LazyLock<Arc<AggregateUDF>> =
        LazyLock::new(|| Arc::new(Percentile::new("percentile_cont", Kind::Continuous).into()));
    &FUNCTION
}

/// `percentile_disc(share) WITHIN GROUP (ORDER BY float8)`: the first value of the sorted group at
/// or beyond that share.
pub fn percentile_disc() -> &'static Arc<AggregateUDF> {
    static FUNCTION: LazyLock<Arc<AggregateUDF>> =
        LazyLock::new(|| Arc::new(Percentile::new("percentile_disc", Kind::Discrete).into()));
    &FUNCTION
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Continuous,
    Discrete,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Percentile {
    name: &'static str,
    kind: Kind,
    signature: Signature,
}

impl Percentile {
    fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for Percentile {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        match arg_types {
            [value, share] if (value.is_numeric() || value.is_null()) && share.is_numeric() => {
                Ok(vec![DataType::Float64, DataType::Float64])
            }
            _ => plan_err!("{} takes a share and a number to order by", self.name),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let item = Field::new_list_field(DataType::Float64, true);
        let name = format_state_name(args.name, self.name);
        Ok(vec![Arc::new(Field::new(name, DataType::List(Arc::new(item)), true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let share = args.exprs.get(1).and_then(|share| share.downcast_ref::<Literal>());
        let Some(ScalarValue::Float64(Some(share))) = share.map(Literal::value) else {
            return plan_err!("the share of {} must be a constant", self.name);
        };
        if !(0.0..=1.0).contains(share) {
            return plan_err!("percentile value {share} is not between 0 and 1");
        }
        let descending = args.order_bys.first().is_some_and(|key| key.options.descending);
        let (kind, share) = (self.kind, *share);
        Ok(Box::new(Values {
            values: Vec::new(),
            share,
            kind,
            descending,
            distinct: args.is_distinct,
        }))
    }

    fn supports_within_group_clause(&self) -> bool {
        true
    }
}

/// The values of one group.
#[derive(Debug)]
struct Values {
    values: Vec<f64>,
    share: f64,
    kind: Kind,
    descending: bool,
    distinct: bool,
}

impl Values {
    fn add(&mut self, values: &Float64Array) {
        self.values.extend(values.iter().flatten());
    }
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(values[0].as_primitive::<Float64Type>());
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.values.sort_unstable_by(f64::total_cmp);
        if self.distinct {
            self.values.dedup();
        }
        let value = match self.kind {
            Kind::Continuous => continuous(&self.values, self.share, self.descending),
            Kind::Discrete => discrete(&self.values, self.share, self.descending),
        };
        Ok(ScalarValue::Float64(value))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<f64>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = Float64Array::from(std::mem::take(&mut self.values));
        let list = SingleRowListArrayBuilder::new(Arc::new(values)).build_list_scalar();
        Ok(vec![list])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states[0].as_list::<i32>();
        let offsets: &OffsetBuffer<i32> = lists.offsets();
        let from = usize::try_from(offsets[0]).unwrap_or_default();
        let to = usize::try_from(offsets[lists.len()]).unwrap_or_default();
        let values = lists.values().slice(from, to - from);
        self.add(values.as_primitive::<Float64Type>());
        Ok(())
    }
}

/// Places are counted from 1, which is what makes the last bit the same as in ClickHouse.
fn continuous(sorted: &[f64], share: f64, descending: bool) -> Option<f64> {
    let share = if descending { 1.0 - share } else { share };
    let (first, last) = (sorted.first()?, sorted.last()?);
    #[allow(clippy::cast_precision_loss)] // groups of 2^53 values don't fit into memory
    let place = share * (sorted.len() - 1) as f64 + 1.0;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // from 1 to the length
    let below = place as usize;
    if below < 1 {
        return Some(*first);
    }
    let (Some(low), Some(high)) = (sorted.get(below - 1), sorted.get(below)) else {
        return Some(*last);
    };
    #[allow(clippy::cast_precision_loss)]
    let between = place - below as f64;
    Some(low + between * (high - low))
}

fn discrete(sorted: &[f64], share: f64, descending: bool) -> Option<f64> {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let place = ((share * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len().max(1));
    let index = if descending { sorted.len().checked_sub(place)? } else { place - 1 };
    sorted.get(index).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_postgres_ones() {
        let sorted = [1.0, 2.0, 4.0, 10.0];
        assert_eq!(continuous(&sorted, 0.5, false), Some(3.0));
        assert_eq!(continuous(&sorted, 0.25, true), Some(5.5));
        assert_eq!(continuous(&sorted, 1.0, false), Some(10.0));
        assert_eq!(continuous(&[], 0.5, false), None);
        assert_eq!(discrete(&sorted, 0.5, false), Some(2.0));
        assert_eq!(discrete(&sorted, 0.51, false), Some(4.0));
        assert_eq!(discrete(&sorted, 0.0, false), Some(1.0));
        assert_eq!(discrete(&sorted, 0.25, true), Some(10.0));
        assert_eq!(discrete(&[], 0.5, false), None);
    }
}
