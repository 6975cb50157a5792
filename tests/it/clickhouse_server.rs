//! A real ClickHouse for the tests: one engine per test binary, a database of its own per test.
//!
//! `tests/clickhouse/server.py` fetches and runs it. The engine (600 MB) is kept in the folder that
//! `CANON_TEST_CLICKHOUSE_DIR` names, by default `target/clickhouse`. Nothing is skipped where it
//! can't start: the tests fail.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use canon::backend::clickhouse::{ClickHouse, ClickHouseOptions};
use clickhouse::Client;
use tokio::sync::OnceCell;

/// The engine's launcher, for as long as the test binary runs: it ends when its standard input does.
static ENGINE: OnceCell<Engine> = OnceCell::const_new();

struct Engine {
    url: String,
    user: String,
    password: String,
    _launcher: Child,
}

/// A database in the engine.
pub(crate) struct ClickHouseServer {
    pub(crate) url: String,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) database: String,
}

impl ClickHouseServer {
    /// Starts the engine if it isn't running, and makes a database.
    pub(crate) async fn start() -> Self {
        let engine = ENGINE
            .get_or_init(|| async { tokio::task::spawn_blocking(launch).await.unwrap() })
            .await;
        let server = Self {
            url: engine.url.clone(),
            user: engine.user.clone(),
            password: engine.password.clone(),
            database: format!("test_{}", uuid::Uuid::new_v4().simple()),
        };
        let create = format!("CREATE DATABASE {}", server.database);
        server.client().with_database("system").query_raw(&create).execute().await.unwrap();
        server
    }

    /// A client without any of canon's settings.
    pub(crate) fn client(&self) -> Client {
        Client::default()
            .with_url(&self.url)
            .with_user(&self.user)
            .with_password(&self.password)
            .with_database(&self.database)
    }

    /// Runs statements that answer with nothing, one after another.
    pub(crate) async fn run(&self, statements: &[&str]) {
        for statement in statements {
            let done = self.client().query_raw(statement).execute().await;
            done.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }

    pub(crate) fn options(&self) -> ClickHouseOptions {
        let mut options = ClickHouseOptions::new(&self.url, &self.database);
        options.user = Some(self.user.clone());
        options.password = Some(self.password.clone());
        options
    }

    pub(crate) fn backend(&self) -> ClickHouse {
        ClickHouse::new(self.options()).unwrap()
    }

    /// Whether a statement whose query_id begins so is running.
    pub(crate) async fn runs(&self, query_id: &str) -> bool {
        let sql = "SELECT count() FROM system.processes WHERE startsWith(query_id, ?)";
        self.client().query(sql).bind(query_id).fetch_one::<u64>().await.unwrap() > 0
    }
}

fn engine_dir() -> PathBuf {
    match std::env::var_os("CANON_TEST_CLICKHOUSE_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clickhouse"),
    }
}

fn launch() -> Engine {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clickhouse/server.py");
    let mut launcher = Command::new("python3")
        .arg(script)
        .arg("--engine-dir")
        .arg(engine_dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let mut ready = String::new();
    let output = launcher.stdout.take().unwrap();
    BufReader::new(output).read_line(&mut ready).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&ready)
        .unwrap_or_else(|_| panic!("ClickHouse did not start; its launcher said why above"));
    let text = |name: &str| ready[name].as_str().unwrap().to_owned();
    Engine { url: text("url"), user: text("user"), password: text("password"), _launcher: launcher }
}
