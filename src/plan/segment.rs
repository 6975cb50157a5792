//! The rows of a segment: one for each member of its entity, with the group of the first rule that
//! is true for it.
//!
//! The entity's source is joined left to one aggregation for each value that the rules compare, by
//! the entity's key; each aggregation is a measure's, evaluated as in a statement of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, ScalarValue, TableReference};
use datafusion::logical_expr::{
    Case, Expr, JoinType, LogicalPlan, LogicalPlanBuilder, SubqueryAlias, TableScan,
    TableScanBuilder, and, cast, lit,
};

use super::atoms::{derived, version_of};
use super::clock;
use super::error::PlanError;
use super::expand::{Facts, Reading, joined_sources};
use super::rewrite::{Needs, Rewriter, aggregated, filtered, projected};
use super::segment_at_event as at_event;
use super::trace::columns_of;
use crate::bind::relation::{METRIC_INSTANT, Relation};
use crate::bind::segment::SegmentPart;
use crate::bind::{RelationScan, ScanClock, ScanColumn, ScanKind, markers};
use crate::model::Zone;
use crate::model::entity::BASE;
use crate::model::segment::{SegmentColumn, SegmentRule, SegmentValue, value_column};
use crate::model::{
    Aggregation, Entity, MetricKind, MetricRef, MetricVersion, Model, SegmentVersion,
};

/// The plan of a scan of a relation in schema `segments`, under the scan's alias.
pub(super) fn expand(
    rewriter: &mut Rewriter<'_>,
    node: &TableScan,
    scan: &RelationScan,
    version: &SegmentVersion,
) -> Result<LogicalPlan, PlanError> {
    let columns: Vec<&ScanColumn> = columns_of(node, scan).collect();
    let mut wanted = Wanted::default();
    for column in &columns {
        wanted.group |= is_part(column, SegmentPart::Group);
        wanted.rule |= is_part(column, SegmentPart::Rule);
    }
    let rows = rows(rewriter, version, &scan.clock, wanted)?;
    let at = asked_at(rewriter, &scan.clock).timestamp_micros();
    let at = ScalarValue::TimestampMicrosecond(Some(at), Some("UTC".into()));
    let mut exprs = Vec::with_capacity(columns.len());
    for column in columns {
        let expr = match &column.kind {
            ScanKind::Dimension(index) => {
                let attribute = &scan.relation.entity.dimensions[*index].attribute;
                let position = scan.relation.entity.key.iter().position(|key| key == attribute);
                let position = position.ok_or_else(|| not_in_segment(&column.name))?;
                Expr::Column(Column::new_unqualified(key_name(position)))
            }
            ScanKind::Segment(SegmentPart::Group) => Expr::Column(Column::new_unqualified(GROUP)),
            ScanKind::Segment(SegmentPart::Rule) => Expr::Column(Column::new_unqualified(RULE)),
            ScanKind::Segment(SegmentPart::ComputedAt) => lit(at.clone()),
            ScanKind::Segment(SegmentPart::Version) => lit(version.version.to_string()),
            _ => return Err(not_in_segment(&column.name)),
        };
        exprs.push(expr.alias_qualified(Some(node.table_name.clone()), &column.name));
    }
    projected(rows, exprs)
}

/// The moment for which members are told apart: as of which the scan is asked, else the statement's.
fn asked_at(rewriter: &Rewriter<'_>, clock: &ScanClock) -> DateTime<Utc> {
    clock.as_of.unwrap_or(rewriter.at)
}

fn is_part(column: &ScanColumn, wanted: SegmentPart) -> bool {
    matches!(&column.kind, ScanKind::Segment(part) if *part == wanted)
}

fn not_in_segment(column: &str) -> PlanError {
    PlanError::Internal(format!("column {column} is not of a segment"))
}

/// A segment to be joined to the rows of a relation that shows it as a dimension.
pub(super) struct SegmentHop {
    rows: LogicalPlan,
    /// Columns of joined sources, and the segment's own, in the order of the key.
    keys: (Vec<Column>, Vec<Column>),
    /// The facts' time and the segment's, where it is as of the event.
    then: Option<(Expr, Expr)>,
}

impl SegmentHop {
    /// The source columns that the join needs.
    pub(super) fn needs(&self) -> impl Iterator<Item = Expr> {
        let time = self.then.iter().map(|(time, _)| time.clone());
        self.keys.0.iter().cloned().map(Expr::Column).chain(time)
    }

    /// Joined left: each row once, as a segment has one for each member.
    pub(super) fn join(self, rows: LogicalPlan) -> Result<LogicalPlan, PlanError> {
        let joined = LogicalPlanBuilder::from(rows);
        let then = self.then.map(|(time, at)| time.eq(at));
        Ok(joined.join(self.rows, JoinType::Left, self.keys, then)?.build()?)
    }
}

/// The segments that expressions over an entity's sources read, each once.
pub(super) fn hops(
    rewriter: &mut Rewriter<'_>,
    scan: &RelationScan,
    facts: Facts<'_>,
    exprs: &[Expr],
) -> Result<Vec<SegmentHop>, PlanError> {
    let mut columns: BTreeMap<String, SegmentColumn> = BTreeMap::new();
    for column in exprs.iter().flat_map(Expr::column_refs).filter_map(SegmentColumn::of) {
        columns.insert(column.qualifier.clone(), column);
    }
    let hop = |column: SegmentColumn| {
        let missing = || PlanError::Internal(format!("no segment {}", column.segment));
        let version = scan.segments.get(&column.segment).ok_or_else(missing)?;
        let outer = foreign_key(rewriter.model, facts.entity, &column)?;
        let alias = TableReference::bare(column.qualifier.as_str());
        let instant = facts.time.filter(|_| column.at_event).map(|time| time.instant.clone());
        let instant = instant.map(|it| clock::resolved(it, &scan.clock)).transpose()?;
        let rows = match &instant {
            None if column.at_event => {
                return Err(PlanError::NoTimeOfFact { entity: facts.entity.name.clone() });
            }
            None => rows(rewriter, version, &scan.clock, Wanted { group: true, rule: false })?,
            Some(instant) => {
                let key = outer.iter().cloned().map(Expr::Column);
                let read: Vec<Expr> = key.chain([instant.clone()]).collect();
                let Facts { entity, time } = facts;
                let from = Reading { model: rewriter.model, clock: &scan.clock };
                let sources = joined_sources(from, entity, read.iter(), time)?;
                let pairs = at_event::pairs_of(sources, &outer, instant)?;
                at_event::rows(rewriter, version, &scan.clock, pairs)?
            }
        };
        let then = instant.map(|instant| {
            let at = Expr::Column(Column::new(Some(alias.clone()), at_event::AT));
            (instant, at)
        });
        let named: Vec<Expr> = (0..rows.schema().fields().len())
            .map(|index| {
                let (qualifier, field) = rows.schema().qualified_field(index);
                let output = Expr::Column(Column::new(qualifier.cloned(), field.name()));
                match field.name() == GROUP {
                    true => output.alias(column.segment.clone()),
                    false => output,
                }
            })
            .collect();
        let rows = SubqueryAlias::try_new(Arc::new(projected(rows, named)?), alias.clone())?;
        let own = (0..outer.len()).map(|index| Column::new(Some(alias.clone()), key_name(index)));
        let keys = (outer, own.collect());
        Ok(SegmentHop { rows: LogicalPlan::SubqueryAlias(rows), keys, then })
    };
    columns.into_values().map(hop).collect()
}

/// The source columns of expressions, without the segments.
pub(super) fn without_segments(exprs: &[Expr]) -> Vec<Expr> {
    let columns = exprs.iter().flat_map(Expr::column_refs);
    let columns = columns.filter(|column| SegmentColumn::of(column).is_none());
    columns.cloned().map(Expr::Column).collect()
}

/// The columns on the way to a segment's member that hold its key: the foreign key, so that the
/// member itself need not be joined.
fn foreign_key(
    model: &Model,
    entity: &Entity,
    column: &SegmentColumn,
) -> Result<Vec<Column>, PlanError> {
    let unknown = || PlanError::Internal(format!("no path {}", column.qualifier));
    let under = |path: &str, names: &[String]| -> Vec<Column> {
        let path = TableReference::bare(path);
        names.iter().map(|name| Column::new(Some(path.clone()), name)).collect()
    };
    let Some((last, before)) = column.path.split_last() else {
        return Ok(under(BASE, &entity.key));
    };
    let mut holder = entity;
    for role in before {
        let link = holder.relationships.iter().find(|link| link.name == *role);
        let next = link.and_then(|link| model.entities.get(&link.entity));
        holder = next.ok_or_else(unknown)?;
    }
    let link = holder.relationships.iter().find(|link| link.name == *last).ok_or_else(unknown)?;
    let path = match before {
        [] => BASE.to_owned(),
        before => before.join("."),
    };
    Ok(under(&path, &link.key))
}

/// Which columns beside the key are wanted.
#[derive(Debug, Clone, Copy, Default)]
struct Wanted {
    group: bool,
    rule: bool,
}

pub(super) const GROUP: &str = "__group";
const RULE: &str = "__rule";
/// What the column `rule` says of members that no rule admitted.
const OTHERWISE: &str = "otherwise";

pub(super) fn key_name(index: usize) -> String {
    format!("__k{index}")
}

/// One row for each member: `__k0`, …, and `__group` and `__rule` where they are wanted.
fn rows(
    rewriter: &mut Rewriter<'_>,
    version: &SegmentVersion,
    clock: &ScanClock,
    wanted: Wanted,
) -> Result<LogicalPlan, PlanError> {
    let model = rewriter.model;
    let entity = model.entities.get(&version.entity);
    let entity =
        entity.ok_or_else(|| PlanError::Internal(format!("no entity {}", version.entity)))?;
    let base = || Some(TableReference::bare(BASE));
    let keys: Vec<Column> = entity.key.iter().map(|name| Column::new(base(), name)).collect();
    let rules: &[SegmentRule] = match wanted.group || wanted.rule {
        true => &version.rules,
        false => &[],
    };
    let mut sources: Vec<Expr> = keys.iter().cloned().map(Expr::Column).collect();
    let read = rules.iter().flat_map(|rule| rule.expr.column_refs());
    let read = read.filter(|column| column.relation.is_some());
    sources.extend(read.cloned().map(Expr::Column));
    let mut plan = joined_sources(Reading { model, clock }, entity, sources.iter(), None)?;
    let mut values: Vec<Expr> = Vec::new();
    let compared = if rules.is_empty() { &[] } else { version.values.as_slice() };
    for (index, value) in compared.iter().enumerate() {
        let joined = Value::of(rewriter, value, clock, index)?;
        values.push(joined.expr);
        let theirs =
            (0..keys.len()).map(|key| Column::new(Some(joined.alias.clone()), key_name(key)));
        let theirs: Vec<Column> = theirs.collect();
        plan = LogicalPlanBuilder::from(plan)
            .join(joined.rows, JoinType::Left, (keys.clone(), theirs), None)?
            .build()?;
    }
    let mut exprs: Vec<Expr> = Vec::new();
    for (index, key) in keys.into_iter().enumerate() {
        exprs.push(Expr::Column(key).alias(key_name(index)));
    }
    let conditions: Vec<Expr> =
        rules.iter().map(|rule| with_values(&rule.expr, &values)).collect::<Result<_, _>>()?;
    if wanted.group {
        let names = version.rules.iter().map(|rule| rule.name.as_str());
        exprs.push(first_true(&conditions, names, version.otherwise.as_deref()).alias(GROUP));
    }
    if wanted.rule {
        let texts = version.rules.iter().map(|rule| rule.when.as_str());
        exprs.push(first_true(&conditions, texts, Some(OTHERWISE)).alias(RULE));
    }
    projected(plan, exprs)
}

/// The text of the first condition that is true.
pub(super) fn first_true<'t>(
    conditions: &[Expr],
    texts: impl Iterator<Item = &'t str>,
    otherwise: Option<&str>,
) -> Expr {
    let branches = conditions.iter().cloned().zip(texts);
    let branches = branches.map(|(condition, text)| (Box::new(condition), Box::new(lit(text))));
    let otherwise = lit(ScalarValue::Utf8(otherwise.map(str::to_owned)));
    Expr::Case(Case::new(None, branches.collect(), Some(Box::new(otherwise))))
}

/// A rule with the joined columns in its values' places.
pub(super) fn with_values(rule: &Expr, values: &[Expr]) -> Result<Expr, PlanError> {
    let replaced = rule.clone().transform_up(|node| {
        let Expr::Column(column) = &node else { return Ok(Transformed::no(node)) };
        let known = values.iter().enumerate().find(|(index, _)| value_column(*index) == *column);
        Ok(match known {
            Some((_, value)) => Transformed::yes(value.clone()),
            None => Transformed::no(node),
        })
    })?;
    Ok(replaced.data)
}

/// A metric's value by member, to be joined.
struct Value {
    rows: LogicalPlan,
    alias: TableReference,
    /// The value of a member, over the joined rows: that of no rows for one who has none.
    expr: Expr,
}

impl Value {
    fn of(
        rewriter: &mut Rewriter<'_>,
        value: &SegmentValue,
        clock: &ScanClock,
        index: usize,
    ) -> Result<Self, PlanError> {
        let model = rewriter.model;
        let (metric, version) = version_of(model, &value.metric)?;
        // The list of dimensions is for questions: it doesn't name keys.
        let version = Arc::new(MetricVersion { dimensions: None, ..version.as_ref().clone() });
        let relation = Relation::of_metric(model, metric, Some(value.metric.major));
        let missing = || PlanError::Internal(format!("no relation of {}", value.metric));
        let relation = Arc::new(relation.ok_or_else(missing)?);
        let scan = scan_of(value, &relation, &version, clock);
        let bound = bound(model, asked_at(rewriter, clock), value, &version, scan)?;
        let rows = rewriter.rewrite(&bound, &Needs::default())?;
        let alias = TableReference::bare(format!("value{index}"));
        let rows =
            LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(rows), alias.clone())?);
        let column = |name: String| Expr::Column(Column::new(Some(alias.clone()), name));
        let found = column(VALUE.to_owned());
        let nothing = value_of_nothing(model, &version)?;
        let absent = column(key_name(0)).is_null();
        let expr = nothing_or(nothing, absent, found, &version.data_type);
        Ok(Self { rows, alias, expr })
    }
}

const VALUE: &str = "__value";

/// The metric's relation with the member's key, the metric, and its time where there is a window.
fn scan_of(
    value: &SegmentValue,
    relation: &Arc<Relation>,
    version: &Arc<MetricVersion>,
    clock: &ScanClock,
) -> RelationScan {
    let mut columns: Vec<ScanColumn> = value
        .key
        .iter()
        .map(|key| ScanColumn { name: key.name.clone(), kind: ScanKind::Dimension(key.index) })
        .collect();
    if value.window.is_some() {
        let name = METRIC_INSTANT.to_owned();
        columns.push(ScanColumn { name, kind: ScanKind::MetricInstant });
    }
    let kind = ScanKind::Measure(Arc::clone(version));
    columns.push(ScanColumn { name: VALUE.to_owned(), kind });
    RelationScan::new(Arc::clone(relation), columns, vec![Arc::clone(version)], clock.clone())
}

/// `SELECT key, MEASURE(metric) FROM metrics.… WHERE the window GROUP BY key`, as the binder would
/// give it.
fn bound(
    model: &Model,
    at: DateTime<Utc>,
    value: &SegmentValue,
    version: &MetricVersion,
    scan: RelationScan,
) -> Result<LogicalPlan, PlanError> {
    let alias = TableReference::bare("r0");
    let column = |name: &str| Expr::Column(Column::new(Some(alias.clone()), name));
    let mut plan =
        LogicalPlan::TableScan(TableScanBuilder::new(alias.clone(), Arc::new(scan)).build()?);
    if let Some(window) = value.window {
        let zone = zone_of_windows(model, version);
        let instant = |at: DateTime<Utc>| {
            let micros = Some(at.timestamp_micros());
            lit(ScalarValue::TimestampMicrosecond(micros, Some("UTC".into())))
        };
        let begun = window.start(at, zone).map(|begun| column(METRIC_INSTANT).gt(instant(begun)));
        let ended = column(METRIC_INSTANT).lt_eq(instant(at));
        plan = filtered(plan, begun.into_iter().fold(ended, |ended, begun| and(begun, ended)))?;
    }
    let keys: Vec<Expr> = value.key.iter().map(|key| column(&key.name)).collect();
    let measure = markers::measure().call(vec![column(VALUE)]);
    let grouped = aggregated(plan, keys.clone(), vec![measure])?;
    let output = grouped.schema().qualified_field(keys.len());
    let output = Expr::Column(Column::new(output.0.cloned(), output.1.name())).alias(VALUE);
    let keys = keys.into_iter().enumerate().map(|(index, key)| key.alias(key_name(index)));
    projected(grouped, keys.chain([output]).collect())
}

/// The value that was found, or else that of no rows, where it isn't NULL anyway.
pub(super) fn nothing_or(
    nothing: Option<Expr>,
    absent: Expr,
    found: Expr,
    data_type: &DataType,
) -> Expr {
    let Some(nothing) = nothing else { return found };
    let branches = vec![(Box::new(absent), Box::new(cast(nothing, data_type.clone())))];
    Expr::Case(Case::new(None, branches, Some(Box::new(found))))
}

/// The zone by whose calendar windows go back: a member is judged at one moment, whatever the zones
/// of its rows or of who asks.
pub(super) fn zone_of_windows(model: &Model, version: &MetricVersion) -> chrono_tz::Tz {
    match version.time.as_ref().map(|time| &time.zone) {
        Some(Zone::Named(zone)) => *zone,
        _ => model.project.timezone,
    }
}

/// The value of a metric over no rows: 0 of counts; None: NULL.
pub(super) fn value_of_nothing(
    model: &Model,
    version: &MetricVersion,
) -> Result<Option<Expr>, PlanError> {
    if let MetricKind::Derived { expr, parts } = &version.kind {
        let mut values: Vec<(String, Expr)> = Vec::new();
        let mut all_null = true;
        for part in parts {
            let (value, is_null) = part_of_nothing(model, part)?;
            all_null &= is_null;
            values.push((part.to_string(), value));
        }
        return match all_null {
            true => Ok(None),
            false => derived(expr.clone(), &values).map(Some),
        };
    }
    let counts = match &version.kind {
        MetricKind::Aggregate(Aggregation::Count | Aggregation::CountDistinct { .. }) => true,
        MetricKind::Journey(journey) => !journey.is_share(),
        MetricKind::Cumulative { metric, .. } | MetricKind::Offset { metric, .. } => {
            return value_of_nothing(model, version_of(model, metric)?.1);
        }
        _ => false,
    };
    Ok(counts.then(|| lit(0i64)))
}

/// As [`value_of_nothing`], with the type of the part; and whether it is NULL.
fn part_of_nothing(model: &Model, part: &MetricRef) -> Result<(Expr, bool), PlanError> {
    let (_, version) = version_of(model, part)?;
    let data_type = version.data_type.clone();
    Ok(match value_of_nothing(model, version)? {
        Some(value) => (cast(value, data_type), false),
        None => (cast(lit(ScalarValue::Null), data_type), true),
    })
}

/// Whether a scan's rows depend on the moment at which they are asked for.
pub(crate) fn reads_clock(scan: &RelationScan) -> bool {
    let shows_time = |column: &ScanColumn| is_part(column, SegmentPart::ComputedAt);
    scan.segments.values().any(|version| version.has_window())
        || scan.columns.iter().any(shows_time)
}
