//! Answers, row by row.

use std::cell::OnceCell;
use std::cmp::Ordering;
use std::collections::BTreeMap;

mod aggregate;
mod fill;
mod periods;
mod reader;
mod rows;
mod segment;
mod shares;

use aggregate::{aggregate, derived, quotient};
use reader::{Reader, Step};
use shares::each_once;

use super::definitions::{Definitions, Reference, Shape, Share};
use super::expression::Condition;
use super::question::{Key, LINE_ATTRIBUTES, Question, Target};
use super::value::Value;
use super::world::{Grades, LINES, ORDERS, Row, STOCKS, VISITS, World};

/// The rows that a question is answered with.
pub(crate) type Rows = Vec<Vec<Value>>;

/// A group: which keys its grouping set has, and their values, NULL where it has not.
#[derive(Debug, Clone, PartialEq)]
struct Group {
    set: Vec<bool>,
    keys: Vec<Value>,
}

impl Group {
    /// The group of only some of the keys that it is in.
    fn at_level(&self, level: &[usize]) -> Self {
        let set: Vec<bool> = (0..self.keys.len()).map(|index| level.contains(&index)).collect();
        Self { keys: masked(&self.keys, &set), set }
    }
}

/// A row, and when it counts for someone.
#[derive(Clone, Copy)]
struct Timed<'r> {
    row: &'r Row,
    instant: Option<i64>,
    /// What the clock showed then, moved by offsets.
    wall: Option<i64>,
}

/// What rows of an entity look like, seen at the times of one of its columns.
type Facts = BTreeMap<(usize, &'static str), Vec<Row>>;

/// Knows the answer to one question.
pub(crate) struct Oracle<'a> {
    definitions: &'a Definitions,
    world: &'a World,
    facts: Facts,
    /// Orders with their lines, by the column of the order's time: of an inner and of a left join.
    pairs: [Facts; 2],
    now: i64,
    /// The periods of a gap-filled answer.
    spine: OnceCell<Option<Vec<i64>>>,
}

impl<'a> Oracle<'a> {
    /// `now` is when questions are asked.
    pub(crate) fn new(world: &'a World, definitions: &'a Definitions, now: i64) -> Self {
        let nobody = Grades::new();
        let mut oracle = Self {
            definitions,
            world,
            facts: Facts::new(),
            pairs: Default::default(),
            now,
            spine: OnceCell::new(),
        };
        oracle.facts = oracle.all_facts(&nobody);
        let grades = oracle.grades();
        oracle.facts = oracle.all_facts(&grades);
        oracle.pairs = [oracle.all_pairs(false), oracle.all_pairs(true)];
        oracle
    }

    fn all_facts(&self, grades: &Grades) -> Facts {
        let times = [
            (ORDERS, "ordered_at"),
            (ORDERS, "completed_at"),
            (VISITS, "began_at"),
            (LINES, "shipped_at"),
            (STOCKS, "counted_at"),
        ];
        let facts = |(entity, event)| {
            ((entity, event), self.world.facts(entity, Some(event), self.now, grades))
        };
        times.into_iter().map(facts).collect()
    }

    fn all_pairs(&self, left: bool) -> Facts {
        let lines = &self.facts[&(LINES, "shipped_at")];
        let pair = |order: &Row, line: Option<&Row>| {
            let mut row = order.clone();
            for name in LINE_ATTRIBUTES {
                let value = line.map_or(Value::Null, |line| line[name].clone());
                row.insert(format!("l.{name}"), value);
            }
            row.insert("l.id".to_owned(), line.map_or(Value::Null, |line| line["id"].clone()));
            row
        };
        let pairs = |event: &'static str| {
            let mut pairs = Vec::new();
            for order in &self.facts[&(ORDERS, event)] {
                let own: Vec<&Row> =
                    lines.iter().filter(|line| line["order_id"] == order["id"]).collect();
                if own.is_empty() && left {
                    pairs.push(pair(order, None));
                }
                pairs.extend(own.into_iter().map(|line| pair(order, Some(line))));
            }
            ((ORDERS, event), pairs)
        };
        ["ordered_at", "completed_at"].into_iter().map(pairs).collect()
    }

    // ---- questions ----

    fn reader(&self, asked: Reference) -> Reader<'a> {
        let version = self.definitions.version(asked);
        Reader { version, asked, filter: None, restricted: Vec::new(), steps: Vec::new() }
    }

    pub(crate) fn answer(&self, question: &Question) -> Rows {
        let mut rows = Vec::new();
        let groups = self.groups(question);
        for group in &groups {
            if let Some((measured, operator, limit)) = question.having() {
                let value = self.filled_value(&measured, question, &groups, group);
                if !passes(&value, operator, limit) {
                    continue;
                }
            }
            let mut row = group.keys.clone();
            for measure in &question.measures {
                row.push(match &measure.level {
                    None => self.filled_value(measure, question, &groups, group),
                    Some(level) => {
                        let at_level = |group: &Group| group.at_level(level);
                        let groups: Vec<Group> = groups.iter().map(at_level).collect();
                        self.filled_value(measure, question, &groups, &at_level(group))
                    }
                });
            }
            if question.counts_rows {
                let rows = self.plain_rows(question);
                let count = rows.iter().filter(|it| is_in(it, question, group)).count();
                row.push(Value::Int(i64::try_from(count).unwrap()));
            }
            rows.push(row);
        }
        rows
    }

    /// Whether the question has an answer: what ends with a last day needs conditions of time that
    /// are ranges.
    pub(crate) fn is_definite(&self, question: &Question) -> bool {
        let leaves_period =
            |level: &Vec<usize>| question.period().is_none_or(|(index, _)| !level.contains(&index));
        let mut levels = question.measures.iter().filter_map(|it| it.level.as_ref());
        let has_last_day = question.period().is_none() || levels.any(leaves_period);
        let mut readers = self.readers_of(question).into_iter();
        let conditions = question.filter.iter().flat_map(Condition::conjuncts);
        let mut of_time = conditions.filter(|condition| condition.uses_time());
        let has_last = !has_last_day
            || !readers.any(|reader| reader.ends_with_a_period())
            || of_time.all(Condition::is_range);
        has_last && self.can_fill(question)
    }

    fn readers_of<'q>(&'q self, question: &'q Question) -> Vec<Reader<'q>> {
        let mut readers = Vec::new();
        for measure in &question.measures {
            let reader =
                Reader { filter: measure.filter.as_ref(), ..self.reader(measure.reference) };
            self.readers(measure.reference, None, &reader, &mut readers);
        }
        readers
    }

    /// The groups in which someone who is asked has a row, and the totals.
    fn groups(&self, question: &Question) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for set in question.grouping_sets() {
            if set.iter().all(|has| !has) {
                groups.push(Group { keys: vec![Value::Null; set.len()], set });
            }
        }
        let mut cells: Vec<Vec<Value>> = Vec::new();
        for reader in self.readers_of(question) {
            cells.extend(self.cells(&reader, question));
        }
        if question.counts_rows {
            cells.extend(self.plain_rows(question).iter().map(|it| keys_of(it, question)));
        }
        self.filled(question, &mut cells);
        for keys in cells {
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
    fn readers<'q>(
        &'q self,
        reference: Reference,
        filter: Option<&'q Condition>,
        outer: &Reader<'q>,
        found: &mut Vec<Reader<'q>>,
    ) {
        let version = self.definitions.version(reference);
        let reader = outer.of(version, filter);
        match &version.shape {
            Shape::Ratio(left, right) => {
                for side in [left, right] {
                    self.readers(side.metric, side.filter.as_ref(), &reader, found);
                }
            }
            Shape::Derived(_, left, right) => {
                self.readers(*left, None, &reader, found);
                self.readers(*right, None, &reader, found);
            }
            Shape::Cumulative(of, window) => {
                self.readers(*of, None, &reader.with(Step::Window(*window)), found);
            }
            Shape::Offset(of, span) => {
                self.readers(*of, None, &reader.with(Step::Earlier(*span)), found);
            }
            _ => found.push(reader),
        }
    }

    // ---- values ----

    fn value(
        &self,
        reference: Reference,
        question: &Question,
        group: &Group,
        filter: Option<&Condition>,
    ) -> Value {
        self.value_of(reference, None, &self.reader(reference), question, group, filter)
    }

    fn value_of(
        &self,
        reference: Reference,
        side: Option<&'a Condition>,
        outer: &Reader<'a>,
        question: &Question,
        group: &Group,
        filter: Option<&Condition>,
    ) -> Value {
        let version = self.definitions.version(reference);
        let reader = outer.of(version, side);
        let part = |of: Reference, side: Option<&'a Condition>, reader: &Reader<'a>| {
            self.value_of(of, side, reader, question, group, filter)
        };
        match &version.shape {
            Shape::Ratio(left, right) => {
                let left = part(left.metric, left.filter.as_ref(), &reader);
                let right = part(right.metric, right.filter.as_ref(), &reader);
                quotient(&left, &right, Some(16))
            }
            Shape::Derived(operator, left, right) => {
                derived(operator, &part(*left, None, &reader), &part(*right, None, &reader))
            }
            Shape::Cumulative(of, window) => part(*of, None, &reader.with(Step::Window(*window))),
            Shape::Offset(of, span) => part(*of, None, &reader.with(Step::Earlier(*span))),
            shape => {
                let period = question.period().filter(|(index, _)| group.set[*index]);
                let period = period.map(|(index, _)| match group.keys[index] {
                    Value::Wall(wall) => Some(wall),
                    _ => None,
                });
                let mut rows: Vec<Timed<'_>> = Vec::new();
                for (keys, it) in self.in_period(&reader, question, period, filter, &group.set) {
                    if keys == group.keys {
                        rows.push(it);
                    }
                }
                match (&question.target, &version.share) {
                    (Target::Lines(_), Share::Allocate(by)) if question.reads_lines() => {
                        self.allocated(shape, by, &rows)
                    }
                    (Target::Lines(_), _) => aggregate(shape, &each_once(&rows)),
                    _ => aggregate(shape, &rows.iter().map(|it| it.row).collect::<Vec<_>>()),
                }
            }
        }
    }
}

/// Whether a set has all keys.
fn every(set: &[bool]) -> bool {
    set.iter().all(|has| *has)
}

fn passes_filter(it: &Timed<'_>, question: &Question) -> bool {
    question.filter.as_ref().is_none_or(|filter| filter.holds(it.row, it.wall) == Some(true))
}

/// The conditions that aren't about time.
fn passes_timeless_filter(it: &Timed<'_>, question: &Question) -> bool {
    let filters = question.filter.iter().flat_map(Condition::conjuncts);
    let mut timeless = filters.filter(|filter| !filter.uses_time());
    timeless.all(|filter| filter.holds(it.row, None) == Some(true))
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
