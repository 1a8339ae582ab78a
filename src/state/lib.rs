//! The replicated machine: `apply(State, entry) -> State + Changes + Outcomes`, pure and total.
//!
//! Kind-agnostic: objects are bytes with the little beside them that apply decides on. No clock, no
//! randomness, no I/O, no hash-map order: the same log gives byte-identical state on every master.

pub mod apply;
pub mod body;
pub mod change;
pub mod codec;
mod counters;
mod draft;
pub mod frame;
mod guard;
mod hash;
pub mod image;
pub mod labels;
pub mod level;
pub mod limits;
pub mod object;
mod outcomes;
mod prefixes;
mod range;
mod shared;
pub mod state;

pub mod txn;
mod validate;

pub use apply::{Applied, Entry, apply};
pub use body::Body;
pub use change::Change;
pub use level::{FEATURE_LEVEL_MAX, LEVELS, Levels};
pub use limits::{Oversize, check};
pub use object::{Meta, Object};
pub use state::State;
pub use txn::{Batch, Guard, Outcome, Refusal, Stamp, Txn, Write};
pub use validate::Damage;
