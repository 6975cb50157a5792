//! Aggregates that DataFusion doesn't have: `mode`, and those that are expressions over others.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{ScalarValue, not_impl_err, plan_err};
use datafusion::error::Result;
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature,
    Volatility,
};

use super::deviations;
use super::numeric::QUOTIENT;
use super::time::INTERVAL;
use crate::sql::types::PG_TYPE_KEY;

/// All of them, for the registry.
pub(super) fn all() -> Vec<Arc<AggregateUDF>> {
    static ALL: LazyLock<Vec<Arc<AggregateUDF>>> = LazyLock::new(|| {
        let replaced = [
            ("json_agg", 1),
            ("json_object_agg", 2),
            ("jsonb_agg", 1),
            ("jsonb_object_agg", 2),
            ("metric_avg", 1),
        ];
        let replaced = replaced.into_iter().map(|(name, arguments)| {
            Arc::new(AggregateUDF::from(Replaced {
                name,
                arguments,
                signature: Signature::any(arguments, Volatility::Immutable),
            }))
        });
        let mode = Mode { signature: Signature::user_defined(Volatility::Immutable) };
        let average = Average {
            signature: Signature::user_defined(Volatility::Immutable),
            aliases: vec!["mean".to_owned()],
        };
        let arrays = Arrays { inner: AggregateUDF::clone(&array_agg_udaf()) };
        let own = [mode.into(), average.into(), arrays.into()];
        let deviations =
            float_deviations().map(|of_floats| Arc::new(Deviation { of_floats }.into()));
        replaced.chain(own.map(Arc::new)).chain(deviations).collect()
    });
    ALL.clone()
}

/// An aggregate that [`super::semantics`] replaces by an expression over others before it is run.
///
/// `metric_avg` is the average of a metric, which is float8 of whole numbers, where `avg` in a
/// statement is numeric as in Postgres.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Replaced {
    name: &'static str,
    arguments: usize,
    signature: Signature,
}

impl AggregateUDFImpl for Replaced {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match (self.name, types) {
            ("metric_avg", [DataType::Decimal128(..) | DataType::Decimal256(..)]) => QUOTIENT,
            ("metric_avg", _) => DataType::Float64,
            _ => DataType::Utf8,
        })
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        if self.name == "metric_avg" {
            let types: Vec<DataType> = fields.iter().map(|it| it.data_type().clone()).collect();
            return Ok(Arc::new(Field::new(self.name, self.return_type(&types)?, true)));
        }
        let name = if self.name.starts_with("jsonb") { "jsonb" } else { "json" };
        let told = HashMap::from([(PG_TYPE_KEY.to_owned(), name.to_owned())]);
        Ok(Arc::new(Field::new(self.name, DataType::Utf8, true).with_metadata(told)))
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        not_impl_err!("{} here", self.name)
    }
}

/// `array_agg`, which keeps to its own order. DataFusion 55.2 turns it round where another aggregate wants
/// the rows in the opposite one, and forgets to turn the values of a DISTINCT back.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Arrays {
    inner: AggregateUDF,
}

impl AggregateUDFImpl for Arrays {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    /// An array of json is one of json: its items are no texts to be quoted.
    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        let field = self.inner.return_field(fields)?;
        let told = fields.first().and_then(|item| item.metadata().get(PG_TYPE_KEY));
        Ok(match told.map(String::as_str) {
            Some(json @ ("json" | "jsonb")) => {
                let told = HashMap::from([(PG_TYPE_KEY.to_owned(), format!("_{json}"))]);
                Arc::new(field.as_ref().clone().with_metadata(told))
            }
            _ => field,
        })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn with_beneficial_ordering(
        self: Arc<Self>,
        is_ordered: bool,
    ) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        let inner = Arc::clone(self.inner.inner()).with_beneficial_ordering(is_ordered)?;
        let arrays = |inner| Arrays { inner: AggregateUDF::new_from_shared_impl(inner) };
        Ok(inner.map(|inner| Arc::new(arrays(inner)) as Arc<dyn AggregateUDFImpl>))
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.inner.accumulator(args)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::NotSupported
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        self.inner.create_groups_accumulator(args)
    }

    fn supports_null_handling_clause(&self) -> bool {
        self.inner.supports_null_handling_clause()
    }
}

/// `avg`, with Postgres's types: numeric of integers. It becomes sums and counts, or DataFusion's own.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Average {
    signature: Signature,
    aliases: Vec<String>,
}

/// DataFusion's average, which is that of floats.
pub(super) fn float_avg() -> Arc<AggregateUDF> {
    datafusion::functions_aggregate::average::avg_udaf()
}

impl AggregateUDFImpl for Average {
    fn name(&self) -> &str {
        "avg"
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [number] if number.is_integer() || number.is_decimal() => Ok(types.to_vec()),
            // A difference of moments is a duration until it is given Postgres's meaning.
            [DataType::Interval(_) | DataType::Duration(_)] => Ok(vec![INTERVAL]),
            [number] if number.is_floating() || number.is_null() => Ok(vec![DataType::Float64]),
            _ => plan_err!("avg takes one number or interval"),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [integer] if integer.is_integer() => Ok(QUOTIENT),
            [DataType::Interval(_) | DataType::Duration(_)] => Ok(INTERVAL),
            _ => float_avg().return_type(types),
        }
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        not_impl_err!("avg here")
    }
}

/// `variance` and its like, with Postgres's types: numeric of integers and numerics. It becomes sums
/// and counts, or DataFusion's own.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Deviation {
    of_floats: Arc<AggregateUDF>,
}

fn float_deviations() -> [Arc<AggregateUDF>; 4] {
    use datafusion::functions_aggregate::stddev::{stddev_pop_udaf, stddev_udaf};
    use datafusion::functions_aggregate::variance::{var_pop_udaf, var_samp_udaf};
    [var_samp_udaf(), var_pop_udaf(), stddev_udaf(), stddev_pop_udaf()]
}

/// DataFusion's deviation of this name, which is that of floats, unless it is this already.
pub(super) fn float_deviation(function: &AggregateUDF) -> Option<Arc<AggregateUDF>> {
    let inner: &dyn std::any::Any = function.inner().as_ref();
    let own = inner.downcast_ref::<Deviation>()?;
    Some(Arc::clone(&own.of_floats))
}

impl AggregateUDFImpl for Deviation {
    fn name(&self) -> &str {
        self.of_floats.name()
    }

    fn aliases(&self) -> &[String] {
        self.of_floats.aliases()
    }

    fn signature(&self) -> &Signature {
        static SIGNATURE: LazyLock<Signature> =
            LazyLock::new(|| Signature::user_defined(Volatility::Immutable));
        &SIGNATURE
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [number] if deviations::of(self.name(), number).is_some() => Ok(types.to_vec()),
            [number] if number.is_numeric() || number.is_null() => Ok(vec![DataType::Float64]),
            _ => plan_err!("{} takes one number", self.name()),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match types {
            [number] if deviations::of(self.name(), number).is_some() => QUOTIENT,
            _ => DataType::Float64,
        })
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        not_impl_err!("{} here", self.name())
    }
}

/// `mode() WITHIN GROUP (ORDER BY any)`: the most frequent value, of several the first in the order.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Mode {
    signature: Signature,
}

impl AggregateUDFImpl for Mode {
    fn name(&self) -> &str {
        "mode"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [value] if !value.is_nested() => Ok(types.to_vec()),
            _ => plan_err!("mode takes no argument but the value to order by"),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Utf8))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let list = |item: &DataType, name: &str| {
            let item = Arc::new(Field::new_list_field(item.clone(), true));
            let name = format_state_name(args.name, name);
            Arc::new(Field::new(name, DataType::List(item), true))
        };
        Ok(vec![list(args.input_fields[0].data_type(), "values"), list(&DataType::Int64, "counts")])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Counts {
            data_type: args.expr_fields[0].data_type().clone(),
            counts: HashMap::new(),
            descending: args.order_bys.first().is_some_and(|key| key.options.descending),
        }))
    }

    fn supports_within_group_clause(&self) -> bool {
        true
    }
}

/// How often each value of a group came.
#[derive(Debug)]
struct Counts {
    data_type: DataType,
    counts: HashMap<ScalarValue, i64>,
    descending: bool,
}

impl Accumulator for Counts {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for row in 0..values[0].len() {
            let value = ScalarValue::try_from_array(&values[0], row)?;
            if !value.is_null() {
                *self.counts.entry(value).or_default() += 1;
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let (values, counts) = (states[0].as_list::<i32>(), states[1].as_list::<i32>());
        for group in 0..values.len() {
            let (values, counts) = (values.value(group), counts.value(group));
            let counts = counts.as_primitive::<datafusion::arrow::datatypes::Int64Type>();
            for row in 0..values.len() {
                let value = ScalarValue::try_from_array(&values, row)?;
                *self.counts.entry(value).or_default() += counts.value(row);
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let (values, counts): (Vec<ScalarValue>, Vec<i64>) = self.counts.drain().unzip();
        let values = match values.is_empty() {
            true => datafusion::arrow::array::new_empty_array(&self.data_type),
            false => ScalarValue::iter_to_array(values)?,
        };
        let counts: ArrayRef = Arc::new(datafusion::arrow::array::Int64Array::from(counts));
        Ok(vec![
            SingleRowListArrayBuilder::new(values).build_list_scalar(),
            SingleRowListArrayBuilder::new(counts).build_list_scalar(),
        ])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let best = self.counts.iter().max_by(|(a, a_count), (b, b_count)| {
            let order = a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal);
            let order = if self.descending { order } else { order.reverse() };
            a_count.cmp(b_count).then(order)
        });
        match best {
            Some((value, _)) => Ok(value.clone()),
            None => ScalarValue::try_from(&self.data_type),
        }
    }

    fn size(&self) -> usize {
        let values: usize = self.counts.keys().map(ScalarValue::size).sum();
        size_of_val(self) + values + self.counts.len() * size_of::<i64>()
    }
}
