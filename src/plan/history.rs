//! Sources that keep several rows per key, each valid for an interval: the rows that are valid now,
//! and those that were at a fact's own time. Either way at most one row for each fact, whatever
//! intervals overlap.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Column, TableReference};
use datafusion::logical_expr::expr::{Sort, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{
    Distinct, Expr, ExprSchemable, JoinType, LogicalPlan, LogicalPlanBuilder, SubqueryAlias, Union,
    Window, WindowFrame, WindowFunctionDefinition, and, cast, or,
};

use super::clock::literal;
use super::error::PlanError;
use super::expand::call;
use super::latest::Latest;
use super::rewrite::{filtered, projected};
use crate::bind::ScanClock;
use crate::functions::registry;
use crate::model::{Dedupe, Entity, History};

/// When a span of [`spans`] begins; and when it ends, NULL where it doesn't.
const SPAN_FROM: &str = "__span_from";
const SPAN_TO: &str = "__span_to";
/// When the interval that a span is cut from begins.
const BEGUN: &str = "__begun";

/// The rows of a history's source that are valid now, one for each key: of several the one that
/// began last. Now is the moment as of which the statement asks; else the plan calls `now()`, which
/// the session replaces by the statement's time.
pub(super) fn current(
    rows: LogicalPlan,
    entity: &Entity,
    history: &History,
    clock: &ScanClock,
) -> Result<LogicalPlan, PlanError> {
    let now = match clock.as_of {
        Some(as_of) => literal(as_of),
        None => call("now", Vec::new())?,
    };
    let valid = valid_at(&rows, history, &now)?;
    let rows = filtered(rows, valid)?;
    let newest = Dedupe { by: entity.key.clone(), latest: history.from.clone(), deleted: None };
    Ok(Latest::plan(rows, newest))
}

/// The history as spans that don't overlap, under `alias`: `columns` of the row that counts, from
/// [`SPAN_FROM`] until [`SPAN_TO`].
///
/// A key's intervals begin and end at some moments; between two of those that follow each other the
/// same row counts: of those valid at the first, the one that began last. So a join on the key and a
/// moment finds one row at most, without a look at what it is joined to.
pub(super) fn spans(
    rows: LogicalPlan,
    entity: &Entity,
    history: &History,
    columns: &BTreeSet<String>,
    alias: &str,
) -> Result<LogicalPlan, PlanError> {
    let moments = moments(&rows, entity, history)?;
    let span = TableReference::bare("span");
    let moments =
        LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(moments), span.clone())?);
    let own = |name: &str| Expr::Column(Column::new(Some(span.clone()), name));
    let mut conditions = valid_at(&rows, history, &own(SPAN_FROM))?;
    let mut exprs = vec![own(SPAN_FROM), own(SPAN_TO), instant(&rows, &history.from)?.alias(BEGUN)];
    for name in entity.key.iter().chain(columns).collect::<BTreeSet<_>>() {
        exprs.push(column(&rows, name)?.alias(name));
    }
    let keys: (Vec<Column>, Vec<Column>) = entity
        .key
        .iter()
        .map(|name| Ok((Column::new(Some(span.clone()), name), qualified(&rows, name)?)))
        .collect::<Result<Vec<_>, PlanError>>()?
        .into_iter()
        .unzip();
    conditions = conditions.and(own(SPAN_FROM).is_not_null());
    let joined = LogicalPlanBuilder::from(moments)
        .join(rows, JoinType::Inner, keys, Some(conditions))?
        .build()?;
    let counted = projected(joined, exprs)?;
    let mut by = entity.key.clone();
    by.extend([SPAN_FROM.to_owned(), SPAN_TO.to_owned()]);
    let counted = Latest::plan(counted, Dedupe { by, latest: BEGUN.to_owned(), deleted: None });
    let alias = TableReference::bare(alias);
    Ok(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(counted), alias)?))
}

/// Whether a moment is in a span of [`spans`] under `alias`.
pub(super) fn holds(alias: &str, moment: &Expr) -> Expr {
    let own = |name| Expr::Column(Column::new(Some(TableReference::bare(alias)), name));
    and(
        own(SPAN_FROM).lt_eq(moment.clone()),
        or(own(SPAN_TO).is_null(), moment.clone().lt(own(SPAN_TO))),
    )
}

/// Each moment at which an interval of a key begins or ends, and the one after it: columns of the
/// key, [`SPAN_FROM`], [`SPAN_TO`].
fn moments(
    rows: &LogicalPlan,
    entity: &Entity,
    history: &History,
) -> Result<LogicalPlan, PlanError> {
    let at = |bound: &String| -> Result<LogicalPlan, PlanError> {
        let mut exprs = Vec::new();
        for name in &entity.key {
            exprs.push(column(rows, name)?.alias(name));
        }
        let moment = instant(rows, bound)?;
        let rows = match moment.nullable(rows.schema())? {
            true => filtered(rows.clone(), moment.clone().is_not_null())?,
            false => rows.clone(),
        };
        exprs.push(moment.alias(SPAN_FROM));
        projected(rows, exprs)
    };
    let both = vec![Arc::new(at(&history.from)?), Arc::new(at(&history.to)?)];
    let both = LogicalPlan::Union(Union::try_new_with_loose_types(both)?);
    let moments = LogicalPlan::Distinct(Distinct::All(Arc::new(both)));
    let keys = entity.key.iter().map(|name| Expr::Column(Column::new_unqualified(name)));
    let moment = Expr::Column(Column::new_unqualified(SPAN_FROM));
    let lead = registry().window.get("lead");
    let lead = lead.ok_or_else(|| PlanError::Internal("no function lead".to_owned()))?;
    let order_by = vec![Sort { expr: moment.clone(), asc: true, nulls_first: false }];
    let next = Expr::from(WindowFunction {
        fun: WindowFunctionDefinition::WindowUDF(Arc::clone(lead)),
        params: WindowFunctionParams {
            args: vec![moment],
            partition_by: keys.collect(),
            window_frame: WindowFrame::new(Some(true)),
            order_by,
            filter: None,
            null_treatment: None,
            distinct: false,
        },
    });
    let window = Window::try_new(vec![next.alias(SPAN_TO)], Arc::new(moments))?;
    Ok(LogicalPlan::Window(window))
}

/// `from <= moment < to`, NULL `to` for ever.
fn valid_at(rows: &LogicalPlan, history: &History, moment: &Expr) -> Result<Expr, PlanError> {
    let (from, to) = (instant(rows, &history.from)?, instant(rows, &history.to)?);
    Ok(and(
        from.lt_eq(moment.clone()),
        or(column(rows, &history.to)?.is_null(), moment.clone().lt(to)),
    ))
}

/// A column as a timestamp with time zone: one without is of UTC, a date its first moment.
fn instant(rows: &LogicalPlan, name: &str) -> Result<Expr, PlanError> {
    let column = column(rows, name)?;
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Ok(match column.get_type(rows.schema())? == instant {
        true => column,
        false => cast(column, instant),
    })
}

fn column(rows: &LogicalPlan, name: &str) -> Result<Expr, PlanError> {
    Ok(Expr::Column(qualified(rows, name)?))
}

fn qualified(rows: &LogicalPlan, name: &str) -> Result<Column, PlanError> {
    let (qualifier, field) = rows.schema().qualified_field_with_unqualified_name(name)?;
    Ok(Column::new(qualifier.cloned(), field.name()))
}
