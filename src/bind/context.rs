//! What DataFusion's planner is told of a bound statement: its scans and the functions.

use std::any::Any;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{TableReference, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};

use super::markers;
use super::relation::{Relation, instant_type, wall_clock_type};
use crate::functions::registry;
use crate::model::MetricVersion;

/// One reference to a relation in a statement, with the columns that the statement uses of it. The
/// table source of a `TableScan` in a bound plan.
#[derive(Debug)]
pub struct RelationScan {
    pub relation: Arc<Relation>,
    /// In the order of the scan's schema.
    pub columns: Vec<ScanColumn>,
    /// Of relations in schema `metrics`: the versions that the session means, whose time its rows
    /// have.
    pub versions: Vec<Arc<MetricVersion>>,
    schema: SchemaRef,
}

/// A column of a scan.
#[derive(Debug, Clone)]
pub struct ScanColumn {
    pub name: String,
    pub kind: ScanKind,
}

/// What a scan's column stands for; measures have the version that the session means.
#[derive(Debug, Clone)]
pub enum ScanKind {
    /// An index into the entity's dimensions.
    Dimension(usize),
    MetricTime,
    MetricInstant,
    Measure(Arc<MetricVersion>),
}

impl RelationScan {
    pub(crate) fn new(
        relation: Arc<Relation>,
        columns: Vec<ScanColumn>,
        versions: Vec<Arc<MetricVersion>>,
    ) -> Self {
        let data_type = |column: &ScanColumn| match &column.kind {
            ScanKind::Dimension(index) => relation.entity.dimensions[*index].data_type.clone(),
            ScanKind::MetricTime => wall_clock_type(),
            ScanKind::MetricInstant => instant_type(),
            ScanKind::Measure(version) => version.data_type.clone(),
        };
        let fields: Vec<Field> = columns
            .iter()
            .map(|column| Field::new(&column.name, data_type(column), true))
            .collect();
        Self { relation, columns, versions, schema: Arc::new(Schema::new(fields)) }
    }

    /// The scan behind a source, if it is one.
    pub fn of(source: &Arc<dyn TableSource>) -> Option<&RelationScan> {
        (source.as_ref() as &dyn Any).downcast_ref::<RelationScan>()
    }
}

impl TableSource for RelationScan {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// The planner's view of one statement: its scans are tables named `r0`, `r1`, ….
pub(crate) struct StatementContext {
    pub(crate) scans: Vec<Option<Arc<RelationScan>>>,
}

impl ContextProvider for StatementContext {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let index = name.table().strip_prefix('r').and_then(|digits| digits.parse::<usize>().ok());
        match index.and_then(|index| self.scans.get(index)?.clone()) {
            Some(scan) => Ok(scan),
            None => plan_err!("relation \"{name}\" does not exist"),
        }
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &registry().expr_planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        registry().type_planner.clone()
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        if name == markers::MEASURE_OF_ROW {
            return Some(markers::measure_of_row());
        }
        registry().scalar.get(name).cloned()
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        match name {
            markers::MEASURE => return Some(markers::measure()),
            markers::MEASURE_AT => return Some(markers::measure_at()),
            _ => {}
        }
        registry().aggregate.get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        registry().window.get(name).cloned()
    }

    fn get_variable_type(&self, _variable_names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &registry().options
    }

    fn udf_names(&self) -> Vec<String> {
        registry().scalar.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        registry().aggregate.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        registry().window.keys().cloned().collect()
    }
}
