//! The values of journeys over the rows that they have.

use datafusion::common::Column;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Aggregate, BinaryExpr, Expr, LogicalPlan, Operator, and, lit};

use super::super::atoms::{Atom, AtomFunction, Atoms, Over, ratio};
use super::super::error::PlanError;
use super::super::trace::scan_column;
use super::events::case;
use super::time_of;
use crate::bind::ScanKind;
use crate::model::MetricVersion;
use crate::model::entity::BASE;
use crate::model::journey::{
    ACTIVE, BookedAt, COMPLETE, CONVERTED_AT, Journey, JourneyKind, Output, REACHED, member_column,
};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::TableReference;

/// A column of the journey's rows.
fn column(name: &str) -> Expr {
    Expr::Column(Column::new(Some(TableReference::bare(BASE)), name))
}

impl Atoms {
    /// The formula of a journey over atoms. Rows that aren't converted, active or there are counted
    /// out inside the aggregates, not filtered away: their groups exist, with 0.
    pub(crate) fn journey(
        &mut self,
        version: &MetricVersion,
        journey: &Journey,
        instance: usize,
        filter: Option<&Expr>,
    ) -> Result<Expr, PlanError> {
        let time = version.time.as_ref().map(|time| time_of(version, time)).transpose()?;
        let plain = Atom {
            instance,
            entity: journey.rows.name.clone(),
            metric: version.metric.clone(),
            function: AtomFunction::Count,
            argument: None,
            conditions: Vec::new(),
            time,
            over: Over::Group,
            earlier: None,
            known_by: Vec::new(),
            many_side: None,
            filter: filter.cloned(),
        };
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
                        Atom { conditions: vec![is_converted], time, ..plain.clone() }
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

/// Refuses a journey's value over several ages or steps, which would have no meaning: one of the
/// dimensions that it needs must be a key of every grouping set, or set equal to a constant.
pub(crate) fn refuse_totals(
    aggregate: &Aggregate,
    filters: &[(&LogicalPlan, &Expr)],
    instance: usize,
    version: &MetricVersion,
    atoms: &[Atom],
) -> Result<(), PlanError> {
    let needed = version.journey().map_or(&[][..], |journey| journey.needed_dimensions());
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
        split_conjunction(condition).into_iter().any(|conjunct| match conjunct {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                let is_constant = |expr: &Expr| !expr.any_column_refs() && !is_volatile(expr);
                (is_needed(plan, left) && is_constant(right))
                    || (is_needed(plan, right) && is_constant(left))
            }
            _ => false,
        })
    };
    let grouped = match aggregate.group_expr.as_slice() {
        [Expr::GroupingSet(sets)] => {
            let sets = grouping_sets(sets);
            sets.iter().all(|set| set.iter().any(|key| is_needed(input, key)))
        }
        keys => keys.iter().any(|key| is_needed(input, key)),
    };
    let filtered = filters.iter().any(|(plan, predicate)| is_one(plan, predicate));
    let own =
        atoms.iter().filter(|atom| atom.instance == instance && atom.metric == version.metric);
    let each = |atom: &Atom| atom.filter.as_ref().is_some_and(|filter| is_one(input, filter));
    if grouped || filtered || own.clone().count() > 0 && own.clone().all(each) {
        return Ok(());
    }
    Err(PlanError::NeedsDimension {
        metric: version.metric.clone(),
        dimension: (*first).to_owned(),
        kind: version.journey().map_or("a journey", |journey| journey.name()),
    })
}

fn is_volatile(expr: &Expr) -> bool {
    expr.exists(|node| Ok(matches!(node, Expr::ScalarSubquery(_)))).unwrap_or(true)
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
