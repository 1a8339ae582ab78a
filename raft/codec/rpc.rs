//! The frames that masters exchange.
//!
//! ```text
//! request or answer: format u8 = 1 | kind u8 | body
//! ```
//! Numbers of kinds are never reused. Bodies are written out beside each kind below.

use bytes::Bytes;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderError,
    TransferLeaderRequest, VoteRequest, VoteResponse,
};
use storage::Manifest;

use super::{DecodeError, Decoded, Reader, Writer, record, snapshot};
use crate::machine::Restored;
use crate::types::{LogId, RaftEntry, TypeConfig, Vote};

const FORMAT: u8 = 1;

const APPEND: u8 = 1;
const VOTE: u8 = 2;
const PRE_VOTE: u8 = 3;
const TRANSFER: u8 = 4;
const READ_INDEX: u8 = 5;
const PEER: u8 = 6;
const SNAPSHOT_BEGIN: u8 = 7;
const SNAPSHOT_CHUNK: u8 = 8;
const SNAPSHOT_END: u8 = 9;

/// Bytes of an entry in an append besides its payload.
const ENTRY_HEADER_BYTES: usize = 29;

/// Longest reason that an answer carries.
const REASON_BYTES_MAX: usize = 1_024;

/// What one master asks of another.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    /// `vote | prev log_id? | commit log_id? | count u32 | (kind u8 | log_id | payload blob)*`
    Append(AppendEntriesRequest<TypeConfig>),
    /// `vote | last log_id? | transfer u8`
    Vote(VoteRequest<TypeConfig>),
    /// As a vote.
    PreVote(VoteRequest<TypeConfig>),
    /// `vote | to u64 | last log_id?`
    Transfer(TransferLeaderRequest<TypeConfig>),
    /// Empty.
    ReadIndex,
    /// `kind u8 | body`
    Peer { kind: u8, body: Bytes },
    /// `transfer u64 | vote | restored | manifest`
    SnapshotBegin { transfer: u64, vote: Vote, restored: Restored, manifest: Manifest },
    /// `transfer u64 | file u32 | bytes`
    SnapshotChunk { transfer: u64, file: u32, bytes: Bytes },
    /// `transfer u64`
    SnapshotEnd { transfer: u64 },
}

/// What the other answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// `code u8 | log_id? or vote`
    Append(AppendEntriesResponse<TypeConfig>),
    /// `vote | granted u8 | last log_id?`
    Vote(VoteResponse<TypeConfig>),
    /// `code u8 | two votes or two log_id?`
    Transfer(Result<(), TransferLeaderError<TypeConfig>>),
    /// `code u8 | index u64 or reason text`
    ReadIndex(Result<u64, ReadRefused>),
    /// `body`
    Peer(Bytes),
    /// Empty: go on.
    SnapshotReceived,
    /// `vote`
    SnapshotInstalled(SnapshotResponse<TypeConfig>),
}

/// Why a master gave no read index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReadRefused {
    /// It does not lead.
    NotLeader,
    /// It leads but is not confirmed.
    NoQuorum(String),
}

impl Request {
    pub(crate) fn encode(&self) -> Bytes {
        let mut writer = Writer::new(FORMAT, self.size_guess());
        match self {
            Self::Append(append) => write_append(&mut writer, append),
            Self::Vote(vote) => write_vote_request(&mut writer, VOTE, vote),
            Self::PreVote(vote) => write_vote_request(&mut writer, PRE_VOTE, vote),
            Self::Transfer(transfer) => {
                writer.u8(TRANSFER);
                writer.vote(transfer.from_leader());
                writer.u64(*transfer.to_node_id());
                writer.option(transfer.last_log_id(), Writer::log_id);
            }
            Self::ReadIndex => writer.u8(READ_INDEX),
            Self::Peer { kind, body } => {
                writer.u8(PEER);
                writer.u8(*kind);
                writer.raw(body);
            }
            Self::SnapshotBegin { transfer, vote, restored, manifest } => {
                writer.u8(SNAPSHOT_BEGIN);
                writer.u64(*transfer);
                writer.vote(vote);
                snapshot::write_restored(&mut writer, restored);
                snapshot::write_manifest(&mut writer, manifest);
            }
            Self::SnapshotChunk { transfer, file, bytes } => {
                writer.u8(SNAPSHOT_CHUNK);
                writer.u64(*transfer);
                writer.u32(*file);
                writer.raw(bytes);
            }
            Self::SnapshotEnd { transfer } => {
                writer.u8(SNAPSHOT_END);
                writer.u64(*transfer);
            }
        }
        writer.finish()
    }

    fn size_guess(&self) -> usize {
        match self {
            Self::Append(append) => 128 + append.entries.iter().map(entry_bytes).sum::<usize>(),
            Self::Peer { body, .. } => 8 + body.len(),
            Self::SnapshotChunk { bytes, .. } => 16 + bytes.len(),
            _ => 128,
        }
    }

    pub(crate) fn decode(bytes: Bytes) -> Decoded<Self> {
        let mut reader = Reader::new("a request of a master", bytes, FORMAT)?;
        let request = match reader.u8()? {
            APPEND => Self::Append(read_append(&mut reader)?),
            VOTE => Self::Vote(read_vote_request(&mut reader)?),
            PRE_VOTE => Self::PreVote(read_vote_request(&mut reader)?),
            TRANSFER => Self::Transfer(TransferLeaderRequest::new(
                reader.vote()?,
                reader.u64()?,
                reader.option(Reader::log_id)?,
            )),
            READ_INDEX => Self::ReadIndex,
            PEER => Self::Peer { kind: reader.u8()?, body: reader.rest() },
            SNAPSHOT_BEGIN => Self::SnapshotBegin {
                transfer: reader.u64()?,
                vote: reader.vote()?,
                restored: snapshot::read_restored(&mut reader)?,
                manifest: snapshot::read_manifest(&mut reader)?,
            },
            SNAPSHOT_CHUNK => {
                Self::SnapshotChunk { transfer: reader.u64()?, file: reader.u32()?, bytes: reader.rest() }
            }
            SNAPSHOT_END => Self::SnapshotEnd { transfer: reader.u64()? },
            found => return Err(DecodeError::UnknownKind { what: "request kind", found }),
        };
        reader.end()?;
        Ok(request)
    }
}

fn entry_bytes(entry: &RaftEntry) -> usize {
    let payload = match &entry.payload {
        openraft::EntryPayload::Normal(command) => command.payload.len(),
        _ => 0,
    };
    ENTRY_HEADER_BYTES + payload
}

fn write_append(writer: &mut Writer, append: &AppendEntriesRequest<TypeConfig>) {
    writer.u8(APPEND);
    writer.vote(&append.vote);
    writer.option(append.prev_log_id.as_ref(), Writer::log_id);
    writer.option(append.leader_commit.as_ref(), Writer::log_id);
    writer.u32(append.entries.len() as u32);
    for entry in &append.entries {
        let (kind, payload) = record::payload_parts(&entry.payload);
        writer.u8(kind);
        writer.log_id(&entry.log_id);
        writer.blob(&payload);
    }
}

/// openraft trusts the indexes of a request, so a hole or a jump back is refused here.
fn read_append(reader: &mut Reader) -> Decoded<AppendEntriesRequest<TypeConfig>> {
    let vote = reader.vote()?;
    let prev_log_id = reader.option(Reader::log_id)?;
    let leader_commit = reader.option(Reader::log_id)?;
    let count = reader.u32()?;
    let mut entries = Vec::new();
    let mut previous: Option<LogId> = prev_log_id;
    for _ in 0..count {
        let kind = reader.u8()?;
        let log_id = reader.log_id()?;
        if !follows(previous.as_ref(), &log_id) {
            return Err(reader.unacceptable(format!("entry {log_id} does not follow the one before")));
        }
        previous = Some(log_id);
        entries.push(RaftEntry { log_id, payload: record::payload_of(kind, reader.blob()?)? });
    }
    Ok(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit })
}

fn follows(previous: Option<&LogId>, next: &LogId) -> bool {
    match previous {
        None => next.index == 0,
        Some(previous) => {
            previous.index.checked_add(1) == Some(next.index) && previous.leader_id <= next.leader_id
        }
    }
}

fn write_vote_request(writer: &mut Writer, kind: u8, request: &VoteRequest<TypeConfig>) {
    writer.u8(kind);
    writer.vote(&request.vote);
    writer.option(request.last_log_id.as_ref(), Writer::log_id);
    writer.bool(request.leadership_transfer);
}

fn read_vote_request(reader: &mut Reader) -> Decoded<VoteRequest<TypeConfig>> {
    let vote = reader.vote()?;
    let last_log_id = reader.option(Reader::log_id)?;
    Ok(VoteRequest { vote, last_log_id, leadership_transfer: reader.bool()? })
}

impl Answer {
    pub(crate) fn encode(&self) -> Bytes {
        let mut writer = Writer::new(FORMAT, if let Self::Peer(body) = self { 8 + body.len() } else { 64 });
        match self {
            Self::Append(answer) => write_append_answer(&mut writer, answer),
            Self::Vote(answer) => {
                writer.u8(VOTE);
                writer.vote(&answer.vote);
                writer.bool(answer.vote_granted);
                writer.option(answer.last_log_id.as_ref(), Writer::log_id);
            }
            Self::Transfer(answer) => write_transfer_answer(&mut writer, answer),
            Self::ReadIndex(answer) => write_read_answer(&mut writer, answer),
            Self::Peer(body) => {
                writer.u8(PEER);
                writer.raw(body);
            }
            Self::SnapshotReceived => writer.u8(SNAPSHOT_CHUNK),
            Self::SnapshotInstalled(answer) => {
                writer.u8(SNAPSHOT_END);
                writer.vote(&answer.vote);
            }
        }
        writer.finish()
    }

    pub(crate) fn decode(bytes: Bytes) -> Decoded<Self> {
        let mut reader = Reader::new("an answer of a master", bytes, FORMAT)?;
        let answer = match reader.u8()? {
            APPEND => Self::Append(read_append_answer(&mut reader)?),
            VOTE => Self::Vote(VoteResponse {
                vote: reader.vote()?,
                vote_granted: reader.bool()?,
                last_log_id: reader.option(Reader::log_id)?,
            }),
            TRANSFER => Self::Transfer(read_transfer_answer(&mut reader)?),
            READ_INDEX => Self::ReadIndex(read_read_answer(&mut reader)?),
            PEER => Self::Peer(reader.rest()),
            SNAPSHOT_CHUNK => Self::SnapshotReceived,
            SNAPSHOT_END => Self::SnapshotInstalled(SnapshotResponse { vote: reader.vote()? }),
            found => return Err(DecodeError::UnknownKind { what: "answer kind", found }),
        };
        reader.end()?;
        Ok(answer)
    }
}

fn write_append_answer(writer: &mut Writer, answer: &AppendEntriesResponse<TypeConfig>) {
    writer.u8(APPEND);
    match answer {
        AppendEntriesResponse::Success => writer.u8(0),
        AppendEntriesResponse::PartialSuccess(last) => {
            writer.u8(1);
            writer.option(last.as_ref(), Writer::log_id);
        }
        AppendEntriesResponse::Conflict => writer.u8(2),
        AppendEntriesResponse::HigherVote(vote) => {
            writer.u8(3);
            writer.vote(vote);
        }
    }
}

fn read_append_answer(reader: &mut Reader) -> Decoded<AppendEntriesResponse<TypeConfig>> {
    Ok(match reader.u8()? {
        0 => AppendEntriesResponse::Success,
        1 => AppendEntriesResponse::PartialSuccess(reader.option(Reader::log_id)?),
        2 => AppendEntriesResponse::Conflict,
        3 => AppendEntriesResponse::HigherVote(reader.vote()?),
        found => return Err(DecodeError::UnknownKind { what: "append answer", found }),
    })
}

fn write_transfer_answer(writer: &mut Writer, answer: &Result<(), TransferLeaderError<TypeConfig>>) {
    writer.u8(TRANSFER);
    match answer {
        Ok(()) => writer.u8(0),
        Err(TransferLeaderError::VoteChanged { expected, actual }) => {
            writer.u8(1);
            writer.vote(expected);
            writer.vote(actual);
        }
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
            writer.u8(2);
            writer.option(expected.as_ref(), Writer::log_id);
            writer.option(actual.as_ref(), Writer::log_id);
        }
    }
}

fn read_transfer_answer(reader: &mut Reader) -> Decoded<Result<(), TransferLeaderError<TypeConfig>>> {
    Ok(match reader.u8()? {
        0 => Ok(()),
        1 => Err(TransferLeaderError::VoteChanged { expected: reader.vote()?, actual: reader.vote()? }),
        2 => Err(TransferLeaderError::LogNotFlushed {
            expected: reader.option(Reader::log_id)?,
            actual: reader.option(Reader::log_id)?,
        }),
        found => return Err(DecodeError::UnknownKind { what: "transfer answer", found }),
    })
}

fn write_read_answer(writer: &mut Writer, answer: &Result<u64, ReadRefused>) {
    writer.u8(READ_INDEX);
    match answer {
        Ok(index) => {
            writer.u8(0);
            writer.u64(*index);
        }
        Err(ReadRefused::NotLeader) => writer.u8(1),
        Err(ReadRefused::NoQuorum(reason)) => {
            writer.u8(2);
            writer.text(reason, REASON_BYTES_MAX);
        }
    }
}

fn read_read_answer(reader: &mut Reader) -> Decoded<Result<u64, ReadRefused>> {
    Ok(match reader.u8()? {
        0 => Ok(reader.u64()?),
        1 => Err(ReadRefused::NotLeader),
        2 => Err(ReadRefused::NoQuorum(reader.text(REASON_BYTES_MAX)?)),
        found => return Err(DecodeError::UnknownKind { what: "read answer", found }),
    })
}

#[cfg(test)]
mod tests;
