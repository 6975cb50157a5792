//! Subqueries that depend on the row around them in any way, as joins.
//!
//! DataFusion's rules take the conditions on the row around a subquery out of it and make them those
//! of a join. Where the subquery does more with its rows than to filter and aggregate them, they give
//! up, or take conditions out of what they decide on: a LIMIT is of the rows that pass. Here the
//! subquery is worked out for every set of values that it reads of the rows around it ([`pushed`]), and
//! joined to them by those values.
//!
//! Source: T. Neumann, A. Kemper, "Unnesting Arbitrary Queries", BTW 2015.

mod pushed;
mod simple;

use std::sync::Arc;

use datafusion::arrow::datatypes::FieldRef;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, NullEquality};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{AggregateFunction, Exists, InSubquery};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Expr, FetchType, Filter, Join, LogicalPlan, LogicalPlanBuilder, Operator, Subquery,
    binary_expr, lit,
};

use self::pushed::{Domain, Pushed};
use self::simple::{Place, is_simple};
use super::subqueries::subquery_of;
use crate::functions::{keeping_name, single_value};

/// The plan without those subqueries that only this can make joins of; None where it can't either.
pub(super) fn as_joins(plan: LogicalPlan) -> Result<Option<LogicalPlan>> {
    let mut names = Names::default();
    let joined = plan.transform_up_with_subqueries(|node| names.node(node))?;
    Ok((!names.gave_up).then_some(joined.data))
}

/// Whether a plan, or any subquery in it, reads columns of the rows around it that `is_meant`.
fn reads_outer(plan: &LogicalPlan, is_meant: &dyn Fn(&Column) -> bool) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                found |= matches!(expr, Expr::OuterReferenceColumn(_, column) if is_meant(column));
                Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
            })
        })?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// The columns of some rows that a subquery reads.
pub(super) fn read_of(
    rows: &LogicalPlan,
    subquery: &LogicalPlan,
) -> Result<Vec<(Column, FieldRef)>> {
    let mut read = Vec::new();
    subquery.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::OuterReferenceColumn(field, column) = expr
                    && rows.schema().has_column(column)
                    && !read.iter().any(|(known, _)| known == column)
                {
                    read.push((column.clone(), Arc::clone(field)));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(read)
}

/// Gives out names that nothing else has.
#[derive(Default)]
pub(super) struct Names {
    given: usize,
    /// Whether there was a subquery for which the plan isn't known.
    gave_up: bool,
}

impl Names {
    fn next(&mut self) -> String {
        self.given += 1;
        format!("__dependent{}", self.given)
    }

    /// A node whose inputs, and the subqueries in it, have been through this already.
    fn node(&mut self, node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let joined = match &node {
            LogicalPlan::Join(join) if join.filter.as_ref().is_some_and(has_subquery) => {
                self.join(join)?
            }
            LogicalPlan::Join(join) => self.lateral(join)?,
            LogicalPlan::Filter(filter) => self.filter(filter)?,
            LogicalPlan::Projection(_)
            | LogicalPlan::Aggregate(_)
            | LogicalPlan::Window(_)
            | LogicalPlan::Sort(_) => self.values(&node)?,
            _ => None,
        };
        Ok(match joined {
            Some(joined) => Transformed::yes(joined),
            None => Transformed::no(node),
        })
    }

    /// A subquery for DataFusion's rules, whose column is found by a name that nothing else has.
    fn value(&mut self, subquery: &Subquery) -> Result<Expr> {
        let column = subquery.subquery.schema().columns().swap_remove(0);
        let rows = LogicalPlanBuilder::from(Arc::clone(&subquery.subquery));
        let named = rows.project([Expr::Column(column).alias(self.next())])?.build()?;
        Ok(Expr::ScalarSubquery(subquery.with_plan(Arc::new(named))))
    }

    fn pushed(&mut self, domain: &Domain, subquery: &LogicalPlan) -> Result<Option<Pushed>> {
        let pushed = domain.pushed(subquery, self)?;
        self.gave_up |= pushed.is_none();
        Ok(pushed)
    }

    /// What an inner join asks of its rows may as well be asked afterwards.
    fn join(&mut self, join: &Join) -> Result<Option<LogicalPlan>> {
        let (Some(predicate), JoinType::Inner) = (&join.filter, join.join_type) else {
            return Ok(None);
        };
        let rows = Arc::new(LogicalPlan::Join(Join { filter: None, ..join.clone() }));
        let filter = Filter::try_new(predicate.clone(), rows)?;
        let joined = self.filter(&filter)?;
        Ok(Some(joined.unwrap_or(LogicalPlan::Filter(filter))))
    }

    fn lateral(&mut self, join: &Join) -> Result<Option<LogicalPlan>> {
        if !matches!(join.join_type, JoinType::Inner | JoinType::Left)
            || is_simple(&join.right, &join.left, Place::From)?
        {
            return Ok(None);
        }
        let Some(domain) = Domain::of(&join.left, &join.right)? else {
            return Ok(None);
        };
        let Some(right) = self.pushed(&domain, &join.right)? else { return Ok(None) };
        let on = join.on.iter().map(|(left, right)| left.clone().eq(right.clone()));
        let condition = conjunction(on.chain(join.filter.clone()));
        let joined = beside(join.left.as_ref().clone(), &domain, right, join.join_type, condition)?;
        project(joined, join.schema.columns()).map(Some)
    }

    /// Conditions without subqueries come first, so that those are worked out for fewer rows.
    fn filter(&mut self, filter: &Filter) -> Result<Option<LogicalPlan>> {
        let parts = split_conjunction_owned(filter.predicate.clone());
        let (asking, plain): (Vec<_>, Vec<_>) = parts.into_iter().partition(has_subquery);
        let mut rows = filter.input.as_ref().clone();
        if let Some(plain) = conjunction(plain) {
            rows = LogicalPlanBuilder::from(rows).filter(plain)?.build()?;
        }
        let columns = filter.input.schema().columns();
        let takes_values = true;
        let mut rows =
            Rows { around: rows.clone(), plan: rows, names: self, takes_values, is_changed: false };
        let asking = asking.into_iter().map(|expr| rows.expr(expr)).collect::<Result<Vec<_>>>()?;
        if !rows.is_changed {
            return Ok(None);
        }
        let condition = conjunction(asking).unwrap_or_else(|| lit(true));
        project(LogicalPlanBuilder::from(rows.plan).filter(condition)?.build()?, columns).map(Some)
    }

    fn values(&mut self, node: &LogicalPlan) -> Result<Option<LogicalPlan>> {
        let [input] = node.inputs()[..] else { return Ok(None) };
        let exprs = node.expressions();
        if !exprs.iter().any(has_subquery) {
            return Ok(None);
        }
        let takes_values = matches!(node, LogicalPlan::Projection(_));
        let mut rows = Rows {
            around: input.clone(),
            plan: input.clone(),
            names: self,
            takes_values,
            is_changed: false,
        };
        let names = NamePreserver::new(node);
        let mut over = |expr| rows.expr(expr).map(Transformed::yes);
        let exprs = exprs.into_iter().map(|expr| Ok(keeping_name(expr, &names, &mut over)?.data));
        let exprs = exprs.collect::<Result<Vec<_>>>()?;
        if !rows.is_changed {
            return Ok(None);
        }
        let columns = node.schema().columns();
        let made = node.with_new_exprs(exprs, vec![rows.plan])?;
        match made.schema().columns() == columns {
            true => Ok(Some(made)),
            false => project(made, columns).map(Some),
        }
    }
}

/// Rows to which the values of subqueries are joined, one after another.
struct Rows<'n> {
    /// The rows themselves, whose columns the subqueries read.
    around: LogicalPlan,
    plan: LogicalPlan,
    names: &'n mut Names,
    /// Whether DataFusion's rule for values knows the node.
    takes_values: bool,
    is_changed: bool,
}

impl Rows<'_> {
    /// An expression of the rows over the plan.
    fn expr(&mut self, expr: Expr) -> Result<Expr> {
        let replaced = expr.transform_up(|expr| {
            let replaced = match &expr {
                Expr::ScalarSubquery(subquery) => self.scalar(subquery)?,
                Expr::Exists(exists) => self
                    .plain(&exists.subquery, Place::Existence)?
                    .map(|it| Expr::Exists(Exists { subquery: it, negated: exists.negated })),
                Expr::InSubquery(within) => self
                    .plain(&within.subquery, Place::Membership)?
                    .map(|it| Expr::InSubquery(InSubquery { subquery: it, ..within.clone() })),
                _ => None,
            };
            Ok(match replaced {
                Some(replaced) => {
                    self.is_changed = true;
                    Transformed::yes(replaced)
                }
                None => Transformed::no(expr),
            })
        })?;
        Ok(replaced.data)
    }

    fn pushed(&mut self, subquery: &Subquery, place: Place) -> Result<Option<(Domain, Pushed)>> {
        let is_taken = place != Place::Value || self.takes_values;
        if is_taken && is_simple(&subquery.subquery, &self.around, place)? {
            return Ok(None);
        }
        let Some(domain) = Domain::of(&self.around, &subquery.subquery)? else {
            return Ok(None);
        };
        let pushed = self.names.pushed(&domain, &subquery.subquery)?;
        Ok(pushed.map(|pushed| (domain, pushed)))
    }

    /// The column of a join that has the subquery's value.
    fn scalar(&mut self, subquery: &Subquery) -> Result<Option<Expr>> {
        let name = self.names.next();
        let Some((domain, pushed)) = self.pushed(subquery, Place::Value)? else {
            return match reads_outer(&subquery.subquery, &|_| true)? {
                true => self.names.value(subquery).map(Some),
                false => Ok(None),
            };
        };
        let value = Expr::Column(subquery.subquery.schema().columns().swap_remove(0));
        let keys = pushed.keys.iter().cloned().map(Expr::Column);
        let rows = LogicalPlanBuilder::from(pushed.plan);
        let values = match has_one_row(&subquery.subquery)? {
            true => rows.project(keys.chain([value.alias(&name)]))?.build()?,
            false => {
                let single = AggregateFunction::new_udf(
                    Arc::clone(single_value()),
                    vec![value],
                    false,
                    None,
                    Vec::new(),
                    None,
                );
                let single = Expr::AggregateFunction(single).alias(&name);
                rows.aggregate(keys, vec![single])?.build()?
            }
        };
        let values = Pushed { plan: values, ..pushed };
        let joined = beside(self.plan.clone(), &domain, values, JoinType::Left, None)?;
        self.plan = joined;
        Ok(Some(Expr::Column(Column::new_unqualified(name))))
    }

    /// The same subquery, which depends on the row around it by nothing but the values that it reads.
    fn plain(&mut self, subquery: &Subquery, place: Place) -> Result<Option<Subquery>> {
        let Some((domain, pushed)) = self.pushed(subquery, place)? else { return Ok(None) };
        let conditions = domain.read.iter().zip(&pushed.keys).map(|((column, field), key)| {
            let outer = Expr::OuterReferenceColumn(Arc::clone(field), column.clone());
            let key = Expr::Column(key.clone());
            match pushed.null_equality {
                NullEquality::NullEqualsNothing => key.eq(outer),
                NullEquality::NullEqualsNull => {
                    binary_expr(key, Operator::IsNotDistinctFrom, outer)
                }
            }
        });
        let condition = conjunction(conditions).unwrap_or_else(|| lit(true));
        let rows = LogicalPlanBuilder::from(pushed.plan).filter(condition)?.build()?;
        // DataFusion's rule finds a column by the name that nothing else has.
        let columns = subquery.subquery.schema().columns().into_iter();
        let named = columns.map(|column| Expr::Column(column).alias(self.names.next()));
        let plan = LogicalPlanBuilder::from(rows).project(named)?.build()?;
        let outer_ref_columns = plan.all_out_ref_exprs();
        Ok(Some(Subquery {
            subquery: Arc::new(plan),
            outer_ref_columns,
            spans: subquery.spans.clone(),
        }))
    }
}

/// Rows with those of a subquery that are theirs.
fn beside(
    rows: LogicalPlan,
    domain: &Domain,
    subquery: Pushed,
    join_type: JoinType,
    condition: Option<Expr>,
) -> Result<LogicalPlan> {
    let read = domain.read.iter().map(|(column, _)| column.clone()).collect::<Vec<_>>();
    let keys = (read, subquery.keys);
    LogicalPlanBuilder::from(rows)
        .join_detailed(subquery.plan, join_type, keys, condition, subquery.null_equality)?
        .build()
}

pub(super) fn project(plan: LogicalPlan, columns: Vec<Column>) -> Result<LogicalPlan> {
    LogicalPlanBuilder::from(plan).project(columns.into_iter().map(Expr::Column))?.build()
}

pub(super) fn has_subquery(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(subquery_of(expr).is_some())).unwrap_or(false)
}

/// Whether a subquery has at most one row for each row around it, by its own form.
fn has_one_row(subquery: &LogicalPlan) -> Result<bool> {
    Ok(match subquery {
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::Limit(limit) => {
            matches!(limit.get_fetch_type()?, FetchType::Literal(Some(0 | 1)))
                || has_one_row(&limit.input)?
        }
        LogicalPlan::EmptyRelation(_) => true,
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Distinct(_) => match subquery.inputs()[..] {
            [input] => has_one_row(input)?,
            _ => false,
        },
        _ => false,
    })
}
