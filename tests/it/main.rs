//! One binary for all tests that run canon as its users do.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod answers;
mod backend;
mod bi_clients;
mod catalog;
mod clickhouse;
mod clickhouse_server;
mod clients;
mod control;
mod definitions;
mod descriptions;
mod endless;
mod examples;
mod explain;
mod fixture;
mod functions;
mod generate;
mod integers;
mod journeys;
mod long_statements;
mod oracle;
mod origins;
mod parameters;
mod property;
mod pruning;
mod questions;
mod render;
mod segments;
mod servers;
mod sessions;
mod slt;
mod snapshots;
mod stages;
mod tools;
mod wire;
