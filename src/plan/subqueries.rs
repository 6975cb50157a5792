//! Subqueries as joins: those that depend on the row around them, and those whose answer is a value
//! of the row rather than a condition on it.

use std::sync::Arc;

use datafusion::arrow::datatypes::FieldRef;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, ScalarValue};
use datafusion::error::{DataFusionError, Result};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Expr, ExprSchemable, Filter, LogicalPlan, LogicalPlanBuilder, Projection, Sort, Subquery, lit,
    not, when,
};
use datafusion::optimizer::decorrelate_lateral_join::DecorrelateLateralJoin;
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::scalar_subquery_to_join::ScalarSubqueryToJoin;
use datafusion::optimizer::{Optimizer, OptimizerConfig, OptimizerContext, OptimizerRule};

use super::dependent;
use super::error::PlanError;
use super::rules::keeping;
use crate::functions::{self, keeping_name, keeping_names};

/// The plan with joins in place of its subqueries, if one of them depends on the row around it.
///
/// The rules that move filters replace the columns of a condition, but not those that a subquery in
/// it takes from the row: so these must be joins before anything moves. Plans whose subqueries stand
/// alone stay as they are, since backends run those as they are.
///
/// # Errors
/// [`PlanError::NotSupported`] where a subquery stands in a place that no join can take.
pub(super) fn as_joins(plan: LogicalPlan) -> Result<LogicalPlan, PlanError> {
    let plan = as_they_read(plan)?;
    if !has_correlated(&plan)? {
        return Ok(plan);
    }
    let Some(plan) = dependent::as_joins(plan)? else { return Err(refused()) };
    let optimizer = Optimizer::with_rules(vec![
        Arc::new(DecorrelateLateralJoin::new()),
        Arc::new(SubqueriesAsValues),
        Arc::new(DecorrelatePredicateSubquery::new()),
        Arc::new(ScalarSubqueryToJoin::new()),
        Arc::new(ExtractEquijoinPredicate::new()),
    ]);
    let context = OptimizerContext::new().with_max_passes(1);
    let joined = optimizer.optimize(plan, &context, |_, _| {});
    let joined = joined.map_err(|error| match error.find_root() {
        DataFusionError::NotImplemented(_) => PlanError::NotSupported {
            what: "a subquery in this place".to_owned(),
            hint: Some("Join the subquery instead, or write its condition in WHERE.".to_owned()),
        },
        _ => error.into(),
    })?;
    match reads_outer_rows(&joined)? {
        false => Ok(joined),
        true => Err(refused()),
    }
}

fn refused() -> PlanError {
    PlanError::NotSupported {
        what: "a subquery that depends in this way on the row around it".to_owned(),
        hint: Some(
            "Compare columns of the two by = in its WHERE; or group it by what it is compared with, and join that."
                .to_owned(),
        ),
    }
}

/// The plan with what subqueries in ORDER BY read of the rows that a select list is made of.
fn sorted_by_rows(plan: LogicalPlan) -> Result<LogicalPlan> {
    let sorted = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Sort(sort) = &node else { return Ok(Transformed::no(node)) };
        let LogicalPlan::Projection(list) = sort.input.as_ref() else {
            return Ok(Transformed::no(node));
        };
        let mut exprs = list.expr.clone();
        node.apply_subqueries(|subquery| {
            let read = dependent::read_of(&list.input, subquery)?.into_iter();
            let read = read.map(|(column, _)| Expr::Column(column));
            let known = |expr: &Expr| exprs.contains(expr);
            let missing: Vec<Expr> = read.filter(|expr| !known(expr)).collect();
            exprs.extend(missing);
            Ok(TreeNodeRecursion::Continue)
        })?;
        if exprs.len() == list.expr.len() {
            return Ok(Transformed::no(node));
        }
        let columns = list.schema.columns().into_iter().map(Expr::Column);
        let list = Projection::try_new(exprs, Arc::clone(&list.input))?;
        let input = Arc::new(LogicalPlan::Projection(list));
        let sort = LogicalPlan::Sort(Sort { input, ..sort.clone() });
        Ok(Transformed::yes(LogicalPlanBuilder::from(sort).project(columns)?.build()?))
    })?;
    Ok(sorted.data)
}

/// The plan with the columns that subqueries read of the rows around them kept in those rows.
///
/// DataFusion's pruning knows of the columns that a subquery in an expression is said to read; said are
/// those that it reads itself, not those of the subqueries in it.
pub(super) fn keep_what_they_read(plan: LogicalPlan) -> Result<LogicalPlan> {
    let kept = sorted_by_rows(plan)?.transform_up_with_subqueries(|node| {
        if let LogicalPlan::Join(join) = &node {
            let read = dependent::read_of(&join.left, &join.right)?;
            return keeping_read(node, read);
        }
        let [input] = node.inputs()[..] else { return Ok(Transformed::no(node)) };
        let rows = input.clone();
        keeping_names(node, |expr| {
            expr.transform_up(|mut expr| {
                let Some(subquery) = subquery_of_mut(&mut expr) else {
                    return Ok(Transformed::no(expr));
                };
                for (column, field) in dependent::read_of(&rows, &subquery.subquery)? {
                    let read = Expr::OuterReferenceColumn(field, column);
                    if !subquery.outer_ref_columns.contains(&read) {
                        subquery.outer_ref_columns.push(read);
                    }
                }
                Ok(Transformed::yes(expr))
            })
        })
    })?;
    Ok(kept.data)
}

/// The plan whose subqueries are said to read of the row around them only if they do: what was read may
/// have gone as constants were folded.
fn as_they_read(plan: LogicalPlan) -> Result<LogicalPlan> {
    let told = plan.transform_up_with_subqueries(|node| {
        keeping_names(node, |expr| {
            expr.transform_up(|mut expr| match subquery_of_mut(&mut expr) {
                Some(subquery)
                    if is_correlated(subquery) && !reads_outer_rows(&subquery.subquery)? =>
                {
                    subquery.outer_ref_columns.clear();
                    Ok(Transformed::yes(expr))
                }
                _ => Ok(Transformed::no(expr)),
            })
        })
    })?;
    Ok(told.data)
}

/// The subquery of an expression that is one, or asks one.
pub(super) fn subquery_of(expr: &Expr) -> Option<&Subquery> {
    match expr {
        Expr::ScalarSubquery(subquery) => Some(subquery),
        Expr::Exists(exists) => Some(&exists.subquery),
        Expr::InSubquery(within) => Some(&within.subquery),
        _ => None,
    }
}

fn subquery_of_mut(expr: &mut Expr) -> Option<&mut Subquery> {
    match expr {
        Expr::ScalarSubquery(subquery) => Some(subquery),
        Expr::Exists(exists) => Some(&mut exists.subquery),
        Expr::InSubquery(within) => Some(&mut within.subquery),
        _ => None,
    }
}

fn keeping_read(
    plan: LogicalPlan,
    read: Vec<(Column, FieldRef)>,
) -> Result<Transformed<LogicalPlan>> {
    if read.is_empty() {
        return Ok(Transformed::no(plan));
    }
    let columns = read.into_iter().map(|(column, _)| column).collect();
    Ok(Transformed::yes(keeping(plan, columns)?))
}

/// The plan with values of subqueries that may be NULL because there is no row. DataFusion takes them for
/// what their column is in its rows.
pub(super) fn nullable(plan: LogicalPlan) -> Result<LogicalPlan> {
    let nullable = plan.transform_down_with_subqueries(|node| {
        keeping_names(node, |expr| {
            expr.transform_up(|expr| match expr {
                Expr::ScalarSubquery(subquery) if may_be_missing(&subquery.subquery) => {
                    Ok(Transformed::yes(Expr::ScalarSubquery(with_nulls(&subquery)?)))
                }
                expr => Ok(Transformed::no(expr)),
            })
        })
    })?;
    Ok(nullable.data)
}

/// Whether a subquery that may have no row has a column that is never NULL, or won't be once its constants
/// are folded.
fn may_be_missing(subquery: &LogicalPlan) -> bool {
    let mut below = subquery;
    while let LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) = below {
        below = below.inputs()[0];
    }
    let is_there = match below {
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::EmptyRelation(empty) => empty.produce_one_row,
        _ => false,
    };
    let is_constant = || constant_columns(subquery).contains(&true);
    let is_known = subquery.schema().fields().iter().any(|field| !field.is_nullable());
    !is_there && (is_known || is_constant())
}

fn with_nulls(subquery: &Subquery) -> Result<Subquery> {
    let constants = constant_columns(&subquery.subquery);
    let columns = subquery.subquery.schema().columns().into_iter().enumerate();
    let columns = columns.map(|(at, column)| {
        let (relation, name) = (column.relation.clone(), column.name.clone());
        let nullable = match constants.get(at) {
            Some(true) => functions::nullable_constant(),
            _ => functions::nullable(),
        };
        nullable.call(vec![Expr::Column(column)]).alias_qualified(relation, name)
    });
    let rows = LogicalPlanBuilder::from(Arc::clone(&subquery.subquery)).project(columns)?;
    Ok(subquery.with_plan(Arc::new(rows.build()?)))
}

/// Which columns of a plan read nothing of its rows.
fn constant_columns(plan: &LogicalPlan) -> Vec<bool> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let below = constant_columns(&projection.input);
            let is_constant = |expr: &Expr| match expr.clone().unalias() {
                Expr::Column(column) => {
                    let at = projection.input.schema().maybe_index_of_column(&column);
                    at.and_then(|at| below.get(at).copied()).unwrap_or(false)
                }
                expr => !expr.any_column_refs(),
            };
            projection.expr.iter().map(is_constant).collect()
        }
        LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Distinct(_) => match plan.inputs()[..] {
            [input] => constant_columns(input),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// Whether some of a plan's expressions still have columns of a row around their query.
fn reads_outer_rows(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= node.contains_outer_reference();
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn has_correlated(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= matches!(node, LogicalPlan::Subquery(lateral) if is_correlated(lateral));
        for expr in node.expressions() {
            found |= expr.exists(|node| {
                Ok(match node {
                    Expr::ScalarSubquery(subquery) => is_correlated(subquery),
                    Expr::Exists(exists) => is_correlated(&exists.subquery),
                    Expr::InSubquery(within) => is_correlated(&within.subquery),
                    _ => false,
                })
            })?;
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn is_correlated(subquery: &Subquery) -> bool {
    !subquery.outer_ref_columns.is_empty()
}

/// `EXISTS (…)` and `x IN (SELECT …)` where they are values: in a select list, among keys, and
/// inside of a larger condition. Each becomes a column of a join that marks the rows which have a
/// partner; DataFusion's own rule does so in conditions only, and there takes NULL for false, which
/// a NOT around it makes true.
#[derive(Debug)]
pub(crate) struct SubqueriesAsValues;

impl OptimizerRule for SubqueriesAsValues {
    fn name(&self) -> &str {
        "subqueries_as_values"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_) => values(plan, config),
            LogicalPlan::Filter(Filter { predicate, input, .. }) => {
                let predicate = with_output(predicate)?;
                let is_changed = predicate.transformed;
                let made = condition(Filter::try_new(predicate.data, input)?, config)?;
                let is_changed = is_changed || made.transformed;
                Ok(if is_changed { Transformed::yes(made.data) } else { made })
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

/// Subqueries of IN that say what their column is: a plan that one statement of a backend answers
/// doesn't, and DataFusion's rule asks.
fn with_output(expr: Expr) -> Result<Transformed<Expr>> {
    expr.transform_up(|node| match node {
        Expr::InSubquery(mut within) if within.subquery.subquery.head_output_expr()?.is_none() => {
            within.subquery = named(&within.subquery)?;
            Ok(Transformed::yes(Expr::InSubquery(within)))
        }
        node => Ok(Transformed::no(node)),
    })
}

/// The same rows, whose columns have names that no other plan has.
fn named(subquery: &Subquery) -> Result<Subquery> {
    let rows = LogicalPlanBuilder::from(Arc::clone(&subquery.subquery)).alias("__subquery")?;
    let columns = rows.schema().columns().into_iter().enumerate();
    let named = columns.map(|(at, column)| Expr::Column(column).alias(format!("__subquery{at}")));
    let named: Vec<Expr> = named.collect();
    Ok(subquery.with_plan(Arc::new(rows.project(named)?.build()?)))
}

fn values(plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
    let exprs = plan.expressions();
    let [input] = plan.inputs()[..] else { return Ok(Transformed::no(plan)) };
    if !exprs.iter().any(has_subquery) {
        return Ok(Transformed::no(plan));
    }
    let mut marked = Marked { plan: input.clone(), config };
    let names = NamePreserver::new(&plan);
    let mut value = |expr| Ok(Transformed::yes(marked.value(with_output(expr)?.data)?));
    let exprs = exprs.into_iter().map(|expr| Ok(keeping_name(expr, &names, &mut value)?.data));
    let exprs = exprs.collect::<Result<Vec<_>>>()?;
    Ok(Transformed::yes(plan.with_new_exprs(exprs, vec![marked.plan])?))
}

fn condition(filter: Filter, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
    let is_value = |expr: &Expr| has_subquery(expr) && !is_predicate(expr);
    let parts = split_conjunction_owned(filter.predicate.clone());
    if !parts.iter().any(is_value) {
        return Ok(Transformed::no(LogicalPlan::Filter(filter)));
    }
    let columns: Vec<Expr> = filter.input.schema().columns().into_iter().map(Expr::from).collect();
    let mut marked = Marked { plan: filter.input.as_ref().clone(), config };
    let parts = parts.into_iter().map(|part| match is_value(&part) {
        true => marked.value(part),
        false => Ok(part),
    });
    let parts = parts.collect::<Result<Vec<_>>>()?;
    let condition = conjunction(parts).unwrap_or_else(|| lit(true));
    let plan = LogicalPlanBuilder::from(marked.plan).filter(condition)?.project(columns)?;
    Ok(Transformed::yes(plan.build()?))
}

/// What is a semi or anti join by itself. One that has to know of NULLs compares one column only, not
/// those of the row around too.
fn is_predicate(expr: &Expr) -> bool {
    match expr {
        Expr::Exists(_) => true,
        Expr::InSubquery(within) => {
            let knows_nulls = within.negated && is_correlated(&within.subquery);
            !has_subquery(&within.expr) && !knows_nulls
        }
        Expr::Not(inner) => match inner.as_ref() {
            Expr::InSubquery(within) => !is_correlated(&within.subquery) && is_predicate(inner),
            inner => is_predicate(inner),
        },
        _ => false,
    }
}

fn has_subquery(expr: &Expr) -> bool {
    let is_subquery = |node: &Expr| Ok(matches!(node, Expr::Exists(_) | Expr::InSubquery(_)));
    expr.exists(is_subquery).unwrap_or(false)
}

/// A plan to which the marks of subqueries are joined, one after another.
struct Marked<'c> {
    plan: LogicalPlan,
    config: &'c dyn OptimizerConfig,
}

impl Marked<'_> {
    /// The expression over the plan's columns and marks.
    fn value(&mut self, expr: Expr) -> Result<Expr> {
        let replaced = expr.transform_up(|node| {
            Ok(match node {
                Expr::Exists(mut exists) => {
                    let negated = std::mem::take(&mut exists.negated);
                    Transformed::yes(unless(negated, self.mark(Expr::Exists(exists))?))
                }
                Expr::InSubquery(mut within) => {
                    let negated = std::mem::take(&mut within.negated);
                    Transformed::yes(unless(negated, self.membership(within)?))
                }
                other => Transformed::no(other),
            })
        })?;
        Ok(replaced.data)
    }

    /// Whether a value is among those of a subquery: NULL where that can't be known, because the
    /// value or one of the others is NULL.
    fn membership(&mut self, mut within: InSubquery) -> Result<Expr> {
        if !is_correlated(&within.subquery) {
            within.subquery = named(&within.subquery)?;
        }
        let others = Arc::clone(&within.subquery.subquery);
        let may_be_null =
            (within.expr.nullable(self.plan.schema())?, { others.schema().field(0).is_nullable() });
        if may_be_null == (false, false) {
            return self.mark(Expr::InSubquery(within));
        }
        let value = within.expr.as_ref().clone();
        let other = Expr::Column(others.schema().columns().swap_remove(0));
        if is_correlated(&within.subquery) {
            let nulls = LogicalPlanBuilder::from(others).filter(other.is_null())?.build()?;
            let nulls = within.subquery.with_plan(Arc::new(nulls));
            let rows = within.subquery.clone();
            let mark = self.mark(Expr::InSubquery(within))?;
            let exists = |subquery| Expr::Exists(Exists { subquery, negated: false });
            let (rows, nulls) = (self.mark(exists(rows))?, self.mark(exists(nulls))?);
            return maybe(mark, value.is_null().and(rows).or(nulls));
        }
        let rows = count_of(LogicalPlanBuilder::from(Arc::clone(&others)))?;
        let nulls = count_of(LogicalPlanBuilder::from(others).filter(other.is_null())?)?;
        let mark = self.mark(Expr::InSubquery(within))?;
        let unknown = value.is_null().and(rows.gt(lit(0_i64))).or(nulls.gt(lit(0_i64)));
        maybe(mark, unknown)
    }

    /// The column that says whether a row has a partner. Only DataFusion's rule makes such joins, of
    /// conditions: it is asked for one whose condition is the mark, and the join is taken out of it.
    fn mark(&mut self, subquery: Expr) -> Result<Expr> {
        let unplanned = || not_planned("InSubquery or Exists as a join");
        let asked = Filter::try_new(subquery.is_true(), Arc::new(self.plan.clone()))?;
        let rule = DecorrelatePredicateSubquery::new();
        let made = rule.rewrite(LogicalPlan::Filter(asked), self.config)?.data;
        let LogicalPlan::Projection(projection) = made else { return Err(unplanned()) };
        let LogicalPlan::Filter(filter) = Arc::unwrap_or_clone(projection.input) else {
            return Err(unplanned());
        };
        match filter.predicate {
            Expr::IsTrue(mark) if !has_subquery(&mark) => {
                self.plan = Arc::unwrap_or_clone(filter.input);
                Ok(*mark)
            }
            _ => Err(unplanned()),
        }
    }
}

/// True, or NULL where it can't be known.
fn maybe(is_true: Expr, unknown: Expr) -> Result<Expr> {
    let null = lit(ScalarValue::Boolean(None));
    when(is_true, lit(true)).when(unknown, null).otherwise(lit(false))
}

fn unless(negated: bool, value: Expr) -> Expr {
    if negated { not(value) } else { value }
}

/// The number of rows, as a subquery.
fn count_of(rows: LogicalPlanBuilder) -> Result<Expr> {
    let counted = rows.aggregate(Vec::<Expr>::new(), vec![count(lit(1_i64))])?.build()?;
    let (subquery, outer_ref_columns) = (Arc::new(counted), Vec::new());
    Ok(Expr::ScalarSubquery(Subquery { subquery, outer_ref_columns, spans: Default::default() }))
}

/// Backends tell the client that a subquery can't stand in its place.
fn not_planned(what: &str) -> DataFusionError {
    DataFusionError::NotImplemented(what.to_owned())
}
