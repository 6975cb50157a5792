//! Which columns of a result are a relation's, as RowDescription tells: drivers look up there whether
//! one may be NULL, and to which table it belongs.

use datafusion::catalog::default_table_source::DefaultTableSource;
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{Distinct, Expr, JoinType, LogicalPlan};

use super::relations::CatalogTable;

/// A column by `pg_class.oid` and `pg_attribute.attnum`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnOrigin {
    pub table: i32,
    pub number: i16,
}

impl ColumnOrigin {
    /// The column of a relation at a position, from 0.
    pub(super) fn of(oid: i64, position: usize) -> Option<Self> {
        let (table, number) = (i32::try_from(oid).ok()?, i16::try_from(position + 1).ok()?);
        Some(Self { table, number })
    }
}

/// For each column of a plan over the catalogue, which relation's it is. As in Postgres it is followed
/// through subqueries, joins and groups; expressions, aggregates and set operations make another. Of what
/// an outer join may not find, columns that are never NULL in their relation have none here.
pub(super) fn of_columns(plan: &LogicalPlan) -> Vec<Option<ColumnOrigin>> {
    found(plan).into_iter().map(|it| it.map(|(origin, _)| origin)).collect()
}

/// A column, and whether it is never NULL.
type Found = Option<(ColumnOrigin, bool)>;

fn found(plan: &LogicalPlan) -> Vec<Found> {
    let width = plan.schema().fields().len();
    let mut columns = match plan {
        LogicalPlan::TableScan(scan) => {
            let source = scan.source.downcast_ref::<DefaultTableSource>();
            let table = source.and_then(|source| source.table_provider.downcast_ref());
            let fields = scan.projected_schema.fields().iter();
            let origin = |name: &str| table.and_then(|table: &CatalogTable| table.origin_of(name));
            fields.map(|field| origin(field.name())).collect()
        }
        LogicalPlan::Projection(projection) => picked(&projection.input, &projection.expr),
        LogicalPlan::Distinct(Distinct::On(on)) => picked(&on.input, &on.select_expr),
        LogicalPlan::SubqueryAlias(alias) => found(&alias.input),
        LogicalPlan::Filter(filter) => found(&filter.input),
        LogicalPlan::Sort(sort) => found(&sort.input),
        LogicalPlan::Limit(limit) => found(&limit.input),
        LogicalPlan::Distinct(Distinct::All(input)) => found(input),
        LogicalPlan::Window(window) => found(&window.input),
        LogicalPlan::Aggregate(aggregate) => {
            let keys = grouping_set_to_exprlist(&aggregate.group_expr).unwrap_or_default();
            let has_totals = matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]);
            let keys = picked(&aggregate.input, keys).into_iter();
            keys.map(|it| it.filter(|(_, not_null)| !(has_totals && *not_null))).collect()
        }
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::Inner => [found(&join.left), found(&join.right)].concat(),
            JoinType::Left => [found(&join.left), optional(&join.right)].concat(),
            JoinType::Right => [optional(&join.left), found(&join.right)].concat(),
            JoinType::Full => [optional(&join.left), optional(&join.right)].concat(),
            JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => found(&join.left),
            JoinType::RightSemi | JoinType::RightAnti => found(&join.right),
            JoinType::RightMark => Vec::new(),
        },
        _ => Vec::new(),
    };
    // What a node adds behind the columns of its input is its own.
    columns.resize(width, None);
    columns
}

/// Of the side of a join that may find no row of it.
fn optional(side: &LogicalPlan) -> Vec<Found> {
    found(side).into_iter().map(|it| it.filter(|(_, not_null)| !not_null)).collect()
}

fn picked<'e>(input: &LogicalPlan, exprs: impl IntoIterator<Item = &'e Expr>) -> Vec<Found> {
    let (origins, schema) = (found(input), input.schema());
    let origin = |expr: &Expr| match named(expr) {
        Expr::Column(column) => *origins.get(schema.maybe_index_of_column(column)?)?,
        _ => None,
    };
    exprs.into_iter().map(origin).collect()
}

fn named(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => named(&alias.expr),
        other => other,
    }
}
