//! The rows that one atom counts, for whoever accounts for them.

use std::sync::Arc;

use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};

use super::super::atoms::{Atom, Over};
use super::super::error::PlanError;
use super::super::rewrite::Rewriter;
use super::super::trace::Fanout;
use super::{Evaluation, fill, windows};

/// An evaluation of one atom, to look at its rows.
fn of_atom<'a, 'r, 'm>(
    rewriter: &'r mut Rewriter<'m>,
    aggregate: &'a Aggregate,
    atom: Atom,
    row_key: Vec<Expr>,
) -> Evaluation<'a, 'r, 'm> {
    let input = aggregate.input.as_ref();
    Evaluation {
        rewriter,
        aggregate,
        input,
        atoms: vec![atom],
        asked: Vec::new(),
        plain: Vec::new(),
        fanout: Fanout::of(input),
        row_key,
        filling: None,
        spine: None,
    }
}

/// That a row of a shifted atom has a place in the period to which it is shifted; None where each
/// has.
pub(crate) fn partner_condition(
    rewriter: &mut Rewriter<'_>,
    aggregate: &Aggregate,
    atom: &Atom,
) -> Result<Option<Expr>, PlanError> {
    let evaluation = of_atom(rewriter, aggregate, atom.clone(), Vec::new());
    match evaluation.branches()?.first() {
        Some(branch) => evaluation.has_partner(branch),
        None => Ok(None),
    }
}

/// The keys of the rows that an atom over time counts in any period, each once.
pub(crate) fn counted_over_time(
    rewriter: &mut Rewriter<'_>,
    aggregate: &Aggregate,
    atom: Atom,
    row_key: Vec<Expr>,
) -> Result<LogicalPlan, PlanError> {
    // What any of several grouping sets counts, that of all keys does.
    let finest = match aggregate.group_expr.as_slice() {
        [Expr::GroupingSet(_)] => {
            let keys = grouping_set_to_exprlist(&aggregate.group_expr)?;
            let keys = keys.into_iter().cloned().collect();
            Some(Aggregate::try_new(
                Arc::clone(&aggregate.input),
                keys,
                aggregate.aggr_expr.clone(),
            )?)
        }
        _ => None,
    };
    let aggregate = finest.as_ref().unwrap_or(aggregate);
    let mut evaluation = of_atom(rewriter, aggregate, atom, row_key);
    let branches = evaluation.branches()?;
    // The periods shown are those that are filled, where the statement asks for them.
    evaluation.filling = fill::asked(aggregate, aggregate.input.as_ref())?;
    evaluation.spine = evaluation.spine(&branches)?;
    evaluation.rows_over_time(&branches)
}

/// A measure's rows before its window of time, or its series, chooses among them.
pub(crate) fn rows_before_time(
    input: &LogicalPlan,
    instance: usize,
    over: &Over,
) -> Result<LogicalPlan, PlanError> {
    windows::rows_before_time(input, instance, over)
}
