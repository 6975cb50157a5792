//! FROM: relations, derived tables and joins.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, JoinConstraint, JoinOperator, ObjectName, Query, SelectItem, SetExpr,
    TableAlias, TableFactor, TableWithJoins, Value,
};

use super::across::Across;
use super::binder::{Binder, Clause, OWN_SCHEMA, Reading};
use super::error::BindError;
use super::metric_query::Written;
use super::query::rename;
use super::scope::{
    Columns, Item, OutputColumn, PlainColumn, Scope, Shared, carries_measures, derived_name,
    folded, quoted,
};
use super::select::{object_name, select_all_from, table};
use super::{series, table_function};
use crate::sql::ast::{binary, call};
use crate::sql::spelling;

impl Binder<'_> {
    /// Binds the FROM list in place and fills the scope. Gives the filters that its joins hold.
    pub(crate) fn bind_from(
        &mut self,
        from: &mut Vec<TableWithJoins>,
        scope: &mut Scope<'_>,
    ) -> Result<Vec<Expr>, BindError> {
        let mut list = FromList { across: self.across(from)?, filters: Vec::new() };
        for mut item in std::mem::take(from) {
            if self.bind_joins(&mut item, scope, &mut list)? == Bound::Scanned {
                from.push(item);
            }
        }
        Ok(list.filters)
    }

    fn bind_joins(
        &mut self,
        item: &mut TableWithJoins,
        scope: &mut Scope<'_>,
        list: &mut FromList,
    ) -> Result<Bound, BindError> {
        let first = scope.items.len();
        let bound = self.bind_factor(&mut item.relation, scope, list)?;
        if bound == Bound::Known && !item.joins.is_empty() {
            let hint = "List the relations of metrics first, then what is joined to them.";
            return Err(BindError::NotSupported {
                what: "a join to a relation of metrics that others stand before".to_owned(),
                hint: Some(hint.to_owned()),
                position: None,
            });
        }
        for mut join in std::mem::take(&mut item.joins) {
            let left = first..scope.items.len();
            let bound = self.bind_factor(&mut join.relation, scope, list)?;
            let right = left.end..scope.items.len();
            if bound == Bound::Known && !is_using(&mut join.join_operator) {
                let filters = self.across_conditions(&mut join, scope)?;
                list.filters.extend(filters);
                continue;
            }
            let merge = merge_of(&join.join_operator);
            let optional = optional_sides(&join.join_operator, &left, &right);
            let Some(constraint) = constraint_mut(&mut join.join_operator) else {
                let what = format!("the join {}", join.join_operator_name());
                return Err(BindError::NotSupported { what, hint: None, position: None });
            };
            self.bind_constraint(constraint, scope, left, right, merge)?;
            optional.into_iter().for_each(|side| scope.make_optional(side));
            // Equal columns of relations that are scanned as one are one column.
            if bound == Bound::Scanned {
                item.joins.push(join);
            }
        }
        Ok(bound)
    }

    fn bind_constraint(
        &mut self,
        constraint: &mut JoinConstraint,
        scope: &mut Scope<'_>,
        left: std::ops::Range<usize>,
        right: std::ops::Range<usize>,
        merge: Merge,
    ) -> Result<(), BindError> {
        let names = match constraint {
            JoinConstraint::None => return Ok(()),
            JoinConstraint::On(condition) => {
                self.resolve(condition, scope, Clause::On)?;
                return Ok(());
            }
            JoinConstraint::Using(names) => {
                let name = |name: &ObjectName| name.0.last()?.as_ident().map(folded);
                names.iter().filter_map(name).collect::<Vec<_>>()
            }
            JoinConstraint::Natural => {
                let common = self.common(scope, left.clone(), right.clone());
                // Without any, each row meets each.
                *constraint = JoinConstraint::On(Expr::value(Value::Boolean(true)));
                common
            }
        };
        let mut condition: Option<Expr> = None;
        for name in names {
            let (mine, my_plain) = self.side(&name, scope, left.clone())?;
            let (theirs, their_plain) = self.side(&name, scope, right.clone())?;
            let equal = equals(mine.clone(), theirs.clone());
            condition = Some(match condition {
                None => equal,
                Some(known) => both(known, equal),
            });
            let (expr, plain) = match merge {
                Merge::Left => (mine, my_plain),
                Merge::Right => (theirs, their_plain),
                // A dimension of relations that are scanned as one.
                Merge::Either if mine == theirs => (mine, None),
                Merge::Either => (call("coalesce", vec![mine, theirs]), None),
            };
            scope.shared.retain(|shared| shared.name != name);
            let items = left.clone().chain(right.clone()).collect();
            scope.shared.push(Shared { name, expr, plain, items });
        }
        if let Some(condition) = condition {
            *constraint = JoinConstraint::On(condition);
        }
        Ok(())
    }

    /// The names of the columns that both sides of a join show, in the left one's order.
    fn common(
        &self,
        scope: &Scope<'_>,
        left: std::ops::Range<usize>,
        right: std::ops::Range<usize>,
    ) -> Vec<String> {
        let shown = |side: std::ops::Range<usize>| {
            scope.items[side].iter().flat_map(|item| self.shown_columns(item))
        };
        let theirs: HashSet<String> = shown(right).collect();
        let mut common: Vec<String> = Vec::new();
        for name in shown(left) {
            if theirs.contains(&name) && !common.contains(&name) {
                common.push(name);
            }
        }
        common
    }

    /// The column of this name on one side of a join.
    fn side(
        &mut self,
        name: &str,
        scope: &Scope<'_>,
        items: std::ops::Range<usize>,
    ) -> Result<(Expr, Option<PlainColumn>), BindError> {
        let shared = scope.shared.iter().find(|it| it.name == name);
        if let Some(shared) = shared.filter(|it| it.items.iter().any(|item| items.contains(item))) {
            return Ok((shared.expr.clone(), shared.plain.clone()));
        }
        let side = Scope {
            items: scope.items[items].iter().map(Item::share).collect(),
            ..Scope::default()
        };
        let mut expr = Expr::Identifier(quoted(name));
        let found = self.resolve(&mut expr, &side, Clause::On)?;
        Ok((expr, found.plain))
    }

    fn bind_factor(
        &mut self,
        factor: &mut TableFactor,
        scope: &mut Scope<'_>,
        list: &mut FromList,
    ) -> Result<Bound, BindError> {
        match factor {
            TableFactor::Table { name, alias, args: None, sample: None, version, .. } => {
                let (name, alias) = (name.clone(), alias.take());
                let as_of = version.as_ref().map(table_function::as_of).transpose()?;
                let known = list.across.as_ref().is_some_and(|across| across.met > 0);
                *factor = self.bind_table(&name, alias, as_of, scope, list)?;
                let is_part = scope.items.last().is_some_and(|item| item.part.is_some());
                Ok(if is_part && known { Bound::Known } else { Bound::Scanned })
            }
            TableFactor::Table {
                name,
                alias,
                args: Some(args),
                sample: None,
                with_ordinality,
                ..
            } if series::is_one(name) => {
                let ordinality = *with_ordinality;
                let (alias, query) =
                    series::of_function(name, &args.args, alias.take(), ordinality)?;
                self.bind_series(factor, query, alias, scope)
            }
            TableFactor::Function { name, args, with_ordinality, alias, .. }
                if series::is_one(name) =>
            {
                let (alias, query) =
                    series::of_function(name, args, alias.take(), *with_ordinality)?;
                self.bind_series(factor, query, alias, scope)
            }
            TableFactor::UNNEST {
                array_exprs, alias, with_offset: false, with_ordinality, ..
            } => {
                let (alias, query) =
                    series::of_arrays(array_exprs, alias.take(), *with_ordinality)?;
                self.bind_series(factor, query, alias, scope)
            }
            TableFactor::Table { name, alias, args: Some(args), sample: None, .. } => {
                let Written { mut query, as_of, fill } = self.table_function(name, args)?;
                let reading = self.reading;
                let as_of = [as_of, reading.as_of].into_iter().flatten().min();
                self.reading = Reading { as_of, fill: fill.unwrap_or(reading.fill) };
                let columns = self.bind_query(&mut query, None, false);
                self.reading = reading;
                let mut columns = columns?;
                columns.iter_mut().for_each(|column| column.plain = None);
                let called = name.0.last().and_then(|part| part.as_ident()).cloned();
                let own = called.map(|name| TableAlias {
                    explicit: true,
                    name,
                    columns: Vec::new(),
                    at: None,
                });
                *factor = self.derived(query, columns, alias.take().or(own), false, scope)?;
                Ok(Bound::Scanned)
            }
            TableFactor::Derived { subquery, alias, lateral, sample: None } => {
                // A lateral subquery sees what is left of it; its measures become values there.
                let parent = if *lateral { Some(&*scope) } else { scope.parent };
                if *lateral {
                    spelling::arrays_as_calls(subquery);
                }
                let columns = self.bind_query(subquery, parent, *lateral)?;
                let (subquery, lateral) = (std::mem::replace(subquery, empty_query()), *lateral);
                *factor = self.derived(*subquery, columns, alias.take(), lateral, scope)?;
                Ok(Bound::Scanned)
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                self.bind_joins(table_with_joins, scope, list)
            }
            other => {
                let what = format!("the FROM item {other}");
                let position = self.position_of(&*other);
                Err(BindError::NotSupported { what, hint: None, position })
            }
        }
    }

    fn bind_table(
        &mut self,
        name: &ObjectName,
        alias: Option<TableAlias>,
        as_of: Option<DateTime<Utc>>,
        scope: &mut Scope<'_>,
        list: &mut FromList,
    ) -> Result<TableFactor, BindError> {
        let parts: Vec<String> = name.0.iter().filter_map(|it| it.as_ident().map(folded)).collect();
        if let [single] = parts.as_slice()
            && let Some((query, columns)) = self.bind_cte(single)?
        {
            let own =
                TableAlias { explicit: true, name: quoted(single), columns: Vec::new(), at: None };
            return self.derived(query, columns, Some(alias.unwrap_or(own)), false, scope);
        }
        if alias.as_ref().is_some_and(|alias| !alias.columns.is_empty()) {
            return self.renamed(name, alias, as_of, scope);
        }
        let relation = self.relation_of(name)?;
        let shown = match &alias {
            Some(alias) => folded(&alias.name),
            // As written: a pin may mean another relation, and one of canon's own is a number.
            None => match parts.as_slice() {
                [schema, ..] if schema == OWN_SCHEMA => relation.name.clone(),
                [.., written] => written.clone(),
                [] => relation.name.clone(),
            },
        };
        let schema = alias.is_none().then(|| relation.schema.to_owned());
        self.refuse_duplicate(&shown, schema.as_ref(), scope, self.position_of(name))?;
        let (instance, part) = match &mut list.across {
            Some(across) if relation.schema == "metrics" => {
                across.met += 1;
                (across.instance, Some(across.met - 1))
            }
            _ => (self.new_alias(Some(relation))?, None),
        };
        self.read_as_of(instance, as_of);
        let own = format!("r{instance}");
        scope.items.push(Item {
            name: Some(shown),
            schema,
            alias: own.clone(),
            columns: Columns::Relation(instance),
            part,
            optional: false,
        });
        Ok(table(object_name(&own)))
    }

    /// `orders AS o (a, b)`: a relation whose first columns have other names.
    fn renamed(
        &mut self,
        name: &ObjectName,
        alias: Option<TableAlias>,
        as_of: Option<DateTime<Utc>>,
        scope: &mut Scope<'_>,
    ) -> Result<TableFactor, BindError> {
        let mut query = *empty_query();
        query.body = Box::new(SetExpr::Select(Box::new(select_all_from(name.clone()))));
        let reading = self.reading;
        self.reading.as_of = [as_of, reading.as_of].into_iter().flatten().min();
        let columns = self.bind_query(&mut query, None, false);
        self.reading = reading;
        self.derived(query, columns?, alias, false, scope)
    }

    fn derived(
        &mut self,
        mut query: Query,
        mut columns: Vec<OutputColumn>,
        alias: Option<TableAlias>,
        lateral: bool,
        scope: &mut Scope<'_>,
    ) -> Result<TableFactor, BindError> {
        let own = format!("r{}", self.new_alias(None)?);
        let name = alias.as_ref().map(|alias| folded(&alias.name));
        if let Some(alias) = &alias {
            let names: Vec<String> = alias.columns.iter().map(|it| folded(&it.name)).collect();
            rename(&mut columns, &names);
            let position = self.place_of(&alias.name);
            self.refuse_duplicate(&folded(&alias.name), None, scope, position)?;
        }
        let names = (0..columns.len()).map(|index| derived_name(&own, &columns, index));
        let list = match carries_measures(&columns) {
            true => {
                name_outputs(&mut query, names)?;
                Vec::new()
            }
            false => names.map(|name| column_def(&name)).collect(),
        };
        scope.items.push(Item {
            name,
            schema: None,
            alias: own.clone(),
            columns: Columns::Derived(columns),
            part: None,
            optional: false,
        });
        let alias = TableAlias { explicit: true, name: quoted(&own), columns: list, at: None };
        Ok(TableFactor::Derived {
            lateral,
            subquery: Box::new(query),
            alias: Some(alias),
            sample: None,
        })
    }

    /// A function in FROM that gives rows, perhaps of columns before it.
    fn bind_series(
        &mut self,
        factor: &mut TableFactor,
        mut query: Query,
        alias: TableAlias,
        scope: &mut Scope<'_>,
    ) -> Result<Bound, BindError> {
        let lateral = !scope.items.is_empty();
        let parent = if lateral { Some(&*scope) } else { scope.parent };
        if parent.is_some() {
            spelling::arrays_as_calls(&mut query);
        }
        let columns = self.bind_query(&mut query, parent, lateral)?;
        *factor = self.derived(query, columns, Some(alias), lateral, scope)?;
        Ok(Bound::Scanned)
    }

    fn refuse_duplicate(
        &self,
        name: &str,
        schema: Option<&String>,
        scope: &Scope<'_>,
        position: Option<usize>,
    ) -> Result<(), BindError> {
        let taken = |item: &Item| {
            item.name.as_deref() == Some(name)
                && (schema.is_none() || item.schema.is_none() || item.schema.as_ref() == schema)
        };
        match scope.items.iter().any(taken) {
            true => Err(BindError::DuplicateTable { name: name.to_owned(), position }),
            false => Ok(()),
        }
    }
}

impl Item {
    /// The same item for a narrower scope.
    fn share(&self) -> Item {
        let columns = match &self.columns {
            Columns::Relation(instance) => Columns::Relation(*instance),
            Columns::Derived(columns) => Columns::Derived(columns.clone()),
        };
        Item {
            name: self.name.clone(),
            schema: self.schema.clone(),
            alias: self.alias.clone(),
            columns,
            part: self.part,
            optional: self.optional,
        }
    }
}

/// Gives the outputs of a select other names than those by position.
fn name_outputs(query: &mut Query, names: impl Iterator<Item = String>) -> Result<(), BindError> {
    match query.body.as_mut() {
        SetExpr::Query(inner) => name_outputs(inner, names),
        SetExpr::Select(select) => {
            for (item, name) in select.projection.iter_mut().zip(names) {
                if let SelectItem::ExprWithAlias { alias, .. } = item {
                    *alias = quoted(&name);
                }
            }
            Ok(())
        }
        _ => Err(BindError::Internal("measures of something that is no select".to_owned())),
    }
}

/// What is known of a FROM list while it is bound.
struct FromList {
    across: Option<Across>,
    filters: Vec<Expr>,
}

/// Whether an item of FROM is a table of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Scanned,
    /// A relation of metrics that is scanned together with one before it.
    Known,
}

fn is_using(operator: &mut JoinOperator) -> bool {
    matches!(constraint_mut(operator), Some(JoinConstraint::Using(_) | JoinConstraint::Natural))
}

/// Whose value a column shared by USING has.
#[derive(Debug, Clone, Copy)]
enum Merge {
    Left,
    Right,
    /// That of the side which has a row.
    Either,
}

fn merge_of(operator: &JoinOperator) -> Merge {
    match operator {
        JoinOperator::Right(_) | JoinOperator::RightOuter(_) => Merge::Right,
        JoinOperator::FullOuter(_) => Merge::Either,
        _ => Merge::Left,
    }
}

/// The sides of which a join may find no row.
fn optional_sides(
    operator: &JoinOperator,
    left: &std::ops::Range<usize>,
    right: &std::ops::Range<usize>,
) -> Vec<std::ops::Range<usize>> {
    match operator {
        JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => vec![right.clone()],
        JoinOperator::Right(_) | JoinOperator::RightOuter(_) => vec![left.clone()],
        JoinOperator::FullOuter(_) => vec![left.clone(), right.clone()],
        _ => Vec::new(),
    }
}

impl Scope<'_> {
    fn make_optional(&mut self, side: std::ops::Range<usize>) {
        let shared = self.shared.iter_mut();
        let shared = shared.filter(|it| it.items.iter().all(|item| side.contains(item)));
        shared.filter_map(|it| it.plain.as_mut()).for_each(|plain| plain.optional = true);
        self.items[side].iter_mut().for_each(|item| item.optional = true);
    }
}

pub(super) fn constraint_mut(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
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

trait JoinName {
    fn join_operator_name(&self) -> &'static str;
}

impl JoinName for datafusion::sql::sqlparser::ast::Join {
    fn join_operator_name(&self) -> &'static str {
        match self.join_operator {
            JoinOperator::AsOf { .. } => "ASOF JOIN",
            JoinOperator::CrossApply | JoinOperator::OuterApply => "APPLY",
            _ => "of this kind",
        }
    }
}

fn equals(left: Expr, right: Expr) -> Expr {
    binary(left, BinaryOperator::Eq, right)
}

pub(super) fn both(left: Expr, right: Expr) -> Expr {
    binary(left, BinaryOperator::And, right)
}

fn column_def(name: &str) -> datafusion::sql::sqlparser::ast::TableAliasColumnDef {
    datafusion::sql::sqlparser::ast::TableAliasColumnDef { name: quoted(name), data_type: None }
}

/// What stands in a derived table's place while it is moved.
fn empty_query() -> Box<Query> {
    let values = datafusion::sql::sqlparser::ast::Values {
        explicit_row: false,
        value_keyword: false,
        rows: Vec::new(),
    };
    Box::new(Query {
        with: None,
        body: Box::new(datafusion::sql::sqlparser::ast::SetExpr::Values(values)),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    })
}
