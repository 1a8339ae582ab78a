//! Objects decoded into their types, for as long as they are looked at.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::sync::Arc;

use api::Key;
use parking_lot::Mutex;

use crate::limits::TYPED_MAX;

type Typed = Arc<dyn Any + Send + Sync>;

/// Two generations: what is looked at moves to the young one, and when that is full the old one is dropped.
#[derive(Default)]
pub(crate) struct Cache(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: BTreeMap<(Key, TypeId), (u64, Typed)>,
    old: BTreeMap<(Key, TypeId), (u64, Typed)>,
}

impl Cache {
    /// The object of this revision as a `T`; `decode` makes it when it is not there.
    pub(crate) fn get<T: Send + Sync + 'static>(
        &self,
        key: &Key,
        revision: u64,
        decode: impl FnOnce() -> Option<T>,
    ) -> Option<Arc<T>> {
        let place = (key.clone(), TypeId::of::<T>());
        let mut generations = self.0.lock();
        let Generations { young, old } = &mut *generations;
        let known = young.get(&place).cloned().or_else(|| old.remove(&place));
        let typed: Typed = match known {
            Some((of, typed)) if of == revision => typed,
            _ => Arc::new(decode()?),
        };
        if young.len() >= TYPED_MAX {
            *old = std::mem::take(young);
        }
        young.insert(place, (revision, Arc::clone(&typed)));
        typed.downcast().ok()
    }
}
