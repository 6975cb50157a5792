//! The command line: arguments in, exit code out.

pub mod check;
mod definitions;
pub mod demo;
mod query;
pub mod schema;
mod serve;
mod test;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::functions;
use crate::observe::{self, LogFormat};

pub(crate) use definitions::{Failure, Opened};

/// A metrics layer that speaks the Postgres wire protocol.
#[derive(Debug, Parser)]
#[command(name = "canon", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What to log: a level, or `tracing` directives
    #[arg(long, global = true, env = "CANON_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
    /// How to write the log
    #[arg(long, global = true, env = "CANON_LOG_FORMAT", default_value = "text")]
    log_format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve metrics to Postgres clients
    Serve(serve::ServeArgs),
    /// Report every fault of a definitions folder
    Check(definitions::CheckArgs),
    /// Run the examples of metrics
    Test(test::TestArgs),
    /// Print the JSON Schema of definition files, for editors
    Schema,
    /// Run a query and print its rows
    Query(query::QueryArgs),
    /// Show the plan of a query, and what the backend would be sent
    Explain(query::ExplainArgs),
    /// Make the demo company's data
    Demo(demo::DemoArgs),
}

/// Which definitions and which backend; shared by the commands that need them.
#[derive(Debug, Clone, Args)]
pub struct SourceArgs {
    /// Folder of the definitions
    #[arg(long, env = "CANON_METRICS", default_value = "metrics", value_name = "FOLDER")]
    metrics: PathBuf,
    /// Ask the ClickHouse at this URL, whatever the project file says
    #[arg(long, env = "CANON_CLICKHOUSE_URL", value_name = "URL")]
    clickhouse_url: Option<String>,
    /// Database in ClickHouse
    #[arg(long, env = "CANON_CLICKHOUSE_DATABASE", value_name = "NAME")]
    clickhouse_database: Option<String>,
    /// User in ClickHouse; the password is read from CANON_CLICKHOUSE_PASSWORD or a file
    #[arg(long, env = "CANON_CLICKHOUSE_USER", value_name = "NAME")]
    clickhouse_user: Option<String>,
    /// File that holds the ClickHouse password
    #[arg(long, env = "CANON_CLICKHOUSE_PASSWORD_FILE", value_name = "FILE")]
    clickhouse_password_file: Option<PathBuf>,
}

/// How long threads may take to end when the command is done.
const THREADS_END_MAX: Duration = Duration::from_secs(1);

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    // The first thread's stack is as large as the shell says.
    let thread = std::thread::Builder::new().stack_size(functions::STACK_BYTES);
    match thread.spawn(run_on_large_stack).map(std::thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(error) => failed(&format!("could not start: {error}")),
    }
}

fn run_on_large_stack() -> ExitCode {
    let cli = Cli::parse();
    let format = match cli.log_format {
        Format::Text => LogFormat::Text,
        Format::Json => LogFormat::Json,
    };
    let filter = match &cli.command {
        // Other commands speak for themselves; their log is for when something is wrong.
        Command::Serve(_) => cli.log.clone(),
        _ if cli.log == "info" => "warn".to_owned(),
        _ => cli.log.clone(),
    };
    observe::init(format, &filter);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(functions::STACK_BYTES)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("could not start: {error}")),
    };
    let code = runtime.block_on(dispatch(cli.command));
    // Threads that are planning look up only when they are done; the process doesn't wait for them.
    runtime.shutdown_timeout(THREADS_END_MAX);
    code
}

async fn dispatch(command: Command) -> ExitCode {
    let mut out = io::stdout().lock();
    let done = match command {
        Command::Serve(args) => serve::run(args).await,
        Command::Check(args) => return definitions::check(args, &mut out).await,
        Command::Test(args) => return test::run(args, &mut out).await,
        Command::Schema => return exit_code(schema::run(&mut out)),
        Command::Query(args) => query::run(args, &mut out).await,
        Command::Explain(args) => query::explain(args, &mut out).await,
        Command::Demo(args) => {
            let done = demo::run(args.into(), &mut out).await;
            done.map_err(|error| Failure::Message(error.to_string()))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failed(&failure.to_string()),
    }
}

fn failed(message: &str) -> ExitCode {
    // With standard error gone there is nobody left to tell.
    let _ = writeln!(io::stderr(), "{}", message.trim_end());
    ExitCode::FAILURE
}

/// The exit code of a command that only its output can fail.
fn exit_code(done: io::Result<u8>) -> ExitCode {
    match done {
        Ok(code) => ExitCode::from(code),
        // Whoever read the output has gone, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => failed(&format!("could not write: {error}")),
    }
}
