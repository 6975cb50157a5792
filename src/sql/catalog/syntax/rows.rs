//! Functions that give rows, as `unnest` of functions that give arrays.

use datafusion::sql::sqlparser::ast::{
    Expr, ObjectName, SelectItem, SetExpr, TableAlias, TableFactor,
};

use super::super::error::CatalogError;
use super::super::labels::{folded, last_part};
use super::super::planning::Context;
use super::expressions::undefined;
use super::{arguments_of, quoted, table_alias};
use crate::sql::ast::{EMPTY_QUERY, call};
use crate::sql::row_functions;

/// The function that gives as an array what one of Postgres's gives as rows.
pub(super) fn array_function(name: &str) -> Option<&'static str> {
    Some(match name {
        "generate_subscripts" => "canon_generate_subscripts",
        "_pg_expandarray" => "canon_pg_expandarray",
        "pg_partition_ancestors" => "canon_pg_partition_ancestors",
        "pg_listening_channels" => "canon_pg_listening_channels",
        "aclexplode" => "canon_aclexplode",
        other => return row_functions::array_function(other),
    })
}

/// A function in FROM as a derived table or a relation.
pub(super) fn rows_of_function(
    factor: &mut TableFactor,
    context: &Context<'_>,
) -> Result<Option<TableFactor>, CatalogError> {
    let written = |args: Option<Vec<Expr>>, name: &str| {
        args.ok_or_else(|| CatalogError::NotSupported {
            what: format!("{name} with such arguments"),
        })
    };
    let (written_name, args, alias, ordinality) = match factor {
        TableFactor::Table { name, args: Some(args), alias, with_ordinality, .. } => {
            let args = written(arguments_of(&args.args), &last_part(name))?;
            (name.clone(), args, alias.take(), *with_ordinality)
        }
        TableFactor::Function { name, args, alias, with_ordinality, .. } => {
            let args = written(arguments_of(args), &last_part(name))?;
            (name.clone(), args, alias.take(), *with_ordinality)
        }
        TableFactor::UNNEST { array_exprs, alias, with_ordinality, .. } => {
            let name = ObjectName::from(vec![quoted("unnest")]);
            (name, std::mem::take(array_exprs), alias.take(), *with_ordinality)
        }
        _ => return Ok(None),
    };
    let name = last_part(&written_name);
    if view_of_function(&name).is_some() || context.table(Some("function"), &name).is_some() {
        return Ok(Some(relation_factor(&name, alias)));
    }
    if let Some(rows) = row_functions::in_from(&name, args.clone(), alias.as_ref(), ordinality)
        .map_err(|what| CatalogError::NotSupported { what })?
    {
        return Ok(Some(derived(rows.columns, &rows.relation)));
    }
    let relation = alias.as_ref().map_or_else(|| name.clone(), |alias| folded(&alias.name));
    let given: Vec<_> = alias.iter().flat_map(|alias| &alias.columns).collect();
    let column_name = |at: usize, own: &str| {
        given.get(at).map_or_else(|| own.to_owned(), |column| folded(&column.name))
    };
    let Some(function) = array_function(&name) else {
        if !context.has_function(&name) {
            return Err(undefined(&written_name, &args));
        }
        // Any other function gives one row.
        let column = (call(&name, args), column_name(0, &relation));
        return Ok(Some(derived(vec![column], &relation)));
    };
    let array = call(function, args);
    let mut columns = vec![(call("unnest", vec![array.clone()]), column_name(0, &relation))];
    if ordinality {
        let numbers = call("unnest", vec![call("ordinality", vec![array])]);
        columns.push((numbers, column_name(1, "ordinality")));
    }
    Ok(Some(derived(columns, &relation)))
}

/// The view that shows all that a function in FROM gives.
fn view_of_function(name: &str) -> Option<&'static str> {
    Some(match name {
        "pg_show_all_settings" => "pg_settings",
        "pg_available_extensions" => "pg_available_extensions",
        "pg_available_extension_versions" => "pg_available_extension_versions",
        "pg_timezone_names" => "pg_timezone_names",
        "pg_timezone_abbrevs" => "pg_timezone_abbrevs",
        "pg_prepared_statement" => "pg_prepared_statements",
        "pg_prepared_xact" => "pg_prepared_xacts",
        "pg_cursor" => "pg_cursors",
        _ => return None,
    })
}

fn relation_factor(name: &str, alias: Option<TableAlias>) -> TableFactor {
    let (schema, relation) = match view_of_function(name) {
        Some(view) => ("pg_catalog", view),
        None => ("function", name),
    };
    let alias = alias.unwrap_or_else(|| table_alias(name));
    TableFactor::Table {
        name: ObjectName::from(vec![quoted(schema), quoted(relation)]),
        alias: Some(alias),
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

/// `LATERAL (SELECT expr AS name, …) AS alias`
fn derived(columns: Vec<(Expr, String)>, alias: &str) -> TableFactor {
    let mut query = EMPTY_QUERY.clone();
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.projection = columns
            .into_iter()
            .map(|(expr, name)| SelectItem::ExprWithAlias { expr, alias: quoted(&name) })
            .collect();
    }
    TableFactor::Derived {
        lateral: true,
        subquery: Box::new(query),
        alias: Some(table_alias(alias)),
        sample: None,
    }
}
