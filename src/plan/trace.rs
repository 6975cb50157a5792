//! Where the columns of a bound plan come from, and which of its scans determine which others.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, Join, JoinType, LogicalPlan, TableScan};

use crate::bind::{RelationScan, ScanColumn, ScanKind, markers};
use crate::model::entity::reads_history;

/// The number of a scan's alias: 3 for `r3`.
pub(crate) fn instance_of(scan: &TableScan) -> Option<(usize, &RelationScan)> {
    let relation = RelationScan::of(&scan.source)?;
    let number = scan.table_name.table().strip_prefix('r')?.parse().ok()?;
    Some((number, relation))
}

/// The columns that a scan gives.
pub(crate) fn columns_of<'p>(
    scan: &'p TableScan,
    relation: &'p RelationScan,
) -> impl Iterator<Item = &'p ScanColumn> {
    let all = 0..relation.columns.len();
    let given = scan.projection.clone().unwrap_or_else(|| all.collect());
    given.into_iter().filter_map(|index| relation.columns.get(index))
}

/// Whether a scan gives a time, or what was valid then: then the statement groups, filters or shows
/// by it.
pub(crate) fn uses_time(scan: &TableScan, relation: &RelationScan) -> bool {
    let dimensions = &relation.relation.entity.dimensions;
    let is_time = |column: &ScanColumn| match column.kind {
        ScanKind::Dimension(index) => {
            dimensions.get(index).is_some_and(|dimension| reads_history(&dimension.expr))
        }
        _ => column.kind.is_time(),
    };
    columns_of(scan, relation).any(is_time)
}

/// Whether a scan tells closed days from open ones.
pub(crate) fn judges_days(scan: &TableScan, relation: &RelationScan) -> bool {
    columns_of(scan, relation).any(|column| matches!(column.kind, ScanKind::IsFinal))
}

/// A scan, and what it is of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scanned<'p> {
    pub(crate) node: &'p TableScan,
    pub(crate) relation: &'p RelationScan,
}

impl Scanned<'_> {
    /// As the function of this name.
    pub(crate) fn uses_time(&self) -> bool {
        uses_time(self.node, self.relation)
    }

    /// As the function of this name.
    pub(crate) fn judges_days(&self) -> bool {
        judges_days(self.node, self.relation)
    }
}

/// The scans of the rows that a plan gives, by number.
pub(crate) fn scans_of(plan: &LogicalPlan) -> BTreeMap<usize, Scanned<'_>> {
    let mut scans = BTreeMap::new();
    collect_scans(plan, &mut scans);
    scans
}

fn collect_scans<'p>(plan: &'p LogicalPlan, scans: &mut BTreeMap<usize, Scanned<'p>>) {
    match plan {
        LogicalPlan::TableScan(node) => {
            scans.extend(
                instance_of(node).map(|(number, relation)| (number, Scanned { node, relation })),
            );
        }
        LogicalPlan::Projection(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Join(_) => {
            plan.inputs().into_iter().for_each(|input| collect_scans(input, scans));
        }
        _ => {}
    }
}

/// The column of a scan that a plan's column is, unchanged, through projections, aliases and joins.
pub(crate) fn scan_column<'p>(
    plan: &'p LogicalPlan,
    column: &Column,
) -> Option<(usize, &'p RelationScan, &'p ScanColumn)> {
    let index = plan.schema().maybe_index_of_column(column)?;
    scan_column_at(plan, index)
}

fn scan_column_at(plan: &LogicalPlan, index: usize) -> Option<(usize, &RelationScan, &ScanColumn)> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let (instance, relation) = instance_of(scan)?;
            let position = scan.projection.as_ref().map_or(index, |projection| projection[index]);
            Some((instance, relation, relation.columns.get(position)?))
        }
        LogicalPlan::Projection(projection) => match projection.expr.get(index)? {
            Expr::Column(column) => scan_column(&projection.input, column),
            Expr::Alias(alias) => match alias.expr.as_ref() {
                Expr::Column(column) => scan_column(&projection.input, column),
                _ => None,
            },
            _ => None,
        },
        LogicalPlan::SubqueryAlias(alias) => scan_column_at(&alias.input, index),
        LogicalPlan::Filter(filter) => scan_column_at(&filter.input, index),
        LogicalPlan::Sort(sort) => scan_column_at(&sort.input, index),
        LogicalPlan::Limit(limit) => scan_column_at(&limit.input, index),
        LogicalPlan::Join(join) => {
            let left = join.left.schema().fields().len();
            match index < left {
                true => scan_column_at(&join.left, index),
                false => scan_column_at(&join.right, index - left),
            }
        }
        _ => None,
    }
}

/// Where a measure's column leads: the expression that stands below a node for one of its columns.
pub(crate) enum Below<'p> {
    /// The measure (or another column) of a scan.
    Scan(usize, &'p ScanColumn),
    /// An expression over the columns of a plan further down.
    Expr(&'p LogicalPlan, &'p Expr),
    /// A value: the result of an aggregation, a set operation or the like.
    Value,
}

/// What a plan's column is made of, one step down or more.
pub(crate) fn below<'p>(plan: &'p LogicalPlan, column: &Column) -> Below<'p> {
    match plan.schema().maybe_index_of_column(column) {
        Some(index) => below_at(plan, index),
        None => Below::Value,
    }
}

fn below_at(plan: &LogicalPlan, index: usize) -> Below<'_> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let position = scan.projection.as_ref().map_or(index, |projection| projection[index]);
            let found = instance_of(scan)
                .and_then(|(instance, relation)| Some((instance, relation.columns.get(position)?)));
            found.map_or(Below::Value, |(instance, column)| Below::Scan(instance, column))
        }
        LogicalPlan::Projection(projection) => match projection.expr.get(index) {
            Some(Expr::Alias(alias)) => Below::Expr(&projection.input, &alias.expr),
            Some(expr) => Below::Expr(&projection.input, expr),
            None => Below::Value,
        },
        LogicalPlan::SubqueryAlias(alias) => below_at(&alias.input, index),
        LogicalPlan::Filter(filter) => below_at(&filter.input, index),
        LogicalPlan::Sort(sort) => below_at(&sort.input, index),
        LogicalPlan::Limit(limit) => below_at(&limit.input, index),
        LogicalPlan::Join(join) => {
            let left = join.left.schema().fields().len();
            match index < left {
                true => below_at(&join.left, index),
                false => below_at(&join.right, index - left),
            }
        }
        _ => Below::Value,
    }
}

/// An expression, and the plan that it is over, followed down while it is a name for another.
pub(crate) fn followed<'p>(plan: &'p LogicalPlan, expr: &'p Expr) -> (&'p LogicalPlan, &'p Expr) {
    let (mut plan, mut expr) = (plan, expr);
    while let Expr::Column(column) = expr
        && let Below::Expr(input, inner) = below(plan, column)
    {
        (plan, expr) = (input, inner);
    }
    (plan, expr)
}

/// What an expression reads.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reads {
    /// The time of the scan that was asked about.
    pub(crate) time: bool,
    pub(crate) other: bool,
}

/// Whether an expression reads a scan's time, by whatever name.
pub(crate) fn reads(plan: &LogicalPlan, expr: &Expr, instance: usize) -> Reads {
    let mut all = Reads::default();
    visit_sources(plan, expr, |source| {
        let is_time = matches!(source, Below::Scan(number, scanned)
            if number == instance && scanned.kind.is_time());
        all.time |= is_time;
        all.other |= !is_time;
    });
    all
}

/// Whether an expression reads a measure that is still a calculation: a row's own is a value.
pub(crate) fn reads_measure(plan: &LogicalPlan, expr: &Expr) -> bool {
    let mut found = false;
    visit_sources(plan, expr, |source| {
        found |= matches!(source, Below::Scan(_, scanned)
            if matches!(scanned.kind, ScanKind::Measure(_)));
    });
    found
}

/// The scans' columns and the values that an expression comes from. Each expression below is entered
/// once: what a query reads twice would double with every query around it. A row's own measure is a
/// value.
fn visit_sources<'p>(plan: &'p LogicalPlan, expr: &'p Expr, mut visit: impl FnMut(Below<'p>)) {
    let mut seen: HashSet<*const Expr> = HashSet::new();
    let mut pending = vec![(plan, expr)];
    while let Some((plan, expr)) = pending.pop() {
        // Infallible: the visitor never fails.
        let _ = expr.apply(|node| {
            Ok(match node {
                Expr::ScalarFunction(call) if call.func.name() == markers::MEASURE_OF_ROW => {
                    visit(Below::Value);
                    TreeNodeRecursion::Jump
                }
                Expr::Column(column) => {
                    match below(plan, column) {
                        Below::Expr(_, inner) if !seen.insert(inner) => {}
                        Below::Expr(input, inner) => pending.push((input, inner)),
                        source => visit(source),
                    }
                    TreeNodeRecursion::Continue
                }
                _ => TreeNodeRecursion::Continue,
            })
        });
    }
}

/// What identifies the rows of one part of a FROM clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// A scan of a relation.
    Scan(usize),
    /// A finished result, by its place in the plan.
    Result(usize),
}

/// Which parts each part determines: for one row of it, at most one of each of those is joined to
/// it. A part that determines all has each of its rows once.
#[derive(Debug, Default)]
pub(crate) struct Fanout {
    pub(crate) determines: BTreeMap<Part, BTreeSet<Part>>,
    /// Scans that an outer join may pad with NULLs.
    pub(crate) padded: BTreeSet<usize>,
    /// The relation of each scan, for messages.
    pub(crate) relations: BTreeMap<usize, String>,
    /// Columns that identify a row of each part, by name in the plan where the part begins.
    keys: BTreeMap<Part, KeyOf>,
    results: usize,
}

#[derive(Debug)]
enum KeyOf {
    /// Names of dimensions.
    Scan(Vec<String>),
    /// Positions in the result's schema; None where nothing is known to be unique.
    Result(Option<Vec<usize>>),
}

impl Fanout {
    pub(crate) fn of(plan: &LogicalPlan) -> Self {
        let mut fanout = Self::default();
        fanout.visit(plan);
        fanout
    }

    /// Whether other parts repeat the rows of a scan.
    pub(crate) fn repeats(&self, instance: usize) -> bool {
        let all = self.determines.len();
        self.determines.get(&Part::Scan(instance)).is_none_or(|known| known.len() < all)
    }

    /// The parts that have many rows for one of a scan.
    pub(crate) fn many_sides(&self, instance: usize) -> BTreeSet<Part> {
        let known = self.determines.get(&Part::Scan(instance));
        let all = self.determines.keys().copied();
        all.filter(|part| !known.is_some_and(|known| known.contains(part))).collect()
    }

    /// Whether some part determines both: then the join's rows are that part's, whatever else hangs
    /// on them.
    pub(crate) fn meet_in_one_row(&self, a: Part, b: Part) -> bool {
        self.determines.values().any(|known| known.contains(&a) && known.contains(&b))
    }

    fn visit(&mut self, plan: &LogicalPlan) -> BTreeSet<Part> {
        match plan {
            LogicalPlan::TableScan(scan) => match instance_of(scan) {
                Some((instance, relation)) => {
                    let part = Part::Scan(instance);
                    self.keys.insert(part, KeyOf::Scan(relation.relation.entity.key.clone()));
                    self.relations.insert(instance, relation.relation.name.clone());
                    self.begin(part)
                }
                None => self.result(None),
            },
            LogicalPlan::Projection(node) => self.visit(&node.input),
            LogicalPlan::SubqueryAlias(node) => self.visit(&node.input),
            LogicalPlan::Filter(node) => self.visit(&node.input),
            LogicalPlan::Sort(node) => self.visit(&node.input),
            LogicalPlan::Limit(node) => self.visit(&node.input),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Aggregate(aggregate) => {
                let grouping_sets =
                    matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]);
                let keys = (0..aggregate.group_expr.len()).collect();
                self.result((!grouping_sets).then_some(keys))
            }
            _ => self.result(None),
        }
    }

    fn begin(&mut self, part: Part) -> BTreeSet<Part> {
        self.determines.insert(part, [part].into());
        [part].into()
    }

    fn result(&mut self, key: Option<Vec<usize>>) -> BTreeSet<Part> {
        let part = Part::Result(self.results);
        self.results += 1;
        self.keys.insert(part, KeyOf::Result(key));
        self.begin(part)
    }

    fn join(&mut self, join: &Join) -> BTreeSet<Part> {
        let left = self.visit(&join.left);
        let right = self.visit(&join.right);
        let scans = |parts: &BTreeSet<Part>| {
            let scan = |part: &Part| match part {
                Part::Scan(instance) => Some(*instance),
                Part::Result(_) => None,
            };
            parts.iter().filter_map(scan).collect::<Vec<_>>()
        };
        match join.join_type {
            JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => return left,
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => return right,
            JoinType::Inner => {}
            JoinType::Left => self.padded.extend(scans(&right)),
            JoinType::Right => self.padded.extend(scans(&left)),
            JoinType::Full => {
                self.padded.extend(scans(&left));
                self.padded.extend(scans(&right));
            }
        }
        let pairs = equalities(join);
        let forward: Vec<(&Expr, &Expr)> = pairs.iter().map(|(l, r)| (l, r)).collect();
        let backward: Vec<(&Expr, &Expr)> = pairs.iter().map(|(l, r)| (r, l)).collect();
        let to_right = self.determiners(&join.left, &left, &join.right, &right, &forward);
        let to_left = self.determiners(&join.right, &right, &join.left, &left, &backward);
        self.extend(&to_right);
        self.extend(&to_left);
        left.union(&right).copied().collect()
    }

    fn extend(&mut self, (parts, reached): &(BTreeSet<Part>, BTreeSet<Part>)) {
        for part in parts {
            if let Some(known) = self.determines.get_mut(part) {
                known.extend(reached.iter().copied());
            }
        }
    }

    /// The parts of `from` whose rows meet at most one row of some parts of `to`, and those: the
    /// join covers the key of a part of `to`, which with it fixes what that part determines, by
    /// columns of parts that they determine.
    fn determiners(
        &self,
        from_plan: &LogicalPlan,
        from: &BTreeSet<Part>,
        to_plan: &LogicalPlan,
        to: &BTreeSet<Part>,
        pairs: &[(&Expr, &Expr)],
    ) -> (BTreeSet<Part>, BTreeSet<Part>) {
        let covered = to.iter().filter(|part| self.covers(to_plan, **part, pairs));
        let reached = covered.filter_map(|part| self.determines.get(part)).flatten().copied();
        let reached: BTreeSet<Part> = reached.collect();
        let sources: Option<BTreeSet<Part>> = pairs
            .iter()
            .flat_map(|(expr, _)| expr.column_refs())
            .map(|column| self.part_of(from_plan, from, column))
            .collect();
        let Some(sources) = sources.filter(|_| !reached.is_empty()) else {
            return (BTreeSet::new(), BTreeSet::new());
        };
        let knows = |part: &Part| {
            self.determines.get(part).is_some_and(|known| known.is_superset(&sources))
        };
        (from.iter().copied().filter(knows).collect(), reached)
    }

    /// Whether the right-hand columns of the equalities include a key of a part.
    fn covers(&self, plan: &LogicalPlan, part: Part, pairs: &[(&Expr, &Expr)]) -> bool {
        let columns = pairs.iter().filter_map(|(_, expr)| match expr {
            Expr::Column(column) => Some(column),
            _ => None,
        });
        match (self.keys.get(&part), part) {
            (Some(KeyOf::Scan(key)), Part::Scan(instance)) => {
                let joined: BTreeSet<String> = columns
                    .filter_map(|column| scan_column(plan, column))
                    .filter(|(number, ..)| *number == instance)
                    .filter_map(|(_, relation, column)| own_attribute(relation, column))
                    .collect();
                key.iter().all(|name| joined.contains(name))
            }
            (Some(KeyOf::Result(Some(key))), Part::Result(_)) => {
                let joined: BTreeSet<usize> =
                    columns.filter_map(|column| result_position(plan, column)).collect();
                key.iter().all(|position| joined.contains(position))
            }
            _ => false,
        }
    }

    fn part_of(&self, plan: &LogicalPlan, parts: &BTreeSet<Part>, column: &Column) -> Option<Part> {
        if let Some((instance, ..)) = scan_column(plan, column) {
            return Some(Part::Scan(instance));
        }
        // With one part on this side there is no doubt whose column it is.
        match parts.len() {
            1 => parts.iter().next().copied(),
            _ => None,
        }
    }
}

/// The entity's own attribute that a scanned column is.
pub(crate) fn own_attribute(relation: &RelationScan, column: &ScanColumn) -> Option<String> {
    let ScanKind::Dimension(index) = column.kind else { return None };
    let dimension = relation.relation.entity.dimensions.get(index)?;
    dimension.path.is_empty().then(|| dimension.attribute.clone())
}

/// The position, in the aggregation at the bottom, of a column seen through projections.
fn result_position(plan: &LogicalPlan, column: &Column) -> Option<usize> {
    let index = plan.schema().maybe_index_of_column(column)?;
    result_position_at(plan, index)
}

fn result_position_at(plan: &LogicalPlan, index: usize) -> Option<usize> {
    match plan {
        LogicalPlan::Aggregate(_) => Some(index),
        LogicalPlan::Projection(projection) => {
            match projection.expr.get(index)?.clone().unalias() {
                Expr::Column(column) => result_position(&projection.input, &column),
                _ => None,
            }
        }
        LogicalPlan::SubqueryAlias(alias) => result_position_at(&alias.input, index),
        LogicalPlan::Filter(filter) => result_position_at(&filter.input, index),
        LogicalPlan::Sort(sort) => result_position_at(&sort.input, index),
        LogicalPlan::Limit(limit) => result_position_at(&limit.input, index),
        _ => None,
    }
}

/// The equalities of a join: its keys, and those in its filter, oriented left to right.
pub(crate) fn equalities(join: &Join) -> Vec<(Expr, Expr)> {
    use datafusion::logical_expr::utils::split_conjunction;
    use datafusion::logical_expr::{BinaryExpr, Operator};
    let mut pairs = join.on.clone();
    let belongs = |expr: &Expr, plan: &Arc<LogicalPlan>| {
        let columns = expr.column_refs();
        !columns.is_empty()
            && columns.iter().all(|it| plan.schema().maybe_index_of_column(it).is_some())
    };
    for conjunct in join.filter.iter().flat_map(split_conjunction) {
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = conjunct else {
            continue;
        };
        if belongs(left, &join.left) && belongs(right, &join.right) {
            pairs.push((left.as_ref().clone(), right.as_ref().clone()));
        } else if belongs(right, &join.left) && belongs(left, &join.right) {
            pairs.push((right.as_ref().clone(), left.as_ref().clone()));
        }
    }
    pairs
}

/// Whether an expression holds a query of its own.
pub(crate) fn asks(expr: &Expr) -> bool {
    let is_query = |expr: &Expr| {
        Ok(matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(..)
        ))
    };
    expr.exists(is_query).unwrap_or(true)
}
