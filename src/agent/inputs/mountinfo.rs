//! What is mounted where, and the file systems in memory that volumes are.

use std::ffi::{CString, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::error::Error;
use crate::plan::Memory;

/// The kernel's list for this process.
const LIST: &str = "/proc/self/mountinfo";

/// What an unmount can take with it is looked at again; one that grows without end is somebody else's doing.
const UNMOUNT_ROUNDS_MAX: usize = 8;

/// What is mounted at a path or below it, in the order in which it was mounted.
///
/// # Errors
/// The kernel's list could not be read.
pub(crate) fn mounted_below(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let list = fs::read(LIST).map_err(|why| Error::file("read", LIST, why))?;
    let points = list.split(|byte| *byte == b'\n').filter_map(mount_point);
    Ok(points.filter(|point| point.starts_with(path)).collect())
}

/// Whether something is mounted at exactly this path.
///
/// # Errors
/// The kernel's list could not be read.
pub(crate) fn is_mounted(path: &Path) -> Result<bool, Error> {
    Ok(mounted_below(path)?.iter().any(|point| point == path))
}

/// The fifth field of a line, which has blanks and the like as `\040`.
fn mount_point(line: &[u8]) -> Option<PathBuf> {
    let field = line.split(|byte| *byte == b' ').nth(4)?;
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, behind)) = rest.split_first() {
        let octal = behind.get(..3).filter(|_| *first == b'\\');
        let escaped = octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        path.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &behind[3..] } else { behind };
    }
    Some(OsString::from_vec(path).into())
}

/// Unmounts everything at a path and below it, the innermost and the newest first. No symlink is followed.
///
/// # Errors
/// Something is in use or cannot be unmounted; what was is not mounted again, and the next call goes on.
pub(crate) fn unmount_below(path: &Path) -> Result<(), Error> {
    for _ in 0..UNMOUNT_ROUNDS_MAX {
        let mut points = mounted_below(path)?;
        if points.is_empty() {
            return Ok(());
        }
        points.reverse();
        // Stable: of those at one path the newest stays first.
        points.sort_by_key(|point| std::cmp::Reverse(point.components().count()));
        for point in points {
            match unmount(&point, UnmountFlags::NOFOLLOW) {
                // Gone with another one, of which it was a copy.
                Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
                Err(why) => return Err(Error::file("unmount", &point, why)),
            }
        }
    }
    Err(Error::StillMounted(path.display().to_string()))
}

/// Mounts a file system in memory, kept out of swap where the kernel can.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn mount_memory(path: &Path, memory: Memory) -> Result<(), Error> {
    let size = memory.size_bytes.map(|bytes| format!("size={bytes}"));
    let with_swap = size.clone().unwrap_or_default();
    let without_swap = size.map_or("noswap".to_owned(), |size| format!("{size},noswap"));
    let attempt = |options: String| {
        let options = CString::new(options).map_err(|_| Errno::INVAL)?;
        mount("tmpfs", path, "tmpfs", MountFlags::empty(), options.as_c_str())
    };
    match attempt(without_swap) {
        Err(Errno::INVAL) => attempt(with_swap),
        done => done,
    }
    .map_err(|why| Error::file("mount tmpfs on", path, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_escapes_are_undone() {
        let line = br"36 35 98:0 /mnt1 /a\040b\134c\011/\12 rw,noatime master:1 - ext3 /dev/root rw";
        assert_eq!(mount_point(line), Some(PathBuf::from("/a b\\c\t/\\12")));
        assert_eq!(mount_point(b""), None);
    }
}
