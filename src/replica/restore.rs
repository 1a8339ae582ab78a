//! From a version store to State, and the head record that makes it possible.

use api::Key;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use raft::{Position, Restored};
use state::State;
use storage::{StorageError, VersionStore};

use crate::moment::Moment;

/// Why State could not be rebuilt. The master must stop.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The store could not be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// It was read, but what it holds is not what was written.
    #[error("the version store is damaged: {what}; {}", storage::error::REPLACE_MASTER)]
    Damaged {
        /// What did not fit.
        what: String,
    },
}

/// First byte of a head record.
const HEAD_FORMAT: u8 = 1;

/// What an image says beside its versions: Raft's position and membership, then State's own head.
///
/// `format u8 | applied: flag u8 + position | membership: flag u8 + position + length u32 + bytes | state`,
/// a position being term, leader and index as u64; all big-endian.
pub(crate) fn encode_head(state: &State, restored: &Restored) -> Bytes {
    let mut head = BytesMut::new();
    head.put_u8(HEAD_FORMAT);
    head.put_u8(restored.applied.is_some().into());
    put_position(&mut head, restored.applied.unwrap_or_default());
    let (position, members) = restored.membership.clone().unwrap_or_default();
    head.put_u8(restored.membership.is_some().into());
    put_position(&mut head, position);
    head.put_u32(members.len() as u32);
    head.put_slice(&members);
    head.put_slice(&state.head());
    head.freeze()
}

fn put_position(buffer: &mut BytesMut, position: Position) {
    buffer.put_u64(position.term);
    buffer.put_u64(position.leader);
    buffer.put_u64(position.index);
}

/// Raft's part of a head, and State's.
pub(crate) fn decode_head(mut head: Bytes) -> Result<(Restored, Bytes), RestoreError> {
    const FIXED: usize = 1 + 25 + 25 + 4;
    if head.len() < FIXED || head.get_u8() != HEAD_FORMAT {
        return Err(damaged("the head record has an unknown format"));
    }
    let applied = take_position(&mut head);
    let membership = take_position(&mut head);
    let length = head.get_u32() as usize;
    if head.len() < length {
        return Err(damaged("the head record is cut short"));
    }
    let members = head.split_to(length);
    let membership = membership.map(|position| (position, members));
    Ok((Restored { applied, membership }, head))
}

fn take_position(head: &mut Bytes) -> Option<Position> {
    let present = head.get_u8() != 0;
    let position = Position { term: head.get_u64(), leader: head.get_u64(), index: head.get_u64() };
    present.then_some(position)
}

fn damaged(what: impl ToString) -> RestoreError {
    RestoreError::Damaged { what: what.to_string() }
}

/// Rebuilds State from a store's newest versions and checks its hash. Slow: reads everything.
pub(crate) fn restore(versions: &dyn VersionStore) -> Result<(Moment, Restored), RestoreError> {
    let Some(image) = versions.image()? else {
        let empty = Moment { state: State::default(), index: 0, term: 0 };
        return Ok((empty, Restored::default()));
    };
    let (restored, head) = decode_head(image.head)?;
    let mut builder = state::image::Restore::new(&head).map_err(damaged)?;
    let mut failed = None;
    versions.sides(&mut |key, value| {
        if let Err(error) = builder.side(key, value) {
            failed.get_or_insert_with(|| error.to_string());
        }
    })?;
    versions.newest(&mut |version| {
        let added = Key::parse(&version.key).map_err(|error| error.to_string()).and_then(|_| {
            builder
                .version(&version.key, version.revision, version.previous, version.value)
                .map_err(|error| error.to_string())
        });
        if let Err(error) = added {
            failed.get_or_insert(error);
        }
    })?;
    if let Some(what) = failed {
        return Err(damaged(what));
    }
    let state = builder.finish().map_err(damaged)?;
    let term = restored.applied.map_or(0, |position| position.term);
    Ok((Moment { state, index: image.index, term }, restored))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_survives_encoding() {
        let position = Position { term: 3, leader: 2, index: 77 };
        let cases = [
            Restored::default(),
            Restored { applied: Some(position), membership: None },
            Restored {
                applied: Some(position),
                membership: Some((position, Bytes::from_static(b"members"))),
            },
        ];
        for restored in cases {
            let state = State::default();
            let (decoded, head) = decode_head(encode_head(&state, &restored)).expect("decodes");
            assert_eq!(decoded, restored);
            assert_eq!(head, state.head());
        }
    }

    #[test]
    fn a_damaged_head_is_refused() {
        let head = encode_head(&State::default(), &Restored::default());
        assert!(decode_head(head.slice(..20)).is_err());
        assert!(decode_head(Bytes::from_static(&[9; 80])).is_err());
    }
}
