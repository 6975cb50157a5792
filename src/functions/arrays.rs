//! Functions of arrays, and the series that are arrays first.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::error::FunctionError;
use super::interval::Interval;
use super::moments::{is_finite, later, later_in, micros, zone};
use super::rows::{self, Kind, Outcome, Overload, RowFunction, Value, rescaled};
use super::strings::output;
use super::time::{TIMESTAMP, timestamptz};
use super::udf::call;
use super::{quoted, text};
use crate::sql::types::PgType;

type Result<T> = std::result::Result<T, FunctionError>;

/// A series or a filled array has no more items than this: they are all in memory at once.
const ITEMS_MAX: usize = 1_000_000;

#[rustfmt::skip]
pub(super) const FUNCTIONS: &[RowFunction] = &[
    RowFunction { name: "record_texts", overloads: &[
        Overload::new(&[Kind::List], rows::texts, |args| {
            Ok(Value::list_of_texts(args[0].items().iter().map(output).collect()))
        }),
    ] },
    RowFunction { name: "series", overloads: &[
        Overload::new(&[Kind::Integer, Kind::Integer], integers, series),
        Overload::new(&[Kind::Integer, Kind::Integer, Kind::Integer], integers, series),
        Overload::new(&[Kind::Numeric, Kind::Numeric], decimals, decimal_series),
        Overload::new(&[Kind::Numeric, Kind::Numeric, Kind::Numeric], decimals, decimal_series),
        Overload::new(&[Kind::Timestamp, Kind::Timestamp, Kind::Interval], |_, _| Ok(list_of(TIMESTAMP)), |args| moment_series(args, Value::Timestamp)),
        Overload::new(&[Kind::Instant, Kind::Instant, Kind::Interval], |_, _| Ok(list_of(timestamptz())), |args| moment_series(args, Value::Instant)),
        Overload::new(&[Kind::Instant, Kind::Instant, Kind::Interval, Kind::Text], |_, _| Ok(list_of(timestamptz())), |args| moment_series(args, Value::Instant)),
    ] },
    RowFunction { name: "array_length", overloads: &[
        Overload::new(&[Kind::List, Kind::Int], rows::int4, |args| Ok(length(args, args[1].int()))),
    ] },
    RowFunction { name: "array_upper", overloads: &[
        Overload::new(&[Kind::List, Kind::Int], rows::int4, |args| Ok(length(args, args[1].int()))),
    ] },
    RowFunction { name: "array_lower", overloads: &[
        Overload::new(&[Kind::List, Kind::Int], rows::int4, |args| Ok(match length(args, args[1].int()) {
            Value::Null => Value::Null,
            _ => Value::Int(1),
        })),
    ] },
    RowFunction { name: "array_ndims", overloads: &[
        Overload::new(&[Kind::List], rows::int4, |args| Ok(match dimensions(&args[0]).len() {
            0 => Value::Null,
            count => Value::Int(i64::try_from(count).unwrap_or_default()),
        })),
    ] },
    RowFunction { name: "array_dims", overloads: &[
        Overload::new(&[Kind::List], rows::text, |args| Ok(match dimensions(&args[0]).as_slice() {
            [] => Value::Null,
            lengths => Value::text(lengths.iter().map(|length| format!("[1:{length}]")).collect::<String>()),
        })),
    ] },
    // The numbers of the rows that the items of some arrays make together.
    RowFunction { name: "ordinality", overloads: &[
        Overload::new(&[Kind::List], |_, _| Ok(list_of(DataType::Int64)), |args| {
            let count = args.iter().map(|array| array.items().len()).max().unwrap_or_default();
            Ok(Value::List((1..).take(count).map(Value::Int).collect()))
        }).variadic().of_nulls(),
    ] },
    RowFunction { name: "cardinality", overloads: &[
        Overload::new(&[Kind::List], rows::int4, |args| Ok(Value::Int(leaves(&args[0])))),
    ] },
    RowFunction { name: "array_position", overloads: &[
        Overload::new(&[Kind::List, Kind::Any], rows::int4, position).of_nulls(),
        Overload::new(&[Kind::List, Kind::Any, Kind::Int], rows::int4, position).of_nulls(),
    ] },
    RowFunction { name: "array_positions", overloads: &[
        Overload::new(&[Kind::List, Kind::Any], |_, _| Ok(list_of(DataType::Int32)), |args| Ok(match &args[0] {
            Value::List(items) => Value::List(places(items, &args[1])?.map(Value::Int).collect()),
            _ => Value::Null,
        })).of_nulls(),
    ] },
    RowFunction { name: "array_remove", overloads: &[
        Overload::new(&[Kind::List, Kind::Any], rows::first, |args| replaced(args, None)).of_nulls(),
    ] },
    RowFunction { name: "array_replace", overloads: &[
        Overload::new(&[Kind::List, Kind::Any, Kind::Any], rows::first, |args| replaced(args, Some(&args[2]))).of_nulls(),
    ] },
    RowFunction { name: "arrays_overlap", overloads: &[
        Overload::new(&[Kind::List, Kind::List], rows::bool, |args| {
            let found = args[0].items().iter().any(|one| args[1].items().iter().any(|other| compare(one, other) == Some(Ordering::Equal)));
            Ok(Value::Bool(found))
        }),
    ] },
    RowFunction { name: "array_contains", overloads: &[
        Overload::new(&[Kind::List, Kind::List], rows::bool, |args| {
            let has = |wanted| args[0].items().iter().any(|item| compare(item, wanted) == Some(Ordering::Equal));
            Ok(Value::Bool(args[1].items().iter().all(has)))
        }),
    ] },
    RowFunction { name: "array_order", overloads: &[
        Overload::new(&[Kind::List, Kind::List], rows::int4, |args| Ok(Value::Int(order(&args[0], &args[1]) as i64))),
    ] },
    RowFunction { name: "array_greatest", overloads: &[
        Overload::new(&[Kind::List], rows::first, |args| Ok(extreme(args, Ordering::Greater))).variadic().of_nulls(),
    ] },
    RowFunction { name: "array_least", overloads: &[
        Overload::new(&[Kind::List], rows::first, |args| Ok(extreme(args, Ordering::Less))).variadic().of_nulls(),
    ] },
    RowFunction { name: "trim_array", overloads: &[
        Overload::new(&[Kind::List, Kind::Int], rows::first, trimmed),
    ] },
    RowFunction { name: "array_fill", overloads: &[
        Overload::new(&[Kind::Any, Kind::List], |types, _| Ok(list_of(types.first().cloned().unwrap_or(DataType::Utf8))), filled).of_nulls(),
    ] },
];

/// `@>` and `<@` of arrays: NULL of a NULL array, and no item that is NULL is another one.
#[derive(Debug)]
pub(super) struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> PlanResult<PlannerResult<RawBinaryExpr>> {
        let (whole, part) = match expr.op {
            BinaryOperator::AtArrow => (&expr.left, &expr.right),
            BinaryOperator::ArrowAt => (&expr.right, &expr.left),
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let (whole_type, part_type) = (whole.get_type(schema)?, part.get_type(schema)?);
        let is_list = |data_type: &DataType| matches!(data_type, DataType::List(_));
        if !is_list(&whole_type) && !is_list(&part_type) {
            return Ok(PlannerResult::Original(expr));
        }
        let beside = |expr: &Expr, other: &DataType| match quoted(expr) {
            Some(literal) => {
                Ok(Expr::Literal(text::read(&PgType::of_arrow(other), literal)?, None))
            }
            None => Ok::<_, DataFusionError>(expr.clone()),
        };
        let args = vec![beside(whole, &part_type)?, beside(part, &whole_type)?];
        Ok(PlannerResult::Planned(call(rows::named("array_contains")?, args)))
    }
}

fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

fn integers(types: &[DataType], _: &[Option<&ScalarValue>]) -> PlanResult<DataType> {
    let wide = types.contains(&DataType::Int64);
    Ok(list_of(if wide { DataType::Int64 } else { DataType::Int32 }))
}

fn decimals(types: &[DataType], _: &[Option<&ScalarValue>]) -> PlanResult<DataType> {
    let scales = types.iter().map(|item| match item {
        DataType::Decimal128(_, scale) => *scale,
        _ => 0,
    });
    Ok(list_of(DataType::Decimal128(38, scales.max().unwrap_or(0))))
}

/// The order of two values of one type; None with NULL and of values that have none.
pub(super) fn compare(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    let number = |value: &Value<'_>| match value {
        Value::Short(value) => Some((i128::from(*value), 0)),
        Value::Int(value) => Some((i128::from(*value), 0)),
        Value::Decimal(value, scale) => Some((*value, *scale)),
        _ => None,
    };
    if let (Some((a, a_scale)), Some((b, b_scale))) = (number(a), number(b)) {
        let scale = a_scale.max(b_scale);
        return Some(rescaled(a, a_scale, scale)?.cmp(&rescaled(b, b_scale, scale)?));
    }
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => Some(a.total_cmp(b)),
        #[expect(clippy::cast_precision_loss, reason = "as Postgres compares them")]
        (Value::Float(a), b) => {
            a.partial_cmp(&number(b).map(|(b, s)| b as f64 / 10_f64.powi(s.into()))?)
        }
        #[expect(clippy::cast_precision_loss, reason = "as Postgres compares them")]
        (a, Value::Float(b)) => {
            number(a).map(|(a, s)| a as f64 / 10_f64.powi(s.into()))?.partial_cmp(b)
        }
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
        (Value::Date(a), Value::Date(b)) => Some(a.cmp(b)),
        (Value::Time(a), Value::Time(b))
        | (Value::Timestamp(a), Value::Timestamp(b))
        | (Value::Instant(a), Value::Instant(b)) => Some(a.cmp(b)),
        (Value::Interval(a), Value::Interval(b)) => Some(a.order().cmp(&b.order())),
        _ => None,
    }
}

/// The lengths of an array's dimensions; none of an empty one.
fn dimensions(array: &Value<'_>) -> Vec<usize> {
    let mut lengths = Vec::new();
    let mut next = Some(array);
    while let Some(Value::List(items)) = next {
        if items.is_empty() {
            break;
        }
        lengths.push(items.len());
        next = items.first();
    }
    lengths
}

fn length(args: &[Value<'_>], dimension: i64) -> Value<'static> {
    let index = usize::try_from(dimension - 1).ok();
    let length = index.and_then(|index| dimensions(&args[0]).get(index).copied());
    length.map_or(Value::Null, |length| Value::Int(i64::try_from(length).unwrap_or_default()))
}

/// The items of an array and of those within it.
fn leaves(value: &Value<'_>) -> i64 {
    match value {
        Value::List(items) => items.iter().map(leaves).sum(),
        _ => 1,
    }
}

/// Where an item is in an array, from 1.
fn places<'a>(
    items: &'a [Value<'a>],
    wanted: &'a Value<'a>,
) -> Result<impl Iterator<Item = i64> + 'a> {
    if items.iter().any(|item| matches!(item, Value::List(_))) {
        let what = "searching for elements in multidimensional arrays";
        return Err(FunctionError::not_supported(what, "Search an array of one dimension."));
    }
    Ok((1..).zip(items).filter(|(_, item)| is_same(item, wanted)).map(|(place, _)| place))
}

fn position(args: &[Value<'_>]) -> Outcome {
    let Value::List(items) = &args[0] else { return Ok(Value::Null) };
    let from = match args.get(2) {
        Some(Value::Null) => {
            return Err(FunctionError::new("22004", "initial position must not be null"));
        }
        Some(from) => from.int(),
        None => 1,
    };
    let found = places(items, &args[1])?.find(|place| *place >= from);
    Ok(found.map_or(Value::Null, Value::Int))
}

/// The order of arrays and of their items, as Postgres sorts them: by the first items that differ, of
/// which NULL is the greatest, then by how many there are.
fn order(a: &Value<'_>, b: &Value<'_>) -> Ordering {
    match (a, b) {
        (Value::List(a), Value::List(b)) => {
            let items = a.iter().zip(b).map(|(a, b)| order(a, b));
            items.fold(Ordering::Equal, Ordering::then).then(a.len().cmp(&b.len()))
        }
        _ if a.is_null() || b.is_null() => a.is_null().cmp(&b.is_null()),
        _ => compare(a, b).unwrap_or(Ordering::Equal),
    }
}

/// The array that the others aren't `wanted` beside; NULL only if all are.
fn extreme(arrays: &[Value<'_>], wanted: Ordering) -> Value<'static> {
    let arrays = arrays.iter().filter(|array| !array.is_null());
    let found = arrays.reduce(|found, next| match order(next, found) == wanted {
        true => next,
        false => found,
    });
    found.map_or(Value::Null, |array| array.clone().into_owned())
}

/// NULL is the same as NULL here.
fn is_same(item: &Value<'_>, wanted: &Value<'_>) -> bool {
    match (item.is_null(), wanted.is_null()) {
        (true, true) => true,
        (false, false) => compare(item, wanted) == Some(Ordering::Equal),
        _ => false,
    }
}

/// Every item that is the second argument is another, or gone.
fn replaced(args: &[Value<'_>], with: Option<&Value<'_>>) -> Outcome {
    let Value::List(items) = &args[0] else { return Ok(Value::Null) };
    let items = items.iter().filter_map(|item| match (is_same(item, &args[1]), with) {
        (false, _) => Some(item.clone().into_owned()),
        (true, Some(other)) => Some(other.clone().into_owned()),
        (true, None) => None,
    });
    Ok(Value::List(items.collect()))
}

fn trimmed(args: &[Value<'_>]) -> Outcome {
    let items = args[0].items();
    let count = args[1].int();
    let kept = usize::try_from(count).ok().and_then(|count| items.len().checked_sub(count));
    let kept = kept.ok_or_else(|| {
        let message = format!("number of elements to trim must be between 0 and {}", items.len());
        FunctionError::new("2202E", message)
    })?;
    Ok(Value::List(items[..kept].iter().map(|item| item.clone().into_owned()).collect()))
}

fn filled(args: &[Value<'_>]) -> Outcome {
    let [Value::Int(count)] = args[1].items() else {
        return Err(FunctionError::not_supported(
            "array_fill of several dimensions",
            "Fill one dimension.",
        ));
    };
    let count = usize::try_from(*count).unwrap_or_default();
    if count > ITEMS_MAX {
        return Err(too_many());
    }
    Ok(Value::List(vec![args[0].clone().into_owned(); count]))
}

fn too_many() -> FunctionError {
    FunctionError::new("54000", format!("more than {ITEMS_MAX} items"))
        .with_hint("Choose a shorter range or a longer step.")
}

fn zero_step() -> FunctionError {
    FunctionError::argument("step size cannot equal zero")
}

fn series(args: &[Value<'_>]) -> Outcome {
    let bounds = [args[0].int(), args[1].int(), args.get(2).map_or(1, |step| step.int())];
    let items = stepped(bounds[0].into(), bounds[1].into(), bounds[2].into())?;
    let items = items.into_iter().map(|item| Value::Int(i64::try_from(item).unwrap_or_default()));
    Ok(Value::List(items.collect()))
}

fn stepped(from: i128, to: i128, step: i128) -> Result<Vec<i128>> {
    if step == 0 {
        return Err(zero_step());
    }
    if (step > 0 && from > to) || (step < 0 && from < to) {
        return Ok(Vec::new());
    }
    let count = (to - from) / step + 1;
    let count = usize::try_from(count).ok().filter(|count| *count <= ITEMS_MAX);
    let count = count.ok_or_else(too_many)?;
    Ok((0..count).map(|index| from + step * i128::try_from(index).unwrap_or_default()).collect())
}

fn decimal_series(args: &[Value<'_>]) -> Outcome {
    let parts = |value: &Value<'_>| match value {
        Value::Decimal(value, scale) => (*value, *scale),
        other => (other.int().into(), 0),
    };
    let scale = args.iter().map(|arg| parts(arg).1).max().unwrap_or(0);
    let at = |index: usize| {
        let (value, from) = args.get(index).map_or((1, 0), parts);
        let overflow = || FunctionError::new("22003", "numeric value out of range");
        rescaled(value, from, scale).ok_or_else(overflow)
    };
    let items = stepped(at(0)?, at(1)?, at(2)?)?;
    Ok(Value::List(items.into_iter().map(|item| Value::Decimal(item, scale)).collect()))
}

fn moment_series(args: &[Value<'_>], wrap: fn(i64) -> Value<'static>) -> Outcome {
    let (from, to) = (micros(&args[0]), micros(&args[1]));
    let step = match args[2] {
        Value::Interval(step) => step,
        _ => Interval::default(),
    };
    if !is_finite(from) || !is_finite(to) {
        let message = "start and stop of a series cannot be infinity";
        return Err(FunctionError::argument(message));
    }
    let clock = args.get(3).map(|name| zone(name.str())).transpose()?;
    let direction = step.order().cmp(&0);
    let mut items = Vec::new();
    let mut next = from;
    loop {
        match direction {
            Ordering::Equal => return Err(zero_step()),
            Ordering::Greater if next > to => break,
            Ordering::Less if next < to => break,
            _ => {}
        }
        if items.len() >= ITEMS_MAX {
            return Err(too_many());
        }
        items.push(wrap(next));
        next = match &clock {
            Some(clock) => later_in(next, step, clock)?,
            None => later(next, step)?,
        };
    }
    Ok(Value::List(items))
}
