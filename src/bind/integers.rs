//! Which columns are `int4` in Postgres, though they are computed in eight bytes.
//!
//! A whole number in a statement is an `int4` in Postgres where it fits one, and in DataFusion always
//! eight bytes long; so `items + 1` is an `int4` there and an `int8` here. What differs is the type
//! that clients are told, by which drivers choose their own; values are the same, and one that
//! `int4` can't hold is refused when it is sent.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};

use super::property::{Property, Rows, columns};

/// For each column of a bound plan, whether Postgres would call it an `int4`.
pub fn int4_columns(plan: &LogicalPlan) -> Vec<bool> {
    columns::<Int4>(plan)
}

struct Int4;

impl Property for Int4 {
    type Known = bool;

    fn made(node: &LogicalPlan) -> Vec<bool> {
        node.schema().fields().iter().map(|it| is_small(it.data_type())).collect()
    }

    fn unnested(list: bool, item: &DataType) -> bool {
        list || is_small(item)
    }

    fn computed(rows: &Rows<'_, Self>, expr: &Expr) -> bool {
        let type_of = |expr: &Expr| expr.get_type(rows.schema);
        let is_date = |expr: &Expr| type_of(expr).is_ok_and(|it| it == DataType::Date32);
        match expr {
            Expr::Literal(ScalarValue::Int64(Some(number)), _) => i32::try_from(*number).is_ok(),
            Expr::Negative(inner) => rows.value(inner),
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right })
                if is_date(left) && is_date(right) =>
            {
                true
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                is_arithmetic(*op) && rows.value(left) && rows.value(right)
            }
            Expr::ScalarFunction(ScalarFunction { func, args })
                if matches!(func.name(), "abs" | "mod" | "gcd" | "lcm" | "series") =>
            {
                rows.all(args)
            }
            Expr::WindowFunction(function) if function.fun.name() == "ntile" => true,
            _ => type_of(expr).is_ok_and(|data_type| is_small(&data_type)),
        }
    }
}

fn is_arithmetic(op: Operator) -> bool {
    matches!(
        op,
        Operator::Plus
            | Operator::Minus
            | Operator::Multiply
            | Operator::Divide
            | Operator::Modulo
            | Operator::BitwiseAnd
            | Operator::BitwiseOr
            | Operator::BitwiseXor
            | Operator::BitwiseShiftLeft
            | Operator::BitwiseShiftRight
    )
}

fn is_small(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int8 | DataType::Int16 | DataType::Int32)
}
