//! Which columns are `int4` in Postgres, though they are computed in eight bytes.
//!
//! A whole number in a statement is an `int4` in Postgres where it fits one, and in DataFusion always
//! eight bytes long; so `items + 1` is an `int4` there and an `int8` here. What differs is the type
//! that clients are told, by which drivers choose their own; values are the same, and one that
//! `int4` can't hold is refused when it is sent.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, Case, ScalarFunction};
use datafusion::logical_expr::{BinaryExpr, Distinct, Expr, ExprSchemable, LogicalPlan, Operator};

/// For each column of a bound plan, whether Postgres would call it an `int4`.
pub fn int4_columns(plan: &LogicalPlan) -> Vec<bool> {
    (0..plan.schema().fields().len()).map(|index| column(plan, index)).collect()
}

fn column(plan: &LogicalPlan, index: usize) -> bool {
    let is_small = || is_small(plan.schema().field(index).data_type());
    match plan {
        LogicalPlan::Projection(projection) => value(&projection.expr[index], &projection.input),
        LogicalPlan::SubqueryAlias(alias) => column(&alias.input, index),
        LogicalPlan::Filter(filter) => column(&filter.input, index),
        LogicalPlan::Sort(sort) => column(&sort.input, index),
        LogicalPlan::Limit(limit) => column(&limit.input, index),
        LogicalPlan::Distinct(Distinct::All(input)) => column(input, index),
        LogicalPlan::Aggregate(aggregate) => {
            let exprs = aggregate.group_expr.iter().chain(&aggregate.aggr_expr);
            match aggregate.group_expr.iter().any(|it| matches!(it, Expr::GroupingSet(_))) {
                true => is_small(),
                false => exprs.skip(index).take(1).all(|expr| value(expr, &aggregate.input)),
            }
        }
        LogicalPlan::Window(window) if index < window.input.schema().fields().len() => {
            column(&window.input, index)
        }
        LogicalPlan::Join(join) => match index.checked_sub(join.left.schema().fields().len()) {
            None => column(&join.left, index),
            Some(index) if index < join.right.schema().fields().len() => column(&join.right, index),
            Some(_) => is_small(),
        },
        // Before types are coerced a union has those of its first part.
        LogicalPlan::Union(union) => union.inputs.iter().all(|input| column(input, index)),
        LogicalPlan::Values(values) => {
            values.values.iter().all(|row| row.get(index).is_some_and(|it| value(it, plan)))
        }
        _ => is_small(),
    }
}

/// Whether an expression over the rows of `input` is an `int4`.
fn value(expr: &Expr, input: &LogicalPlan) -> bool {
    let of = |expr: &Expr| value(expr, input);
    match expr {
        Expr::Literal(ScalarValue::Int64(Some(number)), _) => i32::try_from(*number).is_ok(),
        Expr::Column(name) => at(input, name).is_some_and(|index| column(input, index)),
        Expr::Alias(alias) => of(&alias.expr),
        Expr::Negative(inner) => of(inner),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right })
            if is_date(left, input) && is_date(right, input) =>
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
            _ => is_small_value(expr, input),
        },
        Expr::AggregateFunction(AggregateFunction { func, params }) => {
            matches!(func.name(), "min" | "max") && all_of(params.args.iter(), of)
        }
        Expr::ScalarSubquery(subquery) => column(&subquery.subquery, 0),
        _ => is_small_value(expr, input),
    }
}

fn at(input: &LogicalPlan, name: &Column) -> Option<usize> {
    input.schema().maybe_index_of_column(name)
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

fn is_date(expr: &Expr, input: &LogicalPlan) -> bool {
    expr.get_type(input.schema()).is_ok_and(|data_type| data_type == DataType::Date32)
}

fn is_small(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int8 | DataType::Int16 | DataType::Int32)
}

fn is_small_value(expr: &Expr, input: &LogicalPlan) -> bool {
    expr.get_type(input.schema()).is_ok_and(|data_type| is_small(&data_type))
}
