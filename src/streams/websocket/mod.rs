//! Streams over WebSocket: as numbered channels, or as the bytes of a SPDY connection.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role as WebSocketRole, WebSocketConfig};

pub(crate) use channels::{Channels, Codec, Framing};
pub(crate) use tunnel::Tunnel;

use crate::driver::Role;
use crate::limits::{MESSAGE_BYTES_MAX, READ_BUFFER_BYTES, WRITE_BUFFER_BYTES};

mod channels;
mod tunnel;

/// Speaks WebSocket on a connection whose handshake is done.
async fn over<S: AsyncRead + AsyncWrite + Unpin>(stream: S, role: Role) -> WebSocketStream<S> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(2 * WRITE_BUFFER_BYTES + MESSAGE_BYTES_MAX)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let role = match role {
        Role::Client => WebSocketRole::Client,
        Role::Server => WebSocketRole::Server,
    };
    WebSocketStream::from_raw_socket(stream, role, Some(config)).await
}

/// What a side closes with that is done.
fn goodbye() -> CloseFrame {
    CloseFrame { code: CloseCode::Normal, reason: "".into() }
}
