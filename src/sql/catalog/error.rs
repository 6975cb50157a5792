//! Errors of the catalogue.

use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;

use super::directory::type_named;
use super::naming::format_type;
use crate::error::ClientError;
use crate::sql::SqlError;
use crate::sql::value::{BadCast, Fault};
use crate::sql::wording::{self, Worded};

/// Why a catalogue query has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CatalogError {
    #[error("relation \"{name}\" does not exist")]
    UndefinedRelation { name: String },
    #[error("column \"{name}\" does not exist")]
    UndefinedColumn { name: String, nearest: Option<String> },
    #[error("column reference \"{name}\" is ambiguous")]
    AmbiguousColumn { name: String },
    #[error("function {name} does not exist")]
    UndefinedFunction { name: String, position: Option<usize> },
    #[error("{kind} \"{name}\" does not exist")]
    UndefinedObject { kind: &'static str, name: String },
    #[error("unrecognized configuration parameter \"{name}\"")]
    UndefinedSetting { name: String },
    /// A setting that `set_config` can't set so.
    #[error(transparent)]
    Setting(#[from] SqlError),
    #[error("{message}")]
    InvalidText { message: String },
    /// A value that can't be read as the type that it is cast to.
    #[error("{message}")]
    BadCast { sqlstate: &'static str, message: String },
    #[error("{message}")]
    InvalidArgument { message: String },
    /// What a function refuses.
    #[error(transparent)]
    Function(#[from] crate::functions::FunctionError),
    #[error("there is no parameter ${number}")]
    UndefinedParameter { number: usize },
    #[error("more than one row returned by a subquery used as an expression")]
    Cardinality,
    #[error(
        "column \"{column}\" must appear in the GROUP BY clause or be used in an aggregate function"
    )]
    NotGrouped { column: String },
    #[error("{message}")]
    TypesMismatch { message: String },
    /// What Postgres has words for.
    #[error("{}", .0.message)]
    Worded(Worded),
    #[error("a correlated subquery of the catalogue would run too often")]
    TooComplex,
    #[error("{what} is not supported")]
    NotSupported { what: String },
    #[error("internal error: {message}")]
    Internal { message: String },
}

impl CatalogError {
    /// A text that is no value of the type named so in `pg_type`.
    pub(super) fn invalid_text(type_name: &str, text: &str) -> Self {
        let type_name = type_named(type_name)
            .map_or_else(|| type_name.to_owned(), |one| format_type(one.oid, -1));
        // What reads a text calls itself so.
        let type_name = type_name.strip_suffix(" without time zone").unwrap_or(&type_name);
        let Fault { sqlstate, message } = crate::sql::value::invalid(type_name, text);
        Self::BadCast { sqlstate, message }
    }
}

impl ClientError for CatalogError {
    fn sqlstate(&self) -> &'static str {
        match self {
            Self::UndefinedRelation { .. } => "42P01",
            Self::UndefinedColumn { .. } => "42703",
            Self::AmbiguousColumn { .. } => "42702",
            Self::UndefinedFunction { .. } => "42883",
            Self::UndefinedObject { .. } | Self::UndefinedSetting { .. } => "42704",
            Self::Setting(error) => error.sqlstate(),
            Self::Worded(worded) => worded.sqlstate,
            Self::InvalidText { .. } => "22P02",
            Self::BadCast { sqlstate, .. } => sqlstate,
            Self::InvalidArgument { .. } => "22023",
            Self::Function(error) => error.sqlstate,
            Self::UndefinedParameter { .. } => "42P02",
            Self::Cardinality => "21000",
            Self::NotGrouped { .. } => "42803",
            Self::TypesMismatch { .. } => "42804",
            Self::TooComplex => "54001",
            Self::NotSupported { .. } => "0A000",
            Self::Internal { .. } => "XX000",
        }
    }

    fn position(&self) -> Option<usize> {
        match self {
            Self::UndefinedFunction { position, .. } => *position,
            Self::UndefinedRelation { .. }
            | Self::UndefinedColumn { .. }
            | Self::AmbiguousColumn { .. }
            | Self::UndefinedObject { .. }
            | Self::UndefinedSetting { .. }
            | Self::Setting(_)
            | Self::InvalidText { .. }
            | Self::BadCast { .. }
            | Self::InvalidArgument { .. }
            | Self::Function(_)
            | Self::UndefinedParameter { .. }
            | Self::Cardinality
            | Self::NotGrouped { .. }
            | Self::TypesMismatch { .. }
            | Self::Worded(_)
            | Self::TooComplex
            | Self::NotSupported { .. }
            | Self::Internal { .. } => None,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::UndefinedColumn { nearest: Some(nearest), .. } => {
                Some(format!("Perhaps you meant to reference the column \"{nearest}\"."))
            }
            Self::Function(error) => error.hint.clone(),
            Self::UndefinedFunction { .. } => Some(
                "No function of the catalogue matches the given name and number of arguments."
                    .to_owned(),
            ),
            Self::Worded(worded) => worded.hint.map(str::to_owned),
            Self::UndefinedColumn { nearest: None, .. }
            | Self::UndefinedRelation { .. }
            | Self::AmbiguousColumn { .. }
            | Self::UndefinedObject { .. }
            | Self::UndefinedSetting { .. }
            | Self::Setting(_)
            | Self::InvalidText { .. }
            | Self::BadCast { .. }
            | Self::InvalidArgument { .. }
            | Self::UndefinedParameter { .. }
            | Self::Cardinality
            | Self::NotGrouped { .. }
            | Self::TypesMismatch { .. }
            | Self::TooComplex
            | Self::NotSupported { .. }
            | Self::Internal { .. } => None,
        }
    }
}

impl From<CatalogError> for DataFusionError {
    fn from(error: CatalogError) -> Self {
        Self::External(Box::new(error))
    }
}

impl From<DataFusionError> for CatalogError {
    fn from(error: DataFusionError) -> Self {
        if let Some(error) = crate::functions::FunctionError::of(&error) {
            return Self::Function(error);
        }
        match error.find_root() {
            DataFusionError::External(inner) => match inner.downcast_ref::<CatalogError>() {
                Some(own) => own.clone(),
                None => Self::Internal { message: inner.to_string() },
            },
            DataFusionError::SchemaError(schema_error, _) => of_schema(schema_error),
            DataFusionError::ArrowError(arrow, _) => of_arrow(&arrow.to_string()),
            DataFusionError::NotImplemented(what) => Self::NotSupported { what: what.clone() },
            DataFusionError::Plan(message) => {
                wording::of_error(&error).map_or_else(|| of_plan(message), CatalogError::Worded)
            }
            DataFusionError::Execution(message) => of_execution(message),
            other => Self::Internal { message: first_line(&other.strip_backtrace()) },
        }
    }
}

fn of_schema(error: &SchemaError) -> CatalogError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let name = field.flat_name();
            let nearest = valid_fields
                .iter()
                .map(|valid| (strsim::damerau_levenshtein(valid.name(), field.name()), valid))
                .filter(|(distance, _)| *distance <= 3)
                .min_by_key(|(distance, _)| *distance)
                .map(|(_, valid)| valid.name().to_owned());
            CatalogError::UndefinedColumn { name, nearest }
        }
        SchemaError::AmbiguousReference { field } => {
            CatalogError::AmbiguousColumn { name: field.name().to_owned() }
        }
        other => CatalogError::TypesMismatch { message: first_line(&other.to_string()) },
    }
}

/// DataFusion's planning errors carry no code of their own; the one that has a code in Postgres is
/// told by its words, which a test holds fast.
fn of_plan(message: &str) -> CatalogError {
    let ungrouped = message
        .starts_with("Column in SELECT must be in GROUP BY")
        .then(|| message.split("column \"").nth(1)?.split('"').next())
        .flatten();
    match ungrouped {
        Some(column) => CatalogError::NotGrouped { column: column.to_owned() },
        None => CatalogError::TypesMismatch { message: first_line(message) },
    }
}

/// As [`of_plan`], of errors while running.
fn of_execution(message: &str) -> CatalogError {
    if message.starts_with("Scalar subquery returned more than one row") {
        return CatalogError::Cardinality;
    }
    CatalogError::InvalidArgument { message: first_line(message) }
}

/// Arrow's words for a value that can't be cast.
fn of_arrow(message: &str) -> CatalogError {
    let Fault { sqlstate, message } = BadCast::of_arrow(&first_line(message)).fault();
    CatalogError::BadCast { sqlstate, message }
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}
