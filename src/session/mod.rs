//! A client's session: identity, settings, transaction state, statements and portals.

mod engine;
mod error;

pub use engine::{Column, Engine, Notice, PreparedQuery, QueryRows, QueryText, RequestContext};
pub use error::SessionError;
