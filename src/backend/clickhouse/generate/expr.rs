//! From an expression of a plan to one of ClickHouse's.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{InList, InSubquery, Like};
use datafusion::logical_expr::{
    Between, BinaryExpr, Case, Cast, EmptyRelation, Expr, ExprSchemable, LogicalPlan, Operator,
    Subquery,
};

use super::nodes::Generator;
use super::value::{Binding, Value};
use super::{NotPushable, Result, casts, compare, functions, literal, nan};
use crate::functions::is_comparison;

/// Expressions deeper than this aren't pushed: the walk is recursive.
const DEPTH_MAX: usize = 200;

const IS_NOT_NULL: &str = "IS NOT NULL";

/// What the columns of an expression refer to.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) schema: &'a DFSchema,
    pub(crate) columns: &'a [Option<Value>],
}

impl Scope<'_> {
    fn column(&self, column: &datafusion::common::Column) -> Result<Value> {
        let index = self
            .schema
            .maybe_index_of_column(column)
            .ok_or_else(|| NotPushable::new("a column that isn't in scope"))?;
        self.columns
            .get(index)
            .and_then(Clone::clone)
            .ok_or_else(|| NotPushable::new("internal: a column that nobody asked for"))
    }
}

impl Generator<'_> {
    /// One expression.
    pub(crate) fn expr(&mut self, expr: &Expr, scope: Scope) -> Result<Value> {
        self.expr_depth += 1;
        if self.expr_depth > DEPTH_MAX {
            return Err(NotPushable::new("an expression that is nested too deeply"));
        }
        let value = self.expr_inner(expr, scope);
        self.expr_depth -= 1;
        value
    }

    fn expr_inner(&mut self, expr: &Expr, scope: Scope) -> Result<Value> {
        match expr {
            Expr::Alias(alias) => self.expr(&alias.expr, scope),
            Expr::Column(column) => scope.column(column),
            Expr::Literal(value, _) => literal::literal(value),
            Expr::BinaryExpr(binary) => self.binary(binary, scope),
            Expr::Not(inner) => self.negation(inner, scope),
            Expr::IsNull(inner) => self.is_null(inner, "IS NULL", scope),
            Expr::IsNotNull(inner) => self.is_null(inner, IS_NOT_NULL, scope),
            Expr::IsUnknown(inner) => self.is_null(inner, "IS NULL", scope),
            Expr::IsNotUnknown(inner) => self.is_null(inner, IS_NOT_NULL, scope),
            Expr::IsTrue(inner) => self.truth_test(inner, "", "false", scope),
            Expr::IsFalse(inner) => self.truth_test(inner, "NOT ", "false", scope),
            Expr::IsNotTrue(inner) => self.truth_test(inner, "NOT ", "true", scope),
            Expr::IsNotFalse(inner) => self.truth_test(inner, "", "true", scope),
            Expr::Negative(inner) => {
                let value = self.expr(inner, scope)?;
                Ok(nan::computed(functions::negative(&value)?, [&value]))
            }
            Expr::Between(between) => self.between(between, scope),
            Expr::InList(list) => self.in_list(list, scope),
            Expr::Like(like) => self.like(like, scope),
            Expr::Case(case) => self.case(case, scope),
            Expr::Cast(Cast { expr: inner, field }) => {
                let value = self.expr(inner, scope)?;
                casts::cast(value, field.data_type())
            }
            Expr::ScalarFunction(call) => {
                let args: Result<Vec<Value>> = match call.func.name() {
                    "date_bin" => call.args.iter().map(|arg| self.operand(arg, scope)).collect(),
                    _ => call.args.iter().map(|arg| self.expr(arg, scope)).collect(),
                };
                let data_type = expr.get_type(scope.schema).map_err(untyped)?;
                functions::scalar(call.func.name(), args?, data_type)
            }
            Expr::ScalarSubquery(subquery) => self.scalar_subquery(subquery),
            Expr::InSubquery(subquery) => self.in_subquery(subquery, scope),
            Expr::Exists(exists) => self.exists(&exists.subquery, exists.negated),
            other => {
                Err(NotPushable::new(format!("an expression of kind {}", other.variant_name())))
            }
        }
    }

    fn binary(&mut self, binary: &BinaryExpr, scope: Scope) -> Result<Value> {
        match binary.op {
            Operator::And | Operator::Or => self.logical(binary, scope),
            op if is_comparison(op) => {
                self.comparison(&binary.left, binary.op, &binary.right, scope)
            }
            Operator::StringConcat => self.concatenation(binary, scope),
            op => {
                let left = self.operand(&binary.left, scope)?;
                let right = self.operand(&binary.right, scope)?;
                let sides = [left.clone(), right.clone()];
                Ok(nan::computed(functions::operator(op, left, right)?, &sides))
            }
        }
    }

    /// Intervals that no two moments differ by are constants, for whoever knows what to do with them.
    fn operand(&mut self, expr: &Expr, scope: Scope) -> Result<Value> {
        match expr {
            Expr::Literal(interval @ ScalarValue::IntervalMonthDayNano(Some(_)), _) => {
                Ok(literal::added(interval))
            }
            other => self.expr(other, scope),
        }
    }

    /// A chain of one operator is flat, however long: lists of conditions aren't nesting.
    fn logical(&mut self, binary: &BinaryExpr, scope: Scope) -> Result<Value> {
        let (keyword, outer, inner) = match binary.op {
            Operator::And => ("AND", Binding::And, Binding::Not),
            _ => ("OR", Binding::Or, Binding::Not),
        };
        let mut parts = Vec::new();
        for operand in operands(binary) {
            parts.push(self.expr(operand, scope)?);
        }
        let sql: Vec<String> = parts.iter().map(|part| part.at(inner)).collect();
        let sql = sql.join(&format!(" {keyword} "));
        Ok(Value::condition(sql, false, outer).computed_from(&parts))
    }

    fn concatenation(&mut self, binary: &BinaryExpr, scope: Scope) -> Result<Value> {
        let mut parts = Vec::new();
        for operand in operands(binary) {
            parts.push(self.expr(operand, scope)?);
        }
        functions::concatenation(&parts)
    }

    /// A comparison of two expressions; also used for CASE with an operand and for joins' keys.
    pub(crate) fn comparison(
        &mut self,
        left: &Expr,
        op: Operator,
        right: &Expr,
        scope: Scope,
    ) -> Result<Value> {
        if let Expr::Literal(constant, _) = right
            && let Some((op, constant)) = compare::clamped(op, constant)
        {
            let left = self.expr(left, scope)?;
            return compare::compare(op, left, literal::literal(&constant)?);
        }
        let left = self.expr(left, scope)?;
        let right = self.expr(right, scope)?;
        nan::compare(op, left, right)
    }

    fn negation(&mut self, inner: &Expr, scope: Scope) -> Result<Value> {
        let value = self.expr(inner, scope)?;
        let sql = format!("NOT {}", value.at(Binding::Comparison));
        Ok(Value::condition(sql, false, Binding::Not).computed_from([&value]))
    }

    fn is_null(&mut self, inner: &Expr, test: &str, scope: Scope) -> Result<Value> {
        let value = self.expr(inner, scope)?;
        // A clock shows something at every instant.
        let operand = match (&value.native, &value.wall) {
            (Some(native), _) => native.sql.clone(),
            (None, Some(wall)) => wall.instant.clone(),
            (None, None) => value.at(Binding::Sum),
        };
        let level = value.level;
        if value.wall.is_some() && !value.nullable {
            return literal::literal(&ScalarValue::Boolean(Some(test == IS_NOT_NULL)));
        }
        let sql = format!("{operand} {test}");
        Ok(Value { level, ..Value::condition(sql, false, Binding::Comparison) })
    }

    /// `prefix ifNull(…)`: the tests of truth that are never NULL.
    fn truth_test(
        &mut self,
        inner: &Expr,
        not: &str,
        when_null: &str,
        scope: Scope,
    ) -> Result<Value> {
        let value = self.expr(inner, scope)?;
        let (level, operand) = (value.level, value.at(Binding::Comparison));
        let sql = format!("ifNull({not}{operand}, {when_null})");
        Ok(Value { level, ..Value::condition(sql, false, Binding::Atom) })
    }

    fn between(&mut self, between: &Between, scope: Scope) -> Result<Value> {
        let Between { expr, negated, low, high } = between;
        let (above, below, keyword, binding) = if *negated {
            (Operator::Lt, Operator::Gt, "OR", Binding::Or)
        } else {
            (Operator::GtEq, Operator::LtEq, "AND", Binding::And)
        };
        let above = self.comparison(expr, above, low, scope)?;
        let below = self.comparison(expr, below, high, scope)?;
        let sql = format!("{} {keyword} {}", above.at(Binding::Not), below.at(Binding::Not));
        Ok(Value::condition(sql, false, binding).computed_from([&above, &below]))
    }

    /// ClickHouse ignores NULL in a list, where SQL says NULL unless another item is equal.
    fn in_list(&mut self, list: &InList, scope: Scope) -> Result<Value> {
        let value = self.expr(&list.expr, scope)?;
        let constants: Option<Vec<&ScalarValue>> = list
            .list
            .iter()
            .map(|item| match item {
                Expr::Literal(constant, _) => Some(constant),
                _ => None,
            })
            .collect();
        let Some(constants) = constants else {
            return self.in_expressions(value, list, scope);
        };
        let total = constants.len();
        let constants: Vec<ScalarValue> =
            constants.into_iter().filter(|constant| !constant.is_null()).cloned().collect();
        if constants.len() == total {
            return compare::in_constants(value, &constants, list.negated);
        }
        if constants.is_empty() {
            return literal::literal(&ScalarValue::Boolean(None));
        }
        let level = value.level;
        let found = compare::in_constants(value, &constants, false)?;
        let answer = if list.negated { "false" } else { "true" };
        let sql = format!("if({}, {answer}, NULL)", found.sql);
        Ok(Value { level, ..Value::condition(sql, true, Binding::Atom) })
    }

    fn in_expressions(&mut self, value: Value, list: &InList, scope: Scope) -> Result<Value> {
        let op = if list.negated { Operator::NotEq } else { Operator::Eq };
        let mut parts = Vec::new();
        for item in &list.list {
            let item = self.expr(item, scope)?;
            parts.push(nan::compare(op, value.clone(), item)?);
        }
        let (keyword, binding) =
            if list.negated { (" AND ", Binding::And) } else { (" OR ", Binding::Or) };
        let sql: Vec<String> = parts.iter().map(|part| part.at(Binding::Not)).collect();
        Ok(Value::condition(sql.join(keyword), false, binding).computed_from(&parts))
    }

    fn like(&mut self, like: &Like, scope: Scope) -> Result<Value> {
        let value = self.expr(&like.expr, scope)?;
        let pattern = self.expr(&like.pattern, scope)?;
        functions::like(&value, &pattern, like)
    }

    fn case(&mut self, case: &Case, scope: Scope) -> Result<Value> {
        if let Some(parts) = coalesced(case) {
            let parts: Result<Vec<Value>> =
                parts.into_iter().map(|part| self.expr(part, scope)).collect();
            let parts = parts?;
            if let Some(value) = first_present(&parts)? {
                return Ok(value);
            }
        }
        let mut sql = String::from("CASE");
        let mut parts = Vec::new();
        let mut results = Vec::new();
        for (when, then) in &case.when_then_expr {
            let condition = match &case.expr {
                Some(operand) => self.comparison(operand, Operator::Eq, when, scope)?,
                None => self.expr(when, scope)?,
            };
            let result = self.expr(then, scope)?;
            sql.push_str(&format!(" WHEN {} THEN {}", condition.sql, result.typed()?));
            parts.push(condition);
            results.push(result);
        }
        if let Some(otherwise) = &case.else_expr {
            let result = self.expr(otherwise, scope)?;
            sql.push_str(&format!(" ELSE {}", result.typed()?));
            results.push(result);
        }
        sql.push_str(" END");
        let no_else = case.else_expr.is_none();
        Ok(Value { nullable: true, ..case_value(sql, no_else, &results)?.computed_from(&parts) })
    }

    /// A sub-query that doesn't depend on the outer row: NULL where it gives no row, ClickHouse's
    /// error where it gives several.
    fn scalar_subquery(&mut self, subquery: &Subquery) -> Result<Value> {
        let plan = uncorrelated(subquery)?;
        // Of no table it is the expression: ClickHouse would see its name outside.
        if let LogicalPlan::Projection(projection) = plan
            && let LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: true, schema }) =
                projection.input.as_ref()
            && let [expr] = projection.expr.as_slice()
        {
            return self.expr(expr, Scope { schema, columns: &[] });
        }
        let data_type = plan.schema().field(0).data_type().clone();
        let sql = self.subquery_text(plan)?;
        // As a whole condition it would be known by its column's name, which columns outside have too.
        let sql = match data_type {
            DataType::Boolean => format!("identity({sql})"),
            _ => sql,
        };
        Ok(Value::new(sql, data_type, true))
    }

    /// ClickHouse's IN never gives NULL for NULLs among the sub-query's rows, so it stands only where
    /// NULL can't come up.
    fn in_subquery(&mut self, subquery: &InSubquery, scope: Scope) -> Result<Value> {
        let plan = uncorrelated(&subquery.subquery)?;
        let value = self.expr(&subquery.expr, scope)?;
        if plan.schema().field(0).is_nullable() || value.nullable {
            return Err(NotPushable::new("IN over a sub-query, where NULL is possible"));
        }
        self.membership(&value, plan, subquery.negated)
    }

    /// `value IN (SELECT …)` where NULL and false mean the same, as at the top of a WHERE.
    pub(crate) fn filtering_in_subquery(
        &mut self,
        subquery: &InSubquery,
        scope: Scope,
    ) -> Result<Value> {
        if subquery.negated {
            return self.in_subquery(subquery, scope);
        }
        let plan = uncorrelated(&subquery.subquery)?;
        let value = self.expr(&subquery.expr, scope)?;
        self.membership(&value, plan, false)
    }

    fn membership(&mut self, value: &Value, plan: &LogicalPlan, negated: bool) -> Result<Value> {
        if *plan.schema().field(0).data_type() != value.data_type {
            return Err(NotPushable::new("IN over a sub-query of another type"));
        }
        let keyword = if negated { "NOT IN" } else { "IN" };
        let sql = format!("{} {keyword} {}", value.at(Binding::Sum), self.subquery_text(plan)?);
        Ok(Value::condition(sql, false, Binding::Comparison).computed_from([value]))
    }

    fn exists(&mut self, subquery: &Subquery, negated: bool) -> Result<Value> {
        let plan = uncorrelated(subquery)?;
        let not = if negated { "NOT " } else { "" };
        let binding = if negated { Binding::Not } else { Binding::Atom };
        let sql = format!("{not}EXISTS {}", self.subquery_text(plan)?);
        Ok(Value::condition(sql, false, binding))
    }
}

/// The arguments of a coalesce, which the simplifier makes a CASE of.
fn coalesced(case: &Case) -> Option<Vec<&Expr>> {
    let last = case.else_expr.as_deref().filter(|_| case.expr.is_none())?;
    let mut parts = Vec::new();
    for (when, then) in &case.when_then_expr {
        match when.as_ref() {
            Expr::IsNotNull(tested) if tested == then => parts.push(then.as_ref()),
            _ => return None,
        }
    }
    parts.push(last);
    Some(parts)
}

/// The first of some values that isn't NULL; None where only CASE says it.
fn first_present(parts: &[Value]) -> Result<Option<Value>> {
    let Some((last, firsts)) = parts.split_last() else { return Ok(None) };
    let is_alike = |part: &Value| part.data_type == last.data_type && !part.is_null_literal();
    // All arguments are computed in all rows, where CASE stops at the first: so what may fail isn't one.
    let is_harmless = |part: &Value| part.plain || part.literal.is_some();
    if !parts.iter().all(is_alike) || !parts[1..].iter().all(is_harmless) {
        return Ok(None);
    }
    // A cast to a wider decimal is done once behind it, to what is no longer nullable.
    if let ([first], Some(constant)) = (firsts, &last.literal)
        && let Some(origin) = first.origin.as_deref()
        && let (DataType::Decimal128(_, from), DataType::Decimal128(_, to)) =
            (&origin.data_type, &first.data_type)
        && from == to
        && let Ok(constant) = constant.cast_to(&origin.data_type)
        && !constant.is_null()
    {
        let parts = [origin.clone(), literal::literal(&constant)?];
        let narrow = first_present(&parts)?;
        return narrow.map(|narrow| casts::cast(narrow, &last.data_type)).transpose();
    }
    let sql: Result<Vec<String>> = parts.iter().map(Value::typed).collect();
    let name = if firsts.len() == 1 { "ifNull" } else { "coalesce" };
    let sql = format!("{name}({})", sql?.join(", "));
    let value = case_value(sql, false, parts)?;
    Ok(Some(Value { nullable: last.nullable, ..value }))
}

fn case_value(sql: String, no_else: bool, results: &[Value]) -> Result<Value> {
    let data_type = results
        .iter()
        .map(|result| &result.data_type)
        .find(|data_type| **data_type != DataType::Null)
        .cloned()
        .unwrap_or(DataType::Null);
    if results.iter().any(|result| result.data_type != data_type && !result.is_null_literal()) {
        return Err(NotPushable::new("CASE over results of different types"));
    }
    let range = results
        .iter()
        .filter(|result| !result.is_null_literal())
        .map(|result| result.integer_range().ok())
        .try_fold(None, |range: Option<(i128, i128)>, next| {
            let (low, high) = next?;
            Some(Some(range.map_or((low, high), |(a, b)| (a.min(low), b.max(high)))))
        })
        .flatten();
    let value = Value { range, ..Value::new(sql, data_type, no_else) }.computed_from(results);
    Ok(nan::computed(value, results))
}

/// The operands of a chain of one operator, from the left.
fn operands(binary: &BinaryExpr) -> Vec<&Expr> {
    let mut found = Vec::new();
    let mut open: Vec<&Expr> = vec![&binary.right, &binary.left];
    while let Some(expr) = open.pop() {
        match expr {
            Expr::BinaryExpr(inner) if inner.op == binary.op => {
                open.push(&inner.right);
                open.push(&inner.left);
            }
            other => found.push(other),
        }
    }
    found
}

fn uncorrelated(subquery: &Subquery) -> Result<&LogicalPlan> {
    if subquery.outer_ref_columns.is_empty() {
        Ok(&subquery.subquery)
    } else {
        Err(NotPushable::new("a sub-query that depends on the outer row"))
    }
}

pub(crate) fn untyped(error: datafusion::error::DataFusionError) -> NotPushable {
    NotPushable::new(format!("internal: {error}"))
}

/// Conditions that are joined by AND.
pub(crate) fn conjuncts(predicate: &Expr) -> Vec<&Expr> {
    match predicate {
        Expr::BinaryExpr(binary) if binary.op == Operator::And => operands(binary),
        Expr::Alias(alias) => conjuncts(&alias.expr),
        other => vec![other],
    }
}
