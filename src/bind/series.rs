//! `generate_series`, `unnest` and their like in FROM: queries that are written out, then bound as
//! derived tables.

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, Query, SelectItem, SetExpr, TableAlias,
};

use super::error::BindError;
use super::scope::folded;
use crate::sql::ast::{EMPTY_QUERY, call};
use crate::sql::row_functions;

/// Whether a function in FROM is one of these.
pub(crate) fn is_one(name: &ObjectName) -> bool {
    let Some(name) = name.0.last().and_then(|part| part.as_ident()).map(folded) else {
        return false;
    };
    matches!(name.as_str(), "unnest") || row_functions::gives_rows(&name)
}

/// The name of a function's relation, and the query that gives its rows.
///
/// # Errors
/// Arguments by name.
pub(crate) fn of_function(
    name: &ObjectName,
    args: &[FunctionArg],
    alias: Option<TableAlias>,
    ordinality: bool,
) -> Result<(TableAlias, Query), BindError> {
    let last = name.0.last().and_then(|part| part.as_ident()).map(folded).unwrap_or_default();
    let exprs = args.iter().map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr.clone()),
        _ => Err(BindError::NotSupported {
            what: format!("an argument of {last} by name"),
            hint: Some("Give it by its place.".to_owned()),
            position: None,
        }),
    });
    let exprs = exprs.collect::<Result<Vec<_>, _>>()?;
    rows_of(&last, exprs, alias, ordinality)
}

/// As [`of_function`], of `UNNEST(array, …)`.
pub(crate) fn of_arrays(
    arrays: &[Expr],
    alias: Option<TableAlias>,
    ordinality: bool,
) -> Result<(TableAlias, Query), BindError> {
    rows_of("unnest", arrays.to_vec(), alias, ordinality)
}

/// What a call of such a function in a select list is: the items of an array, a row each. None of
/// `unnest`, which is known there.
pub(crate) fn in_select(name: &str, args: Vec<Expr>) -> Option<Expr> {
    let array = row_functions::array_function(name)?;
    Some(row_functions::rows_of_items(name, call(array, args)))
}

fn rows_of(
    function: &str,
    args: Vec<Expr>,
    alias: Option<TableAlias>,
    ordinality: bool,
) -> Result<(TableAlias, Query), BindError> {
    let refused = |what| BindError::NotSupported { what, hint: None, position: None };
    let rows = row_functions::in_from(function, args, alias.as_ref(), ordinality);
    let rows = rows.map_err(refused)?.ok_or_else(|| refused(function.to_owned()))?;
    let mut query = EMPTY_QUERY.clone();
    if let SetExpr::Select(select) = query.body.as_mut() {
        let columns = rows.columns.into_iter().map(|(expr, name)| {
            let alias = Ident::with_quote('"', name);
            SelectItem::ExprWithAlias { expr, alias }
        });
        select.projection = columns.collect();
    }
    let alias = TableAlias {
        explicit: true,
        name: Ident::with_quote('"', rows.relation),
        columns: Vec::new(),
        at: None,
    };
    Ok((alias, query))
}
