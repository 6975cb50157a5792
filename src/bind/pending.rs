//! Measures between the names and the select that evaluates them: marked where they stand, and
//! settled once it is known whether the select groups.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName,
    ObjectNamePart, Value,
};

use super::error::BindError;
use super::markers;
use super::scope::quoted;
use super::walk::children_mut;
use crate::sql::ast;

/// Marks a measure until it is known how its select evaluates it.
pub(super) const PENDING: &str = "__pending_measure";
/// Marks one at a coarser level, whose keys are its further arguments.
const PENDING_AT: &str = "__pending_measure_at";

/// How a select evaluates the measures in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evaluation {
    /// Not at all: they stay calculations.
    Deferred,
    /// For each group.
    PerGroup,
    /// For each row of the entity.
    PerRow,
}

/// A call of a mark around an expression.
pub(crate) fn marked(name: &str, argument: Expr, filter: Option<Box<Expr>>) -> Expr {
    Expr::Function(Function { filter, ..ast::function(name, vec![argument]) })
}

/// A measure that its select will evaluate.
pub(crate) fn pending(measure: Expr) -> Expr {
    marked(PENDING, measure, None)
}

/// Whether an expression is a call of a function of this name, and no window.
pub(crate) fn is_call_of(expr: &Expr, name: &str) -> bool {
    let Expr::Function(Function { name: called, over: None, .. }) = expr else { return false };
    called.0.last().and_then(|part| part.as_ident()).is_some_and(|ident| ident.value == name)
}

/// The plain arguments of a call.
pub(crate) fn arguments(function: &Function) -> Vec<Expr> {
    let FunctionArguments::List(list) = &function.args else { return Vec::new() };
    let expr = |arg: &FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    };
    list.args.iter().filter_map(expr).collect()
}

/// A pending measure with the FILTER that a statement gives it.
///
/// # Errors
/// Around anything but one measure.
pub(super) fn filtered(
    expr: Expr,
    filter: Box<Expr>,
    position: Option<usize>,
) -> Result<Expr, BindError> {
    with_filter(expr, filter).ok_or_else(|| BindError::NotSupported {
        what: "FILTER around an expression of measures".to_owned(),
        hint: Some("Give each measure in it its own FILTER.".to_owned()),
        position,
    })
}

/// A pending measure with (one more) filter; None for anything else.
fn with_filter(expr: Expr, filter: Box<Expr>) -> Option<Expr> {
    let inner = match expr {
        Expr::Nested(inner) => *inner,
        other => other,
    };
    if !is_call_of(&inner, PENDING) {
        return None;
    }
    let Expr::Function(mut function) = inner else { return None };
    function.filter = Some(match function.filter.take() {
        None => filter,
        Some(known) => Box::new(Expr::BinaryOp {
            left: Box::new(Expr::Nested(known)),
            op: BinaryOperator::And,
            right: Box::new(Expr::Nested(filter)),
        }),
    });
    Some(Expr::Function(function))
}

/// `CASE WHEN condition THEN measure [ELSE 0] END`, as BI tools write a filtered measure.
pub(super) struct Conditional {
    condition: Expr,
    pub(super) measure: Expr,
    /// With ELSE 0: no row is 0, not NULL.
    pub(super) or_zero: bool,
}

impl Conditional {
    pub(super) fn into_filtered(self) -> Expr {
        let filtered = with_filter(self.measure.clone(), Box::new(self.condition));
        let filtered = filtered.unwrap_or(self.measure);
        match self.or_zero {
            false => filtered,
            true => ast::call(
                "coalesce",
                vec![filtered, Expr::value(Value::Number("0".to_owned(), false))],
            ),
        }
    }
}

pub(super) fn conditional(expr: &Expr) -> Option<Conditional> {
    let expr = match expr {
        Expr::Nested(inner) => inner,
        other => other,
    };
    let Expr::Case { operand: None, conditions, else_result, .. } = expr else { return None };
    let [when] = conditions.as_slice() else { return None };
    let or_zero = match else_result.as_deref() {
        None => false,
        Some(Expr::Value(value)) => match &value.value {
            Value::Null => false,
            Value::Number(digits, _) if digits.parse::<f64>() == Ok(0.0) => true,
            _ => return None,
        },
        Some(_) => return None,
    };
    let plain = !contains_pending(&when.condition) && is_call_of(&when.result, PENDING);
    plain.then(|| Conditional {
        condition: when.condition.clone(),
        measure: when.result.clone(),
        or_zero,
    })
}

/// Puts the measures in an expression at a level; those that have one keep it.
pub(super) fn at_level(expr: &mut Expr, keys: &[Expr]) {
    if is_call_of(expr, PENDING) {
        let Expr::Function(function) = expr else { return };
        function.name = ObjectName(vec![ObjectNamePart::Identifier(quoted(PENDING_AT))]);
        if let FunctionArguments::List(list) = &mut function.args {
            list.args.extend(keys.iter().cloned().map(ast::unnamed));
        }
        return;
    }
    for child in children_mut(expr).unwrap_or_default() {
        at_level(child, keys);
    }
}

/// Whether an expression is one measure and nothing else.
pub(super) fn is_pending(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_pending(inner),
        other => is_call_of(other, PENDING),
    }
}

pub(super) fn contains_pending(expr: &Expr) -> bool {
    let mut copy = expr.clone();
    contains_pending_mut(&mut copy)
}

fn contains_pending_mut(expr: &mut Expr) -> bool {
    is_call_of(expr, PENDING)
        || is_call_of(expr, PENDING_AT)
        || children_mut(expr).is_some_and(|children| children.into_iter().any(contains_pending_mut))
}

/// Turns pending measures into what the select does with them.
pub(crate) fn settle(expr: &mut Expr, evaluation: Evaluation) {
    if is_call_of(expr, PENDING_AT) {
        // Such a call makes its select an aggregation.
        let Expr::Function(function) = expr else { return };
        function.name = ObjectName(vec![ObjectNamePart::Identifier(quoted(markers::MEASURE_AT))]);
        return;
    }
    if is_call_of(expr, PENDING) {
        let Expr::Function(function) = expr else { return };
        let mark = match evaluation {
            Evaluation::PerGroup => markers::MEASURE,
            Evaluation::PerRow => markers::MEASURE_OF_ROW,
            Evaluation::Deferred => {
                if let Some(argument) = arguments(function).into_iter().next() {
                    *expr = argument;
                }
                return;
            }
        };
        function.name = ObjectName(vec![ObjectNamePart::Identifier(quoted(mark))]);
        return;
    }
    for child in children_mut(expr).unwrap_or_default() {
        settle(child, evaluation);
    }
}
