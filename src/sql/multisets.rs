//! `EXCEPT ALL` and `INTERSECT ALL`: as many of equal rows as the sides leave. Equal rows are numbered
//! on each side, and of numbered rows each is there once.

use datafusion::sql::sqlparser::ast::{
    Expr, Function, Ident, Query, SelectItem, SetExpr, SetOperator, SetQuantifier, WindowSpec,
    WindowType,
};

use super::ast::{EMPTY_QUERY, function, select_from};

/// Whether a set operation is one of these.
pub(crate) fn is_one(body: &SetExpr) -> bool {
    match body {
        SetExpr::SetOperation { op, set_quantifier: SetQuantifier::All, .. } => {
            matches!(op, SetOperator::Except | SetOperator::Minus | SetOperator::Intersect)
        }
        _ => false,
    }
}

/// Writes such an operation anew, of queries with columns of these names; others stay.
pub(crate) fn numbered(body: &mut SetExpr, names: &[String]) {
    if !is_one(body) {
        return;
    }
    let SetExpr::SetOperation { left, right, set_quantifier, .. } = body else { return };
    let width = names.len();
    for side in [left, right] {
        let columns = (0..width).map(column);
        let number = Expr::Function(Function {
            over: Some(WindowType::WindowSpec(WindowSpec {
                window_name: None,
                partition_by: columns.clone().collect(),
                order_by: Vec::new(),
                window_frame: None,
            })),
            ..function("row_number", Vec::new())
        });
        let items = columns.chain([number]).enumerate().map(|(at, expr)| aliased(expr, name(at)));
        let side = side.as_mut();
        *side = selected(items.collect(), taken(side), width);
    }
    *set_quantifier = SetQuantifier::None;
    let items = names.iter().enumerate();
    let items = items.map(|(at, name)| aliased(column(at), Ident::with_quote('"', name)));
    *body = selected(items.collect(), taken(body), width + 1);
}

fn taken(body: &mut SetExpr) -> SetExpr {
    std::mem::replace(body, EMPTY_QUERY.body.as_ref().clone())
}

fn name(index: usize) -> Ident {
    Ident::with_quote('"', format!("m{index}"))
}

fn column(index: usize) -> Expr {
    Expr::Identifier(name(index))
}

fn aliased(expr: Expr, alias: Ident) -> SelectItem {
    SelectItem::ExprWithAlias { expr, alias }
}

/// `SELECT items FROM (rows) AS rows (m0, m1, …)`.
fn selected(items: Vec<SelectItem>, rows: SetExpr, width: usize) -> SetExpr {
    let rows = Query { body: Box::new(rows), ..EMPTY_QUERY.clone() };
    *select_from(rows, "rows", (0..width).map(name), items).body
}
