//! Entities: canonical business things, their sources, attributes and relationships.

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::Expr;
use semver::Version;

use super::Owner;

/// A canonical business thing with one row per key.
///
/// # Expressions
/// Every [`Expr`] in an entity or metric is over columns of *sources*, never of attributes:
/// `Column { relation: Some(path), name: source column }`, where `path` is [`BASE`] for the
/// entity's own source, and for a related one the names of the relationships that lead there,
/// joined by dots (`"customer"`, `"order.customer"`). A name that ends in [`AT_EVENT`] leads to the
/// row that was valid at the fact's own time. So the columns of an expression alone tell which
/// sources have to be joined for it. All are type-coerced already.
#[derive(Debug, Clone)]
pub struct Entity {
    pub name: String,
    /// Its name as a table in schema `public`.
    pub relation: String,
    pub intent: Option<String>,
    pub owner: Owner,
    pub domain: Option<String>,
    pub version: Version,
    /// Columns of the source that identify a row (after dedupe); each is an attribute too.
    pub key: Vec<String>,
    pub source: Source,
    /// Key columns, foreign keys and the declared attributes, in the order in which `SELECT *` shows
    /// them; hidden ones included.
    pub attributes: Vec<Attribute>,
    pub relationships: Vec<Relationship>,
    /// Everything that one may group and filter by in this entity's relation: own attributes
    /// (visible ones), then those of the entities it belongs to, over any number of hops.
    pub dimensions: Vec<Dimension>,
}

/// The qualifier of an entity's own source in expressions.
pub const BASE: &str = "base";

/// Ends the name of a relationship, in a path, that is followed to the interval of a history that
/// holds the fact's own time; without it, to the row that is valid now.
pub const AT_EVENT: &str = "@event";

/// Whether an expression reads what was valid at the fact's own time.
pub fn reads_history(expr: &Expr) -> bool {
    expr.column_refs().into_iter().any(|column| {
        column.relation.as_ref().is_some_and(|relation| relation.table().contains(AT_EVENT))
    })
}

/// Of which row of a history an attribute is, seen from a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// The row that was valid at the fact's own time.
    Event,
    /// The row that is valid when the question is asked.
    Current,
}

/// A column of an entity as its YAML declares it.
#[derive(Debug, Clone)]
pub struct Attribute {
    pub name: String,
    pub data_type: DataType,
    /// Whether its texts are uuids, in the notation that Postgres prints.
    pub is_uuid: bool,
    /// Over the entity's own source only, qualified [`BASE`].
    pub expr: Expr,
    pub hidden: bool,
    pub sensitive: bool,
    pub unit: Option<String>,
    pub description: Option<String>,
    pub values: Vec<String>,
    /// Always current where the source keeps no history.
    pub as_of: AsOf,
}

/// An attribute as seen from an entity's relation.
#[derive(Debug, Clone)]
pub struct Dimension {
    /// Its column name in the relation: `country`, or `customer_country` from elsewhere.
    pub name: String,
    /// Names of the relationships that lead to the attribute's entity; empty for own attributes.
    pub path: Vec<String>,
    /// The entity that the attribute belongs to.
    pub entity: String,
    pub attribute: String,
    pub data_type: DataType,
    /// Whether its texts are uuids, in the notation that Postgres prints.
    pub is_uuid: bool,
    /// Labels for missing and unmatched keys are in it already.
    pub expr: Expr,
    /// Answers to its name, but isn't in `SELECT *`: the prefixed name of an own attribute, and the
    /// names that say of which row of a history an attribute is.
    pub alias_only: bool,
    pub unit: Option<String>,
    pub description: Option<String>,
}

impl Dimension {
    /// The name by which a metric's `dimensions` allow it: other names go with the visible one.
    pub fn allowed_as(&self) -> String {
        match (self.path.is_empty(), self.alias_only) {
            (true, _) => self.attribute.clone(),
            (false, true) => format!("{}_{}", self.path.join("_"), self.attribute),
            (false, false) => self.name.clone(),
        }
    }
}

/// A many-to-one link, joined left: a row without a partner stays.
#[derive(Debug, Clone)]
pub struct Relationship {
    /// The role (`placed_by`), or the entity's name.
    pub name: String,
    pub entity: String,
    /// Columns of this entity's source, one for each column of the other's key, in that order.
    pub key: Vec<String>,
    /// Label where the key is NULL, for text attributes.
    pub missing: Option<String>,
    /// Label where the key has no partner, for text attributes.
    pub unmatched: Option<String>,
}

/// The physical table behind an entity.
#[derive(Debug, Clone)]
pub struct Source {
    pub table: String,
    pub kind: SourceKind,
    pub dedupe: Option<Dedupe>,
    pub history: Option<History>,
    /// Column of the event time for plain rows: a timestamp with time zone.
    pub event_time: Option<String>,
    /// Column of the ingestion time: a timestamp with time zone.
    pub ingested: Option<String>,
    /// The columns that the backend really has.
    pub columns: Vec<SourceColumn>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// Facts that happened: append-only.
    Events,
    /// The current row per key, changed by CDC.
    State,
}

/// A source with several rows per key, each valid for an interval: `from <= t < to`, NULL `to` for
/// ever. Of overlapping intervals the one with the newest `from` counts.
///
/// Columns of timestamps or dates; those without a zone are of UTC, as event times are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    pub from: String,
    pub to: String,
}

/// At-least-once delivery made effectively once: of the rows with equal `by`, the one with the
/// greatest `latest` counts, unless its `deleted` is true (or not 0).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dedupe {
    pub by: Vec<String>,
    pub latest: String,
    pub deleted: Option<String>,
}

/// A column as described by the backend.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceColumn {
    pub name: String,
    /// The type that canon shows and computes with, the same for the same values in every backend:
    /// Boolean, Int16, Int32, Int64, Float32, Float64, Decimal128, Decimal256, Utf8, Date32,
    /// Timestamp(Microsecond, None | Some("UTC")), or a List of one of these. UUIDs are Utf8 here.
    pub data_type: DataType,
    pub nullable: bool,
    /// The backend's own name of the type: `LowCardinality(String)`, `DateTime('UTC')`.
    pub native: String,
}

impl SourceColumn {
    /// Whether the backend stores uuids: ClickHouse's `UUID`, or sixteen bytes in a file. Read as
    /// text they have the notation that Postgres prints.
    pub fn is_uuid(&self) -> bool {
        let native = self.native.trim_end_matches(')');
        let is_named = native == "UUID" || native.ends_with("(UUID") || native.ends_with(" UUID");
        self.data_type == DataType::Utf8 && (is_named || self.native == "FixedSizeBinary(16)")
    }
}
