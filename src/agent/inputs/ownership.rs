//! The group of a pod (`fsGroup`) owns its volumes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::disk::Disk;
use crate::error::Error;

/// Bits that are added for the group, as in Kubernetes.
const READ_WRITE: u32 = 0o660;
const READ_ONLY: u32 = 0o440;
const FOLDER: u32 = 0o2110;

/// Gives a folder and all in it to a group, the innermost first: what is made in it later is the group's too.
///
/// Only for folders to which no container writes yet or ever: it goes by paths.
///
/// # Errors
/// A file could not be read or changed.
pub(crate) fn give_to_group(
    disk: &dyn Disk,
    path: &Path,
    group: u32,
    is_read_only: bool,
) -> Result<(), Error> {
    let meta = fs::symlink_metadata(path).map_err(|why| Error::file("stat", path, why))?;
    if meta.is_dir() {
        let entries = fs::read_dir(path).map_err(|why| Error::file("read", path, why))?;
        for entry in entries {
            let entry = entry.map_err(|why| Error::file("read", path, why))?;
            give_to_group(disk, &entry.path(), group, is_read_only)?;
        }
    }
    let added = if is_read_only { READ_ONLY } else { READ_WRITE } | if meta.is_dir() { FOLDER } else { 0 };
    // A change of a symlink's bits would be one of what it leads to.
    let mode = (!meta.is_symlink()).then_some(meta.permissions().mode() & 0o7777 | added);
    disk.give_to_group(path, group, mode).map_err(|why| Error::file("chown", path, why))
}
