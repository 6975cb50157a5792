//! Errors of the sql stage.

use crate::error::ClientError;

/// Why a text is no statement of ours.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SqlError {
    #[error("{message}")]
    Syntax { message: String, position: Option<usize> },
    #[error("{what} is not supported")]
    NotSupported { what: String, hint: Option<String>, position: Option<usize> },
}

impl ClientError for SqlError {
    fn sqlstate(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "42601",
            Self::NotSupported { .. } => "0A000",
        }
    }

    fn position(&self) -> Option<usize> {
        match self {
            Self::Syntax { position, .. } | Self::NotSupported { position, .. } => *position,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Syntax { .. } => None,
            Self::NotSupported { hint, .. } => hint.clone(),
        }
    }
}
