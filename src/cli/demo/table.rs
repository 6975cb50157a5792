//! The tables of the demo company: their columns, and their rows as record batches.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;

use super::calendar::Calendar;
use super::cell::{Cents, Column, Date, Deleted, Instant, Word};
use super::delivery::{Arrivals, Source};
use super::orders::{OrderLines, OrderRows, RefundRows};
use super::people::{CustomerRows, EmployeeRows, LocationRows};
use super::stock::{self, ProductRows, StockCountRows};
use super::visits::VisitRows;

/// How many business things of each kind there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub orders: u64,
    pub customers: u64,
}

impl Size {
    pub(super) fn of(orders: u64) -> Self {
        Self { orders, customers: (orders / 5).max(20) }
    }
}

/// How ClickHouse keeps a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    /// The latest `_version` for each key, without those that are `_deleted`.
    Latest { key: &'static str },
    /// Every row that came, by time.
    Events { time: &'static str, key: &'static str },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Locations,
    Employees,
    Customers,
    Orders,
    OrderLines,
    Refunds,
    Visits,
    StockCounts,
    Products,
}

/// A column as both stores declare it.
#[derive(Debug, Clone)]
pub(super) struct ColumnSpec {
    pub name: &'static str,
    pub arrow: DataType,
    pub nullable: bool,
    pub clickhouse: String,
}

/// Some rows of a table, and how many business things have been made for the table by then.
pub(super) struct Batch {
    pub rows: RecordBatch,
    pub things: u64,
}

pub(super) type Batches = Box<dyn Iterator<Item = Result<Batch, ArrowError>> + Send>;

impl Table {
    /// Small ones first, so that a mistake in the set-up shows early.
    pub(super) const ALL: [Table; 9] = [
        Table::Locations,
        Table::Employees,
        Table::Products,
        Table::StockCounts,
        Table::Customers,
        Table::Refunds,
        Table::Visits,
        Table::Orders,
        Table::OrderLines,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Locations => "locations",
            Self::Employees => "employees",
            Self::Customers => "customers",
            Self::Orders => "orders",
            Self::OrderLines => "order_lines",
            Self::Refunds => "refunds",
            Self::Visits => "visits",
            Self::StockCounts => "stock_counts",
            Self::Products => "products",
        }
    }

    pub(super) fn engine(self) -> Engine {
        match self {
            Self::Locations => Engine::Latest { key: "location_id" },
            Self::Employees => Engine::Latest { key: "employee_id" },
            Self::Customers => Engine::Latest { key: "customer_id" },
            Self::Orders => Engine::Latest { key: "order_id" },
            Self::OrderLines => Engine::Latest { key: "line_id" },
            Self::Refunds => Engine::Events { time: "refunded_at", key: "refund_id" },
            Self::Visits => Engine::Events { time: "visited_at", key: "visit_id" },
            Self::StockCounts => Engine::Events { time: "counted_at", key: "count_id" },
            Self::Products => Engine::Events { time: "valid_from", key: "sku" },
        }
    }

    /// How many business things are gone through to make this table.
    pub(super) fn things(self, size: Size) -> u64 {
        match self {
            Self::Locations => super::people::LOCATIONS,
            Self::Employees => super::people::EMPLOYEES,
            Self::Customers => size.customers,
            Self::StockCounts => StockCountRows::things(),
            Self::Products => stock::PRODUCTS,
            Self::Orders | Self::OrderLines | Self::Refunds | Self::Visits => size.orders,
        }
    }

    pub(super) fn columns(self) -> Vec<ColumnSpec> {
        match self {
            Self::Locations => LocationRow::columns(),
            Self::Employees => EmployeeRow::columns(),
            Self::Customers => CustomerRow::columns(),
            Self::Orders => OrderRow::columns(),
            Self::OrderLines => OrderLineRow::columns(),
            Self::Refunds => RefundRow::columns(),
            Self::Visits => VisitRow::columns(),
            Self::StockCounts => StockCountRow::columns(),
            Self::Products => ProductRow::columns(),
        }
    }

    pub(super) fn schema(self) -> SchemaRef {
        let columns = self.columns().into_iter();
        let fields = columns.map(|column| Field::new(column.name, column.arrow, column.nullable));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// All rows, in batches of so many.
    pub(super) fn batches(self, size: Size, rows_per_batch: usize) -> Batches {
        let calendar = Arc::new(Calendar::new());
        match self {
            Self::Locations => self.batched(LocationRows::new(), rows_per_batch),
            Self::Employees => self.batched(EmployeeRows::new(), rows_per_batch),
            Self::Customers => self.batched(CustomerRows::new(size), rows_per_batch),
            Self::Orders => self.batched(OrderRows::new(calendar, size), rows_per_batch),
            Self::OrderLines => self.batched(OrderLines::new(calendar, size), rows_per_batch),
            Self::Refunds => self.batched(RefundRows::new(calendar, size), rows_per_batch),
            Self::Visits => self.batched(VisitRows::new(calendar, size), rows_per_batch),
            Self::StockCounts => self.batched(StockCountRows::new(calendar), rows_per_batch),
            Self::Products => self.batched(ProductRows::new(), rows_per_batch),
        }
    }

    fn batched<S>(self, source: S, rows_per_batch: usize) -> Batches
    where
        S: Source<Row: Row> + Send + 'static,
        S::Row: Send,
    {
        let schema = self.schema();
        let mut arrivals = Arrivals::of(source);
        Box::new(std::iter::from_fn(move || {
            let rows: Vec<S::Row> = arrivals.by_ref().take(rows_per_batch).collect();
            if rows.is_empty() {
                return None;
            }
            let batch = RecordBatch::try_new(Arc::clone(&schema), S::Row::arrays(&rows));
            Some(batch.map(|rows| Batch { rows, things: arrivals.things() }))
        }))
    }
}

/// A row of a table.
pub(super) trait Row: Clone {
    fn columns() -> Vec<ColumnSpec>;
    fn arrays(rows: &[Self]) -> Vec<ArrayRef>;
}

/// Declares a table once: its row, its schema in both stores, and its arrays.
macro_rules! row {
    ($(#[$meta:meta])* $row:ident { $($column:ident: $kind:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        pub(super) struct $row { $(pub $column: $kind),* }

        impl Row for $row {
            fn columns() -> Vec<ColumnSpec> {
                vec![$(ColumnSpec {
                    name: stringify!($column),
                    arrow: <$kind as Column>::arrow(),
                    nullable: <$kind as Column>::nullable(),
                    clickhouse: <$kind as Column>::clickhouse(),
                }),*]
            }

            fn arrays(rows: &[Self]) -> Vec<ArrayRef> {
                vec![$(<$kind as Column>::array(rows.iter().map(|row| row.$column.clone()))),*]
            }
        }
    };
}

row!(LocationRow {
    location_id: i64,
    location_name: String,
    city: Word,
    country: Word,
    region: Option<Word>,
    format: Option<Word>,
    opened_on: Date,
    area_sqm: Option<f64>,
    _version: i64,
    _deleted: Deleted,
    _ingested_at: Instant,
});

row!(EmployeeRow {
    employee_id: i64,
    employee_code: String,
    team: Word,
    role: Word,
    hired_on: Date,
    left_on: Option<Date>,
    _version: i64,
    _deleted: Deleted,
    _ingested_at: Instant,
});

row!(CustomerRow {
    customer_id: i64,
    country: Option<Word>,
    city: Option<Word>,
    tier: Word,
    insurance: Option<Word>,
    birth_year: Option<i32>,
    email: Option<String>,
    newsletter: Option<bool>,
    is_staff: bool,
    signed_up_at: Instant,
    _version: i64,
    _deleted: Deleted,
    _ingested_at: Instant,
});

row!(OrderRow {
    order_id: i64,
    customer_id: Option<i64>,
    location_id: Option<i64>,
    placed_by_id: Option<i64>,
    fulfilled_by_id: Option<i64>,
    channel: Word,
    order_status: Word,
    ordered_at: Instant,
    completed_at: Option<Instant>,
    cancelled_at: Option<Instant>,
    is_test: bool,
    gross_amount: Cents,
    discount_amount: Option<Cents>,
    coupon_code: Option<Word>,
    handling_minutes: Option<i32>,
    _version: i64,
    _deleted: Deleted,
    _ingested_at: Instant,
});

row!(OrderLineRow {
    line_id: i64,
    order_id: i64,
    sku: Word,
    product_name: Word,
    category: Option<Word>,
    quantity: i32,
    unit_price: Cents,
    line_amount: Cents,
    cost_amount: Option<Cents>,
    is_test: bool,
    added_at: Instant,
    sold_at: Option<Instant>,
    _version: i64,
    _deleted: Deleted,
    _ingested_at: Instant,
});

row!(RefundRow {
    refund_id: i64,
    order_id: Option<i64>,
    refunded_at: Instant,
    amount: Cents,
    reason: Option<Word>,
    method: Word,
    refund_state: Word,
    is_test: bool,
    _version: i64,
    _ingested_at: Instant,
});

row!(VisitRow {
    visit_id: i64,
    customer_id: Option<i64>,
    location_id: Option<i64>,
    visit_kind: Word,
    visited_at: Instant,
    duration_minutes: i32,
    wait_minutes: Option<i32>,
    rating: Option<i32>,
    outcome: Option<Word>,
    is_no_show: bool,
    is_training: bool,
    _ingested_at: Instant,
});

row!(StockCountRow {
    count_id: i64,
    location_id: i64,
    sku: Word,
    counted_at: Instant,
    on_hand: i32,
    _ingested_at: Instant,
});

row!(ProductRow {
    sku: Word,
    supplier: Word,
    valid_from: Instant,
    valid_to: Option<Instant>,
    _ingested_at: Instant,
});
