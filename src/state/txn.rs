//! What a log entry asks for, and what came of it.

use api::Key;
use bytes::Bytes;

pub use crate::limits::{GUARDS_MAX, OBJECT_BYTES_MAX, TXN_BYTES_MAX, WRITES_MAX};
use crate::object::Meta;

/// The payload of one log entry: the transactions that were waiting together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The leader's wall clock, never below that of an earlier entry. Milliseconds since the epoch.
    pub time_ms: u64,
    /// Applied in order; each is atomic and has an outcome of its own.
    pub txns: Vec<Txn>,
}

/// Guards, and writes that happen if and only if all guards hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Txn {
    /// Who asked for it, and by which attempt.
    pub stamp: Stamp,
    /// Checked in order, those on counters after all others; the first that fails is the outcome.
    pub guards: Vec<Guard>,
    /// Made in order; each takes a revision of its own.
    pub writes: Vec<Write>,
}

/// Who asked for a transaction. Its time is the batch's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The attempt (a [`base::ids::RequestId`] as a number): applying a known one again returns its
    /// recorded outcome.
    pub request: u128,
    /// The user on whose behalf.
    pub actor: String,
}

/// A condition on State at the moment the transaction is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The object exists and was last written at this revision.
    AtRevision {
        /// The object.
        key: Key,
        /// Its expected revision.
        revision: u64,
    },
    /// No object has this key.
    Absent {
        /// The key to be free.
        key: Key,
    },
    /// The object exists with this uid and is not being deleted.
    Live {
        /// The object.
        key: Key,
        /// Its expected uid; empty: any.
        uid: String,
    },
    /// The object exists and its spec is of this generation.
    AtGeneration {
        /// The object.
        key: Key,
        /// Its expected `metadata.generation`.
        generation: i64,
    },
    /// Nothing under this prefix was written or deleted after this revision. The prefix is a
    /// collection or a namespace of one: [`Key::collection`] or [`Key::parent`].
    Unwritten {
        /// The prefix.
        prefix: String,
        /// The revision that was read.
        since: u64,
    },
    /// After the writes, the counter is not above its limit. No limit: holds.
    WithinLimit {
        /// The counter.
        counter: String,
    },
    /// The entry was proposed by the leader of this term.
    LeaderTerm {
        /// The term.
        term: u64,
    },
}

/// One change. Each takes the next revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Creates or replaces an object.
    Put {
        /// The object.
        key: Key,
        /// Canonical JSON without `metadata.resourceVersion`.
        body: Bytes,
        /// Byte offset in `body` at which `"resourceVersion":"N",` is spliced in; `None`: not at all
        /// (an internal record).
        splice: Option<u32>,
        /// What apply itself decides on, made from the same object.
        meta: Meta,
    },
    /// Removes an object. One that is absent makes the transaction invalid.
    Delete {
        /// The object.
        key: Key,
    },
    /// Sets or removes a counter's limit. Takes no revision.
    Limit {
        /// The counter.
        counter: String,
        /// The highest sum of charges that [`Guard::WithinLimit`] lets pass.
        limit: Option<i64>,
    },
    /// Raises the behaviour that builders and apply choose by. Lower than the current: invalid.
    /// Takes no revision.
    FeatureLevel {
        /// The new level.
        level: u32,
    },
}

impl Write {
    /// Bytes of the object that is put.
    pub(crate) fn contents_bytes(&self) -> usize {
        match self {
            Self::Put { body, .. } => body.len(),
            Self::Delete { .. } | Self::Limit { .. } | Self::FeatureLevel { .. } => 0,
        }
    }
}

/// What came of a transaction. The same on every master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Applied. State's revision after it (that of its last write).
    Committed {
        /// The revision.
        revision: u64,
    },
    /// A guard failed; nothing was written.
    Refused(Refusal),
    /// It made no sense (see the text); nothing was written.
    Invalid {
        /// What was wrong.
        reason: String,
    },
}

/// Which guard failed, and what stood in its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Index into [`Txn::guards`].
    pub guard: u32,
    /// For object guards the object's current revision (0: absent); for `Unwritten` the later write;
    /// for `WithinLimit` and `LeaderTerm` 0.
    pub revision: u64,
}
