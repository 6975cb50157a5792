//! Errors of the plan stage.

use datafusion::arrow::error::ArrowError;
use datafusion::common::DataFusionError;

use crate::error::ClientError;
use crate::functions::FunctionError;
use crate::sql::value::{BadCast, Fault};
use crate::sql::wording::{self, Worded};

/// Why a bound query has no plan.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PlanError {
    #[error("metric \"{metric}\" has no event time")]
    NoTime { metric: String },
    /// Asked as of an earlier time, of a source that keeps current rows only.
    #[error("entity \"{entity}\" cannot be read as of an earlier time")]
    HistoryNotKept { entity: String },
    /// As above, of a source that doesn't tell when rows came in.
    #[error("entity \"{entity}\" cannot be read as of an earlier time")]
    ArrivalNotKnown { entity: String },
    #[error("rows of \"{relation}\" have no event time")]
    NoRowTime { relation: String },
    /// An attribute as of the event, seen from rows that have no time.
    #[error("rows of entity \"{entity}\" have no event time, so nothing was valid then")]
    NoTimeOfFact { entity: String },
    #[error("metric \"{metric}\" cannot be grouped by \"{dimension}\"")]
    DimensionNotAllowed { metric: String, version: String, dimension: String, allowed: Vec<String> },
    #[error("metric \"{metric}\" cannot be grouped by \"{grain}\"")]
    GrainNotAllowed { metric: String, version: String, grain: String, allowed: Vec<String> },
    /// Grouped by a column of a relation that multiplies the measure's rows.
    #[error("metric \"{metric}\" cannot be grouped by \"{dimension}\"")]
    ManySide { metric: String, dimension: String, relation: String },
    /// Joined to rows that neither determine its rows nor are determined by them.
    #[error("metric \"{metric}\" cannot be joined to \"{relation}\" in this way")]
    ChasmTrap { metric: String, relation: String },
    /// A filter of a measure on a column of a relation that multiplies its rows.
    #[error("the filter of metric \"{metric}\" is on a relation that multiplies its rows")]
    FilterOnManySide { metric: String },
    #[error(
        "column \"{column}\" must appear in the GROUP BY clause or be used in an aggregate function"
    )]
    MixedCalculation { column: String },
    /// A value over several ages of a cohort, or steps of a funnel.
    #[error("metric \"{metric}\" has no value without \"{dimension}\"")]
    NeedsDimension { metric: String, dimension: String, kind: &'static str },
    #[error("{what} is not supported")]
    NotSupported { what: String, hint: Option<String> },
    /// Types that don't go together, in the planner's words.
    #[error("{message}")]
    Types { message: String },
    /// What a function refuses of constants.
    #[error(transparent)]
    Function(FunctionError),
    /// What Postgres has words for.
    #[error("{}", .0.message)]
    Worded(Worded),
    /// A constant that can't be read as the type that it is cast to.
    #[error("{message}")]
    BadConstant { sqlstate: &'static str, message: String },
    /// A bug of ours, or a shape that DataFusion refuses.
    #[error("internal error: {0}")]
    Internal(String),
}

impl ClientError for PlanError {
    fn sqlstate(&self) -> &'static str {
        match self {
            Self::NoTime { .. } | Self::NoRowTime { .. } | Self::NoTimeOfFact { .. } => "42703",
            Self::DimensionNotAllowed { .. }
            | Self::GrainNotAllowed { .. }
            | Self::ManySide { .. }
            | Self::ChasmTrap { .. }
            | Self::FilterOnManySide { .. }
            | Self::NeedsDimension { .. }
            | Self::MixedCalculation { .. } => "42803",
            Self::NotSupported { .. }
            | Self::HistoryNotKept { .. }
            | Self::ArrivalNotKnown { .. } => "0A000",
            Self::Types { .. } => "42804",
            Self::Function(error) => error.sqlstate,
            Self::Worded(worded) => worded.sqlstate,
            Self::BadConstant { sqlstate, .. } => sqlstate,
            Self::Internal(_) => "XX000",
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::HistoryNotKept { entity } => Some(format!(
                "The source of \"{entity}\" keeps the current row of each key; what it was before is gone."
            )),
            Self::ArrivalNotKnown { entity } => {
                Some(format!("The source of \"{entity}\" does not tell when its rows came in."))
            }
            Self::DimensionNotAllowed { metric, version, .. }
            | Self::GrainNotAllowed { metric, version, .. } => Some(format!(
                "Version {version} of \"{metric}\" declares by what it may be grouped and filtered."
            )),
            Self::ManySide { metric, relation, .. } => Some(format!(
                "A row of \"{metric}\" has several rows of \"{relation}\": its value would count in each of them."
            )),
            Self::ChasmTrap { relation, .. } => Some(format!(
                "The join condition is not on the key of either side, so each row would meet many of \"{relation}\"."
            )),
            Self::NeedsDimension { metric, dimension, kind } => Some(format!(
                "\"{metric}\" is {kind}: over several values of \"{dimension}\" it would mean nothing."
            )),
            _ => None,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoTime { .. } => Some(
                "Leave metric_time and attributes as of the event out, or give the metric a time."
                    .to_owned(),
            ),
            Self::NoRowTime { .. } => {
                Some("Leave metric_time out, or use one of the time columns.".to_owned())
            }
            Self::NoTimeOfFact { .. } => Some(
                "Ask for the attribute as it is now, by its name with _current behind it."
                    .to_owned(),
            ),
            Self::DimensionNotAllowed { allowed, .. } => {
                Some(format!("Group and filter by: {}.", allowed.join(", ")))
            }
            Self::GrainNotAllowed { allowed, .. } => {
                Some(format!("Group by {}.", allowed.join(", ")))
            }
            Self::ManySide { relation, .. } => Some(format!(
                "Group by dimensions of its own rows, or use a metric that is defined on \"{relation}\", or one whose definition says \"touch\" or \"allocate\"."
            )),
            Self::ChasmTrap { .. } => {
                Some("Aggregate each side in a subquery, then join the results.".to_owned())
            }
            Self::FilterOnManySide { .. } => {
                Some("Filter on dimensions of the metric's own rows, or in WHERE.".to_owned())
            }
            Self::MixedCalculation { .. } => {
                Some("Group by it, or move it out of the calculation.".to_owned())
            }
            Self::NeedsDimension { dimension, .. } => {
                Some(format!("Group by {dimension}, or write WHERE {dimension} = 1."))
            }
            Self::NotSupported { hint, .. } => hint.clone(),
            Self::Function(error) => error.hint.clone(),
            Self::HistoryNotKept { entity } => Some(format!(
                "RESET canon.as_of, or leave out what is read from \"{entity}\"; to keep its history, define it on a source of kind events."
            )),
            Self::ArrivalNotKnown { .. } => Some(
                "RESET canon.as_of, or name the column in the entity: source: {time: {ingested: …}}."
                    .to_owned(),
            ),
            Self::Worded(worded) => worded.hint.map(str::to_owned),
            Self::Types { .. } | Self::BadConstant { .. } | Self::Internal(_) => None,
        }
    }
}

impl From<DataFusionError> for PlanError {
    fn from(error: DataFusionError) -> Self {
        if let Some(error) = FunctionError::of(&error) {
            return Self::Function(error);
        }
        let root = error.find_root();
        if let DataFusionError::ArrowError(arrow, _) = root
            && let ArrowError::CastError(text) | ArrowError::ParseError(text) = arrow.as_ref()
        {
            let Fault { sqlstate, message } = BadCast::of_arrow(text).fault();
            return Self::BadConstant { sqlstate, message };
        }
        let message = root.strip_backtrace();
        let message = message.lines().next().unwrap_or_default();
        let text = message.strip_prefix("Error during planning: ").unwrap_or(message);
        if let Some(worded) = wording::of_error(&error) {
            return Self::Worded(worded);
        }
        match root {
            DataFusionError::Plan(_) => Self::Types { message: text.to_owned() },
            DataFusionError::NotImplemented(_) => {
                let text =
                    message.strip_prefix("This feature is not implemented: ").unwrap_or(message);
                Self::NotSupported { what: text.to_owned(), hint: None }
            }
            _ => Self::Internal(message.to_owned()),
        }
    }
}
