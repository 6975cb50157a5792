//! Answers, row by row.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use chrono_tz::Tz;

use super::definitions::{
    Definitions, Late, Pick, Reference, Rule, Series, Shape, Share, Version, Window,
};
use super::expression::{Amount, Condition, Grain, Span, wall_clock};
use super::question::{Key, LINE_ATTRIBUTES, Question, Target};
use super::value::{Value, aligned, pow10};
use super::world::{ARRIVAL, CUSTOMERS, Grades, Kind, LINES, ORDERS, Row, STOCKS, VISITS, World};

/// The rows that a question is answered with.
pub(crate) type Rows = Vec<Vec<Value>>;

/// A group: which keys its grouping set has, and their values, NULL where it has not.
#[derive(Debug, Clone, PartialEq)]
struct Group {
    set: Vec<bool>,
    keys: Vec<Value>,
}

/// A row, and when it counts for someone.
#[derive(Clone, Copy)]
struct Timed<'r> {
    row: &'r Row,
    wall: Option<i64>,
}

/// What an offset or a window does to the time of what it is over; the outermost comes first.
#[derive(Debug, Clone, Copy)]
enum Step {
    Earlier(Span),
    Window(Window),
}

/// A metric that aggregates rows, and what the metrics that it is a part of make of it.
#[derive(Clone)]
struct Reader<'a> {
    version: &'a Version,
    /// The question's own FILTER: a series may pick another snapshot by it, of another group.
    filter: Option<&'a Condition>,
    restricted: Vec<&'a Condition>,
    steps: Vec<Step>,
}

impl<'a> Reader<'a> {
    /// The shifts outside of its window, the window, and the shifts inside of it.
    fn steps(&self) -> (Vec<Span>, Option<Window>, Vec<Span>) {
        let (mut outer, mut window, mut inner) = (Vec::new(), None, Vec::new());
        for step in &self.steps {
            match (step, window) {
                (Step::Window(it), _) => window = Some(*it),
                (Step::Earlier(span), None) => outer.push(*span),
                (Step::Earlier(span), Some(_)) => inner.push(*span),
            }
        }
        (outer, window, inner)
    }

    fn with(&self, step: Step) -> Self {
        Self { steps: [self.steps.as_slice(), &[step]].concat(), ..self.clone() }
    }

    fn of(&self, version: &'a Version, filter: Option<&'a Condition>) -> Self {
        let restricted = self.restricted.iter().copied().chain(filter).chain(&version.filter);
        Self { version, restricted: restricted.collect(), ..self.clone() }
    }

    /// Whether its rows are those of a window that ends with a period, or with a last day.
    fn ends_with_a_period(&self) -> bool {
        let carries = self.series().is_some_and(|series| series.carry.is_some());
        self.steps().1.is_some() || carries
    }

    fn series(&self) -> Option<&'a Series> {
        match &self.version.shape {
            Shape::Snapshot(series) => Some(series),
            _ => None,
        }
    }
}

/// A wall clock as much later as all offsets say, the innermost first; None where a finer grain
/// than a month has no such time: March 31 a month later.
fn moved(wall: i64, spans: &[Span], grain: Option<Grain>) -> Option<i64> {
    let is_fine = grain.is_some_and(|it| matches!(it, Grain::Hour | Grain::Day | Grain::Week));
    spans.iter().rev().try_fold(wall, |wall, span| {
        let later = span.after(wall);
        (!is_fine || span.before(later) == wall).then_some(later)
    })
}

/// The period that offsets lead to from a period; None where there is none.
fn back(period: i64, spans: &[Span]) -> Option<i64> {
    spans.iter().try_fold(period, |period, span| {
        let earlier = span.before(period);
        (span.after(earlier) == period).then_some(earlier)
    })
}

/// What rows of an entity look like, seen at the times of one of its columns.
type Facts = BTreeMap<(usize, &'static str), Vec<Row>>;

pub(crate) struct Oracle<'a> {
    definitions: &'a Definitions,
    world: &'a World,
    facts: Facts,
    /// Orders with their lines, by the column of the order's time: of an inner and of a left join.
    pairs: [Facts; 2],
    now: i64,
}

impl<'a> Oracle<'a> {
    /// `now` is when questions are asked.
    pub(crate) fn new(world: &'a World, definitions: &'a Definitions, now: i64) -> Self {
        let nobody = Grades::new();
        let mut oracle =
            Self { definitions, world, facts: Facts::new(), pairs: Default::default(), now };
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

    // ---- segments ----

    /// The group of each customer.
    fn grades(&self) -> Grades {
        let segment = &self.definitions.segment;
        let own = self.world.facts(CUSTOMERS, None, self.now, &Grades::new());
        let grade = |customer: &Row| {
            let Value::Int(key) = customer["id"] else { panic!("keys are never NULL") };
            let rule = segment.rules.iter().find(|(_, rule)| match rule {
                Rule::Attribute(condition) => condition.holds(customer, None) == Some(true),
                Rule::Metric(metric, days, bound) => {
                    let value = self.of_customer(*metric, key, *days);
                    passes(&value, ">=", &Value::Int(*bound))
                }
            });
            let name = rule.map(|(name, _)| *name).or(segment.otherwise);
            (key, name.map_or(Value::Null, |name| Value::Text(name.to_owned())))
        };
        own.iter().map(grade).collect()
    }

    /// A metric of the visits of a customer, over some days up to now.
    fn of_customer(&self, reference: Reference, key: i64, days: Option<u64>) -> Value {
        let version = self.definitions.version(reference);
        let reader = self.reader().of(version, None);
        let mut rows = self.eligible(&reader, &self.facts[&(VISITS, version.event)]);
        rows.retain(|it| {
            let recent = days.is_none_or(|days| {
                let now = wall_clock(self.now, version.zone);
                let from = Span { months: 0, days }.before(now);
                it.wall.is_some_and(|wall| from < wall && wall <= now)
            });
            it.row["customer_id"] == Value::Int(key) && recent
        });
        let rows: Vec<&Row> = rows.iter().map(|it| it.row).collect();
        aggregate(&version.shape, &rows)
    }

    fn reader(&self) -> Reader<'a> {
        let version = self.definitions.version((0, 1));
        Reader { version, filter: None, restricted: Vec::new(), steps: Vec::new() }
    }

    // ---- questions ----

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
                let group = match &measure.level {
                    None => group.clone(),
                    Some(level) => {
                        let set: Vec<bool> =
                            (0..group.keys.len()).map(|index| level.contains(&index)).collect();
                        Group { keys: masked(&group.keys, &set), set }
                    }
                };
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

    /// Whether the one period of a question without periods is the same for all that is asked:
    /// else what is over time has several last days.
    pub(crate) fn is_definite(&self, question: &Question) -> bool {
        let leaves_period =
            |level: &Vec<usize>| question.period().is_none_or(|(index, _)| !level.contains(&index));
        let coarse = question.measures.iter().filter_map(|it| it.level.as_ref());
        let is_coarse = coarse.into_iter().any(leaves_period);
        let mut readers = self.readers_of(question).into_iter();
        if is_coarse && readers.any(|reader| reader.ends_with_a_period()) {
            return false;
        }
        if question.period().is_some() {
            return true;
        }
        let mut days: Vec<Option<i64>> = Vec::new();
        for reader in self.readers_of(question) {
            if reader.ends_with_a_period() {
                let day = self.last_day(&reader, question);
                if !days.contains(&day) {
                    days.push(day);
                }
            }
        }
        days.len() < 2
    }

    fn readers_of<'q>(&'q self, question: &'q Question) -> Vec<Reader<'q>> {
        let mut readers = Vec::new();
        for measure in &question.measures {
            let reader = Reader { filter: measure.filter.as_ref(), ..self.reader() };
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

    /// The rows that a question is about, of an entity at the times of a column.
    fn rows_of(&self, question: &Question, entity: usize, event: &'static str) -> &[Row] {
        match &question.target {
            Target::Lines(left) => &self.pairs[usize::from(*left)][&(entity, event)],
            _ => &self.facts[&(entity, event)],
        }
    }

    fn timed<'r>(&self, rows: &'r [Row], event: &str, zone: Tz) -> Vec<Timed<'r>> {
        let wall = |row: &Row| match row[event] {
            Value::Instant(at) => Some(wall_clock(at, zone)),
            _ => None,
        };
        rows.iter().map(|row| Timed { row, wall: wall(row) }).collect()
    }

    /// The rows that count for a metric.
    fn eligible<'r>(&self, reader: &Reader<'_>, rows: &'r [Row]) -> Vec<Timed<'r>> {
        let version = reader.version;
        let mut rows = self.timed(rows, version.event, version.zone);
        rows.retain(|it| {
            let counts = |rule: &Condition| rule.holds(it.row, None) == Some(true);
            version.rules.iter().all(counts) && reader.restricted.iter().all(|it| counts(it))
        });
        self.by_arrival(version, &mut rows);
        rows
    }

    /// What a metric's policy makes of rows that come late.
    fn by_arrival(&self, version: &Version, rows: &mut Vec<Timed<'_>>) {
        let Some((days, after)) = version.late else { return };
        rows.retain_mut(|it| {
            // Of a row without a day, or without an arrival, nobody knows that it was in time.
            let (Some(wall), Value::Instant(arrival)) = (it.wall, &it.row[ARRIVAL]) else {
                return after != Late::Drop;
            };
            let arrival = wall_clock(*arrival, version.zone);
            // Its day is open until the window after its end is over.
            let closed = Span { months: 0, days: days + 1 }.after(Grain::Day.floor(wall));
            let is_late = arrival >= closed;
            if is_late && after == Late::BookOnArrival {
                it.wall = Some(arrival);
            }
            !is_late || after == Late::BookOnArrival
        });
    }

    /// The rows that count for a metric in a question, whatever its filters.
    fn counted(&self, reader: &Reader<'_>, question: &Question) -> Vec<Timed<'_>> {
        let version = reader.version;
        let rows = self.rows_of(question, version.entities[0], version.event);
        self.eligible(reader, rows)
    }

    /// The rows of the relation itself.
    fn plain_rows(&self, question: &Question) -> Vec<Timed<'_>> {
        let (entity, event, zone, metric) = match &question.target {
            Target::Metric(reference) => {
                let version = self.definitions.version(*reference);
                (version.entities[0], version.event, version.zone, Some(version))
            }
            Target::Entity(entity) => {
                let event = self.world.entities[*entity].event.unwrap();
                (*entity, event, self.definitions.zone, None)
            }
            Target::Lines(_) | Target::Across => {
                (ORDERS, "ordered_at", self.definitions.zone, None)
            }
        };
        let rows = self.rows_of(question, entity, event);
        let mut rows = self.timed(rows, event, zone);
        // Rows of a metric's relation have its time; those that it drops are there all the same.
        let booked = |it: &&Version| it.late.is_some_and(|(_, after)| after == Late::BookOnArrival);
        if let Some(version) = metric.filter(booked) {
            self.by_arrival(version, &mut rows);
        }
        rows.retain(|it| passes_filter(it, question));
        rows
    }

    // ---- time ----

    /// The rows that say which periods are shown: those that pass all filters, at the times that
    /// offsets move them to.
    fn showing(
        &self,
        reader: &Reader<'_>,
        question: &Question,
        grain: Option<Grain>,
    ) -> Vec<Timed<'_>> {
        let (outer, _, inner) = reader.steps();
        let spans = [outer, inner].concat();
        let rows = self.counted(reader, question).into_iter().filter_map(|it| {
            let wall = match it.wall {
                Some(wall) if !spans.is_empty() => Some(moved(wall, &spans, grain)?),
                wall => wall,
            };
            Some(Timed { wall, ..it })
        });
        rows.filter(|it| passes_filter(it, question)).collect()
    }

    /// All periods that the question shows.
    fn shown_periods(&self, question: &Question) -> Vec<Option<i64>> {
        let Some((_, grain)) = question.period() else { return vec![None] };
        let mut walls: Vec<Option<i64>> = Vec::new();
        for reader in self.readers_of(question) {
            let rows = self.showing(&reader, question, Some(grain));
            walls.extend(rows.iter().map(|it| it.wall));
        }
        if question.counts_rows {
            walls.extend(self.plain_rows(question).iter().map(|it| it.wall));
        }
        let mut periods = Vec::new();
        for wall in walls.into_iter().flatten() {
            let period = Some(grain.floor(wall));
            if !periods.contains(&period) {
                periods.push(period);
            }
        }
        periods
    }

    /// The last day on which a row counts that passes the filters.
    fn last_day(&self, reader: &Reader<'_>, question: &Question) -> Option<i64> {
        let (_, _, inner) = reader.steps();
        let shown = self.showing(reader, question, None);
        let shown: Vec<&Row> = shown.iter().map(|it| it.row).collect();
        let rows = self.counted(reader, question).into_iter();
        let rows = rows.filter(|it| shown.iter().any(|row| std::ptr::eq(*row, it.row)));
        let walls = rows.filter_map(|it| moved(it.wall?, &inner, None));
        walls.max().map(|wall| Grain::Day.floor(wall))
    }

    /// The beginning and the end of the period whose rows answer for a shown one; without periods
    /// that of the last day.
    fn source_period(
        &self,
        reader: &Reader<'_>,
        question: &Question,
        period: Option<i64>,
    ) -> Option<(i64, i64)> {
        let (outer, _, _) = reader.steps();
        let (grain, begin) = match (question.period(), period) {
            (Some((_, grain)), Some(period)) => (grain, back(period, &outer)?),
            _ => (Grain::Day, self.last_day(reader, question)?),
        };
        Some((begin, grain.end(begin)))
    }

    /// The rows of a window that ends with a period.
    fn windowed(
        &self,
        reader: &Reader<'_>,
        question: &Question,
        period: Option<i64>,
    ) -> Vec<Timed<'_>> {
        let (_, window, inner) = reader.steps();
        let Some((begin, end)) = self.source_period(reader, question, period) else {
            return Vec::new();
        };
        let carry = reader.series().and_then(|series| series.carry);
        let from = match (window, carry) {
            (Some(Window::Trailing(span)), _) => Some(span.before(end)),
            (Some(Window::ToDate(grain)), _) => Some(grain.floor(end - 1)),
            (Some(Window::All), _) => None,
            (None, Some(carry)) => Some(carry.before(begin)),
            (None, None) => panic!("no window"),
        };
        let grain = question.period().map(|(_, grain)| grain);
        let rows = self.counted(reader, question).into_iter();
        rows.filter(|it| {
            let wall = it.wall.and_then(|wall| match inner.is_empty() {
                true => Some(wall),
                false => moved(wall, &inner, grain),
            });
            let inside =
                wall.is_some_and(|wall| wall < end && from.is_none_or(|from| from <= wall));
            inside && passes_timeless_filter(it, question)
        })
        .collect()
    }

    /// The rows that a reader has in a shown period (or in all, where the question has none, or
    /// where it is left out), with the keys of their groups.
    fn in_period(
        &self,
        reader: &Reader<'_>,
        question: &Question,
        period: Option<Option<i64>>,
        filter: Option<&Condition>,
        set: &[bool],
    ) -> Vec<(Vec<Value>, Timed<'_>)> {
        // What has no time is in no period.
        let is_over = reader.ends_with_a_period();
        if is_over && question.period().is_some() && period == Some(None) {
            return Vec::new();
        }
        let mut rows = if is_over {
            let shown = period.flatten();
            let rows = self.windowed(reader, question, shown);
            let key = |it: &Timed<'_>| {
                let mut keys = keys_of(it, question);
                if let Some((index, _)) = question.period() {
                    keys[index] = shown.map_or(Value::Null, Value::Wall);
                }
                keys
            };
            rows.into_iter().map(|it| (key(&it), it)).collect()
        } else {
            let grain = question.period().map(|(_, grain)| grain).filter(|_| period.is_some());
            let grain =
                grain.or_else(|| every(set).then(|| question.period()).flatten().map(|it| it.1));
            let rows = self.showing(reader, question, grain).into_iter();
            let rows = rows.map(|it| (keys_of(&it, question), it));
            let place = question.period().map(|(index, _)| index);
            rows.filter(|(keys, _)| match (place, period) {
                (Some(place), Some(period)) => {
                    keys[place] == period.map_or(Value::Null, Value::Wall)
                }
                _ => true,
            })
            .collect::<Vec<_>>()
        };
        if let Some(filter) = filter {
            rows.retain(|(_, it)| filter.holds(it.row, it.wall) == Some(true));
        }
        let rows = rows.into_iter().map(|(keys, it)| (masked(&keys, set), it)).collect();
        match reader.series() {
            Some(series) => of_series(series, rows),
            None => rows,
        }
    }

    /// The groups in which a reader has something.
    fn cells(&self, reader: &Reader<'_>, question: &Question) -> Vec<Vec<Value>> {
        let all = vec![true; question.keys.len()];
        let periods: Vec<Option<Option<i64>>> =
            match reader.steps().1.is_some() || reader.series().is_some() {
                true => self.shown_periods(question).into_iter().map(Some).collect(),
                false => vec![None],
            };
        let filter = reader.filter.filter(|_| reader.series().is_some());
        let mut cells = Vec::new();
        for period in periods {
            for filter in [None].into_iter().chain(filter.map(Some)) {
                let rows = self.in_period(reader, question, period, filter, &all);
                cells.extend(rows.into_iter().map(|(keys, _)| keys));
            }
        }
        cells
    }

    // ---- values ----

    fn value(
        &self,
        reference: Reference,
        question: &Question,
        group: &Group,
        filter: Option<&Condition>,
    ) -> Value {
        self.value_of(reference, None, &self.reader(), question, group, filter)
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

    /// The parts of orders that are of some of their lines.
    fn allocated(&self, shape: &Shape, by: &str, pairs: &[Timed<'_>]) -> Value {
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
            0 => super::value::rounded(whole, count, 0),
            total => super::value::rounded(whole * weight, total, 0),
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

/// Whether a set has all keys.
fn every(set: &[bool]) -> bool {
    set.iter().all(|has| *has)
}

/// Each order once, whatever lines it has.
fn each_once<'r>(pairs: &[Timed<'r>]) -> Vec<&'r Row> {
    let mut orders: Vec<&Row> = Vec::new();
    for pair in pairs {
        if !orders.iter().any(|known| known["id"] == pair.row["id"]) {
            orders.push(pair.row);
        }
    }
    orders
}

/// What a snapshot adds up: of each series the row that is picked, or one for the least, the
/// greatest or the mean in each group. Rows without a value or a time are no snapshots.
fn of_series<'r>(
    series: &Series,
    mut rows: Vec<(Vec<Value>, Timed<'r>)>,
) -> Vec<(Vec<Value>, Timed<'r>)> {
    rows.retain(|(_, it)| it.wall.is_some() && !series.of.of(it.row).is_null());
    let own = |it: &Timed<'_>| -> Vec<Value> {
        series.per.iter().map(|name| it.row[*name].clone()).collect()
    };
    let order = |a: &Timed<'_>, b: &Timed<'_>| {
        let of_value = series.of.of(a.row).compare(&series.of.of(b.row)).unwrap();
        match series.pick {
            Pick::Last => a.wall.cmp(&b.wall).then(of_value),
            // Of one moment the greatest value, here as well.
            _ => b.wall.cmp(&a.wall).then(of_value),
        }
    };
    if !matches!(series.pick, Pick::Last | Pick::First) {
        return rows;
    }
    let mut picked: Vec<(Vec<Value>, Timed<'r>)> = Vec::new();
    for (keys, it) in rows {
        // Without carrying, a question by period picks in each.
        match picked.iter_mut().find(|(_, known)| own(known) == own(&it)) {
            Some(known) if order(&known.1, &it) == Ordering::Less => *known = (keys, it),
            Some(_) => {}
            None => picked.push((keys, it)),
        }
    }
    picked
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
