//! What is known of values beyond their types: Arrow has one type for what Postgres has two of. It is
//! found for the columns of a plan from what they are computed from.

use std::marker::PhantomData;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::DFSchema;
use datafusion::logical_expr::expr::{
    AggregateFunction, Case, Placeholder, ScalarFunction, WindowFunction,
};
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{Distinct, Expr, JoinType, LogicalPlan};

use crate::functions::quoted;

/// A property that the rows of a source have or lack, and that what picks one of several values keeps.
pub(super) trait Property: Sized {
    /// What is known of a value; by default nothing.
    type Known: Copy + Default + PartialEq;

    /// For each column of a node that makes its own.
    fn made(node: &LogicalPlan) -> Vec<Self::Known>;

    /// Of an expression that doesn't just pick one of several values.
    fn computed(rows: &Rows<'_, Self>, expr: &Expr) -> Self::Known;

    /// Of the items of a list, as rows of this type.
    fn unnested(list: Self::Known, item: &DataType) -> Self::Known;
}

/// What is known of the columns of two queries together.
fn alike<K: Default + PartialEq>(one: Vec<K>, other: Vec<K>) -> Vec<K> {
    let common = |(a, b)| if a == b { a } else { K::default() };
    one.into_iter().zip(other).map(common).collect()
}

/// For each column of a plan, what is known of its values.
pub(super) fn columns<P: Property>(plan: &LogicalPlan) -> Vec<P::Known> {
    match plan {
        LogicalPlan::Projection(projection) => {
            Rows::<P>::of(&projection.input).values(&projection.expr)
        }
        LogicalPlan::SubqueryAlias(alias) => columns::<P>(&alias.input),
        LogicalPlan::Filter(filter) => columns::<P>(&filter.input),
        LogicalPlan::Sort(sort) => columns::<P>(&sort.input),
        LogicalPlan::Limit(limit) => columns::<P>(&limit.input),
        LogicalPlan::Distinct(Distinct::All(input)) => columns::<P>(input),
        LogicalPlan::Aggregate(aggregate) => {
            let rows = Rows::<P>::of(&aggregate.input);
            let is_sets = matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]);
            let keys = grouping_set_to_exprlist(&aggregate.group_expr).unwrap_or_default();
            let mut found = rows.values(keys);
            // The number of the set.
            found.extend(is_sets.then(P::Known::default));
            found.extend(rows.values(&aggregate.aggr_expr));
            found
        }
        LogicalPlan::Window(window) => {
            let rows = Rows::<P>::of(&window.input);
            let windows = rows.values(&window.window_expr);
            [rows.columns, windows].concat()
        }
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
                [columns::<P>(&join.left), columns::<P>(&join.right)].concat()
            }
            // INTERSECT and EXCEPT: a statement's own subqueries are no joins yet.
            JoinType::LeftSemi | JoinType::LeftAnti => {
                alike(columns::<P>(&join.left), columns::<P>(&join.right))
            }
            JoinType::RightSemi | JoinType::RightAnti => columns::<P>(&join.right),
            JoinType::LeftMark | JoinType::RightMark => P::made(plan),
        },
        // Before types are coerced a union has those of its first part.
        LogicalPlan::Union(union) => {
            let parts = union.inputs.iter().map(|input| columns::<P>(input));
            parts.reduce(alike).unwrap_or_default()
        }
        LogicalPlan::Unnest(unnest) => {
            let (input, fields) = (columns::<P>(&unnest.input), unnest.schema.fields());
            let known = |(index, field): (&usize, &FieldRef)| {
                let known = input.get(*index).copied().unwrap_or_default();
                let is_list = unnest.list_type_columns.iter().any(|(list, _)| list == index);
                if is_list { P::unnested(known, field.data_type()) } else { known }
            };
            unnest.dependency_indices.iter().zip(fields.iter()).map(known).collect()
        }
        LogicalPlan::Values(values) => {
            let rows = Rows::<P>::with(&values.schema, Vec::new());
            let column = |index| rows.all(values.values.iter().map(|row: &Vec<Expr>| &row[index]));
            (0..values.schema.fields().len()).map(column).collect()
        }
        _ => P::made(plan),
    }
}

/// What expressions are over.
pub(super) struct Rows<'p, P: Property> {
    pub(super) schema: &'p DFSchema,
    /// For each column, found once: queries in queries may each use one more than once.
    columns: Vec<P::Known>,
    property: PhantomData<P>,
}

impl<'p, P: Property> Rows<'p, P> {
    pub(super) fn with(schema: &'p DFSchema, columns: Vec<P::Known>) -> Self {
        Self { schema, columns, property: PhantomData }
    }

    fn of(input: &'p LogicalPlan) -> Self {
        Self::with(input.schema(), columns::<P>(input))
    }

    fn values<'e>(&self, exprs: impl IntoIterator<Item = &'e Expr>) -> Vec<P::Known> {
        exprs.into_iter().map(|expr| self.value(expr)).collect()
    }

    /// What is known of an expression over these rows.
    pub(super) fn value(&self, expr: &Expr) -> P::Known {
        let of_first = |args: &[Expr]| args.first().map(|arg| self.value(arg)).unwrap_or_default();
        match expr {
            Expr::Column(name) => {
                let index = self.schema.maybe_index_of_column(name);
                index.and_then(|index| self.columns.get(index)).copied().unwrap_or_default()
            }
            Expr::Alias(alias) => self.value(&alias.expr),
            Expr::Case(case) => self.all(results(case)),
            Expr::ScalarFunction(ScalarFunction { func, args }) => match func.name() {
                "coalesce" | "greatest" | "least" => self.all(args),
                "nullif" => of_first(args),
                _ => P::computed(self, expr),
            },
            Expr::AggregateFunction(AggregateFunction { func, params })
                if gives_one_of_rows(func.name()) =>
            {
                of_first(&params.args)
            }
            Expr::WindowFunction(function) => {
                let WindowFunction { fun, params } = function.as_ref();
                match gives_one_of_rows(fun.name()) {
                    true => of_first(&params.args),
                    false => P::computed(self, expr),
                }
            }
            Expr::ScalarSubquery(query) => {
                columns::<P>(&query.subquery).first().copied().unwrap_or_default()
            }
            _ => P::computed(self, expr),
        }
    }

    /// What is known of all that have a type.
    pub(super) fn all<'e>(&self, exprs: impl IntoIterator<Item = &'e Expr>) -> P::Known {
        let mut typed = exprs.into_iter().filter(|expr| !is_untyped(expr));
        let first = typed.next().map(|expr| self.value(expr)).unwrap_or_default();
        match typed.all(|expr| self.value(expr) == first) {
            true => first,
            false => P::Known::default(),
        }
    }
}

pub(super) fn results(case: &Case) -> impl Iterator<Item = &Expr> {
    case.when_then_expr.iter().map(|(_, then)| then.as_ref()).chain(case.else_expr.as_deref())
}

/// Functions over rows that give one of the values.
fn gives_one_of_rows(name: &str) -> bool {
    matches!(
        name,
        "min" | "max" | "mode" | "first_value" | "last_value" | "nth_value" | "lag" | "lead"
    )
}

/// Whether it has no type of its own.
fn is_untyped(expr: &Expr) -> bool {
    quoted(expr).is_some()
        || matches!(expr, Expr::Placeholder(Placeholder { .. }))
        || matches!(expr, Expr::Literal(value, _) if value.is_null())
}
