//! A master's disk has no space left.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cluster::Cluster;

/// Written at once: what is left on the disk is smaller.
const CHUNK_BYTES: usize = 64 << 10;

/// A file that fills a disk.
pub struct Ballast(PathBuf);

/// Fills the disk of `name`, which must be a small file system of its own.
///
/// # Errors
/// When the disk cannot be written for another reason.
pub fn fill(cluster: &Cluster, name: &str) -> Result<Ballast> {
    let path = cluster.data(name).join("ballast");
    let mut file = std::fs::File::create(&path).with_context(|| format!("create {}", path.display()))?;
    let mut chunk = vec![0; CHUNK_BYTES];
    // Smaller and smaller pieces, until not a byte fits.
    while !chunk.is_empty() {
        match file.write_all(&chunk) {
            Ok(()) => {}
            Err(full) if full.kind() == std::io::ErrorKind::StorageFull => chunk.truncate(chunk.len() / 2),
            Err(error) => return Err(error).with_context(|| format!("fill {}", path.display())),
        }
    }
    Ok(Ballast(path))
}

impl Ballast {
    /// Frees the space.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn remove(self) -> Result<()> {
        std::fs::remove_file(&self.0).with_context(|| format!("remove {}", self.0.display()))
    }
}
