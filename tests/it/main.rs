//! Tests from outside: the built `canon` binary and its parts, asked as their users ask them. One
//! binary for all, a module for each subject.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod answers;
mod backend;
mod catalog;
mod clickhouse;
mod clickhouse_server;
mod clients;
mod control;
mod definitions;
mod fixture;
mod generate;
mod parameters;
mod render;
mod servers;
mod slt;
mod stages;
mod wire;
