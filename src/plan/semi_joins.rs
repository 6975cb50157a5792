//! Joins to another entity of which nothing but a condition is read, as tests whether it has a row.
//!
//! "Not by staff" asks of each order's customer only whether it is one of the few that are staff. A
//! left join carries every customer's row to find out; a test needs the keys of those few.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, ExprSchema, NullEquality, Result, ScalarValue};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    EmptyRelation, Expr, Filter, Join, JoinType, LogicalPlan, Projection, and, lit,
};

use super::error::PlanError;
use super::latest::Latest;
use super::spread::Spread;
use crate::functions;

/// The columns of a node that nodes above it read; None for all.
type Read = Option<HashSet<Column>>;

/// Rewrites `Filter(condition on B, A LEFT JOIN B)` where nothing else is read of B, whose rows are
/// unique by the join's key: what is dropped is A's rows whose partner fails the condition, and
/// where a NULL for each column fails it too, those without a partner. So it is an anti join to the
/// partners that fail, or a semi join to those that pass. Columns keep their names.
pub(super) fn apply(plan: LogicalPlan) -> std::result::Result<LogicalPlan, PlanError> {
    Ok(match is_possible(&plan)? {
        true => below(plan, &None)?,
        false => plan,
    })
}

fn is_possible(plan: &LogicalPlan) -> Result<bool> {
    plan.exists(|node| Ok(left_join(node).is_some()))
}

/// A filter over a left join.
fn left_join(node: &LogicalPlan) -> Option<(&Filter, &Join)> {
    let LogicalPlan::Filter(filter) = node else { return None };
    match filter.input.as_ref() {
        LogicalPlan::Join(join) if join.join_type == JoinType::Left => Some((filter, join)),
        _ => None,
    }
}

fn below(plan: LogicalPlan, read: &Read) -> Result<LogicalPlan> {
    let plan = match left_join(&plan) {
        Some((filter, join)) => tested(filter, join, read)?.unwrap_or(plan),
        None => plan,
    };
    let reads = reads_of_inputs(&plan, read);
    let mut reads = reads.into_iter();
    let rewritten = plan.map_children(|input| {
        let read = reads.next().flatten();
        Ok(Transformed::yes(below(input, &read)?))
    })?;
    Ok(rewritten.data)
}

/// What a node reads of each of its inputs, given what is read of the node.
fn reads_of_inputs(plan: &LogicalPlan, read: &Read) -> Vec<Read> {
    let inputs = plan.inputs();
    let all = || inputs.iter().map(|_| None).collect();
    match plan {
        LogicalPlan::Projection(projection) => {
            let outputs = projection.schema.columns();
            let is_read = |column: &Column| read.as_ref().is_none_or(|read| read.contains(column));
            let exprs = projection.expr.iter().zip(&outputs);
            let exprs = exprs.filter(|(_, column)| is_read(column)).map(|(expr, _)| expr);
            vec![columns(exprs)]
        }
        LogicalPlan::Aggregate(aggregate) => {
            vec![columns(aggregate.group_expr.iter().chain(&aggregate.aggr_expr))]
        }
        LogicalPlan::Filter(filter) => vec![with(read, columns([&filter.predicate]))],
        LogicalPlan::Sort(sort) => vec![with(read, columns(sort.expr.iter().map(|it| &it.expr)))],
        LogicalPlan::Join(join) => {
            let keys = join.on.iter().flat_map(|(left, right)| [left, right]);
            let own = with(read, columns(keys.chain(&join.filter)));
            inputs.iter().map(|_| own.clone()).collect()
        }
        LogicalPlan::Limit(_) => vec![read.clone()],
        LogicalPlan::Window(window) => vec![with(read, columns(&window.window_expr))],
        LogicalPlan::SubqueryAlias(alias) => vec![read.as_ref().map(|read| {
            let outputs = alias.schema.columns().into_iter().zip(alias.input.schema().columns());
            outputs.filter(|(output, _)| read.contains(output)).map(|(_, input)| input).collect()
        })],
        LogicalPlan::Extension(extension) if let Some(spread) = Spread::of(extension) => {
            vec![with(read, columns([&spread.from, &spread.end]))]
        }
        _ => all(),
    }
}

/// The columns of some expressions; None where there are sub-queries in them, which may read any.
fn columns<'e>(exprs: impl IntoIterator<Item = &'e Expr>) -> Read {
    let mut found = HashSet::new();
    for expr in exprs {
        if has_subquery(expr) {
            return None;
        }
        found.extend(expr.column_refs().into_iter().cloned());
    }
    Some(found)
}

fn has_subquery(expr: &Expr) -> bool {
    let is_subquery = |expr: &Expr| {
        matches!(
            expr,
            Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::ScalarSubquery(_)
                | Expr::OuterReferenceColumn(..)
        )
    };
    expr.exists(|expr| Ok(is_subquery(expr))).unwrap_or(true)
}

fn with(read: &Read, own: Read) -> Read {
    let mut both = read.clone()?;
    both.extend(own?);
    Some(both)
}

/// The filter and its join as a test; None where that isn't the same, or more is read of the right
/// side.
fn tested(filter: &Filter, join: &Join, read: &Read) -> Result<Option<LogicalPlan>> {
    let Some(read) = read else { return Ok(None) };
    let right = join.right.schema();
    let is_of_right = |column: &Column| right.has_column(column);
    if join.filter.is_some()
        || join.null_equality != NullEquality::NullEqualsNothing
        || read.iter().any(is_of_right)
        || !is_unique(&join.right, &join.on)
    {
        return Ok(None);
    }
    let (mut tests, mut others) = (Vec::new(), Vec::new());
    for conjunct in split_conjunction(&filter.predicate) {
        let columns = conjunct.column_refs();
        let of_right = columns.iter().filter(|column| is_of_right(column)).count();
        match of_right {
            0 => others.push(conjunct.clone()),
            _ if of_right < columns.len() || conjunct.is_volatile() || has_subquery(conjunct) => {
                return Ok(None);
            }
            _ => tests.push(conjunct.clone()),
        }
    }
    let Some(test) = tests.into_iter().reduce(and) else { return Ok(None) };
    let (join_type, partners) = match without_partner(&test, right)? {
        Some(true) => (JoinType::LeftAnti, fails(test)),
        Some(false) => (JoinType::LeftSemi, test),
        None => return Ok(None),
    };
    let partners = simplified(Filter::try_new(partners, Arc::clone(&join.right))?)?;
    let tested = Join::try_new(
        Arc::clone(&join.left),
        Arc::new(partners),
        join.on.clone(),
        None,
        join_type,
        join.join_constraint,
        join.null_equality,
        false,
    )?;
    let mut rows = LogicalPlan::Join(tested);
    if let Some(predicate) = others.into_iter().reduce(and) {
        rows = LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(rows))?);
    }
    Ok(Some(with_columns_of(rows, join)?))
}

/// The left side's rows with the columns of the join: nobody reads those of the right side, but the
/// nodes above know their names.
fn with_columns_of(rows: LogicalPlan, join: &Join) -> Result<LogicalPlan> {
    let left = rows.schema().fields().len();
    let mut exprs: Vec<Expr> = rows.schema().columns().into_iter().map(Expr::Column).collect();
    for (qualifier, field) in join.schema.iter().skip(left) {
        let null = Expr::Literal(ScalarValue::try_from(field.data_type())?, None);
        exprs.push(null.alias_qualified(qualifier.cloned(), field.name()));
    }
    let schema = Arc::clone(&join.schema);
    Ok(LogicalPlan::Projection(Projection::try_new_with_schema(exprs, Arc::new(rows), schema)?))
}

/// Whether a condition holds where each of its columns is NULL: None where that isn't known.
fn without_partner(test: &Expr, schema: &DFSchema) -> Result<Option<bool>> {
    let nulls = test.clone().transform_up(|expr| {
        Ok(match &expr {
            Expr::Column(column) => {
                let field = schema.field_from_column(column)?;
                let null = ScalarValue::try_from(field.data_type())?;
                Transformed::yes(Expr::Literal(null, None))
            }
            _ => Transformed::no(expr),
        })
    })?;
    let nothing = EmptyRelation { produce_one_row: true, schema: Arc::new(DFSchema::empty()) };
    let nothing = LogicalPlan::EmptyRelation(nothing);
    let test = Projection::try_new(vec![nulls.data.alias("test")], Arc::new(nothing))?;
    let folded = functions::simplify(LogicalPlan::Projection(test))?;
    Ok(match folded.expressions().pop().map(Expr::unalias) {
        Some(Expr::Literal(ScalarValue::Boolean(holds), _)) => Some(holds == Some(true)),
        _ => None,
    })
}

/// That a condition is false or NULL.
fn fails(test: Expr) -> Expr {
    match test {
        Expr::IsTrue(inner) => Expr::IsNotTrue(inner),
        Expr::IsNotTrue(inner) => Expr::IsTrue(inner),
        Expr::IsFalse(inner) => Expr::IsNotFalse(inner),
        Expr::IsNotFalse(inner) => Expr::IsFalse(inner),
        Expr::IsNull(inner) => Expr::IsNotNull(inner),
        Expr::IsNotNull(inner) => Expr::IsNull(inner),
        other => Expr::IsNotTrue(Box::new(other)),
    }
}

fn simplified(filter: Filter) -> Result<LogicalPlan> {
    let Filter { predicate, input, .. } = filter;
    let schema = input.schema();
    let nothing = EmptyRelation { produce_one_row: false, schema: Arc::clone(schema) };
    let over_nothing = Arc::new(LogicalPlan::EmptyRelation(nothing));
    let folded =
        functions::simplify(LogicalPlan::Filter(Filter::try_new(predicate, over_nothing)?))?;
    let predicate = match folded {
        LogicalPlan::Filter(folded) => folded.predicate,
        _ => lit(true),
    };
    Ok(LogicalPlan::Filter(Filter::try_new(predicate, input)?))
}

/// Whether at most one row has the keys of a join's right side: rows deduped by no more than these.
fn is_unique(rows: &LogicalPlan, on: &[(Expr, Expr)]) -> bool {
    let key = |(_, right): &(Expr, Expr)| match right {
        Expr::Column(column) => Some(column.name.clone()),
        _ => None,
    };
    let keys: HashSet<String> = on.iter().filter_map(key).collect();
    match rows {
        LogicalPlan::SubqueryAlias(alias) => is_unique(&alias.input, on),
        LogicalPlan::Filter(filter) => is_unique(&filter.input, on),
        LogicalPlan::Extension(extension) => Latest::of(extension)
            .is_some_and(|latest| latest.dedupe.by.iter().all(|name| keys.contains(name))),
        _ => false,
    }
}
