//! Errors of the catalogue.

use datafusion::common::{Column, SchemaError, TableReference};
use datafusion::error::DataFusionError;

use super::directory::type_named;
use super::naming::format_type;
use crate::error::ClientError;
use crate::functions::FunctionError;
use crate::sql::SqlError;
use crate::sql::value::{BadCast, Fault};
use crate::sql::wording::{self, FUNCTION_HINT, Worded};

/// Why a catalogue query has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CatalogError {
    #[error("relation \"{name}\" does not exist")]
    UndefinedRelation { name: String },
    /// Its name is as messages write it: in quotes where no relation is named.
    #[error("column {name} does not exist")]
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
            Self::UndefinedFunction { .. } => Some(FUNCTION_HINT.to_owned()),
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
            DataFusionError::NotImplemented(what) => {
                Self::NotSupported { what: in_our_words(what) }
            }
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
        SchemaError::FieldNotFound { field, valid_fields } => undefined_column(field, valid_fields),
        SchemaError::AmbiguousReference { field } => {
            CatalogError::AmbiguousColumn { name: field.name().to_owned() }
        }
        other => CatalogError::TypesMismatch { message: first_line(&other.to_string()) },
    }
}

fn undefined_column(field: &Column, valid: &[Column]) -> CatalogError {
    let relation = field.relation.as_ref().map(TableReference::table);
    let is_of = |one: &&Column| {
        relation.is_none_or(|name| one.relation.as_ref().is_some_and(|it| it.table() == name))
    };
    // Where no relation has columns there is nothing to tell by whether this one is there.
    if let Some(name) = relation
        && !valid.is_empty()
        && !valid.iter().any(|one| is_of(&one))
    {
        let message = format!("missing FROM-clause entry for table \"{name}\"");
        return FunctionError::new("42P01", message).into();
    }
    let name = match relation {
        Some(relation) => format!("{relation}.{}", field.name),
        None => format!("\"{}\"", field.name),
    };
    CatalogError::UndefinedColumn { name, nearest: nearest(field, valid.iter().filter(is_of)) }
}

/// The column that was meant, if one is written nearly so.
///
/// Source: PostgreSQL 15, `updateFuzzyAttrMatchState` in `src/backend/parser/parse_relation.c`.
fn nearest<'c>(field: &Column, valid: impl Iterator<Item = &'c Column>) -> Option<String> {
    const DISTANCE_MAX: usize = 3;
    let distances = valid.map(|one| (strsim::levenshtein(&one.name, &field.name), one));
    let near = distances.filter(|(distance, _)| {
        *distance <= DISTANCE_MAX && *distance <= field.name.chars().count() / 2
    });
    let (_, found) = near.min_by_key(|(distance, _)| *distance)?;
    Some(match &found.relation {
        Some(relation) => format!("{}.{}", relation.table(), found.name),
        None => found.name.clone(),
    })
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

/// DataFusion names what it hasn't, some of it in a sentence.
fn in_our_words(what: &str) -> String {
    match what.strip_prefix("Unsupported SQL type ") {
        Some(sql_type) => format!("type {}", sql_type.to_lowercase()),
        None => what.to_owned(),
    }
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}
