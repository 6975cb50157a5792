//! Errors of the bind stage.

use crate::error::ClientError;

/// What is wrong with a statement's names, types or use of measures.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BindError {
    #[error("relation \"{name}\" does not exist")]
    UnknownRelation { name: String, near: Option<String>, position: Option<usize> },
}

impl ClientError for BindError {
    fn sqlstate(&self) -> &'static str {
        match self {
            Self::UnknownRelation { .. } => "42P01",
        }
    }

    fn position(&self) -> Option<usize> {
        match self {
            Self::UnknownRelation { position, .. } => *position,
        }
    }
}
