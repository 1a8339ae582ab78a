//! Small files that are replaced as a whole, and the directories they stand in.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use crate::error::{Result, StorageError};

/// Bytes read at a time when a file is checksummed.
const CHECKSUM_BUFFER_BYTES: usize = 256 << 10;

/// Replaces `directory/name` so that a crash leaves the old content or the new, durable on return.
pub(crate) fn replace(directory: &Path, name: &str, content: &[u8]) -> Result<()> {
    let temporary = directory.join(format!("{name}.tmp"));
    let failed = |source| StorageError::io("replacing a file", directory, source);
    let mut file = File::create(&temporary).map_err(failed)?;
    file.write_all(content).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&temporary, directory.join(name)).map_err(failed)?;
    sync_directory(directory)
}

/// Makes the entries of a directory durable: files created, renamed and removed in it.
pub(crate) fn sync_directory(directory: &Path) -> Result<()> {
    let synced = File::open(directory).and_then(|handle| handle.sync_all());
    synced.map_err(|source| StorageError::io("syncing a directory", directory, source))
}

/// Makes a file's content durable.
pub(crate) fn sync_file(file: &Path) -> Result<()> {
    let synced = File::open(file).and_then(|handle| handle.sync_all());
    synced.map_err(|source| StorageError::io("syncing a file", file, source))
}

/// Creates a directory and its parents, durably.
pub(crate) fn create_directory(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)
        .map_err(|source| StorageError::io("creating a directory", directory, source))?;
    match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent),
        _ => Ok(()),
    }
}

/// A file's content; `None` when there is no such file.
pub(crate) fn read_if_there(file: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(file) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StorageError::io("reading a file", file, source)),
    }
}

/// Size and CRC-32C of a file.
pub(crate) fn measure(file: &Path) -> Result<(u64, u32)> {
    let failed = |source| StorageError::io("reading a file", file, source);
    let mut handle = File::open(file).map_err(failed)?;
    let mut buffer = vec![0; CHECKSUM_BUFFER_BYTES];
    let (mut size_bytes, mut checksum) = (0, 0);
    loop {
        let count = handle.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            return Ok((size_bytes, checksum));
        }
        size_bytes += count as u64;
        checksum = crc32c::crc32c_append(checksum, &buffer[..count]);
    }
}

/// Names of the entries of a directory, sorted; none when it does not exist.
pub(crate) fn names(directory: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(StorageError::io("listing a directory", directory, source)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| StorageError::io("listing a directory", directory, source))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Bytes for the eye, in tests of their form.
#[cfg(test)]
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Removes a directory with all it holds, or a file. A leftover costs only space and is tried again at
/// the next start, so a failure is only logged.
pub(crate) fn remove(path: &Path) {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    if let Err(error) = removed {
        tracing::warn!(path = %path.display(), %error, "could not remove a file that is no longer needed");
    }
}
