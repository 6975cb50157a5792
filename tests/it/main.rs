//! Integration tests: the library as clients of its parts see it.

mod catalog;
