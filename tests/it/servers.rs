//! Processes that the tests talk to: the built `canon`, and a PostgreSQL as control.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio_postgres::{Client, Config, Error, NoTls};

use crate::clickhouse_server::ClickHouseServer;
use crate::fixture::Fixture;

/// Enough for a debug build on a busy machine; a process that ends is noticed at once.
const START_LIMIT: Duration = Duration::from_secs(120);

/// A running `canon serve`; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Canon {
    child: Child,
    pub(crate) port: u16,
    /// Holds the definitions, the data and the log.
    _folder: TempDir,
}

impl Canon {
    /// Serves the fixture from Parquet files.
    pub(crate) async fn embedded(fixture: &Fixture) -> Self {
        Self::start(fixture, None, &[]).await
    }

    /// As [`Self::embedded`], with variables in its environment.
    pub(crate) async fn embedded_with(fixture: &Fixture, env: &[(&str, &str)]) -> Self {
        Self::start(fixture, None, env).await
    }

    /// Serves the fixture from ClickHouse.
    pub(crate) async fn over_clickhouse(fixture: &Fixture, place: &ClickHouseServer) -> Self {
        Self::start(fixture, Some(place), &[]).await
    }

    async fn start(
        fixture: &Fixture,
        place: Option<&ClickHouseServer>,
        env: &[(&str, &str)],
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let metrics = fixture.write_embedded(folder.path());
        Self::serving(folder, &metrics, place, env).await
    }

    /// Serves the definitions that are in a folder, which ends with the server.
    pub(crate) async fn serving(
        folder: TempDir,
        metrics: &Path,
        place: Option<&ClickHouseServer>,
        env: &[(&str, &str)],
    ) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_canon"));
        command.arg("serve").arg("--metrics").arg(metrics);
        command.arg("--listen").arg("127.0.0.1:0");
        command.envs(env.iter().copied());
        if let Some(place) = place {
            command.arg("--clickhouse-url").arg(&place.url);
            command.env("CANON_CLICKHOUSE_DATABASE", &place.database);
            command.env("CANON_CLICKHOUSE_USER", &place.user);
            command.env("CANON_CLICKHOUSE_PASSWORD", &place.password);
        }
        let log = folder.path().join("canon.log");
        let mut child = spawn_logged(command, &log);
        let port = wait_until(&mut child, &log, async || announced_port(&log)).await;
        Self { child, port, _folder: folder }
    }

    /// A connection as a role; any name is taken, the consumers' roles are in the fixture.
    pub(crate) async fn connect(&self, role: &str) -> Result<Client, Error> {
        connect(self.port, role).await
    }

    /// The memory that it holds now.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Canon {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A PostgreSQL of its own, with the C locale and no password; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Postgres {
    child: Child,
    pub(crate) port: u16,
    _folder: TempDir,
}

impl Postgres {
    pub(crate) async fn start() -> Self {
        let programs = postgres_programs();
        let account = postgres_account();
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        let prepare = |program: &str| {
            let mut command = Command::new(programs.join(program));
            if let Some((user, group)) = account {
                command.uid(user).gid(group);
            }
            command.current_dir(folder.path());
            command
        };
        if let Some((user, group)) = account {
            chown(folder.path(), Some(user), Some(group)).unwrap();
            chown(&data, Some(user), Some(group)).unwrap();
        }
        let initialised = prepare("initdb")
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"])
            .arg("--no-sync")
            .arg("--pgdata")
            .arg(&data)
            .output()
            .unwrap();
        assert!(initialised.status.success(), "{}", String::from_utf8_lossy(&initialised.stderr));
        let port = free_port();
        let mut command = prepare("postgres");
        command.arg("-D").arg(&data).arg("-p").arg(port.to_string()).arg("-k").arg(folder.path());
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
        command.args(["-c", "timezone=UTC"]);
        let log = folder.path().join("postgres.log");
        let mut child = spawn_logged(command, &log);
        let answers = async || connect(port, "postgres").await.ok();
        wait_until(&mut child, &log, answers).await;
        Self { child, port, _folder: folder }
    }

    /// A connection to a database of its, as its superuser.
    pub(crate) async fn connect_to(&self, database: &str) -> Client {
        connect_to(self.port, "postgres", database).await.unwrap()
    }

    /// A connection to a new database with the fixture's tables.
    pub(crate) async fn with_fixture(&self, fixture: &Fixture) -> Client {
        let database = fixture.identifier();
        let admin = self.connect_to("postgres").await;
        admin.batch_execute(&format!("CREATE DATABASE {database}")).await.unwrap();
        let client = self.connect_to(&database).await;
        for table in &fixture.tables {
            client.batch_execute(&table.postgres_sql()).await.unwrap();
        }
        client
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Its own processes end with the postmaster; the data need no orderly end.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn postgres_programs() -> PathBuf {
    let versions = Path::new("/usr/lib/postgresql");
    let mut found: Vec<PathBuf> = fs::read_dir(versions)
        .map(|entries| entries.map(|entry| entry.unwrap().path().join("bin")).collect())
        .unwrap_or_default();
    found.retain(|bin| bin.join("initdb").exists());
    found.sort();
    found.pop().expect("a PostgreSQL server for the control: apt-get install postgresql-15")
}

/// The account to run PostgreSQL as, where this process is root: PostgreSQL refuses root.
fn postgres_account() -> Option<(u32, u32)> {
    let id = |args: &[&str]| -> u32 {
        let output = Command::new("id").args(args).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    };
    (id(&["-u"]) == 0).then(|| (id(&["-u", "postgres"]), id(&["-g", "postgres"])))
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn spawn_logged(mut command: Command, log: &Path) -> Child {
    let output = File::create(log).unwrap();
    command.stdin(Stdio::null()).stderr(output.try_clone().unwrap()).stdout(output);
    command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Returns what `ready` finds; panics with the log when the process ends before that.
async fn wait_until<T>(child: &mut Child, log: &Path, ready: impl AsyncFn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = ready().await {
            return found;
        }
        if let Some(status) = child.try_wait().unwrap() {
            panic!("the server ended with {status}:\n{}", tail_of(log));
        }
        if started.elapsed() > START_LIMIT {
            child.kill().ok();
            child.wait().ok();
            panic!("the server isn't ready after {START_LIMIT:?}:\n{}", tail_of(log));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The port in canon's line `canon is ready: psql -h HOST -p PORT canon`.
fn announced_port(log: &Path) -> Option<u16> {
    let text = fs::read_to_string(log).unwrap();
    let (_, rest) = text.split_once("canon is ready: ")?;
    let (line, _) = rest.split_once('\n')?;
    let (_, port) = line.split_once(" -p ")?;
    port.split(' ').next()?.parse().ok()
}

fn tail_of(log: &Path) -> String {
    let mut file = File::open(log).unwrap();
    let length = file.metadata().unwrap().len();
    file.seek(SeekFrom::Start(length.saturating_sub(8_000))).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(crate) async fn connect(port: u16, role: &str) -> Result<Client, Error> {
    connect_to(port, role, "postgres").await
}

pub(crate) async fn connect_to(port: u16, role: &str, database: &str) -> Result<Client, Error> {
    let (client, connection) = Config::new()
        .host("127.0.0.1")
        .port(port)
        .user(role)
        .dbname(database)
        .connect_timeout(Duration::from_secs(10))
        .connect(NoTls)
        .await?;
    // Its errors reach the client's calls too.
    tokio::spawn(async move { connection.await.ok() });
    Ok(client)
}
