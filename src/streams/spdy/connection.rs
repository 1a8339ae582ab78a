//! One SPDY connection: what its frames mean for its streams.

use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use base::env;
use bytes::{Buf, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;

use super::frame::{Decoder, Encoder, Frame, PROTOCOL_ERROR, REFUSED_STREAM};
use super::headers::Headers;
use crate::driver::{Driver, Received, Role, Wire};
use crate::error::Error;
use crate::limits::{
    ANSWERS_MAX, CHUNK_BYTES_MAX, READ_BUFFER_BYTES, STREAM_CREATION_TIMEOUT, STREAM_WINDOW_BYTES,
    STREAMS_MAX, WRITE_BUFFER_BYTES,
};
use crate::pipe::{Pipe, Pipes, Reply};

/// Ids have 31 bits; a connection that has used them up opens no more streams.
const STREAM_ID_MAX: u32 = (1 << 31) - 1;

/// Decides by its headers whether a stream of the peer is taken.
pub(crate) type Admit = Box<dyn Fn(&Headers) -> Result<(), String> + Send>;

/// A stream that the peer opened, and that was replied to.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) headers: Headers,
    pub(crate) pipe: Pipe,
}

/// Opens streams. The connection is closed once it and all its streams are dropped.
#[derive(Debug)]
pub(crate) struct Opener {
    pipes: Pipes,
    wanted: Arc<Mutex<Wanted>>,
}

/// Streams to be opened that the driver has not sent yet.
#[derive(Debug)]
struct Wanted {
    next_id: u32,
    streams: VecDeque<(u32, Headers)>,
}

/// SPDY over a connection, as seen by its [`Driver`].
pub(crate) struct Spdy<S> {
    stream: S,
    input: BytesMut,
    output: BytesMut,
    encoder: Encoder,
    decoder: Decoder,
    pipes: Pipes,
    admit: Admit,
    incoming: mpsc::UnboundedSender<Incoming>,
    wanted: Arc<Mutex<Wanted>>,
    /// What the peer's frames call for.
    answers: VecDeque<Frame>,
    /// The highest id of the peer's streams.
    peer_id: u32,
    ping_id: u32,
    /// What a stream of this side may send before the first window update.
    initial_window: i64,
    /// The peer keeps the windows of streams.
    is_windowed: bool,
    /// What may be sent on all streams together; bounds nothing until the peer gave more of it.
    session_window: i64,
    is_session_windowed: bool,
    /// Bytes that arrived on all streams and that the peer was not told of.
    session_credit: usize,
    is_flushed: bool,
}

/// Serves SPDY: the streams that `admit` takes come out of the queue, which holds [`STREAMS_MAX`] at most,
/// because no more can be open.
pub(crate) fn server<S>(stream: S, admit: Admit) -> (Driver<Spdy<S>>, mpsc::UnboundedReceiver<Incoming>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (spdy, incoming) = Spdy::new(stream, Role::Server, admit);
    let pipes = spdy.pipes.clone();
    (Driver::new(spdy, pipes, Role::Server), incoming)
}

/// Speaks SPDY to a server, which opens no streams.
pub(crate) fn client<S>(stream: S) -> (Driver<Spdy<S>>, Opener)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (spdy, _) = Spdy::new(stream, Role::Client, Box::new(|_| Err("servers open no streams".into())));
    spdy.pipes.lock().add_opener();
    let opener = Opener { pipes: spdy.pipes.clone(), wanted: Arc::clone(&spdy.wanted) };
    let pipes = spdy.pipes.clone();
    (Driver::new(spdy, pipes, Role::Client), opener)
}

impl Opener {
    /// Opens a stream and waits until the peer has replied.
    pub(crate) async fn open(&self, headers: Headers) -> Result<Pipe, Error> {
        let pipe = {
            let mut wanted = self.wanted.lock();
            if self.pipes.lock().len() >= STREAMS_MAX || wanted.next_id > STREAM_ID_MAX {
                return Err(Error::StreamRefused);
            }
            let pipe = self.pipes.add(wanted.next_id, Reply::Awaited).ok_or(Error::Closed)?;
            wanted.streams.push_back((pipe.id(), headers));
            wanted.next_id += 2;
            pipe
        };
        self.pipes.lock().wake_driver();
        match env::timeout(STREAM_CREATION_TIMEOUT, self.pipes.replied(pipe.id())).await {
            Ok(true) => Ok(pipe),
            Ok(false) => Err(Error::StreamRefused),
            Err(_) => Err(Error::TimedOut("waiting for the reply to a new stream")),
        }
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        self.pipes.lock().drop_user();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Spdy<S> {
    fn new(stream: S, role: Role, admit: Admit) -> (Self, mpsc::UnboundedReceiver<Incoming>) {
        let (incoming, queue) = mpsc::unbounded_channel();
        let next_id = if role == Role::Client { 1 } else { 2 };
        let spdy = Self {
            stream,
            input: BytesMut::with_capacity(READ_BUFFER_BYTES),
            output: BytesMut::new(),
            encoder: Encoder::new(),
            decoder: Decoder::new(),
            pipes: Pipes::default(),
            admit,
            incoming,
            wanted: Arc::new(Mutex::new(Wanted { next_id, streams: VecDeque::new() })),
            // Nobody needs to be told of the initial window, but who is told knows that windows are kept.
            answers: [Frame::Settings { initial_window: Some(STREAM_WINDOW_BYTES as u32) }].into(),
            peer_id: 0,
            ping_id: next_id,
            initial_window: STREAM_WINDOW_BYTES as i64,
            is_windowed: false,
            session_window: STREAM_WINDOW_BYTES as i64,
            is_session_windowed: false,
            session_credit: 0,
            is_flushed: true,
        };
        (spdy, queue)
    }

    /// Does what a frame of the peer calls for.
    fn take(&mut self, frame: Frame) {
        match frame {
            Frame::SynStream { id, fin, headers } => self.begin(id, fin, headers),
            Frame::SynReply { id, fin, .. } => {
                let mut table = self.pipes.lock();
                table.accepted(id);
                if fin {
                    table.end(id);
                }
            }
            Frame::Headers { id, fin: true, .. } => self.pipes.lock().end(id),
            Frame::Data { id, fin, bytes } => self.data(id, fin, &bytes),
            Frame::RstStream { id, .. } => self.pipes.lock().reset(id),
            Frame::Settings { initial_window: Some(window) } => {
                self.is_windowed = true;
                let change = i64::from(window) - self.initial_window;
                self.initial_window = i64::from(window);
                self.pipes.lock().slots().for_each(|slot| slot.window += change);
            }
            // Each side numbers its own pings by the parity of its streams.
            Frame::Ping { id } if id % 2 != self.ping_id % 2 => self.answers.push_back(Frame::Ping { id }),
            Frame::WindowUpdate { id: 0, delta } => {
                self.is_session_windowed = true;
                self.session_window += i64::from(delta);
            }
            Frame::WindowUpdate { id, delta } => {
                self.is_windowed = true;
                if let Some(slot) = self.pipes.lock().slot(id) {
                    slot.window += i64::from(delta);
                }
            }
            // The peer begins nothing new; what is open goes on until it closes the connection.
            Frame::GoAway { .. } | Frame::Ping { .. } | Frame::Unknown => {}
            Frame::Settings { initial_window: None } | Frame::Headers { .. } => {}
        }
    }

    /// The peer opens a stream.
    fn begin(&mut self, id: u32, fin: bool, headers: Headers) {
        if id % 2 == self.ping_id % 2 || id <= self.peer_id {
            self.answers.push_back(Frame::RstStream { id, status: PROTOCOL_ERROR });
            return;
        }
        self.peer_id = id;
        let refused = match (self.admit)(&headers) {
            Err(why) => Some(why),
            Ok(()) if self.pipes.lock().len() >= STREAMS_MAX => Some(format!("{STREAMS_MAX} are open")),
            Ok(()) => None,
        };
        if let Some(why) = refused {
            tracing::debug!(stream = id, why, "a stream was refused");
            self.answers.push_back(Frame::RstStream { id, status: REFUSED_STREAM });
            return;
        }
        let Some(pipe) = self.pipes.add(id, Reply::Accepted) else { return };
        let mut table = self.pipes.lock();
        if let Some(slot) = table.slot(id) {
            slot.window = self.initial_window;
        }
        if fin {
            table.end(id);
        }
        drop(table);
        self.answers.push_back(Frame::SynReply { id, fin: false, headers: Headers::new() });
        // An error drops the stream: where nobody takes streams any more, the connection is about to end.
        let _ = self.incoming.send(Incoming { headers, pipe });
    }

    fn data(&mut self, id: u32, fin: bool, bytes: &[u8]) {
        // The memory that data may take is bounded by stream; the connection's window is given back at once.
        self.session_credit += bytes.len();
        if self.session_credit >= STREAM_WINDOW_BYTES / 2 {
            let delta = std::mem::take(&mut self.session_credit) as u32;
            self.answers.push_back(Frame::WindowUpdate { id: 0, delta });
        }
        let mut table = self.pipes.lock();
        table.receive(id, bytes);
        if fin {
            table.end(id);
        }
    }

    /// Encodes what is to go out while there is room.
    fn encode(&mut self) -> Result<(), Error> {
        for (id, delta) in self.pipes.lock().take_credits() {
            self.answers.push_back(Frame::WindowUpdate { id, delta });
        }
        while self.output.len() < WRITE_BUFFER_BYTES {
            let Some(frame) = self.next_frame() else { break };
            self.encoder.encode(&frame, &mut self.output)?;
        }
        Ok(())
    }

    fn next_frame(&mut self) -> Option<Frame> {
        if let Some(answer) = self.answers.pop_front() {
            return Some(answer);
        }
        let wanted = self.wanted.lock().streams.pop_front();
        let mut table = self.pipes.lock();
        if let Some((id, headers)) = wanted {
            if let Some(slot) = table.slot(id) {
                slot.window = self.initial_window;
            }
            return Some(Frame::SynStream { id, fin: false, headers });
        }
        let mut bytes_max = CHUNK_BYTES_MAX;
        if self.is_session_windowed {
            bytes_max = bytes_max.min(usize::try_from(self.session_window).unwrap_or(0));
        }
        let piece = table.next_piece(bytes_max, self.is_windowed)?;
        self.session_window -= piece.bytes.len() as i64;
        Some(Frame::Data { id: piece.id, fin: piece.is_last, bytes: piece.bytes })
    }

    /// Whether nothing may be read now.
    fn is_held(&self) -> bool {
        self.answers.len() > ANSWERS_MAX || self.pipes.lock().is_overfull()
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut bytes = [MaybeUninit::uninit(); READ_BUFFER_BYTES];
        let mut buffer = ReadBuf::uninit(&mut bytes);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
        self.input.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire for Spdy<S> {
    fn send(&mut self, context: &mut Context<'_>) -> Result<bool, Error> {
        let mut has_sent = false;
        loop {
            self.encode()?;
            if self.output.is_empty() {
                break;
            }
            match Pin::new(&mut self.stream).poll_write(context, &self.output) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Poll::Ready(count) => self.output.advance(count?),
            }
            has_sent = true;
        }
        // What lies between here and the connection (TLS, WebSocket) may hold bytes back.
        self.is_flushed &= !has_sent;
        if self.output.is_empty() && !self.is_flushed {
            self.is_flushed = Pin::new(&mut self.stream).poll_flush(context)?.is_ready();
        }
        Ok(has_sent)
    }

    fn receive(&mut self, context: &mut Context<'_>) -> Result<Received, Error> {
        let mut received = Received::Nothing;
        loop {
            while !self.is_held() {
                let Some(frame) = self.decoder.decode(&mut self.input)? else { break };
                self.take(frame);
                received = Received::Something;
            }
            if self.is_held() {
                return Ok(received);
            }
            match self.poll_read(context) {
                Poll::Pending => return Ok(received),
                Poll::Ready(Ok(0)) => return Ok(Received::End),
                Poll::Ready(read) => read?,
            };
        }
    }

    fn ping(&mut self) {
        self.answers.push_back(Frame::Ping { id: self.ping_id });
        self.ping_id = if self.ping_id + 2 > STREAM_ID_MAX { self.ping_id % 2 + 2 } else { self.ping_id + 2 };
    }

    fn say_goodbye(&mut self) {
        self.answers.push_back(Frame::GoAway { last_stream: self.peer_id, status: 0 });
    }

    fn is_drained(&self) -> bool {
        self.answers.is_empty() && self.output.is_empty() && self.is_flushed
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
