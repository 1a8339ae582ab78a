//! Forwarding over SPDY: a pair of streams for each connection, one for its bytes, one for its error.

use std::collections::BTreeMap;

use base::env;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::UnboundedReceiver;

use super::{Connect, DATA, ERROR, PORT, Pod, REQUEST_ID, forward, parse_port};
use crate::error::Error;
use crate::limits::STREAM_CREATION_TIMEOUT;
use crate::pipe::{Pipe, PipeWriter};
use crate::remote_command::STREAM_TYPE;
use crate::spdy::{self, Headers, Incoming};

/// What is known of a pair whose second stream is still to come.
struct Half {
    stream: Stream,
    since: env::Instant,
}

enum Stream {
    Data(Pipe),
    Error(PipeWriter),
}

/// Both streams of a pair.
struct Pair {
    port: u16,
    data: Pipe,
    error: PipeWriter,
}

pub(super) async fn serve<S, C>(stream: S, pod: &Pod, connect: &C) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Connect,
{
    let (mut driver, incoming) = spdy::server(stream, Box::new(admit));
    driver.during(forward_all(incoming, pod, connect)).await
}

/// Forwards until no stream can come any more.
async fn forward_all<C: Connect>(mut incoming: UnboundedReceiver<Incoming>, pod: &Pod, connect: &C) {
    let mut halves = BTreeMap::new();
    let mut connections = FuturesUnordered::new();
    loop {
        let late = halves.values().map(|half: &Half| half.since + STREAM_CREATION_TIMEOUT).min();
        tokio::select! {
            biased;
            arrived = incoming.recv() => {
                let Some(stream) = arrived else { break };
                if let Some(Pair { port, data, error }) = match_up(&mut halves, stream) {
                    connections.push(forward(connect, pod, port, (data, error)));
                }
            }
            Some(()) = connections.next() => {}
            () = sleep_until(late) => give_up(&mut halves).await,
        }
    }
}

async fn sleep_until(moment: Option<env::Instant>) {
    match moment {
        Some(moment) => env::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Tells clients that a second stream is missing.
async fn give_up(halves: &mut BTreeMap<String, Half>) {
    let now = env::monotonic();
    let late = halves.extract_if(.., |_, half| now >= half.since + STREAM_CREATION_TIMEOUT);
    for (request, half) in late.collect::<Vec<_>>() {
        tracing::debug!(request, "timed out waiting for streams");
        if let Stream::Error(mut error) = half.stream {
            let message = format!("(request={request}) timed out waiting for streams");
            // It fits the stream's buffer; whoever cannot be told has gone.
            let _ = error.write_all(message.as_bytes()).await;
        }
    }
}

/// Finds the other stream of the pair, or keeps this one until it is there.
fn match_up(halves: &mut BTreeMap<String, Half>, incoming: Incoming) -> Option<Pair> {
    let Incoming { headers, pipe } = incoming;
    // Checked when the stream was admitted.
    let port = parse_port(headers.get(PORT)?).ok()?;
    let is_data = headers.get(STREAM_TYPE) == Some(DATA);
    let request = match headers.get(REQUEST_ID) {
        Some(request) => request.to_owned(),
        // Clients that name no pair open the error stream, and the data stream next.
        None if is_data => pipe.id().saturating_sub(2).to_string(),
        None => pipe.id().to_string(),
    };
    let stream = if is_data { Stream::Data(pipe) } else { Stream::Error(pipe.into_split().1) };
    match (halves.remove(&request), stream) {
        (Some(Half { stream: Stream::Error(error), .. }), Stream::Data(data)) => {
            Some(Pair { port, data, error })
        }
        (Some(Half { stream: Stream::Data(data), .. }), Stream::Error(error)) => {
            Some(Pair { port, data, error })
        }
        // The second of a kind takes the place of the first, which ends with it.
        (_, stream) => {
            halves.insert(request, Half { stream, since: env::monotonic() });
            None
        }
    }
}

fn admit(headers: &Headers) -> Result<(), String> {
    let port = headers.get(PORT).ok_or("\"port\" header is required")?;
    parse_port(port)?;
    match headers.get(STREAM_TYPE) {
        Some(DATA | ERROR) => Ok(()),
        Some(kind) => Err(format!("invalid stream type {kind:?}")),
        None => Err("\"streamType\" header is required".to_owned()),
    }
}

#[cfg(test)]
mod tests;
