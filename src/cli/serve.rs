//! `canon serve`: definitions, backend and wire put together, until a signal.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Failure, Opened, SourceArgs};
use crate::cache::Cache;
use crate::session::{Definitions, DefinitionsState, PRELOAD_MEMBERS_MAX, QueryEngine};
use crate::wire::{self, WireOptions};

/// Between two attempts to load the definitions while the backend is down.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(15);

/// Serve metrics to Postgres clients.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Address and port to listen on
    #[arg(long, env = "CANON_LISTEN", default_value = "127.0.0.1:5433", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Clients connected at once
    #[arg(long, env = "CANON_MAX_CONNECTIONS", default_value_t = 1_000, value_name = "NUMBER")]
    max_connections: usize,
    /// Members of one segment kept in memory at most; larger ones are asked of the backend
    #[arg(long, env = "CANON_PRELOAD_MEMBERS_MAX", default_value_t = PRELOAD_MEMBERS_MAX, value_name = "NUMBER")]
    preload_members_max: usize,
}

/// Serves until SIGTERM or SIGINT. Faulty definitions end it at the start; a backend that is down
/// doesn't: clients are told, and it is tried again.
pub(super) async fn run(args: ServeArgs) -> Result<(), Failure> {
    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        Failure::Message(format!("could not listen on {}: {error}", args.listen))
    })?;
    let address = listener.local_addr()?;
    let opened = Arc::new(Opened::open(&args.source).await?);
    let cache = Cache::default();
    let loading = Definitions::loading("the backend has not answered yet".to_owned());
    let state = Arc::new(DefinitionsState::new(loading));
    match opened.load().await {
        Ok(model) => state.replace(Definitions::of(model, &cache)),
        Err(Failure::Backend(error)) => {
            tracing::error!(%error, "definitions can't be loaded yet; trying again");
            state.replace(Definitions::loading(error.to_string()));
        }
        Err(failure) => return Err(failure),
    }
    let backend = Arc::clone(&opened.backend);
    let engine = QueryEngine::new(Arc::clone(&state), backend, cache.clone());
    let engine = Arc::new(engine.with_preload_members_max(args.preload_members_max));
    let keeping = tokio::spawn(Arc::clone(&engine).keep_segments());
    let reloading = tokio::spawn(keep_loaded(opened, state, cache, hangup()?));
    announce(address)?;
    let options = WireOptions { connections_max: args.max_connections, ..WireOptions::default() };
    let served = wire::run(listener, engine, options, shutdown()?).await;
    reloading.abort();
    keeping.abort();
    Ok(served?)
}

/// Says where to connect, for people and for programs that wait for it.
fn announce(address: SocketAddr) -> Result<(), Failure> {
    let mut out = std::io::stderr();
    writeln!(out, "canon is ready: psql -h {} -p {} canon", address.ip(), address.port())?;
    Ok(())
}

/// Loads the definitions until they are there, and again on each SIGHUP. A set that can't be used
/// is reported, and the one in force stays.
async fn keep_loaded(
    opened: Arc<Opened>,
    state: Arc<DefinitionsState>,
    cache: Cache,
    mut hangup: Signal,
) {
    let mut pause = RETRY_MIN;
    loop {
        if state.current().is_loaded() {
            if hangup.recv().await.is_none() {
                return;
            }
            tracing::info!("reloading definitions");
        } else {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
        match opened.load().await {
            Ok(model) => {
                let metrics = model.metrics.len();
                state.replace(Definitions::of(model, &cache));
                tracing::info!(metrics, "definitions loaded");
                pause = RETRY_MIN;
            }
            Err(failure) => {
                tracing::error!(%failure, "definitions can't be loaded");
                if !state.current().is_loaded() {
                    let reason = match failure {
                        Failure::Backend(error) => error.to_string(),
                        Failure::Findings(_) => "they have errors; see canon check".to_owned(),
                        other => other.to_string(),
                    };
                    state.replace(Definitions::loading(reason));
                }
            }
        }
    }
}

fn hangup() -> Result<Signal, Failure> {
    Ok(signal(SignalKind::hangup())?)
}

/// Ends at the first SIGTERM or SIGINT.
fn shutdown() -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("shutting down");
    })
}
