//! Postgres's spellings that the planner doesn't take, in those that it does: calls of functions for
//! operators and special forms. Applied where names are resolved, by clients' queries and by the
//! catalogue's alike.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Array, ArrayElemTypeDef, BinaryOperator, CastKind, DataType, DateTimeField, Expr,
    Function, FunctionArg, FunctionArgExpr, FunctionArgOperator, FunctionArgumentList,
    FunctionArguments, Ident, Interval, LimitClause, ObjectName, Query, SelectItem, Subscript,
    TimezoneInfo, UnaryOperator, Value, visit_expressions, visit_expressions_mut,
};

use super::ast::{call, select_from, unnamed};
use super::parse::SYMMETRIC;
use super::quantified;
use super::tuples;
use super::value::qualified_interval;

/// Writes one expression anew where it has to be; what is inside of it is left for its own turn.
pub(crate) fn rewrite(expr: &mut Expr) {
    let rewritten = match expr {
        Expr::Interval(interval) => interval_literal(interval),
        Expr::Extract { field: DateTimeField::Custom(name), .. } => {
            name.quote_style = None;
            None
        }
        Expr::BinaryOp { left, op: BinaryOperator::And | BinaryOperator::Or, right } => {
            condition(left);
            condition(right);
            None
        }
        Expr::UnaryOp { op: UnaryOperator::Not, expr: inner } => {
            condition(inner);
            None
        }
        Expr::BinaryOp { left, op, right } => {
            tuples::comparison(left, op, right).or_else(|| operator(left, op, right))
        }
        Expr::InList { expr: row, list, negated } => tuples::membership(row, list, *negated),
        Expr::UnaryOp { op, expr: inner } => prefix(*op, inner),
        Expr::Substring { expr: text, substring_from: Some(from), substring_for: None, .. }
            if is_quoted(from) =>
        {
            Some(call("regexp_substring", vec![take(text), take(from)]))
        }
        Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => {
            of_subquery(left, right, false).or_else(|| listed(left, right, false))
        }
        Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right } => {
            of_subquery(left, right, true).or_else(|| listed(left, right, true))
        }
        Expr::AnyOp { left, compare_op, right, .. } => {
            quantified::compared(left, compare_op, right, false)
                .or_else(|| of_each(left, compare_op, right, BinaryOperator::Or))
        }
        Expr::AllOp { left, compare_op, right } => {
            quantified::compared(left, compare_op, right, true)
                .or_else(|| of_each(left, compare_op, right, BinaryOperator::And))
        }
        // The planner would make a cast of it, whose type is that of another moment.
        Expr::AtTimeZone { timestamp, time_zone } => {
            Some(call("timezone", vec![take(time_zone), take(timestamp)]))
        }
        Expr::Between { expr: inner, negated, low, high } => symmetric(inner, *negated, low, high),
        Expr::CompoundFieldAccess { root, access_chain } => {
            access_chain.iter_mut().for_each(whole_slice);
            field_of_row(root, access_chain)
        }
        Expr::Collate { expr: inner, collation } if is_plain_order(collation) => Some(take(inner)),
        Expr::Cast { expr: inner, data_type, .. } => {
            float_as_text(inner, data_type);
            cast_moment(inner, data_type)
        }
        Expr::TypedString(typed) => match &typed.value.value {
            Value::SingleQuotedString(word) => moment_word(word, &typed.data_type).or_else(|| {
                let mut text = Box::new(Expr::Value(typed.value.clone()));
                cast_moment(&mut text, &mut typed.data_type)
            }),
            _ => None,
        },
        Expr::InSubquery { expr: row, subquery, negated } => {
            quantified::membership(row, subquery, *negated)
        }
        Expr::IsNull(row) => tuples::nulls(row, Expr::IsNull),
        Expr::IsNotNull(row) => tuples::nulls(row, Expr::IsNotNull),
        Expr::Function(function) => {
            special_function(function);
            clock(function)
        }
        _ => None,
    };
    if let Some(rewritten) = rewritten {
        *expr = rewritten;
    }
}

/// A literal in quotes where a condition stands is a boolean.
pub(crate) fn condition(expr: &mut Expr) {
    match expr {
        Expr::Nested(inner) => condition(inner),
        quoted if is_quoted(quoted) => {
            *quoted = cast(std::mem::replace(quoted, number(0)), DataType::Boolean);
        }
        _ => {}
    }
}

/// A condition that rows have to meet: NULL is as good as false, also under AND and OR.
pub(crate) fn filter(expr: &mut Expr) {
    match expr {
        Expr::Nested(inner) => filter(inner),
        Expr::BinaryOp { left, op: BinaryOperator::And | BinaryOperator::Or, right } => {
            filter(left);
            filter(right);
        }
        Expr::InSubquery { expr: row, subquery, negated } => {
            if let Some(exists) = quantified::filter(row, subquery, *negated) {
                *expr = exists;
            }
        }
        _ => {}
    }
    condition(expr);
}

/// `(o).order_id`, of a row of FROM.
fn field_of_row(root: &Expr, access: &[AccessExpr]) -> Option<Expr> {
    let Expr::Nested(inner) = root else { return None };
    match (inner.as_ref(), access) {
        (Expr::Identifier(row), [AccessExpr::Dot(Expr::Identifier(field))]) => {
            Some(Expr::CompoundIdentifier(vec![row.clone(), field.clone()]))
        }
        _ => None,
    }
}

/// Arrays of a subquery as calls: the planner (DataFusion 55.2) knows of no row around an array that is
/// written with brackets. Those that something is compared with stay, for they are lists.
pub(crate) fn arrays_as_calls(query: &mut Query) {
    const CALL: &str = "make_array";
    let _ = visit_expressions_mut(query, |expr| {
        match expr {
            Expr::Array(array) => *expr = call(CALL, std::mem::take(&mut array.elem)),
            Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => {
                if let Some(elem) = arguments_of(right, CALL) {
                    **right = Expr::Array(Array { elem, named: true });
                }
            }
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
}

/// The arguments of a plain call of a function.
fn arguments_of(expr: &Expr, name: &str) -> Option<Vec<Expr>> {
    let Expr::Function(function) = expr else { return None };
    let [part] = function.name.0.as_slice() else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    if part.as_ident().is_none_or(|ident| ident.value != name) {
        return None;
    }
    let argument = |argument: &FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    };
    list.args.iter().map(argument).collect()
}

/// Functions of which the catalogue has its own: `age(moment)`, counted from the beginning of today,
/// and `pg_typeof`.
pub(crate) fn outside_of_catalogue(function: &mut Function) {
    let name = function.name.0.last().and_then(|part| part.as_ident());
    let Some(name) = name.map(|name| name.value.to_lowercase()) else { return };
    let FunctionArguments::List(list) = &mut function.args else { return };
    let own = match (name.as_str(), list.args.len()) {
        ("age", 1) => {
            list.args.insert(0, unnamed(call("current_date", Vec::new())));
            "timestamp_age"
        }
        ("pg_typeof", 1) => "value_type",
        _ => return,
    };
    function.name = ObjectName::from(vec![Ident::with_quote('"', own)]);
}

/// `ARRAY(SELECT …)`: the aggregated array of its rows, in their order, which has no NULL for none.
pub(crate) fn array_of_query(function: &Function) -> Option<Expr> {
    let is_array = matches!(function.name.0.as_slice(),
        [part] if part.as_ident().is_some_and(|it| it.value.eq_ignore_ascii_case("array")));
    let FunctionArguments::Subquery(query) = &function.args else { return None };
    let query = is_array.then(|| query.as_ref().clone())?;
    let item = || Ident::with_quote('"', "item");
    let items = call("array_agg", vec![Expr::Identifier(item())]);
    let items = vec![SelectItem::UnnamedExpr(items)];
    let array = select_from(query, "items", [item()].into_iter(), items);
    Some(call("coalesce", vec![Expr::Subquery(Box::new(array)), quoted_text("{}")]))
}

/// `1e100::float8`: a float is read from its text, since no decimal has as many digits.
fn float_as_text(number: &mut Expr, data_type: &DataType) {
    let is_float = matches!(
        data_type,
        DataType::Float8
            | DataType::Float4
            | DataType::Real
            | DataType::Float(_)
            | DataType::Double(_)
            | DataType::DoublePrecision
    );
    if let Expr::Value(value) = number
        && let Value::Number(digits, _) = &value.value
        && is_float
        && digits.to_string().contains(['e', 'E'])
    {
        value.value = Value::SingleQuotedString(digits.to_string());
    }
}

/// A cast to a moment: of a word for one, or with fewer digits of a second than there may be.
fn cast_moment(inner: &mut Box<Expr>, data_type: &mut DataType) -> Option<Expr> {
    let written = quoted_in(inner);
    let read = |text| moment_word(text, data_type).or_else(|| cast_interval(text, data_type));
    if let Some(read) = written.and_then(read) {
        return Some(read);
    }
    let (DataType::Timestamp(precision, _) | DataType::Time(precision, _)) = data_type else {
        return None;
    };
    let digits = precision.take().filter(|digits| *digits < MOMENT_DIGITS)?;
    let whole = cast(take(inner), data_type.clone());
    Some(rounded_moment(whole, digits))
}

/// Digits of a second that Postgres keeps.
const MOMENT_DIGITS: u64 = 6;

fn rounded_moment(moment: Expr, digits: u64) -> Expr {
    let digits = i64::try_from(digits).unwrap_or_default();
    call("rounded_moment", vec![moment, number(digits)])
}

/// `'now'::timestamp`, `date 'yesterday'`: words for moments, as the functions that know the time.
///
/// Source: PostgreSQL 15, 8.5.1.4, special values.
fn moment_word(word: &str, data_type: &DataType) -> Option<Expr> {
    let word = word.trim().to_ascii_lowercase();
    let today = || call("current_date", Vec::new());
    let day = match word.as_str() {
        "now" => return now_as(data_type),
        "today" => today(),
        "tomorrow" => sum(today(), BinaryOperator::Plus, 1),
        "yesterday" => sum(today(), BinaryOperator::Minus, 1),
        _ => return None,
    };
    match data_type {
        DataType::Date => Some(day),
        DataType::Timestamp(..) => Some(cast(day, data_type.clone())),
        _ => None,
    }
}

fn now_as(data_type: &DataType) -> Option<Expr> {
    let (name, digits) = match data_type {
        DataType::Date => ("current_date", &None),
        DataType::Timestamp(digits, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => {
            ("now", digits)
        }
        DataType::Timestamp(digits, _) => ("localtimestamp", digits),
        DataType::Time(digits, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            let time = local_time();
            return Some(match digits {
                Some(digits) => rounded_moment(time, *digits),
                None => time,
            });
        }
        _ => return None,
    };
    let now = call(name, Vec::new());
    Some(match digits {
        Some(digits) => rounded_moment(now, *digits),
        None => now,
    })
}

/// A number that is written, perhaps with its type.
fn whole_number(expr: &Expr) -> Option<u64> {
    match expr {
        Expr::Cast { expr: inner, .. } => whole_number(inner),
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => digits.to_string().parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

fn local_time() -> Expr {
    cast(call("localtimestamp", Vec::new()), DataType::Time(None, TimezoneInfo::None))
}

/// `localtime`, and `current_timestamp(3)` and its like: with some digits of a second.
fn clock(function: &mut Function) -> Option<Expr> {
    let name = function.name.0.last().and_then(|part| part.as_ident())?;
    let name = name.value.to_lowercase();
    let now = || match name.as_str() {
        "localtime" => Some(local_time()),
        "localtimestamp" | "current_timestamp" => Some(call(&name, Vec::new())),
        _ => None,
    };
    let digits = match &function.args {
        FunctionArguments::List(list) => match list.args.as_slice() {
            [] => None,
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(digits))] => Some(whole_number(digits)?),
            _ => return None,
        },
        _ => None,
    };
    match digits {
        Some(digits) => now().map(|now| rounded_moment(now, digits)),
        None => now().filter(|_| name == "localtime"),
    }
}

fn cast(expr: Expr, data_type: DataType) -> Expr {
    let (kind, expr) = (CastKind::DoubleColon, Box::new(expr));
    Expr::Cast { kind, expr, data_type, array: false, format: None }
}

fn sum(left: Expr, op: BinaryOperator, days: i64) -> Expr {
    let (left, right) = (Box::new(left), Box::new(number(days)));
    Expr::Nested(Box::new(Expr::BinaryOp { left, op, right }))
}

/// `INTERVAL '1 day'`, `INTERVAL '90' MINUTE`, `INTERVAL '1-2' YEAR TO MONTH`, `INTERVAL(0) '1.6 s'`.
fn interval_literal(interval: &mut Interval) -> Option<Expr> {
    let text = quoted_in(&interval.value)?;
    let digits = interval.fractional_seconds_precision;
    // `SECOND(2)` alone has its digits as if they were those of the leading field.
    let digits = digits.or(interval.leading_precision);
    let first = interval.leading_field.as_ref().map(ToString::to_string);
    let last = interval.last_field.as_ref().map(ToString::to_string);
    Some(interval_of(text, first.as_deref(), last.as_deref(), digits))
}

/// `'1.5 hours'::interval hour`.
fn cast_interval(text: &str, data_type: &DataType) -> Option<Expr> {
    let DataType::Interval { fields, precision } = data_type else { return None };
    let fields = fields.as_ref().map(ToString::to_string);
    let (first, last) = match fields.as_deref().map(|it| it.split_once(" TO ").ok_or(it)) {
        None => (None, None),
        Some(Ok((first, last))) => (Some(first), Some(last)),
        Some(Err(only)) => (Some(only), None),
    };
    (first.is_some() || precision.is_some()).then(|| interval_of(text, first, last, *precision))
}

/// What can't be read is left to the cast, which says so.
fn interval_of(text: &str, first: Option<&str>, last: Option<&str>, digits: Option<u64>) -> Expr {
    let is_plain = first.is_none() && digits.is_none();
    let read = if is_plain { None } else { qualified_interval(text, first, last, digits).ok() };
    let written =
        read.map(|it| format!("{} mons {} days {} us", it.months, it.days, it.nanoseconds / 1_000));
    let data_type = DataType::Interval { fields: None, precision: None };
    cast(quoted_text(written.as_deref().unwrap_or(text)), data_type)
}

fn operator(left: &mut Box<Expr>, op: &BinaryOperator, right: &mut Box<Expr>) -> Option<Expr> {
    let name = match op {
        BinaryOperator::PGStartsWith => "starts_with",
        BinaryOperator::PGOverlap => "arrays_overlap",
        BinaryOperator::Arrow => "json_field",
        BinaryOperator::LongArrow => "json_field_text",
        BinaryOperator::HashArrow => return json_path(left, right, "json_extract_path"),
        BinaryOperator::HashLongArrow => return json_path(left, right, "json_extract_path_text"),
        BinaryOperator::Overlaps => {
            let (Expr::Tuple(one), Expr::Tuple(other)) = (left.as_mut(), right.as_mut()) else {
                return None;
            };
            let args: Vec<Expr> = one.drain(..).chain(other.drain(..)).collect();
            return (args.len() == 4).then(|| call("overlaps", args));
        }
        _ => return None,
    };
    Some(call(name, vec![take(left), take(right)]))
}

/// `json #> '{a,b}'`, of a path that is written out.
fn json_path(json: &mut Box<Expr>, path: &mut Box<Expr>, function: &str) -> Option<Expr> {
    let steps = written_items(path)?;
    Some(call(function, std::iter::once(take(json)).chain(steps).collect()))
}

fn prefix(op: UnaryOperator, inner: &mut Box<Expr>) -> Option<Expr> {
    let name = match op {
        UnaryOperator::PGSquareRoot => "sqrt",
        UnaryOperator::PGCubeRoot => "cbrt",
        UnaryOperator::PGAbs => "abs",
        UnaryOperator::BitwiseNot => "bit_not",
        _ => return None,
    };
    Some(call(name, vec![take(inner)]))
}

/// `x BETWEEN SYMMETRIC a AND b`: between them in one order or in the other.
fn symmetric(
    expr: &mut Box<Expr>,
    negated: bool,
    low: &mut Box<Expr>,
    high: &mut Box<Expr>,
) -> Option<Expr> {
    let Expr::Function(marker) = low.as_mut() else { return None };
    if !is_symmetric(marker) {
        return None;
    }
    let FunctionArguments::List(list) = &mut marker.args else { return None };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(one))] = list.args.as_slice() else {
        return None;
    };
    let one = one.clone();
    if ![expr.as_ref(), &one, high.as_ref()].into_iter().all(|operand| is_short(operand, 2)) {
        return None;
    }
    let other = take(high);
    let expr = take(expr);
    let between = |low: Expr, high: Expr| Expr::Between {
        expr: Box::new(expr.clone()),
        negated: false,
        low: Box::new(low),
        high: Box::new(high),
    };
    let either = Expr::BinaryOp {
        left: Box::new(between(one.clone(), other.clone())),
        op: BinaryOperator::Or,
        right: Box::new(between(other, one)),
    };
    let either = Expr::Nested(Box::new(either));
    Some(match negated {
        true => {
            Expr::Nested(Box::new(Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(either) }))
        }
        false => either,
    })
}

/// Whether a call is the mark around the first bound of BETWEEN SYMMETRIC.
pub(crate) fn is_symmetric(function: &Function) -> bool {
    let name = function.name.0.last().and_then(|part| part.as_ident());
    name.is_some_and(|name| name.value == SYMMETRIC)
}

/// `x = ANY (SELECT …)` is `x IN (SELECT …)`.
fn of_subquery(left: &mut Box<Expr>, right: &mut Expr, negated: bool) -> Option<Expr> {
    match right {
        Expr::Nested(inner) => of_subquery(left, inner, negated),
        Expr::Subquery(subquery) => quantified::membership(left, subquery, negated).or_else(|| {
            let (expr, subquery) = (Box::new(take(left)), subquery.clone());
            Some(Expr::InSubquery { expr, subquery, negated })
        }),
        _ => None,
    }
}

/// `x <> ALL ($1)` as `NOT x = ANY ($1)`: when the array is known, that is a list that `x` isn't in.
/// The catalogue has a function for it.
pub(crate) fn in_none_of_parameter(expr: &mut Expr) {
    let Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right } = expr else { return };
    if !is_parameter(right) {
        return;
    }
    let within = Expr::AnyOp {
        left: Box::new(take(left)),
        compare_op: BinaryOperator::Eq,
        right: Box::new(take(right)),
        is_some: false,
    };
    let within = Box::new(Expr::Nested(Box::new(within)));
    *expr = Expr::UnaryOp { op: UnaryOperator::Not, expr: within };
}

/// A parameter, perhaps cast.
fn is_parameter(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => is_parameter(inner),
        Expr::Value(value) => matches!(value.value, Value::Placeholder(_)),
        _ => false,
    }
}

/// FETCH FIRST n ROWS is LIMIT n.
///
/// # Errors
/// What it asks for that LIMIT doesn't: `WITH TIES`, `PERCENT`.
pub(crate) fn fetch_as_limit(query: &mut Query) -> Result<(), &'static str> {
    let Some(fetch) = query.fetch.take() else { return Ok(()) };
    if fetch.with_ties {
        return Err("FETCH … WITH TIES");
    }
    if fetch.percent {
        return Err("FETCH … PERCENT");
    }
    let limit = Some(fetch.quantity.unwrap_or_else(|| number(1)));
    match &mut query.limit_clause {
        Some(LimitClause::LimitOffset { limit: known, .. }) => *known = limit,
        _ => {
            query.limit_clause =
                Some(LimitClause::LimitOffset { limit, offset: None, limit_by: Vec::new() });
        }
    }
    Ok(())
}

/// What to write for a FETCH that is no LIMIT.
pub(crate) const TIES_HINT: &str =
    "Number the rows in a subquery, by rank() OVER (ORDER BY …), and filter by that.";

/// `x LIKE ANY (ARRAY['a%', 'b%'])` and its like: a comparison with each item of an array that is
/// written out. Of other arrays a pattern is looked for by a function.
fn of_each(
    left: &mut Box<Expr>,
    op: &BinaryOperator,
    right: &mut Box<Expr>,
    join: BinaryOperator,
) -> Option<Expr> {
    let any = join == BinaryOperator::Or;
    let items = written_items(right).filter(|items| is_short(left, items.len()));
    let Some(items) = items else {
        let (negated, ignores_case) = like_of(op)?;
        let flags = [any, negated, ignores_case].map(|it| Expr::value(Value::Boolean(it)));
        let args = [take(left), take(right)].into_iter().chain(flags);
        return Some(call("like_listed", args.collect()));
    };
    let left = take(left);
    let each = items.into_iter().map(|item| compared(left.clone(), op, item));
    let all = each.reduce(|one, other| Expr::BinaryOp {
        left: Box::new(one),
        op: join.clone(),
        right: Box::new(other),
    });
    let none = || Expr::value(Value::Boolean(!any));
    Some(Expr::Nested(Box::new(all.unwrap_or_else(none))))
}

/// Whether an operand may be written out several times: forms within each other that each repeat one
/// would double a statement with each of them.
pub(super) fn is_short(operand: &Expr, times: usize) -> bool {
    const BYTES_MAX: usize = 4_096;
    match operand {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_) => true,
        Expr::Nested(inner) => is_short(inner, times),
        other => {
            other.to_string().len().saturating_mul(times) <= BYTES_MAX && !repeats_operands(other)
        }
    }
}

/// Whether there is a form in an expression that is written out when its own turn comes.
fn repeats_operands(expr: &Expr) -> bool {
    let found = visit_expressions(expr, |expr| match expr {
        Expr::AnyOp { .. } | Expr::AllOp { .. } => ControlFlow::Break(()),
        Expr::Function(function) if is_symmetric(function) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// The items of an array, where they are written out.
fn written_items(array: &Expr) -> Option<Vec<Expr>> {
    match array {
        Expr::Nested(inner) => written_items(inner),
        Expr::Cast { expr, data_type: DataType::Array(_), .. } => written_items(expr),
        Expr::Array(array) => Some(array.elem.clone()),
        other => {
            let items = array_items(quoted_in(other)?)?;
            let item = |item: Option<String>| match item {
                Some(text) => quoted_text(&text),
                None => Expr::value(Value::Null),
            };
            Some(items.into_iter().map(item).collect())
        }
    }
}

/// Whether an operator is NOT LIKE, and whether it ignores case; None where it isn't LIKE at all.
fn like_of(op: &BinaryOperator) -> Option<(bool, bool)> {
    Some(match op {
        BinaryOperator::PGLikeMatch => (false, false),
        BinaryOperator::PGNotLikeMatch => (true, false),
        BinaryOperator::PGILikeMatch => (false, true),
        BinaryOperator::PGNotILikeMatch => (true, true),
        _ => return None,
    })
}

fn compared(left: Expr, op: &BinaryOperator, right: Expr) -> Expr {
    let (expr, pattern) = (Box::new(left), Box::new(right));
    match like_of(op) {
        Some((negated, false)) => {
            Expr::Like { negated, any: false, expr, pattern, escape_char: None }
        }
        Some((negated, true)) => {
            Expr::ILike { negated, any: false, expr, pattern, escape_char: None }
        }
        None => Expr::BinaryOp { left: expr, op: op.clone(), right: pattern },
    }
}

/// `x = ANY ('{a,b}')` as a list: its items take the type of `x`.
fn listed(left: &mut Box<Expr>, right: &mut Box<Expr>, negated: bool) -> Option<Expr> {
    let mut array = right.as_ref();
    while let Expr::Nested(inner) = array {
        array = inner;
    }
    if let Some(list) = cast_items(array).or_else(|| items_of_rows(array)) {
        return Some(Expr::InList { expr: Box::new(take(left)), list, negated });
    }
    let items = array_items(quoted_in(array)?)?;
    if items.is_empty() {
        return None;
    }
    let list = items.iter().map(|item| match item {
        Some(text) => quoted_text(text),
        None => Expr::value(Value::Null),
    });
    Some(Expr::InList { expr: Box::new(take(left)), list: list.collect(), negated })
}

/// The items of `ARRAY[a, b]::type[]`, each cast.
fn cast_items(array: &Expr) -> Option<Vec<Expr>> {
    let Expr::Cast { expr: inner, data_type: DataType::Array(items), .. } = array else {
        return None;
    };
    let (ArrayElemTypeDef::SquareBracket(item, _) | ArrayElemTypeDef::AngleBracket(item)) = items
    else {
        return None;
    };
    let Expr::Array(written) = inner.as_ref() else { return None };
    let is_flat = !written.elem.iter().any(|item| matches!(item, Expr::Array(_)));
    let each = || written.elem.iter().map(|one| cast(one.clone(), item.as_ref().clone()));
    (is_flat && !written.elem.is_empty()).then(|| each().collect())
}

/// The items of `ARRAY[a, b]`, where one of them isn't a constant.
fn items_of_rows(array: &Expr) -> Option<Vec<Expr>> {
    let Expr::Array(written) = array else { return None };
    let is_constant = |item: &Expr| matches!(item, Expr::Value(_));
    let is_flat = !written.elem.iter().any(|item| matches!(item, Expr::Array(_)));
    (is_flat && !written.elem.iter().all(is_constant)).then(|| written.elem.clone())
}

/// The items of a literal of one dimension.
fn array_items(text: &str) -> Option<Vec<Option<String>>> {
    let value = crate::sql::value::array_items(text.trim())?;
    Some(value)
}

/// `a[:2]` and `a[2:]` with both bounds.
fn whole_slice(access: &mut AccessExpr) {
    let AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, stride: None }) = access
    else {
        return;
    };
    lower_bound.get_or_insert_with(|| number(1));
    upper_bound.get_or_insert_with(|| number(i64::from(i32::MAX)));
}

/// Collations by which texts are ordered as canon orders them: by their characters' codes.
fn is_plain_order(collation: &ObjectName) -> bool {
    let name = collation.0.last().and_then(|part| part.as_ident());
    name.is_some_and(|name| matches!(name.value.as_str(), "C" | "POSIX" | "C.UTF-8" | "ucs_basic"))
}

fn special_function(function: &mut Function) {
    let Some(name) = function.name.0.last().and_then(|part| part.as_ident()) else { return };
    let FunctionArguments::List(list) = &mut function.args else { return };
    match name.value.to_lowercase().as_str() {
        // The catalogue has another function of that name and one argument.
        "age" if list.args.len() == 2 => {
            function.name = ObjectName::from(vec![Ident::with_quote('"', "timestamp_age")]);
        }
        "make_interval" => interval_parts(list),
        "row_to_json" | "to_json" | "to_jsonb" | "json_agg" | "jsonb_agg" => {
            list.args.iter_mut().for_each(named_fields);
        }
        _ => {}
    }
}

/// `ROW(a, b)` and `(a, b)`, whose fields are called `f1` and `f2`.
fn named_fields(arg: &mut FunctionArg) {
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(row)) = arg else { return };
    let fields: Vec<Expr> = match row {
        Expr::Tuple(fields) => std::mem::take(fields),
        Expr::Function(function) if is_row(function) => match &function.args {
            FunctionArguments::List(list) => {
                let fields = list.args.iter().map(|arg| match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(field)) => Some(field.clone()),
                    _ => None,
                });
                let Some(fields) = fields.collect() else { return };
                fields
            }
            _ => return,
        },
        _ => return,
    };
    let named = (1..).zip(fields).flat_map(|(at, field)| [quoted_text(&format!("f{at}")), field]);
    *row = call("named_struct", named.collect());
}

fn is_row(function: &Function) -> bool {
    let name = function.name.0.last().and_then(|part| part.as_ident());
    name.is_some_and(|name| name.value.eq_ignore_ascii_case("row"))
}

/// Every argument at its place.
fn interval_parts(list: &mut FunctionArgumentList) {
    const PARTS: [&str; 7] = ["years", "months", "weeks", "days", "hours", "mins", "secs"];
    let mut parts: Vec<Expr> = PARTS.iter().map(|_| number(0)).collect();
    for (index, arg) in list.args.iter().enumerate() {
        let (place, value) = match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => (Some(index), value),
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), operator } => {
                if !matches!(
                    operator,
                    FunctionArgOperator::RightArrow | FunctionArgOperator::Assignment
                ) {
                    return;
                }
                (PARTS.iter().position(|part| *part == name.value.to_lowercase()), value)
            }
            FunctionArg::ExprNamed {
                name: Expr::Identifier(name),
                arg: FunctionArgExpr::Expr(value),
                ..
            } => (PARTS.iter().position(|part| *part == name.value.to_lowercase()), value),
            _ => return,
        };
        match place.and_then(|place| parts.get_mut(place)) {
            Some(part) => *part = value.clone(),
            None => return,
        }
    }
    list.args = parts.into_iter().map(unnamed).collect();
}

fn is_quoted(expr: &Expr) -> bool {
    quoted_in(expr).is_some()
}

fn quoted_in(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn quoted_text(text: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(text.to_owned()))
}

fn number(value: i64) -> Expr {
    Expr::value(Value::Number(value.to_string(), false))
}

fn take(expr: &mut Box<Expr>) -> Expr {
    std::mem::replace(expr.as_mut(), Expr::value(Value::Null))
}
