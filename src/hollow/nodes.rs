//! The nodes: registered once, alive by their leases, and told of anew now and then.

use std::time::Duration;

use base::env::{self, Instant};
use base::shutdown::Shutdown;
use client::{Client, Error, Lease, Patch, Repeat};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Options, addresses};

/// How often each node renews its lease while it holds, as a kubelet does.
const RENEWALS: u32 = 4;
/// How often a status is told that has not changed.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(300);
/// Requests about nodes at a time.
const IN_FLIGHT_MAX: usize = 64;
/// Where the leases of nodes are.
const LEASES: &str = "kube-node-lease";

/// What is done for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is made known, or found, and its lease made.
    Register,
    /// Its lease is renewed.
    Renew,
    /// And its status is told.
    Report,
}

/// What is known of a node.
#[derive(Clone, Debug)]
struct Known {
    /// Of its object.
    uid: Box<str>,
    /// When its lease was renewed last.
    renewed: Instant,
}

impl Known {
    /// Its lease ended: the masters may have said since that nobody hears of the node.
    fn is_late(&self, lease: Duration) -> bool {
        self.renewed.elapsed() >= lease
    }
}

/// What came of a turn.
struct Done {
    node: usize,
    /// `None` when it has no object.
    outcome: Result<Option<Known>, Error>,
}

/// When which node has its turn. The first round of each registers, without waiting.
#[derive(Debug)]
pub(crate) struct Rounds {
    start: Instant,
    nodes: usize,
    /// How often each has a turn. All of them are spread over it.
    interval: Duration,
    /// Turns so far.
    turns: u64,
}

impl Rounds {
    pub(crate) fn new(start: Instant, nodes: usize, interval: Duration) -> Self {
        Self { start, nodes, interval, turns: 0 }
    }

    /// When the next turn is due.
    pub(crate) fn due(&self) -> Instant {
        let nanos = self.interval.as_nanos() * u128::from(self.turns) / self.nodes as u128;
        self.start + Duration::from_nanos(nanos as u64)
    }

    /// Which node has it, and for what if it is registered.
    pub(crate) fn take(&mut self) -> (usize, Turn) {
        let (node, round) = (self.turns % self.nodes as u64, self.turns / self.nodes as u64);
        self.turns += 1;
        let rounds = (REPORT_INTERVAL.as_nanos() / self.interval.as_nanos()).max(1) as u64;
        // Spread, and not in the round after it was registered.
        let is_due = round > 0 && (round + node) % rounds == 0;
        (node as usize, if is_due { Turn::Report } else { Turn::Renew })
    }
}

/// Runs the nodes until the shutdown.
pub(crate) async fn run(options: &Options, mut shutdown: Shutdown) {
    let lease = Duration::from_secs(options.lease_seconds.into());
    let interval = lease / RENEWALS;
    let mut known: Vec<Option<Known>> = vec![None; options.nodes];
    let mut in_flight: FuturesUnordered<BoxFuture<'_, Done>> = FuturesUnordered::new();
    let mut unknown = 0..options.nodes;
    let mut rounds = Rounds::new(env::monotonic() + interval, options.nodes, interval);
    loop {
        let has_room = in_flight.len() < IN_FLIGHT_MAX;
        if has_room && let Some(node) = unknown.next() {
            in_flight.push(Box::pin(turn(options, node, None, Turn::Register)));
            if unknown.is_empty() {
                tracing::info!(nodes = options.nodes, "all hollow nodes were registered once");
                rounds = Rounds::new(env::monotonic() + interval, options.nodes, interval);
            }
            continue;
        }
        // All arms may be dropped: what is in flight stays there, and a turn that is due stays due.
        tokio::select! {
            biased;
            () = shutdown.wait() => return,
            Some(done) = in_flight.next() => settle(&mut known, done),
            () = env::sleep_until(rounds.due()), if has_room && unknown.is_empty() => {
                let (node, wanted) = rounds.take();
                let wanted = match &known[node] {
                    None => Turn::Register,
                    Some(known) if known.is_late(lease) => Turn::Report,
                    Some(_) => wanted,
                };
                in_flight.push(Box::pin(turn(options, node, known[node].clone(), wanted)));
            }
        }
    }
}

fn settle(known: &mut [Option<Known>], done: Done) {
    match done.outcome {
        Ok(now) => known[done.node] = now,
        // Its next turn is the retry.
        Err(error) => tracing::warn!(node = done.node, "a hollow node had no luck: {error}"),
    }
}

async fn turn(options: &Options, node: usize, known: Option<Known>, turn: Turn) -> Done {
    let outcome = async {
        let uid = match known {
            None => register(options, node).await?,
            Some(known) => known.uid,
        };
        if turn == Turn::Report {
            match report(options, node).await {
                // Somebody deleted it.
                Err(error) if error.is_not_found() => return Ok(None),
                reported => reported?,
            }
        }
        renew(options, node, &uid).await?;
        Ok(Some(Known { uid, renewed: env::monotonic() }))
    };
    Done { node, outcome: outcome.await }
}

#[derive(Deserialize)]
struct Registered {
    metadata: Uid,
}

#[derive(Deserialize)]
struct Uid {
    uid: Box<str>,
}

/// Creates the object of a node, or takes over the one there is.
async fn register(options: &Options, node: usize) -> Result<Box<str>, Error> {
    let client: &Client = &options.client;
    let object = match client.create("/api/v1/nodes", object(options, node).to_string()).await {
        Err(error) if error.is_conflict() => {
            report(options, node).await?;
            client.get(&path(options, node)).await?
        }
        created => created?,
    };
    let registered: Result<Registered, _> = serde_json::from_slice(&object);
    registered.map(|registered| registered.metadata.uid).map_err(|error| Error::Malformed {
        operation: format!("registering {}", options.name(node)),
        reason: error.to_string(),
    })
}

async fn report(options: &Options, node: usize) -> Result<(), Error> {
    let patch = json!({"status": status(options, node)}).to_string();
    let path = format!("{}/status", path(options, node));
    options.client.patch(&path, Patch::Strategic, patch, Repeat::Unknown).await.map(drop)
}

async fn renew(options: &Options, node: usize, uid: &str) -> Result<(), Error> {
    let name = options.name(node);
    let owner = ["v1".to_owned(), "Node".to_owned(), name.clone(), uid.to_owned()];
    let lease = Lease {
        namespace: LEASES.to_owned(),
        holder: name.clone(),
        name,
        duration_seconds: options.lease_seconds as i32,
        owner: Some(owner),
    };
    options.client.renew(&lease).await
}

fn path(options: &Options, node: usize) -> String {
    format!("/api/v1/nodes/{}", options.name(node))
}

fn object(options: &Options, node: usize) -> Value {
    let name = options.name(node);
    let mut labels = json!(options.labels);
    labels["kubernetes.io/hostname"] = name.clone().into();
    labels["kubernetes.io/os"] = "linux".into();
    labels["kubernetes.io/arch"] = "amd64".into();
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"podCIDR": addresses::OF_PODS, "podCIDRs": [addresses::OF_PODS]},
        "status": status(options, node),
    })
}

fn status(options: &Options, node: usize) -> Value {
    let now = Timestamp::from_second((env::wall_ms() / 1000) as i64).unwrap_or_default().to_string();
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        })
    };
    let resources = json!({
        "cpu": options.cores.to_string(), "memory": format!("{}Gi", options.memory_gib),
        "pods": options.pods.to_string(), "ephemeral-storage": "100Gi",
    });
    let memory = "kubelet has sufficient memory available";
    json!({
        "capacity": resources,
        "allocatable": resources,
        "conditions": [
            condition("MemoryPressure", "False", "KubeletHasSufficientMemory", memory),
            condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
        ],
        "addresses": [
            {"type": "InternalIP", "address": addresses::of_node(node).to_string()},
            {"type": "Hostname", "address": options.name(node)},
        ],
        "nodeInfo": {
            "machineID": options.name(node), "systemUUID": options.name(node), "bootID": options.name(node),
            "kernelVersion": "hollow", "osImage": "hollow", "containerRuntimeVersion": "hollow://1",
            "kubeletVersion": "v1.37.0", "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": "amd64",
        },
    })
}
