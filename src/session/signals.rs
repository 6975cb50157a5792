//! What other connections may tell a session: to stop what it runs, or to end.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::sql::catalog::Signalled;

/// The signals of one session. They come from cancel requests, from `pg_cancel_backend` and
/// `pg_terminate_backend`, and from a server that shuts down.
#[derive(Debug)]
pub struct Signals {
    running: Mutex<Option<CancellationToken>>,
    /// The session ends when it next rests.
    pub drain: CancellationToken,
    /// The session ends now.
    pub stop: CancellationToken,
}

impl Signals {
    /// Of a session that ends with its server: the server's own tokens.
    pub fn of_server(drain: &CancellationToken, stop: &CancellationToken) -> Self {
        Self { running: Mutex::default(), drain: drain.child_token(), stop: stop.child_token() }
    }

    /// The statement that requests stop from now on. None: none, so that a request that comes late
    /// doesn't stop the next one.
    pub fn set_running(&self, token: Option<CancellationToken>) {
        *self.lock() = token;
    }

    fn lock(&self) -> MutexGuard<'_, Option<CancellationToken>> {
        // Nothing under this lock can panic half-way, so a poisoned one is still right.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Signalled for Signals {
    fn cancel(&self) {
        if let Some(token) = self.lock().as_ref() {
            token.cancel();
        }
    }

    fn terminate(&self) {
        self.stop.cancel();
        self.drain.cancel();
    }
}
