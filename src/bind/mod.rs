//! Names and types of a statement, resolved against the model.
//!
//! The statement's tree is rewritten first ([`binder`]): every relation becomes a scan of our own
//! (`r0`, `r1`, …), every name a qualified column of one, every output column gets a name by
//! position, and where a measure is evaluated stands one of the [`markers`]. So what DataFusion's
//! planner then sees has no name of the user's in it, and two statements that say the same in other
//! words give equal plans.

mod across;
mod aggregate;
mod binder;
mod context;
mod distinct_on;
mod error;
mod expression;
mod from;
mod integers;
mod keys;
mod level_shares;
mod literal;
pub mod markers;
mod metric_query;
mod missing;
mod pending;
mod period;
mod preview;
mod property;
mod query;
pub mod relation;
mod rows;
mod scope;
pub mod segment;
mod select;
mod series;
mod table_function;
mod template;
mod uuids;
mod walk;

use std::sync::Arc;

use datafusion::arrow::datatypes::FieldRef;
use datafusion::common::{DataFusionError, SchemaError};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::Query;
use datafusion::sql::sqlparser::tokenizer::Location;
use tracing::debug_span;

pub use binder::{BindSettings, Fact};
pub use context::{RelationScan, ScanClock, ScanColumn, ScanKind};
pub use error::BindError;
pub use integers::int4_columns;
pub use preview::Preview;
pub use relation::Relations;
pub use scope::{PlainColumn, nearest};
pub use uuids::{Uuids, uuid_columns};

use crate::functions::{parameters, planned};
use crate::model::{MetricVersion, Model, SegmentVersion};
use crate::sql::operators::{self, Misplaced};
use crate::sql::types::PgType;
use crate::sql::wording::Worded;

/// A statement with every name resolved.
#[derive(Debug)]
pub struct BoundQuery {
    /// Over [`RelationScan`]s, with [`markers`]; types not coerced yet.
    pub plan: LogicalPlan,
    /// The user's names of the output columns.
    pub names: Vec<String>,
    /// Of each output column that is a relation's: which one.
    pub plain: Vec<Option<PlainColumn>>,
    /// The types of `$1` and so on: as announced, else as the statement tells, else text.
    pub params: Vec<PgType>,
    /// Versions of the metrics that it asks for.
    pub versions: Vec<Arc<MetricVersion>>,
    /// Versions of the segments that it reads.
    pub segments: Vec<Arc<SegmentVersion>>,
    /// Measures that it shows by row, since they can't be grouped by what stands beside them.
    pub previews: Vec<Preview>,
}

/// Resolves every name of a query, and plans it. `announced` are the types that the client gave its
/// parameters.
///
/// # Errors
/// Unknown names, measures and aggregates out of place, types that don't go together.
pub fn bind(
    model: &Model,
    relations: &Relations,
    settings: &BindSettings,
    query: &Query,
    text: &str,
    announced: &[Option<PgType>],
) -> Result<BoundQuery, BindError> {
    let mut binder = binder::Binder::new(model, relations, settings, text);
    let written = query;
    let mut query = query.clone();
    let names = || binder.bind_query(&mut query, None, true);
    let outputs = debug_span!("names").in_scope(names)?;
    let segments = binder.segments();
    let previews = std::mem::take(&mut binder.previews);
    let (scans, versions) = binder.finish();
    let context = context::StatementContext { scans };
    let refused = |error: DataFusionError| placed(types_error(&error), &error, written, text);
    let plan = |types: &[Option<FieldRef>]| {
        planned(&context, query.clone(), types).and_then(level_shares::apply)
    };
    let fields = announced.iter().map(|it| known(it).map(parameters::field_of)).collect();
    let typed = || parameters::typed(fields, plan);
    let typed = debug_span!("sql_to_plan").in_scope(typed).map_err(refused)?;
    crate::functions::operators::check(&typed.plan).map_err(refused)?;
    let (plan, uuids) = uuids::read(typed.plan).map_err(|error| types_error(&error))?;
    let type_of = |(index, field): (usize, &FieldRef)| {
        let announced = announced.get(index).and_then(known).cloned();
        let uuid = || uuids.get(&(index + 1)).filter(|it| it.to_arrow() == *field.data_type());
        announced.or_else(|| uuid().cloned()).unwrap_or_else(|| parameters::announced(field))
    };
    let params = typed.types.iter().enumerate().map(type_of).collect();
    let (names, plain) = outputs.into_iter().map(|column| (column.name, column.plain)).unzip();
    Ok(BoundQuery { plan, names, plain, params, versions, segments, previews })
}

/// A type that a client gave, and not only its place.
fn known(announced: &Option<PgType>) -> Option<&PgType> {
    announced.as_ref().filter(|it| **it != PgType::Unknown)
}

/// A missing operator at its place in the statement.
fn placed(refused: BindError, error: &DataFusionError, query: &Query, text: &str) -> BindError {
    let BindError::Worded(worded, None) = refused else { return refused };
    let diagnostic = error.diagnostic();
    let spans = diagnostic.into_iter().flat_map(|it| {
        let notes = it.notes.iter().map(|note| note.span);
        [it.span].into_iter().chain(notes).flatten()
    });
    let near = spans.map(|span| Location { line: span.start.line, column: span.start.column });
    match operators::placed(text, query, &worded.message, near.into_iter().next()) {
        Some(Misplaced { position, message }) => {
            BindError::Worded(Worded { message, ..worded }, Some(position))
        }
        None => BindError::Worded(worded, None),
    }
}

/// A planning error in our words: names are resolved before, so what is left is types.
pub(crate) fn types_error(error: &DataFusionError) -> BindError {
    if let Some(refused) = crate::functions::FunctionError::of(error) {
        return BindError::Function(refused);
    }
    let root = error.find_root();
    let sqlstate = match root {
        DataFusionError::SchemaError(schema, _) => match **schema {
            SchemaError::FieldNotFound { .. } => "42703",
            _ => "42702",
        },
        DataFusionError::NotImplemented(_) => "0A000",
        DataFusionError::Internal(_) => "XX000",
        _ => "42804",
    };
    let message = root.strip_backtrace();
    let message = message.lines().next().unwrap_or_default();
    if let Some(error) = wrong_arguments(message) {
        return error;
    }
    if let Some(worded) = crate::sql::wording::of_error(error) {
        return BindError::Worded(worded, None);
    }
    let message = ["Error during planning: ", "This feature is not implemented: "]
        .iter()
        .find_map(|prefix| message.strip_prefix(prefix))
        .unwrap_or(message);
    BindError::Types { message: message.to_owned(), sqlstate }
}

/// A function that refuses its arguments: which one, and why where our own functions say so.
fn wrong_arguments(message: &str) -> Option<BindError> {
    let (before, after) = message.split_once("No function matches the given name and argument")?;
    let (name, _) = after.split_once('\'')?.1.split_once('(')?;
    let reason = before.split_once("coercion failed with: Error during planning: ");
    let reason = reason.map(|(_, reason)| reason.trim_end_matches(['.', ' ']));
    let reason = reason.filter(|reason| !reason.is_empty()).map(|reason| {
        let (first, rest) = reason.split_at(reason.chars().next().map_or(0, char::len_utf8));
        format!("{}{rest}", first.to_uppercase())
    });
    Some(BindError::WrongArguments { name: name.to_owned(), reason })
}
