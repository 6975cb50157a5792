//! Which values are `uuid`, and what is written beside them.
//!
//! Inside canon a uuid is the text that Postgres prints for it. What makes it one are the dimensions
//! that it comes from: they tell which columns clients see as `uuid`, and where a quoted text or a
//! parameter is one too, whatever notation it is written in.

use std::collections::BTreeMap;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{
    AggregateFunction, Case, InList, Placeholder, ScalarFunction, WindowFunction,
};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{grouping_set_to_exprlist, merge_schema};
use datafusion::logical_expr::{
    Between, BinaryExpr, Cast, Distinct, Expr, JoinType, LogicalPlan, Operator,
};

use super::context::{RelationScan, ScanKind};
use crate::functions::FunctionError;
use crate::sql::types::PgType;
use crate::sql::value;

/// For each column of a bound plan, whether it is a `uuid`; empty where no relation of it has one.
pub fn uuid_columns(plan: &LogicalPlan) -> Vec<bool> {
    match reads_uuids(plan) {
        true => columns(plan),
        false => Vec::new(),
    }
}

/// The plan with the quoted texts beside uuids in the notation that uuids have here, and which
/// parameters stand beside some.
///
/// # Errors
/// 22P02 for a text that is no uuid.
pub(super) fn read(plan: LogicalPlan) -> Result<(LogicalPlan, BTreeMap<usize, PgType>)> {
    let mut params = BTreeMap::new();
    if !reads_uuids(&plan) {
        return Ok((plan, params));
    }
    let plan = plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        let inputs = node.inputs();
        let schema = merge_schema(&inputs);
        let flags = inputs.into_iter().flat_map(columns).collect();
        let rows = Rows { schema: &schema, uuids: flags };
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            let read = expr.transform_up(|expr| rows.read(expr, &mut params))?;
            Ok(read.update_data(|expr| name.restore(expr)))
        })
    })?;
    Ok((plan.data, params))
}

fn reads_uuids(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let visited = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(_) = node {
            found |= columns(node).contains(&true);
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    visited.is_ok() && found
}

fn columns(plan: &LogicalPlan) -> Vec<bool> {
    let none = || vec![false; plan.schema().fields().len()];
    match plan {
        LogicalPlan::TableScan(node) => match RelationScan::of(&node.source) {
            Some(scan) => {
                let names = plan.schema().fields().iter().map(|field| field.name());
                names.map(|name| is_uuid(scan, name)).collect()
            }
            None => none(),
        },
        LogicalPlan::Projection(projection) => Rows::of(&projection.input).values(&projection.expr),
        LogicalPlan::SubqueryAlias(alias) => columns(&alias.input),
        LogicalPlan::Filter(filter) => columns(&filter.input),
        LogicalPlan::Sort(sort) => columns(&sort.input),
        LogicalPlan::Limit(limit) => columns(&limit.input),
        LogicalPlan::Distinct(Distinct::All(input)) => columns(input),
        LogicalPlan::Aggregate(aggregate) => {
            let rows = Rows::of(&aggregate.input);
            let is_sets = matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]);
            let keys = grouping_set_to_exprlist(&aggregate.group_expr).unwrap_or_default();
            let mut found = rows.values(keys);
            // The number of the set.
            found.extend(is_sets.then_some(false));
            found.extend(rows.values(&aggregate.aggr_expr));
            found
        }
        LogicalPlan::Window(window) => {
            let rows = Rows::of(&window.input);
            let mut found = rows.uuids.clone();
            found.extend(rows.values(&window.window_expr));
            found
        }
        LogicalPlan::Join(join) if is_two_sided(join.join_type) => {
            [columns(&join.left), columns(&join.right)].concat()
        }
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::LeftSemi | JoinType::LeftAnti => columns(&join.left),
            JoinType::RightSemi | JoinType::RightAnti => columns(&join.right),
            _ => none(),
        },
        LogicalPlan::Union(union) => {
            let parts = union.inputs.iter().map(|input| columns(input));
            let both = |one: Vec<bool>, other| one.into_iter().zip(other).map(|(a, b)| a && b);
            parts.reduce(|one, other| both(one, other).collect()).unwrap_or_default()
        }
        _ => none(),
    }
}

fn is_two_sided(join_type: JoinType) -> bool {
    matches!(join_type, JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full)
}

fn is_uuid(scan: &RelationScan, name: &str) -> bool {
    let column = scan.columns.iter().find(|column| column.name == name);
    match column.map(|column| &column.kind) {
        Some(ScanKind::Dimension(index)) => scan.relation.entity.dimensions[*index].is_uuid,
        _ => false,
    }
}

/// What expressions are over.
struct Rows<'p> {
    schema: &'p DFSchema,
    uuids: Vec<bool>,
}

impl<'p> Rows<'p> {
    fn of(input: &'p LogicalPlan) -> Self {
        Self { schema: input.schema(), uuids: columns(input) }
    }

    fn values<'e>(&self, exprs: impl IntoIterator<Item = &'e Expr>) -> Vec<bool> {
        exprs.into_iter().map(|expr| self.value(expr)).collect()
    }

    /// Whether an expression over these rows is a uuid.
    fn value(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Column(name) => {
                let index = self.schema.maybe_index_of_column(name);
                index.and_then(|index| self.uuids.get(index)).is_some_and(|it| *it)
            }
            Expr::Alias(alias) => self.value(&alias.expr),
            Expr::Cast(Cast { field, .. }) => PgType::of(field) == PgType::Uuid,
            Expr::Case(case) => self.one_of(results(case)),
            Expr::ScalarFunction(ScalarFunction { func, args }) => match func.name() {
                "coalesce" | "greatest" | "least" => self.one_of(args),
                "nullif" => args.first().is_some_and(|arg| self.value(arg)),
                _ => false,
            },
            Expr::AggregateFunction(AggregateFunction { func, params }) => {
                is_of_rows(func.name()) && params.args.first().is_some_and(|arg| self.value(arg))
            }
            Expr::WindowFunction(function) => {
                let WindowFunction { fun, params } = function.as_ref();
                is_of_rows(fun.name()) && params.args.first().is_some_and(|arg| self.value(arg))
            }
            Expr::ScalarSubquery(query) => columns(&query.subquery).first() == Some(&true),
            _ => false,
        }
    }

    /// Whether there is a uuid among them, and nothing that isn't one.
    fn one_of<'e>(&self, exprs: impl IntoIterator<Item = &'e Expr>) -> bool {
        let mut typed = exprs.into_iter().filter(|expr| !is_untyped(expr)).peekable();
        typed.peek().is_some() && typed.all(|expr| self.value(expr))
    }

    /// One operator or call, with its operands read before.
    fn read(&self, expr: Expr, params: &mut BTreeMap<usize, PgType>) -> Result<Transformed<Expr>> {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(op) => {
                let (mut left, mut right) = (left, right);
                let sides = [self.value(&left), self.value(&right)];
                if sides[0] {
                    written(&mut right, params)?;
                } else if sides[1] {
                    written(&mut left, params)?;
                }
                Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right })))
            }
            Expr::Between(mut between) if self.value(&between.expr) => {
                let Between { low, high, .. } = &mut between;
                written(low, params)?;
                written(high, params)?;
                Ok(Transformed::yes(Expr::Between(between)))
            }
            Expr::InList(InList { expr, mut list, negated }) if self.value(&expr) => {
                list.iter_mut().try_for_each(|item| written(item, params))?;
                Ok(Transformed::yes(Expr::InList(InList { expr, list, negated })))
            }
            Expr::Case(mut case) if self.one_of(results(&case)) => {
                let results = case.when_then_expr.iter_mut().map(|(_, then)| then);
                results.chain(case.else_expr.as_mut()).try_for_each(|it| written(it, params))?;
                Ok(Transformed::yes(Expr::Case(case)))
            }
            Expr::ScalarFunction(mut call) => {
                match (call.func.name(), call.args.as_mut_slice()) {
                    ("coalesce" | "greatest" | "least" | "nullif", args) if self.one_of(&*args) => {
                        args.iter_mut().try_for_each(|arg| written(arg, params))?;
                    }
                    ("array_has", [array, item]) if self.value(item) => items(array, params)?,
                    _ => {}
                }
                Ok(Transformed::yes(Expr::ScalarFunction(call)))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

fn results(case: &Case) -> impl Iterator<Item = &Expr> {
    case.when_then_expr.iter().map(|(_, then)| then.as_ref()).chain(case.else_expr.as_deref())
}

/// Functions over rows that give one of the values.
fn is_of_rows(name: &str) -> bool {
    matches!(
        name,
        "min" | "max" | "mode" | "first_value" | "last_value" | "nth_value" | "lag" | "lead"
    )
}

/// Whether it has no type of its own.
fn is_untyped(expr: &Expr) -> bool {
    quoted(expr).is_some()
        || matches!(expr, Expr::Placeholder(_))
        || matches!(expr, Expr::Literal(value, _) if value.is_null())
}

fn is_comparison(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

fn quoted(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)), None) => Some(text),
        _ => None,
    }
}

/// What stands beside a uuid: a quoted text is one, and a parameter.
fn written(expr: &mut Expr, params: &mut BTreeMap<usize, PgType>) -> Result<()> {
    if let Some(text) = quoted(expr) {
        let read = value::uuid(text).ok_or_else(|| {
            let message = format!("invalid input syntax for type uuid: \"{text}\"");
            FunctionError::new("22P02", message)
        })?;
        *expr = Expr::Literal(ScalarValue::Utf8(Some(read.to_string())), None);
    } else if let Some(number) = number_of(expr) {
        params.insert(number, PgType::Uuid);
    }
    Ok(())
}

/// The array that a uuid is looked for in.
fn items(array: &mut Expr, params: &mut BTreeMap<usize, PgType>) -> Result<()> {
    match array {
        Expr::ScalarFunction(made) if made.func.name() == "make_array" => {
            made.args.iter_mut().try_for_each(|item| written(item, params))
        }
        Expr::Cast(cast) => items(&mut cast.expr, params),
        other => {
            if let Some(number) = number_of(other) {
                params.insert(number, PgType::Array(Box::new(PgType::Uuid)));
            }
            Ok(())
        }
    }
}

fn number_of(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Placeholder(Placeholder { id, .. }) => id.strip_prefix('$')?.parse().ok(),
        _ => None,
    }
}
