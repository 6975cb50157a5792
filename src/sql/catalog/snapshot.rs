//! What the catalogue is told: the relations of a definition set, and who asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

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
    /// Every setting that `SHOW` knows, by lower-case name.
    pub settings: Arc<BTreeMap<String, String>>,
    /// The statement's time.
    pub now: DateTime<Utc>,
}

impl CatalogSession {
    /// A setting by its name in any case.
    pub(super) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(&name.to_lowercase()).map(String::as_str)
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
