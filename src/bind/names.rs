//! The names that Postgres gives to output columns.

use datafusion::sql::sqlparser::ast::{AccessExpr, Expr, Function};

use super::scope::folded;
use crate::sql::catalog::type_label;

/// The name of an unaliased select item, as PostgreSQL's `FigureColname` makes it; a measure's
/// function shows the measure's own name.
pub(crate) fn output_name(expr: &Expr) -> String {
    name_of(expr).unwrap_or_else(|| "?column?".to_owned())
}

fn name_of(expr: &Expr) -> Option<String> {
    let fixed = |name: &str| Some(name.to_owned());
    match expr {
        Expr::Identifier(ident) => Some(folded(ident)),
        Expr::CompoundIdentifier(idents) => idents.last().map(folded),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => name_of(inner),
        Expr::Cast { expr: inner, data_type, .. } => {
            name_of(inner).or_else(|| Some(type_label(data_type)))
        }
        Expr::Function(function) => function_name(function),
        Expr::Case { else_result, .. } => {
            let of_else = else_result.as_ref().filter(|it| matches!(***it, Expr::Identifier(_)));
            of_else.and_then(|it| name_of(it)).or_else(|| fixed("case"))
        }
        Expr::Extract { .. } => fixed("extract"),
        Expr::Substring { .. } => fixed("substring"),
        Expr::Position { .. } => fixed("position"),
        Expr::Trim { .. } => fixed("btrim"),
        Expr::Overlay { .. } => fixed("overlay"),
        Expr::Ceil { .. } => fixed("ceil"),
        Expr::Floor { .. } => fixed("floor"),
        Expr::Exists { .. } => fixed("exists"),
        Expr::Array(_) => fixed("array"),
        Expr::Interval(_) => fixed("interval"),
        Expr::TypedString(typed) => Some(type_label(&typed.data_type)),
        Expr::AtTimeZone { .. } => fixed("timezone"),
        Expr::CompoundFieldAccess { root, access_chain }
            if access_chain.iter().all(|it| matches!(it, AccessExpr::Subscript(_))) =>
        {
            name_of(root)
        }
        _ => None,
    }
}

fn function_name(function: &Function) -> Option<String> {
    let name = function.name.0.last()?.as_ident().map(folded)?;
    if matches!(name.as_str(), "measure" | "agg" | "aggregate") {
        let mut expr = Expr::Function(function.clone());
        let argument =
            super::walk::children_mut(&mut expr)?.into_iter().next().and_then(|it| name_of(it));
        return argument.or(Some(name));
    }
    Some(name)
}
