//! Text to statements with spans, and the catalogue that clients look around in.

pub mod catalog;
mod error;
pub mod types;

pub use error::SqlError;
