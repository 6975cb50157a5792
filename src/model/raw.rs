//! The file format as serde sees it: one type for each kind of document.
//!
//! The JSON Schema for editors, and the check of a document's shape, are made from these types; so
//! doc comments here are what an editor shows. Meaning is checked later, in [`super::check`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub use super::scalars::{Anything, Number, OneOrMany, RawSide, RawZone, Text, Whole};

/// The project file: one for each folder of definitions.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawProject {
    /// Its name.
    pub project: Text,
    /// Business time zone, such as Europe/Berlin; a metric may override it.
    pub timezone: Text,
    /// The day on which weeks of metric_time begin; default: monday.
    #[serde(default)]
    pub week_start: Option<RawWeekday>,
    /// Where the sources are; default: files in the definitions folder itself.
    #[serde(default)]
    pub backend: Option<RawBackend>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawWeekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl RawWeekday {
    pub fn day(self) -> chrono::Weekday {
        match self {
            Self::Monday => chrono::Weekday::Mon,
            Self::Tuesday => chrono::Weekday::Tue,
            Self::Wednesday => chrono::Weekday::Wed,
            Self::Thursday => chrono::Weekday::Thu,
            Self::Friday => chrono::Weekday::Fri,
            Self::Saturday => chrono::Weekday::Sat,
            Self::Sunday => chrono::Weekday::Sun,
        }
    }
}

/// One of the two backends.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawBackend {
    #[serde(default)]
    pub embedded: Option<RawEmbedded>,
    #[serde(default)]
    pub clickhouse: Option<RawClickHouse>,
}

/// Parquet and CSV files, read in this process.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawEmbedded {
    /// A folder, relative to the definitions folder.
    pub path: Text,
}

/// A ClickHouse server, asked over HTTP.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawClickHouse {
    /// Such as http://localhost:8123
    pub url: Text,
    #[serde(default)]
    pub database: Option<Text>,
    #[serde(default)]
    pub user: Option<Text>,
    /// The environment variable that holds the password.
    #[serde(default)]
    pub password_env: Option<Text>,
}

/// Who answers for a definition.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawOwner {
    pub team: Text,
    /// Where to ask: a channel or an address.
    #[serde(default)]
    pub contact: Option<Text>,
}

/// What kind of truth a definition speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawDomain {
    Operational,
    Analytical,
    Observational,
    Experimental,
}

impl RawDomain {
    /// As written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Operational => "operational",
            Self::Analytical => "analytical",
            Self::Observational => "observational",
            Self::Experimental => "experimental",
        }
    }
}

/// A canonical business thing with one row per key.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawEntity {
    /// Its name, in the singular: order.
    pub entity: Text,
    /// Its name as a table in schema public: orders.
    pub relation: Text,
    /// What one row is, in a sentence.
    #[serde(default)]
    pub intent: Option<Text>,
    pub owner: RawOwner,
    #[serde(default)]
    pub domain: Option<RawDomain>,
    /// The contract of key, attributes and relationships.
    #[schemars(example = "1.0.0")]
    pub version: Text,
    /// Columns of the source that identify a row.
    pub key: OneOrMany,
    pub source: RawSource,
    #[serde(default)]
    pub attributes: Vec<RawAttribute>,
    /// Many-to-one links to the entities that this one belongs to.
    #[serde(default)]
    pub relationships: Vec<RawRelationship>,
    /// Not supported yet.
    #[serde(default)]
    pub checks: Vec<RawCheck>,
    #[serde(default)]
    pub changelog: Vec<RawChange>,
}

/// The physical table behind an entity.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSource {
    /// Its name in the backend.
    pub table: Text,
    /// Facts that happened, or current rows.
    pub kind: RawSourceKind,
    #[serde(default)]
    pub dedupe: Option<RawDedupe>,
    #[serde(default)]
    pub time: Option<RawSourceTime>,
    /// Not supported yet.
    #[serde(default)]
    pub history: Option<RawHistory>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawSourceKind {
    /// Facts that happened: append-only.
    Events,
    /// The current row per key, changed by CDC.
    State,
    /// Not supported yet.
    Snapshot,
}

/// At-least-once delivery made effectively once.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawDedupe {
    /// Columns that identify a row.
    pub by: OneOrMany,
    /// The column whose greatest value wins.
    pub latest: Text,
    /// The column that marks a tombstone.
    #[serde(default)]
    pub deleted: Option<Text>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSourceTime {
    /// When it happened.
    #[serde(default)]
    pub event: Option<Text>,
    /// When it came in.
    #[serde(default)]
    pub ingested: Option<Text>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawHistory {
    pub from: Text,
    pub to: Text,
}

/// A column of an entity.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawAttribute {
    pub name: Text,
    /// text, boolean, smallint, integer, bigint, real, double, decimal(p,s), date, timestamp, timestamptz, uuid, or an array such as text[]; default: that of the column.
    #[serde(default, rename = "type")]
    #[schemars(example = "decimal(18,2)")]
    pub type_name: Option<Text>,
    /// The source's column, where its name differs.
    #[serde(default)]
    pub column: Option<Text>,
    /// SQL over the entity's own columns and attributes, in place of a column.
    #[serde(default)]
    pub expression: Option<Text>,
    /// For other expressions only.
    #[serde(default)]
    pub hidden: bool,
    /// Personal or secret.
    #[serde(default)]
    pub sensitive: bool,
    #[serde(default)]
    pub unit: Option<Text>,
    #[serde(default)]
    pub description: Option<Text>,
    /// All values that occur.
    #[serde(default)]
    pub values: Vec<Text>,
    /// Not supported yet.
    #[serde(default)]
    pub at: Option<RawAt>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawAt {
    /// As of the fact's time.
    Event,
    Current,
}

/// A many-to-one link: a row without a partner stays.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawRelationship {
    pub entity: Text,
    /// Columns of this entity's source, one for each column of the other's key.
    pub key: OneOrMany,
    /// The role, where it isn't the entity's name.
    #[serde(default, rename = "as")]
    pub role: Option<Text>,
    /// Label where the key is NULL.
    #[serde(default)]
    pub missing: Option<Text>,
    /// Label where the key has no partner.
    #[serde(default)]
    pub unmatched: Option<Text>,
}

/// A check of the data. Not supported yet.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawCheck {
    #[serde(default)]
    pub unique: Option<OneOrMany>,
    #[serde(default)]
    pub null_rate: Option<Text>,
    #[serde(default)]
    pub max: Option<Text>,
    #[serde(default)]
    pub freshness: Option<Text>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawChange {
    #[schemars(example = "1.1.0")]
    pub version: Text,
    #[schemars(example = "2026-09-01")]
    pub date: Text,
    pub change: Text,
}

/// A named number.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawMetric {
    pub metric: Text,
    /// The question that it answers.
    pub intent: Text,
    /// What it must not be used for.
    #[serde(default)]
    pub not_for: Vec<Text>,
    pub owner: RawOwner,
    #[serde(default)]
    pub domain: Option<RawDomain>,
    #[serde(default)]
    pub unit: Option<Text>,
    /// Newest first.
    pub versions: Vec<RawVersion>,
}

/// One meaning of a metric; once released it never changes.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawVersion {
    #[schemars(example = "1.0.0")]
    pub version: Text,
    pub status: RawStatus,
    #[serde(default)]
    #[schemars(example = "2026-09-01")]
    pub released: Option<Text>,
    /// When it will be retired.
    #[serde(default)]
    #[schemars(example = "2027-01-31")]
    pub sunset: Option<Text>,
    /// The version to use instead.
    #[serde(default)]
    #[schemars(example = "2.0.0")]
    pub replaced_by: Option<Text>,
    /// The entity whose rows it counts.
    #[serde(default)]
    pub entity: Option<Text>,
    #[serde(rename = "type")]
    pub metric_type: RawMetricType,
    /// SQL over the entity's attributes and dimensions; of a derived metric, over metrics.
    #[serde(default)]
    pub expression: Option<Text>,
    /// count_distinct: estimate instead of counting exactly.
    #[serde(default)]
    pub approximate: Option<bool>,
    /// quantile: from 0 to 1.
    #[serde(default)]
    pub quantile: Option<Number>,
    /// quantile: how to choose between two values.
    #[serde(default)]
    pub method: Option<RawMethod>,
    /// ratio: a metric such as refunds@1.
    #[serde(default)]
    pub numerator: Option<RawSide>,
    /// ratio: a metric such as orders@1.
    #[serde(default)]
    pub denominator: Option<RawSide>,
    /// weighted_avg: SQL as in expression.
    #[serde(default)]
    pub weight: Option<Text>,
    /// cumulative, offset: the metric.
    #[serde(default)]
    pub metric: Option<Text>,
    /// cumulative: a trailing calendar window, such as 28 days.
    #[serde(default)]
    pub window: Option<Text>,
    /// cumulative: since the start of the period.
    #[serde(default)]
    pub to_date: Option<Text>,
    /// offset: how many periods earlier.
    #[serde(default)]
    pub by: Option<Text>,
    /// snapshot: which value of a period counts.
    #[serde(default)]
    pub pick: Option<Text>,
    /// snapshot: the key of a series.
    #[serde(default)]
    pub per: Option<OneOrMany>,
    /// snapshot: how long a missing value is carried.
    #[serde(default)]
    pub carry: Option<Text>,
    /// conversion: the first event.
    #[serde(default)]
    pub base: Option<Text>,
    /// conversion: the event that follows.
    #[serde(default)]
    pub target: Option<Text>,
    /// conversion, funnel: how soon.
    #[serde(default)]
    pub within: Option<Text>,
    /// conversion: which base gets the target.
    #[serde(default)]
    pub credit: Option<Text>,
    /// conversion: the event whose time counts.
    #[serde(default)]
    pub booked_at: Option<Text>,
    /// conversion: rate or count.
    #[serde(default)]
    pub output: Option<Text>,
    /// conversion: dimensions in which both events agree.
    #[serde(default)]
    pub constant: Option<OneOrMany>,
    /// retention: the metric of first events.
    #[serde(default)]
    pub cohort: Option<Text>,
    /// retention: the metric of being active.
    #[serde(default)]
    pub active: Option<Text>,
    /// retention: the period.
    #[serde(default)]
    pub grain: Option<Text>,
    /// funnel: metrics in their order.
    #[serde(default)]
    pub steps: Option<OneOrMany>,
    /// Who or what counts, with its reason; all rules must hold.
    #[serde(default)]
    pub eligibility: Vec<RawRule>,
    /// A condition of this metric alone.
    #[serde(default)]
    pub filter: Option<Text>,
    #[serde(default)]
    pub time: Option<RawTime>,
    /// In gap-filled answers. Not supported yet.
    #[serde(default)]
    pub fill: Option<RawFill>,
    /// Dimensions by which it may be grouped and filtered; default: all.
    #[serde(default)]
    pub dimensions: Option<Vec<Text>>,
    #[serde(default)]
    pub freshness: Option<RawFreshness>,
    /// The metric against the ledger. Not supported yet.
    #[serde(default)]
    pub reconcile: Option<RawReconcile>,
    /// Tiny rows in, expected answer out. Not supported yet.
    #[serde(default)]
    pub examples: Vec<RawExample>,
    /// How a many-side shares in the value. Not supported yet.
    #[serde(default)]
    pub allocate: Option<Text>,
    /// Whether it may count in several groups of a many-side. Not supported yet.
    #[serde(default)]
    pub touch: Option<bool>,
    /// Whether the last answer may be served while the backend is down. Not supported yet.
    #[serde(default)]
    pub stale_if_error: Option<bool>,
    #[serde(default)]
    pub unit: Option<Text>,
    /// What is different from the version before.
    #[serde(default)]
    pub change: Option<Text>,
    /// Consumers that agreed to a major version.
    #[serde(default)]
    pub signoffs: Vec<RawSignoff>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawStatus {
    Draft,
    Active,
    Deprecated,
    Retired,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawMetricType {
    /// Eligible rows.
    Count,
    Sum,
    Avg,
    Min,
    Max,
    /// Different values.
    CountDistinct,
    /// A median, a 95th percentile.
    Quantile,
    /// One metric over another.
    Ratio,
    /// sum(expression * weight) / sum(weight)
    WeightedAvg,
    /// An expression over metrics.
    Derived,
    /// Not supported yet.
    Cumulative,
    /// Not supported yet.
    Offset,
    /// Not supported yet.
    Snapshot,
    /// Not supported yet.
    Conversion,
    /// Not supported yet.
    Retention,
    /// Not supported yet.
    Funnel,
}

impl RawMetricType {
    /// As written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::CountDistinct => "count_distinct",
            Self::Quantile => "quantile",
            Self::Ratio => "ratio",
            Self::WeightedAvg => "weighted_avg",
            Self::Derived => "derived",
            Self::Cumulative => "cumulative",
            Self::Offset => "offset",
            Self::Snapshot => "snapshot",
            Self::Conversion => "conversion",
            Self::Retention => "retention",
            Self::Funnel => "funnel",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawMethod {
    /// Between the two nearest values, as percentile_cont.
    Continuous,
    /// One of the values, as percentile_disc.
    Discrete,
    Approximate,
}

/// Who or what counts.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawRule {
    /// SQL that is true for the rows that count.
    pub rule: Text,
    /// Its reason.
    pub why: Text,
}

/// When a row counts.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawTime {
    /// A column or attribute; default: the source's event time.
    #[serde(default)]
    pub event: Option<Text>,
    /// The source's ingestion time.
    #[serde(default)]
    pub ingested: Option<Text>,
    /// A zone's name, session, or {column: …} for the zone of each row; default: the project's.
    #[serde(default)]
    pub timezone: Option<RawZone>,
    /// Grains by which it may be grouped; default: all.
    #[serde(default)]
    pub grains: Option<Vec<RawGrain>>,
    /// When a day is closed, and what becomes of rows that come later; default: they restate it.
    #[serde(default)]
    pub late_data: Option<RawLateData>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawZoneColumn {
    /// An attribute that holds the name of a zone, of the entity or of one that it belongs to: location.timezone.
    pub column: Text,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawRatioFilter {
    pub metric: Text,
    /// Not supported yet.
    #[serde(default)]
    pub filter: Option<Text>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawGrain {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl RawGrain {
    /// As written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawLateData {
    /// Whole days for which a day stays open after its end; default: none.
    #[serde(default)]
    #[schemars(example = "3 days")]
    pub correction_window: Option<Text>,
    /// What becomes of a row that comes after that.
    pub after: RawAfter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawAfter {
    /// It counts on its day, which changes.
    Restate,
    /// It counts on the day on which it came.
    BookOnArrival,
    /// It doesn't count.
    Drop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawFill {
    Zero,
    Null,
    Previous,
}

/// How old an answer may be, and for the sake of which decision.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawFreshness {
    /// What is decided by the number.
    #[serde(default)]
    pub decision: Option<Text>,
    /// How often that is decided.
    #[serde(default, rename = "loop")]
    #[schemars(example = "30 minutes")]
    pub decision_loop: Option<Text>,
    /// How old an answer may be.
    #[schemars(example = "5 minutes")]
    pub budget: Text,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawReconcile {
    pub ledger: Text,
    pub expression: Text,
    #[serde(default, rename = "where")]
    pub condition: Option<Text>,
    #[serde(default)]
    pub by: Option<OneOrMany>,
    #[serde(default)]
    pub tolerance: Option<Number>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawExample {
    pub given: BTreeMap<String, Anything>,
    pub expect: Anything,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSignoff {
    pub consumer: Text,
    /// Who signed.
    pub by: Text,
    #[schemars(example = "2026-08-20")]
    pub date: Text,
}

/// A known user of contracts.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawConsumer {
    pub consumer: Text,
    pub owner: RawOwner,
    /// Login roles that are this consumer.
    #[serde(default)]
    pub roles: Vec<Text>,
    /// Metric to major version.
    #[serde(default)]
    pub pins: BTreeMap<String, Whole>,
    /// Refuse SUM around metrics that aren't additive.
    #[serde(default)]
    pub strict: bool,
    /// Not supported yet.
    #[serde(default)]
    pub limits: Option<RawLimits>,
    /// Whether aggregates that aren't metrics may be asked. Not supported yet.
    #[serde(default)]
    pub adhoc: Option<RawAdhoc>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawLimits {
    #[serde(default)]
    pub rows_read_per_query: Option<Whole>,
    #[serde(default)]
    pub seconds: Option<Number>,
    #[serde(default)]
    pub rows_read_per_day: Option<Whole>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawAdhoc {
    Allow,
    Deny,
}

/// A named rule that puts each member of an entity into a group. Not supported yet.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSegment {
    pub segment: Text,
    pub entity: Text,
    pub owner: RawOwner,
    #[serde(default)]
    pub intent: Option<Text>,
    pub versions: Vec<RawSegmentVersion>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSegmentVersion {
    #[schemars(example = "1.0.0")]
    pub version: Text,
    pub status: RawStatus,
    #[serde(default)]
    pub released: Option<Text>,
    #[serde(default)]
    pub sunset: Option<Text>,
    #[serde(default)]
    pub replaced_by: Option<Text>,
    /// First match wins.
    pub rules: Vec<RawSegmentRule>,
    #[serde(default)]
    pub otherwise: Option<Text>,
    #[serde(default)]
    pub serve: Option<RawServe>,
    #[serde(default)]
    pub drift: Option<RawDrift>,
    #[serde(default)]
    pub change: Option<Text>,
    #[serde(default)]
    pub signoffs: Vec<RawSignoff>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSegmentRule {
    pub name: Text,
    pub when: Text,
    #[serde(default)]
    pub why: Option<Text>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawServe {
    #[serde(default)]
    pub preload: bool,
    #[serde(default)]
    pub budget: Option<Text>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawDrift {
    pub psi: Number,
    pub against: Text,
}

/// Who may see which rows and columns. Not supported yet.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawPolicy {
    pub policy: Text,
    pub roles: Vec<Text>,
    #[serde(default)]
    pub row_filter: BTreeMap<String, Text>,
    #[serde(default)]
    pub hide: Vec<Text>,
    #[serde(default)]
    pub mask: BTreeMap<String, Text>,
    #[serde(default)]
    pub min_group: Option<RawMinGroup>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawMinGroup {
    pub entity: Text,
    pub count: Whole,
}
