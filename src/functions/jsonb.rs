//! `jsonb` made of values, read and compared. It is a text that is known to be one, as Postgres prints
//! it; a part of one is a part of its text, so that paths are those of [`super::json`].

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator, Sort, lit};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::error::FunctionError;
use super::json::{self, json};
use super::rows::{self, Kind, Outcome, Overload, RowFunction, Value};
use super::strings::output;
use super::udf::call;
use super::{quoted, text};
use crate::sql::jsonb::{Edit, Jsonb, KEY_EXISTS};
use crate::sql::types::PgType;
use crate::sql::value::Fault;

type Result<T> = std::result::Result<T, FunctionError>;

#[rustfmt::skip]
pub(super) const FUNCTIONS: &[RowFunction] = &[
    RowFunction { name: "jsonb_text", overloads: &[
        Overload::new(&[Kind::Json], rows::text, |args| Ok(of(&read(&args[0])?))).jsonb(),
    ] },
    RowFunction { name: "to_jsonb", overloads: &[
        Overload::new(&[Kind::Any], rows::text, |args| canonical(&json(&args[0]))).jsonb(),
    ] },
    RowFunction { name: "jsonb_build_object", overloads: &[
        Overload::new(&[Kind::Any], rows::text, build_object).variadic().of_nulls().jsonb(),
    ] },
    RowFunction { name: "jsonb_build_array", overloads: &[
        Overload::new(&[Kind::Any], rows::text, list).variadic().of_nulls().jsonb(),
    ] },
    RowFunction { name: "jsonb_list", overloads: &[
        Overload::new(&[Kind::Any], rows::text, |args| list(args[0].items())).jsonb(),
    ] },
    RowFunction { name: "jsonb_list_of_json", overloads: &[
        Overload::new(&[Kind::Any], rows::text, |args| list(&json::raw(args[0].items()))).jsonb(),
    ] },
    RowFunction { name: "jsonb_lists", overloads: &[
        Overload::new(&[Kind::Any, Kind::Any], rows::text, |args| {
            object_of_lists(args[0].items(), args[1].items())
        }).jsonb(),
    ] },
    RowFunction { name: "jsonb_lists_of_json", overloads: &[
        Overload::new(&[Kind::Any, Kind::Any], rows::text, |args| {
            object_of_lists(args[0].items(), &json::raw(args[1].items()))
        }).jsonb(),
    ] },
    RowFunction { name: "jsonb_extract_path", overloads: &[
        Overload::new(&[Kind::Json, Kind::Text], rows::text, |args| {
            json::path(args)?.map_or(Ok(Value::Null), |part| canonical(&part))
        }).variadic().jsonb(),
    ] },
    RowFunction { name: "jsonb_extract_path_text", overloads: &[
        Overload::new(&[Kind::Json, Kind::Text], rows::text, |args| {
            Ok(match json::path(args)? {
                Some(part) => json::unquoted(Some(Jsonb::read(&part)?.to_text())),
                None => Value::Null,
            })
        }).variadic(),
    ] },
    RowFunction { name: "jsonb_typeof", overloads: &[
        Overload::new(&[Kind::Json], rows::text, |args| Ok(Value::text(match read(&args[0])? {
            Jsonb::Null => "null",
            Jsonb::Text(_) => "string",
            Jsonb::Number(_) => "number",
            Jsonb::Bool(_) => "boolean",
            Jsonb::Array(_) => "array",
            Jsonb::Object(_) => "object",
        }))),
    ] },
    RowFunction { name: "jsonb_array_length", overloads: &[
        Overload::new(&[Kind::Json], rows::int4, |args| match read(&args[0])? {
            Jsonb::Array(items) => Ok(Value::Int(i64::try_from(items.len()).unwrap_or_default())),
            Jsonb::Object(_) => Err(FunctionError::argument("cannot get array length of a non-array")),
            _ => Err(FunctionError::argument("cannot get array length of a scalar")),
        }),
    ] },
    RowFunction { name: "jsonb_pretty", overloads: &[
        Overload::new(&[Kind::Json], rows::text, |args| Ok(Value::text(read(&args[0])?.to_pretty_text()))),
    ] },
    RowFunction { name: "jsonb_strip_nulls", overloads: &[
        Overload::new(&[Kind::Json], rows::text, |args| Ok(of(&read(&args[0])?.without_nulls()))).jsonb(),
    ] },
    RowFunction { name: "jsonb_concat", overloads: &[
        Overload::new(&[Kind::Json, Kind::Json], rows::text, |args| {
            Ok(of(&read(&args[0])?.joined(read(&args[1])?)?))
        }).jsonb(),
    ] },
    RowFunction { name: "jsonb_set", overloads: &[
        Overload::new(&[Kind::Json, Kind::Texts, Kind::Json], rows::text, set).jsonb(),
        Overload::new(&[Kind::Json, Kind::Texts, Kind::Json, Kind::Bool], rows::text, set).jsonb(),
    ] },
    RowFunction { name: "jsonb_set_lax", overloads: &[
        Overload::new(&[Kind::Json, Kind::Texts, Kind::Json], rows::text, set_lax).of_nulls().jsonb(),
        Overload::new(&[Kind::Json, Kind::Texts, Kind::Json, Kind::Bool], rows::text, set_lax).of_nulls().jsonb(),
        Overload::new(&[Kind::Json, Kind::Texts, Kind::Json, Kind::Bool, Kind::Text], rows::text, set_lax).of_nulls().jsonb(),
    ] },
    RowFunction { name: "jsonb_insert", overloads: &[
        Overload::new(&[Kind::Json, Kind::Texts, Kind::Json], rows::text, insert).jsonb(),
        Overload::new(&[Kind::Json, Kind::Texts, Kind::Json, Kind::Bool], rows::text, insert).jsonb(),
    ] },
    RowFunction { name: "jsonb_delete", overloads: &[
        Overload::new(&[Kind::Json, Kind::Text], rows::text, |args| {
            Ok(of(&read(&args[0])?.without_keys(&[args[1].str()])?))
        }).jsonb(),
        Overload::new(&[Kind::Json, Kind::Int], rows::text, |args| {
            Ok(of(&read(&args[0])?.without_item(args[1].int())?))
        }).jsonb(),
        Overload::new(&[Kind::Json, Kind::Texts], rows::text, |args| {
            let keys: Vec<&str> = keys(&args[1]).map(Value::str).collect();
            Ok(of(&read(&args[0])?.without_keys(&keys)?))
        }).jsonb(),
    ] },
    RowFunction { name: "jsonb_delete_path", overloads: &[
        Overload::new(&[Kind::Json, Kind::Texts], rows::text, |args| edited(args, &Edit::Delete)).jsonb(),
    ] },
    RowFunction { name: "jsonb_order", overloads: &[
        Overload::new(&[Kind::Json, Kind::Json], rows::int4, |args| {
            Ok(Value::Int(read(&args[0])?.order(&read(&args[1])?) as i64))
        }),
    ] },
    RowFunction { name: "jsonb_contains", overloads: &[
        Overload::new(&[Kind::Json, Kind::Json], rows::bool, |args| {
            Ok(Value::Bool(read(&args[0])?.contains(&read(&args[1])?)))
        }),
    ] },
    RowFunction { name: "jsonb_exists", overloads: &[
        Overload::new(&[Kind::Json, Kind::Text], rows::bool, |args| {
            Ok(Value::Bool(read(&args[0])?.has_key(args[1].str())))
        }),
    ] },
    RowFunction { name: "jsonb_exists_any", overloads: &[
        Overload::new(&[Kind::Json, Kind::List], rows::bool, |args| {
            let value = read(&args[0])?;
            Ok(Value::Bool(keys(&args[1]).any(|key| value.has_key(key.str()))))
        }),
    ] },
    RowFunction { name: "jsonb_exists_all", overloads: &[
        Overload::new(&[Kind::Json, Kind::List], rows::bool, |args| {
            let value = read(&args[0])?;
            Ok(Value::Bool(keys(&args[1]).all(|key| value.has_key(key.str()))))
        }),
    ] },
    RowFunction { name: "jsonb_items", overloads: &[
        Overload::new(&[Kind::Json], rows::texts, |args| items(&args[0], of)),
    ] },
    RowFunction { name: "jsonb_items_text", overloads: &[
        Overload::new(&[Kind::Json], rows::texts, |args| {
            items(&args[0], |item| json::unquoted(Some(item.to_text())))
        }),
    ] },
    RowFunction { name: "jsonb_each_keys", overloads: &[
        Overload::new(&[Kind::Json], rows::texts, |args| each(&args[0], |(key, _)| Value::text(key))),
    ] },
    RowFunction { name: "jsonb_each_values", overloads: &[
        Overload::new(&[Kind::Json], rows::texts, |args| each(&args[0], |(_, value)| of(&value))),
    ] },
    RowFunction { name: "jsonb_each_texts", overloads: &[
        Overload::new(&[Kind::Json], rows::texts, |args| {
            each(&args[0], |(_, value)| json::unquoted(Some(value.to_text())))
        }),
    ] },
    RowFunction { name: "jsonb_members", overloads: &[
        Overload::new(&[Kind::Json, Kind::Text], rows::texts, |args| {
            let members = json::members_of_each(&as_text(args)?)?.into_iter();
            Ok(Value::List(members.map(Value::maybe_text).collect()))
        }),
    ] },
    RowFunction { name: "jsonb_members_text", overloads: &[
        Overload::new(&[Kind::Json, Kind::Text], rows::texts, |args| {
            let members = json::members_of_each(&as_text(args)?)?.into_iter();
            Ok(Value::List(members.map(json::unquoted).collect()))
        }),
    ] },
    RowFunction { name: "jsonb_keys", overloads: &[
        Overload::new(&[Kind::Json], rows::texts, |args| match read(&args[0])? {
            Jsonb::Object(members) => {
                Ok(Value::list_of_texts(members.into_iter().map(|(key, _)| key).collect()))
            }
            Jsonb::Array(_) => Err(FunctionError::argument("cannot call jsonb_object_keys on an array")),
            _ => Err(FunctionError::argument("cannot call jsonb_object_keys on a scalar")),
        }),
    ] },
];

impl From<Fault> for FunctionError {
    fn from(fault: Fault) -> Self {
        Self::new(fault.sqlstate, fault.message)
    }
}

fn read(value: &Value<'_>) -> Result<Jsonb> {
    Ok(Jsonb::read(value.str())?)
}

fn of(value: &Jsonb) -> Value<'static> {
    Value::text(value.to_text())
}

/// A text that is JSON.
fn canonical(text: &str) -> Outcome {
    Ok(of(&Jsonb::read(text)?))
}

fn list(items: &[Value<'_>]) -> Outcome {
    let items: std::result::Result<Vec<Jsonb>, Fault> =
        items.iter().map(|item| Jsonb::read(&json(item))).collect();
    Ok(of(&Jsonb::Array(items?)))
}

fn keys<'a>(list: &'a Value<'a>) -> impl Iterator<Item = &'a Value<'a>> {
    list.items().iter().filter(|key| !key.is_null())
}

fn items(value: &Value<'_>, item: fn(&Jsonb) -> Value<'static>) -> Outcome {
    match read(value)? {
        Jsonb::Array(items) => Ok(Value::List(items.iter().map(item).collect())),
        Jsonb::Object(_) => Err(FunctionError::argument("cannot extract elements from an object")),
        _ => Err(FunctionError::argument("cannot extract elements from a scalar")),
    }
}

fn each(value: &Value<'_>, part: fn((String, Jsonb)) -> Value<'static>) -> Outcome {
    match read(value)? {
        Jsonb::Object(members) => Ok(Value::List(members.into_iter().map(part).collect())),
        _ => Err(FunctionError::argument("cannot call jsonb_each on a non-object")),
    }
}

/// The arguments, of which the first is as `jsonb` is written.
fn as_text(args: &[Value<'_>]) -> Result<Vec<Value<'static>>> {
    let first = of(&read(&args[0])?);
    Ok(std::iter::once(first).chain(args[1..].iter().cloned().map(Value::into_owned)).collect())
}

/// The first argument, changed at the path that is the second.
fn edited(args: &[Value<'_>], edit: &Edit) -> Outcome {
    let steps = args[1].items().iter();
    let path: Vec<Option<&str>> = steps.map(|it| (!it.is_null()).then(|| it.str())).collect();
    let edited = read(&args[0])?.edited(&path, edit);
    edited.map(|value| of(&value)).map_err(|fault| {
        let error = FunctionError::from(fault);
        match error.message == KEY_EXISTS {
            true => error.with_hint("Try using the function jsonb_set to replace key value."),
            false => error,
        }
    })
}

fn set(args: &[Value<'_>]) -> Outcome {
    let adds = args.get(3).is_none_or(Value::is_true);
    edited(args, &Edit::Set { value: read(&args[2])?, adds })
}

fn insert(args: &[Value<'_>]) -> Outcome {
    let after = args.get(3).is_some_and(Value::is_true);
    edited(args, &Edit::Insert { value: read(&args[2])?, after })
}

/// `jsonb_set`, where NULL is a value: what it does is the last argument.
fn set_lax(args: &[Value<'_>]) -> Outcome {
    if args[0].is_null() || args[1].is_null() || args.get(3).is_some_and(Value::is_null) {
        return Ok(Value::Null);
    }
    if !args[2].is_null() {
        return set(args);
    }
    let adds = args.get(3).is_none_or(Value::is_true);
    match args.get(4).map_or("use_json_null", Value::str) {
        "use_json_null" => edited(args, &Edit::Set { value: Jsonb::Null, adds }),
        "delete_key" => edited(args, &Edit::Delete),
        "return_target" => Ok(of(&read(&args[0])?)),
        "raise_exception" => {
            Err(FunctionError::new("22004", "JSON value must not be null").with_hint(
                "To avoid, either change the null_value_treatment argument or ensure that an SQL NULL is not passed.",
            ))
        }
        _ => Err(FunctionError::argument(
            "null_value_treatment must be \"delete_key\", \"return_target\", \"use_json_null\", or \"raise_exception\"",
        )),
    }
}

fn member(key: &Value<'_>, value: &Value<'_>) -> Result<(String, Jsonb)> {
    Ok((output(key), Jsonb::read(&json(value))?))
}

fn build_object(args: &[Value<'_>]) -> Outcome {
    if !args.len().is_multiple_of(2) {
        return Err(FunctionError::argument("argument list must have even number of elements")
            .with_hint(
                "The arguments of jsonb_build_object() must consist of alternating keys and values.",
            ));
    }
    let mut members = Vec::with_capacity(args.len() / 2);
    for (index, pair) in args.chunks(2).enumerate() {
        if pair[0].is_null() {
            let message = format!("argument {}: key must not be null", 2 * index + 1);
            return Err(FunctionError::argument(message));
        }
        members.push(member(&pair[0], &pair[1])?);
    }
    Ok(of(&Jsonb::object(members)))
}

/// `jsonb_object_agg`, of the lists of its keys and values.
fn object_of_lists(keys: &[Value<'_>], values: &[Value<'_>]) -> Outcome {
    let mut members = Vec::with_capacity(keys.len());
    for (key, value) in keys.iter().zip(values) {
        if key.is_null() {
            return Err(FunctionError::argument("field name must not be null"));
        }
        members.push(member(key, value)?);
    }
    Ok(of(&Jsonb::object(members)))
}

// ---- operators, where one side is known to be jsonb

/// The Postgres type that a text is told to be: `json`, `jsonb`, `uuid`.
pub(super) fn told(expr: &Expr, schema: &DFSchema) -> Option<PgType> {
    // A literal's type is that of what stands beside it.
    let is_text = |field: &datafusion::arrow::datatypes::Field| field.data_type().is_string();
    match expr {
        Expr::Literal(..) => None,
        expr => {
            expr.to_field(schema).ok().filter(|(_, it)| is_text(it)).map(|(_, it)| PgType::of(&it))
        }
    }
}

fn is_jsonb(expr: &Expr, schema: &DFSchema) -> bool {
    told(expr, schema) == Some(PgType::Jsonb)
}

/// Both sides of an operator that takes two jsonb, where one is known to be jsonb and the other is too,
/// or has no type of its own.
pub(super) fn both(left: &Expr, right: &Expr, schema: &DFSchema) -> PlanResult<Option<[Expr; 2]>> {
    let is_known = [is_jsonb(left, schema), is_jsonb(right, schema)];
    if is_known == [false, false] {
        return Ok(None);
    }
    let operand = |expr: &Expr, is_known: bool| -> PlanResult<Option<Expr>> {
        let is_open = matches!(expr, Expr::Placeholder(_))
            || matches!(expr, Expr::Literal(ScalarValue::Null | ScalarValue::Utf8(None), _));
        Ok(match quoted(expr) {
            Some(literal) => Some(Expr::Literal(text::read(&PgType::Jsonb, literal)?, None)),
            None => (is_known || is_open).then(|| expr.clone()),
        })
    };
    let sides = (operand(left, is_known[0])?, operand(right, is_known[1])?);
    Ok(match sides {
        (Some(left), Some(right)) => Some([left, right]),
        _ => None,
    })
}

/// A comparison of two jsonb: by their meaning, not by their text.
pub(super) fn compared(sides: [Expr; 2], op: Operator) -> PlanResult<Expr> {
    let order = match op {
        // DISTINCT FROM asks for NULLs too: equal values have the same text but for zeros.
        Operator::IsDistinctFrom | Operator::IsNotDistinctFrom => {
            let equal = call(rows::named("jsonb_order")?, sides.to_vec()).eq(lit(0));
            let [left, right] = sides;
            let both_null = left.is_null().and(right.is_null());
            let same = Expr::Case(Case::new(
                None,
                vec![(Box::new(equal), Box::new(lit(true)))],
                Some(Box::new(both_null)),
            ));
            return Ok(match op {
                Operator::IsDistinctFrom => Expr::Not(Box::new(same)),
                _ => same,
            });
        }
        op => op,
    };
    let compared = Box::new(call(rows::named("jsonb_order")?, sides.to_vec()));
    Ok(Expr::BinaryExpr(BinaryExpr::new(compared, order, Box::new(lit(0_i32)))))
}

/// Whether it is worth asking for its type: that of deep arithmetic costs, and is never jsonb.
fn may_be_jsonb(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryExpr(binary) => binary.op == Operator::StringConcat,
        _ => true,
    }
}

/// `@>`, `<@`, `?`, `?|`, `?&`, `-` and `#-` of jsonb: of arrays the first two mean something else.
#[derive(Debug)]
pub(super) struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> PlanResult<PlannerResult<RawBinaryExpr>> {
        let name = match expr.op {
            BinaryOperator::AtArrow | BinaryOperator::ArrowAt => "jsonb_contains",
            BinaryOperator::Question => "jsonb_exists",
            BinaryOperator::QuestionPipe => "jsonb_exists_any",
            BinaryOperator::QuestionAnd => "jsonb_exists_all",
            BinaryOperator::HashMinus => "jsonb_delete_path",
            BinaryOperator::Minus if may_be_jsonb(&expr.left) => "jsonb_delete",
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let args = match expr.op {
            BinaryOperator::AtArrow => both(&expr.left, &expr.right, schema)?,
            BinaryOperator::ArrowAt => both(&expr.right, &expr.left, schema)?,
            BinaryOperator::HashMinus => Some([expr.left.clone(), expr.right.clone()]),
            _ if !is_jsonb(&expr.left, schema) => None,
            BinaryOperator::Question | BinaryOperator::Minus => {
                Some([expr.left.clone(), expr.right.clone()])
            }
            _ => {
                let keys = match quoted(&expr.right) {
                    Some(literal) => {
                        let array = PgType::Array(Box::new(PgType::Text));
                        Expr::Literal(text::read(&array, literal)?, None)
                    }
                    None => expr.right.clone(),
                };
                Some([expr.left.clone(), keys])
            }
        };
        match args {
            Some(args) => Ok(PlannerResult::Planned(call(rows::named(name)?, args.to_vec()))),
            None => Ok(PlannerResult::Original(expr)),
        }
    }
}

/// Whether a type can be cast to jsonb by itself.
pub(super) fn check_cast(from: &DataType) -> PlanResult<()> {
    match from.is_null() || from.is_string() {
        true => Ok(()),
        false => {
            let message = format!("cannot cast type {} to jsonb", rows::type_name(from));
            Err(FunctionError::new("42846", message).with_hint("Write to_jsonb(…).").into())
        }
    }
}

/// # Errors
/// 0A000 for rows in the order of a jsonb: its text has another.
pub(super) fn check_order(sort: &Sort) -> PlanResult<()> {
    let schema = sort.input.schema();
    match sort.expr.iter().any(|key| is_jsonb(&key.expr, schema)) {
        false => Ok(()),
        true => Err(FunctionError::not_supported(
            "ORDER BY of a jsonb",
            "Order by a part of it: value ->> 'key'.",
        )
        .into()),
    }
}
