//! Names and types of a statement, resolved against the model.

mod error;

pub use error::BindError;
