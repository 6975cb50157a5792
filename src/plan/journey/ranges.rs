//! Ranges of the first event's time as ranges of all events: a question about one week reads the
//! events of that week and of the window behind it, not those of all time.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchemaRef, ScalarValue, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Expr, Extension, Filter, LogicalPlan, Operator, UserDefinedLogicalNodeCore, and,
    binary_expr,
};

use super::super::error::PlanError;
use crate::model::journey::AT;

/// The united events of a journey, and how far from a first event's time those may be that decide
/// about it. It is there only while a plan is made: [`apply`] takes it away.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub(super) struct Reach {
    input: LogicalPlan,
    back_us: i64,
    ahead_us: i64,
}

impl Reach {
    pub(super) fn plan(
        input: LogicalPlan,
        back: Duration,
        ahead: Duration,
    ) -> std::result::Result<LogicalPlan, PlanError> {
        let micros = |length: Duration| {
            let long = |_| PlanError::Internal("a window of centuries".to_owned());
            i64::try_from(length.as_micros()).map_err(long)
        };
        let node = Self { input, back_us: micros(back)?, ahead_us: micros(ahead)? };
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }

    fn of(extension: &Extension) -> Option<&Reach> {
        extension.node.as_any().downcast_ref::<Reach>()
    }
}

impl UserDefinedLogicalNodeCore for Reach {
    fn name(&self) -> &str {
        "Reach"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Reach: back={}us, ahead={}us", self.back_us, self.ahead_us)
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Ok([input]) = <[LogicalPlan; 1]>::try_from(inputs) else {
            return internal_err!("Reach has one input");
        };
        Ok(Self { input, ..*self })
    }
}

/// Narrows the events of every journey to what the filters above its windows can need, and takes
/// the [`Reach`] nodes away. Whether there were any: then filters have to move down once more.
pub(crate) fn apply(plan: LogicalPlan) -> std::result::Result<(LogicalPlan, bool), PlanError> {
    let narrowed = plan.transform_down_with_subqueries(|node| match node {
        LogicalPlan::Filter(filter) => {
            let bounds = Bounds::of(&filter.predicate);
            match bounds.is_empty() {
                true => Ok(Transformed::no(LogicalPlan::Filter(filter))),
                false => {
                    let input = bounds.narrowed(filter.input.as_ref())?;
                    let is_new = input.is_some();
                    let input = input.map_or(filter.input, Arc::new);
                    let filter = Filter::try_new(filter.predicate, input)?;
                    Ok(Transformed::new_transformed(LogicalPlan::Filter(filter), is_new))
                }
            }
        }
        other => Ok(Transformed::no(other)),
    })?;
    let mut found = narrowed.transformed;
    let freed = narrowed.data.transform_up_with_subqueries(|node| match &node {
        LogicalPlan::Extension(extension) => Ok(match Reach::of(extension) {
            Some(reach) => Transformed::yes(reach.input.clone()),
            None => Transformed::no(node),
        }),
        _ => Ok(Transformed::no(node)),
    })?;
    found |= freed.transformed;
    Ok((freed.data, found))
}

/// The range of [`AT`] that a filter lets through, ends included.
#[derive(Debug, Default, Clone, Copy)]
struct Bounds {
    from_us: Option<i64>,
    to_us: Option<i64>,
}

impl Bounds {
    fn of(predicate: &Expr) -> Self {
        let mut bounds = Self::default();
        for conjunct in split_conjunction(predicate) {
            let Expr::BinaryExpr(BinaryExpr { left, op, right }) = conjunct else { continue };
            let (op, at) = match (left.as_ref(), right.as_ref()) {
                (Expr::Column(column), Expr::Literal(value, _)) if column.name == AT => {
                    (Some(*op), micros(value))
                }
                (Expr::Literal(value, _), Expr::Column(column)) if column.name == AT => {
                    (op.swap(), micros(value))
                }
                _ => continue,
            };
            let Some(at) = at else { continue };
            if matches!(op, Some(Operator::GtEq | Operator::Gt | Operator::Eq)) {
                bounds.from_us = Some(bounds.from_us.map_or(at, |known| known.max(at)));
            }
            if matches!(op, Some(Operator::LtEq | Operator::Lt | Operator::Eq)) {
                bounds.to_us = Some(bounds.to_us.map_or(at, |known| known.min(at)));
            }
        }
        bounds
    }

    fn is_empty(self) -> bool {
        self.from_us.is_none() && self.to_us.is_none()
    }

    /// The plan with its events narrowed, if it is windows over the events of a journey.
    fn narrowed(self, plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
        let input = match plan {
            LogicalPlan::Extension(extension) => {
                let Some(reach) = Reach::of(extension) else { return Ok(None) };
                return self.on_events(reach).map(Some);
            }
            LogicalPlan::Window(window) => &window.input,
            LogicalPlan::Projection(projection) => {
                let passes =
                    |expr: &Expr| matches!(expr, Expr::Column(column) if column.name == AT);
                if !projection.expr.iter().any(passes) {
                    return Ok(None);
                }
                &projection.input
            }
            _ => return Ok(None),
        };
        let Some(input) = self.narrowed(input)? else { return Ok(None) };
        Ok(Some(plan.with_new_exprs(plan.expressions(), vec![input])?))
    }

    fn on_events(self, reach: &Reach) -> Result<LogicalPlan> {
        let at = |op, us: i64| {
            let moment = ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into()));
            let column = Expr::Column(Column::new_unqualified(AT));
            binary_expr(column, op, Expr::Literal(moment, None))
        };
        let from = self.from_us.and_then(|from| from.checked_sub(reach.back_us));
        let to = self.to_us.and_then(|to| to.checked_add(reach.ahead_us));
        let from = from.map(|from| at(Operator::GtEq, from));
        let to = to.map(|to| at(Operator::LtEq, to));
        match from.into_iter().chain(to).reduce(and) {
            Some(range) => {
                let filter = Filter::try_new(range, Arc::new(reach.input.clone()))?;
                Ok(LogicalPlan::Filter(filter))
            }
            None => Ok(reach.input.clone()),
        }
    }
}

fn micros(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::TimestampMicrosecond(us, Some(_)) => *us,
        _ => None,
    }
}
