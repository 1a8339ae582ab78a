//! Commands in containers whose input and output are somewhere else: exec and attach.
//!
//! # Flow
//! [`accept`] agrees on a protocol. [`Accepted::run`] waits for the client's streams, hands them to a
//! handler as a [`RemoteCommand`], and tells the client what the handler returns.

use http::request::Parts;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;

pub use options::Options;
pub use server::{Accepted, accept};

use crate::limits::TERMINAL_SIZE_BYTES_MAX;
use crate::pipe::{PipeReader, PipeWriter};

mod options;
pub(crate) mod outcome;
mod server;

/// Channels of WebSocket; over SPDY the same streams have names.
pub(crate) const STDIN: u32 = 0;
pub(crate) const STDOUT: u32 = 1;
pub(crate) const STDERR: u32 = 2;
pub(crate) const ERROR: u32 = 3;
pub(crate) const RESIZE: u32 = 4;
pub(crate) const CHANNELS: [&str; 5] = ["stdin", "stdout", "stderr", "error", "resize"];

/// The header of a SPDY stream that says what it is for.
pub(crate) const STREAM_TYPE: &str = "streamType";

/// What is done in the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// A new process.
    Exec,
    /// The container's own process is joined.
    Attach,
}

/// The client's streams, as far as it asked for them.
#[derive(Debug)]
pub struct RemoteCommand {
    /// What the command reads; ends when the client has no more.
    pub stdin: Option<PipeReader>,
    /// What the command prints.
    pub stdout: Option<PipeWriter>,
    /// What the command complains; never with a terminal.
    pub stderr: Option<PipeWriter>,
    /// How large the client's terminal is, each time that it changes.
    pub resize: Resizes,
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TerminalSize {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// The sizes that a client's terminal takes.
#[derive(Debug)]
pub struct Resizes {
    stream: Option<PipeReader>,
    text: Vec<u8>,
}

impl Resizes {
    fn new(stream: Option<PipeReader>) -> Self {
        Self { stream, text: Vec::new() }
    }

    /// The next size; `None` when the client has no terminal, or no longer. Cancel-safe.
    pub async fn next(&mut self) -> Option<TerminalSize> {
        loop {
            let mut sizes = serde_json::Deserializer::from_slice(&self.text).into_iter::<TerminalSize>();
            match sizes.next() {
                Some(Ok(size)) => {
                    let used = sizes.byte_offset();
                    self.text.drain(..used);
                    return Some(size);
                }
                Some(Err(error)) if !error.is_eof() || self.text.len() > TERMINAL_SIZE_BYTES_MAX => {
                    tracing::debug!(%error, "what should be a terminal's size is none");
                    self.stream = None;
                    self.text.clear();
                }
                // The rest of it is still to come.
                Some(Err(_)) | None => {}
            }
            let mut bytes = [0; TERMINAL_SIZE_BYTES_MAX];
            let count = self.stream.as_mut()?.read(&mut bytes).await.unwrap_or(0);
            if count == 0 {
                self.stream = None;
                return None;
            }
            self.text.extend_from_slice(&bytes[..count]);
        }
    }
}

/// The query of a request.
fn query(head: &Parts) -> &str {
    head.uri.query().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use base::env;

    use super::*;
    use crate::pipe::{Pipes, Reply};

    /// The sizes in what a client sent, and what is left of the stream.
    fn sizes(pieces: &[&str]) -> Vec<(u16, u16)> {
        env::simulate(1, async {
            let pipes = Pipes::default();
            let (reader, _writer) = pipes.add(RESIZE, Reply::Accepted).expect("the first").into_split();
            let mut resizes = Resizes::new(Some(reader));
            let mut sizes = Vec::new();
            for piece in pieces {
                pipes.lock().receive(RESIZE, piece.as_bytes());
                let second = std::time::Duration::from_secs(1);
                while let Ok(Some(TerminalSize { width, height })) =
                    env::timeout(second, resizes.next()).await
                {
                    sizes.push((width, height));
                }
            }
            pipes.lock().end(RESIZE);
            assert_eq!(resizes.next().await, None);
            sizes
        })
    }

    #[test]
    fn sizes_are_read_however_they_are_split() {
        let both = [r#"{"Width":80,"Height":24}"#, r#"{"Width":132,"Height":50}"#];
        assert_eq!(sizes(&both), [(80, 24), (132, 50)]);
        assert_eq!(sizes(&[&both.concat()]), [(80, 24), (132, 50)]);
        assert_eq!(
            sizes(&[r#"{"Width":80,"He"#, r#"ight":24} {"#, r#""Width":1,"Height":2}"#]),
            [(80, 24), (1, 2)]
        );
    }

    #[test]
    fn what_is_no_size_ends_the_sizes() {
        assert_eq!(sizes(&[r#"{"Width":80,"Height":24}"#, "large", r#"{"Width":1,"Height":2}"#]), [(80, 24)]);
        let endless = format!(r#"{{"Width":"{}"#, "8".repeat(2 * TERMINAL_SIZE_BYTES_MAX));
        assert_eq!(sizes(&[&endless, r#""}{"Width":1,"Height":2}"#]), []);
    }
}
