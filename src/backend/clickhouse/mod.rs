//! ClickHouse over HTTP: one statement for the largest part of a plan.
