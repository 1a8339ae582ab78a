//! Random objects, and Kubernetes' own libraries to compare with.

#![allow(dead_code, unused_imports, reason = "each test file uses some of these")]

pub mod causes;
pub mod mutate;
pub mod oracle;
pub mod rules;
pub mod samples;
#[path = "../../fuzz/schemas.rs"]
pub mod schemas;
#[path = "../../fuzz/shapes.rs"]
mod shapes;
pub mod sources;

pub use shapes::{Dice, blend, object, speak};
