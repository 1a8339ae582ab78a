//! What many objects have in common, in one copy for as long as somebody holds it. Not part of state: it changes nothing
//! that anybody can see.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use xxhash_rust::xxh3::xxh3_64;

/// Copies that are known before those that nobody holds any more are looked for.
const SWEEP_MIN: usize = 1024;

/// The bytes, as others hold them if they do.
pub(crate) fn bytes(bytes: &[u8]) -> Arc<[u8]> {
    static KNOWN: Mutex<Known<[u8]>> = Mutex::new(Known::new());
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).hold(bytes)
}

/// The text, as others hold it if they do.
pub(crate) fn text(text: &str) -> Arc<str> {
    static KNOWN: Mutex<Known<str>> = Mutex::new(Known::new());
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).hold(text)
}

/// All copies that somebody holds, by their digest.
struct Known<T: ?Sized> {
    copies: BTreeMap<u64, Weak<T>>,
    /// How many there are before the next look for those that nobody holds.
    sweep_at: usize,
}

impl<T: ?Sized> Known<T> {
    const fn new() -> Self {
        Self { copies: BTreeMap::new(), sweep_at: SWEEP_MIN }
    }

    fn hold(&mut self, wanted: &T) -> Arc<T>
    where
        T: PartialEq + AsRef<[u8]>,
        Arc<T>: for<'t> From<&'t T>,
    {
        let digest = xxh3_64(wanted.as_ref());
        if let Some(held) = self.copies.get(&digest).and_then(Weak::upgrade) {
            // Different ones of one digest are not worth a list.
            return if *held == *wanted { held } else { wanted.into() };
        }
        let held: Arc<T> = wanted.into();
        self.copies.insert(digest, Arc::downgrade(&held));
        if self.copies.len() > self.sweep_at {
            self.copies.retain(|_, held| held.strong_count() > 0);
            self.sweep_at = SWEEP_MIN.max(2 * self.copies.len());
        }
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_copy_for_as_long_as_somebody_holds_it() {
        let mut known = Known::<str>::new();
        let first = known.hold("a");
        assert!(Arc::ptr_eq(&first, &known.hold("a")) && *known.hold("b") == *"b");
        let held = Arc::downgrade(&first);
        drop(first);
        assert!(held.upgrade().is_none());
        assert_eq!(&*known.hold("a"), "a");
    }

    #[test]
    fn what_nobody_holds_is_forgotten_in_time() {
        let mut known = Known::<[u8]>::new();
        let kept: Vec<_> = (0..600_u32).map(|number| known.hold(&number.to_le_bytes())).collect();
        (600..10_000_u32).for_each(|number| drop(known.hold(&number.to_le_bytes())));
        assert!(known.copies.len() <= 2 * SWEEP_MIN, "{} copies are known", known.copies.len());
        assert!(Arc::ptr_eq(&kept[7], &known.hold(&7_u32.to_le_bytes())));
    }
}
