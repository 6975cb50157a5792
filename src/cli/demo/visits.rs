//! Visits: appointments and walk-ins at a location. An exactly-once stream: no row comes twice.

use std::sync::Arc;

use super::calendar::{Calendar, DAY, MINUTE};
use super::cell::{Instant, Word};
use super::delivery::{Outbox, Source};
use super::draw::Draw;
use super::orders::{Shop, shop_second};
use super::people::{CUSTOMER_NEVER_LOADED, whole};
use super::table::{Size, VisitRow};

const KINDS: [&str; 5] = ["consultation", "fitting", "repair", "pickup", "hearing_test"];

pub(super) struct VisitRows {
    draw: Draw,
    calendar: Arc<Calendar>,
    size: Size,
    next: u64,
}

impl VisitRows {
    pub(super) fn new(calendar: Arc<Calendar>, size: Size) -> Self {
        Self { draw: Draw::of_stream(7), calendar, size, next: 0 }
    }

    fn row(&mut self) -> VisitRow {
        let draw = &mut self.draw;
        // Shops are closed on Sundays: what would fall there happens on the Monday after it.
        let day = self.calendar.day_of(self.next, self.size.orders);
        let shift = if day.is_sunday { day.ends_at - day.starts_at } else { 0 };
        let visited_at = day.at(shop_second(draw), draw.between(0, 999_999)) + shift;

        let customer = customer_of(draw, self.size.customers);
        let shop = Shop::drawn(draw);
        let at_home = draw.chance(150);
        let kind = draw.weighted(&[28, 22, 15, 20, 15]);
        let (is_no_show, is_training) = (draw.chance(700), draw.chance(120));
        let duration = 5 + draw.below(25) + draw.below(40);
        let wait = draw.below(22).min(draw.below(45));
        let (no_wait, rated) = (draw.chance(2_200), draw.chance(4_100));
        let rating = draw.below(5).max(draw.below(5)) + 1;
        let outcome = draw.weighted(&[31, 54, 15]);
        let (late, days) = (draw.chance(150), draw.between(1, 6));
        let delay = if late { days * DAY } else { MINUTE };
        VisitRow {
            visit_id: (self.next + 1).cast_signed(),
            customer_id: customer,
            location_id: (!at_home).then_some(shop.location),
            visit_kind: Word(KINDS[kind]),
            visited_at: Instant(visited_at),
            duration_minutes: if is_no_show { 0 } else { whole(duration) },
            wait_minutes: (!is_no_show && !no_wait).then(|| whole(wait)),
            rating: (!is_no_show && rated).then(|| whole(rating)),
            outcome: [Some(Word("order")), Some(Word("no_order")), None][outcome],
            is_no_show,
            is_training,
            _ingested_at: Instant(visited_at + delay),
        }
    }
}

/// Few customers come often; some visitors are unknown, some known to the old system only.
pub(super) fn customer_of(draw: &mut Draw, customers: u64) -> Option<i64> {
    let kind = draw.below(1_000);
    let number = draw.below(customers).min(draw.below(customers)).cast_signed() + 1;
    match kind {
        0..110 => None,
        110..116 => Some(CUSTOMER_NEVER_LOADED + number),
        _ => Some(number),
    }
}

impl Source for VisitRows {
    type Row = VisitRow;

    fn next_into(&mut self, outbox: &mut Outbox<VisitRow>) -> bool {
        if self.next == self.size.orders {
            return false;
        }
        let row = self.row();
        self.next += 1;
        outbox.send(row);
        true
    }
}
