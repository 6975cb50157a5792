//! Functions that give rows, as `unnest` of functions that give arrays: what both the catalogue's
//! queries and all others make of `json_each(…)` and its like in FROM.

use datafusion::sql::sqlparser::ast::{DataType, Expr, TableAlias, Value};

use super::ast::{call, cast};
use super::catalog::folded;

/// The function that gives as an array what one of Postgres's gives as rows of one column.
pub(crate) fn array_function(name: &str) -> Option<&'static str> {
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
        _ => return None,
    })
}

/// Whether a function in FROM is one of these, or one whose rows have several columns.
pub(crate) fn gives_rows(name: &str) -> bool {
    const OF_COLUMNS: [&str; 8] = [
        "json_each",
        "json_each_text",
        "jsonb_each",
        "jsonb_each_text",
        "json_to_record",
        "jsonb_to_record",
        "json_to_recordset",
        "jsonb_to_recordset",
    ];
    array_function(name).is_some() || OF_COLUMNS.contains(&name)
}

/// What the items of such a function's array are, where they aren't what arrays of texts have.
fn item_type(name: &str) -> Option<DataType> {
    match name {
        "json_array_elements" => Some(DataType::JSON),
        "jsonb_array_elements" => Some(DataType::JSONB),
        _ => None,
    }
}

/// The items of the array that a function's rows are made of, in the type that the function gives.
pub(crate) fn rows_of_items(name: &str, array: Expr) -> Expr {
    as_type(unnest(array), item_type(name))
}

/// The relation of a function in FROM.
pub(crate) struct Rows {
    pub(crate) relation: String,
    pub(crate) columns: Vec<(Expr, String)>,
}

/// A function in FROM whose rows are the items of arrays; None of other functions.
///
/// # Errors
/// What is wanted of it and isn't there, in words.
pub(crate) fn in_from(
    name: &str,
    args: Vec<Expr>,
    alias: Option<&TableAlias>,
    ordinality: bool,
) -> Result<Option<Rows>, String> {
    let relation = alias.map_or_else(|| name.to_owned(), |alias| folded(&alias.name));
    let Some(mut columns) = columns_of(name, args, alias, &relation)? else { return Ok(None) };
    if ordinality {
        let Some(arrays) = columns.iter().map(|column| column.array.clone()).collect() else {
            return Err(format!("{name} WITH ORDINALITY"));
        };
        let numbers = unnest(call("ordinality", arrays));
        columns.push(Column { expr: numbers, array: None, name: "ordinality".to_owned() });
    }
    let given: Vec<String> =
        alias.iter().flat_map(|it| &it.columns).map(|it| folded(&it.name)).collect();
    let named = columns.into_iter().enumerate().map(|(at, column)| {
        let name = given.get(at).cloned().unwrap_or(column.name);
        (column.expr, name)
    });
    Ok(Some(Rows { relation, columns: named.collect() }))
}

struct Column {
    expr: Expr,
    /// Whose items it has; None where there is one row.
    array: Option<Expr>,
    name: String,
}

impl Column {
    fn of_items(array: Expr, data_type: Option<DataType>, name: &str) -> Self {
        let expr = as_type(unnest(array.clone()), data_type);
        Self { expr, array: Some(array), name: name.to_owned() }
    }
}

fn columns_of(
    name: &str,
    args: Vec<Expr>,
    alias: Option<&TableAlias>,
    relation: &str,
) -> Result<Option<Vec<Column>>, String> {
    if let Some(function) = array_function(name) {
        let own = match name.contains("_array_elements") {
            true => "value",
            false => relation,
        };
        return Ok(Some(vec![Column::of_items(call(function, args), item_type(name), own)]));
    }
    Ok(Some(match name {
        // All would be called `unnest`.
        "unnest" if args.len() > 1.max(alias.map_or(0, |alias| alias.columns.len())) => {
            return Err("unnest of several arrays without names for its columns".to_owned());
        }
        "unnest" => args.into_iter().map(|array| Column::of_items(array, None, relation)).collect(),
        "_pg_expandarray" => subscripted(args),
        "json_each" => members(args, "json_each_keys", "json_each_values", Some(DataType::JSON)),
        "json_each_text" => members(args, "json_each_keys", "json_each_texts", None),
        "jsonb_each" => {
            members(args, "jsonb_each_keys", "jsonb_each_values", Some(DataType::JSONB))
        }
        "jsonb_each_text" => members(args, "jsonb_each_keys", "jsonb_each_texts", None),
        "json_to_record" | "jsonb_to_record" | "json_to_recordset" | "jsonb_to_recordset" => {
            fields(name, args, alias)?
        }
        _ => return Ok(None),
    }))
}

/// `_pg_expandarray`: a row for each item of an array, with its number.
fn subscripted(args: Vec<Expr>) -> Vec<Column> {
    let with_number = |array: Expr| {
        let number =
            as_type(unnest(call("ordinality", vec![array.clone()])), Some(DataType::Int4(None)));
        let numbers = Column { expr: number, array: Some(array.clone()), name: "n".to_owned() };
        [Column::of_items(array, None, "x"), numbers]
    };
    args.into_iter().take(1).flat_map(with_number).collect()
}

/// `json_each`: a row for each member of an object.
fn members(args: Vec<Expr>, keys: &str, values: &str, data_type: Option<DataType>) -> Vec<Column> {
    vec![
        Column::of_items(call(keys, args.clone()), None, "key"),
        Column::of_items(call(values, args), data_type, "value"),
    ]
}

/// `json_to_recordset(…) AS x(a int, b text)`: of each object the members that the columns name.
fn fields(name: &str, args: Vec<Expr>, alias: Option<&TableAlias>) -> Result<Vec<Column>, String> {
    let kind = if name.starts_with("jsonb") { "jsonb" } else { "json" };
    let columns = alias.map(|alias| alias.columns.as_slice()).unwrap_or_default();
    let [json] = args.as_slice() else { return Err(format!("{name} with such arguments")) };
    let column = |column: &datafusion::sql::sqlparser::ast::TableAliasColumnDef| {
        let Some(data_type) = &column.data_type else {
            return Err(format!("{name} without a column definition list"));
        };
        let member = match data_type {
            DataType::JSON | DataType::JSONB => "",
            DataType::Array(_) => return Err(format!("an array among the columns of {name}")),
            _ => "_text",
        };
        let key = Expr::value(Value::SingleQuotedString(folded(&column.name)));
        let args = vec![json.clone(), key];
        let own = folded(&column.name);
        if name.ends_with("set") {
            let array = call(&format!("{kind}_members{member}"), args);
            return Ok(Column::of_items(array, Some(data_type.clone()), &own));
        }
        let value = call(&format!("{kind}_extract_path{member}"), args);
        Ok(Column { expr: as_type(value, Some(data_type.clone())), array: None, name: own })
    };
    if columns.is_empty() {
        return Err(format!("{name} without a column definition list"));
    }
    columns.iter().map(column).collect()
}

fn unnest(array: Expr) -> Expr {
    call("unnest", vec![array])
}

fn as_type(expr: Expr, data_type: Option<DataType>) -> Expr {
    match data_type {
        None => expr,
        Some(data_type) => cast(expr, data_type),
    }
}
