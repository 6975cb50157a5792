//! A scalar function of ours as a value: name, types, body.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

/// What a function needs of its arguments' types: the types to convert them to.
type Coerce = fn(&[DataType]) -> Result<Vec<DataType>>;

/// The type of the result, from the converted types and the arguments that are constant.
type Returns = fn(&[DataType], &[Option<&ScalarValue>]) -> Result<DataType>;

type Body = fn(&ScalarFunctionArgs) -> Result<ColumnarValue>;

/// Which arguments give a result equal to a constant: see [`ScalarUDFImpl::preimage`].
type Preimage = fn(&[Expr], &ScalarValue, &SimplifyContext) -> Result<PreimageResult>;

/// A function without state, NULL in no other way than its body says.
#[derive(Debug)]
pub(super) struct Function {
    name: &'static str,
    signature: Signature,
    aliases: Vec<String>,
    coerce: Coerce,
    returns: Returns,
    body: Body,
    preimage: Option<Preimage>,
}

impl Function {
    pub(super) fn new(name: &'static str, coerce: Coerce, returns: Returns, body: Body) -> Self {
        let signature = Signature::user_defined(Volatility::Immutable);
        Self { name, signature, aliases: Vec::new(), coerce, returns, body, preimage: None }
    }

    pub(super) fn alias(mut self, alias: &str) -> Self {
        self.aliases.push(alias.to_owned());
        self
    }

    pub(super) fn preimage(self, preimage: Preimage) -> Self {
        Self { preimage: Some(preimage), ..self }
    }

    pub(super) fn udf(self) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::new_from_impl(self))
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        (self.coerce)(arg_types)
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        (self.returns)(arg_types, &vec![None; arg_types.len()])
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> =
            args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let data_type = (self.returns)(&types, args.scalar_arguments)?;
        Ok(Arc::new(Field::new(self.name, data_type, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        (self.body)(&args)
    }

    fn preimage(
        &self,
        args: &[Expr],
        constant: &Expr,
        info: &SimplifyContext,
    ) -> Result<PreimageResult> {
        match (self.preimage, constant.as_literal()) {
            (Some(preimage), Some(value)) if !value.is_null() => preimage(args, value, info),
            _ => Ok(PreimageResult::None),
        }
    }
}

/// The call of a function with some arguments.
pub(super) fn call(function: &Arc<ScalarUDF>, args: Vec<Expr>) -> Expr {
    Expr::ScalarFunction(datafusion::logical_expr::expr::ScalarFunction::new_udf(
        Arc::clone(function),
        args,
    ))
}

/// The body's result: a scalar where every argument was one.
pub(super) fn result(
    args: &ScalarFunctionArgs,
    array: datafusion::arrow::array::ArrayRef,
) -> Result<ColumnarValue> {
    let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    if scalar && array.len() == 1 {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
    }
    Ok(ColumnarValue::Array(array))
}

/// The arguments as arrays of one length: that of the rows, or 1 where all are scalars.
pub(super) fn arrays(args: &ScalarFunctionArgs) -> Result<Vec<datafusion::arrow::array::ArrayRef>> {
    ColumnarValue::values_to_arrays(&args.args)
}
