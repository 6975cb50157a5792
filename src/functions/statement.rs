//! Statements to DataFusion's plans, whose casts count as parts of an expression.
//!
//! DataFusion 55.2 names aggregates, windows and keys by how they print, and prints of a cast what it
//! casts: `sum(x)` and `sum(x::float8)` have one name, which one plan can't have twice. Such a
//! statement is planned with a function around each cast, that has the type among its arguments; the
//! plan then loses the functions and keeps the names.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::FieldRef;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, SchemaError};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::planner::ContextProvider;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, Projection, ScalarUDF};
use datafusion::sql::planner::{PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast::{
    self, Query, Statement, Value, visit_expressions, visit_expressions_mut,
};

use super::names::keeping_names;
use super::transparent::first_of_two;
use super::{order, parser_options};
use crate::sql::ast::call;

const NAMED_CAST: &str = "canon_named_cast";

/// The function around a cast, for the registry.
pub(super) fn named_cast() -> Arc<ScalarUDF> {
    static NAMED: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(first_of_two(NAMED_CAST)));
    Arc::clone(&NAMED)
}

/// A query as DataFusion's planner sees it, whose parameters have these types, as far as they are
/// known.
///
/// # Errors
/// DataFusion's: unknown columns and functions, types that don't go together.
pub(crate) fn planned<C: ContextProvider>(
    context: &C,
    query: Query,
    types: &[Option<FieldRef>],
) -> Result<LogicalPlan> {
    let plan = |query: Query| {
        let planner = SqlToRel::new_with_options(context, parser_options());
        let mut types = PlannerContext::new().with_prepare_param_data_types(types.to_vec());
        let statement = Statement::Query(Box::new(query));
        planner.sql_statement_to_plan_with_context(statement, &mut types)
    };
    written(plan, query).and_then(order::settled)
}

fn written(plan: impl Fn(Query) -> Result<LogicalPlan>, query: Query) -> Result<LogicalPlan> {
    if !has_casts(&query) {
        return plan(query);
    }
    let planned = plan(query.clone());
    let clash = match &planned {
        Ok(plan) => has_keys_of_one_name(plan)?,
        Err(error) => is_of_names(error),
    };
    if !clash {
        return planned;
    }
    // Names may clash that have nothing to do with casts.
    plan(with_named_casts(query)).and_then(without_functions).or(planned)
}

/// Whether an aggregation has a column for a key and its cast for another: the planner lets them pass,
/// and the optimizer doesn't.
fn has_keys_of_one_name(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Aggregate(aggregate) = node {
            let keys = aggregate.group_expr.iter().map(|key| key.schema_name().to_string());
            found |= keys.collect::<HashSet<_>>().len() < aggregate.group_expr.len();
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn is_cast(expr: &ast::Expr) -> bool {
    matches!(expr, ast::Expr::Cast { .. } | ast::Expr::AtTimeZone { .. })
}

fn has_casts(query: &Query) -> bool {
    let found = visit_expressions(query, |expr| match is_cast(expr) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// Whether two expressions of a node have one name.
fn is_of_names(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::SchemaError(schema, _) => matches!(
            **schema,
            SchemaError::DuplicateUnqualifiedField { .. }
                | SchemaError::DuplicateQualifiedField { .. }
                | SchemaError::AmbiguousReference { .. }
        ),
        DataFusionError::Plan(message) => message.contains("require unique expression names"),
        _ => false,
    }
}

fn with_named_casts(mut query: Query) -> Query {
    let _ = visit_expressions_mut(&mut query, |expr| {
        let to = match &*expr {
            ast::Expr::Cast { data_type, .. } => data_type.to_string(),
            ast::Expr::AtTimeZone { time_zone, .. } => time_zone.to_string(),
            _ => return ControlFlow::<()>::Continue(()),
        };
        let cast = std::mem::replace(expr, ast::Expr::value(Value::Null));
        let to = ast::Expr::value(Value::SingleQuotedString(to));
        *expr = call(NAMED_CAST, vec![cast, to]);
        ControlFlow::Continue(())
    });
    query
}

fn without_functions(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| {
        let node = match node {
            LogicalPlan::Aggregate(aggregate) => keys_below(aggregate)?,
            other => other,
        };
        keeping_names(node, plain)
    })?;
    Ok(plan.data)
}

fn plain(expr: Expr) -> Result<Transformed<Expr>> {
    expr.transform_up(|expr| {
        Ok(match cast_of(&expr) {
            Some(cast) => Transformed::yes(cast.clone()),
            None => Transformed::no(expr),
        })
    })
}

fn cast_of(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::ScalarFunction(function) if function.func.name() == NAMED_CAST => {
            function.args.first()
        }
        _ => None,
    }
}

/// An aggregation whose keys are columns where they were casts: some of DataFusion's rules take the
/// names off keys.
fn keys_below(aggregate: Aggregate) -> Result<LogicalPlan> {
    let Aggregate { input, group_expr, aggr_expr, .. } = aggregate;
    let mut casts: Vec<Expr> = Vec::new();
    let keys = group_expr.into_iter().map(|key| {
        let key = key.transform_down(|expr| {
            let Some(cast) = cast_of(&expr) else { return Ok(Transformed::no(expr)) };
            let name = expr.schema_name().to_string();
            let named = plain(cast.clone())?.data.alias(&name);
            if !casts.contains(&named) {
                casts.push(named);
            }
            let column = Expr::Column(Column::new_unqualified(name));
            Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
        })?;
        Ok(key.data)
    });
    let keys = keys.collect::<Result<Vec<_>>>()?;
    let input = match casts.is_empty() {
        true => input,
        false => {
            let columns = input.schema().columns().into_iter().map(Expr::Column);
            let exprs = columns.chain(casts).collect();
            Arc::new(LogicalPlan::Projection(Projection::try_new(exprs, input)?))
        }
    };
    Ok(LogicalPlan::Aggregate(Aggregate::try_new(input, keys, aggr_expr)?))
}
