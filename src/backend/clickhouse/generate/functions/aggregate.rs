//! Aggregates.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

use super::super::native::{self, Native};
use super::super::value::Value;
use super::super::{NotPushable, Result};
use super::{Entry, Form};

/// The examples are over the table `numbers`, whose rows are written beside them in the test.
#[rustfmt::skip]
pub(super) const ENTRIES: &[Entry] = &[
    Entry { name: "count", signature: "any | * -> int8; DISTINCT too", constants: &[], form: Form::Aggregate(count),
        examples: &[("count(*)", Some("6")), ("count(i)", Some("5")), ("count(DISTINCT i)", Some("4")), ("count(DISTINCT t)", Some("3")), ("count(*) FILTER (WHERE i > 100)", Some("0")), ("count(DISTINCT i) FILTER (WHERE i > 100)", Some("0"))] },
    Entry { name: "sum", signature: "int | numeric | float8 -> int8 | numeric | float8", constants: &[], form: Form::Aggregate(sum),
        examples: &[("sum(i)", Some("15")), ("sum(DISTINCT i)", Some("11")), ("sum(n)", Some("10.10")), ("sum(f)", Some("7.75")), ("sum(i) FILTER (WHERE i > 100)", None),
            ("sum(CASE WHEN i > 2 THEN 1 ELSE 0 END)", Some("3")), ("sum(i * 2)", Some("30")), ("sum(b)", Some("27670116110564327421"))] },
    Entry { name: "min", signature: "any -> the same", constants: &[], form: Form::Aggregate(|call| extreme("min", call)),
        examples: &[("min(i)", Some("1")), ("min(t)", Some("a")), ("min(at)", Some("1960-01-01 00:00:00")), ("min(d)", Some("1960-01-01")), ("min(n) FILTER (WHERE i > 100)", None)] },
    Entry { name: "max", signature: "any -> the same", constants: &[], form: Form::Aggregate(|call| extreme("max", call)),
        examples: &[("max(i)", Some("5")), ("max(t)", Some("ä")), ("max(n)", Some("5.50")), ("max(at)", Some("2026-03-29 01:00:00.5"))] },
    Entry { name: "avg", signature: "float8 -> float8; of numbers as sum and count", constants: &[], form: Form::Aggregate(avg),
        examples: &[("avg(f)", Some("1.9375")), ("avg(n)", Some("2.5250000000000000")), ("avg(i)", Some("3")), ("avg(i) FILTER (WHERE i > 100)", None), ("avg(n) FILTER (WHERE i > 100)", None), ("avg(DISTINCT i)", Some("2.75"))] },
    Entry { name: "bool_and", signature: "bool -> bool", constants: &[], form: Form::Aggregate(|call| truth("min", call)),
        examples: &[("bool_and(i > 0)", Some("t")), ("bool_and(i > 1)", Some("f")), ("bool_and(i > 0) FILTER (WHERE i > 100)", None)] },
    Entry { name: "bool_or", signature: "bool -> bool", constants: &[], form: Form::Aggregate(|call| truth("max", call)),
        examples: &[("bool_or(i > 4)", Some("t")), ("bool_or(i > 5)", Some("f"))] },
    Entry { name: "approx_distinct", signature: "any -> int8; near count(DISTINCT)", constants: &[], form: Form::Aggregate(approx_distinct), examples: &[] },
    Entry { name: "percentile_cont", signature: "float8 WITHIN GROUP (ORDER BY number) -> float8", constants: &[], form: Form::Aggregate(|call| percentile("quantileExactInclusive", call)),
        examples: &[("percentile_cont(0.5) WITHIN GROUP (ORDER BY i)", Some("4")), ("percentile_cont(0.25) WITHIN GROUP (ORDER BY n)", Some("1.125")), ("percentile_cont(0.5) WITHIN GROUP (ORDER BY f)", Some("2.125")),
            ("percentile_cont(0.5) WITHIN GROUP (ORDER BY i) FILTER (WHERE i > 100)", None)] },
];

/// A call of an aggregate function.
pub(crate) struct AggregateCall {
    pub(crate) args: Vec<Value>,
    pub(crate) distinct: bool,
    /// The condition of FILTER.
    pub(crate) filter: Option<String>,
    /// Of WITHIN GROUP.
    pub(crate) descending: Option<bool>,
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
    form.ok_or_else(|| NotPushable::new(format!("the aggregate {name}")))?(call)
}

/// The stored column where it tells values apart as well as its reading.
fn distinct_argument(arg: &Value) -> Result<String> {
    match arg.native.as_ref().filter(|native| native.is_injective()) {
        Some(native) => Ok(native.sql.clone()),
        None => arg.typed(),
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
            let sql = call.of(function, &arg.typed()?);
            Ok(Value::new(sql, arg.data_type.clone(), true))
        }
    }
}

fn truth(function: &str, call: &AggregateCall) -> Result<Value> {
    let sql = call.of(function, &call.arg(0)?.sql);
    Ok(Value { loose_bool: true, ..Value::new(sql, DataType::Boolean, true) })
}

fn approx_distinct(call: &AggregateCall) -> Result<Value> {
    let argument = distinct_argument(call.arg(0)?)?;
    let sql = call.without_distinct(&format!("uniq({argument})"));
    let sql = format!("to{}({sql})", call.data_type);
    Ok(Value::new(sql, call.data_type.clone(), false))
}

fn percentile(function: &str, call: &AggregateCall) -> Result<Value> {
    let share = match call.arg(1)?.literal {
        Some(ScalarValue::Float64(Some(share))) if (0.0..=1.0).contains(&share) => share,
        _ => return Err(NotPushable::new("a percentile that isn't a constant")),
    };
    if call.distinct || call.descending == Some(true) {
        return Err(NotPushable::new("a percentile in descending order"));
    }
    let arg = call.arg(0)?;
    if arg.data_type != call.data_type {
        return Err(NotPushable::new("a percentile of another type"));
    }
    let sql = call.of(&format!("{function}({share})"), &arg.sql);
    Ok(Value::new(sql, call.data_type.clone(), true))
}
