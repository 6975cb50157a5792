//! Functions that mark, in a bound plan, where a measure becomes a value. They are never run: the
//! plan stage replaces each by what the measure means at its place.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::datatypes::FieldRef;
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};

/// The aggregate: its argument's measures, evaluated for the group.
pub const MEASURE: &str = "__measure";
/// The aggregate: its first argument's measures, evaluated at the level of the others, which are
/// some of the group's keys.
pub const MEASURE_AT: &str = "__measure_at";
/// The scalar: its argument's measure, evaluated for the row of its entity.
pub const MEASURE_OF_ROW: &str = "__measure_of_row";

pub(crate) fn measure() -> Arc<AggregateUDF> {
    static UDF: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| {
        let signature = Signature::any(1, Volatility::Stable);
        Arc::new(AggregateUDF::from(MeasureMarker { name: MEASURE, signature }))
    });
    Arc::clone(&UDF)
}

pub(crate) fn measure_at() -> Arc<AggregateUDF> {
    static UDF: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| {
        let signature = Signature::variadic_any(Volatility::Stable);
        Arc::new(AggregateUDF::from(MeasureMarker { name: MEASURE_AT, signature }))
    });
    Arc::clone(&UDF)
}

pub(crate) fn measure_of_row() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        Arc::new(ScalarUDF::from(RowMarker { signature: Signature::any(1, Volatility::Stable) }))
    });
    Arc::clone(&UDF)
}

/// The condition, always true, that reads what must not be pruned.
pub const KEPT: &str = "__kept";

pub(crate) fn kept() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        let signature = Signature::variadic_any(Volatility::Stable);
        Arc::new(ScalarUDF::from(KeptMarker { signature }))
    });
    Arc::clone(&UDF)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct KeptMarker {
    signature: Signature,
}

impl ScalarUDFImpl for KeptMarker {
    fn name(&self) -> &str {
        KEPT
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("what was kept was not let go")
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct MeasureMarker {
    name: &'static str,
    signature: Signature,
}

impl AggregateUDFImpl for MeasureMarker {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(arg_types[0].clone())
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        internal_err!("a measure was not expanded")
    }

    fn state_fields(&self, _args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(Vec::new())
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct RowMarker {
    signature: Signature,
}

impl ScalarUDFImpl for RowMarker {
    fn name(&self) -> &str {
        MEASURE_OF_ROW
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(arg_types[0].clone())
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("a measure was not expanded")
    }
}
