//! Where DataFusion's functions and operators differ from Postgres's, replaced in a plan.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::{
    AggregateFunction, AggregateFunctionParams, InList, ScalarFunction, WindowFunction,
};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Aggregate, Between, BinaryExpr, Cast, Expr, ExprSchemable, Like, LogicalPlan, Operator,
    Projection, Window, WindowFunctionDefinition, lit,
};

use super::sums::{Number, numeric_if, summable};
use super::udf::call;
use super::{
    aggregates, decimals, deviations, fiscal, floats, greatest, is_comparison, jsonb, numeric,
    percentile, quoted, regex, registry, rows, text, time, types,
};
use crate::sql::types::PgType;

/// Gives every expression of a plan Postgres's meaning. Runs before type coercion, and does nothing
/// to a plan that it has been applied to.
///
/// # Errors
/// Texts that are no values of the types that they are compared with or cast to.
pub fn apply(plan: LogicalPlan) -> Result<LogicalPlan> {
    // Types may change below a node that stays as it is, so its schema is computed anew as well.
    let mut changed = false;
    let plan = plan.transform_up_with_subqueries(|plan| {
        let rewritten = node(plan)?;
        changed |= rewritten.transformed;
        if !changed {
            return Ok(rewritten);
        }
        let plan = rewritten.data.recompute_schema()?;
        Ok(Transformed::yes(plan))
    })?;
    Ok(plan.data)
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let inputs = plan.inputs();
    let schema = match inputs.as_slice() {
        [input] => Arc::clone(input.schema()),
        _ => Arc::new(merge_schema(&inputs)),
    };
    let preserver = NamePreserver::new(&plan);
    let plan = plan.map_expressions(|expr| {
        if is_split_off(&expr) {
            return Ok(Transformed::no(expr));
        }
        let name = preserver.save(&expr);
        Ok(expression(expr, &schema)?.update_data(|expr| name.restore(expr)))
    })?;
    if let LogicalPlan::Sort(sort) = &plan.data {
        jsonb::check_order(sort)?;
    }
    if !plan.transformed {
        return Ok(plan);
    }
    Ok(Transformed::yes(match plan.data {
        LogicalPlan::Aggregate(aggregate) => split_aggregate(aggregate)?,
        LogicalPlan::Window(window) => split_window(window)?,
        other => other,
    }))
}

/// One expression over the columns of `schema`.
fn expression(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    expr.transform_up(|expr| match expr {
        Expr::BinaryExpr(binary) => binary_operator(binary, schema),
        Expr::Cast(cast) => explicit_cast(cast, schema),
        Expr::Between(between) => bounds(between, schema),
        Expr::InList(list) => items(list, schema),
        Expr::ScalarFunction(function) => scalar(function, schema),
        Expr::AggregateFunction(function) => aggregate(function, schema),
        Expr::WindowFunction(function) => window(*function, schema),
        Expr::Negative(inner) => negative(*inner, schema),
        Expr::Like(like) => standard_escape(like),
        Expr::SimilarTo(like) => similar(like),
        Expr::Case(case) => decimals::results_alike(case, schema),
        other => Ok(Transformed::no(other)),
    })
}

// ---- operators

fn binary_operator(binary: BinaryExpr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let BinaryExpr { left, op, right } = binary;
    match op {
        op if is_comparison(op) => {
            if let Some(sides) = jsonb::both(&left, &right, schema)? {
                return Ok(Transformed::yes(jsonb::compared(sides, op)?));
            }
            let right = literal_as(*right, &left, schema)?;
            let left = literal_as(*left, &right.data, schema)?;
            let changed = left.transformed || right.transformed;
            let sides = floats::alike(vec![left.data, right.data], schema)?;
            let changed = changed || sides.transformed;
            let [left, right] = all_of(sides.data)?;
            let types = (left.get_type(schema)?, right.get_type(schema)?);
            let as_moment = |expr, own: &DataType, other: &DataType| match moment_beside(own, other)
            {
                Some(to) => Transformed::yes(cast_unless(expr, own, &to)),
                None => Transformed::no(expr),
            };
            if is_interval(&types.0) && is_interval(&types.1) {
                let order = |expr| Ok(call(rows::named("interval_order")?, vec![expr]));
                let (left, right): (Result<Expr>, Result<Expr>) = (order(left), order(right));
                let expr = BinaryExpr::new(Box::new(left?), op, Box::new(right?));
                return Ok(Transformed::yes(Expr::BinaryExpr(expr)));
            }
            let left = as_moment(left, &types.0, &types.1);
            let right = as_moment(right, &types.1, &types.0);
            let changed = changed || left.transformed || right.transformed;
            let expr = BinaryExpr::new(Box::new(left.data), op, Box::new(right.data));
            Ok(Transformed::new_transformed(Expr::BinaryExpr(expr), changed))
        }
        Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide => {
            arithmetic(*left, op, *right, schema)
        }
        Operator::RegexMatch
        | Operator::RegexIMatch
        | Operator::RegexNotMatch
        | Operator::RegexNotIMatch => matches_pattern(*left, op, *right),
        Operator::StringConcat => texts_joined(*left, *right, schema),
        _ => Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))),
    }
}

fn arithmetic(
    left: Expr,
    op: Operator,
    right: Expr,
    schema: &DFSchema,
) -> Result<Transformed<Expr>> {
    let left = literal_operand(left, &right, schema)?;
    let right = literal_operand(right, &left, schema)?;
    let (a, b) = (left.get_type(schema)?, right.get_type(schema)?);
    if let Some(interval) = with_interval(&left, &a, op, &right, &b)? {
        return Ok(Transformed::yes(interval));
    }
    let integers = a.is_integer() && b.is_integer();
    let function = match op {
        Operator::Plus if integers => Some(numeric::checked_add()),
        Operator::Minus if integers => Some(numeric::checked_sub()),
        Operator::Multiply if integers => Some(numeric::checked_mul()),
        Operator::Divide if is_float(&a) && b.is_numeric() || a.is_numeric() && is_float(&b) => {
            Some(numeric::float_div())
        }
        Operator::Divide if is_exact(&a) && is_exact(&b) && !integers => {
            Some(numeric::numeric_div())
        }
        _ => None,
    };
    if let Some(function) = function {
        return Ok(Transformed::yes(call(function, vec![left, right])));
    }
    // DataFusion would take an integer beside a date for seconds.
    let days = match (&a, op, &b) {
        (DataType::Date32, Operator::Plus, b) if b.is_integer() => Some(time::add_days()),
        (DataType::Date32, Operator::Minus, b) if b.is_integer() => Some(time::subtract_days()),
        (a, Operator::Plus, DataType::Date32) if a.is_integer() => {
            return Ok(Transformed::yes(call(time::add_days(), vec![right, left])));
        }
        _ => None,
    };
    if let Some(function) = days {
        return Ok(Transformed::yes(call(function, vec![left, right])));
    }
    // A date and an interval make a timestamp.
    let to_timestamp = |expr: Expr| Expr::Cast(Cast::new(Box::new(expr), time::TIMESTAMP));
    let (left, right, changed) = match (&a, op, &b) {
        (DataType::Date32, Operator::Plus | Operator::Minus, DataType::Interval(_)) => {
            (to_timestamp(left), right, true)
        }
        (DataType::Interval(_), Operator::Plus, DataType::Date32) => {
            (left, to_timestamp(right), true)
        }
        _ => (left, right, false),
    };
    let expr = Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)));
    Ok(Transformed::new_transformed(expr, changed))
}

/// The type in which a date or timestamp is compared with another: microseconds, where DataFusion
/// would take nanoseconds, which end in 1677 and 2262.
fn moment_beside(own: &DataType, other: &DataType) -> Option<DataType> {
    match (own, other) {
        (DataType::Date32, DataType::Timestamp(_, None)) => Some(time::TIMESTAMP),
        (DataType::Date32, DataType::Timestamp(_, Some(_))) => Some(time::timestamptz()),
        (DataType::Timestamp(TimeUnit::Microsecond, _), _) => None,
        (DataType::Timestamp(_, None), DataType::Date32 | DataType::Timestamp(_, _)) => {
            Some(time::TIMESTAMP)
        }
        (DataType::Timestamp(_, Some(_)), DataType::Date32 | DataType::Timestamp(_, _)) => {
            Some(time::timestamptz())
        }
        _ => None,
    }
}

/// The negative of the least integer is out of range.
fn negative(inner: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let data_type = inner.get_type(schema)?;
    if is_interval(&data_type) {
        return Ok(Transformed::yes(call(rows::named("interval_negative")?, vec![inner])));
    }
    // The opposite of NaN would be less than all numbers, by its sign.
    if is_float(&data_type) && inner.as_literal().is_none() {
        let minus_one = match data_type {
            DataType::Float32 => lit(-1.0_f32),
            _ => lit(-1.0_f64),
        };
        let product = BinaryExpr::new(Box::new(inner), Operator::Multiply, Box::new(minus_one));
        return Ok(Transformed::yes(Expr::BinaryExpr(product)));
    }
    if inner.as_literal().is_some() || !data_type.is_signed_integer() {
        return Ok(Transformed::no(Expr::Negative(Box::new(inner))));
    }
    let zero = Expr::Literal(ScalarValue::new_zero(&data_type)?, None);
    Ok(Transformed::yes(call(numeric::checked_sub(), vec![zero, inner])))
}

fn is_interval(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Interval(_) | DataType::Duration(_))
}

/// A quoted literal beside a number, an interval or a moment, as what it is there; otherwise as it is.
fn literal_operand(expr: Expr, other: &Expr, schema: &DFSchema) -> Result<Expr> {
    let Some(literal) = quoted(&expr).map(str::to_owned) else { return Ok(expr) };
    let data_type = other.get_type(schema)?;
    let is_moment = matches!(data_type, DataType::Timestamp(TimeUnit::Microsecond, _));
    if is_interval(&data_type) {
        return Ok(Expr::Literal(text::read(&PgType::Interval, &literal)?, None));
    }
    if data_type.is_signed_integer() || is_float(&data_type) || is_moment {
        return Ok(Expr::Literal(text::read(&PgType::of_arrow(&data_type), &literal)?, None));
    }
    Ok(expr)
}

/// Sums with intervals that DataFusion doesn't do, or does otherwise: the difference of two moments
/// has days, and an interval is multiplied by any number.
fn with_interval(
    left: &Expr,
    a: &DataType,
    op: Operator,
    right: &Expr,
    b: &DataType,
) -> Result<Option<Expr>> {
    let function = |name: &str, args: [&Expr; 2]| -> Result<Option<Expr>> {
        Ok(Some(call(rows::named(name)?, args.map(Expr::clone).to_vec())))
    };
    let (left_is, right_is) = (is_interval(a), is_interval(b));
    match op {
        Operator::Multiply if left_is && b.is_numeric() => {
            function("interval_times", [left, &as_float(right, b)])
        }
        Operator::Multiply if right_is && a.is_numeric() => {
            function("interval_times", [right, &as_float(left, a)])
        }
        Operator::Divide if left_is && b.is_numeric() => {
            function("interval_divided", [left, &as_float(right, b)])
        }
        Operator::Minus => match (moment_of(a), moment_of(b)) {
            (Some(one), Some(other)) if (one, other) != (Moment::Date, Moment::Date) => {
                let to = match one.max(other) {
                    Moment::Instant => time::timestamptz(),
                    _ => time::TIMESTAMP,
                };
                let (left, right) =
                    (cast_unless(left.clone(), a, &to), cast_unless(right.clone(), b, &to));
                function("timestamp_difference", [&left, &right])
            }
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

fn as_float(number: &Expr, data_type: &DataType) -> Expr {
    cast_unless(number.clone(), data_type, &DataType::Float64)
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    Date,
    Timestamp,
    Instant,
}

fn moment_of(data_type: &DataType) -> Option<Moment> {
    Some(match data_type {
        DataType::Date32 => Moment::Date,
        DataType::Timestamp(_, None) => Moment::Timestamp,
        DataType::Timestamp(_, Some(_)) => Moment::Instant,
        _ => return None,
    })
}

/// `~` and its like, of Postgres's regular expressions.
fn matches_pattern(left: Expr, op: Operator, right: Expr) -> Result<Transformed<Expr>> {
    let mut args = vec![left, right];
    if matches!(op, Operator::RegexIMatch | Operator::RegexNotIMatch) {
        args.push(lit("i"));
    }
    let found = call(rows::named("regexp_like")?, args);
    Ok(Transformed::yes(match op {
        Operator::RegexNotMatch | Operator::RegexNotIMatch => Expr::Not(Box::new(found)),
        _ => found,
    }))
}

/// `SIMILAR TO`: a regular expression over all of the text.
fn similar(like: Like) -> Result<Transformed<Expr>> {
    let found = match quoted(&like.pattern) {
        Some(pattern) => {
            let pattern = regex::similar_pattern(pattern, like.escape_char.or(Some('\\')))?;
            call(rows::named("regexp_like")?, vec![*like.expr, lit(pattern)])
        }
        None => call(rows::named("similar_to")?, vec![*like.expr, *like.pattern]),
    };
    Ok(Transformed::yes(if like.negated { Expr::Not(Box::new(found)) } else { found }))
}

/// `||` of a text and something else: that is written as a cast writes it.
fn texts_joined(left: Expr, right: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    if let Some(sides) = jsonb::both(&left, &right, schema)? {
        return Ok(Transformed::yes(call(rows::named("jsonb_concat")?, sides.to_vec())));
    }
    let types = (left.get_type(schema)?, right.get_type(schema)?);
    let is_plain = |data_type: &DataType| {
        data_type.is_null()
            || data_type.is_integer()
            || matches!(data_type, DataType::Utf8 | DataType::List(_) | DataType::Decimal128(_, _))
    };
    let text = |expr: Expr, data_type: &DataType| -> Result<Transformed<Expr>> {
        if is_plain(data_type) {
            return Ok(Transformed::no(expr));
        }
        let cast = explicit_cast(Cast::new(Box::new(expr), DataType::Utf8), schema)?;
        Ok(Transformed::yes(cast.data))
    };
    let (left, right) = (text(left, &types.0)?, text(right, &types.1)?);
    let changed = left.transformed || right.transformed;
    let joined = BinaryExpr::new(Box::new(left.data), Operator::StringConcat, Box::new(right.data));
    Ok(Transformed::new_transformed(Expr::BinaryExpr(joined), changed))
}

/// A constant pattern with another escape character, with the backslash.
fn standard_escape(like: Like) -> Result<Transformed<Expr>> {
    let (Some(escape), Some(pattern)) = (like.escape_char, quoted(&like.pattern)) else {
        return Ok(Transformed::no(Expr::Like(like)));
    };
    if escape == '\\' {
        return Ok(Transformed::no(Expr::Like(like)));
    }
    let mut standard = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            character if character == escape => {
                standard.push('\\');
                standard.extend(characters.next());
            }
            '\\' => standard.push_str("\\\\"),
            other => standard.push(other),
        }
    }
    let pattern = Box::new(lit(standard));
    Ok(Transformed::yes(Expr::Like(Like { pattern, escape_char: None, ..like })))
}

fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float16 | DataType::Float32 | DataType::Float64)
}

fn is_exact(data_type: &DataType) -> bool {
    data_type.is_integer() || matches!(data_type, DataType::Decimal128(_, _))
}

/// A quoted literal has no type of its own: beside a number or a date it is one.
fn literal_as(expr: Expr, other: &Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Some(literal) = quoted(&expr).map(str::to_owned) else {
        return Ok(Transformed::no(expr));
    };
    let data_type = other.get_type(schema)?;
    let pg_type = match &data_type {
        // Any number of digits may be compared with.
        DataType::Decimal128(_, _) | DataType::Decimal256(_, _) => PgType::Numeric(None),
        DataType::Boolean | DataType::Date32 | DataType::Timestamp(TimeUnit::Microsecond, _) => {
            PgType::of_arrow(&data_type)
        }
        number if number.is_signed_integer() || is_float(number) => PgType::of_arrow(number),
        _ => return Ok(Transformed::no(expr)),
    };
    Ok(Transformed::yes(Expr::Literal(text::read(&pg_type, &literal)?, None)))
}

/// As many expressions as went in.
fn all_of<const COUNT: usize>(exprs: Vec<Expr>) -> Result<[Expr; COUNT]> {
    exprs.try_into().map_err(|_| DataFusionError::Internal("expressions got lost".to_owned()))
}

fn bounds(between: Between, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let low = literal_as(between.low.as_ref().clone(), &between.expr, schema)?;
    let high = literal_as(between.high.as_ref().clone(), &between.expr, schema)?;
    let Between { expr, negated, .. } = between;
    let beside_floats = floats::alike(vec![*expr, low.data, high.data], schema)?;
    let changed = low.transformed || high.transformed || beside_floats.transformed;
    let [expr, low, high] = all_of(beside_floats.data)?;
    let between = Between::new(Box::new(expr), negated, Box::new(low), Box::new(high));
    let expr = Expr::Between(between);
    Ok(Transformed::new_transformed(expr, changed))
}

fn items(list: InList, schema: &DFSchema) -> Result<Transformed<Expr>> {
    if jsonb::told(&list.expr, schema) == Some(PgType::Jsonb) {
        return of_jsonb(list, schema);
    }
    let InList { expr, mut list, negated } = list;
    list.insert(0, *expr);
    let beside_floats = floats::alike(list, schema)?;
    let (mut changed, mut list) = (beside_floats.transformed, beside_floats.data);
    let list = InList { expr: Box::new(list.remove(0)), list, negated };
    if !list.list.iter().any(|item| quoted(item).is_some()) {
        return Ok(Transformed::new_transformed(Expr::InList(list), changed));
    }
    let mut items = Vec::with_capacity(list.list.len());
    for item in list.list {
        let item = literal_as(item, &list.expr, schema)?;
        changed |= item.transformed;
        items.push(item.data);
    }
    let expr = Expr::InList(InList { expr: list.expr, list: items, negated: list.negated });
    Ok(Transformed::new_transformed(expr, changed))
}

/// A list of jsonb, each compared by its meaning.
fn of_jsonb(list: InList, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let equal = |item: &Expr| match jsonb::both(&list.expr, item, schema)? {
        Some(sides) => jsonb::compared(sides, Operator::Eq),
        None => Ok(list.expr.as_ref().clone().eq(item.clone())),
    };
    let all = list.list.iter().map(equal).collect::<Result<Vec<Expr>>>()?;
    let any = all.into_iter().reduce(Expr::or).unwrap_or_else(|| lit(false));
    Ok(Transformed::yes(if list.negated { Expr::Not(Box::new(any)) } else { any }))
}

// ---- casts

fn explicit_cast(cast: Cast, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Cast { expr, field } = cast;
    let from = expr.get_type(schema)?;
    let to = field.data_type().clone();
    if types::is_unconstrained(&field) {
        return to_numeric(*expr, &from);
    }
    if let Some(literal) = quoted(&expr)
        && let DataType::Date32
        | DataType::Timestamp(TimeUnit::Microsecond, _)
        | DataType::Interval(IntervalUnit::MonthDayNano)
        | DataType::Time64(TimeUnit::Microsecond)
        | DataType::Binary = &to
    {
        let value = text::read(&PgType::of_arrow(&to), literal)?;
        return Ok(Transformed::yes(Expr::Literal(value, None)));
    }
    if let Some(length) = types::length_of(&field) {
        let whole = explicit_cast(Cast::new(expr, DataType::Utf8), schema)?.data;
        let cut = call(rows::named("varchar_cut")?, vec![whole, lit(length)]);
        // Blanks are added again only where a value is shown, which canon leaves.
        return Ok(Transformed::yes(match types::is_blank_padded(&field) {
            true => datafusion::functions::expr_fn::rtrim(vec![cut]),
            false => cut,
        }));
    }
    if PgType::of(&field) == PgType::Uuid && from == DataType::Utf8 {
        let is_read = matches!(&*expr, Expr::ScalarFunction(it) if it.func.name() == "uuid_text");
        if is_read {
            return Ok(Transformed::no(Expr::Cast(Cast { expr, field })));
        }
        // The cast is what says that the text is a uuid.
        let expr = Box::new(call(rows::named("uuid_text")?, vec![*expr]));
        return Ok(Transformed::yes(Expr::Cast(Cast { expr, field })));
    }
    if PgType::of(&field) == PgType::Jsonb {
        jsonb::check_cast(&from)?;
        let is_read = matches!(&*expr, Expr::ScalarFunction(it) if it.func.name() == "jsonb_text");
        if is_read || from.is_null() {
            return Ok(Transformed::no(Expr::Cast(Cast { expr, field })));
        }
        let expr = Box::new(call(rows::named("jsonb_text")?, vec![*expr]));
        return Ok(Transformed::yes(Expr::Cast(Cast { expr, field })));
    }
    // A cast to the same type of Arrow's would keep what is told of the text.
    if from == DataType::Utf8
        && to == DataType::Utf8
        && PgType::of(&field) == PgType::Text
        && matches!(jsonb::told(&expr, schema), Some(PgType::Json | PgType::Jsonb))
    {
        return Ok(Transformed::yes(call(rows::named("output_text")?, vec![*expr])));
    }
    let inner = *expr;
    let function = match (&from, &to) {
        (DataType::Float32 | DataType::Float64 | DataType::Decimal128(_, _), to)
            if to.is_integer() =>
        {
            let integer = call(numeric::to_integer(), vec![inner]);
            return Ok(Transformed::yes(cast_unless(integer, &DataType::Int64, to)));
        }
        // The planner writes AT TIME ZONE as a cast to nanoseconds of a zone; no type of canon's is so.
        (from, DataType::Timestamp(TimeUnit::Nanosecond, Some(zone))) => {
            let function = match from {
                DataType::Timestamp(_, Some(_)) => time::wall_clock(),
                _ => time::instant_at(),
            };
            return Ok(Transformed::yes(call(function, vec![inner, lit(zone.as_ref())])));
        }
        (DataType::Float32 | DataType::Float64, DataType::Utf8) => text::float_text(),
        (DataType::Timestamp(_, _), DataType::Utf8) => time::timestamp_text(),
        (DataType::Interval(_) | DataType::Duration(_), DataType::Utf8) => {
            rows::named("interval_text")?
        }
        (DataType::List(_) | DataType::Binary | DataType::Time64(_), DataType::Utf8) => {
            rows::named("output_text")?
        }
        (DataType::Interval(_), DataType::Time64(_)) => rows::named("interval_time")?,
        (DataType::Time64(_), DataType::Interval(_)) => rows::named("time_interval")?,
        (DataType::Utf8, DataType::Date32) => text::text_to_date(),
        (DataType::Utf8, DataType::Timestamp(TimeUnit::Microsecond, None)) => {
            text::text_to_timestamp()
        }
        (DataType::Utf8, DataType::Timestamp(TimeUnit::Microsecond, Some(_))) => {
            text::text_to_timestamptz()
        }
        _ => {
            let cast = Cast { expr: Box::new(inner), field };
            return Ok(Transformed::no(Expr::Cast(cast)));
        }
    };
    Ok(Transformed::yes(call(function, vec![inner])))
}

/// To `numeric` without precision: the digits stay as they are.
fn to_numeric(expr: Expr, from: &DataType) -> Result<Transformed<Expr>> {
    if let Some(literal) = quoted(&expr) {
        let scale = crate::sql::value::written_scale(literal);
        let value = text::read(&PgType::Numeric(Some((38, scale))), literal)?;
        return Ok(Transformed::yes(Expr::Literal(value, None)));
    }
    let to = match numeric::as_decimal(from) {
        Some(to) if *from != DataType::Null => to,
        _ => DataType::Decimal128(38, 10),
    };
    Ok(Transformed::yes(cast_unless(expr, from, &to)))
}

pub(super) fn cast_unless(expr: Expr, from: &DataType, to: &DataType) -> Expr {
    if from == to { expr } else { Expr::Cast(Cast::new(Box::new(expr), to.clone())) }
}

// ---- functions

fn scalar(function: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
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
            let args = decimals::alike(function.args, schema)?;
            let Transformed { data: args, transformed, .. } = args;
            let expr = Expr::ScalarFunction(ScalarFunction { func: function.func, args });
            Ok(Transformed::new_transformed(expr, transformed))
        }
        ("log", [_]) => Ok(Transformed::yes(call(rows::named("log10")?, function.args))),
        _ => row_function(function, schema),
    }
}

/// The arguments of a row function in the types that it takes.
fn row_function(function: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
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
    let expr = Expr::ScalarFunction(ScalarFunction { func: function.func, args });
    Ok(Transformed::new_transformed(expr, changed))
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
fn aggregate(function: AggregateFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
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
            return Ok(Transformed::yes(aggregate(avg, schema)?.data));
        }
        ("avg", interval) if is_interval(interval) => {
            let count =
                Expr::Cast(Cast::new(Box::new(over("count", arg.clone())?), DataType::Float64));
            let none = nullif_zero(count)?;
            call(rows::named("interval_divided")?, vec![over("sum", arg.clone())?, none])
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
        (name @ ("json_agg" | "jsonb_agg"), _) => {
            let of_json = is_json(arg, schema);
            let list = match (name, of_json) {
                ("json_agg", false) => "json_list",
                ("json_agg", true) => "json_list_of_json",
                (_, false) => "jsonb_list",
                (_, true) => "jsonb_list_of_json",
            };
            call(rows::named(list)?, vec![over("array_agg", arg.clone())?])
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

/// Whether a text is known to be JSON.
fn is_json(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(jsonb::told(expr, schema), Some(PgType::Json | PgType::Jsonb))
}

fn nullif_zero(count: Expr) -> Result<Expr> {
    let nullif = registry().scalar.get("nullif");
    let nullif = nullif.ok_or_else(|| {
        datafusion::error::DataFusionError::Internal("no function nullif".to_owned())
    })?;
    Ok(call(nullif, vec![count, lit(0.0)]))
}

pub(super) fn aggregate_named(name: &str) -> Result<Arc<datafusion::logical_expr::AggregateUDF>> {
    registry()
        .aggregate
        .get(name)
        .map(Arc::clone)
        .ok_or_else(|| datafusion::error::DataFusionError::Internal(format!("no aggregate {name}")))
}

/// A window function as Postgres means it, perhaps an expression over others.
fn window(function: WindowFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
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

// ---- expressions over several aggregates

/// Aggregates that became expressions: the aggregates stay, a projection above computes with them
/// under the old names.
fn split_aggregate(aggregate: Aggregate) -> Result<LogicalPlan> {
    let is_call = |expr: &Expr| matches!(expr, Expr::AggregateFunction(_));
    if aggregate.aggr_expr.iter().all(|expr| is_call(unaliased(expr))) {
        let Aggregate { input, group_expr, aggr_expr, .. } = aggregate;
        return Ok(LogicalPlan::Aggregate(Aggregate::try_new(input, group_expr, aggr_expr)?));
    }
    let Aggregate { input, group_expr, aggr_expr, .. } = aggregate;
    let (calls, computed) = split(aggr_expr, is_call)?;
    let inner = Aggregate::try_new(input, group_expr, calls)?;
    let keys = inner.schema.fields().len() - inner.aggr_expr.len();
    let mut exprs = columns_of(&inner.schema, keys);
    exprs.extend(computed);
    let inner = Arc::new(LogicalPlan::Aggregate(inner));
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, inner)?))
}

fn split_window(window: Window) -> Result<LogicalPlan> {
    let is_call = |expr: &Expr| matches!(expr, Expr::WindowFunction(_));
    let Window { input, window_expr, .. } = window;
    if window_expr.iter().all(|expr| is_call(unaliased(expr))) {
        return Ok(LogicalPlan::Window(Window::try_new(window_expr, input)?));
    }
    let (calls, computed) = split(window_expr, is_call)?;
    let width = input.schema().fields().len();
    let inner = Window::try_new(calls, input)?;
    let mut exprs = columns_of(&inner.schema, width);
    exprs.extend(computed);
    let inner = Arc::new(LogicalPlan::Window(inner));
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, inner)?))
}

/// How the calls inside larger expressions are named, by which they are known to be done.
const SPLIT_OFF: &str = "canon: ";

fn is_split_off(expr: &Expr) -> bool {
    matches!(expr, Expr::Alias(alias) if alias.name.starts_with(SPLIT_OFF))
}

/// The calls inside some expressions, each once, and the expressions over the calls' columns.
fn split(exprs: Vec<Expr>, is_call: fn(&Expr) -> bool) -> Result<(Vec<Expr>, Vec<Expr>)> {
    let mut calls: Vec<Expr> = Vec::new();
    let mut computed = Vec::with_capacity(exprs.len());
    for expr in exprs {
        if is_call(unaliased(&expr)) {
            computed.push(Expr::Column(Column::from_name(expr.schema_name().to_string())));
            if !calls.contains(&expr) {
                calls.push(expr);
            }
            continue;
        }
        let name = expr.schema_name().to_string();
        let over_columns = expr.transform_down(|expr| {
            if !is_call(&expr) {
                return Ok(Transformed::no(expr));
            }
            let name = format!("{SPLIT_OFF}{}", expr.schema_name());
            let named = expr.alias(&name);
            if !calls.contains(&named) {
                calls.push(named);
            }
            let column = Expr::Column(Column::from_name(name));
            Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
        })?;
        let over_columns = over_columns.data;
        // Casts have the name of what they cast; the columns above know the whole by its old one.
        let is_same = over_columns.schema_name().to_string() == name;
        computed.push(match is_same {
            true => over_columns,
            false => over_columns.alias(name),
        });
    }
    Ok((calls, computed))
}

fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unaliased(&alias.expr),
        other => other,
    }
}

fn columns_of(schema: &DFSchema, count: usize) -> Vec<Expr> {
    let columns = schema.iter().take(count);
    columns
        .map(|(qualifier, field)| Expr::Column(Column::new(qualifier.cloned(), field.name())))
        .collect()
}
