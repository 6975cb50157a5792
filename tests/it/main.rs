//! One binary for all tests that run canon from outside, as its users do.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod clickhouse_server;
mod oracle;
mod property;
