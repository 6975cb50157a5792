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
use super::history;
use super::journey;
use super::latest::Latest;
use super::measure::instant;
use super::rewrite::{Rewriter, aggregate, aggregated, filtered, projected};
use super::segment;
use super::shift::Shift;
use super::source::SourceTable;
use super::trace::columns_of;
use crate::bind::relation::instant_type;
use crate::bind::{RelationScan, ScanClock, ScanKind};
use crate::functions::registry;
use crate::model::entity::{AT_EVENT, BASE, reads_history};
use crate::model::{Entity, Model, Source, SourceKind};

/// When a row counts: an instant over source columns, and the zone of its wall clock.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TimeOf {
    pub(crate) instant: Expr,
    /// The name of a zone: constant, over source columns, or the session's.
    pub(crate) zone: Expr,
    /// For how many days after its end a day stays open.
    pub(crate) window_days: u32,
    /// How much later the row counts than it happened: of metrics of an earlier period.
    pub(crate) shift: Option<Shift>,
}

impl TimeOf {
    pub(crate) fn wall_clock(&self) -> Result<Expr, PlanError> {
        let clock = self.unshifted()?;
        Ok(match &self.shift {
            Some(shift) => shift.later(clock),
            None => clock,
        })
    }

    /// The wall clock when it happened.
    pub(crate) fn unshifted(&self) -> Result<Expr, PlanError> {
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
    if let Some(version) = scan.versions.first()
        && let Some(time) = &version.time
    {
        return journey::time_of(model, version.rows_entity(), time).map(Some);
    }
    let Some(column) = &scan.relation.entity.source.event_time else { return Ok(None) };
    let instant = Expr::Column(Column::new(Some(TableReference::bare(BASE)), column));
    let zone = lit(model.project.timezone.name());
    Ok(Some(TimeOf { instant, zone, window_days: 0, shift: None }))
}

/// Periods are shifted by the wall clock; no instant belongs to a shifted row.
fn no_instant() -> PlanError {
    PlanError::NotSupported {
        what: "metric_instant of a metric of an earlier period".to_owned(),
        hint: Some("Use metric_time.".to_owned()),
    }
}

/// The rows that a scan is expanded to.
#[derive(Clone, Copy)]
pub(super) struct Facts<'f> {
    pub(super) entity: &'f Entity,
    pub(super) time: Option<&'f TimeOf>,
}

/// The plan of a scan: its dimensions and times under the scan's alias, and `extras`, expressions
/// over source columns under names of their own. Measures are left out. The rows are those of
/// `entity`: the relation's own, or another that has the scan's dimensions by their names.
///
/// One row for each row of the entity: related entities are joined left, on their keys.
pub(crate) fn expand_scan(
    rewriter: &mut Rewriter<'_>,
    node: &TableScan,
    scan: &RelationScan,
    entity: &Entity,
    time: Option<&TimeOf>,
    extras: &[(String, Expr)],
) -> Result<LogicalPlan, PlanError> {
    if let Some(version) = scan.segment() {
        return segment::expand(rewriter, node, scan, version);
    }
    let relation = node.table_name.clone();
    let mut outputs: Vec<(String, Expr)> = Vec::new();
    let no_time = || PlanError::NoRowTime { relation: scan.relation.name.clone() };
    for column in columns_of(node, scan) {
        let expr = match &column.kind {
            ScanKind::Dimension(index) if entity.name == scan.relation.entity.name => {
                entity.dimensions[*index].expr.clone()
            }
            ScanKind::Dimension(_) => {
                let missing = || {
                    let (name, entity) = (&column.name, &entity.name);
                    PlanError::Internal(format!("\"{entity}\" has no dimension \"{name}\""))
                };
                entity.dimension_named(&column.name).ok_or_else(missing)?.expr.clone()
            }
            ScanKind::MetricTime => time.ok_or_else(no_time)?.wall_clock()?,
            ScanKind::MetricInstant => match time.ok_or_else(no_time)? {
                TimeOf { instant, shift: None, .. } => instant.clone(),
                _ => return Err(no_instant()),
            },
            ScanKind::IsFinal => time.ok_or_else(no_time)?.is_final(&scan.clock)?,
            ScanKind::Measure(_) | ScanKind::Segment(_) => continue,
        };
        outputs.push((column.name.clone(), expr));
    }
    outputs.extend(extras.iter().cloned());
    for (_, expr) in &mut outputs {
        *expr = clock::resolved(std::mem::take(expr), &scan.clock)?;
    }
    let mut read: Vec<Expr> = outputs.iter().map(|(_, expr)| expr.clone()).collect();
    let hops = segment::hops(rewriter, scan, Facts { entity, time }, &read)?;
    if !hops.is_empty() {
        read = segment::without_segments(&read);
        read.extend(hops.iter().flat_map(|hop| hop.needs()));
    }
    let from = Reading { model: rewriter.model, clock: &scan.clock };
    let mut joined = joined_sources(from, entity, read.iter(), time)?;
    for hop in hops {
        joined = hop.join(joined)?;
    }
    let exprs =
        outputs.into_iter().map(|(name, expr)| expr.alias_qualified(Some(relation.clone()), name));
    Ok(LogicalPlan::Projection(Projection::try_new(exprs.collect(), Arc::new(joined))?))
}

/// What a statement reads its sources by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading<'r> {
    pub(crate) model: &'r Model,
    pub(crate) clock: &'r ScanClock,
}

/// The entity's source (or the rows of a journey), joined to those that the expressions need, each
/// under its path as alias.
///
/// `time` is when a row counts: what an entity's history says of it is as of then.
pub(crate) fn joined_sources<'e>(
    from: Reading<'_>,
    entity: &Entity,
    exprs: impl Iterator<Item = &'e Expr>,
    time: Option<&TimeOf>,
) -> Result<LogicalPlan, PlanError> {
    let mut needed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    needed.entry(BASE.to_owned()).or_default();
    let mut note = |expr: &Expr| {
        for column in expr.column_refs() {
            let path = column.relation.as_ref().map_or(BASE, |relation| relation.table());
            needed.entry(path.to_owned()).or_default().insert(column.name.clone());
        }
    };
    let mut reads_event = false;
    for expr in exprs {
        note(expr);
        reads_event |= reads_history(expr);
    }
    if reads_event {
        let no_time = || PlanError::NoTimeOfFact { entity: entity.name.clone() };
        note(&time.ok_or_else(no_time)?.instant);
    }
    let hops = hops(from.model, entity, &mut needed)?;
    let columns = |path: &str| needed.get(path).cloned().unwrap_or_default();
    let base = match from.model.journeys.get(&entity.name) {
        Some(journey) => journey::rows(from, journey, &columns(BASE))?,
        None => related_rows(entity, BASE, &columns(BASE), from.clock)?,
    };
    let mut plan = LogicalPlanBuilder::from(base);
    for (path, hop) in &hops {
        let right = related_rows(hop.entity, path, &columns(path), from.clock)?;
        let parent = TableReference::bare(hop.parent.as_str());
        let left_keys: Vec<Column> =
            hop.from.iter().map(|it| Column::new(Some(parent.clone()), it)).collect();
        let own = TableReference::bare(path.as_str());
        let (holds, names) = match (path.ends_with(AT_EVENT), time) {
            (true, Some(time)) => {
                let names = (0..hop.to.len()).map(history::span_key).collect();
                (Some(history::holds(path, &time.instant)), names)
            }
            _ => (None, hop.to.clone()),
        };
        let right_keys: Vec<Column> =
            names.into_iter().map(|it| Column::new(Some(own.clone()), it)).collect();
        plan = plan.join(right, JoinType::Left, (left_keys, right_keys), holds)?;
    }
    Ok(plan.build()?)
}

/// Up to when an entity's source is known, as one row with the column `name`, a timestamp with time
/// zone: its newest ingestion; where no row tells when it came in, the moment after the entity's
/// newest event; where the entity has no event time, after the newest of `at`. Of rows that others
/// replaced too: they came in as well.
pub(crate) fn newest(
    from: Reading<'_>,
    entity: &Entity,
    at: &Expr,
    name: &str,
) -> Result<LogicalPlan, PlanError> {
    let source = &entity.source;
    let base =
        |column: &String| Expr::Column(Column::new(Some(TableReference::bare(BASE)), column));
    let told: BTreeSet<String> =
        source.ingested.iter().chain(&source.event_time).cloned().collect();
    let (rows, ingested, event) = match told.is_empty() {
        false => {
            let plain = Source { dedupe: None, ..source.clone() };
            let plain = Entity { source: plain, ..entity.clone() };
            let rows = source_scan(&plain, BASE, &told, from.clock)?;
            (rows, source.ingested.as_ref().map(base), source.event_time.as_ref().map(base))
        }
        true => (joined_sources(from, entity, [at].into_iter(), None)?, None, Some(at.clone())),
    };
    let column = |index: usize| format!("{name}{index}");
    let times = ingested.iter().chain(&event).cloned().enumerate();
    let times = times.map(|(index, time)| cast(time, instant_type()).alias(column(index)));
    let rows = projected(rows, times.collect())?;
    let names = 0..rows.schema().fields().len();
    let newest = names.map(|index| {
        let newest = aggregate("max", Expr::Column(Column::new_unqualified(column(index))))?;
        Ok(newest.alias(column(index)))
    });
    let newest = aggregated(rows, Vec::new(), newest.collect::<Result<_, PlanError>>()?)?;
    let of = |index: usize| Expr::Column(Column::new_unqualified(column(index)));
    let known = match (ingested, event) {
        (Some(_), Some(_)) => call("coalesce", vec![of(0), of(1) + instant()])?,
        (Some(_), None) => of(0),
        (None, _) => of(0) + instant(),
    };
    projected(newest, vec![known.alias(name)])
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
        for step in path.split('.') {
            let unknown = || PlanError::Internal(format!("no path {path}"));
            let role = step.strip_suffix(AT_EVENT).unwrap_or(step);
            let link =
                current.relationships.iter().find(|it| it.name == role).ok_or_else(unknown)?;
            let target = model.entities.get(&link.entity).ok_or_else(unknown)?;
            let own = match parent.as_str() {
                BASE => step.to_owned(),
                parent => format!("{parent}.{step}"),
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

/// An entity's rows at the end of a path, under that path: of a history those that are valid now,
/// or its spans where the path says so.
pub(super) fn related_rows(
    entity: &Entity,
    path: &str,
    columns: &BTreeSet<String>,
    clock: &ScanClock,
) -> Result<LogicalPlan, PlanError> {
    let Some(history) = &entity.source.history else {
        return source_scan(entity, path, columns, clock);
    };
    let mut wanted = columns.clone();
    wanted.extend(entity.key.iter().cloned());
    wanted.extend([history.from.clone(), history.to.clone()]);
    let rows = source_scan(entity, "versions", &wanted, clock)?;
    if path.ends_with(AT_EVENT) {
        return history::spans(rows, entity, history, columns, path);
    }
    let rows = history::current(rows, entity, history, clock)?;
    let alias = TableReference::bare(path);
    Ok(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(rows), alias)?))
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
pub(super) fn known_rows(entity: &Entity, clock: &ScanClock) -> Result<Option<Expr>, PlanError> {
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
