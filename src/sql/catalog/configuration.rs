//! `pg_settings`: what the session's settings are, and what Postgres tells of settings of these names.

use std::collections::HashMap;
use std::sync::LazyLock;

use datafusion::error::Result;

use super::definitions::{self, Definition};
use super::rows::Rows;
use super::snapshot::CatalogSession;
use crate::sql::settings;

/// What is the same in every session.
pub(crate) struct Known {
    pub(crate) name: &'static str,
    unit: Option<&'static str>,
    category: &'static str,
    /// Who may set it, and when: `user`, `postmaster`, …
    pub(crate) context: &'static str,
    /// `bool`, `integer`, …
    pub(crate) vartype: &'static str,
    least: Option<&'static str>,
    greatest: Option<&'static str>,
    words: Option<Vec<String>>,
    boot: Option<&'static str>,
}

/// By the name in lower case. A setting of canon's own isn't among them.
static KNOWN: LazyLock<HashMap<String, Known>> = LazyLock::new(|| {
    let rows = definitions::rows("pg_settings").into_iter();
    rows.filter_map(known).map(|known| (known.name.to_lowercase(), known)).collect()
});

/// The settings that Postgres has, as far as its list shows them to everybody.
pub(crate) fn known_settings() -> impl Iterator<Item = &'static Known> {
    KNOWN.values()
}

impl Known {
    /// What it is unless somebody sets it, as SHOW prints it.
    pub(crate) fn default(&self) -> String {
        let boot = self.boot.unwrap_or_default();
        match (boot.parse(), self.unit) {
            (Ok(number), Some(unit)) => in_large_units(number, unit),
            _ => boot.to_owned(),
        }
    }
}

/// A number of units in the largest that counts it in whole: 4096 of `kB` are `4MB`. What is none,
/// or not a limit, has no unit.
fn in_large_units(number: i64, unit: &str) -> String {
    const UNITS: [&str; 9] = ["TB", "GB", "MB", "kB", "d", "h", "min", "s", "ms"];
    let Some(each) = size_of(unit).filter(|_| number > 0) else { return number.to_string() };
    let total = number.saturating_mul(each);
    let measures = |larger: &str| is_of_time(larger) == is_of_time(unit);
    let counts = |larger: &&&str| size_of(larger).is_some_and(|size| total % size == 0);
    match UNITS.iter().filter(|larger| measures(larger)).find(counts) {
        Some(larger) => format!("{}{larger}", total / size_of(larger).unwrap_or(1)),
        None => number.to_string(),
    }
}

fn is_of_time(unit: &str) -> bool {
    !unit.ends_with('B')
}

/// Bytes or milliseconds of a unit.
fn size_of(unit: &str) -> Option<i64> {
    Some(match unit {
        "B" | "ms" => 1,
        "kB" => 1 << 10,
        "8kB" => 8 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        "TB" => 1 << 40,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    })
}

fn known(row: Vec<Option<&'static str>>) -> Option<Known> {
    let cell = |at: usize| row.get(at).copied().flatten();
    let words = cell(7).map(|words| words.split(',').map(str::to_owned).collect());
    Some(Known {
        name: cell(0)?,
        unit: cell(1),
        category: cell(2)?,
        context: cell(3)?,
        vartype: cell(4)?,
        least: cell(5),
        greatest: cell(6),
        words,
        boot: cell(8),
    })
}

/// A setting of a session.
struct Shown<'s> {
    name: &'s str,
    known: Option<&'static Known>,
    /// In its unit.
    value: String,
    default: String,
}

impl<'s> Shown<'s> {
    fn of(name: &'s str, value: &str) -> Self {
        let known = KNOWN.get(&name.to_lowercase());
        let unit = known.and_then(|known| known.unit);
        let default = settings::find(name).map_or(value, |setting| setting.default);
        Self {
            name: known.map_or(name, |known| known.name),
            known,
            value: in_units(value, unit),
            default: in_units(default, unit),
        }
    }

    fn told<T>(&self, what: impl Fn(&'static Known) -> T, own: T) -> T {
        self.known.map_or(own, what)
    }
}

/// A value as a number of units: `4MB` is 4096 of `kB`. As it is where it isn't written so.
fn in_units(value: &str, unit: Option<&str>) -> String {
    let digits = value.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let (suffix, number) = (&value[digits.len()..], digits.trim().parse::<i64>());
    let (Some(unit), Ok(number)) = (unit, number) else { return value.to_owned() };
    match (size_of(suffix), size_of(unit)) {
        (Some(of_value), Some(of_unit)) => (number.saturating_mul(of_value) / of_unit).to_string(),
        _ => value.to_owned(),
    }
}

pub(super) fn rows(definition: &'static Definition, session: &CatalogSession) -> Result<Rows> {
    let all = session.all_settings();
    let all: Vec<Shown> = all.into_iter().map(|(name, value)| Shown::of(name, value)).collect();
    let each = || all.iter();
    let source = |one: &Shown| if one.value == one.default { "default" } else { "session" };
    let mut rows = Rows::new(definition, all.len());
    rows.texts("name", each().map(|one| Some(one.name)))?
        .texts("setting", each().map(|one| Some(&one.value)))?
        .texts("unit", each().map(|one| one.told(|known| known.unit, None)))?
        .texts(
            "category",
            each().map(|one| Some(one.told(|it| it.category, "Customized Options"))),
        )?
        .all("short_desc", "")?
        .texts("context", each().map(|one| Some(one.told(|known| known.context, "user"))))?
        .texts("vartype", each().map(|one| Some(one.told(|known| known.vartype, "string"))))?
        .texts("source", each().map(|one| Some(source(one))))?
        .texts("min_val", each().map(|one| one.told(|known| known.least, None)))?
        .texts("max_val", each().map(|one| one.told(|known| known.greatest, None)))?
        .text_lists("enumvals", each().map(|one| one.known.and_then(|it| it.words.clone())))?
        .texts(
            "boot_val",
            each().map(|one| Some(one.known.and_then(|known| known.boot).unwrap_or(&one.default))),
        )?
        .texts("reset_val", each().map(|one| Some(&one.default)))?
        .all("pending_restart", false)?;
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_shown_in_large_units() {
        for (number, unit, expected) in [
            (16_384, "8kB", "128MB"),
            (65_536, "kB", "64MB"),
            (300, "s", "5min"),
            (1_500, "ms", "1500ms"),
            (0, "ms", "0"),
            (-1, "kB", "-1"),
            (16_777_216, "B", "16MB"),
        ] {
            assert_eq!(in_large_units(number, unit), expected);
        }
    }

    #[test]
    fn values_are_counted_in_units() {
        for (value, unit, expected) in [
            ("4MB", Some("kB"), "4096"),
            ("4GB", Some("8kB"), "524288"),
            ("30s", Some("ms"), "30000"),
            ("0", Some("ms"), "0"),
            ("on", None, "on"),
            ("1h", None, "1h"),
        ] {
            assert_eq!(in_units(value, unit), expected, "{value}");
        }
    }
}
