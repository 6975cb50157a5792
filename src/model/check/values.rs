//! Small values of the format: names, zones, versions, dates, durations.

use std::time::Duration;

use chrono::NaiveDate;
use chrono_tz::{TZ_VARIANTS, Tz};
use semver::Version;

use super::at::At;
use crate::diagnostic::Finding;
use crate::model::near;
use crate::model::raw::RawOwner;
use crate::model::{MetricRef, Owner};

/// The longest name that Postgres clients can hold.
const NAME_BYTES_MAX: usize = 63;

/// A name that needs no quotes in SQL.
pub(crate) fn name(
    text: &str,
    at: At<'_>,
    kind: &str,
    findings: &mut Vec<Finding>,
) -> Option<String> {
    let starts = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let plain = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if starts && plain && text.len() <= NAME_BYTES_MAX {
        return Some(text.to_owned());
    }
    let message = format!("\"{text}\" can't be the name of {} {kind}", article(kind));
    let help = match text.len() > NAME_BYTES_MAX {
        true => format!("Names have at most {NAME_BYTES_MAX} bytes."),
        false => format!(
            "Use lower-case letters, digits and underscores, such as \"{}\".",
            plain_name(text)
        ),
    };
    let place = at.place(match text.len() > NAME_BYTES_MAX {
        true => "too long",
        false => "needs quotes in SQL",
    });
    findings.push(Finding::error("bad_name", message).at(place).help(help));
    None
}

fn plain_name(text: &str) -> String {
    let mut plain = String::new();
    let mut after_lower = false;
    for c in text.chars() {
        if c.is_ascii_uppercase() && after_lower {
            plain.push('_');
        }
        after_lower = c.is_ascii_lowercase();
        match c.is_ascii_alphanumeric() {
            true => plain.push(c.to_ascii_lowercase()),
            false if plain.ends_with('_') => {}
            false => plain.push('_'),
        }
    }
    let plain = plain.trim_matches('_');
    match plain.starts_with(|c: char| c.is_ascii_digit()) {
        true => format!("n{plain}"),
        false if plain.is_empty() => "name".to_owned(),
        false => plain.to_owned(),
    }
}

/// `a` or `an`.
pub(crate) fn article(noun: &str) -> &'static str {
    match noun.starts_with(['a', 'e', 'i', 'o', 'u']) {
        true => "an",
        false => "a",
    }
}

/// A time zone of the IANA database.
pub(crate) fn zone(text: &str, at: At<'_>, findings: &mut Vec<Finding>) -> Option<Tz> {
    if let Ok(zone) = text.parse() {
        return Some(zone);
    }
    let help = match near::nearest(text, TZ_VARIANTS.iter().map(|zone| zone.name())) {
        Some(name) => format!("Did you mean \"{name}\"?"),
        None => "Write a zone of the IANA database, such as \"Europe/Berlin\".".to_owned(),
    };
    let message = format!("time zone \"{text}\" is not known");
    findings
        .push(Finding::error("unknown_timezone", message).at(at.place("no such zone")).help(help));
    None
}

/// A semantic version.
pub(crate) fn version(text: &str, at: At<'_>, findings: &mut Vec<Finding>) -> Option<Version> {
    match Version::parse(text) {
        Ok(version) if version.pre.is_empty() && version.build.is_empty() => Some(version),
        _ => {
            let numbers: Vec<u64> = text
                .trim_start_matches('v')
                .split('.')
                .filter_map(|part| part.parse().ok())
                .collect();
            let part = |index: usize| numbers.get(index).copied().unwrap_or(0);
            let help = match numbers.is_empty() {
                true => "Write three numbers, such as 1.0.0.".to_owned(),
                false => format!("Write three numbers: {}.{}.{}.", part(0), part(1), part(2)),
            };
            let message = format!("\"{text}\" is not a version");
            let place = at.place("not major.minor.patch");
            findings.push(Finding::error("bad_version", message).at(place).help(help));
            None
        }
    }
}

/// A calendar date.
pub(crate) fn date(text: &str, at: At<'_>, findings: &mut Vec<Finding>) -> Option<NaiveDate> {
    match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        Ok(date) if text.len() == 10 => Some(date),
        _ => {
            let message = format!("\"{text}\" is not a date");
            let finding = Finding::error("bad_date", message)
                .at(at.place("not a day of the calendar"))
                .help("Write year-month-day, such as 2026-09-01.");
            findings.push(finding);
            None
        }
    }
}

/// A length of time, such as `5 minutes`.
pub(crate) fn duration(text: &str, at: At<'_>, findings: &mut Vec<Finding>) -> Option<Duration> {
    let parsed = parse_duration(text);
    if parsed.is_none() {
        let message = format!("\"{text}\" is not a length of time");
        let finding =
            Finding::error("bad_duration", message).at(at.place("not a number and a unit")).help(
                "Write a number and seconds, minutes, hours, days or weeks, such as \"5 minutes\".",
            );
        findings.push(finding);
    }
    parsed
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.trim().split_once(char::is_whitespace)?;
    let number: u64 = number.replace('_', "").parse().ok()?;
    let unit = unit.trim();
    let seconds = match unit.strip_suffix('s').unwrap_or(unit) {
        "second" => 1,
        "minute" => 60,
        "hour" => 3_600,
        "day" => 86_400,
        "week" => 7 * 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// A metric pinned to a major version: `revenue@1`.
pub(crate) fn metric_ref(text: &str, at: At<'_>, findings: &mut Vec<Finding>) -> Option<MetricRef> {
    let parsed = text.split_once('@').and_then(|(metric, major)| {
        let major = major.parse().ok()?;
        (!metric.is_empty()).then(|| MetricRef { metric: metric.to_owned(), major })
    });
    if parsed.is_none() {
        let bare = text.split('@').next().unwrap_or(text);
        let finding =
            Finding::error("unpinned_metric", format!("\"{text}\" names no major version"))
                .at(at.place("not pinned"))
                .help(format!("Write \"{bare}@1\": what a metric is built on is pinned."));
        findings.push(finding);
    }
    parsed
}

pub(crate) fn owner(raw: &RawOwner) -> Owner {
    Owner { team: raw.team.to_string(), contact: raw.contact.as_ref().map(|text| text.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse_duration("5 minutes"), Some(Duration::from_secs(300)));
        assert_eq!(parse_duration("28 days"), Some(Duration::from_secs(28 * 86_400)));
        assert_eq!(parse_duration("1 hour"), Some(Duration::from_secs(3_600)));
        assert_eq!(parse_duration("5m"), None);
        assert_eq!(parse_duration("soon"), None);
        assert_eq!(parse_duration(&format!("{} weeks", u64::MAX)), None);
    }

    #[test]
    fn plain_names() {
        assert_eq!(plain_name("grossAmount"), "gross_amount");
        assert_eq!(plain_name("Gross amount (EUR)"), "gross_amount_eur");
        assert_eq!(plain_name("2nd"), "n2nd");
    }
}
