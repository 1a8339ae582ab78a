//! The objects of a collection as they are now, for whoever looks things up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use client::Event;
use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use parking_lot::Mutex;

/// Objects by namespace and name.
pub struct Store<K> {
    objects: Mutex<BTreeMap<(String, String), Arc<K>>>,
    /// Whether all of them were told once.
    synced: AtomicBool,
}

impl<K> Default for Store<K> {
    fn default() -> Self {
        Self { objects: Mutex::default(), synced: AtomicBool::new(false) }
    }
}

/// What an event changed.
#[derive(Debug)]
pub enum Change<K> {
    /// The object is new, or has changed.
    Put(Arc<K>),
    /// The object of this namespace and name is gone.
    Gone(String, String),
}

impl<K: Metadata<Ty = ObjectMeta>> Store<K> {
    /// Takes in what is told of the collection; returns what that changes, removals first.
    pub fn take(&self, event: Event<K>) -> Vec<Change<K>> {
        let mut objects = self.objects.lock();
        let changes = match event {
            Event::Restarted(all) => {
                let new: BTreeMap<_, _> = all.into_iter().map(|one| (place(&*one), one)).collect();
                let old = std::mem::replace(&mut *objects, new);
                let gone = old.into_keys().filter(|place| !objects.contains_key(place));
                let mut changes: Vec<_> =
                    gone.map(|(namespace, name)| Change::Gone(namespace, name)).collect();
                changes.extend(objects.values().cloned().map(Change::Put));
                changes
            }
            Event::Applied(one) => {
                objects.insert(place(&*one), Arc::clone(&one));
                vec![Change::Put(one)]
            }
            Event::Deleted(one) => {
                let (namespace, name) = place(&*one);
                objects.remove(&(namespace.clone(), name.clone()));
                vec![Change::Gone(namespace, name)]
            }
        };
        drop(objects);
        self.synced.store(true, Ordering::Release);
        changes
    }

    /// Whether all of them were told.
    pub fn is_synced(&self) -> bool {
        self.synced.load(Ordering::Acquire)
    }

    /// The object of this namespace and name.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.objects.lock().get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// All objects, in order.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.objects.lock().values().cloned().collect()
    }
}

fn place<K: Metadata<Ty = ObjectMeta>>(object: &K) -> (String, String) {
    let meta = object.metadata();
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}
