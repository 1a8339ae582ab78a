//! All pods of all nodes: one watch, one loop.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use base::env::{self, Instant};
use base::shutdown::Shutdown;
use client::{Client, Error, Event, Patch, Repeat, Selection};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde::Deserialize;

use crate::Options;
use crate::addresses::{self, Addresses};
use crate::plan::{Step, plan};
use crate::pod::{Container, Pod, Seen, Told};
use crate::template::{Facts, Template};

/// Writes about pods at a time.
pub const WRITES_IN_FLIGHT_MAX: usize = 64;
/// The first pause before a failed write is tried again; it doubles.
const RETRY_MIN: Duration = Duration::from_millis(200);
/// How often it doubles.
const RETRY_DOUBLINGS_MAX: u32 = 7;
/// Templates that are kept without pods; beyond them those are forgotten.
const TEMPLATES_KEPT_MAX: usize = 1_024;

/// `NAMESPACE/NAME`
type Key = Arc<str>;

/// Containers that run first, and containers.
type Shape = (Vec<Container>, Vec<Container>);

/// A write.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Work {
    pub(crate) key: Key,
    pub(crate) uid: Box<str>,
    pub(crate) deed: Deed,
}

/// What is written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Deed {
    /// The status, with this patch.
    Tell(Told, String),
    /// It is removed.
    Remove,
}

/// What came of it: the revision it is at now, `None` when it is gone.
pub(crate) struct Done {
    work: Work,
    outcome: Result<Option<u64>, Error>,
}

/// The pods of our nodes.
pub(crate) struct Pods<'o> {
    options: &'o Options,
    pub(crate) pods: BTreeMap<Key, Pod>,
    templates: BTreeMap<Shape, Arc<Template>>,
    addresses: Addresses,
    /// To be looked at now.
    ready: VecDeque<Key>,
    /// To be looked at later; the number tells apart what is due at the same moment.
    later: BTreeMap<(Instant, u64), Key>,
    number: u64,
}

impl<'o> Pods<'o> {
    pub(crate) fn new(options: &'o Options) -> Self {
        Self {
            options,
            pods: BTreeMap::new(),
            templates: BTreeMap::new(),
            addresses: Addresses::default(),
            ready: VecDeque::new(),
            later: BTreeMap::new(),
            number: 0,
        }
    }

    pub(crate) fn see(&mut self, event: &Event<Seen>, now: Instant) {
        match event {
            Event::Applied(seen) => self.applied(seen, now),
            Event::Deleted(seen) => self.forget(&seen.key()),
            Event::Restarted(all) => {
                let mut gone: BTreeSet<Key> = self.pods.keys().cloned().collect();
                // Those first that have an address, lest it is given to another.
                let (with, without): (Vec<_>, Vec<_>) =
                    all.iter().partition(|seen| !seen.status.address.is_empty());
                for seen in with.into_iter().chain(without) {
                    gone.remove(seen.key().as_str());
                    self.applied(seen, now);
                }
                gone.iter().for_each(|key| self.forget(key));
            }
        }
    }

    fn applied(&mut self, seen: &Seen, now: Instant) {
        let Some(node) = self.options.index(&seen.spec.node_name) else { return };
        let key: Key = seen.key().into();
        if self.pods.get(&key).is_some_and(|pod| pod.uid != seen.metadata.uid) {
            self.forget(&key);
        }
        if !self.pods.contains_key(&key) {
            let pod = self.adopt(seen, node, now);
            self.pods.insert(Arc::clone(&key), pod);
        }
        let Some(pod) = self.pods.get_mut(&key) else { return };
        if seen.revision() < pod.revision {
            // Older than what we wrote.
            return;
        }
        pod.revision = seen.revision();
        pod.behaviour = seen.metadata.behaviour;
        pod.is_overwritten = seen.is_overwritten();
        if seen.metadata.deletion_timestamp.is_some() && pod.deleted.is_none() {
            pod.deleted = Some(now);
        }
        self.look(key);
    }

    /// A pod that was not known: new, or of a process before this one.
    fn adopt(&mut self, seen: &Seen, node: usize, now: Instant) -> Pod {
        let spec = &seen.spec;
        let shape = (spec.init_containers.clone(), spec.containers.clone());
        let template = self.templates.entry(shape);
        let template =
            template.or_insert_with_key(|(init, containers)| Arc::new(Template::new(init, containers)));
        let template = Arc::clone(template);
        if self.templates.len() > TEMPLATES_KEPT_MAX {
            self.templates.retain(|_, template| Arc::strong_count(template) > 1);
        }
        let known = seen.status.address.parse().ok().filter(|address| self.addresses.adopt(*address));
        let address = (!spec.host_network).then(|| known.unwrap_or_else(|| self.addresses.take()));
        Pod {
            uid: seen.metadata.uid.clone(),
            revision: 0,
            behaviour: seen.metadata.behaviour,
            restart: spec.restart_policy,
            node,
            template,
            address,
            told: seen.told(),
            is_overwritten: false,
            since: now,
            deleted: None,
            started_s: env::wall_ms() / 1000,
            failures: 0,
            retry_at: None,
            waits: None,
            is_busy: false,
        }
    }

    fn forget(&mut self, key: &str) {
        let Some(pod) = self.pods.remove(key) else { return };
        if let Some(address) = pod.address {
            self.addresses.give_back(address);
        }
        if let Some(waits) = pod.waits {
            self.later.remove(&waits);
        }
    }

    /// Queues a pod once, unless a write is on its way: whoever ends that looks again.
    fn look(&mut self, key: Key) {
        if let Some(pod) = self.pods.get_mut(&key)
            && !std::mem::replace(&mut pod.is_busy, true)
        {
            self.ready.push_back(key);
        }
    }

    /// When something is due next.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.later.keys().next().map(|(at, _)| *at)
    }

    /// The next write; pods that only wait are put aside.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Work> {
        while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= now) {
            let key = entry.remove();
            self.look(key);
        }
        while let Some(key) = self.ready.pop_front() {
            let Some(pod) = self.pods.get_mut(&key) else { continue };
            let deed = match plan(pod, now) {
                Step::Tell(told) => Deed::Tell(told, patch(pod, told)),
                Step::Remove => Deed::Remove,
                waits @ (Step::Rest | Step::Wait(_)) => {
                    pod.is_busy = false;
                    if let Some(before) = pod.waits.take() {
                        self.later.remove(&before);
                    }
                    if let Step::Wait(at) = waits {
                        self.number += 1;
                        pod.waits = Some((at, self.number));
                        self.later.insert((at, self.number), key);
                    }
                    continue;
                }
            };
            return Some(Work { key, uid: pod.uid.clone(), deed });
        }
        None
    }

    pub(crate) fn done(&mut self, done: Done, now: Instant) {
        let Done { work: Work { key, uid, deed }, outcome } = done;
        let Some(pod) = self.pods.get_mut(&key).filter(|pod| pod.uid == uid) else { return };
        pod.is_busy = false;
        match outcome {
            Ok(None) => return self.forget(&key),
            Ok(Some(revision)) => {
                (pod.failures, pod.retry_at) = (0, None);
                pod.revision = pod.revision.max(revision);
                match deed {
                    Deed::Tell(told, _) => {
                        if pod.told != told {
                            (pod.told, pod.since) = (told, now);
                        }
                        pod.is_overwritten = false;
                    }
                    // Somebody's finalizers hold it. It is gone for us, and the watch tells when it is for all.
                    Deed::Remove => pod.retry_at = Some(now + RETRY_MIN * (1 << RETRY_DOUBLINGS_MAX)),
                }
            }
            Err(error) => {
                tracing::debug!(pod = %key, "a write failed: {error}");
                pod.retry_at = Some(now + RETRY_MIN * (1 << pod.failures.min(RETRY_DOUBLINGS_MAX)));
                pod.failures += 1;
            }
        }
        self.look(key);
    }
}

fn patch(pod: &Pod, told: Told) -> String {
    let host = addresses::of_node(pod.node);
    let restarts = if let Told::Running { restarts } = told { restarts } else { 0 };
    let address = pod.address.unwrap_or(host);
    let facts = Facts { uid: &pod.uid, address, host, started_s: pod.started_s, restarts };
    pod.template.patch(told, pod.behaviour, &facts)
}

/// Plays the kubelet for all pods until the shutdown.
pub(crate) async fn run(options: &Options, mut shutdown: Shutdown) {
    let mut watch = options.client.watch::<Seen>(Selection::fields("spec.nodeName!="));
    let mut pods = Pods::new(options);
    let mut in_flight = FuturesUnordered::new();
    loop {
        while in_flight.len() < WRITES_IN_FLIGHT_MAX
            && let Some(work) = pods.next(env::monotonic())
        {
            in_flight.push(perform(&options.client, work));
        }
        let has_room = in_flight.len() < WRITES_IN_FLIGHT_MAX;
        let due = pods.due();
        // All arms may be dropped: writes stay in flight, events in their queue, and what is due stays due.
        tokio::select! {
            biased;
            () = shutdown.wait() => return,
            Some(done) = in_flight.next() => pods.done(done, env::monotonic()),
            event = watch.next() => match event {
                Some(event) => pods.see(&event, env::monotonic()),
                None => return,
            },
            () = env::sleep_until(due.unwrap_or_else(env::monotonic)), if has_room && due.is_some() => {}
        }
    }
}

#[derive(Deserialize)]
struct Written {
    metadata: WrittenMeta,
}

#[derive(Deserialize)]
struct WrittenMeta {
    #[serde(rename = "resourceVersion", default)]
    revision: String,
}

async fn perform(client: &Client, work: Work) -> Done {
    let (namespace, name) = work.key.split_once('/').unwrap_or(("", &work.key));
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
    let answer = match &work.deed {
        Deed::Tell(_, patch) => {
            client.patch(&format!("{path}/status"), Patch::Strategic, patch.clone(), Repeat::Unknown).await
        }
        Deed::Remove => {
            let options = format!(r#"{{"gracePeriodSeconds":0,"preconditions":{{"uid":"{}"}}}}"#, work.uid);
            client.delete(&path, options, Repeat::Unknown).await
        }
    };
    let outcome = match answer {
        Err(error) if error.is_not_found() => Ok(None),
        // Where another has the name now, the watch tells of it before long.
        Err(error) => Err(error),
        Ok(body) => {
            let written: Option<Written> = serde_json::from_slice(&body).ok();
            Ok(Some(written.and_then(|written| written.metadata.revision.parse().ok()).unwrap_or(0)))
        }
    };
    Done { work, outcome }
}
