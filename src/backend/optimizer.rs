//! Which of DataFusion's rules run in this process, and what stands for those that are wrong.

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion::optimizer::eliminate_duplicated_expr::EliminateDuplicatedExpr;
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::aggregate_statistics::AggregateStatistics;
use datafusion::physical_optimizer::ensure_requirements::EnsureRequirements;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_optimizer::output_requirements::OutputRequirements;
use datafusion::physical_optimizer::projection_pushdown::ProjectionPushdown;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::projection::ProjectionExec;

use crate::functions::Simplify;
use crate::plan::{PushFilters, SubqueriesAsValues};

/// Rules over logical plans: DataFusion's own, with [`SubqueriesAsValues`] and but for three.
/// [`Simplify`] and [`PushFilters`] stand for its own. `EliminateDuplicatedExpr` drops keys of ORDER BY
/// that others determine, and DataFusion 55.2 takes the groups of an aggregation for determined by
/// any of its keys that is unique in one of the tables joined below: groups by period and country
/// over periods that are distinct came in the order of the period only.
pub(super) fn logical() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    rules.retain(|rule| rule.name() != EliminateDuplicatedExpr::new().name());
    // Before the rule that knows of conditions only.
    let conditions = DecorrelatePredicateSubquery::new();
    let before = rules.iter().position(|rule| rule.name() == conditions.name());
    rules.insert(before.unwrap_or_default(), Arc::new(SubqueriesAsValues));
    let ours: [Arc<dyn OptimizerRule + Send + Sync>; 2] =
        [Arc::new(Simplify::default()), Arc::new(PushFilters::default())];
    for rule in &mut rules {
        if let Some(own) = ours.iter().find(|own| own.name() == rule.name()) {
            *rule = Arc::clone(own);
        }
    }
    rules
}

/// Rules over physical plans: DataFusion's own but for one. `AggregateStatistics` says that there is one distinct value of
/// a column that a filter makes constant, also where no row passes the filter (DataFusion 55.2).
///
/// And with the one that sees to orders and partitions once more after projections were moved: of a
/// key that a filter makes constant they may lose that it is, which `SanityCheckPlan` then refuses.
/// While the plan's own order is still written down, which is until `OutputRequirements` takes it off.
pub(super) fn physical() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = PhysicalOptimizer::new().rules;
    rules.retain(|rule| rule.name() != AggregateStatistics::new().name());
    let moves = ProjectionPushdown::new();
    for rule in rules.iter_mut().filter(|rule| rule.name() == moves.name()) {
        *rule = Arc::new(Projections(ProjectionPushdown::new()));
    }
    let ensures = EnsureRequirements::new();
    let first = rules.iter().position(|rule| rule.name() == ensures.name());
    rules.insert(first.unwrap_or_default(), Arc::new(MarksInPlace));
    let taken_off = OutputRequirements::new_remove_mode();
    let ends = rules.iter().rposition(|rule| rule.name() == taken_off.name());
    let again: [Arc<dyn PhysicalOptimizerRule + Send + Sync>; 2] =
        [Arc::new(MarksInPlace), Arc::new(ensures)];
    let ends = ends.unwrap_or_default();
    rules.splice(ends..ends, again);
    rules
}

/// Takes projections out of joins that mark the rows of their right side: where one leaves the mark in
/// its place, DataFusion 55.2 panics as it moves a sort below.
#[derive(Debug)]
struct MarksInPlace;

impl PhysicalOptimizerRule for MarksInPlace {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let Some(join) = node.downcast_ref::<HashJoinExec>() else {
                return Ok(Transformed::no(node));
            };
            let (JoinType::RightMark, Some(kept)) = (join.join_type(), &join.projection) else {
                return Ok(Transformed::no(node));
            };
            let whole = join.builder().with_projection_ref(None).build_exec()?;
            let columns = kept.iter().map(|at| {
                let name = whole.schema().field(*at).name().clone();
                let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(&name, *at));
                (column, name)
            });
            let columns: Vec<_> = columns.collect();
            Ok(Transformed::yes(Arc::new(ProjectionExec::try_new(columns, whole)?) as _))
        })
        .data()
    }

    fn name(&self) -> &str {
        "marks_in_place"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Moves projections towards the sources, where that can be done: DataFusion 55.2 fails over some
/// joins whose sides have columns of one name ("Input field name score does not match …"). A plan
/// means the same without.
#[derive(Debug)]
struct Projections(ProjectionPushdown);

impl PhysicalOptimizerRule for Projections {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.0.optimize(Arc::clone(&plan), config).or_else(|error| {
            tracing::debug!(%error, "projections stay where they are");
            Ok(plan)
        })
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}
