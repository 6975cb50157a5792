//! How much later rows of an earlier period count: an offset moves them, and an offset of an offset
//! moves what the inner one has moved.

use std::fmt;

use datafusion::logical_expr::{Expr, and};

use crate::model::Span;

/// Lengths by which rows are moved, one after the other; the innermost offset's comes first.
///
/// They aren't added up: a week after a month later isn't a month after a week later, and March 31
/// has no partner a month before, so none a month before that one either.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Shift(Vec<Span>);

impl Shift {
    /// What an offset makes of rows that the offsets around it move further.
    pub(crate) fn then(by: Span, outer: Option<&Self>) -> Self {
        let outer = outer.map(|outer| outer.0.as_slice()).unwrap_or_default();
        let mut spans = vec![by];
        for span in outer {
            match spans.last_mut() {
                // Days after days are days.
                Some(Span { months: 0, days }) if span.months == 0 => {
                    match days.checked_add(span.days) {
                        Some(sum) => *days = sum,
                        None => spans.push(*span),
                    }
                }
                _ => spans.push(*span),
            }
        }
        Self(spans)
    }

    /// A wall clock as much later.
    pub(crate) fn later(&self, clock: Expr) -> Expr {
        self.0.iter().fold(clock, |clock, span| clock + span.interval())
    }

    /// The beginning of the period as much earlier than the one that begins at a wall clock.
    pub(crate) fn earlier(&self, begin: Expr) -> Expr {
        self.0.iter().rev().fold(begin, |begin, span| begin - span.interval())
    }

    /// That each move of a wall clock leads to a day from which it leads back: January 31 has none a
    /// month later. None where each has one.
    pub(crate) fn has_later(&self, clock: Expr) -> Option<Expr> {
        let mut clock = clock;
        let mut conditions = Vec::new();
        for span in &self.0 {
            let later = clock.clone() + span.interval();
            if span.months != 0 {
                conditions.push((later.clone() - span.interval()).eq(clock));
            }
            clock = later;
        }
        conditions.into_iter().reduce(and)
    }

    /// As [`Self::has_later`], from the beginning of a period back.
    pub(crate) fn has_earlier(&self, begin: Expr) -> Option<Expr> {
        let mut begin = begin;
        let mut conditions = Vec::new();
        for span in self.0.iter().rev() {
            let earlier = begin.clone() - span.interval();
            if span.months != 0 {
                conditions.push((earlier.clone() + span.interval()).eq(begin));
            }
            begin = earlier;
        }
        conditions.into_iter().reduce(and)
    }

    /// Whether some days have none that is as much earlier, or later.
    pub(crate) fn has_months(&self) -> bool {
        self.0.iter().any(|span| span.months != 0)
    }

    /// Whether it leads from periods to periods of so many months.
    pub(crate) fn is_whole_months(&self, of: i32) -> bool {
        let months = self.0.iter().map(|span| i64::from(span.months)).sum::<i64>();
        self.0.iter().all(|span| span.days == 0) && months % i64::from(of) == 0
    }

    /// Whether it leads from weeks to weeks.
    pub(crate) fn is_whole_weeks(&self) -> bool {
        self.0.iter().all(|span| span.months == 0 && span.days % 7 == 0)
    }
}

impl fmt::Display for Shift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As definitions say it: the outermost first.
        for (index, span) in self.0.iter().rev().enumerate() {
            let between = if index > 0 { " and " } else { "" };
            write!(f, "{between}{span}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::col;

    use super::*;

    #[test]
    fn the_innermost_offset_moves_rows_first() {
        let (week, month) = (Span { months: 0, days: 7 }, Span { months: 1, days: 0 });
        let shift = Shift::then(week, Some(&Shift::then(month, None)));
        assert_eq!(shift.later(col("t")), col("t") + week.interval() + month.interval());
        assert_eq!(shift.earlier(col("t")), col("t") - month.interval() - week.interval());
        assert_eq!(shift.to_string(), "1 month and 7 days");
        let days = Shift::then(week, Some(&Shift::then(week, None)));
        assert_eq!(days, Shift::then(Span { months: 0, days: 14 }, None));
        assert_eq!(days.has_later(col("t")), None);
    }
}
