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

const PRODUCTS_WITH_SUPPLIER: [(&str, &[(&str, Option<(i32, u32, u32)>)]); 11] = [
    ("HA-100", &[("Klangwerk", None)]),
    ("HA-300", &[("Klangwerk", None), ("Nordohr", Some((2026, 4, 1)))]),
    ("HA-500", &[("Nordohr", None)]),
    ("BA-312", &[("Knopf & Zelle", None), ("Volta", Some((2025, 9, 15)))]),
    ("BA-013", &[("Knopf & Zelle", None), ("Volta", Some((2025, 9, 15)))]),
    ("CL-001", &[("O'Clear", None)]),
    ("CL-002", &[("O'Clear", None)]),
    ("OT-001", &[("Klangwerk", None)]),
    ("TV-001", &[("Nordohr", None)]),
    ("CH-001", &[("Klangwerk", None), ("Nordohr", Some((2026, 4, 1)))]),
    ("BT-001", &[("Volta", None)]),
];

/// How many articles have a supplier; services have none.
pub(super) const PRODUCTS: u64 = PRODUCTS_WITH_SUPPLIER.len() as u64;

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
        let Some((sku, suppliers)) = PRODUCTS_WITH_SUPPLIER.get(self.next) else { return false };
        self.next += 1;
        // Contracts change at midnight UTC.
        let begins = |from: &Option<(i32, u32, u32)>| match from {
            Some((year, month, day)) => i64::from(epoch_day(*year, *month, *day)) * DAY,
            None => i64::from(epoch_day(2024, 1, 1)) * DAY,
        };
        for (index, (supplier, from)) in suppliers.iter().enumerate() {
            let until = suppliers.get(index + 1).map(|(_, from)| Instant(begins(from)));
            outbox.send(ProductRow {
                sku: Word(sku),
                supplier: Word(supplier),
                valid_from: Instant(begins(from)),
                valid_to: until,
                _ingested_at: Instant(begins(from).max(first_load())),
            });
        }
        true
    }
}
