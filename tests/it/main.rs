//! Tests from outside: the server as its clients see it.

mod wire;
