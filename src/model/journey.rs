//! Journeys: metrics that follow the members of an entity over time, from one event to the next.
//!
//! | type | a row of its relation | its value |
//! |---|---|---|
//! | conversion | a base event | converted base events, or their share |
//! | funnel | an event of step 1, at each step | members that get there, or their share of step 1 |
//! | retention | a member at an age | the share of members that are active |
//!
//! The events are the eligible rows of metrics of type count, each at its metric's own event time.
//! A row without a member (a NULL key) or without a time takes no part: there is nobody to follow.
//! Time runs in instants, so `within: 7 days` is 168 hours, whatever clocks do; the end of the
//! window itself is too late. Events at the same instant are in order: a target at the instant of
//! its base counts, and so does a step at the instant of the one before. A late event is one where and
//! when its metric counts it: not at all, or when it came.

use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use super::entity::BASE;
use super::{Entity, MetricRef, MetricTime};
use crate::functions::Grain;

/// When a row counts, among the columns of a journey's rows: the base event, or that of step 1.
pub const AT: &str = "__at";
/// When a base event converted: its first credited target; NULL where there is none.
pub const CONVERTED_AT: &str = "__converted_at";
/// The beginning of a member's cohort period: a wall clock, written as if it were in UTC.
pub const PERIOD: &str = "__period";
/// Periods since the cohort's.
pub const AGE: &str = "__age";
/// Whether the member is active at the age.
pub const ACTIVE: &str = "__active";
/// Whether the age is over for the cohort, and its activity known.
pub const COMPLETE: &str = "__complete";
/// A step's number, from 1.
pub const STEP: &str = "__step";
/// A step's metric.
pub const STEP_NAME: &str = "__step_name";
/// Whether the step was reached.
pub const REACHED: &str = "__reached";

/// What the columns with the member's key begin with.
const MEMBER: &str = "__member";

/// The column with a part of the member's key.
pub fn member_column(index: usize) -> String {
    format!("{MEMBER}{index}")
}

/// Whether a column of a journey's rows is none of the base event's source.
pub fn is_own_column(name: &str) -> bool {
    let own = [AT, CONVERTED_AT, PERIOD, AGE, ACTIVE, COMPLETE, STEP, STEP_NAME, REACHED];
    own.contains(&name) || name.starts_with(MEMBER)
}

/// What a metric follows.
#[derive(Debug)]
pub struct Journey {
    /// What its relation shows: the dimensions of the base event's entity (for retention of the
    /// members' entity), and those of its own, `age`, or `step` and `step_name`. Its expressions
    /// are over the columns above as well, qualified [`BASE`](super::entity::BASE).
    pub rows: Arc<Entity>,
    pub kind: JourneyKind,
}

#[derive(Debug)]
pub enum JourneyKind {
    Conversion {
        base: Events,
        target: Events,
        within: Duration,
        credit: Credit,
        booked_at: BookedAt,
        output: Output,
    },
    Retention {
        cohort: Events,
        active: Events,
        /// The period of cohorts and ages.
        grain: Grain,
        zone: Tz,
    },
    Funnel {
        /// In their order, at least two.
        steps: Vec<Events>,
        within: Duration,
        output: Output,
    },
}

/// The rows of a metric as events of members. Its expressions are over the sources of `entity`.
#[derive(Debug)]
pub struct Events {
    pub metric: MetricRef,
    pub entity: String,
    /// The key of the member, of the types of the member's own key.
    pub member: Vec<Expr>,
    pub member_types: Vec<DataType>,
    /// Dimensions in which base and target agree, in one order.
    pub constants: Vec<Expr>,
    /// A row counts if all are true, beside what [`time`](Self::time) says of late ones.
    pub rules: Vec<Expr>,
    pub time: MetricTime,
}

impl Events {
    /// Whether these are the same events as those of another metric.
    pub(crate) fn are(&self, other: &Self) -> bool {
        (&self.entity, &self.member, &self.constants)
            == (&other.entity, &other.member, &other.constants)
            && (&self.rules, &self.time) == (&other.rules, &other.time)
    }
}

/// Which base event gets a target, of those of its member whose window it is in. Of base events at
/// the same instant only one gets it: for the last the one with the greatest key, for the first the
/// one with the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credit {
    LastBase,
    FirstBase,
}

/// Whose time a converted base event has. Its dimensions are the base's in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BookedAt {
    Base,
    /// That of the first target credited to it; all base events, by which a rate divides, stay at
    /// their own.
    Conversion,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    Rate,
    Count,
}

/// Whether a condition says that an expression equals a constant.
pub(crate) fn lets_one_through(condition: &Expr, is_meant: impl Fn(&Expr) -> bool) -> bool {
    let is_constant = |expr: &Expr| {
        let is_query = |node: &Expr| Ok(matches!(node, Expr::ScalarSubquery(_)));
        !expr.any_column_refs() && !expr.exists(is_query).unwrap_or(true)
    };
    split_conjunction(condition).into_iter().any(|conjunct| match conjunct {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            (is_meant(left) && is_constant(right)) || (is_meant(right) && is_constant(left))
        }
        _ => false,
    })
}

impl Journey {
    /// The type of its value, in words.
    pub fn name(&self) -> &'static str {
        match &self.kind {
            JourneyKind::Conversion { output: Output::Rate, .. } => "a conversion rate",
            JourneyKind::Conversion { output: Output::Count, .. } => "a count of conversions",
            JourneyKind::Retention { .. } => "a retention",
            JourneyKind::Funnel { output: Output::Rate, .. } => "a share of a funnel's first step",
            JourneyKind::Funnel { output: Output::Count, .. } => {
                "a count of members at a step of a funnel"
            }
        }
    }

    /// The metrics whose rows it follows.
    pub fn followed(&self) -> Vec<&MetricRef> {
        self.events().into_iter().map(|events| &events.metric).collect()
    }

    /// The rows that it follows, in their order.
    pub fn events(&self) -> Vec<&Events> {
        match &self.kind {
            JourneyKind::Conversion { base, target, .. } => vec![base, target],
            JourneyKind::Retention { cohort, active, .. } => vec![cohort, active],
            JourneyKind::Funnel { steps, .. } => steps.iter().collect(),
        }
    }

    /// Whether its values over the parts of any partition of its rows sum to that over all.
    pub fn is_additive(&self) -> bool {
        matches!(self.kind, JourneyKind::Conversion { output: Output::Count, .. })
    }

    /// Whether it counts members, each once.
    pub fn counts_members(&self) -> bool {
        matches!(self.kind, JourneyKind::Funnel { output: Output::Count, .. })
    }

    /// Whether it is a share.
    pub fn is_share(&self) -> bool {
        match self.kind {
            JourneyKind::Conversion { output, .. } | JourneyKind::Funnel { output, .. } => {
                output == Output::Rate
            }
            JourneyKind::Retention { .. } => true,
        }
    }

    /// Dimensions of one of which its value needs a single value: over several it has no meaning.
    pub fn needed_dimensions(&self) -> &'static [&'static str] {
        match self.kind {
            JourneyKind::Conversion { .. } => &[],
            JourneyKind::Retention { .. } => &["age"],
            JourneyKind::Funnel { .. } => &["step", "step_name"],
        }
    }

    /// The columns of its rows that have these dimensions.
    pub fn needed_columns(&self) -> &'static [&'static str] {
        match self.kind {
            JourneyKind::Conversion { .. } => &[],
            JourneyKind::Retention { .. } => &[AGE],
            JourneyKind::Funnel { .. } => &[STEP, STEP_NAME],
        }
    }

    /// Whether a condition on its rows lets one value of these dimensions through.
    pub fn is_fixed_by(&self, condition: &Expr) -> bool {
        let is_base = |column: &Column| {
            column.relation.as_ref().is_some_and(|relation| relation.table() == BASE)
        };
        lets_one_through(condition, |expr| match expr {
            Expr::Column(column) => {
                is_base(column) && self.needed_columns().contains(&column.name.as_str())
            }
            _ => false,
        })
    }

    /// Whether a row's time is a moment; that of a cohort is a period of the calendar.
    pub fn has_instant(&self) -> bool {
        !matches!(self.kind, JourneyKind::Retention { .. })
    }
}
