//! Window functions.

use datafusion::arrow::datatypes::DataType;

use super::super::value::Value;
use super::super::{NotPushable, Result};
use super::{Entry, Form};

/// The examples are over the table `numbers`, ordered by `id`; the answer is that of its last row.
#[rustfmt::skip]
pub(super) const ENTRIES: &[Entry] = &[
    Entry { name: "row_number", signature: "-> int8", constants: &[], form: Form::Window(|call| ranking("row_number", call)),
        examples: &[("row_number() OVER (ORDER BY id)", Some("6")), ("row_number() OVER (PARTITION BY t ORDER BY i DESC)", Some("1"))] },
    Entry { name: "rank", signature: "-> int8", constants: &[], form: Form::Window(|call| ranking("rank", call)),
        examples: &[("rank() OVER (ORDER BY t)", Some("4"))] },
    Entry { name: "dense_rank", signature: "-> int8", constants: &[], form: Form::Window(|call| ranking("dense_rank", call)),
        examples: &[("dense_rank() OVER (ORDER BY t)", Some("3"))] },
    Entry { name: "lag", signature: "any [, int] -> any", constants: &[1], form: Form::Window(|call| neighbour("lag", call)),
        examples: &[("lag(i) OVER (ORDER BY id)", Some("5")), ("lag(i, 2) OVER (ORDER BY id)", Some("4")), ("lag(i, 9) OVER (ORDER BY id)", None)] },
    Entry { name: "lead", signature: "any [, int] -> any", constants: &[1], form: Form::Window(|call| neighbour("lead", call)),
        examples: &[("lead(i) OVER (ORDER BY id DESC)", Some("5")), ("lead(i) OVER (ORDER BY id)", None)] },
    Entry { name: "ntile", signature: "int -> int8; a constant", constants: &[0], form: Form::Window(ntile),
        examples: &[("ntile(4) OVER (ORDER BY id)", Some("4")), ("ntile(4) OVER (ORDER BY id DESC)", Some("1")), ("ntile(10) OVER (ORDER BY id)", Some("6"))] },
    Entry { name: "percent_rank", signature: "-> float8", constants: &[], form: Form::Window(|call| share("percent_rank", call)),
        examples: &[("percent_rank() OVER (ORDER BY id)", Some("1")), ("percent_rank() OVER (PARTITION BY id)", Some("0")), ("percent_rank() OVER (ORDER BY t)", Some("0.6"))] },
    Entry { name: "cume_dist", signature: "-> float8", constants: &[], form: Form::Window(|call| share("cume_dist", call)),
        examples: &[("cume_dist() OVER (ORDER BY id)", Some("1")), ("cume_dist() OVER (PARTITION BY id)", Some("1"))] },
    Entry { name: "first_value", signature: "any -> the same", constants: &[], form: Form::Window(|call| of_frame("first_value", call)),
        examples: &[("first_value(i) OVER (ORDER BY id)", Some("1")), ("first_value(i) OVER (ORDER BY id DESC)", None), ("first_value(t) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)", None), ("first_value(i) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)", Some("5")), ("first_value(id) OVER (ORDER BY id ROWS BETWEEN 1 FOLLOWING AND 2 FOLLOWING)", None)] },
    Entry { name: "last_value", signature: "any -> the same", constants: &[], form: Form::Window(|call| of_frame("last_value", call)),
        examples: &[("last_value(i) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)", Some("5")), ("last_value(id) OVER (ORDER BY id DESC)", Some("6"))] },
    Entry { name: "nth_value", signature: "any, int -> the same; a constant", constants: &[1], form: Form::Window(|call| of_frame("nth_value", call)),
        examples: &[("nth_value(i, 2) OVER (ORDER BY id)", Some("2")), ("nth_value(id, 9) OVER (ORDER BY id)", None), ("nth_value(id, 2) OVER (ORDER BY id ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING)", Some("4"))] },
    Entry { name: "aggregates OVER", signature: "count, sum, min, max, avg; frames of rows", constants: &[], form: Form::Syntax,
        examples: &[("sum(i) OVER ()", Some("16")), ("sum(i) OVER (ORDER BY id)", Some("16")), ("sum(n) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING)", Some("8.60")),
            ("count(*) OVER (PARTITION BY t)", Some("1")), ("avg(i) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)", Some("4.5000000000000000")),
            ("max(i) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 4 PRECEDING)", Some("2"))] },
];

/// A call of a function that exists as a window function only.
pub(crate) struct WindowCall {
    pub(crate) args: Vec<Value>,
    /// `PARTITION BY … ORDER BY …`
    pub(crate) over: String,
    /// `ROWS BETWEEN …`; most of these functions don't look at it.
    pub(crate) frame: Result<String>,
    pub(crate) data_type: DataType,
}

/// The call of a window function by its name in the plan.
pub(crate) fn window(name: &str, call: &WindowCall) -> Result<Value> {
    let form = super::forms(name).find_map(|form| match form {
        Form::Window(form) => Some(form),
        _ => None,
    });
    form.ok_or_else(|| NotPushable::new(format!("the window function {name}")))?(call)
}

/// A constant integer above zero.
fn place(call: &WindowCall, index: usize) -> Result<i64> {
    let number = call.args.get(index).and_then(Value::literal_integer);
    number
        .filter(|number| *number > 0)
        .ok_or_else(|| NotPushable::new("a number that isn't a positive constant"))
}

fn ntile(call: &WindowCall) -> Result<Value> {
    let sql = format!("to{}(ntile({}) OVER ({}))", call.data_type, place(call, 0)?, call.over);
    Ok(Value::new(sql, call.data_type.clone(), false))
}

fn share(function: &str, call: &WindowCall) -> Result<Value> {
    let sql = format!("{function}() OVER ({})", call.over);
    Ok(Value::new(sql, call.data_type.clone(), false))
}

/// A value of the frame, NULL where that row's is. Not nullable, it would be the type's default where
/// there is no such row.
fn of_frame(function: &str, call: &WindowCall) -> Result<Value> {
    let value = call.args.first().ok_or_else(|| NotPushable::new("a call without an argument"))?;
    let argument = value.as_nullable()?;
    let called = match function {
        "nth_value" => format!("nth_value({argument}, {})", place(call, 1)?),
        _ => format!("{function}({argument}) RESPECT NULLS"),
    };
    let sql = format!("{called} OVER ({} {})", call.over, call.frame.clone()?);
    Ok(Value::new(sql, call.data_type.clone(), true))
}

fn ranking(function: &str, call: &WindowCall) -> Result<Value> {
    let sql = format!("to{}({function}() OVER ({}))", call.data_type, call.over);
    Ok(Value::new(sql, call.data_type.clone(), false))
}

fn neighbour(function: &str, call: &WindowCall) -> Result<Value> {
    let value = call.args.first().ok_or_else(|| NotPushable::new("a call without an argument"))?;
    let distance = match call.args.len() {
        0 | 1 => 1,
        _ => place(call, 1)?,
    };
    if call.args.len() > 2 {
        return Err(NotPushable::new(format!("{function} with a default")));
    }
    let sql = format!("{function}({}, {distance}) OVER ({})", value.as_nullable()?, call.over);
    Ok(Value::new(sql, call.data_type.clone(), true))
}
