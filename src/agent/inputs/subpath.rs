//! Part of a volume, mounted where no container can change what it leads to.
//!
//! A container can turn any path in its volume into a symlink, at any moment. So a subPath is opened by the
//! kernel in one step that cannot leave the volume (`openat2` with `RESOLVE_BENEATH`), and what was opened is
//! mounted to a place of the agent's own, by its descriptor: no path is looked at twice. Kubernetes learned
//! that by CVE-2017-1002101 and CVE-2021-25741.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat, fchmod, fstat, lstat, mkdirat, openat2};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, mount_bind, unmount};

use crate::error::Error;
use crate::mountinfo::is_mounted;

/// Permission bits of the folders that hold the mounts.
const FOLDER_MODE: u32 = 0o750;

/// How often the kernel is asked again when names moved while it looked.
const OPEN_ATTEMPTS_MAX: usize = 128;

/// Opens a part of a volume, and makes the folders to it that are missing: with the permissions of the volume
/// itself, and so, where that hands its group on, with its group.
///
/// # Errors
/// It leads out of the volume, through something that is no folder, or to nothing that could be made.
pub(crate) fn open_or_make(volume: &Path, sub_path: &str) -> Result<OwnedFd, Failed> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let volume = rustix::fs::open(volume, flags, Mode::empty()).map_err(Failed::Open)?;
    match open_beneath(&volume, sub_path) {
        Err(Errno::NOENT) => {
            make_folders(&volume, sub_path).map_err(Failed::Make)?;
            open_beneath(&volume, sub_path).map_err(Failed::Open)
        }
        opened => opened.map_err(Failed::Open),
    }
}

/// What could not be done, for the log.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// To open what is there.
    #[error("open: {0}")]
    Open(Errno),
    /// To make what is not.
    #[error("mkdir: {0}")]
    Make(Errno),
}

fn open_beneath(volume: &OwnedFd, path: &str) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..OPEN_ATTEMPTS_MAX {
        match openat2(volume, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            opened => return opened,
        }
    }
    Err(Errno::AGAIN)
}

fn make_folders(volume: &OwnedFd, sub_path: &str) -> Result<(), Errno> {
    let mode = Mode::from_raw_mode(fstat(volume)?.st_mode & 0o7777);
    let (mut parent, mut path) = (open_beneath(volume, ".")?, String::new());
    for name in sub_path.split('/').filter(|name| !matches!(*name, "" | ".")) {
        path.push_str(name);
        parent = match open_beneath(volume, &path) {
            Err(Errno::NOENT) => make_folder(&parent, name, mode)?,
            opened => opened?,
        };
        path.push('/');
    }
    Ok(())
}

/// One folder that was not there. Whatever a container puts in its place, it is no symlink that is followed.
fn make_folder(parent: &OwnedFd, name: &str, mode: Mode) -> Result<OwnedFd, Errno> {
    mkdirat(parent, name, mode)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let made = openat2(parent, name, flags, Mode::empty(), resolve)?;
    // What the umask took away.
    fchmod(&made, mode)?;
    Ok(made)
}

/// Mounts what was opened at a path of the agent's own. What is mounted there already stays if it is the same:
/// a file that was replaced in its volume since is another.
///
/// # Errors
/// The path could not be prepared, or the kernel refuses.
pub(crate) fn bind(part: &OwnedFd, target: &Path) -> Result<(), Error> {
    let wanted = fstat(part).map_err(|why| Error::file("stat", target, why))?;
    if is_mounted(target)? {
        let mounted = lstat(target).map_err(|why| Error::file("stat", target, why))?;
        if is_same(&wanted, &mounted) {
            return Ok(());
        }
        // The container that used it is gone; a process that still holds a file of it must not stop the next.
        unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
            .map_err(|why| Error::file("unmount", target, why))?;
    }
    let is_folder = FileType::from_raw_mode(wanted.st_mode) == FileType::Directory;
    prepare(target, is_folder).map_err(|why| Error::file("prepare", target, why))?;
    mount_bind(descriptor(part), target).map_err(|why| Error::file("mount", target, why))
}

fn is_same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// The path by which the kernel finds an open file again, whatever its name leads to now.
fn descriptor(file: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// An empty folder or file to mount on: a file will do for everything that is no folder.
fn prepare(target: &Path, is_folder: bool) -> io::Result<()> {
    if let Some(parent) = target.parent() {
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(parent)?;
    }
    match fs::symlink_metadata(target) {
        Ok(meta) if meta.is_dir() && is_folder || meta.is_file() && !is_folder => return Ok(()),
        Ok(meta) if meta.is_dir() => fs::remove_dir(target)?,
        Ok(_) => fs::remove_file(target)?,
        Err(why) if why.kind() == io::ErrorKind::NotFound => {}
        Err(why) => return Err(why),
    }
    if is_folder {
        DirBuilder::new().mode(FOLDER_MODE).create(target)
    } else {
        File::create(target).map(drop)
    }
}
