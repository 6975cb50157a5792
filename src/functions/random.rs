//! Values that are others each time.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::StringArray;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use uuid::Uuid;

use crate::sql::types::PG_TYPE_KEY;

/// `gen_random_uuid()`, another one for each row.
pub(super) fn uuid() -> Arc<ScalarUDF> {
    let signature = Signature::nullary(Volatility::Volatile);
    Arc::new(ScalarUDF::from(RandomUuid { signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct RandomUuid {
    signature: Signature,
}

impl ScalarUDFImpl for RandomUuid {
    fn name(&self) -> &str {
        "gen_random_uuid"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let told = HashMap::from([(PG_TYPE_KEY.to_owned(), "uuid".to_owned())]);
        Ok(Arc::new(Field::new(self.name(), DataType::Utf8, true).with_metadata(told)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let uuids = (0..args.number_rows).map(|_| Some(Uuid::new_v4().to_string()));
        Ok(ColumnarValue::Array(Arc::new(uuids.collect::<StringArray>())))
    }
}
