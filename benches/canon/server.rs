//! The built `canon serve`, as a process of its own.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::clickhouse::{self, ClickHouse};
use super::postgres;
use crate::Result;

/// Between two looks at the log of a server that starts.
const POLL: Duration = Duration::from_micros(500);

/// A server that is killed when it is dropped.
pub(crate) struct Server {
    process: Child,
    port: u16,
    /// From the start of the process to its word that it is ready.
    pub(crate) started_in: Duration,
    /// Written to at the usual level, as a service's log is.
    _log: tempfile::NamedTempFile,
}

impl Server {
    /// Over the backend that the definitions name.
    pub(crate) fn start(metrics: &Path) -> Result<Self> {
        Self::run(metrics, &mut Command::new(env!("CARGO_BIN_EXE_canon")))
    }

    pub(crate) fn over(metrics: &Path, backend: &ClickHouse) -> Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_canon"));
        command
            .env("CANON_CLICKHOUSE_URL", &backend.url)
            .env("CANON_CLICKHOUSE_DATABASE", clickhouse::DATABASE)
            .env("CANON_CLICKHOUSE_USER", &backend.user)
            .env("CANON_CLICKHOUSE_PASSWORD", &backend.password);
        Self::run(metrics, &mut command)
    }

    fn run(metrics: &Path, command: &mut Command) -> Result<Self> {
        let log = tempfile::NamedTempFile::with_prefix("canon-bench-log-")?;
        let begun = Instant::now();
        let mut process = command
            .arg("serve")
            .arg("--metrics")
            .arg(metrics)
            .args(["--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.reopen()?)
            .spawn()?;
        let port = loop {
            let seen = std::fs::read_to_string(log.path())?;
            if let Some(port) = seen.lines().find_map(port_in) {
                break port;
            }
            if process.try_wait()?.is_some() {
                return Err(format!("canon did not start: {seen}").into());
            }
            std::thread::sleep(POLL);
        };
        Ok(Self { process, port, started_in: begun.elapsed(), _log: log })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) async fn connect(&self) -> Result<Client> {
        postgres::connect(self.port, "bench", "canon").await
    }
}

fn port_in(line: &str) -> Option<u16> {
    line.strip_prefix("canon is ready: ")?
        .split_once(" -p ")?
        .1
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
