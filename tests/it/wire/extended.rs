//! extended
