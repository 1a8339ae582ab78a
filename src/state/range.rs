//! Walking over many objects, at the speed of memory and not of one access after another.

use std::hint::black_box;
use std::sync::Arc;

use api::Key;
use imbl::shared_ptr::DefaultSharedPtr;

use crate::object::Object;

/// How many objects are looked ahead at most. Processors have some ten to twenty reads from memory
/// on their way at once.
const AHEAD_MAX: usize = 32;

type Entries<'a> = imbl::ordmap::RangedIter<'a, Key, Arc<Object>, DefaultSharedPtr>;

/// Objects in key order.
///
/// Objects lie scattered in memory, and a selector that looks at 300,000 of them does little else than
/// wait for it. So the objects ahead are touched a block at a time in loops that depend on nothing:
/// their reads overlap. The first blocks are small, for those who want one object only.
pub struct Range<'a> {
    entries: Option<Entries<'a>>,
    block: [Option<&'a Arc<Object>>; AHEAD_MAX],
    /// The next of the block, and how many it has.
    at: usize,
    len: usize,
}

impl<'a> Range<'a> {
    pub(crate) fn empty() -> Self {
        Self { entries: None, block: [None; AHEAD_MAX], at: 0, len: 0 }
    }

    pub(crate) fn over(entries: Entries<'a>) -> Self {
        Self { entries: Some(entries), ..Self::empty() }
    }

    fn look_ahead(&mut self) {
        let len = (2 * self.len).clamp(1, AHEAD_MAX);
        let Some(entries) = &mut self.entries else { return };
        let mut count = 0;
        for (place, (_, object)) in self.block[..len].iter_mut().zip(entries) {
            *place = Some(object);
            count += 1;
        }
        (self.at, self.len) = (0, count);
        let block = || self.block[..count].iter().flatten();
        // Where the object is, then where its labels are.
        black_box(block().filter(|object| object.labels.get().is_some()).count());
        black_box(
            block().map(|object| object.labels.get().map_or(0, |labels| labels.touch())).sum::<usize>(),
        );
        if count == 0 {
            self.entries = None;
        }
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = &'a Arc<Object>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == self.len {
            self.look_ahead();
        }
        let object = self.block[..self.len].get(self.at).copied().flatten();
        self.at += usize::from(object.is_some());
        object
    }
}
