//! From a version store to State, and the head record that makes it possible.

use api::Key;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use raft::{Position, Restored};
use state::{Levels, State, image};
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
    /// It holds what a newer program wrote. Nothing is damaged.
    #[error(transparent)]
    Newer(image::RestoreError),
}

impl From<image::RestoreError> for RestoreError {
    fn from(error: image::RestoreError) -> Self {
        match error {
            image::RestoreError::UnknownFeatureLevel { .. } => Self::Newer(error),
            error => damaged(error),
        }
    }
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

/// Rebuilds State from a store's newest versions and checks its hash, as a program that knows `levels`. Slow:
/// reads everything.
pub(crate) fn restore(
    versions: &dyn VersionStore,
    levels: Levels,
) -> Result<(Moment, Restored), RestoreError> {
    let Some(stored) = versions.image()? else {
        let empty = Moment { state: State::default(), index: 0, term: 0 };
        return Ok((empty, Restored::default()));
    };
    let (restored, head) = decode_head(stored.head)?;
    let mut builder = image::Restore::knowing(levels, &head)?;
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
    let state = builder.finish()?;
    let term = restored.applied.map_or(0, |position| position.term);
    Ok((Moment { state, index: stored.index, term }, restored))
}

#[cfg(test)]
mod tests {
    use state::{Batch, Entry, FEATURE_LEVEL_MAX, LEVELS, Stamp, Txn, Write};
    use storage::memory::MemoryStores;
    use storage::snapshot::Stores;
    use storage::{Image, VersionBatch};

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

    /// Images outlive the program that wrote them.
    #[test]
    fn heads_are_golden() {
        let position = Position { term: 3, leader: 2, index: 77 };
        let restored = Restored { applied: Some(position), membership: Some((position, "ab".into())) };
        let head = encode_head(&State::default(), &restored);
        let ours = &head[..head.len() - State::default().head().len()];
        let hex: String = ours.iter().map(|byte| format!("{byte:02x}")).collect();
        let position = ["01", "0000000000000003", "0000000000000002", "000000000000004d"].concat();
        assert_eq!(hex, format!("01{position}{position}000000026162"));
    }

    #[test]
    fn a_damaged_head_is_refused() {
        let head = encode_head(&State::default(), &Restored::default());
        assert!(decode_head(head.slice(..20)).is_err());
        assert!(decode_head(Bytes::from_static(&[9; 80])).is_err());
    }

    #[test]
    fn what_a_newer_program_wrote_asks_for_an_upgrade_and_not_for_another_master() {
        let txn = Txn {
            stamp: Stamp { request: 1, actor: "tester".to_owned() },
            guards: vec![],
            writes: vec![Write::FeatureLevel { level: FEATURE_LEVEL_MAX }],
        };
        let batch = Batch { time_ms: 0, txns: vec![txn] };
        let raised = state::apply(&State::default(), &Entry { index: 1, term: 1, batch: &batch });
        let head = encode_head(&raised.state, &Restored::default());
        let image = Some(Image { index: 1, revision: raised.state.revision(), head });
        let versions = MemoryStores::new().versions();
        let written = VersionBatch { versions: vec![], sides: raised.sides, image };
        versions.write(&written).expect("written");

        let refused = restore(&*versions, LEVELS.up_to(FEATURE_LEVEL_MAX - 1)).err();
        let said = refused.expect("of a newer level").to_string();
        assert!(said.contains("upgrade this master"), "{said}");
        assert!(!said.contains(storage::error::REPLACE_MASTER), "{said}");
        assert!(restore(&*versions, LEVELS).is_ok());
    }
}
