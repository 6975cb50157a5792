//! `canon check`: a folder's findings, for people and for continuous integration.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use crate::diagnostic::{self, Color, Finding, Severity, Texts};
use crate::model::SourceColumn;
use crate::model::check::{self, Checked};
use crate::model::load::{self, Read};

/// No errors; there may be warnings.
pub const EXIT_OK: u8 = 0;
/// At least one finding is an error.
pub const EXIT_ERRORS: u8 = 1;
/// The folder can't be read, or the sources can't be described.
pub const EXIT_UNREADABLE: u8 = 2;

/// How findings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Pictures of the places, then a line that counts.
    Human(Color),
    /// An array of objects and nothing else.
    Json,
}

/// Reads and checks a folder, writes what was found, and gives the exit code. `describe` asks the
/// backend for the columns of [`Read::tables`]; what it leaves out doesn't exist.
///
/// # Errors
/// Only those of `out`.
pub fn run(
    folder: &Path,
    describe: impl FnOnce(&Read) -> Result<BTreeMap<String, Vec<SourceColumn>>, String>,
    format: Format,
    out: &mut impl Write,
) -> io::Result<u8> {
    let read = match load::read(folder) {
        Ok(read) => read,
        Err(error) => return unreadable(&error.to_string(), format, out),
    };
    match describe(&read) {
        Ok(sources) => report(&read, &check::check(&read, &sources), format, out),
        Err(error) => {
            let error = format!("could not describe the sources: {error}");
            unreadable(&error, format, out)
        }
    }
}

/// Writes what a check found, and gives the exit code.
///
/// # Errors
/// Those of `out`.
pub fn report(
    read: &Read,
    checked: &Checked,
    format: Format,
    out: &mut impl Write,
) -> io::Result<u8> {
    write(&checked.findings, read.texts(), format, out)?;
    if let Format::Human(_) = format {
        writeln!(out, "{}", summary(checked))?;
    }
    Ok(if checked.has_errors() { EXIT_ERRORS } else { EXIT_OK })
}

fn write(
    findings: &[Finding],
    texts: &Texts,
    format: Format,
    out: &mut impl Write,
) -> io::Result<()> {
    let text = match format {
        Format::Human(color) => diagnostic::render_human(findings, texts, color),
        Format::Json => diagnostic::render_json(findings, texts),
    };
    out.write_all(text.as_bytes())
}

pub(super) fn unreadable(message: &str, format: Format, out: &mut impl Write) -> io::Result<u8> {
    let findings = [Finding::error("unreadable", message)];
    write(&findings, &Texts::default(), format, out)?;
    Ok(EXIT_UNREADABLE)
}

/// One line: what is there, or how much is to mend.
fn summary(checked: &Checked) -> String {
    let count =
        |severity| checked.findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let warned = match warnings {
        0 => String::new(),
        warnings => format!(", {}", counted(warnings, "warning")),
    };
    match &checked.model {
        Some(model) => format!(
            "{}, {}, {}: no errors{warned}",
            counted(model.metrics.len(), "metric"),
            match model.entities.len() {
                1 => "1 entity".to_owned(),
                entities => format!("{entities} entities"),
            },
            counted(model.consumers.len(), "consumer"),
        ),
        None => format!("{}{warned}", counted(errors, "error")),
    }
}

fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    }
}
