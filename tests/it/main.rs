//! One binary for all tests that run canon from outside, as its users do.
//! One binary for all tests that run canon as its users do.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod clickhouse_server;
mod oracle;
mod property;
mod clients;
mod control;
mod definitions;
mod fixture;
mod parameters;
mod render;
mod servers;
mod slt;
mod stages;
mod wire;
