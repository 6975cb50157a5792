//! `coalesce`, which takes quoted literals beside values of any type: they are read as that type, when
//! types are known. DataFusion's takes a text for a text.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::functions::core::coalesce;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// The function, for the registry.
pub(super) fn function() -> Arc<ScalarUDF> {
    Arc::new(Coalesce { inner: coalesce() }.into())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Coalesce {
    inner: Arc<ScalarUDF>,
}

/// The type of texts beside others: that of the others, if they have one.
fn beside_texts(types: &[DataType]) -> Option<Vec<DataType>> {
    let is_open = |data_type: &DataType| data_type.is_string() || data_type.is_null();
    let mut others = types.iter().filter(|data_type| !is_open(data_type));
    let other = others.next()?;
    if others.any(|another| another != other) || !types.iter().any(DataType::is_string) {
        return None;
    }
    Some(vec![other.clone(); types.len()])
}

impl ScalarUDFImpl for Coalesce {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match beside_texts(types) {
            Some(types) => Ok(types),
            None => self.inner.coerce_types(types),
        }
    }

    fn simplify(&self, args: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, context)
    }

    fn short_circuits(&self) -> bool {
        self.inner.short_circuits()
    }

    fn conditional_arguments<'a>(
        &self,
        args: &'a [Expr],
    ) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.inner.conditional_arguments(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.inner.invoke_with_args(args)
    }
}
