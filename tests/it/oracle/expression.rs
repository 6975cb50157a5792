//! Conditions and amounts: trees with a text and a value.

use std::cmp::Ordering;

use chrono::{DateTime, Datelike, Days, Months, NaiveDateTime, Timelike, Weekday};

use super::calendar::{Calendar, Unit};
use super::dice::Dice;
use super::value::{Value, aligned, wall_text};
use super::world::{Attribute, CHANNELS, COUNTRIES, Kind, Row, STATUSES, instant};

/// How names are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// As columns of relations; the relation of `metric_time` is named, as in `o.`, or empty.
    Columns(&'static str),
    /// With dots, as definitions may.
    Dotted,
}

impl Names {
    pub(crate) fn time(self) -> String {
        match self {
            Self::Columns(relation) => format!("{relation}metric_time"),
            Self::Dotted => "metric_time".to_owned(),
        }
    }
}

impl Attribute {
    fn sql(&self, names: Names) -> &str {
        match (names, &self.dotted) {
            (Names::Columns(_), _) => &self.column,
            (Names::Dotted, Some(dotted)) => dotted,
            (Names::Dotted, None) => panic!("definitions can't name {}", self.name),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grain {
    Hour,
    Day,
    /// Weeks from a day on.
    Week(Weekday),
    Month,
    Quarter,
    Year,
    Fiscal(Calendar, Unit),
}

impl Grain {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Hour => "hour".to_owned(),
            Self::Day => "day".to_owned(),
            Self::Week(_) => "week".to_owned(),
            Self::Month => "month".to_owned(),
            Self::Quarter => "quarter".to_owned(),
            Self::Year => "year".to_owned(),
            Self::Fiscal(calendar, unit) => calendar.grain_name(unit),
        }
    }

    /// The first microsecond of the period that a wall clock is in.
    pub(crate) fn floor(self, wall: i64) -> i64 {
        let at = DateTime::from_timestamp_micros(wall).unwrap().naive_utc();
        let date = at.date();
        let date = match self {
            Self::Hour => return micros(date.and_hms_opt(at.hour(), 0, 0).unwrap()),
            Self::Day => date,
            Self::Week(first) => date - Days::new(u64::from(date.weekday().days_since(first))),
            Self::Fiscal(calendar, unit) => return calendar.period(unit, wall).0,
            Self::Month => date.with_day(1).unwrap(),
            Self::Quarter => {
                date.with_day(1).unwrap().with_month(date.month0() / 3 * 3 + 1).unwrap()
            }
            Self::Year => date.with_ordinal(1).unwrap(),
        };
        micros(date.and_hms_opt(0, 0, 0).unwrap())
    }
}

impl Grain {
    /// The end of the period that begins at a wall clock.
    pub(crate) fn end(self, begin: i64) -> i64 {
        let date = DateTime::from_timestamp_micros(begin).unwrap().naive_utc();
        micros(match self {
            Self::Hour => date + chrono::TimeDelta::hours(1),
            Self::Day => date + Days::new(1),
            Self::Week(_) => date + Days::new(7),
            Self::Fiscal(calendar, unit) => return calendar.period(unit, begin).1,
            Self::Month => date + Months::new(1),
            Self::Quarter => date + Months::new(3),
            Self::Year => date + Months::new(12),
        })
    }

    pub(crate) fn is_finer_than_months(self) -> bool {
        matches!(self, Self::Hour | Self::Day | Self::Week(_) | Self::Fiscal(_, Unit::Week))
    }

    /// Whether a shift by a length of time leads from periods to periods.
    pub(crate) fn allows(self, span: Span) -> bool {
        let months = |of: u32| span.days == 0 && span.months.is_multiple_of(of);
        match self {
            Self::Year => months(12),
            Self::Quarter => months(3),
            Self::Month => months(1),
            Self::Week(_) => span.months == 0 && span.days.is_multiple_of(7),
            Self::Fiscal(calendar, unit) => calendar.allows(unit, span),
            Self::Hour | Self::Day => true,
        }
    }
}

/// A length of calendar time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) months: u32,
    pub(crate) days: u64,
}

impl Span {
    pub(crate) fn yaml(self) -> String {
        match self {
            Self { months, days: 0 } => format!("{months} months"),
            Self { days, .. } => format!("{days} days"),
        }
    }

    /// As much later; a day that a month doesn't have is its last one.
    pub(crate) fn after(self, wall: i64) -> i64 {
        let at = DateTime::from_timestamp_micros(wall).unwrap().naive_utc();
        micros(at + Months::new(self.months) + Days::new(self.days))
    }

    pub(crate) fn before(self, wall: i64) -> i64 {
        let at = DateTime::from_timestamp_micros(wall).unwrap().naive_utc();
        micros(at - Months::new(self.months) - Days::new(self.days))
    }
}

pub(crate) fn micros(at: NaiveDateTime) -> i64 {
    at.and_utc().timestamp_micros()
}

/// A condition over an order and a wall clock, with SQL's third truth value.
#[derive(Debug, Clone)]
pub(crate) enum Condition {
    Compare(Attribute, &'static str, Value),
    CompareTwo(Attribute, &'static str, Attribute),
    In(Attribute, Vec<Value>, bool),
    IsNull(Attribute, bool),
    Is(Attribute),
    Like(Attribute, &'static str),
    Not(Box<Condition>),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    /// `metric_time >= …`
    Time(&'static str, i64),
    /// `metric_time::date …`, at a midnight.
    Date(&'static str, i64),
    TimeIsNull(bool),
    /// `date_trunc(grain, metric_time) = …`
    Period(Grain, &'static str, i64),
}

const OPERATORS: [&str; 6] = ["=", "<>", "<", "<=", ">", ">="];

fn compared(operator: &str, order: Ordering) -> bool {
    match operator {
        "=" => order == Ordering::Equal,
        "<>" => order != Ordering::Equal,
        "<" => order == Ordering::Less,
        "<=" => order != Ordering::Greater,
        ">" => order == Ordering::Greater,
        ">=" => order != Ordering::Less,
        other => panic!("no operator {other}"),
    }
}

/// A constant as SQL.
pub(crate) fn literal(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Value::Instant(micros) => format!("timestamptz '{}+00'", wall_text(*micros)),
        Value::Wall(micros) => format!("timestamp '{}'", wall_text(*micros)),
        other => other.to_string(),
    }
}

impl Condition {
    /// A condition over some of the attributes; over the time too where there are grains of it.
    pub(crate) fn random(
        dice: &mut Dice,
        attributes: &[Attribute],
        grains: &[Grain],
        depth: usize,
    ) -> Self {
        let inner = |dice: &mut Dice| {
            Box::new(Self::random(dice, attributes, grains, depth.saturating_sub(1)))
        };
        if depth > 0 {
            match dice.below(6) {
                0 => return Self::Not(inner(dice)),
                1 => return Self::And(inner(dice), inner(dice)),
                2 => return Self::Or(inner(dice), inner(dice)),
                _ => {}
            }
        }
        if !grains.is_empty() && dice.chance(35) {
            return Self::random_time(dice, grains);
        }
        Self::leaf(dice, attributes)
    }

    pub(crate) fn random_time(dice: &mut Dice, grains: &[Grain]) -> Self {
        let at = instant(dice);
        match dice.below(6) {
            0 => Self::Date(dice.pick::<&str>(&OPERATORS), Grain::Day.floor(at)),
            1 => Self::TimeIsNull(dice.chance(50)),
            2 | 3 => {
                let grain = *dice.pick(grains);
                // Sometimes a moment that no period begins at.
                let at = if dice.chance(80) { grain.floor(at) } else { at };
                Self::Period(grain, dice.pick::<&str>(&OPERATORS), at)
            }
            _ => Self::Time(dice.pick::<&str>(&OPERATORS), at),
        }
    }

    fn leaf(dice: &mut Dice, attributes: &[Attribute]) -> Self {
        let attribute = dice.pick(attributes).clone();
        if dice.chance(12) {
            return Self::IsNull(attribute, dice.chance(50));
        }
        let operator = dice.pick::<&str>(&OPERATORS);
        match attribute.kind {
            Kind::Bool => Self::Is(attribute),
            Kind::Text if dice.chance(15) => {
                Self::Like(attribute, dice.pick::<&str>(&["%e%", "D_", "%'%", "", "ü%", "%p"]))
            }
            Kind::Text => {
                let known: &[&str] = match () {
                    () if attribute.name.ends_with("channel") => &CHANNELS,
                    () if attribute.name.ends_with("status") => &STATUSES,
                    () if attribute.name.ends_with("country") => &COUNTRIES,
                    () => &["North", "South", "(lost)", "x"],
                };
                let value = |dice: &mut Dice| Value::Text((*dice.pick(known)).to_owned());
                match dice.chance(50) {
                    true => {
                        let list = (0..=dice.below(3)).map(|_| value(dice)).collect();
                        Self::In(attribute, list, dice.chance(30))
                    }
                    false => {
                        let operator = if dice.chance(80) { "=" } else { operator };
                        Self::Compare(attribute, operator, value(dice))
                    }
                }
            }
            Kind::Instant => {
                let at = Value::Instant(instant(dice));
                Self::Compare(attribute, operator, at)
            }
            Kind::Dec(_) | Kind::Int32 | Kind::Int64 => {
                let others: Vec<&Attribute> = attributes
                    .iter()
                    .filter(|other| other.kind.is_number() && **other != attribute)
                    .collect();
                if !others.is_empty() && dice.chance(25) {
                    let other = (*dice.pick(&others)).clone();
                    return Self::CompareTwo(attribute, operator, other);
                }
                let value = match dice.below(4) {
                    0 => Value::Int(0),
                    1 => Value::Int(dice.between(-3, 100)),
                    2 => Value::Dec { digits: dice.between(-500, 20_000).into(), scale: 2 },
                    _ => Value::Dec { digits: dice.between(-50, 900).into(), scale: 1 },
                };
                Self::Compare(attribute, operator, value)
            }
        }
    }

    pub(crate) fn uses_time(&self) -> bool {
        match self {
            Self::Time(..) | Self::Date(..) | Self::TimeIsNull(_) | Self::Period(..) => true,
            Self::Not(inner) => inner.uses_time(),
            Self::And(left, right) | Self::Or(left, right) => left.uses_time() || right.uses_time(),
            _ => false,
        }
    }

    /// The conditions that all have to hold.
    pub(crate) fn conjuncts(&self) -> Vec<&Condition> {
        match self {
            Self::And(left, right) => [left.conjuncts(), right.conjuncts()].concat(),
            other => vec![other],
        }
    }

    /// Over other attributes.
    pub(crate) fn mapped(&self, to: &impl Fn(&Attribute) -> Attribute) -> Self {
        let inner = |it: &Self| Box::new(it.mapped(to));
        match self {
            Self::Compare(it, operator, value) => Self::Compare(to(it), operator, value.clone()),
            Self::CompareTwo(left, operator, right) => {
                Self::CompareTwo(to(left), operator, to(right))
            }
            Self::In(it, list, negated) => Self::In(to(it), list.clone(), *negated),
            Self::IsNull(it, negated) => Self::IsNull(to(it), *negated),
            Self::Is(it) => Self::Is(to(it)),
            Self::Like(it, pattern) => Self::Like(to(it), pattern),
            Self::Not(it) => Self::Not(inner(it)),
            Self::And(left, right) => Self::And(inner(left), inner(right)),
            Self::Or(left, right) => Self::Or(inner(left), inner(right)),
            Self::Time(..) | Self::Date(..) | Self::TimeIsNull(_) | Self::Period(..) => {
                self.clone()
            }
        }
    }

    /// Both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self::And(Box::new(self), Box::new(other))
    }

    /// The attributes that it names.
    pub(crate) fn names(&self, found: &mut Vec<String>) {
        match self {
            Self::Compare(it, ..)
            | Self::In(it, ..)
            | Self::IsNull(it, _)
            | Self::Is(it)
            | Self::Like(it, _) => {
                found.push(it.name.clone());
            }
            Self::CompareTwo(left, _, right) => {
                found.extend([left.name.clone(), right.name.clone()]);
            }
            Self::Not(inner) => inner.names(found),
            Self::And(left, right) | Self::Or(left, right) => {
                left.names(found);
                right.names(found);
            }
            Self::Time(..) | Self::Date(..) | Self::TimeIsNull(_) | Self::Period(..) => {}
        }
    }

    pub(crate) fn sql(&self, names: Names) -> String {
        match self {
            Self::Compare(it, operator, value) => {
                format!("{} {operator} {}", it.sql(names), literal(value))
            }
            Self::CompareTwo(left, operator, right) => {
                format!("{} {operator} {}", left.sql(names), right.sql(names))
            }
            Self::In(it, list, negated) => {
                let list: Vec<String> = list.iter().map(literal).collect();
                let not = if *negated { "NOT " } else { "" };
                format!("{} {not}IN ({})", it.sql(names), list.join(", "))
            }
            Self::IsNull(it, negated) => format!("{} {}", it.sql(names), is_null(*negated)),
            Self::Is(it) => it.sql(names).to_owned(),
            Self::Like(it, pattern) => {
                format!("{} LIKE '{}'", it.sql(names), pattern.replace('\'', "''"))
            }
            Self::Not(inner) => format!("NOT ({})", inner.sql(names)),
            Self::And(left, right) => format!("({} AND {})", left.sql(names), right.sql(names)),
            Self::Or(left, right) => format!("({} OR {})", left.sql(names), right.sql(names)),
            Self::Time(operator, at) => {
                format!("{} {operator} {}", names.time(), literal(&Value::Wall(*at)))
            }
            Self::Date(operator, at) => {
                let (time, date) = (names.time(), &wall_text(*at)[..10]);
                format!("CAST({time} AS date) {operator} DATE '{date}'")
            }
            Self::TimeIsNull(negated) => format!("{} {}", names.time(), is_null(*negated)),
            Self::Period(grain, operator, at) => {
                let at = literal(&Value::Wall(*at));
                format!("date_trunc('{}', {}) {operator} {at}", grain.name(), names.time())
            }
        }
    }

    /// Whether it is a range of time, or all of time.
    pub(crate) fn is_range(&self) -> bool {
        match self {
            Self::Time(operator, _) | Self::Date(operator, _) | Self::Period(_, operator, _) => {
                *operator != "<>"
            }
            Self::TimeIsNull(negated) => *negated,
            _ => false,
        }
    }

    /// Whether it is a range of time that has a first moment.
    pub(crate) fn has_first(&self) -> bool {
        match self {
            Self::Time(operator, _) | Self::Date(operator, _) | Self::Period(_, operator, _) => {
                ["=", ">", ">="].contains(operator)
            }
            _ => false,
        }
    }

    /// Moments among which is the last one of a range of time, if that has a last one.
    pub(crate) fn edges(&self) -> Vec<i64> {
        let of = |grain: Grain, at: i64| {
            let begin = grain.floor(at);
            vec![begin - 1, grain.end(begin) - 1]
        };
        match self {
            Self::Time(_, at) => vec![at - 1, *at],
            Self::Date(_, at) => of(Grain::Day, *at),
            Self::Period(grain, _, at) => of(*grain, *at),
            _ => Vec::new(),
        }
    }

    /// True, false, or unknown.
    pub(crate) fn holds(&self, row: &Row, wall: Option<i64>) -> Option<bool> {
        let compare = |left: &Value, operator: &str, right: &Value| match (left, right) {
            (Value::Null, _) | (_, Value::Null) => None,
            (left, right) => Some(compared(operator, left.compare(right).unwrap())),
        };
        let moment = |at: Option<i64>| at.map_or(Value::Null, Value::Wall);
        match self {
            Self::Compare(it, operator, value) => compare(&row[&it.name], operator, value),
            Self::CompareTwo(left, operator, right) => {
                compare(&row[&left.name], operator, &row[&right.name])
            }
            Self::In(it, list, negated) => {
                let value = &row[&it.name];
                (!value.is_null()).then(|| list.contains(value) != *negated)
            }
            Self::IsNull(it, negated) => Some(row[&it.name].is_null() != *negated),
            Self::Is(it) => match row[&it.name] {
                Value::Bool(value) => Some(value),
                _ => None,
            },
            Self::Like(it, pattern) => match &row[&it.name] {
                Value::Text(text) => Some(like(text, pattern)),
                _ => None,
            },
            Self::Not(inner) => inner.holds(row, wall).map(|it| !it),
            Self::And(left, right) => match (left.holds(row, wall), right.holds(row, wall)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Or(left, right) => match (left.holds(row, wall), right.holds(row, wall)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Self::Time(operator, at) => compare(&moment(wall), operator, &Value::Wall(*at)),
            Self::Date(operator, at) => {
                let date = wall.map(|wall| Grain::Day.floor(wall));
                compare(&moment(date), operator, &Value::Wall(*at))
            }
            Self::TimeIsNull(negated) => Some(wall.is_none() != *negated),
            Self::Period(grain, operator, at) => {
                let begin = wall.map(|wall| grain.floor(wall));
                compare(&moment(begin), operator, &Value::Wall(*at))
            }
        }
    }
}

fn is_null(negated: bool) -> &'static str {
    if negated { "IS NOT NULL" } else { "IS NULL" }
}

/// SQL's LIKE, of patterns without escapes.
fn like(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) =
        (text.chars().collect(), pattern.chars().collect());
    fn matches(text: &[char], pattern: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('%', rest)) => (0..=text.len()).any(|skip| matches(&text[skip..], rest)),
            Some(('_', rest)) => !text.is_empty() && matches(&text[1..], rest),
            Some((letter, rest)) => text.first() == Some(letter) && matches(&text[1..], rest),
        }
    }
    matches(&text, &pattern)
}

/// A number of a row.
#[derive(Debug, Clone)]
pub(crate) enum Amount {
    Of(Attribute),
    Minus(Box<Amount>, Box<Amount>),
    Times(Attribute, Attribute),
    OrZero(Attribute),
    Negated(Attribute),
    When(Box<Condition>, Attribute),
}

impl Amount {
    pub(crate) fn random(dice: &mut Dice, attributes: &[Attribute]) -> Self {
        let numbers: Vec<Attribute> = attributes
            .iter()
            .filter(|it| it.kind.is_number() && it.dotted.is_some())
            .cloned()
            .collect();
        let number = dice.pick(&numbers).clone();
        // What another entity than the order hasn't is any of its numbers.
        let of = |name: &str| numbers.iter().find(|it| it.name == name).cloned();
        let known = |name: &str| of(name).unwrap_or_else(|| number.clone());
        if of("gross").is_none() {
            return match dice.below(6) {
                0 => Self::OrZero(number),
                1 => Self::Negated(number),
                2 => {
                    let when = Condition::random(dice, attributes, &[], 1);
                    Self::When(Box::new(when), number)
                }
                _ => Self::Of(number),
            };
        }
        match dice.below(10) {
            0 => Self::Minus(
                Box::new(Self::Of(known("gross"))),
                Box::new(Self::Of(known("discount"))),
            ),
            1 => Self::Minus(
                Box::new(Self::Of(known("gross"))),
                Box::new(Self::OrZero(known("discount"))),
            ),
            2 => Self::Times(known("gross"), known("quantity")),
            3 => Self::OrZero(known(dice.pick::<&str>(&["gross", "customer_score", "quantity"]))),
            4 => Self::Negated(known(dice.pick::<&str>(&["gross", "quantity"]))),
            5 => {
                let when = Condition::random(dice, attributes, &[], 1);
                Self::When(Box::new(when), number)
            }
            6 | 7 => Self::Of(known("gross")),
            _ => Self::Of(number),
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            // canon's integer constants are bigint, and so is what is computed with them.
            Self::OrZero(it) if it.kind == Kind::Int32 => Kind::Int64,
            Self::Of(it) | Self::Negated(it) | Self::When(_, it) | Self::OrZero(it) => it.kind,
            Self::Minus(left, _) => left.kind(),
            Self::Times(left, _) => left.kind,
        }
    }

    pub(crate) fn sql(&self, names: Names) -> String {
        match self {
            Self::Of(it) => it.sql(names).to_owned(),
            Self::Minus(left, right) => format!("{} - {}", left.sql(names), right.sql(names)),
            Self::Times(left, right) => format!("{} * {}", left.sql(names), right.sql(names)),
            Self::OrZero(it) => format!("coalesce({}, 0)", it.sql(names)),
            Self::Negated(it) => format!("-{}", it.sql(names)),
            Self::When(when, then) => {
                format!("case when {} then {} end", when.sql(names), then.sql(names))
            }
        }
    }

    pub(crate) fn of(&self, row: &Row) -> Value {
        match self {
            Self::Of(it) => row[&it.name].clone(),
            Self::Minus(left, right) => match (left.of(row).exact(), right.of(row).exact()) {
                (Some(left), Some(right)) => {
                    let (left, right, scale) = aligned(left, right);
                    shaped(left - right, scale, self.kind())
                }
                _ => Value::Null,
            },
            Self::Times(left, right) => match (row[&left.name].exact(), row[&right.name].exact()) {
                (Some(left), Some(right)) => {
                    shaped(left.0 * right.0, left.1 + right.1, self.kind())
                }
                _ => Value::Null,
            },
            Self::OrZero(it) => match row[&it.name].exact() {
                Some((digits, scale)) => shaped(digits, scale, it.kind),
                None => shaped(0, if let Kind::Dec(scale) = it.kind { scale } else { 0 }, it.kind),
            },
            Self::Negated(it) => match row[&it.name].exact() {
                Some((digits, scale)) => shaped(-digits, scale, it.kind),
                None => Value::Null,
            },
            Self::When(when, then) => match when.holds(row, None) {
                Some(true) => row[&then.name].clone(),
                _ => Value::Null,
            },
        }
    }
}

fn shaped(digits: i128, scale: u32, kind: Kind) -> Value {
    match kind {
        Kind::Dec(_) => Value::Dec { digits, scale },
        _ => Value::Int(i64::try_from(digits).unwrap()),
    }
}

/// What a clock in a zone shows at an instant.
pub(crate) fn wall_clock(instant: i64, zone: chrono_tz::Tz) -> i64 {
    let at = DateTime::from_timestamp_micros(instant).unwrap().with_timezone(&zone);
    let wall = at.naive_local();
    // Chrono keeps the microseconds; zones have whole seconds.
    wall.and_utc().timestamp_micros()
}
