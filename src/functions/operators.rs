//! Operators that Postgres doesn't have for the types around them, where DataFusion would read a text
//! as a number, a date or a boolean, and fail on the first that is none; and numbers that canon's
//! types don't hold.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Diagnostic, ScalarValue, Span, plan_datafusion_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};

use super::{FunctionError, is_comparison, quoted};
use crate::sql::types::{PG_TYPE_KEY, PgType};

/// Refuses texts compared with what is no text, in a plan whose types aren't coerced yet, and constants
/// of more than 38 digits.
///
/// # Errors
/// In the words of DataFusion's planner, with the place of a column beside the operator; 22003.
pub fn check(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        let inputs = node.inputs();
        let merged;
        let schema: &DFSchema = match inputs.as_slice() {
            [input] => input.schema(),
            _ => {
                merged = merge_schema(&inputs);
                &merged
            }
        };
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                comparison(expr, schema)?;
                held(expr)?;
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(())
}

/// DataFusion has a wider type for such a constant, whose casts break off.
fn held(expr: &Expr) -> Result<()> {
    match expr {
        Expr::Literal(ScalarValue::Decimal256(Some(_), _, _), _) => {
            let error = FunctionError::new("22003", "numeric value out of range");
            Err(error.with_hint("Numbers have up to 38 digits.").into())
        }
        _ => Ok(()),
    }
}

fn comparison(expr: &Expr, schema: &DFSchema) -> Result<()> {
    let side = |expr: &Expr| Side::of(expr, schema);
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
            compare(&side(left), *op, &side(right))
        }
        Expr::Between(Between { expr, low, high, .. }) => {
            let expr = side(expr);
            compare(&expr, Operator::GtEq, &side(low))?;
            compare(&expr, Operator::LtEq, &side(high))
        }
        Expr::InList(InList { expr, list, negated }) => {
            let (expr, op) = (side(expr), if *negated { Operator::NotEq } else { Operator::Eq });
            list.iter().try_for_each(|item| compare(&expr, op, &side(item)))
        }
        Expr::InSubquery(within) => {
            let rows = within.subquery.subquery.schema();
            let Some(field) = rows.fields().first() else { return Ok(()) };
            let item =
                Side { name: name_of(field), data_type: field.data_type().clone(), span: None };
            compare(&side(&within.expr), Operator::Eq, &Some(item))
        }
        _ => Ok(()),
    }
}

/// An operand with a type of its own.
struct Side {
    name: String,
    data_type: DataType,
    span: Option<Span>,
}

impl Side {
    /// None for a quoted text, a parameter or NULL: those are what the other side is.
    fn of(expr: &Expr, schema: &DFSchema) -> Option<Self> {
        let is_untyped = quoted(expr).is_some()
            || matches!(expr, Expr::Placeholder(_))
            || matches!(expr, Expr::Literal(value, _) if value.is_null());
        if is_untyped {
            return None;
        }
        let (_, field) = expr.to_field(schema).ok()?;
        let data_type = field.data_type().clone();
        let name = match expr {
            // The planner takes every whole number for a bigint.
            Expr::Literal(ScalarValue::Int64(Some(number)), _)
                if i32::try_from(*number).is_ok() =>
            {
                DataType::Int32.to_string()
            }
            _ => name_of(&field),
        };
        Some(Self { name, data_type, span: place_of(expr) })
    }
}

/// Where a column of an expression is written.
fn place_of(expr: &Expr) -> Option<Span> {
    let mut found = None;
    let visited = expr.apply(|expr| {
        if let Expr::Column(column) | Expr::OuterReferenceColumn(_, column) = expr {
            found = column.spans().first();
        }
        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    visited.ok().and(found)
}

/// As the planner writes types, but for those that Arrow's type alone doesn't tell.
fn name_of(field: &datafusion::arrow::datatypes::Field) -> String {
    let told = field.metadata().get(PG_TYPE_KEY);
    match PgType::of(field) {
        PgType::Uuid | PgType::Json | PgType::Jsonb => told.cloned(),
        _ => None,
    }
    .unwrap_or_else(|| field.data_type().to_string())
}

fn compare(left: &Option<Side>, op: Operator, right: &Option<Side>) -> Result<()> {
    let (Some(left), Some(right)) = (left, right) else { return Ok(()) };
    let is_other = |data_type: &DataType| {
        data_type.is_numeric() || data_type.is_temporal() || *data_type == DataType::Boolean
    };
    let is_jsonb = |side: &Side| side.name == "jsonb";
    let both_texts = left.data_type.is_string() && right.data_type.is_string();
    let differ = both_texts && is_jsonb(left) != is_jsonb(right)
        || left.data_type.is_string() && is_other(&right.data_type)
        || right.data_type.is_string() && is_other(&left.data_type);
    match differ {
        true => Err(no_operator(left, op, right)),
        false => Ok(()),
    }
}

fn no_operator(left: &Side, op: Operator, right: &Side) -> DataFusionError {
    let refused = plan_datafusion_err!(
        "Cannot infer common argument type for comparison operation {} {op} {}",
        left.name,
        right.name
    );
    let span = left.span.or(right.span);
    refused.with_diagnostic(Diagnostic::new_error("expressions have incompatible types", span))
}
