//! The parts of a syntax tree that may hold names.

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, Query, Subscript, WindowType,
};

/// The direct sub-expressions of an expression, subqueries' insides left out; None for kinds of
/// expression that canon doesn't know.
pub(crate) fn children_mut(expr: &mut Expr) -> Option<Vec<&mut Expr>> {
    Some(match expr {
        Expr::Identifier(_)
        | Expr::CompoundIdentifier(_)
        | Expr::Value(_)
        | Expr::TypedString(_)
        | Expr::Exists { .. }
        | Expr::Subquery(_) => Vec::new(),
        Expr::IsFalse(inner)
        | Expr::IsNotFalse(inner)
        | Expr::IsTrue(inner)
        | Expr::IsNotTrue(inner)
        | Expr::IsNull(inner)
        | Expr::IsNotNull(inner)
        | Expr::IsUnknown(inner)
        | Expr::IsNotUnknown(inner)
        | Expr::Nested(inner)
        | Expr::UnaryOp { expr: inner, .. }
        | Expr::Cast { expr: inner, .. }
        | Expr::Extract { expr: inner, .. }
        | Expr::Ceil { expr: inner, .. }
        | Expr::Floor { expr: inner, .. }
        | Expr::Collate { expr: inner, .. }
        | Expr::InSubquery { expr: inner, .. } => vec![inner],
        Expr::Interval(interval) => vec![&mut interval.value],
        Expr::IsDistinctFrom(left, right)
        | Expr::IsNotDistinctFrom(left, right)
        | Expr::BinaryOp { left, right, .. }
        | Expr::AnyOp { left, right, .. }
        | Expr::AllOp { left, right, .. }
        | Expr::Like { expr: left, pattern: right, .. }
        | Expr::ILike { expr: left, pattern: right, .. }
        | Expr::SimilarTo { expr: left, pattern: right, .. }
        | Expr::AtTimeZone { timestamp: left, time_zone: right }
        | Expr::Position { expr: left, r#in: right } => vec![left, right],
        Expr::InList { expr, list, .. } => {
            let mut children: Vec<&mut Expr> = vec![expr];
            children.extend(list);
            children
        }
        Expr::Between { expr, low, high, .. } => vec![expr, low, high],
        Expr::Substring { expr, substring_from, substring_for, .. } => {
            let mut children: Vec<&mut Expr> = vec![expr];
            children.extend(substring_from.iter_mut().map(|it| &mut **it));
            children.extend(substring_for.iter_mut().map(|it| &mut **it));
            children
        }
        Expr::Trim { expr, trim_what, trim_characters, .. } => {
            let mut children: Vec<&mut Expr> = vec![expr];
            children.extend(trim_what.iter_mut().map(|it| &mut **it));
            children.extend(trim_characters.iter_mut().flatten());
            children
        }
        Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
            let mut children: Vec<&mut Expr> = vec![expr, overlay_what, overlay_from];
            children.extend(overlay_for.iter_mut().map(|it| &mut **it));
            children
        }
        Expr::Case { operand, conditions, else_result, .. } => {
            let mut children: Vec<&mut Expr> = operand.iter_mut().map(|it| &mut **it).collect();
            for when in conditions {
                children.push(&mut when.condition);
                children.push(&mut when.result);
            }
            children.extend(else_result.iter_mut().map(|it| &mut **it));
            children
        }
        Expr::Function(function) => function_children(function)?,
        Expr::Tuple(items) => items.iter_mut().collect(),
        Expr::Array(array) => array.elem.iter_mut().collect(),
        Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets) => {
            sets.iter_mut().flatten().collect()
        }
        Expr::CompoundFieldAccess { root, access_chain } => {
            let mut children: Vec<&mut Expr> = vec![root];
            for access in access_chain {
                match access {
                    AccessExpr::Subscript(Subscript::Index { index }) => children.push(index),
                    AccessExpr::Subscript(Subscript::Slice { .. }) | AccessExpr::Dot(_) => {
                        return None;
                    }
                }
            }
            children
        }
        _ => return None,
    })
}

/// The arguments of a call and what stands in its clauses, window included.
fn function_children(function: &mut Function) -> Option<Vec<&mut Expr>> {
    let mut children = Vec::new();
    match &mut function.args {
        FunctionArguments::None => {}
        FunctionArguments::Subquery(_) => return None,
        FunctionArguments::List(list) => {
            for arg in &mut list.args {
                let (FunctionArg::Named { arg, .. }
                | FunctionArg::ExprNamed { arg, .. }
                | FunctionArg::Unnamed(arg)) = arg;
                if let FunctionArgExpr::Expr(expr) = arg {
                    children.push(expr);
                }
            }
            for clause in &mut list.clauses {
                if let FunctionArgumentClause::OrderBy(order) = clause {
                    children.extend(order.iter_mut().map(|item| &mut item.expr));
                }
            }
        }
    }
    children.extend(function.within_group.iter_mut().map(|item| &mut item.expr));
    children.extend(function.filter.iter_mut().map(|it| &mut **it));
    if let Some(WindowType::WindowSpec(spec)) = &mut function.over {
        children.extend(spec.partition_by.iter_mut());
        children.extend(spec.order_by.iter_mut().map(|item| &mut item.expr));
    }
    Some(children)
}

/// The query inside an expression, if it is a subquery of some kind.
pub(crate) fn subquery_mut(expr: &mut Expr) -> Option<&mut Query> {
    match expr {
        Expr::Exists { subquery, .. }
        | Expr::Subquery(subquery)
        | Expr::InSubquery { subquery, .. } => Some(subquery),
        _ => None,
    }
}
