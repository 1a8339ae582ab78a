//! Every bound of a streaming connection, with where it comes from.

use std::time::Duration;

/// Bytes a peer may send on one stream before some of them are read: SPDY's own initial window. A stream
/// that holds more, because its peer knows no windows, stops the reading of its whole connection.
pub const STREAM_WINDOW_BYTES: usize = 64 * 1024;

/// Bytes of one stream that were written here and are not on their way yet; more makes the writer wait.
pub const SEND_BUFFER_BYTES: usize = 32 * 1024;

/// Payload of one frame or message that is sent: what Kubernetes' clients read at a time.
pub const CHUNK_BYTES_MAX: usize = 32 * 1024;

/// Bytes of encoded frames that wait for the connection to take them, but for the last frame's.
pub const WRITE_BUFFER_BYTES: usize = 64 * 1024;

/// Bytes taken from a connection at a time.
pub const READ_BUFFER_BYTES: usize = 16 * 1024;

/// Streams open at once on one connection; each forwarded TCP connection takes two. The next is refused.
pub const STREAMS_MAX: usize = 512;

/// Payload of one control frame as it comes, headers still compressed.
pub const CONTROL_FRAME_BYTES_MAX: usize = 32 * 1024;

/// Headers of one frame once decompressed: a few bytes of zlib can stand for very many.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;

/// Answers to the peer (pings, resets, window updates) that wait to be sent; reading waits while there are
/// more, so that whoever asks without reading fills nothing here.
pub const ANSWERS_MAX: usize = 1024;

/// One WebSocket message as it comes. Clients put a whole file into one; Kubernetes' limit.
pub const MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The outcome of a command as a client reads it from the error stream.
pub const OUTCOME_BYTES_MAX: usize = 64 * 1024;

/// A terminal's size as JSON, before it is known to be none.
pub const TERMINAL_SIZE_BYTES_MAX: usize = 1024;

/// The body of an answer that refuses an upgrade, as kubectl reads it.
pub const REFUSAL_BYTES_MAX: usize = 64 * 1024;

/// Ports forwarded by one WebSocket, whose channels are numbered in one byte.
pub const WEBSOCKET_PORTS_MAX: usize = 127;

/// Until all streams of a command are there, the second one of a pair, or a peer's reply to a new stream.
pub const STREAM_CREATION_TIMEOUT: Duration = Duration::from_secs(30);

/// Until an upgrade is answered.
pub const UPGRADE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a connection may live on which nothing moves, pings included: a kubelet's default.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(4 * 60 * 60);

/// How often a client shows that it is there, so that nothing in between forgets the connection.
pub const PING_PERIOD: Duration = Duration::from_secs(5);

/// How long the end of the other side is waited for after the own: closing over unread bytes would reset
/// the connection, and with it what the peer has not read yet.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(5);
