//! Keys that DataFusion's optimizer must not know of.
//!
//! DataFusion 55.2 takes the groups of an aggregation for determined by any of its keys that is
//! unique in one of the tables joined below, and then drops other keys of GROUP BY and ORDER BY: in
//! `GROUP BY period, country` over rows joined to distinct periods it saw groups by period. So what
//! is unique before a join is hidden from it, behind a function that gives its argument.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use datafusion::common::Column;
use datafusion::error::Result;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, Projection, ScalarUDF};

use crate::functions::transparent;

/// A join whose inputs have no unique columns, and distinct rows that aren't known to be so; None
/// for anything else.
pub(super) fn unkeyed(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    match plan {
        // It becomes an aggregation, with its columns as key.
        LogicalPlan::Distinct(Distinct::All(_)) => Ok(Some(hidden(plan, &BTreeSet::from([0]))?)),
        LogicalPlan::Join(_) => {
            let mut inputs = Vec::new();
            let mut is_changed = false;
            for input in plan.inputs() {
                let keys = input.schema().functional_dependencies().iter();
                let firsts = keys.filter_map(|key| key.source_indices.first().copied());
                let firsts: BTreeSet<usize> = firsts.collect();
                is_changed |= !firsts.is_empty();
                inputs.push(match firsts.is_empty() {
                    true => input.clone(),
                    false => hidden(input, &firsts)?,
                });
            }
            match is_changed {
                true => plan.with_new_exprs(plan.expressions(), inputs).map(Some),
                false => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

/// The plan with some of its columns behind [`SAME`].
fn hidden(plan: &LogicalPlan, columns: &BTreeSet<usize>) -> Result<LogicalPlan> {
    let exprs = plan.schema().iter().enumerate().map(|(index, (qualifier, field))| {
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        match columns.contains(&index) {
            true => SAME.call(vec![column]).alias_qualified(qualifier.cloned(), field.name()),
            false => column,
        }
    });
    let exprs = exprs.collect();
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan.clone()))?))
}

static SAME: LazyLock<ScalarUDF> = LazyLock::new(|| transparent("canon_same"));
