//! Where ClickHouse's work ends: the largest sub-plans that it can run become one statement each,
//! the rest runs in DataFusion above them.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::{Optimizer, OptimizerContext, OptimizerRule};
use tracing::debug_span;

use super::facts::TableFactsSource;
use super::generate::generate;
use super::node::Pushed;
use super::partial::{Divided, filters};
use crate::backend::latest::latest_of;
use crate::backend::{BackendError, Prepared};
use crate::functions::Simplify;
use crate::plan::latest::Latest;
use crate::plan::source::SourceTable;
use crate::plan::spread::Spread;

/// Draws the border through an analysed plan.
pub(super) fn draw(
    plan: LogicalPlan,
    tables: &dyn TableFactsSource,
    state: &SessionState,
) -> Result<Prepared> {
    let schema = Arc::clone(plan.schema());
    // Folds constants and takes casts off columns, so that keys prune, and says which conditions of
    // a join are its keys; DataFusion's other rules are for an engine that doesn't plan by itself.
    let rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> =
        vec![Arc::new(Simplify::default()), Arc::new(ExtractEquijoinPredicate::new())];
    let simplify = || optimize(plan, rules, state);
    let plan = debug_span!("simplify_pushed").in_scope(simplify)?;
    if let Some(pushed) = push(&plan, tables)? {
        return prepared(pushed);
    }
    // Something stays here: below it, columns that nobody needs should not travel.
    let plan = optimize(plan, vec![Arc::new(OptimizeProjections::new())], state)?;
    let plan = divide(plan, tables)?;
    let plan = state.optimize(&plan)?;
    plan.schema().logically_equivalent_names_and_types(&schema).then_some(()).ok_or_else(|| {
        DataFusionError::Internal("the plan's columns changed while it was divided".to_owned())
    })?;
    prepared(plan)
}

fn optimize(
    plan: LogicalPlan,
    rules: Vec<Arc<dyn OptimizerRule + Send + Sync>>,
    state: &SessionState,
) -> Result<LogicalPlan> {
    let context = OptimizerContext::new_with_config_options(Arc::clone(state.config_options()))
        .with_max_passes(1);
    Optimizer::with_rules(rules).optimize(plan, &context, |_, _| {})
}

fn prepared(plan: LogicalPlan) -> Result<Prepared> {
    let mut pushed = Vec::new();
    plan.apply_with_subqueries(|plan| {
        if let LogicalPlan::Extension(extension) = plan
            && let Some(node) = Pushed::of(extension)
        {
            pushed.push(node.sql.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(Prepared { plan, pushed })
}

/// The plan as one statement, if it reads sources and ClickHouse can do all of it.
///
/// # Errors
/// A source that can't be read at all.
fn push(plan: &LogicalPlan, tables: &dyn TableFactsSource) -> Result<Option<LogicalPlan>> {
    let sources = sources(plan)?;
    if sources.is_empty() {
        return Ok(None); // constants are no reason to ask another server
    }
    match debug_span!("generate").in_scope(|| generate(plan, tables)) {
        Ok(sql) => Ok(Some(Pushed::plan(sql, Arc::clone(plan.schema()), sources))),
        Err(reason) if matches!(plan, LogicalPlan::TableScan(_)) => {
            let detail = format!("table \"{}\" can't be read: {reason}", sources.join("\", \""));
            Err(DataFusionError::External(Box::new(BackendError::Internal(detail))))
        }
        Err(reason) => {
            tracing::debug!(node = %plan.display(), %reason, "stays in datafusion");
            Ok(None)
        }
    }
}

/// Replaces the largest sub-plans that can be pushed, in sub-queries too.
fn divide(plan: LogicalPlan, tables: &dyn TableFactsSource) -> Result<LogicalPlan> {
    let divided = plan.transform_down_with_subqueries(|plan| {
        // The node around a sub-query's plan is part of the expression that holds it.
        if matches!(plan, LogicalPlan::Subquery(_)) {
            return Ok(Transformed::no(plan));
        }
        match push(&plan, tables)? {
            Some(pushed) => Ok(Transformed::new(pushed, true, TreeNodeRecursion::Jump)),
            None => in_parts(plan, tables),
        }
    });
    let divided = divided.data()?;
    let deduplicated = divided.transform_up_with_subqueries(|plan| {
        let latest = match &plan {
            LogicalPlan::Extension(extension) => Latest::of(extension),
            _ => None,
        };
        if let LogicalPlan::Extension(extension) = &plan
            && let Some(spread) = Spread::of(extension)
        {
            return Ok(Transformed::yes(spread.unnested()?));
        }
        match latest.map(latest_of).transpose()? {
            Some(latest) => Ok(Transformed::yes(latest)),
            None => Ok(Transformed::no(plan)),
        }
    });
    deduplicated.data()
}

/// A node of which ClickHouse can do a part.
fn in_parts(plan: LogicalPlan, tables: &dyn TableFactsSource) -> Result<Transformed<LogicalPlan>> {
    match &plan {
        LogicalPlan::Aggregate(aggregate) => {
            let Some(divided) = Divided::of(aggregate, tables)? else {
                return Ok(Transformed::no(plan));
            };
            let Some(pushed) = push(&divided.parts, tables)? else {
                return Ok(Transformed::no(plan));
            };
            let divided = divided.over(pushed, &aggregate.schema)?;
            Ok(Transformed::new(divided, true, TreeNodeRecursion::Jump))
        }
        LogicalPlan::Filter(filter) => {
            Ok(filters(filter, tables)?.map_or(Transformed::no(plan), Transformed::yes))
        }
        _ => Ok(Transformed::no(plan)),
    }
}

/// Names of the source tables that a plan reads, each once, in its order.
fn sources(plan: &LogicalPlan) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    plan.apply_with_subqueries(|plan| {
        if let LogicalPlan::TableScan(scan) = plan
            && let Some(source) = SourceTable::of(&scan.source)
            && !names.contains(&source.table)
        {
            names.push(source.table.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(names)
}
