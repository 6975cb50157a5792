//! Casts, operators, calls and words of expressions_of, in the form that the planner knows.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, ObjectName, Spanned, UnaryOperator, Value, visit_expressions_mut,
};

use super::super::directory::type_named;
use super::super::error::CatalogError;
use super::super::labels::{folded, last_part, type_label};
use super::super::literals;
use super::super::naming::format_type;
use super::super::owner::schema_of;
use super::super::planning::Context;
use super::rows::array_function;
use super::{ARRAY_SUBQUERY, TOLD_APART, UNTYPED, expressions_of, null, quoted, text};
use crate::sql::ast::{arguments, call};
use crate::sql::row_functions::rows_of_items;

pub(super) fn rewrite_expr(expr: &mut Expr, context: &Context<'_>) -> Result<(), CatalogError> {
    if let Expr::Identifier(ident) = expr
        && is_bare_function(ident)
    {
        *expr = call(&ident.value.to_lowercase(), Vec::new());
    }
    crate::sql::spelling::rewrite(expr);
    match expr {
        Expr::Collate { expr: inner, .. } => *expr = take(inner),
        Expr::BinaryOp { op, .. } => {
            if let BinaryOperator::PGCustomBinaryOperator(parts) = op
                && let Some(known) = parts.last().and_then(|part| operator_of(part))
            {
                *op = known;
            }
        }
        // Of `NOT a = '{}'` the planner asks the type before the literal has one.
        Expr::UnaryOp { op: UnaryOperator::Not, expr: inner } => {
            let mut bare = inner.as_mut();
            while let Expr::Nested(nested) = bare {
                bare = nested.as_mut();
            }
            if let Expr::BinaryOp { op: op @ BinaryOperator::Eq, .. } = bare {
                *op = BinaryOperator::NotEq;
                *expr = Expr::Nested(Box::new(std::mem::replace(bare, null())));
            }
        }
        Expr::Value(_) => literals::typed(expr),
        Expr::Case { conditions, else_result, .. } => {
            let results = conditions.iter_mut().map(|condition| &mut condition.result);
            mark_array_literals(results.chain(else_result.as_deref_mut()).collect());
        }
        Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
            if let Some(escape) = escape_char.take() {
                **pattern = call("like_escape", vec![take(pattern), Expr::Value(escape)]);
            }
        }
        // Of BETWEEN SYMMETRIC, which has its turn after its operands.
        Expr::Function(function) if crate::sql::spelling::is_symmetric(function) => {}
        Expr::Function(function) => {
            literals::bare_in_window(function);
            if let Some(rewritten) = rewrite_function(function, context)? {
                *expr = rewritten;
            }
        }
        Expr::Substring {
            expr: subject,
            substring_from: Some(pattern),
            substring_for: None,
            ..
        } if is_text_literal(pattern) => {
            *expr = matched_part(take(subject), take(pattern));
        }
        Expr::AnyOp { left, compare_op, right, .. } => {
            *expr = quantified(left, compare_op, right, "canon_any");
        }
        Expr::AllOp { left, compare_op, right } => {
            *expr = quantified(left, compare_op, right, "canon_all");
        }
        Expr::CompoundFieldAccess { root, access_chain } => {
            *expr = accessed(take(root), std::mem::take(access_chain));
        }
        _ => {}
    }
    Ok(())
}

/// `'{}'` among results of which another may be an array: the planner asks for their common type
/// before the literal has one.
fn mark_array_literals(results: Vec<&mut Expr>) {
    if results.iter().all(|result| is_text_literal(result)) {
        return;
    }
    for result in results {
        let is_array = match result {
            Expr::Value(value) => {
                matches!(&value.value, Value::SingleQuotedString(text) if text.starts_with('{'))
            }
            _ => false,
        };
        if is_array {
            let literal = std::mem::replace(result, null());
            *result = call(UNTYPED, vec![literal]);
        }
    }
}

/// `(f(x)).n` and `keys[1]`, one step at a time.
fn accessed(root: Expr, accesses: Vec<AccessExpr>) -> Expr {
    let (mut expr, accesses) = match root {
        // `con.conkey[1]`: a column of a relation, unless there are parentheses.
        Expr::Identifier(first) => column_first(first, accesses),
        other => (other, accesses),
    };
    for access in accesses {
        while let Expr::Nested(inner) = expr {
            expr = *inner;
        }
        expr = match access {
            AccessExpr::Dot(Expr::Identifier(field)) => {
                call("get_field", vec![expr, text(&folded(&field))])
            }
            other => Expr::CompoundFieldAccess { root: Box::new(expr), access_chain: vec![other] },
        };
    }
    expr
}

/// The dotted name at the start of an access, and what is accessed in it.
fn column_first(first: Ident, accesses: Vec<AccessExpr>) -> (Expr, Vec<AccessExpr>) {
    let mut parts = vec![first];
    let mut rest = Vec::new();
    for access in accesses {
        match access {
            AccessExpr::Dot(Expr::Identifier(part)) if rest.is_empty() => parts.push(part),
            other => rest.push(other),
        }
    }
    let column = match parts.len() {
        1 => Expr::Identifier(parts.remove(0)),
        _ => Expr::CompoundIdentifier(parts),
    };
    (column, rest)
}

/// Words that are functions without parentheses, where the parser took them for columns.
fn is_bare_function(ident: &Ident) -> bool {
    const WORDS: [&str; 9] = [
        "current_user",
        "session_user",
        "user",
        "current_role",
        "current_catalog",
        "current_schema",
        "current_date",
        "localtime",
        "localtimestamp",
    ];
    ident.quote_style.is_none() && WORDS.contains(&ident.value.to_lowercase().as_str())
}

fn operator_of(text: &str) -> Option<BinaryOperator> {
    Some(match text {
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "~~*" => BinaryOperator::PGILikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "!~~*" => BinaryOperator::PGNotILikeMatch,
        "=" => BinaryOperator::Eq,
        "<>" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        "<=" => BinaryOperator::LtEq,
        ">" => BinaryOperator::Gt,
        ">=" => BinaryOperator::GtEq,
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        "*" => BinaryOperator::Multiply,
        "/" => BinaryOperator::Divide,
        "||" => BinaryOperator::StringConcat,
        _ => return None,
    })
}

/// `left op ANY (right)` or `ALL`, over an array or the rows of a subquery.
fn quantified(left: &mut Expr, op: &BinaryOperator, right: &mut Expr, function: &str) -> Expr {
    let left = std::mem::replace(left, null());
    let mut right = std::mem::replace(right, null());
    while let Expr::Nested(inner) = right {
        right = *inner;
    }
    match (right, op, function) {
        (Expr::Subquery(subquery), BinaryOperator::Eq, "canon_any") => {
            Expr::InSubquery { expr: Box::new(left), subquery, negated: false }
        }
        (Expr::Subquery(subquery), BinaryOperator::NotEq, "canon_all") => {
            Expr::InSubquery { expr: Box::new(left), subquery, negated: true }
        }
        (Expr::Subquery(subquery), op, function) => {
            let array = call(ARRAY_SUBQUERY, vec![Expr::Subquery(subquery)]);
            call(function, vec![text(&op.to_string()), left, array])
        }
        (array, op, function) => call(function, vec![text(&op.to_string()), left, array]),
    }
}

fn rewrite_function(
    function: &mut Function,
    context: &Context<'_>,
) -> Result<Option<Expr>, CatalogError> {
    let name = last_part(&function.name);
    if let FunctionArguments::Subquery(query) = &function.args
        && name == "array"
    {
        return Ok(Some(call(ARRAY_SUBQUERY, vec![Expr::Subquery(query.clone())])));
    }
    if let FunctionArguments::None = function.args {
        function.args = arguments(Vec::new());
    }
    if matches!(name.as_str(), "_pg_truetypid" | "_pg_truetypmod") {
        spread_rows(&mut function.args);
    }
    let schema = schema_of(&function.name);
    if !matches!(schema.as_deref(), None | Some("pg_catalog" | "information_schema")) {
        return Err(undefined_call(function));
    }
    if let Some(array) = array_function(&name) {
        let args = expressions_of(&function.args).unwrap_or_default();
        return Ok(Some(rows_of_items(&name, call(array, args))));
    }
    if name == "unnest"
        && let Some([array]) = expressions_of(&function.args).as_deref()
        && holds_subquery(array)
    {
        let start = function.name.span().start;
        let place = text(&format!("{}:{}", start.line, start.column));
        return Ok(Some(call("unnest", vec![call(TOLD_APART, vec![place, array.clone()])])));
    }
    if name == "substring"
        && let Some([subject, pattern]) = expressions_of(&function.args).as_deref()
        && is_text_literal(pattern)
    {
        return Ok(Some(matched_part(subject.clone(), pattern.clone())));
    }
    // A quoted literal has no type of its own, as NULL has none.
    if name == "pg_typeof"
        && expressions_of(&function.args).is_some_and(|args| args.iter().all(is_text_literal))
    {
        function.args = arguments(vec![null()]);
    }
    if name != ARRAY_SUBQUERY && name != "unnest" && !context.has_function(&name) {
        // A type's name is a cast.
        return match expressions_of(&function.args).as_deref() {
            Some([value]) if type_named(&name).is_some() => Ok(Some(Expr::Cast {
                kind: CastKind::Cast,
                expr: Box::new(value.clone()),
                data_type: DataType::Custom(ObjectName::from(vec![quoted(&name)]), Vec::new()),
                array: false,
                format: None,
            })),
            _ => Err(undefined_call(function)),
        };
    }
    function.name = ObjectName::from(vec![quoted(&name)]);
    Ok(None)
}

/// `_pg_truetypid(a.*, t.*)`: of the rows of `pg_attribute` and `pg_type` the columns it looks at.
fn spread_rows(args: &mut FunctionArguments) {
    const ATTRIBUTE: [&str; 2] = ["atttypid", "atttypmod"];
    const TYPE: [&str; 3] = ["typtype", "typbasetype", "typtypmod"];
    let FunctionArguments::List(list) = args else { return };
    let [
        FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(attribute)),
        FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(of_type)),
    ] = list.args.as_slice()
    else {
        return;
    };
    let column = |relation: &ObjectName, column: &str| {
        let parts = vec![quoted(&last_part(relation)), quoted(column)];
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::CompoundIdentifier(parts)))
    };
    let columns = ATTRIBUTE.map(|name| column(attribute, name)).into_iter();
    list.args = columns.chain(TYPE.map(|name| column(of_type, name))).collect();
}

fn undefined_call(function: &Function) -> CatalogError {
    undefined(&function.name, &expressions_of(&function.args).unwrap_or_default())
}

/// That there is no such function, with the types of its arguments as far as they are written.
pub(super) fn undefined(name: &ObjectName, args: &[Expr]) -> CatalogError {
    let types = args.iter().map(written_type).collect::<Vec<_>>().join(", ");
    let start = name.span().start;
    // Lines are not counted into characters here; on the first line the column is the position.
    let position = (start.line == 1).then(|| usize::try_from(start.column).ok()).flatten();
    CatalogError::UndefinedFunction { name: format!("{name}({types})"), position }
}

fn written_type(expr: &Expr) -> String {
    let named = |name: &str| type_named(name).map(|one| format_type(one.oid, -1));
    let known = match expr {
        Expr::Cast { data_type, .. } => named(&type_label(data_type)),
        Expr::Nested(inner) => Some(written_type(inner)),
        Expr::Value(value) => match value.value {
            Value::Boolean(_) => named("bool"),
            Value::Number(ref digits, _) if digits.parse::<i64>().is_ok() => named("int8"),
            Value::Number(..) => named("numeric"),
            _ => None,
        },
        _ => None,
    };
    known.unwrap_or_else(|| "unknown".to_owned())
}

fn is_text_literal(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => {
            matches!(value.value, Value::SingleQuotedString(_) | Value::EscapedStringLiteral(_))
        }
        _ => false,
    }
}

/// `substring(subject FROM pattern)`: what the first parentheses match, or all of the match.
fn matched_part(subject: Expr, pattern: Expr) -> Expr {
    let first = Expr::value(Value::Number("1".to_owned(), false));
    call("array_element", vec![call("regexp_match", vec![subject, pattern]), first])
}

fn holds_subquery(expr: &Expr) -> bool {
    let mut copy = expr.clone();
    let found = visit_expressions_mut(&mut copy, |expr| match expr {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

fn take(expr: &mut Box<Expr>) -> Expr {
    std::mem::replace(expr.as_mut(), null())
}
