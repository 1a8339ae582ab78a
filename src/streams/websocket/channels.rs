//! Messages that each belong to a channel, by their first byte.
//!
//! The protocols that end in `channel.k8s.io` differ only in this file: whether the payload is base64 in
//! text, and whether a channel can be half-closed, which is a message of 255 and the channel's number.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use futures::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message};

use crate::driver::{Driver, Received, Role, Wire};
use crate::error::Error;
use crate::limits::CHUNK_BYTES_MAX;
use crate::pipe::{Pipe, Pipes, Reply};

/// Begins a message that half-closes the channel in its second byte.
const CLOSE_SIGNAL: u8 = 255;
/// The channels on which a client writes: its input and the size of its terminal.
const FROM_CLIENT: [u32; 2] = [0, 4];

/// What a payload looks like in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    /// As it is.
    Binary,
    /// As text in base64; the channel is a digit before it.
    Base64,
}

/// Which channel a message is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// The one in its first byte.
    Channels {
        /// Whether channels can be half-closed.
        has_close_signal: bool,
    },
    /// There is only channel 0, and its number is left out.
    Bare,
}

/// Channels over WebSocket, as seen by their [`Driver`].
pub(crate) struct Channels<S> {
    socket: WebSocketStream<S>,
    role: Role,
    codec: Codec,
    framing: Framing,
    pipes: Pipes,
    /// Messages that are no payload of a pipe.
    ahead: VecDeque<Message>,
    is_flushed: bool,
    /// The peer has said goodbye.
    has_ended: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Channels<S> {
    /// Begins with as many channels as named, in order of their numbers; what comes on others is ignored.
    /// An empty message on the channel `greeting` comes first: clients take it for the sign that the
    /// streams are there.
    pub(crate) async fn begin(
        stream: S,
        role: Role,
        (codec, framing): (Codec, Framing),
        count: u32,
        greeting: Option<u32>,
    ) -> (Driver<Self>, Vec<Pipe>) {
        let pipes = Pipes::default();
        let channels = (0..count).filter_map(|channel| pipes.add(channel, Reply::Accepted)).collect();
        let socket = super::over(stream, role).await;
        let (ahead, is_flushed, has_ended) = (VecDeque::new(), true, false);
        let mut wire =
            Self { socket, role, codec, framing, pipes: pipes.clone(), ahead, is_flushed, has_ended };
        wire.ahead.extend(greeting.map(|channel| wire.message(channel, &[])));
        (Driver::new(wire, pipes, role), channels)
    }

    fn message(&self, channel: u32, payload: &[u8]) -> Message {
        let has_channel = self.framing != Framing::Bare;
        match self.codec {
            Codec::Binary => {
                let mut message = BytesMut::with_capacity(1 + payload.len());
                if has_channel {
                    message.put_u8(channel as u8);
                }
                message.extend_from_slice(payload);
                Message::Binary(message.freeze())
            }
            Codec::Base64 => {
                let mut message = String::new();
                if has_channel {
                    message.push(char::from(b'0'.wrapping_add(channel as u8)));
                }
                STANDARD.encode_string(payload, &mut message);
                Message::Text(message.into())
            }
        }
    }

    fn next_message(&mut self) -> Option<Message> {
        if let Some(message) = self.ahead.pop_front() {
            return Some(message);
        }
        // The table must not be locked while the message is made of what it gave.
        let piece = self.pipes.lock().next_piece(CHUNK_BYTES_MAX, false)?;
        let is_end_told = piece.is_last
            && self.role == Role::Client
            && FROM_CLIENT.contains(&piece.id)
            && self.framing == Framing::Channels { has_close_signal: true };
        if is_end_told {
            let end = Bytes::copy_from_slice(&[CLOSE_SIGNAL, piece.id as u8]);
            self.ahead.push_back(Message::Binary(end));
        }
        if piece.bytes.is_empty() {
            return self.ahead.pop_front();
        }
        Some(self.message(piece.id, &piece.bytes))
    }

    fn take(&mut self, message: &[u8]) -> Result<(), Error> {
        let (channel, payload) = match (self.framing, message.split_first()) {
            (Framing::Bare, _) => (0, message),
            (Framing::Channels { .. }, None) => return Ok(()),
            (Framing::Channels { has_close_signal: true }, Some((&CLOSE_SIGNAL, channels))) => {
                let &[channel] = channels else {
                    let count = channels.len();
                    return Err(Error::Protocol(format!("a close signal names {count} channels, not one")));
                };
                self.pipes.lock().end(u32::from(channel));
                return Ok(());
            }
            (Framing::Channels { .. }, Some((channel, payload))) => (*channel, payload),
        };
        match self.codec {
            Codec::Binary => self.pipes.lock().receive(u32::from(channel), payload),
            Codec::Base64 => {
                let payload = STANDARD
                    .decode(payload)
                    .map_err(|error| Error::Protocol(format!("a message is not base64: {error}")))?;
                let number = if self.framing == Framing::Bare { 0 } else { channel.wrapping_sub(b'0') };
                self.pipes.lock().receive(u32::from(number), &payload);
            }
        }
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire for Channels<S> {
    fn send(&mut self, context: &mut Context<'_>) -> Result<bool, Error> {
        let mut has_sent = false;
        while let Poll::Ready(ready) = Pin::new(&mut self.socket).poll_ready(context) {
            ready?;
            let Some(message) = self.next_message() else {
                // An end that needs no message was taken off as well.
                if self.pipes.lock().has_to_send() {
                    continue;
                }
                break;
            };
            Pin::new(&mut self.socket).start_send(message)?;
            has_sent = true;
        }
        self.is_flushed &= !has_sent;
        if !self.is_flushed {
            match Pin::new(&mut self.socket).poll_flush(context) {
                Poll::Ready(Err(WebSocketError::ConnectionClosed)) => self.has_ended = true,
                Poll::Ready(flushed) => {
                    flushed?;
                    self.is_flushed = true;
                }
                Poll::Pending => {}
            }
        }
        Ok(has_sent)
    }

    fn receive(&mut self, context: &mut Context<'_>) -> Result<Received, Error> {
        let mut received = Received::Nothing;
        loop {
            if self.has_ended {
                return Ok(Received::End);
            }
            if self.pipes.lock().is_overfull() {
                return Ok(received);
            }
            match Pin::new(&mut self.socket).poll_next(context) {
                Poll::Pending => return Ok(received),
                Poll::Ready(None) => return Ok(Received::End),
                Poll::Ready(Some(Err(WebSocketError::ConnectionClosed))) => return Ok(Received::End),
                Poll::Ready(Some(message)) => match message? {
                    Message::Binary(message) => self.take(&message)?,
                    Message::Text(message) => self.take(message.as_bytes())?,
                    Message::Close(reason) => {
                        // The answer to it goes if it can; nothing can follow on either side.
                        let _ = Pin::new(&mut self.socket).poll_flush(context);
                        self.has_ended = true;
                        is_in_order(reason)?;
                    }
                    Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
                },
            }
            received = Received::Something;
        }
    }

    fn ping(&mut self) {
        self.ahead.push_back(Message::Ping(Bytes::new()));
    }

    fn say_goodbye(&mut self) {
        self.ahead.push_back(Message::Close(Some(super::goodbye())));
    }

    fn is_drained(&self) -> bool {
        self.ahead.is_empty() && self.is_flushed
    }

    /// The close message is the end; the connection itself is the peer's to close, or the linger's.
    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A close says why; whoever went for another reason than being done cut what was to come.
fn is_in_order(reason: Option<CloseFrame>) -> Result<(), Error> {
    match reason {
        Some(reason) if !matches!(reason.code, CloseCode::Normal | CloseCode::Away | CloseCode::Status) => {
            let why = format!("the WebSocket was closed with code {}: {}", reason.code, reason.reason);
            Err(Error::Protocol(why))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use base::env;
    use futures::SinkExt;
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt;

    use super::*;

    fn any_framing() -> impl Strategy<Value = (Codec, Framing)> {
        let framing = prop_oneof![
            any::<bool>().prop_map(|has_close_signal| Framing::Channels { has_close_signal }),
            Just(Framing::Bare),
        ];
        (prop_oneof![Just(Codec::Binary), Just(Codec::Base64)], framing)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn no_message_makes_a_server_panic(
            framing in any_framing(),
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..20),
        ) {
            env::simulate(1, async move {
                let (near, far) = tokio::io::duplex(1000);
                let (driver, channels) = Channels::begin(far, Role::Server, framing, 2, Some(0)).await;
                let mut client = super::super::over(near, Role::Client).await;
                let serving = env::spawn(driver);
                for message in messages {
                    // A message that is none may have ended the connection.
                    let _ = client.send(Message::binary(message)).await;
                }
                drop(client);
                let _ = serving.await.expect("it does not panic");
                for mut channel in channels {
                    let mut bytes = Vec::new();
                    let _ = channel.read_to_end(&mut bytes).await;
                }
            });
        }

        #[test]
        fn bytes_arrive_in_order_whatever_the_framing(
            framing in any_framing(),
            capacity in 1..3000_usize,
            writes in proptest::collection::vec(0..5000_usize, 0..20),
        ) {
            env::simulate(1, async move {
                let (near, far) = tokio::io::duplex(capacity);
                let (server, mut to) = Channels::begin(far, Role::Server, framing, 1, Some(0)).await;
                let (client, mut from) = Channels::begin(near, Role::Client, framing, 1, None).await;
                env::spawn(client);
                let (mut writer, mut reader) = (to.remove(0), from.remove(0));
                let reading = env::spawn(async move {
                    let mut bytes = Vec::new();
                    reader.read_to_end(&mut bytes).await.map(|_| bytes)
                });
                let mut server = server;
                let mut sent = Vec::new();
                for count in writes {
                    let bytes: Vec<u8> = (0..count).map(|byte| (byte + sent.len()) as u8).collect();
                    let written = tokio::io::AsyncWriteExt::write_all(&mut writer, &bytes);
                    server.during(written).await.expect("open").expect("open");
                    sent.extend(bytes);
                }
                drop(writer);
                server.close().await.expect("in order");
                assert_eq!(reading.await.expect("ends").expect("in order"), sent);
            });
        }
    }
}
