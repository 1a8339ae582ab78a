//! A file system that loses power: it keeps what was synced, and of everything else a random part.
//!
//! [`content`] knows bytes, [`names`] knows directory entries, [`disk`] is both as one pure file
//! system, [`mount`] serves it through FUSE.

pub mod content;
pub mod disk;
pub mod mount;
pub mod names;

pub use mount::LossyMount;

/// How much of what was not synced a power cut leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mercy {
    /// A random part.
    #[default]
    Random,
    /// Nothing: the disk had not begun to write any of it.
    None,
}

#[cfg(test)]
mod tests;
