//! The order of the stages, kept: a stage uses only those above it.
//!
//! Reads the paths in `src/**`, those of `use` declarations and those written in full.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::fixture::root;

/// From the top: each may use those before it.
const STAGES: [&str; 8] = ["model", "sql", "bind", "plan", "backend", "cache", "session", "wire"];

/// Open to every stage. `error` gathers the stages' errors, so it alone of them may name stages.
const SHARED: [&str; 4] = ["functions", "diagnostic", "observe", "error"];

/// What stands above the stages and puts them together.
const TOPS: [&str; 3] = ["cli", "main", "lib"];

/// Loads the demo's tables into a ClickHouse: it writes, which the backend never does, so it shares
/// nothing with the backend but the crate.
const LOADER: &str = "cli/demo/clickhouse.rs";

/// A path in a source file: its first segments.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Used {
    first: String,
    second: Option<String>,
}

#[test]
fn a_stage_uses_only_stages_above_it() {
    let mut faults = Vec::new();
    for (file, module, text) in sources() {
        for used in paths_in(&text) {
            let Some(target) = used.second.as_deref().filter(|_| used.first == "crate") else {
                continue;
            };
            if !may_use(&module, target) {
                faults.push(format!("{}: {module} uses {target}", file.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn one_stage_knows_the_wire_protocol_and_one_the_clickhouse_client() {
    let mut faults = Vec::new();
    for (file, _, text) in sources() {
        let within = |folder: &str| file.starts_with(root().join("src").join(folder));
        for used in paths_in(&text) {
            let place = match used.first.as_str() {
                "pgwire" => "wire",
                "clickhouse" => "backend/clickhouse",
                _ => continue,
            };
            // Beside `mod clickhouse;` the name is that module's.
            let is_module = text.contains(&format!("mod {};", used.first));
            if !within(place) && !is_module && !within(LOADER) {
                faults.push(format!("{}: {} outside {place}", file.display(), used.first));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn may_use(module: &str, target: &str) -> bool {
    let rank = |name: &str| STAGES.iter().position(|stage| *stage == name);
    if module == target || TOPS.contains(&module) || SHARED.contains(&target) {
        return true;
    }
    match (module, rank(module), rank(target)) {
        ("error", _, _) => true,
        // The types of values as Postgres names them are the functions' signatures.
        ("functions", _, _) => target == "sql",
        ("govern", _, _) => target == "model",
        (_, Some(own), Some(other)) => other < own,
        _ => false,
    }
}

/// Each file of `src`, the module at the top of its path, and its text without comments.
fn sources() -> Vec<(PathBuf, String, String)> {
    let src = root().join("src");
    let mut found = Vec::new();
    for entry in walkdir::WalkDir::new(&src).sort_by_file_name() {
        let path = entry.unwrap().into_path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let module = module_of(path.strip_prefix(&src).unwrap());
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, module, without_comments(&text)));
        }
    }
    assert!(found.len() > 10, "src isn't where it was");
    found
}

fn module_of(path: &Path) -> String {
    let first = path.components().next().unwrap();
    Path::new(&first).file_stem().unwrap().to_str().unwrap().to_owned()
}

fn without_comments(text: &str) -> String {
    let kept = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    kept.collect::<Vec<_>>().join("\n")
}

/// The paths of a text: of `use a::{b, c::d}` both `a::b` and `a::c`.
fn paths_in(text: &str) -> BTreeSet<Used> {
    let mut paths = BTreeSet::new();
    for (at, _) in text.match_indices("::") {
        let before = &text[..at];
        let first: String = last_word(before);
        let start = &before[..before.len() - first.len()];
        if first.is_empty() || start.ends_with("::") || in_group(start) {
            continue;
        }
        for second in segments_after(&text[at + 2..]) {
            paths.insert(Used { first: first.clone(), second: Some(second) });
        }
        paths.insert(Used { first, second: None });
    }
    paths
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn last_word(text: &str) -> String {
    let start = text
        .rfind(|letter| !is_word(letter))
        .map_or(0, |at| at + text[at..].chars().next().map_or(0, char::len_utf8));
    text[start..].to_owned()
}

/// Whether a place is inside the braces of a `use` declaration.
fn in_group(before: &str) -> bool {
    let statement = before.rsplit(';').next().unwrap_or_default();
    let Some(declaration) = statement.rfind("use ") else { return false };
    let declaration = &statement[declaration..];
    declaration.contains("::{")
        && declaration.matches('{').count() > declaration.matches('}').count()
}

/// The segments that follow `::`: one word, or those of a group in braces.
fn segments_after(text: &str) -> Vec<String> {
    let leading_word = |part: &str| part.trim().chars().take_while(|c| is_word(*c)).collect();
    let Some(group) = text.strip_prefix('{') else { return vec![leading_word(text)] };
    let mut depth = 0;
    let mut parts = vec![String::new()];
    for letter in group.chars() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => parts.push(String::new()),
            _ => parts.last_mut().unwrap().push(letter),
        }
    }
    parts.iter().map(|part| leading_word(part)).filter(|part: &String| !part.is_empty()).collect()
}

#[test]
fn paths_are_found_in_groups_and_in_full() {
    let text = "use crate::{model::{A, b::C}, wire};\npub(crate) use pgwire::api::X;\n\
                fn f() -> crate::plan::P { clickhouse::Client::x() }\nuse crate::backend::{clickhouse::Y};";
    let found: Vec<String> = paths_in(text)
        .into_iter()
        .filter_map(|used| Some(format!("{}::{}", used.first, used.second?)))
        .collect();
    assert_eq!(
        found,
        [
            "clickhouse::Client",
            "crate::backend",
            "crate::model",
            "crate::plan",
            "crate::wire",
            "pgwire::api"
        ]
    );
}
