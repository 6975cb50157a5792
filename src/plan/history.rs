//! Sources that keep several rows per key, each valid for an interval: the rows that are valid now,
//! and those that were at a fact's own time. Either way at most one row for each fact, whatever
//! intervals overlap.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Column, TableReference};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, JoinType, LogicalPlan, LogicalPlanBuilder, Operator,
    SubqueryAlias, Union, Window, and, binary_expr, cast, or,
};

use super::clock::literal;
use super::error::PlanError;
use super::expand::call;
use super::latest::Latest;
use super::rewrite::{filtered, projected};
use super::shares::over;
use crate::bind::ScanClock;
use crate::model::entity::AT_EVENT;
use crate::model::{Dedupe, Entity, History};

/// When a span of [`spans`] begins; and when it ends, NULL where it doesn't.
const SPAN_FROM: &str = "__span_from";
const SPAN_TO: &str = "__span_to";
/// When the row began that counts after an end.
const BEGUN: &str = "__begun";
/// When the row after a row begins.
const NEXT: &str = "__next";

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
/// [`SPAN_FROM`] until [`SPAN_TO`], by [`span_key`]. A span in which no row is valid has only NULLs
/// in `columns`, the key among them.
///
/// What counts changes where a row begins: from there it counts itself, being the one that began
/// last. And it may change where one ends: to another that is still valid, or to none. Most ends are
/// the beginning of the next row, so few are left to be looked up. A join on the key and a moment
/// finds one span at most, whatever intervals overlap, and so does one that takes the last span that
/// began before the moment, without a look at its end.
pub(super) fn spans(
    rows: LogicalPlan,
    entity: &Entity,
    history: &History,
    columns: &BTreeSet<String>,
    alias: &str,
) -> Result<LogicalPlan, PlanError> {
    let rows = filtered(rows.clone(), is_ever_valid(&rows, history)?)?;
    let names: BTreeSet<&String> = entity.key.iter().chain(columns).collect();
    let begun = begun(&rows, entity, history, &names)?;
    let resumed = resumed(&rows, entity, history, &names)?;
    let both = vec![Arc::new(begun), Arc::new(resumed)];
    let spans = LogicalPlan::Union(Union::try_new_with_loose_types(both)?);
    let keys = (0..entity.key.len()).map(|index| own(span_key(index)));
    let next = following(own(SPAN_FROM), keys.collect())?.alias(SPAN_TO);
    let spans = LogicalPlan::Window(Window::try_new(vec![next], Arc::new(spans))?);
    let alias = TableReference::bare(alias);
    Ok(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(spans), alias)?))
}

/// The name of a key's column by which [`spans`] are joined.
pub(super) fn span_key(index: usize) -> String {
    format!("__span_key{index}")
}

/// Each row from its beginning.
fn begun(
    rows: &LogicalPlan,
    entity: &Entity,
    history: &History,
    names: &BTreeSet<&String>,
) -> Result<LogicalPlan, PlanError> {
    let mut exprs = Vec::new();
    for (index, name) in entity.key.iter().enumerate() {
        exprs.push(column(rows, name)?.alias(span_key(index)));
    }
    exprs.push(instant(rows, &history.from)?.alias(SPAN_FROM));
    for name in names {
        exprs.push(column(rows, name)?.alias(name.as_str()));
    }
    projected(rows.clone(), exprs)
}

/// What counts from each end of a row on, save where the next row begins there.
fn resumed(
    rows: &LogicalPlan,
    entity: &Entity,
    history: &History,
    names: &BTreeSet<&String>,
) -> Result<LogicalPlan, PlanError> {
    let ended = ended(rows, entity, history)?;
    let table = TableReference::bare("ended");
    let ended = LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(ended), table.clone())?);
    let of_end = |name: &str| Column::new(Some(table.clone()), name);
    let moment = Expr::Column(of_end(SPAN_FROM));
    let mut keys = (Vec::new(), Vec::new());
    let mut exprs = Vec::new();
    for (index, name) in entity.key.iter().enumerate() {
        keys.0.push(qualified(rows, name)?);
        keys.1.push(of_end(&span_key(index)));
        exprs.push(Expr::Column(of_end(&span_key(index))).alias(span_key(index)));
    }
    exprs.push(moment.clone().alias(SPAN_FROM));
    for name in names {
        exprs.push(column(rows, name)?.alias(name.as_str()));
    }
    let spans = exprs.len();
    exprs.push(instant(rows, &history.from)?.alias(BEGUN));
    let valid = valid_at(rows, history, &moment)?;
    // The ends are few: on this side they are what a hash join keeps.
    let joined = LogicalPlanBuilder::from(rows.clone())
        .join(ended, JoinType::Right, keys, Some(valid))?
        .build()?;
    let mut by: Vec<String> = (0..entity.key.len()).map(span_key).collect();
    by.push(SPAN_FROM.to_owned());
    let newest = Dedupe { by, latest: BEGUN.to_owned(), deleted: None };
    let counted = Latest::plan(projected(joined, exprs)?, newest);
    let columns = counted.schema().columns().into_iter().take(spans);
    let exprs = columns.map(Expr::Column).collect();
    projected(counted, exprs)
}

/// The ends of rows at which the next one doesn't begin: [`span_key`]s and [`SPAN_FROM`].
fn ended(rows: &LogicalPlan, entity: &Entity, history: &History) -> Result<LogicalPlan, PlanError> {
    let keys = entity.key.iter().map(|name| column(rows, name)).collect::<Result<_, _>>()?;
    let next = following(instant(rows, &history.from)?, keys)?.alias(NEXT);
    let rows = LogicalPlan::Window(Window::try_new(vec![next], Arc::new(rows.clone()))?);
    let end = instant(&rows, &history.to)?;
    let is_open = binary_expr(end.clone(), Operator::IsDistinctFrom, own(NEXT));
    let mut exprs = Vec::new();
    for (index, name) in entity.key.iter().enumerate() {
        exprs.push(column(&rows, name)?.alias(span_key(index)));
    }
    exprs.push(end.clone().alias(SPAN_FROM));
    projected(filtered(rows, and(end.is_not_null(), is_open))?, exprs)
}

/// The moment after a moment, among the rows of a key.
fn following(moment: Expr, partition_by: Vec<Expr>) -> Result<Expr, PlanError> {
    let order = vec![moment.clone().sort(true, false)];
    over("lead", vec![moment], &partition_by, order)
}

/// Whether a moment is in a span of [`spans`] under `alias`.
pub(super) fn holds(alias: &str, moment: &Expr) -> Expr {
    and(of_span(alias, SPAN_FROM).lt_eq(moment.clone()), before_end(alias, moment))
}

fn before_end(alias: &str, moment: &Expr) -> Expr {
    let end = of_span(alias, SPAN_TO);
    or(end.clone().is_null(), moment.clone().lt(end))
}

fn of_span(alias: &str, name: &str) -> Expr {
    Expr::Column(Column::new(Some(TableReference::bare(alias)), name))
}

/// The beginning of a span and the moment that has to be in it, of a condition as [`holds`] gives it.
///
/// Since spans don't overlap and leave no gaps, the condition says: the last span that doesn't begin
/// after the moment.
pub(crate) fn held(condition: &Expr) -> Option<(&Column, &Expr)> {
    let [begins, ends] = split_conjunction(condition).try_into().ok()?;
    let (from, moment) = match begins {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::LtEq, right }) => (left, right),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::GtEq, right }) => (right, left),
        _ => return None,
    };
    let Expr::Column(from) = from.as_ref() else { return None };
    let alias = from.relation.as_ref()?.table();
    let is_span = from.name == SPAN_FROM && alias.ends_with(AT_EVENT);
    (is_span && *ends == before_end(alias, moment)).then_some((from, moment))
}

/// `from <= moment < to`, NULL `to` for ever.
fn valid_at(rows: &LogicalPlan, history: &History, moment: &Expr) -> Result<Expr, PlanError> {
    let (from, to) = (instant(rows, &history.from)?, instant(rows, &history.to)?);
    Ok(and(
        from.lt_eq(moment.clone()),
        or(column(rows, &history.to)?.is_null(), moment.clone().lt(to)),
    ))
}

/// Whether there is a moment at which a row is valid.
fn is_ever_valid(rows: &LogicalPlan, history: &History) -> Result<Expr, PlanError> {
    let (from, to) = (instant(rows, &history.from)?, instant(rows, &history.to)?);
    let lasts = or(column(rows, &history.to)?.is_null(), from.clone().lt(to));
    Ok(match from.nullable(rows.schema())? {
        true => and(from.is_not_null(), lasts),
        false => lasts,
    })
}

fn own(name: impl Into<String>) -> Expr {
    Expr::Column(Column::new_unqualified(name))
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
