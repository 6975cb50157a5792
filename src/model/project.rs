//! The project file, owners and consumers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::Weekday;
use chrono_tz::Tz;

use crate::functions::{FiscalCalendar, Grain, Unit};

/// `metrics/canon.yaml`.
#[derive(Debug, Clone)]
pub struct Project {
    pub name: String,
    /// Business time zone; a metric may override it.
    pub timezone: Tz,
    /// The day on which weeks of `metric_time` begin.
    pub week_start: Weekday,
    /// By name.
    pub calendars: BTreeMap<String, FiscalCalendar>,
    pub backend: BackendConfig,
}

/// Why a grain has no meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownGrain {
    Calendar,
    Unit,
}

/// The units of fiscal calendars.
const FISCAL_UNITS: [Unit; 4] = [Unit::Week, Unit::Month, Unit::Quarter, Unit::Year];

impl Project {
    /// The grain that is written `month`, or with a calendar's name `retail.month`.
    ///
    /// # Errors
    /// Calendars and units that don't exist.
    pub fn grain(&self, written: &str) -> Result<Grain, UnknownGrain> {
        let Some((calendar, unit)) = written.split_once('.') else {
            let unit = Unit::parse(written).filter(|unit| unit.truncates());
            let unit = unit.ok_or(UnknownGrain::Unit)?;
            return Ok(Grain::new(unit, self.week_start));
        };
        let calendar = calendar.trim().to_ascii_lowercase();
        let calendar = *self.calendars.get(&calendar).ok_or(UnknownGrain::Calendar)?;
        let unit = Unit::parse(unit).filter(|unit| calendar.has(*unit));
        Ok(Grain::Fiscal(calendar, unit.ok_or(UnknownGrain::Unit)?))
    }

    /// As [`Self::grain`] reads it.
    pub fn grain_name(&self, grain: Grain) -> String {
        let unit = grain.unit().name();
        let Grain::Fiscal(own, _) = grain else { return unit.to_owned() };
        let named = self.calendars.iter().find(|(_, calendar)| **calendar == own);
        named.map_or_else(|| unit.to_owned(), |(name, _)| format!("{name}.{unit}"))
    }

    /// The periods of its calendars, as [`Self::grain`] reads them.
    pub fn fiscal_grains(&self) -> impl Iterator<Item = String> {
        self.calendars.iter().flat_map(|(name, calendar)| {
            let units = FISCAL_UNITS.into_iter().filter(|unit| calendar.has(*unit));
            units.map(move |unit| format!("{name}.{}", unit.name()))
        })
    }
}

/// Which backend the definitions are written for; the command line overrides it.
#[derive(Debug, Clone)]
pub enum BackendConfig {
    /// A folder of Parquet and CSV files, absolute.
    Embedded {
        path: PathBuf,
    },
    ClickHouse {
        url: String,
        database: String,
        user: Option<String>,
        password_env: Option<String>,
    },
}

/// Who answers for a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub team: String,
    pub contact: Option<String>,
}

/// A known user of contracts; a login role maps to one.
#[derive(Debug, Clone)]
pub struct Consumer {
    pub name: String,
    pub owner: Owner,
    pub roles: Vec<String>,
    /// Name of a metric or segment to major version.
    pub pins: BTreeMap<String, u64>,
    /// Refuse SUM around metrics that aren't additive.
    pub strict: bool,
}
