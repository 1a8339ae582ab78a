//! The buffers of all streams of one connection.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::ReadBuf;

use crate::limits::{SEND_BUFFER_BYTES, STREAM_WINDOW_BYTES};

/// Bytes read of a stream after which its peer is told of the room.
const CREDIT_BYTES: usize = STREAM_WINDOW_BYTES / 2;

/// What the pipes and the driver of one connection share.
#[derive(Debug, Default)]
pub(crate) struct Table {
    slots: BTreeMap<u32, Slot>,
    /// Streams that hold more than their window.
    overfull: BTreeSet<u32>,
    /// Streams of which bytes were read since the driver looked last.
    read: BTreeSet<u32>,
    /// Where the last bytes to send came from: the next come from the stream after it.
    sent_last: u32,
    driver: Option<Waker>,
    /// Halves of pipes, and openers, that somebody holds.
    users: usize,
    /// The connection is of no use once nobody holds a part of it.
    closes_unused: bool,
    /// Whoever uses the pipes is done with the connection.
    is_closing: bool,
    /// The driver is gone.
    is_closed: bool,
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Slot {
    received: BytesMut,
    incoming: Incoming,
    /// Bytes read, or thrown away, that the peer was not told of.
    consumed_bytes: usize,
    has_reader: bool,
    reader: Option<Waker>,
    to_send: BytesMut,
    outgoing: Outgoing,
    writer: Option<Waker>,
    /// Bytes the peer has room for, where it says so.
    pub(crate) window: i64,
    /// Whether the peer knows of the stream.
    pub(crate) reply: Reply,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Incoming {
    Open,
    Ended,
    Reset,
}

/// How far the end of what is sent has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outgoing {
    Open,
    /// The end is wanted, after what still waits.
    Ending,
    Ended,
}

/// What the peer said to a stream that was opened here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Awaited,
    Accepted,
}

/// Something of one stream that is to go out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) id: u32,
    pub(crate) bytes: Bytes,
    /// Nothing follows.
    pub(crate) is_last: bool,
}

impl Slot {
    fn new(reply: Reply) -> Self {
        Self {
            received: BytesMut::new(),
            incoming: Incoming::Open,
            consumed_bytes: 0,
            has_reader: true,
            reader: None,
            to_send: BytesMut::new(),
            outgoing: Outgoing::Open,
            writer: None,
            window: STREAM_WINDOW_BYTES as i64,
            reply,
        }
    }

    fn wake_reader(&mut self) {
        self.reader.take().into_iter().for_each(Waker::wake);
    }

    fn wake_writer(&mut self) {
        self.writer.take().into_iter().for_each(Waker::wake);
    }

    /// Whether neither side has a use for it.
    fn is_over(&self) -> bool {
        self.incoming != Incoming::Open && !self.has_reader && self.outgoing == Outgoing::Ended
    }
}

/// The driver's side.
impl Table {
    /// Notes whom to wake, and tells whether the connection is to be closed.
    pub(crate) fn register(&mut self, driver: &Waker) -> bool {
        if !self.driver.as_ref().is_some_and(|known| known.will_wake(driver)) {
            self.driver = Some(driver.clone());
        }
        self.is_closing
    }

    pub(crate) fn wake_driver(&mut self) {
        self.driver.take().into_iter().for_each(Waker::wake);
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn slot(&mut self, id: u32) -> Option<&mut Slot> {
        self.slots.get_mut(&id)
    }

    pub(crate) fn slots(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.slots.values_mut()
    }

    /// Whether some stream holds more than its window, so that nothing may be read from the connection.
    pub(crate) fn is_overfull(&self) -> bool {
        !self.overfull.is_empty()
    }

    /// What the peer sent; thrown away where nobody reads.
    pub(crate) fn receive(&mut self, id: u32, bytes: &[u8]) {
        let Some(slot) = self.slots.get_mut(&id).filter(|slot| slot.incoming == Incoming::Open) else {
            return;
        };
        if bytes.is_empty() {
            return;
        }
        if !slot.has_reader {
            slot.consumed_bytes += bytes.len();
            self.read.insert(id);
            return;
        }
        slot.received.extend_from_slice(bytes);
        if slot.received.len() > STREAM_WINDOW_BYTES {
            self.overfull.insert(id);
        }
        slot.wake_reader();
    }

    /// The peer half-closed a stream.
    pub(crate) fn end(&mut self, id: u32) {
        self.finish_incoming(id, Incoming::Ended);
    }

    /// The peer gave a stream up: nothing goes out on it any more.
    pub(crate) fn reset(&mut self, id: u32) {
        self.finish_incoming(id, Incoming::Reset);
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.to_send.clear();
            slot.outgoing = Outgoing::Ended;
            slot.wake_writer();
        }
        self.forget_if_over(id);
    }

    fn finish_incoming(&mut self, id: u32, how: Incoming) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.incoming = how;
        slot.wake_reader();
        slot.wake_writer();
        self.forget_if_over(id);
    }

    pub(crate) fn accepted(&mut self, id: u32) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.reply = Reply::Accepted;
            slot.wake_reader();
        }
    }

    /// The next bytes to send, at most `bytes_max`, or the end of a stream, each stream in its turn. Where
    /// `is_windowed`, no more than the peer has room for.
    pub(crate) fn next_piece(&mut self, bytes_max: usize, is_windowed: bool) -> Option<Piece> {
        let after = self.sent_last.saturating_add(1);
        let ready = |(id, slot): (&u32, &Slot)| {
            let has_bytes = !slot.to_send.is_empty() && bytes_max > 0 && (!is_windowed || slot.window > 0);
            (has_bytes || (slot.to_send.is_empty() && slot.outgoing == Outgoing::Ending)).then_some(*id)
        };
        let next = self.slots.range(after..).find_map(ready);
        let id = next.or_else(|| self.slots.range(..after).find_map(ready))?;
        self.sent_last = id;
        let slot = self.slots.get_mut(&id)?;
        let mut count = slot.to_send.len().min(bytes_max);
        if is_windowed && count > 0 {
            count = count.min(usize::try_from(slot.window).unwrap_or(0));
        }
        let bytes = slot.to_send.split_to(count).freeze();
        slot.window -= count as i64;
        let is_last = slot.to_send.is_empty() && slot.outgoing == Outgoing::Ending;
        if is_last {
            slot.outgoing = Outgoing::Ended;
        }
        slot.wake_writer();
        self.forget_if_over(id);
        Some(Piece { id, bytes, is_last })
    }

    /// Whether bytes or ends wait to be sent.
    pub(crate) fn has_to_send(&self) -> bool {
        self.slots.values().any(|slot| !slot.to_send.is_empty() || slot.outgoing == Outgoing::Ending)
    }

    /// Streams of which at least half a window was read since it was told, and how much.
    pub(crate) fn take_credits(&mut self) -> Vec<(u32, u32)> {
        let mut credits = Vec::new();
        for id in std::mem::take(&mut self.read) {
            let Some(slot) = self.slots.get_mut(&id) else { continue };
            if slot.consumed_bytes >= CREDIT_BYTES && slot.incoming == Incoming::Open {
                let credit = u32::try_from(std::mem::take(&mut slot.consumed_bytes)).unwrap_or(u32::MAX);
                credits.push((id, credit));
            }
        }
        credits
    }

    /// Half-closes every stream after what was written, whoever still holds it, and reads for nobody.
    pub(crate) fn end_all(&mut self) {
        for slot in self.slots.values_mut() {
            slot.has_reader = false;
            slot.received = BytesMut::new();
            if slot.outgoing == Outgoing::Open {
                slot.outgoing = Outgoing::Ending;
            }
            slot.wake_writer();
            slot.wake_reader();
        }
        self.overfull.clear();
    }

    /// The connection has ended: what arrived can be read, nothing can be written. Where the end was not
    /// in order, streams that were open count as reset.
    pub(crate) fn close(&mut self, in_order: bool) {
        self.is_closed = true;
        for slot in self.slots.values_mut() {
            if slot.incoming == Incoming::Open {
                slot.incoming = if in_order { Incoming::Ended } else { Incoming::Reset };
            }
            slot.outgoing = Outgoing::Ended;
            slot.to_send.clear();
            slot.wake_reader();
            slot.wake_writer();
        }
    }

    fn forget_if_over(&mut self, id: u32) {
        if self.slots.get(&id).is_some_and(Slot::is_over) {
            self.slots.remove(&id);
            self.overfull.remove(&id);
        }
    }

    /// Bytes that wait in either direction.
    #[cfg(test)]
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.slots.values().map(|slot| slot.received.len() + slot.to_send.len()).sum()
    }
}

/// The side of whoever uses the streams.
impl Table {
    pub(super) fn add(&mut self, id: u32, reply: Reply) -> bool {
        if self.is_closed || self.slots.contains_key(&id) {
            return false;
        }
        self.slots.insert(id, Slot::new(reply));
        self.users += 2;
        true
    }

    /// Enters somebody who opens streams.
    pub(crate) fn add_opener(&mut self) {
        self.users += 1;
    }

    /// Somebody let go of a half, or opens no more streams.
    pub(crate) fn drop_user(&mut self) {
        self.users -= 1;
        if self.users == 0 && self.closes_unused {
            self.ask_to_close();
        }
    }

    /// Closes the connection once nobody holds a part of it.
    pub(crate) fn close_unused(&mut self) {
        self.closes_unused = true;
    }

    /// The peer's word on a stream that was opened here.
    pub(super) fn poll_replied(&mut self, id: u32, context: &mut Context<'_>) -> Poll<bool> {
        let is_closed = self.is_closed;
        match self.slots.get_mut(&id) {
            // A short exchange may be over before anybody looks: what it brought can be read.
            Some(Slot { reply: Reply::Accepted, .. }) => Poll::Ready(true),
            Some(slot) if slot.incoming == Incoming::Reset || is_closed => Poll::Ready(false),
            Some(slot) => {
                slot.reader = Some(context.waker().clone());
                Poll::Pending
            }
            None => Poll::Ready(false),
        }
    }

    pub(super) fn ask_to_close(&mut self) {
        self.is_closing = true;
        self.wake_driver();
    }

    pub(super) fn poll_read(
        &mut self,
        id: u32,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(slot) = self.slots.get_mut(&id) else { return Poll::Ready(Ok(())) };
        if slot.received.is_empty() {
            return match slot.incoming {
                Incoming::Ended => Poll::Ready(Ok(())),
                Incoming::Reset => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                Incoming::Open if !slot.has_reader => Poll::Ready(Ok(())),
                Incoming::Open => {
                    slot.reader = Some(context.waker().clone());
                    Poll::Pending
                }
            };
        }
        let count = slot.received.len().min(buffer.remaining());
        buffer.put_slice(&slot.received[..count]);
        slot.received.advance(count);
        slot.consumed_bytes += count;
        // One large message leaves no large buffer behind.
        if slot.received.is_empty() && slot.received.capacity() > STREAM_WINDOW_BYTES {
            slot.received = BytesMut::new();
        }
        let has_room = slot.received.len() <= STREAM_WINDOW_BYTES;
        let is_much = slot.consumed_bytes >= CREDIT_BYTES;
        let was_overfull = has_room && self.overfull.remove(&id);
        if is_much {
            self.read.insert(id);
        }
        if was_overfull || is_much {
            self.wake_driver();
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_write(
        &mut self,
        id: u32,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let slot = self.slots.get_mut(&id).filter(|slot| slot.outgoing == Outgoing::Open);
        let Some(slot) = slot else { return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())) };
        let count = bytes.len().min(SEND_BUFFER_BYTES.saturating_sub(slot.to_send.len()));
        if count == 0 && !bytes.is_empty() {
            slot.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        slot.to_send.extend_from_slice(&bytes[..count]);
        self.wake_driver();
        Poll::Ready(Ok(count))
    }

    /// Half-closes a stream after what was written.
    pub(super) fn end_outgoing(&mut self, id: u32) {
        if let Some(slot) = self.slots.get_mut(&id).filter(|slot| slot.outgoing == Outgoing::Open) {
            slot.outgoing = Outgoing::Ending;
            self.wake_driver();
        }
    }

    /// Nobody reads a stream any more: what comes is thrown away.
    pub(super) fn drop_reader(&mut self, id: u32) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.has_reader = false;
        slot.consumed_bytes += std::mem::take(&mut slot.received).len();
        self.overfull.remove(&id);
        self.read.insert(id);
        self.forget_if_over(id);
        self.wake_driver();
    }
}
