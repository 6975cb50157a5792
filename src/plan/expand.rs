//! A scan of a relation as what it stands for: sources, deduped and joined.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::common::{Column, TableReference};
use datafusion::logical_expr::{
    Expr, JoinType, LogicalPlan, LogicalPlanBuilder, Projection, SubqueryAlias, TableScan,
    TableScanBuilder, cast, lit,
};

use super::clock;
use super::error::PlanError;
use super::latest::Latest;
use super::rewrite::filtered;
use super::source::SourceTable;
use super::trace::columns_of;
use crate::bind::relation::instant_type;
use crate::bind::{RelationScan, ScanClock, ScanKind};
use crate::functions::registry;
use crate::model::entity::BASE;
use crate::model::{Entity, Model, SourceKind};

/// When a row counts: an instant over source columns, and the zone of its wall clock.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TimeOf {
    pub(crate) instant: Expr,
    /// The name of a zone: constant, over source columns, or the session's.
    pub(crate) zone: Expr,
    /// For how many days after its end a day stays open.
    pub(crate) window_days: u32,
}

impl TimeOf {
    fn wall_clock(&self) -> Result<Expr, PlanError> {
        call("wall_clock", vec![self.instant.clone(), self.zone.clone()])
    }
}

/// A call of one of canon's functions.
pub(crate) fn call(name: &str, args: Vec<Expr>) -> Result<Expr, PlanError> {
    let function = registry().scalar.get(name);
    let function = function.ok_or_else(|| PlanError::Internal(format!("no function {name}")))?;
    Ok(function.call(args))
}

/// The time of plain rows of a relation: the metric's own in schema `metrics`, else the entity's.
pub(crate) fn row_time(model: &Model, scan: &RelationScan) -> Result<Option<TimeOf>, PlanError> {
    let of_metric = scan.version.as_ref().and_then(|version| version.time.as_ref());
    if let Some(time) = of_metric {
        return TimeOf::of(time).map(Some);
    }
    let Some(column) = &scan.relation.entity.source.event_time else { return Ok(None) };
    let instant = Expr::Column(Column::new(Some(TableReference::bare(BASE)), column));
    let zone = lit(model.project.timezone.name());
    Ok(Some(TimeOf { instant, zone, window_days: 0 }))
}

/// The plan of a scan: its dimensions and times under the scan's alias, and `extras`, expressions
/// over source columns under names of their own. Measures are left out.
///
/// One row for each row of the entity: related entities are joined left, on their keys.
pub(crate) fn expand_scan(
    model: &Model,
    node: &TableScan,
    scan: &RelationScan,
    time: Option<&TimeOf>,
    extras: &[(String, Expr)],
) -> Result<LogicalPlan, PlanError> {
    let relation = node.table_name.clone();
    let mut outputs: Vec<(String, Expr)> = Vec::new();
    let no_time = || PlanError::NoRowTime { relation: scan.relation.name.clone() };
    for column in columns_of(node, scan) {
        let expr = match &column.kind {
            ScanKind::Dimension(index) => scan.relation.entity.dimensions[*index].expr.clone(),
            ScanKind::MetricTime => time.ok_or_else(no_time)?.wall_clock()?,
            ScanKind::MetricInstant => time.ok_or_else(no_time)?.instant.clone(),
            ScanKind::IsFinal => time.ok_or_else(no_time)?.is_final(&scan.clock)?,
            ScanKind::Measure(_) => continue,
        };
        outputs.push((column.name.clone(), expr));
    }
    outputs.extend(extras.iter().cloned());
    for (_, expr) in &mut outputs {
        *expr = clock::resolved(std::mem::take(expr), &scan.clock)?;
    }
    let exprs = outputs.iter().map(|(_, expr)| expr);
    let joined = joined_sources(model, &scan.relation.entity, &scan.clock, exprs)?;
    let exprs =
        outputs.into_iter().map(|(name, expr)| expr.alias_qualified(Some(relation.clone()), name));
    Ok(LogicalPlan::Projection(Projection::try_new(exprs.collect(), Arc::new(joined))?))
}

/// The entity's source, joined to those that the expressions need, each under its path as alias.
fn joined_sources<'e>(
    model: &Model,
    entity: &Entity,
    clock: &ScanClock,
    exprs: impl Iterator<Item = &'e Expr>,
) -> Result<LogicalPlan, PlanError> {
    let mut needed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    needed.entry(BASE.to_owned()).or_default();
    for expr in exprs {
        for column in expr.column_refs() {
            let path = column.relation.as_ref().map_or(BASE, |relation| relation.table());
            needed.entry(path.to_owned()).or_default().insert(column.name.clone());
        }
    }
    let hops = hops(model, entity, &mut needed)?;
    let columns = |path: &str| needed.get(path).cloned().unwrap_or_default();
    let mut plan = LogicalPlanBuilder::from(source_scan(entity, BASE, &columns(BASE), clock)?);
    for (path, hop) in &hops {
        let right = source_scan(hop.entity, path, &columns(path), clock)?;
        let parent = TableReference::bare(hop.parent.as_str());
        let left_keys: Vec<Column> =
            hop.from.iter().map(|it| Column::new(Some(parent.clone()), it)).collect();
        let own = TableReference::bare(path.as_str());
        let right_keys: Vec<Column> =
            hop.to.iter().map(|it| Column::new(Some(own.clone()), it)).collect();
        plan = plan.join(right, JoinType::Left, (left_keys, right_keys), None)?;
    }
    Ok(plan.build()?)
}

/// A join to a related entity.
struct Hop<'m> {
    entity: &'m Entity,
    parent: String,
    from: Vec<String>,
    to: Vec<String>,
}

/// The joins that the needed paths take, parents first; notes the key columns that they need.
fn hops<'m>(
    model: &'m Model,
    entity: &'m Entity,
    needed: &mut BTreeMap<String, BTreeSet<String>>,
) -> Result<BTreeMap<String, Hop<'m>>, PlanError> {
    let mut hops = BTreeMap::new();
    let paths: Vec<String> = needed.keys().filter(|path| *path != BASE).cloned().collect();
    for path in paths {
        let (mut current, mut parent) = (entity, BASE.to_owned());
        for role in path.split('.') {
            let unknown = || PlanError::Internal(format!("no path {path}"));
            let link =
                current.relationships.iter().find(|it| it.name == role).ok_or_else(unknown)?;
            let target = model.entities.get(&link.entity).ok_or_else(unknown)?;
            let own = match parent.as_str() {
                BASE => role.to_owned(),
                parent => format!("{parent}.{role}"),
            };
            needed.entry(parent.clone()).or_default().extend(link.key.iter().cloned());
            needed.entry(own.clone()).or_default().extend(target.key.iter().cloned());
            let hop = Hop {
                entity: target,
                parent: parent.clone(),
                from: link.key.clone(),
                to: target.key.clone(),
            };
            hops.insert(own.clone(), hop);
            (current, parent) = (target, own);
        }
    }
    Ok(hops)
}

/// A source, deduped, with the columns that are needed of it.
fn source_scan(
    entity: &Entity,
    alias: &str,
    columns: &BTreeSet<String>,
    clock: &ScanClock,
) -> Result<LogicalPlan, PlanError> {
    let source = &entity.source;
    let mut wanted = columns.clone();
    let known = known_rows(entity, clock)?;
    for column in known.iter().flat_map(|condition| condition.column_refs()) {
        wanted.insert(column.name.clone());
    }
    if let Some(dedupe) = &source.dedupe {
        wanted.extend(dedupe.by.iter().cloned());
        wanted.insert(dedupe.latest.clone());
        wanted.extend(dedupe.deleted.iter().cloned());
    }
    let named = source.columns.iter().enumerate();
    let projection: Vec<usize> =
        named.filter(|(_, column)| wanted.contains(&column.name)).map(|(index, _)| index).collect();
    if projection.len() < wanted.len() {
        return Err(PlanError::Internal(format!("a column of \"{}\" is missing", source.table)));
    }
    let table = SourceTable::new(source.table.clone(), source.columns.clone());
    let scan = TableScanBuilder::new(TableReference::bare(source.table.as_str()), Arc::new(table))
        .with_projection(Some(projection))
        .build()?;
    let scan = LogicalPlan::TableScan(scan);
    // Below the dedupe: what came later takes no part in choosing the latest row of a key.
    let scan = match known {
        Some(condition) => filtered(scan, condition)?,
        None => scan,
    };
    let rows = match &source.dedupe {
        Some(dedupe) => Latest::plan(scan, dedupe.clone()),
        None => scan,
    };
    let alias = TableReference::bare(alias);
    Ok(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(rows), alias)?))
}

/// The condition of a source's rows that had come in as of the moment that is asked about.
///
/// A source of kind `state` keeps only what replaced the older rows, so there an earlier answer
/// can't be given again: not of its own rows, and not of what is grouped, filtered or dated by an
/// attribute that is joined from it. Such a question is refused rather than answered by today's
/// attributes, since that answer would change when they do. A foreign key of an events source needs
/// no join, and may be asked for.
fn known_rows(entity: &Entity, clock: &ScanClock) -> Result<Option<Expr>, PlanError> {
    let Some(as_of) = clock.as_of else { return Ok(None) };
    let source = &entity.source;
    let name = entity.name.clone();
    let Some(ingested) = source.ingested.as_ref().filter(|_| source.kind == SourceKind::Events)
    else {
        return Err(match source.kind {
            SourceKind::State => PlanError::HistoryNotKept { entity: name },
            SourceKind::Events => PlanError::ArrivalNotKnown { entity: name },
        });
    };
    let table = TableReference::bare(source.table.as_str());
    let column = source.columns.iter().find(|column| column.name == *ingested);
    let missing = || PlanError::Internal(format!("column \"{ingested}\" is missing"));
    let data_type = &column.ok_or_else(missing)?.data_type;
    let arrival = Expr::Column(Column::new(Some(table), ingested));
    let arrival = match *data_type == instant_type() {
        true => arrival,
        false => cast(arrival, instant_type()),
    };
    Ok(Some(clock::known_at(arrival, as_of)))
}
