//! Snapshots as directories: a checkpoint's files and a manifest.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{DB, Options};

use super::directory::OwnedDirectory;
use super::failure::classify;
use super::reads::Reader;
use super::versions::Column;
use crate::error::{Result, StorageError};
use crate::files;
use crate::manifest;
use crate::snapshot::{Manifest, SnapshotFile, SnapshotReader, SnapshotWriter};

/// The manifest's name in a snapshot's directory.
const MANIFEST_NAME: &str = "manifest";

/// Largest part of a file given out by one read, whatever is asked for.
const READ_BYTES_MAX: usize = 8 << 20;

/// Open tables while a snapshot's image is read.
const OPEN_FILES_MAX: i32 = 16;

/// A snapshot on disk.
pub(super) struct SnapshotDirectory {
    manifest: Manifest,
    pub(super) directory: OwnedDirectory,
}

impl SnapshotDirectory {
    /// Opens a finished snapshot; `None` when there is none.
    pub(super) fn load(path: &Path) -> Result<Option<Self>> {
        let file = path.join(MANIFEST_NAME);
        let Some(content) = files::read_if_there(&file)? else { return Ok(None) };
        let manifest = manifest::decode(&content).map_err(|damage| StorageError::corrupt(&file, damage))?;
        let directory = OwnedDirectory::temporary(path.to_owned(), Vec::new());
        directory.keep(true);
        Ok(Some(Self { manifest, directory }))
    }

    fn file_path(&self, file: usize) -> Result<PathBuf> {
        match self.manifest.files.get(file) {
            Some(file) => Ok(self.directory.path().join(&file.name)),
            None => Err(StorageError::Misuse(format!("a snapshot has no file number {file}"))),
        }
    }
}

impl SnapshotReader for SnapshotDirectory {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn read(&self, file: usize, offset: u64, size_max: usize) -> Result<Bytes> {
        let path = self.file_path(file)?;
        let failed = |source| StorageError::io("reading a snapshot", &path, source);
        let handle = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(StorageError::corrupt(&path, "a file of the snapshot is missing"));
            }
            opened => opened.map_err(failed)?,
        };
        let mut buffer = vec![0; size_max.min(READ_BYTES_MAX)];
        let count = handle.read_at(&mut buffer, offset).map_err(failed)?;
        buffer.truncate(count);
        Ok(buffer.into())
    }

    fn verify(&self) -> Result<()> {
        for (number, file) in self.manifest.files.iter().enumerate() {
            // A file that is missing is damage here, and no failed read.
            self.read(number, 0, 0)?;
            let path = self.file_path(number)?;
            if files::measure(&path)? != (file.size_bytes, file.crc32c) {
                return Err(StorageError::corrupt(&path, "it has changed since the snapshot was taken"));
            }
        }
        ask(self.directory.path(), &self.manifest.files, |reader| reader.walk())
    }

    fn directory(&self) -> Option<&Path> {
        Some(self.directory.path())
    }
}

/// Takes a checkpoint of `db` at `target`. Writers go on; tables that `before` has as well are neither synced
/// nor read again.
pub(super) fn take(
    db: &DB,
    source: &Path,
    target: &Path,
    before: Option<&SnapshotDirectory>,
) -> Result<SnapshotDirectory> {
    let unfinished = OwnedDirectory::temporary(target.with_extension("tmp"), Vec::new());
    if unfinished.path().exists() {
        files::remove(unfinished.path());
    }
    let failed = |error| classify("taking a snapshot", source, error);
    Checkpoint::new(db)
        .and_then(|checkpoint| checkpoint.create_checkpoint(unfinished.path()))
        .map_err(failed)?;
    let mut taken = Vec::new();
    for name in files::names(unfinished.path())? {
        let (size_bytes, crc32c) = match known(unfinished.path(), &name, before) {
            Some(known) => known,
            None => {
                let file = unfinished.path().join(&name);
                files::sync_file(&file)?;
                files::measure(&file)?
            }
        };
        taken.push(SnapshotFile { name, size_bytes, crc32c });
    }
    // From the checkpoint itself: batches may have been written since it was asked for.
    let image = ask(unfinished.path(), &taken, |reader| reader.image())?;
    let image = image.ok_or_else(|| StorageError::corrupt(target, "the snapshot holds no image"))?;
    finish(unfinished, target, Manifest { image, files: taken })
}

/// Opens a checkpoint, of which all but `kept` files may go, to ask for something: RocksDB leaves
/// files of its own there.
fn ask<T>(
    checkpoint: &Path,
    kept: &[SnapshotFile],
    question: impl FnOnce(&Reader<'_>) -> Result<T>,
) -> Result<T> {
    let failed = |error| classify("reading a snapshot", checkpoint, error);
    let mut options = Options::default();
    // The default opens every table at once.
    options.set_max_open_files(OPEN_FILES_MAX);
    let columns = Column::ALL.map(Column::name);
    let db = DB::open_cf_for_read_only(&options, checkpoint, columns, false).map_err(failed)?;
    let answer = question(&Reader::new(&db, checkpoint));
    drop(db);
    for name in files::names(checkpoint)? {
        if name != MANIFEST_NAME && kept.iter().all(|file| file.name != name) {
            files::remove(&checkpoint.join(&name));
        }
    }
    answer
}

/// Size and checksum of a file that `before` holds as well: it is on the disk, and tables never change.
fn known(directory: &Path, name: &str, before: Option<&SnapshotDirectory>) -> Option<(u64, u32)> {
    let before = before?;
    let file = before.manifest.files.iter().find(|file| file.name == name)?;
    let here = fs::metadata(directory.join(name)).ok()?;
    let there = fs::metadata(before.directory.path().join(name)).ok()?;
    let is_same = (here.dev(), here.ino()) == (there.dev(), there.ino());
    is_same.then_some((file.size_bytes, file.crc32c))
}

/// Adds the manifest and moves the directory to its name, durably.
fn finish(unfinished: OwnedDirectory, target: &Path, manifest: Manifest) -> Result<SnapshotDirectory> {
    files::replace(unfinished.path(), MANIFEST_NAME, &manifest::encode(&manifest))?;
    let failed = |source| StorageError::io("finishing a snapshot", target, source);
    fs::rename(unfinished.path(), target).map_err(failed)?;
    if let Some(parent) = target.parent() {
        files::sync_directory(parent)?;
    }
    let directory = OwnedDirectory::temporary(target.to_owned(), Vec::new());
    Ok(SnapshotDirectory { manifest, directory })
}

/// A snapshot being received into a directory of its own.
pub(super) struct ReceivingDirectory {
    manifest: Manifest,
    target: PathBuf,
    directory: OwnedDirectory,
    current: Option<Current>,
}

/// The file being received.
struct Current {
    number: usize,
    file: File,
    size_bytes: u64,
    checksum: u32,
}

impl ReceivingDirectory {
    /// Begins to receive into `unfinished`, later moved to `target`.
    pub(super) fn begin(manifest: &Manifest, unfinished: PathBuf, target: PathBuf) -> Result<Self> {
        for file in &manifest.files {
            check_name(&file.name)?;
        }
        files::create_directory(&unfinished)?;
        let directory = OwnedDirectory::temporary(unfinished, Vec::new());
        Ok(Self { manifest: manifest.clone(), target, directory, current: None })
    }

    /// Checks and syncs everything and moves it to its name.
    pub(super) fn complete(mut self) -> Result<SnapshotDirectory> {
        let count = self.manifest.files.len();
        match count.checked_sub(1) {
            Some(last) => self.turn_to(last)?,
            None => return Err(StorageError::Misuse("a snapshot has at least one file".to_owned())),
        }
        self.close_current()?;
        finish(self.directory, &self.target, self.manifest)
    }

    /// Goes on to file `number`; files in between are empty.
    fn turn_to(&mut self, number: usize) -> Result<()> {
        while self.current.as_ref().is_none_or(|current| current.number < number) {
            let next = self.current.as_ref().map_or(0, |current| current.number + 1);
            self.close_current()?;
            let path = self.directory.path().join(&self.manifest.files[next].name);
            let file = File::create_new(&path)
                .map_err(|source| StorageError::io("receiving a snapshot", &path, source))?;
            self.current = Some(Current { number: next, file, size_bytes: 0, checksum: 0 });
        }
        Ok(())
    }

    fn close_current(&mut self) -> Result<()> {
        let Some(current) = self.current.take() else { return Ok(()) };
        let expected = &self.manifest.files[current.number];
        let path = self.directory.path().join(&expected.name);
        if (current.size_bytes, current.checksum) != (expected.size_bytes, expected.crc32c) {
            return Err(StorageError::Corrupt {
                file: path,
                what: "the file received is not the file sent".to_owned(),
                remedy: "the snapshot has to be sent again",
            });
        }
        current.file.sync_all().map_err(|source| StorageError::io("receiving a snapshot", &path, source))
    }
}

impl SnapshotWriter for ReceivingDirectory {
    fn write(&mut self, file: usize, bytes: &[u8]) -> Result<()> {
        let is_behind = self.current.as_ref().is_some_and(|current| current.number > file);
        if is_behind || file >= self.manifest.files.len() {
            return Err(StorageError::Misuse(format!("file {file} of the snapshot does not come now")));
        }
        self.turn_to(file)?;
        let Some(current) = &mut self.current else { return Ok(()) };
        let size_bytes = current.size_bytes + bytes.len() as u64;
        if size_bytes > self.manifest.files[file].size_bytes {
            return Err(StorageError::Misuse(format!("file {file} is longer than its manifest says")));
        }
        let written = current.file.write_all(bytes);
        written.map_err(|source| StorageError::io("receiving a snapshot", self.directory.path(), source))?;
        current.size_bytes = size_bytes;
        current.checksum = crc32c::crc32c_append(current.checksum, bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Box<dyn SnapshotReader>> {
        Ok(Box::new(self.complete()?))
    }
}

/// Links a snapshot of the same data directory: its files never change.
pub(super) fn link(source: &Path, into: ReceivingDirectory) -> Result<SnapshotDirectory> {
    for file in &into.manifest.files {
        let linked = fs::hard_link(source.join(&file.name), into.directory.path().join(&file.name));
        linked.map_err(|source| StorageError::io("linking a snapshot", into.directory.path(), source))?;
    }
    finish(into.directory, &into.target, into.manifest)
}

/// Copies any snapshot into a directory of ours, checking it on the way.
pub(super) fn copy(snapshot: &dyn SnapshotReader, mut into: ReceivingDirectory) -> Result<SnapshotDirectory> {
    for (number, file) in snapshot.manifest().files.iter().enumerate() {
        let mut offset = 0;
        while offset < file.size_bytes {
            let part = snapshot.read(number, offset, READ_BYTES_MAX)?;
            if part.is_empty() {
                break;
            }
            into.write(number, &part)?;
            offset += part.len() as u64;
        }
    }
    into.complete()
}

/// Makes the files of a snapshot those of a version store: tables are linked, because they never
/// change; the rest is copied, because RocksDB may write to it. Every file is checked first.
pub(super) fn unfold(snapshot: &SnapshotDirectory, target: &Path) -> Result<()> {
    files::create_directory(target)?;
    for file in &snapshot.manifest.files {
        let (from, to) = (snapshot.directory.path().join(&file.name), target.join(&file.name));
        if files::measure(&from)? != (file.size_bytes, file.crc32c) {
            return Err(StorageError::corrupt(&from, "the snapshot's file does not match its checksum"));
        }
        let failed = |source| StorageError::io("opening a snapshot", &to, source);
        if file.name.ends_with(".sst") {
            fs::hard_link(&from, &to).map_err(failed)?;
        } else {
            fs::copy(&from, &to).map_err(failed)?;
            files::sync_file(&to)?;
        }
    }
    files::sync_directory(target)
}

/// Accepts plain names only: a manifest comes from another machine.
fn check_name(name: &str) -> Result<()> {
    let is_plain = !name.is_empty()
        && !name.starts_with('.')
        && name != MANIFEST_NAME
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    if is_plain {
        return Ok(());
    }
    Err(StorageError::Misuse(format!("{name:?} is not a plain file name")))
}
