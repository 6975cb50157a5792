//! Dedupe where DataFusion does it.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::error::Result;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{
    Cast, Expr, ExprFunctionExt, Filter, LogicalPlan, LogicalPlanBuilder, Projection, col, lit,
};

use crate::plan::latest::Latest;

/// The position of a row among those of its key, newest first; no source column may be named so.
const RANK: &str = "__canon_rank";

/// `row_number() OVER (PARTITION BY key ORDER BY latest DESC NULLS LAST) = 1`, tombstones left out
/// after that: a deleted row must hide the older ones.
pub(super) fn latest_of(latest: &Latest) -> Result<LogicalPlan> {
    let Latest { input, dedupe } = latest;
    let schema = Arc::clone(input.schema());
    let column = |name: &String| -> Result<Expr> {
        let (qualifier, field) = schema.qualified_field_with_unqualified_name(name)?;
        Ok(Expr::Column(Column::new(qualifier.cloned(), field.name())))
    };
    let rank = row_number()
        .partition_by(dedupe.by.iter().map(column).collect::<Result<_>>()?)
        .order_by(vec![column(&dedupe.latest)?.sort(false, false)])
        .build()?
        .alias(RANK);
    let ranked = LogicalPlanBuilder::from(input.clone()).window(vec![rank])?.build()?;
    let first = col(RANK).eq(lit(1_u64));
    let kept = match &dedupe.deleted {
        Some(deleted) => {
            let data_type = schema.field_with_unqualified_name(deleted)?.data_type().clone();
            first.and(alive(column(deleted)?, &data_type))
        }
        None => first,
    };
    let kept = LogicalPlan::Filter(Filter::try_new(kept, Arc::new(ranked))?);
    let columns = schema
        .iter()
        .map(|(qualifier, field)| Expr::Column(Column::new(qualifier.cloned(), field.name())));
    let columns = columns.collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(kept))?))
}

/// Whether a row isn't a tombstone: NULL means alive.
fn alive(deleted: Expr, data_type: &DataType) -> Expr {
    match data_type {
        DataType::Boolean => deleted.is_not_true(),
        other => {
            let zero = Expr::Cast(Cast::new(Box::new(lit(0_i64)), other.clone()));
            deleted.clone().is_null().or(deleted.eq(zero))
        }
    }
}
