//! What catalogue queries say that DataFusion's planner doesn't take, said otherwise: a pass over
//! the syntax tree, before names are resolved.
//!
//! Select lists leave it expanded and named as Postgres names their columns, each name once a list;
//! functions that give rows become `unnest` of functions that give arrays; casts, operators and
//! words without parentheses get the form that the planner knows.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Join, JoinConstraint,
    JoinOperator, OrderBy, OrderByKind, Query, Select, SelectItem, SetExpr, TableAlias,
    TableAliasColumnDef, TableFactor, TableWithJoins, Value, VisitMut, VisitorMut,
};

use super::error::CatalogError;
use super::labels::{folded, label_of};
use super::literals;
use super::planning::Context;
use crate::functions::FunctionError;
use crate::sql::ast::EMPTY_QUERY;
use crate::sql::multisets;
use crate::sql::spelling::{self, TIES_HINT, fetch_as_limit};
use crate::sql::values::unify_in;
use crate::sql::windows;

mod expressions;
mod merged;
mod rows;
mod scope;

use expressions::rewrite_expr;
use merged::{Merged, in_order};
use rows::rows_of_function;
use scope::{columns_of_body, columns_of_query};

/// The marker around a subquery that stands for the array of its rows.
pub(super) const ARRAY_SUBQUERY: &str = "canon_array_subquery";

/// The marker around an argument with a subquery: one function's printed form is the other's, and the
/// planner would take them for one.
pub(super) const TOLD_APART: &str = "canon_told_apart";

/// The marker around a literal whose type only its neighbours tell: to the planner it is NULL, which
/// has any type.
pub(super) const UNTYPED: &str = "canon_untyped";

/// The struct of the columns whose names and values it is given.
pub(super) const ROW: &str = "canon_row";

/// Rewrites a query for the planner and gives the names of its columns, as far as they could be
/// told without planning.
///
/// # Errors
/// [`CatalogError::UndefinedFunction`], with its position.
pub(super) fn rewrite(
    query: &mut Query,
    context: &Context<'_>,
) -> Result<Option<Vec<String>>, CatalogError> {
    let mut pass = Pass { context, frames: Vec::new(), columns: None };
    match query.visit(&mut pass) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(pass.columns),
    }
}

struct Pass<'a> {
    context: &'a Context<'a>,
    frames: Vec<Frame>,
    /// The names of the whole query's columns, duplicates as they are.
    columns: Option<Vec<String>>,
}

/// A query whose parts are being visited.
#[derive(Default)]
struct Frame {
    /// Its CTEs in order, and their columns once they have been visited.
    ctes: Vec<(String, Vec<String>)>,
    visited: usize,
    /// The columns of its parts, in Postgres's names: the leftmost select's count.
    columns: Option<Vec<String>>,
    /// Columns that joins of that select have merged.
    merged: Merged,
}

impl VisitorMut for Pass<'_> {
    type Break = CatalogError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<CatalogError> {
        unify_in(&mut query.body);
        if let SetExpr::Select(select) = query.body.as_mut() {
            select.selection.iter_mut().chain(&mut select.having).for_each(spelling::condition);
        }
        if let SetExpr::Select(select) = query.body.as_mut()
            && let Err(refused) = windows::written_out(select, query.order_by.as_mut())
        {
            return ControlFlow::Break(refused.into());
        }
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        let names = |alias: &TableAlias| {
            alias.columns.iter().map(|column| folded(&column.name)).collect::<Vec<_>>()
        };
        let ctes = ctes.map(|cte| (folded(&cte.alias.name), names(&cte.alias))).collect();
        self.frames.push(Frame { ctes, ..Frame::default() });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<CatalogError> {
        if let Err(what) = fetch_as_limit(query) {
            let refused = FunctionError::not_supported(what, TIES_HINT);
            return ControlFlow::Break(refused.into());
        }
        if let Err(refused) = as_sets(&mut query.body) {
            return ControlFlow::Break(refused);
        }
        let frame = self.frames.pop();
        if let (Some(frame), SetExpr::Select(_)) = (&frame, query.body.as_ref()) {
            in_order(query, &frame.merged, frame.columns.as_deref().unwrap_or_default());
        }
        order_apart(query);
        literals::bare_in_query(query);
        let Some(frame) = frame else { return ControlFlow::Continue(()) };
        match self.frames.last_mut() {
            Some(parent) if parent.visited < parent.ctes.len() => {
                let columns = &mut parent.ctes[parent.visited].1;
                if columns.is_empty() {
                    *columns = columns_of_query(query).unwrap_or_default();
                }
                parent.visited += 1;
            }
            Some(parent) => {
                if let SetExpr::Query(_) = query.body.as_ref() {
                    parent.columns = parent.columns.take().or(frame.columns);
                }
            }
            None => self.columns = frame.columns,
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<CatalogError> {
        if select.into.is_some() {
            let what = "SELECT INTO".to_owned();
            return ControlFlow::Break(CatalogError::NotSupported { what });
        }
        // Names come from what the client wrote, so before anything is rewritten.
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) = item
                && !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
            {
                let alias = quoted(&label_of(expr));
                let expr = std::mem::replace(expr, null());
                *item = SelectItem::ExprWithAlias { expr, alias };
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<CatalogError> {
        join_laterals(&mut select.from);
        literals::bare_in_select(select);
        self.expand_wildcards(select);
        self.expand_rows(select);
        let merged = match self.merge_outer_joins(select) {
            Ok(merged) => merged,
            Err(error) => return ControlFlow::Break(error),
        };
        let names = unique_names(select);
        if let Some(frame) = self.frames.last_mut()
            && frame.columns.is_none()
        {
            frame.columns = names;
            frame.merged = merged;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<CatalogError> {
        match rows_of_function(factor, self.context) {
            Ok(Some(replaced)) => *factor = replaced,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<CatalogError> {
        match rewrite_expr(expr, self.context) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// `a, LATERAL b JOIN c ON …` as `a CROSS JOIN LATERAL b JOIN c ON …`, which is the same, and lets
/// DataFusion see that `b` reads `a`.
fn join_laterals(from: &mut Vec<TableWithJoins>) {
    let mut joined: Vec<TableWithJoins> = Vec::with_capacity(from.len());
    for tables in from.drain(..) {
        let lateral = matches!(tables.relation, TableFactor::Derived { lateral: true, .. });
        match joined.last_mut() {
            Some(before) if lateral && tables.joins.iter().all(keeps_left_rows) => {
                before.joins.push(Join {
                    relation: tables.relation,
                    global: false,
                    join_operator: JoinOperator::CrossJoin(JoinConstraint::None),
                });
                before.joins.extend(tables.joins);
            }
            _ => joined.push(tables),
        }
    }
    *from = joined;
}

/// Whether a join may be moved behind a cross join with what stands left of it.
fn keeps_left_rows(join: &Join) -> bool {
    matches!(
        join.join_operator,
        JoinOperator::Join(_)
            | JoinOperator::Inner(_)
            | JoinOperator::CrossJoin(_)
            | JoinOperator::Left(_)
            | JoinOperator::LeftOuter(_)
    )
}

/// `EXCEPT ALL` and its like among the queries of a set operation.
fn as_sets(body: &mut SetExpr) -> Result<(), CatalogError> {
    if let SetExpr::SetOperation { left, right, .. } = body {
        as_sets(left)?;
        as_sets(right)?;
    }
    if multisets::is_one(body) {
        let names = columns_of_body(body).ok_or_else(|| CatalogError::NotSupported {
            what: "EXCEPT ALL or INTERSECT ALL of such a query".to_owned(),
        })?;
        multisets::numbered(body, &names);
    }
    Ok(())
}

/// `SELECT f(t.a) AS a … ORDER BY t.a`, where DataFusion can't tell the two columns called `a`: the
/// order's expressions become columns of their own in a query inside.
fn order_apart(query: &mut Query) {
    let Some(OrderBy { kind: OrderByKind::Expressions(items), .. }) = &mut query.order_by else {
        return;
    };
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let names: Option<Vec<Ident>> = select.projection.iter().map(alias_of).collect();
    let Some(names) = names else { return };
    let hides = |item: &SelectItem, order: &Expr| match (item, order) {
        (SelectItem::ExprWithAlias { expr, alias }, Expr::CompoundIdentifier(parts)) => {
            expr != order && parts.last().is_some_and(|last| folded(last) == folded(alias))
        }
        _ => false,
    };
    let clashes = items.iter().any(|it| select.projection.iter().any(|one| hides(one, &it.expr)));
    if !clashes || select.distinct.is_some() {
        return;
    }
    for (number, item) in items.iter_mut().enumerate() {
        if matches!(item.expr, Expr::Identifier(_) | Expr::Value(_) | Expr::Cast { .. }) {
            continue;
        }
        let alias = quoted(&format!("canon_order_{number}"));
        let expr = std::mem::replace(&mut item.expr, Expr::Identifier(alias.clone()));
        select.projection.push(SelectItem::ExprWithAlias { expr, alias });
    }
    let mut inner = EMPTY_QUERY.clone();
    inner.body = std::mem::replace(&mut query.body, EMPTY_QUERY.body.clone());
    let SetExpr::Select(outer) = query.body.as_mut() else { return };
    outer.projection =
        names.into_iter().map(|name| SelectItem::UnnamedExpr(Expr::Identifier(name))).collect();
    outer.from = vec![TableWithJoins {
        relation: TableFactor::Derived {
            lateral: false,
            subquery: Box::new(inner),
            alias: Some(table_alias("canon_ordered")),
            sample: None,
        },
        joins: Vec::new(),
    }];
}

/// The quoted name of a named or plain column of a select list.
fn alias_of(item: &SelectItem) -> Option<Ident> {
    name_of_item(item).map(|name| quoted(&name))
}

fn name_of_item(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
        SelectItem::UnnamedExpr(expr) => Some(label_of(expr)),
        _ => None,
    }
}

/// Names each column of a select list once; gives the names as they were.
fn unique_names(select: &mut Select) -> Option<Vec<String>> {
    let names: Option<Vec<String>> = select.projection.iter().map(name_of_item).collect();
    let names = names?;
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (item, name) in select.projection.iter_mut().zip(&names) {
        let times = seen.entry(name).or_default();
        *times += 1;
        if *times > 1 {
            let alias = quoted(&format!("{name}#{times}"));
            let expr = match item {
                SelectItem::ExprWithAlias { expr, .. } | SelectItem::UnnamedExpr(expr) => {
                    std::mem::replace(expr, null())
                }
                _ => continue,
            };
            *item = SelectItem::ExprWithAlias { expr, alias };
        }
    }
    Some(names)
}

fn table_alias(name: &str) -> TableAlias {
    let columns: Vec<TableAliasColumnDef> = Vec::new();
    TableAlias { explicit: true, name: quoted(name), columns, at: None }
}

fn quoted(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

fn null() -> Expr {
    Expr::value(Value::Null)
}

fn text(text: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(text.to_owned()))
}

fn expressions_of(args: &FunctionArguments) -> Option<Vec<Expr>> {
    match args {
        FunctionArguments::List(list) => arguments_of(&list.args),
        FunctionArguments::None | FunctionArguments::Subquery(_) => None,
    }
}

fn arguments_of(args: &[FunctionArg]) -> Option<Vec<Expr>> {
    let expr = |arg: &FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
        | FunctionArg::Named { arg: FunctionArgExpr::Expr(expr), .. }
        | FunctionArg::ExprNamed { arg: FunctionArgExpr::Expr(expr), .. } => Some(expr.clone()),
        _ => None,
    };
    args.iter().map(expr).collect()
}
