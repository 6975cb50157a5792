//! Events of several metrics under each other, and windows over those of a member.

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::datatypes::IntervalMonthDayNano;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{
    Case, Expr, ExprFunctionExt, LogicalPlan, Operator, Union, Window, WindowFrame,
    WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition, and, binary_expr, lit,
};

use super::super::clock;
use super::super::error::PlanError;
use super::super::expand::{Reading, TimeOf, joined_sources};
use super::super::rewrite::{filtered, projected};
use super::col;
use crate::bind::ScanClock;
use crate::functions::registry;
use crate::model::journey::{AT, Events, member_column};

/// Which of the united metrics an event is of, from 0.
pub(super) const KIND: &str = "__kind";

/// The column with a dimension that stays the same.
pub(super) fn constant_column(index: usize) -> String {
    format!("__constant{index}")
}

/// The events of several metrics: the member's key, constants, [`AT`], [`KIND`], and for the first
/// metric further columns, over the sources of its entity; they are NULL in the others' rows.
pub(super) fn united(
    from: Reading<'_>,
    metrics: &[&Events],
    of_first: &[(String, Expr)],
) -> Result<LogicalPlan, PlanError> {
    let mut inputs = Vec::with_capacity(metrics.len());
    let mut nulls: Vec<(String, Expr)> = Vec::new();
    for (kind, events) in (0i64..).zip(metrics) {
        let further = if kind == 0 { of_first } else { nulls.as_slice() };
        let plan = of_metric(from, events, kind, further)?;
        if kind == 0 {
            for (name, _) in of_first {
                let field = plan.schema().field_with_unqualified_name(name)?;
                let null = ScalarValue::try_from(field.data_type())?;
                nulls.push((name.clone(), Expr::Literal(null, None)));
            }
        }
        inputs.push(Arc::new(plan));
    }
    match <[_; 1]>::try_from(inputs) {
        Ok([only]) => Ok(Arc::unwrap_or_clone(only)),
        Err(several) => Ok(LogicalPlan::Union(Union::try_new_with_loose_types(several)?)),
    }
}

/// When events count, and the condition that their late data puts on them; over source columns.
pub(crate) fn counted_at(
    events: &Events,
    clock: &ScanClock,
) -> Result<(Expr, Option<Expr>), PlanError> {
    let resolved = |expr: Expr| clock::resolved(expr, clock);
    let at = resolved(TimeOf::of(&events.time)?.instant)?;
    Ok((at, clock::counts(&events.time)?.map(resolved).transpose()?))
}

/// The eligible rows of a metric that have a member and a time.
fn of_metric(
    from: Reading<'_>,
    events: &Events,
    kind: i64,
    further: &[(String, Expr)],
) -> Result<LogicalPlan, PlanError> {
    let missing = || PlanError::Internal(format!("no entity {}", events.entity));
    let entity = from.model.entities.get(&events.entity).ok_or_else(missing)?;
    let (at, late_data) = counted_at(events, from.clock)?;
    let members = events.member.iter().enumerate();
    let mut outputs: Vec<(String, Expr)> =
        members.map(|(index, key)| (member_column(index), key.clone())).collect();
    let constants = events.constants.iter().enumerate();
    outputs.extend(constants.map(|(index, expr)| (constant_column(index), expr.clone())));
    outputs.push((AT.to_owned(), at.clone()));
    outputs.push((KIND.to_owned(), lit(kind)));
    outputs.extend(further.iter().cloned());
    let present = events.member.iter().chain([&at]).map(|it| it.clone().is_not_null());
    let rules: Vec<Expr> = events.rules.iter().cloned().chain(late_data).chain(present).collect();
    let used = rules.iter().chain(outputs.iter().map(|(_, expr)| expr));
    let zone = lit(chrono_tz::Tz::UTC.name());
    let time = TimeOf { instant: at, zone, window_days: 0, shift: None };
    let mut plan = joined_sources(from, entity, used, Some(&time))?;
    if let Some(predicate) = rules.iter().cloned().reduce(and) {
        plan = filtered(plan, predicate)?;
    }
    projected(plan, outputs.into_iter().map(|(name, expr)| expr.alias(name)).collect())
}

/// The columns by which a member's events are told from others'.
pub(super) fn partition(events: &Events) -> Vec<Expr> {
    let members = (0..events.member.len()).map(|index| col(&member_column(index)));
    let constants = (0..events.constants.len()).map(|index| col(&constant_column(index)));
    members.chain(constants).collect()
}

/// Whether an event is of a kind.
pub(super) fn is_kind(kind: i64) -> Expr {
    binary_expr(col(KIND), Operator::Eq, lit(kind))
}

/// `CASE WHEN condition THEN value END`, or else another value.
pub(super) fn case(condition: Expr, value: Expr, otherwise: Option<Expr>) -> Expr {
    let branch = (Box::new(condition), Box::new(value));
    Expr::Case(Case::new(None, vec![branch], otherwise.map(Box::new)))
}

/// A moment and a length of time after it.
pub(super) fn after(moment: Expr, within: Duration) -> Result<Expr, PlanError> {
    let long = || PlanError::Internal("a window of centuries".to_owned());
    let nanoseconds = i64::try_from(within.as_nanos()).map_err(|_| long())?;
    let interval = IntervalMonthDayNano { months: 0, days: 0, nanoseconds };
    let interval = ScalarValue::IntervalMonthDayNano(Some(interval));
    Ok(binary_expr(moment, Operator::Plus, Expr::Literal(interval, None)))
}

/// A window over the rows of a partition.
pub(super) struct Over {
    pub(super) partition: Vec<Expr>,
    /// From the first row on.
    pub(super) order: Vec<Expr>,
    pub(super) ascending: bool,
}

impl Over {
    /// An aggregate of the rows before each one in the window's order.
    pub(super) fn before(
        &self,
        function: &str,
        value: Expr,
        name: &str,
    ) -> Result<Expr, PlanError> {
        let unbounded = WindowFrameBound::Preceding(ScalarValue::UInt64(None));
        let previous = WindowFrameBound::Preceding(ScalarValue::UInt64(Some(1)));
        let frame = WindowFrame::new_bounds(WindowFrameUnits::Rows, unbounded, previous);
        self.aggregate(function, value, frame, name)
    }

    /// An aggregate of all rows of the partition; the window needs no order.
    pub(super) fn whole(&self, function: &str, value: Expr, name: &str) -> Result<Expr, PlanError> {
        let unbounded = WindowFrameBound::Preceding(ScalarValue::UInt64(None));
        let end = WindowFrameBound::Following(ScalarValue::UInt64(None));
        let frame = WindowFrame::new_bounds(WindowFrameUnits::Rows, unbounded, end);
        self.aggregate(function, value, frame, name)
    }

    fn aggregate(
        &self,
        function: &str,
        value: Expr,
        frame: WindowFrame,
        name: &str,
    ) -> Result<Expr, PlanError> {
        let udf = registry().aggregate.get(function);
        let udf = udf.ok_or_else(|| PlanError::Internal(format!("no aggregate {function}")))?;
        let definition = WindowFunctionDefinition::AggregateUDF(Arc::clone(udf));
        let call = Expr::from(WindowFunction::new(definition, vec![value]));
        let order = self.order.iter().map(|key| key.clone().sort(self.ascending, false));
        let call = call
            .partition_by(self.partition.clone())
            .order_by(order.collect())
            .window_frame(frame)
            .build()?;
        Ok(call.alias(name))
    }
}

/// A plan with further columns, computed by windows of one order.
pub(super) fn windowed(plan: LogicalPlan, windows: Vec<Expr>) -> Result<LogicalPlan, PlanError> {
    Ok(LogicalPlan::Window(Window::try_new(windows, Arc::new(plan))?))
}
