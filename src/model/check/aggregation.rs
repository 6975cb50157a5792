//! Aggregates over rows, and the types of their values, which are the same in every backend.

use datafusion::arrow::datatypes::DataType;

use super::Context;
use super::at::At;
use super::metric::compiled;
use super::scope::EntityScope;
use crate::diagnostic::Finding;
use crate::model::expr::Compiled;
use crate::model::raw::{RawMethod, RawMetricType, RawVersion};
use crate::model::types::{self, DIGITS_128, DIGITS_256, Family};
use crate::model::{Aggregation, QuantileMethod};

/// The scale of averages and ratios of decimals, as Postgres's numeric division gives at least.
pub(super) const QUOTIENT_SCALE: i8 = 16;

/// The aggregate and the type of its value; None where it has a fault.
pub(super) fn check(
    context: &mut Context<'_>,
    raw: &RawVersion,
    at: At<'_>,
    scope: &EntityScope<'_, '_>,
) -> Option<(Aggregation, DataType)> {
    if raw.metric_type == RawMetricType::Count {
        return Some((Aggregation::Count, DataType::Int64));
    }
    let at_expression = at.key("expression");
    let weight = raw
        .weight
        .as_ref()
        .filter(|_| raw.metric_type == RawMetricType::WeightedAvg)
        .and_then(|text| compiled(context, text, at.key("weight"), scope));
    let Compiled { expr, data_type } =
        compiled(context, raw.expression.as_ref()?, at_expression, scope)?;
    let name = raw.metric_type.name();
    match raw.metric_type {
        RawMetricType::Sum => {
            numeric(context, name, &data_type, at_expression)?;
            let sum = sum_type(&data_type);
            Some((Aggregation::Sum(expr), sum))
        }
        RawMetricType::Avg => {
            numeric(context, name, &data_type, at_expression)?;
            let avg = quotient_type(&data_type);
            Some((Aggregation::Avg(expr), avg))
        }
        RawMetricType::Min => {
            ordered(context, name, &data_type, at_expression)?;
            Some((Aggregation::Min(expr), data_type))
        }
        RawMetricType::Max => {
            ordered(context, name, &data_type, at_expression)?;
            Some((Aggregation::Max(expr), data_type))
        }
        RawMetricType::CountDistinct => {
            let approximate = raw.approximate.unwrap_or(false);
            Some((Aggregation::CountDistinct { expr, approximate }, DataType::Int64))
        }
        RawMetricType::Quantile => quantile(context, raw, at, expr, data_type),
        RawMetricType::WeightedAvg => {
            numeric(context, name, &data_type, at_expression)?;
            let weight = weight?;
            numeric(context, name, &weight.data_type, at.key("weight"))?;
            let value = weighted_type(&data_type, &weight.data_type);
            Some((Aggregation::WeightedAvg { expr, weight: weight.expr }, value))
        }
        _ => None,
    }
}

/// An expression that can be added up, and the type of its sum.
pub(super) fn summed(
    context: &mut Context<'_>,
    raw: &RawVersion,
    at: At<'_>,
    scope: &EntityScope<'_, '_>,
) -> Option<(datafusion::logical_expr::Expr, DataType)> {
    let at = at.key("expression");
    let Compiled { expr, data_type } = compiled(context, raw.expression.as_ref()?, at, scope)?;
    numeric(context, raw.metric_type.name(), &data_type, at)?;
    Some((expr, sum_type(&data_type)))
}

fn numeric(context: &mut Context<'_>, name: &str, data_type: &DataType, at: At<'_>) -> Option<()> {
    if data_type.is_numeric() {
        return Some(());
    }
    let shown = types::shown(data_type);
    let finding = Finding::error("wrong_type", format!("{name} needs a number, not {shown}"))
        .at(at.place(shown))
        .help("Write an expression of a numeric type; to count values, use type: count_distinct.");
    context.push(finding);
    None
}

fn ordered(context: &mut Context<'_>, name: &str, data_type: &DataType, at: At<'_>) -> Option<()> {
    if matches!(types::family(data_type), Family::Number | Family::Text | Family::Moment) {
        return Some(());
    }
    let shown = types::shown(data_type);
    let finding =
        Finding::error("wrong_type", format!("{name} needs an ordered type, not {shown}"))
            .at(at.place(shown))
            .help("Write an expression that is a number, text or a time.");
    context.push(finding);
    None
}

fn quantile(
    context: &mut Context<'_>,
    raw: &RawVersion,
    at: At<'_>,
    expr: datafusion::logical_expr::Expr,
    data_type: DataType,
) -> Option<(Aggregation, DataType)> {
    let method = match raw.method {
        None | Some(RawMethod::Continuous) => QuantileMethod::Continuous,
        Some(RawMethod::Discrete) => QuantileMethod::Discrete,
        Some(RawMethod::Approximate) => QuantileMethod::Approximate,
    };
    match method {
        QuantileMethod::Discrete => ordered(context, "quantile", &data_type, at.key("expression"))?,
        QuantileMethod::Continuous | QuantileMethod::Approximate => {
            numeric(context, "quantile", &data_type, at.key("expression"))?;
        }
    }
    let quantile = raw.quantile?.0;
    if !(0.0..=1.0).contains(&quantile) {
        let finding =
            Finding::error("out_of_range", format!("quantile {quantile} is not between 0 and 1"))
                .at(at.key("quantile").place("out of range"))
                .help("Write 0.5 for the median, 0.95 for the 95th percentile.");
        context.push(finding);
        return None;
    }
    let value = match method {
        QuantileMethod::Discrete => data_type,
        QuantileMethod::Continuous | QuantileMethod::Approximate => DataType::Float64,
    };
    Some((Aggregation::Quantile { expr, quantile, method }, value))
}

/// The type of a sum: wide enough that no real sum leaves it.
fn sum_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Int16 | DataType::Int32 => DataType::Int64,
        DataType::Int64 => DataType::Decimal128(DIGITS_128, 0),
        DataType::Decimal128(_, scale) => DataType::Decimal128(DIGITS_128, *scale),
        DataType::Decimal256(_, scale) => DataType::Decimal256(DIGITS_256, *scale),
        _ => DataType::Float64,
    }
}

/// The type of an average.
fn quotient_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Decimal128(_, scale) => {
            DataType::Decimal128(DIGITS_128, (*scale).max(QUOTIENT_SCALE))
        }
        DataType::Decimal256(_, scale) => {
            DataType::Decimal256(DIGITS_256, (*scale).max(QUOTIENT_SCALE))
        }
        _ => DataType::Float64,
    }
}

fn weighted_type(value: &DataType, weight: &DataType) -> DataType {
    match (value.is_floating(), weight.is_floating()) {
        (false, false) if types::is_decimal(value) => quotient_type(value),
        (false, false) if types::is_decimal(weight) => {
            DataType::Decimal128(DIGITS_128, QUOTIENT_SCALE)
        }
        _ => DataType::Float64,
    }
}
