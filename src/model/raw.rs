//! The file format as serde sees it: one type for each kind of document.
//!
//! The JSON Schema for editors, and the check of a document's shape, are made from these types; so
//! doc comments here are what an editor shows. Meaning is checked later, in [`super::check`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

pub use super::scalars::{Anything, Number, OneOrMany, RawAllocate, RawSide, RawZone, Text, Whole};

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
    /// Fiscal calendars by name, for date_trunc('retail.month', metric_time).
    #[serde(default)]
    pub calendars: BTreeMap<String, RawCalendar>,
    /// Where the sources are; default: files in the definitions folder itself.
    #[serde(default)]
    pub backend: Option<RawBackend>,
}

/// A calendar whose years begin elsewhere than on January 1.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawCalendar {
    /// A day of the year, such as 04-01, at most the 28th of its month; or for years of whole weeks
    /// a weekday: sunday nearest 02-01, or sunday on or after 09-25.
    #[schemars(example = "sunday nearest 02-01")]
    pub year_starts: Text,
    /// What a year is called after: the calendar year of its first day, of its middle, or of its last.
    pub year_named_after: RawNamedAfter,
    /// The weeks of a quarter's months: 4-4-5, 4-5-4 or 5-4-4. Only where years begin on a weekday.
    #[serde(default)]
    pub months: Option<Text>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawNamedAfter {
    Start,
    Middle,
    End,
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
    /// Several rows per key, each valid for an interval; where they overlap, the one that began last counts.
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
    /// The state of things at regular times, each row one of them.
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
    /// The column of the moment from which the row is valid.
    pub from: Text,
    /// The column of the moment at which it ceased to be; NULL where it is valid still.
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
    /// A name such as EUR, or a product such as EUR per count, kg * m^2; ratio, share, 1 and % have none. Where a part of an expression has no unit, nothing is claimed of the whole.
    #[serde(default)]
    pub unit: Option<Text>,
    #[serde(default)]
    pub description: Option<Text>,
    /// All values that occur.
    #[serde(default)]
    pub values: Vec<Text>,
    /// Which row of a history counts, seen from a fact; default: current.
    #[serde(default)]
    pub at: Option<RawAt>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawAt {
    /// The row that was valid at the fact's own time.
    Event,
    /// The row that is valid when the question is asked.
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
    /// Checked against what the metric is computed from: EUR / count is EUR per count (or EUR per order). Default: what follows from it; of a count, count.
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
    /// The entity whose rows it counts; of a conversion, retention or funnel the one whose members it follows.
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
    /// cumulative: since the start of the week, month, quarter or year that the period ends in; all.
    #[serde(default)]
    pub to_date: Option<Text>,
    /// offset: how many periods earlier.
    #[serde(default)]
    pub by: Option<Text>,
    /// snapshot: which value of a period counts: last, first, min, max or avg.
    #[serde(default)]
    pub pick: Option<Text>,
    /// snapshot: the key of a series.
    #[serde(default)]
    pub per: Option<OneOrMany>,
    /// snapshot: how long a missing value is carried.
    #[serde(default)]
    pub carry: Option<Text>,
    /// conversion: the count of first events, such as visits@1. Rows without a member or a time take no part.
    #[serde(default)]
    pub base: Option<Text>,
    /// conversion: the count of events that follow, such as orders@1.
    #[serde(default)]
    pub target: Option<Text>,
    /// conversion, funnel: how soon, such as 7 days (of 24 hours); the end itself is too late.
    #[serde(default)]
    pub within: Option<Text>,
    /// conversion: which of a member's bases gets the target; default: last_base.
    #[serde(default)]
    pub credit: Option<RawCredit>,
    /// conversion: the event whose time counts for the converted ones; default: base.
    #[serde(default)]
    pub booked_at: Option<RawBookedAt>,
    /// conversion, funnel: rate or count; default: rate for a conversion, count for a funnel.
    #[serde(default)]
    pub output: Option<RawOutput>,
    /// conversion: dimensions in which both events agree; NULL agrees with NULL.
    #[serde(default)]
    pub constant: Option<OneOrMany>,
    /// retention: the count of events whose first one makes a member's cohort.
    #[serde(default)]
    pub cohort: Option<Text>,
    /// retention: the count of events that are activity.
    #[serde(default)]
    pub active: Option<Text>,
    /// retention: the period of cohorts and ages: day, week, month, quarter or year, or one of a
    /// calendar, such as retail.month.
    #[serde(default)]
    #[schemars(example = &"month")]
    pub grain: Option<Text>,
    /// funnel: counts in their order; each step at or after the one before, within the window from the first.
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
    /// What it is in a period without rows, of gap-filled answers.
    #[serde(default, deserialize_with = "fill")]
    pub fill: Option<RawFill>,
    /// Dimensions by which it may be grouped and filtered; default: all.
    #[serde(default)]
    pub dimensions: Option<Vec<Text>>,
    #[serde(default)]
    pub freshness: Option<RawFreshness>,
    /// The metric against the ledger. Not supported yet.
    #[serde(default)]
    pub reconcile: Option<RawReconcile>,
    /// Tiny rows in, expected answer out; canon test runs them.
    #[serde(default)]
    pub examples: Vec<RawExample>,
    /// sum: divides a row's value among its rows of a many-side, in proportion to this expression.
    #[serde(default)]
    pub allocate: Option<RawAllocate>,
    /// Whether a row may count in each group of a many-side that it touches, and once in totals.
    #[serde(default)]
    pub touch: Option<bool>,
    /// Whether the last answer may be served while the backend is down. Not supported yet.
    #[serde(default)]
    pub stale_if_error: Option<bool>,
    /// As the metric's, of this version alone.
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
    /// A metric over a window of time that ends with the period.
    Cumulative,
    /// A metric some periods earlier.
    Offset,
    /// A sum of series that each have one value in a period, such as stocks.
    Snapshot,
    /// Events that are followed by another of the same member.
    Conversion,
    /// Which share of a cohort is active at an age.
    Retention,
    /// Members that get to each of several steps.
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

/// Which base event gets a target, where several could.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawCredit {
    /// The last one before it.
    LastBase,
    /// The first one whose window it is in.
    FirstBase,
}

/// Whose time a conversion has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawBookedAt {
    Base,
    /// The first target that it is credited with; the bases themselves stay at their own time.
    Conversion,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawOutput {
    /// The share of the base events, or of the members of step 1.
    Rate,
    Count,
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
    /// Grains by which it may be grouped: second, minute, hour, day, week, month, quarter, year, or a
    /// period of a calendar such as retail.month; default: all.
    #[serde(default)]
    pub grains: Option<Vec<Text>>,
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

/// How a value is divided among the rows of a many-side.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawAllocation {
    /// The entity of the many-side, which has a relationship to the metric's.
    pub entity: Text,
    /// SQL over that entity's attributes and dimensions: a number.
    pub by: Text,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawRatioFilter {
    pub metric: Text,
    /// SQL: which of the metric's rows count, beside its own rules.
    #[serde(default)]
    pub filter: Option<Text>,
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

/// Without quotes YAML's `null` is no word, but it is meant as one.
fn fill<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<RawFill>, D::Error> {
    let written = Option::<RawFill>::deserialize(deserializer)?;
    Ok(Some(written.unwrap_or(RawFill::Null)))
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
    /// Rows by relation: orders: [{order_id: 1, gross_amount: 100}]. Keys are attributes or columns of the source; what is left out is NULL, relations that are left out are empty.
    pub given: BTreeMap<String, Anything>,
    /// The metric's value: {revenue: 90.00}; by group a list: [{customer_country: DE, revenue: 90}], with periods as metric_time.month. Quotients have to agree in the digits that are written, and in six at least.
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
    /// Metric or segment to major version.
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

/// A named rule that puts each member of an entity into a group.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSegment {
    /// Its name: the relation in schema segments, and the dimension.
    pub segment: Text,
    /// Whose members it groups.
    pub entity: Text,
    pub owner: RawOwner,
    /// What the groups are for, in a sentence.
    #[serde(default)]
    pub intent: Option<Text>,
    /// Newest first.
    pub versions: Vec<RawSegmentVersion>,
}

/// One meaning of a segment.
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
    /// The group of those for whom no rule is true; default: NULL.
    #[serde(default)]
    pub otherwise: Option<Text>,
    #[serde(default)]
    pub serve: Option<RawServe>,
    /// Not supported yet.
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
    /// The group.
    pub name: Text,
    /// SQL over the entity's attributes and metrics, such as revenue@1 over 365 days >= 1000.
    pub when: Text,
    /// Its reason.
    #[serde(default)]
    pub why: Option<Text>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawServe {
    /// Keep all members in memory, for look-ups by key.
    #[serde(default)]
    pub preload: bool,
    /// How old what is kept may be.
    #[serde(default)]
    #[schemars(example = "5 minutes")]
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
