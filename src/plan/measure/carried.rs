//! Values that groups without rows take from the period before them: `fill: previous`.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::logical_expr::{Expr, LogicalPlan, Window, lit, when};

use super::super::atoms::{Carried, carried_name};
use super::super::error::PlanError;
use super::super::rewrite::projected;
use super::super::shares::over;
use super::fill::column;
use super::{Evaluation, key_name, substitute};

impl Evaluation<'_, '_, '_> {
    /// The plan with the values that groups without rows take from the period before. Each is the
    /// one value among the groups that follow a group with rows up to the next one.
    pub(super) fn carried_on(
        &self,
        plan: LogicalPlan,
        carried: Vec<Carried>,
        values: &BTreeMap<String, Expr>,
    ) -> Result<LogicalPlan, PlanError> {
        let Some(filling) = self.filling.filter(|_| !carried.is_empty()) else { return Ok(plan) };
        let kept = plan.schema().columns().into_iter().map(Expr::Column).collect::<Vec<_>>();
        let mut exprs = kept.clone();
        for (index, Carried { formula, is_present }) in carried.iter().enumerate() {
            let (formula, is_present) =
                (substitute(formula.clone(), values)?, substitute(is_present.clone(), values)?);
            exprs.push(when(is_present.clone(), formula).end()?.alias(own_name(index)));
            exprs.push(when(is_present, lit(1i64)).end()?.alias(present_name(index)));
        }
        let plan = projected(plan, exprs)?;
        let others = (0..self.aggregate.group_expr.len()).filter(|index| *index != filling.key);
        let others: Vec<Expr> = others.map(|index| column(&key_name(index))).collect();
        let order = vec![column(&key_name(filling.key)).sort(true, false)];
        let runs = (0..carried.len()).map(|index| {
            let count = over("count", vec![column(&present_name(index))], &others, order.clone())?;
            Ok(count.alias(run_name(index)))
        });
        let runs = runs.collect::<Result<Vec<_>, PlanError>>()?;
        let mut plan = LogicalPlan::Window(Window::try_new(runs, Arc::new(plan))?);
        for index in 0..carried.len() {
            let run = [others.clone(), vec![column(&run_name(index))]].concat();
            let value = over("max", vec![column(&own_name(index))], &run, Vec::new())?;
            let value = value.alias(carried_name(index));
            plan = LogicalPlan::Window(Window::try_new(vec![value], Arc::new(plan))?);
        }
        let values = (0..carried.len()).map(|index| column(&carried_name(index)));
        projected(plan, kept.into_iter().chain(values).collect())
    }
}

fn own_name(index: usize) -> String {
    format!("__own{index}")
}

fn present_name(index: usize) -> String {
    format!("__present{index}")
}

fn run_name(index: usize) -> String {
    format!("__run{index}")
}
