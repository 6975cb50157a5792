//! Errors of the bind stage.

use crate::error::ClientError;
use crate::sql::wording::Worded;

/// What is wrong with a statement's names, types or use of measures. Positions are characters from
/// 1 in the client's text.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BindError {
    #[error("relation \"{name}\" does not exist")]
    UnknownRelation { name: String, near: Option<String>, position: Option<usize> },
    #[error("column {name} does not exist")]
    UnknownColumn { name: String, hint: Option<String>, position: Option<usize> },
    /// By a column, a relation, a pin or in a list of metrics: whose code it has.
    #[error("version {version} of metric \"{metric}\" is retired")]
    RetiredVersion {
        metric: String,
        version: String,
        successor: Option<String>,
        sqlstate: &'static str,
        position: Option<usize>,
    },
    #[error("metric \"{metric}\" has no major version {major} that can be asked for")]
    VersionNotServed {
        metric: String,
        major: u64,
        successor: Option<String>,
        sqlstate: &'static str,
        position: Option<usize>,
    },
    #[error("segment \"{segment}\" has no major version {major} that can be asked for")]
    SegmentNotServed { segment: String, major: u64, served: Vec<u64>, position: Option<usize> },
    #[error("metric \"{metric}\" does not exist")]
    UnknownMetric { metric: String, near: Option<String> },
    #[error("column reference \"{name}\" is ambiguous")]
    AmbiguousColumn { name: String, position: Option<usize> },
    #[error("missing FROM-clause entry for table \"{name}\"")]
    UnknownTable { name: String, position: Option<usize> },
    #[error("table name \"{name}\" specified more than once")]
    DuplicateTable { name: String, position: Option<usize> },
    /// A list of columns of canon.query that has one twice.
    #[error("column \"{name}\" specified more than once")]
    DuplicateColumn { name: String },
    #[error("function {name} does not exist")]
    UnknownFunction { name: String, near: Option<String>, position: Option<usize> },
    /// A measure where only values of rows can be.
    #[error("measure \"{measure}\" is not allowed in {clause}")]
    MeasureNotAllowed {
        measure: String,
        clause: &'static str,
        hint: String,
        position: Option<usize>,
    },
    /// MEASURE around something that isn't one.
    #[error("the argument of {function} is not a measure")]
    NotAMeasure { function: String, position: Option<usize> },
    /// An aggregate that would be misread.
    #[error("{function} cannot be applied to metric \"{metric}\"")]
    MisleadingAggregate {
        function: String,
        metric: String,
        reason: String,
        hint: String,
        position: Option<usize>,
    },
    #[error("aggregate functions are not allowed in {clause}")]
    AggregateNotAllowed { clause: &'static str, position: Option<usize> },
    #[error(
        "column \"{column}\" must appear in the GROUP BY clause or be used in an aggregate function"
    )]
    NotGrouped { column: String, position: Option<usize> },
    /// A dimension of one relation of metrics that another, joined to it, lacks.
    #[error("\"{relation}\" has no dimension \"{column}\"")]
    NotShared { column: String, relation: String, position: Option<usize> },
    /// A dimension of metrics in one FROM clause that is something else in another of them.
    #[error("\"{column}\" of \"{relation}\" is not the \"{column}\" of \"{other}\"")]
    OtherMeaning { column: String, relation: String, other: String, position: Option<usize> },
    #[error("the level of a measure must be made of grouping keys")]
    LevelNotGrouped { position: Option<usize> },
    #[error("{clause} position {ordinal} is not in select list")]
    OrdinalOutOfRange { clause: &'static str, ordinal: String, position: Option<usize> },
    #[error("{what} is not supported")]
    NotSupported { what: String, hint: Option<String>, position: Option<usize> },
    #[error("each {what} query must have the same number of columns")]
    SetOperationWidth { what: String },
    /// A bad argument of a function in FROM.
    #[error("{message}")]
    BadArgument { message: String, hint: String },
    #[error("{what}")]
    UnknownPeriod { what: String, hint: String, position: Option<usize> },
    #[error("the statement has too many parts")]
    TooComplex,
    #[error("could not determine data type of parameter ${number}")]
    UntypedParameter { number: usize },
    /// A function that there is, with arguments of types that it doesn't take.
    #[error("function {name} does not exist for arguments of these types")]
    WrongArguments { name: String, reason: Option<String> },
    /// What a function refuses.
    #[error(transparent)]
    Function(crate::functions::FunctionError),
    /// What DataFusion's planner says of types and functions, in its words.
    #[error("{message}")]
    Types { message: String, sqlstate: &'static str },
    /// What Postgres has words for.
    #[error("{}", .0.message)]
    Worded(Worded, Option<usize>),
    #[error("internal error: {0}")]
    Internal(String),
}

impl BindError {
    /// The error at its place in the statement.
    pub(crate) fn at(self, place: Option<usize>) -> Self {
        match self {
            Self::NotShared { column, relation, .. } => {
                Self::NotShared { column, relation, position: place }
            }
            Self::OtherMeaning { column, relation, other, .. } => {
                Self::OtherMeaning { column, relation, other, position: place }
            }
            other => other,
        }
    }
}

impl ClientError for BindError {
    fn sqlstate(&self) -> &'static str {
        match self {
            Self::UnknownRelation { .. } | Self::UnknownTable { .. } => "42P01",
            Self::UnknownColumn { .. }
            | Self::NotShared { .. }
            | Self::OtherMeaning { .. }
            | Self::SegmentNotServed { .. } => "42703",
            Self::UnknownMetric { .. } => "42704",
            Self::AmbiguousColumn { .. } => "42702",
            Self::DuplicateTable { .. } => "42712",
            Self::DuplicateColumn { .. } => "42701",
            Self::UnknownFunction { .. } | Self::WrongArguments { .. } => "42883",
            Self::MeasureNotAllowed { .. }
            | Self::NotAMeasure { .. }
            | Self::MisleadingAggregate { .. }
            | Self::AggregateNotAllowed { .. }
            | Self::NotGrouped { .. }
            | Self::LevelNotGrouped { .. } => "42803",
            Self::OrdinalOutOfRange { .. } => "42P10",
            Self::NotSupported { .. } => "0A000",
            Self::BadArgument { .. } | Self::UnknownPeriod { .. } => "22023",
            Self::SetOperationWidth { .. } => "42601",
            Self::TooComplex => "54001",
            Self::UntypedParameter { .. } => "42P18",
            Self::Types { sqlstate, .. }
            | Self::RetiredVersion { sqlstate, .. }
            | Self::VersionNotServed { sqlstate, .. } => sqlstate,
            Self::Worded(worded, _) => worded.sqlstate,
            Self::Function(error) => error.sqlstate,
            Self::Internal(_) => "XX000",
        }
    }

    fn position(&self) -> Option<usize> {
        match self {
            Self::UnknownRelation { position, .. }
            | Self::UnknownColumn { position, .. }
            | Self::RetiredVersion { position, .. }
            | Self::VersionNotServed { position, .. }
            | Self::SegmentNotServed { position, .. }
            | Self::AmbiguousColumn { position, .. }
            | Self::UnknownTable { position, .. }
            | Self::DuplicateTable { position, .. }
            | Self::UnknownFunction { position, .. }
            | Self::MeasureNotAllowed { position, .. }
            | Self::NotAMeasure { position, .. }
            | Self::MisleadingAggregate { position, .. }
            | Self::AggregateNotAllowed { position, .. }
            | Self::NotGrouped { position, .. }
            | Self::NotShared { position, .. }
            | Self::OtherMeaning { position, .. }
            | Self::LevelNotGrouped { position }
            | Self::OrdinalOutOfRange { position, .. }
            | Self::UnknownPeriod { position, .. }
            | Self::NotSupported { position, .. }
            | Self::Worded(_, position) => *position,
            Self::UnknownMetric { .. }
            | Self::DuplicateColumn { .. }
            | Self::BadArgument { .. }
            | Self::SetOperationWidth { .. }
            | Self::TooComplex
            | Self::UntypedParameter { .. }
            | Self::WrongArguments { .. }
            | Self::Function(_)
            | Self::Types { .. }
            | Self::Internal(_) => None,
        }
    }

    fn hint(&self) -> Option<String> {
        let did_you_mean = |near: &Option<String>| {
            near.as_ref().map(|near| format!("Perhaps you meant \"{near}\"."))
        };
        match self {
            Self::UnknownRelation { near, .. }
            | Self::UnknownMetric { near, .. }
            | Self::UnknownFunction { near, .. } => did_you_mean(near),
            Self::UnknownColumn { hint, .. } => hint.clone(),
            Self::RetiredVersion { successor, .. } | Self::VersionNotServed { successor, .. } => {
                successor.as_ref().map(|successor| format!("Use \"{successor}\"."))
            }
            Self::SegmentNotServed { served, .. } => {
                let served: Vec<String> = served.iter().map(u64::to_string).collect();
                (!served.is_empty()).then(|| format!("There is {}.", served.join(", ")))
            }
            Self::MeasureNotAllowed { hint, .. } | Self::MisleadingAggregate { hint, .. } => {
                Some(hint.clone())
            }
            Self::BadArgument { hint, .. } | Self::UnknownPeriod { hint, .. } => Some(hint.clone()),
            Self::NotAMeasure { .. } => Some(
                "Use SUM, COUNT, AVG, MIN or MAX for columns that are not measures.".to_owned(),
            ),
            Self::NotGrouped { .. } => {
                Some("Add it to GROUP BY, or leave it out of the select list.".to_owned())
            }
            Self::NotShared { .. } => Some(
                "Metrics are joined on the dimensions that all of them have: leave it out."
                    .to_owned(),
            ),
            Self::OtherMeaning { .. } => Some(
                "Metrics are joined on the dimensions that are the same in all of them: aggregate each in a subquery, then join the results."
                    .to_owned(),
            ),
            Self::LevelNotGrouped { .. } => Some(
                "Write in PARTITION BY what is in GROUP BY, or OVER () for the total.".to_owned(),
            ),
            Self::UntypedParameter { number } => {
                Some(format!("Write a cast, such as ${number}::text."))
            }
            Self::Function(error) => error.hint.clone(),
            Self::Worded(worded, _) => worded.hint.map(str::to_owned),
            Self::WrongArguments { reason, .. } => Some(match reason {
                Some(reason) => format!("{reason}."),
                None => "You might need to add explicit type casts.".to_owned(),
            }),
            Self::TooComplex => Some("Split it into several statements.".to_owned()),
            Self::NotSupported { hint, .. } => hint.clone(),
            Self::AmbiguousColumn { .. } => {
                Some("Write the table's name or alias in front of it.".to_owned())
            }
            Self::DuplicateColumn { .. } => {
                Some("Each column of the answer has a name of its own: leave one out.".to_owned())
            }
            Self::UnknownTable { .. }
            | Self::DuplicateTable { .. }
            | Self::AggregateNotAllowed { .. }
            | Self::OrdinalOutOfRange { .. }
            | Self::SetOperationWidth { .. }
            | Self::Types { .. }
            | Self::Internal(_) => None,
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::MisleadingAggregate { reason, .. } => Some(reason.clone()),
            _ => None,
        }
    }
}
