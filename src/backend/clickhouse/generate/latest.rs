//! The latest row of each key: FINAL where the table's engine means just that, else an aggregate.

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan};

use super::block::{Block, Stage};
use super::expr::conjuncts;
use super::native::{self, Native};
use super::nodes::{Generator, is_over, with_columns_of};
use super::value::{Binding, Value};
use super::{NotPushable, Result};
use crate::backend::clickhouse::facts::TableFacts;
use crate::model::Dedupe;
use crate::plan::latest::Latest;
use crate::plan::source::SourceTable;

impl Generator<'_> {
    /// `below` are conditions on key columns: they keep or drop all rows of a key alike.
    pub(crate) fn latest(
        &mut self,
        latest: &Latest,
        asked: &[bool],
        below: &[&Expr],
    ) -> Result<Block> {
        let Some((scan, own)) = rows_of(&latest.input) else {
            return self.latest_by_aggregate(latest, asked, below);
        };
        // FINAL would choose among all rows, those that the filter leaves out too.
        let on_keys = own.iter().all(|condition| {
            matches!(condition, Expr::Literal(..)) || is_over(condition, &latest.dedupe.by)
        });
        let table = SourceTable::of(&scan.source).map(|source| source.table.clone());
        let facts = table.and_then(|table| self.tables.facts(&table));
        match facts {
            Some(facts) if on_keys && final_fits(&facts, &latest.dedupe) => {
                let below = [below, own.as_slice()].concat();
                self.latest_by_final(latest, scan, asked, &below)
            }
            _ => self.latest_by_aggregate(latest, asked, below),
        }
    }

    fn latest_by_final(
        &mut self,
        latest: &Latest,
        scan: &TableScan,
        asked: &[bool],
        below: &[&Expr],
    ) -> Result<Block> {
        let places = Places::of(latest)?;
        let mut asked = with_columns_of(asked, below.iter().copied(), latest.input.schema());
        places.deleted.into_iter().for_each(|index| asked[index] = true);
        let mut block = self.scan(scan, &asked, " FINAL")?;
        self.add_filters(&mut block, below, latest.input.schema())?;
        if let Some(index) = places.deleted {
            let alive = alive(block.column(index)?)?;
            block.filters.push(alive);
            block.enter(Stage::Where);
        }
        Ok(block)
    }

    /// argMax of one tuple keeps the columns of one row together, and NULLs in them too, which argMax
    /// of single columns would skip; of rows with equal versions it takes one. It needs the memory of
    /// one row a key, and one parallel pass; LIMIT 1 BY would first sort the whole table.
    fn latest_by_aggregate(
        &mut self,
        latest: &Latest,
        asked: &[bool],
        below: &[&Expr],
    ) -> Result<Block> {
        let places = Places::of(latest)?;
        let mut needed = with_columns_of(asked, below.iter().copied(), latest.input.schema());
        needed[places.version] = true;
        places.by.iter().chain(&places.deleted).for_each(|index| needed[*index] = true);
        let mut block = self.build(&latest.input, &needed)?;
        if block.stage > Stage::Where || block.has_windows() {
            block = self.nest(block)?;
        }
        self.add_filters(&mut block, below, latest.input.schema())?;

        let alias = self.next_alias();
        let mut keys = Vec::new();
        let mut columns = vec![None; block.columns.len()];
        for index in &places.by {
            let value = block.column(*index)?;
            let (sql, outer) = stored_or_read(value, format!("{alias}.c{}", keys.len()))?;
            keys.push(sql);
            columns[*index] = Some(outer);
        }
        let mut row = Vec::new();
        for (index, value) in block.columns.iter().enumerate() {
            let Some(value) = value.as_ref().filter(|_| columns[index].is_none()) else {
                continue;
            };
            let deleted = places.deleted == Some(index);
            if !asked[index] && !deleted {
                continue;
            }
            let place = format!("tupleElement({alias}.c{}, {})", keys.len(), row.len() + 1);
            let (sql, outer) = stored_or_read(value, place)?;
            row.push(sql);
            columns[index] = Some(outer);
        }
        let mut select = keys.clone();
        if !row.is_empty() {
            let version = version_sql(block.column(places.version)?);
            select.push(format!("argMax(tuple({}), {version})", row.join(", ")));
        }
        block.group_by = Some(keys.join(", "));
        let sql = super::block::parenthesised(&block.render(&select));
        let mut outer = Block::new(format!("{sql} AS {alias}"), columns);
        if let Some(index) = places.deleted {
            let alive = alive(outer.column(index)?)?;
            outer.filters.push(alive);
            outer.enter(Stage::Where);
        }
        Ok(outer)
    }
}

/// The table that is deduped, and the conditions of the rows that take part; None where it is no
/// table.
fn rows_of(input: &LogicalPlan) -> Option<(&TableScan, Vec<&Expr>)> {
    match input {
        LogicalPlan::TableScan(scan) => Some((scan, Vec::new())),
        LogicalPlan::Filter(filter) => match filter.input.as_ref() {
            LogicalPlan::TableScan(scan) => Some((scan, conjuncts(&filter.predicate))),
            _ => None,
        },
        _ => None,
    }
}

/// Whether FINAL and a filter on tombstones give exactly the latest rows.
fn final_fits(facts: &TableFacts, dedupe: &Dedupe) -> bool {
    let engine_deleted = facts.deleted_column.as_deref();
    // An engine that knows no tombstones leaves them in, for the filter; one that knows them must
    // mean the same column.
    (engine_deleted.is_none() || engine_deleted == dedupe.deleted.as_deref())
        && facts.final_means(&dedupe.by, &dedupe.latest, engine_deleted)
}

/// Where the columns of a dedupe are in the scan.
struct Places {
    by: Vec<usize>,
    version: usize,
    deleted: Option<usize>,
}

impl Places {
    fn of(latest: &Latest) -> Result<Self> {
        let schema = latest.input.schema();
        let place = |name: &String| {
            schema
                .index_of_column_by_name(None, name)
                .ok_or_else(|| NotPushable::new("internal: a column of the dedupe isn't scanned"))
        };
        let dedupe = &latest.dedupe;
        Ok(Self {
            by: dedupe.by.iter().map(place).collect::<Result<_>>()?,
            version: place(&dedupe.latest)?,
            deleted: dedupe.deleted.as_ref().map(place).transpose()?,
        })
    }
}

/// What to keep of a column, and how it is read from where it is kept.
fn stored_or_read(value: &Value, place: String) -> Result<(String, Value)> {
    match value.native.as_ref().filter(|native| native.is_injective()) {
        Some(native) => {
            let outer = Native { sql: place, stored: native.stored.clone() };
            let outer = native::with_native(outer, &value.data_type, value.nullable)?;
            Ok((native.sql.clone(), Value { range: value.range, ..outer }))
        }
        None => {
            let outer = Value::column(place, value.data_type.clone(), value.nullable);
            Ok((value.typed()?, outer))
        }
    }
}

/// What orders the rows of a key: NULL is less than every version, and argMax would skip it.
fn version_sql(version: &Value) -> String {
    let sql = match &version.native {
        Some(native) if native.is_ordered() => native.sql.clone(),
        _ => version.sql.clone(),
    };
    if version.nullable { format!("tuple({sql} IS NOT NULL, assumeNotNull({sql}))") } else { sql }
}

/// Not a tombstone: false, 0 or NULL.
fn alive(deleted: &Value) -> Result<String> {
    let sql = match (&deleted.native, &deleted.data_type) {
        (_, DataType::Boolean) => format!("NOT {}", deleted.at(Binding::Atom)),
        (Some(native), data_type) if data_type.is_integer() => format!("{} = 0", native.sql),
        (None, data_type) if data_type.is_integer() => format!("{} = 0", deleted.at(Binding::Sum)),
        (_, other) => {
            return Err(NotPushable::new(format!("a tombstone column of type {other}")));
        }
    };
    if deleted.nullable { Ok(format!("ifNull({sql}, true)")) } else { Ok(sql) }
}
