//! The one type that each column of VALUES has in Postgres.

use datafusion::sql::sqlparser::ast::{
    DataType, ExactNumberInfo, Expr, SetExpr, UnaryOperator, Value, Values,
};

use super::ast::cast;

/// [`unify`] of all VALUES that a query is made of, but for those of its subqueries.
pub(crate) fn unify_in(body: &mut SetExpr) {
    match body {
        SetExpr::Values(values) => unify(values),
        SetExpr::SetOperation { left, right, .. } => {
            unify_in(left);
            unify_in(right);
        }
        _ => {}
    }
}

/// Casts constants to the type that other rows of their column are cast to. The planner finds a type
/// for both only where Arrow tells them apart, and `numeric`, `json` and others it tells by the cast.
pub(crate) fn unify(values: &mut Values) {
    let columns = values.rows.first().map_or(0, |row| row.content.len());
    for column in 0..columns {
        let cells: Vec<&Expr> =
            values.rows.iter().filter_map(|row| row.content.get(column)).collect();
        let Some(data_type) = common_type(&cells) else { continue };
        for row in &mut values.rows {
            if let Some(cell) = row.content.get_mut(column)
                && cast_of(cell) != Some(&data_type)
            {
                let null = Expr::Value(Value::Null.into());
                *cell = cast(std::mem::replace(cell, null), data_type.clone());
            }
        }
    }
}

/// The type of a column of casts and constants; None where the planner finds it by itself.
///
/// Source: PostgreSQL manual, "UNION, CASE, and Related Constructs".
fn common_type(cells: &[&Expr]) -> Option<DataType> {
    let first = cells.iter().find_map(|cell| cast_of(cell))?;
    if cells.iter().all(|cell| cast_of(cell) == Some(first)) {
        return None;
    }
    let types = || cells.iter().filter_map(|cell| cast_of(cell));
    let all = |is_meant: &dyn Fn(&Constant) -> bool| {
        cells.iter().all(|cell| {
            cast_of(cell).is_some() || constant_of(cell).is_some_and(|it| is_meant(&it))
        })
    };
    if types().any(is_numeric)
        && types().all(|it| is_numeric(it) || float_rank(it).is_some() || is_integer(it))
    {
        let float = types().filter(|it| float_rank(it).is_some()).max_by_key(|it| float_rank(it));
        let numeric = DataType::Numeric(ExactNumberInfo::None);
        return all(&|_| true).then(|| float.cloned().unwrap_or(numeric));
    }
    let takes_numbers = matches!(first, DataType::Custom(..) | DataType::Regclass);
    let is_meant = |it: &Constant| takes_numbers || *it != Constant::Number;
    (types().all(|it| it == first) && !is_integer(first) && all(&is_meant)).then(|| first.clone())
}

fn cast_of(expr: &Expr) -> Option<&DataType> {
    match expr {
        Expr::Nested(inner) => cast_of(inner),
        Expr::Cast { data_type, .. } => Some(data_type),
        _ => None,
    }
}

#[derive(PartialEq, Eq)]
enum Constant {
    Number,
    /// A text, NULL or parameter, which has the type of its surroundings.
    Untyped,
}

fn constant_of(expr: &Expr) -> Option<Constant> {
    match expr {
        Expr::Nested(inner) => constant_of(inner),
        Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => {
            constant_of(expr).filter(|it| *it == Constant::Number)
        }
        Expr::Value(value) => match &value.value {
            Value::Number(..) => Some(Constant::Number),
            Value::SingleQuotedString(_)
            | Value::EscapedStringLiteral(_)
            | Value::DollarQuotedString(_)
            | Value::Null
            | Value::Placeholder(_) => Some(Constant::Untyped),
            _ => None,
        },
        _ => None,
    }
}

fn is_numeric(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Numeric(_) | DataType::Decimal(_) | DataType::Dec(_))
}

fn is_integer(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::SmallInt(_)
            | DataType::Int2(_)
            | DataType::Int(_)
            | DataType::Integer(_)
            | DataType::Int4(_)
            | DataType::BigInt(_)
            | DataType::Int8(_)
    )
}

fn float_rank(data_type: &DataType) -> Option<u8> {
    match data_type {
        DataType::Real | DataType::Float4 => Some(1),
        DataType::DoublePrecision | DataType::Float8 | DataType::Float(_) => Some(2),
        _ => None,
    }
}
