//! The project file, owners and consumers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::Weekday;
use chrono_tz::Tz;

/// `metrics/canon.yaml`.
#[derive(Debug, Clone)]
pub struct Project {
    pub name: String,
    /// Business time zone; a metric may override it.
    pub timezone: Tz,
    /// The day on which weeks of `metric_time` begin.
    pub week_start: Weekday,
    pub backend: BackendConfig,
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
