//! Relations of metrics that a FROM clause joins: one scan with the dimensions that they share, in
//! which each metric is aggregated on its own.
//!
//! The condition of such a join says only that shared dimensions are equal, which they are by being
//! one column; whatever the kind of join, no group of either side is lost. Conditions on one side
//! are filters, which reach every side.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Join, JoinConstraint, JoinOperator, ObjectName, TableFactor,
    TableWithJoins,
};

use super::binder::{Binder, Clause};
use super::error::BindError;
use super::relation::Relation;
use super::scope::{Scope, folded};
use super::walk::children_mut;

/// The relations of metrics in one FROM clause.
#[derive(Debug, Default)]
pub(crate) struct Across {
    /// Number of the scan.
    pub(crate) instance: usize,
    /// How many of the relations were met.
    pub(crate) met: usize,
}

impl Binder<'_> {
    /// The scan of the relations of metrics that a FROM clause names, where there are several.
    pub(crate) fn across(&mut self, from: &[TableWithJoins]) -> Result<Option<Across>, BindError> {
        let mut names = Vec::new();
        from.iter().for_each(|item| tables(item, &mut names));
        let mut relations = Vec::new();
        for name in names {
            if self.is_cte(name) {
                continue;
            }
            let relation = self.relation_of(name)?;
            if relation.schema == "metrics" {
                relations.push(relation);
            }
        }
        if relations.len() < 2 {
            return Ok(None);
        }
        let mut parts = Vec::with_capacity(relations.len());
        for relation in relations {
            let missing = || BindError::Internal(format!("no metric of {}", relation.name));
            let measure = relation.metric.as_ref().ok_or_else(missing)?;
            let version = Arc::clone(self.meant(measure).ok_or_else(missing)?);
            parts.push((relation, version));
        }
        let instance = self.new_alias(Some(Arc::new(Relation::across(self.model, parts)?)))?;
        Ok(Some(Across { instance, met: 0 }))
    }

    /// The conditions of a join of relations of metrics that aren't about shared dimensions being
    /// equal: filters.
    pub(crate) fn across_conditions(
        &mut self,
        join: &mut Join,
        scope: &Scope<'_>,
    ) -> Result<Vec<Expr>, BindError> {
        let is_inner = matches!(
            join.join_operator,
            JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_)
        );
        let Some(JoinConstraint::On(condition)) =
            super::from::constraint_mut(&mut join.join_operator)
        else {
            return Ok(Vec::new());
        };
        let mut conditions = Vec::new();
        conjuncts(condition, &mut conditions);
        let mut filters = Vec::new();
        for mut condition in conditions {
            let position = self.position_of(&condition);
            let sides = self.sides(&mut condition.clone(), scope);
            self.resolve(&mut condition, scope, Clause::On)?;
            if is_identity(&condition) {
                continue;
            }
            if sides.len() > 1 {
                return Err(BindError::NotSupported {
                    what: "a join of metrics on anything but the same dimension of both".to_owned(),
                    hint: Some(
                        "Join them on equal dimensions; for an earlier period define an offset metric."
                            .to_owned(),
                    ),
                    position,
                });
            }
            if !is_inner {
                return Err(BindError::NotSupported {
                    what: "a filter in the condition of an outer join of metrics".to_owned(),
                    hint: Some("Write it in WHERE: it reaches every side.".to_owned()),
                    position,
                });
            }
            filters.push(condition);
        }
        Ok(filters)
    }

    fn is_cte(&self, name: &ObjectName) -> bool {
        match name.0.as_slice() {
            [part] => {
                let name = part.as_ident().map(folded);
                self.ctes.iter().any(|cte| Some(&cte.name) == name.as_ref())
            }
            _ => false,
        }
    }

    /// The relations of metrics whose columns an expression names.
    fn sides(&self, expr: &mut Expr, scope: &Scope<'_>) -> BTreeSet<usize> {
        if let Expr::CompoundIdentifier(idents) = &*expr {
            let table = idents.len().checked_sub(2).map(|index| folded(&idents[index]));
            let item = scope.items.iter().find(|item| item.name == table);
            return item.and_then(|item| item.part).into_iter().collect();
        }
        let children = children_mut(expr).unwrap_or_default();
        children.into_iter().flat_map(|child| self.sides(child, scope)).collect()
    }
}

/// The names of the tables in an item of FROM.
fn tables<'f>(item: &'f TableWithJoins, names: &mut Vec<&'f ObjectName>) {
    let factors = [&item.relation].into_iter().chain(item.joins.iter().map(|join| &join.relation));
    for factor in factors {
        match factor {
            TableFactor::Table { name, args: None, sample: None, .. } => names.push(name),
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                tables(table_with_joins, names);
            }
            _ => {}
        }
    }
}

fn conjuncts(expr: &Expr, found: &mut Vec<Expr>) {
    match expr {
        Expr::Nested(inner) => conjuncts(inner, found),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            conjuncts(left, found);
            conjuncts(right, found);
        }
        other => found.push(other.clone()),
    }
}

/// Whether a condition says that a thing equals itself.
fn is_identity(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_identity(inner),
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right }
        | Expr::IsNotDistinctFrom(left, right) => left == right,
        _ => false,
    }
}
