//! What names mean at a place in a statement.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{Expr, Ident};

use super::relation::Relation;
use crate::model::MetricVersion;
pub(crate) use crate::sql::catalog::folded;

/// What a column holds.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// A value of a row: plain SQL.
    Value,
    /// A calculation that becomes a value where it is forced.
    Measure(MeasureUse),
    /// A measure's value for one of the groups that a LIMIT happened to leave.
    OfSomeGroups { measure: String },
}

/// The measures in an expression.
#[derive(Debug, Clone, Default)]
pub(crate) struct MeasureUse {
    /// Each once, in order of appearance.
    pub(crate) metrics: Vec<Arc<MetricVersion>>,
    /// The expression is one metric and nothing else.
    pub(crate) direct: bool,
    /// Scans of relations that the measures come from.
    pub(crate) instances: BTreeSet<usize>,
}

impl MeasureUse {
    pub(crate) fn absorb(&mut self, other: MeasureUse) {
        for metric in other.metrics {
            if !self.metrics.iter().any(|known| Arc::ptr_eq(known, &metric)) {
                self.metrics.push(metric);
            }
        }
        self.instances.extend(other.instances);
        self.direct = false;
    }

    /// The metric's name where there is one only, for messages.
    pub(crate) fn name(&self) -> String {
        self.metrics.first().map(|version| version.metric.clone()).unwrap_or_default()
    }
}

/// A column of a scanned relation, as far as row identity is concerned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Origin {
    pub(crate) instance: usize,
    /// Name of the dimension.
    pub(crate) dimension: String,
}

/// A column of a relation that clients see, named and nothing else: what Postgres tells with a result
/// as the table and the column that it comes from.
#[derive(Debug, Clone)]
pub struct PlainColumn {
    pub relation: Arc<Relation>,
    /// Position among the relation's columns.
    pub column: usize,
    /// Whether it is NULL where an outer join finds no partner, or in a row of totals.
    pub optional: bool,
}

/// A column that a query gives to whoever encloses it.
#[derive(Debug, Clone)]
pub(crate) struct OutputColumn {
    /// As Postgres names it.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) origin: Option<Origin>,
    pub(crate) plain: Option<PlainColumn>,
}

impl OutputColumn {
    /// Makes a value of all groups a value like others.
    pub(crate) fn settle(&mut self) {
        if let Kind::OfSomeGroups { .. } = self.kind {
            self.kind = Kind::Value;
        }
    }
}

/// Where a FROM item's columns come from.
#[derive(Debug)]
pub(crate) enum Columns {
    /// A relation of the model: an index into the binder's instances.
    Relation(usize),
    /// The output of a query, whose columns are called `c0`, `c1`, … inside.
    Derived(Vec<OutputColumn>),
}

/// An item of FROM.
#[derive(Debug)]
pub(crate) struct Item {
    /// The user's name for it; None for a derived table without alias.
    pub(crate) name: Option<String>,
    pub(crate) schema: Option<String>,
    /// Ours: `r0`, `r1`, …: no two of a statement are equal.
    pub(crate) alias: String,
    pub(crate) columns: Columns,
    /// Which of several relations of metrics it is that are scanned as one.
    pub(crate) part: Option<usize>,
    /// Whether an outer join may find no row of it.
    pub(crate) optional: bool,
}

/// A column that two sides of a join share by USING.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) expr: Expr,
    pub(crate) plain: Option<PlainColumn>,
    /// Items whose own column of this name is hidden behind the shared one.
    pub(crate) items: Vec<usize>,
}

/// The FROM items of a select, and those of the selects around it.
#[derive(Debug, Default)]
pub(crate) struct Scope<'p> {
    pub(crate) items: Vec<Item>,
    pub(crate) shared: Vec<Shared>,
    pub(crate) parent: Option<&'p Scope<'p>>,
}

/// A name's meaning.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) expr: Expr,
    pub(crate) kind: Kind,
    pub(crate) plain: Option<PlainColumn>,
}

/// The name of a subquery's column where it stands in FROM under an alias of ours. Not that of an output,
/// since DataFusion takes an ORDER BY of one that isn't shown for ambiguous. What carries measures isn't
/// renamed by its alias, since they are found under their own names: there it is the output's own.
pub(crate) fn derived_name(alias: &str, columns: &[OutputColumn], index: usize) -> String {
    match carries_measures(columns) {
        true => format!("{alias}c{index}"),
        false => format!("d{index}"),
    }
}

/// The position that [`derived_name`] has made a name of.
pub(crate) fn derived_position(name: &str) -> Option<usize> {
    name.rsplit(['c', 'd']).next()?.parse().ok()
}

/// Whether the columns of a subquery have measures among them that aren't values yet.
pub(crate) fn carries_measures(columns: &[OutputColumn]) -> bool {
    columns.iter().any(|column| matches!(column.kind, Kind::Measure(_)))
}

/// An identifier that means exactly this, whatever its case.
pub(crate) fn quoted(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

/// `alias."name"`.
pub(crate) fn column(alias: &str, name: &str) -> Expr {
    Expr::CompoundIdentifier(vec![quoted(alias), quoted(name)])
}

/// The nearest of some names, if one is near enough to be meant.
pub fn nearest<'n>(name: &str, among: impl Iterator<Item = &'n str>) -> Option<String> {
    among
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= 1 + name.chars().count() / 4)
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}
