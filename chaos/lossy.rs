//! A file system that loses power: it keeps what was synced, and of everything else a random part.
//!
//! [`content`] knows bytes, [`names`] knows directory entries, [`disk`] is both as one pure file
//! system, [`mount`] serves it through FUSE.

pub mod content;
pub mod disk;
pub mod mount;
pub mod names;

pub use mount::LossyMount;

#[cfg(test)]
mod tests;
