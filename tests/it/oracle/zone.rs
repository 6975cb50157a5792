//! The zones in which rows have their days.

use chrono_tz::Tz;

use super::value::Value;
use super::world::Row;

pub(crate) const ZONES: [Tz; 5] = [
    Tz::Europe__Berlin,
    Tz::America__New_York,
    Tz::UTC,
    Tz::Asia__Kolkata,
    Tz::Australia__Lord_Howe,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    Named(Tz),
    /// That of a row's customer; the project's, which is here, where none is known.
    OfCustomer(Tz),
}

impl Zone {
    pub(crate) fn of(self, row: &Row) -> Tz {
        match (self, row.get("customer_zone")) {
            (Self::Named(zone), _) => zone,
            (Self::OfCustomer(project), Some(Value::Text(name))) => name.parse().unwrap_or(project),
            (Self::OfCustomer(project), _) => project,
        }
    }

    /// By what clock periods are counted that have no row.
    pub(crate) fn of_no_row(self) -> Tz {
        match self {
            Self::Named(zone) | Self::OfCustomer(zone) => zone,
        }
    }

    pub(crate) fn yaml(self) -> String {
        match self {
            Self::Named(zone) => zone.name().to_owned(),
            Self::OfCustomer(_) => "{column: customer.zone}".to_owned(),
        }
    }
}
