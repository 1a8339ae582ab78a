//! A file system in memory that knows what is durable. Pure: no kernel, no threads, no clock.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::Mercy;
use super::content::Content;
use super::names::{Edit, Ino, Names};

/// The root directory's inode, as FUSE wants it.
pub const ROOT: Ino = 1;

/// An `errno`.
pub type Refusal = i32;

/// What an inode is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A regular file.
    File(Content),
    /// A directory; its entries are in [`Names`].
    Directory,
    /// A symbolic link.
    Symlink(OsString),
}

/// One inode.
#[derive(Clone, Debug)]
pub struct Inode {
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u16,
    /// Last modification, milliseconds since the Unix epoch.
    pub modified_ms: u64,
    /// References the kernel holds: the inode outlives its last name until they are given back.
    lookups: u64,
}

/// The whole file system.
///
/// # Guarantees
/// Those of [`Names`] for directories and of [`Content`] for files, and no more: fsync of a file does
/// not make its name durable, fsync of a directory does not make its files' bytes durable. That is
/// what POSIX promises; every state that ext4, XFS or btrfs may leave can also be left here.
#[derive(Debug)]
pub struct Disk {
    inodes: BTreeMap<Ino, Inode>,
    names: Names,
    next: Ino,
}

impl Default for Disk {
    fn default() -> Self {
        let mut names = Names::default();
        names.add_directory(ROOT);
        let root = Inode { kind: Kind::Directory, mode: 0o755, modified_ms: 0, lookups: 1 };
        Self { inodes: BTreeMap::from([(ROOT, root)]), names, next: ROOT + 1 }
    }
}

impl Disk {
    /// The inode `ino`.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn inode(&self, ino: Ino) -> Result<&Inode, Refusal> {
        self.inodes.get(&ino).ok_or(libc::ENOENT)
    }

    /// The inode `ino`, to change.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn inode_mut(&mut self, ino: Ino) -> Result<&mut Inode, Refusal> {
        self.inodes.get_mut(&ino).ok_or(libc::ENOENT)
    }

    /// The bytes of file `ino`.
    ///
    /// # Errors
    /// `ENOENT`; `EISDIR` for what has no bytes.
    pub fn content(&self, ino: Ino) -> Result<&Content, Refusal> {
        match &self.inode(ino)?.kind {
            Kind::File(content) => Ok(content),
            _ => Err(libc::EISDIR),
        }
    }

    /// The bytes of file `ino`, to change.
    ///
    /// # Errors
    /// As [`Disk::content`].
    pub fn content_mut(&mut self, ino: Ino) -> Result<&mut Content, Refusal> {
        match &mut self.inode_mut(ino)?.kind {
            Kind::File(content) => Ok(content),
            _ => Err(libc::EISDIR),
        }
    }

    /// How many names `ino` has.
    pub fn links(&self, ino: Ino) -> u32 {
        if self.names.is_directory(ino) { 2 } else { self.names.links(ino) }
    }

    /// What `name` in `directory` names.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn find(&self, directory: Ino, name: &OsStr) -> Result<Ino, Refusal> {
        self.names.get(directory, name).ok_or(libc::ENOENT)
    }

    /// The entries of `directory`, by name.
    pub fn entries(&self, directory: Ino) -> impl Iterator<Item = (&OsString, Ino)> {
        self.names.entries(directory)
    }

    /// Counts one reference of the kernel.
    pub fn hold(&mut self, ino: Ino) {
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.lookups += 1;
        }
    }

    /// Takes `count` references back.
    pub fn forget(&mut self, ino: Ino, count: u64) {
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.lookups = inode.lookups.saturating_sub(count);
        }
    }

    /// Makes a new inode named `name`.
    ///
    /// # Errors
    /// `EEXIST`; `ENOENT` when `directory` is none.
    pub fn create(
        &mut self,
        directory: Ino,
        name: &OsStr,
        kind: Kind,
        mode: u16,
        now_ms: u64,
    ) -> Result<Ino, Refusal> {
        if !self.names.is_directory(directory) {
            return Err(libc::ENOENT);
        }
        if self.names.get(directory, name).is_some() {
            return Err(libc::EEXIST);
        }
        let ino = self.next;
        self.next += 1;
        if matches!(kind, Kind::Directory) {
            self.names.add_directory(ino);
        }
        self.inodes.insert(ino, Inode { kind, mode, modified_ms: now_ms, lookups: 0 });
        self.names.change(vec![set(directory, name, ino)]);
        Ok(ino)
    }

    /// Gives file `ino` one more name.
    ///
    /// # Errors
    /// `EEXIST`, `ENOENT`; `EPERM` for a directory.
    pub fn link(&mut self, ino: Ino, directory: Ino, name: &OsStr) -> Result<(), Refusal> {
        self.inode(ino)?;
        if self.names.is_directory(ino) {
            return Err(libc::EPERM);
        }
        if self.names.get(directory, name).is_some() {
            return Err(libc::EEXIST);
        }
        self.names.change(vec![set(directory, name, ino)]);
        Ok(())
    }

    /// Removes the name of a file.
    ///
    /// # Errors
    /// `ENOENT`; `EISDIR` for a directory.
    pub fn unlink(&mut self, directory: Ino, name: &OsStr) -> Result<(), Refusal> {
        if self.names.is_directory(self.find(directory, name)?) {
            return Err(libc::EISDIR);
        }
        self.names.change(vec![unset(directory, name)]);
        self.collect();
        Ok(())
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `ENOTEMPTY`.
    pub fn rmdir(&mut self, directory: Ino, name: &OsStr) -> Result<(), Refusal> {
        let ino = self.find(directory, name)?;
        self.check_empty(ino)?;
        self.names.change(vec![unset(directory, name)]);
        Ok(())
    }

    fn check_empty(&self, ino: Ino) -> Result<(), Refusal> {
        if !self.names.is_directory(ino) {
            return Err(libc::ENOTDIR);
        }
        if self.names.entries(ino).next().is_some() {
            return Err(libc::ENOTEMPTY);
        }
        Ok(())
    }

    /// Moves a name, replacing what the new one named. Both halves survive a power cut or neither.
    ///
    /// # Errors
    /// `ENOENT`; `EISDIR`, `ENOTDIR`, `ENOTEMPTY` when the old target does not fit the new one.
    pub fn rename(&mut self, from: (Ino, &OsStr), to: (Ino, &OsStr)) -> Result<(), Refusal> {
        let ino = self.find(from.0, from.1)?;
        if !self.names.is_directory(to.0) {
            return Err(libc::ENOENT);
        }
        if let Some(replaced) = self.names.get(to.0, to.1) {
            if replaced == ino {
                return Ok(());
            }
            match (self.names.is_directory(ino), self.names.is_directory(replaced)) {
                (true, true) => self.check_empty(replaced)?,
                (true, false) => return Err(libc::ENOTDIR),
                (false, true) => return Err(libc::EISDIR),
                (false, false) => {}
            }
        }
        self.names.change(vec![unset(from.0, from.1), set(to.0, to.1, ino)]);
        Ok(())
    }

    /// fsync or fdatasync of a file: its bytes and its length are durable.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn sync_file(&mut self, ino: Ino) -> Result<(), Refusal> {
        if let Kind::File(content) = &mut self.inode_mut(ino)?.kind {
            content.sync();
        }
        Ok(())
    }

    /// fsync of a directory: its entries are durable.
    pub fn sync_directory(&mut self, directory: Ino) {
        self.names.sync(directory);
        self.collect();
    }

    /// Loses power. The same seed on the same disk leaves the same.
    pub fn power_cut(&mut self, mercy: Mercy, seed: u64) {
        let mut random = SmallRng::seed_from_u64(seed);
        self.names.cut(mercy, &mut random);
        for inode in self.inodes.values_mut() {
            if let Kind::File(content) = &mut inode.kind {
                content.cut(mercy, &mut random);
            }
        }
        self.collect();
    }

    /// How many files hold bytes that a power cut may take.
    pub fn dirty_files(&self) -> usize {
        let is_dirty = |inode: &&Inode| matches!(&inode.kind, Kind::File(content) if content.is_dirty());
        self.inodes.values().filter(is_dirty).count()
    }

    /// Bytes in all files.
    pub fn used_bytes(&self) -> u64 {
        let size = |inode: &Inode| match &inode.kind {
            Kind::File(content) => content.len() as u64,
            _ => 0,
        };
        self.inodes.values().map(size).sum()
    }

    /// Drops inodes that no name, on disk or live, and no open file reaches.
    fn collect(&mut self) {
        let referenced = self.names.referenced();
        self.inodes.retain(|ino, inode| inode.lookups > 0 || referenced.contains(ino));
        let inodes = &self.inodes;
        self.names.drop_directories(|ino| inodes.contains_key(&ino));
    }
}

fn set(directory: Ino, name: &OsStr, target: Ino) -> Edit {
    Edit { directory, name: name.to_owned(), target: Some(target) }
}

fn unset(directory: Ino, name: &OsStr) -> Edit {
    Edit { directory, name: name.to_owned(), target: None }
}
