//! The settings of a session: which there are, what values they take, what SHOW prints.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use datafusion::common::ScalarValue;

use crate::sql::SqlError;
use crate::sql::catalog::known_settings;
use crate::sql::timezone::TimeZone;
use crate::sql::types::PgType;
use crate::sql::value;

/// The PostgreSQL version that clients are told; drivers choose their catalogue statements by it.
pub const SERVER_VERSION: &str = "15.18";

/// One setting that canon knows.
#[derive(Debug, Clone)]
pub struct Setting {
    /// As Postgres writes it: `TimeZone`. Looked up in any case.
    pub name: &'static str,
    pub default: &'static str,
    pub kind: Kind,
    /// Told to the client by ParameterStatus at log-in and whenever it changes.
    pub reported: bool,
    /// As in the third column of SHOW ALL.
    pub description: &'static str,
}

/// What values a setting takes.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Known from elsewhere; SET refuses.
    Fixed,
    /// Of the server as a whole: who may set it, and when, as `pg_settings.context` has it. Nobody here
    /// may.
    Server(&'static str),
    Bool,
    /// Any of these words; the second list is understood, but not done.
    Word(&'static [&'static str], &'static [&'static str]),
    Integer(i64, i64),
    /// Stored in milliseconds, printed in the largest whole unit, as Postgres does.
    Milliseconds,
    Text,
    /// A text for logs and lists: cut to 63 bytes, other than printable characters as `?`.
    Label,
    TimeZone,
    DateStyle,
    Encoding,
    Isolation,
    SearchPath,
    /// `metric=version, …`
    Pins,
    /// A date or a timestamp with time zone, or nothing.
    AsOf,
    /// Will be a setting; a value other than the default is refused for now.
    Later(&'static str),
}

const ON_OFF: Kind = Kind::Bool;

const fn setting(name: &'static str, default: &'static str, kind: Kind) -> Setting {
    Setting { name, default, kind, reported: false, description: "" }
}

const fn reported(name: &'static str, default: &'static str, kind: Kind) -> Setting {
    Setting { name, default, kind, reported: true, description: "" }
}

const fn described(setting: Setting, description: &'static str) -> Setting {
    Setting { description, ..setting }
}

/// All settings: canon's own, and the others of Postgres, which tools ask for and which change
/// nothing here.
pub static SETTINGS: LazyLock<Vec<Setting>> = LazyLock::new(|| {
    let is_own = |name: &str| OWN.iter().any(|own| own.name.eq_ignore_ascii_case(name));
    let others = known_settings().filter(|known| !is_own(known.name)).map(|known| {
        // Kept for as long as the process runs, as what is written below is.
        setting(known.name, known.default().leak(), kind_of(known.context, known.vartype))
    });
    OWN.iter().cloned().chain(others).collect()
});

/// What values a setting takes that changes nothing.
fn kind_of(context: &'static str, vartype: &str) -> Kind {
    match (context, vartype) {
        ("user", "bool") => Kind::Bool,
        ("user", _) => Kind::Text,
        (context, _) => Kind::Server(context),
    }
}

/// Those that canon obeys, and what drivers and tools set at connection and what changes nothing
/// here (`jit`, `work_mem`).
static OWN: &[Setting] = &[
    reported("application_name", "", Kind::Label),
    setting("array_nulls", "on", ON_OFF),
    setting("backslash_quote", "safe_encoding", Kind::Word(&["safe_encoding"], &["on", "off"])),
    setting("block_size", "8192", Kind::Fixed),
    setting("bytea_output", "hex", Kind::Word(&["hex", "escape"], &[])),
    described(
        setting("canon.as_of", "", Kind::AsOf),
        "The day or moment as of which numbers are answered: what came in later doesn't count.",
    ),
    described(
        setting("canon.fill", "off", ON_OFF),
        "Gives each period of the asked range a row, up to the newest data.",
    ),
    described(
        setting("canon.pins", "", Kind::Pins),
        "Versions of metrics to answer with, such as revenue=1.",
    ),
    described(
        setting("canon.strict", "off", ON_OFF),
        "Refuses SUM around a metric that is not additive.",
    ),
    setting("check_function_bodies", "on", ON_OFF),
    setting("client_connection_check_interval", "0", Kind::Milliseconds),
    reported("client_encoding", "UTF8", Kind::Encoding),
    setting(
        "client_min_messages",
        "notice",
        Kind::Word(
            &[
                "debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning",
                "error",
            ],
            &[],
        ),
    ),
    setting("constraint_exclusion", "partition", Kind::Text),
    setting("cursor_tuple_fraction", "0.1", Kind::Text),
    reported("DateStyle", "ISO, MDY", Kind::DateStyle),
    setting("default_statistics_target", "100", Kind::Integer(1, 10_000)),
    setting("default_table_access_method", "heap", Kind::Text),
    setting("default_tablespace", "", Kind::Text),
    setting("default_text_search_config", "pg_catalog.english", Kind::Text),
    setting("default_toast_compression", "pglz", Kind::Word(&["pglz", "lz4"], &[])),
    setting("default_transaction_deferrable", "off", ON_OFF),
    setting("default_transaction_isolation", "read committed", Kind::Isolation),
    reported("default_transaction_read_only", "on", ON_OFF),
    setting("effective_cache_size", "4GB", Kind::Text),
    setting("effective_io_concurrency", "1", Kind::Integer(0, 1_000)),
    setting("enable_async_append", "on", ON_OFF),
    setting("enable_hashjoin", "on", ON_OFF),
    setting("enable_incremental_sort", "on", ON_OFF),
    setting("enable_indexscan", "on", ON_OFF),
    setting("enable_memoize", "on", ON_OFF),
    setting("enable_mergejoin", "on", ON_OFF),
    setting("enable_nestloop", "on", ON_OFF),
    setting("enable_parallel_append", "on", ON_OFF),
    setting("enable_parallel_hash", "on", ON_OFF),
    setting("enable_partitionwise_aggregate", "off", ON_OFF),
    setting("enable_partitionwise_join", "off", ON_OFF),
    setting("enable_seqscan", "on", ON_OFF),
    setting("enable_tidscan", "on", ON_OFF),
    setting("escape_string_warning", "on", ON_OFF),
    setting("extra_float_digits", "1", Kind::Integer(-15, 3)),
    setting("force_parallel_mode", "off", Kind::Text),
    setting("geqo", "on", ON_OFF),
    setting("gin_fuzzy_search_limit", "0", Kind::Integer(0, 2_147_483_647)),
    setting("hash_mem_multiplier", "2", Kind::Text),
    setting("idle_in_transaction_session_timeout", "0", Kind::Milliseconds),
    setting("idle_session_timeout", "0", Kind::Milliseconds),
    reported("in_hot_standby", "off", Kind::Fixed),
    reported("integer_datetimes", "on", Kind::Fixed),
    reported(
        "IntervalStyle",
        "postgres",
        Kind::Word(&["postgres", "postgres_verbose", "sql_standard", "iso_8601"], &[]),
    ),
    reported("is_superuser", "off", Kind::Fixed),
    setting("jit", "off", ON_OFF),
    setting("jit_above_cost", "100000", Kind::Text),
    setting("join_collapse_limit", "8", Kind::Integer(1, 2_147_483_647)),
    setting("from_collapse_limit", "8", Kind::Integer(1, 2_147_483_647)),
    setting("lc_collate", "C", Kind::Fixed),
    setting("lc_ctype", "C", Kind::Fixed),
    setting("lc_messages", "C", Kind::Text),
    setting("lc_monetary", "C", Kind::Text),
    setting("lc_numeric", "C", Kind::Text),
    setting("lc_time", "C", Kind::Text),
    setting("lo_compat_privileges", "off", ON_OFF),
    setting("lock_timeout", "0", Kind::Milliseconds),
    setting("maintenance_work_mem", "64MB", Kind::Text),
    setting("max_connections", "1000", Kind::Fixed),
    setting("max_identifier_length", "63", Kind::Fixed),
    setting("max_index_keys", "32", Kind::Fixed),
    setting("max_parallel_workers_per_gather", "2", Kind::Integer(0, 1024)),
    setting("max_prepared_transactions", "0", Kind::Fixed),
    setting("min_parallel_table_scan_size", "8MB", Kind::Text),
    setting("parallel_leader_participation", "on", ON_OFF),
    setting("parallel_setup_cost", "1000", Kind::Text),
    setting("parallel_tuple_cost", "0.1", Kind::Text),
    setting("password_encryption", "scram-sha-256", Kind::Fixed),
    setting("plan_cache_mode", "auto", Kind::Text),
    setting("port", "5433", Kind::Fixed),
    setting("quote_all_identifiers", "off", ON_OFF),
    setting("random_page_cost", "4", Kind::Text),
    setting("recursive_worktable_factor", "10", Kind::Text),
    setting("role", "none", Kind::Text),
    setting("row_security", "on", ON_OFF),
    setting("search_path", "\"$user\", public", Kind::SearchPath),
    setting("seq_page_cost", "1", Kind::Text),
    reported("server_encoding", "UTF8", Kind::Fixed),
    reported("server_version", SERVER_VERSION, Kind::Fixed),
    setting("server_version_num", "150018", Kind::Fixed),
    reported("session_authorization", "", Kind::Fixed),
    setting("session_replication_role", "origin", Kind::Word(&["origin"], &["replica", "local"])),
    setting("ssl", "off", Kind::Fixed),
    reported("standard_conforming_strings", "on", Kind::Word(&["on"], &["off"])),
    setting("statement_timeout", "0", Kind::Milliseconds),
    setting("stats_fetch_consistency", "cache", Kind::Word(&["none", "cache", "snapshot"], &[])),
    setting("synchronize_seqscans", "on", ON_OFF),
    setting("synchronous_commit", "on", Kind::Text),
    setting("tcp_keepalives_count", "0", Kind::Integer(0, 2_147_483_647)),
    setting("tcp_keepalives_idle", "0", Kind::Integer(0, 2_147_483_647)),
    setting("tcp_keepalives_interval", "0", Kind::Integer(0, 2_147_483_647)),
    setting("tcp_user_timeout", "0", Kind::Milliseconds),
    setting("temp_buffers", "8MB", Kind::Text),
    reported("TimeZone", "UTC", Kind::TimeZone),
    setting("timezone_abbreviations", "Default", Kind::Text),
    setting("transaction_deferrable", "off", ON_OFF),
    setting("transaction_isolation", "read committed", Kind::Isolation),
    setting("transaction_read_only", "on", Kind::Word(&["on"], &["off"])),
    setting("transaction_timeout", "0", Kind::Milliseconds),
    setting("transform_null_equals", "off", ON_OFF),
    setting("wal_level", "replica", Kind::Fixed),
    setting("work_mem", "4MB", Kind::Text),
    setting("xmlbinary", "base64", Kind::Text),
    setting("xmloption", "content", Kind::Text),
];

/// What a statement's own calls of `set_config` ask for, gathered while it runs.
#[derive(Debug, Clone, Default)]
pub struct SettingChanges(Arc<Mutex<Vec<SettingChange>>>);

/// One call: the value is one that [`check`] gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingChange {
    pub name: String,
    pub value: String,
    /// Only until the end of the transaction.
    pub local: bool,
}

/// Changes of one statement: one for each row that calls `set_config`.
const CHANGES_MAX: usize = 1_000;

impl SettingChanges {
    /// # Errors
    /// 54001 when a statement makes too many.
    pub fn add(&self, change: SettingChange) -> Result<(), SqlError> {
        let mut changes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if changes.len() >= CHANGES_MAX {
            let limit = format!("A statement may change {CHANGES_MAX} settings.");
            return Err(SqlError::TooComplex { limit });
        }
        changes.push(change);
        Ok(())
    }

    pub fn take(&self) -> Vec<SettingChange> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The setting of that name, in any case.
pub fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name.eq_ignore_ascii_case(name))
}

/// The value as SHOW will print it. Names with a dot that nobody knows are custom settings and
/// take any text, as in Postgres; only those under `canon.` must be known.
///
/// `present` is the value that it has now: a part of `DateStyle` changes only that part.
pub fn check(name: &str, value: &str, present: Option<&str>) -> Result<String, SqlError> {
    match find(name) {
        Some(setting) => setting.check(value, present.unwrap_or(setting.default)),
        None if is_custom(name) => Ok(value.to_owned()),
        None => Err(SqlError::UnknownSetting { name: name.to_owned() }),
    }
}

/// Whether it is a well-formed name of a setting that some application made up: `myapp.tenant`.
pub fn is_custom(name: &str) -> bool {
    let mut parts = name.split('.');
    let word = |part: &str| {
        let starts_well = part.starts_with(|c: char| c.is_alphabetic() || c == '_');
        starts_well && part.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$'))
    };
    name.contains('.') && !name.to_lowercase().starts_with("canon.") && parts.all(word)
}

fn refused(message: String, hint: Option<&'static str>) -> SqlError {
    SqlError::Refused { sqlstate: "22023", message, hint, position: None }
}

impl Setting {
    fn check(&self, value: &str, present: &str) -> Result<String, SqlError> {
        match self.kind {
            Kind::Fixed => Err(SqlError::FixedSetting { name: self.name.to_owned() }),
            Kind::Server(context) => Err(self.denied(context)),
            Kind::Bool => self.bool(value),
            Kind::Word(done, known) => self.word(value, done, known),
            Kind::Integer(min, max) => self.integer(value, min, max),
            Kind::Milliseconds => {
                let ms =
                    milliseconds(value).ok_or_else(|| self.invalid(value, Some(UNITS_HINT)))?;
                Ok(duration_text(ms))
            }
            Kind::Text => Ok(value.to_owned()),
            Kind::Label => Ok(label(value)),
            Kind::TimeZone => {
                let zone = TimeZone::parse(value).ok_or_else(|| self.invalid(value, None))?;
                Ok(zone.name().to_owned())
            }
            Kind::DateStyle => self.date_style(value, present),
            Kind::Encoding => self.encoding(value),
            Kind::Isolation => self.isolation(value),
            Kind::SearchPath => Ok(value.to_owned()),
            Kind::Pins => self.pins(value),
            Kind::AsOf => match value.trim() {
                "" => Ok(String::new()),
                moment if as_of(moment, &TimeZone::UTC).is_some() => Ok(moment.to_owned()),
                _ => {
                    let hint = "Write a date or a timestamp with time zone, such as 2026-10-05.";
                    Err(self.invalid(value, Some(hint)))
                }
            },
            Kind::Later(_) if value == self.default => Ok(value.to_owned()),
            Kind::Later(hint) => Err(self.unsupported(value, hint)),
        }
    }

    fn invalid(&self, value: &str, hint: Option<&str>) -> SqlError {
        let hint = hint.map(str::to_owned);
        SqlError::InvalidSetting { name: self.name.to_owned(), value: value.to_owned(), hint }
    }

    /// That a session can't set it, in the words that Postgres has for each of the contexts.
    fn denied(&self, context: &str) -> SqlError {
        let name = self.name;
        let (sqlstate, message) = match context {
            "superuser" | "superuser-backend" => {
                ("42501", format!("permission denied to set parameter \"{name}\""))
            }
            "postmaster" => {
                let when = "cannot be changed without restarting the server";
                ("55P02", format!("parameter \"{name}\" {when}"))
            }
            "backend" => {
                ("55P02", format!("parameter \"{name}\" cannot be set after connection start"))
            }
            "sighup" => ("55P02", format!("parameter \"{name}\" cannot be changed now")),
            _ => ("55P02", format!("parameter \"{name}\" cannot be changed")),
        };
        SqlError::Refused { sqlstate, message, hint: None, position: None }
    }

    fn unsupported(&self, value: &str, hint: &str) -> SqlError {
        let hint = Some(hint.to_owned());
        SqlError::UnsupportedSetting { name: self.name.to_owned(), value: value.to_owned(), hint }
    }

    fn bool(&self, value: &str) -> Result<String, SqlError> {
        match parse_bool(value) {
            Some(true) => Ok("on".to_owned()),
            Some(false) => Ok("off".to_owned()),
            None => {
                let message = format!("parameter \"{}\" requires a Boolean value", self.name);
                Err(refused(message, Some("Write on or off.")))
            }
        }
    }

    fn word(&self, value: &str, done: &[&str], known: &[&str]) -> Result<String, SqlError> {
        let lower = match (parse_bool(value), done.contains(&"on") || known.contains(&"on")) {
            (Some(true), true) => "on".to_owned(),
            (Some(false), true) => "off".to_owned(),
            _ => value.to_lowercase(),
        };
        if done.contains(&lower.as_str()) {
            return Ok(lower);
        }
        let hint = format!("Available values: {}.", done.join(", "));
        match known.contains(&lower.as_str()) {
            true => Err(self.unsupported(value, &hint)),
            false => Err(self.invalid(value, Some(&hint))),
        }
    }

    fn integer(&self, value: &str, min: i64, max: i64) -> Result<String, SqlError> {
        match value.trim().parse::<i64>() {
            Ok(number) if (min..=max).contains(&number) => Ok(number.to_string()),
            Ok(number) => Err(refused(
                format!(
                    "{number} is outside the valid range for parameter \"{}\" ({min} .. {max})",
                    self.name
                ),
                None,
            )),
            Err(_) => Err(self.invalid(value, None)),
        }
    }

    /// `style, order`; what isn't said stays as it is now.
    ///
    /// Source: PostgreSQL `src/backend/commands/variable.c`, `check_datestyle`.
    fn date_style(&self, value: &str, present: &str) -> Result<String, SqlError> {
        let (mut style, mut order) = (None, None);
        for part in value.split(',').map(str::trim) {
            let (place, word) = match part.to_uppercase().as_str() {
                "ISO" => (&mut style, "ISO"),
                "SQL" => (&mut style, "SQL"),
                "GERMAN" => (&mut style, "German"),
                word if word.starts_with("POSTGRES") => (&mut style, "Postgres"),
                "YMD" => (&mut order, "YMD"),
                "DMY" => (&mut order, "DMY"),
                "MDY" | "US" => (&mut order, "MDY"),
                word if word.starts_with("EURO") => (&mut order, "DMY"),
                word if word.starts_with("NONEURO") => (&mut order, "MDY"),
                "DEFAULT" => {
                    style.get_or_insert("ISO");
                    order.get_or_insert("MDY");
                    continue;
                }
                _ => return Err(self.invalid(value, None)),
            };
            if place.replace(word).is_some_and(|before| before != word) {
                return Err(self.invalid(value, None));
            }
        }
        let (present_style, present_order) = present.split_once(", ").unwrap_or(("ISO", "MDY"));
        let german = if style == Some("German") { Some("DMY") } else { None };
        let (style, order) = (style.unwrap_or(present_style), order.or(german));
        Ok(format!("{style}, {}", order.unwrap_or(present_order)))
    }

    fn encoding(&self, value: &str) -> Result<String, SqlError> {
        let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
        match plain.to_uppercase().as_str() {
            "UTF8" | "UNICODE" => Ok("UTF8".to_owned()),
            // What psql sends with an ASCII locale; texts go out as they are, which is its meaning.
            "SQLASCII" => Ok("SQL_ASCII".to_owned()),
            _ => Err(self.unsupported(value, "Use UTF8.")),
        }
    }

    fn isolation(&self, value: &str) -> Result<String, SqlError> {
        let lower = value.to_lowercase();
        let known = ["serializable", "repeatable read", "read committed", "read uncommitted"];
        match known.contains(&lower.as_str()) {
            true => Ok(lower),
            false => {
                Err(self.invalid(value, Some(&format!("Available values: {}.", known.join(", ")))))
            }
        }
    }

    fn pins(&self, value: &str) -> Result<String, SqlError> {
        let mut pins = Vec::new();
        for part in value.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let pin = parse_pin(part).ok_or_else(|| {
                self.invalid(
                    value,
                    Some("Write a major version for each, such as revenue=1, refunds=2."),
                )
            })?;
            if pins.iter().any(|(name, _): &(&str, u64)| *name == pin.0) {
                return Err(self.invalid(value, Some("Name each metric once.")));
            }
            pins.push(pin);
        }
        let texts: Vec<String> =
            pins.iter().map(|(name, major)| format!("{name}={major}")).collect();
        Ok(texts.join(", "))
    }
}

fn label(value: &str) -> String {
    let mut label = String::new();
    for c in value.chars().map(|c| if c.is_control() { '?' } else { c }) {
        if label.len() + c.len_utf8() > 63 {
            break;
        }
        label.push(c);
    }
    label
}

/// The pins of a checked value of `canon.pins`: names and major versions.
pub fn pins(value: &str) -> Vec<(&str, u64)> {
    value.split(',').filter_map(|part| parse_pin(part.trim())).collect()
}

fn parse_pin(part: &str) -> Option<(&str, u64)> {
    let (name, version) = part.split_once('=')?;
    let name = name.trim();
    let starts_well = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let well_formed = starts_well && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    let major = version.trim().parse().ok()?;
    well_formed.then_some((name, major))
}

/// The moment of a checked value of `canon.as_of`, its wall clock taken in this zone; None where
/// the latest numbers are asked for.
pub fn as_of(value: &str, zone: &TimeZone) -> Option<DateTime<Utc>> {
    // Special values, such as now and infinity, would mean something else at each use.
    if !value.trim_start().starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    match value::from_text(&PgType::Timestamptz, Some(value), zone).ok()? {
        ScalarValue::TimestampMicrosecond(Some(micros), _) => {
            DateTime::from_timestamp_micros(micros)
        }
        _ => None,
    }
}

/// A Boolean as Postgres reads it: any unambiguous beginning of true, false, yes, no; on, off, 1, 0.
pub fn parse_bool(value: &str) -> Option<bool> {
    let lower = value.trim().to_lowercase();
    if lower.is_empty() {
        return None;
    }
    let begins = |word: &str| word.starts_with(&lower);
    match lower.as_str() {
        "on" | "1" => Some(true),
        "of" | "off" | "0" => Some(false),
        "o" => None,
        _ if begins("true") || begins("yes") => Some(true),
        _ if begins("false") || begins("no") => Some(false),
        _ => None,
    }
}

const UNITS_HINT: &str =
    "Valid units for this parameter are \"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\".";

const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];

/// A duration setting in milliseconds; a number alone is in milliseconds already.
fn milliseconds(value: &str) -> Option<u64> {
    let value = value.trim();
    let number_ends = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    let (number, unit) = value.split_at(number_ends);
    let number: f64 = number.parse().ok()?;
    let scale = match unit.trim() {
        "" => 1.0,
        "us" => 0.001,
        unit => UNITS.iter().find(|(name, _)| *name == unit).map(|(_, ms)| *ms as f64)?,
    };
    let ms = (number * scale).round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
    (ms <= f64::from(i32::MAX)).then_some(ms as u64)
}

fn duration_text(ms: u64) -> String {
    match UNITS.iter().find(|(_, unit)| ms > 0 && ms.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", ms / unit),
        None => "0".to_owned(),
    }
}

/// The duration of a checked value; None where the setting is off.
pub fn duration(value: &str) -> Option<Duration> {
    milliseconds(value).filter(|ms| *ms > 0).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ClientError;

    #[test]
    fn values_are_printed_as_postgres_prints_them() {
        for (name, value, shown) in [
            ("statement_timeout", "5000", "5s"),
            ("statement_timeout", "1500ms", "1500ms"),
            ("statement_timeout", "2min", "2min"),
            ("statement_timeout", "0", "0"),
            ("datestyle", "iso", "ISO, MDY"),
            ("DATESTYLE", "dmy, ISO", "ISO, DMY"),
            ("client_encoding", "utf-8", "UTF8"),
            ("timezone", "europe/berlin", "Europe/Berlin"),
            ("jit", "FALSE", "off"),
            ("canon.pins", " revenue=1,x=2 ", "revenue=1, x=2"),
            ("default_transaction_isolation", "READ UNCOMMITTED", "read uncommitted"),
            ("myapp.tenant", "7", "7"),
            ("standard_conforming_strings", "true", "on"),
            ("canon.as_of", "", ""),
            ("canon.as_of", " 2026-10-05 ", "2026-10-05"),
            ("canon.as_of", "2026-10-05 10:00:00+02", "2026-10-05 10:00:00+02"),
            ("application_name", "a\nb", "a?b"),
        ] {
            assert_eq!(check(name, value, None).as_deref(), Ok(shown), "{name} = {value}");
        }
    }

    #[test]
    fn bad_values_have_their_codes() {
        for (name, value, code) in [
            ("nonsense", "1", "42704"),
            ("canon.nonsense", "1", "42704"),
            ("9a.b", "1", "42704"),
            ("server_version", "17", "55P02"),
            ("TimeZone", "Mars", "22023"),
            ("DateStyle", "ISO, SQL", "22023"),
            ("DateStyle", "nonsense", "22023"),
            ("client_encoding", "LATIN1", "0A000"),
            ("canon.pins", "revenue", "22023"),
            ("canon.pins", "revenue=a", "22023"),
            ("canon.pins", "a=1,a=2", "22023"),
            ("canon.fill", "zero", "22023"),
            ("canon.as_of", "yesterday", "22023"),
            ("canon.as_of", "2026-02-30", "22023"),
            ("canon.as_of", "infinity", "22023"),
            ("canon.strict", "perhaps", "22023"),
            ("extra_float_digits", "4", "22023"),
            ("statement_timeout", "-1", "22023"),
            ("statement_timeout", "1 fortnight", "22023"),
            ("standard_conforming_strings", "off", "0A000"),
        ] {
            let code_given = check(name, value, None).map_err(|error| error.sqlstate());
            assert_eq!(code_given, Err(code), "{name} = {value}");
        }
    }

    #[test]
    fn every_default_is_a_valid_value() {
        let is_settable = |kind| !matches!(kind, Kind::Fixed | Kind::Server(_));
        for setting in SETTINGS.iter().filter(|setting| is_settable(setting.kind)) {
            assert_eq!(
                setting.check(setting.default, setting.default).as_deref(),
                Ok(setting.default),
                "{}",
                setting.name
            );
        }
    }

    #[test]
    fn durations_are_read_back() {
        assert_eq!(duration("5s"), Some(Duration::from_secs(5)));
        assert_eq!(duration("0"), None);
    }
}
