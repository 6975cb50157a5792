//! An oracle that knows nothing of canon's plans: small random data, definitions and questions, and
//! their answers computed row by row.
//!
//! One tree of each expression gives both its text, which canon reads, and its value, which canon's
//! answer is compared with.

pub(crate) mod answer;
pub(crate) mod arrow;
pub(crate) mod calendar;
pub(crate) mod definitions;
pub(crate) mod dice;
pub(crate) mod expression;
pub(crate) mod question;
pub(crate) mod value;
pub(crate) mod world;
pub(crate) mod zone;
