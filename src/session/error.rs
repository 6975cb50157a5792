//! Errors of the session stage.

use crate::error::ClientError;

/// What is wrong with a request, apart from its SQL.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SessionError {
    #[error("current transaction is aborted, commands ignored until end of transaction block")]
    InFailedTransaction,
}

impl ClientError for SessionError {
    fn sqlstate(&self) -> &'static str {
        match self {
            Self::InFailedTransaction => "25P02",
        }
    }
}
