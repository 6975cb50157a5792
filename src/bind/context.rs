//! What DataFusion's planner is told of a bound statement: its scans and the functions.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{TableReference, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};

use super::markers;
use super::relation::{Relation, instant_type, wall_clock_type};
use super::segment::SegmentPart;
use crate::functions::registry;
use crate::model::{MetricVersion, SegmentVersion};

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
    /// The segments among its columns, and the one whose relation it is, by name: as the session
    /// means them.
    pub segments: BTreeMap<String, Arc<SegmentVersion>>,
    /// What the session's clock says of it.
    pub clock: ScanClock,
    schema: SchemaRef,
}

/// What a scan's rows are judged by beside themselves.
#[derive(Debug, Clone, Default)]
pub struct ScanClock {
    /// Rows that came in at this moment or later don't count; None: all do.
    pub as_of: Option<DateTime<Utc>>,
    /// The statement's time; None until it runs.
    pub now: Option<DateTime<Utc>>,
    /// The session's TimeZone.
    pub time_zone: String,
    /// Whether each period of the asked range has a row.
    pub fill: bool,
}

impl ScanClock {
    /// When it is asked which days are closed: the moment as of which, else the statement's time.
    pub fn judged_at(&self) -> Option<DateTime<Utc>> {
        self.as_of.or(self.now)
    }
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
    /// Whether the day of a row's time is closed.
    IsFinal,
    Measure(Arc<MetricVersion>),
    Segment(SegmentPart),
}

impl ScanKind {
    /// Whether it says when a row counts, or something of that.
    pub(crate) fn is_time(&self) -> bool {
        matches!(self, Self::MetricTime | Self::MetricInstant | Self::IsFinal)
    }
}

impl RelationScan {
    pub(crate) fn new(
        relation: Arc<Relation>,
        columns: Vec<ScanColumn>,
        versions: Vec<Arc<MetricVersion>>,
        clock: ScanClock,
    ) -> Self {
        let data_type = |column: &ScanColumn| match &column.kind {
            ScanKind::Dimension(index) => relation.entity.dimensions[*index].data_type.clone(),
            ScanKind::MetricTime => wall_clock_type(),
            ScanKind::MetricInstant => instant_type(),
            ScanKind::IsFinal => DataType::Boolean,
            ScanKind::Measure(version) => version.data_type.clone(),
            ScanKind::Segment(part) => part.data_type(),
        };
        let fields: Vec<Field> = columns
            .iter()
            .map(|column| Field::new(&column.name, data_type(column), true))
            .collect();
        let (segments, schema) = (BTreeMap::new(), Arc::new(Schema::new(fields)));
        Self { relation, columns, versions, segments, clock, schema }
    }

    pub(crate) fn with_segments(self, segments: BTreeMap<String, Arc<SegmentVersion>>) -> Self {
        Self { segments, ..self }
    }

    /// The version whose rows it has, of a relation in schema `segments`.
    pub fn segment(&self) -> Option<&Arc<SegmentVersion>> {
        self.segments.get(&self.relation.segment.as_ref()?.segment.name)
    }

    /// Whether its rows are judged by the statement's time.
    pub fn reads_clock(&self) -> bool {
        let judges = self.columns.iter().any(|column| matches!(column.kind, ScanKind::IsFinal));
        judges && self.clock.as_of.is_none()
    }

    /// The same scan in a statement of this time.
    pub fn at(&self, now: DateTime<Utc>) -> Self {
        Self {
            relation: Arc::clone(&self.relation),
            columns: self.columns.clone(),
            versions: self.versions.clone(),
            segments: self.segments.clone(),
            clock: ScanClock { now: Some(now), ..self.clock.clone() },
            schema: Arc::clone(&self.schema),
        }
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
