//! A bound plan without measures and relations: each scan expanded, each measure evaluated where
//! the bound plan marks it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{
    Aggregate, Expr, Filter, LogicalPlan, Projection, Subquery, SubqueryAlias, TableScan, Union,
};

use super::atoms::{Atom, Atoms};
use super::error::PlanError;
use super::expand::{TimeOf, expand_scan, row_time};
use super::trace::{Below, Fanout, below, instance_of, reads_measure, scans_of};
use super::{levels, measure};
use crate::bind::{RelationScan, ScanKind, markers};
use crate::functions::registry;
use crate::model::{Entity, ManySide, MetricVersion, Model};

/// What the nodes above need of the scans below.
#[derive(Debug, Clone, Default)]
pub(crate) struct Needs {
    /// Times other than that of plain rows, by scan.
    pub(crate) times: BTreeMap<usize, TimeOf>,
    /// Entities in place of the scan's own, by scan: they have its dimensions too.
    pub(crate) entities: BTreeMap<usize, String>,
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
    /// The statement's time.
    pub(crate) at: DateTime<Utc>,
    carried: usize,
}

impl<'m> Rewriter<'m> {
    pub(crate) fn new(model: &'m Model, at: DateTime<Utc>) -> Self {
        Self { model, at, carried: 0 }
    }

    /// A name for a column to carry.
    pub(crate) fn carried_name(&mut self) -> String {
        self.carried += 1;
        format!("{CARRIED}{}", self.carried)
    }

    pub(crate) fn entity(&self, name: &str) -> Result<&'m Entity, PlanError> {
        let missing = || PlanError::Internal(format!("entity {name} is missing"));
        Ok(self.model.counted_entity(name).ok_or_else(missing)?)
    }

    /// The plan without measures; its output columns have the names and types that they had.
    pub(crate) fn rewrite(
        &mut self,
        plan: &LogicalPlan,
        needs: &Needs,
    ) -> Result<LogicalPlan, PlanError> {
        match plan {
            LogicalPlan::TableScan(scan) => match instance_of(scan) {
                Some((instance, relation)) => self.scan(scan, instance, relation, needs),
                None => Ok(plan.clone()),
            },
            LogicalPlan::Aggregate(aggregate) if levels::has_levels(aggregate) => {
                levels::evaluate(self, aggregate)
            }
            LogicalPlan::Aggregate(aggregate) if measure::is_forced(aggregate) => {
                measure::evaluate(self, aggregate)
            }
            LogicalPlan::Projection(projection) => self.projection(projection, needs),
            LogicalPlan::Filter(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Window(_)
            | LogicalPlan::Join(_) => self.pass_through(plan, needs),
            // Rows end here: what lies below is a statement of its own.
            _ => self.pass_through(plan, &Needs::default()),
        }
    }

    fn scan(
        &mut self,
        scan: &TableScan,
        instance: usize,
        relation: &RelationScan,
        needs: &Needs,
    ) -> Result<LogicalPlan, PlanError> {
        let time = match needs.times.get(&instance) {
            Some(time) => Some(time.clone()),
            None => row_time(self.model, relation)?,
        };
        let extras = needs.extras.get(&instance).map_or(&[][..], Vec::as_slice);
        let several = |version: &Arc<MetricVersion>| {
            version.entities != [relation.relation.entity.name.as_str()]
        };
        let entity = match needs.entities.get(&instance) {
            Some(name) if *name == relation.relation.entity.name => &relation.relation.entity,
            Some(name) => self.entity(name)?,
            None if relation.versions.iter().any(several) => {
                return self.rows_of_all(scan, relation);
            }
            None => &relation.relation.entity,
        };
        expand_scan(self, scan, relation, entity, time.as_ref(), extras)
    }

    /// The plain rows of metrics over several entities: those of all of them, each by the time that
    /// the metrics count it by.
    fn rows_of_all(
        &mut self,
        scan: &TableScan,
        relation: &RelationScan,
    ) -> Result<LogicalPlan, PlanError> {
        let mut atoms = Atoms::default();
        for version in &relation.versions {
            atoms.formula(self.model, version, 0, None)?;
        }
        let entities = relation.versions.iter().flat_map(|version| &version.entities);
        let rows = entities.collect::<BTreeSet<_>>().into_iter().map(|name| {
            let time = atoms.list.iter().find(|atom| atom.entity == *name);
            let time = time.and_then(|atom| atom.time.clone());
            let rows = expand_scan(self, scan, relation, self.entity(name)?, time.as_ref(), &[]);
            Ok::<_, PlanError>(Arc::new(rows?))
        });
        let union = Union::try_new_with_loose_types(rows.collect::<Result<Vec<_>, _>>()?)?;
        let alias =
            SubqueryAlias::try_new(Arc::new(LogicalPlan::Union(union)), scan.table_name.clone())?;
        Ok(LogicalPlan::SubqueryAlias(alias))
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
        let Some(mut input) = input else { return Ok(expr) };
        if !contains_row_measure(&expr)? {
            return Ok(expr);
        }
        // Window functions stand beside the rows' columns.
        while let LogicalPlan::Window(window) = input {
            input = &window.input;
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
        if let Some(version) = measured(input, argument)
            && !self.model.is_row_wise(version)
        {
            return Ok(Expr::Literal(ScalarValue::try_from(&version.data_type)?, None));
        }
        let mut atoms = Atoms::default();
        let formula = formula_of(self.model, &mut atoms, input, argument, None)?;
        let mut values = BTreeMap::new();
        for (index, atom) in atoms.list.iter().enumerate() {
            self.refuse_other_time(input, atom)?;
            refuse_undivided(input, atom)?;
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

    /// Rows have one time; a measure that looks a history up at another has no value among them.
    fn refuse_other_time(&self, input: &LogicalPlan, atom: &Atom) -> Result<(), PlanError> {
        let scans = scans_of(input);
        let own = scans.get(&atom.instance).map(|scan| row_time(self.model, scan.relation));
        let own = own.transpose()?.flatten();
        if !atom.reads_history() || own == atom.time {
            return Ok(());
        }
        let metric = &atom.metric;
        Err(PlanError::NotSupported {
            what: format!("metric \"{metric}\" by row, at another time than the rows',"),
            hint: Some(format!("Aggregate it, or ask metrics.{metric}.")),
        })
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

/// A value that is to be divided among lines would stand whole beside each of them.
fn refuse_undivided(input: &LogicalPlan, atom: &Atom) -> Result<(), PlanError> {
    let divides = matches!(atom.many_side, Some(ManySide::Allocate(_)));
    if !divides || !Fanout::of(input).repeats(atom.instance) {
        return Ok(());
    }
    let metric = &atom.metric;
    Err(PlanError::NotSupported {
        what: format!("metric \"{metric}\" by row, beside rows of a many-side,"),
        hint: Some(format!("Write MEASURE({metric}) and GROUP BY the columns beside it.")),
    })
}

/// The metric that a column is, seen from a plan.
fn measured<'p>(plan: &'p LogicalPlan, expr: &'p Expr) -> Option<&'p Arc<MetricVersion>> {
    let Expr::Column(column) = expr else { return None };
    match below(plan, column) {
        Below::Scan(_, scanned) => match &scanned.kind {
            ScanKind::Measure(version) => Some(version),
            _ => None,
        },
        Below::Expr(input, inner) => measured(input, inner),
        Below::Value => None,
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
            Below::Value if repeats_rows(plan)? => Err(PlanError::NotSupported {
                what: "a metric over rows that unnest, or a function in FROM, makes of each".to_owned(),
                hint: Some(
                    "Ask for the metric by a key in a subquery, and join the rows of the function to it."
                        .to_owned(),
                ),
            }),
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

fn repeats_rows(plan: &LogicalPlan) -> Result<bool, PlanError> {
    Ok(plan.exists(|node| Ok(matches!(node, LogicalPlan::Unnest(_))))?)
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

/// The call of an aggregate function of one argument.
pub(crate) fn aggregate(name: &str, value: Expr) -> Result<Expr, PlanError> {
    let udf = registry().aggregate.get(name);
    let udf = udf.ok_or_else(|| PlanError::Internal(format!("no aggregate {name}")))?;
    Ok(udf.call(vec![value]))
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
