//! The range of time that a metric over time has to read: that of the periods which the statement
//! asks for, as far as the windows that end with them reach.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Between, BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, cast,
};

use super::super::trace::{followed, reads, scan_column};
use super::{Evaluation, truncation};
use crate::bind::ScanKind;
use crate::functions::{Grain, Unit};

/// Wall clocks as expressions over no columns: all that a statement shows is from the greatest of
/// `from` up to the least of `last`, both included.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) from: Vec<Expr>,
    pub(super) last: Vec<Expr>,
    /// Whether it shows all of that range.
    pub(super) is_exact: bool,
}

impl Evaluation<'_, '_, '_> {
    /// What the statement's filters say of a scan's time. Those that say something else than a
    /// comparison with a constant are left out, so the range is rather too wide.
    pub(super) fn asked_times(&self, instance: usize) -> Asked {
        let mut asked = Asked { from: Vec::new(), last: Vec::new(), is_exact: true };
        let noted = self.input.apply(|node| {
            let LogicalPlan::Filter(filter) = node else { return Ok(TreeNodeRecursion::Continue) };
            for conjunct in split_conjunction(&filter.predicate) {
                if reads(&filter.input, conjunct, instance).time {
                    let is_all = note(&filter.input, conjunct, instance, &mut asked);
                    asked.is_exact &= is_all == Some(true);
                }
            }
            Ok(TreeNodeRecursion::Continue)
        });
        asked.is_exact &= noted.is_ok();
        asked
    }
}

/// Whether the range says all that the condition does; None where it says nothing of it.
fn note(plan: &LogicalPlan, conjunct: &Expr, instance: usize, asked: &mut Asked) -> Option<bool> {
    match conjunct {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            if is_constant(right) {
                note_comparison(plan, left, *op, right, instance, asked)
            } else {
                let op = op.swap().filter(|_| is_constant(left))?;
                note_comparison(plan, right, op, left, instance, asked)
            }
        }
        Expr::Between(Between { expr, negated: false, low, high })
            if is_constant(low) && is_constant(high) =>
        {
            let low = note_comparison(plan, expr, Operator::GtEq, low, instance, asked)?;
            let high = note_comparison(plan, expr, Operator::LtEq, high, instance, asked)?;
            Some(low && high)
        }
        _ => None,
    }
}

fn is_constant(expr: &Expr) -> bool {
    expr.column_refs().is_empty() && !expr.is_volatile()
}

/// `moment op constant`. A time that is cut to a period is never later than the time itself, and
/// earlier by less than the period.
fn note_comparison(
    plan: &LogicalPlan,
    moment: &Expr,
    op: Operator,
    constant: &Expr,
    instance: usize,
    asked: &mut Asked,
) -> Option<bool> {
    let cut = cut_of(plan, moment, instance)?;
    let constant = wall_clock(plan, constant)?;
    match op {
        Operator::GtEq | Operator::Eq => asked.from.push(constant.clone()),
        Operator::Gt => asked.from.push(constant.clone() + instant()),
        _ => {}
    }
    let last = match (&cut, op) {
        (Cut::None, Operator::LtEq | Operator::Eq) => Some(constant),
        (Cut::None, Operator::Lt) => Some(constant - instant()),
        (Cut::To(length), Operator::LtEq | Operator::Lt | Operator::Eq) => {
            Some(constant + Expr::Literal(length.clone(), None) - instant())
        }
        _ => None,
    };
    asked.last.extend(last);
    let is_range =
        matches!(op, Operator::GtEq | Operator::Gt | Operator::LtEq | Operator::Lt | Operator::Eq);
    Some(is_range && matches!(cut, Cut::None))
}

/// The shortest time that a wall clock shows.
pub(super) fn instant() -> Expr {
    Expr::Literal(ScalarValue::new_interval_mdn(0, 0, 1_000), None)
}

/// To what a scan's time is cut before it is compared.
enum Cut {
    None,
    To(ScalarValue),
}

/// None of what isn't a scan's time.
fn cut_of(plan: &LogicalPlan, moment: &Expr, instance: usize) -> Option<Cut> {
    let (plan, moment) = followed(plan, moment);
    if let Some((grain, column)) = truncation(moment) {
        let inner = Expr::Column(column.clone());
        let length = grain.reach()?;
        return matches!(cut_of(plan, &inner, instance)?, Cut::None).then_some(Cut::To(length));
    }
    match moment {
        Expr::Alias(alias) => cut_of(plan, &alias.expr, instance),
        Expr::Column(column) => {
            let (number, _, column) = scan_column(plan, column)?;
            let is_time = number == instance && matches!(column.kind, ScanKind::MetricTime);
            is_time.then_some(Cut::None)
        }
        Expr::Cast(cast) => match (cast.field.data_type(), cut_of(plan, &cast.expr, instance)?) {
            (DataType::Timestamp(TimeUnit::Microsecond, None), cut) => Some(cut),
            (DataType::Date32, Cut::None) => Some(Cut::To(Grain::Of(Unit::Day).reach()?)),
            _ => None,
        },
        _ => None,
    }
}

/// A constant as a wall clock, where it is one or a text that is going to be read as one.
fn wall_clock(plan: &LogicalPlan, constant: &Expr) -> Option<Expr> {
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, None);
    match constant.get_type(plan.schema()).ok()? {
        data_type if data_type == timestamp => Some(constant.clone()),
        DataType::Date32 | DataType::Utf8 | DataType::Timestamp(_, None) => {
            Some(cast(constant.clone(), timestamp))
        }
        _ => None,
    }
}
