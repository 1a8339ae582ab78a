//! What the tests of this crate share.

#![allow(dead_code, reason = "each test crate uses its part")]

pub mod cluster;
pub mod machine;
