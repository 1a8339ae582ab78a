//! A file's bytes: as they are, and as a power cut would leave them.

use std::collections::BTreeMap;
use std::ops::Range;

use rand::RngExt;
use rand::rngs::SmallRng;

use super::Mercy;

/// What a disk writes as one piece when it writes pages in no order: a page of the page cache.
pub const PAGE_BYTES: usize = 4096;

/// What a disk never tears: the smallest sector still in use.
const SECTOR_BYTES: usize = 512;

/// The bytes of one file, with enough kept of the durable ones to go back to them.
#[derive(Clone, Debug, Default)]
pub struct Content {
    bytes: Vec<u8>,
    durable_len: usize,
    /// For each page written since the last sync, its durable bytes (shorter than a page at the
    /// durable end, empty past it). A page not named here is the same in both.
    undo: BTreeMap<usize, Vec<u8>>,
}

/// What a power cut leaves of the unsynced bytes of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Survival {
    /// The disk had not begun.
    Nothing,
    /// Write-back was done.
    Everything,
    /// It went through the file in order, and stopped at a sector.
    Prefix,
    /// Pages were written in no order, and each made it or not; so did the new length.
    Pages,
}

impl Survival {
    fn draw(mercy: Mercy, random: &mut SmallRng) -> Self {
        if mercy == Mercy::None {
            return Self::Nothing;
        }
        match random.random_range(0..4) {
            0 => Self::Nothing,
            1 => Self::Everything,
            2 => Self::Prefix,
            _ => Self::Pages,
        }
    }
}

impl Content {
    /// The length in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the file has no bytes.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes `offset..offset + size`, cut off at the end of the file.
    pub fn read(&self, offset: usize, size: usize) -> &[u8] {
        let end = offset.saturating_add(size).min(self.bytes.len());
        self.bytes.get(offset..end).unwrap_or(&[])
    }

    /// Writes `data` at `offset`; a gap before it reads as zeros.
    pub fn write(&mut self, offset: usize, data: &[u8]) {
        let end = offset + data.len();
        self.remember(offset..end);
        if end > self.bytes.len() {
            self.bytes.resize(end, 0);
        }
        self.bytes[offset..end].copy_from_slice(data);
    }

    /// Cuts the file off, or extends it with zeros.
    pub fn set_len(&mut self, len: usize) {
        if len < self.bytes.len() {
            self.remember(len..self.bytes.len());
        }
        self.bytes.resize(len, 0);
    }

    /// Makes the bytes and the length durable.
    pub fn sync(&mut self) {
        self.durable_len = self.bytes.len();
        self.undo.clear();
    }

    /// Whether a power cut could change anything.
    pub fn is_dirty(&self) -> bool {
        !self.undo.is_empty() || self.durable_len != self.bytes.len()
    }

    /// Keeps the durable bytes of every page of `range` that is about to change.
    fn remember(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        for page in range.start / PAGE_BYTES..=(range.end - 1) / PAGE_BYTES {
            let start = page * PAGE_BYTES;
            let end = (start + PAGE_BYTES).min(self.durable_len);
            self.undo.entry(page).or_insert_with(|| self.bytes.get(start..end).unwrap_or(&[]).to_vec());
        }
    }

    /// Loses power: of what was not synced, nothing, everything, a prefix or random pages survive, as far as there is
    /// mercy. What is left is durable.
    pub fn cut(&mut self, mercy: Mercy, random: &mut SmallRng) {
        if !self.is_dirty() {
            return;
        }
        let (survival, new_len) = (Survival::draw(mercy, random), self.bytes.len());
        let old_or_new = if random.random_bool(0.5) { self.durable_len } else { new_len };
        let (stop, len) = match survival {
            Survival::Nothing => (0, self.durable_len),
            Survival::Everything => (usize::MAX, new_len),
            Survival::Prefix if new_len > self.durable_len => {
                let stop = self.draw_stop(random);
                (stop, stop.clamp(self.durable_len, new_len))
            }
            Survival::Prefix => (self.draw_stop(random), old_or_new),
            Survival::Pages => (usize::MAX, old_or_new),
        };
        for (page, old) in std::mem::take(&mut self.undo) {
            let is_lost = survival == Survival::Pages && random.random_bool(0.5);
            self.restore(page * PAGE_BYTES, &old, if is_lost { 0 } else { stop }, new_len);
        }
        self.bytes.resize(len, 0);
        self.durable_len = len;
    }

    /// A sector boundary somewhere in the unsynced part of the file.
    fn draw_stop(&self, random: &mut SmallRng) -> usize {
        let first = self.undo.keys().next().map_or(self.durable_len, |page| page * PAGE_BYTES);
        let last = self.bytes.len().max(first);
        random.random_range(first / SECTOR_BYTES..=last.div_ceil(SECTOR_BYTES)) * SECTOR_BYTES
    }

    /// Puts the durable bytes of the page at `start` back from `stop` on. Bytes past `new_len` were cut
    /// off, not written, so their old ones come back whenever the old length does.
    fn restore(&mut self, start: usize, old: &[u8], stop: usize, new_len: usize) {
        let stop = stop.min(if start >= new_len { 0 } else { usize::MAX });
        let from = stop.saturating_sub(start).min(PAGE_BYTES);
        if from == PAGE_BYTES {
            return;
        }
        if self.bytes.len() < start + old.len() {
            self.bytes.resize(start + old.len(), 0);
        }
        let end = (start + PAGE_BYTES).min(self.bytes.len());
        for at in (start + from)..end {
            self.bytes[at] = old.get(at - start).copied().unwrap_or(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    /// Every distinct content that some power cut leaves.
    fn outcomes(content: &Content) -> std::collections::BTreeSet<Vec<u8>> {
        let cut = |seed| {
            let mut left = content.clone();
            left.cut(Mercy::Random, &mut SmallRng::seed_from_u64(seed));
            assert!(!left.is_dirty(), "what a cut leaves is durable");
            left.bytes
        };
        (0..400).map(cut).collect()
    }

    fn synced(bytes: &[u8]) -> Content {
        let mut content = Content::default();
        content.write(0, bytes);
        content.sync();
        content
    }

    #[test]
    fn synced_bytes_always_survive() {
        let content = synced(b"durable");
        assert_eq!(outcomes(&content), [b"durable".to_vec()].into());
    }

    #[test]
    fn an_unsynced_append_may_vanish_or_stay_but_never_changes_what_was_synced() {
        let mut content = synced(&[1; 5000]);
        content.write(5000, &[2; 9000]);
        let outcomes = outcomes(&content);
        assert!(outcomes.len() > 5, "{} outcomes are too few to test anything", outcomes.len());
        assert!(outcomes.iter().all(|bytes| bytes[..5000] == [1; 5000] && bytes.len() <= 14_000));
        assert!(outcomes.contains(&vec![1; 5000]) && outcomes.iter().any(|bytes| bytes.len() == 14_000));
    }

    #[test]
    fn without_mercy_only_what_was_synced_survives() {
        let mut content = synced(&[1; 5000]);
        content.write(0, &[2; 9000]);
        for seed in 0..100 {
            let mut left = content.clone();
            left.cut(Mercy::None, &mut SmallRng::seed_from_u64(seed));
            assert_eq!(left.bytes, [1; 5000]);
        }
    }

    #[test]
    fn an_unsynced_overwrite_leaves_old_and_new_pages_mixed() {
        let mut content = synced(&[1; 3 * PAGE_BYTES]);
        content.write(0, &[2; 3 * PAGE_BYTES]);
        let outcomes = outcomes(&content);
        let whole = |of: u8| outcomes.contains(&vec![of; 3 * PAGE_BYTES]);
        assert!(whole(1) && whole(2));
        assert!(outcomes.iter().any(|bytes| bytes[0] == 1 && bytes[2 * PAGE_BYTES] == 2), "out of order");
        assert!(
            outcomes
                .iter()
                .all(|bytes| bytes.len() == 3 * PAGE_BYTES && bytes.iter().all(|b| [1, 2].contains(b)))
        );
    }

    #[test]
    fn an_unsynced_truncation_is_undone_with_the_old_bytes() {
        let mut content = synced(&[1; 2 * PAGE_BYTES + 10]);
        content.set_len(0);
        content.write(0, b"new");
        let outcomes = outcomes(&content);
        assert!(outcomes.contains(&vec![1; 2 * PAGE_BYTES + 10]) && outcomes.contains(b"new".as_slice()));
        for bytes in outcomes.iter().filter(|bytes| bytes.len() > PAGE_BYTES) {
            assert_eq!(&bytes[PAGE_BYTES..], &[1; PAGE_BYTES + 10]);
        }
    }
}
