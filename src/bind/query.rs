//! Queries: WITH, set operations, ORDER BY and LIMIT around selects.

use datafusion::sql::sqlparser::ast::{
    Expr, LimitClause, OrderBy, OrderByKind, Query, SetExpr, Value, Values, With,
};

use super::binder::{Binder, Clause, Cte};
use super::error::BindError;
use super::preview::{Wanted, asks_for_columns};
use super::scope::{Kind, OutputColumn, Scope, folded, quoted};
use crate::sql::multisets;
use crate::sql::spelling::{TIES_HINT, fetch_as_limit};
use crate::sql::values::unify;

impl Binder<'_> {
    /// Binds a query in place; its output columns are called `c0`, `c1`, … inside. With `forced` its
    /// measures become values; else they may stay calculations for the query around it.
    pub(crate) fn bind_query(
        &mut self,
        query: &mut Query,
        parent: Option<&Scope<'_>>,
        forced: bool,
    ) -> Result<Vec<OutputColumn>, BindError> {
        self.refuse_clauses(query)?;
        let visible = self.ctes.len();
        if let Some(with) = query.with.take() {
            self.declare(with)?;
        }
        let limited =
            query.limit_clause.is_some() || query.fetch.is_some() || asks_for_columns(&query.body);
        let wanted = match (forced, limited) {
            (_, true) if query.order_by.is_none() => Wanted::FirstRows,
            (false, false) => Wanted::Calculations,
            _ => Wanted::Values,
        };
        let columns = self.bind_body(query, parent, wanted);
        self.ctes.truncate(visible);
        let mut columns = columns?;
        if query.limit_clause.is_none() {
            columns.iter_mut().for_each(OutputColumn::settle);
        }
        Ok(columns)
    }

    fn bind_body(
        &mut self,
        query: &mut Query,
        parent: Option<&Scope<'_>>,
        wanted: Wanted,
    ) -> Result<Vec<OutputColumn>, BindError> {
        self.bind_limit(query)?;
        if let SetExpr::Table(table) = query.body.as_ref() {
            *query.body = table_as_select(table);
        }
        if let SetExpr::Select(select) = query.body.as_mut() {
            return self.bind_select(select, query.order_by.as_mut(), parent, wanted);
        }
        let columns = self.bind_set(&mut query.body, parent, wanted.forces())?;
        if let Some(order_by) = &mut query.order_by {
            self.order_by_output(order_by, &columns)?;
        }
        Ok(columns)
    }

    fn bind_set(
        &mut self,
        body: &mut SetExpr,
        parent: Option<&Scope<'_>>,
        forced: bool,
    ) -> Result<Vec<OutputColumn>, BindError> {
        match body {
            SetExpr::Select(select) => {
                let wanted = if forced { Wanted::Values } else { Wanted::Calculations };
                self.bind_select(select, None, parent, wanted)
            }
            SetExpr::Query(query) => self.bind_query(query, parent, forced),
            SetExpr::Table(table) => {
                *body = table_as_select(table);
                self.bind_set(body, parent, forced)
            }
            SetExpr::SetOperation { left, op, right, .. } => {
                let columns = self.bind_set(left, parent, true)?;
                let others = self.bind_set(right, parent, true)?;
                if columns.len() != others.len() {
                    return Err(BindError::SetOperationWidth { what: op.to_string() });
                }
                let names: Vec<String> = (0..columns.len()).map(|at| format!("d{at}")).collect();
                multisets::numbered(body, &names);
                Ok(values_of(columns))
            }
            SetExpr::Values(values) => self.bind_values(values, parent),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                let what = "writing in a query".to_owned();
                Err(BindError::NotSupported { what, hint: None, position: None })
            }
        }
    }

    fn bind_values(
        &mut self,
        values: &mut Values,
        parent: Option<&Scope<'_>>,
    ) -> Result<Vec<OutputColumn>, BindError> {
        unify(values);
        let empty = Scope { parent, ..Scope::default() };
        let width = values.rows.first().map_or(0, |row| row.content.len());
        for expr in values.rows.iter_mut().flat_map(|row| &mut row.content) {
            self.resolve(expr, &empty, Clause::Values)?;
        }
        let name = |index: usize| format!("column{}", index + 1);
        let column = |index| OutputColumn {
            name: name(index),
            kind: Kind::Value,
            origin: None,
            plain: None,
        };
        Ok((0..width).map(column).collect())
    }

    /// Common table expressions are bound where they are used: so measures stay calculations through
    /// them, and each reference is a scan of its own.
    fn declare(&mut self, with: With) -> Result<(), BindError> {
        if with.recursive {
            let hint = "Leave out RECURSIVE if no query refers to itself.".to_owned();
            return Err(BindError::NotSupported {
                what: "WITH RECURSIVE over data".to_owned(),
                hint: Some(hint),
                position: None,
            });
        }
        for cte in with.cte_tables {
            let entry = Cte {
                name: folded(&cte.alias.name),
                columns: cte.alias.columns.iter().map(|column| folded(&column.name)).collect(),
                query: *cte.query,
                visible: self.ctes.len(),
            };
            self.ctes.push(entry);
        }
        Ok(())
    }

    /// The output of a common table expression, if the name is one; with its query, bound.
    pub(crate) fn bind_cte(
        &mut self,
        name: &str,
    ) -> Result<Option<(Query, Vec<OutputColumn>)>, BindError> {
        let Some(cte) = self.ctes.iter().rev().find(|cte| cte.name == name).cloned() else {
            return Ok(None);
        };
        let later = self.ctes.split_off(cte.visible);
        let mut query = cte.query;
        let bound = self.bind_query(&mut query, None, false);
        self.ctes.truncate(cte.visible);
        self.ctes.extend(later);
        let mut columns = bound?;
        rename(&mut columns, &cte.columns);
        Ok(Some((query, columns)))
    }

    fn bind_limit(&mut self, query: &mut Query) -> Result<(), BindError> {
        fetch_as_limit(query).map_err(|what| BindError::NotSupported {
            what: what.to_owned(),
            hint: Some(TIES_HINT.to_owned()),
            position: None,
        })?;
        let empty = Scope::default();
        let mut exprs: Vec<&mut Expr> = Vec::new();
        match &mut query.limit_clause {
            Some(LimitClause::LimitOffset { limit, offset, limit_by }) if limit_by.is_empty() => {
                exprs.extend(limit.iter_mut());
                exprs.extend(offset.iter_mut().map(|offset| &mut offset.value));
            }
            Some(_) => {
                let hint = Some("Write LIMIT count OFFSET start.".to_owned());
                let what = "this form of LIMIT".to_owned();
                return Err(BindError::NotSupported { what, hint, position: None });
            }
            None => {}
        }
        for expr in exprs {
            self.resolve(expr, &empty, Clause::Values)?;
        }
        Ok(())
    }

    /// ORDER BY above a set operation: output names and ordinals only.
    fn order_by_output(
        &mut self,
        order_by: &mut OrderBy,
        columns: &[OutputColumn],
    ) -> Result<(), BindError> {
        let OrderByKind::Expressions(items) = &mut order_by.kind else {
            return Err(order_by_all());
        };
        for item in items {
            let Some(index) = output_position(&item.expr, columns) else {
                let what = "ORDER BY over a set operation by an expression".to_owned();
                let hint = Some("Order by a column's name or position.".to_owned());
                let position = self.position_of(&item.expr);
                return Err(BindError::NotSupported { what, hint, position });
            };
            // The columns of VALUES keep the planner's names.
            item.expr = ordinal(index);
        }
        Ok(())
    }

    fn refuse_clauses(&self, query: &Query) -> Result<(), BindError> {
        let refused = [
            (!query.locks.is_empty(), "FOR UPDATE or FOR SHARE"),
            (query.for_clause.is_some(), "FOR XML, JSON or BROWSE"),
            (query.settings.is_some(), "SETTINGS"),
            (query.format_clause.is_some(), "FORMAT"),
            (!query.pipe_operators.is_empty(), "the pipe operator"),
        ];
        match refused.iter().find(|(present, _)| *present) {
            None => Ok(()),
            Some((_, what)) => Err(BindError::NotSupported {
                what: (*what).to_owned(),
                hint: None,
                position: self.position_of(query),
            }),
        }
    }
}

pub(crate) fn order_by_all() -> BindError {
    let hint = Some("Name the columns to order by.".to_owned());
    BindError::NotSupported { what: "ORDER BY ALL".to_owned(), hint, position: None }
}

/// The output column that a bare name or a number in ORDER BY means.
pub(crate) fn output_position(expr: &Expr, columns: &[OutputColumn]) -> Option<usize> {
    match expr {
        Expr::Identifier(ident) => {
            let name = folded(ident);
            columns.iter().position(|column| column.name == name)
        }
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => {
                let index = digits.parse::<usize>().ok()?.checked_sub(1)?;
                (index < columns.len()).then_some(index)
            }
            _ => None,
        },
        _ => None,
    }
}

/// The output column at an index, by its position.
pub(crate) fn ordinal(index: usize) -> Expr {
    Expr::value(Value::Number((index + 1).to_string(), false))
}

/// Gives output columns the names of an alias's column list.
pub(crate) fn rename(columns: &mut [OutputColumn], names: &[String]) {
    for (column, name) in columns.iter_mut().zip(names) {
        column.name.clone_from(name);
    }
}

fn values_of(columns: Vec<OutputColumn>) -> Vec<OutputColumn> {
    let value = |column: OutputColumn| OutputColumn {
        kind: Kind::Value,
        origin: None,
        plain: None,
        ..column
    };
    columns.into_iter().map(value).collect()
}

/// `TABLE orders` is `SELECT * FROM orders`.
fn table_as_select(table: &datafusion::sql::sqlparser::ast::Table) -> SetExpr {
    use datafusion::sql::sqlparser::ast::{ObjectName, ObjectNamePart};
    let parts = table.schema_name.iter().chain(&table.table_name);
    let name = ObjectName(parts.map(|part| ObjectNamePart::Identifier(quoted(part))).collect());
    SetExpr::Select(Box::new(super::select::select_all_from(name)))
}
