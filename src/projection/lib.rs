//! What controllers stand on: the [`World`] that they see, what a [`Controller`] is, and the [`runner`] that carries
//! out what they plan.
//!
//! ```text
//! Changes ──> World (folded on every master) ──> wakes ──> Queue ──> plan ──> intents ──> Submit ──> the log
//!                                                (the leader only)     │                               │
//!                                                                      └─> reasons ──> Events          │
//!                     ^────────────────────────── applied ────────────────────────────────────────────┘
//! ```
//!
//! # Guarantees
//! - A plan is pure: World, key, outcomes and time in, a [`Plan`] out. What stands in World is one State and indexes of
//!   exactly that State.
//! - A key is planned again only after its own writes are applied here, so a plan always sees what it did.
//! - Every intent is guarded by the leader's term: a master that leads no longer changes nothing.

pub mod affinity;
pub mod ages;
mod behind;
mod cache;
pub mod controller;
pub mod definitions;
pub mod intent;
pub mod labels;
pub mod limits;
mod metrics;
pub mod nodes;
pub mod office;
pub mod owners;
mod places;
pub mod pods;
mod queue;
mod recent;
mod recorder;
pub mod resources;
pub mod rules;
pub mod runner;
pub mod selectors;
pub mod submit;
pub mod testing;
pub mod whatif;
pub mod world;

pub use controller::{Controller, LastOutcomes, Plan, Reason, Refused, Wakes};
pub use intent::{Intent, Op, Told};
pub use runner::{Facts, Leadership, Options, Runner, Source};
pub use submit::{Done, NotDone, Submit};
pub use world::World;
