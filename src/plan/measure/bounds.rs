//! The range of time that a metric over time has to read: that of the periods which the statement
//! asks for, as far as the windows that end with them reach.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Operator, and, cast};

use super::super::trace::reads;
use super::Evaluation;
use super::moment::{comparisons, cut, instant};

/// Wall clocks as expressions over no columns: all that a statement shows is from the greatest of
/// `from` up to the least of `last`, both included.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) from: Vec<Expr>,
    pub(super) last: Vec<Expr>,
    /// Whether it shows all of that range.
    pub(super) is_exact: bool,
}

impl Asked {
    /// Whether a wall clock is in the range; None where all are.
    pub(super) fn holds(&self, wall: &Expr) -> Option<Expr> {
        let from = self.from.iter().map(|from| wall.clone().gt_eq(from.clone()));
        let last = self.last.iter().map(|last| wall.clone().lt(last.clone() + instant()));
        from.chain(last).reduce(and)
    }
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
                    let is_all = note(&filter.input, conjunct, &mut asked);
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
fn note(plan: &LogicalPlan, conjunct: &Expr, asked: &mut Asked) -> Option<bool> {
    let mut is_all = true;
    for (moment, op, constant) in comparisons(conjunct)? {
        is_all &= note_comparison(plan, moment, op, constant, asked)?;
    }
    Some(is_all)
}

/// `moment op constant`. A time that is cut to a period is never later than the time itself, and
/// earlier by less than the period.
fn note_comparison(
    plan: &LogicalPlan,
    moment: &Expr,
    op: Operator,
    constant: &Expr,
    asked: &mut Asked,
) -> Option<bool> {
    let cut = cut(plan, moment).filter(|cut| !cut.of_instants && !cut.moved)?;
    let constant = wall_clock(plan, constant)?;
    match op {
        Operator::GtEq | Operator::Eq => asked.from.push(constant.clone()),
        Operator::Gt => asked.from.push(constant.clone() + instant()),
        _ => {}
    }
    let last = match (cut.grain, op) {
        (None, Operator::LtEq | Operator::Eq) => Some(constant),
        (None, Operator::Lt) => Some(constant - instant()),
        (Some(grain), Operator::LtEq | Operator::Lt | Operator::Eq) => {
            Some(constant + Expr::Literal(grain.reach()?, None) - instant())
        }
        _ => None,
    };
    asked.last.extend(last);
    let is_range =
        matches!(op, Operator::GtEq | Operator::Gt | Operator::LtEq | Operator::Lt | Operator::Eq);
    Some(is_range && cut.grain.is_none())
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
