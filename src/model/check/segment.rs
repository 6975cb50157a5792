//! Segments: their versions, and rules over an entity's attributes and metrics.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::Expr;

use super::at::At;
use super::consumer::Names;
use super::entity::{Draft as EntityDraft, Entities, Found, RESERVED};
use super::journeys_in::Journeys;
use super::metric::{Metrics, Target, reference_label, successor_help};
use super::scope::EntityScope;
use super::status::{self, Life};
use super::{Context, values};
use crate::diagnostic::Finding;
use crate::model::expr::{self, Compiled, Name, Resolved, Scope};
use crate::model::load::{Body, Document};
use crate::model::raw::{RawSegment, RawSegmentVersion, RawStatus};
use crate::model::segment::{KeyDimension, SegmentRule, SegmentValue, Window, value_column};
use crate::model::types;
use crate::model::{
    Entity, MetricKind, MetricRef, MetricVersion, Segment, SegmentVersion, Status, near, shared,
};

/// Columns that every segment's relation has beside the key and the segment itself.
pub(crate) const COLUMNS: [&str; 3] = ["rule", "computed_at", "version"];
/// Rules of a version: more of them want an attribute.
const RULES_MAX: usize = 200;
/// Relationships tried on the way from a metric's entity to a segment's.
const STEPS_MAX: usize = 10_000;

/// All segments of a folder.
pub(super) struct Segments<'a> {
    /// By name; None where it has a fault.
    by_name: BTreeMap<&'a str, Option<Segment>>,
}

impl Segments<'_> {
    /// Whether a document defines it, faulty or not.
    pub(super) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Checks a consumer's pin of a segment that is defined.
    pub(super) fn check_pin(&self, context: &mut Context<'_>, name: &str, major: u64, at: At<'_>) {
        let Some(Some(segment)) = self.by_name.get(name) else { return };
        if segment.served_version(major).is_some() {
            return;
        }
        let served: Vec<String> = segment
            .served_majors()
            .iter()
            .map(|version| version.version.major.to_string())
            .collect();
        let message =
            format!("segment \"{name}\" has no major version {major} that can be asked for");
        let help = (!served.is_empty()).then(|| format!("There is {}.", served.join(", ")));
        let finding = Finding::error("unknown_version", message)
            .at(at.key(name).place("not served"))
            .maybe_help(help);
        context.push(finding);
    }

    pub(super) fn into_model(self) -> BTreeMap<String, Arc<Segment>> {
        let sound = self.by_name.into_values().flatten();
        sound.map(|segment| (segment.name.clone(), Arc::new(segment))).collect()
    }
}

/// The segments that are dimensions, by their entity: those with a version that can be asked for,
/// under names that nothing else has.
pub(super) fn dimensions(documents: &[Document]) -> BTreeMap<&str, Vec<&str>> {
    let metrics: BTreeSet<&str> = documents
        .iter()
        .filter(|document| matches!(document.body, Body::Metric(_)))
        .map(Document::name)
        .collect();
    let mut seen = BTreeSet::new();
    let mut dimensions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for document in documents {
        let Body::Segment(raw) = &document.body else { continue };
        let served = |version: &RawSegmentVersion| {
            matches!(version.status, RawStatus::Active | RawStatus::Deprecated)
        };
        let name: &str = &raw.segment;
        let usable = !metrics.contains(name) && !is_taken(name);
        if raw.versions.iter().any(served) && usable && seen.insert(name) {
            dimensions.entry(&raw.entity).or_default().push(name);
        }
    }
    dimensions
}

fn is_taken(name: &str) -> bool {
    RESERVED.contains(&name) || COLUMNS.contains(&name)
}

/// Checks all segments.
pub(super) fn check<'a>(
    context: &mut Context<'a>,
    documents: &'a [Document],
    entities: &Entities<'a>,
    metrics: &Metrics<'a>,
    consumers: &Names<'_>,
) -> Segments<'a> {
    let is_segment = |document: &&Document| matches!(document.body, Body::Segment(_));
    let mut segments = Segments { by_name: BTreeMap::new() };
    let journeys = Journeys::of(metrics);
    for document in documents {
        if matches!(document.body, Body::Broken("segment")) {
            segments.by_name.insert(document.name(), None);
        }
    }
    let unique = context.unique("segment", documents.iter().filter(is_segment));
    for document in &unique {
        let Body::Segment(raw) = &document.body else { continue };
        let check = Check { entities, metrics, journeys: &journeys, raw, at: document.at() };
        let segment = check.segment(context, consumers);
        segments.by_name.insert(document.name(), segment);
    }
    numbered_names(context, &unique);
    segments
}

/// `loyalty_tier_v1` is a version of `loyalty_tier`, and can't be a segment of its own.
fn numbered_names(context: &mut Context<'_>, documents: &[&Document]) {
    for document in documents {
        let Some((name, digits)) = document.name().rsplit_once("_v") else { continue };
        let Ok(major) = digits.parse::<u64>() else { continue };
        let Some(other) = documents.iter().find(|other| other.name() == name) else { continue };
        let Body::Segment(raw) = &other.body else { continue };
        let prefix = format!("{major}.");
        if !raw.versions.iter().any(|version| version.version.starts_with(&prefix)) {
            continue;
        }
        let message =
            format!("segment \"{}\" has the name of a version of \"{name}\"", document.name());
        let finding = Finding::error("name_clash", message)
            .at(document.at().key("segment").place("this segment"))
            .at(other.at().key("segment").place(format!("has {} as a version", document.name())))
            .help("Give the segment another name.");
        context.push(finding);
    }
}

/// One segment being checked.
struct Check<'c, 'a> {
    entities: &'c Entities<'a>,
    metrics: &'c Metrics<'a>,
    journeys: &'c Journeys,
    raw: &'a RawSegment,
    at: At<'a>,
}

impl Check<'_, '_> {
    fn segment(&self, context: &mut Context<'_>, consumers: &Names<'_>) -> Option<Segment> {
        let (raw, at) = (self.raw, self.at);
        let name = values::name(&raw.segment, at.key("segment"), "segment", &mut context.findings);
        let lives = status::check_segment(context, raw, at, consumers);
        let draft = match self.entities.find(&raw.entity) {
            Found::Entity(draft) => Some(draft),
            Found::Broken => None,
            Found::Unknown => {
                let message = format!("entity \"{}\" does not exist", raw.entity);
                let (at, known) = (at.key("entity"), self.entities.names());
                let intro = "The entities are";
                context.unknown("unknown_entity", message, at, &raw.entity, known, intro);
                None
            }
        };
        let free = self.names(context, draft);
        let mut versions = Vec::new();
        let mut sound = true;
        for (index, version) in raw.versions.iter().enumerate() {
            let at = at.key("versions").item(index);
            self.keys(context, version, at);
            let scope = draft.map(EntityScope::new);
            let checked = self.version(context, version, at, scope.as_ref(), &lives[index]);
            sound &= checked.is_some();
            versions.extend(checked.map(Arc::new));
        }
        versions.sort_by(|a, b| b.version.cmp(&a.version));
        (sound && free).then_some(())?;
        Some(Segment {
            name: name?,
            intent: raw.intent.as_ref().map(|text| text.to_string()),
            entity: raw.entity.to_string(),
            owner: values::owner(&raw.owner),
            versions,
        })
    }

    /// Whether the segment's name, and those of its relation's columns, are free.
    fn names(&self, context: &mut Context<'_>, draft: Option<&EntityDraft<'_>>) -> bool {
        let name: &str = &self.raw.segment;
        let place = |label: &str| self.at.key("segment").place(label);
        if is_taken(name) {
            let message = format!("segment \"{name}\" has a name that relations have already");
            let finding = Finding::error("reserved_name", message)
                .at(place("reserved"))
                .help("Give the segment another name.");
            context.push(finding);
            return false;
        }
        let help = "Give one of them another name.";
        if let Some(index) = self.metrics.by_name.get(name) {
            let message = format!("\"{name}\" is a segment and a metric");
            let metric = self.metrics.drafts[*index].at.key("metric");
            let finding = Finding::error("name_clash", message)
                .at(place("the segment"))
                .at(metric.place("the metric"))
                .help(help);
            context.push(finding);
            return false;
        }
        let Some(draft) = draft else { return true };
        let is_name = |other: &&crate::model::Attribute| other.name == name;
        if draft.entity.attributes.iter().any(|other| is_name(&other)) {
            let message =
                format!("\"{name}\" is a segment and an attribute of \"{}\"", draft.entity.name);
            let finding = Finding::error("name_clash", message)
                .at(place("the segment"))
                .at(draft.at.key("entity").place(format!("has attribute {name}")))
                .help(help);
            context.push(finding);
            return false;
        }
        self.key_is_shown(context, draft)
    }

    /// The relation's first columns are the entity's key.
    fn key_is_shown(&self, context: &mut Context<'_>, draft: &EntityDraft<'_>) -> bool {
        for (index, key) in draft.entity.key.iter().enumerate() {
            let at_key = draft.at.key("key").item(index);
            let attribute = draft.entity.attributes.iter().find(|other| other.name == *key);
            let fault = match attribute {
                Some(attribute) if attribute.hidden => "hidden",
                Some(_) if COLUMNS.contains(&key.as_str()) => "taken in a segment's relation",
                _ => continue,
            };
            let message = format!(
                "the key \"{key}\" of entity \"{}\" can't be a column of a segment",
                draft.entity.name
            );
            let finding = Finding::error("name_clash", message)
                .at(self.at.key("entity").place("members are shown by their key"))
                .at(at_key.place(fault))
                .help(format!("Show the key under a name other than {}.", COLUMNS.join(", ")));
            context.push(finding);
            return false;
        }
        true
    }

    /// Keys that aren't executed yet.
    fn keys(&self, context: &mut Context<'_>, raw: &RawSegmentVersion, at: At<'_>) {
        context.not_yet_key(at, "drift", "Nothing measures it yet.");
        if raw.rules.is_empty() {
            let finding = Finding::error("empty_value", "a segment needs a rule")
                .at(at.key("rules").place("nothing here"))
                .help("Add one, such as {name: gold, when: \"country = 'DE'\"}.");
            context.push(finding);
        }
        if raw.rules.len() > RULES_MAX {
            let message = format!("a segment has at most {RULES_MAX} rules");
            let finding = Finding::error("too_large", message)
                .at(at.key("rules").place("too many"))
                .help("Let an attribute of the entity tell the group.");
            context.push(finding);
        }
    }

    fn version(
        &self,
        context: &mut Context<'_>,
        raw: &RawSegmentVersion,
        at: At<'_>,
        scope: Option<&EntityScope<'_, '_>>,
        life: &Option<Life>,
    ) -> Option<SegmentVersion> {
        let preload = self.serve(context, raw, at.key("serve"));
        let scope = scope?;
        let values = RefCell::new(Vec::new());
        let status = life.as_ref().map(|life| life.status);
        let scope = RuleScope {
            entity: scope,
            check: self,
            is_retired: status == Some(Status::Retired),
            values: &values,
        };
        let mut rules = Vec::new();
        for (index, rule) in raw.rules.iter().enumerate().take(RULES_MAX) {
            let at = at.key("rules").item(index).key("when");
            let expr = condition(context, &rule.when, at, &scope);
            rules.extend(expr.map(|expr| SegmentRule {
                name: rule.name.to_string(),
                when: rule.when.to_string(),
                why: rule.why.as_ref().map(|text| text.to_string()),
                expr,
            }));
        }
        let life = life.clone()?;
        if rules.len() < raw.rules.len() || rules.is_empty() || !scope.entity.draft.has_columns {
            return None;
        }
        Some(SegmentVersion {
            segment: self.raw.segment.to_string(),
            entity: self.raw.entity.to_string(),
            version: life.version,
            status: life.status,
            sunset: life.sunset,
            replaced_by: life.replaced_by,
            rules,
            otherwise: raw.otherwise.as_ref().map(|text| text.to_string()),
            values: values.into_inner(),
            preload: preload?,
            change: raw.change.as_ref().map(|text| text.to_string()),
        })
    }

    /// Some(None) where nothing is kept in memory.
    fn serve(
        &self,
        context: &mut Context<'_>,
        raw: &RawSegmentVersion,
        at: At<'_>,
    ) -> Option<Option<Duration>> {
        let Some(serve) = &raw.serve else { return Some(None) };
        let budget = serve.budget.as_ref();
        let parsed =
            budget.and_then(|text| values::duration(text, at.key("budget"), &mut context.findings));
        match (serve.preload, budget) {
            (false, None) => return Some(None),
            (false, Some(_)) => {
                let message = "\"budget\" without \"preload\" is not supported yet";
                let finding = Finding::error("not_supported_yet", message)
                    .at(at.place_of_key("budget", "not supported yet"))
                    .help("Add \"preload: true\", or leave it out: groups are as of now then.");
                context.push(finding);
                return None;
            }
            (true, None) => {
                let why = "a segment kept in memory needs \"budget\"";
                let help = "Say how old it may be, such as budget: 5 minutes.";
                context.missing(at.key("preload"), "budget", why, help);
                return None;
            }
            (true, Some(_)) => {}
        }
        let parsed = parsed?;
        if parsed.is_zero() {
            let finding = Finding::error("bad_duration", "a budget can't be nothing")
                .at(at.key("budget").place("no time"))
                .help("Write at least \"1 second\".");
            context.push(finding);
            return None;
        }
        Some(Some(parsed))
    }
}

/// A rule's condition, compiled.
fn condition(
    context: &mut Context<'_>,
    text: &str,
    at: At<'_>,
    scope: &RuleScope<'_, '_, '_>,
) -> Option<Expr> {
    let compiled = match expr::compile_over_windows(text, scope) {
        Ok(compiled) => compiled,
        Err(faults) => {
            context.faults(at, faults);
            return None;
        }
    };
    match compiled {
        Compiled { expr, data_type: DataType::Boolean } => Some(expr),
        Compiled { data_type, .. } => {
            let shown = types::shown(&data_type);
            let finding =
                Finding::error("wrong_type", format!("a rule must be boolean, not {shown}"))
                    .at(at.place(shown))
                    .help("Write a condition, such as country = 'DE' or revenue@1 >= 1000.");
            context.push(finding);
            None
        }
    }
}

/// What a rule may name: what an expression of the entity may, and metrics.
struct RuleScope<'s, 'c, 'a> {
    entity: &'s EntityScope<'s, 'a>,
    check: &'s Check<'c, 'a>,
    /// Whether the version that the rule is of isn't served any more.
    is_retired: bool,
    values: &'s RefCell<Vec<SegmentValue>>,
}

impl Scope for RuleScope<'_, '_, '_> {
    fn resolve(&self, parts: &[String]) -> Resolved {
        if let [name] = parts
            && let Some((metric, major, window)) = expr::windowed_metric(name)
        {
            let reference = MetricRef { metric: metric.to_owned(), major };
            return self.metric(reference, window).unwrap_or_else(|fault| fault);
        }
        let found = self.entity.resolve(parts);
        match (&found, parts) {
            (Resolved::Fault { code: "unknown_column", .. }, [name]) => {
                self.unpinned(name).unwrap_or(found)
            }
            _ => found,
        }
    }
}

fn fault(code: &'static str, message: String, help: Option<String>) -> Resolved {
    let label = match code {
        "bad_window" => "no such window",
        "unpinned_metric" => "not pinned",
        "unreachable_entity" | "ambiguous_path" => "can't be counted for each member",
        "no_time" => "has no time",
        "needs_dimension" => "has no one value",
        other => reference_label(other),
    };
    Resolved::Fault { code, message, label: label.to_owned(), help }
}

impl RuleScope<'_, '_, '_> {
    /// What is wrong with a metric's bare name, if it is one.
    fn unpinned(&self, name: &str) -> Option<Resolved> {
        let index = self.check.metrics.by_name.get(name)?;
        let lives = self.check.metrics.drafts[*index].lives.iter().flatten();
        let released = lives.filter(|life| life.status != Status::Draft);
        let major = released.map(|life| life.version.major).max().unwrap_or(1);
        Some(fault(
            "unpinned_metric",
            format!("\"{name}\" names no major version"),
            Some(format!("Write {name}@{major}: what a segment is built on is pinned.")),
        ))
    }

    /// The value of a metric for each member; `Err` is what it is instead.
    fn metric(&self, reference: MetricRef, window: Option<&str>) -> Result<Resolved, Resolved> {
        let window = window.map(parsed_window).transpose()?;
        let version = self.released(&reference)?;
        self.refuse_windows(&reference, &version, window.is_some())?;
        self.refuse_without_one_value(&reference, &version)?;
        let key = self.key(&reference, &version)?;
        let value = SegmentValue { metric: reference, window, key };
        let mut values = self.values.borrow_mut();
        let known = values.iter().position(|other| *other == value);
        let index = known.unwrap_or_else(|| {
            values.push(value);
            values.len() - 1
        });
        let expr = Expr::Column(value_column(index));
        Ok(Resolved::Name(Box::new(Name { data_type: version.data_type.clone(), expr })))
    }

    fn released(&self, reference: &MetricRef) -> Result<Arc<MetricVersion>, Resolved> {
        let metrics = self.check.metrics;
        let (metric, version) = match metrics.target(reference) {
            Target::Version(metric, version) => (&metrics.drafts[metric], version),
            Target::Broken => return Err(Resolved::Broken),
            Target::Fault { code, message, help } => return Err(fault(code, message, help)),
        };
        let life = metric.lives[version].as_ref().ok_or(Resolved::Broken)?;
        if life.status == Status::Retired && !self.is_retired {
            let help = successor_help(&reference.metric, life);
            return Err(fault("retired_reference", format!("{reference} is retired"), help));
        }
        metric.versions.borrow()[version].clone().ok_or(Resolved::Broken)
    }

    /// Refuses a window of what has no time, and of what is the value of a window already.
    fn refuse_windows(
        &self,
        reference: &MetricRef,
        version: &MetricVersion,
        has_window: bool,
    ) -> Result<(), Resolved> {
        match &version.kind {
            _ if !has_window => Ok(()),
            MetricKind::Aggregate(_) | MetricKind::Journey(_) if version.time.is_none() => {
                let message = format!("{reference} has no time to take a window of");
                let help = "Leave out \"over\": all rows count then.".to_owned();
                Err(fault("no_time", message, Some(help)))
            }
            MetricKind::Aggregate(_) | MetricKind::Journey(_) => Ok(()),
            MetricKind::Ratio { .. } | MetricKind::Derived { .. } => {
                let parts = version.kind.parts().into_iter();
                parts.map(|part| (part, self.part(part))).try_for_each(|(part, version)| {
                    self.refuse_windows(part, version?.as_ref(), has_window)
                })
            }
            MetricKind::Snapshot { .. }
            | MetricKind::Cumulative { .. }
            | MetricKind::Offset { .. } => {
                let message = format!("{reference} takes no window: it is of a time of its own");
                let help = "Leave out \"over\": its last value counts then.".to_owned();
                Err(fault("bad_window", message, Some(help)))
            }
        }
    }

    /// Refuses what has a value for one period, age or step at a time only.
    fn refuse_without_one_value(
        &self,
        reference: &MetricRef,
        version: &MetricVersion,
    ) -> Result<(), Resolved> {
        let mut unfixed = self.check.journeys.unfixed(self.check.metrics, version);
        let Some((journey, [needed, ..])) = unfixed.next() else { return Ok(()) };
        let message = format!(
            "{reference} has no one value for a member: {} has one for each \"{needed}\"",
            journey.name()
        );
        let help = format!("Name a metric whose filter says which, such as filter: {needed} = 1.");
        Err(fault("needs_dimension", message, Some(help)))
    }

    fn part(&self, part: &MetricRef) -> Result<Arc<MetricVersion>, Resolved> {
        let Target::Version(metric, index) = self.check.metrics.target(part) else {
            return Err(Resolved::Broken);
        };
        self.check.metrics.drafts[metric].versions.borrow()[index].clone().ok_or(Resolved::Broken)
    }

    /// The dimensions that hold the member's key in all entities of a metric, of its first one.
    fn key(
        &self,
        reference: &MetricRef,
        version: &MetricVersion,
    ) -> Result<Vec<KeyDimension>, Resolved> {
        let mut keys: Vec<(&Entity, Vec<usize>)> = Vec::new();
        for name in &version.entities {
            // The rows of a journey have the dimensions of their entity first, at the same places.
            let shown = self.check.journeys.shown_entity(name);
            let Found::Entity(from) = self.check.entities.find(shown) else {
                return Err(Resolved::Broken);
            };
            keys.push((&from.entity, self.key_in(reference, from)?));
        }
        let [(first, own), others @ ..] = keys.as_slice() else { return Err(Resolved::Broken) };
        if others.is_empty() {
            let named = |index: &usize| {
                let name = first.dimensions[*index].name.clone();
                KeyDimension { index: *index, name }
            };
            return Ok(own.iter().map(named).collect());
        }
        let find = |name: &str| match self.check.entities.find(name) {
            Found::Entity(draft) => Some(draft.entity.as_ref()),
            Found::Broken | Found::Unknown => None,
        };
        let all: Vec<&Entity> = keys.iter().map(|(entity, _)| *entity).collect();
        let shared = shared::dimensions(&all, find);
        let of_part = |(part, index): (usize, &usize)| {
            let holds = |name: &&String| {
                keys.iter().all(|(entity, key)| entity.plain_index(name) == Some(key[part]))
            };
            let name = shared.iter().find(holds)?.clone();
            Some(KeyDimension { index: *index, name })
        };
        let key: Option<Vec<KeyDimension>> = own.iter().enumerate().map(of_part).collect();
        key.ok_or_else(|| {
            let member = &self.entity.draft.entity.name;
            let message = format!(
                "{reference} can't be counted for each {member}: its entities don't share the key"
            );
            let help = "Name the metrics that it is built on.".to_owned();
            fault("unreachable_entity", message, Some(help))
        })
    }

    /// The dimensions of an entity that hold the member's key.
    fn key_in(
        &self,
        reference: &MetricRef,
        from: &EntityDraft<'_>,
    ) -> Result<Vec<usize>, Resolved> {
        let entities = self.check.entities;
        let member = &self.entity.draft.entity;
        let paths = shortest_paths(entities, from, &member.name);
        let path = match paths.as_slice() {
            [path] => path,
            [] => {
                let message = format!(
                    "{reference} can't be counted for each {}: \"{}\" does not lead there",
                    member.name, from.entity.name
                );
                let help = format!(
                    "Add a relationship to \"{}\", or name a metric of another entity.",
                    member.name
                );
                return Err(fault("unreachable_entity", message, Some(help)));
            }
            several => {
                let roles: Vec<String> = several.iter().map(|path| path.join(".")).collect();
                let message =
                    format!("{reference} can be counted for each {} by several roles", member.name);
                let help = format!(
                    "There are {}; name a metric whose entity has one of them only.",
                    near::listed(&roles.iter().map(String::as_str).collect::<Vec<_>>())
                );
                return Err(fault("ambiguous_path", message, Some(help)));
            }
        };
        key_dimensions(entities, from, path, &member.key).ok_or_else(|| {
            let message = format!(
                "{reference} can't be counted for each {}: \"{}\" hides the key",
                member.name, from.entity.name
            );
            let help = format!("Show the attribute of \"{}\" that holds it.", from.entity.name);
            fault("unreachable_entity", message, Some(help))
        })
    }
}

fn parsed_window(text: &str) -> Result<Window, Resolved> {
    let parsed =
        text.split_once(' ').and_then(|(count, unit)| Window::of(count.parse().ok()?, unit));
    parsed.ok_or_else(|| {
        let help = "Write a whole number and days, weeks, months or years, such as 365 days; \
                    100 years at most."
            .to_owned();
        fault("bad_window", format!("\"{text}\" is not a window"), Some(help))
    })
}

/// The relationships that lead from an entity to another, where no fewer do: several if they differ
/// by role. Empty inside where both are one.
fn shortest_paths<'e>(
    entities: &'e Entities<'_>,
    from: &'e EntityDraft<'_>,
    to: &str,
) -> Vec<Vec<&'e str>> {
    let mut found: Vec<Vec<&str>> = Vec::new();
    let mut waiting: VecDeque<(&EntityDraft<'_>, Vec<&str>)> = VecDeque::from([(from, Vec::new())]);
    let mut steps = 0;
    while let Some((draft, path)) = waiting.pop_front() {
        let is_longer = found.first().is_some_and(|shortest| path.len() > shortest.len());
        if is_longer || steps > STEPS_MAX {
            break;
        }
        if draft.entity.name == to {
            found.push(path);
            continue;
        }
        for link in &draft.entity.relationships {
            steps += 1;
            let Found::Entity(next) = entities.find(&link.entity) else { continue };
            // A way that is longer than there are entities goes in circles.
            if path.len() < entities.drafts.len() {
                let path = path.iter().copied().chain([link.name.as_str()]).collect();
                waiting.push_back((next, path));
            }
        }
    }
    found
}

/// The dimensions of `from` that hold the key at the end of a path: the foreign key on the way where
/// it is shown, so that nothing has to be joined for it.
fn key_dimensions(
    entities: &Entities<'_>,
    from: &EntityDraft<'_>,
    path: &[&str],
    key: &[String],
) -> Option<Vec<usize>> {
    let position = |path: &[&str], attribute: &str| {
        from.entity.dimensions.iter().position(|dimension| {
            dimension.attribute == attribute
                && dimension.path.iter().map(String::as_str).eq(path.iter().copied())
                && !dimension.alias_only
                && dimension.segment().is_none()
        })
    };
    let Some((last, before)) = path.split_last() else {
        return key.iter().map(|name| position(&[], name)).collect();
    };
    let mut holder = from;
    for role in before {
        let link = holder.entity.relationships.iter().find(|link| link.name == *role)?;
        let Found::Entity(next) = entities.find(&link.entity) else { return None };
        holder = next;
    }
    let link = holder.entity.relationships.iter().find(|link| link.name == *last)?;
    let foreign = link.key.iter().zip(key);
    foreign.map(|(own, theirs)| position(before, own).or_else(|| position(path, theirs))).collect()
}
