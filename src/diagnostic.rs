//! Findings in definitions: a value each, with renderers for people and programs.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use serde_json::{Value, json};

/// Something to mend in a definitions folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Stable and searchable, without prefix: `unknown_dimension`.
    pub code: &'static str,
    pub severity: Severity,
    /// One short fact, in the voice of the Postgres manual.
    pub message: String,
    /// Where; the first is the culprit, further ones what it collides with.
    pub places: Vec<Place>,
    /// What to write instead.
    pub help: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A span in a file of the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Relative to the definitions folder.
    pub file: PathBuf,
    /// In bytes.
    pub span: Range<usize>,
    /// What stands there, said in a few words.
    pub label: String,
}

impl Finding {
    /// A finding without place or help.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, severity: Severity::Error, message, places: Vec::new(), help: None }
    }

    /// As [`Self::error`], of what may stay as it is.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Adds a place.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.places.push(place);
        self
    }

    /// Says what to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// As [`Self::help`], where there is something to say.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }
}

/// Sorts by file, place and code, so that the same folder gives the same text whatever the order of
/// checking, and leaves out what was found twice.
pub fn sort(findings: &mut Vec<Finding>) {
    findings.sort_by(|a, b| key_of(a).cmp(&key_of(b)));
    findings.dedup();
}

type SortKey<'a> = (Option<(&'a Path, usize)>, &'a str, &'a str, Vec<usize>);

fn key_of(finding: &Finding) -> SortKey<'_> {
    let first = finding.places.first().map(|place| (place.file.as_path(), place.span.start));
    let starts = finding.places.iter().map(|place| place.span.start).collect();
    (first, finding.code, &finding.message, starts)
}

/// The texts that the places of findings point into.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    /// By path relative to the definitions folder.
    texts: BTreeMap<PathBuf, Arc<str>>,
    /// What is put before a file's path when it is shown.
    prefix: PathBuf,
}

impl Texts {
    /// Texts whose files are shown below `prefix`, such as `metrics`.
    pub fn new(prefix: impl Into<PathBuf>) -> Self {
        Self { texts: BTreeMap::new(), prefix: prefix.into() }
    }

    pub fn insert(&mut self, file: PathBuf, text: Arc<str>) {
        self.texts.insert(file, text);
    }

    /// The text of a file of the folder.
    pub fn get(&self, file: &Path) -> Option<&Arc<str>> {
        self.texts.get(file)
    }

    /// All files and their texts, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &Arc<str>)> {
        self.texts.iter().map(|(file, text)| (file.as_path(), text))
    }

    /// As shown to people, with `/` on every system.
    fn shown(&self, file: &Path) -> String {
        self.prefix.join(file).to_string_lossy().replace('\\', "/")
    }

    /// Line and column of a byte, both from 1, the column in characters.
    pub fn position(&self, file: &Path, byte: usize) -> (usize, usize) {
        let text = self.get(file).map_or("", |text| text.as_ref());
        let before = &text[..text.floor_char_boundary(byte.min(text.len()))];
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let line = before.matches('\n').count() + 1;
        (line, before[line_start..].chars().count() + 1)
    }
}

/// Whether the terminal's colours may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    Never,
    Always,
}

/// Findings as pictures of the places they stand at, for people.
pub fn render_human(findings: &[Finding], texts: &Texts, color: Color) -> String {
    let theme = match color {
        Color::Never => GraphicalTheme::unicode_nocolor(),
        Color::Always => GraphicalTheme::unicode(),
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_links(false)
        .with_width(WIDTH)
        .with_context_lines(1);
    let mut out = String::new();
    for finding in findings {
        let report = Report::of(finding, texts);
        if handler.render_report(&mut out, &report).is_err() {
            // Only a span outside of its text leads here; the fact itself must not be lost.
            out.push_str(&format!("canon::{}\n\n  × {}\n", finding.code, finding.message));
        }
        out.push('\n');
    }
    out
}

/// Columns of the picture: a terminal of usual width, and a code review's.
const WIDTH: usize = 100;

/// Findings as an array of objects, for programs.
pub fn render_json(findings: &[Finding], texts: &Texts) -> String {
    let list: Vec<Value> = findings.iter().map(|finding| to_json(finding, texts)).collect();
    format!("{:#}\n", Value::Array(list))
}

fn to_json(finding: &Finding, texts: &Texts) -> Value {
    let place = |place: &Place| {
        let (line, column) = texts.position(&place.file, place.span.start);
        let (end_line, end_column) = texts.position(&place.file, place.span.end);
        json!({
            "file": texts.shown(&place.file), "line": line, "column": column,
            "end_line": end_line, "end_column": end_column, "label": place.label,
        })
    };
    json!({
        "code": finding.code,
        "severity": finding.severity.name(),
        "message": finding.message,
        "help": finding.help,
        "places": finding.places.iter().map(place).collect::<Vec<_>>(),
    })
}

/// A finding as miette sees it: one picture for the culprit's file, and a related one for each other
/// file.
#[derive(Debug)]
struct Report {
    code: Option<&'static str>,
    severity: miette::Severity,
    message: String,
    help: Option<String>,
    source: Option<NamedSource<Arc<str>>>,
    labels: Vec<LabeledSpan>,
    related: Vec<Report>,
}

impl Report {
    fn of(finding: &Finding, texts: &Texts) -> Self {
        let mut report = Self {
            code: Some(finding.code),
            severity: match finding.severity {
                Severity::Error => miette::Severity::Error,
                Severity::Warning => miette::Severity::Warning,
            },
            message: finding.message.clone(),
            help: finding.help.clone(),
            source: None,
            labels: Vec::new(),
            related: Vec::new(),
        };
        let Some(first) = finding.places.first() else { return report };
        report.source = source_of(first, texts);
        for place in &finding.places {
            if place.file == first.file {
                report.labels.push(label_of(place, texts, std::ptr::eq(place, first)));
            } else {
                report.related.push(Self::elsewhere(place, texts));
            }
        }
        report
    }

    fn elsewhere(place: &Place, texts: &Texts) -> Self {
        Self {
            code: None,
            severity: miette::Severity::Advice,
            message: format!("{} in {}", place.label, texts.shown(&place.file)),
            help: None,
            source: source_of(place, texts),
            labels: vec![label_of(place, texts, true)],
            related: Vec::new(),
        }
    }
}

fn source_of(place: &Place, texts: &Texts) -> Option<NamedSource<Arc<str>>> {
    let text = texts.get(&place.file)?;
    Some(NamedSource::new(texts.shown(&place.file), Arc::clone(text)))
}

fn label_of(place: &Place, texts: &Texts, primary: bool) -> LabeledSpan {
    let length = texts.get(&place.file).map_or(0, |text| text.len());
    let start = place.span.start.min(length);
    let span = start..place.span.end.clamp(start, length);
    match primary {
        true => LabeledSpan::new_primary_with_span(Some(place.label.clone()), span),
        false => LabeledSpan::new_with_span(Some(place.label.clone()), span),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Report {}

impl miette::Diagnostic for Report {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.code.map(|code| Box::new(format!("canon::{code}")) as Box<dyn fmt::Display>)
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        match self.labels.is_empty() {
            true => None,
            false => Some(Box::new(self.labels.iter().cloned())),
        }
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        match self.related.is_empty() {
            true => None,
            false => {
                Some(Box::new(self.related.iter().map(|report| report as &dyn miette::Diagnostic)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts() -> Texts {
        let mut texts = Texts::new("metrics");
        texts.insert("a.yaml".into(), "ä: x\nb: y\n".into());
        texts.insert("c.yaml".into(), "c: z\n".into());
        texts
    }

    fn place(file: &str, span: Range<usize>, label: &str) -> Place {
        Place { file: file.into(), span, label: label.to_owned() }
    }

    #[test]
    fn columns_count_characters() {
        assert_eq!(texts().position(Path::new("a.yaml"), 4), (1, 4));
        assert_eq!(texts().position(Path::new("a.yaml"), 9), (2, 4));
    }

    #[test]
    fn both_files_are_shown() {
        let finding = Finding::error("duplicate_name", "entity \"x\" is defined twice")
            .at(place("a.yaml", 9..10, "again"))
            .at(place("c.yaml", 3..4, "first"))
            .help("Rename one.");
        let text = render_human(std::slice::from_ref(&finding), &texts(), Color::Never);
        assert!(text.contains("canon::duplicate_name"), "{text}");
        assert!(text.contains("metrics/a.yaml:2:4"), "{text}");
        assert!(text.contains("metrics/c.yaml:1:4"), "{text}");
        assert!(text.contains("help: Rename one."), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        let json: Value = serde_json::from_str(&render_json(&[finding], &texts())).unwrap();
        assert_eq!(json[0]["places"][0]["line"], 2);
        assert_eq!(json[0]["places"][0]["end_column"], 5);
    }

    #[test]
    fn sorted_by_place_then_code() {
        let mut findings = vec![
            Finding::error("b", "m").at(place("c.yaml", 0..1, "")),
            Finding::error("b", "m").at(place("a.yaml", 5..6, "")),
            Finding::error("a", "m").at(place("a.yaml", 5..6, "")),
            Finding::error("z", "m"),
            Finding::error("z", "m"),
        ];
        sort(&mut findings);
        let codes: Vec<_> = findings.iter().map(|finding| finding.code).collect();
        assert_eq!(codes, ["z", "a", "b", "b"]);
    }
}
