//! Tests from outside: one binary for all tests that run canon as its users do.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod answers;
mod backend;
//! Tests from outside: the server as its clients see it.

mod wire;
//! Integration tests: one binary, a module for each subject.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod clickhouse;
mod clickhouse_server;
mod definitions;
//! Tests from outside: the built `canon` binary, asked as its clients ask it.

mod clickhouse_server;
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
