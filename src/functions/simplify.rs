//! DataFusion's simplification of expressions, without what it gets wrong.
//!
//! DataFusion 55.2 puts tests of one value for membership in several lists together, and where no
//! member is left it says false, or true of `NOT IN … OR NOT IN …`; of a NULL it has to say NULL:
//! `NOT (a IN (1) AND a IN (2))` keeps no row without an `a`. So each test after the first has its
//! value hidden while expressions are simplified; tests that are put together rightly stay together.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, ScalarValue, internal_datafusion_err};
use datafusion::logical_expr::expr::{InList, ScalarFunction};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::{split_binary_owned, split_conjunction};
use datafusion::logical_expr::{
    BinaryExpr, EmptyRelation, Expr, Filter, LogicalPlan, Operator, ScalarUDF, binary_expr,
};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::simplify_expressions::{ExprSimplifier, SimplifyExpressions};
use datafusion::optimizer::{OptimizerConfig, OptimizerContext, OptimizerRule};

use super::names::keeping_names;
use super::transparent::transparent;

/// A plan with its constants folded. Reads no clock: what depends on the time is replaced before.
///
/// # Errors
/// Those of constants that have no value.
pub fn simplify(plan: LogicalPlan) -> Result<LogicalPlan> {
    nothing_of_false(applied(&Simplify::default(), plan)?)
}

/// The plan with no rows where a condition is never true. DataFusion 55.2 moves a condition without
/// columns below an aggregation, which has a row of no rows.
fn nothing_of_false(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| match &node {
        LogicalPlan::Filter(filter) if is_never_true(filter)? => {
            let schema = Arc::clone(filter.input.schema());
            let nothing = EmptyRelation { produce_one_row: false, schema };
            Ok(Transformed::yes(LogicalPlan::EmptyRelation(nothing)))
        }
        _ => Ok(Transformed::no(node)),
    })?;
    Ok(plan.data)
}

/// One pass of one of DataFusion's rules over a plan and its subqueries. DataFusion's own
/// [`Optimizer`](datafusion::optimizer::Optimizer) asks before whether the plan can be run, which it
/// can't while subqueries that have to be joins aren't.
pub fn applied(rule: &dyn OptimizerRule, plan: LogicalPlan) -> Result<LogicalPlan> {
    let context = OptimizerContext::new();
    let rewrite = |node| rule.rewrite(node, &context);
    let rewritten = match rule.apply_order() {
        Some(ApplyOrder::TopDown) => plan.transform_down_with_subqueries(rewrite)?,
        Some(ApplyOrder::BottomUp) => plan.transform_up_with_subqueries(rewrite)?,
        None => rewrite(plan)?,
    };
    Ok(rewritten.data)
}

/// Whether a part of a condition is false or NULL, for what is known of the rows' columns.
fn is_never_true(filter: &Filter) -> Result<bool> {
    let constants = constants_of(&filter.input);
    let context = SimplifyContext::builder().with_schema(Arc::clone(filter.input.schema()));
    let simplifier = ExprSimplifier::new(context.build());
    for part in split_conjunction(&filter.predicate) {
        let replaced = part.clone().transform_up(|expr| {
            let known = |column| constants.iter().find(|(known, _)| known == column);
            Ok(match &expr {
                Expr::Column(column) if let Some((_, value)) = known(column) => {
                    Transformed::yes(Expr::Literal(value.clone(), None))
                }
                _ => Transformed::no(expr),
            })
        })?;
        let part = match replaced.transformed {
            true => simplifier.simplify(replaced.data)?,
            false => replaced.data,
        };
        if let Expr::Literal(ScalarValue::Boolean(Some(false) | None) | ScalarValue::Null, _) = part
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The columns of a plan that have one value in all its rows, as they are written.
fn constants_of(plan: &LogicalPlan) -> Vec<(Column, ScalarValue)> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let columns = projection.schema.columns().into_iter().zip(&projection.expr);
            let below = constants_of(&projection.input);
            let constant = |expr: &Expr| match expr.clone().unalias() {
                Expr::Literal(value, _) => Some(value),
                Expr::Column(column) => {
                    let known = below.iter().find(|(known, _)| *known == column);
                    known.map(|(_, value)| value.clone())
                }
                _ => None,
            };
            columns.filter_map(|(column, expr)| Some((column, constant(expr)?))).collect()
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let below = constants_of(&alias.input);
            let columns = alias.input.schema().columns().into_iter().zip(alias.schema.columns());
            let known = |column: &Column| below.iter().find(|(known, _)| known == column);
            columns.filter_map(|(inner, outer)| Some((outer, known(&inner)?.1.clone()))).collect()
        }
        LogicalPlan::Filter(filter) => constants_of(&filter.input),
        _ => Vec::new(),
    }
}

/// In the place of [`SimplifyExpressions`], under its name.
#[derive(Debug, Default)]
pub(crate) struct Simplify {
    rule: SimplifyExpressions,
}

impl OptimizerRule for Simplify {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let hidden = keeping_names(plan, |expr| {
            if !has_several_tests(&expr)? {
                return Ok(Transformed::no(expr));
            }
            let hidden = Hider::default().hidden(expr.clone())?;
            let changed = hidden != expr;
            Ok(Transformed::new_transformed(hidden, changed))
        })?;
        if !hidden.transformed {
            return self.rule.rewrite(hidden.data, config);
        }
        let simplified = self.rule.rewrite(hidden.data, config)?.data;
        // The rule may have put a node of its own above.
        simplified.transform_down(|node| node.map_expressions(revealed))
    }
}

static HIDDEN: LazyLock<ScalarUDF> = LazyLock::new(|| transparent("canon_another"));

fn revealed(expr: Expr) -> Result<Transformed<Expr>> {
    expr.transform_up(|expr| match expr {
        Expr::ScalarFunction(ScalarFunction { func, mut args })
            if func.name() == HIDDEN.name() && args.len() == 1 =>
        {
            Ok(Transformed::yes(args.remove(0)))
        }
        other => Ok(Transformed::no(other)),
    })
}

fn has_several_tests(expr: &Expr) -> Result<bool> {
    let mut tests = 0;
    expr.apply(|expr| {
        tests += usize::from(Test::of(expr).is_some());
        Ok(if tests > 1 { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(tests > 1)
}

/// A test whether a value is in a list, or is one literal, of which several make a list.
struct Test<'e> {
    value: &'e Expr,
    negated: bool,
}

impl<'e> Test<'e> {
    fn of(expr: &'e Expr) -> Option<Self> {
        match expr {
            Expr::InList(InList { expr, negated, .. }) => {
                Some(Self { value: expr, negated: *negated })
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                let value = match (left.as_ref(), right.as_ref()) {
                    (value @ Expr::Column(_), Expr::Literal(..))
                    | (Expr::Literal(..), value @ Expr::Column(_)) => value,
                    _ => return None,
                };
                Some(Self { value, negated: false })
            }
            _ => None,
        }
    }

    /// Whether several of them, put together by an operator, are one: of values in any of the lists,
    /// and of values in none of them.
    fn joins(&self, op: Operator) -> bool {
        self.negated == (op == Operator::And)
    }
}

/// Hides values of tests, but for the first test of each.
#[derive(Default)]
struct Hider {
    /// The tests of each value, as they are put together.
    seen: HashMap<Expr, Vec<Vec<Expr>>>,
}

impl Hider {
    fn hidden(&mut self, expr: Expr) -> Result<Expr> {
        match expr {
            Expr::BinaryExpr(BinaryExpr { op: op @ (Operator::And | Operator::Or), .. }) => {
                self.chain(split_binary_owned(expr, op), op)
            }
            Expr::InList(InList { expr: ref value, .. }) => {
                let number = self.number(value.as_ref().clone(), vec![expr.clone()]);
                behind(expr, number)
            }
            other => other.map_children(|child| Ok(Transformed::yes(self.hidden(child)?))).data(),
        }
    }

    /// What one operator puts together.
    fn chain(&mut self, operands: Vec<Expr>, op: Operator) -> Result<Expr> {
        let joined = |operand: &Expr| Test::of(operand).filter(|test| test.joins(op)).is_some();
        let mut together: HashMap<Expr, Vec<Expr>> = HashMap::new();
        for operand in operands.iter().filter(|operand| joined(operand)) {
            if let Some(test) = Test::of(operand) {
                together.entry(test.value.clone()).or_default().push(operand.clone());
            }
        }
        // One comparison alone is no list.
        together.retain(|_, tests| tests.len() > 1 || matches!(tests[..], [Expr::InList(_)]));
        let numbers = together.into_iter().map(|(value, tests)| {
            let number = self.number(value.clone(), tests);
            (value, number)
        });
        let numbers: HashMap<Expr, usize> = numbers.collect();
        let hidden = operands.into_iter().map(|operand| {
            if !joined(&operand) {
                return self.hidden(operand);
            }
            let number = Test::of(&operand).and_then(|test| numbers.get(test.value));
            behind(operand, number.copied().unwrap_or_default())
        });
        let hidden = hidden.collect::<Result<Vec<_>>>()?;
        let chain = hidden.into_iter().reduce(|left, right| binary_expr(left, op, right));
        chain.ok_or_else(|| internal_datafusion_err!("an empty chain"))
    }

    /// How many other tests of a value there were before.
    fn number(&mut self, value: Expr, tests: Vec<Expr>) -> usize {
        let seen = self.seen.entry(value).or_default();
        seen.iter().position(|known| *known == tests).unwrap_or_else(|| {
            seen.push(tests);
            seen.len() - 1
        })
    }
}

/// A test whose value is hidden so many times.
fn behind(test: Expr, times: usize) -> Result<Expr> {
    let value = Test::of(&test).map(|test| test.value.clone());
    let hide = |value: Expr| (0..times).fold(value, |value, _| HIDDEN.call(vec![value]));
    test.map_children(|child| {
        Ok(match Some(&child) == value.as_ref() {
            true => Transformed::yes(hide(child)),
            false => Transformed::no(child),
        })
    })
    .data()
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::common::{DFSchema, ScalarValue};
    use datafusion::logical_expr::{EmptyRelation, LogicalPlanBuilder, col, lit};

    use super::*;

    fn simplified(predicate: Expr) -> String {
        let schema = Schema::new(vec![
            Field::new("a", DataType::Int64, true),
            Field::new("b", DataType::Int64, true),
        ]);
        let schema = Arc::new(DFSchema::try_from(schema).unwrap());
        let rows = LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema });
        let plan = LogicalPlanBuilder::from(rows).project(vec![predicate.alias("p")]).unwrap();
        let plan = simplify(plan.build().unwrap()).unwrap();
        plan.expressions().remove(0).unalias().to_string()
    }

    fn any(column: &str, of: std::ops::Range<i64>) -> Expr {
        col(column).in_list(of.map(lit).collect(), false)
    }

    #[test]
    fn a_null_is_in_no_list_and_outside_of_none() {
        let both = any("a", 0..5).and(any("a", 5..10));
        assert!(simplified(both.clone()).contains("AND"), "{}", simplified(both));
        let neither = (!any("a", 0..5)).or(!any("a", 5..10));
        assert!(simplified(neither.clone()).contains("OR"), "{}", simplified(neither));
        let but = any("a", 0..5).and(!any("a", 0..9));
        assert!(simplified(but.clone()).contains("AND"), "{}", simplified(but));
        let compared = (col("a").eq(lit(1i64)).or(col("a").eq(lit(2i64))))
            .and(col("a").eq(lit(3i64)).or(col("a").eq(lit(4i64))));
        assert!(simplified(compared.clone()).contains("AND"), "{}", simplified(compared));
    }

    #[test]
    fn what_is_one_test_becomes_one() {
        let one = any("a", 0..5).or(any("a", 5..7)).or(col("a").eq(lit(9i64)));
        assert_eq!(simplified(one).matches("IN (").count(), 1);
        let none = (!any("a", 0..5)).and(!any("a", 5..7));
        assert_eq!(simplified(none).matches("NOT IN (").count(), 1);
        let common = any("a", 0..5).and(col("b").eq(lit(1i64)));
        let common = common.or(any("a", 0..5).and(col("b").eq(lit(2i64))));
        assert_eq!(simplified(common).matches("a IN (").count(), 1);
        let no_value = any("a", 0..5).and(lit(ScalarValue::Boolean(Some(true))));
        assert!(!simplified(no_value).contains("canon"));
    }
}
