//! Functions that are worked out row by row from plain values: a table of them, with the types that
//! they take, is all that a new one needs.
//!
//! Overloads are chosen as Postgres chooses them, as far as these functions need it: the one whose
//! arguments have to be converted least, the first of equals.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, FieldRef, Float32Type, Float64Type, Int16Type,
    Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType,
};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::calendar;
use super::error::FunctionError;
use super::interval::Interval;
use super::moments::is_finite;
use super::numeric::as_decimal;
use super::time::{TIMESTAMP, timestamptz};
use crate::sql::timezone::TimeZone;
use crate::sql::types::{PG_TYPE_KEY, PgType};

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    /// An int4 or int2 where the width matters.
    Short(i32),
    Int(i64),
    Float(f64),
    /// Unscaled, and the scale.
    Decimal(i128, i8),
    Text(Cow<'a, str>),
    /// A text that is JSON.
    Json(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    Date(i32),
    Time(i64),
    /// A wall clock.
    Timestamp(i64),
    Instant(i64),
    /// An instant as it is shown so many seconds east of UTC.
    Shown(i64, i32),
    Interval(Interval),
    List(Vec<Value<'a>>),
    /// Of a row as a whole, by name.
    Row(Vec<(String, Value<'a>)>),
}

/// A row of an array of structs as Postgres writes a record: `(1,"a b",)`.
pub(crate) fn record_text(records: &dyn Array, row: usize) -> Option<String> {
    let record = Value::at(records, row);
    (!record.is_null()).then(|| super::strings::output(&record))
}

pub(super) type Outcome = std::result::Result<Value<'static>, FunctionError>;

impl<'a> Value<'a> {
    pub(super) fn text(text: impl Into<String>) -> Value<'static> {
        Value::Text(Cow::Owned(text.into()))
    }

    pub(super) fn maybe_text(text: Option<impl Into<String>>) -> Value<'static> {
        text.map_or(Value::Null, Value::text)
    }

    pub(super) fn list_of_texts(texts: Vec<String>) -> Value<'static> {
        Value::List(texts.into_iter().map(Value::text).collect())
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    pub(super) fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Bool(value) => Value::Bool(value),
            Value::Short(value) => Value::Short(value),
            Value::Int(value) => Value::Int(value),
            Value::Float(value) => Value::Float(value),
            Value::Decimal(value, scale) => Value::Decimal(value, scale),
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Value::Json(text) => Value::Json(Cow::Owned(text.into_owned())),
            Value::Bytes(bytes) => Value::Bytes(Cow::Owned(bytes.into_owned())),
            Value::Date(value) => Value::Date(value),
            Value::Time(value) => Value::Time(value),
            Value::Timestamp(value) => Value::Timestamp(value),
            Value::Instant(value) => Value::Instant(value),
            Value::Shown(instant, east_seconds) => Value::Shown(instant, east_seconds),
            Value::Interval(value) => Value::Interval(value),
            Value::List(items) => Value::List(items.into_iter().map(Value::into_owned).collect()),
            Value::Row(fields) => Value::Row(
                fields.into_iter().map(|(name, value)| (name, value.into_owned())).collect(),
            ),
        }
    }

    /// The text of a text; empty for anything else, which signatures exclude.
    pub(super) fn str(&self) -> &str {
        match self {
            Value::Text(text) | Value::Json(text) => text,
            _ => "",
        }
    }

    /// Bytes of the texts in it.
    fn text_bytes(&self) -> usize {
        match self {
            Value::Text(text) | Value::Json(text) => text.len(),
            Value::List(items) => items.iter().map(Value::text_bytes).sum(),
            _ => 0,
        }
    }

    /// The number of an integer, else 0, which signatures exclude.
    pub(super) fn int(&self) -> i64 {
        match self {
            Value::Short(value) => i64::from(*value),
            Value::Int(value) => *value,
            _ => 0,
        }
    }

    pub(super) fn float(&self) -> f64 {
        match self {
            Value::Float(value) => *value,
            _ => 0.0,
        }
    }

    pub(super) fn is_true(&self) -> bool {
        matches!(self, Value::Bool(true))
    }

    pub(super) fn items(&self) -> &[Value<'a>] {
        match self {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// A value of an array.
    pub(super) fn at(array: &'a dyn Array, row: usize) -> Self {
        if array.is_null(row) {
            return Value::Null;
        }
        match array.data_type() {
            DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
            DataType::Int16 => Value::Int(array.as_primitive::<Int16Type>().value(row).into()),
            DataType::Int32 => Value::Int(array.as_primitive::<Int32Type>().value(row).into()),
            DataType::Int64 => Value::Int(array.as_primitive::<Int64Type>().value(row)),
            DataType::Float32 => {
                Value::Float(array.as_primitive::<Float32Type>().value(row).into())
            }
            DataType::Float64 => Value::Float(array.as_primitive::<Float64Type>().value(row)),
            DataType::Decimal128(_, scale) => {
                Value::Decimal(array.as_primitive::<Decimal128Type>().value(row), *scale)
            }
            DataType::Utf8 => Value::Text(Cow::Borrowed(array.as_string::<i32>().value(row))),
            DataType::Binary => Value::Bytes(Cow::Borrowed(array.as_binary::<i32>().value(row))),
            DataType::Date32 => Value::Date(array.as_primitive::<Date32Type>().value(row)),
            DataType::Time64(TimeUnit::Microsecond) => {
                Value::Time(array.as_primitive::<Time64MicrosecondType>().value(row))
            }
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
                match zone {
                    None => Value::Timestamp(micros),
                    Some(zone) => shown_in(micros, zone),
                }
            }
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
                Value::Interval(value.into())
            }
            DataType::List(_) => {
                let items = array.as_list::<i32>().value(row);
                let items = (0..items.len()).map(|at| Value::at(&items, at).into_owned());
                Value::List(items.collect())
            }
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns();
                let cells = fields
                    .iter()
                    .zip(columns)
                    .map(|(field, column)| (field.name().clone(), Value::at(column.as_ref(), row)));
                Value::Row(cells.collect())
            }
            // Types of other widths come through a cast, which coercion has put in.
            other => match datafusion::arrow::compute::cast(
                &array.slice(row, 1),
                &PgType::of_arrow(other).to_arrow(),
            ) {
                Ok(cast) if cast.data_type() != other => Value::at(&cast, 0).into_owned(),
                _ => Value::Null,
            },
        }
    }

    /// As Arrow's value of a type.
    fn into_scalar(self, data_type: &DataType) -> Result<ScalarValue> {
        let fits = |number: Option<i128>| {
            number.ok_or_else(|| FunctionError::new("22003", "numeric value out of range"))
        };
        Ok(match (self, data_type) {
            (Value::Null, _) => ScalarValue::try_from(data_type)?,
            (Value::Bool(value), _) => ScalarValue::Boolean(Some(value)),
            (Value::Short(value), data_type) => {
                return Value::Int(value.into()).into_scalar(data_type);
            }
            (Value::Int(value), DataType::Int32) => {
                let narrow = i32::try_from(value)
                    .map_err(|_| FunctionError::new("22003", "integer out of range"))?;
                ScalarValue::Int32(Some(narrow))
            }
            (Value::Int(value), DataType::Int16) => {
                let narrow = i16::try_from(value)
                    .map_err(|_| FunctionError::new("22003", "smallint out of range"))?;
                ScalarValue::Int16(Some(narrow))
            }
            (Value::Int(value), DataType::Decimal128(precision, scale)) => {
                let value = fits(rescaled(value.into(), 0, *scale))?;
                ScalarValue::Decimal128(Some(value), *precision, *scale)
            }
            (Value::Int(value), _) => ScalarValue::Int64(Some(value)),
            (Value::Float(value), _) => ScalarValue::Float64(Some(value)),
            (Value::Decimal(value, from), DataType::Decimal128(precision, scale)) => {
                let value = fits(rescaled(value, from, *scale))?;
                ScalarValue::Decimal128(Some(value), *precision, *scale)
            }
            (Value::Text(text) | Value::Json(text), _) => {
                ScalarValue::Utf8(Some(text.into_owned()))
            }
            (Value::Bytes(bytes), _) => ScalarValue::Binary(Some(bytes.into_owned())),
            (Value::Date(days), _) => ScalarValue::Date32(Some(days)),
            (Value::Time(micros), _) => ScalarValue::Time64Microsecond(Some(micros)),
            (Value::Timestamp(micros), _) => ScalarValue::TimestampMicrosecond(Some(micros), None),
            (Value::Instant(micros), _) => {
                ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()))
            }
            (Value::Interval(interval), _) => {
                ScalarValue::IntervalMonthDayNano(Some(interval.to_arrow()?))
            }
            (Value::List(items), DataType::List(item)) => {
                let items = items.into_iter().map(|one| one.into_scalar(item.data_type()));
                let items = items.collect::<Result<Vec<_>>>()?;
                ScalarValue::List(ScalarValue::new_list_nullable(&items, item.data_type()))
            }
            (Value::Decimal(..) | Value::Shown(..) | Value::List(_) | Value::Row(_), other) => {
                return Err(DataFusionError::Internal(format!("a row function gave no {other}")));
            }
        })
    }
}

/// An instant, with its offset where its type has another zone than UTC: so those are that are going
/// to be printed (see [`super::zones`]).
fn shown_in(instant: i64, zone: &str) -> Value<'static> {
    let zone = match zone {
        "UTC" => None,
        // Names in their own case are found fast.
        name => name.parse().map(TimeZone::Named).ok().or_else(|| TimeZone::of_expression(name)),
    };
    let utc = calendar::moment_of(instant).filter(|_| is_finite(instant));
    match (zone, utc) {
        (Some(zone), Some(utc)) => Value::Shown(instant, zone.offset_at(utc)),
        _ => Value::Instant(instant),
    }
}

/// A decimal with another scale, half away from zero; None beyond 38 digits.
pub(super) fn rescaled(value: i128, from: i8, to: i8) -> Option<i128> {
    let power = |digits: i8| 10_i128.checked_pow(u32::try_from(digits).ok()?);
    if to >= from {
        let value = value.checked_mul(power(to - from)?)?;
        return (value.unsigned_abs() < 10_u128.pow(38)).then_some(value);
    }
    let unit = power(from - to)?;
    let (whole, rest) = (value / unit, value % unit);
    let away = rest.unsigned_abs() >= unit.unsigned_abs().div_ceil(2);
    Some(whole + if away { value.signum() } else { 0 })
}

/// What an argument has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Int,
    /// An integer of its own width.
    Integer,
    Float,
    Numeric,
    Bool,
    Date,
    Time,
    Timestamp,
    Instant,
    Interval,
    Json,
    /// An array of texts.
    Texts,
    /// An array of anything.
    List,
    /// As it comes.
    Any,
}

use DataType as Arrow;

impl Kind {
    /// The type to convert to.
    fn target(self, from: &Arrow) -> Arrow {
        match self {
            Self::Text | Self::Json => Arrow::Utf8,
            Self::Int => Arrow::Int64,
            Self::Integer => match from {
                Arrow::Int16 | Arrow::Int32 => from.clone(),
                _ => Arrow::Int64,
            },
            Self::Float => Arrow::Float64,
            Self::Numeric => as_decimal(from).unwrap_or(Arrow::Decimal128(38, 10)),
            Self::Bool => Arrow::Boolean,
            Self::Date => Arrow::Date32,
            Self::Time => Arrow::Time64(TimeUnit::Microsecond),
            Self::Timestamp => TIMESTAMP,
            Self::Instant => timestamptz(),
            Self::Interval => Arrow::Interval(IntervalUnit::MonthDayNano),
            Self::List => from.clone(),
            Self::Texts => Arrow::new_list(Arrow::Utf8, true),
            Self::Any => match from {
                Arrow::Utf8View | Arrow::LargeUtf8 | Arrow::Null => Arrow::Utf8,
                Arrow::Duration(_) => Arrow::Interval(IntervalUnit::MonthDayNano),
                other => other.clone(),
            },
        }
    }

    /// How far a type is from this; None where it doesn't go by itself.
    fn distance(self, from: &Arrow) -> Option<u32> {
        let is_float = matches!(from, Arrow::Float16 | Arrow::Float32 | Arrow::Float64);
        let is_text = matches!(from, Arrow::Utf8 | Arrow::Utf8View | Arrow::LargeUtf8);
        match (self, from) {
            (_, Arrow::Null) => Some(1),
            (Self::Any, _) => Some(1),
            (Self::Text, _) if is_text => Some(0),
            // A literal's type is that of what reads it; whether it is one, is asked later.
            (Self::Json, _) if is_text => Some(0),
            (_, _) if is_text => Some(5),
            (Self::Int | Self::Integer, from) if from.is_integer() => Some(0),
            (Self::Numeric, Arrow::Decimal128(_, _)) => Some(0),
            (Self::Numeric, from) if from.is_integer() => Some(2),
            (Self::Float, _) if is_float => Some(0),
            (Self::Float, from) if from.is_integer() => Some(1),
            (Self::Float, Arrow::Decimal128(_, _)) => Some(3),
            (Self::Bool, Arrow::Boolean) => Some(0),
            (Self::Date, Arrow::Date32) => Some(0),
            (Self::Time, Arrow::Time64(_)) => Some(0),
            (Self::Timestamp, Arrow::Timestamp(_, None)) => Some(0),
            (Self::Timestamp, Arrow::Date32) => Some(1),
            (Self::Instant, Arrow::Timestamp(_, Some(_))) => Some(0),
            (Self::Instant, Arrow::Timestamp(_, None)) => Some(3),
            (Self::Instant, Arrow::Date32) => Some(2),
            (Self::Interval, Arrow::Interval(_) | Arrow::Duration(_)) => Some(0),
            (Self::Interval, Arrow::Time64(_)) => Some(3),
            (Self::List, Arrow::List(_)) => Some(0),
            (Self::Texts, Arrow::List(item))
                if item.data_type().is_string() || item.data_type().is_null() =>
            {
                Some(0)
            }
            _ => None,
        }
    }
}

/// What an argument without a type may be, of several ways to call a function.
///
/// Source: PostgreSQL 15, 10.3, step 4e.
fn preferred(kinds: &[Kind]) -> Option<Kind> {
    use Kind::{Date, Float, Instant, Int, Integer, Interval, Numeric, Text, Time, Timestamp};
    let categories: [&[Kind]; 4] =
        [&[Float, Numeric, Integer, Int], &[Instant, Timestamp, Date], &[Interval], &[Time]];
    if kinds.contains(&Text) {
        return Some(Text);
    }
    let all_in = |category: &&[Kind]| kinds.iter().all(|kind| category.contains(kind));
    let category = categories.into_iter().find(all_in)?;
    let preferred = category.first().filter(|kind| kinds.contains(kind));
    preferred.or(kinds.first()).copied()
}

impl Kind {
    /// The type of a parameter that is taken so, beside arguments of these types.
    fn of_parameter(self, types: &[Arrow]) -> Option<PgType> {
        Some(match self {
            Self::Text => PgType::Text,
            Self::Integer if types.contains(&Arrow::Int64) => PgType::Int8,
            Self::Int | Self::Integer => PgType::Int4,
            Self::Float => PgType::Float8,
            Self::Numeric => PgType::Numeric(None),
            Self::Date => PgType::Date,
            Self::Time => PgType::Time,
            Self::Timestamp => PgType::Timestamp,
            Self::Instant => PgType::Timestamptz,
            Self::Interval => PgType::Interval,
            Self::Bool => PgType::Bool,
            Self::Texts => PgType::Array(Box::new(PgType::Text)),
            Self::Json | Self::List | Self::Any => return None,
        })
    }
}

/// The type of a result, from the converted types and the arguments that are constant.
pub(super) type Returns = fn(&[Arrow], &[Option<&ScalarValue>]) -> Result<Arrow>;

/// One way to call a function.
pub(super) struct Overload {
    pub(super) takes: &'static [Kind],
    /// Whether the last kind may come any number of times, none included.
    pub(super) variadic: bool,
    pub(super) returns: Returns,
    /// The name in `pg_type` of a type that Arrow's doesn't tell: `json`.
    pub(super) pg_type: Option<&'static str>,
    /// Whether it is `jsonb` where the first argument is.
    as_first: bool,
    /// Whether an argument that is NULL makes the result NULL.
    pub(super) strict: bool,
    pub(super) eval: fn(&[Value<'_>]) -> Outcome,
}

impl Overload {
    pub(super) const fn new(
        takes: &'static [Kind],
        returns: Returns,
        eval: fn(&[Value<'_>]) -> Outcome,
    ) -> Self {
        let (variadic, as_first, strict) = (false, false, true);
        Self { takes, variadic, returns, pg_type: None, as_first, strict, eval }
    }

    pub(super) const fn variadic(self) -> Self {
        Self { variadic: true, ..self }
    }

    pub(super) const fn of_nulls(self) -> Self {
        Self { strict: false, ..self }
    }

    pub(super) const fn json(self) -> Self {
        Self { pg_type: Some("json"), ..self }
    }

    /// JSON, of the first argument's kind.
    pub(super) const fn json_as_first(self) -> Self {
        Self { pg_type: Some("json"), as_first: true, ..self }
    }

    pub(super) const fn jsonb(self) -> Self {
        Self { pg_type: Some("jsonb"), ..self }
    }

    fn kind(&self, index: usize) -> Kind {
        self.takes.get(index).or(self.takes.last()).copied().unwrap_or(Kind::Any)
    }

    /// The sum of the distances of its arguments; None where it can't be called so.
    fn distance(&self, types: &[Arrow]) -> Option<u32> {
        let fits = match self.variadic {
            true => types.len() + 1 >= self.takes.len(),
            false => types.len() == self.takes.len(),
        };
        if !fits {
            return None;
        }
        types.iter().enumerate().map(|(index, from)| self.kind(index).distance(from)).sum()
    }
}

/// A function of the table.
pub(super) struct RowFunction {
    pub(super) name: &'static str,
    pub(super) overloads: &'static [Overload],
}

impl RowFunction {
    fn resolve(&self, types: &[Arrow]) -> Option<&'static Overload> {
        let ways = self.overloads.iter().filter_map(|way| Some((way.distance(types)?, way)));
        ways.min_by_key(|(distance, _)| *distance).map(|(_, way)| way)
    }

    fn too_large(&self) -> FunctionError {
        let message = format!("texts made by {} are too large", written_name(self.name));
        FunctionError::new("54000", message)
            .with_hint("Choose shorter texts, or fewer rows: WHERE or LIMIT in a subquery.")
    }

    fn undefined(&self, types: &[Arrow]) -> FunctionError {
        undefined(self.name, types)
    }

    /// What it takes at a place whose argument has no type.
    fn taken(&self, types: &[Arrow], index: usize) -> Option<Kind> {
        let ways = || self.overloads.iter().filter_map(|way| Some((way.distance(types)?, way)));
        let least = ways().map(|(distance, _)| distance).min()?;
        let nearest = ways().filter(|(distance, _)| *distance == least);
        let kinds: Vec<Kind> = nearest.map(|(_, way)| way.kind(index)).collect();
        preferred(&kinds)
    }
}

/// The type of a parameter that is an argument of a function of the table; NULL is the type of those
/// that have none.
pub(super) fn taken(name: &str, types: &[Arrow], index: usize) -> Option<PgType> {
    BY_NAME.get(name)?.taken(types, index)?.of_parameter(types)
}

/// Postgres's words for a function that doesn't take arguments of these types.
pub(super) fn undefined(name: &str, types: &[Arrow]) -> FunctionError {
    let name = written_name(name);
    let types: Vec<String> = types.iter().map(type_name).collect();
    FunctionError::new("42883", format!("function {name}({}) does not exist", types.join(", ")))
        .with_hint(
            "No function matches the given name and argument types. You might need to add explicit type casts.",
        )
}

/// What is written where a function stands that gives an array for Postgres's rows.
fn written_name(name: &str) -> &str {
    match name {
        "series" => "generate_series",
        "json_items" => "json_array_elements",
        "json_items_text" => "json_array_elements_text",
        "json_keys" => "json_object_keys",
        "json_each_keys" | "json_each_values" => "json_each",
        "json_each_texts" => "json_each_text",
        "json_members" | "json_members_text" => "json_to_recordset",
        "jsonb_each_keys" | "jsonb_each_values" => "jsonb_each",
        "jsonb_each_texts" => "jsonb_each_text",
        "jsonb_members" | "jsonb_members_text" => "jsonb_to_recordset",
        "jsonb_items" => "jsonb_array_elements",
        "jsonb_items_text" => "jsonb_array_elements_text",
        "jsonb_keys" => "jsonb_object_keys",
        "regexp_all_matches" => "regexp_matches",
        other => other,
    }
}

/// A type in Postgres's words, as errors name it.
pub(super) fn type_name(data_type: &Arrow) -> String {
    match PgType::of_arrow(data_type) {
        PgType::Bool => "boolean",
        PgType::Int2 => "smallint",
        PgType::Int4 => "integer",
        PgType::Int8 => "bigint",
        PgType::Float4 => "real",
        PgType::Float8 => "double precision",
        PgType::Numeric(_) => "numeric",
        PgType::Date => "date",
        PgType::Time => "time without time zone",
        PgType::Timestamp => "timestamp without time zone",
        PgType::Timestamptz => "timestamp with time zone",
        PgType::Interval => "interval",
        PgType::Bytea => "bytea",
        PgType::Array(item) => return format!("{}[]", type_name(&item.to_arrow())),
        _ if data_type.is_null() => "unknown",
        _ => "text",
    }
    .to_owned()
}

/// What a call of a function of the table needs its arguments to be.
pub(super) struct Resolved {
    pub(super) targets: Vec<Arrow>,
}

/// How a function of the table takes arguments of these types; None for other functions.
/// `literal` says which are quoted literals: other texts don't go by themselves to other types.
///
/// # Errors
/// 42883.
pub(super) fn resolve(name: &str, types: &[Arrow], literal: &[bool]) -> Result<Option<Resolved>> {
    let Some(function) = BY_NAME.get(name) else { return Ok(None) };
    let way = function.resolve(types).ok_or_else(|| function.undefined(types))?;
    let targets: Vec<Arrow> =
        types.iter().enumerate().map(|(index, from)| way.kind(index).target(from)).collect();
    for ((from, to), literal) in types.iter().zip(&targets).zip(literal) {
        if *from == Arrow::Utf8 && *to != Arrow::Utf8 && !literal {
            return Err(function.undefined(types).into());
        }
    }
    Ok(Some(Resolved { targets }))
}

/// Every function of the table.
fn table() -> impl Iterator<Item = &'static RowFunction> {
    [
        super::moments::FUNCTIONS,
        super::patterns::FUNCTIONS,
        super::regex::FUNCTIONS,
        super::strings::FUNCTIONS,
        super::lengths::FUNCTIONS,
        super::maths::FUNCTIONS,
        super::deviations::FUNCTIONS,
        super::arrays::FUNCTIONS,
        super::json::FUNCTIONS,
        super::jsonb::FUNCTIONS,
    ]
    .into_iter()
    .flatten()
}

static BY_NAME: LazyLock<HashMap<&'static str, &'static RowFunction>> =
    LazyLock::new(|| table().map(|function| (function.name, function)).collect());

static UDFS: LazyLock<HashMap<&'static str, Arc<ScalarUDF>>> = LazyLock::new(|| {
    table().map(|function| (function.name, Arc::new(RowUdf { function }.into()))).collect()
});

/// All of them, for the registry.
pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    UDFS.values().map(Arc::clone).collect()
}

/// One of them, for plans.
///
/// # Errors
/// An internal error for a name that isn't in the table.
pub(super) fn named(name: &str) -> Result<&'static Arc<ScalarUDF>> {
    UDFS.get(name).ok_or_else(|| DataFusionError::Internal(format!("no row function {name}")))
}

static SIGNATURE: LazyLock<Signature> =
    LazyLock::new(|| Signature::user_defined(Volatility::Immutable));

/// Bytes of all texts that a function makes of the rows of one batch: no pool knows of them.
const BATCH_BYTES_MAX: usize = 256 << 20;

struct RowUdf {
    function: &'static RowFunction,
}

impl std::fmt::Debug for RowUdf {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RowUdf").field("name", &self.function.name).finish()
    }
}

impl PartialEq for RowUdf {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name
    }
}

impl Eq for RowUdf {}

impl Hash for RowUdf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl ScalarUDFImpl for RowUdf {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &SIGNATURE
    }

    fn coerce_types(&self, types: &[Arrow]) -> Result<Vec<Arrow>> {
        let way = self.function.resolve(types).ok_or_else(|| self.function.undefined(types))?;
        let kinds = types.iter().enumerate();
        Ok(kinds.map(|(index, from)| way.kind(index).target(from)).collect())
    }

    fn return_type(&self, types: &[Arrow]) -> Result<Arrow> {
        let way = self.function.resolve(types).ok_or_else(|| self.function.undefined(types))?;
        (way.returns)(types, &vec![None; types.len()])
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<Arrow> =
            args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let way = self.function.resolve(&types).ok_or_else(|| self.function.undefined(&types))?;
        let data_type = (way.returns)(&types, args.scalar_arguments)?;
        let field = Field::new(self.function.name, data_type, true);
        let first = args.arg_fields.first().and_then(|it| it.metadata().get(PG_TYPE_KEY));
        let told = match first {
            Some(first) if way.as_first && first == "jsonb" => Some("jsonb"),
            _ => way.pg_type,
        };
        let told = told.map(|name| (PG_TYPE_KEY.to_owned(), name.to_owned()));
        Ok(Arc::new(field.with_metadata(told.into_iter().collect())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let types: Vec<Arrow> =
            args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let way = self.function.resolve(&types).ok_or_else(|| self.function.undefined(&types))?;
        let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let arrays: Vec<ArrayRef> = args
            .args
            .iter()
            .map(|arg| arg.to_array(if scalar { 1 } else { args.number_rows }))
            .collect::<Result<_>>()?;
        let rows = if scalar { 1 } else { args.number_rows };
        let data_type = args.return_field.data_type();
        let mut results = Vec::with_capacity(rows);
        let mut values = Vec::with_capacity(arrays.len());
        let mut bytes = 0_usize;
        for row in 0..rows {
            values.clear();
            for (index, array) in arrays.iter().enumerate() {
                values.push(shaped(
                    Value::at(array.as_ref(), row),
                    &args.arg_fields[index],
                    way.kind(index),
                ));
            }
            let value = match way.strict && values.iter().any(Value::is_null) {
                true => Value::Null,
                false => (way.eval)(&values)?,
            };
            bytes += value.text_bytes();
            if bytes > BATCH_BYTES_MAX {
                return Err(self.function.too_large().into());
            }
            results.push(value.into_scalar(data_type)?);
        }
        if scalar && let Some(value) = results.pop() {
            return Ok(ColumnarValue::Scalar(value));
        }
        if results.is_empty() {
            return Ok(ColumnarValue::Array(datafusion::arrow::array::new_empty_array(data_type)));
        }
        Ok(ColumnarValue::Array(ScalarValue::iter_to_array(results)?))
    }
}

/// A value with what its field and its kind say of it.
fn shaped<'a>(value: Value<'a>, field: &Field, kind: Kind) -> Value<'a> {
    match (value, kind) {
        (Value::Int(value), Kind::Integer) if *field.data_type() != DataType::Int64 => {
            i32::try_from(value).map_or(Value::Int(value), Value::Short)
        }
        (Value::Text(text), _)
            if matches!(
                field.metadata().get(PG_TYPE_KEY).map(String::as_str),
                Some("json" | "jsonb")
            ) =>
        {
            Value::Json(text)
        }
        (Value::List(items), _)
            if matches!(
                field.metadata().get(PG_TYPE_KEY).map(String::as_str),
                Some("_json" | "_jsonb")
            ) =>
        {
            let json = |item| match item {
                Value::Text(text) => Value::Json(text),
                other => other,
            };
            Value::List(items.into_iter().map(json).collect())
        }
        (value, _) => value,
    }
}

// ---- results of one type

macro_rules! returns {
    ($($name:ident => $type:expr;)*) => {
        $(pub(super) fn $name(_: &[Arrow], _: &[Option<&ScalarValue>]) -> Result<Arrow> {
            Ok($type)
        })*
    };
}

returns! {
    text => Arrow::Utf8;
    int4 => Arrow::Int32;
    int8 => Arrow::Int64;
    float8 => Arrow::Float64;
    bool => Arrow::Boolean;
    date => Arrow::Date32;
    time => Arrow::Time64(TimeUnit::Microsecond);
    timestamp => TIMESTAMP;
    instant => timestamptz();
    interval => Arrow::Interval(IntervalUnit::MonthDayNano);
    texts => Arrow::List(Arc::new(Field::new_list_field(Arrow::Utf8, true)));
}

/// The type of the first argument.
pub(super) fn first(types: &[Arrow], _: &[Option<&ScalarValue>]) -> Result<Arrow> {
    Ok(types.first().cloned().unwrap_or(Arrow::Utf8))
}
