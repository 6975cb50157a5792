//! Segments: named, versioned rules that put each member of an entity into a group.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Days, Months, NaiveDateTime, Utc};
use chrono_tz::Tz;
use datafusion::common::{Column, TableReference};
use datafusion::logical_expr::Expr;
use semver::Version;

use super::entity::{AT_EVENT, BASE};
use super::{Dimension, MetricRef, Owner, Status};

/// A named rule with versions.
#[derive(Debug)]
pub struct Segment {
    pub name: String,
    pub intent: Option<String>,
    /// Whose members it groups.
    pub entity: String,
    pub owner: Owner,
    /// Newest first.
    pub versions: Vec<Arc<SegmentVersion>>,
}

impl Segment {
    /// The version that is meant where nobody pins one: the newest active, else the newest
    /// deprecated. None where all are drafts or retired.
    pub fn default_version(&self) -> Option<&Arc<SegmentVersion>> {
        let newest = |status| self.versions.iter().find(|version| version.status == status);
        newest(Status::Active).or_else(|| newest(Status::Deprecated))
    }

    /// One version for each major that can be asked for, newest first.
    pub fn served_majors(&self) -> Vec<&Arc<SegmentVersion>> {
        let mut served: Vec<&Arc<SegmentVersion>> = Vec::new();
        for version in self.versions.iter().filter(|version| version.is_served()) {
            if served.iter().all(|other| other.version.major != version.version.major) {
                served.push(version);
            }
        }
        served
    }

    /// The version of a major that can be asked for: active or deprecated.
    pub fn served_version(&self, major: u64) -> Option<&Arc<SegmentVersion>> {
        self.served_majors().into_iter().find(|version| version.version.major == major)
    }
}

/// One meaning of a segment.
#[derive(Debug)]
pub struct SegmentVersion {
    pub segment: String,
    pub entity: String,
    pub version: Version,
    pub status: Status,
    pub sunset: Option<chrono::NaiveDate>,
    pub replaced_by: Option<Version>,
    /// The first that is true for a member decides.
    pub rules: Vec<SegmentRule>,
    /// The group of members for whom no rule is true; None: NULL.
    pub otherwise: Option<String>,
    /// The numbers that rules compare, each once: [`value_column`] of its index stands for it.
    pub values: Vec<SegmentValue>,
    /// Kept whole in memory, no older than this where the backend answers.
    pub preload: Option<Duration>,
    pub change: Option<String>,
}

impl SegmentVersion {
    pub fn is_served(&self) -> bool {
        matches!(self.status, Status::Active | Status::Deprecated)
    }

    /// Whether its groups change by time alone.
    pub fn has_window(&self) -> bool {
        self.values.iter().any(|value| value.window.is_some())
    }
}

/// A condition, and the group of the members for whom it is the first that is true.
#[derive(Debug, Clone)]
pub struct SegmentRule {
    pub name: String,
    /// As written.
    pub when: String,
    pub why: Option<String>,
    /// Boolean; over source columns by the rule at [`Entity`](super::Entity), and over
    /// [`value_column`]s.
    pub expr: Expr,
}

/// A metric's value for each member.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentValue {
    pub metric: MetricRef,
    /// None: over all rows.
    pub window: Option<Window>,
    /// The dimensions that hold the member's key, in the key's order.
    pub key: Vec<KeyDimension>,
}

/// A dimension that holds a part of a member's key.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyDimension {
    /// In the dimensions of the metric's entity.
    pub index: usize,
    /// By which all entities of the metric have it.
    pub name: String,
}

/// What stands in a rule for a value.
pub fn value_column(index: usize) -> Column {
    Column::new_unqualified(format!("__value{index}"))
}

/// A trailing calendar window: it ends at the statement's time. Weeks are days, years months: so
/// windows of one length are equal, however they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    Days(u32),
    Months(u32),
}

/// Days of a window at most: both backends know the moments of the last hundred years.
const WINDOW_DAYS_MAX: u32 = 36_525;
const WINDOW_MONTHS_MAX: u32 = 1_200;

impl Window {
    /// Of a number and a unit in the singular or plural; None where that isn't one, or too long.
    pub fn of(count: u32, unit: &str) -> Option<Self> {
        let window = match unit.strip_suffix('s').unwrap_or(unit) {
            "day" => Self::Days(count),
            "week" => Self::Days(count.checked_mul(7)?),
            "month" => Self::Months(count),
            "year" => Self::Months(count.checked_mul(12)?),
            _ => return None,
        };
        let fits = match window {
            Self::Days(days) => (1..=WINDOW_DAYS_MAX).contains(&days),
            Self::Months(months) => (1..=WINDOW_MONTHS_MAX).contains(&months),
        };
        fits.then_some(window)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, unit) = match self {
            Self::Days(days) => (days, "day"),
            Self::Months(months) => (months, "month"),
        };
        write!(f, "{count} {unit}{}", if *count == 1 { "" } else { "s" })
    }
}

impl Window {
    /// The moment, exclusive, at which the window that ends at `end` begins: so many calendar days
    /// or months earlier by the clock of `zone`. None where that is before all time.
    pub fn start(&self, end: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let local = end.with_timezone(&zone).naive_local();
        let earlier = match *self {
            Self::Days(days) => local.checked_sub_days(Days::new(u64::from(days))),
            Self::Months(months) => local.checked_sub_months(Months::new(months)),
        };
        Some(instant_of(earlier?, zone))
    }
}

/// The moment of a wall clock: of an hour that comes twice the first, of one that is skipped the
/// moment of the change.
fn instant_of(local: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    let found = local.and_local_timezone(zone);
    let earliest = found.earliest();
    // Clocks go forward by three hours at most.
    let later = (1..=12).find_map(|quarters| {
        let moved = local + chrono::TimeDelta::minutes(15 * quarters);
        moved.and_local_timezone(zone).earliest()
    });
    match earliest.or(later) {
        Some(instant) => instant.with_timezone(&Utc),
        None => local.and_utc(),
    }
}

/// The qualifier of a segment's rows beside the entity at the end of a path: `customer.@tier`.
/// No relationship's name begins like this.
const MARK: char = '@';

/// The expression of a segment seen over a path of relationships: no column of a source, but of the
/// segment's own rows, which the plan joins under this qualifier.
pub(super) fn dimension_expr(path: &[String], segment: &str) -> Expr {
    Expr::Column(Column::new(Some(TableReference::bare(qualifier(path, segment))), segment))
}

/// As [`dimension_expr`], of the group that the member was in at the fact's own time.
pub(super) fn dimension_expr_at_event(path: &[String], segment: &str) -> Expr {
    let qualifier = qualifier(path, segment) + AT_EVENT;
    Expr::Column(Column::new(Some(TableReference::bare(qualifier)), segment))
}

fn qualifier(path: &[String], segment: &str) -> String {
    let mut qualifier = path.join(".");
    if !qualifier.is_empty() {
        qualifier.push('.');
    }
    qualifier.push(MARK);
    qualifier.push_str(segment);
    qualifier
}

/// A column that is a segment over a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentColumn {
    /// The whole qualifier.
    pub qualifier: String,
    /// The path of relationships to its entity; empty for the own one.
    pub path: Vec<String>,
    pub segment: String,
    /// Whether it is as of the fact's own time.
    pub at_event: bool,
}

impl SegmentColumn {
    /// What a column of an expression is, if it is a segment.
    pub fn of(column: &Column) -> Option<Self> {
        let qualifier = column.relation.as_ref()?.table();
        let (path, last) = qualifier.rsplit_once('.').unwrap_or(("", qualifier));
        let segment = last.strip_prefix(MARK)?;
        let (segment, at_event) = match segment.strip_suffix(AT_EVENT) {
            Some(segment) => (segment, true),
            None => (segment, false),
        };
        let path = path.split('.').filter(|role| !role.is_empty());
        Some(Self {
            qualifier: qualifier.to_owned(),
            path: path.map(str::to_owned).collect(),
            segment: segment.to_owned(),
            at_event,
        })
    }

    /// The qualifier of the entity whose segment it is.
    pub fn holder(&self) -> String {
        match self.path.is_empty() {
            true => BASE.to_owned(),
            false => self.path.join("."),
        }
    }
}

impl Dimension {
    /// The segment that it is; None for an attribute.
    pub fn segment(&self) -> Option<SegmentColumn> {
        self.expr.column_refs().into_iter().find_map(SegmentColumn::of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(window: &str, end: &str, zone: &str) -> String {
        let (count, unit) = window.split_once(' ').unwrap();
        let window = Window::of(count.parse().unwrap(), unit).unwrap();
        let start = window.start(end.parse().unwrap(), zone.parse().unwrap()).unwrap();
        start.format("%Y-%m-%dT%H:%MZ").to_string()
    }

    #[test]
    fn windows_go_back_by_the_calendar_of_their_zone() {
        assert_eq!(start("1 day", "2026-03-10T12:00:00Z", "UTC"), "2026-03-09T12:00Z");
        assert_eq!(start("2 weeks", "2026-03-10T12:00:00Z", "UTC"), "2026-02-24T12:00Z");
        // The clocks went forward on 8 March, so that the day before had 23 hours.
        let new_york = "America/New_York";
        assert_eq!(start("1 day", "2026-03-08T12:00:00Z", new_york), "2026-03-07T13:00Z");
        assert_eq!(start("1 month", "2026-03-31T12:00:00Z", "UTC"), "2026-02-28T12:00Z");
        assert_eq!(start("1 year", "2028-02-29T12:00:00Z", "UTC"), "2027-02-28T12:00Z");
    }

    #[test]
    fn windows_of_one_length_are_equal_and_none_is_longer_than_time() {
        assert_eq!(Window::of(2, "years"), Window::of(24, "months"));
        assert_eq!(Window::of(1, "week"), Window::of(7, "day"));
        assert_eq!(Window::of(0, "days"), None);
        assert_eq!(Window::of(101, "years"), None);
        assert_eq!(Window::of(u32::MAX, "weeks"), None);
        assert_eq!(Window::of(3, "hours"), None);
    }

    #[test]
    fn a_skipped_hour_begins_at_the_change() {
        let end = "2026-03-09T06:30:00Z"; // 02:30 in New York, which 8 March doesn't have
        assert_eq!(start("1 day", end, "America/New_York"), "2026-03-08T07:00Z");
    }

    #[test]
    fn segments_are_told_from_attributes_by_their_qualifier() {
        let of = |expr: &Expr| match expr {
            Expr::Column(column) => SegmentColumn::of(column),
            _ => None,
        };
        let own = of(&dimension_expr(&[], "tier")).unwrap();
        assert_eq!((own.holder().as_str(), own.segment.as_str()), (BASE, "tier"));
        let path = ["order".to_owned(), "customer".to_owned()];
        let far = of(&dimension_expr(&path, "tier")).unwrap();
        assert_eq!((far.holder().as_str(), far.path.len()), ("order.customer", 2));
        assert!(!far.at_event);
        let then = of(&dimension_expr_at_event(&path, "tier")).unwrap();
        assert_eq!((then.holder().as_str(), then.segment.as_str()), ("order.customer", "tier"));
        assert!(then.at_event);
        assert_eq!(SegmentColumn::of(&Column::new(Some("customer"), "tier")), None);
    }
}
