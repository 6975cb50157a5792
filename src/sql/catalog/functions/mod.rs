//! Postgres's functions about objects, sessions and privileges.
//!
//! Each is an entry of a table: name, number of arguments, result type, and how to work it out
//! from one row's values. They are few rows' work, so a value at a time is fast enough.

mod arrays;
mod objects;
mod privileges;
mod registered;
mod server;
mod session;
mod text;

pub(crate) use session::server_version;

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};

use super::coercion::RegCasts;
use super::directory::Directory;
use super::error::CatalogError;
use super::naming::format_type;
use super::relations::SessionFacts;
use super::snapshot::CatalogSession;
use super::syntax::ROW;
use super::typing::{field_of, list_of, pg_type_of, tag_of, tagged, type_name};
use crate::sql::types::PG_TYPE_KEY;

pub(super) use arrays::{parse_array, print_array};

/// One argument or result.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Text(String),
    List(Vec<Value>),
    /// A type that no function here looks into.
    Other(ScalarValue),
}

/// The type of a function's result.
#[derive(Debug, Clone, Copy)]
pub(super) enum Returns {
    /// A type of `pg_type`.
    Type(&'static str),
    /// An array of the type of an argument, by position.
    ArrayOf(usize),
    /// The type of an argument, by position.
    Same(usize),
    /// A numeric without places.
    Whole,
    /// The type of NULL, before it has one.
    Untyped,
    /// The entries of an access control list: `aclexplode`.
    AccessItems,
    /// The elements of an array argument, each with its subscript: `_pg_expandarray`.
    Subscripted(usize),
}

/// A function of the catalogue.
pub(super) struct Function {
    pub(super) name: &'static str,
    /// The least and the greatest number of arguments.
    pub(super) arguments: (usize, usize),
    pub(super) returns: Returns,
    /// Whether an argument that is NULL makes the result NULL.
    pub(super) strict: bool,
    pub(super) eval: fn(&Call<'_>) -> Outcome,
}

/// A function without arguments.
const fn fact(
    name: &'static str,
    type_name: &'static str,
    eval: fn(&Call<'_>) -> Outcome,
) -> Function {
    Function { name, arguments: (0, 0), returns: Returns::Type(type_name), strict: false, eval }
}

/// A function of one argument, NULL of NULL.
const fn of_one(
    name: &'static str,
    type_name: &'static str,
    eval: fn(&Call<'_>) -> Outcome,
) -> Function {
    Function { name, arguments: (1, 1), returns: Returns::Type(type_name), strict: true, eval }
}

pub(super) type Outcome = std::result::Result<Value, CatalogError>;

/// One evaluation.
pub(super) struct Call<'a> {
    pub(super) directory: &'a Directory,
    pub(super) session: &'a CatalogSession,
    pub(super) args: &'a [Value],
    /// The types of the arguments, as `pg_type` names them.
    pub(super) types: &'a [String],
}

impl Call<'_> {
    /// An argument; NULL where it was left out.
    pub(super) fn value(&self, at: usize) -> &Value {
        self.args.get(at).unwrap_or(&Value::Null)
    }

    /// An integer argument, also one that was written as a text.
    pub(super) fn int(&self, at: usize) -> Option<i64> {
        match self.value(at) {
            Value::Int(number) => Some(*number),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    pub(super) fn text(&self, at: usize) -> Option<&str> {
        match self.value(at) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn bool(&self, at: usize) -> Option<bool> {
        match self.value(at) {
            Value::Bool(value) => Some(*value),
            Value::Text(text) => Some(matches!(text.as_str(), "t" | "true" | "on" | "1")),
            _ => None,
        }
    }
}

impl Value {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn maybe_text(text: Option<impl Into<String>>) -> Self {
        text.map_or(Self::Null, |text| Self::Text(text.into()))
    }

    /// As Postgres prints it.
    pub(super) fn print(&self) -> Option<String> {
        Some(match self {
            Self::Null => return None,
            Self::Bool(value) => if *value { "t" } else { "f" }.to_owned(),
            Self::Int(number) => number.to_string(),
            Self::Text(text) => text.clone(),
            Self::List(items) => print_array(items),
            Self::Other(scalar) => scalar.to_string(),
        })
    }

    fn from_scalar(scalar: ScalarValue) -> Result<Self> {
        if scalar.is_null() {
            return Ok(Self::Null);
        }
        Ok(match scalar {
            ScalarValue::Boolean(Some(value)) => Self::Bool(value),
            ScalarValue::Int8(_)
            | ScalarValue::Int16(_)
            | ScalarValue::Int32(_)
            | ScalarValue::UInt8(_)
            | ScalarValue::UInt16(_)
            | ScalarValue::UInt32(_)
            | ScalarValue::UInt64(_)
            | ScalarValue::Int64(_) => match scalar.cast_to(&DataType::Int64)? {
                ScalarValue::Int64(Some(number)) => Self::Int(number),
                other => Self::Other(other),
            },
            ScalarValue::Utf8(Some(text))
            | ScalarValue::LargeUtf8(Some(text))
            | ScalarValue::Utf8View(Some(text)) => Self::Text(text),
            ScalarValue::List(list) => Self::from_items(&list.value(0))?,
            ScalarValue::LargeList(list) => Self::from_items(&list.value(0))?,
            other => Self::Other(other),
        })
    }

    fn from_items(items: &ArrayRef) -> Result<Self> {
        let values =
            (0..items.len()).map(|at| Self::from_scalar(ScalarValue::try_from_array(items, at)?));
        Ok(Self::List(values.collect::<Result<_>>()?))
    }

    fn into_scalar(self, data_type: &DataType) -> Result<ScalarValue> {
        let scalar = match (self, data_type) {
            (Self::Null, _) => return ScalarValue::try_from(data_type),
            (Self::List(items), DataType::List(item)) => {
                let scalars = items.into_iter().map(|one| one.into_scalar(item.data_type()));
                let scalars = scalars.collect::<Result<Vec<_>>>()?;
                return Ok(ScalarValue::List(ScalarValue::new_list_nullable(
                    &scalars,
                    item.data_type(),
                )));
            }
            (Self::List(items), DataType::Struct(fields)) => {
                let scalars = items.into_iter().zip(fields).map(|(one, field)| {
                    Ok((Arc::clone(field), one.into_scalar(field.data_type())?))
                });
                let scalars = scalars.collect::<Result<Vec<_>>>()?;
                let (fields, scalars): (Vec<_>, Vec<_>) = scalars.into_iter().unzip();
                let arrays = scalars.iter().map(|one| one.to_array_of_size(1));
                let arrays = arrays.collect::<Result<Vec<_>>>()?;
                let array =
                    datafusion::arrow::array::StructArray::try_new(fields.into(), arrays, None)?;
                return Ok(ScalarValue::Struct(Arc::new(array)));
            }
            (Self::Bool(value), _) => ScalarValue::Boolean(Some(value)),
            (Self::Int(number), _) => ScalarValue::Int64(Some(number)),
            (Self::Text(text), _) => ScalarValue::Utf8(Some(text)),
            (Self::List(items), _) => ScalarValue::Utf8(Some(print_array(&items))),
            (Self::Other(scalar), _) => scalar,
        };
        scalar.cast_to(data_type)
    }
}

/// All of them, bound to a definition set's objects, by name.
pub(super) fn all(directory: &Arc<Directory>) -> HashMap<&'static str, Arc<ScalarUDF>> {
    let tables = [
        session::FUNCTIONS,
        server::FUNCTIONS,
        objects::FUNCTIONS,
        registered::FUNCTIONS,
        privileges::FUNCTIONS,
        text::FUNCTIONS,
        arrays::FUNCTIONS,
    ];
    let all = tables.into_iter().flatten();
    let all = all.map(|function| (function.name, udf(function, directory)));
    all.chain([(ROW, datafusion::functions::core::named_struct())]).collect()
}

/// The functions behind the casts of the `reg…` types.
pub(super) fn reg_casts(directory: &Arc<Directory>) -> RegCasts {
    RegCasts {
        to_reg: udf(&registered::TO_REG, directory),
        to_regs: udf(&registered::TO_REGS, directory),
        from_reg: udf(&registered::FROM_REG, directory),
        from_regs: udf(&registered::FROM_REGS, directory),
    }
}

/// What is done for each row, though its arguments are constant.
fn is_volatile(function: &Function) -> bool {
    matches!(
        function.name,
        "pg_sleep" | "pg_sleep_for" | "pg_cancel_backend" | "pg_terminate_backend"
    )
}

fn udf(function: &'static Function, directory: &Arc<Directory>) -> Arc<ScalarUDF> {
    let volatility = if is_volatile(function) { Volatility::Volatile } else { Volatility::Stable };
    Arc::new(ScalarUDF::from(CatalogUdf {
        function,
        directory: Arc::clone(directory),
        signature: Signature::one_of(
            vec![TypeSignature::Nullary, TypeSignature::VariadicAny],
            volatility,
        ),
    }))
}

struct CatalogUdf {
    function: &'static Function,
    directory: Arc<Directory>,
    signature: Signature,
}

impl std::fmt::Debug for CatalogUdf {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CatalogUdf").field("name", &self.function.name).finish()
    }
}

impl PartialEq for CatalogUdf {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name && Arc::ptr_eq(&self.directory, &other.directory)
    }
}

impl Eq for CatalogUdf {}

impl Hash for CatalogUdf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl ScalarUDFImpl for CatalogUdf {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Err(DataFusionError::Internal(format!("{}: asked without fields", self.name())))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let (least, most) = self.function.arguments;
        let count = args.arg_fields.len();
        if count < least || count > most {
            let types = args.arg_fields.iter().map(|field| {
                let oid = pg_type_of(field).oid();
                format_type(i64::from(oid), -1)
            });
            let types = types.collect::<Vec<_>>().join(", ");
            let name = format!("{}({types})", self.function.name);
            return Err(CatalogError::UndefinedFunction { name, position: None }.into());
        }
        let argument = |at: usize| {
            args.arg_fields.get(at).map_or(DataType::Null, |field| field.data_type().clone())
        };
        let field = match self.function.returns {
            Returns::Type(name) => return Ok(named(&field_of(name), self.function.name)),
            Returns::ArrayOf(at) => {
                let array = Field::new("", list_of(argument(at)), true);
                let tag = args.arg_fields.get(at).and_then(|field| tag_of(field));
                let tag = tag.map(|tag| (PG_TYPE_KEY.to_owned(), format!("_{tag}")));
                array.with_metadata(tag.into_iter().collect())
            }
            Returns::Same(at) => {
                let same = args.arg_fields.get(at).map(|field| field.as_ref().clone());
                same.unwrap_or_else(|| Field::new("", DataType::Null, true))
            }
            Returns::Whole => Field::new("", DataType::Decimal128(20, 0), true),
            Returns::Untyped => Field::new("", DataType::Null, true),
            Returns::AccessItems => {
                let fields = vec![
                    tagged(Field::new("grantor", DataType::Null, true), "oid"),
                    tagged(Field::new("grantee", DataType::Null, true), "oid"),
                    Field::new("privilege_type", DataType::Utf8, true),
                    Field::new("is_grantable", DataType::Boolean, true),
                ];
                Field::new("", list_of(DataType::Struct(fields.into())), true)
            }
            Returns::Subscripted(at) => {
                let element = match argument(at) {
                    DataType::List(item) => item.data_type().clone(),
                    _ => DataType::Int16,
                };
                let fields =
                    vec![Field::new("x", element, true), Field::new("n", DataType::Int32, true)];
                Field::new("", list_of(DataType::Struct(fields.into())), true)
            }
        };
        Ok(Arc::new(field.with_name(self.function.name).with_nullable(true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let facts = args.config_options.extensions.get::<SessionFacts>().ok_or_else(|| {
            DataFusionError::Internal(format!("{}: no session to answer for", self.name()))
        })?;
        let types = args.arg_fields.iter().map(|field| match field.data_type() {
            DataType::Null => "unknown".to_owned(),
            _ => type_name(&pg_type_of(field)),
        });
        let types: Vec<String> = types.collect();
        let data_type = args.return_field.data_type();
        let eval = |values: &[Value]| -> Result<ScalarValue> {
            if self.function.strict && values.contains(&Value::Null) {
                return ScalarValue::try_from(data_type);
            }
            let call =
                Call { directory: &self.directory, session: &facts.0, args: values, types: &types };
            (self.function.eval)(&call)?.into_scalar(data_type)
        };
        let scalars = args.args.iter().map(|arg| match arg {
            ColumnarValue::Scalar(scalar) => Some(scalar.clone()),
            ColumnarValue::Array(_) => None,
        });
        if let Some(scalars) = scalars.collect::<Option<Vec<_>>>()
            && !is_volatile(self.function)
        {
            let values = scalars.into_iter().map(Value::from_scalar).collect::<Result<Vec<_>>>()?;
            return Ok(ColumnarValue::Scalar(eval(&values)?));
        }
        let arrays = args.args.iter().map(|arg| arg.to_array(args.number_rows));
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        let mut results = Vec::with_capacity(args.number_rows);
        for row in 0..args.number_rows {
            let values = arrays
                .iter()
                .map(|array| Value::from_scalar(ScalarValue::try_from_array(array, row)?))
                .collect::<Result<Vec<_>>>()?;
            results.push(eval(&values)?);
        }
        if results.is_empty() {
            return Ok(ColumnarValue::Array(datafusion::arrow::array::new_empty_array(data_type)));
        }
        Ok(ColumnarValue::Array(ScalarValue::iter_to_array(results)?))
    }
}

fn named(field: &FieldRef, name: &str) -> FieldRef {
    Arc::new(field.as_ref().clone().with_name(name))
}
