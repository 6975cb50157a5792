//! Findings in definitions: a value each, with renderers for people and programs.

use std::ops::Range;
use std::path::PathBuf;

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
