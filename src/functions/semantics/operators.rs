//! Operators, BETWEEN, IN and LIKE as Postgres means them.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{
    Between, BinaryExpr, Cast, Expr, ExprSchemable, Like, Operator, SortExpr, lit,
};

use super::super::udf::call;
use super::super::{
    floats, is_comparison, jsonb, numeric, quoted, regex, rows, text, time, unknown,
};
use super::casts::{cast_unless, explicit_cast};
use crate::sql::types::PgType;

pub(super) fn binary_operator(binary: BinaryExpr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let BinaryExpr { left, op, right } = binary;
    match op {
        op if is_comparison(op) => {
            if let Some(op) = op.swap().filter(|_| is_constant(&left) && !is_constant(&right)) {
                let swapped = BinaryExpr::new(right, op, left);
                return Ok(Transformed::yes(binary_operator(swapped, schema)?.data));
            }
            if let Some(sides) = jsonb::both(&left, &right, schema)? {
                return Ok(Transformed::yes(jsonb::compared(sides, op)?));
            }
            if let Some(order) = array_order(&left, op, &right, schema)? {
                return Ok(Transformed::yes(order));
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
            let lengths = all_by_length(vec![left, right], schema)?;
            let changed = changed || lengths.transformed;
            let [left, right] = all_of(lengths.data)?;
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

/// Whether an expression is of no row. Those stand on the right of comparisons: DataFusion (55.2) takes
/// `2 - 1 = x AND x = 1` for two constants that x can't both be.
fn is_constant(expr: &Expr) -> bool {
    expr.column_refs().is_empty()
}

/// `a < b` of two arrays, in whose order NULL items come last; DataFusion has them first.
fn array_order(left: &Expr, op: Operator, right: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    let is_order = matches!(op, Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq);
    if !is_order || !is_list(left, schema)? || !is_list(right, schema)? {
        return Ok(None);
    }
    let order = call(rows::named("array_order")?, vec![left.clone(), right.clone()]);
    Ok(Some(Expr::BinaryExpr(BinaryExpr::new(Box::new(order), op, Box::new(lit(0_i32))))))
}

fn is_list(expr: &Expr, schema: &DFSchema) -> Result<bool> {
    Ok(matches!(expr.get_type(schema)?, DataType::List(_)))
}

/// What an interval is compared by.
fn length(interval: Expr) -> Result<Expr> {
    Ok(call(rows::named("interval_order")?, vec![interval]))
}

/// Keys to sort by, with intervals in the order of their lengths. In arrays, whose NULL items come where
/// NULL arrays do, NULL is the greatest value always.
pub(super) fn sort_keys(
    keys: Vec<SortExpr>,
    schema: &DFSchema,
) -> Result<Transformed<Vec<SortExpr>>> {
    let mut changed = false;
    let keys = keys.into_iter().map(|key| {
        let kind = key.expr.get_type(schema)?;
        let is_moved_array = matches!(kind, DataType::List(_)) && key.asc == key.nulls_first;
        changed |= is_interval(&kind) || is_moved_array;
        Ok(match key {
            key if is_interval(&kind) => vec![SortExpr { expr: length(key.expr)?, ..key }],
            SortExpr { expr, asc, nulls_first } if is_moved_array => vec![
                SortExpr::new(expr.clone().is_null(), !nulls_first, false),
                SortExpr::new(expr, asc, !nulls_first),
            ],
            key => vec![key],
        })
    });
    let keys = keys.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    let keys = distinct_keys(keys);
    Ok(Transformed::new_transformed(keys.data, changed || keys.transformed))
}

/// Keys to sort by without those that say nothing after the ones before them.
pub(super) fn distinct_keys(keys: Vec<SortExpr>) -> Transformed<Vec<SortExpr>> {
    let written = keys.len();
    let mut kept: Vec<SortExpr> = Vec::with_capacity(written);
    for key in keys {
        if !kept.iter().any(|known| known.expr == key.expr) {
            kept.push(key);
        }
    }
    let changed = kept.len() < written;
    Transformed::new_transformed(kept, changed)
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
    if let Some(sides) = as_doubles([&left, &right], [&a, &b]) {
        return Ok(Transformed::yes(
            arithmetic(sides[0].clone(), op, sides[1].clone(), schema)?.data,
        ));
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

/// Both sides as `float8`, where one is a `float4` and the other a number of another type.
fn as_doubles(sides: [&Expr; 2], types: [&DataType; 2]) -> Option<[Expr; 2]> {
    let is_single = |data_type: &DataType| *data_type == DataType::Float32;
    let is_wanted = match types {
        [a, b] if is_single(a) => !is_single(b) && b.is_numeric(),
        [a, b] => is_single(b) && a.is_numeric(),
    };
    is_wanted.then(|| {
        [0, 1].map(|side| cast_unless(sides[side].clone(), types[side], &DataType::Float64))
    })
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
pub(super) fn negative(inner: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
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

pub(super) fn is_interval(data_type: &DataType) -> bool {
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
pub(super) fn similar(like: Like) -> Result<Transformed<Expr>> {
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
    if types == (DataType::Binary, DataType::Binary) {
        return Ok(Transformed::yes(call(rows::named("bytea_concat")?, vec![left, right])));
    }
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
pub(super) fn standard_escape(like: Like) -> Result<Transformed<Expr>> {
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

pub(super) fn is_float(data_type: &DataType) -> bool {
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
        DataType::Decimal128(_, _) | DataType::Decimal256(_, _) => unknown::numeric(&literal),
        DataType::Boolean
        | DataType::Date32
        | DataType::Timestamp(TimeUnit::Microsecond, _)
        | DataType::Binary
        | DataType::List(_) => PgType::of_arrow(&data_type),
        number if number.is_signed_integer() || is_float(number) => PgType::of_arrow(number),
        _ => return Ok(Transformed::no(expr)),
    };
    Ok(Transformed::yes(Expr::Literal(text::read(&pg_type, &literal)?, None)))
}

/// Quoted literals among values that have one type, as of that type.
pub(in crate::functions) fn literals_alike(
    values: Vec<Expr>,
    schema: &DFSchema,
) -> Result<Transformed<Vec<Expr>>> {
    let typed = values.iter().find(|it| quoted(it).is_none() && !is_null(it)).cloned();
    let Some(typed) = typed else { return Ok(Transformed::no(values)) };
    let mut changed = false;
    let values = values.into_iter().map(|value| {
        let read = literal_as(value, &typed, schema)?;
        changed |= read.transformed;
        Ok(read.data)
    });
    let values = values.collect::<Result<_>>()?;
    Ok(Transformed::new_transformed(values, changed))
}

/// Dates and wall clocks among instants, as instants: DataFusion would make wall clocks of all.
pub(in crate::functions) fn moments_alike(
    values: Vec<Expr>,
    schema: &DFSchema,
) -> Result<Transformed<Vec<Expr>>> {
    let types: Vec<DataType> =
        values.iter().map(|value| value.get_type(schema)).collect::<Result<_>>()?;
    let is_instant = |data_type: &DataType| matches!(moment_of(data_type), Some(Moment::Instant));
    let is_moment = |data_type: &DataType| data_type.is_null() || moment_of(data_type).is_some();
    if !types.iter().any(is_instant) || !types.iter().all(is_moment) {
        return Ok(Transformed::no(values));
    }
    let changed = !types.iter().all(is_instant);
    let instants = values.into_iter().zip(&types).map(|(value, own)| match own.is_null() {
        true => value,
        false => cast_unless(value, own, &time::timestamptz()),
    });
    Ok(Transformed::new_transformed(instants.collect(), changed))
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if value.is_null())
}

/// As many expressions as went in.
pub(in crate::functions) fn all_of<const COUNT: usize>(exprs: Vec<Expr>) -> Result<[Expr; COUNT]> {
    exprs.try_into().map_err(|_| DataFusionError::Internal("expressions got lost".to_owned()))
}

pub(super) fn bounds(between: Between, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let low = literal_as(between.low.as_ref().clone(), &between.expr, schema)?;
    let high = literal_as(between.high.as_ref().clone(), &between.expr, schema)?;
    let Between { expr, negated, .. } = between;
    let beside_floats = floats::alike(vec![*expr, low.data, high.data], schema)?;
    let changed = low.transformed || high.transformed || beside_floats.transformed;
    let sides = beside_floats.data;
    let lengths = all_by_length(sides, schema)?;
    let changed = changed || lengths.transformed;
    let [expr, low, high] = all_of(lengths.data)?;
    let between = Between::new(Box::new(expr), negated, Box::new(low), Box::new(high));
    let expr = Expr::Between(between);
    Ok(Transformed::new_transformed(expr, changed))
}

pub(super) fn items(list: InList, schema: &DFSchema) -> Result<Transformed<Expr>> {
    if jsonb::told(&list.expr, schema) == Some(PgType::Jsonb) {
        return of_jsonb(list, schema);
    }
    let InList { expr, list, negated } = list;
    let mut changed = false;
    let mut all = Vec::with_capacity(list.len() + 1);
    all.push(expr.as_ref().clone());
    for item in list {
        let item = literal_as(item, &expr, schema)?;
        changed |= item.transformed;
        all.push(item.data);
    }
    let beside_floats = floats::alike(all, schema)?;
    changed |= beside_floats.transformed;
    let lengths = all_by_length(beside_floats.data, schema)?;
    changed |= lengths.transformed;
    let mut list = lengths.data;
    let expr = Box::new(list.remove(0));
    let list = Expr::InList(InList { expr, list, negated });
    Ok(Transformed::new_transformed(list, changed))
}

/// Intervals that are compared with each other by their lengths; anything else as it is.
fn all_by_length(exprs: Vec<Expr>, schema: &DFSchema) -> Result<Transformed<Vec<Expr>>> {
    for expr in &exprs {
        if !is_interval(&expr.get_type(schema)?) {
            return Ok(Transformed::no(exprs));
        }
    }
    let lengths: Result<Vec<Expr>> = exprs.into_iter().map(length).collect();
    Ok(Transformed::yes(lengths?))
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
