//! What a statement refers to: its relations, and what its names mean in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::sql::sqlparser::ast::{Expr, Ident, ObjectName, Query, Spanned};

use super::context::{RelationScan, ScanClock, ScanColumn, ScanKind};
use super::error::BindError;
use super::preview::Preview;
use super::relation::{ColumnKind, MeasureColumn, Relation, RelationColumn, Relations};
use super::scope::{
    Columns, Item, Kind, MeasureUse, PlainColumn, Resolved, Scope, column, derived_name, folded,
};
use super::segment;
use crate::model::{AfterClose, MetricVersion, Model, SegmentVersion};

/// Settings of a session that change what a statement means.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct BindSettings {
    /// Metric or segment to major version.
    pub pins: BTreeMap<String, u64>,
    /// Refuse SUM around metrics that aren't additive.
    pub strict: bool,
    /// Schemas in which unqualified relations are looked up.
    pub search_path: Vec<String>,
    /// Rows that came in at this moment or later don't count.
    pub as_of: Option<DateTime<Utc>>,
    /// The session's TimeZone, for metrics that declare its days as theirs.
    pub time_zone: String,
    /// Each period of the asked range has a row.
    pub fill: bool,
    /// What the session says of itself, by the calls of a statement that ask for it.
    pub facts: BTreeMap<String, Fact>,
}

/// What a function of a session gives.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Fact {
    Text(String),
    /// An `int4`.
    Number(i64),
}

/// A reference to a relation, and what is used of it.
#[derive(Debug)]
struct Instance {
    relation: Arc<Relation>,
    /// Position in the relation to what it is in the scan.
    used: BTreeMap<usize, ScanColumn>,
    segments: BTreeMap<String, Arc<SegmentVersion>>,
    reading: Reading,
}

/// How relations are read: as the session says, or the table function in which they stand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    /// Rows that came in at this moment or later don't count.
    pub(crate) as_of: Option<DateTime<Utc>>,
    /// Each period of the asked range has a row.
    pub(crate) fill: bool,
}

/// A common table expression, kept to be bound anew at each reference.
#[derive(Debug, Clone)]
pub(crate) struct Cte {
    pub(crate) name: String,
    pub(crate) query: Query,
    pub(crate) columns: Vec<String>,
    /// How many of the binder's CTEs are visible in it.
    pub(crate) visible: usize,
}

/// Where an expression stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clause {
    Projection,
    Having,
    OrderBy,
    Where,
    On,
    GroupBy,
    Filter,
    Values,
    /// Inside an aggregate call.
    Aggregate,
}

impl Clause {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Projection => "the select list",
            Self::Having => "HAVING",
            Self::OrderBy => "ORDER BY",
            Self::Where => "WHERE",
            Self::On => "JOIN conditions",
            Self::GroupBy => "GROUP BY",
            Self::Filter => "FILTER",
            Self::Values => "VALUES",
            Self::Aggregate => "aggregate calls",
        }
    }

    pub(super) fn takes_measures(self) -> bool {
        matches!(self, Self::Projection | Self::Having | Self::OrderBy | Self::Aggregate)
    }

    pub(super) fn takes_aggregates(self) -> bool {
        matches!(self, Self::Projection | Self::Having | Self::OrderBy)
    }
}

/// What was seen in an expression.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) measures: Option<MeasureUse>,
    /// A call that makes its select an aggregation.
    pub(crate) aggregate: bool,
    pub(crate) window: bool,
    /// Columns outside of aggregates that aren't measures, resolved.
    pub(crate) columns: Vec<Expr>,
    /// Where the expression is a column's name and nothing else.
    pub(crate) plain: Option<PlainColumn>,
}

impl Found {
    pub(crate) fn absorb(&mut self, other: Found) {
        self.aggregate |= other.aggregate;
        self.window |= other.window;
        self.columns.extend(other.columns);
        match (&mut self.measures, other.measures) {
            (Some(mine), Some(theirs)) => mine.absorb(theirs),
            (mine @ None, Some(mut theirs)) => {
                theirs.direct = false;
                *mine = Some(theirs);
            }
            (_, None) => {}
        }
    }
}

/// The state of binding one statement.
pub(crate) struct Binder<'m> {
    pub(crate) model: &'m Model,
    pub(crate) relations: &'m Relations,
    pub(crate) settings: &'m BindSettings,
    pub(crate) reading: Reading,
    text: &'m str,
    /// By number of alias; None for derived tables.
    instances: Vec<Option<Instance>>,
    pub(crate) ctes: Vec<Cte>,
    versions: Vec<Arc<MetricVersion>>,
    /// Relations that functions in FROM have made for this statement.
    own_relations: Vec<Arc<Relation>>,
    /// Measures that previews show by row.
    pub(crate) previews: Vec<Preview>,
}

/// Where [`Binder::own_relation`]s are: no schema of the user's is called so.
pub(super) const OWN_SCHEMA: &str = "(own)";

/// More FROM items than this in one statement, CTEs counted at each use, are refused: planning time
/// grows with their square.
const MAX_ITEMS: usize = 500;

impl<'m> Binder<'m> {
    pub(crate) fn new(
        model: &'m Model,
        relations: &'m Relations,
        settings: &'m BindSettings,
        text: &'m str,
    ) -> Self {
        let (instances, ctes, versions) = (Vec::new(), Vec::new(), Vec::new());
        let own_relations = Vec::new();
        let reading = Reading { as_of: settings.as_of, fill: settings.fill };
        let previews = Vec::new();
        Self {
            model,
            relations,
            settings,
            reading,
            text,
            instances,
            ctes,
            versions,
            own_relations,
            previews,
        }
    }

    /// The scans of the statement by number of alias, and the versions of the metrics in it.
    pub(crate) fn finish(mut self) -> (Vec<Option<Arc<RelationScan>>>, Vec<Arc<MetricVersion>>) {
        let instances = std::mem::take(&mut self.instances);
        let time_zone = self.settings.time_zone.clone();
        let scan = |instance: Instance| {
            let columns = instance.used.into_values().collect();
            let parts = instance.relation.parts.iter().map(|part| &*part.relation);
            let parts: Vec<&Relation> = [&*instance.relation].into_iter().chain(parts).collect();
            let measures = parts.into_iter().filter_map(|part| part.metric.as_ref());
            let versions = measures.filter_map(|measure| self.meant(measure)).cloned().collect();
            let Reading { as_of, fill } = instance.reading;
            let clock = ScanClock { as_of, now: None, time_zone: time_zone.clone(), fill };
            let scan = RelationScan::new(instance.relation, columns, versions, clock);
            Arc::new(scan.with_segments(instance.segments))
        };
        let scans = instances.into_iter().map(|it| it.map(scan)).collect();
        (scans, self.versions)
    }

    /// The character, from 1, at which something begins in the client's text.
    pub(crate) fn position_of(&self, node: &impl Spanned) -> Option<usize> {
        crate::sql::position_of(self.text, node.span().start)
    }

    /// As [`position_of`](Self::position_of), of a name.
    pub(crate) fn place_of(&self, ident: &Ident) -> Option<usize> {
        crate::sql::position_of(self.text, ident.span.start)
    }

    // ---- relations ----

    /// A new alias of our own.
    pub(crate) fn new_alias(
        &mut self,
        relation: Option<Arc<Relation>>,
    ) -> Result<usize, BindError> {
        if self.instances.len() >= MAX_ITEMS {
            return Err(BindError::TooComplex);
        }
        let instance = |relation: Arc<Relation>| {
            let segments = self.own_segment(&relation, None)?;
            let reading = self.reading;
            Ok(Instance { relation, used: BTreeMap::new(), segments, reading })
        };
        let instance = relation.map(instance).transpose()?;
        self.instances.push(instance);
        Ok(self.instances.len() - 1)
    }

    /// Reads a relation as of a moment; never as of a later one than the session does.
    pub(crate) fn read_as_of(&mut self, instance: usize, as_of: Option<DateTime<Utc>>) {
        if let Some(Some(instance)) = self.instances.get_mut(instance) {
            let moments = [as_of, instance.reading.as_of];
            instance.reading.as_of = moments.into_iter().flatten().min();
        }
    }

    /// Gives a relation of the statement's own a name that no user's is.
    pub(crate) fn own_relation(&mut self, relation: Arc<Relation>) -> String {
        self.own_relations.push(relation);
        format!("\"{OWN_SCHEMA}\".\"{}\"", self.own_relations.len() - 1)
    }

    /// The relation that a name means under the session's search path.
    pub(crate) fn relation_of(&self, name: &ObjectName) -> Result<Arc<Relation>, BindError> {
        let parts: Vec<String> =
            name.0.iter().filter_map(|part| part.as_ident().map(folded)).collect();
        let found = match parts.as_slice() {
            [schema, number] if schema == OWN_SCHEMA => {
                number.parse::<usize>().ok().and_then(|number| self.own_relations.get(number))
            }
            [table] => self
                .settings
                .search_path
                .iter()
                .find_map(|schema| self.relations.get(schema, table)),
            [schema, table] | [_, schema, table] => self.relations.get(schema, table),
            _ => None,
        };
        let found = found.cloned().ok_or_else(|| self.unknown_relation(name, &parts))?;
        self.own_segment(&found, self.position_of(name))?;
        Ok(self.pinned(found))
    }

    /// The relation of a metric's version that a pin means, where that counts the rows of other
    /// entities than the default does.
    pub(super) fn pinned(&self, relation: Arc<Relation>) -> Arc<Relation> {
        let measure = relation.metric.as_ref().filter(|measure| measure.major.is_none());
        let version = measure.and_then(|measure| self.meant(measure));
        let default = measure.and_then(|measure| measure.metric.default_version());
        let is_other = |version: &&Arc<MetricVersion>| {
            version.rows_entity() != relation.entity.name
                || default.is_none_or(|default| default.entities != version.entities)
        };
        let version = version.filter(is_other);
        let name = version.map(|version| format!("{}_v{}", version.metric, version.version.major));
        let own = name.and_then(|name| self.relations.get(relation.schema, &name)).cloned();
        own.unwrap_or(relation)
    }

    /// Whether the session means a version by a column that counts the relation's rows.
    pub(crate) fn is_here(&self, relation: &Relation, column: &RelationColumn) -> bool {
        let ColumnKind::Measure(measure) = &column.kind else { return true };
        let version = self.meant(measure);
        !relation.parts.is_empty()
            || version.is_none_or(|version| version.rows_entity() == relation.entity.name)
    }

    /// The segment whose relation it is, as the session means it, by name.
    fn own_segment(
        &self,
        relation: &Relation,
        position: Option<usize>,
    ) -> Result<BTreeMap<String, Arc<SegmentVersion>>, BindError> {
        let Some(table) = &relation.segment else { return Ok(BTreeMap::new()) };
        let version = segment::meant(table, self.settings, position)?;
        Ok([(table.segment.name.clone(), version)].into())
    }

    /// The segments that the statement reads, each version once.
    pub(crate) fn segments(&self) -> Vec<Arc<SegmentVersion>> {
        let mut versions: Vec<Arc<SegmentVersion>> = Vec::new();
        let used = self.instances.iter().flatten().flat_map(|it| it.segments.values());
        for version in used {
            if !versions.iter().any(|known| Arc::ptr_eq(known, version)) {
                versions.push(Arc::clone(version));
            }
        }
        versions
    }

    pub(crate) fn relation(&self, instance: usize) -> Option<&Arc<Relation>> {
        self.instances.get(instance)?.as_ref().map(|it| &it.relation)
    }

    /// How many relations have been named so far.
    pub(crate) fn relation_count(&self) -> usize {
        self.instances.iter().flatten().count()
    }

    // ---- names ----

    pub(super) fn resolve_name(
        &mut self,
        idents: &[Ident],
        scope: &Scope<'_>,
    ) -> Result<Resolved, BindError> {
        let names: Vec<String> = idents.iter().map(folded).collect();
        let (schema, table, name) = match names.as_slice() {
            [name] => (None, None, name),
            [table, name] => (None, Some(table), name),
            [schema, table, name] | [_, schema, table, name] => (Some(schema), Some(table), name),
            _ => return Err(self.unknown_column(idents, scope)),
        };
        let mut current = Some(scope);
        while let Some(scope) = current {
            if let Some(found) = self.resolve_in(scope, schema, table, name, idents)? {
                return Ok(found);
            }
            current = scope.parent;
        }
        Err(self.unknown_column(idents, scope))
    }

    fn resolve_in(
        &mut self,
        scope: &Scope<'_>,
        schema: Option<&String>,
        table: Option<&String>,
        name: &str,
        idents: &[Ident],
    ) -> Result<Option<Resolved>, BindError> {
        if table.is_none()
            && let Some(shared) = scope.shared.iter().find(|shared| shared.name == name)
        {
            let (expr, plain) = (shared.expr.clone(), shared.plain.clone());
            return Ok(Some(Resolved { expr, kind: Kind::Value, plain }));
        }
        let mut found = None;
        for item in &scope.items {
            let named = table.is_none_or(|table| item.name.as_ref() == Some(table));
            let placed = schema.is_none_or(|schema| item.schema.as_ref() == Some(schema));
            if !(named && placed) {
                continue;
            }
            if let Some(resolved) = self.column_of(item, name, idents)? {
                if found.is_some() {
                    return Err(self.ambiguous(idents));
                }
                found = Some(resolved);
            }
        }
        Ok(found)
    }

    fn ambiguous(&self, idents: &[Ident]) -> BindError {
        let name = idents.last().map(folded).unwrap_or_default();
        let position = idents.first().and_then(|ident| self.place_of(ident));
        BindError::AmbiguousColumn { name, position }
    }

    fn column_of(
        &mut self,
        item: &Item,
        name: &str,
        idents: &[Ident],
    ) -> Result<Option<Resolved>, BindError> {
        match &item.columns {
            Columns::Relation(instance) => {
                let position = self.position_in(item, *instance, name, idents)?;
                let Some(position) = position else { return Ok(None) };
                let resolved = self.use_column(*instance, position, idents)?;
                Ok(Some(Resolved { plain: self.plain_column(item, name), ..resolved }))
            }
            Columns::Derived(columns) => {
                let mut named = columns.iter().enumerate().filter(|(_, it)| it.name == name);
                match (named.next(), named.next()) {
                    (None, _) => Ok(None),
                    (Some((index, it)), None) => Ok(Some(Resolved {
                        expr: column(&item.alias, &derived_name(&item.alias, columns, index)),
                        kind: it.kind.clone(),
                        plain: self.plain_column(item, name),
                    })),
                    (Some(_), Some(_)) => Err(self.ambiguous(idents)),
                }
            }
        }
    }

    /// The column of an item as the catalogue has it; none of what only answers to its name.
    pub(crate) fn plain_column(&self, item: &Item, name: &str) -> Option<PlainColumn> {
        let plain = match &item.columns {
            Columns::Derived(columns) => {
                let plain = columns.iter().find(|it| it.name == name)?.plain.clone()?;
                return Some(PlainColumn { optional: plain.optional || item.optional, ..plain });
            }
            Columns::Relation(instance) => {
                let whole = self.relation(*instance)?;
                let part = item.part.and_then(|part| whole.parts.get(part));
                let relation = part.map_or(whole, |part| &part.relation);
                let column = relation.position(name)?;
                let optional = item.optional;
                PlainColumn { relation: Arc::clone(relation), column, optional }
            }
        };
        let PlainColumn { relation, column, .. } = &plain;
        let known = self.relations.get(relation.schema, &relation.name);
        let is_seen = known.is_some_and(|known| Arc::ptr_eq(known, relation));
        (is_seen && !relation.columns[*column].hidden).then_some(plain)
    }

    /// The position of an item's column in its scan.
    pub(crate) fn position_in(
        &self,
        item: &Item,
        instance: usize,
        name: &str,
        idents: &[Ident],
    ) -> Result<Option<usize>, BindError> {
        let Some(relation) = self.relation(instance) else { return Ok(None) };
        let found = relation.position_in(item.part, name);
        found.map_err(|error| error.at(idents.first().and_then(|ident| self.place_of(ident))))
    }

    /// Notes that a scan needs a column, and says what it is.
    pub(crate) fn use_column(
        &mut self,
        instance: usize,
        position: usize,
        idents: &[Ident],
    ) -> Result<Resolved, BindError> {
        let missing = || BindError::Internal(format!("r{instance} is not a relation"));
        let relation = Arc::clone(self.relation(instance).ok_or_else(missing)?);
        let declared = &relation.columns[position];
        let mut read = None;
        let (scan_kind, kind) = match &declared.kind {
            ColumnKind::Dimension(index) => {
                let position = idents.first().and_then(|ident| self.place_of(ident));
                let dimension = &relation.entity.dimensions[*index];
                read = segment::of_dimension(self.model, dimension, self.settings, position)?;
                (ScanKind::Dimension(*index), Kind::Value)
            }
            ColumnKind::Segment(part) => (ScanKind::Segment(*part), Kind::Value),
            ColumnKind::MetricTime => (ScanKind::MetricTime, Kind::Value),
            ColumnKind::MetricInstant => (ScanKind::MetricInstant, Kind::Value),
            ColumnKind::IsFinal => (ScanKind::IsFinal, Kind::Value),
            ColumnKind::Measure(measure) => {
                let version = self.version_of(measure, &relation, idents)?;
                let used = MeasureUse {
                    metrics: vec![Arc::clone(&version)],
                    direct: true,
                    instances: [instance].into(),
                };
                (ScanKind::Measure(version), Kind::Measure(used))
            }
        };
        let scanned = ScanColumn { name: declared.name.clone(), kind: scan_kind };
        if let Some(Some(it)) = self.instances.get_mut(instance) {
            it.used.insert(position, scanned);
            it.segments.extend(read.map(|version| (version.segment.clone(), version)));
        }
        let expr = column(&format!("r{instance}"), &declared.name);
        Ok(Resolved { expr, kind, plain: None })
    }

    /// The version that the session means by a metric; None where it isn't served.
    pub(crate) fn meant<'v>(
        &'v self,
        measure: &'v MeasureColumn,
    ) -> Option<&'v Arc<MetricVersion>> {
        let metric = &measure.metric;
        match measure.major.or_else(|| self.settings.pins.get(&metric.name).copied()) {
            Some(major) => self.model.served_version(metric, major),
            None => metric.default_version(),
        }
    }

    /// The version of a metric that the session means by a column.
    fn version_of(
        &mut self,
        measure: &MeasureColumn,
        relation: &Relation,
        idents: &[Ident],
    ) -> Result<Arc<MetricVersion>, BindError> {
        let metric = &measure.metric;
        let pin = || self.settings.pins.get(&metric.name).copied();
        let version = match measure.major.or_else(pin) {
            Some(major) => self.model.served_version(metric, major).ok_or_else(|| {
                let position = idents.first().and_then(|ident| self.place_of(ident));
                self.not_served(metric, major, "42703", position)
            })?,
            None => metric.default_version().ok_or_else(|| self.unknown_measure(idents))?,
        };
        let is_here = match relation.parts.is_empty() {
            true => version.rows_entity() == relation.entity.name,
            false => {
                relation.parts.iter().any(|part| part.relation.entity.name == version.rows_entity())
            }
        };
        if !is_here {
            return Err(self.unknown_measure(idents));
        }
        let version = Arc::clone(version);
        // What canon itself asks of late rows isn't a version that anyone has defined.
        let is_defined =
            version.time.as_ref().is_none_or(|time| time.late_data.after != AfterClose::CountLate);
        if is_defined && !self.versions.iter().any(|known| Arc::ptr_eq(known, &version)) {
            self.versions.push(Arc::clone(&version));
        }
        Ok(version)
    }
}
