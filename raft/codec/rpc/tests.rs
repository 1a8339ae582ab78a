use openraft::EntryPayload;
use proptest::prelude::*;
use storage::{Image, SnapshotFile};

use super::super::hex;
use super::super::membership::tests::example;
use super::*;
use crate::machine::Position;
use crate::types::{Command, LeaderId};

const LEADER: LeaderId = LeaderId { term: 5, node_id: 2 };
const LEADER_HEX: &str = "05000000000000000200000000000000";

fn log_id(index: u64) -> LogId {
    LogId::new(LEADER, index)
}

fn vote() -> Vote {
    Vote { leader_id: LEADER, committed: true }
}

fn check_request(request: &Request, golden: &str) {
    let bytes = request.encode();
    assert_eq!(hex(&bytes), golden, "{request:?}");
    let decoded = Request::decode(bytes.clone()).expect("what was encoded");
    assert_eq!(format!("{decoded:?}"), format!("{request:?}"));
    for cut in 0..bytes.len() {
        let cut_short = Request::decode(bytes.slice(..cut));
        // A body that ends where the frame ends has no length of its own.
        let is_open_ended = matches!(request, Request::Peer { .. } | Request::SnapshotChunk { .. });
        assert!(cut_short.is_err() || is_open_ended, "cut at {cut}: {cut_short:?}");
    }
}

fn check_answer(answer: &Answer, golden: &str) {
    let bytes = answer.encode();
    assert_eq!(hex(&bytes), golden, "{answer:?}");
    assert_eq!(Answer::decode(bytes).as_ref(), Ok(answer));
}

fn append() -> AppendEntriesRequest<TypeConfig> {
    let entry = |index, payload| RaftEntry { log_id: log_id(index), payload };
    AppendEntriesRequest {
        vote: vote(),
        prev_log_id: Some(log_id(6)),
        entries: vec![
            entry(7, EntryPayload::Blank),
            entry(8, EntryPayload::Normal(Command::stored(Bytes::from_static(b"txn")))),
        ],
        leader_commit: None,
    }
}

#[test]
fn bytes_of_requests_never_change() {
    let entries =
        format!("00{LEADER_HEX}070000000000000000000000 01{LEADER_HEX}080000000000000003000000 74786e");
    let golden = format!("0101{LEADER_HEX}01 01{LEADER_HEX}0600000000000000 00 02000000 {entries}");
    check_request(&Request::Append(append()), &golden.replace(' ', ""));

    let ask = VoteRequest { vote: vote(), last_log_id: Some(log_id(6)), leadership_transfer: true };
    let body = format!("{LEADER_HEX}01 01{LEADER_HEX}0600000000000000 01").replace(' ', "");
    check_request(&Request::Vote(ask.clone()), &format!("0102{body}"));
    check_request(&Request::PreVote(ask), &format!("0103{body}"));

    let transfer = TransferLeaderRequest::new(vote(), 3, None);
    check_request(&Request::Transfer(transfer), &format!("0104{LEADER_HEX}01030000000000000000"));
    check_request(&Request::ReadIndex, "0105");
    check_request(&Request::Peer { kind: 9, body: Bytes::from_static(b"ask") }, "01060961736b");
}

#[test]
fn bytes_of_snapshot_requests_never_change() {
    let at = Position { term: 5, leader: 2, index: 6 };
    let restored = Restored { applied: Some(at), membership: Some((at, Bytes::from_static(b"m"))) };
    let file = SnapshotFile { name: "1.sst".into(), size_bytes: 9, crc32c: 0xa1b2_c3d4 };
    let image = Image { index: 6, revision: 11, head: Bytes::from_static(b"h") };
    let manifest = Manifest { image, files: vec![file] };
    let begin = Request::SnapshotBegin { transfer: 1, vote: vote(), restored, manifest };
    let position = format!("01{LEADER_HEX}0600000000000000");
    let golden = format!(
        "0107 0100000000000000 {LEADER_HEX}01 {position} {position}010000006d 0600000000000000 \
         0b00000000000000 0100000068 01000000 0500312e737374 0900000000000000 d4c3b2a1"
    );
    check_request(&begin, &golden.replace(' ', ""));
    let chunk = Request::SnapshotChunk { transfer: 1, file: 2, bytes: Bytes::from_static(b"part") };
    check_request(&chunk, "010801000000000000000200000070617274");
    check_request(&Request::SnapshotEnd { transfer: 1 }, "01090100000000000000");
}

#[test]
fn bytes_of_answers_never_change() {
    let position = format!("01{LEADER_HEX}0600000000000000");
    check_answer(&Answer::Append(AppendEntriesResponse::Success), "010100");
    let partial = AppendEntriesResponse::PartialSuccess(Some(log_id(6)));
    check_answer(&Answer::Append(partial), &format!("010101{position}"));
    check_answer(&Answer::Append(AppendEntriesResponse::Conflict), "010102");
    let higher = AppendEntriesResponse::HigherVote(vote());
    check_answer(&Answer::Append(higher), &format!("010103{LEADER_HEX}01"));
    let voted = VoteResponse { vote: vote(), vote_granted: true, last_log_id: Some(log_id(6)) };
    check_answer(&Answer::Vote(voted), &format!("0102{LEADER_HEX}0101{position}"));
    check_answer(&Answer::Transfer(Ok(())), "010400");
    let changed = TransferLeaderError::VoteChanged { expected: vote(), actual: vote() };
    check_answer(&Answer::Transfer(Err(changed)), &format!("010401{LEADER_HEX}01{LEADER_HEX}01"));
    let behind = TransferLeaderError::LogNotFlushed { expected: Some(log_id(6)), actual: None };
    check_answer(&Answer::Transfer(Err(behind)), &format!("010402{position}00"));
    check_answer(&Answer::ReadIndex(Ok(6)), "0105000600000000000000");
    check_answer(&Answer::ReadIndex(Err(ReadRefused::NotLeader)), "010501");
    check_answer(&Answer::ReadIndex(Err(ReadRefused::NoQuorum("why".into()))), "0105020300776879");
    check_answer(&Answer::Peer(Bytes::from_static(b"body")), "0106626f6479");
    check_answer(&Answer::SnapshotReceived, "0108");
    check_answer(
        &Answer::SnapshotInstalled(SnapshotResponse { vote: vote() }),
        &format!("0109{LEADER_HEX}01"),
    );
}

#[test]
fn formats_and_kinds_of_the_future_are_refused_by_name() {
    let decode = |bytes: &'static [u8]| Request::decode(Bytes::from_static(bytes)).expect_err("unknown");
    let format = DecodeError::UnknownFormat { what: "a request of a master", found: 2, known: 1 };
    assert_eq!(decode(&[2, 5]), format);
    assert_eq!(decode(&[1, 99]), DecodeError::UnknownKind { what: "request kind", found: 99 });
    assert_eq!(decode(&[1, 5, 0]), DecodeError::Trailing { what: "a request of a master", count: 1 });
}

/// openraft trusts what a request says about its entries.
#[test]
fn an_append_with_a_hole_or_a_jump_back_is_refused() {
    let check = |change: fn(&mut AppendEntriesRequest<TypeConfig>), is_accepted: bool| {
        let mut request = append();
        change(&mut request);
        let decoded = Request::decode(Request::Append(request).encode());
        assert_eq!(decoded.is_ok(), is_accepted, "{decoded:?}");
    };
    check(|_| {}, true);
    check(|request| request.entries[1].log_id.index = 9, false);
    check(|request| request.entries[1].log_id.leader_id.term = 4, false);
    check(|request| request.entries[1].log_id.leader_id.term = 6, true);
    check(|request| request.prev_log_id = None, false);
    check(|request| request.prev_log_id = Some(log_id(5)), false);
    check(|request| request.entries.truncate(0), true);
    check(|request| request.prev_log_id = Some(log_id(u64::MAX)), false);
}

#[test]
fn file_names_that_lead_elsewhere_are_refused() {
    for name in ["", ".", "..", ".hidden", "a/b", "/etc/passwd", "a\0b"] {
        let file = SnapshotFile { name: name.into(), size_bytes: 1, crc32c: 1 };
        let image = Image { index: 1, revision: 1, head: Bytes::new() };
        let manifest = Manifest { image, files: vec![file] };
        let begin =
            Request::SnapshotBegin { transfer: 1, vote: vote(), restored: Restored::default(), manifest };
        assert!(Request::decode(begin.encode()).is_err(), "{name:?}");
    }
}

#[test]
fn a_membership_travels_in_an_append() {
    let entry = RaftEntry { log_id: log_id(7), payload: EntryPayload::Membership(example()) };
    let request = Request::Append(AppendEntriesRequest { entries: vec![entry.clone()], ..append() });
    let Ok(Request::Append(decoded)) = Request::decode(request.encode()) else { panic!("does not decode") };
    assert_eq!(decoded.entries, [entry]);
}

proptest! {
    #[test]
    fn decoding_is_total(kind in 0..12_u8, body in proptest::collection::vec(any::<u8>(), 0..160)) {
        let bytes = Bytes::from([&[1, kind], &body[..]].concat());
        if let Ok(request) = Request::decode(bytes.clone()) {
            prop_assert_eq!(request.encode(), bytes.clone());
        }
        if let Ok(answer) = Answer::decode(bytes.clone()) {
            prop_assert_eq!(answer.encode(), bytes);
        }
    }
}
