//! Metrics that aggregate rows, as parts of the metrics that are built on them.

use crate::oracle::definitions::{Reference, Series, Shape, Version, Window};
use crate::oracle::expression::{Condition, Grain, Span};

/// What an offset or a window does to the time of what it is over; the outermost comes first.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Earlier(Span),
    Window(Window),
}

/// A metric that aggregates rows, and what the metrics that it is a part of make of it.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    pub(super) version: &'a Version,
    /// The metric that the question names.
    pub(super) asked: Reference,
    /// The question's own FILTER: a series may pick another snapshot by it, of another group.
    pub(super) filter: Option<&'a Condition>,
    pub(super) restricted: Vec<&'a Condition>,
    pub(super) steps: Vec<Step>,
}

impl<'a> Reader<'a> {
    /// The shifts outside of its window, the window, and the shifts inside of it.
    pub(super) fn steps(&self) -> (Vec<Span>, Option<Window>, Vec<Span>) {
        let (mut outer, mut window, mut inner) = (Vec::new(), None, Vec::new());
        for step in &self.steps {
            match (step, window) {
                (Step::Window(it), _) => window = Some(*it),
                (Step::Earlier(span), None) => outer.push(*span),
                (Step::Earlier(span), Some(_)) => inner.push(*span),
            }
        }
        (outer, window, inner)
    }

    pub(super) fn with(&self, step: Step) -> Self {
        Self { steps: [self.steps.as_slice(), &[step]].concat(), ..self.clone() }
    }

    pub(super) fn of(&self, version: &'a Version, filter: Option<&'a Condition>) -> Self {
        let restricted = self.restricted.iter().copied().chain(filter).chain(&version.filter);
        Self { version, restricted: restricted.collect(), ..self.clone() }
    }

    /// Whether its rows are those of a window that ends with a period, or with a last day.
    pub(super) fn ends_with_a_period(&self) -> bool {
        let carries = self.series().is_some_and(|series| series.carry.is_some());
        self.steps().1.is_some() || carries
    }

    pub(super) fn series(&self) -> Option<&'a Series> {
        match &self.version.shape {
            Shape::Snapshot(series) => Some(series),
            _ => None,
        }
    }
}

/// A wall clock as much later as all offsets say, the innermost first; None where a finer grain
/// than a month has no such time: March 31 a month later.
pub(super) fn moved(wall: i64, spans: &[Span], grain: Option<Grain>) -> Option<i64> {
    let is_fine = grain.is_some_and(Grain::is_finer_than_months);
    spans.iter().rev().try_fold(wall, |wall, span| {
        let later = span.after(wall);
        (!is_fine || span.before(later) == wall).then_some(later)
    })
}

/// The period that offsets lead to from a period; None where there is none.
pub(super) fn back(period: i64, spans: &[Span]) -> Option<i64> {
    spans.iter().try_fold(period, |period, span| {
        let earlier = span.before(period);
        (span.after(earlier) == period).then_some(earlier)
    })
}
