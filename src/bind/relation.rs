//! The relations that a model shows: one for each entity in schema `public`, one for each metric
//! (and each of its other major versions) in schema `metrics`, one for each segment in `segments`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, TimeUnit};

use super::error::BindError;
use super::segment::{SegmentPart, SegmentTable};
use crate::functions::numeric;
use crate::model::{
    AfterClose, Aggregation, Dimension, Entity, LateData, Metric, MetricKind, MetricTime,
    MetricVersion, Model, Status, shared,
};

/// Name of the wall-clock time of a metric (or of plain rows): `timestamp` in the metric's zone.
pub const METRIC_TIME: &str = "metric_time";
/// Name of the same moment as a `timestamptz`.
pub const METRIC_INSTANT: &str = "metric_instant";
/// Name of what tells closed days from open ones.
pub const IS_FINAL: &str = "is_final";
/// Name of the measure of [`Relation::counting_late`].
pub(crate) const LATE_ROWS: &str = "late_rows";

/// The type of [`METRIC_TIME`].
pub fn wall_clock_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

/// The type of [`METRIC_INSTANT`].
pub fn instant_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// What a client sees as a table.
#[derive(Debug)]
pub struct Relation {
    pub schema: &'static str,
    pub name: String,
    /// Whose rows it has.
    pub entity: Arc<Entity>,
    /// In the order of `SELECT *`.
    pub columns: Vec<RelationColumn>,
    /// The metric of a relation in schema `metrics`, whose time `metric_time` is.
    pub metric: Option<MeasureColumn>,
    /// The segment of a relation in schema `segments`.
    pub segment: Option<SegmentTable>,
    /// Of a join of relations of metrics: the relations.
    pub parts: Vec<Part>,
    by_name: HashMap<String, usize>,
}

/// One of several relations of metrics that are scanned as one.
#[derive(Debug)]
pub struct Part {
    pub relation: Arc<Relation>,
    /// Where each of its columns is in the whole; None for dimensions that the others lack.
    positions: Vec<Option<usize>>,
}

/// A column of a relation.
#[derive(Debug, Clone)]
pub struct RelationColumn {
    pub name: String,
    pub kind: ColumnKind,
    /// Answers to its name, but isn't in `SELECT *`.
    pub hidden: bool,
}

/// What a column of a relation stands for.
#[derive(Debug, Clone)]
pub enum ColumnKind {
    /// An index into the entity's dimensions.
    Dimension(usize),
    MetricTime,
    MetricInstant,
    /// Whether the day of its time is closed: boolean.
    IsFinal,
    Measure(MeasureColumn),
    /// Of a relation in schema `segments`.
    Segment(SegmentPart),
}

/// A metric as a column: its default version (which a pin may change), or a fixed major version.
#[derive(Debug, Clone)]
pub struct MeasureColumn {
    pub metric: Arc<Metric>,
    pub major: Option<u64>,
}

impl MeasureColumn {
    /// Whether the version that it means without a pin has an event time.
    fn has_time(&self) -> bool {
        let version = match self.major {
            Some(major) => self.metric.of_major(major),
            None => self.metric.default_version(),
        };
        version.is_some_and(|version| version.time.is_some())
    }
}

impl Relation {
    pub(super) fn new(
        schema: &'static str,
        name: String,
        entity: Arc<Entity>,
        columns: Vec<RelationColumn>,
        metric: Option<MeasureColumn>,
    ) -> Self {
        let by_name = columns.iter().enumerate().map(|(i, column)| (column.name.clone(), i));
        let by_name = by_name.collect();
        Self { schema, name, entity, columns, metric, segment: None, parts: Vec::new(), by_name }
    }

    /// A relation of the same rows with one measure: how many of those that a metric counts came
    /// after their day was closed. None for metrics that aren't aggregates of rows.
    pub(crate) fn counting_late(&self, version: &Arc<MetricVersion>) -> Option<Self> {
        let (MetricKind::Aggregate(_), Some(time)) = (&version.kind, &version.time) else {
            return None;
        };
        let late_data = LateData { after: AfterClose::CountLate, ..time.late_data };
        let counting = MetricVersion {
            kind: MetricKind::Aggregate(Aggregation::Count),
            time: Some(MetricTime { late_data, ..time.clone() }),
            data_type: DataType::Int64,
            status: Status::Active,
            ..MetricVersion::clone(version)
        };
        let of_metric = &self.metric.as_ref()?.metric;
        let metric = Metric {
            name: of_metric.name.clone(),
            intent: of_metric.intent.clone(),
            not_for: Vec::new(),
            owner: of_metric.owner.clone(),
            domain: None,
            versions: vec![Arc::new(counting)],
        };
        let major = Some(version.version.major);
        let measure = MeasureColumn { metric: Arc::new(metric), major };
        let mut columns: Vec<RelationColumn> = time_columns(false).into();
        columns.push(RelationColumn {
            name: LATE_ROWS.to_owned(),
            kind: ColumnKind::Measure(measure.clone()),
            hidden: false,
        });
        let entity = Arc::clone(&self.entity);
        Some(Self::new("metrics", LATE_ROWS.to_owned(), entity, columns, Some(measure)))
    }

    /// The position of a column by its name.
    ///
    /// A dimension also answers to its name with the entity's in front: `order_customer_country` in
    /// the orders.
    pub fn position(&self, name: &str) -> Option<usize> {
        let known = self.by_name.get(name).copied();
        known.or_else(|| {
            let index = *self.by_name.get(self.entity.without_own_prefix(name)?)?;
            matches!(self.columns[index].kind, ColumnKind::Dimension(_)).then_some(index)
        })
    }

    /// The position of a column by its name in one of the parts.
    ///
    /// # Errors
    /// [`BindError::NotShared`] for a dimension that another part lacks,
    /// [`BindError::OtherMeaning`] for one that is something else there.
    pub(crate) fn position_in(
        &self,
        part: Option<usize>,
        name: &str,
    ) -> Result<Option<usize>, BindError> {
        let Some(part) = part.and_then(|part| self.parts.get(part)) else {
            return Ok(self.position(name));
        };
        let Some(own) = part.relation.position(name) else { return Ok(None) };
        match part.positions[own] {
            Some(position) => Ok(Some(position)),
            None => {
                let lacks = |other: &&Part| other.relation.position(name).is_none();
                let column = name.to_owned();
                if let Some(other) = self.parts.iter().find(lacks) {
                    let relation = other.relation.name.clone();
                    return Err(BindError::NotShared { column, relation, position: None });
                }
                let is_other = |other: &&Part| !Arc::ptr_eq(&other.relation, &part.relation);
                let other = self.parts.iter().find(is_other).unwrap_or(part).relation.name.clone();
                let relation = part.relation.name.clone();
                Err(BindError::OtherMeaning { column, relation, other, position: None })
            }
        }
    }

    /// The columns of one part, or of the whole.
    pub(crate) fn columns_in(&self, part: Option<usize>) -> &[RelationColumn] {
        match part.and_then(|part| self.parts.get(part)) {
            Some(part) => &part.relation.columns,
            None => &self.columns,
        }
    }

    /// Relations of metrics as one: their times where they have one zone, the dimensions that they
    /// share, and each one's measure.
    ///
    /// # Errors
    /// A metric's entity that isn't there.
    pub(crate) fn across(
        model: &Model,
        relations: Vec<(Arc<Relation>, Arc<MetricVersion>)>,
    ) -> Result<Self, BindError> {
        let find = |name: &str| model.counted_entity(name).map(AsRef::as_ref);
        let mut entities: Vec<&Entity> = Vec::new();
        for name in relations.iter().flat_map(|(_, version)| &version.entities) {
            let missing = || BindError::Internal(format!("no entity {name}"));
            let entity = find(name).ok_or_else(missing)?;
            if entities.iter().all(|known| known.name != entity.name) {
                entities.push(entity);
            }
        }
        let first = relations.first().and_then(|(relation, _)| Some((relation, entities.first()?)));
        let (first, home) = first.ok_or_else(|| BindError::Internal("no relations".to_owned()))?;
        let mut columns = Vec::new();
        let zone = |version: &MetricVersion| version.time.as_ref().map(|time| time.zone.clone());
        let zones: Vec<_> = relations.iter().map(|(_, version)| zone(version)).collect();
        if zones.iter().all(|zone| zone.is_some() && *zone == zones[0]) {
            let instants = relations.iter().all(|(_, version)| has_instant(model, version));
            columns.extend(time_columns(false).into_iter().take(if instants { 2 } else { 1 }));
        }
        let mut shared = shared::dimensions(&entities, find);
        shared.retain(|name| relations.iter().all(|(it, _)| it.position(name).is_some()));
        columns.extend(shared_columns(home, &shared));
        for (number, (relation, _)) in relations.iter().enumerate() {
            let measures = relation.columns.iter();
            let measures = measures.filter(|it| matches!(it.kind, ColumnKind::Measure(_)));
            columns.extend(measures.map(|it| RelationColumn {
                name: measure_of_part(&it.name, number),
                ..it.clone()
            }));
        }
        let names: Vec<&str> = relations.iter().map(|(it, _)| it.name.as_str()).collect();
        let (schema, entity) = (first.schema, Arc::clone(&first.entity));
        let mut whole = Self::new(schema, names.join(", "), entity, columns, None);
        for (number, (relation, _)) in relations.into_iter().enumerate() {
            let positions = relation
                .columns
                .iter()
                .map(|column| whole.position_of_part(&relation, number, column));
            let positions = positions.collect();
            whole.parts.push(Part { relation, positions });
        }
        Ok(whole)
    }

    /// Where a part's column is in the whole.
    fn position_of_part(
        &self,
        part: &Relation,
        number: usize,
        column: &RelationColumn,
    ) -> Option<usize> {
        match &column.kind {
            ColumnKind::Measure(_) => self.position(&measure_of_part(&column.name, number)),
            ColumnKind::MetricTime | ColumnKind::MetricInstant | ColumnKind::IsFinal => {
                self.position(&column.name)
            }
            ColumnKind::Segment(_) => None,
            ColumnKind::Dimension(_) => {
                let own = part.entity.dimension_named(&column.name).map(Dimension::plain_name)?;
                self.columns.iter().position(|shared| {
                    matches!(shared.kind, ColumnKind::Dimension(_))
                        && part.entity.dimension_named(&shared.name).map(Dimension::plain_name)
                            == Some(own)
                })
            }
        }
    }

    /// `orders` in schema public: key and attributes, dimensions, times, measures.
    fn of_entity(model: &Model, entity: &Arc<Entity>) -> Self {
        let mut columns = dimension_columns(entity, None);
        let measures = measures_of(model, entity);
        let has_time = |column: &RelationColumn| match &column.kind {
            ColumnKind::Measure(measure) => measure.has_time(),
            _ => false,
        };
        // Rows without a time show none; metrics with a time of their own may be asked by it.
        let is_dated = entity.source.event_time.is_some();
        if is_dated || measures.iter().any(has_time) {
            columns.extend(time_columns(!is_dated));
            columns.push(final_column(true));
        }
        columns.extend(measures);
        Self::new("public", entity.relation.clone(), Arc::clone(entity), columns, None)
    }

    /// `metrics.revenue`, or `metrics.revenue_v1`: times, dimensions, the measure.
    pub(crate) fn of_metric(
        model: &Model,
        metric: &Arc<Metric>,
        major: Option<u64>,
    ) -> Option<Self> {
        let version = match major {
            Some(major) => metric.of_major(major)?,
            None => metric.default_version()?,
        };
        let entity = Arc::clone(model.counted_entity(version.rows_entity())?);
        let measure = MeasureColumn { metric: Arc::clone(metric), major };
        let mut columns = Vec::new();
        let has_instant = has_instant(model, version);
        if version.time.is_some() {
            let all = if has_instant { 2 } else { 1 };
            columns.extend(time_columns(false).into_iter().take(all));
        }
        match (version.drills_across(), &version.dimensions) {
            (true, Some(shared)) => columns.extend(shared_columns(&entity, shared)),
            (_, allowed) => columns.extend(dimension_columns(&entity, allowed.as_deref())),
        }
        if version.time.is_some() && has_instant {
            columns.push(final_column(false));
        }
        let kind = ColumnKind::Measure(measure.clone());
        columns.push(RelationColumn {
            name: metric.name.clone(),
            kind: kind.clone(),
            hidden: false,
        });
        let name = versioned_name(metric, major);
        if major.is_some() {
            columns.push(RelationColumn { name: name.clone(), kind, hidden: true });
        }
        Some(Self::new("metrics", name, entity, columns, Some(measure)))
    }
}

/// Whether all rows that a version counts have a moment.
fn has_instant(model: &Model, version: &MetricVersion) -> bool {
    model.journeys_in(version).into_iter().all(|journey| journey.has_instant())
}

/// `revenue` or `revenue_v1`.
fn versioned_name(metric: &Metric, major: Option<u64>) -> String {
    match major {
        Some(major) => format!("{}_v{major}", metric.name),
        None => metric.name.clone(),
    }
}

fn time_columns(hidden: bool) -> [RelationColumn; 2] {
    let column = |name: &str, kind| RelationColumn { name: name.to_owned(), kind, hidden };
    [column(METRIC_TIME, ColumnKind::MetricTime), column(METRIC_INSTANT, ColumnKind::MetricInstant)]
}

fn final_column(hidden: bool) -> RelationColumn {
    RelationColumn { name: IS_FINAL.to_owned(), kind: ColumnKind::IsFinal, hidden }
}

/// The entity's dimensions as columns; where `allowed` names some, the others are left out.
fn dimension_columns(entity: &Entity, allowed: Option<&[String]>) -> Vec<RelationColumn> {
    let is_allowed = |name: &String| allowed.is_none_or(|allowed| allowed.contains(name));
    let dimensions = entity.dimensions.iter().enumerate();
    dimensions
        .filter(|(_, dimension)| is_allowed(&dimension.allowed_as()))
        .map(|(index, dimension)| RelationColumn {
            name: dimension.name.clone(),
            kind: ColumnKind::Dimension(index),
            hidden: dimension.alias_only,
        })
        .collect()
}

/// A measure's name in the whole: two parts may have one metric in two versions.
fn measure_of_part(name: &str, part: usize) -> String {
    format!("{name}@{part}")
}

/// The dimensions that several entities share, by the names that they share.
fn shared_columns(entity: &Entity, shared: &[String]) -> Vec<RelationColumn> {
    let column = |name: &String| {
        let kind = ColumnKind::Dimension(entity.dimension_index(name)?);
        Some(RelationColumn { name: name.clone(), kind, hidden: false })
    };
    shared.iter().filter_map(column).collect()
}

/// The measures of an entity: each metric's default under its name, each major as `name_vN`. Where the
/// default counts another entity's rows, its name is there for a pin to a version that counts these.
fn measures_of(model: &Model, entity: &Entity) -> Vec<RelationColumn> {
    let mut columns = Vec::new();
    for metric in model.metrics.values() {
        let on_entity = |version: &Arc<MetricVersion>| version.entities == [entity.name.as_str()];
        // A row of the entity has no value of its own: such a metric is asked for by name.
        let row_wise = |version: &Arc<MetricVersion>| model.is_row_wise(version);
        let mut push = |major, hidden| {
            let kind = ColumnKind::Measure(MeasureColumn { metric: Arc::clone(metric), major });
            columns.push(RelationColumn { name: versioned_name(metric, major), kind, hidden });
        };
        if let Some(version) = metric.default_version().filter(|version| on_entity(version)) {
            push(None, !row_wise(version));
        }
        let served = metric.served_majors();
        let several = served.len() > 1;
        let is_default_here = metric.default_version().is_some_and(on_entity);
        let is_free = entity.dimension_named(&metric.name).is_none();
        if !is_default_here && is_free && served.iter().copied().any(on_entity) {
            push(None, true);
        }
        for version in served.into_iter().filter(|version| on_entity(version)) {
            // With one major there is nothing to tell apart; asked for by its number, it answers too.
            push(Some(version.version.major), !several || !row_wise(version));
        }
    }
    columns
}

/// All relations of a model, by schema and name.
#[derive(Debug)]
pub struct Relations {
    by_name: BTreeMap<(&'static str, String), Arc<Relation>>,
}

impl Relations {
    pub fn of(model: &Model) -> Self {
        let mut by_name = BTreeMap::new();
        let mut add = |relation: Relation| {
            by_name.insert((relation.schema, relation.name.clone()), Arc::new(relation));
        };
        for entity in model.entities.values() {
            add(Relation::of_entity(model, entity));
        }
        for metric in model.metrics.values() {
            Relation::of_metric(model, metric, None).into_iter().for_each(&mut add);
            for version in metric.served_majors() {
                let major = Some(version.version.major);
                Relation::of_metric(model, metric, major).into_iter().for_each(&mut add);
            }
        }
        for segment in model.segments.values() {
            super::segment::relations(model, segment).into_iter().for_each(&mut add);
        }
        Self { by_name }
    }

    pub fn get(&self, schema: &str, name: &str) -> Option<&Arc<Relation>> {
        let schema = match schema {
            "public" => "public",
            "metrics" => "metrics",
            "segments" => "segments",
            _ => return None,
        };
        self.by_name.get(&(schema, name.to_owned()))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Relation>> {
        self.by_name.values()
    }
}

/// Whether its values over the parts of any partition sum to its value over the whole.
pub fn is_additive(model: &Model, version: &MetricVersion) -> bool {
    match &version.kind {
        MetricKind::Aggregate(Aggregation::Count | Aggregation::Sum(_)) => true,
        MetricKind::Aggregate(_)
        | MetricKind::Ratio { .. }
        | MetricKind::Snapshot { .. }
        | MetricKind::Cumulative { .. } => false,
        MetricKind::Offset { metric, .. } => {
            model.version_of(metric).is_some_and(|(_, version)| is_additive(model, version))
        }
        MetricKind::Journey(journey) => journey.is_additive(),
        MetricKind::Derived { expr, parts } => {
            is_linear(expr)
                && parts.iter().all(|part| {
                    model.version_of(part).is_some_and(|(_, version)| is_additive(model, version))
                })
        }
    }
}

/// Sums and differences of metrics only.
fn is_linear(expr: &datafusion::logical_expr::Expr) -> bool {
    use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
    match expr {
        Expr::Column(_) => true,
        Expr::Cast(cast) => is_linear(&cast.expr),
        Expr::Negative(inner) => is_linear(inner),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus | Operator::Minus, right }) => {
            is_linear(left) && is_linear(right)
        }
        Expr::ScalarFunction(call) => {
            [numeric::checked_add(), numeric::checked_sub()].contains(&&call.func)
                && call.args.iter().all(is_linear)
        }
        _ => false,
    }
}
