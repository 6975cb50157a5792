//! What was read, checked against the sources' real columns: a [`Model`], and every finding.

mod aggregation;
pub(crate) mod at;
mod consumer;
mod derived;
mod dimension;
mod entity;
mod examples;
mod history;
mod journey;
mod journeys_in;
mod many_side;
mod metric;
mod over_time;
pub(crate) mod project;
mod relationship;
mod scope;
mod segment;
mod source;
mod status;
mod time;
mod units;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use self::at::At;
use super::expr::{Fault, Faults};
use super::load::{Body, Document, Read};
use super::{Model, SourceColumn, near};
use crate::diagnostic::{self, Finding, Severity, Texts};

/// What a check found out.
#[derive(Debug)]
pub struct Checked {
    /// None where any finding is an error.
    pub model: Option<Arc<Model>>,
    /// Faults of shape included, sorted by file and place.
    pub findings: Vec<Finding>,
}

impl Checked {
    /// Whether any finding is an error.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}

/// Checks everything that was read. `sources` has the described columns of [`Read::tables`]; a
/// table that isn't in it doesn't exist.
pub fn check(read: &Read, sources: &BTreeMap<String, Vec<SourceColumn>>) -> Checked {
    let mut context = Context { texts: read.texts(), sources, findings: read.findings.clone() };
    for document in &read.documents {
        if let Body::Other(kind) = document.body {
            context.not_yet(document.at(), format!("a {kind}"));
        }
    }
    let mut entities = entity::check(&mut context, &read.documents);
    let consumers = consumer::Names::of(&read.documents);
    let metrics =
        metric::check(&mut context, &read.documents, &entities, read.project(), &consumers);
    let examples = examples::check(&mut context, &entities, &metrics);
    let segments = segment::check(&mut context, &read.documents, &entities, &metrics, &consumers);
    let consumers = consumer::check(&mut context, &read.documents, &metrics, &segments);
    let told = metrics.told_ingestion(&mut context);
    entities.tell_ingestion(&told);
    let mut findings = context.findings;
    diagnostic::sort(&mut findings);
    let failed = findings.iter().any(|finding| finding.severity == Severity::Error);
    let model = match (failed, read.project()) {
        (false, Some(project)) => {
            let metrics = metrics.into_model();
            Some(Arc::new(Model {
                project: project.clone(),
                entities: entities.into_model(),
                journeys: Model::journeys_of(&metrics),
                metrics,
                segments: segments.into_model(),
                consumers,
                examples,
                fingerprint: fingerprint(read, sources),
            }))
        }
        _ => None,
    };
    Checked { model, findings }
}

/// SHA-256 over the files' texts in their own order, so that names of files don't matter, and over
/// the described columns.
fn fingerprint(read: &Read, sources: &BTreeMap<String, Vec<SourceColumn>>) -> [u8; 32] {
    let mut digest = Sha256::new();
    let mut put = |part: &str| {
        digest.update(part.len().to_le_bytes());
        digest.update(part.as_bytes());
    };
    let mut texts: Vec<&str> = read.texts().iter().map(|(_, text)| text.as_ref()).collect();
    texts.sort_unstable();
    texts.into_iter().for_each(&mut put);
    for table in read.tables() {
        put(&table);
        for column in sources.get(&table).into_iter().flatten() {
            put(&column.name);
            put(&column.data_type.to_string());
            put(if column.nullable { "null" } else { "not null" });
            put(&column.native);
        }
    }
    digest.finalize().into()
}

/// What all checks share.
struct Context<'a> {
    texts: &'a Texts,
    sources: &'a BTreeMap<String, Vec<SourceColumn>>,
    findings: Vec<Finding>,
}

impl Context<'_> {
    fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Refuses what the format has and canon doesn't do yet.
    fn not_yet(&mut self, at: At<'_>, what: impl Into<String>) {
        let finding =
            Finding::error("not_supported_yet", format!("{} is not supported yet", what.into()))
                .at(at.place("not supported yet"))
                .help("Leave it out for now: it would be ignored.");
        self.push(finding);
    }

    /// As [`Self::not_yet`], of a key.
    fn not_yet_key(&mut self, at: At<'_>, key: &str, help: &str) {
        if !at.has(key) {
            return;
        }
        let finding =
            Finding::error("not_supported_yet", format!("\"{key}\" is not supported yet"))
                .at(at.place_of_key(key, "not supported yet"))
                .help(help);
        self.push(finding);
    }

    fn missing(&mut self, at: At<'_>, key: &str, why: impl Into<String>, help: impl Into<String>) {
        let finding = Finding::error("missing_key", why)
            .at(at.place(format!("without \"{key}\"")))
            .help(help);
        self.push(finding);
    }

    /// The faults of an expression, as findings with places inside it.
    fn faults(&mut self, at: At<'_>, faults: Faults) {
        for fault in faults {
            let Fault { code, message, label, help, chars } = fault;
            let place = at.place_inside(self.texts, chars, label);
            self.push(Finding::error(code, message).at(place).maybe_help(help));
        }
    }

    /// A name that isn't among those it should be among.
    fn unknown<'n>(
        &mut self,
        code: &'static str,
        message: String,
        at: At<'_>,
        written: &str,
        known: impl IntoIterator<Item = &'n str>,
        intro: &str,
    ) {
        let help = near::help(written, known, intro);
        self.push(Finding::error(code, message).at(at.place("no such name")).maybe_help(help));
    }

    /// Takes the first of each name, and reports the others with both places.
    fn unique<'a>(
        &mut self,
        kind: &str,
        documents: impl IntoIterator<Item = &'a Document>,
    ) -> Vec<&'a Document> {
        let mut first: BTreeMap<&str, &Document> = BTreeMap::new();
        let mut unique = Vec::new();
        for document in documents {
            match first.get(document.name()) {
                None => {
                    first.insert(document.name(), document);
                    unique.push(document);
                }
                Some(other) => {
                    let message = format!("{kind} \"{}\" is defined twice", document.name());
                    let finding = Finding::error("duplicate_name", message)
                        .at(document.at().key(kind).place("again here"))
                        .at(other.at().key(kind).place("defined here"))
                        .help("Give one of them another name.");
                    self.push(finding);
                }
            }
        }
        unique
    }
}
