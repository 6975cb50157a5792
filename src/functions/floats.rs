//! Decimals beside floats, which are floats there, as in Postgres.
//!
//! DataFusion would take the float for a decimal, which has no NaN, no infinity and fewer digits
//! behind its point than small numbers need.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable};

/// Some values that are compared with one another, or of which one is taken.
pub(super) fn alike(values: Vec<Expr>, schema: &DFSchema) -> Result<Transformed<Vec<Expr>>> {
    let types = values.iter().map(|value| value.get_type(schema)).collect::<Result<Vec<_>>>()?;
    let has_floats = types.iter().any(DataType::is_floating);
    if !has_floats || !types.iter().any(DataType::is_decimal) {
        return Ok(Transformed::no(values));
    }
    let as_float = |(value, data_type): (Expr, &DataType)| match data_type.is_decimal() {
        true => float_of(value),
        false => value,
    };
    Ok(Transformed::yes(values.into_iter().zip(&types).map(as_float).collect()))
}

fn float_of(value: Expr) -> Expr {
    let constant = value.as_literal().and_then(|it| it.cast_to(&DataType::Float64).ok());
    match constant {
        Some(constant @ ScalarValue::Float64(_)) => Expr::Literal(constant, None),
        _ => Expr::Cast(Cast::new(Box::new(value), DataType::Float64)),
    }
}
