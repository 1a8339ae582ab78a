//! The few protobuf messages of etcd's v3 API that are needed, encoded and decoded by hand.
//!
//! Field numbers: etcd's `rpc.proto`, the same in 3.4 to 3.7.

use bytes::{BufMut, Bytes, BytesMut};

const WIRE_VARINT: u64 = 0;
const WIRE_FIXED64: u64 = 1;
const WIRE_BYTES: u64 = 2;
const WIRE_FIXED32: u64 = 5;

/// `PutRequest { key = 1, value = 2 }`.
pub fn put_request(key: &[u8], value: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(key.len() + value.len() + 16);
    put_bytes(&mut message, 1, key);
    put_bytes(&mut message, 2, value);
    message.freeze()
}

/// What is used of `StatusResponse`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The id of the member that answered (`header.member_id`).
    pub member: u64,
    /// The leader's id, 0 when there is none.
    pub leader: u64,
    /// The Raft term.
    pub term: u64,
}

/// `StatusResponse { header = 1 { member_id = 2 }, leader = 4, raftTerm = 6 }`; `None` when the
/// bytes are no protobuf message.
pub fn status_response(message: &[u8]) -> Option<Status> {
    let mut status = Status::default();
    for field in Fields(message) {
        match field? {
            (1, Field::Bytes(header)) => {
                for field in Fields(header) {
                    if let (2, Field::Number(member)) = field? {
                        status.member = member;
                    }
                }
            }
            (4, Field::Number(leader)) => status.leader = leader,
            (6, Field::Number(term)) => status.term = term,
            _ => {}
        }
    }
    Some(status)
}

fn put_bytes(message: &mut BytesMut, number: u64, bytes: &[u8]) {
    put_varint(message, number << 3 | WIRE_BYTES);
    put_varint(message, bytes.len() as u64);
    message.put_slice(bytes);
}

fn put_varint(message: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        message.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    message.put_u8(value as u8);
}

/// A field's value, as far as its wire type tells.
#[derive(Debug, PartialEq, Eq)]
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Walks a message; yields `None` once and ends where it is malformed.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u64, Field<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Field<'a>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            WIRE_VARINT => Field::Number(self.varint()?),
            WIRE_FIXED64 => Field::Bytes(self.take(8)?),
            WIRE_BYTES => {
                let size_bytes = usize::try_from(self.varint()?).ok()?;
                Field::Bytes(self.take(size_bytes)?)
            }
            WIRE_FIXED32 => Field::Bytes(self.take(4)?),
            _ => return None,
        };
        Some((tag >> 3, value))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, size_bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(size_bytes)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_put() {
        assert_eq!(&put_request(b"k", b"value")[..], b"\x0a\x01k\x12\x05value");
    }

    #[test]
    fn a_long_value_has_a_length_of_two_bytes() {
        let message = put_request(b"k", &[b'v'; 2048]);
        assert_eq!(&message[..6], b"\x0a\x01k\x12\x80\x10");
        assert_eq!(message.len(), 6 + 2048);
    }

    #[test]
    fn golden_status() {
        // header {cluster 1, member 300, revision 5, term 9}, version "3", dbSize 7, leader 301, index 8, term 9
        let message =
            b"\x0a\x09\x08\x01\x10\xac\x02\x18\x05\x20\x09\x12\x013\x18\x07\x20\xad\x02\x28\x08\x30\x09";
        assert_eq!(status_response(message), Some(Status { member: 300, leader: 301, term: 9 }));
    }

    #[test]
    fn unknown_fields_are_skipped_and_cut_messages_refused() {
        let unknown = b"\x79\x01\x02\x03\x04\x05\x06\x07\x08\x7d\x01\x02\x03\x04\x20\x05";
        assert_eq!(status_response(unknown), Some(Status { leader: 5, ..Status::default() }));
        for cut in [
            &b"\x0a\x09\x08"[..],
            b"\x20",
            b"\x20\xff",
            b"\x0b",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(status_response(cut), None, "{cut:?}");
        }
    }
}
