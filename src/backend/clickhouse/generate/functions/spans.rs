//! Differences of moments. ClickHouse has no interval of days and time: here they are microseconds,
//! which tell days and time of a difference, and are read as an interval when they arrive.

use datafusion::arrow::datatypes::DataType;

use super::super::value::{Binding, Value};
use super::super::{NotPushable, Result};
use super::time::{is_timestamp, unit_of};
use super::{Call, Entry, Form};
use crate::functions::Unit;

#[rustfmt::skip]
pub(super) const ENTRIES: &[Entry] = &[
    Entry { name: "timestamp_difference", signature: "timestamp, timestamp | timestamptz, timestamptz -> interval: how - is planned", constants: &[], form: Form::Scalar(difference),
        examples: &[("timestamp '2026-03-01 00:00:00' - timestamp '2026-02-27 01:02:03.5' = interval '1 day 22 hours 57 minutes 56.5 seconds'", Some("t")), ("timestamptz '1960-01-01 00:00:00+00' - timestamptz '2026-01-01 12:00:00+01' = interval '-24107 days -11 hours'", Some("t")),
            ("date '2026-03-01' - timestamp '2026-03-01 00:00:00' = interval '0'", Some("t"))] },
    Entry { name: "interval_order", signature: "interval -> numeric: how intervals are compared", constants: &[], form: Form::Scalar(order),
        examples: &[("timestamp '2026-03-02 00:00:00' - timestamp '2026-03-01 00:00:00' = interval '24 hours'", Some("t")), ("timestamp '2026-03-02 00:00:00' - timestamp '2026-03-01 00:00:00' > interval '1 month'", Some("f"))] },
    Entry { name: "interval_months", signature: "interval -> int8: of sums", constants: &[], form: Form::Scalar(|call| part(call, none)), examples: &[] },
    Entry { name: "interval_days", signature: "interval -> int8: of sums", constants: &[], form: Form::Scalar(|call| part(call, days)), examples: &[] },
    Entry { name: "interval_micros", signature: "interval -> int8: of sums", constants: &[], form: Form::Scalar(|call| part(call, |micros| rest(micros, DAY))), examples: &[] },
    Entry { name: "extract", signature: "field FROM interval -> numeric; of a difference", constants: &[0], form: Form::Syntax,
        examples: &[("extract(day from timestamp '2026-03-01 00:00:00' - timestamp '2026-03-11 06:00:00')", Some("-10")), ("extract(hour from timestamp '2026-03-01 00:00:00' - timestamp '2026-03-11 06:30:00')", Some("-6")),
            ("extract(minute from timestamp '2026-03-11 06:31:05' - timestamp '2026-03-01 00:00:00')", Some("31")), ("extract(second from timestamp '2026-03-11 06:31:05.25' - timestamp '2026-03-01 00:00:00')", Some("5.250000")),
            ("extract(epoch from timestamp '1969-12-31 23:00:00.25' - timestamp '1970-01-01 00:00:00')", Some("-3599.750000")), ("extract(month from timestamp '2026-03-11 00:00:00' - timestamp '2026-01-01 00:00:00')", Some("0")),
            ("extract(quarter from timestamp '2026-03-11 00:00:00' - timestamp '2026-01-01 00:00:00')", Some("1")), ("extract(milliseconds from timestamp '2026-03-11 06:31:05.25' - timestamp '2026-03-01 00:00:00')", Some("5250.000"))] },
    Entry { name: "date_part", signature: "text, interval -> float8; of a difference", constants: &[0], form: Form::Syntax,
        examples: &[("date_part('day', timestamp '2026-03-11 06:31:05.25' - timestamp '2026-03-01 00:00:00')", Some("10")), ("date_part('second', timestamp '2026-03-01 00:00:00' - timestamp '2026-03-11 06:31:05.25')", Some("-5.25")),
            ("date_part('epoch', timestamp '2026-03-11 06:31:05.25' - timestamp '2026-03-01 00:00:00')", Some("887465.25"))] },
];

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

pub(super) fn is_span(value: &Value) -> bool {
    matches!(value.data_type, DataType::Interval(_))
}

fn difference(call: &Call) -> Result<Value> {
    let (to, from) = (call.arg(0)?, call.arg(1)?);
    if !is_timestamp(to) || !is_timestamp(from) {
        return Err(NotPushable::new("the difference of something that is no timestamp"));
    }
    let [to, from] = [to, from].map(|it| format!("toUnixTimestamp64Micro({})", it.sql));
    Ok(Value { binding: Binding::Sum, ..call.result(format!("{to} - {from}")) })
}

fn micros_of(call: &Call, index: usize) -> Result<String> {
    let span = call.arg(index)?;
    match is_span(span) && !span.sql.is_empty() {
        true => Ok(span.at(Binding::Atom)),
        false => Err(NotPushable::new("an interval that is no difference of moments")),
    }
}

fn order(call: &Call) -> Result<Value> {
    Ok(call.result(format!("toDecimal128({}, 0)", micros_of(call, 0)?)))
}

fn part(call: &Call, of: fn(&str) -> String) -> Result<Value> {
    let micros = micros_of(call, 0)?;
    Ok(call.result(format!("toInt64({})", of(&micros))))
}

/// Differences have no months; of NULL that is NULL.
fn none(micros: &str) -> String {
    format!("{micros} * 0")
}

/// Both cut towards zero, and with the type, or the numbers would be unsigned.
fn days(micros: &str) -> String {
    format!("intDiv({micros}, toInt64({DAY}))")
}

fn rest(micros: &str, of: i64) -> String {
    format!("({micros} % toInt64({of}))")
}

/// A field in units of ten to the power of minus the number beside it.
fn field(unit: Unit, micros: &str) -> Result<(String, u32)> {
    Ok(match unit {
        Unit::Millennium | Unit::Century | Unit::Decade | Unit::Year | Unit::Month => {
            (none(micros), 0)
        }
        Unit::Quarter => (format!("{} + 1", none(micros)), 0),
        Unit::Day => (days(micros), 0),
        Unit::Hour => (format!("intDiv({}, toInt64({HOUR}))", rest(micros, DAY)), 0),
        Unit::Minute => (format!("intDiv({}, toInt64({MINUTE}))", rest(micros, HOUR)), 0),
        Unit::Microsecond => (rest(micros, MINUTE), 0),
        Unit::Millisecond => (rest(micros, MINUTE), 3),
        Unit::Second => (rest(micros, MINUTE), 6),
        Unit::Epoch => (micros.to_owned(), 6),
        other => return Err(NotPushable::new(format!("the field {other:?} of an interval"))),
    })
}

/// A field of a difference; None of another type.
pub(super) fn extract(call: &Call) -> Result<Option<Value>> {
    if !is_span(call.arg(1)?) {
        return Ok(None);
    }
    let (field, digits) = field(unit_of(call)?, &micros_of(call, 1)?)?;
    let exact = match digits {
        0 => format!("toInt64({field})"),
        _ => format!("toDecimal128({field}, {digits}) / {}", 10_i64.pow(digits)),
    };
    let exact = Value::new(exact, call.data_type.clone(), false);
    Ok(Some(call.result(exact.cast_sql(&call.data_type)?)))
}

/// A field of a difference as a float; None of another type.
pub(super) fn date_part(call: &Call) -> Result<Option<Value>> {
    if !is_span(call.arg(1)?) {
        return Ok(None);
    }
    let (field, digits) = field(unit_of(call)?, &micros_of(call, 1)?)?;
    Ok(Some(match digits {
        0 => call.result(format!("toFloat64({field})")),
        _ => {
            let float = call.result(format!("{field} / 1e{digits}"));
            Value { binding: Binding::Product, ..float }
        }
    }))
}
