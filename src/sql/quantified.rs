//! Comparisons with the rows of a subquery: `x > ALL (SELECT …)` by the greatest and the least of them,
//! and `(a, b) IN (SELECT …)` as a question whether there is such a row.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr, Ident, Query, SelectItem, SetExpr, UnaryOperator, Value,
    helpers::attached_token::AttachedToken, visit_expressions,
};

use super::ast::{binary, call, select_from};
use super::spelling::is_short;
use super::tuples::columns;

/// `x op ANY (subquery)` and `x op ALL (subquery)`, NULL where a NULL among the rows leaves it open.
/// None of what isn't a subquery, of another operator, and of an `x` too long to be repeated.
pub(super) fn compared(left: &Expr, op: &BinaryOperator, right: &Expr, all: bool) -> Option<Expr> {
    use BinaryOperator::{And, Eq, Gt, GtEq, Lt, LtEq, NotEq, Or};
    let query = subquery(right)?;
    if !is_short(left, TIMES) || !may_be_repeated(query) {
        return None;
    }
    let with = |extreme| {
        let value = scalar(query, call(extreme, vec![column(0)]));
        binary(left.clone(), op.clone(), value)
    };
    let both = |op| Expr::Nested(Box::new(binary(with("min"), op, with("max"))));
    // What it is without NULLs.
    let plain = match (op, all) {
        (Gt | GtEq, true) | (Lt | LtEq, false) => with("max"),
        (Lt | LtEq, true) | (Gt | GtEq, false) => with("min"),
        (Eq, true) => both(And),
        (NotEq, false) => both(Or),
        _ => return None,
    };
    let count = |of| scalar(query, call("count", vec![of]));
    let is_empty = binary(count(number(1)), Eq, number(0));
    let has_nulls = binary(count(number(1)), Gt, count(column(0)));
    let decided = match all {
        true => Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr: Box::new(Expr::Nested(Box::new(plain.clone()))),
        },
        false => plain.clone(),
    };
    Some(case(
        vec![(is_empty, truth(all)), (decided, truth(!all)), (has_nulls, Expr::value(Value::Null))],
        plain,
    ))
}

/// `(a, b) IN (SELECT …)` and NOT IN: NULL where a NULL on either side leaves it open. None of one value.
pub(super) fn membership(row: &Expr, query: &Query, negated: bool) -> Option<Expr> {
    let (same, width) = same_row(row)?;
    if !may_be_repeated(query) {
        return None;
    }
    let is_open = Expr::IsNull(Box::new(Expr::Nested(Box::new(same.clone()))));
    Some(case(
        vec![
            (exists(query, width, same, false), truth(!negated)),
            (exists(query, width, is_open, false), Expr::value(Value::Null)),
        ],
        truth(negated),
    ))
}

/// The same as a condition that rows have to meet, which NULL and false say alike that they don't.
pub(super) fn filter(row: &Expr, query: &Query, negated: bool) -> Option<Expr> {
    let (same, width) = same_row(row)?;
    let partner = match negated {
        true => Expr::IsNotFalse(Box::new(Expr::Nested(Box::new(same)))),
        false => same,
    };
    Some(exists(query, width, partner, negated))
}

/// Whether a row of several values is that of a subquery, and how many values there are.
fn same_row(row: &Expr) -> Option<(Expr, usize)> {
    let values = columns(row).filter(|values| values.len() > 1)?;
    let pairs = values.iter().enumerate();
    let pairs = pairs.map(|(at, value)| binary(column(at), BinaryOperator::Eq, value.clone()));
    let same = pairs.reduce(|one, other| binary(one, BinaryOperator::And, other))?;
    Some((same, values.len()))
}

fn exists(query: &Query, width: usize, condition: Expr, negated: bool) -> Expr {
    let mut rows = from(query, width, number(1));
    if let SetExpr::Select(select) = rows.body.as_mut() {
        select.selection = Some(condition);
    }
    Expr::Exists { subquery: Box::new(rows), negated }
}

fn case(conditions: Vec<(Expr, Expr)>, otherwise: Expr) -> Expr {
    let when = |(condition, result)| CaseWhen { condition, result };
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: conditions.into_iter().map(when).collect(),
        else_result: Some(Box::new(otherwise)),
    }
}

fn truth(truth: bool) -> Expr {
    Expr::value(Value::Boolean(truth))
}

/// How often both sides are written at most.
const TIMES: usize = 6;

/// Whether a query is short, and repeats none itself: the statement would double with each.
fn may_be_repeated(query: &Query) -> bool {
    const BYTES_MAX: usize = 4_096;
    let repeats = visit_expressions(query, |expr| match expr {
        Expr::AnyOp { .. } | Expr::AllOp { .. } => ControlFlow::Break(()),
        Expr::InSubquery { expr, .. } if columns(expr).is_some() => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    repeats.is_continue() && query.to_string().len().saturating_mul(TIMES) <= BYTES_MAX
}

fn subquery(expr: &Expr) -> Option<&Query> {
    match expr {
        Expr::Nested(inner) => subquery(inner),
        Expr::Subquery(query) => Some(query),
        _ => None,
    }
}

/// `(SELECT value FROM (query) AS compared (q0))`.
fn scalar(query: &Query, value: Expr) -> Expr {
    Expr::Subquery(Box::new(from(query, 1, value)))
}

/// `SELECT value FROM (query) AS compared (q0, q1, …)`.
fn from(query: &Query, width: usize, value: Expr) -> Query {
    let items = vec![SelectItem::UnnamedExpr(value)];
    select_from(query.clone(), "compared", (0..width).map(name), items)
}

fn name(index: usize) -> Ident {
    Ident::with_quote('"', format!("q{index}"))
}

fn column(index: usize) -> Expr {
    Expr::CompoundIdentifier(vec![Ident::with_quote('"', "compared"), name(index)])
}

fn number(value: u8) -> Expr {
    Expr::value(Value::Number(value.to_string(), false))
}
