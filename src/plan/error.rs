//! Errors of the plan stage.

use crate::error::ClientError;

/// Why a bound query has no plan.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PlanError {
    /// A bug of ours, or a shape that DataFusion refuses.
    #[error("internal error: {0}")]
    Internal(String),
}

impl ClientError for PlanError {
    fn sqlstate(&self) -> &'static str {
        match self {
            Self::Internal(_) => "XX000",
        }
    }
}
