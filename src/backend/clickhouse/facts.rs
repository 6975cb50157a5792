//! What the generator of ClickHouse's SQL may know of a table beyond its columns.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use arc_swap::ArcSwap;

/// How a table is stored. Column names are bare; a key's element that isn't a plain column is
/// kept as ClickHouse writes it: `toDate(ordered_at)`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableFacts {
    /// The family, without `Replicated` or `Shared`: `MergeTree`, `ReplacingMergeTree`,
    /// `Distributed`, `View`.
    pub engine: String,
    /// Of a ReplacingMergeTree: the column whose greatest value wins. None: the newest insert wins.
    pub version_column: Option<String>,
    /// Of a ReplacingMergeTree: the column that is 1 in a tombstone, which FINAL leaves out.
    pub deleted_column: Option<String>,
    /// Elements of ORDER BY: what FINAL takes for the key.
    pub sorting_key: Vec<String>,
    pub primary_key: Vec<String>,
    /// Columns that PARTITION BY reads.
    pub partition_columns: Vec<String>,
    /// Whether the server skips partitions by a filter before FINAL has compared their rows, as
    /// versions before 26.3 do.
    pub prunes_before_final: bool,
    /// Columns whose types have no place in canon, with these types: `Map(String, String)`.
    pub left_out: Vec<(String, String)>,
}

impl TableFacts {
    /// Whether FINAL gives exactly the latest row for each `by` and drops the tombstones.
    ///
    /// The sorting key has to be the key itself, in any order; a longer one would keep several rows
    /// of one key, a shorter one would lose keys. On an older server the partitions have to follow
    /// from the key too: a filter on what else they follow from would skip the partition of the
    /// newest row, and an older one would win.
    pub fn final_means(&self, by: &[String], latest: &str, deleted: Option<&str>) -> bool {
        self.engine == "ReplacingMergeTree"
            && self.version_column.as_deref() == Some(latest)
            && self.deleted_column.as_deref() == deleted
            && self.sorting_key.len() == by.len()
            && by.iter().all(|column| self.sorting_key.contains(column))
            && !(self.prunes_before_final
                && self.partition_columns.iter().any(|column| !by.contains(column)))
    }
}

/// Where the generator asks for them.
pub trait TableFactsSource: Debug + Send + Sync {
    /// None: the table was never described, so nothing may be assumed.
    fn facts(&self, table: &str) -> Option<Arc<TableFacts>>;
}

/// The facts of every table that was described, kept for the generator, which does no IO.
/// Bounded by the number of tables that the definitions name.
#[derive(Debug, Default)]
pub struct FactsMap(ArcSwap<HashMap<String, Arc<TableFacts>>>);

impl FactsMap {
    pub fn insert(&self, table: &str, facts: TableFacts) {
        let facts = Arc::new(facts);
        self.0.rcu(|map| {
            let mut map = HashMap::clone(map);
            map.insert(table.to_owned(), Arc::clone(&facts));
            map
        });
    }
}

impl TableFactsSource for FactsMap {
    fn facts(&self, table: &str) -> Option<Arc<TableFacts>> {
        self.0.load().get(table).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replacing(sorting_key: &[&str], deleted: Option<&str>) -> TableFacts {
        TableFacts {
            engine: "ReplacingMergeTree".to_owned(),
            version_column: Some("_version".to_owned()),
            deleted_column: deleted.map(str::to_owned),
            sorting_key: sorting_key.iter().map(|name| (*name).to_owned()).collect(),
            ..TableFacts::default()
        }
    }

    #[test]
    fn final_needs_the_same_key_version_and_tombstone() {
        let by = ["id".to_owned(), "shop".to_owned()];
        let facts = replacing(&["shop", "id"], Some("_deleted"));
        assert!(facts.final_means(&by, "_version", Some("_deleted")));
        assert!(!facts.final_means(&by, "_version", None));
        assert!(!facts.final_means(&by, "updated_at", Some("_deleted")));
        assert!(!facts.final_means(&by[..1], "_version", Some("_deleted")));
        let longer = replacing(&["shop", "toDate(at)", "id"], Some("_deleted"));
        assert!(!longer.final_means(&by, "_version", Some("_deleted")));
        let by_month = |prunes_before_final| TableFacts {
            partition_columns: vec!["completed_at".to_owned()],
            prunes_before_final,
            ..facts.clone()
        };
        assert!(by_month(false).final_means(&by, "_version", Some("_deleted")));
        assert!(!by_month(true).final_means(&by, "_version", Some("_deleted")));
    }
}
