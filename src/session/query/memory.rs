//! Statements that read nothing but segments kept in memory: answered without the backend, look-ups
//! by key without a plan.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use datafusion::arrow::array::{RecordBatch, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::MemTable;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::expr::{InList, Placeholder};
use datafusion::logical_expr::{
    BinaryExpr, Expr, FetchType, LogicalPlan, Operator, SkipType, TableScan, TableScanBuilder,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use tokio_util::sync::CancellationToken;

use super::QueryEngine;
use super::data::PlannedQuery;
use super::definitions::Set;
use super::parameters::{self, Filling};
use super::preload::{Kept, Rows, kept_of};
use crate::backend::{BackendError, Run};
use crate::bind::segment::SegmentPart;
use crate::bind::{RelationScan, ScanColumn, ScanKind};
use crate::error::QueryError;
use crate::observe::Statement;
use crate::plan::{self, PlanError};
use crate::session::engine::{Notice, RequestContext};

/// How a statement can be answered from memory, once its segments are loaded.
#[derive(Debug)]
pub(crate) struct InMemory {
    kept: Vec<Arc<Kept>>,
    lookup: Option<Lookup>,
}

/// `SELECT columns FROM segment WHERE key = value`, or `IN (values)`.
#[derive(Debug)]
struct Lookup {
    kept: Arc<Kept>,
    /// Positions in the kept rows.
    columns: Vec<usize>,
    /// Literals and parameters.
    values: Vec<Expr>,
}

/// The rows of the statement's segments, all loaded.
pub(crate) struct Loaded<'q> {
    memory: &'q InMemory,
    rows: Vec<Arc<Rows>>,
}

impl InMemory {
    /// Whether a bound plan reads nothing but segments that are to be kept in memory.
    pub(crate) fn of(set: &Set, bound: &LogicalPlan) -> Result<Option<Self>, PlanError> {
        let mut kept: Vec<Arc<Kept>> = Vec::new();
        let mut reads_others = false;
        bound.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                // What is kept is of now.
                let latest = |scan: &&RelationScan| scan.clock.as_of.is_none();
                let relation = RelationScan::of(&scan.source).filter(latest);
                let version = relation.and_then(RelationScan::segment);
                match version.and_then(|version| kept_of(set, version)) {
                    Some(found) if kept.iter().any(|known| Arc::ptr_eq(known, &found)) => {}
                    Some(found) => kept.push(found),
                    None => reads_others = true,
                }
            }
            Ok(if reads_others { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        let lookup = || Lookup::of(set, bound);
        let is_kept = !reads_others && !kept.is_empty();
        Ok(is_kept.then(|| Self { lookup: lookup(), kept }))
    }

    /// Whether it is a look-up by key.
    pub(crate) fn is_lookup(&self) -> bool {
        self.lookup.is_some()
    }

    /// The rows, where all segments have been loaded.
    pub(crate) fn loaded(&self) -> Option<Loaded<'_>> {
        let rows: Option<Vec<Arc<Rows>>> = self.kept.iter().map(|kept| kept.rows()).collect();
        Some(Loaded { memory: self, rows: rows? })
    }
}

impl Lookup {
    fn of(set: &Set, bound: &LogicalPlan) -> Option<Self> {
        let (bound, is_limited) = match bound {
            // One row at most is found for one key, so that a limit leaves it.
            LogicalPlan::Limit(limit) => {
                match (limit.get_skip_type().ok()?, limit.get_fetch_type().ok()?) {
                    (SkipType::Literal(0), FetchType::Literal(Some(1..))) => {}
                    _ => return None,
                }
                (limit.input.as_ref(), true)
            }
            other => (other, false),
        };
        let LogicalPlan::Projection(projection) = bound else { return None };
        let LogicalPlan::Filter(filter) = projection.input.as_ref() else { return None };
        let LogicalPlan::TableScan(node) = filter.input.as_ref() else { return None };
        let scan = RelationScan::of(&node.source)?;
        if scan.relation.entity.key.len() != 1 {
            return None;
        }
        let column_of = |expr: &Expr| scanned(node, scan, expr);
        let is_key =
            |expr: &Expr| column_of(expr).is_some_and(|column| position(scan, column) == Some(0));
        let values = match &filter.predicate {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                let value = match (is_key(left), is_key(right)) {
                    (true, false) => right,
                    (false, true) => left,
                    _ => return None,
                };
                vec![value.as_ref().clone()]
            }
            Expr::InList(InList { expr, list, negated: false }) if is_key(expr) && !is_limited => {
                list.clone()
            }
            _ => return None,
        };
        let is_given = |value: &Expr| {
            matches!(value, Expr::Literal(..) | Expr::Placeholder(Placeholder { .. }))
        };
        if !values.iter().all(is_given) {
            return None;
        }
        let columns: Option<Vec<usize>> = projection
            .expr
            .iter()
            .map(|expr| position(scan, column_of(unaliased(expr))?))
            .collect();
        Some(Self { kept: kept_of(set, scan.segment()?)?, columns: columns?, values })
    }

    /// The rows of the members; None where a value isn't one that a key could be.
    fn answer(
        &self,
        rows: &Rows,
        params: &[ScalarValue],
    ) -> Result<Option<RecordBatch>, DataFusionError> {
        let key_type = rows.batch.column(0).data_type();
        let mut found = BTreeSet::new();
        for value in &self.values {
            let value = match value {
                Expr::Literal(value, _) => Some(value),
                Expr::Placeholder(Placeholder { id, .. }) => {
                    let number = id.strip_prefix('$').and_then(|it| it.parse::<usize>().ok());
                    number.and_then(|number| params.get(number.checked_sub(1)?))
                }
                _ => None,
            };
            match value.map(|value| key_of(value, key_type)) {
                Some(Key::Of(key)) => found.extend(rows.find(&key)?),
                Some(Key::Null) => {}
                Some(Key::Unfit) | None => return Ok(None),
            }
        }
        let found = UInt32Array::from(found.into_iter().collect::<Vec<u32>>());
        let mut columns = Vec::with_capacity(self.columns.len());
        let mut fields = Vec::with_capacity(self.columns.len());
        for (output, column) in self.columns.iter().enumerate() {
            let column = rows.batch.column(*column);
            fields.push(Field::new(format!("c{output}"), column.data_type().clone(), true));
            columns.push(take(column, &found, None)?);
        }
        Ok(Some(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?))
    }
}

/// What a value is as a key.
enum Key {
    Of(ScalarValue),
    /// Equal to none.
    Null,
    /// To be compared as SQL does.
    Unfit,
}

fn key_of(value: &ScalarValue, data_type: &DataType) -> Key {
    if value.is_null() {
        return Key::Null;
    }
    let given = value.data_type();
    if given == *data_type {
        return Key::Of(value.clone());
    }
    let both_whole = given.is_integer() && data_type.is_integer();
    match value.cast_to(data_type) {
        Ok(key) if both_whole && !key.is_null() => Key::Of(key),
        _ => Key::Unfit,
    }
}

fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unaliased(&alias.expr),
        other => other,
    }
}

/// The column of a scan that an expression is, and nothing else.
fn scanned<'s>(node: &TableScan, scan: &'s RelationScan, expr: &Expr) -> Option<&'s ScanColumn> {
    let Expr::Column(column) = expr else { return None };
    let index = node.projected_schema.maybe_index_of_column(column)?;
    let index = node.projection.as_ref().map_or(Some(index), |all| all.get(index).copied())?;
    scan.columns.get(index)
}

/// Where the kept rows have a column.
fn position(scan: &RelationScan, column: &ScanColumn) -> Option<usize> {
    let key = &scan.relation.entity.key;
    match &column.kind {
        ScanKind::Dimension(index) => {
            let attribute = &scan.relation.entity.dimensions[*index].attribute;
            key.iter().position(|name| name == attribute)
        }
        ScanKind::Segment(part) => Some(
            key.len()
                + match part {
                    SegmentPart::Group => 0,
                    SegmentPart::Rule => 1,
                    SegmentPart::ComputedAt => 2,
                    SegmentPart::Version => 3,
                },
        ),
        _ => None,
    }
}

impl Loaded<'_> {
    /// What EXPLAIN says.
    pub(crate) fn described(&self) -> Vec<String> {
        let both = self.memory.kept.iter().zip(&self.rows);
        let line = |(kept, rows): (&Arc<Kept>, &Arc<Rows>)| {
            format!(
                "Answered from memory: segment {} {}, {} members as of {}",
                kept.version.segment,
                kept.version.version,
                rows.members(),
                rows.computed_at.format("%Y-%m-%d %H:%M:%S UTC"),
            )
        };
        both.map(line).collect()
    }

    /// The age of the oldest rows.
    pub(crate) fn age(&self) -> Duration {
        let now = Utc::now();
        self.rows.iter().map(|rows| rows.age(now)).max().unwrap_or_default()
    }

    /// What must be said of rows beyond their budget.
    pub(crate) fn notices(&self) -> Vec<Notice> {
        let now = Utc::now();
        let both = self.memory.kept.iter().zip(&self.rows);
        let stale = both.filter(|(kept, rows)| rows.age(now) > kept.budget);
        stale
            .map(|(kept, rows)| Notice {
                severity: "NOTICE",
                sqlstate: "01000",
                message: format!(
                    "segment \"{}\" is {} s old",
                    kept.version.segment,
                    rows.age(now).as_secs()
                ),
                detail: Some(format!(
                    "Its budget is {} s; it could not be loaded again since {}.",
                    kept.budget.as_secs(),
                    rows.computed_at.format("%Y-%m-%d %H:%M:%S UTC"),
                )),
                hint: None,
            })
            .collect()
    }

    fn rows_of(&self, kept: &Arc<Kept>) -> Option<&Arc<Rows>> {
        let position = self.memory.kept.iter().position(|known| Arc::ptr_eq(known, kept))?;
        self.rows.get(position)
    }

    /// The bound plan over the rows instead of the segments' relations.
    fn over_rows(&self, set: &Set, bound: &LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
        let replaced = bound.clone().transform_up_with_subqueries(|node| {
            let LogicalPlan::TableScan(scan) = &node else { return Ok(Transformed::no(node)) };
            let Some(relation) = RelationScan::of(&scan.source) else {
                return Ok(Transformed::no(node));
            };
            let missing = || DataFusionError::Internal("a segment isn't in memory".to_owned());
            let kept = relation.segment().and_then(|version| kept_of(set, version));
            let kept = kept.ok_or_else(missing)?;
            let rows = self.rows_of(&kept).ok_or_else(missing)?;
            Ok(Transformed::yes(scan_of(scan, relation, rows)?))
        })?;
        Ok(replaced.data)
    }
}

/// A scan of the rows, with the columns that the relation's scan has.
fn scan_of(
    scan: &TableScan,
    relation: &RelationScan,
    rows: &Rows,
) -> Result<LogicalPlan, DataFusionError> {
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for column in &relation.columns {
        let missing = || DataFusionError::Internal(format!("no column {}", column.name));
        let position = position(relation, column).ok_or_else(missing)?;
        let values = rows.batch.column(position);
        fields.push(Field::new(&column.name, values.data_type().clone(), true));
        columns.push(Arc::clone(values));
    }
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let options =
        datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.members()));
    let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)?;
    let table = MemTable::try_new(schema, vec![vec![batch]])?;
    let source = provider_as_source(Arc::new(table));
    let builder = TableScanBuilder::new(scan.table_name.clone(), source);
    Ok(LogicalPlan::TableScan(builder.with_projection(scan.projection.clone()).build()?))
}

impl QueryEngine {
    /// The answer from rows in memory.
    pub(super) async fn answer_from_memory(
        &self,
        planned: &PlannedQuery,
        loaded: &Loaded<'_>,
        params: &[ScalarValue],
        statement: &Statement,
        context: &RequestContext,
        cancel: CancellationToken,
    ) -> Result<SendableRecordBatchStream, QueryError> {
        if let Some(lookup) = &loaded.memory.lookup
            && let Some(rows) = loaded.rows_of(&lookup.kept)
            && let Some(batch) = lookup.answer(rows, params).map_err(BackendError::from)?
        {
            let schema = batch.schema();
            let rows = futures::stream::iter([Ok(batch)]);
            return Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)));
        }
        let set = planned.definitions.set()?;
        let now = Utc::now();
        let over = loaded.over_rows(set, &planned.bound).map_err(PlanError::from)?;
        let filled =
            parameters::fill_statement(&over, &Filling::Values(params), now, &planned.zones);
        let plan = plan::plan(&set.model, &filled.map_err(PlanError::from)?, now)?;
        // It reads no source, so that nothing is pushed: the backend only lends its threads.
        let prepared = self.backend.prepare(plan)?;
        let run = Run {
            query_id: statement.query_id().to_owned(),
            log_comment: String::new(),
            cancel,
            deadline: context.statement_timeout.map(|timeout| Instant::now() + timeout),
            stats: statement.stats(),
        };
        Ok(self.backend.execute(&prepared, &run).await?)
    }
}
