//! Previews: the first rows of a relation, as tools read them to show it or to learn its columns.
//!
//! `SELECT location_id, revenue FROM orders LIMIT 10000` names a measure and no GROUP BY, so it would
//! be grouped by what it selects, and refused where the metric can't be grouped by that. But a LIMIT
//! without ORDER BY asks for no groups in particular: it is answered with rows of the entity, each
//! measure being that row's own. What can be answered by groups still is. The same holds for
//! `WHERE 1 = 0`, which asks for columns and no rows.

use super::binder::Binder;
use super::relation::{ColumnKind, Relation};
use super::scope::{Columns, MeasureUse, Scope, derived_position};
use crate::model::{Entity, MetricKind, MetricVersion, Model};
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, SetExpr, Value};

/// A measure that a preview shows by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    pub metric: String,
    /// The column by which it can't be grouped.
    pub column: String,
    /// Whether a single row has no value of it: then it is NULL.
    pub is_null: bool,
}

/// What a query asks of its measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// They may stay calculations for the query around.
    Calculations,
    Values,
    /// Values, and no rows rather than others.
    FirstRows,
}

impl Wanted {
    pub(crate) fn forces(self) -> bool {
        self != Self::Calculations
    }
}

/// What a select list shows: a column and nothing else, or a measure.
pub(crate) struct Shown<'a> {
    pub(crate) exprs: Vec<&'a Expr>,
    pub(crate) measures: Vec<&'a MeasureUse>,
}

/// Whether a query's WHERE leaves out every row by its words alone: `1 = 0`, `1 <> 1`, `false`.
pub(crate) fn asks_for_columns(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => select.selection.as_ref().is_some_and(is_never),
        _ => false,
    }
}

fn is_never(condition: &Expr) -> bool {
    match condition {
        Expr::Nested(inner) => is_never(inner),
        Expr::Value(value) => value.value == Value::Boolean(false),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            is_never(left) || is_never(right)
        }
        Expr::BinaryOp { left, op, right } => match (left.as_ref(), op, right.as_ref()) {
            (Expr::Value(left), BinaryOperator::Eq, Expr::Value(right)) => {
                is_number(&left.value) && is_number(&right.value) && left.value != right.value
            }
            (Expr::Value(left), BinaryOperator::NotEq, Expr::Value(right)) => {
                left.value == right.value
            }
            _ => false,
        },
        _ => false,
    }
}

/// Numbers that are written differently may be equal, as 1 and 1.0 are: whole ones only.
fn is_number(value: &Value) -> bool {
    matches!(value, Value::Number(digits, _) if digits.parse::<u64>().is_ok())
}

impl Binder<'_> {
    /// The measures of a select list that can't be grouped by all of its columns.
    pub(crate) fn ungroupable(&self, shown: &Shown<'_>, scope: &Scope<'_>) -> Vec<Preview> {
        let mut previews = Vec::new();
        for used in &shown.measures {
            for version in &used.metrics {
                let clash = shown.exprs.iter().find_map(|expr| self.clash(expr, version, scope));
                previews.extend(clash.map(|column| Preview {
                    metric: version.metric.clone(),
                    column,
                    is_null: !self.model.is_row_wise(version),
                }));
            }
        }
        previews
    }

    /// The name of a column by which a metric can't be grouped.
    fn clash(&self, expr: &Expr, version: &MetricVersion, scope: &Scope<'_>) -> Option<String> {
        let Expr::CompoundIdentifier(idents) = expr else { return None };
        let [alias, name] = idents.as_slice() else { return None };
        let item = scope.items.iter().find(|item| item.alias == alias.value)?;
        match &item.columns {
            Columns::Relation(instance) => {
                let is_allowed = self.allows(self.relation(*instance)?, &name.value, version);
                (!is_allowed).then(|| name.value.clone())
            }
            Columns::Derived(columns) => {
                let column = columns.get(derived_position(&name.value)?)?;
                let origin = column.origin.as_ref()?;
                let entity = &self.relation(origin.instance)?.entity;
                let is_allowed = allows_dimension(entity, &origin.dimension, version);
                (!is_allowed).then(|| column.name.clone())
            }
        }
    }

    fn allows(&self, relation: &Relation, name: &str, version: &MetricVersion) -> bool {
        let Some(position) = relation.position(name) else { return true };
        match relation.columns[position].kind {
            ColumnKind::Dimension(index) => {
                let dimension = &relation.entity.dimensions[index];
                allows_dimension(&relation.entity, &dimension.allowed_as(), version)
            }
            ColumnKind::MetricTime | ColumnKind::MetricInstant => {
                !is_over_time(self.model, version) && !has_grains(self.model, version)
            }
            ColumnKind::IsFinal => !is_over_time(self.model, version),
            ColumnKind::Measure(_) | ColumnKind::Segment(_) => true,
        }
    }
}

fn allows_dimension(entity: &Entity, name: &str, version: &MetricVersion) -> bool {
    let Some(allowed) = &version.dimensions else { return true };
    let name = entity.dimensions.iter().find(|it| it.name == name || it.allowed_as() == name);
    let Some(dimension) = name else { return true };
    let allowed_as = dimension.allowed_as();
    entity.key.contains(&allowed_as)
        || allowed.iter().any(|it| *it == dimension.name || *it == allowed_as)
}

/// Whether some part of a metric needs a grain of time.
fn has_grains(model: &Model, version: &MetricVersion) -> bool {
    let own = version.time.as_ref().is_some_and(|time| time.grains.is_some());
    own || any_part(model, version, has_grains)
}

/// Whether some part of a metric has a value only for periods.
fn is_over_time(model: &Model, version: &MetricVersion) -> bool {
    let own = matches!(
        version.kind,
        MetricKind::Snapshot { .. } | MetricKind::Cumulative { .. } | MetricKind::Offset { .. }
    );
    own || any_part(model, version, is_over_time)
}

fn any_part(
    model: &Model,
    version: &MetricVersion,
    holds: fn(&Model, &MetricVersion) -> bool,
) -> bool {
    let parts = version.kind.parts();
    parts.into_iter().any(|part| model.version_of(part).is_some_and(|(_, it)| holds(model, it)))
}
