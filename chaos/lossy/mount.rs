//! A [`Disk`] as a mounted file system, through FUSE, served by a thread of this process.
//!
//! The kernel keeps no names or attributes (their lifetime is zero) and drops a file's pages when it
//! is opened, and writes reach the disk at once: so a power cut needs no word to the kernel, only that
//! nothing has a file open.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, KernelConfig, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow,
    WriteFlags,
};
use parking_lot::{Mutex, MutexGuard};

use super::Mercy;
use super::content::PAGE_BYTES;
use super::disk::{Disk, Inode, Kind, ROOT, Refusal};
use super::names::Ino;

/// How long the kernel may remember a name or attributes: never, see the module's text.
const REMEMBER: Duration = Duration::ZERO;

/// The size that `statfs` gives; a master must not think that its disk is nearly full.
const SIZE_BYTES: u64 = 64 << 30;

/// A mounted disk; unmounted on drop. What it holds is lost with it.
pub struct LossyMount {
    shared: Arc<Shared>,
    path: PathBuf,
    session: Option<BackgroundSession>,
}

impl LossyMount {
    /// Mounts an empty disk at `path`, an existing directory.
    ///
    /// # Errors
    /// Without `/dev/fuse` or the right to mount.
    pub fn new(path: &Path) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("lossy".into()), MountOption::NoAtime];
        let session = fuser::spawn_mount(Served(Arc::clone(&shared)), path, &config)?;
        Ok(Self { shared, path: path.to_owned(), session: Some(session) })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Loses power; see [`Disk::power_cut`]. No process may have a file open.
    pub fn power_cut(&self, mercy: Mercy, seed: u64) {
        self.shared.disk.lock().power_cut(mercy, seed);
    }

    /// How many files hold bytes that a power cut may take.
    pub fn dirty_files(&self) -> usize {
        self.shared.disk.lock().dirty_files()
    }

    /// Bytes in all files.
    pub fn used_bytes(&self) -> u64 {
        self.shared.disk.lock().used_bytes()
    }

    /// Hangs: every sync from now on is held, and whoever asked for it cannot even be killed. All else goes on.
    pub fn hold_syncs(&self) {
        self.shared.held.lock().get_or_insert_default();
    }

    /// How many syncs are held.
    pub fn held_syncs(&self) -> usize {
        self.shared.held.lock().as_ref().map_or(0, Vec::len)
    }

    /// Lets the syncs go, those that are held and those to come.
    pub fn release_syncs(&self) {
        let held = self.shared.held.lock().take();
        held.into_iter().flatten().for_each(|(sync, reply)| self.shared.sync(sync, reply));
    }
}

impl Drop for LossyMount {
    fn drop(&mut self) {
        self.release_syncs();
        // A file still open keeps a plain unmount from working; the serving thread ends either way.
        if let Some(session) = self.session.take()
            && session.umount_and_join().is_err()
        {
            let _ = std::process::Command::new("umount").arg("-l").arg(&self.path).status();
        }
    }
}

/// The disk, and who waits for it.
#[derive(Default)]
struct Shared {
    disk: Mutex<Disk>,
    /// Syncs that wait while the disk hangs; `None` while it does not.
    held: Mutex<Option<Vec<(Sync, ReplyEmpty)>>>,
}

/// What is made durable.
#[derive(Clone, Copy)]
enum Sync {
    File(Ino),
    Directory(Ino),
}

impl Shared {
    /// Syncs, or holds who asked for it.
    fn sync(&self, sync: Sync, reply: ReplyEmpty) {
        if let Some(held) = self.held.lock().as_mut() {
            return held.push((sync, reply));
        }
        let mut disk = self.disk.lock();
        let done = match sync {
            Sync::File(ino) => disk.sync_file(ino),
            Sync::Directory(ino) => {
                disk.sync_directory(ino);
                Ok(())
            }
        };
        reply_empty(done, reply);
    }
}

/// What FUSE calls into.
struct Served(Arc<Shared>);

impl Served {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.disk.lock()
    }
}

/// Finds an inode and counts the kernel's reference to it.
fn enter(disk: &mut Disk, found: Result<Ino, Refusal>) -> Result<FileAttr, Errno> {
    let ino = found.map_err(errno)?;
    disk.hold(ino);
    attributes(disk, ino)
}

fn attributes(disk: &Disk, ino: Ino) -> Result<FileAttr, Errno> {
    let inode = disk.inode(ino).map_err(errno)?;
    let modified = UNIX_EPOCH + Duration::from_millis(inode.modified_ms);
    let size = match &inode.kind {
        Kind::File(content) => content.len() as u64,
        Kind::Directory => PAGE_BYTES as u64,
        Kind::Symlink(target) => target.len() as u64,
    };
    Ok(FileAttr {
        ino: INodeNo(ino),
        size,
        blocks: size.div_ceil(512),
        atime: modified,
        mtime: modified,
        ctime: modified,
        crtime: modified,
        kind: file_type(inode),
        perm: inode.mode,
        nlink: disk.links(ino),
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: PAGE_BYTES as u32,
        flags: 0,
    })
}

fn file_type(inode: &Inode) -> FileType {
    match inode.kind {
        Kind::File(_) => FileType::RegularFile,
        Kind::Directory => FileType::Directory,
        Kind::Symlink(_) => FileType::Symlink,
    }
}

fn errno(refusal: Refusal) -> Errno {
    Errno::from_i32(refusal)
}

fn reply_entry(found: Result<FileAttr, Errno>, reply: ReplyEntry) {
    match found {
        Ok(attributes) => reply.entry(&REMEMBER, &attributes, Generation(0)),
        Err(refusal) => reply.error(refusal),
    }
}

fn reply_attributes(found: Result<FileAttr, Errno>, reply: ReplyAttr) {
    match found {
        Ok(attributes) => reply.attr(&REMEMBER, &attributes),
        Err(refusal) => reply.error(refusal),
    }
}

fn reply_empty(done: Result<(), Refusal>, reply: ReplyEmpty) {
    match done {
        Ok(()) => reply.ok(),
        Err(refusal) => reply.error(errno(refusal)),
    }
}

impl Filesystem for Served {
    fn init(&mut self, _: &Request, _: &mut KernelConfig) -> io::Result<()> {
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut disk = self.disk();
        let found = disk.find(parent.0, name);
        reply_entry(enter(&mut disk, found), reply);
    }

    fn forget(&self, _: &Request, ino: INodeNo, count: u64) {
        self.disk().forget(ino.0, count);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply_attributes(attributes(&self.disk(), ino.0), reply);
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<std::time::SystemTime>,
        _: Option<FileHandle>,
        _: Option<std::time::SystemTime>,
        _: Option<std::time::SystemTime>,
        _: Option<std::time::SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut disk = self.disk();
        if let (Some(mode), Ok(inode)) = (mode, disk.inode_mut(ino.0)) {
            inode.mode = (mode & 0o7777) as u16;
        }
        if let (Some(size), Ok(content)) = (size, disk.content_mut(ino.0)) {
            content.set_len(size as usize);
        }
        reply_attributes(attributes(&disk, ino.0), reply);
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        match self.disk().inode(ino.0).map(|inode| &inode.kind) {
            Ok(Kind::Symlink(target)) => reply.data(target.as_encoded_bytes()),
            _ => reply.error(Errno::EINVAL),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let mut disk = self.disk();
        let mode = (mode & !umask & 0o7777) as u16;
        let made = disk.create(parent.0, name, Kind::Directory, mode, base::env::wall_ms());
        reply_entry(enter(&mut disk, made), reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply_empty(self.disk().unlink(parent.0, name), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply_empty(self.disk().rmdir(parent.0, name), reply);
    }

    fn symlink(&self, _: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let mut disk = self.disk();
        let kind = Kind::Symlink(target.as_os_str().to_owned());
        let made = disk.create(parent.0, name, kind, 0o777, base::env::wall_ms());
        reply_entry(enter(&mut disk, made), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let mut disk = self.disk();
        let is_taken = disk.find(new_parent.0, new_name).is_ok();
        let done = match flags {
            RenameFlags::RENAME_NOREPLACE if is_taken => Err(libc::EEXIST),
            flags if (flags - RenameFlags::RENAME_NOREPLACE).is_empty() => {
                disk.rename((parent.0, name), (new_parent.0, new_name))
            }
            _ => Err(libc::EINVAL),
        };
        reply_empty(done, reply);
    }

    fn link(&self, _: &Request, ino: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut disk = self.disk();
        let linked = disk.link(ino.0, parent.0, name).map(|()| ino.0);
        reply_entry(enter(&mut disk, linked), reply);
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::empty());
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let mut disk = self.disk();
        let mode = (mode & !umask & 0o7777) as u16;
        let made = disk.create(parent.0, name, Kind::File(Default::default()), mode, base::env::wall_ms());
        match enter(&mut disk, made) {
            Ok(attributes) => {
                reply.created(&REMEMBER, &attributes, Generation(0), FileHandle(0), FopenFlags::empty())
            }
            Err(refusal) => reply.error(refusal),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.disk().content(ino.0) {
            Ok(content) => reply.data(content.read(offset as usize, size as usize)),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut disk = self.disk();
        match disk.content_mut(ino.0) {
            Ok(content) => content.write(offset as usize, data),
            Err(refusal) => return reply.error(errno(refusal)),
        }
        if let Ok(inode) = disk.inode_mut(ino.0) {
            inode.modified_ms = base::env::wall_ms();
        }
        reply.written(data.len() as u32);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.0.sync(Sync::File(ino.0), reply);
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let disk = self.disk();
        let dots = [(OsStr::new("."), ino.0), (OsStr::new(".."), ROOT)];
        let entries = disk.entries(ino.0).map(|(name, ino)| (name.as_os_str(), ino));
        for (at, (name, ino)) in dots.into_iter().chain(entries).enumerate().skip(offset as usize) {
            let kind = disk.inode(ino).map_or(FileType::RegularFile, file_type);
            if reply.add(INodeNo(ino), at as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.0.sync(Sync::Directory(ino.0), reply);
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let block = PAGE_BYTES as u64;
        let free = SIZE_BYTES.saturating_sub(self.disk().used_bytes()) / block;
        reply.statfs(SIZE_BYTES / block, free, free, 1 << 20, 1 << 20, block as u32, 255, block as u32);
    }

    fn access(&self, _: &Request, _: INodeNo, _: fuser::AccessFlags, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        // Space is never short here, so only the mode that moves the end of the file does anything.
        let done = match mode {
            0 => self.disk().content_mut(ino.0).map(|content| {
                let len = content.len().max((offset + length) as usize);
                content.set_len(len);
            }),
            libc::FALLOC_FL_KEEP_SIZE => Ok(()),
            _ => Err(libc::EOPNOTSUPP),
        };
        reply_empty(done, reply);
    }
}
