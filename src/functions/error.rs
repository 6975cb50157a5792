//! What a function refuses, in Postgres's words.

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;

use crate::error::ClientError;

/// Why a function has no value for its arguments. Travels through DataFusion as
/// `DataFusionError::External`; each stage passes it on as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FunctionError {
    pub sqlstate: &'static str,
    pub message: String,
    /// What to write instead: whole sentences.
    pub hint: Option<String>,
}

impl FunctionError {
    pub(crate) fn new(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self { sqlstate, message: message.into(), hint: None }
    }

    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// 22023, invalid_parameter_value.
    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self::new("22023", message)
    }

    /// 0A000: Postgres has it, canon doesn't.
    pub(crate) fn not_supported(what: &str, hint: impl Into<String>) -> Self {
        Self::new("0A000", format!("{what} is not supported")).with_hint(hint)
    }

    /// The error of a function's, wherever it is in one of DataFusion's.
    pub fn of(error: &DataFusionError) -> Option<Self> {
        match error {
            DataFusionError::External(error) => Self::of_external(error.as_ref()),
            DataFusionError::Context(_, error) | DataFusionError::Diagnostic(_, error) => {
                Self::of(error)
            }
            DataFusionError::Shared(error) => Self::of(error),
            DataFusionError::Collection(errors) => errors.iter().find_map(Self::of),
            DataFusionError::ArrowError(error, _) => match error.as_ref() {
                ArrowError::ExternalError(error) => Self::of_external(error.as_ref()),
                ArrowError::ComputeError(text) => Self::worded(text),
                _ => None,
            },
            DataFusionError::Execution(text) | DataFusionError::Plan(text) => Self::worded(text),
            _ => None,
        }
    }

    /// What DataFusion's own functions refuse has no code, and is told by its words (DataFusion 55),
    /// most of which are Postgres's.
    fn worded(text: &str) -> Option<Self> {
        const PHRASES: [(&str, &str); 9] = [
            ("2201F", "cannot take square root of a negative number"),
            ("2201E", "cannot take logarithm of zero"),
            ("2201E", "cannot take logarithm of a negative number"),
            ("2201F", "zero raised to a negative power is undefined"),
            ("2201F", "a negative number raised to a non-integer power yields a complex result"),
            ("22003", "factorial of a negative number is undefined"),
            ("22023", "field position must not be zero"),
            // These hold a value of the statement's own.
            ("22023", "time zone \""),
            ("22003", "percentile value "),
        ];
        if text.contains("negative count not allowed") {
            return Some(Self::new("22011", "negative substring length not allowed"));
        }
        let found = PHRASES.into_iter().find_map(|(code, words)| Some((code, text.find(words)?)));
        found.map(|(code, at)| Self::new(code, &text[at..]))
    }

    fn of_external(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Option<Self> {
        if let Some(own) = error.downcast_ref::<Self>() {
            return Some(own.clone());
        }
        error.downcast_ref::<DataFusionError>().and_then(Self::of)
    }
}

impl ClientError for FunctionError {
    fn sqlstate(&self) -> &'static str {
        self.sqlstate
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

impl From<FunctionError> for DataFusionError {
    fn from(error: FunctionError) -> Self {
        Self::External(Box::new(error))
    }
}
