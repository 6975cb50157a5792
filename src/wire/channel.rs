//! The two halves of a connection: messages in, bytes out, and both watched while a statement runs.

use std::future::Future;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::frame::{self, Fault};
use super::output::Output;
use crate::error::QueryError;
use crate::session::SessionError;

/// Read at once.
const READ_BYTES: usize = 4 << 10;
/// What a client may send ahead while its statement runs; then it is not read any further, and
/// waits as its socket fills.
const AHEAD_BYTES_MAX: usize = 256 << 10;

/// How long, and for how much, a connection that we end waits for the client to end it too.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES: usize = 1 << 20;

/// Why a connection ends.
#[derive(Debug)]
pub(super) enum Ended {
    /// The client has gone, or said that it goes.
    ByClient,
    /// Its bytes make no sense; it is told so.
    Fault(Fault),
    /// canon stops; the client is told so.
    Shutdown,
    /// Nobody used it for too long.
    Idle(&'static str, &'static str),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        tracing::debug!(%error, "a connection broke");
        Self::ByClient
    }
}

/// What may end a statement before its time.
pub(super) struct Guard {
    pub(super) cancel: CancellationToken,
    pub(super) deadline: Option<Instant>,
    /// Fires when the grace of a shutdown is over.
    pub(super) stop: CancellationToken,
}

pub(super) struct Channel<S> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    input: BytesMut,
    pub(super) output: Output,
    /// The client has closed its half, or the connection is broken.
    pub(super) gone: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Channel<S> {
    pub(super) fn new(stream: S) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self { reader, writer, input: BytesMut::new(), output: Output::default(), gone: false }
    }

    /// The first packet, which must be alone if the next one would be encrypted.
    pub(super) async fn opening(&mut self) -> Result<frame::Opening, Ended> {
        loop {
            if let Some(opening) = frame::take_opening(&mut self.input).map_err(Ended::Fault)? {
                return Ok(opening);
            }
            self.read().await?;
        }
    }

    /// Bytes that came before they were asked for.
    pub(super) fn has_unread(&self) -> bool {
        !self.input.is_empty()
    }

    /// The next message that is complete already.
    pub(super) fn buffered(&mut self, bytes_max: usize) -> Result<Option<(u8, Bytes)>, Ended> {
        frame::take_message(&mut self.input, bytes_max).map_err(Ended::Fault)
    }

    /// Waits for more of the next message.
    pub(super) async fn read(&mut self) -> Result<(), Ended> {
        if self.gone {
            return Err(Ended::ByClient);
        }
        if self.input.is_empty() {
            // An idle connection keeps no more than this.
            self.input = BytesMut::with_capacity(READ_BYTES);
        }
        self.input.reserve(READ_BYTES);
        match self.reader.read_buf(&mut self.input).await? {
            0 => Err(Ended::ByClient),
            _ => Ok(()),
        }
    }

    /// Sends all that is gathered.
    pub(super) async fn flush(&mut self) -> Result<(), Ended> {
        self.writer.write_all(&self.output.bytes).await?;
        self.output.bytes.clear();
        self.output.shrink();
        self.writer.flush().await?;
        Ok(())
    }

    /// As [`Channel::flush`], as part of a statement: a client that doesn't read is waited for,
    /// until the statement's time is over. What is left then goes out before its error, so the
    /// client never sees half a message.
    pub(super) async fn flush_within(&mut self, guard: &Guard) -> Result<(), QueryError> {
        while !self.output.bytes.is_empty() {
            let Self { reader, writer, input, output, gone } = self;
            let written = watch(reader, input, gone, guard, writer.write(&output.bytes)).await?;
            match written {
                Ok(count @ 1..) => drop(output.bytes.drain(..count)),
                Ok(0) | Err(_) => {
                    *gone = true;
                    return Err(SessionError::ClientGone.into());
                }
            }
        }
        Ok(())
    }

    /// Runs a part of a statement, until it is done, cancelled, too late, or unwanted because the
    /// client has gone. Dropping the part is what stops it.
    pub(super) async fn within<F: Future>(
        &mut self,
        guard: &Guard,
        part: F,
    ) -> Result<F::Output, QueryError> {
        watch(&mut self.reader, &mut self.input, &mut self.gone, guard, part).await
    }

    /// Closes our half, and lets the client close its own: a socket that is closed with bytes
    /// unread is reset, and the last words on their way are lost.
    pub(super) async fn close(&mut self) {
        // The client may be gone already; there is nobody left to tell.
        if self.gone || self.writer.shutdown().await.is_err() {
            return;
        }
        self.input.clear();
        self.input.reserve(READ_BYTES);
        let mut left = LINGER_BYTES;
        let linger = async {
            while let Ok(count @ 1..) = self.reader.read_buf(&mut self.input).await {
                self.input.clear();
                left = left.saturating_sub(count);
                if left == 0 {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, linger).await;
    }
}

async fn watch<S: AsyncRead + AsyncWrite + Unpin, F: Future>(
    reader: &mut ReadHalf<S>,
    input: &mut BytesMut,
    gone: &mut bool,
    guard: &Guard,
    part: F,
) -> Result<F::Output, QueryError> {
    let mut part = std::pin::pin!(part);
    let late = async {
        match guard.deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    let mut late = std::pin::pin!(late);
    loop {
        let room = AHEAD_BYTES_MAX.saturating_sub(input.len());
        let ahead = async {
            input.reserve(READ_BYTES.min(room));
            (&mut *reader).take(room as u64).read_buf(input).await
        };
        tokio::select! {
            biased;
            () = guard.cancel.cancelled() => return Err(SessionError::Cancelled.into()),
            () = guard.stop.cancelled() => {
                guard.cancel.cancel();
                return Err(SessionError::Shutdown.into());
            }
            () = &mut late => {
                guard.cancel.cancel();
                return Err(SessionError::Timeout.into());
            }
            output = &mut part => return Ok(output),
            read = ahead, if room > 0 && !*gone => match read {
                Ok(1..) => {}
                Ok(0) | Err(_) => {
                    *gone = true;
                    guard.cancel.cancel();
                    return Err(SessionError::ClientGone.into());
                }
            },
        }
    }
}
