//! The branches of an aggregation in one plan, with a row for each group of any of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Expr, LogicalPlan, Union, lit};

use super::super::atoms::atom_name;
use super::super::error::PlanError;
use super::super::rewrite::{aggregate, aggregated, projected};
use super::{Branch, Evaluation, KNOWN, plain_name};

impl Evaluation<'_, '_, '_> {
    /// All branches in one plan, and where each atom's value is in it.
    pub(super) fn combined(
        &mut self,
        branches: &[Branch],
    ) -> Result<(LogicalPlan, BTreeMap<String, Expr>), PlanError> {
        let (plans, has_several) = self.plans(branches)?;
        let mut values = BTreeMap::new();
        let column = |name: &String| Expr::Column(Column::new_unqualified(name));
        let names: Vec<(String, bool)> = (0..self.atoms.len())
            .map(|index| (atom_name(index), self.atoms[index].counts()))
            .chain(
                self.plain
                    .iter()
                    .enumerate()
                    .map(|(index, expr)| (plain_name(index), is_count(expr))),
            )
            .collect();
        let (plans, names) = match self.spine.clone() {
            Some(spine) => {
                let filled = self.filled_groups(&spine, &plans)?;
                let known = (KNOWN.to_owned(), false);
                (plans.into_iter().chain([filled]).collect(), [names, vec![known]].concat())
            }
            None => (plans, names),
        };
        let [single] = plans.as_slice() else {
            return self.values_united(&plans, names);
        };
        if has_several {
            return self.values_united(&plans, names);
        }
        for (name, _) in names {
            let value = column(&name);
            values.insert(name, value);
        }
        Ok((single.clone(), values))
    }

    /// Several plans, or one with several rows for some keys, as one row for each group.
    fn values_united(
        &self,
        plans: &[LogicalPlan],
        names: Vec<(String, bool)>,
    ) -> Result<(LogicalPlan, BTreeMap<String, Expr>), PlanError> {
        let plan = self.united(plans, &names)?;
        let mut values = BTreeMap::new();
        for (name, counts) in names {
            let value = Expr::Column(Column::new_unqualified(&name));
            let value = match counts {
                true => datafusion::functions::core::expr_fn::coalesce(vec![value, lit(0i64)]),
                false => value,
            };
            values.insert(name, value);
        }
        Ok((plan, values))
    }

    /// The branches' rows under each other, aggregated by the keys: at most one row of each branch
    /// has a group's keys, so any aggregate that skips NULL gives its value.
    fn united(
        &self,
        plans: &[LogicalPlan],
        names: &[(String, bool)],
    ) -> Result<LogicalPlan, PlanError> {
        let has_column = |plan: &LogicalPlan, name: &str| {
            plan.schema().fields().iter().any(|field| field.name() == name)
        };
        let mut inputs = Vec::with_capacity(plans.len());
        let keys: Vec<String> = plans[0]
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .filter(|name| !names.iter().any(|(value, _)| value == name))
            .collect();
        for plan in plans {
            let mut exprs: Vec<Expr> =
                keys.iter().map(|name| Expr::Column(Column::new_unqualified(name))).collect();
            for (name, _) in names {
                exprs.push(match has_column(plan, name) {
                    true => Expr::Column(Column::new_unqualified(name)),
                    false => self.null_of(plans, name)?.alias(name),
                });
            }
            inputs.push(Arc::new(projected(plan.clone(), exprs)?));
        }
        let union = match <[_; 1]>::try_from(inputs) {
            Ok([only]) => Arc::unwrap_or_clone(only),
            Err(several) => LogicalPlan::Union(Union::try_new_with_loose_types(several)?),
        };
        let aggregates = names.iter().map(|(name, _)| {
            Ok(aggregate("max", Expr::Column(Column::new_unqualified(name)))?.alias(name))
        });
        let aggregates = aggregates.collect::<Result<_, PlanError>>()?;
        let keys = keys.iter().map(|name| Expr::Column(Column::new_unqualified(name)));
        aggregated(union, keys.collect(), aggregates)
    }

    fn null_of(&self, plans: &[LogicalPlan], name: &str) -> Result<Expr, PlanError> {
        let field = plans.iter().find_map(|plan| {
            plan.schema().fields().iter().find(|field| field.name() == name).cloned()
        });
        let missing = || PlanError::Internal(format!("no branch has {name}"));
        let null = ScalarValue::try_from(field.ok_or_else(missing)?.data_type());
        Ok(Expr::Literal(null?, None))
    }
}

fn is_count(expr: &Expr) -> bool {
    let expr = expr.clone().unalias();
    matches!(expr, Expr::AggregateFunction(AggregateFunction { func, .. }) if func.name() == "count")
}
