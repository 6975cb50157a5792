//! Functions that give rows, as `unnest` of functions that give arrays.

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, FunctionArguments, ObjectName, SelectItem, SetExpr, TableAlias,
    TableFactor,
};

use super::super::labels::{folded, last_part};
use super::super::planning::Context;
use super::{arguments_of, expressions_of, quoted, table_alias};
use crate::sql::ast::{EMPTY_QUERY, arguments, call};

/// `regexp_split_to_table`, as the array of the parts.
pub(super) fn split_by_pattern(name: &str, args: &FunctionArguments) -> Option<Expr> {
    if name != "regexp_split_to_table" {
        return None;
    }
    Some(call("regexp_split_to_array", expressions_of(args)?))
}

/// The function that gives as an array what one of Postgres's gives as rows.
pub(super) fn array_function(name: &str) -> Option<&'static str> {
    Some(match name {
        "generate_series" => "series",
        "regexp_matches" => "regexp_all_matches",
        "regexp_split_to_table" => "regexp_split_to_array",
        "string_to_table" => "string_to_array",
        "json_array_elements" => "json_items",
        "json_array_elements_text" => "json_items_text",
        "json_object_keys" => "json_keys",
        "jsonb_array_elements" => "jsonb_items",
        "jsonb_array_elements_text" => "jsonb_items_text",
        "jsonb_object_keys" => "jsonb_keys",
        "generate_subscripts" => "canon_generate_subscripts",
        "_pg_expandarray" => "canon_pg_expandarray",
        "pg_partition_ancestors" => "canon_pg_partition_ancestors",
        "aclexplode" => "canon_aclexplode",
        _ => return None,
    })
}

/// The items of the array that a function's rows are made of, in the type that the function gives.
pub(super) fn rows_of_items(name: &str, array: Expr) -> Expr {
    let items = call("unnest", vec![array]);
    let data_type = match name {
        "json_array_elements" => DataType::JSON,
        "jsonb_array_elements" => DataType::JSONB,
        _ => return items,
    };
    let (kind, expr) = (CastKind::Cast, Box::new(items));
    Expr::Cast { kind, expr, data_type, array: false, format: None }
}

/// A function in FROM as a derived table or a relation.
pub(super) fn rows_of_function(
    factor: &mut TableFactor,
    context: &Context<'_>,
) -> Option<TableFactor> {
    let (name, args, alias, ordinality) = match factor {
        TableFactor::Table { name, args: Some(args), alias, with_ordinality, .. } => {
            (last_part(name), arguments_of(&args.args)?, alias.take(), *with_ordinality)
        }
        TableFactor::Function { name, args, alias, with_ordinality, .. } => {
            (last_part(name), arguments_of(args)?, alias.take(), *with_ordinality)
        }
        TableFactor::UNNEST { array_exprs, alias, with_ordinality, .. } => {
            ("unnest".to_owned(), std::mem::take(array_exprs), alias.take(), *with_ordinality)
        }
        _ => return None,
    };
    if view_of_function(&name).is_some() || context.table(Some("function"), &name).is_some() {
        return Some(relation_factor(&name, alias));
    }
    let relation = alias.as_ref().map_or_else(|| name.clone(), |alias| folded(&alias.name));
    let given: Vec<_> = alias.iter().flat_map(|alias| &alias.columns).collect();
    let column_name = |at: usize| match given.get(at) {
        Some(column) => folded(&column.name),
        None if at == 0 && name.starts_with("json") && name.contains("_array_elements") => {
            "value".to_owned()
        }
        None if at == 0 => relation.clone(),
        None => "ordinality".to_owned(),
    };
    let array = match (name.as_str(), array_function(&name)) {
        ("regexp_split_to_table", _) => split_by_pattern(&name, &arguments(args))?,
        ("unnest", _) => args.into_iter().next()?,
        (_, Some(function)) => call(function, args),
        _ => {
            // Any other function gives one row.
            return Some(derived(vec![(call(&name, args), column_name(0))], &relation));
        }
    };
    let mut columns = Vec::with_capacity(2);
    if ordinality {
        let numbers = call("canon_ordinality", vec![array.clone()]);
        columns.push((call("unnest", vec![numbers]), column_name(1)));
    }
    columns.insert(0, (rows_of_items(&name, array), column_name(0)));
    Some(derived(columns, &relation))
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
