//! Sums, means and deviations of exact numbers, in Postgres's types, and aggregates of intervals.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Cast, Expr};

use super::semantics::cast_unless;
use super::udf::call;
use super::{deviations, int4, numeric, rows};

/// What an aggregate or a window is over.
pub(super) struct Number<'e> {
    pub(super) arg: &'e Expr,
    pub(super) data_type: &'e DataType,
    pub(super) is_distinct: bool,
}

impl Number<'_> {
    /// A sum, mean or deviation of exact numbers, from sums that hold all of their digits; `over` makes
    /// an aggregate of the same rows. None for another.
    pub(super) fn exact(
        &self,
        name: &str,
        schema: &DFSchema,
        over: impl Fn(&str, Expr) -> Result<Expr>,
    ) -> Result<Option<Expr>> {
        let Self { arg, data_type, is_distinct } = *self;
        let count = || over("count", arg.clone());
        Ok(Some(match (name, data_type) {
            ("sum", DataType::Int64 | DataType::UInt64 | DataType::UInt32) => {
                over("sum", summed(arg, schema)?)?
            }
            ("avg", DataType::Decimal128(_, _)) => {
                call(numeric::numeric_mean(), vec![over("sum", arg.clone())?, count()?])
            }
            ("avg", integer) if integer.is_integer() => {
                let sum = over("sum", summable(arg.clone(), integer))?;
                call(numeric::numeric_mean(), vec![sum, count()?])
            }
            (name, DataType::Interval(_)) if !is_distinct => return of_intervals(name, arg, over),
            (name, number) if let Some((deviation, decimal)) = deviations::of(name, number) => {
                let exact = cast_unless(arg.clone(), number, &decimal);
                // Numbers that aren't equal may have equal squares.
                if is_distinct {
                    let numbers = over("array_agg", exact)?;
                    return Ok(Some(call(rows::named(deviation)?, vec![numbers])));
                }
                let squares = over("sum", exact.clone() * exact.clone())?;
                call(rows::named(deviation)?, vec![squares, over("sum", exact)?, count()?])
            }
            _ => return Ok(None),
        }))
    }
}

/// Aggregates of intervals, by aggregates of their parts: Arrow's sums carry nothing from days into
/// months either, but its order is not Postgres's. None for another aggregate.
fn of_intervals(
    name: &str,
    arg: &Expr,
    over: impl Fn(&str, Expr) -> Result<Expr>,
) -> Result<Option<Expr>> {
    let of = |function: &str, args| Ok::<_, DataFusionError>(call(rows::named(function)?, args));
    let part = |function: &str| over("sum", wide(of(function, vec![arg.clone()])?));
    let sum = || {
        let parts = ["interval_months", "interval_days", "interval_micros"].map(part);
        of("interval_of_parts", parts.into_iter().collect::<Result<_>>()?)
    };
    Ok(Some(match name {
        "sum" => sum()?,
        "avg" => {
            let count = Cast::new(Box::new(over("count", arg.clone())?), DataType::Float64);
            of("interval_divided", vec![sum()?, Expr::Cast(count)])?
        }
        // A difference is told by its length, which is a number for any backend.
        "min" | "max" if is_difference(arg) => {
            of("interval_of_order", vec![over(name, of("interval_order", vec![arg.clone()])?)?])?
        }
        "min" | "max" => {
            of("interval_of_key", vec![over(name, of("interval_key", vec![arg.clone()])?)?])?
        }
        _ => return Ok(None),
    }))
}

fn is_difference(interval: &Expr) -> bool {
    matches!(interval, Expr::ScalarFunction(call) if call.func.name() == "timestamp_difference")
}

/// A float deviation, numeric of exact numbers.
pub(super) fn numeric_if(is_exact: bool, deviation: Expr) -> Expr {
    match is_exact {
        true => cast_unless(deviation, &DataType::Float64, &numeric::QUOTIENT),
        false => deviation,
    }
}

/// What Postgres sums integers as: those of four bytes are an int8, longer ones numeric.
fn summed(integer: &Expr, schema: &DFSchema) -> Result<Expr> {
    Ok(int4::narrowed(integer, schema)?.unwrap_or_else(|| wide(integer.clone())))
}

/// Sums of narrower integers fit into int8.
pub(super) fn summable(integer: Expr, data_type: &DataType) -> Expr {
    match data_type {
        DataType::Int64 | DataType::UInt64 | DataType::UInt32 => wide(integer),
        _ => integer,
    }
}

/// Sums of this have 38 digits, which no sum of int8 exceeds.
fn wide(integer: Expr) -> Expr {
    Expr::Cast(Cast::new(Box::new(integer), DataType::Decimal128(28, 0)))
}
