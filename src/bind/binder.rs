//! Expressions of a statement: names resolved to scans' columns, measures and aggregates marked.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, Ident, ObjectName, ObjectNamePart, Query, Spanned,
    Value, ValueWithSpan, WindowType,
};

use super::aggregate::{self, Call};
use super::context::{RelationScan, ScanClock, ScanColumn, ScanKind};
use super::error::BindError;
use super::literal;
use super::markers;
use super::period;
use super::preview::Preview;
use super::relation::{ColumnKind, MeasureColumn, Relation, RelationColumn, Relations};
use super::scope::{
    Columns, Item, Kind, MeasureUse, Resolved, Scope, column, folded, nearest, quoted,
};
use super::segment;
use super::template;
use super::walk::{children_mut, subquery_mut};
use crate::functions::registry;
use crate::model::{AfterClose, MetricVersion, Model, SegmentVersion};

/// Marks a measure until it is known how its select evaluates it.
const PENDING: &str = "__pending_measure";
/// Marks one at a coarser level, whose keys are its further arguments.
const PENDING_AT: &str = "__pending_measure_at";

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
    fn name(self) -> &'static str {
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

    fn takes_measures(self) -> bool {
        matches!(self, Self::Projection | Self::Having | Self::OrderBy | Self::Aggregate)
    }

    fn takes_aggregates(self) -> bool {
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

/// How a select evaluates the measures in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evaluation {
    /// Not at all: they stay calculations.
    Deferred,
    /// For each group.
    PerGroup,
    /// For each row of the entity.
    PerRow,
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

    /// The relation of a metric's version that a pin means, where that counts the rows of another
    /// entity than the default does.
    pub(super) fn pinned(&self, relation: Arc<Relation>) -> Arc<Relation> {
        let measure = relation.metric.as_ref().filter(|measure| measure.major.is_none());
        let version = measure.and_then(|measure| self.meant(measure));
        let version = version.filter(|version| version.rows_entity() != relation.entity.name);
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

    fn unknown_relation(&self, name: &ObjectName, parts: &[String]) -> BindError {
        let table = parts.last().cloned().unwrap_or_default();
        let qualified = |relation: &Arc<Relation>| match relation.schema {
            "public" => relation.name.clone(),
            schema => format!("{schema}.{}", relation.name),
        };
        let same_name = self.relations.iter().find(|relation| relation.name == table);
        let near = same_name.map(qualified).or_else(|| {
            let names: Vec<String> = self.relations.iter().map(qualified).collect();
            nearest(&parts.join("."), names.iter().map(String::as_str))
        });
        BindError::UnknownRelation { name: parts.join("."), near, position: self.position_of(name) }
    }

    pub(crate) fn relation(&self, instance: usize) -> Option<&Arc<Relation>> {
        self.instances.get(instance)?.as_ref().map(|it| &it.relation)
    }

    /// How many relations have been named so far.
    pub(crate) fn relation_count(&self) -> usize {
        self.instances.iter().flatten().count()
    }

    // ---- names ----

    fn resolve_name(&mut self, idents: &[Ident], scope: &Scope<'_>) -> Result<Resolved, BindError> {
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
            return Ok(Some(Resolved { expr: shared.expr.clone(), kind: Kind::Value }));
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
                position.map(|position| self.use_column(*instance, position, idents)).transpose()
            }
            Columns::Derived(columns) => {
                let mut named = columns.iter().enumerate().filter(|(_, it)| it.name == name);
                match (named.next(), named.next()) {
                    (None, _) => Ok(None),
                    (Some((index, it)), None) => Ok(Some(Resolved {
                        expr: column(&item.alias, &format!("c{index}")),
                        kind: it.kind.clone(),
                    })),
                    (Some(_), Some(_)) => Err(self.ambiguous(idents)),
                }
            }
        }
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
        Ok(Resolved { expr, kind })
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
                let successor = metric.default_version().map(|_| metric.name.clone());
                let metric = metric.name.clone();
                BindError::RetiredVersion { metric, major, successor, position }
            })?,
            None => metric.default_version().ok_or_else(|| self.unknown_measure(idents))?,
        };
        let is_here = match relation.parts.is_empty() {
            true => version.rows_entity() == relation.entity.name,
            false => relation.parts.iter().any(|part| part.relation.entity.name == version.entity),
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

    fn unknown_measure(&self, idents: &[Ident]) -> BindError {
        let name = idents.last().map(|ident| format!("\"{}\"", folded(ident))).unwrap_or_default();
        let position = idents.first().and_then(|ident| self.place_of(ident));
        BindError::UnknownColumn { name, near: None, position }
    }

    fn unknown_column(&self, idents: &[Ident], scope: &Scope<'_>) -> BindError {
        let position = idents.first().and_then(|ident| self.place_of(ident));
        let name = idents.last().map(folded).unwrap_or_default();
        let table = idents.len().checked_sub(2).map(|index| folded(&idents[index]));
        let items = || {
            let mut scopes = vec![scope];
            while let Some(parent) = scopes.last().and_then(|it| it.parent) {
                scopes.push(parent);
            }
            scopes.into_iter().flat_map(|scope| &scope.items)
        };
        let known_table = |table: &String| items().any(|item| item.name.as_ref() == Some(table));
        if let Some(table) = table.as_ref().filter(|table| !known_table(table)) {
            return BindError::UnknownTable { name: table.clone(), position };
        }
        if let Some(error) = self.retired_version(&name, position) {
            return error;
        }
        let wanted = |item: &&Item| table.is_none() || item.name == table;
        let mut names: Vec<&str> = Vec::new();
        for item in items().filter(wanted) {
            match &item.columns {
                Columns::Relation(instance) => {
                    let columns = self.relation(*instance).map(|it| it.columns_in(item.part));
                    names.extend(columns.unwrap_or_default().iter().map(|it| it.name.as_str()));
                }
                Columns::Derived(columns) => {
                    names.extend(columns.iter().map(|it| it.name.as_str()))
                }
            }
        }
        let near = nearest(&name, names.into_iter());
        let shown = match &table {
            Some(table) => format!("{table}.{name}"),
            None => format!("\"{name}\""),
        };
        BindError::UnknownColumn { name: shown, near, position }
    }

    /// `revenue_v0`, where there once was such a major version.
    fn retired_version(&self, name: &str, position: Option<usize>) -> Option<BindError> {
        let (metric, major) = name.rsplit_once("_v")?;
        let (metric, major) = (self.model.metrics.get(metric)?, major.parse::<u64>().ok()?);
        let version = metric.versions.iter().find(|version| version.version.major == major)?;
        if self.model.served_version(metric, major).is_some() {
            return None;
        }
        let successor = version
            .replaced_by
            .as_ref()
            .map(|successor| format!("{}_v{}", metric.name, successor.major))
            .or_else(|| metric.default_version().map(|_| metric.name.clone()));
        Some(BindError::RetiredVersion { metric: metric.name.clone(), major, successor, position })
    }

    // ---- expressions ----

    /// Resolves every name in an expression, in place; measures become pending marks.
    pub(crate) fn resolve(
        &mut self,
        expr: &mut Expr,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Found, BindError> {
        crate::sql::spelling::rewrite(expr);
        match expr {
            Expr::Identifier(ident) => {
                let idents = [ident.clone()];
                self.resolve_column(expr, &idents, scope, clause)
            }
            Expr::CompoundIdentifier(idents) => {
                let idents = idents.clone();
                self.resolve_column(expr, &idents, scope, clause)
            }
            Expr::Function(function) => {
                crate::sql::spelling::age_until_today(function);
                let replaced = self.resolve_function(function, scope, clause)?;
                let (found, replacement) = replaced;
                if let Some(replacement) = replacement {
                    *expr = replacement;
                }
                Ok(found)
            }
            Expr::Value(value) => {
                plain_string(&mut value.value);
                Ok(Found::default())
            }
            Expr::IsDistinctFrom(_, right) | Expr::IsNotDistinctFrom(_, right)
                if matches!(
                    **right,
                    Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. }
                ) =>
            {
                // The parser takes what follows for the operand, and the rest of the condition with it.
                Err(BindError::NotSupported {
                    what: "IS DISTINCT FROM before AND or OR".to_owned(),
                    hint: Some("Put the comparison into parentheses.".to_owned()),
                    position: self.position_of(expr),
                })
            }
            Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
                escape_by_backslash(pattern, escape_char);
                self.resolve_children(expr, scope, clause)
            }
            _ => self.resolve_children(expr, scope, clause),
        }
    }

    fn resolve_children(
        &mut self,
        expr: &mut Expr,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Found, BindError> {
        let mut found = Found::default();
        if let Some(query) = subquery_mut(expr) {
            self.bind_query(query, Some(scope), true)?;
        }
        let position = self.position_of(expr);
        literal::simplify(expr);
        let shown = children_mut(expr).is_none().then(|| expr.to_string());
        let is_transparent = matches!(expr, Expr::Nested(_));
        match children_mut(expr) {
            Some(children) => {
                for child in children {
                    let of_child = self.resolve(child, scope, clause)?;
                    if is_transparent {
                        return Ok(of_child);
                    }
                    found.absorb(of_child);
                }
            }
            None => {
                let what = format!("the expression {}", shown.unwrap_or_default());
                return Err(BindError::NotSupported { what, hint: None, position });
            }
        }
        Ok(found)
    }

    fn resolve_column(
        &mut self,
        expr: &mut Expr,
        idents: &[Ident],
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Found, BindError> {
        let mut resolved = self.resolve_name(idents, scope)?;
        if let (Expr::CompoundIdentifier(written), Some(first)) =
            (&mut resolved.expr, idents.first())
        {
            // Later faults of this column are shown where the user named it.
            written.iter_mut().for_each(|ident| ident.span = first.span);
        }
        let mut found = Found::default();
        match resolved.kind {
            Kind::Value => {
                found.columns.push(resolved.expr.clone());
                *expr = resolved.expr;
            }
            Kind::Measure(used) => {
                if !clause.takes_measures() {
                    return Err(self.misplaced_measure(&used, clause, idents));
                }
                *expr = marked(PENDING, resolved.expr, None);
                found.measures = Some(used);
            }
        }
        Ok(found)
    }

    fn misplaced_measure(&self, used: &MeasureUse, clause: Clause, idents: &[Ident]) -> BindError {
        let measure = used.name();
        let hint = match clause {
            Clause::Where => format!(
                "A measure has a value only for a group: write HAVING MEASURE({measure}) …, or \
                 group in a subquery and filter its result."
            ),
            Clause::GroupBy => {
                "Group by dimensions; the measure is evaluated for each group.".to_owned()
            }
            _ => format!(
                "Evaluate it in a subquery first: SELECT …, MEASURE({measure}) AS value … GROUP BY …."
            ),
        };
        let position = idents.first().and_then(|ident| self.place_of(ident));
        BindError::MeasureNotAllowed { measure, clause: clause.name(), hint, position }
    }

    /// Resolves a call; gives what to write in its place, if that is something else.
    fn resolve_function(
        &mut self,
        function: &mut Function,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<(Found, Option<Expr>), BindError> {
        let position = self.position_of(&function.name);
        let name =
            function.name.0.last().and_then(|it| it.as_ident()).map(folded).unwrap_or_default();
        // Schemas in front of function names tell nothing: all functions are pg_catalog's.
        function.name = ObjectName(vec![ObjectNamePart::Identifier(quoted(&name))]);
        if matches!(name.as_str(), "measure" | "agg" | "aggregate") {
            return self.resolve_measure_call(function, &name, scope, clause, position);
        }
        if function.over.is_some() {
            return self.resolve_window(function, &name, scope, clause, position);
        }
        if registry().aggregate.contains_key(&name) {
            return self.resolve_aggregate(function, &name, scope, clause, position);
        }
        if let Some(mut cast) = template::as_cast(&name, function) {
            let found = self.resolve(&mut cast, scope, clause)?;
            return Ok((found, Some(cast)));
        }
        if !registry().scalar.contains_key(&name) && !is_special_form(&name) {
            let names = registry().scalar.keys().chain(registry().aggregate.keys());
            let near = nearest(&name, names.map(String::as_str));
            return Err(BindError::UnknownFunction { name, near, position });
        }
        period::resolve(&self.model.project, function, &name, position)?;
        let mut call = Expr::Function(function.clone());
        let found = self.resolve_children(&mut call, scope, clause)?;
        Ok((found, Some(call)))
    }

    /// `MEASURE(m)`, `AGG(m)`, `AGGREGATE(m)`: the same as the bare column, but for a FILTER.
    fn resolve_measure_call(
        &mut self,
        function: &mut Function,
        name: &str,
        scope: &Scope<'_>,
        clause: Clause,
        position: Option<usize>,
    ) -> Result<(Found, Option<Expr>), BindError> {
        let level = match function.over.take() {
            Some(over) => Some(self.level_keys(over, name, scope, clause, position)?),
            None => None,
        };
        let not_a_measure = || BindError::NotAMeasure { function: name.to_uppercase(), position };
        let [argument] = arguments(function).try_into().map_err(|_| not_a_measure())?;
        let mut argument: Expr = argument;
        let mut found = self.resolve(&mut argument, scope, clause)?;
        if found.measures.is_none() {
            return Err(not_a_measure());
        }
        if let Some(mut filter) = function.filter.take() {
            self.resolve(&mut filter, scope, Clause::Filter)?;
            found.aggregate = true;
            argument = with_filter(argument, filter).ok_or_else(|| BindError::NotSupported {
                what: "FILTER around an expression of measures".to_owned(),
                hint: Some("Give each measure in it its own FILTER.".to_owned()),
                position,
            })?;
        }
        if let Some(keys) = level {
            found.aggregate = true;
            at_level(&mut argument, &keys);
        }
        Ok((found, Some(argument)))
    }

    /// The keys of `OVER (PARTITION BY …)` behind a measure, resolved.
    fn level_keys(
        &mut self,
        over: WindowType,
        name: &str,
        scope: &Scope<'_>,
        clause: Clause,
        position: Option<usize>,
    ) -> Result<Vec<Expr>, BindError> {
        let refuse = |what: String, hint: &str| {
            Err(BindError::NotSupported { what, hint: Some(hint.to_owned()), position })
        };
        let name = name.to_uppercase();
        let WindowType::WindowSpec(spec) = over else {
            let what = format!("{name} OVER a named window");
            return refuse(what, "Write the window out: OVER (PARTITION BY …).");
        };
        if !spec.order_by.is_empty() || spec.window_frame.is_some() {
            let what = format!("{name} OVER (ORDER BY …)");
            return refuse(what, "For a running value, define a cumulative metric.");
        }
        if !matches!(clause, Clause::Projection | Clause::Having | Clause::OrderBy) {
            let what = format!("{name} OVER in {}", clause.name());
            return refuse(what, "Write it in the select list.");
        }
        let mut keys = spec.partition_by;
        for key in &mut keys {
            self.resolve(key, scope, Clause::GroupBy)?;
        }
        Ok(keys)
    }

    /// What is in the arguments of an aggregate call; of a single one also whether it is a metric
    /// and nothing else.
    fn resolve_arguments(
        &mut self,
        call: &mut Expr,
        scope: &Scope<'_>,
    ) -> Result<Found, BindError> {
        let mut found: Option<Found> = None;
        for child in children_mut(call).unwrap_or_default() {
            let of_child = self.resolve(child, scope, Clause::Aggregate)?;
            match &mut found {
                None => found = Some(of_child),
                Some(found) => found.absorb(of_child),
            }
        }
        Ok(found.unwrap_or_default())
    }

    fn resolve_aggregate(
        &mut self,
        function: &mut Function,
        name: &str,
        scope: &Scope<'_>,
        clause: Clause,
        position: Option<usize>,
    ) -> Result<(Found, Option<Expr>), BindError> {
        if !clause.takes_aggregates() {
            return Err(BindError::AggregateNotAllowed { clause: clause.name(), position });
        }
        let filter = function.filter.take();
        let mut call = Expr::Function(function.clone());
        let inner = self.resolve_arguments(&mut call, scope)?;
        let filter = match filter {
            Some(mut filter) => {
                self.resolve(&mut filter, scope, Clause::Filter)?;
                Some(filter)
            }
            None => None,
        };
        let mut found = Found { aggregate: true, ..Found::default() };
        let Some(mut measures) = inner.measures else {
            if let Expr::Function(resolved) = &mut call {
                resolved.filter = filter;
            }
            return Ok((found, Some(call)));
        };
        let Expr::Function(resolved) = call else {
            return Err(BindError::Internal("a call became something else".to_owned()));
        };
        let distinct = is_distinct(&resolved);
        let argument = arguments(&resolved).into_iter().next();
        let argument =
            argument.ok_or_else(|| BindError::Internal("a call lost its argument".to_owned()))?;
        measures.direct = is_pending(&argument);
        let call = Call { function: name, distinct, position };
        let (value, measures) = match conditional(&argument) {
            Some(conditional) => {
                let direct = MeasureUse { direct: true, ..measures };
                aggregate::check(
                    self.model,
                    self.settings.strict || conditional.or_zero,
                    call,
                    &direct,
                )?;
                (conditional.into_filtered(), direct)
            }
            None => {
                aggregate::check(self.model, self.settings.strict, call, &measures)?;
                found.columns = inner.columns;
                (argument, measures)
            }
        };
        found.measures = Some(measures);
        let value = match filter {
            None => value,
            Some(filter) => with_filter(value, filter).ok_or_else(|| BindError::NotSupported {
                what: "FILTER around an expression of measures".to_owned(),
                hint: Some("Give each measure in it its own FILTER.".to_owned()),
                position,
            })?,
        };
        Ok((found, Some(value)))
    }

    fn resolve_window(
        &mut self,
        function: &mut Function,
        name: &str,
        scope: &Scope<'_>,
        clause: Clause,
        position: Option<usize>,
    ) -> Result<(Found, Option<Expr>), BindError> {
        if !matches!(clause, Clause::Projection | Clause::OrderBy) {
            let what = format!("a window function in {}", clause.name());
            return Err(BindError::NotSupported { what, hint: None, position });
        }
        if !registry().window.contains_key(name) && !registry().aggregate.contains_key(name) {
            return Err(BindError::UnknownFunction { name: name.to_owned(), near: None, position });
        }
        let mut found = Found::default();
        for mut argument in arguments(function) {
            let of_argument = self.resolve(&mut argument, scope, clause)?;
            if let Some(used) = &of_argument.measures {
                let call = Call { function: name, distinct: false, position };
                aggregate::check_window(self.model, call, used)?;
            }
        }
        let mut call = Expr::Function(function.clone());
        found.absorb(self.resolve_children(&mut call, scope, clause)?);
        found.window = true;
        Ok((found, Some(call)))
    }
}

/// A string written in another way is the same string.
fn plain_string(value: &mut Value) {
    if let Value::UnicodeStringLiteral(text) | Value::EscapedStringLiteral(text) = value {
        *value = Value::SingleQuotedString(std::mem::take(text));
    }
}

/// A constant pattern with an escape character of its own, written with the usual one: the planner
/// knows the backslash only.
fn escape_by_backslash(pattern: &mut Expr, escape_char: &mut Option<ValueWithSpan>) {
    let Expr::Value(ValueWithSpan { value, .. }) = pattern else { return };
    plain_string(value);
    let Value::SingleQuotedString(text) = value else { return };
    let Some(ValueWithSpan { value: Value::SingleQuotedString(escape), .. }) = escape_char else {
        return;
    };
    let escape = escape.chars().next();
    let mut rewritten = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            c if Some(c) == escape => {
                rewritten.push('\\');
                rewritten.extend(chars.next());
            }
            '\\' => rewritten.push_str("\\\\"),
            c => rewritten.push(c),
        }
    }
    *text = rewritten;
    *escape_char = None;
}

/// Forms that the parser gives as calls and the planner knows itself.
fn is_special_form(name: &str) -> bool {
    matches!(
        name,
        "coalesce" | "greatest" | "least" | "nullif" | "row" | "struct" | "array" | "unnest"
    )
}

/// A call of a mark around an expression.
pub(crate) fn marked(name: &str, argument: Expr, filter: Option<Box<Expr>>) -> Expr {
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(quoted(name))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))],
            clauses: Vec::new(),
        }),
        filter,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// A measure that its select will evaluate.
pub(crate) fn pending(measure: Expr) -> Expr {
    marked(PENDING, measure, None)
}

/// Whether an expression is a call of a function of this name, and no window.
pub(crate) fn is_call_of(expr: &Expr, name: &str) -> bool {
    let Expr::Function(Function { name: called, over: None, .. }) = expr else { return false };
    called.0.last().and_then(|part| part.as_ident()).is_some_and(|ident| ident.value == name)
}

/// The plain arguments of a call.
pub(crate) fn arguments(function: &Function) -> Vec<Expr> {
    let FunctionArguments::List(list) = &function.args else { return Vec::new() };
    let expr = |arg: &FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    };
    list.args.iter().filter_map(expr).collect()
}

fn is_distinct(function: &Function) -> bool {
    matches!(&function.args, FunctionArguments::List(list)
        if list.duplicate_treatment == Some(DuplicateTreatment::Distinct))
}

/// A pending measure with (one more) filter; None for anything else.
fn with_filter(expr: Expr, filter: Box<Expr>) -> Option<Expr> {
    let inner = match expr {
        Expr::Nested(inner) => *inner,
        other => other,
    };
    if !is_call_of(&inner, PENDING) {
        return None;
    }
    let Expr::Function(mut function) = inner else { return None };
    function.filter = Some(match function.filter.take() {
        None => filter,
        Some(known) => Box::new(Expr::BinaryOp {
            left: Box::new(Expr::Nested(known)),
            op: BinaryOperator::And,
            right: Box::new(Expr::Nested(filter)),
        }),
    });
    Some(Expr::Function(function))
}

/// `CASE WHEN condition THEN measure [ELSE 0] END`, as BI tools write a filtered measure.
struct Conditional {
    condition: Expr,
    measure: Expr,
    /// With ELSE 0: no row is 0, not NULL.
    or_zero: bool,
}

impl Conditional {
    fn into_filtered(self) -> Expr {
        let filtered = with_filter(self.measure.clone(), Box::new(self.condition));
        let filtered = filtered.unwrap_or(self.measure);
        match self.or_zero {
            false => filtered,
            true => {
                call("coalesce", vec![filtered, Expr::value(Value::Number("0".to_owned(), false))])
            }
        }
    }
}

fn conditional(expr: &Expr) -> Option<Conditional> {
    let expr = match expr {
        Expr::Nested(inner) => inner,
        other => other,
    };
    let Expr::Case { operand: None, conditions, else_result, .. } = expr else { return None };
    let [when] = conditions.as_slice() else { return None };
    let or_zero = match else_result.as_deref() {
        None => false,
        Some(Expr::Value(value)) => match &value.value {
            Value::Null => false,
            Value::Number(digits, _) if digits.parse::<f64>() == Ok(0.0) => true,
            _ => return None,
        },
        Some(_) => return None,
    };
    let plain = !contains_pending(&when.condition) && is_call_of(&when.result, PENDING);
    plain.then(|| Conditional {
        condition: when.condition.clone(),
        measure: when.result.clone(),
        or_zero,
    })
}

fn call(name: &str, args: Vec<Expr>) -> Expr {
    let Expr::Function(mut function) = marked(name, Expr::value(Value::Null), None) else {
        return Expr::value(Value::Null);
    };
    if let FunctionArguments::List(list) = &mut function.args {
        let unnamed = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
        list.args = args.into_iter().map(unnamed).collect();
    }
    Expr::Function(function)
}

/// Puts the measures in an expression at a level; those that have one keep it.
fn at_level(expr: &mut Expr, keys: &[Expr]) {
    if is_call_of(expr, PENDING) {
        let Expr::Function(function) = expr else { return };
        function.name = ObjectName(vec![ObjectNamePart::Identifier(quoted(PENDING_AT))]);
        if let FunctionArguments::List(list) = &mut function.args {
            let unnamed = |key: &Expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(key.clone()));
            list.args.extend(keys.iter().map(unnamed));
        }
        return;
    }
    for child in children_mut(expr).unwrap_or_default() {
        at_level(child, keys);
    }
}

/// Whether an expression is one measure and nothing else.
fn is_pending(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_pending(inner),
        other => is_call_of(other, PENDING),
    }
}

fn contains_pending(expr: &Expr) -> bool {
    let mut copy = expr.clone();
    contains_pending_mut(&mut copy)
}

fn contains_pending_mut(expr: &mut Expr) -> bool {
    is_call_of(expr, PENDING)
        || is_call_of(expr, PENDING_AT)
        || children_mut(expr).is_some_and(|children| children.into_iter().any(contains_pending_mut))
}

/// Turns pending measures into what the select does with them.
pub(crate) fn settle(expr: &mut Expr, evaluation: Evaluation) {
    if is_call_of(expr, PENDING_AT) {
        // Such a call makes its select an aggregation.
        let Expr::Function(function) = expr else { return };
        function.name = ObjectName(vec![ObjectNamePart::Identifier(quoted(markers::MEASURE_AT))]);
        return;
    }
    if is_call_of(expr, PENDING) {
        let Expr::Function(function) = expr else { return };
        let mark = match evaluation {
            Evaluation::PerGroup => markers::MEASURE,
            Evaluation::PerRow => markers::MEASURE_OF_ROW,
            Evaluation::Deferred => {
                if let Some(argument) = arguments(function).into_iter().next() {
                    *expr = argument;
                }
                return;
            }
        };
        function.name = ObjectName(vec![ObjectNamePart::Identifier(quoted(mark))]);
        return;
    }
    for child in children_mut(expr).unwrap_or_default() {
        settle(child, evaluation);
    }
}
