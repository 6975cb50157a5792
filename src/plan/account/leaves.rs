//! The metrics over rows that a metric is built on, each with what the metrics above it say of its
//! rows: filters, shifts, windows.

use std::sync::Arc;

use datafusion::logical_expr::Expr;

use super::super::atoms::{Atom, AtomFunction, Earlier, Over, version_of};
use super::super::clock;
use super::super::error::PlanError;
use super::super::expand::TimeOf;
use super::super::measure::KnownBy;
use super::super::shift::Shift;
use crate::model::journey::{Events, Journey, JourneyKind};
use crate::model::{EntityFilter, MetricKind, MetricRef, MetricVersion, Model, Side, Window};

/// A metric over rows, as another one counts them.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    pub(super) version: Arc<MetricVersion>,
    /// The filters of the metrics above, on the rows of this one's entity.
    pub(super) filters: Vec<EntityFilter>,
    /// How much earlier the rows are that count.
    pub(super) shift: Option<Shift>,
    pub(super) over: Over,
    /// Of an offset of a window.
    earlier: Option<Earlier>,
    /// For how long the days of the metric above stay open: these rows' days too.
    window_days: Option<u32>,
    /// Which events of a journey the rows are.
    pub(super) followed: Option<Followed>,
    /// By what it is known up to when the metric above is.
    known_by: Vec<KnownBy>,
    /// What the metrics above make of it: `1 year earlier`.
    pub(super) role: Vec<String>,
}

/// Events of a journey.
#[derive(Debug, Clone)]
pub(super) struct Followed {
    journey: Arc<Journey>,
    index: usize,
}

impl Followed {
    pub(super) fn events(&self) -> Option<&Events> {
        self.journey.events().into_iter().nth(self.index)
    }
}

impl Leaf {
    /// Whether both count the same rows of the same rows.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let followed =
            |leaf: &Self| leaf.followed.as_ref().map(|it| (Arc::as_ptr(&it.journey), it.index));
        Arc::ptr_eq(&self.version, &other.version)
            && self.filters == other.filters
            && self.shift == other.shift
            && self.window_days == other.window_days
            && self.over == other.over
            && self.earlier == other.earlier
            && followed(self) == followed(other)
    }

    /// When its rows count.
    pub(super) fn time(&self) -> Result<Option<TimeOf>, PlanError> {
        let Some(time) = &self.version.time else { return Ok(None) };
        let of_row = TimeOf::of(time)?;
        let window_days = self.window_days.unwrap_or(of_row.window_days);
        Ok(Some(TimeOf { window_days, shift: self.shift.clone(), ..of_row }))
    }

    /// The condition that late data puts on its rows.
    pub(super) fn late_data(&self) -> Result<Option<Expr>, PlanError> {
        self.version.time.as_ref().map_or(Ok(None), clock::counts)
    }

    /// An aggregate over the rows that it counts; its conditions are the rules, that of late data,
    /// and the filters, in this order.
    pub(super) fn atom(&self, instance: usize, filter: Option<&Expr>) -> Result<Atom, PlanError> {
        let argument = match &self.version.kind {
            MetricKind::Snapshot { expr, .. } => Some(expr.clone()),
            _ => None,
        };
        let rules = self.version.eligibility.iter().map(|rule| rule.expr.clone());
        let filters = self.filters.iter().map(|filter| filter.expr.clone());
        Ok(Atom {
            instance,
            entity: self.version.entity.clone(),
            metric: self.version.metric.clone(),
            function: AtomFunction::Count,
            argument,
            conditions: rules.chain(self.late_data()?).chain(filters).collect(),
            time: self.time()?,
            over: self.over.clone(),
            earlier: self.earlier.clone(),
            known_by: self.known_by.clone(),
            many_side: None,
            filter: filter.cloned(),
        })
    }
}

/// What is said of the rows on the way down.
#[derive(Clone, Default)]
struct Above {
    filters: Vec<EntityFilter>,
    shift: Option<Shift>,
    /// With how much earlier it is.
    window: Option<(Window, Option<Shift>)>,
    /// How much earlier than the window's period its rows are.
    inside: Option<Shift>,
    window_days: Option<u32>,
    known_by: Vec<KnownBy>,
    role: Vec<String>,
}

impl Above {
    fn filtered(&self, filters: &[EntityFilter]) -> Self {
        let mut above = self.clone();
        above.filters.extend_from_slice(filters);
        above
    }

    fn role(mut self, role: String) -> Self {
        self.role.push(role);
        self
    }
}

/// The leaves of a version, in the order of its definition; itself, where it is over rows.
///
/// # Errors
/// [`PlanError::Internal`] for a metric that is missing.
pub(super) fn of(model: &Model, version: &Arc<MetricVersion>) -> Result<Vec<Leaf>, PlanError> {
    let mut found = Vec::new();
    let known_by = KnownBy::all(model, version);
    collect(model, version, &Above { known_by, ..Above::default() }, &mut found)?;
    Ok(found)
}

fn collect(
    model: &Model,
    version: &Arc<MetricVersion>,
    above: &Above,
    found: &mut Vec<Leaf>,
) -> Result<(), PlanError> {
    let own = version.time.as_ref().map(|time| time.late_data.window_days);
    let mut above = above.filtered(&version.filter);
    above.window_days = above.window_days.or(own);
    let mut part = |part: &MetricRef, above: &Above| match model.version_of(part) {
        Some((_, version)) => collect(model, version, above, found),
        None => Err(PlanError::Internal(format!("metric {part} is missing"))),
    };
    match &version.kind {
        MetricKind::Ratio { numerator, denominator } => {
            let side = |side: &Side, name: &str| match side.filter.is_empty() {
                true => above.clone(),
                false => above.filtered(&side.filter).role(format!("as {name}")),
            };
            part(&numerator.metric, &side(numerator, "numerator"))?;
            part(&denominator.metric, &side(denominator, "denominator"))
        }
        MetricKind::Derived { parts, .. } => parts.iter().try_for_each(|it| part(it, &above)),
        MetricKind::Cumulative { metric, window } => {
            let above = Above { window: Some((*window, above.shift.clone())), ..above };
            part(metric, &above.role(window_role(model, *window)))
        }
        MetricKind::Offset { metric, by } => {
            let moved = |outer: &Option<Shift>| Shift::then(*by, outer.as_ref());
            let inside = above.window.as_ref().map(|_| moved(&above.inside));
            let above = Above { shift: Some(moved(&above.shift)), inside, ..above };
            part(metric, &above.role(format!("{by} earlier")))
        }
        MetricKind::Journey(journey) => followed(model, journey, &above, found),
        MetricKind::Aggregate(_) => {
            let window = above.window.as_ref();
            let over = window.map_or(Over::Group, |(window, _)| Over::Window(*window));
            leaf(version, over, None, above, found);
            Ok(())
        }
        MetricKind::Snapshot { series, .. } => {
            leaf(version, Over::Series(series.clone()), None, above, found);
            Ok(())
        }
    }
}

fn leaf(
    version: &Arc<MetricVersion>,
    over: Over,
    followed: Option<Followed>,
    above: Above,
    found: &mut Vec<Leaf>,
) {
    let mut filters = above.filters;
    filters.retain(|filter| filter.entity == version.entity);
    let by = match &over {
        Over::Window(_) => above.window.and_then(|(_, by)| by),
        Over::Series(series) => above.shift.clone().filter(|_| series.carry.is_some()),
        Over::Group => None,
    };
    let leaf = Leaf {
        version: Arc::clone(version),
        filters,
        shift: above.shift,
        over,
        earlier: by.map(|by| Earlier { by, rows: above.inside }),
        window_days: above.window_days,
        known_by: above.known_by,
        followed,
        role: above.role,
    };
    if !found.iter().any(|known| known.is_like(&leaf)) {
        found.push(leaf);
    }
}

fn followed(
    model: &Model,
    journey: &Arc<Journey>,
    above: &Above,
    found: &mut Vec<Leaf>,
) -> Result<(), PlanError> {
    let roles: Vec<String> = match &journey.kind {
        JourneyKind::Conversion { .. } => vec!["as base".to_owned(), "as target".to_owned()],
        JourneyKind::Retention { .. } => vec!["as cohort".to_owned(), "as activity".to_owned()],
        JourneyKind::Funnel { steps, .. } => {
            (1..=steps.len()).map(|step| format!("as step {step}")).collect()
        }
    };
    for (index, (events, role)) in journey.events().into_iter().zip(roles).enumerate() {
        let (_, version) = version_of(model, &events.metric)?;
        let followed = Followed { journey: Arc::clone(journey), index };
        leaf(version, Over::Group, Some(followed), above.clone().role(role), found);
    }
    Ok(())
}

fn window_role(model: &Model, window: Window) -> String {
    match window {
        Window::Trailing(span) => format!("over the {span} that end with each period"),
        Window::ToDate(grain) => {
            format!("since the beginning of the {}", model.project.grain_name(grain))
        }
        Window::All => "over everything until the period's end".to_owned(),
    }
}
