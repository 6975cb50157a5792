//! What identifies an answer.

use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;

/// Digest of the definitions that a plan was made from.
pub type ModelFingerprint = [u8; 32];

/// Over the same data, equal keys have equal answers. Whatever else can change an answer is a field.
///
/// The plan is the finished one, before a backend takes its part: names of the user's are not in it,
/// literals and parameters are. Versions and settings that change the meaning have changed the plan.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CacheKey {
    pub model: ModelFingerprint,
    pub plan: Arc<LogicalPlan>,
    /// Source tables with the change tokens of their data, sorted by table.
    pub sources: Vec<(String, String)>,
}
