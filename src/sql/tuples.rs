//! Comparisons of rows, `(a, b) > (c, d)`, as those of their columns.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectNamePart,
    UnaryOperator,
};

use super::ast::binary;

/// What a comparison of two rows says; None of operands that aren't rows written out, of as many
/// columns, or too long to be repeated.
pub(super) fn comparison(left: &Expr, op: &BinaryOperator, right: &Expr) -> Option<Expr> {
    let (left, right) = (columns(left)?, columns(right)?);
    let (left, right) = (left.as_slice(), right.as_slice());
    if left.len() != right.len() || left.is_empty() {
        return None;
    }
    match op {
        BinaryOperator::Eq => equal(left, right),
        BinaryOperator::NotEq => Some(not(equal(left, right)?)),
        BinaryOperator::Lt | BinaryOperator::LtEq => ordered(left, &BinaryOperator::Lt, op, right),
        BinaryOperator::Gt | BinaryOperator::GtEq => ordered(left, &BinaryOperator::Gt, op, right),
        _ => None,
    }
}

/// Longer lists of rows are left to the planner: written out they would be too deep.
const LIST_MAX: usize = 200;

/// `(a, b) IN ((1, 2), (3, 4))`.
pub(super) fn membership(row: &Expr, list: &[Expr], negated: bool) -> Option<Expr> {
    let is_short = |column: &Expr| super::spelling::is_short(column, list.len());
    if list.len() > LIST_MAX || !columns(row)?.iter().all(is_short) {
        return None;
    }
    let each = list.iter().map(|item| comparison(row, &BinaryOperator::Eq, item));
    let any = each.collect::<Option<Vec<_>>>()?;
    let any = any.into_iter().reduce(|one, other| binary(one, BinaryOperator::Or, other))?;
    let any = Expr::Nested(Box::new(any));
    Some(if negated { not(any) } else { any })
}

/// `(a, b) IS NULL`: every column is; `(a, b) IS NOT NULL`: none is.
pub(super) fn nulls(row: &Expr, test: fn(Box<Expr>) -> Expr) -> Option<Expr> {
    let each = columns(row)?.into_iter().map(|column| test(Box::new(column)));
    let all = each.reduce(|one, other| binary(one, BinaryOperator::And, other))?;
    Some(Expr::Nested(Box::new(all)))
}

/// The columns of a row that is written out, as `(a, b)` or `ROW(a, b)`.
pub(super) fn columns(row: &Expr) -> Option<Vec<Expr>> {
    match row {
        Expr::Tuple(columns) => Some(columns.clone()),
        Expr::Function(function) => {
            let [ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else {
                return None;
            };
            let FunctionArguments::List(list) = &function.args else { return None };
            let is_row = name.value.eq_ignore_ascii_case("row") && function.over.is_none();
            let columns = list.args.iter().map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(column)) => Some(column.clone()),
                _ => None,
            });
            columns.collect::<Option<Vec<_>>>().filter(|_| is_row)
        }
        _ => None,
    }
}

fn equal(left: &[Expr], right: &[Expr]) -> Option<Expr> {
    let pairs = left.iter().zip(right);
    let pairs = pairs.map(|(left, right)| binary(left.clone(), BinaryOperator::Eq, right.clone()));
    let all = pairs.reduce(|one, other| binary(one, BinaryOperator::And, other))?;
    Some(Expr::Nested(Box::new(all)))
}

/// The first columns that differ decide; the last ones by the operator itself.
fn ordered(
    left: &[Expr],
    strict: &BinaryOperator,
    op: &BinaryOperator,
    right: &[Expr],
) -> Option<Expr> {
    let mut pairs = left.iter().zip(right).rev();
    let (last, other) = pairs.next()?;
    let mut decided = binary(last.clone(), op.clone(), other.clone());
    for (left, right) in pairs {
        if !super::spelling::is_short(left, 2) || !super::spelling::is_short(right, 2) {
            return None;
        }
        let differ = binary(left.clone(), strict.clone(), right.clone());
        let alike = binary(left.clone(), BinaryOperator::Eq, right.clone());
        let alike = binary(alike, BinaryOperator::And, Expr::Nested(Box::new(decided)));
        decided = binary(differ, BinaryOperator::Or, Expr::Nested(Box::new(alike)));
    }
    Some(Expr::Nested(Box::new(decided)))
}

fn not(expr: Expr) -> Expr {
    let not = Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(expr) };
    Expr::Nested(Box::new(not))
}
