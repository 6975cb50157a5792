//! What several stages ask of expressions.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, Operator};

/// Operators that compare two values of one type.
pub(crate) fn is_comparison(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

/// The text of a literal in quotes, which has no type of its own yet.
pub(crate) fn quoted(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)), _) => {
            Some(text)
        }
        _ => None,
    }
}
