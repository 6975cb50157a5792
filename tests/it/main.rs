//! One binary for all tests that run canon as its users do.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod backend;
mod clickhouse;
mod clickhouse_server;
mod definitions;
mod wire;
