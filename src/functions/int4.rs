//! Whole numbers that are four bytes long in Postgres. A literal is there where it fits, and eight
//! bytes long in DataFusion, which a sum would show: of `int4` it is an `int8`, and its quotients are
//! whole numbers; of `int8` it is numeric.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Case, ScalarFunction};
use datafusion::logical_expr::{Expr, ExprSchemable};

/// The expression in four bytes; None if it is longer in Postgres too, or isn't of literals, CASE and
/// coalesce alone.
pub(super) fn narrowed(expr: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    match expr {
        Expr::Literal(ScalarValue::Int64(number), _) => {
            let number = number.map(i32::try_from).transpose().ok();
            Ok(number.map(|number| Expr::Literal(ScalarValue::Int32(number), None)))
        }
        Expr::Literal(ScalarValue::Null, _) => Ok(Some(expr.clone())),
        Expr::Case(Case { expr, when_then_expr, else_expr }) => {
            let mut branches = Vec::with_capacity(when_then_expr.len());
            for (condition, result) in when_then_expr {
                let Some(result) = narrowed(result, schema)? else { return Ok(None) };
                branches.push((condition.clone(), Box::new(result)));
            }
            let otherwise = match else_expr.as_deref().map(|it| narrowed(it, schema)).transpose()? {
                Some(None) => return Ok(None),
                Some(Some(otherwise)) => Some(Box::new(otherwise)),
                None => None,
            };
            Ok(Some(Expr::Case(Case::new(expr.clone(), branches, otherwise))))
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == "coalesce" => {
            let args = args.iter().map(|arg| narrowed(arg, schema));
            let args: Option<Vec<Expr>> = args.collect::<Result<_>>()?;
            Ok(args.map(|args| func.call(args)))
        }
        other => {
            let is_narrow = matches!(other.get_type(schema)?, DataType::Int16 | DataType::Int32);
            Ok(is_narrow.then(|| other.clone()))
        }
    }
}
