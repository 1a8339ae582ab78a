//! Removes a pod's folder, in which containers may have left anything.
//!
//! # Guarantees
//! - No symlink is followed and no mount is entered: what is outside the folder is never touched, also
//!   where somebody changes it meanwhile.
//! - A tree of any depth takes three open folders and no stack: a folder that is not empty comes up to the
//!   top, beside the one in which it was.
//! - What was removed stays removed: after a failure the next call goes on.

use std::ffi::CString;
use std::path::Path;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, Mode, OFlags, RenameFlags, ResolveFlags, openat2, renameat_with, unlinkat};
use rustix::io::Errno;

use crate::error::Error;

/// How many names of a folder are taken up at a time.
const NAMES_MAX: usize = 1024;

/// How folders are called that came up to the top.
const MOVED: &str = ".removed-";

/// Removes what stands at a name in a folder, with everything in it.
///
/// # Errors
/// The operating system refuses to remove something, or something is still mounted.
pub(crate) fn remove(folder: &Path, name: &str) -> Result<(), Error> {
    let path = folder.join(name);
    let failed = |why: Errno| match why {
        Errno::XDEV | Errno::BUSY => Error::StillMounted(path.display().to_string()),
        why => Error::file("remove", &path, why),
    };
    let opened = rustix::fs::open(folder, folder_flags(), Mode::empty()).map_err(failed)?;
    let name = CString::new(name).map_err(|_| Error::FileName(name.to_owned()))?;
    remove_at(opened.as_fd(), &name).map_err(failed)
}

fn remove_at(parent: BorrowedFd<'_>, name: &CString) -> Result<(), Errno> {
    if remove_simple(parent, name)? {
        return Ok(());
    }
    let top = open(parent, name)?;
    let mut moved: u64 = 0;
    loop {
        let names = names(&top)?;
        if names.is_empty() {
            return unlinkat(parent, name, AtFlags::REMOVEDIR);
        }
        for name in names {
            if !remove_simple(top.as_fd(), &name)? {
                empty(&open(top.as_fd(), &name)?, &top, &mut moved)?;
                unlinkat(&top, &name, AtFlags::REMOVEDIR)?;
            }
        }
    }
}

/// Removes all in a folder, or moves it up.
fn empty(folder: &OwnedFd, top: &OwnedFd, moved: &mut u64) -> Result<(), Errno> {
    loop {
        let names = names(folder)?;
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            while !remove_simple(folder.as_fd(), &name)? {
                *moved += 1;
                let above = format!("{MOVED}{moved}");
                match renameat_with(folder, &name, top, above, RenameFlags::NOREPLACE) {
                    Ok(()) => break,
                    // A container or a run before this one had the same idea.
                    Err(Errno::EXIST) => {}
                    Err(why) => return Err(why),
                }
            }
        }
    }
}

/// Removes a file or an empty folder; false for a folder that is not empty.
fn remove_simple(folder: BorrowedFd<'_>, name: &CString) -> Result<bool, Errno> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(true),
        Err(Errno::ISDIR) => {}
        Err(why) => return Err(why),
    }
    match unlinkat(folder, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(why) => Err(why),
    }
}

fn folder_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

fn open(folder: BorrowedFd<'_>, name: &CString) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    openat2(folder, name, folder_flags(), Mode::empty(), resolve)
}

/// Some of the names in a folder; none only where there are none.
fn names(folder: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
        if names.len() == NAMES_MAX {
            break;
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests;
