//! The objects of a collection as they are now, for whoever looks things up.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::Event;
use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use parking_lot::Mutex;
use tokio::sync::watch;

/// Objects by namespace and name.
pub struct Store<K> {
    objects: Mutex<BTreeMap<(String, String), Arc<K>>>,
    /// Whether all of them were told once.
    synced: watch::Sender<bool>,
}

impl<K> Default for Store<K> {
    fn default() -> Self {
        Self { objects: Mutex::default(), synced: watch::Sender::new(false) }
    }
}

impl<K: Metadata<Ty = ObjectMeta>> Store<K> {
    /// Takes in what is told of the collection.
    pub fn take(&self, event: &Event<K>) {
        let mut objects = self.objects.lock();
        match event {
            Event::Restarted(all) => {
                *objects = all.iter().map(|one| (place(&**one), Arc::clone(one))).collect()
            }
            Event::Applied(one) => _ = objects.insert(place(&**one), Arc::clone(one)),
            Event::Deleted(one) => _ = objects.remove(&place(&**one)),
        }
        drop(objects);
        self.synced.send_if_modified(|synced| !std::mem::replace(synced, true));
    }

    /// One object.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.objects.lock().get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// All objects, in order.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.objects.lock().values().cloned().collect()
    }

    /// Resolves once all of them were told.
    pub async fn synced(&self) {
        // The sender lives as long as this does.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }
}

fn place<K: Metadata<Ty = ObjectMeta>>(object: &K) -> (String, String) {
    let meta = object.metadata();
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}
