//! The names that Postgres gives to output columns, for the catalogue's queries and all others.

use datafusion::sql::sqlparser::ast::{
    AccessExpr, ArrayElemTypeDef, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, ObjectName, Query, SelectItem, SetExpr, TrimWhereField,
};

/// The name of a column that nothing names.
const NAMELESS: &str = "?column?";

/// The name of an unaliased expression in a select list.
///
/// Source: PostgreSQL 15, `FigureColname` in `src/backend/parser/parse_target.c`.
pub(crate) fn label_of(expr: &Expr) -> String {
    figure(expr).map_or_else(|| NAMELESS.to_owned(), |(name, _)| name)
}

/// A name, and whether it is a strong one: a cast or CASE around it keeps a strong name.
type Label = Option<(String, bool)>;

fn strong(name: impl Into<String>) -> Label {
    Some((name.into(), true))
}

fn weak(name: impl Into<String>) -> Label {
    Some((name.into(), false))
}

fn figure(expr: &Expr) -> Label {
    match expr {
        Expr::Identifier(ident) => strong(folded(ident)),
        Expr::CompoundIdentifier(idents) => idents.last().and_then(|ident| strong(folded(ident))),
        Expr::CompoundFieldAccess { root, access_chain } => {
            let named = access_chain.iter().rev().find_map(|access| match access {
                AccessExpr::Dot(Expr::Identifier(ident)) => Some(folded(ident)),
                AccessExpr::Dot(_) | AccessExpr::Subscript(_) => None,
            });
            named.map_or_else(|| figure(root), strong)
        }
        Expr::Function(function) => match measure_in(function) {
            Some(measure) => figure(measure),
            None => strong(last_part(&function.name)),
        },
        Expr::Nested(inner) => figure(inner),
        Expr::Collate { expr, .. } => figure(expr),
        Expr::Cast { expr, data_type, .. } => match figure(expr) {
            Some((name, true)) => strong(name),
            _ => weak(type_label(data_type)),
        },
        Expr::TypedString(typed) => weak(type_label(&typed.data_type)),
        Expr::Interval(_) => weak("interval"),
        Expr::Case { else_result, .. } => match else_result.as_deref().map(figure) {
            Some(Some((name, true))) => strong(name),
            _ => weak("case"),
        },
        Expr::Array(_) => strong("array"),
        Expr::Exists { negated: false, .. } => strong("exists"),
        Expr::Subquery(query) => label_of_query(query),
        Expr::Extract { .. } => strong("extract"),
        Expr::Position { .. } => strong("position"),
        Expr::Substring { shorthand, .. } => {
            strong(if *shorthand { "substr" } else { "substring" })
        }
        Expr::Overlay { .. } => strong("overlay"),
        Expr::Trim { trim_where, .. } => strong(match trim_where {
            Some(TrimWhereField::Leading) => "ltrim",
            Some(TrimWhereField::Trailing) => "rtrim",
            Some(TrimWhereField::Both) | None => "btrim",
        }),
        Expr::Ceil { .. } => strong("ceil"),
        Expr::Floor { .. } => strong("floor"),
        Expr::AtTimeZone { .. } => strong("timezone"),
        Expr::Tuple(_) => strong("row"),
        _ => None,
    }
}

/// The argument of `MEASURE(revenue)`, which shows the measure's own name.
fn measure_in(function: &Function) -> Option<&Expr> {
    let is_measure = matches!(last_part(&function.name).as_str(), "measure" | "agg" | "aggregate");
    let FunctionArguments::List(list) = &function.args else { return None };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(measure))] if is_measure => Some(measure),
        _ => None,
    }
}

/// The name of a query's first column.
fn label_of_query(query: &Query) -> Label {
    let mut body = query.body.as_ref();
    loop {
        match body {
            SetExpr::Query(inner) => body = inner.body.as_ref(),
            SetExpr::SetOperation { left, .. } => body = left.as_ref(),
            SetExpr::Select(select) => {
                return match select.projection.first()? {
                    SelectItem::UnnamedExpr(expr) => figure(expr),
                    SelectItem::ExprWithAlias { alias, .. } => strong(folded(alias)),
                    _ => None,
                };
            }
            _ => return None,
        }
    }
}

/// An identifier as Postgres folds it.
pub(crate) fn folded(ident: &datafusion::sql::sqlparser::ast::Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

/// The last part of a dotted name, folded.
pub(super) fn last_part(name: &ObjectName) -> String {
    name.0.last().and_then(|part| part.as_ident()).map(folded).unwrap_or_default()
}

/// A type's name in `pg_type`, from SQL's word for it.
pub(super) fn type_label(data_type: &DataType) -> String {
    match data_type {
        DataType::Array(
            ArrayElemTypeDef::SquareBracket(item, _)
            | ArrayElemTypeDef::AngleBracket(item)
            | ArrayElemTypeDef::Parenthesis(item),
        ) => type_label(item),
        DataType::Custom(name, _) => last_part(name),
        DataType::Numeric(_) | DataType::Decimal(_) | DataType::Dec(_) => "numeric".to_owned(),
        other => super::planning::standard_type(other)
            .unwrap_or("text")
            .trim_start_matches('_')
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::{dialect::PostgreSqlDialect, parser::Parser};

    use super::*;

    fn label(text: &str) -> String {
        let mut parser =
            Parser::new(&PostgreSqlDialect {}).try_with_sql(text).expect("the text is lexed");
        label_of(&parser.parse_expr().expect("the text is an expression"))
    }

    #[test]
    fn labels_are_those_of_postgres() {
        // Each pair was read from PostgreSQL 15.18.
        let pairs = [
            ("1", "?column?"),
            ("1 + 1", "?column?"),
            ("'a'", "?column?"),
            ("true", "?column?"),
            ("1::numeric(5, 2)", "numeric"),
            ("'{1}'::int[]", "int4"),
            ("'{a}'::text[][]", "text"),
            ("x::timestamptz[]", "x"),
            ("count(*)", "count"),
            ("pg_catalog.version()", "version"),
            ("c.RelName", "relname"),
            ("x::int", "x"),
            ("1::int", "int4"),
            ("'pg_class'::regclass", "regclass"),
            ("'pg_class'::pg_catalog.regclass::oid", "oid"),
            ("count(*)::int", "count"),
            ("CASE WHEN a THEN b ELSE c END", "c"),
            ("CASE WHEN a THEN 1 ELSE 2 END", "case"),
            ("(SELECT max(a) FROM t)", "max"),
            ("EXISTS (SELECT 1)", "exists"),
            ("ARRAY[1]", "array"),
            ("ARRAY(SELECT 1)", "array"),
            ("(f(x)).n", "n"),
            ("keys[1]", "keys"),
            ("a IS NULL", "?column?"),
            ("coalesce(a, b)", "coalesce"),
            ("extract(year FROM a)", "extract"),
            ("current_user", "current_user"),
            ("interval '1 day'", "interval"),
            ("date '2026-01-01'", "date"),
            ("trim(both '\"' FROM a)", "btrim"),
        ];
        for (text, expected) in pairs {
            assert_eq!(label(text), expected, "{text}");
        }
    }
}
