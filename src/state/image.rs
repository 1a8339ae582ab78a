//! State as records of the durable MVCC store, and back.
//!
//! The store holds every version of every object, small side records by key, and one head. What
//! [`crate::apply()`] returns are the differences: `changes` become versions ([`encode_version`]),
//! `sides` are written as they are, and [`State::head`] goes with them. [`Restore`] reads all of it,
//! computes everything that follows from the objects again, and compares the hash.
//!
//! | side record | key | value |
//! |---|---|---|
//! | limit | `l` + counter | the limit |
//! | outcome | `o` + slot (u16, big-endian) | number, request, outcome; the next one in the slot replaces it |
//! | prefix | `p` + prefix | revision of the last delete under it; a later put shows in the objects |

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use api::Key;
use bincode::{BorrowDecode, Encode};
use bytes::Bytes;

use crate::body::Body;
use crate::change::Change;
use crate::codec::{DecodeError, FIELDS_BYTES, MetaV1, decode_body, encode_body};
use crate::frame::{self, Kind};
use crate::hash;
use crate::level::{LEVELS, Levels};
use crate::object::{Object, is_spliced};
use crate::outcomes::{OUTCOMES_KEPT, Outcomes, Recorded};
use crate::prefixes::{Prefix, Prefixes, prefixes_of};
use crate::shared;
use crate::state::{Head, State};
use crate::txn::{Outcome, Refusal};

const LIMIT: u8 = b'l';
const OUTCOME: u8 = b'o';
const PREFIX: u8 = b'p';

/// Why records do not make a State. The master cannot start from them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A record that cannot be decoded.
    #[error("the restart image holds an unreadable record ({what}): {source}")]
    Record {
        /// Which one.
        what: String,
        /// Why.
        source: DecodeError,
    },
    /// Records that do not belong together.
    #[error("the restart image is damaged: {what}; replace this master by a new one")]
    Damaged {
        /// What does not fit.
        what: String,
    },
    /// Written by a newer program.
    #[error(
        "the restart image has feature level {level}, this program knows up to {known}: upgrade this master"
    )]
    UnknownFeatureLevel {
        /// The image's level.
        level: u32,
        /// The newest level known.
        known: u32,
    },
}

fn damaged(what: impl Into<String>) -> RestoreError {
    RestoreError::Damaged { what: what.into() }
}

/// About what a side record takes.
const NUMBERS_BYTES: usize = 32;

#[derive(Encode, BorrowDecode)]
struct HeadV1 {
    revision: u64,
    index: u64,
    term: u64,
    time_ms: u64,
    feature_level: u32,
    history: u128,
    prefix_floor: u64,
    outcomes_next: u64,
    hash: u128,
}

#[derive(Encode, BorrowDecode)]
struct VersionV1<'a> {
    deleted: bool,
    created: u64,
    time_ms: u64,
    request: u128,
    actor: &'a str,
    splice: Option<u32>,
    meta: MetaV1<'a>,
    bytes: &'a [u8],
}

#[derive(Encode, BorrowDecode)]
struct RecordedV1<'a> {
    sequence: u64,
    request: u128,
    outcome: OutcomeV1<'a>,
}

#[derive(Encode, BorrowDecode)]
enum OutcomeV1<'a> {
    Committed { revision: u64 },
    Refused { guard: u32, revision: u64 },
    Invalid { reason: &'a str },
}

impl State {
    /// Everything of State that is neither an object nor a side record, with its hash.
    pub fn head(&self) -> Bytes {
        let Head { revision, index, term, time_ms, feature_level, history } = self.head;
        let head = HeadV1 {
            revision,
            index,
            term,
            time_ms,
            feature_level,
            history,
            prefix_floor: self.prefixes.floor(),
            outcomes_next: self.outcomes.next(),
            hash: self.hash(),
        };
        encode_body(Kind::Head, FIELDS_BYTES, head)
    }
}

/// The stored form of an object's version. Key, revision and the version before stand beside it.
pub fn encode_version(change: &Change) -> Bytes {
    let object = &*change.object;
    let bytes = object.bytes.to_bytes();
    let version = VersionV1 {
        deleted: change.deleted,
        created: object.created,
        time_ms: object.time_ms,
        request: object.request,
        actor: &object.actor,
        splice: object.splice,
        meta: (&object.meta).into(),
        bytes: &bytes,
    };
    encode_body(Kind::Version, FIELDS_BYTES + bytes.len(), version)
}

/// The object in a stored version: for a delete, the last object.
///
/// # Errors
/// When the record is unreadable, or is not the version it stands beside.
pub fn decode_version(
    key: &str,
    revision: u64,
    previous: u64,
    deleted: bool,
    bytes: Bytes,
) -> Result<Object, RestoreError> {
    let what = || format!("{key} at revision {revision}");
    let unreadable = |source| RestoreError::Record { what: what(), source };
    let body = frame::open(Kind::Version, &bytes).map_err(|error| unreadable(error.into()))?;
    let version = decode_body::<VersionV1<'_>>(body).map_err(unreadable)?;
    if version.deleted != deleted || version.splice.is_some_and(|at| !is_spliced(version.bytes, at, revision))
    {
        return Err(damaged(format!("{} is another version", what())));
    }
    Ok(Object {
        key: Key::parse(key).map_err(|error| damaged(format!("{}: {error}", what())))?,
        bytes: Body::of(version.bytes, version.splice.unwrap_or_default() as usize),
        meta: version.meta.thaw(),
        revision,
        created: version.created,
        previous,
        time_ms: version.time_ms,
        actor: shared::text(version.actor),
        request: version.request,
        splice: version.splice,
        labels: OnceLock::new(),
    })
}

pub(crate) fn limit_side(counter: &str, limit: Option<i64>) -> (Vec<u8>, Option<Bytes>) {
    (side_key(LIMIT, counter.as_bytes()), limit.map(|limit| encode_body(Kind::Limit, NUMBERS_BYTES, limit)))
}

pub(crate) fn prefix_side(prefix: &str, last_delete: Option<u64>) -> (Vec<u8>, Option<Bytes>) {
    (
        side_key(PREFIX, prefix.as_bytes()),
        last_delete.map(|revision| encode_body(Kind::Prefix, NUMBERS_BYTES, revision)),
    )
}

pub(crate) fn outcome_side(sequence: u64, recorded: &Recorded) -> (Vec<u8>, Bytes) {
    let outcome = match &recorded.outcome {
        Outcome::Committed { revision } => OutcomeV1::Committed { revision: *revision },
        Outcome::Refused(Refusal { guard, revision }) => {
            OutcomeV1::Refused { guard: *guard, revision: *revision }
        }
        Outcome::Invalid { reason } => OutcomeV1::Invalid { reason },
    };
    let value = encode_body(
        Kind::Outcome,
        NUMBERS_BYTES,
        RecordedV1 { sequence, request: recorded.request, outcome },
    );
    (side_key(OUTCOME, &slot(sequence)), value)
}

/// Where an outcome is stored: numbers that are [`OUTCOMES_KEPT`] apart share a slot.
fn slot(sequence: u64) -> [u8; 2] {
    let slot = u16::try_from(sequence % OUTCOMES_KEPT).expect("65,536 slots are numbered by a u16");
    slot.to_be_bytes()
}

fn side_key(tag: u8, rest: &[u8]) -> Vec<u8> {
    [&[tag], rest].concat()
}

/// Builds a State from its records, which may come in any order.
pub struct Restore {
    head: HeadV1,
    objects: BTreeMap<Key, Arc<Object>>,
    limits: BTreeMap<String, i64>,
    outcomes: BTreeMap<u64, Recorded>,
    last_deletes: BTreeMap<Arc<str>, u64>,
}

impl Restore {
    /// Begins with the record that [`State::head`] returned.
    ///
    /// # Errors
    /// When it is unreadable or of a newer program.
    pub fn new(head: &Bytes) -> Result<Self, RestoreError> {
        Self::knowing(LEVELS, head)
    }

    /// [`Restore::new`], by a program that knows these feature levels.
    pub fn knowing(levels: Levels, head: &Bytes) -> Result<Self, RestoreError> {
        let head: HeadV1 = decode_side(Kind::Head, head, || "head".to_owned())?;
        let (level, known) = (head.feature_level, levels.newest());
        if level > known {
            return Err(RestoreError::UnknownFeatureLevel { level, known });
        }
        Ok(Self {
            head,
            objects: BTreeMap::new(),
            limits: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            last_deletes: BTreeMap::new(),
        })
    }

    /// Adds a side record.
    ///
    /// # Errors
    /// When it is unreadable.
    pub fn side(&mut self, key: &[u8], value: Bytes) -> Result<(), RestoreError> {
        let (tag, rest) = key.split_first().unwrap_or((&0, &[]));
        let name = String::from_utf8_lossy(rest).into_owned();
        let what = || format!("side record {}", key.escape_ascii());
        match *tag {
            LIMIT => {
                self.limits.insert(name, decode_side(Kind::Limit, &value, what)?);
            }
            PREFIX => {
                self.last_deletes.insert(name.into(), decode_side(Kind::Prefix, &value, what)?);
            }
            OUTCOME => {
                let recorded: RecordedV1<'_> = decode_side(Kind::Outcome, &value, what)?;
                if slot(recorded.sequence) != rest {
                    return Err(damaged(format!("{} is another one", what())));
                }
                let (sequence, recorded) = recorded.thaw();
                self.outcomes.insert(sequence, recorded);
            }
            _ => return Err(damaged(format!("{} is of no known kind", what()))),
        }
        Ok(())
    }

    /// Adds the newest version of an object that exists.
    ///
    /// # Errors
    /// When it is unreadable, or the key has one already.
    pub fn version(
        &mut self,
        key: &str,
        revision: u64,
        previous: u64,
        bytes: Bytes,
    ) -> Result<(), RestoreError> {
        let object = decode_version(key, revision, previous, false, bytes)?;
        match self.objects.insert(object.key.clone(), Arc::new(object)) {
            None => Ok(()),
            Some(_) => Err(damaged(format!("{key} is there twice"))),
        }
    }

    /// The State, if the records are those of the head.
    ///
    /// # Errors
    /// When something is missing, too much or different: the hash does not match.
    pub fn finish(self) -> Result<State, RestoreError> {
        let Self { head, objects, limits, outcomes, last_deletes } = self;
        let mut state = State {
            prefixes: restore_prefixes(objects.values(), last_deletes, head.prefix_floor),
            outcomes: Outcomes::restored(outcomes, head.outcomes_next).map_err(damaged)?,
            head: head.thaw(),
            objects_sum: objects.values().map(|object| hash::object(object)).fold(0, u128::wrapping_add),
            ..State::default()
        };
        restore_counters(&mut state, objects.values())?;
        for (counter, limit) in limits {
            state.set_limit(&counter, Some(limit));
        }
        state.objects = objects.into_iter().collect();
        if state.hash() != head.hash {
            let (stored, found) = (head.hash, state.hash());
            return Err(damaged(format!("its hash is {stored:032x}, its records hash to {found:032x}")));
        }
        Ok(state)
    }
}

impl HeadV1 {
    fn thaw(&self) -> Head {
        Head {
            revision: self.revision,
            index: self.index,
            term: self.term,
            time_ms: self.time_ms,
            feature_level: self.feature_level,
            history: self.history,
        }
    }
}

impl RecordedV1<'_> {
    fn thaw(self) -> (u64, Recorded) {
        let outcome = match self.outcome {
            OutcomeV1::Committed { revision } => Outcome::Committed { revision },
            OutcomeV1::Refused { guard, revision } => Outcome::Refused(Refusal { guard, revision }),
            OutcomeV1::Invalid { reason } => Outcome::Invalid { reason: reason.to_owned() },
        };
        (self.sequence, Recorded { request: self.request, outcome })
    }
}

fn decode_side<'a, T: BorrowDecode<'a, ()>>(
    kind: Kind,
    value: &'a [u8],
    what: impl Fn() -> String,
) -> Result<T, RestoreError> {
    let decoded = frame::open(kind, value).map_err(DecodeError::from).and_then(decode_body);
    decoded.map_err(|source| RestoreError::Record { what: what(), source })
}

/// Counts, and last writes: the later of the newest object and the last delete.
fn restore_prefixes<'a>(
    objects: impl Iterator<Item = &'a Arc<Object>>,
    last_deletes: BTreeMap<Arc<str>, u64>,
    floor: u64,
) -> Prefixes {
    let deleted = |last_written| Prefix { count: 0, last_written };
    let mut known: BTreeMap<Arc<str>, Prefix> =
        last_deletes.into_iter().map(|(prefix, revision)| (prefix, deleted(revision))).collect();
    for object in objects {
        for prefix in prefixes_of(&object.key) {
            if !known.contains_key(prefix) {
                known.insert(Arc::from(prefix), deleted(0));
            }
            if let Some(known) = known.get_mut(prefix) {
                known.count += 1;
                known.last_written = known.last_written.max(object.revision);
            }
        }
    }
    Prefixes::restored(known, floor)
}

fn restore_counters<'a>(
    state: &mut State,
    objects: impl Iterator<Item = &'a Arc<Object>>,
) -> Result<(), RestoreError> {
    let mut sums: BTreeMap<&str, i128> = BTreeMap::new();
    for (counter, amount) in objects.flat_map(|object| &object.meta.charges) {
        *sums.entry(counter).or_insert(0) += i128::from(*amount);
    }
    for (counter, sum) in sums {
        let sum = i64::try_from(sum).map_err(|_| damaged(format!("counter {counter} overflows")))?;
        state.counters.set(counter, sum);
    }
    Ok(())
}
