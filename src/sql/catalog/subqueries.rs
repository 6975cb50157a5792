//! Subqueries that DataFusion can't turn into joins, worked out row by row.
//!
//! DataFusion joins a correlated subquery in where the correlation is an equality in WHERE. What
//! clients ask of the catalogue goes further: scalar subqueries without an aggregate in select
//! lists, `ARRAY(SELECT …)`, correlations by `= ANY` or by a function's argument, LATERAL. Each
//! becomes a function of the outer columns that it reads; for each distinct tuple of these the
//! subquery is planned with the values in it, and run. The catalogue's tables are small, and the
//! tuples few.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, StructArray, new_empty_array};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ScalarValue, metadata::FieldMetadata};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr::{Exists, InSubquery, ScalarFunction};
use datafusion::logical_expr::utils::{merge_schema, split_conjunction};
use datafusion::logical_expr::{
    ColumnarValue, Expr, Join, JoinType, LogicalPlan, LogicalPlanBuilder, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Subquery, TypeSignature, Volatility,
};
use datafusion::physical_plan::{ExecutionPlan, collect};

use super::error::CatalogError;
use super::relations::CatalogTable;
use super::syntax::ARRAY_SUBQUERY;
use super::typing::list_of;
use crate::functions::{keeping_names, with_known_casts};

/// Which subqueries become functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Those that DataFusion surely can't join.
    Needed,
    /// All, but for uncorrelated scalar ones.
    All,
}

/// Optimises a plan and makes it executable, with as few subqueries worked out row by row as
/// possible.
pub(super) async fn physical_plan(
    plan: &LogicalPlan,
    state: &Arc<SessionState>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = with_known_casts(plan.clone())?;
    let needed = replace(plan.clone(), state, Scope::Needed)?;
    match state.create_physical_plan(&needed).await {
        Ok(physical) => Ok(physical),
        Err(error) => {
            let all = replace(plan, state, Scope::All)?;
            // Where that changes nothing, the first error is the one to tell.
            if all == needed {
                return Err(error);
            }
            state.create_physical_plan(&all).await
        }
    }
}

fn replace(plan: LogicalPlan, state: &Arc<SessionState>, scope: Scope) -> Result<LogicalPlan> {
    let plan = plan.transform_down(without_idle_lateral)?.data;
    let done = plan.transform_up(|node| {
        let node = match node {
            LogicalPlan::Join(join) if is_lateral(&join.right) => lateral_join(join, state)?,
            other => other,
        };
        if !has_subquery(&node) {
            return Ok(Transformed::yes(node.recompute_schema()?));
        }
        let schema = merge_schema(&node.inputs());
        let joinable = joinable_conjuncts(&node, scope);
        let node = keeping_names(node, |expr| {
            expr.transform_down(|expr| {
                if joinable.contains(&expr) {
                    return Ok(Transformed::new(expr, false, TreeNodeRecursion::Jump));
                }
                replace_expr(expr, &schema, state)
            })
        })?;
        Ok(Transformed::yes(node.data.recompute_schema()?))
    })?;
    Ok(done.data)
}

fn has_subquery(node: &LogicalPlan) -> bool {
    let mut found = false;
    let _ = node.apply_expressions(|expr| {
        found |= expr.exists(|expr| {
            Ok(matches!(expr, Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_)))
        })?;
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

/// The conditions of a filter that DataFusion turns into semi and anti joins.
fn joinable_conjuncts(node: &LogicalPlan, scope: Scope) -> Vec<Expr> {
    let LogicalPlan::Filter(filter) = node else { return Vec::new() };
    let conjuncts = split_conjunction(&filter.predicate).into_iter();
    let joinable = conjuncts.filter(|expr| match expr {
        Expr::Exists(Exists { subquery, .. }) | Expr::InSubquery(InSubquery { subquery, .. }) => {
            scope == Scope::Needed && !is_always_empty(&subquery.subquery)
        }
        _ => false,
    });
    joinable.cloned().collect()
}

fn replace_expr(
    expr: Expr,
    schema: &DFSchema,
    state: &Arc<SessionState>,
) -> Result<Transformed<Expr>> {
    let build = |kind, subquery: &Subquery, needle: Option<Expr>| {
        function_of(kind, &subquery.subquery, needle, schema, state).map(Transformed::yes)
    };
    match expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == ARRAY_SUBQUERY => {
            match args.iter().map(uncast).collect::<Vec<_>>().as_slice() {
                [Expr::ScalarSubquery(subquery)] if is_always_empty(&subquery.subquery) => {
                    let item = subquery.subquery.schema().field(0).data_type().clone();
                    let empty = ScalarValue::List(ScalarValue::new_list_nullable(&[], &item));
                    Ok(Transformed::yes(Expr::Literal(empty, None)))
                }
                [Expr::ScalarSubquery(subquery)] => build(Kind::Array, subquery, None),
                _ => Err(DataFusionError::Internal("ARRAY of no subquery".to_owned())),
            }
        }
        Expr::ScalarSubquery(subquery) if is_always_empty(&subquery.subquery) => {
            let field = subquery.subquery.schema().field(0);
            Ok(Transformed::yes(literal(ScalarValue::try_from(field.data_type())?, field)))
        }
        // Its outer columns may be read by subqueries inside it alone.
        Expr::ScalarSubquery(subquery) if !free_references(&subquery.subquery)?.is_empty() => {
            build(Kind::Scalar, &subquery, None)
        }
        Expr::Exists(Exists { subquery, negated })
        | Expr::InSubquery(InSubquery { subquery, negated, .. })
            if is_always_empty(&subquery.subquery) =>
        {
            Ok(Transformed::yes(Expr::Literal(ScalarValue::Boolean(Some(negated)), None)))
        }
        Expr::Exists(Exists { subquery, negated }) => {
            let exists = build(Kind::Exists, &subquery, None)?;
            Ok(exists.update_data(|exists| if negated { !exists } else { exists }))
        }
        Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
            let within = build(Kind::In, &subquery, Some(*expr))?;
            Ok(within.update_data(|within| if negated { !within } else { within }))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// An expression without the cast that only tells its Postgres type.
fn uncast(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(cast) => cast.expr.as_ref(),
        other => other,
    }
}

/// Whether a plan gives no row, whatever the definitions: a relation of which canon has none, such
/// as triggers, joined with anything.
fn is_always_empty(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let source = scan
                .source
                .downcast_ref::<datafusion::catalog::default_table_source::DefaultTableSource>();
            let table = source.and_then(|source| source.table_provider.downcast_ref());
            table.is_some_and(CatalogTable::is_always_empty)
        }
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::Unnest(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Union(_) => plan.inputs().into_iter().all(is_always_empty),
        LogicalPlan::Aggregate(aggregate) => {
            !aggregate.group_expr.is_empty() && is_always_empty(&aggregate.input)
        }
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::Inner => is_always_empty(&join.left) || is_always_empty(&join.right),
            JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti => is_always_empty(&join.left),
            JoinType::Right | JoinType::RightSemi | JoinType::RightAnti => {
                is_always_empty(&join.right)
            }
            _ => false,
        },
        _ => false,
    }
}

// ---- outer references ----

/// The outer columns that a plan reads and doesn't get from itself.
fn free_references(plan: &LogicalPlan) -> Result<Vec<(Column, FieldRef)>> {
    let mut free: Vec<(Column, FieldRef)> = Vec::new();
    let mut add = |column: &Column, field: &FieldRef| {
        if !free.iter().any(|(known, _)| known == column) {
            free.push((column.clone(), Arc::clone(field)));
        }
    };
    plan.apply(|node| {
        let lateral = lateral_free_references(node)?;
        let go_on = match lateral {
            Some(_) => TreeNodeRecursion::Jump,
            None => TreeNodeRecursion::Continue,
        };
        lateral.into_iter().flatten().for_each(|(column, field)| add(&column, &field));
        let schema = merge_schema(&node.inputs());
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                match expr {
                    Expr::OuterReferenceColumn(field, column) => add(column, field),
                    Expr::Exists(Exists { subquery, .. })
                    | Expr::InSubquery(InSubquery { subquery, .. })
                    | Expr::ScalarSubquery(subquery) => {
                        for (column, field) in free_references(&subquery.subquery)? {
                            if !schema.has_column(&column) {
                                add(&column, &field);
                            }
                        }
                    }
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        Ok(go_on)
    })?;
    Ok(free)
}

/// The outer columns that the sides of a lateral join read: the right side reads the left one's too,
/// which are none.
fn lateral_free_references(node: &LogicalPlan) -> Result<Option<Vec<(Column, FieldRef)>>> {
    let LogicalPlan::Join(join) = node else { return Ok(None) };
    if !is_lateral(&join.right) {
        return Ok(None);
    }
    let of_right = free_references(&join.right)?.into_iter();
    let of_right = of_right.filter(|(column, _)| !join.left.schema().has_column(column));
    Ok(Some(free_references(&join.left)?.into_iter().chain(of_right).collect()))
}

/// A plan with values for outer columns, in its own subqueries too where they don't have columns of
/// the same name.
fn substitute(plan: LogicalPlan, values: &HashMap<Column, ScalarValue>) -> Result<LogicalPlan> {
    let done = plan.transform_up(|node| {
        let schema = merge_schema(&node.inputs());
        let inner = |subquery: Subquery| -> Result<Subquery> {
            let visible = values.iter().filter(|(column, _)| !schema.has_column(column));
            let visible = visible.map(|(column, value)| (column.clone(), value.clone())).collect();
            let plan = substitute(subquery.subquery.as_ref().clone(), &visible)?;
            let outer_ref_columns = plan.all_out_ref_exprs();
            Ok(Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: subquery.spans })
        };
        let node = keeping_names(node, |expr| {
            expr.transform_up(|expr| {
                Ok(match expr {
                    Expr::OuterReferenceColumn(field, column) => match values.get(&column) {
                        Some(value) => Transformed::yes(literal(value.clone(), &field)),
                        None => Transformed::no(Expr::OuterReferenceColumn(field, column)),
                    },
                    Expr::Exists(Exists { subquery, negated }) => {
                        Transformed::yes(Expr::Exists(Exists {
                            subquery: inner(subquery)?,
                            negated,
                        }))
                    }
                    Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                        Transformed::yes(Expr::InSubquery(InSubquery {
                            expr,
                            subquery: inner(subquery)?,
                            negated,
                        }))
                    }
                    Expr::ScalarSubquery(subquery) => {
                        Transformed::yes(Expr::ScalarSubquery(inner(subquery)?))
                    }
                    other => Transformed::no(other),
                })
            })
        })?;
        Ok(Transformed::yes(node.data.recompute_schema()?))
    })?;
    Ok(done.data)
}

fn literal(value: ScalarValue, field: &Field) -> Expr {
    let metadata = FieldMetadata::from(field.metadata());
    Expr::Literal(value, (!metadata.is_empty()).then_some(metadata))
}

// ---- lateral joins ----

fn is_lateral(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Subquery(_) => true,
        LogicalPlan::SubqueryAlias(alias) => matches!(*alias.input, LogicalPlan::Subquery(_)),
        _ => false,
    }
}

/// Takes the marker of a lateral subquery away where it isn't the right side of a join: there the
/// outer columns that it reads are those of an outer query.
fn without_idle_lateral(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match node {
        LogicalPlan::Join(mut join) if is_lateral(&join.left) => {
            join.left = Arc::new(unmarked(Arc::unwrap_or_clone(join.left))?);
            Ok(Transformed::yes(LogicalPlan::Join(join)))
        }
        LogicalPlan::Join(_) | LogicalPlan::SubqueryAlias(_) => Ok(Transformed::no(node)),
        other => other.map_children(|child| {
            if is_lateral(&child) {
                unmarked(child).map(Transformed::yes)
            } else {
                Ok(Transformed::no(child))
            }
        }),
    }
}

fn unmarked(plan: LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Subquery(subquery) => Ok(Arc::unwrap_or_clone(subquery.subquery)),
        other => Ok(other.map_children(|child| unmarked(child).map(Transformed::yes))?.data),
    }
}

/// `left JOIN LATERAL right`: for each row of the left side the array of the right side's rows,
/// then a row for each of its elements.
fn lateral_join(join: Join, state: &Arc<SessionState>) -> Result<LogicalPlan> {
    const ROWS: &str = "canon_lateral_rows";
    let preserve = match join.join_type {
        JoinType::Inner => false,
        JoinType::Left => true,
        _ => {
            return Err(CatalogError::NotSupported { what: "this join with LATERAL".into() }.into());
        }
    };
    let right_schema = Arc::clone(join.right.schema());
    let subquery = match join.right.as_ref() {
        LogicalPlan::SubqueryAlias(alias) => Arc::clone(&alias.input),
        _ => Arc::clone(&join.right),
    };
    let LogicalPlan::Subquery(subquery) = subquery.as_ref() else {
        return Err(DataFusionError::Internal("a lateral join of no subquery".to_owned()));
    };
    let left_schema = Arc::clone(join.left.schema());
    let kind = if preserve { Kind::RowsIfAny } else { Kind::Rows };
    let (matching, condition) = match (preserve, condition_of(&join)) {
        (true, Some(condition)) if !is_true(&condition) => {
            (matching(&subquery.subquery, condition, &right_schema, &left_schema)?, None)
        }
        (true, _) => (Arc::clone(&subquery.subquery), None),
        (false, condition) => (Arc::clone(&subquery.subquery), condition),
    };
    let rows = function_of(kind, &matching, None, &left_schema, state)?;
    let left_columns = || left_schema.iter().map(|column| Expr::Column(Column::from(column)));
    let with_rows = left_columns().chain([rows.alias(ROWS)]);
    let unnested = LogicalPlanBuilder::from(join.left.as_ref().clone())
        .project(with_rows)?
        .unnest_column_with_options(
            ROWS,
            datafusion::common::UnnestOptions::new().with_preserve_nulls(preserve),
        )?;
    let right_columns = right_schema.iter().enumerate().map(|(at, (qualifier, field))| {
        let row = Expr::Column(Column::from_name(ROWS));
        datafusion::functions::core::expr_fn::get_field(row, struct_field_name(at))
            .alias_qualified(qualifier.cloned(), field.name())
    });
    let joined = unnested.project(left_columns().chain(right_columns))?;
    match condition {
        Some(condition) => joined.filter(condition)?.build(),
        None => joined.build(),
    }
}

fn condition_of(join: &Join) -> Option<Expr> {
    let on = join.on.iter().map(|(left, right)| left.clone().eq(right.clone()));
    on.chain(join.filter.clone()).reduce(Expr::and)
}

/// The rows of a lateral subquery that a join's condition lets through, which is over the join's
/// columns.
fn matching(
    subquery: &Arc<LogicalPlan>,
    condition: Expr,
    right: &DFSchema,
    left: &DFSchema,
) -> Result<Arc<LogicalPlan>> {
    let condition = condition.transform_up(|expr| {
        let Expr::Column(column) = &expr else { return Ok(Transformed::no(expr)) };
        if let Some(index) = right.maybe_index_of_column(column) {
            let own = Column::from(subquery.schema().qualified_field(index));
            return Ok(Transformed::yes(Expr::Column(own)));
        }
        let field = Arc::clone(left.qualified_field_from_column(column)?.1);
        Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column.clone())))
    })?;
    let rows = LogicalPlanBuilder::from(Arc::clone(subquery)).filter(condition.data)?.build()?;
    Ok(Arc::new(rows))
}

fn is_true(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Boolean(Some(true)), _))
}

fn struct_field_name(at: usize) -> String {
    format!("c{at}")
}

// ---- the function ----

/// How often one subquery is run in a batch of its outer rows: beyond, the answer would take
/// minutes, and no client asks so.
const RUNS_MAX: usize = 100_000;

/// What a subquery's rows come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Scalar,
    Array,
    Exists,
    In,
    /// An array of the rows as structs.
    Rows,
    /// The same; NULL where there is none, which `unnest` keeps on demand, and no empty array.
    RowsIfAny,
}

/// A subquery as a function of the outer columns that it reads, and of what is looked for in it.
fn function_of(
    kind: Kind,
    subquery: &Arc<LogicalPlan>,
    needle: Option<Expr>,
    schema: &DFSchema,
    state: &Arc<SessionState>,
) -> Result<Expr> {
    let mut columns = Vec::new();
    let mut args: Vec<Expr> = needle.into_iter().collect();
    for (column, field) in free_references(subquery)? {
        if schema.has_column(&column) {
            args.push(Expr::Column(column.clone()));
        } else {
            args.push(Expr::OuterReferenceColumn(field, column.clone()));
        }
        columns.push(column);
    }
    let udf = SubqueryUdf {
        kind,
        plan: Arc::clone(subquery),
        columns,
        returns: returns(kind, subquery),
        state: Arc::clone(state),
        signature: Signature::one_of(
            vec![TypeSignature::Nullary, TypeSignature::VariadicAny],
            Volatility::Stable,
        ),
    };
    let func = Arc::new(ScalarUDF::from(udf));
    Ok(Expr::ScalarFunction(ScalarFunction { func, args }))
}

fn returns(kind: Kind, subquery: &LogicalPlan) -> FieldRef {
    let first = || subquery.schema().field(0);
    let field = match kind {
        Kind::Scalar => first().as_ref().clone().with_nullable(true),
        Kind::Array => Field::new("array", list_of(first().data_type().clone()), true),
        Kind::Exists | Kind::In => Field::new("exists", DataType::Boolean, true),
        Kind::Rows | Kind::RowsIfAny => {
            let fields = subquery.schema().fields().iter().enumerate().map(|(at, field)| {
                field.as_ref().clone().with_name(struct_field_name(at)).with_nullable(true)
            });
            let row = DataType::Struct(fields.collect::<Vec<_>>().into());
            Field::new("rows", list_of(row), true)
        }
    };
    Arc::new(field)
}

struct SubqueryUdf {
    kind: Kind,
    plan: Arc<LogicalPlan>,
    /// The outer columns, in the order of the arguments, behind the needle of IN.
    columns: Vec<Column>,
    returns: FieldRef,
    state: Arc<SessionState>,
    signature: Signature,
}

impl std::fmt::Debug for SubqueryUdf {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SubqueryUdf").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl PartialEq for SubqueryUdf {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.columns == other.columns && self.plan == other.plan
    }
}

impl Eq for SubqueryUdf {}

impl Hash for SubqueryUdf {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.kind.hash(hasher);
        self.columns.hash(hasher);
        self.plan.hash(hasher);
    }
}

impl ScalarUDFImpl for SubqueryUdf {
    fn name(&self) -> &'static str {
        "canon_subquery"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.returns.data_type().clone())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::clone(&self.returns))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let tuples = (0..rows).map(|row| {
            let tuple = arrays.iter().map(|array| ScalarValue::try_from_array(array, row));
            tuple.collect::<Result<Vec<_>>>()
        });
        let tuples = tuples.collect::<Result<Vec<_>>>()?;
        let results = self.results(&tuples)?;
        if constant {
            let result = results.into_iter().next();
            return result
                .map(ColumnarValue::Scalar)
                .ok_or_else(|| DataFusionError::Internal("a subquery gave no result".to_owned()));
        }
        if results.is_empty() {
            return Ok(ColumnarValue::Array(new_empty_array(self.returns.data_type())));
        }
        Ok(ColumnarValue::Array(ScalarValue::iter_to_array(results)?))
    }
}

impl SubqueryUdf {
    /// Runs the subquery once for each distinct tuple. The streams are driven on a thread of their
    /// own, since this one belongs to a runtime that must not be blocked on itself.
    fn results(&self, tuples: &[Vec<ScalarValue>]) -> Result<Vec<ScalarValue>> {
        let work = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .map_err(|error| DataFusionError::External(Box::new(error)))?;
            let mut known: HashMap<&[ScalarValue], ScalarValue> = HashMap::new();
            let mut results = Vec::with_capacity(tuples.len());
            for tuple in tuples {
                let result = match known.get(tuple.as_slice()) {
                    Some(result) => result.clone(),
                    None if known.len() >= RUNS_MAX => {
                        return Err(CatalogError::TooComplex.into());
                    }
                    None => {
                        let result = runtime.block_on(self.result(tuple))?;
                        known.insert(tuple, result.clone());
                        result
                    }
                };
                results.push(result);
            }
            Ok(results)
        };
        std::thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|_| {
            Err(DataFusionError::Internal("a subquery's thread panicked".to_owned()))
        })
    }

    async fn result(&self, tuple: &[ScalarValue]) -> Result<ScalarValue> {
        let (needle, outer) = tuple.split_at(tuple.len() - self.columns.len());
        let values = self.columns.iter().cloned().zip(outer.iter().cloned()).collect();
        let plan = substitute(self.plan.as_ref().clone(), &values)?;
        let physical = Box::pin(physical_plan(&plan, &self.state)).await?;
        let schema = physical.schema();
        let batches = collect(physical, self.state.task_ctx()).await?;
        let rows = concat_batches(&schema, &batches)?;
        let result = match self.kind {
            Kind::Exists => ScalarValue::Boolean(Some(rows.num_rows() > 0)),
            Kind::Scalar => scalar_of(&rows, self.returns.data_type())?,
            Kind::In => within(needle.first(), rows.column(0))?,
            Kind::Array => array_of(rows.column(0))?,
            Kind::RowsIfAny if rows.num_rows() == 0 => {
                ScalarValue::try_from(self.returns.data_type())?
            }
            Kind::Rows | Kind::RowsIfAny => array_of(&structs_of(&rows)?)?,
        };
        result.cast_to(self.returns.data_type())
    }
}

fn scalar_of(rows: &RecordBatch, data_type: &DataType) -> Result<ScalarValue> {
    match rows.num_rows() {
        0 => ScalarValue::try_from(data_type),
        1 => ScalarValue::try_from_array(rows.column(0), 0),
        _ => Err(CatalogError::Cardinality.into()),
    }
}

/// SQL's `IN`: unknown where a NULL could be the needle.
fn within(needle: Option<&ScalarValue>, haystack: &ArrayRef) -> Result<ScalarValue> {
    let Some(needle) = needle else { return Ok(ScalarValue::Boolean(None)) };
    if haystack.is_empty() {
        return Ok(ScalarValue::Boolean(Some(false)));
    }
    let mut unknown = needle.is_null();
    for row in 0..haystack.len() {
        let item = ScalarValue::try_from_array(haystack, row)?;
        if item.is_null() {
            unknown = true;
        } else if item == needle.cast_to(&item.data_type())? {
            return Ok(ScalarValue::Boolean(Some(true)));
        }
    }
    Ok(ScalarValue::Boolean((!unknown).then_some(false)))
}

fn array_of(items: &ArrayRef) -> Result<ScalarValue> {
    let scalars = (0..items.len()).map(|row| ScalarValue::try_from_array(items, row));
    let scalars = scalars.collect::<Result<Vec<_>>>()?;
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(&scalars, items.data_type())))
}

fn structs_of(rows: &RecordBatch) -> Result<ArrayRef> {
    let schema: &Schema = rows.schema_ref();
    let fields = schema.fields().iter().enumerate().map(|(at, field)| {
        field.as_ref().clone().with_name(struct_field_name(at)).with_nullable(true)
    });
    let fields: Vec<Field> = fields.collect();
    let structs = StructArray::try_new_with_length(
        fields.into(),
        rows.columns().to_vec(),
        None,
        rows.num_rows(),
    )?;
    Ok(Arc::new(structs))
}
