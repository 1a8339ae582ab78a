//! How much, how many, how long: the same for Keelson and for what it is held against.

use std::time::Duration;

/// Clients of the throughput lines, each with one call in flight.
pub const CLIENTS: usize = 256;
/// Clients of the lines on pods and Deployments, each with one call in flight.
pub const POD_CLIENTS: usize = 64;
/// Pods whose memory is measured, of [`VALUE_BYTES`] of JSON each.
pub const SIZED_PODS: u64 = 100_000;
/// How many objects a page of a paged walk holds.
pub const PAGE_OBJECTS: usize = 500;
/// Pods that kubectl lists.
pub const SHOWN_PODS: u64 = 1000;
/// Objects that kubectl applies at a time.
pub const APPLIED_OBJECTS: usize = 100;
/// Times that a kubectl command is run.
pub const COMMANDS: usize = 5;
/// HTTP/2 connections that those clients share.
pub const CONNECTIONS: usize = 16;
/// Bytes of a put's value, of a proposal, and of a created object's JSON.
pub const VALUE_BYTES: usize = 2048;
/// Load before anything counts: caches, connections and the log's files are then in use.
pub const WARM_UP: Duration = Duration::from_secs(3);
/// How long a load is counted for.
pub const MEASURED: Duration = Duration::from_secs(10);
/// How long the small loads (one client, client checks) are counted for.
pub const CHECK: Duration = Duration::from_secs(4);
/// Rest before an idle process is looked at.
pub const SETTLE: Duration = Duration::from_secs(5);

/// Times that the leader is killed.
pub const KILLS: usize = 20;
/// Between the cluster being whole and the next kill.
pub const BETWEEN_KILLS: Duration = Duration::from_millis(500);
/// An outage longer than this is a failure, not a sample.
pub const OUTAGE_MAX: Duration = Duration::from_secs(30);
/// Times that a cluster is started on empty directories.
pub const BOOTSTRAPS: usize = 5;

/// Objects of [`VALUE_BYTES`] whose memory and disk writes are measured.
pub const SIZED_OBJECTS: u64 = 100_000;
/// Objects in the cluster that is restarted, and listed with a selector that matches none.
pub const MANY_OBJECTS: u64 = 300_000;
/// JSON bytes of those beyond [`SIZED_OBJECTS`].
pub const SMALL_OBJECT_BYTES: usize = 256;
/// Masters that write no more than this between two looks are at rest: a heartbeat's worth.
pub const REST_BYTES_MAX: u64 = 64 << 10;
/// Between two looks.
pub const REST_LOOK_EVERY: Duration = Duration::from_secs(2);
/// Masters that are not at rest by then never will be.
pub const REST_MAX: Duration = Duration::from_secs(90);
/// How long the variants of a load that are only printed are counted for.
pub const PRINTED: Duration = Duration::from_secs(5);
/// How long the idle masters' CPU time is watched.
pub const IDLE: Duration = Duration::from_secs(20);
/// Times that the leader is stopped, and times that it is cut off.
pub const FAULTS: usize = 5;
/// Times that one follower is restarted, each way.
pub const RESTARTS: usize = 3;

/// Objects in the LIST that is compared with a static body, and their JSON bytes.
pub const LISTED_OBJECTS: u64 = 10_000;
/// See [`LISTED_OBJECTS`].
pub const LISTED_OBJECT_BYTES: usize = 1024;
/// Times that each of the two is read.
pub const LISTS: usize = 20;
/// Times that the LIST with a selector that matches nothing is read.
pub const SELECTIONS: usize = 200;

/// Watchers, each on a connection of its own.
pub const WATCHERS: usize = 1000;
/// JSON bytes of the objects that the watchers are told of.
pub const WATCHED_OBJECT_BYTES: usize = 1024;
/// How long events are offered at one rate.
pub const WATCH_STEP: Duration = Duration::from_secs(5);
/// After the last write, how long its events may take.
pub const WATCH_DRAIN_MAX: Duration = Duration::from_secs(10);
/// Steps that are tried to find the highest rate.
pub const WATCH_STEPS_MAX: usize = 6;

/// Nodes that only say that they run pods: as many as Kubernetes promises to bear.
pub const HOLLOW_NODES: usize = 5_000;
/// The same where pods matter, not nodes.
pub const HOLLOW_WORKERS: usize = 100;
/// Nodes that run containers.
pub const NODES: usize = 2;
/// Pods that are created gated and released together.
pub const GATED_PODS: u64 = 10_000;
/// Replicas of the Deployment that comes and goes.
pub const REPLICAS: u64 = 1_000;
/// Times that it does.
pub const SCALINGS: usize = 3;
/// Times that the leader is killed while a pod is deleted.
pub const REPLACEMENTS: usize = 10;
/// Times that the whole cluster is started on an empty directory.
pub const STARTS: usize = 3;
/// Times that one pod, and one container, is started.
pub const POD_STARTS: usize = 10;
/// Pods, and containers, that are started at once.
pub const BURST_PODS: usize = 30;
/// Times that they are.
pub const BURSTS: usize = 3;
/// Containers that Docker starts at a time.
pub const DOCKER_AT_A_TIME: usize = 4;
/// Times that a node is killed.
pub const NODE_DEATHS: usize = 2;
/// Services of a small cluster, and of a large one.
pub const FEW_SERVICES: usize = 10;
/// See [`FEW_SERVICES`].
pub const MANY_SERVICES: usize = 10_000;
/// First packets that are sent to Services.
pub const FIRST_PACKETS: usize = 2_000;
/// Times that an endpoint of a Service changes.
pub const ENDPOINT_CHANGES: usize = 10;
/// What pods may take to come, and go: more is a failure, not a sample.
pub const PODS_MAX: Duration = Duration::from_secs(180);
