//! From a logical plan to one ClickHouse statement.
//!
//! One node, one clause: a SELECT block is extended while SQL's order of clauses allows it, else it
//! becomes `(…) AS tN` of the next one. Columns are named by position (`c0`, `c1`) and every
//! reference is qualified by its block, so no text of a user ever becomes an identifier; source
//! tables and columns are quoted. Whatever has no exact twin in ClickHouse isn't pushable, and the
//! border between the engines moves below it.
//!
//! The statement relies on the settings that the client sends with it: `join_use_nulls`,
//! `aggregate_functions_null_for_empty`, `group_by_use_nulls`, `prefer_column_name_to_alias`,
//! `cast_keep_nullable`, DISTINCT set operations, `date_time_overflow_behavior=throw` and
//! `session_timezone=UTC`.
//!
//! What the decoder has to accept beside the declared Arrow types: integers of any width and sign
//! (cast), UInt8 for Boolean, decimals of the declared scale but any precision (relabelled, not
//! checked again), and timestamps with a zone where the plan has none.

mod aggregates;
mod block;
mod casts;
mod compare;
mod expr;
pub mod functions;
mod latest;
mod literal;
mod membership;
mod nan;
mod native;
mod nodes;
mod spread;
mod value;
mod windows;

use datafusion::logical_expr::LogicalPlan;

use super::facts::TableFactsSource;

/// Why a plan, or a part of it, can't be said in ClickHouse's SQL with the same meaning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotPushable {
    pub reason: String,
}

impl NotPushable {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

pub(crate) type Result<T> = std::result::Result<T, NotPushable>;

/// One statement whose columns are `c0`, `c1`, … in the order of the plan's schema.
///
/// `plan` is analysed (types coerced, constants folded); its leaves are scans of
/// [`SourceTable`](crate::plan::source::SourceTable)s. The work is linear in the plan's size.
///
/// # Errors
/// [`NotPushable`] with the reason, where something in it has no exact twin.
pub fn generate(
    plan: &LogicalPlan,
    tables: &dyn TableFactsSource,
) -> std::result::Result<String, NotPushable> {
    nodes::Generator::new(tables).statement(plan)
}
