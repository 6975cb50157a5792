//! `array_agg` with its Postgres type: DataFusion's forgets what Arrow's type doesn't tell of the items,
//! so that an array of OIDs would be one of bigints.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::Result;
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature,
};

use super::typing::{list_of, tag_of};
use crate::sql::types::PG_TYPE_KEY;

/// The aggregate, under the name of DataFusion's.
pub(super) fn array_agg() -> Arc<AggregateUDF> {
    static FUNCTION: LazyLock<Arc<AggregateUDF>> =
        LazyLock::new(|| Arc::new(ArrayAgg { of_items: array_agg_udaf() }.into()));
    Arc::clone(&FUNCTION)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ArrayAgg {
    of_items: Arc<AggregateUDF>,
}

impl AggregateUDFImpl for ArrayAgg {
    fn name(&self) -> &str {
        self.of_items.name()
    }

    fn signature(&self) -> &Signature {
        self.of_items.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.of_items.return_type(types)
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        let plain = self.of_items.return_field(fields)?;
        let Some(tag) = fields.first().and_then(|item| tag_of(item)) else { return Ok(plain) };
        let told = [(PG_TYPE_KEY.to_owned(), format!("_{tag}"))].into_iter().collect();
        let list = list_of(fields[0].data_type().clone());
        Ok(Arc::new(Field::new(plain.name(), list, true).with_metadata(told)))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.of_items.state_fields(args)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::HardRequirement
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.of_items.accumulator(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.of_items.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        self.of_items.create_groups_accumulator(args)
    }

    fn supports_null_handling_clause(&self) -> bool {
        true
    }
}
