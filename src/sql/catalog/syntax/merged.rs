//! Columns that `RIGHT JOIN … USING` and `FULL JOIN … USING` merge: the right one, and the one of the
//! side that has a row. DataFusion 55.2 takes the left one's value for each of them.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, JoinConstraint, JoinOperator, OrderBy, OrderByKind, Query,
    Select, SelectItem, TableWithJoins, VisitMut, VisitorMut,
};

use super::super::error::CatalogError;
use super::super::labels::{folded, last_part};
use super::scope::{Scope, constraint_of};
use super::{Pass, quoted};
use crate::sql::ast::{binary, call};

/// A merged column, and what it is in columns of the joined relations.
pub(super) type Merged = Vec<(String, Expr)>;

impl Pass<'_> {
    /// Writes such joins with ON, and what their merged columns stand for in the select's expressions.
    pub(super) fn merge_outer_joins(&self, select: &mut Select) -> Result<Merged, CatalogError> {
        let mut merged = Merged::new();
        for tables in &mut select.from {
            if tables.joins.iter().any(|join| is_outer_merge(&join.join_operator)) {
                merged.extend(self.joined_on(tables)?);
            }
        }
        if merged.is_empty() {
            return Ok(merged);
        }
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(Expr::Identifier(name)) = item
                && let Some(expr) = value_of(&merged, &folded(name))
            {
                *item = SelectItem::ExprWithAlias { expr, alias: quoted(&folded(name)) };
            }
        }
        let mut pass = Substitution { merged: &merged, queries: 0 };
        let _ = select.projection.visit(&mut pass);
        let _ = select.selection.visit(&mut pass);
        let _ = select.having.visit(&mut pass);
        let _ = select.named_window.visit(&mut pass);
        if let GroupByExpr::Expressions(keys, _) = &mut select.group_by {
            let _ = keys.visit(&mut pass);
        }
        Ok(merged)
    }

    /// The joins with ON in USING's place, and the columns that they merged.
    fn joined_on(&self, tables: &mut TableWithJoins) -> Result<Merged, CatalogError> {
        let unknown = || CatalogError::NotSupported {
            what: "USING or NATURAL in an outer join of what has no known columns".to_owned(),
        };
        let (mut merged, mut left) = (Merged::new(), Scope::default());
        self.add_factor(&tables.relation, &mut left).ok_or_else(unknown)?;
        for join in &mut tables.joins {
            let mut right = Scope::default();
            self.add_factor(&join.relation, &mut right).ok_or_else(unknown)?;
            let names = match constraint_of(&join.join_operator) {
                Some(JoinConstraint::Using(names)) => names.iter().map(last_part).collect(),
                Some(JoinConstraint::Natural) => left.common(&right),
                _ => Vec::new(),
            };
            let mut condition: Option<Expr> = None;
            for name in names {
                let mine = value_of(&merged, &name).or_else(|| left.column(&name));
                let (mine, theirs) = (mine.ok_or_else(unknown)?, right.column(&name));
                let theirs = theirs.ok_or_else(unknown)?;
                let equal = binary(mine.clone(), BinaryOperator::Eq, theirs.clone());
                condition = Some(match condition {
                    None => equal,
                    Some(known) => binary(known, BinaryOperator::And, equal),
                });
                let value = match &join.join_operator {
                    JoinOperator::FullOuter(_) => call("coalesce", vec![mine, theirs]),
                    JoinOperator::Right(_) | JoinOperator::RightOuter(_) => theirs,
                    _ => mine,
                };
                merged.retain(|(known, _)| *known != name);
                merged.push((name, value));
            }
            if let Some(condition) = condition {
                set_condition(&mut join.join_operator, condition);
            }
            left.extend(right);
        }
        Ok(merged)
    }
}

/// Merged columns in an ORDER BY, where they aren't columns of the result.
pub(super) fn in_order(query: &mut Query, merged: &Merged, shown: &[String]) {
    let Some(OrderBy { kind: OrderByKind::Expressions(items), .. }) = &mut query.order_by else {
        return;
    };
    let hidden: Merged = merged.iter().filter(|(name, _)| !shown.contains(name)).cloned().collect();
    let _ = items.visit(&mut Substitution { merged: &hidden, queries: 0 });
}

fn is_outer_merge(operator: &JoinOperator) -> bool {
    matches!(
        operator,
        JoinOperator::Right(JoinConstraint::Using(_) | JoinConstraint::Natural)
            | JoinOperator::RightOuter(JoinConstraint::Using(_) | JoinConstraint::Natural)
            | JoinOperator::FullOuter(JoinConstraint::Using(_) | JoinConstraint::Natural)
    )
}

fn set_condition(operator: &mut JoinOperator, condition: Expr) {
    if let JoinOperator::Join(constraint)
    | JoinOperator::Inner(constraint)
    | JoinOperator::Left(constraint)
    | JoinOperator::LeftOuter(constraint)
    | JoinOperator::Right(constraint)
    | JoinOperator::RightOuter(constraint)
    | JoinOperator::FullOuter(constraint) = operator
    {
        *constraint = JoinConstraint::On(condition);
    }
}

fn value_of(merged: &Merged, name: &str) -> Option<Expr> {
    merged.iter().find(|(known, _)| known == name).map(|(_, expr)| expr.clone())
}

/// Puts in the merged columns' place what they stand for, but in subqueries, which have columns of
/// their own.
struct Substitution<'a> {
    merged: &'a Merged,
    queries: usize,
}

impl VisitorMut for Substitution<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.queries == 0
            && let Expr::Identifier(name) = expr
            && let Some(value) = value_of(self.merged, &folded(name))
        {
            *expr = value;
        }
        ControlFlow::Continue(())
    }
}
