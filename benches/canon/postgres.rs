//! A PostgreSQL of its own, in a temporary folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tokio_postgres::{Client, NoTls};

use crate::Result;

/// Debian's; another version's folder is named by `CANON_BENCH_POSTGRES_BIN`.
const BIN: &str = "/usr/lib/postgresql/15/bin";
/// PostgreSQL refuses to run as root.
const USER: &str = "postgres";

/// A cluster that runs until it is dropped.
pub(crate) struct Postgres {
    folder: tempfile::TempDir,
    port: u16,
}

impl Postgres {
    pub(crate) fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("canon-bench-postgres-").tempdir()?;
        if is_root() {
            let owned = Command::new("chown").arg(USER).arg(folder.path()).status()?;
            ensure(owned.success(), "the folder of PostgreSQL can't be given to its user")?;
        }
        let port = free_port()?;
        let server = Self { folder, port };
        let data = server.data();
        run(tool("initdb").arg("-D").arg(&data).args(["-A", "trust", "-U", USER]))?;
        // Its own defaults otherwise; 128 MB of shared buffers hold the rows that are streamed.
        let options = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c max_connections=200 \
             -c unix_socket_directories={}",
            server.folder.path().display()
        );
        let log = server.folder.path().join("log");
        run(tool("pg_ctl")
            .arg("-D")
            .arg(&data)
            .arg("-l")
            .arg(log)
            .args(["-o", &options, "-w", "start"]))?;
        Ok(server)
    }

    pub(crate) async fn connect(&self) -> Result<Client> {
        connect(self.port, USER, USER).await
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let stop = run(tool("pg_ctl").arg("-D").arg(self.data()).args(["-m", "immediate", "stop"]));
        if let Err(error) = stop {
            eprintln!("PostgreSQL could not be stopped: {error}");
        }
    }
}

/// A connection by the client that all figures of the wire are measured with.
pub(crate) async fn connect(port: u16, user: &str, database: &str) -> Result<Client> {
    let options = format!("host=127.0.0.1 port={port} user={user} dbname={database}");
    let (client, connection) = tokio_postgres::connect(&options, NoTls).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            eprintln!("a connection ended: {error}");
        }
    });
    Ok(client)
}

/// A port that was free just now.
pub(crate) fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| status.lines().any(|line| line.starts_with("Uid:\t0\t")))
}

/// A program of PostgreSQL's, as its user where we are root.
fn tool(name: &str) -> Command {
    let bin = std::env::var_os("CANON_BENCH_POSTGRES_BIN").unwrap_or_else(|| BIN.into());
    let program = Path::new(&bin).join(name);
    let mut command = match is_root() {
        true => {
            let mut command = Command::new("runuser");
            command.args(["-u", USER, "--"]).arg(program);
            command
        }
        false => Command::new(program),
    };
    command.current_dir("/").stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> Result<()> {
    // Not captured through pipes: pg_ctl's server would keep them open.
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    ensure(status.success(), &format!("{command:?} failed"))
}

fn ensure(holds: bool, otherwise: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}
