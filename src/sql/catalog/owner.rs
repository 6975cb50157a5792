//! Whose a query is: the catalogue's, the definitions', or partly both.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{ObjectName, Query, TableFactor, Visit, Visitor};

use super::labels::{folded, last_part};

/// Who answers a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// It reads catalogue relations only, or none at all.
    Catalog,
    /// It reads relations of the definitions only.
    Data,
    /// It reads both.
    Mixed,
}

/// Who owns the relations that a query reads. `is_catalogs` says so of a schema, where one is
/// written, and a name.
pub(super) fn owner_of(query: &Query, is_catalogs: impl Fn(Option<&str>, &str) -> bool) -> Owner {
    let mut names = Names::default();
    let _ = query.visit(&mut names);
    let mut owners = names
        .relations
        .iter()
        .filter(|(schema, name)| schema.is_some() || !names.ctes.contains(name))
        .map(|(schema, name)| is_catalogs(schema.as_deref(), name))
        .chain(names.reads_functions.then_some(false));
    let Some(first) = owners.next() else { return Owner::Catalog };
    match (first, owners.all(|other| other == first)) {
        (true, true) => Owner::Catalog,
        (false, true) => Owner::Data,
        (_, false) => Owner::Mixed,
    }
}

#[derive(Default)]
struct Names {
    ctes: HashSet<String>,
    relations: Vec<(Option<String>, String)>,
    /// Functions in FROM that answer from the definitions: `canon.restatements(…)`.
    reads_functions: bool,
}

impl Visitor for Names {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        self.ctes.extend(ctes.map(|cte| folded(&cte.alias.name)));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        let (name, is_function) = match factor {
            TableFactor::Table { name, args, .. } => (name, args.is_some()),
            TableFactor::Function { name, .. } => (name, true),
            _ => return ControlFlow::Continue(()),
        };
        let schema = schema_of(name);
        let of_postgres =
            matches!(schema.as_deref(), None | Some("pg_catalog" | "information_schema"));
        if is_function && schema.as_deref() == Some("canon") {
            self.reads_functions = true;
        } else if !(is_function && of_postgres) {
            self.relations.push((schema, last_part(name)));
        }
        ControlFlow::Continue(())
    }
}

/// The schema that a dotted name names.
pub(super) fn schema_of(name: &ObjectName) -> Option<String> {
    let at = name.0.len().checked_sub(2)?;
    name.0[at].as_ident().map(folded)
}
