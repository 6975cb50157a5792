//! Literals as Postgres types them: whole numbers are int4 where they fit.

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, ExactNumberInfo, Expr, Function, GroupByExpr, Interval, LimitClause,
    OrderByKind, Query, Select, Value, WindowFrameBound, WindowType,
};

/// A whole number that fits int4, as one: DataFusion's are int8. One that no int8 holds is a numeric.
pub(super) fn typed(expr: &mut Expr) {
    let Expr::Value(value) = &*expr else { return };
    let Value::Number(digits, false) = &value.value else { return };
    let is_whole = digits.bytes().all(|byte| byte.is_ascii_digit());
    let (number, data_type) = match () {
        () if digits.parse::<i32>().is_ok() => (expr.clone(), DataType::Int4(None)),
        () if is_whole && digits.parse::<i64>().is_err() => {
            let digits = Value::SingleQuotedString(digits.clone());
            (Expr::value(digits), DataType::Numeric(ExactNumberInfo::None))
        }
        () => return,
    };
    *expr = Expr::Cast {
        kind: CastKind::DoubleColon,
        expr: Box::new(number),
        data_type,
        array: false,
        format: None,
    };
}

/// Undoes [`typed`], where the syntax wants a bare number.
fn bare(expr: &mut Expr) {
    if let Expr::Cast {
        kind: CastKind::DoubleColon,
        expr: inner,
        data_type: DataType::Int4(None),
        ..
    } = expr
        && matches!(inner.as_ref(), Expr::Value(value) if matches!(value.value, Value::Number(..)))
    {
        *expr = std::mem::replace(inner.as_mut(), Expr::value(Value::Null));
    }
}

/// Positions in ORDER BY, and the numbers of LIMIT, OFFSET and FETCH.
pub(super) fn bare_in_query(query: &mut Query) {
    if let Some(order_by) = &mut query.order_by
        && let OrderByKind::Expressions(exprs) = &mut order_by.kind
    {
        exprs.iter_mut().for_each(|one| bare(&mut one.expr));
    }
    match &mut query.limit_clause {
        Some(LimitClause::LimitOffset { limit, offset, .. }) => {
            limit.iter_mut().for_each(bare);
            offset.iter_mut().for_each(|offset| bare(&mut offset.value));
        }
        Some(LimitClause::OffsetCommaLimit { offset, limit }) => {
            bare(offset);
            bare(limit);
        }
        None => {}
    }
    let quantity = query.fetch.as_mut().and_then(|fetch| fetch.quantity.as_mut());
    quantity.into_iter().for_each(bare);
}

/// Positions in GROUP BY.
pub(super) fn bare_in_select(select: &mut Select) {
    if let GroupByExpr::Expressions(exprs, _) = &mut select.group_by {
        exprs.iter_mut().for_each(bare);
    }
}

/// The bounds of window frames: numbers, and intervals as the planner reads them there.
pub(super) fn bare_in_window(function: &mut Function) {
    let Some(WindowType::WindowSpec(spec)) = &mut function.over else { return };
    let Some(frame) = &mut spec.window_frame else { return };
    for bound in [Some(&mut frame.start_bound), frame.end_bound.as_mut()].into_iter().flatten() {
        match bound {
            WindowFrameBound::Preceding(Some(rows)) | WindowFrameBound::Following(Some(rows)) => {
                bare(rows);
                bare_interval(rows);
            }
            WindowFrameBound::Preceding(None)
            | WindowFrameBound::Following(None)
            | WindowFrameBound::CurrentRow => {}
        }
    }
}

fn bare_interval(expr: &mut Expr) {
    if let Expr::Cast { expr: inner, data_type: DataType::Interval { .. }, .. } = expr
        && let Expr::Value(value) = inner.as_ref()
        && matches!(value.value, Value::SingleQuotedString(_))
    {
        let value = std::mem::replace(inner, Box::new(Expr::value(Value::Null)));
        *expr = Expr::Interval(Interval {
            value,
            leading_field: None,
            leading_precision: None,
            last_field: None,
            fractional_seconds_precision: None,
        });
    }
}
