//! Definitions: what a sound folder becomes, and what a faulty one says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use canon::diagnostic::{Color, render_human, render_json};
use canon::model::check::{Checked, check};
use canon::model::load::{Read, read};
use canon::model::{MetricKind, Model, Side, SourceColumn};
use canon::sql::types::PgType;
use datafusion::arrow::datatypes::{DataType, Field};

/// The tables that the definitions in `tests/definitions` are about.
const TABLES: &str = "
orders: order_id bigint, order_status text, channel text, ordered_at timestamptz,
  completed_at timestamptz, is_test boolean, gross_amount numeric(18,2),
  discount_amount numeric(18,2), quantity int4, customer_id bigint, placed_by_id bigint,
  fulfilled_by_id bigint, customer_code text, tags text[], _version bigint, _deleted boolean,
  _ingested_at timestamptz
customers: id bigint, country text, email text, signup_date date, score real, region_id int4, closed_date date
regions: region_id int4, name text
employees: employee_id bigint, team text, manager_id bigint
mixed: id bigint, userName text, order_status text, customer_country text, customer_id bigint
";

fn sources() -> BTreeMap<String, Vec<SourceColumn>> {
    let joined = TABLES.replace(",\n", ",");
    joined.trim().lines().map(table).collect()
}

fn table(line: &str) -> (String, Vec<SourceColumn>) {
    let (name, columns) = line.split_once(':').unwrap();
    let mut parts: Vec<String> = Vec::new();
    for part in columns.split(',') {
        match parts.last_mut() {
            Some(last) if last.contains('(') && !last.contains(')') => *last += &format!(",{part}"),
            _ => parts.push(part.trim().to_owned()),
        }
    }
    let columns = parts.iter().map(|part| {
        let (name, native) = part.split_once(' ').unwrap();
        let (name, native) = (name.to_owned(), native.trim().to_owned());
        SourceColumn { name, data_type: data_type(&native), nullable: true, native }
    });
    (name.to_owned(), columns.collect())
}

fn data_type(name: &str) -> DataType {
    if let Some(item) = name.strip_suffix("[]") {
        return DataType::List(Arc::new(Field::new_list_field(data_type(item), true)));
    }
    match name.strip_prefix("numeric(") {
        Some(inside) => {
            let (precision, scale) = inside.trim_end_matches(')').split_once(',').unwrap();
            DataType::Decimal128(precision.parse().unwrap(), scale.parse().unwrap())
        }
        None => PgType::named(name).unwrap().to_arrow(),
    }
}

fn folder(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/definitions").join(below)
}

fn checked(below: &str) -> (Read, Checked) {
    let read = read(&folder(below)).unwrap();
    let checked = check(&read, &sources());
    (read, checked)
}

fn snapshots() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder("snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}

fn valid() -> Arc<Model> {
    let (read, checked) = checked("valid");
    let text = render_human(&checked.findings, read.texts(), Color::Never);
    assert!(checked.findings.is_empty(), "{text}");
    checked.model.unwrap()
}

#[test]
fn a_sound_folder_has_no_findings() {
    let model = valid();
    assert_eq!(model.entities.len(), 4);
    assert_eq!(model.metrics.len(), 14);
    assert_eq!(model.consumers["metabase"].pins["revenue"], 1);
    assert_eq!(model.project.timezone, chrono_tz::Europe::Berlin);
}

#[test]
fn tables_are_known_before_they_are_described() {
    let read = read(&folder("valid")).unwrap();
    assert_eq!(Vec::from_iter(read.tables()), ["customers", "employees", "orders", "regions"]);
    let canon::model::BackendConfig::Embedded { path } = &read.project().unwrap().backend else {
        panic!()
    };
    assert!(path.is_absolute() && path.ends_with("valid/../data"), "{path:?}");
}

#[test]
fn attributes_and_dimensions_of_an_entity() {
    let model = valid();
    let mut out = String::new();
    for entity in model.entities.values() {
        out += &format!("{} ({})\n", entity.name, entity.relation);
        for attribute in &entity.attributes {
            let hidden = if attribute.hidden { " hidden" } else { "" };
            out += &format!(
                "  attribute {}{hidden}: {} = {}\n",
                attribute.name, attribute.data_type, attribute.expr
            );
        }
        for dimension in &entity.dimensions {
            let alias = if dimension.alias_only { " alias" } else { "" };
            out += &format!(
                "  dimension {}{alias}: {} = {}\n",
                dimension.name, dimension.data_type, dimension.expr
            );
        }
    }
    snapshots().bind(|| insta::assert_snapshot!("entities", out));
}

#[test]
fn metrics_resolved() {
    let model = valid();
    let mut out = String::new();
    for metric in model.metrics.values() {
        for version in &metric.versions {
            out += &format!(
                "{}@{} {:?} of {}: {}\n",
                metric.name, version.version, version.status, version.entity, version.data_type
            );
            match &version.kind {
                MetricKind::Aggregate(aggregation) => {
                    out += &format!("  {}\n", shown(aggregation));
                }
                MetricKind::Ratio { numerator, denominator } => {
                    let side = |side: &Side| {
                        let filters = side.filter.iter();
                        let filters =
                            filters.map(|it| format!(" where {}: {}", it.entity, it.expr));
                        format!("{}{}", side.metric, filters.collect::<String>())
                    };
                    out += &format!("  {} over {}\n", side(numerator), side(denominator));
                }
                MetricKind::Snapshot { expr, series } => {
                    out += &format!("  {expr} in {series:?}\n");
                }
                MetricKind::Cumulative { metric, window } => {
                    out += &format!("  {metric} over {window:?}\n");
                }
                MetricKind::Offset { metric, by } => out += &format!("  {metric} by {by:?}\n"),
                MetricKind::Derived { expr, parts } => {
                    let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
                    out += &format!("  {expr} of {}\n", parts.join(", "));
                }
                MetricKind::Journey(journey) => {
                    out += &format!("  {} over rows of {}\n", journey.name(), journey.rows.name);
                }
            }
            for rule in &version.eligibility {
                out += &format!("  where {}\n", rule.expr);
            }
            if let Some(time) = &version.time {
                out +=
                    &format!("  at {} in {} by {:?}\n", time.expr, time.zone.name(), time.grains);
            }
            if let Some(dimensions) = &version.dimensions {
                out += &format!("  by {}\n", dimensions.join(", "));
            }
        }
    }
    snapshots().bind(|| insta::assert_snapshot!("metrics", out));
}

fn shown(aggregation: &canon::model::Aggregation) -> String {
    use canon::model::Aggregation::*;
    match aggregation {
        Count => "count".to_owned(),
        Sum(expr) => format!("sum of {expr}"),
        Avg(expr) => format!("avg of {expr}"),
        Min(expr) => format!("min of {expr}"),
        Max(expr) => format!("max of {expr}"),
        CountDistinct { expr, approximate } => {
            format!("distinct {expr}, approximate {approximate}")
        }
        Quantile { expr, quantile, method } => format!("{quantile} {method:?} of {expr}"),
        WeightedAvg { expr, weight } => format!("avg of {expr} weighted by {weight}"),
    }
}

#[test]
fn the_fingerprint_follows_meaning_and_columns() {
    let read = read(&folder("valid")).unwrap();
    let first = check(&read, &sources()).model.unwrap().fingerprint;
    assert_eq!(first, valid().fingerprint);
    let mut other = sources();
    other.get_mut("orders").unwrap()[1].nullable = false;
    assert_ne!(first, check(&read, &other).model.unwrap().fingerprint);
}

/// One folder for each fault; its snapshot is what a person sees.
#[test]
fn every_fault_says_where_and_what_to_write() {
    let mut folders: Vec<PathBuf> = fs::read_dir(folder("faulty"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    let settings = snapshots();
    for path in folders {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut texts = BTreeMap::new();
        for entry in fs::read_dir(&path).unwrap() {
            let file = entry.unwrap();
            texts.insert(file.file_name().into(), fs::read_to_string(file.path()).unwrap());
        }
        let project = "project: test\ntimezone: Europe/Berlin\n".to_owned();
        texts.entry("canon.yaml".into()).or_insert(project);
        let read = canon::model::load::read_texts(Path::new("/definitions"), texts);
        let checked = check(&read, &sources());
        assert!(!checked.findings.is_empty(), "{name} has no findings");
        let text = render_human(&checked.findings, read.texts(), Color::Never);
        settings.bind(|| insta::assert_snapshot!(name.clone(), text));
        let json = render_json(&checked.findings, read.texts());
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json.as_array().unwrap().len(), checked.findings.len());
        assert_eq!(checked.model.is_none(), checked.has_errors(), "{name}");
    }
}

fn faulty(name: &str) -> (Read, Checked) {
    let text = fs::read_to_string(folder("faulty").join(name).join("a.yaml")).unwrap();
    let project = "project: test\ntimezone: Europe/Berlin\n".to_owned();
    let texts = BTreeMap::from([("canon.yaml".into(), project), ("a.yaml".into(), text)]);
    let read = canon::model::load::read_texts(Path::new("/definitions"), texts);
    let checked = check(&read, &sources());
    (read, checked)
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_change_nothing() {
    let mut texts = BTreeMap::new();
    for name in ["canon.yaml", "entities.yaml", "metrics.yaml"] {
        let text = fs::read_to_string(folder("valid").join(name)).unwrap();
        texts.insert(name.into(), format!("\u{feff}{}", text.replace('\n', "\r\n")));
    }
    let read = canon::model::load::read_texts(Path::new("/definitions"), texts);
    let checked = check(&read, &sources());
    let text = render_human(&checked.findings, read.texts(), Color::Never);
    assert!(checked.findings.is_empty(), "{text}");
}

#[test]
fn programs_get_places_in_lines_and_columns() {
    let (read, checked) = faulty("expression_block_third_line");
    let json = render_json(&checked.findings, read.texts());
    snapshots().bind(|| insta::assert_snapshot!("json", json));
}

#[test]
fn a_fault_in_a_block_points_to_its_line() {
    let (read, checked) = faulty("expression_block_third_line");
    let place = &checked.findings[0].places[0];
    let text = read.texts().get(&place.file).unwrap();
    assert_eq!(&text[place.span.clone()], "chanel");
    assert_eq!(read.texts().position(&place.file, place.span.start).0, 21);
}

#[test]
fn exit_codes() {
    use canon::cli::check::{Format, run};
    let code = |folder: &Path, format| {
        let mut out = Vec::new();
        let code = run(folder, |_| Ok(sources()), format, &mut out).unwrap();
        (code, String::from_utf8(out).unwrap())
    };
    let human = Format::Human(Color::Never);
    let (ok, text) = code(&folder("valid"), human);
    assert_eq!((ok, text.as_str()), (0, "14 metrics, 4 entities, 1 consumer: no errors\n"));
    assert_eq!(code(&folder("valid"), Format::Json), (0, "[]\n".to_owned()));
    let (errors, text) = code(&folder("faulty/project_faults"), human);
    assert_eq!(errors, 1);
    assert!(text.contains("project_faults/canon.yaml:2:11"), "{text}");
    assert!(text.ends_with("3 errors\n"), "{text}");
    let (unreadable, text) = code(Path::new("/no/such/folder"), human);
    assert_eq!(unreadable, 2);
    assert!(text.contains("could not read definitions folder"), "{text}");
    let (unreadable, text) = code(Path::new("/no/such/folder"), Format::Json);
    assert_eq!(unreadable, 2);
    assert!(text.contains("\"code\": \"unreadable\""), "{text}");
    let mut out = Vec::new();
    let describe = |_: &Read| Err("backend is not there".to_owned());
    assert_eq!(run(&folder("valid"), describe, human, &mut out).unwrap(), 2);
}

#[test]
fn the_schema_is_json_and_names_every_kind() {
    let mut out = Vec::new();
    assert_eq!(canon::cli::schema::run(&mut out).unwrap(), 0);
    let schema: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let version = &schema["$defs"]["RawVersion"]["properties"];
    assert_eq!(version["version"]["examples"][0], "1.0.0");
    assert_eq!(version["quantile"]["type"], "number");
    assert_eq!(schema["anyOf"].as_array().unwrap().len(), 6);
}

/// Whatever is cut off or typed by mistake, there are findings and no panic, and every place can be
/// shown.
#[test]
fn broken_text_never_panics() {
    let step = std::env::var("CANON_TEST_STEP").map_or(211, |step| step.parse().unwrap());
    let whole = fs::read_to_string(folder("valid/metrics.yaml")).unwrap();
    let entities = fs::read_to_string(folder("valid/entities.yaml")).unwrap();
    let project = "project: test\ntimezone: UTC\n";
    let mistakes =
        ["'", "\"", "{", "\t", "ü", "\r\n", ": ", "- ", "|\n", "@", "&a ", "*a", "\0", "\u{feff}"];
    for (at, _) in whole.char_indices().step_by(step) {
        let mistake = mistakes[at / step % mistakes.len()];
        let typed = format!("{}{mistake}{}", &whole[..at], &whole[at..]);
        for text in [whole[..at].to_owned(), typed] {
            let texts = BTreeMap::from([
                ("canon.yaml".into(), project.to_owned()),
                ("e.yaml".into(), entities.clone()),
                ("m.yaml".into(), text),
            ]);
            let read = canon::model::load::read_texts(Path::new("/definitions"), texts);
            let checked = check(&read, &sources());
            for finding in &checked.findings {
                for place in &finding.places {
                    let text = read.texts().get(&place.file).unwrap();
                    assert!(text.get(place.span.clone()).is_some(), "{finding:?}");
                }
            }
            render_human(&checked.findings, read.texts(), Color::Never);
            render_json(&checked.findings, read.texts());
        }
    }
}
