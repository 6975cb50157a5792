//! From a bound query to a plan over sources: versions, eligibility, time, joins and dedupe, each
//! measure evaluated where it is forced. No IO, no async, no clock: same input, same plan.

mod error;
pub mod latest;
pub mod source;

pub use error::PlanError;
