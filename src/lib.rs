//! canon: the one place where a company's numbers are defined, and the one door through which
//! they are asked for.
//!
//! | stage | takes | gives | never knows of |
//! |---|---|---|---|
//! | [`model`] | a folder of YAML | a `Model` and all findings | sockets, clients' SQL |
//! | [`sql`] | text | statements with spans | metrics |
//! | [`bind`] | a statement, `&Model` | a `BoundQuery`: every name resolved, every type known | backends |
//! | [`plan`] | a `BoundQuery` | a plan over sources | IO, the wall clock |
//! | [`backend`] | a plan | a stream of record batches | metric names, Postgres types |
//! | [`cache`] | a `CacheKey` | batches, or leave to compute them once | how batches are made |
//! | [`session`] | a statement and who asks | rows, or a `QueryError` | bytes |
//! | [`wire`] | bytes | messages | plans |
//!
//! A stage uses only the stages above it, [`functions`], [`diagnostic`] and [`observe`]; [`govern`] uses [`model`].

pub mod backend;
pub mod bind;
pub mod cache;
pub mod cli;
pub mod diagnostic;
pub mod error;
pub mod functions;
pub mod govern;
pub mod model;
pub mod observe;
pub mod plan;
pub mod session;
pub mod sql;
pub mod wire;
