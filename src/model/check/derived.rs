//! Metrics built on metrics: ratios and derived ones.

use std::cell::RefCell;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::logical_expr::Expr;

use super::aggregation::QUOTIENT_SCALE;
use super::at::At;
use super::journey::RowsScope;
use super::journeys_in::Journeys;
use super::metric::{
    Draft, Metrics, Surroundings, Target, condition, reference_label, successor_help,
    unknown_dimension,
};
use super::over_time::{self, Over};
use super::scope::EntityScope;
use super::{Context, time, values};
use crate::diagnostic::Finding;
use crate::model::expr::{self, Name, Resolved, Scope};
use crate::model::raw::{RawMetricType, RawSide, RawVersion, Text};
use crate::model::types::{self, DIGITS_128};
use crate::model::{
    Dimension, Entity, EntityFilter, LateData, MetricKind, MetricRef, MetricTime, MetricVersion,
    Project, Side, Status, near, shared,
};

/// Metrics built on each other: deep chains are mistakes.
const DEPTH_MAX: usize = 64;

/// Checks all ratios and derived metrics, each after what it is built on.
pub(super) fn check(
    context: &mut Context<'_>,
    surroundings: &Surroundings<'_, '_>,
    metrics: &Metrics<'_>,
) {
    let done = metrics.drafts.iter().map(|draft| vec![false; draft.raw.versions.len()]).collect();
    let journeys = Journeys::of(metrics);
    let mut walk = Walk { surroundings, metrics, journeys, done, open: Vec::new() };
    for (metric, draft) in metrics.drafts.iter().enumerate() {
        for version in 0..draft.raw.versions.len() {
            walk.version(context, metric, version);
        }
    }
}

/// Whether a type is built on other metrics.
pub(super) fn is_built(metric_type: RawMetricType) -> bool {
    matches!(
        metric_type,
        RawMetricType::Ratio
            | RawMetricType::Derived
            | RawMetricType::Cumulative
            | RawMetricType::Offset
    )
}

struct Walk<'w, 'e, 'a> {
    surroundings: &'w Surroundings<'e, 'a>,
    metrics: &'w Metrics<'a>,
    journeys: Journeys,
    done: Vec<Vec<bool>>,
    /// Versions being checked, outermost first.
    open: Vec<(usize, usize)>,
}

/// A part of a metric, with its version.
struct Part {
    reference: MetricRef,
    version: Arc<MetricVersion>,
}

impl Walk<'_, '_, '_> {
    fn version(&mut self, context: &mut Context<'_>, metric: usize, version: usize) {
        let draft = &self.metrics.drafts[metric];
        let raw = &draft.raw.versions[version];
        if !is_built(raw.metric_type) || std::mem::replace(&mut self.done[metric][version], true) {
            return;
        }
        self.open.push((metric, version));
        let at = draft.at.key("versions").item(version);
        let checked = match raw.metric_type {
            RawMetricType::Ratio => self.ratio(context, draft, version, at),
            RawMetricType::Cumulative | RawMetricType::Offset => {
                self.over_time(context, draft, version, at)
            }
            _ => self.derived(context, draft, version, at),
        };
        self.open.pop();
        if let Some(checked) = checked {
            draft.versions.borrow_mut()[version] = Some(Arc::new(checked));
        }
    }

    fn ratio(
        &mut self,
        context: &mut Context<'_>,
        draft: &Draft<'_>,
        index: usize,
        at: At<'_>,
    ) -> Option<MetricVersion> {
        let raw = &draft.raw.versions[index];
        let numerator = self.side(context, raw.numerator.as_ref(), at.key("numerator"));
        let denominator = self.side(context, raw.denominator.as_ref(), at.key("denominator"));
        let freshness = time::freshness(context, raw.freshness.as_ref(), at.key("freshness"));
        let ((numerator, of_numerator), (denominator, of_denominator)) = (numerator?, denominator?);
        let value = match [&numerator, &denominator]
            .iter()
            .any(|part| types::is_decimal(&part.version.data_type))
        {
            true => DataType::Decimal128(DIGITS_128, QUOTIENT_SCALE),
            false => DataType::Float64,
        };
        let kind = MetricKind::Ratio {
            numerator: Side { metric: numerator.reference.clone(), filter: of_numerator },
            denominator: Side { metric: denominator.reference.clone(), filter: of_denominator },
        };
        let parts = [numerator, denominator];
        let places = [at.key("numerator"), at.key("denominator")];
        for (part, at) in parts.iter().zip(places) {
            numeric_part(context, part, at)?;
        }
        let whole = Whole { kind, data_type: value, freshness: freshness? };
        self.assemble(context, draft, index, at, &parts, whole)
    }

    /// A metric over a window of time, or of an earlier period.
    fn over_time(
        &mut self,
        context: &mut Context<'_>,
        draft: &Draft<'_>,
        index: usize,
        at: At<'_>,
    ) -> Option<MetricVersion> {
        let raw = &draft.raw.versions[index];
        let freshness = time::freshness(context, raw.freshness.as_ref(), at.key("freshness"));
        let side = raw.metric.clone().map(RawSide::Text);
        let part = self.side(context, side.as_ref(), at.key("metric"));
        let what = over_time::check(context, raw, at, self.surroundings.project);
        let (part, _) = part?;
        let what = what?;
        if part.version.time.is_none() {
            over_time::without_time(context, raw, at);
            return None;
        }
        if matches!(what, Over::Window(_)) && self.has_window(&part.version) {
            let message = format!("{} is cumulative itself", part.reference);
            let finding = Finding::error("nested_window", message)
                .at(at.key("metric").place("a window over a window"))
                .help("Build it on the metric that this one is over.");
            context.push(finding);
            return None;
        }
        let metric = part.reference.clone();
        let kind = match what {
            Over::Window(window) => MetricKind::Cumulative { metric, window },
            Over::Earlier(by) => MetricKind::Offset { metric, by },
        };
        let data_type = part.version.data_type.clone();
        let whole = Whole { kind, data_type, freshness: freshness? };
        self.assemble(context, draft, index, at, &[part], whole)
    }

    fn side(
        &mut self,
        context: &mut Context<'_>,
        raw: Option<&RawSide>,
        at: At<'_>,
    ) -> Option<(Part, Vec<EntityFilter>)> {
        let (text, filter, at_metric) = match raw? {
            RawSide::Text(text) => (text, None, at),
            RawSide::Map(side) => (&side.metric, side.filter.as_ref(), at.key("metric")),
        };
        let reference = values::metric_ref(text, at_metric, &mut context.findings)?;
        let version = match self.part(context, &reference) {
            Resolution::Part(version) => version,
            Resolution::Broken => return None,
            Resolution::Fault { code, message, help } => {
                let place = at_metric.place(reference_label(code));
                context.push(Finding::error(code, message).at(place).maybe_help(help));
                return None;
            }
        };
        let entities = version.entities.iter().map(String::as_str).collect::<Vec<_>>();
        let filter = self.filter(context, filter, at.key("filter"), &entities)?;
        Some((Part { reference, version }, filter))
    }

    /// Whether a window of time is somewhere in a metric.
    fn has_window(&self, version: &MetricVersion) -> bool {
        let of_part = |part: &MetricRef| match self.metrics.target(part) {
            Target::Version(metric, index) => {
                let known = self.metrics.drafts[metric].versions.borrow()[index].clone();
                known.is_some_and(|part| self.has_window(&part))
            }
            Target::Broken | Target::Fault { .. } => false,
        };
        matches!(version.kind, MetricKind::Cumulative { .. } | MetricKind::Snapshot { .. })
            || version.kind.parts().into_iter().any(of_part)
    }

    /// A condition on the rows of each of some entities.
    fn filter(
        &self,
        context: &mut Context<'_>,
        text: Option<&Text>,
        at: At<'_>,
        entities: &[&str],
    ) -> Option<Vec<EntityFilter>> {
        let Some(text) = text else { return Some(Vec::new()) };
        let filters = entities.iter().map(|entity| {
            let expr = match self.journeys.get(entity) {
                None => condition(context, text, at, self.surroundings.scopes.get(entity)?)?,
                Some((base, journey)) => {
                    let base = self.surroundings.scopes.get(base)?;
                    let scope = RowsScope { rows: &journey.rows, base };
                    condition(context, text, at, &scope)?
                }
            };
            Some(EntityFilter { entity: (*entity).to_owned(), text: text.0.clone(), expr })
        });
        filters.collect()
    }

    fn derived(
        &mut self,
        context: &mut Context<'_>,
        draft: &Draft<'_>,
        index: usize,
        at: At<'_>,
    ) -> Option<MetricVersion> {
        let raw = &draft.raw.versions[index];
        let freshness = time::freshness(context, raw.freshness.as_ref(), at.key("freshness"));
        let text = raw.expression.as_ref()?;
        let at_expression = at.key("expression");
        let scope =
            MetricScope { walk: RefCell::new((self, context)), parts: RefCell::new(Vec::new()) };
        let compiled = expr::compile_over_metrics(text, &scope);
        let parts = scope.parts.into_inner();
        let (compiled, _) = match compiled {
            Ok(compiled) => compiled,
            Err(faults) => {
                context.faults(at_expression, faults);
                return None;
            }
        };
        if parts.is_empty() {
            let finding = Finding::error("no_parts", "a derived metric must name a metric")
                .at(at_expression.place("no metric in here"))
                .help("Write for example revenue@1 - refunds@1.");
            context.push(finding);
            return None;
        }
        let references = parts.iter().map(|part| part.reference.clone()).collect();
        let kind = MetricKind::Derived { expr: compiled.expr, parts: references };
        let whole = Whole { kind, data_type: compiled.data_type, freshness: freshness? };
        self.assemble(context, draft, index, at, &parts, whole)
    }

    /// A version that another is built on, checked first.
    fn part(&mut self, context: &mut Context<'_>, reference: &MetricRef) -> Resolution {
        let (metric, version) = match self.metrics.target(reference) {
            Target::Version(metric, version) => (metric, version),
            Target::Broken => return Resolution::Broken,
            Target::Fault { code, message, help } => {
                return Resolution::Fault { code, message, help };
            }
        };
        if let Some(start) = self.open.iter().position(|open| *open == (metric, version)) {
            let path: Vec<String> = self.open[start..]
                .iter()
                .chain([&(metric, version)])
                .map(|(metric, _)| self.metrics.drafts[*metric].raw.metric.to_string())
                .collect();
            return Resolution::Fault {
                code: "cycle",
                message: format!("metric \"{}\" is built on itself", path[0]),
                help: Some(format!("Break the cycle {}.", path.join(" → "))),
            };
        }
        if self.open.len() > DEPTH_MAX {
            return Resolution::Fault {
                code: "too_large",
                message: format!("metrics are built on each other more than {DEPTH_MAX} deep"),
                help: None,
            };
        }
        if let Some(fault) = self.retired(reference, metric, version) {
            return fault;
        }
        self.version(context, metric, version);
        match &self.metrics.drafts[metric].versions.borrow()[version] {
            Some(version) => Resolution::Part(Arc::clone(version)),
            None => Resolution::Broken,
        }
    }

    /// What is served can't be built on what isn't any more.
    fn retired(&self, reference: &MetricRef, metric: usize, version: usize) -> Option<Resolution> {
        let life = self.metrics.drafts[metric].lives[version].as_ref()?;
        let (open_metric, open_version) = *self.open.last()?;
        let own = self.metrics.drafts[open_metric].lives[open_version].as_ref()?;
        (life.status == Status::Retired && own.status != Status::Retired).then(|| {
            Resolution::Fault {
                code: "retired_reference",
                message: format!("{reference} is retired"),
                help: successor_help(&reference.metric, life),
            }
        })
    }

    fn assemble(
        &self,
        context: &mut Context<'_>,
        draft: &Draft<'_>,
        index: usize,
        at: At<'_>,
        parts: &[Part],
        whole: Whole,
    ) -> Option<MetricVersion> {
        let raw = &draft.raw.versions[index];
        let entities = self.entities(context, raw, at, parts)?;
        let time = shared_time(context, raw, at, parts, self.surroundings.project);
        let dimensions = match entities.as_slice() {
            [entity] => self.dimensions(context, raw, at, parts, entity),
            several => self.shared_dimensions(context, raw, at, parts, several),
        };
        let names: Vec<&str> = entities.iter().map(String::as_str).collect();
        let filter = self.filter(context, raw.filter.as_ref(), at.key("filter"), &names);
        let life = draft.lives[index].clone()?;
        let version = MetricVersion {
            metric: draft.raw.metric.to_string(),
            version: life.version,
            status: life.status,
            released: life.released,
            sunset: life.sunset,
            replaced_by: life.replaced_by,
            entity: self.journeys.shown_entity(entities.first()?).to_owned(),
            entities,
            kind: whole.kind,
            eligibility: Vec::new(),
            filter: filter?,
            time: time?,
            unit: raw.unit.as_ref().or(draft.raw.unit.as_ref()).map(|unit| unit.to_string()),
            data_type: whole.data_type,
            dimensions: dimensions?,
            // Each of its parts counts as that part says.
            many_side: None,
            freshness: whole.freshness,
            fill: super::metric::fill(raw),
            change: raw.change.as_ref().map(|text| text.to_string()),
        };
        self.journeys.check_needed(context, self.metrics, &version, at)?;
        Some(version)
    }

    /// The entities of all parts, each once; the one that is written comes first.
    fn entities(
        &self,
        context: &mut Context<'_>,
        raw: &RawVersion,
        at: At<'_>,
        parts: &[Part],
    ) -> Option<Vec<String>> {
        let mut entities: Vec<String> = Vec::new();
        for entity in parts.iter().flat_map(|part| &part.version.entities) {
            if !entities.contains(entity) {
                entities.push(entity.clone());
            }
        }
        let Some(written) = &raw.entity else { return Some(entities) };
        match entities.iter().position(|entity| *self.journeys.shown_entity(entity) == **written) {
            Some(index) => {
                entities[..=index].rotate_right(1);
                Some(entities)
            }
            None => {
                let of: Vec<&str> =
                    entities.iter().map(|it| self.journeys.shown_entity(it)).collect();
                let of = of.join("\" and \"");
                let message =
                    format!("the metric's parts are of entity \"{of}\", not \"{written}\"");
                let finding = Finding::error("entity_mismatch", message)
                    .at(at.key("entity").place("not its parts'"))
                    .help("Leave the key out, or write an entity of its parts.");
                context.push(finding);
                None
            }
        }
    }

    /// The entity whose rows are counted.
    fn counted_entity(&self, name: &str) -> Option<&Entity> {
        if let Some((_, journey)) = self.journeys.get(name) {
            return Some(&journey.rows);
        }
        let scope: &EntityScope<'_, '_> = self.surroundings.scopes.get(name)?;
        Some(scope.draft.entity.as_ref())
    }

    /// Over several entities: the names that they share and all parts allow, and of these the ones
    /// that are listed.
    fn shared_dimensions(
        &self,
        context: &mut Context<'_>,
        raw: &RawVersion,
        at: At<'_>,
        parts: &[Part],
        entities: &[String],
    ) -> Option<Option<Vec<String>>> {
        let find = |name: &str| self.counted_entity(name);
        let found: Option<Vec<&Entity>> = entities.iter().map(|name| find(name)).collect();
        let mut shared = shared::dimensions(&found?, find);
        let allows = |part: &Part, name: &str| match &part.version.dimensions {
            None => true,
            Some(allowed) if part.version.drills_across() => allowed.iter().any(|it| it == name),
            Some(allowed) => find(part.version.rows_entity()).is_some_and(|entity| {
                let dimension = entity.dimension_named(name);
                dimension.is_some_and(|it| {
                    let plain = if it.alias_only { &it.attribute } else { &it.name };
                    allowed.contains(plain)
                })
            }),
        };
        shared.retain(|name| parts.iter().all(|part| allows(part, name)));
        let Some(listed) = &raw.dimensions else { return Some(Some(shared)) };
        let mut names = Vec::new();
        let mut sound = true;
        for (index, written) in listed.iter().enumerate() {
            let name = written.replace('.', "_");
            if shared.contains(&name) {
                names.push(name);
                continue;
            }
            sound = false;
            let message = format!("\"{written}\" is no dimension of all parts");
            let at = at.key("dimensions").item(index);
            let known = shared.iter().map(String::as_str);
            let help = near::help(&name, known, "The shared ones are");
            let place = at.place("not shared");
            context.push(Finding::error("unknown_dimension", message).at(place).maybe_help(help));
        }
        sound.then_some(Some(names))
    }

    /// Those that all parts allow, and of these the ones that are listed. Some(None): all.
    fn dimensions(
        &self,
        context: &mut Context<'_>,
        raw: &RawVersion,
        at: At<'_>,
        parts: &[Part],
        entity: &str,
    ) -> Option<Option<Vec<String>>> {
        let mut shared: Option<Vec<String>> = None;
        for allowed in parts.iter().filter_map(|part| part.version.dimensions.as_ref()) {
            shared = Some(match shared {
                None => allowed.clone(),
                Some(shared) => shared.into_iter().filter(|name| allowed.contains(name)).collect(),
            });
        }
        let Some(listed) = &raw.dimensions else { return Some(shared) };
        let scope = self.surroundings.scopes.get(self.journeys.shown_entity(entity))?;
        let own = self.counted_entity(entity)?;
        let mut names = Vec::new();
        let mut sound = true;
        for (index, written) in listed.iter().enumerate() {
            let at = at.key("dimensions").item(index);
            let is_own = |it: &&Dimension| it.name == *written.0 && it.path.is_empty();
            let of_rows = || own.dimensions.iter().find(is_own);
            let Some(dimension) = scope.dimension(written).or_else(of_rows) else {
                sound = false;
                unknown_dimension(context, written, at, scope);
                continue;
            };
            let lacking = parts.iter().find(|part| {
                let allowed = part.version.dimensions.as_ref();
                allowed.is_some_and(|allowed| !allowed.contains(&dimension.name))
            });
            if let Some(part) = lacking {
                sound = false;
                let message = format!("{} has no dimension \"{written}\"", part.reference);
                let finding = Finding::error("unknown_dimension", message)
                    .at(at.place("not a dimension of all parts"))
                    .help(format!("Leave it out, or add it to \"{}\".", part.reference.metric));
                context.push(finding);
            } else if !names.contains(&dimension.name) {
                names.push(dimension.name.clone());
            }
        }
        sound.then_some(Some(names))
    }
}

/// What distinguishes a ratio from a derived metric.
struct Whole {
    kind: MetricKind,
    data_type: DataType,
    freshness: Option<crate::model::Freshness>,
}

enum Resolution {
    Part(Arc<MetricVersion>),
    Broken,
    Fault { code: &'static str, message: String, help: Option<String> },
}

fn numeric_part(context: &mut Context<'_>, part: &Part, at: At<'_>) -> Option<()> {
    if part.version.data_type.is_numeric() {
        return Some(());
    }
    let shown = types::shown(&part.version.data_type);
    let message = format!("a ratio needs numbers; {} is {shown}", part.reference);
    context.push(Finding::error("wrong_type", message).at(at.place(shown)));
    None
}

/// The time of the parts: each keeps its own event; the zone must be one.
fn shared_time(
    context: &mut Context<'_>,
    raw: &RawVersion,
    at: At<'_>,
    parts: &[Part],
    project: Option<&Project>,
) -> Option<Option<MetricTime>> {
    let at = at.key("time");
    for key in ["event", "ingested", "timezone", "late_data"] {
        if raw.time.is_some() && at.has(key) {
            let message = format!(
                "\"{key}\" does not belong to the time of a metric of type {}",
                raw.metric_type.name()
            );
            let finding = Finding::error("key_not_allowed", message)
                .at(at.place_of_key(key, "its parts have their own"))
                .help("Set it in the metrics that this one is built on.");
            context.push(finding);
            return None;
        }
    }
    let times: Option<Vec<&MetricTime>> =
        parts.iter().map(|part| part.version.time.as_ref()).collect();
    let Some(times) = times else { return Some(None) };
    let Some(first) = times.first() else { return Some(None) };
    if let Some(other) = times.iter().find(|other| other.zone != first.zone) {
        let message = format!(
            "the metric's parts have two time zones, {} and {}",
            first.zone.name(),
            other.zone.name()
        );
        let place = match raw.metric_type {
            RawMetricType::Ratio => at.key("denominator"),
            RawMetricType::Cumulative | RawMetricType::Offset => at.key("metric"),
            _ => at.key("expression"),
        };
        let finding = Finding::error("mixed_time_zones", message)
            .at(place.place("of two time zones"))
            .help("A day would mean two things; give both metrics one zone.");
        context.push(finding);
        return None;
    }
    let mut grains = time::grains(context, raw.time.as_ref(), at, project)?;
    for allowed in times.iter().filter_map(|time| time.grains.as_ref()) {
        grains = Some(match grains {
            None => allowed.clone(),
            Some(grains) => grains.into_iter().filter(|name| allowed.contains(name)).collect(),
        });
    }
    // Its day is closed when that of every part is.
    let window_days = times.iter().map(|time| time.late_data.window_days).max().unwrap_or_default();
    let late_data = LateData { window_days, ..first.late_data };
    Some(Some(MetricTime { grains, late_data, ..(*first).clone() }))
}

/// The names of a derived metric's expression: metrics pinned to a major version.
struct MetricScope<'s, 'w, 'e, 'a, 'c> {
    walk: RefCell<(&'s mut Walk<'w, 'e, 'a>, &'s mut Context<'c>)>,
    parts: RefCell<Vec<Part>>,
}

impl Scope for MetricScope<'_, '_, '_, '_, '_> {
    fn resolve(&self, parts: &[String]) -> Resolved {
        let written = parts.join(".");
        let mut borrowed = self.walk.borrow_mut();
        let (walk, context) = &mut *borrowed;
        let Some(reference) = pinned(&written) else {
            let known = walk.metrics.by_name.keys().copied();
            return match walk.metrics.by_name.contains_key(written.as_str()) {
                true => Resolved::Fault {
                    code: "unpinned_metric",
                    message: format!("\"{written}\" names no major version"),
                    label: "not pinned".to_owned(),
                    help: Some(format!("Write {written}@1: what a metric is built on is pinned.")),
                },
                false => Resolved::Fault {
                    code: "unknown_metric",
                    message: format!("metric \"{written}\" does not exist"),
                    label: "no such metric".to_owned(),
                    help: near::help(&written, known, "The metrics are"),
                },
            };
        };
        match walk.part(context, &reference) {
            Resolution::Part(version) => {
                let data_type = version.data_type.clone();
                let expr = Expr::Column(Column::new_unqualified(reference.to_string()));
                let mut found = self.parts.borrow_mut();
                if found.iter().all(|part| part.reference != reference) {
                    found.push(Part { reference, version });
                }
                Resolved::Name(Box::new(Name { data_type, expr }))
            }
            Resolution::Broken => Resolved::Broken,
            Resolution::Fault { code, message, help } => {
                Resolved::Fault { code, message, label: reference_label(code).to_owned(), help }
            }
        }
    }
}

fn pinned(text: &str) -> Option<MetricRef> {
    let (metric, major) = text.split_once('@')?;
    Some(MetricRef { metric: metric.to_owned(), major: major.parse().ok()? })
}
