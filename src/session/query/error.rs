//! Errors of the engine itself.

use crate::error::ClientError;
use crate::sql::catalog::CatalogError;

/// What the engine refuses, beside what the stages do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("a query cannot read the catalogue and metrics at once")]
    MixedOwners,
    #[error("only queries can be explained")]
    NotExplainable,
    /// Definitions that can't be used yet, with the reason.
    #[error("the definitions are not loaded: {reason}")]
    NotLoaded { reason: String },
    #[error("parameter ${number} has no value")]
    MissingParameter { number: usize },
    #[error(
        "consumer \"{consumer}\" pins metric \"{metric}\" to major version {major}, which cannot be asked for"
    )]
    BrokenPin { consumer: String, metric: String, major: u64 },
    /// As in Postgres, where a statement means something else under the present settings.
    #[error("cached plan must not change result type")]
    ChangedResult,
    #[error("canon.as_of lies in the future: \"{value}\"")]
    AsOfFuture { value: String },
    #[error("unrecognized EXPLAIN option \"{option}\"")]
    ExplainOption { option: String },
    #[error("unrecognized value for EXPLAIN option \"{option}\": \"{value}\"")]
    ExplainValue { option: &'static str, value: String },
    #[error("EXPLAIN option {option} requires ANALYZE")]
    ExplainNeedsAnalyze { option: &'static str },
    #[error("EXPLAIN (CANON) has no format \"{format}\"")]
    ExplainFormat { format: &'static str },
    /// A bug of ours.
    #[error("internal error: a plan of another engine")]
    ForeignPlan,
}

impl ClientError for EngineError {
    fn sqlstate(&self) -> &'static str {
        match self {
            Self::Catalog(error) => error.sqlstate(),
            Self::MixedOwners | Self::NotExplainable | Self::ChangedResult => "0A000",
            Self::NotLoaded { .. } => "57P03",
            Self::MissingParameter { .. } => "42P02",
            Self::BrokenPin { .. }
            | Self::AsOfFuture { .. }
            | Self::ExplainValue { .. }
            | Self::ExplainNeedsAnalyze { .. } => "22023",
            Self::ExplainFormat { .. } => "0A000",
            Self::ExplainOption { .. } => "42601",
            Self::ForeignPlan => "XX000",
        }
    }

    fn position(&self) -> Option<usize> {
        match self {
            Self::Catalog(error) => error.position(),
            _ => None,
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Catalog(error) => error.detail(),
            _ => None,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Catalog(error) => error.hint(),
            Self::MixedOwners => Some("Ask for them in two statements.".to_owned()),
            Self::NotLoaded { .. } => {
                Some("canon tries again by itself; ask again in a moment.".to_owned())
            }
            Self::BrokenPin { .. } => {
                Some("Change the consumer's pins, or SET canon.pins.".to_owned())
            }
            Self::ChangedResult => Some("Prepare the statement again.".to_owned()),
            Self::AsOfFuture { .. } => {
                Some("RESET canon.as_of to ask for the latest numbers.".to_owned())
            }
            Self::ExplainOption { .. } => Some(
                "Write EXPLAIN, EXPLAIN ANALYZE, EXPLAIN (CANON) or EXPLAIN (FORMAT JSON)."
                    .to_owned(),
            ),
            Self::ExplainValue { option: "format", .. } => {
                Some("The formats are TEXT, JSON, XML and YAML.".to_owned())
            }
            Self::ExplainFormat { .. } => {
                Some("Write EXPLAIN (CANON) or EXPLAIN (CANON, FORMAT JSON).".to_owned())
            }
            Self::ExplainValue { .. } | Self::ExplainNeedsAnalyze { .. } => None,
            Self::NotExplainable | Self::MissingParameter { .. } | Self::ForeignPlan => None,
        }
    }
}
