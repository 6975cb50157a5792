//! What canon costs, beside PostgreSQL and ClickHouse in the same run: `benches/README.md`.
#![allow(clippy::print_stdout, reason = "the figures are its output")]

#[path = "canon/clickhouse.rs"]
mod clickhouse;
#[path = "canon/definitions.rs"]
mod definitions;
#[path = "canon/lookup.rs"]
mod lookup;
#[path = "canon/memory.rs"]
mod memory;
#[path = "canon/overhead.rs"]
mod overhead;
#[path = "canon/planning.rs"]
mod planning;
#[path = "canon/postgres.rs"]
mod postgres;
#[path = "canon/report.rs"]
mod report;
#[path = "canon/server.rs"]
mod server;
#[path = "canon/stages.rs"]
mod stages;
#[path = "canon/start.rs"]
mod start;
#[path = "canon/stream.rs"]
mod stream;
#[path = "canon/types.rs"]
mod types;
#[path = "canon/wire.rs"]
mod wire;

use std::process::ExitCode;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const PARTS: [&str; 7] = ["planning", "types", "wire", "lookup", "stream", "overhead", "start"];
/// As `canon` itself: plans of deep statements are walked recursively.
const WORKER_STACK_BYTES: usize = 16 << 20;

fn main() -> ExitCode {
    // Cargo adds `--bench` to the arguments.
    let mut parts: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    if parts.is_empty() || parts.iter().any(|part| part == "all") {
        parts = PARTS.map(str::to_owned).to_vec();
    }
    if let Some(unknown) = parts.iter().find(|part| !PARTS.contains(&part.as_str())) {
        eprintln!("there is no part \"{unknown}\"; there are all, {}", PARTS.join(", "));
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(WORKER_STACK_BYTES)
        .build();
    let done = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(&parts)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("the bench failed: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprint!(": {error}");
                cause = error.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

async fn run(parts: &[String]) -> Result<()> {
    report::machine();
    for part in parts {
        match part.as_str() {
            "planning" => planning::run().await?,
            "types" => types::run().await?,
            "wire" => wire::run().await?,
            "lookup" => lookup::run().await?,
            "stream" => stream::run().await?,
            "overhead" => overhead::run().await?,
            _ => start::run().await?,
        }
    }
    Ok(())
}
