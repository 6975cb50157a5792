//! Pieces of syntax trees, for what is written out in a statement's place.

use std::sync::LazyLock;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, Ident, ObjectName, Query, SelectItem, SetExpr,
    TableAlias, TableAliasColumnDef, TableFactor, TableWithJoins,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

/// A query to fill in: its many parts that say nothing stay the parser's business.
pub(crate) static EMPTY_QUERY: LazyLock<Query> = LazyLock::new(|| {
    Parser::new(&PostgreSqlDialect {})
        .try_with_sql("SELECT NULL")
        .and_then(|mut parser| parser.parse_query())
        .map(|query| *query)
        .expect("a constant query parses")
});

/// A plain call of a function by its exact name.
pub(crate) fn call(name: &str, args: Vec<Expr>) -> Expr {
    Expr::Function(function(name, args))
}

/// The same, to be given a filter or a window.
pub(crate) fn function(name: &str, args: Vec<Expr>) -> Function {
    Function {
        name: ObjectName::from(vec![Ident::with_quote('"', name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: arguments(args),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    }
}

/// `expr::data_type`.
pub(crate) fn cast(expr: Expr, data_type: DataType) -> Expr {
    let (kind, expr) = (CastKind::DoubleColon, Box::new(expr));
    Expr::Cast { kind, expr, data_type, array: false, format: None }
}

/// `left op right`.
pub(crate) fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

/// `SELECT items FROM (query) AS name (columns)`.
pub(crate) fn select_from(
    query: Query,
    name: &str,
    columns: impl Iterator<Item = Ident>,
    items: Vec<SelectItem>,
) -> Query {
    let mut around = EMPTY_QUERY.clone();
    if let SetExpr::Select(select) = around.body.as_mut() {
        select.projection = items;
        let columns = columns.map(|name| TableAliasColumnDef { name, data_type: None });
        let alias = TableAlias {
            explicit: true,
            name: Ident::with_quote('"', name),
            columns: columns.collect(),
            at: None,
        };
        let relation = TableFactor::Derived {
            lateral: false,
            subquery: Box::new(query),
            alias: Some(alias),
            sample: None,
        };
        select.from = vec![TableWithJoins { relation, joins: Vec::new() }];
    }
    around
}

/// Arguments without names.
pub(crate) fn arguments(args: Vec<Expr>) -> FunctionArguments {
    FunctionArguments::List(FunctionArgumentList {
        duplicate_treatment: None,
        args: args.into_iter().map(unnamed).collect(),
        clauses: Vec::new(),
    })
}

/// An argument without a name.
pub(crate) fn unnamed(expr: Expr) -> FunctionArg {
    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
}
