//! The side file of a RocksDB instance: a lower bound of what is durable in it.
//!
//! RocksDB in its point-in-time mode opens with whatever it can still read, also when acknowledged writes
//! are gone, and takes a cut or damaged end of its manifest for a crash. The seal says what must be
//! there: a position that only rises, and the manifest's length and checksum. It is rewritten after each
//! sync but not synced itself: a stale seal is a lower bound still.
//!
//! Two slots of one sector each take turns, so that a torn write leaves the other.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::torn;
use crate::error::{Result, StorageError};
use crate::files;
use crate::frame::{self, Damage, Fields, Kind};

/// A slot is one disk sector: written whole or not at all.
const SLOT_BYTES: usize = 512;

/// What must be found when an instance is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Rises with every durable write.
    pub(super) position: u64,
    /// The same for people: the last log index, or the revision.
    pub(super) label: u64,
    manifest: ManifestMark,
}

/// A prefix of a manifest file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ManifestMark {
    number: u64,
    size_bytes: u64,
    checksum: u32,
}

impl Mark {
    /// Reads a seal; `None` when the file does not exist.
    pub(super) fn load(path: &Path) -> Result<Option<Self>> {
        let Some(content) = files::read_if_there(path)? else { return Ok(None) };
        let slots = content.chunks(SLOT_BYTES).filter_map(|slot| decode(slot).ok());
        match slots.max_by_key(|(turn, _)| *turn) {
            Some((_, mark)) => Ok(Some(mark)),
            None => Err(StorageError::corrupt(path, "neither slot of the side file is readable")),
        }
    }

    /// Refuses an instance whose manifest lost or changed bytes that were durable; of the others, cuts those
    /// off that a power cut left torn.
    pub(super) fn check_manifest(&self, database: &Path) -> Result<()> {
        let (path, number) = current_manifest(database)?;
        let content = files::read_if_there(&path)?.unwrap_or_default();
        let durable_bytes = if number > self.manifest.number {
            // A later start wrote it after checking this one, and ended before its first seal.
            0
        } else {
            self.manifest.check(&path, number, &content)?
        };
        torn::cut_end(&path, &content, durable_bytes)
    }
}

impl ManifestMark {
    /// How many bytes were durable, all of which `content` must begin with.
    fn check(&self, path: &Path, number: u64, content: &[u8]) -> Result<usize> {
        let durable = usize::try_from(self.size_bytes).ok().and_then(|size| content.get(..size));
        match durable {
            Some(durable) if (number, crc32c::crc32c(durable)) == (self.number, self.checksum) => {
                Ok(durable.len())
            }
            _ => {
                let what = format!(
                    "its {} bytes do not begin with the {} bytes of manifest {} that were durable",
                    content.len(),
                    self.size_bytes,
                    self.number
                );
                Err(StorageError::corrupt(path, what))
            }
        }
    }
}

/// The seal of an open instance.
pub(super) struct Seal {
    path: PathBuf,
    file: File,
    state: Mutex<SealState>,
}

struct SealState {
    turn: u64,
    mark: Mark,
    manifest: File,
    manifest_path: PathBuf,
}

impl Seal {
    /// Seals a new, still empty instance before it is created, so that its absence later means loss.
    pub(super) fn prepare(path: &Path) -> Result<()> {
        let (directory, name) = split(path);
        let slot = encode(0, &Mark::default());
        files::replace(directory, name, &[slot.as_slice(), slot.as_slice()].concat())
    }

    /// Seals an instance that was just opened and found whole: durable in both slots on return.
    pub(super) fn begin(path: &Path, database: &Path, position: u64, label: u64) -> Result<Self> {
        let (manifest_path, number) = current_manifest(database)?;
        let failed = |source| StorageError::io("opening a side file", path, source);
        let manifest = File::open(&manifest_path).map_err(failed)?;
        let mut mark = Mark { position, label, manifest: ManifestMark { number, ..Default::default() } };
        extend(&mut mark.manifest, &manifest, &manifest_path)?;
        let (directory, name) = split(path);
        let slot = encode(0, &mark);
        files::replace(directory, name, &[slot.as_slice(), slot.as_slice()].concat())?;
        let file = OpenOptions::new().write(true).open(path).map_err(failed)?;
        let state = SealState { turn: 0, mark, manifest, manifest_path };
        Ok(Self { path: path.to_owned(), file, state: Mutex::new(state) })
    }

    /// Notes that everything up to `position` is durable.
    pub(super) fn advance(&self, position: u64, label: u64) -> Result<()> {
        let mut state = self.state.lock();
        let mut mark = state.mark;
        extend(&mut mark.manifest, &state.manifest, &state.manifest_path)?;
        if position > mark.position {
            (mark.position, mark.label) = (position, label);
        }
        if mark == state.mark {
            return Ok(());
        }
        let turn = state.turn + 1;
        let offset = (turn % 2) * SLOT_BYTES as u64;
        let written = self.file.write_all_at(&encode(turn, &mark), offset);
        written.map_err(|source| StorageError::io("writing a side file", &self.path, source))?;
        (state.turn, state.mark) = (turn, mark);
        Ok(())
    }
}

/// Takes the bytes that a manifest grew by into its mark, once they are durable. Costs one `fstat` while
/// the manifest stays as it is, which is until the next flush or compaction.
fn extend(mark: &mut ManifestMark, manifest: &File, path: &Path) -> Result<()> {
    let failed = |source| StorageError::io("reading the manifest", path, source);
    let size_bytes = manifest.metadata().map_err(failed)?.len();
    if size_bytes <= mark.size_bytes {
        return Ok(());
    }
    manifest.sync_data().map_err(failed)?;
    let mut grown = vec![0; (size_bytes - mark.size_bytes) as usize];
    manifest.read_exact_at(&mut grown, mark.size_bytes).map_err(failed)?;
    mark.checksum = crc32c::crc32c_append(mark.checksum, &grown);
    mark.size_bytes = size_bytes;
    Ok(())
}

/// The manifest that an instance's `CURRENT` names, and its number.
fn current_manifest(database: &Path) -> Result<(PathBuf, u64)> {
    let current = database.join("CURRENT");
    let content = files::read_if_there(&current)?;
    let damaged = || StorageError::corrupt(&current, "it does not name a manifest");
    let content = content.ok_or_else(damaged)?;
    let name = std::str::from_utf8(&content).ok().and_then(|text| text.strip_suffix('\n'));
    let name = name.ok_or_else(damaged)?;
    let number = name.strip_prefix("MANIFEST-").and_then(|digits| digits.parse().ok());
    Ok((database.join(name), number.ok_or_else(damaged)?))
}

/// `turn u64 | position u64 | label u64 | manifest number u64 | size u64 | crc32c u32`, framed, padded.
fn encode(turn: u64, mark: &Mark) -> [u8; SLOT_BYTES] {
    let mut body = Vec::new();
    let numbers = [turn, mark.position, mark.label, mark.manifest.number, mark.manifest.size_bytes];
    numbers.iter().for_each(|number| body.extend_from_slice(&number.to_le_bytes()));
    body.extend_from_slice(&mark.manifest.checksum.to_le_bytes());
    let framed = frame::seal(Kind::Seal, 0, b"", &[&body]);
    let mut slot = [0; SLOT_BYTES];
    slot[..framed.len()].copy_from_slice(&framed);
    slot
}

/// The inverse of [`encode`].
fn decode(slot: &[u8]) -> std::result::Result<(u64, Mark), Damage> {
    const FRAME_BYTES: usize = frame::HEADER_BYTES + 5 * 8 + 4;
    let framed = slot.get(..FRAME_BYTES).ok_or(Damage::Short)?;
    let mut fields = Fields(frame::open(Kind::Seal, b"", framed)?.body);
    let turn = fields.u64()?;
    let (position, label) = (fields.u64()?, fields.u64()?);
    let manifest = ManifestMark { number: fields.u64()?, size_bytes: fields.u64()?, checksum: fields.u32()? };
    fields.end()?;
    Ok((turn, Mark { position, label, manifest }))
}

fn split(path: &Path) -> (&Path, &str) {
    let name = path.file_name().and_then(|name| name.to_str());
    (path.parent().unwrap_or(Path::new(".")), name.expect("side files have names of ours"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::hex;

    #[test]
    fn a_slot_is_golden_and_reads_back() {
        let manifest = ManifestMark { number: 4, size_bytes: 5, checksum: 6 };
        let mark = Mark { position: 2, label: 3, manifest };
        let slot = encode(1, &mark);
        assert_eq!(
            hex(&slot).trim_end_matches('0'),
            "4b0108005f43f8032c000000010000000000000002000000000000000300000000000000040000000000000005000000\
             0000000006"
        );
        assert_eq!(decode(&slot), Ok((1, mark)));
    }
}
