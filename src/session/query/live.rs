//! Relations of schema `canon`: the definitions as tables, and what changes while canon runs.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{Field, SchemaRef};
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::preload::{Kept, Preloads, Rows};
use crate::bind::Relations;
use crate::bind::relation::ColumnKind;
use crate::cache::Cache;
use crate::model::{LateData, Model, Segment, SegmentVersion, Status};
use crate::sql::catalog::{CatalogColumn, CatalogRelation};
use crate::sql::types::PgType;

pub(super) const SCHEMA: &str = "canon";

/// The relations as the catalogue shows them.
pub(super) fn described(
    tables: &[(&'static str, Arc<dyn TableProvider>)],
) -> impl Iterator<Item = CatalogRelation> {
    tables.iter().map(|(name, table)| CatalogRelation {
        schema: SCHEMA.to_owned(),
        name: (*name).to_owned(),
        comment: comment(name).map(str::to_owned),
        columns: table.schema().fields().iter().map(|field| column(field)).collect(),
        primary_key: Vec::new(),
        foreign_keys: Vec::new(),
        estimated_rows: None,
    })
}

fn column(field: &Field) -> CatalogColumn {
    CatalogColumn {
        name: field.name().clone(),
        pg_type: PgType::of(field),
        not_null: false,
        comment: None,
    }
}

fn comment(relation: &str) -> Option<&'static str> {
    Some(match relation {
        "metrics" => "The metrics: what each one means, who owns it, which version is asked for",
        "versions" => "Every version of every metric, and what changed with it",
        "dimensions" => "By what the metrics of each relation are grouped and filtered",
        "segments" => "Every version of every segment, and what of it is in memory",
        "sources" => "How new the rows of each source are",
        "cache" => "What the cache of answers has done",
        _ => return None,
    })
}

/// The relations, by name.
pub(super) fn tables(
    model: &Arc<Model>,
    relations: &Relations,
    cache: &Cache,
) -> Vec<(&'static str, Arc<dyn TableProvider>)> {
    let fixed = [
        ("metrics", metrics(model)),
        ("versions", versions(model)),
        ("dimensions", dimensions(relations)),
    ];
    let mut tables: Vec<(&'static str, Arc<dyn TableProvider>)> = Vec::new();
    for (name, batch) in fixed {
        if let Ok(batch) = batch {
            tables.push((name, Arc::new(LiveTable::fixed(batch))));
        }
    }
    let (known, states) = (Arc::clone(model), cache.sources());
    if let Ok(live) = LiveTable::new(move || super::freshness::rows(&known, &states)) {
        tables.push(("sources", Arc::new(live)));
    }
    let cache = cache.clone();
    if let Ok(live) = LiveTable::new(move || cache_rows(&cache)) {
        tables.push(("cache", Arc::new(live)));
    }
    tables
}

/// `canon.segments`: each version, and what is in memory of it.
pub(super) fn segments(
    model: &Arc<Model>,
    preloads: &Arc<Preloads>,
) -> Option<(&'static str, Arc<dyn TableProvider>)> {
    let (model, preloads) = (Arc::clone(model), Arc::clone(preloads));
    let live = LiveTable::new(move || segment_rows(&model, &preloads)).ok()?;
    Some(("segments", Arc::new(live)))
}

fn segment_rows(model: &Model, preloads: &Preloads) -> Result<RecordBatch> {
    let all: Vec<(&Segment, &SegmentVersion)> = model
        .segments
        .values()
        .flat_map(|segment| segment.versions.iter().map(|it| (segment.as_ref(), it.as_ref())))
        .collect();
    let kept: Vec<Option<&Arc<Kept>>> =
        all.iter().map(|(_, version)| preloads.get(version)).collect();
    let rows: Vec<Option<Arc<Rows>>> =
        kept.iter().map(|kept| kept.and_then(|it| it.rows())).collect();
    let members = rows.iter().map(|rows| i64::try_from(rows.as_ref()?.members()).ok());
    let computed = rows.iter().map(|rows| Some(rows.as_ref()?.computed_at.timestamp_micros()));
    let computed: TimestampMicrosecondArray = computed.collect();
    batch(vec![
        ("segment", texts(all.iter().map(|(segment, _)| segment.name.clone()))),
        ("entity", texts(all.iter().map(|(segment, _)| segment.entity.clone()))),
        ("version", texts(all.iter().map(|(_, version)| version.version.to_string()))),
        ("status", texts(all.iter().map(|(_, version)| status(version.status).to_owned()))),
        ("owner", texts(all.iter().map(|(segment, _)| segment.owner.team.clone()))),
        ("intent", texts(all.iter().map(|(segment, _)| segment.intent.clone()))),
        ("rules", texts(all.iter().map(|(_, version)| super::segments::rules(version)))),
        ("preload", Arc::new(kept.iter().map(|it| Some(it.is_some())).collect::<BooleanArray>())),
        ("members", Arc::new(members.collect::<Int64Array>())),
        ("computed_at", Arc::new(computed.with_timezone("UTC"))),
        ("fault", texts(kept.iter().map(|kept| kept.and_then(|it| it.fault())))),
    ])
}

/// A relation whose rows are made when it is read.
struct LiveTable {
    schema: SchemaRef,
    rows: Box<dyn Fn() -> Result<RecordBatch> + Send + Sync>,
}

impl LiveTable {
    fn new(rows: impl Fn() -> Result<RecordBatch> + Send + Sync + 'static) -> Result<Self> {
        Ok(Self { schema: rows()?.schema(), rows: Box::new(rows) })
    }

    fn fixed(batch: RecordBatch) -> Self {
        Self { schema: batch.schema(), rows: Box::new(move || Ok(batch.clone())) }
    }
}

impl fmt::Debug for LiveTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveTable").field("schema", &self.schema).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for LiveTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let table = MemTable::try_new(Arc::clone(&self.schema), vec![vec![(self.rows)()?]])?;
        table.scan(state, projection, filters, limit).await
    }
}

pub(super) fn batch(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    Ok(RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    )?)
}

pub(super) fn texts<S: Into<Option<String>>>(values: impl Iterator<Item = S>) -> ArrayRef {
    Arc::new(values.map(Into::into).collect::<StringArray>())
}

fn metrics(model: &Model) -> Result<RecordBatch> {
    let all = || model.metrics.values();
    let version = |metric: &Arc<crate::model::Metric>| {
        metric.default_version().map(|version| version.version.to_string())
    };
    let of_default = |pick: fn(&crate::model::MetricVersion) -> Option<String>| {
        texts(all().map(|metric| metric.default_version().and_then(|version| pick(version))))
    };
    batch(vec![
        ("metric", texts(all().map(|metric| metric.name.clone()))),
        ("intent", texts(all().map(|metric| metric.intent.clone()))),
        ("version", texts(all().map(version))),
        ("entity", of_default(|version| Some(version.entity.clone()))),
        ("unit", of_default(|version| version.unit.clone())),
        ("owner", texts(all().map(|metric| metric.owner.team.clone()))),
        ("contact", texts(all().map(|metric| metric.owner.contact.clone()))),
        ("domain", texts(all().map(|metric| metric.domain.clone()))),
        ("not_for", texts(all().map(|metric| metric.not_for.join(", ")))),
    ])
}

fn versions(model: &Model) -> Result<RecordBatch> {
    let all = || model.metrics.values().flat_map(|metric| &metric.versions);
    let rules = |version: &crate::model::MetricVersion| {
        let rules = version.eligibility.iter();
        rules.map(|rule| format!("{} ({})", rule.rule, rule.why)).collect::<Vec<_>>().join("; ")
    };
    batch(vec![
        ("metric", texts(all().map(|version| version.metric.clone()))),
        ("version", texts(all().map(|version| version.version.to_string()))),
        ("status", texts(all().map(|version| status(version.status).to_owned()))),
        ("released", texts(all().map(|version| version.released.map(|date| date.to_string())))),
        ("sunset", texts(all().map(|version| version.sunset.map(|date| date.to_string())))),
        ("replaced_by", texts(all().map(|it| it.replaced_by.as_ref().map(ToString::to_string)))),
        ("eligibility", texts(all().map(|version| rules(version)))),
        ("time", texts(all().map(|it| it.time.as_ref().map(|time| time.event.clone())))),
        (
            "timezone",
            texts(all().map(|it| it.time.as_ref().map(|time| time.zone.name().into_owned()))),
        ),
        ("late_data", texts(all().map(|it| it.time.as_ref().map(|time| late(time.late_data))))),
        ("change", texts(all().map(|version| version.change.clone()))),
    ])
}

fn late(late_data: LateData) -> String {
    let LateData { window_days, after } = late_data;
    format!("{} after {window_days} days", after.name())
}

pub(super) fn status(status: Status) -> &'static str {
    match status {
        Status::Draft => "draft",
        Status::Active => "active",
        Status::Deprecated => "deprecated",
        Status::Retired => "retired",
    }
}

fn dimensions(relations: &Relations) -> Result<RecordBatch> {
    let mut rows = Vec::new();
    for relation in relations.iter() {
        for column in &relation.columns {
            let ColumnKind::Dimension(index) = column.kind else { continue };
            rows.push((relation, column, &relation.entity.dimensions[index]));
        }
    }
    let visible = rows.iter().map(|(_, column, _)| Some(!column.hidden));
    batch(vec![
        ("schema", texts(rows.iter().map(|(relation, ..)| relation.schema.to_owned()))),
        ("relation", texts(rows.iter().map(|(relation, ..)| relation.name.clone()))),
        ("dimension", texts(rows.iter().map(|(_, column, _)| column.name.clone()))),
        ("entity", texts(rows.iter().map(|(.., dimension)| dimension.entity.clone()))),
        ("attribute", texts(rows.iter().map(|(.., dimension)| dimension.attribute.clone()))),
        ("description", texts(rows.iter().map(|(.., dimension)| dimension.description.clone()))),
        ("visible", Arc::new(visible.collect::<BooleanArray>())),
    ])
}

/// Statements by what the cache did for them, with its present size beside each.
fn cache_rows(cache: &Cache) -> Result<RecordBatch> {
    let stats = cache.stats();
    let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let each = |value: u64| -> ArrayRef {
        Arc::new(Int64Array::from(vec![count(value); stats.outcomes.len()]))
    };
    let statements = stats.outcomes.iter().map(|(_, statements)| Some(count(*statements)));
    batch(vec![
        ("outcome", texts(stats.outcomes.iter().map(|(outcome, _)| outcome.name().to_owned()))),
        ("statements", Arc::new(statements.collect::<Int64Array>())),
        ("answers_kept", each(stats.answers)),
        ("bytes_kept", each(stats.bytes)),
    ])
}
