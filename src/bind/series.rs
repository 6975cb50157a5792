//! `generate_series` and `unnest` in FROM: queries that are written out, then bound as derived
//! tables.

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, Query, SelectItem,
    SetExpr, TableAlias,
};

use super::error::BindError;
use super::scope::folded;
use crate::sql::ast::{EMPTY_QUERY, call};

/// Whether a function in FROM is one of these.
pub(crate) fn is_one(name: &ObjectName) -> bool {
    function_of(name).is_some()
}

/// The function that gives as an array what one of Postgres's gives as rows; none of `unnest`, whose
/// argument is an array.
fn function_of(name: &ObjectName) -> Option<Option<&'static str>> {
    function_named(&name.0.last()?.as_ident().map(folded)?)
}

fn function_named(name: &str) -> Option<Option<&'static str>> {
    Some(match name {
        "generate_series" => Some("series"),
        "regexp_split_to_table" => Some("regexp_split_to_array"),
        "regexp_matches" => Some("regexp_all_matches"),
        "string_to_table" => Some("string_to_array"),
        "json_array_elements" => Some("json_items"),
        "json_array_elements_text" => Some("json_items_text"),
        "json_object_keys" => Some("json_keys"),
        "jsonb_array_elements" => Some("jsonb_items"),
        "jsonb_array_elements_text" => Some("jsonb_items_text"),
        "jsonb_object_keys" => Some("jsonb_keys"),
        "unnest" => None,
        _ => return None,
    })
}

/// The name that a function gives its column itself: an alias without columns leaves it.
fn own_column(function: &str) -> Option<&'static str> {
    let is_one = function.starts_with("json") && function.contains("_array_elements");
    is_one.then_some("value")
}

/// What the items of a function's array are, where they aren't what arrays of texts have.
fn item_type(function: &str) -> Option<DataType> {
    match function {
        "json_array_elements" => Some(DataType::JSON),
        "jsonb_array_elements" => Some(DataType::JSONB),
        _ => None,
    }
}

/// The name of a function's relation, and the query that gives its rows.
///
/// # Errors
/// Arguments by name.
pub(crate) fn of_function(
    name: &ObjectName,
    args: &[FunctionArg],
    alias: Option<TableAlias>,
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
    let array = match (function_of(name).flatten(), exprs.as_slice()) {
        (Some(function), _) => call(function, exprs),
        (None, [array]) => array.clone(),
        (None, _) => {
            return Err(BindError::NotSupported {
                what: "unnest of several arrays".to_owned(),
                hint: Some("Unnest one, and join the rest.".to_owned()),
                position: None,
            });
        }
    };
    rows_of(array, &last, alias)
}

/// As [`of_function`], of `UNNEST(array)`.
pub(crate) fn of_array(
    array: &Expr,
    alias: Option<TableAlias>,
) -> Result<(TableAlias, Query), BindError> {
    rows_of(array.clone(), "unnest", alias)
}

/// What a call of such a function in a select list is: the items of an array, a row each. None of
/// `unnest`, which is known there.
pub(crate) fn in_select(name: &str, args: Vec<Expr>) -> Option<Expr> {
    let array = function_named(name)??;
    Some(items_of(call(array, args), name))
}

fn items_of(array: Expr, function: &str) -> Expr {
    let items = call("unnest", vec![array]);
    match item_type(function) {
        None => items,
        Some(data_type) => Expr::Cast {
            kind: CastKind::Cast,
            expr: Box::new(items),
            data_type,
            array: false,
            format: None,
        },
    }
}

/// The only column has the name that the alias gives it, else the relation's.
fn rows_of(
    array: Expr,
    function: &str,
    alias: Option<TableAlias>,
) -> Result<(TableAlias, Query), BindError> {
    let relation = alias.as_ref().map_or_else(|| function.to_owned(), |alias| folded(&alias.name));
    let column = alias.as_ref().and_then(|alias| alias.columns.first());
    let own = own_column(function).map(str::to_owned);
    let column = column.map(|column| folded(&column.name)).or(own);
    let column = column.unwrap_or_else(|| relation.clone());
    let mut query = EMPTY_QUERY.clone();
    if let SetExpr::Select(select) = query.body.as_mut() {
        let expr = items_of(array, function);
        select.projection =
            vec![SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', column) }];
    }
    let alias = TableAlias {
        explicit: true,
        name: Ident::with_quote('"', relation),
        columns: Vec::new(),
        at: None,
    };
    Ok((alias, query))
}
