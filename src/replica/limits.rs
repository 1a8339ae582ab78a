//! Every bound of this crate, with its reason.

use std::time::Duration;

/// Steps that wait for the reader of all that is applied, each some entries of the log; further ones make it begin anew.
pub const TAP_STEPS_MAX: usize = 4_096;

/// How long a write may wait for its outcome before the answer is "unknown" (504). Several elections
/// fit into it.
pub const PROPOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// No attempt starts later than this before [`PROPOSE_TIMEOUT`] ends: its outcome would not be learned
/// in time, and "unknown" is worse than "not written".
pub const LAST_ATTEMPT: Duration = Duration::from_millis(500);

/// How long a linearizable read waits for a quorum before the answer is "unavailable" (503).
pub const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// How long it waits instead on a master that takes no entries because its disk is nearly full: only for
/// what stands in its log already.
pub const READ_TIMEOUT_WITHOUT_SPACE: Duration = Duration::from_millis(500);

/// How long a read or watch waits for a revision that is not applied yet, as Kubernetes' watch cache
/// does (3 s) before 'Too large resource version'; or for one that history does not hold yet.
pub const REVISION_TIMEOUT: Duration = Duration::from_secs(3);

/// Pause before asking again for a leader after a refusal that named no better one.
pub const LEADER_RETRY: Duration = Duration::from_millis(20);

/// Encoded transactions that wait on one master for a place in an entry. More callers wait outside.
pub const PROPOSALS_WAITING_MAX: usize = 4096;

/// Bytes of these, on each of the two ways into the log: several of the largest transactions.
pub const PROPOSALS_WAITING_BYTES_MAX: usize = 64 << 20;

// What another master forwards at a time fits.
const _: () = assert!(PROPOSALS_WAITING_BYTES_MAX >= state::limits::BATCH_BYTES_MAX);

/// Bytes of transactions put into one log entry, unless a single one is larger. Small enough that an
/// entry crosses the network and the disk in a few milliseconds.
pub const ENTRY_BYTES_MAX: usize = 1 << 20;

// The largest entry there may be, a batch in its frame, is one that Raft takes.
const _: () =
    assert!(state::limits::BATCH_BYTES_MAX + state::frame::HEADER_BYTES <= raft::limits::PAYLOAD_BYTES_MAX);

/// Transactions put into one log entry.
pub const ENTRY_TXNS_MAX: usize = 1024;

/// Entries that the leader keeps between append and apply. While they are on their way the next batch
/// fills: more entries in flight mean smaller batches, fewer mean an idle disk.
pub const ENTRIES_IN_FLIGHT_MAX: usize = 4;

/// Forwarded groups that a follower keeps on their way to the leader.
pub const FORWARDS_IN_FLIGHT_MAX: usize = 4;

/// How long a forwarded group may take to be accepted into the leader's log.
pub const FORWARD_TIMEOUT: Duration = Duration::from_secs(3);

/// How long it waits on the leader for a place in an entry before it is given up: shorter, so that its
/// sender hears of it.
pub const FORWARD_WAIT: Duration = Duration::from_secs(2);

const _: () = assert!(FORWARD_WAIT.as_millis() < FORWARD_TIMEOUT.as_millis());

/// Bytes applied but not yet written to the version store. Apply waits beyond it.
pub const PERSIST_LAG_BYTES_MAX: usize = 64 << 20;

/// What a step of apply costs of [`PERSIST_LAG_BYTES_MAX`] besides its changes: its job, and the parts of
/// State that only it still holds.
pub const APPLIED_OVERHEAD_BYTES: usize = 1 << 10;

/// What a change costs of it besides the object's bytes.
pub const CHANGE_OVERHEAD_BYTES: usize = 128;

/// Writes that the persister puts into one batch of the version store.
pub const PERSIST_BATCH_VERSIONS_MAX: usize = 4096;

/// Rest of the persister after each batch. Without it every write wakes several threads of each master,
/// for a version store that nobody waits for.
pub const PERSIST_PACE: Duration = Duration::from_millis(10);

/// Events of one collection kept in memory for watches, beyond those not yet persisted.
pub const WINDOW_EVENTS_MAX: usize = 20_000;

/// Bytes of those events' objects.
pub const WINDOW_BYTES_MAX: usize = 32 << 20;

/// Events handed to a watch at a time.
pub const WATCH_BATCH_MAX: usize = 256;

/// Bytes of their objects, from which on no more are taken: what a client that does not read keeps of them.
pub const WATCH_BATCH_BYTES_MAX: usize = 1 << 20;

/// A watch takes new events at most once in this time for each watch of the collection: about what telling
/// all of them costs. A handful notices nothing; a thousand take what came meanwhile in one piece, which
/// costs hardly more than a single event does.
pub const WATCH_PACE: Duration = Duration::from_micros(100);

/// The longest pace, however many watches there are.
pub const WATCH_PACE_MAX: Duration = Duration::from_millis(50);

/// States kept for reads at an exact recent revision.
pub const RECENT_STATES_MAX: usize = 256;

/// Bytes that these States may hold which the newest one does not: what was replaced since.
pub const RECENT_STATES_BYTES_MAX: usize = 64 << 20;

/// What a replaced object costs a State beside its bytes: the parts of the maps that lead to it. An
/// estimate: a leaf of 64 keys, shared with the others that were replaced at the same time.
pub const RECENT_CHANGE_BYTES: usize = 1 << 10;

/// Versions looked at in one step for the end of a transaction. Most have a write or two; the longest
/// takes a few hundred steps.
pub const TRANSACTION_STEP_VERSIONS: usize = 8;

/// State hashes kept by log index, for comparing masters.
pub const HASHES_MAX: usize = 65_536;

/// How often retention looks for versions to drop.
pub const RETENTION_INTERVAL: Duration = Duration::from_secs(30);

/// Versions looked at in one step of a compaction, so that it yields to others.
pub const COMPACT_STEP_VERSIONS: usize = 2_000;

/// How far back history reaches at least, unless it is cut short for its bytes; as in Kubernetes (5 min).
/// Watches resume and continue tokens live as long as history reaches back to their revision: for most
/// resources much longer.
pub const WATCH_WINDOW: Duration = Duration::from_secs(300);

/// How often masters compare their states, and the leader looks for half-done changes of members and at
/// feature levels.
pub const UPKEEP_INTERVAL: Duration = Duration::from_secs(10);

/// Pause before a write that met a full disk is tried again.
pub const SPACE_RETRY: Duration = Duration::from_millis(500);
