//! Orders, and what follows from them: order lines and refunds.
//!
//! The three tables go through the same [`Orders`], so that the lines of an order add up to its
//! amount and refunds belong to completed orders; what differs between deliveries comes from each
//! table's own draws.

use std::sync::Arc;

use super::calendar::{Calendar, DAY, Day, HOUR, MICROS, MINUTE};
use super::cell::{Cents, Deleted, Instant, Word};
use super::delivery::{Outbox, Source};
use super::draw::Draw;
use super::people::{
    EMPLOYEE_NEVER_LOADED, EMPLOYEES, LOCATION_NEVER_LOADED, LOCATIONS, STAFF_PER_LOCATION, whole,
};
use super::table::{OrderLineRow, OrderRow, RefundRow, Size};
use super::visits::customer_of;

const LINES_MAX: usize = 4;
/// What is added to the number of an order of the archive, which isn't in `orders`.
pub(super) const ORDER_ARCHIVED: i64 = 9_000_000_000;

/// SKU, name, category, price and cost in cents.
struct Product(&'static str, &'static str, Option<&'static str>, i64, Option<i64>);

const PRODUCTS: [Product; 14] = [
    Product("HA-100", "Hörsystem Basis, Paar", Some("hearing_aid"), 89_900, Some(41_300)),
    Product("HA-300", "Hörsystem Komfort, Paar", Some("hearing_aid"), 179_900, Some(83_900)),
    Product("HA-500", "Hörsystem \"Premium\", Paar", Some("hearing_aid"), 349_900, Some(150_700)),
    Product("BA-312", "Batterien 312, 6 Stück", Some("battery"), 749, Some(211)),
    Product("BA-013", "Batterien 13, 60 Stück", Some("battery"), 4_990, Some(1_597)),
    Product("CL-001", "O'Clear Reinigungsspray", Some("care"), 1_289, Some(307)),
    Product("CL-002", "Reinigungstücher (Großpackung)", Some("care"), 1_699, Some(419)),
    Product("OT-001", "Otoplastik weiß, maßgefertigt", Some("accessory"), 6_900, Some(2_903)),
    Product("TV-001", "TV-Sender für Hörsysteme", Some("accessory"), 19_900, Some(9_001)),
    Product("CH-001", "Ladestation", Some("accessory"), 14_900, Some(6_007)),
    Product("SV-001", "Reparaturpauschale", Some("service"), 8_900, None),
    Product("SV-002", "Garantieleistung", Some("service"), 0, Some(1_103)),
    Product("BT-001", "Blutdruckmessgerät", Some("diagnostics"), 5_990, Some(2_777)),
    Product("GE-000", "Diverses", None, 997, None),
];
const PRODUCT_WEIGHTS: [u64; PRODUCTS.len()] = [5, 6, 3, 21, 13, 11, 8, 7, 5, 5, 7, 3, 4, 2];

/// Among them an apostrophe, a backslash, an umlaut and an empty one.
const COUPONS: [&str; 5] = ["Frühling25", "O'NEIL10", "50%\\off", "GOLD", ""];

const SHOP_HOURS: [u64; 24] =
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 11, 13, 9, 8, 10, 12, 13, 12, 5, 0, 0, 0, 0, 0];
const ONLINE_HOURS: [u64; 24] =
    [4, 3, 2, 1, 1, 1, 2, 3, 4, 5, 5, 5, 5, 5, 5, 5, 6, 7, 8, 10, 12, 12, 9, 6];

/// A second of the day within opening hours.
pub(super) fn shop_second(draw: &mut Draw) -> i64 {
    second_of(draw, &SHOP_HOURS)
}

fn second_of(draw: &mut Draw, hours: &[u64; 24]) -> i64 {
    let hour = draw.weighted(hours);
    (hour as u64 * 3_600 + draw.below(3_600)).cast_signed()
}

/// A location, and one of those who work there.
pub(super) struct Shop {
    pub location: i64,
    first_employee: i64,
}

impl Shop {
    /// Locations with small numbers are the busier ones.
    pub(super) fn drawn(draw: &mut Draw) -> Self {
        let position = draw.below(LOCATIONS).min(draw.below(LOCATIONS)).cast_signed();
        let staff = STAFF_PER_LOCATION.cast_signed();
        Self { location: position + 1, first_employee: position * staff + 1 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channel {
    Shop,
    Web,
    App,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Open,
    Completed { at: i64 },
    Cancelled { at: i64 },
}

#[derive(Debug, Clone, Copy)]
struct Line {
    product: usize,
    quantity: i64,
}

#[derive(Debug, Clone, Copy)]
struct Refund {
    at: i64,
    /// Of what was paid.
    percent: i64,
}

/// What really happened with one order, before any delivery of rows.
pub(super) struct Order {
    number: i64,
    channel: Channel,
    customer: Option<i64>,
    location: Option<i64>,
    placed_by: Option<i64>,
    fulfilled_by: Option<i64>,
    ordered_at: i64,
    outcome: Outcome,
    refund: Option<Refund>,
    lines: [Line; LINES_MAX],
    line_count: usize,
    discount: Option<i64>,
    coupon: Option<&'static str>,
    is_test: bool,
    /// Entered by mistake and deleted at the source.
    is_deleted: bool,
}

impl Order {
    fn lines(&self) -> &[Line] {
        &self.lines[..self.line_count]
    }

    fn gross(&self) -> i64 {
        self.lines().iter().map(|line| line.quantity * PRODUCTS[line.product].3).sum()
    }

    fn status(&self) -> &'static str {
        match (self.outcome, self.refund) {
            (Outcome::Open, _) => "open",
            (Outcome::Cancelled { .. }, _) => "cancelled",
            (Outcome::Completed { .. }, Some(Refund { percent: 100, .. })) => "refunded",
            (Outcome::Completed { .. }, _) => "completed",
        }
    }

    fn completed_at(&self) -> Option<i64> {
        match self.outcome {
            Outcome::Completed { at } => Some(at),
            Outcome::Open | Outcome::Cancelled { .. } => None,
        }
    }

    fn cancelled_at(&self) -> Option<i64> {
        match self.outcome {
            Outcome::Cancelled { at } => Some(at),
            Outcome::Open | Outcome::Completed { .. } => None,
        }
    }

    /// When its row last changed at the source.
    fn changed_at(&self) -> i64 {
        let refunded_at = self.refund.map(|refund| refund.at);
        refunded_at.or(self.completed_at()).or(self.cancelled_at()).unwrap_or(self.ordered_at)
    }
}

/// All orders, in the order of their days.
pub(super) struct Orders {
    draw: Draw,
    calendar: Arc<Calendar>,
    size: Size,
    next: u64,
}

impl Orders {
    fn new(calendar: Arc<Calendar>, size: Size) -> Self {
        Self { draw: Draw::of_stream(4), calendar, size, next: 0 }
    }

    fn channel(&mut self, day: &Day) -> Channel {
        let drawn = [Channel::Shop, Channel::Web, Channel::App][self.draw.weighted(&[55, 30, 15])];
        // Shops are closed on Sundays.
        if day.is_sunday && drawn == Channel::Shop { Channel::Web } else { drawn }
    }

    fn ordered_at(&mut self, day: &Day, channel: Channel) -> i64 {
        let (shop, online) =
            (shop_second(&mut self.draw), second_of(&mut self.draw, &ONLINE_HOURS));
        let (micros, at_midnight) = (self.draw.between(0, 999_999), self.draw.chance(25));
        let at_night = self.draw.chance(2_500);
        match channel {
            Channel::Shop => day.at(shop, micros),
            // So few come at night that the hour that autumn repeats would often stay empty.
            _ if at_night && day.is_longer() => day.starts_at + 2 * HOUR + online % 7_200 * MICROS,
            _ if at_midnight => day.starts_at,
            Channel::Web | Channel::App => day.at(online, micros),
        }
    }

    fn outcome(&mut self, channel: Channel, ordered_at: i64) -> Outcome {
        let kind = self.draw.below(1_000);
        let minutes = match channel {
            Channel::Shop => self.draw.between(3, 55),
            Channel::Web | Channel::App => self.draw.between(14 * 60, 6 * 24 * 60),
        };
        let at = ordered_at + minutes * MINUTE + self.draw.between(0, 59) * MICROS;
        match kind {
            _ if at >= self.calendar.end() => Outcome::Open,
            0..60 => Outcome::Cancelled { at },
            60..78 => Outcome::Open,
            _ => Outcome::Completed { at },
        }
    }

    fn refund(&mut self, outcome: Outcome) -> Option<Refund> {
        let (kind, days) = (self.draw.below(1_000), self.draw.between(1, 34));
        let (micros, part) =
            (self.draw.between(0, 14 * HOUR / 1_000) * 1_000, self.draw.pick(&[10, 25, 50]));
        let Outcome::Completed { at } = outcome else { return None };
        let percent = match kind {
            0..58 => 100,
            58..85 => part,
            _ => return None,
        };
        let at = at + days * DAY + micros;
        (at < self.calendar.end()).then_some(Refund { at, percent })
    }

    fn lines(&mut self, is_test: bool) -> ([Line; LINES_MAX], usize) {
        let count = self.draw.weighted(&[44, 30, 17, 9]) + 1;
        let lines = std::array::from_fn(|position| {
            let product = self.draw.weighted(&PRODUCT_WEIGHTS);
            let quantity = [1, 1, 1, 2, 3][self.draw.index(5)];
            // Testers order absurd amounts.
            Line { product, quantity: if is_test && position == 0 { 137 } else { quantity } }
        });
        (lines, count)
    }

    fn discount(&mut self, gross: i64) -> Option<i64> {
        let (kind, percent) = (self.draw.below(10), self.draw.between(3, 30));
        match kind {
            0..3 => None,
            3..5 => Some(0),
            _ => Some(gross * percent / 100),
        }
    }
}

impl Iterator for Orders {
    type Item = Order;

    /// Each order takes the same number of draws, so that one doesn't change the next.
    fn next(&mut self) -> Option<Order> {
        if self.next == self.size.orders {
            return None;
        }
        let day = self.calendar.day_of(self.next, self.size.orders);
        self.next += 1;

        let channel = self.channel(&day);
        let ordered_at = self.ordered_at(&day, channel);
        let outcome = self.outcome(channel, ordered_at);
        let refund = self.refund(outcome);
        let is_test = self.draw.chance(55);
        let (lines, line_count) = self.lines(is_test);

        let customer = customer_of(&mut self.draw, self.size.customers);
        let shop = Shop::drawn(&mut self.draw);
        let staff = STAFF_PER_LOCATION.cast_signed();
        let (seller, helper) = (self.draw.between(0, staff - 1), self.draw.between(0, staff - 1));
        let warehouse = self.draw.between(shop_staff() + 1, EMPLOYEES.cast_signed());
        let (never_loaded, who) = (self.draw.below(1_000), self.draw.below(1_000));
        let in_shop = channel == Channel::Shop;
        let completed = matches!(outcome, Outcome::Completed { .. });
        let location = if never_loaded < 6 { LOCATION_NEVER_LOADED } else { shop.location };
        let placed_by = match who {
            0..5 => Some(EMPLOYEE_NEVER_LOADED),
            5..35 => None,
            _ => Some(shop.first_employee + seller),
        };
        let fulfilled_by = if in_shop { shop.first_employee + helper } else { warehouse };

        let mut order = Order {
            number: self.next.cast_signed(),
            channel,
            customer,
            location: in_shop.then_some(location),
            placed_by: placed_by.filter(|_| in_shop),
            fulfilled_by: completed.then_some(fulfilled_by),
            ordered_at,
            outcome,
            refund,
            lines,
            line_count,
            discount: None,
            coupon: None,
            is_test,
            is_deleted: false,
        };
        order.discount = self.discount(order.gross());
        let (has_coupon, coupon) = (self.draw.chance(2_600), self.draw.pick(&COUPONS));
        order.coupon = (has_coupon && order.discount.is_some()).then_some(coupon);
        order.is_deleted = self.draw.chance(60);
        Some(order)
    }
}

fn shop_staff() -> i64 {
    (LOCATIONS * STAFF_PER_LOCATION).cast_signed()
}

/// Ingestion, mostly within seconds; one row of eighty comes days later.
fn ingested(draw: &mut Draw, changed_at: i64) -> Instant {
    let (late, days, seconds) = (draw.chance(125), draw.between(1, 6), draw.between(2, 90));
    Instant(changed_at + if late { days * DAY } else { 0 } + seconds * MICROS)
}

/// The table `orders`: CDC of a mutable table.
pub(super) struct OrderRows {
    orders: Orders,
    draw: Draw,
}

impl OrderRows {
    pub(super) fn new(calendar: Arc<Calendar>, size: Size) -> Self {
        Self { orders: Orders::new(calendar, size), draw: Draw::of_stream(5) }
    }

    fn row(&mut self, order: &Order) -> OrderRow {
        let minutes = order.completed_at().map(|at| (at - order.ordered_at) / MINUTE);
        OrderRow {
            order_id: order.number,
            customer_id: order.customer,
            location_id: order.location,
            placed_by_id: order.placed_by,
            fulfilled_by_id: order.fulfilled_by,
            channel: Word(match order.channel {
                Channel::Shop => "shop",
                Channel::Web => "web",
                Channel::App => "app",
            }),
            order_status: Word(order.status()),
            ordered_at: Instant(order.ordered_at),
            completed_at: order.completed_at().map(Instant),
            cancelled_at: order.cancelled_at().map(Instant),
            is_test: order.is_test,
            gross_amount: Cents(order.gross()),
            discount_amount: order.discount.map(Cents),
            coupon_code: order.coupon.map(Word),
            handling_minutes: minutes.map(|minutes| whole(minutes.unsigned_abs())),
            _version: 1,
            _deleted: Deleted(false),
            _ingested_at: ingested(&mut self.draw, order.changed_at()),
        }
    }

    /// The row as it stood before its last change.
    fn before(&mut self, order: &Order, now: &OrderRow) -> OrderRow {
        let _ingested_at = ingested(&mut self.draw, order.ordered_at);
        if order.status() == "refunded" {
            return OrderRow { order_status: Word("completed"), _ingested_at, ..now.clone() };
        }
        OrderRow {
            order_status: Word("open"),
            completed_at: None,
            cancelled_at: None,
            fulfilled_by_id: None,
            handling_minutes: None,
            // One more article was in the basket, and no discount was known yet.
            gross_amount: Cents(now.gross_amount.0 + 12_900),
            discount_amount: None,
            coupon_code: None,
            _ingested_at,
            ..now.clone()
        }
    }
}

impl Source for OrderRows {
    type Row = OrderRow;

    fn next_into(&mut self, outbox: &mut Outbox<OrderRow>) -> bool {
        let Some(order) = self.orders.next() else { return false };
        let mut row = self.row(&order);
        let before = self.before(&order, &row);
        let (has_history, tombstone_delay) = (self.draw.chance(1_700), self.draw.below(2_000));
        if has_history {
            row._version = 2;
        }
        if order.is_deleted {
            let tombstone = OrderRow {
                _version: row._version + 1,
                _deleted: Deleted(true),
                _ingested_at: Instant(row._ingested_at.0 + HOUR),
                ..row.clone()
            };
            outbox.send_later(tombstone_delay, tombstone);
        }
        if has_history {
            outbox.send_versions(&mut self.draw, before, row);
        } else {
            outbox.send_at_least_once(&mut self.draw, row);
        }
        true
    }
}

/// The table `order_lines`: CDC of a mutable table.
pub(super) struct OrderLines {
    orders: Orders,
    draw: Draw,
}

impl OrderLines {
    pub(super) fn new(calendar: Arc<Calendar>, size: Size) -> Self {
        Self { orders: Orders::new(calendar, size), draw: Draw::of_stream(6) }
    }

    fn row(&mut self, order: &Order, position: usize, line: Line) -> OrderLineRow {
        let Product(sku, name, category, price, cost) = PRODUCTS[line.product];
        OrderLineRow {
            line_id: order.number * 8 + i64::from(whole(position as u64)) + 1,
            order_id: order.number,
            sku: Word(sku),
            product_name: Word(name),
            category: category.map(Word),
            quantity: whole(line.quantity.unsigned_abs()),
            unit_price: Cents(price),
            line_amount: Cents(line.quantity * price),
            cost_amount: cost.map(|cost| Cents(line.quantity * cost)),
            is_test: order.is_test,
            added_at: Instant(order.ordered_at),
            sold_at: order.completed_at().map(Instant),
            _version: 1,
            _deleted: Deleted(false),
            _ingested_at: ingested(&mut self.draw, order.changed_at()),
        }
    }

    fn send(&mut self, outbox: &mut Outbox<OrderLineRow>, row: OrderLineRow) {
        if !self.draw.chance(600) {
            return outbox.send_at_least_once(&mut self.draw, row);
        }
        // Two more were in the basket at first.
        let before = OrderLineRow {
            quantity: row.quantity + 2,
            line_amount: Cents(row.line_amount.0 + 2 * row.unit_price.0),
            sold_at: None,
            _ingested_at: ingested(&mut self.draw, row.added_at.0),
            ..row.clone()
        };
        outbox.send_versions(&mut self.draw, before, OrderLineRow { _version: 2, ..row });
    }

    /// A line that was taken out of the basket again.
    fn send_removed(&mut self, outbox: &mut Outbox<OrderLineRow>, order: &Order, line: Line) {
        let before = OrderLineRow { sold_at: None, ..self.row(order, order.line_count, line) };
        let removed = OrderLineRow {
            _version: 2,
            _deleted: Deleted(true),
            _ingested_at: Instant(before._ingested_at.0 + MINUTE),
            ..before.clone()
        };
        outbox.send_versions(&mut self.draw, before, removed);
    }
}

impl Source for OrderLines {
    type Row = OrderLineRow;

    fn next_into(&mut self, outbox: &mut Outbox<OrderLineRow>) -> bool {
        let Some(order) = self.orders.next() else { return false };
        for (position, line) in order.lines().iter().enumerate() {
            let row = self.row(&order, position, *line);
            self.send(outbox, row);
        }
        if self.draw.chance(150) {
            let line = Line { product: 2, quantity: 1 };
            self.send_removed(outbox, &order, line);
        }
        true
    }
}

/// The table `refunds`: a stream of events, at least once, in which a correction is an event with
/// the same number and a greater version.
pub(super) struct RefundRows {
    orders: Orders,
    draw: Draw,
}

const REASONS: [Option<&str>; 5] =
    [Some("defekt"), Some("trägt sich nicht"), Some("Fehlkauf"), Some("Kulanz"), None];
const METHODS: [&str; 3] = ["card", "transfer", "voucher"];

impl RefundRows {
    pub(super) fn new(calendar: Arc<Calendar>, size: Size) -> Self {
        Self { orders: Orders::new(calendar, size), draw: Draw::of_stream(8) }
    }

    /// The order as the event names it: now and then no order, or one of the archive.
    fn order_id(&mut self, order: &Order) -> Option<i64> {
        match self.draw.below(1_000) {
            0..7 => None,
            7..16 => Some(ORDER_ARCHIVED + order.number),
            _ => Some(order.number),
        }
    }

    fn row(&mut self, order: &Order, refund: Refund, part: i64, cents: i64) -> RefundRow {
        RefundRow {
            refund_id: order.number * 4 + part,
            order_id: self.order_id(order),
            refunded_at: Instant(refund.at + (part - 1) * 3 * MINUTE),
            amount: Cents(cents),
            reason: self.draw.pick(&REASONS).map(Word),
            method: Word(self.draw.pick(&METHODS)),
            refund_state: Word(if self.draw.chance(500) { "rejected" } else { "paid" }),
            is_test: order.is_test,
            _version: 1,
            _ingested_at: ingested(&mut self.draw, refund.at + 10 * MINUTE),
        }
    }

    fn send(&mut self, outbox: &mut Outbox<RefundRow>, row: RefundRow) {
        if !self.draw.chance(400) {
            return outbox.send_at_least_once(&mut self.draw, row);
        }
        // Typed in with two digits too many, and corrected.
        let wrong = RefundRow { amount: Cents(row.amount.0 * 100), ..row.clone() };
        let corrected =
            RefundRow { _version: 2, _ingested_at: Instant(row._ingested_at.0 + 2 * HOUR), ..row };
        outbox.send_versions(&mut self.draw, wrong, corrected);
    }
}

impl Source for RefundRows {
    type Row = RefundRow;

    fn next_into(&mut self, outbox: &mut Outbox<RefundRow>) -> bool {
        let Some(order) = self.orders.next() else { return false };
        let Some(refund) = order.refund else { return true };
        let paid = order.gross() - order.discount.unwrap_or(0);
        let cents = paid * refund.percent / 100;
        // One refund of five is paid out in two parts: two rows for one order.
        let first = if self.draw.chance(2_000) { cents * 6 / 10 } else { cents };
        let row = self.row(&order, refund, 1, first);
        self.send(outbox, row);
        if first < cents {
            let row = self.row(&order, refund, 2, cents - first);
            self.send(outbox, row);
        }
        true
    }
}
