//! Quoted literals beside arithmetic operators: their type is the other operand's, or the one of
//! which there is such an operator.
//!
//! Source: PostgreSQL 15, 10.2, <https://www.postgresql.org/docs/15/typeconv-oper.html>.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Cast, Expr, ExprSchemable};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::quoted;
use super::time::INTERVAL;
use crate::sql::types::PgType;
use crate::sql::value::written_scale;

/// Plans `price * '2'` and `placed_at + '1 day'`.
#[derive(Debug)]
pub(super) struct QuotedOperands;

impl ExprPlanner for QuotedOperands {
    fn plan_binary_op(
        &self,
        mut expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let is_left = match (quoted(&expr.left), quoted(&expr.right)) {
            (Some(_), None) => true,
            (None, Some(_)) => false,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let (literal, other) = match is_left {
            true => (&mut expr.left, &expr.right),
            false => (&mut expr.right, &expr.left),
        };
        // What has no type yet, a parameter say, gives none.
        if let Ok(other) = other.get_type(schema)
            && let Some(to) = operand(&expr.op, &other, is_left)
        {
            *literal = typed(literal, to)?;
        }
        Ok(PlannerResult::Original(expr))
    }
}

/// The type of a literal on one side of an operator, whose other side has a type. None where
/// Postgres knows none or several.
fn operand(op: &BinaryOperator, other: &DataType, is_left: bool) -> Option<DataType> {
    use BinaryOperator::{
        Divide, Eq, Gt, GtEq, Lt, LtEq, Minus, Modulo, Multiply, NotEq, Plus, StringConcat,
    };
    let is_span = matches!(other, DataType::Interval(_) | DataType::Duration(_));
    match (op, other) {
        (Eq | NotEq | Lt | LtEq | Gt | GtEq, DataType::Boolean)
        | (StringConcat, DataType::Binary) => Some(other.clone()),
        (Plus | Minus | Multiply | Divide | Modulo, number) if number.is_numeric() => {
            Some(number.clone())
        }
        (Plus, DataType::Timestamp(..)) => Some(INTERVAL),
        (Minus, DataType::Timestamp(..) | DataType::Date32) => Some(other.clone()),
        (Plus | Minus, _) if is_span => Some(INTERVAL),
        (Multiply, _) if is_span => Some(DataType::Float64),
        (Divide, _) if is_span && !is_left => Some(DataType::Float64),
        _ => None,
    }
}

/// The numeric of all digits that are written.
pub(super) fn numeric(text: &str) -> PgType {
    PgType::Numeric(Some((38, written_scale(text))))
}

/// A numeric has the digits that are written; a moment is read later, in the session's zone.
fn typed(literal: &Expr, to: DataType) -> Result<Expr> {
    let text = quoted(literal).unwrap_or_default();
    let pg_type = match &to {
        DataType::Decimal128(..) | DataType::Decimal256(..) => numeric(text),
        DataType::Timestamp(..) => {
            return Ok(Expr::Cast(Cast::new(Box::new(literal.clone()), to)));
        }
        other => PgType::of_arrow(other),
    };
    Ok(Expr::Literal(super::text::read(&pg_type, text)?, None))
}
