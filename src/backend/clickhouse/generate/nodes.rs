//! From the nodes of a plan to SELECT blocks.

use std::collections::HashMap;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema, JoinType, NullEquality, ScalarValue};
use datafusion::logical_expr::{
    Distinct, EmptyRelation, Expr, FetchType, Filter, Join, Limit, LogicalPlan, Operator,
    Projection, SkipType, Sort, SortExpr, TableScan, Union, Values,
};

use super::block::{Block, Stage, parenthesised};
use super::compare;
use super::expr::{Scope, conjuncts};
use super::literal::{self, clickhouse_type};
use super::native::{self, Native};
use super::value::{Level, Value};
use super::{NotPushable, Result, nan};
use crate::backend::clickhouse::facts::TableFactsSource;
use crate::functions::shares;
use crate::plan::history;
use crate::plan::latest::Latest;
use crate::plan::source::SourceTable;
use crate::plan::spread::Spread;

/// Plans deeper than this aren't pushed: the walk is recursive.
const DEPTH_MAX: usize = 150;

/// An expression longer than this is written once, in a block of its own, where the next
/// projection would repeat it: so the statement stays linear in the plan's size.
const INLINE_MAX: usize = 200;

/// The columns of a node that somebody above it asks for, by position.
pub(crate) type Asked = Vec<bool>;

/// One walk over a plan.
pub(crate) struct Generator<'a> {
    pub(crate) tables: &'a dyn TableFactsSource,
    blocks: usize,
    depth: usize,
    pub(crate) expr_depth: usize,
}

impl<'a> Generator<'a> {
    pub(crate) fn new(tables: &'a dyn TableFactsSource) -> Self {
        Self { tables, blocks: 0, depth: 0, expr_depth: 0 }
    }

    /// The whole plan with all its columns.
    pub(crate) fn statement(&mut self, plan: &LogicalPlan) -> Result<String> {
        let block = self.build(plan, &vec![true; plan.schema().fields().len()])?;
        final_select(&block)
    }

    /// A plan as a parenthesised sub-query.
    pub(crate) fn subquery_text(&mut self, plan: &LogicalPlan) -> Result<String> {
        let expr_depth = std::mem::take(&mut self.expr_depth);
        let sql = self.statement(plan);
        self.expr_depth = expr_depth;
        Ok(parenthesised(&sql?))
    }

    pub(crate) fn next_alias(&mut self) -> String {
        self.blocks += 1;
        format!("t{}", self.blocks)
    }

    pub(crate) fn build(&mut self, plan: &LogicalPlan, asked: &[bool]) -> Result<Block> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(NotPushable::new("a plan that is nested too deeply"));
        }
        let block = self.node(plan, asked);
        self.depth -= 1;
        block
    }

    fn node(&mut self, plan: &LogicalPlan, asked: &[bool]) -> Result<Block> {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan, asked, ""),
            LogicalPlan::SubqueryAlias(alias) => self.build(&alias.input, asked),
            LogicalPlan::Subquery(subquery) => self.build(&subquery.subquery, asked),
            LogicalPlan::Projection(projection) => self.projection(projection, asked),
            LogicalPlan::Filter(filter) => self.filter(filter, asked),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate, asked),
            LogicalPlan::Window(window) => self.window(window, asked),
            LogicalPlan::Sort(sort) => self.sort(sort, asked),
            LogicalPlan::Limit(limit) => self.limit(limit, asked),
            LogicalPlan::Join(join) => self.join(join, asked),
            LogicalPlan::Union(union) => self.union(union, asked),
            LogicalPlan::Distinct(Distinct::All(input)) => self.distinct(input),
            LogicalPlan::Values(values) => self.values(values, asked),
            LogicalPlan::EmptyRelation(empty) => self.empty(empty),
            LogicalPlan::Extension(extension) => match Latest::of(extension) {
                Some(latest) => self.latest(latest, asked, &[]),
                None if let Some(spread) = Spread::of(extension) => self.spread(spread, asked),
                None => Err(NotPushable::new(format!("the plan node {}", extension.node.name()))),
            },
            other => Err(NotPushable::new(format!("the plan node {}", node_name(other)))),
        }
    }

    /// `modifier` is what stands behind the alias: ` FINAL`, or nothing.
    pub(crate) fn scan(
        &mut self,
        scan: &TableScan,
        asked: &[bool],
        modifier: &str,
    ) -> Result<Block> {
        let source = SourceTable::of(&scan.source)
            .ok_or_else(|| NotPushable::new("a table that isn't ClickHouse's"))?;
        if !scan.filters.is_empty() || scan.fetch.is_some() {
            return Err(NotPushable::new("a scan with filters or a limit in it"));
        }
        let alias = self.next_alias();
        let positions: Vec<usize> = match &scan.projection {
            Some(projection) => projection.clone(),
            None => (0..source.columns.len()).collect(),
        };
        let mut columns = Vec::with_capacity(positions.len());
        for (position, asked) in positions.iter().zip(asked) {
            let column = source
                .columns
                .get(*position)
                .ok_or_else(|| NotPushable::new("internal: a scan of a column that isn't there"))?;
            columns.push(if *asked { Some(native::read(&alias, column)?) } else { None });
        }
        let table = literal::identifier(&source.table);
        Ok(Block::new(format!("{table} AS {alias}{modifier}"), columns))
    }

    fn projection(&mut self, projection: &Projection, asked: &[bool]) -> Result<Block> {
        let exprs: Vec<Option<&Expr>> =
            projection.expr.iter().zip(asked).map(|(expr, asked)| asked.then_some(expr)).collect();
        let schema = projection.input.schema();
        let input_asked = columns_of(exprs.iter().flatten().copied(), schema);
        let mut block = self.build(&projection.input, &input_asked)?;
        if block.distinct || repeats(&block, exprs.iter().flatten().copied(), schema) {
            block = self.nest(block)?;
        }
        let mut columns = Vec::with_capacity(exprs.len());
        for expr in exprs {
            columns.push(match expr {
                Some(expr) => Some(self.expr(expr, Scope { schema, columns: &block.columns })?),
                None => None,
            });
        }
        block.columns = columns;
        Ok(block)
    }

    fn filter(&mut self, filter: &Filter, asked: &[bool]) -> Result<Block> {
        let schema = filter.input.schema();
        let mut conditions = conjuncts(&filter.predicate);
        let input_asked = with_columns_of(asked, conditions.iter().copied(), schema);
        let mut block = match &*filter.input {
            LogicalPlan::Extension(extension) if let Some(latest) = Latest::of(extension) => {
                let on_key = |condition: &&Expr| is_over(condition, &latest.dedupe.by);
                let below: Vec<&Expr> = conditions.iter().copied().filter(on_key).collect();
                conditions.retain(|condition| !on_key(condition));
                self.latest(latest, &input_asked, &below)?
            }
            input => self.build(input, &input_asked)?,
        };
        if block.stage > Stage::Having || block.has_windows() {
            block = self.nest(block)?;
        }
        self.add_filters(&mut block, &conditions, schema)?;
        Ok(block)
    }

    /// Adds conditions to WHERE, or to HAVING behind a GROUP BY.
    pub(crate) fn add_filters(
        &mut self,
        block: &mut Block,
        conditions: &[&Expr],
        schema: &DFSchema,
    ) -> Result<()> {
        let mut sql = Vec::with_capacity(conditions.len());
        for condition in conditions {
            let scope = Scope { schema, columns: &block.columns };
            let value = match condition {
                Expr::InSubquery(subquery) => self.filtering_in_subquery(subquery, scope)?,
                condition => self.expr(condition, scope)?,
            };
            if value.literal != Some(ScalarValue::Boolean(Some(true))) {
                sql.push(value.at(super::value::Binding::And));
            }
        }
        if block.group_by.is_some() {
            block.enter(Stage::Having);
            block.having.extend(sql);
        } else {
            block.enter(Stage::Where);
            block.filters.extend(sql);
        }
        Ok(())
    }

    fn sort(&mut self, sort: &Sort, asked: &[bool]) -> Result<Block> {
        let schema = sort.input.schema();
        let keys = sort.expr.iter().map(|key| &key.expr);
        let mut block = self.build(&sort.input, &with_columns_of(asked, keys, schema))?;
        if block.stage >= Stage::Limit {
            block = self.nest(block)?;
        }
        block.order_by = self.sort_keys(&sort.expr, Scope { schema, columns: &block.columns })?;
        block.enter(Stage::Order);
        if let Some(fetch) = sort.fetch {
            block.limit = Some(u64::try_from(fetch).unwrap_or(u64::MAX));
            block.enter(Stage::Limit);
        }
        Ok(block)
    }

    /// The keys of an ORDER BY; constants order nothing, and a number would be taken for a position.
    pub(crate) fn sort_keys(&mut self, keys: &[SortExpr], scope: Scope) -> Result<Vec<String>> {
        let mut sql = Vec::with_capacity(keys.len());
        for key in keys {
            let value = self.expr(&key.expr, scope)?;
            if value.literal.is_some() {
                continue;
            }
            let expr = match &value.native {
                Some(native) if native.is_ordered() => native.sql.clone(),
                _ => value.sql.clone(),
            };
            let direction = if key.asc { "ASC" } else { "DESC" };
            let nulls = if key.nulls_first { "FIRST" } else { "LAST" };
            let is_nan = nan::sort_key(&value, &expr, key.asc, key.nulls_first);
            sql.extend(is_nan.map(|is_nan| format!("{is_nan} {direction} NULLS {nulls}")));
            sql.push(format!("{expr} {direction} NULLS {nulls}"));
        }
        Ok(sql)
    }

    fn limit(&mut self, limit: &Limit, asked: &[bool]) -> Result<Block> {
        let internal = super::expr::untyped;
        let SkipType::Literal(skip) = limit.get_skip_type().map_err(internal)? else {
            return Err(NotPushable::new("OFFSET that isn't a constant"));
        };
        let FetchType::Literal(fetch) = limit.get_fetch_type().map_err(internal)? else {
            return Err(NotPushable::new("LIMIT that isn't a constant"));
        };
        let mut block = self.build(&limit.input, asked)?;
        if block.stage >= Stage::Limit {
            block = self.nest(block)?;
        }
        block.enter(Stage::Limit);
        block.limit = fetch.map(|fetch| u64::try_from(fetch).unwrap_or(u64::MAX));
        block.offset = u64::try_from(skip).unwrap_or(u64::MAX);
        Ok(block)
    }

    fn distinct(&mut self, input: &LogicalPlan) -> Result<Block> {
        let mut block = self.build(input, &vec![true; input.schema().fields().len()])?;
        if block.stage >= Stage::Distinct {
            block = self.nest(block)?;
        }
        for column in block.columns.iter_mut().flatten() {
            *column = nan::key(column.clone())?;
        }
        block.distinct = true;
        block.enter(Stage::Distinct);
        Ok(block)
    }

    fn union(&mut self, union: &Union, asked: &[bool]) -> Result<Block> {
        let fields = union.schema.fields();
        let mut parts = Vec::with_capacity(union.inputs.len());
        let mut may_be_nan = vec![false; fields.len()];
        for input in &union.inputs {
            let block = self.build(input, asked)?;
            let mut select = Vec::new();
            for ((column, field), may_be_nan) in
                block.columns.iter().zip(fields).zip(&mut may_be_nan)
            {
                if let Some(value) = column {
                    *may_be_nan |= nan::is_possible(value);
                    select.push(union_item(value, field.data_type())?);
                }
            }
            // ClickHouse would take ORDER BY and LIMIT behind a UNION for the last SELECT's own.
            let sql = block.render(&select);
            let own_end = block.stage >= Stage::Order;
            parts.push(if own_end {
                format!("SELECT * FROM {}", parenthesised(&sql))
            } else {
                sql
            });
        }
        let alias = self.next_alias();
        let from = format!("{} AS {alias}", parenthesised(&parts.join("\nUNION ALL\n")));
        let mut position = 0;
        let columns = fields
            .iter()
            .zip(asked)
            .zip(may_be_nan)
            .map(|((field, asked), may_be_nan)| {
                asked.then(|| {
                    let sql = format!("{alias}.c{position}");
                    position += 1;
                    let column = Value::column(sql, field.data_type().clone(), true);
                    Value { is_number: !may_be_nan, ..column }
                })
            })
            .collect();
        Ok(Block::new(from, columns))
    }

    fn values(&mut self, values: &Values, asked: &[bool]) -> Result<Block> {
        let alias = self.next_alias();
        let nobody = DFSchema::empty();
        let asked_of = |row: &[Expr]| -> Vec<Expr> {
            row.iter()
                .zip(asked)
                .filter(|(_, asked)| **asked)
                .map(|(expr, _)| expr.clone())
                .collect()
        };
        let mut structure = Vec::new();
        let mut columns = Vec::new();
        for (field, asked) in values.schema.fields().iter().zip(asked) {
            if !asked {
                columns.push(None);
                continue;
            }
            let name = format!("c{}", structure.len());
            structure.push(format!("{name} Nullable({})", clickhouse_type(field.data_type())?));
            let column = format!("{alias}.{name}");
            columns.push(Some(Value::column(column, field.data_type().clone(), true)));
        }
        let mut rows = Vec::with_capacity(values.values.len());
        for row in &values.values {
            let mut items = Vec::new();
            for expr in asked_of(row) {
                let value = self.expr(&expr, Scope { schema: &nobody, columns: &[] })?;
                if value.literal.is_none() {
                    return Err(NotPushable::new("VALUES that aren't constants"));
                }
                items.push(value.sql);
            }
            rows.push(if items.is_empty() {
                "(1)".to_owned()
            } else {
                format!("({})", items.join(", "))
            });
        }
        if structure.is_empty() {
            structure.push("c0 UInt8".to_owned());
        }
        let structure = literal::text(&structure.join(", "));
        Ok(Block::new(format!("values({structure}, {}) AS {alias}", rows.join(", ")), columns))
    }

    fn empty(&mut self, empty: &EmptyRelation) -> Result<Block> {
        let mut columns = Vec::new();
        for field in empty.schema.fields() {
            let nothing = ScalarValue::try_from(field.data_type()).map_err(super::expr::untyped)?;
            columns.push(Some(literal::literal(&nothing)?));
        }
        let mut block = Block::new(String::new(), columns);
        if !empty.produce_one_row {
            block.filters.push("false".to_owned());
            block.enter(Stage::Where);
        }
        Ok(block)
    }

    fn join(&mut self, join: &Join, asked: &[bool]) -> Result<Block> {
        if join.null_aware {
            return Err(NotPushable::new("NOT IN as a join"));
        }
        if matches!(join.join_type, JoinType::RightSemi | JoinType::RightAnti) {
            return self.join(&swapped(join)?, asked);
        }
        if let Some(block) = self.membership_join(join, asked)? {
            return Ok(block);
        }
        let held = join.filter.as_ref().and_then(history::held);
        let held = held.filter(|_| join.join_type == JoinType::Left && !join.on.is_empty());
        let keyword = if held.is_some() { "ASOF LEFT JOIN" } else { join_keyword(join)? };
        let (left_schema, right_schema) = (join.left.schema(), join.right.schema());
        let whole = whole_schema(join)?;
        let width = left_schema.fields().len();
        let mut both = vec![false; whole.fields().len()];
        both.iter_mut().zip(asked).for_each(|(both, asked)| *both = *asked);
        // The last span up to a moment is the one that it is in: its end needs no look.
        let filter = held.map(|(from, moment)| Expr::Column(from.clone()).lt_eq(moment.clone()));
        let filter = filter.as_ref().or(join.filter.as_ref());
        let both = with_columns_of(&both, filter, &whole);
        let left_keys = join.on.iter().map(|(left, _)| left);
        let right_keys = join.on.iter().map(|(_, right)| right);
        let left_asked = with_columns_of(&both[..width], left_keys, left_schema);
        let right_asked = with_columns_of(&both[width..], right_keys, right_schema);

        let left = self.build(&join.left, &left_asked)?;
        let left = self.left_side(left, join.join_type)?;
        let right = self.build(&join.right, &right_asked)?;
        let right = self.right_side(right, join.join_type)?;

        let mut columns = left.columns;
        columns.extend(right.columns);
        let on = self.join_conditions(join, filter, &whole, &columns)?;
        let on = if on.is_empty() { String::new() } else { format!(" ON {}", on.join(" AND ")) };
        let mut block = Block::new(format!("{}\n{keyword} {}{on}", left.from, right.from), columns);
        block.filters = left.filters;
        block.stage = left.stage;
        extend_nulls(&mut block.columns, width, join.join_type);
        block.columns.truncate(join.schema.fields().len());
        Ok(block)
    }

    fn join_conditions(
        &mut self,
        join: &Join,
        filter: Option<&Expr>,
        whole: &DFSchema,
        columns: &[Option<Value>],
    ) -> Result<Vec<String>> {
        let width = join.left.schema().fields().len();
        let equality = match join.null_equality {
            NullEquality::NullEqualsNothing => Operator::Eq,
            NullEquality::NullEqualsNull => Operator::IsNotDistinctFrom,
        };
        let mut conditions = Vec::new();
        for (left, right) in &join.on {
            let scope = Scope { schema: join.left.schema(), columns: &columns[..width] };
            let left = self.expr(left, scope)?;
            let scope = Scope { schema: join.right.schema(), columns: &columns[width..] };
            let right = self.expr(right, scope)?;
            if equality == Operator::Eq && nan::is_possible(&left) && nan::is_possible(&right) {
                return Err(NotPushable::new("a join on floats that may be NaN"));
            }
            let (left, right) = (nan::key(left)?, nan::key(right)?);
            conditions.push(compare::compare(equality, left, right)?.sql);
        }
        for condition in filter.into_iter().flat_map(conjuncts) {
            let value = self.expr(condition, Scope { schema: whole, columns })?;
            conditions.push(value.at(super::value::Binding::Not));
        }
        Ok(conditions)
    }

    /// The left side stays as it is while it only joins and filters, and the filters mean the same
    /// behind the join.
    fn left_side(&mut self, block: Block, join_type: JoinType) -> Result<Block> {
        let flat = !block.from.is_empty()
            && match join_type {
                JoinType::Inner | JoinType::Left => block.stage <= Stage::Where,
                JoinType::Right | JoinType::Full => block.stage == Stage::From && all_plain(&block),
                _ => block.stage == Stage::From,
            };
        if flat { Ok(block) } else { self.nest(block) }
    }

    /// The right side stays only if it is one table whose columns are NULL in rows without partner.
    fn right_side(&mut self, block: Block, join_type: JoinType) -> Result<Block> {
        let inner = join_type == JoinType::Inner;
        let flat = !block.from.is_empty()
            && block.stage == Stage::From
            && !block.from.contains("\n")
            && (inner || all_plain(&block));
        if flat { Ok(block) } else { self.nest(block) }
    }

    /// A block as the only table of a new one. Stored columns stay as they are stored, so that
    /// comparisons above can still use their own type.
    pub(crate) fn nest(&mut self, block: Block) -> Result<Block> {
        let alias = self.next_alias();
        let mut select = Vec::new();
        let mut columns = Vec::with_capacity(block.columns.len());
        for column in &block.columns {
            let Some(value) = column else {
                columns.push(None);
                continue;
            };
            let sql = format!("{alias}.c{}", select.len());
            let (item, outer) = nested(value, sql, block.distinct)?;
            select.push(item);
            columns.push(Some(outer));
        }
        let sql = block.render(&select);
        Ok(Block::new(format!("{} AS {alias}", parenthesised(&sql)), columns))
    }
}

/// What an inner block selects for a column, and how the outer one reads it.
fn nested(value: &Value, sql: String, distinct: bool) -> Result<(String, Value)> {
    if let Some(native) = value.native.as_ref().filter(|native| !distinct || native.is_injective())
    {
        let outer = Native { sql, stored: native.stored.clone() };
        let outer = native::with_native(outer, &value.data_type, value.nullable)?;
        return Ok((native.sql.clone(), Value { range: value.range, ..outer }));
    }
    let outer = Value::column(sql, value.data_type.clone(), value.nullable);
    let outer = nan::computed(outer, [value]);
    Ok((value.typed()?, Value { range: value.range, ..outer }))
}

fn final_select(block: &Block) -> Result<String> {
    let mut select = Vec::with_capacity(block.columns.len());
    for index in 0..block.columns.len() {
        select.push(block.column(index)?.typed()?);
    }
    Ok(block.render(&select))
}

fn union_item(value: &Value, data_type: &DataType) -> Result<String> {
    match (&value.data_type, data_type) {
        (own, common) if own == common => value.typed(),
        (DataType::Null, common) => literal::null(common),
        (DataType::Decimal128(_, a), DataType::Decimal128(_, b)) if a == b => value.typed(),
        (DataType::Timestamp(a, _), DataType::Timestamp(b, _)) if a == b => value.typed(),
        (own, common) => Err(NotPushable::new(format!("UNION of {own} and {common}"))),
    }
}

fn all_plain(block: &Block) -> bool {
    block.columns.iter().flatten().all(|value| value.plain)
}

/// Marks what an outer join fills with NULL.
fn extend_nulls(columns: &mut [Option<Value>], width: usize, join_type: JoinType) {
    let (left, right) = columns.split_at_mut(width.min(columns.len()));
    let nullable = |columns: &mut [Option<Value>]| {
        columns.iter_mut().flatten().for_each(|value| value.nullable = true);
    };
    match join_type {
        JoinType::Left => nullable(right),
        JoinType::Right => nullable(left),
        JoinType::Full => {
            nullable(left);
            nullable(right);
        }
        _ => {}
    }
}

fn join_keyword(join: &Join) -> Result<&'static str> {
    let keyed = !join.on.is_empty();
    Ok(match join.join_type {
        JoinType::Inner if !keyed && join.filter.is_none() => "CROSS JOIN",
        JoinType::Inner => "INNER JOIN",
        JoinType::Left if keyed => "LEFT JOIN",
        JoinType::Right if keyed => "RIGHT JOIN",
        JoinType::Full if keyed => "FULL JOIN",
        JoinType::LeftSemi if keyed && join.filter.is_none() => "LEFT SEMI JOIN",
        JoinType::LeftAnti if keyed && join.filter.is_none() => "LEFT ANTI JOIN",
        other => return Err(NotPushable::new(format!("a {other} join on such a condition"))),
    })
}

/// The schema that a join's filter sees: both sides, also where only one comes out.
fn whole_schema(join: &Join) -> Result<DFSchema> {
    join.left.schema().join(join.right.schema()).map_err(super::expr::untyped)
}

fn swapped(join: &Join) -> Result<Join> {
    let join_type = match join.join_type {
        JoinType::RightSemi => JoinType::LeftSemi,
        JoinType::RightAnti => JoinType::LeftAnti,
        other => return Err(NotPushable::new(format!("a {other} join"))),
    };
    Ok(Join {
        left: join.right.clone(),
        right: join.left.clone(),
        on: join.on.iter().map(|(left, right)| (right.clone(), left.clone())).collect(),
        join_type,
        ..join.clone()
    })
}

/// Which columns of `schema` some expressions use.
pub(crate) fn columns_of<'e>(
    exprs: impl IntoIterator<Item = &'e Expr>,
    schema: &DFSchema,
) -> Asked {
    with_columns_of(&vec![false; schema.fields().len()], exprs, schema)
}

/// `asked`, and what some expressions use besides.
pub(crate) fn with_columns_of<'e>(
    asked: &[bool],
    exprs: impl IntoIterator<Item = &'e Expr>,
    schema: &DFSchema,
) -> Asked {
    let mut asked = asked.to_vec();
    for column in exprs.into_iter().flat_map(Expr::column_refs) {
        if let Some(index) = schema.maybe_index_of_column(column) {
            asked[index] = true;
        }
    }
    asked
}

/// Whether expressions over a block would write a long one of its own more than once.
pub(crate) fn repeats<'e>(
    block: &Block,
    exprs: impl IntoIterator<Item = &'e Expr>,
    schema: &DFSchema,
) -> bool {
    let value_of = |column: &Column| {
        let index = schema.maybe_index_of_column(column)?;
        Some((index, block.columns.get(index)?.as_ref()?))
    };
    let mut uses: HashMap<usize, usize> = HashMap::new();
    if !block.columns.iter().flatten().any(is_long) {
        return false;
    }
    for expr in exprs {
        let times = if is_repeating(expr) { 2 } else { 1 };
        for (column, count) in expr.column_refs_counts() {
            if let Some((index, _)) = value_of(column).filter(|(_, value)| is_long(value)) {
                *uses.entry(index).or_default() += count * times;
            }
        }
    }
    uses.values().any(|count| *count > 1)
}

/// Whether a value would be hard to read, or cost, where it is written more than once.
fn is_long(value: &Value) -> bool {
    value.level == Level::Window || value.sql.len() > INLINE_MAX
}

/// Whether an expression is written with its operands several times.
fn is_repeating(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => is_repeating(&alias.expr),
        Expr::ScalarFunction(call) => call.func.name() == shares::weighted_part().name(),
        _ => false,
    }
}

/// Whether a condition reads these columns and nothing else.
pub(crate) fn is_over(condition: &Expr, names: &[String]) -> bool {
    let columns = condition.column_refs();
    let subquery =
        matches!(condition, Expr::InSubquery(_) | Expr::Exists(_) | Expr::ScalarSubquery(_));
    !subquery && !columns.is_empty() && columns.iter().all(|column| names.contains(&column.name))
}

fn node_name(plan: &LogicalPlan) -> String {
    let text = plan.display().to_string();
    text.split([':', ' ']).next().unwrap_or_default().to_owned()
}
