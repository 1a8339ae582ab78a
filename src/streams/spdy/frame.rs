//! Frames of SPDY/3.1 and their bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::headers::{Deflater, Headers, Inflater};
use crate::error::Error;
use crate::limits::CONTROL_FRAME_BYTES_MAX;

const VERSION: u16 = 3;
const HEAD_BYTES: usize = 8;
const CONTROL_BIT: u32 = 1 << 31;
const STREAM_ID_MASK: u32 = CONTROL_BIT - 1;
const LENGTH_MASK: u32 = (1 << 24) - 1;
/// In data and in frames that begin or go on with a stream.
const FLAG_FIN: u8 = 1;
/// Of SETTINGS: bytes a stream may send before the first window update.
const SETTING_INITIAL_WINDOW: u32 = 7;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const SETTINGS: u16 = 4;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const WINDOW_UPDATE: u16 = 9;

/// Status of a reset: the frame broke the protocol.
pub(super) const PROTOCOL_ERROR: u32 = 1;
/// Status of a reset: the stream was not begun.
pub(super) const REFUSED_STREAM: u32 = 3;

/// One frame; of data perhaps a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A new stream. `fin`: its opener sends nothing on it.
    SynStream { id: u32, fin: bool, headers: Headers },
    /// The other side knows the stream.
    SynReply { id: u32, fin: bool, headers: Headers },
    /// The stream is over, in both directions.
    RstStream { id: u32, status: u32 },
    /// What each stream may send before the first window update, if it says so.
    Settings { initial_window: Option<u32> },
    /// To be sent back by whoever did not begin it.
    Ping { id: u32 },
    /// Nothing new is begun.
    GoAway { last_stream: u32, status: u32 },
    /// More headers of a stream.
    Headers { id: u32, fin: bool, headers: Headers },
    /// More room on a stream; on the whole connection where the id is 0.
    WindowUpdate { id: u32, delta: u32 },
    /// Bytes of a stream. A long frame comes in parts, of which the last has `fin`.
    Data { id: u32, fin: bool, bytes: Bytes },
    /// Something of which nothing is known but that it may be ignored.
    Unknown,
}

/// Makes the bytes of frames in one direction.
pub(super) struct Encoder(Deflater);

impl Encoder {
    pub(super) fn new() -> Self {
        Self(Deflater::new())
    }

    pub(super) fn encode(&mut self, frame: &Frame, into: &mut BytesMut) -> Result<(), Error> {
        let flags = |fin: bool| if fin { FLAG_FIN } else { 0 };
        match frame {
            Frame::SynStream { id, fin, headers } => {
                let block = self.0.block(headers)?;
                control(into, SYN_STREAM, flags(*fin), 10 + block.len())?;
                into.put_u32(*id);
                // No associated stream, the highest priority, no credential slot.
                into.put_bytes(0, 6);
                into.extend_from_slice(&block);
            }
            Frame::SynReply { id, fin, headers } | Frame::Headers { id, fin, headers } => {
                let is_reply = matches!(frame, Frame::SynReply { .. });
                let block = self.0.block(headers)?;
                let kind = if is_reply { SYN_REPLY } else { HEADERS };
                control(into, kind, flags(*fin), 4 + block.len())?;
                into.put_u32(*id);
                into.extend_from_slice(&block);
            }
            Frame::RstStream { id, status } => pair(into, RST_STREAM, *id, *status)?,
            Frame::Settings { initial_window } => {
                let count = u32::from(initial_window.is_some());
                control(into, SETTINGS, 0, 4 + 8 * count as usize)?;
                into.put_u32(count);
                if let Some(window) = initial_window {
                    into.put_u32(SETTING_INITIAL_WINDOW);
                    into.put_u32(*window);
                }
            }
            Frame::Ping { id } => {
                control(into, PING, 0, 4)?;
                into.put_u32(*id);
            }
            Frame::GoAway { last_stream, status } => pair(into, GOAWAY, *last_stream, *status)?,
            Frame::WindowUpdate { id, delta } => pair(into, WINDOW_UPDATE, *id, *delta)?,
            Frame::Data { id, fin, bytes } => {
                into.put_u32(*id & STREAM_ID_MASK);
                into.put_u32((u32::from(flags(*fin)) << 24) | (bytes.len() as u32 & LENGTH_MASK));
                into.extend_from_slice(bytes);
            }
            Frame::Unknown => {}
        }
        Ok(())
    }
}

/// The head of a control frame.
fn control(into: &mut BytesMut, kind: u16, flags: u8, length: usize) -> Result<(), Error> {
    if length > LENGTH_MASK as usize {
        return Err(Error::Protocol(format!("a frame of {length} bytes is too long to be sent")));
    }
    into.put_u16(VERSION | 1 << 15);
    into.put_u16(kind);
    into.put_u32((u32::from(flags) << 24) | length as u32);
    Ok(())
}

fn pair(into: &mut BytesMut, kind: u16, first: u32, second: u32) -> Result<(), Error> {
    control(into, kind, 0, 8)?;
    into.put_u32(first);
    into.put_u32(second);
    Ok(())
}

/// Finds the frames in the bytes of one direction, however they are split.
pub(super) struct Decoder {
    inflater: Inflater,
    /// The data frame whose payload is coming.
    data: Option<Data>,
}

struct Data {
    id: u32,
    fin: bool,
    missing: usize,
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self { inflater: Inflater::new(), data: None }
    }

    /// Takes the next frame from the front of `input`; `None` when more bytes are needed first.
    pub(super) fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Frame>, Error> {
        if let Some(data) = &mut self.data {
            if input.is_empty() {
                return Ok(None);
            }
            let bytes = input.split_to(data.missing.min(input.len())).freeze();
            data.missing -= bytes.len();
            let (id, is_whole) = (data.id, data.missing == 0);
            let fin = data.fin && is_whole;
            if is_whole {
                self.data = None;
            }
            return Ok(Some(Frame::Data { id, fin, bytes }));
        }
        let Some(mut head) = input.get(..HEAD_BYTES) else { return Ok(None) };
        let (first, second) = (head.get_u32(), head.get_u32());
        let (flags, length) = ((second >> 24) as u8, (second & LENGTH_MASK) as usize);
        if first & CONTROL_BIT == 0 {
            input.advance(HEAD_BYTES);
            return self.begin_data(first, flags, length);
        }
        let version = (first >> 16) as u16 & !(1 << 15);
        if version != VERSION {
            return Err(Error::Protocol(format!("a frame of SPDY/{version} where SPDY/3 was agreed on")));
        }
        if length > CONTROL_FRAME_BYTES_MAX {
            let why = format!("a control frame of {length} bytes exceeds {CONTROL_FRAME_BYTES_MAX}");
            return Err(Error::Protocol(why));
        }
        if input.len() < HEAD_BYTES + length {
            return Ok(None);
        }
        input.advance(HEAD_BYTES);
        let payload = input.split_to(length);
        self.control(first as u16, flags, &payload).map(Some)
    }

    fn begin_data(&mut self, id: u32, flags: u8, length: usize) -> Result<Option<Frame>, Error> {
        if id == 0 {
            return Err(Error::Protocol("data of stream 0, which is none".into()));
        }
        let fin = flags & FLAG_FIN != 0;
        if length > 0 {
            self.data = Some(Data { id, fin, missing: length });
        }
        // The head of a frame whose payload follows stands for an empty part of it.
        Ok(Some(Frame::Data { id, fin: fin && length == 0, bytes: Bytes::new() }))
    }

    fn control(&mut self, kind: u16, flags: u8, mut payload: &[u8]) -> Result<Frame, Error> {
        let fin = flags & FLAG_FIN != 0;
        Ok(match kind {
            SYN_STREAM => {
                let id = stream(&mut payload)?;
                // The associated stream, the priority and the slot mean nothing here.
                let block = payload.get(6..).ok_or_else(short)?;
                Frame::SynStream { id, fin, headers: self.inflater.headers(block)? }
            }
            SYN_REPLY => {
                let id = stream(&mut payload)?;
                Frame::SynReply { id, fin, headers: self.inflater.headers(payload)? }
            }
            HEADERS => {
                let id = stream(&mut payload)?;
                Frame::Headers { id, fin, headers: self.inflater.headers(payload)? }
            }
            RST_STREAM => Frame::RstStream { id: stream(&mut payload)?, status: number(&mut payload)? },
            SETTINGS => settings(payload)?,
            PING => Frame::Ping { id: number(&mut payload)? },
            GOAWAY => Frame::GoAway {
                last_stream: number(&mut payload)? & STREAM_ID_MASK,
                status: number(&mut payload)?,
            },
            WINDOW_UPDATE => Frame::WindowUpdate {
                id: number(&mut payload)? & STREAM_ID_MASK,
                delta: number(&mut payload)? & STREAM_ID_MASK,
            },
            _ => Frame::Unknown,
        })
    }
}

fn settings(mut payload: &[u8]) -> Result<Frame, Error> {
    let count = number(&mut payload)? as usize;
    if payload.len() / 8 < count {
        return Err(short());
    }
    let mut initial_window = None;
    for _ in 0..count {
        let (id, value) = (number(&mut payload)? & LENGTH_MASK, number(&mut payload)?);
        if id == SETTING_INITIAL_WINDOW {
            initial_window = Some(value & STREAM_ID_MASK);
        }
    }
    Ok(Frame::Settings { initial_window })
}

fn number(payload: &mut &[u8]) -> Result<u32, Error> {
    payload.try_get_u32().map_err(|_| short())
}

fn stream(payload: &mut &[u8]) -> Result<u32, Error> {
    match number(payload)? & STREAM_ID_MASK {
        0 => Err(Error::Protocol("a frame of stream 0, which is none".into())),
        id => Ok(id),
    }
}

fn short() -> Error {
    Error::Protocol("a control frame is shorter than its kind".into())
}

#[cfg(test)]
mod tests;
