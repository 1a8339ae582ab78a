//! The changes of files that the writer makes, behind a trait so that a test can let any of them fail.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, lchown, symlink};
use std::path::Path;

use crate::payload::File;

/// Changes of files in folders that only the agent writes to.
pub(crate) trait Disk {
    /// A folder with exactly these permission bits; the one above it is there.
    fn create_folder(&self, path: &Path, mode: u32) -> io::Result<()>;
    /// A file that was not there.
    fn create_file(&self, path: &Path, file: &File) -> io::Result<()>;
    /// A symlink that was not there.
    fn create_link(&self, target: &Path, path: &Path) -> io::Result<()>;
    /// Puts one name in the place of another, in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// A file or symlink goes.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// A folder goes with all in it.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;
    /// The group of a file, folder or symlink, and for the first two the permission bits.
    fn give_to_group(&self, path: &Path, group: u32, mode: Option<u32>) -> io::Result<()>;
}

/// The node's own disk.
pub(crate) struct NodeDisk;

impl Disk for NodeDisk {
    fn create_folder(&self, path: &Path, mode: u32) -> io::Result<()> {
        DirBuilder::new().mode(mode).create(path)?;
        // What the umask took away.
        fs::set_permissions(path, Permissions::from_mode(mode))
    }

    fn create_file(&self, path: &Path, file: &File) -> io::Result<()> {
        let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        opened.write_all(&file.data)?;
        lchown(path, file.owner, None)?;
        opened.set_permissions(Permissions::from_mode(file.mode))
    }

    fn create_link(&self, target: &Path, path: &Path) -> io::Result<()> {
        symlink(target, path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn give_to_group(&self, path: &Path, group: u32, mode: Option<u32>) -> io::Result<()> {
        lchown(path, None, Some(group))?;
        mode.map_or(Ok(()), |mode| fs::set_permissions(path, Permissions::from_mode(mode)))
    }
}
