//! How a statement groups by the time of metrics over time.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::{Expr, ExprSchemable, and, when};

use super::super::error::PlanError;
use super::super::shift::Shift;
use super::super::trace::{followed, scan_column};
use super::Evaluation;
use super::windows::{LAST_DAY, as_timestamp, column};
use crate::bind::ScanKind;
use crate::functions::{Grain, Unit};

/// How a statement groups by a scan's time.
pub(super) struct Periods {
    /// The key's position, its grain and itself; None for one period over all.
    pub(super) key: Option<(usize, Grain, Expr)>,
}

impl Periods {
    /// # Errors
    /// Keys made of time in any other way than by one truncation.
    pub(super) fn of(
        evaluation: &Evaluation<'_, '_, '_>,
        instance: usize,
    ) -> Result<Self, PlanError> {
        let mut key = None;
        for (index, expr) in evaluation.aggregate.group_expr.iter().enumerate() {
            if !evaluation.reads_time(expr, instance) {
                continue;
            }
            let (plan, meant) = followed(evaluation.input, expr);
            // A cast of an instant is by the clock of the session, not of the metric.
            let is_wall_clock = |column: &Column| match scan_column(plan, column) {
                Some((.., scanned)) => matches!(scanned.kind, ScanKind::MetricTime),
                None => false,
            };
            let grain = super::truncation(meant)
                .filter(|(_, column)| !matches!(meant, Expr::Cast(_)) || is_wall_clock(column))
                .map(|(grain, _)| grain);
            match (grain, &key) {
                (Some(grain), None) => key = Some((index, grain, expr.clone())),
                _ => return Err(one_period()),
            }
        }
        Ok(Self { key })
    }

    /// Whether some of the periods have none that is as much earlier, or later.
    pub(super) fn has_gaps(&self, shift: &Shift) -> bool {
        let is_fine = |grain: Grain| grain.unit() < Unit::Month;
        shift.has_months() && self.grain_of_key().is_some_and(is_fine)
    }

    /// Refuses a shift that isn't by whole periods.
    pub(super) fn check_shift(&self, shift: &Shift) -> Result<(), PlanError> {
        let Some(grain) = self.grain_of_key() else { return Ok(()) };
        let is_whole = match grain.unit() {
            Unit::Week => shift.is_whole_weeks(),
            unit if unit < Unit::Week => true,
            // Years of whole weeks have no length in weeks or months that is always theirs.
            _ if grain.step() == Unit::Week => false,
            Unit::Month => shift.is_whole_months(1),
            Unit::Quarter => shift.is_whole_months(3),
            Unit::Year => shift.is_whole_months(12),
            _ => false,
        };
        match is_whole {
            true => Ok(()),
            false => Err(PlanError::NotSupported {
                what: format!(
                    "a metric of an earlier period by {}, which its offset isn't whole of",
                    grain.unit().name()
                ),
                hint: Some(
                    "Group by a finer grain, or define an offset of whole periods.".to_owned(),
                ),
            }),
        }
    }

    pub(super) fn grain_of_key(&self) -> Option<Grain> {
        self.key.as_ref().map(|(_, grain, _)| *grain)
    }

    /// None for one period over all.
    pub(super) fn key_type(&self, input: &DFSchema) -> Result<Option<DataType>, PlanError> {
        let key = self.key.as_ref();
        Ok(key.map(|(_, _, key)| key.get_type(input)).transpose()?)
    }

    /// One period over all ends with the last day.
    pub(super) fn grain(&self) -> Grain {
        self.grain_of_key().unwrap_or(Grain::Of(Unit::Day))
    }

    /// The moment at which a period ends.
    pub(super) fn end(&self, period: Expr) -> Result<Expr, PlanError> {
        self.grain().next(as_timestamp(period)).ok_or_else(one_period)
    }

    /// Whether they may begin before the last day that is known and end after it.
    pub(super) fn may_be_open(&self) -> bool {
        self.grain().unit() > Unit::Day
    }

    /// The moment at which what ends with a period does: with the last day that is known, where the
    /// period has begun by then and goes on.
    pub(super) fn known_end(&self, period: Expr) -> Result<Expr, PlanError> {
        let end = self.end(period.clone())?;
        let day = Grain::Of(Unit::Day);
        let known = day.next(column(LAST_DAY)).ok_or_else(one_period)?;
        let is_cut =
            and(column(LAST_DAY).gt_eq(as_timestamp(period)), known.clone().lt(end.clone()));
        Ok(when(is_cut, known).otherwise(end)?)
    }

    /// The grain by which parts of values are computed: no window begins or ends inside of one.
    pub(super) fn part(&self) -> Grain {
        Grain::Of(self.grain().unit().min(Unit::Day))
    }
}

pub(super) fn one_period() -> PlanError {
    PlanError::NotSupported {
        what: "grouping a metric over time by anything but one date_trunc of metric_time"
            .to_owned(),
        hint: Some("Group by date_trunc('day', metric_time) or another grain.".to_owned()),
    }
}
