//! The two ends of a stream, and the table in which they meet the one who moves their bytes.
//!
//! # Flow
//! Whoever uses a stream holds a [`Pipe`], or its halves. They read and write buffers of the stream's slot
//! in a table that all pipes of a connection share; the connection's driver fills the one kind and empties
//! the other. Each side wakes the other when there is something to do.
//!
//! # Guarantees
//! - Whoever writes waits once [`crate::limits::SEND_BUFFER_BYTES`] of his are not on their way.
//! - A dropped writer half-closes its stream after what it wrote; a dropped reader lets the rest come and
//!   go. Neither resets the stream: clients report a reset as a failure.
//! - Bytes that arrived can be read after the connection has ended.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::{Mutex, MutexGuard};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) use table::{Reply, Table};

mod table;

/// One stream: what is written goes to the peer, what the peer writes is read.
#[derive(Debug)]
pub struct Pipe {
    reader: PipeReader,
    writer: PipeWriter,
}

/// The half of a stream that reads. Ends when the peer half-closes it; a reset is
/// [`io::ErrorKind::ConnectionReset`].
#[derive(Debug)]
pub struct PipeReader(Handle);

/// The half of a stream that writes. Shutting down or dropping it half-closes the stream.
#[derive(Debug)]
pub struct PipeWriter(Handle);

#[derive(Debug)]
struct Handle {
    pipes: Pipes,
    id: u32,
}

/// All streams of one connection; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pipes(Arc<Mutex<Table>>);

impl Pipes {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock()
    }

    /// Enters a stream. `None` when the connection has ended, or the id is taken.
    pub(crate) fn add(&self, id: u32, reply: Reply) -> Option<Pipe> {
        if !self.lock().add(id, reply) {
            return None;
        }
        let handle = || Handle { pipes: self.clone(), id };
        Some(Pipe { reader: PipeReader(handle()), writer: PipeWriter(handle()) })
    }

    /// Waits for the peer's word on a stream that was opened here. Cancel-safe.
    pub(crate) async fn replied(&self, id: u32) -> bool {
        std::future::poll_fn(|context| self.lock().poll_replied(id, context)).await
    }

    /// Ends the connection after what was written so far.
    pub(crate) fn close(&self) {
        self.lock().ask_to_close();
    }
}

impl Pipe {
    /// The two halves.
    pub fn into_split(self) -> (PipeReader, PipeWriter) {
        (self.reader, self.writer)
    }

    pub(crate) fn id(&self) -> u32 {
        self.reader.0.id
    }
}

impl AsyncRead for PipeReader {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.pipes.lock().poll_read(self.0.id, context, buffer)
    }
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        let mut table = self.0.pipes.lock();
        table.drop_reader(self.0.id);
        table.drop_user();
    }
}

impl AsyncWrite for PipeWriter {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.pipes.lock().poll_write(self.0.id, context, bytes)
    }

    /// Nothing is held back: the driver sends what there is as soon as the connection takes it.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.pipes.lock().end_outgoing(self.0.id);
        Poll::Ready(Ok(()))
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        let mut table = self.0.pipes.lock();
        table.end_outgoing(self.0.id);
        table.drop_user();
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(context, buffer)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(context)
    }
}
