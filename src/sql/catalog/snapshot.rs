//! What the catalogue is told: the relations of a definition set, and who asks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::sessions::SeenSessions;
use crate::sql::settings::SettingChanges;
use crate::sql::types::PgType;

/// Everything of a definition set that the catalogue shows. The schemas follow from the relations;
/// `public`, `metrics`, `segments` and `canon` are there without any.
#[derive(Debug, Clone, Default)]
pub struct CatalogSnapshot {
    pub relations: Vec<CatalogRelation>,
}

/// One relation, shown as a base table.
#[derive(Debug, Clone)]
pub struct CatalogRelation {
    pub schema: String,
    pub name: String,
    pub comment: Option<String>,
    pub columns: Vec<CatalogColumn>,
    /// The columns of its key; empty where it has none.
    pub primary_key: Vec<String>,
    pub foreign_keys: Vec<CatalogForeignKey>,
    /// Rows, as far as known.
    pub estimated_rows: Option<i64>,
}

/// One column, in the order in which clients see it.
#[derive(Debug, Clone)]
pub struct CatalogColumn {
    pub name: String,
    pub pg_type: PgType,
    pub not_null: bool,
    pub comment: Option<String>,
}

/// A reference to another relation's key.
#[derive(Debug, Clone)]
pub struct CatalogForeignKey {
    pub columns: Vec<String>,
    pub schema: String,
    pub relation: String,
    pub referenced_columns: Vec<String>,
}

/// What functions and a few relations answer with about the session; one per statement.
#[derive(Debug, Clone)]
pub struct CatalogSession {
    pub role: String,
    pub database: String,
    pub application_name: String,
    pub backend_pid: i32,
    /// Every setting that `SHOW` knows, by the name that Postgres shows.
    pub settings: Arc<BTreeMap<String, String>>,
    /// The statement's time.
    pub now: DateTime<Utc>,
    /// Where calls of `set_config` are put.
    pub changes: SettingChanges,
    /// How long `pg_sleep` makes the statement wait.
    pub pause: Pause,
    /// What sessions do and hold, for a query that [asks for it](super::CatalogQuery).
    pub seen: Arc<SeenSessions>,
}

/// How long a statement's rows are held back for `pg_sleep`. The functions only say so, and whoever
/// sends the rows waits: no thread is kept from other statements.
#[derive(Debug, Clone, Default)]
pub struct Pause(Arc<AtomicU64>);

/// No statement sleeps longer than Postgres's timers count.
const PAUSE_MAX: Duration = Duration::from_secs(24 * 24 * 3600);

impl Pause {
    pub(super) fn add(&self, seconds: f64) {
        let pause = Duration::try_from_secs_f64(seconds.clamp(0.0, PAUSE_MAX.as_secs_f64()));
        let micros = u64::try_from(pause.unwrap_or_default().as_micros()).unwrap_or_default();
        self.0.fetch_add(micros, Ordering::Relaxed);
    }

    /// What has come together since it was asked last.
    #[must_use]
    pub fn take(&self) -> Duration {
        Duration::from_micros(self.0.swap(0, Ordering::Relaxed)).min(PAUSE_MAX)
    }
}

/// Facts of a Postgres server that clients read as settings, where the session has none of its own.
const FIXED_SETTINGS: [(&str, &str); 12] = [
    ("block_size", "8192"),
    ("default_table_access_method", "heap"),
    ("default_tablespace", ""),
    ("jit", "off"),
    ("lc_collate", "C.UTF-8"),
    ("lc_ctype", "C.UTF-8"),
    ("max_identifier_length", "63"),
    ("max_index_keys", "32"),
    ("segment_size", "131072"),
    ("transaction_isolation", "read committed"),
    ("transaction_read_only", "on"),
    ("wal_block_size", "8192"),
];

impl CatalogSession {
    /// A setting by its name in any case.
    pub(super) fn setting(&self, name: &str) -> Option<&str> {
        let name = name.to_lowercase();
        let fixed = || FIXED_SETTINGS.iter().find(|(fixed, _)| *fixed == name);
        let own = self.settings.iter().find(|(own, _)| own.to_lowercase() == name);
        own.map(|(_, value)| value.as_str()).or_else(|| fixed().map(|(_, value)| *value))
    }

    /// Every setting, the session's and the fixed ones, by name.
    pub(super) fn all_settings(&self) -> BTreeMap<&str, &str> {
        let fixed = FIXED_SETTINGS.iter().copied();
        fixed
            .chain(self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            .collect()
    }

    /// The schemas of the search path as written, `"$user"` resolved to the role.
    pub(super) fn search_path(&self) -> Vec<String> {
        let path = self.setting("search_path").unwrap_or("\"$user\", public");
        path.split(',')
            .map(|part| part.trim().trim_matches('"'))
            .filter(|part| !part.is_empty())
            .map(|part| if part == "$user" { self.role.clone() } else { part.to_owned() })
            .collect()
    }
}
