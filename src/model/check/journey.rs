//! Journeys: conversions, retentions and funnels, built on counts of events.

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::Expr;

use super::at::At;
use super::entity::{Found, base_column, column};
use super::metric::{
    Draft, Metrics, Surroundings, Target, condition, dimensions, reference_label, successor_help,
    unknown_dimension,
};
use super::over_time::unknown_word;
use super::scope::EntityScope;
use super::{Context, time, values};
use crate::diagnostic::Finding;
use crate::functions::Grain;
use crate::model::entity::BASE;
use crate::model::expr::{Name, Resolved, Scope, cast};
use crate::model::journey::{
    AGE, AT, BookedAt, Credit, Events, Journey, JourneyKind, Output, PERIOD, STEP, STEP_NAME,
    member_column,
};
use crate::model::raw::{RawBookedAt, RawCredit, RawMetricType, RawOutput, RawVersion, Text};
use crate::model::{
    AfterClose, Aggregation, AsOf, Attribute, Dimension, Entity, EntityFilter, LateData,
    MetricKind, MetricTime, MetricVersion, Relationship, Status, Zone,
};

/// Each step is one more window over the events.
const STEPS_MAX: usize = 10;
/// Longer windows are mistakes.
const WITHIN_MAX: Duration = Duration::from_secs(3_660 * 86_400);
const SECONDS_PER_DAY: u64 = 86_400;
/// Ways from one entity to another that are looked at, before a web of relationships is refused.
const PATHS_MAX: usize = 1_000;

pub(super) fn is_journey(metric_type: RawMetricType) -> bool {
    use RawMetricType::{Conversion, Funnel, Retention};
    matches!(metric_type, Conversion | Retention | Funnel)
}

/// Checks all journeys, after the counts that they follow.
pub(super) fn check(
    context: &mut Context<'_>,
    surroundings: &Surroundings<'_, '_>,
    metrics: &Metrics<'_>,
) {
    for draft in &metrics.drafts {
        for (index, raw) in draft.raw.versions.iter().enumerate() {
            if !is_journey(raw.metric_type) {
                continue;
            }
            let at = draft.at.key("versions").item(index);
            let is_retired =
                draft.lives[index].as_ref().is_some_and(|life| life.status == Status::Retired);
            let name = format!("rows of {} {}", draft.raw.metric, raw.version);
            let mut one = One { context, surroundings, metrics, raw, at, name, is_retired };
            if let Some(checked) = one.version(draft, index) {
                draft.versions.borrow_mut()[index] = Some(Arc::new(checked));
            }
        }
    }
}

/// A journey being checked.
struct One<'o, 'c, 'e, 'a> {
    context: &'o mut Context<'c>,
    surroundings: &'o Surroundings<'e, 'a>,
    metrics: &'o Metrics<'a>,
    raw: &'o RawVersion,
    at: At<'o>,
    /// Of the entity of its rows.
    name: String,
    is_retired: bool,
}

/// A metric whose rows are followed.
struct Followed {
    version: Arc<MetricVersion>,
    time: MetricTime,
    events: Events,
}

/// What a type of journey has of its own.
struct Shape {
    kind: JourneyKind,
    /// Whose dimensions it has.
    entity: Arc<Entity>,
    rows: Entity,
    /// Names of the dimensions that `rows` has beside the entity's.
    own: Vec<&'static str>,
    /// Those of the entity that it may be grouped by, where not all.
    allowed: Option<Vec<String>>,
    time: MetricTime,
    data_type: DataType,
}

/// A dimension of a journey's rows that their entity doesn't have.
struct Own {
    name: &'static str,
    column: &'static str,
    data_type: DataType,
    description: String,
    /// What it is an attribute of: equal for dimensions that mean the same.
    of: String,
}

impl One<'_, '_, '_, '_> {
    fn version(&mut self, draft: &Draft<'_>, index: usize) -> Option<MetricVersion> {
        let (raw, at) = (self.raw, self.at);
        let freshness = time::freshness(self.context, raw.freshness.as_ref(), at.key("freshness"));
        let grains = self.grains();
        let member = self.member()?;
        let shape = match raw.metric_type {
            RawMetricType::Conversion => self.conversion(&member),
            RawMetricType::Retention => self.retention(&member),
            _ => self.funnel(&member),
        }?;
        let dimensions = self.dimensions(&shape);
        let filter = self.filter(&shape);
        let life = draft.lives[index].clone()?;
        Some(MetricVersion {
            metric: draft.raw.metric.to_string(),
            version: life.version,
            status: life.status,
            released: life.released,
            sunset: life.sunset,
            replaced_by: life.replaced_by,
            entity: shape.entity.name.clone(),
            entities: vec![shape.rows.name.clone()],
            kind: MetricKind::Journey(Arc::new(Journey {
                rows: Arc::new(shape.rows),
                kind: shape.kind,
            })),
            eligibility: Vec::new(),
            filter: filter?,
            time: Some(MetricTime { grains: grains?.or(shape.time.grains), ..shape.time }),
            unit: raw.unit.as_ref().or(draft.raw.unit.as_ref()).map(|unit| unit.to_string()),
            data_type: shape.data_type,
            dimensions: dimensions?,
            many_side: None,
            freshness: freshness?,
            fill: super::metric::fill(raw),
            change: raw.change.as_ref().map(|text| text.to_string()),
        })
    }

    /// The grains that are declared; all else of a time is its events' own.
    fn grains(&mut self) -> Option<Option<Vec<String>>> {
        let Some(raw) = &self.raw.time else { return Some(None) };
        let at = self.at.key("time");
        let mut sound = true;
        for key in ["event", "ingested", "timezone", "late_data"] {
            if at.has(key) {
                sound = false;
                let message = format!(
                    "\"{key}\" does not belong to the time of a metric of type {}",
                    self.raw.metric_type.name()
                );
                let finding = Finding::error("key_not_allowed", message)
                    .at(at.place_of_key(key, "its events have their own"))
                    .help("Set it in the metrics that this one follows.");
                self.context.push(finding);
            }
        }
        let project = self.surroundings.project;
        let grains = time::grains(self.context, Some(raw), at, project)?;
        sound.then_some(grains)
    }

    /// The entity whose members are followed.
    fn member(&mut self) -> Option<Arc<Entity>> {
        let name = self.raw.entity.as_ref()?;
        match self.surroundings.entities.find(name) {
            Found::Entity(draft) => draft.has_columns.then(|| Arc::clone(&draft.entity)),
            Found::Broken => None,
            Found::Unknown => {
                let message = format!("entity \"{name}\" does not exist");
                let (at, known) = (self.at.key("entity"), self.surroundings.entities.names());
                let intro = "The entities are";
                self.context.unknown("unknown_entity", message, at, name, known, intro);
                None
            }
        }
    }

    // ---- types ----

    fn conversion(&mut self, member: &Entity) -> Option<Shape> {
        let (raw, at) = (self.raw, self.at);
        let base = self.followed(raw.base.as_ref()?, at.key("base"), member);
        let target = self.followed(raw.target.as_ref()?, at.key("target"), member);
        let within = self.within();
        let (mut base, mut target) = (base?, target?);
        self.constants(&mut base, &mut target)?;
        let entity = self.entity_of(&base)?;
        let output = output(raw.output.unwrap_or(RawOutput::Rate));
        let within = within?;
        let booked_at = match raw.booked_at {
            None | Some(RawBookedAt::Base) => BookedAt::Base,
            Some(RawBookedAt::Conversion) => BookedAt::Conversion,
        };
        let (booked, window) = match booked_at {
            BookedAt::Base => (&base.time, within),
            BookedAt::Conversion => (&target.time, Duration::ZERO),
        };
        let late_data = closed_after(&[&base.time, &target.time], window);
        let event = booked.event.clone();
        Some(Shape {
            kind: JourneyKind::Conversion {
                base: base.events,
                target: target.events,
                within,
                credit: match raw.credit {
                    None | Some(RawCredit::LastBase) => Credit::LastBase,
                    Some(RawCredit::FirstBase) => Credit::FirstBase,
                },
                booked_at,
                output,
            },
            rows: Entity { name: self.name.clone(), ..(*entity).clone() },
            entity,
            own: Vec::new(),
            allowed: base.version.dimensions.clone(),
            time: MetricTime {
                event,
                expr: base_column(AT),
                ingested: None,
                late_data,
                ..base.time
            },
            data_type: value_type(output),
        })
    }

    fn funnel(&mut self, member: &Entity) -> Option<Shape> {
        let (raw, at) = (self.raw, self.at.key("steps"));
        let texts: Vec<&Text> = raw.steps.as_ref()?.0.iter().collect();
        if !(2..=STEPS_MAX).contains(&texts.len()) {
            let message = format!("a funnel has from 2 to {STEPS_MAX} steps, not {}", texts.len());
            let finding = Finding::error("out_of_range", message)
                .at(at.place("steps"))
                .help("Name counts in their order, such as [visits@1, orders@1].");
            self.context.push(finding);
            return None;
        }
        if member.key.len() > 1 {
            let message = format!(
                "a funnel needs members with one key column; entity \"{}\" has {}",
                member.name,
                member.key.len()
            );
            let place = self.at.key("entity").place("a key of several columns");
            self.context.push(Finding::error("not_supported_yet", message).at(place));
            return None;
        }
        let mut steps: Vec<Followed> = Vec::new();
        let mut sound = true;
        for (index, text) in texts.into_iter().enumerate() {
            let at = at.item(index);
            let Some(step) = self.followed(text, at, member) else {
                sound = false;
                continue;
            };
            let name = &step.events.metric.metric;
            if steps.iter().any(|other| other.events.metric.metric == *name) {
                sound = false;
                let finding =
                    Finding::error("duplicate_name", format!("step \"{name}\" is there twice"))
                        .at(at.place("again here"))
                        .help("One event would be both steps at once; name another metric.");
                self.context.push(finding);
            }
            steps.push(step);
        }
        let within = self.within();
        let first = steps.first().filter(|_| sound)?;
        let entity = self.entity_of(first)?;
        let output = output(raw.output.unwrap_or(RawOutput::Count));
        let (allowed, time) = (first.version.dimensions.clone(), first.time.clone());
        let within = within?;
        let times: Vec<&MetricTime> = steps.iter().map(|step| &step.time).collect();
        let late_data = closed_after(&times, within);
        let mut rows = Entity { name: self.name.clone(), ..(*entity).clone() };
        let own = |name, column, data_type, description: &str| Own {
            name,
            column,
            data_type,
            description: description.to_owned(),
            of: self.name.clone(),
        };
        let step = own("step", STEP, DataType::Int64, "1 for the first step");
        let step_name = own("step_name", STEP_NAME, DataType::Utf8, "the step's metric");
        self.add(&mut rows, step)?;
        self.add(&mut rows, step_name)?;
        rows.key.push("step".to_owned());
        Some(Shape {
            kind: JourneyKind::Funnel {
                steps: steps.into_iter().map(|step| step.events).collect(),
                within,
                output,
            },
            rows,
            entity,
            own: vec!["step", "step_name"],
            allowed,
            time: MetricTime { expr: base_column(AT), ingested: None, late_data, ..time },
            data_type: value_type(output),
        })
    }

    fn retention(&mut self, member: &Arc<Entity>) -> Option<Shape> {
        let (raw, at) = (self.raw, self.at);
        let cohort = self.followed(raw.cohort.as_ref()?, at.key("cohort"), member);
        let active = self.followed(raw.active.as_ref()?, at.key("active"), member);
        let grain = self.cohort_grain();
        let (cohort, active) = (cohort?, active?);
        if cohort.time.zone != active.time.zone {
            let message = format!(
                "the metric's parts have two time zones, {} and {}",
                cohort.time.zone.name(),
                active.time.zone.name()
            );
            let finding = Finding::error("mixed_time_zones", message)
                .at(at.key("active").place("of another time zone"))
                .help("A month would mean two things; give both metrics one zone.");
            self.context.push(finding);
            return None;
        }
        let mut rows = rows_of_members(&self.name, member, &cohort.events.member_types);
        let (grain, name) = grain?;
        let description = format!("{name}s since the cohort's");
        let age = Own {
            name: "age",
            column: AGE,
            data_type: DataType::Int64,
            // Ages in months are the same thing in every retention.
            of: description.clone(),
            description,
        };
        self.add(&mut rows, age)?;
        rows.key.push("age".to_owned());
        let Zone::Named(zone) = cohort.time.zone else {
            let finding = Finding::error("not_supported_yet", "a retention in no one time zone")
                .at(at.key("cohort").place("its periods depend on the row or the session"))
                .help("Name a metric with a time zone of its own.");
            self.context.push(finding);
            return None;
        };
        Some(Shape {
            kind: JourneyKind::Retention {
                cohort: cohort.events,
                active: active.events,
                grain,
                zone,
            },
            rows,
            entity: Arc::clone(member),
            own: vec!["age"],
            allowed: None,
            time: MetricTime {
                expr: base_column(PERIOD),
                ingested: None,
                grains: None,
                late_data: closed_after(&[&cohort.time, &active.time], Duration::ZERO),
                ..cohort.time
            },
            data_type: DataType::Float64,
        })
    }

    // ---- parts ----

    /// The metric that a reference names, as events of members.
    fn followed(&mut self, text: &Text, at: At<'_>, member: &Entity) -> Option<Followed> {
        let reference = values::metric_ref(text, at, &mut self.context.findings)?;
        let (metric, index) = match self.metrics.target(&reference) {
            Target::Version(metric, index) => (metric, index),
            Target::Broken => return None,
            Target::Fault { code, message, help } => {
                let place = at.place(reference_label(code));
                self.context.push(Finding::error(code, message).at(place).maybe_help(help));
                return None;
            }
        };
        let draft = &self.metrics.drafts[metric];
        let retired = draft.lives[index].as_ref().filter(|it| it.status == Status::Retired);
        if let Some(life) = retired.filter(|_| !self.is_retired) {
            let message = format!("{reference} is retired");
            let finding = Finding::error("retired_reference", message)
                .at(at.place(reference_label("retired_reference")))
                .maybe_help(successor_help(&reference.metric, life));
            self.context.push(finding);
            return None;
        }
        let raw = &draft.raw.versions[index];
        let mut rules = match raw.metric_type {
            RawMetricType::Count => Vec::new(),
            RawMetricType::CountDistinct if raw.approximate != Some(true) => Vec::new(),
            other => {
                let message = format!("{reference} is of type {}, not a count", other.name());
                let finding = Finding::error("wrong_type", message)
                    .at(at.place("no events"))
                    .help("Name a metric of type count: its rows are the events.");
                self.context.push(finding);
                return None;
            }
        };
        let version = Arc::clone(draft.versions.borrow()[index].as_ref()?);
        let Some(time) = version.time.clone() else {
            let finding = Finding::error("no_event_time", format!("{reference} has no event time"))
                .at(at.place("never"))
                .help("Give it a time with an event: what comes before what is asked.");
            self.context.push(finding);
            return None;
        };
        rules.extend(version.eligibility.iter().map(|rule| rule.expr.clone()));
        if let MetricKind::Aggregate(Aggregation::CountDistinct { expr, .. }) = &version.kind {
            rules.push(expr.clone().is_not_null());
        }
        let Found::Entity(found) = self.surroundings.entities.find(&version.entity) else {
            return None;
        };
        let from = Arc::clone(&found.entity);
        let key = self.key_of_member(&from, member, &reference.to_string(), at)?;
        let events = Events {
            metric: reference,
            entity: from.name.clone(),
            member: key,
            member_types: key_types(member)?,
            constants: Vec::new(),
            rules,
            time: time.clone(),
        };
        Some(Followed { version, time, events })
    }

    /// The columns of an entity's sources that hold the key of the member it belongs to.
    fn key_of_member(
        &mut self,
        from: &Entity,
        member: &Entity,
        metric: &str,
        at: At<'_>,
    ) -> Option<Vec<Expr>> {
        let mut paths = self.paths(from, member);
        let fault = match paths.len() {
            1 => None,
            0 => Some((
                "unreachable_entity",
                format!(
                    "{metric} is of entity \"{}\", which does not lead to \"{}\"",
                    from.name, member.name
                ),
                format!("Add a relationship from \"{}\" to \"{}\".", from.name, member.name),
            )),
            _ => Some((
                "ambiguous_path",
                format!(
                    "there are several ways from entity \"{}\" to \"{}\"",
                    from.name, member.name
                ),
                format!("They are {}. Follow an entity that one way leads to.", listed(&paths)),
            )),
        };
        if let Some((code, message, help)) = fault {
            let place = at.place(format!("not of one {}", member.name));
            self.context.push(Finding::error(code, message).at(place).help(help));
            return None;
        }
        let path = paths.pop()?;
        let (holder, columns, qualifier) = match path.last() {
            None => (from.clone(), member.key.clone(), BASE.to_owned()),
            Some(last) => {
                let parents: Vec<&str> =
                    path.iter().rev().skip(1).rev().map(|link| link.name.as_str()).collect();
                let holder = match path.len() {
                    1 => from.clone(),
                    length => self.entity(&path[length - 2].entity)?.as_ref().clone(),
                };
                let qualifier =
                    if parents.is_empty() { BASE.to_owned() } else { parents.join(".") };
                (holder, last.key.clone(), qualifier)
            }
        };
        let types = key_types(member)?;
        let exprs = columns.iter().zip(&types).map(|(name, wanted)| {
            let own = holder.source.columns.iter().find(|it| it.name == *name)?;
            let found = column(&qualifier, name);
            Some(if own.data_type == *wanted { found } else { cast(found, wanted) })
        });
        exprs.collect()
    }

    /// The shortest ways from one entity to another.
    fn paths(&self, from: &Entity, to: &Entity) -> Vec<Vec<Relationship>> {
        if from.name == to.name {
            return vec![Vec::new()];
        }
        let mut seen = vec![from.name.clone()];
        let mut level: Vec<(Arc<Entity>, Vec<Relationship>)> =
            vec![(Arc::new(from.clone()), Vec::new())];
        while !level.is_empty() && level.len() <= PATHS_MAX {
            let mut next = Vec::new();
            for (entity, path) in &level {
                for link in entity.relationships.iter().filter(|it| !seen.contains(&it.entity)) {
                    let Some(other) = self.entity(&link.entity) else { continue };
                    let path: Vec<Relationship> = path.iter().chain([link]).cloned().collect();
                    next.push((other, path));
                }
            }
            let found: Vec<Vec<Relationship>> = next
                .iter()
                .filter(|(entity, _)| entity.name == to.name)
                .map(|(_, path)| path.clone())
                .collect();
            if !found.is_empty() {
                return found;
            }
            seen.extend(next.iter().map(|(entity, _)| entity.name.clone()));
            level = next;
        }
        Vec::new()
    }

    fn entity(&self, name: &str) -> Option<Arc<Entity>> {
        match self.surroundings.entities.find(name) {
            Found::Entity(draft) => Some(Arc::clone(&draft.entity)),
            Found::Broken | Found::Unknown => None,
        }
    }

    fn entity_of(&self, followed: &Followed) -> Option<Arc<Entity>> {
        self.entity(&followed.version.entity)
    }

    /// The dimensions in which both events agree.
    fn constants(&mut self, base: &mut Followed, target: &mut Followed) -> Option<()> {
        let Some(names) = &self.raw.constant else { return Some(()) };
        let at = self.at.key("constant");
        let mut sound = true;
        for (index, written) in names.0.iter().enumerate() {
            let at = at.item(index);
            let mut found: Vec<&Dimension> = Vec::new();
            for side in [&*base, &*target] {
                let scope = self.surroundings.scopes.get(side.version.entity.as_str())?;
                match scope.dimension(written) {
                    Some(dimension) => found.push(dimension),
                    None => {
                        sound = false;
                        unknown_dimension(self.context, written, at, scope);
                    }
                }
            }
            let [first, second] = found.as_slice() else { continue };
            if first.data_type != second.data_type {
                sound = false;
                let message = format!("\"{written}\" has two types in base and target");
                let finding = Finding::error("wrong_type", message)
                    .at(at.place(format!("{} and {}", first.data_type, second.data_type)))
                    .help("Give both attributes one type, or leave it out.");
                self.context.push(finding);
            }
            base.events.constants.push(first.expr.clone());
            target.events.constants.push(second.expr.clone());
        }
        sound.then_some(())
    }

    fn within(&mut self) -> Option<Duration> {
        let at = self.at.key("within");
        let text = self.raw.within.as_ref()?;
        let within = values::duration(text, at, &mut self.context.findings)?;
        if within.is_zero() || within > WITHIN_MAX {
            let finding =
                Finding::error("out_of_range", format!("a window of {text} is out of range"))
                    .at(at.place("out of range"))
                    .help("Write a length from 1 second to ten years, such as \"7 days\".");
            self.context.push(finding);
            return None;
        }
        Some(within)
    }

    /// The period of cohorts, and what it is called.
    fn cohort_grain(&mut self) -> Option<(Grain, String)> {
        let project = self.surroundings.project?;
        let written = self.raw.grain.as_ref()?;
        let fiscal: Vec<String> = project.fiscal_grains().collect();
        let mut known = vec!["day", "week", "month", "quarter", "year"];
        known.extend(fiscal.iter().map(String::as_str));
        let grain = project.grain(written).ok().filter(|_| known.contains(&&*written.0));
        if grain.is_none() {
            unknown_word(self.context, written, self.at.key("grain"), &known);
        }
        Some((grain?, written.0.clone()))
    }

    /// Adds a dimension that the entity doesn't have.
    fn add(&mut self, rows: &mut Entity, own: Own) -> Option<()> {
        let Own { name, column, data_type, description, of } = own;
        if rows.dimensions.iter().any(|other| other.name == name) {
            let kind = self.raw.metric_type.name();
            let message = format!("a {kind} has a dimension \"{name}\" of its own");
            let finding = Finding::error("name_clash", message)
                .at(self.at.key("type").place(format!("its relation has two \"{name}\"")))
                .help(format!("Give the attribute \"{name}\" of the entity another name."));
            self.context.push(finding);
            return None;
        }
        rows.attributes.push(Attribute {
            name: name.to_owned(),
            data_type: data_type.clone(),
            is_uuid: false,
            expr: base_column(column),
            hidden: false,
            sensitive: false,
            unit: None,
            description: Some(description.clone()),
            values: Vec::new(),
            as_of: AsOf::Current,
        });
        rows.dimensions.push(Dimension {
            name: name.to_owned(),
            path: Vec::new(),
            entity: of,
            attribute: name.to_owned(),
            data_type,
            is_uuid: false,
            expr: base_column(column),
            alias_only: false,
            unit: None,
            description: Some(description),
        });
        Some(())
    }

    /// The metric's own filter, over its rows.
    fn filter(&mut self, shape: &Shape) -> Option<Vec<EntityFilter>> {
        let Some(text) = &self.raw.filter else { return Some(Vec::new()) };
        let base = self.surroundings.scopes.get(shape.entity.name.as_str())?;
        let scope = RowsScope { rows: &shape.rows, base };
        let expr = condition(self.context, text, self.at.key("filter"), &scope)?;
        Some(vec![EntityFilter { entity: shape.rows.name.clone(), text: text.0.clone(), expr }])
    }

    /// Those that are listed, else those of the events; its own ones always. Some(None): all.
    fn dimensions(&mut self, shape: &Shape) -> Option<Option<Vec<String>>> {
        let scope = self.surroundings.scopes.get(shape.entity.name.as_str())?;
        let at = self.at.key("dimensions");
        let listed = dimensions(self.context, self.raw.dimensions.as_deref(), at, scope)?;
        let allowed = match (listed, &shape.allowed) {
            (Some(listed), Some(allowed)) => {
                Some(listed.into_iter().filter(|name| allowed.contains(name)).collect())
            }
            (listed, allowed) => listed.or_else(|| allowed.clone()),
        };
        Some(allowed.map(|mut names: Vec<String>| {
            names.extend(shape.own.iter().map(|name| (*name).to_owned()));
            names
        }))
    }
}

/// When a day of a journey is closed: once all its events are known, and those that may follow within
/// a window. How late ones count is decided event by event.
fn closed_after(times: &[&MetricTime], within: Duration) -> LateData {
    let known = times.iter().map(|time| time.late_data.window_days).max().unwrap_or_default();
    let days = within.as_secs().div_ceil(SECONDS_PER_DAY);
    let days = u32::try_from(days).unwrap_or(u32::MAX);
    LateData { window_days: known.saturating_add(days), after: AfterClose::Restate }
}

/// What a condition on the rows of a journey may name: what the events of its base or its members have,
/// and its own dimensions.
pub(super) struct RowsScope<'s, 'e, 'a> {
    pub(super) rows: &'s Entity,
    /// Of the entity whose dimensions they are.
    pub(super) base: &'s EntityScope<'e, 'a>,
}

impl Scope for RowsScope<'_, '_, '_> {
    fn resolve(&self, parts: &[String]) -> Resolved {
        let attribute = match parts {
            [name] => self.rows.attributes.iter().find(|it| it.name == *name),
            _ => None,
        };
        if let Some(Attribute { data_type, expr, .. }) = attribute {
            let (data_type, expr) = (data_type.clone(), expr.clone());
            return Resolved::Name(Box::new(Name { data_type, expr }));
        }
        let member = &self.base.draft.entity;
        let is_of_members = self.rows.relationships.first().is_some_and(|it| {
            it.entity == member.name && it.key.first() == Some(&member_column(0))
        });
        match self.base.resolve(parts) {
            Resolved::Name(name) if is_of_members => {
                let expr = moved(&name.expr, &member.name);
                Resolved::Name(Box::new(Name { expr, ..*name }))
            }
            resolved => resolved,
        }
    }
}

fn output(raw: RawOutput) -> Output {
    match raw {
        RawOutput::Rate => Output::Rate,
        RawOutput::Count => Output::Count,
    }
}

fn value_type(output: Output) -> DataType {
    match output {
        Output::Rate => DataType::Float64,
        Output::Count => DataType::Int64,
    }
}

fn key_types(entity: &Entity) -> Option<Vec<DataType>> {
    let columns = &entity.source.columns;
    let of = |name: &String| Some(columns.iter().find(|it| it.name == *name)?.data_type.clone());
    entity.key.iter().map(of).collect()
}

fn listed(paths: &[Vec<Relationship>]) -> String {
    let dotted = |path: &Vec<Relationship>| {
        path.iter().map(|link| link.name.as_str()).collect::<Vec<_>>().join(".")
    };
    paths.iter().map(dotted).collect::<Vec<_>>().join(" and ")
}

/// The members as one relationship away from rows that hold their keys: so a member that the
/// entity's source doesn't have keeps its key, and is one more with unknown attributes.
fn rows_of_members(name: &str, member: &Entity, key_types: &[DataType]) -> Entity {
    let mut rows = member.clone();
    rows.name = name.to_owned();
    let moved = |expr: &Expr| moved(expr, &member.name);
    let key_of = |attribute: &str| {
        let index = member.key.iter().position(|name| name == attribute)?;
        key_types.get(index).map(|_| base_column(&member_column(index)))
    };
    for attribute in &mut rows.attributes {
        attribute.expr = key_of(&attribute.name).unwrap_or_else(|| moved(&attribute.expr));
    }
    for dimension in &mut rows.dimensions {
        let own = dimension.path.is_empty().then(|| key_of(&dimension.attribute)).flatten();
        dimension.expr = own.unwrap_or_else(|| moved(&dimension.expr));
    }
    rows.relationships = vec![Relationship {
        name: member.name.clone(),
        entity: member.name.clone(),
        key: (0..member.key.len()).map(member_column).collect(),
        missing: None,
        unmatched: None,
    }];
    rows
}

/// An expression over an entity's sources as seen from one relationship away.
fn moved(expr: &Expr, role: &str) -> Expr {
    let moved = expr.clone().transform(|expr| {
        Ok(match &expr {
            Expr::Column(found) => {
                let path = found.relation.as_ref().map_or(BASE, |relation| relation.table());
                let path = match path {
                    BASE => role.to_owned(),
                    path => format!("{role}.{path}"),
                };
                Transformed::yes(column(&path, &found.name))
            }
            _ => Transformed::no(expr),
        })
    });
    // The closure above has no error to give.
    moved.map_or_else(|_| expr.clone(), |moved| moved.data)
}
