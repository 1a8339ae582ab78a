//! Forwarded ports, as the one to whom they are forwarded sees them.

use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use http::Request;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Agreed, Dial, agree, run};
use crate::driver::Role;
use crate::error::Error;
use crate::limits::OUTCOME_BYTES_MAX;
use crate::pipe::{Pipe, PipeReader};
use crate::port_forward::{DATA, ERROR, PORT, PROTOCOL, REQUEST_ID, TUNNELLED};
use crate::remote_command::STREAM_TYPE;
use crate::spdy::{self, Headers, Opener};
use crate::websocket::Tunnel;

/// Forwards connections to ports of one pod.
#[derive(Debug)]
pub struct Forwarder {
    opener: Opener,
    next_request: AtomicU64,
    ended: Shared<BoxFuture<'static, ()>>,
}

impl Forwarder {
    /// Asks to forward to what `request` names, by its path, query and headers.
    ///
    /// # Errors
    /// When the server refuses, or what it speaks is none of the protocols.
    pub async fn begin<D: Dial>(dial: &D, request: &Request<()>) -> Result<Self, Error> {
        let (running, opener) = match agree(dial, request, TUNNELLED, PROTOCOL).await? {
            Agreed::WebSocket(stream) => {
                let (driver, opener) = spdy::client(Tunnel::begin(stream, Role::Client).await);
                (run(driver), opener)
            }
            Agreed::Spdy(stream) => {
                let (driver, opener) = spdy::client(stream);
                (run(driver), opener)
            }
        };
        let ended = running.map(|_| ()).boxed().shared();
        Ok(Self { opener, next_request: AtomicU64::new(0), ended })
    }

    /// Waits until the server is gone: nothing can be forwarded any more.
    pub async fn ended(&self) {
        self.ended.clone().await;
    }

    /// Forwards one connection to a port of the pod, until both directions have ended or one breaks.
    ///
    /// # Errors
    /// When the connection to the server ends, or the port cannot be reached; the text says which.
    pub async fn forward<S>(&self, port: u16, local: S) -> Result<(), String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (data, error) =
            self.open(port).await.map_err(|error| format!("error creating stream: {error}"))?;
        if let Err(error) = copy(data, local).await {
            tracing::debug!(%error, port, "a forwarded connection broke");
        }
        let mut message = Vec::new();
        let read = error.take(OUTCOME_BYTES_MAX as u64).read_to_end(&mut message).await;
        read.map_err(|error| format!("error reading from error stream: {error}"))?;
        match message.is_empty() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&message).into_owned()),
        }
    }

    async fn open(&self, port: u16) -> Result<(Pipe, PipeReader), Error> {
        let request = self.next_request.fetch_add(1, Ordering::Relaxed);
        let headers = |kind: &str| {
            let headers = Headers::new().with(STREAM_TYPE, kind).with(PORT, port.to_string());
            headers.with(REQUEST_ID, request.to_string())
        };
        let error = self.opener.open(headers(ERROR)).await?;
        let data = self.opener.open(headers(DATA)).await?;
        // Nothing is written on the error stream here.
        Ok((data, error.into_split().0))
    }
}

/// Copies until the pod's side has ended, and this side has or nobody takes what it sends.
async fn copy<S>(data: Pipe, local: S) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut from_pod, mut to_pod) = data.into_split();
    let (mut from_local, mut to_local) = tokio::io::split(local);
    let outwards = async {
        tokio::io::copy(&mut from_local, &mut to_pod).await?;
        to_pod.shutdown().await
    };
    let inwards = async {
        tokio::io::copy(&mut from_pod, &mut to_local).await?;
        to_local.shutdown().await
    };
    tokio::select! {
        biased;
        ended = inwards => ended,
        Err(error) = outwards => Err(error),
    }
}
