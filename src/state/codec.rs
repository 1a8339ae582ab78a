//! Transactions and batches as bytes: a [frame](crate::frame) around frozen structs.
//!
//! `TxnV1` and what it holds are positional: a field is never added, removed or moved. What is new is a
//! `TxnV2` with a kind or format of its own, written from a feature level on. Golden bytes in this
//! module's tests notice.
//!
//! A batch holds its transactions' records as they are, so the leader concatenates what it received.

use api::Key;
use bincode::config::{Configuration, Limit};
use bincode::{BorrowDecode, Encode};
use bytes::{BufMut, Bytes, BytesMut};

use crate::frame::{self, FrameError, Kind};
use crate::level::{LEVELS, Levels};
use crate::limits::{self, BATCH_BYTES_MAX, BATCH_TXNS_MAX, Oversize, at_most};
use crate::object::Meta;
use crate::txn::{Batch, Guard, Stamp, Txn, Write};

/// The most memory that decoding one record may claim.
const DECODE_BYTES_MAX: usize = 2 * BATCH_BYTES_MAX;
/// Little-endian, integers of variable length, bounded.
const CONFIG: Configuration<bincode::config::LittleEndian, bincode::config::Varint, Limit<DECODE_BYTES_MAX>> =
    bincode::config::standard().with_limit::<DECODE_BYTES_MAX>();

/// Bytes of a batch's body before its transactions: `time_ms` u64 and their count u32, little-endian.
const BATCH_HEADER_BYTES: usize = 12;

/// About what a record takes besides the contents of objects; another number would only be slower.
pub(crate) const FIELDS_BYTES: usize = 256;

/// A record that cannot be decoded. The leader checks what it proposes, so one that is met in the log
/// means damage or a log of a newer program; either stops the master.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The frame.
    #[error("unreadable record: {0}")]
    Frame(FrameError),
    /// The body.
    #[error("unreadable record body: {0}")]
    Body(String),
    /// A raise to a level that this program does not know: applying it would make this master differ.
    #[error(
        "the log raises the feature level to {level}, this program knows up to {known}: upgrade this master"
    )]
    UnknownFeatureLevel {
        /// The level asked for.
        level: u32,
        /// The newest level known.
        known: u32,
    },
}

impl DecodeError {
    /// Whether a newer program could read it: upgrade, rather than replace the master.
    pub fn is_newer(&self) -> bool {
        matches!(self, Self::UnknownFeatureLevel { .. } | Self::Frame(FrameError::UnknownFormat { .. }))
    }
}

impl From<FrameError> for DecodeError {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

/// A transaction as bytes.
///
/// # Errors
/// When it is above a limit of [`crate::limits`].
pub fn encode_txn(txn: &Txn) -> Result<Bytes, Oversize> {
    limits::check(txn)?;
    let contents: usize = txn.writes.iter().map(Write::contents_bytes).sum();
    Ok(encode_body(Kind::Txn, FIELDS_BYTES + contents, TxnV1::from(txn)))
}

/// The transaction in a record. Bodies are slices of `record`, not copies.
///
/// # Errors
/// See [`DecodeError`]. It may still be above the limits: see [`crate::check`].
pub fn decode_txn(record: &Bytes) -> Result<Txn, DecodeError> {
    decode_txn_knowing(LEVELS, record)
}

/// [`decode_txn`], by a program that knows these feature levels.
///
/// # Errors
/// See [`decode_txn`].
pub fn decode_txn_knowing(levels: Levels, record: &Bytes) -> Result<Txn, DecodeError> {
    txn_of(frame::open(Kind::Txn, record)?, record, levels)
}

/// A batch as bytes.
///
/// # Errors
/// When it, or a transaction in it, is above a limit of [`crate::limits`].
pub fn encode_batch(batch: &Batch) -> Result<Bytes, Oversize> {
    limits::check_batch(batch)?;
    let records: Result<Vec<Bytes>, Oversize> = batch.txns.iter().map(encode_txn).collect();
    encode_batch_of(batch.time_ms, &records?)
}

/// A batch of transactions that are encoded already, each checked with [`decode_txn`] and
/// [`crate::check`].
///
/// # Errors
/// When there are too many, or too many bytes.
pub fn encode_batch_of(time_ms: u64, txns: &[Bytes]) -> Result<Bytes, Oversize> {
    at_most("transactions in one entry", txns.len(), BATCH_TXNS_MAX)?;
    let size = BATCH_HEADER_BYTES + txns.iter().map(Bytes::len).sum::<usize>();
    at_most("bytes of one entry", size, BATCH_BYTES_MAX)?;
    let mut record = BytesMut::with_capacity(frame::HEADER_BYTES + size);
    record.put_bytes(0, frame::HEADER_BYTES);
    record.put_u64_le(time_ms);
    record.put_u32_le(txns.len() as u32);
    txns.iter().for_each(|txn| record.put_slice(txn));
    frame::complete(Kind::Batch, &mut record);
    Ok(record.freeze())
}

/// The batch in a log entry's payload. Bodies are slices of `record`, not copies.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode_batch(record: &Bytes) -> Result<Batch, DecodeError> {
    decode_batch_knowing(LEVELS, record)
}

/// [`decode_batch`], by a program that knows these feature levels.
pub fn decode_batch_knowing(levels: Levels, record: &Bytes) -> Result<Batch, DecodeError> {
    let body = frame::open(Kind::Batch, record)?;
    let Some((header, mut rest)) = body.split_first_chunk::<BATCH_HEADER_BYTES>() else {
        return Err(DecodeError::Body("a batch without its header".to_owned()));
    };
    let [time_ms @ .., c0, c1, c2, c3] = *header;
    let count = u32::from_le_bytes([c0, c1, c2, c3]) as usize;
    if count > BATCH_TXNS_MAX {
        return Err(DecodeError::Body(format!("{count} transactions in one batch")));
    }
    let mut txns = Vec::with_capacity(count);
    for _ in 0..count {
        let (body, following) = frame::open_first(Kind::Txn, rest)?;
        txns.push(txn_of(body, record, levels)?);
        rest = following;
    }
    if !rest.is_empty() {
        return Err(DecodeError::Frame(FrameError::Trailing { extra: rest.len() }));
    }
    Ok(Batch { time_ms: u64::from_le_bytes(time_ms), txns })
}

fn txn_of(body: &[u8], record: &Bytes, levels: Levels) -> Result<Txn, DecodeError> {
    let txn = decode_body::<TxnV1<'_>>(body)?;
    let writes: Result<Vec<Write>, DecodeError> =
        txn.writes.into_iter().map(|write| write.thaw(record, levels)).collect();
    let guards: Result<Vec<Guard>, DecodeError> = txn.guards.into_iter().map(GuardV1::thaw).collect();
    let stamp = Stamp { request: txn.request, actor: txn.actor.to_owned() };
    Ok(Txn { stamp, guards: guards?, writes: writes? })
}

/// A frozen struct in its frame; encoded it takes about `about_bytes`.
pub(crate) fn encode_body(kind: Kind, about_bytes: usize, body: impl Encode) -> Bytes {
    let mut record = Vec::with_capacity(frame::HEADER_BYTES + about_bytes);
    record.resize(frame::HEADER_BYTES, 0);
    bincode::encode_into_std_write(body, &mut record, CONFIG)
        .expect("writing integers and bytes to memory cannot fail");
    frame::complete(kind, &mut record);
    Bytes::from(record)
}

/// A frozen struct that fills `body` exactly.
pub(crate) fn decode_body<'a, T: BorrowDecode<'a, ()>>(body: &'a [u8]) -> Result<T, DecodeError> {
    let (value, used) = bincode::borrow_decode_from_slice(body, CONFIG)
        .map_err(|error| DecodeError::Body(error.to_string()))?;
    match body.len() - used {
        0 => Ok(value),
        extra => Err(DecodeError::Frame(FrameError::Trailing { extra })),
    }
}

fn key_of(text: &str) -> Result<Key, DecodeError> {
    Key::parse(text).map_err(|error| DecodeError::Body(format!("{text:?}: {error}")))
}

#[derive(Encode, BorrowDecode)]
struct TxnV1<'a> {
    request: u128,
    actor: &'a str,
    guards: Vec<GuardV1<'a>>,
    writes: Vec<WriteV1<'a>>,
}

#[derive(Encode, BorrowDecode)]
enum GuardV1<'a> {
    AtRevision { key: &'a str, revision: u64 },
    Absent { key: &'a str },
    Live { key: &'a str, uid: &'a str },
    AtGeneration { key: &'a str, generation: i64 },
    Unwritten { prefix: &'a str, since: u64 },
    WithinLimit { counter: &'a str },
    LeaderTerm { term: u64 },
}

#[derive(Encode, BorrowDecode)]
enum WriteV1<'a> {
    Put { key: &'a str, body: &'a [u8], splice: Option<u32>, meta: MetaV1<'a> },
    Delete { key: &'a str },
    Limit { counter: &'a str, limit: Option<i64> },
    FeatureLevel { level: u32 },
}

/// Shared with the records of object versions ([`crate::image`]).
#[derive(Encode, BorrowDecode)]
pub(crate) struct MetaV1<'a> {
    uid: &'a str,
    generation: i64,
    deleting: bool,
    finalizers: bool,
    charges: Vec<(&'a str, i64)>,
}

impl<'a> From<&'a Txn> for TxnV1<'a> {
    fn from(txn: &'a Txn) -> Self {
        Self {
            request: txn.stamp.request,
            actor: &txn.stamp.actor,
            guards: txn.guards.iter().map(GuardV1::freeze).collect(),
            writes: txn.writes.iter().map(WriteV1::freeze).collect(),
        }
    }
}

impl<'a> GuardV1<'a> {
    fn freeze(guard: &'a Guard) -> Self {
        match guard {
            Guard::AtRevision { key, revision } => {
                Self::AtRevision { key: key.as_str(), revision: *revision }
            }
            Guard::Absent { key } => Self::Absent { key: key.as_str() },
            Guard::Live { key, uid } => Self::Live { key: key.as_str(), uid },
            Guard::AtGeneration { key, generation } => {
                Self::AtGeneration { key: key.as_str(), generation: *generation }
            }
            Guard::Unwritten { prefix, since } => Self::Unwritten { prefix, since: *since },
            Guard::WithinLimit { counter } => Self::WithinLimit { counter },
            Guard::LeaderTerm { term } => Self::LeaderTerm { term: *term },
        }
    }

    fn thaw(self) -> Result<Guard, DecodeError> {
        Ok(match self {
            Self::AtRevision { key, revision } => Guard::AtRevision { key: key_of(key)?, revision },
            Self::Absent { key } => Guard::Absent { key: key_of(key)? },
            Self::Live { key, uid } => Guard::Live { key: key_of(key)?, uid: uid.to_owned() },
            Self::AtGeneration { key, generation } => Guard::AtGeneration { key: key_of(key)?, generation },
            Self::Unwritten { prefix, since } => Guard::Unwritten { prefix: prefix.to_owned(), since },
            Self::WithinLimit { counter } => Guard::WithinLimit { counter: counter.to_owned() },
            Self::LeaderTerm { term } => Guard::LeaderTerm { term },
        })
    }
}

impl<'a> WriteV1<'a> {
    fn freeze(write: &'a Write) -> Self {
        match write {
            Write::Put { key, body, splice, meta } => {
                Self::Put { key: key.as_str(), body, splice: *splice, meta: meta.into() }
            }
            Write::Delete { key } => Self::Delete { key: key.as_str() },
            Write::Limit { counter, limit } => Self::Limit { counter, limit: *limit },
            Write::FeatureLevel { level } => Self::FeatureLevel { level: *level },
        }
    }

    fn thaw(self, record: &Bytes, levels: Levels) -> Result<Write, DecodeError> {
        Ok(match self {
            Self::Put { key, body, splice, meta } => {
                Write::Put { key: key_of(key)?, body: record.slice_ref(body), splice, meta: meta.thaw() }
            }
            Self::Delete { key } => Write::Delete { key: key_of(key)? },
            Self::Limit { counter, limit } => Write::Limit { counter: counter.to_owned(), limit },
            Self::FeatureLevel { level } => {
                let known = levels.newest();
                if level > known {
                    return Err(DecodeError::UnknownFeatureLevel { level, known });
                }
                Write::FeatureLevel { level }
            }
        })
    }
}

impl<'a> From<&'a Meta> for MetaV1<'a> {
    fn from(meta: &'a Meta) -> Self {
        let Meta { uid, generation, deleting, finalizers, charges } = meta;
        Self {
            uid,
            generation: *generation,
            deleting: *deleting,
            finalizers: *finalizers,
            charges: charges.iter().map(|(counter, amount)| (counter.as_str(), *amount)).collect(),
        }
    }
}

impl MetaV1<'_> {
    pub(crate) fn thaw(self) -> Meta {
        let Self { uid, generation, deleting, finalizers, charges } = self;
        let charges = charges.into_iter().map(|(counter, amount)| (counter.to_owned(), amount)).collect();
        Meta { uid: uid.to_owned(), generation, deleting, finalizers, charges }
    }
}
