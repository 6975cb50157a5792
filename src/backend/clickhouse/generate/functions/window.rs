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
    Entry { name: "aggregates OVER", signature: "count, sum, min, max, avg; frames of rows", constants: &[], form: Form::Syntax,
        examples: &[("sum(i) OVER ()", Some("16")), ("sum(i) OVER (ORDER BY id)", Some("16")), ("sum(n) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING)", Some("8.60")),
            ("count(*) OVER (PARTITION BY t)", Some("1")), ("avg(i) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)", Some("4.5000000000000000")),
            ("max(i) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 4 PRECEDING)", Some("2"))] },
];

/// A call of a function that exists as a window function only.
pub(crate) struct WindowCall {
    pub(crate) args: Vec<Value>,
    /// `(PARTITION BY … ORDER BY …)`, without the frame, which these functions don't look at.
    pub(crate) over: String,
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

fn ranking(function: &str, call: &WindowCall) -> Result<Value> {
    let sql = format!("to{}({function}() OVER {})", call.data_type, call.over);
    Ok(Value::new(sql, call.data_type.clone(), false))
}

fn neighbour(function: &str, call: &WindowCall) -> Result<Value> {
    let value = call.args.first().ok_or_else(|| NotPushable::new("a call without an argument"))?;
    let distance = match call.args.get(1) {
        None => 1,
        Some(distance) => distance
            .literal_integer()
            .filter(|distance| *distance > 0)
            .ok_or_else(|| NotPushable::new("a distance that isn't a positive constant"))?,
    };
    if call.args.len() > 2 {
        return Err(NotPushable::new(format!("{function} with a default")));
    }
    // Not nullable, it would give the type's default where there is no such row.
    let argument =
        if value.nullable { value.typed()? } else { format!("toNullable({})", value.typed()?) };
    let sql = format!("{function}({argument}, {distance}) OVER {}", call.over);
    Ok(Value::new(sql, call.data_type.clone(), true))
}
