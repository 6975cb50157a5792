//! Floats in DataFusion as Postgres has them. Arrow's order is the total one of IEEE 754, in which
//! -0 is less than 0, where in Postgres they are equal; NaN is the greatest in both, but files leave
//! it out of their statistics.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, DFSchemaRef, Result, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Aggregate, Between, BinaryExpr, Distinct, Expr, ExprSchemable, GroupingSet, LogicalPlan,
    Operator, Projection, lit,
};

use crate::functions::keeping_names;

/// One node with both zeros equal, and with comparisons that no statistics can mislead.
pub(super) fn as_in_postgres(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let inputs = plan.inputs();
    if !inputs.iter().any(|input| has_floats(input.schema())) {
        return Ok(Transformed::no(plan));
    }
    let schema = match inputs.as_slice() {
        [input] => Arc::clone(input.schema()),
        _ => Arc::new(merge_schema(&inputs)),
    };
    let plan = keeping_names(plan, |expr| {
        expr.transform_up(|expr| match expr {
            Expr::BinaryExpr(binary) => compared(binary, &schema),
            Expr::Between(between) if between.expr.get_type(&schema)?.is_floating() => {
                let expr = Box::new(plain(*between.expr, &schema)?);
                Ok(Transformed::yes(Expr::Between(Between { expr, ..between })))
            }
            Expr::AggregateFunction(mut call) if call.params.distinct => {
                all_plain(&mut call.params.args, &schema)?;
                Ok(Transformed::yes(Expr::AggregateFunction(call)))
            }
            Expr::WindowFunction(mut call) => {
                all_plain(&mut call.params.partition_by, &schema)?;
                for key in &mut call.params.order_by {
                    key.expr = plain(key.expr.clone(), &schema)?;
                }
                Ok(Transformed::yes(Expr::WindowFunction(call)))
            }
            Expr::InList(list) if list.expr.get_type(&schema)?.is_floating() => {
                let expr = Box::new(plain(*list.expr, &schema)?);
                Ok(Transformed::yes(Expr::InList(InList { expr, ..list })))
            }
            other => Ok(Transformed::no(other)),
        })
    })?;
    plan.transform_data(|plan| match plan {
        LogicalPlan::Sort(mut sort) => {
            for key in &mut sort.expr {
                key.expr = plain(key.expr.clone(), &schema)?;
            }
            Ok(Transformed::yes(LogicalPlan::Sort(sort)))
        }
        LogicalPlan::Aggregate(aggregate) => grouped(aggregate, &schema),
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let exprs =
                input.schema().iter().map(|(qualifier, field)| {
                    let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
                    match field.data_type().is_floating() {
                        true => Ok(plain(column, &schema)?
                            .alias_qualified(qualifier.cloned(), field.name())),
                        false => Ok(column),
                    }
                });
            let exprs = exprs.collect::<Result<Vec<_>>>()?;
            let input = LogicalPlan::Projection(Projection::try_new(exprs, input)?);
            Ok(Transformed::yes(LogicalPlan::Distinct(Distinct::All(Arc::new(input)))))
        }
        other => Ok(Transformed::no(other)),
    })
}

fn has_floats(schema: &DFSchemaRef) -> bool {
    schema.fields().iter().any(|field| field.data_type().is_floating())
}

/// A float that isn't a constant, without the sign of its zero.
fn plain(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let zero = match expr.get_type(schema)? {
        DataType::Float32 => lit(0.0_f32),
        DataType::Float64 => lit(0.0_f64),
        _ => return Ok(expr),
    };
    Ok(match expr {
        Expr::Literal(..) => expr,
        expr => expr + zero,
    })
}

fn all_plain(exprs: &mut [Expr], schema: &DFSchema) -> Result<()> {
    for expr in exprs {
        *expr = plain(expr.clone(), schema)?;
    }
    Ok(())
}

/// Groups by floats, under their old names.
fn grouped(aggregate: Aggregate, schema: &DFSchema) -> Result<Transformed<LogicalPlan>> {
    let is_float = |expr: &Expr| Ok::<_, _>(expr.get_type(schema)?.is_floating());
    let of_sets = aggregate.group_expr.iter().flat_map(|key| match key {
        Expr::GroupingSet(sets) => sets.distinct_expr(),
        key => vec![key],
    });
    let of_sets: Vec<bool> = of_sets.map(is_float).collect::<Result<_>>()?;
    if !of_sets.contains(&true) {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    }
    let Aggregate { input, group_expr, aggr_expr, schema: old, .. } = aggregate;
    let all = |keys: Vec<Expr>| keys.into_iter().map(|key| plain(key, schema)).collect();
    let group_expr = group_expr.into_iter().map(|key| match key {
        Expr::GroupingSet(GroupingSet::Rollup(keys)) => {
            Ok(Expr::GroupingSet(GroupingSet::Rollup(all(keys)?)))
        }
        Expr::GroupingSet(GroupingSet::Cube(keys)) => {
            Ok(Expr::GroupingSet(GroupingSet::Cube(all(keys)?)))
        }
        Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => {
            let sets = sets.into_iter().map(all).collect::<Result<_>>()?;
            Ok(Expr::GroupingSet(GroupingSet::GroupingSets(sets)))
        }
        key => plain(key, schema),
    });
    let group_expr = group_expr.collect::<Result<_>>()?;
    let inner = Aggregate::try_new(input, group_expr, aggr_expr)?;
    let named =
        inner.schema.columns().into_iter().zip(old.iter()).map(|(column, (qualifier, field))| {
            let is_same = column.relation.as_ref() == qualifier && column.name() == field.name();
            match is_same {
                true => Expr::Column(column),
                false => Expr::Column(column).alias_qualified(qualifier.cloned(), field.name()),
            }
        });
    let named = named.collect();
    let inner = Arc::new(LogicalPlan::Aggregate(inner));
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(named, inner)?)))
}

fn compared(binary: BinaryExpr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    let is_comparison = matches!(
        binary.op,
        Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom
    );
    if !is_comparison || !binary.left.get_type(schema)?.is_floating() {
        return Ok(Transformed::no(Expr::BinaryExpr(binary)));
    }
    let BinaryExpr { left, op, right } = binary;
    let (left, op, right) = match (left.as_literal(), right.as_literal(), op.swap()) {
        (Some(_), None, Some(swapped)) => (right, swapped, left),
        _ => (left, op, right),
    };
    let make = |left: Expr, op, right: Expr| {
        Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
    };
    let Some(constant) = right.as_literal().cloned() else {
        return Ok(Transformed::yes(make(plain(*left, schema)?, op, plain(*right, schema)?)));
    };
    // The zeros differ in their order among themselves alone.
    if !is_zero(&constant) {
        let greater = make(*left.clone(), op, *right);
        return Ok(match (op, left.as_ref()) {
            (Gt | GtEq, Expr::Column(_)) if !is_nan(&constant) => {
                Transformed::yes(greater.or(datafusion::functions::expr_fn::isnan(*left)))
            }
            _ => Transformed::no(greater),
        });
    }
    let zero = match constant {
        ScalarValue::Float32(_) => lit(0.0_f32),
        _ => lit(0.0_f64),
    };
    Ok(Transformed::yes(make(plain(*left, schema)?, op, zero)))
}

fn is_nan(constant: &ScalarValue) -> bool {
    match constant {
        ScalarValue::Float64(Some(number)) => number.is_nan(),
        ScalarValue::Float32(Some(number)) => number.is_nan(),
        _ => false,
    }
}

fn is_zero(constant: &ScalarValue) -> bool {
    match constant {
        ScalarValue::Float64(Some(number)) => *number == 0.0,
        ScalarValue::Float32(Some(number)) => *number == 0.0,
        _ => false,
    }
}
