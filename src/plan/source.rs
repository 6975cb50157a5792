//! A physical table as the leaf of a plan.

use std::any::Any;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::logical_expr::{TableProviderFilterPushDown, TableSource};

use crate::model::SourceColumn;

/// The table source of every `TableScan` in a finished plan. The scan's `table_name` is the bare
/// source table; its schema has the source's columns under their own names and canonical types.
#[derive(Debug)]
pub struct SourceTable {
    pub table: String,
    pub columns: Vec<SourceColumn>,
    schema: SchemaRef,
}

impl SourceTable {
    pub fn new(table: String, columns: Vec<SourceColumn>) -> Self {
        let fields: Vec<Field> = columns
            .iter()
            .map(|column| Field::new(&column.name, column.data_type.clone(), column.nullable))
            .collect();
        Self { table, columns, schema: Arc::new(Schema::new(fields)) }
    }

    /// The source behind a scan, if it is one of ours.
    pub fn of(source: &Arc<dyn TableSource>) -> Option<&SourceTable> {
        (source.as_ref() as &dyn Any).downcast_ref::<SourceTable>()
    }
}

impl TableSource for SourceTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Filters stay as nodes: the ClickHouse generator reads them there, and the embedded backend
    /// replaces this source by a provider that decides for itself.
    fn supports_filters_pushdown(
        &self,
        filters: &[&datafusion::logical_expr::Expr],
    ) -> datafusion::error::Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Unsupported; filters.len()])
    }
}
