//! The values of journeys over the rows that they have.

use datafusion::common::Column;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, and, lit};

use super::super::atoms::{Atom, AtomFunction, Atoms, ratio};
use super::super::error::PlanError;
use super::super::trace::scan_column;
use super::events::case;
use crate::bind::ScanKind;
use crate::model::entity::BASE;
use crate::model::journey::{
    ACTIVE, BookedAt, COMPLETE, CONVERTED_AT, Journey, JourneyKind, Output, REACHED,
    lets_one_through, member_column,
};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::TableReference;

/// A column of the journey's rows.
fn column(name: &str) -> Expr {
    Expr::Column(Column::new(Some(TableReference::bare(BASE)), name))
}

impl Atoms {
    /// The formula of a journey over atoms like a count of its rows. Rows that aren't converted,
    /// active or there are counted out inside the aggregates, not filtered away: their groups exist,
    /// with 0.
    pub(crate) fn journey(&mut self, plain: Atom, journey: &Journey) -> Result<Expr, PlanError> {
        let counted = |condition: Expr| Atom {
            argument: Some(case(condition, lit(1i64), None)),
            ..plain.clone()
        };
        let distinct = |value: Expr| Atom {
            function: AtomFunction::CountDistinct { approximate: false },
            argument: Some(value),
            ..plain.clone()
        };
        let (part, whole, output) = match &journey.kind {
            JourneyKind::Conversion { booked_at, output, .. } => {
                let is_converted = column(CONVERTED_AT).is_not_null();
                let part = match booked_at {
                    BookedAt::Base => counted(is_converted),
                    BookedAt::Conversion => {
                        let zoned = plain.time.clone();
                        let time = zoned.map(|mut time| {
                            time.instant = column(CONVERTED_AT);
                            time
                        });
                        let mut part = Atom { time, ..plain.clone() };
                        part.conditions.push(is_converted);
                        part
                    }
                };
                (part, plain.clone(), *output)
            }
            JourneyKind::Retention { .. } => {
                let is_active = counted(and(column(COMPLETE), column(ACTIVE)));
                (is_active, counted(column(COMPLETE)), Output::Rate)
            }
            JourneyKind::Funnel { output, .. } => {
                let member = column(&member_column(0));
                let reached = case(column(REACHED), member.clone(), None);
                (distinct(reached), distinct(member), *output)
            }
        };
        let part = self.add(part);
        match output {
            Output::Count => Ok(part),
            Output::Rate => {
                let whole = self.add(whole);
                ratio((part, &DataType::Int64), (whole, &DataType::Int64))
            }
        }
    }
}

/// Refuses a value over several ages or steps of a journey, which would have no meaning: one of the
/// dimensions that it needs must be a key of every grouping set, or equal to a constant by a condition
/// of the statement or of the definition.
pub(crate) fn refuse_totals(
    aggregate: &Aggregate,
    filters: &[(&LogicalPlan, &Expr)],
    instance: usize,
    journey: &Journey,
    atoms: &[Atom],
) -> Result<(), PlanError> {
    let needed = journey.needed_dimensions();
    let Some(first) = needed.first() else { return Ok(()) };
    let input = aggregate.input.as_ref();
    let is_needed = |plan: &LogicalPlan, expr: &Expr| {
        let Expr::Column(column) = expr else { return false };
        scan_column(plan, column).is_some_and(|(number, scan, scanned)| {
            let ScanKind::Dimension(index) = scanned.kind else { return false };
            let dimension = &scan.relation.entity.dimensions[index];
            number == instance
                && dimension.path.is_empty()
                && needed.contains(&dimension.attribute.as_str())
        })
    };
    let is_one = |plan: &LogicalPlan, condition: &Expr| {
        lets_one_through(condition, |expr| is_needed(plan, expr))
    };
    let grouped = match aggregate.group_expr.as_slice() {
        [Expr::GroupingSet(sets)] => {
            let sets = grouping_sets(sets);
            sets.iter().all(|set| set.iter().any(|key| is_needed(input, key)))
        }
        keys => keys.iter().any(|key| is_needed(input, key)),
    };
    let filtered = filters.iter().any(|(plan, predicate)| is_one(plan, predicate));
    let mut own = atoms
        .iter()
        .filter(|atom| atom.instance == instance && atom.entity == journey.rows.name)
        .filter(|atom| {
            let asked = atom.filter.as_ref().is_some_and(|filter| is_one(input, filter));
            !asked && !atom.conditions.iter().any(|condition| journey.is_fixed_by(condition))
        });
    match own.next() {
        Some(atom) if !grouped && !filtered => Err(PlanError::NeedsDimension {
            metric: atom.metric.clone(),
            dimension: (*first).to_owned(),
            kind: journey.name(),
        }),
        _ => Ok(()),
    }
}

/// The keys of each grouping set.
fn grouping_sets(sets: &datafusion::logical_expr::GroupingSet) -> Vec<Vec<Expr>> {
    use datafusion::logical_expr::GroupingSet;
    match sets {
        GroupingSet::GroupingSets(sets) => sets.clone(),
        // Both have the set without any key.
        GroupingSet::Rollup(_) | GroupingSet::Cube(_) => vec![Vec::new()],
    }
}
