//! One line for each statement, in the log and in memory.

mod log;
mod setup;
mod stats;

pub use log::{Entry, QueryLog, Statement};
pub use setup::{LogFormat, init};
pub use stats::RunStats;
