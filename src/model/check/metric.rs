//! Metrics: versions that aggregate an entity's rows, and how all versions go together.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::Expr;

use super::at::At;
use super::consumer::Names;
use super::derived;
use super::entity::{Entities, Found, RESERVED};
use super::scope::EntityScope;
use super::status::{self, Life};
use super::{Context, aggregation, journey, many_side, over_time, time, units, values};
use crate::diagnostic::Finding;
use crate::model::expr::{self, Compiled, Scope};
use crate::model::load::{Body, Document};
use crate::model::raw::{RawFill, RawMetric, RawMetricType, RawVersion, Text};
use crate::model::types::{self};
use crate::model::{
    Eligibility, Fill, Metric, MetricKind, MetricRef, MetricVersion, Project, Status, near,
};

/// All metrics of a folder.
pub(super) struct Metrics<'a> {
    pub(super) drafts: Vec<Draft<'a>>,
    pub(super) by_name: BTreeMap<&'a str, usize>,
    /// Documents without their shape: not to be called unknown.
    pub(super) broken: BTreeSet<&'a str>,
}

/// A metric on its way into the model.
pub(super) struct Draft<'a> {
    pub(super) raw: &'a RawMetric,
    pub(super) at: At<'a>,
    /// In the file's order.
    pub(super) lives: Vec<Option<Life>>,
    /// Filled once each is checked; None where it has a fault.
    pub(super) versions: RefCell<Vec<Option<Arc<MetricVersion>>>>,
}

/// What a reference such as `revenue@1` names.
pub(super) enum Target {
    /// Index of the metric, and of the version in its file's order.
    Version(usize, usize),
    /// Something with a fault of its own.
    Broken,
    Fault {
        code: &'static str,
        message: String,
        help: Option<String>,
    },
}

impl<'a> Metrics<'a> {
    /// The newest released version of a major.
    pub(super) fn target(&self, reference: &MetricRef) -> Target {
        let Some(index) = self.by_name.get(reference.metric.as_str()).copied() else {
            if self.broken.contains(reference.metric.as_str()) {
                return Target::Broken;
            }
            let known = self.by_name.keys().copied();
            return Target::Fault {
                code: "unknown_metric",
                message: format!("metric \"{}\" does not exist", reference.metric),
                help: near::help(&reference.metric, known, "The metrics are"),
            };
        };
        let lives = &self.drafts[index].lives;
        let of_major = |life: &Life| life.version.major == reference.major;
        let newest = lives
            .iter()
            .enumerate()
            .filter_map(|(at, life)| Some((at, life.as_ref()?)))
            .filter(|(_, life)| of_major(life) && life.status != Status::Draft)
            .max_by_key(|(_, life)| &life.version);
        if let Some((version, _)) = newest {
            return Target::Version(index, version);
        }
        if lives.iter().any(Option::is_none) {
            return Target::Broken;
        }
        let majors: BTreeSet<u64> = lives
            .iter()
            .flatten()
            .filter(|life| life.status != Status::Draft)
            .map(|life| life.version.major)
            .collect();
        let majors: Vec<String> =
            majors.iter().map(|major| format!("{}@{major}", reference.metric)).collect();
        let help = (!majors.is_empty()).then(|| format!("There is {}.", majors.join(", ")));
        match lives.iter().flatten().any(of_major) {
            true => Target::Fault {
                code: "draft_reference",
                message: format!("{reference} is a draft"),
                help: Some("Release it first: a draft may still change.".to_owned()),
            },
            false => Target::Fault {
                code: "unknown_version",
                message: format!(
                    "metric \"{}\" has no major version {}",
                    reference.metric, reference.major
                ),
                help,
            },
        }
    }

    /// Checks a consumer's pin.
    pub(super) fn check_pin(
        &self,
        context: &mut Context<'_>,
        metric: &str,
        major: u64,
        at: At<'_>,
    ) {
        let reference = MetricRef { metric: metric.to_owned(), major };
        match self.target(&reference) {
            Target::Fault { code, message, help } => {
                let place = match code {
                    "unknown_metric" => at.place_of_key(metric, reference_label(code)),
                    _ => at.key(metric).place(reference_label(code)),
                };
                context.push(Finding::error(code, message).at(place).maybe_help(help));
            }
            Target::Version(index, version) => {
                let retired = self.drafts[index].lives[version]
                    .as_ref()
                    .filter(|life| life.status == Status::Retired);
                if let Some(life) = retired {
                    let finding =
                        Finding::error("retired_reference", format!("{reference} is retired"))
                            .at(at.key(metric).place("retired"))
                            .maybe_help(successor_help(metric, life));
                    context.push(finding);
                }
            }
            Target::Broken => {}
        }
    }

    /// The ingestion columns that metrics tell of entities whose source names none itself.
    pub(super) fn told_ingestion(&self, context: &mut Context<'_>) -> BTreeMap<String, String> {
        let mut told: BTreeMap<String, (&Text, At<'_>)> = BTreeMap::new();
        for draft in &self.drafts {
            for (index, raw) in draft.raw.versions.iter().enumerate() {
                let ingested = raw.time.as_ref().and_then(|time| time.ingested.as_ref());
                let (Some(entity), Some(name)) = (&raw.entity, ingested) else { continue };
                let at = draft.at.key("versions").item(index).key("time").key("ingested");
                match told.get(&**entity) {
                    Some((known, other)) if *known != name => {
                        let message = format!(
                            "rows of entity \"{entity}\" come in at \"{known}\" and at \"{name}\""
                        );
                        let finding = Finding::error("two_ingestion_times", message)
                            .at(at.place("here"))
                            .at(other.place("and here"))
                            .help("A row comes in once: name one column, in the entity's source.");
                        context.push(finding);
                    }
                    Some(_) => {}
                    None => {
                        told.insert(entity.to_string(), (name, at));
                    }
                }
            }
        }
        told.into_iter().map(|(entity, (name, _))| (entity, name.to_string())).collect()
    }

    pub(super) fn into_model(self) -> BTreeMap<String, Arc<Metric>> {
        let metrics = self.drafts.into_iter().map(|draft| {
            let raw = draft.raw;
            let mut versions: Vec<Arc<MetricVersion>> =
                draft.versions.into_inner().into_iter().flatten().collect();
            versions.sort_by(|a, b| b.version.cmp(&a.version));
            let metric = Metric {
                name: raw.metric.to_string(),
                intent: raw.intent.to_string(),
                not_for: raw.not_for.iter().map(|text| text.to_string()).collect(),
                owner: values::owner(&raw.owner),
                domain: raw.domain.map(|domain| domain.name().to_owned()),
                versions,
            };
            (metric.name.clone(), Arc::new(metric))
        });
        metrics.collect()
    }
}

/// A few words for the place of a reference with a fault.
pub(super) fn reference_label(code: &str) -> &'static str {
    match code {
        "unknown_metric" => "no such metric",
        "unknown_version" => "no such version",
        "draft_reference" => "a draft",
        "retired_reference" => "retired",
        "cycle" => "leads back to itself",
        _ => "can't be used here",
    }
}

pub(super) fn successor_help(metric: &str, life: &Life) -> Option<String> {
    let successor = life.replaced_by.as_ref()?;
    Some(format!("Use {metric}@{}.", successor.major))
}

/// What the checks of versions share.
pub(super) struct Surroundings<'e, 'a> {
    pub(super) scopes: HashMap<&'e str, EntityScope<'e, 'a>>,
    pub(super) entities: &'e Entities<'a>,
    pub(super) project: Option<&'e Project>,
}

/// Checks all metrics: aggregates first, then what is built on them.
pub(super) fn check<'a>(
    context: &mut Context<'a>,
    documents: &'a [Document],
    entities: &Entities<'a>,
    project: Option<&Project>,
    consumers: &Names<'_>,
) -> Metrics<'a> {
    let is_metric = |document: &&Document| matches!(document.body, Body::Metric(_));
    let broken =
        documents.iter().filter(|document| matches!(document.body, Body::Broken("metric")));
    let mut metrics = Metrics {
        drafts: Vec::new(),
        by_name: BTreeMap::new(),
        broken: broken.map(Document::name).collect(),
    };
    for document in context.unique("metric", documents.iter().filter(is_metric)) {
        let Body::Metric(raw) = &document.body else { continue };
        let at = document.at();
        if values::name(&raw.metric, at.key("metric"), "metric", &mut context.findings).is_some()
            && RESERVED.contains(&&*raw.metric)
        {
            let message =
                format!("metric \"{}\" has a name that every relation has already", raw.metric);
            let place = at.key("metric").place("reserved");
            context.push(Finding::error("reserved_name", message).at(place));
        }
        let lives = status::check(context, raw, at, consumers);
        let versions = RefCell::new(vec![None; raw.versions.len()]);
        metrics.by_name.insert(document.name(), metrics.drafts.len());
        metrics.drafts.push(Draft { raw, at, lives, versions });
    }
    let scopes =
        entities.drafts.iter().map(|draft| (draft.entity.name.as_str(), EntityScope::new(draft)));
    let surroundings = Surroundings { scopes: scopes.collect(), entities, project };
    for draft in &metrics.drafts {
        for (index, raw) in draft.raw.versions.iter().enumerate() {
            let at = draft.at.key("versions").item(index);
            keys(context, raw, at);
            if let Some(checked) = aggregate(context, &surroundings, draft, index) {
                draft.versions.borrow_mut()[index] = Some(Arc::new(checked));
            }
        }
    }
    journey::check(context, &surroundings, &metrics);
    derived::check(context, &surroundings, &metrics);
    units::check(context, &surroundings, &metrics);
    measure_names(context, entities, &metrics);
    metrics
}

/// The keys that belong to some types only.
const TYPE_KEYS: [&str; 25] = [
    "entity",
    "expression",
    "approximate",
    "quantile",
    "method",
    "numerator",
    "denominator",
    "weight",
    "metric",
    "window",
    "to_date",
    "by",
    "pick",
    "per",
    "carry",
    "base",
    "target",
    "within",
    "credit",
    "booked_at",
    "output",
    "constant",
    "steps",
    "touch",
    "allocate",
];

/// The keys that a type needs, and those that it may have; None for types that aren't executed yet.
fn keys_of(
    metric_type: RawMetricType,
) -> Option<(&'static [&'static str], &'static [&'static str])> {
    match metric_type {
        RawMetricType::Count => {
            Some((&["entity"], &["eligibility", "filter", "touch", "allocate"]))
        }
        RawMetricType::Sum | RawMetricType::Avg | RawMetricType::Min | RawMetricType::Max => {
            Some((&["entity", "expression"], &["eligibility", "filter", "touch", "allocate"]))
        }
        RawMetricType::CountDistinct => Some((
            &["entity", "expression"],
            &["approximate", "eligibility", "filter", "touch", "allocate"],
        )),
        RawMetricType::Quantile => Some((
            &["entity", "expression", "quantile"],
            &["method", "eligibility", "filter", "touch", "allocate"],
        )),
        RawMetricType::WeightedAvg => Some((
            &["entity", "expression", "weight"],
            &["eligibility", "filter", "touch", "allocate"],
        )),
        RawMetricType::Ratio => Some((&["numerator", "denominator"], &["entity", "filter"])),
        RawMetricType::Derived => Some((&["expression"], &["entity", "filter"])),
        RawMetricType::Cumulative => {
            Some((&["metric"], &["window", "to_date", "entity", "filter"]))
        }
        RawMetricType::Offset => Some((&["metric", "by"], &["entity", "filter"])),
        RawMetricType::Snapshot => {
            Some((&["entity", "expression", "pick", "per"], &["carry", "eligibility", "filter"]))
        }
        RawMetricType::Conversion => Some((
            &["base", "target", "entity", "within"],
            &["credit", "booked_at", "output", "constant", "filter"],
        )),
        RawMetricType::Retention => Some((&["cohort", "active", "entity", "grain"], &["filter"])),
        RawMetricType::Funnel => Some((&["steps", "entity", "within"], &["output", "filter"])),
    }
}

/// What the metric is in a period without rows.
pub(super) fn fill(raw: &RawVersion) -> Option<Fill> {
    raw.fill.as_ref().map(|fill| match fill {
        RawFill::Zero => Fill::Zero,
        RawFill::Null => Fill::Null,
        RawFill::Previous => Fill::Previous,
    })
}

/// Which keys stand there: those of another type, those that are missing, those not executed yet.
fn keys(context: &mut Context<'_>, raw: &RawVersion, at: At<'_>) {
    let name = raw.metric_type.name();
    let later = [
        ("reconcile", "Nothing compares it with a ledger yet."),
        ("stale_if_error", "While the backend is down, queries fail."),
    ];
    for (key, help) in later {
        context.not_yet_key(at, key, help);
    }
    let Some((needed, allowed)) = keys_of(raw.metric_type) else {
        context.not_yet(at.key("type"), format!("a metric of type {name}"));
        return;
    };
    for key in needed.iter().filter(|key| !at.has(key)) {
        let why = format!("a metric of type {name} needs \"{key}\"");
        let help = format!("A {name} has: {}.", needed.join(", "));
        context.missing(at.key("type"), key, why, help);
    }
    let others =
        TYPE_KEYS.iter().chain(["eligibility", "filter", "cohort", "active", "grain"].iter());
    for key in others.filter(|key| at.has(key) && !needed.contains(key) && !allowed.contains(key)) {
        let message = format!("\"{key}\" does not belong to a metric of type {name}");
        let help = match (*key, raw.metric_type) {
            ("expression", RawMetricType::Count) => {
                "A count counts rows; to leave out NULLs, add an eligibility rule.".to_owned()
            }
            ("eligibility" | "filter" | "touch" | "allocate", _) => {
                "The metrics that it is built on have rules of their own.".to_owned()
            }
            _ => format!("A {name} has: {}.", [needed, allowed].concat().join(", ")),
        };
        let place = at.place_of_key(key, "of another type");
        context.push(Finding::error("key_not_allowed", message).at(place).help(help));
    }
}

/// A version that aggregates rows; None for the other types, and where it has a fault.
fn aggregate(
    context: &mut Context<'_>,
    surroundings: &Surroundings<'_, '_>,
    draft: &Draft<'_>,
    index: usize,
) -> Option<MetricVersion> {
    let raw = &draft.raw.versions[index];
    let at = draft.at.key("versions").item(index);
    if derived::is_built(raw.metric_type)
        || journey::is_journey(raw.metric_type)
        || keys_of(raw.metric_type).is_none()
    {
        return None;
    }
    let freshness = time::freshness(context, raw.freshness.as_ref(), at.key("freshness"));
    let entity = raw.entity.as_ref()?;
    let scope = match surroundings.entities.find(entity) {
        Found::Entity(_) => surroundings.scopes.get(&**entity)?,
        Found::Broken => return None,
        Found::Unknown => {
            let message = format!("entity \"{entity}\" does not exist");
            let (at, known) = (at.key("entity"), surroundings.entities.names());
            context.unknown("unknown_entity", message, at, entity, known, "The entities are");
            return None;
        }
    };
    let (eligibility, sound) = eligibility(context, raw, at, scope);
    let kind = match raw.metric_type {
        RawMetricType::Snapshot => over_time::snapshot(context, raw, at, scope),
        _ => aggregation::check(context, raw, at, scope)
            .map(|(aggregation, data_type)| (MetricKind::Aggregate(aggregation), data_type)),
    };
    let time = time::check(context, raw.time.as_ref(), at, scope, surroundings);
    let dimensions = dimensions(context, raw.dimensions.as_deref(), at.key("dimensions"), scope);
    let many_side = many_side::check(context, raw, at, surroundings);
    let life = draft.lives[index].clone()?;
    let (kind, data_type) = kind?;
    let time = time?;
    if raw.metric_type == RawMetricType::Snapshot && time.is_none() {
        over_time::without_time(context, raw, at);
        return None;
    }
    if !sound || !scope.draft.has_columns {
        return None;
    }
    Some(MetricVersion {
        metric: draft.raw.metric.to_string(),
        version: life.version,
        status: life.status,
        released: life.released,
        sunset: life.sunset,
        replaced_by: life.replaced_by,
        entity: entity.to_string(),
        entities: vec![entity.to_string()],
        kind,
        eligibility,
        filter: Vec::new(),
        time,
        unit: raw.unit.as_ref().or(draft.raw.unit.as_ref()).map(|unit| unit.to_string()),
        data_type,
        dimensions: dimensions?,
        many_side: many_side?,
        freshness: freshness?,
        fill: fill(raw),
        change: raw.change.as_ref().map(|text| text.to_string()),
    })
}

/// The rules, and whether all are in order. A filter is a rule whose reason is the metric itself.
fn eligibility(
    context: &mut Context<'_>,
    raw: &RawVersion,
    at: At<'_>,
    scope: &EntityScope<'_, '_>,
) -> (Vec<Eligibility>, bool) {
    let mut rules = Vec::new();
    let mut sound = true;
    let filter_why = Text("the metric's own filter".to_owned());
    let written = raw.eligibility.iter().enumerate().map(|(index, rule)| {
        (&rule.rule, &rule.why, at.key("eligibility").item(index).key("rule"))
    });
    let filter = raw.filter.iter().map(|filter| (filter, &filter_why, at.key("filter")));
    for (rule, why, at) in written.chain(filter) {
        match condition(context, rule, at, scope) {
            Some(expr) => {
                rules.push(Eligibility { rule: rule.to_string(), why: why.to_string(), expr });
            }
            None => sound = false,
        }
        if why.trim().is_empty() {
            sound = false;
            let finding = Finding::error("empty_value", "a rule has no reason")
                .at(at.place("why?"))
                .help("Say in \"why\" what would go wrong without the rule.");
            context.push(finding);
        }
    }
    (rules, sound)
}

/// A compiled expression that is true or false.
pub(super) fn condition(
    context: &mut Context<'_>,
    text: &str,
    at: At<'_>,
    scope: &dyn Scope,
) -> Option<Expr> {
    let Compiled { expr, data_type } = compiled(context, text, at, scope)?;
    if data_type == DataType::Boolean {
        return Some(expr);
    }
    let shown = types::shown(&data_type);
    let finding = Finding::error("wrong_type", format!("a rule must be boolean, not {shown}"))
        .at(at.place(shown))
        .help("Write a condition, such as status = 'completed'.");
    context.push(finding);
    None
}

pub(super) fn compiled(
    context: &mut Context<'_>,
    text: &str,
    at: At<'_>,
    scope: &dyn Scope,
) -> Option<Compiled> {
    match expr::compile(text, scope) {
        Ok(compiled) => Some(compiled),
        Err(faults) => {
            context.faults(at, faults);
            None
        }
    }
}

/// Some(None) where it may be grouped by all.
pub(super) fn dimensions(
    context: &mut Context<'_>,
    raw: Option<&[Text]>,
    at: At<'_>,
    scope: &EntityScope<'_, '_>,
) -> Option<Option<Vec<String>>> {
    let Some(raw) = raw else { return Some(None) };
    let mut names: Vec<String> = Vec::new();
    let mut sound = true;
    for (index, written) in raw.iter().enumerate() {
        match scope.dimension(written) {
            Some(dimension) if names.contains(&dimension.name) => {}
            Some(dimension) => names.push(dimension.name.clone()),
            None => {
                sound = false;
                unknown_dimension(context, written, at.item(index), scope);
            }
        }
    }
    sound.then_some(Some(names))
}

pub(super) fn unknown_dimension(
    context: &mut Context<'_>,
    written: &str,
    at: At<'_>,
    scope: &EntityScope<'_, '_>,
) {
    let parts: Vec<&str> = written.split('.').collect();
    if scope.may_be_broken(&parts) {
        return;
    }
    let entity = &scope.draft.entity;
    let hidden = entity.attributes.iter().any(|attribute| attribute.name == written);
    let message = match hidden {
        true => format!("attribute \"{written}\" of entity \"{}\" is hidden", entity.name),
        false => format!("entity \"{}\" has no dimension \"{written}\"", entity.name),
    };
    if hidden {
        let finding = Finding::error("unknown_dimension", message)
            .at(at.place("hidden"))
            .help("Leave it out, or show the attribute.");
        context.push(finding);
        return;
    }
    let known: Vec<&str> = entity
        .dimensions
        .iter()
        .filter(|dimension| !dimension.alias_only)
        .map(|dimension| dimension.name.as_str())
        .collect();
    let plain = written.replace('.', "_");
    let help = near::help(&plain, known, "The entity has");
    let place = at.place("no such dimension");
    context.push(Finding::error("unknown_dimension", message).at(place).maybe_help(help));
}

/// The columns by which metrics appear in their entity's relation mustn't be dimensions of it, nor
/// of each other.
fn measure_names(context: &mut Context<'_>, entities: &Entities<'_>, metrics: &Metrics<'_>) {
    let mut taken: BTreeMap<String, At<'_>> = BTreeMap::new();
    let bare = metrics.drafts.iter().map(|draft| (draft.raw.metric.to_string(), draft.at));
    taken.extend(bare);
    for draft in &metrics.drafts {
        let at = draft.at.key("metric");
        let versions = draft.versions.borrow();
        let majors: BTreeSet<u64> =
            draft.lives.iter().flatten().map(|life| life.version.major).collect();
        let numbered: Vec<String> =
            majors.iter().map(|major| format!("{}_v{major}", draft.raw.metric)).collect();
        for name in &numbered {
            if let Some(other) = taken.get(name) {
                let message = format!(
                    "metric \"{name}\" has the name of a version of \"{}\"",
                    draft.raw.metric
                );
                let finding = Finding::error("name_clash", message)
                    .at(other.key("metric").place("this metric"))
                    .at(at.place(format!("has {name} as a version")))
                    .help("Give the metric another name.");
                context.push(finding);
            }
        }
        let names: Vec<&str> =
            numbered.iter().map(String::as_str).chain([&*draft.raw.metric]).collect();
        let of_versions = versions.iter().flatten().map(|version| version.entity.clone());
        let declared = draft.raw.versions.iter().flat_map(|raw| &raw.entity);
        let based: BTreeSet<String> =
            declared.map(|entity| entity.to_string()).chain(of_versions).collect();
        for entity in based {
            let Found::Entity(base) = entities.find(&entity) else { continue };
            for dimension in base.entity.dimensions.iter() {
                if !names.contains(&dimension.name.as_str()) {
                    continue;
                }
                let message = format!(
                    "\"{}\" is a metric and a dimension of entity \"{entity}\"",
                    dimension.name
                );
                let finding = Finding::error("name_clash", message)
                    .at(at.place("the metric"))
                    .at(base.at.key("entity").place(format!("has dimension {}", dimension.name)))
                    .help("Give the metric, the attribute or the relationship another name.");
                context.push(finding);
            }
        }
    }
}
