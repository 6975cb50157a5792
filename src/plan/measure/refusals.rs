//! Groups and filters that the measures of an aggregation don't have.

use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::utils::{grouping_set_to_exprlist, split_conjunction};
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::super::atoms::{Atom, Over};
use super::super::error::PlanError;
use super::super::journey;
use super::super::trace::{Part, followed, reads, scan_column};
use super::{Evaluation, collect_filters, truncation};
use crate::bind::ScanKind;
use crate::model::{Dimension, MetricVersion};

impl Evaluation<'_, '_, '_> {
    /// Refuses groups and filters that the measures don't have.
    pub(super) fn check(&self) -> Result<(), PlanError> {
        let keys = grouping_set_to_exprlist(&self.aggregate.group_expr)?;
        for (instance, version) in &self.asked {
            self.refuse_dimensions(*instance, version, &keys)?;
            self.refuse_grains(*instance, version, &keys)?;
            let mut filters = Vec::new();
            collect_filters(self.input, &mut filters);
            for journey in self.rewriter.model.journeys_in(version) {
                let (aggregate, atoms) = (self.aggregate, &self.atoms);
                journey::refuse_totals(aggregate, &filters, *instance, journey, atoms)?;
            }
        }
        for atom in &self.atoms {
            self.refuse_unknown_periods(atom)?;
            for part in self.fanout.many_sides(atom.instance) {
                self.refuse_many_side(atom, part, &keys)?;
            }
        }
        Ok(())
    }

    /// The windows of a metric over time end with periods that the filters tell while the statement is
    /// planned: not with those of a row around it, nor with what a subquery will say.
    fn refuse_unknown_periods(&self, atom: &Atom) -> Result<(), PlanError> {
        if atom.over == Over::Group {
            return Ok(());
        }
        let mut filters = Vec::new();
        collect_filters(self.input, &mut filters);
        for (plan, filter) in filters {
            for condition in split_conjunction(filter) {
                let what = if condition.contains_outer() {
                    "that depends on the row around it"
                } else if has_scalar_subquery(condition) && self.is_of_time(plan, condition, atom) {
                    "whose periods another subquery tells"
                } else {
                    continue;
                };
                return Err(PlanError::NotSupported {
                    what: format!("metric \"{}\", which is over time, in a query {what},", atom.metric),
                    hint: Some(
                        "Write the moment as a literal; or group the metric by what it is compared with in a subquery, and join that."
                            .to_owned(),
                    ),
                });
            }
        }
        Ok(())
    }

    fn is_of_time(&self, plan: &LogicalPlan, condition: &Expr, atom: &Atom) -> bool {
        reads(plan, condition, atom.instance).time
    }

    /// Grouping and filtering by dimensions that a version doesn't declare.
    fn refuse_dimensions(
        &self,
        instance: usize,
        version: &MetricVersion,
        keys: &[&Expr],
    ) -> Result<(), PlanError> {
        let Some(allowed) = &version.dimensions else { return Ok(()) };
        let mut used: Vec<(&LogicalPlan, &Expr)> =
            keys.iter().map(|key| (self.input, *key)).collect();
        collect_filters(self.input, &mut used);
        for (plan, expr) in used {
            for column in expr.column_refs() {
                let Some((number, _, scanned)) = scan_column(plan, column) else { continue };
                if number != instance || !matches!(scanned.kind, ScanKind::Dimension(_)) {
                    continue;
                }
                let entity = self.rewriter.entity(&version.entity)?;
                let name = entity.dimension_named(&scanned.name).map(Dimension::allowed_as);
                let is_key = name.as_ref().is_some_and(|name| entity.key.contains(name));
                let is_allowed =
                    allowed.iter().any(|it| *it == scanned.name || Some(it) == name.as_ref());
                if !is_key && !is_allowed {
                    return Err(PlanError::DimensionNotAllowed {
                        metric: version.metric.clone(),
                        version: version.version.to_string(),
                        dimension: scanned.name.clone(),
                        allowed: version
                            .time
                            .iter()
                            .map(|_| "metric_time".to_owned())
                            .chain(allowed.iter().cloned())
                            .collect(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Grouping by grains that a version's time doesn't declare.
    fn refuse_grains(
        &self,
        instance: usize,
        version: &MetricVersion,
        keys: &[&Expr],
    ) -> Result<(), PlanError> {
        let grains = version.time.as_ref().and_then(|time| time.grains.as_ref());
        let Some(allowed) = grains else { return Ok(()) };
        let project = &self.rewriter.model.project;
        for key in keys {
            let (plan, key) = followed(self.input, key);
            let (grain, column) = match (truncation(key), key) {
                (Some((grain, column)), _) => (Some(grain), column),
                (None, Expr::Column(column)) => (None, column),
                (None, _) => continue,
            };
            let Some((number, _, scanned)) = scan_column(plan, column) else { continue };
            let is_time = matches!(scanned.kind, ScanKind::MetricTime | ScanKind::MetricInstant);
            let named = grain.map(|grain| project.grain_name(grain));
            let grain = named.unwrap_or_else(|| scanned.name.clone());
            if number == instance && is_time && !allowed.contains(&grain) {
                return Err(PlanError::GrainNotAllowed {
                    metric: version.metric.clone(),
                    version: version.version.to_string(),
                    grain,
                    allowed: allowed.clone(),
                });
            }
        }
        Ok(())
    }

    fn refuse_many_side(&self, atom: &Atom, part: Part, keys: &[&Expr]) -> Result<(), PlanError> {
        let Part::Scan(other) = part else {
            return Ok(());
        };
        let relation = self.fanout.relations.get(&other).cloned().unwrap_or_default();
        if !self.fanout.meet_in_one_row(part, Part::Scan(atom.instance)) {
            return Err(PlanError::ChasmTrap { metric: atom.metric.clone(), relation });
        }
        let share = self.share_of(atom)?;
        for key in keys {
            if let Some(dimension) = self.column_of(key, other)
                && !self.shares_in(&share, other)
            {
                let metric = atom.metric.clone();
                return Err(PlanError::ManySide { metric, dimension, relation });
            }
        }
        let filters = atom.filter.as_ref().is_some_and(|it| self.column_of(it, other).is_some());
        if filters && !(share.is_allocated() && self.shares_in(&share, other)) {
            return Err(PlanError::FilterOnManySide { metric: atom.metric.clone() });
        }
        Ok(())
    }
}

fn has_scalar_subquery(expr: &Expr) -> bool {
    expr.exists(|node| Ok(matches!(node, Expr::ScalarSubquery(_)))).unwrap_or(false)
}
