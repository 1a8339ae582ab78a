//! Small files that must be whole or absent, and readable by their owner only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::env;

/// Permission bits of every file written here: they hold keys, or sit beside some.
const FILE_MODE: u32 = 0o600;
/// Permission bits of every directory made here.
const DIRECTORY_MODE: u32 = 0o700;
/// Pause between two attempts to take a lock.
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {} failed", path.display())]
pub struct FileError {
    /// `writing`, `reading`...
    pub operation: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError { operation, path, source }
}

/// Makes a directory and its parents; fine when it exists.
///
/// # Errors
/// When it cannot be made.
pub fn make_directory(path: &Path) -> Result<(), FileError> {
    let made = fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path);
    made.map_err(failed("making directory", path))
}

/// Replaces a file in one step: after a crash it holds the old content or the new, never a part.
///
/// # Errors
/// When it cannot be written or synced; what `path` holds then is whole.
pub fn write(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let written = || -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(FILE_MODE).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(directory)?.sync_all()
    };
    written().map_err(failed("writing", path))
}

/// The content of a file; `None` when there is none.
///
/// # Errors
/// When it is there and cannot be read.
pub fn read(path: &Path) -> Result<Option<String>, FileError> {
    match fs::read_to_string(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("reading", path)(error)),
    }
}

/// Removes a file; fine when there is none.
///
/// # Errors
/// When it stays.
pub fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("removing", path)(error)),
        _ => Ok(()),
    }
}

/// Held while a directory is in use; released when dropped or when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the open file is the lock")] File);

/// Takes the lock file at `path` without waiting; `None` while another process holds it.
///
/// # Errors
/// When the file cannot be made or locked.
pub fn try_lock(path: &Path) -> Result<Option<Lock>, FileError> {
    let mut options = OpenOptions::new();
    let opened = options.write(true).create(true).truncate(false).mode(FILE_MODE).open(path);
    let file = opened.map_err(failed("opening", path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock(file))),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(failed("locking", path)(error)),
    }
}

/// Takes the lock file at `path`, for which a process that is ending may take until `limit`; `None` when it
/// is held even then. Cancel-safe.
///
/// # Errors
/// When the file cannot be made or locked.
pub async fn lock(path: &Path, limit: Duration) -> Result<Option<Lock>, FileError> {
    let mut taken = try_lock(path);
    let held = |taken: &Result<Option<Lock>, _>| matches!(taken, Ok(None));
    if held(&taken) {
        tracing::warn!(path = %path.display(), "another process holds the lock: waiting {limit:?} for it to end");
        env::wait_until(limit, LOCK_RETRY, || {
            taken = try_lock(path);
            !held(&taken)
        })
        .await;
    }
    taken
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files_and_directories_belong_to_their_owner() {
        let root = tempfile::tempdir().expect("temporary directory");
        let directory = root.path().join("a/b");
        make_directory(&directory).expect("make");
        let file = directory.join("key");
        write(&file, b"first").expect("write");
        write(&file, b"second").expect("write");
        assert_eq!(read(&file).expect("read").as_deref(), Some("second"));
        let mode = |path: &Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
        assert_eq!((mode(&directory), mode(&file)), (DIRECTORY_MODE, FILE_MODE));
        let names: Vec<_> =
            fs::read_dir(&directory).expect("list").map(|entry| entry.expect("entry").file_name()).collect();
        assert_eq!(names, ["key"], "no temporary file stays");
    }

    #[test]
    fn absent_is_not_an_error() {
        let root = tempfile::tempdir().expect("temporary directory");
        let file = root.path().join("none");
        assert_eq!(read(&file).expect("read"), None);
        remove(&file).expect("remove");
    }

    #[test]
    fn a_lock_excludes_until_it_is_dropped() {
        let root = tempfile::tempdir().expect("temporary directory");
        let path = root.path().join("lock");
        let held = try_lock(&path).expect("lock");
        assert!(held.is_some());
        assert!(try_lock(&path).expect("lock").is_none());
        drop(held);
        assert!(try_lock(&path).expect("lock").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lock_is_waited_for() {
        let root = tempfile::tempdir().expect("temporary directory");
        let path = root.path().join("lock");
        let held = try_lock(&path).expect("lock");
        let limit = Duration::from_secs(10);
        assert!(lock(&path, limit).await.expect("waited").is_none(), "held to the end");
        let ending = async {
            env::sleep(limit / 2).await;
            drop(held);
        };
        let (taken, ()) = futures::join!(lock(&path, limit), ending);
        assert!(taken.expect("waited").is_some());
    }
}
