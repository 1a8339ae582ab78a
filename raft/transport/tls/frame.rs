//! Frames on a connection.
//!
//! ```text
//! length u32 LE of what follows | request number u64 LE | status u8 | body
//! ```
//! The status of a request is 0; of an answer 0, or 1 when the body is a reason why there is none.

use std::io;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::limits::{FRAME_BYTES_MAX, REQUEST_BYTES_PER_CONNECTION_MAX, REQUESTS_PER_CONNECTION_MAX};

/// Number and status.
const HEAD_BYTES: usize = 9;

/// Bytes gathered before they are given to TLS.
const WRITE_BUFFER_BYTES: usize = 64 << 10;

/// A request, or an answer to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) number: u64,
    pub(super) is_refused: bool,
    pub(super) body: Bytes,
}

/// A part of the bytes that the requests of one connection may hold.
pub(super) type Room = OwnedSemaphorePermit;

/// Frames on their way out, each with the room of its request: given back when the frame leaves.
pub(super) type Outgoing = mpsc::Receiver<(Frame, Room)>;

/// Where what leaves on a connection waits, bounded in requests and in their bytes.
#[derive(Clone)]
pub(super) struct Outbox {
    frames: mpsc::Sender<(Frame, Room)>,
    room: Arc<Semaphore>,
}

/// An outbox, and its other end for [`write_all`].
pub(super) fn outbox() -> (Outbox, Outgoing) {
    let (frames, outgoing) = mpsc::channel(REQUESTS_PER_CONNECTION_MAX);
    let room = Arc::new(Semaphore::new(REQUEST_BYTES_PER_CONNECTION_MAX));
    (Outbox { frames, room }, outgoing)
}

impl Outbox {
    /// Waits for room for a request of `size_bytes`, which a frame never lacks for good. Cancel-safe.
    pub(super) async fn room(&self, size_bytes: usize) -> Room {
        let share = size_bytes.min(FRAME_BYTES_MAX) as u32;
        let room = Arc::clone(&self.room).acquire_many_owned(share).await;
        room.expect("the semaphore is never closed")
    }

    /// Sends a request, or the answer to one; `false` when the connection has ended.
    pub(super) async fn send(&self, frame: Frame, room: Room) -> bool {
        self.frames.send((frame, room)).await.is_ok()
    }
}

/// The next frame; `None` at a proper end.
pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_le_bytes(length) as usize;
    if !(HEAD_BYTES..=HEAD_BYTES + FRAME_BYTES_MAX).contains(&length) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
    }
    let mut bytes = BytesMut::with_capacity(length);
    let mut limited = from.take(length as u64);
    while bytes.len() < length {
        if limited.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let mut bytes = bytes.freeze();
    let number = bytes.get_u64_le();
    let is_refused = match bytes.get_u8() {
        0 => false,
        1 => true,
        status => {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame with status {status}")));
        }
    };
    Ok(Some(Frame { number, is_refused, body: bytes }))
}

/// Writes frames until the channel closes; those that wait together leave together.
pub(super) async fn write_all(to: &mut (impl AsyncWrite + Unpin), frames: &mut Outgoing) -> io::Result<()> {
    let mut buffer = BytesMut::with_capacity(WRITE_BUFFER_BYTES);
    while let Some((frame, room)) = frames.recv().await {
        put(&mut buffer, &frame);
        drop((frame, room));
        // Whoever woke with the first frame's sender may have one too; a system call costs more than that.
        tokio::task::yield_now().await;
        while buffer.len() < WRITE_BUFFER_BYTES
            && let Ok((frame, _room)) = frames.try_recv()
        {
            put(&mut buffer, &frame);
        }
        to.write_all(&buffer).await?;
        to.flush().await?;
        buffer.clear();
        if buffer.capacity() > 4 * WRITE_BUFFER_BYTES {
            // One large frame must not keep its memory for the life of the connection.
            buffer = BytesMut::with_capacity(WRITE_BUFFER_BYTES);
        }
    }
    to.shutdown().await
}

fn put(buffer: &mut BytesMut, frame: &Frame) {
    buffer.put_u32_le((HEAD_BYTES + frame.body.len()) as u32);
    buffer.put_u64_le(frame.number);
    buffer.put_u8(u8::from(frame.is_refused));
    buffer.put_slice(&frame.body);
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::codec::hex;

    fn frame() -> Frame {
        Frame { number: 258, is_refused: true, body: Bytes::from_static(b"why") }
    }

    #[test]
    fn bytes_of_a_frame_never_change() {
        let mut bytes = BytesMut::new();
        put(&mut bytes, &frame());
        assert_eq!(hex(&bytes), "0c000000020100000000000001776879");
    }

    #[tokio::test]
    async fn frames_that_wait_to_leave_are_bounded_in_bytes() {
        let (outbox, mut outgoing) = outbox();
        let body = Bytes::from(vec![7; FRAME_BYTES_MAX]);
        let whole = || Frame { number: 1, is_refused: false, body: body.clone() };
        for _ in 0..REQUEST_BYTES_PER_CONNECTION_MAX / FRAME_BYTES_MAX {
            let room = outbox.room(FRAME_BYTES_MAX).now_or_never().expect("there is room");
            assert!(outbox.send(whole(), room).await);
        }
        assert!(outbox.room(1).now_or_never().is_none(), "the next one waits");
        let mut written = Vec::new();
        let mut writing = Box::pin(write_all(&mut written, &mut outgoing));
        let room = tokio::select! {
            biased;
            ended = &mut writing => panic!("{ended:?}"),
            room = outbox.room(FRAME_BYTES_MAX) => room,
        };
        drop(writing);
        drop(outgoing);
        assert!(!outbox.send(whole(), room).await, "the connection has ended");
        assert_eq!(outbox.room.available_permits(), REQUEST_BYTES_PER_CONNECTION_MAX, "and keeps nothing");
    }

    #[tokio::test]
    async fn what_is_not_a_frame_is_refused() {
        let mut whole = BytesMut::new();
        put(&mut whole, &frame());
        assert_eq!(read(&mut &whole[..]).await.expect("whole"), Some(frame()));
        assert_eq!(read(&mut &whole[..0]).await.expect("a proper end"), None);
        for cut in 4..whole.len() {
            assert!(read(&mut &whole[..cut]).await.is_err(), "cut at {cut}");
        }
        for length in [0, 8, (HEAD_BYTES + FRAME_BYTES_MAX + 1) as u32, u32::MAX] {
            whole[..4].copy_from_slice(&length.to_le_bytes());
            assert!(read(&mut &whole[..]).await.is_err(), "length {length}");
        }
    }
}
