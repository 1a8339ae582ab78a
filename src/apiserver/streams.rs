//! A deadline for HTTP/2 streams that their client does not read.
//!
//! Flow control is each stream's own: a client may read all others and answer every ping, so that no write
//! of the connection waits, and leave an answer here for ever, with all that it shows.
//!
//! # Flow
//! Each stream is a task: it asks the body for bytes, then waits until the client gives room for them.
//! [`Told`] notes in the task whether the body had any, so that [`watched`] can tell a client that does not
//! read from a watch that has nothing to say.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use base::env;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::time::Sleep;

use crate::limits::{SEND_BUFFER_BYTES, WRITE_STALL_MAX};

/// What the body of a stream's answer did when it was asked last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// There is none yet, or it waits for something to tell.
    Idle,
    /// It gave bytes.
    Gave,
    /// It gave bytes, and was not asked since the stream's task waits.
    Held,
}

tokio::task_local! {
    static ANSWER: Cell<Answer>;
}

/// Runs the streams of HTTP/2 connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Streams;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        env::spawn(ANSWER.scope(Cell::new(Answer::Idle), watched(stream)));
    }
}

/// Runs a stream to its end, or until its client has taken nothing for [`WRITE_STALL_MAX`]. A stream that
/// is dropped is reset; its connection goes on.
async fn watched(stream: impl Future<Output = ()>) {
    let mut stream = pin!(stream);
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|context| {
        if stream.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        match ANSWER.with(Cell::get) {
            Answer::Idle => return Poll::Pending,
            Answer::Gave => {
                ANSWER.with(|answer| answer.set(Answer::Held));
                let timer = timer.get_or_insert_with(|| Box::pin(env::sleep(WRITE_STALL_MAX)));
                timer.as_mut().reset(env::monotonic() + WRITE_STALL_MAX);
            }
            Answer::Held => {}
        }
        let Some(timer) = &mut timer else { return Poll::Pending };
        ready!(timer.as_mut().poll(context));
        tracing::debug!("a stream was reset: its client takes nothing of the answer");
        Poll::Ready(())
    })
    .await;
}

/// A body that notes in its stream's task what it did. There it also gives no more than
/// [`SEND_BUFFER_BYTES`] at a time: what was given is out of reach of the deadline.
pub(crate) struct Told<B> {
    body: B,
    /// Given by the body, and not yet from here.
    rest: Bytes,
}

impl<B> Told<B> {
    pub(crate) fn new(body: B) -> Self {
        Self { body, rest: Bytes::new() }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Told<B> {
    fn give(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)).transpose()? {
                Some(frame) => match frame.into_data() {
                    Ok(bytes) if bytes.len() > SEND_BUFFER_BYTES => self.rest = bytes,
                    Ok(bytes) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                None => return Poll::Ready(None),
            }
        }
        let piece = self.rest.split_to(self.rest.len().min(SEND_BUFFER_BYTES));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Told<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        // HTTP/1 has no task per answer; its connection has the deadline.
        if ANSWER.try_with(|_| ()).is_err() {
            return Pin::new(&mut self.body).poll_frame(context);
        }
        let given = self.give(context);
        let did = if matches!(given, Poll::Ready(Some(_))) { Answer::Gave } else { Answer::Idle };
        ANSWER.with(|answer| answer.set(did));
        given
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let mut hint = self.body.size_hint();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}
