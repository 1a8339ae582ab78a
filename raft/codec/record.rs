//! What the log store keeps: records, the vote, and markers.
//!
//! ```text
//! record: format u8 = 1 | kind u8 | term u64 | leader u64 | payload
//! vote:   format u8 = 1 | term u64 | node u64 | committed u8
//! marker: format u8 = 1 | term u64 | leader u64 | index u64
//! ```
//!
//! A record's index is the store's: its key. Stores count from 1 and Raft from 0, so that "nothing" and
//! "the first entry" differ in a store: [`stored_index`] and [`raft_index`] are the only bridge.

use bytes::Bytes;
use storage::LogRecord;

use super::{DecodeError, Decoded, Reader, Writer, membership};
use crate::types::{Command, EntryPayload, LeaderId, LogId, RaftEntry, Vote};

const RECORD_FORMAT: u8 = 1;
const VOTE_FORMAT: u8 = 1;
const MARKER_FORMAT: u8 = 1;

/// Bytes of a record before its payload.
pub(crate) const RECORD_HEADER_BYTES: usize = 18;

const BLANK: u8 = 0;
const NORMAL: u8 = 1;
const MEMBERSHIP: u8 = 2;

/// The store's index of the entry that Raft counts as `index`.
pub(crate) fn stored_index(index: u64) -> u64 {
    index + 1
}

/// Raft's index of the record that the store counts as `stored`; stores begin at 1.
pub(crate) fn raft_index(stored: u64) -> u64 {
    stored.saturating_sub(1)
}

/// What an entry holds, as a number and bytes.
pub(crate) fn payload_parts(payload: &EntryPayload) -> (u8, Bytes) {
    match payload {
        EntryPayload::Blank => (BLANK, Bytes::new()),
        EntryPayload::Normal(command) => (NORMAL, command.payload.clone()),
        EntryPayload::Membership(members) => (MEMBERSHIP, membership::encode(members)),
    }
}

/// The inverse of [`payload_parts`].
pub(crate) fn payload_of(kind: u8, bytes: Bytes) -> Decoded<EntryPayload> {
    match kind {
        BLANK if bytes.is_empty() => Ok(EntryPayload::Blank),
        BLANK => Err(DecodeError::Trailing { what: "a blank entry", count: bytes.len() }),
        NORMAL => Ok(EntryPayload::Normal(Command::stored(bytes))),
        MEMBERSHIP => membership::decode(bytes).map(EntryPayload::Membership),
        found => Err(DecodeError::UnknownKind { what: "entry kind", found }),
    }
}

pub(crate) fn encode_entry(entry: &RaftEntry) -> LogRecord {
    let (kind, payload) = payload_parts(&entry.payload);
    let mut writer = Writer::new(RECORD_FORMAT, RECORD_HEADER_BYTES + payload.len());
    writer.u8(kind);
    writer.u64(entry.log_id.leader_id.term);
    writer.u64(entry.log_id.leader_id.node_id);
    writer.raw(&payload);
    LogRecord { index: stored_index(entry.log_id.index), bytes: writer.finish() }
}

pub(crate) fn decode_entry(record: LogRecord) -> Decoded<RaftEntry> {
    let mut reader = Reader::new("a log record", record.bytes, RECORD_FORMAT)?;
    let kind = reader.u8()?;
    let leader = LeaderId { term: reader.u64()?, node_id: reader.u64()? };
    let payload = payload_of(kind, reader.rest())?;
    Ok(RaftEntry { log_id: LogId::new(leader, raft_index(record.index)), payload })
}

/// The position of a record, without its payload.
pub(crate) fn decode_log_id(record: &LogRecord) -> Decoded<LogId> {
    let mut reader = Reader::new("a log record", record.bytes.clone(), RECORD_FORMAT)?;
    reader.u8()?;
    let leader = LeaderId { term: reader.u64()?, node_id: reader.u64()? };
    Ok(LogId::new(leader, raft_index(record.index)))
}

pub(crate) fn encode_vote(vote: &Vote) -> Bytes {
    let mut writer = Writer::new(VOTE_FORMAT, 17);
    writer.vote(vote);
    writer.finish()
}

pub(crate) fn decode_vote(bytes: Bytes) -> Decoded<Vote> {
    let mut reader = Reader::new("a vote", bytes, VOTE_FORMAT)?;
    let vote = reader.vote()?;
    reader.end()?;
    Ok(vote)
}

/// A position kept beside the log: committed, purged.
pub(crate) fn encode_marker(log_id: &LogId) -> Bytes {
    let mut writer = Writer::new(MARKER_FORMAT, 24);
    writer.log_id(log_id);
    writer.finish()
}

pub(crate) fn decode_marker(bytes: Bytes) -> Decoded<LogId> {
    let mut reader = Reader::new("a log marker", bytes, MARKER_FORMAT)?;
    let log_id = reader.log_id()?;
    reader.end()?;
    Ok(log_id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::hex;
    use super::super::membership::tests::example;
    use super::*;

    fn entry(payload: EntryPayload) -> RaftEntry {
        RaftEntry { log_id: LogId::new(LeaderId { term: 5, node_id: 2 }, 6), payload }
    }

    #[test]
    fn bytes_of_records_never_change() {
        let header = "05000000000000000200000000000000";
        let check = |payload: EntryPayload, golden: String| {
            let record = encode_entry(&entry(payload.clone()));
            assert_eq!((record.index, hex(&record.bytes)), (7, golden));
            assert_eq!(decode_log_id(&record), Ok(entry(EntryPayload::Blank).log_id));
            assert_eq!(decode_entry(record), Ok(entry(payload)));
        };
        check(EntryPayload::Blank, format!("0100{header}"));
        check(
            EntryPayload::Normal(Command::stored(Bytes::from_static(b"txn"))),
            format!("0101{header}74786e"),
        );
        let members = hex(&membership::encode(&example()));
        check(EntryPayload::Membership(example()), format!("0102{header}{members}"));
    }

    #[test]
    fn bytes_of_vote_and_marker_never_change() {
        let leader_id = LeaderId { term: 5, node_id: 2 };
        let vote = Vote { leader_id, committed: true };
        assert_eq!(hex(&encode_vote(&vote)), "010500000000000000020000000000000001");
        assert_eq!(decode_vote(encode_vote(&vote)), Ok(vote));
        let log_id = LogId::new(leader_id, 258);
        assert_eq!(hex(&encode_marker(&log_id)), "01050000000000000002000000000000000201000000000000");
        assert_eq!(decode_marker(encode_marker(&log_id)), Ok(log_id));
    }

    #[test]
    fn formats_and_kinds_of_the_future_are_refused_by_name() {
        let record = |bytes: &[u8]| LogRecord { index: 1, bytes: Bytes::copy_from_slice(bytes) };
        let of_format = decode_entry(record(&[2; 18])).expect_err("unknown");
        assert_eq!(of_format, DecodeError::UnknownFormat { what: "a log record", found: 2, known: 1 });
        let mut kind = [0; 18];
        (kind[0], kind[1]) = (1, 7);
        let of_kind = decode_entry(record(&kind)).expect_err("unknown");
        assert_eq!(of_kind, DecodeError::UnknownKind { what: "entry kind", found: 7 });
    }

    proptest! {
        #[test]
        fn decoding_is_total(index in 0..u64::MAX, bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let bytes = Bytes::from(bytes);
            let tagged = Bytes::from([&[1], &bytes[..]].concat());
            for bytes in [bytes, tagged] {
                let record = LogRecord { index: index + 1, bytes: bytes.clone() };
                if let Ok(entry) = decode_entry(record.clone()) {
                    prop_assert_eq!(encode_entry(&entry), record);
                }
                let _ = decode_vote(bytes.clone());
                let _ = decode_marker(bytes);
            }
        }
    }
}
