//! The file that says which version store and which snapshot are current. Replaced as a whole.

use std::path::{Path, PathBuf};

use crate::error::{Result, StorageError};
use crate::files;
use crate::frame::{self, Damage, Fields, Kind};

/// Its name in the data directory.
const NAME: &str = "current";

/// How the names of version stores, and of what stands beside them, begin.
pub(super) const STATE_PREFIX: &str = "state-";

/// What is current.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pointer {
    /// The version store in `state-N`.
    pub(super) state: u64,
    /// The snapshot in `snapshots/N`; 0 for none.
    pub(super) snapshot: u64,
}

impl Pointer {
    /// Reads the pointer; `None` when the file does not exist.
    pub(super) fn load(data: &Path) -> Result<Option<Self>> {
        let path = data.join(NAME);
        let Some(content) = files::read_if_there(&path)? else { return Ok(None) };
        let decode = || -> std::result::Result<Self, Damage> {
            let mut fields = Fields(frame::open(Kind::Pointer, b"", &content)?.body);
            let pointer = Self { state: fields.u64()?, snapshot: fields.u64()? };
            fields.end()?;
            Ok(pointer)
        };
        decode().map(Some).map_err(|damage| StorageError::corrupt(&path, damage))
    }

    /// Replaces the pointer in one durable step.
    pub(super) fn save(self, data: &Path) -> Result<()> {
        let body = [self.state.to_le_bytes(), self.snapshot.to_le_bytes()].concat();
        files::replace(data, NAME, &frame::seal(Kind::Pointer, 0, b"", &[&body]))
    }

    /// Whether there is a pointer, or a version store that one must have named: the directory was in use.
    pub(super) fn is_expected(data: &Path) -> Result<bool> {
        Ok(files::names(data)?.iter().any(|name| name == NAME || name.starts_with(STATE_PREFIX)))
    }

    /// Where the file is, for messages.
    pub(super) fn path(data: &Path) -> PathBuf {
        data.join(NAME)
    }
}

/// The directory of version store `number`.
pub(super) fn state_directory(data: &Path, number: u64) -> PathBuf {
    data.join(format!("{STATE_PREFIX}{number}"))
}

/// The directory of snapshot `number`.
pub(super) fn snapshot_directory(data: &Path, number: u64) -> PathBuf {
    data.join("snapshots").join(number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::hex;

    #[test]
    fn its_bytes_are_golden_and_read_back() {
        let data = tempfile::tempdir().expect("a directory");
        let pointer = Pointer { state: 7, snapshot: 9 };
        pointer.save(data.path()).expect("saved");
        let content = std::fs::read(Pointer::path(data.path())).expect("there");
        assert_eq!(hex(&content), "4b0109002e4bd1f41000000007000000000000000900000000000000");
        assert_eq!(Pointer::load(data.path()).expect("read"), Some(pointer));
    }
}
