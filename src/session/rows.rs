//! Rows that a session makes itself, and the errors that streams of rows end with.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

use super::EngineError;
use super::engine::Column;
use super::error::SessionError;
use crate::backend::BackendError;
use crate::backend::local::SEVERAL_ROWS;
use crate::bind::BindError;
use crate::error::QueryError;
use crate::functions::FunctionError;
use crate::plan::PlanError;
use crate::sql::SqlError;
use crate::sql::catalog::CatalogError;
use crate::sql::types::PgType;

/// Columns of text.
pub(super) fn text_columns(names: &[&str]) -> Vec<Column> {
    let column = |name: &&str| Column::new(*name, PgType::Text);
    names.iter().map(column).collect()
}

/// Rows of texts under these columns.
pub(super) fn text_rows(
    columns: &[Column],
    rows: &[Vec<String>],
) -> Result<SendableRecordBatchStream, QueryError> {
    let fields: Vec<Field> =
        columns.iter().map(|column| Field::new(&column.name, DataType::Utf8, true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let cells = |index: usize| {
        let texts: StringArray = rows.iter().map(|row| row.get(index)).collect();
        Arc::new(texts) as ArrayRef
    };
    let arrays: Vec<ArrayRef> = (0..columns.len()).map(cells).collect();
    let batch = RecordBatch::try_new(schema.clone(), arrays)
        .map_err(|error| stream_error(DataFusionError::from(error)))?;
    let stream = futures::stream::iter([Ok(batch)]);
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
}

/// Rows of a portal that has given all it had.
pub(super) fn no_rows() -> SendableRecordBatchStream {
    let stream = futures::stream::empty();
    Box::pin(RecordBatchStreamAdapter::new(Arc::new(Schema::empty()), stream))
}

/// What a client may be told of an error inside a stream. The stages' own errors travel as
/// `DataFusionError::External`; others are known by their kind, never by their text.
pub fn stream_error(error: DataFusionError) -> QueryError {
    if let Some(own) = own_error(&error) {
        return own;
    }
    if let Some(refused) = FunctionError::of(&error) {
        return BackendError::from(refused).into();
    }
    let own = match error.find_root() {
        DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
            ArrowError::DivideByZero => Some(BackendError::DivisionByZero),
            ArrowError::ArithmeticOverflow(_) => Some(BackendError::OutOfRange),
            // Its text holds the value, which may be one that the asker must not see.
            ArrowError::CastError(_) | ArrowError::ParseError(_) => return bad_cast(),
            _ => None,
        },
        DataFusionError::ResourcesExhausted(_) => Some(BackendError::OutOfMemory),
        DataFusionError::Execution(text) if text.starts_with(SEVERAL_ROWS) => {
            Some(BackendError::SeveralRows)
        }
        _ => None,
    };
    own.map(QueryError::from).unwrap_or_else(|| {
        tracing::error!(%error, "a stream of rows failed");
        SessionError::Internal.into()
    })
}

fn bad_cast() -> QueryError {
    let message = "a value can't be read as the type that it is cast to".to_owned();
    SessionError::BadResult { sqlstate: "22P02", message }.into()
}

fn of_catalog(error: CatalogError) -> QueryError {
    EngineError::from(error).into()
}

fn own_error(error: &DataFusionError) -> Option<QueryError> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(own) = error.downcast_ref::<QueryError>() {
            return Some(own.clone());
        }
        let own = None
            .or_else(|| error.downcast_ref::<BackendError>().cloned().map(QueryError::from))
            .or_else(|| error.downcast_ref::<PlanError>().cloned().map(QueryError::from))
            .or_else(|| error.downcast_ref::<BindError>().cloned().map(QueryError::from))
            .or_else(|| error.downcast_ref::<CatalogError>().cloned().map(of_catalog))
            .or_else(|| error.downcast_ref::<SqlError>().cloned().map(QueryError::from))
            .or_else(|| error.downcast_ref::<SessionError>().cloned().map(QueryError::from));
        if own.is_some() {
            return own;
        }
        next = match error.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
            _ => error.source(),
        };
    }
    None
}
