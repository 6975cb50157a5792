//! A connection after log-in: one message after the other, until it ends.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Server;
use super::cancel::Registration;
use super::channel::{Channel, Ended, Guard};
use super::encode::{BatchEncoder, Layout};
use super::frame::{self, Fault, Request};
use super::output::{FLUSH_BYTES, Severity};
use super::startup::{self, LoggedIn, Peer, Place};
use crate::error::{ClientError, QueryError};
use crate::session::{Cursor, Session, SessionError, TransactionStatus};

pub(super) struct Connection<S> {
    pub(super) channel: Channel<S>,
    pub(super) session: Session,
    server: Arc<Server>,
    registration: Registration,
    /// After an error in the extended protocol: everything up to Sync is dropped.
    skipping: bool,
}

/// How far the rows of a cursor were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    All,
    UpToTheLimit,
}

/// Serves one connection from its first byte to its last.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send>(
    stream: S,
    server: Arc<Server>,
    peer: Peer,
    place: Place,
) {
    let mut channel = Channel::new(stream);
    // Boxed, as what comes after it: a connection is then no larger than the part that it is in.
    let login = Box::pin(startup::log_in(&mut channel, &server, peer, place));
    let login = tokio::time::timeout(server.options.startup_timeout, login);
    let outcome = tokio::select! {
        outcome = login => outcome,
        () = server.drain.cancelled() => Ok(Err(Ended::Shutdown)),
    };
    let logged_in = match outcome {
        Ok(Ok(Some(logged_in))) => logged_in,
        Ok(Ok(None)) => return channel.close().await,
        Ok(Err(ended)) => return Box::pin(end(channel, ended)).await,
        // A client that drips bytes for so long reads no answer either.
        Err(_) => return channel.close().await,
    };
    let LoggedIn { session, registration } = logged_in;
    let connection = Connection { channel, session, server, registration, skipping: false };
    Box::pin(connection.run()).await;
}

/// Says why, within reason, and closes.
async fn end<S: AsyncRead + AsyncWrite + Unpin>(mut channel: Channel<S>, ended: Ended) {
    let output = &mut channel.output;
    match ended {
        Ended::ByClient => {}
        Ended::Fault(Fault { sqlstate, message }) => {
            output.fault(Severity::Fatal, sqlstate, &message);
        }
        Ended::Shutdown => {
            let error = SessionError::Shutdown;
            output.fault(Severity::Fatal, error.sqlstate(), &error.to_string());
        }
        Ended::Idle(sqlstate, message) => output.fault(Severity::Fatal, sqlstate, message),
    }
    let last_words = async {
        if channel.flush().await.is_ok() {
            channel.close().await;
        }
    };
    // Whoever doesn't read by then won't.
    let _ = tokio::time::timeout(Duration::from_secs(2), last_words).await;
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    async fn run(mut self) {
        let ended = loop {
            let message = match self.next().await {
                Ok(message) => message,
                Err(ended) => break ended,
            };
            let handled = AssertUnwindSafe(self.handle(message)).catch_unwind().await;
            match handled {
                Ok(Ok(())) => {}
                Ok(Err(ended)) => break ended,
                Err(panic) => break self.panicked(panic.as_ref()),
            }
        };
        let Self { channel, session, registration, .. } = self;
        // Statements and portals end before the last words, and so do their backends' queries.
        drop((session, registration));
        Box::pin(end(channel, ended)).await;
    }

    /// The next message; what is gathered goes out before waiting for it.
    async fn next(&mut self) -> Result<(u8, Bytes), Ended> {
        let bytes_max = self.server.options.message_bytes_max;
        loop {
            if let Some(message) = self.channel.buffered(bytes_max)? {
                return Ok(message);
            }
            // At Sync or Flush, or when an answer got long: until then a client waits for nothing.
            if self.channel.output.bytes.len() >= FLUSH_BYTES {
                self.flush_patiently().await?;
            }
            let (limit, ended) = self.idle_limit();
            let drain = self.registration.signals.drain.clone();
            tokio::select! {
                biased;
                read = self.channel.read() => read?,
                () = drain.cancelled() => return Err(Ended::Shutdown),
                () = tokio::time::sleep(limit.unwrap_or_default()), if limit.is_some() => {
                    return Err(ended);
                }
            }
        }
    }

    fn idle_limit(&self) -> (Option<Duration>, Ended) {
        let settings = self.session.settings();
        match self.session.status() {
            TransactionStatus::Idle => {
                let message = "terminating connection due to idle-session timeout";
                (settings.duration("idle_session_timeout"), Ended::Idle("57P05", message))
            }
            TransactionStatus::InTransaction | TransactionStatus::Failed => {
                let message = "terminating connection due to idle-in-transaction timeout";
                let limit = settings.duration("idle_in_transaction_session_timeout");
                (limit, Ended::Idle("25P03", message))
            }
        }
    }

    /// The payload of a panic may hold anything, so it stays in the log.
    fn panicked(&mut self, panic: &(dyn Any + Send)) -> Ended {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        tracing::error!(panic = text.unwrap_or("?"), "a statement panicked");
        let message = "internal error".to_owned();
        Ended::Fault(Fault { sqlstate: "XX000", message })
    }

    /// The long parts are boxed, so that a connection that waits for its next message is small.
    async fn handle(&mut self, (kind, body): (u8, Bytes)) -> Result<(), Ended> {
        if self.skipping && !matches!(kind, b'S' | b'X') {
            return Ok(());
        }
        let request = match frame::request(kind, body) {
            Ok(request) => request,
            Err(fault) => return self.malformed(kind, fault).await,
        };
        match request {
            Request::Query(text) => {
                Box::pin(self.simple_query(text)).await?;
                self.ready().await
            }
            Request::Parse { name, text, types } => {
                let outcome = Box::pin(self.parse(&name, text, &types)).await;
                self.extended(outcome).await
            }
            Request::Bind(bind) => {
                let outcome = self.bind(bind);
                self.extended(outcome).await
            }
            Request::Describe { target, name } => {
                let outcome = self.describe(target, &name);
                self.extended(outcome).await
            }
            Request::Close { target, name } => {
                self.close(target, &name);
                Ok(())
            }
            Request::Execute { portal, rows_max } => {
                let outcome = Box::pin(self.execute(&portal, rows_max)).await;
                self.extended(outcome).await
            }
            Request::Flush => self.flush_patiently().await,
            Request::Sync => {
                self.skipping = false;
                self.session.end_message();
                self.ready().await
            }
            Request::Terminate => Err(Ended::ByClient),
            Request::FunctionCall => {
                self.channel.output.fault(
                    Severity::Error,
                    "0A000",
                    "function calls by message are not supported",
                );
                self.session.fail();
                self.ready().await
            }
            Request::Copy => Ok(()),
        }
    }

    /// A message whose frame was whole and whose body wasn't: the session goes on after it.
    async fn malformed(&mut self, kind: u8, fault: Fault) -> Result<(), Ended> {
        self.channel.output.fault(Severity::Error, fault.sqlstate, &fault.message);
        self.session.fail();
        match kind {
            b'Q' | b'F' => self.ready().await,
            b'S' => {
                self.skipping = false;
                self.session.end_message();
                self.ready().await
            }
            _ => {
                self.skipping = true;
                self.flush_patiently().await
            }
        }
    }

    /// After a message of the extended protocol. Errors go out at once: a Flush behind them would
    /// be skipped, and the client wait for ever.
    async fn extended(&mut self, outcome: Result<(), QueryError>) -> Result<(), Ended> {
        self.registration.signals.set_running(None);
        match outcome {
            Ok(()) => Ok(()),
            Err(error) => {
                self.skipping = true;
                self.failed(&error)?;
                self.flush_patiently().await
            }
        }
    }

    /// Tells an error and undoes what it must.
    pub(super) fn failed(&mut self, error: &QueryError) -> Result<(), Ended> {
        self.session.fail();
        if self.channel.gone {
            return Err(Ended::ByClient);
        }
        if let QueryError::Session(SessionError::Shutdown) = error {
            return Err(Ended::Shutdown);
        }
        for notice in self.session.take_notices() {
            self.channel.output.notice(&notice);
        }
        self.channel.output.error(Severity::Error, error);
        Ok(())
    }

    /// ReadyForQuery, after all that the client should know by then.
    async fn ready(&mut self) -> Result<(), Ended> {
        self.tell_notices();
        // As in Postgres: once a message, and only of what is different at its end.
        for (name, value) in self.session.take_changes() {
            self.channel.output.parameter_status(name, &value);
        }
        let status = self.session.status();
        self.session.rest();
        self.channel.output.ready(status);
        self.flush_patiently().await
    }

    pub(super) fn tell_notices(&mut self) {
        for notice in self.session.take_notices() {
            self.channel.output.notice(&notice);
        }
    }

    /// Sends without a statement's limits: only the client's leaving or a shutdown end it.
    async fn flush_patiently(&mut self) -> Result<(), Ended> {
        let stop = self.registration.signals.stop.clone();
        tokio::select! {
            biased;
            flushed = self.channel.flush() => flushed,
            () = stop.cancelled() => Err(Ended::Shutdown),
        }
    }

    /// What may stop the statement that begins now; cancel requests reach it from here on.
    pub(super) fn guard(&mut self, cancel: CancellationToken) -> Guard {
        self.registration.signals.set_running(Some(cancel.clone()));
        let timeout = self.session.settings().statement_timeout();
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Guard { cancel, deadline, stop: self.registration.signals.stop.clone() }
    }

    pub(super) fn statement_ended(&mut self) {
        self.registration.signals.set_running(None);
    }

    /// Sends rows of a cursor, all or up to a limit, batch by batch and piece by piece.
    ///
    /// # Errors
    /// What the stream ends with, a value that can't be shown, or what the guard says.
    pub(super) async fn send_rows(
        &mut self,
        cursor: &mut Cursor,
        layout: &Layout<'_>,
        limit: Option<u64>,
        guard: &Guard,
    ) -> Result<Sent, QueryError> {
        let mut left = limit.unwrap_or(u64::MAX);
        while left > 0 {
            let Some((batch, first)) = self.channel.within(guard, cursor.peek()).await?? else {
                return Ok(Sent::All);
            };
            let rows = batch.num_rows() - first;
            let rows = usize::try_from(left).map_or(rows, |left| rows.min(left));
            let mut encoder = BatchEncoder::new(&batch, layout)?;
            for row in first..first + rows {
                encoder.write_row(row, &mut self.channel.output.bytes)?;
                if self.channel.output.bytes.len() >= FLUSH_BYTES {
                    self.channel.flush_within(guard).await?;
                }
            }
            cursor.advance(rows);
            left -= rows as u64;
        }
        Ok(Sent::UpToTheLimit)
    }
}
