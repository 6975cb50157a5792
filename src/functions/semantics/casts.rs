//! Casts as Postgres means them.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, lit};

use super::super::error::FunctionError;
use super::super::udf::call;
use super::super::{jsonb, numeric, quoted, rows, text, time, types};
use crate::sql::types::PgType;

/// Numbers of an array as whole ones, which are rounded: Arrow would cut them. Of an array that is
/// written out each item is cast. None of other casts.
fn items_cast(
    array: &Expr,
    from: &DataType,
    to: &DataType,
    schema: &DFSchema,
) -> Result<Option<Transformed<Expr>>> {
    let (DataType::List(given), DataType::List(wanted)) = (from, to) else { return Ok(None) };
    let is_exact = given.data_type().is_integer() || !given.data_type().is_numeric();
    if is_exact || !wanted.data_type().is_integer() {
        return Ok(None);
    }
    match array {
        Expr::ScalarFunction(made) if made.func.name() == "make_array" => {
            let each = made.args.iter().map(|item| {
                let cast = Cast::new(Box::new(item.clone()), wanted.data_type().clone());
                Ok(explicit_cast(cast, schema)?.data)
            });
            let each = each.collect::<Result<Vec<_>>>()?;
            Ok(Some(Transformed::yes(call(&made.func, each))))
        }
        _ => Err(FunctionError::not_supported(
            "a cast of an array of numbers with decimal places to one of integers",
            "Cast the numbers before they are put together: array_agg(x::int).",
        )
        .into()),
    }
}

/// Refuses casts that Postgres doesn't have between numbers, truth and moments.
///
/// Source: PostgreSQL 15, `pg_cast`.
fn check_cast(from: &DataType, to: &DataType) -> Result<()> {
    use DataType::{Boolean, Date32, Int32, Interval, Time64, Timestamp};
    let is_meant = |data_type: &DataType| {
        data_type.is_numeric()
            || matches!(data_type, Boolean | Date32 | Timestamp(..) | Time64(_) | Interval(_))
    };
    let is_moment = |data_type: &DataType| matches!(data_type, Date32 | Timestamp(..));
    let exists = match (from, to) {
        (from, to) if !is_meant(from) || !is_meant(to) || from == to => true,
        (from, to) if from.is_numeric() && to.is_numeric() => true,
        (from, to) if is_moment(from) && is_moment(to) => true,
        (Boolean, Int32) | (Timestamp(..), Time64(_)) => true,
        (Time64(_), Interval(_)) | (Interval(_), Time64(_)) => true,
        // An int4 is computed as an int8.
        (from, Boolean) => from.is_signed_integer(),
        _ => false,
    };
    if exists {
        return Ok(());
    }
    let (from, to) = (rows::type_name(from), rows::type_name(to));
    Err(FunctionError::new("42846", format!("cannot cast type {from} to {to}")).into())
}

pub(super) fn explicit_cast(cast: Cast, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Cast { expr, field } = cast;
    let from = expr.get_type(schema)?;
    let to = field.data_type().clone();
    check_cast(&from, &to)?;
    if types::is_unconstrained(&field) {
        return to_numeric(*expr, &from);
    }
    if let Some(literal) = quoted(&expr)
        && let DataType::Date32
        | DataType::Timestamp(TimeUnit::Microsecond, _)
        | DataType::Interval(IntervalUnit::MonthDayNano)
        | DataType::Time64(TimeUnit::Microsecond)
        | DataType::Binary
        | DataType::List(_) = &to
    {
        let value = text::read(&PgType::of_arrow(&to), literal)?;
        return Ok(Transformed::yes(Expr::Literal(value, None)));
    }
    if let Some(length) = types::length_of(&field) {
        let whole = explicit_cast(Cast::new(expr, DataType::Utf8), schema)?.data;
        let cut = call(rows::named("varchar_cut")?, vec![whole, lit(length)]);
        // Blanks are added again only where a value is shown, which canon leaves.
        return Ok(Transformed::yes(match types::is_blank_padded(&field) {
            true => datafusion::functions::expr_fn::rtrim(vec![cut]),
            // What is left of the cast says that it is no other text.
            false => Expr::Cast(Cast { expr: Box::new(cut), field: Arc::new(types::varchar()) }),
        }));
    }
    if PgType::of(&field) == PgType::Uuid && from == DataType::Utf8 {
        let is_read = matches!(&*expr, Expr::ScalarFunction(it) if it.func.name() == "uuid_text");
        if is_read {
            return Ok(Transformed::no(Expr::Cast(Cast { expr, field })));
        }
        // The cast is what says that the text is a uuid.
        let expr = Box::new(call(rows::named("uuid_text")?, vec![*expr]));
        return Ok(Transformed::yes(Expr::Cast(Cast { expr, field })));
    }
    if PgType::of(&field) == PgType::Jsonb {
        jsonb::check_cast(&from)?;
        let is_read = matches!(&*expr, Expr::ScalarFunction(it) if it.func.name() == "jsonb_text");
        if is_read || from.is_null() {
            return Ok(Transformed::no(Expr::Cast(Cast { expr, field })));
        }
        let expr = Box::new(call(rows::named("jsonb_text")?, vec![*expr]));
        return Ok(Transformed::yes(Expr::Cast(Cast { expr, field })));
    }
    // A cast to the same type of Arrow's would keep what is told of the text.
    if from == DataType::Utf8
        && to == DataType::Utf8
        && PgType::of(&field) == PgType::Text
        && matches!(jsonb::told(&expr, schema), Some(PgType::Json | PgType::Jsonb))
    {
        return Ok(Transformed::yes(call(rows::named("output_text")?, vec![*expr])));
    }
    if let Some(items) = items_cast(&expr, &from, &to, schema)? {
        return Ok(items);
    }
    let inner = *expr;
    let function = match (&from, &to) {
        (DataType::Float32 | DataType::Float64 | DataType::Decimal128(_, _), to)
            if to.is_integer() =>
        {
            let integer = call(numeric::to_integer(), vec![inner]);
            return Ok(Transformed::yes(cast_unless(integer, &DataType::Int64, to)));
        }
        // The planner writes AT TIME ZONE as a cast to nanoseconds of a zone; no type of canon's is so.
        (from, DataType::Timestamp(TimeUnit::Nanosecond, Some(zone))) => {
            let function = match from {
                DataType::Timestamp(_, Some(_)) => time::wall_clock(),
                _ => time::instant_at(),
            };
            return Ok(Transformed::yes(call(function, vec![inner, lit(zone.as_ref())])));
        }
        (DataType::Float32 | DataType::Float64, DataType::Utf8) => text::float_text(),
        (DataType::Timestamp(_, _), DataType::Utf8) => time::timestamp_text(),
        (DataType::Interval(_) | DataType::Duration(_), DataType::Utf8) => {
            rows::named("interval_text")?
        }
        (DataType::List(_) | DataType::Binary | DataType::Time64(_), DataType::Utf8) => {
            rows::named("output_text")?
        }
        // A cast would let a file's least and greatest moments say what times of day there are in it.
        (DataType::Timestamp(_, _), DataType::Time64(_)) => {
            let time = call(rows::named("time_of_day")?, vec![inner]);
            let own = DataType::Time64(TimeUnit::Microsecond);
            return Ok(Transformed::yes(cast_unless(time, &own, &to)));
        }
        (DataType::Interval(_), DataType::Time64(_)) => rows::named("interval_time")?,
        (DataType::Time64(_), DataType::Interval(_)) => rows::named("time_interval")?,
        (DataType::Utf8, DataType::Date32) => text::text_to_date(),
        (DataType::Utf8, DataType::Timestamp(TimeUnit::Microsecond, None)) => {
            text::text_to_timestamp()
        }
        (DataType::Utf8, DataType::Timestamp(TimeUnit::Microsecond, Some(_))) => {
            text::text_to_timestamptz()
        }
        _ => {
            let cast = Cast { expr: Box::new(inner), field };
            return Ok(Transformed::no(Expr::Cast(cast)));
        }
    };
    Ok(Transformed::yes(call(function, vec![inner])))
}

/// To `numeric` without precision: the digits stay as they are.
fn to_numeric(expr: Expr, from: &DataType) -> Result<Transformed<Expr>> {
    if let Some(literal) = quoted(&expr) {
        let scale = crate::sql::value::written_scale(literal);
        let value = text::read(&PgType::Numeric(Some((38, scale))), literal)?;
        return Ok(Transformed::yes(Expr::Literal(value, None)));
    }
    if let DataType::Float32 | DataType::Float64 = from {
        let digits: i64 = if *from == DataType::Float32 { 6 } else { 15 };
        let number = cast_unless(expr, from, &DataType::Float64);
        return Ok(Transformed::yes(call(
            rows::named("float_numeric")?,
            vec![number, lit(digits)],
        )));
    }
    if let Expr::Literal(value, _) = &expr
        && value.is_null()
    {
        // No digits, for which others would be shown.
        return Ok(Transformed::yes(lit(ScalarValue::Decimal128(None, 1, 0))));
    }
    let to = numeric::as_decimal(from).unwrap_or(DataType::Decimal128(38, 10));
    Ok(Transformed::yes(cast_unless(expr, from, &to)))
}

pub(in crate::functions) fn cast_unless(expr: Expr, from: &DataType, to: &DataType) -> Expr {
    if from == to { expr } else { Expr::Cast(Cast::new(Box::new(expr), to.clone())) }
}
