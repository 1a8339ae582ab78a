//! A network inside one process: seeded latency and loss, partitions one way or both, paused masters.
//!
//! Everything random is drawn from [`base::env`], so inside [`base::env::simulate`] a seed decides it
//! all; every delivered frame goes into a [`Trace`], whose hash two runs can compare.
//!
//! # Caveats
//! A paused master's traffic stands still while its timers go on, as after a long garbage collection of
//! its network: frames arrive late instead of never.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base::env::{self, Instant};
use base::ids::NodeId;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{FrameService, Lane, Transport, TransportError};
use crate::member::Member;

/// What a frame meets on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// Shortest time from one master to another.
    pub latency_min: Duration,
    /// Longest such time.
    pub latency_max: Duration,
    /// Frames lost of a thousand.
    pub loss_permille: u64,
}

impl Default for Conditions {
    /// A good local network.
    fn default() -> Self {
        Self {
            latency_min: Duration::from_micros(100),
            latency_max: Duration::from_micros(600),
            loss_permille: 0,
        }
    }
}

/// A running hash of everything that happened, in order. Cheap to clone; clones are the same trace.
#[derive(Clone)]
pub struct Trace(Arc<Mutex<(u64, u64)>>);

/// Start and factor of FNV-1a with 64 bits.
const FNV: (u64, u64) = (0xcbf2_9ce4_8422_2325, 0x0000_0100_0000_01b3);

impl Default for Trace {
    fn default() -> Self {
        Self(Arc::new(Mutex::new((FNV.0, 0))))
    }
}

impl Trace {
    /// Adds an event.
    pub fn add(&self, parts: &[&[u8]]) {
        let mut trace = self.0.lock();
        for byte in parts.iter().flat_map(|part| part.iter()) {
            trace.0 = (trace.0 ^ u64::from(*byte)).wrapping_mul(FNV.1);
        }
        trace.1 += 1;
    }

    /// The hash, and how many events it stands for.
    pub fn sum(&self) -> (u64, u64) {
        *self.0.lock()
    }
}

/// The network. Cheap to clone; clones are the same network.
#[derive(Clone)]
pub struct SimulatedNetwork(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Counts changes of who is paused.
    pauses: watch::Sender<u64>,
    trace: Trace,
    started: Instant,
}

#[derive(Default)]
struct State {
    conditions: Conditions,
    services: BTreeMap<NodeId, Arc<dyn FrameService>>,
    /// Directions in which nothing arrives.
    cut: BTreeSet<(NodeId, NodeId)>,
    paused: BTreeSet<NodeId>,
}

impl SimulatedNetwork {
    /// A good network that nobody is attached to.
    pub fn new(trace: Trace) -> Self {
        let shared = Shared {
            state: Mutex::default(),
            pauses: watch::Sender::new(0),
            trace,
            started: env::monotonic(),
        };
        Self(Arc::new(shared))
    }

    /// The transport of one master.
    pub fn transport(&self, node: NodeId) -> Arc<dyn Transport> {
        Arc::new(SimulatedTransport { node, network: self.clone() })
    }

    /// Lets a master be reached.
    pub fn attach(&self, node: NodeId, service: Arc<dyn FrameService>) {
        self.0.state.lock().services.insert(node, service);
    }

    /// Lets a master be unreachable, as when its process ended.
    pub fn detach(&self, node: NodeId) {
        let removed = self.0.state.lock().services.remove(&node);
        drop(removed);
    }

    /// Changes latency and loss from now on.
    pub fn set_conditions(&self, conditions: Conditions) {
        self.0.state.lock().conditions = conditions;
    }

    /// Lets nothing from `from` arrive at `to` any more.
    pub fn cut(&self, from: NodeId, to: NodeId) {
        self.0.state.lock().cut.insert((from, to));
    }

    /// Cuts a master off from all `others`, both ways.
    pub fn isolate(&self, node: NodeId, others: &[NodeId]) {
        let mut state = self.0.state.lock();
        state.cut.extend(others.iter().flat_map(|other| [(node, *other), (*other, node)]));
    }

    /// Undoes every cut.
    pub fn heal(&self) {
        self.0.state.lock().cut.clear();
    }

    /// Lets the traffic of a master stand still, both ways.
    pub fn pause(&self, node: NodeId) {
        self.0.state.lock().paused.insert(node);
        self.0.pauses.send_modify(|changes| *changes += 1);
    }

    /// Lets it go on, with everything that waited.
    pub fn resume(&self, node: NodeId) {
        self.0.state.lock().paused.remove(&node);
        self.0.pauses.send_modify(|changes| *changes += 1);
    }

    /// Carries a frame one way; `None` when it got lost.
    async fn carry(&self, from: NodeId, to: NodeId, lane: Lane, frame: &[u8]) -> Option<()> {
        let conditions = self.0.state.lock().conditions;
        let delay = latency(conditions);
        // Timers count milliseconds: none at all is a network without latency.
        if !delay.is_zero() {
            env::sleep(delay).await;
        }
        let is_lost = env::random_u64() % 1_000 < conditions.loss_permille;
        self.wait_while_paused(from, to).await;
        let is_cut = self.0.state.lock().cut.contains(&(from, to));
        if is_lost || is_cut {
            return None;
        }
        let at_us = self.0.started.elapsed().as_micros() as u64;
        let way = [&at_us.to_le_bytes()[..], &from.to_le_bytes(), &to.to_le_bytes(), &[lane as u8]];
        self.0.trace.add(&[way[0], way[1], way[2], way[3], frame]);
        Some(())
    }

    async fn wait_while_paused(&self, one: NodeId, other: NodeId) {
        let mut pauses = self.0.pauses.subscribe();
        while self.is_paused(one) || self.is_paused(other) {
            if pauses.changed().await.is_err() {
                return;
            }
        }
    }

    fn is_paused(&self, node: NodeId) -> bool {
        self.0.state.lock().paused.contains(&node)
    }

    /// A request and its answer; `None` when either got lost.
    async fn exchange(
        &self,
        from: NodeId,
        to: NodeId,
        lane: Lane,
        frame: Bytes,
    ) -> Option<Result<Bytes, String>> {
        self.carry(from, to, lane, &frame).await?;
        let service = self.0.state.lock().services.get(&to).cloned();
        let Some(service) = service else { return Some(Err(NOBODY.to_owned())) };
        // A task of its own: a server goes on when its caller gave up.
        let serving = env::spawn(async move { service.serve(from, lane, frame).await });
        let answer = serving.await.unwrap_or_else(|failed| Err(failed.to_string()));
        let bytes = answer.as_ref().map_or_else(|reason| reason.as_bytes(), |bytes| &bytes[..]);
        self.carry(to, from, lane, bytes).await?;
        Some(answer)
    }
}

/// The reason that stands for a refused connection.
const NOBODY: &str = "nobody listens";

fn latency(conditions: Conditions) -> Duration {
    let spread_us = (conditions.latency_max - conditions.latency_min).as_micros() as u64;
    conditions.latency_min + Duration::from_micros(env::random_u64() % (spread_us + 1))
}

struct SimulatedTransport {
    node: NodeId,
    network: SimulatedNetwork,
}

#[async_trait::async_trait]
impl Transport for SimulatedTransport {
    async fn call(
        &self,
        to: NodeId,
        member: &Member,
        lane: Lane,
        frame: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, TransportError> {
        let answer = async {
            match self.network.exchange(self.node, to, lane, frame).await {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        };
        match env::timeout(deadline, answer).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(reason)) if reason == NOBODY => {
                Err(TransportError::Unreachable { node: to, peer: member.peer.clone(), reason })
            }
            Ok(Err(reason)) => Err(TransportError::Refused { node: to, reason }),
            Err(_elapsed) => Err(TransportError::Timeout { node: to, after_ms: deadline.as_millis() as u64 }),
        }
    }

    fn forget(&self, _node: NodeId) {}
}
