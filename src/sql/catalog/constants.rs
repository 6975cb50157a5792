//! Queries of constants, such as the `SELECT 1` by which a pool asks whether a connection lives.
//!
//! They come between all other statements, so they are answered without planning an execution,
//! which copies a session and walks through every rule.

use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan};
use std::sync::Arc;

/// The one row of a plan that only writes constants; None for every other plan, and where a
/// constant can't be cast, which execution then refuses in its own words.
pub(super) fn answer(plan: &LogicalPlan) -> Option<RecordBatch> {
    let columns = row(plan)?;
    if columns.is_empty() {
        return None; // an array of no rows would have to say how many there are
    }
    let columns: Result<Vec<_>, _> = columns.iter().map(|value| value.to_array()).collect();
    RecordBatch::try_new(Arc::clone(plan.schema().inner()), columns.ok()?).ok()
}

fn row(plan: &LogicalPlan) -> Option<Vec<ScalarValue>> {
    match plan {
        LogicalPlan::EmptyRelation(empty) if empty.produce_one_row => Some(Vec::new()),
        LogicalPlan::Projection(projection) => {
            let below = row(&projection.input)?;
            let schema = projection.input.schema();
            projection.expr.iter().map(|expr| value(expr, schema, &below)).collect()
        }
        _ => None,
    }
}

fn value(expr: &Expr, schema: &DFSchema, below: &[ScalarValue]) -> Option<ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value.clone()),
        Expr::Alias(alias) => value(&alias.expr, schema, below),
        Expr::Cast(cast) => value(&cast.expr, schema, below)?.cast_to(cast.field.data_type()).ok(),
        Expr::Column(column) => below.get(schema.maybe_index_of_column(column)?).cloned(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::DataType;
    use datafusion::logical_expr::{LogicalPlanBuilder, cast, col, lit};

    fn plan(exprs: Vec<Vec<Expr>>) -> LogicalPlan {
        let empty = LogicalPlanBuilder::empty(true);
        let project = |plan: LogicalPlanBuilder, exprs: Vec<Expr>| plan.project(exprs).unwrap();
        exprs.into_iter().fold(empty, project).build().unwrap()
    }

    #[test]
    fn constants_are_answered_as_they_would_be_executed() {
        let one = cast(lit(1_i64), DataType::Int32).alias("one");
        let batch = answer(&plan(vec![vec![one, lit("a")], vec![col("one")]])).unwrap();
        assert_eq!(batch.num_rows(), 1);
        assert_eq!(ScalarValue::try_from_array(batch.column(0), 0).unwrap(), 1_i32.into());
    }

    #[test]
    fn whatever_is_computed_is_left_to_execution() {
        assert!(answer(&plan(vec![vec![lit(1_i64) + lit(1_i64)]])).is_none());
        assert!(answer(&plan(vec![vec![cast(lit("x"), DataType::Int32)]])).is_none());
    }
}
