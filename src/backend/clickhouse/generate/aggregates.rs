//! GROUP BY and aggregate functions.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::{Aggregate, Expr, GroupingSet};

use super::block::{Block, Stage};
use super::expr::Scope;
use super::functions;
use super::nodes::{Generator, columns_of};
use super::value::{Level, Value};
use super::{NotPushable, Result, nan};

/// A condition that every group meets, for the aggregate in it. ClickHouse (26.7) takes away what it knows
/// to be true, `count() >= 0` beside another condition, and with it the total.
const CALLS_AN_AGGREGATE: &str = "sum(1) IS NOT NULL";

impl Generator<'_> {
    pub(crate) fn aggregate(&mut self, aggregate: &Aggregate, asked: &[bool]) -> Result<Block> {
        match aggregate.group_expr.as_slice() {
            [Expr::GroupingSet(sets)] => self.grouping_sets(aggregate, sets, asked),
            keys if keys.iter().any(|key| matches!(key, Expr::GroupingSet(_))) => {
                Err(NotPushable::new("several grouping sets in one GROUP BY"))
            }
            keys => self.plain_groups(aggregate, keys, asked),
        }
    }

    fn plain_groups(
        &mut self,
        aggregate: &Aggregate,
        keys: &[Expr],
        asked: &[bool],
    ) -> Result<Block> {
        let schema = aggregate.input.schema();
        let aggregates = asked_aggregates(aggregate, &asked[keys.len()..]);
        let used = keys.iter().chain(aggregates.iter().flatten().copied());
        let mut block = self.groupable(aggregate, &columns_of(used, schema))?;
        let mut key_sql: Vec<String> = Vec::new();
        let mut columns = Vec::with_capacity(asked.len());
        for key in keys {
            let value = nan::key(self.expr(key, Scope { schema, columns: &block.columns })?)?;
            let sql = group_key(&value);
            if value.literal.is_none() && !key_sql.contains(&sql) {
                key_sql.push(sql);
            }
            columns.push(Some(value));
        }
        // A group of constants alone exists only where there are rows.
        if key_sql.is_empty() && !keys.is_empty() {
            key_sql.push("toUInt8(1)".to_owned());
        }
        self.add_aggregates(&mut columns, &aggregates, Scope { schema, columns: &block.columns })?;
        block.columns = columns;
        block.group_by = Some(key_sql.join(", "));
        block.enter(Stage::Group);
        // A total of which nobody asks anything is one row still; only a call of an aggregate
        // makes it so.
        if keys.is_empty() && aggregates.iter().all(Option::is_none) {
            block.having.push(CALLS_AN_AGGREGATE.to_owned());
            block.enter(Stage::Having);
        }
        Ok(block)
    }

    /// Keys become columns of a block of their own first: inside a grouping set a key is NULL where it
    /// is left out, and an aggregate over the same column must still see its values.
    fn grouping_sets(
        &mut self,
        aggregate: &Aggregate,
        sets: &GroupingSet,
        asked: &[bool],
    ) -> Result<Block> {
        let schema = aggregate.input.schema();
        let keys = sets.distinct_expr();
        let members = members_of(sets, &keys)?;
        let aggregates = asked_aggregates(aggregate, &asked[keys.len() + 1..]);
        let used = keys.iter().copied().chain(aggregates.iter().flatten().copied());
        let mut block = self.groupable(aggregate, &columns_of(used, schema))?;

        let mut widened = Vec::with_capacity(keys.len() + block.columns.len());
        for key in &keys {
            let value = self.expr(key, Scope { schema, columns: &block.columns })?;
            widened.push(Some(nan::key(value)?));
        }
        widened.append(&mut block.columns);
        block.columns = widened;
        let mut block = self.nest(block)?;

        let mut columns: Vec<Option<Value>> = Vec::with_capacity(asked.len());
        let mut key_sql = Vec::with_capacity(keys.len());
        for value in block.columns[..keys.len()].iter().flatten() {
            key_sql.push(group_key(value));
            columns.push(Some(Value { nullable: true, ..value.clone() }));
        }
        let id_type = aggregate.schema.field(keys.len()).data_type().clone();
        columns.push(if asked[keys.len()] { Some(grouping_id(&key_sql, id_type)?) } else { None });
        let inner = &block.columns[keys.len()..];
        self.add_aggregates(&mut columns, &aggregates, Scope { schema, columns: inner })?;

        // Only a call of an aggregate makes the total of a set without keys.
        if members.iter().any(BTreeSet::is_empty) && aggregates.iter().all(Option::is_none) {
            block.having.push(CALLS_AN_AGGREGATE.to_owned());
        }
        let members: Vec<String> = members
            .iter()
            .map(|set| {
                let names: Vec<&str> = set.iter().map(|index| key_sql[*index].as_str()).collect();
                format!("({})", names.join(", "))
            })
            .collect();
        block.columns = columns;
        block.group_by = Some(format!("GROUPING SETS ({})", members.join(", ")));
        block.enter(Stage::Group);
        if !block.having.is_empty() {
            block.enter(Stage::Having);
        }
        Ok(block)
    }

    /// The input as a block that can still take a GROUP BY.
    fn groupable(&mut self, aggregate: &Aggregate, asked: &[bool]) -> Result<Block> {
        let block = self.build(&aggregate.input, asked)?;
        if block.stage > Stage::Where || block.has_windows() { self.nest(block) } else { Ok(block) }
    }

    fn add_aggregates(
        &mut self,
        columns: &mut Vec<Option<Value>>,
        aggregates: &[Option<&Expr>],
        scope: Scope,
    ) -> Result<()> {
        for aggregate in aggregates {
            columns.push(match aggregate {
                Some(expr) => Some(self.aggregate_call(expr, scope)?),
                None => None,
            });
        }
        Ok(())
    }

    fn aggregate_call(&mut self, expr: &Expr, scope: Scope) -> Result<Value> {
        let AggregateFunction { func, params } = match expr {
            Expr::Alias(alias) => return self.aggregate_call(&alias.expr, scope),
            Expr::AggregateFunction(call) => call,
            other => {
                return Err(NotPushable::new(format!("{} as an aggregate", other.variant_name())));
            }
        };
        let AggregateFunctionParams { args, distinct, filter, order_by, null_treatment } = params;
        if null_treatment.is_some() {
            return Err(NotPushable::new("IGNORE NULLS in an aggregate"));
        }
        let args: Result<Vec<Value>> = args.iter().map(|arg| self.expr(arg, scope)).collect();
        let filter = match filter {
            Some(filter) => Some(self.expr(filter, scope)?.sql),
            None => None,
        };
        let mut order = Vec::new();
        for key in order_by {
            let (ascends, nulls_first) = (key.asc, key.nulls_first);
            let key = self.expr(&key.expr, scope)?;
            order.push(functions::OrderKey { key, ascends, nulls_first });
        }
        let call = functions::AggregateCall {
            args: args?,
            distinct: *distinct,
            filter,
            order,
            over: String::new(),
            data_type: datafusion::logical_expr::ExprSchemable::get_type(expr, scope.schema)
                .map_err(super::expr::untyped)?,
        };
        let value = functions::aggregate(func.name(), &call)?;
        Ok(Value { level: Level::Aggregate, plain: false, ..value })
    }
}

/// The aggregates that somebody asks for, by position.
fn asked_aggregates<'e>(aggregate: &'e Aggregate, asked: &[bool]) -> Vec<Option<&'e Expr>> {
    aggregate.aggr_expr.iter().zip(asked).map(|(expr, asked)| asked.then_some(expr)).collect()
}

/// Stored values group as their readings do, where each is read differently, and midnights as their
/// days do.
fn group_key(value: &Value) -> String {
    if let Some(midnight) = &value.midnight {
        return midnight.key.clone();
    }
    match value.native.as_ref().filter(|native| native.is_injective()) {
        Some(native) => native.sql.clone(),
        None => value.sql.clone(),
    }
}

/// Which keys each grouping set has, by position among `keys`.
fn members_of(sets: &GroupingSet, keys: &[&Expr]) -> Result<Vec<BTreeSet<usize>>> {
    let place = |expr: &Expr| {
        keys.iter()
            .position(|key| *key == expr)
            .ok_or_else(|| NotPushable::new("internal: a grouping set of something else"))
    };
    let members: Vec<BTreeSet<usize>> = match sets {
        GroupingSet::Rollup(exprs) => {
            let places: Vec<usize> = exprs.iter().map(place).collect::<Result<_>>()?;
            (0..=places.len()).rev().map(|end| places[..end].iter().copied().collect()).collect()
        }
        GroupingSet::Cube(exprs) => {
            let places: Vec<usize> = exprs.iter().map(place).collect::<Result<_>>()?;
            let subsets = u32::try_from(places.len())
                .ok()
                .filter(|count| *count <= 12)
                .ok_or_else(|| NotPushable::new("CUBE over more than twelve keys"))?;
            (0..1_usize << subsets)
                .rev()
                .map(|mask| {
                    let chosen = places.iter().enumerate();
                    chosen.filter(|(bit, _)| mask & (1 << bit) != 0).map(|(_, p)| *p).collect()
                })
                .collect()
        }
        GroupingSet::GroupingSets(sets) => sets
            .iter()
            .map(|set| set.iter().map(place).collect::<Result<BTreeSet<usize>>>())
            .collect::<Result<_>>()?,
    };
    let distinct: BTreeSet<&BTreeSet<usize>> = members.iter().collect();
    if distinct.len() != members.len() {
        return Err(NotPushable::new("a grouping set that is there twice"));
    }
    Ok(members)
}

/// DataFusion's `__grouping_id` and ClickHouse's `grouping` agree: a bit for each key, the first key's
/// the highest, set where the key is left out.
fn grouping_id(keys: &[String], data_type: DataType) -> Result<Value> {
    let sql = format!("to{data_type}(grouping({}))", keys.join(", "));
    Ok(Value { level: Level::Aggregate, ..Value::new(sql, data_type, false) })
}
