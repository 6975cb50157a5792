//! Random metrics over orders, as YAML.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono_tz::Tz;

use super::dice::Dice;
use super::expression::{Amount, Condition, Names};
use super::world::{Attribute, Entity, Kind, ORDERS, World};

/// A metric and its versions by major: 1, or 1 and 2.
#[derive(Debug, Clone)]
pub(crate) struct Metric {
    pub(crate) name: String,
    pub(crate) versions: Vec<Version>,
}

#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) rules: Vec<Condition>,
    pub(crate) event: &'static str,
    pub(crate) zone: Tz,
    pub(crate) shape: Shape,
}

/// A metric, by index, and one of its majors.
pub(crate) type Reference = (usize, usize);

#[derive(Debug, Clone)]
pub(crate) enum Shape {
    Count,
    Sum(Amount),
    Avg(Amount),
    Min(Amount),
    Max(Amount),
    /// The least and the greatest of anything that has an order.
    First(Attribute),
    Last(Attribute),
    CountDistinct(Attribute),
    /// In hundredths.
    Quantile(Amount, u32),
    WeightedAvg(Amount, Amount),
    Ratio(Reference, Reference),
    Derived(&'static str, Reference, Reference),
}

impl Shape {
    pub(crate) fn is_built(&self) -> bool {
        matches!(self, Self::Ratio(..) | Self::Derived(..))
    }

    /// Whether its values over the parts of a partition sum to its value over the whole.
    pub(crate) fn is_additive(&self) -> bool {
        matches!(self, Self::Count | Self::Sum(_))
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Definitions {
    pub(crate) zone: Tz,
    pub(crate) metrics: Vec<Metric>,
}

pub(crate) const ZONES: [Tz; 5] = [
    Tz::Europe__Berlin,
    Tz::America__New_York,
    Tz::UTC,
    Tz::Asia__Kolkata,
    Tz::Australia__Lord_Howe,
];

const MONEY: [&str; 2] = ["gross", "discount"];

impl Definitions {
    pub(crate) fn random(dice: &mut Dice, world: &World) -> Self {
        let attributes = world.attributes();
        // A metric counts in the zone that it shares with those that it is built with.
        let zones = [*dice.pick(&ZONES), *dice.pick(&ZONES)];
        let mut metrics: Vec<Metric> = Vec::new();
        for index in 0..4 + dice.below(4) {
            let versions = 1 + usize::from(dice.chance(30));
            let versions = (0..versions).map(|_| {
                let zone = zones[usize::from(dice.chance(30))];
                version(dice, &attributes, &metrics, zone)
            });
            metrics.push(Metric { name: format!("m{index}"), versions: versions.collect() });
        }
        Self { zone: *dice.pick(&ZONES), metrics }
    }

    pub(crate) fn version(&self, (metric, major): Reference) -> &Version {
        &self.metrics[metric].versions[major - 1]
    }

    /// The files of the definitions folder.
    pub(crate) fn files(&self, world: &World) -> BTreeMap<PathBuf, String> {
        let project = format!(
            "project: oracle\ntimezone: {}\nweek_start: monday\nbackend:\n  embedded: {{path: ../data}}\n",
            self.zone.name()
        );
        let mut entities = String::new();
        for (index, entity) in world.entities.iter().enumerate() {
            entities.push_str(&entity_yaml(world, index, entity));
        }
        let metrics: Vec<String> =
            self.metrics.iter().map(|metric| self.metric_yaml(metric)).collect();
        [
            ("canon.yaml", project),
            ("entities.yaml", entities),
            ("metrics.yaml", metrics.join("---\n")),
        ]
        .into_iter()
        .map(|(name, text)| (PathBuf::from(name), text))
        .collect()
    }

    fn metric_yaml(&self, metric: &Metric) -> String {
        let mut yaml = format!(
            "metric: {}\nintent: Which number is it?\nowner: {{team: oracle}}\nversions:\n",
            metric.name
        );
        for (index, version) in metric.versions.iter().enumerate().rev() {
            yaml.push_str(&format!("  - version: {}.0.0\n", index + 1));
            match index + 1 == metric.versions.len() {
                true => yaml.push_str("    status: active\n    released: 2026-09-01\n"),
                false => yaml.push_str("    status: deprecated\n    replaced_by: 2.0.0\n"),
            }
            self.shape_yaml(version, &mut yaml);
        }
        yaml
    }

    fn shape_yaml(&self, version: &Version, yaml: &mut String) {
        let mut put = |key: &str, value: String| yaml.push_str(&format!("    {key}: {value}\n"));
        let amount = |amount: &Amount| quoted(&amount.sql(Names::Dotted));
        let reference =
            |(metric, major): Reference| format!("{}@{major}", self.metrics[metric].name);
        let (name, expression) = match &version.shape {
            Shape::Count => ("count", None),
            Shape::Sum(of) => ("sum", Some(amount(of))),
            Shape::Avg(of) => ("avg", Some(amount(of))),
            Shape::Min(of) => ("min", Some(amount(of))),
            Shape::Max(of) => ("max", Some(amount(of))),
            Shape::First(of) => ("min", Some(quoted(&of.name))),
            Shape::Last(of) => ("max", Some(quoted(&of.name))),
            Shape::CountDistinct(of) => ("count_distinct", Some(quoted(&of.dotted))),
            Shape::Quantile(of, hundredths) => {
                put("quantile", format!("{}.{:02}", hundredths / 100, hundredths % 100));
                ("quantile", Some(amount(of)))
            }
            Shape::WeightedAvg(of, weight) => {
                put("weight", amount(weight));
                ("weighted_avg", Some(amount(of)))
            }
            Shape::Ratio(numerator, denominator) => {
                put("numerator", reference(*numerator));
                put("denominator", reference(*denominator));
                ("ratio", None)
            }
            Shape::Derived(operator, left, right) => {
                let (left, right) = (reference(*left), reference(*right));
                let text = match *operator {
                    "%" => format!("100 * {left} / {right}"),
                    operator => format!("{left} {operator} {right}"),
                };
                ("derived", Some(quoted(&text)))
            }
        };
        put("type", name.to_owned());
        if let Some(expression) = expression {
            put("expression", expression);
        }
        if version.shape.is_built() {
            return;
        }
        put("entity", "order".to_owned());
        put("time", format!("{{event: {}, timezone: {}}}", version.event, version.zone.name()));
        if !version.rules.is_empty() {
            yaml.push_str("    eligibility:\n");
        }
        for rule in &version.rules {
            let rule = quoted(&rule.sql(Names::Dotted));
            yaml.push_str(&format!("      - {{rule: {rule}, why: chance}}\n"));
        }
    }
}

/// A YAML scalar: JSON's strings are YAML's.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

fn entity_yaml(world: &World, index: usize, entity: &Entity) -> String {
    let table = &world.tables[index];
    let mut yaml = format!(
        "entity: {}\nrelation: {}\nowner: {{team: oracle}}\nversion: 1.0.0\nkey: {}\nsource:\n  table: {}\n  kind: state\n",
        entity.name, table.name, entity.key, table.name
    );
    if entity.dedupe {
        yaml.push_str("  dedupe: {by: id, latest: _version, deleted: _deleted}\n");
    }
    if index == ORDERS {
        yaml.push_str("  time: {event: ordered_at}\n");
    }
    yaml.push_str("attributes:\n");
    for (name, column, hidden) in &entity.attributes {
        let kind = table.columns.iter().find(|(other, _)| other == column).unwrap().1;
        yaml.push_str(&format!("  - {{name: {name}, type: {}", quoted(&kind.yaml())));
        if name != column {
            yaml.push_str(&format!(", column: {column}"));
        }
        yaml.push_str(if *hidden { ", hidden: true}\n" } else { "}\n" });
    }
    if !entity.links.is_empty() {
        yaml.push_str("relationships:\n");
    }
    for link in &entity.links {
        let other = world.entities[link.entity].name;
        yaml.push_str(&format!("  - {{entity: {other}, key: {}", link.key));
        if link.role != other {
            yaml.push_str(&format!(", as: {}", link.role));
        }
        for (key, label) in [("missing", link.missing), ("unmatched", link.unmatched)] {
            if let Some(label) = label {
                yaml.push_str(&format!(", {key}: {}", quoted(label)));
            }
        }
        yaml.push_str("}\n");
    }
    yaml.push_str("---\n");
    yaml
}

fn version(dice: &mut Dice, attributes: &[Attribute], known: &[Metric], zone: Tz) -> Version {
    let rules = match dice.below(4) {
        0 => 0,
        1 | 2 => 1,
        _ => 2,
    };
    let rules = (0..rules).map(|_| Condition::random(dice, attributes, false, 2)).collect();
    let event = if dice.chance(60) { "ordered_at" } else { "completed_at" };
    let shape = shape(dice, attributes, known, zone);
    // What a metric is built on has rules and a time of its own.
    let (rules, event, zone) = match &shape {
        Shape::Ratio((metric, major), _) | Shape::Derived(_, (metric, major), _) => {
            let part = &known[*metric].versions[major - 1];
            (Vec::new(), part.event, part.zone)
        }
        _ => (rules, event, zone),
    };
    Version { rules, event, zone, shape }
}

fn shape(dice: &mut Dice, attributes: &[Attribute], known: &[Metric], zone: Tz) -> Shape {
    let amount = |dice: &mut Dice| Amount::random(dice, attributes);
    let attribute = |dice: &mut Dice, kinds: &[Kind]| {
        let fitting: Vec<&Attribute> =
            attributes.iter().filter(|it| kinds.contains(&it.kind)).collect();
        (*dice.pick(&fitting)).clone()
    };
    let parts = parts(known, zone);
    if !parts.is_empty() && dice.chance(35) {
        let (left, right) = (*dice.pick(&parts), *dice.pick(&parts));
        return match dice.chance(50) {
            true => Shape::Ratio(left, right),
            false => Shape::Derived(dice.pick::<&str>(&["+", "-", "/", "%"]), left, right),
        };
    }
    match dice.below(12) {
        0 | 1 => Shape::Count,
        2 | 3 => Shape::Sum(amount(dice)),
        4 | 5 => Shape::Avg(amount(dice)),
        6 => Shape::Min(amount(dice)),
        7 => Shape::Max(amount(dice)),
        8 => {
            let of = attribute(dice, &[Kind::Text, Kind::Instant]);
            if dice.chance(50) { Shape::First(of) } else { Shape::Last(of) }
        }
        9 => {
            let kinds = [Kind::Text, Kind::Int32, Kind::Dec(2), Kind::Bool, Kind::Instant];
            Shape::CountDistinct(attribute(dice, &kinds))
        }
        10 => {
            let hundredths = [0, 25, 50, 50, 90, 100];
            Shape::Quantile(amount(dice), *dice.pick(&hundredths))
        }
        _ => {
            let of = MONEY[dice.below(MONEY.len())];
            let of = attributes.iter().find(|it| it.name == of).unwrap().clone();
            let weight = attribute(dice, &[Kind::Int32, Kind::Dec(1), Kind::Dec(2)]);
            let of = if dice.chance(60) { Amount::Of(of) } else { amount(dice) };
            Shape::WeightedAvg(of, Amount::Of(weight))
        }
    }
}

/// What can be divided and added exactly: sums, counts, extremes of numbers, of one zone.
fn parts(known: &[Metric], zone: Tz) -> Vec<Reference> {
    let mut parts = Vec::new();
    for (index, metric) in known.iter().enumerate() {
        for (major, version) in metric.versions.iter().enumerate() {
            let fits = matches!(
                version.shape,
                Shape::Count
                    | Shape::Sum(_)
                    | Shape::CountDistinct(_)
                    | Shape::Min(_)
                    | Shape::Max(_)
            );
            if fits && version.zone == zone {
                parts.push((index, major + 1));
            }
        }
    }
    parts
}
