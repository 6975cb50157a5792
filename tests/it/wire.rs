//! The wire protocol over an engine of a few made-up statements.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod abuse;
mod cursors;
mod engine;
mod extended;
mod lifecycle;
mod psql;
mod raw;
mod simple;
mod transcripts;
mod types;

use std::net::SocketAddr;
use std::sync::Arc;

use canon::wire::{self, WireOptions};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use engine::MockEngine;

/// A server on a port of its own; dropping it leaves it to the runtime's end.
struct Server {
    address: SocketAddr,
    engine: Arc<MockEngine>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn start() -> Self {
        Self::with(WireOptions::default()).await
    }

    async fn with(options: WireOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let engine = Arc::new(MockEngine::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move {
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let task = tokio::spawn(wire::run(listener, engine.clone(), options, shutdown));
        Self { address, engine, stop: Some(stop), task }
    }

    /// A connection of tokio-postgres.
    async fn client(&self) -> tokio_postgres::Client {
        let config = format!("host=127.0.0.1 port={} user=ana dbname=canon", self.address.port());
        let (client, connection) =
            tokio_postgres::connect(&config, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}
