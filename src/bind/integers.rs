//! Which columns are `int4` in Postgres, though they are computed in eight bytes.
//!
//! A whole number in a statement is an `int4` in Postgres where it fits one, and in DataFusion always
//! eight bytes long; so `items + 1` is an `int4` there and an `int8` here. What differs is the type
//! that clients are told, by which drivers choose their own; values are the same, and one that
//! `int4` can't hold is refused when it is sent.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, JoinType, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, Case, ScalarFunction};
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Distinct, Expr, ExprSchemable, LogicalPlan, Operator,
};

/// For each column of a bound plan, whether Postgres would call it an `int4`.
pub fn int4_columns(plan: &LogicalPlan) -> Vec<bool> {
    let by_type = || plan.schema().fields().iter().map(|it| is_small(it.data_type()));
    match plan {
        LogicalPlan::Projection(projection) => Rows::of(&projection.input).values(&projection.expr),
        LogicalPlan::SubqueryAlias(alias) => int4_columns(&alias.input),
        LogicalPlan::Filter(filter) => int4_columns(&filter.input),
        LogicalPlan::Sort(sort) => int4_columns(&sort.input),
        LogicalPlan::Limit(limit) => int4_columns(&limit.input),
        LogicalPlan::Distinct(Distinct::All(input)) => int4_columns(input),
        LogicalPlan::Aggregate(aggregate) if !is_of_sets(aggregate) => Rows::of(&aggregate.input)
            .values(aggregate.group_expr.iter().chain(&aggregate.aggr_expr)),
        LogicalPlan::Window(window) => {
            let mut columns = int4_columns(&window.input);
            columns.extend(by_type().skip(columns.len()));
            columns
        }
        LogicalPlan::Join(join) if joins_columns(join.join_type) => {
            [int4_columns(&join.left), int4_columns(&join.right)].concat()
        }
        // Before types are coerced a union has those of its first part.
        LogicalPlan::Union(union) => {
            let parts = union.inputs.iter().map(|input| int4_columns(input));
            let both = |one: Vec<bool>, other| one.into_iter().zip(other).map(|(a, b)| a && b);
            parts.reduce(|one, other| both(one, other).collect()).unwrap_or_default()
        }
        LogicalPlan::Values(values) => {
            let rows = Rows { schema: &values.schema, int4: Vec::new() };
            let column = |index| values.values.iter().all(|row| rows.value(&row[index]));
            (0..values.schema.fields().len()).map(column).collect()
        }
        _ => by_type().collect(),
    }
}

fn is_of_sets(aggregate: &Aggregate) -> bool {
    aggregate.group_expr.iter().any(|it| matches!(it, Expr::GroupingSet(_)))
}

/// Whether a join gives the columns of both sides.
fn joins_columns(join_type: JoinType) -> bool {
    matches!(join_type, JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full)
}

/// What expressions are over.
struct Rows<'p> {
    schema: &'p DFSchema,
    /// For each column, found once: queries in queries may each use one more than once.
    int4: Vec<bool>,
}

impl<'p> Rows<'p> {
    fn of(input: &'p LogicalPlan) -> Self {
        Self { schema: input.schema(), int4: int4_columns(input) }
    }

    fn values<'e>(&self, exprs: impl IntoIterator<Item = &'e Expr>) -> Vec<bool> {
        exprs.into_iter().map(|expr| self.value(expr)).collect()
    }

    /// Whether an expression over these rows is an `int4`.
    fn value(&self, expr: &Expr) -> bool {
        let of = |expr: &Expr| self.value(expr);
        match expr {
            Expr::Literal(ScalarValue::Int64(Some(number)), _) => i32::try_from(*number).is_ok(),
            Expr::Column(name) => {
                let index = self.schema.maybe_index_of_column(name);
                index.and_then(|index| self.int4.get(index)).is_some_and(|it| *it)
            }
            Expr::Alias(alias) => of(&alias.expr),
            Expr::Negative(inner) => of(inner),
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right })
                if self.is_date(left) && self.is_date(right) =>
            {
                true
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                is_arithmetic(*op) && of(left) && of(right)
            }
            Expr::Case(Case { when_then_expr, else_expr, .. }) => {
                let results = when_then_expr.iter().map(|(_, then)| then.as_ref());
                all_of(results.chain(else_expr.as_deref()), of)
            }
            Expr::ScalarFunction(ScalarFunction { func, args }) => match func.name() {
                "abs" | "coalesce" | "greatest" | "least" | "mod" => all_of(args.iter(), of),
                "nullif" => args.first().is_some_and(of),
                _ => self.is_small(expr),
            },
            Expr::AggregateFunction(AggregateFunction { func, params }) => {
                matches!(func.name(), "min" | "max") && all_of(params.args.iter(), of)
            }
            Expr::ScalarSubquery(query) => int4_columns(&query.subquery).first() == Some(&true),
            _ => self.is_small(expr),
        }
    }

    fn is_date(&self, expr: &Expr) -> bool {
        expr.get_type(self.schema).is_ok_and(|data_type| data_type == DataType::Date32)
    }

    fn is_small(&self, expr: &Expr) -> bool {
        expr.get_type(self.schema).is_ok_and(|data_type| is_small(&data_type))
    }
}

/// Whether those that aren't NULL are all of the type, and there is one.
fn all_of<'a>(exprs: impl Iterator<Item = &'a Expr>, of: impl Fn(&Expr) -> bool) -> bool {
    let is_null = |expr: &Expr| matches!(expr, Expr::Literal(value, _) if value.is_null());
    let mut exprs = exprs.filter(|expr| !is_null(expr)).peekable();
    exprs.peek().is_some() && exprs.all(of)
}

fn is_arithmetic(op: Operator) -> bool {
    matches!(
        op,
        Operator::Plus
            | Operator::Minus
            | Operator::Multiply
            | Operator::Divide
            | Operator::Modulo
            | Operator::BitwiseAnd
            | Operator::BitwiseOr
            | Operator::BitwiseXor
            | Operator::BitwiseShiftLeft
            | Operator::BitwiseShiftRight
    )
}

fn is_small(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int8 | DataType::Int16 | DataType::Int32)
}
