//! When a row counts: its event, the zone of its wall clock, and what becomes of late rows.

use std::borrow::Cow;

use chrono_tz::Tz;
use datafusion::logical_expr::Expr;

/// When a row counts. Expressions follow the rule at [`Entity`](super::Entity).
#[derive(Debug, Clone, PartialEq)]
pub struct MetricTime {
    /// As written: a column or attribute.
    pub event: String,
    /// Timestamp(Microsecond, Some("UTC")).
    pub expr: Expr,
    /// When the row came in, of the same type; None where that isn't known.
    pub ingested: Option<Expr>,
    pub zone: Zone,
    /// Grains by which it may be grouped; None: all.
    pub grains: Option<Vec<String>>,
    pub late_data: LateData,
}

/// The zone in which a row has its day.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Zone {
    Named(Tz),
    /// The session's TimeZone: by declaration the answer depends on who asks.
    Session,
    /// A zone for each row: its name as text over source columns, never NULL.
    OfRow {
        /// As written: an attribute.
        written: String,
        expr: Expr,
    },
}

impl Zone {
    /// The zone's name, or where it comes from.
    pub fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Named(zone) => zone.name().into(),
            Self::Session => "session".into(),
            Self::OfRow { written, .. } => format!("{{column: {written}}}").into(),
        }
    }
}

/// When a day is closed, and what becomes of rows that come later.
///
/// A day closes at the start of (day + 1 + `window_days`) in the metric's zone. So an instant is
/// before a day's close exactly if its own day is at most `window_days` later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct LateData {
    pub window_days: u32,
    pub after: AfterClose,
}

/// What becomes of a row that comes after its day was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AfterClose {
    /// It counts on its day, which changes.
    #[default]
    Restate,
    /// It counts on the day on which it came.
    BookOnArrival,
    /// It doesn't count.
    Drop,
    /// It alone counts: for what canon itself asks of late rows.
    CountLate,
}

impl AfterClose {
    /// As written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Restate => "restate",
            Self::BookOnArrival => "book_on_arrival",
            Self::Drop => "drop",
            Self::CountLate => "count_late",
        }
    }
}
