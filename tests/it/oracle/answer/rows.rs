//! Which rows count for a metric, and when.

use super::reader::Reader;
use super::{Oracle, Timed, passes_filter};
use crate::oracle::definitions::{Late, Version};
use crate::oracle::expression::{Condition, Grain, Span, wall_clock};
use crate::oracle::question::{Question, Target};
use crate::oracle::value::Value;
use crate::oracle::world::{ARRIVAL, ORDERS, Row};
use crate::oracle::zone::Zone;

impl Oracle<'_> {
    /// The rows that a question is about, of an entity at the times of a column.
    pub(super) fn rows_of(
        &self,
        question: &Question,
        entity: usize,
        event: &'static str,
    ) -> &[Row] {
        match &question.target {
            Target::Lines(left) => &self.pairs[usize::from(*left)][&(entity, event)],
            _ => &self.facts[&(entity, event)],
        }
    }

    pub(super) fn timed<'r>(&self, rows: &'r [Row], event: &str, zone: Zone) -> Vec<Timed<'r>> {
        let timed = |row: &'r Row| match row[event] {
            Value::Instant(at) => {
                Timed { row, instant: Some(at), wall: Some(wall_clock(at, zone.of(row))) }
            }
            _ => Timed { row, instant: None, wall: None },
        };
        rows.iter().map(timed).collect()
    }

    /// The rows that count for a metric.
    pub(super) fn eligible<'r>(&self, reader: &Reader<'_>, rows: &'r [Row]) -> Vec<Timed<'r>> {
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
    pub(super) fn by_arrival(&self, version: &Version, rows: &mut Vec<Timed<'_>>) {
        let Some((days, after)) = version.late else { return };
        rows.retain_mut(|it| {
            // Of a row without a day, or without an arrival, nobody knows that it was in time.
            let (Some(wall), Value::Instant(arrival)) = (it.wall, &it.row[ARRIVAL]) else {
                return after != Late::Drop;
            };
            let arrived = *arrival;
            let arrival = wall_clock(arrived, version.zone.of(it.row));
            // Its day is open until the window after its end is over.
            let closed = Span { months: 0, days: days + 1 }.after(Grain::Day.floor(wall));
            let is_late = arrival >= closed;
            if is_late && after == Late::BookOnArrival {
                (it.instant, it.wall) = (Some(arrived), Some(arrival));
            }
            !is_late || after == Late::BookOnArrival
        });
    }

    /// The rows that count for a metric in a question, whatever its filters.
    pub(super) fn counted(&self, reader: &Reader<'_>, question: &Question) -> Vec<Timed<'_>> {
        let version = reader.version;
        let rows = self.rows_of(question, version.entities[0], version.event);
        self.eligible(reader, rows)
    }

    /// The rows of the relation itself.
    pub(super) fn plain_rows(&self, question: &Question) -> Vec<Timed<'_>> {
        let project = Zone::Named(self.definitions.zone);
        let (entity, event, zone, metric) = match &question.target {
            Target::Metric(reference) => {
                let version = self.definitions.version(*reference);
                (version.entities[0], version.event, version.zone, Some(version))
            }
            Target::Entity(entity) => {
                let event = self.world.entities[*entity].event.unwrap();
                (*entity, event, project, None)
            }
            Target::Lines(_) | Target::Across => (ORDERS, "ordered_at", project, None),
        };
        let rows = self.rows_of(question, entity, event);
        let mut rows = self.timed(rows, event, zone);
        // Rows of a metric's relation have its time; those that it drops are there all the same.
        let booked = |it: &&Version| it.late.is_some_and(|(_, after)| after == Late::BookOnArrival);
        let metric = metric.map(|version| self.definitions.first_of(version));
        if let Some(version) = metric.filter(booked) {
            self.by_arrival(version, &mut rows);
        }
        rows.retain(|it| passes_filter(it, question));
        rows
    }
}
