//! The Postgres wire protocol: bytes to messages to the session, and rows back.
//!
//! The connection loop is our own, on pgwire's message types: only so do limits, back-pressure,
//! cancelling and the order of log-in and statements lie in one hand.

mod cancel;
mod channel;
mod connection;
mod copy;
mod encode;
mod extended;
mod frame;
mod output;
mod params;
mod simple;
mod startup;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::session::{Activity, Engine};
use cancel::Sessions;
use startup::{Peer, Place};

/// Bounds of a server.
#[derive(Debug, Clone)]
pub struct WireOptions {
    /// Sessions at once; who comes then is told 53300.
    pub connections_max: usize,
    /// From the first byte to log-in.
    pub startup_timeout: Duration,
    /// The longest message after log-in: a statement with its parameters.
    pub message_bytes_max: usize,
    /// How long running statements may go on after a shutdown was asked for.
    pub shutdown_grace: Duration,
}

impl Default for WireOptions {
    fn default() -> Self {
        Self {
            connections_max: 1_000,
            startup_timeout: Duration::from_secs(10),
            message_bytes_max: 64 << 20,
            shutdown_grace: Duration::from_secs(10),
        }
    }
}

/// Connections beyond the limit that are told so at once; further ones are closed without a word.
const REFUSALS_MAX: usize = 128;
/// After an error of accept, such as a want of file descriptors.
const BACK_OFF_MIN: Duration = Duration::from_millis(5);
const BACK_OFF_MAX: Duration = Duration::from_secs(1);

/// What all connections share.
struct Server {
    engine: Arc<dyn Engine>,
    options: WireOptions,
    sessions: Arc<Sessions>,
    activity: Arc<Activity>,
    /// Idle sessions end, running statements go on.
    drain: CancellationToken,
    /// Everything ends.
    stop: CancellationToken,
}

/// Serves connections until `shutdown` is done and the last of them has ended.
///
/// Then no more are accepted, idle sessions are told 57P01, and running statements get
/// [`WireOptions::shutdown_grace`].
///
/// # Errors
/// None while it serves: errors of single connections end those, and errors of accept are waited
/// out.
pub async fn run(
    listener: TcpListener,
    engine: Arc<dyn Engine>,
    options: WireOptions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let server = Arc::new(Server {
        engine,
        options,
        sessions: Arc::default(),
        activity: Arc::new(Activity::starting()),
        drain: CancellationToken::new(),
        stop: CancellationToken::new(),
    });
    let mut connections = JoinSet::new();
    tokio::select! {
        () = shutdown => {}
        () = accept(&listener, &server, &mut connections) => {}
    }
    drop(listener);
    server.drain.cancel();
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(server.options.shutdown_grace, finished).await.is_err() {
        server.stop.cancel();
        let told = async { while connections.join_next().await.is_some() {} };
        // Long enough for last words; whoever is left then is cut off with the set.
        if tokio::time::timeout(Duration::from_secs(3), told).await.is_err() {
            tracing::warn!(left = connections.len(), "connections were cut off at shutdown");
        }
    }
    Ok(())
}

async fn accept(listener: &TcpListener, server: &Arc<Server>, connections: &mut JoinSet<()>) {
    let places = Arc::new(Semaphore::new(server.options.connections_max));
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    let mut back_off = BACK_OFF_MIN;
    loop {
        while connections.try_join_next().is_some() {}
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(back_off).await;
                back_off = (back_off * 2).min(BACK_OFF_MAX);
                continue;
            }
        };
        back_off = BACK_OFF_MIN;
        let (permit, place) = match places.clone().try_acquire_owned() {
            Ok(permit) => (permit, Place::Free),
            Err(_) => match refusals.clone().try_acquire_owned() {
                Ok(permit) => (permit, Place::Taken),
                Err(_) => continue,
            },
        };
        let server = server.clone();
        connections.spawn(async move {
            serve(stream, address, server, place).await;
            drop(permit);
        });
    }
}

async fn serve(stream: TcpStream, address: SocketAddr, server: Arc<Server>, place: Place) {
    // Answers are gathered by us, so waiting for more of them only costs time.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let peer = Peer { client: address, server: stream.local_addr().ok() };
    connection::serve(stream, server, peer, place).await;
}
