//! The columns of a FROM clause, for select lists that name all of them.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, JoinConstraint, JoinOperator, ObjectName, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableFactor, TableWithJoins, visit_expressions_mut,
};

use super::super::definitions::SYSTEM_COLUMNS;
use super::super::labels::{folded, last_part};
use super::super::owner::schema_of;
use super::{Pass, ROW, expressions_of, name_of_item, quoted, text};
use crate::sql::ast::{arguments, call};

impl Pass<'_> {
    pub(super) fn expand_wildcards(&self, select: &mut Select) {
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
    pub(super) fn expand_rows(&self, select: &mut Select) {
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
                    && let Some([Expr::Identifier(name)]) =
                        expressions_of(&function.args).as_deref()
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

    pub(super) fn add_factor(&self, factor: &TableFactor, scope: &mut Scope) -> Option<()> {
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
        // A view may have a column of such a name; what has one of them has them all.
        let has_them = SYSTEM_COLUMNS.iter().all(|(name, _)| names.clone().any(|it| it == name));
        let shown = names.filter(|name| !has_them || !is_system_column(name));
        Some(shown.cloned().collect())
    }
}

fn is_system_column(name: &str) -> bool {
    SYSTEM_COLUMNS.iter().any(|(system, _)| *system == name)
}

/// The relations of a FROM clause with their columns.
#[derive(Default)]
pub(super) struct Scope {
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
        let common = common(&self.relations[..from], &self.relations[from..]);
        self.merged.extend(common);
    }

    /// The columns of both, as a natural join merges them.
    pub(super) fn common(&self, right: &Scope) -> Vec<String> {
        common(&self.relations, &right.relations)
    }

    /// A column by its name alone; None where no relation has it, or one without a name.
    pub(super) fn column(&self, name: &str) -> Option<Expr> {
        let mut having = self.relations.iter();
        let (relation, _) = having.find(|(_, columns)| columns.iter().any(|it| it == name))?;
        let parts = vec![quoted(relation), quoted(name)];
        (!relation.is_empty()).then_some(Expr::CompoundIdentifier(parts))
    }

    pub(super) fn extend(&mut self, right: Scope) {
        self.relations.extend(right.relations);
        self.merged.extend(right.merged);
    }
}

/// The names in both of some relations' columns, in the order of the first.
fn common(left: &[(String, Vec<String>)], right: &[(String, Vec<String>)]) -> Vec<String> {
    let right: HashSet<&String> = right.iter().flat_map(|(_, columns)| columns).collect();
    let mut seen = HashSet::new();
    let left = left.iter().flat_map(|(_, columns)| columns);
    left.filter(|column| right.contains(column) && seen.insert(*column)).cloned().collect()
}

pub(super) fn constraint_of(operator: &JoinOperator) -> Option<&JoinConstraint> {
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
pub(super) fn columns_of_query(query: &Query) -> Option<Vec<String>> {
    columns_of_body(&query.body)
}

pub(super) fn columns_of_body(body: &SetExpr) -> Option<Vec<String>> {
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

fn column_of(relation: &str, column: &str) -> SelectItem {
    SelectItem::UnnamedExpr(match relation {
        "" => Expr::Identifier(quoted(column)),
        relation => Expr::CompoundIdentifier(vec![quoted(relation), quoted(column)]),
    })
}
