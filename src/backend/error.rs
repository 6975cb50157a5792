//! Errors of the backends.

use crate::error::ClientError;
use crate::functions::FunctionError;
use crate::functions::time::PERIODS_MAX;

/// Why a backend gave no answer, or broke it off.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BackendError {
    /// No connection. The cause goes to the log: it may name hosts.
    #[error("the {backend} backend can't be reached")]
    Unreachable { backend: &'static str },
    #[error("canceling statement due to user request")]
    Cancelled,
    #[error("canceling statement due to statement timeout")]
    Timeout,
    /// A division by zero that the user's expression asked for.
    #[error("division by zero")]
    DivisionByZero,
    /// A number that its type can't hold.
    #[error("numeric value out of range")]
    OutOfRange,
    /// A text that isn't a number, a date or a uuid.
    #[error("invalid input syntax for type {data_type}: \"{text}\"")]
    InvalidText { data_type: String, text: String },
    /// A row's time zone that isn't one.
    #[error("time zone \"{name}\" not recognized")]
    InvalidTimeZone { name: String },
    /// What a function refuses of a row's values.
    #[error(transparent)]
    Function(#[from] FunctionError),
    #[error("more than one row returned by a subquery used as an expression")]
    SeveralRows,
    /// A construct that DataFusion plans and doesn't execute; its text goes to the log.
    #[error("{what} is not supported by the {backend} backend")]
    NotSupported { backend: &'static str, what: &'static str, hint: Option<&'static str> },
    /// A gap-filled answer of too long a range for its grain.
    #[error("the answer would have more than {PERIODS_MAX} periods")]
    TooManyPeriods,
    #[error("the query needs more memory than is allowed")]
    OutOfMemory,
    #[error("the {backend} backend has too many queries running")]
    TooBusy { backend: &'static str },
    #[error("the database that the definitions name does not exist in {backend}")]
    UnknownDatabase { backend: &'static str },
    /// The source isn't what the definitions were checked against.
    #[error("source table \"{table}\" has changed since the definitions were loaded")]
    SourceChanged { table: String },
    /// The backend's own error that isn't the user's; its text goes to the log.
    #[error("the {backend} backend failed with code {code} (query {query_id})")]
    Failed { backend: &'static str, code: i64, query_id: String },
    /// A bug of ours.
    #[error("internal error: {0}")]
    Internal(String),
}

impl ClientError for BackendError {
    fn sqlstate(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "HV00N",
            Self::Cancelled | Self::Timeout => "57014",
            Self::DivisionByZero => "22012",
            Self::OutOfRange => "22003",
            Self::InvalidText { data_type, text } => {
                crate::sql::value::invalid(data_type, text).sqlstate
            }
            Self::InvalidTimeZone { .. } => "22023",
            Self::Function(error) => error.sqlstate,
            Self::SeveralRows => "21000",
            Self::NotSupported { .. } => "0A000",
            Self::TooManyPeriods => "54000",
            Self::OutOfMemory => "53200",
            Self::TooBusy { .. } => "53400",
            Self::UnknownDatabase { .. } | Self::SourceChanged { .. } => "55000",
            Self::Failed { .. } => "HV000",
            Self::Internal(_) => "XX000",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { .. } => {
                Some("Try again later; the connection to canon is healthy.".to_owned())
            }
            Self::DivisionByZero => {
                Some("Write nullif(divisor, 0) to get NULL instead.".to_owned())
            }
            Self::InvalidTimeZone { .. } => Some(
                "Rows need a full name of the IANA database, such as Europe/Berlin.".to_owned(),
            ),
            Self::Function(error) => error.hint.clone(),
            Self::TooManyPeriods => Some(
                "Ask for a shorter range of metric_time or a coarser grain, or SET canon.fill = off."
                    .to_owned(),
            ),
            Self::OutOfMemory => {
                Some("Filter on metric_time, or group by fewer dimensions.".to_owned())
            }
            Self::TooBusy { .. } => Some("Try again in a moment.".to_owned()),
            Self::NotSupported { hint, .. } => hint.map(str::to_owned),
            Self::UnknownDatabase { .. } => Some(
                "Check \"database\" under \"backend\" in canon.yaml, and --clickhouse-database."
                    .to_owned(),
            ),
            Self::SourceChanged { .. } => {
                Some("Run canon check, mend the definitions, and reload them.".to_owned())
            }
            Self::Cancelled
            | Self::Timeout
            | Self::OutOfRange
            | Self::SeveralRows
            | Self::InvalidText { .. }
            | Self::Failed { .. }
            | Self::Internal(_) => None,
        }
    }
}
