//! One binary for all tests that run canon from outside, as its users do.
//! One binary for all tests that run canon as its users do.
//! Tests from outside: the built `canon` binary and its parts, asked as their users ask them. One
//! binary for all, a module for each subject.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod clickhouse_server;
mod oracle;
mod property;
mod clients;
mod control;
mod definitions;
mod fixture;
mod parameters;
mod render;
mod scratch;
mod servers;
mod slt;
mod stages;
mod wire;
