//! Random metrics of all types but those that follow members, and a segment, as YAML.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::Weekday;
use chrono_tz::Tz;

use super::calendar::Calendar;
use super::dice::Dice;
use super::expression::{Amount, Condition, Grain, Names, Span};
use super::world::{
    ARRIVAL, Attribute, CUSTOMERS, Entity, Kind, LINES, ORDERS, STOCKS, VISITS, World,
};
use super::zone::{ZONES, Zone};

/// A metric and its versions by major: 1, or 1 and 2.
#[derive(Debug, Clone)]
pub(crate) struct Metric {
    pub(crate) name: String,
    pub(crate) versions: Vec<Version>,
}

#[derive(Debug, Clone)]
pub(crate) struct Version {
    /// Whose rows it counts: one entity, or the several of what it is built on.
    pub(crate) entities: Vec<usize>,
    pub(crate) rules: Vec<Condition>,
    /// A condition of its own, of what it is built on too.
    pub(crate) filter: Option<Condition>,
    pub(crate) event: &'static str,
    pub(crate) zone: Zone,
    pub(crate) shape: Shape,
    pub(crate) share: Share,
    /// Days for which a day stays open, and what becomes of rows that come later.
    pub(crate) late: Option<(u64, Late)>,
    /// What it is in a period without rows, of gap-filled answers.
    pub(crate) fill: Option<Fill>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fill {
    Zero,
    Null,
    Previous,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Late {
    Drop,
    BookOnArrival,
}

/// A metric, by index, and one of its majors.
pub(crate) type Reference = (usize, usize);

/// A side of a ratio.
#[derive(Debug, Clone)]
pub(crate) struct Side {
    pub(crate) metric: Reference,
    pub(crate) filter: Option<Condition>,
}

/// How a row counts in groups of its lines.
#[derive(Debug, Clone)]
pub(crate) enum Share {
    /// It can't be asked so.
    Once,
    Touch,
    /// By an attribute of the lines.
    Allocate(&'static str),
}

/// The rows that a cumulative metric counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Window {
    Trailing(Span),
    ToDate(Grain),
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pick {
    Last,
    First,
    Min,
    Max,
    Avg,
}

#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) of: Amount,
    pub(crate) pick: Pick,
    pub(crate) per: Vec<&'static str>,
    pub(crate) carry: Option<Span>,
}

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
    Ratio(Side, Side),
    Derived(&'static str, Reference, Reference),
    Cumulative(Reference, Window),
    Offset(Reference, Span),
    Snapshot(Series),
}

impl Shape {
    pub(crate) fn is_built(&self) -> bool {
        !self.parts().is_empty()
    }

    /// The metrics that it is built on.
    pub(crate) fn parts(&self) -> Vec<Reference> {
        match self {
            Self::Ratio(left, right) => vec![left.metric, right.metric],
            Self::Derived(_, left, right) => vec![*left, *right],
            Self::Cumulative(of, _) | Self::Offset(of, _) => vec![*of],
            _ => Vec::new(),
        }
    }
}

/// Puts customers into groups; the first rule that holds wins.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    /// Of attributes of the customer, or of a metric by a bound.
    pub(crate) rules: Vec<(&'static str, Rule)>,
    pub(crate) otherwise: Option<&'static str>,
}

#[derive(Debug, Clone)]
pub(crate) enum Rule {
    Attribute(Box<Condition>),
    /// A metric, over a trailing window or over all, at least a number.
    Metric(Reference, Option<u64>, i64),
}

#[derive(Debug, Clone)]
pub(crate) struct Definitions {
    pub(crate) zone: Tz,
    week_start: Weekday,
    calendars: Vec<Calendar>,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) segment: Segment,
}

const MONEY: [&str; 2] = ["gross", "discount"];

impl Definitions {
    pub(crate) fn random(dice: &mut Dice, world: &World) -> Self {
        // A metric counts in the zone that it shares with those that it is built with.
        let zones = [*dice.pick(&ZONES), *dice.pick(&ZONES)].map(Zone::Named);
        let mut drawn = Self {
            zone: *dice.pick(&ZONES),
            week_start: match dice.chance(60) {
                true => Weekday::Mon,
                false => *dice.pick(&[Weekday::Sun, Weekday::Sat, Weekday::Wed]),
            },
            calendars: Calendar::some(dice),
            metrics: Vec::new(),
            segment: Segment { rules: Vec::new(), otherwise: None },
        };
        for index in 0..6 + dice.below(6) {
            let count = 1 + usize::from(dice.chance(25));
            let mut versions: Vec<Version> = Vec::new();
            while versions.len() < count {
                let zone = match dice.below(100) {
                    0..15 => Zone::OfCustomer(drawn.zone),
                    15..40 => zones[1],
                    _ => zones[0],
                };
                let mut version = version(dice, world, &drawn, zone);
                version.fill = drawn.fill(dice, &version.shape);
                versions.push(version);
            }
            drawn.metrics.push(Metric { name: format!("m{index}"), versions });
        }
        drawn.segment = segment(dice, world, &drawn);
        drawn
    }

    fn fill(&self, dice: &mut Dice, shape: &Shape) -> Option<Fill> {
        let is_text = |shape: &Shape| matches!(shape, Shape::First(_) | Shape::Last(_));
        let parts = shape.parts();
        let is_number = !is_text(shape) && !parts.iter().any(|part| self.has(*part, &is_text));
        match dice.below(6) {
            0 | 1 if is_number => Some(Fill::Zero),
            2 => Some(Fill::Null),
            3 => Some(Fill::Previous),
            _ => None,
        }
    }

    pub(crate) fn week(&self) -> Grain {
        Grain::Week(self.week_start)
    }

    /// The periods of the project's calendars.
    pub(crate) fn fiscal_grains(&self) -> Vec<Grain> {
        let of = |it: &Calendar| {
            let calendar = *it;
            it.units().iter().map(move |unit| Grain::Fiscal(calendar, *unit))
        };
        self.calendars.iter().flat_map(of).collect()
    }

    /// What times are cut to.
    pub(crate) fn grains(&self) -> Vec<Grain> {
        let usual =
            [Grain::Hour, Grain::Day, self.week(), Grain::Month, Grain::Quarter, Grain::Year];
        usual.into_iter().chain(self.fiscal_grains()).collect()
    }

    /// The version that a metric's rows are counted by in the end, the first of several.
    pub(crate) fn first_of<'v>(&'v self, version: &'v Version) -> &'v Version {
        let parts = version.shape.parts();
        parts.first().map_or(version, |part| self.first_of(self.version(*part)))
    }

    pub(crate) fn version(&self, (metric, major): Reference) -> &Version {
        &self.metrics[metric].versions[major - 1]
    }

    /// All references that a test holds for.
    fn references(&self, holds: impl Fn(Reference, &Version) -> bool) -> Vec<Reference> {
        let mut found = Vec::new();
        for (index, metric) in self.metrics.iter().enumerate() {
            for (major, version) in metric.versions.iter().enumerate() {
                if holds((index, major + 1), version) {
                    found.push((index, major + 1));
                }
            }
        }
        found
    }

    /// Whether something in a metric is as the test says.
    pub(crate) fn has(&self, reference: Reference, test: &impl Fn(&Shape) -> bool) -> bool {
        let shape = &self.version(reference).shape;
        test(shape) || shape.parts().into_iter().any(|part| self.has(part, test))
    }

    /// Whether it counts rows of other times than the group's.
    pub(crate) fn is_over_time(&self, reference: Reference) -> bool {
        self.has(reference, &|shape| {
            matches!(shape, Shape::Cumulative(..) | Shape::Offset(..) | Shape::Snapshot(_))
        })
    }

    fn has_window(&self, reference: Reference) -> bool {
        self.has(reference, &|shape| matches!(shape, Shape::Cumulative(..) | Shape::Snapshot(_)))
    }

    /// The shifts of all offsets in a metric.
    pub(crate) fn shifts(&self, reference: Reference) -> Vec<Span> {
        let shape = &self.version(reference).shape;
        let own = if let Shape::Offset(_, span) = shape { vec![*span] } else { Vec::new() };
        own.into_iter().chain(shape.parts().into_iter().flat_map(|it| self.shifts(it))).collect()
    }

    /// What can be divided and added exactly.
    fn is_exact(&self, reference: Reference) -> bool {
        match &self.version(reference).shape {
            Shape::Count
            | Shape::Sum(_)
            | Shape::CountDistinct(_)
            | Shape::Min(_)
            | Shape::Max(_) => true,
            Shape::Snapshot(series) => series.pick != Pick::Avg,
            Shape::Cumulative(of, _) | Shape::Offset(of, _) => self.is_exact(*of),
            _ => false,
        }
    }

    /// How groups of lines may be asked of it, and of all that it is built on.
    pub(crate) fn shares(&self, reference: Reference) -> Vec<&Share> {
        let version = self.version(reference);
        match version.shape.is_built() {
            true => version.shape.parts().into_iter().flat_map(|it| self.shares(it)).collect(),
            false => vec![&version.share],
        }
    }

    /// The files of the definitions folder.
    pub(crate) fn files(&self, world: &World) -> BTreeMap<PathBuf, String> {
        let mut project = format!(
            "project: oracle\ntimezone: {}\nweek_start: {}\nbackend:\n  embedded: {{path: ../data}}\n",
            self.zone.name(),
            weekday_name(self.week_start)
        );
        if !self.calendars.is_empty() {
            project.push_str("calendars:\n");
        }
        for calendar in &self.calendars {
            project.push_str(&format!("  {}\n", calendar.yaml()));
        }
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
            ("segments.yaml", self.segment_yaml()),
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
            Shape::First(of) => ("min", Some(quoted(of.dotted.as_ref().unwrap()))),
            Shape::Last(of) => ("max", Some(quoted(of.dotted.as_ref().unwrap()))),
            Shape::CountDistinct(of) => {
                ("count_distinct", Some(quoted(of.dotted.as_ref().unwrap())))
            }
            Shape::Quantile(of, hundredths) => {
                put("quantile", format!("{}.{:02}", hundredths / 100, hundredths % 100));
                ("quantile", Some(amount(of)))
            }
            Shape::WeightedAvg(of, weight) => {
                put("weight", amount(weight));
                ("weighted_avg", Some(amount(of)))
            }
            Shape::Ratio(numerator, denominator) => {
                for (key, side) in [("numerator", numerator), ("denominator", denominator)] {
                    let metric = reference(side.metric);
                    let text = match &side.filter {
                        None => metric,
                        Some(filter) => {
                            let filter = quoted(&filter.sql(Names::Dotted));
                            format!("{{metric: {metric}, filter: {filter}}}")
                        }
                    };
                    put(key, text);
                }
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
            Shape::Cumulative(of, window) => {
                put("metric", reference(*of));
                match window {
                    Window::Trailing(span) => put("window", span.yaml()),
                    Window::ToDate(grain) => put("to_date", grain.name()),
                    Window::All => put("to_date", "all".to_owned()),
                }
                ("cumulative", None)
            }
            Shape::Offset(of, span) => {
                put("metric", reference(*of));
                put("by", span.yaml());
                ("offset", None)
            }
            Shape::Snapshot(series) => {
                put("pick", format!("{:?}", series.pick).to_lowercase());
                put("per", format!("[{}]", series.per.join(", ")));
                if let Some(carry) = series.carry {
                    put("carry", carry.yaml());
                }
                ("snapshot", Some(amount(&series.of)))
            }
        };
        put("type", name.to_owned());
        if let Some(expression) = expression {
            put("expression", expression);
        }
        if let Some(filter) = &version.filter {
            put("filter", quoted(&filter.sql(Names::Dotted)));
        }
        if let Some(fill) = version.fill {
            put("fill", format!("{fill:?}").to_lowercase());
        }
        if version.shape.is_built() {
            return;
        }
        match &version.share {
            Share::Once => {}
            Share::Touch => put("touch", "true".to_owned()),
            Share::Allocate(by) => put("allocate", format!("{{entity: line, by: {by}}}")),
        }
        put("entity", ENTITY_NAMES[version.entities[0]].to_owned());
        let late = version.late.map(|(days, after)| {
            let after = match after {
                Late::Drop => "drop",
                Late::BookOnArrival => "book_on_arrival",
            };
            format!(", late_data: {{correction_window: {days} days, after: {after}}}")
        });
        let (event, zone) = (version.event, version.zone.yaml());
        let late = late.unwrap_or_default();
        put("time", format!("{{event: {event}, timezone: {zone}{late}}}"));
        if !version.rules.is_empty() {
            yaml.push_str("    eligibility:\n");
        }
        for rule in &version.rules {
            let rule = quoted(&rule.sql(Names::Dotted));
            yaml.push_str(&format!("      - {{rule: {rule}, why: chance}}\n"));
        }
    }

    fn segment_yaml(&self) -> String {
        let mut yaml = "segment: grade\nentity: customer\nowner: {team: oracle}\nversions:\n  \
                        - version: 1.0.0\n    status: active\n    rules:\n"
            .to_owned();
        for (name, rule) in &self.segment.rules {
            let when = match rule {
                Rule::Attribute(condition) => condition.sql(Names::Dotted),
                Rule::Metric((metric, major), days, bound) => {
                    let over = days.map(|days| format!(" over {days} days")).unwrap_or_default();
                    format!("{}@{major}{over} >= {bound}", self.metrics[*metric].name)
                }
            };
            yaml.push_str(&format!("      - {{name: {name}, when: {}}}\n", quoted(&when)));
        }
        if let Some(otherwise) = self.segment.otherwise {
            yaml.push_str(&format!("    otherwise: {otherwise}\n"));
        }
        yaml
    }
}

const ENTITY_NAMES: [&str; 6] = ["order", "customer", "region", "visit", "line", "stock"];

fn weekday_name(day: Weekday) -> &'static str {
    match day {
        Weekday::Mon => "monday",
        Weekday::Wed => "wednesday",
        Weekday::Sat => "saturday",
        Weekday::Sun => "sunday",
        other => panic!("no week begins on {other}"),
    }
}

/// A YAML scalar: JSON's strings are YAML's.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

fn entity_yaml(world: &World, index: usize, entity: &Entity) -> String {
    let table = &world.tables[index];
    let mut yaml = format!(
        "entity: {}\nrelation: {}\nowner: {{team: oracle}}\nversion: 1.0.0\nkey: {}\nsource:\n  table: {}\n  kind: {}\n",
        entity.name, table.name, entity.key, table.name, entity.kind
    );
    if entity.dedupe {
        yaml.push_str("  dedupe: {by: id, latest: _version, deleted: _deleted}\n");
    }
    if entity.history {
        yaml.push_str("  history: {from: valid_from, to: valid_to}\n");
    }
    let event = entity.event.map(|event| format!("event: {event}"));
    let ingested = entity.keeps_arrivals().then(|| format!("ingested: {ARRIVAL}"));
    let time: Vec<String> = event.into_iter().chain(ingested).collect();
    if !time.is_empty() {
        yaml.push_str(&format!("  time: {{{}}}\n", time.join(", ")));
    }
    yaml.push_str("attributes:\n");
    for (name, column, hidden) in &entity.attributes {
        let kind = table.columns.iter().find(|(other, _)| other == column).unwrap().1;
        yaml.push_str(&format!("  - {{name: {name}, type: {}", quoted(&kind.yaml())));
        if name != column {
            yaml.push_str(&format!(", column: {column}"));
        }
        if entity.at_event.contains(column) {
            yaml.push_str(", at: event");
        }
        yaml.push_str(if *hidden { ", hidden: true}\n" } else { "}\n" });
    }
    if entity.at_event.contains(&"region_id") {
        yaml.push_str("  - {name: region_id, type: bigint, at: event}\n");
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

/// What definitions can name.
fn definable(attributes: Vec<Attribute>) -> Vec<Attribute> {
    attributes.into_iter().filter(|it| it.dotted.is_some()).collect()
}

fn version(dice: &mut Dice, world: &World, known: &Definitions, zone: Zone) -> Version {
    if dice.chance(50)
        && let Some(shape) = built(dice, world, known, zone)
    {
        let entities = entities_of(known, &shape.parts());
        let first = known.version(shape.parts()[0]);
        let (event, zone) = (first.event, first.zone);
        let filter = dice.chance(20).then(|| condition(dice, world, &entities)).flatten();
        return Version {
            entities,
            rules: Vec::new(),
            filter,
            event,
            zone,
            shape,
            share: Share::Once,
            late: None,
            fill: None,
        };
    }
    let entity = *dice.pick(&[ORDERS, ORDERS, ORDERS, ORDERS, VISITS, VISITS, LINES, STOCKS]);
    let attributes = definable(world.attributes(entity));
    let rules = match dice.below(4) {
        0 => 0,
        1 | 2 => 1,
        _ => 2,
    };
    let rules = (0..rules).map(|_| Condition::random(dice, &attributes, &[], 2)).collect();
    let filter = dice.chance(15).then(|| Condition::random(dice, &attributes, &[], 1));
    let event = match world.entities[entity].event {
        Some("ordered_at") if dice.chance(40) => "completed_at",
        event => event.unwrap_or("ordered_at"),
    };
    // Lines have no customer of their own.
    let zone = if entity == LINES { Zone::Named(zone.of_no_row()) } else { zone };
    let mut shape = shape(dice, entity, &attributes);
    let share = match (entity, dice.below(5)) {
        (ORDERS, 0 | 1) => Share::Touch,
        (ORDERS, 2) => {
            let of = MONEY.iter().chain(["quantity"].iter());
            let of = of.filter_map(|name| attributes.iter().find(|it| it.name == *name).cloned());
            let of: Vec<Attribute> = of.collect();
            shape = Shape::Sum(Amount::Of(dice.pick(&of).clone()));
            Share::Allocate(dice.pick::<&str>(&["price", "pieces"]))
        }
        _ => Share::Once,
    };
    let is_kept = entity == VISITS && !world.entities[VISITS].dedupe;
    let late = (is_kept && dice.chance(30)).then(|| {
        let has_history = world.entities[CUSTOMERS].history;
        let after = if has_history || dice.chance(50) { Late::Drop } else { Late::BookOnArrival };
        (dice.below(40) as u64, after)
    });
    Version { entities: vec![entity], rules, filter, event, zone, shape, share, late, fill: None }
}

fn entities_of(known: &Definitions, parts: &[Reference]) -> Vec<usize> {
    let mut entities = Vec::new();
    for entity in parts.iter().flat_map(|part| &known.version(*part).entities) {
        if !entities.contains(entity) {
            entities.push(*entity);
        }
    }
    entities
}

/// A condition on the rows of each of some entities, if they share an attribute.
fn condition(dice: &mut Dice, world: &World, entities: &[usize]) -> Option<Condition> {
    let attributes = definable(world.shared_attributes(entities));
    (!attributes.is_empty()).then(|| Condition::random(dice, &attributes, &[], 1))
}

fn span(dice: &mut Dice) -> Span {
    match dice.below(6) {
        0 => Span { months: 0, days: 1 },
        1 => Span { months: 0, days: 7 },
        2 => Span { months: 0, days: 28 },
        3 => Span { months: 3, days: 0 },
        4 => Span { months: 12, days: 0 },
        _ => Span { months: 1, days: 0 },
    }
}

/// A shape that is built on metrics of one zone, if there are any.
fn built(dice: &mut Dice, world: &World, known: &Definitions, zone: Zone) -> Option<Shape> {
    let exact = known.references(|it, version| version.zone == zone && known.is_exact(it));
    match dice.below(10) {
        0..=2 if !exact.is_empty() => {
            let side = |dice: &mut Dice| {
                let metric = *dice.pick(&exact);
                let entities = &known.version(metric).entities;
                let filter = dice.chance(25).then(|| condition(dice, world, entities)).flatten();
                Side { metric, filter }
            };
            Some(Shape::Ratio(side(dice), side(dice)))
        }
        3 | 4 if !exact.is_empty() => {
            let operator = dice.pick::<&str>(&["+", "-", "/", "%"]);
            Some(Shape::Derived(operator, *dice.pick(&exact), *dice.pick(&exact)))
        }
        5..=7 => {
            let inner = known.references(|it, _| !known.has_window(it));
            let fiscal = known.fiscal_grains();
            let window = match dice.below(8) {
                0 => Window::All,
                1 => Window::ToDate(known.week()),
                2 if !fiscal.is_empty() => Window::ToDate(*dice.pick(&fiscal)),
                2 | 3 => Window::ToDate(Grain::Month),
                4 => Window::ToDate(*dice.pick(&[Grain::Quarter, Grain::Year])),
                _ => Window::Trailing(span(dice)),
            };
            (!inner.is_empty()).then(|| Shape::Cumulative(*dice.pick(&inner), window))
        }
        _ => {
            let inner = known.references(|_, _| true);
            (!inner.is_empty()).then(|| Shape::Offset(*dice.pick(&inner), span(dice)))
        }
    }
}

fn shape(dice: &mut Dice, entity: usize, attributes: &[Attribute]) -> Shape {
    let amount = |dice: &mut Dice| Amount::random(dice, attributes);
    let attribute = |dice: &mut Dice, kinds: &[Kind]| {
        let fitting: Vec<&Attribute> =
            attributes.iter().filter(|it| kinds.contains(&it.kind)).collect();
        (*dice.pick(&fitting)).clone()
    };
    if entity == STOCKS && dice.chance(75) {
        let of = attributes.iter().filter(|it| ["on_hand", "value"].contains(&it.name.as_str()));
        let of: Vec<&Attribute> = of.collect();
        let pick =
            *dice.pick(&[Pick::Last, Pick::Last, Pick::First, Pick::Min, Pick::Max, Pick::Avg]);
        let carry = (pick == Pick::Last && dice.chance(50)).then(|| span(dice));
        let per: [&[&str]; 4] =
            [&["place"], &["place", "sku"], &["sku"], &["customer_id", "place"]];
        let per = dice.pick(&per).to_vec();
        return Shape::Snapshot(Series {
            of: Amount::Of((*dice.pick(&of)).clone()),
            pick,
            per,
            carry,
        });
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
            let of = attribute(dice, &[Kind::Dec(2)]);
            let weight = attribute(dice, &[Kind::Int32, Kind::Dec(1), Kind::Dec(2)]);
            let of = if dice.chance(60) { Amount::Of(of) } else { amount(dice) };
            Shape::WeightedAvg(of, Amount::Of(weight))
        }
    }
}

/// By attributes of the customer, and by metrics of its visits.
fn segment(dice: &mut Dice, world: &World, known: &Definitions) -> Segment {
    let own: Vec<Attribute> = definable(world.attributes(CUSTOMERS))
        .into_iter()
        .filter(|it| ["country", "score", "tier"].contains(&it.name.as_str()))
        .collect();
    let metrics = known.references(|it, version| {
        version.entities == [VISITS]
            && matches!(version.zone, Zone::Named(_))
            && !known.is_over_time(it)
            && known.is_exact(it)
    });
    let mut rules = Vec::new();
    for name in ["gold", "silver", "lead"].iter().take(1 + dice.below(3)) {
        let rule = match metrics.is_empty() || dice.chance(40) {
            true => Rule::Attribute(Box::new(Condition::random(dice, &own, &[], 1))),
            false => {
                let days = [None, Some(3650), Some(200)];
                let days = *dice.pick(&days);
                Rule::Metric(*dice.pick(&metrics), days, dice.between(0, 40))
            }
        };
        rules.push((*name, rule));
    }
    Segment { rules, otherwise: dice.chance(60).then_some("basic") }
}
