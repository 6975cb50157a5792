//! Functions that give their argument, to hide it from rules of the optimizer.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

/// A function of that name which gives its one argument, with the argument's field.
pub(crate) fn transparent(name: &'static str) -> ScalarUDF {
    Transparent::of(1, name)
}

/// The same, whose result may differ between rows though the argument doesn't, for all that is known.
pub(super) fn varying(name: &'static str) -> ScalarUDF {
    let signature = Signature::any(1, Volatility::Volatile);
    ScalarUDF::from(Transparent { name, signature })
}

/// The same, whose result may be NULL though the argument isn't, for all that is known: the value of a
/// subquery that may have no row.
pub(crate) fn nullable() -> &'static ScalarUDF {
    static FUNCTION: LazyLock<ScalarUDF> = LazyLock::new(|| Transparent::of(1, NULLABLE));
    &FUNCTION
}

/// [`nullable`] of a constant: folded, it would be never NULL again.
pub(crate) fn nullable_constant() -> &'static ScalarUDF {
    static FUNCTION: LazyLock<ScalarUDF> = LazyLock::new(|| varying(NULLABLE));
    &FUNCTION
}

/// The name of [`nullable`] in plans.
pub(crate) const NULLABLE: &str = "canon_nullable";

/// The same of the first of two arguments.
pub(super) fn first_of_two(name: &'static str) -> ScalarUDF {
    Transparent::of(2, name)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Transparent {
    name: &'static str,
    signature: Signature,
}

impl Transparent {
    fn of(args: usize, name: &'static str) -> ScalarUDF {
        ScalarUDF::from(Self { name, signature: Signature::any(args, Volatility::Immutable) })
    }
}

impl ScalarUDFImpl for Transparent {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [data_type, ..] => Ok(data_type.clone()),
            _ => internal_err!("an argument is expected"),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        match args.arg_fields {
            [field, ..] if self.name == NULLABLE && !field.is_nullable() => {
                Ok(Arc::new(field.as_ref().clone().with_nullable(true)))
            }
            [field, ..] => Ok(Arc::clone(field)),
            _ => internal_err!("an argument is expected"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.into_iter().next() {
            Some(value) => Ok(value),
            None => internal_err!("an argument is expected"),
        }
    }
}
