//! The settings of one session, and how they follow its transactions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::sql::settings::{self, SETTINGS};
use crate::sql::{SqlError, timezone::TimeZone};

/// Values by lower-case name, as SHOW prints them.
pub(super) type Values = Arc<BTreeMap<String, String>>;

/// Custom settings that one session may make up.
const CUSTOM_SETTINGS_MAX: usize = 200;
/// Bytes of one value.
const VALUE_BYTES_MAX: usize = 64 << 10;

/// Three layers, all the same map between transactions: what counts now, what will count after
/// COMMIT (without SET LOCAL), and what the session was opened with.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    now: Values,
    after_commit: Values,
    at_login: Values,
}

/// A state to come back to: at the beginning of a transaction, or at a savepoint.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    now: Values,
    after_commit: Values,
}

impl SessionSettings {
    /// The defaults, with what the start-up packet asked for.
    ///
    /// # Errors
    /// As [`settings::check`], for the first that is wrong.
    pub fn at_login(role: &str, startup: &[(String, String)]) -> Result<Self, SqlError> {
        let mut values: BTreeMap<String, String> = SETTINGS
            .iter()
            .map(|setting| (setting.name.to_lowercase(), setting.default.to_owned()))
            .collect();
        values.insert("session_authorization".to_owned(), role.to_owned());
        for (name, value) in startup {
            values.insert(name.to_lowercase(), settings::check(name, value, None)?);
        }
        copy_default_modes(&mut values);
        let values = Arc::new(values);
        Ok(Self { now: values.clone(), after_commit: values.clone(), at_login: values })
    }

    pub fn values(&self) -> &Values {
        &self.now
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.now.get(&name.to_lowercase()).map(String::as_str)
    }

    /// None where statements may take as long as they like.
    pub fn statement_timeout(&self) -> Option<Duration> {
        self.duration("statement_timeout")
    }

    pub fn duration(&self, name: &str) -> Option<Duration> {
        self.get(name).and_then(settings::duration)
    }

    pub fn time_zone(&self) -> TimeZone {
        self.get("timezone").and_then(TimeZone::parse).unwrap_or(TimeZone::UTC)
    }

    /// Sets for the session (`local`: for the transaction) a value or, with None, the one at log-in.
    ///
    /// # Errors
    /// As [`settings::check`], and when there are too many custom settings.
    pub fn set(&mut self, name: &str, value: Option<&str>, local: bool) -> Result<(), SqlError> {
        let key = name.to_lowercase();
        let value = match value {
            Some(value) if value.len() > VALUE_BYTES_MAX => return Err(too_long(name)),
            Some(value) => {
                Some(settings::check(name, value, self.now.get(&key).map(String::as_str))?)
            }
            None => self.reset_value(&key, name)?,
        };
        let customs = self.now.len().saturating_sub(SETTINGS.len());
        if customs >= CUSTOM_SETTINGS_MAX && !self.now.contains_key(&key) {
            return Err(SqlError::TooComplex {
                limit: format!("A session may have {CUSTOM_SETTINGS_MAX} settings of its own."),
            });
        }
        put(&mut self.now, &key, value.clone());
        if !local {
            put(&mut self.after_commit, &key, value);
        }
        Ok(())
    }

    fn reset_value(&self, key: &str, name: &str) -> Result<Option<String>, SqlError> {
        match self.at_login.get(key) {
            Some(value) => Ok(Some(value.clone())),
            None if settings::is_custom(name) => Ok(None),
            None => Err(SqlError::UnknownSetting { name: name.to_owned() }),
        }
    }

    pub fn reset_all(&mut self) {
        self.now = self.at_login.clone();
        self.after_commit = self.at_login.clone();
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { now: self.now.clone(), after_commit: self.after_commit.clone() }
    }

    pub(super) fn go_back_to(&mut self, mark: &Mark) {
        self.now = mark.now.clone();
        self.after_commit = mark.after_commit.clone();
    }

    /// The end of a transaction: SET LOCAL ends, and the next one has the default modes.
    pub(super) fn end_transaction(&mut self) {
        let is_default = |mode: &str| {
            self.after_commit.get(&format!("transaction_{mode}"))
                == self.after_commit.get(&format!("default_transaction_{mode}"))
        };
        if !["isolation", "deferrable"].into_iter().all(is_default) {
            copy_default_modes(Arc::make_mut(&mut self.after_commit));
        }
        self.now = self.after_commit.clone();
    }
}

fn copy_default_modes(values: &mut BTreeMap<String, String>) {
    for mode in ["isolation", "deferrable"] {
        if let Some(value) = values.get(&format!("default_transaction_{mode}")).cloned() {
            values.insert(format!("transaction_{mode}"), value);
        }
    }
}

fn put(values: &mut Values, key: &str, value: Option<String>) {
    if values.get(key) == value.as_ref() {
        return;
    }
    let values = Arc::make_mut(values);
    match value {
        Some(value) => values.insert(key.to_owned(), value),
        None => values.remove(key),
    };
}

fn too_long(name: &str) -> SqlError {
    SqlError::InvalidSetting {
        name: name.to_owned(),
        value: "…".to_owned(),
        hint: Some(format!("A value may have {VALUE_BYTES_MAX} bytes.")),
    }
}
