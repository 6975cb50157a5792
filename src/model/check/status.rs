//! A version's life: its number, status and dates, and how the versions of a metric go together.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use semver::Version;

use super::at::At;
use super::consumer::Names;
use super::{Context, values};
use crate::diagnostic::Finding;
use crate::model::Status;
use crate::model::raw::{
    RawMetric, RawSegment, RawSegmentVersion, RawSignoff, RawStatus, RawVersion, Text,
};

/// What a version says of its life, whatever it is a version of.
pub(super) struct Written<'a> {
    version: &'a Text,
    status: RawStatus,
    released: Option<&'a Text>,
    sunset: Option<&'a Text>,
    replaced_by: Option<&'a Text>,
    signoffs: &'a [RawSignoff],
    /// Whether an active version must tell the day of its release.
    needs_release: bool,
}

impl<'a> From<&'a RawVersion> for Written<'a> {
    fn from(raw: &'a RawVersion) -> Self {
        Self {
            version: &raw.version,
            status: raw.status,
            released: raw.released.as_ref(),
            sunset: raw.sunset.as_ref(),
            replaced_by: raw.replaced_by.as_ref(),
            signoffs: &raw.signoffs,
            needs_release: true,
        }
    }
}

impl<'a> From<&'a RawSegmentVersion> for Written<'a> {
    fn from(raw: &'a RawSegmentVersion) -> Self {
        Self {
            version: &raw.version,
            status: raw.status,
            released: raw.released.as_ref(),
            sunset: raw.sunset.as_ref(),
            replaced_by: raw.replaced_by.as_ref(),
            signoffs: &raw.signoffs,
            needs_release: false,
        }
    }
}

/// What is said of a version beside its meaning.
#[derive(Debug, Clone)]
pub(super) struct Life {
    pub(super) version: Version,
    pub(super) status: Status,
    pub(super) released: Option<NaiveDate>,
    pub(super) sunset: Option<NaiveDate>,
    pub(super) replaced_by: Option<Version>,
}

impl Status {
    fn of(raw: RawStatus) -> Self {
        match raw {
            RawStatus::Draft => Self::Draft,
            RawStatus::Active => Self::Active,
            RawStatus::Deprecated => Self::Deprecated,
            RawStatus::Retired => Self::Retired,
        }
    }

    /// As written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Active => "active",
            Self::Deprecated => "deprecated",
            Self::Retired => "retired",
        }
    }
}

/// The life of each version, in the file's order; None where its number has a fault.
pub(super) fn check(
    context: &mut Context<'_>,
    raw: &RawMetric,
    at: At<'_>,
    consumers: &Names<'_>,
) -> Vec<Option<Life>> {
    let written: Vec<Written<'_>> = raw.versions.iter().map(Written::from).collect();
    check_written(context, &format!("metric \"{}\"", raw.metric), &written, at, consumers)
}

/// As [`check`], of a segment.
pub(super) fn check_segment(
    context: &mut Context<'_>,
    raw: &RawSegment,
    at: At<'_>,
    consumers: &Names<'_>,
) -> Vec<Option<Life>> {
    let written: Vec<Written<'_>> = raw.versions.iter().map(Written::from).collect();
    check_written(context, &format!("segment \"{}\"", raw.segment), &written, at, consumers)
}

fn check_written(
    context: &mut Context<'_>,
    whose: &str,
    written: &[Written<'_>],
    at: At<'_>,
    consumers: &Names<'_>,
) -> Vec<Option<Life>> {
    let versions = at.key("versions");
    if written.is_empty() {
        let finding = Finding::error("empty_value", format!("{whose} has no versions"))
            .at(versions.place("nothing here"))
            .help("Add one, with status: draft for a beginning.");
        context.push(finding);
    }
    let lives: Vec<Option<Life>> = written
        .iter()
        .enumerate()
        .map(|(index, version)| life(context, version, versions.item(index), consumers))
        .collect();
    distinct(context, &lives, versions);
    ordered(context, &lives, versions);
    one_active(context, &lives, versions);
    successors(context, &lives, versions);
    lives
}

fn life(
    context: &mut Context<'_>,
    raw: &Written<'_>,
    at: At<'_>,
    consumers: &Names<'_>,
) -> Option<Life> {
    let version = values::version(raw.version, at.key("version"), &mut context.findings);
    let mut date =
        |text: Option<&Text>, key: &str| values::date(text?, at.key(key), &mut context.findings);
    let released = date(raw.released, "released");
    let sunset = date(raw.sunset, "sunset");
    let replaced_by = raw
        .replaced_by
        .and_then(|text| values::version(text, at.key("replaced_by"), &mut context.findings));
    let status = Status::of(raw.status);
    let at_status = at.key("status");
    match status {
        Status::Active if raw.needs_release && raw.released.is_none() => {
            let why = format!("version {} is active without a day of release", raw.version);
            context.missing(at_status, "released", why, "Add \"released\", such as 2026-09-01.");
        }
        Status::Deprecated | Status::Retired
            if raw.sunset.is_none() && raw.replaced_by.is_none() =>
        {
            let why = format!(
                "version {} is {} without an end or a successor",
                raw.version,
                status.name()
            );
            let help = "Add \"sunset\" with a date, or \"replaced_by\" with a version.";
            context.missing(at_status, "replaced_by", why, help);
        }
        Status::Draft | Status::Active | Status::Deprecated | Status::Retired => {}
    }
    if let (Some(released), Some(sunset)) = (released, sunset)
        && sunset < released
    {
        let finding = Finding::error("bad_date", "the sunset lies before the release")
            .at(at.key("sunset").place("earlier"))
            .at(at.key("released").place("later"));
        context.push(finding);
    }
    signoffs(context, raw, at, consumers);
    Some(Life { version: version?, status, released, sunset, replaced_by })
}

fn signoffs(context: &mut Context<'_>, raw: &Written<'_>, at: At<'_>, consumers: &Names<'_>) {
    for (index, signoff) in raw.signoffs.iter().enumerate() {
        let at = at.key("signoffs").item(index);
        values::date(&signoff.date, at.key("date"), &mut context.findings);
        if !consumers.has(&signoff.consumer) {
            let message = format!("consumer \"{}\" does not exist", signoff.consumer);
            let (at, known) = (at.key("consumer"), consumers.list());
            let written = &signoff.consumer;
            context.unknown("unknown_consumer", message, at, written, known, "The consumers are");
        }
    }
}

fn distinct(context: &mut Context<'_>, lives: &[Option<Life>], at: At<'_>) {
    let mut first: BTreeMap<&Version, usize> = BTreeMap::new();
    for (index, life) in lives.iter().enumerate() {
        let Some(life) = life else { continue };
        if let Some(other) = first.get(&life.version) {
            let message = format!("version {} is defined twice", life.version);
            let finding = Finding::error("duplicate_version", message)
                .at(at.item(index).key("version").place("again here"))
                .at(at.item(*other).key("version").place("defined here"))
                .help("Give a changed meaning a new number.");
            context.push(finding);
        } else {
            first.insert(&life.version, index);
        }
    }
}

/// Newest first, or oldest first; nothing between.
fn ordered(context: &mut Context<'_>, lives: &[Option<Life>], at: At<'_>) {
    let known: Vec<(usize, &Version)> = lives
        .iter()
        .enumerate()
        .filter_map(|(index, life)| Some((index, &life.as_ref()?.version)))
        .collect();
    let rising = match known.as_slice() {
        [(_, first), .., (_, last)] => first < last,
        _ => return,
    };
    for pair in known.windows(2) {
        let [(_, before), (index, version)] = pair else { continue };
        let misplaced = if rising { version < before } else { version > before };
        if misplaced {
            let message = format!("version {version} stands after {before}, out of order");
            let finding = Finding::error("version_order", message)
                .at(at.item(*index).key("version").place("out of order"))
                .help("List versions newest first.");
            context.push(finding);
            return;
        }
    }
}

fn one_active(context: &mut Context<'_>, lives: &[Option<Life>], at: At<'_>) {
    let mut active: BTreeMap<u64, (usize, &Version)> = BTreeMap::new();
    for (index, life) in lives.iter().enumerate() {
        let Some(life) = life.as_ref().filter(|life| life.status == Status::Active) else {
            continue;
        };
        let major = life.version.major;
        if let Some((other, version)) = active.get(&major)
            && **version != life.version
        {
            let message = format!("versions {version} and {} are both active", life.version);
            let finding = Finding::error("two_active", message)
                .at(at.item(index).key("status").place(format!("{}", life.version)))
                .at(at.item(*other).key("status").place(format!("{version}")))
                .help(format!("Deprecate or retire one: major {major} has one active version."));
            context.push(finding);
        } else {
            active.insert(major, (index, &life.version));
        }
    }
}

fn successors(context: &mut Context<'_>, lives: &[Option<Life>], at: At<'_>) {
    for (index, life) in lives.iter().enumerate() {
        let Some((life, replaced_by)) =
            life.as_ref().and_then(|life| Some((life, life.replaced_by.as_ref()?)))
        else {
            continue;
        };
        let at = at.item(index).key("replaced_by");
        let successor = lives.iter().flatten().find(|other| other.version == *replaced_by);
        let known: Vec<String> = lives
            .iter()
            .flatten()
            .filter(|other| other.version != life.version)
            .map(|other| other.version.to_string())
            .collect();
        let fault = match successor {
            Some(other) if other.version == life.version => Some("a version can't replace itself"),
            Some(other) if other.status == Status::Draft => Some("a draft can't replace a version"),
            Some(_) => None,
            None if lives.iter().any(Option::is_none) => None,
            None => Some("does not exist"),
        };
        let Some(fault) = fault else { continue };
        let message = match successor {
            None => format!("version {replaced_by} does not exist"),
            Some(_) => fault.to_owned(),
        };
        let help = (!known.is_empty()).then(|| format!("The others are: {}.", known.join(", ")));
        let finding = Finding::error("unknown_version", message)
            .at(at.place("not a successor"))
            .maybe_help(help);
        context.push(finding);
    }
}
