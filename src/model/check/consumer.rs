//! Consumers: who uses contracts, under which roles and pins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::at::At;
use super::metric::Metrics;
use super::segment::Segments;
use super::{Context, values};
use crate::diagnostic::Finding;
use crate::model::Consumer;
use crate::model::load::{Body, Document};
use crate::model::raw::RawConsumer;

/// The names of all consumers, those with faults included.
pub(super) struct Names<'a> {
    names: BTreeSet<&'a str>,
}

impl<'a> Names<'a> {
    pub(super) fn of(documents: &'a [Document]) -> Self {
        let is_consumer = |document: &&Document| {
            matches!(document.body, Body::Consumer(_) | Body::Broken("consumer"))
        };
        Self { names: documents.iter().filter(is_consumer).map(Document::name).collect() }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    pub(super) fn list(&self) -> Vec<&'a str> {
        self.names.iter().copied().collect()
    }
}

/// Checks all consumers.
pub(super) fn check(
    context: &mut Context<'_>,
    documents: &[Document],
    metrics: &Metrics<'_>,
    segments: &Segments<'_>,
) -> BTreeMap<String, Arc<Consumer>> {
    let is_consumer = |document: &&Document| matches!(document.body, Body::Consumer(_));
    let mut consumers = BTreeMap::new();
    let mut roles: BTreeMap<&str, At<'_>> = BTreeMap::new();
    for document in context.unique("consumer", documents.iter().filter(is_consumer)) {
        let Body::Consumer(raw) = &document.body else { continue };
        let at = document.at();
        unique_roles(context, raw, at, &mut roles);
        let consumer = consumer(context, raw, at, metrics, segments);
        consumers.insert(consumer.name.clone(), Arc::new(consumer));
    }
    consumers
}

fn unique_roles<'a>(
    context: &mut Context<'_>,
    raw: &'a RawConsumer,
    at: At<'a>,
    roles: &mut BTreeMap<&'a str, At<'a>>,
) {
    for (index, role) in raw.roles.iter().enumerate() {
        let at = at.key("roles").item(index);
        if let Some(first) = roles.insert(role, at) {
            let finding =
                Finding::error("duplicate_name", format!("role \"{role}\" is named twice"))
                    .at(at.place("again here"))
                    .at(first.place("first here"))
                    .help("A role is one consumer.");
            context.push(finding);
        }
    }
}

fn consumer(
    context: &mut Context<'_>,
    raw: &RawConsumer,
    at: At<'_>,
    metrics: &Metrics<'_>,
    segments: &Segments<'_>,
) -> Consumer {
    values::name(&raw.consumer, at.key("consumer"), "consumer", &mut context.findings);
    let help = "Limits aren't enforced yet; leave them out so that nobody relies on them.";
    context.not_yet_key(at, "limits", help);
    context.not_yet_key(at, "adhoc", help);
    for (pinned, major) in &raw.pins {
        let at = at.key("pins");
        match segments.has(pinned) {
            true => segments.check_pin(context, pinned, major.0, at),
            false => metrics.check_pin(context, pinned, major.0, at),
        }
    }
    Consumer {
        name: raw.consumer.to_string(),
        owner: values::owner(&raw.owner),
        roles: raw.roles.iter().map(|role| role.to_string()).collect(),
        pins: raw.pins.iter().map(|(metric, major)| (metric.clone(), major.0)).collect(),
        strict: raw.strict,
    }
}
