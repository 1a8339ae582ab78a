//! A command in a container, as the one who started it sees it.

use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Agreed, Dial, agree, run};
use crate::driver::Role;
use crate::error::Error;
use crate::limits::OUTCOME_BYTES_MAX;
use crate::pipe::{Pipe, PipeReader, PipeWriter};
use crate::remote_command::{
    CHANNELS, ERROR, Options, RESIZE, STDERR, STDIN, STDOUT, STREAM_TYPE, TerminalSize, outcome,
};
use crate::spdy::{self, Headers};
use crate::websocket::{Channels, Codec, Framing};

const OVER_WEB_SOCKET: &str = "v5.channel.k8s.io";
const OVER_SPDY: &str = "v4.channel.k8s.io";

/// The streams of a command. They are to be used at the same time: output that nobody reads holds up
/// everything behind it.
#[derive(Debug)]
pub struct Session {
    /// What the command is to read; dropped, it is at its end.
    pub stdin: Option<PipeWriter>,
    /// What the command prints.
    pub stdout: Option<PipeReader>,
    /// What the command complains.
    pub stderr: Option<PipeReader>,
    /// Tells the size of the terminal, if there is one.
    pub resize: Option<Resizer>,
    /// How the command ends.
    pub outcome: Outcome,
}

/// Tells the command how large its terminal is.
#[derive(Debug)]
pub struct Resizer(PipeWriter);

/// Knows how the command ends.
#[derive(Debug)]
pub struct Outcome(PipeReader);

impl Session {
    /// Starts or joins what `request` names, with the streams of `options`. The request's path, query and
    /// headers count; it is asked with the method that a protocol wants.
    ///
    /// # Errors
    /// When the server refuses, or what it speaks is none of the protocols.
    pub async fn begin<D: Dial>(dial: &D, request: &Request<()>, options: &Options) -> Result<Self, Error> {
        let wanted = [options.stdin, options.stdout, options.stderr && !options.tty, true, options.tty];
        let mut pipes: [Option<Pipe>; CHANNELS.len()] = Default::default();
        match agree(dial, request, OVER_WEB_SOCKET, OVER_SPDY).await? {
            Agreed::WebSocket(stream) => {
                let framing = Framing::Channels { has_close_signal: true };
                let count = CHANNELS.len() as u32;
                let begun = Channels::begin(stream, Role::Client, (Codec::Binary, framing), count, None);
                let (driver, channels) = begun.await;
                for ((kept, pipe), is_wanted) in pipes.iter_mut().zip(channels).zip(wanted) {
                    *kept = is_wanted.then_some(pipe);
                }
                run(driver);
            }
            Agreed::Spdy(stream) => {
                let (driver, opener) = spdy::client(stream);
                run(driver);
                // Kubelets expect the error stream first.
                for channel in [ERROR, STDIN, STDOUT, STDERR, RESIZE].map(|channel| channel as usize) {
                    if wanted[channel] {
                        let headers = Headers::new().with(STREAM_TYPE, CHANNELS[channel]);
                        pipes[channel] = Some(opener.open(headers).await?);
                    }
                }
            }
        }
        let mut half = |channel: u32| pipes[channel as usize].take().map(Pipe::into_split);
        let reader = |halves: Option<(PipeReader, PipeWriter)>| halves.map(|(reader, _)| reader);
        let writer = |halves: Option<(PipeReader, PipeWriter)>| halves.map(|(_, writer)| writer);
        Ok(Self {
            stdin: writer(half(STDIN)),
            stdout: reader(half(STDOUT)),
            stderr: reader(half(STDERR)),
            resize: writer(half(RESIZE)).map(Resizer),
            outcome: Outcome(reader(half(ERROR)).ok_or(Error::Closed)?),
        })
    }
}

impl Resizer {
    /// Tells a new size.
    ///
    /// # Errors
    /// When the command has ended.
    pub async fn send(&mut self, size: TerminalSize) -> std::io::Result<()> {
        let text = serde_json::to_vec(&size)?;
        self.0.write_all(&text).await
    }
}

impl Outcome {
    /// Waits for the end: the exit code, or why there is none.
    ///
    /// # Errors
    /// When the command could not be run, or the connection broke.
    pub async fn wait(self) -> Result<i32, String> {
        let mut written = Vec::new();
        let read = self.0.take(OUTCOME_BYTES_MAX as u64).read_to_end(&mut written).await;
        read.map_err(|error| format!("error reading from error stream: {error}"))?;
        outcome::read(&written)
    }
}
