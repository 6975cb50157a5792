//! `SELECT DISTINCT ON (…)`: the first row of each group, as the first by number.

use std::collections::HashSet;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Distinct, Expr, Function, OrderBy, OrderByExpr, OrderByKind, OrderByOptions,
    Query, Select, SelectItem, SetExpr, TableAlias, TableFactor, TableWithJoins, Value, WindowSpec,
    WindowType,
};

use super::binder::Binder;
use super::error::BindError;
use super::query::ordinal;
use super::scope::{column, quoted};
use super::select::{object_name, select_all_from};
use crate::sql::ast::{self, EMPTY_QUERY};

/// The rows' numbers.
const NUMBER: &str = "number";

/// What the groups are told apart by, written as an ORDER BY: names and numbers mean the same there.
pub(super) fn taken(select: &mut Select) -> Option<OrderBy> {
    let Some(Distinct::On(exprs)) = select.distinct.take_if(|it| matches!(it, Distinct::On(_)))
    else {
        return None;
    };
    let options = OrderByOptions { asc: None, nulls_first: None };
    let item = |expr| OrderByExpr { expr, options, with_fill: None };
    let kind = OrderByKind::Expressions(exprs.into_iter().map(item).collect());
    Some(OrderBy { kind, interpolate: None })
}

impl Binder<'_> {
    /// Makes a bound select one of the first rows of its groups, in the order of `order_by`, whose
    /// expressions are bound too. The rows are those of `SELECT … FROM (SELECT …, row_number() OVER
    /// (PARTITION BY groups ORDER BY order)) WHERE number = 1`.
    ///
    /// # Errors
    /// An order that doesn't begin with the groups.
    pub(super) fn first_of_each(
        &mut self,
        select: &mut Select,
        groups: &OrderBy,
        mut order_by: Option<&mut OrderBy>,
    ) -> Result<(), BindError> {
        let values = values_of(select);
        let value =
            |item: &OrderByExpr| value_at(&item.expr, &values).unwrap_or(&item.expr).clone();
        let mut groups: Vec<Expr> = items(groups).iter().map(value).collect();
        let mut known = HashSet::new();
        groups.retain(|expr| known.insert(expr.clone()));
        if let Some(OrderBy { kind: OrderByKind::Expressions(items), .. }) = &mut order_by {
            let mut known = HashSet::new();
            items.retain(|item| known.insert(value(item)));
        }
        let orders = order_by.iter().flat_map(|order_by| items(order_by));
        let orders = orders.map(|item| OrderByExpr { expr: value(item), ..item.clone() });
        let orders: Vec<OrderByExpr> = orders.collect();
        begins_with(&orders, &groups)?;
        let own = format!("r{}", self.new_alias(None)?);
        // What is ordered by without being shown is carried along.
        for (index, item) in order_by.into_iter().flat_map(items_mut).enumerate() {
            if value_at(&item.expr, &values).is_none() {
                let name = format!("order{index}");
                let expr = std::mem::replace(&mut item.expr, column(&own, &name));
                select.projection.push(aliased(expr, &name));
            }
        }
        select.projection.push(aliased(numbered(groups, orders), NUMBER));
        let shown = (0..values.len()).map(|index| format!("c{index}"));
        let shown = shown.map(|name| aliased(column(&own, &name), &name)).collect();
        let outer = Select {
            projection: shown,
            selection: Some(Expr::BinaryOp {
                left: Box::new(column(&own, NUMBER)),
                op: BinaryOperator::Eq,
                right: Box::new(ordinal(0)),
            }),
            ..select_all_from(object_name(&own))
        };
        let inner = std::mem::replace(select, outer);
        let query =
            Query { body: Box::new(SetExpr::Select(Box::new(inner))), ..EMPTY_QUERY.clone() };
        let alias =
            TableAlias { explicit: true, name: quoted(&own), columns: Vec::new(), at: None };
        let relation = TableFactor::Derived {
            lateral: false,
            subquery: Box::new(query),
            alias: Some(alias),
            sample: None,
        };
        select.from = vec![TableWithJoins { relation, joins: Vec::new() }];
        Ok(())
    }
}

/// Postgres compares with the beginning of ORDER BY, in any order.
fn begins_with(orders: &[OrderByExpr], groups: &[Expr]) -> Result<(), BindError> {
    let begin = &orders[..orders.len().min(groups.len())];
    let known = |expr: &Expr| begin.iter().any(|item| item.expr == *expr);
    let fits = begin.iter().all(|item| groups.contains(&item.expr))
        && (begin.len() < groups.len() || groups.iter().all(known));
    if fits {
        return Ok(());
    }
    let message = "SELECT DISTINCT ON expressions must match initial ORDER BY expressions";
    Err(BindError::Types { message: message.to_owned(), sqlstate: "42P10" })
}

fn numbered(groups: Vec<Expr>, orders: Vec<OrderByExpr>) -> Expr {
    let over = WindowSpec {
        window_name: None,
        partition_by: groups,
        order_by: orders,
        window_frame: None,
    };
    Expr::Function(Function {
        over: Some(WindowType::WindowSpec(over)),
        ..ast::function("row_number", Vec::new())
    })
}

fn items(order_by: &OrderBy) -> &[OrderByExpr] {
    match &order_by.kind {
        OrderByKind::Expressions(items) => items,
        OrderByKind::All(_) => &[],
    }
}

fn items_mut(order_by: &mut OrderBy) -> &mut [OrderByExpr] {
    match &mut order_by.kind {
        OrderByKind::Expressions(items) => items,
        OrderByKind::All(_) => &mut [],
    }
}

fn values_of(select: &Select) -> Vec<Expr> {
    let expr = |item: &SelectItem| match item {
        SelectItem::ExprWithAlias { expr, .. } => Some(expr.clone()),
        _ => None,
    };
    select.projection.iter().filter_map(expr).collect()
}

/// The value of an output that an ordinal stands for.
fn value_at<'v>(expr: &Expr, values: &'v [Expr]) -> Option<&'v Expr> {
    let Expr::Value(written) = expr else { return None };
    let Value::Number(digits, _) = &written.value else { return None };
    values.get(digits.parse::<usize>().ok()?.checked_sub(1)?)
}

fn aliased(expr: Expr, name: &str) -> SelectItem {
    SelectItem::ExprWithAlias { expr, alias: quoted(name) }
}
