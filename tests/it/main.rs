//! Tests from outside: the built `canon` binary and its parts, asked as their users ask them. One
//! binary for all, a module for each subject.
//! One binary for all tests that run canon from outside, as its users do.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod answers;
mod backend;
mod clickhouse;
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
mod definitions;
mod scratch;
mod wire;
//! Integration tests: the library as clients of its parts see it.

mod catalog;
