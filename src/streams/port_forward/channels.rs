//! Forwarding over channels of a WebSocket: the ports are known from the start, two channels for each.

use futures::future::join_all;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::{Connect, Pod, forward};
use crate::driver::Role;
use crate::error::Error;
use crate::pipe::Pipe;
use crate::websocket::{Channels, Codec, Framing};

pub(super) async fn serve<S, C>(
    stream: S,
    codec: Codec,
    ports: &[u16],
    pod: &Pod,
    connect: &C,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Connect,
{
    let framing = Framing::Channels { has_close_signal: false };
    let count = 2 * ports.len() as u32;
    let (mut driver, channels) = Channels::begin(stream, Role::Server, (codec, framing), count, None).await;
    let mut channels = channels.into_iter();
    let pairs = std::iter::from_fn(|| Some((channels.next()?, channels.next()?)));
    let connections = ports.iter().zip(pairs).map(|(port, pair)| begin(connect, pod, *port, pair));
    driver.during(join_all(connections)).await?;
    driver.close().await
}

/// The first message of both channels is the port's number.
async fn begin<C: Connect>(connect: &C, pod: &Pod, port: u16, (mut data, error): (Pipe, Pipe)) {
    let (_, mut error) = error.into_split();
    let number = port.to_le_bytes();
    if data.write_all(&number).await.is_ok() && error.write_all(&number).await.is_ok() {
        forward(connect, pod, port, (data, error)).await;
    }
}
