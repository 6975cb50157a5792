//! Articles in the shops: what was counted in the stock rooms, and who supplied them when.

use std::sync::Arc;

use super::calendar::{Calendar, DAY, HOUR, MINUTE, epoch_day};
use super::cell::{Instant, Word};
use super::delivery::{Outbox, Source};
use super::draw::Draw;
use super::people::{LOCATION_CLOSED, LOCATIONS, first_load, whole};
use super::table::{ProductRow, StockCountRow};

/// What is counted, with how many pieces a shop of middling size has after a delivery.
const STOCKED: [(&str, u64); 5] =
    [("BA-312", 400), ("BA-013", 120), ("CL-001", 150), ("CL-002", 90), ("CH-001", 24)];

/// On each Saturday of the calendar; the first business day is a Wednesday.
const FIRST_SATURDAY: usize = 3;

/// Weekly counts, a row for each shop and article; one of 25 is forgotten.
pub(super) struct StockCountRows {
    draw: Draw,
    /// The Saturdays' midnights.
    weeks: Vec<i64>,
    next: u64,
    counted: i64,
}

impl StockCountRows {
    pub(super) fn new(calendar: Arc<Calendar>) -> Self {
        let weeks = calendar.days().iter().skip(FIRST_SATURDAY).step_by(7);
        let weeks = weeks.map(|day| day.starts_at).collect();
        Self { draw: Draw::of_stream(8), weeks, next: 0, counted: 0 }
    }

    /// Weeks and locations, in order.
    pub(super) fn things() -> u64 {
        Calendar::new().days().iter().skip(FIRST_SATURDAY).step_by(7).count() as u64 * LOCATIONS
    }
}

impl Source for StockCountRows {
    type Row = StockCountRow;

    fn next_into(&mut self, outbox: &mut Outbox<StockCountRow>) -> bool {
        let (week, location) = (self.next / LOCATIONS, self.next % LOCATIONS + 1);
        let week = usize::try_from(week).ok().and_then(|week| self.weeks.get(week));
        let Some(saturday) = week.copied() else { return false };
        self.next += 1;
        let closed = location == LOCATION_CLOSED && saturday > first_load() + 260 * DAY;
        for (sku, usual) in STOCKED {
            // Smaller numbers are the larger shops.
            let most = usual * (LOCATIONS + 6 - location) / LOCATIONS;
            let (on_hand, forgotten) = (self.draw.below(most + 1), self.draw.chance(400));
            let after = 17 * HOUR + self.draw.between(0, 119) * MINUTE;
            if closed || forgotten {
                continue;
            }
            self.counted += 1;
            outbox.send(StockCountRow {
                count_id: self.counted,
                location_id: location.cast_signed(),
                sku: Word(sku),
                counted_at: Instant(saturday + after),
                on_hand: whole(on_hand),
                _ingested_at: Instant(saturday + after + 5 * MINUTE),
            });
        }
        true
    }
}

/// An article, its first supplier, and the one that followed.
struct Supplied(&'static str, &'static str, Option<Change>);

/// A supplier, from a day on.
struct Change(&'static str, (i32, u32, u32));

const SUPPLIED: [Supplied; 11] = [
    Supplied("HA-100", "Klangwerk", None),
    Supplied("HA-300", "Klangwerk", Some(Change("Nordohr", (2026, 4, 1)))),
    Supplied("HA-500", "Nordohr", None),
    Supplied("BA-312", "Knopf & Zelle", Some(Change("Volta", (2025, 9, 15)))),
    Supplied("BA-013", "Knopf & Zelle", Some(Change("Volta", (2025, 9, 15)))),
    Supplied("CL-001", "O'Clear", None),
    Supplied("CL-002", "O'Clear", None),
    Supplied("OT-001", "Klangwerk", None),
    Supplied("TV-001", "Nordohr", None),
    Supplied("CH-001", "Klangwerk", Some(Change("Nordohr", (2026, 4, 1)))),
    Supplied("BT-001", "Volta", None),
];

/// How many articles have a supplier; services have none.
pub(super) const PRODUCTS: u64 = SUPPLIED.len() as u64;

/// Articles with their suppliers, a row for each time that one was theirs.
pub(super) struct ProductRows {
    next: usize,
}

impl ProductRows {
    pub(super) fn new() -> Self {
        Self { next: 0 }
    }
}

impl Source for ProductRows {
    type Row = ProductRow;

    fn next_into(&mut self, outbox: &mut Outbox<ProductRow>) -> bool {
        let Some(Supplied(sku, supplier, change)) = SUPPLIED.get(self.next) else { return false };
        self.next += 1;
        // Contracts change at midnight UTC.
        let begun = |(year, month, day)| i64::from(epoch_day(year, month, day)) * DAY;
        let row = |supplier: &'static str, from: i64, until: Option<i64>| ProductRow {
            sku: Word(sku),
            supplier: Word(supplier),
            valid_from: Instant(from),
            valid_to: until.map(Instant),
            _ingested_at: Instant(from.max(first_load())),
        };
        let changed = change.as_ref().map(|Change(_, day)| begun(*day));
        outbox.send(row(supplier, begun((2024, 1, 1)), changed));
        if let Some(Change(next, day)) = change {
            outbox.send(row(next, begun(*day), None));
        }
        true
    }
}
