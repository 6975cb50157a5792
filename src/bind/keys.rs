//! The keys of GROUP BY, as they are written.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, visit_expressions, visit_expressions_mut};

use super::error::BindError;

/// CUBE of more keys would have too many sets, as in Postgres.
const CUBE_MAX: usize = 12;

pub(super) fn is_grouping_set(key: &Expr) -> bool {
    matches!(key, Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_))
}

/// Whether an expression is among the keys, or the keys of their sets.
pub(super) fn is_key(expr: &Expr, keys: &[Expr]) -> bool {
    keys.iter().any(|key| match key {
        Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets) => {
            sets.iter().flatten().any(|inner| is_same(inner, expr))
        }
        key => is_same(key, expr),
    })
}

/// Whether two expressions differ by parentheses only.
fn is_same(one: &Expr, other: &Expr) -> bool {
    let bare = |expr: &Expr| {
        let mut expr = expr.clone();
        let _ = visit_expressions_mut(&mut expr, |expr| {
            while let Expr::Nested(inner) = expr {
                *expr = std::mem::replace(inner, Expr::Tuple(Vec::new()));
            }
            ControlFlow::<()>::Continue(())
        });
        expr
    };
    one == other || (is_nested(one) || is_nested(other)) && bare(one) == bare(other)
}

fn is_nested(expr: &Expr) -> bool {
    let visited = visit_expressions(expr, |expr| match expr {
        Expr::Nested(_) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    visited.is_break()
}

/// `GROUP BY (a, b)` are the keys one by one; an empty pair of parentheses stays.
pub(super) fn listed(key: Expr) -> Vec<Expr> {
    match key {
        Expr::Tuple(keys) if !keys.is_empty() => keys,
        key => vec![key],
    }
}

/// ROLLUP and CUBE of lists of keys as the sets that they stand for: the planner takes them of single
/// keys only.
///
/// # Errors
/// 54011 for a CUBE of too many.
pub(super) fn written_out(key: Expr) -> Result<Expr, BindError> {
    let is_list = |items: &[Vec<Expr>]| items.iter().any(|item| item.len() != 1);
    Ok(match key {
        Expr::Rollup(items) if is_list(&items) => {
            let sets = (0..=items.len()).rev().map(|count| items[..count].concat());
            Expr::GroupingSets(sets.collect())
        }
        Expr::Cube(items) if items.len() > CUBE_MAX => {
            let message = format!("CUBE is limited to {CUBE_MAX} elements");
            return Err(BindError::Types { message, sqlstate: "54011" });
        }
        Expr::Cube(items) if is_list(&items) => {
            let sets = (0..1_usize << items.len()).rev().map(|set| {
                let within = items.iter().rev().enumerate().rev();
                let kept = within.filter(|(bit, _)| set >> bit & 1 == 1);
                kept.flat_map(|(_, item)| item.clone()).collect()
            });
            Expr::GroupingSets(sets.collect())
        }
        key => key,
    })
}
