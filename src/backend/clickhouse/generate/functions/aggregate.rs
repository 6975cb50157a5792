//! Aggregates.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;

use super::super::native::{self, Native};
use super::super::value::{Binding, Value};
use super::super::{NotPushable, Result, nan};
use super::{Entry, Form};
use crate::functions::{SEVERAL_ROWS, SINGLE_VALUE};

/// The examples are over the table `numbers`, whose rows are written beside them in the test.
#[rustfmt::skip]
pub(super) const ENTRIES: &[Entry] = &[
    Entry { name: "count", signature: "any | * -> int8; DISTINCT too", constants: &[], form: Form::Aggregate(count),
        examples: &[("count(*)", Some("6")), ("count(i)", Some("5")), ("count(DISTINCT i)", Some("4")), ("count(DISTINCT t)", Some("4")), ("count(*) FILTER (WHERE i > 100)", Some("0")), ("count(DISTINCT i) FILTER (WHERE i > 100)", Some("0"))] },
    Entry { name: "sum", signature: "int | numeric | float8 -> int8 | numeric | float8", constants: &[], form: Form::Aggregate(sum),
        examples: &[("sum(i)", Some("16")), ("sum(DISTINCT i)", Some("12")), ("sum(n)", Some("10.11")), ("sum(f)", Some("12.25")), ("sum(i) FILTER (WHERE i > 100)", None),
            ("sum(CASE WHEN i > 2 THEN 1 ELSE 0 END)", Some("3")), ("sum(i * 2)", Some("32")), ("sum(b)", Some("27670116110564327421"))] },
    Entry { name: "min", signature: "any -> the same", constants: &[], form: Form::Aggregate(|call| extreme("min", call)),
        examples: &[("min(i)", Some("1")), ("min(t)", Some("a")), ("min(at)", Some("1960-01-01 00:00:00+00")), ("min(d)", Some("1960-01-01")), ("min(n) FILTER (WHERE i > 100)", None)] },
    Entry { name: "max", signature: "any -> the same", constants: &[], form: Form::Aggregate(|call| extreme("max", call)),
        examples: &[("max(i)", Some("5")), ("max(t)", Some("ä")), ("max(n)", Some("5.50")), ("max(at)", Some("2026-03-29 01:00:00.5+00"))] },
    Entry { name: "avg", signature: "float8 -> float8; of numbers as sum and count", constants: &[], form: Form::Aggregate(avg),
        examples: &[("avg(f)", Some("2.45")), ("avg(n)", Some("2.0220000000000000")), ("avg(i)", Some("3.2000000000000000")), ("avg(i) FILTER (WHERE i > 100)", None), ("avg(n) FILTER (WHERE i > 100)", None), ("avg(DISTINCT i)", Some("3.0000000000000000"))] },
    Entry { name: "last_value", signature: "any ORDER BY any, each ascending -> the same", constants: &[], form: Form::Aggregate(last_value),
        examples: &[("last_value(t ORDER BY i)", Some("c")), ("last_value(t ORDER BY i NULLS FIRST)", None), ("last_value(n ORDER BY d NULLS FIRST, id)", Some("0.50")), ("last_value(coalesce(i, -1) ORDER BY coalesce(at, timestamptz '1950-01-01 00:00:00+00'), coalesce(i, -1))", Some("2")),
            ("last_value(coalesce(n, 0) ORDER BY coalesce(at, timestamptz '1950-01-01 00:00:00+00'), coalesce(n, 0)) FILTER (WHERE id > 3)", Some("3.10")),
            ("last_value(t ORDER BY i) FILTER (WHERE i < 3)", Some("b"))] },
    Entry { name: "bool_and", signature: "bool -> bool", constants: &[], form: Form::Aggregate(|call| truth("min", call)),
        examples: &[("bool_and(i > 0)", Some("t")), ("bool_and(i > 1)", Some("f")), ("bool_and(i > 0) FILTER (WHERE i > 100)", None)] },
    Entry { name: "bool_or", signature: "bool -> bool", constants: &[], form: Form::Aggregate(|call| truth("max", call)),
        examples: &[("bool_or(i > 4)", Some("t")), ("bool_or(i > 5)", Some("f"))] },
    Entry { name: "bit_and", signature: "int -> the same", constants: &[], form: Form::Aggregate(|call| bits("groupBitAnd", call)),
        examples: &[("bit_and(i)", Some("0")), ("bit_and(-i)", Some("-8")), ("bit_and(i) FILTER (WHERE i > 100)", None)] },
    Entry { name: "bit_or", signature: "int -> the same", constants: &[], form: Form::Aggregate(|call| bits("groupBitOr", call)),
        examples: &[("bit_or(i)", Some("7")), ("bit_or(i) FILTER (WHERE i > 100)", None)] },
    Entry { name: "bit_xor", signature: "int -> the same", constants: &[], form: Form::Aggregate(|call| bits("groupBitXor", call)),
        examples: &[("bit_xor(i)", Some("6")), ("bit_xor(DISTINCT i)", Some("2")), ("bit_xor(i) FILTER (WHERE i > 100)", None)] },
    Entry { name: "mode", signature: "WITHIN GROUP (ORDER BY any) -> the same", constants: &[], form: Form::Aggregate(mode),
        examples: &[("mode() WITHIN GROUP (ORDER BY i)", Some("4")), ("mode() WITHIN GROUP (ORDER BY t)", Some("a")), ("mode() WITHIN GROUP (ORDER BY n)", Some("0.01")), ("mode() WITHIN GROUP (ORDER BY d)", Some("1960-01-01")),
            ("mode() WITHIN GROUP (ORDER BY t) FILTER (WHERE i > 100)", None)] },
    Entry { name: SINGLE_VALUE, signature: "any -> the same; of a subquery's only row", constants: &[], form: Form::Aggregate(single_value), examples: &[] },
    Entry { name: "approx_distinct", signature: "any -> int8; near count(DISTINCT)", constants: &[], form: Form::Aggregate(approx_distinct), examples: &[] },
    Entry { name: "percentile_cont", signature: "float8 WITHIN GROUP (ORDER BY number) -> float8", constants: &[], form: Form::Aggregate(|call| percentile("quantileExactInclusive", call)),
        examples: &[("percentile_cont(0.5) WITHIN GROUP (ORDER BY i)", Some("4")), ("percentile_cont(0.25) WITHIN GROUP (ORDER BY n)", Some("0.5")), ("percentile_cont(0.5) WITHIN GROUP (ORDER BY f)", Some("2.75")),
            ("percentile_cont(0.5) WITHIN GROUP (ORDER BY i) FILTER (WHERE i > 100)", None)] },
    Entry { name: "percentile_disc", signature: "any WITHIN GROUP (ORDER BY any) -> any", constants: &[], form: Form::Aggregate(percentile_disc),
        examples: &[("percentile_disc(0.5) WITHIN GROUP (ORDER BY i)", Some("4")), ("percentile_disc(0.4) WITHIN GROUP (ORDER BY n)", Some("0.50")), ("percentile_disc(0.9) WITHIN GROUP (ORDER BY t)", Some("ä")),
            ("percentile_disc(0) WITHIN GROUP (ORDER BY d)", Some("1960-01-01")), ("percentile_disc(0.9) WITHIN GROUP (ORDER BY i) FILTER (WHERE i > 100)", None)] },
    Entry { name: "approx_percentile_cont", signature: "float8, float8 -> float8; near percentile_cont", constants: &[], form: Form::Aggregate(approx_percentile), examples: &[] },
    Entry { name: "var", signature: "float8 -> float8; as near as sums of floats are", constants: &[], form: Form::Aggregate(|call| deviation("varSampStable", 2, call)), examples: &[] },
    Entry { name: "var_pop", signature: "float8 -> float8; as near as sums of floats are", constants: &[], form: Form::Aggregate(|call| deviation("varPopStable", 1, call)), examples: &[] },
    Entry { name: "stddev", signature: "float8 -> float8; as near as sums of floats are", constants: &[], form: Form::Aggregate(|call| deviation("stddevSampStable", 2, call)), examples: &[] },
    Entry { name: "stddev_pop", signature: "float8 -> float8; as near as sums of floats are", constants: &[], form: Form::Aggregate(|call| deviation("stddevPopStable", 1, call)), examples: &[] },
];

/// What an aggregate's rows are ordered by.
pub(crate) struct OrderKey {
    pub(crate) key: Value,
    pub(crate) ascends: bool,
    pub(crate) nulls_first: bool,
}

/// A call of an aggregate function.
pub(crate) struct AggregateCall {
    pub(crate) args: Vec<Value>,
    pub(crate) distinct: bool,
    /// The condition of FILTER.
    pub(crate) filter: Option<String>,
    /// Of WITHIN GROUP or ORDER BY.
    pub(crate) order: Vec<OrderKey>,
    /// `OVER (…)`, for an aggregate that is used as a window function.
    pub(crate) over: String,
    pub(crate) data_type: DataType,
}

impl AggregateCall {
    fn arg(&self, index: usize) -> Result<&Value> {
        self.args.get(index).ok_or_else(|| NotPushable::new("an aggregate without its argument"))
    }

    /// `function([DISTINCT ]argument)[ FILTER (WHERE …)][ OVER (…)]`.
    fn of(&self, function: &str, argument: &str) -> String {
        let distinct = if self.distinct { "DISTINCT " } else { "" };
        self.without_distinct(&format!("{function}({distinct}{argument})"))
    }

    fn without_distinct(&self, call: &str) -> String {
        let filter = match &self.filter {
            Some(filter) => format!(" FILTER (WHERE {filter})"),
            None => String::new(),
        };
        format!("{call}{filter}{}", self.over)
    }
}

/// The call of an aggregate by its name in the plan.
pub(crate) fn aggregate(name: &str, call: &AggregateCall) -> Result<Value> {
    let form = super::forms(name).find_map(|form| match form {
        Form::Aggregate(form) => Some(form),
        _ => None,
    });
    let value = form.ok_or_else(|| NotPushable::new(format!("the aggregate {name}")))?(call)?;
    Ok(nan::computed(value, &call.args))
}

/// The stored column where it tells values apart as well as its reading.
fn distinct_argument(arg: &Value) -> Result<String> {
    match arg.native.as_ref().filter(|native| native.is_injective()) {
        Some(native) => Ok(native.sql.clone()),
        None => nan::key(arg.clone())?.typed(),
    }
}

fn count(call: &AggregateCall) -> Result<Value> {
    let arg = call.arg(0)?;
    let sql = if call.distinct {
        let argument = distinct_argument(arg)?;
        call.without_distinct(&format!("uniqExact({argument})"))
    } else if arg.literal.is_some() && !arg.is_null_literal() {
        call.without_distinct("count()")
    } else {
        call.of("count", &arg.sql)
    };
    // No table has more rows than this, so sums of some counts need no check.
    let range = Some((0, 1 << 50));
    Ok(Value { range, ..Value::new(format!("toInt64({sql})"), DataType::Int64, false) })
}

fn sum(call: &AggregateCall) -> Result<Value> {
    let arg = call.arg(0)?;
    let integers = |value: &Value| value.data_type.is_integer();
    let narrow = match &arg.origin {
        Some(origin) if call.data_type == DataType::Int64 && integers(origin) => origin,
        // The sum of decimals has 38 digits whatever it is of.
        Some(origin) if is_decimal(&call.data_type) && scale_of(origin) == scale_of(arg) => origin,
        _ => arg,
    };
    let sql = call.of("sum", &narrow.sql);
    match &call.data_type {
        DataType::Int64 if narrow.plain => Ok(Value::new(sql, DataType::Int64, true)),
        DataType::Int64 => Ok(Value::new(format!("toInt64({sql})"), DataType::Int64, true)),
        DataType::Decimal128(_, _) | DataType::Decimal256(_, _) | DataType::Float64 => {
            Ok(Value::new(sql, call.data_type.clone(), true))
        }
        other => Err(NotPushable::new(format!("a sum of type {other}"))),
    }
}

fn is_decimal(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal128(_, _))
}

fn scale_of(value: &Value) -> Option<i8> {
    match value.data_type {
        DataType::Decimal128(_, scale) => Some(scale),
        _ => None,
    }
}

fn avg(call: &AggregateCall) -> Result<Value> {
    match call.arg(0)?.data_type {
        DataType::Float64 => {
            Ok(Value::new(call.of("avg", &call.arg(0)?.sql), DataType::Float64, true))
        }
        ref other => Err(NotPushable::new(format!("an average of {other}"))),
    }
}

fn extreme(function: &str, call: &AggregateCall) -> Result<Value> {
    let arg = call.arg(0)?;
    match arg.native.as_ref().filter(|native| native.is_ordered()) {
        Some(native) => {
            let sql = call.of(function, &native.sql);
            let native = Native { sql, stored: native.stored.clone() };
            native::with_native(native, &arg.data_type, true)
        }
        None => {
            let argument = arg.typed()?;
            let sql = call.of(function, &argument);
            // ClickHouse leaves NaN out, unless there is nothing else.
            let sql = if function == "max" && nan::is_possible(arg) {
                let is_nan = call.of("max", &format!("isNaN({argument})"));
                format!("if({is_nan} = 1, {}, {sql})", nan::literal(&arg.data_type))
            } else {
                sql
            };
            Ok(Value::new(sql, arg.data_type.clone(), true))
        }
    }
}

/// What is greater the later its key is, and never NULL.
fn place_of(OrderKey { key, nulls_first, .. }: &OrderKey) -> String {
    let sql = match &key.native {
        Some(native) if native.is_ordered() => &native.sql,
        _ => &key.sql,
    };
    let present = if key.nullable { format!("assumeNotNull({sql})") } else { sql.clone() };
    let present = match nan::is_possible(key) {
        true => format!("isNaN({present}), {present}"),
        false => present,
    };
    if !key.nullable {
        return present;
    }
    let test = if *nulls_first { "IS NOT NULL" } else { "IS NULL" };
    format!("{} {test}, {present}", key.at(Binding::Sum))
}

/// argMax skips NULLs, but not in a tuple.
fn last_value(call: &AggregateCall) -> Result<Value> {
    let arg = call.arg(0)?.typed()?;
    if call.distinct || call.order.is_empty() || !call.order.iter().all(|key| key.ascends) {
        return Err(NotPushable::new("a last value in no order, or a descending one"));
    }
    if let Some(place) = packed_place(call)? {
        let last = call.of("argMax", &format!("{arg}, {place}"));
        return Ok(Value::new(last, call.data_type.clone(), true));
    }
    let keys: Vec<String> = call.order.iter().map(place_of).collect();
    let last = call.of("argMax", &format!("tuple({arg}), tuple({})", keys.join(", ")));
    Ok(Value::new(format!("tupleElement({last}, 1)"), call.data_type.clone(), true))
}

/// A moment and the number itself, for the greatest of those of the last moment: in one integer, which
/// is compared several times faster than a tuple. None of other orders.
fn packed_place(call: &AggregateCall) -> Result<Option<String>> {
    let number = call.arg(0)?;
    let [OrderKey { key: moment, .. }, OrderKey { key: second, .. }] = &call.order[..] else {
        return Ok(None);
    };
    let is_moment = matches!(moment.data_type, DataType::Timestamp(TimeUnit::Microsecond, _));
    if !is_moment || moment.nullable || number.nullable || second.sql != number.sql {
        return Ok(None);
    }
    let number = match &number.data_type {
        DataType::Int16 | DataType::Int32 | DataType::Int64 => format!("toInt64({})", number.sql),
        // The digits, whose order is that of the numbers.
        DataType::Decimal128(..=18, scale) => {
            format!("reinterpretAsInt64(CAST({} AS Decimal(18, {scale})))", number.sql)
        }
        _ => return Ok(None),
    };
    let moment = format!("toUnixTimestamp64Micro({})", moment.sql);
    Ok(Some(format!("bitShiftLeft(toInt128({moment}), 64) + {number}")))
}

fn truth(function: &str, call: &AggregateCall) -> Result<Value> {
    let sql = call.of(function, &call.arg(0)?.sql);
    Ok(Value { loose_bool: true, ..Value::new(sql, DataType::Boolean, true) })
}

/// Of no rows ClickHouse gives zeros or ones, unless the argument may be NULL.
fn bits(function: &str, call: &AggregateCall) -> Result<Value> {
    let arg = call.arg(0)?;
    if !call.data_type.is_signed_integer() || arg.data_type != call.data_type {
        return Err(NotPushable::new(format!("{function} of {}", arg.data_type)));
    }
    let sql = format!("to{}({})", call.data_type, call.of(function, &arg.as_nullable()?));
    Ok(Value::new(sql, call.data_type.clone(), true))
}

/// The most frequent value, of several the least, from how often there is each.
fn mode(call: &AggregateCall) -> Result<Value> {
    let arg = call.arg(0)?;
    let descends = call.order.first().is_some_and(|key| !key.ascends);
    if call.distinct || descends || nan::is_possible(arg) {
        return Err(NotPushable::new(
            "a mode of distinct values, of floats or in descending order",
        ));
    }
    let value = arg.typed()?;
    let (values, ones) = match arg.nullable {
        true => (
            format!("if({value} IS NULL, [], [assumeNotNull({value})])"),
            format!("if({value} IS NULL, [], [toUInt64(1)])"),
        ),
        false => (format!("[{value}]"), "[toUInt64(1)]".to_owned()),
    };
    let counts = call.of("sumMap", &format!("{values}, {ones}"));
    let pairs = format!("arrayZip(({counts}).1, ({counts}).2)");
    let first = format!("arraySort(pair -> (-toInt64(pair.2), pair.1), {pairs})[1].1");
    let count = call.of("count", &value);
    Ok(Value::new(format!("if({count} = 0, NULL, {first})"), call.data_type.clone(), true))
}

/// `any` leaves NULL out, and is it where there is nothing else.
fn single_value(call: &AggregateCall) -> Result<Value> {
    if call.distinct || call.filter.is_some() || !call.over.is_empty() {
        return Err(NotPushable::new("some of the rows that a value has to be the only one of"));
    }
    let value = call.arg(0)?.typed()?;
    let sql = format!("if(throwIf(count() > 1, '{SEVERAL_ROWS}') = 0, any({value}), NULL)");
    Ok(Value::new(sql, call.data_type.clone(), true))
}

fn approx_distinct(call: &AggregateCall) -> Result<Value> {
    let argument = distinct_argument(call.arg(0)?)?;
    let sql = call.without_distinct(&format!("uniq({argument})"));
    let sql = format!("to{}({sql})", call.data_type);
    Ok(Value::new(sql, call.data_type.clone(), false))
}

/// The constant share of an ascending percentile.
fn share_of(call: &AggregateCall) -> Result<f64> {
    if call.distinct || call.order.first().is_some_and(|key| !key.ascends) {
        return Err(NotPushable::new("a percentile of distinct values or in descending order"));
    }
    match call.arg(1)?.literal {
        Some(ScalarValue::Float64(Some(share))) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(NotPushable::new("a percentile that isn't a constant")),
    }
}

fn percentile(function: &str, call: &AggregateCall) -> Result<Value> {
    let (share, arg) = (share_of(call)?, call.arg(0)?);
    if arg.data_type != DataType::Float64 {
        return Err(NotPushable::new(format!("a percentile of {}", arg.data_type)));
    }
    let sql = call.of(&format!("{function}({share})"), &arg.sql);
    Ok(Value::new(sql, DataType::Float64, true))
}

/// quantileExactLow is the lower median, but for other shares it takes the value after the one that
/// Postgres takes; there the sorted group is asked for its place.
fn percentile_disc(call: &AggregateCall) -> Result<Value> {
    let (share, arg) = (share_of(call)?, call.arg(0)?.typed()?);
    let ordered_number = call.data_type.is_numeric();
    #[allow(clippy::float_cmp)] // the constant itself
    let sql = if share == 0.5 && ordered_number && !nan::is_possible(call.arg(0)?) {
        call.of("quantileExactLow(0.5)", &arg)
    } else {
        let count = call.of("count", &arg);
        let values = call.of("groupArray", &arg);
        let place = format!("toUInt64(greatest(1, ceil({share:e} * {count})))");
        format!("if({count} = 0, NULL, arrayElement(arraySort({values}), {place}))")
    };
    Ok(Value::new(sql, call.data_type.clone(), true))
}

fn approx_percentile(call: &AggregateCall) -> Result<Value> {
    let (share, arg) = (share_of(call)?, call.arg(0)?);
    if arg.data_type != DataType::Float64 || call.args.len() > 2 {
        return Err(NotPushable::new("an approximate percentile of another type"));
    }
    let sql = call.of(&format!("quantile({share})"), &arg.sql);
    Ok(Value::new(sql, DataType::Float64, true))
}

/// NULL for fewer values than the formula needs.
fn deviation(function: &str, least: u8, call: &AggregateCall) -> Result<Value> {
    let arg = call.arg(0)?;
    if arg.data_type != DataType::Float64 || call.distinct {
        return Err(NotPushable::new(format!("a deviation of {}", arg.data_type)));
    }
    let count = call.of("count", &arg.sql);
    let sql = format!("if({count} < {least}, NULL, {})", call.of(function, &arg.sql));
    Ok(Value::new(sql, DataType::Float64, true))
}
