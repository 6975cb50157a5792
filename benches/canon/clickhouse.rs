//! A real ClickHouse, by the launcher of the tests, with the demo's tables in it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ::clickhouse::{Client, Compression};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::Result;

pub(crate) const DATABASE: &str = "shop";
/// Enough that a statement does some work, few enough that it is done in milliseconds.
const ORDERS: &str = "20k";

/// Ends when it is dropped: its launcher watches its standard input.
pub(crate) struct ClickHouse {
    pub(crate) url: String,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) version: String,
    launcher: Child,
}

impl ClickHouse {
    /// Starts it and loads the demo's tables.
    pub(crate) fn start() -> Result<Self> {
        Self::with_orders(ORDERS)
    }

    /// The same with so many orders.
    pub(crate) fn with_orders(orders: &str) -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let kept = std::env::var_os("CANON_TEST_CLICKHOUSE_DIR").map(PathBuf::from);
        let mut launcher = Command::new("python3")
            .arg(root.join("tests/clickhouse/server.py"))
            .arg("--engine-dir")
            .arg(kept.unwrap_or_else(|| root.join("target/clickhouse")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut ready = String::new();
        let output = launcher.stdout.take().ok_or("the launcher has no output")?;
        BufReader::new(output).read_line(&mut ready)?;
        let ready: serde_json::Value = serde_json::from_str(&ready)?;
        let text = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
        let server = Self {
            url: text("url"),
            user: text("user"),
            password: text("password"),
            version: text("version"),
            launcher,
        };
        server.load(orders)?;
        Ok(server)
    }

    fn load(&self, orders: &str) -> Result<()> {
        let loaded = Command::new(env!("CARGO_BIN_EXE_canon"))
            .args(["demo", "--load-clickhouse", &self.url, "--database", DATABASE])
            .args(["--user", &self.user, "--orders", orders])
            .env("CANON_CLICKHOUSE_PASSWORD", &self.password)
            .stdout(Stdio::null())
            .status()?;
        if loaded.success() { Ok(()) } else { Err("the demo's tables could not be loaded".into()) }
    }

    /// A client as a careful service would set one up, with the settings that the statements of
    /// canon rely on.
    pub(crate) fn client(&self) -> Client {
        let settings = [
            ("aggregate_functions_null_for_empty", "1"),
            ("group_by_use_nulls", "1"),
            ("prefer_column_name_to_alias", "1"),
            ("cast_keep_nullable", "1"),
            ("date_time_overflow_behavior", "throw"),
            ("output_format_arrow_compression_method", "none"),
        ];
        let client = self.expert();
        settings.into_iter().fold(client, |client, (name, value)| client.with_setting(name, value))
    }

    /// The same for statements that are written by hand.
    pub(crate) fn expert(&self) -> Client {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http = HttpClient::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(2))
            .build(connector);
        let client = Client::with_http_client(http)
            .with_url(&self.url)
            .with_user(&self.user)
            .with_password(&self.password)
            .with_database(DATABASE)
            .with_compression(Compression::None);
        client.with_setting("join_use_nulls", "1").with_setting("session_timezone", "UTC")
    }
}

impl Drop for ClickHouse {
    fn drop(&mut self) {
        drop(self.launcher.stdin.take());
        if let Err(error) = self.launcher.wait() {
            eprintln!("ClickHouse could not be stopped: {error}");
        }
    }
}
