//! Text to statements with spans, and the catalogue that clients look around in.

pub mod catalog;
mod error;
pub mod parse;
pub mod settings;
pub mod timezone;
pub mod types;
pub mod value;

pub use error::SqlError;
