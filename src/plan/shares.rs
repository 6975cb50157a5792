//! How a row counts in groups of its many-side: an order's revenue by its lines' category.
//!
//! A metric says so itself. With `touch` the row counts whole in each group that it touches, so each
//! grouping set makes its rows distinct on its own. With `allocate` its value is divided among *all*
//! its rows of the many-side, whichever of them the statement then keeps or groups by.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::expr::{Sort, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::utils::{grouping_set_to_exprlist, split_conjunction};
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Expr, ExprSchemable, GroupingSet, LogicalPlan, Operator, Union,
    WindowFrame, WindowFunctionDefinition,
};

use super::allocation::Lines;
use super::atoms::Atom;
use super::error::PlanError;
use super::measure::{Branch, Columns, Evaluation, GROUPING_ID, collect_filters, key_name};
use super::rewrite::{aggregated, projected};
use super::trace::{Part, equalities, own_attribute, scan_column};
use crate::functions::registry;
use crate::model::ManySide;

/// How the rows of a branch count.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Share {
    /// Once, in the one group that each belongs to.
    Once,
    /// Whole in each group that they touch.
    Touched,
    /// Divided among their rows of a many-side.
    Allocated(Lines),
}

impl Share {
    pub(super) fn is_allocated(&self) -> bool {
        matches!(self, Self::Allocated(_))
    }
}

impl Evaluation<'_, '_, '_> {
    /// How an atom's rows count in the groups of this statement.
    pub(super) fn share_of(&self, atom: &Atom) -> Result<Share, PlanError> {
        let keys = grouping_set_to_exprlist(&self.aggregate.group_expr)?;
        let mut read = self.many_sides_read(atom, keys.into_iter());
        Ok(match &atom.many_side {
            None => Share::Once,
            Some(ManySide::Touch) if read.is_empty() => Share::Once,
            Some(ManySide::Touch) => Share::Touched,
            Some(ManySide::Allocate(allocation)) => {
                read.extend(self.many_sides_read(atom, atom.filter.iter()));
                read.extend(self.many_sides_filtered(atom));
                match self.lines_of(atom, allocation, &read) {
                    Some(lines) if !read.is_empty() => Share::Allocated(lines),
                    _ => Share::Once,
                }
            }
        })
    }

    /// Whether groups of a scan get a share.
    pub(super) fn shares_in(&self, share: &Share, other: usize) -> bool {
        match share {
            Share::Once => false,
            Share::Touched => true,
            Share::Allocated(lines) => {
                let known = self.fanout.determines.get(&Part::Scan(lines.scan));
                known.is_some_and(|known| known.contains(&Part::Scan(other)))
            }
        }
    }

    /// Scans with many rows for one of the atom's, of which some expressions read a column.
    fn many_sides_read<'e>(
        &self,
        atom: &Atom,
        exprs: impl Iterator<Item = &'e Expr>,
    ) -> BTreeSet<usize> {
        let many = self.fanout.many_sides(atom.instance);
        let columns = exprs.flat_map(Expr::column_refs);
        let scans = columns.filter_map(|column| Some(scan_column(self.input, column)?.0));
        scans.filter(|scan| many.contains(&Part::Scan(*scan))).collect()
    }

    /// Those that the statement's filters read, conditions of joins beside their keys included.
    fn many_sides_filtered(&self, atom: &Atom) -> BTreeSet<usize> {
        let many = self.fanout.many_sides(atom.instance);
        let mut found = Vec::new();
        collect_filters(self.input, &mut found);
        let mut scans = BTreeSet::new();
        let mut note = |plan: &LogicalPlan, expr: &Expr| {
            let columns = expr.column_refs().into_iter();
            scans.extend(columns.filter_map(|column| Some(scan_column(plan, column)?.0)));
        };
        found.into_iter().for_each(|(plan, predicate)| note(plan, predicate));
        for join in joins_of(self.input) {
            let LogicalPlan::Join(node) = join else { continue };
            let is_key = |conjunct: &&Expr| {
                matches!(conjunct, Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right })
                    if matches!((&**left, &**right), (Expr::Column(_), Expr::Column(_))))
            };
            let conjuncts = node.filter.iter().flat_map(split_conjunction);
            conjuncts
                .filter(|conjunct| !is_key(conjunct))
                .for_each(|conjunct| note(join, conjunct));
        }
        scans.retain(|scan| many.contains(&Part::Scan(*scan)));
        scans
    }

    /// The branch's rows, once in each group that they touch: columns as of any branch.
    ///
    /// Each grouping set is aggregated on its own, since a row that is in two groups of one set may
    /// be in one of another.
    pub(super) fn touched(
        &self,
        branch: &Branch,
        rows: LogicalPlan,
        columns: &Columns,
        filters: &mut BTreeMap<usize, Expr>,
    ) -> Result<LogicalPlan, PlanError> {
        let singles: Vec<Expr> =
            grouping_set_to_exprlist(&self.aggregate.group_expr)?.into_iter().cloned().collect();
        let sets = match self.aggregate.group_expr.as_slice() {
            [Expr::GroupingSet(sets)] => sets_of(sets),
            _ => vec![singles.clone()],
        };
        let has_id = matches!(self.aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]);
        let mut plans = Vec::with_capacity(sets.len());
        for set in sets {
            let mut filters = filters.clone();
            let (rows, keys) = self.once(rows.clone(), set.clone(), columns, &mut filters)?;
            let aggregates = self.aggregates(branch, &rows, columns, &mut filters)?;
            let plan = aggregated(rows, keys, aggregates)?;
            let mut exprs = Vec::new();
            for (index, single) in singles.iter().enumerate() {
                let expr = match set.iter().position(|key| key == single) {
                    Some(position) => {
                        Expr::Column(Column::from(plan.schema().qualified_field(position)))
                    }
                    None => {
                        let data_type = single.get_type(self.input.schema())?;
                        Expr::Literal(ScalarValue::try_from(&data_type)?, None)
                    }
                };
                exprs.push(expr.alias(key_name(index)));
            }
            if has_id {
                exprs.push(grouping_id(&singles, &set)?.alias(GROUPING_ID));
            }
            for position in set.len()..plan.schema().fields().len() {
                exprs.push(Expr::Column(Column::from(plan.schema().qualified_field(position))));
            }
            plans.push(Arc::new(projected(plan, exprs)?));
        }
        match plans.as_slice() {
            [only] => Ok(only.as_ref().clone()),
            _ => Ok(LogicalPlan::Union(Union::try_new_with_loose_types(plans)?)),
        }
    }
}

/// A window function over the rows of a partition: all, or those so far where they have an order.
pub(super) fn over(
    name: &str,
    args: Vec<Expr>,
    partition_by: &[Expr],
    order_by: Vec<Sort>,
) -> Result<Expr, PlanError> {
    let registry = registry();
    let unknown = || PlanError::Internal(format!("no function {name}"));
    let aggregate = || {
        let udf = registry.aggregate.get(name)?;
        Some(WindowFunctionDefinition::AggregateUDF(Arc::clone(udf)))
    };
    let window = registry.window.get(name);
    let window = window.map(|udf| WindowFunctionDefinition::WindowUDF(Arc::clone(udf)));
    let window_frame = WindowFrame::new((!order_by.is_empty()).then_some(true));
    Ok(Expr::from(WindowFunction {
        fun: window.or_else(aggregate).ok_or_else(unknown)?,
        params: WindowFunctionParams {
            args,
            partition_by: partition_by.to_vec(),
            order_by,
            window_frame,
            filter: None,
            null_treatment: None,
            distinct: false,
        },
    }))
}

/// The keys of each grouping set.
fn sets_of(sets: &GroupingSet) -> Vec<Vec<Expr>> {
    match sets {
        GroupingSet::Rollup(keys) => {
            (0..=keys.len()).rev().map(|end| keys[..end].to_vec()).collect()
        }
        GroupingSet::Cube(keys) => {
            let mut sets = vec![Vec::new()];
            for key in keys {
                let with: Vec<Vec<Expr>> = sets
                    .iter()
                    .map(|set| [set.as_slice(), std::slice::from_ref(key)].concat())
                    .collect();
                sets.extend(with);
            }
            sets
        }
        GroupingSet::GroupingSets(sets) => sets.clone(),
    }
}

/// DataFusion's id of a grouping set: a bit for each key, the first key's the highest, set where the
/// key is left out.
fn grouping_id(keys: &[Expr], set: &[Expr]) -> Result<Expr, PlanError> {
    let id = keys.iter().fold(0u64, |id, key| (id << 1) | u64::from(!set.contains(key)));
    let id = ScalarValue::UInt64(Some(id)).cast_to(&Aggregate::grouping_id_type(keys.len(), 0))?;
    Ok(Expr::Literal(id, None))
}

/// The joins of the rows that a plan gives.
fn joins_of(plan: &LogicalPlan) -> Vec<&LogicalPlan> {
    let below = plan.inputs().into_iter().flat_map(joins_of);
    match plan {
        LogicalPlan::Join(_) => below.chain([plan]).collect(),
        LogicalPlan::Projection(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_) => below.collect(),
        _ => Vec::new(),
    }
}

/// The attributes by which two scans are joined: one of `left`, one of `right`.
pub(super) fn joined_columns(
    plan: &LogicalPlan,
    left: usize,
    right: usize,
) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for node in joins_of(plan) {
        let LogicalPlan::Join(join) = node else { continue };
        for (one, other) in equalities(join) {
            let (Expr::Column(one), Expr::Column(other)) = (&one, &other) else { continue };
            let (Some(one), Some(other)) =
                (scan_column(&join.left, one), scan_column(&join.right, other))
            else {
                continue;
            };
            let pair = match (one.0, other.0) {
                (a, b) if (a, b) == (left, right) => (one, other),
                (a, b) if (b, a) == (left, right) => (other, one),
                _ => continue,
            };
            let names = (own_attribute(pair.0.1, pair.0.2), own_attribute(pair.1.1, pair.1.2));
            if let (Some(own), Some(key)) = names {
                found.insert((own, key));
            }
        }
    }
    found
}
