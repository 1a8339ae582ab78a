//! What moves the bytes of one connection between its pipes and the wire, whatever the wire speaks.
//!
//! # Flow
//! [`Driver`] is a future that whoever serves the connection polls beside his own work. It sends what the
//! pipes hold, reads what arrives, and waits when neither moves. Asked to close, it half-closes every
//! stream, sends what is left, says goodbye, and reads on until the peer has gone as well.
//!
//! # Guarantees
//! - Nothing is read from the connection while a stream holds more than its window.
//! - What was written before the close is sent, however slowly it is taken, unless the peer goes or the
//!   connection stands still for [`IDLE_TIMEOUT`].

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base::env;
use tokio::time::{Interval, MissedTickBehavior, Sleep};

use crate::error::Error;
use crate::limits::{IDLE_TIMEOUT, LINGER_TIMEOUT, PING_PERIOD};
use crate::pipe::Pipes;

/// Which end of a connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Opens streams, and pings.
    Client,
    /// Is asked.
    Server,
}

/// What reading from a wire brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// Nothing yet; the task is woken when there is.
    Nothing,
    /// Something, and there may be more.
    Something,
    /// The peer's end.
    End,
}

/// A protocol over a connection, as steps that never wait.
pub(crate) trait Wire {
    /// Encodes what the pipes hold, as far as there is room, and gives the connection what it takes. Tells
    /// whether any of it moved.
    fn send(&mut self, context: &mut Context<'_>) -> Result<bool, Error>;
    /// Gives the pipes what arrived.
    fn receive(&mut self, context: &mut Context<'_>) -> Result<Received, Error>;
    /// Shows the peer that this side is there.
    fn ping(&mut self);
    /// Tells the peer that nothing follows.
    fn say_goodbye(&mut self);
    /// Whether the connection has taken everything.
    fn is_drained(&self) -> bool;
    /// Ends the connection's own sending direction.
    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// How far the connection has come.
#[derive(Debug)]
enum Phase {
    Running,
    /// Asked to close: what the pipes hold is still sent.
    Draining,
    /// The goodbye is on its way.
    Parting,
    /// Everything is sent; the peer is read until its end.
    Lingering(Pin<Box<Sleep>>),
}

/// Drives one connection; resolves when it is over. Dropping it cuts the connection.
pub(crate) struct Driver<W> {
    wire: W,
    pipes: Pipes,
    phase: Phase,
    idle: Pin<Box<Sleep>>,
    pings: Option<Interval>,
}

impl<W: Wire> Driver<W> {
    pub(crate) fn new(wire: W, pipes: Pipes, role: Role) -> Self {
        if role == Role::Client {
            pipes.lock().close_unused();
        }
        let pings = (role == Role::Client).then(|| {
            let mut pings = env::interval(PING_PERIOD);
            pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
            pings.reset();
            pings
        });
        Self { wire, pipes, phase: Phase::Running, idle: Box::pin(env::sleep(IDLE_TIMEOUT)), pings }
    }

    /// Runs `work` while driving the connection; fails when the connection ends first.
    pub(crate) async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Error> {
        tokio::select! {
            biased;
            ended = &mut *self => Err(ended.err().unwrap_or(Error::Closed)),
            value = work => Ok(value),
        }
    }

    /// Waits until all that was written is on its way; fails when the connection ends first.
    pub(crate) async fn drained(&mut self) -> Result<(), Error> {
        std::future::poll_fn(|context| {
            if let Poll::Ready(ended) = Pin::new(&mut *self).poll(context) {
                return Poll::Ready(Err(ended.err().unwrap_or(Error::Closed)));
            }
            let is_drained = !self.pipes.lock().has_to_send() && self.wire.is_drained();
            if is_drained { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }

    /// Ends the connection after all that was written.
    pub(crate) async fn close(self) -> Result<(), Error> {
        self.pipes.close();
        self.await
    }

    fn poll_phases(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            self.poll_pings(context);
            let is_closing = self.pipes.lock().register(context.waker());
            if is_closing && matches!(self.phase, Phase::Running) {
                self.pipes.lock().end_all();
                self.phase = Phase::Draining;
            }
            // Reading first: a peer that has gone is an end, not an error of the write that finds out.
            let received = self.wire.receive(context)?;
            if received == Received::End {
                return Poll::Ready(Ok(()));
            }
            // Whose own direction has ended cannot answer any more.
            let has_sent = !matches!(self.phase, Phase::Lingering(_)) && self.wire.send(context)?;
            match &mut self.phase {
                Phase::Draining if !self.pipes.lock().has_to_send() && self.wire.is_drained() => {
                    self.wire.say_goodbye();
                    self.phase = Phase::Parting;
                    continue;
                }
                Phase::Parting if self.wire.is_drained() => {
                    if self.wire.poll_shutdown(context)?.is_ready() {
                        self.phase = Phase::Lingering(Box::pin(env::sleep(LINGER_TIMEOUT)));
                        continue;
                    }
                }
                Phase::Lingering(deadline) => {
                    if deadline.as_mut().poll(context).is_ready() {
                        return Poll::Ready(Ok(()));
                    }
                }
                Phase::Running | Phase::Draining | Phase::Parting => {}
            }
            if received == Received::Something || has_sent {
                self.idle.as_mut().reset(env::monotonic() + IDLE_TIMEOUT);
                continue;
            }
            ready!(self.idle.as_mut().poll(context));
            return Poll::Ready(Err(Error::TimedOut("waiting for anything to move on the connection")));
        }
    }

    fn poll_pings(&mut self, context: &mut Context<'_>) {
        let Some(pings) = &mut self.pings else { return };
        while pings.poll_tick(context).is_ready() {
            if matches!(self.phase, Phase::Running | Phase::Draining) {
                self.wire.ping();
            }
        }
    }

    /// Whether an error is only the form in which a peer went that had been told goodbye.
    fn is_parted(&self) -> bool {
        matches!(self.phase, Phase::Parting | Phase::Lingering(_))
    }
}

impl<W: Wire> Future for Driver<W> {
    type Output = Result<(), Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let ended = match ready!(this.poll_phases(context)) {
            Err(error) if this.is_parted() => {
                tracing::debug!(%error, "a closed connection ended with an error");
                Ok(())
            }
            ended => ended,
        };
        this.pipes.lock().close(ended.is_ok());
        Poll::Ready(ended)
    }
}

impl<W> Unpin for Driver<W> {}

impl<W> Drop for Driver<W> {
    fn drop(&mut self) {
        self.pipes.lock().close(false);
    }
}
