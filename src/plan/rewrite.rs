//! A bound plan without measures and relations: each scan expanded, each measure evaluated where
//! the bound plan marks it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Aggregate, Expr, Filter, LogicalPlan, Projection, Subquery};

use super::atoms::Atoms;
use super::error::PlanError;
use super::expand::{TimeOf, expand_scan, row_time};
use super::measure;
use super::trace::{Below, below, instance_of, reads_measure};
use crate::bind::{ScanKind, markers};
use crate::model::Model;

/// What the nodes above need of the scans below.
#[derive(Debug, Clone, Default)]
pub(crate) struct Needs {
    /// Times other than that of plain rows, by scan.
    pub(crate) times: BTreeMap<usize, TimeOf>,
    /// Columns to carry up from the scans: names that no other column has.
    pub(crate) extras: BTreeMap<usize, Vec<(String, Expr)>>,
}

impl Needs {
    /// The names of the columns that are to arrive at the node above.
    fn carried(&self) -> BTreeSet<String> {
        self.extras.values().flatten().map(|(name, _)| name.clone()).collect()
    }
}

/// Columns that are carried up begin with this.
pub(crate) const CARRIED: &str = "__x";

/// One rewriting of a statement.
pub(crate) struct Rewriter<'m> {
    pub(crate) model: &'m Model,
    carried: usize,
}

impl<'m> Rewriter<'m> {
    pub(crate) fn new(model: &'m Model) -> Self {
        Self { model, carried: 0 }
    }

    /// A name for a column to carry.
    pub(crate) fn carried_name(&mut self) -> String {
        self.carried += 1;
        format!("{CARRIED}{}", self.carried)
    }

    /// The plan without measures; its output columns have the names and types that they had.
    pub(crate) fn rewrite(
        &mut self,
        plan: &LogicalPlan,
        needs: &Needs,
    ) -> Result<LogicalPlan, PlanError> {
        match plan {
            LogicalPlan::TableScan(scan) => match instance_of(scan) {
                Some((instance, relation)) => {
                    let time = match needs.times.get(&instance) {
                        Some(time) => Some(time.clone()),
                        None => row_time(self.model, relation)?,
                    };
                    let extras = needs.extras.get(&instance).map_or(&[][..], Vec::as_slice);
                    expand_scan(self.model, scan, relation, time.as_ref(), extras)
                }
                None => Ok(plan.clone()),
            },
            LogicalPlan::Aggregate(aggregate) if measure::is_forced(aggregate) => {
                measure::evaluate(self, aggregate)
            }
            LogicalPlan::Projection(projection) => self.projection(projection, needs),
            LogicalPlan::Filter(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Join(_) => self.pass_through(plan, needs),
            // Rows end here: what lies below is a statement of its own.
            _ => self.pass_through(plan, &Needs::default()),
        }
    }

    /// The node over rewritten inputs, row measures replaced.
    fn pass_through(
        &mut self,
        plan: &LogicalPlan,
        needs: &Needs,
    ) -> Result<LogicalPlan, PlanError> {
        let wanted = needs.carried();
        let mut needs = needs.clone();
        let mut exprs = Vec::new();
        for expr in plan.expressions() {
            exprs.push(self.row_measures(plan.inputs().first().copied(), expr, &mut needs)?);
        }
        let inputs = plan.inputs().into_iter().map(|input| self.rewrite(input, &needs));
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let schema = inputs.first().map(measure::rows_schema).unwrap_or_default();
        let exprs = exprs.into_iter().map(|expr| self.subqueries(measure::located(expr, &schema)?));
        let exprs = exprs.collect::<Result<Vec<_>, _>>()?;
        let rewritten = plan.with_new_exprs(exprs, inputs)?;
        match needs.carried() == wanted {
            true => Ok(rewritten),
            false => without_others(rewritten, &wanted),
        }
    }

    /// A projection: calculations that nobody forces are dropped, carried columns added.
    fn projection(
        &mut self,
        projection: &Projection,
        needs: &Needs,
    ) -> Result<LogicalPlan, PlanError> {
        let wanted = needs.carried();
        let mut needs = needs.clone();
        let mut exprs = Vec::with_capacity(projection.expr.len());
        for expr in &projection.expr {
            let name = expr.qualified_name();
            let is_row = contains_row_measure(expr)?;
            if !is_row && reads_measure(&projection.input, expr) {
                continue;
            }
            let replaced = self.row_measures(Some(&projection.input), expr.clone(), &mut needs)?;
            // The name stays what the nodes above call it.
            exprs.push(match is_row {
                true => replaced.unalias().alias_qualified(name.0, name.1),
                false => replaced,
            });
        }
        let input = self.rewrite(&projection.input, &needs)?;
        for (qualifier, field) in input.schema().iter() {
            if wanted.contains(field.name()) {
                exprs.push(Expr::Column(Column::new(qualifier.cloned(), field.name())));
            }
        }
        let schema = measure::rows_schema(&input);
        let exprs = exprs.into_iter().map(|expr| self.subqueries(measure::located(expr, &schema)?));
        let exprs = exprs.collect::<Result<Vec<_>, _>>()?;
        Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?))
    }

    /// Replaces measures of rows by their formulas over columns that `needs` then asks for.
    fn row_measures(
        &mut self,
        input: Option<&LogicalPlan>,
        expr: Expr,
        needs: &mut Needs,
    ) -> Result<Expr, PlanError> {
        let Some(input) = input else { return Ok(expr) };
        if !contains_row_measure(&expr)? {
            return Ok(expr);
        }
        let mut fault = None;
        let replaced = expr.transform_up(|node| match node {
            Expr::ScalarFunction(call) if call.func.name() == markers::MEASURE_OF_ROW => {
                match self.row_formula(input, &call.args[0], needs) {
                    Ok(formula) => Ok(Transformed::yes(formula)),
                    Err(error) => {
                        fault = Some(error);
                        Err(DataFusionError::Internal("stopped".to_owned()))
                    }
                }
            }
            other => Ok(Transformed::no(other)),
        });
        match (replaced, fault) {
            (_, Some(error)) => Err(error),
            (replaced, None) => Ok(replaced?.data),
        }
    }

    fn row_formula(
        &mut self,
        input: &LogicalPlan,
        argument: &Expr,
        needs: &mut Needs,
    ) -> Result<Expr, PlanError> {
        let mut atoms = Atoms::default();
        let formula = formula_of(self.model, &mut atoms, input, argument, None)?;
        let mut values = BTreeMap::new();
        for (index, atom) in atoms.list.iter().enumerate() {
            let extras = needs.extras.entry(atom.instance).or_default();
            let condition = atom.conditions.iter().cloned().reduce(datafusion::logical_expr::and);
            let row = atom.of_row(atom.argument.clone(), condition)?;
            let known = extras.iter().find(|(_, expr)| *expr == row).map(|(name, _)| name.clone());
            let name = match known {
                Some(name) => name,
                None => {
                    let name = self.carried_name();
                    extras.push((name.clone(), row));
                    name
                }
            };
            values.insert(
                super::atoms::atom_name(index),
                Expr::Column(Column::new_unqualified(name)),
            );
        }
        measure::substitute(formula, &values)
    }

    /// Plans inside expressions are statements of their own.
    fn subqueries(&mut self, expr: Expr) -> Result<Expr, PlanError> {
        let mut fault = None;
        let mut rewrite = |subquery: Subquery| {
            let plan = self.rewrite(&subquery.subquery, &Needs::default()).map_err(|error| {
                fault = Some(error);
                DataFusionError::Internal("stopped".to_owned())
            })?;
            Ok::<_, DataFusionError>(subquery.with_plan(Arc::new(plan)))
        };
        let replaced = expr.transform_up(|node| {
            Ok(match node {
                Expr::ScalarSubquery(subquery) => {
                    Transformed::yes(Expr::ScalarSubquery(rewrite(subquery)?))
                }
                Expr::Exists(mut exists) => {
                    exists.subquery = rewrite(exists.subquery)?;
                    Transformed::yes(Expr::Exists(exists))
                }
                Expr::InSubquery(mut within) => {
                    within.subquery = rewrite(within.subquery)?;
                    Transformed::yes(Expr::InSubquery(within))
                }
                other => Transformed::no(other),
            })
        });
        match (replaced, fault) {
            (_, Some(error)) => Err(error),
            (replaced, None) => Ok(replaced?.data),
        }
    }
}

/// The formula over atoms of an expression of measures, seen from a plan: columns are followed down
/// to the measures they are.
pub(crate) fn formula_of(
    model: &Model,
    atoms: &mut Atoms,
    plan: &LogicalPlan,
    expr: &Expr,
    filter: Option<&Expr>,
) -> Result<Expr, PlanError> {
    if let Expr::Column(column) = expr {
        return match below(plan, column) {
            Below::Scan(instance, scanned) => match &scanned.kind {
                ScanKind::Measure(version) => {
                    atoms.asked.push((instance, Arc::clone(version)));
                    atoms.formula(model, version, instance, filter)
                }
                _ => Err(PlanError::MixedCalculation { column: scanned.name.clone() }),
            },
            Below::Expr(input, inner) => formula_of(model, atoms, input, inner, filter),
            Below::Value => Err(PlanError::MixedCalculation { column: column.name.clone() }),
        };
    }
    let mut fault = None;
    let replaced = expr.clone().map_children(|child| {
        formula_of(model, atoms, plan, &child, filter).map(Transformed::yes).map_err(|error| {
            fault = Some(error);
            DataFusionError::Internal("stopped".to_owned())
        })
    });
    match (replaced, fault) {
        (_, Some(error)) => Err(error),
        (replaced, None) => Ok(replaced?.data),
    }
}

/// The plan without carried columns that nobody above asked for.
fn without_others(plan: LogicalPlan, wanted: &BTreeSet<String>) -> Result<LogicalPlan, PlanError> {
    let is_kept = |name: &String| !name.starts_with(CARRIED) || wanted.contains(name);
    let columns = plan.schema().iter().filter(|(_, field)| is_kept(field.name()));
    let columns = columns.map(|(qualifier, field)| Column::new(qualifier.cloned(), field.name()));
    let columns = columns.map(Expr::Column).collect();
    projected(plan, columns)
}

fn contains_row_measure(expr: &Expr) -> Result<bool, PlanError> {
    let is_mark = |node: &Expr| matches!(node, Expr::ScalarFunction(call) if call.func.name() == markers::MEASURE_OF_ROW);
    let mut found = false;
    expr.apply(|node| {
        found |= is_mark(node);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// A filter node.
pub(crate) fn filtered(plan: LogicalPlan, predicate: Expr) -> Result<LogicalPlan, PlanError> {
    Ok(LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(plan))?))
}

/// An aggregation node.
pub(crate) fn aggregated(
    plan: LogicalPlan,
    keys: Vec<Expr>,
    aggregates: Vec<Expr>,
) -> Result<LogicalPlan, PlanError> {
    Ok(LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(plan), keys, aggregates)?))
}

/// A projection node.
pub(crate) fn projected(plan: LogicalPlan, exprs: Vec<Expr>) -> Result<LogicalPlan, PlanError> {
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan))?))
}
