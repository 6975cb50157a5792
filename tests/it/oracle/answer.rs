//! Answers, row by row.

use std::cmp::Ordering;

use chrono_tz::Tz;

use super::definitions::{Definitions, Reference, Shape, Version};
use super::expression::{Amount, Condition, wall_clock};
use super::question::{Key, Question};
use super::value::{Value, aligned, pow10};
use super::world::{Kind, Row, World};

/// The rows that a question is answered with.
pub(crate) type Rows = Vec<Vec<Value>>;

/// A group: which keys its grouping set has, and their values, NULL where it has not.
#[derive(Debug, Clone, PartialEq)]
struct Group {
    set: Vec<bool>,
    keys: Vec<Value>,
}

/// An order, and when it counts for someone.
struct Timed<'r> {
    row: &'r Row,
    wall: Option<i64>,
}

pub(crate) struct Oracle<'a> {
    definitions: &'a Definitions,
    orders: Vec<Row>,
}

impl<'a> Oracle<'a> {
    pub(crate) fn new(world: &World, definitions: &'a Definitions) -> Self {
        Self { definitions, orders: world.orders() }
    }

    pub(crate) fn answer(&self, question: &Question) -> Rows {
        let mut rows = Vec::new();
        for group in self.groups(question) {
            if let Some((index, operator, limit)) = &question.having {
                let measured = question.measures[*index].reference;
                let value = self.value(measured, question, &group, None);
                if !passes(&value, operator, limit) {
                    continue;
                }
            }
            let mut row = group.keys.clone();
            for measure in &question.measures {
                let filter = measure.filter.as_ref();
                row.push(self.value(measure.reference, question, &group, filter));
            }
            if question.counts_rows {
                let rows = self.plain_rows(question);
                let count = rows.iter().filter(|it| is_in(it, question, &group)).count();
                row.push(Value::Int(i64::try_from(count).unwrap()));
            }
            rows.push(row);
        }
        rows
    }

    /// The groups in which someone who is asked has a row, and the totals.
    fn groups(&self, question: &Question) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for set in question.grouping_sets() {
            if set.iter().all(|has| !has) {
                groups.push(Group { keys: vec![Value::Null; set.len()], set });
            }
        }
        let mut readers: Vec<Reference> = Vec::new();
        for measure in &question.measures {
            self.readers(measure.reference, &mut readers);
        }
        let mut counted: Vec<Timed<'_>> = Vec::new();
        for reader in readers {
            let version = self.definitions.version(reader);
            counted.extend(self.eligible(version, question));
        }
        if question.counts_rows {
            counted.extend(self.plain_rows(question));
        }
        for row in counted {
            let keys = keys_of(&row, question);
            for set in question.grouping_sets() {
                let keys = masked(&keys, &set);
                let group = Group { set, keys };
                if !groups.contains(&group) {
                    groups.push(group);
                }
            }
        }
        groups
    }

    /// The metrics that aggregate rows for a metric.
    fn readers(&self, reference: Reference, found: &mut Vec<Reference>) {
        match &self.definitions.version(reference).shape {
            Shape::Ratio(left, right) | Shape::Derived(_, left, right) => {
                self.readers(*left, found);
                self.readers(*right, found);
            }
            _ => found.push(reference),
        }
    }

    fn timed(&self, event: &str, zone: Tz) -> impl Iterator<Item = Timed<'_>> {
        let event = event.to_owned();
        self.orders.iter().map(move |row| {
            let wall = match row[&event] {
                Value::Instant(at) => Some(wall_clock(at, zone)),
                _ => None,
            };
            Timed { row, wall }
        })
    }

    /// The rows that count for a metric in a question.
    fn eligible(&self, version: &Version, question: &Question) -> Vec<Timed<'_>> {
        let rows = self.timed(version.event, version.zone);
        rows.filter(|it| {
            let counts = |rule: &Condition| rule.holds(it.row, None) == Some(true);
            version.rules.iter().all(counts) && passes_filter(it, question)
        })
        .collect()
    }

    /// The rows of the relation itself.
    fn plain_rows(&self, question: &Question) -> Vec<Timed<'_>> {
        let (event, zone) = match question.metric {
            Some(reference) => {
                let version = self.definitions.version(reference);
                (version.event, version.zone)
            }
            None => ("ordered_at", self.definitions.zone),
        };
        self.timed(event, zone).filter(|it| passes_filter(it, question)).collect()
    }

    fn value(
        &self,
        reference: Reference,
        question: &Question,
        group: &Group,
        filter: Option<&Condition>,
    ) -> Value {
        let version = self.definitions.version(reference);
        match &version.shape {
            Shape::Ratio(left, right) => {
                let left = self.value(*left, question, group, filter);
                let right = self.value(*right, question, group, filter);
                quotient(&left, &right, Some(16))
            }
            Shape::Derived(operator, left, right) => {
                let left = self.value(*left, question, group, filter);
                let right = self.value(*right, question, group, filter);
                derived(operator, &left, &right)
            }
            shape => {
                let rows = self.eligible(version, question);
                let rows: Vec<&Row> = rows
                    .iter()
                    .filter(|it| is_in(it, question, group))
                    .filter(|it| {
                        filter.is_none_or(|filter| filter.holds(it.row, it.wall) == Some(true))
                    })
                    .map(|it| it.row)
                    .collect();
                aggregate(shape, &rows)
            }
        }
    }
}

fn passes_filter(it: &Timed<'_>, question: &Question) -> bool {
    question.filter.as_ref().is_none_or(|filter| filter.holds(it.row, it.wall) == Some(true))
}

fn keys_of(it: &Timed<'_>, question: &Question) -> Vec<Value> {
    let moment = |at: Option<i64>| at.map_or(Value::Null, Value::Wall);
    let key = |key: &Key| match key {
        Key::Dimension(attribute) => it.row[&attribute.name].clone(),
        Key::Period(grain) => moment(it.wall.map(|wall| grain.floor(wall))),
        Key::Time => moment(it.wall),
    };
    question.keys.iter().map(key).collect()
}

fn masked(keys: &[Value], set: &[bool]) -> Vec<Value> {
    let kept = |(key, has): (&Value, &bool)| if *has { key.clone() } else { Value::Null };
    keys.iter().zip(set).map(kept).collect()
}

fn is_in(it: &Timed<'_>, question: &Question, group: &Group) -> bool {
    masked(&keys_of(it, question), &group.set) == group.keys
}

fn passes(value: &Value, operator: &str, limit: &Value) -> bool {
    if value.is_null() {
        return false;
    }
    let order = match value {
        Value::Quotient { dividend, divisor, scale } => {
            let scale = scale.unwrap_or(16);
            let digits = super::value::rounded(*dividend, *divisor, scale);
            Value::Dec { digits, scale }.compare(limit)
        }
        value => value.compare(limit),
    };
    let order = order.unwrap();
    match operator {
        ">" => order == Ordering::Greater,
        "<" => order == Ordering::Less,
        ">=" => order != Ordering::Less,
        "<>" => order != Ordering::Equal,
        other => panic!("no operator {other}"),
    }
}

fn aggregate(shape: &Shape, rows: &[&Row]) -> Value {
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
        Shape::Ratio(..) | Shape::Derived(..) => panic!("built on other metrics"),
    }
}

/// Digits and scale of the sum; None of nothing.
fn sum(values: &[Value]) -> Option<(i128, u32)> {
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
fn quotient(left: &Value, right: &Value, scale: Option<u32>) -> Value {
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

fn derived(operator: &str, left: &Value, right: &Value) -> Value {
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
