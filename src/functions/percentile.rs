//! Exact percentiles: all values of a group are kept until its end.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, IntervalMonthDayNanoArray, UInt64Array, new_empty_array,
};
use datafusion::arrow::compute::{concat, filter, is_not_null, partition, sort, take};
use datafusion::arrow::datatypes::{
    DataType, Field, FieldRef, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{ScalarValue, internal_datafusion_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Case, Cast, Expr, Signature, Volatility, lit,
};
use datafusion::physical_plan::expressions::Literal;

use super::interval::Interval;
use super::semantics::aggregate_named;
use super::time::INTERVAL;
use super::udf::call;
use super::{quoted, registry};

/// `percentile_cont(share) WITHIN GROUP (ORDER BY float8)`: between the two nearest values.
///
/// DataFusion's own keeps six digits of the place between them; this one computes in the order of
/// ClickHouse's quantileExactInclusive, so that both backends agree to the last bit.
pub fn percentile_cont() -> &'static Arc<AggregateUDF> {
    static FUNCTION: LazyLock<Arc<AggregateUDF>> =
        LazyLock::new(|| Arc::new(Percentile::new("percentile_cont", Kind::Continuous).into()));
    &FUNCTION
}

/// `percentile_disc(share) WITHIN GROUP (ORDER BY any)`: the first value of the sorted group at
/// or beyond that share.
pub fn percentile_disc() -> &'static Arc<AggregateUDF> {
    static FUNCTION: LazyLock<Arc<AggregateUDF>> =
        LazyLock::new(|| Arc::new(Percentile::new("percentile_disc", Kind::Discrete).into()));
    &FUNCTION
}

/// The shares of a percentile that asks for several, as constants.
pub(super) fn shares_of(shares: &Expr) -> Option<Vec<Expr>> {
    match shares {
        Expr::Cast(cast) if matches!(cast.field.data_type(), DataType::List(_)) => {
            shares_of(&cast.expr)
        }
        Expr::ScalarFunction(made) if made.func.name() == "make_array" => Some(made.args.clone()),
        Expr::Literal(ScalarValue::List(list), _) => {
            let items = list.value(0);
            let item = |row| ScalarValue::try_from_array(&items, row).ok();
            (0..items.len()).map(|row| Some(Expr::Literal(item(row)?, None))).collect()
        }
        quoted_array => {
            let items = crate::sql::value::array_items(quoted(quoted_array)?)?;
            let share = |item: Option<String>| Some(lit(item?.parse::<f64>().ok()?));
            items.into_iter().map(share).collect()
        }
    }
}

/// `percentile_cont(ARRAY[a, b])`: the array of both percentiles; NULL of no values.
pub(super) fn of_shares(function: &AggregateFunction, shares: Vec<Expr>) -> Result<Expr> {
    let value = function.params.args[..1].to_vec();
    let each = shares.into_iter().map(|share| {
        let share = Expr::Cast(Cast::new(Box::new(share), DataType::Float64));
        let args = [value.clone(), vec![share]].concat();
        let params = AggregateFunctionParams { args, ..function.params.clone() };
        Expr::AggregateFunction(AggregateFunction { func: Arc::clone(&function.func), params })
    });
    let made = registry().scalar.get("make_array");
    let made = made.ok_or_else(|| internal_datafusion_err!("no function make_array"))?;
    let array = call(made, each.collect());
    let params =
        AggregateFunctionParams { args: value, order_by: Vec::new(), ..function.params.clone() };
    let func = aggregate_named("count")?;
    let count = Expr::AggregateFunction(AggregateFunction { func, params });
    let case = vec![(Box::new(count.gt(lit(0_i64))), Box::new(array))];
    Ok(Expr::Case(Case::new(None, case, None)))
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

    /// The constant share, from 0 to 1.
    fn share(&self, args: &AccumulatorArgs) -> Result<f64> {
        let share = args.exprs.get(1).and_then(|share| share.downcast_ref::<Literal>());
        match share.map(Literal::value) {
            Some(ScalarValue::Float64(Some(share))) if (0.0..=1.0).contains(share) => Ok(*share),
            Some(ScalarValue::Float64(Some(share))) => {
                plan_err!("percentile value {share} is not between 0 and 1")
            }
            _ => plan_err!("the share of {} must be a constant", self.name),
        }
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
        match (self.kind, arg_types) {
            (Kind::Continuous, [value, share])
                if (value.is_numeric() || value.is_null())
                    && (share.is_numeric() || share.is_null()) =>
            {
                Ok(vec![DataType::Float64, DataType::Float64])
            }
            (Kind::Continuous, [DataType::Interval(_) | DataType::Duration(_), share])
                if share.is_numeric() =>
            {
                Ok(vec![INTERVAL, DataType::Float64])
            }
            // Several shares at once, which become percentiles of one share each.
            (Kind::Continuous, [value, DataType::List(_)]) => {
                let value = match value {
                    DataType::Interval(_) | DataType::Duration(_) => INTERVAL,
                    _ => DataType::Float64,
                };
                Ok(vec![value, DataType::new_list(DataType::Float64, true)])
            }
            (Kind::Discrete, [value, DataType::List(_)]) if !value.is_nested() => {
                Ok(vec![value.clone(), DataType::new_list(DataType::Float64, true)])
            }
            (Kind::Discrete, [value, share]) if share.is_numeric() && !value.is_nested() => {
                Ok(vec![value.clone(), DataType::Float64])
            }
            _ => plan_err!("{} takes a share and a value to order by", self.name),
        }
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let value = arg_types.first().cloned().unwrap_or(DataType::Float64);
        Ok(match arg_types.get(1) {
            Some(DataType::List(_)) => DataType::new_list(value, true),
            _ => value,
        })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let item = Field::new_list_field(args.input_fields[0].data_type().clone(), true);
        let name = format_state_name(args.name, self.name);
        Ok(vec![Arc::new(Field::new(name, DataType::List(Arc::new(item)), true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Values {
            data_type: args.expr_fields[0].data_type().clone(),
            batches: Vec::new(),
            share: self.share(&args)?,
            kind: self.kind,
            descending: args.order_bys.first().is_some_and(|key| key.options.descending),
            distinct: args.is_distinct,
        }))
    }

    fn supports_within_group_clause(&self) -> bool {
        true
    }
}

/// The values of one group, as they came.
#[derive(Debug)]
struct Values {
    data_type: DataType,
    batches: Vec<ArrayRef>,
    share: f64,
    kind: Kind,
    descending: bool,
    distinct: bool,
}

/// Smaller pieces are joined when there are so many of them: a group's rows come one by one.
const PIECES_MAX: usize = 1024;

impl Values {
    fn add(&mut self, values: ArrayRef) -> Result<()> {
        let values = match values.null_count() {
            0 => values,
            _ => filter(&values, &is_not_null(&values)?)?,
        };
        if !values.is_empty() {
            self.batches.push(values);
        }
        if self.batches.len() > PIECES_MAX {
            self.batches = vec![self.all()?];
        }
        Ok(())
    }

    fn all(&self) -> Result<ArrayRef> {
        if self.batches.is_empty() {
            return Ok(new_empty_array(&self.data_type));
        }
        let batches: Vec<&dyn Array> = self.batches.iter().map(AsRef::as_ref).collect();
        Ok(concat(&batches)?)
    }

    fn sorted(&self) -> Result<ArrayRef> {
        let sorted = match &self.data_type {
            DataType::Interval(_) => in_order(&self.all()?)?,
            _ => sort(&self.all()?, None)?,
        };
        if !self.distinct {
            return Ok(sorted);
        }
        let ranges = partition(&[Arc::clone(&sorted)])?.ranges();
        let firsts: Vec<u64> =
            ranges.iter().map(|range| u64::try_from(range.start).unwrap_or(u64::MAX)).collect();
        Ok(take(&sorted, &UInt64Array::from(firsts), None)?)
    }
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(Arc::clone(&values[0]))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sorted = self.sorted()?;
        match self.kind {
            Kind::Continuous if matches!(self.data_type, DataType::Interval(_)) => {
                let values = sorted.as_primitive::<IntervalMonthDayNanoType>().values();
                let between = interval_between(values, self.share, self.descending)?;
                Ok(ScalarValue::IntervalMonthDayNano(between))
            }
            Kind::Continuous => {
                let values = sorted.as_primitive::<Float64Type>().values();
                Ok(ScalarValue::Float64(continuous(values, self.share, self.descending)))
            }
            Kind::Discrete => match discrete(sorted.len(), self.share, self.descending) {
                Some(index) => ScalarValue::try_from_array(&sorted, index),
                None => ScalarValue::try_from(&self.data_type),
            },
        }
    }

    fn size(&self) -> usize {
        let batches: usize = self.batches.iter().map(|batch| batch.get_array_memory_size()).sum();
        size_of_val(self) + batches
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![SingleRowListArrayBuilder::new(self.all()?).build_list_scalar()])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states[0].as_list::<i32>();
        for list in lists.iter().flatten() {
            self.add(list)?;
        }
        Ok(())
    }
}

/// Intervals in the order of their lengths, which isn't Arrow's.
fn in_order(intervals: &ArrayRef) -> Result<ArrayRef> {
    let mut values = intervals.as_primitive::<IntervalMonthDayNanoType>().values().to_vec();
    values.sort_by_key(|value| Interval::from(*value).order());
    Ok(Arc::new(IntervalMonthDayNanoArray::from(values)))
}

/// The two neighbours of a share of `sorted`, and how far it is from the first to the second.
/// Places are counted from 1, which is what makes the last bit the same as in ClickHouse.
fn neighbours<T: Copy>(sorted: &[T], share: f64, descending: bool) -> Option<(T, T, f64)> {
    let at = |index: usize| match descending {
        true => sorted.iter().rev().nth(index).copied(),
        false => sorted.get(index).copied(),
    };
    let (first, last) = (at(0)?, at(sorted.len() - 1)?);
    #[allow(clippy::cast_precision_loss)] // groups of 2^53 values don't fit into memory
    let place = share * (sorted.len() - 1) as f64 + 1.0;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // from 1 to the length
    let below = place as usize;
    if below < 1 {
        return Some((first, first, 0.0));
    }
    let (Some(low), Some(high)) = (at(below - 1), at(below)) else {
        return Some((last, last, 0.0));
    };
    #[allow(clippy::cast_precision_loss)]
    let between = place - below as f64;
    Some((low, high, between))
}

fn continuous(sorted: &[f64], share: f64, descending: bool) -> Option<f64> {
    let (low, high, between) = neighbours(sorted, share, descending)?;
    // Between infinities there is no number.
    if low.total_cmp(&high).is_eq() {
        return Some(low);
    }
    Some(low + between * (high - low))
}

/// The way from the longer to the shorter isn't the other way round: days and time go by themselves.
fn interval_between(
    sorted: &[IntervalMonthDayNano],
    share: f64,
    descending: bool,
) -> Result<Option<IntervalMonthDayNano>> {
    let Some((low, high, between)) = neighbours(sorted, share, descending) else {
        return Ok(None);
    };
    let [low, high] = [low, high].map(Interval::from);
    Ok(Some(low.towards(high, between)?.to_arrow()?))
}

/// The place, from 0, of the first of `count` sorted values at or beyond a share.
fn discrete(count: usize, share: f64, descending: bool) -> Option<usize> {
    let last = count.checked_sub(1)?;
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let place = ((share * count as f64).ceil() as usize).clamp(1, count) - 1;
    Some(if descending { last - place } else { place })
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
        assert_eq!(discrete(4, 0.5, false), Some(1));
        assert_eq!(discrete(4, 0.51, false), Some(2));
        assert_eq!(discrete(4, 0.0, false), Some(0));
        assert_eq!(discrete(4, 0.25, true), Some(3));
        assert_eq!(discrete(0, 0.5, false), None);
    }
}
