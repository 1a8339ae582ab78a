//! A connection inside the binary messages of a WebSocket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message};

use crate::driver::Role;
use crate::limits::CHUNK_BYTES_MAX;

/// Bytes over WebSocket; where messages begin and end means nothing.
pub(crate) struct Tunnel<S> {
    socket: WebSocketStream<S>,
    /// Of the message that is being read.
    rest: Bytes,
    has_said_goodbye: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Tunnel<S> {
    pub(crate) async fn begin(stream: S, role: Role) -> Self {
        Self { socket: super::over(stream, role).await, rest: Bytes::new(), has_said_goodbye: false }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Tunnel<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_next(context)) {
                None | Some(Err(WebSocketError::ConnectionClosed)) => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(as_io(error))),
                Some(Ok(Message::Binary(bytes))) => self.rest = bytes,
                Some(Ok(Message::Text(_))) => {
                    let why = "a text message where the bytes of a connection come as binary ones";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
                }
                Some(Ok(_)) => {}
            }
        }
        let count = self.rest.len().min(buffer.remaining());
        buffer.put_slice(&self.rest[..count]);
        self.rest.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Tunnel<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.socket).poll_ready(context)).map_err(as_io)?;
        let count = bytes.len().min(CHUNK_BYTES_MAX);
        let message = Message::Binary(Bytes::copy_from_slice(&bytes[..count]));
        Pin::new(&mut self.socket).start_send(message).map_err(as_io)?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context).map_err(as_io)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.has_said_goodbye {
            ready!(Pin::new(&mut self.socket).poll_ready(context)).map_err(as_io)?;
            Pin::new(&mut self.socket).start_send(Message::Close(Some(super::goodbye()))).map_err(as_io)?;
            self.has_said_goodbye = true;
        }
        match ready!(Pin::new(&mut self.socket).poll_flush(context)) {
            Err(WebSocketError::ConnectionClosed) => Poll::Ready(Ok(())),
            flushed => Poll::Ready(flushed.map_err(as_io)),
        }
    }
}

fn as_io(error: WebSocketError) -> io::Error {
    match error {
        WebSocketError::Io(error) => error,
        other => io::Error::other(other),
    }
}
