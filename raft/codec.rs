//! What stands on disk and on the wire, written by hand.
//!
//! Every record and every frame begins with the number of its format. Integers are little endian and of
//! fixed width. Decoding is total: whatever the bytes, it gives a value or a [`DecodeError`], and never
//! takes more memory than the bytes it was given.
//!
//! A format is never changed: a new one takes the next number and the old decoder stays. Checksums are
//! the business of the layers below (storage frames, TLS, the files of a snapshot).

pub(crate) mod membership;
pub(crate) mod record;
pub(crate) mod rpc;
pub(crate) mod snapshot;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::types::{LeaderId, LogId, Vote};

/// Bytes that are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Written by a newer version of this program.
    #[error("{what} has format {found}, and this version knows formats up to {known}: upgrade this master")]
    UnknownFormat {
        /// What was read.
        what: &'static str,
        /// Its number.
        found: u8,
        /// The highest number known.
        known: u8,
    },
    /// A number that stands for nothing.
    #[error("{what} {found} is not known")]
    UnknownKind {
        /// What the number names.
        what: &'static str,
        /// The number.
        found: u8,
    },
    /// The bytes end too early.
    #[error("{what} is cut short")]
    Truncated {
        /// What was read.
        what: &'static str,
    },
    /// More bytes than the format has.
    #[error("{what} has {count} bytes too many")]
    Trailing {
        /// What was read.
        what: &'static str,
        /// How many are left.
        count: usize,
    },
    /// Well-formed, but not acceptable.
    #[error("{what} is not acceptable: {why}")]
    Unacceptable {
        /// What was read.
        what: &'static str,
        /// The rule it breaks.
        why: String,
    },
}

/// Shorthand.
pub(crate) type Decoded<T> = Result<T, DecodeError>;

/// Bytes being taken apart, and what they are, for errors.
pub(crate) struct Reader {
    what: &'static str,
    bytes: Bytes,
}

impl Reader {
    /// Begins to read `what`, whose first byte must be a known format.
    pub(crate) fn new(what: &'static str, bytes: Bytes, known: u8) -> Decoded<Self> {
        let mut reader = Self { what, bytes };
        match reader.u8()? {
            found if found == 0 || found > known => Err(DecodeError::UnknownFormat { what, found, known }),
            _ => Ok(reader),
        }
    }

    fn need(&self, count: usize) -> Decoded<()> {
        if self.bytes.len() < count { Err(DecodeError::Truncated { what: self.what }) } else { Ok(()) }
    }

    pub(crate) fn u8(&mut self) -> Decoded<u8> {
        self.need(1)?;
        Ok(self.bytes.get_u8())
    }

    pub(crate) fn u16(&mut self) -> Decoded<u16> {
        self.need(2)?;
        Ok(self.bytes.get_u16_le())
    }

    pub(crate) fn u32(&mut self) -> Decoded<u32> {
        self.need(4)?;
        Ok(self.bytes.get_u32_le())
    }

    pub(crate) fn u64(&mut self) -> Decoded<u64> {
        self.need(8)?;
        Ok(self.bytes.get_u64_le())
    }

    pub(crate) fn bool(&mut self) -> Decoded<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(DecodeError::UnknownKind { what: "truth value", found }),
        }
    }

    /// `count` bytes, shared with the whole.
    pub(crate) fn take(&mut self, count: usize) -> Decoded<Bytes> {
        self.need(count)?;
        Ok(self.bytes.split_to(count))
    }

    /// Bytes behind a 32-bit length.
    pub(crate) fn blob(&mut self) -> Decoded<Bytes> {
        let length = self.u32()? as usize;
        self.take(length)
    }

    /// Everything left.
    pub(crate) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.bytes)
    }

    /// Text behind a 16-bit length, of at most `bytes_max` bytes.
    pub(crate) fn text(&mut self, bytes_max: usize) -> Decoded<String> {
        let length = usize::from(self.u16()?);
        if length > bytes_max {
            return Err(self.unacceptable(format!("a text of {length} bytes")));
        }
        String::from_utf8(self.take(length)?.into()).map_err(|_| self.unacceptable("text is not UTF-8"))
    }

    pub(crate) fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Decoded<T>) -> Decoded<Option<T>> {
        if self.bool()? { read(self).map(Some) } else { Ok(None) }
    }

    pub(crate) fn log_id(&mut self) -> Decoded<LogId> {
        let leader = LeaderId { term: self.u64()?, node_id: self.u64()? };
        match self.u64()? {
            // Whoever counts on from it would overflow.
            u64::MAX => Err(self.unacceptable("the last index there is")),
            index => Ok(LogId::new(leader, index)),
        }
    }

    pub(crate) fn vote(&mut self) -> Decoded<Vote> {
        let leader_id = LeaderId { term: self.u64()?, node_id: self.u64()? };
        Ok(Vote { leader_id, committed: self.bool()? })
    }

    pub(crate) fn unacceptable(&self, why: impl Into<String>) -> DecodeError {
        DecodeError::Unacceptable { what: self.what, why: why.into() }
    }

    /// Ends: nothing may be left.
    pub(crate) fn end(self) -> Decoded<()> {
        match self.bytes.len() {
            0 => Ok(()),
            count => Err(DecodeError::Trailing { what: self.what, count }),
        }
    }
}

/// Bytes being put together.
pub(crate) struct Writer(BytesMut);

impl Writer {
    /// Begins with `format`; `size_bytes` is a guess of what will follow.
    pub(crate) fn new(format: u8, size_bytes: usize) -> Self {
        let mut bytes = BytesMut::with_capacity(size_bytes + 1);
        bytes.put_u8(format);
        Self(bytes)
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.0.put_u8(value);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.0.put_u16_le(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.0.put_u32_le(value);
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.0.put_u64_le(value);
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.0.put_u8(u8::from(value));
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.0.put_slice(bytes);
    }

    /// Bytes behind a 32-bit length. Everything written here is far below 4 GiB: frames and payloads
    /// have limits.
    pub(crate) fn blob(&mut self, bytes: &[u8]) {
        self.u32(u32::try_from(bytes.len()).expect("frames and payloads are limited to megabytes"));
        self.raw(bytes);
    }

    /// Text behind a 16-bit length, cut at a character when it does not fit.
    pub(crate) fn text(&mut self, text: &str, bytes_max: usize) {
        let cut = &text[..text.floor_char_boundary(bytes_max.min(usize::from(u16::MAX)))];
        self.u16(cut.len() as u16);
        self.raw(cut.as_bytes());
    }

    pub(crate) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    pub(crate) fn log_id(&mut self, log_id: &LogId) {
        self.u64(log_id.leader_id.term);
        self.u64(log_id.leader_id.node_id);
        self.u64(log_id.index);
    }

    pub(crate) fn vote(&mut self, vote: &Vote) {
        self.u64(vote.leader_id.term);
        self.u64(vote.leader_id.node_id);
        self.bool(vote.committed);
    }

    pub(crate) fn finish(self) -> Bytes {
        self.0.freeze()
    }
}

/// For tests of formats: bytes as text that can be compared and read.
#[cfg(test)]
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
