//! Lateral subqueries that read no relation (`orders, unnest(tags) AS tag`): what they compute stands
//! beside the rows that they compute it from, so no join is needed.

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, NullHandling, UnnestOptions};
use datafusion::error::Result;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    EmptyRelation, Expr, Join, LogicalPlan, LogicalPlanBuilder, Projection, Unnest, lit,
};

/// The plan without the joins to such subqueries.
pub(super) fn beside_rows(plan: LogicalPlan) -> Result<LogicalPlan> {
    // What reads no row around it has no node of its own.
    let mut has_subqueries = false;
    plan.apply_with_subqueries(|node| {
        has_subqueries |= matches!(node, LogicalPlan::Subquery(_));
        Ok(if has_subqueries { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if !has_subqueries {
        return Ok(plan);
    }
    plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Join(join) = &node else { return Ok(Transformed::no(node)) };
        Ok(match computed(join)? {
            Some(computed) => Transformed::yes(computed),
            None => Transformed::no(node),
        })
    })
    .data()
}

/// Rows with what was computed from them.
struct Beside {
    /// The rows' columns first, then others.
    plan: LogicalPlan,
    /// Those of `plan` that are the computed query's, in its order. Their names are nobody else's.
    columns: Vec<Column>,
    /// Whether there is exactly one for each row.
    is_one: bool,
}

fn computed(join: &Join) -> Result<Option<LogicalPlan>> {
    let equals = join.on.iter().map(|(left, right)| left.clone().eq(right.clone()));
    let conditions = equals.chain(join.filter.clone()).filter(|condition| *condition != lit(true));
    let condition = conjunction(conditions);
    let keeps_rows = match join.join_type {
        JoinType::Inner => false,
        JoinType::Left if condition.is_none() => true,
        _ => return Ok(None),
    };
    let mut rows = Rows { rows: &join.left, keeps_rows, names: 0 };
    let Some(beside) = rows.with(&join.right)? else { return Ok(None) };
    let own = join.right.schema().iter().zip(beside.columns).map(|((relation, field), column)| {
        Expr::Column(column).alias_qualified(relation.cloned(), field.name())
    });
    let exprs = columns_of(&join.left).chain(own).collect::<Vec<_>>();
    let mut plan = LogicalPlanBuilder::from(beside.plan).project(exprs)?;
    if let Some(condition) = condition {
        plan = plan.filter(condition)?;
    }
    plan.build().map(Some)
}

fn columns_of(plan: &LogicalPlan) -> impl Iterator<Item = Expr> {
    plan.schema().columns().into_iter().map(Expr::Column)
}

/// The rows that queries are computed beside.
struct Rows<'p> {
    rows: &'p LogicalPlan,
    /// Whether there is one of each row that nothing is computed of.
    keeps_rows: bool,
    /// How many columns have got a name.
    names: usize,
}

impl Rows<'_> {
    /// The rows with what a query computes of them; None where it reads anything else.
    fn with(&mut self, query: &LogicalPlan) -> Result<Option<Beside>> {
        match query {
            LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: true, .. }) => {
                Ok(Some(Beside { plan: self.rows.clone(), columns: Vec::new(), is_one: true }))
            }
            LogicalPlan::Subquery(lateral) => self.with(&lateral.subquery),
            LogicalPlan::SubqueryAlias(alias) => self.with(&alias.input),
            LogicalPlan::Projection(projection) => self.projected(projection),
            LogicalPlan::Unnest(unnest) => self.unnested(unnest),
            _ => Ok(None),
        }
    }

    fn projected(&mut self, projection: &Projection) -> Result<Option<Beside>> {
        let Some(below) = self.with(&projection.input)? else { return Ok(None) };
        let known = projection.input.schema().columns();
        let mut exprs: Vec<Expr> = columns_of(self.rows).collect();
        let mut columns = Vec::with_capacity(projection.expr.len());
        for expr in &projection.expr {
            let expr = expr.clone().unalias_nested().data;
            // Where there was no row, everything is NULL, whatever it would be of NULLs.
            if self.keeps_rows && !below.is_one && !matches!(expr, Expr::Column(_)) {
                return Ok(None);
            }
            self.names += 1;
            let name = format!("__lateral{}", self.names);
            exprs.push(over_rows(expr, &known, &below.columns)?.alias(&name));
            columns.push(Column::new_unqualified(name));
        }
        let plan = LogicalPlanBuilder::from(below.plan).project(exprs)?.build()?;
        Ok(Some(Beside { plan, columns, is_one: below.is_one }))
    }

    fn unnested(&mut self, unnest: &Unnest) -> Result<Option<Beside>> {
        let is_flat = unnest.list_type_columns.iter().all(|(_, list)| list.depth == 1);
        if !is_flat || !unnest.struct_type_columns.is_empty() {
            return Ok(None);
        }
        let Some(below) = self.with(&unnest.input)? else { return Ok(None) };
        if self.keeps_rows && !below.is_one {
            return Ok(None);
        }
        let lists = unnest.list_type_columns.iter().map(|(at, _)| below.columns[*at].clone());
        let null_handling = match self.keeps_rows {
            true => NullHandling::PreserveAndExpandEmpty,
            false => NullHandling::Drop,
        };
        let options = UnnestOptions { null_handling, recursions: Vec::new() };
        let plan = LogicalPlanBuilder::from(below.plan)
            .unnest_columns_with_options(lists.collect(), options)?
            .build()?;
        let of_input = unnest.dependency_indices.iter();
        let columns = of_input.map(|at| below.columns[*at].clone()).collect();
        Ok(Some(Beside { plan, columns, is_one: false }))
    }
}

/// An expression of the query over the rows: their columns are no longer outside of it, and its own
/// have other names.
fn over_rows(expr: Expr, known: &[Column], columns: &[Column]) -> Result<Expr> {
    expr.transform_up(|expr| {
        Ok(match &expr {
            Expr::OuterReferenceColumn(_, column) => Transformed::yes(Expr::Column(column.clone())),
            Expr::Column(column) => match known.iter().position(|it| it == column) {
                Some(at) => Transformed::yes(Expr::Column(columns[at].clone())),
                None => Transformed::no(expr),
            },
            _ => Transformed::no(expr),
        })
    })
    .data()
}
