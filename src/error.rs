//! What a client can be told: one enum over the errors of all stages.

use std::error::Error;

use crate::backend::BackendError;
use crate::bind::BindError;
use crate::plan::PlanError;
use crate::session::{EngineError, SessionError};
use crate::sql::SqlError;

/// The five answers that every error owes to the person who sent the statement; the first,
/// what happened, is its `Display`.
///
/// Source: PostgreSQL manual, "Error and Notice Message Fields" and "Error Message Style Guide".
pub trait ClientError: Error {
    /// The code in the `C` field of ErrorResponse.
    fn sqlstate(&self) -> &'static str;

    /// Where in the statement, in characters from 1.
    fn position(&self) -> Option<usize> {
        None
    }

    /// What to write instead: whole sentences.
    fn hint(&self) -> Option<String> {
        None
    }

    /// What else is known: whole sentences.
    fn detail(&self) -> Option<String> {
        None
    }
}

/// Everything that a statement can end with, instead of rows.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueryError {
    #[error(transparent)]
    Sql(#[from] SqlError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// An error whose stage didn't know where in the statement it is.
    #[error("{error}")]
    Placed { error: Box<QueryError>, position: usize },
}

impl QueryError {
    fn inner(&self) -> &dyn ClientError {
        match self {
            Self::Sql(error) => error,
            Self::Bind(error) => error,
            Self::Plan(error) => error,
            Self::Backend(error) => error,
            Self::Session(error) => error,
            Self::Engine(error) => error,
            Self::Placed { error, .. } => error.inner(),
        }
    }
}

impl ClientError for QueryError {
    fn sqlstate(&self) -> &'static str {
        self.inner().sqlstate()
    }

    fn position(&self) -> Option<usize> {
        match self {
            Self::Placed { position, .. } => Some(*position),
            _ => self.inner().position(),
        }
    }

    fn hint(&self) -> Option<String> {
        self.inner().hint()
    }

    fn detail(&self) -> Option<String> {
        self.inner().detail()
    }
}
