//! A plan over sources, rewritten to what DataFusion runs: scans of files, and dedupe as a window.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, exec_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, Projection, ScalarUDF, TableScan, TableScanBuilder,
    TableSource, Volatility, create_udf,
};

use super::floats;
use super::schema::is_uuid;
use super::unkeyed::unkeyed;
use crate::backend::latest::latest_of;
use crate::plan::latest::Latest;
use crate::plan::source::SourceTable;
use crate::plan::spread::Spread;

/// Gives a source's scannable twin: the same columns in the same order, uuids as bytes.
pub(super) type TableOf<'a> = dyn Fn(&SourceTable) -> Result<Arc<dyn TableSource>> + 'a;

/// Replaces every scan of a [`SourceTable`], every [`Latest`] and every [`Spread`], and hides keys below
/// joins; all else stays. Each replacement has the schema of what it replaces.
pub(super) fn lower(plan: LogicalPlan, table_of: &TableOf) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|plan| match plan {
        LogicalPlan::TableScan(scan) => match SourceTable::of(&scan.source) {
            Some(source) => {
                let table = table_of(source)?;
                let columns = source.columns.iter().map(is_uuid).collect::<Vec<_>>();
                Ok(Transformed::yes(scan_of(scan, table, &columns)?))
            }
            None => Ok(Transformed::no(LogicalPlan::TableScan(scan))),
        },
        LogicalPlan::Extension(extension) => match Latest::of(&extension) {
            Some(latest) => Ok(Transformed::yes(latest_of(latest)?)),
            None => match Spread::of(&extension) {
                Some(spread) => Ok(Transformed::yes(spread.unnested()?)),
                None => Ok(Transformed::no(LogicalPlan::Extension(extension))),
            },
        },
        other => floats::as_in_postgres(other)?.transform_data(|other| match unkeyed(&other)? {
            Some(plan) => Ok(Transformed::yes(plan)),
            None => Ok(Transformed::no(other)),
        }),
    })
    .data()
}

/// The scan over files; uuids become text in a projection above.
fn scan_of(scan: TableScan, table: Arc<dyn TableSource>, is_uuid: &[bool]) -> Result<LogicalPlan> {
    let projection: Vec<usize> =
        scan.projection.clone().unwrap_or_else(|| (0..is_uuid.len()).collect());
    let shown = Arc::clone(&scan.projected_schema);
    let lowered = TableScanBuilder::new(scan.table_name, table)
        .with_projection(scan.projection)
        .with_filters(scan.filters)
        .with_fetch(scan.fetch)
        .build()?;
    let lowered = LogicalPlan::TableScan(lowered);
    if !projection.iter().any(|&index| is_uuid[index]) {
        return Ok(lowered);
    }
    let text = uuid_text();
    let exprs = shown.iter().zip(projection).map(|((qualifier, field), index)| {
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        match is_uuid[index] {
            true => text.call(vec![column]).alias_qualified(qualifier.cloned(), field.name()),
            false => column,
        }
    });
    let exprs = exprs.collect();
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(lowered))?))
}

/// Sixteen bytes in the usual notation of a uuid.
fn uuid_text() -> ScalarUDF {
    create_udf(
        "canon_uuid_text",
        vec![DataType::FixedSizeBinary(16)],
        DataType::Utf8,
        Volatility::Immutable,
        Arc::new(|args: &[ColumnarValue]| {
            let arrays = ColumnarValue::values_to_arrays(args)?;
            let Some(bytes) = arrays.first().and_then(|array| array.as_fixed_size_binary_opt())
            else {
                return exec_err!("a uuid has sixteen bytes");
            };
            let mut texts = StringBuilder::with_capacity(bytes.len(), bytes.len() * 36);
            for value in bytes.iter() {
                match value.and_then(|value| <[u8; 16]>::try_from(value).ok()) {
                    Some(value) => texts.append_value(
                        uuid::Uuid::from_bytes(value)
                            .hyphenated()
                            .encode_lower(&mut uuid::Uuid::encode_buffer()),
                    ),
                    None => texts.append_null(),
                }
            }
            Ok(ColumnarValue::Array(Arc::new(texts.finish()) as ArrayRef))
        }),
    )
}
