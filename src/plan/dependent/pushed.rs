//! A subquery for every set of values that it reads of the rows around it.
//!
//! The values go down to where they are read, and from there up again beside the subquery's rows:
//! aggregations group by them, windows and limits are of each set of them. Where a condition says that
//! all of them are values of the subquery's own rows, those stand for them. Where none does, they are
//! the distinct values of the rows around, joined to all of the subquery's.

use std::sync::Arc;

use datafusion::arrow::datatypes::FieldRef;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, JoinType, NullEquality, TableReference};
use datafusion::error::{DataFusionError, Result};
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::{Sort as SortExpr, WindowFunction};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Distinct, EmptyRelation, Expr, ExprFunctionExt, ExprSchemable,
    FetchType, Filter, Join, Limit, LogicalPlan, LogicalPlanBuilder, Operator, Projection,
    SkipType, Sort, Subquery, SubqueryAlias, Union, Unnest, Values, Window,
    WindowFunctionDefinition, binary_expr, lit,
};

use super::super::subqueries::subquery_of;
use super::{Names, has_subquery, read_of, reads_outer};
use crate::functions::NULLABLE;

/// What a subquery reads of the rows around it.
pub(super) struct Domain {
    pub(super) around: LogicalPlan,
    /// Their columns.
    pub(super) read: Vec<(Column, FieldRef)>,
}

/// A subquery's rows, those of all sets of values together.
pub(super) struct Pushed {
    /// Has the subquery's columns, and the keys.
    pub(super) plan: LogicalPlan,
    /// The values that a row is for, in the order of [`Domain::read`].
    pub(super) keys: Vec<Column>,
    /// Whether NULL is one of the values.
    pub(super) null_equality: NullEquality,
}

impl Domain {
    /// None if the subquery reads nothing of these rows.
    pub(super) fn of(around: &LogicalPlan, subquery: &LogicalPlan) -> Result<Option<Self>> {
        let read = read_of(around, subquery)?;
        Ok((!read.is_empty()).then(|| Self { around: around.clone(), read }))
    }

    /// None where that isn't known.
    pub(super) fn pushed(
        &self,
        subquery: &LogicalPlan,
        names: &mut Names,
    ) -> Result<Option<Pushed>> {
        let mut bound = Push { domain: self, names, is_bound: true };
        if let Some((plan, keys)) = bound.plan(subquery)? {
            let null_equality = NullEquality::NullEqualsNothing;
            return Ok(Some(Pushed { plan, keys, null_equality }));
        }
        let mut free = Push { domain: self, names, is_bound: false };
        let may_be_null = self.read.iter().any(|(_, field)| field.is_nullable());
        let null_equality = match may_be_null {
            true => NullEquality::NullEqualsNull,
            false => NullEquality::NullEqualsNothing,
        };
        Ok(free.plan(subquery)?.map(|(plan, keys)| Pushed { plan, keys, null_equality }))
    }

    fn is_theirs(&self, column: &Column) -> bool {
        self.read.iter().any(|(known, _)| known == column)
    }
}

/// A plan and its columns that are the keys.
type Keyed = (LogicalPlan, Vec<Column>);

struct Push<'d, 'n> {
    domain: &'d Domain,
    names: &'n mut Names,
    /// Whether the keys are columns of the subquery's own rows.
    is_bound: bool,
}

impl Push<'_, '_> {
    fn reads(&self, plan: &LogicalPlan) -> Result<bool> {
        reads_outer(plan, &|column| self.domain.is_theirs(column))
    }

    fn plan(&mut self, plan: &LogicalPlan) -> Result<Option<Keyed>> {
        if !self.reads(plan)? {
            return self.crossed(plan);
        }
        match plan {
            LogicalPlan::Subquery(subquery) => self.plan(&subquery.subquery),
            LogicalPlan::SubqueryAlias(alias) => self.alias(alias),
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::Filter(filter) => self.filter(filter),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Window(window) => self.window(window),
            LogicalPlan::Sort(sort) => self.sort(sort),
            LogicalPlan::Limit(limit) => self.limit(limit),
            LogicalPlan::Distinct(Distinct::All(input)) => self.distinct(input),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Values(values) => self.values(values),
            LogicalPlan::Unnest(unnest) => self.unnest(unnest),
            _ => Ok(None),
        }
    }

    /// Rows that read none of the values are the same for all of them.
    fn crossed(&mut self, plan: &LogicalPlan) -> Result<Option<Keyed>> {
        if self.is_bound {
            return Ok(None);
        }
        let Some((values, keys)) = self.distinct_values()? else { return Ok(None) };
        let is_nothing = matches!(plan, LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: true, schema }) if schema.fields().is_empty());
        let plan = match is_nothing {
            true => values,
            false => LogicalPlanBuilder::from(plan.clone()).cross_join(values)?.build()?,
        };
        Ok(Some((plan, keys)))
    }

    /// The values that there are around the subquery, or more.
    fn distinct_values(&mut self) -> Result<Option<Keyed>> {
        let Some(rows) = repeated(&self.domain.around)? else { return Ok(None) };
        let keys: Vec<Column> = self.new_keys();
        let named = self.domain.read.iter().zip(&keys);
        let named = named.map(|((column, _), key)| Expr::Column(column.clone()).alias(&key.name));
        let values = LogicalPlanBuilder::from(rows).project(named)?.distinct()?.build()?;
        Ok(Some((values, keys)))
    }

    fn new_keys(&mut self) -> Vec<Column> {
        self.domain.read.iter().map(|_| Column::new_unqualified(self.names.next())).collect()
    }

    /// An expression with the keys in the place of what it reads around the subquery.
    fn over(&self, expr: Expr, keys: &[Column]) -> Result<Expr> {
        let key_of = |column: &Column| {
            let at = self.domain.read.iter().position(|(known, _)| known == column)?;
            Some(keys[at].clone())
        };
        let within = |subquery: &Subquery| -> Result<Subquery> {
            let plan = subquery.subquery.as_ref().clone();
            let plan = plan.transform_down_with_subqueries(|node| {
                node.map_expressions(|expr| {
                    expr.transform_up(|expr| match &expr {
                        Expr::OuterReferenceColumn(field, column)
                            if let Some(key) = key_of(column) =>
                        {
                            Ok(Transformed::yes(Expr::OuterReferenceColumn(Arc::clone(field), key)))
                        }
                        _ => Ok(Transformed::no(expr)),
                    })
                })
            })?;
            let outer_ref_columns = plan.data.all_out_ref_exprs();
            Ok(Subquery {
                subquery: Arc::new(plan.data),
                outer_ref_columns,
                spans: subquery.spans.clone(),
            })
        };
        let replaced = expr.transform_up(|expr| {
            Ok(Transformed::yes(match expr {
                Expr::OuterReferenceColumn(_, ref column) if let Some(key) = key_of(column) => {
                    Expr::Column(key)
                }
                Expr::ScalarSubquery(subquery) => Expr::ScalarSubquery(within(&subquery)?),
                Expr::Exists(mut exists) => {
                    exists.subquery = within(&exists.subquery)?;
                    Expr::Exists(exists)
                }
                Expr::InSubquery(mut asked) => {
                    asked.subquery = within(&asked.subquery)?;
                    Expr::InSubquery(asked)
                }
                other => return Ok(Transformed::no(other)),
            }))
        })?;
        Ok(replaced.data)
    }

    /// A node over keys, whose own subqueries may read them now.
    fn finished(&mut self, plan: LogicalPlan, keys: Vec<Column>) -> Result<Option<Keyed>> {
        if !plan.expressions().iter().any(has_subquery) {
            return Ok(Some((plan, keys)));
        }
        Ok(Some((self.names.node(plan)?.data, keys)))
    }

    fn alias(&mut self, alias: &SubqueryAlias) -> Result<Option<Keyed>> {
        let Some((plan, keys)) = self.plan(&alias.input)? else { return Ok(None) };
        let columns = alias.input.schema().columns().into_iter();
        let plan = project(plan, columns.chain(keys.iter().cloned()).map(Expr::Column))?;
        let plan = SubqueryAlias::try_new(Arc::new(plan), alias.alias.clone())?;
        let keys = keys.into_iter().map(|key| Column::new(Some(alias.alias.clone()), key.name));
        Ok(Some((LogicalPlan::SubqueryAlias(plan), keys.collect())))
    }

    fn projection(&mut self, projection: &Projection) -> Result<Option<Keyed>> {
        let Some((plan, keys)) = self.plan(&projection.input)? else { return Ok(None) };
        let exprs = projection.expr.iter().map(|expr| {
            let (relation, name) = expr.qualified_name();
            Ok(self.over(expr.clone(), &keys)?.unalias().alias_qualified(relation, name))
        });
        let exprs = exprs.collect::<Result<Vec<_>>>()?;
        let plan = project(plan, exprs.into_iter().chain(keys.iter().cloned().map(Expr::Column)))?;
        self.finished(plan, keys)
    }

    fn filter(&mut self, filter: &Filter) -> Result<Option<Keyed>> {
        if self.is_bound && !self.reads(&filter.input)? {
            return self.bound(filter);
        }
        let Some((plan, keys)) = self.plan(&filter.input)? else { return Ok(None) };
        let predicate = self.over(filter.predicate.clone(), &keys)?;
        let plan = LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(plan))?);
        self.finished(plan, keys)
    }

    /// A condition that says which of its rows' values the keys are; none of them is NULL.
    fn bound(&mut self, filter: &Filter) -> Result<Option<Keyed>> {
        let mut conditions = split_conjunction(&filter.predicate);
        let mut values = Vec::with_capacity(self.domain.read.len());
        for (column, _) in &self.domain.read {
            let binding = conditions.iter().position(|expr| value_of(expr, column).is_some());
            let Some(binding) = binding else { return Ok(None) };
            values.extend(value_of(conditions.swap_remove(binding), column).cloned());
        }
        let keys = self.new_keys();
        let named = values.iter().zip(&keys).map(|(value, key)| value.clone().alias(&key.name));
        let columns = filter.input.schema().columns().into_iter().map(Expr::Column);
        let rows = project(filter.input.as_ref().clone(), columns.chain(named))?;
        let mut kept = Vec::new();
        for condition in conditions {
            kept.push(self.over(condition.clone(), &keys)?);
        }
        for (value, key) in values.iter().zip(&keys) {
            if value.nullable(filter.input.schema())? {
                kept.push(Expr::Column(key.clone()).is_not_null());
            }
        }
        let plan = match conjunction(kept) {
            Some(condition) => LogicalPlanBuilder::from(rows).filter(condition)?.build()?,
            None => rows,
        };
        self.finished(plan, keys)
    }

    fn aggregate(&mut self, aggregate: &Aggregate) -> Result<Option<Keyed>> {
        let is_whole = aggregate.group_expr.is_empty();
        let has_sets = matches!(aggregate.group_expr[..], [Expr::GroupingSet(_), ..]);
        if has_sets || (is_whole && self.is_bound) {
            return Ok(None);
        }
        let Some((plan, keys)) = self.plan(&aggregate.input)? else { return Ok(None) };
        let exprs = aggregate.group_expr.iter().chain(&aggregate.aggr_expr);
        let exprs = exprs.map(|expr| self.over(expr.clone(), &keys)).collect::<Result<Vec<_>>>()?;
        let (groups, values) = exprs.split_at(aggregate.group_expr.len());
        let groups = keys.iter().cloned().map(Expr::Column).chain(groups.iter().cloned()).collect();
        let grouped = Aggregate::try_new(Arc::new(plan), groups, values.to_vec())?;
        let Some((grouped, keys)) = self.finished(LogicalPlan::Aggregate(grouped), keys)? else {
            return Ok(None);
        };
        let made = grouped.schema().columns().into_iter().skip(keys.len()).map(Expr::Column);
        let made = named_as(made.collect(), &aggregate.schema);
        let of_keys = keys.iter().cloned().map(Expr::Column);
        let plan = project(grouped, made.into_iter().chain(of_keys))?;
        match is_whole {
            true => self.with_empty(plan, keys, aggregate),
            false => Ok(Some((plan, keys))),
        }
    }

    /// One row also for values of which there is no row to aggregate.
    fn with_empty(
        &mut self,
        plan: LogicalPlan,
        keys: Vec<Column>,
        aggregate: &Aggregate,
    ) -> Result<Option<Keyed>> {
        let Some((values, all)) = self.distinct_values()? else { return Ok(None) };
        let joined = LogicalPlanBuilder::from(values)
            .join_detailed(
                plan,
                JoinType::Left,
                (all.clone(), keys),
                None,
                NullEquality::NullEqualsNull,
            )?
            .build()?;
        let columns = aggregate.schema.columns().into_iter().zip(&aggregate.aggr_expr);
        let exprs = columns.map(|(column, expr)| {
            let value = Expr::Column(column);
            Ok(match of_nothing(expr, aggregate)? {
                Some(default) => coalesce(vec![value, default]),
                None => value,
            })
        });
        let exprs = named_as(exprs.collect::<Result<Vec<_>>>()?, &aggregate.schema);
        let plan = project(joined, exprs.into_iter().chain(all.iter().cloned().map(Expr::Column)))?;
        Ok(Some((plan, all)))
    }

    fn window(&mut self, window: &Window) -> Result<Option<Keyed>> {
        let Some((plan, keys)) = self.plan(&window.input)? else { return Ok(None) };
        let mut exprs = Vec::with_capacity(window.window_expr.len());
        for expr in &window.window_expr {
            let expr = self.over(expr.clone(), &keys)?.unalias();
            let Expr::WindowFunction(mut function) = expr else { return Ok(None) };
            function.params.partition_by.extend(keys.iter().cloned().map(Expr::Column));
            exprs.push(Expr::WindowFunction(function));
        }
        let width = plan.schema().columns().len();
        let made = Window::try_new(exprs, Arc::new(plan))?;
        let values = made.schema.columns().into_iter().skip(width);
        let columns = window.input.schema().columns().into_iter().chain(values);
        let exprs = named_as(columns.map(Expr::Column).collect(), &window.schema);
        let of_keys = keys.iter().cloned().map(Expr::Column);
        let plan = project(LogicalPlan::Window(made), exprs.into_iter().chain(of_keys))?;
        Ok(Some((plan, keys)))
    }

    fn sort(&mut self, sort: &Sort) -> Result<Option<Keyed>> {
        let Some((plan, keys)) = self.plan(&sort.input)? else { return Ok(None) };
        if sort.fetch.is_some() {
            return Ok(None);
        }
        let expr = self.order(&sort.expr, &keys)?;
        let plan = LogicalPlan::Sort(Sort { expr, input: Arc::new(plan), fetch: None });
        self.finished(plan, keys)
    }

    fn order(&self, order: &[SortExpr], keys: &[Column]) -> Result<Vec<SortExpr>> {
        let over = |key: &SortExpr| Ok(key.with_expr(self.over(key.expr.clone(), keys)?));
        order.iter().map(over).collect()
    }

    /// The first rows of each set of values, in the order of the rows.
    fn limit(&mut self, limit: &Limit) -> Result<Option<Keyed>> {
        let (SkipType::Literal(skip), FetchType::Literal(fetch)) =
            (limit.get_skip_type()?, limit.get_fetch_type()?)
        else {
            return Ok(None);
        };
        if let LogicalPlan::Projection(above) = limit.input.as_ref()
            && matches!(above.input.as_ref(), LogicalPlan::Sort(_))
        {
            let first = Limit { input: Arc::clone(&above.input), ..limit.clone() };
            let first = Arc::new(LogicalPlan::Limit(first));
            return self.projection(&Projection::try_new(above.expr.clone(), first)?);
        }
        let (order, rows) = match limit.input.as_ref() {
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => (sort.expr.as_slice(), &sort.input),
            _ => (&[][..], &limit.input),
        };
        let Some((plan, keys)) = self.plan(rows)? else { return Ok(None) };
        let order = self.order(order, &keys)?;
        let number =
            WindowFunction::new(WindowFunctionDefinition::WindowUDF(row_number_udwf()), Vec::new());
        let partition_by = keys.iter().cloned().map(Expr::Column).collect();
        let mut number = Expr::from(number).partition_by(partition_by);
        if !order.is_empty() {
            number = number.order_by(order);
        }
        let number = number.build()?;
        let columns = plan.schema().columns();
        let numbered = Window::try_new(vec![number], Arc::new(plan))?;
        let Some(number) = numbered.schema.columns().pop() else { return Ok(None) };
        let number = || Expr::Column(number.clone());
        let skipped = u64::try_from(skip).unwrap_or(u64::MAX);
        let mut condition = number().gt(lit(skipped));
        if let Some(fetch) = fetch {
            let last = skipped.saturating_add(u64::try_from(fetch).unwrap_or(u64::MAX));
            condition = condition.and(number().lt_eq(lit(last)));
        }
        let plan = LogicalPlanBuilder::from(LogicalPlan::Window(numbered)).filter(condition)?;
        let plan = plan.project(columns.into_iter().map(Expr::Column))?.build()?;
        Ok(Some((plan, keys)))
    }

    fn distinct(&mut self, input: &LogicalPlan) -> Result<Option<Keyed>> {
        let Some((plan, keys)) = self.plan(input)? else { return Ok(None) };
        Ok(Some((LogicalPlanBuilder::from(plan).distinct()?.build()?, keys)))
    }

    fn join(&mut self, join: &Join) -> Result<Option<Keyed>> {
        let (left, right) = (self.reads(&join.left)?, self.reads(&join.right)?);
        let is_inner = join.join_type == JoinType::Inner;
        let keeps_left = matches!(
            join.join_type,
            JoinType::Inner
                | JoinType::Left
                | JoinType::LeftSemi
                | JoinType::LeftAnti
                | JoinType::LeftMark
        );
        match (left, right) {
            (false, false) if is_inner => self.condition(join),
            (_, false) if keeps_left => {
                let Some((plan, keys)) = self.plan(&join.left)? else { return Ok(None) };
                self.joined(join, Arc::new(plan), Arc::clone(&join.right), None, keys)
            }
            (false, true) if is_inner => {
                let Some((plan, keys)) = self.plan(&join.right)? else { return Ok(None) };
                self.joined(join, Arc::clone(&join.left), Arc::new(plan), None, keys)
            }
            _ if keeps_left && !join.null_aware => {
                let Some((left, keys)) = self.plan(&join.left)? else { return Ok(None) };
                let Some((right, others)) = self.plan(&join.right)? else { return Ok(None) };
                let operator = match self.is_bound {
                    true => Operator::Eq,
                    false => Operator::IsNotDistinctFrom,
                };
                let same = keys.iter().zip(others).map(|(key, other)| {
                    let (key, other) = (Expr::Column(key.clone()), Expr::Column(other));
                    binary_expr(key, operator, other)
                });
                let same = conjunction(same);
                self.joined(join, Arc::new(left), Arc::new(right), same, keys)
            }
            _ => Ok(None),
        }
    }

    /// A join whose condition alone reads the values.
    fn condition(&mut self, join: &Join) -> Result<Option<Keyed>> {
        let on = join.on.iter().map(|(left, right)| left.clone().eq(right.clone()));
        if join.null_equality == NullEquality::NullEqualsNull && !join.on.is_empty() {
            return Ok(None);
        }
        let Some(condition) = conjunction(on.chain(join.filter.clone())) else { return Ok(None) };
        let rows = LogicalPlanBuilder::from(join.left.as_ref().clone());
        let rows = rows.cross_join(join.right.as_ref().clone())?.build()?;
        self.filter(&Filter::try_new(condition, Arc::new(rows))?)
    }

    fn joined(
        &mut self,
        join: &Join,
        left: Arc<LogicalPlan>,
        right: Arc<LogicalPlan>,
        same: Option<Expr>,
        keys: Vec<Column>,
    ) -> Result<Option<Keyed>> {
        let over = |expr: &Expr| self.over(expr.clone(), &keys);
        let on = join.on.iter().map(|(left, right)| Ok((over(left)?, over(right)?)));
        let on = on.collect::<Result<Vec<_>>>()?;
        let filter = join.filter.as_ref().map(over).transpose()?;
        let filter = conjunction(filter.into_iter().chain(same));
        let made = Join::try_new(
            left,
            right,
            on,
            filter,
            join.join_type,
            join.join_constraint,
            join.null_equality,
            join.null_aware,
        )?;
        let columns = join.schema.columns().into_iter().chain(keys.iter().cloned());
        let plan = project(LogicalPlan::Join(made), columns.map(Expr::Column))?;
        Ok(Some((plan, keys)))
    }

    fn union(&mut self, union: &Union) -> Result<Option<Keyed>> {
        let mut inputs = Vec::with_capacity(union.inputs.len());
        for input in &union.inputs {
            let Some((plan, keys)) = self.plan(input)? else { return Ok(None) };
            let columns = input.schema().columns().into_iter().chain(keys);
            inputs.push(Arc::new(project(plan, columns.map(Expr::Column))?));
        }
        self.united(inputs, &union.schema)
    }

    /// Inputs that have the keys behind all other columns.
    fn united(
        &mut self,
        inputs: Vec<Arc<LogicalPlan>>,
        schema: &DFSchema,
    ) -> Result<Option<Keyed>> {
        let united = LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?);
        let columns = united.schema().columns();
        let (columns, keys) = columns.split_at(schema.fields().len());
        let exprs = named_as(columns.iter().cloned().map(Expr::Column).collect(), schema);
        let of_keys = keys.iter().cloned().map(Expr::Column);
        let keys = keys.to_vec();
        Ok(Some((project(united, exprs.into_iter().chain(of_keys))?, keys)))
    }

    fn values(&mut self, values: &Values) -> Result<Option<Keyed>> {
        let nothing = LogicalPlan::EmptyRelation(EmptyRelation {
            produce_one_row: true,
            schema: Arc::new(DFSchema::empty()),
        });
        let mut inputs = Vec::with_capacity(values.values.len());
        for row in &values.values {
            let Some((plan, keys)) = self.crossed(&nothing)? else { return Ok(None) };
            let row = row.iter().map(|expr| self.over(expr.clone(), &keys));
            let row = named_as(row.collect::<Result<Vec<_>>>()?, &values.schema);
            let row = row.into_iter().chain(keys.into_iter().map(Expr::Column));
            inputs.push(Arc::new(project(plan, row)?));
        }
        match inputs.len() {
            1 => {
                let plan = Arc::unwrap_or_clone(inputs.swap_remove(0));
                let keys = plan.schema().columns().split_off(values.schema.fields().len());
                Ok(Some((plan, keys)))
            }
            _ => self.united(inputs, &values.schema),
        }
    }

    fn unnest(&mut self, unnest: &Unnest) -> Result<Option<Keyed>> {
        let is_flat = unnest.list_type_columns.iter().all(|(_, list)| list.depth == 1);
        if !is_flat || !unnest.struct_type_columns.is_empty() {
            return Ok(None);
        }
        let Some((plan, keys)) = self.plan(&unnest.input)? else { return Ok(None) };
        let columns = unnest.input.schema().columns();
        let lists = unnest.list_type_columns.iter().map(|(at, _)| columns[*at].clone()).collect();
        let all = columns.iter().chain(&keys).cloned().map(Expr::Column);
        let made = LogicalPlanBuilder::from(project(plan, all)?)
            .unnest_columns_with_options(lists, unnest.options.clone())?
            .build()?;
        // The lists' columns have other names now.
        let items = made.schema().columns().into_iter().take(columns.len()).map(Expr::Column);
        let exprs = named_as(items.collect(), &unnest.schema);
        let of_keys = keys.iter().cloned().map(Expr::Column);
        Ok(Some((project(made, exprs.into_iter().chain(of_keys))?, keys)))
    }
}

fn project(plan: LogicalPlan, exprs: impl IntoIterator<Item = Expr>) -> Result<LogicalPlan> {
    LogicalPlanBuilder::from(plan).project(exprs)?.build()
}

/// Expressions under the names of a schema, in its order.
fn named_as(exprs: Vec<Expr>, schema: &DFSchema) -> Vec<Expr> {
    let names = schema.iter().map(|(relation, field)| (relation.cloned(), field.name().clone()));
    let named = exprs.into_iter().zip(names);
    named
        .map(|(expr, (relation, name)): (Expr, (Option<TableReference>, String))| match &expr {
            Expr::Column(column) if column.relation == relation && column.name == name => expr,
            _ => expr.alias_qualified(relation, name),
        })
        .collect()
}

/// What a condition says is equal to a column of the rows around.
fn value_of<'e>(condition: &'e Expr, column: &Column) -> Option<&'e Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else {
        return None;
    };
    let is_column = |expr: &Expr| matches!(expr, Expr::OuterReferenceColumn(_, it) if it == column);
    let is_own = |expr: &Expr| !expr.contains_outer() && !has_subquery(expr) && !expr.is_volatile();
    match (left.as_ref(), right.as_ref()) {
        (value, other) if is_column(other) && is_own(value) => Some(value),
        (other, value) if is_column(other) && is_own(value) => Some(value),
        _ => None,
    }
}

/// What an aggregate is of no rows; None for NULL.
fn of_nothing(expr: &Expr, aggregate: &Aggregate) -> Result<Option<Expr>> {
    let Expr::AggregateFunction(call) = expr.clone().unalias() else { return Ok(None) };
    let data_type = expr.get_type(aggregate.input.schema())?;
    let value = call.func.default_value(&data_type)?;
    Ok((!value.is_null()).then(|| lit(value)))
}

/// The rows around a subquery once more, or rows that have all their values and others; None where they
/// might be others when they are asked for again.
fn repeated(rows: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    let rows = more_rows(rows)?;
    Ok(is_stable(&rows)?.then_some(rows))
}

/// More rows: those too that a limit would leave out of them, or a condition that isn't stable.
fn more_rows(rows: &LogicalPlan) -> Result<LogicalPlan> {
    let with_more = |[left, right]: [bool; 2]| {
        let inputs = rows.inputs().into_iter().zip([left, right]);
        let inputs = inputs.map(|(input, more)| match more {
            true => more_rows(input),
            false => Ok(input.clone()),
        });
        rows.with_new_exprs(rows.expressions(), inputs.collect::<Result<Vec<_>>>()?)
    };
    match rows {
        LogicalPlan::Limit(limit) => more_rows(&limit.input),
        LogicalPlan::Sort(sort) => more_rows(&sort.input),
        LogicalPlan::Filter(filter) => {
            let mut stable = Vec::new();
            for condition in split_conjunction(&filter.predicate) {
                if is_stable_value(condition)? {
                    stable.push(condition.clone());
                }
            }
            let input = LogicalPlanBuilder::from(more_rows(&filter.input)?);
            match conjunction(stable) {
                Some(condition) => input.filter(condition)?.build(),
                None => input.build(),
            }
        }
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Distinct(_) => {
            with_more([true, true])
        }
        // Rows that had no partner might have one among more.
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::Inner => with_more([true, true]),
            JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti => with_more([true, false]),
            JoinType::Right => with_more([false, true]),
            _ => Ok(rows.clone()),
        },
        _ => Ok::<_, DataFusionError>(rows.clone()),
    }
}

/// Whether a plan has the same rows each time.
fn is_stable(plan: &LogicalPlan) -> Result<bool> {
    let mut is_stable = true;
    plan.apply_with_subqueries(|node| {
        is_stable &= !matches!(node, LogicalPlan::Limit(_));
        node.apply_expressions(|expr| {
            is_stable &= !is_volatile(expr)?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(is_stable)
}

fn is_stable_value(expr: &Expr) -> Result<bool> {
    let mut stable = !is_volatile(expr)?;
    expr.apply(|expr| {
        if let Some(subquery) = subquery_of(expr) {
            stable &= is_stable(&subquery.subquery)?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(stable)
}

/// Whether an expression has another value each time; DataFusion is only told so of [`NULLABLE`].
fn is_volatile(expr: &Expr) -> Result<bool> {
    expr.exists(|expr| {
        let is_nullable =
            matches!(expr, Expr::ScalarFunction(call) if call.func.name() == NULLABLE);
        Ok(!is_nullable && expr.is_volatile_node())
    })
}
