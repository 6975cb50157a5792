//! Functions, aggregates and window functions as Postgres means them.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue, internal_datafusion_err};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{
    AggregateFunction, AggregateFunctionParams, InList, ScalarFunction, WindowFunction,
};
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, WindowFunctionDefinition, lit};

use super::super::sums::{Number, numeric_if, summable};
use super::super::udf::call;
use super::super::{
    aggregates, decimals, deviations, fiscal, greatest, int4, jsonb, numeric, percentile, quoted,
    registry, rows, text, time,
};
use super::casts::cast_unless;
use super::operators::{self, all_of, is_float};
use crate::sql::types::PgType;

/// Functions that count by an integer, of which DataFusion knows `int8` only: beside another one it
/// would take its text for one of another type.
const COUNTING: [&str; 9] =
    ["left", "right", "lpad", "rpad", "repeat", "substr", "split_part", "round", "trunc"];

/// Constants stay such: the type of a rounded number goes by them.
fn as_int8(count: &Expr) -> Expr {
    match written(count).and_then(|value| value.cast_to(&DataType::Int64).ok()) {
        Some(value) => lit(value),
        None => Expr::Cast(Cast::new(Box::new(count.clone()), DataType::Int64)),
    }
}

/// The calls of [`COUNTING`] functions with integers of 8 bytes.
fn counted(mut function: ScalarFunction, schema: &DFSchema) -> Result<Transformed<ScalarFunction>> {
    let mut changed = false;
    if COUNTING.contains(&function.func.name()) {
        for arg in function.args.iter_mut().skip(1) {
            if matches!(arg.get_type(schema)?, DataType::Int16 | DataType::Int32) {
                *arg = as_int8(arg);
                changed = true;
            }
        }
    }
    Ok(Transformed::new_transformed(function, changed))
}

pub(super) fn scalar(function: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let counted = counted(function, schema)?;
    let changed = counted.transformed;
    let scalar = of_type(counted.data, schema)?;
    Ok(Transformed::new_transformed(scalar.data, changed || scalar.transformed))
}

fn of_type(function: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match (function.func.name(), function.args.as_slice()) {
        // concat writes truth as t and f, unlike a cast.
        ("concat" | "concat_ws", _) => {
            let mut changed = false;
            let mut args = Vec::with_capacity(function.args.len());
            for arg in function.args {
                let data_type = arg.get_type(schema)?;
                let arg = match data_type {
                    DataType::Boolean => Some(letter_of(arg.clone())),
                    ref float if is_float(float) => {
                        Some(call(text::float_text(), vec![arg.clone()]))
                    }
                    DataType::Timestamp(_, _) => {
                        Some(call(time::timestamp_text(), vec![arg.clone()]))
                    }
                    DataType::Interval(_) | DataType::Time64(_) | DataType::Binary => {
                        Some(call(rows::named("output_text")?, vec![arg.clone()]))
                    }
                    _ => None,
                }
                .map_or(arg, |written| {
                    changed = true;
                    written
                });
                args.push(arg);
            }
            let expr = Expr::ScalarFunction(ScalarFunction { func: function.func, args });
            Ok(Transformed::new_transformed(expr, changed))
        }
        // What is in quotes is bytes here.
        ("encode", [bytes, _]) if let Some(literal) = quoted(bytes) => {
            let bytes = Expr::Literal(text::read(&PgType::Bytea, literal)?, None);
            let [_, format] = all_of(function.args)?;
            Ok(Transformed::yes(call(&function.func, vec![bytes, format])))
        }
        ("fiscal_trunc" | "fiscal_part", [_, _, moment]) => {
            fiscal::of_wall_clock(&moment.get_type(schema)?)?;
            Ok(Transformed::no(Expr::ScalarFunction(function)))
        }
        // DataFusion's planner makes this of EXTRACT; the name alone means Postgres's date_part.
        ("date_part", [_, moment]) if !is_ours(&function.func) => match moment.get_type(schema)? {
            DataType::Date32
            | DataType::Timestamp(_, _)
            | DataType::Interval(_)
            | DataType::Time64(_) => Ok(Transformed::yes(call(time::extract(), function.args))),
            _ => Ok(Transformed::no(Expr::ScalarFunction(function))),
        },
        // So that it is pushed as AT TIME ZONE is.
        ("timezone", [zone, moment]) if quoted(zone).is_some() => {
            let function = match moment.get_type(schema)? {
                DataType::Timestamp(_, Some(_)) => time::wall_clock(),
                _ => time::instant_at(),
            };
            Ok(Transformed::yes(call(function, vec![moment.clone(), zone.clone()])))
        }
        ("coalesce" | "greatest" | "least" | "nullif", _) => {
            let read = operators::literals_alike(function.args, schema)?;
            let moments = operators::moments_alike(read.data, schema)?;
            let args = decimals::alike(moments.data, schema)?;
            let Transformed { data: args, transformed, .. } = args;
            let transformed = transformed || read.transformed || moments.transformed;
            if let Some(ordered) = array_extreme(function.func.name(), &args, schema)? {
                return Ok(Transformed::yes(ordered));
            }
            let expr = Expr::ScalarFunction(ScalarFunction { func: function.func, args });
            Ok(Transformed::new_transformed(expr, transformed))
        }
        ("array_has", [array, _]) if let Some(list) = constant_list(array) => {
            let [_, item] = all_of(function.args)?;
            in_constant_list(item, &list, schema)
        }
        ("array_has", [array, item]) => {
            let types = (array.get_type(schema)?, item.get_type(schema)?);
            Ok(match decimal_among(&types) {
                Some(number) => {
                    let [array, item] = all_of(function.args)?;
                    let list = DataType::new_list(number.clone(), true);
                    let array = cast_unless(array, &types.0, &list);
                    let args = vec![array, cast_unless(item, &types.1, &number)];
                    Transformed::yes(call(&function.func, args))
                }
                None => Transformed::no(Expr::ScalarFunction(function)),
            })
        }
        // From the first item on: DataFusion counts what is below from the end.
        ("array_element", [array, index]) => {
            let Some(index) = within(index)? else {
                return Ok(Transformed::no(Expr::ScalarFunction(function)));
            };
            Ok(Transformed::yes(call(&function.func, vec![array.clone(), index])))
        }
        ("value_type", [value]) => Ok(Transformed::yes(lit(type_name(value, schema)?))),
        ("degrees", [number]) => {
            let number = cast_unless(number.clone(), &number.get_type(schema)?, &DataType::Float64);
            Ok(Transformed::yes(call(numeric::float_div(), vec![number, lit(RADIANS_IN_DEGREE)])))
        }
        ("radians", [number]) => {
            let number = cast_unless(number.clone(), &number.get_type(schema)?, &DataType::Float64);
            Ok(Transformed::yes(number * lit(RADIANS_IN_DEGREE)))
        }
        ("log", [_]) => Ok(Transformed::yes(call(rows::named("log10")?, function.args))),
        _ => row_function(function, schema),
    }
}

/// How `pg_typeof` calls the type of a value.
fn type_name(value: &Expr, schema: &DFSchema) -> Result<String> {
    if quoted(value).is_some() {
        return Ok("unknown".to_owned());
    }
    match jsonb::told(value, schema) {
        Some(PgType::Json) => return Ok("json".to_owned()),
        Some(PgType::Jsonb) => return Ok("jsonb".to_owned()),
        Some(PgType::Uuid) => return Ok("uuid".to_owned()),
        Some(PgType::Varchar) => return Ok("character varying".to_owned()),
        _ => {}
    }
    let data_type = match int4::narrowed(value, schema)? {
        Some(narrow) => narrow.get_type(schema)?,
        None => value.get_type(schema)?,
    };
    Ok(rows::type_name(&data_type))
}

/// `greatest` and `least` of arrays, in whose order NULL items come last; DataFusion has them first.
fn array_extreme(name: &str, args: &[Expr], schema: &DFSchema) -> Result<Option<Expr>> {
    let function = match name {
        "greatest" => "array_greatest",
        "least" => "array_least",
        _ => return Ok(None),
    };
    let types = args.iter().map(|arg| arg.get_type(schema)).collect::<Result<Vec<_>>>()?;
    let is_array = types.iter().all(|kind| matches!(kind, DataType::List(_)) && *kind == types[0]);
    Ok(match is_array {
        true => Some(call(named(function)?, args.to_vec())),
        false => None,
    })
}

/// Postgres multiplies by it and divides by it.
const RADIANS_IN_DEGREE: f64 = 0.017_453_292_519_943_295;

/// A subscript that is 0, of which there is no item, where it is below; None where it can't be, or is
/// such already.
fn within(index: &Expr) -> Result<Option<Expr>> {
    let least = lit(0_i64);
    Ok(match index {
        Expr::Literal(value, _) => match value.cast_to(&DataType::Int64)? {
            ScalarValue::Int64(Some(..=-1)) => Some(least),
            _ => None,
        },
        Expr::ScalarFunction(call) if call.func.name() == "greatest" => {
            match call.args.as_slice() {
                [_, second] if *second == least => None,
                _ => Some(at_least(index, least)?),
            }
        }
        index => Some(at_least(index, least)?),
    })
}

fn at_least(number: &Expr, least: Expr) -> Result<Expr> {
    Ok(call(named("greatest")?, vec![number.clone(), least]))
}

/// The decimal that an item and those of an array are both, where one of them isn't yet.
fn decimal_among((array, item): &(DataType, DataType)) -> Option<DataType> {
    let DataType::List(items) = array else { return None };
    let scale = |data_type: &DataType| match data_type {
        DataType::Decimal128(_, scale) => Some(*scale),
        whole if whole.is_integer() => Some(0),
        _ => None,
    };
    if !items.data_type().is_decimal() && !item.is_decimal() {
        return None;
    }
    let both = DataType::Decimal128(38, scale(items.data_type())?.max(scale(item)?));
    let is_done = *array == DataType::new_list(both.clone(), true) && *item == both;
    (!is_done).then_some(both)
}

/// A value that is written or bound, perhaps cast.
fn written(expr: &Expr) -> Option<ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value.clone()),
        Expr::Cast(cast) => written(&cast.expr)?.cast_to(cast.field.data_type()).ok(),
        _ => None,
    }
}

fn constant_list(array: &Expr) -> Option<ScalarValue> {
    written(array).filter(|value| matches!(value, ScalarValue::List(_)))
}

/// `item = ANY (array)` as `item IN (…)`, which knows of NULLs among the items.
fn in_constant_list(
    item: Expr,
    list: &ScalarValue,
    schema: &DFSchema,
) -> Result<Transformed<Expr>> {
    if list.is_null() {
        return Ok(Transformed::yes(lit(ScalarValue::Boolean(None))));
    }
    let rows = ScalarValue::convert_array_to_scalar_vec(&*list.to_array()?)?;
    let items = rows.into_iter().flatten().flatten().map(|item| Expr::Literal(item, None));
    let items: Vec<Expr> = items.collect();
    if items.is_empty() {
        return Ok(Transformed::yes(lit(false)));
    }
    let within = operators::items(InList::new(Box::new(item), items, false), schema)?;
    Ok(Transformed::yes(within.data))
}

/// Functions of an array and of items that it may have.
const OF_ITEMS: [&str; 4] = ["array_position", "array_positions", "array_remove", "array_replace"];

/// Quoted literals among items in the type of the array's.
fn with_items(mut function: ScalarFunction, types: &[DataType]) -> Result<ScalarFunction> {
    let Some(DataType::List(item)) = types.first() else { return Ok(function) };
    if !OF_ITEMS.contains(&function.func.name()) || item.data_type().is_string() {
        return Ok(function);
    }
    for arg in function.args.iter_mut().skip(1) {
        if let Some(literal) = quoted(arg) {
            *arg = Expr::Literal(text::read(&PgType::of(item), literal)?, None);
        }
    }
    Ok(function)
}

/// The arguments of a row function in the types that it takes.
fn row_function(function: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let types = function.args.iter().map(|arg| arg.get_type(schema)).collect::<Result<Vec<_>>>()?;
    let function = with_items(function, &types)?;
    let types = function.args.iter().map(|arg| arg.get_type(schema)).collect::<Result<Vec<_>>>()?;
    let literal: Vec<bool> = function.args.iter().map(|arg| quoted(arg).is_some()).collect();
    let Some(resolved) = rows::resolve(function.func.name(), &types, &literal)? else {
        return Ok(Transformed::no(Expr::ScalarFunction(function)));
    };
    let mut changed = false;
    let mut args = Vec::with_capacity(function.args.len());
    for ((arg, from), to) in function.args.into_iter().zip(&types).zip(&resolved.targets) {
        if from == to {
            args.push(arg);
            continue;
        }
        changed = true;
        args.push(match quoted(&arg) {
            Some(literal) => Expr::Literal(text::read(&PgType::of_arrow(to), literal)?, None),
            None => Expr::Cast(Cast::new(Box::new(arg), to.clone())),
        });
    }
    // DataFusion's planner may have meant its own function of that name.
    let func = Arc::clone(rows::named(function.func.name())?);
    changed |= func != function.func;
    Ok(Transformed::new_transformed(Expr::ScalarFunction(ScalarFunction { func, args }), changed))
}

fn is_ours(function: &Arc<datafusion::logical_expr::ScalarUDF>) -> bool {
    function == time::date_part()
}

fn letter_of(truth: Expr) -> Expr {
    let case = datafusion::logical_expr::Case::new(
        None,
        vec![
            (Box::new(truth.clone()), Box::new(lit("t"))),
            (Box::new(Expr::Not(Box::new(truth))), Box::new(lit("f"))),
        ],
        None,
    );
    Expr::Case(case)
}

/// An aggregate as Postgres means it, perhaps an expression over others.
pub(super) fn aggregate(
    mut function: AggregateFunction,
    schema: &DFSchema,
) -> Result<Transformed<Expr>> {
    let keys = operators::distinct_keys(function.params.order_by);
    function.params.order_by = keys.data;
    let aggregate = aggregate_of_type(function, schema)?;
    Ok(Transformed::new_transformed(aggregate.data, keys.transformed || aggregate.transformed))
}

fn aggregate_of_type(function: AggregateFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let [arg, ..] = function.params.args.as_slice() else {
        return Ok(Transformed::no(Expr::AggregateFunction(function)));
    };
    let arg_type = arg.get_type(schema)?;
    let over = |name: &str, arg: Expr| -> Result<Expr> {
        let params = AggregateFunctionParams { args: vec![arg], ..function.params.clone() };
        Ok(Expr::AggregateFunction(AggregateFunction { func: aggregate_named(name)?, params }))
    };
    let number = Number { arg, data_type: &arg_type, is_distinct: function.params.distinct };
    if let Some(exact) = number.exact(function.func.name(), schema, over)? {
        return Ok(Transformed::yes(exact));
    }
    let rewritten = match (function.func.name(), &arg_type) {
        ("metric_avg", integer) if integer.is_integer() => call(
            numeric::float_mean(),
            vec![over("sum", summable(arg.clone(), integer))?, over("count", arg.clone())?],
        ),
        ("metric_avg", _) => {
            let avg = AggregateFunction { func: aggregate_named("avg")?, ..function };
            return Ok(Transformed::yes(aggregate_of_type(avg, schema)?.data));
        }
        ("max", number) if is_float(number) && function.func != greatest::float_max() => {
            let func = greatest::float_max();
            Expr::AggregateFunction(AggregateFunction { func, ..function })
        }
        ("avg", _) if function.func != aggregates::float_avg() => {
            let func = aggregates::float_avg();
            Expr::AggregateFunction(AggregateFunction { func, ..function })
        }
        (name, number) if let Some(func) = aggregates::float_deviation(&function.func) => {
            let is_exact = deviations::of(name, number).is_some();
            let deviation = Expr::AggregateFunction(AggregateFunction { func, ..function });
            // Of distinct values the sums of squares aren't known.
            numeric_if(is_exact, deviation)
        }
        ("array_agg", item) if let Some(order) = item_order(&function.params, item) => {
            let params = AggregateFunctionParams { order_by: Vec::new(), ..function.params };
            sorted(Expr::AggregateFunction(AggregateFunction { params, ..function }), order)?
        }
        ("string_agg", _) => match joined(&function)? {
            Some(joined) => joined,
            None => return Ok(Transformed::no(Expr::AggregateFunction(function))),
        },
        (name @ ("json_agg" | "jsonb_agg"), _) => {
            let of_json = is_json(arg, schema);
            let list = match (name, of_json) {
                ("json_agg", false) => "json_list",
                ("json_agg", true) => "json_list_of_json",
                (_, false) => "jsonb_list",
                (_, true) => "jsonb_list_of_json",
            };
            let items = over("array_agg", arg.clone())?;
            let items = match item_order(&function.params, &arg_type) {
                Some(order) if function.params.order_by.is_empty() => sorted(items, order)?,
                _ => items,
            };
            call(rows::named(list)?, vec![items])
        }
        (name @ ("json_object_agg" | "jsonb_object_agg"), _) => {
            let Some(value) = function.params.args.get(1).cloned() else {
                return Ok(Transformed::no(Expr::AggregateFunction(function)));
            };
            let lists = match (name, is_json(&value, schema)) {
                ("json_object_agg", false) => "json_lists",
                ("json_object_agg", true) => "json_lists_of_json",
                (_, false) => "jsonb_lists",
                (_, true) => "jsonb_lists_of_json",
            };
            let args = vec![over("array_agg", arg.clone())?, over("array_agg", value)?];
            call(rows::named(lists)?, args)
        }
        ("percentile_cont" | "percentile_disc", _)
            if let Some(shares) = function.params.args.get(1).and_then(percentile::shares_of) =>
        {
            percentile::of_shares(&function, shares)?
        }
        ("median", number) if number.is_numeric() => {
            let mut params = function.params.clone();
            params.args.push(lit(0.5));
            let func = Arc::clone(percentile::percentile_cont());
            Expr::AggregateFunction(AggregateFunction { func, params })
        }
        ("approx_distinct", _) => {
            let count = Box::new(Expr::AggregateFunction(function));
            Expr::Cast(Cast::new(count, DataType::Int64))
        }
        _ => return Ok(Transformed::no(Expr::AggregateFunction(function))),
    };
    Ok(Transformed::yes(rewritten))
}

/// How an aggregated array of distinct items is sorted, as `array_sort` says it: Postgres finds them by
/// sorting, and knows no other order of them. None of others.
fn item_order(params: &AggregateFunctionParams, item: &DataType) -> Option<[Expr; 2]> {
    let (ascends, nulls_first) = match params.order_by.as_slice() {
        [] => (true, false),
        [key] if params.args.first() == Some(&key.expr) => (key.asc, key.nulls_first),
        _ => return None,
    };
    let direction = lit(if ascends { "ASC" } else { "DESC" });
    let nulls = lit(if nulls_first { "NULLS FIRST" } else { "NULLS LAST" });
    (params.distinct && !item.is_nested()).then_some([direction, nulls])
}

fn sorted(array: Expr, order: [Expr; 2]) -> Result<Expr> {
    let args = [array].into_iter().chain(order);
    Ok(call(named("array_sort")?, args.collect()))
}

/// `string_agg` of ordered or distinct texts, as their array: DataFusion (55.2) gives no two of them
/// different orders. None of others, and of a delimiter that isn't a constant.
fn joined(function: &AggregateFunction) -> Result<Option<Expr>> {
    let params = &function.params;
    let [text, delimiter] = params.args.as_slice() else { return Ok(None) };
    if quoted(delimiter).is_none() || !params.distinct && params.order_by.is_empty() {
        return Ok(None);
    }
    let is_text = text.clone().is_not_null();
    let filter = match &params.filter {
        Some(filter) => filter.as_ref().clone().and(is_text),
        None => is_text,
    };
    let of_texts = AggregateFunctionParams {
        args: vec![text.clone()],
        filter: Some(Box::new(filter)),
        ..params.clone()
    };
    let func = aggregate_named("array_agg")?;
    let array = match item_order(params, &DataType::Utf8) {
        Some(order) => {
            let params = AggregateFunctionParams { order_by: Vec::new(), ..of_texts };
            sorted(Expr::AggregateFunction(AggregateFunction { func, params }), order)?
        }
        None => Expr::AggregateFunction(AggregateFunction { func, params: of_texts }),
    };
    Ok(Some(call(named("array_to_string")?, vec![array, delimiter.clone()])))
}

/// A function of the registry.
fn named(name: &str) -> Result<&'static Arc<datafusion::logical_expr::ScalarUDF>> {
    let function = registry().scalar.get(name);
    function.ok_or_else(|| internal_datafusion_err!("no function {name}"))
}

/// Whether a text is known to be JSON.
fn is_json(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(jsonb::told(expr, schema), Some(PgType::Json | PgType::Jsonb))
}

pub(in crate::functions) fn aggregate_named(
    name: &str,
) -> Result<Arc<datafusion::logical_expr::AggregateUDF>> {
    registry()
        .aggregate
        .get(name)
        .map(Arc::clone)
        .ok_or_else(|| datafusion::error::DataFusionError::Internal(format!("no aggregate {name}")))
}

/// A window function as Postgres means it, perhaps an expression over others.
pub(super) fn window(mut function: WindowFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let keys = operators::sort_keys(function.params.order_by, schema)?;
    function.params.order_by = keys.data;
    let window = window_of_type(function, schema)?;
    Ok(Transformed::new_transformed(window.data, keys.transformed || window.transformed))
}

fn window_of_type(function: WindowFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let WindowFunctionDefinition::AggregateUDF(aggregate) = &function.fun else {
        return ranking(function);
    };
    let Some(arg) = function.params.args.first() else {
        return Ok(Transformed::no(Expr::WindowFunction(Box::new(function))));
    };
    let arg_type = arg.get_type(schema)?;
    let over = |name: &str, arg: Expr| -> Result<Expr> {
        let mut window = function.clone();
        window.fun = WindowFunctionDefinition::AggregateUDF(aggregate_named(name)?);
        window.params.args = vec![arg];
        Ok(Expr::WindowFunction(Box::new(window)))
    };
    let number = Number { arg, data_type: &arg_type, is_distinct: function.params.distinct };
    if let Some(exact) = number.exact(aggregate.name(), schema, over)? {
        return Ok(Transformed::yes(exact));
    }
    let rewritten = match (aggregate.name(), &arg_type) {
        (name, number) if let Some(func) = aggregates::float_deviation(aggregate) => {
            let is_exact = deviations::of(name, number).is_some();
            let mut window = function.clone();
            window.fun = WindowFunctionDefinition::AggregateUDF(func);
            numeric_if(is_exact, Expr::WindowFunction(Box::new(window)))
        }
        ("avg", _) if *aggregate != aggregates::float_avg() => {
            let mut window = function.clone();
            window.fun = WindowFunctionDefinition::AggregateUDF(aggregates::float_avg());
            Expr::WindowFunction(Box::new(window))
        }
        _ => return Ok(Transformed::no(Expr::WindowFunction(Box::new(function)))),
    };
    Ok(Transformed::yes(rewritten))
}

/// Ranks are int8.
fn ranking(function: WindowFunction) -> Result<Transformed<Expr>> {
    let unsigned = matches!(function.fun.name(), "row_number" | "rank" | "dense_rank" | "ntile");
    let rank = Expr::WindowFunction(Box::new(function));
    if unsigned {
        Ok(Transformed::yes(Expr::Cast(Cast::new(Box::new(rank), DataType::Int64))))
    } else {
        Ok(Transformed::no(rank))
    }
}
