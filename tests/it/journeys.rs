//! Conversions, funnels and retentions over both backends against their definitions, taken word by
//! word: every target looks for its base, every chain of steps is tried, every member is followed. And
//! metrics built on journeys.
//!
//! `CANON_PROPERTY_SEED` and `CANON_PROPERTY_CASES` choose which and how many.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use canon::backend::embedded::Embedded;
use chrono::{DateTime, Datelike, Offset, TimeZone};

use crate::clickhouse_server::ClickHouseServer;
use crate::oracle::arrow::{clickhouse_statements, write_parquet};
use crate::oracle::dice::Dice;
use crate::oracle::value::{Value, wall_text};
use crate::oracle::world::{Kind, Table};
use crate::property::{Asked, Canon, Rows, number, same, shown, shown_answer};

const SEED: u64 = 7_000;
const CASES: u64 = 40;
const HOUR: i64 = 3_600_000_000;
/// 2026-03-20, ten days before clocks change in Berlin.
const START: i64 = 1_773_964_800_000_000;
const TABLES: [&str; 3] = ["first_events", "second_events", "third_events"];
const CHANNELS: [&str; 2] = ["web", "shop"];
const GRAINS: [&str; 3] = ["day", "week", "month"];

#[derive(Debug, Clone)]
struct Event {
    id: i64,
    member: i64,
    at: i64,
    channel: Value,
}

/// What becomes of late events: its name, and for how many days a day stays open.
#[derive(Debug, Clone, Copy)]
struct Late {
    after: &'static str,
    days: i64,
}

impl Late {
    /// When an event counts, if it does.
    fn at(self, at: i64, ingested: i64) -> Option<i64> {
        let day = |at| beginning("day", wall(at));
        match self.after {
            "drop" if day(ingested) > day(at) + self.days * 24 * HOUR => None,
            "book_on_arrival" if day(ingested) > day(at) + self.days * 24 * HOUR => Some(ingested),
            _ => Some(at),
        }
    }
}

/// A random company that is asked about.
struct World {
    /// Of each table those with a member and a time.
    events: Vec<Vec<Event>>,
    /// The times of those that count of each table, with a member or without.
    times: Vec<Vec<i64>>,
    late: Vec<Late>,
    /// The newest ingestion of each table.
    newest: Vec<Option<i64>>,
    tables: Vec<Table>,
    within_hours: i64,
    steps: usize,
    grain: &'static str,
    /// The time in which questions are asked.
    from: i64,
    to: i64,
}

impl World {
    fn random(dice: &mut Dice) -> Self {
        let unit = *dice.pick(&[HOUR, 5 * HOUR, 24 * HOUR, 11 * 24 * HOUR]);
        let members = dice.between(1, 4);
        let mut world = Self {
            events: Vec::new(),
            times: Vec::new(),
            late: Vec::new(),
            newest: Vec::new(),
            tables: Vec::new(),
            within_hours: dice.between(1, 8) * unit / HOUR,
            steps: 2 + dice.below(2),
            grain: *dice.pick::<&str>(&GRAINS),
            from: START + dice.between(0, 8) * unit,
            to: START + dice.between(8, 16) * unit,
        };
        for name in TABLES {
            let mut rows = Vec::new();
            let mut events = Vec::new();
            let mut times = Vec::new();
            let after = *dice.pick(&["restate", "restate", "drop", "book_on_arrival"]);
            let late = Late { after, days: dice.between(0, 3) };
            for id in 0..dice.between(0, 14) {
                let member = dice.chance(95).then(|| dice.between(1, members));
                let at = dice.chance(95).then(|| START + dice.between(0, 12) * unit);
                let channel = match dice.chance(80) {
                    true => Value::Text((*dice.pick(&CHANNELS)).to_owned()),
                    false => Value::Null,
                };
                let ingested = START + dice.between(0, 14) * unit;
                let counts = at.and_then(|at| late.at(at, ingested));
                times.extend(counts);
                if let (Some(member), Some(at)) = (member, counts) {
                    events.push(Event { id, member, at, channel: channel.clone() });
                }
                let or_null = |value: Option<Value>| value.unwrap_or(Value::Null);
                rows.push(vec![
                    Value::Int(id),
                    or_null(member.map(Value::Int)),
                    or_null(at.map(Value::Instant)),
                    channel,
                    Value::Instant(ingested),
                ]);
            }
            let instant = |row: &Vec<Value>| match row[4] {
                Value::Instant(at) => Some(at),
                _ => None,
            };
            world.newest.push(rows.iter().filter_map(instant).max());
            world.events.push(events);
            world.times.push(times);
            world.late.push(late);
            world.tables.push(Table {
                name,
                columns: vec![
                    ("id", Kind::Int64),
                    ("member_id", Kind::Int64),
                    ("happened_at", Kind::Instant),
                    ("channel", Kind::Text),
                    ("_ingested_at", Kind::Instant),
                ],
                rows,
            });
        }
        // Only some of the members are known.
        let rows = vec![vec![Value::Int(1), Value::Text("DE".to_owned())]];
        let columns = vec![("id", Kind::Int64), ("country", Kind::Text)];
        world.tables.push(Table { name: "members", columns, rows });
        world
    }

    fn definitions(&self) -> String {
        let mut yaml =
            "entity: member\nrelation: members\nowner: {team: t}\nversion: 1.0.0\nkey: id\n\
            source: {table: members, kind: state}\nattributes: [{name: country, type: text}]\n"
                .to_owned();
        for (table, late) in TABLES.into_iter().zip(&self.late) {
            let name = table.trim_end_matches('s');
            let _ = write!(
                yaml,
                "---\nentity: {name}\nrelation: {table}\nowner: {{team: t}}\nversion: 1.0.0\nkey: id\n\
                 source: {{table: {table}, kind: events, time: {{event: happened_at, ingested: _ingested_at}}}}\n\
                 attributes: [{{name: channel, type: text}}]\n\
                 relationships: [{{entity: member, key: member_id}}]\n"
            );
            let late = format!("{{correction_window: {} days, after: {}}}", late.days, late.after);
            let time =
                format!("time: {{event: happened_at, ingested: _ingested_at, late_data: {late}}}");
            yaml +=
                &metric(&format!("{name}_count"), &format!("entity: {name}, type: count, {time}"));
        }
        let within = format!("entity: member, within: {} hours", self.within_hours);
        let pair = "type: conversion, base: first_event_count@1, target: second_event_count@1";
        for (name, rest) in CONVERSIONS {
            yaml += &metric(name, &format!("{pair}, {within}, {rest}"));
        }
        let steps: Vec<String> = TABLES[..self.steps]
            .iter()
            .map(|table| format!("{}_count@1", table.trim_end_matches('s')))
            .collect();
        let funnel = format!("type: funnel, {within}, steps: [{}]", steps.join(", "));
        yaml += &metric("steps_count", &format!("{funnel}, output: count"));
        yaml += &metric("steps_rate", &format!("{funnel}, output: rate"));
        let cohort = "type: retention, cohort: first_event_count@1, active: second_event_count@1";
        let kept = format!("{cohort}, entity: member, grain: {}", self.grain);
        yaml += &metric("kept", &kept);
        yaml += &metric("kept_after_one", &format!("{kept}, filter: age = 1"));
        yaml += &metric("lost", "type: derived, expression: 1 - kept@1");
        yaml += &metric("last_web", &format!("{pair}, {within}, filter: channel = 'web'"));
        yaml += &metric("last_earlier", "type: offset, metric: last@1, by: 1 day");
        yaml += &metric("last_of_days", "type: cumulative, metric: last@1, window: 3 days");
        let sides = "numerator: second_event_count@1, denominator: first_booked@1";
        yaml += &metric("per_conversion", &format!("type: ratio, {sides}"));
        yaml
    }

    fn filter(&self) -> String {
        let wall = |at| wall_text(wall(at));
        let (from, to) = (wall(self.from), wall(self.to));
        format!("metric_time >= '{from}' AND metric_time < '{to}'")
    }

    fn is_asked(&self, at: i64) -> bool {
        (wall(self.from)..wall(self.to)).contains(&wall(at))
    }

    /// The first target of each base event that gets one.
    fn converted(&self, first_base: bool, same_channel: bool) -> BTreeMap<i64, i64> {
        let within = self.within_hours * HOUR;
        let mut converted: BTreeMap<i64, i64> = BTreeMap::new();
        for target in &self.events[1] {
            let fits = |base: &&Event| {
                base.member == target.member
                    && (!same_channel || base.channel == target.channel)
                    && base.at <= target.at
                    && target.at < base.at + within
            };
            let order = |base: &&Event| (base.at, base.id);
            let candidates = self.events[0].iter().filter(fits);
            let base = match first_base {
                true => candidates.min_by_key(order),
                false => candidates.max_by_key(order),
            };
            if let Some(base) = base {
                let first = converted.entry(base.id).or_insert(target.at);
                *first = (*first).min(target.at);
            }
        }
        converted
    }

    /// Converted and all base events by channel and day.
    fn conversion(&self, converted: &BTreeMap<i64, i64>) -> Rows {
        let mut groups: BTreeMap<(String, i64), (i64, i64)> = BTreeMap::new();
        for base in self.events[0].iter().filter(|base| self.is_asked(base.at)) {
            let day = beginning("day", wall(base.at));
            let group = groups.entry((base.channel.to_string(), day)).or_default();
            group.0 += i64::from(converted.contains_key(&base.id));
            group.1 += 1;
        }
        let row = |((channel, day), (part, all)): ((String, i64), (i64, i64))| {
            vec![unshown(&channel), Value::Wall(day), share(part, all), Value::Int(all)]
        };
        groups.into_iter().map(row).collect()
    }

    /// Base events by day, those of one channel or all: converted ones, and all.
    fn by_day(&self, channel: Option<&str>) -> BTreeMap<i64, (i64, i64)> {
        let converted = self.converted(false, false);
        let is_meant =
            |base: &&Event| channel.is_none_or(|name| base.channel == Value::Text(name.to_owned()));
        let mut days: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
        for base in self.events[0].iter().filter(is_meant) {
            let day = days.entry(beginning("day", wall(base.at))).or_default();
            day.0 += i64::from(converted.contains_key(&base.id));
            day.1 += 1;
        }
        days
    }

    /// What is built on conversions by the last base event, and on retention.
    fn built(&self, cells: &BTreeMap<(i64, i64), Option<(i64, i64)>>) -> Vec<(String, Rows)> {
        let by_day = |metric: &str| {
            format!(
                "SELECT date_trunc('day', metric_time), MEASURE({metric}) FROM metrics.{metric}"
            )
        };
        let rate = |(day, (part, all)): (i64, (i64, i64))| vec![Value::Wall(day), share(part, all)];
        let all = self.by_day(None);
        let web = self.by_day(Some("web")).into_iter().map(rate);
        let earlier = all.iter().map(|(day, cell)| rate((following("day", *day), *cell)));
        let of_days = all.keys().map(|day| {
            let within = all.range(day - 2 * 24 * HOUR..=*day);
            let add = |sum: (i64, i64), cell: &(i64, i64)| (sum.0 + cell.0, sum.1 + cell.1);
            rate((*day, within.map(|(_, cell)| cell).fold((0, 0), add)))
        });
        let mut questions = vec![
            (by_day("last_web") + " GROUP BY 1", web.collect()),
            (by_day("last_earlier") + " GROUP BY 1", earlier.collect()),
            (by_day("last_of_days") + " GROUP BY 1", of_days.collect()),
        ];
        let mut sides: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
        for at in self.times[1].iter().filter(|at| self.is_asked(**at)) {
            sides.entry(beginning("day", wall(*at))).or_default().0 += 1;
        }
        for at in self.converted(true, false).values().filter(|at| self.is_asked(**at)) {
            sides.entry(beginning("day", wall(*at))).or_default().1 += 1;
        }
        let over = |(day, (part, whole)): (i64, (i64, i64))| match whole {
            0 => vec![Value::Wall(day), Value::Null],
            whole => vec![Value::Wall(day), share(part, whole)],
        };
        let sql = format!("{} WHERE {} GROUP BY 1", by_day("per_conversion"), self.filter());
        questions.push((sql, sides.into_iter().map(over).collect()));
        let value = |cell: &Option<(i64, i64)>, of: fn(f64) -> f64| match cell {
            Some((part, all)) => Value::Float(of(*part as f64 / *all as f64)),
            None => Value::Null,
        };
        let lost = cells.iter().map(|((cohort, age), cell)| {
            vec![Value::Wall(*cohort), Value::Int(*age), value(cell, |kept| 1.0 - kept)]
        });
        let sql = "SELECT metric_time, age, MEASURE(lost) FROM metrics.lost GROUP BY 1, 2";
        questions.push((sql.to_owned(), lost.collect()));
        let after_one = cells.iter().filter(|((_, age), _)| *age == 1);
        let after_one =
            after_one.map(|((cohort, _), cell)| vec![Value::Wall(*cohort), value(cell, |it| it)]);
        let sql =
            "SELECT metric_time, MEASURE(kept_after_one) FROM metrics.kept_after_one GROUP BY 1";
        questions.push((sql.to_owned(), after_one.collect()));
        questions
    }

    /// Conversions by the day of the first target.
    fn booked(&self, converted: &BTreeMap<i64, i64>) -> Rows {
        let mut groups: BTreeMap<i64, i64> = BTreeMap::new();
        for at in converted.values().filter(|at| self.is_asked(**at)) {
            *groups.entry(beginning("day", wall(*at))).or_default() += 1;
        }
        groups.into_iter().map(|(day, count)| vec![Value::Wall(day), Value::Int(count)]).collect()
    }

    /// Whether a chain of further steps leads from a time to a step.
    fn leads(&self, member: i64, from: i64, end: i64, next: usize, to: usize) -> bool {
        next > to
            || self.events[next].iter().any(|event| {
                event.member == member
                    && (from..end).contains(&event.at)
                    && self.leads(member, event.at, end, next + 1, to)
            })
    }

    /// Members by channel and step, and their share of step 1.
    fn funnel(&self) -> Rows {
        let mut groups: BTreeMap<(String, usize), BTreeSet<i64>> = BTreeMap::new();
        for event in self.events[0].iter().filter(|event| self.is_asked(event.at)) {
            let end = event.at + self.within_hours * HOUR;
            for step in 0..self.steps {
                let members = groups.entry((event.channel.to_string(), step)).or_default();
                if self.leads(event.member, event.at, end, 1, step) {
                    members.insert(event.member);
                }
            }
        }
        let count = |members: &BTreeSet<i64>| i64::try_from(members.len()).unwrap();
        let rows = groups.iter().map(|((channel, step), members)| {
            let all = count(&groups[&(channel.clone(), 0)]);
            let number = Value::Int(i64::try_from(*step).unwrap() + 1);
            vec![unshown(channel), number, Value::Int(count(members)), share(count(members), all)]
        });
        rows.collect()
    }

    /// Active and all members by cohort and age, as long as the age is over; None while it is open.
    fn retention(&self) -> BTreeMap<(i64, i64), Option<(i64, i64)>> {
        let mut cells: BTreeMap<(i64, i64), Option<(i64, i64)>> = BTreeMap::new();
        let known = [self.newest[0], self.newest[1]].into_iter().flatten().min();
        let Some(known) = known else { return cells };
        let members: BTreeSet<i64> = self.events[0].iter().map(|event| event.member).collect();
        for member in members {
            let own = |events: &[Event]| -> Vec<i64> {
                events.iter().filter(|it| it.member == member).map(|it| it.at).collect()
            };
            let cohort =
                beginning(self.grain, wall(own(&self.events[0]).into_iter().min().unwrap()));
            let active: BTreeSet<i64> = own(&self.events[1])
                .into_iter()
                .map(|at| beginning(self.grain, wall(at)))
                .collect();
            let mut period = cohort;
            for age in 0.. {
                if period > wall(known) {
                    break;
                }
                let next = following(self.grain, period);
                let cell = cells
                    .entry((cohort, age))
                    .or_insert_with(|| (next <= wall(known)).then_some((0, 0)));
                if let Some((part, all)) = cell {
                    *part += i64::from(active.contains(&period));
                    *all += 1;
                }
                period = next;
            }
        }
        cells
    }

    /// The questions, and their answers.
    fn questions(&self) -> Vec<(String, Rows)> {
        let mut questions = Vec::new();
        for (name, _) in CONVERSIONS {
            let converted = self.converted(name.contains("first"), name.contains("channel"));
            let filter = self.filter();
            if name.contains("booked") {
                let sql = format!(
                    "SELECT date_trunc('day', metric_time), MEASURE({name}) FROM metrics.{name} \
                     WHERE {filter} GROUP BY 1"
                );
                questions.push((sql, self.booked(&converted)));
            } else {
                let sql = format!(
                    "SELECT channel, date_trunc('day', metric_time), {name}, COUNT(*) \
                     FROM metrics.{name} WHERE {filter} GROUP BY 1, 2"
                );
                questions.push((sql, self.conversion(&converted)));
            }
        }
        let by_step = |metric: &str| {
            let filter = self.filter();
            format!(
                "SELECT channel, step, MEASURE({metric}) FROM metrics.{metric} WHERE {filter} GROUP BY 1, 2"
            )
        };
        let funnel = self.funnel();
        let column = |index: usize| {
            let row = |row: &Vec<Value>| vec![row[0].clone(), row[1].clone(), row[index].clone()];
            funnel.iter().map(row).collect::<Rows>()
        };
        questions.push((by_step("steps_count"), column(2)));
        questions.push((by_step("steps_rate"), column(3)));
        let cells = self.retention();
        let value = |cell: &Option<(i64, i64)>| match cell {
            Some((part, all)) => share(*part, *all),
            None => Value::Null,
        };
        let row = |((cohort, age), cell): (&(i64, i64), &Option<(i64, i64)>)| {
            vec![Value::Wall(*cohort), Value::Int(*age), value(cell)]
        };
        let sql = "SELECT metric_time, age, MEASURE(kept) FROM metrics.kept GROUP BY 1, 2";
        questions.push((sql.to_owned(), cells.iter().map(row).collect()));
        let mut totals: BTreeMap<i64, Option<(i64, i64)>> = BTreeMap::new();
        for ((_, age), cell) in &cells {
            let total = totals.entry(*age).or_default();
            if let Some((part, all)) = cell {
                let known = total.get_or_insert((0, 0));
                *known = (known.0 + part, known.1 + all);
            }
        }
        let totals = totals.iter().map(|(age, cell)| vec![Value::Int(*age), value(cell)]);
        let sql = "SELECT age, kept FROM metrics.kept".to_owned();
        questions.push((sql, totals.collect()));
        questions.extend(self.built(&cells));
        questions
    }

    fn given(&self) -> String {
        let mut text = self.definitions();
        for table in &self.tables {
            let _ = writeln!(text, "{}: {}", table.name, shown(&table.rows));
        }
        text
    }
}

/// Names that say what they are, and what is beside base, target and window.
const CONVERSIONS: [(&str, &str); 5] = [
    ("last", "credit: last_base"),
    ("first", "credit: first_base"),
    ("last_channel", "constant: [channel]"),
    ("first_channel", "credit: first_base, constant: [channel]"),
    ("first_booked", "credit: first_base, booked_at: conversion, output: count"),
];

fn metric(name: &str, rest: &str) -> String {
    format!(
        "---\nmetric: {name}\nintent: How many?\nowner: {{team: t}}\nversions:\n  \
         - {{version: 1.0.0, status: active, released: 2026-01-01, {rest}}}\n"
    )
}

fn share(part: i64, all: i64) -> Value {
    Value::Float(part as f64 / all as f64)
}

/// A channel from its text.
fn unshown(text: &str) -> Value {
    match text {
        "NULL" => Value::Null,
        text => Value::Text(text.trim_matches('"').to_owned()),
    }
}

/// The wall clock in Berlin.
fn wall(at: i64) -> i64 {
    let instant = DateTime::from_timestamp_micros(at).unwrap().naive_utc();
    let offset = chrono_tz::Europe::Berlin.offset_from_utc_datetime(&instant).fix();
    at + i64::from(offset.local_minus_utc()) * 1_000_000
}

fn beginning(grain: &str, wall: i64) -> i64 {
    let date = DateTime::from_timestamp_micros(wall).unwrap().date_naive();
    let date = match grain {
        "day" => date,
        "week" => date - chrono::Days::new(u64::from(date.weekday().num_days_from_monday())),
        _ => date.with_day(1).unwrap(),
    };
    date.and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp_micros()
}

fn following(grain: &str, beginning: i64) -> i64 {
    let date = DateTime::from_timestamp_micros(beginning).unwrap();
    let next = match grain {
        "day" => date + chrono::Days::new(1),
        "week" => date + chrono::Days::new(7),
        _ => date + chrono::Months::new(1),
    };
    next.timestamp_micros()
}

#[tokio::test(flavor = "multi_thread")]
async fn journeys_are_those_of_their_definitions() {
    let server = ClickHouseServer::start().await;
    let seed = number("CANON_PROPERTY_SEED", SEED);
    let cases = number("CANON_PROPERTY_CASES", CASES);
    let mut wrong = String::new();
    for seed in seed..seed + cases {
        let world = World::random(&mut Dice::new(seed));
        let folder = tempfile::tempdir().unwrap();
        let (data, yaml) = (folder.path().join("data"), folder.path().join("metrics"));
        std::fs::create_dir(&data).unwrap();
        std::fs::create_dir(&yaml).unwrap();
        let project = "project: p\ntimezone: Europe/Berlin\nbackend: {embedded: {path: ../data}}\n";
        std::fs::write(yaml.join("canon.yaml"), project).unwrap();
        std::fs::write(yaml.join("all.yaml"), world.definitions()).unwrap();
        for table in &world.tables {
            write_parquet(table, &data);
            let drop = format!("DROP TABLE IF EXISTS {} SYNC", table.name);
            let statements = [vec![drop], clickhouse_statements(table)].concat();
            server.run(&statements.iter().map(String::as_str).collect::<Vec<_>>()).await;
        }
        let embedded = Canon::open(Arc::new(Embedded::open(&data).unwrap()), &yaml).await;
        let clickhouse = Canon::open(Arc::new(server.backend()), &yaml).await;
        for (sql, expected) in world.questions() {
            let answers: [(&str, Asked); 2] = [
                ("embedded", embedded.ask(&sql, "", "UTC").await),
                ("ClickHouse", clickhouse.ask(&sql, "", "Asia/Tokyo").await),
            ];
            for (name, answer) in answers.iter().filter(|(_, answer)| !same(&expected, answer)) {
                let (expected, found) = (shown(&expected), shown_answer(answer));
                let _ = write!(wrong, "seed {seed}\n{sql}\nexpected {expected}{name} {found}");
                let _ = writeln!(wrong, "{}", world.given());
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.chars().take(12_000).collect::<String>());
}
