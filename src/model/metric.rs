//! Metrics: named numbers with versions.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::Expr;
use semver::Version;

use super::journey::Journey;
use super::{MetricTime, Owner, Series, Span, Window};

/// A named number.
#[derive(Debug)]
pub struct Metric {
    pub name: String,
    pub intent: String,
    pub not_for: Vec<String>,
    pub owner: Owner,
    pub domain: Option<String>,
    /// Newest first.
    pub versions: Vec<Arc<MetricVersion>>,
}

impl Metric {
    /// The version that is meant where nobody pins one: the newest active, else the newest
    /// deprecated. None where all are drafts or retired.
    pub fn default_version(&self) -> Option<&Arc<MetricVersion>> {
        let newest = |status| self.versions.iter().find(|version| version.status == status);
        newest(Status::Active).or_else(|| newest(Status::Deprecated))
    }

    /// The newest version of a major that isn't a draft.
    pub fn of_major(&self, major: u64) -> Option<&Arc<MetricVersion>> {
        self.versions
            .iter()
            .find(|version| version.version.major == major && version.status != Status::Draft)
    }

    /// One version for each major that can be asked for, newest first: `revenue_v2`, `revenue_v1`.
    pub fn served_majors(&self) -> Vec<&Arc<MetricVersion>> {
        let mut served: Vec<&Arc<MetricVersion>> = Vec::new();
        for version in &self.versions {
            let servable = matches!(version.status, Status::Active | Status::Deprecated);
            if servable && served.iter().all(|other| other.version.major != version.version.major) {
                served.push(version);
            }
        }
        served
    }
}

/// One released (or drafted) meaning of a metric. Its expressions follow the rule at
/// [`Entity`](super::Entity).
#[derive(Debug, Clone)]
pub struct MetricVersion {
    pub metric: String,
    pub version: Version,
    pub status: Status,
    pub released: Option<NaiveDate>,
    pub sunset: Option<NaiveDate>,
    pub replaced_by: Option<Version>,
    /// The entity whose rows it counts, of a journey that whose dimensions it has; for a metric built
    /// on others that of its first part.
    pub entity: String,
    /// All entities whose rows it counts, the first part's first. Those of journeys are in
    /// [`Model::journeys`](super::Model::journeys).
    pub entities: Vec<String>,
    pub kind: MetricKind,
    /// A row counts if all are true. Empty for ratio and derived metrics, whose parts have their own.
    pub eligibility: Vec<Eligibility>,
    /// Of metrics built on metrics: the rows of each entity that count, beside the parts' own rules.
    pub filter: Vec<EntityFilter>,
    /// None where neither the metric nor its entity has an event time.
    pub time: Option<MetricTime>,
    /// As declared, else as it follows from what it is computed from.
    pub unit: Option<String>,
    /// The type of its value, the same in every backend.
    pub data_type: DataType,
    /// Names of the entity's dimensions by which it may be grouped and filtered; None: all. Over several
    /// entities: the names that they share.
    pub dimensions: Option<Vec<String>>,
    /// What groups of a many-side get of it; None: it can't be grouped so.
    pub many_side: Option<ManySide>,
    pub freshness: Option<Freshness>,
    /// What it is in a period without rows, of gap-filled answers; None: what it is over no rows.
    pub fill: Option<Fill>,
    pub change: Option<String>,
}

impl MetricVersion {
    /// What it follows, if it follows members over time.
    pub fn journey(&self) -> Option<&Arc<Journey>> {
        match &self.kind {
            MetricKind::Journey(journey) => Some(journey),
            _ => None,
        }
    }

    /// The name of the entity whose rows its relation has: its own, or that of a journey's rows.
    pub fn rows_entity(&self) -> &str {
        self.entities.first().unwrap_or(&self.entity)
    }

    /// Whether it counts rows of several entities, each aggregated on its own.
    pub fn drills_across(&self) -> bool {
        self.entities.len() > 1
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    Draft,
    Active,
    Deprecated,
    Retired,
}

/// How the number comes about.
#[derive(Debug, Clone)]
pub enum MetricKind {
    /// An aggregate over the entity's eligible rows.
    Aggregate(Aggregation),
    /// Numerator over denominator, each aggregated on its own; NULL where the denominator is 0 or absent.
    Ratio { numerator: Side, denominator: Side },
    /// A sum over series of snapshots, each of which has one value in a period.
    Snapshot { expr: Expr, series: Series },
    /// Another metric over a window that ends with the period.
    Cumulative { metric: MetricRef, window: Window },
    /// Another metric some periods earlier.
    Offset { metric: MetricRef, by: Span },
    /// An expression over other metrics. In it a metric is `Column { relation: None, name }` with
    /// the reference as name, `revenue@1`; `parts` lists them all.
    Derived { expr: Expr, parts: Vec<MetricRef> },
    /// What members of an entity do one after the other.
    Journey(Arc<Journey>),
}

/// One side of a ratio.
#[derive(Debug, Clone)]
pub struct Side {
    pub metric: MetricRef,
    /// The rows of its entities that count, beside the metric's own rules.
    pub filter: Vec<EntityFilter>,
}

/// A condition on the rows of one entity.
#[derive(Debug, Clone, PartialEq)]
pub struct EntityFilter {
    pub entity: String,
    /// As written.
    pub text: String,
    /// Boolean, over that entity's sources.
    pub expr: Expr,
}

impl MetricKind {
    /// The metrics that it is built on.
    pub fn parts(&self) -> Vec<&MetricRef> {
        match self {
            Self::Aggregate(_) | Self::Snapshot { .. } => Vec::new(),
            Self::Cumulative { metric, .. } | Self::Offset { metric, .. } => vec![metric],
            Self::Ratio { numerator, denominator } => {
                vec![&numerator.metric, &denominator.metric]
            }
            Self::Derived { parts, .. } => parts.iter().collect(),
            Self::Journey(journey) => journey.followed(),
        }
    }
}

/// An aggregate over rows.
#[derive(Debug, Clone)]
pub enum Aggregation {
    Count,
    Sum(Expr),
    Avg(Expr),
    Min(Expr),
    Max(Expr),
    CountDistinct {
        expr: Expr,
        approximate: bool,
    },
    Quantile {
        expr: Expr,
        quantile: f64,
        method: QuantileMethod,
    },
    /// `sum(expr * weight) / sum(weight)` over the rows in which neither is NULL.
    WeightedAvg {
        expr: Expr,
        weight: Expr,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuantileMethod {
    Continuous,
    Discrete,
    Approximate,
}

/// How a row counts in groups of its many-side: an order's revenue by its lines' category.
#[derive(Debug, Clone, PartialEq)]
pub enum ManySide {
    /// Whole in each group that it touches, and once in totals.
    Touch,
    /// Divided among its rows of an entity, so that the parts sum to the whole.
    Allocate(Allocation),
}

/// A value divided among rows, in proportion to a weight; equally where all weights are 0 or NULL.
#[derive(Debug, Clone, PartialEq)]
pub struct Allocation {
    /// Has one relationship or more to the metric's entity.
    pub entity: String,
    /// A number over *that* entity's source columns, by the rule at [`Entity`](super::Entity).
    pub weight: Expr,
}

/// Who or what counts, with its reason.
#[derive(Debug, Clone)]
pub struct Eligibility {
    /// As written.
    pub rule: String,
    pub why: String,
    /// Boolean.
    pub expr: Expr,
}

/// A metric in a period without rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fill {
    Zero,
    Null,
    /// As in the last period before that has rows.
    Previous,
}

/// How old an answer may be, and for the sake of which decision.
#[derive(Debug, Clone)]
pub struct Freshness {
    pub decision: Option<String>,
    pub budget: Duration,
}

/// A metric pinned to a major version: `revenue@1`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MetricRef {
    pub metric: String,
    pub major: u64,
}

impl fmt::Display for MetricRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.metric, self.major)
    }
}
