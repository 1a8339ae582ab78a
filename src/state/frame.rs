//! The fixed header around every record: hand-written, so that it never depends on a library.
//!
//! ```text
//! offset  0  2  magic   "KS"
//!         2  1  format  1
//!         3  1  kind    what the body is
//!         4  2  flags   0; a reader refuses flags it does not know
//!         6  4  length  of the body, little-endian
//!        10  4  crc32c  of bytes 0..10 and the body, little-endian
//!        14     body
//! ```

/// Bytes before the body.
pub const HEADER_BYTES: usize = 14;
const MAGIC: [u8; 2] = *b"KS";
const FORMAT: u8 = 1;
const FLAGS: u16 = 0;
/// Where the checksum stands: what is before it is covered by it.
const CRC_AT: usize = 10;

/// What a record's body is. The numbers are written to disk: they are never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// One transaction.
    Txn = 1,
    /// The transactions of one log entry.
    Batch = 2,
    /// One version of one object.
    Version = 3,
    /// Everything of State that is one of a kind.
    Head = 4,
    /// A counter's limit.
    Limit = 5,
    /// A remembered outcome.
    Outcome = 6,
    /// When something under a prefix was last deleted.
    Prefix = 7,
}

/// Bytes that are no record this program can read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Fewer bytes than the record says, or than a header has.
    #[error("cut short: {found} bytes of {expected}")]
    Short {
        /// Bytes there should be.
        expected: usize,
        /// Bytes there are.
        found: usize,
    },
    /// More bytes than the record says.
    #[error("{extra} bytes follow the record")]
    Trailing {
        /// How many.
        extra: usize,
    },
    /// It does not begin as a record does.
    #[error("not a record: it begins with {found:02x?}")]
    Magic {
        /// The first two bytes.
        found: [u8; 2],
    },
    /// The checksum does not match.
    #[error("checksum mismatch: the bytes are damaged")]
    Checksum,
    /// Written by a newer program.
    #[error("format {format} with flags {flags:#06x} is unknown to this program: upgrade it")]
    UnknownFormat {
        /// The format byte.
        format: u8,
        /// The flags.
        flags: u16,
    },
    /// A sound record of another kind.
    #[error("a record of kind {found} where one of kind {expected} belongs")]
    Kind {
        /// What belongs here.
        expected: u8,
        /// What stands here.
        found: u8,
    },
}

/// Frames the body that stands behind the place of its header.
pub(crate) fn complete(kind: Kind, record: &mut [u8]) {
    let (place, body) = record.split_at_mut(HEADER_BYTES);
    place.copy_from_slice(&header(kind, body));
}

fn header(kind: Kind, body: &[u8]) -> [u8; HEADER_BYTES] {
    let length = u32::try_from(body.len()).expect("bodies are bounded far below 4 GiB by crate::limits");
    let mut header = [0; HEADER_BYTES];
    header[..2].copy_from_slice(&MAGIC);
    header[2] = FORMAT;
    header[3] = kind as u8;
    header[4..6].copy_from_slice(&FLAGS.to_le_bytes());
    header[6..CRC_AT].copy_from_slice(&length.to_le_bytes());
    let crc = checksum(&header, body);
    header[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// The body of a record that fills `record` exactly.
pub(crate) fn open(kind: Kind, record: &[u8]) -> Result<&[u8], FrameError> {
    let (body, rest) = open_first(kind, record)?;
    if rest.is_empty() { Ok(body) } else { Err(FrameError::Trailing { extra: rest.len() }) }
}

/// The body of the record at the start of `bytes`, and what follows it.
pub(crate) fn open_first(kind: Kind, bytes: &[u8]) -> Result<(&[u8], &[u8]), FrameError> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err(FrameError::Short { expected: HEADER_BYTES, found: bytes.len() });
    };
    let [m0, m1, format, found, f0, f1, l0, l1, l2, l3, crc @ ..] = *header;
    if [m0, m1] != MAGIC {
        return Err(FrameError::Magic { found: [m0, m1] });
    }
    let flags = u16::from_le_bytes([f0, f1]);
    if format != FORMAT || flags != FLAGS {
        return Err(FrameError::UnknownFormat { format, flags });
    }
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let Some((body, rest)) = rest.split_at_checked(length) else {
        return Err(FrameError::Short { expected: length, found: rest.len() });
    };
    if checksum(header, body) != u32::from_le_bytes(crc) {
        return Err(FrameError::Checksum);
    }
    if found != kind as u8 {
        return Err(FrameError::Kind { expected: kind as u8, found });
    }
    Ok((body, rest))
}

fn checksum(header: &[u8; HEADER_BYTES], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&header[..CRC_AT]), body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(kind: Kind, body: &[u8]) -> Vec<u8> {
        let mut record = [&[0; HEADER_BYTES], body].concat();
        complete(kind, &mut record);
        record
    }

    #[test]
    fn golden_bytes() {
        let record = seal(Kind::Txn, b"body");
        assert_eq!(record[..CRC_AT], *b"KS\x01\x01\x00\x00\x04\x00\x00\x00");
        assert_eq!(
            record[CRC_AT..HEADER_BYTES],
            crc32c::crc32c(b"KS\x01\x01\x00\x00\x04\x00\x00\x00body").to_le_bytes()
        );
        assert_eq!(open(Kind::Txn, &record), Ok(&b"body"[..]));
    }

    #[test]
    fn what_is_refused() {
        let good = seal(Kind::Head, b"abc");
        let changed = |at: usize, to: u8| {
            let mut record = good.clone();
            record[at] = to;
            record
        };
        let longer = [&good[..], b"x"].concat();
        let cases = [
            (Vec::new(), FrameError::Short { expected: HEADER_BYTES, found: 0 }),
            (good[..16].to_vec(), FrameError::Short { expected: 3, found: 2 }),
            (longer, FrameError::Trailing { extra: 1 }),
            (changed(0, b'X'), FrameError::Magic { found: *b"XS" }),
            (changed(2, 2), FrameError::UnknownFormat { format: 2, flags: 0 }),
            (changed(5, 1), FrameError::UnknownFormat { format: 1, flags: 256 }),
            (changed(3, 1), FrameError::Checksum),
            (changed(15, b'B'), FrameError::Checksum),
            (seal(Kind::Txn, b"abc"), FrameError::Kind { expected: 4, found: 1 }),
        ];
        for (record, error) in cases {
            assert_eq!(open(Kind::Head, &record), Err(error), "{record:02x?}");
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let good = seal(Kind::Head, b"some body");
        for bit in 0..good.len() * 8 {
            let mut record = good.clone();
            record[bit / 8] ^= 1 << (bit % 8);
            assert!(open(Kind::Head, &record).is_err(), "bit {bit}");
        }
    }
}
