//! What a statement's conditions say of a scan's time: comparisons of the time, or of the beginning of
//! its period, with constants.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Between, BinaryExpr, Cast, Expr, LogicalPlan, Operator};

use super::super::trace::{Below, below};
use crate::bind::ScanKind;
use crate::functions::{Grain, Unit};

/// How finely an expression tells moments apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    /// None: it is the time itself.
    pub(super) grain: Option<Grain>,
    /// Of `metric_instant`.
    pub(super) of_instants: bool,
    /// Whether intervals are added to it.
    pub(super) moved: bool,
}

/// What an expression over a scan's time makes of it; None where that isn't one cut.
pub(super) fn cut(plan: &LogicalPlan, expr: &Expr) -> Option<Cut> {
    let cut_to = |inner: Cut, grain: Grain| {
        let grain = inner.grain.map_or(Some(grain), |own| own.nested(grain))?;
        Some(Cut { grain: Some(grain), ..inner })
    };
    match expr {
        Expr::Alias(alias) => cut(plan, &alias.expr),
        Expr::Column(name) => match below(plan, name) {
            Below::Scan(_, scanned) => {
                let of_instants = match scanned.kind {
                    ScanKind::MetricTime => false,
                    ScanKind::MetricInstant => true,
                    _ => return None,
                };
                Some(Cut { grain: None, of_instants, moved: false })
            }
            Below::Expr(input, inner) => cut(input, inner),
            Below::Value => None,
        },
        Expr::Cast(Cast { expr, field }) => {
            let inner = cut(plan, expr)?;
            match field.data_type() {
                DataType::Date32 => cut_to(inner, Grain::Of(Unit::Day)),
                DataType::Timestamp(_, zone) if zone.is_some() == inner.of_instants => Some(inner),
                _ => None,
            }
        }
        Expr::ScalarFunction(_) => {
            let (grain, inner) = Grain::of_call(expr)?;
            cut_to(cut(plan, inner)?, grain)
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus | Operator::Minus, right })
            if right.column_refs().is_empty() =>
        {
            Some(Cut { moved: true, ..cut(plan, left)? })
        }
        _ => None,
    }
}

/// A condition as comparisons of something with constants, all of which it says; None of others.
pub(super) fn comparisons(condition: &Expr) -> Option<Vec<(&Expr, Operator, &Expr)>> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_constant(right) => {
            Some(vec![(left, *op, right)])
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_constant(left) => {
            Some(vec![(right, op.swap()?, left)])
        }
        Expr::Between(Between { expr, negated: false, low, high })
            if is_constant(low) && is_constant(high) =>
        {
            Some(vec![(expr, Operator::GtEq, low), (expr, Operator::LtEq, high)])
        }
        _ => None,
    }
}

fn is_constant(expr: &Expr) -> bool {
    expr.column_refs().is_empty() && !expr.is_volatile()
}

/// The shortest time that a wall clock shows.
pub(crate) fn instant() -> Expr {
    Expr::Literal(ScalarValue::new_interval_mdn(0, 0, 1_000), None)
}
