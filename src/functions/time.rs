//! Functions of dates, timestamps and zones.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    IntervalMonthDayNanoArray, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::compute::kernels::arity::try_binary;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType,
    TimeUnit, TimestampMicrosecondType,
};
use datafusion::arrow::error::ArrowError;
use datafusion::common::{ScalarValue, exec_err, plan_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, Volatility, create_udf,
};

use super::calendar::{self, SECOND, Unit};
use super::error::FunctionError;
use super::interval::Interval as Span;
use super::moments::is_finite;
use super::udf::{Function, result};
use crate::sql::timezone::TimeZone;

macro_rules! function {
    ($(#[$doc:meta])* $name:ident, $value:expr) => {
        $(#[$doc])*
        pub fn $name() -> &'static Arc<ScalarUDF> {
            static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| $value.udf());
            &FUNCTION
        }
    };
}

function!(
    /// `date_trunc(unit, moment [, zone])`. Of a date it gives a timestamp without time zone, where
    /// Postgres would give one of the session's zone; of a timestamptz without a zone it means UTC:
    /// the session's is written out (see [`super::zones`]).
    date_trunc,
    Function::new("date_trunc", unit_and_moment, truncated_type, truncate).preimage(unit_preimage)
);
function!(
    /// `extract(field FROM moment)`: numeric, with six digits for seconds and the epoch. As a third
    /// argument the zone in which a timestamptz is shown.
    extract,
    Function::new("extract", unit_and_moment, extracted_type, extract_field)
        .preimage(year_preimage)
);
function!(
    /// `date_part(field, moment [, zone])`: float8.
    date_part,
    Function::new("date_part", unit_and_moment, part_type, extract_field).preimage(year_preimage)
);
function!(
    /// The wall clock of an instant in a zone: `wall_clock(timestamptz, 'Europe/Berlin')` is a
    /// timestamp without time zone. `AT TIME ZONE` of a timestamptz is this.
    wall_clock,
    Function::new("wall_clock", instant_and_zone, |_, _| Ok(TIMESTAMP), to_wall_clock)
        .preimage(wall_clock_preimage)
);
function!(
    /// The beginning of a timestamp's week, where weeks begin `first` days after Monday:
    /// `week_from(6, …)` in weeks from Sunday.
    week_from,
    Function::new("week_from", days_and_timestamp, |_, _| Ok(TIMESTAMP), to_week)
);
function!(
    /// The instant of a wall clock in a zone. `AT TIME ZONE` of a timestamp is this.
    instant_at,
    Function::new("instant_at", wall_clock_and_zone, |_, _| Ok(timestamptz()), to_instant)
);
function!(
    /// The text of a timestamp as Postgres prints it; of a timestamptz in UTC, with `+00`, or in the
    /// zone that is the second argument.
    timestamp_text,
    Function::new("timestamp_text", microseconds_and_zone, |_, _| Ok(DataType::Utf8), to_text)
);

function!(
    /// `date + int`.
    add_days,
    Function::new("add_days", date_and_days, |_, _| Ok(DataType::Date32), |args| {
        moved(args, i32::checked_add)
    })
);
function!(
    /// `date - int`.
    subtract_days,
    Function::new("subtract_days", date_and_days, |_, _| Ok(DataType::Date32), |args| {
        moved(args, i32::checked_sub)
    })
);

function!(
    /// `periods_between(unit, from, to)`: how many seconds, minutes, hours, days, weeks (from Monday
    /// on), months, quarters or years the period of one timestamp is behind that of another; negative where it is before it.
    periods_between,
    Function::new("periods_between", unit_and_two, |_, _| Ok(DataType::Int64), count_periods)
);

function!(
    /// `periods_after(unit, from, count)`: the timestamp so many seconds, minutes, hours, days, weeks,
    /// months, quarters or years later; in a month that is too short for its day, that month's last.
    periods_after,
    Function::new("periods_after", unit_moment_and_count, |_, _| Ok(TIMESTAMP), move_by_periods)
);
function!(
    /// The number of periods that an answer is to have, if it isn't more than [`PERIODS_MAX`].
    checked_periods,
    Function::new("checked_periods", one_count, |_, _| Ok(DataType::Int64), check_periods)
);

/// `localtimestamp`, for which the statement's time is put on the session's wall clock before anything
/// is computed.
fn local_timestamp() -> ScalarUDF {
    let body = |_: &[ColumnarValue]| exec_err!("localtimestamp is known to statements only");
    create_udf("localtimestamp", Vec::new(), TIMESTAMP, Volatility::Volatile, Arc::new(body))
}

/// Answers with more periods than this are a mistake in the range that is asked for.
pub const PERIODS_MAX: i64 = 100_000;

/// An answer would have more than [`PERIODS_MAX`] periods.
#[derive(Debug, Clone, thiserror::Error)]
#[error("more than {PERIODS_MAX} periods")]
pub struct TooManyPeriods;

/// All of them, for the registry.
pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    [
        date_trunc(),
        extract(),
        date_part(),
        wall_clock(),
        week_from(),
        instant_at(),
        timestamp_text(),
        add_days(),
        subtract_days(),
        periods_between(),
        periods_after(),
        checked_periods(),
    ]
    .into_iter()
    .map(Arc::clone)
    .chain([Arc::new(local_timestamp())])
    .collect()
}

/// A timestamp without time zone.
pub const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// Months, days and time.
pub const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

/// A timestamp with time zone: an instant.
pub fn timestamptz() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The canonical type of a date or timestamp of any unit.
fn canonical(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Date32 | DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, None) | DataType::Null => TIMESTAMP,
        DataType::Timestamp(_, Some(_)) => timestamptz(),
        DataType::Interval(_) | DataType::Duration(_) => INTERVAL,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        _ => return None,
    })
}

fn unit_and_moment(types: &[DataType]) -> Result<Vec<DataType>> {
    let moment = match types {
        [_, moment] | [_, moment, _] => canonical(moment),
        _ => None,
    };
    match (types.len(), moment) {
        (2, Some(moment)) => Ok(vec![DataType::Utf8, moment]),
        (3, Some(moment)) if moment == timestamptz() => {
            Ok(vec![DataType::Utf8, moment, DataType::Utf8])
        }
        _ => plan_err!("a unit and a date or timestamp are expected"),
    }
}

fn instant_and_zone(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [DataType::Timestamp(_, _) | DataType::Date32 | DataType::Null, _] => {
            Ok(vec![timestamptz(), DataType::Utf8])
        }
        _ => plan_err!("a timestamp with time zone and the name of a zone are expected"),
    }
}

fn days_and_timestamp(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [days, DataType::Timestamp(_, None) | DataType::Date32 | DataType::Null]
            if days.is_integer() =>
        {
            Ok(vec![DataType::Int64, TIMESTAMP])
        }
        _ => plan_err!("a number of days and a timestamp are expected"),
    }
}

fn wall_clock_and_zone(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [DataType::Timestamp(_, _) | DataType::Date32 | DataType::Null, _] => {
            Ok(vec![TIMESTAMP, DataType::Utf8])
        }
        _ => plan_err!("a timestamp and the name of a zone are expected"),
    }
}

fn date_and_days(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [DataType::Date32, days] if days.is_integer() || days.is_null() => {
            Ok(vec![DataType::Date32, DataType::Int64])
        }
        _ => plan_err!("a date and a number of days are expected"),
    }
}

fn unit_and_two(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [_, from, to] if canonical(from).is_some() && canonical(to).is_some() => {
            Ok(vec![DataType::Utf8, TIMESTAMP, TIMESTAMP])
        }
        _ => plan_err!("a unit and two timestamps are expected"),
    }
}

fn unit_moment_and_count(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [_, moment, count] if canonical(moment).is_some() && count.is_integer() => {
            Ok(vec![DataType::Utf8, TIMESTAMP, DataType::Int64])
        }
        _ => plan_err!("a unit, a timestamp and a count are expected"),
    }
}

fn one_count(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [count] if count.is_integer() => Ok(vec![DataType::Int64]),
        _ => plan_err!("a count is expected"),
    }
}

fn microseconds_and_zone(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [DataType::Timestamp(_, Some(_)), _] => Ok(vec![timestamptz(), DataType::Utf8]),
        [data_type] => match canonical(data_type) {
            Some(DataType::Date32) | None => plan_err!("a timestamp is expected"),
            Some(canonical) => Ok(vec![canonical]),
        },
        _ => plan_err!("a timestamp is expected"),
    }
}

fn truncated_type(types: &[DataType], scalars: &[Option<&ScalarValue>]) -> Result<DataType> {
    if let Some(unit) = unit_of(scalars.first().copied().flatten())?
        && !unit.truncates()
    {
        return plan_err!("date_trunc has no unit {unit:?}");
    }
    Ok(match types.get(1) {
        Some(DataType::Date32) => TIMESTAMP,
        Some(other) => other.clone(),
        None => TIMESTAMP,
    })
}

fn extracted_type(types: &[DataType], scalars: &[Option<&ScalarValue>]) -> Result<DataType> {
    let of_date = matches!(types.get(1), Some(DataType::Date32));
    let unit = field_of(scalars, of_date)?.unwrap_or(Unit::Epoch);
    Ok(match unit {
        Unit::Julian => DataType::Decimal128(38, unit.scale(of_date)),
        Unit::Epoch => DataType::Decimal128(20, unit.scale(of_date)),
        _ => DataType::Decimal128(10, unit.scale(of_date)),
    })
}

fn part_type(types: &[DataType], scalars: &[Option<&ScalarValue>]) -> Result<DataType> {
    // date_part takes a date for its midnight.
    let _ = types;
    unit_of(scalars.first().copied().flatten())?;
    Ok(DataType::Float64)
}

fn field_of(scalars: &[Option<&ScalarValue>], of_date: bool) -> Result<Option<Unit>> {
    let unit = unit_of(scalars.first().copied().flatten())?;
    match unit {
        Some(unit) if of_date && !unit.in_dates() => {
            let unit = format!("{unit:?}").to_lowercase();
            let message = format!("unit \"{unit}\" not supported for type date");
            Err(FunctionError::new("0A000", message).with_hint("Cast it to timestamp.").into())
        }
        unit => Ok(unit),
    }
}

/// The unit of a constant argument.
fn unit_of(scalar: Option<&ScalarValue>) -> Result<Option<Unit>> {
    let Some(text) = scalar.and_then(|value| value.try_as_str().flatten()) else {
        return Ok(None);
    };
    match Unit::parse(text) {
        Some(unit) => Ok(Some(unit)),
        None => Err(FunctionError::argument(format!("unit \"{text}\" not recognized")).into()),
    }
}

/// An argument that has to be the same for all rows.
fn constant<'a>(args: &'a ScalarFunctionArgs, index: usize, what: &str) -> Result<Option<&'a str>> {
    match args.args.get(index) {
        Some(ColumnarValue::Scalar(value)) => Ok(value.try_as_str().flatten()),
        Some(ColumnarValue::Array(array)) if array.len() == 1 => match array.as_string_opt::<i32>()
        {
            Some(texts) if texts.is_valid(0) => Ok(Some(texts.value(0))),
            _ => Ok(None),
        },
        _ => exec_err!("{what} must be a constant"),
    }
}

fn zone_of(args: &ScalarFunctionArgs, index: usize) -> Result<Option<TimeZone>> {
    let Some(name) = constant(args, index, "the time zone")? else { return Ok(None) };
    match TimeZone::of_expression(name) {
        Some(zone) => Ok(Some(zone)),
        None => plan_err!("time zone \"{name}\" not recognized"),
    }
}

/// One argument in microseconds since 1970; days become midnights.
fn micros(args: &ScalarFunctionArgs, index: usize) -> Result<TimestampMicrosecondArray> {
    let array = match &args.args[index] {
        ColumnarValue::Array(array) => Arc::clone(array),
        ColumnarValue::Scalar(value) => value.to_array()?,
    };
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Ok(array.as_primitive::<TimestampMicrosecondType>().clone())
        }
        _ => {
            let cast = datafusion::arrow::compute::cast(&array, &TIMESTAMP)?;
            Ok(cast.as_primitive::<TimestampMicrosecondType>().clone())
        }
    }
}

pub(super) fn out_of_range() -> DataFusionError {
    DataFusionError::from(ArrowError::ArithmeticOverflow("timestamp out of range".to_owned()))
}

/// Each moment through `compute`, with the type of the function's result.
fn moments(
    args: &ScalarFunctionArgs,
    input: &TimestampMicrosecondArray,
    mut compute: impl FnMut(i64) -> Option<i64>,
) -> Result<ColumnarValue> {
    let mut values = Vec::with_capacity(input.len());
    for moment in input {
        values.push(match moment {
            Some(moment) => Some(compute(moment).ok_or_else(out_of_range)?),
            None => None,
        });
    }
    let array = TimestampMicrosecondArray::from(values)
        .with_data_type(args.return_field.data_type().clone());
    result(args, Arc::new(array))
}

fn all_null(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    Ok(ColumnarValue::Scalar(ScalarValue::try_from(args.return_field.data_type())?))
}

fn truncate(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let unit = constant(args, 0, "the unit of date_trunc")?;
    let Some(unit) = unit_of(unit.map(ScalarValue::from).as_ref())? else {
        return all_null(args);
    };
    if matches!(args.arg_fields[1].data_type(), DataType::Interval(_)) {
        let array = args.args[1].to_array(args.number_rows)?;
        let spans = array.as_primitive::<IntervalMonthDayNanoType>().iter();
        let truncated = spans.map(|span| {
            let truncate = |span| Ok(Span::from(span).truncated(unit)?.to_arrow()?);
            span.map(truncate).transpose()
        });
        let array: IntervalMonthDayNanoArray = truncated.collect::<Result<_>>()?;
        return result(args, Arc::new(array));
    }
    let input = micros(args, 1)?;
    if args.args.len() < 3 {
        return moments(args, &input, |moment| calendar::truncated(unit, moment));
    }
    let Some(zone) = zone_of(args, 2)? else { return all_null(args) };
    let mut offsets = Offsets::new(zone);
    moments(args, &input, |instant| {
        let offset = offsets.at(instant)?;
        let local = calendar::truncated(unit, instant.checked_add(offset)?)?;
        // Within an hour the offset stays, so that a repeated hour of autumn isn't taken for the other.
        if unit <= Unit::Hour { local.checked_sub(offset) } else { offsets.instant_of(local) }
    })
}

fn extract_field(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let unit = constant(args, 0, "the field of extract")?;
    let Some(unit) = unit_of(unit.map(ScalarValue::from).as_ref())? else {
        return all_null(args);
    };
    let of_date = matches!(args.arg_fields[1].data_type(), DataType::Date32);
    if matches!(args.arg_fields[1].data_type(), DataType::Interval(_) | DataType::Time64(_)) {
        return interval_fields(args, unit);
    }
    let input = match (args.args.len(), unit) {
        (3, Unit::Timezone | Unit::TimezoneHour | Unit::TimezoneMinute) => {
            return offset_fields(args, unit);
        }
        (3, unit) if unit != Unit::Epoch => {
            let Some(zone) = zone_of(args, 2)? else { return all_null(args) };
            let mut offsets = Offsets::new(zone);
            let instants = micros(args, 1)?;
            let shown = instants.iter().map(|instant| {
                let mut shown = |instant: i64| instant.checked_add(offsets.at(instant)?);
                instant.map(|instant| shown(instant).ok_or_else(out_of_range)).transpose()
            });
            shown.collect::<Result<TimestampMicrosecondArray>>()?
        }
        _ => micros(args, 1)?,
    };
    let array: ArrayRef = match args.return_field.data_type() {
        DataType::Float64 => {
            let parts = input.iter().map(|moment| calendar::float_field(unit, moment?));
            Arc::new(parts.collect::<Float64Array>())
        }
        data_type => {
            let field = |moment| match unit {
                Unit::Julian => calendar::julian(moment, of_date),
                unit => calendar::field(unit, moment, of_date).map(i128::from),
            };
            let fields = input.iter().map(|moment| moment.and_then(field));
            Arc::new(fields.collect::<Decimal128Array>().with_data_type(data_type.clone()))
        }
    };
    result(args, array)
}

/// How far east of UTC a zone is at each instant: in seconds, or in hours and the minutes beside them.
fn offset_fields(args: &ScalarFunctionArgs, unit: Unit) -> Result<ColumnarValue> {
    let Some(zone) = zone_of(args, 2)? else { return all_null(args) };
    let mut offsets = Offsets::new(zone);
    let mut fields = Vec::with_capacity(args.number_rows);
    for instant in &micros(args, 1)? {
        let mut seconds = |instant| Some(offsets.at(instant)? / SECOND);
        let seconds = instant.map(|instant| seconds(instant).ok_or_else(out_of_range));
        fields.push(seconds.transpose()?.map(|seconds| match unit {
            Unit::TimezoneHour => seconds / 3_600,
            Unit::TimezoneMinute => seconds % 3_600 / 60,
            _ => seconds,
        }));
    }
    let fields: ArrayRef = Arc::new(Int64Array::from(fields));
    let to = args.return_field.data_type();
    result(args, datafusion::arrow::compute::cast(&fields, to)?)
}

/// The fields of intervals, and of times of day, which are intervals from midnight.
fn interval_fields(args: &ScalarFunctionArgs, unit: Unit) -> Result<ColumnarValue> {
    let array = args.args[1].to_array(args.number_rows)?;
    let intervals: Vec<Option<Span>> = match array.data_type() {
        DataType::Interval(_) => {
            let values = array.as_primitive::<IntervalMonthDayNanoType>();
            values.iter().map(|value| value.map(Span::from)).collect()
        }
        _ => {
            let values = array.as_primitive::<Time64MicrosecondType>();
            let of_day = |micros| Span { micros, ..Span::default() };
            values.iter().map(|value| value.map(of_day)).collect()
        }
    };
    let is_time = matches!(array.data_type(), DataType::Time64(_));
    if is_time && unit >= Unit::Day && unit != Unit::Epoch {
        return Err(super::moments::no_field(&format!("{unit:?}").to_lowercase()).into());
    }
    let field = |interval: Span| -> Result<i64> {
        let no_field = || super::moments::no_field(&format!("{unit:?}").to_lowercase());
        Ok(interval.field(unit).ok_or_else(no_field)?)
    };
    let fields = intervals.into_iter().map(|interval| interval.map(field).transpose());
    let fields = fields.collect::<Result<Vec<_>>>()?;
    let array: ArrayRef = match args.return_field.data_type() {
        DataType::Float64 => {
            #[expect(clippy::cast_precision_loss, reason = "as Postgres computes it")]
            let scaled = |field: i64| match unit {
                Unit::Second | Unit::Epoch => field as f64 / 1e6,
                Unit::Millisecond => field as f64 / 1e3,
                _ => field as f64,
            };
            Arc::new(fields.into_iter().map(|field| field.map(scaled)).collect::<Float64Array>())
        }
        data_type => {
            let fields = fields.into_iter().map(|field| field.map(i128::from));
            Arc::new(fields.collect::<Decimal128Array>().with_data_type(data_type.clone()))
        }
    };
    result(args, array)
}

fn count_periods(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let unit = constant(args, 0, "the unit of periods_between")?;
    let Some(unit) = unit_of(unit.map(ScalarValue::from).as_ref())? else {
        return all_null(args);
    };
    if !(Unit::Second..=Unit::Year).contains(&unit) {
        return plan_err!("periods_between has no unit {unit:?}");
    }
    let [from, to] = [1, 2].map(|index| args.args[index].to_array(args.number_rows));
    let (from, to) = (from?, to?);
    let from = from.as_primitive::<TimestampMicrosecondType>();
    let to = to.as_primitive::<TimestampMicrosecondType>();
    let count = |from, to| {
        let number = |moment| calendar::period_number(unit, moment).ok_or_else(out_of_range);
        Ok::<i64, DataFusionError>(number(to)? - number(from)?)
    };
    let counts = from.iter().zip(to).map(|pair| match pair {
        (Some(from), Some(to)) => count(from, to).map(Some),
        _ => Ok(None),
    });
    result(args, Arc::new(counts.collect::<Result<Int64Array>>()?))
}

fn move_by_periods(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let unit = constant(args, 0, "the unit of periods_after")?;
    let Some(unit) = unit_of(unit.map(ScalarValue::from).as_ref())? else {
        return all_null(args);
    };
    if !(Unit::Second..=Unit::Year).contains(&unit) {
        return plan_err!("periods_after has no unit {unit:?}");
    }
    let arrays = super::udf::arrays(args)?;
    let moments = arrays[1].as_primitive::<TimestampMicrosecondType>();
    let counts = arrays[2].as_primitive::<Int64Type>();
    let moved = moments.iter().zip(counts).map(|pair| match pair {
        (Some(moment), Some(count)) => {
            calendar::later(unit, moment, count).map(Some).ok_or_else(out_of_range)
        }
        _ => Ok(None),
    });
    result(args, Arc::new(moved.collect::<Result<TimestampMicrosecondArray>>()?))
}

fn check_periods(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let arrays = super::udf::arrays(args)?;
    let counts = arrays[0].as_primitive::<Int64Type>();
    if counts.iter().flatten().any(|count| count > PERIODS_MAX) {
        return Err(DataFusionError::External(Box::new(TooManyPeriods)));
    }
    Ok(args.args[0].clone())
}

fn to_week(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let ColumnarValue::Scalar(ScalarValue::Int64(Some(first @ 0..=6))) = args.args[0] else {
        return exec_err!("the first day of weeks must be a constant from 0 to 6");
    };
    let days = first * calendar::DAY;
    let input = micros(args, 1)?;
    moments(args, &input, |moment| {
        calendar::truncated(Unit::Week, moment.checked_sub(days)?)?.checked_add(days)
    })
}

/// A row names a time zone that doesn't exist.
#[derive(Debug, Clone, thiserror::Error)]
#[error("time zone \"{name}\" not recognized")]
pub struct UnknownZone {
    pub name: String,
}

/// The wall clock in each row's own zone. As in ClickHouse only full names of the IANA database are
/// zones, in their own case.
fn to_wall_clock_of_row(args: &ScalarFunctionArgs, zones: &StringArray) -> Result<ColumnarValue> {
    let input = match &args.args[0] {
        ColumnarValue::Scalar(value) => value.to_array_of_size(zones.len())?,
        ColumnarValue::Array(array) => Arc::clone(array),
    };
    let input = input.as_primitive::<TimestampMicrosecondType>();
    let mut known: HashMap<&str, TimeZone> = HashMap::new();
    let mut values = Vec::with_capacity(input.len());
    for (instant, name) in input.iter().zip(zones) {
        let (Some(instant), Some(name)) = (instant, name) else {
            values.push(None);
            continue;
        };
        let zone = match known.entry(name) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let unknown = |_| UnknownZone { name: name.to_owned() };
                let zone = name.parse().map_err(unknown);
                let zone = zone.map_err(|error| DataFusionError::External(Box::new(error)))?;
                entry.insert(TimeZone::Named(zone))
            }
        };
        let utc = calendar::moment_of(instant).ok_or_else(out_of_range)?;
        let local = instant.checked_add(i64::from(zone.offset_at(utc)) * SECOND);
        values.push(Some(local.ok_or_else(out_of_range)?));
    }
    result(args, Arc::new(TimestampMicrosecondArray::from(values)))
}

fn to_wall_clock(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    if let ColumnarValue::Array(zones) = &args.args[1]
        && let Some(zones) = zones.as_string_opt::<i32>()
    {
        return to_wall_clock_of_row(args, zones);
    }
    let Some(zone) = zone_of(args, 1)? else { return all_null(args) };
    let input = micros(args, 0)?;
    let mut offsets = Offsets::new(zone);
    moments(args, &input, |instant| instant.checked_add(offsets.at(instant)?))
}

fn to_instant(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let Some(zone) = zone_of(args, 1)? else { return all_null(args) };
    let input = micros(args, 0)?;
    let offsets = Offsets::new(zone);
    moments(args, &input, |local| offsets.instant_of(local))
}

fn to_text(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let zoned = matches!(args.arg_fields[0].data_type(), DataType::Timestamp(_, Some(_)));
    let input = micros(args, 0)?;
    let texts: StringArray = match args.args.len() {
        2 => {
            let Some(zone) = zone_of(args, 1)? else { return all_null(args) };
            let mut offsets = Offsets::new(zone);
            let mut text = |instant| match is_finite(instant) {
                true => instant_text(instant, offsets.at(instant)? / SECOND),
                false => calendar::timestamp_text(instant),
            };
            input.iter().map(|instant| instant.and_then(&mut text)).collect()
        }
        _ => {
            let suffix = if zoned { "+00" } else { "" };
            let text = |moment| calendar::timestamp_text(moment).map(|text| text + suffix);
            input.iter().map(|moment| moment.and_then(text)).collect()
        }
    };
    result(args, Arc::new(texts))
}

/// An instant as Postgres prints it so many seconds east of UTC.
pub(super) fn instant_text(instant: i64, east_seconds: i64) -> Option<String> {
    let local = instant.checked_add(east_seconds.checked_mul(SECOND)?)?;
    let text = calendar::timestamp_text(local)?;
    let offset = crate::sql::timezone::offset_text(i32::try_from(east_seconds).ok()?);
    Some(match text.strip_suffix(" BC") {
        Some(text) => format!("{text}{offset} BC"),
        None => text + &offset,
    })
}

fn moved(args: &ScalarFunctionArgs, step: fn(i32, i32) -> Option<i32>) -> Result<ColumnarValue> {
    let arrays = super::udf::arrays(args)?;
    let (dates, days) =
        (arrays[0].as_primitive::<Date32Type>(), arrays[1].as_primitive::<Int64Type>());
    let moved: Date32Array = try_binary(dates, days, |date, days: i64| {
        i32::try_from(days)
            .ok()
            .and_then(|days| step(date, days))
            .ok_or_else(|| ArrowError::ArithmeticOverflow("date out of range".to_owned()))
    })?;
    result(args, Arc::new(moved))
}

/// A zone's offsets, kept by day: no zone has two changes within a day that cancel out, so a day
/// whose ends have one offset has no other.
struct Offsets {
    zone: TimeZone,
    days: Vec<Option<(i64, i64)>>,
}

/// Days kept; eleven years of sorted or unsorted data without a second look-up.
const DAYS_KEPT: i64 = 4096;

impl Offsets {
    fn new(zone: TimeZone) -> Self {
        Self { zone, days: vec![None; usize::try_from(DAYS_KEPT).unwrap_or_default()] }
    }

    /// Microseconds east of UTC at an instant.
    fn at(&mut self, instant: i64) -> Option<i64> {
        let day = instant.div_euclid(calendar::DAY);
        let slot = usize::try_from(day.rem_euclid(DAYS_KEPT)).ok()?;
        if let Some((kept, offset)) = self.days[slot]
            && kept == day
        {
            return Some(offset);
        }
        let begin = day.checked_mul(calendar::DAY)?;
        let (first, last) = (self.exact(begin)?, self.exact(begin + calendar::DAY - 1)?);
        if first == last {
            self.days[slot] = Some((day, first));
            return Some(first);
        }
        self.exact(instant)
    }

    fn exact(&self, instant: i64) -> Option<i64> {
        let seconds = self.zone.offset_at(calendar::moment_of(instant)?);
        Some(i64::from(seconds) * SECOND)
    }

    fn instant_of(&self, local: i64) -> Option<i64> {
        let seconds = self.zone.offset_of_local(calendar::moment_of(local)?);
        local.checked_sub(i64::from(seconds) * SECOND)
    }
}

/// `date_trunc(unit, x) = begin` is a range of x, so that keys prune.
fn unit_preimage(
    args: &[Expr],
    constant: &ScalarValue,
    info: &SimplifyContext,
) -> Result<PreimageResult> {
    let (Some(Expr::Literal(unit, _)), Some(moment)) = (args.first(), args.get(1)) else {
        return Ok(PreimageResult::None);
    };
    let clock = match args.get(2) {
        None => None,
        Some(Expr::Literal(zone, _)) => {
            zone.try_as_str().flatten().and_then(TimeZone::of_expression)
        }
        Some(_) => return Ok(PreimageResult::None),
    };
    let ScalarValue::TimestampMicrosecond(Some(begin), zone) = constant else {
        return Ok(PreimageResult::None);
    };
    let Some(unit) = unit.try_as_str().flatten().and_then(Unit::parse) else {
        return Ok(PreimageResult::None);
    };
    let period = match (args.len(), clock) {
        (2, _) => period_in_utc(unit, *begin),
        (_, Some(clock)) => period_on_clock(unit, *begin, clock),
        (_, None) => None,
    };
    let Some(end) = period else { return Ok(PreimageResult::None) };
    let bound = |micros: i64| match info.get_data_type(moment) {
        Ok(DataType::Timestamp(TimeUnit::Microsecond, _)) => {
            Some(ScalarValue::TimestampMicrosecond(Some(micros), zone.clone()))
        }
        Ok(DataType::Date32) if unit >= Unit::Day => {
            let days = i32::try_from(micros.div_euclid(calendar::DAY)).ok()?;
            Some(ScalarValue::Date32(Some(days)))
        }
        _ => None,
    };
    range(moment, bound(*begin), bound(end))
}

/// The end of the period that begins at a moment, if one does.
fn period_in_utc(unit: Unit, begin: i64) -> Option<i64> {
    (calendar::truncated(unit, begin)? == begin).then(|| calendar::next(unit, begin)).flatten()
}

/// As [`period_in_utc`], of an instant at which a period begins on a zone's clock, where every
/// instant is on the same side of its bounds as its wall clock.
fn period_on_clock(unit: Unit, begin: i64, zone: TimeZone) -> Option<i64> {
    let offsets = Offsets::new(zone);
    let local = begin.checked_add(offsets.exact(begin)?)?;
    let end = period_in_utc(unit, local)?;
    (only_instant(&offsets, local)? == begin).then(|| only_instant(&offsets, end)).flatten()
}

/// `extract(year FROM x) = 2026` is a range of x.
fn year_preimage(
    args: &[Expr],
    constant: &ScalarValue,
    info: &SimplifyContext,
) -> Result<PreimageResult> {
    let [Expr::Literal(unit, _), moment] = args else { return Ok(PreimageResult::None) };
    let year = match constant {
        ScalarValue::Decimal128(Some(year), _, 0) => i64::try_from(*year).ok(),
        #[allow(clippy::cast_possible_truncation)] // whole and small, as checked
        ScalarValue::Float64(Some(year)) if year.fract() == 0.0 && year.abs() < 1e6 => {
            Some(*year as i64)
        }
        _ => None,
    };
    let is_year = unit.try_as_str().flatten().and_then(Unit::parse) == Some(Unit::Year);
    let first = |year: i64| {
        let date = chrono::NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, 1, 1)?;
        Some(date.to_epoch_days())
    };
    let Some((begin, end)) = year
        .filter(|_| is_year)
        .and_then(|year| Some((first(year)?, first(year.checked_add(1)?)?)))
    else {
        return Ok(PreimageResult::None);
    };
    let bound = |days: i32| match info.get_data_type(moment) {
        Ok(DataType::Timestamp(TimeUnit::Microsecond, zone)) => {
            let micros = i64::from(days).checked_mul(calendar::DAY)?;
            Some(ScalarValue::TimestampMicrosecond(Some(micros), zone))
        }
        Ok(DataType::Date32) => Some(ScalarValue::Date32(Some(days))),
        _ => None,
    };
    range(moment, bound(begin), bound(end))
}

/// A wall clock that exists once, away from the hours that are skipped or repeated, is one instant,
/// and every instant is on the same side of it as its wall clock.
fn wall_clock_preimage(
    args: &[Expr],
    constant: &ScalarValue,
    _: &SimplifyContext,
) -> Result<PreimageResult> {
    let (Some(instant), Some(Expr::Literal(zone, _))) = (args.first(), args.get(1)) else {
        return Ok(PreimageResult::None);
    };
    let ScalarValue::TimestampMicrosecond(Some(local), None) = constant else {
        return Ok(PreimageResult::None);
    };
    let Some(zone) = zone.try_as_str().flatten().and_then(TimeZone::of_expression) else {
        return Ok(PreimageResult::None);
    };
    let offsets = Offsets::new(zone);
    let bound = |local: i64| {
        let instant = only_instant(&offsets, local)?;
        Some(ScalarValue::TimestampMicrosecond(Some(instant), Some("UTC".into())))
    };
    range(instant, bound(*local), local.checked_add(1).and_then(bound))
}

/// The instant of a wall clock that exists once, away from the hours that are skipped or repeated.
fn only_instant(offsets: &Offsets, local: i64) -> Option<i64> {
    let instant = offsets.instant_of(local)?;
    let offset = local - instant;
    // A change of offset is at most some hours: where none is near, the mapping is one to one.
    let day = |days: i64| offsets.exact(instant.checked_add(days * calendar::DAY)?);
    let near = [instant - 6 * 3600 * SECOND, instant, instant + 6 * 3600 * SECOND];
    let still = near.iter().all(|near| offsets.exact(*near) == Some(offset));
    let unique = still || changes_elsewhere(offsets, local, instant, day(-1)?, day(1)?);
    unique.then_some(instant)
}

/// The wall clock of an instant in a zone, where a wall clock is before, at or after it just as its
/// own instant is before, at or after this one: not within the hours that the zone repeats, and not
/// at those that wall clocks which it skips are taken for.
pub(super) fn only_wall_clock(zone: &TimeZone, instant: i64) -> Option<i64> {
    let offsets = Offsets::new(zone.clone());
    let local = instant.checked_add(offsets.exact(instant)?)?;
    let days = [-1, 0, 1].map(|days| offsets.exact(instant.checked_add(days * calendar::DAY)?));
    for offset in days {
        let other = instant.checked_add(offset?)?;
        let is_same = offsets.instant_of(other)? == instant;
        if is_same != (other == local) {
            return None;
        }
    }
    Some(local)
}

/// Near a change of offset: whether the wall clock is neither repeated nor skipped by it.
fn changes_elsewhere(offsets: &Offsets, local: i64, instant: i64, before: i64, after: i64) -> bool {
    let candidates = [local - before, local - after];
    let valid: Vec<i64> = candidates
        .into_iter()
        .filter(|candidate| {
            offsets.exact(*candidate).is_some_and(|offset| candidate + offset == local)
        })
        .collect();
    !valid.is_empty() && valid.iter().all(|candidate| *candidate == instant)
}

fn range(
    expr: &Expr,
    begin: Option<ScalarValue>,
    end: Option<ScalarValue>,
) -> Result<PreimageResult> {
    match (begin, end) {
        (Some(begin), Some(end)) => {
            let interval = Box::new(Interval::try_new(begin, end)?);
            Ok(PreimageResult::Range { expr: expr.clone(), interval })
        }
        _ => Ok(PreimageResult::None),
    }
}
