//! The table of functions and operators that are pushed.

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::{Like, Operator};

use super::literal;
use super::value::{Binding, Value, integer_range};
use super::{NotPushable, Result};

/// A call of an aggregate function.
pub(crate) struct AggregateCall {
    pub(crate) args: Vec<Value>,
    pub(crate) distinct: bool,
    /// The condition of FILTER.
    pub(crate) filter: Option<String>,
    /// Of WITHIN GROUP.
    pub(crate) descending: Option<bool>,
    pub(crate) data_type: DataType,
}

impl AggregateCall {
    fn arg(&self, index: usize) -> Result<&Value> {
        self.args.get(index).ok_or_else(|| NotPushable::new("an aggregate without its argument"))
    }

    /// `function([DISTINCT ]argument)[ FILTER (WHERE …)]`.
    fn of(&self, function: &str, argument: &str) -> String {
        let distinct = if self.distinct { "DISTINCT " } else { "" };
        format!("{function}({distinct}{argument}){}", self.filtered())
    }

    fn filtered(&self) -> String {
        match &self.filter {
            Some(filter) => format!(" FILTER (WHERE {filter})"),
            None => String::new(),
        }
    }
}

pub(crate) fn aggregate(name: &str, call: &AggregateCall) -> Result<Value> {
    match name {
        "count" => count(call),
        "sum" => sum(call),
        "min" | "max" => extreme(name, call),
        "avg" if call.data_type == DataType::Float64 => {
            Ok(Value::new(call.of("avg", &call.arg(0)?.sql), DataType::Float64, true))
        }
        other => Err(NotPushable::new(format!("the aggregate {other}"))),
    }
}

fn count(call: &AggregateCall) -> Result<Value> {
    let arg = call.arg(0)?;
    let sql = if call.distinct {
        let arg = match arg.native.as_ref().filter(|native| native.is_injective()) {
            Some(native) => native.sql.clone(),
            None => arg.typed()?,
        };
        format!("ifNull(uniqExact({arg}){}, 0)", call.filtered())
    } else if arg.literal.is_some() && !arg.is_null_literal() {
        format!("count(){}", call.filtered())
    } else {
        format!("count({}){}", arg.sql, call.filtered())
    };
    let range = Some((0, 1 << 50));
    Ok(Value { range, ..Value::new(format!("toInt64({sql})"), DataType::Int64, false) })
}

fn sum(call: &AggregateCall) -> Result<Value> {
    let arg = call.arg(0)?;
    let narrow = match &arg.origin {
        Some(origin) if call.data_type == DataType::Int64 && origin.data_type.is_integer() => {
            origin
        }
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

fn extreme(name: &str, call: &AggregateCall) -> Result<Value> {
    let arg = call.arg(0)?;
    match arg.native.as_ref().filter(|native| native.is_ordered()) {
        Some(native) => {
            let sql = call.of(name, &native.sql);
            let native = super::native::Native { sql, stored: native.stored.clone() };
            super::native::with_native(native, &arg.data_type, true)
        }
        None => Ok(Value::new(call.of(name, &arg.typed()?), arg.data_type.clone(), true)),
    }
}

pub(crate) fn scalar(name: &str, _args: Vec<Value>, _data_type: DataType) -> Result<Value> {
    Err(NotPushable::new(format!("the function {name}")))
}

pub(crate) fn operator(op: Operator, left: Value, right: Value) -> Result<Value> {
    let integers = left.data_type.is_integer() && right.data_type.is_integer();
    match op {
        Operator::Plus | Operator::Minus | Operator::Multiply if integers => {
            integer_arithmetic(op, &left, &right)
        }
        op => Err(NotPushable::new(format!("{} {op} {}", left.data_type, right.data_type))),
    }
}

/// Overflow is an error: where the operands' ranges allow it, the result is computed wider.
fn integer_arithmetic(op: Operator, left: &Value, right: &Value) -> Result<Value> {
    let data_type = left.data_type.clone();
    let (a, b) = (left.integer_range()?, right.integer_range()?);
    let (symbol, binding, range) = match op {
        Operator::Plus => ("+", Binding::Sum, (a.0 + b.0, a.1 + b.1)),
        Operator::Minus => ("-", Binding::Sum, (a.0 - b.1, a.1 - b.0)),
        _ => {
            let products = [a.0 * b.0, a.0 * b.1, a.1 * b.0, a.1 * b.1];
            let least = products.iter().min().copied().unwrap_or_default();
            ("*", Binding::Product, (least, products.iter().max().copied().unwrap_or_default()))
        }
    };
    let limits = integer_range(&data_type)
        .ok_or_else(|| NotPushable::new("arithmetic on something that is no integer"))?;
    let right_binding = if binding == Binding::Sum { Binding::Product } else { Binding::Atom };
    let fits = limits.0 <= range.0 && range.1 <= limits.1;
    if fits {
        let sql = format!("{} {symbol} {}", left.at(binding), right.at(right_binding));
        let value = Value::new(sql, data_type, false).from_parts([left, right]);
        return Ok(Value { binding, range: Some(range), ..value });
    }
    let sql = format!(
        "accurateCast(toInt128({}) {symbol} {}, '{data_type}')",
        left.sql,
        right.at(right_binding)
    );
    Ok(Value::new(sql, data_type, false).from_parts([left, right]))
}

pub(crate) fn negative(value: &Value) -> Result<Value> {
    Err(NotPushable::new(format!("- {}", value.data_type)))
}

pub(crate) fn concatenation(parts: &[Value]) -> Result<Value> {
    let sql: Vec<&str> = parts.iter().map(|part| part.sql.as_str()).collect();
    Ok(Value::new(format!("concat({})", sql.join(", ")), DataType::Utf8, false).from_parts(parts))
}

pub(crate) fn like(value: &Value, pattern: &Value, like: &Like) -> Result<Value> {
    let Some(text) = pattern.literal_text() else {
        return Err(NotPushable::new("LIKE with a pattern that isn't a constant"));
    };
    if like.escape_char.is_some_and(|escape| escape != '\\') {
        return Err(NotPushable::new("LIKE with another escape character"));
    }
    let keyword = match (like.negated, like.case_insensitive) {
        (false, false) => "LIKE",
        (true, false) => "NOT LIKE",
        (false, true) => "ILIKE",
        (true, true) => "NOT ILIKE",
    };
    let sql = format!("{} {keyword} {}", value.at(Binding::Sum), literal::text(text));
    Ok(Value::condition(sql, false, Binding::Comparison).from_parts([value]))
}
