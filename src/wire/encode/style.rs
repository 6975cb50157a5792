//! How a session wants its values written.

use crate::session::SessionSettings;
use crate::sql::timezone::TimeZone;

/// The settings that change texts of values.
pub(in crate::wire) struct Style {
    /// In which timestamptz is shown.
    pub(in crate::wire) zone: TimeZone,
    pub(super) dates: DateFormat,
    /// The day comes before the month, where the format leaves that open.
    pub(super) day_first: bool,
    pub(super) intervals: IntervalFormat,
    /// `extra_float_digits`: above 0, the shortest text that reads back as the same number.
    pub(super) float_digits: i32,
    /// `bytea_output` is escape, not hex.
    pub(super) escapes_bytes: bool,
}

/// `DateStyle`, the first part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DateFormat {
    Iso,
    Sql,
    Postgres,
    German,
}

/// `IntervalStyle`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IntervalFormat {
    Postgres,
    Verbose,
    SqlStandard,
    Iso8601,
}

impl Style {
    /// The defaults, in a zone.
    pub(super) fn plain(zone: TimeZone) -> Self {
        Self {
            zone,
            dates: DateFormat::Iso,
            day_first: false,
            intervals: IntervalFormat::Postgres,
            float_digits: 1,
            escapes_bytes: false,
        }
    }

    pub(in crate::wire) fn of(settings: &SessionSettings) -> Self {
        let get = |name: &str| settings.get(name).unwrap_or_default();
        let (format, order) = get("datestyle").split_once(", ").unwrap_or_default();
        let dates = match format {
            "SQL" => DateFormat::Sql,
            "Postgres" => DateFormat::Postgres,
            "German" => DateFormat::German,
            _ => DateFormat::Iso,
        };
        let intervals = match get("intervalstyle") {
            "postgres_verbose" => IntervalFormat::Verbose,
            "sql_standard" => IntervalFormat::SqlStandard,
            "iso_8601" => IntervalFormat::Iso8601,
            _ => IntervalFormat::Postgres,
        };
        Self {
            zone: settings.time_zone(),
            dates,
            day_first: order == "DMY",
            intervals,
            float_digits: get("extra_float_digits").parse().unwrap_or(1),
            escapes_bytes: get("bytea_output") == "escape",
        }
    }
}
