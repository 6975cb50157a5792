//! A value divided among the rows of a many-side: an order's discount among its lines.
//!
//! Each line gets the value times its weight over that of *all* lines, whichever of them the
//! statement keeps, so the parts sum to the value exactly. Where the statement keeps all of them its
//! own rows are divided; else the lines are read once more, and joined to the statement's rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Column, NullEquality, TableReference};
use datafusion::functions::core::expr_fn::{coalesce, nullif};
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Distinct, Expr, ExprSchemable, Join, JoinType, LogicalPlan, LogicalPlanBuilder,
    Operator, Window, cast, lit, when,
};

use super::atoms::Atom;
use super::error::PlanError;
use super::expand::{Reading, call, joined_sources};
use super::measure::{Columns, Evaluation, RowsSchema, located, rows_schema};
use super::rewrite::{Needs, Rewriter, projected};
use super::shares::{joined_columns, over};
use super::trace::{Part, Scanned, asks, scan_column, scans_of};
use crate::functions::shares;
use crate::model::Allocation;
use crate::model::entity::BASE;

/// The rows among which a value is divided.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lines {
    pub(super) scan: usize,
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
    /// The scan among whose rows an atom's value is divided: of the allocation's entity, joined by
    /// one of its relationships, and determining all that is read of many-sides.
    pub(super) fn lines_of(
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

    /// Asks the scan of the lines for their key, and for their weights where the statement keeps all
    /// lines of a whole.
    pub(super) fn carry_lines(
        &mut self,
        lines: &Lines,
        needs: &mut Needs,
        columns: &mut Columns,
    ) -> Result<(), PlanError> {
        let mut carried = |rewriter: &mut Rewriter<'_>, expr: Expr| {
            let name = rewriter.carried_name();
            needs.extras.entry(lines.scan).or_default().push((name.clone(), expr));
            own(name)
        };
        for key in self.own_key(lines.scan)? {
            columns.lines.push(carried(self.rewriter, key));
        }
        if keeps_lines(self.input, lines) {
            columns.weight = Some(carried(self.rewriter, lines.weight.clone()));
        }
        Ok(())
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
        let (rows, keys) = match columns.weight.take() {
            Some(weight) => self.divided_rows(rows, keys, columns, filters, weight)?,
            None => self.rows_with_parts(lines, rows, keys, columns, filters)?,
        };
        for (index, argument) in &mut columns.arguments {
            *argument = own(part_name(*index));
        }
        Ok((rows, keys))
    }

    /// The rows themselves divided: they are all the lines of their wholes, each once.
    fn divided_rows(
        &self,
        rows: LogicalPlan,
        keys: Vec<Expr>,
        columns: &Columns,
        filters: &mut BTreeMap<usize, Expr>,
        weight: Expr,
    ) -> Result<(LogicalPlan, Vec<Expr>), PlanError> {
        let schema = rows_schema(&rows);
        let mut exprs = whole_of(columns, &schema)?;
        for (index, key) in columns.lines.iter().enumerate() {
            exprs.push(located(key.clone(), &schema)?.alias(line_key(index)));
        }
        exprs.push(located(weight, &schema)?.alias(WEIGHT));
        let (keys, named) = self.key_columns(keys, &schema, filters)?;
        let rows = projected(rows, [named, exprs].concat())?;
        let values: Vec<usize> = columns.arguments.keys().copied().collect();
        Ok((divided(rows, columns.key.len(), columns.lines.len(), &values)?, keys))
    }

    /// The rows joined to the parts of all lines of their wholes.
    fn rows_with_parts(
        &self,
        lines: &Lines,
        rows: LogicalPlan,
        keys: Vec<Expr>,
        columns: &Columns,
        filters: &mut BTreeMap<usize, Expr>,
    ) -> Result<(LogicalPlan, Vec<Expr>), PlanError> {
        let exprs = whole_of(columns, &rows_schema(&rows))?;
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
        Ok((rows, keys))
    }

    /// What each line gets of its whole's values: the whole's key, the line's, the parts.
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
        let sources = joined_sources(from, entity, exprs.iter(), None)?;
        let each = projected(sources, exprs)?;
        let on = (0..keys)
            .map(|index| {
                let whole = Column::new_unqualified(whole_key(index));
                (whole, Column::new_unqualified(line_whole(index)))
            })
            .unzip();
        let rows =
            LogicalPlanBuilder::from(wholes).join(each, JoinType::Left, on, None)?.build()?;
        let rows = divided(rows, keys, entity.key.len(), values)?;
        let names = (0..keys).map(whole_key).chain((0..entity.key.len()).map(line_key));
        projected(rows, names.chain(values.iter().copied().map(part_name)).map(own).collect())
    }
}

/// Whether the rows of a statement are all lines of the wholes that it keeps, each once: nothing but
/// the lines is joined to the wholes, by the key alone, and no condition is about lines.
fn keeps_lines(input: &LogicalPlan, lines: &Lines) -> bool {
    let of_lines = |plan: &LogicalPlan, column: &Column| {
        scan_column(plan, column).is_none_or(|(scan, ..)| scan == lines.scan)
    };
    match input {
        LogicalPlan::Projection(projection) => keeps_lines(&projection.input, lines),
        LogicalPlan::SubqueryAlias(alias) => keeps_lines(&alias.input, lines),
        LogicalPlan::Filter(filter) => {
            let reads_lines = |column: &&Column| of_lines(input, column);
            !asks(&filter.predicate)
                && !filter.predicate.column_refs().iter().any(reads_lines)
                && keeps_lines(&filter.input, lines)
        }
        LogicalPlan::Join(join) => joins_lines(join, input, lines),
        _ => false,
    }
}

fn joins_lines(join: &Join, plan: &LogicalPlan, lines: &Lines) -> bool {
    let (left, right) = (scans_of(&join.left), scans_of(&join.right));
    let only = |scans: &BTreeMap<usize, Scanned<'_>>| match scans.len() {
        1 => scans.keys().next().copied(),
        _ => None,
    };
    let (Some(left), Some(right)) = (only(&left), only(&right)) else { return false };
    let (whole, is_kept) = match lines.scan {
        scan if scan == right => (left, matches!(join.join_type, JoinType::Inner | JoinType::Left)),
        _ => (right, matches!(join.join_type, JoinType::Inner | JoinType::Right)),
    };
    let pairs = joined_columns(plan, lines.scan, whole);
    let conditions = join.filter.iter().flat_map(split_conjunction).count() + join.on.len();
    is_kept
        && pairs.len() == lines.key.len()
        && conditions == pairs.len()
        && is_whole(&join.left)
        && is_whole(&join.right)
}

/// Whether a plan gives all rows of a scan.
fn is_whole(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => is_whole(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => is_whole(&alias.input),
        LogicalPlan::TableScan(scan) => scan.filters.is_empty() && scan.fetch.is_none(),
        _ => false,
    }
}

/// Columns of a branch's rows by which its wholes are told apart, and their values.
fn whole_of(columns: &Columns, schema: &RowsSchema) -> Result<Vec<Expr>, PlanError> {
    let mut exprs = Vec::new();
    for (index, key) in columns.key.iter().enumerate() {
        exprs.push(located(key.clone(), schema)?.alias(whole_key(index)));
    }
    for (index, argument) in &columns.arguments {
        exprs.push(located(argument.clone(), schema)?.alias(whole_value(*index)));
    }
    Ok(exprs)
}

/// Lines beside their wholes, with their part of each value.
///
/// A part is the value times the line's weight over that of all lines, rounded to the value's own
/// digits; what rounding leaves goes to the line with the greatest weight, of equal ones to the one
/// with the least key. So the parts sum to the value exactly.
fn divided(
    rows: LogicalPlan,
    keys: usize,
    line_keys: usize,
    values: &[usize],
) -> Result<LogicalPlan, PlanError> {
    let weight = exact(own(WEIGHT), &rows)?;
    let weight = coalesce(vec![weight.clone(), cast(lit(0i64), weight.get_type(rows.schema())?)]);

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
    order.extend((0..line_keys).map(|index| Sort {
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
    let rank = vec![super::shares::over("row_number", Vec::new(), &whole, order)?.alias(RANK)];
    let rows = LogicalPlan::Window(Window::try_new(rank, Arc::new(rows))?);

    let mut exprs = kept(&rows);
    for index in values {
        let (part, value) = (own(rounded(*index)), own(whole_value(*index)));
        let sum = own(rounded_sum(*index));
        let part = match is_exact(&value, &rows)? {
            true => shares::part_with_rest().call(vec![part, value, sum, own(RANK)]),
            false => {
                let data_type = value.get_type(rows.schema())?;
                let rest = cast(difference(value, sum), data_type.clone());
                let first = own(RANK).eq(lit(1u64));
                let part = when(first, sum_of(part.clone(), rest)).otherwise(part)?;
                cast(part, data_type)
            }
        };
        exprs.push(part.alias(part_name(*index)));
    }
    projected(rows, exprs)
}

/// Whether the parts of a value can be worked out in whole units of its last digit.
fn is_exact(value: &Expr, rows: &LogicalPlan) -> Result<bool, PlanError> {
    let weight = own(WEIGHT).get_type(rows.schema())?;
    Ok(shares::divides(&value.get_type(rows.schema())?, &weight))
}

/// A line's part of a value before the rest is given out, of the value's type: by weight; where no
/// line has any, equal; where there is no line, all of it.
fn share(index: usize, weight: &Expr, rows: &LogicalPlan) -> Result<Expr, PlanError> {
    let value = own(whole_value(index));
    if is_exact(&value, rows)? {
        let args = vec![value, weight.clone(), own(WEIGHT_SUM), own(LINES)];
        return Ok(shares::weighted_part().call(args));
    }
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
