//! Answers kept in memory: one computation for equal questions, dropped when the data change or the
//! freshness budget ends.

mod flight;
mod key;
mod sources;
mod store;

pub use key::{CacheKey, KeyPlan, ModelFingerprint};
pub use sources::SourceStates;
pub use store::{Answer, Cache, CacheStats, Outcome};
