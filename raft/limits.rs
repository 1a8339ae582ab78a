//! Every number of this crate, with its reason.

use std::time::Duration;

/// How often a leader tells followers that it lives.
///
/// Two clocks run against it. A follower campaigns a lease and [`ELECTION_MIN`] after the last beat it heard:
/// three beats fit in between. And the leader's own lease, [`ELECTION_MAX`], runs from the sending of the last
/// beat that a quorum answered; without it the leader refuses proposals until the next answer. After a round
/// that no follower answered, the next one has [`LEASE_MARGIN`] for its answer. Two such rounds in a row are an
/// outage, of the leader or of the network.
///
/// Beats are most of what an idle master does.
pub const HEARTBEAT: Duration = Duration::from_millis(130);

/// What is left of the leader's lease for the answers to the round after one that was lost.
pub const LEASE_MARGIN: Duration = Duration::from_millis(60);

const _: () = assert!(2 * HEARTBEAT.as_millis() + LEASE_MARGIN.as_millis() <= ELECTION_MAX.as_millis());

/// Shortest wait of a follower beyond the leader's lease before it campaigns.
pub const ELECTION_MIN: Duration = Duration::from_millis(140);

/// Longest such wait; also the leader's lease. A dead leader is replaced after one lease plus a wait
/// drawn between the two: 0.48 to 0.68 s plus the votes.
pub const ELECTION_MAX: Duration = Duration::from_millis(340);

/// A leader that no quorum answered for this long lets others campaign. At least twice
/// [`ELECTION_MAX`]; without it a one-way partition keeps a useless leader in office for ever.
pub const QUORUM_LOSS_PROBE: Duration = Duration::from_millis(700);

/// Deadline of one heartbeat. A later answer would come after the next heartbeat was sent.
pub const HEARTBEAT_DEADLINE: Duration = HEARTBEAT;

/// Deadline of a vote, a pre-vote or a transfer notice: the longest election wait, after which the
/// candidate starts over anyway.
pub const VOTE_DEADLINE: Duration = ELECTION_MAX;

/// Deadline of an append that carries entries. Far longer than a heartbeat: it waits for the follower's
/// disk, and giving up early sends the same bytes again to a follower that is already behind.
pub const APPEND_DEADLINE: Duration = Duration::from_secs(5);

/// A snapshot transfer without any progress for this long is given up, on both sides.
pub const SNAPSHOT_IDLE: Duration = Duration::from_secs(15);

/// What a follower may take to check, open and install a received snapshot (gigabytes are read twice).
pub const SNAPSHOT_INSTALL: Duration = Duration::from_secs(300);

/// Deadline of a whole snapshot transfer, as openraft asks for one; the idle limit above is what ends
/// a transfer that hangs.
pub const SNAPSHOT_TRANSFER: Duration = Duration::from_secs(3600);

/// Bytes of one snapshot frame.
pub const SNAPSHOT_CHUNK_BYTES: usize = 1 << 20;

/// Files of a snapshot; a checkpoint of tens of gigabytes has hundreds.
pub const SNAPSHOT_FILES_MAX: usize = 65_536;

/// Entries that one append carries at most; the bytes below cut it earlier when entries are large.
pub const APPEND_ENTRIES_MAX: u64 = 256;

/// Bytes of entries that one append carries at most, unless a single entry is larger.
pub const APPEND_BYTES_MAX: usize = 1 << 20;

/// A learner this few entries behind counts as caught up, and may vote.
pub const CAUGHT_UP_ENTRIES: u64 = 64;

/// Largest payload of one entry: state's largest batch (16 MiB) and room for its frame; `replica` checks
/// that it fits. An exception: groups of transactions are cut at 1 MiB unless a single one is larger.
pub const PAYLOAD_BYTES_MAX: usize = (16 << 20) + (4 << 10);

/// Bytes of entries accepted by the leader whose fate is still open. What does not fit waits.
pub const IN_FLIGHT_BYTES_MAX: usize = 64 << 20;

/// What an entry costs of [`IN_FLIGHT_BYTES_MAX`] besides its payload: log id, channels, cache.
pub const ENTRY_OVERHEAD_BYTES: usize = 256;

/// Bytes of the log's tail kept decoded in memory for replication and apply: what full load writes in a second. Who lags
/// further behind is sent what the log's memtable holds.
pub const CACHE_BYTES_MAX: usize = 16 << 20;

/// Bytes of entries decoded at a time when apply reads the log from disk.
pub const READ_BYTES_MAX: usize = 4 << 20;

/// How often the watchdog looks whether the disk hangs.
pub const DISK_WATCH_EVERY: Duration = Duration::from_secs(1);

/// Longest sync in a simulation; the shortest is none at all.
pub const SIMULATED_SYNC_MAX_US: u64 = 2_000;

/// Default of [`crate::Options::snapshot_after_bytes`].
pub const SNAPSHOT_AFTER_BYTES: u64 = 256 << 20;

/// Default of [`crate::Options::log_kept_bytes`]: minutes of full load, so that a follower that was
/// away shortly is served from the log.
pub const LOG_KEPT_BYTES: u64 = 128 << 20;

/// The log is purged in steps of at least its kept bytes divided by this: each step leaves a range
/// tombstone behind that reads must skip.
pub const PURGE_STEP_SHARE: u64 = 8;

/// Entries that openraft purges at a time on its own (after a snapshot was installed).
pub const PURGE_BATCH_ENTRIES: u64 = 1_024;

/// How often log size is compared with the limits.
pub const TRIM_EVERY: Duration = Duration::from_millis(500);

/// Worker threads of the runtime that Raft has to itself: one for the core, one for the rest, where the
/// machine has cores for both ([`base::env::workers`]).
pub const RAFT_THREADS_MAX: usize = 2;

/// How long a graceful stop waits for another leader.
pub const SHUTDOWN_TRANSFER: Duration = Duration::from_secs(2);

/// How long a graceful stop waits for the core to end.
pub const SHUTDOWN_CORE: Duration = Duration::from_secs(5);

/// How long a graceful stop waits for the last sync: a disk that hangs must not hold it up.
pub const SHUTDOWN_SYNC: Duration = Duration::from_secs(5);

/// How long a transfer asked for by an operator may take before it counts as failed: two elections.
pub const TRANSFER_LIMIT: Duration = Duration::from_secs(3);

/// A learner that makes no progress for this long is reported as not catching up.
pub const CATCH_UP_IDLE: Duration = Duration::from_secs(30);

/// How often progress of a learner or of a transfer is looked at.
pub const PROGRESS_EVERY: Duration = Duration::from_millis(20);

/// How long a change of members may wait for its commit.
pub const CHANGE_LIMIT: Duration = Duration::from_secs(10);

/// Deadline of one read-index request to the leader: an election and a round of heartbeats.
pub const READ_INDEX_DEADLINE: Duration = Duration::from_secs(1);

/// Linearizable reads that wait on one master at a time, each with a request in hand. A round that answers
/// them takes about a millisecond: so many wait only when rounds fail, and more would wait for nothing.
pub const READS_WAITING_MAX: usize = 8_192;

/// A round of heartbeats waits for no more reads than these: the first of them has waited long enough.
pub const READS_GATHERED_MAX: usize = 32;

/// Members of a cluster, learners included; seven voters are already slower than five.
pub const MEMBERS_MAX: usize = 64;

/// Bytes of a member's name or address: a DNS name has at most 253.
pub const MEMBER_TEXT_BYTES_MAX: usize = 512;

/// Bytes of one frame between masters: the largest payload and room for what surrounds it.
pub const FRAME_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + (1 << 20);

/// How long a connection between masters may take, handshakes included.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(2);

/// Bounds of the wait before the next try to connect to a master that refused or did not answer.
/// Short: a restarted master must hear heartbeats before it campaigns.
pub const RECONNECT_MIN: Duration = Duration::from_millis(20);

/// See [`RECONNECT_MIN`].
pub const RECONNECT_MAX: Duration = Duration::from_millis(200);

/// How long a master may take nothing of the answers to its own requests before the connection is closed, and
/// what waits there goes. Far above what any request waits for, apart from changes of members and snapshots:
/// a master that does not even read meanwhile is stopped, or gone.
pub const ANSWER_STALL_MAX: Duration = Duration::from_secs(10);

/// Requests of one connection served at a time; further ones wait in the socket.
pub const REQUESTS_PER_CONNECTION_MAX: usize = 1_024;

/// Bytes of requests of one connection served at a time, or waiting to leave: the largest frame, and as much
/// again for the small ones beside it. Further ones wait in the socket, or with their callers.
pub const REQUEST_BYTES_PER_CONNECTION_MAX: usize = 2 * FRAME_BYTES_MAX;

/// Connections served at a time: four lanes for each member, twice, for those being replaced.
pub const CONNECTIONS_MAX: usize = 4 * 2 * MEMBERS_MAX;
