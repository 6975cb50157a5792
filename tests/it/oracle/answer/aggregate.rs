//! What rows add up to.

use std::cmp::Ordering;

use crate::oracle::definitions::{Pick, Series, Shape};
use crate::oracle::expression::Amount;
use crate::oracle::value::{Value, aligned, pow10};
use crate::oracle::world::{Kind, Row};

pub(super) fn aggregate(shape: &Shape, rows: &[&Row]) -> Value {
    let amounts = |amount: &Amount| -> Vec<Value> {
        rows.iter().map(|row| amount.of(row)).filter(|value| !value.is_null()).collect()
    };
    let texts = |name: &str| -> Vec<Value> {
        rows.iter().map(|row| row[name].clone()).filter(|value| !value.is_null()).collect()
    };
    match shape {
        Shape::Count => Value::Int(i64::try_from(rows.len()).unwrap()),
        Shape::Sum(of) => match (sum(&amounts(of)), of.kind()) {
            (None, _) => Value::Null,
            (Some((digits, _)), Kind::Int32) => Value::Int(i64::try_from(digits).unwrap()),
            (Some((digits, scale)), _) => Value::Dec { digits, scale },
        },
        Shape::Avg(of) => {
            let values = amounts(of);
            let count = i128::try_from(values.len()).unwrap();
            match (sum(&values), of.kind()) {
                (None, _) => Value::Null,
                (Some((dividend, scale)), Kind::Dec(_)) => {
                    let divisor = count * pow10(scale);
                    Value::Quotient { dividend, divisor, scale: Some(16) }
                }
                (Some((digits, _)), _) => Value::Float(digits as f64 / count as f64),
            }
        }
        Shape::Min(of) => extreme(amounts(of), Ordering::Less),
        Shape::Max(of) => extreme(amounts(of), Ordering::Greater),
        Shape::First(of) => extreme(texts(&of.name), Ordering::Less),
        Shape::Last(of) => extreme(texts(&of.name), Ordering::Greater),
        Shape::CountDistinct(of) => {
            let mut distinct: Vec<Value> = Vec::new();
            for value in texts(&of.name) {
                if !distinct.contains(&value) {
                    distinct.push(value);
                }
            }
            Value::Int(i64::try_from(distinct.len()).unwrap())
        }
        Shape::Quantile(of, hundredths) => quantile(&amounts(of), *hundredths),
        Shape::WeightedAvg(of, weight) => weighted(rows, of, weight),
        Shape::Snapshot(series) => snapshot(series, rows),
        Shape::Ratio(..) | Shape::Derived(..) | Shape::Cumulative(..) | Shape::Offset(..) => {
            panic!("built on other metrics")
        }
    }
}

/// The sum over series, each of which has one value.
fn snapshot(series: &Series, rows: &[&Row]) -> Value {
    let mut of_series: Vec<(Vec<Value>, Vec<Value>)> = Vec::new();
    for row in rows {
        let own: Vec<Value> = series.per.iter().map(|name| row[*name].clone()).collect();
        let value = series.of.of(row);
        match of_series.iter_mut().find(|(known, _)| *known == own) {
            Some((_, values)) => values.push(value),
            None => of_series.push((own, vec![value])),
        }
    }
    let values = of_series.into_iter().map(|(_, values)| values);
    if series.pick == Pick::Avg {
        let mean = |values: Vec<Value>| {
            values.iter().filter_map(Value::float).sum::<f64>() / values.len() as f64
        };
        return values.map(mean).reduce(|a, b| a + b).map_or(Value::Null, Value::Float);
    }
    let wanted = if series.pick == Pick::Min { Ordering::Less } else { Ordering::Greater };
    let values: Vec<Value> = values.map(|values| extreme(values, wanted)).collect();
    match (sum(&values), series.of.kind()) {
        (None, _) => Value::Null,
        (Some((digits, _)), Kind::Int32) => Value::Int(i64::try_from(digits).unwrap()),
        (Some((digits, scale)), _) => Value::Dec { digits, scale },
    }
}

/// Digits and scale of the sum; None of nothing.
pub(super) fn sum(values: &[Value]) -> Option<(i128, u32)> {
    values.iter().map(|value| value.exact().unwrap()).reduce(|a, b| {
        let (a, b, scale) = aligned(a, b);
        (a + b, scale)
    })
}

fn extreme(values: Vec<Value>, wanted: Ordering) -> Value {
    let better = |a: Value, b: Value| if b.compare(&a) == Some(wanted) { b } else { a };
    values.into_iter().reduce(better).unwrap_or(Value::Null)
}

/// PERCENTILE_CONT: between the two values around the place, in proportion.
fn quantile(values: &[Value], hundredths: u32) -> Value {
    let mut values: Vec<f64> = values.iter().map(|value| value.float().unwrap()).collect();
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else { return Value::Null };
    // In hundredths of a place: exact.
    let place = last * usize::try_from(hundredths).unwrap();
    let (low, rest) = (place / 100, place % 100);
    let between = match rest {
        0 => values[low],
        rest => values[low] + (values[low + 1] - values[low]) * (rest as f64 / 100.0),
    };
    Value::Float(between)
}

fn weighted(rows: &[&Row], of: &Amount, weight: &Amount) -> Value {
    let (mut products, mut weights) = (None, None);
    let add = |total: Option<(i128, u32)>, next: (i128, u32)| match total {
        None => Some(next),
        Some(total) => {
            let (a, b, scale) = aligned(total, next);
            Some((a + b, scale))
        }
    };
    for row in rows {
        if let (Some(value), Some(weight)) = (of.of(row).exact(), weight.of(row).exact()) {
            products = add(products, (value.0 * weight.0, value.1 + weight.1));
            weights = add(weights, weight);
        }
    }
    let is_decimal = matches!(of.kind(), Kind::Dec(_)) || matches!(weight.kind(), Kind::Dec(_));
    match (products, weights) {
        (Some(products), Some(weights)) if weights.0 != 0 => divided(products, weights, is_decimal),
        _ => Value::Null,
    }
}

fn divided(dividend: (i128, u32), divisor: (i128, u32), is_decimal: bool) -> Value {
    let (a, b, _) = aligned(dividend, divisor);
    match is_decimal {
        true => Value::Quotient { dividend: a, divisor: b, scale: Some(16) },
        false => Value::Float(a as f64 / b as f64),
    }
}

/// NULL where either is, or where there is nothing to divide by.
pub(super) fn quotient(left: &Value, right: &Value, scale: Option<u32>) -> Value {
    let is_decimal = |value: &Value| matches!(value, Value::Dec { .. });
    match (left.exact(), right.exact()) {
        (Some(dividend), Some(divisor)) if divisor.0 != 0 => {
            match divided(dividend, divisor, is_decimal(left) || is_decimal(right)) {
                Value::Quotient { dividend, divisor, .. } => {
                    Value::Quotient { dividend, divisor, scale }
                }
                value => value,
            }
        }
        _ => Value::Null,
    }
}

pub(super) fn derived(operator: &str, left: &Value, right: &Value) -> Value {
    let (Some(a), Some(b)) = (left.exact(), right.exact()) else { return Value::Null };
    let is_decimal = [left, right].iter().any(|value| matches!(value, Value::Dec { .. }));
    let shaped = |digits: i128, scale| match is_decimal {
        true => Value::Dec { digits, scale },
        false => Value::Int(i64::try_from(digits).unwrap()),
    };
    let (low, high, scale) = aligned(a, b);
    match operator {
        "+" => shaped(low + high, scale),
        "-" => shaped(low - high, scale),
        "/" => quotient(left, right, None),
        "%" => {
            let hundredfold = match left {
                Value::Int(value) => Value::Int(value * 100),
                Value::Dec { digits, scale } => Value::Dec { digits: digits * 100, scale: *scale },
                _ => Value::Null,
            };
            quotient(&hundredfold, right, None)
        }
        other => panic!("no operator {other}"),
    }
}
