//! A deadline for writes that make no progress.
//!
//! A peer that stops reading but stays there keeps a write waiting for ever: TCP asks for room again and
//! again and never gives up. Everything that waits to be sent is kept alive meanwhile.
//!
//! # Guarantees
//! - A write that waits for the limit without a single byte taken fails with
//!   [`io::ErrorKind::TimedOut`]; whoever takes a byte in time, however few, may go on.
//! - A stream that nothing is to be written to has no deadline.
//! - A write that is taken at once costs a branch: the timer is made by the first that has to wait, and
//!   used again by the next.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::env;

/// A stream whose writes fail when nothing of them is taken for too long.
#[derive(Debug)]
pub struct StallLimit<S> {
    stream: S,
    limit: Duration,
    /// Runs while `is_stalled`; what it does otherwise means nothing.
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether the last write had to wait.
    is_stalled: bool,
}

impl<S> StallLimit<S> {
    /// Lets writes to `stream` wait for `limit`.
    pub fn new(stream: S, limit: Duration) -> Self {
        Self { stream, limit, timer: None, is_stalled: false }
    }

    /// Passes on how a write went, unless it has waited for too long.
    fn judge(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.is_stalled = false;
            return written;
        }
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(env::sleep(limit)));
        if !std::mem::replace(&mut self.is_stalled, true) {
            timer.as_mut().reset(env::monotonic() + limit);
        }
        timer.as_mut().poll(context).map(|()| {
            let why = format!("the other side has taken nothing for {} s", limit.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, why))
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StallLimit<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StallLimit<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    /// A stream that takes four bytes before the other side reads, and the other side.
    fn stream() -> (StallLimit<DuplexStream>, DuplexStream) {
        let (near, far) = tokio::io::duplex(4);
        (StallLimit::new(near, LIMIT), far)
    }

    #[test]
    fn a_write_that_nobody_takes_fails_after_the_limit() {
        env::simulate(1, async {
            let (mut near, _far) = stream();
            near.write_all(b"four").await.expect("there is room");
            let began = env::monotonic();
            let error = near.write_all(b"more").await.expect_err("nobody reads");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert_eq!(began.elapsed(), LIMIT);
        });
    }

    #[test]
    fn whoever_takes_a_byte_in_time_may_be_slow() {
        env::simulate(1, async {
            let (mut near, mut far) = stream();
            let began = env::monotonic();
            let reader = env::spawn(async move {
                for _ in 0..10 {
                    env::sleep(LIMIT - Duration::from_secs(1)).await;
                    far.read_u8().await.expect("written");
                }
                far
            });
            near.write_all(&[0; 14]).await.expect("slowly");
            assert!(began.elapsed() > 9 * LIMIT, "{:?}", began.elapsed());
            drop(reader.await.expect("ends"));
        });
    }

    #[test]
    fn a_stream_without_a_write_has_no_deadline() {
        env::simulate(1, async {
            let (mut near, mut far) = stream();
            let mut taken = [0; 5];
            // The fifth byte waits, so that the timer is there and fires while nothing is written.
            let (written, read) = tokio::join!(near.write_all(b"fives"), async {
                env::sleep(LIMIT / 2).await;
                far.read_exact(&mut taken).await
            });
            assert!(written.is_ok() && read.is_ok());
            env::sleep(100 * LIMIT).await;
            near.write_all(b"four").await.expect("there is room");
            let began = env::monotonic();
            near.write_all(b"more").await.expect_err("nobody reads");
            assert_eq!(began.elapsed(), LIMIT, "a deadline of its own");
        });
    }
}
