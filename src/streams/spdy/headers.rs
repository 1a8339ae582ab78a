//! Header blocks: names and values, in one zlib stream per direction that begins from a dictionary.

use bytes::{Buf, BufMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::dictionary::DICTIONARY;
use crate::error::Error;
use crate::limits::HEADER_BYTES_MAX;

/// The headers of a stream. Names are in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// No headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// These and one more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// The first value of a header, if there is any.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// Compresses the header blocks of one direction.
pub(super) struct Deflater(Compress);

impl Deflater {
    pub(super) fn new() -> Self {
        let mut stream = Compress::new(Compression::default(), true);
        // A stream that has compressed nothing yet takes any dictionary; one that did not would only make
        // blocks that the peer refuses.
        let taken = stream.set_dictionary(&DICTIONARY);
        debug_assert!(taken.is_ok());
        Self(stream)
    }

    pub(super) fn block(&mut self, headers: &Headers) -> Result<Vec<u8>, Error> {
        let mut plain = Vec::new();
        plain.put_u32(headers.0.len() as u32);
        for text in headers.0.iter().flat_map(|(name, value)| [name, value]) {
            plain.put_u32(text.len() as u32);
            plain.extend_from_slice(text.as_bytes());
        }
        let began = self.0.total_in();
        let mut block = Vec::with_capacity(plain.len() + BLOCK_BYTES_SPARE);
        loop {
            let taken = (self.0.total_in() - began) as usize;
            let flushed = self.0.compress_vec(&plain[taken..], &mut block, FlushCompress::Sync);
            flushed.map_err(|error| Error::Protocol(format!("headers cannot be compressed: {error}")))?;
            // A block that fills its room to the last byte may have more to flush.
            if block.len() < block.capacity() {
                return Ok(block);
            }
            block.reserve(BLOCK_BYTES_SPARE);
        }
    }
}

/// Room for what compression adds to a block: the stream's header and the marks of a flush.
const BLOCK_BYTES_SPARE: usize = 64;

/// Decompresses the header blocks of one direction.
pub(super) struct Inflater(Decompress);

impl Inflater {
    pub(super) fn new() -> Self {
        Self(Decompress::new(true))
    }

    pub(super) fn headers(&mut self, block: &[u8]) -> Result<Headers, Error> {
        parse(&self.inflate(block)?)
    }

    fn inflate(&mut self, block: &[u8]) -> Result<Vec<u8>, Error> {
        let mut plain = Vec::with_capacity(block.len().saturating_mul(4).clamp(256, HEADER_BYTES_MAX));
        let began = self.0.total_in();
        loop {
            let taken = (self.0.total_in() - began) as usize;
            let had = plain.len();
            match self.0.decompress_vec(&block[taken..], &mut plain, FlushDecompress::Sync) {
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0.set_dictionary(&DICTIONARY).map_err(damaged)?;
                    continue;
                }
                Err(error) => return Err(damaged(error)),
                Ok(Status::StreamEnd) => return Err(Error::Protocol("the header stream has ended".into())),
                Ok(Status::Ok | Status::BufError) => {}
            }
            let is_taken = (self.0.total_in() - began) as usize == block.len();
            let has_room = plain.len() < plain.capacity();
            if is_taken && has_room {
                return Ok(plain);
            }
            if plain.len() >= HEADER_BYTES_MAX {
                let why = format!("the headers of a frame exceed {HEADER_BYTES_MAX} bytes");
                return Err(Error::Protocol(why));
            }
            if has_room && plain.len() == had {
                return Err(Error::Protocol("a header block ends in the middle".into()));
            }
            plain.reserve(plain.capacity().min(HEADER_BYTES_MAX));
        }
    }
}

fn damaged(error: flate2::DecompressError) -> Error {
    Error::Protocol(format!("a header block cannot be decompressed: {error}"))
}

fn parse(mut plain: &[u8]) -> Result<Headers, Error> {
    let count = number(&mut plain)?;
    // Each takes at least the lengths of its name and its value.
    if count > plain.len() / 8 {
        return Err(Error::Protocol(format!("a header block claims {count} headers")));
    }
    let mut headers = Headers::new();
    for _ in 0..count {
        let name = text(&mut plain)?.to_ascii_lowercase();
        let value = text(&mut plain)?;
        // Several values of one header are separated by NUL.
        for value in value.split('\0') {
            headers.0.push((name.clone(), value.to_owned()));
        }
    }
    Ok(headers)
}

fn number(plain: &mut &[u8]) -> Result<usize, Error> {
    let number = plain.try_get_u32().map_err(|_| Error::Protocol("a header block is cut short".into()))?;
    Ok(number as usize)
}

fn text(plain: &mut &[u8]) -> Result<String, Error> {
    let length = number(plain)?;
    if length > plain.len() {
        return Err(Error::Protocol("a header is longer than its block".into()));
    }
    let (text, rest) = plain.split_at(length);
    *plain = rest;
    String::from_utf8(text.to_vec()).map_err(|_| Error::Protocol("a header is not UTF-8".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(value: &str) -> Headers {
        Headers::new().with("streamType", value).with("port", "80")
    }

    #[test]
    fn blocks_depend_on_those_before_and_come_back_the_same() {
        let (mut deflater, mut inflater) = (Deflater::new(), Inflater::new());
        let blocks: Vec<_> =
            ["stdin", "stdout", "stdin"].map(|value| deflater.block(&some(value)).expect("fits")).into();
        assert!(blocks[2].len() < blocks[0].len(), "the third repeats the first");
        for (block, value) in blocks.iter().zip(["stdin", "stdout", "stdin"]) {
            assert_eq!(inflater.headers(block).expect("whole"), some(value));
        }
    }

    #[test]
    fn a_large_block_comes_back_and_one_too_large_is_refused() {
        let noise: String = (0..30_000_u32).map(|at| char::from(b'a' + (at * at % 26) as u8)).collect();
        let (mut deflater, mut inflater) = (Deflater::new(), Inflater::new());
        let block = deflater.block(&some(&noise)).expect("fits");
        assert_eq!(inflater.headers(&block).expect("whole"), some(&noise));
        let block = deflater.block(&some(&"z".repeat(HEADER_BYTES_MAX * 100))).expect("fits");
        assert!(block.len() < HEADER_BYTES_MAX / 2, "a small block for much: {}", block.len());
        let error = inflater.headers(&block).expect_err("too large");
        assert_eq!(
            error.to_string(),
            "the peer broke the protocol: the headers of a frame exceed 65536 bytes"
        );
    }

    #[test]
    fn several_values_of_a_header_are_apart() {
        let (mut deflater, mut inflater) = (Deflater::new(), Inflater::new());
        let block = deflater.block(&Headers::new().with("a", "1\x002")).expect("fits");
        let headers = inflater.headers(&block).expect("whole");
        assert_eq!(headers, Headers::new().with("a", "1").with("a", "2"));
    }

    #[test]
    fn damaged_blocks_are_errors() {
        let block = Deflater::new().block(&some("error")).expect("fits");
        let check = |block: &[u8]| Inflater::new().headers(block).expect_err("damaged").to_string();
        expect_test::expect!["the peer broke the protocol: a header block is cut short"]
            .assert_eq(&check(&[]));
        expect_test::expect!["the peer broke the protocol: a header is longer than its block"]
            .assert_eq(&check(&block[..block.len() - 12]));
        expect_test::expect!["the peer broke the protocol: a header block cannot be decompressed: deflate decompression error: incorrect header check"]
            .assert_eq(&check(b"GET / HTTP/1.1"));
    }
}
