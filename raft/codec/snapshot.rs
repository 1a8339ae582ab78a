//! The head of a snapshot transfer: what it stands for and which files follow.
//!
//! ```text
//! applied position? | membership (position | blob)? | image index u64 | revision u64 | head blob
//! | files u32 | (name text | size u64 | crc32c u32)*          position: term u64 | leader u64 | index u64
//! ```

use storage::{Image, Manifest, SnapshotFile};

use super::{Decoded, Reader, Writer};
use crate::limits::SNAPSHOT_FILES_MAX;
use crate::machine::Restored;
use crate::types::{log_id, position};

/// Bytes of a file name; Linux allows no more.
const NAME_BYTES_MAX: usize = 255;

pub(crate) fn write_restored(writer: &mut Writer, restored: &Restored) {
    writer.option(restored.applied, |writer, applied| writer.log_id(&log_id(applied)));
    writer.option(restored.membership.as_ref(), |writer, (at, bytes)| {
        writer.log_id(&log_id(*at));
        writer.blob(bytes);
    });
}

pub(crate) fn read_restored(reader: &mut Reader) -> Decoded<Restored> {
    let applied = reader.option(Reader::log_id)?.map(|log_id| position(&log_id));
    let membership = reader.option(|reader| Ok((position(&reader.log_id()?), reader.blob()?)))?;
    Ok(Restored { applied, membership })
}

pub(crate) fn write_manifest(writer: &mut Writer, manifest: &Manifest) {
    writer.u64(manifest.image.index);
    writer.u64(manifest.image.revision);
    writer.blob(&manifest.image.head);
    writer.u32(manifest.files.len() as u32);
    for file in &manifest.files {
        writer.text(&file.name, NAME_BYTES_MAX);
        writer.u64(file.size_bytes);
        writer.u32(file.crc32c);
    }
}

pub(crate) fn read_manifest(reader: &mut Reader) -> Decoded<Manifest> {
    let image = Image { index: reader.u64()?, revision: reader.u64()?, head: reader.blob()? };
    let count = reader.u32()? as usize;
    if count > SNAPSHOT_FILES_MAX {
        return Err(reader.unacceptable(format!("a snapshot of {count} files")));
    }
    let mut files = Vec::new();
    for _ in 0..count {
        files.push(read_file(reader)?);
    }
    Ok(Manifest { image, files })
}

/// Names become files of the receiver: anything but a plain name is refused here already.
fn read_file(reader: &mut Reader) -> Decoded<SnapshotFile> {
    let name = reader.text(NAME_BYTES_MAX)?;
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
        return Err(reader.unacceptable(format!("file name {name:?}")));
    }
    Ok(SnapshotFile { name, size_bytes: reader.u64()?, crc32c: reader.u32()? })
}
