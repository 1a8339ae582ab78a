//! Snapshots of the memory twin: the content of a version store as three blobs.

use std::sync::Arc;

use bytes::Bytes;

use super::content::VersionContent;
use crate::error::{REPLACE_MASTER, Result, StorageError};
use crate::frame::{Damage, Fields};
use crate::snapshot::{Manifest, SnapshotFile, SnapshotReader, SnapshotWriter};
use crate::versions::Version;

/// Names of the blobs, in order.
const FILES: [&str; 3] = ["floors", "sides", "versions"];

/// Bytes asked for at a time when a snapshot is copied.
const COPY_BYTES: usize = 1 << 20;

/// A snapshot in memory.
pub(super) struct MemorySnapshot {
    manifest: Manifest,
    files: Vec<Bytes>,
}

impl MemorySnapshot {
    /// Writes a store's content down.
    pub(super) fn encode(content: &VersionContent) -> Result<Self> {
        let Some(image) = content.image.clone() else {
            return Err(StorageError::Misuse("a store without an image has no snapshot".to_owned()));
        };
        let mut blobs = [Vec::new(), Vec::new(), Vec::new()];
        for (prefix, floor) in content.floors.iter() {
            put_counted(&mut blobs[0], prefix.as_bytes());
            blobs[0].extend_from_slice(&floor.to_le_bytes());
        }
        for (key, value) in &content.sides {
            put_counted(&mut blobs[1], key);
            put_counted(&mut blobs[1], value);
        }
        for version in content.records.values() {
            blobs[2].extend_from_slice(&version.revision.to_le_bytes());
            blobs[2].extend_from_slice(&version.previous.to_le_bytes());
            blobs[2].extend_from_slice(&u32::from(version.deleted).to_le_bytes());
            put_counted(&mut blobs[2], version.key.as_bytes());
            put_counted(&mut blobs[2], &version.value);
        }
        let files: Vec<Bytes> = blobs.into_iter().map(Bytes::from).collect();
        let describe = |(name, blob): (&&str, &Bytes)| SnapshotFile {
            name: (*name).to_owned(),
            size_bytes: blob.len() as u64,
            crc32c: crc32c::crc32c(blob),
        };
        let manifest = Manifest { image, files: FILES.iter().zip(&files).map(describe).collect() };
        Ok(Self { manifest, files })
    }

    /// Reads any snapshot into memory and checks it.
    pub(super) fn copy_of(snapshot: &dyn SnapshotReader) -> Result<Self> {
        let manifest = snapshot.manifest().clone();
        let mut writer = MemorySnapshotWriter::new(manifest.clone());
        for (number, file) in manifest.files.iter().enumerate() {
            let mut offset = 0;
            while offset < file.size_bytes {
                let part = snapshot.read(number, offset, COPY_BYTES)?;
                if part.is_empty() {
                    break;
                }
                writer.write(number, &part)?;
                offset += part.len() as u64;
            }
        }
        writer.check()
    }

    /// The inverse of [`MemorySnapshot::encode`].
    pub(super) fn decode(&self) -> Result<VersionContent> {
        self.decode_fields().map_err(|damage| corrupt("versions", damage))
    }

    fn decode_fields(&self) -> std::result::Result<VersionContent, Damage> {
        let [floors, sides, versions] = self.files.as_slice() else { return Err(Damage::Fields) };
        let mut content = VersionContent::default();
        let mut fields = Fields(floors);
        while !fields.0.is_empty() {
            let prefix = text(fields.counted()?)?;
            content.floors.raise(&prefix, fields.u64()?);
        }
        let mut fields = Fields(sides);
        while !fields.0.is_empty() {
            let key = fields.counted()?.to_vec();
            content.sides.insert(key, Bytes::copy_from_slice(fields.counted()?));
        }
        let mut fields = Fields(versions);
        while !fields.0.is_empty() {
            let (revision, previous) = (fields.u64()?, fields.u64()?);
            let deleted = fields.u32()? != 0;
            let key = text(fields.counted()?)?;
            let value = Bytes::copy_from_slice(fields.counted()?);
            content.insert(Arc::new(Version { key, revision, previous, deleted, value }));
        }
        content.last_revision = content.last_revision.max(self.manifest.image.revision);
        content.image = Some(self.manifest.image.clone());
        Ok(content)
    }
}

impl SnapshotReader for MemorySnapshot {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn read(&self, file: usize, offset: u64, size_max: usize) -> Result<Bytes> {
        let Some(blob) = self.files.get(file) else {
            return Err(StorageError::Misuse(format!("a snapshot has no file number {file}")));
        };
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(blob.len());
        let to = from.saturating_add(size_max).min(blob.len());
        Ok(blob.slice(from..to))
    }

    fn verify(&self) -> Result<()> {
        Ok(())
    }
}

/// A snapshot being received into memory.
pub(super) struct MemorySnapshotWriter {
    manifest: Manifest,
    files: Vec<Vec<u8>>,
}

impl MemorySnapshotWriter {
    pub(super) fn new(manifest: Manifest) -> Self {
        let files = vec![Vec::new(); manifest.files.len()];
        Self { manifest, files }
    }

    fn check(self) -> Result<MemorySnapshot> {
        for (expected, found) in self.manifest.files.iter().zip(&self.files) {
            if (expected.size_bytes, expected.crc32c) != (found.len() as u64, crc32c::crc32c(found)) {
                return Err(corrupt(&expected.name, "the file received is not the file sent"));
            }
        }
        let files = self.files.into_iter().map(Bytes::from).collect();
        Ok(MemorySnapshot { manifest: self.manifest, files })
    }
}

impl SnapshotWriter for MemorySnapshotWriter {
    fn write(&mut self, file: usize, bytes: &[u8]) -> Result<()> {
        let Some(blob) = self.files.get_mut(file) else {
            return Err(StorageError::Misuse(format!("the manifest has no file number {file}")));
        };
        blob.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Box<dyn SnapshotReader>> {
        Ok(Box::new(self.check()?))
    }
}

fn corrupt(file: &str, what: impl ToString) -> StorageError {
    StorageError::Corrupt { file: file.into(), what: what.to_string(), remedy: REPLACE_MASTER }
}

fn put_counted(blob: &mut Vec<u8>, bytes: &[u8]) {
    blob.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    blob.extend_from_slice(bytes);
}

fn text(bytes: &[u8]) -> std::result::Result<String, Damage> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Damage::Fields)
}
