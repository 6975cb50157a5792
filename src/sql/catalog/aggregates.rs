//! Aggregates with their Postgres types: DataFusion's forget what Arrow's type doesn't tell, so that
//! an array of OIDs would be one of bigints, and the greatest of them a bigint.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::Result;
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature,
};

use super::typing::{is_reg, list_of, tag_of, tagged};
use crate::functions::registry;
use crate::sql::types::PG_TYPE_KEY;

/// An aggregate of a catalogue query, where it isn't DataFusion's as it is.
pub(super) fn named(name: &str) -> Option<Arc<AggregateUDF>> {
    static FUNCTIONS: LazyLock<HashMap<&str, Arc<AggregateUDF>>> = LazyLock::new(|| {
        let of_one = |name| Some((name, Arc::clone(registry().aggregate.get(name)?), Gives::One));
        let items = ("array_agg", array_agg_udaf(), Gives::Array);
        let all = [Some(items), of_one("max"), of_one("min")].into_iter().flatten();
        all.map(|(name, untyped, gives)| (name, Arc::new(Typed { untyped, gives }.into())))
            .collect()
    });
    FUNCTIONS.get(name).cloned()
}

/// What an aggregate makes of its argument's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Gives {
    Array,
    One,
}

impl Gives {
    /// The type of the result, from that of the argument; None where Arrow's type tells it.
    fn of(self, item: &Field) -> Option<Field> {
        let tag = tag_of(item)?;
        match self {
            Self::Array => {
                let told = [(PG_TYPE_KEY.to_owned(), format!("_{tag}"))].into_iter().collect();
                let list = list_of(item.data_type().clone());
                Some(Field::new("", list, true).with_metadata(told))
            }
            // Of whatever objects the OIDs are.
            Self::One if tag == "oid" || is_reg(tag) => {
                Some(tagged(Field::new("", DataType::Null, true), "oid"))
            }
            Self::One => None,
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Typed {
    untyped: Arc<AggregateUDF>,
    gives: Gives,
}

impl AggregateUDFImpl for Typed {
    fn name(&self) -> &str {
        self.untyped.name()
    }

    fn signature(&self) -> &Signature {
        self.untyped.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.untyped.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.untyped.return_type(types)
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        let plain = self.untyped.return_field(fields)?;
        let told = fields.first().and_then(|item| self.gives.of(item));
        Ok(told.map_or(plain.clone(), |field| Arc::new(field.with_name(plain.name()))))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.untyped.state_fields(args)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        match self.gives {
            Gives::Array => AggregateOrderSensitivity::HardRequirement,
            Gives::One => self.untyped.order_sensitivity(),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.untyped.accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.untyped.create_sliding_accumulator(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.untyped.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        self.untyped.create_groups_accumulator(args)
    }

    fn supports_null_handling_clause(&self) -> bool {
        self.untyped.supports_null_handling_clause()
    }
}
