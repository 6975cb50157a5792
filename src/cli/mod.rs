//! What the commands do, as plain functions over a writer.

pub mod check;
pub mod schema;
