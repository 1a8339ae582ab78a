//! A store in memory, for the durable image.

use std::collections::BTreeMap;

use bytes::Bytes;
use state::image::{Restore, RestoreError, decode_version, encode_version};
use state::{Applied, State};

/// A store in memory that the records of a log are written to.
#[derive(Clone, Default)]
pub struct Store {
    /// Revision, previous revision and record of each object's newest version.
    pub versions: BTreeMap<String, (u64, u64, Bytes)>,
    /// The side records.
    pub sides: BTreeMap<Vec<u8>, Bytes>,
}

impl Store {
    pub fn write(&mut self, applied: &Applied) {
        for change in &applied.changes {
            let (object, record) = (&change.object, encode_version(change));
            let key = object.key.as_str();
            let decoded =
                decode_version(key, change.revision, object.previous, change.deleted, record.clone());
            assert_eq!(decoded.as_ref(), Ok(&**object));
            if change.deleted {
                self.versions.remove(key);
            } else {
                self.versions.insert(key.to_owned(), (change.revision, object.previous, record));
            }
        }
        for (key, value) in applied.sides.clone() {
            match value {
                Some(value) => self.sides.insert(key, value),
                None => self.sides.remove(&key),
            };
        }
    }

    /// The State that the records make.
    pub fn restore(&self, head: &Bytes) -> Result<State, RestoreError> {
        let mut restore = Restore::new(head)?;
        for (key, (revision, previous, record)) in self.versions.iter().rev() {
            restore.version(key, *revision, *previous, record.clone())?;
        }
        for (key, value) in &self.sides {
            restore.side(key, value.clone())?;
        }
        restore.finish()
    }
}
