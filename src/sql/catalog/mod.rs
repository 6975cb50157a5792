//! pg_catalog and information_schema as relations that DataFusion evaluates.
