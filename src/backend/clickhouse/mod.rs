//! The backend that asks a ClickHouse server over HTTP.

pub mod facts;
pub mod generate;
