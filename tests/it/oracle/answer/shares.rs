//! Orders in groups of their lines.

use std::cmp::Ordering;

use super::aggregate::sum;
use super::{Oracle, Timed};
use crate::oracle::definitions::Shape;
use crate::oracle::value::{Value, rounded};
use crate::oracle::world::{Kind, ORDERS, Row};

impl Oracle<'_> {
    /// The parts of orders that are of some of their lines.
    pub(super) fn allocated(&self, shape: &Shape, by: &str, pairs: &[Timed<'_>]) -> Value {
        let Shape::Sum(of) = shape else { panic!("only sums are allocated") };
        let all = &self.pairs[1][&(ORDERS, "ordered_at")];
        let mut parts: Vec<Value> = Vec::new();
        for pair in pairs {
            let Some((whole, scale)) = of.of(pair.row).exact() else { continue };
            let mut own: Vec<&Row> =
                all.iter().filter(|other| other["id"] == pair.row["id"]).collect();
            own.sort_by(|a, b| a["l.id"].compare(&b["l.id"]).unwrap_or(Ordering::Equal));
            let part = part_of(whole, pair.row, &own, &format!("l.{by}"));
            parts.extend(part.map(|digits| Value::Dec { digits, scale }));
        }
        match (sum(&parts), of.kind()) {
            (None, _) => Value::Null,
            (Some((digits, _)), Kind::Int32) => Value::Int(i64::try_from(digits).unwrap()),
            (Some((digits, scale)), _) => Value::Dec { digits, scale },
        }
    }
}

/// The digits of a line's part of a whole: in proportion to its weight among all lines of the
/// order, equal where none has any, all where there is no line. What rounding leaves goes to the
/// line with the greatest weight, of equal ones to the one with the least key.
fn part_of(whole: i128, line: &Row, lines: &[&Row], weight: &str) -> Option<i128> {
    if line["l.id"].is_null() {
        return Some(whole);
    }
    let weight = |it: &&Row| it[weight].exact().map_or(0, |(digits, _)| digits);
    let weights: Vec<i128> = lines.iter().map(weight).collect();
    let total: i128 = weights.iter().sum();
    let count = i128::try_from(lines.len()).unwrap();
    let mut parts: Vec<i128> = weights
        .iter()
        .map(|weight| match total {
            0 => rounded(whole, count, 0),
            total => rounded(whole * weight, total, 0),
        })
        .collect();
    let rest = whole - parts.iter().sum::<i128>();
    let heaviest = (0..lines.len()).max_by(|a, b| {
        let by_key = || lines[*b]["l.id"].compare(&lines[*a]["l.id"]).unwrap();
        weights[*a].cmp(&weights[*b]).then_with(by_key)
    });
    if let Some(heaviest) = heaviest {
        parts[heaviest] += rest;
    }
    let place = lines.iter().position(|it| it["l.id"] == line["l.id"])?;
    Some(parts[place])
}

/// Each order once, whatever lines it has.
pub(super) fn each_once<'r>(pairs: &[Timed<'r>]) -> Vec<&'r Row> {
    let mut orders: Vec<&Row> = Vec::new();
    for pair in pairs {
        if !orders.iter().any(|known| known["id"] == pair.row["id"]) {
            orders.push(pair.row);
        }
    }
    orders
}
