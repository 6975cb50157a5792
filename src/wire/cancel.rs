//! Cancel requests: they come over a connection of their own, with the key that log-in gave.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::session::Signals;
use crate::sql::catalog::Signalled;

/// All sessions of this server, by the process id that they were given.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_pid: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    last_pid: i32,
    entries: HashMap<i32, Entry>,
}

#[derive(Debug)]
struct Entry {
    secret: Vec<u8>,
    signals: Arc<Signals>,
}

/// A session's place among the others; leaving frees it.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) pid: i32,
    pub(super) secret: Vec<u8>,
    pub(super) signals: Arc<Signals>,
    sessions: Arc<Sessions>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks can panic half-way, so a poisoned one is still right.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sessions {
    /// Takes up a session; its key has that many bytes.
    pub(super) fn register(
        self: &Arc<Self>,
        secret_bytes: usize,
        signals: Signals,
    ) -> Registration {
        let random: [u8; 32] = rand::random();
        let secret = random.get(..secret_bytes).unwrap_or(&random).to_vec();
        let signals = Arc::new(signals);
        let mut known = lock(&self.by_pid);
        let mut pid = known.last_pid;
        loop {
            pid = pid.checked_add(1).unwrap_or(1);
            if !known.entries.contains_key(&pid) {
                break;
            }
        }
        known.last_pid = pid;
        let entry = Entry { secret: secret.clone(), signals: Arc::clone(&signals) };
        known.entries.insert(pid, entry);
        Registration { pid, secret, signals, sessions: self.clone() }
    }

    /// Cancels what the session runs, if the key is its own. Nobody is told whether it was.
    pub(super) fn cancel(&self, pid: i32, secret: &[u8]) {
        let known = lock(&self.by_pid);
        let Some(entry) = known.entries.get(&pid) else { return };
        if equal_in_constant_time(&entry.secret, secret) {
            entry.signals.cancel();
        }
    }
}

fn equal_in_constant_time(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b));
    a.len() == b.len() && difference == 0
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock(&self.sessions.by_pid).entries.remove(&self.pid);
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[test]
    fn only_the_right_key_cancels_and_only_what_runs() {
        let sessions = Arc::new(Sessions::default());
        let (drain, stop) = (CancellationToken::new(), CancellationToken::new());
        let session = sessions.register(4, Signals::of_server(&drain, &stop));
        let token = CancellationToken::new();
        session.signals.set_running(Some(token.clone()));
        let mut wrong = session.secret.clone();
        wrong[0] ^= 1;
        sessions.cancel(session.pid, &wrong);
        sessions.cancel(session.pid, &session.secret[..3]);
        sessions.cancel(session.pid + 1, &session.secret);
        assert!(!token.is_cancelled());
        sessions.cancel(session.pid, &session.secret);
        assert!(token.is_cancelled());
        let next = CancellationToken::new();
        session.signals.set_running(None);
        sessions.cancel(session.pid, &session.secret);
        assert!(!next.is_cancelled());
        let pid = session.pid;
        drop(session);
        assert!(!lock(&sessions.by_pid).entries.contains_key(&pid));
    }
}
