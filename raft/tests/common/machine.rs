//! A machine that counts entries and hashes what it applied.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use raft::machine::{Prepared, Taken};
use raft::transport::simulated::Trace;
use raft::{Entry, Machine, MachineError, Payload, Position, Restored};
use storage::memory::Gate;
use storage::snapshot::Stores;
use storage::{Image, SnapshotReader, VersionBatch, VersionStore};

/// What the machine has become.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    pub restored: Restored,
    /// Normal entries applied.
    pub count: u64,
    /// Of everything applied, in order.
    pub hash: u64,
}

fn put_position(bytes: &mut BytesMut, position: Position) {
    bytes.put_u64(position.term);
    bytes.put_u64(position.leader);
    bytes.put_u64(position.index);
}

fn get_position(bytes: &mut Bytes) -> Position {
    Position { term: bytes.get_u64(), leader: bytes.get_u64(), index: bytes.get_u64() }
}

impl Content {
    fn apply(&mut self, entry: &Entry) {
        self.restored.applied = Some(entry.position);
        let bytes: &[u8] = match &entry.payload {
            Payload::Blank => &[],
            Payload::Normal(bytes) => {
                self.count += 1;
                bytes
            }
            Payload::Membership(bytes) => {
                self.restored.membership = Some((entry.position, bytes.clone()));
                bytes
            }
        };
        let trace = Trace::default();
        trace.add(&[&self.hash.to_le_bytes(), &entry.position.index.to_le_bytes(), bytes]);
        self.hash = trace.sum().0;
    }

    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_u64(self.count);
        bytes.put_u64(self.hash);
        bytes.put_u8(u8::from(self.restored.applied.is_some()));
        put_position(&mut bytes, self.restored.applied.unwrap_or_default());
        if let Some((at, membership)) = &self.restored.membership {
            put_position(&mut bytes, *at);
            bytes.put_slice(membership);
        }
        bytes.freeze()
    }

    fn decode(mut bytes: Bytes) -> Self {
        let (count, hash, has_applied) = (bytes.get_u64(), bytes.get_u64(), bytes.get_u8() == 1);
        let applied = Some(get_position(&mut bytes)).filter(|_| has_applied);
        let membership = (!bytes.is_empty()).then(|| (get_position(&mut bytes), bytes));
        Self { restored: Restored { applied, membership }, count, hash }
    }

    fn read(store: &dyn VersionStore) -> Self {
        let image = store.image().expect("readable");
        image.map_or_else(Self::default, |image| Self::decode(image.head))
    }
}

/// Looks into a machine, and disturbs it, from outside.
#[derive(Clone, Default)]
pub struct Probe {
    content: Arc<Mutex<Content>>,
    /// Payloads applied by this run, with their index; none of those that came in a snapshot.
    applied: Arc<Mutex<Vec<(u64, Bytes)>>>,
    keeps_payloads: Arc<AtomicBool>,
    panics: Arc<AtomicBool>,
    apply_delay: Arc<Mutex<Duration>>,
    /// Holds whoever applies.
    pub applying: Gate,
    pub installs: Arc<std::sync::atomic::AtomicU64>,
}

impl Probe {
    pub fn content(&self) -> Content {
        self.content.lock().clone()
    }

    pub fn applied(&self) -> Option<u64> {
        self.content.lock().restored.applied.map(|at| at.index)
    }

    pub fn payloads(&self) -> Vec<Bytes> {
        self.applied.lock().iter().map(|(_, payload)| payload.clone()).collect()
    }

    pub fn keep_payloads(&self) {
        self.keeps_payloads.store(true, Ordering::SeqCst);
    }

    /// For runs that apply too many.
    pub fn forget_payloads(&self) {
        self.keeps_payloads.store(false, Ordering::SeqCst);
    }

    /// The next apply panics.
    pub fn panic(&self) {
        self.panics.store(true, Ordering::SeqCst);
    }

    /// Every apply takes this long from now on.
    pub fn slow_down(&self, delay: Duration) {
        *self.apply_delay.lock() = delay;
    }
}

/// See the module.
pub struct CountingMachine {
    stores: Arc<dyn Stores>,
    content: Content,
    probe: Probe,
    trace: Option<(u64, Trace)>,
    allows_gaps: bool,
}

impl CountingMachine {
    /// For a suite that applies whatever it likes.
    pub fn allowing_gaps(mut self) -> Self {
        self.allows_gaps = true;
        self
    }

    pub fn open(stores: Arc<dyn Stores>, probe: Probe, trace: Option<(u64, Trace)>) -> Self {
        let content = Content::read(&*stores.versions());
        *probe.content.lock() = content.clone();
        Self { stores, content, probe, trace, allows_gaps: false }
    }

    fn publish(&self) {
        *self.probe.content.lock() = self.content.clone();
    }
}

fn failed(error: impl std::fmt::Display) -> MachineError {
    MachineError(error.to_string())
}

struct Ready {
    content: Content,
    store: Arc<dyn VersionStore>,
    files: Arc<dyn SnapshotReader>,
}

impl Prepared for Ready {
    fn restored(&self) -> Restored {
        self.content.restored.clone()
    }

    fn files(&self) -> Arc<dyn SnapshotReader> {
        Arc::clone(&self.files)
    }
}

#[async_trait::async_trait]
impl Machine for CountingMachine {
    fn restored(&self) -> Restored {
        self.content.restored.clone()
    }

    async fn apply(&mut self, entries: Vec<Entry>) -> Result<(), MachineError> {
        assert!(!self.probe.panics.load(Ordering::SeqCst), "told to panic");
        let delay = *self.probe.apply_delay.lock();
        if !delay.is_zero() {
            base::env::sleep(delay).await;
        }
        if self.probe.applying.is_closed() {
            let gate = self.probe.applying.clone();
            base::env::blocking(move || gate.pass()).await;
        }
        for entry in &entries {
            let next = self.content.restored.applied.map_or(0, |at| at.index + 1);
            assert!(
                self.allows_gaps || entry.position.index == next,
                "{} after {next}",
                entry.position.index
            );
            self.content.apply(entry);
            if let Some((node, trace)) = &self.trace {
                trace.add(&[
                    &node.to_le_bytes(),
                    &entry.position.index.to_le_bytes(),
                    &self.content.hash.to_le_bytes(),
                ]);
            }
            if let Payload::Normal(payload) = &entry.payload
                && self.probe.keeps_payloads.load(Ordering::SeqCst)
            {
                self.probe.applied.lock().push((entry.position.index, payload.clone()));
            }
        }
        self.publish();
        Ok(())
    }

    fn snapshot(&mut self) -> BoxFuture<'static, Result<Taken, MachineError>> {
        let (stores, content) = (Arc::clone(&self.stores), self.content.clone());
        Box::pin(async move {
            base::env::blocking(move || {
                let index = content.restored.applied.map_or(0, |at| at.index);
                let image = Image { index, revision: index, head: content.encode() };
                let batch = VersionBatch { image: Some(image), ..VersionBatch::default() };
                stores.versions().write(&batch).map_err(failed)?;
                let files = stores.take_snapshot().map_err(failed)?;
                Ok(Taken { restored: content.restored, files })
            })
            .await
        })
    }

    fn current_snapshot(&self) -> Result<Option<Taken>, MachineError> {
        let current = self.stores.current_snapshot().map_err(failed)?;
        Ok(current.map(|files| {
            let content = Content::decode(files.manifest().image.head.clone());
            Taken { restored: content.restored, files }
        }))
    }

    fn prepare(
        &self,
        snapshot: Arc<dyn SnapshotReader>,
    ) -> BoxFuture<'static, Result<Box<dyn Prepared>, MachineError>> {
        let stores = Arc::clone(&self.stores);
        Box::pin(async move {
            base::env::blocking(move || {
                let store = stores.open_received(&*snapshot).map_err(failed)?;
                let content = Content::read(&*store);
                Ok(Box::new(Ready { content, store, files: snapshot }) as Box<dyn Prepared>)
            })
            .await
        })
    }

    async fn install(&mut self, prepared: Box<dyn Prepared>) -> Result<(), MachineError> {
        let prepared: Box<dyn std::any::Any> = prepared;
        let ready = prepared.downcast::<Ready>().expect("made by prepare");
        let Ready { content, store, .. } = *ready;
        let stores = Arc::clone(&self.stores);
        base::env::blocking(move || stores.adopt(store)).await.map_err(failed)?;
        self.content = content;
        self.probe.installs.fetch_add(1, Ordering::SeqCst);
        self.publish();
        Ok(())
    }
}
