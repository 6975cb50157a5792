//! What the sessions of a server are doing, for `pg_stat_activity`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

use super::{Identity, TransactionStatus};
use crate::sql::catalog::{SeenSession, SeenSessions, Signalled};

/// Bytes of a statement's text that others see: `track_activity_query_size` with its default.
const QUERY_BYTES_MAX: usize = 1_023;

/// All sessions of a server.
#[derive(Debug)]
pub struct Activity {
    started_at: DateTime<Utc>,
    sessions: Mutex<BTreeMap<i32, Arc<Entry>>>,
}

#[derive(Debug)]
struct Entry {
    identity: Identity,
    started_at: DateTime<Utc>,
    doing: Mutex<Doing>,
}

#[derive(Debug)]
struct Doing {
    application_name: String,
    state: &'static str,
    state_changed_at: DateTime<Utc>,
    query: Arc<str>,
    query_started_at: Option<DateTime<Utc>>,
    transaction_started_at: Option<DateTime<Utc>>,
}

/// A session's place among the others; dropping it takes the session off the list.
#[derive(Debug)]
pub(super) struct Presence {
    activity: Arc<Activity>,
    entry: Arc<Entry>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks can panic half-way, so a poisoned one is still right.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const ACTIVE: &str = "active";

impl Activity {
    /// Of a server that starts now.
    pub fn starting() -> Self {
        Self { started_at: Utc::now(), sessions: Mutex::default() }
    }

    /// Takes up a session.
    pub(super) fn enter(self: &Arc<Self>, identity: &Identity, application_name: &str) -> Presence {
        let now = Utc::now();
        let doing = Doing {
            application_name: application_name.to_owned(),
            state: "idle",
            state_changed_at: now,
            query: "".into(),
            query_started_at: None,
            transaction_started_at: None,
        };
        let doing = Mutex::new(doing);
        let entry = Arc::new(Entry { identity: identity.clone(), started_at: now, doing });
        lock(&self.sessions).insert(identity.backend_pid, Arc::clone(&entry));
        Presence { activity: Arc::clone(self), entry }
    }

    fn seen(&self) -> Vec<SeenSession> {
        let entries: Vec<Arc<Entry>> = lock(&self.sessions).values().cloned().collect();
        entries.iter().map(|entry| entry.seen()).collect()
    }
}

impl Entry {
    fn seen(&self) -> SeenSession {
        let doing = lock(&self.doing);
        SeenSession {
            pid: self.identity.backend_pid,
            role: self.identity.role.clone(),
            database: self.identity.database.clone(),
            application_name: doing.application_name.clone(),
            client: self.identity.client,
            started_at: self.started_at,
            transaction_started_at: doing.transaction_started_at,
            query_started_at: doing.query_started_at,
            state_changed_at: doing.state_changed_at,
            state: doing.state,
            query: doing.query.to_string(),
            signals: Arc::clone(&self.identity.signals) as Arc<dyn Signalled>,
        }
    }
}

impl Presence {
    /// A message has come that is part of a statement.
    pub(super) fn works(&self) {
        let mut doing = lock(&self.entry.doing);
        if doing.state != ACTIVE {
            let now = Utc::now();
            (doing.state, doing.state_changed_at) = (ACTIVE, now);
            doing.transaction_started_at.get_or_insert(now);
        }
    }

    /// A statement of that text begins, or goes on.
    pub(super) fn runs(&self, text: &Arc<str>) {
        let query = match text.len() > QUERY_BYTES_MAX {
            true => text[..text.floor_char_boundary(QUERY_BYTES_MAX)].into(),
            false => Arc::clone(text),
        };
        let now = Utc::now();
        let mut doing = lock(&self.entry.doing);
        (doing.state, doing.state_changed_at) = (ACTIVE, now);
        doing.transaction_started_at.get_or_insert(now);
        (doing.query, doing.query_started_at) = (query, Some(now));
    }

    /// Nothing more is asked for now.
    pub(super) fn rests(&self, status: TransactionStatus, application_name: &str) {
        let mut doing = lock(&self.entry.doing);
        let state = match status {
            TransactionStatus::Idle => "idle",
            TransactionStatus::InTransaction => "idle in transaction",
            TransactionStatus::Failed => "idle in transaction (aborted)",
        };
        (doing.state, doing.state_changed_at) = (state, Utc::now());
        // One that has failed has ended, but for its name.
        if status != TransactionStatus::InTransaction {
            doing.transaction_started_at = None;
        }
        if doing.application_name != application_name {
            application_name.clone_into(&mut doing.application_name);
        }
    }

    /// All sessions, as this one's next answer shows them; its statements and cursors are left out.
    pub(super) fn seen(&self) -> SeenSessions {
        let Identity { client, server, .. } = self.entry.identity;
        SeenSessions {
            server_started_at: Some(self.activity.started_at),
            client,
            server,
            sessions: self.activity.seen(),
            ..SeenSessions::default()
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        lock(&self.activity.sessions).remove(&self.entry.identity.backend_pid);
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::session::Signals;

    #[test]
    fn sessions_are_listed_while_they_last_with_what_they_do() {
        let activity = Arc::new(Activity::starting());
        let identity = |backend_pid| Identity {
            role: "analyst".to_owned(),
            database: "canon".to_owned(),
            backend_pid,
            signals: Arc::new(Signals::of_server(
                &CancellationToken::new(),
                &CancellationToken::new(),
            )),
            client: None,
            server: None,
        };
        let first = activity.enter(&identity(1), "psql");
        let second = activity.enter(&identity(2), "app");
        second.works();
        second.runs(&"SELECT 'ü'".repeat(200).into());
        let seen = first.seen().sessions;
        let shown: Vec<_> = seen.iter().map(|it| (it.pid, it.state)).collect();
        assert_eq!(shown, [(1, "idle"), (2, "active")]);
        assert!(seen[1].query.len() <= QUERY_BYTES_MAX && seen[1].query.starts_with("SELECT"));
        assert!(seen[1].transaction_started_at.is_some());

        second.rests(TransactionStatus::Failed, "other");
        let seen = first.seen().sessions;
        assert_eq!(seen[1].state, "idle in transaction (aborted)");
        assert_eq!(seen[1].application_name, "other");
        assert!(seen[1].transaction_started_at.is_none());
        drop(second);
        assert_eq!(first.seen().sessions.len(), 1);
    }
}
