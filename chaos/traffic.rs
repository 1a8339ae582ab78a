//! Load on a cluster that writes down everything it did and saw.
//!
//! # Flow
//! Writers, readers and watchers run until [`Traffic::stop`]: each takes one master and goes on to the
//! next when that one fails it. A last write, after which nobody writes, tells the watchers where to
//! stop; then every master is asked for everything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base::env::{self, Instant, JoinHandle};
use parking_lot::Mutex;

use crate::client::{Client, ClientError, revision};
use crate::cluster::Cluster;
use crate::evidence::{Evidence, Listing, Operation, Outcome, Read, WatchLog, Write};
use crate::watch::EventKind;

/// The object whose creation ends every watch.
const LAST_OBJECT: &str = "last";

/// What the names of all objects that writers make begin with.
const WRITER_PREFIX: char = 'w';

/// How long a writer that was turned away waits before it goes to the next master.
const RETRY_AFTER: Duration = Duration::from_millis(20);

/// How long a reader waits between two reads.
const READ_EVERY: Duration = Duration::from_millis(10);

/// How long a watch may be silent before the watcher looks whether it should stop.
const WATCH_SILENCE_MAX: Duration = Duration::from_millis(250);

/// How long the cluster has to accept the last write, and the watchers to see it.
const END_TIMEOUT: Duration = Duration::from_secs(30);

/// How much load.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the objects go. Made when it does not exist.
    pub namespace: String,
    /// Clients that write, one write at a time each.
    pub writers: usize,
    /// Clients that read.
    pub readers: usize,
    /// Clients that watch everything.
    pub watchers: usize,
    /// Bytes that each object carries beside what the checks look at.
    pub padding_bytes: usize,
    /// How long one request may take.
    pub request_timeout: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            namespace: crate::client::NAMESPACE.to_owned(),
            writers: 8,
            readers: 2,
            watchers: 3,
            padding_bytes: 500,
            request_timeout: Duration::from_secs(3),
        }
    }
}

impl Plan {
    /// Of so many acknowledged writes one made an object that stays. A writer deletes its first object with its third
    /// write and keeps its second one, and of what is deleted nobody would see that it was lost.
    pub fn writes_until_one_stays(&self) -> u64 {
        self.writers as u64 * 3 + 1
    }
}

/// Load that runs.
pub struct Traffic {
    shared: Arc<Shared>,
    writers: Vec<JoinHandle<()>>,
    watchers: Vec<JoinHandle<WatchLog>>,
}

/// What every client of one traffic needs.
struct Shared {
    /// Each master's name and a client of its own.
    masters: Vec<(String, Client)>,
    padding: String,
    started: Instant,
    stop: AtomicBool,
    acknowledged: AtomicU64,
    /// Watches that stood, over all watchers.
    watches: AtomicU64,
    writes: Mutex<Vec<Write>>,
    reads: Mutex<Vec<Read>>,
}

impl Shared {
    fn now_us(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn master(&self, turn: usize) -> &(String, Client) {
        &self.masters[turn % self.masters.len()]
    }

    /// Makes one write and writes down what came of it; the revision it got, if it was acknowledged.
    async fn write(&self, client: &Client, name: &str, operation: Operation, at: u64) -> Option<u64> {
        let started_us = self.now_us();
        let value =
            |operation: Operation| format!("{} {}", operation.value().unwrap_or_default(), self.padding);
        let answered = match operation {
            Operation::Create => client.create(name, &value(operation)).await.map(Some),
            Operation::Update => client.update(name, &value(operation), at).await.map(Some),
            Operation::Delete => client.delete(name).await.map(|()| None),
        };
        let outcome = match &answered {
            Ok(revision) => Outcome::Acknowledged(*revision),
            Err(refused) if !refused.is_refusal() => Outcome::Open,
            Err(ClientError::Status { reason, .. }) => Outcome::Refused(reason.clone()),
            Err(_) => Outcome::Refused(String::new()),
        };
        if matches!(outcome, Outcome::Acknowledged(_)) {
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        let ended_us = self.now_us();
        self.writes.lock().push(Write { name: name.to_owned(), operation, outcome, started_us, ended_us });
        answered.ok().map(|revision| revision.unwrap_or(at))
    }
}

impl Traffic {
    /// Starts load on all masters of `cluster`, which must accept writes.
    ///
    /// # Errors
    /// When the namespace cannot be made or the first list fails.
    pub async fn start(cluster: &Cluster, plan: &Plan) -> Result<Self> {
        let any = cluster.any_client()?.in_namespace(&plan.namespace);
        any.create_namespace().await.context("create the traffic's namespace")?;
        let (from, _) = any.list("?limit=1").await.context("list before the traffic")?;
        let mut masters = Vec::new();
        for name in cluster.masters() {
            let client =
                cluster.client(&name)?.in_namespace(&plan.namespace).with_timeout(plan.request_timeout);
            masters.push((name, client));
        }
        let shared = Arc::new(Shared {
            masters,
            padding: "x".repeat(plan.padding_bytes),
            started: env::monotonic(),
            stop: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            watches: AtomicU64::new(0),
            writes: Mutex::default(),
            reads: Mutex::default(),
        });
        let writers = (0..plan.writers).map(|n| env::spawn(write_until_stopped(Arc::clone(&shared), n)));
        let readers = (0..plan.readers).map(|n| env::spawn(read_until_stopped(Arc::clone(&shared), n)));
        let watchers = (0..plan.watchers).map(|n| env::spawn(watch_to_the_end(Arc::clone(&shared), n, from)));
        let (writers, watchers) = (writers.chain(readers).collect(), watchers.collect());
        Ok(Self { shared, writers, watchers })
    }

    /// How many writes were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until `count` more writes are acknowledged than now.
    ///
    /// # Errors
    /// When that takes longer than `limit`.
    pub async fn progress(&self, count: u64, limit: Duration) -> Result<()> {
        let target = self.acknowledged() + count;
        let done = env::wait_until(limit, Duration::from_millis(5), || self.acknowledged() >= target).await;
        ensure!(done, "fewer than {count} writes were acknowledged within {limit:?}");
        Ok(())
    }

    /// How many watches stood so far: each time a watcher leaves a master, one more.
    pub fn watches(&self) -> u64 {
        self.shared.watches.load(Ordering::Relaxed)
    }

    /// Waits until a watcher has resumed on another master, of those that stood when there were `before`.
    ///
    /// # Errors
    /// When that takes longer than `limit`.
    pub async fn resumed(&self, before: u64, limit: Duration) -> Result<()> {
        let moved = env::wait_until(limit, Duration::from_millis(5), || self.watches() > before).await;
        ensure!(moved, "no watch was resumed on another master within {limit:?}");
        Ok(())
    }

    /// Stops the writers and forgets the watches: for when the cluster is down.
    pub async fn halt(self) -> Halted {
        self.shared.stop.store(true, Ordering::Relaxed);
        for writer in self.writers {
            let _ = writer.await;
        }
        self.watchers.iter().for_each(JoinHandle::abort);
        Halted(self.shared)
    }

    /// Stops the writers, lets the watchers see the last write, and collects the end state of every
    /// master of `cluster`, all of which must run.
    ///
    /// # Errors
    /// When a master does not answer; what the checks look for is no error.
    pub async fn stop(mut self, cluster: &Cluster) -> Result<Evidence> {
        self.shared.stop.store(true, Ordering::Relaxed);
        for writer in self.writers.drain(..) {
            writer.await.context("a writer panicked")?;
        }
        write_last(&self.shared).await?;
        let mut watches = Vec::new();
        for watcher in std::mem::take(&mut self.watchers) {
            let ended =
                env::timeout(END_TIMEOUT, watcher).await.context("a watch never showed the last write")?;
            watches.push(ended.context("a watcher panicked")?);
        }
        let mut evidence = collect(&self.shared, cluster).await?;
        evidence.watches = watches;
        Ok(evidence)
    }
}

/// Load that was stopped while the cluster was down.
pub struct Halted(Arc<Shared>);

impl Halted {
    /// Collects the end state of every master of `cluster`, all of which must run again.
    ///
    /// # Errors
    /// When a master does not answer.
    pub async fn collect(&self, cluster: &Cluster) -> Result<Evidence> {
        collect(&self.0, cluster).await
    }
}

/// What the clients wrote down, and what every master holds now.
async fn collect(shared: &Shared, cluster: &Cluster) -> Result<Evidence> {
    let mut listings = Vec::new();
    for (name, client) in &shared.masters {
        let (_, items) = client.list("").await.with_context(|| format!("list everything on {name}"))?;
        listings.push(listing(name, &items)?);
    }
    let verify_failure = cluster.verify().await.err().map(|error| format!("{error:#}"));
    let (writes, reads) = (shared.writes.lock().clone(), shared.reads.lock().clone());
    Ok(Evidence { writes, reads, listings, watches: Vec::new(), verify_failure })
}

fn listing(master: &str, items: &[serde_json::Value]) -> Result<Listing> {
    let mut objects = BTreeMap::new();
    for item in items {
        let name = item["metadata"]["name"].as_str().unwrap_or_default();
        if is_written_here(name) {
            let value = item["data"]["value"].as_str().unwrap_or_default();
            objects.insert(name.to_owned(), (first_word(value), revision(item)?));
        }
    }
    Ok(Listing { master: master.to_owned(), objects })
}

/// Whether an object is a writer's: a namespace may come with objects of its own, and with the last one.
fn is_written_here(name: &str) -> bool {
    name.starts_with(WRITER_PREFIX)
}

/// What the checks look at, without the padding.
fn first_word(value: &str) -> String {
    value.split(' ').next().unwrap_or_default().to_owned()
}

/// Creates objects of its own; updates every second one, and deletes every third.
async fn write_until_stopped(shared: Arc<Shared>, writer: usize) {
    let mut turn = writer;
    for number in 0.. {
        if shared.is_stopped() {
            return;
        }
        let name = format!("{WRITER_PREFIX}{writer}-{number}");
        let (_, client) = shared.master(turn);
        let mut at = shared.write(client, &name, Operation::Create, 0).await;
        if let (Some(revision), 0) = (at, number % 2) {
            at = shared.write(client, &name, Operation::Update, revision).await;
        }
        if let (Some(revision), 0) = (at, number % 3) {
            at = shared.write(client, &name, Operation::Delete, revision).await;
        }
        if at.is_none() {
            turn += 1;
            env::sleep(RETRY_AFTER).await;
        }
    }
}

/// Asks one master after the other for fresh data, and writes down its revision.
async fn read_until_stopped(shared: Arc<Shared>, reader: usize) {
    for turn in reader.. {
        if shared.is_stopped() {
            return;
        }
        let (name, client) = shared.master(turn);
        let started_us = shared.now_us();
        if let Ok((revision, _)) = client.list("?limit=1").await {
            shared.reads.lock().push(Read { master: name.clone(), revision, started_us });
        }
        env::sleep(READ_EVERY).await;
    }
}

/// Watches until it sees the last write, resuming on the next master whenever its watch ends.
async fn watch_to_the_end(shared: Arc<Shared>, watcher: usize, from: u64) -> WatchLog {
    let mut log = WatchLog { from, ..WatchLog::default() };
    let mut last = from;
    for turn in watcher.. {
        match watch_once(&shared, turn, &mut last, &mut log).await {
            Ok(true) => break,
            Ok(false) => env::sleep(RETRY_AFTER).await,
            Err(failure) => {
                log.failure = Some(failure.to_string());
                break;
            }
        }
    }
    log
}

/// One watch on one master, from `last` on. Whether it saw the last write.
///
/// # Errors
/// A 410: what comes after `last` is not to be had any more.
async fn watch_once(
    shared: &Shared,
    turn: usize,
    last: &mut u64,
    log: &mut WatchLog,
) -> crate::client::Result<bool> {
    let (name, client) = shared.master(turn);
    let Ok(mut watch) = expired(client.watch(*last).await)? else { return Ok(false) };
    log.masters.push(name.clone());
    shared.watches.fetch_add(1, Ordering::Relaxed);
    let mut silent = Duration::ZERO;
    // A master that was cut off keeps a silent watch open for as long as it likes; leave it.
    while silent < client_patience() {
        match expired(watch.next(WATCH_SILENCE_MAX).await)? {
            Ok(Some(mut event)) => {
                silent = Duration::ZERO;
                event.value = first_word(&event.value);
                *last = event.revision.max(*last);
                let is_last = event.name == LAST_OBJECT;
                if event.kind == EventKind::Bookmark || is_written_here(&event.name) {
                    log.events.push(event);
                }
                if is_last {
                    return Ok(true);
                }
            }
            Ok(None) => silent += WATCH_SILENCE_MAX,
            Err(_) => return Ok(false),
        }
    }
    Ok(false)
}

/// How long a watch may be silent before the watcher tries another master.
fn client_patience() -> Duration {
    WATCH_SILENCE_MAX * 8
}

/// Separates the one answer that ends a watch for good from all that another master may cure.
fn expired<T>(answered: crate::client::Result<T>) -> crate::client::Result<crate::client::Result<T>> {
    match answered {
        Err(gone) if gone.code() == Some(410) => Err(gone),
        other => Ok(other),
    }
}

/// Writes the object that ends every watch, on whichever master takes it.
async fn write_last(shared: &Shared) -> Result<()> {
    let deadline = env::monotonic() + END_TIMEOUT;
    for turn in 0.. {
        let (_, client) = shared.master(turn);
        match client.create(LAST_OBJECT, "").await {
            Ok(_) => return Ok(()),
            Err(refused) if refused.code() == Some(409) => return Ok(()),
            Err(refused) if env::monotonic() > deadline => bail!("no master takes the last write: {refused}"),
            Err(_) => env::sleep(RETRY_AFTER).await,
        }
    }
    Ok(())
}
