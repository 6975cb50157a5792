//! Random rows of a small company, and what each order looks like with everything it belongs to.

use std::collections::BTreeMap;

use chrono::{TimeZone, Utc};

use super::dice::Dice;
use super::value::Value;
use super::zone::ZONES;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Int32,
    Int64,
    /// Its scale; the precision is 18.
    Dec(u32),
    Text,
    Instant,
}

impl Kind {
    pub(crate) fn yaml(self) -> String {
        match self {
            Self::Bool => "boolean".to_owned(),
            Self::Int32 => "integer".to_owned(),
            Self::Int64 => "bigint".to_owned(),
            Self::Dec(scale) => format!("decimal(18,{scale})"),
            Self::Text => "text".to_owned(),
            Self::Instant => "timestamptz".to_owned(),
        }
    }

    pub(crate) fn is_number(self) -> bool {
        matches!(self, Self::Int32 | Self::Int64 | Self::Dec(_))
    }
}

/// A physical table.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: Vec<(&'static str, Kind)>,
    pub(crate) rows: Vec<Vec<Value>>,
}

impl Table {
    pub(crate) fn kind(&self, column: &str) -> Kind {
        self.columns.iter().find(|(other, _)| *other == column).unwrap().1
    }

    pub(crate) fn value<'r>(&self, row: &'r [Value], column: &str) -> &'r Value {
        let index = self.columns.iter().position(|(name, _)| *name == column);
        &row[index.unwrap_or_else(|| panic!("no column {column}"))]
    }
}

/// A many-to-one link from an entity.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) role: &'static str,
    pub(crate) entity: usize,
    pub(crate) key: &'static str,
    pub(crate) missing: Option<&'static str>,
    pub(crate) unmatched: Option<&'static str>,
}

/// An entity over the table of the same index.
#[derive(Debug, Clone)]
pub(crate) struct Entity {
    pub(crate) name: &'static str,
    pub(crate) key: &'static str,
    /// Name, column, hidden.
    pub(crate) attributes: Vec<(&'static str, &'static str, bool)>,
    pub(crate) links: Vec<Link>,
    pub(crate) dedupe: bool,
    /// Several rows per key, each valid from `valid_from` to `valid_to`.
    pub(crate) history: bool,
    /// Columns that count as of the event, seen from a fact.
    pub(crate) at_event: Vec<&'static str>,
    pub(crate) kind: &'static str,
    /// The time of its rows.
    pub(crate) event: Option<&'static str>,
}

impl Entity {
    /// Whether its source keeps what was known at any moment, and says when.
    pub(crate) fn keeps_arrivals(&self) -> bool {
        self.history || self.kind != "state"
    }
}

/// An attribute as seen from a fact.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Attribute {
    /// `customer_country`: its key in a [`Row`].
    pub(crate) name: String,
    /// What statements write: its name, or with the alias of a relation in front.
    pub(crate) column: String,
    /// `customer.country`, as definitions may write it; None where they can't.
    pub(crate) dotted: Option<String>,
    pub(crate) kind: Kind,
    pub(crate) hidden: bool,
    /// Whether `SELECT *` has it.
    pub(crate) starred: bool,
    /// What it shows: of which entity which attribute, and when.
    target: (usize, String),
}

impl Attribute {
    /// Whether its name says as of when it is: relations of several entities don't have it.
    pub(crate) fn says_when(&self) -> bool {
        self.name.ends_with("_at_event") || self.name.ends_with("_current")
    }

    /// Whether another name is one of the same thing.
    pub(crate) fn is_also(&self, other: &Self) -> bool {
        self.target == other.target
            && (self.name.ends_with(&other.name) || other.name.ends_with(&self.name))
    }

    /// As a column of a relation with an alias.
    pub(crate) fn of(&self, alias: &str) -> Self {
        Self { column: format!("{alias}.{}", self.name), ..self.clone() }
    }

    /// With the alias in its name too: of a row that two relations make.
    pub(crate) fn renamed(&self, alias: &str) -> Self {
        let name = format!("{alias}.{}", self.name);
        Self { column: name.clone(), name, ..self.clone() }
    }
}

/// The values of a fact's attributes, by name, and its key as `id`.
pub(crate) type Row = BTreeMap<String, Value>;

/// The groups into which a segment puts customers, by key.
pub(crate) type Grades = BTreeMap<i64, Value>;

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) tables: Vec<Table>,
    pub(crate) entities: Vec<Entity>,
}

pub(crate) const ORDERS: usize = 0;
pub(crate) const CUSTOMERS: usize = 1;
const REGIONS: usize = 2;
pub(crate) const VISITS: usize = 3;
pub(crate) const LINES: usize = 4;
pub(crate) const STOCKS: usize = 5;
/// When a row came in.
pub(crate) const ARRIVAL: &str = "_ingested_at";
/// The segment of customers, as a dimension.
pub(crate) const GRADE: &str = "grade";

/// Texts that break what isn't escaped.
pub(crate) const CHANNELS: [&str; 6] = ["shop", "web", "O'Brien", "a\\", "", "ünï"];
pub(crate) const STATUSES: [&str; 3] = ["placed", "completed", "refunded"];
pub(crate) const COUNTRIES: [&str; 4] = ["DE", "FR", "(none)", "de"];
const REGION_NAMES: [&str; 3] = ["North", "South", "(unknown)"];
const CATEGORIES: [&str; 3] = ["drug", "device", "service"];
const PLACES: [&str; 2] = ["here", "there"];
const YEAR: i64 = 365 * 86_400_000_000;

impl World {
    pub(crate) fn random(dice: &mut Dice) -> Self {
        let entities = entities(dice);
        let size = |dice: &mut Dice, most: usize| match dice.chance(10) {
            true => 0,
            false => dice.below(most) + 1,
        };
        let regions = size(dice, 4);
        let customers = size(dice, 8);
        let orders = size(dice, 40);
        let (visits, lines, stocks) = (size(dice, 24), size(dice, 30), size(dice, 24));
        let tables = vec![
            order_rows(dice, orders, customers, entities[ORDERS].dedupe),
            customer_rows(dice, customers, regions, &entities[CUSTOMERS]),
            region_rows(dice, regions),
            visit_rows(dice, visits, customers, entities[VISITS].dedupe),
            line_rows(dice, lines, orders),
            stock_rows(dice, stocks, customers),
        ];
        Self { tables, entities }
    }

    /// As it was known at a moment: what came in later isn't there.
    pub(crate) fn as_of(&self, moment: i64) -> Self {
        let mut world = self.clone();
        for table in &mut world.tables {
            let arrival = table.columns.iter().position(|(name, _)| *name == ARRIVAL).unwrap();
            let came = |row: &Vec<Value>| matches!(row[arrival], Value::Instant(at) if at < moment);
            table.rows.retain(came);
        }
        world
    }

    /// Everything that one may name about an entity's rows.
    pub(crate) fn attributes(&self, entity: usize) -> Vec<Attribute> {
        let mut found = Vec::new();
        self.collect_attributes(entity, "", "", true, &mut found);
        // The entity's own name in front changes nothing.
        let own = |it: &Attribute| Attribute {
            name: format!("{}_{}", self.entities[entity].name, it.name),
            column: format!("{}_{}", self.entities[entity].name, it.name),
            dotted: None,
            starred: false,
            ..it.clone()
        };
        let visible: Vec<Attribute> = found.iter().filter(|it| !it.hidden).map(own).collect();
        found.extend(visible);
        found
    }

    /// The attributes whose names mean the same in several entities.
    pub(crate) fn shared_attributes(&self, entities: &[usize]) -> Vec<Attribute> {
        let Some((first, rest)) = entities.split_first() else { return Vec::new() };
        let mut shared = self.attributes(*first);
        if rest.is_empty() {
            return shared;
        }
        shared.retain(|it| !it.hidden);
        for entity in rest {
            let known = self.attributes(*entity);
            shared.retain(|it| {
                known.iter().any(|other| other.name == it.name && other.target == it.target)
            });
            for it in &mut shared {
                let same = known.iter().any(|other| {
                    other.name == it.name && other.dotted.is_some() && it.dotted == other.dotted
                });
                if !same {
                    it.dotted = None;
                }
            }
        }
        shared
    }

    fn collect_attributes(
        &self,
        entity: usize,
        prefix: &str,
        dotted: &str,
        own: bool,
        found: &mut Vec<Attribute>,
    ) {
        let table = &self.tables[entity];
        let of = &self.entities[entity];
        let mut push =
            |name: String, dotted: Option<String>, kind, hidden, starred, shows: &str| {
                found.push(Attribute {
                    column: name.clone(),
                    name,
                    dotted,
                    kind,
                    hidden,
                    starred,
                    target: (entity, shows.to_owned()),
                });
            };
        for (name, column, hidden) in &of.attributes {
            let kind = table.kind(column);
            // Hidden attributes of other entities can't be named.
            if *hidden && !own {
                continue;
            }
            let full = format!("{prefix}{name}");
            push(full.clone(), Some(format!("{dotted}{name}")), kind, *hidden, true, name);
            if of.history && !own {
                for suffix in ["at_event", "current"] {
                    let shows = format!("{name}_{suffix}");
                    push(format!("{full}_{suffix}"), None, kind, false, false, &shows);
                }
            }
        }
        if entity == CUSTOMERS && !own {
            push(format!("{prefix}{GRADE}"), None, Kind::Text, false, false, GRADE);
        }
        for link in of.links.iter().filter(|link| link.key == "customer_id") {
            let name = format!("{prefix}{}", link.key);
            push(name, None, Kind::Int64, false, true, link.key);
        }
        for link in &of.links {
            let prefix = format!("{prefix}{}_", link.role);
            let dotted = format!("{dotted}{}.", link.role);
            self.collect_attributes(link.entity, &prefix, &dotted, false, found);
        }
    }

    /// The rows of an entity that exist, each with all its attributes as seen at the time that a
    /// column of it says. `now` is when the question is asked.
    pub(crate) fn facts(
        &self,
        entity: usize,
        event: Option<&str>,
        now: i64,
        grades: &Grades,
    ) -> Vec<Row> {
        let seen = Seen { world: self, now, grades };
        let table = &self.tables[entity];
        let fact = |row: &[Value]| {
            let moment = match event.map(|event| table.value(row, event)) {
                Some(Value::Instant(at)) => Some(*at),
                _ => None,
            };
            let mut values = Row::new();
            seen.fill(entity, Partner::of(row), moment, &Value::Null, "", &mut values);
            let name = self.entities[entity].name;
            let own: Vec<(String, Value)> = values
                .iter()
                .map(|(key, value)| (format!("{name}_{key}"), value.clone()))
                .collect();
            values.extend(own);
            values.insert("id".to_owned(), table.value(row, "id").clone());
            values.insert(ARRIVAL.to_owned(), table.value(row, ARRIVAL).clone());
            values
        };
        self.current(entity, now).into_iter().map(fact).collect()
    }

    /// The rows of an entity after duplicates and tombstones are gone, and what isn't valid now.
    pub(crate) fn current(&self, entity: usize, now: i64) -> Vec<&[Value]> {
        let table = &self.tables[entity];
        if self.entities[entity].history {
            let mut keys: Vec<&Value> = Vec::new();
            for row in &table.rows {
                let key = table.value(row, "id");
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
            return keys.into_iter().filter_map(|key| self.valid(entity, key, now)).collect();
        }
        if !self.entities[entity].dedupe {
            return table.rows.iter().map(Vec::as_slice).collect();
        }
        let mut newest: BTreeMap<i64, (i64, &[Value])> = BTreeMap::new();
        for row in &table.rows {
            let (Value::Int(key), Value::Int(version)) =
                (table.value(row, self.entities[entity].key), table.value(row, "_version"))
            else {
                panic!("keys and versions are never NULL");
            };
            let known = newest.get(key);
            if known.is_none_or(|(other, _)| other < version) {
                newest.insert(*key, (*version, row));
            }
        }
        let rows = newest.into_values().map(|(_, row)| row);
        rows.filter(|row| *table.value(row, "_deleted") != Value::Bool(true)).collect()
    }

    /// The row of a key in a history that is valid at a moment: of several the one that began last.
    fn valid(&self, entity: usize, key: &Value, moment: i64) -> Option<&[Value]> {
        let table = &self.tables[entity];
        let from = |row: &[Value]| match table.value(row, "valid_from") {
            Value::Instant(at) => *at,
            _ => panic!("the beginning of an interval is never NULL"),
        };
        let is_valid = |row: &&Vec<Value>| {
            let ended = matches!(table.value(row, "valid_to"), Value::Instant(to) if *to <= moment);
            table.value(row, "id") == key && from(row) <= moment && !ended
        };
        let rows = table.rows.iter().filter(is_valid).map(Vec::as_slice);
        rows.max_by_key(|row| from(row))
    }

    /// The row that a link leads to: now, and at a moment.
    fn partner(&self, entity: usize, key: &Value, now: i64, moment: Option<i64>) -> Partner<'_> {
        if self.entities[entity].history {
            let then = moment.and_then(|moment| self.valid(entity, key, moment));
            return Partner { now: self.valid(entity, key, now), then };
        }
        let table = &self.tables[entity];
        let found = self.current(entity, now).into_iter().find(|row| table.value(row, "id") == key);
        Partner { now: found, then: found }
    }
}

/// A row as it is now, and as it was at the moment of a fact.
#[derive(Clone, Copy)]
struct Partner<'w> {
    now: Option<&'w [Value]>,
    then: Option<&'w [Value]>,
}

impl<'w> Partner<'w> {
    fn of(row: &'w [Value]) -> Self {
        Self { now: Some(row), then: Some(row) }
    }
}

/// What facts are seen with.
struct Seen<'w> {
    world: &'w World,
    now: i64,
    grades: &'w Grades,
}

impl Seen<'_> {
    /// The attributes of an entity's row, or of none: then texts are `label`.
    fn fill(
        &self,
        entity: usize,
        partner: Partner<'_>,
        moment: Option<i64>,
        label: &Value,
        prefix: &str,
        values: &mut Row,
    ) {
        let (table, of) = (&self.world.tables[entity], &self.world.entities[entity]);
        let at = |column: &str| match of.history && of.at_event.contains(&column) {
            true => partner.then,
            false => partner.now,
        };
        for (name, column, _) in &of.attributes {
            let shown = |row: Option<&[Value]>| match (row, table.kind(column)) {
                (Some(row), _) => table.value(row, column).clone(),
                (None, Kind::Text) => label.clone(),
                (None, _) => Value::Null,
            };
            values.insert(format!("{prefix}{name}"), shown(at(column)));
            if of.history {
                values.insert(format!("{prefix}{name}_at_event"), shown(partner.then));
                values.insert(format!("{prefix}{name}_current"), shown(partner.now));
            }
        }
        if entity == CUSTOMERS {
            let grade = partner.now.map(|row| match table.value(row, "id") {
                Value::Int(key) => self.grades.get(key).cloned().unwrap_or(Value::Null),
                _ => Value::Null,
            });
            values.insert(format!("{prefix}{GRADE}"), grade.unwrap_or_else(|| label.clone()));
        }
        for link in &of.links {
            let text = |label: Option<&str>| label.map_or(Value::Null, |it| Value::Text(it.into()));
            let key = at(link.key).map(|row| table.value(row, link.key));
            values.insert(format!("{prefix}{}", link.key), key.cloned().unwrap_or(Value::Null));
            let nobody = Partner { now: None, then: None };
            let (partner, label) = match key {
                // What lies behind an absent link is absent as that link is.
                None => (nobody, label.clone()),
                Some(Value::Null) => (nobody, text(link.missing)),
                Some(key) => {
                    (self.world.partner(link.entity, key, self.now, moment), text(link.unmatched))
                }
            };
            let prefix = format!("{prefix}{}_", link.role);
            self.fill(link.entity, partner, moment, &label, &prefix, values);
        }
    }
}

fn entities(dice: &mut Dice) -> Vec<Entity> {
    let mut label = |text: &'static str| dice.chance(40).then_some(text);
    let customer =
        |role, key, missing, unmatched| Link { role, entity: CUSTOMERS, key, missing, unmatched };
    let mut links = vec![customer("customer", "customer_id", label("(none)"), label("(unknown)"))];
    let seller = customer("seller", "seller_id", label("nobody"), label("(unknown)"));
    let region = Link {
        role: "region",
        entity: REGIONS,
        key: "region_id",
        missing: label("(no region)"),
        unmatched: label("(lost)"),
    };
    if dice.chance(50) {
        links.push(seller);
    }
    let regions = if dice.chance(60) { vec![region] } else { Vec::new() };
    let mut of_customer = |role| {
        let mut label = |text: &'static str| dice.chance(40).then_some(text);
        customer(role, "customer_id", label("(none)"), label("(unknown)"))
    };
    let (visitor, holder) = (of_customer("customer"), of_customer("customer"));
    let order = Link {
        role: "order",
        entity: ORDERS,
        key: "order_id",
        missing: dice.chance(40).then_some("(no order)"),
        unmatched: dice.chance(40).then_some("(lost order)"),
    };
    let history = dice.chance(40);
    let at_event = match history {
        true => dice.some(&["country", "score", "tier", "region_id"], 4),
        false => Vec::new(),
    };
    let plain = |name, key| Entity {
        name,
        key,
        attributes: Vec::new(),
        links: Vec::new(),
        dedupe: false,
        history: false,
        at_event: Vec::new(),
        kind: "state",
        event: None,
    };
    vec![
        Entity {
            attributes: vec![
                ("channel", "channel", false),
                ("status", "order_status", false),
                ("is_test", "is_test", true),
                ("is_gift", "is_gift", false),
                ("gross", "gross", false),
                ("discount", "discount", false),
                ("quantity", "quantity", false),
                ("points", "points", false),
                ("ordered_at", "ordered_at", false),
                ("completed_at", "completed_at", false),
            ],
            links,
            dedupe: dice.chance(50),
            event: Some("ordered_at"),
            ..plain("order", "id")
        },
        Entity {
            attributes: vec![
                ("country", "country", false),
                ("score", "score", false),
                ("tier", "tier", false),
                ("zone", "zone", false),
            ],
            links: regions,
            dedupe: !history && dice.chance(40),
            history,
            at_event,
            ..plain("customer", "id")
        },
        Entity {
            attributes: vec![("name", "name", false), ("size", "size", false)],
            ..plain("region", "id")
        },
        Entity {
            attributes: vec![
                ("channel", "channel", false),
                ("minutes", "minutes", false),
                ("paid", "paid", false),
                ("began_at", "began_at", false),
            ],
            links: vec![visitor],
            dedupe: dice.chance(40),
            kind: "events",
            event: Some("began_at"),
            ..plain("visit", "id")
        },
        Entity {
            attributes: vec![
                ("category", "category", false),
                ("pieces", "pieces", false),
                ("price", "price", false),
                ("shipped_at", "shipped_at", false),
            ],
            links: vec![order],
            event: Some("shipped_at"),
            ..plain("line", "id")
        },
        Entity {
            attributes: vec![
                ("place", "place", false),
                ("sku", "sku", false),
                ("on_hand", "on_hand", false),
                ("value", "value", false),
                ("counted_at", "counted_at", false),
            ],
            links: vec![holder],
            kind: "snapshot",
            event: Some("counted_at"),
            ..plain("stock", "id")
        },
    ]
}

fn maybe(dice: &mut Dice, nulls: usize, value: impl FnOnce(&mut Dice) -> Value) -> Value {
    if dice.chance(nulls) { Value::Null } else { value(dice) }
}

fn text(dice: &mut Dice, of: &[&str]) -> Value {
    Value::Text((*dice.pick(of)).to_owned())
}

fn money(dice: &mut Dice) -> Value {
    let digits = match dice.below(6) {
        0 => 0,
        1 => dice.between(-500, -1),
        2 => 33,
        3 => dice.between(1, 9_999_999_999),
        _ => dice.between(1, 20_000),
    };
    Value::Dec { digits: i128::from(digits), scale: 2 }
}

/// Moments around changes of the clock and the ends of periods.
pub(crate) fn instant(dice: &mut Dice) -> i64 {
    let at = |month, day, hour| Utc.with_ymd_and_hms(2026, month, day, hour, 0, 0).unwrap();
    let anchors = [
        at(3, 29, 1),
        at(10, 25, 1),
        at(3, 8, 7),
        at(11, 1, 6),
        at(1, 1, 0),
        at(3, 31, 22),
        at(4, 1, 4),
        at(10, 26, 0),
    ];
    let anchor = dice.pick(&anchors).timestamp_micros();
    const MINUTE: i64 = 60_000_000;
    anchor
        + match dice.below(6) {
            0 => 0,
            1 => -1,
            2 => dice.between(-3, 3) * 30 * MINUTE,
            3 => dice.between(-30, 30) * 60 * MINUTE,
            _ => dice.between(-4, 4) * 24 * 60 * MINUTE + dice.between(0, 86_399_999_999),
        }
}

fn key(dice: &mut Dice, count: usize) -> Value {
    // One more than there are: a key without a partner.
    let last = i64::try_from(count).unwrap() + 1;
    maybe(dice, 15, |dice| Value::Int(dice.between(1, last)))
}

/// Rows of each key: one, or with dedupe some versions, some of them delivered twice.
fn rows(
    dice: &mut Dice,
    count: usize,
    dedupe: bool,
    mut row: impl FnMut(&mut Dice) -> Vec<Value>,
) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    for key in 1..=i64::try_from(count).unwrap() {
        let versions = if dedupe { dice.between(1, 3) } else { 1 };
        for version in 1..=versions {
            let mut values = vec![Value::Int(key), Value::Int(version)];
            let deleted = dedupe && dice.chance(15);
            values.push(maybe(dice, 10, |_| Value::Bool(deleted)));
            values.push(Value::Instant(instant(dice)));
            values.extend(row(dice));
            if dedupe && dice.chance(20) {
                rows.push(values.clone());
            }
            rows.push(values);
        }
    }
    dice.shuffle(&mut rows);
    rows
}

fn columns(of: &[(&'static str, Kind)]) -> Vec<(&'static str, Kind)> {
    let common = [
        ("id", Kind::Int64),
        ("_version", Kind::Int64),
        ("_deleted", Kind::Bool),
        (ARRIVAL, Kind::Instant),
    ];
    common.into_iter().chain(of.iter().copied()).collect()
}

fn order_rows(dice: &mut Dice, count: usize, customers: usize, dedupe: bool) -> Table {
    let rows = rows(dice, count, dedupe, |dice| {
        vec![
            maybe(dice, 15, |dice| text(dice, &CHANNELS)),
            maybe(dice, 10, |dice| text(dice, &STATUSES)),
            maybe(dice, 10, |dice| Value::Bool(dice.chance(15))),
            maybe(dice, 20, |dice| Value::Bool(dice.chance(50))),
            maybe(dice, 10, money),
            maybe(dice, 25, money),
            maybe(dice, 15, |dice| Value::Int(dice.between(-2, 9))),
            maybe(dice, 15, |dice| Value::Int(dice.between(-5, 1_000_000_000_000))),
            maybe(dice, 5, |dice| Value::Instant(instant(dice))),
            maybe(dice, 25, |dice| Value::Instant(instant(dice))),
            key(dice, customers),
            key(dice, customers),
        ]
    });
    let columns = columns(&[
        ("channel", Kind::Text),
        ("order_status", Kind::Text),
        ("is_test", Kind::Bool),
        ("is_gift", Kind::Bool),
        ("gross", Kind::Dec(2)),
        ("discount", Kind::Dec(2)),
        ("quantity", Kind::Int32),
        ("points", Kind::Int64),
        ("ordered_at", Kind::Instant),
        ("completed_at", Kind::Instant),
        ("customer_id", Kind::Int64),
        ("seller_id", Kind::Int64),
    ]);
    Table { name: "orders", columns, rows }
}

fn customer_rows(dice: &mut Dice, count: usize, regions: usize, entity: &Entity) -> Table {
    let mut values = |dice: &mut Dice| {
        vec![
            maybe(dice, 20, |dice| text(dice, &COUNTRIES)),
            maybe(dice, 20, |dice| Value::Dec { digits: dice.between(-50, 900).into(), scale: 1 }),
            maybe(dice, 20, |dice| Value::Int(dice.between(0, 3))),
            maybe(dice, 30, |dice| Value::Text(dice.pick(&ZONES).name().to_owned())),
            key(dice, regions),
        ]
    };
    let rows = match entity.history {
        true => history_rows(dice, count, &mut values),
        false => rows(dice, count, entity.dedupe, |dice| {
            [vec![Value::Null, Value::Null], values(dice)].concat()
        }),
    };
    let columns = columns(&[
        ("valid_from", Kind::Instant),
        ("valid_to", Kind::Instant),
        ("country", Kind::Text),
        ("score", Kind::Dec(1)),
        ("tier", Kind::Int32),
        ("zone", Kind::Text),
        ("region_id", Kind::Int64),
    ]);
    Table { name: "customers", columns, rows }
}

/// Up to four intervals of each key: they may overlap, leave gaps, be empty, or never end.
fn history_rows(
    dice: &mut Dice,
    count: usize,
    values: &mut impl FnMut(&mut Dice) -> Vec<Value>,
) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    for key in 1..=i64::try_from(count).unwrap() {
        let mut begun: Vec<i64> = Vec::new();
        for version in 1..=dice.between(1, 4) {
            let from = if dice.chance(40) { instant(dice) - YEAR } else { instant(dice) };
            if begun.contains(&from) {
                continue;
            }
            begun.push(from);
            let to = maybe(dice, 50, |dice| Value::Instant(instant(dice)));
            let start = vec![
                Value::Int(key),
                Value::Int(version),
                Value::Bool(false),
                Value::Instant(instant(dice)),
                Value::Instant(from),
                to,
            ];
            rows.push([start, values(dice)].concat());
        }
    }
    dice.shuffle(&mut rows);
    rows
}

fn region_rows(dice: &mut Dice, count: usize) -> Table {
    let rows = rows(dice, count, false, |dice| {
        vec![
            maybe(dice, 20, |dice| text(dice, &REGION_NAMES)),
            maybe(dice, 20, |dice| Value::Int(dice.between(0, 2))),
        ]
    });
    let columns = columns(&[("name", Kind::Text), ("size", Kind::Int32)]);
    Table { name: "regions", columns, rows }
}

fn visit_rows(dice: &mut Dice, count: usize, customers: usize, dedupe: bool) -> Table {
    let rows = rows(dice, count, dedupe, |dice| {
        vec![
            maybe(dice, 15, |dice| text(dice, &CHANNELS)),
            maybe(dice, 15, |dice| Value::Int(dice.between(0, 90))),
            maybe(dice, 15, money),
            maybe(dice, 5, |dice| Value::Instant(instant(dice))),
            key(dice, customers),
        ]
    });
    let columns = columns(&[
        ("channel", Kind::Text),
        ("minutes", Kind::Int32),
        ("paid", Kind::Dec(2)),
        ("began_at", Kind::Instant),
        ("customer_id", Kind::Int64),
    ]);
    Table { name: "visits", columns, rows }
}

fn line_rows(dice: &mut Dice, count: usize, orders: usize) -> Table {
    // Few orders, so that some have several.
    let orders = orders.min(12);
    let rows = rows(dice, count, false, |dice| {
        vec![
            maybe(dice, 15, |dice| text(dice, &CATEGORIES)),
            maybe(dice, 15, |dice| Value::Int(dice.between(0, 5))),
            maybe(dice, 15, |dice| Value::Dec { digits: dice.between(0, 700).into(), scale: 2 }),
            maybe(dice, 10, |dice| Value::Instant(instant(dice))),
            key(dice, orders),
        ]
    });
    let columns = columns(&[
        ("category", Kind::Text),
        ("pieces", Kind::Int32),
        ("price", Kind::Dec(2)),
        ("shipped_at", Kind::Instant),
        ("order_id", Kind::Int64),
    ]);
    Table { name: "lines", columns, rows }
}

fn stock_rows(dice: &mut Dice, count: usize, customers: usize) -> Table {
    let rows = rows(dice, count, false, |dice| {
        vec![
            maybe(dice, 10, |dice| text(dice, &PLACES)),
            maybe(dice, 10, |dice| Value::Int(dice.between(1, 2))),
            maybe(dice, 10, |dice| Value::Int(dice.between(0, 50))),
            maybe(dice, 10, money),
            maybe(dice, 5, |dice| Value::Instant(instant(dice))),
            key(dice, customers),
        ]
    });
    let columns = columns(&[
        ("place", Kind::Text),
        ("sku", Kind::Int32),
        ("on_hand", Kind::Int32),
        ("value", Kind::Dec(2)),
        ("counted_at", Kind::Instant),
        ("customer_id", Kind::Int64),
    ]);
    Table { name: "stocks", columns, rows }
}
