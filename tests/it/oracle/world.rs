//! Random rows of a small company, and what each order looks like with everything it belongs to.

use std::collections::BTreeMap;

use chrono::{TimeZone, Utc};

use super::dice::Dice;
use super::value::Value;

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
    fn value<'r>(&self, row: &'r [Value], column: &str) -> &'r Value {
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
}

/// An attribute as seen from an order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Attribute {
    /// `customer_country`.
    pub(crate) name: String,
    /// `customer.country`, as definitions may write it.
    pub(crate) dotted: String,
    pub(crate) kind: Kind,
    pub(crate) hidden: bool,
}

/// The values of an order's attributes, by name.
pub(crate) type Row = BTreeMap<String, Value>;

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) tables: Vec<Table>,
    pub(crate) entities: Vec<Entity>,
}

pub(crate) const ORDERS: usize = 0;
const CUSTOMERS: usize = 1;
const REGIONS: usize = 2;

/// Texts that break what isn't escaped.
pub(crate) const CHANNELS: [&str; 6] = ["shop", "web", "O'Brien", "a\\", "", "ünï"];
pub(crate) const STATUSES: [&str; 3] = ["placed", "completed", "refunded"];
pub(crate) const COUNTRIES: [&str; 4] = ["DE", "FR", "(none)", "de"];
const REGION_NAMES: [&str; 3] = ["North", "South", "(unknown)"];

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
        let tables = vec![
            order_rows(dice, orders, customers, entities[ORDERS].dedupe),
            customer_rows(dice, customers, regions, entities[CUSTOMERS].dedupe),
            region_rows(dice, regions),
        ];
        Self { tables, entities }
    }

    /// Everything that one may name about an order.
    pub(crate) fn attributes(&self) -> Vec<Attribute> {
        let mut found = Vec::new();
        self.collect_attributes(ORDERS, "", "", &mut found);
        found
    }

    fn collect_attributes(
        &self,
        entity: usize,
        prefix: &str,
        dotted: &str,
        found: &mut Vec<Attribute>,
    ) {
        let table = &self.tables[entity];
        for (name, column, hidden) in &self.entities[entity].attributes {
            let kind = table.columns.iter().find(|(other, _)| other == column).unwrap().1;
            // Hidden attributes of other entities can't be named.
            if *hidden && entity != ORDERS {
                continue;
            }
            found.push(Attribute {
                name: format!("{prefix}{name}"),
                dotted: format!("{dotted}{name}"),
                kind,
                hidden: *hidden,
            });
        }
        for link in &self.entities[entity].links {
            let prefix = format!("{prefix}{}_", link.role);
            let dotted = format!("{dotted}{}.", link.role);
            self.collect_attributes(link.entity, &prefix, &dotted, found);
        }
    }

    /// The orders that exist, each with all its attributes.
    pub(crate) fn orders(&self) -> Vec<Row> {
        let rows = self.current(ORDERS);
        rows.into_iter()
            .map(|row| {
                let mut values = Row::new();
                self.fill(ORDERS, Some(row), &Value::Null, "", &mut values);
                values
            })
            .collect()
    }

    /// The rows of an entity after duplicates and tombstones are gone.
    fn current(&self, entity: usize) -> Vec<&[Value]> {
        let table = &self.tables[entity];
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

    /// The attributes of an entity's row, or of none: then texts are `label`.
    fn fill(
        &self,
        entity: usize,
        row: Option<&[Value]>,
        label: &Value,
        prefix: &str,
        values: &mut Row,
    ) {
        let table = &self.tables[entity];
        for (name, column, _) in &self.entities[entity].attributes {
            let kind = table.columns.iter().find(|(other, _)| other == column).unwrap().1;
            let value = match (row, kind) {
                (Some(row), _) => table.value(row, column).clone(),
                (None, Kind::Text) => label.clone(),
                (None, _) => Value::Null,
            };
            values.insert(format!("{prefix}{name}"), value);
        }
        for link in &self.entities[entity].links {
            let text = |label: Option<&str>| label.map_or(Value::Null, |it| Value::Text(it.into()));
            let (partner, label) = match row.map(|row| table.value(row, link.key)) {
                // What lies behind an absent link is absent as that link is.
                None => (None, label.clone()),
                Some(Value::Null) => (None, text(link.missing)),
                Some(key) => {
                    let other = &self.tables[link.entity];
                    let wanted = self.entities[link.entity].key;
                    let mut rows = self.current(link.entity).into_iter();
                    (rows.find(|row| other.value(row, wanted) == key), text(link.unmatched))
                }
            };
            let prefix = format!("{prefix}{}_", link.role);
            self.fill(link.entity, partner, &label, &prefix, values);
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
    vec![
        Entity {
            name: "order",
            key: "id",
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
        },
        Entity {
            name: "customer",
            key: "id",
            attributes: vec![
                ("country", "country", false),
                ("score", "score", false),
                ("tier", "tier", false),
            ],
            links: regions,
            dedupe: dice.chance(40),
        },
        Entity {
            name: "region",
            key: "id",
            attributes: vec![("name", "name", false), ("size", "size", false)],
            links: Vec::new(),
            dedupe: false,
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
    let common = [("id", Kind::Int64), ("_version", Kind::Int64), ("_deleted", Kind::Bool)];
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

fn customer_rows(dice: &mut Dice, count: usize, regions: usize, dedupe: bool) -> Table {
    let rows = rows(dice, count, dedupe, |dice| {
        vec![
            maybe(dice, 20, |dice| text(dice, &COUNTRIES)),
            maybe(dice, 20, |dice| Value::Dec { digits: dice.between(-50, 900).into(), scale: 1 }),
            maybe(dice, 20, |dice| Value::Int(dice.between(0, 3))),
            key(dice, regions),
        ]
    });
    let columns = columns(&[
        ("country", Kind::Text),
        ("score", Kind::Dec(1)),
        ("tier", Kind::Int32),
        ("region_id", Kind::Int64),
    ]);
    Table { name: "customers", columns, rows }
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
