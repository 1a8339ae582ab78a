//! The frame around every stored value, so that a flipped bit is found whatever the layers below say.
//!
//! ```text
//! magic u8 | format u8 | kind u8 | flags u8 | crc32c u32 LE | length u32 LE | body
//! ```
//!
//! The checksum covers the first four bytes, the length, the *place* (the key under which the value is
//! stored) and the body: a value that turns up under another key is damage too.

/// Bytes before the body.
pub const HEADER_BYTES: usize = 12;

/// The longest body: what the length field of records can hold with room for its header.
pub const BODY_BYTES_MAX: usize = (u32::MAX as usize) - HEADER_BYTES;

/// First byte of every frame.
const MAGIC: u8 = 0x4b;

/// The layout above. A new layout takes a new number and keeps reading this one.
const FORMAT: u8 = 1;

/// What a frame holds. The numbers are on disk: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A record of the Raft log.
    LogRecord = 1,
    /// A marker of the Raft log: vote, purged, committed, start.
    LogMarker = 2,
    /// A version of an object.
    Version = 3,
    /// The index entry of a version.
    IndexEntry = 4,
    /// A side record of the version store.
    Side = 5,
    /// The image a version store corresponds to.
    Image = 6,
    /// A number of the version store: a compaction floor, the bytes held.
    Number = 7,
    /// How far a RocksDB instance is known to be durable.
    Seal = 8,
    /// Which version store and snapshot are current.
    Pointer = 9,
    /// What a snapshot consists of.
    Manifest = 10,
}

/// A frame that passed its checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Free for the kind to use.
    pub flags: u8,
    /// The stored bytes.
    pub body: &'a [u8],
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Fewer bytes than a header, or than the header promises.
    #[error("a record is cut short")]
    Short,
    /// More bytes than the header promises.
    #[error("a record is followed by bytes that do not belong to it")]
    Long,
    /// The first byte is not ours.
    #[error("a record does not start with the expected byte")]
    Magic,
    /// Written by a newer program, or damaged.
    #[error("a record has format {0}, this program reads format 1")]
    Format(u8),
    /// Something else is stored here.
    #[error("a record has kind {found}, expected {expected:?}")]
    Kind {
        /// The kind byte.
        found: u8,
        /// What belongs here.
        expected: Kind,
    },
    /// The bytes are not those that were written, or not written here.
    #[error("a record does not match its checksum")]
    Checksum,
    /// The body does not have the fields of its kind.
    #[error("a record's fields do not add up")]
    Fields,
}

/// Frames the concatenation of `parts` for storage under `place`.
///
/// # Panics
/// When the parts are longer than [`BODY_BYTES_MAX`]; callers bound their values far below.
pub fn seal(kind: Kind, flags: u8, place: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let body_bytes: usize = parts.iter().map(|part| part.len()).sum();
    assert!(body_bytes <= BODY_BYTES_MAX, "a frame of {body_bytes} bytes is longer than its length field");
    let mut framed = Vec::with_capacity(HEADER_BYTES + body_bytes);
    framed.extend_from_slice(&[MAGIC, FORMAT, kind as u8, flags, 0, 0, 0, 0]);
    framed.extend_from_slice(&(body_bytes as u32).to_le_bytes());
    for part in parts {
        framed.extend_from_slice(part);
    }
    let checksum = checksum(&framed, place);
    framed[4..8].copy_from_slice(&checksum.to_le_bytes());
    framed
}

/// Checks a frame that was stored under `place`.
///
/// # Errors
/// The first thing found wrong.
pub fn open<'a>(kind: Kind, place: &[u8], framed: &'a [u8]) -> Result<Frame<'a>, Damage> {
    if framed.len() < HEADER_BYTES {
        return Err(Damage::Short);
    }
    match (framed[0], framed[1], framed[2]) {
        (magic, _, _) if magic != MAGIC => return Err(Damage::Magic),
        (_, format, _) if format != FORMAT => return Err(Damage::Format(format)),
        (_, _, found) if found != kind as u8 => return Err(Damage::Kind { found, expected: kind }),
        _ => {}
    }
    let body = &framed[HEADER_BYTES..];
    let length = u32_at(framed, 8) as usize;
    if body.len() < length {
        return Err(Damage::Short);
    }
    if body.len() > length {
        return Err(Damage::Long);
    }
    if u32_at(framed, 4) != checksum(framed, place) {
        return Err(Damage::Checksum);
    }
    Ok(Frame { flags: framed[3], body })
}

/// Over everything but the checksum itself, and the place.
fn checksum(framed: &[u8], place: &[u8]) -> u32 {
    let header = crc32c::crc32c_append(crc32c::crc32c(&framed[..4]), &framed[8..HEADER_BYTES]);
    crc32c::crc32c_append(crc32c::crc32c_append(header, place), &framed[HEADER_BYTES..])
}

/// The little-endian u32 at `at`; the caller has checked the length.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Reads the fixed-width fields of a body one after another.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`Damage::Fields`] when fewer are left.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Damage> {
        let (head, tail) = self.0.split_at_checked(count).ok_or(Damage::Fields)?;
        self.0 = tail;
        Ok(head)
    }

    /// The next u32, little endian.
    ///
    /// # Errors
    /// [`Damage::Fields`] when too few bytes are left.
    pub fn u32(&mut self) -> Result<u32, Damage> {
        Ok(u32_at(self.bytes(4)?, 0))
    }

    /// The next u64, little endian.
    ///
    /// # Errors
    /// [`Damage::Fields`] when too few bytes are left.
    pub fn u64(&mut self) -> Result<u64, Damage> {
        let low = u64::from(self.u32()?);
        Ok(low | (u64::from(self.u32()?) << 32))
    }

    /// Bytes preceded by their length as u32.
    ///
    /// # Errors
    /// [`Damage::Fields`] when too few bytes are left.
    pub fn counted(&mut self) -> Result<&'a [u8], Damage> {
        let length = self.u32()? as usize;
        self.bytes(length)
    }

    /// Ends the record.
    ///
    /// # Errors
    /// [`Damage::Fields`] when bytes are left over.
    pub fn end(self) -> Result<(), Damage> {
        if self.0.is_empty() { Ok(()) } else { Err(Damage::Fields) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::hex;

    #[test]
    fn golden_bytes() {
        let check = |kind, flags, place: &[u8], parts: &[&[u8]], expect: &str| {
            let framed = seal(kind, flags, place, parts);
            assert_eq!(hex(&framed), expect, "{kind:?}");
            assert_eq!(open(kind, place, &framed).map(|frame| frame.flags), Ok(flags));
        };
        check(
            Kind::LogRecord,
            0,
            b"\x01\0\0\0\0\0\0\0\x07",
            &[b"hello"],
            "4b01010039bbc97a0500000068656c6c6f",
        );
        check(
            Kind::Version,
            1,
            b"\0\0\0\0\0\0\0\x09",
            &[b"ab", b"", b"cd"],
            "4b010301f86f88a10400000061626364",
        );
        check(Kind::Seal, 0, b"", &[], "4b010800dcce520700000000");
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let framed = seal(Kind::LogRecord, 3, b"place", &[b"some bytes"]);
        for bit in 0..framed.len() * 8 {
            let mut damaged = framed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(open(Kind::LogRecord, b"place", &damaged).is_err(), "bit {bit}");
        }
        for cut in 0..framed.len() {
            assert!(open(Kind::LogRecord, b"place", &framed[..cut]).is_err(), "cut at {cut}");
        }
        let longer = [framed.as_slice(), b"x"].concat();
        assert_eq!(open(Kind::LogRecord, b"place", &longer), Err(Damage::Long));
        assert_eq!(open(Kind::LogRecord, b"other", &framed), Err(Damage::Checksum));
    }

    #[test]
    fn fields_end_where_the_body_ends() {
        let mut fields = Fields(&[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 7, 8]);
        assert_eq!((fields.u64(), fields.counted()), (Ok(1), Ok([7, 8].as_slice())));
        assert_eq!(fields.end(), Ok(()));
        assert_eq!(Fields(&[9, 0, 0, 0, 1]).counted(), Err(Damage::Fields));
        assert_eq!(Fields(&[0]).end(), Err(Damage::Fields));
    }
}
