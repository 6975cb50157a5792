//! The definitions in force: a checked set with what follows from it, swapped whole.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use datafusion::catalog::TableProvider;

use super::catalog_view::snapshot_of;
use super::error::EngineError;
use super::live;
use super::preload::Preloads;
use crate::bind::Relations;
use crate::cache::Cache;
use crate::model::Model;
use crate::sql::catalog::{Catalog, CatalogSnapshot};

/// A set of definitions as statements see it, from their start to their end.
pub struct Definitions {
    set: Result<Set, String>,
    catalog: Catalog,
}

/// A usable set.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) model: Arc<Model>,
    pub(crate) relations: Relations,
    pub(crate) preloads: Arc<Preloads>,
}

impl fmt::Debug for Definitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Definitions").field("loaded", &self.set.is_ok()).finish_non_exhaustive()
    }
}

impl Definitions {
    /// What follows from a checked model.
    pub fn of(model: Arc<Model>, cache: &Cache) -> Self {
        let relations = Relations::of(&model);
        let preloads = Arc::new(Preloads::of(&model));
        let mut tables = live::tables(&model, &relations, cache);
        tables.extend(live::segments(&model, &preloads));
        let mut snapshot = snapshot_of(&model, &relations);
        snapshot.relations.extend(live::described(&tables));
        let catalog = Catalog::new(snapshot).with_tables(named(tables));
        Self { set: Ok(Set { model, relations, preloads }), catalog }
    }

    /// No definitions yet: the catalogue answers, without relations; data queries are refused.
    pub fn loading(reason: String) -> Self {
        Self { set: Err(reason), catalog: Catalog::new(CatalogSnapshot::default()) }
    }

    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Whether data queries can be answered.
    pub fn is_loaded(&self) -> bool {
        self.set.is_ok()
    }

    pub(crate) fn set(&self) -> Result<&Set, EngineError> {
        self.set.as_ref().map_err(|reason| EngineError::NotLoaded { reason: reason.clone() })
    }
}

fn named(
    tables: Vec<(&'static str, Arc<dyn TableProvider>)>,
) -> Vec<(String, String, Arc<dyn TableProvider>)> {
    let qualified = |(name, table): (&str, _)| (live::SCHEMA.to_owned(), name.to_owned(), table);
    tables.into_iter().map(qualified).collect()
}

/// Which definitions are in force.
#[derive(Debug)]
pub struct DefinitionsState {
    current: ArcSwap<Definitions>,
}

impl DefinitionsState {
    pub fn new(definitions: Definitions) -> Self {
        Self { current: ArcSwap::from_pointee(definitions) }
    }

    /// Statements that begin from now on see these.
    pub fn replace(&self, definitions: Definitions) {
        if let (Ok(old), Ok(new)) = (&self.current().set, &definitions.set)
            && old.model.fingerprint == new.model.fingerprint
        {
            new.preloads.adopt(&old.preloads);
        }
        self.current.store(Arc::new(definitions));
    }

    pub fn current(&self) -> Arc<Definitions> {
        self.current.load_full()
    }
}
