//! ROLLUP, CUBE and GROUPING SETS of what has periods of its own: each set is an aggregation by
//! itself, as windows end with other days where a set has no period, and their rows are united.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::utils::{grouping_set_to_exprlist, powerset};
use datafusion::logical_expr::{Aggregate, Expr, GroupingSet, LogicalPlan, Union, cast, lit};

use super::super::error::PlanError;
use super::super::rewrite::{Rewriter, projected};
use super::super::trace::scans_of;
use super::{Atom, Over, evaluate};

/// The sets of an aggregation that are to be evaluated one by one; None where it has no sets, or one
/// pass over the rows gives them all.
pub(super) fn apart<'a>(
    aggregate: &'a Aggregate,
    atoms: &[Atom],
) -> Result<Option<Vec<Vec<&'a Expr>>>, PlanError> {
    let [Expr::GroupingSet(sets)] = aggregate.group_expr.as_slice() else { return Ok(None) };
    let is_filled = scans_of(&aggregate.input).values().any(|scan| scan.relation.clock.fill);
    if !is_filled && atoms.iter().all(|atom| matches!(atom.over, Over::Group)) {
        return Ok(None);
    }
    Ok(Some(match sets {
        GroupingSet::Rollup(keys) => {
            (0..=keys.len()).map(|end| keys[..end].iter().collect()).collect()
        }
        GroupingSet::Cube(keys) => powerset(keys)?,
        GroupingSet::GroupingSets(sets) => sets.iter().map(|set| set.iter().collect()).collect(),
    }))
}

/// The rows of all sets, in the columns of the aggregation.
pub(super) fn united(
    rewriter: &mut Rewriter<'_>,
    aggregate: &Aggregate,
    sets: Vec<Vec<&Expr>>,
) -> Result<LogicalPlan, PlanError> {
    let keys = grouping_set_to_exprlist(&aggregate.group_expr)?;
    let mut seen: Vec<u64> = Vec::with_capacity(sets.len());
    let mut inputs = Vec::with_capacity(sets.len());
    for named in sets {
        let mut set: Vec<&Expr> = Vec::with_capacity(named.len());
        for key in named {
            if !set.contains(&key) {
                set.push(key);
            }
        }
        let absent = keys.iter().map(|key| u64::from(!set.contains(key)));
        let mask = absent.fold(0, |mask, bit| mask << 1 | bit);
        let before = seen.iter().filter(|other| **other == mask).count() as u64;
        seen.push(mask);
        let id = mask | before << keys.len();
        let group: Vec<Expr> = set.iter().map(|key| (*key).clone()).collect();
        let input = Arc::clone(&aggregate.input);
        let of_set = Aggregate::try_new(input, group, aggregate.aggr_expr.clone())?;
        let rows = evaluate(rewriter, &of_set)?;
        inputs.push(Arc::new(in_columns(rows, aggregate, &keys, &set, id)?));
    }
    let union = match <[_; 1]>::try_from(inputs) {
        Ok([only]) => Arc::unwrap_or_clone(only),
        Err(several) => LogicalPlan::Union(Union::try_new_with_loose_types(several)?),
    };
    let names = aggregate.schema.iter().zip(union.schema().columns());
    let named = names.map(|((qualifier, field), column)| {
        Expr::Column(column).alias_qualified(qualifier.cloned(), field.name())
    });
    let named = named.collect();
    projected(union, named)
}

/// The rows of one set, NULL in the keys that it hasn't.
fn in_columns(
    rows: LogicalPlan,
    aggregate: &Aggregate,
    keys: &[&Expr],
    set: &[&Expr],
    id: u64,
) -> Result<LogicalPlan, PlanError> {
    let own = rows.schema().columns();
    let mut values = own[set.len()..].iter().cloned().map(Expr::Column);
    let missing = || PlanError::Internal("a grouping set without a column".to_owned());
    let mut exprs = Vec::with_capacity(aggregate.schema.fields().len());
    for (index, field) in aggregate.schema.fields().iter().enumerate() {
        let expr = match keys.get(index) {
            Some(key) => match set.iter().position(|own| own == key) {
                Some(position) => Expr::Column(own[position].clone()),
                None => Expr::Literal(ScalarValue::try_from(field.data_type())?, None),
            },
            None if field.name() == Aggregate::INTERNAL_GROUPING_ID => {
                cast(lit(id), field.data_type().clone())
            }
            None => values.next().ok_or_else(missing)?,
        };
        exprs.push(expr.alias(format!("__c{index}")));
    }
    projected(rows, exprs)
}
