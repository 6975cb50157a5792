//! Where events go.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How events are written to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Sends events to standard error. `filter` is a `tracing` filter such as `info,canon::cache=debug`;
/// one that doesn't parse falls back to `info`, with a warning. Does nothing the second time.
pub fn init(format: LogFormat, filter: &str) {
    let (parsed, fault) = match EnvFilter::try_new(filter) {
        Ok(parsed) => (parsed, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let registry = tracing_subscriber::registry().with(parsed);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let done = match format {
        LogFormat::Text => registry.with(lines).try_init(),
        LogFormat::Json => registry.with(lines.json()).try_init(),
    };
    if let (Ok(()), Some(error)) = (done, fault) {
        tracing::warn!(%error, filter, "log filter isn't understood; logging at info");
    }
}
