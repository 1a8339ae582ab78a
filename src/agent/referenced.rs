//! Objects that the pods of a node refer to, each on a watch of its own: a node may see these and no others.
//!
//! # Flow
//! [`Referenced::of`] notes what a pod refers to, begins watches that nobody had, ends those that nobody needs any more,
//! and waits until it is known of each object how it is, or that it is missing. What changes later makes the pods that
//! refer to it [`Due`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base::env;
use client::{Client, Event, Kind, Selection};
use kubelet::PodKey;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch as published};

/// Objects of one kind that are watched at a time: a connection has a thousand streams, and there are two kinds. Those
/// beyond it are read each time.
const WATCHED_MAX: usize = 400;

/// How long a pod that starts waits for the masters to tell of an object.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Namespace and name.
type Place = (String, String);

/// How an object is, once that is known: `Some(None)` is missing.
type Known<K> = Option<Option<Arc<K>>>;

/// Pods whose files are to be looked at, by uid.
#[derive(Default)]
pub struct Due {
    uids: Mutex<BTreeSet<String>>,
    wake: Notify,
}

impl Due {
    /// These are.
    pub fn add(&self, uids: impl IntoIterator<Item = String>) {
        self.uids.lock().extend(uids);
        self.wake.notify_one();
    }

    /// Waits until there are some. Cancel-safe.
    pub async fn take(&self) -> BTreeSet<String> {
        loop {
            let uids = std::mem::take(&mut *self.uids.lock());
            if !uids.is_empty() {
                return uids;
            }
            self.wake.notified().await;
        }
    }
}

/// The objects of one kind.
pub struct Referenced<K> {
    client: Client,
    /// As messages name the kind.
    what: &'static str,
    due: Arc<Due>,
    watched: Mutex<BTreeMap<Place, Watched<K>>>,
}

/// One object.
struct Watched<K> {
    /// The pods that refer to it, by uid.
    users: Arc<Mutex<BTreeSet<String>>>,
    known: published::Receiver<Known<K>>,
    task: env::JoinHandle<()>,
}

impl<K> Drop for Watched<K> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<K: Kind> Referenced<K> {
    /// None yet; `what` is the kind as messages name it.
    pub fn new(client: Client, what: &'static str, due: Arc<Due>) -> Self {
        Self { client, what, due, watched: Mutex::default() }
    }

    /// What a pod refers to under these names, and nothing else from now on: by name, without those that are missing.
    ///
    /// # Errors
    /// When the masters did not tell in time.
    pub async fn of(
        &self,
        pod: &PodKey,
        names: impl IntoIterator<Item = String>,
        patience: Duration,
    ) -> Result<BTreeMap<String, Arc<K>>, String> {
        let deadline = env::monotonic() + patience;
        let mut found = BTreeMap::new();
        for (name, known) in self.hold(pod, names.into_iter().collect()) {
            let object = match known {
                Some(mut known) => {
                    let told = env::timeout_at(deadline, known.wait_for(Option::is_some)).await;
                    let told = told.ok().and_then(|told| told.ok()?.clone());
                    told.ok_or_else(|| {
                        format!("failed to sync {} cache: timed out waiting for the condition", self.what)
                    })?
                }
                None => self.read(&pod.namespace, &name).await?,
            };
            found.extend(object.map(|object| (name, object)));
        }
        Ok(found)
    }

    /// A pod that is over refers to nothing.
    pub fn forget(&self, uid: &str) {
        let mut watched = self.watched.lock();
        watched.retain(|_, one| {
            let mut users = one.users.lock();
            users.remove(uid);
            !users.is_empty()
        });
    }

    /// How many are watched.
    #[cfg(test)]
    pub fn watched(&self) -> usize {
        self.watched.lock().len()
    }

    /// Watches these for the pod, and no others; without one: there are too many.
    fn hold(
        &self,
        pod: &PodKey,
        names: BTreeSet<String>,
    ) -> Vec<(String, Option<published::Receiver<Known<K>>>)> {
        let mut watched = self.watched.lock();
        let mut held = Vec::new();
        for name in &names {
            let place = (pod.namespace.clone(), name.clone());
            if watched.len() < WATCHED_MAX && !watched.contains_key(&place) {
                watched.insert(place.clone(), self.watch(&place));
            }
            let one = watched.get(&place);
            if let Some(one) = one {
                one.users.lock().insert(pod.uid.clone());
            }
            held.push((name.clone(), one.map(|one| one.known.clone())));
        }
        watched.retain(|(namespace, name), one| {
            let mut users = one.users.lock();
            if *namespace != pod.namespace || !names.contains(name) {
                users.remove(&pod.uid);
            }
            !users.is_empty()
        });
        held
    }

    fn watch(&self, (namespace, name): &Place) -> Watched<K> {
        let selection =
            Selection { fields: format!("metadata.name={name}"), ..Selection::namespace(namespace.as_str()) };
        let mut watch = self.client.watch::<K>(selection);
        let (sender, known) = published::channel(None);
        let users = Arc::new(Mutex::new(BTreeSet::<String>::new()));
        let (due, concerned) = (Arc::clone(&self.due), Arc::clone(&users));
        let task = env::spawn(async move {
            while let Some(event) = watch.next().await {
                let now = match event {
                    Event::Restarted(all) => all.into_iter().next(),
                    Event::Applied(object) => Some(object),
                    Event::Deleted(_) => None,
                };
                sender.send_replace(Some(now));
                let concerned = concerned.lock().clone();
                due.add(concerned);
            }
        });
        Watched { users, known, task }
    }

    async fn read(&self, namespace: &str, name: &str) -> Result<Option<Arc<K>>, String> {
        let path = format!("{}/namespaces/{namespace}/{}/{name}", K::group(), K::PLURAL);
        match self.client.get(&path).await {
            Ok(read) => serde_json::from_slice(&read).map(Some).map_err(|error| error.to_string()),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }
}
