//! The table of functions and operators that are pushed. What has no entry isn't pushed; an entry's
//! examples are run in both engines, with columns and with constants, and give Postgres's answer.

mod aggregate;
mod fiscal;
mod numeric;
mod other;
mod shares;
mod spans;
mod text;
mod time;
mod window;

use std::collections::HashMap;
use std::sync::LazyLock;

use datafusion::arrow::datatypes::DataType;

pub(super) use aggregate::{AggregateCall, OrderKey, aggregate};
pub(super) use numeric::{REPEATED_MAX, negative, operator};
pub(super) use text::{concatenation, like};
pub(super) use time::day_of;
pub(super) use window::{WindowCall, window};

use super::value::Value;
use super::{NotPushable, Result, nan};

/// A function or operator with an exact twin in ClickHouse.
#[derive(Debug)]
pub struct Entry {
    /// Its name in the plan; several names share one entry where they are written alike.
    pub name: &'static str,
    /// Argument types and result, in Postgres's words.
    pub signature: &'static str,
    /// Positions of arguments that have to be constants.
    pub constants: &'static [usize],
    /// SQL expressions with Postgres's text of their value; `None` is NULL.
    pub examples: &'static [(&'static str, Option<&'static str>)],
    pub(super) form: Form,
}

/// Who writes it.
#[derive(Debug)]
pub(super) enum Form {
    Scalar(fn(&Call) -> Result<Value>),
    Aggregate(fn(&AggregateCall) -> Result<Value>),
    Window(fn(&WindowCall) -> Result<Value>),
    /// A kind of expression of its own: operators, casts, CASE.
    Syntax,
}

/// The call of a scalar function.
pub(super) struct Call {
    pub(super) args: Vec<Value>,
    /// The type of the result in the plan.
    pub(super) data_type: DataType,
}

impl Call {
    fn arg(&self, index: usize) -> Result<&Value> {
        self.args.get(index).ok_or_else(|| NotPushable::new("a call without an argument"))
    }

    /// A constant text.
    fn text(&self, index: usize, what: &str) -> Result<&str> {
        self.arg(index)?
            .literal_text()
            .ok_or_else(|| NotPushable::new(format!("{what} that isn't a constant")))
    }

    /// `function(arguments)`.
    fn of(&self, function: &str) -> Result<Value> {
        let args: Result<Vec<String>> = self.args.iter().map(Value::typed).collect();
        Ok(self.result(format!("{function}({})", args?.join(", "))))
    }

    /// The result, NULL where an argument is.
    fn result(&self, sql: String) -> Value {
        Value::new(sql, self.data_type.clone(), false).computed_from(&self.args)
    }
}

/// Every entry, in the order of the documentation.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    numeric::ENTRIES
        .iter()
        .chain(text::ENTRIES)
        .chain(time::ENTRIES)
        .chain(spans::ENTRIES)
        .chain(fiscal::ENTRIES)
        .chain(other::ENTRIES)
        .chain(shares::ENTRIES)
        .chain(aggregate::ENTRIES)
        .chain(window::ENTRIES)
}

static BY_NAME: LazyLock<HashMap<&'static str, Vec<&'static Entry>>> = LazyLock::new(|| {
    let mut by_name: HashMap<&'static str, Vec<&'static Entry>> = HashMap::new();
    for entry in entries() {
        by_name.entry(entry.name).or_default().push(entry);
    }
    by_name
});

fn forms(name: &str) -> impl Iterator<Item = &'static Form> {
    BY_NAME.get(name).into_iter().flatten().map(|entry| &entry.form)
}

/// The call of a scalar function by its name in the plan.
pub(super) fn scalar(name: &str, args: Vec<Value>, data_type: DataType) -> Result<Value> {
    let form = forms(name).find_map(|form| match form {
        Form::Scalar(form) => Some(form),
        _ => None,
    });
    let form = form.ok_or_else(|| NotPushable::new(format!("the function {name}")))?;
    let call = Call { args, data_type };
    let value = form(&call)?;
    Ok(match name {
        "sqrt" => value,
        _ => nan::computed(value, &call.args),
    })
}
