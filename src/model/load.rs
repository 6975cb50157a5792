//! Reading a folder of definitions: files, documents and their shape.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::check::at::At;
use super::check::project;
use super::near;
use super::raw::{RawConsumer, RawEntity, RawMetric, RawProject, RawSegment};
use super::schema::{KINDS, json_schema};
use super::shape;
use super::spans::{self, Node, NodeKind, Parsed, SpansError, SpansErrorKind};
use super::{BackendConfig, Project};
use crate::diagnostic::{Finding, Place, Texts};

/// Bytes of one file: a thousand metrics with room to spare.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Files of a folder.
const FILES_MAX: usize = 20_000;
/// Folders inside each other.
const FOLDERS_DEEP_MAX: usize = 16;

/// Why a folder can't be read at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    #[error("could not read definitions folder \"{}\": {reason}", path.display())]
    Folder { path: PathBuf, reason: String },
    #[error("could not read definitions file \"{}\": {reason}", path.display())]
    File { path: PathBuf, reason: String },
    #[error("definitions folder \"{}\" has more than {FILES_MAX} files", path.display())]
    TooManyFiles { path: PathBuf },
    #[error("definitions folder \"{}\" is nested deeper than {FOLDERS_DEEP_MAX} folders", path.display())]
    TooDeep { path: PathBuf },
}

/// What a folder says: its documents as far as they have their shape, and what is wrong with the others.
#[derive(Debug)]
pub struct Read {
    pub(super) documents: Vec<Document>,
    /// Faults of shape, and of the project file.
    pub(super) findings: Vec<Finding>,
    texts: Texts,
    project: Option<Project>,
}

/// One definition and its places.
#[derive(Debug)]
pub(super) struct Document {
    /// Relative to the folder.
    pub(super) file: PathBuf,
    pub(super) root: Node,
    pub(super) body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    Project(RawProject),
    Entity(Box<RawEntity>),
    Metric(Box<RawMetric>),
    Segment(Box<RawSegment>),
    Consumer(Box<RawConsumer>),
    /// Of a kind that isn't executed yet.
    Other(&'static str),
    /// Doesn't have its shape; known by kind and name, so that nobody who refers to it is blamed.
    Broken(&'static str),
}

impl Document {
    pub(super) fn at(&self) -> At<'_> {
        At::new(&self.file, &self.root)
    }

    /// What the first key says.
    pub(super) fn name(&self) -> &str {
        match &self.root.kind {
            NodeKind::Map(entries) => {
                entries.first().and_then(|(_, value)| value.text()).unwrap_or_default()
            }
            NodeKind::Scalar { .. } | NodeKind::List(_) => "",
        }
    }
}

impl Read {
    /// The source tables that have to be described before the definitions can be checked.
    pub fn tables(&self) -> BTreeSet<String> {
        let tables = self.documents.iter().filter_map(|document| match &document.body {
            Body::Entity(entity) => Some(entity.source.table.to_string()),
            _ => None,
        });
        tables.collect()
    }

    /// The project, where its file is in order; it says which backend to ask for the tables.
    pub fn project(&self) -> Option<&Project> {
        self.project.as_ref()
    }

    /// What is known before any source is described: faults of shape.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The files' texts, for the renderers of findings.
    pub fn texts(&self) -> &Texts {
        &self.texts
    }
}

/// Reads every `*.yaml` and `*.yml` file below a folder, in the order of their paths; hidden files
/// and folders are left out.
///
/// # Errors
/// [`LoadError`] where the folder or a file can't be read. What is wrong *in* the files is a finding.
pub fn read(folder: &Path) -> Result<Read, LoadError> {
    let mut files = BTreeSet::new();
    walk(folder, Path::new(""), 0, &mut files)?;
    let mut reader = Reader { texts: Texts::new(folder), ..Reader::default() };
    for file in files {
        let path = folder.join(&file);
        let size = fs::metadata(&path).map_err(|error| file_error(&path, &error))?.len();
        if size > FILE_BYTES_MAX {
            let message = format!("file \"{}\" is larger than 4 MiB", file.display());
            let place = Place { file, span: 0..0, label: "this file".to_owned() };
            reader.findings.push(
                Finding::error("too_large", message)
                    .at(place)
                    .help("Divide it into several files."),
            );
            continue;
        }
        let bytes = fs::read(&path).map_err(|error| file_error(&path, &error))?;
        reader.file(file, bytes);
    }
    Ok(reader.finish(folder))
}

/// As [`read`], of texts that are at hand; relative paths in them start at `folder`.
pub fn read_texts(folder: &Path, texts: BTreeMap<PathBuf, String>) -> Read {
    let mut reader = Reader { texts: Texts::new(""), ..Reader::default() };
    for (file, text) in texts {
        reader.file(file, text.into_bytes());
    }
    reader.finish(folder)
}

fn file_error(path: &Path, error: &std::io::Error) -> LoadError {
    LoadError::File { path: path.to_owned(), reason: error.to_string() }
}

fn walk(
    root: &Path,
    below: &Path,
    depth: usize,
    files: &mut BTreeSet<PathBuf>,
) -> Result<(), LoadError> {
    let path = root.join(below);
    if depth > FOLDERS_DEEP_MAX {
        return Err(LoadError::TooDeep { path: root.to_owned() });
    }
    let error =
        |error: std::io::Error| LoadError::Folder { path: path.clone(), reason: error.to_string() };
    for entry in fs::read_dir(&path).map_err(error)? {
        let entry = entry.map_err(error)?;
        let name = entry.file_name();
        if name.to_string_lossy().starts_with('.') {
            continue;
        }
        let relative = below.join(&name);
        // Follows links: a mounted volume may consist of them.
        if entry.path().is_dir() {
            walk(root, &relative, depth + 1, files)?;
        } else if relative.extension().is_some_and(|kind| kind == "yaml" || kind == "yml") {
            files.insert(relative);
            if files.len() > FILES_MAX {
                return Err(LoadError::TooManyFiles { path: root.to_owned() });
            }
        }
    }
    Ok(())
}

#[derive(Default)]
struct Reader {
    documents: Vec<Document>,
    findings: Vec<Finding>,
    texts: Texts,
}

impl Reader {
    fn file(&mut self, file: PathBuf, bytes: Vec<u8>) {
        let text: Arc<str> = match String::from_utf8(bytes) {
            // A byte order mark is no part of the text; not every parser knows.
            Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(&text).into(),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let lossy: Arc<str> = String::from_utf8_lossy(error.as_bytes()).into();
                let place = Place {
                    file: file.clone(),
                    span: valid..(valid + 3).min(lossy.len()),
                    label: "not UTF-8".to_owned(),
                };
                let message = format!("file \"{}\" is not UTF-8", file.display());
                self.findings.push(
                    Finding::error("not_utf8", message).at(place).help("Save the file as UTF-8."),
                );
                self.texts.insert(file, lossy);
                return;
            }
        };
        self.texts.insert(file.clone(), Arc::clone(&text));
        let (parsed, error) = spans::parse(&text);
        if let Some(error) = error {
            self.findings.push(of_spans_error(&file, error));
        }
        let mut deserializers = serde_yaml::Deserializer::from_str(&text).enumerate();
        for Parsed { ordinal, root } in parsed {
            let body = self.body(&file, &text, &root, || {
                deserializers.find(|(index, _)| *index == ordinal).map(|(_, found)| found)
            });
            if let Some(body) = body {
                self.documents.push(Document { file: file.clone(), root, body });
            }
        }
    }

    fn body<'de>(
        &mut self,
        file: &Path,
        text: &str,
        root: &Node,
        deserializer: impl FnOnce() -> Option<serde_yaml::Deserializer<'de>>,
    ) -> Option<Body> {
        let (kind, definition) = self.kind(file, root)?;
        let faults = shape::check(json_schema(), definition, root, file);
        let in_shape = faults.is_empty();
        self.findings.extend(faults);
        if !in_shape {
            return Some(Body::Broken(kind));
        }
        let read = match deserializer() {
            Some(deserializer) => deserialized(kind, deserializer),
            None => Err(None),
        };
        read.map_err(|error| self.findings.push(of_serde_error(file, text, root, error)))
            .or(Ok::<_, ()>(Body::Broken(kind)))
            .ok()
    }

    /// What the document defines, from its first key.
    fn kind(&mut self, file: &Path, root: &Node) -> Option<(&'static str, &'static str)> {
        let at = At::new(file, root);
        let first = match &root.kind {
            NodeKind::Map(entries) => entries.first().map(|(key, _)| key),
            NodeKind::Scalar { .. } | NodeKind::List(_) => None,
        };
        let names = || KINDS.iter().map(|(kind, _)| *kind);
        let Some(first) = first else {
            let finding = Finding::error("unknown_kind", "a document must be a mapping")
                .at(at.place("not a mapping"))
                .help(format!("Begin with one of: {}.", names().collect::<Vec<_>>().join(", ")));
            self.findings.push(finding);
            return None;
        };
        if let Some(kind) = KINDS.iter().find(|(kind, _)| *kind == first.text) {
            return Some(*kind);
        }
        let help = match names().find(|kind| root.get(kind).is_some()) {
            Some(kind) => Some(format!("Put \"{kind}\" first.")),
            None => near::help(&first.text, names(), "The first key is one of"),
        };
        let message = format!("a document can't begin with \"{}\"", first.text);
        let place = Place {
            file: file.to_owned(),
            span: first.span.clone(),
            label: "says what the document defines".to_owned(),
        };
        self.findings.push(Finding::error("unknown_kind", message).at(place).maybe_help(help));
        None
    }

    fn finish(mut self, folder: &Path) -> Read {
        let project = self.project(folder);
        Read { documents: self.documents, findings: self.findings, texts: self.texts, project }
    }

    fn project(&mut self, folder: &Path) -> Option<Project> {
        let is_project = |document: &&Document| {
            matches!(document.body, Body::Project(_) | Body::Broken("project"))
        };
        let mut projects: Vec<&Document> = self.documents.iter().filter(is_project).collect();
        projects.sort_by_key(|document| document.file != Path::new("canon.yaml"));
        let mut projects = projects.into_iter();
        let Some(first) = projects.next() else {
            let finding = Finding::error("missing_project", "no document defines the project")
                .help("Add canon.yaml with \"project\" and \"timezone\".");
            self.findings.push(finding);
            return None;
        };
        for other in projects {
            let finding = Finding::error("duplicate_name", "the project is defined twice")
                .at(other.at().place("again here"))
                .at(first.at().place("defined here"))
                .help("Keep one of them.");
            self.findings.push(finding);
        }
        match &first.body {
            Body::Project(raw) => project::check(raw, first.at(), folder, &mut self.findings),
            _ => None,
        }
    }
}

fn deserialized(
    kind: &'static str,
    deserializer: serde_yaml::Deserializer<'_>,
) -> Result<Body, Option<serde_yaml::Error>> {
    fn typed<T: DeserializeOwned>(
        deserializer: serde_yaml::Deserializer<'_>,
    ) -> Result<T, Option<serde_yaml::Error>> {
        T::deserialize(deserializer).map_err(Some)
    }
    Ok(match kind {
        "project" => Body::Project(typed(deserializer)?),
        "entity" => Body::Entity(Box::new(typed(deserializer)?)),
        "metric" => Body::Metric(Box::new(typed(deserializer)?)),
        "segment" => Body::Segment(Box::new(typed(deserializer)?)),
        "consumer" => Body::Consumer(Box::new(typed(deserializer)?)),
        other => {
            serde_yaml::Value::deserialize(deserializer).map_err(Some)?;
            Body::Other(other)
        }
    })
}

/// What serde alone found; the shape was right already, so this is rare.
fn of_serde_error(
    file: &Path,
    text: &str,
    root: &Node,
    error: Option<serde_yaml::Error>,
) -> Finding {
    let location = error.as_ref().and_then(serde_yaml::Error::location);
    let start = location.map_or(root.head().start, |location| location.index().min(text.len()));
    let start = text.floor_char_boundary(start);
    let length = text[start..].chars().next().map_or(0, char::len_utf8);
    let message = match error {
        Some(error) => format!("could not read the document: {error}"),
        None => "could not read the document".to_owned(),
    };
    let place =
        Place { file: file.to_owned(), span: start..start + length, label: "here".to_owned() };
    Finding::error("yaml_syntax", message).at(place)
}

fn of_spans_error(file: &Path, error: SpansError) -> Finding {
    let (code, message, label, help) = match error.kind {
        SpansErrorKind::Syntax(reason) => (
            "yaml_syntax",
            format!("not valid YAML: {reason}"),
            "here",
            "Check indentation, quotes and tabs around this place.",
        ),
        SpansErrorKind::DuplicateKey(key) => (
            "duplicate_key",
            format!("key \"{key}\" stands twice in one mapping"),
            "again here",
            "Keep one of them.",
        ),
        SpansErrorKind::KeyNotText => (
            "yaml_syntax",
            "a key must be text".to_owned(),
            "not text",
            "Write the key as a plain word; put text with braces in quotes.",
        ),
        SpansErrorKind::Tag => (
            "yaml_tag",
            "a YAML tag has no meaning here".to_owned(),
            "tagged",
            "Leave the tag out; put text that begins with \"!\" in quotes.",
        ),
        SpansErrorKind::TooDeep => (
            "too_large",
            "lists and mappings are nested too deep".to_owned(),
            "too deep",
            "Definitions need no more than seven levels.",
        ),
        SpansErrorKind::TooLarge => (
            "too_large",
            "the file is too large once its aliases are replaced".to_owned(),
            "beyond the limit here",
            "Use fewer aliases, or divide the file.",
        ),
        SpansErrorKind::TooManyDocuments => (
            "too_large",
            format!("a file has more than {} documents", spans::DOCUMENTS_MAX),
            "beyond the limit here",
            "Divide it into several files.",
        ),
    };
    let place = |span, label: &str| Place { file: file.to_owned(), span, label: label.to_owned() };
    let finding = Finding::error(code, message).at(place(error.span, label)).help(help);
    match error.first {
        Some(first) => finding.at(place(first, "first here")),
        None => finding,
    }
}

/// The backend that definitions without one are written for: files beside them.
pub(super) fn default_backend(folder: &Path) -> BackendConfig {
    BackendConfig::Embedded { path: absolute(folder, "") }
}

/// A path of the definitions, which may be relative to their folder.
pub(super) fn absolute(folder: &Path, path: &str) -> PathBuf {
    let joined = folder.join(path);
    std::path::absolute(&joined).unwrap_or(joined)
}
