//! Which subqueries DataFusion's own rules make joins of.

use datafusion::common::Column;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Distinct, Expr, FetchType, JoinType, LogicalPlan, Operator, SkipType,
};

use super::reads_outer;

/// Where a subquery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In EXISTS, wherever that is written.
    Existence,
    /// In IN.
    Membership,
    Value,
    From,
}

/// Whether a subquery reads nothing of the rows around it, or only so that DataFusion's rules are right:
/// in conditions over which it doesn't decide how many rows there are, but by one aggregation for a
/// value.
pub(super) fn is_simple(
    subquery: &LogicalPlan,
    around: &LogicalPlan,
    place: Place,
) -> Result<bool> {
    let is_theirs = |column: &Column| around.schema().has_column(column);
    if !reads_outer(subquery, &is_theirs)? {
        return Ok(true);
    }
    // What is read of rows further away would be taken for theirs.
    if reads_outer_beyond(subquery, around)? || place == Place::From && !is_lateral(subquery) {
        return Ok(false);
    }
    Form { place, is_theirs: &is_theirs }.is_simple(subquery, place != Place::Value)
}

/// Whether DataFusion's rule finds the subquery: where columns of it are left out, it doesn't.
fn is_lateral(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Subquery(_) => true,
        LogicalPlan::SubqueryAlias(alias) => matches!(&*alias.input, LogicalPlan::Subquery(_)),
        _ => false,
    }
}

/// Whether the nodes of a subquery, not those of subqueries in it, read of other rows than `around`.
fn reads_outer_beyond(subquery: &LogicalPlan, around: &LogicalPlan) -> Result<bool> {
    Ok(subquery.all_out_ref_exprs().iter().any(|expr| {
        matches!(expr, Expr::OuterReferenceColumn(_, column) if !around.schema().has_column(column))
    }))
}

struct Form<'f> {
    place: Place,
    is_theirs: &'f dyn Fn(&Column) -> bool,
}

impl Form<'_> {
    /// `is_counted` once a value's aggregation is above.
    fn is_simple(&self, plan: &LogicalPlan, is_counted: bool) -> Result<bool> {
        if !reads_outer(plan, self.is_theirs)? {
            return Ok(true);
        }
        let below = |is_counted| {
            let inputs = plan.inputs().into_iter().map(|input| self.is_simple(input, is_counted));
            Ok(inputs.collect::<Result<Vec<_>>>()?.into_iter().all(|is_simple| is_simple))
        };
        match plan {
            LogicalPlan::Filter(filter) => {
                let conditions = split_conjunction(&filter.predicate);
                let mut asking = conditions.iter().filter(|expr| expr.contains_outer());
                let is_ready = is_counted || asking.clone().next().is_none();
                let is_plain = self.place != Place::Value || asking.all(|expr| is_equality(expr));
                Ok(is_ready && is_plain && !self.asks_within(plan)? && below(is_counted)?)
            }
            _ if plan.contains_outer_reference() || self.asks_within(plan)? => Ok(false),
            // Above the names of a subquery in FROM the rules don't find its columns.
            LogicalPlan::SubqueryAlias(_) if self.place != Place::From => Ok(false),
            LogicalPlan::Projection(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Subquery(_) => below(is_counted),
            LogicalPlan::Aggregate(aggregate) => match self.place {
                Place::Value if !is_counted && aggregate.group_expr.is_empty() => below(true),
                Place::Existence | Place::Membership if aggregate.aggr_expr.is_empty() => {
                    below(is_counted)
                }
                _ => Ok(false),
            },
            LogicalPlan::Distinct(Distinct::All(_))
                if matches!(self.place, Place::Existence | Place::Membership) =>
            {
                below(is_counted)
            }
            LogicalPlan::Join(join) if join.join_type == JoinType::Inner => below(is_counted),
            // Whether there is a row doesn't depend on how many are shown.
            LogicalPlan::Limit(limit) if self.place == Place::Existence => {
                let shows_some = matches!(limit.get_skip_type()?, SkipType::Literal(0))
                    && matches!(limit.get_fetch_type()?, FetchType::Literal(Some(1..)));
                Ok(shows_some && below(is_counted)?)
            }
            _ => Ok(false),
        }
    }

    /// Whether a subquery in a node's expressions reads of the rows.
    fn asks_within(&self, plan: &LogicalPlan) -> Result<bool> {
        let mut found = false;
        plan.apply_subqueries(|subquery| {
            found |= reads_outer(subquery, self.is_theirs)?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(found)
    }
}

/// The conditions that DataFusion takes over an aggregation.
fn is_equality(condition: &Expr) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else {
        return false;
    };
    matches!(
        (left.as_ref(), right.as_ref()),
        (Expr::Column(_), Expr::OuterReferenceColumn(..))
            | (Expr::OuterReferenceColumn(..), Expr::Column(_))
    )
}
