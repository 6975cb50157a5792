//! Functions of our own that plans are written in, beside DataFusion's.
