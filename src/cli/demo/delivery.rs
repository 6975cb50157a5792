//! At-least-once delivery: rows come again, come late, and overtake one another, within bounds.

use std::collections::{BTreeMap, VecDeque};

use super::draw::Draw;

/// How many things may pass before a delayed row arrives. It bounds the rows that wait in memory,
/// whatever the scale.
pub(super) const DELAY_MAX: u64 = 4_000;

/// Makes the rows of one table, business thing by business thing.
pub(super) trait Source {
    type Row: Clone;

    /// Sends the rows of the next thing; false where there is none.
    fn next_into(&mut self, outbox: &mut Outbox<Self::Row>) -> bool;
}

/// Rows on their way into a table.
pub(super) struct Outbox<Row> {
    /// Things made so far.
    things: u64,
    ready: VecDeque<Row>,
    /// By the thing after which each arrives, then in the order of sending.
    delayed: BTreeMap<(u64, u64), Row>,
    sent: u64,
}

impl<Row: Clone> Outbox<Row> {
    /// Sends a row that arrives at once.
    pub(super) fn send(&mut self, row: Row) {
        self.ready.push_back(row);
    }

    /// Sends a row that arrives after so many further things.
    pub(super) fn send_later(&mut self, delay: u64, row: Row) {
        self.sent += 1;
        self.delayed.insert((self.things + delay.min(DELAY_MAX), self.sent), row);
    }

    /// Sends a row, and sometimes the very same row again.
    pub(super) fn send_at_least_once(&mut self, draw: &mut Draw, row: Row) {
        let (again, delay) = (draw.chance(300), draw.below(DELAY_MAX));
        if again {
            self.send_later(delay, row.clone());
        }
        self.send(row);
    }

    /// Sends an older and a newer row of one key; in one case of four the newer one comes first.
    pub(super) fn send_versions(&mut self, draw: &mut Draw, older: Row, newer: Row) {
        let (overtakes, delay) = (draw.chance(2_500), 1 + draw.below(DELAY_MAX - 1));
        let (first, second) = if overtakes { (newer, older) } else { (older, newer) };
        self.send_at_least_once(draw, first);
        self.send_later(delay, second);
    }

    fn arrived(&mut self, all_made: bool) -> Option<Row> {
        if let Some(entry) = self.delayed.first_entry()
            && (all_made || entry.key().0 <= self.things)
        {
            return Some(entry.remove());
        }
        self.ready.pop_front()
    }
}

/// The rows of a source in the order of their arrival.
pub(super) struct Arrivals<S: Source> {
    source: S,
    outbox: Outbox<S::Row>,
    all_made: bool,
}

impl<S: Source> Arrivals<S> {
    pub(super) fn of(source: S) -> Self {
        let outbox =
            Outbox { things: 0, ready: VecDeque::new(), delayed: BTreeMap::new(), sent: 0 };
        Self { source, outbox, all_made: false }
    }

    /// Business things made so far.
    pub(super) fn things(&self) -> u64 {
        self.outbox.things
    }
}

impl<S: Source> Iterator for Arrivals<S> {
    type Item = S::Row;

    fn next(&mut self) -> Option<S::Row> {
        loop {
            if let Some(row) = self.outbox.arrived(self.all_made) {
                return Some(row);
            }
            if self.all_made {
                return None;
            }
            match self.source.next_into(&mut self.outbox) {
                true => self.outbox.things += 1,
                false => self.all_made = true,
            }
        }
    }
}
