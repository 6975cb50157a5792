//! Dedupe as a plan node: of the rows with one key, the latest, unless it is a tombstone.

use std::collections::HashSet;
use std::fmt;

use datafusion::common::DFSchemaRef;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use std::sync::Arc;

use crate::model::Dedupe;

/// Rows of `input` whose `latest` is the greatest among those with equal `by` and which aren't
/// deleted; of rows equal in both, exactly one. The input is always a `TableScan` of a
/// [`SourceTable`](super::source::SourceTable) whose projection includes the columns of `dedupe`,
/// perhaps under a `Filter` of the rows that take part; the output has the input's schema. NULL keys are equal to each other.
///
/// A node of its own, rather than a window over the scan, because each backend has a better way:
/// ClickHouse reads a fitting ReplacingMergeTree with FINAL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub struct Latest {
    pub input: LogicalPlan,
    pub dedupe: Dedupe,
}

impl Latest {
    pub fn plan(input: LogicalPlan, dedupe: Dedupe) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(Self { input, dedupe }) })
    }

    /// The node behind an extension, if it is this one.
    pub fn of(extension: &Extension) -> Option<&Latest> {
        extension.node.as_any().downcast_ref::<Latest>()
    }
}

impl UserDefinedLogicalNodeCore for Latest {
    fn name(&self) -> &str {
        "Latest"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    /// Only filters on the whole key's columns may pass: any other could remove the latest row of a
    /// key and let an older one win.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        let names = self.input.schema().fields().iter().map(|field| field.name().clone());
        names.filter(|name| !self.dedupe.by.contains(name)).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Latest: by=[{}], latest={}", self.dedupe.by.join(", "), self.dedupe.latest)?;
        match &self.dedupe.deleted {
            Some(deleted) => write!(f, ", deleted={deleted}"),
            None => Ok(()),
        }
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let input = inputs.into_iter().next().ok_or_else(|| {
            datafusion::error::DataFusionError::Internal("Latest has one input".to_owned())
        })?;
        Ok(Self { input, dedupe: self.dedupe.clone() })
    }
}
