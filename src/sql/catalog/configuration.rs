//! `pg_settings`: what the session's settings are, and what Postgres tells of settings of these names.

use std::collections::HashMap;
use std::sync::LazyLock;

use datafusion::error::Result;

use super::definitions::{self, Definition};
use super::rows::Rows;
use super::snapshot::CatalogSession;
use crate::sql::settings;

/// What is the same in every session.
struct Known {
    name: &'static str,
    unit: Option<&'static str>,
    category: &'static str,
    context: &'static str,
    vartype: &'static str,
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
    let size = |suffix: &str| match suffix {
        "kB" => Some(1_024),
        "8kB" => Some(8 * 1_024),
        "MB" => Some(1 << 20),
        "GB" => Some(1 << 30),
        "ms" => Some(1),
        "s" => Some(1_000),
        "min" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    };
    match (size(suffix), size(unit)) {
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
