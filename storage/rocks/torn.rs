//! The end of a manifest that a power cut left torn.
//!
//! RocksDB takes a manifest that ends within a record for a crash, but not one whose last records have holes: a
//! disk may have kept a file's new length, or later pages, without earlier ones. Nobody was promised what such a
//! record says: RocksDB syncs the manifest before it relies on it.
//!
//! The form of the file is RocksDB's own, documented in its wiki as "Write Ahead Log File Format": blocks of
//! 32 KiB; in them fragments of records, each `masked crc32c u32 | length u16 | type u8 | payload`, the checksum
//! over type and payload; zeros where a block has no room for another header.

use std::fs::OpenOptions;
use std::path::Path;

use crate::error::{Result, StorageError};

const BLOCK_BYTES: usize = 32 << 10;

const HEADER_BYTES: usize = 7;

/// Where the checksum of a fragment ends, and what it covers begins.
const CHECKSUM_BYTES: usize = 4;

/// Added to a checksum that is stored among the data that it covers.
const MASK: u32 = 0xa282_ead8;

/// Cuts the manifest at `path` off behind its last whole fragment, unless that lies within `durable_bytes`: then
/// it is damaged.
pub(super) fn cut_end(path: &Path, content: &[u8], durable_bytes: usize) -> Result<()> {
    let whole_bytes = whole_bytes(content);
    if whole_bytes == content.len() || whole_bytes < durable_bytes {
        return Ok(());
    }
    let failed = |source| StorageError::io("cutting off a torn manifest", path, source);
    let file = OpenOptions::new().write(true).open(path).map_err(failed)?;
    file.set_len(whole_bytes as u64).map_err(failed)?;
    file.sync_all().map_err(failed)
}

/// How many bytes at the beginning are whole fragments.
fn whole_bytes(content: &[u8]) -> usize {
    let mut end = 0;
    while let Some(size) = fragment_bytes(&content[end..], BLOCK_BYTES - end % BLOCK_BYTES) {
        end += size;
    }
    end
}

/// The size of the fragment, or of the rest of a block without room for one, at the beginning of `content`.
fn fragment_bytes(content: &[u8], left_in_block: usize) -> Option<usize> {
    if left_in_block < HEADER_BYTES {
        return (content.len() >= left_in_block).then_some(left_in_block);
    }
    let (checksum, rest) = content.split_first_chunk::<CHECKSUM_BYTES>()?;
    let (length, _) = rest.split_first_chunk::<2>()?;
    let size = HEADER_BYTES + usize::from(u16::from_le_bytes(*length));
    let covered = content.get(CHECKSUM_BYTES + 2..size)?;
    let masked = crc32c::crc32c(covered).rotate_right(15).wrapping_add(MASK);
    (size <= left_in_block && masked == u32::from_le_bytes(*checksum)).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fragments with payloads of these sizes, as RocksDB writes them, and where each one ends.
    fn written(sizes: &[usize]) -> (Vec<u8>, Vec<usize>) {
        let (mut content, mut ends) = (Vec::new(), vec![0]);
        for &size in sizes {
            let left_in_block = BLOCK_BYTES - content.len() % BLOCK_BYTES;
            if left_in_block < HEADER_BYTES {
                content.resize(content.len() + left_in_block, 0);
                ends.push(content.len());
            }
            let covered = vec![1; 1 + size];
            let masked = crc32c::crc32c(&covered).rotate_right(15).wrapping_add(MASK);
            content.extend_from_slice(&masked.to_le_bytes());
            content.extend_from_slice(&(size as u16).to_le_bytes());
            content.extend_from_slice(&covered);
            ends.push(content.len());
        }
        (content, ends)
    }

    #[test]
    fn whole_fragments_are_counted_up_to_the_first_that_is_not() {
        // The second block begins with a fragment, the third after a rest that is too short for one.
        let fills = BLOCK_BYTES - HEADER_BYTES;
        let (content, ends) = written(&[10, fills - 17, fills - 3, 500, 0]);
        assert_eq!(ends.len(), 7);
        assert_eq!(whole_bytes(&content), content.len());
        for at in [1, 6, 7, 12, 16, 17, 20, 2 * BLOCK_BYTES - 4, 2 * BLOCK_BYTES - 1, content.len() - 1] {
            let last = ends.iter().rev().find(|&&end| end <= at);
            assert_eq!(Some(&whole_bytes(&content[..at])), last, "cut at {at}");
        }
        for at in [0, 4, 6, 16, 100, BLOCK_BYTES + 5, 2 * BLOCK_BYTES + 300, content.len() - 1] {
            let mut damaged = content.clone();
            damaged[at] ^= 0x10;
            let before = ends.iter().rev().find(|&&end| end <= at);
            assert_eq!(Some(&whole_bytes(&damaged)), before, "changed at {at}");
        }
    }
}
