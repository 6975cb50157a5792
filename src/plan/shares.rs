//! How a row counts in groups of its many-side: an order's revenue by its lines' category.
//!
//! A metric says so itself. With `touch` the row counts whole in each group that it touches, so each
//! grouping set makes its rows distinct on its own. With `allocate` its value is divided among *all*
//! its rows of the many-side, whichever of them the statement then keeps or groups by.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Column, NullEquality, ScalarValue, TableReference};
use datafusion::functions::core::expr_fn::{coalesce, nullif};
use datafusion::logical_expr::expr::{Sort, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::utils::{grouping_set_to_exprlist, split_conjunction};
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Distinct, Expr, ExprSchemable, GroupingSet, JoinType, LogicalPlan,
    LogicalPlanBuilder, Operator, Union, Window, WindowFrame, WindowFunctionDefinition, cast, lit,
    when,
};

use super::atoms::Atom;
use super::error::PlanError;
use super::expand::{Reading, call, joined_sources};
use super::measure::{
    Branch, Columns, Evaluation, GROUPING_ID, collect_filters, key_name, located, rows_schema,
};
use super::rewrite::{Needs, aggregated, projected};
use super::trace::{Part, equalities, own_attribute, scan_column, scans_of};
use crate::functions::registry;
use crate::model::entity::BASE;
use crate::model::{Allocation, ManySide};

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

/// The rows among which a value is divided.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lines {
    scan: usize,
    entity: String,
    /// Columns of their source that hold the whole's key, in its order.
    key: Vec<String>,
    /// Over their own source columns.
    weight: Expr,
}

/// Names of the columns by which values are divided: the whole's key and values, a line's key, the
/// key of its whole and its weight; of all lines of a whole their number and weight.
fn whole_key(index: usize) -> String {
    format!("__o{index}")
}
fn whole_value(index: usize) -> String {
    format!("__v{index}")
}
fn line_key(index: usize) -> String {
    format!("__lk{index}")
}
fn line_whole(index: usize) -> String {
    format!("__lo{index}")
}
fn rounded(index: usize) -> String {
    format!("__r{index}")
}
fn rounded_sum(index: usize) -> String {
    format!("__rs{index}")
}
fn part_name(index: usize) -> String {
    format!("__s{index}")
}
const WEIGHT: &str = "__w";
const WEIGHT_SUM: &str = "__ws";
const LINES: &str = "__n";
const RANK: &str = "__rank";

fn own(name: impl Into<String>) -> Expr {
    Expr::Column(Column::new_unqualified(name))
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

    /// The scan among whose rows an atom's value is divided: of the allocation's entity, joined by
    /// one of its relationships, and determining all that is read of many-sides.
    fn lines_of(
        &self,
        atom: &Atom,
        allocation: &Allocation,
        read: &BTreeSet<usize>,
    ) -> Option<Lines> {
        let scans = scans_of(self.input);
        let whole = &scans.get(&atom.instance)?.relation.relation.entity;
        scans.iter().find_map(|(scan, scanned)| {
            let entity = &scanned.relation.relation.entity;
            let known = self.fanout.determines.get(&Part::Scan(*scan))?;
            if entity.name != allocation.entity
                || !self.fanout.many_sides(atom.instance).contains(&Part::Scan(*scan))
                || !read.iter().all(|other| known.contains(&Part::Scan(*other)))
            {
                return None;
            }
            let joined = joined_columns(self.input, *scan, atom.instance);
            let is_joined = |link: &&crate::model::Relationship| {
                let mut pairs = link.key.iter().zip(&whole.key);
                link.entity == whole.name
                    && pairs.all(|(own, key)| joined.contains(&(own.clone(), key.clone())))
            };
            let link = entity.relationships.iter().find(is_joined)?;
            Some(Lines {
                scan: *scan,
                entity: entity.name.clone(),
                key: link.key.clone(),
                weight: allocation.weight.clone(),
            })
        })
    }

    /// Asks the scan of the lines for their key.
    pub(super) fn carry_lines(
        &mut self,
        lines: &Lines,
        needs: &mut Needs,
    ) -> Result<Vec<Expr>, PlanError> {
        let mut columns = Vec::new();
        for key in self.own_key(lines.scan)? {
            let name = self.rewriter.carried_name();
            needs.extras.entry(lines.scan).or_default().push((name.clone(), key));
            columns.push(own(name));
        }
        Ok(columns)
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

    /// The branch's rows, once for each of their lines, with the line's part of each argument in
    /// the argument's place.
    pub(super) fn allocated(
        &mut self,
        lines: &Lines,
        rows: LogicalPlan,
        keys: Vec<Expr>,
        columns: &mut Columns,
        filters: &mut BTreeMap<usize, Expr>,
    ) -> Result<(LogicalPlan, Vec<Expr>), PlanError> {
        let schema = rows_schema(&rows);
        let mut exprs = Vec::new();
        for (index, key) in columns.key.iter().enumerate() {
            exprs.push(located(key.clone(), &schema)?.alias(whole_key(index)));
        }
        for (index, argument) in &columns.arguments {
            exprs.push(located(argument.clone(), &schema)?.alias(whole_value(*index)));
        }
        let wholes = Distinct::All(Arc::new(projected(rows.clone(), exprs)?));
        let values: Vec<usize> = columns.arguments.keys().copied().collect();
        let parts = self.parts(lines, LogicalPlan::Distinct(wholes), columns.key.len(), &values)?;

        let (rows, keys) = self.once(rows, keys, columns, filters)?;
        let schema = rows_schema(&rows);
        let mut on: (Vec<Column>, Vec<Column>) = Default::default();
        let wholes = columns.key.iter().enumerate().map(|(i, key)| (key, whole_key(i)));
        let each = columns.lines.iter().enumerate().map(|(i, key)| (key, line_key(i)));
        for (key, name) in wholes.chain(each) {
            if let Expr::Column(column) = located(key.clone(), &schema)? {
                on.0.push(column);
                on.1.push(Column::new_unqualified(name));
            }
        }
        // A whole without lines has one row, whose line is NULL.
        let rows = LogicalPlanBuilder::from(rows)
            .join_detailed(parts, JoinType::Left, on, None, NullEquality::NullEqualsNull)?
            .build()?;
        for (index, argument) in &mut columns.arguments {
            *argument = own(part_name(*index));
        }
        Ok((rows, keys))
    }

    /// What each line gets of its whole's values: the whole's key, the line's, the parts.
    ///
    /// A part is the value times the line's weight over that of all lines, rounded to the value's
    /// own digits; what rounding leaves goes to the line with the greatest weight, of equal ones to
    /// the one with the least key. So the parts sum to the value exactly.
    fn parts(
        &self,
        lines: &Lines,
        wholes: LogicalPlan,
        keys: usize,
        values: &[usize],
    ) -> Result<LogicalPlan, PlanError> {
        let missing = || PlanError::Internal(format!("no entity {}", lines.entity));
        let entity = self.rewriter.model.entities.get(&lines.entity).ok_or_else(missing)?;
        let base =
            |name: &String| Expr::Column(Column::new(Some(TableReference::bare(BASE)), name));
        let mut exprs: Vec<Expr> = Vec::new();
        exprs.extend(lines.key.iter().enumerate().map(|(i, it)| base(it).alias(line_whole(i))));
        exprs.extend(entity.key.iter().enumerate().map(|(i, it)| base(it).alias(line_key(i))));
        exprs.push(lines.weight.clone().alias(WEIGHT));
        let scans = scans_of(self.input);
        let clock = &scans.get(&lines.scan).ok_or_else(missing)?.relation.clock;
        let from = Reading { model: self.rewriter.model, clock };
        let sources = joined_sources(from, entity, None, exprs.iter(), None)?;
        let each = projected(sources, exprs)?;
        let on = (0..keys)
            .map(|index| {
                let whole = Column::new_unqualified(whole_key(index));
                (whole, Column::new_unqualified(line_whole(index)))
            })
            .unzip();
        let rows =
            LogicalPlanBuilder::from(wholes).join(each, JoinType::Left, on, None)?.build()?;
        let weight = exact(own(WEIGHT), &rows)?;
        let weight =
            coalesce(vec![weight.clone(), cast(lit(0i64), weight.get_type(rows.schema())?)]);

        let whole: Vec<Expr> = (0..keys).map(|index| own(whole_key(index))).collect();
        let over = |name: &str, args| over(name, args, &whole, Vec::new());
        let sums = vec![
            over("sum", vec![weight.clone()])?.alias(WEIGHT_SUM),
            over("count", vec![own(line_key(0))])?.alias(LINES),
        ];
        let rows = LogicalPlan::Window(Window::try_new(sums, Arc::new(rows))?);

        let mut exprs = kept(&rows);
        for index in values {
            exprs.push(share(*index, &weight, &rows)?.alias(rounded(*index)));
        }
        let rows = projected(rows, exprs)?;
        let mut order = vec![Sort { expr: weight, asc: false, nulls_first: false }];
        order.extend((0..entity.key.len()).map(|index| Sort {
            expr: own(line_key(index)),
            asc: true,
            nulls_first: false,
        }));
        let mut sums = Vec::new();
        for index in values {
            sums.push(over("sum", vec![own(rounded(*index))])?.alias(rounded_sum(*index)));
        }
        let rows = LogicalPlan::Window(Window::try_new(sums, Arc::new(rows))?);
        // Windows of another order are a node of their own.
        let rank = vec![self::over("row_number", Vec::new(), &whole, order)?.alias(RANK)];
        let rows = LogicalPlan::Window(Window::try_new(rank, Arc::new(rows))?);

        let mut exprs = whole.clone();
        exprs.extend((0..entity.key.len()).map(|index| own(line_key(index))));
        for index in values {
            let value = own(whole_value(*index));
            let data_type = value.get_type(rows.schema())?;
            let rest = difference(value, own(rounded_sum(*index)));
            let rest = cast(rest, data_type);
            let part = when(own(RANK).eq(lit(1u64)), sum_of(own(rounded(*index)), rest))
                .otherwise(own(rounded(*index)))?;
            let data_type = own(rounded(*index)).get_type(rows.schema())?;
            exprs.push(cast(part, data_type).alias(part_name(*index)));
        }
        projected(rows, exprs)
    }
}

/// A line's part of a value before the rest is given out, of the value's type: by weight; where no
/// line has any, equal; where there is no line, all of it.
fn share(index: usize, weight: &Expr, rows: &LogicalPlan) -> Result<Expr, PlanError> {
    let value = own(whole_value(index));
    let data_type = value.get_type(rows.schema())?;
    let number = exact(value, rows)?;
    let lines = nullif(exact(own(LINES), rows)?, lit(0i64));
    let weights = nullif(own(WEIGHT_SUM), lit(0i64));
    let by_weight = quotient(product(number.clone(), weight.clone()), weights);
    let part = coalesce(vec![by_weight, quotient(number.clone(), lines), number]);
    let part = match &data_type {
        DataType::Float32 | DataType::Float64 => part,
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => {
            call("round", vec![part, lit(i64::from(*scale))])?
        }
        _ => call("round", vec![part, lit(0i64)])?,
    };
    Ok(cast(part, data_type))
}

/// A number in a type whose division has digits behind the point.
fn exact(number: Expr, rows: &LogicalPlan) -> Result<Expr, PlanError> {
    Ok(match number.get_type(rows.schema())? {
        data_type if data_type.is_integer() => cast(number, DataType::Decimal128(19, 0)),
        _ => number,
    })
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

fn product(left: Expr, right: Expr) -> Expr {
    binary(left, Operator::Multiply, right)
}

fn quotient(left: Expr, right: Expr) -> Expr {
    binary(left, Operator::Divide, right)
}

fn sum_of(left: Expr, right: Expr) -> Expr {
    binary(left, Operator::Plus, right)
}

fn difference(left: Expr, right: Expr) -> Expr {
    binary(left, Operator::Minus, right)
}

/// All columns of a plan.
fn kept(plan: &LogicalPlan) -> Vec<Expr> {
    plan.schema().columns().into_iter().map(Expr::Column).collect()
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
fn joined_columns(plan: &LogicalPlan, left: usize, right: usize) -> BTreeSet<(String, String)> {
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
