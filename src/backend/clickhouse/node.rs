//! A part of a plan that is one ClickHouse statement, as a logical and as a physical node.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchemaRef, internal_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions, SchedulingType,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use futures::{FutureExt, TryFutureExt};
use tokio::runtime::Handle;

use super::client::Connection;
use super::stream::{Ask, stream};
use crate::backend::guard::AbortOnDrop;
use crate::backend::{BackendError, Run};

/// One statement, in place of the sub-plan that it answers.
///
/// Two are equal if they send the same text and answer with the same types: over equal data they
/// give equal rows.
#[derive(Clone)]
pub struct Pushed {
    pub sql: String,
    pub schema: DFSchemaRef,
    /// The source tables that it reads.
    pub tables: Vec<String>,
}

impl Pushed {
    pub(super) fn plan(sql: String, schema: DFSchemaRef, tables: Vec<String>) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(Self { sql, schema, tables }) })
    }

    /// The node behind an extension, if it is this one.
    pub fn of(extension: &Extension) -> Option<&Pushed> {
        extension.node.as_any().downcast_ref::<Pushed>()
    }

    pub(super) fn ask(&self) -> Ask {
        Ask {
            sql: self.sql.clone(),
            schema: Arc::clone(self.schema.inner()),
            tables: self.tables.clone(),
        }
    }

    fn types(&self) -> impl Iterator<Item = &DataType> {
        self.schema.fields().iter().map(|field| field.data_type())
    }
}

impl PartialEq for Pushed {
    fn eq(&self, other: &Self) -> bool {
        self.sql == other.sql && self.types().eq(other.types())
    }
}

impl Eq for Pushed {}

impl Hash for Pushed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.sql.hash(state);
        self.types().for_each(|data_type| data_type.hash(state));
    }
}

impl PartialOrd for Pushed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.sql.partial_cmp(&other.sql).filter(|order| order.is_ne() || self == other)
    }
}

impl fmt::Debug for Pushed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClickHouse: {}", one_line(&self.sql))
    }
}

impl UserDefinedLogicalNodeCore for Pushed {
    fn name(&self) -> &str {
        "ClickHouse"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        Vec::new()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "ClickHouse: one statement over {}", self.tables.join(", "))
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        if !inputs.is_empty() {
            return internal_err!("a pushed statement has no inputs");
        }
        Ok(self.clone())
    }
}

/// A statement as one line: line breaks outside of literals become spaces, literals have theirs
/// escaped already or shown as `\n`.
fn one_line(sql: &str) -> String {
    let mut line = String::with_capacity(sql.len());
    let mut in_literal = false;
    let mut chars = sql.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => {
                line.push(char);
                line.extend(chars.next());
            }
            '\n' if in_literal => line.push_str("\\n"),
            '\n' | '\r' | ' ' if !in_literal => {
                if !line.ends_with([' ', '(']) {
                    line.push(' ');
                }
            }
            ')' if !in_literal && line.ends_with(' ') => {
                line.pop();
                line.push(')');
            }
            _ => {
                in_literal ^= char == '\'';
                line.push(char);
            }
        }
    }
    line
}

/// What the statements of one execution share; it travels with the task's configuration.
#[derive(Debug)]
pub(super) struct PushedRun {
    connection: Connection,
    run: Run,
    /// Where connections live: apart from the threads that compute.
    runtime: Handle,
    /// Statements started so far: each needs a query_id of its own.
    started: AtomicUsize,
}

impl PushedRun {
    pub(super) fn new(connection: Connection, run: Run, runtime: Handle) -> Self {
        Self { connection, run, runtime, started: AtomicUsize::new(0) }
    }

    async fn start(self: Arc<Self>, ask: Ask) -> Result<SendableRecordBatchStream, BackendError> {
        let part = self.started.fetch_add(1, Ordering::Relaxed) + 1;
        let query_id = format!("{}-{part}", self.run.query_id);
        stream(&self.connection, ask, query_id, &self.run).await
    }
}

/// Asks the statement when it is executed, once.
#[derive(Debug)]
struct PushedExec {
    pushed: Pushed,
    properties: Arc<PlanProperties>,
}

impl PushedExec {
    fn new(pushed: Pushed) -> Self {
        let schema = Arc::clone(pushed.schema.inner());
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::NonCooperative);
        Self { pushed, properties: Arc::new(properties) }
    }
}

impl DisplayAs for PushedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "ClickHouse: {}", one_line(&self.pushed.sql))
    }
}

impl ExecutionPlan for PushedExec {
    fn name(&self) -> &'static str {
        "ClickHouse"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn execute(
        &self,
        _partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let Some(run) = context.session_config().get_extension::<PushedRun>() else {
            return internal_err!("a pushed statement outside of a run");
        };
        let runtime = run.runtime.clone();
        let asked = AbortOnDrop(runtime.spawn(run.start(self.pushed.ask())));
        let schema = Arc::clone(self.pushed.schema.inner());
        let rows = asked
            .map(|asked| match asked {
                Ok(Ok(rows)) => Ok(rows),
                Ok(Err(error)) => Err(DataFusionError::External(Box::new(error))),
                Err(error) => Err(DataFusionError::ExecutionJoin(Box::new(error))),
            })
            .try_flatten_stream();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

/// Plans [`Pushed`].
#[derive(Debug)]
pub(super) struct PushedPlanner;

#[async_trait]
impl ExtensionPlanner for PushedPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        _physical_inputs: &[Arc<dyn ExecutionPlan>],
        _session: &dyn Session,
        _planning_context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let pushed = node.as_any().downcast_ref::<Pushed>();
        Ok(pushed
            .map(|pushed| -> Arc<dyn ExecutionPlan> { Arc::new(PushedExec::new(pushed.clone())) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_shown_on_one_line_with_its_literals_intact() {
        let sql = "SELECT\n  a\nFROM (\n  SELECT 'x  \n\\'y' AS a\n)";
        assert_eq!(one_line(sql), "SELECT a FROM (SELECT 'x  \\n\\'y' AS a)");
    }
}
