//! Nodes with a part that has no twin in ClickHouse.
//!
//! Of an aggregation with such a key or condition ClickHouse groups by what that is computed from,
//! and what it gives is grouped once more above: names of weekdays over a billion rows are made of
//! as many rows as there are days. It is done where the aggregates can be put together from parts.
//!
//! Of a filter it judges the conditions that it can.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams, ScalarFunction};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Aggregate, AggregateUDF, Cast, Expr, ExprSchemable, Filter, LogicalPlan, LogicalPlanBuilder,
    lit,
};

use super::facts::TableFactsSource;
use super::generate::generate;
use crate::functions::{Unit, finest_unit, time};
use crate::plan::asks;

/// An aggregation in two steps.
pub(super) struct Divided {
    /// For ClickHouse: the parts, by what the keys are computed from.
    pub(super) parts: LogicalPlan,
    /// What is made of `parts`' rows.
    whole: Whole,
}

struct Whole {
    conditions: Vec<Expr>,
    keys: Vec<Expr>,
    aggregates: Vec<Expr>,
    /// Over what `aggregates` give.
    results: Vec<Finish>,
}

/// How an aggregate's result is read from what was made of its parts.
#[derive(Clone, Copy)]
enum Finish {
    Same,
    /// Nothing counted is 0.
    Count,
}

impl Divided {
    /// Divides an aggregation that can't be pushed whole; None where there is nothing to gain.
    ///
    /// # Errors
    /// Only such as mean that the plan was wrong before.
    pub(super) fn of(aggregate: &Aggregate, tables: &dyn TableFactsSource) -> Result<Option<Self>> {
        if aggregate.group_expr.iter().any(|key| matches!(key, Expr::GroupingSet(_))) {
            return Ok(None);
        }
        let Some(flat) = Flat::of(aggregate)? else { return Ok(None) };
        if generate(&flat.input, tables).is_err() {
            return Ok(None);
        }
        Divider { input: flat.input.clone(), tables, keys: Vec::new() }.divide(flat)
    }

    /// The aggregation over `parts`, which are pushed by now, with the columns that it had.
    pub(super) fn over(self, parts: LogicalPlan, schema: &DFSchema) -> Result<LogicalPlan> {
        let Whole { conditions, keys, aggregates, results } = self.whole;
        let mut plan = LogicalPlanBuilder::from(parts);
        if let Some(condition) = conjunction(conditions) {
            plan = plan.filter(condition)?;
        }
        let plan = plan.aggregate(keys, aggregates)?.build()?;
        let keys = plan.schema().fields().len() - results.len();
        let results = std::iter::repeat_n(Finish::Same, keys).chain(results);
        let columns = plan.schema().columns().into_iter().zip(results).zip(schema.iter());
        let columns = columns.map(|((column, finish), (relation, field))| {
            let value = match finish {
                Finish::Same => Expr::Column(column),
                Finish::Count => coalesce(vec![Expr::Column(column), lit(0_i64)]),
            };
            let value = match value.get_type(plan.schema())? == *field.data_type() {
                true => value,
                false => Expr::Cast(Cast::new(Box::new(value), field.data_type().clone())),
            };
            Ok(value.alias_qualified(relation.cloned(), field.name()))
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        LogicalPlanBuilder::from(plan).project(columns)?.build()
    }
}

/// An aggregation whose keys, aggregates and conditions are all over the columns of `input`.
struct Flat {
    input: LogicalPlan,
    keys: Vec<Expr>,
    aggregates: Vec<Expr>,
    conditions: Vec<Expr>,
    /// How many nodes may still be put in the places of columns.
    room: usize,
}

/// Queries in queries that each use a column twice would double what is sent with each of them.
const MOST_NODES: usize = 4_000;

impl Flat {
    /// Looks through projections and filters; None where an expression can't be moved.
    fn of(aggregate: &Aggregate) -> Result<Option<Self>> {
        let mut flat = Self {
            input: aggregate.input.as_ref().clone(),
            keys: aggregate.group_expr.clone(),
            aggregates: aggregate.aggr_expr.clone(),
            conditions: Vec::new(),
            room: MOST_NODES,
        };
        loop {
            let (columns, below) = match &flat.input {
                LogicalPlan::Filter(filter) => {
                    flat.conditions.extend(split_conjunction_owned(filter.predicate.clone()));
                    (None, filter.input.as_ref().clone())
                }
                LogicalPlan::Projection(projection) => {
                    if projection.expr.iter().any(Expr::is_volatile) {
                        return Ok(None);
                    }
                    let columns = projection.expr.iter().cloned().map(|expr| expr.unalias());
                    let columns: Vec<_> =
                        projection.schema.columns().into_iter().zip(columns).collect();
                    (Some(columns), projection.input.as_ref().clone())
                }
                LogicalPlan::SubqueryAlias(alias) => {
                    let below = alias.input.schema().columns().into_iter().map(Expr::Column);
                    let columns: Vec<_> = alias.schema.columns().into_iter().zip(below).collect();
                    (Some(columns), alias.input.as_ref().clone())
                }
                _ => break,
            };
            if let Some(columns) = columns
                && !flat.read(&columns)?
            {
                return Ok(None);
            }
            flat.input = below;
        }
        let exprs = [&flat.keys, &flat.aggregates, &flat.conditions];
        let can_move = !exprs.into_iter().flatten().any(|expr| expr.is_volatile() || asks(expr));
        Ok(can_move.then_some(flat))
    }

    /// Puts what each column is in its place; false where that becomes too long.
    fn read(&mut self, columns: &[(Column, Expr)]) -> Result<bool> {
        let columns: HashMap<&Column, (&Expr, usize)> =
            columns.iter().map(|(column, value)| (column, (value, nodes(value)))).collect();
        let mut room = Some(self.room);
        for expr in self.keys.iter_mut().chain(&mut self.aggregates).chain(&mut self.conditions) {
            *expr = std::mem::take(expr)
                .transform_up(|expr| {
                    let Expr::Column(column) = &expr else { return Ok(Transformed::no(expr)) };
                    let Some((value, nodes)) = columns.get(column) else {
                        return Ok(Transformed::no(expr));
                    };
                    room = room.and_then(|room| room.checked_sub(*nodes));
                    Ok(match room {
                        Some(_) => Transformed::yes((*value).clone()),
                        None => Transformed::no(expr),
                    })
                })
                .data()?;
        }
        self.room = room.unwrap_or_default();
        Ok(room.is_some())
    }
}

/// How many nodes an expression has, but for plain columns, which take no room.
fn nodes(expr: &Expr) -> usize {
    let mut nodes = 0;
    let counted = expr.apply(|expr| {
        nodes += usize::from(!matches!(expr, Expr::Column(_)));
        Ok(TreeNodeRecursion::Continue)
    });
    counted.map_or(usize::MAX, |_| nodes)
}

/// Finds what ClickHouse groups by.
struct Divider<'t> {
    input: LogicalPlan,
    tables: &'t dyn TableFactsSource,
    keys: Vec<Expr>,
}

impl Divider<'_> {
    fn divide(mut self, flat: Flat) -> Result<Option<Divided>> {
        let mut below = Vec::new();
        let mut conditions = Vec::new();
        for condition in flat.conditions {
            if self.is_pushable(&condition)? {
                below.push(condition);
            } else if let Some(condition) = self.over_keys(condition)? {
                conditions.push(condition);
            } else {
                return Ok(None);
            }
        }
        let mut keys = Vec::new();
        for key in flat.keys {
            let Some(key) = self.over_keys(key)? else { return Ok(None) };
            keys.push(key);
        }
        let (mut parts, mut aggregates, mut results) = (Vec::new(), Vec::new(), Vec::new());
        let mut is_moved = false;
        for aggregate in flat.aggregates {
            is_moved |= !self.is_pushable_aggregate(&aggregate)?;
            let name = format!("__part{}", parts.len());
            let Some((whole, part, finish)) = self.whole_of(aggregate, &name)? else {
                return Ok(None);
            };
            aggregates.push(whole.alias(format!("__whole{}", aggregates.len())));
            parts.extend(part.map(|part| part.alias(name)));
            results.push(finish);
        }
        if !self.is_fewer_rows(&keys, &conditions, is_moved)? {
            return Ok(None);
        }
        let parts = self.parts(below, parts)?;
        Ok(Some(Divided { parts, whole: Whole { conditions, keys, aggregates, results } }))
    }

    /// Whether something stays above at all, and the rows to send are no moments: those are about as
    /// many as the source's rows.
    fn is_fewer_rows(&self, keys: &[Expr], conditions: &[Expr], is_moved: bool) -> Result<bool> {
        let plain = |key: &Expr| matches!(key, Expr::Column(_) | Expr::Literal(..));
        if conditions.is_empty() && keys.iter().all(plain) && !is_moved {
            return Ok(false);
        }
        for key in &self.keys {
            let data_type = key.get_type(self.input.schema())?;
            if matches!(key, Expr::Column(_)) && data_type.is_temporal() && !is_day(&data_type) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn parts(self, below: Vec<Expr>, parts: Vec<Expr>) -> Result<LogicalPlan> {
        let mut plan = LogicalPlanBuilder::from(self.input);
        if let Some(condition) = conjunction(below) {
            plan = plan.filter(condition)?;
        }
        let plan = plan.aggregate(self.keys.clone(), parts)?.build()?;
        let columns = plan.schema().columns().into_iter().enumerate().map(|(index, column)| {
            match index < self.keys.len() {
                true => Expr::Column(column).alias(key_name(index)),
                false => Expr::Column(column),
            }
        });
        let columns: Vec<Expr> = columns.collect();
        LogicalPlanBuilder::from(plan).project(columns)?.build()
    }

    /// An expression over the keys instead of the input; None where a column of it can't be sent.
    fn over_keys(&mut self, expr: Expr) -> Result<Option<Expr>> {
        let mut possible = true;
        let expr = self.replaced(expr, &mut possible)?;
        Ok(possible.then_some(expr))
    }

    /// The largest parts that ClickHouse can compute become keys.
    fn replaced(&mut self, expr: Expr, possible: &mut bool) -> Result<Expr> {
        if expr.column_refs().is_empty() || !*possible {
            return Ok(expr);
        }
        if self.is_pushable(&expr)? {
            return Ok(self.key(expr));
        }
        if let Expr::Column(_) = &expr {
            *possible = false;
            return Ok(expr);
        }
        by_period(expr, self.input.schema())?
            .map_children(|child| Ok(Transformed::yes(self.replaced(child, possible)?)))
            .data()
    }

    fn key(&mut self, expr: Expr) -> Expr {
        let known = self.keys.iter().position(|key| *key == expr);
        let index = known.unwrap_or_else(|| {
            self.keys.push(expr);
            self.keys.len() - 1
        });
        Expr::Column(Column::new_unqualified(key_name(index)))
    }

    fn is_pushable(&self, expr: &Expr) -> Result<bool> {
        is_pushable(expr, &self.input, self.tables)
    }

    fn is_pushable_aggregate(&self, aggregate: &Expr) -> Result<bool> {
        let plan = LogicalPlanBuilder::from(self.input.clone());
        let asked = plan.aggregate(Vec::<Expr>::new(), [aggregate.clone()])?.build()?;
        Ok(generate(&asked, self.tables).is_ok())
    }

    /// An aggregate over the parts, and the part that it needs, if any; None where it isn't made of
    /// parts.
    fn whole_of(
        &mut self,
        aggregate: Expr,
        name: &str,
    ) -> Result<Option<(Expr, Option<Expr>, Finish)>> {
        let Expr::AggregateFunction(AggregateFunction { func, mut params }) = aggregate.unalias()
        else {
            return Ok(None);
        };
        let is_plain = params.order_by.is_empty() && params.null_treatment.is_none();
        let part = Expr::Column(Column::new_unqualified(name));
        let call = |func: &Arc<AggregateUDF>, params| {
            Expr::AggregateFunction(AggregateFunction { func: Arc::clone(func), params })
        };
        // Of distinct values it doesn't matter how often there is each.
        if params.distinct {
            for arg in &mut params.args {
                let Some(over) = self.over_keys(std::mem::take(arg))? else { return Ok(None) };
                *arg = over;
            }
            for key in &mut params.order_by {
                let Some(over) = self.over_keys(key.expr.clone())? else { return Ok(None) };
                key.expr = over;
            }
            let Some(filter) = self.filter_over_keys(params.filter.take())? else {
                return Ok(None);
            };
            params.filter = filter;
            return Ok(Some((call(&func, params), None, Finish::Same)));
        }
        let (whole, finish) = match func.name() {
            "count" if is_plain => (sum_udaf(), Finish::Count),
            "sum" | "min" | "max" | "bool_and" | "bool_or" if is_plain => {
                (Arc::clone(&func), Finish::Same)
            }
            _ => return Ok(None),
        };
        let mut filter = None;
        if let Some(below) = &params.filter
            && !self.is_pushable(below)?
        {
            let Some(over) = self.filter_over_keys(params.filter.take())? else { return Ok(None) };
            filter = over;
        }
        let over = AggregateFunctionParams {
            args: vec![part],
            distinct: false,
            filter,
            order_by: Vec::new(),
            null_treatment: None,
        };
        Ok(Some((call(&whole, over), Some(call(&func, params)), finish)))
    }

    /// The condition of FILTER over the keys; None where it can't be judged above.
    fn filter_over_keys(&mut self, filter: Option<Box<Expr>>) -> Result<Option<Option<Box<Expr>>>> {
        let Some(filter) = filter else { return Ok(Some(None)) };
        Ok(self.over_keys(*filter)?.map(|over| Some(Box::new(over))))
    }
}

/// Whether ClickHouse can compute an expression over a plan that it can run.
fn is_pushable(expr: &Expr, input: &LogicalPlan, tables: &dyn TableFactsSource) -> Result<bool> {
    let asked = LogicalPlanBuilder::from(input.clone()).project([expr.clone()])?.build()?;
    Ok(generate(&asked, tables).is_ok())
}

/// The conditions of a filter in two filters, those that ClickHouse can judge below the others; None
/// where it can judge all of them, or none.
///
/// # Errors
/// Only such as mean that the plan was wrong before.
pub(super) fn filters(
    filter: &Filter,
    tables: &dyn TableFactsSource,
) -> Result<Option<LogicalPlan>> {
    if generate(&filter.input, tables).is_err() {
        return Ok(None);
    }
    let (mut below, mut above) = (Vec::new(), Vec::new());
    for condition in split_conjunction_owned(filter.predicate.clone()) {
        match is_pushable(&condition, &filter.input, tables)? {
            true => below.push(condition),
            false => above.push(condition),
        }
    }
    let (Some(below), Some(above)) = (conjunction(below), conjunction(above)) else {
        return Ok(None);
    };
    let plan = LogicalPlanBuilder::from(filter.input.as_ref().clone());
    Ok(Some(plan.filter(below)?.filter(above)?.build()?))
}

fn key_name(index: usize) -> String {
    format!("__key{index}")
}

fn is_day(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32)
}

/// `to_char(moment, pattern)` of the period that the pattern shows no part of.
fn by_period(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let Expr::ScalarFunction(ScalarFunction { func, mut args }) = expr else { return Ok(expr) };
    let unit = match &args[..] {
        [moment, Expr::Literal(pattern, _)]
            if func.name() == "to_char"
                && matches!(moment.get_type(schema)?, DataType::Timestamp(_, _)) =>
        {
            pattern.try_as_str().flatten().and_then(finest_unit)
        }
        _ => None,
    };
    if let Some(unit) = unit.filter(|unit| *unit > Unit::Second) {
        let moment = std::mem::take(&mut args[0]);
        args[0] = time::date_trunc().call(vec![lit(unit.name()), moment]);
    }
    Ok(Expr::ScalarFunction(ScalarFunction { func, args }))
}
