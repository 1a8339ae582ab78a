//! The kubelet's side of exec and attach.

use std::future::Future;

use base::env;
use bytes::Bytes;
use http::Response;
use http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::UnboundedReceiver;

use super::{
    CHANNELS, ERROR, Options, RESIZE, RemoteCommand, Resizes, STDERR, STDIN, STDOUT, STREAM_TYPE, Verb,
    outcome,
};
use crate::driver::{Driver, Role, Wire};
use crate::error::Error;
use crate::limits::STREAM_CREATION_TIMEOUT;
use crate::pipe::{Pipe, PipeReader, PipeWriter};
use crate::spdy::{self, Headers, Incoming};
use crate::upgrade::{self, Refusal, Wanted};
use crate::websocket::{Channels, Codec, Framing};

/// A protocol of commands over WebSocket.
struct WebSocketProtocol {
    name: &'static str,
    codec: Codec,
    has_close_signal: bool,
    /// The outcome is a `Status`.
    has_status: bool,
}

const fn web_socket(
    name: &'static str,
    codec: Codec,
    has_close_signal: bool,
    has_status: bool,
) -> WebSocketProtocol {
    WebSocketProtocol { name, codec, has_close_signal, has_status }
}

const OVER_WEB_SOCKET: &[WebSocketProtocol] = &[
    web_socket("", Codec::Binary, false, false),
    web_socket("base64.channel.k8s.io", Codec::Base64, false, false),
    web_socket("channel.k8s.io", Codec::Binary, false, false),
    web_socket("v4.base64.channel.k8s.io", Codec::Base64, false, true),
    web_socket("v4.channel.k8s.io", Codec::Binary, false, true),
    web_socket("v5.channel.k8s.io", Codec::Binary, true, true),
];

/// Protocols of commands over SPDY. The fourth brought the outcome as a `Status`, the third the terminal's
/// size; what the second changed lies within the order of streams.
const OVER_SPDY: &[&str] = &[V4, V3, "v2.channel.k8s.io", "channel.k8s.io"];
const V4: &str = "v4.channel.k8s.io";
const V3: &str = "v3.channel.k8s.io";

/// What was agreed on with a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Spdy { has_status: bool, has_resize: bool },
    WebSocket { codec: Codec, framing: Framing, has_status: bool },
}

/// A client whose request is being upgraded.
#[derive(Debug)]
pub struct Accepted {
    agreed: Agreed,
    upgrade: OnUpgrade,
}

/// What a client wants, and how.
#[derive(Debug)]
struct Agreed {
    protocol: Protocol,
    verb: Verb,
    options: Options,
}

/// Agrees with a client on how streams are carried.
///
/// # Errors
/// When the request asks for no upgrade, or for none that is spoken here.
pub fn accept(
    head: &Parts,
    upgrade: OnUpgrade,
    verb: Verb,
    options: Options,
) -> Result<(Response<Bytes>, Accepted), Refusal> {
    let (protocol, response) = match upgrade::wanted(&head.headers)? {
        Wanted::Spdy => {
            let (name, response) = upgrade::spdy(&head.headers, OVER_SPDY)?;
            (Protocol::Spdy { has_status: name == V4, has_resize: name == V4 || name == V3 }, response)
        }
        Wanted::WebSocket => {
            let names = OVER_WEB_SOCKET.iter().map(|protocol| protocol.name).collect::<Vec<_>>();
            let (name, response) = upgrade::web_socket(&head.headers, &names)?;
            let known = OVER_WEB_SOCKET.iter().find(|protocol| protocol.name == name);
            let &WebSocketProtocol { codec, has_close_signal, has_status, .. } =
                known.ok_or_else(|| Refusal::bad_request("Upgrade request required"))?;
            let framing = Framing::Channels { has_close_signal };
            (Protocol::WebSocket { codec, framing, has_status }, response)
        }
    };
    Ok((response, Accepted { agreed: Agreed { protocol, verb, options }, upgrade }))
}

/// The client's streams before anybody has them, by channel.
#[derive(Default)]
struct Ends([Option<Pipe>; CHANNELS.len()]);

/// Halves that nobody uses, but that must not end before the command does: a client that sees the end of
/// its input's other direction stops sending.
struct Kept {
    error: PipeWriter,
    _stdin: Option<PipeWriter>,
    _resize: Option<PipeWriter>,
}

impl Accepted {
    /// What the client asked for.
    pub fn options(&self) -> &Options {
        &self.agreed.options
    }

    /// Runs once the answer is sent. `handler` returns the command's exit code, or why it has none; it is
    /// dropped when the client goes before that.
    ///
    /// # Errors
    /// When the connection ended before the outcome was sent.
    pub async fn run<F, H>(self, handler: H) -> Result<(), Error>
    where
        H: FnOnce(RemoteCommand) -> F,
        F: Future<Output = Result<i32, String>>,
    {
        let stream = TokioIo::new(self.upgrade.await?);
        self.agreed.run(stream, handler).await
    }
}

impl Agreed {
    async fn run<S, F, H>(self, stream: S, handler: H) -> Result<(), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        H: FnOnce(RemoteCommand) -> F,
        F: Future<Output = Result<i32, String>>,
    {
        let Self { protocol, verb, options } = self;
        let written = |outcome: &Result<i32, String>, has_status: bool| {
            outcome::written(verb, &options, outcome, has_status)
        };
        match protocol {
            Protocol::Spdy { has_status, has_resize } => {
                let (mut driver, mut incoming) = spdy::server(stream, Box::new(is_known));
                let ends = Ends::collect(&mut incoming, expected(&options, has_resize));
                let ends = driver.during(env::timeout(STREAM_CREATION_TIMEOUT, ends)).await?;
                let waited = "waiting for client to create streams";
                let ends = ends.map_err(|_| Error::TimedOut(waited))?.ok_or(Error::Closed)?;
                serve(driver, ends, handler, |outcome| written(outcome, has_status)).await
            }
            Protocol::WebSocket { codec, framing, has_status } => {
                let greeted = match &options {
                    Options { stdout: true, .. } => STDOUT,
                    Options { stderr: true, .. } => STDERR,
                    _ => ERROR,
                };
                let count = CHANNELS.len() as u32;
                let begun = Channels::begin(stream, Role::Server, (codec, framing), count, Some(greeted));
                let (driver, channels) = begun.await;
                let ends = Ends::of(channels, expected(&options, true));
                serve(driver, ends, handler, |outcome| written(outcome, has_status)).await
            }
        }
    }
}

/// Which channels a client opens that asked for these options.
fn expected(options: &Options, has_resize: bool) -> [bool; CHANNELS.len()] {
    [options.stdin, options.stdout, options.stderr, true, options.tty && has_resize]
}

fn is_known(headers: &Headers) -> Result<(), String> {
    match headers.get(STREAM_TYPE) {
        Some(kind) if CHANNELS.contains(&kind) => Ok(()),
        kind => Err(format!("unexpected stream type: {:?}", kind.unwrap_or_default())),
    }
}

impl Ends {
    /// Waits for the streams that are expected. Others, and a second of a kind, are let go.
    async fn collect(
        incoming: &mut UnboundedReceiver<Incoming>,
        expected: [bool; CHANNELS.len()],
    ) -> Option<Self> {
        let mut ends = Self::default();
        while ends.0.iter().zip(expected).any(|(end, is_expected)| is_expected && end.is_none()) {
            let Incoming { headers, pipe } = incoming.recv().await?;
            let kind = headers.get(STREAM_TYPE);
            let channel = CHANNELS.iter().position(|name| Some(*name) == kind);
            if let Some(channel) = channel.filter(|channel| expected[*channel] && ends.0[*channel].is_none())
            {
                ends.0[channel] = Some(pipe);
            }
        }
        Some(ends)
    }

    fn of(channels: Vec<Pipe>, expected: [bool; CHANNELS.len()]) -> Self {
        let mut ends = Self::default();
        for ((end, pipe), is_expected) in ends.0.iter_mut().zip(channels).zip(expected) {
            *end = is_expected.then_some(pipe);
        }
        ends
    }

    fn reader(&mut self, channel: u32) -> (Option<PipeReader>, Option<PipeWriter>) {
        self.0[channel as usize].take().map(Pipe::into_split).unzip()
    }

    fn writer(&mut self, channel: u32) -> Option<PipeWriter> {
        // Nothing is read where only output is expected: the other half goes.
        self.0[channel as usize].take().map(|pipe| pipe.into_split().1)
    }

    fn split(mut self) -> Option<(RemoteCommand, Kept)> {
        let (stdin, stdin_writer) = self.reader(STDIN);
        let (resize, resize_writer) = self.reader(RESIZE);
        let kept = Kept { error: self.writer(ERROR)?, _stdin: stdin_writer, _resize: resize_writer };
        let (stdout, stderr) = (self.writer(STDOUT), self.writer(STDERR));
        Some((RemoteCommand { stdin, stdout, stderr, resize: Resizes::new(resize) }, kept))
    }
}

async fn serve<W, F, H>(
    mut driver: Driver<W>,
    ends: Ends,
    handler: H,
    written: impl FnOnce(&Result<i32, String>) -> Vec<u8>,
) -> Result<(), Error>
where
    W: Wire,
    H: FnOnce(RemoteCommand) -> F,
    F: Future<Output = Result<i32, String>>,
{
    let (command, mut kept) = ends.split().ok_or(Error::Closed)?;
    let outcome = driver.during(handler(command)).await?;
    // Output that is on its way goes first: some clients stop at the outcome.
    driver.drained().await?;
    driver.during(kept.error.write_all(&written(&outcome))).await??;
    driver.close().await
}

#[cfg(test)]
mod tests;
