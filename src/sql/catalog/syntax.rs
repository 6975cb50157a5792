//! What catalogue queries say that DataFusion's planner doesn't take, said otherwise: a pass over
//! the syntax tree, before names are resolved.
//!
//! Select lists leave it expanded and named as Postgres names their columns, each name once a list;
//! functions that give rows become `unnest` of functions that give arrays; casts, operators and
//! words without parentheses get the form that the planner knows.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, Join, JoinConstraint, JoinOperator, ObjectName, OrderBy, OrderByKind,
    Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, Spanned, TableAlias,
    TableAliasColumnDef, TableFactor, TableWithJoins, UnaryOperator, Value, VisitMut, VisitorMut,
    visit_expressions_mut,
};

use super::definitions::SYSTEM_COLUMNS;
use super::error::CatalogError;
use super::labels::{folded, label_of, last_part};
use super::literals;
use super::owner::schema_of;
use super::planning::Context;
use crate::sql::ast::{EMPTY_QUERY, arguments, call};

/// The marker around a subquery that stands for the array of its rows.
pub(super) const ARRAY_SUBQUERY: &str = "canon_array_subquery";

/// The marker around an argument with a subquery: one function's printed form is the other's, and the
/// planner would take them for one.
pub(super) const TOLD_APART: &str = "canon_told_apart";

/// The marker around a literal whose type only its neighbours tell: to the planner it is NULL, which
/// has any type.
pub(super) const UNTYPED: &str = "canon_untyped";

/// The struct of the columns whose names and values it is given.
pub(super) const ROW: &str = "canon_row";

/// Rewrites a query for the planner and gives the names of its columns, as far as they could be
/// told without planning.
///
/// # Errors
/// [`CatalogError::UndefinedFunction`], with its position.
pub(super) fn rewrite(
    query: &mut Query,
    context: &Context<'_>,
) -> Result<Option<Vec<String>>, CatalogError> {
    let mut pass = Pass { context, frames: Vec::new(), columns: None };
    match query.visit(&mut pass) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(pass.columns),
    }
}

struct Pass<'a> {
    context: &'a Context<'a>,
    frames: Vec<Frame>,
    /// The names of the whole query's columns, duplicates as they are.
    columns: Option<Vec<String>>,
}

/// A query whose parts are being visited.
#[derive(Default)]
struct Frame {
    /// Its CTEs in order, and their columns once they have been visited.
    ctes: Vec<(String, Vec<String>)>,
    visited: usize,
    /// The columns of its parts, in Postgres's names: the leftmost select's count.
    columns: Option<Vec<String>>,
}

impl VisitorMut for Pass<'_> {
    type Break = CatalogError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<CatalogError> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        let names = |alias: &TableAlias| {
            alias.columns.iter().map(|column| folded(&column.name)).collect::<Vec<_>>()
        };
        let ctes = ctes.map(|cte| (folded(&cte.alias.name), names(&cte.alias))).collect();
        self.frames.push(Frame { ctes, ..Frame::default() });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<CatalogError> {
        order_apart(query);
        literals::bare_in_query(query);
        let Some(frame) = self.frames.pop() else { return ControlFlow::Continue(()) };
        match self.frames.last_mut() {
            Some(parent) if parent.visited < parent.ctes.len() => {
                let columns = &mut parent.ctes[parent.visited].1;
                if columns.is_empty() {
                    *columns = columns_of_query(query).unwrap_or_default();
                }
                parent.visited += 1;
            }
            Some(parent) => {
                if let SetExpr::Query(_) = query.body.as_ref() {
                    parent.columns = parent.columns.take().or(frame.columns);
                }
            }
            None => self.columns = frame.columns,
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<CatalogError> {
        if select.into.is_some() {
            let what = "SELECT INTO".to_owned();
            return ControlFlow::Break(CatalogError::NotSupported { what });
        }
        // Names come from what the client wrote, so before anything is rewritten.
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) = item
                && !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
            {
                let alias = quoted(&label_of(expr));
                let expr = std::mem::replace(expr, null());
                *item = SelectItem::ExprWithAlias { expr, alias };
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<CatalogError> {
        join_laterals(&mut select.from);
        literals::bare_in_select(select);
        self.expand_wildcards(select);
        self.expand_rows(select);
        let names = unique_names(select);
        if let Some(frame) = self.frames.last_mut()
            && frame.columns.is_none()
        {
            frame.columns = names;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<CatalogError> {
        if let Some(replaced) = rows_of_function(factor, self.context) {
            *factor = replaced;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<CatalogError> {
        match rewrite_expr(expr, self.context) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl Pass<'_> {
    fn expand_wildcards(&self, select: &mut Select) {
        let is_wildcard = |item: &SelectItem| {
            matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))
        };
        if !select.projection.iter().any(is_wildcard) {
            return;
        }
        let Some(scope) = self.scope_of(&select.from) else { return };
        let mut expanded = Vec::with_capacity(select.projection.len());
        for item in std::mem::take(&mut select.projection) {
            match &item {
                SelectItem::Wildcard(_) => expanded.extend(scope.all()),
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(name),
                    _,
                ) => match scope.of_relation(&last_part(name)) {
                    Some(columns) => expanded.extend(columns),
                    None => expanded.push(item),
                },
                _ => expanded.push(item),
            }
        }
        select.projection = expanded;
    }

    /// `row_to_json(t)` of a relation `t`: the struct of its columns.
    fn expand_rows(&self, select: &mut Select) {
        const OF_ROWS: [&str; 6] =
            ["row_to_json", "to_json", "json_agg", "array_agg", "to_jsonb", "jsonb_agg"];
        let Some(scope) = self.scope_of(&select.from) else { return };
        let row_of = |name: &Ident| {
            let name = folded(name);
            let is_column = scope.relations.iter().any(|(_, columns)| columns.contains(&name));
            let relation = scope.relations.iter().find(|(relation, _)| *relation == name);
            let (relation, columns) = relation.filter(|_| !is_column)?;
            let fields = columns.iter().flat_map(|column| {
                let parts = vec![quoted(relation), quoted(column)];
                [text(column), Expr::CompoundIdentifier(parts)]
            });
            Some(call(ROW, fields.collect()))
        };
        for item in &mut select.projection {
            let _ = visit_expressions_mut(item, |expr| {
                if let Expr::Function(function) = expr
                    && OF_ROWS.contains(&last_part(&function.name).as_str())
                    && let Some([Expr::Identifier(name)]) = expressions(&function.args).as_deref()
                    && let Some(row) = row_of(name)
                {
                    function.args = arguments(vec![row]);
                }
                ControlFlow::<()>::Continue(())
            });
        }
    }

    fn scope_of(&self, from: &[TableWithJoins]) -> Option<Scope> {
        let mut scope = Scope::default();
        for tables in from {
            self.add_tables(tables, &mut scope)?;
        }
        Some(scope)
    }

    fn add_tables(&self, tables: &TableWithJoins, scope: &mut Scope) -> Option<()> {
        self.add_factor(&tables.relation, scope)?;
        for join in &tables.joins {
            let before = scope.relations.len();
            self.add_factor(&join.relation, scope)?;
            match constraint_of(&join.join_operator) {
                Some(JoinConstraint::Using(columns)) => {
                    scope.merged.extend(columns.iter().map(last_part));
                }
                Some(JoinConstraint::Natural) => scope.merge_common(before),
                _ => {}
            }
        }
        Some(())
    }

    fn add_factor(&self, factor: &TableFactor, scope: &mut Scope) -> Option<()> {
        let (name, mut columns, alias) = match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                (last_part(name), self.columns_of_relation(name)?, alias)
            }
            TableFactor::Derived { subquery, alias, .. } => {
                (String::new(), columns_of_query(subquery)?, alias)
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                return self.add_tables(table_with_joins, scope);
            }
            _ => return None,
        };
        let given = alias.iter().flat_map(|alias| &alias.columns);
        for (column, given) in columns.iter_mut().zip(given) {
            *column = folded(&given.name);
        }
        let name = alias.as_ref().map_or(name, |alias| folded(&alias.name));
        scope.relations.push((name, columns));
        Some(())
    }

    fn columns_of_relation(&self, name: &ObjectName) -> Option<Vec<String>> {
        let (schema, relation) = (schema_of(name), last_part(name));
        if schema.is_none() {
            let ctes = self.frames.iter().rev().flat_map(|frame| frame.ctes.iter().rev());
            let mut named = ctes.filter(|(cte, _)| *cte == relation);
            if let Some((_, columns)) = named.next() {
                return (!columns.is_empty()).then(|| columns.clone());
            }
        }
        let table = self.context.table(schema.as_deref(), &relation)?;
        let table_schema = table.schema();
        let names = table_schema.fields().iter().map(|field| field.name());
        let shown = names.filter(|name| !is_system_column(name));
        Some(shown.cloned().collect())
    }
}

fn is_system_column(name: &str) -> bool {
    SYSTEM_COLUMNS.iter().any(|(system, _)| *system == name)
}

/// `a, LATERAL b JOIN c ON …` as `a CROSS JOIN LATERAL b JOIN c ON …`, which is the same, and lets
/// DataFusion see that `b` reads `a`.
fn join_laterals(from: &mut Vec<TableWithJoins>) {
    let mut joined: Vec<TableWithJoins> = Vec::with_capacity(from.len());
    for tables in from.drain(..) {
        let lateral = matches!(tables.relation, TableFactor::Derived { lateral: true, .. });
        match joined.last_mut() {
            Some(before) if lateral && tables.joins.iter().all(keeps_left_rows) => {
                before.joins.push(Join {
                    relation: tables.relation,
                    global: false,
                    join_operator: JoinOperator::CrossJoin(JoinConstraint::None),
                });
                before.joins.extend(tables.joins);
            }
            _ => joined.push(tables),
        }
    }
    *from = joined;
}

/// Whether a join may be moved behind a cross join with what stands left of it.
fn keeps_left_rows(join: &Join) -> bool {
    matches!(
        join.join_operator,
        JoinOperator::Join(_)
            | JoinOperator::Inner(_)
            | JoinOperator::CrossJoin(_)
            | JoinOperator::Left(_)
            | JoinOperator::LeftOuter(_)
    )
}

/// `SELECT f(t.a) AS a … ORDER BY t.a`, where DataFusion can't tell the two columns called `a`: the
/// order's expressions become columns of their own in a query inside.
fn order_apart(query: &mut Query) {
    let Some(OrderBy { kind: OrderByKind::Expressions(items), .. }) = &mut query.order_by else {
        return;
    };
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let names: Option<Vec<Ident>> = select.projection.iter().map(alias_of).collect();
    let Some(names) = names else { return };
    let hides = |item: &SelectItem, order: &Expr| match (item, order) {
        (SelectItem::ExprWithAlias { expr, alias }, Expr::CompoundIdentifier(parts)) => {
            expr != order && parts.last().is_some_and(|last| folded(last) == folded(alias))
        }
        _ => false,
    };
    let clashes = items.iter().any(|it| select.projection.iter().any(|one| hides(one, &it.expr)));
    if !clashes || select.distinct.is_some() {
        return;
    }
    for (number, item) in items.iter_mut().enumerate() {
        if matches!(item.expr, Expr::Identifier(_) | Expr::Value(_) | Expr::Cast { .. }) {
            continue;
        }
        let alias = quoted(&format!("canon_order_{number}"));
        let expr = std::mem::replace(&mut item.expr, Expr::Identifier(alias.clone()));
        select.projection.push(SelectItem::ExprWithAlias { expr, alias });
    }
    let mut inner = EMPTY_QUERY.clone();
    inner.body = std::mem::replace(&mut query.body, EMPTY_QUERY.body.clone());
    let SetExpr::Select(outer) = query.body.as_mut() else { return };
    outer.projection =
        names.into_iter().map(|name| SelectItem::UnnamedExpr(Expr::Identifier(name))).collect();
    outer.from = vec![TableWithJoins {
        relation: TableFactor::Derived {
            lateral: false,
            subquery: Box::new(inner),
            alias: Some(table_alias("canon_ordered")),
            sample: None,
        },
        joins: Vec::new(),
    }];
}

/// The quoted name of a named or plain column of a select list.
fn alias_of(item: &SelectItem) -> Option<Ident> {
    name_of_item(item).map(|name| quoted(&name))
}

/// The relations of a FROM clause with their columns.
#[derive(Default)]
struct Scope {
    relations: Vec<(String, Vec<String>)>,
    /// Columns that joins have merged into one.
    merged: Vec<String>,
}

impl Scope {
    /// `*`: merged columns once, then the rest of each relation.
    fn all(&self) -> Vec<SelectItem> {
        let merged = self.merged.iter().collect::<HashSet<_>>();
        let mut seen = HashSet::new();
        let first = self.merged.iter().filter(|column| seen.insert(*column));
        let first = first.map(|column| SelectItem::UnnamedExpr(Expr::Identifier(quoted(column))));
        let rest = self.relations.iter().flat_map(|(relation, columns)| {
            let own = columns.iter().filter(|column| !merged.contains(column));
            own.map(move |column| column_of(relation, column))
        });
        first.chain(rest).collect()
    }

    /// `relation.*`
    fn of_relation(&self, relation: &str) -> Option<Vec<SelectItem>> {
        let (name, columns) = self.relations.iter().find(|(name, _)| name == relation)?;
        Some(columns.iter().map(|column| column_of(name, column)).collect())
    }

    fn merge_common(&mut self, from: usize) {
        let left: HashSet<_> =
            self.relations[..from].iter().flat_map(|(_, columns)| columns.clone()).collect();
        let right = self.relations[from..].iter().flat_map(|(_, columns)| columns.clone());
        let common: Vec<_> = right.filter(|column| left.contains(column)).collect();
        self.merged.extend(common);
    }
}

fn constraint_of(operator: &JoinOperator) -> Option<&JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::CrossJoin(constraint) => Some(constraint),
        _ => None,
    }
}

/// The columns of a query whose select lists have been expanded and named.
fn columns_of_query(query: &Query) -> Option<Vec<String>> {
    columns_of_body(&query.body)
}

fn columns_of_body(body: &SetExpr) -> Option<Vec<String>> {
    match body {
        SetExpr::Select(select) => select.projection.iter().map(name_of_item).collect(),
        SetExpr::Query(query) => columns_of_query(query),
        SetExpr::SetOperation { left, .. } => columns_of_body(left),
        SetExpr::Values(values) => {
            let row = values.rows.first()?;
            Some((1..=row.len()).map(|number| format!("column{number}")).collect())
        }
        _ => None,
    }
}

fn name_of_item(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
        SelectItem::UnnamedExpr(expr) => Some(label_of(expr)),
        _ => None,
    }
}

/// Names each column of a select list once; gives the names as they were.
fn unique_names(select: &mut Select) -> Option<Vec<String>> {
    let names: Option<Vec<String>> = select.projection.iter().map(name_of_item).collect();
    let names = names?;
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (item, name) in select.projection.iter_mut().zip(&names) {
        let times = seen.entry(name).or_default();
        *times += 1;
        if *times > 1 {
            let alias = quoted(&format!("{name}#{times}"));
            let expr = match item {
                SelectItem::ExprWithAlias { expr, .. } | SelectItem::UnnamedExpr(expr) => {
                    std::mem::replace(expr, null())
                }
                _ => continue,
            };
            *item = SelectItem::ExprWithAlias { expr, alias };
        }
    }
    Some(names)
}

fn rewrite_expr(expr: &mut Expr, context: &Context<'_>) -> Result<(), CatalogError> {
    crate::sql::spelling::rewrite(expr);
    match expr {
        Expr::Collate { expr: inner, .. } => *expr = take(inner),
        Expr::BinaryOp { op, left, right } => {
            if let BinaryOperator::PGCustomBinaryOperator(parts) = op
                && let Some(known) = parts.last().and_then(|part| operator_of(part))
            {
                *op = known;
            }
            if let (Expr::Tuple(left), Expr::Tuple(right)) = (left.as_mut(), right.as_mut())
                && left.len() == right.len()
                && let Some(rewritten) = compare_rows(op, left, right)
            {
                *expr = rewritten;
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
            if let Some(escape) = escape_char.take().and_then(|value| value.value.into_string())
                && escape != "\\"
            {
                let args = vec![take(pattern), text(&escape)];
                **pattern = call("canon_escaped_pattern", args);
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
        Expr::Identifier(ident) if is_bare_function(ident) => {
            *expr = call(&ident.value.to_lowercase(), Vec::new());
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
    const WORDS: [&str; 8] = [
        "current_user",
        "session_user",
        "user",
        "current_role",
        "current_catalog",
        "current_schema",
        "current_date",
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

/// `(a, b) = (c, d)`, column by column.
fn compare_rows(op: &BinaryOperator, left: &mut [Expr], right: &mut [Expr]) -> Option<Expr> {
    if !matches!(op, BinaryOperator::Eq | BinaryOperator::NotEq) {
        return None;
    }
    let pairs = left.iter_mut().zip(right).map(|(left, right)| Expr::BinaryOp {
        left: Box::new(std::mem::replace(left, null())),
        op: BinaryOperator::Eq,
        right: Box::new(std::mem::replace(right, null())),
    });
    let all = pairs.reduce(|left, right| Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::And,
        right: Box::new(right),
    })?;
    let all = Expr::Nested(Box::new(all));
    Some(match op {
        BinaryOperator::NotEq => Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(all) },
        _ => all,
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
        return Err(undefined(function));
    }
    if let Some(split) = split_by_pattern(&name, &function.args) {
        return Ok(Some(call("unnest", vec![split])));
    }
    if let Some(array) = array_function(&name) {
        let args = expressions(&function.args).unwrap_or_default();
        return Ok(Some(rows_of_items(&name, call(array, args))));
    }
    if name == "unnest"
        && let Some([array]) = expressions(&function.args).as_deref()
        && holds_subquery(array)
    {
        let start = function.name.span().start;
        let place = text(&format!("{}:{}", start.line, start.column));
        return Ok(Some(call("unnest", vec![call(TOLD_APART, vec![place, array.clone()])])));
    }
    if name == "substring"
        && let Some([subject, pattern]) = expressions(&function.args).as_deref()
        && is_text_literal(pattern)
    {
        return Ok(Some(matched_part(subject.clone(), pattern.clone())));
    }
    if name != ARRAY_SUBQUERY && name != "unnest" && !context.has_function(&name) {
        // A type's name is a cast.
        return match expressions(&function.args).as_deref() {
            Some([value]) if super::directory::type_named(&name).is_some() => {
                Ok(Some(Expr::Cast {
                    kind: CastKind::Cast,
                    expr: Box::new(value.clone()),
                    data_type: DataType::Custom(ObjectName::from(vec![quoted(&name)]), Vec::new()),
                    array: false,
                    format: None,
                }))
            }
            _ => Err(undefined(function)),
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

fn undefined(function: &Function) -> CatalogError {
    let count = expressions(&function.args).map_or(0, |args| args.len());
    let args = vec!["unknown"; count].join(", ");
    let start = function.name.span().start;
    // Lines are not counted into characters here; on the first line the column is the position.
    let position = (start.line == 1).then(|| usize::try_from(start.column).ok()).flatten();
    CatalogError::UndefinedFunction { name: format!("{}({args})", function.name), position }
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

/// `regexp_split_to_table`, as the array of the parts.
fn split_by_pattern(name: &str, args: &FunctionArguments) -> Option<Expr> {
    if name != "regexp_split_to_table" {
        return None;
    }
    Some(call("regexp_split_to_array", expressions(args)?))
}

/// The function that gives as an array what one of Postgres's gives as rows.
fn array_function(name: &str) -> Option<&'static str> {
    Some(match name {
        "generate_series" => "series",
        "regexp_matches" => "regexp_all_matches",
        "regexp_split_to_table" => "regexp_split_to_array",
        "string_to_table" => "string_to_array",
        "json_array_elements" => "json_items",
        "json_array_elements_text" => "json_items_text",
        "json_object_keys" => "json_keys",
        "jsonb_array_elements" => "jsonb_items",
        "jsonb_array_elements_text" => "jsonb_items_text",
        "jsonb_object_keys" => "jsonb_keys",
        "generate_subscripts" => "canon_generate_subscripts",
        "_pg_expandarray" => "canon_pg_expandarray",
        "pg_partition_ancestors" => "canon_pg_partition_ancestors",
        "aclexplode" => "canon_aclexplode",
        _ => return None,
    })
}

/// The items of the array that a function's rows are made of, in the type that the function gives.
fn rows_of_items(name: &str, array: Expr) -> Expr {
    let items = call("unnest", vec![array]);
    let data_type = match name {
        "json_array_elements" => DataType::JSON,
        "jsonb_array_elements" => DataType::JSONB,
        _ => return items,
    };
    let (kind, expr) = (CastKind::Cast, Box::new(items));
    Expr::Cast { kind, expr, data_type, array: false, format: None }
}

/// A function in FROM as a derived table or a relation.
fn rows_of_function(factor: &mut TableFactor, context: &Context<'_>) -> Option<TableFactor> {
    let (name, args, alias, ordinality) = match factor {
        TableFactor::Table { name, args: Some(args), alias, with_ordinality, .. } => {
            (last_part(name), arguments_of(&args.args)?, alias.take(), *with_ordinality)
        }
        TableFactor::Function { name, args, alias, with_ordinality, .. } => {
            (last_part(name), arguments_of(args)?, alias.take(), *with_ordinality)
        }
        TableFactor::UNNEST { array_exprs, alias, with_ordinality, .. } => {
            ("unnest".to_owned(), std::mem::take(array_exprs), alias.take(), *with_ordinality)
        }
        _ => return None,
    };
    if view_of_function(&name).is_some() || context.table(Some("function"), &name).is_some() {
        return Some(relation_factor(&name, alias));
    }
    let relation = alias.as_ref().map_or_else(|| name.clone(), |alias| folded(&alias.name));
    let given: Vec<_> = alias.iter().flat_map(|alias| &alias.columns).collect();
    let column_name = |at: usize| match given.get(at) {
        Some(column) => folded(&column.name),
        None if at == 0 && name.starts_with("json") && name.contains("_array_elements") => {
            "value".to_owned()
        }
        None if at == 0 => relation.clone(),
        None => "ordinality".to_owned(),
    };
    let array = match (name.as_str(), array_function(&name)) {
        ("regexp_split_to_table", _) => split_by_pattern(&name, &arguments(args))?,
        ("unnest", _) => args.into_iter().next()?,
        (_, Some(function)) => call(function, args),
        _ => {
            // Any other function gives one row.
            return Some(derived(vec![(call(&name, args), column_name(0))], &relation));
        }
    };
    let mut columns = Vec::with_capacity(2);
    if ordinality {
        let numbers = call("canon_ordinality", vec![array.clone()]);
        columns.push((call("unnest", vec![numbers]), column_name(1)));
    }
    columns.insert(0, (rows_of_items(&name, array), column_name(0)));
    Some(derived(columns, &relation))
}

/// The view that shows all that a function in FROM gives.
fn view_of_function(name: &str) -> Option<&'static str> {
    Some(match name {
        "pg_show_all_settings" => "pg_settings",
        "pg_available_extensions" => "pg_available_extensions",
        "pg_available_extension_versions" => "pg_available_extension_versions",
        "pg_timezone_names" => "pg_timezone_names",
        "pg_timezone_abbrevs" => "pg_timezone_abbrevs",
        "pg_prepared_statement" => "pg_prepared_statements",
        "pg_prepared_xact" => "pg_prepared_xacts",
        "pg_cursor" => "pg_cursors",
        _ => return None,
    })
}

fn relation_factor(name: &str, alias: Option<TableAlias>) -> TableFactor {
    let (schema, relation) = match view_of_function(name) {
        Some(view) => ("pg_catalog", view),
        None => ("function", name),
    };
    let alias = alias.unwrap_or_else(|| table_alias(name));
    TableFactor::Table {
        name: ObjectName::from(vec![quoted(schema), quoted(relation)]),
        alias: Some(alias),
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

/// `LATERAL (SELECT expr AS name, …) AS alias`
fn derived(columns: Vec<(Expr, String)>, alias: &str) -> TableFactor {
    let mut query = EMPTY_QUERY.clone();
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.projection = columns
            .into_iter()
            .map(|(expr, name)| SelectItem::ExprWithAlias { expr, alias: quoted(&name) })
            .collect();
    }
    TableFactor::Derived {
        lateral: true,
        subquery: Box::new(query),
        alias: Some(table_alias(alias)),
        sample: None,
    }
}

fn table_alias(name: &str) -> TableAlias {
    let columns: Vec<TableAliasColumnDef> = Vec::new();
    TableAlias { explicit: true, name: quoted(name), columns, at: None }
}

fn column_of(relation: &str, column: &str) -> SelectItem {
    SelectItem::UnnamedExpr(match relation {
        "" => Expr::Identifier(quoted(column)),
        relation => Expr::CompoundIdentifier(vec![quoted(relation), quoted(column)]),
    })
}

fn quoted(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

fn null() -> Expr {
    Expr::value(Value::Null)
}

fn text(text: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(text.to_owned()))
}

fn take(expr: &mut Box<Expr>) -> Expr {
    std::mem::replace(expr.as_mut(), null())
}

fn expressions(args: &FunctionArguments) -> Option<Vec<Expr>> {
    match args {
        FunctionArguments::List(list) => arguments_of(&list.args),
        FunctionArguments::None | FunctionArguments::Subquery(_) => None,
    }
}

fn arguments_of(args: &[FunctionArg]) -> Option<Vec<Expr>> {
    let expr = |arg: &FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
        | FunctionArg::Named { arg: FunctionArgExpr::Expr(expr), .. }
        | FunctionArg::ExprNamed { arg: FunctionArgExpr::Expr(expr), .. } => Some(expr.clone()),
        _ => None,
    };
    args.iter().map(expr).collect()
}
