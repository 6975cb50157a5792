//! A scan of a relation as what it stands for: sources, deduped and joined.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono_tz::Tz;
use datafusion::common::{Column, TableReference};
use datafusion::logical_expr::{
    Expr, JoinType, LogicalPlan, LogicalPlanBuilder, Projection, SubqueryAlias, TableScan,
    TableScanBuilder, lit,
};

use super::error::PlanError;
use super::history;
use super::journey;
use super::latest::Latest;
use super::rewrite::Rewriter;
use super::segment;
use super::source::SourceTable;
use super::trace::columns_of;
use crate::bind::{RelationScan, ScanKind};
use crate::functions::registry;
use crate::model::entity::{AT_EVENT, BASE, reads_history};
use crate::model::{Entity, Journey, Model, Span};

/// When a row counts: an instant over source columns, and the zone of its wall clock.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TimeOf {
    pub(crate) instant: Expr,
    pub(crate) zone: Tz,
    /// How much later the row counts than it happened: of metrics of an earlier period.
    pub(crate) shift: Option<Span>,
}

impl TimeOf {
    pub(crate) fn wall_clock(&self) -> Result<Expr, PlanError> {
        let clock = self.unshifted()?;
        Ok(match self.shift {
            Some(span) => clock + span.interval(),
            None => clock,
        })
    }

    /// The wall clock when it happened.
    pub(crate) fn unshifted(&self) -> Result<Expr, PlanError> {
        call("wall_clock", vec![self.instant.clone(), lit(self.zone.name())])
    }
}

/// A call of one of canon's functions.
pub(crate) fn call(name: &str, args: Vec<Expr>) -> Result<Expr, PlanError> {
    let function = registry().scalar.get(name);
    let function = function.ok_or_else(|| PlanError::Internal(format!("no function {name}")))?;
    Ok(function.call(args))
}

/// The time of plain rows of a relation: the metric's own in schema `metrics`, else the entity's.
pub(crate) fn row_time(model: &Model, scan: &RelationScan) -> Option<TimeOf> {
    let relation = &scan.relation;
    let of_metric = scan.versions.first().and_then(|version| {
        let time = version.time.as_ref()?;
        Some(journey::time_of(version, time))
    });
    of_metric.or_else(|| {
        let column = relation.entity.source.event_time.as_ref()?;
        let instant = Expr::Column(Column::new(Some(TableReference::bare(BASE)), column));
        Some(TimeOf { instant, zone: model.project.timezone, shift: None })
    })
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
    pub(super) journey: Option<&'f Journey>,
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
            ScanKind::Measure(_) | ScanKind::Segment(_) => continue,
        };
        outputs.push((column.name.clone(), expr));
    }
    outputs.extend(extras.iter().cloned());
    let is_own = entity.name == scan.relation.entity.name;
    let version = scan.versions.first().filter(|_| is_own);
    let journey = version.and_then(|version| version.journey()).map(Arc::as_ref);
    let mut read: Vec<Expr> = outputs.iter().map(|(_, expr)| expr.clone()).collect();
    let hops = segment::hops(rewriter, scan, Facts { entity, journey, time }, &read)?;
    if !hops.is_empty() {
        read = segment::without_segments(&read);
        read.extend(hops.iter().flat_map(|hop| hop.needs()));
    }
    let mut joined = joined_sources(rewriter.model, entity, journey, read.iter(), time)?;
    for hop in hops {
        joined = hop.join(joined)?;
    }
    let exprs =
        outputs.into_iter().map(|(name, expr)| expr.alias_qualified(Some(relation.clone()), name));
    Ok(LogicalPlan::Projection(Projection::try_new(exprs.collect(), Arc::new(joined))?))
}

/// The entity's source (or the rows of a journey), joined to those that the expressions need, each
/// under its path as alias.
///
/// `time` is when a row counts: what an entity's history says of it is as of then.
pub(crate) fn joined_sources<'e>(
    model: &Model,
    entity: &Entity,
    journey: Option<&Journey>,
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
    let hops = hops(model, entity, &mut needed)?;
    let columns = |path: &str| needed.get(path).cloned().unwrap_or_default();
    let base = match journey {
        Some(journey) => journey::rows(model, journey, &columns(BASE))?,
        None => related_rows(entity, BASE, &columns(BASE))?,
    };
    let mut plan = LogicalPlanBuilder::from(base);
    for (path, hop) in &hops {
        let right = related_rows(hop.entity, path, &columns(path))?;
        let parent = TableReference::bare(hop.parent.as_str());
        let left_keys: Vec<Column> =
            hop.from.iter().map(|it| Column::new(Some(parent.clone()), it)).collect();
        let own = TableReference::bare(path.as_str());
        let right_keys: Vec<Column> =
            hop.to.iter().map(|it| Column::new(Some(own.clone()), it)).collect();
        let holds = match (path.ends_with(AT_EVENT), time) {
            (true, Some(time)) => Some(history::holds(path, &time.instant)),
            _ => None,
        };
        plan = plan.join(right, JoinType::Left, (left_keys, right_keys), holds)?;
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
) -> Result<LogicalPlan, PlanError> {
    let Some(history) = &entity.source.history else {
        return source_scan(entity, path, columns);
    };
    let mut wanted = columns.clone();
    wanted.extend(entity.key.iter().cloned());
    wanted.extend([history.from.clone(), history.to.clone()]);
    let rows = source_scan(entity, "versions", &wanted)?;
    if path.ends_with(AT_EVENT) {
        return history::spans(rows, entity, history, columns, path);
    }
    let rows = history::current(rows, entity, history)?;
    let alias = TableReference::bare(path);
    Ok(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(rows), alias)?))
}

/// A source, deduped, with the columns that are needed of it.
fn source_scan(
    entity: &Entity,
    alias: &str,
    columns: &BTreeSet<String>,
) -> Result<LogicalPlan, PlanError> {
    let source = &entity.source;
    let mut wanted = columns.clone();
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
    let rows = match &source.dedupe {
        Some(dedupe) => Latest::plan(scan, dedupe.clone()),
        None => scan,
    };
    let alias = TableReference::bare(alias);
    Ok(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(rows), alias)?))
}
