//! Where the literal stands that an error speaks of, and the operator.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Statement, TypedString, Value, ValueWithSpan, visit_expressions,
};

use crate::error::{ClientError, QueryError};
use crate::plan::PlanError;
use crate::session::EngineError;
use crate::session::engine::QueryText;
use crate::sql::catalog::CatalogError;
use crate::sql::operators::{self, Misplaced};
use crate::sql::position_of;
use crate::sql::wording::Worded;

/// Codes of texts that are no values of a type, whose messages quote the text.
const UNREAD: [&str; 4] = ["22P02", "22003", "22007", "22008"];

/// The error with the place of the one literal that it quotes; as it is where that can't be told.
pub(super) fn placed(error: QueryError, query: &QueryText) -> QueryError {
    let error = match error {
        QueryError::Engine(EngineError::Catalog(CatalogError::Worded(worded))) => {
            let error = |it| QueryError::Engine(EngineError::Catalog(CatalogError::Worded(it)));
            return operator_placed(worded, query, error);
        }
        QueryError::Plan(PlanError::Worded(worded)) => {
            return operator_placed(worded, query, |it| QueryError::Plan(PlanError::Worded(it)));
        }
        error => error,
    };
    if error.position().is_some() || !UNREAD.contains(&error.sqlstate()) {
        return error;
    }
    let message = error.to_string();
    let quoted = message.split_once('"').and_then(|(_, rest)| rest.rsplit_once('"'));
    let literal = quoted.and_then(|(text, _)| literal(&query.statement, text));
    let position = literal.and_then(|literal| position_of(&query.text, literal.span.start));
    match position {
        Some(position) => QueryError::Placed { error: Box::new(error), position },
        None => error,
    }
}

fn operator_placed(
    worded: Worded,
    query: &QueryText,
    error: fn(Worded) -> QueryError,
) -> QueryError {
    match operators::placed(&query.text, &query.statement, &worded.message, None) {
        Some(Misplaced { position, message }) => {
            QueryError::Placed { error: Box::new(error(Worded { message, ..worded })), position }
        }
        None => error(worded),
    }
}

/// The literal of this text: the first that a type is written at, else the only one.
fn literal(statement: &Statement, text: &str) -> Option<ValueWithSpan> {
    let mut others: Vec<ValueWithSpan> = Vec::new();
    let is_it = |value: &ValueWithSpan| quoted(value).is_some_and(|quoted| quoted == text);
    let typed = visit_expressions(statement, |expr| {
        match expr {
            Expr::TypedString(TypedString { value, .. }) if is_it(value) => {
                return ControlFlow::Break(value.clone());
            }
            Expr::Cast { expr: inner, .. } => {
                if let Expr::Value(value) = inner.as_ref()
                    && is_it(value)
                {
                    return ControlFlow::Break(value.clone());
                }
            }
            Expr::Value(value) if is_it(value) => others.push(value.clone()),
            _ => {}
        }
        ControlFlow::Continue(())
    });
    match typed {
        ControlFlow::Break(value) => Some(value),
        ControlFlow::Continue(()) if others.len() == 1 => others.pop(),
        ControlFlow::Continue(()) => None,
    }
}

fn quoted(value: &ValueWithSpan) -> Option<&str> {
    match &value.value {
        Value::SingleQuotedString(text)
        | Value::EscapedStringLiteral(text)
        | Value::UnicodeStringLiteral(text) => Some(text),
        Value::DollarQuotedString(quoted) => Some(&quoted.value),
        _ => None,
    }
}
